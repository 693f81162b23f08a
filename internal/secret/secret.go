package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// Bytes returns n random bytes.
func Bytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// Token returns a bearer value: 256 random bits as 43 characters of base64url
// without padding.
func Token() string {
	return base64.RawURLEncoding.EncodeToString(Bytes(32))
}

// Digest is what the database keeps of a value with at least 128 random bits:
// its SHA-256. A shorter value can be guessed from its digest; keep its
// Key.MAC instead.
func Digest(s string) []byte {
	d := sha256.Sum256([]byte(s))
	return d[:]
}

// Equal compares in a time that tells nothing about where a and b differ.
// Their lengths are not secret.
func Equal(a, b []byte) bool {
	return subtle.ConstantTimeCompare(a, b) == 1
}
