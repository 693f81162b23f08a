package mac_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

var plain = cmp.Options{cmpopts.IgnoreUnexported(mac.Key{}), cmp.Comparer(func(a, b *ecdsa.PublicKey) bool { return a.Equal(b) })}

func TestRegister(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		q := w.asked()
		m, err := w.register(q)
		if err != nil {
			t.Fatal(err)
		}
		want := mac.Mac{
			Tenant: tenant, Device: m.Device, Serial: "C02ABC123", UDID: "00008103-000A1B2C3D4E5F60", Source: mac.ByPerson, Created: w.now, Registered: w.now,
			Keys: []mac.Key{
				{ID: idOf(t, q.Signing.Public), Role: mac.Signing, State: mac.Current, Public: q.Signing.Public, Created: w.now},
				{ID: idOf(t, q.Encryption.Public), Role: mac.Encryption, State: mac.Current, Public: q.Encryption.Public, Created: w.now},
			},
		}
		got, err := w.Get(t.Context(), w.db, tenant, m.Device)
		if diff := cmp.Diff(want, got, plain); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if diff := cmp.Diff(want, m, plain); diff != "" {
			t.Errorf("said (-want +got):\n%s", diff)
		}
		if !knows(t, w.Registry, tenant, mac.Signing, q.Signing.Public, m.Device) || !knows(t, w.Registry, tenant, mac.Encryption, q.Encryption.Public, m.Device) {
			t.Error("its keys are not known")
		}
		if knows(t, w.Registry, tenant, mac.Encryption, q.Signing.Public, m.Device) || knows(t, w.Registry, tenant, mac.Signing, q.Encryption.Public, m.Device) {
			t.Error("a key is known in the other's role")
		}
		if knows(t, w.Registry, other, mac.Signing, q.Signing.Public, m.Device) {
			t.Error("its key is known in another tenant")
		}
		if _, err := w.Get(t.Context(), w.db, other, m.Device); reason(err) != "not found mac_unknown" {
			t.Errorf("in another tenant: %v", err)
		}
		if keys, err := w.Keys(t.Context(), tenant, m.Device); err != nil || len(keys) != 2 {
			t.Errorf("%d keys, %v", len(keys), err)
		}
	})
}

// A key is named by what its point hashes to, as macOS spells it.
func TestKeyID(t *testing.T) {
	k := key(t)
	id, err := mac.KeyIDOf(k)
	if err != nil || id != pssowire.KeyOf(k) {
		t.Errorf("%s, %v", id, err)
	}
	if text := id.String(); len(text) != 44 || !strings.HasSuffix(text, "=") || strings.ContainsAny(text, "-_") {
		t.Errorf("spelled %q", text)
	}
	if raw, err := base64.StdEncoding.DecodeString(id.String()); err != nil || mac.KeyID(raw) != id {
		t.Error("it does not come back")
	}
	for name, bad := range map[string]*ecdsa.PublicKey{
		"none": nil, "another curve": p384(t),
		//lint:ignore SA1019 a point off the curve is what no other function makes
		"off the curve": {Curve: elliptic.P256(), X: k.X, Y: k.X},
	} {
		if _, err := mac.KeyIDOf(bad); err == nil {
			t.Errorf("%s has a name", name)
		}
	}
}

// p384 is a key on a curve that Macs do not use.
func p384(t *testing.T) *ecdsa.PublicKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &k.PublicKey
}

// Of what the registration of a Mac is refused for nothing stays.
func TestSec_DEV03_RegisterRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		have := w.asked()
		m, err := w.register(have)
		if err != nil {
			t.Fatal(err)
		}
		waiting := key(t)
		if _, err := w.rotate(m, waiting, nil); err != nil {
			t.Fatal(err)
		}
		p384 := p384(t)
		for name, tt := range map[string]struct {
			change func(*mac.Registration)
			want   string
		}{
			"one key for both":        {func(q *mac.Registration) { q.Encryption = q.Signing }, "invalid shared_device_key"},
			"another's signing key":   {func(q *mac.Registration) { q.Signing = have.Signing }, "conflict key_registered"},
			"another's in the other":  {func(q *mac.Registration) { q.Signing = have.Encryption }, "conflict key_registered"},
			"another's that waits":    {func(q *mac.Registration) { q.Encryption.Public = waiting }, "conflict key_registered"},
			"another's of a tenant":   {func(q *mac.Registration) { q.Tenant, q.Signing = other, have.Signing }, "conflict key_registered"},
			"a key of another curve":  {func(q *mac.Registration) { q.Signing.Public = p384 }, "invalid device_key"},
			"an encryption key, P384": {func(q *mac.Registration) { q.Encryption.Public = p384 }, "invalid transport_key"},
		} {
			q := w.asked()
			tt.change(&q)
			if _, err := w.register(q); reason(err) != tt.want {
				t.Errorf("%s: %v", name, err)
			}
		}
		var n int64
		if err := w.db.QueryRow(t.Context(), `select (select count(*) from mac) + (select count(*) from mac_key)`).Scan(&n); err != nil || n != 4 {
			t.Errorf("%d rows, %v", n, err)
		}
	})
}

// What a login asks costs one read when a server has not heard of the Mac, and
// none after; who is not known is asked for each time.
func TestByKidReads(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		far := w.again()
		reads := func(role mac.Role, id mac.KeyID) int64 {
			var meter sqldb.Meter
			if _, _, err := far.ByKid(sqldb.WithMeter(t.Context(), &meter), tenant, role, id); err != nil && !errors.Is(err, idp.NotFound) {
				t.Fatal(err)
			}
			return meter.Reads.Load() + meter.Writes.Load()
		}
		for _, k := range m.Keys {
			if cold, warm := reads(k.Role, k.ID), reads(k.Role, k.ID); cold != 1 || warm != 0 {
				t.Errorf("%s: %d reads, then %d", k.Role, cold, warm)
			}
		}
		for range 2 {
			if n := reads(mac.Signing, mac.KeyID{1}); n != 1 {
				t.Errorf("%d reads for nobody", n)
			}
		}
	})
}

// What one server changes, the other knows: a key that waits, one that is settled,
// all that are replaced, and a Mac that is gone.
func TestOtherNode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		far := w.again()
		signing, encryption := m.Keys[0].Public, m.Keys[1].Public
		known := func(step string, want map[*ecdsa.PublicKey]bool) {
			t.Helper()
			for k, yes := range want {
				role := mac.Signing
				if k == encryption {
					role = mac.Encryption
				}
				if knows(t, far, tenant, role, k, m.Device) != yes {
					t.Errorf("%s: a key is known: %v", step, !yes)
				}
			}
		}
		next := key(t)
		known("registered", map[*ecdsa.PublicKey]bool{signing: true, encryption: true, next: false})
		if _, err := w.rotate(m, next, nil); err != nil {
			t.Fatal(err)
		}
		known("rotating", map[*ecdsa.PublicKey]bool{signing: true, encryption: true, next: true})
		now, used, err := far.ByKid(t.Context(), tenant, mac.Signing, idOf(t, next))
		if err != nil || !now.Rotating() || used.State != mac.Pending {
			t.Fatalf("%+v, %v", used, err)
		}
		if from, _, _ := far.ByKid(t.Context(), tenant, mac.Encryption, idOf(t, encryption)); !from.Rotating() {
			t.Error("by its other key it does not rotate")
		}
		w.must(func(ctx context.Context, tx *sqldb.Tx) error { return w.Settle(ctx, tx, now, used) })
		known("settled", map[*ecdsa.PublicKey]bool{signing: false, encryption: true, next: true})
		q := w.asked()
		q.Device = m.Device
		w.must(func(ctx context.Context, tx *sqldb.Tx) error { _, err := w.Replace(ctx, tx, q); return err })
		known("replaced", map[*ecdsa.PublicKey]bool{signing: false, encryption: false, next: false, q.Signing.Public: true})
		w.must(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Remove(ctx, tx, tenant, m.Device) })
		known("removed", map[*ecdsa.PublicKey]bool{q.Signing.Public: false})
	})
}

func TestRemoved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m, stays := w.mac(), w.mac()
		waits := key(t)
		if _, err := w.rotate(m, waits, nil); err != nil {
			t.Fatal(err)
		}
		w.provision(mac.Holder{Tenant: tenant, Device: m.Device, User: ada, Purpose: mac.UserUnlock})
		w.must(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Remove(ctx, tx, tenant, m.Device) })
		for table, want := range map[string]int64{"mac": 1, "mac_key": 2, "mac_unlock": 0, "device_key": 2} {
			var n int64
			if err := w.db.QueryRow(t.Context(), `select count(*) from `+table).Scan(&n); err != nil || n != want {
				t.Errorf("%s has %d rows, want %d: %v", table, n, want, err)
			}
		}
		if _, err := w.Get(t.Context(), w.db, tenant, m.Device); !errors.Is(err, idp.NotFound) {
			t.Errorf("it is there: %v", err)
		}
		if _, err := w.Get(t.Context(), w.db, tenant, stays.Device); err != nil {
			t.Errorf("the other one: %v", err)
		}
		q := w.asked() // its keys are free, the one that waited too
		q.Signing.Public, q.Encryption.Public = waits, m.Keys[0].Public
		if _, err := w.register(q); err != nil {
			t.Errorf("keys of a Mac that is gone: %v", err)
		}
		// A device that is no Mac goes as it always did.
		w.must(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.OnDeviceRemoved(ctx, tx, tenant, "00000000-0000-4000-8000-000000000000")
		})
	})
}

func TestLists(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var macs []mac.Mac
		for range 3 {
			w.pass(time.Second)
			macs = append(macs, w.mac())
		}
		q := w.asked()
		q.Serial, q.Tenant = "C02ABC123", other
		if _, err := w.register(q); err != nil {
			t.Fatal(err)
		}
		nobody := idp.DeviceID("00000000-0000-4000-8000-000000000000")
		got, err := w.List(t.Context(), tenant, []idp.DeviceID{macs[0].Device, nobody, macs[2].Device})
		if err != nil || len(got) != 2 || len(got[macs[2].Device].Keys) != 2 || got[macs[0].Device].Serial != "C02ABC123" {
			t.Errorf("%d listed, %v", len(got), err)
		}
		if none, err := w.List(t.Context(), tenant, nil); err != nil || len(none) != 0 {
			t.Errorf("%d of none, %v", len(none), err)
		}
		if _, err := w.List(t.Context(), tenant, make([]idp.DeviceID, 1000)); err == nil {
			t.Error("a thousand at once")
		}
		alike, err := w.OfSerial(t.Context(), w.db, tenant, " c02ABC123\n")
		order := []idp.DeviceID{macs[2].Device, macs[1].Device, macs[0].Device}
		if err != nil || !slices.EqualFunc(alike, order, func(m mac.Mac, d idp.DeviceID) bool { return m.Device == d }) {
			t.Errorf("of a serial number: %v, %v", alike, err)
		}
		for _, serial := range []string{"", "C02ABC124", "'; drop table mac; --"} {
			if list, err := w.OfSerial(t.Context(), w.db, tenant, serial); err != nil || len(list) != 0 {
				t.Errorf("of %q: %d, %v", serial, len(list), err)
			}
		}
	})
}

func TestPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		want := []idp.DeviceID{}
		for range 5 {
			want = append(want, w.mac().Device)
		}
		slices.Sort(want)
		q := w.asked()
		q.Tenant = other
		if _, err := w.register(q); err != nil {
			t.Fatal(err)
		}
		got := []idp.DeviceID{}
		for after := idp.DeviceID(""); ; after = got[len(got)-1] {
			part, err := w.Page(t.Context(), tenant, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range part {
				if got = append(got, m.Device); len(m.Keys) != 2 {
					t.Errorf("%s has %d keys", m.Device, len(m.Keys))
				}
			}
			if len(part) < 2 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if all, err := w.Page(t.Context(), tenant, "", 0); err != nil || len(all) != 5 {
			t.Errorf("%d, %v", len(all), err)
		}
	})
}

func TestCleanSerial(t *testing.T) {
	for in, want := range map[string]string{
		" c02Abc123\n": "C02ABC123", "00008103-000a1b2c3d4e5f60": "00008103-000A1B2C3D4E5F60", "": "", "a b": "", "ü": "", "ſ": "", "a\x00b": "",
		strings.Repeat("A", 64): strings.Repeat("A", 64), strings.Repeat("A", 65): "",
	} {
		if got := mac.CleanSerial(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// A registration that takes the place of another ends what stood on that, and
// keeps the device.
func TestReplace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		waits := key(t)
		if _, err := w.rotate(m, nil, waits); err != nil {
			t.Fatal(err)
		}
		holder := mac.Holder{Tenant: tenant, Device: m.Device, User: ada, Purpose: mac.UserUnlock}
		w.provision(holder)
		var ended []idp.DeviceID
		w.OnReplace(func(_ context.Context, _ *sqldb.Tx, in idp.TenantID, d idp.DeviceID) error {
			if ended = append(ended, d); in != tenant {
				t.Errorf("hook in %s", in)
			}
			return nil
		})
		w.pass(time.Minute)
		q := w.asked()
		q.Device, q.Proven, q.Serial, q.Source, q.Token = m.Device, true, "C02NEW", mac.ByToken, "tok"
		q.Signing.Attested, q.Encryption.Attested = true, true
		replace := func(q mac.Registration) (got mac.Mac, err error) {
			err = w.write(func(ctx context.Context, tx *sqldb.Tx) error { got, err = w.Replace(ctx, tx, q); return err })
			return got, err
		}
		got, err := replace(q)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Created.Equal(m.Created) || !got.Registered.Equal(w.now) || got.Serial != "C02NEW" || !got.Proven || got.Source != mac.ByToken || got.Rotating() {
			t.Errorf("%+v", got)
		}
		if read, err := w.Get(t.Context(), w.db, tenant, m.Device); err != nil || !cmp.Equal(got, read, plain) {
			t.Errorf("%v (-said +read):\n%s", err, cmp.Diff(got, read, plain))
		}
		d, err := w.devices.Get(t.Context(), tenant, m.Device)
		if err != nil || !device.Same(d.Key, q.Signing.Public) || !device.Same(d.Transport, q.Encryption.Public) || d.Assurance != device.Attested {
			t.Errorf("its device: %+v, %v", d, err)
		}
		if !slices.Equal(ended, []idp.DeviceID{m.Device}) {
			t.Errorf("ended %v", ended)
		}
		if has, err := w.Unlock.Has(t.Context(), w.db, tenant, m.Device, ada); err != nil || has {
			t.Errorf("its unlock key is there: %v, %v", has, err)
		}
		free := w.asked()
		free.Signing.Public, free.Encryption.Public = waits, m.Keys[1].Public
		if _, err := w.register(free); err != nil {
			t.Errorf("old keys: %v", err)
		}
		for name, tt := range map[string]struct {
			change func(*mac.Registration)
			want   string
		}{
			"unproven":       {func(q *mac.Registration) { q.Proven = false }, "denied mac_weaker_proof"},
			"another tenant": {func(q *mac.Registration) { q.Tenant = other }, "not found mac_unknown"},
			"another's key":  {func(q *mac.Registration) { q.Signing = free.Signing }, "conflict key_registered"},
			"one key":        {func(q *mac.Registration) { q.Encryption = q.Signing }, "invalid shared_device_key"},
		} {
			again := w.asked()
			again.Device, again.Proven = m.Device, true
			tt.change(&again)
			if _, err := replace(again); reason(err) != tt.want {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !knows(t, w.Registry, tenant, mac.Signing, q.Signing.Public, m.Device) || len(ended) != 1 {
			t.Error("a refused one changed something")
		}
	})
}

// TestSec_PSO05_ReplaceErases: whoever is being given an unlock key while the
// keys of the Mac are replaced holds on to the sign-in, which the hooks end. What
// was written until they have ended it is erased, too.
func TestSec_PSO05_ReplaceErases(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		late, err := w.Unlock.Prepare(t.Context(), holderOf(m, ada))
		if err != nil {
			t.Fatal(err)
		}
		w.OnReplace(func(ctx context.Context, tx *sqldb.Tx, _ idp.TenantID, _ idp.DeviceID) error {
			_, fresh, err := w.Unlock.Provision(ctx, tx, late) // as one that this had to wait for
			if err == nil && !fresh {
				t.Error("it was there before")
			}
			return err
		})
		q := w.asked()
		q.Device = m.Device
		if err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { _, err := w.Replace(ctx, tx, q); return err }); err != nil {
			t.Fatal(err)
		}
		if has, err := w.Unlock.Has(t.Context(), w.db, tenant, m.Device, ada); err != nil || has {
			t.Errorf("an unlock key of the old registration is there: %v, %v", has, err)
		}
	})
}
