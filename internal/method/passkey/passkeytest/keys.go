package passkeytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"
)

// COSE algorithm identifiers the authenticator can use.
const (
	EdDSA = -8
	ES256 = -7
	RS256 = -257
)

func newSigner(alg int) (crypto.Signer, error) {
	switch alg {
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RS256:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, fmt.Errorf("NotSupportedError: algorithm %d", alg)
}

func sign(key crypto.Signer, message []byte) ([]byte, error) {
	if _, ok := key.(ed25519.PrivateKey); ok {
		return key.Sign(rand.Reader, message, crypto.Hash(0))
	}
	digest := sha256.Sum256(message)
	return key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

// coseKey encodes a public key in canonical form (RFC 9052, §7).
func coseKey(key crypto.PublicKey, alg int) ([]byte, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4 ‖ x ‖ y
		if err != nil {
			return nil, err
		}
		return cbor([]pair{{1, 2}, {3, alg}, {-1, 1}, {-2, point[1:33]}, {-3, point[33:]}}), nil
	case ed25519.PublicKey:
		return cbor([]pair{{1, 1}, {3, alg}, {-1, 6}, {-2, []byte(k)}}), nil
	case *rsa.PublicKey:
		return cbor([]pair{{1, 3}, {3, alg}, {-1, k.N.Bytes()}, {-2, big.NewInt(int64(k.E)).Bytes()}}), nil
	}
	return nil, fmt.Errorf("passkeytest: no COSE form for %T", key)
}
