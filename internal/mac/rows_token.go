package mac

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

const tokenColumns = `select tenant_id, id, issued_by, issued_for, serial, note, uses, used, device_id, created, expires, last_used, revoked from mac_token `

func insertToken(ctx context.Context, tx *sqldb.Tx, t Token, digest []byte) error {
	_, err := tx.Exec(ctx, `
		insert into mac_token (tenant_id, id, digest, issued_by, issued_for, serial, note, uses, used, device_id, created, expires, last_used, revoked)
		values ($1, $2, $3, $4, $5, $6, $7, $8, 0, '', $9, $10, 0, 0)`,
		t.Tenant, t.ID, digest, t.By, t.For, t.Serial, t.Note, int64(t.Uses), milli(t.Created), milli(t.Expires))
	if err != nil {
		return fmt.Errorf("issue registration token: %w", err)
	}
	return nil
}

func findToken(ctx context.Context, q sqldb.Querier, t idp.TenantID, digest []byte) (Token, error) {
	return scanToken(q.QueryRow(ctx, tokenColumns+`where tenant_id = $1 and digest = $2`, t, digest))
}

func getToken(ctx context.Context, q sqldb.Querier, t idp.TenantID, id TokenID) (Token, error) {
	return scanToken(q.QueryRow(ctx, tokenColumns+`where tenant_id = $1 and id = $2`, t, id))
}

func scanToken(r interface{ Scan(...any) error }) (Token, error) {
	var t Token
	var uses, used, created, expires, last, revoked int64
	err := r.Scan(&t.Tenant, &t.ID, &t.By, &t.For, &t.Serial, &t.Note, &uses, &used, &t.Device, &created, &expires, &last, &revoked)
	t.Uses, t.Used = int(uses), int(used)
	t.Created, t.Expires, t.LastUsed, t.Revoked = at(created), at(expires), at(last), at(revoked)
	return t, err
}

func listTokens(ctx context.Context, q sqldb.Querier, t idp.TenantID, p TokenPage, now time.Time) ([]Token, string, error) {
	limit := 100
	if p.Limit > 0 {
		limit = min(p.Limit, 999)
	}
	created, id, err := tokenPosition(p.After)
	if err != nil {
		return nil, "", err
	}
	rows, err := q.Query(ctx, tokenColumns+`
		where tenant_id = $1 and (created, id) > ($2, $3) and ($4 = '' or issued_by = $4)
			and (not $5 or (revoked = 0 and used < uses and expires > $6))
		order by created, id limit $7`, t, created, id, string(p.By), p.Good, now.UnixMilli(), int64(limit))
	if err != nil {
		return nil, "", fmt.Errorf("list registration tokens: %w", err)
	}
	defer rows.Close()
	var out []Token
	for rows.Next() {
		one, err := scanToken(rows)
		if err != nil {
			return nil, "", fmt.Errorf("list registration tokens: %w", err)
		}
		out = append(out, one)
	}
	if err := rows.Err(); err != nil || len(out) < limit {
		return out, "", err
	}
	return out, TokenCursor(out[len(out)-1]), nil
}

// TokenCursor is what TokenPage.After is for the part of a list behind t.
func TokenCursor(t Token) string {
	return strconv.FormatInt(t.Created.UnixMilli(), 36) + "." + string(t.ID)
}

func tokenPosition(after string) (created int64, id string, err error) {
	if after == "" {
		return -1 << 62, "", nil
	}
	first, id, ok := strings.Cut(after, ".")
	created, perr := strconv.ParseInt(first, 36, 64)
	if !ok || perr != nil || len(id) != 36 {
		return 0, "", idp.Invalidf("bad_cursor", "cursor %.100q", after).On("after").Say("The cursor is none that this list gave.")
	}
	return created, id, nil
}

func loadUnlock(ctx context.Context, q sqldb.Querier, h Holder) (Provisioned, error) {
	p := Provisioned{holder: h}
	var created, expires int64
	err := q.QueryRow(ctx, `
		select id, sealed, certificate, created, expires from mac_unlock
		where tenant_id = $1 and device_id = $2 and user_id = $3 and purpose = $4`,
		h.Tenant, h.Device, h.User, h.Purpose).Scan(&p.id, &p.sealed, &p.Certificate, &created, &expires)
	p.Created, p.Expires = at(created), at(expires)
	return p, err
}

// insertUnlock writes a key unless its holder has one.
func insertUnlock(ctx context.Context, tx *sqldb.Tx, p Provisioned) (bool, error) {
	n, err := tx.Exec(ctx, `
		insert into mac_unlock (tenant_id, device_id, user_id, purpose, id, sealed, certificate, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		on conflict (tenant_id, device_id, user_id, purpose) do nothing`,
		p.holder.Tenant, p.holder.Device, p.holder.User, p.holder.Purpose, p.id, p.sealed, p.Certificate, milli(p.Created), milli(p.Expires))
	if err != nil {
		return false, fmt.Errorf("keep an unlock key of %s: %w", p.holder.Device, err)
	}
	return n == 1, nil
}

func hasUnlock(ctx context.Context, q sqldb.Querier, t idp.TenantID, d idp.DeviceID, u idp.UserID) (bool, error) {
	var one int64
	err := q.QueryRow(ctx, `select 1 from mac_unlock where tenant_id = $1 and device_id = $2 and user_id = $3 limit 1`, t, d, u).Scan(&one)
	if errors.Is(err, idp.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("unlock keys of %s: %w", d, err)
	}
	return true, nil
}
