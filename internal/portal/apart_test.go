package portal

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/signin"
)

// at moves the world to a tenant: what its helpers do then is done there.
func (w *world) at(t idp.Tenant, fn func()) {
	was := w.tenant
	w.tenant = t
	defer func() { w.tenant = was }()
	fn()
}

// TestSec_T46_PagesOfAnotherTenant: two tenants with people of one name, both
// signed in at one browser. Neither's session, picker, flow or form is of any
// use on the other's pages.
func TestSec_T46_PagesOfAnotherTenant(t *testing.T) {
	w := newWorld(t)
	home, away := w.tenant, w.newTenant("Westwerk", "westwerk.example")
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	var eve idp.User
	b := w.newBrowser()
	mine := b.firstDay(ada, "Blue key").field("session")
	adas := b.keys
	stranger := w.newBrowser()
	var theirs string
	w.at(away, func() {
		eve = w.newUser("ada@westwerk.example", "Ada Westwerk")
		// Somebody signed in elsewhere is nobody here.
		if page := b.get("/"+string(away.ID)+"/signin").want(t, 200, "Sign in"); strings.Contains(page.body, "Lindqvist") {
			t.Error("the pages of a tenant know somebody of another")
		}
		b.keys = passkeytest.New("localhost", origin)
		theirs = b.firstDay(eve, "Red key").field("session")
	})

	// The picker of one tenant lists, and takes, none of the other's people.
	w.flow = signin.Flow{ClientName: "Wiki", LeadsTo: "https://wiki.example", Prompt: []string{"select_account"}}
	page := b.get("/"+string(home.ID)+"/app").want(t, 200, "Who are you now?", "Ada Lindqvist")
	if strings.Contains(page.body, "Ada Westwerk") || strings.Contains(page.body, theirs) {
		t.Error("the picker lists somebody of another tenant")
	}
	handle := page.field("handle")
	ended := len(w.ended)
	b.post("/"+string(home.ID)+"/signin/choose", url.Values{"handle": {handle}, "session": {theirs}}).want(t, 200, "User name")

	// A flow is of its tenant, on every form and page.
	begun := w.begun(b, home, handle)
	payload, err := adas.Get(begun.Show)
	w.must(err)
	for what, r := range map[string]reply{
		"begin":   b.json("/"+string(away.ID)+"/signin/begin", map[string]string{"handle": handle, "method": "passkey"}, nil),
		"choose":  b.post("/"+string(away.ID)+"/signin/choose", url.Values{"handle": {handle}, "session": {theirs}}),
		"consent": b.post("/"+string(away.ID)+"/signin/consent", url.Values{"handle": {handle}, "decision": {"allow"}}),
		"pass":    b.post("/"+string(away.ID)+"/signin/answer", url.Values{"handle": {handle}, "username": {ada.Name}, "access_pass": {w.newPass(ada)}}),
		"answer": b.post("/"+string(away.ID)+"/signin/answer", url.Values{"handle": {handle}, "method": {"passkey"},
			"ceremony": {begun.Ceremony}, "payload": {string(payload)}}),
	} {
		if r.StatusCode != http.StatusGone {
			t.Errorf("%s with the flow of another tenant: %d %s", what, r.StatusCode, r.text())
		}
	}
	w.later(time.Minute)
	stored := stranger.usePass(stranger.get("/"+string(home.ID)+"/signin"), ada.Name, w.newPass(ada)).want(t, 303).Header.Get("Location")
	stranger.get(strings.Replace(stored, string(home.ID), string(away.ID), 1)).want(t, 410)
	stranger.get(stored).want(t, 200, "Add a passkey")

	// A ceremony is of its tenant, and so is a key: Ada's opens nothing there.
	fresh := stranger.get("/" + string(away.ID) + "/signin").field("handle")
	stranger.post("/"+string(away.ID)+"/signin/answer", url.Values{"handle": {fresh}, "method": {"passkey"},
		"ceremony": {begun.Ceremony}, "payload": {string(payload)}}).want(t, 410)
	there := w.begun(stranger, away, fresh)
	payload, err = adas.Get(there.Show)
	w.must(err)
	stranger.post("/"+string(away.ID)+"/signin/answer", url.Values{"handle": {fresh}, "method": {"passkey"},
		"ceremony": {there.Ceremony}, "payload": {string(payload)}}).want(t, 401)
	if len(w.ended) != ended {
		t.Errorf("an app was handed %+v", w.ended[ended:])
	}

	// The account pages serve both, each with what is its own.
	held := func(u idp.User) string {
		all, err := w.portal.cfg.Corridor.Credentials(t.Context(), u.Tenant, u.ID)
		w.must(err)
		return string(all[0].ID)
	}
	b.post("/account/rename", url.Values{"session": {mine}, "method": {"passkey"}, "credential": {held(eve)}, "name": {"Mine"}}).want(t, 404)
	b.post("/account/remove", url.Values{"session": {mine}, "method": {"passkey"}, "credential": {held(eve)}}).want(t, 404)
	b.get("/account/remove?"+url.Values{"session": {mine}, "method": {"passkey"}, "credential": {held(eve)}}.Encode()).want(t, 404)
	b.post("/account/sessions/end", url.Values{"session": {mine}, "end": {theirs}}).want(t, 404)
	begun = startedCeremony{}
	b.json("/account/register/begin", registration{Session: mine, Method: "passkey"}, &begun).want(t, 200)
	made, err := passkeytest.New("localhost", origin).Create(begun.Show)
	w.must(err)
	b.json("/account/register/finish", registration{Session: theirs, Ceremony: begun.Ceremony, Payload: made}, nil).want(t, 410)
	b.follow(b.post("/account/sign-out-everywhere", url.Values{"session": {mine}})).want(t, 200)
	b.get("/account").want(t, 200, "Ada Westwerk", "Red key")
}

type startedCeremony struct {
	Ceremony string
	Show     json.RawMessage
}

// begun begins a passkey ceremony of a flow.
func (w *world) begun(b *browser, t idp.Tenant, handle string) (out startedCeremony) {
	w.t.Helper()
	b.json("/"+string(t.ID)+"/signin/begin", map[string]string{"handle": handle, "method": "passkey"}, &out).want(w.t, 200)
	return out
}

// plant gives a browser the cookies that another one has.
func (b *browser) plant(from *browser, names ...string) {
	u, err := url.Parse(b.w.server.URL)
	b.w.must(err)
	for _, c := range from.client.Jar.Cookies(u) {
		for _, name := range names {
			if c.Name == name {
				b.client.Jar.SetCookies(u, []*http.Cookie{c})
			}
		}
	}
}

func (b *browser) cookie(name string) string {
	u, err := url.Parse(b.w.server.URL)
	b.w.must(err)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// TestSec_SES05_PlantedSession: a session cookie that was put into a browser
// before somebody signs in there does not become theirs, whether it is a
// stranger's, of their own from before, or made up.
func TestSec_SES05_PlantedSession(t *testing.T) {
	w := newWorld(t)
	ada, mal := w.newUser("ada@nordhafen.example", "Ada Lindqvist"), w.newUser("mal@nordhafen.example", "Mal Ohlsen")
	mallory, first, victim := w.newBrowser(), w.newBrowser(), w.newBrowser()
	mallory.firstDay(mal, "Mal's key")
	first.firstDay(ada, "Blue key")
	victim.keys = first.keys
	home := "/" + string(w.tenant.ID) + "/signin?to=account"

	victim.plant(mallory, "signet-session")
	planted := victim.cookie("signet-session")
	page := victim.get("/"+string(w.tenant.ID)+"/signin?to=account").want(t, 303)
	_ = page
	w.later(time.Minute)
	asked := victim.post("/"+string(w.tenant.ID)+"/signin/answer", url.Values{"handle": {w.forLogin(victim)}, "forget": {"1"}})
	victim.usePasskey(asked, ada.Name).want(t, 204)
	if got := victim.cookie("signet-session"); got == planted || !strings.HasSuffix(got, "."+planted) {
		t.Errorf("the cookie is %q, which began as %q", got, planted)
	}
	if page := mallory.get("/account").want(t, 200, "Mal Ohlsen"); strings.Contains(page.body, "Lindqvist") {
		t.Error("the stranger's session has become Ada's")
	}

	// Her own session of before: the old value is dead once she has shown
	// herself again.
	old := w.newBrowser()
	old.plant(first, "signet-session")
	old.get("/account").want(t, 200, "Ada Lindqvist")
	w.later(6 * time.Minute)
	first.follow(first.usePasskey(first.get("/account/register").want(t, 200, "Show that it is still you"), ada.Name)).want(t, 200)
	first.get("/account").want(t, 200, "Ada Lindqvist")
	if r := old.get("/account"); r.StatusCode != http.StatusSeeOther {
		t.Errorf("the value from before the step-up still opens the account: %d", r.StatusCode)
	}

	made := w.newBrowser()
	u, err := url.Parse(w.server.URL)
	w.must(err)
	made.client.Jar.SetCookies(u, []*http.Cookie{{Name: "signet-session", Value: strings.Repeat("A", 64)}})
	made.keys = first.keys
	made.follow(made.usePasskey(made.get(home).want(t, 200), ada.Name)).want(t, 200, "How you sign in")
	if strings.HasPrefix(made.cookie("signet-session"), "AAAA") {
		t.Error("a value that was made up has become a session")
	}
}

// forLogin is the handle of a flow that wants a new gesture in this browser.
func (w *world) forLogin(b *browser) string {
	w.t.Helper()
	w.flow = signin.Flow{ClientName: "Wiki", Prompt: []string{"login"}}
	return b.get("/"+string(w.tenant.ID)+"/app").want(w.t, 200).field("handle")
}

// TestSec_SES05_PlantedBrowser: a stranger who begins a sign-in, puts the cookie
// it is bound to into somebody's browser and has them finish it there, gets
// nothing out of it: neither a finished flow nor one on its way is a session.
func TestSec_SES05_PlantedBrowser(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	first := w.newBrowser()
	first.firstDay(ada, "Blue key")
	home := "/" + string(w.tenant.ID) + "/signin"

	mallory, victim := w.newBrowser(), w.newBrowser()
	page := mallory.get(home).want(t, 200)
	victim.plant(mallory, "signet-browser")
	if victim.cookie("signet-browser") == "" {
		t.Fatal("no cookie was planted")
	}
	victim.keys = first.keys
	begun := w.begun(victim, w.tenant, page.field("handle"))
	payload, err := victim.keys.Get(begun.Show)
	w.must(err)
	v := url.Values{"handle": {page.field("handle")}, "method": {"passkey"}, "ceremony": {begun.Ceremony}, "payload": {string(payload)}}
	victim.follow(victim.post(home+"/answer", v)).want(t, 200, "How you sign in")
	mallory.post(home+"/answer", v).want(t, 410)
	mallory.get("/account").want(t, 303)
	mallory.get(home).want(t, 200, "Sign in")

	w.later(time.Minute)

	// A flow that remembers a proof: the person's pass, before they have added
	// a method.
	page = mallory.get(home).want(t, 200)
	victim = w.newBrowser()
	victim.plant(mallory, "signet-browser")
	at := victim.usePass(page, ada.Name, w.newPass(ada)).want(t, 303).Header.Get("Location")
	victim.get(at).want(t, 200, "Add a passkey")
	if r := mallory.get(at); strings.Contains(r.text(), "Where should it live") || r.field("session") != "" {
		t.Errorf("the stranger may add a method: %d %s", r.StatusCode, r.text())
	}
	mallory.get("/account/register").want(t, 303)
	mallory.json("/account/register/begin", registration{Session: victim.get(at).field("session"), Method: "passkey"}, nil).want(t, 410)
}
