package prt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Renew gives the successor of the current generation, by one conditional
// statement; one presented from the overlap gets the current generation again
// and advances nothing (decisions 4.8). The sliding end moves on, MFATime as
// PRT.Direct says; session key and ProofTime never do. Of many renewals of one
// generation one advances and all get the same generation. Every refusal is
// Expired, as those of Find.
func (s *Service) Renew(ctx context.Context, tx *sqldb.Tx, o Opened) (PRT, string, error) {
	if o.key == nil {
		return PRT{}, "", errors.New("renew: a PRT that Find did not open")
	}
	p := o.PRT
	if o.Presented == p.Generation {
		next, err := s.successor(ctx, p)
		if err != nil {
			return PRT{}, "", err
		}
		n, err := tx.Exec(ctx, `
			update prt set generation = $4, renewed = $5, seen = $5, mfa_time = $6, expires = $7
			where tenant_id = $1 and id = $2 and generation = $3 and ended = 0`,
			p.Tenant, p.ID, p.Generation, next.Generation, ms(next.Renewed), ms(next.MFATime), ms(next.Expires))
		if err != nil {
			return PRT{}, "", fmt.Errorf("renew prt %s: %w", p.ID, err)
		}
		if n == 1 {
			if p.Protocol != Mac { // of which nothing is kept
				if err := s.changed(ctx, tx, p.Tenant, p.ID); err != nil {
					return PRT{}, "", err
				}
			}
			value, err := s.seal(o.key, next, o.SessionKey)
			return next, value, err
		}
	}
	// Somebody was faster, now or before: what they made of it, which stays as
	// it is until the commit, so that a revocation comes before or after.
	r, err := load(ctx, tx, p.Tenant, p.ID, tx.ForShare())
	switch {
	case errors.Is(err, idp.NotFound):
		return PRT{}, "", revoked(p.ID)
	case err != nil:
		return PRT{}, "", err
	case r.ended:
		return PRT{}, "", revoked(p.ID)
	case s.stale(r.PRT, o.Presented):
		return PRT{}, "", reused(r.PRT, o.Presented)
	}
	value, err := s.seal(o.key, r.PRT, o.SessionKey)
	return r.PRT, value, err
}

// successor is p one generation on.
func (s *Service) successor(ctx context.Context, p PRT) (PRT, error) {
	idle, absolute, err := s.cfg.Lives(ctx, p.Tenant)
	if err != nil {
		return PRT{}, fmt.Errorf("lives of PRTs: %w", err)
	}
	now := s.cfg.Now()
	p.Generation++
	p.Renewed, p.LastUsed = now, now
	if p.Direct && !p.MFATime.IsZero() {
		p.MFATime = now
	}
	p.Expires = earlier(now.Add(idle), earlier(p.Ends, p.Issued.Add(absolute)))
	return p, nil
}

// PinKDF binds a PRT to key derivation version 2 on its first use of it
// (device-protocol.md §8.3). It writes at most once.
func (s *Service) PinKDF(ctx context.Context, tx *sqldb.Tx, p PRT) error {
	if p.KDF == 2 {
		return nil
	}
	_, err := tx.Exec(ctx, `update prt set kdf = 2 where tenant_id = $1 and id = $2 and kdf <> 2`, p.Tenant, p.ID)
	if err != nil {
		return fmt.Errorf("pin kdf of prt %s: %w", p.ID, err)
	}
	return s.changed(ctx, tx, p.Tenant, p.ID)
}

// touchEvery is how old LastUsed may get before a use writes it.
const touchEvery = 5 * time.Minute

// Touch notes that p was used. It writes at most once in five minutes.
func (s *Service) Touch(ctx context.Context, tx *sqldb.Tx, p PRT) error {
	now := s.cfg.Now()
	if now.Sub(p.LastUsed) < touchEvery {
		return nil
	}
	_, err := tx.Exec(ctx, `update prt set seen = $3 where tenant_id = $1 and id = $2 and seen < $3`, p.Tenant, p.ID, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("touch prt %s: %w", p.ID, err)
	}
	tx.OnCommit(func() { s.rows.Drop(key{p.Tenant, p.ID}) }) // a node that touches it once more does no harm
	return nil
}

// Presenter is who presented a PRT, for the record of one that was reused.
type Presenter struct{ IP, Agent, Trace string }

// Reused ends a PRT of which an older generation turned up with a good proof of
// its session key: two copies are in use, and we cannot tell whose is the
// owner's (security.md DEV08, T10). It writes the event prt.reuse, once.
// Find's Opened of a "prt_reuse" is what it takes.
func (s *Service) Reused(ctx context.Context, tx *sqldb.Tx, o Opened, from Presenter) error {
	ended, err := s.end(ctx, tx, o.PRT.Tenant, o.PRT.User, o.PRT.ID)
	if err != nil || !ended {
		return err
	}
	return s.cfg.Audit.Write(ctx, tx, audit.Event{
		Tenant: o.PRT.Tenant, Category: audit.Token, Activity: "prt.reuse", Outcome: audit.Failure,
		User: o.PRT.User, Session: o.PRT.ID, Reason: "prt_reuse", Code: codeRevoked,
		Actor: "device:" + string(o.PRT.Device), IP: from.IP, Agent: from.Agent, Trace: from.Trace,
		Detail: map[string]string{"device": string(o.PRT.Device), "generation": fmt.Sprint(o.Presented), "current": fmt.Sprint(o.PRT.Generation)},
	})
}
