package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// After a sign-in that a gesture finished, people may be asked to register a
// method that they lack (entra-behaviours.md §1.3, §1.8). What may be put off
// is a step of its own, Nudge: the sign-in is done and recorded, the session
// is full, and the flow waits for an answer. What may not be put off is the
// step Register, with a session that serves nothing else until it is done, as
// for somebody who came by a pass. Flows that a session finishes silently,
// and messages of devices, are never held up.

// asking is what is known of a person who may be asked for a method.
type asking struct {
	c    *Corridor
	p    *policy.Policy
	w    policy.Who
	held []idp.MethodID // of which they have a credential that works
}

// nudge is what the person is to be asked to register; the zero Nudge for
// nothing.
func (c *Corridor) nudge(ctx context.Context, user idp.User) (policy.Nudge, error) {
	a := asking{c: c}
	var err error
	// Whose groups they are is asked only where somebody is asked at all.
	if a.p, _, err = c.policies.For(ctx, user.Tenant, idp.User{}); err != nil || !a.p.Nudges() {
		return policy.Nudge{}, err
	}
	if a.p, a.w, err = c.policies.For(ctx, user.Tenant, user); err != nil {
		return policy.Nudge{}, err
	}
	// What somebody holds and has put off can only make it less: whom no rule
	// asks at all, of them neither is read.
	if a.next(policy.Snoozed{}).Method == "" {
		return policy.Nudge{}, nil
	}
	if err := a.holds(ctx); err != nil {
		return policy.Nudge{}, err
	}
	snoozed, err := snoozedOf(ctx, c.db, user, a.p.Campaign.Method)
	if err != nil {
		return policy.Nudge{}, err
	}
	return a.next(snoozed), nil
}

// next asks the rules. Nobody is asked for what has no page here.
func (a *asking) next(snoozed policy.Snoozed) policy.Nudge {
	held := slices.Clone(a.held)
	for {
		n := a.p.Nudge(a.w, held, snoozed, a.c.now())
		if r, ok := a.c.find(n.Method); n.Method == "" || ok && r.registrar != nil && r.viewer != nil {
			return n
		}
		held = append(held, n.Method) // and look what comes after
	}
}

func (a *asking) holds(ctx context.Context) error {
	all, err := a.c.Credentials(ctx, a.w.User.Tenant, a.w.User.ID)
	for _, one := range all {
		if one.Usable() && !slices.Contains(a.held, one.Method) {
			a.held = append(a.held, one.Method)
		}
	}
	return err
}

// nudgeNow is nudge for somebody who could follow it at once: who would be
// refused for want of a fresh or stronger proof, or in a browser that is new
// (decisions 2.9), is not sent there. s is the session as it is or will be.
func (c *Corridor) nudgeNow(ctx context.Context, s session.Session, user idp.User, peer Peer) (policy.Nudge, error) {
	n, err := c.nudge(ctx, user)
	if err != nil || n.Method == "" {
		return policy.Nudge{}, err
	}
	if err := c.mayAdd(ctx, s, user, n.Method, peer); err != nil {
		if refusal(err) {
			return policy.Nudge{}, nil
		}
		return policy.Nudge{}, err
	}
	return n, nil
}

// afterwards decides whether a sign-in that is done asks for a method first.
func (c *Corridor) afterwards(ctx context.Context, t *try) error {
	s := session.Session{Tenant: t.user.Tenant, User: t.user.ID, Proofs: append(standing(t.flow, t.current), t.verdict.Proof)}
	if t.current != nil {
		s.ID = t.current.ID
	}
	s.ProofTime = t.verdict.Proof.Time
	n, err := c.nudgeNow(ctx, s, t.user, t.peer)
	switch {
	case err != nil:
		return fmt.Errorf("what to register: %w", err)
	case n.Forced:
		t.step = Register
		t.decision = mustRegister(t.decision, n)
	case n.Method != "":
		t.step, t.nudge = Nudge, n
	}
	return nil
}

// mustRegister is a decision that the person may go on once they have
// registered what a rule requires.
func mustRegister(d policy.Decision, n policy.Nudge) policy.Decision {
	d.Outcome = policy.MustRegister
	d.Refusal = policy.Refusal{
		Rule: n.Rule, Reason: "registration_required", Code: policy.CodeEnrol, Help: policy.Help{Methods: []idp.MethodID{n.Method}},
	}
	return d
}

// Later is the person's "not now" to a Nudge: it is counted, and the flow goes
// on with what comes next. When something else has come to be needed meanwhile,
// that step is returned and nothing is written. Two windows that say "not now"
// at once are one.
//
// Errors: idp.Denied "registration_required" for what may not be put off,
// idp.Expired when the flow has moved on.
func (c *Corridor) Later(ctx context.Context, f Flow, current session.Session, peer Peer) (Step, error) {
	step, err := c.Next(ctx, f, &current, peer)
	if err != nil || step.Kind != Nudge {
		return step, err
	}
	n := step.Nudge
	f.Asked = false
	if step, err = c.Next(ctx, f, &current, peer); err != nil {
		return Step{}, err
	}
	a := asking{c: c}
	user, err := c.directory.User(ctx, c.db, f.Tenant, current.User)
	if err == nil {
		a.p, a.w, err = c.policies.For(ctx, f.Tenant, user)
	}
	if err == nil {
		err = a.holds(ctx)
	}
	if err != nil {
		return Step{}, fmt.Errorf("who puts off: %w", err)
	}
	event := c.change(current, string(n.Method)+".later", n.Method, "", peer)
	event.Client, event.UserName, event.Rule = f.Client, user.Name, n.Rule
	if n.Forced {
		return Step{}, c.failed(ctx, event, forced(user, n))
	}
	err = c.commit(ctx, deed{event: event, effect: func(ctx context.Context, tx *sqldb.Tx) error {
		if err := c.putOff(ctx, tx, a, n.Method, current); err != nil {
			return err
		}
		if err := c.goOn(ctx, tx, f, &step); err != nil {
			return over(err)
		}
		return c.succeed(ctx, tx, event)
	}})
	if err != nil {
		return Step{}, err
	}
	return step, nil
}

// putOff counts a "not now", by what is on record in this transaction.
func (c *Corridor) putOff(ctx context.Context, tx *sqldb.Tx, a asking, m idp.MethodID, s session.Session) error {
	// Of several windows one comes after the other. The lock is the first
	// statement: who has read the person already would wait for each other.
	if err := c.directory.Lock(ctx, tx, s.Tenant, s.User); err != nil {
		return err
	}
	if err := c.enabled(ctx, tx, s.Tenant, s.User); err != nil {
		return err
	}
	user := a.w.User
	if alive, err := c.sessions.Alive(ctx, tx, s.Tenant, s.ID); err != nil || !alive {
		return cmp.Or(err, over(idp.Expiredf("session_over", "session %s", s.ID)))
	}
	snoozed, err := snoozedOf(ctx, tx, user, m)
	if err != nil {
		return err
	}
	switch again := a.next(snoozed); {
	case again.Forced:
		return forced(user, again) // another window has used the last time
	case again.Method == "":
		return nil // another window was faster
	}
	return snooze(ctx, tx, user, m, c.now())
}

func forced(user idp.User, n policy.Nudge) error {
	return idp.Deniedf("registration_required", "%s must register %s by %s", user.ID, n.Method, n.Rule).Coded(policy.CodeEnrol).Say(sayForced)
}

// goOn ends the flow when it is done, and else keeps that it was answered.
func (c *Corridor) goOn(ctx context.Context, tx *sqldb.Tx, f Flow, step *Step) (err error) {
	if step.Kind == Done || step.Kind == Deny {
		return drop(ctx, tx, f)
	}
	step.Flow, err = put(ctx, tx, f)
	step.Handle = step.Flow.handle
	return err
}

// RemoveUser forgets what somebody has put off, when they are removed.
func (c *Corridor) RemoveUser(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) error {
	_, err := tx.Exec(ctx, `delete from snooze where tenant_id = $1 and user_id = $2`, tenant, user)
	return err
}

// registered forgets how often somebody has put off what they have registered
// now: should they lose it, they are asked from the beginning.
func registered(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, m idp.MethodID) error {
	_, err := tx.Exec(ctx, `delete from snooze where tenant_id = $1 and user_id = $2 and method = $3`, tenant, user, m)
	if err != nil {
		return fmt.Errorf("forget what was put off: %w", err)
	}
	return nil
}

func snoozedOf(ctx context.Context, q sqldb.Querier, user idp.User, m idp.MethodID) (policy.Snoozed, error) {
	var s policy.Snoozed
	var last int64
	err := q.QueryRow(ctx, `select times, last_at from snooze where tenant_id = $1 and user_id = $2 and method = $3`,
		user.Tenant, user.ID, m).Scan(&s.Times, &last)
	if errors.Is(err, idp.NotFound) {
		return policy.Snoozed{}, nil
	}
	if err != nil {
		return s, fmt.Errorf("what %s has put off: %w", user.ID, err)
	}
	s.Last = time.UnixMilli(last).UTC()
	return s, nil
}

func snooze(ctx context.Context, tx *sqldb.Tx, user idp.User, m idp.MethodID, now time.Time) error {
	_, err := tx.Exec(ctx, `
		insert into snooze (tenant_id, user_id, method, times, last_at) values ($1, $2, $3, 1, $4)
		on conflict (tenant_id, user_id, method) do update set times = snooze.times + 1, last_at = $4`,
		user.Tenant, user.ID, m, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("put off: %w", err)
	}
	return nil
}

// MayAdd says what policy has against a person's registering a method by
// themselves: for pages, so that they offer nothing that would be refused.
func (c *Corridor) MayAdd(ctx context.Context, tenant idp.TenantID, user idp.UserID, m idp.MethodID) (policy.Refusal, error) {
	u, err := c.directory.User(ctx, c.db, tenant, user)
	if err != nil {
		return policy.Refusal{}, fmt.Errorf("who would add: %w", err)
	}
	ruling, err := c.judge(ctx, u, policy.Add, m, nil)
	return ruling.Refusal, err
}
