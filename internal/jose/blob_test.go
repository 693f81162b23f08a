package jose_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// otherRSA is another key than rsa2048's.
func otherRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := secondRSA()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var secondRSA = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// rsaModulus is an odd number of so many bits.
func rsaModulus(bits int) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return n.Add(n, big.NewInt(12345))
}

// rawBlob writes a blob of any numbers.
func rawBlob(bits, primes int, exponent, modulus []byte) []byte {
	out := []byte("RSA1")
	for _, v := range []int{bits, len(exponent), len(modulus), primes, 0} {
		out = binary.LittleEndian.AppendUint32(out, uint32(v))
	}
	return append(append(out, exponent...), modulus...)
}

var e65537 = []byte{1, 0, 1}

// TestRSA1KnownAnswer: the row of device-protocol.md §8.2, and the beginning of
// §5.4.
func TestRSA1KnownAnswer(t *testing.T) {
	blob := jose.RSA1(&rsa.PublicKey{N: new(big.Int).SetBytes(bytes.Repeat([]byte{0xc3}, 256)), E: 65537})
	sum := sha256.Sum256(blob)
	if kid := base64.StdEncoding.EncodeToString(sum[:]); kid != "HNhKnXiBij9GHhMy8oafiGjJI0QKZ55yyZGtDkAPq/8=" {
		t.Errorf("kid %s", kid)
	}
	if len(blob) != 283 || !strings.HasPrefix(hex.EncodeToString(blob), "525341310008000003000000000100000000000000000000010001") {
		t.Errorf("%d bytes, %x", len(blob), blob[:27])
	}
}

func TestRSA1RoundTrip(t *testing.T) {
	key := rsa2048(t)
	got, err := jose.ParseRSA1(jose.RSA1(&key.PublicKey))
	if err != nil || !got.Equal(&key.PublicKey) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestSec_TOK07_RSA1Refuses: each refusal of device-protocol.md §5.4, with a
// blob that is right otherwise.
func TestSec_TOK07_RSA1Refuses(t *testing.T) {
	key := rsa2048(t)
	n := key.N.Bytes()
	good := rawBlob(2048, 0, e65537, n)
	if _, err := jose.ParseRSA1(good); err != nil {
		t.Fatal(err)
	}
	set := func(at int, value byte) []byte { b := bytes.Clone(good); b[at] = value; return b }
	even := bytes.Clone(n)
	even[255] &^= 1
	secondPrime := bytes.Clone(good)
	secondPrime[20] = 1
	long := func(at int) []byte { b := bytes.Clone(good); copy(b[at:], "\xff\xff\xff\xff"); return b }
	odd1984 := bytes.Clone(n[8:])
	odd1984[0] |= 0x80
	for _, c := range []struct {
		name string
		blob []byte
		want string
	}{
		{"private key's magic", append([]byte("RSA2"), good[4:]...), "rsa1_malformed"},
		{"elliptic curve's magic", append([]byte("ECK1"), good[4:]...), "rsa1_malformed"},
		{"first prime", set(16, 1), "rsa1_malformed"},
		{"second prime", secondPrime, "rsa1_malformed"},
		{"byte behind", append(bytes.Clone(good), 0), "rsa1_malformed"},
		{"byte missing", good[:len(good)-1], "rsa1_malformed"},
		{"empty", nil, "rsa1_malformed"},
		{"head alone", good[:24], "rsa1_malformed"},
		{"cut in the head", good[:23], "rsa1_malformed"},
		{"bits too many", rawBlob(2049, 0, e65537, n), "rsa1_malformed"},
		{"bits too few", rawBlob(2047, 0, e65537, n), "rsa1_malformed"},
		{"bits of the bytes, not the number", rawBlob(2048, 0, e65537, append([]byte{0x7f}, n[1:]...)), "rsa1_malformed"},
		{"zero in front of the modulus", rawBlob(2048, 0, e65537, append([]byte{0}, n...)), "rsa1_malformed"},
		{"zero in front of the exponent", rawBlob(2048, 0, []byte{0, 1, 0, 1}, n), "rsa1_malformed"},
		{"exponent of five bytes", rawBlob(2048, 0, []byte{1, 0, 0, 0, 1}, n), "rsa1_malformed"},
		{"no exponent", rawBlob(2048, 0, nil, n), "rsa1_malformed"},
		{"no modulus", rawBlob(0, 0, e65537, nil), "rsa1_malformed"},
		{"exponent's length of 4 GiB", long(8), "rsa1_malformed"},
		{"modulus's length of 4 GiB", long(12), "rsa1_malformed"},
		{"modulus of 1984 bits", rawBlob(1984, 0, e65537, odd1984), "key_refused"},
		{"modulus of 8200 bits", rawBlob(8200, 0, e65537, rsaModulus(8200).Bytes()), "key_refused"},
		{"even modulus", rawBlob(2048, 0, e65537, even), "key_refused"},
		{"exponent 3", rawBlob(2048, 0, []byte{3}, n), "key_refused"},
		{"exponent 65535", rawBlob(2048, 0, []byte{0xff, 0xff}, n), "key_refused"},
		{"even exponent", rawBlob(2048, 0, []byte{1, 0, 2}, n), "key_refused"},
		{"key of the broken generator", jose.RSA1(&rsa.PublicKey{N: rocaModulus(), E: 65537}), "key_refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if key, err := jose.ParseRSA1(c.blob); key != nil || reason(err) != c.want || !errors.Is(err, idp.Invalid) {
				t.Errorf("got %v, %v; want %s", key, err, c.want)
			}
		})
	}
}

// FuzzParseRSA1: what is taken is the one spelling of its key.
func FuzzParseRSA1(f *testing.F) {
	f.Add(jose.RSA1(&rsa2048(f).PublicKey))
	f.Add([]byte("RSA1"))
	f.Add(rawBlob(2048, 0, e65537, bytes.Repeat([]byte{0xc3}, 256)))
	f.Fuzz(func(t *testing.T, blob []byte) {
		key, err := jose.ParseRSA1(blob)
		if err != nil {
			if !errors.Is(err, idp.Invalid) {
				t.Error(err)
			}
			return
		}
		if !bytes.Equal(jose.RSA1(key), blob) {
			t.Errorf("%x is another spelling", blob)
		}
	})
}

// ecKeyWithZero makes keys until a coordinate begins with a zero byte.
func ecKeyWithZero(t *testing.T, x bool) (key *ecdsa.PublicKey, point []byte) {
	for {
		k := p256(t).PublicKey
		raw, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if at := map[bool]int{true: 1, false: 33}[x]; raw[at] == 0 {
			return &k, raw
		}
	}
}

func TestLooseKeyTakesWhatClientsWrite(t *testing.T) {
	key := rsa2048(t)
	for name, b64 := range map[string]*base64.Encoding{"standard": base64.StdEncoding, "url": base64.RawURLEncoding} {
		n := b64.EncodeToString(key.N.Bytes())
		got, kid, err := jose.ParseLooseKey([]byte(`{"kty":"RSA","e":"AQAB","n":"` + n + `","alg":"RS256","kid":"K-1"}`))
		if err != nil || !key.PublicKey.Equal(got) || kid != "K-1" {
			t.Errorf("RSA in %s: %v, %q, %v", name, got, kid, err)
		}
	}
	for _, x := range []bool{true, false} {
		key, raw := ecKeyWithZero(t, x)
		trim := func(b []byte) string { return base64.StdEncoding.EncodeToString(bytes.TrimLeft(b, "\x00")) }
		got, _, err := jose.ParseLooseKey([]byte(`{"kty":"EC","crv":"P-256","x":"` + trim(raw[1:33]) + `","y":"` + trim(raw[33:]) + `"}`))
		if err != nil || !key.Equal(got) {
			t.Errorf("a zero in front, x %t: %v, %v", x, got, err)
		}
		got, _, err = jose.ParseLooseKey([]byte(`{"kty":"EC","crv":"P-256","x":"` + encode(string(raw[1:33])) + `","y":"` + encode(string(raw[33:])) + `","kid":7}`))
		if err != nil || !key.Equal(got) {
			t.Errorf("all 32 bytes: %v, %v", got, err)
		}
	}
}

func TestSec_TOK07_LooseKeyRefuses(t *testing.T) {
	n := encode(string(rsa2048(t).N.Bytes()))
	raw, err := p256(t).PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	x, y := encode(string(raw[1:33])), encode(string(raw[33:]))
	ec := func(crv, x, y string) string { return fmt.Sprintf(`{"kty":"EC","crv":%q,"x":%q,"y":%q}`, crv, x, y) }
	rsaKey := func(n, e, more string) string { return fmt.Sprintf(`{"kty":"RSA","n":%q,"e":%q%s}`, n, e, more) }
	odd := encode(string(rsaModulus(1024).Bytes()))
	even := encode(string(rsaModulus(2049).Lsh(rsaModulus(2048), 1).Bytes()))
	for _, c := range []struct{ name, in, want string }{
		{"private RSA key", rsaKey(n, "AQAB", `,"d":"AQ"`), "private_key"},
		{"private EC key", `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `","d":"AQ"}`, "private_key"},
		{"private by a prime", rsaKey(n, "AQAB", `,"P":"AQ"`), "private_key"},
		{"secret", `{"kty":"oct","k":"AQ"}`, "private_key"},
		{"Ed25519", `{"kty":"OKP","crv":"Ed25519","x":"` + x + `"}`, "jwk_malformed"},
		{"P-384", ec("P-384", x, y), "jwk_malformed"},
		{"no point of the curve", ec("P-256", x, x), "jwk_malformed"},
		{"33 bytes", ec("P-256", encode("\x00"+string(raw[1:33])), y), "jwk_malformed"},
		{"no y", ec("P-256", x, ""), "jwk_malformed"},
		{"x is no base64", ec("P-256", "*", y), "jwk_malformed"},
		{"RSA of 1024 bits", rsaKey(odd, "AQAB", ""), "key_refused"},
		{"RSA, exponent 3", rsaKey(n, "Aw", ""), "key_refused"},
		{"RSA, even modulus", rsaKey(even, "AQAB", ""), "key_refused"},
		{"RSA of the broken generator", rsaKey(encode(string(rocaModulus().Bytes())), "AQAB", ""), "key_refused"},
		{"RSA, exponent of five bytes", rsaKey(n, "AQAAAAE", ""), "jwk_malformed"},
		{"RSA, no exponent", rsaKey(n, "", ""), "jwk_malformed"},
		{"RSA, no modulus", rsaKey("", "AQAB", ""), "jwk_malformed"},
		{"RSA, modulus without end", rsaKey(encode(strings.Repeat("\x81", 1026)), "AQAB", ""), "jwk_malformed"},
		{"member twice", `{"kty":"RSA","n":"AQ","N":"` + n + `","e":"AQAB"}`, "json_malformed"},
		{"kid too long", rsaKey(n, "AQAB", `,"kid":"`+strings.Repeat("k", 129)+`"`), "jwk_malformed"},
		{"no kty", `{"n":"` + n + `","e":"AQAB"}`, "jwk_malformed"},
		{"nothing", ``, "json_malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if key, _, err := jose.ParseLooseKey([]byte(c.in)); key != nil || reason(err) != c.want || !errors.Is(err, idp.Invalid) {
				t.Errorf("got %v, %v; want %s", key, err, c.want)
			}
		})
	}
}

// FuzzParseLooseKey: what is taken is Usable.
func FuzzParseLooseKey(f *testing.F) {
	f.Add([]byte(`{"kty":"RSA","e":"AQAB","n":"` + encode(string(rsa2048(f).N.Bytes())) + `"}`))
	f.Add([]byte(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		key, _, err := jose.ParseLooseKey(raw)
		if err != nil {
			if !errors.Is(err, idp.Invalid) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if _, err := jose.Usable(key); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
	})
}
