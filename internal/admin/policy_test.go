package admin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

const strangeModel = "11111111-1111-4111-8111-111111111111"

// planned is policy.plan's answer, as far as tests look.
type planned struct {
	Version int64
	Changes []struct {
		At       string
		Old, New json.RawMessage
	}
	Names    map[string]string
	Warnings []string
	Preview  *struct {
		People, Keys, KeysThatStop, KeysThatStart, PeopleWhoLoseKeys, PeopleWithNoWayIn int
		Reasons                                                                         []struct {
			Rule, Reason string
			Keys         int
		}
		Lose, Regain []struct {
			UserPrincipalName string
			NoWayIn           bool
			Keys              []struct{ Aaguid, Rule string }
		}
	}
	Refusal *struct{ Reason, Sentence string }
}

func (o *office) plan(in fields) planned {
	o.t.Helper()
	raw, err := o.try("policy.plan", in)
	if err != nil {
		o.t.Fatalf("plan: %v: %s", err, idp.AsError(err).Public)
	}
	var out planned
	if err := json.Unmarshal(raw, &out); err != nil {
		o.t.Fatal(err)
	}
	return out
}

// refusedFor wants a refusal for that reason, and words in its sentence.
func (o *office) refusedFor(op string, in fields, kind idp.Kind, reason string, says ...string) {
	o.t.Helper()
	out, err := o.try(op, in)
	e := idp.AsError(err)
	if !errors.Is(err, kind) || e.Reason != reason {
		o.t.Errorf("%s: got %s, %v; want %s %s", op, out, err, kind, reason)
		return
	}
	for _, word := range says {
		if !strings.Contains(e.Public, word) {
			o.t.Errorf("%s says %q, which lacks %q", op, e.Public, word)
		}
	}
}

func TestPolicyFile(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		tenant := o.do("tenant.create", fields{"name": "Nordhafen\n# version: 9", "domain": "nordhafen.example"})["id"]
		group := o.do("group.create", fields{"displayName": "Drawing office"})["id"]
		out := o.do("policy.export", fields{})
		file, _ := out["policy"].(string)
		if out["version"] != 0.0 || out["changed"] != nil || out["tenantId"] != tenant ||
			!strings.HasPrefix(file, "# The policies of ") || strings.Count(file, "\n# version: ") != 1 {
			t.Fatalf("exported %v", out)
		}
		// What was exported is what there is, and saving it does nothing.
		if p := o.plan(fields{"policy": file}); len(p.Changes) != 0 || p.Preview != nil || p.Refusal != nil || p.Version != 0 {
			t.Errorf("plan of an export: %+v", p)
		}
		if a := o.do("policy.apply", fields{"policy": file}); a["version"] != 0.0 || a["changes"] != 0.0 {
			t.Errorf("applied an export: %v", a)
		}
		head, passkeys, ok := strings.Cut(file, "\npasskey:")
		if !ok {
			t.Fatalf("no rules on passkeys in %s", file)
		}
		edited := head + "\npasskey:" + strings.Replace(passkeys, "limit: 20", "limit: 21", 1)
		edited = strings.Replace(edited, "exclude: []", `exclude: [{group: `+group.(string)+`}]`, 1) // of the campaign, the first
		p := o.plan(fields{"policy": edited})
		var places []string
		for _, c := range p.Changes {
			places = append(places, fmt.Sprintf("%s: %s → %s", c.At, c.Old, c.New))
		}
		want := []string{`campaign.exclude:  → [{"group":"` + group.(string) + `"}]`, "passkey.limit: 20 → 21"}
		if diff := cmp.Diff(want, places); diff != "" || p.Names[group.(string)] != "Drawing office" || p.Refusal != nil {
			t.Errorf("plan (-want +got):\n%s\n%+v", diff, p)
		}
		if len(p.Warnings) != 0 {
			t.Errorf("warnings %q", p.Warnings)
		}
		stranger := strings.ReplaceAll(edited, group.(string), strangeModel)
		want = []string{"There is no group " + strangeModel + " here."}
		if p := o.plan(fields{"policy": stranger}); cmp.Diff(want, p.Warnings) != "" {
			t.Errorf("warnings %q", p.Warnings)
		}
		keys := "certificate: {unchecked: [ab12], scopes: [{authority: ab12, all: true}], levels: [{issuer: 'O=Nordhafen,CN=X', mode: x509CertificateMultiFactor, affinity: low}]}"
		want = []string{"No certificate authority here has the key identifier ab12."}
		if p := o.plan(fields{"policy": keys}); cmp.Diff(want, p.Warnings) != "" {
			t.Errorf("warnings %q", p.Warnings)
		}
		before := len(o.events(tenant))
		if a := o.do("policy.apply", fields{"policy": edited}); a["version"] != 1.0 || a["changes"] != 2.0 {
			t.Errorf("applied %v", a)
		}
		if e := o.events(tenant); len(e) != before+1 || !strings.HasPrefix(e[before], "policy.apply") {
			t.Errorf("events %v", e[before:])
		}
		if saved, err := o.policies.Get(t.Context(), idp.TenantID(tenant.(string))); err != nil || saved.Passkey.Limit != 21 {
			t.Errorf("saved %v, %v", saved.Passkey, err)
		}
		for place, form := range map[string]string{
			"all: a user":   "methods: {passkey: {include: [{all: true}, {user: " + strangeModel + "}]}}",
			"in its place":  strings.Replace(body(edited), group.(string), strangeModel, 1),
			"twice, a user": "methods: {passkey: {exclude: [{user: " + strangeModel + "}]}, accessPass: {exclude: [{user: " + strangeModel + "}]}}",
		} {
			if p := o.plan(fields{"policy": form}); len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], strangeModel) {
				t.Errorf("%s: warnings %q", place, p.Warnings)
			}
		}
		// Again: nothing changes, so nothing is undone. With a change it would be.
		if p := o.plan(fields{"policy": edited}); p.Refusal != nil || len(p.Changes) != 0 {
			t.Errorf("plan of what was applied: %+v", p)
		}
		if a := o.do("policy.apply", fields{"policy": edited}); a["version"] != 1.0 || a["changes"] != 0.0 {
			t.Errorf("applied again: %v", a)
		}
		edited = strings.Replace(edited, "limit: 21", "limit: 22", 1)
		stale := fields{"policy": edited}
		o.refusedFor("policy.apply", stale, idp.Conflict, "policy_changed", "version 0", "version 1 now", "--if-version 1")
		for _, same := range []string{strings.ReplaceAll(edited, "\n", "\r\n"), "---\n" + edited, "\n# mine\n" + edited} {
			o.refusedFor("policy.apply", fields{"policy": same}, idp.Conflict, "policy_changed")
		}
		if p := o.plan(stale); p.Refusal == nil || p.Refusal.Reason != "policy_changed" || len(p.Changes) != 1 {
			t.Errorf("plan of a stale file: %+v", p)
		}
		o.refusedFor("policy.apply", fields{"policy": edited, "ifVersion": 0}, idp.Conflict, "policy_changed", "version 1 now, not 0")
		o.refusedFor("policy.apply", fields{"policy": "passkey: {limit: 30}", "ifVersion": 2}, idp.Conflict, "policy_changed")
		if a := o.do("policy.apply", fields{"policy": edited, "ifVersion": 1}); a["version"] != 2.0 {
			t.Errorf("applied %v", a)
		}
		// A file without a header is compared with nothing; what it leaves out is the default.
		if a := o.do("policy.apply", fields{"policy": "passkey: {limit: 30}\n# tenant: x\n# version: 1\n"}); a["version"] != 3.0 || a["changes"] != 2.0 {
			t.Errorf("applied %v", a)
		}
		o.do("tenant.create", fields{"name": "Other", "domain": "other.example"})
		there := o.do("policy.export", fields{"tenant": "nordhafen.example"})["policy"]
		o.refusedFor("policy.apply", fields{"tenant": "other.example", "policy": there}, idp.Conflict, "policy_of_other_tenant", "another tenant", "--if-version 0")
		if a := o.do("policy.apply", fields{"tenant": "other.example", "policy": there, "ifVersion": 0}); a["version"] != 1.0 {
			t.Errorf("applied elsewhere: %v", a)
		}
	})
}

// body is a file without its header.
func body(file string) string {
	_, file, _ = strings.Cut(file, "\n\n")
	return file
}

func TestPolicyFileRefused(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		tenant := o.do("tenant.create", fields{"name": "Nordhafen", "domain": "nordhafen.example"})["id"]
		for _, op := range []string{"policy.plan", "policy.apply"} {
			for _, tt := range []struct {
				form, reason string
				says         []string
			}{
				{"passkey:\n  limit: 3\n  colour: red\n  synced: maybe\n", "unknown_property", []string{"passkey.colour, line 3", "passkey.synced, line 4"}},
				{"passkey:\n\tlimit: 3\n", "form_malformed", []string{"neither YAML nor JSON"}},
				{"passkey:\n  limit: 3\n  warnAt: 4\n", "contradiction", []string{"passkey.warnAt, line 3 and passkey.limit, line 2"}},
			} {
				o.refusedFor(op, fields{"policy": tt.form}, idp.Invalid, tt.reason, tt.says...)
			}
			o.refusedFor(op, fields{"policy": "", "version": 3}, idp.Invalid, "bad_parameters", "version")
			o.refusedFor(op, fields{"policy": "", "tenant": "nowhere.example"}, idp.NotFound, "tenant_unknown")
		}
		o.refusedFor("policy.plan", fields{"policy": "", "names": 1001}, idp.Invalid, "bad_names")
		// A lock-out is told by the plan and refused by apply, in the same words.
		o.lock = idp.Deniedf("locks_out_administrators", "a test").Say("No administrator would have a way in.")
		off := fields{"policy": "methods: {passkey: {on: false}}"}
		if p := o.plan(off); p.Refusal == nil || p.Refusal.Reason != "locks_out_administrators" || p.Refusal.Sentence != "No administrator would have a way in." {
			t.Errorf("plan of a lock-out: %+v", p.Refusal)
		}
		o.refusedFor("policy.apply", off, idp.Denied, "locks_out_administrators", "No administrator")
		if p, err := o.policies.Load(t.Context(), o.db, idp.TenantID(tenant.(string))); err != nil || p.Version != 0 {
			t.Errorf("saved version %d, %v", p.Version, err)
		}
		if all, err := o.log.List(t.Context(), o.db, idp.TenantID(tenant.(string)), audit.Filter{}); err != nil || len(all) != 1 {
			t.Errorf("%d events, %v", len(all), err)
		}
	})
}

// TestPolicyPlanPreviews: the plan has the numbers, the first people by name,
// what refuses how many keys, and tells its progress.
func TestPolicyPlanPreviews(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.do("tenant.create", fields{"name": "Nordhafen", "domain": "nordhafen.example"})
		key := func(id string, synced bool) policy.Held {
			return policy.Held{ID: idp.CredentialID(id), Method: policy.Passkey, Facts: idp.Facts{AAGUID: strangeModel, Synced: synced}}
		}
		for i := range 2500 {
			s := policy.Subject{Who: policy.Who{User: idp.User{ID: idp.UserID(fmt.Sprint(i)), Name: fmt.Sprintf("p%d@nordhafen.example", i), Enabled: true}}}
			s.Keys = []policy.Held{key("a", false)}
			switch {
			case i < 14: // lose one key, and keep the other
				s.Keys = append(s.Keys, key("b", true))
			case i < 17: // lose the only one
				s.Keys[0] = key("b", true)
			}
			o.subjects = append(o.subjects, s)
		}
		params, err := json.Marshal(fields{"policy": "passkey: {synced: deny}", "names": 5})
		if err != nil {
			t.Fatal(err)
		}
		var told []int
		raw, err := o.Do(t.Context(), "cli:root", "policy.plan", params, func(n int) { told = append(told, n) })
		var p planned
		if err != nil || json.Unmarshal(raw, &p) != nil {
			t.Fatalf("%s, %v", raw, err)
		}
		if diff := cmp.Diff([]int{1000, 2000, 2500}, told); diff != "" {
			t.Errorf("progress (-want +got):\n%s", diff)
		}
		v := p.Preview
		if v == nil || v.People != 2500 || v.Keys != 2514 || v.KeysThatStop != 17 || v.PeopleWhoLoseKeys != 17 || v.PeopleWithNoWayIn != 3 || v.KeysThatStart != 0 ||
			len(v.Reasons) != 1 || v.Reasons[0].Rule != "passkey.synced" || v.Reasons[0].Reason != "synced_not_allowed" || v.Reasons[0].Keys != 17 {
			t.Errorf("preview %+v", v)
		}
		var names []string
		for _, l := range v.Lose {
			names = append(names, fmt.Sprint(l.UserPrincipalName, " ", l.NoWayIn, " ", len(l.Keys), " ", l.Keys[0].Aaguid == strangeModel))
		}
		want := []string{
			"p14@nordhafen.example true 1 true", "p15@nordhafen.example true 1 true", "p16@nordhafen.example true 1 true",
			"p0@nordhafen.example false 1 true", "p1@nordhafen.example false 1 true",
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("people (-want +got):\n%s", diff)
		}
	})
}
