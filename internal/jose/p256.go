package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"

	"github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/idp"
)

// maxP256 is more than a JWK of a P-256 key takes.
const maxP256 = 2 << 10

// ParseP256 reads the public key of somebody who signs by ES256, as a JWK, and
// gives its thumbprint (RFC 7638, SHA-256) beside it. Errors are Invalid.
func ParseP256(raw []byte) (*ecdsa.PublicKey, []byte, error) {
	bad := func(format string, args ...any) (*ecdsa.PublicKey, []byte, error) {
		return nil, nil, idp.Invalidf("key_refused", format, args...).On("key").Say("The key must be a public one, EC on P-256.")
	}
	if len(raw) > maxP256 {
		return bad("key of %d bytes", len(raw))
	}
	var k jose.JSONWebKey
	if err := Strict(raw, &k); err != nil {
		return bad("%w", err)
	}
	// A private key is of another type.
	public, ok := k.Key.(*ecdsa.PublicKey)
	if !ok || !k.Valid() || public.Curve != elliptic.P256() || k.Algorithm != "" && k.Algorithm != "ES256" {
		return bad("key of type %T for %.20q", k.Key, k.Algorithm)
	}
	thumbprint, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		return bad("%w", err)
	}
	return public, thumbprint, nil
}

// VerifyP256 checks a signature that stands by itself: r and s, 32 bytes each,
// over SHA-256 of the message, as ES256 has them (RFC 7518, Section 3.4) and as
// browsers sign.
func VerifyP256(key *ecdsa.PublicKey, message, signature []byte) bool {
	if len(signature) != 64 {
		return false
	}
	sum := sha256.Sum256(message)
	return ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}

// DecoyP256 is a key that nobody has the other half of: a signature by somebody
// unknown is held against it, and costs what one by somebody known does.
func DecoyP256() (*ecdsa.PublicKey, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("decoy: %w", err)
	}
	return &k.PublicKey, nil
}
