package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/sqldb"
)

// put stores a flow, or what has become of it. Of two that want to move on
// from the same state one does; for the other it is idp.Expired.
func put(ctx context.Context, tx *sqldb.Tx, f Flow) (Flow, error) {
	body, err := json.Marshal(f)
	if err != nil {
		return f, fmt.Errorf("encode flow: %w", err)
	}
	expires := f.Expires
	if !f.until.IsZero() {
		expires = f.until
	}
	var n int64
	if f.version == 0 {
		n, err = tx.Exec(ctx, `
			insert into flow (tenant_id, id, body, version, expires)
			values ($1, $2, $3, 1, $4)
			on conflict (tenant_id, id) do nothing`,
			f.Tenant, f.ID, string(body), expires.UnixMilli())
	} else {
		n, err = tx.Exec(ctx, `
			update flow set body = $3, version = version + 1, expires = $5
			where tenant_id = $1 and id = $2 and version = $4`,
			f.Tenant, f.ID, string(body), f.version, expires.UnixMilli())
	}
	if err != nil {
		return f, fmt.Errorf("store flow %s: %w", f.ID, err)
	}
	if n == 0 {
		return f, idp.Expiredf("flow_moved_on", "flow %s has moved on", f.ID)
	}
	f.version++
	f.handle = string(f.ID)
	return f, nil
}

// drop ends a stored flow; of a sealed one there is nothing to drop.
func drop(ctx context.Context, tx *sqldb.Tx, f Flow) error {
	if !f.Stored() {
		return nil
	}
	n, err := tx.Exec(ctx, `delete from flow where tenant_id = $1 and id = $2 and version = $3`, f.Tenant, f.ID, f.version)
	if err != nil {
		return fmt.Errorf("end flow %s: %w", f.ID, err)
	}
	if n == 0 {
		return idp.Expiredf("flow_moved_on", "flow %s has moved on", f.ID)
	}
	return nil
}

func loadFlow(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, id idp.FlowID) (Flow, error) {
	var f Flow
	var body string
	var version int64
	err := q.QueryRow(ctx, `select body, version from flow where tenant_id = $1 and id = $2`, tenant, id).Scan(&body, &version)
	if errors.Is(err, idp.NotFound) {
		return f, idp.Expiredf("flow_over", "flow %s", id)
	}
	if err != nil {
		return f, fmt.Errorf("load flow %s: %w", id, err)
	}
	if err := json.Unmarshal([]byte(body), &f); err != nil {
		return f, fmt.Errorf("decode flow %s: %w", id, err)
	}
	f.version, f.handle = version, string(id)
	return f, nil
}

// Jobs deletes flows that nobody finished.
func (c *Corridor) Jobs() []job.Job {
	return []job.Job{{Name: "signin.sweep", Every: 10 * time.Minute, Run: func(ctx context.Context, now time.Time) error {
		// Of all tenants: what is over is over everywhere.
		if _, err := c.db.Exec(ctx, `delete from flow where expires < $1`, now.UnixMilli()); err != nil {
			return fmt.Errorf("sweep flows: %w", err)
		}
		if _, err := c.db.Exec(ctx, `delete from provision where expires < $1`, now.UnixMilli()); err != nil {
			return fmt.Errorf("sweep provisioning challenges: %w", err)
		}
		return nil
	}}}
}
