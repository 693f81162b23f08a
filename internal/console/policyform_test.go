package console

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/policy"
)

const (
	formStaff  = "11111111-1111-4111-8111-111111111111"
	formOffice = "44444444-4444-4444-8444-444444444444"
	formAda    = "66666666-6666-4666-8666-666666666666"
	yubi5      = "cb69481e-8ff7-4039-93ec-0a2729a154a8"
	yubiNFC    = "2fc0579f-8113-47ea-b116-bb5a8db9202a"
)

// formPolicy has something in every place that a form shows.
func formPolicy() policy.Policy {
	p := policy.Default()
	p.Version = 7
	group, user, all := policy.Target{Group: formStaff}, policy.Target{User: formAda}, policy.Target{All: true}
	p.Methods[policy.Passkey] = policy.MethodRules{On: true,
		Include: []policy.Include{{Target: all}, {Target: group, Required: true, Profiles: []string{policy.DefaultProfile, formOffice}}, {Target: user, Profiles: []string{formOffice}}},
		Exclude: []policy.Target{{User: formOffice}},
	}
	p.Methods[policy.Hello] = policy.MethodRules{Include: []policy.Include{{Target: group, Required: true}}}
	p.Methods[policy.Phone] = policy.MethodRules{Include: []policy.Include{{Target: group, Required: true}}}
	p.Phone.Stricter = []policy.PhoneFromFor{{Target: user, From: policy.FromNetwork}, {Target: group, From: policy.FromKnown}, {Target: all, From: policy.FromAnywhere}}
	p.Phone.ShowApp.Exclude, p.Phone.ShowPlace.Include, p.Phone.Report.Include = group, group, user
	p.Passkey.Except = []policy.Target{user}
	p.Passkey.AAGUIDs = policy.AAGUIDRules{Mode: policy.ListDeny, List: []string{strings.ToUpper(yubi5)}}
	p.Passkey.Profiles = []policy.Profile{{ID: formOffice, Name: "Office", KeyRules: policy.KeyRules{
		Attestation: policy.AttestationAlways, Synced: policy.SyncedDeny, AAGUIDs: policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{yubi5, yubiNFC}}}}}
	p.Campaign.Exclude = []policy.Target{group}
	p.Order.Methods = []idp.MethodID{policy.AccessPass, policy.Passkey}
	p.Strengths = append(p.Strengths, policy.Strength{ID: formAda, Name: "Payroll", Combinations: [][]idp.Mode{{idp.ModeFIDO2}, {idp.ModePhone, idp.ModeCertificateSingle}},
		Each: []idp.Property{idp.HardwareBound}, Configurations: []policy.Configuration{{ID: formStaff, Modes: []idp.Mode{idp.ModeFIDO2}, AAGUIDs: []string{yubi5}}}})
	return p
}

// draft is what all forms have.
type draft interface {
	values() url.Values
	apply(policy.Policy, policy.Models) (policy.Policy, []wrong)
}

// strengthFields is a strengthDraft whose new configuration has a known id.
type strengthFields struct{ *strengthDraft }

func (d strengthFields) apply(p policy.Policy, known policy.Models) (policy.Policy, []wrong) {
	return d.strengthDraft.apply(p, formStaff, formOffice, known)
}

func draftsOf(p policy.Policy) map[string]draft {
	office, standard := passkeyDraftOf(p, formOffice), passkeyDraftOf(p, policy.DefaultProfile)
	pass, hello, phone := methodDraftOf(p, policy.AccessPass), methodDraftOf(p, policy.Hello), phoneDraftOf(p)
	cert := certificateDraftOf(p)
	campaign, order, strength := campaignDraftOf(p), orderDraftOf(p), strengthDraftOf(p, formAda)
	return map[string]draft{"profile": &office, "default": &standard, "pass": &pass, "hello": &hello, "phone": &phone, "certificate": &cert, "campaign": &campaign, "order": &order, "strength": strengthFields{&strength}}
}

func readDraft(name string, v url.Values) draft {
	switch name {
	case "profile":
		d := readPasskey(v, formOffice)
		return &d
	case "default":
		d := readPasskey(v, policy.DefaultProfile)
		return &d
	case "pass":
		d := readMethod(v, policy.AccessPass)
		return &d
	case "certificate":
		d := readCertificate(v)
		return &d
	case "hello":
		d := readMethod(v, policy.Hello)
		return &d
	case "phone":
		d := readPhone(v)
		return &d
	case "campaign":
		d := readCampaign(v)
		return &d
	case "order":
		d := readOrder(v)
		return &d
	}
	d := readStrength(v, formAda)
	return strengthFields{&d}
}

// What is loaded and saved again changes nothing, through the fields as
// browsers send them.
func TestFormsKeepThePolicy(t *testing.T) {
	p := formPolicy()
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	for name, d := range draftsOf(p) {
		sent, err := url.ParseQuery(d.values().Encode())
		if err != nil {
			t.Fatal(err)
		}
		next, wrongs := readDraft(name, sent).apply(p, nil)
		if len(wrongs) > 0 {
			t.Errorf("%s: %v", name, wrongs)
		}
		if diff, err := policy.Differences(p, next); err != nil || len(diff) > 0 {
			t.Errorf("%s: saving what was loaded changes %+v, %v", name, diff, err)
		}
	}
}

// Each change is one in one place.
func TestFormsChange(t *testing.T) {
	for _, tt := range []struct {
		name, form string
		change     func(url.Values)
		at         []string // the places that change
	}{
		{"attestation of a profile", "profile", func(v url.Values) { v.Set("attestation", "required") }, []string{"passkey.profiles[0].attestation"}},
		{"a model goes", "profile", func(v url.Values) { v["model"] = []string{yubiNFC} }, []string{"passkey.profiles[0].aaguids.list"}},
		{"a person is excepted", "profile", func(v url.Values) { v.Add("except", "user:"+formAda) }, []string{"passkey.profiles[0].except"}},
		{"a profile has another name", "profile", func(v url.Values) { v.Set("name", "Desk") }, []string{"passkey.profiles[0].name"}},
		{"whom a profile alone binds", "profile", func(v url.Values) { v["include"] = []string{"group:" + formStaff} }, []string{"methods.passkey.include"}},
		{"whom it binds with another", "profile", func(v url.Values) { v["include"] = []string{"user:" + formAda} }, []string{"methods.passkey.include[1].profiles"}},
		{"everybody is bound too", "profile", func(v url.Values) { v.Add("include", "all") }, []string{"methods.passkey.include[0].profiles"}},
		{"one need not register", "default", func(v url.Values) { v.Del("required") }, []string{"methods.passkey.include[1].required"}},
		{"withdrawn models are taken", "default", func(v url.Values) { v.Set("withdrawn", "allow") }, []string{"passkey.withdrawn"}},
		{"a list is turned off", "profile", func(v url.Values) { v.Set("mode", "off") }, []string{"passkey.profiles[0].aaguids.mode", "passkey.profiles[0].aaguids.resting"}},
		{"passkeys off", "default", func(v url.Values) { v.Del("on") }, []string{"methods.passkey.on"}},
		{"a limit", "default", func(v url.Values) { v.Set("limit", " 18 ") }, []string{"passkey.limit"}},
		{"nobody is barred", "default", func(v url.Values) { v.Del("exclude") }, []string{"methods.passkey.exclude"}},
		{"passes for 90 minutes", "pass", func(v url.Values) { v.Set("default", "90"); v.Set("default.unit", "m") }, []string{"accessPass.default"}},
		{"passes several times", "pass", func(v url.Values) { v.Del("once") }, []string{"accessPass.once"}},
		{"Hello for everybody", "hello", func(v url.Values) { v["include"] = []string{"all"} }, []string{"methods.hello.include[0].all", "methods.hello.include[0].group", "methods.hello.include[0].required"}},
		{"phones for everybody", "phone", func(v url.Values) { v["include"] = []string{"all"} }, []string{"methods.phone.include[0].all", "methods.phone.include[0].group", "methods.phone.include[0].required"}},
		{"phones asked from known browsers", "phone", func(v url.Values) { v.Set("from", "known") }, []string{"phone.from"}},
		{"known browsers for one more", "phone", func(v url.Values) { v.Add("known", "user:"+formOffice) }, []string{"phone.stricter"}},
		{"known browsers for all, about whom nothing was said", "phone", func(v url.Values) { v.Add("known", "all") }, []string{"phone.stricter[2].from"}},
		{"from one list to the other", "phone", func(v url.Values) { v.Del("network"); v.Add("known", "user:"+formAda) },
			[]string{"phone.stricter[0].from", "phone.stricter[0].group", "phone.stricter[0].user", "phone.stricter[1].all", "phone.stricter[1].from", "phone.stricter[1].group", "phone.stricter[2].all", "phone.stricter[2].from", "phone.stricter[2].user"}},
		{"no place on phones", "phone", func(v url.Values) { v.Del("showPlace") }, []string{"phone.showPlace.on"}},
		{"the app is shown to all", "phone", func(v url.Values) { v.Del("appNot") }, []string{"phone.showApp.exclude"}},
		{"a report closes phones", "phone", func(v url.Values) { v.Set("reportBlock", "1") }, []string{"phone.report.block"}},
		{"others report", "phone", func(v url.Values) { v["reportBy"] = []string{"all"} }, []string{"phone.report.include.all", "phone.report.include.user"}},
		{"passkeys that stay", "phone", func(v url.Values) { v.Set("synced", "deny") }, []string{"phone.synced"}},
		{"fewer phones", "phone", func(v url.Values) { v.Set("limit", "16") }, []string{"phone.limit"}},
		{"a campaign", "campaign", func(v url.Values) { v.Set("on", "1"); v.Set("snoozes", "0") }, []string{"campaign.on", "campaign.snoozes"}},
		{"an order", "order", func(v url.Values) { v["method"] = []string{"passkey", "accessPass"} }, []string{"order.methods[0]", "order.methods[1]"}},
		{"a pair is chosen", "strength", func(v url.Values) { v.Set("pair.a", string(idp.ModePhone)); v.Set("pair.b", string(idp.ModeFIDO2)) }, []string{"strengths[0].combinations"}},
		{"no models", "strength", func(v url.Values) { v.Del("model") }, []string{"strengths[0].configurations"}},
	} {
		p := formPolicy()
		v := draftsOf(p)[tt.form].values()
		tt.change(v)
		next, wrongs := readDraft(tt.form, v).apply(p, nil)
		if len(wrongs) > 0 {
			t.Errorf("%s: %v", tt.name, wrongs)
		}
		diff, err := policy.Differences(p, next)
		if err != nil {
			t.Fatal(err)
		}
		var at []string
		for _, d := range diff {
			at = append(at, d.At)
		}
		if !slices.Equal(at, tt.at) {
			t.Errorf("%s changes %q, want %q", tt.name, at, tt.at)
		}
		if !reflect.DeepEqual(p, formPolicy()) {
			t.Fatalf("%s changed the saved policy", tt.name)
		}
	}
}

// Each complaint is at the field that it is about, and what was typed stays.
func TestFormsComplain(t *testing.T) {
	known := func() map[string]string {
		return map[string]string{yubi5: "YubiKey 5 Series", yubiNFC: "YubiKey 5 NFC"}
	}
	for _, tt := range []struct {
		name, form, field, value string
		fields                   []string
		say                      string
	}{
		{"no number", "default", "limit", "many", []string{"limit"}, "“many” is not a whole number."},
		{"a number too high", "default", "limit", "4000", []string{"limit"}, "is not a number from 1 to 50"},
		{"two numbers that contradict", "default", "warnAt", "50", []string{"warnAt", "limit"}, "above the limit"},
		{"a word that is none", "profile", "synced", "perhaps", []string{"synced"}, "is not one of allow, deny, only"},
		{"a word for withdrawn models", "default", "withdrawn", "never", []string{"withdrawn"}, "is not one of"},
		{"two rules that nothing fits", "profile", "synced", "only", []string{"attestation", "synced", "mode"}, "none fits"},
		{"an allow-list without models", "profile", "model", "", []string{"mode", "model"}, "none is listed"},
		{"a model with a typing error", "profile", "model", "cb69481e-8ff7-4039-93ec-0a2729a154a9", []string{"model"}, "did you mean"},
		{"no name", "profile", "name", "  ", []string{"name"}, "Must be text"},
		{"no target", "default", "include", "grop:1", []string{"include"}, "neither a person nor a group"},
		{"for nobody", "default", "include", "user:x", []string{"include"}, "neither"},
		{"everybody excepted", "profile", "except", "all", []string{"except"}, "binds nobody"},
		{"included and barred", "default", "exclude", "all", []string{"include", "exclude"}, "same target is included and excluded"},
		{"a length of pass", "pass", "length", "7", []string{"length"}, "is not a number from 8 to 48"},
		{"a unit of time", "pass", "default.unit", "y", []string{"default"}, "not a unit"},
		{"the shortest is too long", "pass", "min", "40", []string{"min", "max"}, "longer than the longest"},
		{"a method that is not there", "campaign", "method", "pigeon", []string{"method"}, "no method here"},
		{"a strength without a way", "strength", "combo", "", []string{"combo", "model"}, "needs a combination"},
		{"a mode that nobody knows", "strength", "combo", "telepathy", []string{"combo", "model"}, "is not one of"},
		{"a browser that is none", "phone", "from", "some", []string{"from"}, "is not one of anywhere, knownOrNetwork, known"},
		{"synced passkeys only", "phone", "synced", "only", []string{"synced"}, "is not one of allow, deny"},
		{"two phone numbers that contradict", "phone", "warnAt", "21", []string{"warnAt", "limit"}, "above the limit"},
		{"one on both lists", "phone", "known", "user:" + formAda, []string{"network", "known"}, "stands there twice"},
		{"shown to nobody", "phone", "placeTo", "", []string{"placeTo"}, "Name one person or group"},
		{"shown to and kept from", "phone", "appNot", "all", []string{"appTo", "appNot"}, "same target is included and excluded"},
		{"a reporter that is nobody", "phone", "reportBy", "someone", []string{"reportBy"}, "neither a person nor a group"},
		{"half a pair", "strength", "pair.a", "fido2", []string{"pair"}, "second one"},
	} {
		p := formPolicy()
		v := draftsOf(p)[tt.form].values()
		if tt.form == "campaign" {
			v.Set("on", "1")
		}
		if tt.name == "the shortest is too long" {
			v.Set("min.unit", "d")
		}
		if tt.name == "a model with a typing error" {
			v.Add("model", tt.value)
		} else {
			v[tt.field] = []string{tt.value}
		}
		d := readDraft(tt.form, v)
		_, wrongs := d.apply(p, known)
		said := false
		for _, w := range wrongs {
			if !slices.Contains(tt.fields, w.Field) {
				t.Errorf("%s: a complaint about %q: %s", tt.name, w.Field, w.Say)
			}
			said = said || strings.Contains(w.Say, tt.say)
		}
		if !said {
			t.Errorf("%s: %v does not say %q", tt.name, wrongs, tt.say)
		}
		if tt.value != "" && strings.TrimSpace(tt.value) != "" && !slices.Contains(d.values()[tt.field], tt.value) {
			t.Errorf("%s: what was typed is gone: %v", tt.name, d.values()[tt.field])
		}
	}
}

// A form that somebody began before another saved changes its own part only.
func TestFormsLeaveOthersAlone(t *testing.T) {
	old := formPolicy()
	d := passkeyDraftOf(old, formOffice)
	d.Attestation = "none"
	now := old.Clone()
	now.Version++
	now.AccessPass.Length, now.Passkey.Limit = 20, 30
	now.Methods[policy.AccessPass] = policy.MethodRules{}
	next, wrongs := d.apply(now, nil)
	if len(wrongs) > 0 || next.AccessPass.Length != 20 || next.Passkey.Limit != 30 || next.Methods[policy.AccessPass].On {
		t.Errorf("%v, %+v", wrongs, next.AccessPass)
	}
	if next.Passkey.Profiles[0].Attestation != policy.AttestationNone {
		t.Error("the change itself is lost")
	}
}

func TestNewProfileAndStrength(t *testing.T) {
	p := policy.Default()
	d := passkeyDraftOf(p, formOffice)
	if d.Attestation != string(p.Passkey.Attestation) || d.Name != "" || len(d.Include) > 0 {
		t.Errorf("a new profile begins with %+v", d)
	}
	d.Name, d.Include = "Office", []string{"group:" + formStaff}
	p, wrongs := d.apply(p, nil)
	if len(wrongs) > 0 || p.Passkey.Profiles[0].Name != "Office" || !slices.Equal(p.Methods[policy.Passkey].Include[1].Profiles, []string{formOffice}) {
		t.Errorf("%v, %+v", wrongs, p.Methods[policy.Passkey])
	}
	gone := dropProfile(p, formOffice)
	if err := gone.Check(); err != nil || len(gone.Passkey.Profiles) > 0 || gone.Methods[policy.Passkey].Include[1].Profiles != nil {
		t.Errorf("%v, %+v", err, gone.Methods[policy.Passkey])
	}
	s := strengthDraftOf(p, formAda)
	s.Name, s.Combos, s.Models = "Payroll", []string{"fido2"}, []string{yubi5}
	next, wrongs := s.apply(p, formStaff, formOffice, nil)
	if len(wrongs) > 0 {
		t.Fatal(wrongs)
	}
	if got, ok := next.Strength("payroll"); !ok || got.Configurations[0].ID != formStaff || got.Configurations[0].AAGUIDs[0] != yubi5 {
		t.Errorf("%+v", got)
	}
}

// A strength takes certificates of some issuers and policies only; the limit is
// for the modes that it has, and goes when nothing is named.
func TestStrengthOfCertificates(t *testing.T) {
	p := policy.Default()
	d := strengthDraftOf(p, formAda)
	d.Name, d.Combos = "Payroll", []string{string(idp.ModeCertificateMulti), string(idp.ModeFIDO2)}
	d.Issuers, d.OIDs = []string{caOne}, " 1.2.3\r\n1.2.4 \n1.2.3"
	next, wrongs := d.apply(p, formStaff, formOffice, nil)
	if len(wrongs) > 0 {
		t.Fatal(wrongs)
	}
	got, _ := next.Strength("payroll")
	want := policy.Configuration{ID: formOffice, Modes: []idp.Mode{idp.ModeCertificateMulti}, Issuers: []string{caOne}, PolicyOIDs: []string{"1.2.3", "1.2.4"}}
	if len(got.Configurations) != 1 || !reflect.DeepEqual(got.Configurations[0], want) {
		t.Errorf("%+v", got.Configurations)
	}
	d = strengthDraftOf(next, formAda)
	if d.OIDs != "1.2.3\n1.2.4" || !slices.Equal(d.Issuers, []string{caOne}) {
		t.Errorf("read again: %+v", d)
	}
	d.Combos, d.OIDs = append(d.Combos, string(idp.ModeCertificateSingle)), ""
	if next, wrongs = d.apply(next, formStaff, formAda, nil); len(wrongs) > 0 {
		t.Fatal(wrongs)
	}
	if got, _ = next.Strength("payroll"); len(got.Configurations[0].Modes) != 2 || len(got.Configurations[0].PolicyOIDs) != 0 || got.Configurations[0].ID != formOffice {
		t.Errorf("%+v", got.Configurations)
	}
	d.Issuers = nil
	if next, wrongs = d.apply(next, formStaff, formAda, nil); len(wrongs) > 0 {
		t.Fatal(wrongs)
	}
	if got, _ = next.Strength("payroll"); len(got.Configurations) != 0 {
		t.Errorf("%+v", got.Configurations)
	}
	d.Combos, d.OIDs = []string{string(idp.ModeFIDO2)}, "1.2.3"
	if _, wrongs = d.apply(next, formStaff, formAda, nil); len(wrongs) == 0 || wrongs[0].Field != "issuer" {
		t.Errorf("nothing to narrow: %+v", wrongs)
	}
	d.Combos, d.OIDs = []string{string(idp.ModeCertificateMulti)}, "1.2.3 two"
	if _, wrongs = d.apply(next, formStaff, formAda, nil); len(wrongs) == 0 || wrongs[0].Field != "oids" {
		t.Errorf("no policy: %+v", wrongs)
	}
}

func TestSpans(t *testing.T) {
	for _, d := range []time.Duration{0, time.Second, 10 * time.Minute, time.Hour, 90 * time.Minute, 24 * time.Hour, 30 * 24 * time.Hour, 61 * time.Second} {
		var got time.Duration
		a := &applying{}
		a.span("x", spanOf(d), &got)
		if got != d || len(a.wrongs) > 0 {
			t.Errorf("%s becomes %+v and then %s: %v", d, spanOf(d), got, a.wrongs)
		}
	}
	for _, s := range []span{{"", "h"}, {"-1", "h"}, {"1e3", "m"}, {"99999999999", "d"}, {"soon", ""}, {"1", "y"}} {
		got := time.Minute
		a := &applying{}
		a.span("x", s, &got)
		if len(a.wrongs) != 1 || got != time.Minute {
			t.Errorf("%+v: %s, %v", s, got, a.wrongs)
		}
	}
}

// twoModels are a list of models without any metadata.
type twoModels struct{}

func (twoModels) all() []metadata.Model {
	return []metadata.Model{{AAGUID: yubi5, Name: "YubiKey 5 Series"}, {AAGUID: yubiNFC, Name: "YubiKey 5 NFC"}}
}

func (m twoModels) Model(aaguid string) (metadata.Model, bool) {
	for _, one := range m.all() {
		if one.AAGUID == aaguid {
			return one, true
		}
	}
	return metadata.Model{}, false
}

func (m twoModels) Nearest(aaguid string) (metadata.Model, bool) {
	for _, one := range m.all() {
		if apart(one.AAGUID, aaguid) <= 6 {
			return one, true
		}
	}
	return metadata.Model{}, false
}

func (m twoModels) Search(string, int) []metadata.Model { return m.all() }

func TestPaste(t *testing.T) {
	text := "# our keys\r\nYubiKey 5: CB69481E-8FF7-4039-93EC-0A2729A154A8, \"{2fc0579f811347eab116bb5a8db9202a}\"\n\n" +
		"cb69481e-8ff7-4039-93ec-0a2729a154a9\nfido\n2fc0579f-8113-47ea-b116-bb5a8db9202 # short\n99999999-1111-4111-8111-111111111111\n" + yubi5
	good, bad := readPaste(text, twoModels{})
	if !slices.Equal(good, []string{yubi5, yubiNFC, "99999999-1111-4111-8111-111111111111"}) {
		t.Errorf("good: %q", good)
	}
	want := []pasted{
		{4, "cb69481e-8ff7-4039-93ec-0a2729a154a9", metadata.Model{AAGUID: yubi5, Name: "YubiKey 5 Series"}},
		{5, "fido", metadata.Model{}},
		{6, "2fc0579f-8113-47ea-b116-bb5a8db9202", metadata.Model{AAGUID: yubiNFC, Name: "YubiKey 5 NFC"}},
	}
	if !reflect.DeepEqual(bad, want) {
		t.Errorf("bad: %+v", bad)
	}
	if good, bad := readPaste(strings.Repeat(yubi5+"\n", 2000), twoModels{}); good != nil || len(bad) != 1 {
		t.Errorf("a list without end: %d good, %d bad", len(good), len(bad))
	}
}

// FuzzPolicyForm: whatever a browser sends, every form reads it without harm,
// shows all of it again, and gives a policy that stands or complaints.
func FuzzPolicyForm(f *testing.F) {
	for name, d := range draftsOf(formPolicy()) {
		f.Add(name, d.values().Encode())
	}
	f.Add("default", "include=all&include=group:x&limit=9999999999999999999&model=%00&paste=%ff")
	f.Add("strength", "combo=%2B&combo=fido2%2Bfido2&pair.a=x&pair.b=x&each=&model=1")
	f.Add("pass", "default=1&default.unit=d&min=&max=-1&max.unit=h")
	known := func() map[string]string { return map[string]string{yubi5: "YubiKey 5 Series"} }
	p := formPolicy()
	before := formPolicy()
	f.Fuzz(func(t *testing.T, name, body string) {
		v, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		d := readDraft(name, v)
		if again := readDraft(name, d.values()); !reflect.DeepEqual(again, d) {
			t.Fatalf("shown again as %+v, was %+v", again, d)
		}
		next, wrongs := d.apply(p, known)
		if err := next.CheckWith(known); err != nil && len(wrongs) == 0 {
			t.Fatalf("no complaint, and %v", err)
		}
		if !reflect.DeepEqual(p, before) {
			t.Fatal("the saved policy was changed")
		}
		good, _ := readPaste(v.Get("paste"), twoModels{})
		for _, g := range good {
			if !isGUID(g) {
				t.Fatalf("%q is taken for an AAGUID", g)
			}
		}
	})
}
