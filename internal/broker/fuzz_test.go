package broker_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzMessage sends anything as a signed request: it is refused as a client's
// error, and nobody's nonce is burnt by what nobody signed.
func FuzzMessage(f *testing.F) {
	w := lite(f)
	m, k, h := w.enrolled(0, w.ada)
	n := w.nonce()
	hello := m.sign(byHello(n, k.Assertion(w.ada.Name, n, w.clock.now())))
	use := h.sign(using(h.value, n, nil))
	for _, seed := range []string{
		hello, use, "", "..", "e30.e30.e30", swapped(use, object{"refresh_token": []int{1}}), swapped(hello, object{"assertion": object{}}),
		strings.Replace(hello, ".", "..", 1), use[:len(use)-1], hello + "=", encode(object{"alg": "HS256", "ctx": 1}) + ".e30.AA",
	} {
		f.Add(seed, "2.0", "", `{"access_token":{"xms_cc":{"values":["CP1"]}}}`)
		f.Add(seed, "", "4.0", "")
	}
	burnt := func() (n int64) {
		if w.db.QueryRow(context.Background(), `select count(*) from spent`).Scan(&n) != nil {
			return -1
		}
		return n
	}
	before := burnt()
	f.Fuzz(func(t *testing.T, request, windows, prt, claims string) {
		if same(request, hello) || same(request, use) {
			return
		}
		a := w.post(w.at("/oauth2/token"), url.Values{
			"grant_type": {jwtBearer}, "request": {request}, "windows_api_version": {windows}, "prt_protocol_version": {prt}, "claims": {claims},
		})
		if a.status != http.StatusBadRequest || !strings.HasPrefix(a.body, `{"error":`) {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if burnt() != before {
			t.Fatal("a nonce was burnt")
		}
	})
}

// same says whether two messages are one, spelled differently where nothing is
// signed: either alphabet and padding of base64 will do in a signature.
func same(a, b string) bool {
	spelled := func(s string) string {
		n := strings.LastIndexByte(s, '.') + 1
		return s[:n] + strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s[n:], "="))
	}
	return spelled(a) == spelled(b)
}

// FuzzBrowser sends anything where a device's browser puts its credentials:
// nobody is signed in by it.
func FuzzBrowser(f *testing.F) {
	w := lite(f)
	app := w.app(nil)
	m, _, h := w.enrolled(0, w.ada)
	n := w.nonce()
	good, dev := h.cookie(n), m.credential(n)
	f.Add(good[:len(good)-2], dev[:len(dev)-2], false)
	f.Add(swapped(good, carried(h.value, n, object{"x": 1})), "", true)
	f.Add("", "e30.e30.e30", true)
	f.Add("a.b.c", "..", false)
	address := base + w.at("/oauth2/v2.0/authorize") + "?" + ask(app).Encode()
	f.Fuzz(func(t *testing.T, prt, device string, cookie bool) {
		if same(prt, good) {
			return
		}
		r := httptest.NewRequest("GET", address, nil)
		if cookie {
			r.AddCookie(&http.Cookie{Name: prtHeader, Value: prt})
			r.AddCookie(&http.Cookie{Name: deviceHeader, Value: device})
		} else {
			r.Header[http.CanonicalHeaderKey(prtHeader)] = []string{prt}
			r.Header[http.CanonicalHeaderKey(deviceHeader)] = []string{device}
		}
		a := w.do(r)
		if sessionOf(a) != "" || strings.Contains(a.header.Get("Location"), "code=") {
			t.Fatalf("signed in: %v", a.header)
		}
		if a.status != http.StatusOK && a.status != http.StatusFound {
			t.Fatalf("%d %s", a.status, a.body)
		}
	})
}
