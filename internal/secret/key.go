package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
)

// KeySize is the length of a Key in bytes.
const KeySize = 32

// Key is a 256-bit secret key. It never prints itself. Use one key for one
// purpose: Derive gives more.
//
// A Key is safe for concurrent use.
type Key struct {
	raw  [KeySize]byte
	aead cipher.AEAD
}

// NewKey makes a key of raw, which must have exactly 32 bytes. It keeps a copy.
func NewKey(raw []byte) (*Key, error) {
	if len(raw) != KeySize {
		return nil, fmt.Errorf("a key has %d bytes, not %d", KeySize, len(raw))
	}
	return newKey(raw), nil
}

// RandomKey returns a fresh key.
func RandomKey() *Key { return newKey(Bytes(KeySize)) }

func newKey(raw []byte) *Key {
	block, err := aes.NewCipher(raw)
	if err != nil {
		panic("secret: " + err.Error()) // only a wrong length can fail, and callers have checked it
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("secret: " + err.Error()) // AES has the block size that GCM wants
	}
	k := &Key{aead: aead}
	copy(k.raw[:], raw)
	return k
}

// Raw returns a copy of the key's bytes, to be sealed under another key.
func (k *Key) Raw() []byte { return append([]byte(nil), k.raw[:]...) }

// Seal encrypts plain and binds it to aad (AES-256-GCM, NIST SP 800-38D). The
// random 96-bit nonce comes first. Nonces may repeat after some 2^32 messages
// under one key, so a key that seals per request must be rotated.
func (k *Key) Seal(plain, aad []byte) []byte {
	return k.aead.Seal(nil, nil, plain, aad)
}

// errUnsealed is the one error of Open: a caller, and so a stranger, cannot
// tell a wrong key from a flipped byte or a wrong aad.
var errUnsealed = errors.New("sealed value does not open")

// Open undoes Seal. Whatever is wrong, the error is the same.
func (k *Key) Open(sealed, aad []byte) ([]byte, error) {
	plain, err := k.aead.Open(nil, nil, sealed, aad)
	if err != nil {
		return nil, errUnsealed
	}
	return plain, nil
}

// MAC returns HMAC-SHA-256 over parts, each with its length before it, so that
// moving a byte from one part to the next changes the result.
func (k *Key) MAC(parts ...[]byte) []byte {
	h := hmac.New(sha256.New, k.raw[:])
	var size [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write(p)
	}
	return h.Sum(nil)
}

// Derive returns the key for another purpose, named by label (HKDF-Expand of
// RFC 5869 with SHA-256). Knowing it tells nothing about k or its siblings.
func (k *Key) Derive(label string) *Key {
	raw, err := hkdf.Expand(sha256.New, k.raw[:], label, KeySize)
	if err != nil {
		panic("secret: " + err.Error()) // only an absurd length can fail
	}
	return newKey(raw)
}

const redacted = "[key]"

// Format keeps a key out of every fmt verb, %x and %#v included.
func (k *Key) Format(f fmt.State, _ rune) { f.Write([]byte(redacted)) }

// String does not tell the key.
func (k *Key) String() string { return redacted }

// GoString does not tell the key.
func (k *Key) GoString() string { return redacted }

// LogValue does not tell the key.
func (k *Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON refuses: a key in a JSON document is a mistake.
func (k *Key) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a key is never written as JSON")
}
