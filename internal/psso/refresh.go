package psso

import (
	"context"
	"errors"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// standing is a sign-in that a message stands on: its refresh token, which is a
// PRT of this Mac.
type standing struct {
	prt.Opened
	user idp.User
	// refusal is why it is not good all the same, and reuse whether that is a
	// generation that is too old: then somebody has a copy, and the PRT ends.
	refusal error
	reuse   bool
}

// stands finds the sign-in behind the refresh token of a message, and judges it:
// ours, of this Mac, in time and not taken back, of a person who may sign in
// (§8.1, §8.2). Its error is a trouble of our own.
func (s *Server) stands(ctx context.Context, x exchange) (standing, error) {
	var p standing
	if of, ok := prt.Tenant(x.RefreshToken); !ok || of != x.tenant.ID {
		p.refusal = credential(idp.Expired, codeRevoked, "prt_unreadable", "refresh token of %d characters", len(x.RefreshToken))
		return p, nil
	}
	o, found := s.cfg.PRTs.Find(ctx, x.tenant.ID, x.RefreshToken)
	if ours(found) {
		return p, found
	}
	if found != nil {
		e := idp.AsError(found)
		p.reuse = e.Reason == "prt_reuse"
		p.refusal = credential(e.Kind, e.Code, e.Reason, "%w", found)
	}
	if o.PRT.Device == "" { // could not be read, or its row is gone
		return p, nil
	}
	if o.PRT.Device != x.device.ID || o.PRT.Protocol != prt.Mac {
		// Nothing of it is this Mac's to end, or to know.
		p.reuse = false
		p.refusal = credential(idp.Unproven, codeRevoked, "prt_of_other_device", "prt %s of device %s sent by %s", o.PRT.ID, o.PRT.Device, x.device.ID)
		return p, nil
	}
	p.Opened = o
	user, err := s.cfg.Directory.User(ctx, s.cfg.DB, o.PRT.Tenant, o.PRT.User)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return p, err
	}
	p.user = user
	if p.refusal == nil {
		p.refusal = judged(x.device, o.PRT, user)
	}
	return p, nil
}

// judged refuses a PRT from before its Mac was switched off, which does not
// revive (decisions 4.8), and one of somebody who may not sign in.
func judged(d device.Device, p prt.PRT, u idp.User) error {
	switch {
	case !d.Voided.IsZero() && !p.Issued.After(d.Voided):
		return credential(idp.Expired, codeRevoked, "device_voided", "prt %s is older than the disabling of %s", p.ID, d.ID)
	case !u.Known():
		return credential(idp.Denied, codeHello, "user_unknown", "user %s is gone", p.User)
	case !u.Enabled:
		return credential(idp.Denied, codeHello, "user_disabled", "user %s", p.User)
	}
	return nil
}

// carriedBy is the corridor's request for a message that stands on a sign-in.
func (s *Server) carriedBy(x exchange, p standing) signin.CarriedRequest {
	r := s.carried(x, p.refusal)
	r.User, r.Proofs, r.PRT = p.user, p.PRT.Proofs, p.PRT.ID
	if r.User.ID == "" {
		r.User = idp.User{ID: p.PRT.User, Tenant: x.tenant.ID}
	}
	if p.reuse {
		from := prt.Presenter{IP: x.peer.IP, Agent: x.peer.Agent, Trace: x.peer.Trace}
		r.Undone = func(ctx context.Context, tx *sqldb.Tx) error { return s.cfg.PRTs.Reused(ctx, tx, p.Opened, from) }
	}
	return r
}

// refresh answers with the next generation of the sign-in (§8.1). The one before
// stays good: the answer may get lost, and a Mac presents it in other messages
// that are on their way.
func (s *Server) refresh(ctx context.Context, x exchange) (reply, error) {
	p, err := s.stands(ctx, x)
	if err != nil {
		return reply{}, err
	}
	if n := len(x.Groups()); p.refusal == nil && n > maxGroups {
		p.refusal = malformed("too_many_groups", "%d groups", n)
	}
	var next prt.PRT
	value := ""
	r := s.carriedBy(x, p)
	r.Settle = func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if next, value, err = s.cfg.PRTs.Renew(ctx, tx, p.Opened); err != nil {
			return err
		}
		return s.cfg.PRTs.Touch(ctx, tx, next)
	}
	if _, err := s.cfg.Corridor.Carried(ctx, r); err != nil {
		return reply{}, again(err)
	}
	s.seen(ctx, x)
	return s.signedIn(ctx, x, next, value)
}

// again makes of a refusal what has macOS ask the person for a full login where
// that would help: the sign-in is over, or its proof is not enough any more.
func again(err error) error { return unproven(err, policy.CodeStepUp, policy.CodeStale) }
