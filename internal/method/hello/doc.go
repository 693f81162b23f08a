// Package hello is the room of user keys that registered devices keep: each
// behind a PIN or a finger, in the device's TPM. It registers them, proves
// people by them, and owns their rows.
//
// A proof of this room is phishing-resistant, user-verified, possession and
// multi-factor, and never hardware-bound: see below. There is
// nothing of it on a page: it is the method of one message (method.OneShot).
// The door verifies the device and opens the nonces, the room judges the
// assertion that the user key signed. One key a person and device: a new one
// takes the place of the old. A removed key is kept for thirty days and can be
// restored; a key whose device was removed is orphaned, proves nobody any more
// and is deleted after as many.
//
// It issues nothing, burns nothing and knows no policy. It does not defend
// against a device whose PIN is known, and does not know whether a key really is
// in a TPM: that its device was attested says so of the device's own keys only.
//
// # Payloads
//
// Verify takes the inner JWS of a PRT request (device-protocol.md §7.2), compact:
//
//	header  {"alg": "RS256", "typ": "JWT", "kid": "…", "use": "ngc"}
//	payload {"iss": "ada@example.com", "aud": "common", "iat": …, "exp": …, "request_nonce": "…"}
//
// "alg" is ES256 for a P-256 key. "kid" is base64 of SHA-256 over the RSA1 blob
// of the key, and for a P-256 key over its SubjectPublicKeyInfo. An RSA key
// that was registered as SubjectPublicKeyInfo is named by its RSA1 blob, too.
//
// RegisterOnce takes the key: an RSA1 blob (device-protocol.md §5.4) or a
// SubjectPublicKeyInfo (RFC 5280, §4.1.2.7) in DER.
//
// Specifications: device-protocol.md §0, §5.4, §6, §7.2, §15;
// entra-behaviours.md §6, §10; decisions 2.12, 4.1, 4.8.
package hello
