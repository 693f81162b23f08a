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
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

const (
	pn   = "X509:<PN>ada@a.example"
	ski  = "X509:<SKI>0102030405060708090a0b0c0d0e0f1011121314"
	sha1 = "X509:<SHA1-PUKEY>a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4"
)

func (h *house) setIDs(t idp.TenantID, u idp.UserID, values ...string) error {
	h.t.Helper()
	return h.write(func(ctx context.Context, tx *sqldb.Tx) error { return h.SetCertificateIDs(ctx, tx, t, u, values) })
}

func (h *house) update(t idp.TenantID, u idp.UserID, c directory.Changes) error {
	h.t.Helper()
	return h.write(func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := h.Update(ctx, tx, t, u, c)
		return err
	})
}

func (h *house) by(t idp.TenantID, property string, values ...string) []string {
	h.t.Helper()
	users, err := h.UsersBy(h.t.Context(), h.db, t, property, values)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for _, u := range users {
		out = append(out, u.Name)
	}
	slices.Sort(out)
	return out
}

// TestCertificateID: each value is taken, or wrong in one way that is said.
func TestCertificateID(t *testing.T) {
	hash := strings.Repeat("ab", 20)
	for _, good := range []string{
		pn, "X509:<PN>bob@internal", "X509:<PN>1234567890@mil", "X509:<RFC822>user@woodgrove.com", "X509:<RFC822>ärger@woodgrove.com",
		"X509:<S>DC=com,DC=contoso,OU=UserAccounts,CN=mfatest", `X509:<S>O=A\, B \<C\>+OU=x,CN=ada\ `, "X509:<S>1.2.840.1=#0c0161,CN=ada", "X509:<S>CN=",
		"X509:<I>DC=com,DC=contoso,CN=CONTOSO-DC-CA<S>DC=com,CN=mfatest", "X509:<I>DC=com,CN=CONTOSO-DC-CA<SR>b24134139f069b49997212a86ba0ef48",
		`X509:<I>CN=\<S\>CN=x<S>CN=y`, "X509:<I>CN=CA<SR>00", ski, "X509:<SKI>01", "X509:<SHA1-PUKEY>" + hash,
		"X509:<PN>" + strings.Repeat("ö", 1013) + "@b",
	} {
		if err := directory.CheckCertificateID(good); err != nil {
			t.Errorf("%s: %s", good, idp.AsError(err).Public)
		}
	}
	for bad, say := range map[string]string{
		"":                        "is empty",
		"X509:<PN>\xff@a.example": "not UTF-8",
		"X509:<PN>" + strings.Repeat("ö", 1014) + "@b": "1024 characters",
		"X509:<PN>ada\x00@a.example":                   "control character",
		"X509:<PN>ada\u202e@a.example":                 "control character",
		"X509:<PN>ada\n@a.example":                     "control character",
		" X509:<PN>ada@a.example":                      "begins or ends with a space",
		"X509:<PN>ada@a.example ":                      "begins or ends with a space",
		"ada@a.example":                                "begins with one of X509:<PN>",
		"X509:PN>ada@a.example":                        "begins with one of",
		"X509:<UPN>ada@a.example":                      "begins with one of",
		"X509:":                                        "begins with one of",
		"x509:<PN>ada@a.example":                       "letter case counts: write X509:<PN>",
		"X509:<pn>ada@a.example":                       "letter case counts: write X509:<PN>",
		"X509:<ski>" + hash:                            "letter case counts: write X509:<SKI>",
		"X509:<sha1-pukey>" + hash:                     "letter case counts: write X509:<SHA1-PUKEY>",
		"X509:<PN>":                                    "behind X509:<PN> there is a name",
		"X509:<PN>ada":                                 "there is a name like",
		"X509:<PN>@a.example":                          "there is a name like",
		"X509:<PN>ada@":                                "there is a name like",
		"X509:<PN>ada b@a.example":                     "there is a name like",
		"X509:<RFC822>ada":                             "behind X509:<RFC822> there is a name",
		"X509:<S>":                                     "behind X509:<S> there is a distinguished name, root first",
		"X509:<S>ada":                                  "distinguished name, root first",
		"X509:<S>DC=com, CN=ada":                       "distinguished name without spaces behind its commas",
		"X509:<S>DC=com,,CN=ada":                       "distinguished name, root first",
		"X509:<S>/DC=com/CN=ada":                       "distinguished name, root first",
		"X509:<S>CN=a<S>CN=b":                          `written \< and \>`,
		`X509:<S>CN=a\`:                                `no backslash ends`,
		"X509:<I>CN=CA":                                "and then <S> and the subject or <SR> and the serial number",
		"X509:<I>CN=CA<SKI>ab":                         "and the issuer there is <S> or <SR>",
		"X509:<I><S>CN=ada":                            "distinguished name, root first",
		"X509:<I>CN=CA<S>":                             "and <S> there is a distinguished name",
		"X509:<I>CN=CA<S>CN=a<SR>01":                   `and <S> there is a distinguished name in which`,
		"X509:<I>CN=CA<SR>":                            "and <SR> there are 2 to 128 digits",
		"X509:<I>CN=CA<SR>abc":                         "and <SR> there are 2 to 128 digits",
		"X509:<I>CN=CA<SR>AB":                          "lower-case hex",
		"X509:<I>CN=CA<SR>ab<S>CN=x":                   "lower-case hex",
		"X509:<SKI>":                                   "2 to 128 digits of lower-case hex",
		"X509:<SKI>ABCD":                               "lower-case hex",
		"X509:<SKI>01:02":                              "lower-case hex",
		"X509:<SKI>" + strings.Repeat("ab", 65):        "2 to 128 digits",
		"X509:<SHA1-PUKEY>" + hash[2:]:                 "40 digits of lower-case hex",
		"X509:<SHA1-PUKEY>" + hash + "ab":              "40 digits of lower-case hex",
	} {
		err := directory.CheckCertificateID(bad)
		e := idp.AsError(err)
		if !errors.Is(err, idp.Invalid) || e.Reason != "bad_certificate_id" || e.Field != "certificateUserIds" || !strings.Contains(e.Public, say) {
			t.Errorf("%q: %v, want %q", bad, err, say)
		}
	}
}

// FuzzCertificateID: nothing panics, and what is taken has a known beginning
// and none of the signs that make two forms look alike.
func FuzzCertificateID(f *testing.F) {
	for _, s := range []string{
		pn, ski, sha1, "X509:<RFC822>a@b", `X509:<S>DC=com,CN=a\,b`, "X509:<I>CN=CA<S>CN=x", "X509:<I>CN=CA<SR>ab01",
		"x509:<PN>a@b", "X509:<I>CN=\\<SR>ab<SR>ab", "X509:<S>CN=a\\", "X509:<SKI>zz", "X509:<PN>\u200b@b", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		err := directory.CheckCertificateID(value)
		if err != nil {
			if !errors.Is(err, idp.Invalid) || idp.AsError(err).Public == "" {
				t.Fatalf("%q: %v", value, err)
			}
			return
		}
		rest, ok := strings.CutPrefix(value, "X509:<")
		if !ok || len([]rune(value)) > directory.MaxCertificateIDLen || strings.ContainsAny(value, "\x00\n\r\t") {
			t.Fatalf("taken: %q", value)
		}
		// Of each value it is plain which parts it has.
		kind, _, _ := strings.Cut(rest, ">")
		if strings.HasPrefix(rest, "I>") {
			parts := 0
			for i := range rest {
				if rest[i] == '<' && rest[i-1] != '\\' {
					parts++
				}
			}
			if parts != 1 && !strings.Contains(rest, `\\<`) {
				t.Fatalf("%q has %d parts", value, parts)
			}
		}
		if !slices.Contains([]string{"PN", "RFC822", "S", "I", "SKI", "SHA1-PUKEY"}, kind) {
			t.Fatalf("taken: %q of the kind %q", value, kind)
		}
	})
}

func TestSetCertificateIDs(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b := h.tenant("a.example"), h.tenant("b.example")
		ada, bob, eve := h.user(a.ID, "ada@a.example"), h.user(a.ID, "bob@a.example"), h.user(b.ID, "eve@b.example")
		long := "X509:<S>CN=" + strings.Repeat("\u00f6", 1013)
		for what, values := range map[string][]string{"none": nil, "one": {pn}, "another order": {sha1, pn, ski}, "again": {sha1, pn, ski}, "a long one": {long}} {
			if err := h.setIDs(a.ID, ada.ID, values...); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got, err := h.CertificateIDs(t.Context(), h.db, a.ID, ada.ID); err != nil || !slices.Equal(got, values) {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
		if err := h.setIDs(a.ID, ada.ID, pn, ski); err != nil {
			t.Fatal(err)
		}
		// Taken is taken, whatever comes with it, and nothing changes then.
		if err := h.setIDs(a.ID, bob.ID, sha1); err != nil {
			t.Fatal(err)
		}
		err := h.setIDs(a.ID, bob.ID, "X509:<PN>bob@a.example", ski)
		wantKind(t, "a taken value", err, idp.Conflict)
		if e := idp.AsError(err); e.Reason != "certificate_id_taken" || e.Field != "certificateUserIds" || !strings.Contains(e.Public, ski) || strings.Contains(e.Public, "ada") {
			t.Errorf("says %q of %s", e.Public, e.Reason)
		}
		if got, err := h.CertificateIDs(t.Context(), h.db, a.ID, bob.ID); err != nil || !slices.Equal(got, []string{sha1}) {
			t.Errorf("bob has %v, %v", got, err)
		}
		// Exactly: another letter case is another value.
		if err := h.setIDs(a.ID, bob.ID, "X509:<PN>ADA@a.example"); err != nil {
			t.Error(err)
		}
		if err := h.setIDs(b.ID, eve.ID, pn, ski); err != nil {
			t.Errorf("the same values in another tenant: %v", err)
		}
		all, err := h.CertificateIDsOf(t.Context(), h.db, a.ID, []idp.UserID{ada.ID, bob.ID, eve.ID})
		want := map[idp.UserID][]string{ada.ID: {pn, ski}, bob.ID: {"X509:<PN>ADA@a.example"}}
		if diff := cmp.Diff(want, all); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		eleven := make([]string, 11)
		for i := range eleven {
			eleven[i] = fmt.Sprintf("X509:<PN>u%d@a.example", i)
		}
		if err := h.setIDs(a.ID, bob.ID, eleven[:10]...); err != nil {
			t.Error(err)
		}
		for reason, values := range map[string][]string{
			"too_many_certificate_ids": eleven, "certificate_id_twice": {pn + ".x", pn + ".x"}, "bad_certificate_id": {"ada"},
		} {
			err := h.setIDs(a.ID, bob.ID, values...)
			wantKind(t, reason, err, idp.Invalid)
			if e := idp.AsError(err); e.Reason != reason || e.Field != "certificateUserIds" {
				t.Errorf("%s: %v", reason, err)
			}
		}
		wantKind(t, "nobody", h.setIDs(a.ID, "nobody", pn), idp.NotFound)
		// What a user leaves is free.
		h.must(func(ctx context.Context, tx *sqldb.Tx) error { return h.DeleteUser(ctx, tx, a.ID, ada.ID) })
		if got, err := h.CertificateIDs(t.Context(), h.db, a.ID, ada.ID); err != nil || len(got) != 0 {
			t.Errorf("left behind: %v, %v", got, err)
		}
		if err := h.setIDs(a.ID, bob.ID, pn, ski); err != nil {
			t.Errorf("after ada is gone: %v", err)
		}
	})
}

// Two people race for one value: one has it, and the other hears so (T21).
func TestSec_CBA07_OneValueOneUser(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		users := make([]idp.User, 6)
		for i := range users {
			users[i] = h.user(a.ID, fmt.Sprintf("u%d@a.example", i))
		}
		for round := range 5 {
			values := []string{fmt.Sprintf("X509:<PN>one%d@a.example", round), fmt.Sprintf("X509:<PN>two%d@a.example", round)}
			errs := make([]error, len(users))
			start := make(chan struct{})
			var all sync.WaitGroup
			for i, u := range users {
				all.Go(func() {
					<-start
					mine := slices.Clone(values)
					if i%2 == 0 { // the other way round
						slices.Reverse(mine)
					}
					errs[i] = h.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return h.SetCertificateIDs(ctx, tx, a.ID, u.ID, mine) })
				})
			}
			close(start)
			all.Wait()
			won := 0
			for i, err := range errs {
				switch {
				case err == nil:
					won++
				case !errors.Is(err, idp.Conflict) || idp.AsError(err).Reason != "certificate_id_taken":
					t.Errorf("user %d: %v", i, err)
				}
			}
			if holders := h.by(a.ID, "certificateUserIds", values...); won != 1 || len(holders) != 1 {
				t.Errorf("round %d: %d won, %v hold it", round, won, holders)
			}
		}
	})
}

func TestOnPremisesName(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b := h.tenant("a.example"), h.tenant("b.example")
		ada, bob, eve := h.user(a.ID, "ada@a.example"), h.user(a.ID, "bob@a.example"), h.user(b.ID, "eve@b.example")
		name := func(s string) directory.Changes { return directory.Changes{OnPremises: &s} }
		shown := func(u idp.User) string {
			people, _, err := h.Users(t.Context(), u.Tenant, directory.Page{})
			if err != nil {
				t.Fatal(err)
			}
			return people[slices.IndexFunc(people, func(p directory.Person) bool { return p.ID == u.ID })].OnPremises
		}
		if err := h.update(a.ID, ada.ID, name(" Ada.L@corp.local ")); err != nil || shown(ada) != "Ada.L@corp.local" {
			t.Errorf("%q, %v", shown(ada), err)
		}
		display := "Ada"
		if err := h.update(a.ID, ada.ID, directory.Changes{DisplayName: &display}); err != nil || shown(ada) != "Ada.L@corp.local" {
			t.Errorf("another change took it: %q, %v", shown(ada), err)
		}
		err := h.update(a.ID, bob.ID, name("ADA.l@CORP.local"))
		wantKind(t, "in another letter case", err, idp.Conflict)
		if e := idp.AsError(err); e.Reason != "on_premises_name_taken" || e.Field != "onPremisesUserPrincipalName" || strings.Contains(e.Public, "ada@a.example") {
			t.Errorf("%s: %s", e.Reason, e.Public)
		}
		if err := h.update(b.ID, eve.ID, name("ada.l@corp.local")); err != nil {
			t.Errorf("in another tenant: %v", err)
		}
		for _, bad := range []string{"ada", "ada@", "@corp.local", "ada@corp", "a b@corp.local", "ada@co rp.local", "ädä@corp.local", strings.Repeat("a", 65) + "@corp.local"} {
			err := h.update(a.ID, bob.ID, name(bad))
			wantKind(t, bad, err, idp.Invalid)
			if e := idp.AsError(err); e.Field != "onPremisesUserPrincipalName" || !strings.HasPrefix(e.Public, "onPremisesUserPrincipalName: ") {
				t.Errorf("%s: %+v", bad, e)
			}
		}
		if err := h.update(a.ID, ada.ID, name("")); err != nil || shown(ada) != "" {
			t.Errorf("taken away: %q, %v", shown(ada), err)
		}
		if err := h.update(a.ID, bob.ID, name("ada.l@corp.local")); err != nil {
			t.Errorf("free again: %v", err)
		}
		// Two people race for it.
		errs := make([]error, 2)
		var all sync.WaitGroup
		for i, u := range []idp.User{ada, bob} {
			all.Go(func() {
				errs[i] = h.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
					_, err := h.Update(ctx, tx, a.ID, u.ID, name("race@corp.local"))
					return err
				})
			})
		}
		all.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), idp.Conflict) {
			t.Errorf("of two: %v", errs)
		}
	})
}

func TestUsersBy(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b := h.tenant("a.example"), h.tenant("b.example")
		ada, bob, eve := h.user(a.ID, "Ada@a.example"), h.user(a.ID, "bob@a.example"), h.user(b.ID, "eve@b.example")
		local := "ada@corp.local"
		if err := errors.Join(h.setIDs(a.ID, ada.ID, pn, ski), h.setIDs(a.ID, bob.ID, sha1), h.setIDs(b.ID, eve.ID, pn),
			h.update(a.ID, bob.ID, directory.Changes{OnPremises: &local})); err != nil {
			t.Fatal(err)
		}
		h.must(func(ctx context.Context, tx *sqldb.Tx) error { return h.SetEnabled(ctx, tx, a.ID, bob.ID, false) })
		many := make([]string, 32)
		for i := range many {
			many[i] = fmt.Sprintf("u%d@a.example", i)
		}
		many[31] = "bob@a.example"
		const name, onPremises, ids = "userPrincipalName", "onPremisesUserPrincipalName", "certificateUserIds"
		for _, tt := range []struct {
			what, property string
			values         []string
			want           string
		}{
			{"nothing", name, nil, "[]"},
			{"a name in another case", name, []string{"ADA@a.example"}, "[Ada@a.example]"},
			{"two names of two people", name, []string{"ada@a.example", "bob@a.example"}, "[Ada@a.example bob@a.example]"},
			{"two names, one of nobody", name, []string{"ada@a.example", "gil@a.example"}, "[Ada@a.example]"},
			{"one name twice", name, []string{"ada@a.example", "ada@a.example"}, "[Ada@a.example]"},
			{"as many as may be", name, many, "[bob@a.example]"},
			{"somebody of another tenant", name, []string{"eve@b.example"}, "[]"},
			{"a space in front", name, []string{" ada@a.example"}, "[]"},
			{"a NUL behind", name, []string{"ada@a.example\x00"}, "[]"},
			{"a NUL and more behind", name, []string{"ada@a.example\x00.evil"}, "[]"},
			{"what is no UTF-8", name, []string{"ada@a.example\xff"}, "[]"},
			{"a sign that shows nothing", name, []string{"ad\u200ba@a.example"}, "[]"},
			{"a letter that looks alike", name, []string{"аda@a.example"}, "[]"},
			{"a Kelvin sign", name, []string{"\u212aarl@a.example"}, "[]"},
			{"an empty name", name, []string{""}, "[]"},
			{"a pattern", name, []string{"%"}, "[]"},
			{"an endless name", name, []string{strings.Repeat("a", 5000) + "@a.example"}, "[]"},
			{"a name that is on premises", name, []string{local}, "[]"},
			{"on premises", onPremises, []string{"ADA@corp.local"}, "[bob@a.example]"},
			{"on premises, the name here", onPremises, []string{"ada@a.example"}, "[]"},
			{"nothing is no name on premises", onPremises, []string{""}, "[]"},
			{"a certificate's value", ids, []string{ski}, "[Ada@a.example]"},
			{"two values of one person", ids, []string{ski, pn}, "[Ada@a.example]"},
			{"two values of two people, one of them disabled", ids, []string{ski, sha1}, "[Ada@a.example bob@a.example]"},
			{"a value in another case", ids, []string{strings.ToUpper(ski)}, "[]"},
			{"a value without its beginning", ids, []string{"ada@a.example"}, "[]"},
			{"a part of a value", ids, []string{ski[:40]}, "[]"},
			{"a value and a NUL", ids, []string{ski + "\x00"}, "[]"},
		} {
			if got := fmt.Sprint(h.by(a.ID, tt.property, tt.values...)); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
			}
		}
		if got := h.by(b.ID, ids, pn, ski); fmt.Sprint(got) != "[eve@b.example]" {
			t.Errorf("in the other tenant: %v", got)
		}
		_, err := h.UsersBy(t.Context(), h.db, a.ID, "mail", []string{"ada@a.example"})
		wantKind(t, "by mail", err, idp.Invalid)
		_, err = h.UsersBy(t.Context(), h.db, a.ID, name, append(many, "x@a.example"))
		wantKind(t, "by 33 names", err, idp.Invalid)
	})
}

// TestUsersByIndex: whoever shows a certificate costs a look-up, and not a look
// at every user of the tenant.
func TestUsersByIndex(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		if !strings.HasSuffix(t.Name(), "/sqlite") {
			return // PostgreSQL plans by what is in the tables, and there is nothing here
		}
		for property, index := range map[string]string{"userPrincipalName": "users_name (tenant_id=? AND name_folded=?)",
			"onPremisesUserPrincipalName": "users_on_premises (tenant_id=? AND on_premises_folded=?)", "certificateUserIds": "(tenant_id=? AND digest=?)"} {
			rows, err := h.db.Query(t.Context(), "explain query plan "+directory.UsersByQuery(property, 4), "t", "a", "b", "c", "d")
			if err != nil {
				t.Fatal(err)
			}
			var plan []string
			for rows.Next() {
				var id, parent, unused int64
				var step string
				if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
					t.Fatal(err)
				}
				plan = append(plan, step)
			}
			rows.Close()
			if all := strings.Join(plan, "; "); !strings.Contains(all, index) || strings.Contains(all, "(tenant_id=?)") || strings.Contains(all, "SCAN") {
				t.Errorf("%s: %s", property, all)
			}
		}
	})
}

// Renaming a person frees the name for certificates, too (T20).
func TestSec_CBA07_RenamedUser(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		ada := h.user(a.ID, "ada@a.example")
		name := "lovelace@a.example"
		if err := h.update(a.ID, ada.ID, directory.Changes{Name: &name}); err != nil {
			t.Fatal(err)
		}
		if got := h.by(a.ID, "userPrincipalName", "ada@a.example"); len(got) != 0 {
			t.Errorf("the old name leads to %v", got)
		}
		h.user(a.ID, "ada@a.example")
		if got := h.by(a.ID, "userPrincipalName", "ada@a.example", name); len(got) != 2 {
			t.Errorf("both names lead to %v", got)
		}
	})
}

// A change is seen on other nodes, where the person was read before.
func TestCertificateIDsFilter(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b := h.tenant("a.example"), h.tenant("b.example")
		ada, bob, eve := h.user(a.ID, "ada@a.example"), h.user(a.ID, "bob@a.example"), h.user(b.ID, "eve@b.example")
		if err := errors.Join(h.setIDs(a.ID, ada.ID, pn, ski), h.setIDs(b.ID, eve.ID, pn)); err != nil {
			t.Fatal(err)
		}
		local := "b@corp.local"
		if err := h.update(a.ID, bob.ID, directory.Changes{OnPremises: &local}); err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]string{
			"authorizationInfo/certificateUserIds/any(x:x eq '" + pn + "')":                             "[ada@a.example]",
			"authorizationInfo/certificateUserIds/any(x:x eq 'X509:<PN>ADA@a.example')":                 "[]",
			"not (authorizationInfo/certificateUserIds/any(x:x eq '" + ski + "'))":                      "[bob@a.example]",
			"authorizationInfo/certificateUserIds/any(x:x eq '" + sha1 + "') or displayName eq 'bob'":   "[bob@a.example]",
			"onPremisesUserPrincipalName eq 'B@corp.local'":                                             "[bob@a.example]",
			"authorizationInfo/certificateUserIds/any(x:x eq '" + ski + "') and accountEnabled eq true": "[ada@a.example]",
		} {
			where, err := filter.Parse(text, directory.UserFields)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			people, _, err := h.Users(t.Context(), a.ID, directory.Page{Where: where})
			var got []string
			for _, p := range people {
				got = append(got, p.Name)
			}
			n, cerr := h.CountUsers(t.Context(), a.ID, where)
			if fmt.Sprint(got) != want || err != nil || cerr != nil || int(n) != len(got) {
				t.Errorf("%s: %v (%d), %v %v, want %s", text, got, n, err, cerr, want)
			}
		}
	})
}

func TestImportCertificates(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		dn := `X509:<S>O=A\;X509:B,CN=c; d`
		file := "userPrincipalName,onPremisesUserPrincipalName,certificateUserIds\n" +
			"ada@a.example,Ada@corp.local,\"" + pn + "; " + ski + "\"\nbob@a.example,,\"" + dn + "\"\ncid@a.example,,\n"
		report, err := h.ImportUsers(t.Context(), a.ID, strings.NewReader(file), nil, nil)
		if err != nil || report.Created != 3 || len(report.Bad) != 0 {
			t.Fatalf("%+v, %v", report, err)
		}
		for user, want := range map[string][]string{"ada@a.example": {pn, ski}, "bob@a.example": {dn}, "cid@a.example": nil} {
			u, err := h.UserByName(t.Context(), h.db, a.ID, user)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := h.CertificateIDs(t.Context(), h.db, a.ID, u.ID); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s has %q, %v", user, got, err)
			}
		}
		if got := h.by(a.ID, "onPremisesUserPrincipalName", "ada@corp.local"); fmt.Sprint(got) != "[ada@a.example]" {
			t.Errorf("on premises: %v", got)
		}
		// Every collision is reported in its row, with files and with what is
		// there, and nothing is made (T21).
		bad := "userPrincipalName,onPremisesUserPrincipalName,certificateUserIds\n" +
			"d@a.example,ADA@corp.local,\n" +
			"e@a.example,," + ski + "\n" +
			"f@a.example,f@corp.local," + sha1 + "\n" +
			"g@a.example,F@corp.local,\n" +
			"h@a.example,," + sha1 + "\n" +
			"i@a.example,i,\n" +
			"j@a.example,,X509:<SKI>ABCD\n" +
			"k@a.example,,X509:<SKI>ab;X509:<SKI>ab\n" +
			"l@a.example,l@corp.local,X509:<SKI>abcd\n"
		report, err = h.ImportUsers(t.Context(), a.ID, strings.NewReader(bad), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range report.Bad {
			got = append(got, fmt.Sprintf("%d %s: %s", b.Line, b.Field, b.Reason))
		}
		want := []string{
			"2 onPremisesUserPrincipalName: another user has this value",
			"3 certificateUserIds: another user has this value",
			"5 onPremisesUserPrincipalName: the same value is on line 4",
			"6 certificateUserIds: the same value is on line 4",
			"7 onPremisesUserPrincipalName: onPremisesUserPrincipalName: A user name looks like ada@contoso.example.",
			"8 certificateUserIds: certificateUserIds: behind X509:<SKI> there are 2 to 128 digits of lower-case hex, two for each byte.",
			"9 certificateUserIds: certificateUserIds: the value X509:<SKI>ab stands there twice.",
		}
		if diff := cmp.Diff(want, got); diff != "" || report.Created != 0 {
			t.Errorf("created %d (-want +got):\n%s", report.Created, diff)
		}
	})
}

// Two imports with one value at once: one makes its people, the other none.
func TestSec_CBA07_ImportRace(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		reports := make([]directory.Report, 4)
		var all sync.WaitGroup
		for i := range reports {
			all.Go(func() {
				file := fmt.Sprintf("userPrincipalName,certificateUserIds\nu%d@a.example,%s\n", i, ski)
				var err error
				if reports[i], err = h.ImportUsers(t.Context(), a.ID, strings.NewReader(file), nil, nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		created := 0
		for _, r := range reports {
			created += r.Created
			if r.Created == 0 && (len(r.Bad) != 1 || r.Bad[0].Field != "certificateUserIds" || r.Bad[0].Line != 2) {
				t.Errorf("%+v", r)
			}
		}
		people, _, err := h.Users(t.Context(), a.ID, directory.Page{})
		if created != 1 || len(people) != 1 || err != nil {
			t.Errorf("created %d, there are %d, %v", created, len(people), err)
		}
	})
}
