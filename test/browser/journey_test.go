package browser

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/signetid/signet/test/running"
)

func TestFirstDayAndEveryWayBackIn(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	u := d.Users[1]
	p.FirstDay(d, u)
	c := p.Claims()
	if c["preferred_username"] != u.Name || c["iss"] != d.Issuer || c["acr"] != "phr" {
		t.Errorf("claims %v", c)
	}
	if amr, _ := json.Marshal(c["amr"]); !strings.Contains(string(amr), `"fido"`) || !strings.Contains(string(amr), `"mfa"`) || strings.Contains(string(amr), "pwd") {
		t.Errorf("amr %s", amr)
	}

	t.Run("autofill", func(t *testing.T) {
		p.t = t
		p.Leave(d)
		// The person picks the passkey in the field's list: no button at all.
		p.Open(d.App + "/login?prompt=login")
		if got := p.Claims()["preferred_username"]; got != u.Name {
			t.Errorf("signed in as %v", got)
		}
	})
	t.Run("button", func(t *testing.T) {
		p.t = t
		p.Leave(d)
		p.Presence(false)
		p.Open(d.App + "/login?prompt=login")
		p.Touch()
		if got := p.Claims()["preferred_username"]; got != u.Name {
			t.Errorf("signed in as %v", got)
		}
	})
	t.Run("user name first", func(t *testing.T) {
		p.t = t
		p.Leave(d)
		p.Presence(false)
		p.Open(d.App + "/login?prompt=login")
		if Eval[bool](p, `document.querySelector("[name=username]").type === "hidden"`) {
			p.Press("not-you")
		}
		p.Type("username", u.Name)
		p.Presence(true) // only prompts that open from here on hear of it
		p.Press("next")
		if got := p.Claims()["preferred_username"]; got != u.Name {
			t.Errorf("signed in as %v", got)
		}
	})
	t.Run("session is enough", func(t *testing.T) {
		p.t = t
		p.Presence(false) // any prompt would now hang
		p.Open(d.App + "/login")
		p.Claims()
		p.Presence(true)
	})
}

func TestMethods(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	p.FirstDay(d, d.Users[1])
	p.Open(d.Base + "/account")
	first := Eval[string](p, `document.querySelector("[data-credential]").dataset.credential`)

	p.Press("rename")
	p.Until("name field", `document.querySelector("[name=name]")`)
	Eval[string](p, `document.querySelector("[name=name]").value = ""`)
	p.Type("name", "Blue key")
	p.Press("confirm")
	p.Until("the new name", `[...document.querySelectorAll("[data-credential] b")].some((b) => b.innerText === "Blue key")`)
	if keys := p.Keys(); len(keys) != 1 {
		t.Errorf("%d passkeys on the device", len(keys))
	}

	p.Press("remove")
	p.Until("the last one stays", `/only way in/.test(document.body.innerText)`)
	if Eval[bool](p, `Boolean(document.querySelector("[data-action=confirm]"))`) {
		t.Error("the page offers to remove the last way in")
	}
	p.Open(d.Base + "/account")

	p.NewKey() // another device
	p.Press("register-passkey")
	p.Register()
	p.Until("the page after it", `document.readyState === "complete" && location.pathname !== "/account/register"`)
	p.Open(d.Base + "/account")
	p.Until("two passkeys", `document.querySelectorAll("[data-action=remove]").length === 2`)

	p.Click(`[data-credential="` + first + `"] [data-action="remove"]`)
	p.Press("confirm")
	p.Until("one passkey", `document.querySelectorAll("[data-action=remove]").length === 1`)
	if Eval[bool](p, `Boolean(document.querySelector('[data-credential="`+first+`"]'))`) {
		t.Error("the wrong one was removed")
	}
	p.Leave(d)
	p.Open(d.App + "/login?prompt=login")
	p.Claims() // with the second
}

func TestEndingSessions(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	p := NewPerson(t, chromium)
	p.FirstDay(d, d.Users[1])
	p.Open(d.Base + "/account")
	p.Press("sign-out-everywhere")
	p.Until("signed out", `!document.querySelector("[data-credential]")`)
	p.Presence(false)
	p.Open(d.Base + "/account")
	p.See(`[data-action="signin-passkey"]`)
}

// told waits for words on the page.
func (p *Person) told(words string) {
	p.t.Helper()
	quoted, _ := json.Marshal(words)
	p.Until(words, `document.body.innerText.includes(`+string(quoted)+`)`)
}

func TestRefusals(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	p := NewPerson(t, chromium)
	u := d.Users[1]
	p.FirstDay(d, u)
	p.Leave(d)

	const nothing = "That did not let you in."
	signin := func(t *testing.T) {
		p.t = t
		p.Presence(false)
		p.Open(d.App + "/login?prompt=login")
		p.See(`[data-action="signin-passkey"]`)
	}
	t.Run("wrong signature", func(t *testing.T) {
		signin(t)
		p.Bogus(true)
		p.Touch()
		p.told(nothing)
		p.Bogus(false)
	})
	t.Run("cancelled", func(t *testing.T) {
		signin(t)
		p.Verified(false)
		p.Touch()
		p.told("Nothing was sent. Try again or choose another way.")
		if !Eval[bool](p, `document.querySelector("details.other").open`) {
			t.Error("the other ways did not unfold")
		}
		if Eval[bool](p, `[...document.querySelectorAll("[role=alert]")].some((e) => !e.hidden)`) {
			t.Error("a cancelled prompt is told as an error")
		}
		p.Verified(true)
	})
	t.Run("pass used before", func(t *testing.T) {
		signin(t)
		p.UsePass(u.Name, u.Pass)
		p.told("This pass does not work.")
	})
	t.Run("pass of nobody", func(t *testing.T) {
		signin(t)
		p.UsePass("nobody@nordhafen.example", "AAAA-BBBB-CCCC")
		p.told("This pass does not work.")
	})
	t.Run("switched off", func(t *testing.T) {
		d.Admin(t, nil, "user", "disable", u.Name, "--tenant", d.Tenant)
		signin(t)
		p.Touch()
		p.Until("a refusal", `document.querySelector("[data-code]") || document.body.innerText.includes(`+"`"+nothing+"`"+`)`)
		if strings.HasPrefix(Eval[string](p, "location.href"), d.App) {
			t.Error("the app opened for somebody who is switched off")
		}
		d.Admin(t, nil, "user", "enable", u.Name, "--tenant", d.Tenant)
	})
	t.Run("unknown application", func(t *testing.T) {
		p.t = t
		q := url.Values{"client_id": {"6f6f6f6f-0000-4000-8000-000000000000"}, "redirect_uri": {"https://evil.example/"}, "response_type": {"code"}}
		p.Open(d.Base + "/" + d.Tenant + "/oauth2/v2.0/authorize?" + q.Encode())
		p.See("[data-code][data-trace]")
		if strings.HasPrefix(Eval[string](p, "location.href"), "https://evil.example") {
			t.Error("sent to an address nobody registered")
		}
	})
}
