package policy_test

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// A document from before there were phones, or one that says little of them,
// reads as the defaults in everything that it does not say.
func TestPhoneRulesOfOldDocuments(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{policy.Migrations}, func(t *testing.T, db *sqldb.DB) {
		s := policy.New(policy.Config{DB: db, Now: nil})
		for i, tt := range []struct {
			doc  string
			want func(*policy.PhoneRules)
		}{
			{`{"passkey":{"limit":7,"warnAt":7}}`, nil},
			{`{"settings":{"passkey.limit":"17"}}`, nil},
			{`{"phone":{"limit":3,"warnAt":2}}`, func(r *policy.PhoneRules) { r.Limit, r.WarnAt = 3, 2 }},
			{`{"phone":{"showApp":{"on":false}}}`, func(r *policy.PhoneRules) { r.ShowApp.On = false }},
			{`{"phone":{"report":{"include":{"group":"` + string(staff) + `"}}}}`, func(r *policy.PhoneRules) { r.Report.Include = policy.Target{Group: staff} }},
		} {
			tenant, want := idp.TenantID(fmt.Sprint("t", i)), policy.Default().Phone
			if tt.want != nil {
				tt.want(&want)
			}
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := tx.Exec(ctx, `insert into policy (tenant_id, version, doc, changed_at) values ($1, 1, $2, 0)`, tenant, tt.doc)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Get(t.Context(), tenant)
			if diff := cmp.Diff(want, got.Phone); err != nil || diff != "" {
				t.Errorf("%s (-want +got): %v\n%s", tt.doc, err, diff)
			}
		}
	})
}

// Of the rules that name somebody the strictest holds, and none makes it
// easier.
func TestPhoneFor(t *testing.T) {
	p := policy.Default()
	p.Phone.From = policy.FromNetwork
	p.Phone.Stricter = []policy.PhoneFromFor{
		{Target: policy.Target{Group: staff}, From: policy.FromAnywhere},
		{Target: policy.Target{Group: admins}, From: policy.FromKnown},
		{Target: policy.Target{User: "bob"}, From: policy.FromKnown},
	}
	p.Phone.ShowApp = policy.Feature{On: true, Include: policy.Target{Group: staff}, Exclude: policy.Target{Group: leavers}}
	p.Phone.ShowPlace.On = false
	p.Phone.Report = policy.ReportRules{On: true, Include: policy.Target{Group: staff}, Block: true}
	bob := ada
	bob.ID = "bob"
	for name, tt := range map[string]struct {
		who  policy.Who
		want policy.PhoneFor
	}{
		"nobody in particular": {policy.Who{User: ada}, policy.PhoneFor{From: policy.FromNetwork, Block: true}},
		"a stranger":           {policy.Who{}, policy.PhoneFor{From: policy.FromNetwork, Block: true}},
		"by name":              {policy.Who{User: bob}, policy.PhoneFor{From: policy.FromKnown, Block: true}},
		"a weaker rule":        {member(ada, staff), policy.PhoneFor{From: policy.FromNetwork, ShowApp: true, Report: true, Block: true}},
		"two rules":            {member(ada, staff, admins), policy.PhoneFor{From: policy.FromKnown, ShowApp: true, Report: true, Block: true}},
		"excluded":             {member(ada, staff, leavers), policy.PhoneFor{From: policy.FromNetwork, Report: true, Block: true}},
	} {
		if got := p.PhoneFor(tt.who); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// A stricter rule, or one more, never lets more browsers ask.
func TestStricterNeverLoosens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Default()
		p.Phone = anyPhoneRules(t)
		who := anySubject(t, "99999999-9999-4999-8999-999999999999").Who
		before := p.PhoneFor(who)
		if stricter(before.From, p.Phone.From) {
			t.Fatalf("from %s although the rule for all is %s", before.From, p.Phone.From)
		}
		more := p.Clone()
		more.Phone.Stricter = append(more.Phone.Stricter, anyPhoneRules(t).Stricter...)
		if after := more.PhoneFor(who); stricter(after.From, before.From) {
			t.Fatalf("from %s became %s with more rules", before.From, after.From)
		}
	})
}

// TestSyncedPasskeysOfPhones: where passkeys of phones must not exist twice, one
// that may is refused: in each use and to whoever registers, by that rule alone.
func TestSyncedPasskeysOfPhones(t *testing.T) {
	p := policy.Default()
	p.Switch(policy.Phone, true)
	p.Phone.Synced = policy.SyncedDeny
	copied, bound := idp.Facts{Synced: true}, idp.Facts{}
	for _, act := range []policy.Act{policy.Use, policy.Add, policy.AddFor} {
		got := p.Judge(policy.Who{User: ada}, act, policy.Phone, &copied)
		if got.Rule != "phone.synced" || got.Reason != "synced_not_allowed" || got.Code != policy.CodeKey || !got.Help.DeviceBound {
			t.Errorf("%s: %+v", act, got)
		}
		if got := p.Judge(policy.Who{User: ada}, act, policy.Phone, &bound); !got.Allowed() {
			t.Errorf("%s of one that stays on its phone: %+v", act, got)
		}
	}
	// The rules on passkeys say nothing about it, on trial or not.
	p.Passkey.Restrictions = policy.EnforceAudit
	if got := p.Judge(policy.Who{User: ada}, policy.Use, policy.Phone, &copied); got.Allowed() {
		t.Error("the trial of the rules on passkeys lets it in")
	}
	p.Phone.Synced = policy.SyncedAllow
	p.Passkey.Restrictions, p.Passkey.Synced = policy.Enforce, policy.SyncedDeny
	if got := p.Judge(policy.Who{User: ada}, policy.Use, policy.Phone, &copied); !got.Allowed() {
		t.Errorf("refused by a rule on passkeys: %+v", got)
	}
	p.Phone.Synced = "perhaps"
	if got := p.Judge(policy.Who{User: ada}, policy.Use, policy.Phone, &copied); got.Allowed() {
		t.Error("a word that cannot be read allows")
	}
}

// Browsers are not Judge's affair: a rule on them stops no proof.
func TestFromStopsNoProof(t *testing.T) {
	p := policy.Default()
	p.Switch(policy.Phone, true)
	p.Phone.From = policy.FromKnown
	if d := policy.Decide(&p, question(proof(policy.Phone, idp.ModePhone, 0))); d.Outcome != policy.Allow {
		t.Errorf("%s by %s (%s)", d.Outcome, d.Rule, d.Reason)
	}
}

// TestSec_PHN10_NotPhishingResistant: an approval is passwordless and multi-factor,
// and never phishing-resistant, whatever a proof claims of itself.
func TestSec_PHN10_NotPhishingResistant(t *testing.T) {
	p := policy.Default()
	p.Switch(policy.Phone, true)
	for id, want := range map[string]bool{
		policy.IDMFA: true, policy.IDPasswordless: true, policy.IDPhishingResistant: false, policy.IDHardwareBound: false,
	} {
		s, ok := p.Strength(id)
		if !ok {
			t.Fatalf("no strength %s", id)
		}
		named := slices.ContainsFunc(s.Combinations, func(c []idp.Mode) bool { return slices.Equal(c, []idp.Mode{idp.ModePhone}) })
		q := question(proof(policy.Phone, idp.ModePhone, 0, properties...))
		q.ACR = []string{id}
		d := policy.Decide(&p, q)
		if named != want || (d.Outcome == policy.Allow) != want || d.ACR != "" {
			t.Errorf("%s: named %v, %s with acr %q; want %v", s.Name, named, d.Outcome, d.ACR, want)
		}
	}
}

// People can be asked to add a phone; nobody is who may not, or has one.
func TestPhoneCampaign(t *testing.T) {
	p := policy.Default()
	p.Campaign.On, p.Campaign.Method = true, policy.Phone
	if err := p.Check(); err == nil {
		t.Error("people are asked for a method that is off")
	}
	p.Switch(policy.Phone, true)
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	ask := func(p policy.Policy, held ...idp.MethodID) idp.MethodID {
		return p.Nudge(policy.Who{User: ada}, held, policy.Snoozed{}, now).Method
	}
	if got := ask(p, policy.Passkey); got != policy.Phone {
		t.Errorf("asked for %q", got)
	}
	if got := ask(p, policy.Passkey, policy.Phone); got != "" {
		t.Errorf("who has one is asked for %q", got)
	}
	less := p.Clone()
	r := less.Methods[policy.Phone]
	r.Exclude = []policy.Target{{User: ada.ID}}
	less.Methods[policy.Phone] = r
	if got := ask(less, policy.Passkey); got != "" {
		t.Errorf("who may not is asked for %q", got)
	}
}

// The groups that rules on phones name are among those that a person's groups
// are read for, and a clone shares none of the rules.
func TestPhoneRulesAreWhole(t *testing.T) {
	p := policy.Default()
	ids := make([]idp.GroupID, 6)
	for i := range ids {
		ids[i] = idp.GroupID(fmt.Sprintf("%d0000000-0000-4000-8000-000000000000", i+1))
	}
	p.Phone.ShowApp = policy.Feature{On: true, Include: policy.Target{Group: ids[0]}, Exclude: policy.Target{Group: ids[1]}}
	p.Phone.ShowPlace = policy.Feature{On: true, Include: policy.Target{Group: ids[2]}, Exclude: policy.Target{Group: ids[3]}}
	p.Phone.Report.Include = policy.Target{Group: ids[4]}
	p.Phone.Stricter = []policy.PhoneFromFor{{Target: policy.Target{Group: ids[5]}, From: policy.FromKnown}}
	if got := p.NamedGroups(); !slices.Equal(got, ids) {
		t.Errorf("named are %v, want %v", got, ids)
	}
	c := p.Clone()
	c.Phone.Stricter[0].From = policy.FromAnywhere
	if p.Phone.Stricter[0].From != policy.FromKnown {
		t.Error("changing a clone changed its original")
	}
}

// A change of a rule is told in its place.
func TestPhoneDifferences(t *testing.T) {
	p := policy.Default()
	for name, value := range map[string]string{
		"phone.from": "known", "phone.synced": "deny", "phone.showApp": "false", "phone.reportBlock": "true", "method.phone": "true",
	} {
		if err := p.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	p.Phone.ShowPlace.Include = policy.Target{Group: staff}
	p.Phone.Stricter = []policy.PhoneFromFor{{Target: policy.Target{Group: admins}, From: policy.FromKnown}}
	var got []string
	for _, d := range differences(t, policy.Default(), p) {
		got = append(got, d.At+" "+d.Old+"→"+d.New)
	}
	want := []string{
		`methods.phone →{"exclude":null,"include":[{"all":true}],"on":true}`,
		`phone.from "anywhere"→"known"`,
		`phone.report.block false→true`,
		`phone.showApp.on true→false`,
		`phone.showPlace.include.all true→`,
		`phone.showPlace.include.group →"` + string(staff) + `"`,
		`phone.stricter →[{"from":"known","group":"` + string(admins) + `"}]`,
		`phone.synced "allow"→"deny"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A preview tells whose phones fewer browsers may ask, those with nothing else
// first, and counts nobody whose phone does not work before and after.
func TestPreviewNarrows(t *testing.T) {
	old := policy.Default()
	old.Switch(policy.Phone, true)
	next := old.Clone()
	next.Phone.Stricter = []policy.PhoneFromFor{{Target: policy.Target{Group: staff}, From: policy.FromKnown}}
	r := next.Methods[policy.Phone]
	r.Exclude = []policy.Target{{User: "out"}}
	next.Methods[policy.Phone] = r
	held := func(m idp.MethodID, dead bool) policy.Held { return policy.Held{ID: "c", Method: m, Dead: dead} }
	person := func(id idp.UserID, group idp.GroupID, keys ...policy.Held) policy.Subject {
		u := ada
		u.ID = id
		return policy.Subject{Who: member(u, group), Keys: keys}
	}
	phone := held(policy.Phone, false)
	got, err := policy.Preview(t.Context(), old, next, each(
		person("both", staff, phone, held(policy.Passkey, false)),
		person("only", staff, phone, held(policy.Passkey, true)),
		person("free", admins, phone),
		person("dead", staff, held(policy.Phone, true)),
		person("none", staff, held(policy.Passkey, false)),
		person("out", staff, phone),
	), policy.PreviewOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []idp.UserID
	for _, u := range got.Narrow {
		names = append(names, u.ID)
	}
	if got.Narrowed != 2 || got.OnlyPhone != 1 || !slices.Equal(names, []idp.UserID{"only", "both"}) || got.NoWayIn != 1 {
		t.Errorf("%d narrowed, %d with only a phone: %v; %d with no way in", got.Narrowed, got.OnlyPhone, names, got.NoWayIn)
	}
	few, err := policy.Preview(t.Context(), old, next, each(
		person("both", staff, phone, held(policy.Passkey, false)), person("only", staff, phone),
	), policy.PreviewOptions{Names: 1})
	if err != nil || few.Narrowed != 2 || len(few.Narrow) != 1 || few.Narrow[0].ID != "only" {
		t.Errorf("of one name: %v, %v", few.Narrow, err)
	}
}
