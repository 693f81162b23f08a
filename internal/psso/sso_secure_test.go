package psso_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

// post asks the door for applications by a form.
func (f *front) post(path, form string, p *pass) answer {
	r := httptest.NewRequest("POST", path, strings.NewReader(form))
	r.Host = "id.example"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set(pssowire.HeaderSSO, p.text())
	w := httptest.NewRecorder()
	f.openID.ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Result().Header, body: w.Body.String()}
}

// redeem makes the code of an answer into tokens, and gives back the ID token.
func (f *front) redeem(t *testing.T, a answer) object {
	t.Helper()
	r := httptest.NewRequest("POST", f.at("/oauth2/v2.0/token"), strings.NewReader(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {string(f.app.ID)}, "redirect_uri": {f.app.RedirectURIs[0]}, "code": {codeOf(a)}, "code_verifier": {verifier},
	}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	f.openID.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("redeem: %d %s", w.Code, w.Body)
	}
	return f.idToken(t, answer{status: w.Code, header: w.Result().Header, body: w.Body.String()}.json(t)["id_token"])
}

// TestSec_DEV10_SSOForm: a message is bound to an address, which says nothing of
// a form. What is asked by one is answered by a page, whatever the address has.
func TestSec_DEV10_SSOForm(t *testing.T) {
	f := liteFront(t)
	u, err := url.Parse(f.ask("state", "another"))
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"with a query": f.ask(), "without": f.at("/oauth2/v2.0/authorize")} {
		page(t, name, f.post(path, u.RawQuery, f.pass(path)))
	}
	if all := f.events("prt.use"); len(all) != 2 || all[0] != "prt.use failure address_differs" || all[1] != all[0] {
		t.Errorf("%q", all)
	}
}

// TestSec_OAU14_SSOAfterLogin: a login moves what a session stands on to newer
// proofs. What an application asks of their age holds of the session that
// answers, too.
func TestSec_OAU14_SSOAfterLogin(t *testing.T) {
	eachFront(t, func(t *testing.T, f *front) {
		first := f.bring(f.ask(), f.pass(f.ask()))
		cookie := cookieOf(first)
		f.advance(20 * time.Minute)
		f.token = f.signIn(f.mac, f.ada, f.key)
		path := f.ask("max_age", "600")
		second := browse(f.openID, path, "Cookie", cookie, pssowire.HeaderSSO, f.pass(path).text())
		if codeOf(second) == "" {
			t.Fatalf("%d %v %s", second.status, second.header, second.body)
		}
		id := f.redeem(t, second)
		if age := f.clock.now().Sub(time.Unix(int64(id["auth_time"].(float64)), 0)); age > 10*time.Minute {
			t.Errorf("auth_time is %s ago, and ten minutes were asked for", age)
		}
		if n := len(f.sessionsOf(t)); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

// TestSec_DEV10_SSOMeanwhile ends a login while its message opens a session: what
// was given out is good for nothing.
func TestSec_DEV10_SSOMeanwhile(t *testing.T) {
	eachFront(t, func(t *testing.T, f *front) {
		for name, end := range map[string]func(ctx context.Context, tx *sqldb.Tx) error{
			"signed out": func(ctx context.Context, tx *sqldb.Tx) error {
				return f.prts.RevokeUser(ctx, tx, f.tenant.ID, f.ada.ID)
			},
			"switched off": func(ctx context.Context, tx *sqldb.Tx) error {
				return f.devices.SetEnabled(ctx, tx, f.tenant.ID, f.mac.ID, false)
			},
		} {
			done := false
			p := f.pass(f.ask())
			f.clock.when("(*Corridor).Bring", func() { done = true; f.write(end) })
			a := f.bring(f.ask(), p)
			if !done {
				t.Fatalf("%s: nothing has happened meanwhile", name)
			}
			if code := codeOf(a); code != "" {
				r := httptest.NewRequest("POST", f.at("/oauth2/v2.0/token"), strings.NewReader(url.Values{
					"grant_type": {"authorization_code"}, "client_id": {string(f.app.ID)}, "redirect_uri": {f.app.RedirectURIs[0]}, "code": {code}, "code_verifier": {verifier},
				}.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				w := httptest.NewRecorder()
				f.openID.ServeHTTP(w, r)
				if w.Code == http.StatusOK {
					t.Errorf("%s: the code is good: %s", name, w.Body)
				}
			}
			if cookie := cookieOf(a); cookie != "" {
				page(t, name, browse(f.openID, f.ask(), "Cookie", cookie))
			}
			f.switchOn(f.mac, true)
			f.token = f.signIn(f.mac, f.ada, f.key)
		}
	})
}
