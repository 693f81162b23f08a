package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// forger makes tokens with any header, signed by the tenant's own key or by
// anything else.
type forger struct {
	t   testing.TB
	kid string
	own crypto.Signer
}

func (f forger) es256(key crypto.Signer, header, payload string) string {
	f.t.Helper()
	input := b64url.EncodeToString([]byte(header)) + "." + b64url.EncodeToString([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		f.t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return input + "." + b64url.EncodeToString(sig)
}

func (f forger) hs256(secret []byte, header, payload string) string {
	input := b64url.EncodeToString([]byte(header)) + "." + b64url.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + b64url.EncodeToString(mac.Sum(nil))
}

// T37: forged and malformed tokens at every endpoint that reads one of ours.
func TestSec_TOK02_ForgedTokens(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	tokens := a.tokensOf(d, b, "openid", d.ada)
	key, err := d.keys.Signer(t.Context(), d.tenant.ID, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	f := forger{t, string(key.ID), key.Key}
	stranger := testKey(t, "ES256").key.(crypto.Signer)
	jwk, err := testKey(t, "ES256").jwk.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}

	for _, kind := range []struct {
		typ, token string
		accepted   func(string) bool
	}{
		{"at+jwt", "access_token", func(s string) bool { return d.userinfo(s).StatusCode == http.StatusOK }},
		{"at+jwt", "access_token", func(s string) bool {
			_, out := a.call(d, "/oauth2/v2.0/introspect", url.Values{"token": {s}})
			return out["active"] == true
		}},
		{"JWT", "id_token", func(s string) bool {
			return b.authorize(a.ask("prompt", "none", "id_token_hint", s)).back(t, callback).Has("code")
		}},
		{"JWT", "id_token", func(s string) bool {
			return d.browser().get(d.at("/oauth2/v2.0/logout?id_token_hint="+url.QueryEscape(s))).Header.Get("X-Page") != "error"
		}},
	} {
		raw, err := b64url.DecodeString(strings.Split(str(tokens, kind.token), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		claims := string(raw)
		edit := func(name string, value any) string {
			var m map[string]any
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			m[name] = value
			out, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}
		head := func(alg, kid, more string) string {
			return `{"alg":"` + alg + `","kid":"` + kid + `","typ":"` + kind.typ + `"` + more + `}`
		}
		good := head("ES256", f.kid, "")
		if !kind.accepted(f.es256(f.own, good, claims)) {
			t.Fatalf("%s: what we signed ourselves is refused", kind.token)
		}
		unsigned := b64url.EncodeToString([]byte(head("none", f.kid, ""))) + "." + b64url.EncodeToString(raw) + "."
		for name, forged := range map[string]string{
			"alg none":                 unsigned,
			"alg None":                 strings.Replace(unsigned, b64url.EncodeToString([]byte(head("none", f.kid, ""))), b64url.EncodeToString([]byte(head("None", f.kid, ""))), 1),
			"HMAC with the public key": f.hs256(der, head("HS256", f.kid, ""), claims),
			"other algorithm named":    f.es256(f.own, head("RS256", f.kid, ""), claims),
			"a stranger's key":         f.es256(stranger, good, claims),
			"a stranger's key by jwk":  f.es256(stranger, head("ES256", f.kid, `,"jwk":`+string(jwk)), claims),
			"jku":                      f.es256(f.own, head("ES256", f.kid, `,"jku":"https://evil.example/keys"`), claims),
			"x5u":                      f.es256(f.own, head("ES256", f.kid, `,"x5u":"https://evil.example/cert"`), claims),
			"x5c":                      f.es256(f.own, head("ES256", f.kid, `,"x5c":["AA=="]`), claims),
			"crit":                     f.es256(f.own, head("ES256", f.kid, `,"crit":["exp"],"exp":1`), claims),
			"b64 false":                f.es256(f.own, head("ES256", f.kid, `,"b64":false,"crit":["b64"]`), claims),
			"zip":                      f.es256(f.own, head("ES256", f.kid, `,"zip":"DEF"`), claims),
			"kid of nobody":            f.es256(f.own, head("ES256", "00000000-0000-4000-8000-000000000000", ""), claims),
			"kid that is a path":       f.es256(f.own, head("ES256", "../../../etc/passwd", ""), claims),
			"kid that is SQL":          f.es256(f.own, head("ES256", "' or '1'='1", ""), claims),
			"kid too long":             f.es256(f.own, head("ES256", strings.Repeat("k", 4000), ""), claims),
			"no kid":                   f.es256(f.own, `{"alg":"ES256","typ":"`+kind.typ+`"}`, claims),
			"no typ":                   f.es256(f.own, `{"alg":"ES256","kid":"`+f.kid+`"}`, claims),
			"header member twice":      f.es256(f.own, `{"alg":"ES256","alg":"ES256","kid":"`+f.kid+`","typ":"`+kind.typ+`"}`, claims),
			"claim twice":              f.es256(f.own, good, `{"sub":"x",`+claims[1:]),
			"something behind":         f.es256(f.own, good, claims+"{}"),
			"claims that are a list":   f.es256(f.own, good, "["+claims+"]"),
			"deep claims":              f.es256(f.own, good, strings.Repeat("[", 5000)+strings.Repeat("]", 5000)),
			"another issuer":           f.es256(f.own, good, edit("iss", "https://evil.example")),
			"another tenant":           f.es256(f.own, good, edit("tid", "99999999-9999-4999-8999-999999999999")),
			"zero signature":           strings.Join(strings.Split(str(tokens, kind.token), ".")[:2], ".") + "." + b64url.EncodeToString(make([]byte, 64)),
			"padded":                   str(tokens, kind.token) + "=",
			"four parts":               str(tokens, kind.token) + ".x",
		} {
			if kind.accepted(forged) {
				t.Errorf("%s: %s is accepted", kind.token, name)
			}
		}
		if kind.typ == "at+jwt" {
			for name, forged := range map[string]string{
				"without exp": f.es256(f.own, good, edit("exp", 0)),
				"expired":     f.es256(f.own, good, edit("exp", d.clock().Unix()-61)),
				"not yet":     f.es256(f.own, good, edit("nbf", d.clock().Unix()+300)),
			} {
				if kind.accepted(forged) {
					t.Errorf("%s: %s is accepted", kind.token, name)
				}
			}
		}
	}
}
