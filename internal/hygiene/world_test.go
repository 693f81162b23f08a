package hygiene_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// world is a house with the Hello room, and a keeper over it.
type world struct {
	*signintest.House
	room    *hello.Room
	macs    *platform.Room
	keeper  *hygiene.Keeper
	passkey method.Credential // of Ada

	mu      sync.Mutex
	devices map[idp.DeviceID]hello.Machine
}

// passkeys stand for the passkey room.
type passkeys struct{ w *world }

func (p passkeys) ID() idp.MethodID { return policy.Passkey }
func (p passkeys) List(_ context.Context, _ idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	if u != p.w.passkey.User {
		return nil, nil
	}
	return []method.Credential{p.w.passkey}, nil
}

func newWorld(t testing.TB, db *sqldb.DB) *world {
	w := &world{devices: map[idp.DeviceID]hello.Machine{}}
	rules := func(ctx context.Context, tenant idp.TenantID) (policy.HelloRules, error) {
		p, err := w.Policies.Get(ctx, tenant)
		return p.Hello, err
	}
	limits := func(ctx context.Context, tenant idp.TenantID) (policy.PlatformRules, error) {
		p, err := w.Policies.Get(ctx, tenant)
		return p.Platform, err
	}
	machine := func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, id idp.DeviceID) (hello.Machine, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		d, ok := w.devices[id]
		if !ok {
			return d, idp.NotFoundf("device_unknown", "device %s", id)
		}
		return d, nil
	}
	w.House = signintest.New(t, db, func(h *signintest.House) []method.Method {
		room, err := hello.New(hello.Config{
			DB: h.DB, Now: h.Now, UserByName: h.UserByName, User: h.User, Rules: rules,
			Issuer: func(t idp.TenantID) string { return string(t) },
			Device: machine,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.room = room
		w.macs, err = platform.New(platform.Config{
			DB: h.DB, Now: h.Now, UserByName: h.UserByName, User: h.User, Device: machine,
			Limit: func(ctx context.Context, tenant idp.TenantID) (int, error) {
				r, err := limits(ctx, tenant)
				return r.Limit, err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return []method.Method{room, w.macs}
	})
	through := func(do func(context.Context, idp.TenantID, []signin.Named, signin.Cleaning) ([]error, error)) func(context.Context, idp.TenantID, []hygiene.Key, hygiene.Options, bool) ([]error, error) {
		return func(ctx context.Context, t idp.TenantID, keys []hygiene.Key, o hygiene.Options, try bool) ([]error, error) {
			var list []signin.Named
			for _, k := range keys {
				list = append(list, signin.Named{User: k.User, Method: k.Method, Credential: k.ID})
			}
			return do(ctx, t, list, signin.Cleaning{Actor: o.Actor, Try: try, Progress: o.Progress})
		}
	}
	w.keeper = hygiene.New(hygiene.Config{
		DB: w.DB, Directory: w.Directory, Rooms: []hygiene.Lister{w.room, w.macs, passkeys{w}}, Rules: rules, Macs: limits,
		Clean: through(w.Corridor.Clean), Restore: through(w.Corridor.Restore), Removed: w.Corridor.Removed,
	})
	w.passkey = method.Credential{
		ID: "-Passkey_1", Tenant: w.Tenant.ID, User: w.Ada.ID, Method: policy.Passkey, Name: "Blue key", Mode: idp.ModeFIDO2, Created: w.Now(),
	}
	return w
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, signintest.Sources(hello.Migrations, platform.Migrations), func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

// device joins one.
func (w *world) device(name string) idp.DeviceID {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := idp.DeviceID("device-" + string(rune('a'+len(w.devices))))
	w.devices[d] = hello.Machine{Name: name, Enabled: true}
	return d
}

// macKey gives a person a key on a new Mac.
func (w *world) macKey(t testing.TB, u idp.User) method.Credential {
	t.Helper()
	value, sealed := w.Nonce(t, u.Tenant)
	e := platform.Expected{Audience: "https://id.example/user", Nonce: value}
	c, err := w.Corridor.RegisterOnce(t.Context(), signin.RegisterOnceRequest{
		OnceRequest: signin.OnceRequest{
			Tenant: u.Tenant, Method: platform.ID, Nonce: e.Keep(), Nonces: []nonce.Sealed{sealed}, Payload: platformtest.New().Offer(e, w.Now()).Payload(),
			User: u, Device: w.device("MacBook"),
		},
		ProofTime: w.Now(), Within: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// key gives a person a key on a new device.
func (w *world) key(t testing.TB, u idp.User) method.Credential {
	t.Helper()
	d := w.device("Laptop")
	c, err := w.Corridor.RegisterOnce(t.Context(), signin.RegisterOnceRequest{
		OnceRequest: signin.OnceRequest{Tenant: u.Tenant, Method: hello.ID, Payload: hellotest.EC().Public(), User: u, Device: d},
		ProofTime:   w.Now(), Within: time.Minute, ByToken: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// leave removes the device of a key.
func (w *world) leave(t testing.TB, c method.Credential) {
	t.Helper()
	w.mu.Lock()
	delete(w.devices, c.Facts.Device)
	w.mu.Unlock()
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		return w.room.OnDeviceRemoved(ctx, tx, c.Tenant, c.Facts.Device)
	})
}

func (w *world) held(t testing.TB, u idp.User) int {
	t.Helper()
	all, err := w.room.List(t.Context(), u.Tenant, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
