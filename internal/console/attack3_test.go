package console

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

var hidden = regexp.MustCompile(`name="whose" value="([^"]*)"`)

// TestAttack3_FormOfAnotherTenant: a form is sent as whom its page was made
// for, although another tab has moved the console to another tenant since, or
// that session is over.
func TestAttack3_FormOfAnotherTenant(t *testing.T) {
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

// TestAttack3_EveryFormSaysWhose: without it a form is sent as whoever the
// console was used as last.
func TestAttack3_EveryFormSaysWhose(t *testing.T) {
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

// TestAttack3_RoleGivenMeanwhile: the help desk's deed meets the role that the
// person has in its transaction, not the one of a moment before.
func TestAttack3_RoleGivenMeanwhile(t *testing.T) {
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

// TestAttack3_PassForOneself: whoever sits at an unlocked console of an
// administrator makes no way in of their own (as over the API).
func TestAttack3_PassForOneself(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		me := "/admin/people/" + string(w.Ada.ID)
		if got := w.signedIn(w.Ada).post(me+"/pass", url.Values{"minutes": {"60"}}); got.page != "error pass_for_oneself" {
			t.Errorf("%d %s", got.status, got.page)
		}
	})
}

// TestAttack3_StrangeBytes: what is no text is not found, on both databases,
// and is nobody's 500.
func TestAttack3_StrangeBytes(t *testing.T) {
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

// TestAttack3_RefusedKey: a session and a gesture count as the rules are now,
// not as they were when the key was touched (POL02).
func TestAttack3_RefusedKey(t *testing.T) {
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
