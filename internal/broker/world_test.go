package broker_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
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

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/broker"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/method/passkey"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/oidc"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

const (
	base = "https://id.example"
	rpID = "id.example"
)

var sources = []fs.FS{
	audit.Migrations, bus.Migrations, directory.Migrations, client.Migrations, policy.Migrations, keyring.Migrations,
	nonce.Migrations, token.Migrations, session.Migrations, signin.Migrations, device.Migrations, prt.Migrations,
	hello.Migrations, passkey.Migrations, certificate.Migrations, trust.Migrations, oidc.Migrations,
}

// node is one server over a database: both doors of applications and devices,
// and the rooms below them.
type node struct {
	db        *sqldb.DB
	notices   *bus.Bus
	handler   http.Handler
	mux       *http.ServeMux
	directory *directory.Directory
	clients   *client.Registry
	policies  *policy.Store
	devices   *device.Registry
	prts      *prt.Service
	sessions  *session.Store
	tokens    *token.Service
	keys      *keyring.Ring
	corridor  *signin.Corridor
	box       *nonce.Box
	audit     *audit.Log
	hello     *hello.Room
	passkeys  *passkey.Room
	cards     *certificate.Room
	trust     *listed
	broker    *broker.Server
	openID    *oidc.Server
	clock     *clock
}

// clock is the time of a world: moved by tests, and shared by its nodes.
type clock struct {
	ahead atomic.Int64
	asked atomic.Pointer[func(by string)] // told who asks for the time
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

// world is a node, a tenant with devices on, and two people.
type world struct {
	*node
	t             testing.TB
	kek           *secret.Key
	tenant, other idp.Tenant
	ada, bob      idp.User
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

func lite(t testing.TB) *world { return newWorld(t, sqldbtest.Open(t, sources)) }

func newWorld(t testing.TB, db *sqldb.DB) *world {
	t.Helper()
	w := &world{t: t, kek: secret.RandomKey()}
	w.node = newNode(t, db, w.kek, &clock{}, base, nil)
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if w.tenant, err = w.directory.CreateTenant(ctx, tx, idp.Tenant{Name: "Nordhafen", Domain: "nordhafen.example"}); err != nil {
			return err
		}
		if w.other, err = w.directory.CreateTenant(ctx, tx, idp.Tenant{Name: "Westwerk", Domain: "westwerk.example"}); err != nil {
			return err
		}
		for name, into := range map[string]*idp.User{"ada": &w.ada, "bob": &w.bob} {
			*into, err = w.directory.CreateUser(ctx, tx, idp.User{
				Tenant: w.tenant.ID, Name: name + "@nordhafen.example", DisplayName: name, Enabled: true, Type: idp.Member})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, id := range []idp.TenantID{w.tenant.ID, w.other.ID} {
		w.policyOf(id, func(p *policy.Policy) {
			p.Devices.On = true
			p.Switch(policy.Hello, true)
		})
	}
	return w
}

// again is another server over the same database, with caches of its own.
func (w *world) again() *node {
	notices := w.notices
	if w.db.Dialect() != sqldb.SQLite { // there all is one process, with one bus
		notices = nil
	}
	return newNode(w.t, w.db, w.kek, w.clock, base, notices)
}

// newNode makes a server with a bus of its own, unless it is given one.
func newNode(t testing.TB, db *sqldb.DB, kek *secret.Key, c *clock, base string, notices *bus.Bus) *node {
	t.Helper()
	n := &node{db: db, clock: c}
	if notices == nil {
		notices = bus.New(db, slog.New(slog.DiscardHandler))
	}
	n.notices = notices
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); notices.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	epoch := func() int64 { return 1 }
	issuer := func(id idp.TenantID) string { return base + "/" + string(id) + "/v2.0" }
	stands := func(ctx context.Context, q sqldb.Querier, id idp.TenantID, p idp.SessionID, d idp.DeviceID) error {
		return broker.Stands(ctx, q, n.devices, n.prts, id, p, d)
	}

	n.audit = audit.New(c.now)
	n.keys = keyring.New(keyring.Config{DB: db, KEK: kek, Now: c.now, Bus: notices})
	n.directory = directory.New(directory.Config{DB: db, Now: c.now, Bus: notices})
	n.policies = policy.New(policy.Config{DB: db, Now: c.now, Bus: notices, Groups: n.directory.GroupsOf})
	n.clients = client.New(client.Config{DB: db, Now: c.now, Bus: notices, Devices: func(ctx context.Context, id idp.TenantID) (client.Devices, error) {
		p, err := n.policies.Get(ctx, id)
		return client.Devices{On: p.Devices.On, BrokerWithoutPKCE: p.Devices.Compat.BrokerWithoutPKCE}, err
	}})
	n.devices = device.New(device.Config{DB: db, Keys: n.keys.Sealing, Now: c.now, Bus: notices})
	n.box = nonce.New(nonce.Config{Keys: n.keys.Sealing, Epoch: epoch, Now: c.now})
	n.sessions = session.New(session.Config{DB: db, Now: c.now, Epoch: epoch, Secure: true,
		Limits: func(ctx context.Context, id idp.TenantID) (time.Duration, time.Duration, error) {
			p, err := n.policies.Get(ctx, id)
			return p.Session.Idle, p.Session.Absolute, err
		},
		Stands: func(ctx context.Context, q sqldb.Querier, id idp.TenantID, p idp.SessionID, d idp.DeviceID) (bool, error) {
			return stands(ctx, q, id, p, d) == nil, nil
		}})
	n.tokens = token.New(token.Config{DB: db, Keys: n.keys, Audit: n.audit, Now: c.now, Epoch: epoch, Issuer: issuer, User: n.directory.User, Stands: stands})
	n.prts = prt.New(prt.Config{DB: db, Bus: notices, Keys: n.keys, Audit: n.audit, Now: c.now, Epoch: epoch, OnEnd: n.tokens.RevokeSession,
		Lives: func(ctx context.Context, id idp.TenantID) (time.Duration, time.Duration, error) {
			p, err := n.policies.Get(ctx, id)
			return p.Devices.Idle, p.Devices.Absolute, err
		}})
	n.devices.OnDisable(n.prts.RevokeDevice)
	n.devices.OnRemove(n.prts.RevokeDevice)
	n.rooms(t, issuer)
	n.cardRoom(t, issuer)
	var err error
	n.corridor, err = signin.New(signin.Config{DB: db, Box: n.box, Directory: n.directory, Clients: n.clients, Policies: n.policies,
		Sessions: n.sessions, Audit: n.audit, Now: c.now, Methods: []method.Method{n.passkeys, n.hello, n.cards}, RevokeStanding: n.prts.RevokeStanding})
	if err != nil {
		t.Fatal(err)
	}
	n.broker = broker.New(broker.Config{BaseURL: base, DB: db, Directory: n.directory, Clients: n.clients, Policies: n.policies,
		Devices: n.devices, PRTs: n.prts, Tokens: n.tokens, Corridor: n.corridor, Box: n.box, Audit: n.audit, Now: c.now,
		Entitle: func(ctx context.Context, id idp.TenantID, app idp.ClientID, scope, resource, redirect string) (client.Client, []string, string, error) {
			return n.openID.Entitle(ctx, id, app, scope, resource, redirect)
		}})
	n.openID = oidc.New(oidc.Config{BaseURL: base, DB: db, Directory: n.directory, Clients: n.clients, Policies: n.policies,
		Sessions: n.sessions, Tokens: n.tokens, Keys: n.keys, Corridor: n.corridor, Box: n.box, Audit: n.audit, Now: c.now, Epoch: epoch,
		Devices: &oidc.Devices{Message: n.broker.Message, Brought: n.broker.Brought, TenantOf: n.broker.TenantOf},
		SignIn:  page, ErrorPage: errorPage, SignedOut: "/signed-out",
		Limits: oidc.Limits{FailuresPerClient: 1 << 20, FailuresPerSource: 1 << 20, Nonces: 1 << 20}})
	n.mux = http.NewServeMux()
	n.openID.Mount(n.mux)
	n.handler = web.Chain(n.mux, web.Identify(nil), web.Headers(true),
		web.Spelling("/{t}/oauth2/token", "/{t}/oauth2/v2.0/token", "/{t}/oauth2/authorize", "/{t}/oauth2/v2.0/authorize"))
	return n
}

func (n *node) rooms(t testing.TB, issuer func(idp.TenantID) string) {
	byName := func(ctx context.Context, id idp.TenantID, name string) (idp.User, error) {
		return n.directory.UserByName(ctx, n.db, id, name)
	}
	var err error
	n.hello, err = hello.New(hello.Config{DB: n.db, Now: n.clock.now, Bus: n.notices, UserByName: byName, Issuer: issuer,
		User: func(ctx context.Context, id idp.TenantID, u idp.UserID) (idp.User, error) {
			return n.directory.User(ctx, n.db, id, u)
		},
		Rules: func(context.Context, idp.TenantID) (policy.HelloRules, error) { return policy.Default().Hello, nil },
		Device: func(ctx context.Context, tx *sqldb.Tx, id idp.TenantID, d idp.DeviceID) (hello.Machine, error) {
			var got device.Device
			var err error
			if tx != nil {
				got, err = n.devices.Load(ctx, tx, id, d)
			} else {
				got, err = n.devices.Get(ctx, id, d)
			}
			return hello.Machine{Name: got.Name, Enabled: got.Enabled}, err
		},
		Claim:   func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID, crypto.PublicKey) error { return nil },
		Release: func(context.Context, *sqldb.Tx, idp.TenantID, crypto.PublicKey) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	key := func(purpose string) func(context.Context, idp.TenantID) (*secret.Key, error) {
		return func(ctx context.Context, id idp.TenantID) (*secret.Key, error) {
			return n.keys.Sealing(ctx, id, purpose)
		}
	}
	n.passkeys, err = passkey.New(passkey.Config{DB: n.db, RPID: rpID, RPName: "Signet", Origins: []string{base},
		Rules: func(ctx context.Context, id idp.TenantID) (policy.PasskeyRules, error) {
			p, err := n.policies.Get(ctx, id)
			return p.Passkey, err
		},
		Wishes: func(context.Context, idp.User) (policy.Wishes, error) { return policy.Wishes{}, nil },
		Secret: key("decoy"), Mark: func(ctx context.Context) (*secret.Key, error) { return n.keys.Sealing(ctx, nonce.CommonScope, "mark") },
		User: func(ctx context.Context, id idp.TenantID, u idp.UserID) (idp.User, error) {
			return n.directory.User(ctx, n.db, id, u)
		},
		UserByName: byName, Fold: directory.Fold, Models: metadata.New(metadata.Config{Now: n.clock.now}),
		Audit: n.audit.Write,
		ExtraRPID: func(ctx context.Context, id idp.TenantID) (string, error) {
			p, err := n.policies.Get(ctx, id)
			return p.Devices.Compat.ExtraRelyingPartyID, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// page stands for the sign-in page.
func page(w http.ResponseWriter, _ *http.Request, f signin.Flow, step signin.Step) error {
	w.Header().Set("X-Page", string(step.Kind))
	w.Header().Set("X-Handle", step.Handle)
	w.Header().Set("X-Reason", step.Decision.Reason)
	_, err := io.WriteString(w, "the page")
	return err
}

func errorPage(w http.ResponseWriter, _ *http.Request, err error) {
	w.Header().Set("X-Page", "error")
	w.WriteHeader(http.StatusBadRequest)
	io.WriteString(w, err.Error())
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

// switchOn switches a device on or off.
func (w *world) switchOn(m *machine, on bool) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return w.devices.SetEnabled(ctx, tx, m.Tenant, m.ID, on)
	})
}

// events lists the activities in the audit, oldest first, with reason.
func (w *world) events(activity string) (out []string) {
	w.t.Helper()
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

// keysOf makes keys once for all tests: RSA keys take long.
var (
	keysMu  sync.Mutex
	rsaKeys []*rsa.PrivateKey
	helloes []*hellotest.Key
)

func rsaKey(n int) *rsa.PrivateKey {
	keysMu.Lock()
	defer keysMu.Unlock()
	for len(rsaKeys) <= n {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		rsaKeys = append(rsaKeys, k)
	}
	return rsaKeys[n]
}

func helloKey(n int) *hellotest.Key {
	keysMu.Lock()
	defer keysMu.Unlock()
	for len(helloes) <= n {
		helloes = append(helloes, hellotest.RSA())
	}
	return helloes[n]
}

func ecKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

// machine is a registered device with its keys.
type machine struct {
	device.Device
	key       crypto.Signer
	transport crypto.Signer
	cert      []byte
}

// join registers a device of its own keys, numbered n.
func (w *world) join(n int, change ...func(*device.Candidate)) *machine {
	w.t.Helper()
	return w.joinWith(w.tenant.ID, w.ada.ID, rsaKey(2*n), rsaKey(2*n+1), change...)
}

func (w *world) joinWith(id idp.TenantID, owner idp.UserID, key, transport crypto.Signer, change ...func(*device.Candidate)) *machine {
	w.t.Helper()
	c := device.Candidate{Tenant: id, Name: "ws-17", OS: "Linux", OSVersion: "Debian 12", Join: device.Joined, Owner: owner,
		Assurance: device.Unproven, Key: key.Public(), Quota: 50}
	if transport != nil {
		c.Transport = transport.Public()
	}
	for _, f := range change {
		f(&c)
	}
	d, der, err := w.devices.Prepare(context.Background(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Add(ctx, tx, d, c) })
	return &machine{Device: d, key: key, transport: transport, cert: der}
}

// enrol registers a Hello key that the device keeps for the person.
func (w *world) enrol(m *machine, u idp.User, k *hellotest.Key) {
	w.t.Helper()
	reg, err := w.hello.RegisterOnce(context.Background(), method.Answer{Tenant: u.Tenant, User: u, Device: m.ID, Payload: k.Public(), Now: w.clock.now()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(reg.Settle)
}

// signIn gives the refresh token of a built-in application for a sign-in that
// the person has just made; change edits what it stands on.
func (w *world) signIn(u idp.User, app idp.ClientID, change ...func(*token.Subject)) string {
	w.t.Helper()
	ctx := context.Background()
	c, err := w.clients.Get(ctx, u.Tenant, app)
	if err != nil {
		w.t.Fatal(err)
	}
	sub := token.Subject{Tenant: u.Tenant, User: u, Session: "browser", Client: c, Scopes: []string{"openid", "profile", "offline_access"},
		Audience: token.RegistrationAudience, AuthTime: w.clock.now(), AMR: []string{"fido", "mfa"},
		Basis: token.BasisOf([]idp.Proof{w.proof(u)})}
	for _, f := range change {
		f(&sub)
	}
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		sub.Family, err = w.tokens.OpenFamily(ctx, tx, sub, token.CodeID(secret.Bytes(16)))
		return err
	})
	refresh, err := w.tokens.FirstRefresh(ctx, u.Tenant, sub.Family)
	if err != nil {
		w.t.Fatal(err)
	}
	return refresh
}

// proof is one by a passkey, made now.
func (w *world) proof(u idp.User) idp.Proof {
	return idp.Proof{Tenant: u.Tenant, User: u.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Credential: "key",
		Properties: []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor},
		AMR:        []string{"fido", "mfa"}, Time: w.clock.now()}
}

// register gives the person a passkey in a new authenticator.
func (w *world) register(u idp.User, rp, origin string) *passkeytest.Authenticator {
	w.t.Helper()
	ctx := context.Background()
	ch, err := w.passkeys.BeginRegister(ctx, method.Request{Tenant: u.Tenant, User: u, Now: w.clock.now()})
	if err != nil {
		w.t.Fatal(err)
	}
	a := passkeytest.New(rpID, base)
	made, err := a.Create(optionsOf(w.t, ch.Show))
	if err != nil {
		w.t.Fatal(err)
	}
	reg, err := w.passkeys.FinishRegister(ctx, method.Answer{Tenant: u.Tenant, User: u, Keep: ch.Keep, Payload: made, Now: w.clock.now()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(reg.Settle)
	a.RPID, a.Origin = rp, origin
	return a
}

// optionsOf takes the options out of what a page is shown.
func optionsOf(t testing.TB, show []byte) []byte {
	t.Helper()
	var in struct {
		PublicKey json.RawMessage `json:"publicKey"`
	}
	if json.Unmarshal(show, &in) == nil && in.PublicKey != nil {
		return in.PublicKey
	}
	return show
}

// --- what a device sends ----------------------------------------------------

// answer is an HTTP answer, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// json decodes a plain answer.
func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return out
}

// refused says that the answer is this error.
func (a answer) refused(t testing.TB, what, word string, code int, sub string) {
	t.Helper()
	if a.status != http.StatusBadRequest || !strings.HasPrefix(a.body, "{") {
		t.Errorf("%s: %d %.300s, want %s %d", what, a.status, a.body, word, code)
		return
	}
	out := a.json(t)
	said, _ := out["suberror"].(string)
	got := fmt.Sprintf("%v %.0f %s", out["error"], out["error_codes"], said)
	want := fmt.Sprintf("%s [%d] %s", word, code, sub)
	if got != want {
		t.Errorf("%s: %s (%v), want %s", what, got, out["error_description"], want)
	}
	for _, name := range []string{"error_description", "timestamp", "trace_id", "correlation_id"} {
		if s, _ := out[name].(string); s == "" {
			t.Errorf("%s: no %s", what, name)
		}
	}
	if d := fmt.Sprint(out["error_description"]); !strings.HasPrefix(d, fmt.Sprintf("AADSTS%d: ", code)) {
		t.Errorf("%s: description %q", what, d)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
		t.Errorf("%s: headers %v", what, a.header)
	}
}

func (n *node) do(r *http.Request) answer {
	rec := httptest.NewRecorder()
	n.handler.ServeHTTP(rec, r)
	return answer{rec.Code, rec.Result().Header, rec.Body.String()}
}

func (n *node) post(path string, form url.Values) answer {
	r := httptest.NewRequest("POST", base+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return n.do(r)
}

// at is an address of the tenant.
func (w *world) at(path string) string { return "/" + string(w.tenant.ID) + path }

// nonceAt asks for a nonce as the oldest clients do: without a content type.
func (n *node) nonceAt(t testing.TB, scope string) string {
	t.Helper()
	r := httptest.NewRequest("POST", base+"/"+scope+"/oauth2/token", strings.NewReader("grant_type=srv_challenge"))
	out := n.do(r)
	value, _ := out.json(t)["Nonce"].(string)
	if out.status != http.StatusOK || value == "" {
		t.Fatalf("nonce: %d %s", out.status, out.body)
	}
	return value
}

func (w *world) nonce() string { w.t.Helper(); return w.nonceAt(w.t, string(w.tenant.ID)) }

// answer goes on with a sign-in page by a passkey, as the portal does, and says
// to which device the session belongs.
func (w *world) answer(handle, browser string, key *passkeytest.Authenticator) (string, error) {
	ctx := context.Background()
	peer := signin.Peer{IP: "192.0.2.1", Browser: browser}
	f, err := w.corridor.Resume(ctx, w.tenant.ID, handle, peer)
	if err != nil {
		return "", err
	}
	begun, err := w.corridor.Begin(ctx, f, policy.Passkey, "")
	if err != nil {
		return "", err
	}
	payload, err := key.Get(optionsOf(w.t, begun.Show))
	if err != nil {
		return "", err
	}
	step, err := w.corridor.Answer(ctx, f, policy.Passkey, begun.Ceremony, payload, nil, peer)
	if err == nil && step.Kind != signin.Done {
		err = fmt.Errorf("step %s", step.Kind)
	}
	return string(step.Session.Device), err
}
