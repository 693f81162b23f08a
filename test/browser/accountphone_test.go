package browser

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/method/phone/phonetest"
	"github.com/signetid/signet/test/running"
)

// enrols is a phone that opens the code that a page shows, as it is typed.
func (p *Person) enrols(d *running.Demo, name string) *phonetest.Phone {
	p.t.Helper()
	phone := phonetest.Over(d.Base, http.DefaultClient, time.Now)
	phone.Name, phone.Platform, phone.App = name, "Android 16", "Signet 1.0"
	if _, err := phone.Enrol(p.Read("#typed")); err != nil {
		p.t.Fatalf("the phone cannot use the code: %v", err)
	}
	return phone
}

// TestAccountPhone: a phone is added from the account page. The page shows the
// code and moves on by itself when the phone has come; without script, too. The
// words are those of the phone, and who says that they differ has no new phone.
func TestAccountPhone(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	shoot := func(name string, at ...string) { t.Helper(); p.Pictures(name, at...) }
	p.FirstDay(d, d.Users[1])
	p.Open(d.Base + "/account")
	p.Press("register-phone")
	p.told("Have your phone at hand")
	shoot("phone-add")
	p.Press("register-phone")
	p.See("#typed")
	if at := p.Where(); strings.Contains(at, strings.ReplaceAll(p.Read("#typed"), " ", "")) {
		t.Errorf("the code is in the address %s", at)
	}
	p.Until("the time left", `/^Good for (9:5\d|10:00)$/.test(document.getElementById("left").textContent)`)
	shoot("phone-code")
	typed := p.Read("#typed")
	phone := p.enrols(d, "Ada’s Pixel")
	p.See("#words")
	if shown, has := p.Read("#words"), strings.Join(phone.Words(typed), " "); shown != has || len(strings.Fields(has)) != 2 {
		t.Errorf("the page says %q, the phone %q", shown, has)
	}
	// No is as easy as yes.
	if !Eval[bool](p, `(() => { const [a, b] = ["cancel", "confirm"].map((x) => document.querySelector("[data-action=" + x + "]").getBoundingClientRect());
		return a.height === b.height && a.width === b.width; })()`) {
		t.Error("the two answers are not of one size")
	}
	shoot("phone-words")
	p.Press("confirm")
	p.told("can approve sign-ins now")
	shoot("phone-done")
	if self, err := phone.Self(); err != nil || self.State != "active" {
		t.Errorf("the phone is %q, %v", self.State, err)
	}
	p.Press("next")
	p.told("Phone approval")
	shoot("account-phone")
	shoot("account-browsers", "#browsers")

	// Words that differ.
	p.Open(d.Base + "/account/phone/add")
	p.Press("register-phone")
	p.See("#typed")
	stranger := p.enrols(d, "Somebody’s phone")
	p.See("#words")
	p.Press("cancel")
	p.told("That phone was turned away")
	shoot("phone-stopped")
	if _, err := stranger.Self(); err == nil {
		t.Error("the phone that was turned away is still there")
	}

	// Without script the page is loaded anew until the phone has come.
	p.Scripts(false)
	p.Press("new-code")
	p.See("#typed")
	second := p.enrols(d, "Second phone")
	p.See("#words")
	p.Press("confirm")
	p.told("Second phone can approve sign-ins now")
	p.Scripts(true)
	if self, err := second.Self(); err != nil || self.State != "active" {
		t.Errorf("the second phone is %q, %v", self.State, err)
	}

	p.Open(d.Base + "/account")
	p.Click(`[data-action="lost"]`)
	p.told("Lost Ada’s Pixel?")
	shoot("phone-lost")
	p.Press("confirm")
	p.told("The phone is out")
	shoot("phone-lost-after")
	if _, err := phone.Self(); err == nil {
		t.Error("a phone that was lost is still there")
	}
	p.Open(d.Base + "/account")
	p.Click(`[data-credential] [data-action="remove"]`)
	p.See(`[data-action="confirm"], [data-action="cancel"]`)
	shoot("account-phone-remove")
}
