package app_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
)

// TestStopLosesNothing stops a server under load, behind something that does
// as a proxy does: it asks /readyz and sends nothing more once that says no.
// Every request that was sent gets its answer (security.md REL02).
func TestStopLosesNothing(t *testing.T) {
	const asks, drain, clients = 10 * time.Millisecond, 300 * time.Millisecond, 32
	s := newSite(t, func(c *app.Config) { c.Drain = drain })
	base := strings.Replace(s.BaseURL(), "localhost", "127.0.0.1", 1)
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	send := func(path string) (int, error) {
		r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil))
		r.Host = must(url.Parse(s.BaseURL())).Host
		res, err := transport.RoundTrip(r)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, err
	}

	var open atomic.Bool
	var answered atomic.Int64
	open.Store(true)
	var group sync.WaitGroup
	problems := make(chan error, clients)
	for range clients {
		group.Go(func() {
			for open.Load() {
				status, err := send("/" + s.made.TenantID + "/v2.0/.well-known/openid-configuration")
				if err != nil || status != http.StatusOK {
					problems <- fmt.Errorf("status %d, %w", status, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	for answered.Load() < 2000 {
		time.Sleep(asks)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	for {
		if status, err := send("/readyz"); err != nil || status != http.StatusOK {
			break
		}
		time.Sleep(asks)
	}
	before := answered.Load()
	open.Store(false)
	group.Wait()
	transport.CloseIdleConnections()
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	close(problems)
	for err := range problems {
		t.Errorf("a request was lost: %v", err)
	}
	t.Logf("%d answered, %d of them after the stop had begun", answered.Load(), answered.Load()-before)
}

// TestRollback puts an older copy of the database in place: the start refuses,
// and once told to go on it voids every session and refresh token.
func TestRollback(t *testing.T) {
	s := newSite(t, nil)
	bela := s.made.Users[1]
	b := newBrowser(t, s.BaseURL())
	b.firstDay(s, bela)
	_, token, config := s.tokens(t, b, "openid", "offline_access")
	addr := strings.TrimPrefix(s.BaseURL(), "http://localhost")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.data, "signet.db")
	old := must(os.ReadFile(file))

	// Life goes on: something is written that the copy does not have.
	again := func(accept bool) (*app.Server, error) {
		cfg := app.Default()
		cfg.Demo, cfg.Data, cfg.Listen, cfg.Drain, cfg.AcceptRollback = true, s.data, "127.0.0.1"+addr, 0, accept
		cfg.Log = slog.New(slog.DiscardHandler)
		return app.Start(t.Context(), cfg)
	}
	server, err := again(false)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Abandon(); err != nil {
		t.Fatal(err)
	}
	admin := must(app.Administer(t.Context(), app.Config{Data: s.data, Now: time.Now}))
	must(admin.Do(t.Context(), "group.create", map[string]string{"displayName": "Later"}, nil))
	if err := admin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, beside := range []string{"-wal", "-shm"} {
		if err := os.Remove(file + beside); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}

	if _, err = again(false); err == nil || !strings.Contains(err.Error(), "--accept-rollback") {
		t.Fatalf("an older database started: %v", err)
	}
	if server, err = again(true); err != nil {
		t.Fatal(err)
	}
	resumed := s.resume(t, server)
	defer resumed()
	if p := b.get(s.BaseURL() + "/account"); strings.Contains(p.text, "data-credential") {
		t.Error("a session of before the rollback is alive")
	}
	config.Endpoint.TokenURL = s.BaseURL() + "/" + s.made.TenantID + "/oauth2/v2.0/token"
	token.Expiry = time.Now().Add(-time.Hour)
	if _, err := config.TokenSource(b.context(), token).Token(); err == nil {
		t.Error("a refresh token of before the rollback is good")
	}
	// The passkey is still theirs.
	if p := b.usePasskey(b.get(s.made.AppURL + "/login")); !strings.Contains(p.url.Path, "/") || p.status == http.StatusInternalServerError {
		t.Errorf("the passkey led to %d %s", p.status, p.url)
	}
}
