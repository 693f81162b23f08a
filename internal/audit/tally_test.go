package audit_test

import (
	"context"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func TestTally(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		now := time.Date(2026, 11, 26, 12, 30, 0, 0, time.UTC)
		clock := now.Add(-30 * time.Hour)
		log := audit.New(func() time.Time { return clock })
		add := func(at time.Time, e audit.Event) {
			t.Helper()
			clock = at
			if e.Tenant == "" {
				e.Tenant = "t"
			}
			if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return log.Write(ctx, tx, e) }); err != nil {
				t.Fatal(err)
			}
		}
		done := audit.Event{Category: audit.SignIn, Activity: "signin.done", Outcome: audit.Success, Method: "passkey"}
		refused := audit.Event{Category: audit.SignIn, Activity: "signin.refused", Outcome: audit.Failure, Method: "passkey", Rule: "passkey.aaguids", Times: 3}
		add(now.Add(-25*time.Hour), done) // before
		add(now.Add(-20*time.Hour), done)
		add(now.Add(-time.Minute), done)
		add(now.Add(-time.Minute), refused)
		add(now, audit.Event{Category: audit.SignIn, Activity: "signin.interrupted", Outcome: audit.Interrupted})
		add(now, audit.Event{Category: audit.Token, Activity: "token.code", Outcome: audit.Success})
		other := done
		other.Tenant = "u"
		add(now, other)

		since := now.Add(-24 * time.Hour)
		got, err := log.Tally(t.Context(), db, "t", since, 100)
		if err != nil {
			t.Fatal(err)
		}
		if got.Done != 2 || got.Refused != 3 || got.Methods["passkey"] != 2 || got.Rules["passkey.aaguids"] != 3 || !got.Since.Equal(since) {
			t.Errorf("tally: %+v", got)
		}
		if n := len(got.Hours); n != 25 || got.Hours[n-1].Done != 1 || got.Hours[n-1].Refused != 3 || got.Hours[4].Done != 1 {
			t.Errorf("hours: %+v", got.Hours)
		}
		got, err = log.Tally(t.Context(), db, "t", since, 2)
		if err != nil || got.Done+got.Refused != 4 || !got.Since.Equal(now.Add(-time.Minute)) {
			t.Errorf("the newest two: %+v, %v", got, err)
		}
	})
}
