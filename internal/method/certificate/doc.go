// Package certificate is the method of X.509 certificates: smart cards, badges
// and keys in files. A certificate comes from a TLS handshake on an address of
// its own, or inside a message of a device protocol that its key has signed.
//
// What it proves: that who signed holds the private key of a certificate whose
// path to one of the tenant's authorities holds and is not revoked, and that
// the tenant's bindings say whose that certificate is. Whether that counts as
// one factor or several is the rules' to say (policy.CertificateRules), from
// what holds along the path and not from what the certificate claims.
//
// It does not prove that the key is on a card, nor that a PIN was asked: that
// is what an issuer promises by a policy identifier, and what a rule believes.
// So proofs are phishing-resistant and of possession; those that count as
// multifactor are of a verified user besides. None is hardware-bound.
//
// Their amr (RFC 8176 §2) is "rsa" for an RSA key, as Entra has it and clients
// know it, and "pop" for any other: a key was proven, and what kind keeps it is
// not known, so neither "sc" nor "hwk" or "swk" would be true. "mfa" comes with
// a certificate that counts as multifactor. There is no "pin" and no "user".
//
// # The way of a handshake
//
// Challenge makes a ticket and the address with it ({"go": …}), where the
// browser is sent with the name of its stored flow. The handler there
// (MountTLS) keeps the chain for a minute under the digest of a code, and sends
// that browser back to the main host: "code" and "flow", or "none" when it
// showed nothing. The page answers the ceremony with {"code": …}, in the browser
// of the flow. Nothing is judged before that, and everything then (ADR 0026).
//
// What is refused is Unproven with a reason: certificate_ and trust's word;
// certificate_no_user and certificate_ambiguous, told as one;
// certificate_affinity (no binding is as firm as is asked for);
// certificate_other_person (another name was typed); certificate_barred; and
// handover_unknown, _of_other, _late, _used. Whether the method, and
// certificates of that CA, are for the person is policy's, and Denied.
//
// # A message
//
// The header has alg, typ and x5c and nothing else, for a key of one kind never
// passes as another; the payload is that of a Hello key's (iss, aud, iat, exp,
// request_nonce). iss must be the person's name. A Mac's smart card signs another
// form (assertion.MacCard), which must fit the message around it besides. What
// is behind the signature is the same for all three ways.
//
// Specifications: entra-behaviours.md §5, device-protocol.md §7.2 and §15,
// apple-platform-sso.md §6.3,
// decisions 5.5 to 5.7, security.md 1.8, PSO04, RFC 5280, RFC 8176, RFC 9440.
package certificate
