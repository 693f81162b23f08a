package job

import (
	"context"
	"embed"
	"errors"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations make the table job.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// claim is the right to run a job until it lapses.
type claim struct {
	name     string
	holder   string
	kicks    int64 // as seen when claimed
	failures int64
	reached  time.Time // what the last run that was done was told; 0 of a first one
	held     int64     // runs in a row that were told that
}

// insert makes sure that the job has a row. A new one is due at once.
func insert(ctx context.Context, db *sqldb.DB, name string) error {
	_, err := db.Exec(ctx, `
		insert into job (name, holder, claimed_until, next_run, kicks, failures)
		values ($1, '', 0, 0, 0, 0)
		on conflict (name) do nothing`, name)
	return err
}

// kick makes the job due, also when it is running just now.
func kick(ctx context.Context, db *sqldb.DB, name string) error {
	_, err := db.Exec(ctx, `update job set next_run = 0, kicks = kicks + 1 where name = $1`, name)
	return err
}

// take claims the job if it is due and nobody runs it; otherwise idp.NotFound.
// A time further ahead than any that could be written now is one of a clock that
// was wrong, and holds nobody up.
func take(ctx context.Context, db *sqldb.DB, j Job, holder string, now time.Time) (claim, error) {
	c := claim{name: j.Name, holder: holder}
	var reached int64
	err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.QueryRow(ctx, `
			update job set holder = $2, claimed_until = $3
			where name = $1 and (next_run <= $4 or next_run > $5) and (claimed_until <= $4 or claimed_until > $6)
			returning kicks, failures, reached, held`,
			j.Name, holder, now.Add(lease).UnixMilli(), now.UnixMilli(), now.Add(j.Every+drift).UnixMilli(), now.Add(lease+drift).UnixMilli()).
			Scan(&c.kicks, &c.failures, &reached, &c.held)
	})
	c.reached = time.UnixMilli(reached)
	return c, err
}

// due tells when it is worth trying to take the job again.
func due(ctx context.Context, db *sqldb.DB, name string) (time.Time, error) {
	var next, claimed int64
	err := db.QueryRow(ctx, `select next_run, claimed_until from job where name = $1`, name).Scan(&next, &claimed)
	return time.UnixMilli(max(next, claimed)), err
}

// renew prolongs a claim; idp.Conflict when another node has it.
func renew(ctx context.Context, db *sqldb.DB, c claim, until time.Time) error {
	n, err := db.Exec(ctx, `update job set claimed_until = $3 where name = $1 and holder = $2`,
		c.name, c.holder, until.UnixMilli())
	if err == nil && n == 0 {
		err = idp.Conflictf("lease_lost", "job %s is claimed by another node", c.name)
	}
	return err
}

// finish gives the claim back. A kick that came meanwhile makes the job due.
func finish(ctx context.Context, db *sqldb.DB, c claim, next time.Time, failures int64) error {
	_, err := db.Exec(ctx, `
		update job set holder = '', claimed_until = 0, failures = $4, reached = $6, held = $7,
			next_run = case when kicks = $5 then cast($3 as bigint) else 0 end
		where name = $1 and holder = $2`,
		c.name, c.holder, next.UnixMilli(), failures, c.kicks, c.reached.UnixMilli(), c.held)
	return err
}

func missing(err error) bool { return errors.Is(err, idp.NotFound) }

func lost(err error) bool { return errors.Is(err, idp.Conflict) }
