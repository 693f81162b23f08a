package prt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// end ends one PRT and what stands on it, and says whether it was this call
// that did.
func (s *Service) end(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.SessionID) (bool, error) {
	n, err := tx.Exec(ctx, `update prt set ended = $3 where tenant_id = $1 and id = $2 and ended = 0`, t, id, s.cfg.Now().UnixMilli())
	if err != nil {
		return false, fmt.Errorf("end prt %s: %w", id, err)
	}
	if n == 0 {
		return false, nil
	}
	if err := s.changed(ctx, tx, t, id); err != nil || s.cfg.OnEnd == nil {
		return true, err
	}
	if err := s.cfg.OnEnd(ctx, tx, t, u, id); err != nil {
		return true, fmt.Errorf("end what stands on prt %s: %w", id, err)
	}
	return true, nil
}

// Revoke ends one PRT. Ending it again is no error; one that the tenant does not
// have is idp.NotFound.
func (s *Service) Revoke(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.SessionID) error {
	r, err := load(ctx, tx, t, id, "")
	if err != nil {
		return err
	}
	_, err = s.end(ctx, tx, t, r.User, id)
	return err
}

// RevokeUser ends all PRTs of a person.
func (s *Service) RevokeUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	return s.endAll(ctx, tx, t, "user_id", u, func(PRT) bool { return true })
}

// RevokeDevice ends all PRTs of a device. They do not come back when it is
// enabled again (decisions 4.8).
func (s *Service) RevokeDevice(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID) error {
	return s.endAll(ctx, tx, t, "device_id", d, func(PRT) bool { return true })
}

// RevokeStanding ends a person's PRTs that stand on a credential which is going
// away (security.md SES03).
func (s *Service) RevokeStanding(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, m idp.MethodID, c idp.CredentialID) error {
	return s.endAll(ctx, tx, t, "user_id", u, func(p PRT) bool {
		return slices.ContainsFunc(p.Proofs, func(proof idp.Proof) bool { return proof.Method == m && proof.Credential == c })
	})
}

func (s *Service) endAll(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, column string, value any, which func(PRT) bool) error {
	all, err := standing(ctx, tx, t, column, value)
	if err != nil {
		return fmt.Errorf("PRTs to end: %w", err)
	}
	for _, r := range all {
		if !which(r.PRT) {
			continue
		}
		if _, err := s.end(ctx, tx, t, r.User, r.ID); err != nil {
			return err
		}
	}
	return nil
}

// RemoveUser deletes the PRTs of a person who is deleted, after ending them.
func (s *Service) RemoveUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	if err := s.RevokeUser(ctx, tx, t, u); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from prt where tenant_id = $1 and user_id = $2`, t, u); err != nil {
		return fmt.Errorf("delete PRTs of %s: %w", u, err)
	}
	return nil
}

// OfUser lists the PRTs of a person that stand, newest first.
func (s *Service) OfUser(ctx context.Context, t idp.TenantID, u idp.UserID) ([]PRT, error) {
	return s.list(ctx, t, "user_id", u)
}

// OfDevice lists the PRTs of a device that stand, newest first.
func (s *Service) OfDevice(ctx context.Context, t idp.TenantID, d idp.DeviceID) ([]PRT, error) {
	return s.list(ctx, t, "device_id", d)
}

func (s *Service) list(ctx context.Context, t idp.TenantID, column string, value any) ([]PRT, error) {
	all, err := standing(ctx, s.cfg.DB, t, column, value)
	if err != nil {
		return nil, fmt.Errorf("list PRTs: %w", err)
	}
	idle, absolute, err := s.cfg.Lives(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("lives of PRTs: %w", err)
	}
	now, epoch := s.cfg.Now(), s.cfg.Epoch()
	var out []PRT
	for _, r := range all {
		if r.epoch == epoch && r.inTime(now, idle, absolute) {
			out = append(out, r.PRT)
		}
	}
	return out, nil
}

// Alive says whether the PRT of that id may still be stood on, for what has its
// id for a session's: refresh families and browser sessions. Asked in a
// transaction, it stays so until the commit. An unknown one is not alive.
func (s *Service) Alive(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.SessionID) (bool, error) {
	lock := ""
	if tx, ok := q.(*sqldb.Tx); ok {
		lock = tx.ForShare()
	}
	idle, absolute, err := s.cfg.Lives(ctx, t)
	if err != nil {
		return false, fmt.Errorf("lives of PRTs: %w", err)
	}
	r, err := load(ctx, q, t, id, lock)
	if errors.Is(err, idp.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !r.ended && r.epoch == s.cfg.Epoch() && r.inTime(s.cfg.Now(), idle, absolute), nil
}
