package hello_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// TestSec_T09_KeyOfOneForAnother: on a device that two people share, nobody's
// key proves the other.
func TestSec_T09_KeyOfOneForAnother(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, adas, bobs := w.join("Shared"), hellotest.EC(), hellotest.EC()
		w.register(t, w.Ada, d, adas)
		w.register(t, w.Bob, d, bobs)
		as := func(k *hellotest.Key, u idp.User) error {
			r := w.ask(t, u, d, func(n string) []byte { return k.Assertion(u.Name, n, w.Now()) })
			_, _, err := w.Corridor.Once(t.Context(), r)
			return err
		}
		if err := as(adas, w.Bob); reason(err) != "key_unknown" {
			t.Errorf("Ada's key as Bob: %v", err)
		}
		// The door knows that it is Bob's device session, and the proof is Ada's.
		r := w.ask(t, w.Ada, d, func(n string) []byte { return adas.Assertion(w.Ada.Name, n, w.Now()) })
		r.User = w.Bob
		if _, _, err := w.Corridor.Once(t.Context(), r); reason(err) != "proof_of_other" {
			t.Errorf("Ada's proof where Bob is known: %v", err)
		}
		if err := as(bobs, w.Bob); err != nil {
			t.Errorf("Bob's own: %v", err)
		}
	})
}

// TestSec_T49_LimitUnderRace: of a hundred registrations at one place before
// the limit, one gets it (T49, DEV12).
func TestSec_T49_LimitUnderRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const limit, racers = 20, 100
		for range limit - 1 {
			w.register(t, w.Ada, w.join("Laptop"), hellotest.EC())
		}
		errs := race(racers, func(int) func() error {
			r := w.registration(w.Ada, w.join("Laptop"), hellotest.EC().Public())
			return func() error { _, err := w.Corridor.RegisterOnce(t.Context(), r); return err }
		})
		good := 0
		for _, err := range errs {
			if err == nil {
				good++
			} else if reason(err) != "hello_limit" {
				t.Errorf("refused: %v", err)
			}
		}
		if n := len(w.list(t, w.Ada)); good != 1 || n != limit {
			t.Errorf("%d got a place, %d keys held; want 1 and %d", good, n, limit)
		}
	})
}

// TestSec_DEV12_HardCap: no tenant's rule goes beyond fifty keys.
func TestSec_DEV12_HardCap(t *testing.T) {
	w := oneWorld(t)
	w.cap = 1000
	for range 50 {
		w.register(t, w.Ada, w.join("Laptop"), hellotest.EC())
	}
	if _, err := w.Corridor.RegisterOnce(t.Context(), w.registration(w.Ada, w.join("Laptop"), hellotest.EC().Public())); reason(err) != "hello_limit" {
		t.Errorf("fifty-first: %v", err)
	}
}

// race does something at once in so many; prepare runs before.
func race(n int, prepare func(i int) func() error) []error {
	var wg sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, n)
	for i := range n {
		do := prepare(i)
		wg.Go(func() {
			<-start
			errs[i] = do()
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// TestSec_DEV03_OneKeyOnce: a public key is registered once, whoever asks, in
// whatever form, in whatever tenant, and also if it is the key of a device.
func TestSec_DEV03_OneKeyOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("Laptop"), rsaKey(0)
		c := w.register(t, w.Ada, d, k)
		taken := func(what string, r signin.RegisterOnceRequest) {
			t.Helper()
			_, err := w.Corridor.RegisterOnce(t.Context(), r)
			if !errors.Is(err, idp.Conflict) || reason(err) != "key_registered" {
				t.Errorf("%s: %v, want key_registered", what, err)
			}
		}
		taken("the same again", w.registration(w.Ada, d, k.Public()))
		taken("on another device", w.registration(w.Ada, w.join("Other"), k.Public()))
		taken("in another form", w.registration(w.Bob, d, k.SPKI()))
		taken("in another tenant", w.registration(w.Eve, w.join("Theirs"), k.Public()))
		if all := w.list(t, w.Ada); len(all) != 1 || all[0].ID != c.ID {
			t.Errorf("held %+v, want the first as it was", all)
		}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, c.ID)
		})
		taken("while it can be restored", w.registration(w.Bob, d, k.Public()))
		w.other = k2(t)
		taken("as a device's own", w.registration(w.Bob, d, rsaKey(2).Public()))
		w.other = nil
		if n := len(w.list(t, w.Bob)) + len(w.list(t, w.Eve)); n != 0 {
			t.Errorf("%d keys of others", n)
		}
		// Raced for, too.
		fresh := hellotest.EC()
		errs := race(20, func(i int) func() error {
			u := w.Ada
			if i%2 == 0 {
				u = w.Eve
			}
			r := w.registration(u, w.join("Laptop"), fresh.Public())
			return func() error { _, err := w.Corridor.RegisterOnce(t.Context(), r); return err }
		})
		good := 0
		for _, err := range errs {
			if err == nil {
				good++
			}
		}
		if good != 1 {
			t.Errorf("one key was registered %d times", good)
		}
	})
}

// TestSec_DEV04_KeyAndDeviceAreOne: the user key must be kept by the device
// that asks, both enabled, in one tenant.
func TestSec_DEV04_KeyAndDeviceAreOne(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, other, k := w.join("Laptop"), w.join("Desktop"), hellotest.EC()
		w.register(t, w.Ada, d, k)
		if _, err := w.signIn(t, w.Ada, other, k); reason(err) != "other_device" {
			t.Errorf("from another device: %v", err)
		}
		// Also when inner and outer nonce are one (decisions 4.8).
		r := w.ask(t, w.Ada, other, func(n string) []byte { return k.Assertion(w.Ada.Name, n, w.Now()) })
		r.Nonces = r.Nonces[1:]
		if _, _, err := w.Corridor.Once(t.Context(), r); reason(err) != "other_device" {
			t.Errorf("from another device on one nonce: %v", err)
		}
		// In another tenant there is neither person nor key.
		r = w.ask(t, w.Eve, d, func(n string) []byte { return k.Assertion(w.Ada.Name, n, w.Now()) })
		if _, _, err := w.Corridor.Once(t.Context(), r); reason(err) != "key_unknown" {
			t.Errorf("in another tenant: %v", err)
		}
		w.Enable(t, w.Ada, false)
		if _, err := w.signIn(t, w.Ada, d, k); !errors.Is(err, idp.Denied) {
			t.Errorf("of a disabled person: %v", err)
		}
	})
}

// TestSec_DEV09_OnlyWhatWasProven: nothing of the request makes a proof more
// than it is.
func TestSec_DEV09_OnlyWhatWasProven(t *testing.T) {
	w := oneWorld(t)
	d, k := w.join("Laptop"), rsaKey(0)
	w.register(t, w.Ada, d, k)
	r := w.ask(t, w.Ada, d, func(n string) []byte {
		c := hellotest.Claims(w.Ada.Name, n, w.Now())
		c["amr"], c["hwk"], c["deviceid"], c["acr"] = []string{"hwk", "fido"}, true, "other", "phr"
		return k.Sign(k.Header(), c)
	})
	p, _, err := w.Corridor.Once(t.Context(), r)
	if err != nil || p.Has(idp.HardwareBound) || len(p.AMR) != 2 || p.Device != d {
		t.Errorf("proof %+v, %v", p, err)
	}
}

// TestSec_DEV11_NoHardwareUnshown: a user key comes without any attestation.
// What was shown of its device is of the device's keys, and makes no software key
// on it one that hardware holds.
func TestSec_DEV11_NoHardwareUnshown(t *testing.T) {
	w := oneWorld(t)
	d, k := w.join("Laptop"), rsaKey(0)
	w.register(t, w.Ada, d, k)
	p, err := w.signIn(t, w.Ada, d, k)
	if err != nil || p.Has(idp.HardwareBound) || p.Facts.Attested || slices.Contains(p.AMR, "hwk") {
		t.Errorf("proof %+v, %v", p, err)
	}
	for _, c := range w.list(t, w.Ada) {
		if slices.Contains(c.Properties, idp.HardwareBound) || c.Facts.Attested {
			t.Errorf("key %+v", c)
		}
	}
}

// TestSec_T50_NothingHalfDone: a registration that fails at its end leaves the
// old key, its place and its name as they were.
func TestSec_T50_NothingHalfDone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("Laptop"), hellotest.EC()
		c := w.register(t, w.Ada, d, k)
		for _, fails := range []error{errors.New("killed"), idp.Deniedf("no", "refused")} {
			r := w.registration(w.Ada, d, hellotest.EC().Public())
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
		// A client that tries again gets its key.
		w.register(t, w.Ada, d, hellotest.EC())
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Hello.Limit = 2 })
		w.register(t, w.Ada, w.join("Second"), hellotest.EC()) // no place was lost
		if all := w.list(t, w.Ada); len(all) != 2 || all[0].Method != hello.ID {
			t.Errorf("held %+v", all)
		}
	})
}

// TestSec_POL07_DeviceOfTheLastAdministrator: a device that keeps the only way
// in of all administrators is neither switched off nor removed, also when two go
// at once.
func TestSec_POL07_DeviceOfTheLastAdministrator(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			for _, u := range []idp.User{w.Ada, w.Bob} {
				if err := w.Directory.SetRole(ctx, tx, u.Tenant, u.ID, directory.Administrator); err != nil {
					return err
				}
			}
			return nil
		})
		remove := func(d idp.DeviceID) error {
			return w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				if err := w.room.OnDeviceRemoved(ctx, tx, w.Tenant.ID, d); err != nil {
					return err
				}
				return w.Corridor.CheckDevice(ctx, tx, w.Tenant.ID, d)
			})
		}
		if err := remove(w.join("Nobody's")); err != nil {
			t.Errorf("a device without keys: %v", err)
		}
		for range 10 {
			adas, bobs := w.join("Ada's"), w.join("Bob's")
			w.register(t, w.Ada, adas, hellotest.EC())
			w.register(t, w.Bob, bobs, hellotest.EC())
			errs := race(2, func(i int) func() error { return func() error { return remove([]idp.DeviceID{adas, bobs}[i]) } })
			usable := 0
			for _, u := range []idp.User{w.Ada, w.Bob} {
				for _, c := range w.list(t, u) {
					if c.Usable() {
						usable++
					}
				}
			}
			// Those of the rounds before count, too.
			if usable == 0 {
				t.Fatalf("no way in is left: %v", errs)
			}
			for _, u := range []idp.User{w.Ada, w.Bob} {
				w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.RemoveUser(ctx, tx, w.Tenant.ID, u.ID) })
			}
		}
		only := w.join("Only")
		w.register(t, w.Ada, only, hellotest.EC())
		if err := remove(only); reason(err) != "locks_out_administrators" {
			t.Errorf("the last one: %v", err)
		}
		if all := w.list(t, w.Ada); len(all) != 1 || !all[0].Usable() {
			t.Errorf("held %+v", all)
		}
		if got, err := w.Corridor.Stranded(t.Context(), w.Tenant.ID, w.list(t, w.Ada)); err != nil || len(got) != 1 || got[0] != w.Ada.ID {
			t.Errorf("stranded: %v, %v", got, err)
		}
	})
}
