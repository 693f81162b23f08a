package graph_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"slices"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/graph"
	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// helloRoom is the room of Hello keys over the world's devices.
func (w *world) helloRoom(policies *policy.Store) *hello.Room {
	room, err := hello.New(hello.Config{
		DB: w.db, Now: func() time.Time { return w.now },
		Rules: helloRules(policies),
		User: func(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
			return w.dir.User(ctx, w.db, t, id)
		},
		UserByName: func(ctx context.Context, t idp.TenantID, name string) (idp.User, error) {
			return w.dir.UserByName(ctx, w.db, t, name)
		},
		Device: w.machine,
		Issuer: func(t idp.TenantID) string { return base + "/" + string(t) + "/v2.0" },
		Audit:  w.audit.Write,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return room
}

// macRoom is the room of the keys of Macs, over the same devices.
func (w *world) macRoom(policies *policy.Store) *platform.Room {
	room, err := platform.New(platform.Config{
		DB: w.db, Now: func() time.Time { return w.now },
		Limit: func(ctx context.Context, t idp.TenantID) (int, error) {
			p, err := policies.Get(ctx, t)
			return p.Platform.Limit, err
		},
		User: func(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
			return w.dir.User(ctx, w.db, t, id)
		},
		UserByName: func(ctx context.Context, t idp.TenantID, name string) (idp.User, error) {
			return w.dir.UserByName(ctx, w.db, t, name)
		},
		Device: w.machine, Audit: w.audit.Write,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return room
}

// machine is a device as a room of keys knows it.
func (w *world) machine(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) (hello.Machine, error) {
	var q sqldb.Querier = w.db
	if tx != nil {
		q = tx
	}
	d, err := w.devices.Load(ctx, q, t, id)
	return hello.Machine{Name: d.Name, Enabled: d.Enabled}, err
}

func helloRules(policies *policy.Store) func(context.Context, idp.TenantID) (policy.HelloRules, error) {
	return func(ctx context.Context, t idp.TenantID) (policy.HelloRules, error) {
		p, err := policies.Get(ctx, t)
		return p.Hello, err
	}
}

// keeper looks over keys, as the house does.
func (w *world) keeper(policies *policy.Store) *hygiene.Keeper {
	type many = func(context.Context, idp.TenantID, []signin.Named, signin.Cleaning) ([]error, error)
	through := func(do many) func(context.Context, idp.TenantID, []hygiene.Key, hygiene.Options, bool) ([]error, error) {
		return func(ctx context.Context, t idp.TenantID, keys []hygiene.Key, o hygiene.Options, try bool) ([]error, error) {
			var list []signin.Named
			for _, k := range keys {
				list = append(list, signin.Named{User: k.User, Method: k.Method, Credential: k.ID})
			}
			return do(ctx, t, list, signin.Cleaning{Actor: o.Actor, Try: try})
		}
	}
	return hygiene.New(hygiene.Config{
		DB: w.db, Directory: w.dir, Rooms: []hygiene.Lister{w.hello, w.macs}, Rules: helloRules(policies),
		Clean: through(w.corridor.Clean), Restore: through(w.corridor.Restore), Removed: w.corridor.Removed,
	})
}

func (w *world) standing(ctx context.Context, t idp.TenantID, d idp.DeviceID) (graph.Standing, error) {
	keys, err := w.hello.OnDevice(ctx, t, d)
	if err != nil {
		return graph.Standing{}, err
	}
	of, err := w.macs.OnDevice(ctx, t, d)
	if err != nil {
		return graph.Standing{}, err
	}
	s := graph.Standing{Keys: len(keys), MacKeys: len(of), Tokens: w.tokensOn[d], Signed: w.signedOn[d]}
	keys = append(keys, of...)
	for _, k := range keys {
		if !slices.Contains(s.Holders, k.User) {
			s.Holders = append(s.Holders, k.User)
		}
	}
	s.Only, err = w.corridor.Stranded(ctx, t, keys)
	return s, err
}

// join makes a device of u's.
func (w *world) join(u idp.User, name string, change ...func(*device.Candidate)) device.Device {
	w.t.Helper()
	key := func() *ecdsa.PublicKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			w.t.Fatal(err)
		}
		return &k.PublicKey
	}
	c := device.Candidate{
		Tenant: u.Tenant, Name: name, OS: "Linux", OSVersion: "Debian 13", Join: device.Joined, Owner: u.ID,
		Assurance: device.Unattested, Key: key(), Transport: key(), Quota: 50,
	}
	for _, fn := range change {
		fn(&c)
	}
	w.now = w.now.Add(time.Millisecond) // lists are in the order of joining
	d, _, err := w.devices.Prepare(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Add(ctx, tx, d, c) })
	return d
}

// enrol puts a Hello key of u's on a device.
func (w *world) enrol(u idp.User, d device.Device) method.Credential {
	w.t.Helper()
	w.now = w.now.Add(time.Millisecond)
	reg, err := w.hello.RegisterOnce(w.t.Context(), method.Answer{Tenant: u.Tenant, User: u, Device: d.ID, Payload: hellotest.EC().Public(), Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(reg.Settle)
	return reg.Credential
}

// enrolMac puts a key of u's on a Mac.
func (w *world) enrolMac(u idp.User, d device.Device) method.Credential {
	w.t.Helper()
	w.now = w.now.Add(time.Millisecond)
	e := platform.Expected{Audience: base, Nonce: "nonce"}
	reg, err := w.macs.RegisterOnce(w.t.Context(), method.Answer{
		Tenant: u.Tenant, User: u, Device: d.ID, Keep: e.Keep(), Payload: platformtest.New().Offer(e, w.now).Payload(), Now: w.now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(reg.Settle)
	return reg.Credential
}

// leave removes a device, as its owner would.
func (w *world) leave(d device.Device) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Remove(ctx, tx, d.Tenant, d.ID) })
}
