package push_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/push/pushtest"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

var sources = []fs.FS{push.Migrations}

// world is a database, a clock, a push service, and what was told of failures.
type world struct {
	db      *sqldb.DB
	clock   atomic.Int64 // ms
	key     *secret.Key
	service *pushtest.WebPush

	mu     sync.Mutex
	failed []error
}

func newWorld(t testing.TB, db *sqldb.DB) *world {
	t.Helper()
	w := &world{db: db, key: secret.RandomKey(), service: pushtest.New(t)}
	w.clock.Store(time.Now().UnixMilli())
	return w
}

func (w *world) now() time.Time          { return time.UnixMilli(w.clock.Load()) }
func (w *world) advance(d time.Duration) { w.clock.Add(d.Milliseconds()) }

func (w *world) told() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.failed
	w.failed = nil
	return all
}

func (w *world) config(t testing.TB) push.Config {
	t.Helper()
	return push.Config{
		DB: w.db, Now: w.now, Subject: "mailto:help@signet.example.com",
		Key:   func(context.Context) (*secret.Key, error) { return w.key, nil },
		Hosts: hosts(t, w.service.Host()), Roots: w.service.Roots(),
		Failed: func(err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.failed = append(w.failed, err)
		},
	}
}

func hosts(t testing.TB, all ...string) (hs []push.Host) {
	t.Helper()
	for _, s := range all {
		h, err := push.ParseHost(s)
		if err != nil {
			t.Fatal(err)
		}
		hs = append(hs, h)
	}
	return hs
}

// node makes a service that is prepared and does not run.
func (w *world) node(t testing.TB, change ...func(*push.Config)) *push.Service {
	t.Helper()
	c := w.config(t)
	for _, f := range change {
		f(&c)
	}
	s, err := push.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a service until the test ends, or stop is called.
func run(t testing.TB, s *push.Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Run does not stop")
		}
	})
	t.Cleanup(stop)
	return stop
}

// lanes lets a service send what it is handed, without looking for more.
func lanes(t testing.TB, s *push.Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stop := s.StartLanes(ctx)
	t.Cleanup(func() { cancel(); stop() })
}

func target(sub *pushtest.Subscription) push.Target {
	return push.Target{Kind: push.WebPush, Endpoint: sub.Endpoint, P256DH: sub.P256DH, Auth: sub.Auth}
}

func message(id string) push.Message {
	return push.Message{
		ID: id, Title: "Someone is signing in", Body: "Is it you?", Lang: "en", Navigate: "https://id.example.com/phone/#r=" + id, Lives: time.Minute,
	}
}

var ref = push.Ref{Tenant: "3f1c9a66-3a1e-4d0b-9c7e-000000000001", Phone: "3f1c9a66-3a1e-4d0b-9c7e-000000000002"}

func (w *world) queue(t *testing.T, s *push.Service, to push.Target, all ...push.Message) {
	t.Helper()
	err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for _, m := range all {
			if err := s.Queue(ctx, tx, ref, to, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rows is how many messages are stored.
func (w *world) rows(t *testing.T) (n int) {
	t.Helper()
	if err := w.db.QueryRow(t.Context(), `select count(*) from push_message`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func reason(t *testing.T, err error, want string) {
	t.Helper()
	var e *idp.Error
	switch {
	case !errors.As(err, &e):
		t.Errorf("%v, want reason %s", err, want)
	case e.Reason != want:
		t.Errorf("reason %s (%v), want %s", e.Reason, err, want)
	case e.Public == "":
		t.Errorf("%s: nothing to tell the person", want)
	}
}

// secretFree fails when an error holds what lets somebody send.
func secretFree(t *testing.T, err error, to push.Target) {
	t.Helper()
	if err == nil {
		return
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(to.Endpoint, "https://"), "/")
	for _, s := range []string{path, to.Token, to.Auth, to.P256DH} {
		if s != "" && (strings.Contains(err.Error(), s) || strings.Contains(idp.AsError(err).Public, s)) {
			t.Errorf("%q has %q in it", err, s)
		}
	}
}

func noRoots() *x509.CertPool { return x509.NewCertPool() }
