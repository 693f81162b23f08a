package console

import (
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// verdict is what a record of the sign-in log comes down to.
type verdict string

const (
	letIn    verdict = "in"      // a session, a code or a token was given
	refused  verdict = "refused" // by a rule, whatever was proven
	unproven verdict = "nobody"  // nothing was proven
	halfway  verdict = "halfway" // something is still to be proven, allowed or added
	left     verdict = "left"    // signed out
	saidYes  verdict = "yes"     // by a phone, of a sign-in that goes on elsewhere
	saidNo   verdict = "no"      // by a phone, in any of the ways there are
)

// Records of the phone room: what a phone said of a request. How the sign-in
// ended, in the browser that asked, is a record of its own.
const (
	phoneAnswers    = "phone."
	phoneApproved   = "phone.approved"
	phoneUnanswered = "phone.expired" // no phone said anything in time
)

// verdictOf reads the verdict off a record.
func verdictOf(e audit.Event) verdict {
	switch {
	case strings.HasPrefix(e.Activity, "signout."):
		return left
	case e.Activity == phoneApproved:
		return saidYes
	case strings.HasPrefix(e.Activity, phoneAnswers):
		return saidNo
	case e.Outcome == audit.Success:
		return letIn
	case e.Outcome == audit.Interrupted:
		return halfway
	case e.Rule != "" || signin.Tell(e).Judged:
		return refused
	}
	return unproven
}

// facts is all that is looked up about one sign-in; the story is told from
// them and from nothing else.
type facts struct {
	event  audit.Event
	told   signin.Told
	user   idp.User // as they are now; the zero User: not known, or gone
	groups policy.Groups
	held   []method.Credential // as they are now
	rules  policy.Policy       // as they are now
	demand string              // the strength that the app demands now
	near   []audit.Event       // of the same person, around that time; any order
}

// story is one sign-in, told.
type story struct {
	verdict verdict
	asked   time.Time // zero: not on record
	key     *method.Credential
	proof   idp.Proof
	proven  bool // proof is what was proven
	// rebuilt says that the record does not hold what was proven, and that it
	// was taken from the credential as it is now.
	rebuilt  bool
	checks   []policy.Check
	deciding int  // of checks; -1: none
	changed  bool // the rules are others now than those that decided
	journey  []audit.Event
	ways     []wayIn
	would    []wouldDo // what they do not hold, and would have opened it
}

// wayIn is something that the person holds, and whether it would have done.
type wayIn struct {
	credential method.Credential
	opens      bool
	rule       string // that says no, when it does not
	reason     string
}

// tell makes the story of one sign-in.
func tell(f facts) story {
	s := story{verdict: verdictOf(f.event), asked: f.told.Started, deciding: -1}
	for i, c := range f.held {
		if c.ID == f.event.Credential && c.Method == f.event.Method {
			s.key = &f.held[i]
		}
	}
	s.proof, s.proven, s.rebuilt = provenIn(f, s.key)
	if s.proven && f.user.Known() {
		q := f.question(s.proof)
		s.checks = once(policy.Explain(f.rules, q))
		s.changed = f.told.Judged && f.told.Policy != f.rules.Version
	}
	s.decide(f.event)
	s.journey = journeyOf(f)
	if s.verdict == refused || s.verdict == halfway {
		s.ways, s.would = f.ways()
	}
	return s
}

// once leaves out what the request asks when that is just what the app demands
// anyway: the door asks for it on the app's behalf.
func once(checks []policy.Check) []policy.Check {
	return slices.DeleteFunc(checks, func(c policy.Check) bool {
		return slices.ContainsFunc(checks, func(app policy.Check) bool { return app.Rule == "app."+c.Rule && app.Result == c.Result })
	})
}

// provenIn gives what was proven: from the record, which has it of every
// sign-in that did not finish, or from the credential.
func provenIn(f facts, key *method.Credential) (p idp.Proof, ok, rebuilt bool) {
	switch {
	case f.told.Judged:
		p = idp.Proof{
			Tenant: f.event.Tenant, User: f.event.User, Method: f.event.Method, Mode: f.told.Mode, Credential: f.event.Credential,
			Properties: f.told.Properties, Facts: f.told.Facts, Time: f.event.At,
		}
		return p, true, false
	case f.event.Activity == "signin.done" && key != nil:
		return proofBy(*key, f.event.At), true, true
	}
	return p, false, false
}

// proofBy is what an answer by the credential would prove.
func proofBy(c method.Credential, at time.Time) idp.Proof {
	return idp.Proof{
		Tenant: c.Tenant, User: c.User, Method: c.Method, Mode: c.Mode, Credential: c.ID, Device: c.Facts.Device,
		Properties: c.Properties, Facts: c.Facts, Time: at,
	}
}

// question is what policy was asked, with other proofs.
func (f facts) question(proofs ...idp.Proof) policy.Question {
	q := policy.Question{
		User: f.user, Groups: f.groups, Proofs: proofs, App: f.event.Client, Required: f.told.Required, ACR: f.told.ACR,
		MaxAge: f.told.MaxAge, Started: f.told.Started, Purpose: policy.SignIn, Usable: usable(f.held), Now: f.event.At,
	}
	switch {
	case f.event.Client == "":
		q.Purpose = policy.Account
	case f.told.Enlists, f.event.Rule == policy.RuleEnlist: // a success says it by its rule
		q.Purpose = policy.Enlist
	}
	if !f.told.Judged { // a success has nothing of this on record
		q.Required = f.demand
	}
	if f.told.Login {
		q.Since = f.told.Started
	}
	return q
}

func usable(held []method.Credential) (n int) {
	for _, c := range held {
		if c.Usable() {
			n++
		}
	}
	return n
}

// decide marks the rule that decided. The record has the last word: what it
// says is put in the place of what the rules of today would say.
func (s *story) decide(e audit.Event) {
	if e.Rule == "" || s.verdict == unproven {
		return
	}
	result := policy.Met
	if e.Outcome != audit.Success && e.Reason != "consent_needed" {
		result = policy.Refused
	}
	own := policy.Check{Rule: e.Rule, Result: result, Reason: e.Reason}
	for i, c := range s.checks {
		if c.Covers(e.Rule) || policy.Check.Covers(own, c.Rule) {
			s.checks[i], s.deciding = own, i
			return
		}
	}
	s.checks = append(s.checks, own)
	s.deciding = len(s.checks) - 1
}

// near is how far apart steps of one journey may be.
const nearby = 15 * time.Minute

// journeyOf gives the other records of the same journey, the oldest first: those
// with its flow, and what the person changed in between.
func journeyOf(f facts) []audit.Event {
	if f.told.Flow == "" {
		return nil
	}
	same := func(e audit.Event) bool { return signin.Tell(e).Flow == f.told.Flow }
	first, last := f.event.At, f.event.At
	for _, e := range f.near {
		if same(e) {
			first, last = earlier(first, e.At), later(last, e.At)
		}
	}
	var out []audit.Event
	for _, e := range f.near {
		between := e.Category == audit.Change && e.Actor == string(e.User) && e.At.After(first) && e.At.Before(last)
		if e.ID != f.event.ID && (same(e) || between) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b audit.Event) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// wouldDo is something that the person does not hold: a kind of passkey, a key
// model, or modes of other methods.
type wouldDo struct {
	kind  string // "any", "bound", "hardware"
	model string // AAGUID
	modes []idp.Mode
}

// ways says of everything that the person holds whether a proof by it would
// have let them in, and what else would. It is judged by the rules of today:
// that is what an administrator can act on.
func (f facts) ways() (out []wayIn, would []wouldDo) {
	if !f.user.Known() {
		return nil, nil
	}
	held := false
	for _, c := range f.held {
		w := wayIn{credential: c}
		switch {
		case c.Bootstrap && c.Disabled:
			continue // a pass that is used or over
		case c.Disabled:
			w.reason = "credential_disabled"
		case c.Orphaned:
			w.reason = "device_gone"
		default:
			w.opens, w.rule, w.reason = f.opens(proofBy(c, f.event.At))
		}
		held = held || w.opens && c.Method == policy.Passkey
		out = append(out, w)
	}
	slices.SortStableFunc(out, func(a, b wayIn) int { return opensFirst(b) - opensFirst(a) })
	if !held {
		would = f.otherKeys()
	}
	for _, combination := range policy.Decide(&f.rules, f.question()).Missing {
		if !slices.ContainsFunc(combination, func(m idp.Mode) bool {
			return m == idp.ModeFIDO2 || slices.ContainsFunc(f.held, func(c method.Credential) bool { return c.Mode == m })
		}) {
			would = append(would, wouldDo{modes: combination})
		}
	}
	return out, would
}

// mostModels is how many allowed models a page names.
const mostModels = 4

// otherKeys finds the passkeys that would have done: any, one that stays on a
// device, one that proves its model, or else the models that the rules list.
func (f facts) otherKeys() (out []wouldDo) {
	opens := func(made method.Credential) bool {
		p := proofBy(made, f.event.At)
		p.Tenant, p.User = f.user.Tenant, f.user.ID
		ok, _, _ := f.opens(p)
		return ok
	}
	for _, kind := range []string{"synced", "bound", "hardware"} {
		for _, k := range tryKeys {
			if k.word == kind && opens(k.made) {
				return []wouldDo{{kind: strings.Replace(kind, "synced", "any", 1)}}
			}
		}
	}
	for _, model := range f.listed() {
		made := tryKeys[0].made
		made.Facts.AAGUID = model
		if len(out) < mostModels && opens(made) {
			out = append(out, wouldDo{model: model})
		}
	}
	return out
}

// listed are the models that any rule names.
func (f facts) listed() []string {
	out := slices.Clone(f.rules.Passkey.AAGUIDs.List)
	for _, p := range f.rules.Passkey.Profiles {
		out = append(out, p.AAGUIDs.List...)
	}
	for _, s := range f.rules.Strengths {
		for _, c := range s.Configurations {
			out = append(out, c.AAGUIDs...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func opensFirst(w wayIn) int {
	if w.opens {
		return 1
	}
	return 0
}

// opens asks policy about one proof alone.
func (f facts) opens(p idp.Proof) (ok bool, rule, reason string) {
	d := policy.Decide(&f.rules, f.question(p))
	for _, r := range d.Refused { // as the corridor does: the key's own refusal is the answer
		return false, r.Rule, r.Reason
	}
	if d.Outcome == policy.Allow {
		return true, d.Rule, d.Reason
	}
	return false, d.Rule, d.Reason
}
