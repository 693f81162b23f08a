package psso

import (
	"context"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// rotating is a Mac that asks for other keys.
type rotating struct {
	signed
	said                pssowire.Rotation
	session             standing
	signing, encryption *mac.NewKey // nil: stays
	// after are the keys that the Mac has then.
	signs, decrypts publicKey
}

// rotate has other keys of a Mac wait to take the places of those it has. The old
// signing key asks for it, a sign-in on this Mac stands behind it, and who asks
// holds every new key (security.md PSO05).
func (s *Server) rotate(ctx context.Context, a asked) (pssowire.Registered, error) {
	q, err := s.signed(ctx, a, "mac.rotate", false)
	if err != nil {
		return pssowire.Registered{}, err
	}
	p := rotating{signed: q}
	if err := s.read(ctx, p.signed, &p.said); err != nil {
		return pssowire.Registered{}, err
	}
	if err := s.held(ctx, &p.signed, p.said.Signed, func() error { return s.newKeys(ctx, &p) }); err != nil {
		return pssowire.Registered{}, err
	}
	x := p.exchange(p.said.RefreshToken)
	if p.session, err = s.stands(ctx, x); err != nil {
		return pssowire.Registered{}, err
	}
	over := p.session.refusal != nil
	var now mac.Mac
	r := s.carriedBy(x, p.session)
	r.Activity = p.event.Activity
	r.Settle = func(ctx context.Context, tx *sqldb.Tx) (err error) {
		now, err = s.settleRotation(ctx, tx, p)
		return err
	}
	r.Record = func(e *audit.Event) { p.record(e) }
	if _, err := s.cfg.Corridor.Carried(ctx, r); err != nil {
		if over && !ours(err) && told(err).Sub != subNonce {
			err = sessionOver(err)
		}
		return pssowire.Registered{}, err
	}
	return s.rotated(ctx, p, now)
}

// newKeys reads the new keys of a rotation, and their proofs.
func (s *Server) newKeys(ctx context.Context, p *rotating) error {
	c := p.said
	current := pssowire.KeyID(p.signer.ID)
	var err error
	for _, k := range p.mac.Keys { // those that stay, the waiting ones before
		switch {
		case k.Role == mac.Encryption:
			p.decrypts = publicKey{k.Public, pssowire.KeyID(k.ID)}
		case k.ID == p.signer.ID:
			p.signs = publicKey{k.Public, current}
		}
	}
	if c.NewSigningKey == "" && c.NewEncryptionKey == "" {
		return malformed("no_new_key", "a rotation of nothing")
	}
	if c.NewSigningKey != "" {
		if p.signs, err = key("new_signing_key", c.NewSigningKey); err != nil {
			return err
		}
		if err := s.proven(p.asked, pssowire.TypeDeviceKey, c.SigningProof, current, c.RequestNonce, p.signs); err != nil {
			return err
		}
		p.signing = &mac.NewKey{Public: p.signs.public}
	}
	if c.NewEncryptionKey != "" {
		if p.decrypts, err = key("new_encryption_key", c.NewEncryptionKey); err != nil {
			return err
		}
		if err := s.decrypts(ctx, p.tenant.ID, p.decrypts, c.RequestNonce, c.NewEncryptionProof); err != nil {
			return err
		}
		p.encryption = &mac.NewKey{Public: p.decrypts.public}
	}
	if p.signs.id == p.decrypts.id {
		return malformed("shared_device_key", "signing key and encryption key are one")
	}
	return s.attestedKeys(ctx, p)
}

// attestedKeys judges the attestation of new keys. A Mac whose keys are attested
// keeps none that are not.
func (s *Server) attestedKeys(ctx context.Context, p *rotating) error {
	rules, err := s.cfg.Policies.Get(ctx, p.tenant.ID)
	if err != nil {
		return err
	}
	shown := s.attest(rules.Devices, p.said.Attestation, p.said.RequestNonce, p.signs, p.decrypts)
	if shown.fault != "" {
		p.event.Detail["attestation"] = clip(shown.fault)
	}
	// One that hides its hardware may be of any Mac.
	if shown.good && p.mac.Proven && (mac.CleanSerial(shown.Serial) != p.mac.Serial || mac.CleanSerial(shown.UDID) != p.mac.UDID) {
		return errAttestation("the new keys are not shown to be in the Mac that device %s is", p.device.ID)
	}
	if !shown.good && (p.device.Assurance == device.Attested || mustAttest(rules.Devices)) {
		return errAttestation("new keys of device %s are not attested: %s", p.device.ID, shown.fault)
	}
	for _, k := range []*mac.NewKey{p.signing, p.encryption} {
		if k != nil {
			k.Attested = shown.good
		}
	}
	return nil
}

func (s *Server) settleRotation(ctx context.Context, tx *sqldb.Tx, p rotating) (mac.Mac, error) {
	if err := s.hold(ctx, tx, p.signed); err != nil { // before confirm reads what changes here
		return mac.Mac{}, err
	}
	if err := s.confirm(ctx, tx, p.signed); err != nil {
		return mac.Mac{}, err
	}
	if err := s.cfg.PRTs.Touch(ctx, tx, p.session.PRT); err != nil {
		return mac.Mac{}, err
	}
	// After what may write that row: nobody upgrades a lock that others share.
	if err := s.goesOn(ctx, tx, p.session); err != nil {
		if !ours(err) {
			err = sessionOver(err)
		}
		return mac.Mac{}, err
	}
	return s.cfg.Macs.Rotate(ctx, tx, mac.Rotation{
		Tenant: p.tenant.ID, Device: p.device.ID, Signing: p.signing, Encryption: p.encryption,
	})
}

// record says in the record of a rotation what it was of.
func (p rotating) record(e *audit.Event) {
	e.Category, e.Actor = audit.Change, p.event.Actor
	e.Detail = cloned(p.event.Detail)
	if p.signing != nil {
		e.Detail["signing_key"] = p.signs.id.String()
	}
	if p.encryption != nil {
		e.Detail["encryption_key"] = p.decrypts.id.String()
	}
	e.Detail[signin.DetailDevice] = string(p.device.ID)
}

// rotated is the answer: the keys after the change, and until when those before
// are good beside them.
func (s *Server) rotated(ctx context.Context, p rotating, now mac.Mac) (pssowire.Registered, error) {
	out, err := s.registeredAs(ctx, p.tenant, p.device, p.signs, p.decrypts)
	var until time.Time
	for _, k := range now.Keys {
		if k.Until.After(until) {
			until = k.Until
		}
	}
	if !until.IsZero() {
		out.RotatesUntil = until.Unix()
	}
	return out, err
}
