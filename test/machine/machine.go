// Command machine gives a person of a running demo a device with a Hello key on
// it: it writes into the demo's database what a join and a registration write,
// for tests that are about what comes after. It is a program, so that modules
// whose tests need one do not need all that it is made of.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

func main() {
	data, tenant := flag.String("data", "", "folder of the demo"), flag.String("tenant", "", "id of its tenant")
	owner, name := flag.String("owner", "", "id of who joins"), flag.String("name", "", "what the device is called")
	flag.Parse()
	if err := join(context.Background(), *data, idp.TenantID(*tenant), idp.UserID(*owner), *name); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// join makes the device, and prints its id and that of the key.
func join(ctx context.Context, data string, tenant idp.TenantID, owner idp.UserID, name string) error {
	db, err := sqldb.Open(ctx, sqldb.Config{Path: filepath.Join(data, "signet.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer db.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	d := device.Device{
		ID: idp.DeviceID(secret.NewUUID4()), Tenant: tenant, Name: name, OS: "Linux", OSVersion: "Debian 13", Join: device.Joined, Owner: owner,
		Assurance: device.Unattested, Enabled: true, Key: &key.PublicKey, Created: now, Certified: now.AddDate(10, 0, 0), Thumbprint: "0A",
	}
	registry := device.New(device.Config{DB: db, Now: time.Now})
	err = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return registry.Add(ctx, tx, d, device.Candidate{Quota: 50})
	})
	if err != nil {
		return err
	}
	id, err := enrol(ctx, db, d)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"id": string(d.ID), "key": string(id)})
}

// enrol puts a key of its owner's on a device.
func enrol(ctx context.Context, db *sqldb.DB, d device.Device) (idp.CredentialID, error) {
	room, err := hello.New(hello.Config{
		DB: db, Now: time.Now,
		Rules: func(context.Context, idp.TenantID) (policy.HelloRules, error) { return policy.Default().Hello, nil },
		UserByName: func(context.Context, idp.TenantID, string) (idp.User, error) {
			return idp.User{}, idp.NotFoundf("nobody", "asked for nobody")
		},
		User: func(context.Context, idp.TenantID, idp.UserID) (idp.User, error) {
			return idp.User{}, idp.NotFoundf("nobody", "asked for nobody")
		},
		Device: func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID) (hello.Machine, error) {
			return hello.Machine{Name: d.Name, Enabled: true}, nil
		},
		Issuer: func(idp.TenantID) string { return "" },
	})
	if err != nil {
		return "", err
	}
	reg, err := room.RegisterOnce(ctx, method.Answer{
		Tenant: d.Tenant, User: idp.User{ID: d.Owner, Tenant: d.Tenant}, Device: d.ID, Payload: hellotest.EC().Public(), Now: d.Created,
	})
	if err != nil {
		return "", err
	}
	return reg.Credential.ID, db.Write(ctx, reg.Settle)
}
