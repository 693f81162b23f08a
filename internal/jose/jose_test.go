package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func decode(s string) []byte {
	raw, _ := base64.RawURLEncoding.DecodeString(s)
	return raw
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsa2048(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// forge signs any header and payload with a P-256 key, by go-jose's own
// primitives: a sender who is wrong about everything but the signature.
func forge(t testing.TB, key *ecdsa.PrivateKey, header, payload string) string {
	t.Helper()
	input := encode(header) + "." + encode(payload)
	return input + "." + base64.RawURLEncoding.EncodeToString(rawSignature(t, key, input))
}

func rawSignature(t testing.TB, key *ecdsa.PrivateKey, input string) []byte {
	t.Helper()
	h := crypto.SHA256.New()
	io.WriteString(h, input)
	r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

func verify(compact, alg string, key crypto.PublicKey) error {
	m, err := jose.Parse(compact, "ES256", "RS256")
	if err != nil {
		return err
	}
	return m.Verify(alg, key, new(struct {
		Subject string `json:"sub"`
	}))
}

const goodHeader = `{"alg":"ES256","kid":"k1","typ":"at+jwt"}`

// TestSignedByUsVerifiesThere reads our messages with go-jose alone, many of
// them: r and s that begin with zero bytes come up among them.
func TestSignedByUsVerifiesThere(t *testing.T) {
	for alg, key := range map[string]crypto.Signer{"ES256": p256(t), "RS256": rsa2048(t)} {
		t.Run(alg, func(t *testing.T) {
			s, err := jose.NewSigner(alg, `k"1`, "at+jwt", key)
			if err != nil {
				t.Fatal(err)
			}
			rounds := 1500
			if alg == "RS256" {
				rounds = 20
			}
			for n := range rounds {
				want := fmt.Sprintf(`{"sub":"<ada> & %d"}`, n)
				var claims any
				if err := json.Unmarshal([]byte(want), &claims); err != nil {
					t.Fatal(err)
				}
				compact, err := s.Sign(claims)
				if err != nil {
					t.Fatal(err)
				}
				m, err := gojose.ParseSignedCompact(compact, []gojose.SignatureAlgorithm{gojose.SignatureAlgorithm(alg)})
				if err != nil {
					t.Fatal(err)
				}
				payload, err := m.Verify(key.Public())
				if err != nil {
					t.Fatalf("round %d: %v", n, err)
				}
				var got any
				if err := json.Unmarshal(payload, &got); err != nil || fmt.Sprint(got) != fmt.Sprint(claims) {
					t.Fatalf("payload %s, %v; want %s", payload, err, want)
				}
				h := m.Signatures[0].Protected
				if h.KeyID != `k"1` || h.Algorithm != alg || h.ExtraHeaders["typ"] != "at+jwt" {
					t.Fatalf("header %+v", h)
				}
				if err := verify(compact, alg, key.Public()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestNewSignerRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, alg string
		key       crypto.Signer
	}{
		{"RSA algorithm, EC key", "RS256", p256(t)},
		{"EC algorithm, RSA key", "ES256", rsa2048(t)},
		{"ES256 with P-384", "ES256", p384},
		{"ES384", "ES384", p384},
		{"none", "none", p256(t)},
		{"HS256", "HS256", p256(t)},
		{"EdDSA", "EdDSA", ed},
	} {
		if _, err := jose.NewSigner(c.alg, "k", "JWT", c.key); err == nil {
			t.Errorf("%s: a signer was made", c.name)
		}
	}
}

func TestMessageSaysWhatItsHeaderSays(t *testing.T) {
	m, err := jose.Parse(forge(t, p256(t), `{"alg":"ES256","kid":"k1","typ":"application/AT+jwt"}`, `{}`), "ES256")
	if err != nil || m.Alg != "ES256" || m.KeyID != "k1" || m.Type != "at+jwt" {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestSec_TOK02_AlgorithmComesFromTheKey(t *testing.T) {
	key, weak := p256(t), rsa2048(t)
	good := forge(t, key, goodHeader, `{"sub":"ada"}`)
	if err := verify(good, "ES256", &key.PublicKey); err != nil {
		t.Fatalf("good message: %v", err)
	}
	// The public key as the secret of an HMAC: the old confusion.
	pub, err := key.PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	hs, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.HS256, Key: pub.Bytes()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := hs.Sign([]byte(`{"sub":"ada"}`))
	if err != nil {
		t.Fatal(err)
	}
	confused, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	body := encode(`{"sub":"ada"}`)
	for _, c := range []struct {
		name, compact, alg string
		key                crypto.PublicKey
		want               string
	}{
		{"none, no signature", encode(`{"alg":"none"}`) + "." + body + ".", "ES256", &key.PublicKey, "token_malformed"},
		{"none, with signature", encode(`{"alg":"none"}`) + "." + body + ".AAAA", "ES256", &key.PublicKey, "algorithm_refused"},
		{"NONE", encode(`{"alg":"NONE"}`) + "." + body + ".AAAA", "ES256", &key.PublicKey, "algorithm_refused"},
		{"es256", forge(t, key, `{"alg":"es256"}`, `{}`), "ES256", &key.PublicKey, "algorithm_refused"},
		{"no algorithm", forge(t, key, `{"kid":"k1"}`, `{}`), "ES256", &key.PublicKey, "algorithm_refused"},
		{"HMAC with the public key", confused, "ES256", &key.PublicKey, "algorithm_refused"},
		{"not in the list", forge(t, key, `{"alg":"ES384"}`, `{}`), "ES256", &key.PublicKey, "algorithm_refused"},
		{"another than the key is registered for", good, "RS256", &key.PublicKey, "algorithm_differs"},
		{"RS256 with a key for PS256", rs256(t, weak), "PS256", &weak.PublicKey, "algorithm_differs"},
		{"RS256 named, EC key", forge(t, key, `{"alg":"RS256"}`, `{}`), "RS256", &key.PublicKey, "algorithm_differs"},
		{"ES256 named, RSA key", good, "ES256", &weak.PublicKey, "algorithm_differs"},
		{"another key", good, "ES256", &p256(t).PublicKey, "wrong_signature"},
		{"a secret as the key", good, "ES256", []byte("secret"), "key_refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := verify(c.compact, c.alg, c.key); reason(err) != c.want || !isUnproven(err) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func rs256(t *testing.T, key *rsa.PrivateKey) string {
	t.Helper()
	s, err := jose.NewSigner("RS256", "k", "at+jwt", key)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := s.Sign(struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func isUnproven(err error) bool { return err != nil && idp.AsError(err).Kind == idp.Unproven }

func TestSec_TOK03_KeyIDIsBoundedAndChoosesOneKey(t *testing.T) {
	key := p256(t)
	long := forge(t, key, `{"alg":"ES256","kid":"`+strings.Repeat("k", 129)+`"}`, `{}`)
	if err := verify(long, "ES256", &key.PublicKey); reason(err) != "token_malformed" {
		t.Errorf("kid of 129 bytes: %v", err)
	}
	for name, kid := range map[string]string{"number": `7`, "object": `{"a":1}`, "list": `["k1"]`} {
		if err := verify(forge(t, key, `{"alg":"ES256","kid":`+kid+`}`, `{}`), "ES256", &key.PublicKey); reason(err) != "token_malformed" {
			t.Errorf("kid is a %s: %v", name, err)
		}
	}
	one, two, three := jose.Key{ID: "k1", Algs: []string{"ES256"}}, jose.Key{ID: "k2", Algs: []string{"ES256"}}, jose.Key{ID: "k3", Algs: []string{"RS256"}}
	for _, c := range []struct {
		name string
		keys []jose.Key
		m    jose.Message
		want string // the key's name; empty: refused
	}{
		{"named", []jose.Key{one, two}, jose.Message{Alg: "ES256", KeyID: "k2"}, "k2"},
		{"unknown name, one key", []jose.Key{one}, jose.Message{Alg: "ES256", KeyID: "../k1"}, ""},
		{"no name, one that fits", []jose.Key{one, three}, jose.Message{Alg: "RS256"}, "k3"},
		{"no name, two that fit", []jose.Key{one, two}, jose.Message{Alg: "ES256"}, ""},
		{"name of a key for another algorithm", []jose.Key{one, three}, jose.Message{Alg: "ES256", KeyID: "k3"}, ""},
		{"none registered", nil, jose.Message{Alg: "ES256"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := jose.Find(c.keys, c.m)
			if got.ID != c.want || (c.want == "") != (reason(err) == "key_unknown") {
				t.Errorf("got %q, %v; want %q", got.ID, err, c.want)
			}
		})
	}
}

// TestSec_TOK04 offers the attacker's own key in every member that may carry
// one, with a signature that is right under it.
func TestSec_TOK04_EmbeddedKeysAreRefused(t *testing.T) {
	key := p256(t)
	jwk, err := json.Marshal(gojose.JSONWebKey{Key: &key.PublicKey})
	if err != nil {
		t.Fatal(err)
	}
	for member, value := range map[string]string{
		"jwk": string(jwk), "jku": `"https://evil.example/keys"`, "x5u": `"https://evil.example/cert"`, "x5c": `["AAAA"]`,
	} {
		compact := forge(t, key, `{"alg":"ES256","`+member+`":`+value+`}`, `{}`)
		if err := verify(compact, "ES256", &key.PublicKey); reason(err) != "embedded_key" {
			t.Errorf("%s: %v", member, err)
		}
	}
}

func TestSec_TOK08_StrictReading(t *testing.T) {
	key := p256(t)
	good := forge(t, key, goodHeader, `{"sub":"ada"}`)
	parts := strings.Split(good, ".")
	for _, c := range []struct{ name, compact string }{
		{"header name twice", forge(t, key, `{"alg":"ES256","alg":"ES256"}`, `{}`)},
		{"unknown header name twice", forge(t, key, `{"alg":"ES256","x":1,"x":1}`, `{}`)},
		{"header name twice, deep", forge(t, key, `{"alg":"ES256","x":{"y":1,"y":2}}`, `{}`)},
		{"claim twice", forge(t, key, goodHeader, `{"sub":"ada","sub":"eve"}`)},
		{"claim twice by an escape", forge(t, key, goodHeader, `{"sub":"ada","s\u0075b":"eve"}`)},
		{"unknown claim twice, deep", forge(t, key, goodHeader, `{"sub":"ada","x":[{"y":{"z":1,"z":2}}]}`)},
		{"data behind the header", forge(t, key, goodHeader+`{}`, `{}`)},
		{"data behind the claims", forge(t, key, goodHeader, `{} x`)},
		{"claims are a list", forge(t, key, goodHeader, `["ada"]`)},
		{"claims are no JSON", forge(t, key, goodHeader, `ada`)},
		{"header is a list", forge(t, key, `["ES256"]`, `{}`)},
		{"claims too deep", forge(t, key, goodHeader, `{"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`)},
		{"header in capitals", forge(t, key, `{"ALG":"ES256"}`, `{}`)},
		{"padding", parts[0] + "=." + parts[1] + "." + parts[2]},
		{"standard base64", good[:len(good)-2] + "+/"},
		{"line feed", parts[0] + "\n." + parts[1] + "." + parts[2]},
		{"carriage return at the end", good + "\r"},
		{"space before", " " + good},
		{"space behind", good + " "},
		{"stray bits in the signature", strayBits(parts)},
		{"two parts", parts[0] + "." + parts[1]},
		{"four parts", good + "." + parts[2]},
		{"five parts", good + "." + parts[2] + "." + parts[2]},
		{"empty", ""},
		{"dots", ".."},
		{"empty payload", parts[0] + ".." + parts[2]},
		{"empty signature", parts[0] + "." + parts[1] + "."},
		{"JSON serialisation", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`},
		{"too long though its parts are not", forge(t, key, goodHeader, `{"x":"`+strings.Repeat("x", 13<<10)+`"}`)},
		{"too long", forge(t, key, goodHeader, `{"x":"`+strings.Repeat("x", jose.MaxToken)+`"}`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := verify(c.compact, "ES256", &key.PublicKey); !isUnproven(err) {
				t.Errorf("got %v, want Unproven", err)
			}
		})
	}
	// A name in other letters is another name.
	m, err := jose.Parse(forge(t, key, goodHeader, `{"SUB":"eve"}`), "ES256")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Subject string `json:"sub"`
	}
	if err := m.Verify("ES256", &key.PublicKey, &got); err != nil || got.Subject != "" {
		t.Errorf("SUB was read as sub: %q, %v", got.Subject, err)
	}
}

// strayBits gives the last character of a signature another value that decodes
// to the same bytes in a lenient reader.
func strayBits(parts []string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	sig := parts[2]
	last := strings.IndexByte(alphabet, sig[len(sig)-1])
	return parts[0] + "." + parts[1] + "." + sig[:len(sig)-1] + string(alphabet[last|1])
}

func TestSec_TOK10_CriticalHeadersAreRefused(t *testing.T) {
	key := p256(t)
	for _, header := range []string{
		`{"alg":"ES256","crit":["exp"],"exp":1}`, `{"alg":"ES256","crit":[]}`, `{"alg":"ES256","crit":null}`,
		`{"alg":"ES256","crit":["b64"],"b64":false}`, `{"alg":"ES256","b64":false}`, `{"alg":"ES256","b64":true}`, `{"alg":"ES256","zip":"DEF"}`,
	} {
		if err := verify(forge(t, key, header, `{}`), "ES256", &key.PublicKey); reason(err) != "header_refused" {
			t.Errorf("%s: %v", header, err)
		}
	}
}

// TestSec_TOK07 gives r and s that no signer makes.
func TestSec_TOK07_SignatureNumbersOutOfRange(t *testing.T) {
	key := p256(t)
	n := elliptic.P256().Params().N
	input := encode(goodHeader) + "." + encode(`{}`)
	good := rawSignature(t, key, input)
	fill := func(x *big.Int) []byte { return x.FillBytes(make([]byte, 32)) }
	zero, one := big.NewInt(0), big.NewInt(1)
	for name, sig := range map[string][]byte{
		"r is 0": append(fill(zero), good[32:]...), "s is 0": append(append([]byte{}, good[:32]...), fill(zero)...),
		"both 0": make([]byte, 64), "r is n": append(fill(n), good[32:]...), "s is n": append(append([]byte{}, good[:32]...), fill(n)...),
		"both 1": append(fill(one), fill(one)...), "63 bytes": good[:63], "65 bytes": append(append([]byte{}, good...), 0),
		"zeros in between": append(append(append([]byte{0}, good[:32]...), 0), good[32:]...),
	} {
		if err := verify(input+"."+base64.RawURLEncoding.EncodeToString(sig), "ES256", &key.PublicKey); reason(err) != "wrong_signature" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParse: whatever comes, Parse says Unproven or gives a message that no key
// but its own verifies, and never panics.
func FuzzParse(f *testing.F) {
	key := p256(f)
	good := forge(f, key, goodHeader, `{"sub":"ada"}`)
	for _, seed := range []string{good, "", "..", "a.b.c", encode(`{"alg":"none"}`) + ".e30.", encode(`{"alg":"ES256","crit":["x"]}`) + ".e30.AAAA",
		good + "=", encode(`{"alg":"ES256","x":{"y":1,"y":1}}`) + ".e30.AAAA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		err := verify(compact, "ES256", &key.PublicKey)
		if (err == nil) != (compact == good) || (err != nil && !isUnproven(err)) {
			t.Errorf("%q: %v", compact, err)
		}
	})
}

// FuzzStrict: what Strict takes, encoding/json takes too and reads alike.
func FuzzStrict(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":1}}`, `[[[[]]]]`, `"\"{"`, `{"a":"\\"}`, `1 2`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got, want any
		if err := jose.Strict(raw, &got); err != nil {
			if idp.AsError(err).Kind != idp.Invalid {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if err := json.Unmarshal(raw, &want); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: read as %v; encoding/json says %v, %v", raw, got, want, err)
		}
	})
}
