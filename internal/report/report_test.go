package report_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/report"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// shelf is a room that only holds credentials.
type shelf struct {
	id   idp.MethodID
	held []method.Credential
	fail error
}

func (s *shelf) ID() idp.MethodID { return s.id }
func (s *shelf) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, errors.New("a shelf gives no challenge")
}
func (s *shelf) Verify(context.Context, method.Answer) (method.Verdict, error) {
	return method.Verdict{}, errors.New("a shelf verifies nothing")
}
func (s *shelf) List(_ context.Context, t idp.TenantID, u idp.UserID) (out []method.Credential, _ error) {
	for _, c := range s.held {
		if c.Tenant == t && c.User == u {
			out = append(out, c)
		}
	}
	return out, s.fail
}
func (s *shelf) Rename(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID, string) error {
	return nil
}
func (s *shelf) Remove(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID) error {
	return nil
}
func (s *shelf) Count(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) (int, error) {
	return 0, nil
}
func (s *shelf) Walk(_ context.Context, t idp.TenantID, fn func(method.Credential) error) error {
	for _, c := range s.held {
		if c.Tenant != t {
			continue
		}
		if err := fn(c); err != nil {
			return err
		}
	}
	return s.fail
}

// world is a house with a shelf of passkeys, one of passes and one of phones.
type world struct {
	*signintest.House
	*report.Report
	keys, passes, phones *shelf
}

func newWorld(t testing.TB, db *sqldb.DB) *world {
	w := &world{keys: &shelf{id: policy.Passkey}, passes: &shelf{id: policy.AccessPass}, phones: &shelf{id: "phone"}}
	w.House = signintest.New(t, db, func(*signintest.House) []method.Method {
		return []method.Method{w.keys, w.passes, w.phones}
	})
	w.Report = report.New(report.Config{DB: db, Sources: w.Corridor, Policy: w.Policies.Get, Tenants: w.Directory.Tenants, Now: w.Now})
	return w
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, signintest.Sources(report.Migrations), func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

var claims = []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor}

func (w *world) hold(u idp.User, kind report.Class) *method.Credential {
	c := method.Credential{Tenant: u.Tenant, User: u.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Properties: claims, Created: w.Now()}
	s := w.keys
	switch kind {
	case report.Hardware:
		c.Facts.Attested = true
		c.Properties = append(slices.Clone(claims), idp.HardwareBound)
	case report.Synced:
		c.Facts.Synced = true
	case report.Passwordless:
		s, c.Method, c.Mode, c.Properties = w.phones, "phone", idp.ModePhone, []idp.Property{idp.Possession, idp.UserVerified, idp.MultiFactor}
	case report.Pass:
		s, c.Method, c.Mode, c.Properties, c.Bootstrap = w.passes, policy.AccessPass, idp.ModeAccessPassOnce, []idp.Property{idp.Possession}, true
	}
	c.ID = idp.CredentialID(fmt.Sprint(kind, "-", len(s.held)))
	s.held = append(s.held, c)
	return &s.held[len(s.held)-1]
}

func (w *world) add(t testing.TB, u idp.User) idp.User {
	t.Helper()
	u.Tenant = w.Tenant.ID
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		u, err = w.Directory.CreateUser(ctx, tx, u)
		return err
	})
	return u
}

func (w *world) wantCounts(t *testing.T, want report.Counts) {
	t.Helper()
	got, err := w.Report.Count(t.Context(), w.Tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// Everybody counts once, in the class of the strongest that lets them in.
func TestCount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.wantCounts(t, report.Counts{report.Nothing: 2})
		for i, k := range report.Classes[:5] {
			u := w.add(t, idp.User{Name: fmt.Sprintf("p%d@nordhafen.example", i), Enabled: true})
			w.hold(u, k)
			for _, weaker := range report.Classes[i+1 : 5] {
				w.hold(u, weaker)
			}
		}
		one := report.Counts{report.Hardware: 1, report.Bound: 1, report.Synced: 1, report.Passwordless: 1, report.Pass: 1, report.Nothing: 2}
		w.wantCounts(t, one)

		off := w.add(t, idp.User{Name: "off@nordhafen.example", Enabled: false})
		w.hold(off, report.Hardware)
		guest := w.add(t, idp.User{Name: "guest@nordhafen.example", Enabled: true, Type: idp.Guest})
		w.hold(guest, report.Hardware)
		w.wantCounts(t, one)

		w.hold(w.Ada, report.Hardware).Disabled = true
		w.hold(w.Ada, report.Synced).Orphaned = true
		w.hold(w.Bob, report.Pass).Disabled = true
		w.wantCounts(t, one)
	})
}

// What a rule refuses lets nobody in: it is registered, and counts for nothing.
func TestCountAsksTheRules(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.hold(w.Ada, report.Synced)
		w.hold(w.Bob, report.Synced)
		w.wantCounts(t, report.Counts{report.Synced: 2})
		var g directory.Group
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			if g, err = w.Directory.CreateGroup(ctx, tx, directory.Group{Tenant: w.Tenant.ID, Name: "leavers"}); err == nil {
				_, err = w.Directory.AddMember(ctx, tx, w.Tenant.ID, g.ID, w.Ada.ID)
			}
			return err
		})
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
			m := p.Methods[policy.Passkey]
			m.Exclude = []policy.Target{{Group: g.ID}}
			p.Methods[policy.Passkey] = m
		})
		w.wantCounts(t, report.Counts{report.Synced: 1, report.Nothing: 1})
		rows := w.people(t)
		if a := rows[w.Ada.ID]; !a.Registered || a.Capable || a.Strongest != report.Nothing {
			t.Errorf("Ada, excluded: %+v", a)
		}
		if b := rows[w.Bob.ID]; !b.Registered || !b.Capable || b.Strongest != report.Synced {
			t.Errorf("Bob: %+v", b)
		}
	})
}

func (w *world) people(t *testing.T) map[idp.UserID]report.Person {
	t.Helper()
	out := map[idp.UserID]report.Person{}
	for p, err := range w.Report.People(t.Context(), w.Tenant.ID) {
		if err != nil {
			t.Fatal(err)
		}
		out[p.ID] = p
	}
	return out
}

// A count is kept for its day; the last one of a day stays, and no other
// tenant's is seen.
func TestHistory(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		store := func() report.Day {
			t.Helper()
			d, err := w.Report.Store(t.Context(), w.Tenant.ID)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		first := store()
		w.Advance(time.Hour)
		w.hold(w.Ada, report.Hardware)
		again := store()
		if !first.Day.Equal(again.Day) || !again.Counted.After(first.Counted) {
			t.Fatalf("days %v and %v", first, again)
		}
		w.Advance(24 * time.Hour)
		w.hold(w.Bob, report.Synced)
		next := store()

		days, err := w.Report.History(t.Context(), w.Tenant.ID, first.Day, w.Now())
		if err != nil || len(days) != 2 {
			t.Fatalf("%d days, %v", len(days), err)
		}
		for i, want := range []report.Day{again, next} {
			got := days[i]
			if !got.Day.Equal(want.Day) || !got.Counted.Equal(want.Counted) || got.People.Total() != 2 ||
				got.People[report.Hardware] != 1 || got.People[report.Synced] != i {
				t.Errorf("day %d is %+v", i, got)
			}
		}
		if days, err = w.Report.History(t.Context(), w.Tenant.ID, next.Day.Add(5*time.Hour), next.Day); err != nil || len(days) != 1 || !days[0].Day.Equal(next.Day) {
			t.Errorf("from the second day: %v, %v", days, err)
		}
		if days, err = w.Report.History(t.Context(), w.Other.ID, first.Day, w.Now()); err != nil || len(days) != 0 {
			t.Errorf("the other tenant has %v, %v", days, err)
		}
	})
}

// The job counts every tenant, tells the first trouble and goes on.
func TestJob(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		run := w.Report.Jobs()[0].Run
		if err := run(t.Context(), w.Now()); err != nil {
			t.Fatal(err)
		}
		for _, tenant := range []idp.TenantID{w.Tenant.ID, w.Other.ID} {
			if n := w.House.Count(t, "report_day", tenant); n != len(report.Classes) {
				t.Errorf("tenant %s has %d rows", tenant, n)
			}
		}
		if err := run(t.Context(), w.Now()); err != nil || w.House.Count(t, "report_day", w.Tenant.ID) != len(report.Classes) {
			t.Errorf("run again: %v", err)
		}
		w.keys.fail = errors.New("the shelf fell")
		if err := run(t.Context(), w.Now()); err == nil || !strings.Contains(err.Error(), "the shelf fell") {
			t.Errorf("a job that could not count says %v", err)
		}
	})
}

// The CSV has everybody, and nothing in it that a spreadsheet would run.
func TestCSV(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		mal := w.add(t, idp.User{Name: "mal@nordhafen.example", DisplayName: `=HYPERLINK("http://x","Mal, \"M\"")`, Enabled: true})
		w.hold(mal, report.Hardware).LastUsed = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
		w.hold(mal, report.Pass)
		var b bytes.Buffer
		n, err := w.Report.CSV(t.Context(), &b, w.Tenant.ID)
		if err != nil || n != 3 {
			t.Fatalf("%d rows, %v", n, err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(rows) != 4 || !slices.Equal(rows[0], report.Header) {
			t.Fatalf("read back %q, %v", rows, err)
		}
		want := []string{"mal@nordhafen.example", `'=HYPERLINK("http://x","Mal, \"M\"")`, "passkeyDeviceBound; accessPass", "hardware", "yes", "yes", "2026-03-01T08:00:00Z", "member", "yes"}
		if !slices.ContainsFunc(rows, func(r []string) bool { return slices.Equal(r, want) }) {
			t.Errorf("no row %q in %q", want, rows)
		}
		if ada := []string{w.Ada.Name, "ada", "", "nothing", "no", "no", "", "member", "yes"}; !slices.ContainsFunc(rows, func(r []string) bool { return slices.Equal(r, ada) }) {
			t.Errorf("no row %q in %q", ada, rows)
		}
	})
}

func TestCell(t *testing.T) {
	for in, want := range map[string]string{
		"Ada Holm": "Ada Holm", "": "", "O'Neil": "O'Neil", "ada@x.example": "ada@x.example", "a=1": "a=1", "Åsa": "Åsa",
		"=1+1": "'=1+1", "+49 1": "'+49 1", "-2": "'-2", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "  =1": "'  =1", "\r=1": "'\r=1",
		"|calc": "'|calc", "%0A": "'%0A", "＝1": "'＝1", " ＠x": "' ＠x",
	} {
		if got := report.Cell(in); got != want {
			t.Errorf("Cell(%q) = %q, want %q", in, got, want)
		}
	}
}

// Every class is in the ranking once, and each is stronger than those behind.
func TestRanking(t *testing.T) {
	for i, a := range report.Classes {
		for j, b := range report.Classes {
			if report.Stronger(a, b) != (i < j) {
				t.Errorf("Stronger(%s, %s) is wrong", a, b)
			}
		}
	}
	if _, ok := report.Strongest(nil); ok {
		t.Error("nothing has a strongest")
	}
}

// BenchmarkCount counts 100,000 people with 300,000 keys.
func BenchmarkCount(b *testing.B) {
	db := sqldbtest.Open(b, signintest.Sources(report.Migrations))
	w := newWorld(b, db)
	const people = 100_000
	err := db.Write(b.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for i := range people {
			id := idp.UserID(fmt.Sprintf("%08x-0000-4000-8000-000000000000", i))
			_, err := tx.Exec(ctx, `insert into users (tenant_id, id, name, name_folded, display_name, display_folded, enabled, user_type, role, created)
				values ($1, $2, $3, $3, $3, $3, true, 'member', '', $4)`, w.Tenant.ID, id, string(id), int64(i))
			if err != nil {
				return err
			}
			for k := range 3 {
				w.hold(idp.User{ID: id, Tenant: w.Tenant.ID}, report.Classes[(i+k)%3])
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		n, err := w.Report.Count(b.Context(), w.Tenant.ID)
		if err != nil || n.Total() != people+2 {
			b.Fatal(n, err)
		}
	}
}
