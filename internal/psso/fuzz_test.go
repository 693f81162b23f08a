package psso_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/pssowire"
)

// FuzzMessage posts anything as a message: what no Mac has signed is refused as a
// client's error, and burns nobody's nonce.
func FuzzMessage(f *testing.F) {
	w := lite(f)
	m := w.mac()
	good := w.login(m, w.ada, w.enrol(m, w.ada)).compact()
	for _, seed := range []string{
		good, "", "..", "e30.e30.e30", good[:len(good)-1], good + "=", strings.Replace(good, ".", "..", 1),
		encode(object{"alg": "ES256", "kid": m.kid().String()}) + ".e30.AA", encode(object{"alg": "none"}) + ".e30.",
	} {
		f.Add(seed, "1.0", "/psso/token")
		f.Add(seed, "2.0", "/psso/key")
	}
	head, _, _ := strings.Cut(good[strings.IndexByte(good, '.')+1:], ".")
	f.Fuzz(func(t *testing.T, text, version, path string) {
		w.t = t
		if strings.Contains(text, head) { // the same bytes, whose signature may be spelled otherwise
			return
		}
		if path != "/psso/key" {
			path = "/psso/token"
		}
		a := w.post(w.at(path), url.Values{"grant_type": {pssowire.GrantBearer}, "platform_sso_version": {version}, "assertion": {text}})
		if a.status != http.StatusBadRequest || !strings.HasPrefix(a.body, `{"error":`) {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if w.spent() != 0 {
			t.Fatal("a nonce was burnt")
		}
	})
}

// FuzzClaims has a Mac sign anything: it is refused, and never is a trouble of
// ours.
func FuzzClaims(f *testing.F) {
	w := lite(f)
	m := w.mac()
	k := w.enrol(m, w.ada)
	token := w.signIn(m, w.ada, k)
	claims := func(q *message) string {
		raw, err := b64.DecodeString(split(q.compact())[1])
		if err != nil {
			f.Fatal(err)
		}
		return string(raw)
	}
	for _, q := range []*message{w.login(m, w.ada, k), w.refresh(m, token), w.keyRequest(m, w.ada, token), w.keyExchange(m, w.ada, token, "x", &ecKey().PublicKey)} {
		seed, typ := claims(q), q.header["typ"].(string)
		f.Add(seed, typ, q.path == "/psso/key")
		f.Add(strings.Replace(seed, `"iat":`, `"iat":-9`, 1), typ, q.path == "/psso/key")
		f.Add(strings.Replace(seed, `"scope":"`, `"claims":{"id_token":null},"scope":"`, 1), "JWT", q.path == "/psso/key")
	}
	f.Add(`{"grant_type":"refresh_token"}`, "", false)
	f.Fuzz(func(t *testing.T, payload, typ string, key bool) {
		w.t = t
		path := "/psso/token"
		if key {
			path = "/psso/key"
		}
		input := encode(object{"alg": "ES256", "typ": typ, "kid": m.kid().String()}) + "." + b64.EncodeToString([]byte(payload))
		text := input + "." + b64.EncodeToString(signature([]byte(input), "ES256", m.signing))
		a := w.post(w.at(path), url.Values{"grant_type": {pssowire.GrantBearer}, "platform_sso_version": {"1.0"}, "assertion": {text}})
		if a.status >= http.StatusInternalServerError {
			t.Fatalf("%d %s (%s)", a.status, a.body, a.cause)
		}
	})
}

// FuzzAssertion has anything inside a good login: it signs nobody in.
func FuzzAssertion(f *testing.F) {
	w := lite(f)
	m := w.mac()
	k := w.enrol(m, w.ada)
	inner := part(f, w.login(m, w.ada, k).compact(), 1)["assertion"].(string)
	for _, seed := range []string{inner, "", "a.b.c", "a.b.c.d.e", "e30.e30.AA", inner[:len(inner)-2], encode(object{"alg": "ES256", "x5c": "AA"}) + ".e30.AA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w.t = t
		a := w.send(w.login(m, w.ada, k).with(object{"assertion": text}))
		// 403: cards are off in this tenant.
		if a.status != http.StatusUnauthorized && a.status != http.StatusBadRequest && a.status != http.StatusForbidden {
			t.Fatalf("%d %s (%s)", a.status, a.body, a.cause)
		}
	})
}
