package pssowire

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// pointSize is that of an uncompressed point on P-256 (SEC 1, 2.3.3).
const pointSize = 65

// KeyID is the SHA-256 of a key's uncompressed point (§2). Ids are compared as
// these bytes: on the wire they come in any spelling of base64.
type KeyID [sha256.Size]byte

// String is how we write it: padded standard base64, as macOS does.
func (k KeyID) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// KeyOf is the id of a key on P-256.
func KeyOf(pub *ecdsa.PublicKey) KeyID { return sha256.Sum256(Point(pub)) }

// ParseKeyID reads an id in either alphabet of base64, padded or not. Errors are
// Invalid, "kid_malformed".
func ParseKeyID(text string) (KeyID, error) {
	raw, err := decode(text, sha256.Size)
	if err != nil || len(raw) != sha256.Size {
		return KeyID{}, idp.Invalidf("kid_malformed", "kid %.80q", text).Say("A key id is not what a Mac writes.")
	}
	return KeyID(raw), nil
}

// Point is the uncompressed point of a key on P-256, 65 bytes, coordinates with
// all their zeros. It panics for a key that is none.
func Point(pub *ecdsa.PublicKey) []byte {
	raw, err := pub.Bytes()
	if err != nil || len(raw) != pointSize {
		panic(fmt.Sprintf("pssowire: no key on P-256: %v", err)) // they come from here, or from keys that were read
	}
	return raw
}

// EncodePoint is how a key is written in messages: padded standard base64 of its
// point.
func EncodePoint(pub *ecdsa.PublicKey) string { return base64.StdEncoding.EncodeToString(Point(pub)) }

// maxKeyText is more than a public key on P-256 takes in any of its forms.
const maxKeyText = 1 << 10

// ParsePoint reads a public key on P-256 as extensions send one: base64, in any
// spelling, of the uncompressed point or of a SubjectPublicKeyInfo in DER; or
// PEM around either (§17). Errors are Invalid, "key_malformed".
func ParsePoint(text string) (*ecdsa.PublicKey, error) {
	if len(text) > maxKeyText {
		return nil, badPoint("key of %d characters", len(text))
	}
	var raw []byte
	if block, rest := pem.Decode([]byte(text)); block != nil {
		if len(bytes.TrimSpace(rest)) > 0 || block.Type != "PUBLIC KEY" || len(block.Headers) > 0 {
			return nil, badPoint("PEM of %q, or more than one", block.Type)
		}
		raw = block.Bytes
	} else {
		var err error
		if raw, err = decode(text, maxKeyText); err != nil {
			return nil, badPoint("%w", err)
		}
	}
	if len(raw) == pointSize {
		pub, err := uncompressed(raw)
		if err != nil {
			return nil, badPoint("%w", err)
		}
		return pub, nil
	}
	key, err := x509.ParsePKIXPublicKey(raw)
	if err != nil {
		return nil, badPoint("%w", err)
	}
	pub, ok := key.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, badPoint("key is a %T", key)
	}
	return pub, nil
}

func badPoint(format string, args ...any) error {
	return idp.Invalidf("key_malformed", format, args...).Say("A key is not a public key on P-256.")
}

// uncompressed reads a point on P-256, which is not the one at infinity.
func uncompressed(raw []byte) (*ecdsa.PublicKey, error) {
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
}

// decode reads base64 of at most size bytes.
func decode(text string, size int) ([]byte, error) {
	if len(text) > base64.StdEncoding.EncodedLen(size) {
		return nil, idp.Invalidf("base64_malformed", "%d characters", len(text))
	}
	return jose.Unbase64(text)
}

// Secret is the agreed secret of two keys on P-256, 32 bytes, all zeros kept.
func Secret(own *ecdh.PrivateKey, other *ecdsa.PublicKey) ([]byte, error) {
	to, err := other.ECDH()
	if err != nil {
		return nil, fmt.Errorf("agree on a secret: %w", err)
	}
	return own.ECDH(to)
}

// proofLabel keeps this use of an agreed secret apart from every other.
const proofLabel = "signet-psso-encryption-key"

// EncryptionProof shows that who registers has the private half of an
// encryption key: HMAC-SHA-256, by the secret that it and the server's exchange
// key agree on, over the label, a zero and the nonce.
func EncryptionProof(secret []byte, requestNonce string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(proofLabel))
	h.Write([]byte{0})
	h.Write([]byte(requestNonce))
	return h.Sum(nil)
}
