package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/signetid/signet/test/running"
)

// nfc is a model that is known by its bundled name.
const nfc = "a25342c0-3cdc-4414-8e46-f4807fca511c"

// worked waits for the impact of what the form says now.
func (p *Person) worked(title string) {
	p.t.Helper()
	p.Until("the impact: "+title, `!document.querySelector("[data-busy]") && document.getElementById("impact-title").textContent.trim() === "`+title+`"`)
}

// TestPolicyOfKeys is a stricter rule about keys: whom it would touch stands
// there before it is saved; on trial it refuses nobody; enforcing it is refused
// as long as the administrator would be locked out.
func TestPolicyOfKeys(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	p := NewPerson(t, chromium)
	p.Console(d)
	user := NewPerson(t, chromium)
	user.FirstDay(d, d.Users[1])
	p.Open(d.Base + "/admin/methods")
	p.Pictures("admin-methods")
	p.Open(d.Base + "/admin/methods/passkey")
	p.told("Nothing is changed yet")
	p.Pictures("admin-passkeys")

	p.Click(`label:has(> [name=mode][value=allow])`)
	p.worked("This cannot be saved as it stands")
	p.Click("[data-dialog]")
	p.See("#dialog[open] #picker-q")
	p.told("In use but not allowed")
	p.Pictures("admin-picker")
	p.Type("q", "yubikey 5 nfc")
	p.Until("the models found", `document.querySelectorAll("#picker-list li").length === 3`)
	p.Click(`#picker-list label:has([value="` + nfc + `"])`)
	p.Until("the figures", `document.querySelector("[data-figure=chosen]").textContent === "1" && document.querySelector("[data-figure=keys]").textContent === "2"`)
	p.Press("picked")
	p.worked("2 people and 2 keys would stop working")
	if Eval[bool](p, `document.getElementById("dialog").open`) {
		t.Error("the picker stays open")
	}
	p.told("The 2 with no way in")
	p.told("2 changes not saved.")
	p.Pictures("admin-impact")

	// The chip is struck through and can be put back.
	chip := `#models label:has([value="` + nfc + `"])`
	p.Click(chip)
	p.worked("This cannot be saved as it stands")
	p.Click(chip)
	p.worked("2 people and 2 keys would stop working")

	p.Press("trial")
	p.told("On trial.")
	p.told("Key rules are on trial.")
	user.again(d)
	user.Claims() // nobody is refused yet

	p.told("If these rules were enforced")
	p.Press("enforce")
	p.told("Refuse 2 people from now on?")
	p.told("Ada Lindqvist")
	p.Pictures("admin-impact-ask")
	if focus := Eval[string](p, `document.activeElement.dataset.action`); focus != "cancel" {
		t.Errorf("the focus is on %q", focus)
	}
	p.Press("confirm")
	p.told("You would have no way in yourself after this change, so it is not saved.")
	p.told("This administrator would have no way in: Ada Lindqvist.")
	p.Pictures("admin-lockout")
}

// TestPolicyOfPeople: a person is found, barred from passkeys, named before it
// is saved, and refused at the next sign-in.
func TestPolicyOfPeople(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	p := NewPerson(t, chromium)
	p.Console(d)
	user := NewPerson(t, chromium)
	user.FirstDay(d, d.Users[1])
	p.Open(d.Base + "/admin/methods/passkey")
	p.Click("#who-exclude summary")
	p.Type("find.exclude", d.Users[1].Name[:3])
	p.Until("the one found", `document.querySelectorAll("#who-exclude .results li").length === 1`)
	if at := Eval[string](p, `document.activeElement.name`); at != "find.exclude" {
		t.Errorf("after looking somebody up, the focus is on %q", at)
	}
	p.Pictures("admin-find")
	p.Click("#who-exclude .results label")
	p.worked("1 person and 1 key would stop working")
	p.told("Who may use passkeys is never on trial")
	p.Press("enforce")
	p.told("Refuse 1 person from now on?")
	p.Press("cancel")
	p.worked("1 person and 1 key would stop working") // nothing is lost on the way back
	p.Press("enforce")
	p.Press("confirm")
	p.told("It holds from the next sign-in on.")
	user.again(d)
	user.Until("a refusal", `document.querySelector("[data-code]") && !document.querySelector("pre[data-claims]")`)
}

// TestPolicyWithoutScript: everything works by plain buttons.
func TestPolicyWithoutScript(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	p.scripts(false)
	p.Open(d.Base + "/admin/methods/passkey")
	p.Click(`label:has(> [name=mode][value=deny])`)
	p.Click("[data-dialog]")
	p.See("#picker")
	p.Click(`#picker-list label:has([value="` + nfc + `"])`)
	p.Press("picked")
	p.See("#policy")
	p.plain("Nobody loses a key", "2 changes not saved.", "1 of", "YubiKey 5 NFC")
	p.Click(`label:has(> [name=attestation][value=always])`)
	p.Click(`.nojs[value=check]`)
	p.Until("the impact", `document.getElementById("impact-title").textContent.includes("1 person")`)
	p.plain("1 person and 1 key would stop working", "Ada Lindqvist", "3 changes not saved.")
	p.Click(`label:has(> [name=attestation][value=none])`)
	p.Click(`.nojs[value=check]`)
	p.See(`[data-action="save"]`)
	p.Press("save")
	p.See(".said")
	p.plain("It holds from the next sign-in on.", "Models refused", "YubiKey 5 NFC")
	p.Open(d.Base + "/admin/strengths/new")
	p.Type("name", "Payroll")
	p.Click(`label:has(> [name=combo][value=fido2])`)
	p.Press("save")
	p.See(".said")
	p.Open(d.Base + "/admin/strengths")
	p.plain("Payroll", "payroll", "no app")
}

// again signs out and comes back with the passkey.
func (p *Person) again(d *running.Demo) {
	p.t.Helper()
	p.Leave(d)
	p.Presence(false) // the page's own prompt waits for a press
	p.Press("login")
	p.Touch()
}

// scripts says whether pages may run any.
func (p *Person) scripts(on bool) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on}); err != nil {
		p.t.Fatalf("scripts: %v", err)
	}
}

// plain checks words of a page that stands still.
func (p *Person) plain(want ...string) {
	p.t.Helper()
	text := strings.Join(strings.Fields(p.Read("main")), " ")
	for _, w := range want {
		if !strings.Contains(text, w) {
			p.t.Errorf("the page does not say %q: %s", w, text)
		}
	}
}

// TestStrengths makes a strength by script, and pictures the pages.
func TestStrengthPages(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	p.Open(d.Base + "/admin/strengths")
	p.Pictures("admin-strengths")
	p.Press("new-strength")
	p.Type("name", "Payroll")
	p.Click(`label:has(> [name=combo][value=fido2])`)
	p.Click("[data-dialog]")
	p.See("#dialog[open] #picker-q")
	p.Click(`#picker-list label:has([value="` + nfc + `"])`)
	p.Press("picked")
	p.See(`#models label:has([value="` + nfc + `"])`)
	p.Pictures("admin-strength")
	p.Press("save")
	p.told("It holds from the next sign-in on.")
	for _, page := range []string{"methods/accessPass", "methods/campaign", "methods/order", "methods/passkey/profiles/new"} {
		p.Open(d.Base + "/admin/" + page)
		p.Pictures("admin-" + strings.ReplaceAll(page, "/", "-"))
	}
}
