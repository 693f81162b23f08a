package browser

import (
	"testing"

	"github.com/signetid/signet/test/running"
)

// TestConsolePhones is what an administrator does about phones: a stricter rule
// about browsers names whom it would touch, a person's page says what each phone
// is, a test message says what became of it, and a block that a report left is
// lifted.
func TestConsolePhones(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	ben := d.Users[1]
	d.Handset(t, ben, "Ben's phone")
	d.Handset(t, ben, "Old phone", "-reported")

	p.Open(d.Base + "/admin")
	p.told("reported a sign-in that was not theirs")
	p.Pictures("admin-phone-overview")

	p.Open(d.Base + "/admin/methods/phone")
	p.told("That does not stop a page in the middle")
	p.Pictures("admin-phone-rules")
	p.Click(`label:has(> [name=from][value=known])`)
	p.worked("Nobody loses a key")
	p.Pictures("admin-phone-impact", "#s-from")
	p.Pictures("admin-phone-shows", "#s-shows")
	p.Click(`label:has(> [name=reportBlock])`)
	p.told("could not sign in by phone until an administrator lifts the block")
	p.Pictures("admin-phone-reports", "#s-reports")
	p.Press("save")
	p.told("It holds from the next sign-in on.")
	p.Open(d.Base + "/admin/methods")
	p.told("Only known browsers may ask")
	p.Pictures("admin-phone-methods")

	person := d.Base + "/admin/people/" + ben.ID
	p.Open(person)
	p.told("Signing in by phone is blocked since")
	p.told("Its passkey is gone: it cannot approve.")
	p.Pictures("admin-phone-person", "#b-methods")
	p.Press("test-phone")
	p.Until("what became of it", `document.getElementById("tested") !== null`)
	p.Pictures("admin-phone-tested", "#b-methods")
	p.Press("unblock")
	p.told("Talk to them first")
	p.Pictures("admin-phone-unblock")
	p.Press("confirm")
	p.told("Their phones can be asked again.")
	p.told("let " + ben.Name + " sign in by phone again")
	p.Open(d.Base + "/admin/log?method=phone")
	p.told("Reported as not theirs")
	p.Pictures("admin-phone-log")
	p.Click(`tbody a`)
	p.told("reported a sign-in that was not theirs")
	p.Pictures("admin-phone-log-one")
}
