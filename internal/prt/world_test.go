package prt_test

import (
	"context"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

const (
	tenant, other = idp.TenantID("11111111-1111-4111-8111-111111111111"), idp.TenantID("22222222-2222-4222-8222-222222222222")
	ada, bela     = idp.UserID("33333333-3333-4333-8333-333333333333"), idp.UserID("44444444-4444-4444-8444-444444444444")
	desk, laptop  = idp.DeviceID("55555555-5555-4555-8555-555555555555"), idp.DeviceID("66666666-6666-4666-8666-666666666666")
)

const idle, absolute = 14 * 24 * time.Hour, 90 * 24 * time.Hour

var sources = []fs.FS{keyring.Migrations, audit.Migrations, bus.Migrations, prt.Migrations}

// world is a Service whose clock, epoch and limits the test moves.
type world struct {
	db             *sqldb.DB
	now            time.Time
	epoch          int64
	idle, absolute time.Duration
	audit          *audit.Log
	svc            *prt.Service

	mu    sync.Mutex
	ended []idp.SessionID // what OnEnd was called for
}

// newWorld is a server of its own, which keeps what it has read.
func newWorld(db *sqldb.DB) *world {
	return newHearing(db, secret.RandomKey(), bus.New(db, slog.New(slog.DiscardHandler)))
}

// newNode is one of several servers on a database; it reads everything anew.
func newNode(db *sqldb.DB, kek *secret.Key) *world { return newHearing(db, kek, nil) }

// newHearing is a server that hears of changes by notices.
func newHearing(db *sqldb.DB, kek *secret.Key, notices *bus.Bus) *world {
	w := &world{db: db, now: time.UnixMilli(1_800_000_000_000), idle: idle, absolute: absolute}
	now := func() time.Time { return w.now }
	w.audit = audit.New(now)
	w.svc = prt.New(prt.Config{
		DB: db, Bus: notices, Keys: keyring.New(keyring.Config{DB: db, KEK: kek, Now: now}), Audit: w.audit, Now: now,
		Epoch: func() int64 { return w.epoch },
		Lives: func(context.Context, idp.TenantID) (time.Duration, time.Duration, error) {
			return w.idle, w.absolute, nil
		},
		OnEnd: func(_ context.Context, tx *sqldb.Tx, _ idp.TenantID, _ idp.UserID, id idp.SessionID) error {
			tx.OnCommit(func() { w.mu.Lock(); w.ended = append(w.ended, id); w.mu.Unlock() })
			return nil
		},
	})
	return w
}

// asked is a PRT as a door asks for it, standing on a Hello key of the user.
func asked(u idp.UserID, d idp.DeviceID, at time.Time) prt.PRT {
	return prt.PRT{
		Tenant: tenant, User: u, Device: d, Protocol: prt.V3, Direct: true, Agent: "agent/1", IP: "192.0.2.7",
		Proofs: []idp.Proof{{Tenant: tenant, User: u, Method: "hello", Mode: idp.ModeHello, Credential: idp.CredentialID("key of " + u), Device: d,
			Properties: []idp.Property{idp.MultiFactor, idp.UserVerified}, AMR: []string{"rsa", "mfa"}, Time: at.Add(-time.Second)}},
	}
}

func (w *world) write(t testing.TB, fn func(context.Context, *sqldb.Tx) error) {
	t.Helper()
	if err := w.db.Write(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

// issue makes and writes a PRT.
func (w *world) issue(t testing.TB, p prt.PRT) prt.Issued {
	t.Helper()
	i, err := w.svc.Prepare(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.Add(ctx, tx, i) })
	return i
}

func (w *world) find(t testing.TB, value string) prt.Opened {
	t.Helper()
	o, err := w.svc.Find(t.Context(), tenant, value)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (w *world) refused(t testing.TB, value, want string) prt.Opened {
	t.Helper()
	o, err := w.svc.Find(t.Context(), tenant, value)
	if reason(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	return o
}

func (w *world) renew(t testing.TB, value string) (prt.PRT, string) {
	t.Helper()
	p, next, err := w.tryRenew(w.find(t, value))
	if err != nil {
		t.Fatal(err)
	}
	return p, next
}

func (w *world) tryRenew(o prt.Opened) (p prt.PRT, value string, err error) {
	err = w.db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		p, value, err = w.svc.Renew(ctx, tx, o)
		return err
	})
	return p, value, err
}

func (w *world) gone(ids ...idp.SessionID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := slices.Sorted(slices.Values(w.ended))
	slices.Sort(ids)
	return slices.Equal(got, ids)
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}
