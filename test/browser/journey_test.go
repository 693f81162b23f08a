package browser

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/signetid/signet/test/running"
)

// claims waits for the demo app and reads what it was told.
func (p *Person) claims() map[string]any {
	p.t.Helper()
	var c map[string]any
	if err := json.Unmarshal([]byte(p.Read("pre[data-claims]")), &c); err != nil {
		p.t.Fatalf("claims: %v\n%s", err, p.Where())
	}
	return c
}

// firstDay takes a person from a pass to the opened app.
func (p *Person) firstDay(d *running.Demo, u running.User) {
	p.t.Helper()
	p.Open(d.App)
	p.Press("login")
	p.usePass(u.Name, u.Pass)
	p.register()
	p.Press("signin-passkey") // "try it once now"
	p.claims()
}

func (p *Person) usePass(name, pass string) {
	p.t.Helper()
	p.Press("other-ways")
	p.Type("username", name)
	p.Type("access_pass", pass)
	p.Press("signin-access-pass")
}

// register goes through the pages of a new passkey, up to the one that tries it.
func (p *Person) register() {
	p.t.Helper()
	p.Press("register-passkey")
	p.Press("next") // the name that is suggested
}

func TestJourney(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	p := NewPerson(t, chromium)
	u := d.Users[1]
	p.firstDay(d, u)
	if c := p.claims(); c["preferred_username"] != u.Name || c["iss"] != d.Issuer || !strings.Contains(claimWords(c["amr"]), "fido") {
		t.Errorf("claims %v", c)
	}
}

func claimWords(v any) string {
	raw, _ := json.Marshal(v)
	return string(raw)
}
