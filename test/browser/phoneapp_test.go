package browser

import (
	"testing"
	"time"

	"github.com/signetid/signet/internal/phonewire"
)

// A subscription's keys: those of RFC 8291, Section 5.
const (
	fakeP256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	fakeAuth   = "BTBZMqHH6r4Tts7J_aSIgg"
)

// Enrol takes a phone through the pages that add an account, messages allowed,
// and leaves it where the words are.
func (p *Person) Enrol(address string) {
	p.t.Helper()
	p.Open(address)
	p.View("whose")
	p.Press("make-passkey")
	p.View("messages")
	p.Press("allow-push")
	p.View("words")
}

// phoneOf is a phone with an account of the desk.
func phoneOf(t *testing.T, d *desk) *Person {
	t.Helper()
	p := NewPhone(t, Chromium(t), d.URL+"/push/1", fakeP256DH, fakeAuth)
	p.Enrol(d.URL + "/phone/add#" + d.code)
	d.say(func() { d.phones["phone-1"].self.State = phonewire.Active })
	p.View("done")
	p.Press("done")
	p.told("Nothing to approve")
	return p
}

// hamburg is a sign-in as most are.
func hamburg() phonewire.Context {
	return phonewire.Context{App: "Wiki", Browser: "Firefox on Linux", Place: &phonewire.Place{Kind: "country", Country: "DE", IP: "203.0.113.7"}, Network: "Hansenet"}
}

// digits types the number on the pad.
func (p *Person) digits(number string) {
	p.t.Helper()
	for _, n := range number {
		p.Click(`[data-digit="` + string(n) + `"]`)
	}
}

// TestPhoneAdd adds an account by a typed code and by a link, and pictures
// every page of it.
func TestPhoneAdd(t *testing.T) {
	d := newDesk(t)
	p := NewPhone(t, Chromium(t), d.URL+"/push/1", fakeP256DH, fakeAuth)
	p.Open(d.URL + "/phone")
	p.told("No account yet")
	p.PhonePictures("empty")
	p.Press("add-account")
	p.View("typed")
	p.PhonePictures("typed")
	p.Type("code", "k7of-2m9")
	p.Press("next")
	p.told("This code is not complete")
	p.PhonePictures("typed-short")
	p.Retype("code", "k7qf 2m9z")
	p.Press("next")
	p.told("This code does not work.")
	p.Retype("code", "k7qf-2m9x")
	p.Press("next")
	p.View("whose")

	p.Open(d.URL + "/phone/add#" + d.code)
	p.View("whose")
	p.told("Nordhafen Werft")
	if Eval[bool](p, `location.href.includes("#")`) {
		t.Error("the code stays in the address")
	}
	p.PhonePictures("whose")
	p.Verified(false) // a finger that the phone does not know
	p.Press("make-passkey")
	p.told("Nothing was sent.")
	// Refused at the end: the passkey that was made in vain goes.
	p.Verified(true)
	d.say(func() { d.refuse = "phone_exists" })
	p.Press("make-passkey")
	p.Press("skip-push")
	p.View("stopped")
	p.told("This phone is in the account already.")
	for range 100 {
		if len(p.Keys()) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond) // the browser tells its authenticator when it likes
	}
	if n := len(p.Keys()); n != 0 {
		t.Errorf("%d passkeys are left of an enrolment that was refused", n)
	}
	d.say(func() { d.refuse = "" })
	p.Open(d.URL + "/phone/add#" + d.code)
	p.View("whose")
	p.Retype("phone", "Ada’s Pixel")
	p.Press("make-passkey")
	p.View("messages")
	p.PhonePictures("messages")
	p.Press("allow-push")
	p.View("words")
	p.told("harbour")
	p.PhonePictures("words")
	if got := d.phones["phone-1"]; got.self.Name != "Ada’s Pixel" || got.push == nil || got.push.Endpoint != d.URL+"/push/1" || got.pass == nil {
		t.Errorf("enrolled as %+v, push %+v", got.self, got.push)
	}
	// Closed before the words were compared: they are there again.
	p.Open(d.URL + "/phone/")
	p.told("Waiting for the two words")
	p.PhonePictures("waiting")
	p.Open(d.URL + "/phone/add")
	p.told("violet")
	d.say(func() { d.phones["phone-1"].self.State = phonewire.Active })
	p.View("done")
	p.PhonePictures("done")
	p.Press("done")
	p.told("Nothing to approve")
	p.PhonePictures("home")

	// A second account of the same person: the phone has the passkey already,
	// and messages are allowed already.
	p.Open(d.URL + "/phone/add#" + d.code)
	p.told("Skipper Sailing School")
	p.Press("make-passkey")
	p.View("already")
	p.PhonePictures("already")
	p.Press("use-passkey")
	p.View("messages")
	p.Press("skip-push")
	p.View("words")
	if d.phones["phone-2"].push != nil {
		t.Error("a subscription was sent without a tap")
	}
	// They do not match: the other screen says so, and the phone forgets.
	d.say(func() { delete(d.phones, "phone-2") })
	p.View("stopped")
	p.told("Nobody said on the other screen")
	p.PhonePictures("stopped")
	p.Until("one account on the phone", `(() => {
		indexedDB.open("signet-phone").onsuccess = (e) => { e.target.result.transaction("accounts").objectStore("accounts").count().onsuccess = (c) => { window.kept = c.target.result; e.target.result.close(); }; };
		return window.kept === 1; })()`)
	p.Sound()
}

// TestPhoneAnswers answers requests in every way.
func TestPhoneAnswers(t *testing.T) {
	d := newDesk(t)
	p := phoneOf(t, d)
	q := d.ask("phone-1", "47", hamburg(), 96*time.Second)
	p.View("request")
	p.told("new for you")
	p.Press("approve")
	p.told("Type both digits first.")
	if q.result != "" {
		t.Fatalf("answered without digits: %s", q.result)
	}
	p.digits("4")
	p.PhonePictures("request")
	// "No" and "Approve" are of one size.
	if !Eval[bool](p, `(() => { const [a, b] = ["deny", "approve"].map((x) => document.querySelector("[data-action=" + x + "]").getBoundingClientRect());
		return a.height === b.height && a.width === b.width && a.height >= 44; })()`) {
		t.Error("No and Approve are of different sizes")
	}
	p.digits("8")
	p.Press("erase")
	p.digits("7")
	p.Verified(false)
	p.Press("approve")
	p.told("Nothing was sent.")
	if q.result != "" {
		t.Fatalf("answered without a finger: %s", q.result)
	}
	p.PhonePictures("request-cancelled")
	p.Verified(true)
	p.Press("approve")
	p.View("end-approved")
	p.told("Done. You can put the phone away.")
	p.PhonePictures("approved")
	if q.result != phonewire.Approved {
		t.Errorf("the desk has %q", q.result)
	}
	p.Press("done")
	p.told("Nothing to approve")

	// By keyboard alone, and wrong.
	q = d.ask("phone-1", "47", hamburg(), 110*time.Second)
	p.View("request")
	p.Strike("15\b4\r")
	p.View("end-wrong_number")
	p.told("That was not the number")
	p.PhonePictures("wrong-number")
	if q.result != phonewire.WrongNumber {
		t.Errorf("the desk has %q", q.result)
	}
	p.Press("done")

	// In the field that assistive technology finds.
	q = d.ask("phone-1", "09", hamburg(), 110*time.Second)
	p.View("request")
	p.Type("number", "09")
	p.Press("approve")
	p.View("end-approved")
	if q.result != phonewire.Approved {
		t.Errorf("the desk has %q", q.result)
	}
	// Put away and taken up a minute later: how it ended is not what waits.
	Eval[bool](p, `Object.defineProperty(document, "hidden", { get: () => window.away, configurable: true }), window.away = true, document.dispatchEvent(new Event("visibilitychange")),
		window.away = false, Date.now = ((now) => () => now() + 60000)(Date.now), document.dispatchEvent(new Event("visibilitychange")), true`)
	p.told("Nothing to approve")
	p.closed()
	p.Open(d.URL + "/phone/")
	p.told("Nothing to approve")

	// Not me; a mistake, and a report.
	q = d.ask("phone-1", "47", hamburg(), 110*time.Second)
	p.View("request")
	p.Press("deny")
	p.View("end-denied")
	if q.result != phonewire.Denied {
		t.Errorf("the desk has %q before the question", q.result)
	}
	p.PhonePictures("denied")
	p.Press("mistake")
	p.View("end-mistake")
	p.PhonePictures("mistake")
	p.Press("done")
	q2 := d.ask("phone-1", "47", hamburg(), 110*time.Second)
	p.View("request")
	p.Press("deny")
	p.Press("report")
	p.View("end-reported")
	p.PhonePictures("reported")
	if q.result != phonewire.Denied || q2.result != phonewire.Reported {
		t.Errorf("the desk has %q and %q", q.result, q2.result)
	}
	p.Press("done")

	// Answered elsewhere; too late.
	q = d.ask("phone-1", "47", hamburg(), 110*time.Second)
	p.View("request")
	d.say(func() { q.result = phonewire.Denied })
	p.View("end-over")
	p.PhonePictures("over")
	p.Press("done")
	d.ask("phone-1", "47", hamburg(), 4*time.Second)
	p.View("request")
	p.View("end-late")
	p.told("The time is up")
	p.PhonePictures("late")
	p.Press("done")
	p.told("Nothing to approve")
	p.Sound()
}

// TestPhoneWary: what speaks against a request comes first, and is gone past by
// typing only.
func TestPhoneWary(t *testing.T) {
	d := newDesk(t)
	p := phoneOf(t, d)
	c := phonewire.Context{App: "Payroll", Browser: "Chrome on Windows", Place: &phonewire.Place{Kind: "country", Country: "BR", IP: "198.51.100.4"}, Network: "Cheap Hosting", Warn: []string{"country", "hosting"}}
	q := d.ask("phone-1", "47", c, 110*time.Second)
	p.View("beware")
	p.told("Brazil")
	p.told("It comes from a data centre")
	p.PhonePictures("beware")
	p.Press("confirm")
	p.told("Type “mine” if this sign-in is yours.")
	if p.visible(`[data-digit="1"]`) {
		t.Error("the pad is there before the word")
	}
	p.Type("confirm", "Mine ")
	p.Press("confirm")
	p.View("request")
	p.PhonePictures("beware-request")
	p.digits("47")
	p.Press("approve")
	p.View("end-approved")
	if q.result != phonewire.Approved {
		t.Errorf("the desk has %q", q.result)
	}
	p.Press("done")

	// What the organisation does not show is not there; what is hostile is text.
	d.ask("phone-1", "47", phonewire.Context{App: `<img src=x onerror=alert(1)>`, Browser: "</dd><script>alert(2)</script>", Known: true}, 110*time.Second)
	p.View("request")
	p.told("used before")
	p.told("<img src=x onerror=alert(1)>")
	if Eval[float64](p, `document.querySelectorAll("main img, main script, main [data-t=place]").length`) != 0 {
		t.Error("the request made elements")
	}
	p.PhonePictures("request-bare")
	p.Sound()
}

// TestPhoneSeveral: two accounts, and two requests at once.
func TestPhoneSeveral(t *testing.T) {
	d := newDesk(t)
	p := phoneOf(t, d)
	p.Open(d.URL + "/phone/add#" + d.code)
	p.Press("make-passkey")
	p.Press("use-passkey")
	p.View("messages")
	p.Press("allow-push")
	p.View("words")
	d.say(func() { d.phones["phone-2"].self.State = phonewire.Active })
	p.View("done")
	p.Press("done")
	p.told("Skipper Sailing School")
	d.say(func() { d.refuse = "too_many" }) // so that both are there at once
	one := d.ask("phone-1", "47", hamburg(), 110*time.Second)
	two := d.ask("phone-2", "12", phonewire.Context{App: "Logbook", Browser: "Safari on macOS", Known: true, Place: &phonewire.Place{Kind: "private", IP: "192.168.1.20"}}, 110*time.Second)
	d.say(func() { d.refuse = "" })
	p.told("Which sign-in is it?")
	p.PhonePictures("several")
	p.Click(`a[href="#r=` + two.ID + `"]`)
	p.View("request")
	p.told("Skipper Sailing School")
	p.told("A private network")
	p.digits("12")
	p.Press("approve")
	p.View("end-approved")
	if two.result != phonewire.Approved || one.result != "" {
		t.Errorf("the desk has %q and %q", one.result, two.result)
	}
	p.Press("done")
	p.View("request") // the other one, by itself
	p.told("Wiki")
	// Walked away from, it waits in the list and does not open again.
	p.Open(d.URL + "/phone/#phone")
	p.told("This phone’s name")
	p.PhonePictures("device")
	p.Sound()
}

// TestPhoneDevice: rename, test, remove; what is off and what can be done.
func TestPhoneDevice(t *testing.T) {
	d := newDesk(t)
	p := phoneOf(t, d)
	d.say(func() {
		for i, r := range []string{phonewire.Approved, phonewire.WrongNumber, phonewire.Denied, phonewire.Reported, phonewire.Expired, phonewire.Cancelled} {
			e := phonewire.Entry{ID: string(rune('a' + i)), Result: r, Time: time.Now().Add(-time.Duration(i*11) * time.Hour), Here: i%2 == 0, Phone: "Old Pixel"}
			e.Context = `{"app":"Wiki","browser":"Firefox on Linux","known":` + map[bool]string{true: "true", false: "false"}[i%3 != 1] + `,"place":{"kind":"country","country":"DE"}}`
			d.history = append(d.history, e)
		}
	})
	p.Click(`[data-tab="history"]`)
	p.told("Wrong number")
	p.told("On another phone: Old Pixel")
	p.PhonePictures("history")
	p.Click(`[data-tab="phone"]`)
	p.told("A message comes when someone signs in")
	p.Press("rename")
	p.See("dialog[open]")
	p.PhonePictures("rename")
	p.Retype("name", "Blue phone")
	p.Click(`dialog [data-action="confirm"]`)
	p.told("Blue phone")
	if got := d.phones["phone-1"].self.Name; got != "Blue phone" {
		t.Errorf("the desk has %q", got)
	}
	p.Press("test-push")
	p.told("It should come within seconds.")
	d.say(func() { d.phones["phone-1"].self.Usable = false })
	p.Open(d.URL + "/phone/")
	p.told("Does not count at present")
	p.Click(`[data-tab="phone"]`)
	p.told("does not count at present")
	p.PhonePictures("useless")

	// Offline: the list, the history as it stood, and words; then all is back.
	p.Click(`[data-tab="home"]`)
	p.told("Nothing to approve")
	p.Until("a worker in charge", `navigator.serviceWorker.controller`)
	p.Online(false)
	p.Open(d.URL + "/phone/")
	p.told("No connection")
	p.told("Nordhafen Werft")
	p.PhonePictures("offline")
	p.Click(`[data-tab="history"]`)
	p.told("This is how it stood")
	p.told("Wrong number")
	p.PhonePictures("offline-history")
	p.Click(`[data-tab="phone"]`)
	p.Press("remove")
	p.See("dialog[open]")
	p.Click(`dialog [data-action="confirm"]`)
	p.told("No answer came from Signet.")
	p.PhonePictures("remove")
	p.Click(`dialog [data-action="cancel"]`)
	p.Click(`[data-tab="home"]`)
	p.Online(true)
	p.told("Nothing to approve")
	q := d.ask("phone-1", "47", hamburg(), 110*time.Second)
	p.View("request")
	p.Online(false)
	p.Press("deny")
	p.told("No answer came from Signet.")
	p.Online(true)
	p.Press("deny")
	p.View("end-denied")
	if q.result != phonewire.Denied {
		t.Errorf("the desk has %q", q.result)
	}

	// Removed by somebody else, then here.
	d.say(func() { delete(d.phones, "phone-1") })
	p.Open(d.URL + "/phone/")
	p.told("No longer in the account")
	p.Click(`[data-tab="phone"]`)
	p.told("This phone was taken out of the account.")
	p.PhonePictures("gone")
	p.Press("remove")
	p.Click(`dialog [data-action="confirm"]`)
	p.told("Add the account that you want")
	p.Click(`[data-tab="home"]`)
	p.told("No account yet")
	p.Sound()
}
