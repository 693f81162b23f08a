package directory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

func TestImport(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		var b strings.Builder
		b.WriteString("\ufeffUserPrincipalName,displayName,accountEnabled,userType\r\n")
		for i := range 450 {
			fmt.Fprintf(&b, "u%d@a.example,\"Person, %d\",%v,\r\n", i, i, i%2 == 0)
		}
		b.WriteString("guest@a.example,,true,Guest\r\n")
		var told []int
		settled := 0
		report, err := h.ImportUsers(t.Context(), a.ID, strings.NewReader(b.String()), func(done int) { told = append(told, done) },
			func(_ context.Context, _ *sqldb.Tx, users []idp.User) error { settled = len(users); return nil })
		if err != nil || report.Created != 451 || report.Rows != 451 || len(report.Bad) != 0 {
			t.Fatalf("%+v, %v", report, err)
		}
		if settled != 451 || !slices.IsSorted(told) || len(told) < 3 || told[len(told)-1] != 451 {
			t.Errorf("settled %d, progress %v", settled, told)
		}
		u, err := h.UserByName(t.Context(), h.db, a.ID, "u1@a.example")
		if err != nil || u.DisplayName != "Person, 1" || u.Enabled || u.Type != idp.Member {
			t.Errorf("u1: %+v, %v", u, err)
		}
		if g, err := h.UserByName(t.Context(), h.db, a.ID, "guest@a.example"); err != nil || g.Type != idp.Guest || g.DisplayName != "guest" || !g.Enabled {
			t.Errorf("guest: %+v, %v", g, err)
		}
	})
}

// Every bad row is reported, and with one of them nothing is made.
func TestImportBadRows(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		h.tenant("b.example")
		h.user(a.ID, "Taken@a.example")
		file := strings.Join([]string{
			"userPrincipalName,displayName,accountEnabled,userType",
			"good@a.example,Good,true,member",
			"ada,No domain,true,member",
			"ada@b.example,Foreign,true,member",
			"x@a.example,Enabled?,maybe,member",
			"y@a.example,Type,true,robot",
			"\"z@a.example\",\"Two",
			"lines\",true,member",
			"Good@A.example,Twice,true,member",
			"taken@a.example,Taken,true,member",
			"few@a.example,x",
			",Empty,true,member",
		}, "\n")
		report, err := h.ImportUsers(t.Context(), a.ID, strings.NewReader(file), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, bad := range report.Bad {
			got = append(got, fmt.Sprintf("%d %s", bad.Line, bad.Field))
			if bad.Reason == "" {
				t.Errorf("line %d has no reason", bad.Line)
			}
		}
		want := []string{"3 userPrincipalName", "4 userPrincipalName", "5 accountEnabled", "6 userType",
			"9 userPrincipalName", "10 userPrincipalName", "11 ", "12 userPrincipalName"}
		if diff := cmp.Diff(want, got); diff != "" || report.Created != 0 {
			t.Errorf("created %d, bad rows (-want +got):\n%s", report.Created, diff)
		}
		if people, _, err := h.Users(t.Context(), a.ID, directory.Page{}); err != nil || len(people) != 1 {
			t.Errorf("after a bad file there are %d users, %v", len(people), err)
		}
	})
}

func TestImportBadFiles(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		for name, file := range map[string]string{
			"empty": "", "header only": "userPrincipalName\n", "unknown column": "userPrincipalName,password\na@a.example,x\n",
			"no name column": "displayName\nAda\n", "column twice": "userPrincipalName,userprincipalname\na,b\n",
			"not UTF-8": "userPrincipalName\n\xff@a.example\n", "a picture": "\x89PNG\r\n\x1a\n\x00\x00\x00",
			"too large": "userPrincipalName\n" + strings.Repeat("x", directory.ImportBytes),
			"too many":  "userPrincipalName\n" + strings.Repeat("a\n", directory.ImportRows+1),
		} {
			_, err := h.ImportUsers(t.Context(), a.ID, strings.NewReader(file), nil, nil)
			wantKind(t, name, err, idp.Invalid)
		}
		_, err := h.ImportUsers(t.Context(), "nobody", strings.NewReader("userPrincipalName\na@a.example\n"), nil, nil)
		wantKind(t, "no tenant", err, idp.NotFound)
		report, err := h.ImportUsers(t.Context(), a.ID, strings.NewReader("userPrincipalName\n\"a@a.example\"x\"\n"), nil, nil)
		if err != nil || len(report.Bad) != 1 || report.Bad[0].Line != 2 {
			t.Errorf("broken quotation: %+v, %v", report, err)
		}
	})
}

// When what must commit with it fails, nobody is made.
func TestImportSettleFails(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		fail := errors.New("no audit")
		_, err := h.ImportUsers(t.Context(), a.ID, strings.NewReader("userPrincipalName\nada@a.example\n"), nil,
			func(context.Context, *sqldb.Tx, []idp.User) error { return fail })
		if !errors.Is(err, fail) {
			t.Fatal(err)
		}
		if _, err := h.UserByName(t.Context(), h.db, a.ID, "ada@a.example"); !errors.Is(err, idp.NotFound) {
			t.Errorf("ada: %v", err)
		}
	})
}

// Two imports of the same people at once: one makes them all, the other none.
func TestImportRace(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		var file strings.Builder
		file.WriteString("userPrincipalName\n")
		for i := range 50 {
			fmt.Fprintf(&file, "u%d@a.example\n", i)
		}
		reports := make([]directory.Report, 4)
		var all sync.WaitGroup
		for i := range reports {
			all.Go(func() {
				var err error
				if reports[i], err = h.ImportUsers(t.Context(), a.ID, strings.NewReader(file.String()), nil, nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		created := 0
		for _, r := range reports {
			created += r.Created
			if (r.Created == 0) != (len(r.Bad) > 0) {
				t.Errorf("half an import: %+v", r)
			}
		}
		people, _, err := h.Users(t.Context(), a.ID, directory.Page{Limit: 999})
		if created != 50 || len(people) != 50 || err != nil {
			t.Errorf("created %d, there are %d, %v", created, len(people), err)
		}
	})
}

// FuzzImport: no file panics, and what is taken are users with good names.
func FuzzImport(f *testing.F) {
	f.Add("userPrincipalName,displayName\nada@a.example,Ada\n")
	f.Add("\ufeffuserPrincipalName\r\n\"a\"\"b@a.example\"\r\n")
	f.Add("userPrincipalName,accountEnabled,userType\na@a.example,TRUE,Guest\nb@a.example,0,\n")
	f.Add("displayName,userPrincipalName\n\"x\ny\",a@a.example")
	f.Add("userPrincipalName\n\"")
	f.Fuzz(func(t *testing.T, file string) {
		users, bad, err := directory.ParseImport(strings.NewReader(file))
		if err != nil || bad > 0 {
			return
		}
		seen := make(map[string]bool)
		for _, u := range users {
			if _, _, err := directory.SplitUserName(u.Name); err != nil || u.DisplayName == "" || seen[directory.Fold(u.Name)] {
				t.Errorf("taken from %q: %+v, %v", file, u, err)
			}
			seen[directory.Fold(u.Name)] = true
		}
	})
}
