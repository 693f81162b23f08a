package policy

import (
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// Result is what one rule said.
type Result string

// The results.
const (
	Met      Result = "met"
	Refused  Result = "refused"
	OnTrial  Result = "trial"     // would have refused, and is on trial
	NotAsked Result = "not-asked" // it had nothing to say about this
)

// Check is one rule as it was weighed.
type Check struct {
	Rule   string // the place of the rule; a Refusal's rule is this or begins with it and a full stop or bracket
	Result Result
	Reason string // a stable word: of the refusal, or why it was met or not asked
}

// Covers says whether the rule of a decision or a refusal is this one.
func (c Check) Covers(rule string) bool {
	rest, ok := strings.CutPrefix(rule, c.Rule)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Explain lists the rules that Decide weighs for q to open an app, the account
// pages or the registration of devices, in that order, each with what it says. It is for people who
// ask why, and asks the same parts of this package: a rule that is Refused
// here is one that Decide refuses by.
func Explain(p Policy, q Question) []Check {
	c := &hearing{view: view{p: &p, who: Who{User: q.User, Groups: q.Groups}}, q: &q}
	out := []Check{explainUser(&q)}
	var seen []idp.MethodID
	for i := range q.Proofs {
		proof := &q.Proofs[i]
		if !slices.Contains(seen, proof.Method) {
			seen = append(seen, proof.Method)
			out = append(out, c.explainMethod(proof.Method))
		}
		switch proof.Method {
		case Passkey:
			out = append(out, c.explainKey(&proof.Facts)...)
		case Phone:
			out = append(out, c.explainPhone(&proof.Facts))
		case Certificate:
			out = append(out, c.explainCertificate(proof)...)
		}
	}
	live := c.alive()
	// What would do but for its age is refused by the rule about time, and the
	// strengths are told as the proofs meet them.
	counted := fresh(&q, live)
	needs, unknown := c.needs()
	lack, _, _ := unmet(needs, c.opening(live))
	still, _, _ := unmet(needs, c.opening(counted))
	old := unknown == "" && lack == nil && still != nil
	if old {
		counted = live
	}
	out = append(out, explainTime(&q, live, old)...)
	if slices.ContainsFunc(live, func(p idp.Proof) bool { return isPass(p.Mode) }) {
		pass := Check{"accessPass.appSignIn", Met, "pass_opens_apps"}
		switch {
		case q.Purpose == Enlist && c.passOpens():
			pass = Check{RuleEnlist, Met, "pass_enlists"}
		case !c.passOpens():
			pass = Check{"accessPass.appSignIn", Refused, "pass_opens_no_apps"}
		}
		out = append(out, pass)
	}
	return append(out, c.explainNeeds(c.opening(counted))...)
}

func explainUser(q *Question) Check {
	switch {
	case !q.User.Known():
		return Check{"user.enabled", NotAsked, "nobody_known"}
	case !q.User.Enabled:
		return Check{"user.enabled", Refused, "user_disabled"}
	}
	return Check{"user.enabled", Met, "user_enabled"}
}

func (c *hearing) explainMethod(m idp.MethodID) Check {
	if r := c.of(m).refusal; !r.Allowed() {
		return Check{methodAt(m), Refused, r.Reason}
	}
	return Check{methodAt(m), Met, "included"}
}

// explainKey asks the profiles one by one, also those that bind somebody else.
func (c *hearing) explainKey(f *idp.Facts) []Check {
	mine := c.of(Passkey).bound
	all := []bound{{"", &c.p.Passkey.KeyRules}}
	for i := range c.p.Passkey.Profiles {
		all = append(all, bound{c.p.Passkey.Profiles[i].ID, &c.p.Passkey.Profiles[i].KeyRules})
	}
	pass := c.p.Passkey.Additive && slices.ContainsFunc(mine, func(b bound) bool {
		reason, _ := b.rules.refuses(Use, f)
		return reason == ""
	})
	var out []Check
	for _, b := range all {
		check := Check{b.at(), Met, "key_allowed"}
		reason, part := b.rules.refuses(Use, f)
		switch {
		case !slices.ContainsFunc(mine, func(m bound) bool { return m.id == b.id }):
			check.Result, check.Reason = NotAsked, "other_people"
		case c.p.Passkey.Restrictions == EnforceOff:
			check.Result, check.Reason = NotAsked, "restrictions_off"
		case b.rules.asksNothing():
			check.Result, check.Reason = NotAsked, "asks_nothing"
		case reason != "" && pass:
			check.Result, check.Reason = NotAsked, "another_profile_allows"
		case reason != "":
			check.Rule += "." + part
			check.Result, check.Reason = Refused, reason
			if c.p.Passkey.Restrictions == EnforceAudit {
				check.Result = OnTrial
			}
		}
		out = append(out, check)
	}
	return out
}

// explainPhone asks the rule on the passkeys of phones.
func (c *hearing) explainPhone(f *idp.Facts) Check {
	r := &c.p.Phone
	switch no := r.refuses(f); {
	case r.Synced == SyncedAllow:
		return Check{"phone.synced", NotAsked, "asks_nothing"}
	case !no.Allowed():
		return Check{"phone.synced", Refused, no.Reason}
	}
	return Check{"phone.synced", Met, "key_allowed"}
}

// explainCertificate asks who may use what its authorities issue, how firmly it
// is tied to the person, and what it counts for now.
func (c *hearing) explainCertificate(p *idp.Proof) []Check {
	r, f := &c.p.Certificate, &p.Facts
	scope := Check{"certificate.scopes", NotAsked, "asks_nothing"}
	switch out, in := r.outside(&c.who, f), r.ScopeOf(c.who, *f); {
	case out >= 0:
		scope = Check{scopeAt(out), Refused, "certificate_not_scoped"}
	case in >= 0:
		scope = Check{scopeAt(in), Met, "certificate_scoped"}
	case len(r.Scopes) > 0:
		scope.Reason = "other_authorities"
	}
	rule, want, ok := r.firm(f)
	affinity := Check{rule, Met, "certificate_affinity_high"}
	switch {
	case !ok:
		affinity.Result, affinity.Reason = Refused, "certificate_affinity_low"
	case want == LowAffinity:
		affinity.Result, affinity.Reason = NotAsked, "asks_nothing"
	}
	level := Check{r.Worth(Presents(f)).Rule, Met, "certificate_single"}
	switch no := r.counts(p); {
	case !no.Allowed():
		level.Result, level.Reason = Refused, no.Reason
	case p.Mode == idp.ModeCertificateMulti:
		level.Reason = "certificate_multi"
	}
	return []Check{scope, affinity, level}
}

// asksNothing says that the rules let every key sign in.
func (r *KeyRules) asksNothing() bool {
	return !r.mustProve(Use) && r.AAGUIDs.Mode != ListAllow && r.AAGUIDs.Mode != ListDeny && r.Synced != SyncedDeny && r.Synced != SyncedOnly
}

// explainTime says whether the proofs are new enough; old, that they would do
// otherwise.
func explainTime(q *Question, live []idp.Proof, old bool) []Check {
	login, age := Check{"prompt.login", NotAsked, "not_asked"}, Check{"max_age", NotAsked, "not_asked"}
	weigh := func(c *Check, no string, decides bool, ok func(idp.Proof) bool) {
		c.Result, c.Reason = Met, "proof_new_enough"
		if decides || len(live) > 0 && !slices.ContainsFunc(live, ok) {
			c.Result, c.Reason = Refused, no
		}
	}
	if !q.Since.IsZero() {
		weigh(&login, "proof_before_prompt", old, func(p idp.Proof) bool { return sinceOK(q.Since, p.Time) })
	}
	if q.MaxAge >= 0 {
		weigh(&age, "proof_too_old", old && q.Since.IsZero(), func(p idp.Proof) bool { return ageOK(q, p.Time) })
	}
	return []Check{login, age}
}

// explainNeeds says which strengths were demanded, and whether proofs meet them.
func (c *hearing) explainNeeds(proofs []idp.Proof) []Check {
	var out []Check
	needs, unknown := c.needs()
	if unknown != "" {
		return []Check{{unknown, Refused, "strength_unknown"}}
	}
	if c.q.Required == "" {
		out = append(out, Check{"app.strength", NotAsked, "app_demands_nothing"})
	}
	for i := range needs {
		rule, _, ok := needs[i].met(proofs)
		check := Check{rule, Met, "strength_met"}
		switch {
		case !ok && len(c.q.Proofs) == 0:
			check.Result, check.Reason = Refused, "nothing_proven"
		case !ok:
			check.Result, check.Reason = Refused, "strength_unmet"
		}
		out = append(out, check)
	}
	if len(c.q.ACR) == 0 && c.q.Required != "" {
		out = append(out, Check{"strength", NotAsked, "request_asks_nothing"})
	}
	return out
}
