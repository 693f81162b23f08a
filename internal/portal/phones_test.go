package portal

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"rsc.io/qr"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// phoneWorld is one in which phones are on, with Ada at her account page.
func phoneWorld(t *testing.T) (*world, *browser, idp.User) {
	w := newWorld(t)
	w.phonesOn()
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key")
	return w, b, ada
}

// code is the page with the code of a new enrolment.
func (b *browser) code() reply {
	b.w.t.Helper()
	begin := b.get("/account/phone/add").want(b.w.t, 200, "Add a phone", "Have your phone at hand")
	return b.follow(b.post("/account/phone/add", url.Values{"session": {begin.field("session")}})).want(b.w.t, 200, "Scan this with your phone")
}

// says is the answer to the words on a page.
func (b *browser) says(page reply, decision string) reply {
	b.w.t.Helper()
	return b.post("/account/phone/answer", url.Values{"session": {page.field("session")}, "enrolment": {page.field("enrolment")},
		"flow": {page.field("flow")}, "decision": {decision}})
}

// addPhone adds one, to the page that says so.
func (b *browser) addPhone(name string) reply {
	b.w.t.Helper()
	page := b.code()
	b.w.phone.comes(name, "amber", "falcon")
	words := b.get(page.Request.URL.RequestURI()).want(b.w.t, 200, "Do both screens say amber falcon?", name)
	return b.follow(b.says(words, "confirm")).want(b.w.t, 200, name+" can approve sign-ins now")
}

func TestAddPhone(t *testing.T) {
	w, b, ada := phoneWorld(t)
	if !b.get("/account").want(t, 200).hasAction("register-phone") {
		t.Error("the account page offers no phone")
	}
	page := b.code()
	page.want(t, 200, "K7QF 2M9X", "localhost:8080/phone/add", "Good until", `http-equiv="refresh"`)
	if at := page.Request.URL.String(); strings.Contains(at, "K7QF") || strings.Contains(at, "0000000001") {
		t.Errorf("the code is in the address: %s", at)
	}
	drawn := false
	walk(page.doc, func(n *html.Node) {
		if d, _ := attr(n, "d"); n.Data == "path" && len(d) > 1000 {
			drawn = true
		}
	})
	if !drawn {
		t.Error("no QR code is drawn")
	}
	// Loaded anew it shows the same, also while nothing has come.
	b.get(page.Request.URL.RequestURI()).want(t, 200, "K7QF 2M9X")
	// Saying yes before a phone is there does nothing.
	b.follow(b.says(reply{page.Response, page.body, page.doc}.with(t, "enrolment", page), "confirm")).want(t, 200, "K7QF 2M9X")

	news := make(chan reply, 1)
	go func() { news <- b.get(page.attrOf("data-wait")) }()
	w.phone.comes("Ada's Pixel", "amber", "falcon")
	var told struct{ State string }
	r := (<-news).want(t, 200)
	w.must(json.Unmarshal([]byte(r.body), &told))
	if told.State != "words" {
		t.Errorf("the page is told %q", told.State)
	}
	words := b.get(page.Request.URL.RequestURI()).want(t, 200, "Do both screens say amber falcon?", "Ada's Pixel", "Android 16", "ada@nordhafen.example", "They match", "They do not")
	if !words.hasAction("confirm") || !words.hasAction("cancel") {
		t.Error("there are not two answers")
	}
	done := b.follow(b.says(words, "confirm")).want(t, 200, "Ada's Pixel can approve sign-ins now", "Send a test message")
	if b.cookie(enrolCookie) != "" {
		t.Error("the code is still kept")
	}
	v := url.Values{"session": {done.field("session")}, "credential": {done.field("credential")}, "from": {"added"}}
	b.follow(b.post("/account/phone/test", v)).want(t, 200, "A message is on its way to Ada's Pixel.", "can approve sign-ins now")
	account := b.get("/account").want(t, 200, "Ada's Pixel", "Phone approval", "Android 16 · Signet 1.0", "A message tells it when a sign-in waits", "2 ways to prove it is you")
	if !account.hasAction("test") || !account.hasAction("lost") {
		t.Error("the phone cannot be tried, or lost")
	}
	v = url.Values{"session": {account.field("session")}, "method": {"phone"}, "credential": {done.field("credential")}, "name": {"Pixel"}}
	b.follow(b.post("/account/rename", v)).want(t, 200, "It is called Pixel now")
	b.get("/account/remove?"+v.Encode()).want(t, 200, "You can still sign in with Blue key.", "It approves nothing any more")
	b.follow(b.post("/account/remove", v)).want(t, 200, "Removed.")
	if len(w.phone.of(ada.ID)) != 0 {
		t.Error("it is still there")
	}
}

// with is a reply whose form has the enrolment of the address: the page with
// the code has none.
func (r reply) with(t *testing.T, name string, from reply) reply {
	t.Helper()
	id := from.Request.URL.Query().Get(name)
	if id == "" {
		t.Fatalf("no %s in %s", name, from.Request.URL)
	}
	session := from.field("session")
	r.doc = parse(t, `<input name="`+name+`" value="`+id+`"><input name="session" value="`+session+`">`)
	return r
}

// TestPhoneTests: what became of a test message is said in words, and somebody
// who sends many waits.
func TestPhoneTests(t *testing.T) {
	w, b, _ := phoneWorld(t)
	done := b.addPhone("Pixel")
	v := url.Values{"session": {done.field("session")}, "credential": {done.field("credential")}}
	for _, c := range [][2]string{
		{"sent", "A message is on its way to Pixel."}, {"gone", "Pixel takes no messages any more."}, {"none", "Pixel takes no messages."},
		{"later", "The message is still on its way."}, {"config", "This server cannot send to the app on Pixel."},
	} {
		w.phone.result = c[0]
		b.follow(b.post("/account/phone/test", v)).want(t, 200, c[1], "How you sign in")
	}
	b.follow(b.post("/account/phone/test", v)).want(t, 200, "You sent five tests in five minutes")
	if len(w.phone.tests) != testsAtMost {
		t.Errorf("%d messages were sent", len(w.phone.tests))
	}
	w.later(testsWithin)
	b.follow(b.post("/account/phone/test", v)).want(t, 200, "This server cannot send", "How you sign in")
	b.post("/account/phone/test", url.Values{"session": v["session"], "credential": {"another"}}).want(t, 404)
}

// TestPhoneWordsDiffer: who says that the words differ is told what it may
// mean, and the phone that came is not added, whatever is sent then.
func TestPhoneWordsDiffer(t *testing.T) {
	w, b, ada := phoneWorld(t)
	page := b.code()
	w.phone.comes("Mallory's phone", "green", "otter")
	words := b.get(page.Request.URL.RequestURI()).want(t, 200, "green otter")
	b.says(words, "perhaps").want(t, 400)
	b.follow(b.says(words, "cancel")).want(t, 200, "That phone was turned away", "Nothing was added", "somebody has seen your code", "New code")
	b.follow(b.says(words, "confirm")).want(t, 200, "This code is over")
	b.get(page.Request.URL.RequestURI()).want(t, 200, "This code is over")
	if len(w.phone.of(ada.ID)) != 0 || len(w.phone.open) != 0 {
		t.Error("the phone was added, or may still be")
	}
	b.get("/account").want(t, 200, "A phone was not added")
}

// TestPhoneCodeOver: a late code says so and offers a new one; another window's
// newer code ends the one before on this page.
func TestPhoneCodeOver(t *testing.T) {
	w, b, _ := phoneWorld(t)
	old := b.code()
	next := b.code()
	if old.Request.URL.String() == next.Request.URL.String() {
		t.Fatal("a new code is the old one")
	}
	b.get(old.Request.URL.RequestURI()).want(t, 200, "This code is over", "another window has a newer one")
	b.get(next.Request.URL.RequestURI()).want(t, 200, "K7QF 2M9X")
	w.later(10 * time.Minute)
	over := b.get(next.Request.URL.RequestURI()).want(t, 200, "This code is over", "Nothing was added")
	if !over.hasAction("new-code") || strings.Contains(over.body, "K7QF") {
		t.Error("a late code is still shown, or there is no way to a new one")
	}
	b.get(next.attrOf("data-wait")).want(t, 410)
	// The new code wants a fresh proof by now.
	b.post("/account/phone/add", url.Values{"session": {over.field("session")}}).want(t, 200, "Show that it is still you")
}

// TestPhoneLimit: at fifteen and at twenty the words are those for passkeys.
func TestPhoneLimit(t *testing.T) {
	w, b, ada := phoneWorld(t)
	for n := range 15 {
		w.phone.held = append(w.phone.held, method.Credential{ID: idp.CredentialID(rune('a' + n)), User: ada.ID, Tenant: w.tenant.ID, Method: policy.Phone, Name: "P", Created: noon})
	}
	b.get("/account").want(t, 200, "You hold 15 of 20 phones. Remove some that you no longer use.")
	b.get("/account/phone/add").want(t, 200, "You hold 15 of 20 phones.", "Show the code")
	w.phone.limit = 15
	page := b.get("/account").want(t, 200, "You hold 15 phones, the most Nordhafen Werft allows.")
	full := b.get("/account/phone/add").want(t, 200, "You hold 15 phones, the most Nordhafen Werft allows.")
	if page.hasAction("register-phone") || full.hasAction("register-phone") {
		t.Error("another is offered")
	}
	if !page.hasAction("register-passkey") {
		t.Error("no passkey is offered because there are many phones")
	}
}

// TestPhonesOff: where policy allows none, no page offers one.
func TestPhonesOff(t *testing.T) {
	w, b, _ := phoneWorld(t)
	w.policy(func(p *policy.Policy) { delete(p.Methods, policy.Phone) })
	if b.get("/account").want(t, 200).hasAction("register-phone") {
		t.Error("a phone is offered where they are off")
	}
	page := b.get("/account/phone/add").want(t, 200, "A rule of Nordhafen Werft does not let you add a phone.")
	if page.hasAction("register-phone") {
		t.Error("and on its page, too")
	}
	session := b.get("/account").field("session")
	if r := b.post("/account/phone/add", url.Values{"session": {session}}); r.StatusCode < 400 || len(w.phone.open) != 0 {
		t.Errorf("it begins: %d", r.StatusCode)
	}
}

// TestPhoneByPass: who came by a pass may add a phone beside, or in place of, a
// passkey, and goes on with their sign-in.
func TestPhoneByPass(t *testing.T) {
	w := newWorld(t)
	w.phonesOn()
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	page := b.follow(b.usePass(b.get("/"+string(w.tenant.ID)+"/signin?to=account"), ada.Name, w.newPass(ada))).want(t, 200, "Add a passkey", "Or let your phone approve your sign-ins")
	at := ""
	walk(page.doc, func(n *html.Node) {
		if a, _ := attr(n, "data-action"); a == "register-phone" {
			at, _ = attr(n, "href")
		}
	})
	begin := b.get(at).want(t, 200, "Add a phone", "Add a passkey instead")
	code := b.follow(b.post("/account/phone/add", url.Values{"session": {begin.field("session")}, "flow": {begin.field("flow")}})).want(t, 200, "Scan this")
	w.phone.comes("Pixel", "amber", "falcon")
	words := b.get(code.Request.URL.RequestURI()).want(t, 200, "amber falcon")
	b.follow(b.says(words, "confirm")).want(t, 200, "Try it once now", "Pixel is added")
	if len(w.phone.of(ada.ID)) != 1 {
		t.Error("it was not added")
	}
	// Where phones are off the page says nothing of them.
	w.policy(func(p *policy.Policy) { delete(p.Methods, policy.Phone) })
	w.later(time.Minute)
	b = w.newBrowser()
	page = b.follow(b.usePass(b.get("/"+string(w.tenant.ID)+"/signin?to=account"), ada.Name, w.newPass(ada))).want(t, 200, "Add a passkey")
	if page.hasAction("register-phone") {
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
	at := ""
	walk(page.doc, func(n *html.Node) {
		if a, _ := attr(n, "data-action"); a == "register-phone" {
			at, _ = attr(n, "href")
		}
	})
	begin := b.follow(b.get(at)).want(t, 200, "Add a phone", "Have your phone at hand")
	code := b.follow(b.post("/account/phone/add", url.Values{"session": {begin.field("session")}, "flow": {begin.field("flow")}})).want(t, 200, "Scan this")
	w.phone.comes("Pixel", "amber", "falcon")
	words := b.get(code.Request.URL.RequestURI()).want(t, 200, "amber falcon")
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
	if page.hasAction("cancel") {
		t.Error("what is required can be put off")
	}
}

// TestPhoneLost: the question says what is left; then the phone is out, and the
// page says what else to do.
func TestPhoneLost(t *testing.T) {
	w, b, ada := phoneWorld(t)
	done := b.addPhone("Pixel")
	keys, err := w.keys.List(t.Context(), w.tenant.ID, ada.ID)
	w.must(err)
	w.phone.phones[0].Passkey = keys[0].ID
	v := url.Values{"session": {done.field("session")}, "credential": {done.field("credential")}}
	b.get("/account/phone/lost?"+v.Encode()).want(t, 200, "Lost Pixel?", "You can still sign in with Blue key.", "Take it out now", "Not lost")
	other := w.newBrowser()
	other.keys = b.keys
	other.follow(other.usePasskey(other.get("/"+string(w.tenant.ID)+"/signin?to=account"), ada.Name)).want(t, 200, "How you sign in")
	after := b.follow(b.post("/account/phone/lost", v)).want(t, 200, "The phone is out", "It still holds a passkey: Blue key.", "1 other session is open.", "Lock or erase the phone", "You have one way in left.")
	if !after.hasAction("remove") || !after.hasAction("sign-out-everywhere") {
		t.Error("what else to do cannot be done from here")
	}
	if len(w.phone.of(ada.ID)) != 0 {
		t.Error("it is still there")
	}
	b.post("/account/phone/lost", v).want(t, 404)
	b.get("/account/phone/lost?"+v.Encode()).want(t, 404)
}

// TestSec_WAN12_LastPhone: a phone that is the only way in stays, reported lost
// or not.
func TestSec_WAN12_LastPhone(t *testing.T) {
	w, b, ada := phoneWorld(t)
	done := b.addPhone("Pixel")
	keys, err := w.keys.List(t.Context(), w.tenant.ID, ada.ID)
	w.must(err)
	page := b.get("/account")
	b.follow(b.post("/account/remove", url.Values{"session": {page.field("session")}, "method": {"passkey"}, "credential": {string(keys[0].ID)}})).want(t, 200, "Removed.")
	v := url.Values{"session": {done.field("session")}, "credential": {done.field("credential")}}
	lost := b.get("/account/phone/lost?"+v.Encode()).want(t, 200, "It is your only way in", "Add a passkey")
	if lost.hasAction("confirm") {
		t.Error("it can be taken out")
	}
	b.post("/account/phone/lost", v).want(t, 403, "This is your only way in")
	if len(w.phone.of(ada.ID)) != 1 {
		t.Error("it is gone")
	}
	b.get("/account").want(t, 200, "Lose Pixel: the help desk must let you back in.")
}

// TestPhoneBlocked: what a report has closed is told, the widest of it.
func TestPhoneBlocked(t *testing.T) {
	w, b, _ := phoneWorld(t)
	if strings.Contains(b.get("/account").want(t, 200).body, `id="blocked"`) {
		t.Error("something is closed")
	}
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
		w.phone.blocks = c.blocks
		b.get("/account").want(t, 200, "You reported a sign-in", c.want)
	}
}

// TestKnownBrowsers: they are listed, and one can be forgotten.
func TestKnownBrowsers(t *testing.T) {
	w, b, _ := phoneWorld(t)
	b.get("/account").want(t, 200, "Browsers that know you", "No browser knows you yet")
	w.phone.known = []KnownBrowser{{ID: "b1", Agent: firefox, Since: noon, Used: noon, Here: true}, {ID: "b2", Agent: mac, Since: noon}}
	page := b.get("/account").want(t, 200, "Firefox on Linux", "Safari on macOS", "known since")
	v := url.Values{"session": {page.field("session")}, "browser": {"b2"}}
	b.follow(b.post("/account/browser/forget", v)).want(t, 200, "Forgotten.", "A browser was forgotten")
	if len(w.phone.known) != 1 || w.phone.known[0].ID != "b1" {
		t.Errorf("known are %+v", w.phone.known)
	}
	b.post("/account/browser/forget", v).want(t, 404)
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
		{"a phone whose passkey is gone", []method.Credential{key("A", false), func() method.Credential { c := phone("P"); c.Disabled = true; return c }()}, []Phone{on("P", "K")},
			[]string{"Lose A: the help desk must let you back in."}, 1},
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

// TestPhoneStates: a phone whose passkey is gone says so and what to do, one
// that gets no messages what to do then.
func TestPhoneStates(t *testing.T) {
	w, b, _ := phoneWorld(t)
	b.addPhone("Pixel")
	w.phone.phones[0].Push = ""
	if page := b.get("/account").want(t, 200, "No messages: open its app when you sign in"); page.hasAction("test") {
		t.Error("a message can be sent to what takes none")
	}
	w.phone.phones[0].PasskeyGone, w.phone.held[0].Disabled = true, true
	page := b.get("/account").want(t, 200, "Its passkey is gone, so it approves nothing.", "One way to prove it is you.")
	if strings.Contains(page.text(), "No messages") || strings.Contains(page.text(), "Switched off") {
		t.Error("it says two things")
	}
}

// TestQR: the drawing has all dark modules of the code and none else, and a
// quiet zone around them.
func TestQR(t *testing.T) {
	const link = "https://id.example/phone/add#q3VFQd8sKz2nP0rT7uWx1y"
	got, err := qrOf(link)
	if err != nil {
		t.Fatal(err)
	}
	want, err := qr.Encode(link, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	if got.Size != want.Size+8 {
		t.Errorf("%d modules wide, want %d", got.Size, want.Size+8)
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
	p := bare(t)
	for _, rt := range p.routes() {
		if strings.Contains(rt.pattern, "/phone/") || strings.Contains(rt.pattern, "/browser/") {
			t.Errorf("there is %s", rt.pattern)
		}
	}
}
