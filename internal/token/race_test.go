package token_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
)

// nodes makes n services over one database, each with caches of its own.
func nodes(db *sqldb.DB, n int) []*world {
	kek := secret.RandomKey()
	var out []*world
	for range n {
		out = append(out, newWorldWith(db, kek))
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

// TestSec_OAU08_TwoNodesOneSuccessor rotates a chain of tokens, each by all
// callers of two nodes at once: all of them get the same successor each time.
func TestSec_OAU08_TwoNodesOneSuccessor(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		all := nodes(db, 2)
		_, present := all[0].open(t, "c")
		for round := range 20 {
			var mu sync.Mutex
			seen := map[string]int{}
			atOnce(all, func(_ int, w *world) {
				got, err := w.svc.Refresh(context.Background(), present, app(), token.Presenter{IP: "192.0.2.9"})
				if err != nil {
					t.Errorf("round %d: %v", round, err)
				}
				mu.Lock()
				seen[got.Refresh]++
				mu.Unlock()
			})
			if len(seen) != 1 {
				t.Fatalf("round %d: %d successors", round, len(seen))
			}
			for present = range seen {
			}
		}
	})
}

// TestSec_OAU08_ReuseRace presents a token after its overlap, and one of an
// older generation, by all callers at once: all are refused, the family is
// revoked, and the audit has one event of it.
func TestSec_OAU08_ReuseRace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		all := nodes(db, 2)
		_, first := all[0].open(t, "c")
		second, err := all[0].svc.Refresh(t.Context(), first, app(), token.Presenter{IP: "192.0.2.9"})
		if err != nil {
			t.Fatal(err)
		}
		third, err := all[1].svc.Refresh(t.Context(), second.Refresh, app(), token.Presenter{IP: "192.0.2.9"})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range all {
			w.now = w.now.Add(token.Overlap + time.Millisecond)
		}
		atOnce(all, func(caller int, w *world) {
			presented := []string{first, second.Refresh}[caller%2]
			_, err := w.svc.Refresh(context.Background(), presented, app(), token.Presenter{IP: "192.0.2.9"})
			if r := reason(err); r != "refresh_reuse" && r != "refresh_revoked" {
				t.Errorf("got %v", err)
			}
		})
		if _, err := all[0].svc.Refresh(t.Context(), third.Refresh, app(), token.Presenter{IP: "192.0.2.9"}); reason(err) != "refresh_revoked" {
			t.Errorf("the newest token lives on: %v", err)
		}
		events, err := all[0].audit.List(t.Context(), db, tenant, audit.Filter{Limit: 100})
		if err != nil || len(events) != 1 || events[0].Activity != "token.refresh_reuse" {
			t.Errorf("events %+v, %v", events, err)
		}
	})
}

// TestSec_OAU08_RevocationRace revokes while everybody refreshes: once the
// revocation has committed nothing works any more, on no node.
func TestSec_OAU08_RevocationRace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		all := nodes(db, 2)
		sub, first := all[0].open(t, "c")
		jwt, _, err := all[0].svc.Access(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		var over atomic.Bool
		atOnce(all, func(caller int, w *world) {
			if caller == 0 {
				err := w.db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error {
					return w.svc.RevokeSession(ctx, tx, tenant, sub.User.ID, sub.Session)
				})
				if err != nil {
					t.Error(err)
				}
				over.Store(true)
				return
			}
			for range 20 {
				was := over.Load()
				_, err := w.svc.Refresh(context.Background(), first, app(), token.Presenter{IP: "192.0.2.9"})
				if err != nil && reason(err) != "refresh_revoked" {
					t.Error(err)
				}
				if was && err == nil {
					t.Error("refreshed after the revocation had committed")
				}
			}
		})
		for n, w := range all {
			if _, err := w.svc.Refresh(t.Context(), first, app(), token.Presenter{IP: "192.0.2.9"}); reason(err) != "refresh_revoked" {
				t.Errorf("node %d refreshes: %v", n, err)
			}
			if _, err := w.svc.VerifyAccess(t.Context(), tenant, jwt); reason(err) != "token_revoked" {
				t.Errorf("node %d calls the access token alive: %v", n, err)
			}
		}
	})
}

// TestSec_OAU08_NoScopeGrowth: what a refresh gives is the grant, whatever the
// application may ask for by now, and a refused request rotates nothing.
func TestSec_OAU08_NoScopeGrowth(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		_, first := w.open(t, "c")
		wider := app()
		wider.Scopes = []string{"openid", "profile", "email", "offline_access", "https://api.example/all"}
		tooWide := errors.New("too wide")
		_, err := w.svc.Refresh(t.Context(), first, wider, token.Presenter{IP: "192.0.2.9"}, func(sub token.Subject) error {
			if len(sub.Scopes) != 3 || sub.Audience != "https://api.example" {
				t.Errorf("asked to admit %q for %q", sub.Scopes, sub.Audience)
			}
			return tooWide
		})
		if !errors.Is(err, tooWide) {
			t.Fatalf("got %v", err)
		}
		w.now = w.now.Add(token.Overlap + time.Minute)
		got, err := w.svc.Refresh(t.Context(), first, wider, token.Presenter{IP: "192.0.2.9"})
		if err != nil {
			t.Fatalf("the refused request spent the token: %v", err)
		}
		if s := got.Subject.Scopes; len(s) != 3 {
			t.Errorf("scopes %q", s)
		}
	})
}

// TestRevokedWhileAdmitted revokes at the last moment before the rotation.
func TestRevokedWhileAdmitted(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		_, first := w.open(t, "c")
		_, err := w.svc.Refresh(t.Context(), first, app(), token.Presenter{IP: "192.0.2.9"}, func(token.Subject) error {
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RevokeUser(ctx, tx, tenant, "ada-id") })
			return nil
		})
		if reason(err) != "refresh_revoked" {
			t.Errorf("got %v", err)
		}
	})
}

// TestSec_TOK01 offers every class of ours to every verifier of ours.
func TestSec_TOK01_NoClassPassesForAnother(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	sub, refresh := w.open(t, "c")
	access, _, err := w.svc.Access(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.svc.ID(t.Context(), sub, access)
	if err != nil {
		t.Fatal(err)
	}
	own, _, err := w.svc.ClientAccess(t.Context(), app(), "https://api.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	verifiers := map[string]func(string) error{
		"access": func(v string) error { _, err := w.svc.VerifyAccess(t.Context(), tenant, v); return err },
		"hint":   func(v string) error { _, err := w.svc.VerifyHint(t.Context(), tenant, v); return err },
		"refresh": func(v string) error {
			_, err := w.svc.Refresh(t.Context(), v, app(), token.Presenter{IP: "192.0.2.9"})
			return err
		},
	}
	for name, c := range map[string]struct{ value, class string }{
		"access token": {access, "access"}, "an application's own": {own, "access"}, "ID token": {id, "hint"}, "refresh token": {refresh, "refresh"},
	} {
		for verifier, verify := range verifiers {
			if err := verify(c.value); (err == nil) != (verifier == c.class) {
				t.Errorf("%s given as %s: %v", name, verifier, err)
			}
		}
	}
}

// newWorldWith is newWorld with a key-encryption key shared between nodes.
func newWorldWith(db *sqldb.DB, kek *secret.Key) *world {
	w := newWorld(db)
	w.keys = keyring.New(keyring.Config{DB: db, KEK: kek, Now: func() time.Time { return w.now }})
	w.svc = token.New(token.Config{
		DB: db, Keys: w.keys, Audit: w.audit, Now: func() time.Time { return w.now },
		Issuer: func(t idp.TenantID) string { return "https://id.example/" + string(t) + "/v2.0" },
		User: func(context.Context, sqldb.Querier, idp.TenantID, idp.UserID) (idp.User, error) {
			return w.user, nil
		},
		Epoch: func() int64 { return w.epoch },
	})
	return w
}

// Of many who bring one code, rightly or wrongly, one burns it.
func TestSec_OAU03_OneCodeOneFamily(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		all := nodes(db, 2)
		var won, lost atomic.Int64
		atOnce(all, func(caller int, w *world) {
			err := w.db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error {
				if caller%2 == 0 {
					return w.svc.VoidCode(ctx, tx, tenant, "wiki", code("raced"))
				}
				_, err := w.svc.OpenFamily(ctx, tx, w.subject(), code("raced"))
				return err
			})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, idp.Expired):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
		if won.Load() != 1 || lost.Load() == 0 {
			t.Errorf("%d won and %d lost", won.Load(), lost.Load())
		}
	})
}

// A code that was burnt by a wrong use opens nothing later, and the row that
// says so gives no refresh token.
func TestSec_OAU03_VoidCodeStaysVoid(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		return w.svc.VoidCode(ctx, tx, tenant, "wiki", code("v"))
	})
	err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := w.svc.OpenFamily(ctx, tx, w.subject(), code("v"))
		return err
	})
	if !errors.Is(err, idp.Expired) {
		t.Errorf("a void code opened a family: %v", err)
	}
	id := idp.FamilyID(secret.UUID7Of(code("v")))
	refresh, err := w.svc.FirstRefresh(t.Context(), tenant, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.svc.Refresh(t.Context(), refresh, app(), token.Presenter{IP: "192.0.2.9"}); !errors.Is(err, idp.Expired) {
		t.Errorf("the row of a void code was refreshed: %v", err)
	}
}
