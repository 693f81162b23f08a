// Package machine gives people of a running demo devices with Hello keys: it
// writes into the demo's database what a join and a registration write, for
// tests that are about what comes after.
package machine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"

	"github.com/signetid/signet/test/running"
)

// Machine is a device with one key on it.
type Machine struct {
	ID  string
	Key string // id of the Hello key of its owner
}

// Join makes a device of a person of the demo, with a Hello key.
func Join(t *testing.T, d *running.Demo, u running.User, name string) Machine {
	t.Helper()
	ctx := t.Context()
	db, err := sqldb.Open(ctx, sqldb.Config{Path: filepath.Join(d.Data, "signet.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	registry := device.New(device.Config{DB: db, Now: time.Now})
	c := device.Candidate{
		Tenant: idp.TenantID(d.Tenant), Name: name, OS: "Linux", OSVersion: "Debian 13", Join: device.Joined, Owner: idp.UserID(u.ID),
		Assurance: device.Unattested, Key: &key.PublicKey, Quota: 50,
	}
	m := device.Device{
		ID: idp.DeviceID(secret.NewUUID4()), Tenant: c.Tenant, Name: c.Name, OS: c.OS, OSVersion: c.OSVersion, Join: c.Join, Owner: c.Owner,
		Assurance: c.Assurance, Enabled: true, Key: &key.PublicKey, Created: now, Certified: now.AddDate(10, 0, 0), Thumbprint: "0A",
	}
	if err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return registry.Add(ctx, tx, m, c) }); err != nil {
		t.Fatal(err)
	}
	return Machine{ID: string(m.ID), Key: enrol(t, db, m)}
}

func enrol(t *testing.T, db *sqldb.DB, m device.Device) string {
	t.Helper()
	room, err := hello.New(hello.Config{
		DB: db, Now: time.Now,
		Rules: func(context.Context, idp.TenantID) (policy.HelloRules, error) { return policy.Default().Hello, nil },
		UserByName: func(context.Context, idp.TenantID, string) (idp.User, error) {
			return idp.User{}, idp.NotFoundf("nobody", "asked for nobody")
		},
		Device: func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID) (hello.Machine, error) {
			return hello.Machine{Name: m.Name, Enabled: true}, nil
		},
		Issuer: func(idp.TenantID) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := room.RegisterOnce(t.Context(), method.Answer{
		Tenant: m.Tenant, User: idp.User{ID: m.Owner, Tenant: m.Tenant}, Device: m.ID, Payload: hellotest.EC().Public(), Now: m.Created,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), reg.Settle); err != nil {
		t.Fatal(err)
	}
	return string(reg.Credential.ID)
}
