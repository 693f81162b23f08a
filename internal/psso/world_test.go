package psso_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/broker"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/psso"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

const base = "https://id.example"

var sources = []fs.FS{
	audit.Migrations, bus.Migrations, directory.Migrations, client.Migrations, policy.Migrations, keyring.Migrations,
	nonce.Migrations, token.Migrations, session.Migrations, signin.Migrations, device.Migrations, prt.Migrations,
	mac.Migrations, platform.Migrations, certificate.Migrations, trust.Migrations,
}

// node is one server over a database: the door for Macs and what is below it.
type node struct {
	db        *sqldb.DB
	notices   *bus.Bus
	handler   http.Handler
	mux       *http.ServeMux
	causes    *causes
	audit     *audit.Log
	keys      *keyring.Ring
	directory *directory.Directory
	clients   *client.Registry
	policies  *policy.Store
	devices   *device.Registry
	macs      *mac.Registry
	box       *nonce.Box
	sessions  *session.Store
	tokens    *token.Service
	prts      *prt.Service
	trust     *trust.Store
	platform  *platform.Room
	cards     *certificate.Room
	corridor  *signin.Corridor
	door      *psso.Server
	clock     *clock
}

// clock is the time of a world: moved by tests, and shared by its nodes.
type clock struct {
	ahead atomic.Int64
	asked atomic.Pointer[func(by string)] // told who asks for the time
}

// when runs fn once, when a function of that name next asks for the time.
func (c *clock) when(name string, fn func()) {
	var told func(string)
	told = func(by string) {
		if strings.HasSuffix(by, name) && c.asked.CompareAndSwap(&told, nil) {
			fn()
		}
	}
	c.asked.Store(&told)
}

func (c *clock) now() time.Time {
	if fn := c.asked.Load(); fn != nil {
		var by [1]uintptr
		runtime.Callers(2, by[:])
		frame, _ := runtime.CallersFrames(by[:]).Next()
		(*fn)(frame.Function)
	}
	return time.Now().Add(time.Duration(c.ahead.Load())).UTC()
}

// world is a node, two tenants with devices on, and two people of the first.
type world struct {
	*node
	t             testing.TB
	kek           *secret.Key
	change        []func(*psso.Config)
	tenant, other idp.Tenant
	ada, bob      idp.User
}

// each runs fn on both databases.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

// lite is a world on SQLite, for what has nothing to do with the database.
func lite(t testing.TB, change ...func(*psso.Config)) *world {
	return newWorld(t, sqldbtest.Open(t, sources), change...)
}

func newWorld(t testing.TB, db *sqldb.DB, change ...func(*psso.Config)) *world {
	t.Helper()
	w := &world{t: t, kek: secret.RandomKey(), change: change}
	w.node = newNode(t, db, w.kek, &clock{}, nil, change...)
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if w.tenant, err = w.directory.CreateTenant(ctx, tx, idp.Tenant{Name: "Nordhafen", Domain: "nordhafen.example"}); err != nil {
			return err
		}
		w.other, err = w.directory.CreateTenant(ctx, tx, idp.Tenant{Name: "Westwerk", Domain: "westwerk.example"})
		return err
	})
	w.ada, w.bob = w.person(w.tenant, "ada"), w.person(w.tenant, "bob")
	for _, id := range []idp.TenantID{w.tenant.ID, w.other.ID} {
		w.policyOf(id, func(p *policy.Policy) {
			p.Devices.On = true
			p.Switch(policy.Platform, true)
		})
	}
	return w
}

// person makes somebody.
func (w *world) person(t idp.Tenant, name string) (u idp.User) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		u, err = w.directory.CreateUser(ctx, tx, idp.User{
			Tenant: t.ID, Name: name + "@" + t.Domain, DisplayName: name, Enabled: true, Type: idp.Member})
		return err
	})
	return u
}

// again is another server over the same database, with caches of its own.
func (w *world) again() *node {
	notices := w.notices
	if w.db.Dialect() != sqldb.SQLite { // there all is one process, with one bus
		notices = nil
	}
	return newNode(w.t, w.db, w.kek, w.clock, notices, w.change...)
}

// newNode makes a server with a bus of its own, unless it is given one.
func newNode(t testing.TB, db *sqldb.DB, kek *secret.Key, c *clock, notices *bus.Bus, change ...func(*psso.Config)) *node {
	t.Helper()
	n := &node{db: db, clock: c}
	if notices == nil {
		notices = bus.New(db, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); notices.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
	}
	n.notices = notices
	n.audit = audit.New(c.now)
	n.keys = keyring.New(keyring.Config{DB: db, KEK: kek, Now: c.now, Bus: notices})
	n.directory = directory.New(directory.Config{DB: db, Now: c.now, Bus: notices})
	n.policies = policy.New(policy.Config{DB: db, Now: c.now, Bus: notices, Groups: n.directory.GroupsOf})
	n.clients = client.New(client.Config{DB: db, Now: c.now, Bus: notices, Devices: func(ctx context.Context, id idp.TenantID) (client.Devices, error) {
		p, err := n.policies.Get(ctx, id)
		return client.Devices{On: p.Devices.On}, err
	}})
	n.devices = device.New(device.Config{DB: db, Keys: n.keys.Sealing, Now: c.now, Bus: notices})
	n.macs = mac.New(mac.Config{DB: db, Devices: n.devices, Keys: n.keys.Sealing, Now: c.now, Bus: notices})
	n.outcomes()
	n.rooms(t)
	var err error
	n.corridor, err = signin.New(signin.Config{DB: db, Box: n.box, Directory: n.directory, Clients: n.clients, Policies: n.policies,
		Sessions: n.sessions, Audit: n.audit, Now: c.now, Methods: []method.Method{n.platform, n.cards}, RevokeStanding: n.prts.RevokeStanding})
	if err != nil {
		t.Fatal(err)
	}
	n.follow()
	cfg := psso.Config{BaseURL: base, DB: db, Directory: n.directory, Clients: n.clients, Policies: n.policies, Devices: n.devices, Macs: n.macs,
		Keys: n.keys, PRTs: n.prts, Sessions: n.sessions, Tokens: n.tokens, Corridor: n.corridor, Box: n.box, Audit: n.audit, Now: c.now,
		Limits: psso.Limits{Nonces: 1 << 20, Failures: 1 << 20, Asks: 1 << 20, Unlocks: 1 << 20}}
	for _, f := range change {
		f(&cfg)
	}
	n.door = psso.New(cfg)
	mux := http.NewServeMux()
	n.door.Mount(mux)
	n.mux, n.causes = mux, &causes{}
	n.handler = web.Chain(mux, web.Identify(nil), web.Headers(true), web.Log(slog.New(n.causes), web.NewMetrics(prometheus.NewRegistry())))
	return n
}

// causes is a log that remembers of each answer, by its trace, why it was
// refused: what is told has one body for many reasons.
type causes struct{ all sync.Map }

func (c *causes) Enabled(context.Context, slog.Level) bool { return true }
func (c *causes) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *causes) WithGroup(string) slog.Handler            { return c }

// Handle implements slog.Handler.
func (c *causes) Handle(_ context.Context, r slog.Record) error {
	trace, cause := "", ""
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "trace":
			trace = a.Value.String()
		case "cause":
			cause = a.Value.String()
		}
		return true
	})
	c.all.Store(trace, cause)
	return nil
}

// issuer is a tenant's.
func issuer(id idp.TenantID) string { return base + "/" + string(id) + "/v2.0" }

// outcomes are what a sign-in leads to.
func (n *node) outcomes() {
	epoch := func() int64 { return 1 }
	stands := func(ctx context.Context, q sqldb.Querier, id idp.TenantID, p idp.SessionID, d idp.DeviceID) error {
		return broker.Stands(ctx, q, n.devices, n.prts, id, p, d)
	}
	n.box = nonce.New(nonce.Config{Keys: n.keys.Sealing, Epoch: epoch, Now: n.clock.now})
	n.sessions = session.New(session.Config{DB: n.db, Now: n.clock.now, Epoch: epoch, Secure: true,
		Limits: func(ctx context.Context, id idp.TenantID) (time.Duration, time.Duration, error) {
			p, err := n.policies.Get(ctx, id)
			return p.Session.Idle, p.Session.Absolute, err
		},
		Stands: func(ctx context.Context, q sqldb.Querier, id idp.TenantID, p idp.SessionID, d idp.DeviceID) (bool, error) {
			return stands(ctx, q, id, p, d) == nil, nil
		}})
	n.tokens = token.New(token.Config{DB: n.db, Keys: n.keys, Audit: n.audit, Now: n.clock.now, Epoch: epoch, Issuer: issuer, User: n.directory.User, Stands: stands})
	n.prts = prt.New(prt.Config{DB: n.db, Bus: n.notices, Keys: n.keys, Audit: n.audit, Now: n.clock.now, Epoch: epoch, OnEnd: n.tokens.RevokeSession,
		Lives: func(ctx context.Context, id idp.TenantID) (time.Duration, time.Duration, error) {
			p, err := n.policies.Get(ctx, id)
			return p.Devices.Idle, p.Devices.Absolute, err
		}})
}

// follow lets everything go with what it belongs to, as app does.
func (n *node) follow() {
	n.devices.OnDisable(n.prts.RevokeDevice)
	n.devices.OnRemove(n.prts.RevokeDevice)
	n.devices.OnRemove(n.macs.OnDeviceRemoved)
	n.devices.OnRemove(n.platform.OnDeviceRemoved)
	n.macs.OnReplace(n.prts.RevokeDevice)
	n.directory.OnRemoveUser(n.prts.RemoveUser)
	n.directory.OnRemoveUser(n.macs.RemoveUser)
	n.directory.OnRemoveUser(n.platform.RemoveUser)
}

func (n *node) rooms(t testing.TB) {
	user := func(ctx context.Context, id idp.TenantID, u idp.UserID) (idp.User, error) {
		return n.directory.User(ctx, n.db, id, u)
	}
	var err error
	n.platform, err = platform.New(platform.Config{DB: n.db, Now: n.clock.now, Bus: n.notices, User: user,
		UserByName: func(ctx context.Context, id idp.TenantID, name string) (idp.User, error) {
			return n.directory.UserByName(ctx, n.db, id, name)
		},
		Limit: func(ctx context.Context, id idp.TenantID) (int, error) {
			p, err := n.policies.Get(ctx, id)
			return p.Platform.Limit, err
		},
		Device: func(ctx context.Context, tx *sqldb.Tx, id idp.TenantID, d idp.DeviceID) (platform.Machine, error) {
			got, err := n.machine(ctx, tx, id, d)
			return platform.Machine{Name: got.Name, Enabled: got.Enabled, Pending: !got.Pending.IsZero()}, err
		},
		Claim: func(ctx context.Context, tx *sqldb.Tx, id idp.TenantID, d idp.DeviceID, key crypto.PublicKey) error {
			return n.devices.Claim(ctx, tx, id, d, key, "platform")
		},
		Release: func(ctx context.Context, tx *sqldb.Tx, id idp.TenantID, key crypto.PublicKey) error {
			return n.devices.Release(ctx, tx, id, key, "platform")
		},
		Replaced: func(ctx context.Context, tx *sqldb.Tx, id idp.TenantID, u idp.UserID, c idp.CredentialID) error {
			return n.prts.RevokeStanding(ctx, tx, id, u, policy.Platform, c)
		},
		Audit: n.audit.Write,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.trust = trust.New(trust.Config{DB: n.db, Now: n.clock.now, Bus: n.notices})
	n.cards, err = certificate.New(certificate.Config{
		DB: n.db, Now: n.clock.now, Base: base, Tenant: n.directory.Resolve, Trust: n.trust, Stands: n.trust.Stands, Issuer: issuer,
		Address:   func(context.Context, idp.TenantID) (string, error) { return "", nil },
		Handshake: func(*http.Request) ([]*x509.Certificate, error) { return nil, nil },
		Key: func(ctx context.Context, id idp.TenantID) (*secret.Key, error) {
			return n.keys.Sealing(ctx, id, "certificate.ticket")
		},
		Rules: func(ctx context.Context, id idp.TenantID) (policy.CertificateRules, error) {
			p, err := n.policies.Get(ctx, id)
			return p.Certificate, err
		},
		Users: func(ctx context.Context, id idp.TenantID, p policy.UserProperty, values []string) ([]idp.User, error) {
			return n.directory.UsersBy(ctx, n.db, id, string(p), values)
		},
		Judge: func(ctx context.Context, u idp.User, f idp.Facts) (policy.Refusal, error) {
			p, who, err := n.policies.For(ctx, u.Tenant, u)
			return p.Judge(who, policy.Use, policy.Certificate, &f).Refusal, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) machine(ctx context.Context, tx *sqldb.Tx, id idp.TenantID, d idp.DeviceID) (device.Device, error) {
	if tx == nil {
		return n.devices.Get(ctx, id, d)
	}
	return n.devices.Load(ctx, tx, id, d)
}

// --- what tests set up ------------------------------------------------------

func (n *node) writeErr(fn func(context.Context, *sqldb.Tx) error) error {
	return n.db.Write(context.Background(), fn)
}

func (w *world) write(fn func(context.Context, *sqldb.Tx) error) {
	w.t.Helper()
	if err := w.writeErr(fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) policyOf(id idp.TenantID, change func(*policy.Policy)) {
	w.t.Helper()
	p, err := w.policies.Get(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	p = p.Clone()
	change(&p)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.policies.Put(ctx, tx, id, p) })
}

func (w *world) policy(change func(*policy.Policy)) { w.t.Helper(); w.policyOf(w.tenant.ID, change) }

func (w *world) advance(by time.Duration) { w.clock.ahead.Add(int64(by)) }

// enable switches a person on or off.
func (w *world) enable(u idp.User, on bool) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return w.directory.SetEnabled(ctx, tx, u.Tenant, u.ID, on)
	})
}

// switchOn switches a Mac on or off.
func (w *world) switchOn(m *machine, on bool) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return w.devices.SetEnabled(ctx, tx, m.Tenant, m.ID, on)
	})
}

// events lists the activities in the audit that begin so, newest first, with
// their outcome and reason.
func (w *world) events(activity string) (out []string) {
	w.t.Helper()
	if err := w.audit.Flush(context.Background(), w.db); err != nil {
		w.t.Fatal(err)
	}
	all, err := w.audit.List(context.Background(), w.db, w.tenant.ID, audit.Filter{Limit: 200})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range all {
		if strings.HasPrefix(e.Activity, activity) {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Activity, e.Outcome, e.Reason)))
		}
	}
	return out
}

// spent counts burnt nonces.
func (w *world) spent() (n int64) {
	w.t.Helper()
	if err := w.db.QueryRow(context.Background(), `select count(*) from spent where purpose = 'nonce'`).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func ecKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

// machine is a registered Mac with the private halves of its keys.
type machine struct {
	device.Device
	signing, encryption *ecdsa.PrivateKey
}

// mac registers a Mac of the tenant, with new keys, past all rules.
func (w *world) mac() *machine { w.t.Helper(); return w.macOf(w.tenant, ecKey(), ecKey()) }

func (w *world) macOf(t idp.Tenant, signing, encryption *ecdsa.PrivateKey, change ...func(*device.Candidate)) *machine {
	w.t.Helper()
	c := device.Candidate{Tenant: t.ID, Name: "Ada's MacBook Air", OS: mac.OS, OSVersion: "macOS 26.1", Join: device.Joined, Owner: w.ada.ID,
		Assurance: device.Unattested, Key: signing.Public(), Transport: encryption.Public(), Quota: 1000}
	for _, f := range change {
		f(&c)
	}
	d, _, err := w.devices.Prepare(context.Background(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		if err := w.devices.Add(ctx, tx, d, c); err != nil {
			return err
		}
		_, err := w.macs.Add(ctx, tx, mac.Registration{Tenant: t.ID, Device: d.ID, Source: mac.ByPerson,
			Signing: mac.NewKey{Public: &signing.PublicKey}, Encryption: mac.NewKey{Public: &encryption.PublicKey}})
		return err
	})
	return &machine{d, signing, encryption}
}

// enrol registers a user key that the Mac keeps for the person, past the door.
func (w *world) enrol(m *machine, u idp.User) *platformtest.Key {
	w.t.Helper()
	k := platformtest.New()
	w.enrolKey(m, u, k)
	return k
}

func (w *world) enrolKey(m *machine, u idp.User, k *platformtest.Key) {
	w.t.Helper()
	e := platform.Expected{Audience: base + "/user", Nonce: secret.Token(), Device: m.kid()}
	reg, err := w.platform.RegisterOnce(context.Background(), method.Answer{
		Tenant: u.Tenant, User: u, Device: m.ID, Keep: e.Keep(), Payload: k.Offer(e, w.clock.now()).Payload(), Now: w.clock.now()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(reg.Settle)
}

// --- what a Mac sends and hears ----------------------------------------------

// answer is an HTTP answer, read whole.
type answer struct {
	status int
	header http.Header
	body   string
	cause  string // of a refusal, from the log
}

// reason is the word that the log has for a refusal.
func (a answer) reason() string {
	word, _, _ := strings.Cut(a.cause, ":")
	return word
}

// json decodes a plain answer.
func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var out map[string]any
	dec := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	if err := dec.Decode(&out); err != nil || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Fatalf("%d %s %s: %v", a.status, a.header.Get("Content-Type"), a.body, err)
	}
	return out
}

// refused says that the answer is this error, with what every error has.
func (a answer) refused(t testing.TB, what string, status int, word, sub string) {
	t.Helper()
	if a.status != status || !strings.HasPrefix(a.body, "{") {
		t.Errorf("%s: %d %.300s, want %d %s", what, a.status, a.body, status, word)
		return
	}
	out := a.json(t)
	said, _ := out["suberror"].(string)
	if out["error"] != word || said != sub {
		t.Errorf("%s: %v %q (%v), want %s %q", what, out["error"], said, out["error_description"], word, sub)
	}
	for _, name := range []string{"error_description", "trace_id", "correlation_id"} {
		if s, _ := out[name].(string); s == "" {
			t.Errorf("%s: no %s", what, name)
		}
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
		t.Errorf("%s: headers %v", what, a.header)
	}
}

func (n *node) do(r *http.Request) answer {
	rec := httptest.NewRecorder()
	n.handler.ServeHTTP(rec, r)
	a := answer{status: rec.Code, header: rec.Result().Header, body: rec.Body.String()}
	n.causes.all.Range(func(trace, cause any) bool {
		if text, _ := trace.(string); text != "" && strings.Contains(a.body, text) {
			a.cause = cause.(string)
			n.causes.all.Delete(trace)
		}
		return a.cause == ""
	})
	return a
}

func (n *node) post(path string, form url.Values) answer {
	r := httptest.NewRequest("POST", base+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return n.do(r)
}

// postJSON sends a request of the registration.
func (n *node) postJSON(method, path string, v any, header ...string) answer {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest(method, base+path, bytes.NewReader(raw))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return n.do(r)
}

// at is an address of the tenant.
func (w *world) at(path string) string { return "/" + string(w.tenant.ID) + path }

// nonceAt asks one node for a nonce of a tenant.
func (n *node) nonceAt(t testing.TB, tenant string) string {
	t.Helper()
	out := n.post("/"+tenant+"/psso/nonce", url.Values{"grant_type": {"srv_challenge"}})
	value, _ := out.json(t)["Nonce"].(string)
	if out.status != http.StatusOK || value == "" {
		t.Fatalf("nonce: %d %s", out.status, out.body)
	}
	return value
}

// nonce is a new one of the tenant.
func (w *world) nonce() string { w.t.Helper(); return w.nonceAt(w.t, string(w.tenant.ID)) }
