package accesspass

import (
	"context"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// pass is a row of access_pass.
type pass struct {
	Tenant         idp.TenantID
	User           idp.UserID
	ID             idp.CredentialID
	Selector, Code []byte // HMACs
	Once           bool
	Tries          int64 // wrong ones with the right selector, since the last right one
	Created        time.Time
	Starts         time.Time
	Expires        time.Time
	LastUsed       time.Time
}

const columns = `tenant_id, user_id, id, selector, code, once, tries, created, starts, expires, last_used`

func find(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, user idp.UserID) (pass, error) {
	return scan(q.QueryRow(ctx, `select `+columns+` from access_pass where tenant_id = $1 and user_id = $2`, tenant, user))
}

func replace(ctx context.Context, tx *sqldb.Tx, p pass) error {
	_, err := tx.Exec(ctx, `
		insert into access_pass (`+columns+`)
		values ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, 0)
		on conflict (tenant_id, user_id) do update set
			id = excluded.id, selector = excluded.selector, code = excluded.code, once = excluded.once,
			tries = 0, created = excluded.created, starts = excluded.starts, expires = excluded.expires, last_used = 0`,
		p.Tenant, p.User, p.ID, p.Selector, p.Code, p.Once, ms(p.Created), ms(p.Starts), ms(p.Expires))
	return err
}

// use settles a right answer. It asks again, in the transaction, all that may
// have changed since the row was read: of two uses of a one-time pass one
// wins, and the sixth try is refused even when it is right.
func use(ctx context.Context, tx *sqldb.Tx, p pass, now time.Time) error {
	n, err := tx.Exec(ctx, `
		update access_pass set last_used = $5, tries = 0
		where tenant_id = $1 and user_id = $2 and id = $3
			and tries < $4 and expires > $5 and (not once or last_used = 0)`,
		p.Tenant, p.User, p.ID, maxTries, ms(now))
	if err != nil {
		return fmt.Errorf("use access pass %s: %w", p.ID, err)
	}
	if n == 0 {
		return refuse("pass_changed", "pass %s was used, spent or taken back meanwhile", p.ID)
	}
	return nil
}

// miss settles a wrong answer. One that does not count runs the same
// statement and changes no row.
func miss(ctx context.Context, tx *sqldb.Tx, p pass, counts bool) error {
	id := p.ID
	if !counts {
		id = ""
	}
	_, err := tx.Exec(ctx, `
		update access_pass set tries = tries + 1
		where tenant_id = $1 and user_id = $2 and id = $3 and tries < $4`,
		p.Tenant, p.User, id, maxTries)
	if err != nil {
		return fmt.Errorf("count try of access pass %s: %w", p.ID, err)
	}
	return nil
}

func remove(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, id idp.CredentialID) error {
	n, err := tx.Exec(ctx, `delete from access_pass where tenant_id = $1 and user_id = $2 and id = $3`, tenant, user, id)
	if err != nil {
		return fmt.Errorf("remove access pass %s: %w", id, err)
	}
	if n == 0 {
		return idp.NotFoundf("pass_unknown", "access pass %s", id)
	}
	return nil
}

func removeUser(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) error {
	_, err := tx.Exec(ctx, `delete from access_pass where tenant_id = $1 and user_id = $2`, tenant, user)
	return err
}

func walk(ctx context.Context, db *sqldb.DB, tenant idp.TenantID, fn func(pass) error) error {
	rows, err := db.Query(ctx, `select `+columns+` from access_pass where tenant_id = $1`, tenant)
	if err != nil {
		return fmt.Errorf("walk access passes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		p, err := scan(rows)
		if err != nil {
			return fmt.Errorf("walk access passes: %w", err)
		}
		if err := fn(p); err != nil {
			return err
		}
	}
	return rows.Err()
}

// keepFor is how long a pass stays after its end: the page of its owner and
// the log can say that it is over.
const keepFor = 7 * 24 * time.Hour

func (m *Method) sweep(ctx context.Context, now time.Time) error {
	// Of all tenants: what is over is over everywhere.
	if _, err := m.cfg.DB.Exec(ctx, `delete from access_pass where expires < $1`, ms(now.Add(-keepFor))); err != nil {
		return fmt.Errorf("sweep access passes: %w", err)
	}
	return nil
}

func scan(row interface{ Scan(...any) error }) (pass, error) {
	var p pass
	var created, starts, expires, lastUsed int64
	err := row.Scan(&p.Tenant, &p.User, &p.ID, &p.Selector, &p.Code, &p.Once, &p.Tries, &created, &starts, &expires, &lastUsed)
	if err != nil {
		return pass{}, err
	}
	p.Created, p.Starts, p.Expires, p.LastUsed = at(created), at(starts), at(expires), at(lastUsed)
	return p, nil
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
