package signintest

import (
	"context"
	"encoding/json"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// House is a corridor with everything under it.
type House struct {
	DB        *sqldb.DB
	Box       *nonce.Box
	Audit     *audit.Log
	Directory *directory.Directory
	Clients   *client.Registry
	Policies  *policy.Store
	Sessions  *session.Store
	Corridor  *signin.Corridor

	Tenant, Other idp.Tenant
	Ada, Bob      idp.User // of Tenant
	Eve           idp.User // of Other

	mu    sync.Mutex
	now   time.Time
	onNow func()
	key   *secret.Key
	// Known are the key models that policies may name, and Status is what is
	// known of one at present. Both may be set at any time.
	Known  map[string]string
	Status map[string]idp.ModelStatus
}

// Sources are the migrations that a House needs, and more.
func Sources(more ...fs.FS) []fs.FS {
	return append([]fs.FS{
		audit.Migrations, directory.Migrations, client.Migrations, policy.Migrations,
		nonce.Migrations, session.Migrations, signin.Migrations,
	}, more...)
}

// New makes a house on a database with the Sources. rooms makes its methods,
// from the parts that are there already.
func New(t testing.TB, db *sqldb.DB, rooms func(*House) []method.Method) *House {
	t.Helper()
	h := &House{DB: db, now: time.Date(2026, 3, 5, 9, 14, 0, 0, time.UTC), key: secret.RandomKey()}
	h.Audit = audit.New(h.Now)
	h.Directory = directory.New(directory.Config{DB: db, Now: h.Now})
	h.Clients = client.New(client.Config{DB: db, Now: h.Now})
	h.Policies = policy.New(policy.Config{
		DB: db, Now: h.Now, Groups: h.Directory.GroupsOf,
		Models: func() map[string]string { return h.Known },
		Status: func(aaguid string) idp.ModelStatus { return h.Status[aaguid] },
	})
	h.Box = nonce.New(nonce.Config{Keys: h.Key, Epoch: func() int64 { return 1 }, Now: h.Now})
	h.Sessions = session.New(session.Config{
		DB: db, Now: h.Now,
		Limits: func(ctx context.Context, tenant idp.TenantID) (time.Duration, time.Duration, error) {
			p, err := h.Policies.Get(ctx, tenant)
			return p.Session.Idle, p.Session.Absolute, err
		},
		// Devices and what they hold stand for ever here.
		Stands: func(context.Context, sqldb.Querier, idp.TenantID, idp.SessionID, idp.DeviceID) (bool, error) {
			return true, nil
		},
	})
	h.people(t)
	methods := rooms(h)
	var err error
	h.Corridor, err = signin.New(signin.Config{
		DB: db, Box: h.Box, Directory: h.Directory, Clients: h.Clients, Policies: h.Policies,
		Sessions: h.Sessions, Audit: h.Audit, Now: h.Now, Methods: methods,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Directory.OnRemoveUser(h.Corridor.RemoveUser)
	for _, m := range methods {
		h.Switch(t, h.Tenant.ID, m.ID(), true)
		h.Switch(t, h.Other.ID, m.ID(), true)
	}
	return h
}

func (h *House) people(t testing.TB) {
	h.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if h.Tenant, err = h.Directory.CreateTenant(ctx, tx, idp.Tenant{Name: "Nordhafen", Domain: "nordhafen.example"}); err != nil {
			return err
		}
		if h.Other, err = h.Directory.CreateTenant(ctx, tx, idp.Tenant{Name: "Westwerk", Domain: "westwerk.example"}); err != nil {
			return err
		}
		add := func(into *idp.User, tenant idp.TenantID, name string) {
			if err == nil {
				*into, err = h.Directory.CreateUser(ctx, tx, idp.User{Tenant: tenant, Name: name, Enabled: true})
			}
		}
		add(&h.Ada, h.Tenant.ID, "ada@nordhafen.example")
		add(&h.Bob, h.Tenant.ID, "bob@nordhafen.example")
		add(&h.Eve, h.Other.ID, "eve@westwerk.example")
		return err
	})
}

// Now is the time in the house; only Advance moves it.
func (h *House) Now() time.Time {
	h.mu.Lock()
	now, hook := h.now, h.onNow
	h.mu.Unlock()
	if hook != nil {
		hook()
	}
	return now
}

// OnNow has fn called whenever somebody asks the time: for what happens in the
// middle of something.
func (h *House) OnNow(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onNow = fn
}

// Advance moves the clock.
func (h *House) Advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// Key gives the sealing key of a tenant and purpose, as keyring does.
func (h *House) Key(_ context.Context, tenant idp.TenantID, purpose string) (*secret.Key, error) {
	return h.key.Derive(string(tenant) + " " + purpose), nil
}

// UserByName finds a person, for rooms that need it.
func (h *House) UserByName(ctx context.Context, tenant idp.TenantID, name string) (idp.User, error) {
	return h.Directory.UserByName(ctx, h.DB, tenant, name)
}

// User finds a user of a tenant by id.
func (h *House) User(ctx context.Context, tenant idp.TenantID, id idp.UserID) (idp.User, error) {
	return h.Directory.User(ctx, h.DB, tenant, id)
}

// Write is a transaction that must succeed.
func (h *House) Write(t testing.TB, fn func(context.Context, *sqldb.Tx) error) {
	t.Helper()
	if err := h.DB.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// Policy changes the tenant's policy.
func (h *House) Policy(t testing.TB, tenant idp.TenantID, change func(*policy.Policy)) {
	t.Helper()
	p, err := h.Policies.Get(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	p = p.Clone()
	change(&p)
	h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return h.Policies.Put(ctx, tx, tenant, p) })
}

// Switch turns a method on or off.
func (h *House) Switch(t testing.TB, tenant idp.TenantID, m idp.MethodID, on bool) {
	t.Helper()
	h.Policy(t, tenant, func(p *policy.Policy) { p.Switch(m, on) })
}

// Enable lets a person sign in, or not.
func (h *House) Enable(t testing.TB, u idp.User, on bool) {
	t.Helper()
	h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		return h.Directory.SetEnabled(ctx, tx, u.Tenant, u.ID, on)
	})
}

// Peer is a browser by the value of its cookie.
func (h *House) Peer(browser string) signin.Peer {
	return signin.Peer{IP: "192.0.2.7", Agent: "Firefox", Browser: browser, Trace: "trace-" + browser}
}

// Flow starts f in the peer's browser and resumes it, as pages do.
func (h *House) Flow(t testing.TB, f signin.Flow, peer signin.Peer) signin.Flow {
	t.Helper()
	if f.Tenant == "" {
		f.Tenant = h.Tenant.ID
	}
	if f.Door == "" {
		f.Door = "portal"
	}
	f.Browser = signin.BrowserDigest(peer.Browser)
	handle, err := h.Corridor.Start(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return h.Resume(t, f.Tenant, handle, peer)
}

// Resume resumes a flow that must be there.
func (h *House) Resume(t testing.TB, tenant idp.TenantID, handle string, peer signin.Peer) signin.Flow {
	t.Helper()
	f, err := h.Corridor.Resume(t.Context(), tenant, handle, peer)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Stored is a flow in which u has proven something that did not finish it.
func (h *House) Stored(t testing.TB, f signin.Flow, u idp.User, peer signin.Peer) signin.Flow {
	t.Helper()
	f = h.Flow(t, f, peer)
	f.User = u.ID
	f.Proofs = []idp.Proof{{Tenant: u.Tenant, User: u.ID, Method: "earlier", Mode: "earlier", Credential: "earlier", Time: h.Now()}}
	body, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `insert into flow (tenant_id, id, body, version, expires) values ($1, $2, $3, 1, $4)`,
			f.Tenant, f.ID, string(body), f.Expires.UnixMilli())
		return err
	})
	return h.Resume(t, f.Tenant, string(f.ID), peer)
}

// Begin begins a ceremony that must begin.
func (h *House) Begin(t testing.TB, f signin.Flow, m idp.MethodID, userName string) signin.Begun {
	t.Helper()
	b, err := h.Corridor.Begin(t.Context(), f, m, userName)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Ask asks by another road, which must work, in a browser that everybody in the
// house is known in; it returns the flow that waits.
func (h *House) Ask(t testing.TB, f signin.Flow, m idp.MethodID, userName string, peer signin.Peer) signin.Flow {
	t.Helper()
	scene := method.Scene{Knows: []idp.UserID{h.Ada.ID, h.Bob.ID, h.Eve.ID}}
	step, err := h.Corridor.Ask(t.Context(), f, m, userName, scene, peer)
	if err != nil {
		t.Fatal(err)
	}
	if step.Kind != signin.Wait || !step.Flow.Waits(h.Now()) || step.Handle != string(f.ID) {
		t.Fatalf("asked: step %q, waiting for %+v", step.Kind, step.Flow.Waiting)
	}
	return step.Flow
}

// Session opens a full session on a proof made now, as if by a method that
// claims everything.
func (h *House) Session(t testing.TB, u idp.User) session.Session {
	t.Helper()
	return h.SessionOn(t, u, idp.Proof{
		Method: policy.Passkey, Mode: idp.ModeFIDO2, Credential: "elsewhere",
		Properties: []idp.Property{idp.PhishingResistant, idp.MultiFactor, idp.UserVerified, idp.Possession},
	}, false)
}

// SessionOn opens a session on the proof.
func (h *House) SessionOn(t testing.TB, u idp.User, p idp.Proof, restricted bool) session.Session {
	t.Helper()
	p.Tenant, p.User, p.Time = u.Tenant, u.ID, h.Now()
	var bearer string
	h.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		_, bearer, err = h.Sessions.Open(ctx, tx, session.Session{Tenant: u.Tenant, User: u.ID, Restricted: restricted, Proofs: []idp.Proof{p}})
		return err
	})
	return h.Found(t, u.Tenant, bearer)
}

// Found is the live session of a bearer.
func (h *House) Found(t testing.TB, tenant idp.TenantID, bearer string) session.Session {
	t.Helper()
	s, err := h.Sessions.Find(t.Context(), tenant, bearer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Count counts the rows of a tenant in a table.
func (h *House) Count(t testing.TB, table string, tenant idp.TenantID) int {
	t.Helper()
	var n int
	if err := h.DB.QueryRow(t.Context(), `select count(*) from `+table+` where tenant_id = $1`, tenant).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Events lists what the audit has of the tenant, oldest first, as
// "activity outcome reason".
func (h *House) Events(t testing.TB, tenant idp.TenantID) []string {
	t.Helper()
	list, err := h.Audit.List(t.Context(), h.DB, tenant, audit.Filter{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Activity+" "+e.Outcome+" "+e.Reason)
	}
	slices.Reverse(out)
	return out
}
