package token_test

import (
	"testing"
	"time"

	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
)

// TestSec_REL07_OverlapOfAClockSetBack: a refresh token that was rotated is not
// good for longer because the clock went back; for a node a few seconds behind
// the one that rotated it, it is.
func TestSec_REL07_OverlapOfAClockSetBack(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		for _, c := range []struct {
			back time.Duration
			want string
		}{
			{5 * time.Second, ""}, {token.Overlap, ""}, {token.Overlap + time.Millisecond, "refresh_reuse"}, {6 * time.Minute, "refresh_reuse"},
		} {
			_, first := w.open(t, "back "+c.back.String())
			second, err := w.svc.Refresh(t.Context(), first, app(), token.Presenter{})
			if err != nil {
				t.Fatal(err)
			}
			w.now = w.now.Add(-c.back)
			again, err := w.svc.Refresh(t.Context(), first, app(), token.Presenter{})
			w.now = w.now.Add(c.back)
			if reason(err) != c.want || err == nil && again.Refresh != second.Refresh {
				t.Errorf("back by %s: %v, want %q", c.back, err, c.want)
			}
		}
	})
}

// TestSec_REL07_CodesOutliveALeap: the rows that say which codes were redeemed
// are not forgotten by a clock that leaps (job.Job).
func TestSec_REL07_CodesOutliveALeap(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	for _, j := range w.svc.Jobs() {
		if j.Name == "token.sweep" && j.Forgets {
			return
		}
	}
	t.Error("no job forgets families as one that forgets")
}
