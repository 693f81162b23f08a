package browser

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/signetid/signet/test/running"
)

// looks are the three ways each page is pictured.
var looks = []struct {
	name, theme   string
	width, height int64
}{
	{"light", "light", 1280, 800},
	{"dark", "dark", 1280, 800},
	{"390", "light", 390, 844},
}

// axe is a set of accessibility rules by others (axe-core).
func axe(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../rp/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatal("the npm packages of the tests are not here: `make test` fetches them")
	}
	return string(raw)
}

// broken runs the rules on the page as it stands and names what they find.
func (p *Person) broken(rules string) []string {
	p.t.Helper()
	Eval[bool](p, rules+`; true`)
	Eval[bool](p, `window.found = null; axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((r) => {
		window.found = JSON.stringify(r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.target.join(" ") + " (" + (n.any[0] || n.all[0] || n.none[0] || {}).message + ")").join(", ")));
	}); true`)
	p.Until("the accessibility rules", `window.found !== null`)
	var found []string
	if err := json.Unmarshal([]byte(Eval[string](p, "window.found")), &found); err != nil {
		p.t.Fatal(err)
	}
	return found
}

// Pictures takes the page in every look, when SIGNET_SCREENSHOTS names a
// folder, and always checks that none is wider than the window and that
// axe-core finds nothing against WCAG 2.2 AA. at names what to scroll to.
func (p *Person) Pictures(name string, at ...string) {
	p.t.Helper()
	dir, rules := os.Getenv("SIGNET_SCREENSHOTS"), axe(p.t)
	for _, l := range looks {
		p.Look(l.theme, l.width, l.height)
		p.Until("a settled page", `document.readyState === "complete"`)
		for _, css := range at {
			Eval[bool](p, `document.querySelector("`+css+`").scrollIntoView(), true`)
		}
		if over := Eval[float64](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
			p.t.Errorf("%s at %d px is %v px too wide", name, l.width, over)
		}
		for _, v := range p.broken(rules) {
			p.t.Errorf("%s, %s: %s", name, l.name, v)
		}
		if dir != "" {
			p.Shoot(filepath.Join(dir, name+"-"+l.name+".png"))
		}
	}
	p.Look("light", 1280, 800)
}

// TestScreenshots walks through every page of the running demo and, when
// SIGNET_SCREENSHOTS names a folder, pictures each as a person sees it. On its
// own it checks each in every look: none is wider than the window, and axe-core
// finds nothing against WCAG 2.2 AA.
func TestScreenshots(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	p := NewPerson(t, chromium)
	shoot := func(name string, at ...string) { t.Helper(); p.Pictures(name, at...) }
	u := d.Users[1]
	p.Open(d.App)
	shoot("app-signed-out")
	p.Presence(false) // no prompt resolves while pictures are taken
	p.Press("login")
	p.See(`[data-action="signin-passkey"]`)
	shoot("signin")
	p.Press("other-ways")
	shoot("signin-other-ways")
	p.Type("username", u.Name)
	p.Type("access_pass", "AAAA-BBBB-CCCC")
	p.Press("signin-access-pass")
	p.told("This pass does not work.")
	shoot("signin-wrong-pass")
	p.Open(d.App + "/login")
	p.UsePass(u.Name, u.Pass)
	p.See(`[data-action="register-passkey"]`)
	shoot("register")
	p.Presence(true)
	p.Press("register-passkey")
	p.Until("the name", `document.getElementById("naming") && !document.getElementById("naming").hidden`)
	shoot("register-name")
	p.Presence(false)
	p.Press("next")
	p.See(`[data-action="signin-passkey"]`)
	shoot("register-try")
	p.Presence(true)
	p.Press("signin-passkey")
	p.Claims()
	shoot("app-signed-in")

	p.Open(d.Base + "/account")
	shoot("account-one-way")
	p.NewKey()
	p.Press("register-passkey")
	p.Register()
	p.Until("the page after it", `document.readyState === "complete" && location.pathname !== "/account/register"`)
	p.Open(d.Base + "/account")
	shoot("account")
	p.Press("remove")
	p.See(`[data-action="confirm"]`)
	shoot("account-remove")
	p.Open(d.Base + "/account")
	p.Press("rename")
	p.See(`[data-action="confirm"]`)
	shoot("account-rename")

	var app struct{ ID string }
	d.Admin(t, &app, "app", "create", "Drawing office", "--redirect-uri", d.App+"/office", "--scope", "openid", "--scope", "profile")
	ask := url.Values{"client_id": {app.ID}, "redirect_uri": {d.App + "/office"}, "response_type": {"code"}, "scope": {"openid profile offline_access"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}}
	p.Open(d.Base + "/" + d.Tenant + "/oauth2/v2.0/authorize?" + ask.Encode())
	p.See(`[data-action="consent-allow"]`)
	shoot("consent")
	p.Press("consent-allow")
	p.Until("the app's address", `location.pathname === "/office"`)
	p.Open(d.Base + "/account")
	shoot("account-apps", "#apps")
	p.Click(`[data-app] [data-action="remove"]`)
	p.See(`[data-action="confirm"]`)
	shoot("account-take-back")
	p.Open(d.Base + "/account/take-back?app=" + app.ID)
	p.See(`[data-action="confirm"]`)
	shoot("take-back")
	ask.Set("redirect_uri", "https://evil.example/")
	p.Open(d.Base + "/" + d.Tenant + "/oauth2/v2.0/authorize?" + ask.Encode())
	p.See("[data-code]")
	shoot("error")
	p.Open(d.Base + "/nothing-here")
	shoot("not-found")
	p.Open(d.Base + "/" + d.Tenant + "/oauth2/v2.0/logout")
	p.See(`[data-action="sign-out"]`)
	shoot("logout")
	p.Press("sign-out")
	p.Until("signed out", `!document.querySelector('[data-action="sign-out"]')`)
	shoot("signed-out")

	p = NewPerson(t, chromium)
	p.withoutWebAuthn()
	p.Open(d.App + "/login")
	p.told("This browser cannot use passkeys.")
	shoot("signin-unsupported")
	p.UsePass(d.Users[2].Name, d.Users[2].Pass)
	p.told("This browser cannot add passkeys.")
	shoot("register-unsupported")
}
