package device

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Fields are what lists of devices can be asked about, under the names that
// Graph has for them; registeredOwner, assurance, softwareKeys, attestationDue
// and lastSeen are ours. A time that never was is 1970 in these two.
var Fields = filter.Fields{
	"id":                   {Kind: filter.Text, Column: "id", Fold: strings.ToLower},
	"deviceId":             {Kind: filter.Text, Column: "id", Fold: strings.ToLower},
	"displayName":          {Kind: filter.Text, Column: "name_folded", Fold: fold},
	"operatingSystem":      {Kind: filter.Text, Column: "os"},
	"trustType":            {Kind: filter.Text, Column: "join_type", Words: map[string]any{string(Joined): string(Joined), string(Registered): string(Registered)}},
	"accountEnabled":       {Kind: filter.Bool, Column: "enabled"},
	"registeredOwner":      {Kind: filter.Text, Column: "owner", Fold: strings.ToLower},
	"assurance":            {Kind: filter.Text, Column: "assurance", Words: map[string]any{string(Attested): string(Attested), string(Unattested): string(Unattested), string(Unproven): string(Unproven)}},
	"softwareKeys":         {Kind: filter.Bool, Column: "software"},
	"attestationDue":       {Kind: filter.Time, Column: "pending"},
	"lastSeen":             {Kind: filter.Time, Column: "seen"},
	"registrationDateTime": {Kind: filter.Time, Column: "created"},
	// A device that was never used is not one that was last used long ago.
	"approximateLastSignInDateTime": {Kind: filter.Time, Column: "nullif(seen, 0)"},
}

// Page asks for a part of a list.
type Page struct {
	After string      // the cursor that came with the part before; empty: from the start
	Limit int         // 100 when 0, at most 999 (decisions 3.7)
	Where filter.Expr // over Fields; the zero Expr: all
}

// List lists devices of the tenant in the order of their joining, and the
// cursor of the next part; an empty one at the end.
func (r *Registry) List(ctx context.Context, t idp.TenantID, p Page) ([]Device, string, error) {
	limit := 100
	if p.Limit > 0 {
		limit = min(p.Limit, 999)
	}
	created, id, err := position(p.After)
	if err != nil {
		return nil, "", err
	}
	where, args := p.Where.SQL(5)
	rows, err := r.cfg.DB.Query(ctx, columns+`
		where tenant_id = $1 and (created, id) > ($2, $3) and `+where+`
		order by created, id limit $4`, append([]any{t, created, id, int64(limit)}, args...)...)
	if err != nil {
		return nil, "", fmt.Errorf("list devices: %w", err)
	}
	out, err := read(rows)
	if err != nil || len(out) < limit {
		return out, "", err
	}
	return out, Cursor(out[len(out)-1]), nil
}

// Count counts the devices of the tenant for which where holds.
func (r *Registry) Count(ctx context.Context, t idp.TenantID, where filter.Expr) (n int64, err error) {
	cond, args := where.SQL(2)
	err = r.cfg.DB.QueryRow(ctx, `select count(*) from device where tenant_id = $1 and `+cond, append([]any{t}, args...)...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count devices: %w", err)
	}
	return n, nil
}

// maxOwned bounds a person's list; quotas are far below.
const maxOwned = 999

// Owned lists the devices of a person, newest first.
func (r *Registry) Owned(ctx context.Context, t idp.TenantID, u idp.UserID) ([]Device, error) {
	rows, err := r.cfg.DB.Query(ctx, columns+`
		where tenant_id = $1 and owner = $2 order by created desc, id desc limit $3`, t, u, maxOwned)
	if err != nil {
		return nil, fmt.Errorf("devices of %s: %w", u, err)
	}
	return read(rows)
}

// Overdue lists devices of all tenants that had to be attested by now and were
// not, at most limit: a sweep.
func (r *Registry) Overdue(ctx context.Context, now time.Time, limit int) ([]Device, error) {
	rows, err := r.cfg.DB.Query(ctx, columns+`where pending > 0 and pending <= $1 order by pending, id limit $2`, now.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("devices that were not attested: %w", err)
	}
	return read(rows)
}

func read(rows *sqldb.Rows) ([]Device, error) {
	defer rows.Close()
	var out []Device
	for rows.Next() {
		d, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list devices: %w", err)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

// Cursor is what Page.After is for the part of a list behind d.
func Cursor(d Device) string {
	return strconv.FormatInt(d.Created.UnixMilli(), 36) + "." + string(d.ID)
}

func position(after string) (created int64, id string, err error) {
	if after == "" {
		return -1 << 62, "", nil
	}
	at, id, ok := strings.Cut(after, ".")
	created, perr := strconv.ParseInt(at, 36, 64)
	if !ok || perr != nil || !plausible(idp.DeviceID(id)) {
		return 0, "", idp.Invalidf("bad_cursor", "cursor %.100q", after).On("after").Say("The cursor is none that this list gave.")
	}
	return created, id, nil
}
