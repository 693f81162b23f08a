package mac_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const (
	tenant = idp.TenantID("6f1c0a52-0d4e-4f0b-9d0a-5a1d6f0e7c11")
	other  = idp.TenantID("7a2d1b63-1e5f-4a1c-8e1b-6b2e7a1f8d22")
	ada    = idp.UserID("11111111-2222-4333-8444-555555555555")
	bob    = idp.UserID("99999999-2222-4333-8444-555555555555")
)

var sources = []fs.FS{keyring.Migrations, device.Migrations, mac.Migrations}

// local delivers notices in this process, when the transaction has committed.
type local struct {
	mu   sync.Mutex
	subs map[string][]func(string)
}

func (l *local) Subscribe(topic string, fn func(string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.subs == nil {
		l.subs = map[string][]func(string){}
	}
	l.subs[topic] = append(l.subs[topic], fn)
}

func (l *local) Publish(_ context.Context, tx *sqldb.Tx, topic, key string) error {
	tx.OnCommit(func() {
		l.mu.Lock()
		subs := slices.Clone(l.subs[topic])
		l.mu.Unlock()
		for _, fn := range subs {
			fn(key)
		}
	})
	return nil
}

// world is a server, and the ways to another one on its database.
type world struct {
	*mac.Registry
	t       *testing.T
	db      *sqldb.DB
	kek     *secret.Key
	bus     *local
	devices *device.Registry

	mu  sync.Mutex
	now time.Time
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// again is another node, or the same one started anew.
func (w *world) again() *mac.Registry {
	ring := keyring.New(keyring.Config{DB: w.db, KEK: w.kek, Now: w.Now})
	w.devices = device.New(device.Config{DB: w.db, Keys: ring.Sealing, Now: w.Now, Bus: w.bus})
	r := mac.New(mac.Config{DB: w.db, Devices: w.devices, Keys: ring.Sealing, Now: w.Now, Bus: w.bus})
	w.devices.OnRemove(r.OnDeviceRemoved)
	return r
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := &world{t: t, db: db, kek: secret.RandomKey(), bus: &local{}, now: time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)}
		w.Registry = w.again()
		fn(t, w)
	})
}

func key(t testing.TB) *ecdsa.PublicKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &k.PublicKey
}

func idOf(t testing.TB, k *ecdsa.PublicKey) mac.KeyID {
	t.Helper()
	id, err := mac.KeyIDOf(k)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (w *world) write(fn func(context.Context, *sqldb.Tx) error) error {
	return w.db.Write(context.Background(), fn)
}

func (w *world) must(fn func(context.Context, *sqldb.Tx) error) {
	w.t.Helper()
	if err := w.write(fn); err != nil {
		w.t.Fatal(err)
	}
}

// asked is what a Mac registers.
func (w *world) asked() mac.Registration {
	return mac.Registration{
		Tenant: tenant, Signing: mac.NewKey{Public: key(w.t)}, Encryption: mac.NewKey{Public: key(w.t)},
		Serial: "c02abc123", UDID: "00008103-000a1b2c3d4e5f60", Source: mac.ByPerson,
	}
}

// register makes a device and a Mac of it, in one transaction.
func (w *world) register(q mac.Registration) (mac.Mac, error) {
	w.t.Helper()
	c := device.Candidate{
		Tenant: q.Tenant, Name: "mac", OS: mac.OS, OSVersion: "26.1", Join: device.Joined, Owner: ada, Assurance: device.Unattested,
		Key: q.Signing.Public, Transport: q.Encryption.Public, Quota: 50,
	}
	d, _, err := w.devices.Prepare(w.t.Context(), c)
	if err != nil {
		return mac.Mac{}, err
	}
	q.Device = d.ID
	var m mac.Mac
	err = w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		if err := w.devices.Add(ctx, tx, d, c); err != nil {
			return err
		}
		m, err = w.Add(ctx, tx, q)
		return err
	})
	return m, err
}

func (w *world) mac() mac.Mac {
	w.t.Helper()
	m, err := w.register(w.asked())
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// rotate has new keys wait.
func (w *world) rotate(m mac.Mac, signing, encryption *ecdsa.PublicKey) (out mac.Mac, err error) {
	q := mac.Rotation{Tenant: m.Tenant, Device: m.Device}
	if signing != nil {
		q.Signing = &mac.NewKey{Public: signing}
	}
	if encryption != nil {
		q.Encryption = &mac.NewKey{Public: encryption}
	}
	err = w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		out, err = w.Rotate(ctx, tx, q)
		return err
	})
	return out, err
}

// knows says whether a server takes the key for one of the Mac in that role.
func knows(t testing.TB, r *mac.Registry, in idp.TenantID, role mac.Role, k *ecdsa.PublicKey, d idp.DeviceID) bool {
	t.Helper()
	m, got, err := r.ByKid(t.Context(), in, role, idOf(t, k))
	if reason(err) == "not found mac_key_unknown" {
		return false
	}
	if err != nil || m.Device != d || !device.Same(got.Public, k) || got.Role != role {
		t.Errorf("%s key is %s's as %s: %v", role, m.Device, got.Role, err)
	}
	return true
}

// reason is the stable word of an error.
func reason(err error) string {
	if err == nil {
		return ""
	}
	e := idp.AsError(err)
	return fmt.Sprintf("%s %s", e.Kind, e.Reason)
}
