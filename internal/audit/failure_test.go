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
		User: "u1", Actor: "u1", UserName: "somebody", Code: 130005,
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

// Decisions 3.5: beyond 20 a minute from one source, anonymous failures that
// are answered alike are one counted row.
func TestFailure(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		l := audit.New(c.now)
		fail(t, db, l, 20, "192.0.2.1", "wrong_signature")
		if rows, times := told(list(t, db, l, "t1", audit.Filter{Limit: 999}), "192.0.2.1", "wrong_signature"); rows != 20 || times != 20 {
			t.Fatalf("20 failures: %d rows, %d times", rows, times)
		}
		fail(t, db, l, 75, "192.0.2.1", "wrong_signature")
		fail(t, db, l, 5, "192.0.2.1", "credential_unknown") // answered alike
		fail(t, db, l, 5, "192.0.2.2", "wrong_signature")
		if err := l.Flush(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		events := list(t, db, l, "t1", audit.Filter{Limit: 999})
		for _, want := range []struct {
			ip, reason  string
			rows, times int
		}{{"192.0.2.1", "wrong_signature", 20, 20}, {"192.0.2.1", audit.Various, 1, 80}, {"192.0.2.2", "wrong_signature", 5, 5}} {
			if rows, times := told(events, want.ip, want.reason); rows != want.rows || times != want.times {
				t.Errorf("%s %s: %d rows, %d times, want %d and %d", want.ip, want.reason, rows, times, want.rows, want.times)
			}
		}
		for _, e := range events {
			if e.Times > 1 && e.UserName+e.Actor+string(e.User) != "" {
				t.Errorf("the counted row names %q, %q, %q, which is not true of all", e.UserName, e.Actor, e.User)
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
	events := list(t, db, l, "t1", audit.Filter{})
	rows, times := told(events, "192.0.2.1", "x")
	counted, more := told(events, "192.0.2.1", audit.Various)
	if rows != 21 || times != 21 || counted != 1 || more != 7 {
		t.Errorf("%d rows, %d times, and %d that count to %d, want 21, 21, 1 and 7", rows, times, counted, more)
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
		events := list(t, db, l, "t1", audit.Filter{Limit: 999})
		if rows, times := told(events, "192.0.2.1", "x"); rows != 20 || times != 20 {
			t.Errorf("%d rows, %d times, want 20 and 20", rows, times)
		}
		if rows, times := told(events, "192.0.2.1", audit.Various); rows != 1 || times != 380 {
			t.Errorf("%d rows that count to %d, want 1 and 380", rows, times)
		}
	})
}

// TestSec_T34_CountedFailuresTellNoReason: what a failure writes depends on how
// many were answered like it, not on what was wrong with them; what is answered
// otherwise, or is another method or activity, is counted by itself.
func TestSec_T34_CountedFailuresTellNoReason(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		l := audit.New(newClock().now)
		rows := func() int { return len(list(t, db, l, "t1", audit.Filter{Limit: 999})) }
		fail(t, db, l, 25, "192.0.2.1", "credential_unknown") // 20 rows and one that counts
		before := rows()
		for _, reason := range []string{"credential_unknown", "bad_signature", "user_handle_missing", "other_user"} {
			fail(t, db, l, 1, "192.0.2.1", reason)
			if n := rows(); n != before {
				t.Errorf("%s writes a row, where other reasons are counted", reason)
			}
		}
		for name, change := range map[string]func(*audit.Event){
			"number":   func(e *audit.Event) { e.Code = 50057 },
			"method":   func(e *audit.Event) { e.Method = "accessPass" },
			"activity": func(e *audit.Event) { e.Activity = "signin.refused" },
		} {
			e := failure("192.0.2.1", "credential_unknown")
			change(&e)
			before := rows()
			if err := l.Failure(t.Context(), db, e); err != nil {
				t.Fatal(err)
			}
			if rows() != before+1 {
				t.Errorf("a failure of another %s has no row", name)
			}
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
