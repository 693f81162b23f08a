package audit_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var sources = []fs.FS{audit.Migrations}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func write(t *testing.T, db *sqldb.DB, l *audit.Log, e audit.Event) {
	t.Helper()
	if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return l.Write(ctx, tx, e) }); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, db *sqldb.DB, l *audit.Log, tenant idp.TenantID, f audit.Filter) []audit.Event {
	t.Helper()
	events, err := l.List(t.Context(), db, tenant, f)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestWriteAndList(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		l := audit.New(c.now)
		want := audit.Event{
			Tenant: "t1", At: c.now(), Category: audit.SignIn, Activity: "signin.done", Outcome: audit.Success, Actor: "u1",
			User: "u1", UserName: "ada@nordhafen.example", Client: "c1", Session: "s1", Method: "passkey", Credential: "k1",
			Rule: "strength.default", Reason: "strength_met", Code: 50074, IP: "192.0.2.1", Agent: "Browser", Trace: "trace",
			Detail: map[string]string{"a": "b"}, Times: 1,
		}
		write(t, db, l, want)
		got := list(t, db, l, "t1", audit.Filter{})
		if len(got) != 1 || got[0].ID == "" {
			t.Fatalf("got %v", got)
		}
		want.ID = got[0].ID
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("written and read (-want +got):\n%s", diff)
		}
		if other := list(t, db, l, "t2", audit.Filter{}); len(other) != 0 {
			t.Errorf("another tenant sees %v", other)
		}
	})
}

func TestListFilters(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		l := audit.New(c.now)
		for i := range 25 {
			write(t, db, l, audit.Event{
				Tenant: "t1", Category: []string{audit.SignIn, audit.Change}[i%2], Activity: fmt.Sprint(i), Outcome: audit.Success,
				User: idp.UserID(fmt.Sprint("u", i%5)),
			})
		}
		var seen []string
		for f := (audit.Filter{Limit: 10}); ; {
			page := list(t, db, l, "t1", f)
			for _, e := range page {
				seen = append(seen, e.Activity)
			}
			if len(page) < 10 {
				break
			}
			f.Before = page[len(page)-1].ID
		}
		var want []string
		for i := 24; i >= 0; i-- {
			want = append(want, fmt.Sprint(i))
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("pages of 10 (-want +got):\n%s", diff)
		}
		if n := len(list(t, db, l, "t1", audit.Filter{User: "u1"})); n != 5 {
			t.Errorf("%d events of u1, want 5", n)
		}
		if n := len(list(t, db, l, "t1", audit.Filter{User: "u1", Category: audit.Change})); n != 3 {
			t.Errorf("%d changes of u1, want 3", n)
		}
	})
}

// The event and the deed commit together or not at all.
func TestWriteIsPartOfTheDeed(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		l := audit.New(newClock().now)
		fail := errors.New("the deed failed")
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := l.Write(ctx, tx, audit.Event{Tenant: "t1", Category: audit.Change, Activity: "x", Outcome: audit.Success}); err != nil {
				return err
			}
			return fail
		})
		if !errors.Is(err, fail) {
			t.Fatal(err)
		}
		if events := list(t, db, l, "t1", audit.Filter{}); len(events) != 0 {
			t.Errorf("the deed was undone and its event is there: %v", events)
		}
	})
}

func TestWriteNeedsWords(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	l := audit.New(newClock().now)
	for _, e := range []audit.Event{
		{Category: audit.Change, Activity: "x", Outcome: audit.Success},
		{Tenant: "t1", Activity: "x", Outcome: audit.Success},
		{Tenant: "t1", Category: audit.Change, Outcome: audit.Success},
		{Tenant: "t1", Category: audit.Change, Activity: "x"},
	} {
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return l.Write(ctx, tx, e) })
		if err == nil {
			t.Errorf("written: %+v", e)
		}
	}
}

func TestClean(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"plain", "plain"},
		{"Béla Kovács 東京", "Béla Kovács 東京"},
		{"two\nlines\r\n", `two\u{a}lines\u{d}\u{a}`},
		{"a\x00b\x1b[31mred", `a\u{0}b\u{1b}[31mred`},
		{"moc.live\u202egpj.exe", `moc.live\u{202e}gpj.exe`},
		{"\u2066isolate\u2069 zero\u200bwidth \ufeffbom", `\u{2066}isolate\u{2069} zero\u{200b}width \u{feff}bom`},
		{"line\u2028separator", `line\u{2028}separator`},
		{"bad \xff utf-8", "bad \ufffd utf-8"},
		{"\u3164", `\u{3164}`},
		{strings.Repeat("x", 41), strings.Repeat("x", 40) + "…"},
		{strings.Repeat("é", 41), strings.Repeat("é", 40) + "…"},
		{strings.Repeat("é", 40), strings.Repeat("é", 40)},
	} {
		if got := audit.Clean(tt.in, 40); got != tt.want {
			t.Errorf("Clean(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// Whatever strangers send, an event is one bounded line of text.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "ada", "\x00\n\u202e", "\xff\xfe", strings.Repeat("\u200b", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := audit.Clean(s, 40)
		if len(got) > 40*len(`\u{10ffff}`)+len("…") {
			t.Errorf("Clean(%q) has %d bytes", s, len(got))
		}
		if strings.ContainsFunc(got, audit.Unprintable) || strings.ContainsAny(got, "\n\r\x00") {
			t.Errorf("Clean(%q) = %q", s, got)
		}
	})
}

// Hostile text in every field is stored on both databases.
func TestHostileText(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		l := audit.New(newClock().now)
		evil := "a\x00\xff\u202e\n" + strings.Repeat("x", 5000)
		write(t, db, l, audit.Event{
			Tenant: "t1", Category: audit.SignIn, Activity: "signin.answer", Outcome: audit.Failure, Actor: evil, User: idp.UserID(evil),
			UserName: evil, Client: idp.ClientID(evil), Session: idp.SessionID(evil), Method: idp.MethodID(evil), Credential: idp.CredentialID(evil),
			Rule: evil, Reason: evil, IP: evil, Agent: evil, Trace: evil, Detail: map[string]string{evil: evil},
		})
		e := list(t, db, l, "t1", audit.Filter{})[0]
		for _, s := range []string{e.Actor, string(e.User), e.UserName, e.Agent, e.Trace, e.IP, string(e.Credential), e.Detail[audit.Clean(evil, 64)]} {
			if len(s) < 5 || len(s) > 4200 || strings.ContainsAny(s, "\x00\n\u202e") {
				t.Errorf("stored %d bytes: %.60q", len(s), s)
			}
		}
	})
}

func TestLastAndExists(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		l := audit.New(c.now)
		if id, err := l.Last(t.Context(), db); id != "" || err != nil {
			t.Fatalf("last of none: %q, %v", id, err)
		}
		if ok, err := l.Exists(t.Context(), db, "x"); ok || err != nil {
			t.Fatalf("exists in none: %v, %v", ok, err)
		}
		var newest idp.EventID
		for _, tenant := range []idp.TenantID{"t3", "t1", "t2", "t1", "t3", "t2"} {
			c.pass(time.Second)
			write(t, db, l, audit.Event{Tenant: tenant, Category: audit.System, Activity: "x", Outcome: audit.Success})
			newest = list(t, db, l, tenant, audit.Filter{Limit: 1})[0].ID
			if id, err := l.Last(t.Context(), db); id != newest || err != nil {
				t.Fatalf("last is %q, %v, want %q", id, err, newest)
			}
		}
		for _, tenant := range []idp.TenantID{"t1", "t2", "t3"} {
			for _, e := range list(t, db, l, tenant, audit.Filter{}) {
				if ok, err := l.Exists(t.Context(), db, e.ID); !ok || err != nil {
					t.Errorf("event %s of %s: %v, %v", e.ID, tenant, ok, err)
				}
			}
		}
		if ok, _ := l.Exists(t.Context(), db, newest[:35]+"~"); ok {
			t.Error("an event that never was exists")
		}
	})
}

func TestPurge(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		l := audit.New(c.now)
		for day := range 10 {
			write(t, db, l, audit.Event{Tenant: "busy", Category: audit.System, Activity: fmt.Sprint(day), Outcome: audit.Success})
			if day < 3 {
				write(t, db, l, audit.Event{Tenant: "quiet", Category: audit.System, Activity: fmt.Sprint(day), Outcome: audit.Success})
			}
			c.pass(24 * time.Hour)
		}
		n, err := l.Purge(t.Context(), db, c.now().Add(-5*24*time.Hour))
		if err != nil || n != 5+2 {
			t.Fatalf("purged %d, %v, want 7", n, err)
		}
		if left := list(t, db, l, "busy", audit.Filter{}); len(left) != 5 || left[4].Activity != "5" {
			t.Errorf("left of the busy tenant: %v", left)
		}
		if left := list(t, db, l, "quiet", audit.Filter{}); len(left) != 1 || left[0].Activity != "2" {
			t.Errorf("left of the quiet tenant: %v, want its newest", left)
		}
	})
}
