package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/signetid/signet/test/running"
)

// TestLostKey: somebody has lost the computer with their only passkey. The
// help desk gives a pass; with it they get back in on another computer, and
// take the lost passkey away.
func TestLostKey(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	lost := NewPerson(t, chromium)
	u := d.Users[1]
	lost.FirstDay(d, u)
	lost.Open(d.Base + "/account")
	credential := Eval[string](lost, `document.querySelector("[data-credential]").dataset.credential`)

	var pass struct {
		Code string `json:"temporaryAccessPass"`
	}
	d.Admin(t, &pass, "tap", "issue", u.Name)
	p := NewPerson(t, chromium)
	p.Open(d.App)
	p.Press("login")
	p.UsePass(u.Name, pass.Code)
	p.See(`[data-action="register-passkey"]`)
	p.told("You came in with a Temporary Access Pass.")
	// The pass opens nothing else meanwhile.
	p.Open(d.Base + "/account")
	p.See(`[data-action="register-passkey"]`)
	if Eval[bool](p, `Boolean(document.querySelector("[data-credential]"))`) {
		t.Error("a pass shows the account page")
	}
	p.Register()
	p.Press("signin-passkey") // "try it once now"
	p.Until("the account page", `document.querySelectorAll("[data-credential]").length === 2`)

	p.Click(`[data-credential="` + credential + `"] [data-action="remove"]`)
	p.told("You can still sign in with")
	p.Press("confirm")
	p.told("It lets nobody in any more.")
	if Eval[bool](p, `Boolean(document.querySelector('[data-credential="`+credential+`"]'))`) {
		t.Error("the lost passkey is still there")
	}
	p.Open(d.App)
	p.Press("login")
	if got := p.Claims()["preferred_username"]; got != u.Name {
		t.Errorf("signed in as %v", got)
	}

	// Whoever found the computer is signed out, and does not get in with it.
	lost.Presence(false)
	lost.Open(d.Base + "/account")
	lost.Touch()
	lost.told("That did not let you in.")
}

// TestTwoPromptsAtOnce: a button that is pressed while the answer of the quiet
// prompt is on its way sends no second one along with it.
func TestTwoPromptsAtOnce(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	u := d.Users[1]
	p.FirstDay(d, u)
	p.Leave(d)
	// The answer takes this browser's key along, and to look for that takes a moment.
	_, err := chromedp.Call(p.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		const open = IDBFactory.prototype.open;
		IDBFactory.prototype.open = function (...all) {
			document.querySelector('[data-action="signin-passkey"]')?.click();
			return open.apply(this, all);
		}`})
	if err != nil {
		t.Fatal(err)
	}
	p.Open(d.App)
	p.Press("login")
	if got := p.Claims()["preferred_username"]; got != u.Name {
		t.Errorf("signed in as %v", got)
	}
}

// withoutWebAuthn makes the browser one that has never heard of passkeys.
func (p *Person) withoutWebAuthn() {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, page.AddScriptToEvaluateOnNewDocument,
		page.AddScriptToEvaluateOnNewDocumentParams{Source: `delete window.PublicKeyCredential`})
	if err != nil {
		p.t.Fatalf("take WebAuthn away: %v", err)
	}
}

// visible says whether a person can see any element of the selector.
func (p *Person) visible(css string) bool {
	p.t.Helper()
	return Eval[bool](p, `[...document.querySelectorAll(`+"`"+css+"`"+`)].some((e) => e.checkVisibility())`)
}

// TestNoWebAuthn: a browser that has no passkeys says so and what to do, on
// both pages that need one, and offers no button that could do nothing.
func TestNoWebAuthn(t *testing.T) {
	d := running.StartDemo(t)
	rules := axe(t)
	p := NewPerson(t, Chromium(t))
	p.withoutWebAuthn()
	u := d.Users[1]
	p.Open(d.App)
	p.Press("login")
	p.told("This browser cannot use passkeys. Open this page in a current Firefox, Chrome, Edge or Safari.")
	if p.visible(`[data-action="signin-passkey"]`) || p.visible(`[data-action="signin-another-device"]`) {
		t.Error("the page offers a passkey all the same")
	}
	if p.visible(`[name="access_pass"]`) {
		t.Error("the page asks for a pass, which would be spent for nothing")
	}
	check := func(name string) {
		t.Helper()
		for _, v := range p.broken(rules) {
			t.Errorf("%s: %s", name, v)
		}
	}
	check("sign-in")
	p.UsePass(u.Name, u.Pass) // who does it all the same is told what now
	p.told("This browser cannot add passkeys. Sign in with a current Firefox, Chrome, Edge or Safari, and add it there.")
	p.told("the help desk gives you a new one")
	if p.visible(`[data-action="register-passkey"]`) {
		t.Error("the page offers to add one all the same")
	}
	check("register")
	if url := Eval[string](p, "location.href"); strings.HasPrefix(url, d.App) {
		t.Error("the app opened")
	}
}
