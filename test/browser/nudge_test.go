package browser

import (
	"testing"

	"github.com/signetid/signet/test/running"
)

// setPolicy changes settings of the demo's tenant.
func setPolicy(t *testing.T, d *running.Demo, settings ...[2]string) {
	t.Helper()
	for _, s := range settings {
		d.Admin(t, nil, "policy", "set", s[0], s[1])
	}
}

// TestNudge: a campaign asks for a passkey after the sign-in. It is put off,
// comes back when its days are over, is put off for the last time, and then
// comes before anything else.
func TestNudge(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	u := d.Users[1]
	setPolicy(t, d, [2]string{"accessPass.appSignIn", "true"}, [2]string{"accessPass.once", "false"},
		[2]string{"campaign.on", "true"}, [2]string{"campaign.snoozes", "2"}, [2]string{"campaign.snoozeDays", "1"})
	var pass struct {
		Code string `json:"temporaryAccessPass"`
	}
	d.Admin(t, &pass, "tap", "issue", u.Name, "--multi-use")
	p := NewPerson(t, chromium)
	shoot := func(name string, at ...string) { t.Helper(); p.Pictures(name, at...) }
	signIn := func() {
		t.Helper()
		p.Open(d.App)
		p.Press("login")
		p.UsePass(u.Name, pass.Code)
	}
	signIn()
	p.told("Add a passkey now?")
	p.told("we ask again after a day. You can put it off 2 times.")
	shoot("nudge")
	// The two ways on are of one size.
	if !Eval[bool](p, `(() => { const [a, b] = ["later", "register-passkey"].map((x) => document.querySelector("[data-action=" + x + "]").getBoundingClientRect());
		return a.height === b.height && a.width === b.width; })()`) {
		t.Error("Not now is of another size")
	}
	// Reading on and coming back changes nothing.
	p.Press("register-passkey")
	p.told("Where should it live?")
	p.Press("cancel")
	p.told("Add a passkey now?")
	p.Press("later")
	if got := p.Claims()["preferred_username"]; got != u.Name {
		t.Errorf("signed in as %v", got)
	}
	// The session that is there opens the app without a word.
	p.Open(d.App + "/login")
	p.Claims()
	p.Leave(d)
	signIn()
	p.Claims() // the day is not over
	p.Leave(d)

	setPolicy(t, d, [2]string{"campaign.snoozeDays", "0"}) // and now it is
	signIn()
	p.told("we ask again the next time you sign in. This is the last time that you can put it off.")
	shoot("nudge-last")
	p.Press("later")
	p.Claims()
	p.Leave(d)

	signIn()
	p.told("Where should it live?")
	if p.visible(`[data-action="later"]`) || p.visible(`[data-action="cancel"]`) {
		t.Error("what must be can be put off")
	}
	shoot("nudge-forced")
	p.Open(d.App + "/login") // no way around
	p.told("Where should it live?")
	p.Open(d.Base + "/account")
	p.told("Where should it live?")
	p.Open(d.App + "/login?prompt=login") // knows who it is, and asks again
	p.Press("other-ways")
	p.Type("access_pass", pass.Code)
	p.Press("signin-access-pass")
	p.told("Where should it live?")
	p.Register()
	p.Press("signin-passkey") // "try it once now"
	if acr := p.Claims()["acr"]; acr != "phr" {
		t.Errorf("acr %v", acr)
	}
	p.Open(d.Base + "/account")
	p.told("Put off adding a passkey")
	shoot("nudge-activity", "#activity")
	p.Leave(d)
	p.Presence(true)
	p.Open(d.App + "/login?prompt=login")
	p.Claims() // by the passkey: nothing is asked
}

// TestNudgeAdded: who adds one when asked goes on to the app at once.
func TestNudgeAdded(t *testing.T) {
	d := running.StartDemo(t)
	u := d.Users[1]
	setPolicy(t, d, [2]string{"accessPass.appSignIn", "true"}, [2]string{"campaign.on", "true"})
	p := NewPerson(t, Chromium(t))
	p.Open(d.App)
	p.Press("login")
	p.UsePass(u.Name, u.Pass)
	p.told("Add a passkey now?")
	p.Press("register-passkey")
	p.told("Where should it live?")
	p.Register()
	p.Claims()
	if keys := p.Keys(); len(keys) != 1 {
		t.Errorf("%d passkeys on the device", len(keys))
	}
}

// TestNudgeWithoutScript: "not now" needs none.
func TestNudgeWithoutScript(t *testing.T) {
	d := running.StartDemo(t)
	u := d.Users[1]
	setPolicy(t, d, [2]string{"accessPass.appSignIn", "true"}, [2]string{"campaign.on", "true"})
	p := NewPerson(t, Chromium(t))
	p.Open(d.App)
	p.Press("login")
	p.UsePass(u.Name, u.Pass)
	p.told("Add a passkey now?")
	p.Scripts(false)
	p.Open(Eval[string](p, "location.href"))
	p.Press("later")
	p.Claims()
}

// TestSelfServiceOff: where the help desk gives passkeys out, the account page
// says so and offers none.
func TestSelfServiceOff(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	shoot := func(name string, at ...string) { t.Helper(); p.Pictures(name, at...) }
	p.FirstDay(d, d.Users[1])
	setPolicy(t, d, [2]string{"passkey.selfService", "false"})
	p.Open(d.Base + "/account")
	p.told("Passkeys are given out by the help desk")
	if p.visible(`[data-action="register-passkey"]`) {
		t.Error("the page offers to add one all the same")
	}
	shoot("account-desk", "#methods")
	p.Open(d.Base + "/account/register")
	p.told("Passkeys are given out by the help desk")
	if p.visible(`[data-action="register-passkey"]`) {
		t.Error("the page adds one all the same")
	}
	shoot("register-desk")
}
