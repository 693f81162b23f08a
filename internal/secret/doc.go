// Package secret is the house's only source of randomness, and the few things
// done with secret bytes: ids, bearer tokens, digests to look values up by,
// constant-time comparison, sealing and deriving.
//
// It owns no keys (the keyring does) and stores nothing. Random bytes come from
// crypto/rand, which cannot fail: it ends the program rather than return bytes
// that can be guessed.
//
// Specifications: RFC 9562 (UUID version 4 and 7), NIST SP 800-38D (AES-GCM),
// RFC 2104 (HMAC), RFC 5869 (HKDF).
package secret
