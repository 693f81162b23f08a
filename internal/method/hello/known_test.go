package hello_test

import (
	"context"
	"errors"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/sqldb"
)

// TestKnown: a key that a node remembers is what it is now.
func TestKnown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, k := w.join("Laptop"), hellotest.EC()
		c := w.register(t, w.Ada, d, k)
		want := func(what, refused, name string) {
			t.Helper()
			p, err := w.signIn(t, w.Ada, d, k)
			if reason(err) != refused || err == nil && p.Facts.Name != name {
				t.Errorf("%s: %q, %v; want %q, %q", what, p.Facts.Name, err, name, refused)
			}
		}
		tenant, ada := w.Tenant.ID, w.Ada.ID
		want("registered", "", "Laptop")
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.Rename(ctx, tx, tenant, ada, c.ID, "Desk")
		})
		want("renamed", "", "Desk")
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.Remove(ctx, tx, tenant, ada, c.ID) })
		want("removed", "key_unknown", "")
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := w.room.Restore(ctx, tx, tenant, ada, c.ID)
			return err
		})
		want("restored", "", "Desk")
		other := hellotest.EC()
		w.register(t, w.Ada, d, other)
		want("replaced", "key_unknown", "")
		k = other
		want("in its place", "", "Laptop")
		w.leave(t, d)
		want("without its device", "device_missing", "")
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.RemoveUser(ctx, tx, tenant, ada) })
		want("with its person", "key_unknown", "")
	})
}

// TestSec_DEV04_RememberedKeyIsGone: a node that no notice reaches lets nobody
// in by a key that is not there any more, or whose device is not.
func TestSec_DEV04_RememberedKeyIsGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, end := range map[string]func(context.Context, *sqldb.Tx, idp.CredentialID, idp.DeviceID) error{
			"removed": func(ctx context.Context, tx *sqldb.Tx, id idp.CredentialID, _ idp.DeviceID) error {
				return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, id)
			},
			"orphaned": func(ctx context.Context, tx *sqldb.Tx, _ idp.CredentialID, d idp.DeviceID) error {
				return w.room.OnDeviceRemoved(ctx, tx, w.Tenant.ID, d)
			},
			"deleted": func(ctx context.Context, tx *sqldb.Tx, _ idp.CredentialID, _ idp.DeviceID) error {
				return w.room.RemoveUser(ctx, tx, w.Tenant.ID, w.Ada.ID)
			},
		} {
			d, k := w.join("Laptop"), hellotest.EC()
			c := w.register(t, w.Ada, d, k)
			far := newRoom(t, w.House, w) // with a bus of its own
			settle := func() error {
				r := w.ask(t, w.Ada, d, func(n string) []byte { return k.Assertion(w.Ada.Name, n, w.Now()) })
				v, err := far.Verify(t.Context(), r2a(w, r))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				return w.DB.Write(t.Context(), v.Settle)
			}
			if err := settle(); err != nil {
				t.Fatalf("%s: before: %v", name, err)
			}
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return end(ctx, tx, c.ID, d) })
			if err := settle(); !errors.Is(err, idp.Unproven) || reason(err) != "credential_gone" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
