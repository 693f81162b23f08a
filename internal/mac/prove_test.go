package mac_test

import (
	"context"
	"testing"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/sqldb"
)

// What is shown later counts as what was shown at once: keys, and the hardware
// where it is named; keys that are not the Mac's any more are not shown.
func TestProve(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		prove := func(serial, udid string, keys ...mac.KeyID) error {
			return w.write(func(ctx context.Context, tx *sqldb.Tx) error {
				return w.Prove(ctx, tx, m.Tenant, m.Device, serial, udid, keys...)
			})
		}
		read := func() mac.Mac {
			got, err := w.Get(t.Context(), w.db, m.Tenant, m.Device)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		both := []mac.KeyID{m.Keys[0].ID, m.Keys[1].ID}
		if err := prove("", "", both[0], idOf(t, key(t))); reason(err) != "not found mac_key_unknown" {
			t.Errorf("another key: %v", err)
		}
		if got := read(); got.Keys[0].Attested || got.Proven {
			t.Errorf("half of it was written: %+v", got)
		}
		if err := prove("C02XYZ789", "", both...); err != nil {
			t.Fatal(err)
		}
		if got := read(); !got.Keys[0].Attested || !got.Keys[1].Attested || got.Proven || got.Serial != m.Serial {
			t.Errorf("keys alone: %+v", got)
		}
		if err := prove("c02xyz789", "00008112-ab", both...); err != nil {
			t.Fatal(err)
		}
		if got := read(); !got.Proven || got.Serial != "C02XYZ789" || got.UDID != "00008112-AB" {
			t.Errorf("hardware: %+v", got)
		}
		// What ByKid knows is told of it, and a rotation to one attested key
		// leaves the device attested.
		found, _, err := w.ByKid(t.Context(), m.Tenant, mac.Signing, m.Keys[0].ID)
		if err != nil || !found.Proven {
			t.Errorf("%+v, %v", found, err)
		}
		next := key(t)
		w.must(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := w.Rotate(ctx, tx, mac.Rotation{Tenant: m.Tenant, Device: m.Device, Signing: &mac.NewKey{Public: next, Attested: true}})
			return err
		})
		w.pass(mac.RotationLife)
		w.must(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Prove(ctx, tx, m.Tenant, m.Device, "", "", idOf(t, next))
		})
		d, err := w.devices.Load(t.Context(), w.db, m.Tenant, m.Device)
		if err != nil || d.Assurance != device.Attested {
			t.Errorf("%+v, %v", d, err)
		}
		if err := prove("", "", both[0]); reason(err) != "not found mac_key_unknown" {
			t.Errorf("a key of before: %v", err)
		}
	})
}

// Hardware is one Mac of a tenant: a second one that shows it is refused, and one
// that shows it later keeps its keys' attestation and no more.
func TestSec_PSO01_HardwareOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		q := w.asked()
		q.Proven = true
		if _, err := w.register(q); err != nil {
			t.Fatal(err)
		}
		again := w.asked()
		again.Proven = true
		if _, err := w.register(again); reason(err) != "conflict mac_hardware" {
			t.Errorf("a second one: %v", err)
		}
		again.Tenant = other
		if _, err := w.register(again); err != nil {
			t.Errorf("in another tenant: %v", err)
		}
		m := w.mac() // only says so
		w.must(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Prove(ctx, tx, m.Tenant, m.Device, m.Serial, m.UDID, m.Keys[0].ID, m.Keys[1].ID)
		})
		got, err := w.Get(t.Context(), w.db, tenant, m.Device)
		if err != nil || got.Proven || !got.Keys[0].Attested || !got.Keys[1].Attested {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
