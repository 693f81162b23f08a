package prt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Login writes what Prepare made of a Mac's login, by one statement, and gives
// it back with its value. A person has one PRT of this kind on a Mac: the one that
// stands moves on by a generation, to the proofs and the times of this login, so
// that what stands on it does not end every day. One that is over does not come
// back: a new one with another id takes its row, and what stood on the old one
// finds nothing to stand on. Of logins at the same time each has a generation of
// its own, the last of them and the one before are good.
func (s *Service) Login(ctx context.Context, tx *sqldb.Tx, i Issued) (Issued, error) {
	if i.PRT.Protocol != Mac || i.key == nil {
		return Issued{}, errors.New("login: a PRT that is not prepared as a Mac's")
	}
	p, err := s.moveOn(ctx, tx, i)
	if err != nil {
		return Issued{}, err
	}
	i.PRT = p
	i.Value, err = s.seal(i.key, p, nil)
	return i, err
}

// moveOn is the statement. What is over by the tenant's limits as they are now is
// so here too, as for Find (inTime, refuse).
func (s *Service) moveOn(ctx context.Context, tx *sqldb.Tx, i Issued) (PRT, error) {
	p, epoch := i.PRT, s.cfg.Epoch()
	proofs, err := json.Marshal(p.Proofs)
	if err != nil {
		return PRT{}, fmt.Errorf("encode proofs: %w", err)
	}
	const stands = `prt.epoch = excluded.epoch and prt.expires > excluded.issued and prt.ends > excluded.issued and prt.renewed > $20 and prt.issued > $21`
	var id idp.SessionID
	err = tx.QueryRow(ctx, `
		insert into prt (`+columns+`)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 0)
		on conflict (tenant_id, user_id, device_id) where protocol = 'mac' and ended = 0 do update set
			id = case when `+stands+` then prt.id else excluded.id end,
			generation = case when `+stands+` then prt.generation + 1 else 1 end,
			proofs = excluded.proofs, proof_time = excluded.proof_time, mfa_time = excluded.mfa_time, direct = excluded.direct,
			issued = excluded.issued, renewed = excluded.renewed, seen = excluded.seen, expires = excluded.expires, ends = excluded.ends,
			agent = excluded.agent, ip = excluded.ip, epoch = excluded.epoch
		returning id, generation`,
		p.Tenant, p.ID, p.User, p.Device, string(proofs), ms(p.ProofTime), ms(p.MFATime), p.Direct, string(p.Protocol), int64(p.KDF),
		p.Generation, ms(p.Issued), ms(p.Renewed), ms(p.LastUsed), ms(p.Expires), ms(p.Ends), p.Agent, p.IP, epoch,
		ms(p.Issued.Add(-i.idle)), ms(p.Issued.Add(-i.life))).Scan(&id, &p.Generation)
	if err != nil {
		return PRT{}, fmt.Errorf("log in to prt of %s on %s: %w", p.User, p.Device, err)
	}
	p.ID = id
	return p, nil
}
