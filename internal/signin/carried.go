package signin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// CarriedRequest is a message of a device that brings no new gesture: its
// proofs were made before, and a primary refresh token or a refresh token
// carries them. The door has verified both.
type CarriedRequest struct {
	Tenant idp.TenantID
	User   idp.User    // as they are now
	Proofs []idp.Proof // that the message stands on
	Nonces []nonce.Sealed
	// Failed is what the door found wrong after the signature was good: the
	// nonces are burnt, the failure is recorded, and nothing else happens. It
	// is told as it is.
	Failed error
	// Undone, when not nil, writes what must go because the message was
	// refused: the token that somebody else must have copied.
	Undone func(context.Context, *sqldb.Tx) error

	Client   idp.ClientID // who is to have what comes of it
	Required string       // the strength that its administrator demands
	ACR      []string
	// NotBefore is the oldest gesture that will do (decisions 3.4); the zero
	// time: any.
	NotBefore time.Time

	Activity string // of the record: "prt.issue", in the book of tokens
	// Quiet records failures only: what happens every few minutes on every
	// desk.
	Quiet  bool
	Device idp.DeviceID
	PRT    idp.SessionID // for the record
	Peer   Peer
	// Record adds to the record of a success what Ready has made; it may be nil.
	Record func(*audit.Event)
	// Cached says that the person as given is enough. Otherwise the row is read
	// once more in the transaction. What is given out on the strength of the
	// cache is refused again, two seconds later, wherever it is used.
	Cached bool
	// Ready makes what Settle is going to write, when policy agrees and before
	// the transaction begins; it may be nil, as may Settle, which may run twice.
	Ready  func(context.Context, policy.Decision) error
	Settle func(context.Context, *sqldb.Tx) error
}

// Carried is the corridor for a message that brings proofs made before: policy
// is asked again (security.md POL01), then one transaction, which always
// commits, burns all nonces of the message as one set, makes sure of the person
// and settles, or records the failure (decisions 1.1, 1.3, 1.4).
//
// Errors: idp.Expired when a nonce was spent or is not good here; idp.Denied
// with the Decision when policy refuses; Failed, or what Settle returns.
func (c *Corridor) Carried(ctx context.Context, r CarriedRequest) (policy.Decision, error) {
	event := c.carriedEvent(r)
	if err := fresh(r.Tenant, r.Nonces, c.now()); err != nil {
		return policy.Decision{}, c.failed(ctx, event, err)
	}
	var decision policy.Decision
	failed := r.Failed
	if failed == nil {
		var err error
		if decision, err = c.judgeCarried(ctx, r); err != nil {
			return decision, err
		}
		event.Rule = decision.Rule
		if decision.Outcome != policy.Allow {
			failed = refusedBy(decision)
		}
	}
	if failed == nil && r.Ready != nil {
		if failed = r.Ready(ctx, decision); failed != nil && !refusal(failed) {
			return decision, failed
		}
	}
	return decision, c.commit(ctx, deed{
		burn: set(r.Nonces), failed: failed, undone: r.Undone, event: event,
		effect: func(ctx context.Context, tx *sqldb.Tx) error { return c.settleCarried(ctx, tx, r, event) },
	})
}

func (c *Corridor) carriedEvent(r CarriedRequest) audit.Event {
	e := c.event(Flow{Tenant: r.Tenant, User: r.User.ID, Client: r.Client}, r.Peer)
	e.Category = audit.Token
	e.UserName, e.Activity, e.Session = r.User.Name, r.Activity, r.PRT
	if r.Device != "" {
		e.Detail = map[string]string{DetailDevice: string(r.Device)}
	}
	if n := len(r.Proofs); n > 0 {
		e.Method, e.Credential = r.Proofs[n-1].Method, r.Proofs[n-1].Credential
	}
	return e
}

// DetailDevice names in the Detail of a record the machine that a message came
// from.
const DetailDevice = "device"

func (c *Corridor) judgeCarried(ctx context.Context, r CarriedRequest) (policy.Decision, error) {
	p, w, err := c.policies.For(ctx, r.Tenant, r.User)
	if err != nil {
		return policy.Decision{}, err
	}
	q := policy.Question{
		User: r.User, Groups: w.Groups, Proofs: c.policies.Present(r.Proofs), App: r.Client, Required: r.Required,
		ACR: r.ACR, MaxAge: -1, Since: r.NotBefore, Purpose: policy.SignIn, Now: c.now(),
	}
	return policy.Decide(p, q), nil
}

func (c *Corridor) settleCarried(ctx context.Context, tx *sqldb.Tx, r CarriedRequest, event audit.Event) error {
	if !r.Cached {
		if err := c.enabled(ctx, tx, r.Tenant, r.User.ID); err != nil {
			return err
		}
	}
	if r.Settle != nil {
		if err := r.Settle(ctx, tx); err != nil {
			return err
		}
	}
	if r.Quiet {
		return nil
	}
	event.Outcome = audit.Success
	if r.Record != nil {
		r.Record(&event)
	}
	return c.audit.Write(ctx, tx, event)
}

// Standing is what a flow was entered with and a session that comes of it will
// stand on: a primary refresh token of a person, and the device that holds it.
// Without a PRT it says only which device this is.
type Standing struct {
	User   idp.UserID    `json:"u,omitempty"`
	PRT    idp.SessionID `json:"p,omitempty"`
	Device idp.DeviceID  `json:"d"`
	Ends   time.Time     `json:"e,omitzero"` // of the PRT
	// Nonces are those of the request, while nothing was granted for them: the
	// session that takes the standing burns them.
	Nonces []nonce.Sealed `json:"n,omitempty"`
}

// burn spends the nonces of a standing that a session takes.
func (s *Standing) burn(ctx context.Context, tx *sqldb.Tx) error {
	for _, n := range set(s.Nonces) {
		if err := nonce.Burn(ctx, tx, n); err != nil {
			return err
		}
	}
	return nil
}

// burnt is the flow after a session has taken what it was entered with.
func (f Flow) burnt() Flow {
	if f.Standing != nil {
		on := *f.Standing
		on.Nonces = nil
		f.Standing = &on
	}
	return f
}

// fits says whether the standing may pass to a session of the person.
func (s *Standing) fits(u idp.UserID) bool {
	return s != nil && (s.User == "" || s.User == u)
}

// Brought is what a device's browser brings along to a flow: a standing, the
// proofs behind it, and the nonces of the request. The door has verified it.
type Brought struct {
	Standing
	Proofs []idp.Proof // none: the device alone
	Nonces []nonce.Sealed
}

// Bring is Next for a flow that is entered with carried proofs. When nothing is
// missing, or only consent, it burns the nonces and opens a session that stands
// on the PRT; one of this browser that does so already goes on. An interrupt
// that grants nothing burns nothing (decisions 1.3): the flow remembers what it
// was entered with, and a session that the person opens in it belongs to the
// device, too.
//
// Carried proofs count for what their gestures were: prompt=login, max_age and
// fresh proofs read the time of those (decisions 2.5).
func (c *Corridor) Bring(ctx context.Context, f Flow, current *session.Session, b Brought, peer Peer) (Step, error) {
	if err := fresh(f.Tenant, b.Nonces, c.now()); err != nil {
		return Step{}, err
	}
	on := b.Standing
	on.Nonces = b.Nonces
	f.Started, f.Standing = c.now(), &on
	if b.PRT == "" || f.HintUser != "" && f.HintUser != b.User {
		return c.Next(ctx, f, current, peer)
	}
	own := current
	if own != nil && own.User != b.User {
		own = nil
	}
	user, err := c.directory.User(ctx, c.db, f.Tenant, b.User)
	if err != nil {
		return Step{}, fmt.Errorf("user of PRT %s: %w", b.PRT, err)
	}
	t := try{flow: f, peer: peer, current: own, user: user}
	if t.decision, err = c.ask(ctx, f, user, append(standing(f, own), b.Proofs...), 0); err != nil {
		return Step{}, err
	}
	if t.step = stepOf(t.decision); t.step != Done || own != nil && own.Restricted {
		return c.Next(ctx, f, current, peer)
	}
	if t.scopes, err = c.newScopes(ctx, f, user); err != nil {
		return Step{}, err
	}
	t.flow = f.burnt() // enter does
	if len(t.scopes) > 0 {
		t.step = Consent
		if t.flow, err = c.started(ctx, t.flow, peer); err != nil {
			return Step{}, err
		}
	}
	return c.enter(ctx, t, b)
}

// started gives the flow sealed and bound to the peer's browser, as Next does.
func (c *Corridor) started(ctx context.Context, f Flow, peer Peer) (Flow, error) {
	if peer.Browser == "" {
		return f, nil // a silent request: nobody goes on with it
	}
	f.Browser = BrowserDigest(peer.Browser)
	return c.start(ctx, f)
}

// enter burns the nonces and opens the session, or stays in the one that
// stands on this PRT already.
func (c *Corridor) enter(ctx context.Context, t try, b Brought) (Step, error) {
	var step Step
	event := c.carriedEvent(CarriedRequest{
		Tenant: t.flow.Tenant, User: t.user, Proofs: b.Proofs, Client: t.flow.Client, Device: b.Device, PRT: b.PRT, Peer: t.peer,
	})
	event.Category, event.Rule = audit.SignIn, t.decision.Rule
	err := c.commit(ctx, deed{
		burn: set(b.Nonces), event: event,
		effect: func(ctx context.Context, tx *sqldb.Tx) (err error) {
			step, err = c.settleEntry(ctx, tx, t, b, event)
			return err
		},
	})
	if err != nil {
		return Step{}, err
	}
	step.Flow, step.Handle = t.flow, t.flow.handle
	return step, nil
}

func (c *Corridor) settleEntry(ctx context.Context, tx *sqldb.Tx, t try, b Brought, event audit.Event) (Step, error) {
	if err := c.enabled(ctx, tx, t.flow.Tenant, t.user.ID); err != nil {
		return Step{}, err
	}
	step := Step{Kind: t.step, Decision: t.decision, NewScopes: t.scopes, Recorded: t.step == Done}
	if cur := t.current; cur != nil && cur.PRT == b.PRT {
		step.Session = *cur
		step.Session.Proofs = besides(cur.Proofs, b.Proofs)
	} else if err := c.openSession(ctx, tx, t, b.Proofs, &step); err != nil {
		return Step{}, over(err)
	}
	event.Session = step.Session.ID
	event.Activity, event.Outcome, event.Reason = "signin.done", audit.Success, t.decision.Reason
	if t.step == Consent {
		event.Activity, event.Outcome, event.Reason = "signin.interrupted", audit.Interrupted, "consent_needed"
	}
	return step, c.audit.Write(ctx, tx, event)
}

// besides are the proofs of a session with those that were brought to it, one of
// each credential. The PRT of a Mac moves on with each login, and the session
// stays as it is: what is given out because of the newer proofs stands on them.
func besides(own, brought []idp.Proof) []idp.Proof {
	out := slices.Clone(own)
	for _, p := range brought {
		same := func(q idp.Proof) bool { return q.Method == p.Method && q.Credential == p.Credential }
		switch i := slices.IndexFunc(out, same); {
		case i < 0:
			out = append(out, p)
		case p.Time.After(out[i].Time):
			out[i] = p
		}
	}
	return out
}
