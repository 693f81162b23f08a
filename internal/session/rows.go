package session

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

const columns = `tenant_id, id, user_id, digest, proofs, proof_time, mfa_time, opened, seen,
	expires, restricted, agent, ip, browser, epoch, ended, stands_on, device_id`

func insert(ctx context.Context, tx *sqldb.Tx, s Session) error {
	proofs, err := json.Marshal(s.Proofs)
	if err != nil {
		return fmt.Errorf("encode proofs: %w", err)
	}
	_, err = tx.Exec(ctx, `
		insert into session (`+columns+`)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 0, $16, $17)`,
		s.Tenant, s.ID, s.User, s.digest, string(proofs), ms(s.ProofTime), ms(s.MFATime), ms(s.Opened), ms(s.LastSeen),
		ms(s.Expires), s.Restricted, s.Agent, s.IP, notNil(s.Browser), s.epoch, s.PRT, s.Device)
	return err
}

// renew is conditional on the old bearer: of two renewals one wins.
func renew(ctx context.Context, tx *sqldb.Tx, s Session, old []byte) error {
	proofs, err := json.Marshal(s.Proofs)
	if err != nil {
		return fmt.Errorf("encode proofs: %w", err)
	}
	n, err := tx.Exec(ctx, `
		update session
		set digest = $3, proofs = $4, proof_time = $5, mfa_time = $6, seen = $7, expires = $8,
			agent = $9, ip = $10, browser = $11
		where tenant_id = $1 and id = $2 and digest = $12 and ended = 0`,
		s.Tenant, s.ID, s.digest, string(proofs), ms(s.ProofTime), ms(s.MFATime), ms(s.LastSeen), ms(s.Expires),
		s.Agent, s.IP, notNil(s.Browser), notNil(old))
	if err != nil {
		return fmt.Errorf("renew session %s: %w", s.ID, err)
	}
	if n == 0 {
		return idp.Expiredf("session_changed", "session %s was renewed or has ended", s.ID)
	}
	return nil
}

func load(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, id idp.SessionID) (Session, error) {
	return scan(q.QueryRow(ctx, `select `+columns+` from session where tenant_id = $1 and id = $2`, tenant, id))
}

// loadLife reads of a session only what decides whether it is alive. Read in a
// transaction it stays so until the commit: whoever signs out beside it either
// comes first, or finds what was given on the session's strength.
func loadLife(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, id idp.SessionID) (Session, error) {
	s, share := Session{ID: id, Tenant: tenant}, ""
	if tx, ok := q.(*sqldb.Tx); ok {
		share = tx.ForShare()
	}
	var proofTime, opened, seen, expires, ended int64
	err := q.QueryRow(ctx, `
		select proof_time, opened, seen, expires, epoch, ended, stands_on, device_id from session
		where tenant_id = $1 and id = $2`+share, tenant, id).
		Scan(&proofTime, &opened, &seen, &expires, &s.epoch, &ended, &s.PRT, &s.Device)
	s.ProofTime, s.Opened, s.LastSeen, s.Expires, s.ended = at(proofTime), at(opened), at(seen), at(expires), ended != 0
	return s, err
}

// mostListed bounds what is listed for a person, who looks at all of it.
const mostListed = 500

// live gives the sessions of a user that have not ended, newest first.
func live(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, user idp.UserID, now time.Time) ([]Session, error) {
	return list(ctx, q, `
		select `+columns+` from session
		where tenant_id = $1 and user_id = $2 and ended = 0 and expires > $3
		order by opened desc, id desc
		limit $4`, tenant, user, ms(now), mostListed)
}

// kept gives the sessions of a user that are still kept, over or not, newest
// first.
func kept(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, user idp.UserID) ([]Session, error) {
	return list(ctx, q, `
		select `+columns+` from session
		where tenant_id = $1 and user_id = $2
		order by opened desc, id desc
		limit $3`, tenant, user, mostListed)
}

// after gives the next live sessions of a user by id, page by page: none is
// passed over, however many there are.
func after(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, user idp.UserID, id idp.SessionID, now time.Time) ([]Session, error) {
	return list(ctx, q, `
		select `+columns+` from session
		where tenant_id = $1 and user_id = $2 and ended = 0 and expires > $3 and id > $4
		order by id
		limit $5`, tenant, user, ms(now), id, mostListed)
}

func list(ctx context.Context, q sqldb.Querier, query string, args ...any) ([]Session, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	defer rows.Close()
	var out []Session
	for rows.Next() {
		s, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// locate is a locator (decisions 3.6): it tells a session's tenant, nothing
// else.
func locate(ctx context.Context, q sqldb.Querier, id idp.SessionID) (tenant idp.TenantID, err error) {
	err = q.QueryRow(ctx, `select tenant_id from session where id = $1`, id).Scan(&tenant)
	return tenant, err
}

func touch(ctx context.Context, db *sqldb.DB, s Session, now time.Time) error {
	_, err := db.Exec(ctx, `
		update session set seen = $3
		where tenant_id = $1 and id = $2 and seen < $4 and ended = 0`,
		s.Tenant, s.ID, ms(now), ms(now.Add(-touchEvery)))
	if err != nil {
		return fmt.Errorf("touch session %s: %w", s.ID, err)
	}
	return nil
}

func end(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, id idp.SessionID, now time.Time) error {
	n, err := tx.Exec(ctx, `
		update session set ended = case when ended = 0 then $3 else ended end
		where tenant_id = $1 and id = $2`, tenant, id, ms(now))
	if err != nil {
		return fmt.Errorf("end session %s: %w", id, err)
	}
	if n == 0 {
		return idp.NotFoundf("session_unknown", "session %s", id)
	}
	return nil
}

func endAll(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, except idp.SessionID, now time.Time) (int, error) {
	n, err := tx.Exec(ctx, `
		update session set ended = $4
		where tenant_id = $1 and user_id = $2 and id <> $3 and ended = 0 and expires > $4`,
		tenant, user, except, ms(now))
	if err != nil {
		return 0, fmt.Errorf("end sessions of %s: %w", user, err)
	}
	return int(n), nil
}

func endDevice(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, d idp.DeviceID, now time.Time) error {
	// device_id <> '' is what the index is about.
	_, err := tx.Exec(ctx, `
		update session set ended = $3
		where tenant_id = $1 and device_id = $2 and device_id <> '' and ended = 0`, tenant, d, ms(now))
	if err != nil {
		return fmt.Errorf("end sessions of device %s: %w", d, err)
	}
	return nil
}

type scanner interface{ Scan(...any) error }

func scan(row scanner) (Session, error) {
	var s Session
	var proofs string
	var proofTime, mfaTime, opened, seen, expires, ended int64
	err := row.Scan(&s.Tenant, &s.ID, &s.User, &s.digest, &proofs, &proofTime, &mfaTime, &opened, &seen,
		&expires, &s.Restricted, &s.Agent, &s.IP, &s.Browser, &s.epoch, &ended, &s.PRT, &s.Device)
	if err != nil {
		return Session{}, err
	}
	if err := json.Unmarshal([]byte(proofs), &s.Proofs); err != nil {
		return Session{}, fmt.Errorf("proofs of session %s: %w", s.ID, err)
	}
	s.ProofTime, s.MFATime = at(proofTime), at(mfaTime)
	s.Opened, s.LastSeen, s.Expires = at(opened), at(seen), at(expires)
	s.ended = ended != 0
	return s, nil
}

// keepFor is how long a session that is over stays: a browser is known by the
// sessions that a person had in it (decisions 2.9).
const keepFor = 30 * 24 * time.Hour

// sweepBatch bounds what one statement deletes, so that others can write in
// between.
const sweepBatch = 1000

// Jobs deletes sessions that have been over for keepFor.
func (st *Store) Jobs() []job.Job {
	return []job.Job{{Name: "session.sweep", Every: time.Hour, Run: st.sweep}}
}

func (st *Store) sweep(ctx context.Context, now time.Time) error {
	for {
		// Of all tenants: what is over is over everywhere. Ids are times, and
		// what is over was opened before it ended; the few old sessions that
		// are passed over are those that were renewed for that long.
		n, err := st.db.Exec(ctx, `
			delete from session where id in (
				select id from session where id < $1 and expires < $2 order by id limit $3)`,
			secret.FirstUUID7(now.Add(-keepFor)), ms(now.Add(-keepFor)), sweepBatch)
		if err != nil {
			return fmt.Errorf("sweep sessions: %w", err)
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

// notNil keeps nulls out of the table.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func removeUser(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) error {
	if _, err := tx.Exec(ctx, `delete from session where tenant_id = $1 and user_id = $2`, tenant, user); err != nil {
		return fmt.Errorf("delete sessions of %s: %w", user, err)
	}
	return nil
}
