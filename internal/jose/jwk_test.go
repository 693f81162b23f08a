package jose_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

func jwk(t testing.TB, k gojose.JSONWebKey) string {
	t.Helper()
	raw, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func set(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

// rsaJWK is an RSA key with any modulus and exponent.
func rsaJWK(n *big.Int, e int64) string {
	enc := base64.RawURLEncoding.EncodeToString
	return `{"kty":"RSA","kid":"k","n":"` + enc(n.Bytes()) + `","e":"` + enc(big.NewInt(e).Bytes()) + `"}`
}

func TestParseKeysTakesWhatWeAccept(t *testing.T) {
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jose.ParseKeys(set(
		jwk(t, gojose.JSONWebKey{Key: &p256(t).PublicKey, KeyID: "a"}),
		jwk(t, gojose.JSONWebKey{Key: &p384.PublicKey, KeyID: "b", Use: "sig"}),
		jwk(t, gojose.JSONWebKey{Key: ed, KeyID: "c"}),
		jwk(t, gojose.JSONWebKey{Key: &rsa2048(t).PublicKey, KeyID: "d"}),
		jwk(t, gojose.JSONWebKey{Key: &rsa2048(t).PublicKey, KeyID: "e", Algorithm: "PS256"}),
		jwk(t, gojose.JSONWebKey{Key: &p256(t).PublicKey, KeyID: "f", Use: "enc"}),
	))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, k := range keys {
		got += k.ID + ":" + strings.Join(k.Algs, ",") + " "
	}
	if want := "a:ES256 b:ES384 c:EdDSA d:RS256,PS256 e:PS256 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSec_TOK07_ParseKeysRefuses(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := rsa2048(t).PublicKey
	one := jwk(t, gojose.JSONWebKey{Key: &p256(t).PublicKey, KeyID: "a"})
	odd := func(bits uint) *big.Int { // an odd number of exactly so many bits
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return n.Add(n, big.NewInt(1))
	}
	for _, c := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"no keys", set(), "key_count"},
		{"too many", set(strings.Split(strings.Repeat(one+"\n", 21), "\n")[:21]...), "key_count"},
		{"no JSON", []byte("x"), "json_malformed"},
		{"name twice in a key", set(`{"kty":"EC","kty":"EC"}`), "json_malformed"},
		{"symmetric", set(`{"kty":"oct","kid":"k","k":"AAECAwQFBgcICQoLDA0ODw"}`), "private_key"},
		{"private", set(jwk(t, gojose.JSONWebKey{Key: p256(t), KeyID: "a"})), "private_key"},
		{"only for encryption", set(jwk(t, gojose.JSONWebKey{Key: &p256(t).PublicKey, Use: "enc"})), "no_signature_key"},
		{"algorithm of another kind", set(jwk(t, gojose.JSONWebKey{Key: &p256(t).PublicKey, Algorithm: "RS256"})), "key_algorithm"},
		{"symmetric algorithm", set(jwk(t, gojose.JSONWebKey{Key: &p256(t).PublicKey, Algorithm: "HS256"})), "key_algorithm"},
		{"one kid twice", set(one, one), "key_name_twice"},
		{"P-521", set(jwk(t, gojose.JSONWebKey{Key: &p521.PublicKey})), "key_refused"},
		{"RSA of 1024 bits", set(rsaJWK(odd(1024), 65537)), "key_refused"},
		{"RSA of 2047 bits", set(rsaJWK(odd(2047), 65537)), "key_refused"},
		{"RSA of 8193 bits", set(rsaJWK(odd(8193), 65537)), "json_malformed"},
		{"exponent 1", set(rsaJWK(good.N, 1)), "json_malformed"},
		{"exponent 3", set(rsaJWK(good.N, 3)), "key_refused"},
		{"even exponent", set(rsaJWK(good.N, 65538)), "key_refused"},
		{"exponent of 33 bits", set(rsaJWK(good.N, 1<<32+1)), "key_refused"},
		{"ROCA", set(rsaJWK(rocaModulus(), 65537)), "key_refused"},
		{"point not on the curve", set(`{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}`), "json_malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys, err := jose.ParseKeys(c.raw)
			if reason(err) != c.want || idp.AsError(err).Kind != idp.Invalid {
				t.Errorf("got %d keys and %v, want %s", len(keys), err, c.want)
			}
		})
	}
	if _, err := jose.Usable(&rsa.PublicKey{N: good.N, E: good.E}); err != nil {
		t.Errorf("a sound RSA key is refused: %v", err)
	}
	// go-jose refuses these before we do; Usable does not rely on that.
	for name, k := range map[string]*rsa.PublicKey{"8193 bits": {N: odd(8193), E: 65537}, "exponent 1": {N: good.N, E: 1}} {
		if _, err := jose.Usable(k); reason(err) != "key_refused" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := jose.Usable(&p224.PublicKey); reason(err) != "key_refused" {
		t.Errorf("P-224: %v", err)
	}
}

// rocaModulus has the mark of the broken generator: 65537^5 modulo the product
// of the first 39 primes, plus a multiple of that product.
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

// TestSoundKeysAreNotTakenForROCA draws moduli of no special shape.
func TestSoundKeysAreNotTakenForROCA(t *testing.T) {
	for range 2000 {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 2047))
		if err != nil {
			t.Fatal(err)
		}
		n.SetBit(n.SetBit(n, 2047, 1), 0, 1)
		if _, err := jose.Usable(&rsa.PublicKey{N: n, E: 65537}); err != nil {
			t.Fatalf("%x: %v", n, err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add(set(jwk(f, gojose.JSONWebKey{Key: &p256(f).PublicKey, KeyID: "a"})))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"}]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := jose.ParseKeys(raw)
		if err != nil {
			if idp.AsError(err).Kind != idp.Invalid {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		for _, k := range keys {
			if algs, err := jose.Usable(k.Key); err != nil || len(algs) == 0 {
				t.Errorf("%q: a key that may not be used: %v", raw, err)
			}
		}
	})
}
