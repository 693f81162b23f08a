package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_PSO05_KeyRemovedWhileProvisioned removes the key of a person on a Mac
// while the answer to a key request is being written: the removal waits for the
// sign-in that it ends, and leaves no unlock key behind.
func TestSec_PSO05_KeyRemovedWhileProvisioned(t *testing.T) {
	for name, database := range map[string]string{"sqlite": "", "postgres": sqldbtest.NewPostgres(t)} {
		if name == "postgres" && database == "" {
			continue // said in the log
		}
		t.Run(name, func(t *testing.T) {
			i := newInstallation(t, database)
			h, err := Open(t.Context(), i.cfg, "http://localhost")
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			keyRemovedMeanwhile(t, h, i.tenant)
		})
	}
}

func keyRemovedMeanwhile(t *testing.T, h *House, in idp.TenantID) {
	ctx := t.Context()
	u, holder, key, login := macLogin(t, h, in)
	prepared, err := h.Macs.Unlock.Prepare(ctx, holder)
	if err != nil {
		t.Fatal(err)
	}
	written, release, provisioned := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		said := false // the function may run twice
		provisioned <- h.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			if alive, err := h.PRTs.Alive(ctx, tx, in, login); err != nil || !alive {
				return errors.Join(err, errors.New("the sign-in is over"))
			}
			if _, _, err := h.Macs.Unlock.Provision(ctx, tx, prepared); err != nil {
				return err
			}
			if !said {
				said = true
				close(written)
			}
			<-release
			return nil
		})
	}()
	<-written
	removed := make(chan error, 1)
	go func() {
		removed <- h.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			return h.revokeStanding(ctx, tx, in, u, platform.ID, key)
		})
	}()
	if h.DB.Dialect() != sqldb.SQLite { // there one writes after the other
		waits := func() (n int) {
			err := h.DB.QueryRow(ctx, `select count(*) from pg_stat_activity
				where datname = current_database() and wait_event_type = 'Lock' and query like '%update prt set ended%' and pid <> pg_backend_pid()`).Scan(&n)
			if err != nil {
				t.Error(err)
			}
			return n
		}
		for waits() == 0 && len(removed) == 0 && !t.Failed() {
			time.Sleep(time.Millisecond) // until it waits for the other
		}
	}
	close(release)
	if err := errors.Join(<-provisioned, <-removed); err != nil {
		t.Fatal(err)
	}
	if has, err := h.Macs.Unlock.Has(ctx, h.DB, in, holder.Device, u); err != nil || has {
		t.Errorf("an unlock key without the key of its person: %v, %v", has, err)
	}
}

// macLogin makes a person with a Mac, a key there and a login by it.
func macLogin(t *testing.T, h *House, in idp.TenantID) (idp.UserID, mac.Holder, idp.CredentialID, idp.SessionID) {
	t.Helper()
	ctx := t.Context()
	draw := func() mac.NewKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return mac.NewKey{Public: &k.PublicKey}
	}
	write := func(fn func(context.Context, *sqldb.Tx) error) {
		t.Helper()
		if err := h.DB.Write(ctx, fn); err != nil {
			t.Fatal(err)
		}
	}
	q := mac.Registration{Tenant: in, Source: mac.ByPerson, Signing: draw(), Encryption: draw()}
	var u idp.User
	write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		u, err = h.Directory.CreateUser(ctx, tx, idp.User{Tenant: in, Name: "ada@a.example", DisplayName: "Ada", Enabled: true, Type: idp.Member})
		return err
	})
	c := device.Candidate{
		Tenant: in, Name: "mac", OS: mac.OS, Join: device.Joined, Owner: u.ID, Assurance: device.Unattested,
		Key: q.Signing.Public, Transport: q.Encryption.Public, Quota: 1,
	}
	d, _, err := h.Devices.Prepare(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	q.Device = d.ID
	var m mac.Mac
	write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if err := h.Devices.Add(ctx, tx, d, c); err != nil {
			return err
		}
		m, err = h.Macs.Add(ctx, tx, q)
		return err
	})
	now := time.Now()
	e := platform.Expected{Audience: "https://here/user", Nonce: "a nonce", Device: m.Keys[0].ID}
	reg, err := h.Platform.RegisterOnce(ctx, method.Answer{
		Tenant: in, User: u, Device: d.ID, Keep: e.Keep(), Payload: platformtest.New().Offer(e, now).Payload(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	made, err := h.PRTs.Prepare(ctx, prt.PRT{
		Tenant: in, User: u.ID, Device: d.ID, Protocol: prt.Mac,
		Proofs: []idp.Proof{{Tenant: in, User: u.ID, Method: platform.ID, Credential: reg.Credential.ID, Device: d.ID, Time: now}},
	})
	if err != nil {
		t.Fatal(err)
	}
	write(func(ctx context.Context, tx *sqldb.Tx) error {
		if err := reg.Settle(ctx, tx); err != nil {
			return err
		}
		made, err = h.PRTs.Login(ctx, tx, made)
		return err
	})
	return u.ID, mac.Holder{Tenant: in, Device: d.ID, User: u.ID, Purpose: mac.UserUnlock}, reg.Credential.ID, made.PRT.ID
}
