package browser

import (
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

// TestScreenshots walks through every page of the running demo and, when
// SIGNET_SCREENSHOTS names a folder, pictures each as a person sees it. On its
// own it checks that no page is wider than a phone.
func TestScreenshots(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	p := NewPerson(t, chromium)
	dir := os.Getenv("SIGNET_SCREENSHOTS")
	shoot := func(name string) {
		t.Helper()
		for _, l := range looks {
			p.Look(l.theme, l.width, l.height)
			p.Until("a settled page", `document.readyState === "complete"`)
			if over := Eval[float64](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				t.Errorf("%s at %d px is %v px too wide", name, l.width, over)
			}
			if dir != "" {
				p.Shoot(filepath.Join(dir, name+"-"+l.name+".png"))
			}
		}
		p.Look("light", 1280, 800)
	}
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
	d.Admin(t, &app, "app", "create", "Drawing office", "--redirect-uri", "https://drawings.example/cb", "--scope", "openid", "--scope", "profile")
	ask := url.Values{"client_id": {app.ID}, "redirect_uri": {"https://drawings.example/cb"}, "response_type": {"code"}, "scope": {"openid profile offline_access"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}}
	p.Open(d.Base + "/" + d.Tenant + "/oauth2/v2.0/authorize?" + ask.Encode())
	p.See(`[data-action="consent-allow"]`)
	shoot("consent")
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
}
