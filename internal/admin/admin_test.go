package admin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/trust"
)

var (
	sources = []fs.FS{audit.Migrations, directory.Migrations, client.Migrations, policy.Migrations, keyring.Migrations, device.Migrations, mac.Migrations, trust.Migrations}
	now     = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

// office is an administration with the real registries, and stand-ins for the
// rooms that are wired by func.
type office struct {
	*admin.Service
	t        *testing.T
	db       *sqldb.DB
	log      *audit.Log
	dir      *directory.Directory
	clients  *client.Registry
	policies *policy.Store
	revoked  []idp.UserID
	taken    []string // "user client" of RevokeGrant
	lock     error    // what SavePolicy says of a policy without passkeys
	subjects []policy.Subject
	devices  *device.Registry
	macs     *mac.Registry
	keys     keysOfAda
	phones   pocket
}

// keysOfAda stand for the Hello room: one orphaned key, which is there or
// removed.
type keysOfAda struct {
	user    idp.UserID
	removed bool
}

func (k *keysOfAda) credential() method.Credential {
	return method.Credential{ID: "k1", User: k.user, Method: policy.Hello, Name: "Laptop", Created: now, Orphaned: true}
}

func (k *keysOfAda) ID() idp.MethodID { return policy.Hello }

func (k *keysOfAda) List(_ context.Context, _ idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	if u != k.user || k.removed {
		return nil, nil
	}
	return []method.Credential{k.credential()}, nil
}

func (k *keysOfAda) settle(removed bool) func(context.Context, idp.TenantID, []hygiene.Key, hygiene.Options, bool) ([]error, error) {
	return func(_ context.Context, _ idp.TenantID, keys []hygiene.Key, _ hygiene.Options, try bool) ([]error, error) {
		if !try {
			k.removed = removed
		}
		return make([]error, len(keys)), nil
	}
}

func (k *keysOfAda) each(_ context.Context, _ idp.TenantID, fn func(method.Credential, time.Time) error) error {
	if !k.removed {
		return nil
	}
	return fn(k.credential(), now)
}

// join gives somebody a device.
func (o *office) join(tenant idp.TenantID, owner idp.UserID, name string) device.Device {
	o.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		o.t.Fatal(err)
	}
	c := device.Candidate{Tenant: tenant, Name: name, OS: "Linux", Join: device.Joined, Owner: owner, Assurance: device.Unattested, Key: &key.PublicKey, Quota: 9}
	d, _, err := o.devices.Prepare(o.t.Context(), c)
	if err == nil {
		err = o.db.Write(o.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return o.devices.Add(ctx, tx, d, c) })
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return d
}

func newOffice(t *testing.T, db *sqldb.DB) *office {
	clock := func() time.Time { return now }
	o := &office{t: t, db: db, log: audit.New(clock), dir: directory.New(directory.Config{DB: db, Now: clock}),
		clients: client.New(client.Config{DB: db, Now: clock}), policies: policy.New(policy.Config{DB: db, Now: clock})}
	sealing := secret.RandomKey()
	o.devices = device.New(device.Config{
		DB: db, Now: clock, Keys: func(context.Context, idp.TenantID, string) (*secret.Key, error) { return sealing, nil },
	})
	o.macs = mac.New(mac.Config{DB: db, Now: clock, Devices: o.devices})
	o.Service = admin.New(admin.Config{
		Authorities: trust.New(trust.Config{DB: db, Now: clock, Private: []string{"127.0.0.1"}}), ExplainCertificate: explainFirst,
		MacProfile: anyProfile,
		Devices:    o.devices, Macs: o.macs, Phones: &o.phones, RemoveMethod: o.phones.remove,
		OnDevice: func(context.Context, idp.TenantID, idp.DeviceID) (admin.Standing, error) {
			return admin.Standing{Keys: 1, MacKeys: 3, Tokens: 2, Only: []idp.UserID{o.keys.user}}, nil
		},
		Hygiene: hygiene.New(hygiene.Config{
			DB: db, Directory: o.dir, Rooms: []hygiene.Lister{&o.keys}, Clean: o.keys.settle(true), Restore: o.keys.settle(false), Removed: o.keys.each,
			Rules: func(context.Context, idp.TenantID) (policy.HelloRules, error) {
				return policy.HelloRules{Limit: 20, WarnAt: 1}, nil
			},
		}),
		DB: db, Directory: o.dir, Clients: o.clients,
		Policies: o.policies, Audit: o.log, Now: clock,
		Keys: keyring.New(keyring.Config{DB: db, KEK: secret.RandomKey(), Now: clock}),
		IssuePass: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, _ idp.UserID, ask admin.PassOptions) (admin.Pass, error) {
			life := ask.Lifetime
			if life == 0 {
				life = time.Hour
			}
			return admin.Pass{ID: "p1", Code: "ABCD-EFGH", Expires: now.Add(life), Once: ask.Once == nil || *ask.Once}, nil
		},
		MintToken: func(_ context.Context, g admin.TokenGrant) (string, error) {
			return fmt.Sprintf("token for %s as %s until %s", g.Actor, g.Role, g.Expires.Format("15:04")), nil
		},
		SavePolicy: o.savePolicy,
		Preview: func(ctx context.Context, t idp.TenantID, next policy.Policy, opt policy.PreviewOptions) (policy.Impact, error) {
			old, err := o.policies.Get(ctx, t)
			if err != nil {
				return policy.Impact{}, err
			}
			return policy.Preview(ctx, old, next, o.people, opt)
		},
		CheckPolicy: func(_ context.Context, _ idp.TenantID, old, next policy.Policy) error { return o.lockOut(old, next) },
		RevokeUser: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, u idp.UserID) error {
			o.revoked = append(o.revoked, u)
			return nil
		},
		RevokeGrant: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, u idp.UserID, c idp.ClientID) error {
			o.taken = append(o.taken, string(u)+" "+string(c))
			return nil
		},
	})
	return o
}

// savePolicy saves as the corridor does, but for whom it locks out.
func (o *office) savePolicy(ctx context.Context, t idp.TenantID, old, next policy.Policy, e audit.Event) (saved policy.Policy, err error) {
	if err := o.lockOut(old, next); err != nil {
		return saved, err
	}
	next.Version = old.Version
	err = o.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := o.policies.Put(ctx, tx, t, next); err != nil {
			return err
		}
		if saved, err = o.policies.Load(ctx, tx, t); err != nil {
			return err
		}
		return o.log.Write(ctx, tx, e)
	})
	return saved, err
}

func (o *office) lockOut(old, next policy.Policy) error {
	if old.Methods[policy.Passkey].On && !next.Methods[policy.Passkey].On {
		return o.lock
	}
	return nil
}

// people are those that previews judge.
func (o *office) people(yield func(policy.Subject, error) bool) {
	for _, s := range o.subjects {
		if !yield(s, nil) {
			return
		}
	}
}

func each(t *testing.T, fn func(t *testing.T, o *office)) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) { fn(t, newOffice(t, db)) })
}

type fields map[string]any

func (o *office) try(op string, in fields) (json.RawMessage, error) {
	o.t.Helper()
	params, err := json.Marshal(in)
	if err != nil {
		o.t.Fatal(err)
	}
	return o.Do(o.t.Context(), "cli:root", op, params, nil)
}

// do does an operation and reads its result as an object.
func (o *office) do(op string, in fields) fields {
	o.t.Helper()
	raw, err := o.try(op, in)
	if err != nil {
		o.t.Fatalf("%s %v: %v", op, in, err)
	}
	var out fields
	if err := json.Unmarshal(raw, &out); err != nil {
		o.t.Fatalf("%s: %s: %v", op, raw, err)
	}
	return out
}

// list does an operation and reads one field of every row.
func (o *office) list(op string, in fields, field string) []string {
	o.t.Helper()
	raw, err := o.try(op, in)
	if err != nil {
		o.t.Fatalf("%s %v: %v", op, in, err)
	}
	var rows []fields
	if err := json.Unmarshal(raw, &rows); err != nil {
		o.t.Fatalf("%s: %s: %v", op, raw, err)
	}
	out := []string{}
	for _, row := range rows {
		out = append(out, fmt.Sprint(row[field]))
	}
	return out
}

func (o *office) refused(op string, in fields, want idp.Kind) {
	o.t.Helper()
	out, err := o.try(op, in)
	if !errors.Is(err, want) {
		o.t.Errorf("%s %v: got %s, %v, want %s", op, in, out, err, want)
	} else if idp.AsError(err).Public == "" {
		o.t.Errorf("%s %v: nothing to say to a person: %v", op, in, err)
	}
}

// events lists activities with outcome and user name, the oldest first.
func (o *office) events(tenant any) []string {
	o.t.Helper()
	all, err := o.log.List(o.t.Context(), o.db, idp.TenantID(fmt.Sprint(tenant)), audit.Filter{Limit: 999})
	if err != nil {
		o.t.Fatal(err)
	}
	slices.Reverse(all)
	var out []string
	for _, e := range all {
		if e.Actor != "cli:root" {
			o.t.Errorf("%s was done by %q", e.Activity, e.Actor)
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s", e.Activity, e.UserName)))
	}
	return out
}

func TestPeopleAndGroups(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.refused("user.list", fields{}, idp.NotFound) // no tenant yet
		tenant := o.do("tenant.create", fields{"name": "Nordhafen", "domain": "nordhafen.example"})
		ada := o.do("user.create", fields{"userPrincipalName": "ada@nordhafen.example", "displayName": "Ada Lindqvist", "role": "administrator"})
		if ada["role"] != "administrator" || ada["accountEnabled"] != true || ada["userType"] != "member" {
			t.Errorf("made %v", ada)
		}
		bob := o.do("user.create", fields{"tenant": "NORDHAFEN.example", "userPrincipalName": "bob@nordhafen.example", "displayName": "", "role": ""})
		o.do("tenant.addDomain", fields{"domain": "nordhafen.test"})
		if got := o.do("tenant.show", fields{"tenant": tenant["id"]}); fmt.Sprint(got["domains"]) != "[nordhafen.example nordhafen.test]" {
			t.Errorf("tenant: %v", got)
		}
		o.do("user.update", fields{"user": "bob@nordhafen.example", "userPrincipalName": "robert@nordhafen.test"})
		if got := o.do("user.show", fields{"user": bob["id"]}); got["userPrincipalName"] != "robert@nordhafen.test" {
			t.Errorf("renamed: %v", got)
		}
		o.do("group.create", fields{"displayName": "Drawing office"})
		o.do("group.addMember", fields{"group": "drawing OFFICE", "user": "robert@nordhafen.test"})
		if got := o.list("group.members", fields{"group": "Drawing office"}, "userPrincipalName"); fmt.Sprint(got) != "[robert@nordhafen.test]" {
			t.Errorf("members: %v", got)
		}
		o.do("group.removeMember", fields{"group": "Drawing office", "user": bob["id"]})
		o.do("group.delete", fields{"group": "Drawing office"})
		if got := o.do("user.disable", fields{"user": bob["id"]}); got["accountEnabled"] != false {
			t.Errorf("disabled: %v", got)
		}
		o.do("user.enable", fields{"user": bob["id"]})
		o.do("user.setRole", fields{"user": bob["id"], "role": "helpdesk"})
		o.do("session.revokeUser", fields{"user": bob["id"]})
		o.do("user.delete", fields{"user": bob["id"]})
		if len(o.revoked) != 3 { // disable, revoke, delete
			t.Errorf("what is open was ended %d times: %v", len(o.revoked), o.revoked)
		}
		for _, op := range []string{"user.disable", "user.delete"} {
			o.refused(op, fields{"user": ada["id"]}, idp.Denied)
		}
		o.refused("user.setRole", fields{"user": ada["id"], "role": ""}, idp.Denied)
		want := []string{
			"tenant.create", "user.create ada@nordhafen.example", "user.create bob@nordhafen.example", "tenant.addDomain", "user.update bob@nordhafen.example",
			"group.create", "group.addMember robert@nordhafen.test", "group.removeMember robert@nordhafen.test", "group.delete",
			"user.disable robert@nordhafen.test", "user.enable robert@nordhafen.test", "user.setRole robert@nordhafen.test",
			"session.revokeUser robert@nordhafen.test", "user.delete robert@nordhafen.test",
		}
		if diff := cmp.Diff(want, o.events(tenant["id"])); diff != "" {
			t.Errorf("the record (-want +got):\n%s", diff)
		}
	})
}

func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		a := o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		o.do("tenant.create", fields{"name": "B", "domain": "b.example"})
		o.do("user.create", fields{"tenant": "b.example", "userPrincipalName": "eve@b.example"})
		o.do("group.create", fields{"tenant": "b.example", "displayName": "Theirs"})
		o.do("app.create", fields{"tenant": "b.example", "displayName": "Wiki", "redirectUris": []string{"https://w.example/cb"}})
		before := len(o.events(a["id"]))
		for _, tt := range []struct {
			op   string
			in   fields
			want idp.Kind
		}{
			{"user.explode", nil, idp.Invalid},
			{"user.list", nil, idp.Invalid}, // which tenant?
			{"user.list", fields{"tenant": "c.example"}, idp.NotFound},
			{"user.list", fields{"tenant": "a.example", "password": "x"}, idp.Invalid},
			{"user.list", fields{"tenant": 7}, idp.Invalid},
			{"user.list", fields{"tenant": "a.example", "after": "nobody"}, idp.Conflict},
			{"group.list", fields{"tenant": "a.example", "after": "nobody"}, idp.Conflict},
			{"app.list", fields{"tenant": "a.example", "after": "nobody"}, idp.Conflict},
			{"tenant.create", fields{"name": "A", "domain": "a.example"}, idp.Conflict},
			{"tenant.create", fields{"name": "A", "domain": "c.example", "tenant": "a.example"}, idp.Invalid},
			{"user.create", fields{"tenant": "a.example", "userPrincipalName": "eve@b.example"}, idp.Invalid},
			{"user.create", fields{"tenant": "a.example", "userPrincipalName": "eve@a.example", "role": "root"}, idp.Invalid},
			{"user.show", fields{"tenant": "a.example"}, idp.Invalid},
			{"user.show", fields{"tenant": "a.example", "user": "eve@b.example"}, idp.NotFound},
			{"user.show", fields{"tenant": "a.example", "user": "x\x00"}, idp.NotFound},
			{"user.delete", fields{"tenant": "a.example", "user": "eve@b.example"}, idp.NotFound},
			{"group.members", fields{"tenant": "a.example", "group": "Theirs"}, idp.NotFound},
			{"group.delete", fields{"tenant": "a.example"}, idp.Invalid},
			{"app.show", fields{"tenant": "a.example", "app": "Wiki"}, idp.NotFound},
			{"app.show", fields{"tenant": "a.example"}, idp.Invalid},
			{"app.create", fields{"tenant": "a.example", "displayName": "X"}, idp.Invalid},
			{"app.create", fields{"tenant": "a.example", "displayName": "X", "redirectUris": []string{"https://x.example/"}, "acr": "gold"}, idp.Invalid},
			{"tap.issue", fields{"tenant": "a.example", "user": "eve@b.example"}, idp.NotFound},
			{"tap.issue", fields{"tenant": "b.example", "user": "eve@b.example", "lifetimeInMinutes": -1}, idp.Invalid},
			{"token", fields{"tenant": "a.example", "role": "root"}, idp.Invalid},
			{"token", fields{"tenant": "a.example", "lifetimeInMinutes": 11}, idp.Invalid},
			{"token", fields{"tenant": "a.example", "lifetimeInMinutes": -1}, idp.Invalid},
			{"token", fields{"tenant": "a.example", "lifetimeInMinutes": 1 << 40}, idp.Invalid},
			{"signing-key.rotate", fields{"tenant": "a.example", "alg": "none"}, idp.Invalid},
			{"policy.set", fields{"tenant": "a.example", "name": "passkey.limit", "value": "0"}, idp.Invalid},
			{"policy.set", fields{"tenant": "a.example", "name": "passkey.warnAt", "value": "21"}, idp.Invalid},
			{"policy.set", fields{"tenant": "a.example", "name": "nothing", "value": "0"}, idp.Invalid},
			{"session.revokeUser", fields{"tenant": "a.example", "user": "eve@b.example"}, idp.NotFound},
			{"audit.list", fields{"tenant": "a.example", "user": "eve@b.example"}, idp.NotFound},
		} {
			o.refused(tt.op, tt.in, tt.want)
		}
		for _, params := range []string{"[]", "7", `{"tenant":"a.example"} {}`, `{"tenant":`, "null x"} {
			if _, err := o.Do(t.Context(), "cli:root", "user.list", json.RawMessage(params), nil); !errors.Is(err, idp.Invalid) {
				t.Errorf("parameters %s: %v", params, err)
			}
		}
		// TOK08: what has more than one reading.
		for _, params := range []string{`{"tenant":"b.example","tenant":"a.example"}`, `{"TENANT":"a.example"}`, `{"tenant":"b.example","Tenant":"a.example"}`,
			`{"tenant":"b.example","t\u0065nant":"a.example"}`} {
			_, err := o.Do(t.Context(), "cli:root", "user.list", json.RawMessage(params), nil)
			if e := idp.AsError(err); e == nil || e.Reason != "bad_parameters" || e.Kind != idp.Invalid {
				t.Errorf("parameters %s: %v", params, err)
			}
		}
		if _, err := o.Do(t.Context(), "", "tenant.list", nil, nil); err == nil {
			t.Error("done for nobody")
		}
		if after := o.events(a["id"]); len(after) != before {
			t.Errorf("refused operations left events: %v", after[before:])
		}
	})
}

// When the audit cannot be written, nothing is changed (security.md LOG03).
func TestNoChangeWithoutRecord(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		o.do("user.create", fields{"userPrincipalName": "ada@a.example"})
		if _, err := o.db.Exec(t.Context(), `alter table audit_event rename to audit_away`); err != nil {
			t.Fatal(err)
		}
		defer func() { // the database may serve the next test
			if _, err := o.db.Exec(context.Background(), `alter table audit_away rename to audit_event`); err != nil {
				t.Error(err)
			}
		}()
		for op, in := range map[string]fields{
			"user.disable": {"user": "ada@a.example"}, "user.delete": {"user": "ada@a.example"}, "user.create": {"userPrincipalName": "bob@a.example"},
			"group.create": {"displayName": "G"}, "policy.set": {"name": "passkey.limit", "value": "16"}, "policy.apply": {"policy": "passkey: {limit: 17}"}, "token": {}, "signing-key.rotate": {},
			"user.import": {"csv": "userPrincipalName\nbob@a.example\n"}, "tenant.create": {"name": "B", "domain": "b.example"},
			"app.create": {"displayName": "X", "redirectUris": []string{"https://x.example/"}}, "tap.issue": {"user": "ada@a.example"},
		} {
			if out, err := o.try(op, in); err == nil {
				t.Errorf("%s was done without a record: %s", op, out)
			}
		}
		if got := o.list("user.list", fields{}, "accountEnabled"); fmt.Sprint(got) != "[true]" {
			t.Errorf("users: %v", got)
		}
		if got := o.list("signing-key.list", fields{}, "id"); len(got) != 0 {
			t.Errorf("keys: %v", got)
		}
		if got := o.list("tenant.list", fields{}, "domain"); fmt.Sprint(got) != "[a.example]" {
			t.Errorf("tenants: %v", got)
		}
	})
}

// Every operation that changes something leaves an event, and only those.
func TestEveryChangeIsOnRecord(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		tenant := o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		inputs := map[string]fields{
			"tenant.addDomain": {"domain": "b.example"}, "user.create": {"userPrincipalName": "ada@a.example"}, "user.update": {"user": "ada@a.example", "displayName": "Ada"},
			"user.disable": {"user": "ada@a.example"}, "user.enable": {"user": "ada@a.example"}, "user.setRole": {"user": "ada@a.example", "role": "helpdesk"},
			"user.import": {"csv": "userPrincipalName\nbob@a.example\n"}, "group.create": {"displayName": "G"}, "group.addMember": {"group": "G", "user": "ada@a.example"},
			"group.removeMember": {"group": "G", "user": "ada@a.example"}, "group.delete": {"group": "G"},
			"app.create": {"displayName": "X", "redirectUris": []string{"https://x.example/"}}, "app.update": {"app": "X", "scopes": []string{"read"}},
			"app.enable": {"app": "X"}, "app.disable": {"app": "X"}, "app.addSecret": {"app": "X"}, "app.dropSecret": {"app": "X"}, "app.delete": {"app": "X"},
			"tap.issue": {"user": "ada@a.example"}, "token": {}, "session.revokeUser": {"user": "ada@a.example"}, "signing-key.rotate": {},
			"policy.set": {"name": "passkey.limit", "value": "16"}, "policy.apply": {"policy": "passkey: {limit: 17}"},
			"device.disable": {"device": "ws-1"}, "device.enable": {"device": "ws-1"}, "device.rename": {"device": "ws-1", "displayName": "ws-2"},
			"device.remove": {"device": "ws-2"}, "key.clean": {"orphaned": true, "apply": true}, "key.restore": {"user": "ada@a.example", "id": "k1"},
			"phone.unblock": {"user": "ada@a.example"}, "user.delete": {"user": "ada@a.example"},
			"cert-authority.add": {"file": file(pkixtest.Root(t, "CA", now).Cert.Raw)}, "cert-authority.update": {"authority": "CA", "displayName": "Root"},
			"cert-authority.disable": {"authority": "Root"}, "cert-authority.enable": {"authority": "Root"}, "cert-authority.remove": {"authority": "Root"},
			"cert-authority.restore": {"authority": "Root"}, "mac.token.issue": {"macs": []fields{{"serialNumber": "C02A"}, {"serialNumber": "C02B"}}},
		}
		reads := map[string]fields{
			"tenant.list": {}, "tenant.show": {}, "user.list": {}, "user.show": {"user": "bob@a.example"}, "group.list": {}, "app.list": {},
			"signing-key.list": {}, "policy.show": {}, "policy.export": {}, "policy.plan": {"policy": "passkey: {limit: 18}"}, "audit.list": {},
			"device.list": {}, "device.show": {"device": "kept"}, "key.list": {}, "key.export": {}, "key.removed": {},
			"phone.list": {"user": "bob@a.example"}, "phone.show": {"user": "bob@a.example"}, "phone.test": {"user": "bob@a.example"},
			"mac.list": {}, "mac.token.list": {}, "mac.profile": {}, "cert-authority.list": {}, "cert-authority.show": {"authority": "Root"}, "certificate.explain": {"file": file(pkixtest.Root(t, "CA", now).Cert.Raw)},
		}
		order := []string{"tenant.addDomain", "user.create", "user.update", "user.disable", "user.enable", "user.setRole", "user.import", "group.create",
			"group.addMember", "group.removeMember", "group.delete", "app.create", "app.update", "app.enable", "app.disable", "app.addSecret", "app.dropSecret", "app.delete",
			"tap.issue", "token", "session.revokeUser", "signing-key.rotate", "policy.set", "policy.apply",
			"device.disable", "device.enable", "device.rename", "device.remove", "key.clean", "key.restore", "phone.unblock", "user.delete", "mac.token.issue",
			"cert-authority.add", "cert-authority.update", "cert-authority.disable", "cert-authority.enable", "cert-authority.remove", "cert-authority.restore"}
		for _, op := range order {
			if op == "device.disable" {
				ada, err := o.dir.UserByName(t.Context(), o.db, idp.TenantID(tenant["id"].(string)), "ada@a.example")
				if err != nil {
					t.Fatal(err)
				}
				o.keys.user, o.phones.user, o.phones.blocked = ada.ID, ada.ID, true
				o.join(ada.Tenant, ada.ID, "ws-1")
				o.join(ada.Tenant, ada.ID, "kept")
			}
			before := len(o.events(tenant["id"]))
			if _, err := o.try(op, inputs[op]); err != nil {
				t.Fatalf("%s: %v", op, err)
			}
			if after := o.events(tenant["id"]); len(after) == before || !strings.HasPrefix(after[before], op) {
				t.Errorf("%s left %v", op, after[before:])
			}
		}
		bob, err := o.dir.UserByName(t.Context(), o.db, idp.TenantID(tenant["id"].(string)), "bob@a.example")
		if err != nil {
			t.Fatal(err)
		}
		o.phones.user, o.phones.phones = bob.ID, []phone.Phone{{ID: "p1"}}
		for op, in := range reads {
			before := len(o.events(tenant["id"]))
			if _, err := o.try(op, in); err != nil {
				t.Fatalf("%s: %v", op, err)
			}
			if after := o.events(tenant["id"]); len(after) != before {
				t.Errorf("%s, which only looks, left %v", op, after[before:])
			}
		}
		elsewhere := []string{"tenant.create", "group.members", "app.show", "metadata.status", "metadata.load", "metadata.refresh", "metadata.search",
			"user.consents", "user.revokeConsent", "key.beginProvision", "key.finishProvision", "phone.remove", "mac.token.revoke", "mac.profile", "cert-authority.refresh", "cert-authority.endSessions",
			"kek.status", "kek.add", "kek.rewrap", "kek.finish"} // in the tests above and below
		for _, op := range admin.Operations() {
			_, changes := inputs[op]
			_, looks := reads[op]
			if !changes && !looks && !slices.Contains(elsewhere, op) {
				t.Errorf("%s is tried by no test: say whether it changes something", op)
			}
		}
	})
}

func TestApps(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		tenant := o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		made := o.do("app.create", fields{
			"displayName": "Wiki", "kind": "web", "auth": "", "alg": "", "acr": "phr", "redirectUris": []string{"https://wiki.example/cb"},
			"postLogoutRedirectUris": nil, "grants": nil, "scopes": nil, "firstParty": false,
		})
		shown := fmt.Sprint(made["secret"])
		if len(shown) != 43 || made["auth"] != "secret" || fmt.Sprint(made["grants"]) != "[authorization_code refresh_token]" {
			t.Errorf("made %v", made)
		}
		got := o.do("app.show", fields{"app": "wiki"})
		if got["secret"] != nil || got["id"] != made["id"] || got["secrets"] != 1.0 {
			t.Errorf("shown %v", got)
		}
		second := o.do("app.addSecret", fields{"app": made["id"]})
		if second["secret"] == shown || len(fmt.Sprint(second["secret"])) != 43 || second["secrets"] != 2.0 {
			t.Errorf("second secret: %v", second)
		}
		if got := o.do("app.disable", fields{"app": made["id"]}); got["enabled"] != false {
			t.Errorf("disabled: %v", got)
		}
		if got := o.do("app.update", fields{"app": made["id"], "responseModes": []string{"fragment"}}); fmt.Sprint(got["responseModes"]) != "[fragment]" {
			t.Errorf("response modes: %v", got)
		}
		public := o.do("app.update", fields{"app": made["id"], "auth": "none"})
		if public["secrets"] != 0.0 || public["acr"] != "phr" {
			t.Errorf("public: %v", public)
		}
		again := o.do("app.update", fields{"app": made["id"], "auth": "secret"})
		if again["secrets"] != 1.0 || len(fmt.Sprint(again["secret"])) != 43 {
			t.Errorf("confidential again: %v", again)
		}
		o.refused("app.update", fields{"app": made["id"], "redirectUris": []string{"http://evil.example/"}}, idp.Invalid)
		raw, err := o.log.List(t.Context(), o.db, idp.TenantID(fmt.Sprint(tenant["id"])), audit.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(raw); strings.Contains(text, shown) || strings.Contains(text, fmt.Sprint(second["secret"])) {
			t.Error("a secret is in the audit")
		}
	})
}

func TestPassTokenPolicyKeys(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		tenant := o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		o.do("user.create", fields{"userPrincipalName": "ada@a.example"})
		pass := o.do("tap.issue", fields{"user": "ada@a.example", "lifetimeInMinutes": 480, "isUsableOnce": false})
		if pass["temporaryAccessPass"] != "ABCD-EFGH" || pass["expires"] != "2026-11-23T17:00:00Z" || pass["isUsableOnce"] != false || pass["userPrincipalName"] != "ada@a.example" {
			t.Errorf("pass: %v", pass)
		}
		if got := o.do("token", fields{"role": ""}); got["token"] != "token for cli:root as reader until 09:10" || got["role"] != "reader" {
			t.Errorf("token: %v", got)
		}
		if got := o.do("token", fields{"role": "administrator", "lifetimeInMinutes": 2}); got["token"] != "token for cli:root as administrator until 09:02" {
			t.Errorf("token: %v", got)
		}
		if got := o.do("policy.set", fields{"name": "passkey.limit", "value": "16"}); got["value"] != "16" {
			t.Errorf("set: %v", got)
		}
		names, values := o.list("policy.show", fields{}, "name"), o.list("policy.show", fields{}, "value")
		if i := slices.Index(names, "passkey.limit"); i < 0 || values[i] != "16" || !slices.IsSorted(names) {
			t.Errorf("policy: %v %v", names, values)
		}
		if got := o.list("signing-key.rotate", fields{}, "alg"); fmt.Sprint(got) != "[ES256]" {
			t.Errorf("the first key: %v", got)
		}
		o.list("signing-key.rotate", fields{"alg": "RS256"}, "id")
		o.list("signing-key.rotate", fields{"now": true}, "id")
		if got := o.list("signing-key.list", fields{}, "alg"); len(got) < 2 {
			t.Errorf("keys: %v", got)
		}
		text, err := o.try("audit.list", fields{"tenant": tenant["id"]})
		if err != nil || strings.Contains(string(text), "ABCD-EFGH") || strings.Contains(string(text), "token for") {
			t.Errorf("audit tells a secret, or %v: %s", err, text)
		}
		if got := o.list("audit.list", fields{"user": "ada@a.example", "limit": 1}, "activity"); fmt.Sprint(got) != "[tap.issue]" {
			t.Errorf("audit of ada: %v", got)
		}
	})
}

func TestListPaging(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		var csv strings.Builder
		csv.WriteString("userPrincipalName\n")
		for i := range 25 {
			fmt.Fprintf(&csv, "u%d@a.example\n", i)
		}
		if got := o.do("user.import", fields{"csv": csv.String(), "dryRun": true}); got["created"] != 25.0 || got["rows"] != 25.0 {
			t.Errorf("dry run: %v", got)
		}
		if got := o.list("user.list", fields{}, "id"); len(got) != 0 {
			t.Fatalf("a dry run made %d users", len(got))
		}
		if got := o.do("user.import", fields{"csv": csv.String()}); got["created"] != 25.0 || got["bad"] != nil {
			t.Errorf("import: %v", got)
		}
		seen := make(map[string]bool)
		after := ""
		for {
			page := o.list("user.list", fields{"limit": 10, "after": after}, "id")
			for _, id := range page {
				seen[id] = true
			}
			if len(page) < 10 {
				break
			}
			after = page[len(page)-1]
		}
		if len(seen) != 25 {
			t.Errorf("walked %d users", len(seen))
		}
		got := o.do("user.import", fields{"csv": csv.String()})
		if bad, _ := got["bad"].([]any); got["created"] != 0.0 || len(bad) != 25 {
			t.Errorf("the same again: %v", got)
		}
	})
}

// FuzzDo: no parameters panic or end in an error that is not ours.
func FuzzDo(f *testing.F) {
	for _, op := range admin.Operations() {
		f.Add(op, `{"tenant":"a.example","user":"ada@a.example","group":"G","app":"X","name":"passkey.limit","value":"1"}`)
		f.Add(op, `{"user":"x\u0000","csv":"userPrincipalName\n\u0000","limit":-1}`)
	}
	f.Add("user.create", `{"userPrincipalName":"b@a.example","userType":"guest"}`)
	db := sqldbtest.Open(f, sources)
	o := newOffice(nil, db)
	for _, op := range []string{"tenant.create"} {
		if _, err := o.Do(context.Background(), "cli:root", op, json.RawMessage(`{"name":"A","domain":"a.example"}`), nil); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, op, params string) {
		_, err := o.Do(t.Context(), "cli:root", op, json.RawMessage(params), nil)
		if k := idp.AsError(err); k != nil && (k.Kind == idp.Internal || k.Kind == idp.Unavailable) {
			t.Errorf("%s %q: %v", op, params, err)
		}
	})
}

// A policy that locks administrators out is not saved.
func TestPolicyLocksOut(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		o.lock = idp.Deniedf("locks_out_administrators", "none left").Say("Not saved.")
		off := fields{"name": "method.passkey", "value": "false"}
		o.refused("policy.set", off, idp.Denied)
		shown := func() string {
			names, values := o.list("policy.show", fields{}, "name"), o.list("policy.show", fields{}, "value")
			return values[slices.Index(names, "method.passkey")]
		}
		if got := shown(); got != "true" {
			t.Errorf("refused, and saved as %s", got)
		}
		o.lock = nil
		o.do("policy.set", off)
		if got := shown(); got != "false" {
			t.Errorf("saved as %s", got)
		}
	})
}
