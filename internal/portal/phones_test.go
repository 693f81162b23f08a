package portal

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"rsc.io/qr"

	known "github.com/signetid/signet/internal/browser"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	notify "github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// kept is what the cookie of an enrolment holds.
func (b *browser) kept() (out enrolment) {
	b.w.t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(b.cookie(enrolCookie))
	b.w.must(err)
	if len(raw) > 0 {
		b.w.must(json.Unmarshal(raw, &out))
	}
	return out
}

// TestAddPhone is the whole of it, with a phone that speaks the protocol: from
// the account page to a phone that can be tried, renamed and removed.
func TestAddPhone(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := phoneHouseOn(t, db)
		ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
		b := w.newBrowser()
		if !b.firstDay(ada, "Blue key").hasAction("register-phone") {
			t.Error("the account page offers no phone")
		}
		w.addOne(t, b, ada)
	})
}

func (w *world) addOne(t *testing.T, b *browser, ada idp.User) {
	p := w.appPhone("Ada's Pixel")
	page, link := b.code()
	typed := strings.Join(groups(b.kept().Typed), " ")
	page.want(t, 200, typed, "localhost:8080/phone/add", "Good until", `http-equiv="refresh"`)
	if at := page.Request.URL.String(); strings.Contains(at, link[len(link)-22:]) || len(typed) != 9 {
		t.Errorf("the code is in the address %s, or is no code: %q", at, typed)
	}
	if drawn := page.path(t); drawn != must(qrOf(link)).Path {
		t.Error("the QR code is not that of the link")
	}
	// Loaded anew it shows the same, and a yes before a phone is there is none.
	b.get(page.Request.URL.RequestURI()).want(t, 200, typed)
	b.follow(b.says(page, "confirm")).want(t, 200, typed)

	news := make(chan reply, 1)
	go func() { news <- b.get(page.attrOf("data-wait")) }()
	words := b.comes(p, page, typed)
	var told struct{ State string }
	w.must(json.Unmarshal([]byte((<-news).want(t, 200).body), &told))
	if told.State != "words" {
		t.Errorf("the page is told %q", told.State)
	}
	words.want(t, 200, "Ada's Pixel", "Android 16", "ada@nordhafen.example", "They match", "They do not")
	if !words.hasAction("confirm") || !words.hasAction("cancel") {
		t.Error("there are not two answers")
	}
	if self, err := p.Self(); err != nil || self.State != "waiting" || len(w.phonesOf(ada)) != 0 {
		t.Errorf("before the answer the phone is %q, %v", self.State, err)
	}
	done := b.follow(b.says(words, "confirm")).want(t, 200, "Ada's Pixel can approve sign-ins now", "Send a test message")
	if self, err := p.Self(); err != nil || self.State != "active" || b.cookie(enrolCookie) != "" {
		t.Errorf("after it the phone is %q, %v, and the cookie %q", self.State, err, b.cookie(enrolCookie))
	}
	v := url.Values{"session": {done.field("session")}, "credential": {done.field("credential")}, "from": {"added"}}
	b.follow(b.post("/account/phone/test", v)).want(t, 200, "A message is on its way to Ada's Pixel.", "can approve sign-ins now")
	if len(w.post.sent) != 1 || w.post.to[0].Endpoint != p.Push.Endpoint {
		t.Errorf("sent were %+v to %+v", w.post.sent, w.post.to)
	}
	account := b.get("/account").want(t, 200, "Ada's Pixel", "Phone approval", "Android 16 · Signet 1.0", "Passkey on Ada's Pixel", "A message tells it when a sign-in waits",
		"Phone added: Ada's Pixel", "Lose Ada's Pixel: Blue key still works.")
	if !account.hasAction("test") || !account.hasAction("lost") {
		t.Error("the phone cannot be tried, or lost")
	}
	v = url.Values{"session": {account.field("session")}, "method": {"phone"}, "credential": {done.field("credential")}, "name": {"Pixel"}}
	b.follow(b.post("/account/rename", v)).want(t, 200, "It is called Pixel now")
	b.get("/account/remove?"+v.Encode()).want(t, 200, "You can still sign in with ", "Blue key", "It approves nothing any more")
	b.follow(b.post("/account/remove", v)).want(t, 200, "Removed.")
	if len(w.phonesOf(ada)) != 0 {
		t.Error("it is still there")
	}
}

// path is what the QR code on a page draws.
func (r reply) path(t *testing.T) (longest string) {
	t.Helper()
	walk(r.doc, func(n *html.Node) {
		if d, _ := attr(n, "d"); n.Data == "path" && len(d) > len(longest) {
			longest = d
		}
	})
	return longest
}

func must(q qrPicture, err error) qrPicture {
	if err != nil {
		panic(err)
	}
	return q
}

// TestPhoneTests: what became of a test message is said in words, and somebody
// who sends many waits.
func TestPhoneTests(t *testing.T) {
	w, b, _ := phoneWorld(t)
	_, done := b.addPhone("Pixel")
	v := url.Values{"session": {done.field("session")}, "credential": {done.field("credential")}}
	for _, c := range []struct {
		result notify.Outcome
		says   string
	}{
		{notify.Delivered, "A message is on its way to Pixel."}, {notify.Later, "The message is still on its way."},
		{notify.Faulty, "This server cannot send to the app on Pixel."}, {notify.Gone, "Pixel takes no messages any more."},
		{notify.Delivered, "Pixel takes no messages."}, // it is gone for good
	} {
		w.post.result = c.result
		b.follow(b.post("/account/phone/test", v)).want(t, 200, c.says, "How you sign in")
	}
	if b.get("/account").want(t, 200, "No messages: open its app when you sign in").hasAction("test") {
		t.Error("a message can be sent to what takes none")
	}
	b.follow(b.post("/account/phone/test", v)).want(t, 200, "You sent five tests in five minutes")
	if len(w.post.sent) != testsAtMost-1 {
		t.Errorf("%d messages were sent", len(w.post.sent))
	}
	w.later(testsWithin)
	b.follow(b.post("/account/phone/test", v)).want(t, 200, "Pixel takes no messages.", "How you sign in")
	b.post("/account/phone/test", url.Values{"session": v["session"], "credential": {"another"}}).want(t, 404)
}

// TestPhoneCodeOver: a late code says so and offers a new one; another window's
// newer code ends the one before on this page.
func TestPhoneCodeOver(t *testing.T) {
	w, b, _ := phoneWorld(t)
	old, _ := b.code()
	next, _ := b.code()
	if old.Request.URL.String() == next.Request.URL.String() {
		t.Fatal("a new code is the old one")
	}
	typed := strings.Join(groups(b.kept().Typed), " ")
	b.get(old.Request.URL.RequestURI()).want(t, 200, "This code is over", "another window has a newer one")
	b.get(next.Request.URL.RequestURI()).want(t, 200, typed)
	w.later(10 * time.Minute)
	over := b.get(next.Request.URL.RequestURI()).want(t, 200, "This code is over", "Nothing was added")
	if !over.hasAction("new-code") || strings.Contains(over.body, typed) {
		t.Error("a late code is still shown, or there is no way to a new one")
	}
	b.get(next.attrOf("data-wait")).want(t, 410)
	// The new code wants a fresh proof by now.
	b.post("/account/phone/add", url.Values{"session": {over.field("session")}}).want(t, 200, "Show that it is still you")
}

// TestPhoneLimit: at fifteen and at twenty the words are those for passkeys.
func TestPhoneLimit(t *testing.T) {
	w, b, _ := phoneWorld(t)
	hold := Holding{Held: 15, Limit: 20, WarnAt: 15}
	w.portal.cfg.Phones.Holding = func(context.Context, idp.TenantID, idp.UserID) (Holding, error) { return hold, nil }
	b.get("/account").want(t, 200, "You hold 15 of 20 phones. Remove some that you no longer use.")
	b.get("/account/phone/add").want(t, 200, "You hold 15 of 20 phones.", "Show the code")
	hold.Held = 20
	page := b.get("/account").want(t, 200, "You hold 20 phones, the most Nordhafen Werft allows.")
	full := b.get("/account/phone/add").want(t, 200, "You hold 20 phones, the most Nordhafen Werft allows.")
	if page.hasAction("register-phone") || full.hasAction("register-phone") {
		t.Error("another is offered")
	}
	if !page.hasAction("register-passkey") {
		t.Error("no passkey is offered because there are many phones")
	}
	// And the room itself counts.
	w.policy(func(p *policy.Policy) { p.Phone.Limit, p.Phone.WarnAt = 1, 1 })
	w.portal.cfg.Phones = w.phonePages()
	b.addPhone("Pixel")
	b.get("/account/phone/add").want(t, 200, "You hold 1 phones, the most")
	b.post("/account/phone/add", url.Values{"session": {b.get("/account").field("session")}}).want(t, 403)
}

// TestPhonesOff: where policy allows none, no page offers one.
func TestPhonesOff(t *testing.T) {
	w, b, _ := phoneWorld(t)
	w.policy(func(p *policy.Policy) { delete(p.Methods, policy.Phone) })
	account := b.get("/account").want(t, 200)
	if account.hasAction("register-phone") {
		t.Error("a phone is offered where they are off")
	}
	if b.get("/account/phone/add").want(t, 200, "A rule of Nordhafen Werft does not let you add a phone.").hasAction("register-phone") {
		t.Error("and on its page, too")
	}
	if r := b.post("/account/phone/add", url.Values{"session": {account.field("session")}}); r.StatusCode < 400 {
		t.Errorf("it begins: %d", r.StatusCode)
	}
}

// TestPhoneByPass: who came by a pass may add a phone in place of a passkey, and
// goes on with their sign-in.
func TestPhoneByPass(t *testing.T) {
	w := phoneHouse(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	enter := func() (*browser, reply) {
		b := w.newBrowser()
		return b, b.follow(b.usePass(b.get("/"+string(w.tenant.ID)+"/signin?to=account"), ada.Name, w.newPass(ada))).want(t, 200, "Add a passkey")
	}
	b, page := enter()
	begin := b.get(page.linkOf("register-phone")).want(t, 200, "Add a phone", "Add a passkey instead")
	b.get(begin.linkOf("cancel")).want(t, 200, "Add a passkey", "Where should it live?")
	code, link := b.codeOf(begin)
	p := w.appPhone("Pixel")
	words := b.comes(p, code, link)
	try := b.follow(b.says(words, "confirm")).want(t, 200, "Try it once now", "Pixel is added")
	if len(w.phonesOf(ada)) != 1 || try.hasAction("signin-passkey") || !try.hasAction("signin-phone") {
		t.Error("it was not added, or is not what is tried")
	}
	// Trying it is the sign-in.
	at := "/" + string(w.tenant.ID) + "/signin"
	number := b.follow(b.post(at+"/ask", url.Values{"handle": {try.field("handle")}, "method": {"phone"}, "username": {try.field("username")}})).want(t, 200)
	waiting, err := p.Requests()
	if err != nil || len(waiting) != 1 {
		t.Fatalf("%d requests wait, %v", len(waiting), err)
	}
	if result, err := p.Approve(waiting[0], number.attrOf("data-number")); err != nil || result != "approved" {
		t.Fatalf("the phone is told %q, %v", result, err)
	}
	b.follow(b.post(at+"/answer", url.Values{"handle": {number.field("handle")}, "method": {"phone"}})).want(t, 200, "How you sign in", "Pixel", "Approved a sign-in on Pixel")
	// Where phones are off the page says nothing of them.
	w.policy(func(p *policy.Policy) { delete(p.Methods, policy.Phone) })
	w.later(time.Minute)
	if _, page = enter(); page.hasAction("register-phone") {
		t.Error("a phone is offered where they are off")
	}
}

// TestPhoneCampaign: a campaign for phones asks for one, and leads back to the
// app when it was added; one that is required has no "not now".
func TestPhoneCampaign(t *testing.T) {
	w, _, ada := phoneWorld(t)
	w.campaign(2, 3)
	w.policy(func(p *policy.Policy) { p.Campaign.Method = policy.Phone })
	w.later(time.Minute)
	b, page := w.openApp(ada)
	page.want(t, 200, "Add your phone now?", "asks you to add your phone", "You can put it off 2 times.")
	if !page.hasAction("register-phone") || page.hasAction("register-passkey") {
		t.Error("it asks for another thing than a phone")
	}
	begin := b.follow(b.get(page.linkOf("register-phone"))).want(t, 200, "Add a phone", "Have your phone at hand")
	b.get(begin.linkOf("cancel")).want(t, 200, "Add your phone now?")
	code, link := b.codeOf(begin)
	words := b.comes(w.appPhone("Pixel"), code, link)
	r := b.says(words, "confirm").want(t, 303)
	b.get(r.Header.Get("Location")).want(t, 204)
	w.wantHanded(1)

	bob := w.newUser("bob@nordhafen.example", "Bob")
	w.policy(func(p *policy.Policy) {
		p.Campaign.On = false
		r := policy.Everybody()
		r.Include[0].Required = true
		p.Methods[policy.Phone] = r
	})
	b, page = w.openApp(bob)
	page.want(t, 200, "Add a phone", "Nordhafen Werft needs your phone before you go on.")
	code, link = b.codeOf(page)
	if page.hasAction("cancel") || code.hasAction("cancel") {
		t.Error("what is required can be put off")
	}
	words = b.comes(w.appPhone("Bob's phone"), code, link)
	b.follow(b.says(words, "confirm")).want(t, 200, "Try it once now", "you go on to Wiki")
}

// TestPhoneLost: the question says what is left; then the phone is out, and the
// page says what else to do.
func TestPhoneLost(t *testing.T) {
	w, b, ada := phoneWorld(t)
	p, done := b.addPhone("Pixel")
	v := url.Values{"session": {done.field("session")}, "credential": {done.field("credential")}}
	b.get("/account/phone/lost?"+v.Encode()).want(t, 200, "Lost Pixel?", "You can still sign in with Blue key", "Take it out now", "Not lost")
	other := w.newBrowser()
	other.keys = b.keys
	other.follow(other.usePasskey(other.get("/"+string(w.tenant.ID)+"/signin?to=account"), ada.Name)).want(t, 200, "How you sign in")
	after := b.follow(b.post("/account/phone/lost", v)).want(t, 200, "The phone is out", "It still holds a passkey", "1 other session is open.", "Lock or erase the phone")
	if !after.hasAction("remove") || !after.hasAction("sign-out-everywhere") {
		t.Error("what else to do cannot be done from here")
	}
	if at := after.linkOf("remove"); !strings.Contains(at, "credential="+p.Passkey) {
		t.Errorf("the passkey to remove is that of %s, not %s", at, p.Passkey)
	}
	b.get(after.linkOf("remove")).want(t, 200, "Remove", "You can still sign in with Blue key.")
	if _, err := p.Self(); err == nil || len(w.phonesOf(ada)) != 0 {
		t.Error("it is still there")
	}
	b.post("/account/phone/lost", v).want(t, 404)
	b.get("/account/phone/lost?"+v.Encode()).want(t, 404)
}

// TestPhonePasskeyRemoved: removing the passkey that a phone approves with says
// what it does to the phone, and the phone then says what to do.
func TestPhonePasskeyRemoved(t *testing.T) {
	w, b, _ := phoneWorld(t)
	p, done := b.addPhone("Pixel")
	v := url.Values{"session": {done.field("session")}, "method": {"passkey"}, "credential": {p.Passkey}}
	b.get("/account/remove?"+v.Encode()).want(t, 200, "You can still sign in with Blue key.", "Pixel approves nothing without it.")
	page := b.follow(b.post("/account/remove", v)).want(t, 200, "Its passkey is gone, so it approves nothing.", "One way to prove it is you.", "Lose Blue key: the help desk")
	if strings.Contains(page.text(), "Switched off") || page.hasAction("test") {
		t.Error("it says two things, or can be tried")
	}
	_ = w
}

// TestPhoneBlocked: what a report has closed is told, the widest of it; and a
// real report is.
func TestPhoneBlocked(t *testing.T) {
	w, b, ada := phoneWorld(t)
	if strings.Contains(b.get("/account").want(t, 200).body, `id="blocked"`) {
		t.Error("something is closed")
	}
	p, _ := b.addPhone("Pixel")
	w.asked(ada)
	waiting, err := p.Requests()
	if err != nil || len(waiting) != 1 {
		t.Fatalf("%d requests wait, %v", len(waiting), err)
	}
	if _, err := p.Deny(waiting[0].ID, true); err != nil {
		t.Fatal(err)
	}
	b.get("/account").want(t, 200, "You reported a sign-in", "Nobody can ask your phones until 24 November 2026", "Reported a sign-in on Pixel", "asked from 127.0.0.1")
	day := noon.Add(24 * time.Hour)
	from := PhoneBlock{Address: "203.0.113.9", Since: noon, Expires: day}
	for _, c := range []struct {
		blocks []PhoneBlock
		want   string
	}{
		{[]PhoneBlock{from}, "Nobody can ask your phones from 203.0.113.9 until 24 November 2026"},
		{[]PhoneBlock{{Address: "203.0.113.9", Since: noon}}, "from 203.0.113.9 until an administrator has looked"},
		{[]PhoneBlock{from, {Since: noon, Expires: day}}, "Nobody can ask your phones until 24 November 2026"},
		{[]PhoneBlock{{Since: noon}, from, {Since: noon, Expires: day}}, "Nobody can ask your phones until an administrator has looked"},
	} {
		w.portal.cfg.Phones.Blocks = func(context.Context, idp.TenantID, idp.UserID) ([]PhoneBlock, error) { return c.blocks, nil }
		b.get("/account").want(t, 200, "You reported a sign-in", c.want)
	}
}

// asked has a stranger's browser ask for somebody's phones.
func (w *world) asked(u idp.User) {
	w.t.Helper()
	b := w.newBrowser()
	at := "/" + string(w.tenant.ID) + "/signin"
	page := b.get(at).want(w.t, 200)
	b.follow(b.post(at+"/ask", url.Values{"handle": {page.field("handle")}, "method": {"phone"}, "username": {u.Name}})).want(w.t, 200)
}

// TestPhoneActivity: what was answered on a phone is told in words.
func TestPhoneActivity(t *testing.T) {
	w, b, ada := phoneWorld(t)
	p, _ := b.addPhone("Pixel")
	answer := func(fn func(id int) error) {
		w.asked(ada)
		w.must(fn(0))
		w.later(6 * time.Minute)
	}
	answer(func(int) error {
		waiting, err := p.Requests()
		w.must(err)
		_, err = p.Approve(waiting[0], "00")
		return err
	})
	answer(func(int) error {
		waiting, err := p.Requests()
		w.must(err)
		_, err = p.Deny(waiting[0].ID, false)
		return err
	})
	page := b.get("/account").want(t, 200, "Said no to a sign-in on Pixel", "asked from 127.0.0.1")
	if !strings.Contains(page.text(), "A wrong number was typed on Pixel.") && !strings.Contains(page.text(), "Approved a sign-in on Pixel") { // one in a hundred
		t.Errorf("a wrong number is not told: %s", page.text())
	}
}

// TestKnownBrowsers: they are listed, and one can be forgotten by its owner.
func TestKnownBrowsers(t *testing.T) {
	w, b, ada := phoneWorld(t)
	registry := w.portal.cfg.Browsers
	bob := w.newUser("bob@nordhafen.example", "Bob")
	b.get("/account").want(t, 200, "Browsers that know you")
	w.must(registry.Remember(t.Context(), w.tenant.ID, ada.ID, signin.BrowserDigest(b.cookie("signet-browser")), []byte("key"), firefox))
	w.must(registry.Remember(t.Context(), w.tenant.ID, ada.ID, []byte("other"), []byte("key"), mac))
	w.must(registry.Remember(t.Context(), w.tenant.ID, bob.ID, []byte("bobs"), []byte("key"), mac))
	page := b.get("/account").want(t, 200, "Firefox on Linux", "Safari on macOS", "known since")
	of := func(u idp.User) map[bool]known.Browser {
		out := map[bool]known.Browser{}
		all, err := registry.List(t.Context(), w.tenant.ID, u.ID, signin.BrowserDigest(b.cookie("signet-browser")))
		w.must(err)
		for _, one := range all {
			out[one.Here] = one
		}
		return out
	}
	v := func(id string) url.Values {
		return url.Values{"session": {page.field("session")}, "browser": {id}}
	}
	b.post("/account/browser/forget", v(of(bob)[false].ID)).want(t, 404)
	there := of(ada)[false].ID
	b.follow(b.post("/account/browser/forget", v(there))).want(t, 200, "Forgotten.", "A browser was forgotten")
	if left := of(ada); len(left) != 1 || left[true].ID == "" || len(of(bob)) != 1 {
		t.Errorf("known are %+v and %+v", left, of(bob))
	}
	b.post("/account/browser/forget", v(there)).want(t, 404)
}

// TestPhoneLosses: a phone and the passkey that only it keeps are lost as one; a
// passkey that a provider has copies of stays, and a phone is worth nothing
// without it.
func TestPhoneLosses(t *testing.T) {
	pg := examples(bare(t), same)["account"]
	key := func(name string, synced bool) method.Credential {
		return method.Credential{ID: idp.CredentialID(name), Method: passkey, Name: name, Facts: idp.Facts{Synced: synced}}
	}
	phone := func(name string) method.Credential {
		return method.Credential{ID: idp.CredentialID(name), Method: policy.Phone, Name: name, Facts: idp.Facts{Synced: true}}
	}
	on := func(p, k string) Phone {
		return Phone{ID: idp.CredentialID(p), Passkey: idp.CredentialID(k)}
	}
	gone := phone("P")
	gone.Disabled = true
	for _, c := range []struct {
		name   string
		creds  []method.Credential
		phones []Phone
		want   []string
		bad    int
	}{
		{"a phone alone", []method.Credential{phone("P")}, []Phone{on("P", "K")}, []string{"Lose P: the help desk must let you back in."}, 1},
		{"with its own passkey", []method.Credential{phone("P"), key("K", false)}, []Phone{on("P", "K")}, []string{"Lose P: the help desk must let you back in."}, 1},
		{"with a synced passkey", []method.Credential{phone("P"), key("K", true)}, []Phone{on("P", "K")},
			[]string{"Lose P: K still works.", "Lose the device with K: your passkey provider keeps a copy.", "Lose both: the help desk must let you back in."}, 1},
		{"and a key", []method.Credential{key("A", false), phone("P"), key("K", false)}, []Phone{on("P", "K")},
			[]string{"Lose A: P and K still work.", "Lose P: A still works.", "Lose both: the help desk must let you back in."}, 1},
		{"two phones on one synced passkey", []method.Credential{phone("P"), phone("Q"), key("K", true)}, []Phone{on("P", "K"), on("Q", "K")},
			[]string{"Lose P: Q and K still work.", "Lose Q: P and K still work.", "Lose the device with K: your passkey provider keeps a copy.", "Lose all 3: the help desk must let you back in."}, 1},
		{"a phone whose passkey is gone", []method.Credential{key("A", false), gone}, []Phone{on("P", "K")}, []string{"Lose A: the help desk must let you back in."}, 1},
		{"a passkey that was kept by a phone which is gone", []method.Credential{key("K", false)}, []Phone{on("P", "K")}, []string{"Lose K: the help desk must let you back in."}, 1},
	} {
		got, bad := []string{}, 0
		for _, l := range losses(pg, usable(c.creds), c.phones) {
			got = append(got, page.Plain(l.Text))
			bad += boolInt(l.Bad)
		}
		if strings.Join(got, "|") != strings.Join(c.want, "|") || bad != c.bad {
			t.Errorf("%s: got %q with %d bad, want %q with %d", c.name, got, bad, c.want, c.bad)
		}
	}
	// Removing the passkey takes the phone's worth with it, and says so.
	works := []method.Credential{phone("P"), key("K", false)}
	if a := askOf(pg, works[1], works, []Phone{on("P", "K")}, "s"); !a.Last || !strings.Contains(page.Plain(a.Also), "P approves nothing without it.") {
		t.Errorf("without its passkey the phone is said to be worth something: %+v", a)
	}
	if a := askOf(pg, works[0], works, []Phone{on("P", "K")}, "s"); a.Last || !strings.Contains(page.Plain(a.Left), "K") {
		t.Errorf("without the phone the passkey is said to be worth nothing: %+v", a)
	}
}

// TestQR: the drawing has all dark modules of the code and none else, and a
// quiet zone around them.
func TestQR(t *testing.T) {
	const link = "https://id.example/phone/add#q3VFQd8sKz2nP0rT7uWx1y"
	got := must(qrOf(link))
	want, err := qr.Encode(link, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	if got.Size != want.Size+2*quiet {
		t.Errorf("%d modules wide, want %d", got.Size, want.Size+2*quiet)
	}
	drawn := drawing(t, got.Path)
	for y := -quiet; y < want.Size+quiet; y++ {
		for x := -quiet; x < want.Size+quiet; x++ {
			if drawn[[2]int{x + quiet, y + quiet}] != want.Black(x, y) {
				t.Fatalf("module %d, %d is wrong", x, y)
			}
		}
	}
	if _, err := qrOf(strings.Repeat("x", 4000)); err == nil {
		t.Error("4,000 bytes fit into a QR code")
	}
}

// TestPhonePagesWithout: where there is no phone room there is no page of it.
func TestPhonePagesWithout(t *testing.T) {
	for _, rt := range bare(t).routes() {
		if strings.Contains(rt.pattern, "/phone/") || strings.Contains(rt.pattern, "/browser/") {
			t.Errorf("there is %s", rt.pattern)
		}
	}
}

// TestPhoneRedraw: two groups, however the code is written.
func TestPhoneRedraw(t *testing.T) {
	for in, want := range map[string]string{"K7QF-2M9X": "[K7QF 2M9X]", "K7QF2M9X": "[K7QF 2M9X]", "k7": "[k7]", "": "[]"} {
		if got := fmt.Sprint(groups(in)); got != want {
			t.Errorf("%q in groups is %s", in, got)
		}
	}
}

// TestPhoneWaits: a page that waits is told when the server stops, so that it
// asks another; and one enrolment keeps no more connections than a few.
func TestPhoneWaits(t *testing.T) {
	w, b, _ := phoneWorld(t)
	page, _ := b.code()
	at, id := page.attrOf("data-wait"), idp.FlowID(b.kept().ID)
	told := make(chan reply, tabs)
	for range tabs {
		go func() { told <- b.get(at) }()
	}
	seated := func() int {
		w.portal.waiters.mu.Lock()
		defer w.portal.waiters.mu.Unlock()
		return len(w.portal.waiters.open[id])
	}
	for seated() < tabs {
		time.Sleep(time.Millisecond)
	}
	b.get(at).want(t, 429)
	close(w.stop)
	for range tabs {
		if r := (<-told).want(t, 200); strings.TrimSpace(r.body) != `{"state":"code"}` {
			t.Errorf("who waited is told %s", r.body)
		}
	}
	for seated() > 0 {
		time.Sleep(time.Millisecond)
	}
}
