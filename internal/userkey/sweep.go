package userkey

import (
	"context"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/sqldb"
)

// OnDeviceRemoved orphans the keys that a device keeps, in the transaction of
// its removal: from there on they prove nobody (decisions 2.12). It has the
// shape of a device.Hook.
func (s *Managed[C]) OnDeviceRemoved(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID) error {
	if err := s.orphan(ctx, tx, t, d, s.cfg.Now()); err != nil {
		return fmt.Errorf("orphan the keys of device %s: %w", d, err)
	}
	return nil
}

// sweepBatch bounds how much one transaction deletes.
const sweepBatch = 500

// Jobs implements method.Worker: it deletes what was removed, or orphaned,
// longer ago than Kept.
func (s *Managed[C]) Jobs() []job.Job {
	return []job.Job{{Name: string(s.cfg.Room) + ".sweep", Every: time.Hour, Run: s.Sweep}}
}

// Sweep deletes what was removed, or orphaned, longer ago than Kept. Of an
// orphaned key there is an event; the removal of the others was one.
func (s *Managed[C]) Sweep(ctx context.Context, now time.Time) error {
	before := now.Add(-Kept).UnixMilli()
	for _, of := range []string{"removed", "orphaned"} {
		for {
			// Of all tenants: what is over is over everywhere.
			keys, err := s.query(ctx, s.db, `
				select {columns} from {key} where `+of+` > 0 and `+of+` <= $1 order by `+of+`, id limit $2`, before, sweepBatch)
			if err != nil {
				return fmt.Errorf("find %s %ss: %w", of, s.cfg.Noun, err)
			}
			if len(keys) == 0 {
				break
			}
			err = s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				for _, k := range keys {
					if err := s.expire(ctx, tx, k, now); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("delete %s %ss: %w", of, s.cfg.Noun, err)
			}
		}
	}
	return nil
}

// expire deletes a key that is still as it was found.
func (s *Managed[C]) expire(ctx context.Context, tx *sqldb.Tx, k Key, now time.Time) error {
	if err := s.lock(ctx, tx, k.Tenant, k.User); err != nil {
		return err
	}
	n, err := s.exec(ctx, tx, `delete from {key} where tenant_id = $1 and id = $2 and removed = $3`,
		k.Tenant, k.ID, millis(k.Removed))
	if err != nil || n == 0 {
		return err
	}
	if err := s.changed(ctx, tx, k.Tenant); err != nil {
		return err
	}
	if err := s.release(ctx, tx, k); err != nil || !k.Removed.IsZero() {
		return err
	}
	if err := s.give(ctx, tx, k.Tenant, k.User); err != nil {
		return err
	}
	if s.cfg.Audit == nil {
		return nil
	}
	return s.cfg.Audit(ctx, tx, audit.Event{
		Tenant: k.Tenant, At: now, Category: audit.System, Activity: string(s.cfg.Room) + ".expire", Outcome: audit.Success, Reason: "orphaned",
		User: k.User, Method: s.cfg.Room, Credential: k.ID,
		Detail: map[string]string{"device": string(k.Device)},
	})
}
