package hello

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// row is a key as it is stored.
type row struct {
	id       idp.CredentialID
	tenant   idp.TenantID
	user     idp.UserID
	device   idp.DeviceID
	kid      []byte
	print    []byte
	spki     []byte
	name     string
	created  time.Time
	lastUsed time.Time // zero: never
	orphaned time.Time // zero: its device is there
	removed  time.Time // zero: it was not
}

const columns = `id, tenant_id, user_id, device_id, spki, name, created, last_used, orphaned, removed`

func scan(r interface{ Scan(...any) error }) (row, error) {
	var k row
	var created, used, orphaned, removed int64
	err := r.Scan(&k.id, &k.tenant, &k.user, &k.device, &k.spki, &k.name, &created, &used, &orphaned, &removed)
	k.created, k.lastUsed, k.orphaned, k.removed = at(created), at(used), at(orphaned), at(removed)
	return k, err
}

// at is a stored time; 0 is none.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func scanAll(rows *sqldb.Rows, err error) ([]row, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		k, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, rows.Err()
}

// find reads the key of a person by the name that clients give it.
func find(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID, kid []byte) (row, error) {
	return scan(q.QueryRow(ctx, `
		select `+columns+` from hello_key
		where tenant_id = $1 and user_id = $2 and kid = $3 and removed = 0`, t, u, kid))
}

// kept reads the key that a device keeps, by that name. Two people cannot have
// one key, so it is one at most.
func kept(ctx context.Context, q sqldb.Querier, t idp.TenantID, d idp.DeviceID, kid []byte) (row, error) {
	return scan(q.QueryRow(ctx, `
		select `+columns+` from hello_key
		where tenant_id = $1 and device_id = $2 and kid = $3 and removed = 0`, t, d, kid))
}

// touch writes a sign-in back if the key is still good.
func touch(ctx context.Context, tx *sqldb.Tx, k row, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update hello_key set last_used = $5
		where tenant_id = $1 and user_id = $2 and id = $3 and device_id = $4 and removed = 0 and orphaned = 0`,
		k.tenant, k.user, k.id, k.device, now.UnixMilli())
	return n == 1, err
}

// lock puts the changes of one person's keys in an order.
func lock(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	_, err := tx.Exec(ctx, `
		insert into hello_holder (tenant_id, user_id, held) values ($1, $2, 0)
		on conflict (tenant_id, user_id) do update set held = hello_holder.held`, t, u)
	return err
}

// take takes one of a person's places: of many callers at the last one, one
// gets it.
func take(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, limit int) error {
	n, err := tx.Exec(ctx, `
		update hello_holder set held = held + 1
		where tenant_id = $1 and user_id = $2 and held < $3`, t, u, limit)
	if err == nil && n == 0 {
		err = idp.Deniedf("hello_limit", "%s holds %d Hello keys", u, limit).
			Say(fmt.Sprintf("This person holds %d of these keys, which is as many as the organisation allows. Remove one that is not used any more.", limit))
	}
	return err
}

func give(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	_, err := tx.Exec(ctx, `update hello_holder set held = held - 1 where tenant_id = $1 and user_id = $2`, t, u)
	return err
}

// ofDevice is the key that a device keeps for a person.
func ofDevice(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, d idp.DeviceID) (idp.CredentialID, error) {
	var id idp.CredentialID
	err := tx.QueryRow(ctx, `
		select id from hello_key where tenant_id = $1 and user_id = $2 and device_id = $3 and removed = 0`, t, u, d).Scan(&id)
	if errors.Is(err, idp.NotFound) {
		return "", nil
	}
	return id, err
}

func insert(ctx context.Context, tx *sqldb.Tx, k row) error {
	n, err := tx.Exec(ctx, `
		insert into hello_key (id, tenant_id, user_id, device_id, kid, print, spki, name, created, last_used, orphaned, removed)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0)
		on conflict (print) do nothing`,
		k.id, k.tenant, k.user, k.device, k.kid, k.print, k.spki, k.name, k.created.UnixMilli())
	if err == nil && n == 0 {
		err = errTaken(k.id)
	}
	return err
}

// mark sets when a key was removed, if it was not.
func mark(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update hello_key set removed = $4
		where tenant_id = $1 and user_id = $2 and id = $3 and removed = 0`, t, u, id, now.UnixMilli())
	return n == 1, err
}

// unmark takes that back, if it was not so long ago.
func unmark(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, since time.Time) (row, error) {
	return scan(tx.QueryRow(ctx, `
		update hello_key set removed = 0
		where tenant_id = $1 and user_id = $2 and id = $3 and removed > $4
		returning `+columns, t, u, id, since.UnixMilli()))
}

// orphan notes that the device of keys is gone; removed ones too, which may be
// restored.
func orphan(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID, now time.Time) error {
	_, err := tx.Exec(ctx, `
		update hello_key set orphaned = $3 where tenant_id = $1 and device_id = $2 and orphaned = 0`, t, d, now.UnixMilli())
	return err
}

func rename(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, name string) (bool, error) {
	n, err := tx.Exec(ctx, `
		update hello_key set name = $4 where tenant_id = $1 and user_id = $2 and id = $3 and removed = 0`, t, u, id, name)
	return n == 1, err
}

// listOf are the keys of a person, oldest first.
func listOf(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID) ([]row, error) {
	return scanAll(q.Query(ctx, `
		select `+columns+` from hello_key
		where tenant_id = $1 and user_id = $2 and removed = 0
		order by created, id`, t, u))
}

// onDevice are the keys that a device keeps.
func onDevice(ctx context.Context, q sqldb.Querier, t idp.TenantID, d idp.DeviceID) ([]row, error) {
	return scanAll(q.Query(ctx, `
		select `+columns+` from hello_key
		where tenant_id = $1 and device_id = $2 and removed = 0
		order by user_id`, t, d))
}

// page is the next keys of the tenant, in the order of their owners.
func page(ctx context.Context, q sqldb.Querier, t idp.TenantID, after row, limit int) ([]row, error) {
	return scanAll(q.Query(ctx, `
		select `+columns+` from hello_key
		where tenant_id = $1 and (user_id, id) > ($2, $3) and removed = 0
		order by user_id, id
		limit $4`, t, after.user, after.id, limit))
}

// binned is page of keys that were removed since then.
func binned(ctx context.Context, q sqldb.Querier, t idp.TenantID, after row, since time.Time, limit int) ([]row, error) {
	return scanAll(q.Query(ctx, `
		select `+columns+` from hello_key
		where tenant_id = $1 and (user_id, id) > ($2, $3) and removed > $4
		order by user_id, id
		limit $5`, t, after.user, after.id, since.UnixMilli(), limit))
}
