package phone

import (
	"context"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/sqldb"
)

const (
	// silentKept is how long rows stay that nobody was told of.
	silentKept = time.Hour
	// waitingKept is how long a phone stays whose person has not compared the
	// words: longer than any enrolment lives.
	waitingKept = time.Hour
	// sweepBatch bounds how long one sweep holds the writer.
	sweepBatch = 1000
	// lateBatch bounds how many late requests one transaction records.
	lateBatch = 100
)

// Jobs implements method.Worker.
func (m *Room) Jobs() []job.Job {
	return []job.Job{
		{Name: "phone.sweep", Every: 10 * time.Minute, Run: m.Sweep},
		{Name: "phone.unanswered", Every: time.Minute, Run: m.Unanswered},
	}
}

// sweeps are what is deleted, over all tenants, as what is over is over
// everywhere: a table, what finds rows by the time $1, and how long ago that is.
var sweeps = []struct {
	table, key, where string
	kept              time.Duration
}{
	{"phone_request", "id", `state = 'silent' and expires <= $1`, silentKept},
	{"phone_request", "id", `created <= $1`, historyKept},
	{"phone_asked", "subject", `last <= $1`, silentKept},
	{"phone_block", "user_id, address", `expires > 0 and expires <= $1`, 0},
	{"phone_enrolment", "id", `expires <= $1`, waitingKept},
	// A phone that was never compared holds no place; its passkey, if it made
	// one, was never stored.
	{"phone", "id", `state = 'waiting' and created <= $1`, waitingKept},
}

// Sweep deletes what is over: requests after the 30 days of the history, those
// that nobody was told of after an hour, blocks, enrolments, and phones that
// were never compared.
func (m *Room) Sweep(ctx context.Context, now time.Time) error {
	for _, s := range sweeps {
		for {
			n, err := m.cfg.DB.Exec(ctx, `
				delete from `+s.table+` where (tenant_id, `+s.key+`) in (
					select tenant_id, `+s.key+` from `+s.table+` where `+s.where+` limit $2) and `+s.where,
				now.Add(-s.kept).UnixMilli(), sweepBatch)
			if err != nil {
				return fmt.Errorf("sweep %s: %w", s.table, err)
			}
			if n < sweepBatch {
				break
			}
		}
	}
	return nil
}

// Unanswered records the requests that nobody answered in time, each once over
// all nodes: an attack that its victim slept through is in the log, too.
func (m *Room) Unanswered(ctx context.Context, now time.Time) error {
	for {
		late, err := unanswered(ctx, m.db, now, lateBatch)
		if err != nil {
			return fmt.Errorf("unanswered requests: %w", err)
		}
		err = m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			for _, q := range late {
				if err := m.recordLate(ctx, tx, q); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(late) < lateBatch {
			return err
		}
	}
}

func (m *Room) recordLate(ctx context.Context, tx *sqldb.Tx, q request) error {
	mine, err := closeLate(ctx, tx, q)
	if err != nil || !mine || m.cfg.Audit == nil {
		return err
	}
	return m.cfg.Audit(ctx, tx, audit.Event{
		Tenant: q.tenant, At: q.expires, Category: audit.SignIn, Activity: "phone." + string(expired), Outcome: audit.Interrupted,
		User: q.subject, Method: ID, Detail: map[string]string{"request": q.id, "asked": q.address},
	})
}
