package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

const (
	nitro   = "a25342c0-3cdc-4414-8e46-f4807fca511c" // a model that tests allow
	other   = "2fc0579f-8113-47ea-b116-bb5a8db9202a" // and one that they do not
	staff   = idp.GroupID("11111111-1111-4111-8111-111111111111")
	admins  = idp.GroupID("22222222-2222-4222-8222-222222222222")
	leavers = idp.GroupID("33333333-3333-4333-8333-333333333333")
	strict  = "44444444-4444-4444-8444-444444444444" // ids of profiles
	loose   = "55555555-5555-4555-8555-555555555555"
)

func group(g idp.GroupID, profiles ...string) policy.Include {
	return policy.Include{Target: policy.Target{Group: g}, Profiles: profiles}
}

func member(u idp.User, groups ...idp.GroupID) policy.Who {
	return policy.Who{User: u, Groups: policy.NewGroups(groups)}
}

func governed(change func(*policy.Policy)) *policy.Policy {
	p := policy.Default()
	change(&p)
	return &p
}

// TestJudgeMethod is who may use and register what.
func TestJudgeMethod(t *testing.T) {
	bob := idp.User{ID: "bob", Tenant: "t1", Enabled: true, Type: idp.Member}
	guest := idp.User{ID: "gil", Tenant: "t1", Enabled: true, Type: idp.Guest}
	off := bob
	off.Enabled = false
	targeted := governed(func(p *policy.Policy) {
		p.Methods[policy.Passkey] = policy.MethodRules{
			On:      true,
			Include: []policy.Include{group(staff), {Target: policy.Target{User: "bob"}}},
			Exclude: []policy.Target{{Group: leavers}},
		}
	})
	nobody := governed(func(p *policy.Policy) { p.Methods[policy.Passkey] = policy.MethodRules{On: true} })
	excluded := governed(func(p *policy.Policy) {
		r := policy.Everybody()
		r.Exclude = []policy.Target{{User: "ada"}}
		p.Methods[policy.Passkey] = r
	})
	gone := governed(func(p *policy.Policy) { p.Switch(policy.Passkey, false) })
	byAdmin := governed(func(p *policy.Policy) { p.Passkey.SelfService = false })
	unknown := governed(func(p *policy.Policy) {
		p.Methods[policy.Passkey] = policy.MethodRules{On: true, Include: []policy.Include{group(staff, "?")}}
	})
	for _, tt := range []struct {
		name   string
		p      *policy.Policy
		who    policy.Who
		act    policy.Act
		method idp.MethodID
		reason string
		rule   string
	}{
		{"everybody", governed(func(*policy.Policy) {}), member(ada), policy.Use, policy.Passkey, "", ""},
		{"a method that the policy does not name", governed(func(*policy.Policy) {}), member(ada), policy.Use, "pigeon", "method_off", "methods.pigeon.on"},
		{"a policy that says nothing", &policy.Policy{}, member(ada), policy.Use, policy.Passkey, "method_off", "methods.passkey.on"},
		{"off", gone, member(ada), policy.Use, policy.Passkey, "method_off", "methods.passkey.on"},
		{"on for nobody", nobody, member(ada), policy.Use, policy.Passkey, "not_included", "methods.passkey.include"},
		{"in an included group", targeted, member(ada, admins, staff), policy.Use, policy.Passkey, "", ""},
		{"in no included group", targeted, member(ada, admins), policy.Use, policy.Passkey, "not_included", "methods.passkey.include"},
		{"included by name", targeted, member(bob), policy.Use, policy.Passkey, "", ""},
		{"exclude beats a group", targeted, member(ada, staff, leavers), policy.Use, policy.Passkey, "excluded", "methods.passkey.exclude[0]"},
		{"exclude beats a name", targeted, member(bob, leavers), policy.Add, policy.Passkey, "excluded", "methods.passkey.exclude[0]"},
		{"exclude beats all", excluded, member(ada), policy.Use, policy.Passkey, "excluded", "methods.passkey.exclude[0]"},
		{"only that method", targeted, member(ada), policy.Use, policy.AccessPass, "", ""},
		{"a stranger, where some may", targeted, policy.Who{}, policy.Use, policy.Passkey, "", ""},
		{"a stranger, where it is off", gone, policy.Who{}, policy.Use, policy.Passkey, "method_off", "methods.passkey.on"},
		{"a stranger, where it is for nobody", nobody, policy.Who{}, policy.Use, policy.Passkey, "not_included", "methods.passkey.include"},
		{"disabled", targeted, member(off, staff), policy.Use, policy.Passkey, "user_disabled", "user.enabled"},
		{"a guest signs in", governed(func(*policy.Policy) {}), member(guest), policy.Use, policy.Passkey, "", ""},
		{"a guest registers", governed(func(*policy.Policy) {}), member(guest), policy.Add, policy.Passkey, "guest_may_not_register", "user.guest"},
		{"somebody registers for a guest", governed(func(*policy.Policy) {}), member(guest), policy.AddFor, policy.Passkey, "guest_may_not_register", "user.guest"},
		{"no self-service, sign-in", byAdmin, member(ada), policy.Use, policy.Passkey, "", ""},
		{"no self-service, registration", byAdmin, member(ada), policy.Add, policy.Passkey, "self_service_off", "passkey.selfService"},
		{"no self-service, on behalf", byAdmin, member(ada), policy.AddFor, policy.Passkey, "", ""},
		{"a profile that is not there", unknown, member(ada, staff), policy.Use, policy.Passkey, "profile_unknown", "methods.passkey.include[0].profiles"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.p.Judge(tt.who, tt.act, tt.method, nil)
			if r.Reason != tt.reason || r.Rule != tt.rule || r.Allowed() != (tt.reason == "") {
				t.Errorf("got %q by %q, want %q by %q", r.Reason, r.Rule, tt.reason, tt.rule)
			}
			if (r.Code == 0) != r.Allowed() {
				t.Errorf("%q has the code %d", r.Reason, r.Code)
			}
		})
	}
}

// TestModelOfTheMac is decisions 5.1: only the very key of a Platform
// Credential makes that AAGUID more than a claim.
func TestModelOfTheMac(t *testing.T) {
	p := governed(func(p *policy.Policy) {
		p.Passkey.AAGUIDs = policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{strings.ToUpper(policy.PlatformAAGUID), nitro}}
	})
	for _, tt := range []struct {
		facts idp.Facts
		want  bool
	}{
		{idp.Facts{AAGUID: policy.PlatformAAGUID}, false},
		{idp.Facts{AAGUID: policy.PlatformAAGUID, Attested: true}, false},
		{idp.Facts{AAGUID: policy.PlatformAAGUID, PlatformKey: true}, true},
		{idp.Facts{AAGUID: nitro, PlatformKey: true}, false},
		{idp.Facts{AAGUID: nitro, Attested: true}, true},
	} {
		for _, act := range []policy.Act{policy.Use, policy.Add, policy.AddFor} {
			if got := p.Judge(member(ada), act, policy.Passkey, &tt.facts).Allowed(); got != tt.want {
				t.Errorf("%s of %+v: allowed %v, want %v", act, tt.facts, got, tt.want)
			}
		}
	}
}

// TestWithdrawn is every status of a model × act × what the tenant wants × how
// it is enforced, proven or claimed, in one profile or several, alone.
func TestWithdrawn(t *testing.T) {
	refused := 0
	for _, status := range []idp.ModelStatus{"", idp.ModelFine, idp.ModelWarn, idp.ModelRefuse} {
		for _, w := range []policy.Withdrawn{policy.WithdrawnAllow, policy.WithdrawnRegistration, policy.WithdrawnRefuse, "nonsense", ""} {
			for _, act := range []policy.Act{policy.Use, policy.Add, policy.AddFor} {
				for _, b := range combinations(3) {
					p := policy.Default()
					p.Passkey.Withdrawn, p.Passkey.Additive = w, b[1]
					if b[2] { // a profile that names the very model does not let it in
						p.Passkey.KeyRules = allowList(nitro)
					}
					key := idp.Facts{AAGUID: nitro, Attested: b[0] || b[2], Status: status}
					want := status != idp.ModelRefuse || w == policy.WithdrawnAllow || w == policy.WithdrawnRegistration && act == policy.Use
					check(t, &p, member(ada), act, key, want)
					p.Passkey.Restrictions = policy.Enforce
					r := p.Judge(member(ada), act, policy.Passkey, &key)
					if want {
						continue
					}
					refused++
					if r.Rule != "passkey.withdrawn" || r.Reason != "model_withdrawn" || r.Code != policy.CodeKey || !r.Help.OtherModel {
						t.Fatalf("%s: %+v", act, r)
					}
				}
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	// Another method's facts are not the business of this rule.
	p := policy.Default()
	p.Switch("hello", true)
	if r := p.Judge(member(ada), policy.Use, "hello", &idp.Facts{Status: idp.ModelRefuse}); !r.Allowed() {
		t.Errorf("hello: %+v", r)
	}
}

// A session or grant that stands on a key loses it when the model is
// withdrawn, and says so.
func TestDecideWithdrawn(t *testing.T) {
	p := policy.Default()
	gone := with2(hardware(time.Minute), func(p *idp.Proof) {
		p.Credential, p.Facts = "gone", idp.Facts{AAGUID: nitro, Attested: true, Status: idp.ModelRefuse}
	})
	d := policy.Decide(&p, question(gone))
	if d.Outcome != policy.StepUp || d.Reason != "model_withdrawn" || d.Rule != "passkey.withdrawn" || !d.Help.OtherModel || d.ACR != "" || len(d.Refused) != 1 {
		t.Errorf("%s, %+v", d.Outcome, d)
	}
	if d := policy.Decide(&p, question(gone, synced(0))); d.Outcome != policy.Allow || d.ACR != "phr" || len(d.Refused) != 1 {
		t.Errorf("with a good key besides: %s, %+v", d.Outcome, d)
	}
	p.Passkey.Restrictions = policy.EnforceAudit
	if d := policy.Decide(&p, question(gone)); d.Outcome != policy.Allow || len(d.Would) != 1 || d.Would[0].Reason != "model_withdrawn" {
		t.Errorf("on trial: %s, %+v", d.Outcome, d)
	}
}

// TestKeyTable walks every profile × second profile × key × act × way of
// combining × enforcement against a second, naive reading of the rules.
func TestKeyTable(t *testing.T) {
	var profiles []policy.KeyRules
	for _, a := range []policy.Attestation{policy.AttestationNone, policy.AttestationPreferred, policy.AttestationRequired, policy.AttestationAlways} {
		for _, s := range []policy.Synced{policy.SyncedAllow, policy.SyncedDeny, policy.SyncedOnly} {
			for _, m := range []policy.ListMode{policy.ListOff, policy.ListAllow, policy.ListDeny} {
				profiles = append(profiles, policy.KeyRules{Attestation: a, Synced: s, AAGUIDs: policy.AAGUIDRules{Mode: m, List: []string{nitro}}})
			}
		}
	}
	var keys []idp.Facts
	for _, model := range []string{nitro, other, "00000000-0000-0000-0000-000000000000", ""} {
		for _, b := range combinations(2) {
			keys = append(keys, idp.Facts{AAGUID: model, Attested: b[0], Synced: b[1], Status: idp.ModelWarn})
		}
	}
	rows, allowed := 0, 0
	for _, one := range profiles {
		for _, two := range profiles {
			p := policy.Default()
			p.Passkey.Profiles = []policy.Profile{{ID: strict, Name: "one", KeyRules: one}, {ID: loose, Name: "two", KeyRules: two}}
			p.Methods[policy.Passkey] = policy.MethodRules{On: true, Include: []policy.Include{group(staff, strict), group(admins, loose)}}
			for _, key := range keys {
				for _, act := range []policy.Act{policy.Use, policy.Add, policy.AddFor} {
					for _, groups := range [][]idp.GroupID{{staff}, {admins}, {staff, admins}} {
						for _, additive := range []bool{false, true} {
							p.Passkey.Additive = additive
							var good []bool
							if slices.Contains(groups, staff) {
								good = append(good, naiveKey(one, key, act))
							}
							if slices.Contains(groups, admins) {
								good = append(good, naiveKey(two, key, act))
							}
							want := !slices.Contains(good, false)
							if additive {
								want = slices.Contains(good, true)
							}
							check(t, &p, member(ada, groups...), act, key, want)
							rows++
							if want {
								allowed++
							}
						}
					}
				}
			}
		}
	}
	if allowed < rows/20 || allowed > rows*19/20 {
		t.Errorf("%d of %d rows are allowed: the table says little", allowed, rows)
	}
}

// check judges one row in all three ways of enforcing it.
func check(t *testing.T, p *policy.Policy, who policy.Who, act policy.Act, key idp.Facts, want bool) {
	t.Helper()
	for _, e := range []policy.Enforcement{policy.Enforce, policy.EnforceAudit, policy.EnforceOff} {
		p.Passkey.Restrictions = e
		r := p.Judge(who, act, policy.Passkey, &key)
		switch {
		case e == policy.Enforce && (r.Allowed() != want || !r.Would.Allowed()),
			e == policy.EnforceAudit && (!r.Allowed() || r.Would.Allowed() != want),
			e == policy.EnforceOff && (!r.Allowed() || !r.Would.Allowed()):
			t.Fatalf("%s %+v under %+v with %s: %+v, want allowed %v", act, key, p.Passkey, e, r, want)
		}
	}
}

// naiveKey says in the plainest way whether one profile takes a key.
func naiveKey(r policy.KeyRules, key idp.Facts, act policy.Act) bool {
	registering := act == policy.Add || act == policy.AddFor
	if r.Attestation == policy.AttestationAlways && !key.Attested {
		return false
	}
	if r.Attestation == policy.AttestationRequired && registering && !key.Attested {
		return false
	}
	if r.Synced == policy.SyncedDeny && key.Synced || r.Synced == policy.SyncedOnly && !key.Synced {
		return false
	}
	if r.AAGUIDs.Mode == policy.ListAllow {
		return key.Attested && key.AAGUID == nitro
	}
	return r.AAGUIDs.Mode != policy.ListDeny || key.AAGUID != nitro
}

// A refusal names the first profile that refuses, and what would have done.
func TestRefusalSays(t *testing.T) {
	p := governed(func(p *policy.Policy) {
		p.Passkey.Profiles = []policy.Profile{
			{ID: loose, Name: "Anything", KeyRules: policy.KeyRules{Attestation: policy.AttestationNone, Synced: policy.SyncedAllow}},
			{ID: strict, Name: "Hardware", KeyRules: policy.KeyRules{
				Attestation: policy.AttestationRequired, Synced: policy.SyncedDeny, AAGUIDs: policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{nitro}}}},
		}
		// Named in another order than they stand in: theirs is what counts.
		p.Methods[policy.Passkey] = policy.MethodRules{On: true, Include: []policy.Include{group(admins, strict), group(staff, loose)}}
	})
	for _, tt := range []struct {
		facts  idp.Facts
		act    policy.Act
		reason string
		part   string
	}{
		{idp.Facts{AAGUID: other, Attested: true}, policy.Use, "model_not_allowed", "aaguids"},
		{idp.Facts{AAGUID: nitro}, policy.Use, "model_not_allowed", "aaguids"},
		{idp.Facts{AAGUID: nitro, Synced: true, Attested: true}, policy.Use, "synced_not_allowed", "synced"},
		{idp.Facts{AAGUID: nitro}, policy.Add, "attestation_missing", "attestation"},
		{idp.Facts{AAGUID: nitro, Statement: "self"}, policy.Add, "attestation_self", "attestation"},
		{idp.Facts{Attested: true, AAGUID: "00000000-0000-0000-0000-000000000000"}, policy.Use, "aaguid_zero", "aaguids"},
	} {
		r := p.Judge(member(ada, staff, admins), tt.act, policy.Passkey, &tt.facts)
		if r.Reason != tt.reason || r.Rule != "passkey.profiles."+strict+"."+tt.part || r.Code != policy.CodeKey {
			t.Errorf("%s %+v: %q by %q (%d), want %q by %q", tt.act, tt.facts, r.Reason, r.Rule, r.Code, tt.reason, tt.part)
		}
		if !r.Help.DeviceBound || !r.Help.Attested || !slices.Equal(r.Help.Models, []string{nitro}) {
			t.Errorf("%s %+v: would help %+v", tt.act, tt.facts, r.Help)
		}
	}
	if w := p.Wishes(member(ada, staff)); w != (policy.Wishes{}) {
		t.Errorf("staff is asked for %+v", w)
	}
	if w := p.Wishes(member(ada, staff, admins)); w != (policy.Wishes{Statement: true, DeviceBound: true}) {
		t.Errorf("administrators are asked for %+v", w)
	}
	p.Passkey.Additive = true
	if w := p.Wishes(member(ada, staff, admins)); w != (policy.Wishes{Statement: true}) {
		t.Errorf("administrators whom one profile is enough are asked for %+v", w)
	}
}

// Decide judges each proof as Judge judges its key, says which do not count,
// and what restrictions on trial would have refused.
func TestDecideJudgesKeys(t *testing.T) {
	p := policy.Default()
	p.Passkey.Synced = policy.SyncedDeny
	old := with2(synced(0), func(p *idp.Proof) { p.Credential, p.Facts = "copied", idp.Facts{Synced: true} })
	d := policy.Decide(&p, question(old))
	if d.Outcome != policy.StepUp || d.Reason != "synced_not_allowed" || d.Rule != "passkey.synced" || d.Code != policy.CodeKey || !d.Help.DeviceBound {
		t.Errorf("a key that rules refuse: %s, %+v", d.Outcome, d.Refusal)
	}
	if len(d.Refused) != 1 || d.Refused[0].Credential != "copied" || d.Refused[0].Reason != "synced_not_allowed" || d.ACR != "" || !d.ProofTime.IsZero() {
		t.Errorf("refused %+v, and %q since %s", d.Refused, d.ACR, d.ProofTime)
	}
	d = policy.Decide(&p, question(old, hardware(time.Minute)))
	if d.Outcome != policy.Allow || len(d.Refused) != 1 || !d.ProofTime.Equal(now.Add(-time.Minute)) {
		t.Errorf("with a good key besides: %s, refused %+v, since %s", d.Outcome, d.Refused, d.ProofTime)
	}
	p.Passkey.Restrictions = policy.EnforceAudit
	d = policy.Decide(&p, question(old))
	if d.Outcome != policy.Allow || len(d.Refused) != 0 || len(d.Would) != 1 || d.Would[0].Reason != "synced_not_allowed" {
		t.Errorf("on trial: %s, refused %+v, would %+v", d.Outcome, d.Refused, d.Would)
	}
}

// Whom a rule about people leaves no method is told that rule.
func TestDecideByTarget(t *testing.T) {
	p := policy.Default()
	p.Methods[policy.Passkey] = policy.MethodRules{On: true, Include: []policy.Include{group(staff)}, Exclude: []policy.Target{{Group: leavers}}}
	ask := func(groups ...idp.GroupID) policy.Decision {
		q := question(synced(0))
		q.Groups = policy.NewGroups(groups)
		return policy.Decide(&p, q)
	}
	if d := ask(staff); d.Outcome != policy.Allow {
		t.Errorf("staff: %s (%s)", d.Outcome, d.Reason)
	}
	if d := ask(admins); d.Outcome != policy.Deny || d.Rule != "methods.passkey.include" || !d.Help.Administrator {
		t.Errorf("others: %s by %s", d.Outcome, d.Rule)
	}
	if d := ask(staff, leavers); d.Outcome != policy.Deny || d.Rule != "methods.passkey.exclude[0]" {
		t.Errorf("leavers: %s by %s", d.Outcome, d.Rule)
	}
	q := question(pass(0))
	q.Usable, q.Groups = 0, policy.NewGroups([]idp.GroupID{staff})
	if d := policy.Decide(&p, q); d.Outcome != policy.MustRegister || !slices.Equal(d.Help.Methods, []idp.MethodID{policy.Passkey}) {
		t.Errorf("staff with a pass: %s, may register %v", d.Outcome, d.Help.Methods)
	}
	p.Passkey.SelfService = false
	if d := policy.Decide(&p, q); d.Outcome != policy.Deny || d.Reason != "nothing_to_register" {
		t.Errorf("with a pass, where only administrators register: %s (%s)", d.Outcome, d.Reason)
	}
	q.Purpose, q.Method = policy.Register, policy.Passkey
	if d := policy.Decide(&p, q); d.Outcome != policy.Deny || d.Rule != "passkey.selfService" {
		t.Errorf("registering all the same: %s by %s", d.Outcome, d.Rule)
	}
}

// What the app's administrator demands holds besides what a request asks.
func TestRequired(t *testing.T) {
	p := policy.Default()
	p.Strengths = append(p.Strengths,
		policy.Strength{ID: "own", Name: "Our  Keys", Combinations: [][]idp.Mode{{idp.ModeFIDO2}},
			Configurations: []policy.Configuration{{ID: "c", Modes: []idp.Mode{idp.ModeFIDO2}, AAGUIDs: []string{strings.ToUpper(nitro)}}}},
		policy.Strength{ID: "card", Name: "Card", Combinations: [][]idp.Mode{{idp.ModeFIDO2, idp.ModeCertificateSingle}},
			Configurations: []policy.Configuration{{ID: "c", Modes: []idp.Mode{idp.ModeCertificateSingle}, Issuers: []string{"AB12"}}}},
		policy.Strength{ID: "oid", Name: "OID", Combinations: [][]idp.Mode{{idp.ModeCertificateSingle}},
			Configurations: []policy.Configuration{{ID: "c", Modes: []idp.Mode{idp.ModeCertificateSingle}, PolicyOIDs: []string{"1.2.3"}}}},
	)
	p.Switch("certificate", true)
	key := func(f idp.Facts) idp.Proof { return with2(hardware(0), func(p *idp.Proof) { p.Facts = f }) }
	good, claimed := key(idp.Facts{AAGUID: nitro, Attested: true}), key(idp.Facts{AAGUID: nitro})
	card := func(issuer string) idp.Proof {
		return with2(proof("certificate", idp.ModeCertificateSingle, 0), func(p *idp.Proof) { p.Facts.Issuer = issuer })
	}
	for _, tt := range []struct {
		name     string
		required string
		acr      []string
		proofs   []idp.Proof
		outcome  policy.Outcome
		rule     string
		acrOut   string
	}{
		{"nothing", "", nil, []idp.Proof{claimed}, policy.Allow, "strength.default", "phrh"},
		{"met", "own", nil, []idp.Proof{good}, policy.Allow, "app.strength.own", "phrh"},
		{"by its name", "our-keys", nil, []idp.Proof{good}, policy.Allow, "app.strength.own", "phrh"},
		{"a claimed model", "own", nil, []idp.Proof{claimed}, policy.StepUp, "app.strength.own", "phrh"},
		{"another model", "own", nil, []idp.Proof{key(idp.Facts{AAGUID: other, Attested: true})}, policy.StepUp, "app.strength.own", "phrh"},
		{"a request that asks for less", "own", []string{"phr"}, []idp.Proof{claimed}, policy.StepUp, "app.strength.own", "phrh"},
		{"a request that asks for more", policy.IDMFA, []string{"own"}, []idp.Proof{claimed}, policy.StepUp, "strength.own", "phrh"},
		{"both met", "phr", []string{"own"}, []idp.Proof{good}, policy.Allow, "app.strength." + policy.IDPhishingResistant, "own"},
		{"asked by name", "", []string{"OUR-keys"}, []idp.Proof{good}, policy.Allow, "strength.own", "OUR-keys"},
		{"one that is gone", "gone", nil, []idp.Proof{good}, policy.Deny, "app.strength.known", "phrh"},
		{"two modes, one proven", "card", nil, []idp.Proof{good}, policy.StepUp, "app.strength.card", "phrh"},
		{"two modes, the card of another issuer", "card", nil, []idp.Proof{good, card("CD")}, policy.StepUp, "app.strength.card", "phrh"},
		{"two modes", "card", nil, []idp.Proof{good, card("ab12")}, policy.Allow, "app.strength.card", "phrh"},
		{"policies that are not known", "oid", nil, []idp.Proof{card("AB12")}, policy.StepUp, "app.strength.oid", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := question(tt.proofs...)
			q.Required, q.ACR = tt.required, tt.acr
			d := policy.Decide(&p, q)
			if d.Outcome != tt.outcome || d.Rule != tt.rule || d.ACR != tt.acrOut {
				t.Errorf("%s by %s with acr %q, want %s by %s with %q", d.Outcome, d.Rule, d.ACR, tt.outcome, tt.rule, tt.acrOut)
			}
		})
	}
}

// The built-in strengths are those of entra-behaviours.md §8.1, to the letter.
func TestBuiltInStrengths(t *testing.T) {
	spell := func(s policy.Strength) (out []string) {
		for _, c := range s.Combinations {
			words := make([]string, len(c))
			for i, m := range c {
				words[i] = string(m)
			}
			out = append(out, strings.Join(words, ","))
		}
		return out
	}
	phr := []string{"windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor"}
	passwordless := append(slices.Clone(phr), "deviceBasedPush")
	mfa := append(slices.Clone(passwordless), "temporaryAccessPassOneTime", "temporaryAccessPassMultiUse", "federatedMultiFactor")
	for _, first := range []string{"password", "federatedSingleFactor"} {
		for _, second := range []string{"microsoftAuthenticatorPush", "softwareOath", "hardwareOath", "sms", "voice"} {
			mfa = append(mfa, first+","+second)
		}
	}
	p := policy.Default()
	for id, want := range map[string][]string{
		"00000000-0000-0000-0000-000000000002": mfa, "00000000-0000-0000-0000-000000000003": passwordless, "00000000-0000-0000-0000-000000000004": phr,
	} {
		s, ok := p.Strength(id)
		if got := spell(s); !ok || !s.BuiltIn() || !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
	for _, mode := range []idp.Mode{"password", "sms", "federatedMultiFactor"} {
		q := question(proof("pigeon", mode, 0, idp.MultiFactor))
		q.ACR = []string{policy.IDMFA}
		if d := policy.Decide(&p, q); d.Outcome == policy.Allow {
			t.Errorf("%s met MFA", mode)
		}
	}
	// What nothing here proves is never said to be missing, whatever methods
	// there are.
	p.Switch("pigeon", true)
	q := question()
	q.ACR = []string{policy.IDMFA}
	for _, c := range policy.Decide(&p, q).Missing {
		if slices.Contains(c, "password") || slices.Contains(c, "federatedMultiFactor") {
			t.Errorf("missing names %v", c)
		}
	}
}

func ExamplePolicy_Judge() {
	p := policy.Default()
	p.Passkey.Profiles = []policy.Profile{{
		ID: strict, Name: "Hardware keys", KeyRules: policy.KeyRules{
			Attestation: policy.AttestationRequired, Synced: policy.SyncedDeny, AAGUIDs: policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{nitro}},
		},
	}}
	p.Methods[policy.Passkey] = policy.MethodRules{On: true, Include: []policy.Include{
		{Target: policy.Target{All: true}},
		{Target: policy.Target{Group: admins}, Profiles: []string{strict}},
	}}
	phone := idp.Facts{AAGUID: "ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4", Synced: true}
	fmt.Println(p.Judge(policy.Who{User: ada}, policy.Use, policy.Passkey, &phone).Allowed())
	r := p.Judge(policy.Who{User: ada, Groups: policy.NewGroups([]idp.GroupID{admins})}, policy.Use, policy.Passkey, &phone)
	fmt.Println(r.Rule, r.Reason, r.Help.Models)
	// Output:
	// true
	// passkey.profiles.44444444-4444-4444-8444-444444444444.synced synced_not_allowed [a25342c0-3cdc-4414-8e46-f4807fca511c]
}
