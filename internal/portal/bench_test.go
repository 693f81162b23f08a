package portal

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/web"
)

// BenchmarkSignIn is what one sign-in by passkey costs these handlers and all
// below them, with what a server keeps cached: begin is the challenge, answer
// from the form to the hand-over to the door. What the browser does is not
// counted.
func BenchmarkSignIn(b *testing.B) {
	w := &world{t: b, db: sqldbtest.Open(b, sources)}
	w.bus = bus.New(w.db, slog.New(slog.DiscardHandler))
	w.open(phoneOf)
	w.portal.cfg.Resume["app"] = func(rw http.ResponseWriter, _ *http.Request, _ signin.Flow, _ signin.Step) error {
		return web.NoContent(rw)
	}
	w.phones()
	ada, known := w.newUser("ada@nordhafen.example", "Ada Lindqvist"), w.newBrowser()
	known.firstDay(ada, "Blue key")
	app := w.allow(ada, client.Client{Name: "Drawings", FirstParty: true}, "openid")
	w.flow = signin.Flow{Client: app.ID, ClientName: app.Name, LeadsTo: "drawings.example", Scopes: []string{"openid", "profile"},
		Prompt: []string{"login"}, Ask: json.RawMessage(`{"redirect_uri":"https://drawings.example/cb","state":"` + strings.Repeat("s", 43) + `"}`)}
	at := "/" + string(w.tenant.ID)
	handle := known.get(at+"/app").want(b, http.StatusOK).field("handle")
	here, err := url.Parse(w.server.URL)
	w.must(err)
	var cookies []string
	for _, c := range known.client.Jar.Cookies(here) {
		if c.Name != "signet-session" {
			cookies = append(cookies, c.String())
		}
	}
	post := func(path, kind, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", at+path, strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		r.Header.Set("User-Agent", firefox)
		r.Header.Set("Cookie", strings.Join(cookies, "; "))
		out := httptest.NewRecorder()
		w.server.Config.Handler.ServeHTTP(out, r)
		return out
	}
	ask := `{"handle":"` + handle + `","method":"passkey","username":""}`
	w.portal.begins = web.NewLimiter(1<<30, 1, 1, w.clock)

	b.Run("begin", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if r := post("/signin/begin", "application/json", ask); r.Code != http.StatusOK {
					b.Error(r.Code, r.Body)
				}
			}
		})
	})
	b.Run("answer", func(b *testing.B) {
		forms := make([]string, b.N)
		for n := range forms {
			var begun struct {
				Ceremony string
				Show     json.RawMessage
			}
			w.must(json.Unmarshal(post("/signin/begin", "application/json", ask).Body.Bytes(), &begun))
			payload, err := known.keys.Get(begun.Show)
			w.must(err)
			forms[n] = url.Values{"handle": {handle}, "method": {"passkey"}, "ceremony": {begun.Ceremony}, "payload": {string(payload)}}.Encode()
		}
		var next atomic.Int64
		b.ReportAllocs()
		b.SetParallelism(32) // callers that share commits
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if r := post("/signin/answer", "application/x-www-form-urlencoded", forms[next.Add(1)-1]); r.Code != http.StatusNoContent {
					b.Error(r.Code, r.Body)
				}
			}
		})
	})
}
