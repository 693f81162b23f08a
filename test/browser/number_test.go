package browser

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	known "github.com/signetid/signet/internal/browser"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/test/running"
)

// TestNumber: the page that shows a number for the phone, for a name that
// nobody has: what it looks like, what it says, and the ways on from there.
func TestNumber(t *testing.T) {
	d := running.StartDemo(t)
	chromium := Chromium(t)
	setPolicy(t, d, [2]string{"method.phone", "true"})
	p := NewPerson(t, chromium)
	shoot := func(name string, at ...string) { t.Helper(); p.Pictures(name, at...) }
	p.Presence(false)
	p.Open(d.App)
	p.Press("login")
	p.See(`[data-action="signin-phone"]`)
	shoot("signin-phone")
	p.Press("signin-phone")
	p.told("Type your user name, so that we know whose phone to ask.")
	p.Type("username", "zoe@"+strings.SplitN(d.Users[1].Name, "@", 2)[1])
	p.Press("signin-phone")
	p.See(`[data-number]`)
	number := p.Read(`[data-number]`)
	if len(number) != 2 || Eval[string](p, `document.querySelector("[data-number]").getAttribute("aria-label")`) != number[:1]+", "+number[1:] {
		t.Errorf("the number is %q", number)
	}
	p.Until("a second that passed", `document.getElementById("left").textContent !== "2:00 left"`)
	p.Until("help, after a while", `getComputedStyle(document.getElementById("help")).visibility === "visible"`)
	shoot("number")
	p.Press("show-code")
	p.Until("the code", `document.querySelector(".qr").getBoundingClientRect().height > 150`)
	shoot("number-code")
	p.Press("send-again")
	p.told("Sent again.")
	// The same number after a reload, and the way back from other ways.
	Eval[bool](p, `document.getElementById("left").remove(), location.reload(), true`)
	p.Until("the page again", `document.getElementById("left") !== null`)
	if again := p.Read(`[data-number]`); again != number {
		t.Errorf("the number is %s after a reload, was %s", again, number)
	}
	p.Press("other-ways")
	p.See(`[data-action="signin-passkey"]`)
	p.Press("signin-phone") // the name is there already
	p.See(`[data-number]`)
	p.Press("cancel")
	p.See(`[data-action="signin-passkey"]`)

	// Without script: the same page, which loads itself again.
	p.Scripts(false)
	p.Open(d.App + "/login")
	p.See(`[data-action="signin-phone"]`)
	p.Type("username", "zoe@example.org")
	p.Press("signin-phone")
	p.See(`[data-number]`)
	p.Scripts(true)
}

// TestKnownBrowser: a passkey gives a browser its key, which shows by signature
// that it is the same browser, and which no script can read.
func TestKnownBrowser(t *testing.T) {
	d := running.StartDemo(t)
	p := NewPerson(t, Chromium(t))
	u := d.Users[1]
	shows := func(handle string) (key, signature string) {
		t.Helper()
		Eval[bool](p, `window.shown = null; (async () => {
			const script = await (await fetch(document.querySelector("script[src*=signin]").src)).text();
			const { shows } = await import(new URL(script.match(/"([^"]*known[^"]*)"/)[1], document.querySelector("script[src*=signin]").src));
			window.shown = JSON.stringify((await shows("`+d.Tenant+`", "`+handle+`")) || {});
		})(); true`)
		p.Until("what the browser shows", `window.shown !== null`)
		var out struct {
			Key       string `json:"browser_key"`
			Signature string `json:"browser_signature"`
		}
		if err := json.Unmarshal([]byte(Eval[string](p, "window.shown")), &out); err != nil {
			t.Fatal(err)
		}
		return out.Key, out.Signature
	}
	page := d.Base + "/" + d.Tenant + "/signin"
	p.Open(page)
	if key, signature := shows("flow"); key != "" || signature != "" {
		t.Errorf("a browser that nobody has used shows %q", key)
	}
	p.FirstDay(d, u)
	p.Leave(d)
	p.Presence(false) // the page would be answered by itself
	p.Open(page)
	p.See(`[data-action="signin-phone"]`)
	key, signature := shows("flow")
	shown := known.ParseShown(key, signature)
	parsed, err := x509.ParsePKIXPublicKey(shown.Key)
	if err != nil {
		t.Fatalf("the key %q: %v", key, err)
	}
	signs := func(handle string) bool {
		digest := sha256.Sum256(known.Message(idp.TenantID(d.Tenant), handle))
		r, s := new(big.Int).SetBytes(shown.Signature[:32]), new(big.Int).SetBytes(shown.Signature[32:])
		return ecdsa.Verify(parsed.(*ecdsa.PublicKey), digest[:], r, s)
	}
	if !signs("flow") || signs("other") {
		t.Error("the signature is not that of this flow")
	}
	if again, _ := shows("flow"); again != key {
		t.Error("another key on the same page")
	}
	Eval[bool](p, `window.exported = null; (async () => {
		const db = await new Promise((done) => { const o = indexedDB.open("signet-browser"); o.onsuccess = () => done(o.result); });
		const pair = await new Promise((done) => { const g = db.transaction("keys").objectStore("keys").get("key"); g.onsuccess = () => done(g.result); });
		try { await crypto.subtle.exportKey("pkcs8", pair.privateKey); window.exported = "yes"; } catch (e) { window.exported = e.name; }
	})(); true`)
	p.Until("the end of the export", `window.exported !== null`)
	if got := Eval[string](p, "window.exported"); got != "InvalidAccessError" {
		t.Errorf("exporting the key: %s", got)
	}
}
