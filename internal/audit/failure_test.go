package audit_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func failure(ip, reason string) audit.Event {
	return audit.Event{
		Tenant: "t1", Category: audit.SignIn, Activity: "signin.answer", Outcome: audit.Failure, Reason: reason, IP: ip,
		UserName: "somebody", Code: 130005,
	}
}

func fail(t *testing.T, db *sqldb.DB, l *audit.Log, n int, ip, reason string) {
	t.Helper()
	for range n {
		if err := l.Failure(t.Context(), db, failure(ip, reason)); err != nil {
			t.Fatal(err)
		}
	}
}

// told sums up rows, and how often they say it happened.
func told(events []audit.Event, ip, reason string) (rows, times int) {
	for _, e := range events {
		if e.IP == ip && e.Reason == reason {
			rows++
			times += e.Times
		}
	}
	return rows, times
}

// Decisions 3.5: beyond 20 a minute from one source for one reason, anonymous
// failures are one counted row.
func TestFailure(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		l := audit.New(c.now)
		fail(t, db, l, 20, "192.0.2.1", "wrong_signature")
		if rows, times := told(list(t, db, l, "t1", audit.Filter{Limit: 999}), "192.0.2.1", "wrong_signature"); rows != 20 || times != 20 {
			t.Fatalf("20 failures: %d rows, %d times", rows, times)
		}
		fail(t, db, l, 80, "192.0.2.1", "wrong_signature")
		fail(t, db, l, 5, "192.0.2.1", "credential_unknown")
		fail(t, db, l, 5, "192.0.2.2", "wrong_signature")
		if err := l.Flush(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		events := list(t, db, l, "t1", audit.Filter{Limit: 999})
		for _, want := range []struct {
			ip, reason  string
			rows, times int
		}{{"192.0.2.1", "wrong_signature", 21, 100}, {"192.0.2.1", "credential_unknown", 5, 5}, {"192.0.2.2", "wrong_signature", 5, 5}} {
			if rows, times := told(events, want.ip, want.reason); rows != want.rows || times != want.times {
				t.Errorf("%s %s: %d rows, %d times, want %d and %d", want.ip, want.reason, rows, times, want.rows, want.times)
			}
		}
		for _, e := range events {
			if e.Times > 1 && e.UserName != "" {
				t.Errorf("the counted row names %q, which is not true of all", e.UserName)
			}
		}
	})
}

func TestFailureNextMinute(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	c := newClock()
	l := audit.New(c.now)
	fail(t, db, l, 27, "192.0.2.1", "x") // 7 counted, of which the row says 4
	c.pass(time.Minute)
	fail(t, db, l, 1, "192.0.2.1", "x") // stores what was left
	if rows, times := told(list(t, db, l, "t1", audit.Filter{}), "192.0.2.1", "x"); rows != 22 || times != 28 {
		t.Errorf("%d rows, %d times, want 22 and 28", rows, times)
	}
}

func TestFailureInParallel(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		l := audit.New(newClock().now)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() { fail(t, db, l, 50, "192.0.2.1", "x") })
		}
		all.Wait()
		if err := l.Flush(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if rows, times := told(list(t, db, l, "t1", audit.Filter{Limit: 999}), "192.0.2.1", "x"); rows != 21 || times != 400 {
			t.Errorf("%d rows, %d times, want 21 and 400", rows, times)
		}
	})
}

// Many sources make neither memory nor rows without bound.
func TestFailureOfMany(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	l := audit.New(newClock().now)
	l.Crowd(10)
	for i := range 200 {
		fail(t, db, l, 1, fmt.Sprintf("192.0.2.%d", i), "x")
	}
	if err := l.Flush(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	var times int
	events := list(t, db, l, "t1", audit.Filter{Limit: 999})
	for _, e := range events {
		times += e.Times
	}
	if len(events) > 10+20+1 || times != 200 {
		t.Errorf("%d rows tell of %d failures, want at most 31 and 200", len(events), times)
	}
}

func TestFailureTenantsApart(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	l := audit.New(newClock().now)
	fail(t, db, l, 30, "192.0.2.1", "x")
	e := failure("192.0.2.1", "x")
	e.Tenant = idp.TenantID("t2")
	if err := l.Failure(t.Context(), db, e); err != nil {
		t.Fatal(err)
	}
	if events := list(t, db, l, "t2", audit.Filter{}); len(events) != 1 || events[0].UserName == "" {
		t.Errorf("the other tenant's first failure: %v", events)
	}
}
