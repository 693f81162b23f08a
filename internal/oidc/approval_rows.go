package oidc

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the table of approvals.
//
//go:embed migrations/*.sql
var Migrations embed.FS

const approvalColumns = `select id, user_id, session_id, state, device, asked, granted, created, expires from device_approval `

func approvalByCode(ctx context.Context, q sqldb.Querier, t idp.TenantID, code []byte) (approval, error) {
	return scanApproval(q.QueryRow(ctx, approvalColumns+`where tenant_id = $1 and code = $2`, t, code))
}

func approvalByID(ctx context.Context, q sqldb.Querier, t idp.TenantID, id string) (approval, error) {
	if len(id) != 36 || !plain(id, 36) {
		return approval{}, idp.NotFoundf("approval_over", "approval %q", clip(id))
	}
	return scanApproval(q.QueryRow(ctx, approvalColumns+`where tenant_id = $1 and id = $2`, t, id))
}

func scanApproval(row *sqldb.Row) (approval, error) {
	var a approval
	var created, expires int64
	err := row.Scan(&a.ID, &a.User, &a.Session, &a.State, &a.Device, &a.Asked, &a.Granted, &created, &expires)
	if err != nil {
		return a, fmt.Errorf("read approval: %w", err)
	}
	a.Created, a.Expires = time.UnixMilli(created).UTC(), time.UnixMilli(expires).UTC()
	return a, nil
}

// countApprovals counts the codes that a person typed since then.
func countApprovals(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID, since time.Time) (n int64, err error) {
	err = q.QueryRow(ctx, `select count(*) from device_approval where tenant_id = $1 and user_id = $2 and created > $3`,
		t, u, since.UnixMilli()).Scan(&n)
	return n, err
}

// insertApproval writes a code that was typed. Conflict: it was typed before,
// and is not over; what is over makes room.
func insertApproval(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, code []byte, a approval) error {
	if _, err := tx.Exec(ctx, `delete from device_approval where tenant_id = $1 and code = $2 and expires <= $3`,
		t, code, a.Created.UnixMilli()); err != nil {
		return fmt.Errorf("make room for approval: %w", err)
	}
	n, err := tx.Exec(ctx, `
		insert into device_approval (tenant_id, id, code, user_id, session_id, state, device, asked, granted, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, '', '', $8, $9)
		on conflict do nothing`,
		t, a.ID, code, a.User, a.Session, a.State, []byte{}, a.Created.UnixMilli(), a.Expires.UnixMilli())
	if err != nil {
		return fmt.Errorf("write approval: %w", err)
	}
	if n == 0 {
		return idp.Conflictf("user_code_taken", "the code of approval %s was typed before", a.ID)
	}
	return nil
}

// meetApproval fills in what the first machine asks that polls with the code.
// Another one, that was a moment faster, keeps the row.
func meetApproval(ctx context.Context, db *sqldb.DB, t idp.TenantID, id string, device, asked []byte) error {
	_, err := db.Exec(ctx, `
		update device_approval set state = $4, device = $5, asked = $6
		where tenant_id = $1 and id = $2 and state = $3`,
		t, id, approvalOpen, approvalMet, device, string(asked))
	if err != nil {
		return fmt.Errorf("meet approval %s: %w", id, err)
	}
	return nil
}

// endApproval writes the person's answer. A yes needs a machine that was met;
// a no also stands before. Expired: somebody answered before, or it is over.
func endApproval(ctx context.Context, tx *sqldb.Tx, sess session.Session, id, state string, granted []byte, now time.Time) error {
	also := approvalMet
	if state == approvalDenied {
		also = approvalOpen
	}
	n, err := tx.Exec(ctx, `
		update device_approval set state = $6, granted = $7, session_id = $8
		where tenant_id = $1 and id = $2 and user_id = $3 and state in ($4, $5) and expires > $9`,
		sess.Tenant, id, sess.User, approvalMet, also, state, string(granted), sess.ID, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("answer approval %s: %w", id, err)
	}
	if n == 0 {
		return idp.Expiredf("approval_over", "approval %s", id)
	}
	return nil
}

// RemoveUser forgets what a person who is deleted was asked; it fits
// directory.OnRemoveUser.
func RemoveUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	if _, err := tx.Exec(ctx, `delete from device_approval where tenant_id = $1 and user_id = $2`, t, u); err != nil {
		return fmt.Errorf("delete approvals of %s: %w", u, err)
	}
	return nil
}

// sweepBatch bounds how long one sweep holds the writer.
const sweepBatch = 1000

// Jobs forgets approvals some time after they are over: until then a code that
// is typed again is told from one that never was.
func Jobs(db *sqldb.DB) []job.Job {
	return []job.Job{{Name: "device_approval.sweep", Every: 10 * time.Minute, Run: func(ctx context.Context, now time.Time) error {
		for {
			n, err := db.Exec(ctx, `
				delete from device_approval where (tenant_id, id) in (
					select tenant_id, id from device_approval where expires < $1 order by expires limit $2)`,
				now.Add(-time.Hour).UnixMilli(), sweepBatch)
			if err != nil || n < sweepBatch {
				return err
			}
		}
	}}}
}
