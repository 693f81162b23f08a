package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/binary"
	"encoding/json"
	"math/big"

	"github.com/signetid/signet/internal/idp"
)

// oaep is how session keys are wrapped (device-protocol.md §8.1).
var oaep = &rsa.OAEPOptions{Hash: crypto.SHA1}

// An RSA1 blob is a magic word, five 32-bit numbers (little-endian), the
// exponent and the modulus (device-protocol.md §5.4).
const (
	rsa1Magic = "RSA1" // [K]
	rsa1Head  = 24
)

func badBlob(format string, args ...any) error {
	return idp.Invalidf("rsa1_malformed", format, args...).Say("The key is not an RSA public key blob.")
}

// ParseRSA1 reads a BCRYPT public key blob, in its one spelling: whatever could
// be written in two ways is refused, since the digest of the blob names the key.
// The key must be Usable. Errors are Invalid.
func ParseRSA1(blob []byte) (*rsa.PublicKey, error) {
	if len(blob) < rsa1Head || string(blob[:4]) != rsa1Magic {
		return nil, badBlob("no RSA1 blob in %d bytes", len(blob))
	}
	var n [5]int64 // bits, exponent's length, modulus's length, two primes' lengths
	for i := range n {
		n[i] = int64(binary.LittleEndian.Uint32(blob[4+4*i:]))
	}
	bits, exponent, modulus := n[0], n[1], n[2]
	rest := blob[rsa1Head:]
	switch {
	case n[3] != 0 || n[4] != 0:
		return nil, badBlob("primes of %d and %d bytes", n[3], n[4])
	case exponent+modulus != int64(len(rest)):
		return nil, badBlob("exponent of %d and modulus of %d bytes in %d", exponent, modulus, len(rest))
	case exponent < 1 || exponent > 4 || rest[0] == 0:
		return nil, badBlob("exponent of %d bytes, or with a zero in front", exponent)
	case modulus < 1 || rest[exponent] == 0:
		return nil, badBlob("modulus of %d bytes, or with a zero in front", modulus)
	}
	pub := &rsa.PublicKey{N: new(big.Int).SetBytes(rest[exponent:]), E: int(new(big.Int).SetBytes(rest[:exponent]).Int64())}
	if int64(pub.N.BitLen()) != bits {
		return nil, badBlob("modulus of %d bits is said to have %d", pub.N.BitLen(), bits)
	}
	if err := sound(pub); err != nil {
		return nil, err
	}
	return pub, nil
}

// sound is Usable, and what only an RSA key that nobody used yet must be asked.
func sound(pub *rsa.PublicKey) error {
	if pub.N.Bit(0) == 0 {
		return refused("even modulus")
	}
	_, err := Usable(pub)
	return err
}

// RSA1 writes the blob of a public key.
func RSA1(pub *rsa.PublicKey) []byte {
	e, n := big.NewInt(int64(pub.E)).Bytes(), pub.N.Bytes()
	out := append(make([]byte, 0, rsa1Head+len(e)+len(n)), rsa1Magic...)
	for _, v := range []int{pub.N.BitLen(), len(e), len(n), 0, 0} {
		out = binary.LittleEndian.AppendUint32(out, uint32(v))
	}
	return append(append(out, e...), n...)
}

// looseKey is a JWK (RFC 7517) with the members that we refuse.
type looseKey struct {
	Kty string          `json:"kty"`
	Kid Text            `json:"kid"`
	Crv string          `json:"crv"`
	X   string          `json:"x"`
	Y   string          `json:"y"`
	N   string          `json:"n"`
	E   string          `json:"e"`
	D   json.RawMessage `json:"d"`
	K   json.RawMessage `json:"k"`
	P   json.RawMessage `json:"p"`
	Q   json.RawMessage `json:"q"`
}

func badKey(format string, args ...any) error {
	return idp.Invalidf("jwk_malformed", format, args...).Say("The key is not a public RSA or P-256 key.")
}

// ParseLooseKey reads the public key of a device as its clients write a JWK:
// either base64 alphabet, and coordinates that may lack zeroes in front
// (device-protocol.md §5.1). It gives an *rsa.PublicKey or an *ecdsa.PublicKey
// on P-256, Usable, and its kid. Errors are Invalid.
func ParseLooseKey(raw []byte) (crypto.PublicKey, string, error) {
	var k looseKey
	if err := Loosely(raw, &k); err != nil {
		return nil, "", err
	}
	if k.D != nil || k.K != nil || k.P != nil || k.Q != nil {
		return nil, "", idp.Invalidf("private_key", "JWK is not a public key").Say("Send the public key alone.")
	}
	if len(k.Kid) > maxKeyID {
		return nil, "", badKey("kid of %d bytes", len(k.Kid))
	}
	switch {
	case k.Kty == "RSA":
		n, errN := Unbase64(k.N)
		e, errE := Unbase64(k.E)
		e = bytes.TrimLeft(e, "\x00")
		if errN != nil || errE != nil || len(n) == 0 || len(n) > 1025 || len(e) == 0 || len(e) > 4 {
			return nil, "", badKey("RSA key with a modulus of %d and an exponent of %d bytes", len(n), len(e))
		}
		pub := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		if err := sound(pub); err != nil {
			return nil, "", err
		}
		return pub, string(k.Kid), nil
	case k.Kty == "EC" && k.Crv == "P-256":
		x, errX := Unbase64(k.X)
		y, errY := Unbase64(k.Y)
		if errX != nil || errY != nil || len(x) == 0 || len(y) == 0 || len(x) > 32 || len(y) > 32 {
			return nil, "", badKey("EC key with coordinates of %d and %d bytes", len(x), len(y))
		}
		var uncompressed [65]byte
		uncompressed[0] = 4
		copy(uncompressed[33-len(x):], x)
		copy(uncompressed[65-len(y):], y)
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), uncompressed[:])
		if err != nil {
			return nil, "", badKey("%w", err)
		}
		return pub, string(k.Kid), nil
	}
	return nil, "", badKey("JWK of kty %.20q, crv %.20q", k.Kty, k.Crv)
}
