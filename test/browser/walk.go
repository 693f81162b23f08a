package browser

import (
	"encoding/json"

	"github.com/signetid/signet/test/running"
)

// Claims waits for the demo app and reads what it was told.
func (p *Person) Claims() map[string]any {
	p.t.Helper()
	var c map[string]any
	if err := json.Unmarshal([]byte(p.Read("pre[data-claims]")), &c); err != nil {
		p.t.Fatalf("claims: %v\n%s", err, p.Where())
	}
	return c
}

// UsePass signs in with a Temporary Access Pass on the sign-in page.
func (p *Person) UsePass(name, pass string) {
	p.t.Helper()
	p.Press("other-ways")
	p.Type("username", name)
	p.Type("access_pass", pass)
	p.Press("signin-access-pass")
}

// Register goes through the pages of a new passkey, keeping the name that is
// suggested.
func (p *Person) Register() {
	p.t.Helper()
	p.Press("register-passkey")
	p.Press("next")
}

// FirstDay takes a person from a pass to the opened app.
func (p *Person) FirstDay(d *running.Demo, u running.User) {
	p.t.Helper()
	p.Open(d.App)
	p.Press("login")
	p.UsePass(u.Name, u.Pass)
	p.Register()
	p.Press("signin-passkey") // "try it once now"
	p.Claims()
}

// Leave signs out at the app, which signs out at the server too.
func (p *Person) Leave(d *running.Demo) {
	p.t.Helper()
	p.Open(d.App)
	p.Press("logout")
	p.Until("signed out", `!document.querySelector("pre[data-claims]")`)
}
