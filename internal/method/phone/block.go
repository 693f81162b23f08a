package phone

import (
	"context"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// blockLives is how long what a report closes stays closed, unless the rules
// want an administrator to look (passkeys-and-phone.md §6.6).
const blockLives = 24 * time.Hour

// everywhere is the address that stands for all.
const everywhere = ""

// Block is what a report has closed: asking a person's phones, from an address
// or at all. Their other methods are as they were (PHN04).
type Block struct {
	Address string    // empty: from anywhere
	Since   time.Time // of the first report
	Until   time.Time // zero: until an administrator lifts it
}

// block closes what a report closes: asking from where q was asked for a day,
// and asking at all, for a day or for good.
func block(ctx context.Context, tx *sqldb.Tx, q request, forGood bool, now time.Time) error {
	until := now.Add(blockLives)
	if q.address != everywhere {
		if err := insertBlock(ctx, tx, q, q.address, now, until); err != nil {
			return err
		}
	}
	if forGood {
		until = time.Time{}
	}
	return insertBlock(ctx, tx, q, everywhere, now, until)
}

// insertBlock closes, or keeps closed for longer: what waits for an
// administrator goes on to.
func insertBlock(ctx context.Context, tx *sqldb.Tx, q request, address string, now, until time.Time) error {
	_, err := tx.Exec(ctx, `
		insert into phone_block (tenant_id, user_id, address, created, expires) values ($1, $2, $3, $4, $5)
		on conflict (tenant_id, user_id, address) do update set
			created = case when phone_block.expires > 0 and phone_block.expires <= $4 then $4 else phone_block.created end,
			expires = case when phone_block.expires = 0 or $5 = 0 then 0
				when phone_block.expires > $5 then phone_block.expires else $5 end`,
		q.tenant, q.subject, address, now.UnixMilli(), stored(until))
	return err
}

// Blocks are what reports have closed for a person and is still closed, oldest
// first.
func (m *Room) Blocks(ctx context.Context, t idp.TenantID, u idp.UserID) ([]Block, error) {
	rows, err := m.db.Query(ctx, `
		select address, created, expires from phone_block
		where tenant_id = $1 and user_id = $2 and (expires = 0 or expires > $3)
		order by created, address`, t, u, m.cfg.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Block
	for rows.Next() {
		var b Block
		var since, until int64
		if err := rows.Scan(&b.Address, &since, &until); err != nil {
			return nil, err
		}
		b.Since, b.Until = at(since), at(until)
		out = append(out, b)
	}
	return out, rows.Err()
}

// Blocked are the people of the tenant whose phones may not be asked at all,
// those who were closed first first.
func (m *Room) Blocked(ctx context.Context, t idp.TenantID) ([]idp.UserID, error) {
	rows, err := m.db.Query(ctx, `
		select user_id from phone_block
		where tenant_id = $1 and address = '' and (expires = 0 or expires > $2)
		order by created, user_id`, t, m.cfg.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []idp.UserID
	for rows.Next() {
		var u idp.UserID
		if err := rows.Scan(&u); err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, rows.Err()
}

// Unblock opens again all that reports have closed for a person: somebody has
// looked. NotFound when nothing was closed.
func (m *Room) Unblock(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	n, err := tx.Exec(ctx, `delete from phone_block where tenant_id = $1 and user_id = $2 and (expires = 0 or expires > $3)`,
		t, u, m.cfg.Now().UnixMilli())
	if err == nil && n == 0 {
		err = idp.NotFoundf("phone_not_blocked", "nothing is closed for %s", u).Say("Nobody has to open anything for this person: no report has closed it.")
	}
	return err
}

// stored is how a time is kept; none is 0.
func stored(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
