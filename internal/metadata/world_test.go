package metadata

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata/metadatatest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var sources = []fs.FS{Migrations, bus.Migrations}

const (
	modelA = "11111111-1111-4111-8111-111111111111"
	modelB = "22222222-2222-4222-8222-222222222222"
)

// start is when the tests play.
var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is a service, a maker of keys, and a clock.
type world struct {
	service *metadatatest.Service
	maker   *metadatatest.CA

	mu  sync.Mutex
	now time.Time
}

func newWorld() *world {
	return &world{service: metadatatest.New(start), maker: metadatatest.NewCA("Maker", start), now: start}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) config(db *sqldb.DB) Config {
	return Config{
		DB: db, Now: w.clock, File: "unused", Timeout: 10 * time.Second,
		Roots: []*x509.Certificate{w.service.Root.Cert}, Signer: metadatatest.Signer,
	}
}

func (w *world) entry(aaguid, name string, reports ...metadatatest.Report) any {
	return metadatatest.Entry(aaguid, name, []*x509.Certificate{w.maker.Cert}, reports...)
}

func (w *world) list(no int64, entries ...any) []byte {
	if len(entries) == 0 {
		entries = []any{w.entry(modelA, "Model A")}
	}
	return w.service.List(no, w.clock(), entries...)
}

// registry is one with nothing but memory.
func (w *world) registry() *Registry { return New(w.config(nil)) }

// with is a registry that holds the entries.
func (w *world) with(t testing.TB, entries ...any) *Registry {
	t.Helper()
	r := w.registry()
	s, err := r.read(w.list(1, entries...), w.clock())
	if err != nil {
		t.Fatal(err)
	}
	r.swap(s)
	return r
}

func write(t testing.TB, blob []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "blob.jwt")
	if err := os.WriteFile(path, blob, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantReason(t testing.TB, err error, kind idp.Kind, reason string) {
	t.Helper()
	e := idp.AsError(err)
	if e == nil {
		t.Fatalf("got success, want %s %q", kind, reason)
	}
	if e.Kind != kind || e.Reason != reason {
		t.Fatalf("got %s %q (%v), want %s %q", e.Kind, e.Reason, err, kind, reason)
	}
}

// TestPinnedRoots holds the embedded certificates to the fingerprints that
// GlobalSign and Apple publish.
func TestPinnedRoots(t *testing.T) {
	for name, want := range map[string]string{
		"globalsign-r46": "4fa3126d8d3a11d1c4855a4f807cbad6cf919d3a5a88b03bea2c6372d93c40c9",
		"globalsign-r3":  "cbb522d7b7f127ad6a0113865bdf1cd4102e7d0759af635a7cf4720dc963c53b",
		"apple-webauthn": "0915dd5c07a28db549d1f677bb5a75d4bfbe9561a773424327762e9e02f9bb29",
	} {
		sum := sha256.Sum256(pinned(name).Raw)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s: fingerprint %s, want %s", name, got, want)
		}
	}
}

func openWorld(t *testing.T) (*world, *Registry, *sqldb.DB) {
	w := newWorld()
	db := sqldbtest.Open(t, sources)
	return w, New(w.config(db)), db
}

func node(w *world, db *sqldb.DB) (*Registry, *bus.Bus) {
	c := w.config(db)
	c.Bus = bus.New(db, slog.New(slog.DiscardHandler))
	return New(c), c.Bus
}

// background runs fn until the test ends.
func background(t *testing.T, fn func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

var discard = slog.New(slog.DiscardHandler)
