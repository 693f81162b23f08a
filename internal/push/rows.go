package push

import (
	"context"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

const vapidID = "vapid"

// vapidRow is the installation's key: NotFound before its first use.
func vapidRow(ctx context.Context, q sqldb.Querier) (public, sealed []byte, err error) {
	err = q.QueryRow(ctx, `select public, sealed from vapid_key where id = $1`, vapidID).Scan(&public, &sealed)
	return public, sealed, err
}

// insertVAPID keeps the first of several.
func insertVAPID(ctx context.Context, db *sqldb.DB, public, sealed []byte, now time.Time) error {
	_, err := db.Exec(ctx, `insert into vapid_key (id, public, sealed, created) values ($1, $2, $3, $4) on conflict (id) do nothing`,
		vapidID, public, sealed, now.UnixMilli())
	return err
}

// row is a message on its way.
type row struct {
	id      string
	ref     Ref
	sealed  []byte
	expires time.Time
	tries   int64
	until   time.Time // of the claim
}

// insert stores a message that claim has until then, in the place of older
// ones of its phone and topic.
func insert(ctx context.Context, tx *sqldb.Tx, r row, topic, claim string, now time.Time) error {
	if topic != "" {
		if _, err := tx.Exec(ctx, `delete from push_message where tenant_id = $1 and phone_id = $2 and topic = $3`,
			r.ref.Tenant, r.ref.Phone, topic); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `
		insert into push_message (id, tenant_id, phone_id, topic, sealed, due, expires, tries, claim, claimed_until)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		r.id, r.ref.Tenant, r.ref.Phone, topic, r.sealed, now.UnixMilli(), r.expires.UnixMilli(), r.tries, claim, r.until.UnixMilli())
	return err
}

// waiting says whether any message is due and nobody's, of all tenants.
func waiting(ctx context.Context, q sqldb.Querier, now time.Time) (bool, error) {
	var n int64
	err := q.QueryRow(ctx, `select count(*) from (select 1 from push_message where due <= $1 and claimed_until <= $1 and expires > $1 limit 1) as one`,
		now.UnixMilli()).Scan(&n)
	return n > 0, err
}

// claimDue takes messages that are due and nobody's, of all tenants. Of two
// nodes one gets each.
func claimDue(ctx context.Context, tx *sqldb.Tx, claim string, now, until time.Time, most int) ([]row, error) {
	rows, err := tx.Query(ctx, `
		update push_message set claim = $1, claimed_until = $2, tries = tries + 1
		where id in (select id from push_message where due <= $3 and claimed_until <= $3 and expires > $3 order by due limit $4)
			and claimed_until <= $3
		returning id, tenant_id, phone_id, sealed, expires, tries`,
		claim, until.UnixMilli(), now.UnixMilli(), int64(most))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []row
	for rows.Next() {
		r := row{until: until}
		var expires int64
		if err := rows.Scan(&r.id, &r.ref.Tenant, &r.ref.Phone, &r.sealed, &expires, &r.tries); err != nil {
			return nil, err
		}
		r.expires = time.UnixMilli(expires)
		all = append(all, r)
	}
	return all, rows.Err()
}

// extend keeps a claim longer, unless another node has taken the message or it
// is gone.
func extend(ctx context.Context, db *sqldb.DB, t idp.TenantID, id, claim string, until time.Time) (bool, error) {
	n, err := db.Exec(ctx, `update push_message set claimed_until = $1 where tenant_id = $2 and id = $3 and claim = $4`,
		until.UnixMilli(), t, id, claim)
	return n == 1, err
}

// remove ends a message that claim has.
func remove(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id, claim string) (bool, error) {
	n, err := tx.Exec(ctx, `delete from push_message where tenant_id = $1 and id = $2 and claim = $3`, t, id, claim)
	return n == 1, err
}

// giveBack leaves a message that claim has to whoever is first after due.
func giveBack(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id, claim string, due time.Time) error {
	_, err := tx.Exec(ctx, `update push_message set claim = '', claimed_until = 0, due = $1 where tenant_id = $2 and id = $3 and claim = $4`,
		due.UnixMilli(), t, id, claim)
	return err
}

// drop takes away what is of no use any more, of all tenants.
func drop(ctx context.Context, db *sqldb.DB, now time.Time) error {
	_, err := db.Exec(ctx, `delete from push_message where expires <= $1 and claimed_until <= $1`, now.UnixMilli())
	return err
}
