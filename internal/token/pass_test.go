package token_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
)

// onPass opens a grant of an access pass that ends in ten minutes, and its
// access token.
func (w *world) onPass(t *testing.T) (token.Subject, string, string) {
	t.Helper()
	sub, refresh := w.shared(t, func(s *token.Subject) {
		s.Code, s.Until = token.ByAccessPass, w.now.Add(10*time.Minute)
		s.Basis = []token.Basis{{Method: "accessPass", Credential: "pass", Mode: idp.ModeAccessPassOnce, Time: w.now.UnixMilli()}}
	})
	access, lives, err := w.svc.Access(t.Context(), sub)
	if err != nil || lives != 10*time.Minute {
		t.Fatalf("lives %s, %v", lives, err)
	}
	return sub, access, refresh
}

// TestSec_POL04_GrantOfAPass: it ends with the pass, to the second and by its
// removal; nothing refreshes it; it becomes one device's, and has one end.
func TestSec_POL04_GrantOfAPass(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		sub, access, refresh := w.onPass(t)
		if c, err := w.svc.VerifyAccess(t.Context(), tenant, access); err != nil || c.Code != token.ByAccessPass || c.Device != "" {
			t.Fatalf("%+v, %v", c, err)
		}
		if _, err := w.refresh(t, refresh, broker()); reason(err) != "refresh_on_pass" {
			t.Errorf("refreshed: %v", err)
		}
		write := func(fn func(context.Context, *sqldb.Tx) error) error { return db.Write(t.Context(), fn) }
		many := func(what string, fn func(ctx context.Context, tx *sqldb.Tx, n int) error) {
			t.Helper()
			var won atomic.Int32
			var wg sync.WaitGroup
			for n := range 20 {
				wg.Go(func() {
					err := write(func(ctx context.Context, tx *sqldb.Tx) error { return fn(ctx, tx, n) })
					if err == nil {
						won.Add(1)
					} else if reason(err) != "grant_used" {
						t.Errorf("%s: %v", what, err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("%s: %d times", what, won.Load())
			}
		}
		many("bound", func(ctx context.Context, tx *sqldb.Tx, n int) error {
			return w.svc.BindDevice(ctx, tx, tenant, sub.Family, idp.DeviceID(rune('a'+n)))
		})
		if c, err := w.svc.VerifyAccess(t.Context(), tenant, access); err != nil || c.Device == "" {
			t.Errorf("after the join: %+v, %v", c, err)
		}
		many("finished", func(ctx context.Context, tx *sqldb.Tx, _ int) error { return w.svc.Finish(ctx, tx, tenant, sub.Family) })
		if _, err := w.svc.VerifyAccess(t.Context(), tenant, access); reason(err) != "token_revoked" {
			t.Errorf("after its end: %v", err)
		}

		removed, access, _ := w.onPass(t)
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.svc.RevokeStanding(ctx, tx, tenant, removed.User.ID, "accessPass", "pass")
		})
		if _, err := w.svc.VerifyAccess(t.Context(), tenant, access); reason(err) != "token_revoked" {
			t.Errorf("after the pass was taken back: %v", err)
		}
		if err := write(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.svc.BindDevice(ctx, tx, tenant, removed.Family, "late")
		}); reason(err) != "grant_used" {
			t.Errorf("bound after the pass was taken back: %v", err)
		}

		over, access, _ := w.onPass(t)
		w.now = w.now.Add(10 * time.Minute) // within the leeway that other tokens have
		if _, err := w.svc.VerifyAccess(t.Context(), tenant, access); reason(err) != "pass_over" {
			t.Errorf("after the pass: %v", err)
		}
		for what, fn := range map[string]func(context.Context, *sqldb.Tx) error{
			"bound": func(ctx context.Context, tx *sqldb.Tx) error {
				return w.svc.BindDevice(ctx, tx, tenant, over.Family, "late")
			},
			"finished": func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.Finish(ctx, tx, tenant, over.Family) },
		} {
			if err := write(fn); reason(err) != "grant_used" {
				t.Errorf("%s after the pass: %v", what, err)
			}
		}
	})
}
