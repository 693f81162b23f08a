package device_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

func TestAddAndFind(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := candidate(t, rsaKey(t).Public())
		c.Name = " ws\u202e-17\n "
		d, der := w.mustAdd(c)
		got, err := w.Get(t.Context(), tenant, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !device.Same(got.Key, c.Key) || !device.Same(got.Transport, c.Transport) {
			t.Error("keys are others")
		}
		got.Key, got.Transport = nil, nil
		want := device.Device{
			ID: d.ID, Tenant: tenant, Name: `ws\u{202e}-17`, OS: "Linux", OSVersion: "Debian 12", Join: device.Joined, Owner: ada,
			Assurance: device.Unproven, Enabled: true, Thumbprint: d.Thumbprint, Created: w.now, Certified: w.now.AddDate(10, 0, 0),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("device (-want +got):\n%s", diff)
		}
		who, err := w.Identify(t.Context(), der)
		if err != nil || who.ID != d.ID || who.Tenant != tenant {
			t.Errorf("identified %s of %s, %v", who.ID, who.Tenant, err)
		}
		if _, err := w.Get(t.Context(), other, d.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("found in another tenant: %v", err)
		}
	})
}

// Without a transport key, and with one key for both where that is allowed.
func TestOneKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := candidate(t, rsaKey(t).Public())
		c.Transport = nil
		d, _ := w.mustAdd(c)
		if got, err := w.Get(t.Context(), tenant, d.ID); err != nil || got.Transport != nil {
			t.Errorf("transport key %v, %v", got.Transport, err)
		}
		c = candidate(t, rsaKey(t).Public())
		c.Transport, c.Shared = c.Key, true
		d, _ = w.mustAdd(c)
		if got, err := w.Get(t.Context(), tenant, d.ID); err != nil || !device.Same(got.Transport, got.Key) {
			t.Errorf("shared key: %v", err)
		}
	})
}

func TestChanges(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var off, gone []idp.DeviceID
		note := func(list *[]idp.DeviceID) device.Hook {
			return func(_ context.Context, _ *sqldb.Tx, in idp.TenantID, id idp.DeviceID) error {
				if in != tenant {
					t.Errorf("hook in %s", in)
				}
				*list = append(*list, id)
				return nil
			}
		}
		w.OnDisable(note(&off))
		w.OnRemove(note(&gone))
		d, der := w.mustAdd(candidate(t, rsaKey(t).Public()))
		set := func(in idp.TenantID, on bool) error {
			return w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.SetEnabled(ctx, tx, in, d.ID, on) })
		}
		if err := set(other, false); !errors.Is(err, idp.NotFound) {
			t.Errorf("switched off from another tenant: %v", err)
		}
		is := func(in idp.TenantID) (on bool, err error) {
			err = w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) { on, err = w.On(ctx, tx, in, d.ID); return err })
			return on, err
		}
		if on, err := is(tenant); !on || err != nil {
			t.Errorf("on: %v, %v", on, err)
		}
		if _, err := is(other); !errors.Is(err, idp.NotFound) {
			t.Errorf("on, for another tenant: %v", err)
		}
		w.now = w.now.Add(time.Hour)
		first := w.now
		if err := set(tenant, false); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Hour)
		if err := set(tenant, false); err != nil { // again: nothing changes
			t.Fatal(err)
		}
		if on, err := is(tenant); on || err != nil {
			t.Errorf("on: %v, %v", on, err)
		}
		if got, err := w.Identify(t.Context(), der); err != nil || got.Enabled || !got.Voided.Equal(first) {
			t.Errorf("enabled %v, voided %s, %v", got.Enabled, got.Voided, err)
		}
		if err := set(tenant, true); err != nil {
			t.Fatal(err)
		}
		if got, err := w.Get(t.Context(), tenant, d.ID); err != nil || !got.Enabled || !got.Voided.Equal(first) {
			t.Errorf("enabled %v, voided %s, %v", got.Enabled, got.Voided, err)
		}
		if !slices.Equal(off, []idp.DeviceID{d.ID}) {
			t.Errorf("switched off: %v", off)
		}
		rename := func(in idp.TenantID, name string) error {
			return w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Rename(ctx, tx, in, d.ID, name) })
		}
		if got := reason(rename(other, "x")); got != "not found device_unknown" {
			t.Errorf("renamed from another tenant: %s", got)
		}
		if got := reason(rename(tenant, " ")); got != "invalid bad_device_name" {
			t.Errorf("renamed to nothing: %s", got)
		}
		if err := rename(tenant, "desk"); err != nil {
			t.Fatal(err)
		}
		if got, _ := w.Get(t.Context(), tenant, d.ID); got.Name != "desk" {
			t.Errorf("name %q", got.Name)
		}
		remove := func(in idp.TenantID) error {
			return w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Remove(ctx, tx, in, d.ID) })
		}
		if err := remove(other); !errors.Is(err, idp.NotFound) {
			t.Errorf("removed from another tenant: %v", err)
		}
		if err := remove(tenant); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Get(t.Context(), tenant, d.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("found after removal: %v", err)
		}
		if got := reason(second(w.Identify(t.Context(), der))); got != "unproven device_unknown" {
			t.Errorf("identified after removal: %s", got)
		}
		if !slices.Equal(gone, []idp.DeviceID{d.ID}) {
			t.Errorf("removed: %v", gone)
		}
		// Its key is free again, and stands for the new device alone.
		c := candidate(t, d.Key)
		anew, der2 := w.mustAdd(c)
		if got, err := w.Identify(t.Context(), der2); err != nil || got.ID != anew.ID {
			t.Errorf("identified %s, %v", got.ID, err)
		}
		if got := reason(second(w.Identify(t.Context(), der))); got != "unproven device_unknown" {
			t.Errorf("old certificate of a key that joined again: %s", got)
		}
	})
}

func second[A any](_ A, err error) error { return err }

// A hook that refuses keeps the device.
func TestHookRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.OnRemove(func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID) error {
			return idp.Deniedf("no", "no")
		})
		d, _ := w.mustAdd(candidate(t, ecKey(t).Public()))
		err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Remove(ctx, tx, tenant, d.ID) })
		if reason(err) != "denied no" {
			t.Errorf("removed: %v", err)
		}
		if _, err := w.Get(t.Context(), tenant, d.ID); err != nil {
			t.Error(err)
		}
	})
}

// A node learns from the bus what another one changed.
func TestOtherNode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		far := w.again()
		d, der := w.mustAdd(candidate(t, ecKey(t).Public()))
		if _, err := far.Identify(t.Context(), der); err != nil { // now it is cached there
			t.Fatal(err)
		}
		if err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.SetEnabled(ctx, tx, tenant, d.ID, false) }); err != nil {
			t.Fatal(err)
		}
		if got, err := far.Identify(t.Context(), der); err != nil || got.Enabled {
			t.Errorf("enabled %v, %v", got.Enabled, err)
		}
		if err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Remove(ctx, tx, tenant, d.ID) }); err != nil {
			t.Fatal(err)
		}
		if got := reason(second(far.Identify(t.Context(), der))); got != "unproven device_unknown" {
			t.Errorf("after removal: %s", got)
		}
	})
}

func TestSeen(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, _ := w.mustAdd(candidate(t, ecKey(t).Public()))
		for _, step := range []struct {
			after time.Duration
			want  time.Duration // after the start
		}{{0, 0}, {59 * time.Minute, 0}, {time.Minute, time.Hour}} {
			w.now = w.now.Add(step.after)
			now, err := w.Get(t.Context(), tenant, d.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Seen(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			if now, _ = w.Get(t.Context(), tenant, d.ID); !now.LastSeen.Equal(d.Created.Add(step.want)) {
				t.Errorf("seen %s, want %s", now.LastSeen, d.Created.Add(step.want))
			}
		}
	})
}

func TestPending(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		until := w.now.Add(10 * time.Minute)
		join := func() device.Device {
			c := candidate(t, ecKey(t).Public())
			c.Pending = until
			d, _ := w.mustAdd(c)
			return d
		}
		in, late := join(), join()
		if got, _ := w.Get(t.Context(), tenant, in.ID); got.Enabled || !got.Pending.Equal(until) {
			t.Errorf("enabled %v, pending %s", got.Enabled, got.Pending)
		}
		err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.SetEnabled(ctx, tx, tenant, in.ID, true) })
		if reason(err) != "conflict device_pending" {
			t.Errorf("switched on before it is attested: %v", err)
		}
		attest := func(t2 idp.TenantID, d device.Device) error {
			return w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.SetAttested(ctx, tx, t2, d.ID) })
		}
		if err := attest(other, in); !errors.Is(err, idp.NotFound) {
			t.Errorf("attested from another tenant: %v", err)
		}
		if err := attest(tenant, in); err != nil {
			t.Fatal(err)
		}
		if got, _ := w.Get(t.Context(), tenant, in.ID); !got.Enabled || !got.Pending.IsZero() || got.Assurance != device.Attested {
			t.Errorf("enabled %v, pending %s, %s", got.Enabled, got.Pending, got.Assurance)
		}
		if got, err := w.Overdue(t.Context(), until.Add(-time.Second), 10); err != nil || len(got) != 0 {
			t.Errorf("overdue in time: %v, %v", got, err)
		}
		w.now = until
		if err := attest(tenant, late); !errors.Is(err, idp.NotFound) {
			t.Errorf("attested late: %v", err)
		}
		if got, err := w.Overdue(t.Context(), w.now, 10); err != nil || len(got) != 1 || got[0].ID != late.ID {
			t.Errorf("overdue: %v, %v", got, err)
		}
		// A device that an administrator switched off stays off.
		if err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.SetEnabled(ctx, tx, tenant, in.ID, false) }); err != nil {
			t.Fatal(err)
		}
		if err := attest(tenant, in); err != nil {
			t.Fatal(err)
		}
		if got, _ := w.Get(t.Context(), tenant, in.ID); got.Enabled {
			t.Error("attestation switched a device on that was switched off")
		}
	})
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var ids []idp.DeviceID
		for n := range 5 {
			c := candidate(t, ecKey(t).Public())
			c.Name = fmt.Sprintf("WS-%d", n)
			if n == 4 {
				c.Owner = bob
			}
			if n%2 == 0 {
				w.now = w.now.Add(time.Second) // some of one moment
			}
			d, _ := w.mustAdd(c)
			ids = append(ids, d.ID)
		}
		c := candidate(t, ecKey(t).Public())
		c.Tenant = other
		w.mustAdd(c)
		var got []idp.DeviceID
		for p := (device.Page{Limit: 2}); ; {
			part, next, err := w.List(t.Context(), tenant, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range part {
				got = append(got, d.ID)
			}
			if p.After = next; next == "" {
				break
			}
		}
		slices.Sort(got)
		slices.Sort(ids)
		if !slices.Equal(got, ids) {
			t.Errorf("listed %v, want %v", got, ids)
		}
		for text, want := range map[string]int64{
			"startswith(displayName, 'ws-')": 5, "displayName eq 'ws-3'": 1, "registeredOwner eq '" + string(bob) + "'": 1,
			"accountEnabled eq false": 0, "trustType eq 'azuread'": 5, "assurance eq 'attested'": 0,
			// Never used is not used long ago.
			"approximateLastSignInDateTime le 2030-01-01T00:00:00Z": 0,
		} {
			where, err := filter.Parse(text, device.Fields)
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			if n, err := w.Count(t.Context(), tenant, where); err != nil || n != want {
				t.Errorf("%s: %d, want %d (%v)", text, n, want, err)
			}
		}
		if _, _, err := w.List(t.Context(), tenant, device.Page{After: "x"}); !errors.Is(err, idp.Invalid) {
			t.Errorf("bad cursor: %v", err)
		}
		mine, err := w.Owned(t.Context(), tenant, ada)
		if err != nil || len(mine) != 4 || mine[0].Created.Before(mine[3].Created) {
			t.Errorf("%d owned, %v", len(mine), err)
		}
		if mine, _ := w.Owned(t.Context(), other, bob); len(mine) != 0 {
			t.Errorf("owned in another tenant: %v", mine)
		}
	})
}

func TestRemoveUser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := candidate(t, ecKey(t).Public())
		c.Quota = 1
		w.mustAdd(c)
		b := candidate(t, ecKey(t).Public())
		b.Owner = bob
		kept, _ := w.mustAdd(b)
		if err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.RemoveUser(ctx, tx, tenant, ada) }); err != nil {
			t.Fatal(err)
		}
		if mine, err := w.Owned(t.Context(), tenant, ada); err != nil || len(mine) != 0 {
			t.Errorf("%v, %v", mine, err)
		}
		if _, err := w.Get(t.Context(), tenant, kept.ID); err != nil {
			t.Errorf("another's device: %v", err)
		}
		w.mustAdd(c) // key and place are free again
	})
}

// Keys survive a change of the key-encryption key: the authority is sealed
// under a key of the ring, which is what is sealed anew.
func TestRewrap(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, der := w.mustAdd(candidate(t, ecKey(t).Public()))
		old := w.kek
		w.kek = secret.RandomKey()
		ring := keyring.New(keyring.Config{DB: w.db, KEK: w.kek, AlsoOpens: []*secret.Key{old}, Now: w.Now})
		if _, err := ring.Rewrap(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		w.Registry = w.again()
		if _, err := w.Identify(t.Context(), der); err != nil {
			t.Error(err)
		}
		_, anew := w.mustAdd(candidate(t, ecKey(t).Public()))
		a, b := parse(t, der), parse(t, anew)
		if string(a.RawIssuer) != string(b.RawIssuer) {
			t.Error("another authority")
		}
		if _, err := w.Identify(t.Context(), anew); err != nil {
			t.Error(err)
		}
	})
}

// TestOneAuthority: first joins of a tenant at once, on two nodes, end with one
// authority.
func TestOneAuthority(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		nodes := []*device.Registry{w.Registry, w.again()}
		var wg sync.WaitGroup
		certs := make([][]byte, 4)
		for n := range certs {
			c := candidate(t, ecKey(t).Public())
			wg.Go(func() {
				r := nodes[n%2]
				d, der, err := r.Prepare(t.Context(), c)
				if err == nil {
					err = w.write(func(ctx context.Context, tx *sqldb.Tx) error { return r.Add(ctx, tx, d, c) })
				}
				if err != nil {
					t.Error(err)
				}
				certs[n] = der
			})
		}
		wg.Wait()
		for _, der := range certs {
			for _, r := range nodes {
				if _, err := r.Identify(t.Context(), der); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// races counts how a number of parallel Adds end.
func races(t *testing.T, w *world, all []device.Candidate) (won int, lost map[string]int) {
	t.Helper()
	type made struct {
		d device.Device
		c device.Candidate
	}
	var ready []made
	for _, c := range all {
		d, _, err := w.Prepare(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		ready = append(ready, made{d, c})
	}
	var wg sync.WaitGroup
	var wins atomic.Int64
	var mu sync.Mutex
	lost = map[string]int{}
	start := make(chan struct{})
	for _, m := range ready {
		wg.Go(func() {
			<-start
			err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Add(ctx, tx, m.d, m.c) })
			if err == nil {
				wins.Add(1)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			lost[reason(err)]++
		})
	}
	close(start)
	wg.Wait()
	return int(wins.Load()), lost
}

func TestSystem(t *testing.T) {
	for want, d := range map[string]device.Device{
		"": {}, "Linux": {OS: "Linux"}, "Debian 13": {OSVersion: "Debian 13"}, "Debian 13 (Linux)": {OS: "Linux", OSVersion: "Debian 13"},
		"Windows 11": {OS: "Windows", OSVersion: "11"}, "macOS 26.1": {OS: "macOS", OSVersion: "macOS 26.1"},
	} {
		if got := d.System(); got != want {
			t.Errorf("%+v is %q, want %q", d, got, want)
		}
	}
}

func TestKeyKind(t *testing.T) {
	for want, key := range map[string]crypto.PublicKey{"RSA 2048": rsaKey(t).Public(), "EC P-256": ecKey(t).Public(), "": nil} {
		if got := device.KeyKind(key); got != want {
			t.Errorf("%T is %q, want %q", key, got, want)
		}
	}
}
