package device_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
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

var sources = []fs.FS{keyring.Migrations, device.Migrations}

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
		defer l.mu.Unlock()
		for _, fn := range l.subs[topic] {
			fn(key)
		}
	})
	return nil
}

type world struct {
	*device.Registry
	t   *testing.T
	db  *sqldb.DB
	kek *secret.Key
	bus *local
	now time.Time
}

func (w *world) Now() time.Time { return w.now }

func (w *world) ring() *keyring.Ring {
	return keyring.New(keyring.Config{DB: w.db, KEK: w.kek, Now: w.Now})
}

// again is another node, or the same one started anew.
func (w *world) again() *device.Registry {
	return device.New(device.Config{DB: w.db, Keys: w.ring().Sealing, Now: w.Now, Bus: w.bus})
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := &world{t: t, db: db, kek: secret.RandomKey(), bus: &local{}, now: time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)}
		w.Registry = w.again()
		fn(t, w)
	})
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func candidate(t testing.TB, key crypto.PublicKey) device.Candidate {
	return device.Candidate{
		Tenant: tenant, Name: "ws-17", OS: "Linux", OSVersion: "Debian 12", Join: device.Joined, Owner: ada,
		Assurance: device.Unproven, Key: key, Transport: ecKey(t).Public(), Quota: 50,
	}
}

func (w *world) add(c device.Candidate) (device.Device, []byte, error) {
	w.t.Helper()
	d, der, err := w.Prepare(w.t.Context(), c)
	if err != nil {
		return d, nil, err
	}
	return d, der, w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Add(ctx, tx, d, c) })
}

func (w *world) mustAdd(c device.Candidate) (device.Device, []byte) {
	w.t.Helper()
	d, der, err := w.add(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return d, der
}

func (w *world) write(fn func(context.Context, *sqldb.Tx) error) error {
	return w.db.Write(w.t.Context(), fn)
}

// reason is the stable word of an error.
func reason(err error) string {
	if err == nil {
		return ""
	}
	e := idp.AsError(err)
	return fmt.Sprintf("%s %s", e.Kind, e.Reason)
}

func (w *world) authority(t *testing.T) (*x509.Certificate, crypto.Signer) {
	return w.authorityOf(t, tenant)
}

// authorityOf opens a tenant's authority as somebody would who has everything.
func (w *world) authorityOf(t *testing.T, of idp.TenantID) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	cert, key, err := w.Signer(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
