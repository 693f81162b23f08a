package signin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// changeWithin is how fresh a proof must be to change how one signs in
// (product.md §6, SES06).
const changeWithin = 5 * time.Minute

// BeginRegister begins the registration of a credential by its owner.
//
// Errors: idp.Denied "fresh_proof_needed" when the session's last gesture is
// too long ago or too weak for this person (decisions 2.9), other idp.Denied
// for a method that is off, a guest or a disabled person, and what the room
// refuses, such as too many credentials.
func (c *Corridor) BeginRegister(ctx context.Context, s session.Session, m idp.MethodID, peer Peer) (Begun, error) {
	r, user, err := c.mayRegister(ctx, s, m, peer)
	if err != nil {
		return Begun{}, c.failed(ctx, c.change(s, string(m)+".register", m, "", peer), err)
	}
	ch, err := r.registrar.BeginRegister(ctx, method.Request{Tenant: s.Tenant, User: user, UserName: user.Name, Session: s.ID, Now: c.now()})
	if err != nil {
		return Begun{}, fmt.Errorf("begin to register %s: %w", m, err)
	}
	if err := c.begins(ctx, ch); err != nil {
		return Begun{}, fmt.Errorf("begin to register %s: %w", m, err)
	}
	return c.sealCeremony(ctx, s.Tenant, registerPurpose, ch, ceremony{Session: s.ID, Method: m, User: s.User})
}

// mayRegister finds the room and the person, if they may add to it now.
func (c *Corridor) mayRegister(ctx context.Context, s session.Session, m idp.MethodID, peer Peer) (room, idp.User, error) {
	r, err := c.room(ctx, s.Tenant, m)
	if err != nil {
		return room{}, idp.User{}, err
	}
	if r.registrar == nil {
		return room{}, idp.User{}, idp.Invalidf("method_not_registered", "nobody registers for %q on a page", m)
	}
	user, err := c.directory.User(ctx, c.db, s.Tenant, s.User)
	if err != nil {
		return room{}, idp.User{}, fmt.Errorf("user of session %s: %w", s.ID, err)
	}
	return r, user, c.mayAdd(ctx, s, user, m, peer)
}

// mayAdd is decisions 2.9: a pass, or a fresh phishing-resistant proof; and
// for those who hold nothing of the kind yet, fresh MFA from a browser that
// they have used before.
func (c *Corridor) mayAdd(ctx context.Context, s session.Session, user idp.User, m idp.MethodID, peer Peer) error {
	p, w, err := c.policies.For(ctx, s.Tenant, user)
	if err != nil {
		return err
	}
	now := c.now()
	d := policy.Decide(p, policy.Question{
		User: user, Groups: w.Groups, Proofs: c.policies.Present(s.Proofs), MaxAge: changeWithin, Purpose: policy.Register, Method: m, Now: now,
	})
	switch d.Outcome {
	case policy.Allow:
		return nil
	case policy.Deny:
		return refusedBy(d)
	}
	age := now.Sub(s.ProofTime)
	if age > changeWithin {
		return stale(s.User, age)
	}
	all, err := c.Credentials(ctx, s.Tenant, s.User)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, resists) {
		return stale(s.User, age).Say(sayStronger)
	}
	mfa := func(p idp.Proof) bool {
		return p.Has(idp.MultiFactor) && !p.Has(idp.Remote) && now.Sub(p.Time) <= changeWithin
	}
	if !slices.ContainsFunc(s.Proofs, mfa) {
		return stale(s.User, age).Say(sayStronger)
	}
	known, err := c.sessions.Known(ctx, c.db, s, BrowserDigest(peer.Browser))
	if err != nil {
		return fmt.Errorf("known browser: %w", err)
	}
	if !known {
		return stale(s.User, age).Say(sayNewHere)
	}
	return nil
}

// resists says whether a credential gives phishing-resistant proofs.
func resists(c method.Credential) bool {
	switch c.Mode {
	case idp.ModeFIDO2, idp.ModeHello, idp.ModeCertificateMulti:
		return c.Usable()
	}
	return false
}

// FinishRegister takes what came back. Like Answer it works once, and a wrong
// answer burns the ceremony too. The session must still live.
func (c *Corridor) FinishRegister(ctx context.Context, s session.Session, value string, payload []byte, peer Peer) (method.Credential, error) {
	event := c.change(s, "", "", "", peer)
	sealed, r, answer, err := c.takeRegistration(ctx, s, value, payload)
	event.Method, event.Activity = r.id(), string(r.id())+".register"
	if err != nil {
		return method.Credential{}, c.failed(ctx, event, err)
	}
	reg, err := r.registrar.FinishRegister(ctx, answer)
	if err != nil && !refusal(err) {
		return method.Credential{}, fmt.Errorf("register %s: %w", r.ID(), err)
	}
	if err == nil {
		if err = c.admit(ctx, reg, answer.User, r.ID(), policy.Add, &event); err != nil && !refusal(err) {
			return method.Credential{}, err
		}
	}
	event.Credential = reg.Credential.ID
	event.UserName = answer.User.Name
	err = c.commit(ctx, deed{
		burn:   []nonce.Sealed{sealed},
		failed: err,
		event:  event,
		effect: func(ctx context.Context, tx *sqldb.Tx) error { return c.settleRegistration(ctx, tx, s, reg, event) },
	})
	if err != nil {
		return method.Credential{}, err
	}
	return reg.Credential, nil
}

// id is the method's id, or nothing when no room was found.
func (r room) id() idp.MethodID {
	if r.Method == nil {
		return "register"
	}
	return r.ID()
}

func (c *Corridor) takeRegistration(ctx context.Context, s session.Session, value string, payload []byte) (nonce.Sealed, room, method.Answer, error) {
	none := method.Answer{}
	sealed, cer, err := c.openCeremony(ctx, s.Tenant, registerPurpose, value)
	if err != nil {
		return sealed, room{}, none, err
	}
	// Sealed to one session: the answer of another person, or of another
	// sitting of the same, is not for this ceremony.
	if cer.Session != s.ID || cer.User != s.User {
		return sealed, room{}, none, idp.Unprovenf("other_session", "ceremony of session %s", cer.Session).Coded(codeUnproven).Say(sayUnproven)
	}
	r, err := c.room(ctx, s.Tenant, cer.Method)
	if err != nil {
		return sealed, r, none, err
	}
	if r.registrar == nil || len(payload) > maxAnswer {
		return sealed, r, none, idp.Invalidf("answer_size", "answer of %d bytes to %s", len(payload), cer.Method)
	}
	user, err := c.directory.User(ctx, c.db, s.Tenant, s.User)
	if err != nil {
		return sealed, r, none, fmt.Errorf("user of session %s: %w", s.ID, err)
	}
	return sealed, r, method.Answer{Tenant: s.Tenant, User: user, Keep: cer.Keep, Payload: payload, Now: c.since(s)}, nil
}

// admit asks policy about a new credential that its room has found good, and
// notes what it says.
func (c *Corridor) admit(ctx context.Context, reg method.Registration, user idp.User, m idp.MethodID, act policy.Act, e *audit.Event) error {
	if err := ours(reg, user.Tenant, user.ID, m); err != nil {
		return err
	}
	ruling, err := c.judge(ctx, user, act, m, &reg.Credential.Facts)
	if err != nil {
		return err
	}
	wouldRefuse(e, ruling.Would)
	if e.Rule = ruling.Rule; !ruling.Allowed() {
		return refusedKey(ruling.Refusal)
	}
	return nil
}

// ours checks that a room has registered what it was asked to.
func ours(reg method.Registration, tenant idp.TenantID, user idp.UserID, m idp.MethodID) error {
	if reg.Settle == nil || reg.Credential.ID == "" ||
		reg.Credential.Tenant != tenant || reg.Credential.User != user || reg.Credential.Method != m {
		return idp.Unprovenf("registration_of_other", "%s registered %q for %q in %q", m, reg.Credential.ID, reg.Credential.User, reg.Credential.Tenant)
	}
	return nil
}

func (c *Corridor) settleRegistration(ctx context.Context, tx *sqldb.Tx, s session.Session, reg method.Registration, event audit.Event) error {
	if err := c.enabled(ctx, tx, s.Tenant, s.User); err != nil {
		return err
	}
	alive, err := c.sessions.Alive(ctx, tx, s.Tenant, s.ID)
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	if !alive {
		return over(idp.Expiredf("session_over", "session %s", s.ID))
	}
	if err := reg.Settle(ctx, tx); err != nil {
		return err
	}
	if err := registered(ctx, tx, s.Tenant, s.User, reg.Credential.Method); err != nil {
		return err
	}
	event.Outcome = audit.Success
	return c.audit.Write(ctx, tx, event)
}

// since is the time of what is registered in a session: now, or the moment that
// the session was opened, when a node did that whose clock is a little ahead of
// this one's. Whoever came in by a pass needs what was registered since
// (newlyUsable).
func (c *Corridor) since(s session.Session) time.Time {
	now := c.now()
	if ahead := s.Opened.Sub(now); ahead > 0 && ahead <= nonce.Ahead {
		return s.Opened
	}
	return now
}
