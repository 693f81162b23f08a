package passkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"github.com/signetid/signet/internal/jose"
)

// COSE algorithm identifiers (RFC 9053) that are offered, best first. What is
// offered is what is accepted. Ed448 (-53) must never join: the library accepts
// such a registration and then fails every sign-in. TestAlgorithms proves each
// of these in both ceremonies.
const (
	algEdDSA = -8
	algES256 = -7
	algRS256 = -257
)

var offered = []int{algEdDSA, algES256, algRS256}

// publicKey is a credential public key ready to verify with.
type publicKey struct {
	alg int
	key crypto.PublicKey // ed25519.PublicKey, *ecdsa.PublicKey or *rsa.PublicKey
}

// keyAlg reads kty and alg of a COSE key without judging the rest, so that "not
// offered" can be told from "broken".
func keyAlg(cose []byte) (int, error) {
	var k webauthncose.PublicKeyData
	if err := webauthncbor.Unmarshal(cose, &k); err != nil {
		return 0, fmt.Errorf("cose key: %w", err)
	}
	return int(k.Algorithm), nil
}

// parseKey reads a COSE key (RFC 9052, §7; WebAuthn Level 3, §5.8.5): type,
// curve and algorithm must agree and a point must lie on its curve.
func parseKey(cose []byte) (publicKey, error) {
	// Nearly every key at nearly every sign-in: the one canonical form of an
	// ES256 key, read without a CBOR decoder.
	if x, y, ok := es256Canonical(cose); ok {
		return es256Key(x, y)
	}
	parsed, err := webauthncose.ParsePublicKey(cose)
	if err != nil {
		return publicKey{}, fmt.Errorf("cose key: %w", err)
	}
	switch k := parsed.(type) {
	case webauthncose.OKPPublicKeyData:
		if k.Algorithm == algEdDSA && len(k.XCoord) == ed25519.PublicKeySize {
			return publicKey{algEdDSA, ed25519.PublicKey(k.XCoord)}, nil
		}
	case webauthncose.EC2PublicKeyData:
		if k.Algorithm == algES256 {
			return es256Key(k.XCoord, k.YCoord)
		}
	case webauthncose.RSAPublicKeyData:
		if k.Algorithm == algRS256 {
			return rs256Key(k)
		}
	}
	return publicKey{}, fmt.Errorf("cose key: type %T does not go with an algorithm offered", parsed)
}

// es256Canonical takes {1: 2, 3: -7, -1: 1, -2: x, -3: y} apart.
func es256Canonical(cose []byte) (x, y []byte, ok bool) {
	const (
		start  = "\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20"
		middle = "\x22\x58\x20"
		atX    = len(start)
		atY    = atX + 32 + len(middle)
	)
	if len(cose) != atY+32 || string(cose[:atX]) != start || string(cose[atX+32:atY]) != middle {
		return nil, nil, false
	}
	return cose[atX : atX+32], cose[atY:], true
}

func es256Key(x, y []byte) (publicKey, error) {
	point := slices.Concat([]byte{4}, x, y)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return publicKey{}, fmt.Errorf("cose key: %w", err)
	}
	return publicKey{algES256, key}, nil
}

// rs256Key reads an RSA key of the sizes that every door accepts (security.md
// TOK07) and that crypto/rsa can verify with: its exponents have 31 bits.
func rs256Key(k webauthncose.RSAPublicKeyData) (publicKey, error) {
	e, err := webauthncose.ParseRSAPublicKeyDataExponent(&k)
	if err != nil {
		return publicKey{}, fmt.Errorf("cose key: %w", err)
	}
	if e > math.MaxInt32 {
		return publicKey{}, fmt.Errorf("cose key: RSA exponent %d", e)
	}
	// RFC 8230, Section 4: a number has no more bytes than it needs.
	if k.Exponent[0] == 0 || len(k.Modulus) == 0 || k.Modulus[0] == 0 {
		return publicKey{}, errors.New("cose key: RSA number with a zero before it")
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(k.Modulus), E: e}
	if _, err := jose.Usable(key); err != nil {
		return publicKey{}, fmt.Errorf("cose key: %w", err)
	}
	return publicKey{algRS256, key}, nil
}

// members is how many a COSE key of each algorithm has; more is refused, since
// a member nobody reads is a place to hide in.
var members = map[int]int{algEdDSA: 4, algES256: 5, algRS256: 4}

// parseNewKey is parseKey for a key that is being registered: wire must be the
// canonical form (CTAP2 canonical CBOR) and hold nothing but the key.
func parseNewKey(wire []byte) (publicKey, error) {
	k, err := parseKey(wire)
	if err != nil {
		return publicKey{}, err
	}
	var all map[int64]any
	if err := webauthncbor.Unmarshal(wire, &all); err != nil {
		return publicKey{}, fmt.Errorf("cose key: %w", err)
	}
	if len(all) != members[k.alg] {
		return publicKey{}, fmt.Errorf("cose key: %d members, want %d", len(all), members[k.alg])
	}
	canonical, err := webauthncbor.Marshal(all)
	if err != nil || !slices.Equal(canonical, wire) {
		return publicKey{}, fmt.Errorf("cose key: not canonical CBOR")
	}
	return k, nil
}

// verify says whether sig is k's signature of message.
func (k publicKey) verify(message, sig []byte) bool {
	switch key := k.key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, sig)
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		return ecdsa.VerifyASN1(key, digest[:], sig)
	case *rsa.PublicKey:
		digest := sha256.Sum256(message)
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], sig) == nil
	}
	return false
}
