package browser

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	_ "modernc.org/sqlite"

	"github.com/signetid/signet/test/running"
)

// yard writes machines straight into the database of a running demo: joining
// one is another test's.
type yard struct {
	t  *testing.T
	d  *running.Demo
	db *sql.DB
	n  int
}

// machine is a device to be written, as of days ago.
type machine struct {
	name, os, version, assurance string
	owner                        running.User
	software, off                bool
	joined, seen                 int // days ago; seen -1: never
	hello, signedIn              bool
	gone                         bool // only its Hello key is left
}

// newYard switches devices and Hello keys on.
func newYard(t *testing.T, d *running.Demo) *yard {
	t.Helper()
	d.Admin(t, nil, "policy", "set", "devices.on", "true")
	d.Admin(t, nil, "policy", "set", "method.hello", "true")
	db, err := sql.Open("sqlite", "file:"+filepath.Join(d.Data, "signet.db")+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &yard{t: t, d: d, db: db}
}

func (y *yard) do(q string, args ...any) {
	y.t.Helper()
	if _, err := y.db.Exec(q, args...); err != nil {
		y.t.Fatalf("%s: %v", q, err)
	}
}

// key is a new public key in DER, and what it is known by.
func (y *yard) key() (der, digest []byte) {
	y.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		y.t.Fatal(err)
	}
	if der, err = x509.MarshalPKIXPublicKey(k.Public()); err != nil {
		y.t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return der, sum[:]
}

// id is a UUIDv7 of a time, in the order of its making.
func (y *yard) id(at time.Time) string {
	y.n++
	ms := fmt.Sprintf("%012x", at.UnixMilli())
	return fmt.Sprintf("%s-%s-7%03x-8000-%012x", ms[:8], ms[8:], y.n, y.n)
}

// add writes a machine, and gives its id.
func (y *yard) add(m machine) string {
	y.t.Helper()
	now := time.Now()
	ago := func(days int) int64 {
		return now.AddDate(0, 0, -days).Add(-time.Duration(y.n) * 47 * time.Minute).UnixMilli()
	}
	id, joined := y.id(now), ago(m.joined)
	seen := int64(0)
	if m.seen >= 0 {
		seen = ago(m.seen)
	}
	if !m.gone {
		key, digest := y.key()
		transport, _ := y.key()
		voided := int64(0)
		if m.off {
			voided = ago(m.seen)
		}
		y.do(`insert into device (tenant_id, id, name, name_folded, os, os_version, join_type, owner, assurance, software, enabled, pending, key, transport,
			thumbprint, created, seen, certified, voided) values (?, ?, ?, ?, ?, ?, 'AzureAd', ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)`,
			y.d.Tenant, id, m.name, strings.ToLower(m.name), m.os, m.version, m.owner.ID, m.assurance, m.software, !m.off, key, transport,
			fmt.Sprintf("%X", digest[:20]), joined, seen, now.AddDate(10, 0, 0).UnixMilli(), voided)
		y.do(`insert into device_key (digest, tenant_id, device_id, role) values (?, ?, ?, 'device')`, digest, y.d.Tenant, id)
		y.do(`insert into device_held (tenant_id, owner, held) values (?, ?, 1) on conflict (tenant_id, owner) do update set held = held + 1`, y.d.Tenant, m.owner.ID)
	}
	if m.hello {
		der, digest := y.key()
		orphaned := int64(0)
		if m.gone {
			orphaned = ago(m.seen)
		}
		y.do(`insert into hello_key (id, tenant_id, user_id, device_id, kid, print, spki, name, created, last_used, orphaned, removed)
			values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`, y.id(now), y.d.Tenant, m.owner.ID, id, digest, digest, der, m.name, joined, seen, orphaned)
		y.do(`insert into hello_holder (tenant_id, user_id, held) values (?, ?, 1) on conflict (tenant_id, user_id) do update set held = held + 1`, y.d.Tenant, m.owner.ID)
	}
	if m.signedIn {
		at := ago(m.seen)
		proof := fmt.Sprintf(`[{"tenant":%q,"user":%q,"method":"hello","mode":"windowsHelloForBusiness","credential":"k","facts":{},"time":%q}]`,
			y.d.Tenant, m.owner.ID, now.Format(time.RFC3339))
		y.do(`insert into prt (id, tenant_id, user_id, device_id, proofs, proof_time, mfa_time, direct, protocol, kdf, generation, issued, renewed, seen, expires, ends, agent, ip, epoch, ended)
			values (?, ?, ?, ?, ?, ?, ?, true, '3.0', 2, 1, ?, ?, ?, ?, ?, 'Signet desktop', '192.0.2.17', (select cast(value as integer) from installation where name = 'epoch'), 0)`,
			y.id(now), y.d.Tenant, m.owner.ID, id, proof, at, at, at, at, at, now.AddDate(0, 0, 13).UnixMilli(), now.AddDate(0, 0, 80).UnixMilli())
	}
	return id
}

// furnish fills the tenant with the machines of an ordinary week.
func (y *yard) furnish() (laptop, carmen string) {
	u := y.d.Users
	for _, m := range []machine{
		{name: "dock-lobby", os: "Windows", version: "11 24H2", assurance: "attested", owner: u[0], joined: 410, seen: 160},
		{name: "ws-carmen", os: "Linux", version: "Fedora 44", assurance: "attested", owner: u[2], joined: 214, seen: 0, hello: true, signedIn: true},
		{name: "Crane control 3", os: "Linux", version: "Debian 12", assurance: "unattested", owner: u[2], joined: 190, seen: 12},
		{name: "dev-vm", os: "Linux", version: "Ubuntu 26.04", assurance: "unproven", owner: u[3], joined: 88, seen: 2, software: true, hello: true, signedIn: true},
		{name: "Dev’s MacBook", os: "macOS", version: "macOS 26.1", assurance: "unproven", owner: u[3], joined: 61, seen: 31, off: true, hello: true},
		{name: "ws-bela-old", os: "Linux", version: "Debian 12", owner: u[1], joined: 600, seen: 220, gone: true, hello: true},
		{name: "spare-7", os: "Linux", version: "Debian 12", owner: u[1], joined: 530, seen: 260, gone: true, hello: true},
		{name: "pool-2", os: "Windows", version: "11", owner: u[3], joined: 480, seen: 300, gone: true, hello: true},
	} {
		if id := y.add(m); m.name == "ws-carmen" {
			carmen = id
		}
	}
	return y.add(machine{name: "ws-bela", os: "Linux", version: "Debian 13", assurance: "attested", owner: u[1], joined: 34, seen: 0, hello: true, signedIn: true}), carmen
}

// TestMyDevices is somebody whose laptop is gone: they sign out on it, and
// remove it; each time the page says first what follows.
func TestMyDevices(t *testing.T) {
	d := running.StartDemo(t)
	y := newYard(t, d)
	laptop, _ := y.furnish()
	p := NewPerson(t, Chromium(t))
	p.FirstDay(d, d.Users[1])
	p.Open(d.Base + "/account")
	row := `[data-device="` + laptop + `"]`
	p.See(row)
	p.told("Signed in until")
	p.told("Its device is gone")
	p.Pictures("account-devices", "#devices")
	p.Click(row + ` [data-action="device-sign-out"]`)
	p.See(`[data-action="confirm"]`)
	p.told("You are signed out on it at once")
	p.Pictures("account-device-sign-out")
	p.Press("confirm")
	p.told("You are signed out on that device.")
	p.told("You are not signed in with it")
	p.Click(row + ` [data-action="device-disable"]`)
	p.told("Only an administrator can switch it on again.")
	p.Pictures("account-device-disable")
	p.Press("cancel")
	p.See(row)
	p.Scripts(false) // all of it works without
	p.Open(d.Base + "/account")
	p.See(row)
	p.do("remove", chromedp.Click(chromedp.CSS(row+` [data-action="device-remove"]`), chromedp.NodeVisible))
	p.See(`[data-action="confirm"]`)
	p.do("confirm", chromedp.Click(chromedp.CSS(`[data-action="confirm"]`), chromedp.NodeVisible))
	p.See(row + ` ~ li, .alert.good`)
	p.Scripts(true)
	p.Open(d.Base + "/account")
	p.told("Device removed")
	if Eval[bool](p, `Boolean(document.querySelector('`+row+`'))`) {
		t.Error("the device is still there")
	}
}

// TestConsoleDevices is an administrator who is told of a stolen laptop, and of
// its return.
func TestConsoleDevices(t *testing.T) {
	d := running.StartDemo(t)
	y := newYard(t, d)
	laptop, carmen := y.furnish()
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	p.told("Devices")
	p.Pictures("admin-overview-devices", "#b-day")
	p.Open(d.Base + "/admin/people")
	p.Click(`a[href="/admin/people/` + d.Users[1].ID + `"]`)
	p.See(`[data-action="lost-device"]`)
	p.Pictures("admin-person-devices", "#b-methods")
	p.Press("lost-device")
	p.told("is signed out on it")
	p.told("has no other way in")
	p.Pictures("admin-device-disable")
	p.Press("confirm")
	p.told("Nobody is signed in with it any more.")
	p.Pictures("admin-device-off")
	p.Press("enable-device")
	p.told("Its people sign in with it once more.")
	p.Open(d.Base + "/admin/devices")
	p.told("6 devices.")
	p.Pictures("admin-devices")
	p.Click(`a[href="/admin/devices/` + carmen + `"]`)
	p.told("1 person is signed in with it.")
	p.Pictures("admin-device-works")
	p.Pictures("admin-device-in", "#b-prt")
	p.Open(d.Base + "/admin/devices?keys=attested&seen=quiet")
	p.told("1 device.")
	p.Click("details.more > summary")
	p.Pictures("admin-devices-filtered")
	p.Open(d.Base + "/admin/devices")
	p.Type("q", d.Users[1].Show[:4])
	Eval[bool](p, `document.querySelector("form.devicebar").requestSubmit(), true`)
	p.Until("the one found", `document.querySelectorAll("tbody tr").length === 1`)
	p.Click("tbody th a")
	p.told("Works. Nobody is signed in with it now.")
	p.Retype("name", "ws-17")
	p.Press("rename-device")
	p.told("Renamed.")
	p.Pictures("admin-device")
	p.Pictures("admin-device-facts", "#b-facts")
	p.Open(d.Base + "/admin/devices/" + laptop + "/ask?what=remove")
	p.told("It cannot be taken back.")
	p.Press("confirm")
	p.told("The device is removed.")
	p.told("5 devices.")
}

// TestConsoleDeviceRules: a switch tells its risk, and switching off what is in
// use is asked about once more.
func TestConsoleDeviceRules(t *testing.T) {
	d := running.StartDemo(t)
	newYard(t, d).furnish()
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	p.Open(d.Base + "/admin/devices/rules")
	p.told("Nothing is changed yet")
	p.Pictures("admin-device-rules")
	p.Pictures("admin-device-rules-compat", "#s-compat")
	p.Click(`label:has(> [name=kdfV1])`)
	p.worked("What follows at once")
	p.told("can go on using them without it")
	p.Pictures("admin-device-rules-risk")
	p.Click(`label:has(> [name=kdfV1])`)
	p.worked("Nothing is changed yet")
	p.Click(`label:has(> [name=on])`)
	p.worked("What follows at once")
	p.told("6 devices stop")
	p.Click("[data-save]")
	p.told("Switch devices off?")
	p.Pictures("admin-device-rules-confirm")
	p.Press("confirm")
	p.told("Saved.")
}

// TestConsoleKeys clears orphaned keys: tried, looked at, done, taken back.
func TestConsoleKeys(t *testing.T) {
	d := running.StartDemo(t)
	newYard(t, d).furnish()
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	p.Open(d.Base + "/admin/keys")
	p.told("7 keys of 3 people")
	p.Pictures("admin-keys")
	p.Press("clean")
	p.See(`[name="orphaned"]`)
	p.Pictures("admin-keys-clean")
	p.Click(`label:has(> [name=orphaned])`)
	p.Press("try-rule")
	p.told("Remove 3 device keys?")
	p.Pictures("admin-keys-try")
	p.Press("confirm")
	p.told("For 30 days you can give them back here.")
	p.Pictures("admin-keys-removed")
	p.Press("restore")
	p.told("Given back.")
	p.Open(d.Base + "/admin/keys?show=orphaned")
	p.Until("the one that came back", `document.querySelectorAll("tbody tr").length === 1`)
	p.Click(`[name="key"]`)
	p.Press("clean-picked")
	p.told("Remove 1 device key?")
	p.Press("cancel")
	p.Type("file", "userPrincipalName,Id\nnobody@nordhafen.example,1\n")
	p.Press("try-file")
	p.told("there is no such person")
	p.Pictures("admin-keys-bad")
}
