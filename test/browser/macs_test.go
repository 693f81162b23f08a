package browser

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/signetid/signet/test/running"
)

// newest is a Mac to be written straight into the database.
type newest struct {
	name, serial string
	owner        running.User
	byToken      bool          // it waits for its first person
	ago          time.Duration // since it came
	key, in      bool          // its owner has a key on it, and has signed in
}

// mac writes a Mac that has come, and gives its id.
func (y *yard) mac(m newest) string {
	y.t.Helper()
	now := time.Now().Add(-m.ago)
	at := now.UnixMilli()
	id, owner, enabled, pending, source, seen := y.id(now), m.owner.ID, true, int64(0), "person", int64(0)
	if m.byToken {
		owner, enabled, pending, source = "", false, now.Add(24*time.Hour).UnixMilli(), "token"
	}
	if m.in {
		seen = at
	}
	keys := map[string][]byte{}
	for _, role := range []string{"signing", "encryption", "user"} {
		der, _ := y.key()
		keys[role] = der
	}
	sum := sha256.Sum256(keys["signing"])
	y.do(`insert into device (tenant_id, id, name, name_folded, os, os_version, join_type, owner, assurance, software, enabled, pending, key, transport,
		thumbprint, created, seen, certified, voided) values (?, ?, ?, lower(?), 'macOS', 'macOS 26.1', 'AzureAd', ?, 'unattested', false, ?, ?, ?, ?, ?, ?, ?, 0, 0)`,
		y.d.Tenant, id, m.name, m.name, owner, enabled, pending, keys["signing"], keys["encryption"], fmt.Sprintf("%X", sum[:20]), at, seen)
	y.do(`insert into mac (tenant_id, device_id, serial, udid, proven, source, token_id, created, registered) values (?, ?, ?, '', false, ?, '', ?, ?)`,
		y.d.Tenant, id, m.serial, source, at, at)
	for _, role := range []string{"signing", "encryption"} {
		point := y.point(keys[role])
		kid := sha256.Sum256(point)
		y.do(`insert into mac_key (tenant_id, kid, device_id, role, state, point, attested, created, until) values (?, ?, ?, ?, 'current', ?, false, ?, 0)`,
			y.d.Tenant, kid[:], id, role, point, at)
	}
	y.happened(now, "device.join", "success", "", m.owner, map[string]string{"device": id, "name": m.name, "os": "macOS", "serial": m.serial})
	if m.key {
		y.macKey(id, m)
	}
	if m.in {
		y.do(`insert into prt (id, tenant_id, user_id, device_id, proofs, proof_time, mfa_time, direct, protocol, kdf, generation, issued, renewed, seen, expires, ends, agent, ip, epoch, ended)
			values (?, ?, ?, ?, '[]', ?, ?, true, 'mac', 0, 1, ?, ?, ?, ?, ?, 'macOS', '192.0.2.31', (select cast(value as integer) from installation where name = 'epoch'), 0)`,
			y.id(now), y.d.Tenant, m.owner.ID, id, at, at, at, at, at, now.AddDate(0, 0, 14).UnixMilli(), now.AddDate(0, 0, 90).UnixMilli())
	}
	return id
}

// macKey gives the owner of a Mac a key on it.
func (y *yard) macKey(id string, m newest) {
	y.t.Helper()
	der, print := y.key()
	kid := sha256.Sum256(y.point(der))
	at := time.Now().Add(-m.ago).UnixMilli()
	y.do(`insert into platform_key (id, tenant_id, user_id, device_id, kid, print, spki, name, created, last_used, orphaned, removed, marks)
		values (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0)`, y.id(time.Now()), y.d.Tenant, m.owner.ID, id, kid[:], print, der, m.name, at)
	y.do(`insert into platform_holder (tenant_id, user_id, held) values (?, ?, 1) on conflict (tenant_id, user_id) do update set held = held + 1`, y.d.Tenant, m.owner.ID)
}

// point is a key as Macs have it: 65 bytes, which are the end of its DER.
func (y *yard) point(der []byte) []byte {
	y.t.Helper()
	if _, err := x509.ParsePKIXPublicKey(der); err != nil {
		y.t.Fatal(err)
	}
	return der[len(der)-65:]
}

// happened writes a record of a change.
func (y *yard) happened(at time.Time, activity, outcome, reason string, u running.User, detail map[string]string) {
	y.t.Helper()
	text, err := json.Marshal(detail)
	if err != nil {
		y.t.Fatal(err)
	}
	y.do(`insert into audit_event (tenant_id, id, at, category, activity, outcome, actor, user_id, user_name, client_id, session_id, method, credential_id, rule, reason, code, ip, agent, trace, detail, times)
		values (?, ?, ?, 'change', ?, ?, ?, ?, ?, '', '', '', '', '', ?, 0, '192.0.2.31', '', '', ?, 1)`,
		y.d.Tenant, y.id(at), at.UnixMilli(), activity, outcome, u.ID, u.ID, u.Name, reason, string(text))
}

// TestConsoleMacs is an administrator who sets up Macs: the method, the profile,
// one Mac that comes while the page waits for it, tokens for the others, and the
// first week.
func TestConsoleMacs(t *testing.T) {
	d := running.StartDemo(t)
	d.Admin(t, nil, "policy", "set", "devices.on", "false")
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	p.Open(d.Base + "/admin/macs")
	p.told("Devices are switched off: no Mac can register.")
	p.Pictures("admin-macs-method")
	p.fits("the method")
	p.Click(`label:has(> .top [name=method][value=SmartCard])`)
	p.worked("What follows at once")
	p.told("Smart cards sign nobody in as long as")
	p.Pictures("admin-macs-card")
	p.Click(`label:has(> .top [name=method][value=UserSecureEnclaveKey])`)
	p.worked("Nothing is changed yet")
	p.Click(`label:has(> [name=on])`)
	p.worked("What follows at once")
	p.told("Devices are switched on, for everybody.")
	p.Pictures("admin-macs-opens", "#s-opens")
	p.Press("save")
	p.told("It holds from the next sign-in on.")
	p.Pictures("admin-macs-saved")

	p.Open(d.Base + "/admin/macs/profile")
	p.told("This is a demonstration.")
	p.Pictures("admin-macs-profile")
	p.Pictures("admin-macs-profile-fit", "#b-fit")
	p.fits("the profile")
	p.Type("variable", "not a variable")
	p.Press("fit")
	p.told("A token itself does not go here.")
	p.Until("the field that is wrong to have the focus", `document.activeElement.id === "variable"`)
	p.Retype("variable", "$SERIAL_TOKEN")
	p.Press("fit")
	p.told("In the place of $SERIAL_TOKEN")
	p.Click("details.more > summary")
	p.Pictures("admin-macs-profile-file", "pre.file")

	y := newYard(t, d)
	p.Open(d.Base + "/admin/macs/test")
	p.told("Waiting for a Mac…")
	p.Pictures("admin-macs-waiting")
	p.fits("the waiting")
	y.mac(newest{name: "FV-1209", serial: "C02FV1209JGH", owner: d.Users[1], key: true})
	p.told("Key of " + d.Users[1].Show) // without anybody's doing
	y.happened(time.Now(), "device.join", "failure", "token_over", running.User{}, map[string]string{"os": "macOS", "name": "FV-0007", "serial": "C02FV0007JGH"})
	p.told("Refused: Registering the Mac")
	p.Pictures("admin-macs-come")
	p.fits("the list")
	p.Click("details.one > summary")
	p.Type("serial", "not/one")
	p.Press("one-mac")
	p.told("is no serial number")
	p.Until("the field that is wrong to have the focus", `document.activeElement.id === "serial"`)
	p.Pictures("admin-macs-one")

	p.Open(d.Base + "/admin/macs/everybody")
	p.told("No token waits to be used.")
	p.Pictures("admin-macs-everybody")
	p.fits("the tokens")
	p.Type("serials", "C02AA111JGH\nC02/BB")
	p.Press("make-tokens")
	p.told("Line 2: “C02/BB” is no serial number")
	p.Pictures("admin-macs-tokens-wrong")
	p.Retype("serials", "serial,user\nC02AA111JGH,"+d.Users[1].Name+"\nC02BB222JGH,\nC02CC333JGH,\n")
	p.Press("make-tokens")
	p.told("Shown only now.")
	p.told("3 tokens")
	p.Pictures("admin-macs-made")
	p.fits("the tokens made")
	p.Press("back")
	p.told("C02BB222JGH")
	p.Pictures("admin-macs-tokens", "#b-tokens")
	p.Press("revoke-token")
	p.told("Take this token back?")
	p.Pictures("admin-macs-revoke")
	p.Press("confirm")
	p.told("No Mac can be registered with it any more.")

	fill(y)
	p.Open(d.Base + "/admin/macs/week")
	p.told("Half-way")
	p.Pictures("admin-macs-week")
	p.Pictures("admin-macs-stopped", "#b-stopped")
	p.fits("the week")
	p.Open(d.Base + "/admin/devices?os=mac")
	p.Pictures("admin-macs-devices")
	p.Open(d.Base + "/admin/methods/platform")
	p.told("Nothing is changed yet")
	p.Pictures("admin-macs-platform")
	p.Open(d.Base + "/admin/keys")
	p.told("Mac key")
	p.Pictures("admin-macs-keys")
}

// fill has some Macs come in the days before.
func fill(y *yard) {
	u := y.d.Users
	for i := range 34 {
		y.mac(newest{name: fmt.Sprintf("FV-1%03d", i), serial: fmt.Sprintf("C02FV1%03dJGH", i), owner: u[1+i%3], ago: time.Duration(i*4+2) * time.Hour, key: true, in: true})
	}
	y.mac(newest{name: "FV-1180", serial: "C02FV1180JGH", owner: u[2], ago: 30 * time.Hour})
	waits := y.mac(newest{name: "FV-1181", serial: "C02FV1181JGH", byToken: true, ago: 3 * time.Hour})
	y.mac(newest{name: "Carmen’s MacBook Air", serial: "C02FV1182JGH", owner: u[2], ago: 52 * time.Hour, key: true})
	for range 3 {
		y.happened(time.Now().Add(-2*time.Hour), "platform.register", "failure", "fresh_proof_needed", u[3], map[string]string{"device": waits, "name": "FV-1181", "serial": "C02FV1181JGH"})
	}
}

// TestMacPages: the pages of a Mac and of its person, in the console and in the
// account.
func TestMacPages(t *testing.T) {
	d := running.StartDemo(t)
	y := newYard(t, d)
	d.Admin(t, nil, "policy", "set", "method.platform", "true")
	m := newest{name: "FV-1209", serial: "C02FV1209JGH", owner: d.Users[1], ago: 50 * time.Hour, key: true, in: true}
	id := y.mac(m)
	chromium := Chromium(t)
	p := NewPerson(t, chromium)
	p.Console(d)
	p.Open(d.Base + "/admin/devices/" + id)
	p.told("C02FV1209JGH, as the Mac says")
	p.Pictures("admin-mac")
	p.Pictures("admin-mac-facts", "#b-facts")
	p.fits("the Mac")
	p.Press("disable-device")
	p.told("1 Mac key on it lets nobody in")
	p.told("This does not lock the Mac")
	p.Pictures("admin-mac-disable")
	p.Open(d.Base + "/admin/people/" + d.Users[1].ID)
	p.told("Mac key")
	p.Pictures("admin-mac-person", "#b-methods")

	own := NewPerson(t, chromium)
	own.FirstDay(d, d.Users[1])
	own.Open(d.Base + "/account")
	own.told("serial number C02FV1209JGH")
	own.Pictures("account-mac", "#devices")
	own.Pictures("account-mac-key", "#methods")
	own.fits("the account")
	row := `[data-device="` + id + `"]`
	own.Click(row + ` [data-action="device-remove"]`)
	own.told("Your key on it lets nobody in any more.")
	own.told("This does not lock the Mac")
	own.Pictures("account-mac-remove")
	own.Press("cancel")
	own.See(row)
	key := `li:has(.tag):has([data-action="rename"])`
	if !Eval[bool](own, `[...document.querySelectorAll(`+"`"+key+"`"+`)].some((li) => li.textContent.includes("Mac key"))`) {
		t.Error("its key cannot be renamed")
	}
}

// TestMacsWithoutScript: the list loads itself, and the file is made by a button.
func TestMacsWithoutScript(t *testing.T) {
	d := running.StartDemo(t)
	y := newYard(t, d)
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	p.Scripts(false)
	p.Open(d.Base + "/admin/macs/test")
	p.See(".waiting")
	y.mac(newest{name: "FV-1209", serial: "C02FV1209JGH", owner: d.Users[1]})
	p.See(".arrivals") // by the page's own reload
	p.Open(d.Base + "/admin/macs/everybody")
	p.Type("serials", "C02AA111JGH")
	p.do("make", chromedp.Click(chromedp.CSS(`[data-action="make-tokens"]`), chromedp.NodeVisible))
	p.See(".made code")
	p.Scripts(true)
}

// fits checks the page that is open in a window of 320 px.
func (p *Person) fits(name string) {
	p.t.Helper()
	p.Look("light", 320, 700)
	if over := Eval[float64](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		p.t.Errorf("%s at 320 px is %v px too wide", name, over)
	}
	p.Look("light", 1280, 800)
}
