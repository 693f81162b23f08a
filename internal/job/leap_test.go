package job

import (
	"context"
	"io/fs"
	"log/slog"
	"testing"
	"time"

	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_REL07_ALeapForgetsNothing: a job that deletes by age is not told of a
// time that the clock has leapt to until it has run a day's worth at the time
// before; one that deletes nothing is told at once, and a clock that goes back,
// or on as ever, is believed by both.
func TestSec_REL07_ALeapForgetsNothing(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{Migrations}, func(t *testing.T, db *sqldb.DB) {
		begin := time.Now()
		var ahead, told time.Duration
		r := New(db, "a", func() time.Time { return begin.Add(ahead) }, slog.New(slog.DiscardHandler))
		jobs := map[string]Job{}
		for name, forgets := range map[string]bool{"sweeps": true, "works": false} {
			jobs[name] = Job{Name: name, Every: time.Hour, Forgets: forgets, Run: func(_ context.Context, now time.Time) error {
				told = now.Sub(begin).Round(time.Hour)
				return nil
			}}
		}
		// at runs a job and gives how far ahead of the beginning it was told to be.
		at := func(name string) time.Duration {
			t.Helper()
			told = -1
			if _, err := r.turn(t.Context(), jobs[name], true, r.log); err != nil || told == -1 {
				t.Fatalf("%s did not run: %v", name, err)
			}
			return told
		}
		set := func(d time.Duration) { ahead = d }
		if d := at("sweeps"); d != 0 {
			t.Errorf("the first time: told %s", d)
		}

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
