package job_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_REL07_JobsGoOnAfterAWrongClock: times that a clock of next year has
// left behind hold no job up, neither when it is due nor who runs it.
func TestSec_REL07_JobsGoOnAfterAWrongClock(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		year := time.Now().AddDate(1, 0, 0).UnixMilli()
		for name, at := range map[string][2]int64{
			"due": {0, year}, "claimed": {year, 0}, "both": {year, year},
			"later":  {0, time.Now().Add(time.Hour + 5*time.Minute).UnixMilli()},
			"theirs": {time.Now().Add(6 * time.Minute).UnixMilli(), 0},
		} {
			if _, err := db.Exec(t.Context(), `insert into job (name, holder, claimed_until, next_run, kicks, failures) values ($1, 'gone', $2, $3, 0, 0)`,
				name, at[0], at[1]); err != nil {
				t.Fatal(err)
			}
		}
		ran := make(chan string, 10)
		r := runner(db, "a", slog.New(slog.DiscardHandler))
		for _, name := range []string{"later", "theirs", "due", "claimed", "both", "new"} {
			r.Add(job.Job{Name: name, Every: time.Hour, Run: func(context.Context, time.Time) error {
				ran <- name
				return nil
			}})
		}
		start(t, r)
		all := map[string]bool{}
		for range 4 {
			all[wait(t, ran, "jobs of a wrong clock")] = true
		}
		// A server whose clock is six minutes ahead is believed.
		if !all["due"] || !all["claimed"] || !all["both"] || !all["new"] || len(ran) > 0 {
			t.Errorf("ran %v", all)
		}
	})
}
