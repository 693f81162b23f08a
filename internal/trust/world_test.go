package trust_test

import (
	"context"
	"crypto/x509"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/trust"
)

const (
	tenant = idp.TenantID("6f1c0a52-0d4e-4f0b-9d0a-5a1d6f0e7c11")
	other  = idp.TenantID("7a2d1b63-1e5f-4a1c-8e1b-6b2e7a1f8d22")
)

var (
	sources = []fs.FS{trust.Migrations, bus.Migrations}
	start   = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
)

// world is a store on a database, with a clock of its own.
type world struct {
	*trust.Store
	t     testing.TB
	db    *sqldb.DB
	bus   *bus.Bus
	clock *atomic.Int64
}

func newWorld(t testing.TB, db *sqldb.DB) *world {
	w := &world{t: t, db: db, clock: &atomic.Int64{}}
	w.clock.Store(start.UnixMilli())
	w.Store, w.bus = w.node()
	return w
}

// node is one more server on the same database.
func (w *world) node() (*trust.Store, *bus.Bus) {
	b := bus.New(w.db, slog.New(slog.DiscardHandler))
	return trust.New(trust.Config{DB: w.db, Bus: b, Now: w.now}), b
}

func (w *world) now() time.Time { return time.UnixMilli(w.clock.Load()).UTC() }

func (w *world) pass(d time.Duration) { w.clock.Add(d.Milliseconds()) }

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

// write runs fn in a transaction.
func (w *world) write(fn func(ctx context.Context, tx *sqldb.Tx) error) error {
	return w.db.Write(context.Background(), fn)
}

func (w *world) add(t idp.TenantID, offers ...trust.Offer) (out []trust.Authority, err error) {
	err = w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		out, err = w.Add(ctx, tx, t, "", offers)
		return err
	})
	return out, err
}

func (w *world) mustAdd(t idp.TenantID, offers ...trust.Offer) []trust.Authority {
	w.t.Helper()
	out, err := w.add(t, offers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) update(t idp.TenantID, id idp.AuthorityID, version int64, e trust.Edit) (a trust.Authority, err error) {
	err = w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		a, err = w.Update(ctx, tx, t, id, version, e)
		return err
	})
	return a, err
}

func (w *world) remove(t idp.TenantID, id idp.AuthorityID) (a trust.Authority, err error) {
	err = w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		a, err = w.Remove(ctx, tx, t, id)
		return err
	})
	return a, err
}

func (w *world) restore(t idp.TenantID, id idp.AuthorityID) (a trust.Authority, err error) {
	err = w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		a, err = w.Restore(ctx, tx, t, id)
		return err
	})
	return a, err
}

func (w *world) list(t idp.TenantID) []trust.Authority {
	w.t.Helper()
	out, err := w.List(w.t.Context(), w.db, t)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func names(all []trust.Authority) (out []string) {
	for _, a := range all {
		out = append(out, a.Name)
	}
	return out
}

func root(a *pkixtest.Authority) trust.Offer { return trust.Offer{Cert: a.Cert, Root: true} }

func sub(a *pkixtest.Authority) trust.Offer { return trust.Offer{Cert: a.Cert} }

func to[T any](v T) *T { return &v }

func certs(all ...*pkixtest.Authority) (out []*x509.Certificate) {
	for _, a := range all {
		out = append(out, a.Cert)
	}
	return out
}
