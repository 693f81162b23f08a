package portal

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// whatPassGets says what a session on a pass gets from each address: 403, or what
// is said here. A new address is on this list or refuses.
var whatPassGets = map[string]int{
	"GET /{$}":                         200,
	"GET /{t}/signin":                  200, // the page that adds a method
	"POST /{t}/signin/begin":           410, // of a flow, whoever is signed in
	"POST /{t}/signin/answer":          410,
	"POST /{t}/signin/choose":          410,
	"POST /{t}/signin/consent":         410,
	"POST /{t}/signin/nudge":           410,
	"POST /{t}/signin/ask":             410,
	"POST /{t}/signin/go":              410,
	"GET /{t}/signin/certificate":      410,
	"POST /{t}/signin/again":           410,
	"POST /{t}/signin/cancel":          410,
	"GET /{t}/signin/wait":             410,
	"GET /account":                     303, // to the page that adds a method
	"POST /account/organisation":       404,
	"GET /account/register":            200,
	"POST /account/register/begin":     200,
	"POST /account/register/finish":    410, // of no ceremony
	"GET /account/phone/add":           200,
	"POST /account/phone/add":          303, // to the code
	"GET /account/phone/add/wait":      410, // of no enrolment
	"POST /account/phone/answer":       303, // to the page that says so
	"POST /account/sign-out":           303,
	"GET /signed-out":                  200,
	"POST /appearance":                 303,
	"GET /.well-known/change-password": 303,
}

// TestSec_POL04_PassSessionAtEveryAddress: a session that came by a pass adds a
// method and ends itself, and does nothing else (decisions 2.8).
func TestSec_POL04_PassSessionAtEveryAddress(t *testing.T) {
	w := phoneHouse(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	own := w.newBrowser()
	mine := own.firstDay(ada, "Blue key")
	w.later(time.Minute)
	seen := map[string]bool{}
	for _, rt := range w.portal.routes() {
		seen[rt.pattern] = true
		b := w.newBrowser()
		page := b.follow(b.usePass(b.get("/"+string(w.tenant.ID)+"/signin"), ada.Name, w.newPass(ada))).want(t, 200, "You came in with a Temporary Access Pass")
		verb, path, _ := strings.Cut(strings.NewReplacer("{t}", string(w.tenant.ID), "{$}", "").Replace(rt.pattern), " ")
		held, err := w.portal.cfg.Corridor.Credentials(t.Context(), w.tenant.ID, ada.ID)
		w.must(err)
		v := url.Values{"session": {page.field("session")}, "end": {mine.field("session")}, "method": {"passkey"},
			"credential": {string(held[0].ID)}, "name": {"Stolen"}, "theme": {"dark"}, "organisation": {"nowhere.example"}}
		var r reply
		switch {
		case verb == "GET":
			r = b.get(path + "?" + v.Encode())
		case strings.HasSuffix(path, "/begin"), strings.HasSuffix(path, "/finish"):
			r = b.json(path, registration{Session: page.field("session"), Method: "passkey"}, nil)
		default:
			r = b.post(path, v)
		}
		want, ok := whatPassGets[rt.pattern]
		if !ok {
			want = http.StatusForbidden
		}
		if r.StatusCode != want {
			t.Errorf("%s: a session on a pass gets %d %s, want %d\n%s", rt.pattern, r.StatusCode, r.Header.Get("Location"), want, r.text())
		}
		if want == http.StatusForbidden {
			r.want(t, 403, "which lets you add a passkey and nothing else")
		}
		own.get("/account").want(t, 200, "Blue key")
		w.later(16 * time.Minute) // and the limits are as at first
	}
	for pattern := range whatPassGets {
		if !seen[pattern] {
			t.Errorf("there is no address %s", pattern)
		}
	}
}

// TestSec_POL04_PassThatOpensApps: where passes open apps, the session is a full
// one that ends with the pass. It still ends none of the owner's sessions.
func TestSec_POL04_PassThatOpensApps(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	own := w.newBrowser()
	mine := own.firstDay(ada, "Blue key").field("session")
	w.policy(func(p *policy.Policy) { p.AccessPass.AppSignIn = true })
	w.later(time.Minute)
	b := w.newBrowser()
	page := b.follow(b.usePass(b.get("/"+string(w.tenant.ID)+"/signin"), ada.Name, w.newPass(ada))).want(t, 200, "How you sign in")
	v := url.Values{"session": {page.field("session")}, "end": {mine}}
	b.post("/account/sessions/end", v).want(t, 403, "which lets you add a passkey and nothing else")
	b.post("/account/sign-out-everywhere", v).want(t, 403, "which lets you add a passkey and nothing else")
	own.get("/account").want(t, 200, "Blue key")
	b.post("/account/sign-out", v).want(t, 303)
	b.get("/account").want(t, 303)
}

func (w *world) policy(change func(*policy.Policy)) {
	w.t.Helper()
	p, err := w.rules.Get(w.t.Context(), w.tenant.ID)
	w.must(err)
	p = p.Clone()
	change(&p)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.rules.Put(ctx, tx, w.tenant.ID, p) })
}

// TestSec_SES05_PageOfAnotherPerson: Ada's page is still open when Bo has signed
// in at the same browser. What its script asks for then is not done for Bo, or
// Ada's key would open Bo's account.
func TestSec_SES05_PageOfAnotherPerson(t *testing.T) {
	w := newWorld(t)
	ada, bo := w.newUser("ada@nordhafen.example", "Ada Lindqvist"), w.newUser("bo@nordhafen.example", "Bo Lind")
	b := w.newBrowser()
	page := b.firstDay(ada, "Blue key")
	open := b.get("/account/register").want(t, 200)
	in := registration{Session: open.field("session"), Method: "passkey"}
	var begun struct{ Ceremony string }
	b.json("/account/register/begin", in, &begun).want(t, 200)
	b.post("/account/sign-out", url.Values{"session": {page.field("session")}}).want(t, 303)
	b.keys = passkeytest.New("localhost", origin)
	b.firstDay(bo, "Bo's key")
	if r := b.json("/account/register/begin", in, nil); r.StatusCode != http.StatusGone || strings.Contains(r.body, bo.Name) {
		t.Errorf("Ada's page begins to register a passkey for Bo: %d %s", r.StatusCode, r.body)
	}
	in.Ceremony = begun.Ceremony
	b.json("/account/register/finish", in, nil).want(t, 410)
	in.Session = ""
	b.json("/account/register/begin", in, nil).want(t, 410)
}
