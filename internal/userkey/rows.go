package userkey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// In the statements of this package {key} and {holder} stand for the room's
// tables, and {columns} for what scan reads.

func (s *Managed[C]) query(ctx context.Context, q sqldb.Querier, text string, args ...any) ([]Key, error) {
	rows, err := q.Query(ctx, s.text(text), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Key
	for rows.Next() {
		k, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, rows.Err()
}

func (s *Managed[C]) one(ctx context.Context, q sqldb.Querier, text string, args ...any) (Key, error) {
	return scan(q.QueryRow(ctx, s.text(text), args...))
}

func (s *Managed[C]) exec(ctx context.Context, tx *sqldb.Tx, text string, args ...any) (int64, error) {
	return tx.Exec(ctx, s.text(text), args...)
}

// text is a statement as this room has it.
func (s *Managed[C]) text(statement string) string {
	if made, ok := s.texts.Load(statement); ok {
		return made.(string)
	}
	made := s.sql.Replace(statement)
	s.texts.Store(statement, made)
	return made
}

func scan(r interface{ Scan(...any) error }) (Key, error) {
	var k Key
	var created, used, orphaned, removed int64
	err := r.Scan(&k.ID, &k.Tenant, &k.User, &k.Device, &k.Print, &k.SPKI, &k.Name, &created, &used, &orphaned, &removed, &k.Marks)
	k.Created, k.LastUsed, k.Orphaned, k.Removed = at(created), at(used), at(orphaned), at(removed)
	return k, err
}

// at is a stored time; 0 is none.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// find reads the key of a person by the name that machines give it.
func (s *Managed[C]) find(ctx context.Context, t idp.TenantID, u idp.UserID, kid []byte) (Key, error) {
	return s.one(ctx, s.db, `
		select {columns} from {key}
		where tenant_id = $1 and user_id = $2 and kid = $3 and removed = 0`, t, u, kid)
}

// kept reads the key that a device keeps, by that name. Two people cannot have
// one key, so it is one at most.
func (s *Managed[C]) kept(ctx context.Context, t idp.TenantID, d idp.DeviceID, kid []byte) (Key, error) {
	return s.one(ctx, s.db, `
		select {columns} from {key}
		where tenant_id = $1 and device_id = $2 and kid = $3 and removed = 0`, t, d, kid)
}

// touch writes a sign-in back if the key is still good.
func (s *Managed[C]) touch(ctx context.Context, tx *sqldb.Tx, k Key, now time.Time) (bool, error) {
	n, err := s.exec(ctx, tx, `
		update {key} set last_used = $5
		where tenant_id = $1 and user_id = $2 and id = $3 and device_id = $4 and removed = 0 and orphaned = 0`,
		k.Tenant, k.User, k.ID, k.Device, now.UnixMilli())
	return n == 1, err
}

// lock puts the changes of one person's keys in an order.
func (s *Managed[C]) lock(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	_, err := s.exec(ctx, tx, `
		insert into {holder} (tenant_id, user_id, held) values ($1, $2, 0)
		on conflict (tenant_id, user_id) do update set held = {holder}.held`, t, u)
	return err
}

// take takes one of a person's places: of many callers at the last one, one
// gets it.
func (s *Managed[C]) take(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, limit int) error {
	n, err := s.exec(ctx, tx, `
		update {holder} set held = held + 1
		where tenant_id = $1 and user_id = $2 and held < $3`, t, u, limit)
	if err == nil && n == 0 {
		err = idp.Deniedf(s.reason("limit"), "%s holds %d %ss", u, limit, s.cfg.Noun).
			Say(fmt.Sprintf("This person holds %d of these keys, which is as many as the organisation allows. Remove one that is not used any more.", limit))
	}
	return err
}

func (s *Managed[C]) give(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	_, err := s.exec(ctx, tx, `update {holder} set held = held - 1 where tenant_id = $1 and user_id = $2`, t, u)
	return err
}

// ofDevice is the key that a device keeps for a person; its ID is empty when
// there is none.
func (s *Managed[C]) ofDevice(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID, d idp.DeviceID) (Key, error) {
	k, err := s.one(ctx, q, `
		select {columns} from {key} where tenant_id = $1 and user_id = $2 and device_id = $3 and removed = 0`, t, u, d)
	if errors.Is(err, idp.NotFound) {
		return Key{}, nil
	}
	return k, err
}

func (s *Managed[C]) insert(ctx context.Context, tx *sqldb.Tx, k Key) error {
	column, value := "", ""
	args := []any{k.ID, k.Tenant, k.User, k.Device, k.KID, k.Print, k.SPKI, k.Name, k.Created.UnixMilli()}
	if s.cfg.Marks {
		column, value, args = ", marks", ", $10", append(args, k.Marks)
	}
	n, err := s.exec(ctx, tx, `
		insert into {key} (id, tenant_id, user_id, device_id, kid, print, spki, name, created, last_used, orphaned, removed`+column+`)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0`+value+`)
		on conflict (print) do nothing`, args...)
	if err == nil && n == 0 {
		err = errTaken(k.ID)
	}
	return err
}

// mark sets when a key was removed, if it was not.
func (s *Managed[C]) mark(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, now time.Time) (bool, error) {
	n, err := s.exec(ctx, tx, `
		update {key} set removed = $4
		where tenant_id = $1 and user_id = $2 and id = $3 and removed = 0`, t, u, id, now.UnixMilli())
	if err != nil || n == 0 {
		return false, err
	}
	return true, s.changed(ctx, tx, t)
}

// unmark takes that back, if it was not so long ago.
func (s *Managed[C]) unmark(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, since time.Time) (Key, error) {
	return s.one(ctx, tx, `
		update {key} set removed = 0
		where tenant_id = $1 and user_id = $2 and id = $3 and removed > $4
		returning {columns}`, t, u, id, since.UnixMilli())
}

// orphan notes that the device of keys is gone; removed ones too, which may be
// restored.
func (s *Managed[C]) orphan(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID, now time.Time) error {
	_, err := s.exec(ctx, tx, `
		update {key} set orphaned = $3 where tenant_id = $1 and device_id = $2 and orphaned = 0`, t, d, now.UnixMilli())
	if err != nil {
		return err
	}
	return s.changed(ctx, tx, t)
}

func (s *Managed[C]) rename(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, name string) (bool, error) {
	n, err := s.exec(ctx, tx, `
		update {key} set name = $4 where tenant_id = $1 and user_id = $2 and id = $3 and removed = 0`, t, u, id, name)
	if err != nil || n == 0 {
		return false, err
	}
	return true, s.changed(ctx, tx, t)
}

// listOf are the keys of a person, oldest first.
func (s *Managed[C]) listOf(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID) ([]Key, error) {
	return s.query(ctx, q, `
		select {columns} from {key}
		where tenant_id = $1 and user_id = $2 and removed = 0
		order by created, id`, t, u)
}
