package browser

import (
	"encoding/csv"
	"strconv"
	"strings"
	"testing"

	"github.com/signetid/signet/test/running"
)

// fetched reads an address as this browser would, with its cookies.
func (p *Person) fetched(url string) (status int, kind, text string) {
	p.t.Helper()
	Eval[bool](p, `window.got = null; fetch("`+url+`").then(async (r) => { window.got = [String(r.status), r.headers.get("Content-Type"), await r.text()] }); true`)
	p.Until("the answer of "+url, `window.got !== null`)
	return Eval[int](p, `Number(window.got[0])`), Eval[string](p, `window.got[1]`), Eval[string](p, `window.got[2]`)
}

// reads checks that the page has words.
func (p *Person) reads(what string, words ...string) {
	p.t.Helper()
	text := p.Read("main")
	for _, w := range words {
		if !strings.Contains(text, w) {
			p.t.Errorf("%s does not say %q:\n%s", what, w, text)
		}
	}
}

// TestConsoleLog: somebody calls because they were not let in. The sign-in is
// in the log, its page names the rule and what would have done, and the rules
// can be asked about other facts.
func TestConsoleLog(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	p := NewPerson(t, chromium)
	p.Console(d)
	p.Open(d.Base + "/admin/log?result=failure")
	p.reads("an empty log", "No sign-in was refused. Good.")

	u := d.Users[1]
	user := NewPerson(t, chromium)
	user.FirstDay(d, u)
	signin := func() {
		user.Presence(false)
		user.Open(d.App + "/login?prompt=login")
		user.See(`[data-action="signin-passkey"]`)
		Eval[bool](user, `window.before = true`)
		user.Touch()
	}
	var apps []struct {
		ID   string
		Name string `json:"displayName"`
	}
	d.Admin(t, &apps, "app", "list")
	if len(apps) == 0 {
		t.Fatal("the demo has no app")
	}
	d.Admin(t, nil, "app", "update", apps[0].ID, "--acr", "phrh")
	signin()
	user.Until("asked for more", `!window.before && document.querySelector('[data-action="signin-passkey"]') && !location.href.startsWith("`+d.App+`")`)
	d.Admin(t, nil, "app", "update", apps[0].ID, "--acr", "")
	user.Open(d.App)
	user.Bogus(true)
	signin()
	user.told("That did not let you in.")
	user.Presence(false) // or the page's quiet prompt is answered by itself, while they are on their way elsewhere
	user.Bogus(false)
	d.Admin(t, nil, "user", "disable", u.Name, "--tenant", d.Tenant)
	signin()
	user.Until("a refusal", `document.querySelector("[data-code]") || document.body.innerText.includes("switched")`)
	d.Admin(t, nil, "user", "enable", u.Name, "--tenant", d.Tenant)

	p.Open(d.Base + "/admin/log")
	p.See("table.log")
	p.Pictures("admin-log")
	rows := Eval[int](p, `document.querySelectorAll("table.log tbody tr").length`)
	if rows < 4 {
		t.Fatalf("%d rows", rows)
	}
	refused := `[...document.querySelectorAll("table.log tbody tr")].filter((r) => r.querySelector(".state.bad")).length`
	p.Open(d.Base + "/admin/log?result=failure")
	if n := Eval[int](p, `document.querySelectorAll("table.log tbody tr").length`); n < 2 || Eval[int](p, refused) != n {
		t.Errorf("%d refusals are listed, %d of them as such", n, Eval[int](p, refused))
	}
	p.reads("the log", "by “The person is switched on”", "wrong signature")

	// The search field finds the person; the filters stay in the address.
	p.Type("q", u.Name)
	Eval[bool](p, `document.querySelector("form.logbar").requestSubmit(), true`)
	p.Until("the filtered list", `location.search.includes("q=") && location.search.includes("result=failure")`)
	p.See(".chip")
	status, kind, text := p.fetched(d.Base + "/admin/log/csv" + Eval[string](p, `location.search`))
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if status != 200 || !strings.HasPrefix(kind, "text/csv") || err != nil || len(lines) != 1+Eval[int](p, `document.querySelectorAll("table.log tbody tr").length`) {
		t.Errorf("the file: %d %s, %v\n%s", status, kind, err, text)
	}
	p.Click(".chip a")
	p.Until("one filter less", `!location.search.includes("q=")`)

	p.Click("table.log tbody tr:first-child th a")
	p.See(".story")
	p.reads("the refused sign-in", u.Show+" was not let in", "The person is switched on", "This rule decided.", "AADSTS50057")
	p.Pictures("admin-log-refused")
	p.Press("earlier")
	p.Until("the one before", `document.querySelector("[data-action=later]")`)
	p.Open(d.Base + "/admin/log?reason=bad_signature")
	p.Click("table.log tbody tr:first-child th a")
	p.See(".story")
	p.reads("what a wrong signature says", "Nothing was proven.", "The signature did not verify")

	p.Open(d.Base + "/admin/log?result=interrupted&person=" + u.ID)
	p.Click("table.log tbody tr:first-child th a")
	p.See(".story")
	p.reads("the sign-in that was not enough", "was not let in to "+apps[0].Name+" yet", "App demands Phishing-resistant, hardware-bound", "This rule decided.", "What would have let "+u.Show+" in")
	p.Pictures("admin-log-one")

	p.Press("try")
	ask := func(what, key, strength, answer string) {
		t.Helper()
		p.See("#key")
		Eval[bool](p, `window.asked = true, document.getElementById("strength").value = "`+strength+`", true`)
		if key != "" {
			Eval[bool](p, `document.getElementById("key").value = "`+key+`", true`)
		}
		p.Press("ask")
		p.Until(what, `!window.asked && document.querySelector("[data-answer=`+answer+`]")`)
	}
	p.See("[data-answer=warn]") // the facts are those of the sign-in
	p.Pictures("admin-log-try")
	ask("the answer without the demand", "", "", "good")
	ask("the answer about a stronger key", "hardware", "00000000-0000-0000-0000-000000000005", "good")
	ask("the answer about a pass", "pass", "", "warn")
	p.Type("person", ".nobody")
	p.Press("ask")
	p.See("#person-err")

	// What is new waits behind a link.
	p.Open(d.Base + "/admin/log")
	p.See("table.log")
	before := Eval[int](p, `document.querySelectorAll("table.log tbody tr").length`)
	signin()
	user.Claims()
	Eval[bool](p, `document.dispatchEvent(new Event("visibilitychange")), true`)
	p.Until("the link to the new one", `!document.querySelector("[data-newer]").hidden`)
	if n := Eval[int](p, `document.querySelectorAll("table.log tbody tr").length`); n != before {
		t.Errorf("the list jumped from %d to %d rows", before, n)
	}
	if text := p.Read("[data-newer]"); text != "1 new" {
		t.Errorf("the link says %q", text)
	}
	p.Click("[data-newer] a")
	p.Until("one row more", `document.querySelectorAll("table.log tbody tr").length === `+strconv.Itoa(before+1))

	p.Open(d.Base + "/admin/log/00000000-0000-4000-8000-000000000000")
	p.told("There is no such record in this log.")
}

// TestConsoleChanges: who changed what, and the report of who has registered
// what.
func TestConsoleChanges(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	u := d.Users[1]
	d.Admin(t, nil, "policy", "set", "accessPass.default", "2h0m0s", "--tenant", d.Tenant)
	d.Admin(t, nil, "user", "disable", u.Name, "--tenant", d.Tenant)
	d.Admin(t, nil, "user", "enable", u.Name, "--tenant", d.Tenant)

	p.Open(d.Base + "/admin/changes")
	p.See(".changes")
	p.reads("the changes", "accessPass.default", "switched "+u.Name+" off", "switched "+u.Name+" on")
	p.Pictures("admin-changes")
	p.Open(d.Base + "/admin/changes?kind=rules")
	p.See(".diff")
	if text := p.Read("main"); strings.Contains(text, "switched "+u.Name) {
		t.Errorf("changes of people among those of rules: %s", text)
	}
	p.Open(d.Base + "/admin/changes?q=" + u.Name + "&kind=people")
	if n := Eval[int](p, `document.querySelectorAll(".changes > li").length`); n < 2 {
		t.Errorf("%d changes of one person", n)
	}

	p.Open(d.Base + "/admin/report")
	p.Press("count")
	p.told("Counted just now.")
	p.See(".shares path[d]")
	p.reads("the report", "Phishing-resistant, on one device", "No way in")
	p.Pictures("admin-report")
	status, kind, text := p.fetched(d.Base + "/admin/report/csv")
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if status != 200 || !strings.HasPrefix(kind, "text/csv") || err != nil || len(lines) < 4 || lines[0][0] != "user" {
		t.Errorf("the file: %d %s, %v\n%s", status, kind, err, text)
	}
	if !strings.Contains(text, d.Users[0].Name+","+d.Users[0].Show+",passkeyDeviceBound,bound,yes,yes,") {
		t.Errorf("the administrator is not told: %s", text)
	}
}

// TestConsoleLogIsForHelpdesk: the help desk reads the log, and takes no files
// of it away.
func TestConsoleLogIsForHelpdesk(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	p.FirstDay(d, d.Users[1]) // the role takes an unused pass back
	d.Admin(t, nil, "user", "set-role", d.Users[1].Name, "helpdesk", "--tenant", d.Tenant)
	p.Open(d.Base + "/admin/log")
	p.See("table.log")
	if Eval[bool](p, `Boolean(document.querySelector("[data-action=csv]"))`) {
		t.Error("the help desk is offered the file")
	}
	if status, _, _ := p.fetched(d.Base + "/admin/log/csv"); status != 403 {
		t.Errorf("the file: %d for the help desk", status)
	}
	if status, _, _ := p.fetched(d.Base + "/admin/report/csv"); status != 403 {
		t.Errorf("the report's file: %d for the help desk", status)
	}
}

// TestConsoleLogWithoutScript: the log, its filters, one record and the what-if
// work without script, and nothing is shown that needs one.
func TestConsoleLogWithoutScript(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	p.Scripts(false)
	p.Open(d.Base + "/admin/log")
	p.See("table.log")
	if p.visible("[data-newer]") {
		t.Error("a link that only a script fills is shown")
	}
	p.Type("q", d.Users[0].Name+"\r")
	p.See(".chip")
	p.Click("table.log tbody tr:first-child th a")
	p.See(".story")
	if text := p.Read(".story .at[data-at]"); !strings.Contains(text, "UTC") {
		t.Errorf("a time without a zone: %q", text)
	}
	if p.visible("[data-copy]") {
		t.Error("a button that only a script serves is shown")
	}
	p.Open(d.Base + "/admin/log/try?person=" + d.Users[0].Name)
	p.Press("ask")
	p.See("[data-answer=good]")
}
