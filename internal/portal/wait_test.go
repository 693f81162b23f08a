package portal

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	known "github.com/signetid/signet/internal/browser"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
)

func (w *world) at0(path string) string { return "/" + string(w.tenant.ID) + "/signin" + path }

// askPhone posts the form of a sign-in page by its phone button.
func (b *browser) askPhone(page reply, name string, more url.Values) reply {
	b.w.t.Helper()
	v := url.Values{"handle": {page.field("handle")}, "username": {name}, "method": {"phone"}}
	for k, list := range more {
		v[k] = list
	}
	return b.post(b.w.at0("/ask"), v)
}

// number begins at the sign-in page and asks.
func (b *browser) number(name string) reply {
	b.w.t.Helper()
	return b.follow(b.askPhone(b.get(b.w.at0("")), name, nil)).want(b.w.t, 200, "Type this number on your phone")
}

// answered posts what the page's script posts when the phone has answered.
func (b *browser) answered(page reply) reply {
	b.w.t.Helper()
	return b.post(b.w.at0("/answer"), url.Values{"handle": {page.field("handle")}, "method": {"phone"}, "username": {page.field("username")}})
}

func TestNumber(t *testing.T) {
	w := newWorld(t)
	w.phones()
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	page := b.get(w.at0("")).want(t, 200, "Use my phone")
	if !page.hasAction("signin-phone") || page.attrOf("formaction") != w.at0("/ask") {
		t.Errorf("the button posts to %q", page.attrOf("formaction"))
	}
	b.askPhone(page, "", nil).want(t, 400, "Type your user name, so that we know whose phone to ask.", `id="username-error"`)
	r := b.askPhone(page, ada.Name, nil).want(t, 303)
	at := r.Header.Get("Location")
	page = b.follow(r).want(t, 200, "Nobody from Nordhafen Werft will ever read you a number.", "2:00 left", "No message?", "Send again", "Use a passkey instead",
		`<noscript><meta http-equiv="refresh" content="3"></noscript>`)
	asked := w.phone.last()
	if page.attrOf("data-number") != asked.number || page.attrOf("aria-label") != asked.number[:1]+", "+asked.number[1:] || asked.request.UserName != ada.Name {
		t.Errorf("the page shows %q, asked was %s of %q", page.attrOf("data-number"), asked.number, asked.request.UserName)
	}
	for _, action := range []string{"send-again", "show-code", "other-ways", "cancel"} {
		if !page.hasAction(action) {
			t.Errorf("no %s", action)
		}
	}
	w.later(26 * time.Second)
	page = b.get(at).want(t, 200, "1:34 left")
	if page.attrOf("stroke-dasharray") == "" || !strings.Contains(page.body, `stroke-dasharray="94 120"`) {
		t.Error("the seal does not tick")
	}

	// Other ways, and back.
	other := b.get(at+"&other=1").want(t, 200, "Sign in", ada.Name)
	if !other.hasAction("signin-passkey") || other.field("handle") != page.field("handle") {
		t.Error("no passkey is offered in the same flow")
	}
	w.phone.say(ada.ID, "approved")
	page = b.get(at).want(t, 200, "Your phone has answered", "Continue")
	if page.attrOf("data-number") != "" || strings.Contains(page.body, "http-equiv") {
		t.Error("the number is still there, or the page loads itself again")
	}
	b.follow(b.answered(page)).want(t, 200, "How you sign in")
	// Sent again, and the page again: nothing is lost, nothing is begun.
	b.follow(b.answered(page)).want(t, 410)

	// What was used last in this browser comes first.
	b.post("/account/sign-out", url.Values{"session": {b.get("/account").field("session")}})
	page = b.get(w.at0(""))
	if phone, key := strings.Index(page.body, `data-action="signin-phone"`), strings.Index(page.body, `data-action="signin-passkey"`); phone < 0 || phone > key {
		t.Error("the way that was used last is not first")
	}
}

func TestNumberEnds(t *testing.T) {
	w := newWorld(t)
	w.phones()
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	for word, text := range map[string]string{
		"phone_denied":       "You said no on your phone. Nobody was let in.",
		"phone_reported":     "This request was reported on your phone.",
		"phone_wrong_number": "That was not the number, so this request is closed. Nobody was let in.",
		"phone_spent":        "That did not let you in.",
	} {
		b := w.newBrowser()
		page := b.number(ada.Name)
		w.phone.say(ada.ID, word)
		r := b.answered(page).want(t, 401, text, ada.Name)
		if !r.hasAction("signin-phone") || !strings.Contains(r.body, `<details class="other" open>`) {
			t.Errorf("%s: no way in is offered, or they are folded", word)
		}
		b.get(w.at0("?flow="+page.field("handle"))).want(t, 200, "Sign in")
		b.follow(b.askPhone(r, ada.Name, nil)).want(t, 200, "Type this number on your phone")
		w.later(time.Minute)
	}
	// The time is up.
	b := w.newBrowser()
	page := b.number(ada.Name)
	at := w.at0("?flow=" + page.field("handle"))
	w.later(phoneLives)
	over := b.answered(page).want(t, 401, "The time is up. Nobody was let in.", "New number")
	if over.attrOf("data-number") != "" || !over.hasAction("new-number") {
		t.Error("a number that is over is shown, or there is no new one")
	}
	again := b.follow(b.askPhone(over, over.field("username"), nil)).want(t, 200, "Type this number on your phone")
	w.later(phoneLives + 11*time.Second)
	b.get(at).want(t, 200, "The time is up. Nobody was let in.", "New number", "Use a passkey instead")
	b.answered(again).want(t, 410, "The time is up. Nobody was let in.", "New number")
	b.get(w.at0("/wait?flow="+again.field("handle"))).want(t, 200, `{"state":"over"}`)

	// Cancelled: the phone's request goes, too.
	page = b.number(ada.Name)
	b.follow(b.post(w.at0("/cancel"), url.Values{"handle": {page.field("handle")}})).want(t, 200, "Sign in")
	if !w.phone.last().gone {
		t.Error("the request was not withdrawn")
	}
	b.follow(b.post(w.at0("/cancel"), url.Values{"handle": {b.get(w.at0("")).field("handle")}})).want(t, 200, "Sign in")
}

func TestSendAgain(t *testing.T) {
	w := newWorld(t)
	w.phones()
	b := w.newBrowser()
	page := b.number("ada@nordhafen.example")
	form := url.Values{"handle": {page.field("handle")}}
	script := func(r *http.Request) { r.Header.Set("Accept", "application/json") }
	b.follow(b.post(w.at0("/again"), form)).want(t, 200, "Sent again.")
	b.do("POST", w.at0("/again"), "application/x-www-form-urlencoded", form.Encode(), script).want(t, 204)
	b.do("POST", w.at0("/again"), "application/x-www-form-urlencoded", form.Encode(), script).want(t, 429)
	b.follow(b.post(w.at0("/again"), form)).want(t, 200, "It was sent as often as it can be.")
	if w.phone.last().again != 2 {
		t.Errorf("sent %d times again", w.phone.last().again)
	}
	w.later(phoneLives + time.Minute)
	b.follow(b.post(w.at0("/again"), form)).want(t, 200, "The time is up.")
}

// TestSec_T34_NumberOfNobody: the pages of a name that nobody has are those of a
// person, but for the number and the ids (PHN09).
func TestSec_T34_NumberOfNobody(t *testing.T) {
	w := newWorld(t)
	w.phones()
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	ids := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	number := regexp.MustCompile(`data-number="\d\d">\d\d|aria-label="\d, \d"`)
	code := regexp.MustCompile(`<path d="M[^"]*"/></svg><p`)
	pages := func(name string) (out []string) {
		b := w.newBrowser()
		keep := func(r reply) reply {
			s := strings.ReplaceAll(r.body, name, "NAME")
			for _, re := range []*regexp.Regexp{ids, number, code, traced} {
				s = re.ReplaceAllString(s, "_")
			}
			out = append(out, s)
			return r
		}
		page := b.get(w.at0(""))
		keep(b.askPhone(page, name, nil))
		page = keep(b.number(name))
		keep(b.get(w.at0("?flow=" + page.field("handle") + "&other=1")))
		keep(b.follow(b.post(w.at0("/again"), url.Values{"handle": {page.field("handle")}})))
		w.later(phoneLives)
		keep(b.answered(page))
		for range 11 {
			keep(b.askPhone(page, name, nil))
		}
		w.later(2 * time.Minute)
		return out
	}
	there, nobody := pages(ada.Name), pages("zoe@nordhafen.example")
	for n := range there {
		if there[n] != nobody[n] {
			t.Errorf("page %d tells who exists:\n%s\n%s", n, there[n], nobody[n])
		}
	}
	if len(there) < 10 || !strings.Contains(there[len(there)-1], "There were too many requests from here") {
		t.Errorf("%d pages, the last is\n%s", len(there), there[len(there)-1])
	}
}

func TestAskLimit(t *testing.T) {
	w := newWorld(t)
	w.phones()
	b := w.newBrowser()
	page := b.get(w.at0(""))
	for range 10 {
		b.askPhone(page, "ada@nordhafen.example", nil).want(t, 303)
	}
	r := b.askPhone(page, "ada@nordhafen.example", nil).want(t, 429, "There were too many requests from here")
	if r.Header.Get("Retry-After") != "6" || !r.hasAction("signin-passkey") || len(w.phone.asked) != 10 {
		t.Errorf("Retry-After %q, %d asked", r.Header.Get("Retry-After"), len(w.phone.asked))
	}
	w.later(6 * time.Second)
	b.askPhone(page, "ada@nordhafen.example", nil).want(t, 303)
	for _, m := range []string{"passkey", "accessPass", "", "nonsense", "other"} {
		b.post(w.at0("/ask"), url.Values{"handle": {page.field("handle")}, "username": {"ada"}, "method": {m}}).want(t, 400)
	}
}

// stream opens the events of a page, and gives them line by line.
func (b *browser) stream(ctx context.Context, flow string) (*http.Response, *bufio.Reader) {
	b.w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", b.w.server.URL+b.w.at0("/wait?flow="+flow), nil)
	b.w.must(err)
	req.Header.Set("Accept", "text/event-stream")
	res, err := b.client.Do(req)
	b.w.must(err)
	b.w.t.Cleanup(func() { res.Body.Close() })
	return res, bufio.NewReader(res.Body)
}

// until reads lines until one begins so; it fails when the stream ends before.
func until(t *testing.T, lines *bufio.Reader, want string) {
	t.Helper()
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ends before %q: %v", want, err)
		}
		if strings.HasPrefix(line, want) {
			return
		}
	}
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	w.phones()
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	page := b.number(ada.Name)
	res, lines := b.stream(t.Context(), page.field("handle"))
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d, %v", res.StatusCode, res.Header)
	}
	until(t, lines, "retry: 2000")
	w.phone.wake() // for no reason
	w.phone.say(ada.ID, "approved")
	until(t, lines, "event: ready")
	b.follow(b.answered(page)).want(t, 200, "How you sign in")
	b.get(w.at0("/wait?flow="+page.field("handle"))).want(t, 410) // the flow is done

	// A poll answers at once when there is news, and when nothing is waited for.
	w.newBrowser().number(ada.Name)
	c := w.newBrowser()
	page = c.number(ada.Name)
	var wg sync.WaitGroup
	wg.Go(func() { c.get(w.at0("/wait?flow="+page.field("handle"))).want(t, 200, `{"state":"ready"}`) })
	for w.phone.waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	w.phone.say(ada.ID, "phone_denied")
	wg.Wait()
	c.answered(page).want(t, 401)
	c.get(w.at0("/wait?flow="+page.field("handle"))).want(t, 200, `{"state":"over"}`)
}

// TestSec_PHN07_WaitOfAnother: the events and the poll are for the browser that
// asked, and a flow has a few of them only.
func TestSec_PHN07_WaitOfAnother(t *testing.T) {
	w := newWorld(t)
	w.phones()
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b, other := w.newBrowser(), w.newBrowser()
	flow := b.number(ada.Name).field("handle")
	other.number("bob@nordhafen.example")
	w.phone.say(ada.ID, "approved")
	for what, c := range map[string]*browser{"another": other, "one without a cookie": w.newBrowser()} {
		for _, path := range []string{"/wait?flow=" + flow, "?flow=" + flow} {
			if r := c.get(w.at0(path)).want(t, 401); strings.Contains(r.body, "ready") || strings.Contains(r.body, "data-number") {
				t.Errorf("%s learns of it: %s", what, r.body)
			}
		}
		c.post(w.at0("/answer"), url.Values{"handle": {flow}, "method": {"phone"}}).want(t, 401)
		c.post(w.at0("/again"), url.Values{"handle": {flow}}).want(t, 401)
		c.post(w.at0("/cancel"), url.Values{"handle": {flow}}).want(t, 401)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.newBrowser().number(ada.Name)
	c := w.newBrowser()
	flow = c.number(ada.Name).field("handle")
	var oldest *bufio.Reader
	for n := range tabs {
		_, lines := c.stream(ctx, flow)
		until(t, lines, "retry")
		if n == 0 {
			oldest = lines
		}
	}
	c.get(w.at0("/wait?flow="+flow)).want(t, http.StatusTooManyRequests)
	_, lines := c.stream(ctx, flow) // one more takes the place of the oldest
	until(t, lines, "retry")
	if _, err := io.ReadAll(oldest); err != nil {
		t.Errorf("the oldest ends with %v", err)
	}
	if n := w.portal.waiters.count(); n != tabs {
		t.Errorf("%d wait, want %d", n, tabs)
	}
	cancel()
	w.phone.say(ada.ID, "approved") // all end, and leave
	for w.portal.waiters.count() > 0 {
		time.Sleep(time.Millisecond)
	}
	if res, _ := c.stream(t.Context(), flow); res.StatusCode != 200 {
		t.Errorf("afterwards: %d", res.StatusCode)
	}
}

// A server that stops lets go of who waits, at once.
func TestStopping(t *testing.T) {
	w := newWorld(t)
	w.phones()
	b := w.newBrowser()
	flow := b.number("ada@nordhafen.example").field("handle")
	_, lines := b.stream(t.Context(), flow)
	until(t, lines, "retry")
	var wg sync.WaitGroup
	wg.Go(func() { b.get(w.at0("/wait?flow="+flow)).want(t, 200, `{"state":"waiting"}`) })
	for w.phone.waiting() < 2 {
		time.Sleep(time.Millisecond)
	}
	close(w.stop)
	wg.Wait()
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		if strings.HasPrefix(line, "event") {
			t.Errorf("told %q", line)
		}
	}
}

// shows is what known.js sends.
func shows(t *testing.T, key *ecdsa.PrivateKey, tenant idp.TenantID, handle string) url.Values {
	t.Helper()
	digest := sha256.Sum256(known.Message(tenant, handle))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{
		"browser_key":       {publicOf(t, key)},
		"browser_signature": {base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))},
	}
}

func publicOf(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(spki)
}

// A browser is known after a passkey in it, by its key: from then on what it
// asks says so, and what a copy of its cookie asks does not.
func TestKnownBrowser(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	again := func(more url.Values) {
		t.Helper()
		b.post("/account/sign-out", url.Values{"session": {b.get("/account").field("session")}})
		page := b.get(w.at0(""))
		var begun begunReply
		b.json(w.at0("/begin"), map[string]string{"handle": page.field("handle"), "method": "passkey"}, &begun).want(t, 200)
		payload, err := b.keys.Get(begun.Show)
		w.must(err)
		v := url.Values{"handle": {page.field("handle")}, "method": {"passkey"}, "ceremony": {begun.Ceremony}, "payload": {string(payload)}}
		for k, list := range more {
			v[k] = list
		}
		b.follow(b.post(w.at0("/answer"), v)).want(t, 200, "How you sign in")
	}
	held := func() int {
		t.Helper()
		list, err := w.known.List(t.Context(), w.tenant.ID, ada.ID, nil)
		w.must(err)
		return len(list)
	}
	public := url.Values{"browser_key": {publicOf(t, key)}}
	again(public)
	if held() != 0 {
		t.Error("remembered although no method cares")
	}
	w.phones()
	again(nil)
	again(url.Values{"browser_key": {"nonsense"}})
	if held() != 0 {
		t.Error("remembered without a key")
	}
	again(public)
	if held() != 1 {
		t.Fatal("not remembered")
	}
	b.post("/account/sign-out", url.Values{"session": {b.get("/account").field("session")}})
	page := b.get(w.at0(""))
	if page.attrOf("data-known") != string(w.tenant.ID) {
		t.Error("the page's script is not told to show the key")
	}
	asks := func(c *browser, page reply, more url.Values) []idp.UserID {
		t.Helper()
		c.askPhone(page, ada.Name, more).want(t, 303)
		return w.phone.last().request.Scene.Knows
	}
	if got := asks(b, page, shows(t, key, w.tenant.ID, page.field("handle"))); len(got) != 1 || got[0] != ada.ID {
		t.Errorf("asked from the browser itself: known for %v", got)
	}
	if got := asks(b, page, nil); len(got) != 0 {
		t.Errorf("a cookie without the key: known for %v", got)
	}
	elsewhere := b.get(w.at0("")).field("handle")
	if got := asks(b, page, shows(t, key, w.tenant.ID, elsewhere)); len(got) != 0 {
		t.Errorf("the signature of another flow: known for %v", got)
	}
	c := w.newBrowser()
	page = c.get(w.at0(""))
	if got := asks(c, page, shows(t, key, w.tenant.ID, page.field("handle"))); len(got) != 0 {
		t.Errorf("a key without the cookie: known for %v", got)
	}
	// An approval by phone makes no browser known.
	w.later(time.Minute)
	page = c.follow(c.askPhone(c.get(w.at0("")), ada.Name, shows(t, key, w.tenant.ID, page.field("handle"))))
	w.phone.say(ada.ID, "approved")
	c.follow(c.post(w.at0("/answer"), url.Values{"handle": {page.field("handle")}, "method": {"phone"}, "browser_key": {publicOf(t, key)}})).want(t, 200)
	if held() != 1 {
		t.Error("a browser is known after a phone's approval")
	}
	// A day later its life goes on by its key, or by a method whose page has
	// none to show; a passkey's page that shows none is not this browser's.
	used := func() time.Time {
		t.Helper()
		list, err := w.known.List(t.Context(), w.tenant.ID, ada.ID, nil)
		w.must(err)
		return list[0].LastUsed
	}
	w.later(25 * time.Hour)
	before := used()
	again(nil)
	if got := used(); !got.Equal(before) {
		t.Error("used by a passkey without its key")
	}
	again(public)
	if got := used(); !got.Equal(w.clock()) {
		t.Errorf("by its key last used %s", got)
	}
	w.later(25 * time.Hour)
	page = b.follow(b.askPhone(b.get(w.at0("")), ada.Name, nil))
	w.phone.say(ada.ID, "approved")
	b.follow(b.post(w.at0("/answer"), url.Values{"handle": {page.field("handle")}, "method": {"phone"}})).want(t, 200)
	if got := used(); !got.Equal(w.clock()) {
		t.Errorf("by a phone last used %s", got)
	}
}

type begunReply struct {
	Ceremony string
	Show     json.RawMessage
}

func TestAskInAppFlow(t *testing.T) {
	w := newWorld(t)
	w.phones()
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	w.flow = signin.Flow{Client: "", ClientName: "Wiki", LeadsTo: "https://wiki.example"}
	b := w.newBrowser()
	page := b.follow(b.askPhone(b.get("/"+string(w.tenant.ID)+"/app"), ada.Name, nil)).want(t, 200, "Type this number")
	if got := w.phone.last().request.Scene; got.App != "Wiki" || got.IP == "" || got.Agent != firefox || len(got.Browser) == 0 {
		t.Errorf("the phone is told %+v", got)
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://wiki.example") {
		t.Errorf("the form may not lead to the application: %s", csp)
	}
	w.phone.say(ada.ID, "approved")
	b.answered(page).want(t, 204)
	if len(w.ended) != 1 || w.ended[0].Session.User != ada.ID {
		t.Errorf("the door was handed %+v", w.ended)
	}
}

// count says how many wait.
func (wr *waitRoom) count() (n int) {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	for _, of := range wr.open {
		n += len(of)
	}
	return n
}

// Where a connection is not ours to take over (HTTP/2), events come all the same.
func TestEventsOverHTTP2(t *testing.T) {
	w := newWorld(t)
	w.phones()
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	flow := b.number(ada.Name).field("handle")
	server := httptest.NewUnstartedServer(w.server.Config.Handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	client.Jar = b.client.Jar
	open := func(ctx context.Context) *bufio.Reader {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, "GET", server.URL+w.at0("/wait?flow="+flow), nil)
		w.must(err)
		req.Header.Set("Accept", "text/event-stream")
		res, err := client.Do(req)
		w.must(err)
		t.Cleanup(func() { res.Body.Close() })
		if res.ProtoMajor != 2 || res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%s %d %v", res.Proto, res.StatusCode, res.Header)
		}
		return bufio.NewReader(res.Body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	until(t, open(ctx), "retry: 2000")
	cancel() // one that goes away leaves
	for w.portal.waiters.count() > 0 {
		time.Sleep(time.Millisecond)
	}
	lines := open(t.Context())
	until(t, lines, "retry: 2000")
	w.phone.say(ada.ID, "approved")
	until(t, lines, "event: ready")
}
