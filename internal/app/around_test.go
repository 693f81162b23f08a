package app

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// sink takes a reply as a connection does: it keeps a copy of the headers once
// they are told, and of the body nothing.
type sink struct{ made, told http.Header }

func (s *sink) Header() http.Header { return s.made }

func (s *sink) WriteHeader(int) { s.told = s.made.Clone() }

func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

func (s *sink) WriteString(t string) (int, error) { return len(t), nil }

// BenchmarkAround measures what a request pays beside what its handler does.
func BenchmarkAround(b *testing.B) {
	s := &Server{cfg: Default(), base: "https://id.example"}
	s.cfg.Log = slog.New(slog.NewJSONHandler(b.Output(), nil))
	s.health = newHealth(nil)
	mux := http.NewServeMux()
	phrase := func(w http.ResponseWriter, _ *http.Request, e *idp.Error) { w.WriteHeader(web.Status(e.Kind)) }
	answer := struct {
		A string `json:"access_token"`
	}{"token"}
	mux.Handle("POST /{tenant}/oauth2/v2.0/token", web.Adapt(phrase, func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Pragma", "no-cache")
		return web.JSON(w, http.StatusOK, answer)
	}))
	mux.Handle("POST /{tenant}/signin/answer", web.Adapt(phrase, func(w http.ResponseWriter, r *http.Request) error {
		return web.SeeOther(w, r, "https://app.example/callback?code=1")
	}))
	sealed := strings.Repeat("Ab_9", 800)
	mux.Handle("POST /{tenant}/oauth2/token", web.Adapt(phrase, func(w http.ResponseWriter, r *http.Request) error {
		w.WriteHeader(http.StatusOK)
		io.WriteString(w, sealed)
		return nil
	}))
	h := s.httpServer(b.Context(), s.around(mux, nil, ownHost(s.base))).Handler
	const tenant = "/7f1d4c2e-0b53-4d3c-9a86-5a0c1f0e2d11"
	for name, path := range map[string]string{"token": tenant + "/oauth2/v2.0/token", "device": tenant + "/oauth2/token", "answer": tenant + "/signin/answer"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, s.base+path, nil)
			if err != nil {
				b.Fatal(err)
			}
			r.RemoteAddr = "192.0.2.7:50123"
			r.Header = http.Header{
				"Accept": {"*/*"}, "Accept-Encoding": {"gzip"}, "Accept-Language": {"en"}, "Content-Length": {"512"}, "Origin": {"https://id.example"},
				"Content-Type": {"application/x-www-form-urlencoded"}, "User-Agent": {"Mozilla/5.0"}, "Cookie": {"__Host-browser=1"},
			}
			for b.Loop() {
				w := &sink{made: http.Header{}}
				h.ServeHTTP(w, r.WithContext(b.Context())) // a copy: the address is respelt in place
				if w.told == nil {
					b.Fatal("no reply")
				}
			}
		})
	}
}
