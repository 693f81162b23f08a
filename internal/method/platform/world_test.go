package platform_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var sources = []fs.FS{bus.Migrations, platform.Migrations}

// macs stand for the device registry.
type macs struct {
	mu  sync.Mutex
	all map[idp.DeviceID]platform.Machine
}

func (m *macs) get(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, id idp.DeviceID) (platform.Machine, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.all[id]
	if !ok {
		return d, idp.NotFoundf("device_missing", "device %s", id)
	}
	return d, nil
}

func (m *macs) set(id idp.DeviceID, d platform.Machine) idp.DeviceID {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[id] = d
	return id
}

func (m *macs) join(name string) idp.DeviceID {
	return m.set(idp.DeviceID(secret.NewUUID4()), platform.Machine{Name: name, Enabled: true})
}

// signing is the id of a Mac's signing key: here, of its name.
func signing(d idp.DeviceID) pssowire.KeyID { return sha256.Sum256([]byte(d)) }

// world is a house with the room and Macs.
type world struct {
	*signintest.House
	*macs
	room     *platform.Room
	peer     signin.Peer
	limit    int
	noted    sync.Mutex
	replaced []idp.CredentialID // once or more: a transaction may run twice
	released []crypto.PublicKey
	judge    func(platform.Attestation) (bool, error)  // nil: nothing is attested
	other    interface{ Equal(crypto.PublicKey) bool } // the key of some device
}

func newRoom(t testing.TB, h *signintest.House, w *world) *platform.Room {
	t.Helper()
	room, err := platform.New(platform.Config{
		DB: h.DB, Now: h.Now, Bus: bus.New(h.DB, nil),
		Limit:      func(context.Context, idp.TenantID) (int, error) { return w.limit, nil },
		UserByName: h.UserByName, User: h.User, Device: w.get,
		Attested: func(_ context.Context, _ idp.TenantID, a platform.Attestation) (bool, error) {
			if w.judge == nil {
				return false, nil
			}
			return w.judge(a)
		},
		Claim: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, _ idp.DeviceID, key crypto.PublicKey) error {
			if w.other != nil && w.other.Equal(key) {
				return idp.Conflictf("key_registered", "a device has it")
			}
			return nil
		},
		Release: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, key crypto.PublicKey) error {
			w.noted.Lock()
			defer w.noted.Unlock()
			w.released = append(w.released, key)
			return nil
		},
		Replaced: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, _ idp.UserID, id idp.CredentialID) error {
			w.noted.Lock()
			defer w.noted.Unlock()
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

func audience(tenant idp.TenantID) string {
	return "https://id.nordhafen.example/" + string(tenant) + "/psso"
}

func newWorld(t testing.TB, db *sqldb.DB) *world {
	w := &world{macs: &macs{all: map[idp.DeviceID]platform.Machine{}}, limit: 20}
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

// oneWorld runs on SQLite alone: for what no database decides.
func oneWorld(t testing.TB) *world {
	return newWorld(t, sqldbtest.Open(t, signintest.Sources(sources...)))
}

// expected is what a door has verified of a registration on this Mac.
func (w *world) expected(tenant idp.TenantID, d idp.DeviceID, value string) platform.Expected {
	return platform.Expected{Audience: audience(tenant) + "/user", Nonce: value, Device: signing(d)}
}

// asked is a registration as a door hands it over; offer makes what the Mac
// offers.
func (w *world) asked(t testing.TB, u idp.User, d idp.DeviceID, offer func(*platform.Expected) platform.Offer) signin.RegisterOnceRequest {
	t.Helper()
	value, sealed := w.Nonce(t, u.Tenant)
	e := w.expected(u.Tenant, d, value)
	o := offer(&e)
	return signin.RegisterOnceRequest{
		OnceRequest: signin.OnceRequest{
			Tenant: u.Tenant, Method: platform.ID, Nonce: e.Keep(), Nonces: []nonce.Sealed{sealed}, Payload: o.Payload(), User: u, Device: d, Peer: w.peer,
		},
		ProofTime: w.Now(), Within: 10 * time.Minute,
	}
}

func (w *world) registration(t testing.TB, u idp.User, d idp.DeviceID, k *platformtest.Key) signin.RegisterOnceRequest {
	t.Helper()
	return w.asked(t, u, d, func(e *platform.Expected) platform.Offer { return k.Offer(*e, w.Now()) })
}

// rotation is one in which old speaks for k, and nobody has shown a token.
func (w *world) rotation(t testing.TB, u idp.User, d idp.DeviceID, old, k *platformtest.Key) signin.RegisterOnceRequest {
	t.Helper()
	return w.asked(t, u, d, func(e *platform.Expected) platform.Offer {
		e.Rotation = true
		o := k.Offer(*e, w.Now())
		o.OldProof = old.Proof(*e, k.ID(), w.Now())
		return o
	})
}

func (w *world) register(t testing.TB, u idp.User, d idp.DeviceID, k *platformtest.Key) method.Credential {
	t.Helper()
	c, err := w.Corridor.RegisterOnce(t.Context(), w.registration(t, u, d, k))
	if err != nil {
		t.Fatalf("register: %v", err)
	}
	return c
}

// ask is a login as a door hands it over, by an assertion that make makes.
func (w *world) ask(t testing.TB, u idp.User, d idp.DeviceID, make func(platformtest.Said) []byte) signin.OnceRequest {
	t.Helper()
	value, sealed := w.Nonce(t, u.Tenant)
	said := platformtest.Login(u.Name, audience(u.Tenant), value, w.Now())
	return signin.OnceRequest{
		Tenant: u.Tenant, Method: platform.ID, Nonce: said.Keep(), Nonces: []nonce.Sealed{sealed},
		Payload: make(said), Device: d, Peer: w.peer,
	}
}

func (w *world) signIn(t testing.TB, u idp.User, d idp.DeviceID, k *platformtest.Key) (idp.Proof, error) {
	t.Helper()
	p, _, err := w.Corridor.Once(t.Context(), w.ask(t, u, d, k.Assertion))
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

// write runs fn in a transaction and gives its error.
func (w *world) write(t testing.TB, fn func(context.Context, *sqldb.Tx) error) error {
	t.Helper()
	return w.DB.Write(t.Context(), fn)
}

// leave removes a Mac, as the registry does it.
func (w *world) leave(t testing.TB, d idp.DeviceID) {
	t.Helper()
	w.macs.mu.Lock()
	delete(w.all, d)
	w.macs.mu.Unlock()
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.OnDeviceRemoved(ctx, tx, w.Tenant.ID, d) })
}

// race does something at once in so many; prepare runs before.
func race(n int, prepare func(i int) func() error) []error {
	var wg sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, n)
	for i := range n {
		do := prepare(i)
		wg.Go(func() {
			<-start
			errs[i] = do()
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// wants counts events that begin so.
func (w *world) wants(t testing.TB, prefix string, want int) {
	t.Helper()
	n := 0
	for _, e := range w.Events(t, w.Tenant.ID) {
		if strings.HasPrefix(e, prefix) {
			n++
		}
	}
	if n != want {
		t.Errorf("%d events %q, want %d: %q", n, prefix, want, w.Events(t, w.Tenant.ID))
	}
}
