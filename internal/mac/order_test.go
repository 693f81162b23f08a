package mac_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/sqldb"
)

// TestNobodyWaitsInACircle runs logins that settle a rotation against each other,
// against other rotations and against the job, as the doors do: each transaction
// runs once. One that ran twice had waited a second for a deadlock to be found.
func TestNobodyWaitsInACircle(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		for range 4 {
			oldS := m.Keys[0].Public
			newS, newE := key(t), key(t)
			if _, err := w.rotate(m, newS, newE); err != nil {
				t.Fatal(err)
			}
			var meet, all sync.WaitGroup
			var runs atomic.Int32
			var work []func(context.Context, *sqldb.Tx) error
			for _, k := range []int{0, 1, 0, 1} {
				at, signer := w.used(mac.Signing, newS)
				if k == 1 {
					at, signer = w.used(mac.Signing, oldS)
				}
				reply, _ := at.Find(mac.Encryption, idOf(t, newE))
				work = append(work, func(ctx context.Context, tx *sqldb.Tx) error {
					if mac.Waits(signer, reply) {
						if err := w.Hold(ctx, tx, at.Tenant, at.Device); err != nil {
							return err
						}
					}
					if _, err := w.devices.Load(ctx, tx, at.Tenant, at.Device); err != nil {
						return err
					}
					if err := w.Confirm(ctx, tx, at, signer); err != nil {
						return err
					}
					return w.Settle(ctx, tx, at, signer, reply)
				})
			}
			work = append(work, func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := w.Rotate(ctx, tx, mac.Rotation{Tenant: m.Tenant, Device: m.Device, Signing: &mac.NewKey{Public: newS}})
				return err
			})
			meet.Add(len(work))
			for _, fn := range work {
				all.Go(func() {
					meet.Done()
					meet.Wait()
					err := w.write(func(ctx context.Context, tx *sqldb.Tx) error {
						runs.Add(1)
						return fn(ctx, tx)
					})
					if err != nil && reason(err) != "not found mac_key_unknown" { // a rotation that another login has settled
						t.Error(err)
					}
				})
			}
			all.Wait()
			// SQLite's one writer repeats those whose neighbours failed.
			if n := runs.Load(); n != int32(len(work)) && strings.HasSuffix(t.Name(), "/postgres") {
				t.Errorf("%d transactions ran %d times", len(work), n)
			}
			if !knows(t, w.Registry, tenant, mac.Signing, newS, m.Device) {
				t.Fatal("the new key is not the Mac's")
			}
			at, _ := w.used(mac.Signing, newS)
			for _, k := range at.Keys {
				w.settle(at, k)
			}
			m, _ = w.used(mac.Signing, newS)
		}
	})
}
