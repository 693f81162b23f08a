package trust

import (
	"context"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/sqldb"
)

// purge deletes what was removed longer than KeptFor ago.
func (s *Store) purge() job.Job {
	return job.Job{Name: "trust.purge", Every: time.Hour, Run: func(ctx context.Context, now time.Time) error {
		before := now.Add(-KeptFor).UnixMilli()
		return s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			if _, err := tx.Exec(ctx, `delete from trust_authority where removed > 0 and removed <= $1`, before); err != nil {
				return fmt.Errorf("delete removed authorities: %w", err)
			}
			_, err := tx.Exec(ctx, `
				delete from trust_container where removed > 0 and removed <= $1 and not exists (
					select 1 from trust_authority a where a.tenant_id = trust_container.tenant_id and a.container_id = trust_container.id)`, before)
			if err != nil {
				return fmt.Errorf("delete removed containers: %w", err)
			}
			return dropLists(ctx, tx)
		})
	}}
}
