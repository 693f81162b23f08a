package platform_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/sqldb"
)

func (w *world) remove(t testing.TB, u idp.User, id idp.CredentialID) error {
	t.Helper()
	return w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.Remove(ctx, tx, u.Tenant, u.ID, id) })
}

func (w *world) restore(t testing.TB, u idp.User, id idp.CredentialID) error {
	t.Helper()
	return w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := w.room.Restore(ctx, tx, u.Tenant, u.ID, id)
		return err
	})
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
// within thirty days, if there is a place and its Mac has no newer one.
func TestRemoveAndRestore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.judge = func(platform.Attestation) (bool, error) { return true, nil }
		d, k := w.join("MacBook"), platformtest.New()
		c := w.register(t, w.Ada, d, k)
		for what, err := range map[string]error{
			"somebody else's": w.remove(t, w.Bob, c.ID), "of another tenant": w.remove(t, w.Eve, c.ID), "nobody's": w.remove(t, w.Ada, "nobody"),
			"restored, which was not removed": w.restore(t, w.Ada, c.ID),
		} {
			if !errors.Is(err, idp.NotFound) || reason(err) != "platform_missing" {
				t.Errorf("%s: %v, want platform_missing", what, err)
			}
		}
		if err := w.remove(t, w.Ada, c.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := w.signIn(t, w.Ada, d, k); reason(err) != "key_unknown" {
			t.Errorf("removed key: %v", err)
		}
		if in := w.removed(t, w.Tenant.ID); len(in) != 1 || in[0].ID != c.ID || len(w.removed(t, w.Other.ID)) != 0 {
			t.Errorf("to be restored: %+v", in)
		}
		if err := w.restore(t, w.Bob, c.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("restored for somebody else: %v", err)
		}
		if err := w.restore(t, w.Ada, c.ID); err != nil {
			t.Fatal(err)
		}
		if p, err := w.signIn(t, w.Ada, d, k); err != nil || !p.Has(idp.HardwareBound) {
			t.Errorf("restored key: %+v, %v", p, err)
		}
		newer := w.register(t, w.Ada, d, platformtest.New())
		if err := w.restore(t, w.Ada, c.ID); reason(err) != "platform_replaced" {
			t.Errorf("the replaced one: %v", err)
		}
		if err := w.remove(t, w.Ada, newer.ID); err != nil {
			t.Fatal(err)
		}
		w.limit = 1
		w.register(t, w.Ada, w.join("Second"), platformtest.New())
		if err := w.restore(t, w.Ada, c.ID); reason(err) != "platform_limit" {
			t.Errorf("without a place: %v", err)
		}
		w.limit = 2
		w.leave(t, d) // it comes back as an orphan
		if err := w.restore(t, w.Ada, c.ID); err != nil {
			t.Fatal(err)
		}
		all := w.list(t, w.Ada)
		if i := slices.IndexFunc(all, func(x method.Credential) bool { return x.ID == c.ID }); i < 0 || !all[i].Orphaned || all[i].Usable() {
			t.Errorf("held %+v", all)
		}
		if err := w.remove(t, w.Ada, c.ID); err != nil {
			t.Fatal(err)
		}
		w.Advance(platform.Kept)
		if err := w.restore(t, w.Ada, c.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("after thirty days: %v", err)
		}
	})
}

// TestSweep: what was removed or orphaned thirty days ago is deleted, with the
// place that it took and the claim on its key.
func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		gone, d := w.join("Gone"), w.join("MacBook")
		k := platformtest.New()
		w.register(t, w.Ada, gone, platformtest.New())
		dropped := w.register(t, w.Ada, d, k)
		kept := w.register(t, w.Ada, w.join("Third"), platformtest.New())
		w.leave(t, gone)
		if err := w.remove(t, w.Ada, dropped.ID); err != nil {
			t.Fatal(err)
		}
		sweep := func() int {
			t.Helper()
			for _, j := range w.room.Jobs() {
				if j.Name != "platform.sweep" {
					t.Errorf("job %q", j.Name)
				}
				if err := j.Run(t.Context(), w.Now()); err != nil {
					t.Fatal(err)
				}
			}
			return w.Count(t, "platform_key", w.Tenant.ID)
		}
		w.Advance(platform.Kept - time.Second)
		if n := sweep(); n != 3 {
			t.Errorf("%d keys a second before, want 3", n)
		}
		w.Advance(time.Second)
		if n := sweep(); n != 1 {
			t.Errorf("%d keys, want 1", n)
		}
		if all := w.list(t, w.Ada); len(all) != 1 || all[0].ID != kept.ID || len(w.released) != 2 {
			t.Errorf("held %+v, %d were given back", all, len(w.released))
		}
		var held int64
		if err := w.DB.QueryRow(t.Context(), `select held from platform_holder where tenant_id = $1 and user_id = $2`, w.Tenant.ID, w.Ada.ID).Scan(&held); err != nil || held != 1 {
			t.Errorf("%d places taken, %v, want 1", held, err)
		}
		w.wants(t, "platform.expire success orphaned", 1)
		w.register(t, w.Ada, d, k) // a key that is free again
		w.register(t, w.Bob, d, platformtest.New())
		w.released = nil
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.RemoveUser(ctx, tx, w.Tenant.ID, w.Ada.ID)
		})
		if n := w.Count(t, "platform_key", w.Tenant.ID); n != 1 || len(w.released) != 2 || w.Count(t, "platform_holder", w.Tenant.ID) != 1 {
			t.Errorf("%d keys stay, %d were given back", n, len(w.released))
		}
	})
}

// TestManager: names, walks, shapes and what one tenant sees of another.
func TestManager(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.join("Ada\u202e's Mac \u0007")
		c := w.register(t, w.Ada, d, platformtest.New())
		if c.Name != "Ada's Mac" {
			t.Errorf("called %q", c.Name)
		}
		bobs := w.register(t, w.Bob, d, platformtest.New())
		w.register(t, w.Eve, w.join("Theirs"), platformtest.New())
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
			t.Errorf("%d keys on the Mac, %v", len(on), err)
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
		shape := w.Corridor.Shapes()[platform.ID]
		got := shape.Fields(w.list(t, w.Ada)[0])
		if shape.Collection != "platformCredentialMethods" || shape.Type != "platformCredentialAuthenticationMethod" ||
			got["displayName"] != "Work" || got["keyStrength"] != "normal" || got["platform"] != "macOS" || got["device"] == nil ||
			got["lastUsedDateTime"] != nil || got["attestationLevel"] != "notAttested" || got["isOrphaned"] != false {
			t.Errorf("%s %s %v", shape.Collection, shape.Type, got)
		}
		w.set(d, platform.Machine{})
		if count(w.Ada) != 0 {
			t.Error("a key of a Mac that is off counts as a way in")
		}
		w.leave(t, d)
		if count(w.Ada) != 0 || shape.Fields(w.list(t, w.Ada)[0])["device"] != nil || shape.Fields(w.list(t, w.Eve)[0])["device"] == nil {
			t.Error("an orphaned key counts, or has a device")
		}
	})
}

// TestHolds: a public key is a person's while it could prove them, and nobody
// else's (decisions 5.1).
func TestHolds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("MacBook"), platformtest.New()
		holds := func(u idp.User, k *platformtest.Key) idp.CredentialID {
			t.Helper()
			id, err := w.room.Holds(t.Context(), nil, u.Tenant, u.ID, k.Print())
			if err != nil {
				t.Fatal(err)
			}
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				in, err := w.room.Holds(ctx, tx, u.Tenant, u.ID, k.Print())
				if in != id {
					t.Errorf("%q in a transaction, %q without", in, id)
				}
				return err
			})
			return id
		}
		if holds(w.Ada, k) != "" {
			t.Error("held before it is registered")
		}
		c := w.register(t, w.Ada, d, k)
		if holds(w.Ada, k) != c.ID || holds(w.Bob, k) != "" || holds(w.Eve, k) != "" || holds(w.Ada, platformtest.New()) != "" {
			t.Error("held by the wrong people")
		}
		w.set(d, platform.Machine{Name: "MacBook"})
		if holds(w.Ada, k) != "" {
			t.Error("held on a Mac that is off")
		}
		w.set(d, platform.Machine{Name: "MacBook", Enabled: true})
		if err := w.remove(t, w.Ada, c.ID); err != nil || holds(w.Ada, k) != "" {
			t.Errorf("held after its removal, %v", err)
		}
		if err := w.restore(t, w.Ada, c.ID); err != nil || holds(w.Ada, k) != c.ID {
			t.Errorf("not held after it came back, %v", err)
		}
		w.leave(t, d)
		if holds(w.Ada, k) != "" {
			t.Error("held when its Mac is gone")
		}
	})
}

// TestRemoveOwn: a person takes a key of theirs away, but not the last way in.
func TestRemoveOwn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.register(t, w.Ada, w.join("MacBook"), platformtest.New())
		second := w.register(t, w.Ada, w.join("Mac mini"), platformtest.New())
		s := w.Session(t, w.Ada)
		if got := reason(w.Corridor.Remove(t.Context(), s, platform.ID, first.ID, w.peer)); got != "" {
			t.Errorf("one of two: %q", got)
		}
		if got := reason(w.Corridor.Remove(t.Context(), s, platform.ID, second.ID, w.peer)); got != "last_method" {
			t.Errorf("the last: %q", got)
		}
		if strings.Count(strings.Join(w.Events(t, w.Tenant.ID), "\n"), "platform.") < 3 {
			t.Errorf("events %q", w.Events(t, w.Tenant.ID))
		}
	})
}
