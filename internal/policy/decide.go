package policy

import (
	"maps"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Purpose is what a person is about to do.
type Purpose string

// The purposes.
const (
	SignIn   Purpose = "signin"   // open an application
	Account  Purpose = "account"  // open the account pages
	Register Purpose = "register" // add a method
	// Enlist is to get a token that is good for the registration of devices
	// and their keys, and for nothing else (ADR 0021).
	Enlist Purpose = "enlist"
)

// Outcome is what the corridor has to do next.
type Outcome string

// The outcomes.
const (
	Allow        Outcome = "allow"
	StepUp       Outcome = "step-up"  // something is still to be proven: Missing
	MustRegister Outcome = "register" // proven by a pass; a method has to be added first
	Deny         Outcome = "deny"
)

// Question is everything a decision depends on.
type Question struct {
	User   idp.User
	Groups Groups // of the user; those of Policy.NamedGroups are enough
	Proofs []idp.Proof
	// App is what is to be opened and Required the strength that its
	// administrator demands, by acr value, name or id; empty: none. It must be
	// met besides what ACR asks.
	App      idp.ClientID
	Required string
	// ACR lists strengths that the request asks for; any one of them will do.
	// Empty: any enabled method but a pass. Register reads neither.
	ACR    []string
	MaxAge time.Duration // how old a proof may be; below zero: not asked
	// Since is when prompt=login was asked: only proofs from then on count.
	Since time.Time
	// Started is when the flow began; a proof made in it is never too old
	// for MaxAge. The zero time: only the age counts.
	Started time.Time
	Purpose Purpose
	Method  idp.MethodID // Register: what is to be added; empty: anything
	Usable  int          // credentials that could open a session; passes not counted
	Now     time.Time
}

// Decision is the verdict and what it rests on.
type Decision struct {
	Outcome Outcome
	Refusal // of an Outcome that is not Allow; with Allow only Rule and Reason are set
	// Missing are combinations of modes, one of which is to be proven, when
	// Outcome is StepUp. Empty: any enabled method.
	Missing [][]idp.Mode
	// MayRegister says that the person came by a pass and may add a method
	// although others exist: they may have lost them.
	MayRegister bool
	// Refused are proofs that did not count because a rule refuses their
	// method or credential; Would such that did, and would not if the
	// tenant's restrictions were enforced and not only audited.
	Refused []RefusedProof
	Would   []RefusedProof
	// Below is the truth about the proofs that counted, for tokens. A pass
	// that does not open apps is not among them.
	ACR       string // phrh, phr, the tenant's own strength that was asked for and met, or nothing
	AMR       []string
	ProofTime time.Time // of the newest gesture: auth_time
	MFATime   time.Time // of the newest multi-factor proof
	Version   int64     // of the policy that decided
}

// RefusedProof says why a proof does not count.
type RefusedProof struct {
	Method     idp.MethodID
	Credential idp.CredentialID
	Refusal
}

// AADSTS numbers of decisions.
const (
	CodeUserDisabled = 50057
	CodeNobody       = 50058 // nothing is proven
	CodeEnrol        = 50072 // a method has to be registered
	CodeStepUp       = 50074 // a stronger proof is needed
	CodeStale        = 70043 // the proof is too old
	CodeBlocked      = 53003 // a rule blocks
)

// RuleEnlist is the rule by which a pass opens the registration of devices.
const RuleEnlist = "accessPass.devices"

// skew is how far ahead of this node's clock a proof of another node may be
// (product.md §6).
const skew = 60 * time.Second

// passWindow is how long after a sign-in by a one-time pass a method may be
// registered with it (entra-behaviours.md §11).
const passWindow = 10 * time.Minute

// Decide judges q by p. It is pure, and what no rule allows is denied.
func Decide(p *Policy, q Question) Decision {
	d := decide(p, q)
	d.Version = p.Version
	return d
}

func decide(p *Policy, q Question) Decision {
	if d, denied := barred(&q); denied {
		return d
	}
	c := &hearing{view: view{p: p, who: Who{User: q.User, Groups: q.Groups}}, q: &q}
	live := c.alive()
	counted := fresh(&q, live)
	d := c.facts(c.opening(counted))
	d.Refused, d.Would = c.refused, c.would
	d.MayRegister = slices.ContainsFunc(counted, func(c idp.Proof) bool { return isPass(c.Mode) })
	switch q.Purpose {
	case SignIn, Account, Enlist:
		return c.decideOpen(d, live, counted)
	case Register:
		return c.decideRegister(d, live)
	}
	return deny(d, "purpose", "purpose_unknown", CodeBlocked)
}

// hearing is one question under judgement.
type hearing struct {
	view
	q              *Question
	refused, would []RefusedProof
	modes          []idp.Mode // that the person's methods can prove, see provable
	anyMode        bool       // one of the methods may prove any
	counted        bool       // modes and anyMode are worked out
}

// barred holds for whoever is kept out whatever they prove.
func barred(q *Question) (Decision, bool) {
	for i := range q.Proofs {
		// A proof of somebody else ends the flow (decisions 2.4).
		if proof := &q.Proofs[i]; !q.User.Known() || proof.User != q.User.ID || proof.Tenant != q.User.Tenant {
			return deny(Decision{}, "proof.user", "proof_of_other_user", CodeBlocked), true
		}
	}
	if !q.User.Known() {
		return Decision{}, false
	}
	if !q.User.Enabled {
		return deny(Decision{}, "user.enabled", "user_disabled", CodeUserDisabled), true
	}
	if q.User.Type == idp.Guest && q.Purpose == Register {
		// security.md POL08: guests bring the methods of their home.
		return deny(Decision{}, "user.guest", "guest_may_not_register", CodeBlocked), true
	}
	return Decision{}, false
}

// alive keeps the proofs whose method and credential the rules allow now: what
// an administrator has switched off stops in open flows and sessions too
// (POL02).
func (c *hearing) alive() []idp.Proof {
	out := make([]idp.Proof, 0, len(c.q.Proofs))
	for i := range c.q.Proofs {
		proof := &c.q.Proofs[i]
		if proof.Time.IsZero() || proof.Time.After(c.q.Now.Add(skew)) {
			continue
		}
		r := c.judge(Use, proof.Method, &proof.Facts)
		if r.Allowed() && proof.Method == Certificate {
			r.Refusal = c.p.Certificate.counts(proof)
		}
		if !r.Allowed() {
			c.refused = append(c.refused, RefusedProof{proof.Method, proof.Credential, r.Refusal})
			continue
		}
		if !r.Would.Allowed() {
			c.would = append(c.would, RefusedProof{proof.Method, proof.Credential, r.Would})
		}
		out = append(out, *proof)
	}
	return out
}

// fresh keeps the proofs that prompt=login and max_age let count. Both read
// the time of the gesture, never that of a renewal (decisions 2.5).
func fresh(q *Question, proofs []idp.Proof) []idp.Proof {
	old := func(c idp.Proof) bool { return !sinceOK(q.Since, c.Time) || !ageOK(q, c.Time) }
	if !slices.ContainsFunc(proofs, old) {
		return proofs
	}
	return slices.DeleteFunc(slices.Clone(proofs), old)
}

// sinceOK compares in microseconds: that is all that sealed values keep. A
// proof of the millisecond before a request is not one made for it.
func sinceOK(since, t time.Time) bool {
	return since.IsZero() || t.UnixMicro() >= since.UnixMicro()
}

func ageOK(q *Question, t time.Time) bool {
	made := !q.Started.IsZero() && sinceOK(q.Started, t) || !q.Since.IsZero() && sinceOK(q.Since, t)
	return q.MaxAge < 0 || made || !t.Before(q.Now.Add(-q.MaxAge))
}

// opening keeps the proofs that may open what is asked for.
func (c *hearing) opening(proofs []idp.Proof) []idp.Proof {
	pass := func(c idp.Proof) bool { return isPass(c.Mode) }
	if c.passOpens() || !slices.ContainsFunc(proofs, pass) {
		return proofs
	}
	return slices.DeleteFunc(slices.Clone(proofs), pass)
}

// passOpens says whether a pass opens what is asked for: an app only by
// setting, the registration of devices wherever there is one (decisions 2.8).
// Guests bring their devices' keys from home, as their methods.
func (c *hearing) passOpens() bool {
	if c.q.Purpose == Enlist {
		return c.p.Devices.On && c.q.User.Type != idp.Guest
	}
	return c.p.AccessPass.AppSignIn
}

// need is something that must be met: one of the strengths. None: any proof.
type need struct {
	rule     string // "strength", or "app.strength" for what the app demands
	any      []*Strength
	asked    []string // how each was asked for
	byAnyone bool     // nothing in particular is asked
}

// needs lists what must be met, all of it. Of the strengths that a request
// names unknown ones are overlooked, unless all are; one that the app demands
// must exist, or nobody gets in.
func (c *hearing) needs() (out []need, unknown string) {
	if c.q.Required != "" {
		s := c.p.strength(c.q.Required)
		if s == nil {
			return nil, "app.strength.known"
		}
		out = make([]need, 0, 2)
		out = append(out, need{rule: "app.strength", any: []*Strength{s}, asked: []string{c.q.Required}})
	}
	n := need{rule: "strength"}
	for _, ask := range c.q.ACR {
		if s := c.p.strength(ask); s != nil {
			n.any, n.asked = append(n.any, s), append(n.asked, ask)
		}
	}
	switch {
	case len(c.q.ACR) == 0 && len(out) == 0:
		n.byAnyone = true
	case len(c.q.ACR) == 0:
		return out, ""
	case len(n.any) == 0:
		return nil, "strength.known"
	}
	return append(out, n), ""
}

// met says which strength of the need the proofs meet: its rule, and the acr
// value that asked for it if the strength is the tenant's own.
func (n *need) met(proofs []idp.Proof) (rule, own string, ok bool) {
	if n.byAnyone {
		return "strength.default", "", len(proofs) > 0
	}
	for i, s := range n.any {
		if s.met(proofs) {
			if !s.BuiltIn() {
				own = n.asked[i]
			}
			return n.rule + "." + s.ID, own, true
		}
	}
	return n.rule + "." + n.any[0].ID, "", false
}

// unmet gives the first need that proofs leave, or nil. rule is then that of
// the need, otherwise the one that was met first; own is the tenant's own
// strength that the request asked for and got.
func unmet(needs []need, proofs []idp.Proof) (first *need, rule, own string) {
	for i := range needs {
		r, o, ok := needs[i].met(proofs)
		if !ok {
			return &needs[i], r, ""
		}
		if i == 0 {
			rule = r
		}
		if needs[i].rule == "strength" {
			own = o
		}
	}
	return nil, rule, own
}

// decideOpen judges whether an app or the account pages may be opened.
func (c *hearing) decideOpen(d Decision, live, counted []idp.Proof) Decision {
	needs, unknown := c.needs()
	if unknown != "" {
		return deny(d, unknown, "strength_unknown", CodeBlocked)
	}
	open := c.opening(counted)
	lack, rule, own := unmet(needs, open)
	if lack == nil {
		d.Outcome, d.Rule, d.Reason, d.MayRegister = Allow, rule, "strength_met", false
		if c.q.Purpose == Enlist && !slices.ContainsFunc(open, func(p idp.Proof) bool { return !isPass(p.Mode) }) {
			d.Rule, d.Reason = RuleEnlist, "pass_enlists"
		}
		if own != "" {
			d.ACR = own
		}
		return d
	}
	for i := range needs {
		if !c.reachable(&needs[i]) {
			return deny(d, c.whyNoMethod(), "no_method_allowed", CodeBlocked)
		}
	}
	if d.MayRegister && c.q.Usable == 0 && c.q.User.Type != idp.Guest {
		if methods := c.addable(); len(methods) > 0 {
			d.Outcome, d.Refusal = MustRegister, Refusal{"accessPass.register", "only_a_pass", CodeEnrol, Help{Methods: methods}}
			return d
		}
		return deny(d, "accessPass.register", "nothing_to_register", CodeBlocked)
	}
	d.Outcome, d.Missing = StepUp, c.missing(lack, open)
	d.Refusal = c.whyStepUp(rule, needs, live)
	d.Help.Combinations, d.Help.Methods = d.Missing, c.methods()
	return d
}

// whyStepUp says why the proofs do not do.
func (c *hearing) whyStepUp(rule string, needs []need, live []idp.Proof) Refusal {
	lack, _, _ := unmet(needs, c.opening(live))
	switch {
	case lack == nil && !c.q.Since.IsZero():
		return Refusal{"prompt.login", "proof_before_prompt", CodeStale, Help{Fresh: true}}
	case lack == nil:
		return Refusal{"max_age", "proof_too_old", CodeStale, Help{Fresh: true}}
	case len(live) > 0:
		return Refusal{rule, "strength_unmet", CodeStepUp, Help{}}
	case len(c.refused) > 0:
		return c.refused[len(c.refused)-1].Refusal
	}
	return Refusal{rule, "nothing_proven", CodeNobody, Help{}}
}

// decideRegister judges whether a method may be added: by a pass, or by a
// fresh phishing-resistant proof of several factors (decisions 2.9): a
// certificate may be one factor, and must not make more of itself. The age limit
// is the corridor's MaxAge; a one-time pass has a window of its own.
func (c *hearing) decideRegister(d Decision, live []idp.Proof) Decision {
	d.MayRegister = false
	if c.q.Method != "" {
		if r := c.judge(Add, c.q.Method, nil); !r.Allowed() {
			d.Outcome, d.Refusal = Deny, r.Refusal
			return d
		}
	}
	for _, proof := range live {
		if !sinceOK(c.q.Since, proof.Time) {
			continue
		}
		switch {
		case proof.Mode == idp.ModeAccessPassMany,
			proof.Mode == idp.ModeAccessPassOnce && !proof.Time.Before(c.q.Now.Add(-passWindow)):
			d.Outcome, d.Rule, d.Reason = Allow, "register.accessPass", "pass"
			return d
		case proof.Has(idp.PhishingResistant) && proof.Has(idp.MultiFactor) && ageOK(c.q, proof.Time):
			d.Outcome, d.Rule, d.Reason = Allow, "register.phishingResistant", "fresh_proof"
			return d
		}
	}
	phr := need{any: []*Strength{c.p.strength(IDPhishingResistant)}}
	if phr.any[0] == nil {
		return deny(d, "strength.known", "strength_unknown", CodeBlocked)
	}
	d.Outcome, d.Missing = StepUp, c.missing(&phr, nil)
	d.Refusal = Refusal{"register", "fresh_proof_needed", CodeStepUp, Help{Fresh: true, Combinations: d.Missing}}
	return d
}

// methods lists the methods that the person may use; of a stranger all that
// anybody may.
func (c *hearing) methods() []idp.MethodID {
	var out []idp.MethodID
	for m := range c.p.Methods {
		if c.may(m) {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return out
}

// addable lists the methods that the person may register by themselves.
func (c *hearing) addable() []idp.MethodID {
	return slices.DeleteFunc(c.methods(), func(m idp.MethodID) bool {
		return m == AccessPass || !c.judge(Add, m, nil).Allowed()
	})
}

// whyNoMethod names the rule that keeps every method from the person: one
// about them, if there is one.
func (c *hearing) whyNoMethod() string {
	for _, m := range slices.Sorted(maps.Keys(c.p.Methods)) {
		if r := c.of(m).refusal; !r.Allowed() && r.Reason != "method_off" {
			return r.Rule
		}
	}
	return "method.enabled"
}

// reachable says whether the person's methods could meet a need at all. When
// not, they are told so and not sent round in circles.
func (c *hearing) reachable(n *need) bool {
	if n.byAnyone {
		return slices.ContainsFunc(c.methods(), func(m idp.MethodID) bool { return m != AccessPass || c.passOpens() })
	}
	return slices.ContainsFunc(n.any, func(s *Strength) bool { return slices.ContainsFunc(s.Combinations, c.provable) })
}

// missing lists what would do: of every combination that the person's methods
// can prove, the modes that are not proven yet.
func (c *hearing) missing(n *need, proofs []idp.Proof) [][]idp.Mode {
	var out [][]idp.Mode
	for _, s := range n.any {
		for _, combination := range s.Combinations {
			if !c.provable(combination) {
				continue
			}
			lack := s.lacking(combination, proofs)
			if len(lack) > 0 && !slices.ContainsFunc(out, func(o []idp.Mode) bool { return slices.Equal(o, lack) }) {
				out = append(out, lack)
			}
		}
	}
	return out
}

// provable says whether the person's methods can prove all modes of a
// combination, for what is asked.
func (c *hearing) provable(combination []idp.Mode) bool {
	if !c.counted {
		for m := range c.p.Methods {
			modes, known := modesOf[m]
			if m == Certificate {
				modes = c.p.Certificate.modes()
			}
			if c.may(m) {
				c.modes, c.anyMode = append(c.modes, modes...), c.anyMode || !known
			}
		}
		c.counted = true
	}
	for _, mode := range combination {
		switch {
		case isPass(mode) && !c.passOpens(),
			!slices.Contains(c.modes, mode) && (!c.anyMode || slices.Contains(foreign, mode)):
			return false
		}
	}
	return len(combination) > 0
}

// facts tells the truth about proofs.
func (c *hearing) facts(proofs []idp.Proof) Decision {
	var d Decision
	for _, acr := range []string{ACRHardwareBound, ACRPhishingResistant} {
		if s := c.p.strength(acr); s != nil && s.met(proofs) {
			d.ACR = acr
			break
		}
	}
	for i := range proofs {
		proof := &proofs[i]
		for _, word := range proof.AMR {
			if !slices.Contains(d.AMR, word) {
				d.AMR = append(d.AMR, word)
			}
		}
		if proof.Time.After(d.ProofTime) {
			d.ProofTime = proof.Time
		}
		if proof.Has(idp.MultiFactor) && proof.Time.After(d.MFATime) {
			d.MFATime = proof.Time
		}
	}
	return d
}

func deny(d Decision, rule, reason string, code int) Decision {
	d.Outcome, d.Refusal = Deny, refusal(rule, reason, code)
	d.MayRegister = false
	return d
}
