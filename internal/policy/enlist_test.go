package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// TestSec_POL04_PassEnlists: a pass does for the registration of devices
// whether or not it opens apps, and each of these is refused for one reason.
func TestSec_POL04_PassEnlists(t *testing.T) {
	rules := func(change func(*policy.Policy)) policy.Policy {
		p := policy.Default()
		p.Devices.On = true
		if change != nil {
			change(&p)
		}
		return p
	}
	enlist := func(change func(*policy.Question), proofs ...idp.Proof) policy.Question {
		q := question(proofs...)
		q.Purpose = policy.Enlist
		if change != nil {
			change(&q)
		}
		return q
	}
	for _, tt := range []struct {
		name    string
		p       policy.Policy
		q       policy.Question
		outcome policy.Outcome
		reason  string
	}{
		{"a pass", rules(nil), enlist(nil, pass(0)), policy.Allow, "pass_enlists"},
		{"one for several uses", rules(nil), enlist(nil, passMany(0)), policy.Allow, "pass_enlists"},
		{"a passkey", rules(nil), enlist(nil, synced(0)), policy.Allow, "strength_met"},
		{"a pass beside a passkey", rules(nil), enlist(nil, pass(0), synced(0)), policy.Allow, "strength_met"},
		{"mfa is asked", rules(nil), enlist(func(q *policy.Question) { q.ACR = []string{policy.IDMFA} }, pass(0)), policy.Allow, "pass_enlists"},
		{"of somebody who holds nothing", rules(nil), enlist(func(q *policy.Question) { q.Usable = 0 }, pass(0)), policy.Allow, "pass_enlists"},
		{"an app", rules(nil), question(pass(0)), policy.StepUp, "strength_unmet"},
		{"our own pages", rules(nil), enlist(func(q *policy.Question) { q.Purpose = policy.Account }, pass(0)), policy.StepUp, "strength_unmet"},
		{"phr is asked", rules(nil), enlist(func(q *policy.Question) { q.ACR = []string{"phr"} }, pass(0)), policy.StepUp, "strength_unmet"},
		{"phr is demanded", rules(nil), enlist(func(q *policy.Question) { q.Required = "phr" }, pass(0)), policy.StepUp, "strength_unmet"},
		{"devices are off", policy.Default(), enlist(nil, pass(0)), policy.StepUp, "strength_unmet"},
		{"devices are off and passes open apps", func() policy.Policy { p := policy.Default(); p.AccessPass.AppSignIn = true; return p }(),
			enlist(nil, pass(0)), policy.StepUp, "strength_unmet"},
		{"a guest", rules(nil), enlist(func(q *policy.Question) { q.User.Type = idp.Guest }, pass(0)), policy.StepUp, "strength_unmet"},
		{"a disabled person", rules(nil), enlist(func(q *policy.Question) { q.User.Enabled = false }, pass(0)), policy.Deny, "user_disabled"},
		{"passes are off", rules(func(p *policy.Policy) { p.Switch(policy.AccessPass, false) }), enlist(nil, pass(0)), policy.StepUp, "method_off"},
		{"a pass from before prompt=login", rules(nil), enlist(func(q *policy.Question) { q.Since = now }, pass(time.Minute)), policy.StepUp, "proof_before_prompt"},
		{"an old pass", rules(nil), enlist(func(q *policy.Question) { q.MaxAge = time.Minute }, passMany(time.Hour)), policy.StepUp, "proof_too_old"},
		{"somebody else's", rules(nil), enlist(nil, with2(pass(0), func(p *idp.Proof) { p.User = "bob" })), policy.Deny, "proof_of_other_user"},
	} {
		if d := policy.Decide(&tt.p, tt.q); d.Outcome != tt.outcome || d.Reason != tt.reason {
			t.Errorf("%s: %s (%s), want %s (%s)", tt.name, d.Outcome, d.Reason, tt.outcome, tt.reason)
		}
	}
}

// Whoever asks why hears that a pass registers devices, and where it does not.
func TestExplainEnlist(t *testing.T) {
	q := question(pass(0))
	q.Purpose = policy.Enlist
	for on, want := range map[bool]policy.Check{
		true:  {Rule: policy.RuleEnlist, Result: policy.Met, Reason: "pass_enlists"},
		false: {Rule: "accessPass.appSignIn", Result: policy.Refused, Reason: "pass_opens_no_apps"},
	} {
		p := policy.Default()
		p.Devices.On = on
		if all := policy.Explain(p, q); !slices.Contains(all, want) {
			t.Errorf("devices on %v: %+v", on, all)
		}
	}
}
