package signin

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// maxAnswer bounds what a room is asked to read.
const maxAnswer = 64 << 10

// try is one answer on its way.
type try struct {
	flow    Flow
	peer    Peer
	current *session.Session // of the same person, or nil
	room    room
	sealed  nonce.Sealed
	value   string // of the ceremony, as it came
	answer  method.Answer
	verdict method.Verdict
	proved  bool // the room has found the answer good, or genuine at least
	failed  error
	count   method.Settle // of a failure that the room found
	// ends says that the failure ends the flow (decisions 2.4).
	ends     bool
	user     idp.User
	decision policy.Decision
	step     StepKind
	scopes   []string     // to be allowed
	paged    bool         // a person is at a page, and may be asked something
	nudge    policy.Nudge // what to register, when that is the step
}

// Answer takes what came back for a ceremony of m. It verifies and decides without
// a transaction and then settles everything in one that always commits: an
// answer works once, and a wrong one burns the ceremony too. A ceremony of
// another method than m is not judged: what a door counts or asks for by the
// method, it has counted and asked for.
//
// Errors: idp.Expired for a ceremony that is spent, late or unreadable;
// idp.Unproven with one number and sentence for everything that does not
// verify; idp.Denied for what is proven and refused all the same. Beside them
// the Step has Detail and Decision, as far as there are any, and nothing else. A
// wait for another road is no error but a Step of kind Wait.
func (c *Corridor) Answer(ctx context.Context, f Flow, m idp.MethodID, value string, payload []byte, current *session.Session, peer Peer) (Step, error) {
	t := try{flow: f, peer: peer, paged: true}
	event := c.event(f, peer)
	if err := c.take(ctx, &t, m, value, payload); err != nil {
		return Step{}, c.failed(ctx, event, err)
	}
	event.Method = t.room.ID()
	if t.room.waiter != nil {
		ready, err := t.room.waiter.Ready(ctx, t.answer)
		if err != nil {
			return Step{}, fmt.Errorf("ask whether %s is ready: %w", t.room.ID(), err)
		}
		if !ready {
			return Step{Kind: Wait, Flow: f, Handle: f.handle}, nil
		}
	}
	if err := c.verify(ctx, &t, current); err != nil {
		return Step{}, err
	}
	name(&event, t)
	switch {
	case t.step != Done:
		tell(&event, t)
	case t.flow.Stored(): // it took more than one step, and they belong together
		event.Detail = maps.Clone(event.Detail)
		if event.Detail == nil {
			event.Detail = make(map[string]string, 1)
		}
		event.Detail[DetailFlow] = string(t.flow.ID)
	}
	// Whatever came by any road, nobody waits for the other one any more.
	back := c.takeBack(ctx, t.flow)
	var step Step
	err := c.commit(ctx, deed{
		burn:   []nonce.Sealed{t.sealed},
		failed: t.failed,
		count:  t.count,
		effect: func(ctx context.Context, tx *sqldb.Tx) (err error) {
			if step, err = c.settle(ctx, tx, t, event); err != nil || t.room.waiter != nil {
				return err
			}
			return back(ctx, tx)
		},
		undone: func(ctx context.Context, tx *sqldb.Tx) error {
			if !t.ends {
				return c.unwait(ctx, tx, t, back)
			}
			// One that has moved on meanwhile is somebody's who proved more.
			if err := drop(ctx, tx, t.flow); !errors.Is(err, idp.Expired) {
				return err
			}
			return nil
		},
		event:     event,
		anonymous: !t.proved,
	})
	if err != nil {
		return Step{Detail: t.verdict.Detail, Decision: t.decision}, err
	}
	step.Detail = t.verdict.Detail
	return step, nil
}

// take opens the ceremony and finds out what it was for. Nothing that fails
// here burns: it is not, or not any more, ours to burn.
func (c *Corridor) take(ctx context.Context, t *try, m idp.MethodID, value string, payload []byte) error {
	sealed, cer, err := c.openCeremony(ctx, t.flow.Tenant, signInPurpose, value)
	if err != nil {
		return err
	}
	if cer.Flow != t.flow.ID {
		return idp.Unprovenf("other_flow", "ceremony of flow %s", cer.Flow).Coded(codeUnproven).Say(sayUnproven)
	}
	if cer.Method != m {
		return idp.Unprovenf("other_method", "ceremony of %s answered as %.40q", cer.Method, m).Coded(codeUnproven).Say(sayUnproven)
	}
	if t.room, err = c.room(ctx, t.flow.Tenant, m); err != nil {
		return err
	}
	if len(payload) > maxAnswer {
		return idp.Unprovenf("answer_size", "answer of %d bytes", len(payload)).Coded(codeUnproven).Say(sayUnproven)
	}
	t.sealed, t.value = sealed, value
	t.answer = method.Answer{Tenant: t.flow.Tenant, Keep: cer.Keep, Payload: payload, Now: c.now()}
	if cer.User != "" {
		if t.answer.User, err = c.directory.User(ctx, c.db, t.flow.Tenant, cer.User); err != nil {
			return fmt.Errorf("user of ceremony: %w", err)
		}
	}
	return nil
}

// verify asks the room, holds the proof against the flow and asks policy. What
// is refused goes into t.failed; an error is a trouble of our own.
func (c *Corridor) verify(ctx context.Context, t *try, current *session.Session) error {
	v, err := t.room.Verify(ctx, t.answer)
	v.Detail = bounded(t.room.ID(), v.Detail)
	t.verdict = v
	t.proved = err == nil || v.Genuine
	if err != nil {
		t.count = v.Settle
	} else {
		err = t.fits()
	}
	if err == nil {
		err = c.decide(ctx, t, current)
	}
	if err != nil && !refusal(err) {
		return fmt.Errorf("verify %s: %w", t.room.ID(), err)
	}
	if err != nil {
		t.failed = unproven(err)
	}
	return nil
}

// fits holds a good proof against what the flow and its ceremony know already
// (decisions 2.4).
func (t *try) fits() error {
	p := &t.verdict.Proof
	if p.Method != t.room.ID() || p.User == "" || p.Time.IsZero() || p.Time.After(t.answer.Now) {
		return fmt.Errorf("room %s gave a proof of %q by %q at %s", t.room.ID(), p.User, p.Method, p.Time)
	}
	other := p.Tenant != t.flow.Tenant ||
		t.flow.User != "" && p.User != t.flow.User ||
		t.answer.User.Known() && p.User != t.answer.User.ID ||
		// A key that any device may use says nothing of one.
		t.answer.Device != "" && p.Device != "" && p.Device != t.answer.Device
	if other {
		t.ends = true
		return idp.Deniedf("proof_of_other", "flow %s is of user %q, the proof of %q in %q", t.flow.ID, t.flow.User, p.User, p.Tenant).
			Coded(codeUnproven).Say(sayOther)
	}
	// The app named a person; somebody else has proven themselves. That is
	// no attack on the flow, and the right person may still come.
	if t.flow.HintUser != "" && p.User != t.flow.HintUser {
		return idp.Deniedf("other_than_hinted", "flow %s is meant for %s", t.flow.ID, t.flow.HintUser).
			Coded(codeUnproven).Say(sayHint)
	}
	return nil
}

// decide asks policy about the new proof together with those of the flow and
// of the session that the same person has in this browser.
func (c *Corridor) decide(ctx context.Context, t *try, current *session.Session) error {
	user, err := c.directory.User(ctx, c.db, t.flow.Tenant, t.verdict.Proof.User)
	if err != nil {
		return fmt.Errorf("user of proof: %w", err)
	}
	t.user = user
	if current != nil && current.Tenant == user.Tenant && current.User == user.ID {
		t.current = current
	}
	proofs := append(standing(t.flow, t.current), t.verdict.Proof)
	t.decision, err = c.ask(ctx, t.flow, user, proofs, 0)
	if err != nil {
		return err
	}
	for _, r := range t.decision.Refused {
		// The person may still come by another key: no end of the flow.
		if p := t.verdict.Proof; r.Method == p.Method && r.Credential == p.Credential {
			t.decision.Refusal = r.Refusal
			return refusedKey(r.Refusal)
		}
	}
	t.step = stepOf(t.decision)
	if t.step == Done {
		if t.scopes, err = c.newScopes(ctx, t.flow, user); err != nil {
			return err
		}
		if len(t.scopes) > 0 {
			t.step = Consent
		}
		if t.paged && !(t.flow.Enlists && bootstrap(t.verdict.Proof)) {
			return c.afterwards(ctx, t)
		}
	}
	return nil
}

// name puts into the record what is known of a try. An answer that does not
// verify says whose credential was tried, and not who did it; a person who was
// proven before stays the one that the record is about.
func name(e *audit.Event, t try) {
	p := t.verdict.Proof
	if p.User != "" && p.Tenant == e.Tenant {
		e.Credential = p.Credential
		if t.proved {
			e.Actor = string(p.User)
		}
		if t.proved || e.User == "" {
			e.User = p.User
		}
	}
	if t.user.Known() {
		e.UserName = t.user.Name
	}
	e.Rule = t.decision.Rule
	if len(t.verdict.Detail) > 0 {
		own := e.Detail
		e.Detail = maps.Clone(t.verdict.Detail)
		maps.Copy(e.Detail, own)
	}
	for _, w := range t.decision.Would {
		wouldRefuse(e, w.Refusal)
	}
}

// wouldRefuse records what a restriction on trial would have refused.
func wouldRefuse(e *audit.Event, r policy.Refusal) {
	if r.Allowed() {
		return
	}
	e.Detail = maps.Clone(e.Detail)
	if e.Detail == nil {
		e.Detail = make(map[string]string)
	}
	e.Detail["wouldRefuse"], e.Detail["wouldReason"] = r.Rule, r.Reason
}
