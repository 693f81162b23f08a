package browser

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"math/big"

	"github.com/signetid/signet/internal/idp"
)

// Shown is what a browser sends to say that it is a known one: its key, and the
// key's signature over the flow that it is for. The zero value says nothing.
type Shown struct {
	Key       []byte // SubjectPublicKeyInfo, as ParseKey gives it
	Signature []byte // ECDSA with SHA-256, r and s of 32 bytes each (Web Cryptography API, §23.7)
}

// label begins what a browser signs, so that no signature made for another
// purpose can stand for it.
const label = "signet-known-browser/1"

// Lengths of what is shown: a P-256 key as SubjectPublicKeyInfo (RFC 5480, §2),
// and its signature.
const (
	keyLen       = 91
	signatureLen = 64
)

// Message is what a browser's key signs to ask for something in a flow: label,
// tenant and the flow's handle, each after its length in four bytes.
func Message(tenant idp.TenantID, handle string) []byte {
	var out []byte
	for _, part := range []string{label, string(tenant), handle} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	return out
}

// ParseKey reads a key from outside: SubjectPublicKeyInfo of a P-256 key,
// base64url without padding. ok is false for anything else.
func ParseKey(text string) (key []byte, ok bool) {
	raw, ok := bytesOf(text, keyLen)
	if !ok {
		return nil, false
	}
	if _, ok := public(raw); !ok {
		return nil, false
	}
	return raw, true
}

// ParseShown reads what a browser sends with a request: its key and its
// signature, base64url without padding. What is unreadable is nothing shown.
func ParseShown(key, signature string) Shown {
	k, ok := ParseKey(key)
	sig, good := bytesOf(signature, signatureLen)
	if !ok || !good {
		return Shown{}
	}
	return Shown{Key: k, Signature: sig}
}

func bytesOf(text string, length int) ([]byte, bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(length) {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return raw, err == nil && len(raw) == length
}

func public(spki []byte) (*ecdsa.PublicKey, bool) {
	parsed, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, false
	}
	k, ok := parsed.(*ecdsa.PublicKey)
	return k, ok && k.Curve == elliptic.P256()
}

// signs says whether the signature is the key's, over message.
func (s Shown) signs(message []byte) bool {
	if len(s.Signature) != signatureLen {
		return false
	}
	k, ok := public(s.Key)
	if !ok {
		return false
	}
	digest := sha256.Sum256(message)
	return ecdsa.Verify(k, digest[:], new(big.Int).SetBytes(s.Signature[:32]), new(big.Int).SetBytes(s.Signature[32:]))
}
