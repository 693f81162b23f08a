package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

func TestClientIP(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"direct", "192.0.2.1:5", nil, "192.0.2.1"},
		{"header from a stranger is not believed", "192.0.2.1:5", []string{"203.0.113.9"}, "192.0.2.1"},
		{"through the proxy", "10.1.2.3:5", []string{"203.0.113.9"}, "203.0.113.9"},
		{"client adds a lie in front", "10.1.2.3:5", []string{"198.51.100.7, 203.0.113.9"}, "203.0.113.9"},
		{"two proxies", "10.1.2.3:5", []string{"203.0.113.9, 10.9.9.9"}, "203.0.113.9"},
		{"two lines are one list", "10.1.2.3:5", []string{"198.51.100.7", "203.0.113.9"}, "203.0.113.9"},
		{"garbage from the proxy", "10.1.2.3:5", []string{"203.0.113.9, unknown"}, "10.1.2.3"},
		{"no header", "10.1.2.3:5", nil, "10.1.2.3"},
		{"IPv6 mapped", "10.1.2.3:5", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = c.peer
			for _, f := range c.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			var got string
			h := web.Identify(proxies)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = web.ClientIP(r) }))
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != c.want {
				t.Errorf("source of %s with %q: got %s, want %s", c.peer, c.forwarded, got, c.want)
			}
		})
	}
}

func TestForm(t *testing.T) {
	for _, c := range []struct{ name, kind, body, reason string }{
		{"good", "application/x-www-form-urlencoded; charset=utf-8", "a=1&b=2", ""},
		{"twice", "application/x-www-form-urlencoded", "a=1&a=1", "duplicate_parameter"},
		{"json", "application/json", `{"a":"1"}`, "wrong_content_type"},
		{"no type", "", "a=1", "wrong_content_type"},
		{"bad escape", "application/x-www-form-urlencoded", "a=%zz", "malformed_form"},
		{"too large", "application/x-www-form-urlencoded", "a=" + strings.Repeat("x", web.BodyLimit), "body_too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/?a=query", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			v, err := web.Form(httptest.NewRecorder(), r)
			if c.reason == "" {
				if err != nil || v.Get("a") != "1" {
					t.Fatalf("got %v, %v", v, err)
				}
				return
			}
			if e := idp.AsError(err); err == nil || e.Reason != c.reason || e.Kind != idp.Invalid {
				t.Fatalf("got %v, want Invalid %s", err, c.reason)
			}
		})
	}
}

func TestReadJSON(t *testing.T) {
	for _, c := range []struct{ name, kind, body, reason string }{
		{"good", "application/json", `{"a":"1"}`, ""},
		{"form", "application/x-www-form-urlencoded", `a=1`, "wrong_content_type"},
		{"trailing", "application/json", `{"a":"1"}{}`, "malformed_json"},
		{"member twice", "application/json", `{"a":"1","a":"2"}`, "malformed_json"},
		{"another case", "application/json", `{"A":"1"}`, "malformed_json"},
		{"too large", "application/json", `{"a":"` + strings.Repeat("x", web.BodyLimit) + `"}`, "body_too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			var v struct {
				A string `json:"a"`
			}
			err := web.ReadJSON(httptest.NewRecorder(), r, &v)
			if c.reason == "" {
				if err != nil || v.A != "1" {
					t.Fatalf("got %v, %v", v, err)
				}
				return
			}
			if e := idp.AsError(err); err == nil || e.Reason != c.reason {
				t.Fatalf("got %v, want %s", err, c.reason)
			}
		})
	}
}

func TestLimiter(t *testing.T) {
	now := time.Unix(1000, 0)
	l := web.NewLimiter(3, time.Minute, 2, func() time.Time { return now })
	for n := range 3 {
		if ok, _ := l.Allow("a"); !ok {
			t.Fatalf("event %d of 3 refused", n+1)
		}
	}
	ok, wait := l.Allow("a")
	if ok || wait != 20*time.Second {
		t.Fatalf("fourth event: got %v after %v, want refused for 20s", ok, wait)
	}
	if full, _ := l.Full("a"); !full {
		t.Error("Full says there is something left")
	}
	if ok, _ := l.Allow("b"); !ok {
		t.Error("another key is refused too")
	}
	now = now.Add(20 * time.Second)
	if ok, _ := l.Allow("a"); !ok {
		t.Error("not refilled after the time it named")
	}
	// Memory is bounded: a third key pushes out the one used least recently.
	l.Allow("c")
	if ok, _ := l.Allow("b"); !ok {
		t.Error("b should have been forgotten and start anew")
	}
}

// TestSec_T64_LimiterKeysAreBounded: what strangers send as a key is kept for as
// long as the limit lasts, in a few bytes, and two long keys are still two.
func TestSec_T64_LimiterKeysAreBounded(t *testing.T) {
	l := web.NewLimiter(1, time.Minute, 8, func() time.Time { return time.Unix(0, 0) })
	long := strings.Repeat("x", 60_000)
	for _, key := range []string{"a", long, long + "y"} {
		if ok, _ := l.Allow(key); !ok {
			t.Errorf("the first event of a key of %d bytes is refused", len(key))
		}
		if ok, _ := l.Allow(key); ok {
			t.Errorf("the second event of a key of %d bytes is allowed", len(key))
		}
	}
	if n := l.LongestKey(); n > 64 {
		t.Errorf("a key of %d bytes is kept", n)
	}
}

func TestSource(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7":                 "192.0.2.7",
		"::ffff:192.0.2.7":          "192.0.2.7",
		"2001:db8:1:2::1":           "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff:ffff::1": "2001:db8:1:2::/64",
		"2001:db8:1:3::1":           "2001:db8:1:3::/64",
		"fe80::1%eth0":              "fe80::/64",
		"@":                         "@",
		"":                          "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = addr
		if got := web.Source(r); got != want {
			t.Errorf("source of %q: got %q, want %q", addr, got, want)
		}
	}
}

func TestLimiterParallel(t *testing.T) {
	l := web.NewLimiter(10, time.Hour, 8, func() time.Time { return time.Unix(0, 0) })
	var wg sync.WaitGroup
	var mu sync.Mutex
	allowed := 0
	for range 200 {
		wg.Go(func() {
			if ok, _ := l.Allow("k"); ok {
				mu.Lock()
				allowed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if allowed != 10 {
		t.Errorf("%d of 200 parallel events allowed, want 10", allowed)
	}
}

func TestLogTellsErrorsOnceAndSurvivesPanics(t *testing.T) {
	var out bytes.Buffer
	reg := prometheus.NewRegistry()
	around := web.Log(slog.New(slog.NewJSONHandler(&out, nil)), web.NewMetrics(reg))
	phrase := func(w http.ResponseWriter, _ *http.Request, e *idp.Error) {
		http.Error(w, e.Public, web.Status(e.Kind))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /denied/{id}", web.Adapt(phrase, func(http.ResponseWriter, *http.Request) error {
		return fmt.Errorf("weigh: %w", idp.Deniedf("blocked", "user u1").Coded(50057).Say("No."))
	}))
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic(errors.New("boom")) })
	h := web.Chain(mux, web.Identify(nil), web.Headers(true), around)

	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/denied/7?secret=canary", nil))
	if rec.Code != 403 || strings.TrimSpace(rec.Body.String()) != "No." {
		t.Errorf("denied: got %d %q", rec.Code, rec.Body)
	}
	var line struct {
		Trace, Route, Cause string
		Code                int
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("want exactly one JSON line, got %q: %v", out.String(), err)
	}
	if line.Route != "GET /denied/{id}" || line.Code != 50057 || line.Cause != "weigh: blocked: user u1" || line.Trace != rec.Header().Get("X-Ms-Request-Id") {
		t.Errorf("log line %+v", line)
	}
	if strings.Contains(out.String(), "canary") {
		t.Error("the query reached the log")
	}

	out.Reset()
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/panic", nil))
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "boom") || strings.Contains(rec.Body.String(), "goroutine") {
		t.Errorf("panic: got %d %q", rec.Code, rec.Body)
	}
	if !strings.Contains(out.String(), "boom") {
		t.Error("the panic is not in the log")
	}
	families, err := reg.Gather()
	if err != nil || len(families) == 0 {
		t.Fatalf("metrics: %v %v", families, err)
	}
}

func TestAPeerThatHungUpIsNoErrorOfOurs(t *testing.T) {
	var out bytes.Buffer
	around := web.Log(slog.New(slog.NewJSONHandler(&out, nil)), web.NewMetrics(prometheus.NewRegistry()))
	phrase := func(w http.ResponseWriter, _ *http.Request, e *idp.Error) { w.WriteHeader(web.Status(e.Kind)) }
	ctx, hangUp := context.WithCancel(t.Context())
	h := web.Chain(web.Adapt(phrase, func(_ http.ResponseWriter, r *http.Request) error {
		hangUp()
		return fmt.Errorf("read: %w", r.Context().Err())
	}), web.Identify(nil), around)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	if !strings.Contains(out.String(), `"level":"INFO"`) || !strings.Contains(out.String(), `"status":499`) {
		t.Errorf("logged as %s", out.String())
	}
	// Somebody who stays gets, and the log tells, a 500.
	out.Reset()
	web.Chain(web.Adapt(phrase, func(http.ResponseWriter, *http.Request) error { return errors.New("disk") }), web.Identify(nil), around).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	if !strings.Contains(out.String(), `"level":"ERROR"`) {
		t.Errorf("our own fault is logged as %s", out.String())
	}
}

func TestAssets(t *testing.T) {
	a, err := web.NewAssets("/assets/", fstest.MapFS{
		"main.js": {Data: []byte(`import { x } from "./part.js";`)},
		"part.js": {Data: []byte(`export const x = 1;`)},
		"a.css":   {Data: []byte(`b{}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, httptest.NewRequest("GET", a.URL("main.js"), nil))
	if want := `import { x } from "` + a.URL("part.js") + `";`; rec.Body.String() != want {
		t.Errorf("got %q, want %q", rec.Body, want)
	}
	if cc := rec.Header().Get("Cache-Control"); !strings.Contains(cc, "immutable") {
		t.Errorf("Cache-Control %q", cc)
	}
	rec = httptest.NewRecorder()
	a.ServeHTTP(rec, httptest.NewRequest("GET", "/assets/main.js", nil))
	if rec.Code != 404 {
		t.Errorf("an address without hash answers %d", rec.Code)
	}
	if _, err := web.NewAssets("/", fstest.MapFS{"x.css": {}}, fstest.MapFS{"x.css": {}}); err == nil {
		t.Error("the same name twice is accepted")
	}
	if _, err := web.NewAssets("/", fstest.MapFS{"a.js": {Data: []byte(`import "./b.js"`)}, "b.js": {Data: []byte(`import "./a.js"`)}}); err == nil {
		t.Error("a circle of imports is accepted")
	}
}

func TestHostRefusesStrangers(t *testing.T) {
	h := web.Host("id.example")(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	for host, want := range map[string]int{"id.example": 204, "evil.example": 421, "id.example:80": 421, "": 421} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != want {
			t.Errorf("host %q: got %d, want %d", host, rec.Code, want)
		}
	}
}

func TestSeeOtherKeepsTheAddressAsItIs(t *testing.T) {
	rec := httptest.NewRecorder()
	web.SeeOther(rec, httptest.NewRequest("POST", "/", nil), "com.example.app:/cb//x?a=b%20c\r\nSet-Cookie: x")
	if rec.Code != 303 || rec.Header().Get("Location") != "com.example.app:/cb//x?a=b%20cSet-Cookie: x" {
		t.Errorf("got %d %q", rec.Code, rec.Header().Get("Location"))
	}
}

// TestJSONTellsItsLength: also that of a reply too long for the buffer that
// net/http would measure it in.
func TestJSONTellsItsLength(t *testing.T) {
	for _, size := range []int{0, 10_000} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			web.JSON(w, http.StatusOK, strings.Repeat("a", size))
		}))
		res, err := http.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		s.Close()
		if err != nil || len(body) != size+2 || res.ContentLength != int64(size+2) || len(res.TransferEncoding) > 0 {
			t.Errorf("%d bytes of %d, encoded %v, %v", len(body), res.ContentLength, res.TransferEncoding, err)
		}
	}
}
