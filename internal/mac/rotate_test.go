package mac_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/sqldb"
)

// used is a key as a login finds it.
func (w *world) used(role mac.Role, k *ecdsa.PublicKey) (mac.Mac, mac.Key) {
	w.t.Helper()
	m, got, err := w.ByKid(w.t.Context(), tenant, role, idOf(w.t, k))
	if err != nil {
		w.t.Fatal(err)
	}
	return m, got
}

func (w *world) settle(m mac.Mac, used ...mac.Key) {
	w.t.Helper()
	w.must(func(ctx context.Context, tx *sqldb.Tx) error { return w.Settle(ctx, tx, m, used...) })
}

// holds says which keys the device has.
func (w *world) holds(m mac.Mac, signing, encryption *ecdsa.PublicKey) {
	w.t.Helper()
	d, err := w.devices.Get(w.t.Context(), m.Tenant, m.Device)
	if err != nil || !device.Same(d.Key, signing) || !device.Same(d.Transport, encryption) {
		w.t.Errorf("the device has other keys: %v", err)
	}
}

// Each of the two keys rotates for itself: both generations are good until a
// login uses the new one.
func TestRotate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		oldS, oldE, newS, newE := m.Keys[0].Public, m.Keys[1].Public, key(t), key(t)
		got, err := w.rotate(m, newS, newE)
		if err != nil || len(got.Keys) != 4 || !got.Rotating() {
			t.Fatalf("%d keys, %v", len(got.Keys), err)
		}
		if k, ok := got.Key(mac.Signing, mac.Pending); !ok || !k.Public.Equal(newS) || !k.Until.Equal(w.now.Add(24*time.Hour)) {
			t.Errorf("waits: %+v", k)
		}
		w.holds(m, oldS, oldE)
		// A login under the old ones settles nothing, and asks nothing.
		was, s := w.used(mac.Signing, oldS)
		e, _ := was.Find(mac.Encryption, idOf(t, oldE))
		var meter sqldb.Meter
		err = w.db.Write(sqldb.WithMeter(t.Context(), &meter), func(ctx context.Context, tx *sqldb.Tx) error { return w.Settle(ctx, tx, was, s, e) })
		if n := meter.Reads.Load() + meter.Writes.Load(); err != nil || n != 0 {
			t.Errorf("%d statements, %v", n, err)
		}
		// One under the new signing key, to the old encryption key, settles the one.
		was, s = w.used(mac.Signing, newS)
		w.settle(was, s, e)
		w.holds(m, newS, oldE)
		if knows(t, w.Registry, tenant, mac.Signing, oldS, m.Device) || !knows(t, w.Registry, tenant, mac.Encryption, oldE, m.Device) || !knows(t, w.Registry, tenant, mac.Encryption, newE, m.Device) {
			t.Error("the wrong keys are known")
		}
		// The same login at another server, which had not heard: nothing more.
		w.settle(was, s, e)
		was, s = w.used(mac.Signing, newS)
		e, _ = was.Find(mac.Encryption, idOf(t, newE))
		if s.State != mac.Current || e.State != mac.Pending {
			t.Errorf("signing %s, encryption %s", s.State, e.State)
		}
		w.settle(was, s, e)
		w.holds(m, newS, newE)
		after, err := w.Get(t.Context(), w.db, tenant, m.Device)
		if err != nil || len(after.Keys) != 2 || after.Rotating() {
			t.Errorf("%d keys, %v", len(after.Keys), err)
		}
		// The old ones are free, the new ones are not.
		q := w.asked()
		q.Signing.Public, q.Encryption.Public = oldE, oldS
		if _, err := w.register(q); err != nil {
			t.Errorf("old keys: %v", err)
		}
		q = w.asked()
		q.Signing.Public = newE
		if _, err := w.register(q); reason(err) != "conflict key_registered" {
			t.Errorf("a new key: %v", err)
		}
	})
}

// A rotation whose answer was lost is asked for again; one that is thought over
// takes the place of the one before.
func TestRotateAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		first, second := key(t), key(t)
		was, err := w.rotate(m, first, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour)
		again, err := w.rotate(m, first, nil)
		if err != nil || len(again.Keys) != 3 {
			t.Fatalf("%d keys, %v", len(again.Keys), err)
		}
		a, _ := was.Key(mac.Signing, mac.Pending)
		if b, _ := again.Key(mac.Signing, mac.Pending); !a.Until.Equal(b.Until) {
			t.Errorf("asked again it lives until %s, not %s", b.Until, a.Until)
		}
		if _, err := w.rotate(m, second, nil); err != nil {
			t.Fatal(err)
		}
		if knows(t, w.Registry, tenant, mac.Signing, first, m.Device) || !knows(t, w.Registry, tenant, mac.Signing, second, m.Device) {
			t.Error("the first one is known, or the second is not")
		}
		// To the key that it has: nothing to do.
		if got, err := w.rotate(m, m.Keys[0].Public, m.Keys[1].Public); err != nil || len(got.Keys) != 3 {
			t.Errorf("%d keys, %v", len(got.Keys), err)
		}
		q := w.asked()
		q.Signing.Public = first // was given up
		if _, err := w.register(q); err != nil {
			t.Error(err)
		}
	})
}

func TestSec_PSO05_RotateRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m, his := w.mac(), w.mac()
		waits := key(t)
		if _, err := w.rotate(his, nil, waits); err != nil {
			t.Fatal(err)
		}
		for name, tt := range map[string]struct {
			m    mac.Mac
			key  *ecdsa.PublicKey
			want string
		}{
			"another's key":         {m, his.Keys[0].Public, "conflict key_registered"},
			"another's in waiting":  {m, waits, "conflict key_registered"},
			"its own other key":     {m, m.Keys[1].Public, "conflict key_registered"},
			"no key":                {m, &ecdsa.PublicKey{}, "invalid device_key"},
			"no Mac":                {mac.Mac{Tenant: tenant, Device: "x"}, key(t), "not found mac_unknown"},
			"a Mac of other tenant": {mac.Mac{Tenant: other, Device: m.Device}, key(t), "not found mac_unknown"},
		} {
			if _, err := w.rotate(tt.m, tt.key, nil); reason(err) != tt.want {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got, err := w.Get(t.Context(), w.db, tenant, m.Device); err != nil || got.Rotating() {
			t.Errorf("a refused one waits: %v", err)
		}
	})
}

// TestSec_PSO05_RotationEnds: after a day without a login the new keys alone are
// good, at that moment and whether or not anything wrote it down.
func TestSec_PSO05_RotationEnds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		oldS, newS, oldE := m.Keys[0].Public, key(t), m.Keys[1].Public
		if _, err := w.rotate(m, newS, nil); err != nil {
			t.Fatal(err)
		}
		w.used(mac.Signing, oldS) // now it is kept
		w.used(mac.Signing, newS)
		w.pass(24*time.Hour - time.Millisecond)
		if !knows(t, w.Registry, tenant, mac.Signing, oldS, m.Device) {
			t.Error("the old key is dead too early")
		}
		w.pass(time.Millisecond)
		if knows(t, w.Registry, tenant, mac.Signing, oldS, m.Device) {
			t.Error("the old key is good after a day")
		}
		was, s := w.used(mac.Signing, newS)
		if s.State != mac.Current || was.Rotating() || len(was.Keys) != 2 {
			t.Errorf("%+v", s)
		}
		if got, err := w.Get(t.Context(), w.db, tenant, m.Device); err != nil || got.Rotating() || len(got.Keys) != 2 {
			t.Errorf("read: %v", err)
		}
		w.settle(was, s) // a late login writes it down
		w.holds(m, newS, oldE)

		// So does the sweep, and the next rotation.
		third, fourth := key(t), key(t)
		if _, err := w.rotate(m, third, nil); err != nil {
			t.Fatal(err)
		}
		w.pass(24 * time.Hour)
		w.run("mac.settle")
		w.holds(m, third, oldE)
		if _, err := w.rotate(m, fourth, nil); err != nil {
			t.Fatal(err)
		}
		w.pass(25 * time.Hour)
		if got, err := w.rotate(m, nil, key(t)); err != nil || len(got.Keys) != 3 {
			t.Errorf("%d keys, %v", len(got.Keys), err)
		}
		if knows(t, w.Registry, tenant, mac.Signing, third, m.Device) || !knows(t, w.Registry, tenant, mac.Signing, fourth, m.Device) {
			t.Error("the wrong keys are known")
		}
		w.holds(m, fourth, oldE)
	})
}

// run runs one of the jobs.
func (w *world) run(name string) {
	w.t.Helper()
	for _, j := range w.Jobs() {
		if j.Name == name {
			if err := j.Run(w.t.Context(), w.Now()); err != nil {
				w.t.Fatal(err)
			}
			return
		}
	}
	w.t.Fatalf("no job %s", name)
}

// TestSec_PSO05_Confirm: what a login verified under a key that is replaced
// meanwhile is found out in its transaction, whatever this server has kept.
func TestSec_PSO05_Confirm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		was, s := w.used(mac.Signing, m.Keys[0].Public)
		confirm := func(m mac.Mac, k mac.Key) error {
			return w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Confirm(ctx, tx, m, k) })
		}
		if err := confirm(was, s); err != nil {
			t.Fatal(err)
		}
		wrong := s
		wrong.Role = mac.Encryption
		if err := confirm(was, wrong); reason(err) != "not found mac_key_unknown" {
			t.Errorf("in the other role: %v", err)
		}
		foreign := was
		foreign.Tenant = other
		if err := confirm(foreign, s); reason(err) != "not found mac_key_unknown" {
			t.Errorf("of another tenant: %v", err)
		}
		q := w.asked()
		q.Device = m.Device
		w.must(func(ctx context.Context, tx *sqldb.Tx) error { _, err := w.Replace(ctx, tx, q); return err })
		if err := confirm(was, s); reason(err) != "not found mac_key_unknown" {
			t.Errorf("replaced: %v", err)
		}
	})
}

// Many changes of one Mac at once, of all kinds, leave it with one key of each
// role, which are the device's.
func TestSec_PSO05_ParallelRotations(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		var keys [24]*ecdsa.PublicKey
		for i := range keys {
			keys[i] = key(t)
		}
		var all sync.WaitGroup
		for i, k := range keys {
			all.Go(func() {
				var signing, encryption *ecdsa.PublicKey
				role := mac.Signing
				if signing = k; i%2 == 1 {
					role, signing, encryption = mac.Encryption, nil, k
				}
				if _, err := w.rotate(m, signing, encryption); err != nil {
					t.Errorf("rotate: %v", err)
					return
				}
				now, used, err := w.ByKid(context.Background(), tenant, role, idOf(t, k))
				if errors.Is(err, idp.NotFound) {
					return // another one took its place
				}
				if err == nil {
					err = w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Settle(ctx, tx, now, used) })
				}
				if err != nil {
					t.Errorf("settle: %v", err)
				}
			})
		}
		all.Wait()
		w.pass(24 * time.Hour)
		w.run("mac.settle")
		got, err := w.Get(t.Context(), w.db, tenant, m.Device)
		if err != nil || len(got.Keys) != 2 {
			t.Fatalf("%d keys, %v", len(got.Keys), err)
		}
		w.holds(m, got.Keys[0].Public, got.Keys[1].Public)
		var n int64
		if err := w.db.QueryRow(t.Context(), `select count(*) from device_key where tenant_id = $1`, tenant).Scan(&n); err != nil || n != 2 {
			t.Errorf("%d keys are claimed, %v", n, err)
		}
	})
}
