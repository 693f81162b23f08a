package signin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
)

// Next says what comes next in a flow; every page load asks. current is the
// session of this browser that the flow may stand on, or nil. Nothing is
// written. A flow that was never started is bound to the peer's browser and
// sealed on the way, unless it is done already.
func (c *Corridor) Next(ctx context.Context, f Flow, current *session.Session, peer Peer) (Step, error) {
	if f.Started.IsZero() {
		f.Started = c.now()
	}
	step, err := c.next(ctx, f, current, peer)
	if err != nil {
		return Step{}, err
	}
	if f.handle == "" && step.Kind != Done && step.Kind != Deny && peer.Browser != "" {
		f.Browser = BrowserDigest(peer.Browser)
		if f, err = c.start(ctx, f); err != nil {
			return Step{}, err
		}
	}
	// Whoever has what is needed by now, or may not have it, waits for nothing.
	if step.Kind == StepUp && f.Stored() && f.Waits(c.now()) {
		step.Kind = Wait
	}
	step.Flow, step.Handle = f, f.handle
	return step, nil
}

func (c *Corridor) next(ctx context.Context, f Flow, current *session.Session, peer Peer) (Step, error) {
	current = fitting(f, current)
	user, err := c.standingUser(ctx, f, current)
	if err != nil {
		return Step{}, err
	}
	if !user.Known() {
		current = nil
	}
	proofs := standing(f, current)
	if !user.Known() {
		proofs = nil
	}
	usable, err := c.newlyUsable(ctx, user, proofs, current)
	if err != nil {
		return Step{}, err
	}
	step := Step{}
	if step.Decision, err = c.ask(ctx, f, user, proofs, usable); err != nil {
		return Step{}, err
	}
	step.Kind = stepOf(step.Decision)
	if current == nil {
		// Only a session finishes a flow, or may register: proofs without
		// one are of a browser that has lost its cookie.
		if step.Kind != Deny {
			step.Kind = StepUp
		}
		return step, nil
	}
	step.Session = *current
	if step.Kind != Done {
		return step, nil
	}
	if current.Restricted || f.Enlists && OnPass(*current) {
		return c.nextRestricted(ctx, step, user, peer)
	}
	if f.Asked {
		if step.Nudge, err = c.nudge(ctx, user); err != nil {
			return Step{}, err
		}
		if step.Nudge.Method != "" {
			step.Kind = Nudge
			return step, nil
		}
	}
	if step.NewScopes, err = c.newScopes(ctx, f, user); err != nil {
		return Step{}, err
	}
	if len(step.NewScopes) > 0 {
		step.Kind = Consent
	}
	step.Recorded = f.Recorded && step.Kind == Done
	return step, nil
}

// nextRestricted is for a session that would do if it were a full one. It was
// opened to register what a rule requires, or by a pass: before those opened
// apps, or to register a device, of which each wants the pass anew. One more gesture opens a full one: of what was registered now.
func (c *Corridor) nextRestricted(ctx context.Context, step Step, user idp.User, peer Peer) (Step, error) {
	n, err := c.nudgeNow(ctx, step.Session, user, peer)
	if err != nil {
		return Step{}, err
	}
	step.Kind = StepUp
	if n.Forced {
		step.Kind, step.Decision = Register, mustRegister(step.Decision, n)
	}
	return step, nil
}

// fitting gives current, when the flow may stand on it.
func fitting(f Flow, current *session.Session) *session.Session {
	switch {
	case current == nil, current.Tenant != f.Tenant,
		f.User != "" && current.User != f.User,
		f.HintUser != "" && current.User != f.HintUser:
		return nil
	}
	return current
}

// standingUser is the person that the flow or the session knows, as they are
// now; the zero User for nobody, and for one who is gone.
func (c *Corridor) standingUser(ctx context.Context, f Flow, current *session.Session) (idp.User, error) {
	id := f.User
	if current != nil {
		id = current.User
	}
	if id == "" {
		return idp.User{}, nil
	}
	u, err := c.directory.User(ctx, c.db, f.Tenant, id)
	if errors.Is(err, idp.NotFound) {
		return idp.User{}, nil
	}
	if err != nil {
		return idp.User{}, fmt.Errorf("user of flow %s: %w", f.ID, err)
	}
	return u, nil
}

// standing gives the proofs at hand before a new one.
func standing(f Flow, current *session.Session) []idp.Proof {
	out := slices.Clone(f.Proofs)
	if current != nil {
		out = append(out, current.Proofs...)
	}
	return out
}

// bootstrap proofs come from what an administrator handed out. They let a
// person register, and are left behind as soon as there is another proof.
func bootstrap(p idp.Proof) bool {
	return p.Mode == idp.ModeAccessPassOnce || p.Mode == idp.ModeAccessPassMany
}

func lasts(p idp.Proof) bool { return !bootstrap(p) }

// lasting leaves bootstrap proofs out, unless there is nothing else.
func lasting(proofs []idp.Proof) []idp.Proof {
	if !slices.ContainsFunc(proofs, lasts) {
		return proofs
	}
	return slices.DeleteFunc(slices.Clone(proofs), bootstrap)
}

// newlyUsable counts the credentials that the person has registered since
// they came in by a pass. What they had before does not count: whoever is
// given a pass may have lost it. It is read only when it matters.
func (c *Corridor) newlyUsable(ctx context.Context, user idp.User, proofs []idp.Proof, current *session.Session) (int, error) {
	if !user.Known() || current == nil || !slices.ContainsFunc(proofs, bootstrap) {
		return 0, nil
	}
	all, err := c.Credentials(ctx, user.Tenant, user.ID)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, cred := range all {
		if cred.Usable() && !cred.Created.Before(current.Opened.Truncate(time.Millisecond)) {
			n++
		}
	}
	return n, nil
}

// ask puts the flow's question to policy.
func (c *Corridor) ask(ctx context.Context, f Flow, user idp.User, proofs []idp.Proof, usable int) (policy.Decision, error) {
	p, w, err := c.policies.For(ctx, f.Tenant, user)
	if err != nil {
		return policy.Decision{}, err
	}
	q := policy.Question{
		User: user, Groups: w.Groups, Proofs: c.policies.Present(proofs), App: f.Client, Required: f.Required,
		ACR: f.ACR, MaxAge: maxAge(f.MaxAge), Started: f.Started,
		Purpose: policy.SignIn, Usable: usable, Now: c.now(),
	}
	switch {
	case f.Client == "":
		q.Purpose = policy.Account
	case f.Enlists:
		q.Purpose = policy.Enlist
	}
	if slices.Contains(f.Prompt, "login") {
		q.Since = f.Started
	}
	return policy.Decide(p, q), nil
}

func maxAge(seconds *int64) time.Duration {
	if seconds == nil || *seconds < 0 {
		return -1
	}
	// No session is older than a year; more would overflow.
	return time.Duration(min(*seconds, 366*24*60*60)) * time.Second
}

func stepOf(d policy.Decision) StepKind {
	switch d.Outcome {
	case policy.Allow:
		return Done
	case policy.StepUp:
		return StepUp
	case policy.MustRegister:
		return Register
	}
	return Deny
}
