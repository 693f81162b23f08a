package phone

import (
	"context"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// States of a phone, as phonewire has them.
const (
	stateWaiting = "waiting" // for its person to compare the words
	stateActive  = "active"
)

// phoneRow is a phone as it is stored.
type phoneRow struct {
	tenant   idp.TenantID
	id       idp.CredentialID
	user     idp.UserID
	state    string
	name     string
	platform string
	app      string
	spki     []byte
	passkey  idp.CredentialID
	pushKind string // empty: none
	push     []byte // sealed, see sealTarget
	address  string // where it last asked from
	created  time.Time
	lastUsed time.Time // zero: never
	seen     time.Time
}

const phoneColumns = `tenant_id, id, user_id, state, name, platform, app, spki, passkey, push_kind, push, address, created, last_used, seen`

func scanPhone(r interface{ Scan(...any) error }) (phoneRow, error) {
	var p phoneRow
	var created, used, seen int64
	err := r.Scan(&p.tenant, &p.id, &p.user, &p.state, &p.name, &p.platform, &p.app, &p.spki, &p.passkey,
		&p.pushKind, &p.push, &p.address, &created, &used, &seen)
	p.created, p.lastUsed, p.seen = at(created), at(used), at(seen)
	return p, err
}

func scanPhones(rows *sqldb.Rows, err error) ([]phoneRow, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []phoneRow
	for rows.Next() {
		p, err := scanPhone(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// at is a stored time; 0 is none.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// phoneByID reads a phone of the tenant, in whatever state. NotFound when there
// is none.
func phoneByID(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.CredentialID) (phoneRow, error) {
	if !plain(string(t), string(id)) {
		return phoneRow{}, notPlain("phone")
	}
	return scanPhone(q.QueryRow(ctx, `select `+phoneColumns+` from phone where tenant_id = $1 and id = $2`, t, id))
}

// phonesOf are the active phones of a person, oldest first.
func phonesOf(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID) ([]phoneRow, error) {
	return scanPhones(q.Query(ctx, `
		select `+phoneColumns+` from phone
		where tenant_id = $1 and user_id = $2 and state = 'active'
		order by created, id`, t, u))
}

// phonePage is the next active phones of the tenant, in the order of their
// owners.
func phonePage(ctx context.Context, q sqldb.Querier, t idp.TenantID, after phoneRow, limit int) ([]phoneRow, error) {
	return scanPhones(q.Query(ctx, `
		select `+phoneColumns+` from phone
		where tenant_id = $1 and (user_id, id) > ($2, $3) and state = 'active'
		order by user_id, id
		limit $4`, t, after.user, after.id, limit))
}

func renamePhone(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, name string) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone set name = $4 where tenant_id = $1 and user_id = $2 and id = $3 and state = 'active'`, t, u, id, name)
	return n == 1, err
}

// dropPhone deletes an active phone.
func dropPhone(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) (bool, error) {
	n, err := tx.Exec(ctx, `
		delete from phone where tenant_id = $1 and user_id = $2 and id = $3 and state = 'active'`, t, u, id)
	return n == 1, err
}

// touchPhone notes a sign-in by a phone that is still active.
func touchPhone(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone set last_used = $4 where tenant_id = $1 and user_id = $2 and id = $3 and state = 'active'`,
		t, u, id, now.UnixMilli())
	return n == 1, err
}

// lockHolder puts the changes of one person's phones in an order.
func lockHolder(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	_, err := tx.Exec(ctx, `
		insert into phone_holder (tenant_id, user_id, held) values ($1, $2, 0)
		on conflict (tenant_id, user_id) do update set held = phone_holder.held`, t, u)
	return err
}

// giveHolder gives a person's place back. Active phones hold one each; waiting
// ones none.
func giveHolder(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	_, err := tx.Exec(ctx, `update phone_holder set held = held - 1 where tenant_id = $1 and user_id = $2 and held > 0`, t, u)
	return err
}
