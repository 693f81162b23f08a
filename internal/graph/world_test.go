package graph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/graph"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

var sources = []fs.FS{audit.Migrations, directory.Migrations, client.Migrations, policy.Migrations, keyring.Migrations,
	nonce.Migrations, session.Migrations, token.Migrations, signin.Migrations, device.Migrations, hello.Migrations, platform.Migrations, trust.Migrations}

const base = "https://signet.example"

// Models of keys that the world knows.
const (
	yubikey  = "cb69481e-8ff7-4039-93ec-0a2729a154a8"
	nitrokey = "a25342c0-3cdc-4414-8e46-f4807fca511c"
)

var models = map[string]string{yubikey: "YubiKey 5 Series", nitrokey: "YubiKey 5 Series with NFC"}

// world is the door over the real registries, with a room of stand-in
// credentials.
type world struct {
	rules    *policy.Store
	t        testing.TB
	db       *sqldb.DB
	now      time.Time
	tenant   idp.Tenant
	ada      idp.User // a Global Administrator
	bob      idp.User // the help desk
	eve      idp.User // nobody special
	app      client.Client
	dir      *directory.Directory
	clients  *client.Registry
	tokens   *token.Service
	audit    *audit.Log
	keys     *shelf
	phones   *shelf
	devices  *device.Registry
	trust    *trust.Store
	hello    *hello.Room
	macs     *platform.Room
	corridor *signin.Corridor
	tokensOn map[idp.DeviceID]int // PRTs that stand on a device
	signedOn map[idp.DeviceID][]idp.UserID
	handler  http.Handler
	revoked  []idp.UserID
	apps     int // how many were made

	devicesOff bool
}

func newWorld(t testing.TB, db *sqldb.DB) *world { return newWorldWith(t, db, nil) }

// newWorldWith has the passkey room that rooms makes in the place of the shelf.
func newWorldWith(t testing.TB, db *sqldb.DB, room func(*world, *policy.Store, *keyring.Ring) method.Method) *world {
	t.Helper()
	w := &world{t: t, db: db, now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	epoch := func() int64 { return 1 }
	w.audit = audit.New(clock)
	w.dir = directory.New(directory.Config{DB: db, Now: clock})
	w.clients = client.New(client.Config{DB: db, Now: clock, Devices: func(context.Context, idp.TenantID) (client.Devices, error) {
		return client.Devices{On: !w.devicesOff}, nil
	}})
	known := func() map[string]string { return models }
	policies := policy.New(policy.Config{DB: db, Now: clock, Models: known, Groups: w.dir.GroupsOf})
	w.rules = policies
	ring := keyring.New(keyring.Config{DB: db, KEK: secret.RandomKey(), Now: clock})
	w.tokens = token.New(token.Config{DB: db, Keys: ring, Audit: w.audit, Now: clock, Epoch: epoch, User: w.dir.User,
		Issuer: func(id idp.TenantID) string { return base + "/" + string(id) + "/v2.0" }})
	w.keys, w.phones = &shelf{}, &shelf{}
	keys := method.Method(w.keys)
	if room != nil {
		keys = room(w, policies, ring)
	}
	w.devices = device.New(device.Config{DB: db, Keys: ring.Sealing, Now: clock})
	w.hello, w.macs = w.helloRoom(policies), w.macRoom(policies)
	corridor, err := signin.New(signin.Config{DB: db, Directory: w.dir, Clients: w.clients, Policies: policies, Audit: w.audit, Now: clock,
		Box: nonce.New(nonce.Config{Keys: ring.Sealing, Epoch: epoch, Now: clock}),
		Sessions: session.New(session.Config{DB: db, Now: clock, Epoch: epoch, Limits: func(context.Context, idp.TenantID) (time.Duration, time.Duration, error) {
			return time.Hour, 24 * time.Hour, nil
		}}), Methods: []method.Method{keys, w.hello, w.macs, passes{&shelf{}}, pockets{w.phones}, badges{&shelf{}}}})
	if err != nil {
		t.Fatal(err)
	}
	w.corridor = corridor
	w.devices.OnRemove(w.hello.OnDeviceRemoved)
	w.devices.OnRemove(w.macs.OnDeviceRemoved)
	w.devices.OnRemove(corridor.CheckDevice)
	w.devices.OnDisable(corridor.CheckDevice)
	w.trust = trust.New(trust.Config{DB: db, Now: clock})
	door := graph.New(graph.Config{
		BaseURL: base, DB: db, Directory: w.dir, Clients: w.clients, Audit: w.audit, Tokens: w.tokens, Corridor: corridor, Now: clock,
		Policies: policies, Models: known, Devices: w.devices, Hygiene: w.keeper(policies), OnDevice: w.standing, Trust: w.trust,
		PreparePass: func(context.Context, idp.TenantID) error { return nil },
		IssuePass: func(_ context.Context, _ *sqldb.Tx, t idp.TenantID, u idp.UserID, life time.Duration, _ *bool) (string, method.Credential, error) {
			return "ABCD-EFGH-IJKL", method.Credential{ID: "pass-1", Tenant: t, User: u, Method: policy.AccessPass, Created: w.now, Expires: w.now.Add(max(life, time.Hour))}, nil
		},
		RevokeUser: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, u idp.UserID) error {
			w.revoked = append(w.revoked, u)
			return nil
		},
	})
	w.handler = web.Chain(door.Around(http.NotFoundHandler()), web.Identify(nil))
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		w.tenant, err = w.dir.CreateTenant(ctx, tx, idp.Tenant{Name: "Nordhafen", Domain: "nordhafen.example"})
		return err
	})
	w.ada, w.bob, w.eve = w.newUser("ada", directory.Administrator), w.newUser("bob", directory.Helpdesk), w.newUser("eve", "")
	w.app = w.newApp("User.Read", "User.Read.All", "User.ReadWrite.All", "Group.ReadWrite.All", "AuditLog.Read.All", "Organization.Read.All", "Domain.Read.All",
		"UserAuthenticationMethod.Read", "UserAuthenticationMethod.ReadWrite.All", "User.RevokeSessions.All", "Policy.ReadWrite.AuthenticationMethod",
		"Device.ReadWrite.All", "Policy.ReadWrite.DeviceConfiguration", "PublicKeyInfrastructure.ReadWrite.All", "Organization.ReadWrite.All")
	return w
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

func (w *world) write(fn func(context.Context, *sqldb.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) newUser(name, role string) (u idp.User) {
	w.t.Helper()
	w.now = w.now.Add(time.Millisecond) // lists are in the order of making
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		u, err = w.dir.CreateUser(ctx, tx, idp.User{Tenant: w.tenant.ID, Name: name + "@nordhafen.example", DisplayName: strings.ToUpper(name[:1]) + name[1:], Enabled: true, Type: idp.Member})
		if err == nil && role != "" {
			err = w.dir.SetRole(ctx, tx, w.tenant.ID, u.ID, role)
		}
		return err
	})
	return u
}

func (w *world) newApp(permissions ...string) (c client.Client) {
	w.t.Helper()
	w.apps++
	for i, p := range permissions {
		permissions[i] = base + "/" + p
	}
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		c, _, err = w.clients.Create(ctx, tx, client.Client{Tenant: w.tenant.ID, Name: fmt.Sprint("Console ", w.apps), Kind: client.Web, RedirectURIs: []string{"https://console.example/cb"},
			Grants: []string{client.GrantCode, client.GrantCredentials}, Auth: client.AuthSecret, Alg: "ES256", Subject: client.SubjectPublic, FirstParty: true, Enabled: true,
			Scopes: permissions})
		return err
	})
	return c
}

// bearer is a delegated token of u for all that the app may do; change edits
// what it states.
func (w *world) bearer(u idp.User, change ...func(*token.Subject)) string {
	w.t.Helper()
	sub := token.Subject{Tenant: w.tenant.ID, User: u, Session: "s", Client: w.app, Scopes: w.app.Scopes, Audience: base, AuthTime: w.now, ACR: "phr"}
	for _, fn := range change {
		fn(&sub)
	}
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		sub.Family, err = w.tokens.OpenFamily(ctx, tx, sub, token.CodeID(secret.Bytes(16)))
		return err
	})
	jwt, _, err := w.tokens.Access(context.Background(), sub)
	if err != nil {
		w.t.Fatal(err)
	}
	return jwt
}

// byDevice is a token of u as the broker of a device has it for the directory.
func (w *world) byDevice(u idp.User, change ...func(*token.Subject)) string {
	w.t.Helper()
	broker, err := w.clients.Get(w.t.Context(), w.tenant.ID, client.Broker)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.bearer(u, append([]func(*token.Subject){func(s *token.Subject) {
		s.Client, s.Audience, s.Scopes = broker, client.DirectoryAPI, []string{"openid", client.DefaultScope(client.DirectoryAPI)}
	}}, change...)...)
}

// own is a token of an application for itself.
func (w *world) own(c client.Client) string {
	w.t.Helper()
	jwt, _, err := w.tokens.ClientAccess(context.Background(), c, base, c.Scopes)
	if err != nil {
		w.t.Fatal(err)
	}
	return jwt
}

// cli is a token as `signet admin token` prints one.
func (w *world) cli(role string) string {
	w.t.Helper()
	jwt, _, err := w.tokens.Administration(context.Background(), w.tenant.ID, "cli:root", []string{role}, 10*time.Minute)
	if err != nil {
		w.t.Fatal(err)
	}
	return jwt
}

type answer struct {
	*httptest.ResponseRecorder
	body map[string]any
}

// ask sends a request; body may be nil.
func (w *world) ask(bearer, verb, path string, body any, headers ...string) answer {
	w.t.Helper()
	var raw []byte
	if body != nil {
		raw, _ = json.Marshal(body)
	}
	req := httptest.NewRequest(verb, base+path, bytes.NewReader(raw))
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, req)
	a := answer{ResponseRecorder: rec}
	if text, _ := io.ReadAll(bytes.NewReader(rec.Body.Bytes())); len(text) > 0 && text[0] == '{' {
		if err := json.Unmarshal(text, &a.body); err != nil {
			w.t.Fatalf("%s %s: %s: %v", verb, path, text, err)
		}
	}
	return a
}

// want holds status and, of an error, Graph's word.
func (a answer) want(t testing.TB, status int, code string) answer {
	t.Helper()
	got := ""
	if e, ok := a.body["error"].(map[string]any); ok {
		got, _ = e["code"].(string)
	}
	if a.Code != status || got != code {
		t.Fatalf("got %d %s: %s, want %d %s", a.Code, got, a.Body, status, code)
	}
	return a
}

// column reads one property of every object of a list.
func (a answer) column(t testing.TB, name string) []string {
	t.Helper()
	items, ok := a.body["value"].([]any)
	if !ok {
		t.Fatalf("no list: %s", a.Body)
	}
	var out []string
	for _, i := range items {
		s, _ := i.(map[string]any)[name].(string)
		out = append(out, s)
	}
	return out
}

// shelf is a room that holds credentials which nobody can sign in with.
type shelf struct{ held []method.Credential }

func (*shelf) ID() idp.MethodID { return "passkey" }
func (*shelf) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, nil
}
func (*shelf) Verify(context.Context, method.Answer) (method.Verdict, error) {
	return method.Verdict{}, idp.Unprovenf("shelf", "nothing to verify")
}
func (s *shelf) Shape() method.Shape {
	return method.Shape{Collection: "fido2Methods", Type: "fido2AuthenticationMethod", Fields: func(c method.Credential) map[string]any {
		return map[string]any{"displayName": c.Name}
	}}
}
func (s *shelf) List(_ context.Context, t idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	return slices.DeleteFunc(slices.Clone(s.held), func(c method.Credential) bool { return c.Tenant != t || c.User != u }), nil
}
func (*shelf) Rename(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID, string) error {
	return nil
}
func (s *shelf) Remove(_ context.Context, _ *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	for i, c := range s.held {
		if c.Tenant == t && c.User == u && c.ID == id {
			s.held = slices.Delete(slices.Clone(s.held), i, i+1)
			return nil
		}
	}
	return idp.NotFoundf("gone", "%s", id)
}
func (s *shelf) Count(ctx context.Context, _ *sqldb.Tx, t idp.TenantID, u idp.UserID) (int, error) {
	all, err := s.List(ctx, t, u)
	return len(all), err
}
func (s *shelf) Walk(_ context.Context, _ idp.TenantID, fn func(method.Credential) error) error {
	for _, c := range s.held {
		if err := fn(c); err != nil {
			return err
		}
	}
	return nil
}

// passes is a room whose credentials nobody holds.
type passes struct{ *shelf }

func (passes) ID() idp.MethodID { return policy.AccessPass }
func (passes) List(context.Context, idp.TenantID, idp.UserID) ([]method.Credential, error) {
	return nil, nil
}
func (passes) Shape() method.Shape {
	return method.Shape{Collection: "temporaryAccessPassMethods", Type: "temporaryAccessPassAuthenticationMethod", Fields: func(c method.Credential) map[string]any {
		return map[string]any{"lifetimeInMinutes": int(c.Expires.Sub(c.Created) / time.Minute)}
	}}
}

// badges is a room of certificates that nobody has.
type badges struct{ *shelf }

func (badges) ID() idp.MethodID { return policy.Certificate }

// pockets is a room of phones that nobody can be asked on.
type pockets struct{ *shelf }

func (pockets) ID() idp.MethodID { return policy.Phone }
func (pockets) Shape() method.Shape {
	return method.Shape{Collection: "microsoftAuthenticatorMethods", Type: "microsoftAuthenticatorAuthenticationMethod", Fields: func(c method.Credential) map[string]any {
		return map[string]any{"displayName": c.Name, "deviceTag": "SoftwareTokenActivated", "phoneAppVersion": "1.0"}
	}}
}
