package psso

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

// answerLives is what answers of the key service claim to be good for (§8.2).
const answerLives = 5 * time.Minute

// mayHold finds the sign-in that a message of the key service stands on and the
// key that it is about: both proofs are needed, that of the device key, which has
// signed, and that of the session (security.md PSO05). The session must be of the
// person whom the message names.
func (s *Server) mayHold(ctx context.Context, x exchange) (standing, mac.Holder, error) {
	p, err := s.stands(ctx, x)
	if err != nil {
		return p, mac.Holder{}, err
	}
	if p.refusal == nil {
		p.refusal = x.names(p.user)
	}
	h := mac.Holder{Tenant: x.tenant.ID, Device: x.device.ID, User: p.PRT.User, Purpose: x.KeyPurpose}
	if ok, wait := s.unlocks.Allow(string(h.Device) + " " + string(h.User)); !ok && p.refusal == nil {
		p.refusal = limited("unlock_requests", wait, "user %s on device %s", h.User, h.Device)
	}
	return p, h, nil
}

// names holds a message of the key service against the person of its session.
func (x exchange) names(u idp.User) error {
	switch {
	case x.Subject == "" || x.Username != x.Subject:
		return malformed("subject_differs", "sub of %d characters, username of %d", len(x.Subject), len(x.Username))
	case directory.Fold(x.Subject) != directory.Fold(u.Name):
		return credential(idp.Unproven, codeRevoked, "prt_of_other_user", "refresh token of %s in a message of %q", u.ID, clip(x.Subject))
	case x.KeyPurpose != pssowire.KeyPurpose:
		return malformed("key_purpose", "key_purpose %q", clip(x.KeyPurpose))
	}
	return nil
}

// provision answers a key request: the certificate of the key that unlocks the
// Mac for this person, the same one however often it asks (§8.2).
func (s *Server) provision(ctx context.Context, x exchange) (reply, error) {
	p, h, err := s.mayHold(ctx, x)
	if err != nil {
		return reply{}, err
	}
	var key mac.Provisioned
	if p.refusal == nil {
		if key, err = s.cfg.Macs.Unlock.Prepare(ctx, h); err != nil {
			return reply{}, err
		}
	}
	r := s.carriedBy(x, p)
	r.Settle = func(ctx context.Context, tx *sqldb.Tx) (err error) {
		// What is removed meanwhile ends the sign-in, and then takes its unlock
		// keys with it: none may be written after that.
		if err := s.goesOn(ctx, tx, p); err != nil {
			return err
		}
		key, _, err = s.cfg.Macs.Unlock.Provision(ctx, tx, key)
		return err
	}
	if _, err := s.cfg.Corridor.Carried(ctx, r); err != nil {
		return reply{}, again(err)
	}
	return s.unlocking(x, pssowire.KeyReply{
		Certificate: base64.RawURLEncoding.EncodeToString(key.Certificate), KeyContext: key.Context,
	})
}

// exchange answers a key exchange: what the provisioned key and the one of the
// Mac agree on (§8.3).
func (s *Server) exchange(ctx context.Context, x exchange) (reply, error) {
	p, h, err := s.mayHold(ctx, x)
	if err != nil {
		return reply{}, err
	}
	var secret []byte
	if p.refusal == nil {
		if secret, p.refusal = s.agree(ctx, x, h); ours(p.refusal) {
			return reply{}, p.refusal
		}
	}
	r := s.carriedBy(x, p)
	r.Settle = func(ctx context.Context, tx *sqldb.Tx) error { return s.goesOn(ctx, tx, p) }
	if _, err := s.cfg.Corridor.Carried(ctx, r); err != nil {
		return reply{}, again(err)
	}
	return s.unlocking(x, pssowire.KeyReply{Key: base64.StdEncoding.EncodeToString(secret)})
}

// goesOn makes sure that a sign-in is not over, and stays so until the commit:
// what was taken back since it was found unlocks nothing any more.
func (s *Server) goesOn(ctx context.Context, tx *sqldb.Tx, p standing) error {
	alive, err := s.cfg.PRTs.Alive(ctx, tx, p.PRT.Tenant, p.PRT.ID)
	if err == nil && !alive {
		err = credential(idp.Expired, codeRevoked, "prt_revoked", "prt %s", p.PRT.ID)
	}
	return err
}

// agree does the key agreement.
func (s *Server) agree(ctx context.Context, x exchange, h mac.Holder) ([]byte, error) {
	point, err := jose.Unbase64(x.OtherKey)
	if err != nil {
		return nil, malformed("other_publickey", "%w", err)
	}
	secret, err := s.cfg.Macs.Unlock.Exchange(ctx, h, x.KeyContext, point)
	if errors.Is(err, idp.Invalid) {
		return nil, malformed(idp.AsError(err).Reason, "%w", err)
	}
	return secret, err
}

func (s *Server) unlocking(x exchange, k pssowire.KeyReply) (reply, error) {
	now := s.cfg.Now()
	now = now.Add(-x.backdated(now))
	k.Issued, k.Expires = now.Unix(), now.Add(answerLives).Unix()
	return x.sealed(pssowire.TypeKeyReply, pssowire.MediaKey, k)
}
