package browser

import (
	"strings"
	"testing"

	"github.com/signetid/signet/test/running"
)

// TestNumber: the page that shows a number for the phone, for a name that
// nobody has: what it looks like, what it says, and the ways on from there.
func TestNumber(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	setPolicy(t, d, [2]string{"method.phone", "true"})
	p := NewPerson(t, chromium)
	shoot := func(name string, at ...string) { t.Helper(); p.Pictures(name, at...) }
	p.Presence(false)
	p.Open(d.App)
	p.Press("login")
	p.See(`[data-action="signin-phone"]`)
	shoot("signin-phone")
	p.Press("signin-phone")
	p.told("Type your user name, so that we know whose phone to ask.")
	p.Type("username", "zoe@"+strings.SplitN(d.Users[1].Name, "@", 2)[1])
	p.Press("signin-phone")
	p.See(`[data-number]`)
	number := p.Read(`[data-number]`)
	if len(number) != 2 || Eval[string](p, `document.querySelector("[data-number]").getAttribute("aria-label")`) != number[:1]+", "+number[1:] {
		t.Errorf("the number is %q", number)
	}
	p.Until("a second that passed", `document.getElementById("left").textContent !== "2:00 left"`)
	p.Until("help, after a while", `getComputedStyle(document.getElementById("help")).visibility === "visible"`)
	shoot("number")
	p.Press("show-code")
	p.Until("the code", `document.querySelector(".qr").getBoundingClientRect().height > 150`)
	shoot("number-code")
	p.Press("send-again")
	p.told("Sent again.")
	// The same number after a reload, and the way back from other ways.
	p.Open(p.Where())
	p.See(`[data-number]`)
	if again := p.Read(`[data-number]`); again != number {
		t.Errorf("the number is %s after a reload, was %s", again, number)
	}
	p.Press("other-ways")
	p.See(`[data-action="signin-passkey"]`)
	p.Press("signin-phone") // the name is there already
	p.See(`[data-number]`)
	p.Press("cancel")
	p.See(`[data-action="signin-passkey"]`)

	// Without script: the same page, which loads itself again.
	p.Scripts(false)
	p.Open(d.App + "/login")
	p.See(`[data-action="signin-phone"]`)
	p.Type("username", "zoe@example.org")
	p.Press("signin-phone")
	p.See(`[data-number]`)
	p.Scripts(true)
}
