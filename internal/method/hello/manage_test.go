package hello_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// write runs fn in a transaction and gives its error.
func (w *world) write(t testing.TB, fn func(context.Context, *sqldb.Tx) error) error {
	t.Helper()
	return w.DB.Write(t.Context(), fn)
}

func (w *world) removed(t testing.TB, tenant idp.TenantID) (out []method.Credential) {
	t.Helper()
	err := w.Corridor.Removed(t.Context(), tenant, func(c method.Credential, at time.Time) error {
		if at.IsZero() {
			t.Errorf("key %s was removed at no time", c.ID)
		}
		out = append(out, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRemoveAndRestore: a removed key proves nobody and comes back as it was,
// within thirty days, if there is a place and its device has no newer one.
func TestRemoveAndRestore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("Laptop"), hellotest.EC()
		c := w.register(t, w.Ada, d, k)
		remove := func(u idp.User, id idp.CredentialID) error {
			return w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.Remove(ctx, tx, u.Tenant, u.ID, id) })
		}
		restore := func(u idp.User, id idp.CredentialID) error {
			return w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := w.room.Restore(ctx, tx, u.Tenant, u.ID, id)
				return err
			})
		}
		for what, err := range map[string]error{
			"somebody else's": remove(w.Bob, c.ID), "of another tenant": remove(w.Eve, c.ID), "nobody's": remove(w.Ada, "nobody"),
			"restored, which was not removed": restore(w.Ada, c.ID),
		} {
			if !errors.Is(err, idp.NotFound) {
				t.Errorf("%s: %v, want not found", what, err)
			}
		}
		if err := remove(w.Ada, c.ID); err != nil {
			t.Fatal(err)
		}
		if err := remove(w.Ada, c.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("removed again: %v", err)
		}
		if _, err := w.signIn(t, w.Ada, d, k); reason(err) != "key_unknown" {
			t.Errorf("removed key: %v", err)
		}
		if in := w.removed(t, w.Tenant.ID); len(in) != 1 || in[0].ID != c.ID || len(w.removed(t, w.Other.ID)) != 0 {
			t.Errorf("to be restored: %+v", in)
		}
		if err := restore(w.Bob, c.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("restored for somebody else: %v", err)
		}
		if err := restore(w.Ada, c.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := w.signIn(t, w.Ada, d, k); err != nil {
			t.Errorf("restored key: %v", err)
		}
		if len(w.removed(t, w.Tenant.ID)) != 0 {
			t.Error("what came back can be restored")
		}
		// The device has a newer one.
		newer := w.register(t, w.Ada, d, hellotest.EC())
		if err := restore(w.Ada, c.ID); reason(err) != "hello_replaced" {
			t.Errorf("the replaced one: %v", err)
		}
		if err := remove(w.Ada, newer.ID); err != nil {
			t.Fatal(err)
		}
		// No place is left.
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Hello.Limit = 1 })
		w.register(t, w.Ada, w.join("Second"), hellotest.EC())
		if err := restore(w.Ada, c.ID); reason(err) != "hello_limit" {
			t.Errorf("without a place: %v", err)
		}
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Hello.Limit = 2 })
		// Its device went meanwhile: it comes back as an orphan.
		w.leave(t, d)
		if err := restore(w.Ada, c.ID); err != nil {
			t.Fatal(err)
		}
		all := w.list(t, w.Ada)
		if i := slices.IndexFunc(all, func(x method.Credential) bool { return x.ID == c.ID }); i < 0 || !all[i].Orphaned || all[i].Usable() {
			t.Errorf("held %+v", all)
		}
		if err := remove(w.Ada, c.ID); err != nil {
			t.Fatal(err)
		}
		w.Advance(hello.Kept)
		if err := restore(w.Ada, c.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("after thirty days: %v", err)
		}
		if len(w.removed(t, w.Tenant.ID)) != 0 {
			t.Error("what is too late can be restored")
		}
	})
}

// TestSweep: what was removed or orphaned thirty days ago is deleted, with the
// place that it took and the claim on its key.
func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gone, d := w.join("Gone"), w.join("Laptop")
		orphan := w.register(t, w.Ada, gone, hellotest.EC())
		dropped := w.register(t, w.Ada, d, hellotest.EC())
		kept := w.register(t, w.Ada, w.join("Third"), hellotest.EC())
		w.leave(t, gone)
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, dropped.ID)
		})
		sweep := func() int {
			t.Helper()
			if err := w.room.Sweep(t.Context(), w.Now()); err != nil {
				t.Fatal(err)
			}
			return w.Count(t, "hello_key", w.Tenant.ID)
		}
		w.Advance(hello.Kept - time.Second)
		if n := sweep(); n != 3 {
			t.Errorf("%d keys a second before, want 3", n)
		}
		w.Advance(time.Second)
		if n := sweep(); n != 1 {
			t.Errorf("%d keys, want 1", n)
		}
		if all := w.list(t, w.Ada); len(all) != 1 || all[0].ID != kept.ID {
			t.Errorf("held %+v", all)
		}
		if len(w.released) != 2 {
			t.Errorf("%d keys were given back, want 2", len(w.released))
		}
		var held int64
		if err := w.DB.QueryRow(t.Context(), `select held from hello_holder where tenant_id = $1 and user_id = $2`, w.Tenant.ID, w.Ada.ID).Scan(&held); err != nil || held != 1 {
			t.Errorf("%d places taken, %v, want 1", held, err)
		}
		events := strings.Join(w.Events(t, w.Tenant.ID), "\n")
		if strings.Count(events, "hello.expire success orphaned") != 1 || orphan.ID == "" {
			t.Errorf("on record:\n%s", events)
		}
		// Nothing of a person who is deleted stays, removed or not.
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, kept.ID)
		})
		w.register(t, w.Ada, d, hellotest.EC())
		w.register(t, w.Bob, d, hellotest.EC())
		w.released = nil
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.RemoveUser(ctx, tx, w.Tenant.ID, w.Ada.ID)
		})
		if n := w.Count(t, "hello_key", w.Tenant.ID); n != 1 || len(w.released) != 2 || w.Count(t, "hello_holder", w.Tenant.ID) != 1 {
			t.Errorf("%d keys stay, %d were given back", n, len(w.released))
		}
	})
}

// TestManager: names, walks, shapes and what one tenant sees of another.
func TestManager(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.join("Lap\u202etop \u0007")
		c := w.register(t, w.Ada, d, hellotest.EC())
		if c.Name != "Laptop" {
			t.Errorf("called %q", c.Name)
		}
		bobs := w.register(t, w.Bob, d, hellotest.EC())
		eves := w.register(t, w.Eve, w.join("Theirs"), hellotest.EC())
		rename := func(u idp.User, id idp.CredentialID, name string) error {
			return w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.Rename(ctx, tx, u.Tenant, u.ID, id, name) })
		}
		if err := rename(w.Ada, c.ID, " Work "); err != nil {
			t.Error(err)
		}
		if err := rename(w.Ada, c.ID, "\u200b "); reason(err) != "name_empty" {
			t.Errorf("no name: %v", err)
		}
		if err := rename(w.Bob, c.ID, "Mine"); !errors.Is(err, idp.NotFound) {
			t.Errorf("somebody else's: %v", err)
		}
		var seen []idp.CredentialID
		if err := w.room.Walk(t.Context(), w.Tenant.ID, func(c method.Credential) error { seen = append(seen, c.ID); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 2 || !slices.Contains(seen, c.ID) || !slices.Contains(seen, bobs.ID) {
			t.Errorf("walked over %v", seen)
		}
		stop := errors.New("enough")
		if err := w.room.Walk(t.Context(), w.Tenant.ID, func(method.Credential) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("walk did not stop: %v", err)
		}
		if on, err := w.room.OnDevice(t.Context(), w.Tenant.ID, d); err != nil || len(on) != 2 {
			t.Errorf("%d keys on the device, %v", len(on), err)
		}
		if on, err := w.room.OnDevice(t.Context(), w.Other.ID, d); err != nil || len(on) != 0 {
			t.Errorf("%d keys of it in another tenant, %v", len(on), err)
		}
		count := func(u idp.User) (n int) {
			t.Helper()
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
				n, err = w.room.Count(ctx, tx, u.Tenant, u.ID)
				return err
			})
			return n
		}
		if count(w.Ada) != 1 || count(w.Eve) != 1 {
			t.Errorf("%d and %d ways in", count(w.Ada), count(w.Eve))
		}
		shape := w.Corridor.Shapes()[hello.ID]
		got := shape.Fields(w.list(t, w.Ada)[0])
		if shape.Collection != "windowsHelloForBusinessMethods" || shape.Type != "windowsHelloForBusinessAuthenticationMethod" ||
			got["displayName"] != "Work" || got["keyStrength"] != "normal" || got["device"] == nil || got["lastUsedDateTime"] != nil {
			t.Errorf("%s %s %v", shape.Collection, shape.Type, got)
		}
		w.set(d, hello.Machine{})
		if count(w.Ada) != 0 {
			t.Error("a key of a device that is off counts as a way in")
		}
		w.leave(t, d)
		if count(w.Ada) != 0 || shape.Fields(w.list(t, w.Ada)[0])["device"] != nil || shape.Fields(w.list(t, w.Eve)[0])["device"] == nil {
			t.Error("an orphaned key counts, or has a device")
		}
		_ = eves
	})
}

// TestRemoveOwn: a person takes a key of theirs away, but not the last way in.
func TestRemoveOwn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.register(t, w.Ada, w.join("Laptop"), hellotest.EC())
		d := w.join("Desktop")
		second := w.register(t, w.Ada, d, hellotest.EC())
		s := w.Session(t, w.Ada)
		remove := func(id idp.CredentialID) string {
			return reason(w.Corridor.Remove(t.Context(), s, hello.ID, id, w.peer))
		}
		w.set(d, hello.Machine{})
		if got := remove(first.ID); got != "last_method" {
			t.Errorf("the only one whose device is on: %q", got)
		}
		w.set(d, hello.Machine{Enabled: true})
		if got := remove(first.ID); got != "" {
			t.Errorf("one of two: %q", got)
		}
		if got := remove(second.ID); got != "last_method" {
			t.Errorf("the last: %q", got)
		}
		w.leave(t, d)
		if got := remove(second.ID); got != "" {
			t.Errorf("an orphaned one: %q", got)
		}
	})
}

// TestSec_T48_LastKeyUnderRace: of two who take a person's two keys at once,
// one does, by whatever road.
func TestSec_T48_LastKeyUnderRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for round := range 20 {
			u := w.Ada
			for len(w.list(t, u)) < 2 {
				w.register(t, u, w.join("Laptop"), hellotest.EC())
			}
			all := w.list(t, u)
			s := w.Session(t, u)
			errs := race(4, func(i int) func() error {
				id := all[i%2].ID
				if i < 2 {
					return func() error { return w.Corridor.Remove(t.Context(), s, hello.ID, id, w.peer) }
				}
				return func() error {
					fates, err := w.Corridor.Clean(t.Context(), u.Tenant, []signin.Named{{User: u.ID, Method: hello.ID, Credential: id}}, signin.Cleaning{Actor: "cli:test"})
					return errors.Join(append(fates, err)...)
				}
			})
			gone := 0
			for _, err := range errs {
				if err == nil {
					gone++
				} else if r := reason(err); r != "last_method" && r != "hello_missing" {
					t.Errorf("round %d: %v", round, err)
				}
			}
			if left := len(w.list(t, u)); gone != 1 || left != 1 {
				t.Fatalf("round %d: %d removed, %d left; want 1 and 1", round, gone, left)
			}
		}
	})
}
