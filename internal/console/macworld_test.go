package console

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/macprofile"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// enclave is a room of Mac keys that are what a test says they are.
type enclave struct {
	mu   sync.Mutex
	keys []method.Credential
}

func (*enclave) ID() idp.MethodID { return policy.Platform }
func (*enclave) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, idp.Unprovenf("stub", "no challenge here")
}
func (*enclave) Verify(context.Context, method.Answer) (method.Verdict, error) {
	return method.Verdict{}, idp.Unprovenf("stub", "no proof here")
}
func (e *enclave) those(keep func(method.Credential) bool) (out []method.Credential) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range e.keys {
		if keep(k) {
			out = append(out, k)
		}
	}
	return out
}
func (e *enclave) List(_ context.Context, t idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	return e.those(func(k method.Credential) bool { return k.Tenant == t && k.User == u }), nil
}
func (e *enclave) OnDevice(_ context.Context, t idp.TenantID, d idp.DeviceID) ([]method.Credential, error) {
	return e.those(func(k method.Credential) bool { return k.Tenant == t && k.Facts.Device == d }), nil
}
func (*enclave) Rename(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID, string) error {
	return idp.NotFoundf("stub", "none")
}
func (e *enclave) Remove(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, _ idp.UserID, id idp.CredentialID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys = slices.DeleteFunc(e.keys, func(k method.Credential) bool { return k.ID == id })
	return nil
}
func (e *enclave) Count(ctx context.Context, _ *sqldb.Tx, t idp.TenantID, u idp.UserID) (int, error) {
	all, err := e.List(ctx, t, u)
	return len(all), err
}
func (e *enclave) Walk(_ context.Context, t idp.TenantID, fn func(method.Credential) error) error {
	for _, k := range e.those(func(k method.Credential) bool { return k.Tenant == t }) {
		if err := fn(k); err != nil {
			return err
		}
	}
	return nil
}

// machineKeys are the keys of both rooms.
type machineKeys struct{ *world }

func (m machineKeys) List(ctx context.Context, t idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	keys, err := m.hello.List(ctx, t, u)
	if err != nil {
		return nil, err
	}
	more, err := m.enclave.List(ctx, t, u)
	return append(keys, more...), err
}

func (m machineKeys) OnDevice(ctx context.Context, t idp.TenantID, d idp.DeviceID) ([]method.Credential, error) {
	keys, err := m.hello.OnDevice(ctx, t, d)
	if err != nil {
		return nil, err
	}
	more, err := m.enclave.OnDevice(ctx, t, d)
	return append(keys, more...), err
}

func (m machineKeys) Walk(ctx context.Context, t idp.TenantID, fn func(method.Credential) error) error {
	if err := m.hello.Walk(ctx, t, fn); err != nil {
		return err
	}
	return m.enclave.Walk(ctx, t, fn)
}

// openMacs gives the console its pages about Macs.
func (w *world) openMacs() *Macs {
	w.macs = mac.New(mac.Config{DB: w.DB, Devices: w.devices, Keys: w.Key, Now: w.Now})
	w.devices.OnRemove(w.macs.OnDeviceRemoved)
	return &Macs{Registry: w.macs, Profile: w.profile}
}

// profile is what an installation gives its Macs that names an app; w.app names
// none when it is switched off.
func (w *world) profile(ctx context.Context, t idp.TenantID, ask MacProfileAsk) (MacProfile, error) {
	const app = "ABCDE12345.example.signet.mac"
	if w.appless {
		return MacProfile{}, nil
	}
	p, err := w.Policies.Get(ctx, t)
	if err != nil {
		return MacProfile{}, err
	}
	file, err := macprofile.Make(macprofile.Settings{
		BaseURL: "https://id.example", Tenant: t, Domains: []string{"nordhafen.example"}, Organisation: "Nordhafen", ClientID: pssowire.ClientID,
		Configuration: "https://id.example/" + string(t) + "/psso/configuration", Extension: app + ".sso", App: app,
		Method: macprofile.Method(p.Macs.Method), AccountName: p.Macs.AccountName, LoginFrequency: p.Macs.LoginFrequency, Demo: true, Token: ask.Token, Direct: ask.Direct,
	})
	return MacProfile{File: file, App: app, Demo: true}, err
}

// mac registers a Mac: with a token it waits for its first person.
func (w *world) mac(u idp.User, name, serial string, byToken bool) device.Device {
	w.t.Helper()
	c := device.Candidate{
		Tenant: w.Tenant.ID, Name: name, OS: mac.OS, OSVersion: "macOS 26.1", Join: device.Joined, Owner: u.ID, Assurance: device.Unattested, Quota: 50,
	}
	q := mac.Registration{Tenant: w.Tenant.ID, Serial: serial, Source: mac.ByPerson}
	if byToken {
		c.Pending, q.Source, q.Token = w.Now().Add(24*time.Hour), mac.ByToken, "t"
	}
	for _, at := range []*mac.NewKey{&q.Signing, &q.Encryption} {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			w.t.Fatal(err)
		}
		at.Public = &k.PublicKey
	}
	c.Key, c.Transport = q.Signing.Public, q.Encryption.Public
	d, _, err := w.devices.Prepare(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	q.Device = d.ID
	w.Write(w.t, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := w.devices.Add(ctx, tx, d, c); err != nil {
			return err
		}
		if _, err := w.macs.Add(ctx, tx, q); err != nil {
			return err
		}
		return w.Audit.Write(ctx, tx, audit.Event{Tenant: w.Tenant.ID, Category: audit.Change, Activity: "device.join", Outcome: audit.Success, Actor: string(u.ID), User: u.ID,
			Detail: map[string]string{"device": string(d.ID), "name": name, "os": mac.OS, "serial": serial}})
	})
	return d
}

// macKey gives somebody a key on a Mac.
func (w *world) macKey(u idp.User, d device.Device) method.Credential {
	w.t.Helper()
	k := method.Credential{
		ID: idp.CredentialID(secret.NewUUID4()), Tenant: w.Tenant.ID, User: u.ID, Method: policy.Platform, Mode: idp.ModeHello, Name: d.Name, Created: w.Now(),
		Facts: idp.Facts{Device: d.ID}, Properties: []idp.Property{idp.PhishingResistant, idp.Possession, idp.MultiFactor},
	}
	w.enclave.mu.Lock()
	defer w.enclave.mu.Unlock()
	w.enclave.keys = append(w.enclave.keys, k)
	return k
}

// unlocks has somebody sign in at the login window of a Mac.
func (w *world) unlocks(u idp.User, d device.Device) {
	w.t.Helper()
	i, err := w.prts.Prepare(w.t.Context(), prt.PRT{
		Tenant: u.Tenant, User: u.ID, Device: d.ID, Protocol: prt.Mac,
		Proofs: []idp.Proof{{Tenant: u.Tenant, User: u.ID, Method: policy.Platform, Mode: idp.ModeHello, Credential: "k", Time: w.Now()}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Write(w.t, func(ctx context.Context, tx *sqldb.Tx) error { _, err := w.prts.Login(ctx, tx, i); return err })
	if err := w.devices.Seen(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
}

// turnedAway writes down that a Mac got nowhere.
func (w *world) turnedAway(activity, reason string, detail map[string]string) {
	w.t.Helper()
	e := audit.Event{Tenant: w.Tenant.ID, Category: audit.Change, Activity: activity, Outcome: audit.Failure, Reason: reason, Detail: detail}
	w.Write(w.t, func(ctx context.Context, tx *sqldb.Tx) error { return w.Audit.Write(ctx, tx, e) })
}

// tokenFor makes a registration token for a serial number.
func (w *world) tokenFor(serial string) (t mac.Token) {
	w.t.Helper()
	w.Write(w.t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		t, _, err = w.macs.Tokens.Issue(ctx, tx, mac.TokenRequest{Tenant: w.Tenant.ID, By: w.Ada.ID, Serial: serial})
		return err
	})
	return t
}
