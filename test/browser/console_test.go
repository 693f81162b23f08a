package browser

import (
	"strings"
	"testing"

	"github.com/signetid/signet/test/running"
)

// Console signs the demo's administrator in, on the first day, and opens the
// console.
func (p *Person) Console(d *running.Demo) {
	p.t.Helper()
	p.FirstDay(d, d.Users[0])
	p.Open(d.Base + "/admin")
	p.See(".admin > .side")
}

// TestConsolePeople is an administrator's day with people: find one, give a
// pass, add somebody, end sessions, switch off and on, take a key away, make
// one for them.
func TestConsolePeople(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	p := NewPerson(t, chromium)
	p.Open(d.Base + "/admin")
	p.See(`[data-action="signin-passkey"]`) // nobody is signed in: the door first
	p.Console(d)
	p.Pictures("admin-overview")

	user := NewPerson(t, chromium)
	user.FirstDay(d, d.Users[1])

	p.Open(d.Base + "/admin/people")
	p.Pictures("admin-people")
	p.Type("q", strings.ToUpper(d.Users[1].Name[:3]))
	Eval[bool](p, `document.querySelector("form.find").requestSubmit(), true`)
	p.Until("the one found", `document.querySelectorAll("tbody tr").length === 1`)
	p.Click("tbody th a")
	p.See(".desk")
	p.Pictures("admin-person")
	if text := p.Read("main"); !strings.Contains(text, "Can sign in today with") {
		t.Errorf("the page does not say with what: %s", text)
	}
	path := Eval[string](p, "location.pathname")

	p.Press("issue-pass")
	p.See("[data-pass]")
	p.Pictures("admin-pass")
	pass := Eval[string](p, `document.querySelector("[data-pass]").dataset.pass`)
	other := NewPerson(t, chromium)
	other.Open(d.App + "/login")
	other.UsePass(d.Users[1].Name, pass)
	other.See(`[data-action="register-passkey"]`)

	p.Open(d.Base + path)
	p.Press("sign-out-everywhere")
	p.See(`[data-action="confirm"]`)
	p.Pictures("admin-ask")
	p.Press("confirm")
	p.told("Signed out everywhere.")
	user.Presence(false) // nor does a quiet prompt let them in again
	user.Open(d.Base + "/account")
	user.See(`[data-action="signin-passkey"]`)

	p.Press("disable")
	p.Press("confirm")
	p.told("Switched off.")
	if text := p.Read("main"); !strings.Contains(text, "Cannot sign in: switched off.") {
		t.Errorf("a person who is switched off: %s", text)
	}
	p.Press("enable")
	p.told("Switched on.")

	p.Press("provision-key")
	p.See(`[data-action="begin-key"]`)
	p.Type("name", "Desk key")
	p.Pictures("admin-key")
	p.NewKey()
	p.Press("begin-key")
	p.Press("make-key")
	p.told("The key is theirs now.")
	if text := p.Read("main"); !strings.Contains(text, "Desk key") {
		t.Errorf("the key is not there: %s", text)
	}
	p.Press("remove")
	p.Press("confirm")
	p.told("Taken away.")

	p.Open(d.Base + "/admin/people/new")
	p.Pictures("admin-new-person")
	p.Type("user", "grace")
	p.Type("name", "Grace Hopper")
	p.Press("confirm")
	p.told("The person is added.")
	p.Open(d.Base + "/admin/people/new")
	p.Type("user", "grace")
	p.Press("confirm")
	p.See("#user-err")
	if typed := Eval[string](p, `document.getElementById("user").value`); typed != "grace" {
		t.Errorf("what was typed is gone: %q", typed)
	}
}

// TestConsoleGroupsAndApps makes, fills and removes a group, and registers an
// app.
func TestConsoleGroupsAndApps(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	p.Console(d)

	p.Open(d.Base + "/admin/groups")
	p.Type("name", "Night shift")
	p.Press("create-group")
	p.told("The group is made.")
	p.Type("user", "nobody@nowhere.example")
	p.Press("add-member")
	p.See("#user-err")
	p.Retype("user", d.Users[2].Name)
	p.Press("add-member")
	p.told("Added to the group.")
	p.Pictures("admin-group")
	p.Open(d.Base + "/admin/groups")
	p.Pictures("admin-groups")

	p.Open(d.Base + "/admin/apps/new")
	p.Type("name", "Drawing office")
	p.Type("redirects", "ftp://wrong.example/")
	p.Press("confirm")
	p.See("#problem")
	if typed := Eval[string](p, `document.getElementById("redirects").value`); typed != "ftp://wrong.example/" {
		t.Errorf("what was typed is gone: %q", typed)
	}
	p.Pictures("admin-app-wrong")
	p.Retype("redirects", "https://office.example/callback")
	p.Press("confirm")
	p.See("#code")
	p.Pictures("admin-app")
	p.Open(d.Base + "/admin/apps")
	p.Pictures("admin-apps")
}

// TestConsoleIsForRoles: who has no role is told so, and sees nothing.
func TestConsoleIsForRoles(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	p.FirstDay(d, d.Users[1])
	p.Open(d.Base + "/admin/people")
	p.See("[data-code]")
	if text := p.Read("main"); !strings.Contains(text, "This console is for administrators") {
		t.Errorf("told: %s", text)
	}
}
