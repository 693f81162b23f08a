package console

import (
	"slices"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

var (
	storyTime = time.Date(2026, 3, 12, 9, 14, 22, 0, time.UTC)
	jonas     = idp.User{ID: "u1", Tenant: "t1", Name: "jonas@nordhafen.example", DisplayName: "Jonas Weber", Enabled: true, Type: idp.Member}
	strong    = []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor}
	black     = method.Credential{ID: "black", Tenant: "t1", User: "u1", Method: policy.Passkey, Mode: idp.ModeFIDO2, Name: "Black YubiKey",
		Facts: idp.Facts{AAGUID: "a25342c0-3cdc-4414-8e46-f4807fca511c", Attested: true}, Properties: append(slices.Clone(strong), idp.HardwareBound)}
	cloud = method.Credential{ID: "cloud", Tenant: "t1", User: "u1", Method: policy.Passkey, Mode: idp.ModeFIDO2, Name: "Laptop",
		Facts: idp.Facts{Synced: true}, Properties: strong}
	pass = method.Credential{ID: "pass", Tenant: "t1", User: "u1", Method: policy.AccessPass, Mode: idp.ModeAccessPassOnce, Bootstrap: true, Properties: []idp.Property{idp.Possession}}
)

// refusedFacts are of a synced passkey at an app that demands hardware.
func refusedFacts() facts {
	rules := policy.Default()
	rules.Version = 4
	return facts{
		user: jonas, rules: rules, held: []method.Credential{cloud, black, pass},
		event: audit.Event{ID: "e2", Tenant: "t1", At: storyTime, Category: audit.SignIn, Activity: "signin.interrupted", Outcome: audit.Interrupted,
			User: "u1", Actor: "u1", Client: "payroll", Method: policy.Passkey, Credential: "cloud",
			Rule: "app.strength." + policy.IDHardwareBound, Reason: "strength_unmet", Code: policy.CodeStepUp},
		told: signin.Told{Flow: "f1", Started: storyTime.Add(-19 * time.Second), Required: "phrh", MaxAge: -1, Policy: 4, Judged: true, Mode: idp.ModeFIDO2,
			Properties: strong, Facts: cloud.Facts},
	}
}

func way(s story, id idp.CredentialID) wayIn {
	for _, w := range s.ways {
		if w.credential.ID == id {
			return w
		}
	}
	return wayIn{}
}

func same(a, b wouldDo) bool { return a.kind == b.kind && a.model == b.model }

func TestStoryOfARefusal(t *testing.T) {
	f := refusedFacts()
	s := tell(f)
	if s.verdict != halfway || !s.asked.Equal(f.told.Started) || s.changed || s.rebuilt || s.key == nil || s.key.Name != "Laptop" {
		t.Errorf("story %+v", s)
	}
	if s.deciding < 0 || s.checks[s.deciding] != (policy.Check{Rule: f.event.Rule, Result: policy.Refused, Reason: "strength_unmet"}) {
		t.Fatalf("deciding %d of %+v", s.deciding, s.checks)
	}
	refusals := 0
	for _, c := range s.checks {
		if c.Result == policy.Refused {
			refusals++
		}
	}
	if refusals != 1 {
		t.Errorf("%d rules refuse in %+v", refusals, s.checks)
	}
	if !way(s, "black").opens || s.ways[0].credential.ID != "black" {
		t.Errorf("the hardware key would not have opened it: %+v", s.ways)
	}
	if w := way(s, "cloud"); w.opens || w.rule != f.event.Rule || w.reason != "strength_unmet" {
		t.Errorf("the synced key: %+v", w)
	}
	if w := way(s, "pass"); w.opens {
		t.Errorf("a pass opens the app: %+v", w)
	}
	if len(s.would) != 0 {
		t.Errorf("%+v would do as well as the key that they hold", s.would)
	}

	// Nothing that they hold would do: what else would is found by asking.
	f.held = []method.Credential{cloud}
	if s = tell(f); !slices.EqualFunc(s.would, []wouldDo{{kind: "hardware"}}, same) {
		t.Errorf("of somebody with a synced key: %+v", s.would)
	}
	f.held, f.told.Required = nil, ""
	f.event.Reason, f.event.Rule = "nothing_proven", "strength.default"
	if s = tell(f); len(s.ways) != 0 || !slices.EqualFunc(s.would, []wouldDo{{kind: "any"}}, same) {
		t.Errorf("of somebody without anything: ways %v, would %v", s.ways, s.would)
	}
	f.rules.Passkey.AAGUIDs = policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{"a25342c0-3cdc-4414-8e46-f4807fca511c", "00000000-0000-0000-0000-000000000000"}}
	if s = tell(f); !slices.EqualFunc(s.would, []wouldDo{{model: "a25342c0-3cdc-4414-8e46-f4807fca511c"}}, same) {
		t.Errorf("with a list of models: %+v", s.would)
	}
}

// A pass that registered a device is told by the rule that let it, and refused
// by none.
func TestStoryOfAPassForADevice(t *testing.T) {
	f := refusedFacts()
	f.rules.Devices.On = true
	f.event.Activity, f.event.Outcome, f.event.Method, f.event.Credential = "signin.done", audit.Success, policy.AccessPass, "pass"
	f.event.Rule, f.event.Reason, f.event.Code = policy.RuleEnlist, "pass_enlists", 0
	f.told = signin.Tell(f.event)
	s := tell(f)
	if s.deciding < 0 || s.checks[s.deciding] != (policy.Check{Rule: policy.RuleEnlist, Result: policy.Met, Reason: "pass_enlists"}) {
		t.Errorf("deciding %d of %+v", s.deciding, s.checks)
	}
	if slices.ContainsFunc(s.checks, func(c policy.Check) bool { return c.Result == policy.Refused }) {
		t.Errorf("refused in %+v", s.checks)
	}
}

// The record has the last word, also when the rules have changed since.
func TestStoryAfterTheRulesChanged(t *testing.T) {
	f := refusedFacts()
	f.rules.Version = 5
	f.rules.Passkey.Restrictions, f.rules.Passkey.Synced = policy.Enforce, policy.SyncedDeny
	f.event.Activity, f.event.Outcome = "signin.refused", audit.Failure
	f.event.Rule, f.event.Reason = "passkey.profiles.gone.aaguids", "model_not_allowed"
	s := tell(f)
	if !s.changed || s.verdict != refused {
		t.Errorf("changed %v, verdict %s", s.changed, s.verdict)
	}
	if s.deciding < 0 || s.checks[s.deciding].Rule != f.event.Rule || s.checks[s.deciding].Reason != "model_not_allowed" {
		t.Errorf("deciding %d of %+v", s.deciding, s.checks)
	}
}

func TestStoryOfASuccess(t *testing.T) {
	f := refusedFacts()
	f.event.Activity, f.event.Outcome, f.event.Credential = "signin.done", audit.Success, "black"
	f.event.Rule, f.event.Reason, f.event.Code = "app.strength."+policy.IDHardwareBound, "strength_met", 0
	f.told, f.demand = signin.Tell(f.event), "phrh"
	s := tell(f)
	if s.verdict != letIn || !s.proven || !s.rebuilt || len(s.ways) != 0 {
		t.Errorf("story %+v", s)
	}
	if s.deciding < 0 || s.checks[s.deciding].Result != policy.Met {
		t.Errorf("deciding %d of %+v", s.deciding, s.checks)
	}
	f.held = nil // the key is gone: nothing is made up
	if s = tell(f); s.proven || len(s.checks) != 1 || s.deciding != 0 {
		t.Errorf("without the key: %+v", s)
	}
}

// Of somebody who proved nothing there is no rule and no way in to tell.
func TestStoryOfNobody(t *testing.T) {
	f := facts{rules: policy.Default(), event: audit.Event{ID: "e1", Tenant: "t1", At: storyTime, Category: audit.SignIn, Activity: "signin.refused",
		Outcome: audit.Failure, Method: policy.Passkey, Reason: "bad_signature", Code: 130005}, told: signin.Told{MaxAge: -1}}
	s := tell(f)
	if s.verdict != unproven || s.proven || len(s.checks) != 0 || s.deciding != -1 || len(s.ways) != 0 {
		t.Errorf("story %+v", s)
	}
}

// A journey is what has the same flow, and what the person changed in between.
func TestJourney(t *testing.T) {
	f := refusedFacts()
	at := func(id idp.EventID, after time.Duration, flow, category, actor string) audit.Event {
		e := audit.Event{ID: id, At: storyTime.Add(after), Category: category, User: "u1", Actor: actor}
		if flow != "" {
			e.Detail = map[string]string{signin.DetailFlow: flow}
		}
		return e
	}
	f.near = []audit.Event{
		at("e9", time.Minute, "f1", audit.SignIn, "u1"), at("e5", 30*time.Second, "", audit.Change, "u1"), at("e6", 40*time.Second, "", audit.Change, "admin"),
		at("e0", -time.Minute, "f0", audit.SignIn, "u1"), f.event, at("e99", 2*time.Minute, "", audit.Change, "u1"),
	}
	var got []idp.EventID
	for _, e := range tell(f).journey {
		got = append(got, e.ID)
	}
	if !slices.Equal(got, []idp.EventID{"e5", "e9"}) {
		t.Errorf("journey %v", got)
	}
	f.told.Flow = ""
	if got := tell(f).journey; got != nil {
		t.Errorf("without a flow: %v", got)
	}
}

func TestVerdicts(t *testing.T) {
	for want, e := range map[verdict]audit.Event{
		letIn:    {Activity: "signin.done", Outcome: audit.Success},
		halfway:  {Activity: "signin.interrupted", Outcome: audit.Interrupted, Rule: "strength"},
		refused:  {Activity: "signin.refused", Outcome: audit.Failure, Rule: "user.enabled"},
		unproven: {Activity: "signin.refused", Outcome: audit.Failure, Reason: "bad_signature"},
		left:     {Activity: "signout.done", Outcome: audit.Success},
	} {
		if got := verdictOf(e); got != want {
			t.Errorf("%s %s is %s, want %s", e.Activity, e.Outcome, got, want)
		}
	}
}
