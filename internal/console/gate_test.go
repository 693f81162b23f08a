package console

import (
	"context"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// free are the posts that change nothing, and so ask for no gesture.
var free = map[string]bool{
	"/admin/report/count":    true,
	"/admin/methods/passkey": true, "/admin/methods/passkey/profiles/new": true, "/admin/methods/accessPass": true, "/admin/methods/campaign": true,
	"/admin/methods/order": true, "/admin/methods/phone": true, "/admin/strengths/new": true,
	"/admin/devices/rules": true, "/admin/keys/clean": true, "/admin/methods/certificate": true, "/admin/certificates/add": true, "/admin/certificates/test": true,
	"/admin/macs": true, "/admin/methods/platform": true,
}

// at fills the wildcards of a route.
func (w *world) at(rt route) (method, path string) {
	method, path, _ = strings.Cut(rt.pattern, " ")
	id := string(w.Bob.ID)
	switch {
	case strings.HasPrefix(path, "/admin/groups"):
		id = string(w.group.ID)
	case strings.HasPrefix(path, "/admin/devices"):
		id = string(w.laptop.ID)
	case strings.HasPrefix(path, "/admin/apps"):
		id = string(w.app.ID)
	case strings.HasPrefix(path, "/admin/log"):
		id = string(w.record)
	case strings.HasPrefix(path, macTokenPath):
		id = string(w.token.ID)
	case strings.HasPrefix(path, certsPath):
		id = string(w.ca.ID)
	}
	return method, strings.NewReplacer("{$}", "", "{id}", id, "{profile}", "new", "{method}", "accessPass", "{strength}", "new").Replace(path)
}

// TestEveryRoute holds every address against everybody who may come: the role
// decides, and a change needs a phishing-resistant gesture of the last 15
// minutes (security.md ADM02, decisions 6.1).
func TestEveryRoute(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		stranger := &browser{w: w}
		bob, hedda, ada := w.signedIn(w.Bob), w.signedIn(w.hedda), w.signedIn(w.Ada)
		weak := w.signedIn(w.Ada, idp.Possession)
		old := w.signedIn(w.Ada)
		onPass := (&browser{w: w}).open(w.Ada, session.Session{Restricted: true, Proofs: []idp.Proof{{Tenant: w.Tenant.ID, User: w.Ada.ID,
			Method: policy.AccessPass, Mode: idp.ModeAccessPassOnce, Credential: "p", Time: w.Now()}}})
		_, w.ca = w.added()
		w.token = w.tokenFor("C02XK1ABJGH5")
		routes := w.console.routes()
		if len(routes) < 30 {
			t.Fatalf("only %d routes", len(routes))
		}
		for _, rt := range routes {
			method, path := w.at(rt)
			changes := method == http.MethodPost && !free[path] && !strings.HasSuffix(path, "/test-phone") && !strings.HasSuffix(path, "/fetch")
			if changes != (rt.says != "") {
				t.Errorf("%s: a change that asks for no gesture, or a question that does", rt.pattern)
			}
			if rt.role != directory.Helpdesk && rt.role != directory.Administrator {
				t.Errorf("%s: role %q", rt.pattern, rt.role)
			}
			before := w.changes()
			got := stranger.do(method, path, nil)
			if method == http.MethodGet && got.to != "/account?other=1&to=admin" || method == http.MethodPost && got.page != "error no_session" {
				t.Errorf("%s by nobody: %d %s", rt.pattern, got.status, got.page)
			}
			got = bob.do(method, path, nil)
			if method == http.MethodGet && got.page != "error no_role" || method == http.MethodPost && got.page != "error no_session" {
				t.Errorf("%s without a role: %d %s", rt.pattern, got.status, got.page)
			}
			if got = onPass.do(method, path, nil); got.page != "error no_role" && got.page != "error no_session" {
				t.Errorf("%s on a pass: %d %s", rt.pattern, got.status, got.page)
			}
			if rt.role == directory.Administrator {
				if got = hedda.do(method, path, nil); got.page != "error role_missing" {
					t.Errorf("%s by the help desk: %d %s", rt.pattern, got.status, got.page)
				}
			}
			if rt.says != "" {
				if got = weak.do(method, path, url.Values{"x": {"1"}}); got.page != "sign-in" {
					t.Errorf("%s on a weak proof: %d %s", rt.pattern, got.status, got.page)
				}
			}
			if w.changes() != before {
				t.Errorf("%s: somebody changed something who may not", rt.pattern)
			}
			if method == http.MethodGet && !strings.HasSuffix(path, "/ask") && path != "/admin/prove" {
				if got = ada.do(method, path, nil); got.status != http.StatusOK || got.page != "" {
					t.Errorf("%s by an administrator: %d %s", rt.pattern, got.status, got.page)
				}
			}
		}
		w.Advance(freshness + time.Second)
		before := w.changes()
		for _, rt := range routes {
			if rt.says == "" {
				continue
			}
			method, path := w.at(rt)
			w.asked = nil
			if got := old.do(method, path, url.Values{"x": {"1"}}); got.page != "sign-in" {
				t.Errorf("%s on an old proof: %d %s", rt.pattern, got.status, got.page)
				continue
			}
			f := w.asked[0]
			if f.HintUser != w.Ada.ID || f.ACR[0] != policy.ACRPhishingResistant || f.Prompt[0] != "login" {
				t.Errorf("%s: asked for %+v", rt.pattern, f)
			}
		}
		if w.changes() != before {
			t.Error("an old proof changed something")
		}
	})
}

// TestFormComesBack: what was sent with an old proof waits behind the gesture,
// and is done only when it is pressed again.
func TestFormComesBack(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		w.Advance(freshness + time.Second)
		path := "/admin/people/new"
		ada.post(path, url.Values{"user": {"gr<ace"}, "name": {"Grace", "twice"}}).want(http.StatusOK)
		if len(w.asked) != 1 {
			t.Fatal("no gesture was asked for")
		}
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, origin+"/x", nil)
		if err := w.console.Resume(rec, r, w.asked[0], signin.Step{Session: ada.session}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`action="` + path + `"`, `name="user" value="gr&lt;ace"`, `name="name" value="Grace"`, `name="name" value="twice"`, "Add the person."} {
			if !strings.Contains(rec.Body.String(), want) {
				t.Errorf("the page lacks %s:\n%s", want, rec.Body)
			}
		}
		if n := w.changes(); n != 0 {
			t.Errorf("%d changes without a word", n)
		}
		// Where it leads is an address of this server, whatever the flow says.
		f := w.asked[0]
		f.Ask = []byte(`{"path":"//evil.example/x","form":"a=b","says":"says.user.create","by":"` + whose(w.Tenant.ID, w.Ada.ID) + `"}`)
		rec = httptest.NewRecorder()
		if err := w.console.Resume(rec, r, f, signin.Step{Session: ada.session}); err != nil || strings.Contains(rec.Body.String(), "evil") {
			t.Errorf("leads elsewhere: %v %s", err, rec.Body)
		}
		ada.post(path, url.Values{"name": {strings.Repeat("x", mostCarried+1)}}).want(http.StatusUnauthorized, "too long to be kept")
	})
}

// TestOtherOrigin: a form of another site changes nothing (security.md WEB05).
func TestOtherOrigin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		r := httptest.NewRequest(http.MethodPost, origin+"/admin/groups", strings.NewReader("name=X"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		for _, c := range ada.cookies {
			r.AddCookie(c)
		}
		rec := httptest.NewRecorder()
		web.Chain(w.mux, web.Identify(nil)).ServeHTTP(rec, r)
		if rec.Header().Get("X-Page") != "error other_origin" || w.changes() != 0 {
			t.Errorf("%d %s", rec.Code, rec.Header().Get("X-Page"))
		}
	})
}

// TestHelpDeskCannotTouchRoles: the help desk could step into whoever it can
// give a pass (security.md ADM03).
func TestHelpDeskCannotTouchRoles(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hedda := w.signedIn(w.hedda)
		for _, target := range []idp.User{w.Ada, w.hedda} {
			path := "/admin/people/" + string(target.ID)
			for what, form := range map[string]url.Values{
				"/pass": {"minutes": {"60"}}, "/sign-out": {}, "/remove-method": {"method": {"passkey"}, "credential": {"x"}}, "/key/begin": {}, "/key/finish": {},
			} {
				if got := hedda.post(path+what, form); got.page != "error target_is_administrator" {
					t.Errorf("%s of %s: %d %s", what, target.Name, got.status, got.page)
				}
			}
			if body := hedda.get(path).want(http.StatusOK).body; strings.Contains(body, "issue-pass") || !strings.Contains(body, "Only an administrator can help them") {
				t.Errorf("the page of %s offers the help desk a pass", target.Name)
			}
		}
		if w.changes() != 0 || len(w.revoked) != 0 {
			t.Error("something was changed")
		}
		hedda.post("/admin/people/"+string(w.Bob.ID)+"/pass", url.Values{"minutes": {"60"}}).want(http.StatusOK, "data-pass=")
	})
}

// TestOtherTenant: nothing of another tenant can be seen or touched.
func TestOtherTenant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		path := "/admin/people/" + string(w.Eve.ID)
		if got := ada.get(path); got.status != http.StatusNotFound {
			t.Errorf("somebody of another tenant: %d", got.status)
		}
		for _, what := range []string{"/pass", "/sign-out", "/disable", "/enable", "/delete", "/role", "/name", "/remove-method", "/key/begin", "/key/finish"} {
			if got := ada.post(path+what, url.Values{"minutes": {"60"}, "role": {"administrator"}}); got.status != http.StatusNotFound {
				t.Errorf("%s: %d %s", what, got.status, got.page)
			}
		}
		if got := ada.post("/admin/groups/"+string(w.group.ID)+"/add", url.Values{"user": {w.Eve.Name}}); got.status != http.StatusNotFound {
			t.Errorf("into a group: %d %s", got.status, got.page)
		}
		if body := ada.get("/admin/people").want(http.StatusOK).body; strings.Contains(body, "eve@") {
			t.Error("the list has somebody of another tenant")
		}
		if w.changes() != 0 {
			t.Error("something was changed")
		}
	})
}

// TestSeveralTenants: an administrator of two tenants sees one at a time.
func TestSeveralTenants(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Directory.SetRole(ctx, tx, w.Other.ID, w.Eve.ID, directory.Administrator)
		})
		b := w.signedIn(w.Ada)
		proof := idp.Proof{Tenant: w.Other.ID, User: w.Eve.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Credential: "c",
			Properties: []idp.Property{idp.PhishingResistant}, Time: w.Now()}
		b.open(w.Eve, session.Session{Proofs: []idp.Proof{proof}})
		first := b.get("/admin").want(http.StatusOK, "Nordhafen", "Westwerk")
		other := b.get("/admin?tenant="+string(w.Other.ID)).want(http.StatusOK, "Westwerk")
		if first.body == other.body || len(other.header.Values("Set-Cookie")) == 0 {
			t.Error("the switch does nothing, or is forgotten")
		}
	})
}

// TestDeeds does each deed once and reads what was recorded.
func TestDeeds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		bob := "/admin/people/" + string(w.Bob.ID)
		last := func(activity string, target idp.UserID) {
			t.Helper()
			list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Limit: 1})
			if err != nil || len(list) == 0 {
				t.Fatal(err, len(list))
			}
			if e := list[0]; e.Activity != activity || e.Actor != string(w.Ada.ID) || e.User != target || e.Outcome != audit.Success {
				t.Errorf("record %s by %s on %s %s, want %s on %s", e.Activity, e.Actor, e.User, e.Outcome, activity, target)
			}
		}
		goes := func(r reply, to string) {
			t.Helper()
			if r.status != http.StatusSeeOther || !strings.HasPrefix(r.to, to) {
				t.Fatalf("%d to %q (%s), want %q\n%.500s", r.status, r.to, r.page, to, r.body)
			}
		}
		goes(ada.post(bob+"/name", url.Values{"name": {"Robert <b>"}}), bob+"?done=renamed")
		last("user.update", w.Bob.ID)
		ada.get(bob).want(http.StatusOK, html.EscapeString("Robert <b>"))
		goes(ada.post(bob+"/role", url.Values{"role": {directory.Helpdesk}}), bob)
		last("user.setRole", w.Bob.ID)
		goes(ada.post(bob+"/disable", nil), bob)
		last("user.disable", w.Bob.ID)
		if len(w.revoked) != 1 {
			t.Error("what was open was not ended")
		}
		ada.get(bob).want(http.StatusOK, "Cannot sign in: switched off.")
		goes(ada.post(bob+"/enable", nil), bob)
		last("user.enable", w.Bob.ID)
		goes(ada.post(bob+"/sign-out", nil), bob)
		last("session.revokeUser", w.Bob.ID)
		goes(ada.post("/admin/groups/"+string(w.group.ID)+"/add", url.Values{"user": {strings.ToUpper(w.Bob.Name)}}), "/admin/groups/")
		last("group.addMember", w.Bob.ID)
		goes(ada.post("/admin/groups/"+string(w.group.ID)+"/remove", url.Values{"user": {string(w.Bob.ID)}}), "/admin/groups/")
		goes(ada.post("/admin/groups/"+string(w.group.ID)+"/delete", nil), "/admin/groups")
		last("group.delete", "")
		goes(ada.post("/admin/apps/"+string(w.app.ID)+"/save", url.Values{"name": {"Wiki"}, "redirects": {"https://wiki.example/a\r\nhttps://wiki.example/b"}, "acr": {policy.ACRPhishingResistant}}), "/admin/apps/")
		last("app.update", "")
		app, err := w.Clients.Load(t.Context(), w.DB, w.Tenant.ID, w.app.ID)
		if err != nil || len(app.RedirectURIs) != 2 || app.ACR != policy.ACRPhishingResistant {
			t.Errorf("saved: %+v, %v", app, err)
		}
		ada.post("/admin/apps/"+string(w.app.ID)+"/save", url.Values{"name": {"Wiki"}, "redirects": {"https://wiki.example/a"}, "acr": {"gold"}}).want(http.StatusBadRequest, "There is no such strength.")
		goes(ada.post("/admin/apps/"+string(w.app.ID)+"/disable", nil), "/admin/apps/")
		goes(ada.post("/admin/apps/"+string(w.app.ID)+"/enable", nil), "/admin/apps/")
		ada.post("/admin/apps/"+string(w.app.ID)+"/secret", nil).want(http.StatusOK, "Shown only now")
		goes(ada.post("/admin/apps/"+string(w.app.ID)+"/delete", nil), "/admin/apps")
		goes(ada.post(bob+"/delete", nil), "/admin/people")
		last("user.delete", w.Bob.ID)
		// The last administrator stays, whoever asks.
		me := "/admin/people/" + string(w.Ada.ID)
		for what, form := range map[string]url.Values{"/disable": nil, "/delete": nil, "/role": {"role": {""}}} {
			if got := ada.post(me+what, form); got.page != "error last_administrator" {
				t.Errorf("%s of the last administrator: %d %s", what, got.status, got.page)
			}
		}
	})
}

// TestWordsOfOthers: an address cannot put words on a page.
func TestWordsOfOthers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		if body := ada.get("/admin/people?done=You+won").want(http.StatusOK).body; strings.Contains(body, "You won") {
			t.Error("words of the address are on the page")
		}
		ada.get("/admin/people?q=%27)+or+(1+eq+1").want(http.StatusOK, "No word begins with")
		if got := ada.get("/admin/people?after=garbage"); got.status != http.StatusBadRequest {
			t.Errorf("a cursor that is none: %d", got.status)
		}
	})
}
