package mac

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/sqldb"
)

// keepFor is how long a token that is over stays in lists.
const keepFor = 30 * 24 * time.Hour

// sweepBatch bounds what one statement touches, so that others can write in
// between.
const sweepBatch = 200

// Jobs forgets tokens that have been over for keepFor, and writes down rotations
// that no login settled in time.
func (r *Registry) Jobs() []job.Job {
	return []job.Job{
		{Name: "mac.tokens", Every: time.Hour, Run: r.sweepTokens},
		{Name: "mac.settle", Every: time.Hour, Run: r.sweepRotations},
	}
}

func (r *Registry) sweepTokens(ctx context.Context, now time.Time) error {
	// Of all tenants: what is over is over everywhere.
	_, err := r.cfg.DB.Exec(ctx, `delete from mac_token where expires < $1`, milli(now.Add(-keepFor)))
	if err != nil {
		return fmt.Errorf("sweep registration tokens: %w", err)
	}
	return nil
}

func (r *Registry) sweepRotations(ctx context.Context, now time.Time) error {
	for {
		due, err := r.due(ctx, now)
		if err != nil {
			return err
		}
		for _, m := range due {
			err := r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				if err := r.Hold(ctx, tx, m.Tenant, m.Device); err != nil {
					return err
				}
				_, err := r.settled(ctx, tx, m.Tenant, m.Device)
				return err
			})
			if err != nil && !errors.Is(err, idp.NotFound) {
				return fmt.Errorf("settle the keys of Mac %s: %w", m.Device, err)
			}
		}
		if len(due) < sweepBatch {
			return nil
		}
	}
}

// due names Macs of all tenants whose rotation is over.
func (r *Registry) due(ctx context.Context, now time.Time) ([]Mac, error) {
	rows, err := r.cfg.DB.Query(ctx, `
		select distinct tenant_id, device_id from mac_key where until > 0 and until <= $1 order by tenant_id, device_id limit $2`,
		milli(now), sweepBatch)
	if err != nil {
		return nil, fmt.Errorf("rotations that are over: %w", err)
	}
	defer rows.Close()
	var out []Mac
	for rows.Next() {
		var m Mac
		if err := rows.Scan(&m.Tenant, &m.Device); err != nil {
			return nil, fmt.Errorf("rotations that are over: %w", err)
		}
		out = append(out, m)
	}
	return out, rows.Err()
}
