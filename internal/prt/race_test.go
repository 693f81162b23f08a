package prt_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// nodes makes n services over one database, each with caches of its own.
func nodes(db *sqldb.DB, n int) (out []*world) {
	kek := secret.RandomKey()
	for range n {
		out = append(out, newNode(db, kek))
	}
	return out
}

// atOnce runs fn for 64 callers, spread over the nodes.
func atOnce(all []*world, fn func(caller int, w *world)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for caller := range 64 {
		wg.Go(func() {
			<-start
			fn(caller, all[caller%len(all)])
		})
	}
	close(start)
	wg.Wait()
}

// TestSec_DEV08_ParallelRenewals: of many renewals of one generation, on two
// nodes, one advances; all get the same generation, with values that are good
// everywhere.
func TestSec_DEV08_ParallelRenewals(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		all := nodes(db, 2)
		i := all[0].issue(t, asked(ada, desk, all[0].now))
		value := i.Value
		for round := range int64(8) {
			var mu sync.Mutex
			var got []string
			atOnce(all, func(_ int, w *world) {
				o, err := w.svc.Find(context.Background(), tenant, value)
				if err != nil {
					t.Errorf("round %d: find: %v", round, err)
					return
				}
				p, next, err := w.tryRenew(o)
				if err != nil || p.Generation != round+2 || p.ID != i.PRT.ID {
					t.Errorf("round %d: generation %d, %v", round, p.Generation, err)
				}
				mu.Lock()
				got = append(got, next)
				mu.Unlock()
			})
			for n, v := range got {
				if o := all[n%2].find(t, v); o.Presented != round+2 || o.PRT.Generation != round+2 || string(o.SessionKey) != string(i.SessionKey) {
					t.Fatalf("round %d: one got generation %d, current is %d", round, o.Presented, o.PRT.Generation)
				}
			}
			value = got[0]
		}
	})
}

// TestSec_DEV07_RevokeAgainstRenew: whoever comes first, a PRT that was revoked
// never comes out renewed: a renewal after it is refused, and what one before
// it gave is dead.
func TestSec_DEV07_RevokeAgainstRenew(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		all := nodes(db, 2)
		for range 12 {
			i := all[0].issue(t, asked(ada, desk, all[0].now))
			var revoked atomic.Bool
			var mu sync.Mutex
			got := []string{i.Value}
			atOnce(all, func(caller int, w *world) {
				if caller == 17 {
					if err := w.db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RevokeDevice(ctx, tx, tenant, desk) }); err != nil {
						t.Error(err)
					}
					revoked.Store(true)
					return
				}
				o, err := w.svc.Find(context.Background(), tenant, i.Value)
				if err != nil {
					if reason(err) != "prt_revoked" {
						t.Error(err)
					}
					return
				}
				late := revoked.Load() // the renewal begins after the revocation is durable
				_, next, err := w.tryRenew(o)
				switch {
				case err == nil && late:
					t.Error("renewed after it was revoked")
				case err == nil:
					mu.Lock()
					got = append(got, next)
					mu.Unlock()
				case reason(err) != "prt_revoked":
					t.Error(err)
				}
			})
			for n, v := range got {
				all[n%2].refused(t, v, "prt_revoked")
			}
		}
	})
}

// TestSec_DEV07_RevokedStaysRevoked: an Opened from before the revocation, of
// the current generation and of the one before, renews nothing.
func TestSec_DEV07_RevokedStaysRevoked(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		i := w.issue(t, asked(ada, desk, w.now))
		_, second := w.renew(t, i.Value)
		before, current := w.find(t, i.Value), w.find(t, second)
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RevokeUser(ctx, tx, tenant, ada) })
		for name, o := range map[string]prt.Opened{"the one before": before, "the current one": current} {
			if _, value, err := w.tryRenew(o); reason(err) != "prt_revoked" || value != "" {
				t.Errorf("%s: %v", name, err)
			}
		}
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RemoveUser(ctx, tx, tenant, ada) })
		if _, value, err := w.tryRenew(current); reason(err) != "prt_revoked" || value != "" {
			t.Errorf("of a person who is gone: %v", err)
		}
	})
}

// TestSec_DEV08_ReuseRace: an old generation that turns up everywhere at once
// ends the PRT, with one event.
func TestSec_DEV08_ReuseRace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		all := nodes(db, 2)
		i := all[0].issue(t, asked(ada, desk, all[0].now))
		_, second := all[0].renew(t, i.Value)
		_, third := all[0].renew(t, second)
		atOnce(all, func(_ int, w *world) {
			o, err := w.svc.Find(context.Background(), tenant, i.Value)
			if reason(err) == "prt_revoked" {
				return
			}
			if reason(err) != "prt_reuse" {
				t.Error(err)
			}
			if err := w.db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.Reused(ctx, tx, o, prt.Presenter{}) }); err != nil {
				t.Error(err)
			}
		})
		all[0].refused(t, third, "prt_revoked")
		events, err := all[0].audit.List(t.Context(), db, tenant, audit.Filter{Limit: 10})
		if err != nil || len(events) != 1 || len(all[0].ended)+len(all[1].ended) != 1 {
			t.Errorf("%d events, %d ends, %v", len(events), len(all[0].ended)+len(all[1].ended), err)
		}
	})
}

// A renewal whose Opened is older than the row by more than one generation is a
// reuse, also when it was fine as Find read it.
func TestSec_DEV08_OvertakenTwice(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		i := w.issue(t, asked(ada, desk, w.now))
		slow := w.find(t, i.Value)
		_, second := w.renew(t, i.Value)
		_, third := w.renew(t, second)
		if _, value, err := w.tryRenew(slow); reason(err) != "prt_reuse" || value != "" {
			t.Errorf("got %v", err)
		}
		w.find(t, third)
	})
}
