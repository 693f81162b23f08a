package hello_test

import (
	"context"
	"crypto"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var sources = []fs.FS{bus.Migrations, hello.Migrations}

// Keys are shared by tests: making RSA keys takes long.
var (
	keys   []*hellotest.Key
	keysMu sync.Mutex
)

// rsaKey is the n-th of them.
func rsaKey(n int) *hellotest.Key {
	keysMu.Lock()
	defer keysMu.Unlock()
	for len(keys) <= n {
		keys = append(keys, hellotest.RSA())
	}
	return keys[n]
}

// machines stand for the device registry.
type machines struct {
	mu  sync.Mutex
	all map[idp.DeviceID]hello.Machine
}

func (m *machines) get(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, id idp.DeviceID) (hello.Machine, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.all[id]
	if !ok {
		return d, idp.NotFoundf("device_missing", "device %s", id)
	}
	return d, nil
}

func (m *machines) set(id idp.DeviceID, d hello.Machine) idp.DeviceID {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[id] = d
	return id
}

func (m *machines) join(name string) idp.DeviceID {
	return m.set(idp.DeviceID(secret.NewUUID4()), hello.Machine{Name: name, Enabled: true})
}

// world is a house with the room and devices.
type world struct {
	*signintest.House
	*machines
	room     *hello.Room
	peer     signin.Peer
	replaced []idp.CredentialID
	released []crypto.PublicKey
	cap      int                                       // the tenant's limit, past what a policy may say
	other    interface{ Equal(crypto.PublicKey) bool } // the key of some device
}

func newRoom(t testing.TB, h *signintest.House, w *world) *hello.Room {
	t.Helper()
	room, err := hello.New(hello.Config{
		DB: h.DB, Now: h.Now, Bus: bus.New(h.DB, nil),
		Rules: func(ctx context.Context, tenant idp.TenantID) (policy.HelloRules, error) {
			p, err := h.Policies.Get(ctx, tenant)
			if w.cap > 0 {
				p.Hello.Limit = w.cap
			}
			return p.Hello, err
		},
		UserByName: h.UserByName, User: h.User, Device: w.get,
		Issuer: issuer,
		Claim: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, _ idp.DeviceID, key crypto.PublicKey) error {
			if w.other != nil && w.other.Equal(key) {
				return idp.Conflictf("key_registered", "a device has it")
			}
			return nil
		},
		Release: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, key crypto.PublicKey) error {
			w.released = append(w.released, key)
			return nil
		},
		Replaced: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, _ idp.UserID, id idp.CredentialID) error {
			w.replaced = append(w.replaced, id)
			return nil
		},
		Audit: h.Audit.Write,
	})
	if err != nil {
		t.Fatal(err)
	}
	return room
}

func issuer(tenant idp.TenantID) string {
	return "https://id.nordhafen.example/" + string(tenant) + "/v2.0"
}

func newWorld(t testing.TB, db *sqldb.DB) *world {
	w := &world{machines: &machines{all: map[idp.DeviceID]hello.Machine{}}}
	w.House = signintest.New(t, db, func(h *signintest.House) []method.Method {
		w.room = newRoom(t, h, w)
		return []method.Method{w.room}
	})
	w.peer = w.Peer("device")
	return w
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, signintest.Sources(sources...), func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

// registration is a key that a device has registered for somebody.
func (w *world) registration(u idp.User, d idp.DeviceID, public []byte) signin.RegisterOnceRequest {
	return signin.RegisterOnceRequest{
		OnceRequest: signin.OnceRequest{Tenant: u.Tenant, Method: hello.ID, Payload: public, User: u, Device: d, Peer: w.peer},
		ProofTime:   w.Now(), Within: 10 * time.Minute, ByToken: true,
	}
}

func (w *world) register(t testing.TB, u idp.User, d idp.DeviceID, k *hellotest.Key) method.Credential {
	t.Helper()
	c, err := w.Corridor.RegisterOnce(t.Context(), w.registration(u, d, k.Public()))
	if err != nil {
		t.Fatalf("register: %v", err)
	}
	return c
}

// ask is a PRT request as a door hands it over: the assertion on a nonce of its
// own, beside the one of the outer message.
func (w *world) ask(t testing.TB, u idp.User, d idp.DeviceID, make func(nonce string) []byte) signin.OnceRequest {
	t.Helper()
	_, outer := w.Nonce(t, "common")
	value, inner := w.Nonce(t, u.Tenant)
	return signin.OnceRequest{
		Tenant: u.Tenant, Method: hello.ID, Nonce: []byte(value), Nonces: []nonce.Sealed{outer, inner},
		Payload: make(value), Device: d, Peer: w.peer,
	}
}

func (w *world) signIn(t testing.TB, u idp.User, d idp.DeviceID, k *hellotest.Key) (idp.Proof, error) {
	t.Helper()
	p, _, err := w.Corridor.Once(t.Context(), w.ask(t, u, d, func(n string) []byte { return k.Assertion(u.Name, n, w.Now()) }))
	return p, err
}

func (w *world) list(t testing.TB, u idp.User) []method.Credential {
	t.Helper()
	all, err := w.Corridor.Credentials(t.Context(), u.Tenant, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

// leave removes a device, as the registry does it.
func (w *world) leave(t testing.TB, d idp.DeviceID) {
	t.Helper()
	w.machines.mu.Lock()
	delete(w.all, d)
	w.machines.mu.Unlock()
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.OnDeviceRemoved(ctx, tx, w.Tenant.ID, d) })
}

// r2a is what the corridor hands to the room.
func r2a(w *world, r signin.OnceRequest) method.Answer {
	return method.Answer{Tenant: r.Tenant, User: r.User, Device: r.Device, Keep: w.room.KeepFrom(r.Nonce), Payload: r.Payload, Now: w.Now()}
}

// k2 is the public key of rsaKey(2).
func k2(t testing.TB) interface{ Equal(crypto.PublicKey) bool } {
	t.Helper()
	public, _, err := hello.ParseKey(rsaKey(2).Public())
	if err != nil {
		t.Fatal(err)
	}
	return public.(interface{ Equal(crypto.PublicKey) bool })
}
