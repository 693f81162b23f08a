package prt

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

const columns = `tenant_id, id, user_id, device_id, proofs, proof_time, mfa_time, direct, protocol, kdf, generation,
	issued, renewed, seen, expires, ends, agent, ip, epoch, ended`

// row is a PRT as it is kept.
type row struct {
	PRT
	epoch int64
	ended bool
}

func insert(ctx context.Context, tx *sqldb.Tx, p PRT, epoch int64) error {
	proofs, err := json.Marshal(p.Proofs)
	if err != nil {
		return fmt.Errorf("encode proofs: %w", err)
	}
	_, err = tx.Exec(ctx, `
		insert into prt (`+columns+`)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 0)`,
		p.Tenant, p.ID, p.User, p.Device, string(proofs), ms(p.ProofTime), ms(p.MFATime), p.Direct, string(p.Protocol), int64(p.KDF),
		p.Generation, ms(p.Issued), ms(p.Renewed), ms(p.LastUsed), ms(p.Expires), ms(p.Ends), p.Agent, p.IP, epoch)
	if err != nil {
		return fmt.Errorf("write prt %s: %w", p.ID, err)
	}
	return nil
}

// load reads one PRT; lock is "" or tx.ForShare().
func load(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.SessionID, lock string) (row, error) {
	r, err := scan(q.QueryRow(ctx, `select `+columns+` from prt where tenant_id = $1 and id = $2 `+lock, t, id))
	if err != nil {
		return row{}, fmt.Errorf("read prt %s: %w", id, err)
	}
	return r, nil
}

type scanner interface{ Scan(...any) error }

func scan(from scanner) (row, error) {
	var r row
	var proofs []byte
	var kdf, proofTime, mfaTime, issued, renewed, seen, expires, ends, ended int64
	err := from.Scan(&r.Tenant, &r.ID, &r.User, &r.Device, &proofs, &proofTime, &mfaTime, &r.Direct, &r.Protocol, &kdf, &r.Generation,
		&issued, &renewed, &seen, &expires, &ends, &r.Agent, &r.IP, &r.epoch, &ended)
	if err != nil {
		return row{}, err
	}
	if err := json.Unmarshal(proofs, &r.Proofs); err != nil {
		return row{}, fmt.Errorf("proofs of prt %s: %w", r.ID, err)
	}
	r.KDF = int(kdf)
	r.ProofTime, r.MFATime, r.Issued, r.Renewed = at(proofTime), at(mfaTime), at(issued), at(renewed)
	r.LastUsed, r.Expires, r.Ends = at(seen), at(expires), at(ends)
	r.ended = ended != 0
	return r, nil
}

// standing reads the PRTs that are not ended, newest first, of a user or of a
// device; column is one of ours, never input.
func standing(ctx context.Context, q sqldb.Querier, t idp.TenantID, column string, value any) ([]row, error) {
	rows, err := q.Query(ctx, `
		select `+columns+` from prt where tenant_id = $1 and `+column+` = $2 and ended = 0 order by id desc`, t, value)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// keepFor is how long a PRT that is over stays: who presents it is told that
// it was ours.
const keepFor = 30 * 24 * time.Hour

// sweepBatch bounds what one statement deletes, so that others can write in
// between.
const sweepBatch = 1000

// Jobs forgets PRTs that have been over for keepFor.
func (s *Service) Jobs() []job.Job {
	return []job.Job{{Name: "prt.sweep", Every: time.Hour, Run: s.sweep}}
}

func (s *Service) sweep(ctx context.Context, now time.Time) error {
	old := now.Add(-keepFor)
	for {
		// Of all tenants: what is over is over everywhere. Ids are times; the
		// few old ones that are passed over were renewed for that long.
		n, err := s.cfg.DB.Exec(ctx, `
			delete from prt where id in (
				select id from prt where id < $1 and (expires < $2 or ended between 1 and $2) order by id limit $3)`,
			secret.FirstUUID7(old), ms(old), sweepBatch)
		if err != nil {
			return fmt.Errorf("sweep PRTs: %w", err)
		}
		if n < sweepBatch {
			return nil
		}
	}
}

// ms is how times are stored; the zero time is 0.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
