package passkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// rsaCOSE is an RS256 key with just these bytes as modulus and exponent.
func rsaCOSE(t testing.TB, n, e []byte) []byte {
	t.Helper()
	raw, err := webauthncbor.Marshal(map[int64]any{1: 3, 3: algRS256, -1: n, -2: e})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// odd is an odd number of exactly so many bits, and of no known factors.
func odd(t testing.TB, bits int) []byte {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
	if err != nil {
		t.Fatal(err)
	}
	return n.SetBit(n.SetBit(n, bits-1, 1), 0, 1).Bytes()
}

// TestSec_TOK07_RSAKeys: 2048 to 8192 bits, odd exponents from 65537 up that
// can be verified with, numbers without leading zeros, and no modulus of the
// generator that can be factored.
func TestSec_TOK07_RSAKeys(t *testing.T) {
	f4 := []byte{1, 0, 1}
	n := odd(t, 2048)
	for name, cose := range map[string][]byte{
		"2048 bits": rsaCOSE(t, n, f4), "8192 bits": rsaCOSE(t, odd(t, 8192), f4),
		"the largest exponent": rsaCOSE(t, n, []byte{0x7f, 0xff, 0xff, 0xff}),
	} {
		if _, err := parseNewKey(cose); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, cose := range map[string][]byte{
		"2047 bits": rsaCOSE(t, odd(t, 2047), f4), "8193 bits": rsaCOSE(t, odd(t, 8193), f4), "1024 bits": rsaCOSE(t, odd(t, 1024), f4),
		"no modulus": rsaCOSE(t, nil, f4), "modulus 0": rsaCOSE(t, make([]byte, 256), f4),
		"no exponent": rsaCOSE(t, n, nil), "exponent 0": rsaCOSE(t, n, []byte{0}), "exponent 1": rsaCOSE(t, n, []byte{1}),
		"exponent 3": rsaCOSE(t, n, []byte{3}), "exponent 17": rsaCOSE(t, n, []byte{17}), "exponent 257": rsaCOSE(t, n, []byte{1, 1}),
		"exponent 65535": rsaCOSE(t, n, []byte{0xff, 0xff}), "exponent 65536": rsaCOSE(t, n, []byte{1, 0, 0}),
		"even exponent": rsaCOSE(t, n, []byte{1, 0, 2}), "exponent of 32 bits": rsaCOSE(t, n, []byte{0x80, 0, 0, 1}),
		"exponent of 33 bits":      rsaCOSE(t, n, []byte{1, 0, 0, 0, 1}),
		"exponent of 72 bits":      rsaCOSE(t, n, []byte{1, 0, 0, 0, 0, 0, 1, 0, 1}),
		"modulus with a zero":      rsaCOSE(t, slices.Concat([]byte{0}, n), f4),
		"exponent with a zero":     rsaCOSE(t, n, slices.Concat([]byte{0}, f4)),
		"the mark of ROCA":         rsaCOSE(t, rocaModulus().Bytes(), f4),
		"a modulus that is no key": rsaCOSE(t, []byte("short"), f4),
	} {
		if _, err := parseNewKey(cose); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// rocaModulus has the mark of the broken generator (CVE-2017-15361): 65537^5
// modulo the product of the first 39 primes, plus a multiple of that product.
func rocaModulus() *big.Int {
	m := big.NewInt(1)
	for p, found := int64(2), 0; found < 39; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			m.Mul(m, big.NewInt(p))
			found++
		}
	}
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(5), m)
	k := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 2048), m)
	return n.Add(n, k.Sub(k, big.NewInt(1)).Mul(k, m))
}

// TestSec_TOK07_SignatureNumbersOutOfRange gives r and s that no signer makes,
// and signatures in forms that no signer uses.
func TestSec_TOK07_SignatureNumbersOutOfRange(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("signed")
	digest := sha256.Sum256(message)
	good, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	type pair struct{ R, S *big.Int }
	var is pair
	if _, err := asn1.Unmarshal(good, &is); err != nil {
		t.Fatal(err)
	}
	der := func(r, s *big.Int) []byte {
		raw, err := asn1.Marshal(pair{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	order := elliptic.P256().Params().N
	add := func(x *big.Int) *big.Int { return new(big.Int).Add(x, order) }
	minus := func(x *big.Int) *big.Int { return new(big.Int).Neg(x) }
	zero, one := new(big.Int), big.NewInt(1)
	k := publicKey{algES256, &key.PublicKey}
	if !k.verify(message, good) || !k.verify(message, der(is.R, is.S)) {
		t.Fatal("a good signature does not verify")
	}
	for name, sig := range map[string][]byte{
		"r is 0": der(zero, is.S), "s is 0": der(is.R, zero), "both 0": der(zero, zero), "both 1": der(one, one),
		"r is the order": der(order, is.S), "s is the order": der(is.R, order),
		"r one round on": der(add(is.R), is.S), "s one round on": der(is.R, add(is.S)),
		"r negative": der(minus(is.R), is.S), "s negative": der(is.R, minus(is.S)),
		"behind it a byte": append(slices.Clone(good), 0), "cut": good[:len(good)-1], "nothing": nil,
		"as JOSE has it":   slices.Concat(is.R.FillBytes(make([]byte, 32)), is.S.FillBytes(make([]byte, 32))),
		"in a long length": slices.Concat([]byte{0x30, 0x81}, good[1:]),
	} {
		if k.verify(message, sig) {
			t.Errorf("%s: verifies", name)
		}
	}
}

// TestSec_TOK07_KindsOfKeys: what verifies is a key of the kind and size that
// its algorithm has.
func TestSec_TOK07_KindsOfKeys(t *testing.T) {
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	okp := func(x []byte) []byte {
		raw, err := webauthncbor.Marshal(map[int64]any{1: 1, 3: algEdDSA, -1: 6, -2: x})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	if _, err := parseNewKey(okp(ed)); err != nil {
		t.Errorf("Ed25519: %v", err)
	}
	point := func(x, y []byte) []byte {
		raw, err := webauthncbor.Marshal(map[int64]any{1: 2, 3: algES256, -1: 1, -2: x, -3: y})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	p := elliptic.P256().Params()
	gx, gy := p.Gx.FillBytes(make([]byte, 32)), p.Gy.FillBytes(make([]byte, 32))
	if _, err := parseNewKey(point(gx, gy)); err != nil {
		t.Errorf("P-256: %v", err)
	}
	over := new(big.Int).Add(p.Gx, p.P).Bytes() // the same point, if reduced
	for name, cose := range map[string][]byte{
		"Ed25519 of 31 bytes": okp(ed[:31]), "Ed25519 of 33 bytes": okp(append(slices.Clone(ed), 0)), "Ed25519 of none": okp(nil),
		"off the curve": point(gy, gx), "the origin": point(make([]byte, 32), make([]byte, 32)),
		"x of 31 bytes": point(gx[1:], gy), "x of 33 bytes": point(append([]byte{0}, gx...), gy), "y of none": point(gx, nil),
		"x beyond the field": point(over, gy), "x is the field": point(p.P.Bytes(), gy),
	} {
		if _, err := parseNewKey(cose); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, k := range map[string]publicKey{
		"no key": {}, "a key of another curve": {algES256, &rsa.PublicKey{N: new(big.Int).SetBytes(odd(t, 2048)), E: 65537}},
	} {
		if k.verify([]byte("x"), make([]byte, 256)) {
			t.Errorf("%s: verifies", name)
		}
	}
}
