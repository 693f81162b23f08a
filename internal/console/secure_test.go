package console

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

var hidden = regexp.MustCompile(`name="whose" value="([^"]*)"`)

// TestSec_ADM01_FormOfAnotherTenant: a form is sent as whom its page was made
// for, although another tab has moved the console to another tenant since, or
// that session is over.
func TestSec_ADM01_FormOfAnotherTenant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Directory.SetRole(ctx, tx, w.Other.ID, w.Eve.ID, directory.Administrator)
		})
		b := w.signedIn(w.Ada)
		home := b.session
		b.open(w.Eve, session.Session{Proofs: []idp.Proof{{Tenant: w.Other.ID, User: w.Eve.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Credential: "c",
			Properties: []idp.Property{idp.PhishingResistant}, Time: w.Now()}}})
		found := hidden.FindStringSubmatch(b.get("/admin/groups?tenant="+string(w.Tenant.ID)).want(http.StatusOK, "Nordhafen").body)
		if found == nil {
			t.Fatal("the form does not say whose it is")
		}
		send := func(name string) reply {
			return b.post("/admin/groups", url.Values{"name": {name}, "whose": {found[1]}})
		}
		groups := func(tenant idp.TenantID) string {
			list, _, err := w.Directory.Groups(t.Context(), tenant, directory.Page{})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, g := range list {
				names = append(names, g.Name)
			}
			slices.Sort(names)
			return strings.Join(names, ",")
		}
		// The cookie that says where the console is has Westwerk, the other tenant.
		b.cookies = append(b.cookies, &http.Cookie{Name: "signet-console", Value: string(b.session.ID)})
		if got := send("Of Nordhafen"); got.status != http.StatusSeeOther {
			t.Errorf("a form of a tab in the other tenant: %d %s", got.status, got.page)
		}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.Sessions.End(ctx, tx, home.Tenant, home.ID) })
		if got := send("Of nobody"); got.page != "error no_session" {
			t.Errorf("a form whose session is over: %d %s", got.status, got.page)
		}
		if here, there := groups(w.Tenant.ID), groups(w.Other.ID); here != "Night shift,Of Nordhafen" || there != "" {
			t.Errorf("groups %q here and %q there", here, there)
		}
	})
}

var postForm = regexp.MustCompile(`<form[^>]*method="post"(?:\{\{.*?\}\}|[^>{])*>(.{0,22})`)

// TestSec_ADM01_EveryFormSaysWhose: without it a form is sent as whoever the
// console was used as last.
func TestSec_ADM01_EveryFormSaysWhose(t *testing.T) {
	names, err := files.ReadDir("view")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		text, err := files.ReadFile("view/" + name.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range postForm.FindAllStringSubmatch(string(text), -1) {
			n++
			// The carried form has it among its fields; the account's own page names the session.
			if name.Name() != "carry.html" && !strings.Contains(f[0], "/account/sign-out") && f[1] != `{{template "whose" $}}` {
				t.Errorf("view/%s: put {{template \"whose\" $}} behind %s", name.Name(), f[0])
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d forms were found", n)
	}
}

// TestSec_ADM04_RoleGivenMeanwhile: the help desk's deed meets the role that the
// person has in its transaction, not the one of a moment before.
func TestSec_ADM04_RoleGivenMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hedda := w.signedIn(w.hedda)
		prepare := w.console.cfg.PreparePass
		w.console.cfg.PreparePass = func(ctx context.Context, id idp.TenantID) error {
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				return w.Directory.SetRole(ctx, tx, w.Tenant.ID, w.Bob.ID, directory.Administrator)
			})
			return prepare(ctx, id)
		}
		got := hedda.post("/admin/people/"+string(w.Bob.ID)+"/pass", url.Values{"minutes": {"60"}})
		if got.page != "error target_is_administrator" {
			t.Errorf("a pass for a new administrator: %d %s", got.status, got.page)
		}
	})
}

// TestSec_ADM04_PassForOneself: whoever sits at an unlocked console of an
// administrator makes no way in of their own (as over the API).
func TestSec_ADM04_PassForOneself(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		me := "/admin/people/" + string(w.Ada.ID)
		if got := w.signedIn(w.Ada).post(me+"/pass", url.Values{"minutes": {"60"}}); got.page != "error pass_for_oneself" {
			t.Errorf("%d %s", got.status, got.page)
		}
	})
}

// TestSec_ADM05_StrangeBytes: what is no text is not found, on both databases,
// and is nobody's 500.
func TestSec_ADM05_StrangeBytes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		long := url.QueryEscape("a" + strings.Repeat("é", 150))
		for _, path := range []string{
			"/admin/people/%00", "/admin/people/%ff", "/admin/people/x%00/ask?what=disable", "/admin/people?q=%00", "/admin/people?q=%ff", "/admin/people?q=" + long,
			"/admin/groups/%00", "/admin/groups/%ff", "/admin/groups?q=%ff", "/admin/groups?q=" + long, "/admin/groups?after=%00",
			"/admin/apps/%00", "/admin/apps/%ff", "/admin/apps?q=%ff", "/admin/apps?q=" + long, "/admin/apps?after=%ff",
			"/admin?tenant=%00", "/admin?tenant=%ff", "/admin?done=%ff", "/admin/prove?back=%00",
		} {
			if got := ada.get(path); got.status >= 500 {
				t.Errorf("GET %s: %d %s", path, got.status, got.page)
			}
		}
		for _, path := range []string{"/admin?tenant=%00", "/admin?tenant=%ff", "/admin/people/%00"} {
			if got := (&browser{w: w}).get(path); got.status >= 500 {
				t.Errorf("GET %s by nobody: %d %s", path, got.status, got.page)
			}
		}
		bob := "/admin/people/" + string(w.Bob.ID)
		group := "/admin/groups/" + string(w.group.ID)
		for _, bad := range []string{"\x00", "\xff", "a\x00b", strings.Repeat("\xff", 3000)} {
			for path, field := range map[string]string{
				"/admin/people/new": "user", bob + "/name": "name", bob + "/role": "role", "/admin/groups": "name", group + "/add": "user", group + "/remove": "user",
				"/admin/apps/new": "name", bob + "/pass": "minutes", bob + "/key/begin": "name", bob + "/key/finish": "payload",
			} {
				if got := ada.post(path, url.Values{field: {bad}}); got.status >= 500 {
					t.Errorf("POST %s %s=%.10q: %d %s", path, field, bad, got.status, got.page)
				}
			}
			if got := ada.post(bob+"/remove-method", url.Values{"method": {"passkey"}, "credential": {bad}}); got.status >= 500 {
				t.Errorf("remove %.10q: %d", bad, got.status)
			}
		}
	})
}

// TestSec_POL02_RefusedKey: a session and a gesture count as the rules are now,
// not as they were when the key was touched (POL02).
func TestSec_POL02_RefusedKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		ada.get("/admin/people").want(http.StatusOK)
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
			r := p.Methods[policy.Passkey]
			r.Exclude = append(r.Exclude, policy.Target{User: w.Ada.ID})
			p.Methods[policy.Passkey] = r
		})
		if got := ada.get("/admin/people"); got.page != "sign-in" || strings.Contains(got.body, w.Bob.Name) {
			t.Errorf("a page by a key that is refused: %d %q", got.status, got.page)
		}
		if got := ada.post("/admin/people/"+string(w.Bob.ID)+"/disable", nil); got.page != "sign-in" {
			t.Errorf("a change by a key that is refused: %d %q to %s", got.status, got.page, got.to)
		}
		if n := w.changes(); n != 0 {
			t.Errorf("%d changes", n)
		}
	})
}

// TestSec_SES05_FormOfSomebodyElse: whoever makes the gesture, a form that
// another person sent is not put before them.
func TestSec_SES05_FormOfSomebodyElse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hedda := w.signedIn(w.hedda)
		w.Advance(freshness + time.Second)
		ada := w.signedIn(w.Ada)
		hedda.post("/admin/people/"+string(w.Bob.ID)+"/sign-out", url.Values{"x": {"mallory"}})
		if len(w.asked) != 1 {
			t.Fatal("no gesture was asked for")
		}
		for who, s := range map[string]session.Session{"hedda": hedda.session, "ada": ada.session} {
			rec := httptest.NewRecorder()
			if err := w.console.Resume(rec, httptest.NewRequest(http.MethodPost, origin+"/x", nil), w.asked[0], signin.Step{Session: s}); err != nil {
				t.Fatal(err)
			}
			if shown := strings.Contains(rec.Body.String(), "mallory"); shown != (who == "hedda") {
				t.Errorf("the form is shown to %s: %t", who, shown)
			}
		}
	})
}

// TestSec_T48_AdministratorsDemoteEachOther: of two who take each other's role
// at once, one stays (T48).
func TestSec_T48_AdministratorsDemoteEachOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pair := []idp.User{w.Ada, w.Bob}
		for round := range 10 {
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				for _, u := range pair {
					if err := w.Directory.SetRole(ctx, tx, u.Tenant, u.ID, directory.Administrator); err != nil {
						return err
					}
				}
				return nil
			})
			browsers := []*browser{w.signedIn(pair[0]), w.signedIn(pair[1])}
			deeds := []string{"/role", "/disable", "/delete"}
			deed := deeds[round%2] // deleting is for the last round alone
			if round == 9 {
				deed = deeds[2]
			}
			var wg sync.WaitGroup
			for i, b := range browsers {
				victim := pair[1-i]
				wg.Go(func() { b.post("/admin/people/"+string(victim.ID)+deed, url.Values{"role": {""}}) })
			}
			wg.Wait()
			left := 0
			people, err := w.Directory.WithRole(t.Context(), w.Tenant.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range people {
				if p.Role == directory.Administrator && p.Enabled {
					left++
				}
			}
			if left == 0 {
				t.Fatalf("round %d: nobody is left after %s", round, deed)
			}
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				for _, u := range pair {
					if err := w.Directory.SetEnabled(ctx, tx, u.Tenant, u.ID, true); err != nil && !errors.Is(err, idp.NotFound) {
						return err
					}
				}
				return nil
			})
		}
	})
}

// TestSec_ADM06_ExportsAreOnRecord: whoever takes a list of everybody away is on
// record (ADM06).
func TestSec_ADM06_ExportsAreOnRecord(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		for path, activity := range map[string]string{"/admin/log/csv?result=failure": "log.export", "/admin/report/csv": "report.export"} {
			ada.get(path).want(http.StatusOK)
			list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Of: audit.Changes, Limit: 1})
			if err != nil || len(list) != 1 || list[0].Activity != activity || list[0].Actor != string(w.Ada.ID) {
				t.Errorf("%s: %+v, %v", path, list, err)
			}
		}
		for range exportsWithin {
			ada.get("/admin/log/csv")
		}
		if got := ada.get("/admin/report/csv"); got.page != "error exports_throttled" {
			t.Errorf("one list after the other: %d %s", got.status, got.page)
		}
		w.Advance(10 * time.Minute)
		ada.get("/admin/report/csv").want(http.StatusOK)
	})
}
