package portal

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// campaign asks everybody for a passkey, in a tenant whose passes open apps.
func (w *world) campaign(snoozes, days int) {
	w.policy(func(p *policy.Policy) {
		p.AccessPass.AppSignIn = true
		p.Campaign.On, p.Campaign.Snoozes, p.Campaign.SnoozeDays = true, snoozes, days
	})
	w.flow = signin.Flow{ClientName: "Wiki", LeadsTo: "https://wiki.example"}
}

// openApp signs in to the app with a new pass, in a browser of its own, and gives
// what comes then.
func (w *world) openApp(u idp.User) (*browser, reply) {
	w.t.Helper()
	b := w.newBrowser()
	return b, b.follow(b.usePass(b.get("/"+string(w.tenant.ID)+"/app").want(w.t, 200), u.Name, w.newPass(u)))
}

func (w *world) wantHanded(n int) {
	w.t.Helper()
	if len(w.ended) != n || w.ended[n-1].Kind != signin.Done {
		w.t.Fatalf("the app was handed %d flows: %+v", len(w.ended), w.ended)
	}
}

func TestNudge(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	w.campaign(2, 3)
	later := "/" + string(w.tenant.ID) + "/signin/nudge"

	b, page := w.openApp(ada)
	page.want(t, 200, "Add a passkey now?", "Before Wiki opens, Nordhafen Werft asks you", "again after 3 days", "You can put it off 2 times.")
	sizes := map[string]string{}
	walk(page.doc, func(n *html.Node) {
		if action, _ := attr(n, "data-action"); action == "later" || action == "register-passkey" {
			class, _ := attr(n, "class")
			sizes[action] = strings.TrimSpace(strings.Replace(class, "main", "", 1))
		}
	})
	if sizes["later"] == "" || sizes["later"] != sizes["register-passkey"] {
		t.Errorf("the two ways on are not of one size: %v", sizes)
	}
	b.get(page.Request.URL.RequestURI()).want(t, 200, "Add a passkey now?")
	// Another flow of the same browser opens without a word.
	b.get("/"+string(w.tenant.ID)+"/app").want(t, 204)
	w.wantHanded(1)
	if r := w.newBrowser().post(later, url.Values{"handle": {page.field("handle")}}); r.StatusCode == 204 || len(w.ended) != 1 {
		t.Errorf("another browser put it off: %d", r.StatusCode)
	}
	b.post(later, url.Values{"handle": {page.field("handle")}}).want(t, 204)
	w.wantHanded(2)
	if !w.ended[1].Recorded {
		t.Error("the sign-in would be recorded twice")
	}
	b.post(later, url.Values{"handle": {page.field("handle")}}).want(t, 410, "Start again")

	_, r := w.openApp(ada)
	r.want(t, 204)
	w.wantHanded(3)
	w.later(72 * time.Hour)
	b, page = w.openApp(ada)
	page.want(t, 200, "This is the last time that you can put it off.")
	add := b.get(page.Request.URL.RequestURI()+"&add=1").want(t, 200, "Where should it live?", "Back")
	if add.field("flow") == "" || !strings.Contains(add.body, `href="`+html.EscapeString(page.Request.URL.RequestURI())) {
		t.Error("the page leads neither on nor back")
	}
	b.get(b.register(add, "Blue key")).want(t, 204)
	w.wantHanded(4)
	_, r = w.openApp(ada)
	r.want(t, 204)
	b.get("/"+string(w.tenant.ID)+"/signin?add=1").want(t, 303) // nothing is asked there

	// Somebody who signs out before the answer is asked who they are.
	bo := w.newUser("bo@nordhafen.example", "Bo Lind")
	b, page = w.openApp(bo)
	handle := page.field("handle")
	b.post("/account/sign-out", url.Values{"session": {b.get("/account").field("session")}}).want(t, 303)
	b.post(later, url.Values{"handle": {handle}}).want(t, 200, "Sign in")
	// Twice "not now", then it comes first.
	for range 2 {
		b, page = w.openApp(bo)
		b.post(later, url.Values{"handle": {page.field("handle")}}).want(t, 204)
		w.later(72 * time.Hour)
	}
	n := len(w.ended)
	b, page = w.openApp(bo)
	page.want(t, 200, "Add a passkey", "Where should it live?")
	if page.hasAction("later") || page.hasAction("cancel") {
		t.Error("what must be can be put off")
	}
	b.follow(b.get("/"+string(w.tenant.ID)+"/app")).want(t, 200, "Where should it live?")
	b.follow(b.get("/account")).want(t, 200, "Where should it live?")
	b.post(later, url.Values{"handle": {page.field("flow")}}).want(t, 303)
	if len(w.ended) != n {
		t.Error("the app opened all the same")
	}
	try := b.follow(b.get(b.register(page, "Bo's key"))).want(t, 200, "Try it once now")
	b.follow(b.usePasskey(try, bo.Name)).want(t, 204)
	w.wantHanded(n + 1)
	b.get("/account").want(t, 200, "Put off adding a passkey")
}

// A rule that comes to require it while the page is open leaves one way on.
func TestNudgeForcedMeanwhile(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	w.campaign(0, 0)
	b, page := w.openApp(ada)
	page.want(t, 200, "we ask again the next time you sign in")
	if strings.Contains(page.text(), "You can put it off") {
		t.Error("the page counts what has no end")
	}
	w.policy(func(p *policy.Policy) {
		r := policy.Everybody()
		r.Include[0].Required = true
		p.Methods[policy.Passkey] = r
	})
	again := b.follow(b.post("/"+string(w.tenant.ID)+"/signin/nudge", url.Values{"handle": {page.field("handle")}}))
	again.want(t, 200, "cannot be put off any more")
	if again.hasAction("later") || len(w.ended) != 0 {
		t.Error("it was put off all the same")
	}
}

// Where only the help desk gives passkeys out, no page offers to add one.
func TestSelfServiceOff(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key")
	offers := func(path string) bool {
		t.Helper()
		r := b.get(path).want(t, 200)
		return r.hasAction("register-passkey") || strings.Contains(r.text(), "Add a spare") || strings.Contains(r.body, `href="/account/register`)
	}
	if !offers("/account") || !offers("/account/register") {
		t.Fatal("nothing is offered where it is allowed: the test says little")
	}
	w.policy(func(p *policy.Policy) { p.Passkey.SelfService = false })
	for _, path := range []string{"/account", "/account/register"} {
		b.get(path).want(t, 200, "Passkeys are given out by the help desk of Nordhafen Werft")
		if offers(path) {
			t.Errorf("%s offers what would be refused", path)
		}
	}
	w.policy(func(p *policy.Policy) {
		p.Passkey.SelfService = true
		r := policy.Everybody()
		r.Exclude = []policy.Target{{User: ada.ID}}
		p.Methods[policy.Passkey] = r
	})
	b.get("/account").want(t, 200, "A rule of Nordhafen Werft does not let you add a passkey.")
	if offers("/account") {
		t.Error("somebody whom a rule excepts is offered one")
	}
}
