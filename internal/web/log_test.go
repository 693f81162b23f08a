package web_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// TestSec_LOG02_AccessLogIsBounded: what strangers send is one line of bounded
// length in the log, whatever it is.
func TestSec_LOG02_AccessLogIsBounded(t *testing.T) {
	long := strings.Repeat("x", 30_000)
	form := "application/x-www-form-urlencoded"
	read := func(w http.ResponseWriter, r *http.Request) error { _, err := web.Form(w, r); return err }
	json := func(w http.ResponseWriter, r *http.Request) error { return web.ReadJSON(w, r, &struct{ A int }{}) }
	for _, c := range []struct {
		name, kind, body string
		h                web.HandlerFunc
		want             string // in the line
	}{
		{"a parameter's name", form, long + "=1&" + long + "=2", read, "duplicate_parameter"},
		{"a parameter that cannot be read", form, long + "=%zz", read, "malformed_form"},
		{"a content type", long, "", read, "wrong_content_type"},
		{"JSON of another shape", "application/json", `{"A":"` + long + `"}`, json, "malformed_json"},
		{"lines and marks", form, "a\n\u202eb\u0000=1&a\n\u202eb\u0000=2", read, "duplicate_parameter"},
		{"an error of ours", form, "", func(http.ResponseWriter, *http.Request) error { return errors.New("\u202eforged\nlevel=ERROR " + long) }, "cause"},
		{"a panic", form, "", func(http.ResponseWriter, *http.Request) error { panic("\u202eforged\n" + long) }, "goroutine"},
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		var out bytes.Buffer
		phrase := func(w http.ResponseWriter, _ *http.Request, e *idp.Error) { w.WriteHeader(web.Status(e.Kind)) }
		web.Chain(web.Adapt(phrase, c.h), web.Identify(nil), web.Log(slog.New(slog.NewJSONHandler(&out, nil)), web.NewMetrics(prometheus.NewRegistry()))).
			ServeHTTP(httptest.NewRecorder(), r)
		line := out.String()
		if len(line) > 8<<10 || strings.Count(line, "\n") != 1 || strings.Contains(line, "\u202e") {
			t.Errorf("%s: %d bytes in %d lines: %.300s", c.name, len(line), strings.Count(line, "\n"), line)
		}
		if !strings.Contains(line, c.want) {
			t.Errorf("%s: the line does not tell %q: %.300s", c.name, c.want, line)
		}
	}
}

// texts are what a door wrote as a text.
type texts struct {
	*httptest.ResponseRecorder
	seen []string
}

func (w *texts) WriteString(s string) (int, error) {
	w.seen = append(w.seen, s)
	return w.ResponseRecorder.WriteString(s)
}

// TestLogPassesTextsOn: a long reply that is a text reaches the connection as
// one, and has a status like any other.
func TestLogPassesTextsOn(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w := &texts{ResponseRecorder: httptest.NewRecorder()}
	web.Chain(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "long")
		w.WriteHeader(http.StatusTeapot) // too late
	}), web.Identify(nil), web.Log(log, web.NewMetrics(prometheus.NewRegistry()))).
		ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if len(w.seen) != 1 || w.seen[0] != "long" || w.Body.String() != "long" || w.Code != http.StatusOK {
		t.Errorf("%d %q, as texts %q", w.Code, w.Body, w.seen)
	}
	if !strings.Contains(out.String(), `"status":200`) {
		t.Errorf("logged as %s", out.String())
	}
}
