package job_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_REL07_ALeapForgetsNothing: a job that deletes by age is not told of a
// time that the clock has leapt to until it has run a day's worth at the time
// before; one that deletes nothing is told at once, and a clock that goes back,
// or on as ever, is believed by both.
func TestSec_REL07_ALeapForgetsNothing(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		var ahead atomic.Int64
		begin := time.Now()
		clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		r := job.New(db, "a", clock, slog.New(slog.DiscardHandler))
		told := make(chan time.Time, 1)
		add := func(name string, forgets bool) {
			r.Add(job.Job{Name: name, Every: time.Hour, Forgets: forgets, Run: func(_ context.Context, now time.Time) error {
				told <- now
				return nil
			}})
		}
		add("sweeps", true)
		add("works", false)
		start(t, r)
		wait(t, told, "the first run")
		wait(t, told, "the other first run")
		// at runs a job and says how far ahead of the test's own time it was told.
		at := func(name string) time.Duration {
			t.Helper()
			r.Kick(name)
			return wait(t, told, name).Sub(begin).Round(time.Hour)
		}
		set := func(d time.Duration) { ahead.Store(int64(d)) }

		const year = 365 * 24 * time.Hour
		set(time.Hour)
		if d := at("sweeps"); d != time.Hour {
			t.Errorf("an hour later, as it should be: told %s", d)
		}
		set(-2 * time.Hour)
		if d := at("sweeps"); d != -2*time.Hour {
			t.Errorf("set back: told %s", d)
		}
		set(0)
		if d := at("sweeps"); d != -2*time.Hour {
			t.Errorf("a leap of two hours: told %s", d)
		}
		set(-time.Hour)
		if d := at("sweeps"); d != -time.Hour {
			t.Errorf("within what is no leap: told %s", d)
		}
		set(year)
		if d := at("works"); d != year {
			t.Errorf("a job that forgets nothing was told %s", d)
		}
		for n := range 25 { // of an hour each
			if d := at("sweeps"); d != -time.Hour {
				t.Fatalf("run %d after a leap of a year: told %s", n, d)
			}
		}
		if d := at("sweeps"); d != year {
			t.Errorf("a leap that has lasted a day: told %s", d)
		}
		// A leap that is put right begins anew.
		set(2 * year)
		at("sweeps")
		set(year)
		if d := at("sweeps"); d != year {
			t.Errorf("put right: told %s", d)
		}
		set(2 * year)
		for n := range 25 {
			if d := at("sweeps"); d != year {
				t.Fatalf("run %d after the next leap: told %s", n, d)
			}
		}
	})
}

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
