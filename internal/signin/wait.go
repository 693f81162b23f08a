package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
)

// Waiting is what a flow waits for that was asked by another road.
type Waiting struct {
	Method   idp.MethodID    `json:"method"`
	Ceremony string          `json:"ceremony"` // sealed, as of Begun
	Show     json.RawMessage `json:"show"`     // for the page
	Expires  time.Time       `json:"expires"`
	UserName string          `json:"userName,omitempty"` // as typed; whether there is such a person nobody says
}

// waitingKept is how long the row of a flow in which nothing is proven stays
// when its wait is over: for who asks for a new number. A stranger can make
// such rows, so they do not live as long as a flow may (ADR 0022).
const waitingKept = 15 * time.Minute

// Waits says whether the flow waits for an answer that may still come.
func (f Flow) Waits(now time.Time) bool {
	return f.Waiting != nil && now.Before(f.Waiting.Expires)
}

// asked says that a method is begun by Ask.
func (r room) asked() bool { return r.waiter != nil || r.away }

// Ask asks for an answer by another road: what a method.Waiter makes of it is
// written in one transaction with the flow, which is stored from now on and
// waits. Of a method.Away it is the flow alone, so that the browser can find
// back to it. It is the one thing that somebody unproven may have written (ADR
// 0022), and the same is written whether such a person exists or not. userName
// is what was typed; of a flow that knows its person already it is left alone.
// Of the scene the corridor fills in all but Knows.
//
// To ask again in a flow is to ask anew: the first is not waited for any more.
// Of two at once one is asked, and both wait for its answer. Errors: idp.Denied for a method that is
// off, idp.Expired when the flow has moved on, and what the room refuses.
func (c *Corridor) Ask(ctx context.Context, f Flow, m idp.MethodID, userName string, scene method.Scene, peer Peer) (Step, error) {
	r, user, err := c.mayBegin(ctx, f, m)
	if err != nil {
		return Step{}, err
	}
	if !r.asked() {
		return Step{}, idp.Invalidf("method_does_not_wait", "%s answers on the page", m)
	}
	if f, err = c.latest(ctx, f); err != nil {
		return Step{}, err
	}
	if len(userName) > maxUserName {
		userName = ""
	}
	scene.Client, scene.App = f.Client, f.ClientName
	scene.IP, scene.Agent, scene.Browser = peer.IP, peer.Agent, f.Browser
	ch, err := r.Challenge(ctx, method.Request{Tenant: f.Tenant, User: user, UserName: userName, Scene: scene, Now: c.now()})
	if err != nil {
		return Step{}, fmt.Errorf("challenge of %s: %w", m, err)
	}
	b, err := c.sealCeremony(ctx, f.Tenant, signInPurpose, ch, ceremony{Flow: f.ID, Method: m, User: user.ID})
	if err != nil {
		return Step{}, err
	}
	back := c.takeBackFrom(ctx, f, m)
	f.Waiting = &Waiting{Method: m, Ceremony: b.Ceremony, Show: b.Show, Expires: b.Expires, UserName: userName}
	stored := f
	err = c.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if stored, err = put(ctx, tx, c.shortly(f)); err != nil {
			return over(err)
		}
		if err := back(ctx, tx); err != nil || ch.Settle == nil {
			return err
		}
		return ch.Settle(ctx, tx)
	})
	if errors.Is(err, idp.Expired) {
		if other, lerr := loadFlow(ctx, c.db, f.Tenant, f.ID); lerr == nil && other.Waits(c.now()) && other.Waiting.Method == m {
			stored, err = other, nil
		}
	}
	if err != nil {
		return Step{}, fmt.Errorf("ask by %s: %w", m, err)
	}
	return Step{Kind: Wait, Flow: stored, Handle: stored.handle}, nil
}

// latest is the flow as it is stored, when what came in is the sealed value
// from before that: somebody went back a page. Nothing has to be read for it
// but the row, which is of the same browser: its id was never anybody else's.
func (c *Corridor) latest(ctx context.Context, f Flow) (Flow, error) {
	if f.Stored() {
		return f, nil
	}
	stored, err := loadFlow(ctx, c.db, f.Tenant, f.ID)
	if errors.Is(err, idp.Expired) {
		return f, nil
	}
	return stored, err
}

// shortly gives the row of a flow in which nothing is proven a life of its own.
func (c *Corridor) shortly(f Flow) Flow {
	f.until = time.Time{}
	if f.User != "" {
		return f
	}
	from := c.now()
	if f.Waiting != nil {
		from = f.Waiting.Expires
	}
	if until := from.Add(waitingKept); until.Before(f.Expires) {
		f.until = until
	}
	return f
}

// Watch says whether the answer that the flow waits for has come, and when to
// look again: changed is closed when it may have. stop gives it back, and is
// never nil without an error. Nothing is written. A wait that is over, or that
// nobody waits for any more, is idp.Expired; a method that was switched off
// meanwhile idp.Denied.
func (c *Corridor) Watch(ctx context.Context, f Flow) (ready bool, changed <-chan struct{}, stop func(), err error) {
	r, a, err := c.waited(ctx, f)
	if err != nil {
		return false, nil, nil, err
	}
	// The channel first: what comes between the two is not missed.
	changed, stop = r.waiter.Changed(a)
	if ready, err = r.waiter.Ready(ctx, a); err != nil {
		stop()
		return false, nil, nil, fmt.Errorf("ask whether %s is ready: %w", r.ID(), err)
	}
	return ready, changed, stop, nil
}

// AskAgain tells the other road once more, for somebody to whom nothing has
// come. Errors are those of Watch, and idp.Limited when it was told often
// enough.
func (c *Corridor) AskAgain(ctx context.Context, f Flow) error {
	r, a, err := c.waited(ctx, f)
	if err != nil {
		return err
	}
	settle, err := r.waiter.Again(ctx, a)
	if err != nil {
		return fmt.Errorf("ask again by %s: %w", r.ID(), err)
	}
	if settle == nil {
		return nil
	}
	return c.db.Write(ctx, settle)
}

// waited finds the room that a flow waits for, and what to ask it.
func (c *Corridor) waited(ctx context.Context, f Flow) (room, method.Answer, error) {
	if !f.Waits(c.now()) {
		return room{}, method.Answer{}, over(idp.Expiredf("wait_over", "flow %s waits for nothing", f.ID))
	}
	t := try{flow: f}
	if err := c.take(ctx, &t, f.Waiting.Method, f.Waiting.Ceremony, nil); err != nil {
		return room{}, method.Answer{}, err
	}
	if t.room.waiter == nil {
		return room{}, method.Answer{}, idp.Invalidf("method_does_not_wait", "%s answers on the page", t.room.ID())
	}
	return t.room, t.answer, nil
}

// Withdraw ends what the flow waits for, for somebody who would rather prove
// themselves in another way or not at all: what was asked is taken back, by
// rooms that can. A flow that waits for nothing is left as it is.
func (c *Corridor) Withdraw(ctx context.Context, f Flow) (Flow, error) {
	if f.Waiting == nil {
		return f, nil
	}
	back := c.takeBack(ctx, f)
	f.Waiting = nil
	stored := f
	err := c.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if stored, err = put(ctx, tx, c.shortly(f)); err != nil {
			return over(err)
		}
		return back(ctx, tx)
	})
	if err != nil {
		return f, fmt.Errorf("withdraw: %w", err)
	}
	return stored, nil
}

// takeBack is how the room that a flow waits for writes that nobody waits any
// more. A wait that is over needs none of it.
func (c *Corridor) takeBack(ctx context.Context, f Flow) method.Settle {
	if f.Waits(c.now()) {
		r, a, err := c.waited(ctx, f)
		if err == nil && r.withdrawer != nil {
			return r.withdrawer.Withdraw(a)
		}
	}
	return func(context.Context, *sqldb.Tx) error { return nil }
}

// takeBackFrom is takeBack for somebody who now asks by m: a method that is asked
// once more sees to what it asked before by itself.
func (c *Corridor) takeBackFrom(ctx context.Context, f Flow, m idp.MethodID) method.Settle {
	if f.Waiting == nil || f.Waiting.Method == m {
		return func(context.Context, *sqldb.Tx) error { return nil }
	}
	return c.takeBack(ctx, f)
}

// unwait is what a refused answer does to a flow that waits: it waits no more,
// so that its page, loaded again, offers every way in. An answer to an earlier
// question than the one that is waited for says nothing about that.
func (c *Corridor) unwait(ctx context.Context, tx *sqldb.Tx, t try, back method.Settle) error {
	w := t.flow.Waiting
	if w == nil || t.room.asked() && t.value != w.Ceremony {
		return nil
	}
	t.flow.Waiting = nil
	if _, err := put(ctx, tx, c.shortly(t.flow)); err != nil {
		if errors.Is(err, idp.Expired) {
			return nil // it has moved on, and what it waits for now is another thing
		}
		return err
	}
	return back(ctx, tx)
}

// begins runs what a challenge of a registration writes before its ceremony is
// sealed.
func (c *Corridor) begins(ctx context.Context, ch method.Challenge) error {
	if ch.Settle == nil {
		return nil
	}
	return c.db.Write(ctx, ch.Settle)
}
