package web_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/signetid/signet/internal/web"
)

func TestZip(t *testing.T) {
	long := strings.Repeat("the same words again ", 200)
	h := web.Zip(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			http.Error(w, long, http.StatusGone)
			return
		}
		w.Header().Set("Content-Length", "4200")
		io.WriteString(w, long)
	}))
	for _, row := range []struct {
		name, path, accept string
		zipped             bool
	}{
		{"takes it", "/", "br;q=1.0, gzip;q=0.8", true},
		{"in capitals", "/", "GZIP", true},
		{"says no", "/", "gzip;q=0, br", false},
		{"says no at length", "/", "gzip;q=0.000", false},
		{"says nothing", "/", "", false},
		{"another", "/", "br, xgzip", false},
		{"an error", "/gone", "gzip", false},
	} {
		r := httptest.NewRequest("GET", row.path, nil)
		r.Header.Set("Accept-Encoding", row.accept)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: Vary is %q", row.name, rec.Header().Get("Vary"))
		}
		if got := rec.Header().Get("Content-Encoding") == "gzip"; got != row.zipped {
			t.Errorf("%s: compressed is %v", row.name, got)
			continue
		}
		body := rec.Body.String()
		if row.zipped {
			gz, err := gzip.NewReader(rec.Body)
			if err != nil {
				t.Fatal(err)
			}
			raw, _ := io.ReadAll(gz)
			if body = string(raw); rec.Header().Get("Content-Length") != "" {
				t.Errorf("%s: a length of another body", row.name)
			}
		}
		if strings.TrimSuffix(body, "\n") != long {
			t.Errorf("%s: %d bytes came", row.name, len(body))
		}
	}
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("HEAD", "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	if h.ServeHTTP(rec, r); rec.Header().Get("Content-Encoding") != "" {
		t.Error("a HEAD is compressed")
	}
}

func TestAssetsZipped(t *testing.T) {
	text := strings.Repeat("a { color: red }\n", 100)
	a, err := web.NewAssets("/assets/", fstest.MapFS{"a.css": {Data: []byte(text)}, "b.css": {Data: []byte("a{}")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, zipped := range map[string]bool{"a.css": true, "b.css": false} {
		for _, accept := range []string{"gzip", ""} {
			r := httptest.NewRequest("GET", a.URL(name), nil)
			r.Header.Set("Accept-Encoding", accept)
			rec := httptest.NewRecorder()
			a.ServeHTTP(rec, r)
			if got := rec.Header().Get("Content-Encoding") == "gzip"; got != (zipped && accept != "") {
				t.Errorf("%s for %q: compressed is %v", name, accept, got)
			}
			if got := rec.Header().Get("Vary"); got != "Accept-Encoding" {
				t.Errorf("%s: Vary %q", name, got)
			}
			var body io.Reader = rec.Body
			if rec.Header().Get("Content-Encoding") == "gzip" {
				if body, err = gzip.NewReader(body); err != nil {
					t.Fatal(err)
				}
			}
			if raw, _ := io.ReadAll(body); string(raw) != map[string]string{"a.css": text, "b.css": "a{}"}[name] {
				t.Errorf("%s for %q: another body", name, accept)
			}
		}
	}
}
