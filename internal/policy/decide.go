package policy

import (
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
	Proofs []idp.Proof
	// ACR lists strengths, by acr value or id; any one of them will do.
	// Empty: any enabled method but a pass. Register does not read it.
	ACR    []string
	MaxAge time.Duration // how old a proof may be; below zero: not asked
	// Since is when prompt=login was asked: only proofs from then on count.
	Since time.Time
	// Started is when the flow began; a proof made in it is never too old
	// for MaxAge. The zero time: only the age counts.
	Started time.Time
	Purpose Purpose
	Usable  int // credentials that could open a session; passes not counted
	Now     time.Time
}

// Decision is the verdict and what it rests on.
type Decision struct {
	Outcome Outcome
	Rule    string // the rule that decided, for audit
	Reason  string // a stable word
	Code    int    // AADSTS number of an outcome that is not Allow
	// Missing are combinations of modes, one of which is to be proven, when
	// Outcome is StepUp. Empty: any enabled method.
	Missing [][]idp.Mode
	// MayRegister says that the person came by a pass and may add a method
	// although others exist: they may have lost them.
	MayRegister bool
	// Below is the truth about the proofs that counted, for tokens. A pass
	// that does not open apps is not among them.
	ACR       string // phrh, phr or nothing
	AMR       []string
	ProofTime time.Time // of the newest gesture: auth_time
	MFATime   time.Time // of the newest multi-factor proof
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

// skew is how far ahead of this node's clock a proof of another node may be
// (product.md §6).
const skew = 60 * time.Second

// passWindow is how long after a sign-in by a one-time pass a method may be
// registered with it (entra-behaviours.md §11).
const passWindow = 10 * time.Minute

// Decide judges q by p. It is pure, and what no rule allows is denied.
func Decide(p Policy, q Question) Decision {
	if d, denied := barred(q); denied {
		return d
	}
	live := alive(p, q)
	counted := fresh(q, live)
	d := facts(p, opening(p, counted))
	d.MayRegister = slices.ContainsFunc(counted, func(c idp.Proof) bool { return isPass(c.Mode) })
	switch q.Purpose {
	case SignIn, Account:
		return decideOpen(p, q, d, live, counted)
	case Register:
		return decideRegister(p, q, d, live)
	}
	return deny(d, "purpose", "purpose_unknown", CodeBlocked)
}

// barred holds for whoever is kept out whatever they prove.
func barred(q Question) (Decision, bool) {
	for _, proof := range q.Proofs {
		// A proof of somebody else ends the flow (decisions 2.4).
		if !q.User.Known() || proof.User != q.User.ID || proof.Tenant != q.User.Tenant {
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

// alive keeps the proofs whose method is enabled now: one that an
// administrator switched off stops in open flows and sessions too (POL02).
func alive(p Policy, q Question) []idp.Proof {
	var out []idp.Proof
	for _, proof := range q.Proofs {
		if p.Methods[proof.Method] && !proof.Time.IsZero() && !proof.Time.After(q.Now.Add(skew)) {
			out = append(out, proof)
		}
	}
	return out
}

// fresh keeps the proofs that prompt=login and max_age let count. Both read
// the time of the gesture, never that of a renewal (decisions 2.5).
func fresh(q Question, proofs []idp.Proof) []idp.Proof {
	var out []idp.Proof
	for _, proof := range proofs {
		if sinceOK(q.Since, proof.Time) && ageOK(q, proof.Time) {
			out = append(out, proof)
		}
	}
	return out
}

// sinceOK compares in microseconds: that is all that sealed values keep. A
// proof of the millisecond before a request is not one made for it.
func sinceOK(since, t time.Time) bool {
	return since.IsZero() || t.UnixMicro() >= since.UnixMicro()
}

func ageOK(q Question, t time.Time) bool {
	made := !q.Started.IsZero() && sinceOK(q.Started, t) || !q.Since.IsZero() && sinceOK(q.Since, t)
	return q.MaxAge < 0 || made || !t.Before(q.Now.Add(-q.MaxAge))
}

// opening keeps the proofs that may open an app: a pass only by setting
// (decisions 2.8).
func opening(p Policy, proofs []idp.Proof) []idp.Proof {
	if p.AccessPass.AppSignIn {
		return proofs
	}
	return slices.DeleteFunc(slices.Clone(proofs), func(c idp.Proof) bool { return isPass(c.Mode) })
}

// decideOpen judges whether an app or the account pages may be opened.
func decideOpen(p Policy, q Question, d Decision, live, counted []idp.Proof) Decision {
	asked, known := p.asked(q.ACR)
	if !known {
		return deny(d, "strength.known", "strength_unknown", CodeBlocked)
	}
	rule, ok := satisfied(q.ACR, asked, opening(p, counted))
	if ok {
		d.Outcome, d.Rule, d.Reason, d.MayRegister = Allow, rule, "strength_met", false
		return d
	}
	if !p.reachable(asked, len(q.ACR) == 0) {
		return deny(d, "method.enabled", "no_method_allowed", CodeBlocked)
	}
	if d.MayRegister && q.Usable == 0 && q.User.Type != idp.Guest {
		d.Outcome, d.Rule, d.Reason, d.Code = MustRegister, "accessPass.register", "only_a_pass", CodeEnrol
		return d
	}
	d.Outcome, d.Rule = StepUp, "strength"
	d.Missing = p.missing(asked, opening(p, counted))
	_, wasOnceMet := satisfied(q.ACR, asked, opening(p, live))
	switch {
	case len(live) == 0:
		d.Reason, d.Code = "nothing_proven", CodeNobody
	case wasOnceMet && !q.Since.IsZero():
		d.Rule, d.Reason, d.Code = "prompt.login", "proof_before_prompt", CodeStale
	case wasOnceMet:
		d.Rule, d.Reason, d.Code = "max_age", "proof_too_old", CodeStale
	default:
		d.Reason, d.Code = "strength_unmet", CodeStepUp
	}
	return d
}

// decideRegister judges whether a method may be added: by a pass, or by a
// fresh phishing-resistant proof (decisions 2.9). The age limit is the
// corridor's MaxAge; a one-time pass has a window of its own.
func decideRegister(p Policy, q Question, d Decision, live []idp.Proof) Decision {
	d.MayRegister = false
	for _, proof := range live {
		if !sinceOK(q.Since, proof.Time) {
			continue
		}
		switch {
		case proof.Mode == idp.ModeAccessPassMany,
			proof.Mode == idp.ModeAccessPassOnce && !proof.Time.Before(q.Now.Add(-passWindow)):
			d.Outcome, d.Rule, d.Reason = Allow, "register.accessPass", "pass"
			return d
		case proof.Has(idp.PhishingResistant) && ageOK(q, proof.Time):
			d.Outcome, d.Rule, d.Reason = Allow, "register.phishingResistant", "fresh_proof"
			return d
		}
	}
	strength, _ := p.Strength(IDPhishingResistant)
	d.Outcome, d.Rule, d.Reason, d.Code = StepUp, "register", "fresh_proof_needed", CodeStepUp
	d.Missing = p.missing([]idp.Strength{strength}, nil)
	return d
}

// asked finds the strengths that acr names; unknown ones are overlooked
// unless all are. Nothing asked is no strength, and known.
func (p Policy) asked(acr []string) ([]idp.Strength, bool) {
	var out []idp.Strength
	for _, a := range acr {
		if s, ok := p.Strength(a); ok {
			out = append(out, s)
		}
	}
	return out, len(out) > 0 || len(acr) == 0
}

// satisfied says which of the asked strengths the proofs meet. Nothing asked
// is met by any proof.
func satisfied(acr []string, asked []idp.Strength, proofs []idp.Proof) (rule string, ok bool) {
	if len(acr) == 0 {
		return "strength.default", len(proofs) > 0
	}
	for _, s := range asked {
		if met(s, proofs) {
			return "strength." + s.ID, true
		}
	}
	return "", false
}

// reachable says whether enabled methods could meet what is asked at all. When
// not, a person is told so and not sent round in circles.
func (p Policy) reachable(asked []idp.Strength, byDefault bool) bool {
	if byDefault {
		for m, on := range p.Methods {
			if on && (m != AccessPass || p.AccessPass.AppSignIn) {
				return true
			}
		}
		return false
	}
	return len(p.missing(asked, nil)) > 0
}

// missing lists what would do: of every combination that enabled methods can
// prove, the modes that are not proven yet.
func (p Policy) missing(asked []idp.Strength, proofs []idp.Proof) [][]idp.Mode {
	var out [][]idp.Mode
	for _, s := range asked {
		for _, combination := range s.Combinations {
			if slices.ContainsFunc(combination, func(m idp.Mode) bool { return !p.usable(m) }) {
				continue
			}
			lack := lacking(s, combination, proofs)
			if len(lack) > 0 && !slices.ContainsFunc(out, func(o []idp.Mode) bool { return slices.Equal(o, lack) }) {
				out = append(out, lack)
			}
		}
	}
	return out
}

func (p Policy) usable(m idp.Mode) bool {
	return p.provable(m) && (!isPass(m) || p.AccessPass.AppSignIn)
}

// facts tells the truth about proofs.
func facts(p Policy, proofs []idp.Proof) Decision {
	var d Decision
	for _, acr := range []string{ACRHardwareBound, ACRPhishingResistant} {
		if s, ok := p.Strength(acr); ok && met(s, proofs) {
			d.ACR = acr
			break
		}
	}
	for _, proof := range proofs {
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
	d.Outcome, d.Rule, d.Reason, d.Code = Deny, rule, reason, code
	d.MayRegister = false
	return d
}
