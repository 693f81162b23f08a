package console

import (
	"net/http"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
)

const phonePath = "/admin/methods/phone"

// phone gives somebody a phone whose passkey may be a copy.
func (d *yard) phone(u idp.User, synced bool) {
	d.keys.mu.Lock()
	defer d.keys.mu.Unlock()
	d.keys.keys = append(d.keys.keys, method.Credential{
		ID: idp.CredentialID(secret.NewUUID4()), Tenant: d.tenant.ID, User: u.ID, Method: policy.Phone, Mode: idp.ModePhone, Name: "Phone",
		Facts: idp.Facts{Synced: synced}, Properties: []idp.Property{idp.Possession, idp.UserVerified, idp.MultiFactor}, Created: d.now,
	})
}

// Before fewer browsers may ask phones, those are named who have nothing else;
// saving it asks once more.
func TestPhonesFromFewerBrowsers(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		d.save(func(p *policy.Policy) { p.Switch(policy.Phone, true) })
		both, only := d.person("Emil Sandstrom", "", key(nfc52, true)), d.person("Clara Onlyphone", "")
		d.phone(both, true)
		d.phone(only, true)
		office := d.group("Office", both, only)

		start := d.get(phonePath)
		start.says("That does not stop a page in the middle", "Known browsers only", "Nothing is changed yet")
		fields := start.form("policy")
		if fields.Get("from") != "anywhere" || fields.Get("showApp") != "1" || fields.Get("appTo") != "all" || fields.Get("reportBlock") != "" {
			t.Errorf("the form has %v", fields)
		}
		check := with(fields, "check", "known", "group:"+string(office))
		r := d.post(phonePath, check)
		r.says("Nobody loses a key", "2 people could ask their phone from fewer browsers", "1 person has nothing but a phone", "Clara Onlyphone")
		if strings.Contains(r.text(), "Emil Sandstrom") {
			t.Error("somebody is named who has another way")
		}
		check.Set("part", "impact")
		if r = d.post(phonePath, check); strings.Contains(r.body, "<nav") || !strings.Contains(r.body, "<li>known</li>") {
			t.Errorf("the part for the script: %s", r.body)
		}
		ask := d.post(phonePath, with(fields, "save", "known", "group:"+string(office)))
		ask.says("Save, although some have nothing but a phone?", "Clara Onlyphone")
		if d.policy().Version != 1 {
			t.Fatal("saved before it was asked")
		}
		if r = d.post(phonePath, with(ask.form("policy"), "save-sure")); r.status != http.StatusSeeOther {
			t.Fatalf("saved: %d %s", r.status, r.text())
		}
		d.recorded("phone.stricter", `nothing → [{"from":"known","group":"`+string(office)+`"}]`)
		d.get("/admin/methods").says("Phone", "Any browser may ask", "Stricter for 1 person or group")

		// Back to where it was, nobody is asked; what follows is told.
		r = d.post(phonePath, with(d.get(phonePath).form("policy"), "check", "from", "known", "reportBlock", "1", "limit", "15"))
		r.says("could not sign in by phone until an administrator lifts the block", "0 people have more than 15 phones")
		d.post(phonePath, with(with(d.get(phonePath).form("policy"), "check", "from", "known"), "save-sure"))
		r = d.post(phonePath, with(d.get(phonePath).form("policy"), "check", "from", "anywhere"))
		r.says("Any browser could ask a phone again, a page in the middle as well.")
		off := with(d.get(phonePath).form("policy"), "check")
		off.Del("report")
		d.post(phonePath, off).says("People could no longer report a request.")
	})
}

// Passkeys that must stay on the phone stop the others, which are counted as
// any keys are; an administrator who has nothing else is not locked out by it.
func TestPhonesThatSync(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		d.save(func(p *policy.Policy) { p.Switch(policy.Phone, true) })
		d.phone(d.person("Clara Onlyphone", ""), true)
		d.phone(d.person("Emil Sandstrom", ""), false)
		fields := d.get(phonePath).form("policy")
		r := d.post(phonePath, with(fields, "check", "synced", "deny"))
		r.says("1 person and 1 key would stop working", "Clara Onlyphone", "Syncs to other devices")
		d.post(phonePath, with(fields, "save", "synced", "deny")).says("Refuse 1 person from now on?")

		d.keys.mu.Lock()
		for i := range d.keys.keys {
			if k := &d.keys.keys[i]; k.User == d.ada.ID {
				k.Method, k.Mode, k.Facts = policy.Phone, idp.ModePhone, idp.Facts{Synced: true}
			}
		}
		d.keys.mu.Unlock()
		r = d.post(phonePath, with(fields, "save-sure", "synced", "deny"))
		if r.status != http.StatusForbidden || d.policy().Phone.Synced != policy.SyncedAllow {
			t.Errorf("%d, synced %s", r.status, d.policy().Phone.Synced)
		}
		r.says("You would have no way in yourself after this change, so it is not saved.")
	})
}
