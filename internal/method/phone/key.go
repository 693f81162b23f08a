package phone

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/signetid/signet/internal/jose"
)

// key is the public key of an installation.
type key struct {
	public     *ecdsa.PublicKey
	spki       []byte // DER
	thumbprint []byte // RFC 7638, SHA-256
}

// parseKey reads the public key of a new phone.
func parseKey(raw []byte) (key, error) {
	public, thumbprint, err := jose.ParseP256(raw)
	if err != nil {
		return key{}, err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return key{}, malformed("key", "%w", err)
	}
	return key{public: public, spki: spki, thumbprint: thumbprint}, nil
}

// storedKey is the key of a phone's row.
func storedKey(spki []byte) (key, error) {
	parsed, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return key{}, fmt.Errorf("stored key: %w", err)
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return key{}, fmt.Errorf("stored key of type %T", parsed)
	}
	return key{public: public, spki: spki}, nil
}

// verify checks a signature in base64url.
func (k key) verify(message []byte, signature string) bool {
	// The decoder would pass over line breaks: a value has one spelling.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	return err == nil && !strings.ContainsAny(signature, "\r\n") && jose.VerifyP256(k.public, message, raw)
}
