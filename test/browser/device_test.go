package browser

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/test/running"
)

// asking is a machine without a browser, as published clients behave: they ask
// for a code on the addresses without v2.0, show it, and poll.
type asking struct {
	t      *testing.T
	d      *running.Demo
	client string
	code   struct {
		Device   string `json:"device_code"`
		User     string `json:"user_code"`
		Page     string `json:"verification_uri"`
		Interval int    `json:"interval"`
	}
}

const shell = "1b730954-1685-4b74-9bfd-dac224a7b894" // a built-in application

func (a *asking) post(path string, v url.Values, out any) int {
	a.t.Helper()
	v.Set("client_id", a.client)
	req, err := http.NewRequest("POST", a.d.Base+path, strings.NewReader(v.Encode()))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "field-terminal/2.1 (Linux)")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		a.t.Fatal(err)
	}
	return res.StatusCode
}

func ask(t *testing.T, d *running.Demo, v url.Values) *asking {
	t.Helper()
	a := &asking{t: t, d: d, client: shell}
	if status := a.post("/Common/oAuth2/devicecode/", v, &a.code); status != http.StatusOK || a.code.Page != d.Base+"/device" {
		t.Fatalf("%d %+v", status, a.code)
	}
	return a
}

// poll asks once, no sooner than it may.
func (a *asking) poll() (int, map[string]any) {
	a.t.Helper()
	time.Sleep(time.Duration(a.code.Interval) * time.Second) // it is what the machine is told to do
	var out map[string]any
	status := a.post("/common/oauth2/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "code": {a.code.Device}}, &out)
	return status, out
}

// TestDeviceCode: a person lets a machine in, by a code and one gesture, and
// another one not. Every page on the way is looked at.
func TestDeviceCode(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	p.FirstDay(d, d.Users[1])
	a := ask(t, d, url.Values{"resource": {"urn:ms-drs:enterpriseregistration.windows.net"}})
	p.Open(a.code.Page)
	p.See(`[name="user_code"]`)
	p.Pictures("device-code")
	p.Type("user_code", "BCD-FGH")
	p.Press("next")
	p.Until("what is wrong", `document.getElementById("user_code-error") !== null`)
	p.Pictures("device-code-wrong")
	p.Retype("user_code", strings.ToLower(a.code.User))
	p.Press("next")
	p.Until("the wait", `document.getElementById("waiting") !== null`)
	p.Pictures("device-code-waiting")
	if status, out := a.poll(); status != http.StatusBadRequest || out["error"] != "authorization_pending" {
		t.Fatalf("%d %v", status, out)
	}
	p.See(`[data-action="consent-allow"]`) // by itself
	for _, want := range []string{"Directory command line", "field-terminal/2.1", "127.0.0.1", "Become a device of Nordhafen", "in front of you"} {
		if said := p.Read("main"); !strings.Contains(said, want) {
			t.Errorf("the page lacks %q: %s", want, said)
		}
	}
	p.Pictures("device-code-met")
	p.Press("consent-allow")
	p.Until("the end", `document.querySelector("h1").textContent.includes("is let in")`)
	p.Pictures("device-code-done")
	if status, out := a.poll(); status != http.StatusOK || out["resource"] != "urn:ms-drs:enterpriseregistration.windows.net" || out["expires_in"] != "3600" {
		t.Errorf("%d %v", status, out)
	}

	b := ask(t, d, url.Values{"resource": {"https://graph.microsoft.com"}})
	p.Open(b.code.Page)
	p.Scripts(false) // a page of before scripts does all of it, too
	p.Open(b.code.Page)
	p.Type("user_code", b.code.User)
	p.Press("next")
	b.poll()
	p.Until("the question", `document.querySelector('[data-action="consent-deny"]') !== null`)
	p.Press("consent-deny")
	p.Until("the end", `document.querySelector("h1").textContent.includes("Nobody")`)
	p.Scripts(true)
	p.Pictures("device-code-denied")
	if status, out := b.poll(); status != http.StatusBadRequest || out["error"] != "authorization_declined" {
		t.Errorf("%d %v", status, out)
	}
}
