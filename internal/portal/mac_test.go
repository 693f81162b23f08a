package portal

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// enclaveStub is a room of Mac keys that are what a test says they are.
type enclaveStub struct{ keys []method.Credential }

func (*enclaveStub) ID() idp.MethodID { return policy.Platform }
func (*enclaveStub) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, idp.Unprovenf("stub", "no challenge here")
}
func (*enclaveStub) Verify(context.Context, method.Answer) (method.Verdict, error) {
	return method.Verdict{}, idp.Unprovenf("stub", "no proof here")
}
func (e *enclaveStub) those(keep func(method.Credential) bool) (out []method.Credential) {
	for _, k := range e.keys {
		if keep(k) {
			out = append(out, k)
		}
	}
	return out
}
func (e *enclaveStub) List(_ context.Context, t idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	return e.those(func(k method.Credential) bool { return k.Tenant == t && k.User == u }), nil
}
func (e *enclaveStub) OnDevice(_ context.Context, t idp.TenantID, d idp.DeviceID) ([]method.Credential, error) {
	return e.those(func(k method.Credential) bool { return k.Tenant == t && k.Facts.Device == d }), nil
}
func (e *enclaveStub) find(u idp.UserID, id idp.CredentialID) (int, error) {
	i := slices.IndexFunc(e.keys, func(k method.Credential) bool { return k.User == u && k.ID == id })
	if i < 0 {
		return i, idp.NotFoundf("platform_missing", "%s of %s", id, u)
	}
	return i, nil
}
func (e *enclaveStub) Rename(_ context.Context, tx *sqldb.Tx, _ idp.TenantID, u idp.UserID, id idp.CredentialID, name string) error {
	i, err := e.find(u, id)
	if err == nil {
		tx.OnCommit(func() { e.keys[i].Name = name })
	}
	return err
}
func (e *enclaveStub) Remove(_ context.Context, tx *sqldb.Tx, _ idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	i, err := e.find(u, id)
	if err == nil {
		tx.OnCommit(func() { e.keys = slices.Delete(e.keys, i, i+1) })
	}
	return err
}
func (e *enclaveStub) Count(ctx context.Context, _ *sqldb.Tx, t idp.TenantID, u idp.UserID) (int, error) {
	all, err := e.List(ctx, t, u)
	return len(all), err
}
func (e *enclaveStub) Walk(_ context.Context, t idp.TenantID, fn func(method.Credential) error) error {
	for _, k := range e.those(func(k method.Credential) bool { return k.Tenant == t }) {
		if err := fn(k); err != nil {
			return err
		}
	}
	return nil
}

// onDevice are the keys of both rooms that a device keeps.
func (w *world) onDevice(ctx context.Context, t idp.TenantID, d idp.DeviceID) ([]method.Credential, error) {
	keys, err := w.hello.OnDevice(ctx, t, d)
	if err != nil {
		return nil, err
	}
	more, err := w.enclave.OnDevice(ctx, t, d)
	return append(keys, more...), err
}

func (w *world) macRules(ctx context.Context, t idp.TenantID) (policy.PlatformRules, error) {
	p, err := w.rules.Get(ctx, t)
	return p.Platform, err
}

// serials says that each device of whom a Mac has a serial number of its name.
func (w *world) serials(ctx context.Context, t idp.TenantID, ids []idp.DeviceID) (map[idp.DeviceID]string, error) {
	out := map[idp.DeviceID]string{}
	for _, id := range ids {
		d, err := w.devices.Get(ctx, t, id)
		if err != nil {
			return nil, err
		}
		if isMac(d) {
			out[id] = "C02" + d.Name
		}
	}
	return out, nil
}

// macKey makes a Mac of one's devices, with a key of its person.
func (w *world) macKey(u idp.User, d device.Device) method.Credential {
	k := method.Credential{
		ID: idp.CredentialID(secret.NewUUID4()), Tenant: u.Tenant, User: u.ID, Method: policy.Platform, Mode: idp.ModeHello, Name: "Key on " + d.Name, Created: w.clock(),
		Facts: idp.Facts{Device: d.ID}, Properties: []idp.Property{idp.PhishingResistant, idp.Possession, idp.MultiFactor},
	}
	w.enclave.keys = append(w.enclave.keys, k)
	return k
}

// TestMyMac: a Mac is among one's devices with its serial number, and its key
// among one's methods: it is renamed and removed as others are.
func TestMyMac(t *testing.T) {
	w := newWorld(t)
	w.helloOn()
	w.change(func(p *policy.Policy) { p.Switch(policy.Platform, true); p.Platform.WarnAt = 1 })
	ada := w.newUser("ada@nordhafen.example", "Ada")
	b := w.newBrowser()
	s := b.firstDay(ada, "Blue YubiKey").field("session")
	d := w.joinAs(ada, "FV1209", "macOS", "macOS 26.1")
	k := w.macKey(ada, d)
	page := b.get("/account").want(t, 200, "FV1209", "serial number C02FV1209", "Mac key, not used yet", "Its keys are in its Secure Enclave", "Mac key</span>", "You hold 1 of 20 Mac keys.", "2 ways")
	if strings.Contains(page.body, "TPM") || strings.Contains(page.body, "Hello key") {
		t.Error("a Mac has a TPM, or a Hello key")
	}
	b.get(deviceAt(s, d, "disable")).want(t, 200, "Your key on it lets nobody in while it is off.")
	b.get(deviceAt(s, d, "remove")).want(t, 200, "Your key on it lets nobody in any more.")
	b.get(deviceAt(s, d, "sign-out")).want(t, 200, "Your key on it stays")
	form := url.Values{"session": {s}, "method": {"platform"}, "credential": {string(k.ID)}, "name": {"My MacBook"}}
	b.follow(b.post("/account/rename", form)).want(t, 200, "My MacBook")
	b.follow(b.post("/account/remove", form)).want(t, 200, "removed")
	if n := len(w.enclave.keys); n != 0 {
		t.Errorf("%d keys", n)
	}
	list, err := w.audit.List(t.Context(), w.db, w.tenant.ID, audit.Filter{Of: audit.Changes, Limit: 2})
	if err != nil || list[0].Activity != "platform.remove" || list[1].Activity != "platform.rename" {
		t.Errorf("recorded %+v, %v", list, err)
	}
}

// TestSec_WAN12_MacKeysOfOthers: nobody renames or removes another's Mac key, nor
// their own on an old proof, and the last way in stays.
func TestSec_WAN12_MacKeysOfOthers(t *testing.T) {
	w := newWorld(t)
	w.helloOn()
	w.change(func(p *policy.Policy) { p.Switch(policy.Platform, true) })
	ada, bob := w.newUser("ada@nordhafen.example", "Ada"), w.newUser("bob@nordhafen.example", "Bob")
	b := w.newBrowser()
	s := b.firstDay(ada, "Blue YubiKey").field("session")
	his, mine := w.macKey(bob, w.joinAs(bob, "FV1", "macOS", "")), w.macKey(ada, w.joinAs(ada, "FV2", "macOS", ""))
	send := func(path string, k method.Credential) reply {
		return b.post(path, url.Values{"session": {s}, "method": {"platform"}, "credential": {string(k.ID)}, "name": {"Mine now"}})
	}
	for _, path := range []string{"/account/rename", "/account/remove"} {
		send(path, his).want(t, http.StatusNotFound)
	}
	w.later(6 * time.Minute)
	send("/account/remove", mine).want(t, 200, "Show that it is still you")
	if len(w.enclave.keys) != 2 || w.enclave.keys[0].Name != "Key on FV1" {
		t.Fatalf("%+v", w.enclave.keys)
	}
	keys, err := w.keys.List(t.Context(), w.tenant.ID, ada.ID)
	w.must(err)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return w.keys.Remove(ctx, tx, w.tenant.ID, ada.ID, keys[0].ID)
	})
	d, err := w.devices.Get(t.Context(), w.tenant.ID, mine.Facts.Device)
	w.must(err)
	w.later(-6 * time.Minute)
	b.get(deviceAt(s, d, "remove")).want(t, 200, "Your key on it is your only way in, so it stays.")
}
