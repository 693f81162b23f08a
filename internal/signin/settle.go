package signin

import (
	"context"
	"errors"
	"slices"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// settle is the effect of a good answer: what the room settles, the session or
// the flow's row, and the record. It may run twice.
func (c *Corridor) settle(ctx context.Context, tx *sqldb.Tx, t try, event audit.Event) (Step, error) {
	if t.step != Deny {
		if err := c.enabled(ctx, tx, t.flow.Tenant, t.user.ID); err != nil {
			return Step{}, err
		}
	}
	if t.verdict.Settle != nil {
		if err := t.verdict.Settle(ctx, tx); err != nil {
			return Step{}, unproven(err)
		}
	}
	// Whoever is asked to register something has signed in, unless consent is
	// still to come.
	done := t.step == Done || t.step == Nudge && len(t.scopes) == 0
	t.flow.Asked, t.flow.Recorded, t.flow.Waiting = t.step == Nudge, done, nil
	step := Step{Kind: t.step, Flow: t.flow, Decision: t.decision, NewScopes: t.scopes, Nudge: t.nudge, Recorded: t.step == Done}
	if err := c.openSession(ctx, tx, t, []idp.Proof{t.verdict.Proof}, &step); err != nil {
		return Step{}, over(err)
	}
	if step.Session.ID != "" {
		t.flow = t.flow.burnt()
		step.Flow = t.flow
	}
	if err := c.moveOn(ctx, tx, t, &step); err != nil {
		return Step{}, over(err)
	}
	event.Session = step.Session.ID
	event.Rule, event.Reason, event.Code = t.decision.Rule, t.decision.Reason, t.decision.Code
	switch {
	case done:
		event.Activity, event.Outcome = "signin.done", audit.Success
	case t.step == Deny:
		event.Activity, event.Outcome = "signin.refused", audit.Failure
	case t.step == Consent, t.step == Nudge:
		event.Activity, event.Outcome, event.Reason = "signin.interrupted", audit.Interrupted, "consent_needed"
	default:
		event.Activity, event.Outcome = "signin.interrupted", audit.Interrupted
	}
	return step, c.audit.Write(ctx, tx, event)
}

// maxAgent is how much of a User-Agent a session keeps, in characters; what is
// no text in it is kept as escapes.
const maxAgent = 256

// openSession opens, renews or leaves alone the session, with the proofs that
// are new. A step-up adds to the session that the same person has here; whoever
// came in by a pass leaves that session behind when the full one opens. Whoever
// must register something first leaves a full one behind, too, or could go on
// without. A session that is to stand on a PRT, or to belong to a device, is
// never one that did not.
func (c *Corridor) openSession(ctx context.Context, tx *sqldb.Tx, t try, add []idp.Proof, step *Step) (err error) {
	if t.step != Done && t.step != Consent && t.step != Register && t.step != Nudge {
		return nil
	}
	s := session.Session{
		Tenant: t.flow.Tenant, User: t.user.ID, Restricted: t.step == Register, Expires: t.verdict.Until,
		Agent: audit.Clean(t.peer.Agent, maxAgent), IP: t.peer.IP, Browser: BrowserDigest(t.peer.Browser),
		Proofs: append(standing(t.flow, nil), add...),
	}
	if t.flow.Enlists && !slices.ContainsFunc(s.Proofs, lasts) {
		s.Restricted = true // the door gets its code; the session opens nothing
	}
	if !s.Restricted {
		s.Proofs = lasting(s.Proofs)
	}
	if on := t.flow.Standing; on.fits(t.user.ID) {
		if err := on.burn(ctx, tx); err != nil {
			return err
		}
		s.PRT, s.Device = on.PRT, on.Device
		if !on.Ends.IsZero() && (s.Expires.IsZero() || on.Ends.Before(s.Expires)) {
			s.Expires = on.Ends
		}
	}
	cur := t.current
	if cur != nil {
		step.Replaces = cur.Bearer()
	}
	// What ends with a pass is a session of its own, or the pass would cut
	// short, or live on in, the one that was there before or comes after.
	same := cur != nil && (s.Device == "" || cur.PRT == s.PRT && cur.Device == s.Device)
	if same && !cur.Restricted && !s.Restricted && t.verdict.Until.IsZero() && !slices.ContainsFunc(cur.Proofs, bootstrap) {
		renewed := *cur
		renewed.Agent, renewed.IP, renewed.Browser = s.Agent, s.IP, s.Browser
		step.Session, step.Bearer, err = c.sessions.Renew(ctx, tx, renewed, s.Proofs)
		return err
	}
	if cur != nil {
		if (!s.Restricted || lasts(add[len(add)-1])) && t.verdict.Until.IsZero() {
			s.Proofs = lasting(slices.Concat(cur.Proofs, s.Proofs))
		}
		if err := c.sessions.End(ctx, tx, cur.Tenant, cur.ID); err != nil && !errors.Is(err, idp.NotFound) {
			return err
		}
	}
	step.Session, step.Bearer, err = c.sessions.Open(ctx, tx, s)
	return err
}

// maxProofs bounds what a flow remembers.
const maxProofs = 8

// moveOn stores the flow when it is not finished, and ends it when it is.
func (c *Corridor) moveOn(ctx context.Context, tx *sqldb.Tx, t try, step *Step) (err error) {
	if t.step == Done || t.step == Deny {
		return drop(ctx, tx, t.flow)
	}
	f := t.flow
	f.User = t.user.ID
	f.Proofs = append(standing(t.flow, nil), t.verdict.Proof)
	f.Proofs = f.Proofs[max(0, len(f.Proofs)-maxProofs):]
	step.Flow, err = put(ctx, tx, f)
	step.Handle = step.Flow.handle
	return err
}
