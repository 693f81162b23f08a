// Command handset gives a person of a running demo a phone: it writes into the
// demo's database what an enrolment writes, but for the passkey, which nothing
// needs that is only looked at or removed. It is a program for the reason that
// command machine is.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

func main() {
	data, tenant := flag.String("data", "", "folder of the demo"), flag.String("tenant", "", "id of its tenant")
	owner, name := flag.String("owner", "", "id of whose it is"), flag.String("name", "", "what the phone is called")
	reported := flag.Bool("reported", false, "a request was reported on it, and an administrator has to look")
	flag.Parse()
	if err := add(context.Background(), *data, *tenant, *owner, *name, *reported); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// add makes the phone, and prints its id.
func add(ctx context.Context, data, tenant, owner, name string, reported bool) error {
	db, err := sqldb.Open(ctx, sqldb.Config{Path: filepath.Join(data, "signet.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer db.Close()
	id, now := secret.NewUUID4(), time.Now().UnixMilli()
	err = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `
			insert into phone_holder (tenant_id, user_id, held) values ($1, $2, 1)
			on conflict (tenant_id, user_id) do update set held = phone_holder.held + 1`, tenant, owner); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			insert into phone (tenant_id, id, user_id, state, name, platform, app, spki, passkey, push_kind, push, address, created, last_used, seen)
			values ($1, $2, $3, 'active', $4, 'Android', 'Signet 1.0', $5, '', '', $6, '192.0.2.1', $7, 0, $7)`,
			tenant, id, owner, name, []byte(id), []byte{}, now)
		if err != nil || !reported {
			return err
		}
		return report(ctx, tx, idp.TenantID(tenant), idp.UserID(owner), idp.CredentialID(id))
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"id": id})
}

// report writes what a report writes.
func report(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	if _, err := tx.Exec(ctx, `
		insert into phone_block (tenant_id, user_id, address, created, expires) values ($1, $2, '', $3, 0), ($1, $2, '203.0.113.9', $3, $4)`,
		t, u, time.Now().UnixMilli(), time.Now().Add(24*time.Hour).UnixMilli()); err != nil {
		return err
	}
	return audit.New(time.Now).Write(ctx, tx, audit.Event{
		Tenant: t, At: time.Now(), Category: audit.SignIn, Activity: "phone.reported", Outcome: audit.Interrupted, Actor: string(u), User: u, Method: policy.Phone,
		Credential: id, IP: "192.0.2.1", Detail: map[string]string{"asked": "203.0.113.9"},
	})
}
