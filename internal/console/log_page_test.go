package console

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/report"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/web"
)

// drawer is a room that only holds credentials.
type drawer struct{ held []method.Credential }

func (d *drawer) ID() idp.MethodID { return policy.Passkey }
func (d *drawer) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, errors.New("a drawer gives no challenge")
}
func (d *drawer) Verify(context.Context, method.Answer) (method.Verdict, error) {
	return method.Verdict{}, errors.New("a drawer verifies nothing")
}
func (d *drawer) List(_ context.Context, t idp.TenantID, u idp.UserID) (out []method.Credential, _ error) {
	for _, c := range d.held {
		if c.Tenant == t && c.User == u {
			out = append(out, c)
		}
	}
	return out, nil
}
func (d *drawer) Rename(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID, string) error {
	return nil
}
func (d *drawer) Remove(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID) error {
	return nil
}
func (d *drawer) Count(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) (int, error) {
	return 0, nil
}
func (d *drawer) Walk(_ context.Context, t idp.TenantID, fn func(method.Credential) error) error {
	for _, c := range d.held {
		if c.Tenant == t {
			if err := fn(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// desk is a console with Ada at it.
type desk struct {
	*signintest.House
	drawer *drawer
	mux    *http.ServeMux
	cookie string
	app    client.Client
}

func newDesk(t testing.TB, db *sqldb.DB, role string) *desk {
	t.Helper()
	d := &desk{drawer: &drawer{}, mux: http.NewServeMux()}
	d.House = signintest.New(t, db, func(*signintest.House) []method.Method { return []method.Method{d.drawer} })
	d.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if d.app, _, err = d.Clients.Create(ctx, tx, client.Client{Tenant: d.Tenant.ID, Name: "Pay<b>roll", Kind: client.Web, Auth: client.AuthNone,
			RedirectURIs: []string{"https://pay.example/cb"}, Grants: []string{client.GrantCode}, Scopes: []string{"openid"}, Enabled: true}); err != nil {
			return err
		}
		return d.Directory.SetRole(ctx, tx, d.Tenant.ID, d.Ada.ID, role)
	})
	c, err := New(Config{
		BaseURL: "http://localhost:8080", DB: db, Corridor: d.Corridor, Directory: d.Directory, Clients: d.Clients, Policies: d.Policies,
		Sessions: d.Sessions, Audit: d.Audit, Now: d.Now,
		Report: report.New(report.Config{DB: db, Sources: d.Corridor, Policy: d.Policies.Get, Tenants: d.Directory.Tenants, Now: d.Now}),
		SignIn: func(w http.ResponseWriter, _ *http.Request, _ signin.Flow, _ signin.Step) error {
			w.WriteHeader(http.StatusUnauthorized)
			return nil
		},
		ErrorPage: func(w http.ResponseWriter, _ *http.Request, err error) {
			e := idp.AsError(err)
			http.Error(w, e.Reason+": "+e.Public+": "+fmt.Sprint(e.Err), web.Status(e.Kind))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Mount(d.mux)
	d.cookie = d.signIn(t, d.Ada)
	return d
}

func (d *desk) signIn(t testing.TB, u idp.User) string {
	t.Helper()
	s := d.SessionOn(t, u, idp.Proof{Method: policy.Passkey, Mode: idp.ModeFIDO2, Credential: "k", Properties: strong}, false)
	w := httptest.NewRecorder()
	d.Sessions.Set(w, httptest.NewRequest("GET", "/", nil), s.Bearer(), "")
	return strings.SplitN(w.Header().Get("Set-Cookie"), ";", 2)[0]
}

func (d *desk) get(t testing.TB, address string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", address, nil)
	r.Header.Set("Cookie", d.cookie)
	w := httptest.NewRecorder()
	d.mux.ServeHTTP(w, r)
	return w
}

// page gets a page that must be there.
func (d *desk) page(t testing.TB, address string) string {
	t.Helper()
	w := d.get(t, address)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", address, w.Code, w.Body)
	}
	return w.Body.String()
}

func (d *desk) record(t testing.TB, e audit.Event) audit.Event {
	t.Helper()
	e.Tenant = d.Tenant.ID
	d.Advance(time.Second)
	d.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return d.Audit.Write(ctx, tx, e) })
	list, err := d.Audit.List(t.Context(), d.DB, d.Tenant.ID, audit.Filter{Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d records, %v", len(list), err)
	}
	return list[0]
}

func eachDesk(t *testing.T, role string, fn func(t *testing.T, d *desk)) {
	sqldbtest.Each(t, signintest.Sources(report.Migrations), func(t *testing.T, db *sqldb.DB) { fn(t, newDesk(t, db, role)) })
}

// wantWords checks that a page has and has not some words.
func wantWords(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		not := strings.HasPrefix(w, "!")
		if strings.Contains(text, strings.TrimPrefix(w, "!")) == not {
			t.Errorf("%s: %q, in\n%s", what, w, mainOf(text))
		}
	}
}

func mainOf(text string) string {
	if _, after, ok := strings.Cut(text, "<main"); ok {
		return after
	}
	return text
}

func (d *desk) refusal(t testing.TB) audit.Event {
	return d.record(t, audit.Event{Category: audit.SignIn, Activity: "signin.refused", Outcome: audit.Failure, User: d.Bob.ID, Actor: string(d.Bob.ID), UserName: d.Bob.Name,
		Client: d.app.ID, Method: policy.Passkey, Credential: "k1", Rule: "passkey.synced", Reason: "synced_not_allowed", Code: policy.CodeKey, IP: "192.0.2.7", Agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/148.0",
		Detail: map[string]string{signin.DetailFlow: "f", signin.DetailMode: "fido2", signin.DetailClaims: "phishing-resistant", signin.DetailKey: `{"synced":true}`}})
}

// The log lists what happened, as it is asked, and escapes what others wrote.
func TestLogPage(t *testing.T) {
	eachDesk(t, directory.Administrator, func(t *testing.T, d *desk) {
		wantWords(t, "an empty log", d.page(t, "/admin/log"), "Nobody has signed in yet.")
		wantWords(t, "no refusal", d.page(t, "/admin/log?result=failure&last=day"), "No sign-in was refused in the last 24 hours. Good.")
		d.record(t, audit.Event{Category: audit.SignIn, Activity: "signin.refused", Outcome: audit.Failure, UserName: `<script>alert(1)</script>`, IP: "203.0.113.9", Method: policy.Passkey, Reason: "bad_signature"})
		refused := d.refusal(t)
		d.record(t, audit.Event{Category: audit.Change, Activity: "user.disable", Outcome: audit.Success, User: d.Bob.ID})

		all := d.page(t, "/admin/log")
		wantWords(t, "all", all, "Pay&lt;b&gt;roll", "by “Synced passkeys”", "Somebody, as &lt;script&gt;", "wrong signature", "2 sign-ins", "!<script>alert", "!switched")
		for name, c := range map[string]struct {
			query string
			words []string
		}{
			"by name":           {"q=bob", []string{"1 sign-in<", string(refused.ID)}},
			"by user name":      {"q=" + d.Bob.Name, []string{"1 sign-in<"}},
			"by person":         {"person=" + string(d.Bob.ID), []string{"1 sign-in<"}},
			"by address":        {"q=203.0.113.9", []string{"1 sign-in<", "wrong signature"}},
			"by app":            {"app=" + string(d.app.ID), []string{"1 sign-in<"}},
			"by rule":           {"rule=passkey.synced&reason=synced_not_allowed&last=week", []string{"1 sign-in<", "Rule: Synced passkeys"}},
			"by another method": {"method=accessPass", []string{"No sign-in matches all of these filters.", "Show everything"}},
			"somebody gone":     {"q=" + url.QueryEscape("Gone@nordhafen.example"), []string{"No sign-in matches"}},
			"nobody":            {"q=zz", []string{"Nobody in the directory is called “zz”"}},
			"quotes":            {"q=" + url.QueryEscape(`' or 1 eq 1 or 'a`), []string{"Nobody in the directory is called"}},
			"a day":             {"from=2026-03-05&to=2026-03-05", []string{"2 sign-ins"}},
			"another day":       {"from=2026-03-06", []string{"No sign-in matches"}},
			"nonsense":          {"from=x&to=y&last=z&result=w&before=v&kind=u", []string{"2 sign-ins"}},
		} {
			wantWords(t, name, d.page(t, "/admin/log?"+c.query), c.words...)
		}
		d.record(t, audit.Event{Category: audit.SignIn, Activity: "signin.done", Outcome: audit.Success, User: "b0000000-0000-4000-8000-000000000009", UserName: "gone@nordhafen.example"})
		wantWords(t, "somebody who is gone", d.page(t, "/admin/log?q=Gone@nordhafen.example"), "1 sign-in<")
		if w := d.get(t, "/admin/log?q="+string(refused.ID)); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/admin/log/"+string(refused.ID) {
			t.Errorf("by the id of a record: %d to %q", w.Code, w.Header().Get("Location"))
		}
	})
}

// One record names its rule, and asks no more of the page than it knows.
func TestOneSignIn(t *testing.T) {
	eachDesk(t, directory.Helpdesk, func(t *testing.T, d *desk) {
		d.drawer.held = []method.Credential{
			{ID: "k1", Tenant: d.Tenant.ID, User: d.Bob.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Name: `Bob's <i>phone`, Facts: idp.Facts{Synced: true}, Properties: strong},
			{ID: "k2", Tenant: d.Tenant.ID, User: d.Bob.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Name: "Blue key", Properties: strong},
		}
		d.Policy(t, d.Tenant.ID, func(p *policy.Policy) { p.Passkey.Synced = policy.SyncedDeny })
		e := d.refusal(t)
		text := d.page(t, "/admin/log/"+string(e.ID))
		wantWords(t, "the page", text, "bob was not let in to Pay&lt;b&gt;roll", "Bob&#39;s &lt;i&gt;phone", "Synced passkeys", "This rule decided.", "AADSTS130501", "192.0.2.7", "Firefox on Linux",
			"What would have let bob in", "Blue key", "Registered, never used", "/admin/people/"+string(d.Bob.ID), string(e.ID), "/admin/log/try?", "rule=passkey.synced")
		if strings.Contains(text, " style=") || strings.Contains(text, "onclick") {
			t.Error("the page has an inline style or handler")
		}
		for name, address := range map[string]string{
			"no id": "/admin/log/xyz", "no such record": "/admin/log/00000000-0000-7000-8000-000000000000",
		} {
			if w := d.get(t, address); w.Code != http.StatusNotFound {
				t.Errorf("%s: %d", name, w.Code)
			}
		}
		var other idp.EventID
		d.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return d.Audit.Write(ctx, tx, audit.Event{Tenant: d.Other.ID, Category: audit.SignIn, Activity: "signin.done", Outcome: audit.Success, User: d.Eve.ID})
		})
		list, err := d.Audit.List(t.Context(), d.DB, d.Other.ID, audit.Filter{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		other = list[0].ID
		if w := d.get(t, "/admin/log/"+string(other)); w.Code != http.StatusNotFound {
			t.Errorf("a record of another tenant: %d", w.Code)
		}
	})
}

// Every kind of record has a title and a sentence in words.
func TestEveryRecordIsTold(t *testing.T) {
	eachDesk(t, directory.Helpdesk, func(t *testing.T, d *desk) {
		base := audit.Event{Category: audit.SignIn, User: d.Bob.ID, Actor: string(d.Bob.ID), UserName: d.Bob.Name, Client: d.app.ID, Method: policy.Passkey, IP: "192.0.2.7"}
		for want, change := range map[string]func(e *audit.Event){
			"bob signed in to Pay": func(e *audit.Event) {
				e.Activity, e.Outcome, e.Rule, e.Reason = "signin.done", audit.Success, "strength.default", "strength_met"
			},
			"bob signed in<": func(e *audit.Event) { e.Activity, e.Outcome, e.Client = "signin.done", audit.Success, "" },
			"bob was not let in<": func(e *audit.Event) {
				e.Activity, e.Outcome, e.Client, e.Rule, e.Reason = "signin.refused", audit.Failure, "", "user.enabled", "user_disabled"
			},
			"Somebody was not let in to": func(e *audit.Event) {
				e.Activity, e.Outcome, e.User, e.Actor, e.UserName, e.Reason = "signin.refused", audit.Failure, "", "", "", "credential_unknown"
			},
			"7 tries from 192.0.2.7 came to nothing": func(e *audit.Event) {
				e.Activity, e.Outcome, e.User, e.Actor, e.UserName, e.Reason, e.Times = "signin.refused", audit.Failure, "", "", "", audit.Various, 7
			},
			"bob was asked what Pay": func(e *audit.Event) {
				e.Activity, e.Outcome, e.Reason = "signin.interrupted", audit.Interrupted, "consent_needed"
			},
			"bob came in with a pass": func(e *audit.Event) {
				e.Activity, e.Outcome, e.Reason, e.Rule, e.Method = "signin.interrupted", audit.Interrupted, "only_a_pass", "accessPass.register", policy.AccessPass
			},
			"bob signed out<": func(e *audit.Event) { e.Activity, e.Outcome, e.Client = "signout.done", audit.Success, "" },
			"bob opened Pay":  func(e *audit.Event) { e.Category, e.Activity, e.Outcome = audit.Token, "token.code", audit.Success },
			"A copied token of Pay": func(e *audit.Event) {
				e.Category, e.Activity, e.Outcome = audit.Token, "token.refresh_reuse", audit.Failure
			},
			"roll could not prove itself": func(e *audit.Event) {
				e.Category, e.Activity, e.Outcome, e.User = audit.Token, "token.client", audit.Failure, ""
			},
			"bob was not let in to": func(e *audit.Event) {
				e.Activity, e.Outcome, e.Rule, e.Reason = "signin.refused", audit.Failure, "a.rule.nobody.knows", "a_reason"
			},
		} {
			e := base
			change(&e)
			e = d.record(t, e)
			text := d.page(t, "/admin/log/"+string(e.ID))
			_, head, _ := strings.Cut(text, "<h1")
			head, _, _ = strings.Cut(head, `<div class="explain">`)
			wantWords(t, e.Activity, head, want, "!log.")
			wantWords(t, e.Activity, mainOf(text), "!>log.")
		}
	})
}

// The script learns how many are new; the list does not change.
func TestNewerSignIns(t *testing.T) {
	eachDesk(t, directory.Helpdesk, func(t *testing.T, d *desk) {
		first := d.refusal(t)
		ask := func(more string) (count int, text string) {
			t.Helper()
			var got struct {
				Count int
				Text  string
			}
			if err := json.Unmarshal([]byte(d.page(t, "/admin/log/newer?after="+string(first.ID)+more)), &got); err != nil {
				t.Fatal(err)
			}
			return got.Count, got.Text
		}
		if n, text := ask(""); n != 0 || text != "" {
			t.Errorf("%d %q", n, text)
		}
		d.refusal(t)
		d.refusal(t)
		if n, text := ask("&result=failure&q=bob"); n != 2 || text != "2 new" {
			t.Errorf("%d %q", n, text)
		}
		if n, _ := ask("&result=success"); n != 0 {
			t.Errorf("%d let in", n)
		}
		if n, _ := ask("&q=zz"); n != 0 {
			t.Errorf("%d of nobody", n)
		}
	})
}

// The file is what is filtered, safe in a spreadsheet, and for administrators.
func TestLogCSV(t *testing.T) {
	eachDesk(t, directory.Administrator, func(t *testing.T, d *desk) {
		for range 3 {
			d.refusal(t)
		}
		d.record(t, audit.Event{Category: audit.SignIn, Activity: "signin.refused", Outcome: audit.Failure, UserName: "=cmd|' /C calc'!A0", Agent: "@SUM(1)", Reason: "pass_unknown"})
		w := d.get(t, "/admin/log/csv?result=failure")
		rows, err := csv.NewReader(w.Body).ReadAll()
		if err != nil || len(rows) != 5 || !slices.Equal(rows[0], logHeader) {
			t.Fatalf("%q, %v", rows, err)
		}
		if rows[1][1] != "'=cmd|' /C calc'!A0" || rows[1][11] != "'@SUM(1)" {
			t.Errorf("a cell that would be run: %q", rows[1])
		}
		if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="sign-ins-2026-03-05.csv"` || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
			t.Errorf("headers %v", w.Header())
		}
		if rows, err = csv.NewReader(d.get(t, "/admin/log/csv?q=bob").Body).ReadAll(); err != nil || len(rows) != 4 {
			t.Errorf("of Bob: %d rows, %v", len(rows), err)
		}
	})
	eachDesk(t, directory.Helpdesk, func(t *testing.T, d *desk) {
		for _, address := range []string{"/admin/log/csv", "/admin/report/csv"} {
			if w := d.get(t, address); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "time,user") {
				t.Errorf("%s for the help desk: %d", address, w.Code)
			}
		}
		for _, address := range []string{"/admin/log", "/admin/changes", "/admin/report", "/admin/log/try"} {
			d.page(t, address)
		}
	})
}

// Nobody without a role sees any of it.
func TestLogIsForRoles(t *testing.T) {
	eachDesk(t, directory.Administrator, func(t *testing.T, d *desk) {
		e := d.refusal(t)
		for who, cookie := range map[string]string{"nobody": "", "Bob": d.signIn(t, d.Bob), "Eve of another tenant": d.signIn(t, d.Eve)} {
			d.cookie = cookie
			for _, address := range []string{"/admin/log", "/admin/log/" + string(e.ID), "/admin/log/newer", "/admin/log/csv", "/admin/log/try", "/admin/changes", "/admin/report", "/admin/report/csv"} {
				if w := d.get(t, address); w.Code == http.StatusOK || strings.Contains(w.Body.String(), "bob") {
					t.Errorf("%s gets %s: %d", who, address, w.Code)
				}
			}
		}
	})
}

func TestTry(t *testing.T) {
	eachDesk(t, directory.Helpdesk, func(t *testing.T, d *desk) {
		d.drawer.held = []method.Credential{{ID: "k1", Tenant: d.Tenant.ID, User: d.Bob.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Name: "Phone", Facts: idp.Facts{Synced: true}, Properties: strong}}
		before := d.Count(t, "audit_event", d.Tenant.ID)
		try := func(more string) string { t.Helper(); return d.page(t, "/admin/log/try?person="+d.Bob.Name+more) }
		wantWords(t, "what they hold", try(""), "bob would be let in", `data-answer="good"`, "Any allowed way")
		wantWords(t, "more is asked", try("&strength=phrh"), "bob would be asked for more", `data-answer="warn"`, "A security key that proves its model")
		wantWords(t, "another key", try("&strength=phrh&key=hardware"), "bob would be let in")
		wantWords(t, "a pass", try("&key=pass"), "bob would be asked for more", `data-answer="warn"`)
		d.Policy(t, d.Tenant.ID, func(p *policy.Policy) { p.Passkey.Synced = policy.SyncedDeny })
		wantWords(t, "a rule about keys", try("&key=k1&app="+string(d.app.ID)), "bob would be refused", "The rule “Synced passkeys” decides.")
		d.Enable(t, d.Bob, false)
		wantWords(t, "a person who is off", try("&key=hardware"), "bob would be refused", "The person is switched on")
		if w := d.get(t, "/admin/log/try?person=zz"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "Nobody in the directory is called “zz”") {
			t.Errorf("nobody: %d", w.Code)
		}
		if n := d.Count(t, "audit_event", d.Tenant.ID); n != before {
			t.Errorf("%d records were written", n-before)
		}
	})
}

// What the page answers is what the corridor would do, for every key and
// strength.
func TestTryAgreesWithDecide(t *testing.T) {
	db := sqldbtest.Open(t, signintest.Sources(report.Migrations))
	d := newDesk(t, db, directory.Helpdesk)
	rules, err := d.Policies.Get(t.Context(), d.Tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range tryKeys {
		for _, s := range append([]policy.Strength{{}}, rules.Strengths...) {
			trial := trial{user: d.Bob, key: k.made, app: d.app.ID, strength: s.ID, now: d.Now()}
			want := "bad"
			switch out := policy.Decide(&rules, trial.question()); {
			case out.Outcome == policy.Allow:
				want = "good"
			case len(out.Refused) == 0 && (out.Outcome == policy.StepUp || out.Outcome == policy.MustRegister):
				want = "warn"
			}
			text := d.page(t, "/admin/log/try?person="+d.Bob.Name+"&app="+string(d.app.ID)+"&key="+k.word+"&strength="+s.ID)
			wantWords(t, k.word+" at "+s.Name, text, `data-answer="`+want+`"`)
		}
	}
}

func TestChangesPage(t *testing.T) {
	eachDesk(t, directory.Helpdesk, func(t *testing.T, d *desk) {
		wantWords(t, "no change", d.page(t, "/admin/changes"), "Nothing has been changed yet.")
		d.record(t, audit.Event{Category: audit.Change, Activity: "policy.set", Outcome: audit.Success, Actor: string(d.Ada.ID),
			Detail: map[string]string{"changes": "1", "passkey.synced": `"allow" → "<deny>"`, "name": "passkey.synced"}})
		d.record(t, audit.Event{Category: audit.Change, Activity: "user.update", Outcome: audit.Failure, Actor: "cli:root", User: d.Bob.ID, UserName: d.Bob.Name, Reason: "user_name_taken",
			Detail: map[string]string{"displayName": "Bob -> Robert", "userPrincipalName": "a -> a"}})
		text := d.page(t, "/admin/changes")
		wantWords(t, "all", text, "2 changes", "<del>", "allow</del>", "&lt;deny&gt;</ins>", "Robert</ins>", "!>userPrincipalName", "!>name<", "Refused", "/admin/people/"+string(d.Bob.ID))
		wantWords(t, "of rules", d.page(t, "/admin/changes?kind=rules"), "1 change<", "passkey.synced", "!Robert")
		wantWords(t, "by Ada", d.page(t, "/admin/changes?q=ada"), "1 change<", "passkey.synced")
		wantWords(t, "about Bob", d.page(t, "/admin/changes?q=bob"), "1 change<", "Robert")
		wantWords(t, "nothing", d.page(t, "/admin/changes?kind=groups"), "No change matches")
		d.record(t, audit.Event{Category: audit.Change, Activity: "device.join", Outcome: audit.Failure, Reason: "wrong_signature"})
		wantWords(t, "turned away before anybody was known", d.page(t, "/admin/changes"), "Somebody joined a device", "Refused")
	})
}

func TestReportPage(t *testing.T) {
	eachDesk(t, directory.Administrator, func(t *testing.T, d *desk) {
		wantWords(t, "before the first count", d.page(t, "/admin/report"), "Nobody has been counted yet.")
		count := func() {
			t.Helper()
			r := httptest.NewRequest("POST", "/admin/report/count", nil)
			r.Header.Set("Cookie", d.cookie)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			w := httptest.NewRecorder()
			d.mux.ServeHTTP(w, r)
			if w.Code != http.StatusSeeOther {
				t.Fatalf("count: %d %s", w.Code, w.Body)
			}
		}
		count()
		d.drawer.held = []method.Credential{{ID: "k1", Tenant: d.Tenant.ID, User: d.Bob.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Facts: idp.Facts{Synced: true}, Properties: strong}}
		d.Advance(24 * time.Hour)
		d.cookie = d.signIn(t, d.Ada)
		count()
		text := d.page(t, "/admin/report?range=month")
		wantWords(t, "the report", text, "Phishing-resistant, synced", "5 Mar 2026", "6 Mar 2026", "50 %", "100 %", `class="k-synced"`, "/admin/report/csv", "!style=")
		rows, err := csv.NewReader(d.get(t, "/admin/report/csv").Body).ReadAll()
		if err != nil || len(rows) != 3 || !slices.Equal(rows[0], report.Header) {
			t.Errorf("%q, %v", rows, err)
		}
	})
}

// Ticks add up to a hundred, and whoever is there has one.
func TestTicks(t *testing.T) {
	for _, n := range []report.Counts{
		{report.Hardware: 1}, {report.Hardware: 1, report.Nothing: 2}, {report.Hardware: 100_000, report.Pass: 1}, {report.Hardware: 1, report.Bound: 1, report.Synced: 1, report.Passwordless: 1, report.Pass: 1, report.Nothing: 100_000},
		{report.Synced: 333, report.Bound: 333, report.Nothing: 334},
	} {
		sum := 0
		got := ticksOf(n, 100)
		for c, k := range got {
			sum += k
			if (n[c] > 0) != (k > 0) {
				t.Errorf("%v: %d ticks for %d of %s", n, k, n[c], c)
			}
		}
		if sum != 100 {
			t.Errorf("%v: %d ticks", n, sum)
		}
	}
	if len(ticksOf(report.Counts{}, 100)) != 0 {
		t.Error("nobody has ticks")
	}
	for want, of := range map[string][2]int{"0 %": {0, 5}, "&lt; 1 %": {1, 1000}, "&gt; 99 %": {999, 1000}, "100 %": {7, 7}, "33 %": {1, 3}, "50 %": {1, 2}} {
		if got := percent(of[0], of[1]); string(got) != want {
			t.Errorf("%d of %d is %s, want %s", of[0], of[1], got, want)
		}
	}
}

// FuzzLogFilter reads addresses: what was understood can be written, and is
// then understood in the same way.
func FuzzLogFilter(f *testing.F) {
	for _, s := range []string{"", "q=ada&result=failure", "from=2026-03-05&to=x&last=day", "q=%ff&person=%00", "kind=rules&before=zz&rule=a.b[0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		first := readLogFilter(q)
		first.Before = ""
		again := readLogFilter(first.values())
		if first != again {
			t.Fatalf("%q: %+v and %+v", raw, first, again)
		}
		ask := first.query(audit.SignIns, storyTime)
		if ask.Limit != pageSize || ask.Of != audit.SignIns {
			t.Fatalf("%+v", ask)
		}
		try := readTryForm(q)
		if again := readTryForm(try.values()); again != try {
			t.Fatalf("%q: %+v and %+v", raw, try, again)
		}
	})
}

// BenchmarkLogPage is the whole page, from its address to its last byte, over
// more and more records.
func BenchmarkLogPage(b *testing.B) {
	for _, size := range []int{1_000, 10_000, 100_000, 1_000_000} {
		db := sqldbtest.Open(b, signintest.Sources(report.Migrations))
		d := newDesk(b, db, directory.Administrator)
		for done := 0; done < size; {
			d.Write(b, func(ctx context.Context, tx *sqldb.Tx) error {
				for range min(10_000, size-done) {
					e := audit.Event{Tenant: d.Tenant.ID, Category: audit.SignIn, Activity: "signin.done", Outcome: audit.Success, User: d.Ada.ID, Actor: string(d.Ada.ID), Client: d.app.ID, Method: policy.Passkey, IP: "192.0.2.1"}
					if done%40 == 0 {
						e.Activity, e.Outcome, e.User, e.Rule, e.Reason = "signin.refused", audit.Failure, d.Bob.ID, "passkey.synced", "synced_not_allowed"
					}
					d.Advance(time.Millisecond)
					if err := d.Audit.Write(ctx, tx, e); err != nil {
						return err
					}
					done++
				}
				return nil
			})
		}
		d.cookie = d.signIn(b, d.Ada)
		for name, address := range map[string]string{"all": "/admin/log", "refused": "/admin/log?result=failure", "person": "/admin/log?q=bob"} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				for b.Loop() {
					d.page(b, address)
				}
			})
		}
	}
}

// TestTemplates: every page can be parsed, also those that no test shows.
func TestTemplates(t *testing.T) {
	c, err := New(Config{BaseURL: "https://id.example"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.pages.ParseAll(); err != nil {
		t.Fatal(err)
	}
}
