package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

const passkeyPath = "/admin/methods/passkey"

// policyPaths are all pages about policy.
var policyPaths = []string{
	"/admin/methods", passkeyPath, "/admin/methods/passkey/profiles/new", "/admin/methods/accessPass", phonePath, "/admin/methods/campaign",
	"/admin/methods/order", "/admin/strengths", "/admin/strengths/new",
}

func TestPolicyPagesOpen(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		d.crowd(3)
		for _, path := range policyPaths {
			r := d.get(path)
			if r.status != http.StatusOK {
				t.Errorf("%s: %d %s", path, r.status, r.text())
			}
			if path != "/admin/methods" && path != "/admin/strengths" && r.form("policy").Get("whose") != whose(d.tenant.ID, d.ada.ID) {
				t.Errorf("%s: the form does not say whose page it is on", path)
			}
		}
		for _, path := range []string{"/admin/methods/pigeon", profilePath + formOffice, profilePath + "x", "/admin/strengths/" + formOffice, "/admin/strengths/" + policy.IDMFA} {
			if r := d.get(path); r.status != http.StatusNotFound {
				t.Errorf("%s: %d", path, r.status)
			}
		}
	})
}

// The help desk looks at no rule, and saves none.
func TestPolicyIsForAdministrators(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		fields := d.get(passkeyPath).form("policy")
		fields.Del("whose")
		d.signIn(d.person("Hal Desk", directory.Helpdesk, key(nfc57, true)))
		for _, path := range policyPaths {
			if r := d.get(path); r.status != http.StatusForbidden || !strings.Contains(r.body, "role_missing") {
				t.Errorf("%s: %d", path, r.status)
			}
		}
		if r := d.post(passkeyPath, with(fields, "trial", "mode", "deny", "model", nfc52)); r.status != http.StatusForbidden || d.policy().Version != 0 {
			t.Errorf("saved by the help desk: %d", r.status)
		}
	})
}

// strictly lists the models that the administrator's own key is of.
func strictly(v url.Values, do string) url.Values {
	out := with(v, do, "mode", "allow")
	out["model"] = []string{nfc57, usbc57}
	return out
}

// Nothing is saved before it was worked out whom it touches, by name; on trial
// it refuses nobody, and enforcing asks once more.
func TestImpactThenTrialThenEnforce(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		d.crowd(4)
		emil := d.person("Emil Sandstrom", "", key(nfc52, true))
		d.person("Two Keys", "", key(nfc52, true), key(usbc57, true))
		d.person("Clara Claims", "", key(nfc57, false))

		start := d.get(passkeyPath)
		start.says("Nothing is changed yet", "9 passkeys are registered, of 3 models.", "1 key only claims its model.")
		start.offers("trial", false)
		fields := start.form("policy")

		r := d.post(passkeyPath, strictly(fields, "check"))
		r.says("3 people and 3 keys would stop working", "2 changes not saved.", "The 2 with no way in", "Emil Sandstrom", "YubiKey 5 NFC 5.2; no other way",
			"YubiKey 5 NFC 5.7 (merely claimed); no other way", "The one who keeps another way", "Two Keys", "Loses YubiKey 5 NFC 5.2",
			"Model is not allowed, or merely claimed 3 keys", "One line is one of 8 people.", "While on trial no key rule refuses anybody")
		r.offers("trial", true)
		r.offers("enforce", true)
		r.offers("except:user:"+string(emil.ID), true)
		if d.policy().Version != 0 {
			t.Fatal("a preview saved something")
		}

		if r = d.post(passkeyPath, strictly(fields, "trial")); r.status != http.StatusSeeOther || r.to != passkeyPath+"?done=policy.trial" {
			t.Fatalf("on trial: %d to %q: %s", r.status, r.to, r.text())
		}
		p := d.policy()
		if p.Passkey.Restrictions != policy.EnforceAudit || p.Passkey.AAGUIDs.Mode != policy.ListAllow || !slices.Equal(p.Passkey.AAGUIDs.List, []string{nfc57, usbc57}) {
			t.Errorf("saved %+v", p.Passkey)
		}
		d.recorded("passkey.restrictions", `"enforce" → "audit"`)

		d.get("/admin/methods").says("Key rules on trial", "2 models allowed", "Key rules refuse nobody yet")
		trial := d.get(r.to)
		trial.says("On trial.", "Key rules are on trial.", "If these rules were enforced", "3 people and 3 keys would stop working")
		trial.offers("enforce", true)
		fields = trial.form("policy")
		ask := d.post(passkeyPath, with(fields, "enforce"))
		ask.says("Refuse 3 people from now on?", "Emil Sandstrom", "Clara Claims", "Two Keys")
		if d.policy().Passkey.Restrictions != policy.EnforceAudit {
			t.Fatal("enforced before it was asked")
		}
		if got := ask.form("policy")["whose"]; len(got) != 1 {
			t.Errorf("the question is on the page of %q", got)
		}
		if r = d.post(passkeyPath, with(ask.form("policy"), "enforce-sure")); r.status != http.StatusSeeOther {
			t.Fatalf("enforced: %d %s", r.status, r.text())
		}
		if got := d.policy().Passkey.Restrictions; got != policy.Enforce {
			t.Errorf("restrictions are %s", got)
		}
		d.get(r.to).says("It holds from the next sign-in on.", "Nothing is changed yet")
	})
}

// recorded says that the newest record of a change of policy names a place.
func (d *yard) recorded(place, change string) {
	d.t.Helper()
	events, err := d.audit.List(d.t.Context(), d.db, d.tenant.ID, audit.Filter{Of: audit.Changes, Limit: 1})
	d.must(err)
	if len(events) == 0 || events[0].Activity != "policy.set" || events[0].Actor != string(d.ada.ID) || events[0].Detail[place] != change {
		d.t.Errorf("the record is %+v", events)
	}
}

// Whoever would lock themselves out is told so, and nothing is saved.
func TestLockOutIsRefused(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		d.person("Bea Admin", directory.Administrator, key(usbc57, true))
		own := with(d.get(passkeyPath).form("policy"), "enforce-sure", "mode", "allow", "model", usbc57)
		r := d.post(passkeyPath, own)
		if r.status != http.StatusForbidden {
			t.Errorf("status %d", r.status)
		}
		r.says("You would have no way in yourself after this change, so it is not saved.", "This administrator would have no way in: Ada Lindqvist.")
		if got := r.form("policy"); got.Get("mode") != "allow" || got.Get("model") != usbc57 {
			t.Errorf("what was typed is gone: %v", got)
		}
		off := with(own, "enforce-sure", "mode", "off")
		off.Del("on")
		if r = d.post(passkeyPath, off); r.status != http.StatusForbidden || d.policy().Version != 0 {
			t.Errorf("passkeys off for all: %d, version %d", r.status, d.policy().Version)
		}
		r = d.post("/admin/methods/accessPass", with(d.get("/admin/methods/accessPass").form("policy"), "save", "length", "16"))
		if r.status != http.StatusSeeOther {
			t.Errorf("a change that locks nobody out: %d", r.status)
		}
	})
}

// A policy that somebody else changed meanwhile is not overwritten: what was
// typed stands beside what is saved now, and saving again puts it there.
func TestConflictKeepsBoth(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		fields := d.get(passkeyPath).form("policy")
		pass := d.get("/admin/methods/accessPass").form("policy")
		d.save(func(p *policy.Policy) { p.Passkey.Limit = 33; p.AccessPass.Length = 20 })
		for _, do := range []string{"trial", "save", "enforce", "enforce-sure"} {
			r := d.post(passkeyPath, with(fields, do, "limit", "44"))
			if r.status != http.StatusConflict || d.policy().Passkey.Limit != 33 {
				t.Fatalf("%s: %d, limit %d", do, r.status, d.policy().Passkey.Limit)
			}
			r.says("Somebody else saved meanwhile", "Yours differs in 1 place", "passkey.limit 33 44")
			if got := r.form("policy"); got.Get("limit") != "44" || got.Get("version") != "1" {
				t.Errorf("the form has %v", got)
			}
		}
		again := d.post(passkeyPath, with(fields, "check", "limit", "44"))
		if again.status != http.StatusOK {
			t.Errorf("a preview of an old form: %d", again.status)
		}
		r := d.post(passkeyPath, with(d.post(passkeyPath, with(fields, "save", "limit", "44")).form("policy"), "save"))
		if p := d.policy(); r.status != http.StatusSeeOther || p.Passkey.Limit != 44 || p.AccessPass.Length != 20 {
			t.Errorf("%d, limit %d, length %d", r.status, p.Passkey.Limit, p.AccessPass.Length)
		}
		if r = d.post("/admin/methods/accessPass", with(pass, "save", "length", "14")); r.status != http.StatusConflict {
			t.Errorf("a pass form: %d", r.status)
		}
		r.says("accessPass.length 20 14")
	})
}

// save changes the policy behind the pages' back.
func (d *yard) save(change func(*policy.Policy)) {
	d.t.Helper()
	p, err := d.rules.Load(d.t.Context(), d.db, d.tenant.ID)
	d.must(err)
	next := p.Clone()
	change(&next)
	d.write(func(ctx context.Context, tx *sqldb.Tx) error { return d.rules.Put(ctx, tx, d.tenant.ID, next) })
}

// Only saving asks for a gesture of the last 15 minutes.
func TestSavingNeedsAFreshProof(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		d.now = d.now.Add(16 * time.Minute)
		fields := d.get(passkeyPath).form("policy")
		if r := d.post(passkeyPath, with(fields, "check", "limit", "30")); r.status != http.StatusOK || d.asked != 0 {
			t.Errorf("a preview: %d, asked %d times", r.status, d.asked)
		}
		d.post(passkeyPath, with(fields, "save", "limit", "30"))
		d.post("/admin/methods/accessPass", with(d.get("/admin/methods/accessPass").form("policy"), "save", "length", "16"))
		s := with(d.get("/admin/strengths/new").form("policy"), "save", "name", "Payroll", "combo", "fido2")
		d.post("/admin/strengths/new", s)
		if d.asked != 3 || d.policy().Version != 0 {
			t.Errorf("asked %d times, version %d", d.asked, d.policy().Version)
		}
	})
}

// What is wrong stands at its field, and nothing is saved.
func TestWrongFields(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		r := d.post(passkeyPath, with(d.get(passkeyPath).form("policy"), "save", "limit", "many", "synced", "only", "attestation", "always"))
		if r.status != http.StatusBadRequest || d.policy().Version != 0 {
			t.Errorf("status %d", r.status)
		}
		r.says("“many” is not a whole number.", "This cannot be saved as it stands", "so none fits", "3 things have to be put right first.")
		if got := r.form("policy"); got.Get("limit") != "many" || got.Get("synced") != "only" {
			t.Errorf("what was typed is gone: %v", got)
		}
		r = d.post("/admin/methods/accessPass", with(d.get("/admin/methods/accessPass").form("policy"), "save", "min", "40", "min.unit", "d"))
		if r.status != http.StatusBadRequest {
			t.Errorf("status %d", r.status)
		}
		r.says("is not a time from 10m0s to 720h0m0s")
	})
}

// The panel alone is what the script asks for.
func TestFragment(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		d.person("Emil Sandstrom", "", key(nfc52, true))
		v := strictly(d.get(passkeyPath).form("policy"), "check")
		v.Set("part", "impact")
		r := d.post(passkeyPath, v)
		r.says("1 person and 1 key would stop working")
		if strings.Contains(r.body, "<nav") || strings.Contains(r.body, `id="policy"`) {
			t.Error("the fragment is a whole page")
		}
		for _, field := range []string{"mode", "model"} {
			if !strings.Contains(r.body, "<li>"+field+"</li>") {
				t.Errorf("the fragment does not say that %s is changed", field)
			}
		}
	})
}

// In a large tenant the reply begins with a space for each percent.
func TestProgress(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		d.write(func(ctx context.Context, tx *sqldb.Tx) error {
			for i := range slowTenant {
				u := idp.User{Tenant: d.tenant.ID, Name: fmt.Sprintf("p%d@nordhafen.example", i), Enabled: true, Type: idp.Member}
				if _, err := d.dir.CreateUser(ctx, tx, u); err != nil {
					return err
				}
			}
			return nil
		})
		v := strictly(d.get(passkeyPath).form("policy"), "check")
		v.Set("part", "impact")
		r := d.post(passkeyPath, v)
		spaces := len(r.body) - len(strings.TrimLeft(r.body, " "))
		if r.status != http.StatusOK || spaces < 40 || spaces > 99 {
			t.Errorf("%d, %d spaces", r.status, spaces)
		}
		r.says("Nobody loses a key", "One line is 4 people; there are 2001.")
	})
}

// Excepting those who would have no way in leaves them bound by nothing else.
func TestExceptThem(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		emil := d.person("Emil Sandstrom", "", key(nfc52, true))
		sofia := d.person("Sofia Kerr", "", synced())
		fields := strictly(d.get(passkeyPath).form("policy"), "except:user:"+string(emil.ID))
		r := d.post(passkeyPath, fields)
		r.says("1 person and 1 key would stop working")
		if got := r.form("policy")["except"]; !slices.Equal(got, []string{"user:" + string(emil.ID)}) {
			t.Errorf("excepted %q", got)
		}
		r = d.post(passkeyPath, with(r.form("policy"), "exceptall"))
		r.says("Nobody loses a key")
		if got := r.form("policy")["except"]; len(got) != 2 || !slices.Contains(got, "user:"+string(sofia.ID)) {
			t.Errorf("excepted %q", got)
		}
		if r = d.post(passkeyPath, with(r.form("policy"), "save")); r.status != http.StatusSeeOther || len(d.policy().Passkey.Except) != 2 {
			t.Errorf("%d, %+v", r.status, d.policy().Passkey.Except)
		}
	})
}

// Who may use passkeys at all is never on trial, and the page says so first.
func TestTrialTellsWhatHoldsAtOnce(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		emil := d.person("Emil Sandstrom", "", key(nfc52, true))
		fields := with(d.get(passkeyPath).form("policy"), "check", "exclude", "user:"+string(emil.ID))
		d.post(passkeyPath, fields).says("1 person would be refused at once either way.")
		r := d.post(passkeyPath, with(fields, "trial"))
		r.says("Refuse 1 person from now on?", "Emil Sandstrom")
		if d.policy().Version != 0 {
			t.Error("saved before it was asked")
		}
		if r = d.post(passkeyPath, with(r.form("policy"), "trial-sure")); r.status != http.StatusSeeOther || d.policy().Passkey.Restrictions != policy.EnforceAudit {
			t.Errorf("%d, %+v", r.status, d.policy().Passkey)
		}
	})
}

// People and groups are found by the beginning of their names; what is ticked
// joins the list.
func TestFindTargets(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		emil := d.person("Emil Sandstrom", "", key(nfc52, true))
		staff := d.group("Emergency staff", emil)
		fields := d.get(passkeyPath).form("policy")
		r := d.post(passkeyPath, with(fields, "find", "find.except", "em"))
		r.says("2 are called “em”. Tick to add.", "Emergency staff", "Emil Sandstrom", "emil.sandstrom@nordhafen.example")
		if !strings.Contains(r.body, `name="except" value="user:`+string(emil.ID)+`"`) || !strings.Contains(r.body, `name="except" value="group:`+string(staff)+`"`) {
			t.Error("those found cannot be ticked")
		}
		if r.form("policy").Get("find.except") != "em" {
			t.Error("what was looked for is gone")
		}
		r = d.post(passkeyPath, with(fields, "find", "find.except", "o'x"))
		r.says("0 are called “o'x”.")
		d.post(passkeyPath, with(fields, "find", "find.except", "a b c d e f g h i j k l")).says("0 are called")
		r = d.post(passkeyPath, with(fields, "check", "except", "group:"+string(staff), "include", "user:"+formAda))
		r.says("Emergency staff group", formAda, "no longer here")
		if got := r.form("policy")["except"]; !slices.Equal(got, []string{"group:" + string(staff)}) {
			t.Errorf("excepted %q", got)
		}
	})
}

// A pasted list is added when all of it is understood; else its lines are
// told, with the model that each nearly is.
func TestPasteList(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		fields := with(d.get(passkeyPath).form("policy"), "paste", "mode", "allow", "paste", nfc57+"\n"+nfc52[:35]+"b\nhello")
		r := d.post(passkeyPath, fields)
		r.says("Line 2: “2fc0579f-8113-47ea-b116-bb5a8db9202b” is no known model. The nearest is YubiKey 5 NFC 5.2, "+nfc52, "Line 3: “hello” holds no AAGUID.")
		got := r.form("policy")
		if got.Get("paste") != fields.Get("paste") || got.Get("model") != nfc57 {
			t.Errorf("%q, %q", got.Get("paste"), got["model"])
		}
		r = d.post(passkeyPath, with(got, "paste", "paste", "{"+strings.ToUpper(nfc52)+"}"))
		if got := r.form("policy"); got.Get("paste") != "" || !slices.Equal(got["model"], []string{nfc57, nfc52}) {
			t.Errorf("%q, %q", got.Get("paste"), got["model"])
		}
	})
}

// A list that was pasted and not added is not dropped in silence, and a form
// that no button sent changes nothing.
func TestNothingIsDropped(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		r := d.post(passkeyPath, with(d.get(passkeyPath).form("policy"), "save", "limit", "30", "paste", nfc57))
		if r.status != http.StatusBadRequest || d.policy().Version != 0 || r.form("policy").Get("paste") != nfc57 {
			t.Errorf("%d, version %d", r.status, d.policy().Version)
		}
		r.says("This list is not added yet. Add it, or empty the box.")
		for _, path := range []string{passkeyPath, passkeyPath + "/profiles/new", "/admin/methods/accessPass", "/admin/methods/campaign", "/admin/methods/order", "/admin/strengths/new"} {
			for _, do := range []string{"", "check", "remove", "remove-sure", "drop"} {
				v := with(d.get(path).form("policy"), do, "limit", "30", "length", "20", "name", "x", "combo", "fido2")
				if r := d.read(d.http.PostForm(d.server.URL+path+savePart, v)); r.status != http.StatusBadRequest || d.policy().Version != 0 {
					t.Errorf("%s, %q: %d", path, do, r.status)
				}
			}
		}
	})
}

// The picker carries the whole form along, shows what is in use first, and
// warns of models that were withdrawn.
func TestPicker(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		d.crowd(3)
		d.person("Clara Claims", "", key(nfc57, false))
		d.person("Oda Old", "", key("99999999-1111-4111-8111-111111111111", true))
		fields := with(d.get(passkeyPath).form("policy"), "pick", "mode", "allow", "limit", "17", "model", usbc57)
		r := d.post(passkeyPath, fields)
		r.says("In use but not allowed", "YubiKey 5 NFC 5.7", "4 in use 1 merely claimed", "On the list", "YubiKey 5C NFC 5.7", "Other known models", "Token2 T2F2",
			"A model that nobody has published", "FIDO L2", "NFC", "Warned about: revoked", "not in the published list", "Chosen: 1 . Keys here that would not fit: 5 .")
		if !strings.Contains(r.body, `src="data:image/png;base64,`) {
			t.Error("no model has its picture")
		}
		pick := r.form("picker")
		if pick.Get("whose") == "" || len(pick["whose"]) != 1 {
			t.Errorf("the picker is on the page of %q", pick["whose"])
		}
		if pick.Get("limit") != "17" || !slices.Equal(pick["model"], []string{usbc57}) || !slices.Equal(pick["before"], []string{usbc57}) {
			t.Errorf("the picker carries %v", pick)
		}
		for filter, want := range map[string]string{"f.bio": "Feitian K40", "f.use": "YubiKey 5 NFC 5.7", "f.level": "YubiKey 5C NFC 5.7", "f.maker": "Token2 T2F2", "q": "Feitian K40"} {
			value := map[string]string{"f.level": "L2", "f.maker": "Token2", "q": "feit"}[filter]
			if value == "" {
				value = "1"
			}
			got := d.post(passkeyPath, with(pick, "pick", filter, value))
			got.says(want)
			if filter != "f.use" && strings.Contains(got.text(), "macOS Platform Credential") {
				t.Errorf("the filter %s lets everything through", filter)
			}
			if m := got.form("picker")["model"]; !slices.Contains(m, usbc57) {
				t.Errorf("with the filter %s the chosen model is gone: %q", filter, m)
			}
		}
		pick.Add("model", nfc57)
		d.post(passkeyPath, with(pick, "pick", "q", "zzz")).says("No model is called that", "Chosen: 2 . Keys here that would not fit: 2 .")
		back := d.post(passkeyPath, with(pick, "picked"))
		back.says("2 people and 2 keys would stop working")
		if got := back.form("policy"); !slices.Equal(got["model"], []string{usbc57, nfc57}) || got.Get("limit") != "17" {
			t.Errorf("back with %v", got)
		}
		if got := d.post(passkeyPath, with(pick, "unpick")).form("policy"); !slices.Equal(got["model"], []string{usbc57}) {
			t.Errorf("left as it was: %q", got["model"])
		}
	})
}

// A profile is made for a group, changed and removed.
func TestProfiles(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		emil := d.person("Emil Sandstrom", "", key(nfc52, true))
		staff := d.group("Office staff", emil)
		if body := d.get(passkeyPath + "/profiles/new").body; strings.Contains(body, "put right first") || strings.Contains(body, "aria-invalid") {
			t.Error("a form in which nothing was typed is told to be wrong")
		}
		fields := d.get(passkeyPath + "/profiles/new").form("policy")
		make := with(fields, "trial", "name", "Office staff", "mode", "allow", "model", nfc57)
		make["include"] = []string{"group:" + string(staff)}
		d.post(passkeyPath+"/profiles/new", with(make, "check")).says("1 person and 1 key would stop working", "Office staff")
		r := d.post(passkeyPath+"/profiles/new", make)
		p := d.policy()
		if r.status != http.StatusSeeOther || len(p.Passkey.Profiles) != 1 || p.Passkey.Profiles[0].Name != "Office staff" {
			t.Fatalf("%d %s, %+v", r.status, r.text(), p.Passkey.Profiles)
		}
		at := profilePath + p.Passkey.Profiles[0].ID
		if r.to != at+"?done=policy.trial" {
			t.Errorf("leads to %s", r.to)
		}
		page := d.get(at)
		page.says("Office staff", "Standard profile", "Remove this profile")
		ask := d.post(at, with(page.form("policy"), "remove"))
		ask.says("Remove this profile?", "Nobody loses a key.")
		if r = d.post(at, with(ask.form("policy"), "remove-sure")); r.status != http.StatusSeeOther || len(d.policy().Passkey.Profiles) != 0 {
			t.Errorf("%d, %+v", r.status, d.policy().Passkey.Profiles)
		}
		for _, id := range []string{"", "x", policy.DefaultProfile} {
			if r = d.post(passkeyPath+"/profiles/new", with(make, "trial", "guid", id)); r.status != http.StatusBadRequest {
				t.Errorf("a new profile with the id %q: %d", id, r.status)
			}
		}
	})
}

// Campaign and order, the two pages that touch nobody's way in.
func TestCampaignAndOrder(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		r := d.post("/admin/methods/campaign", with(d.get("/admin/methods/campaign").form("policy"), "save", "on", "1", "snoozes", "5"))
		if p := d.policy(); r.status != http.StatusSeeOther || !p.Campaign.On || p.Campaign.Snoozes != 5 {
			t.Errorf("%d, %+v", r.status, p.Campaign)
		}
		fields := d.get("/admin/methods/order").form("policy")
		moved := d.post("/admin/methods/order", with(fields, "up:accessPass"))
		if got := moved.form("policy")["method"]; !slices.Equal(got, []string{"accessPass", "passkey", "phone", "certificate"}) {
			t.Errorf("moved: %q", got)
		}
		r = d.post("/admin/methods/order", with(moved.form("policy"), "save"))
		if p := d.policy(); r.status != http.StatusSeeOther || !slices.Equal(p.Order.Methods, []idp.MethodID{policy.AccessPass, policy.Passkey, policy.Phone, policy.Certificate}) {
			t.Errorf("%d, %+v", r.status, p.Order)
		}
		d.get("/admin/methods").says("1. Temporary Access Pass", "2. Passkeys and security keys")
	})
}

// A strength is made, asked for by an app, and stays while it is.
func TestStrengths(t *testing.T) {
	yards(t, func(t *testing.T, d *yard) {
		d.get("/admin/strengths").says("Phishing-resistant, hardware-bound", "phrh", "Passwordless MFA", "11 ways that nothing here can prove", "You have made none.")
		v := with(d.get("/admin/strengths/new").form("policy"), "save", "name", "Payroll", "pair.a", "deviceBasedPush", "pair.b", "x509CertificateSingleFactor", "model", nfc57)
		v["combo"] = []string{"fido2"}
		d.post("/admin/strengths/new", with(v, "check")).says("Phone, with the number and Badge or smart card", "YubiKey 5 NFC 5.7")
		r := d.post("/admin/strengths/new", v)
		s, ok := d.policy().Strength("payroll")
		if r.status != http.StatusSeeOther || !ok || len(s.Combinations) != 2 || len(s.Configurations) != 1 || s.Configurations[0].AAGUIDs[0] != nfc57 {
			t.Fatalf("%d %s, %+v", r.status, r.text(), s)
		}
		at := "/admin/strengths/" + s.ID
		picker := d.post(at, with(d.get(at).form("policy"), "pick"))
		picker.says("Pick key models", "On the list")
		app := client.Client{Tenant: d.tenant.ID, Name: "Wages", Kind: client.Web, ACR: "payroll", RedirectURIs: []string{"https://wages.example/cb"}}
		d.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
			app, _, err = d.clients.Create(ctx, tx, app)
			return err
		})
		d.get("/admin/strengths").says("Asked for by Wages")
		page := d.get(at)
		page.says("It cannot be removed while apps ask for it: Wages.")
		page.offers("remove", false)
		for _, do := range []string{"remove", "remove-sure"} {
			if r = d.post(at, with(page.form("policy"), do)); r.status != http.StatusConflict {
				t.Errorf("%s while it is asked for: %d", do, r.status)
			}
		}
		d.write(func(ctx context.Context, tx *sqldb.Tx) error { return d.clients.Delete(ctx, tx, d.tenant.ID, app.ID) })
		d.post(at, with(d.get(at).form("policy"), "remove")).says("Remove Payroll?")
		if r = d.post(at, with(d.get(at).form("policy"), "remove-sure")); r.status != http.StatusSeeOther {
			t.Errorf("removed: %d %s", r.status, r.text())
		}
		if _, ok := d.policy().Strength("payroll"); ok {
			t.Error("the strength is still there")
		}
		r = d.post("/admin/strengths/new", with(d.get("/admin/strengths/new").form("policy"), "save", "name", "", "pair.a", "fido2"))
		if r.status != http.StatusBadRequest {
			t.Errorf("without a name: %d", r.status)
		}
		r.says("Choose the second one too, or none.", "Must be text of 1 to 64 bytes.")
	})
}
