package hello

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
func (m *Room) OnDeviceRemoved(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID) error {
	if err := orphan(ctx, tx, t, d, m.cfg.Now()); err != nil {
		return fmt.Errorf("orphan the keys of device %s: %w", d, err)
	}
	return nil
}

// sweepBatch bounds how much one transaction deletes.
const sweepBatch = 500

// Jobs implements method.Worker: it deletes what was removed, or orphaned,
// longer ago than Kept.
func (m *Room) Jobs() []job.Job {
	return []job.Job{{Name: "hello.sweep", Every: time.Hour, Run: m.Sweep}}
}

// Sweep deletes what was removed, or orphaned, longer ago than Kept. Of an
// orphaned key there is an event; the removal of the others was one.
func (m *Room) Sweep(ctx context.Context, now time.Time) error {
	before := now.Add(-Kept).UnixMilli()
	for _, of := range []string{"removed", "orphaned"} {
		for {
			// Of all tenants: what is over is over everywhere.
			rows, err := scanAll(m.db.Query(ctx, `
				select `+columns+` from hello_key where `+of+` > 0 and `+of+` <= $1 order by `+of+`, id limit $2`, before, sweepBatch))
			if err != nil {
				return fmt.Errorf("find %s Hello keys: %w", of, err)
			}
			if len(rows) == 0 {
				break
			}
			err = m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				for _, k := range rows {
					if err := m.expire(ctx, tx, k, now); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("delete %s Hello keys: %w", of, err)
			}
		}
	}
	return nil
}

// expire deletes a key that is still as it was found.
func (m *Room) expire(ctx context.Context, tx *sqldb.Tx, k row, now time.Time) error {
	if err := lock(ctx, tx, k.tenant, k.user); err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `delete from hello_key where tenant_id = $1 and id = $2 and removed = $3`,
		k.tenant, k.id, millis(k.removed))
	if err != nil || n == 0 {
		return err
	}
	if err := m.release(ctx, tx, k); err != nil || !k.removed.IsZero() {
		return err
	}
	if err := give(ctx, tx, k.tenant, k.user); err != nil {
		return err
	}
	if m.cfg.Audit == nil {
		return nil
	}
	return m.cfg.Audit(ctx, tx, audit.Event{
		Tenant: k.tenant, At: now, Category: audit.System, Activity: "hello.expire", Outcome: audit.Success, Reason: "orphaned",
		User: k.user, Method: ID, Credential: k.id,
		Detail: map[string]string{"device": string(k.device)},
	})
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
