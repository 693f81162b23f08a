package portal

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/signin"
)

// TestSec_SES05_ChooseKeepsTheHint: of two people in one browser, a flow that is
// meant for one is not finished by the other's session, although its form can be
// sent with it.
func TestSec_SES05_ChooseKeepsTheHint(t *testing.T) {
	w := newWorld(t)
	ada, bela := w.newUser("ada@nordhafen.example", "Ada Lindqvist"), w.newUser("bela@nordhafen.example", "Bela Varga")
	b := w.newBrowser()
	adas := b.firstDay(ada, "Blue key").field("session")
	w.later(time.Minute)
	b.keys = passkeytest.New("localhost", origin)
	w.flow = signin.Flow{ClientName: "Wiki", LeadsTo: "https://wiki.example", Prompt: []string{"select_account"}, HintUser: bela.ID}
	page := b.get("/"+string(w.tenant.ID)+"/app").want(t, 200)
	ended := len(w.ended)
	got := b.post("/"+string(w.tenant.ID)+"/signin/choose", url.Values{"handle": {page.field("handle")}, "session": {adas}})
	if got.StatusCode != http.StatusOK || len(w.ended) != ended {
		t.Errorf("a flow that is meant for Bela, with Ada's session: %d, %d ended", got.StatusCode, len(w.ended)-ended)
	}
	w.flow.HintUser = ada.ID
	page = b.get("/"+string(w.tenant.ID)+"/app").want(t, 200)
	if got := b.post("/"+string(w.tenant.ID)+"/signin/choose", url.Values{"handle": {page.field("handle")}, "session": {adas}}); got.StatusCode != http.StatusNoContent {
		t.Errorf("with the session of whom it is meant for: %d", got.StatusCode)
	}
}

// enrolments counts what is under way or done.
func (w *world) enrolments() (n int) {
	w.t.Helper()
	w.must(w.db.QueryRow(w.t.Context(), `select count(*) from phone_enrolment`).Scan(&n))
	return n
}

// TestSec_PHN08_StaleProof: nobody begins to add a phone on an old proof, on the
// page or past it; and a fresh one leads back to the page.
func TestSec_PHN08_StaleProof(t *testing.T) {
	w, b, ada := phoneWorld(t)
	session := b.get("/account").field("session")
	w.later(6 * time.Minute)
	page := b.get("/account/phone/add").want(t, 200, "Show that it is still you")
	b.post("/account/phone/add", url.Values{"session": {session}}).want(t, 200, "Show that it is still you")
	b.json("/account/register/begin", registration{Session: session, Method: "phone"}, nil).want(t, 403)
	if n := w.enrolments(); n != 0 {
		t.Errorf("%d enrolments were begun", n)
	}
	b.codeOf(b.follow(b.usePasskey(page, ada.Name)).want(t, 200, "Add a phone", "Have your phone at hand"))
}

// TestSec_PHN08_OlderPhonesAreTold: a phone that is added is told to those that
// were there, and to nobody before its person has said that it is theirs.
func TestSec_PHN08_OlderPhonesAreTold(t *testing.T) {
	w, b, _ := phoneWorld(t)
	first, _ := b.addPhone("Pixel")
	if len(w.post.sent) != 0 {
		t.Fatalf("%d messages about the first", len(w.post.sent))
	}
	page, link := b.code()
	words := b.comes(w.appPhone("Second"), page, link)
	if len(w.post.sent) != 0 {
		t.Error("a phone that is not added yet was told about")
	}
	b.follow(b.says(words, "confirm")).want(t, 200)
	if len(w.post.sent) != 1 || w.post.to[0].Endpoint != first.Push.Endpoint || !strings.Contains(w.post.sent[0].Title, "A phone was added") {
		t.Errorf("told was %+v to %+v", w.post.sent, w.post.to)
	}
	b.get("/account").want(t, 200, "Phone added: Second")
}

// TestSec_PHN08_WordsDiffer: who says that the words differ is told what it may
// mean; the phone that came is not added, whatever is sent then, and is good
// for nothing.
func TestSec_PHN08_WordsDiffer(t *testing.T) {
	w, b, ada := phoneWorld(t)
	page, link := b.code()
	mallory := w.appPhone("Mallory's phone")
	words := b.comes(mallory, page, link)
	kept := b.kept()
	b.says(words, "perhaps").want(t, 400)
	b.follow(b.says(words, "cancel")).want(t, 200, "That phone was turned away", "Nothing was added", "somebody has seen your code", "New code")
	b.get(page.Request.URL.RequestURI()).want(t, 200, "This code is over")
	// The ceremony is spent, also for who has kept the cookie.
	b.keep(kept)
	b.follow(b.says(words, "confirm")).want(t, 200, "This code is over")
	b.json("/account/register/finish", registration{Session: words.field("session"), Method: "phone", Ceremony: kept.Ceremony, Payload: []byte(`{"confirm":true}`)}, nil).want(t, 410)
	if _, err := mallory.Self(); err == nil || len(w.phonesOf(ada)) != 0 {
		t.Errorf("the phone is %v, %d were added", err, len(w.phonesOf(ada)))
	}
	b.get("/account").want(t, 200, "A phone was not added")
}

// keep puts an enrolment into the browser's cookie, as somebody might by hand.
func (b *browser) keep(e enrolment) {
	rec := httptest.NewRecorder()
	b.w.must(b.w.portal.keepEnrolment(rec, e))
	u, err := url.Parse(b.w.server.URL)
	b.w.must(err)
	b.client.Jar.SetCookies(u, rec.Result().Cookies())
}

// TestSec_PHN08_OtherSession: an enrolment is shown to the session that began
// it, in its browser, and to no other: not to the same person elsewhere, not to
// who signs in at the same browser next, and not to somebody who was planted
// its cookie (T14).
func TestSec_PHN08_OtherSession(t *testing.T) {
	w, b, ada := phoneWorld(t)
	page, link := b.code()
	at, wait, kept := page.Request.URL.RequestURI(), page.attrOf("data-wait"), b.kept()
	bob := w.newUser("bob@nordhafen.example", "Bob")
	words := b.comes(w.appPhone("Pixel"), page, link)

	refused := func(who string, other *browser, session string) {
		t.Helper()
		for _, path := range []string{at, strings.ReplaceAll(at, string(kept.Session), session)} {
			if r := other.get(path).want(t, 200, "This code is over"); strings.Contains(r.body, "Pixel") || strings.Contains(r.body, link[len(link)-22:]) {
				t.Errorf("%s sees the enrolment at %s", who, path)
			}
		}
		for _, path := range []string{wait, strings.ReplaceAll(wait, string(kept.Session), session)} {
			if r := other.get(path); r.StatusCode != 410 && strings.TrimSpace(r.body) != `{"state":"over"}` {
				t.Errorf("%s is told %d %s", who, r.StatusCode, r.body)
			}
		}
		for _, s := range []string{string(kept.Session), session} {
			other.follow(other.post("/account/phone/answer", url.Values{"session": {s}, "enrolment": {kept.ID}, "decision": {"confirm"}}))
			other.json("/account/register/finish", registration{Session: s, Ceremony: kept.Ceremony, Payload: []byte(`{"confirm":true}`)}, nil)
		}
		if len(w.phonesOf(ada))+len(w.phonesOf(bob)) != 0 {
			t.Errorf("%s has added the phone", who)
		}
	}
	bobs := w.newBrowser()
	his := bobs.firstDay(bob, "Bob's key").field("session")
	refused("somebody else", bobs, his)
	bobs.keep(kept)
	refused("somebody else with the cookie", bobs, his)
	stolen := kept
	stolen.Session = idp.SessionID(his)
	bobs.keep(stolen)
	refused("somebody else with the cookie changed", bobs, his)

	second := w.newBrowser()
	second.keys = b.keys
	hers := second.follow(second.usePasskey(second.get("/"+string(w.tenant.ID)+"/signin?to=account"), ada.Name)).want(t, 200).field("session")
	refused("the same person elsewhere", second, hers)
	second.keep(stolen)
	refused("the same person with another's cookie", second, hers)

	// The one that began it goes on.
	b.follow(b.says(words, "confirm")).want(t, 200, "Pixel can approve sign-ins now")

	// And who comes next at the same browser is not shown what was begun there.
	page, link = b.code()
	b.post("/account/sign-out", url.Values{"session": {page.field("session")}}).want(t, 303)
	b.keys = passkeytest.New("localhost", origin)
	w.later(time.Minute)
	carl := w.newUser("carl@nordhafen.example", "Carl")
	b.firstDay(carl, "Carl's key")
	if r := b.get(page.Request.URL.RequestURI()).want(t, 200, "This code is over"); strings.Contains(r.body, link[len(link)-22:]) {
		t.Error("the code of the person before is shown")
	}
}

// TestSec_PHN08_CrossSite: another site begins no enrolment, and answers none.
func TestSec_PHN08_CrossSite(t *testing.T) {
	w, b, ada := phoneWorld(t)
	page, link := b.code()
	words := b.comes(w.appPhone("Pixel"), page, link)
	before := w.enrolments()
	form := url.Values{"session": {words.field("session")}, "enrolment": {b.kept().ID}, "decision": {"confirm"}}
	for _, path := range []string{"/account/phone/add", "/account/phone/answer", "/account/phone/lost", "/account/phone/test", "/account/browser/forget"} {
		b.do("POST", path, "application/x-www-form-urlencoded", form.Encode(), func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Origin", "https://evil.example")
		}).want(t, 403)
	}
	if w.enrolments() != before || len(w.phonesOf(ada)) != 0 {
		t.Error("another site has done something")
	}
}
