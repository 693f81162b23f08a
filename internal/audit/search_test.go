package audit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func search(t testing.TB, db *sqldb.DB, l *audit.Log, q audit.Query) audit.Part {
	t.Helper()
	p, err := l.Search(t.Context(), db, "t1", q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// fill writes n events, one a minute: the reason of each is its number, every
// tenth is a failure of Ada, every hundredth a change.
func fill(t *testing.T, db *sqldb.DB, l *audit.Log, c *clock, n int) {
	t.Helper()
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for i := range n {
			e := audit.Event{Tenant: "t1", Category: audit.SignIn, Activity: "signin.done", Outcome: audit.Success, User: "bo", UserName: "Bo@x", Client: "mail", Method: "passkey", IP: "192.0.2.1", Reason: fmt.Sprint(i)}
			if i%10 == 0 {
				e.Outcome, e.User, e.UserName, e.Rule, e.IP, e.Client = audit.Failure, "ada", "Ada@x", "passkey.synced", "192.0.2.2", "pay"
			}
			if i%50 == 7 {
				e.Detail = map[string]string{"device": "d7", "z": "1"}
			}
			if i%100 == 99 {
				e.Category, e.Activity, e.Actor = audit.Change, "policy.save", "ada"
			}
			if err := l.Write(ctx, tx, e); err != nil {
				return err
			}
			e.Tenant = "t2"
			if err := l.Write(ctx, tx, e); err != nil {
				return err
			}
			c.pass(time.Minute)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSearch(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		l := audit.New(c.now)
		start := c.now()
		fill(t, db, l, c, 3000)
		for name, row := range map[string]struct {
			ask  audit.Query
			want int
		}{
			"everything":      {audit.Query{}, 3000},
			"sign-ins":        {audit.Query{Of: audit.SignIns}, 2970},
			"changes":         {audit.Query{Of: audit.Changes}, 30},
			"a person":        {audit.Query{User: "ada"}, 300},
			"their changes":   {audit.Query{User: "ada", Of: audit.Changes}, 0},
			"Bo's changes":    {audit.Query{User: "bo", Of: audit.Changes}, 30},
			"a name":          {audit.Query{UserName: "ADA@x"}, 300},
			"failures":        {audit.Query{Outcome: audit.Failure}, 300},
			"an app":          {audit.Query{Client: "pay"}, 300},
			"an address":      {audit.Query{IP: "192.0.2.2"}, 300},
			"a method":        {audit.Query{Method: "passkey"}, 3000},
			"another method":  {audit.Query{Method: "phone"}, 0},
			"a rule":          {audit.Query{Rule: "passkey.synced"}, 300},
			"a reason":        {audit.Query{Reason: "17"}, 1},
			"an actor":        {audit.Query{Actor: "ada"}, 30},
			"either side":     {audit.Query{Either: "ada"}, 330},
			"activities":      {audit.Query{Activities: []string{"policy.save", "nothing"}}, 30},
			"a beginning":     {audit.Query{Activities: []string{"policy."}}, 30},
			"half of a word":  {audit.Query{Activities: []string{"polic."}}, 0},
			"a device":        {audit.Query{Device: "d7"}, 60},
			"its beginning":   {audit.Query{Device: "d"}, 0},
			"an hour":         {audit.Query{Since: start.Add(time.Hour), Until: start.Add(2 * time.Hour)}, 60},
			"an hour of Ada":  {audit.Query{User: "ada", Since: start.Add(time.Hour), Until: start.Add(2 * time.Hour)}, 6},
			"no hour":         {audit.Query{Since: start.Add(2 * time.Hour), Until: start.Add(time.Hour)}, 0},
			"all at once":     {audit.Query{User: "ada", Client: "pay", Outcome: audit.Failure, IP: "192.0.2.2", Rule: "passkey.synced", Of: audit.SignIns, Reason: "10"}, 1},
			"text that is no": {audit.Query{IP: "' or 1=1 --", Reason: "%"}, 0},
		} {
			seen, pages := 0, 0
			ask, before := row.ask, idp.EventID("")
			for ask.Limit = 170; ; pages++ {
				p := search(t, db, l, ask)
				for _, e := range p.Events {
					if e.Tenant != "t1" || before != "" && e.ID >= before {
						t.Fatalf("%s: %s after %s", name, e.ID, before)
					}
					before = e.ID
				}
				seen += len(p.Events)
				if p.Next == "" {
					break
				}
				if len(p.Events) != ask.Limit || !p.Back.IsZero() {
					t.Fatalf("%s: a part of %d goes on, back to %v", name, len(p.Events), p.Back)
				}
				ask.Before = p.Next
			}
			if seen != row.want || pages > row.want/170 {
				t.Errorf("%s: %d events on %d pages, want %d", name, seen, pages+1, row.want)
			}
		}
	})
}

// A search that finds nothing stops after Look records, says how far back it
// was, and goes on from there.
func TestSearchLooksOnlySoFar(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		l := audit.New(c.now)
		start := c.now()
		fill(t, db, l, c, 3000)
		ask := audit.Query{Reason: "5", Look: 1000}
		for step, back := range []time.Duration{2000 * time.Minute, 1000 * time.Minute} {
			p := search(t, db, l, ask)
			if len(p.Events) != 0 || p.Next == "" || !p.Back.Equal(start.Add(back)) {
				t.Fatalf("step %d: %d events, next %q, back to %v", step, len(p.Events), p.Next, p.Back)
			}
			ask.Before = p.Next
		}
		p := search(t, db, l, ask)
		if len(p.Events) != 1 || p.Events[0].Reason != "5" {
			t.Fatalf("at the end: %+v", p)
		}
		if ask.Before = p.Next; p.Next != "" {
			if p = search(t, db, l, ask); len(p.Events) != 0 || p.Next != "" {
				t.Errorf("behind the end: %+v", p)
			}
		}
	})
}

func TestNewer(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		l := audit.New(c.now)
		fill(t, db, l, c, 100)
		at := search(t, db, l, audit.Query{Limit: 1}).Events[0]
		newer := func(ask audit.Query) (int, idp.EventID) {
			t.Helper()
			n, next, err := l.Newer(t.Context(), db, "t1", at.ID, ask)
			if err != nil {
				t.Fatal(err)
			}
			return n, next
		}
		if n, next := newer(audit.Query{}); n != 0 || next != "" {
			t.Errorf("%d newer, next %q", n, next)
		}
		fill(t, db, l, c, 200)
		all := search(t, db, l, audit.Query{Limit: 200}).Events
		for name, row := range map[string]struct {
			ask  audit.Query
			want int
		}{
			"all": {audit.Query{Limit: 999}, 200}, "failures": {audit.Query{Limit: 999, Outcome: audit.Failure}, 20}, "a few": {audit.Query{Limit: 7}, 7},
			"changes": {audit.Query{Of: audit.Changes}, 2}, "none": {audit.Query{IP: "203.0.113.1"}, 0}, "as far as one looks": {audit.Query{Limit: 999, Look: 50}, 50},
		} {
			n, next := newer(row.ask)
			if n != row.want {
				t.Errorf("%s: %d newer, want %d", name, n, row.want)
			}
			if want := all[len(all)-1].ID; (name == "all" || name == "a few") && next != want {
				t.Errorf("%s: next %s, want %s", name, next, want)
			}
		}
	})
}

// BenchmarkSearch is a page of the log over more and more records: without a
// question, with one that many records answer, one that a few old ones do, and
// a person.
func BenchmarkSearch(b *testing.B) {
	for _, size := range []int{1_000, 10_000, 100_000, 1_000_000} {
		db := sqldbtest.Open(b, sources)
		c := newClock()
		l := audit.New(c.now)
		for done := 0; done < size; {
			err := db.Write(b.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				for range min(size-done, 10_000) {
					e := audit.Event{Tenant: "t1", Category: audit.SignIn, Activity: "signin.done", Outcome: audit.Success, User: idp.UserID(fmt.Sprint("u", done%5000)), Client: "mail", Method: "passkey", IP: "192.0.2.1"}
					if done%50 == 0 {
						e.Outcome = audit.Failure
					}
					if done == 0 {
						e.IP = "192.0.2.9"
					}
					if err := l.Write(ctx, tx, e); err != nil {
						return err
					}
					c.pass(time.Second)
					done++
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		for _, q := range []struct {
			name string
			ask  audit.Query
		}{
			{"all", audit.Query{Of: audit.SignIns}}, {"failures", audit.Query{Of: audit.SignIns, Outcome: audit.Failure}},
			{"nothing", audit.Query{Of: audit.SignIns, IP: "203.0.113.9"}}, {"person", audit.Query{Of: audit.SignIns, User: "u7"}},
			{"changes", audit.Query{Of: audit.Changes}},
		} {
			b.Run(fmt.Sprintf("%s/%d", q.name, size), func(b *testing.B) {
				for b.Loop() {
					if _, err := l.Search(b.Context(), db, "t1", q.ask); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
