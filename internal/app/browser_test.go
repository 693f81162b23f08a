package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/demo"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
)

// logBuffer is a log that a test may read while it is being written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// site is a server with the demo's tenant and app, in this process.
type site struct {
	*app.Server
	made demo.Made
	data string
	log  *logBuffer
	stop func() error // ends Run and waits for it
}

func newSite(t *testing.T, change func(*app.Config)) *site {
	t.Helper()
	s := &site{data: filepath.Join(t.TempDir(), "data"), log: &logBuffer{}}
	cfg := app.Default()
	cfg.Demo = true
	cfg.Data, cfg.Listen, cfg.Drain = s.data, "127.0.0.1:0", 0
	cfg.Log = slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if change != nil {
		change(&cfg)
	}
	var err error
	if s.Server, err = app.Start(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	var party http.Handler
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { party.ServeHTTP(w, r) }))
	t.Cleanup(shop.Close)
	s.made, err = demo.Maker{
		DB: s.DB, Directory: s.Directory, Clients: s.Clients, Passes: s.Passes, Policies: s.Policies, Audit: s.Audit, Now: cfg.Now,
		BaseURL: s.BaseURL(), AppURL: shop.URL, Issuer: s.Issuer, Keys: s.PassKeys,
	}.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	party = demo.NewApp(demo.AppConfig{
		Issuer: s.made.Issuer, ClientID: s.made.ClientID, Secret: s.made.Secret, URL: shop.URL, Name: demo.AppName, Now: cfg.Now,
	}).Handler()

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func(string) { close(ready) }) }()
	s.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("the server stopped with %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("the server ended before it was ready: %v", err)
	}
	return s
}

// browser is a person's: it keeps cookies, follows redirects, and has an
// authenticator.
type browser struct {
	t    *testing.T
	http *http.Client
	key  *passkeytest.Authenticator
	last []string // addresses of the last visit, redirects included
}

// page is where a visit came to rest.
type page struct {
	status int
	url    *url.URL
	text   string
}

func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, key: passkeytest.New("localhost", base)}
	b.http = &http.Client{
		Jar: jar,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			b.last = append(b.last, r.URL.String())
			if len(via) > 10 {
				return http.ErrUseLastResponse
			}
			return nil
		},
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			// As in a browser, localhost is where the server listens.
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, strings.Replace(addr, "localhost:", "127.0.0.1:", 1))
			},
		},
	}
	return b
}

func (b *browser) do(r *http.Request) page {
	b.t.Helper()
	b.last = []string{r.URL.String()}
	res, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{res.StatusCode, res.Request.URL, string(text)}
}

func (b *browser) get(address string) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) post(p page, path string, form url.Values) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, p.url.JoinPath("/").ResolveReference(&url.URL{Path: path}).String(), strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

// call posts JSON as the pages' scripts do.
func (b *browser) call(p page, path string, ask, answer any) int {
	b.t.Helper()
	body, err := json.Marshal(ask)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, p.url.ResolveReference(&url.URL{Path: path}).String(), bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	got := b.do(r)
	if err := json.Unmarshal([]byte(got.text), answer); err != nil {
		b.t.Fatalf("%s answered %d %q: %v", path, got.status, got.text, err)
	}
	return got.status
}

// field is the value of a hidden field, or an attribute's.
func (p page) field(t *testing.T, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(p.text)
	if found == nil {
		t.Fatalf("%s (%d) has no %s:\n%s", p.url, p.status, pattern, p.text)
	}
	return html.UnescapeString(found[1])
}

func (p page) handle(t *testing.T) string { return p.field(t, `name="handle" value="([^"]*)"`) }
func (p page) answerPath(t *testing.T) string {
	return p.field(t, `id="signin" method="post" action="([^"]*)"`)
}
func (p page) beginPath(t *testing.T) string { return p.field(t, `data-begin="([^"]*)"`) }

// begun is what the two begin addresses answer.
type begun struct {
	Ceremony string          `json:"ceremony"`
	Show     json.RawMessage `json:"show"`
}

// usePass answers a sign-in page with an access pass.
func (b *browser) usePass(p page, user, pass string) page {
	b.t.Helper()
	return b.post(p, p.answerPath(b.t), url.Values{
		"handle": {p.handle(b.t)}, "method": {"accessPass"}, "username": {user}, "access_pass": {pass},
	})
}

// usePasskey answers a sign-in page with the browser's own passkey.
func (b *browser) usePasskey(p page) page {
	b.t.Helper()
	var ceremony begun
	b.call(p, p.beginPath(b.t), map[string]string{"handle": p.handle(b.t), "method": "passkey", "username": ""}, &ceremony)
	payload, err := b.key.Get(ceremony.Show)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.post(p, p.answerPath(b.t), url.Values{
		"handle": {p.handle(b.t)}, "method": {"passkey"}, "ceremony": {ceremony.Ceremony}, "payload": {string(payload)},
	})
}

// addPasskey answers the page that asks for a new passkey and goes where it
// leads.
func (b *browser) addPasskey(p page) page {
	b.t.Helper()
	about := map[string]any{"method": "passkey", "session": p.field(b.t, `name="session" value="([^"]*)"`)}
	if strings.Contains(p.text, `name="flow"`) {
		about["flow"] = p.field(b.t, `name="flow" value="([^"]*)"`)
	}
	var ceremony begun
	if status := b.call(p, "/account/register/begin", about, &ceremony); status != http.StatusOK {
		b.t.Fatalf("register/begin answered %d", status)
	}
	payload, err := b.key.Create(ceremony.Show)
	if err != nil {
		b.t.Fatal(err)
	}
	about["ceremony"], about["payload"] = ceremony.Ceremony, json.RawMessage(payload)
	var done struct {
		Next string `json:"next"`
	}
	if status := b.call(p, "/account/register/finish", about, &done); status != http.StatusOK || done.Next == "" {
		b.t.Fatalf("register/finish answered %d, next %q", status, done.Next)
	}
	return b.get(p.url.ResolveReference(must(url.Parse(done.Next))).String())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// firstDay takes a person from a pass into the app.
func (b *browser) firstDay(s *site, who demo.PersonFact) page {
	b.t.Helper()
	p := b.get(s.made.AppURL + "/login")
	p = b.usePass(p, who.UserName, who.AccessPass)
	p = b.addPasskey(p)
	return b.usePasskey(p)
}

// context is for libraries that are handed an HTTP client in it.
func (b *browser) context() context.Context {
	return context.WithValue(b.t.Context(), oauth2.HTTPClient, b.http)
}

// resume runs a server that took the place of the site's; the returned
// function stops it.
func (s *site) resume(t *testing.T, server *app.Server) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- server.Run(ctx, func(string) { close(ready) }) }()
	<-ready
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server stopped with %v", err)
		}
	}
}
