package policy_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

func refusing(checks []policy.Check) (out []policy.Check) {
	for _, c := range checks {
		if c.Result == policy.Refused {
			out = append(out, c)
		}
	}
	return out
}

// Explain and Decide cannot disagree: what is allowed is refused by no rule
// about what was asked, and what is not allowed is refused by the rule that
// Decide names, as far as that is a rule about proofs.
func TestExplainAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := anyPolicy(t), anyQuestion(t)
		p.Passkey.Restrictions = rapid.SampledFrom([]policy.Enforcement{policy.EnforceOff, policy.EnforceAudit, policy.Enforce}).Draw(t, "restrictions")
		p.Passkey.Synced = rapid.SampledFrom([]policy.Synced{policy.SyncedAllow, policy.SyncedDeny, policy.SyncedOnly}).Draw(t, "synced")
		p.Phone.Synced = rapid.SampledFrom([]policy.Synced{policy.SyncedAllow, policy.SyncedDeny}).Draw(t, "synced on phones")
		for i := range q.Proofs {
			q.Proofs[i].Facts.Synced = rapid.Bool().Draw(t, "is synced")
		}
		q.Purpose = policy.SignIn
		q.Required = rapid.SampledFrom(append([]string{"", ""}, strengths...)).Draw(t, "required")
		q.User.Enabled = rapid.IntRange(0, 9).Draw(t, "enabled") > 0
		d, checks := policy.Decide(&p, q), policy.Explain(p, q)
		no := refusing(checks)
		if d.Outcome == policy.Allow {
			for _, c := range no {
				if c.Rule == "user.enabled" || c.Covers("prompt.login") || c.Covers("max_age") || c.Reason == "strength_unmet" {
					t.Fatalf("allowed by %s, and %+v", d.Rule, c)
				}
			}
			if !slices.ContainsFunc(checks, func(c policy.Check) bool { return c.Result == policy.Met && c.Covers(d.Rule) }) {
				t.Fatalf("allowed by %s, which is not met in %+v", d.Rule, checks)
			}
			return
		}
		switch d.Reason {
		case "only_a_pass", "nothing_to_register", "no_method_allowed":
			return // about what the person may do next, not about the proofs
		}
		if !slices.ContainsFunc(no, func(c policy.Check) bool { return c.Covers(d.Rule) }) {
			t.Fatalf("%s by %s (%s), which refuses nothing in %+v", d.Outcome, d.Rule, d.Reason, checks)
		}
		for _, r := range d.Refused {
			if !slices.ContainsFunc(no, func(c policy.Check) bool { return c.Covers(r.Rule) && c.Reason == r.Reason }) {
				t.Fatalf("a proof was refused by %s (%s), which is not in %+v", r.Rule, r.Reason, checks)
			}
		}
		for _, r := range d.Would {
			if !slices.ContainsFunc(checks, func(c policy.Check) bool { return c.Result == policy.OnTrial && c.Covers(r.Rule) }) {
				t.Fatalf("%s is on trial, and not in %+v", r.Rule, checks)
			}
		}
	})
}

func TestExplain(t *testing.T) {
	key := proof(policy.Passkey, idp.ModeFIDO2, 0)
	key.Facts = idp.Facts{AAGUID: other, Synced: true}
	base := policy.Default()
	base.Passkey.Restrictions = policy.Enforce
	base.Passkey.Synced = policy.SyncedDeny
	one := policy.Profile{ID: "11111111-1111-4111-8111-111111111111", Name: "Contractors"}
	for name, c := range map[string]struct {
		change func(*policy.Policy, *policy.Question)
		want   policy.Check
	}{
		"a synced key":    {nil, policy.Check{Rule: "passkey.synced", Result: policy.Refused, Reason: "synced_not_allowed"}},
		"on trial":        {func(p *policy.Policy, _ *policy.Question) { p.Passkey.Restrictions = policy.EnforceAudit }, policy.Check{Rule: "passkey.synced", Result: policy.OnTrial, Reason: "synced_not_allowed"}},
		"switched off":    {func(p *policy.Policy, _ *policy.Question) { p.Passkey.Restrictions = policy.EnforceOff }, policy.Check{Rule: "passkey", Result: policy.NotAsked, Reason: "restrictions_off"}},
		"no rules at all": {func(p *policy.Policy, _ *policy.Question) { p.Passkey.KeyRules = policy.Default().Passkey.KeyRules }, policy.Check{Rule: "passkey", Result: policy.NotAsked, Reason: "asks_nothing"}},
		"a profile for others": {func(p *policy.Policy, _ *policy.Question) { p.Passkey.Profiles = []policy.Profile{one} },
			policy.Check{Rule: "passkey.profiles." + one.ID, Result: policy.NotAsked, Reason: "other_people"}},
		"method off":       {func(p *policy.Policy, _ *policy.Question) { p.Switch(policy.Passkey, false) }, policy.Check{Rule: "methods.passkey", Result: policy.Refused, Reason: "method_off"}},
		"a person off":     {func(_ *policy.Policy, q *policy.Question) { q.User.Enabled = false }, policy.Check{Rule: "user.enabled", Result: policy.Refused, Reason: "user_disabled"}},
		"prompt=login":     {func(_ *policy.Policy, q *policy.Question) { q.Since = now.Add(time.Second) }, policy.Check{Rule: "prompt.login", Result: policy.Met, Reason: "proof_new_enough"}},
		"app demands":      {func(_ *policy.Policy, q *policy.Question) { q.Required = "phrh" }, policy.Check{Rule: "app.strength." + policy.IDHardwareBound, Result: policy.Refused, Reason: "strength_unmet"}},
		"unknown strength": {func(_ *policy.Policy, q *policy.Question) { q.Required = "gold" }, policy.Check{Rule: "app.strength.known", Result: policy.Refused, Reason: "strength_unknown"}},
	} {
		p, q := base.Clone(), question(key)
		q.MaxAge = -1
		if c.change != nil {
			c.change(&p, &q)
		}
		if got := policy.Explain(p, q); !slices.Contains(got, c.want) {
			t.Errorf("%s: no %+v in %+v", name, c.want, got)
		}
	}
}

// The version of the policy that decided goes with the decision.
func TestDecisionVersion(t *testing.T) {
	p := policy.Default()
	p.Version = 17
	for _, q := range []policy.Question{question(), question(proof(policy.Passkey, idp.ModeFIDO2, 0)), {Purpose: "nothing"}} {
		if d := policy.Decide(&p, q); d.Version != 17 {
			t.Errorf("%s: version %d", d.Outcome, d.Version)
		}
	}
}
