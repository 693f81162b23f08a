// Package certificate is the method of X.509 certificates: smart cards, badges
// and keys in files. A certificate comes from a TLS handshake on an address of
// its own, or inside a message of a device protocol that its key has signed.
//
// What it proves: that who signed holds the private key of a certificate whose
// path to one of the tenant's authorities holds and is not revoked, and that
// the tenant's bindings say whose that certificate is. Whether that counts as
// one factor or several is the rules' to say (policy.CertificateRules).
//
// It does not prove that the key is on a card, nor that a PIN was asked: that
// is what an issuer promises by a policy identifier, and what a rule believes.
//
// Specifications: entra-behaviours.md §5, device-protocol.md §7.2, decisions
// 5.5 to 5.7, security.md 1.8, RFC 5280, RFC 9440.
package certificate
