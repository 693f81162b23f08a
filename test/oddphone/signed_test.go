package oddphone

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What a signed request must say, each fault alone.
func TestSigned(t *testing.T) {
	s := newSite(t)
	ada, bela := s.somebody("ada"), s.somebody("bela")
	p, q := ada.phone(), bela.phone()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) edit { return func(c *call) { c.claims[name] = value } }
	head := func(name string, value any) edit { return func(c *call) { c.header[name] = value } }
	without := func(name string) edit {
		return func(c *call) { delete(c.claims, name); delete(c.header, name) }
	}
	part := func(n int, f func(string) string) edit {
		return func(c *call) {
			c.spoil = func(jws string) string {
				parts := strings.Split(jws, ".")
				parts[n] = f(parts[n])
				return strings.Join(parts, ".")
			}
		}
	}
	for name, e := range map[string]edit{
		"no header":             func(c *call) { c.unsigned = true },
		"another scheme":        func(c *call) { c.scheme = "Bearer" },
		"no JWS":                func(c *call) { c.spoil = func(string) string { return "x" } },
		"another key":           func(c *call) { c.key = other },
		"the key of another":    func(c *call) { c.key = q.Key },
		"the name of another":   head("kid", q.ID),
		"an unknown phone":      head("kid", s.tenant),
		"no kid":                without("kid"),
		"kid no id":             head("kid", "x"),
		"no typ":                without("typ"),
		"typ of another":        head("typ", "dpop+jwt"),
		"alg none":              head("alg", "none"),
		"alg HS256":             head("alg", "HS256"),
		"crit":                  head("crit", []string{"b64"}),
		"no signature":          part(2, func(string) string { return "" }),
		"a spoilt signature":    part(2, func(s string) string { return b64.EncodeToString(random(64)) }),
		"signature in DER":      part(2, func(string) string { return b64.EncodeToString(random(71)) }),
		"another tenant":        claim("tid", ada.id),
		"no tid":                without("tid"),
		"another method":        claim("htm", "POST"),
		"no htm":                without("htm"),
		"another path":          claim("htu", s.base+"/phone/v1/requests"),
		"another host":          claim("htu", "https://evil.example/phone/v1/self"),
		"another scheme of htu": claim("htu", strings.Replace(s.base, "http:", "https:", 1)+"/phone/v1/self"),
		"no htu":                without("htu"),
		"iat in words":          claim("iat", "now"),
		"a body's hash":         claim("bh", b64.EncodeToString(random(32))),
	} {
		a, err := p.Do(t.Context(), http.MethodGet, "/self", nil, e)
		refused(t, name, a, err, http.StatusUnauthorized, "phone_unproven")
	}
	put := map[string]string{"name": "Changed"}
	for name, e := range map[string]edit{
		"a body not hashed":          without("bh"),
		"a body changed":             func(c *call) { c.body = []byte(`{"name":"Evil"}`) },
		"a body taken away":          func(c *call) { c.body = nil },
		"no jti":                     without("jti"),
		"jti of 88 bits":             claim("jti", b64.EncodeToString(random(11))),
		"empty jti":                  claim("jti", ""),
		"jti a number":               claim("jti", 12345678901234567),
		"jti of a thousand letters":  claim("jti", strings.Repeat("a", 1000)),
		"hash in padded base64":      func(c *call) { c.claims["bh"] = c.claims["bh"].(string) + "=" },
		"hash of another body":       claim("bh", b64.EncodeToString(random(32))),
		"the path of another object": claim("htu", s.base+"/phone/v1/self/test"),
	} {
		a, err := p.Do(t.Context(), http.MethodPut, "/self", put, e)
		refused(t, name, a, err, http.StatusUnauthorized, "phone_unproven")
	}
	a, err := p.Do(t.Context(), http.MethodGet, "/self", nil, without("iat"))
	refused(t, "no iat", a, err, http.StatusUnauthorized, "clock_off")
	// Off by more than a minute, with the server's time to set the clock by.
	for _, off := range []time.Duration{-70 * time.Second, 70 * time.Second, -1000 * time.Hour} {
		p.Now = func() time.Time { return time.Now().Add(off) }
		a, err := p.Do(t.Context(), http.MethodGet, "/self", nil)
		refused(t, off.String(), a, err, http.StatusUnauthorized, "clock_off")
		if date, err := http.ParseTime(a.Header.Get("Date")); err != nil || time.Since(date).Abs() > 20*time.Second {
			t.Errorf("the server's time is %q", a.Header.Get("Date"))
		}
	}
	for _, off := range []time.Duration{-40 * time.Second, 40 * time.Second} {
		p.Now = func() time.Time { return time.Now().Add(off) }
		if _, err := p.Self(t.Context()); err != nil {
			t.Errorf("%v off: %v", off, err)
		}
	}
	p.Now = time.Now
	// A stranger with a wrong clock is not told about clocks.
	p.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	a, err = p.Do(t.Context(), http.MethodGet, "/self", nil, func(c *call) { c.key = other })
	refused(t, "a stranger with a wrong clock", a, err, http.StatusUnauthorized, "phone_unproven")
	p.Now = time.Now

	// Members that are not known, in each place; a query is not in htu.
	a, err = p.Do(t.Context(), http.MethodPut, "/self", map[string]any{"name": "The new phone", "colour": "green"},
		claim("aud", "nobody"), head("x", 1))
	if err != nil || a.Status != http.StatusOK {
		t.Errorf("unknown members: %+v, %v", a, err)
	}
	if a, err = p.Do(t.Context(), http.MethodGet, "/self?lang=en", nil); err != nil || a.Status != http.StatusOK {
		t.Errorf("a query: %+v, %v", a, err)
	}
	// Each request is good once.
	once := b64.EncodeToString(random(16))
	if a, err = p.Do(t.Context(), http.MethodPut, "/self", put, claim("jti", once)); err != nil || a.Status != http.StatusOK {
		t.Errorf("the first: %+v, %v", a, err)
	}
	a, err = p.Do(t.Context(), http.MethodPut, "/self", put, claim("jti", once))
	refused(t, "a replay", a, err, http.StatusUnauthorized, "request_replayed")
	if a, err = q.Do(t.Context(), http.MethodPut, "/self", put, claim("jti", once)); err != nil || a.Status != http.StatusOK {
		t.Errorf("the same by another phone: %+v, %v", a, err)
	}
}

// The rest of the page: name, test, history, removal.
func TestSelf(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	p := ada.phone()
	if a, err := p.Do(t.Context(), http.MethodPut, "/self", map[string]any{"name": "Ada’s phone", "app": "odd/2"}); err != nil || a.Status != http.StatusOK {
		t.Errorf("rename: %+v, %v", a, err)
	}
	var named struct{ Name string }
	a, err := p.Do(t.Context(), http.MethodGet, "/self", nil)
	if err != nil || json.Unmarshal([]byte(a.Body), &named) != nil || named.Name != "Ada’s phone" {
		t.Errorf("the name is %+v, %v", a, err)
	}
	for name, body := range map[string]any{
		"a kind of push that is none": map[string]any{"push": map[string]string{"kind": "pigeon"}},
		"both":                        map[string]any{"push": map[string]string{"kind": "webpush", "endpoint": "https://x.example/1", "p256dh": "x", "auth": "y"}, "noPush": true},
		"a name that is a number":     map[string]any{"name": 1},
		"no JSON":                     []byte("{"),
		"an array":                    []byte("[]"),
	} {
		a, err := p.Do(t.Context(), http.MethodPut, "/self", body)
		refused(t, name, a, err, http.StatusBadRequest, "request_malformed")
	}
	var tested struct{ Result, Text string }
	a, err = p.Do(t.Context(), http.MethodPost, "/self/test", nil)
	if err != nil || a.into(&tested) != nil || tested.Result == "" || tested.Text == "" {
		t.Errorf("test: %+v, %v", a, err)
	}
	for path, method := range map[string]string{"approve": http.MethodPost, "deny": http.MethodPost} {
		a, err := p.Do(t.Context(), method, "/requests/"+b64.EncodeToString(random(16))+"/"+path, map[string]any{"number": "47"})
		if path == "deny" {
			refused(t, path+" of nothing", a, err, http.StatusNotFound, "request_unknown")
		}
	}
	if a, err = p.Do(t.Context(), http.MethodDelete, "/self", nil); err != nil || a.Status/100 != 2 {
		t.Errorf("removal: %+v, %v", a, err)
	}
	for _, path := range []string{"/self", "/requests", "/history"} {
		a, err = p.Do(t.Context(), http.MethodGet, path, nil)
		refused(t, path+" of a removed phone", a, err, http.StatusUnauthorized, "phone_unproven")
	}
	if page, err := ada.Get(t.Context(), s.base+"/account"); err != nil || strings.Contains(page.Text, "Ada’s phone") {
		t.Errorf("the removed phone is still on the page: %v", err)
	}
}
