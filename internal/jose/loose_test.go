package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// The session key and ctx of device-protocol.md §8.2.
var (
	sampleKey = func() (k []byte) {
		for n := range 32 {
			k = append(k, byte(n))
		}
		return k
	}()
	sampleCtx = []byte("@ABCDEFGHIJKLMNOPQRSTUVW")
)

const ctx64 = "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZX"

// signLoose signs texts as they are, in the given base64.
func signLoose(t testing.TB, b64 *base64.Encoding, header, payload string, sign func(input []byte) []byte) string {
	t.Helper()
	input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	return input + "." + b64.EncodeToString(sign([]byte(input)))
}

func withRSA(t testing.TB, key *rsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha256.Sum256(input)
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
}

func withMAC(key []byte) func([]byte) []byte {
	return func(input []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(input)
		return h.Sum(nil)
	}
}

func withEC(t testing.TB, key *ecdsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte { return rawSignature(t, key, string(input)) }
}

// TestLooseTakesWhatClientsWrite: each way of spelling that device-protocol.md
// §0 and §1.3 name.
func TestLooseTakesWhatClientsWrite(t *testing.T) {
	key := rsa2048(t)
	payload := `{"request_nonce":"n~?>1","iat":"1800000000"}`
	for _, c := range []struct {
		name, header string
		b64          *base64.Encoding
	}{
		{"as it should be", `{"alg":"RS256","typ":"JWT","x5c":["AAEC"],"kdf_ver":2}`, base64.RawURLEncoding},
		{"x5c as a string", `{"alg":"RS256","x5c":"AAEC","kdf_ver":2}`, base64.RawURLEncoding},
		{"version as a string", `{"alg":"RS256","x5c":"AAEC","kdf_ver":"2"}`, base64.RawURLEncoding},
		{"padding", `{"alg":"RS256","x5c":["AAEC"],"kdf_ver":2}`, base64.URLEncoding},
		{"standard alphabet", `{"alg":"RS256","x5c":["AAEC"],"kdf_ver":2,"kid":"??>>~~"}`, base64.RawStdEncoding},
		{"standard alphabet, padding", `{"alg":"RS256","x5c":["AAEC"],"kdf_ver":2}`, base64.StdEncoding},
		{"stray kid, number", `{"alg":"RS256","x5c":["AAEC"],"kdf_ver":2,"kid":7}`, base64.RawURLEncoding},
		{"names in other case", `{"Alg":"RS256","X5C":["AAEC"],"KDF_ver":2}`, base64.RawURLEncoding},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := jose.ParseLoose(signLoose(t, c.b64, c.header, payload, withRSA(t, key)), "RS256", "HS256")
			if err != nil {
				t.Fatal(err)
			}
			var v struct {
				Nonce  string      `json:"Request_Nonce"`
				Issued jose.Number `json:"iat"`
			}
			if err := m.VerifyKey(&key.PublicKey); err != nil {
				t.Error(err)
			}
			if err := m.Read(&v); err != nil || v.Nonce != "n~?>1" || v.Issued != 1_800_000_000 {
				t.Errorf("%+v, %v", v, err)
			}
			if string(m.Payload) != payload || m.KDF != 2 || len(m.Chain) != 1 || string(m.Chain[0]) != "\x00\x01\x02" {
				t.Errorf("%+v", m)
			}
		})
	}
	t.Run("use and kid of a Hello key", func(t *testing.T) {
		m, err := jose.ParseLoose(signLoose(t, base64.RawURLEncoding, `{"alg":"RS256","use":"ngc","kid":"HNhKnXiBij9GHhMy8oafiGjJI0QKZ55yyZGtDkAPq/8="}`, payload, withRSA(t, key)), "RS256")
		if err != nil || m.Use != "ngc" || m.KeyID != "HNhKnXiBij9GHhMy8oafiGjJI0QKZ55yyZGtDkAPq/8=" || m.KDF != 0 || m.Ctx != nil {
			t.Errorf("%+v, %v", m, err)
		}
	})
	t.Run("P-256", func(t *testing.T) {
		key := p256(t)
		m, err := jose.ParseLoose(signLoose(t, base64.RawURLEncoding, `{"alg":"ES256","x5c":["AAEC"]}`, payload, withEC(t, key)), "ES256")
		if err != nil || m.VerifyKey(&key.PublicKey) != nil {
			t.Errorf("%+v, %v", m, err)
		}
	})
	t.Run("HMAC, ctx in the other alphabet", func(t *testing.T) {
		m, err := jose.ParseLoose(signLoose(t, base64.RawURLEncoding, `{"alg":"HS256","ctx":"-_-_-_-_-_-_-_-_-_-_-w"}`, payload, withMAC(sampleKey)), "HS256")
		if err != nil || len(m.Ctx) != 16 || m.VerifyMAC(sampleKey) != nil {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

// TestSec_TOK08_LooseRefuses: leniency ends with spelling.
func TestSec_TOK08_LooseRefuses(t *testing.T) {
	key := rsa2048(t)
	sign := func(header, payload string) string {
		return signLoose(t, base64.RawURLEncoding, header, payload, withRSA(t, key))
	}
	const h = `{"alg":"RS256"}`
	good := sign(h, `{"a":1}`)
	if _, err := jose.ParseLoose(good, "RS256"); err != nil {
		t.Fatal(err)
	}
	part := strings.Split(good, ".")
	for _, c := range []struct{ name, compact, want string }{
		{"member twice", sign(h, `{"a":1,"a":2}`), "token_malformed"},
		{"member twice, other case", sign(h, `{"refresh_token":1,"Refresh_Token":2}`), "token_malformed"},
		{"member twice, deep", sign(h, `{"x":{"y":[{"a":1,"A":2}]}}`), "token_malformed"},
		{"header member twice", sign(`{"alg":"RS256","ALG":"RS256"}`, `{}`), "token_malformed"},
		{"crit", sign(`{"alg":"RS256","crit":[]}`, `{}`), "header_refused"},
		{"crit in capitals", sign(`{"alg":"RS256","CRIT":["x"]}`, `{}`), "header_refused"},
		{"crit is null", sign(`{"alg":"RS256","crit":null}`, `{}`), "header_refused"},
		{"b64", sign(`{"alg":"RS256","b64":true}`, `{}`), "header_refused"},
		{"zip", sign(`{"alg":"RS256","zip":"DEF"}`, `{}`), "header_refused"},
		{"jwk", sign(`{"alg":"RS256","jwk":{}}`, `{}`), "embedded_key"},
		{"jku", sign(`{"alg":"RS256","jku":"https://evil.example"}`, `{}`), "embedded_key"},
		{"x5u", sign(`{"alg":"RS256","x5u":"https://evil.example"}`, `{}`), "embedded_key"},
		{"algorithm not listed", sign(`{"alg":"RS384"}`, `{}`), "algorithm_refused"},
		{"none", sign(`{"alg":"none"}`, `{}`), "algorithm_refused"},
		{"rs256", sign(`{"alg":"rs256"}`, `{}`), "algorithm_refused"},
		{"no algorithm", sign(`{}`, `{}`), "algorithm_refused"},
		{"HMAC where none is expected", sign(`{"alg":"HS256","ctx":"`+ctx64+`"}`, `{}`), "algorithm_refused"},
		{"algorithm as a number", sign(`{"alg":256}`, `{}`), "token_malformed"},
		{"payload is a list", sign(h, `[1]`), "token_malformed"},
		{"payload is a string", sign(h, `"{}"`), "token_malformed"},
		{"payload is no JSON", sign(h, `{a}`), "token_malformed"},
		{"two payloads", sign(h, `{} {}`), "token_malformed"},
		{"kid too long", sign(`{"alg":"RS256","kid":"`+strings.Repeat("k", 129)+`"}`, `{}`), "token_malformed"},
		{"kid is an object", sign(`{"alg":"RS256","kid":{}}`, `{}`), "token_malformed"},
		{"six certificates", sign(`{"alg":"RS256","x5c":["AA","AA","AA","AA","AA","AA"]}`, `{}`), "token_malformed"},
		{"certificate is no base64", sign(`{"alg":"RS256","x5c":["A*"]}`, `{}`), "token_malformed"},
		{"certificate is empty", sign(`{"alg":"RS256","x5c":""}`, `{}`), "token_malformed"},
		{"certificate is a number", sign(`{"alg":"RS256","x5c":[1]}`, `{}`), "token_malformed"},
		{"version 3", sign(`{"alg":"RS256","kdf_ver":3}`, `{}`), "kdf_unknown"},
		{"version 0", sign(`{"alg":"RS256","kdf_ver":"0"}`, `{}`), "kdf_unknown"},
		{"version is a word", sign(`{"alg":"RS256","kdf_ver":"two"}`, `{}`), "token_malformed"},
		{"line feed", part[0] + "\n." + part[1] + "." + part[2], "token_malformed"},
		{"space", " " + good, "token_malformed"},
		{"two parts", part[0] + "." + part[1], "token_malformed"},
		{"four parts", good + "." + part[2], "token_malformed"},
		{"five parts", good + ".a.b", "token_malformed"},
		{"empty", "", "token_malformed"},
		{"dots", "..", "token_malformed"},
		{"no payload", part[0] + ".." + part[2], "token_malformed"},
		{"no signature", part[0] + "." + part[1] + ".", "token_malformed"},
		{"only padding for a signature", part[0] + "." + part[1] + ".==", "token_malformed"},
		{"stray bits", strayBits([]string{part[0], part[1], "AQA"}), "token_malformed"},
		{"too long", sign(h, `{"x":"`+strings.Repeat("x", jose.MaxToken)+`"}`), "token_malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := jose.ParseLoose(c.compact, "RS256"); reason(err) != c.want || !isUnproven(err) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestSec_TOK02_LooseAlgorithmComesFromTheKey.
func TestSec_TOK02_LooseAlgorithmComesFromTheKey(t *testing.T) {
	weak, key := rsa2048(t), p256(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs := signLoose(t, base64.RawURLEncoding, `{"alg":"RS256"}`, `{}`, withRSA(t, weak))
	es := signLoose(t, base64.RawURLEncoding, `{"alg":"ES256"}`, `{}`, withEC(t, key))
	hs := signLoose(t, base64.RawURLEncoding, `{"alg":"HS256","ctx":"`+ctx64+`"}`, `{}`, withMAC(sampleKey))
	small := &rsa.PublicKey{N: rsaModulus(1024), E: 65537}
	for _, c := range []struct {
		name, compact string
		key           crypto.PublicKey
		want          string
	}{
		{"RSA", rs, &weak.PublicKey, ""}, {"P-256", es, &key.PublicKey, ""},
		{"RS256, EC key", rs, &key.PublicKey, "algorithm_differs"}, {"ES256, RSA key", es, &weak.PublicKey, "algorithm_differs"},
		{"ES256, P-384 key", es, &p384.PublicKey, "algorithm_differs"}, {"HS256, RSA key", hs, &weak.PublicKey, "algorithm_differs"},
		{"HS256, EC key", hs, &key.PublicKey, "algorithm_differs"}, {"a secret for the key", hs, sampleKey, "key_refused"},
		{"another RSA key", rs, &otherRSA(t).PublicKey, "wrong_signature"}, {"another EC key", es, &p256(t).PublicKey, "wrong_signature"},
		{"a key that is too small", rs, small, "key_refused"}, {"a key of the broken generator", rs, &rsa.PublicKey{N: rocaModulus(), E: 65537}, "key_refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := jose.ParseLoose(c.compact, "RS256", "ES256", "HS256")
			if err != nil {
				t.Fatal(err)
			}
			if err := m.VerifyKey(c.key); reason(err) != c.want || (err != nil && !isUnproven(err)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	m, err := jose.ParseLoose(hs, "HS256")
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"no key": nil, "half a key": sampleKey[:16], "another key": make([]byte, 32), "33 bytes": append([]byte{0}, sampleKey...)} {
		if err := m.VerifyMAC(bad); !isUnproven(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := m.VerifyMAC(sampleKey); err != nil {
		t.Error(err)
	}
	m, err = jose.ParseLoose(rs, "RS256")
	if err != nil || reason(m.VerifyMAC(sampleKey)) != "algorithm_differs" {
		t.Errorf("a MAC was checked of RS256: %v", err)
	}
	empty := signLoose(t, base64.RawURLEncoding, `{"alg":"HS256","ctx":"`+ctx64+`"}`, `{}`, withMAC(nil))
	m, err = jose.ParseLoose(empty, "HS256")
	if err != nil || reason(m.VerifyMAC(nil)) != "key_refused" {
		t.Errorf("an empty key is a key: %v", err)
	}
}

// TestSec_TOK02_LooseVerifiesWhatWasSent: not what it decodes to.
func TestSec_TOK02_LooseVerifiesWhatWasSent(t *testing.T) {
	good := signLoose(t, base64.RawURLEncoding, `{"alg":"HS256","ctx":"`+ctx64+`"}`, `{"a":1}`, withMAC(sampleKey))
	part := strings.Split(good, ".")
	for name, bent := range map[string]string{
		"padding added": part[0] + "." + part[1] + "=." + part[2],
		"other payload": part[0] + "." + encode(`{"a":2}`) + "." + part[2],
		"other header":  encode(`{"alg":"HS256","ctx":"`+ctx64+`","kdf_ver":1}`) + "." + part[1] + "." + part[2],
		"MAC cut":       part[0] + "." + part[1] + "." + encode(string(decode(part[2])[:31])),
	} {
		m, err := jose.ParseLoose(bent, "HS256")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if reason(m.VerifyMAC(sampleKey)) != "wrong_signature" {
			t.Errorf("%s: verified", name)
		}
	}
}

// TestSec_TOK07_LooseSignatureNumbers gives r and s that no signer makes.
func TestSec_TOK07_LooseSignatureNumbers(t *testing.T) {
	key := p256(t)
	n := elliptic.P256().Params().N.Bytes()
	zero, one := make([]byte, 32), append(make([]byte, 31), 1)
	for name, sig := range map[string][]byte{
		"both 0": append(zero, zero...), "r is 0": append(zero, one...), "s is 0": append(one, zero...), "r is n": append(n, one...),
		"s is n": append(one, n...), "63 bytes": make([]byte, 63), "65 bytes": make([]byte, 65), "one byte": {1},
	} {
		m, err := jose.ParseLoose(signLoose(t, base64.RawURLEncoding, `{"alg":"ES256"}`, `{}`, func([]byte) []byte { return sig }), "ES256")
		if err != nil {
			t.Fatal(err)
		}
		if err := m.VerifyKey(&key.PublicKey); reason(err) != "wrong_signature" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSec_T05_Context: a message under a derived key says with what it was
// derived, in 16 to 64 bytes.
func TestSec_T05_Context(t *testing.T) {
	ctx := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for _, c := range []struct{ name, header, want string }{
		{"24 bytes", `"ctx":"` + ctx64 + `"`, ""}, {"16 bytes", `"ctx":"` + ctx(16) + `"`, ""}, {"64 bytes", `"ctx":"` + ctx(64) + `"`, ""},
		{"none", `"x":1`, "ctx_missing"}, {"empty", `"ctx":""`, "ctx_missing"}, {"null", `"ctx":null`, "ctx_missing"},
		{"15 bytes", `"ctx":"` + ctx(15) + `"`, "ctx_refused"}, {"65 bytes", `"ctx":"` + ctx(65) + `"`, "ctx_refused"},
		{"no base64", `"ctx":"***"`, "ctx_refused"}, {"padding alone", `"ctx":"=="`, "ctx_refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := jose.ParseLoose(signLoose(t, base64.RawURLEncoding, `{"alg":"HS256",`+c.header+`}`, `{}`, withMAC(sampleKey)), "HS256")
			if reason(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzParseLoose: whatever comes, ParseLoose says Unproven or gives a message
// that the key verifies only when what was signed is what it signed.
func FuzzParseLoose(f *testing.F) {
	good := signLoose(f, base64.RawURLEncoding, `{"alg":"HS256","ctx":"`+ctx64+`"}`, `{"a":1}`, withMAC(sampleKey))
	signed := good[:strings.LastIndexByte(good, '.')+1]
	for _, seed := range []string{good, "", "..", "a.b.c", good + "=", encode(`{"alg":"HS256","ctx":"`+ctx64+`","x5c":"AA"}`) + ".e30.AAAA",
		encode(`{"alg":"HS256","crit":[]}`) + ".e30.AAAA", encode(`{"ALG":"HS256","ctx":"`+ctx64+`","kdf_ver":"2"}`) + ".e30=.AA+/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		m, err := jose.ParseLoose(compact, "HS256", "RS256", "ES256", "RS384", "RS512")
		if err != nil {
			if !isUnproven(err) {
				t.Errorf("%q: %v", compact, err)
			}
			return
		}
		if err := m.VerifyMAC(sampleKey); (err == nil) && !strings.HasPrefix(compact, signed) {
			t.Errorf("%q is verified", compact)
		}
		var v map[string]any
		if err := m.Read(&v); err != nil {
			t.Errorf("%q: payload %q: %v", compact, m.Payload, err)
		}
	})
}

// TestOnly: a header that says more than it may is refused, in any letter case,
// and so is one of another type.
func TestOnly(t *testing.T) {
	key := rsa2048(t)
	for name, c := range map[string]struct {
		header string
		good   bool
	}{
		"all":               {`{"alg":"RS256","typ":"JWT","kid":"k"}`, true},
		"less":              {`{"alg":"RS256"}`, true},
		"in capitals":       {`{"alg":"RS256","KID":"k"}`, true},
		"one more":          {`{"alg":"RS256","use":"ngc"}`, false},
		"one more, shouted": {`{"alg":"RS256","USE":"ngc"}`, false},
		"another type":      {`{"alg":"RS256","typ":"JWE"}`, false},
		"a type of nothing": {`{"alg":"RS256","typ":""}`, false},
	} {
		m, err := jose.ParseLoose(signLoose(t, base64.RawURLEncoding, c.header, `{}`, withRSA(t, key)), "RS256")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := m.Only("alg", "typ", "kid"); (err == nil) != c.good || err != nil && idp.AsError(err).Reason != "header_refused" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
