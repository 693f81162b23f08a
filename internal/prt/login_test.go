package prt_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const bob = idp.UserID("9f3c1d20-0d4e-4f0b-9d0a-5a1d6f0e7c99")

// mac is a PRT as a Mac's login asks for it.
func mac(u idp.UserID, d idp.DeviceID, at time.Time) prt.PRT {
	p := asked(u, d, at)
	p.Protocol, p.Proofs[0].Method = prt.Mac, "platform"
	return p
}

func (w *world) tryLogin(ctx context.Context, p prt.PRT) (i prt.Issued, err error) {
	if i, err = w.svc.Prepare(ctx, p); err != nil {
		return i, err
	}
	err = w.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		out, err := w.svc.Login(ctx, tx, i)
		if err == nil {
			i = out
		}
		return err
	})
	return i, err
}

func (w *world) login(t testing.TB, p prt.PRT) prt.Issued {
	t.Helper()
	i, err := w.tryLogin(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// The logins of a person on a Mac are one PRT that moves on: its id stays, its
// proofs and times are the last one's.
func TestLogin(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		first := w.login(t, mac(ada, desk, w.now))
		if first.SessionKey != nil || first.PRT.Generation != 1 || first.PRT.ID == "" {
			t.Fatalf("%+v", first.PRT)
		}
		w.now = w.now.Add(18 * time.Hour)
		asks := mac(ada, desk, w.now)
		asks.IP = "192.0.2.8"
		second := w.login(t, asks)
		if second.PRT.ID != first.PRT.ID || second.PRT.Generation != 2 || second.Value == first.Value {
			t.Errorf("generation %d of %s, was %s", second.PRT.Generation, second.PRT.ID, first.PRT.ID)
		}
		o := w.find(t, second.Value)
		if diff := cmp.Diff(second.PRT, o.PRT); diff != "" || o.Presented != 2 || o.SessionKey != nil {
			t.Errorf("found (-given +found):\n%s", diff)
		}
		if want := w.now.Add(absolute); !o.PRT.Ends.Equal(want) || !o.PRT.Expires.Equal(w.now.Add(idle)) || o.PRT.IP != "192.0.2.8" {
			t.Errorf("ends %s, not %s; expires %s; from %s", o.PRT.Ends, want, o.PRT.Expires, o.PRT.IP)
		}
		// Another person on it, and she on another Mac, have their own.
		for _, p := range []prt.PRT{mac(bob, desk, w.now), mac(ada, "other-mac", w.now)} {
			if i := w.login(t, p); i.PRT.ID == first.PRT.ID || i.PRT.Generation != 1 {
				t.Errorf("%s on %s: generation %d of %s", p.User, p.Device, i.PRT.Generation, i.PRT.ID)
			}
		}
		// One of another dialect stands beside it.
		v4 := asked(ada, desk, w.now)
		v4.Protocol = prt.V4
		if i := w.issue(t, v4); i.PRT.ID == first.PRT.ID {
			t.Error("one of protocol 4.0 has its id")
		}
		w.find(t, second.Value)
		if list, err := w.svc.OfDevice(t.Context(), tenant, desk); err != nil || len(list) != 3 {
			t.Errorf("%d on the Mac, %v", len(list), err)
		}
	})
}

// A login writes by one statement and asks nothing, and its PRT is never kept in
// memory, so that nobody has to be told of a login.
func TestLoginIsOneStatement(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		w.login(t, mac(bob, desk, w.now)) // the tenant's key is there
		for range 2 {
			i, err := w.svc.Prepare(t.Context(), mac(ada, desk, w.now))
			if err != nil {
				t.Fatal(err)
			}
			var m sqldb.Meter
			err = db.Write(sqldb.WithMeter(t.Context(), &m), func(ctx context.Context, tx *sqldb.Tx) error {
				i, err = w.svc.Login(ctx, tx, i)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if n := m.Reads.Load() + m.Writes.Load(); n != 1 {
				t.Errorf("%d statements", n)
			}
			var found sqldb.Meter
			if _, err := w.svc.Find(sqldb.WithMeter(t.Context(), &found), tenant, i.Value); err != nil || found.Reads.Load() != 1 {
				t.Errorf("found by %d reads, %v", found.Reads.Load(), err)
			}
		}
	})
}

// TestSec_DEV08_MacGrace: the generation before the current one of a Mac stays
// good for as long as the PRT does, whether a login or a refresh came after it; an
// older one is reuse.
func TestSec_DEV08_MacGrace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		first := w.login(t, mac(ada, desk, w.now))
		w.now = w.now.Add(time.Hour)
		second := w.login(t, mac(ada, desk, w.now))
		w.now = w.now.Add(5 * 24 * time.Hour) // the answer to the second was lost, and it was a long weekend
		if o := w.find(t, first.Value); o.Presented != 1 || o.PRT.Generation != 2 {
			t.Errorf("presented %d of %d", o.Presented, o.PRT.Generation)
		}
		// A refresh with it gives the current one, and moves nothing.
		if p, _ := w.renew(t, first.Value); p.Generation != 2 {
			t.Errorf("refreshed by the one before: generation %d", p.Generation)
		}
		p, third := w.renew(t, second.Value)
		if p.Generation != 3 || p.ID != first.PRT.ID || !p.ProofTime.Equal(second.PRT.ProofTime) {
			t.Errorf("refreshed: generation %d, gesture at %s", p.Generation, p.ProofTime)
		}
		w.find(t, second.Value)
		w.find(t, third)
		old := w.refused(t, first.Value, "prt_reuse")
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.svc.Reused(ctx, tx, old, prt.Presenter{IP: "192.0.2.66"})
		})
		w.refused(t, third, "prt_revoked")
		if !w.gone(first.PRT.ID) {
			t.Errorf("ended %v", w.ended)
		}
		// Whoever logs in anew has a new one, with nothing of the old.
		if i := w.login(t, mac(ada, desk, w.now)); i.PRT.ID == first.PRT.ID || i.PRT.Generation != 1 {
			t.Errorf("generation %d of %s", i.PRT.Generation, i.PRT.ID)
		}
	})
}

// TestSec_DEV08_MacNothingRevives: a login does not bring back what stood on a
// PRT that was over, for whichever reason: the new one has another id.
func TestSec_DEV08_MacNothingRevives(t *testing.T) {
	for name, tt := range map[string]struct {
		over func(*world)
		why  string // what the old value is refused for, when it was over and after the login
		then string
	}{
		"idle":                   {func(w *world) { w.now = w.now.Add(idle) }, "prt_over", "prt_revoked"},
		"idle by tighter limits": {func(w *world) { w.now, w.idle = w.now.Add(time.Hour), time.Hour }, "prt_over", "prt_revoked"},
		"end by tighter limits":  {func(w *world) { w.now, w.absolute = w.now.Add(time.Hour), time.Hour }, "prt_over", "prt_revoked"},
		"another epoch":          {func(w *world) { w.epoch++ }, "prt_unreadable", "prt_unreadable"},
	} {
		t.Run(name, func(t *testing.T) {
			sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
				w := newWorld(db)
				first := w.login(t, mac(ada, desk, w.now))
				tt.over(w)
				w.refused(t, first.Value, tt.why)
				second := w.login(t, mac(ada, desk, w.now))
				if second.PRT.ID == first.PRT.ID || second.PRT.Generation != 1 {
					t.Errorf("generation %d of %s, was %s", second.PRT.Generation, second.PRT.ID, first.PRT.ID)
				}
				w.find(t, second.Value)
				w.refused(t, first.Value, tt.then)
				if alive, err := w.svc.Alive(t.Context(), db, tenant, first.PRT.ID); err != nil || alive {
					t.Errorf("the old one is alive: %v, %v", alive, err)
				}
			})
		})
	}
}

// One that moved on in time lives on, however long ago its first login was.
func TestLoginMovesTheEnd(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	first := w.login(t, mac(ada, desk, w.now))
	for range 20 {
		w.now = w.now.Add(idle - time.Hour)
		if i := w.login(t, mac(ada, desk, w.now)); i.PRT.ID != first.PRT.ID {
			t.Fatalf("another one at %s", w.now)
		}
	}
}

// TestSec_DEV07_MacEnds: a PRT of a Mac ends as all do: with its Mac, its person,
// and the credential that it stands on now, not with one of a login before.
func TestSec_DEV07_MacEnds(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		card := mac(ada, desk, w.now)
		card.Proofs[0].Method, card.Proofs[0].Credential = "certificate", "card"
		w.login(t, card)
		i := w.login(t, mac(ada, desk, w.now))
		standing := func(m idp.MethodID, c idp.CredentialID) func(context.Context, *sqldb.Tx) error {
			return func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RevokeStanding(ctx, tx, tenant, ada, m, c) }
		}
		w.write(t, standing("certificate", "card"))
		w.find(t, i.Value)
		for name, end := range map[string]func(context.Context, *sqldb.Tx) error{
			"key":    standing("platform", idp.CredentialID("key of "+ada)),
			"Mac":    func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RevokeDevice(ctx, tx, tenant, desk) },
			"person": func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RevokeUser(ctx, tx, tenant, ada) },
			"id":     func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.Revoke(ctx, tx, tenant, i.PRT.ID) },
		} {
			i = w.login(t, mac(ada, desk, w.now))
			w.find(t, i.Value)
			w.write(t, end)
			if o := w.refused(t, i.Value, "prt_revoked"); o.PRT.Device != desk {
				t.Errorf("%s: refused as of %q", name, o.PRT.Device)
			}
		}
	})
}

// TestSec_DEV08_ParallelLogins: many logins of one person on one Mac at once, on
// two servers, each have a generation of their own, of one PRT.
func TestSec_DEV08_ParallelLogins(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		all := nodes(db, 2)
		all[0].login(t, mac(bob, desk, all[0].now))
		var mu sync.Mutex
		got := map[int64]prt.Issued{}
		atOnce(all, func(_ int, w *world) {
			i, err := w.tryLogin(context.Background(), mac(ada, desk, w.now))
			mu.Lock()
			defer mu.Unlock()
			if _, twice := got[i.PRT.Generation]; err != nil || twice {
				t.Errorf("generation %d twice: %v, %v", i.PRT.Generation, twice, err)
			}
			got[i.PRT.Generation] = i
		})
		for g := int64(1); g <= 64; g++ {
			if got[g].PRT.ID != got[1].PRT.ID {
				t.Fatalf("generation %d is of %q, the first of %q", g, got[g].PRT.ID, got[1].PRT.ID)
			}
		}
		all[1].find(t, got[64].Value)
		all[0].find(t, got[63].Value)
		all[1].refused(t, got[62].Value, "prt_reuse")
	})
}

// TestSec_DEV07_RevokeAgainstLogin: a revocation at the same time as logins leaves
// none standing that was there before it.
func TestSec_DEV07_RevokeAgainstLogin(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		all := nodes(db, 2)
		for range 6 {
			before := all[0].login(t, mac(ada, desk, all[0].now))
			atOnce(all, func(caller int, w *world) {
				if caller%16 != 3 {
					if _, err := w.tryLogin(context.Background(), mac(ada, desk, w.now)); err != nil {
						t.Error(err)
					}
					return
				}
				err := w.db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RevokeDevice(ctx, tx, tenant, desk) })
				if err != nil {
					t.Error(err)
				}
			})
			all[1].refused(t, before.Value, "prt_revoked")
			if list, err := all[0].svc.OfDevice(t.Context(), tenant, desk); err != nil || len(list) > 1 {
				t.Errorf("%d stand, %v", len(list), err)
			}
		}
	})
}

// TestSec_DEV05_MacValues: the value of a Mac is none of another dialect, opens in
// its tenant alone, and is not made without a login.
func TestSec_DEV05_MacValues(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	i, err := w.svc.Prepare(t.Context(), mac(ada, desk, w.now))
	if err != nil || i.Value != "" {
		t.Errorf("prepared with value %q, %v", i.Value, err)
	}
	i = w.login(t, mac(ada, desk, w.now))
	if !strings.HasPrefix(i.Value, "1.") || len(i.Value) > 1024 {
		t.Errorf("value %q", i.Value)
	}
	if of, ok := prt.Tenant(i.Value); !ok || of != tenant {
		t.Errorf("of %q, %v", of, ok)
	}
	for n := range len(i.Value) {
		bent := []byte(i.Value)
		if bent[n] ^= 1; n > 2 && n%7 == 0 {
			w.refused(t, string(bent), "prt_unreadable")
		}
	}
	for _, other := range []prt.Protocol{prt.V4, prt.V3, prt.Classic} {
		p := mac(ada, desk, w.now)
		p.Protocol = other
		prepared, err := w.svc.Prepare(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		err = w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := w.svc.Login(ctx, tx, prepared)
			return err
		})
		if err == nil {
			t.Errorf("%s logged in as a Mac", other)
		}
	}
}
