package hygiene_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
)

var mine = hygiene.Options{Actor: "cli:test"}

// TestKeys: everybody's keys come person by person in parts, with what a
// person should look at.
func TestKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Hello.WarnAt = 2 })
		first, second := w.key(t, w.Ada), w.key(t, w.Ada)
		bobs := w.key(t, w.Bob)
		w.key(t, w.Eve)
		w.leave(t, second)
		var keys []hygiene.Key
		var many []hygiene.Holder
		parts, people := 0, 0
		for q := (hygiene.Query{People: 1}); ; parts++ {
			part, err := w.keeper.Keys(t.Context(), w.Tenant, q)
			if err != nil {
				t.Fatal(err)
			}
			keys, many, people = append(keys, part.Keys...), append(many, part.Many...), people+part.People
			if q.After = part.After; q.After == "" {
				break
			}
		}
		var got []string
		for _, k := range keys {
			got = append(got, fmt.Sprint(k.UserName, " ", k.Usage, " ", k.ID, " ", k.Orphaned, " ", k.Tenant))
		}
		want := []string{
			fmt.Sprint("ada@nordhafen.example NGC ", first.ID, " false nordhafen.example"),
			fmt.Sprint("ada@nordhafen.example NGC ", second.ID, " true nordhafen.example"),
			"ada@nordhafen.example FIDO -Passkey_1 false nordhafen.example",
			fmt.Sprint("bob@nordhafen.example NGC ", bobs.ID, " false nordhafen.example"),
		}
		// Who comes first is by chance, and whose keys come together is not.
		var owners []string
		for _, k := range keys {
			owners = append(owners, k.UserName)
		}
		if len(slices.Compact(owners)) != 2 {
			t.Errorf("keys of one person do not come together: %q", got)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || people != 2 {
			t.Errorf("%d people in %d parts: %q, want %q", people, parts, got, want)
		}
		if len(many) != 1 || many[0] != (hygiene.Holder{Name: "ada@nordhafen.example", Method: policy.Hello, Held: 2, Limit: 20}) {
			t.Errorf("many: %+v", many)
		}
		part, err := w.keeper.Keys(t.Context(), w.Tenant, hygiene.Query{Who: w.Ada, Orphaned: true})
		if err != nil || len(part.Keys) != 1 || part.Keys[0].ID != second.ID || part.After != "" {
			t.Errorf("Ada's orphans: %+v, %v", part, err)
		}
	})
}

// TestCSV: the columns of the file, and that nothing in it is a formula.
func TestCSV(t *testing.T) {
	at := time.Date(2026, 3, 5, 10, 14, 0, 0, time.FixedZone("", 3600))
	var b strings.Builder
	err := hygiene.CSV(&b, []hygiene.Key{
		{UserName: "ada@nordhafen.example", Tenant: "nordhafen.example", Device: "d", Usage: hygiene.NGC, ID: "k", Created: at, Roca: true, LastUsed: at},
		{UserName: "=cmd|' /C calc'!A0", Tenant: "@x", Usage: hygiene.FIDO, ID: "-id", Created: at, Orphaned: true},
	}, true)
	want := "userPrincipalName,Tenant,DeviceId,Usage,Id,CreationTime,RocaVulnerable,Orphaned,LastUsed\r\n" +
		"ada@nordhafen.example,nordhafen.example,d,NGC,k,2026-03-05T09:14:00Z,True,False,2026-03-05T09:14:00Z\r\n" +
		"'=cmd|' /C calc'!A0,'@x,,FIDO,'-id,2026-03-05T09:14:00Z,False,True,\r\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// export is the file of all keys.
func (w *world) export(t testing.TB) string {
	t.Helper()
	part, err := w.keeper.Keys(t.Context(), w.Tenant, hygiene.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := hygiene.CSV(&b, part.Keys, true); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// lines of a file that hold one of the words, with the header.
func lines(file string, words ...string) string {
	all := strings.SplitAfter(file, "\r\n")
	out := all[0]
	for _, l := range all[1:] {
		if slices.ContainsFunc(words, func(word string) bool { return word != "" && strings.Contains(l, word) }) {
			out += l
		}
	}
	return out
}

// TestCleanFile: what was exported and looked through is what is cleared, first
// tried, then done, then given back.
func TestCleanFile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first, second, third := w.key(t, w.Ada), w.key(t, w.Ada), w.key(t, w.Ada)
		bobs := w.key(t, w.Bob)
		file := lines(w.export(t), string(first.ID), string(second.ID), string(bobs.ID))
		file = strings.Replace(file, "LastUsed\r\n", "LastUsed,Remark\r\n", 1)
		file = strings.ReplaceAll(strings.ReplaceAll(file, ",\r\n", ",,old\r\n"), "LastUsed,Remark,old", "LastUsed,Remark")
		for _, try := range []bool{true, false} {
			r, err := w.keeper.CleanFile(t.Context(), w.Tenant, "\ufeff"+file, mine, try)
			if err != nil || len(r.Bad) > 0 || len(r.Done) != 2 || len(r.Refused) != 1 || r.Refused[0].Reason != "last_method" || r.Refused[0].Key.ID != bobs.ID || r.Refused[0].Say == "" {
				t.Fatalf("try %t: %+v, %v", try, r, err)
			}
			if n, want := w.held(t, w.Ada), map[bool]int{true: 3, false: 1}[try]; n != want || w.held(t, w.Bob) != 1 {
				t.Errorf("try %t: %d keys, want %d", try, n, want)
			}
		}
		again, err := w.keeper.CleanFile(t.Context(), w.Tenant, lines(file, string(first.ID)), mine, false)
		if err != nil || len(again.Bad) != 1 || again.Bad[0].Line != 2 || again.Bad[0].Field != "Id" {
			t.Errorf("the same again: %+v, %v", again, err)
		}
		back := lines(file, string(first.ID), string(second.ID))
		for _, try := range []bool{true, false} {
			r, err := w.keeper.RestoreFile(t.Context(), w.Tenant, back, mine, try)
			if err != nil || len(r.Done) != 2 || len(r.Bad)+len(r.Refused) != 0 {
				t.Fatalf("restore, try %t: %+v, %v", try, r, err)
			}
		}
		if n := w.held(t, w.Ada); n != 3 {
			t.Errorf("%d keys after restoring, want 3", n)
		}
		if r, err := w.keeper.RestoreFile(t.Context(), w.Tenant, back, mine, false); err != nil || len(r.Bad) != 2 {
			t.Errorf("restored again: %+v, %v", r, err)
		}
		_ = third
	})
}

// TestBadRows: each bad row is named with its line, and nothing is done then.
func TestBadRows(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		good, spare := w.key(t, w.Ada), w.key(t, w.Ada)
		bobs := w.key(t, w.Bob)
		w.key(t, w.Bob)
		rows := []struct{ row, field string }{
			{"ada@nordhafen.example,,,," + string(good.ID), ""}, // line 2
			{"ada@nordhafen.example,,,," + string(good.ID), "Id"},
			{"nobody@nordhafen.example,,,,k", "userPrincipalName"},
			{",,,,l", "userPrincipalName"},
			{"ada@nordhafen.example,,,,", "Id"},
			{"ada@nordhafen.example,,,," + string(bobs.ID), "Id"},
			{"ada@nordhafen.example,westwerk.example,,," + string(spare.ID), "Tenant"},
			{"bob@nordhafen.example,NORDHAFEN.example,,fido," + strings.ToUpper(string(bobs.ID)), "Usage"},
			{"ada@nordhafen.example," + string(w.Tenant.ID) + ",other,NGC,m", "Id"},
			{"ada@nordhafen.example,,,FIDO,'-Passkey_1", "Usage"},
			{"ada@nordhafen.example,,", ""},
			{"\"ada@nordhafen.example", ""},
		}
		file := "userprincipalname,TENANT,DeviceId,Usage,id\n"
		var want []directory.BadRow
		for i, r := range rows {
			file += r.row + "\n"
			if i > 0 {
				want = append(want, directory.BadRow{Line: i + 2, Field: r.field})
			}
		}
		r, err := w.keeper.CleanFile(t.Context(), w.Tenant, file, mine, false)
		var got []directory.BadRow
		for _, b := range r.Bad {
			if b.Reason == "" {
				t.Errorf("line %d without a reason", b.Line)
			}
			got = append(got, directory.BadRow{Line: min(b.Line, len(rows)+1), Field: b.Field})
		}
		if err != nil || !slices.Equal(got, want) || len(r.Done)+len(r.Refused) != 0 {
			t.Errorf("%v\n got %v\nwant %v", err, got, want)
		}
		if w.held(t, w.Ada) != 2 || w.held(t, w.Bob) != 2 {
			t.Error("something was removed")
		}
		other := "userPrincipalName,Id,DeviceId\nada@nordhafen.example," + string(good.ID) + ",elsewhere\n"
		if r, err := w.keeper.CleanFile(t.Context(), w.Tenant, other, mine, false); err != nil || len(r.Bad) != 1 || r.Bad[0].Field != "DeviceId" || w.held(t, w.Ada) != 2 {
			t.Errorf("key of another device: %+v, %v", r, err)
		}
		for name, c := range map[string]struct{ file, reason string }{
			"nothing":         {"", "empty_file"},
			"header alone":    {"userPrincipalName,Id\n", "no_rows"},
			"no Id":           {"userPrincipalName\nada\n", "column_missing"},
			"a column twice":  {"userPrincipalName,Id,ID\nada,1,2\n", "column_twice"},
			"another charset": {"userPrincipalName,Id\n\xe4\xf6,1\n", "bad_encoding"},
			"too large":       {strings.Repeat("x", hygiene.MaxBytes+1), "file_too_large"},
			"too many":        {"userPrincipalName,Id\n" + strings.Repeat("a,b\n", hygiene.MaxRows+1), "too_many_rows"},
		} {
			for _, do := range []func() error{
				func() error { _, err := w.keeper.CleanFile(t.Context(), w.Tenant, c.file, mine, false); return err },
				func() error { _, err := w.keeper.RestoreFile(t.Context(), w.Tenant, c.file, mine, false); return err },
			} {
				if err := do(); !errors.Is(err, idp.Invalid) || idp.AsError(err).Reason != c.reason || idp.AsError(err).Public == "" {
					t.Errorf("%s: %v, want %s", name, err, c.reason)
				}
			}
		}
	})
}

// TestCleanByRule: each rule takes what it says, together they take what all
// say, and an empty one takes nothing.
func TestCleanByRule(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		oldUnused := w.key(t, w.Ada)
		oldOrphan := w.key(t, w.Ada)
		bobs := w.key(t, w.Bob)
		w.Advance(100 * 24 * time.Hour)
		newOrphan := w.key(t, w.Ada)
		kept := w.key(t, w.Ada)
		w.leave(t, oldOrphan)
		w.leave(t, newOrphan)
		days := func(n int) time.Time { return w.Now().AddDate(0, 0, -n) }
		try := func(r hygiene.Rule) (ids []string) {
			t.Helper()
			seen := 0
			o := mine
			o.Progress = func(n int) { seen = n }
			got, err := w.keeper.CleanByRule(t.Context(), w.Tenant, r, o, true)
			if err != nil || got.More || seen == 0 {
				t.Fatal(got, err, seen)
			}
			for _, k := range got.Done {
				ids = append(ids, string(k.ID))
			}
			for _, k := range got.Refused {
				ids = append(ids, "not "+string(k.Key.ID))
			}
			slices.Sort(ids)
			return ids
		}
		want := func(what string, got []string, want ...method.Credential) {
			t.Helper()
			var ids []string
			for _, c := range want {
				ids = append(ids, string(c.ID))
			}
			slices.Sort(ids)
			if !slices.Equal(got, ids) {
				t.Errorf("%s: %q, want %q", what, got, ids)
			}
		}
		want("orphaned", try(hygiene.Rule{Orphaned: true}), oldOrphan, newOrphan)
		want("orphaned and old", try(hygiene.Rule{Orphaned: true, Created: days(30)}), oldOrphan)
		want("old, of Ada", try(hygiene.Rule{Who: w.Ada, Created: days(30)}), oldUnused, oldOrphan)
		want("unused, of Ada", try(hygiene.Rule{Who: w.Ada, Used: days(30)}), oldUnused, oldOrphan)
		if got := try(hygiene.Rule{Created: days(30)}); !slices.Contains(got, "not "+string(bobs.ID)) {
			t.Errorf("Bob's only way in: %q", got)
		}
		if _, err := w.keeper.CleanByRule(t.Context(), w.Tenant, hygiene.Rule{Who: w.Ada}, mine, false); !errors.Is(err, idp.Invalid) {
			t.Errorf("no rule: %v", err)
		}
		r, err := w.keeper.CleanByRule(t.Context(), w.Tenant, hygiene.Rule{Orphaned: true}, mine, false)
		if err != nil || len(r.Done) != 2 || r.People != 2 || w.held(t, w.Ada) != 2 {
			t.Errorf("done: %+v, %v", r, err)
		}
		var removed []hygiene.Key
		if err := w.keeper.Removed(t.Context(), w.Tenant, idp.User{}, func(k hygiene.Key) error { removed = append(removed, k); return nil }); err != nil || len(removed) != 2 || removed[0].Removed.IsZero() || removed[0].UserName != w.Ada.Name {
			t.Errorf("removed: %+v, %v", removed, err)
		}
		if err := w.keeper.Removed(t.Context(), w.Tenant, w.Bob, func(k hygiene.Key) error { return errors.New("one of Bob") }); err != nil {
			t.Error(err)
		}
		if r, err := w.keeper.Restore(t.Context(), w.Tenant, w.Ada, oldOrphan.ID, mine); err != nil || len(r.Done) != 1 || w.held(t, w.Ada) != 3 {
			t.Errorf("restored: %+v, %v", r, err)
		}
		for what, u := range map[string]idp.User{"again": w.Ada, "for somebody else": w.Bob} {
			if _, err := w.keeper.Restore(t.Context(), w.Tenant, u, oldOrphan.ID, mine); !errors.Is(err, idp.NotFound) {
				t.Errorf("restored %s: %v", what, err)
			}
		}
		_ = kept
	})
}

// FuzzFile: whatever is in a file, it is refused or understood, and what was
// exported is understood.
func FuzzFile(f *testing.F) {
	f.Add("userPrincipalName,Id\nada,k\n")
	f.Add("\ufeffuserPrincipalName,Id\r\n\"a\"\"b\",'=k\r\n")
	f.Add("Id,userPrincipalName\n,\n\"")
	f.Fuzz(func(t *testing.T, file string) {
		ids, bad, err := hygiene.Parse(file)
		if err != nil {
			if !errors.Is(err, idp.Invalid) || idp.AsError(err).Public == "" {
				t.Errorf("%q: %v", file, err)
			}
			return
		}
		for i, id := range ids {
			if id != "" && slices.Contains(ids[:i], id) {
				t.Errorf("%q: %q is there twice, and nobody complains", file, id)
			}
			// What was understood is written and understood again.
			var b strings.Builder
			if err := hygiene.CSV(&b, []hygiene.Key{{UserName: "u", ID: idp.CredentialID(id)}}, true); err != nil {
				t.Fatal(err)
			}
			again, _, err := hygiene.Parse(b.String())
			if err != nil || len(again) != 1 || again[0] != id {
				t.Errorf("%q came back as %q, %v", id, again, err)
			}
			r, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
			if err != nil || strings.HasPrefix(r[1][4], "=") {
				t.Errorf("%q is a formula in %q", id, b.String())
			}
		}
		_ = bad
	})
}

// TestKeysOfMacs: keys that Macs keep are listed, counted by themselves, and
// cleared and given back like Hello keys.
func TestKeysOfMacs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Hello.WarnAt, p.Platform.WarnAt = 2, 2 })
		w.key(t, w.Ada)
		first, second := w.macKey(t, w.Ada), w.macKey(t, w.Ada)
		w.leave(t, first)
		part, err := w.keeper.Keys(t.Context(), w.Tenant, hygiene.Query{Who: w.Ada})
		if err != nil || len(part.Keys) != 4 {
			t.Fatalf("%+v, %v", part.Keys, err)
		}
		if len(part.Many) != 1 || part.Many[0] != (hygiene.Holder{Name: "ada@nordhafen.example", Method: policy.Platform, Held: 2, Limit: 20}) {
			t.Errorf("many: %+v", part.Many)
		}
		for _, k := range part.Keys {
			if k.Method == policy.Platform && (k.Usage != hygiene.NGC || k.Orphaned != (k.ID == first.ID)) {
				t.Errorf("key %+v", k)
			}
		}
		report, err := w.keeper.CleanByRule(t.Context(), w.Tenant, hygiene.Rule{Orphaned: true}, hygiene.Options{Actor: "cli:test"}, false)
		if err != nil || len(report.Done) != 1 || report.Done[0].ID != first.ID || len(report.Refused) != 0 {
			t.Fatalf("clean: %+v, %v", report, err)
		}
		var file strings.Builder
		if err := hygiene.CSV(&file, []hygiene.Key{report.Done[0]}, true); err != nil {
			t.Fatal(err)
		}
		if report, err = w.keeper.RestoreFile(t.Context(), w.Tenant, file.String(), hygiene.Options{Actor: "cli:test"}, false); err != nil || len(report.Done) != 1 {
			t.Errorf("restore: %+v, %v", report, err)
		}
		file.Reset()
		if err := hygiene.CSV(&file, []hygiene.Key{{UserName: w.Ada.Name, Tenant: w.Tenant.Domain, Usage: hygiene.NGC, ID: second.ID}}, true); err != nil {
			t.Fatal(err)
		}
		if report, err = w.keeper.CleanFile(t.Context(), w.Tenant, file.String(), hygiene.Options{Actor: "cli:test"}, false); err != nil || len(report.Done) != 1 {
			t.Errorf("clean by file: %+v, %v", report, err)
		}
	})
}
