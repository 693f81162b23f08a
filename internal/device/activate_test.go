package device_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

func (w *world) activate(in idp.TenantID, id idp.DeviceID, u idp.UserID, quota int) (changed bool, err error) {
	err = w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		changed, err = w.Activate(ctx, tx, in, id, u, quota)
		return err
	})
	return changed, err
}

func waiting(t *testing.T, w *world, owner idp.UserID, pending time.Duration) device.Device {
	c := candidate(t, ecKey(t).Public())
	c.Owner = owner
	if pending > 0 {
		c.Pending = w.now.Add(pending)
	}
	d, _ := w.mustAdd(c)
	return d
}

// A device that was prepared waits for its first person, and is theirs then.
func TestActivate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := waiting(t, w, "", time.Hour)
		if got, err := w.Get(t.Context(), tenant, d.ID); err != nil || got.Enabled || got.Owner != "" {
			t.Fatalf("enabled %v, of %q, %v", got.Enabled, got.Owner, err)
		}
		if _, err := w.activate(other, d.ID, ada, 5); reason(err) != "not found device_unknown" {
			t.Errorf("from another tenant: %v", err)
		}
		if changed, err := w.activate(tenant, d.ID, ada, 1); err != nil || !changed {
			t.Fatalf("changed %v, %v", changed, err)
		}
		if got, err := w.Get(t.Context(), tenant, d.ID); err != nil || !got.Enabled || got.Owner != ada || !got.Pending.IsZero() {
			t.Errorf("enabled %v, of %q, pending %s, %v", got.Enabled, got.Owner, got.Pending, err)
		}
		for _, u := range []idp.UserID{ada, bob} {
			if changed, err := w.activate(tenant, d.ID, u, 5); err != nil || changed {
				t.Errorf("once more by %s: changed %v, %v", u, changed, err)
			}
		}
		// It counts: ada may have one, and has it.
		more := waiting(t, w, "", time.Hour)
		if _, err := w.activate(tenant, more.ID, ada, 1); reason(err) != "denied device_quota" {
			t.Errorf("one too many: %v", err)
		}
		if got, _ := w.Get(t.Context(), tenant, more.ID); got.Enabled || got.Owner != "" {
			t.Error("a refused one is on")
		}
		if err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Remove(ctx, tx, tenant, d.ID) }); err != nil {
			t.Fatal(err)
		}
		if changed, err := w.activate(tenant, more.ID, ada, 1); err != nil || !changed {
			t.Errorf("with room again: %v, %v", changed, err)
		}
	})
}

func TestActivateRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		adas := waiting(t, w, ada, time.Hour)
		if _, err := w.activate(tenant, adas.ID, bob, 5); reason(err) != "denied device_owner" {
			t.Errorf("of another person: %v", err)
		}
		if changed, err := w.activate(tenant, adas.ID, ada, 1); err != nil || !changed { // it counted when it was added
			t.Errorf("her own: %v, %v", changed, err)
		}
		// One that is on but nobody's becomes theirs, and stays as it is.
		free := waiting(t, w, "", 0)
		if err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.SetEnabled(ctx, tx, tenant, free.ID, false) }); err != nil {
			t.Fatal(err)
		}
		if changed, err := w.activate(tenant, free.ID, bob, 5); err != nil || !changed {
			t.Errorf("one that is nobody's: %v, %v", changed, err)
		}
		if got, _ := w.Get(t.Context(), tenant, free.ID); got.Enabled || got.Owner != bob {
			t.Errorf("enabled %v, of %q", got.Enabled, got.Owner)
		}
		late := waiting(t, w, "", time.Hour)
		w.now = w.now.Add(time.Hour)
		if _, err := w.activate(tenant, late.ID, ada, 5); reason(err) != "not found device_unknown" {
			t.Errorf("late: %v", err)
		}
	})
}

// TestSec_PSO01_OneFirstPerson: of many who would be a device's first person at
// once, one is.
func TestSec_PSO01_OneFirstPerson(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := waiting(t, w, "", time.Hour)
		people := make([]idp.UserID, 12)
		for i := range people {
			people[i] = idp.UserID("11111111-2222-4333-8444-5555555555" + string(rune('a'+i/10)) + string(rune('0'+i%10)))
		}
		var mu sync.Mutex
		var won []idp.UserID
		var all sync.WaitGroup
		for _, u := range people {
			all.Go(func() {
				changed, err := w.activate(tenant, d.ID, u, 5)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && changed:
					won = append(won, u)
				case err != nil && !errors.Is(err, idp.Conflict) && !errors.Is(err, idp.Denied):
					t.Errorf("%s: %v", u, err)
				}
			})
		}
		all.Wait()
		got, err := w.Get(t.Context(), tenant, d.ID)
		if err != nil || len(won) != 1 || got.Owner != won[0] {
			t.Errorf("of %q, won by %v, %v", got.Owner, won, err)
		}
	})
}

// A device that has other keys is known by those and by no others, here and on
// other nodes, and its old certificate is dead.
func TestRekey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		far := w.again()
		c := candidate(t, ecKey(t).Public())
		d, der := w.mustAdd(c)
		if _, err := far.Identify(t.Context(), der); err != nil { // now it is kept there
			t.Fatal(err)
		}
		rekey := func(in idp.TenantID, key, transport any) error {
			return w.write(func(ctx context.Context, tx *sqldb.Tx) error {
				return w.Rekey(ctx, tx, in, d.ID, key, transport, device.Attested)
			})
		}
		key, transport := ecKey(t).Public(), ecKey(t).Public()
		taken, _ := w.mustAdd(candidate(t, ecKey(t).Public()))
		for name, tt := range map[string]struct {
			in   idp.TenantID
			a, b any
			want string
		}{
			"another tenant":      {other, key, transport, "not found device_unknown"},
			"another's key":       {tenant, taken.Key, transport, "conflict key_registered"},
			"another's transport": {tenant, key, taken.Transport, "conflict key_registered"},
			"one key for both":    {tenant, key, key, "invalid shared_device_key"},
			"no key":              {tenant, "x", transport, "invalid device_key"},
		} {
			if err := rekey(tt.in, tt.a, tt.b); reason(err) != tt.want {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got, err := far.Identify(t.Context(), der); err != nil || !device.Same(got.Key, c.Key) {
			t.Fatalf("after refusals: %v", err)
		}
		if err := rekey(tenant, key, c.Transport); err != nil { // one stays
			t.Fatal(err)
		}
		if err := rekey(tenant, key, transport); err != nil {
			t.Fatal(err)
		}
		got, err := far.Get(t.Context(), tenant, d.ID)
		if err != nil || !device.Same(got.Key, key) || !device.Same(got.Transport, transport) || got.Assurance != device.Attested {
			t.Errorf("%+v, %v", got, err)
		}
		for name, r := range map[string]*device.Registry{"here": w.Registry, "there": far} {
			if err := second(r.Identify(t.Context(), der)); reason(err) != "unproven device_unknown" {
				t.Errorf("by its old certificate, %s: %v", name, err)
			}
		}
		// The old keys are free, the new ones are not.
		again := candidate(t, c.Key)
		again.Transport = c.Transport
		if _, _, err := w.add(again); err != nil {
			t.Errorf("old keys: %v", err)
		}
		if _, _, err := w.add(candidate(t, key)); reason(err) != "conflict key_registered" {
			t.Errorf("new key: %v", err)
		}
	})
}
