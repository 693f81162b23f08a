package signin

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// common is the scope of nonces that are good in any tenant (decisions 1.4).
const common idp.TenantID = "common"

// OnceRequest is one message that holds everything.
type OnceRequest struct {
	Tenant  idp.TenantID
	Method  idp.MethodID
	Nonce   []byte         // as the message carries it: what the room's KeepFrom gets
	Nonces  []nonce.Sealed // all nonces of the request, opened by the door; burnt as one set, one that is there twice once
	Payload []byte
	User    idp.User     // verified by the door; may be zero
	Device  idp.DeviceID // its signature verified by the door; may be empty
	ACR     []string
	MaxAge  *int64
	Client  idp.ClientID
	Peer    Peer
	// Ready makes what Settle is going to write, once the proof is good and
	// before the transaction begins; it may be nil. Its refusal burns.
	Ready func(context.Context, idp.Proof) error
	// First is run in the transaction before the room settles: what the door has
	// to hold on to, in the order in which others take it. It may be nil, and may
	// run twice.
	First func(context.Context, *sqldb.Tx) error
	// Settle writes what takes the place of a session. It may run twice.
	Settle func(context.Context, *sqldb.Tx, idp.Proof) error
	// Record adds to the record of a success what Ready has made; it may be nil.
	Record func(*audit.Event)
}

// Once is the whole corridor for one message: verify, policy, burn, settle.
//
// A message that does not verify burns its nonces only when the door has
// verified a device (decisions 1.3): anyone can fetch nonces, and none may
// fill the store. From then on, or from a good proof on, every outcome burns all
// of them.
// Errors are those of Answer; policy's refusal is idp.Denied, and comes with
// the Decision.
func (c *Corridor) Once(ctx context.Context, r OnceRequest) (idp.Proof, policy.Decision, error) {
	t := try{flow: Flow{Tenant: r.Tenant, Client: r.Client, ACR: r.ACR, MaxAge: r.MaxAge, Started: c.now()}, peer: r.Peer}
	event := c.event(t.flow, r.Peer)
	event.Method, event.Detail = r.Method, onDevice(r.Device)
	err := c.takeOnce(ctx, &t, r)
	usable := fresh(r.Tenant, r.Nonces, c.now())
	if err == nil {
		err = usable
	}
	if err != nil {
		if r.Device == "" || usable != nil || !refusal(err) {
			return idp.Proof{}, policy.Decision{}, c.failed(ctx, event, err)
		}
		return idp.Proof{}, policy.Decision{}, c.commit(ctx, deed{burn: set(r.Nonces), failed: err, event: event, anonymous: true})
	}
	if err := c.verify(ctx, &t, nil); err != nil {
		return idp.Proof{}, policy.Decision{}, err
	}
	name(&event, t)
	if t.failed == nil && t.step != Done {
		t.failed = refusedBy(t.decision)
	}
	if t.failed == nil && r.Ready != nil {
		if err := r.Ready(ctx, t.verdict.Proof); err != nil && !refusal(err) {
			return idp.Proof{}, t.decision, err
		} else if err != nil {
			t.failed = err
		}
	}
	if t.failed != nil && r.Device == "" && !t.proved {
		return idp.Proof{}, t.decision, c.failed(ctx, event, t.failed)
	}
	err = c.commit(ctx, deed{
		burn:      set(r.Nonces),
		failed:    t.failed,
		count:     t.count,
		effect:    func(ctx context.Context, tx *sqldb.Tx) error { return c.settleOnce(ctx, tx, t, r, event) },
		event:     event,
		anonymous: !t.proved,
	})
	if err != nil {
		return idp.Proof{}, t.decision, err
	}
	return t.verdict.Proof, t.decision, nil
}

// takeOnce checks that the request can be answered at all. What fails here burns
// only the nonces of a verified device.
func (c *Corridor) takeOnce(ctx context.Context, t *try, r OnceRequest) (err error) {
	if t.room, err = c.oneShot(ctx, r.Tenant, r.Method); err != nil {
		return err
	}
	now := c.now()
	if len(r.Payload) > maxAnswer {
		return idp.Unprovenf("answer_size", "answer of %d bytes", len(r.Payload)).Coded(codeUnproven).Say(sayUnproven)
	}
	t.answer = method.Answer{
		Tenant: r.Tenant, User: r.User, Device: r.Device,
		Keep: t.room.oneShot.KeepFrom(r.Nonce), Payload: r.Payload, Now: now,
	}
	return nil
}

func (c *Corridor) oneShot(ctx context.Context, tenant idp.TenantID, id idp.MethodID) (room, error) {
	r, err := c.room(ctx, tenant, id)
	if err != nil {
		return room{}, err
	}
	if r.oneShot == nil {
		return room{}, idp.Invalidf("method_not_once", "method %q is not for one message", id)
	}
	return r, nil
}

// fresh checks nonces that a door has opened: at least one, each of this
// tenant or good in any, none late.
func fresh(tenant idp.TenantID, nonces []nonce.Sealed, now time.Time) error {
	if len(nonces) == 0 {
		return idp.Expiredf("nonce_missing", "no nonce").Coded(codeOver).Say(sayOver)
	}
	for _, n := range nonces {
		if n.Tenant != tenant && n.Tenant != common {
			return idp.Expiredf("nonce_of_other_tenant", "nonce of %s", n.Tenant).Coded(codeOver).Say(sayOver)
		}
		if !now.Before(n.Expires) {
			return idp.Expiredf("nonce_late", "nonce expired %s", n.Expires).Coded(codeOver).Say(sayOver)
		}
	}
	return nil
}

func (c *Corridor) settleOnce(ctx context.Context, tx *sqldb.Tx, t try, r OnceRequest, event audit.Event) error {
	if err := c.enabled(ctx, tx, r.Tenant, t.user.ID); err != nil {
		return err
	}
	if r.First != nil {
		if err := r.First(ctx, tx); err != nil {
			return err
		}
	}
	if t.verdict.Settle != nil {
		if err := t.verdict.Settle(ctx, tx); err != nil {
			return unproven(err)
		}
	}
	if r.Settle != nil {
		if err := r.Settle(ctx, tx, t.verdict.Proof); err != nil {
			return err
		}
	}
	event.Activity, event.Outcome, event.Reason = "signin.done", audit.Success, t.decision.Reason
	if r.Record != nil {
		r.Record(&event)
	}
	return c.audit.Write(ctx, tx, event)
}

// refusedBy is policy's no as an error, for doors that have no page to go on
// with.
func refusedBy(d policy.Decision) error {
	return idp.Deniedf(d.Reason, "rule %s: %s", d.Rule, d.Outcome).Coded(d.Code)
}

// set leaves out of nonces what is there twice: one message may carry the same
// one in two places (device-protocol.md §0, fact 5).
func set(nonces []nonce.Sealed) []nonce.Sealed {
	var out []nonce.Sealed
	for _, n := range nonces {
		same := func(m nonce.Sealed) bool {
			return m.Tenant == n.Tenant && m.Purpose == n.Purpose && bytes.Equal(m.ID, n.ID)
		}
		if !slices.ContainsFunc(out, same) {
			out = append(out, n)
		}
	}
	return out
}

// RegisterOnceRequest is a registration in one message. Who may do so is the
// door's to find out: it hands over the person, verified, when they last made
// a gesture, and how old that may be.
type RegisterOnceRequest struct {
	OnceRequest
	ProofTime time.Time
	Within    time.Duration
	// ByToken says that the message comes with a token, which the door has
	// verified, and not on a nonce: there are no Nonces, nothing is burnt, and
	// ProofTime alone is the freshness (decisions 4.8).
	ByToken bool
}

// RegisterOnce is FinishRegister for one message: verify, burn, settle.
func (c *Corridor) RegisterOnce(ctx context.Context, r RegisterOnceRequest) (method.Credential, error) {
	t := try{flow: Flow{Tenant: r.Tenant, User: r.User.ID, Client: r.Client}, peer: r.Peer}
	event := c.event(t.flow, r.Peer)
	event.Category, event.Method, event.Activity = audit.Change, r.Method, string(r.Method)+".register"
	event.UserName = r.User.Name
	event.Detail = onDevice(r.Device)
	err := c.takeOnce(ctx, &t, r.OnceRequest)
	switch {
	case err != nil:
	case !r.ByToken:
		err = fresh(r.Tenant, r.Nonces, t.answer.Now)
	case len(r.Nonces) > 0 || r.Nonce != nil:
		err = fmt.Errorf("registration by a token on %d nonces", len(r.Nonces))
	}
	if err != nil {
		return method.Credential{}, c.failed(ctx, event, err)
	}
	if age := c.now().Sub(r.ProofTime); !r.User.Known() || age > r.Within {
		return method.Credential{}, c.failed(ctx, event, stale(r.User.ID, age))
	}
	reg, err := t.room.oneShot.RegisterOnce(ctx, t.answer)
	if err != nil && !refusal(err) {
		return method.Credential{}, fmt.Errorf("register %s: %w", r.Method, err)
	}
	if err == nil {
		if err = c.admit(ctx, reg, r.User, r.Method, policy.Add, &event); err != nil && !refusal(err) {
			return method.Credential{}, err
		}
	}
	event.Credential = reg.Credential.ID
	err = c.commit(ctx, deed{
		burn:   set(r.Nonces),
		failed: err,
		event:  event,
		// With nothing to burn a refusal costs its sender nothing, and could
		// be had without end.
		anonymous: r.ByToken,
		effect:    func(ctx context.Context, tx *sqldb.Tx) error { return c.settleRegisterOnce(ctx, tx, r, reg, event) },
	})
	if err != nil {
		return method.Credential{}, err
	}
	return reg.Credential, nil
}

// onDevice is the detail of a record that a machine's message led to.
func onDevice(d idp.DeviceID) map[string]string {
	if d == "" {
		return nil
	}
	return map[string]string{DetailDevice: string(d)}
}

func (c *Corridor) settleRegisterOnce(ctx context.Context, tx *sqldb.Tx, r RegisterOnceRequest, reg method.Registration, event audit.Event) error {
	if err := c.enabled(ctx, tx, r.Tenant, r.User.ID); err != nil {
		return err
	}
	if r.First != nil {
		if err := r.First(ctx, tx); err != nil {
			return err
		}
	}
	if err := reg.Settle(ctx, tx); err != nil {
		return err
	}
	if err := registered(ctx, tx, r.Tenant, r.User.ID, r.Method); err != nil {
		return err
	}
	if r.Settle != nil {
		p := idp.Proof{Tenant: r.Tenant, User: r.User.ID, Method: r.Method, Credential: reg.Credential.ID, Time: r.ProofTime}
		if err := r.Settle(ctx, tx, p); err != nil {
			return err
		}
	}
	return c.succeed(ctx, tx, event)
}
