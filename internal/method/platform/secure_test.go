package platform_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// answer is what the corridor hands to the room.
func answer(r signin.RegisterOnceRequest, now time.Time) method.Answer {
	return method.Answer{Tenant: r.Tenant, User: r.User, Device: r.Device, Keep: r.Nonce, Payload: r.Payload, Now: now}
}

// TestSec_PSO02_KeyOfOneForAnother: on a Mac that two people share, nobody's key
// proves the other.
func TestSec_PSO02_KeyOfOneForAnother(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, adas, bobs := w.join("Shared"), platformtest.New(), platformtest.New()
		w.register(t, w.Ada, d, adas)
		w.register(t, w.Bob, d, bobs)
		w.wantUnproven(t, "Ada's key as Bob", "key_unknown", w.ask(t, w.Bob, d, adas.Assertion))
		// Bob's login request around what Ada's key signed for herself.
		r := w.ask(t, w.Bob, d, func(s platformtest.Said) []byte {
			s.Name = w.Ada.Name
			return adas.Assertion(s)
		})
		w.wantUnproven(t, "Ada's assertion in Bob's message", "issuer_differs", r)
		// The door knows that it is Bob's session, and the proof is Ada's.
		r = w.ask(t, w.Ada, d, adas.Assertion)
		r.User = w.Bob
		if _, _, err := w.Corridor.Once(t.Context(), r); reason(err) != "proof_of_other" {
			t.Errorf("Ada's proof where Bob is known: %v", err)
		}
		if _, err := w.signIn(t, w.Bob, d, bobs); err != nil {
			t.Errorf("Bob's own: %v", err)
		}
	})
}

// TestSec_PSO02_KeyAndMacAreOne: the user key must be kept by the Mac that asks,
// both enabled, in one tenant.
func TestSec_PSO02_KeyAndMacAreOne(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, other, k := w.join("MacBook"), w.join("Mac mini"), platformtest.New()
		w.register(t, w.Ada, d, k)
		w.wantUnproven(t, "from another Mac", "other_device", w.ask(t, w.Ada, other, k.Assertion))
		r := w.ask(t, w.Eve, d, func(s platformtest.Said) []byte { s.Name = w.Eve.Name; return k.Assertion(s) })
		w.wantUnproven(t, "in another tenant", "key_unknown", r)
		w.Enable(t, w.Ada, false)
		if _, err := w.signIn(t, w.Ada, d, k); !errors.Is(err, idp.Denied) {
			t.Errorf("of a disabled person: %v", err)
		}
	})
}

// TestSec_PSO02_NonceOnce: of many who send one login at once, one is answered;
// and an assertion that proved is no proof again.
func TestSec_PSO02_NonceOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("MacBook"), platformtest.New()
		w.register(t, w.Ada, d, k)
		r := w.ask(t, w.Ada, d, k.Assertion)
		errs := race(50, func(int) func() error {
			return func() error { _, _, err := w.Corridor.Once(t.Context(), r); return err }
		})
		good := 0
		for _, err := range errs {
			if err == nil {
				good++
			} else if !errors.Is(err, idp.Expired) {
				t.Errorf("refused: %v", err)
			}
		}
		if good != 1 {
			t.Errorf("%d were answered, want 1", good)
		}
		w.wants(t, "signin.done success", 1)
		old := w.ask(t, w.Ada, d, k.Assertion)
		fresh := w.ask(t, w.Ada, d, func(platformtest.Said) []byte { return old.Payload })
		w.wantUnproven(t, "an assertion in another message", "nonce_differs", fresh)
	})
}

// TestSec_PSO02_RemovalDuringLogin: whoever removes a key and whoever signs in
// with it at once are put in an order: after the removal nothing proves.
func TestSec_PSO02_RemovalDuringLogin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for round := range 10 {
			d, k := w.join("MacBook"), platformtest.New()
			c := w.register(t, w.Ada, d, k)
			var after []error
			errs := race(4, func(i int) func() error {
				if i == 0 {
					return func() error {
						err := w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
							return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, c.ID)
						})
						_, late := w.signIn(t, w.Ada, d, k)
						after = append(after, late)
						return err
					}
				}
				r := w.ask(t, w.Ada, d, k.Assertion)
				return func() error { _, _, err := w.Corridor.Once(t.Context(), r); return err }
			})
			if errs[0] != nil || len(after) != 1 || reason(after[0]) != "key_unknown" {
				t.Fatalf("round %d: removal %v, login after it %v", round, errs[0], after)
			}
			for _, err := range errs[1:] {
				if r := reason(err); err != nil && r != "key_unknown" && r != "credential_gone" {
					t.Errorf("round %d: %v", round, err)
				}
			}
		}
	})
}

// TestSec_DEV03_OneKeyOnce: a public key is registered once, whoever asks, in
// whatever tenant, and also if it is the key of a device.
func TestSec_DEV03_OneKeyOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("MacBook"), platformtest.New()
		c := w.register(t, w.Ada, d, k)
		taken := func(what string, r signin.RegisterOnceRequest) {
			t.Helper()
			_, err := w.Corridor.RegisterOnce(t.Context(), r)
			if !errors.Is(err, idp.Conflict) || reason(err) != "key_registered" {
				t.Errorf("%s: %v, want key_registered", what, err)
			}
		}
		taken("by another on this Mac", w.registration(t, w.Bob, d, k))
		taken("on another Mac", w.registration(t, w.Ada, w.join("Other"), k))
		taken("in another tenant", w.registration(t, w.Eve, w.join("Theirs"), k))
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, c.ID)
		})
		taken("while it can be restored", w.registration(t, w.Ada, d, k))
		own := platformtest.New()
		w.other = own.Public()
		taken("as a device's own", w.registration(t, w.Bob, d, own))
		w.other = nil
		if n := len(w.list(t, w.Bob)) + len(w.list(t, w.Eve)); n != 0 {
			t.Errorf("%d keys of others", n)
		}
		// Raced for, too: by two people, and by one who asks again and again.
		fresh := platformtest.New()
		same := w.join("Raced")
		errs := race(20, func(i int) func() error {
			u, on := w.Ada, same
			if i%2 == 0 {
				u, on = w.Eve, w.join("MacBook")
			}
			r := w.registration(t, u, on, fresh)
			return func() error { _, err := w.Corridor.RegisterOnce(t.Context(), r); return err }
		})
		good := 0
		for _, err := range errs {
			if err == nil {
				good++
			} else if reason(err) != "key_registered" {
				t.Errorf("refused: %v", err)
			}
		}
		held := len(w.list(t, w.Ada)) + len(w.list(t, w.Eve))
		if good == 0 || held != 1 {
			t.Errorf("one key was registered %d times and is held %d times", good, held)
		}
	})
}

// TestSec_DEV12_LimitUnderRace: of a hundred registrations at one place before
// the limit, one gets it; and no tenant's rule goes beyond fifty keys.
func TestSec_DEV12_LimitUnderRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const racers = 100
		w.limit = 20
		for range w.limit - 1 {
			w.register(t, w.Ada, w.join("MacBook"), platformtest.New())
		}
		errs := race(racers, func(int) func() error {
			r := w.registration(t, w.Ada, w.join("MacBook"), platformtest.New())
			return func() error { _, err := w.Corridor.RegisterOnce(t.Context(), r); return err }
		})
		good := 0
		for _, err := range errs {
			if err == nil {
				good++
			} else if reason(err) != "platform_limit" {
				t.Errorf("refused: %v", err)
			}
		}
		if n := len(w.list(t, w.Ada)); good != 1 || n != w.limit {
			t.Errorf("%d got a place, %d keys held; want 1 and %d", good, n, w.limit)
		}
	})
	w := oneWorld(t)
	w.limit = 1000
	for range 50 {
		w.register(t, w.Ada, w.join("MacBook"), platformtest.New())
	}
	if _, err := w.Corridor.RegisterOnce(t.Context(), w.registration(t, w.Ada, w.join("MacBook"), platformtest.New())); reason(err) != "platform_limit" {
		t.Errorf("fifty-first: %v", err)
	}
}

// TestSec_DEV09_OnlyWhatWasProven: nothing of the request makes a proof more
// than it is.
func TestSec_DEV09_OnlyWhatWasProven(t *testing.T) {
	w := oneWorld(t)
	d, k := w.join("MacBook"), platformtest.New()
	w.register(t, w.Ada, d, k)
	r := w.ask(t, w.Ada, d, func(s platformtest.Said) []byte {
		c := s.Claims()
		c["amr"], c["hwk"], c["deviceid"], c["acr"] = []string{"hwk", "fido"}, true, "other", "phr"
		return k.Sign(k.Header(), c)
	})
	p, _, err := w.Corridor.Once(t.Context(), r)
	if err != nil || p.Has(idp.HardwareBound) || p.Has(idp.UserVerified) || !slices.Equal(p.AMR, []string{"pop", "mfa"}) || p.Device != d {
		t.Errorf("proof %+v, %v", p, err)
	}
}

// TestSec_T50_NothingHalfDone: a registration that fails at its end leaves the
// old key, its place and its name as they were.
func TestSec_T50_NothingHalfDone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("MacBook"), platformtest.New()
		c := w.register(t, w.Ada, d, k)
		for _, fails := range []error{errors.New("killed"), idp.Deniedf("no", "refused")} {
			for _, r := range []signin.RegisterOnceRequest{w.registration(t, w.Ada, d, platformtest.New()), w.rotation(t, w.Ada, d, k, platformtest.New())} {
				r.Settle = func(context.Context, *sqldb.Tx, idp.Proof) error { return fails }
				if _, err := w.Corridor.RegisterOnce(t.Context(), r); !errors.Is(err, fails) {
					t.Fatalf("%v, want %v", err, fails)
				}
				if all := w.list(t, w.Ada); len(all) != 1 || all[0].ID != c.ID {
					t.Fatalf("held %+v, want the old key", all)
				}
				if _, err := w.signIn(t, w.Ada, d, k); err != nil {
					t.Fatalf("the old key: %v", err)
				}
			}
		}
		w.register(t, w.Ada, d, platformtest.New())
		w.limit = 2
		w.register(t, w.Ada, w.join("Second"), platformtest.New()) // no place was lost
		if all := w.list(t, w.Ada); len(all) != 2 {
			t.Errorf("held %+v", all)
		}
	})
}

// TestSec_POL07_MacOfTheLastAdministrator: a Mac that keeps the only way in of all
// administrators is not removed.
func TestSec_POL07_MacOfTheLastAdministrator(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Directory.SetRole(ctx, tx, w.Ada.Tenant, w.Ada.ID, directory.Administrator)
		})
		only := w.join("Only")
		w.register(t, w.Ada, only, platformtest.New())
		err := w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			if err := w.room.OnDeviceRemoved(ctx, tx, w.Tenant.ID, only); err != nil {
				return err
			}
			return w.Corridor.CheckDevice(ctx, tx, w.Tenant.ID, only)
		})
		if reason(err) != "locks_out_administrators" {
			t.Errorf("the last one: %v", err)
		}
		if all := w.list(t, w.Ada); len(all) != 1 || !all[0].Usable() {
			t.Errorf("held %+v", all)
		}
	})
}

// TestSec_T48_LastKeyUnderRace: of two who take a person's two keys at once, one
// does, by whatever road.
func TestSec_T48_LastKeyUnderRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for round := range 10 {
			u := w.Ada
			for len(w.list(t, u)) < 2 {
				w.register(t, u, w.join("MacBook"), platformtest.New())
			}
			all := w.list(t, u)
			s := w.Session(t, u)
			errs := race(4, func(i int) func() error {
				id := all[i%2].ID
				if i < 2 {
					return func() error { return w.Corridor.Remove(t.Context(), s, platform.ID, id, w.peer) }
				}
				return func() error {
					fates, err := w.Corridor.Clean(t.Context(), u.Tenant, []signin.Named{{User: u.ID, Method: platform.ID, Credential: id}}, signin.Cleaning{Actor: "cli:test"})
					return errors.Join(append(fates, err)...)
				}
			})
			gone := 0
			for _, err := range errs {
				if err == nil {
					gone++
				} else if r := reason(err); r != "last_method" && r != "platform_missing" {
					t.Errorf("round %d: %v", round, err)
				}
			}
			if left := len(w.list(t, u)); gone != 1 || left != 1 {
				t.Fatalf("round %d: %d removed, %d left; want 1 and 1", round, gone, left)
			}
		}
	})
}
