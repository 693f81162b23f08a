package prt_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// A use reads a PRT once, and then not again until it changes.
func TestKept(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		i := w.issue(t, asked(ada, desk, w.now))
		reads := func(value string) int64 {
			var m sqldb.Meter
			if _, err := w.svc.Find(sqldb.WithMeter(t.Context(), &m), tenant, value); err != nil {
				t.Fatal(err)
			}
			return m.Reads.Load()
		}
		w.find(t, i.Value)
		if n := reads(i.Value); n != 0 {
			t.Errorf("%d reads for a PRT that was found before", n)
		}
		_, next := w.renew(t, i.Value)
		if first, again := reads(next), reads(next); first != 1 || again != 0 {
			t.Errorf("%d reads for one that was renewed, then %d", first, again)
		}
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.Revoke(ctx, tx, tenant, i.PRT.ID) })
		w.refused(t, next, "prt_revoked")
	})
}

// A node that has not heard yet that another one renewed a PRT takes its new
// generation for what it is, and nobody for a thief.
func TestSec_DEV08_RenewedElsewhere(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		kek := secret.RandomKey()
		deaf := func() *world { return newHearing(db, kek, bus.New(db, slog.New(slog.DiscardHandler))) }
		here, there := deaf(), deaf()
		i := here.issue(t, asked(ada, desk, here.now))
		there.find(t, i.Value)
		_, second := here.renew(t, i.Value)
		_, third := here.renew(t, second)
		if o := there.find(t, third); o.PRT.Generation != 3 {
			t.Errorf("generation %d", o.PRT.Generation)
		}
		there.refused(t, i.Value, "prt_reuse")
	})
}

// What one node ends, the others refuse once they have heard.
func TestSec_DEV07_EndedElsewhere(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		if db.Dialect() == sqldb.SQLite {
			return // one process, one store
		}
		kek := secret.RandomKey()
		notices := bus.New(db, slog.New(slog.DiscardHandler))
		here := newHearing(db, kek, bus.New(db, slog.New(slog.DiscardHandler)))
		there := newHearing(db, kek, notices)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- notices.Run(ctx) }()
		t.Cleanup(func() { stop(); <-done })
		i := here.issue(t, asked(ada, desk, here.now))
		there.find(t, i.Value)
		here.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return here.svc.RevokeUser(ctx, tx, tenant, ada) })
		for limit := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, err := there.svc.Find(t.Context(), tenant, i.Value); reason(err) == "prt_revoked" {
				return
			}
			if time.Now().After(limit) {
				t.Fatal("never refused")
			}
		}
	})
}
