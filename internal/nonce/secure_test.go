package nonce_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_REL07_NotFromTheFuture: a value of a clock that is further ahead than
// clocks are in peace is refused until then, and so never lives longer than it
// should; of one a few seconds ahead it is good.
func TestSec_REL07_NotFromTheFuture(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration
		want  string
	}{
		{0, ""}, {5 * time.Second, ""}, {nonce.Ahead, ""}, {nonce.Ahead + time.Millisecond, "expired early"},
		{6 * time.Minute, "expired early"}, {10 * 365 * 24 * time.Hour, "expired early"},
	} {
		w := newWorld()
		right := w.now
		w.now = right.Add(c.ahead)
		v, err := w.box.Seal(t.Context(), tenant, "flow", time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.now = right
		s, err := w.box.Open(t.Context(), tenant, "flow", v)
		if got := reason(err); got != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s ahead: %v", c.ahead, err)
		}
		if len(s.ID) == 0 {
			t.Errorf("%s ahead: what was ours does not come back", c.ahead)
		}
	}
}

// TestSec_REL07_NotTwiceWhateverTheClock: what was spent stays spent when the
// clock leaps ahead by years, the sweep runs for hours, and the clock comes
// back; and when another node's is a day behind.
func TestSec_REL07_NotTwiceWhateverTheClock(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{nonce.Migrations, job.Migrations}, func(t *testing.T, db *sqldb.DB) {
		w := newWorld()
		var mu sync.Mutex
		begin := w.now
		clock := func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return w.now
		}
		set := func(at time.Time) {
			mu.Lock()
			defer mu.Unlock()
			w.now = at
		}
		swept := make(chan error, 1)
		work := nonce.Jobs(db)
		run := work[0].Run
		work[0].Run = func(ctx context.Context, now time.Time) error {
			err := run(ctx, now)
			swept <- err
			return err
		}
		r := job.New(db, "a", clock, slog.New(slog.DiscardHandler))
		r.Add(work...)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		defer func() { cancel(); <-done }()
		sweep := func() {
			t.Helper()
			r.Kick(work[0].Name)
			select {
			case err := <-swept:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the sweep does not run")
			}
		}
		<-swept // the one at the start
		burn := func(v string) error {
			s, err := w.box.Open(t.Context(), tenant, "code", v)
			if err != nil {
				return err
			}
			return db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return nonce.Burn(ctx, tx, s) })
		}
		short, long := seal(t, w, 5*time.Minute), seal(t, w, nonce.MaxLife)
		if err := errors.Join(burn(short), burn(long)); err != nil {
			t.Fatal(err)
		}
		for _, leap := range []time.Duration{30 * time.Minute, 26 * time.Hour, 20 * 365 * 24 * time.Hour, -20 * 365 * 24 * time.Hour} {
			set(begin.Add(leap))
			for range 12 { // an hour of it
				sweep()
			}
			wrong := seal(t, w, 5*time.Minute)
			if err := burn(wrong); err != nil {
				t.Fatalf("%s: %v", leap, err)
			}
			sweep()
			if err := burn(wrong); reason(err) != "expired spent" {
				t.Errorf("%s, meanwhile: %v", leap, err)
			}
			set(begin.Add(time.Minute))
			sweep()
			for name, v := range map[string]string{"short": short, "long": long} {
				if err := burn(v); reason(err) != "expired spent" {
					t.Errorf("%s and back, %s: %v", leap, name, err)
				}
			}
			if err := burn(wrong); !errors.Is(err, idp.Expired) {
				t.Errorf("%s and back, what was made meanwhile: %v", leap, err)
			}
		}
		// In the end all is forgotten, by time that goes by.
		for at := begin.Add(5 * time.Minute); at.Before(begin.Add(28 * time.Hour)); at = at.Add(5 * time.Minute) {
			set(at)
			sweep()
		}
		var left int64
		if err := db.QueryRow(t.Context(), `select count(*) from spent where expires_at < $1`, begin.Add(nonce.MaxLife+time.Minute).UnixMilli()).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d rows are never forgotten, %v", left, err)
		}
	})
}

func seal(t *testing.T, w *world, lives time.Duration) string {
	t.Helper()
	v, err := w.box.Seal(t.Context(), tenant, "code", lives, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
