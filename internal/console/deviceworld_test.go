package console

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
)

// keysOfDevices is the Hello room, on the devices that are opened later.
func (w *world) keysOfDevices(h *signintest.House) method.Method {
	var err error
	w.hello, err = hello.New(hello.Config{
		DB: h.DB, Now: h.Now, UserByName: h.UserByName, User: h.User, Issuer: func(t idp.TenantID) string { return origin + "/" + string(t) + "/v2.0" },
		Rules: func(ctx context.Context, t idp.TenantID) (policy.HelloRules, error) {
			p, err := h.Policies.Get(ctx, t)
			return p.Hello, err
		},
		Device: func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) (hello.Machine, error) {
			d, err := w.devices.Get(ctx, t, id)
			if tx != nil {
				d, err = w.devices.Load(ctx, tx, t, id)
			}
			return hello.Machine{Name: d.Name, Enabled: d.Enabled}, err
		},
		Audit: h.Audit.Write,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.hello
}

// openDevices switches devices and Hello keys on, and gives Bob a laptop.
func (w *world) openDevices() {
	w.t.Helper()
	w.devices = device.New(device.Config{DB: w.DB, Keys: w.Key, Now: w.Now})
	ring := keyring.New(keyring.Config{DB: w.DB, KEK: secret.RandomKey(), Now: w.Now})
	w.prts = prt.New(prt.Config{DB: w.DB, Keys: ring, Audit: w.Audit, Now: w.Now, Epoch: func() int64 { return 0 },
		Lives: func(ctx context.Context, t idp.TenantID) (time.Duration, time.Duration, error) {
			p, err := w.Policies.Get(ctx, t)
			return p.Devices.Idle, p.Devices.Absolute, err
		}})
	w.devices.OnRemove(w.hello.OnDeviceRemoved)
	w.devices.OnRemove(w.prts.RevokeDevice)
	w.devices.OnDisable(w.prts.RevokeDevice)
	w.devices.OnRemove(w.Corridor.CheckDevice)
	w.devices.OnDisable(w.Corridor.CheckDevice)
	w.Policy(w.t, w.Tenant.ID, func(p *policy.Policy) {
		p.Devices.On = true
		p.Methods[policy.Hello] = policy.MethodRules{On: true, Include: []policy.Include{{Target: policy.Target{All: true}}}}
	})
	w.laptop = w.join(w.Bob, "ws-17", nil)
	w.key(w.Bob, w.laptop)
	w.signInWith(w.Bob, w.laptop)
}

// join registers a device of somebody.
func (w *world) join(u idp.User, name string, change func(*device.Candidate)) device.Device {
	w.t.Helper()
	keys := [2]*ecdsa.PrivateKey{}
	for i := range keys {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			w.t.Fatal(err)
		}
		keys[i] = k
	}
	c := device.Candidate{
		Tenant: u.Tenant, Name: name, OS: "Linux", OSVersion: "Debian 13", Join: device.Joined, Owner: u.ID, Assurance: device.Attested,
		Key: keys[0].Public(), Transport: keys[1].Public(), Quota: 50,
	}
	if change != nil {
		change(&c)
	}
	d, _, err := w.devices.Prepare(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Write(w.t, func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Add(ctx, tx, d, c) })
	return d
}

// key makes a Hello key of somebody on a device.
func (w *world) key(u idp.User, d device.Device) method.Credential {
	w.t.Helper()
	c, err := w.Corridor.RegisterOnce(w.t.Context(), signin.RegisterOnceRequest{
		OnceRequest: signin.OnceRequest{Tenant: u.Tenant, Method: hello.ID, Payload: hellotest.EC().Public(), User: u, Device: d.ID, Peer: w.Peer("device")},
		ProofTime:   w.Now(), Within: 10 * time.Minute, ByToken: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// signInWith gives somebody a PRT on a device.
func (w *world) signInWith(u idp.User, d device.Device) prt.PRT {
	w.t.Helper()
	i, err := w.prts.Prepare(w.t.Context(), prt.PRT{
		Tenant: u.Tenant, User: u.ID, Device: d.ID, Protocol: prt.V3, IP: "192.0.2.7",
		Proofs: []idp.Proof{{Tenant: u.Tenant, User: u.ID, Method: policy.Hello, Mode: idp.ModeHello, Credential: "k", Time: w.Now()}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Write(w.t, func(ctx context.Context, tx *sqldb.Tx) error { return w.prts.Add(ctx, tx, i) })
	return i.PRT
}

// keeper lists and clears keys through the corridor, as a house does.
func (w *world) keeper() *hygiene.Keeper {
	type many = func(context.Context, idp.TenantID, []signin.Named, signin.Cleaning) ([]error, error)
	through := func(do many) func(context.Context, idp.TenantID, []hygiene.Key, hygiene.Options, bool) ([]error, error) {
		return func(ctx context.Context, t idp.TenantID, keys []hygiene.Key, o hygiene.Options, try bool) ([]error, error) {
			list := make([]signin.Named, len(keys))
			for i, k := range keys {
				list[i] = signin.Named{User: k.User, Method: k.Method, Credential: k.ID}
			}
			return do(ctx, t, list, signin.Cleaning{Actor: o.Actor, Try: try})
		}
	}
	return hygiene.New(hygiene.Config{
		DB: w.DB, Directory: w.Directory, Rooms: []hygiene.Lister{w.hello},
		Rules: func(ctx context.Context, t idp.TenantID) (policy.HelloRules, error) {
			p, err := w.Policies.Get(ctx, t)
			return p.Hello, err
		},
		Clean: through(w.Corridor.Clean), Restore: through(w.Corridor.Restore), Removed: w.Corridor.Removed,
	})
}
