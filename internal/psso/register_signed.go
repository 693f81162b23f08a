package psso

import (
	"context"
	"errors"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// signed is a request that a registered Mac has signed.
type signed struct {
	asked
	mac    mac.Mac
	signer mac.Key
	device device.Device
	event  audit.Event // of what it asks for
	// decides says that the effect's own statements decide whether the key is
	// still there: several that first held the key, each against a change of it,
	// would wait for each other.
	decides bool
}

// signed finds the Mac that has signed a request, and makes sure that it did. One
// that is not finished may register its first person, and may go.
func (s *Server) signed(ctx context.Context, a asked, activity string, unfinished bool) (signed, error) {
	q := signed{asked: a}
	id, err := pssowire.ParseKeyID(a.message.KeyID)
	if err != nil {
		return q, deviceFault(idp.Unproven, codeDevice, "kid_malformed", sayDevice, "kid: %w", err)
	}
	q.mac, q.signer, err = s.cfg.Macs.ByKid(ctx, a.tenant.ID, mac.Signing, mac.KeyID(id))
	if err == nil {
		q.device, err = s.cfg.Devices.Get(ctx, a.tenant.ID, q.mac.Device)
	}
	switch {
	case errors.Is(err, idp.NotFound):
		return q, deviceFault(idp.Unproven, codeDevice, "device_unknown", sayDevice, "%w", err)
	case err != nil:
		return q, err
	}
	q.event = s.eventOf(a, activity, q.device)
	if err := s.usable(q, unfinished); err != nil {
		return q, s.failed(ctx, q.event, err)
	}
	if err := a.message.VerifyKey(q.signer.Public); err != nil {
		return q, s.failed(ctx, q.event, deviceFault(idp.Unproven, codeSignature, idp.AsError(err).Reason, sayDevice, "device %s: %w", q.device.ID, err))
	}
	return q, nil
}

// usable asks whether a Mac is on, or is on its way to be.
func (s *Server) usable(q signed, unfinished bool) error {
	d := q.device
	waits := !d.Enabled && d.Pending.After(s.cfg.Now())
	switch {
	case d.Enabled, waits && unfinished:
		return nil
	case waits:
		return deviceFault(idp.Denied, codeDeviceOff, "device_pending", "The registration of this Mac is not finished.", "device %s", d.ID)
	case !d.Pending.IsZero():
		return deviceFault(idp.Expired, codeDevice, "device_unknown", sayDevice, "device %s was pending until %s", d.ID, d.Pending)
	}
	return deviceFault(idp.Denied, codeDeviceOff, "device_disabled", "The Mac is switched off. Ask the help desk.", "device %s", d.ID)
}

// eventOf begins the record of what a Mac asks for.
func (s *Server) eventOf(a asked, activity string, d device.Device) audit.Event {
	return audit.Event{
		Tenant: a.tenant.ID, Category: audit.Change, Activity: activity, Actor: "device:" + string(d.ID), User: d.Owner, Client: pssowire.ClientID,
		IP: a.peer.IP, Agent: a.peer.Agent, Trace: a.peer.Trace,
		Detail: map[string]string{signin.DetailDevice: string(d.ID), "name": d.Name},
	}
}

// read reads the claims of a request whose signature is good. One that cannot be
// read burns its nonce all the same, if that much can be.
func (s *Server) read(ctx context.Context, q signed, claims any) error {
	err := q.message.Read(claims)
	if err == nil {
		return nil
	}
	err = malformed("claims_malformed", "%w", err)
	var c struct {
		RequestNonce string `json:"request_nonce"`
	}
	if q.message.Read(&c) == nil {
		if n, unusable := s.opened(ctx, q.tenant.ID, c.RequestNonce); unusable == nil {
			q.nonce = n
			return s.refused(ctx, q, err)
		}
	}
	return s.failed(ctx, q.event, err)
}

// held opens the nonce of a request whose signature is good, and holds against
// the rules what it claims; more are the request's own. From here on every
// outcome burns the nonce: a refusal here, a success in commit, or where the
// corridor settles.
func (s *Server) held(ctx context.Context, q *signed, c pssowire.Signed, more func() error) error {
	n, err := s.opened(ctx, q.tenant.ID, c.RequestNonce)
	if err != nil {
		return s.failed(ctx, q.event, err)
	}
	q.nonce = n
	if err = s.claimed(q.asked, c); err == nil {
		err = more()
	}
	if err != nil {
		return s.refused(ctx, *q, err)
	}
	return nil
}

// refused burns the nonce of a request and records why it was refused.
func (s *Server) refused(ctx context.Context, q signed, err error) error {
	if ours(err) {
		return err
	}
	return s.commit(ctx, q, func(context.Context, *sqldb.Tx, *audit.Event) error { return err })
}

// commit is decisions 1.1 for what is no sign-in and no token: one transaction
// that always commits. It burns the nonce, and either writes the effect, with its
// record, or records the refusal. Only a trouble of our own rolls all of it back.
func (s *Server) commit(ctx context.Context, q signed, effect func(context.Context, *sqldb.Tx, *audit.Event) error) error {
	var refusal error
	err := s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		e := q.event
		e.Detail = cloned(q.event.Detail)
		if err := nonce.Burn(ctx, tx, q.nonce); err != nil {
			return err
		}
		refusal = tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			if err := s.confirm(ctx, tx, q); err != nil {
				return err
			}
			return effect(ctx, tx, &e)
		})
		if ours(refusal) {
			return refusal
		}
		e.Outcome = audit.Success
		if refusal != nil {
			why := idp.AsError(refusal)
			e.Outcome, e.Reason, e.Code = audit.Failure, why.Reason, why.Code
		}
		return s.cfg.Audit.Write(ctx, tx, e)
	})
	if err != nil { // a burn that was lost is an event as well
		return s.failed(ctx, q.event, over(err))
	}
	return refusal
}

// confirm makes sure, where it is settled, that the key which signed is still one
// of that Mac.
func (s *Server) confirm(ctx context.Context, tx *sqldb.Tx, q signed) error {
	if q.decides {
		return nil
	}
	err := s.cfg.Macs.Confirm(ctx, tx, q.mac, q.signer)
	if errors.Is(err, idp.NotFound) {
		return deviceFault(idp.Unproven, codeDevice, "device_unknown", sayDevice, "%w", err)
	}
	return err
}

// hold is taken by what changes the Mac, before it reads it.
func (s *Server) hold(ctx context.Context, tx *sqldb.Tx, q signed) error {
	err := s.cfg.Macs.Hold(ctx, tx, q.tenant.ID, q.device.ID)
	if errors.Is(err, idp.NotFound) {
		return deviceFault(idp.Unproven, codeDevice, "device_unknown", sayDevice, "%w", err)
	}
	return err
}

func cloned(m map[string]string) map[string]string {
	out := make(map[string]string, len(m)+4)
	for k, v := range m {
		out[k] = v
	}
	return out
}

// over is what a nonce that somebody else has spent is told as.
func over(err error) error {
	if e := idp.AsError(err); e.Kind == idp.Expired && e.Reason == "spent" {
		return badNonce("nonce_spent", "The nonce was used before. Ask for a new one.")
	}
	return err
}
