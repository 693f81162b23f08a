package portal

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// openHello is the Hello room, on the devices that are opened later.
func (w *world) openHello() method.Method {
	var err error
	w.hello, err = hello.New(hello.Config{
		DB: w.db, Now: w.clock, Issuer: func(t idp.TenantID) string { return origin + "/" + string(t) + "/v2.0" },
		User: func(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
			return w.dir.User(ctx, w.db, t, id)
		},
		UserByName: func(ctx context.Context, t idp.TenantID, name string) (idp.User, error) {
			return w.dir.UserByName(ctx, w.db, t, name)
		},
		Rules: func(ctx context.Context, t idp.TenantID) (policy.HelloRules, error) {
			_, rules, err := w.deviceRules(ctx, t)
			return rules, err
		},
		Device: func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) (hello.Machine, error) {
			d, err := w.devices.Get(ctx, t, id)
			if tx != nil {
				d, err = w.devices.Load(ctx, tx, t, id)
			}
			return hello.Machine{Name: d.Name, Enabled: d.Enabled}, err
		},
	})
	w.must(err)
	return w.hello
}

func (w *world) openDevices() {
	w.devices = device.New(device.Config{DB: w.db, Keys: w.ring.Sealing, Now: w.clock})
	w.prts = prt.New(prt.Config{DB: w.db, Keys: w.ring, Audit: w.audit, Now: w.clock, Epoch: func() int64 { return 0 },
		Lives: func(ctx context.Context, t idp.TenantID) (time.Duration, time.Duration, error) {
			r, _, err := w.deviceRules(ctx, t)
			return r.Idle, r.Absolute, err
		}})
	w.devices.OnRemove(w.hello.OnDeviceRemoved)
	w.devices.OnRemove(w.prts.RevokeDevice)
	w.devices.OnDisable(w.prts.RevokeDevice)
}

func (w *world) deviceRules(ctx context.Context, t idp.TenantID) (policy.DeviceRules, policy.HelloRules, error) {
	p, err := w.rules.Get(ctx, t)
	return p.Devices, p.Hello, err
}

// stands is what sessions ask that a device brought.
func (w *world) stands(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.SessionID, d idp.DeviceID) (bool, error) {
	one, err := w.devices.Load(ctx, q, t, d)
	if err != nil || !one.Enabled {
		return false, nil
	}
	return w.prts.Alive(ctx, q, t, id)
}

// join gives somebody a device, and with signedIn a Hello key and a PRT on it.
func (w *world) join(u idp.User, name string, signedIn bool) device.Device {
	w.t.Helper()
	d := w.joinAs(u, name, "Linux", "Debian 13")
	if signedIn {
		w.helloKey(u, d)
		w.signInWith(u, d)
	}
	return d
}

// joinAs gives somebody a device of a system.
func (w *world) joinAs(u idp.User, name, system, version string) device.Device {
	w.t.Helper()
	pair := [2]*ecdsa.PrivateKey{}
	for i := range pair {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		w.must(err)
		pair[i] = k
	}
	c := device.Candidate{Tenant: u.Tenant, Name: name, OS: system, OSVersion: version, Join: device.Joined, Owner: u.ID, Assurance: device.Attested,
		Key: pair[0].Public(), Transport: pair[1].Public(), Quota: 50}
	d, _, err := w.devices.Prepare(w.t.Context(), c)
	w.must(err)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Add(ctx, tx, d, c) })
	return d
}

func (w *world) helloKey(u idp.User, d device.Device) method.Credential {
	w.t.Helper()
	c, err := w.portal.cfg.Corridor.RegisterOnce(w.t.Context(), signin.RegisterOnceRequest{
		OnceRequest: signin.OnceRequest{Tenant: u.Tenant, Method: hello.ID, Payload: hellotest.EC().Public(), User: u, Device: d.ID},
		ProofTime:   w.clock(), Within: 10 * time.Minute, ByToken: true,
	})
	w.must(err)
	return c
}

func (w *world) signInWith(u idp.User, d device.Device) prt.PRT {
	w.t.Helper()
	i, err := w.prts.Prepare(w.t.Context(), prt.PRT{Tenant: u.Tenant, User: u.ID, Device: d.ID, Protocol: prt.V3})
	w.must(err)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.prts.Add(ctx, tx, i) })
	return i.PRT
}

// helloOn switches devices and Hello keys on.
func (w *world) helloOn() {
	w.t.Helper()
	w.change(func(p *policy.Policy) {
		p.Devices.On = true
		p.Methods[policy.Hello] = policy.MethodRules{On: true, Include: []policy.Include{{Target: policy.Target{All: true}}}}
	})
}

// change saves other rules.
func (w *world) change(fn func(*policy.Policy)) {
	w.t.Helper()
	p, err := w.rules.Load(w.t.Context(), w.db, w.tenant.ID)
	w.must(err)
	p = p.Clone()
	fn(&p)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.rules.Put(ctx, tx, w.tenant.ID, p) })
}

func deviceAt(s string, d device.Device, what string) string {
	return "/account/device?" + url.Values{"session": {s}, "device": {string(d.ID)}, "what": {what}}.Encode()
}

// TestMyDevices: what somebody has joined, and how they are signed in with it;
// each deed tells what follows and does it.
func TestMyDevices(t *testing.T) {
	w := newWorld(t)
	w.helloOn()
	ada, bob := w.newUser("ada@nordhafen.example", "Ada"), w.newUser("bob@nordhafen.example", "Bob")
	b := w.newBrowser()
	b.firstDay(ada, "Blue YubiKey").want(t, 200, "No device yet")
	mine := w.join(ada, "ws-17", true)
	lent := w.join(bob, "lent-1", false)
	w.signInWith(ada, lent)
	page := b.get("/account").want(t, 200, "ws-17", "Debian 13 (Linux)", "Signed in until", "Hello key, not used yet", "security chip (TPM)", "lent-1", "Somebody else", "2 ways")
	s := page.field("session")
	b.get(deviceAt(s, mine, "sign-out")).want(t, 200, "Sign out on ws-17?", "signed out on it at once", "stays, and opens it again")
	b.get(deviceAt(s, mine, "disable")).want(t, 200, "Switch ws-17 off?", "for 7 days at most", "Only an administrator")
	form := func(d device.Device, what string) url.Values {
		return url.Values{"session": {s}, "device": {string(d.ID)}, "what": {what}}
	}
	prts := func(d device.Device) int {
		list, err := w.prts.OfDevice(t.Context(), w.tenant.ID, d.ID)
		w.must(err)
		return len(list)
	}
	w.signInWith(bob, mine)
	b.get(deviceAt(s, mine, "remove")).want(t, 200, "1 other person signs in with it")
	b.follow(b.post("/account/device", form(mine, "sign-out"))).want(t, 200, "You are signed out on that device.", "Signed out on a device")
	if prts(mine) != 1 {
		t.Errorf("%d PRTs after one's own ended", prts(mine))
	}
	b.follow(b.post("/account/device", form(mine, "disable"))).want(t, 200, "The device is switched off.", "it lets nobody in", "Its device is switched off")
	if prts(mine) != 0 {
		t.Error("somebody is signed in with a device that is off")
	}
	b.follow(b.post("/account/device", form(mine, "remove"))).want(t, 200, "The device is removed.", "Device removed", "Its device is gone")
	if _, err := w.devices.Get(t.Context(), w.tenant.ID, mine.ID); idp.AsError(err) == nil {
		t.Error("it is still there")
	}
	list, err := w.audit.List(t.Context(), w.db, w.tenant.ID, audit.Filter{Of: audit.Changes, Limit: 1})
	if err != nil || list[0].Activity != "device.remove" || list[0].Detail["device"] != string(mine.ID) || list[0].Detail["displayName"] != "ws-17" || list[0].User != ada.ID {
		t.Errorf("recorded %+v, %v", list, err)
	}
}

// TestSec_WAN12_DevicesOfOthers: nobody switches off or removes a device that
// they did not join, whatever they sign in with; nor on an old proof, nor on a
// pass.
func TestSec_WAN12_DevicesOfOthers(t *testing.T) {
	w := newWorld(t)
	w.helloOn()
	ada, bob := w.newUser("ada@nordhafen.example", "Ada"), w.newUser("bob@nordhafen.example", "Bob")
	b := w.newBrowser()
	s := b.firstDay(ada, "Blue YubiKey").field("session")
	lent, his, mine := w.join(bob, "lent-1", false), w.join(bob, "his-1", true), w.join(ada, "ws-17", true)
	w.signInWith(ada, lent)
	try := func(d device.Device, what string) reply {
		return b.post("/account/device", url.Values{"session": {s}, "device": {string(d.ID)}, "what": {what}})
	}
	for what, d := range map[string]device.Device{"disable": lent, "remove": lent, "sign-out": his, "explode": mine} {
		try(d, what).want(t, http.StatusNotFound)
		b.get(deviceAt(s, d, what)).want(t, http.StatusNotFound)
	}
	w.later(6 * time.Minute)
	for _, what := range []string{"sign-out", "disable", "remove"} {
		try(mine, what).want(t, 200, "Show that it is still you")
		b.get(deviceAt(s, mine, what)).want(t, 200, "Show that it is still you")
	}
	for _, d := range []device.Device{lent, his, mine} {
		if got, err := w.devices.Load(t.Context(), w.db, w.tenant.ID, d.ID); err != nil || !got.Enabled {
			t.Errorf("%s was touched: %v", d.Name, err)
		}
	}
	page := b.get(deviceAt(s, mine, "disable"))
	back := b.follow(b.usePasskey(page, ada.Name)).want(t, 200, "Switch ws-17 off?")
	if back.field("device") != string(mine.ID) {
		t.Error("the question came back about something else")
	}
}

// TestSec_WAN12_LastWayIn: who would have no way in without a device keeps it.
func TestSec_WAN12_LastWayIn(t *testing.T) {
	w := newWorld(t)
	w.helloOn()
	ada := w.newUser("ada@nordhafen.example", "Ada")
	b := w.newBrowser()
	s := b.firstDay(ada, "Blue YubiKey").field("session")
	d := w.join(ada, "ws-17", true)
	keys, err := w.keys.List(t.Context(), w.tenant.ID, ada.ID)
	w.must(err)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return w.keys.Remove(ctx, tx, w.tenant.ID, ada.ID, keys[0].ID)
	})
	for _, what := range []string{"disable", "remove"} {
		b.get(deviceAt(s, d, what)).want(t, 200, "is your only way in, so it stays", "Add a passkey")
		got := b.post("/account/device", url.Values{"session": {s}, "device": {string(d.ID)}, "what": {what}})
		if got.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d %s", what, got.StatusCode, got.text())
		}
	}
	if got, err := w.devices.Load(t.Context(), w.db, w.tenant.ID, d.ID); err != nil || !got.Enabled {
		t.Errorf("it was touched: %v", err)
	}
	b.follow(b.post("/account/device", url.Values{"session": {s}, "device": {string(d.ID)}, "what": {"sign-out"}})).want(t, 200, "signed out on that device")
}

// TestThisDevice: who is here by a device sees which one it is, and is told
// that they leave with it.
func TestThisDevice(t *testing.T) {
	w := newWorld(t)
	w.helloOn()
	ada := w.newUser("ada@nordhafen.example", "Ada")
	b := w.newBrowser()
	b.firstDay(ada, "Blue YubiKey")
	d := w.join(ada, "ws-17", false)
	key := w.helloKey(ada, d)
	one := w.signInWith(ada, d)
	proof := idp.Proof{Tenant: ada.Tenant, User: ada.ID, Method: hello.ID, Mode: idp.ModeHello, Credential: key.ID, Time: w.clock(),
		Properties: []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.MultiFactor}}
	s := b.carries(session.Session{Tenant: ada.Tenant, User: ada.ID, Proofs: []idp.Proof{proof}, ProofTime: w.clock(), PRT: one.ID, Device: d.ID})
	page := b.get("/account?session="+string(s)).want(t, 200, "This device")
	if !strings.Contains(page.body, "tag brass") {
		t.Error("nothing marks it")
	}
	b.get(deviceAt(string(s), d, "sign-out")).want(t, 200, "you are signed out here, too")
	b.post("/account/device", url.Values{"session": {string(s)}, "device": {string(d.ID)}, "what": {"sign-out"}})
	if all, err := w.portal.cfg.Sessions.List(t.Context(), w.tenant.ID, ada.ID); err != nil || len(all) != 1 {
		t.Errorf("%d sessions, %v: only the one of the passkey stays", len(all), err)
	}
}

// carries gives the browser one more session.
func (b *browser) carries(s session.Session) idp.SessionID {
	b.w.t.Helper()
	bearer := ""
	b.w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		s, bearer, err = b.w.portal.cfg.Sessions.Open(ctx, tx, s)
		return err
	})
	rec := httptest.NewRecorder()
	at, err := url.Parse(b.w.server.URL)
	b.w.must(err)
	r := httptest.NewRequest(http.MethodGet, b.w.server.URL, nil)
	for _, c := range b.client.Jar.Cookies(at) {
		r.AddCookie(c)
	}
	b.w.portal.cfg.Sessions.Set(rec, r, bearer, "")
	b.client.Jar.SetCookies(at, rec.Result().Cookies())
	return s.ID
}
