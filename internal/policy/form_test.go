package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

const form = `
# Who may use what.
methods:
  passkey:
    on: true
    include:
      - all: true
      - group: 22222222-2222-4222-8222-222222222222
        profiles: [44444444-4444-4444-8444-444444444444]
        required: true
    exclude:
      - user: 99999999-9999-4999-8999-999999999999
passkey:
  limit: 5
  warnAt: 4
  restrictions: audit
  profiles:
    - id: 44444444-4444-4444-8444-444444444444
      name: Hardware keys
      attestation: required
      synced: deny
      aaguids:
        mode: allow
        list:
          - A25342C0-3CDC-4414-8E46-F4807FCA511C
accessPass:
  default: 2h
strengths:
  - id: own
    name: Hardware keys only
    combinations: [[fido2]]
    configurations:
      - id: c
        modes: [fido2]
        aaguids: [a25342c0-3cdc-4414-8e46-f4807fca511c]
`

func formPolicy() policy.Policy {
	p := policy.Default()
	p.Methods[policy.Passkey] = policy.MethodRules{
		On: true,
		Include: []policy.Include{
			{Target: policy.Target{All: true}},
			{Target: policy.Target{Group: admins}, Profiles: []string{strict}, Required: true},
		},
		Exclude: []policy.Target{{User: "99999999-9999-4999-8999-999999999999"}},
	}
	p.Passkey.Limit, p.Passkey.WarnAt, p.Passkey.Restrictions = 5, 4, policy.EnforceAudit
	p.Passkey.Profiles = []policy.Profile{{ID: strict, Name: "Hardware keys", KeyRules: policy.KeyRules{
		Attestation: policy.AttestationRequired, Synced: policy.SyncedDeny, AAGUIDs: policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{nitro}},
	}}}
	p.AccessPass.Default = 2 * time.Hour
	p.Strengths = append(p.Strengths, policy.Strength{ID: "own", Name: "Hardware keys only", Combinations: [][]idp.Mode{{idp.ModeFIDO2}},
		Configurations: []policy.Configuration{{ID: "c", Modes: []idp.Mode{idp.ModeFIDO2}, AAGUIDs: []string{nitro}}}})
	return p
}

func TestParse(t *testing.T) {
	p, err := policy.Parse([]byte(form), models)
	if err != nil {
		t.Fatalf("%v: %s", err, idp.AsError(err).Public)
	}
	if diff := cmp.Diff(formPolicy(), p); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	for _, empty := range []string{"", "\n", "# nothing\n", "{}", "---\n", "# first\n---\nmethods: {}\n"} {
		if p, err := policy.Parse([]byte(empty), nil); err != nil || cmp.Diff(policy.Default(), p) != "" {
			t.Errorf("%q is not the default policy: %v", empty, err)
		}
	}
}

func TestFormatIsParsed(t *testing.T) {
	for _, p := range []policy.Policy{policy.Default(), formPolicy()} {
		out, err := policy.Format(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := policy.Parse(out, models)
		if err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if diff := cmp.Diff(p, got); diff != "" {
			t.Errorf("formatted and read (-want +got):\n%s\n%s", diff, out)
		}
	}
}

// TestParseRefuses: what is not understood is named, with its place and line.
func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, form, reason, field string
		says                      []string
	}{
		{"unknown property", "passkey:\n  limit: 3\n  warnAt: 2\n  colour: red\n", "unknown_property", "passkey.colour", []string{"passkey.colour, line 4", "selfService"}},
		{"unknown property of the form", "passkeys: {}\n", "unknown_property", "passkeys", []string{"line 1", "methods"}},
		{"unknown property in a list", `{"methods":{"passkey":{"include":[{"all":true},` + "\n" + `{"everyone":true}]}}}`, "unknown_property", "methods.passkey.include[1].everyone", []string{"line 2"}},
		{"unknown word", "passkey:\n  synced: sometimes\n", "unknown_member", "passkey.synced", []string{"line 2", `"sometimes"`, "allow, deny, only"}},
		{"unknown mode", `{"strengths":[{"id":"a","name":"a","combinations":[["fido2"],["fido3"]]}]}`, "unknown_member", "strengths[0].combinations[1][0]", []string{`"fido3"`, "fido2"}},
		{"a word where a number stands", "passkey: {limit: many}\n", "bad_value", "passkey.limit", []string{"number"}},
		{"half a number", "passkey: {limit: 1.5}\n", "bad_value", "passkey.limit", []string{"number"}},
		{"a number where a word stands", "strengths: [{id: 1}]\n", "bad_value", "strengths[0].id", []string{"quotes"}},
		{"a number out of range", "passkey: {limit: 0, warnAt: 0}\n", "bad_value", "passkey.limit", []string{"1 to 200"}},
		{"a word where a list stands", "methods: {passkey: {include: all}}\n", "bad_value", "methods.passkey.include", []string{"list"}},
		{"a list where properties stand", "methods: []\n", "bad_value", "methods", []string{"names"}},
		{"a word where properties stand", `{"passkey":"on"}`, "bad_value", "passkey", []string{"line 1"}},
		{"a time without a unit", "session: {idle: 90}\n", "bad_value", "session.idle", []string{"90m"}},
		{"a date", "passkey: {limit: 2026-01-01}\n", "bad_value", "passkey.limit", []string{"number"}},
		{"a name twice, YAML", "session: {}\nsession: {}\n", "form_malformed", "", []string{"line 2"}},
		{"a name twice, JSON", "{\"session\":{},\n\"session\":{}}", "form_malformed", "", []string{"line 2", "twice"}},
		{"two documents", "session: {}\n---\npasskey: {limit: 3}\n", "form_malformed", "", []string{"more than one document"}},
		{"a document and an end", "session: {}\n...\npasskey: {limit: 3}\n", "form_malformed", "", []string{"more than one document"}},
		{"two values", "{} {}", "form_malformed", "", []string{"not JSON"}},
		{"no form at all", "}\n", "form_malformed", "", []string{"neither"}},
		{"a built-in strength", "strengths: [{id: 00000000-0000-0000-0000-000000000004, name: Mine, combinations: [[fido2]]}]\n", "built_in", "strengths[0].id", nil},
		{"a typing error in a model", strings.Replace(form, "A25342C0-3CDC-4414-8E46-F4807FCA511C", "a25342c0-3cdc-4414-8e46-f4807fca511d", 1),
			"aaguid_typo", "passkey.profiles[0].aaguids.list[0]", []string{"line 25", nitro, "YubiKey 5 NFC"}},
		{"a contradiction in JSON", "{\"passkey\":\n{\"limit\":3,\n\"warnAt\":4}}", "contradiction", "passkey.warnAt", []string{"passkey.warnAt, line 3", "passkey.limit, line 2"}},
		{"a strength of its own, in its own count", `{"strengths":[{"id":"a","name":"","combinations":[["fido2"]]}]}`, "bad_value", "strengths[0].name", nil},
		{"too long", "# " + strings.Repeat("x", 1<<20), "form_too_long", "", nil},
		{"too deep", strings.Repeat("[", 10_000), "form_malformed", "", nil},
		{"too deep, JSON", strings.Repeat(`{"a":`, 10_000), "form_malformed", "", nil},
		{"an anchor that holds itself", "methods: &a {x: *a}\n", "form_malformed", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.Parse([]byte(tt.form), models)
			e := idp.AsError(err)
			if !errors.Is(err, idp.Invalid) || e.Reason != tt.reason || e.Field != tt.field {
				t.Fatalf("got %v (at %q), want invalid %s at %q", err, idp.AsError(err), tt.reason, tt.field)
			}
			for _, word := range tt.says {
				if !strings.Contains(e.Public, word) {
					t.Errorf("says %q, which lacks %q", e.Public, word)
				}
			}
			if e.Public == "" || len(e.Public) > 4000 {
				t.Errorf("says %d bytes", len(e.Public))
			}
		})
	}
}

// TestParseSaysAllAtOnce: one look at a form finds everything, each with its
// own line although words and names repeat, and a contradiction with both.
func TestParseSaysAllAtOnce(t *testing.T) {
	const bad = `# A comment.
methods:
  passkey: &all
    on: "true"
    include: [{all: true}]
  accessPass: *all
passkey:
  colour: red
  limit: 5
  warnAt: 9
  synced: never
  aaguids:
    mode: "off"
    list:
      - a25342c0-3cdc-4414-8e46-f4807fca511d
  profiles:
    - id: 44444444-4444-4444-8444-444444444444
      name: one
      synced: never
      aaguids: {mode: "off"}
    - id: 44444444-4444-4444-8444-444444444444
      name: two
      aaguids: {mode: "off", list: [a25342c0-3cdc-4414-8e46-f4807fca511d]}
session:
  idle: soon
`
	_, err := policy.Parse([]byte(bad), models)
	var places []string
	for _, line := range strings.Split(idp.AsError(err).Public, "\n") {
		place, _, _ := strings.Cut(line, ": ")
		places = append(places, place)
	}
	want := []string{
		"methods.accessPass.on, line 4", // where the anchor holds it
		"methods.passkey.on, line 4", "passkey.colour, line 8",
		"passkey.profiles[0].synced, line 19", "passkey.synced, line 11", "session.idle, line 25",
		"passkey.warnAt, line 10 and passkey.limit, line 9",
		"passkey.aaguids.list[0], line 15",
		"passkey.profiles[0].attestation, line 17", // missing there
		"passkey.profiles[1].id, line 21 and passkey.profiles[0].id, line 17",
		"passkey.profiles[1].attestation, line 21", "passkey.profiles[1].synced, line 21",
		"passkey.profiles[1].aaguids.list[0], line 23",
	}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Errorf("%v (-want +got):\n%s\n%s", err, diff, idp.AsError(err).Public)
	}
	many := "passkey:\n"
	for i := range 50 {
		many += fmt.Sprintf("  p%d: 1\n", i)
	}
	_, err = policy.Parse([]byte(many), nil)
	if says := idp.AsError(err).Public; !strings.HasSuffix(says, "\nAnd 30 more.") {
		t.Errorf("says %q", says)
	}
	// Lines of what a merge brought in are not known; its place still is.
	_, err = policy.Parse([]byte("passkey: {limit: 5, warnAt: 4}\nsession:\n  <<: {idle: soon}\n"), nil)
	if says := idp.AsError(err).Public; !strings.HasPrefix(says, "session.idle: ") {
		t.Errorf("says %q", says)
	}
}

// anyGoverned draws a policy that Check lets pass, or not.
func anyGoverned(t *rapid.T) policy.Policy {
	p := policy.Default()
	targets := []policy.Target{{All: true}, {Group: staff}, {Group: admins}, {Group: leavers}, {User: "99999999-9999-4999-8999-999999999999"}}
	profiles := []string{policy.DefaultProfile, strict, loose}
	p.Passkey.KeyRules = anyKeyRules(t, "default")
	p.Passkey.Additive = rapid.Bool().Draw(t, "additive")
	p.Passkey.SelfService = rapid.Bool().Draw(t, "selfService")
	p.Passkey.Restrictions = rapid.SampledFrom([]policy.Enforcement{policy.Enforce, policy.Enforce, policy.EnforceAudit, policy.EnforceOff}).Draw(t, "restrictions")
	p.Passkey.Profiles = []policy.Profile{
		{ID: strict, Name: "one", KeyRules: anyKeyRules(t, "one")}, {ID: loose, Name: "two", KeyRules: anyKeyRules(t, "two")},
	}
	p.Phone, p.Certificate = anyPhoneRules(t), anyCertificateRules(t)
	p.Macs = policy.MacRules{
		Method:         rapid.SampledFrom([]policy.MacMethod{policy.MacKey, policy.MacCard}).Draw(t, "method of Macs"),
		Biometric:      rapid.SampledFrom([]int{0, 1, 2, 5, 10, 14}).Draw(t, "biometric"),
		LoginFrequency: time.Duration(rapid.IntRange(3600, 1_209_600).Draw(t, "login frequency")) * time.Second,
		AccountName:    rapid.SampledFrom([]string{"", "Contoso"}).Draw(t, "account name"),
	}
	for _, m := range []idp.MethodID{policy.Passkey, policy.AccessPass, "hello", policy.Phone, policy.Platform, policy.Certificate} {
		r := policy.MethodRules{On: rapid.IntRange(0, 9).Draw(t, "on") > 0}
		for _, target := range rapid.SliceOfNDistinct(rapid.SampledFrom(targets), 0, 3, rapid.ID[policy.Target]).Draw(t, "include") {
			in := policy.Include{Target: target}
			if m == policy.Passkey {
				in.Profiles = rapid.SliceOfNDistinct(rapid.SampledFrom(profiles), 0, 2, rapid.ID[string]).Draw(t, "profiles")
			}
			r.Include = append(r.Include, in)
		}
		r.Exclude = rapid.SliceOfNDistinct(rapid.SampledFrom(targets[1:]), 0, 1, rapid.ID[policy.Target]).Draw(t, "exclude")
		p.Methods[m] = r
	}
	return p
}

func anyPhoneRules(t *rapid.T) policy.PhoneRules {
	targets := []policy.Target{{All: true}, {Group: staff}, {Group: admins}, {Group: leavers}, {User: "99999999-9999-4999-8999-999999999999"}}
	one := func(name string) policy.Target { return rapid.SampledFrom(targets).Draw(t, name) }
	from := rapid.SampledFrom([]policy.PhoneFrom{policy.FromAnywhere, policy.FromNetwork, policy.FromKnown})
	feature := func(name string) policy.Feature {
		f := policy.Feature{On: rapid.Bool().Draw(t, name), Include: one(name + " include")}
		if rapid.Bool().Draw(t, name+" excludes") {
			f.Exclude = one(name + " exclude")
		}
		return f
	}
	r := policy.PhoneRules{
		Limit: rapid.IntRange(1, 50).Draw(t, "phones"), From: from.Draw(t, "from"),
		Synced:  rapid.SampledFrom([]policy.Synced{policy.SyncedAllow, policy.SyncedDeny}).Draw(t, "synced on phones"),
		ShowApp: feature("show app"), ShowPlace: feature("show place"),
		Report: policy.ReportRules{On: rapid.Bool().Draw(t, "report"), Include: one("report include"), Block: rapid.Bool().Draw(t, "block")},
	}
	r.WarnAt = rapid.IntRange(1, r.Limit).Draw(t, "warn at")
	for _, target := range rapid.SliceOfNDistinct(rapid.SampledFrom(targets), 0, 3, rapid.ID[policy.Target]).Draw(t, "stricter") {
		r.Stricter = append(r.Stricter, policy.PhoneFromFor{Target: target, From: from.Draw(t, "stricter from")})
	}
	return r
}

func anyKeyRules(t *rapid.T, name string) policy.KeyRules {
	excepted := []policy.Target{{Group: staff}, {Group: leavers}, {User: "99999999-9999-4999-8999-999999999999"}}
	var except []policy.Target // nothing, and not an empty list, as what is read has it
	if rapid.IntRange(0, 3).Draw(t, name+" excepts") == 0 {
		except = rapid.SliceOfNDistinct(rapid.SampledFrom(excepted), 1, 2, rapid.ID[policy.Target]).Draw(t, name+" except")
	}
	return policy.KeyRules{
		Except:      except,
		Attestation: rapid.SampledFrom([]policy.Attestation{policy.AttestationNone, policy.AttestationPreferred, policy.AttestationRequired, policy.AttestationAlways}).Draw(t, name+" attestation"),
		Synced:      rapid.SampledFrom([]policy.Synced{policy.SyncedAllow, policy.SyncedAllow, policy.SyncedDeny, policy.SyncedOnly}).Draw(t, name+" synced"),
		AAGUIDs: policy.AAGUIDRules{
			Mode: rapid.SampledFrom([]policy.ListMode{policy.ListOff, policy.ListAllow, policy.ListDeny}).Draw(t, name+" mode"),
			List: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{nitro, other, "cb69481e-8ff7-4039-93ec-0a2729a154a8"}), 0, 2, rapid.ID[string]).Draw(t, name+" list"),
		},
	}
}

// What Check lets pass is the same after it was written and read, in both
// forms: exported and stored.
func TestRoundTrip(t *testing.T) {
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		p := anyGoverned(t)
		for range 20 { // most of what chance makes contradicts itself
			if p.Check() == nil {
				break
			}
			p = anyGoverned(t)
		}
		if p.Check() != nil {
			return
		}
		passed++
		out, err := policy.Format(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := policy.Parse(out, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		// A list without members is no list.
		if diff := differences(t, p, got); len(diff) != 0 {
			t.Fatalf("exported and read: %v", diff)
		}
		doc, err := policy.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err = policy.Decode(doc); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		if diff := differences(t, p, got); len(diff) != 0 {
			t.Fatalf("stored and read: %v\n%s", diff, doc)
		}
	})
	if passed < 5 {
		t.Errorf("%d policies passed: the test says little", passed)
	}
}

func differences(t rapid.TB, a, b policy.Policy) []policy.Difference {
	diff, err := policy.Differences(a, b)
	if err != nil {
		t.Fatal(err)
	}
	var out []policy.Difference
	for _, d := range diff {
		if d.Old != "[]" && d.Old != "" || d.New != "[]" && d.New != "" {
			out = append(out, d)
		}
	}
	return out
}

func TestDifferences(t *testing.T) {
	next := formPolicy()
	next.Passkey.Limit = 6
	next.Passkey.Profiles[0].AAGUIDs.List = []string{other}
	next.Methods["hello"] = policy.MethodRules{On: false}
	got, err := policy.Differences(formPolicy(), next)
	want := []policy.Difference{
		{At: "methods.hello", New: `{"exclude":null,"include":null,"on":false}`},
		{At: "passkey.limit", Old: "5", New: "6"},
		{At: "passkey.profiles[0].aaguids.list[0]", Old: `"` + nitro + `"`, New: `"` + other + `"`},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	var e audit.Event
	if err := policy.Record(&e, formPolicy(), next); err != nil || e.Detail["changes"] != "3" || e.Detail["passkey.limit"] != "5 → 6" ||
		!strings.HasPrefix(e.Detail["methods.hello"], "nothing → {") {
		t.Errorf("record %v, %v", e.Detail, err)
	}
	if got, err := policy.Differences(next, next.Clone()); err != nil || len(got) != 0 {
		t.Errorf("of itself: %v, %v", got, err)
	}
}

// The form in which the first release stored policies is read for ever.
func TestDecodeFirstRelease(t *testing.T) {
	p, err := policy.Decode(`{"settings":{"method.accessPass":"false","passkey.limit":"7","passkey.warnAt":"7","passkey.aaguids.list":"` + nitro + `"},
		"strengths":[{"ID":"own","Name":"Own","ACR":"own","Combinations":[["fido2"]],"Each":null}]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := policy.Default()
	want.Switch(policy.AccessPass, false)
	want.Passkey.Limit, want.Passkey.WarnAt, want.Passkey.AAGUIDs.List = 7, 7, []string{nitro}
	want.Strengths = append(want.Strengths, policy.Strength{ID: "own", Name: "Own", ACR: "own", Combinations: [][]idp.Mode{{idp.ModeFIDO2}}})
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "null!", `{"settings":{"nothing":"1"}}`, `{"colour":1}`} {
		if _, err := policy.Decode(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// FuzzParse: no form panics, and what is taken can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(form))
	f.Add([]byte(`{"methods":{"passkey":{"on":false}},"strengths":[{"id":"a","name":"a","combinations":[["fido2"]]}]}`))
	f.Add([]byte("methods: &a {x: *a}\n"))
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n<<: {d: 1}\n"))
	f.Add([]byte("passkey: {limit: 0x10, warnAt: 1_0}\naccessPass: {default: '9223372036854775807ns'}\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := policy.Parse(in, models)
		if err != nil {
			if !errors.Is(err, idp.Invalid) || idp.AsError(err).Public == "" {
				t.Fatalf("refused by %v", err)
			}
			return
		}
		out, err := policy.Format(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := policy.Parse(out, models)
		if err != nil {
			t.Fatalf("%v, of\n%s\nthat was written for\n%s", err, out, in)
		}
		if diff, err := policy.Differences(p, again); err != nil || len(diff) != 0 {
			t.Fatalf("%v %v", diff, err)
		}
	})
}
