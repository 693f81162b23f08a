package browser

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/signetid/signet/internal/agent/agenttest"
	"github.com/signetid/signet/test/running"
)

// enrolled is a desktop that has joined, on which the second demo person has a
// key and is signed in.
func enrolled(t *testing.T, demo *running.Demo, tpm string) *desktop {
	t.Helper()
	p := NewPerson(t, Chromium(t))
	p.FirstDay(demo, demo.Users[1])
	d := &desktop{t: t, d: demo, state: filepath.Join(t.TempDir(), "device"), tpm: tpm}
	visit := func(line string) {
		if at, ok := strings.CutPrefix(line, "  http"); ok {
			p.Open("http" + at)
			p.Press("signin-passkey")
			p.Until("the end", `document.body.innerText.includes("You can close this page")`)
		}
	}
	d.must("", visit, "join", "--server", demo.Base, "--ca-file", demo.CAFile, "--name", "ws-18")
	d.must("424289\n", visit, "hello", "enrol", "--pin-stdin")
	d.must("424289\n", nil, "sign-in", "--pin-stdin")
	return d
}

// A browser with the extension opens an app without a question, and so it does
// after the server asked for a header with a nonce of its own. Elsewhere
// nothing is sent, and a private window has no extension.
func TestExtension(t *testing.T) {
	demo := running.StartDemo(t)
	d := enrolled(t, demo, agenttest.TPM(t))
	home := t.TempDir()
	folder := filepath.Join(home, "extension")
	cmd := d.command("browser-extension", folder)
	cmd.Env = append(os.Environ(), "HOME="+home)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	browser := extended(t, home, folder)
	p := &Person{t: t, ctx: browser}

	p.Open(demo.App)
	p.Press("login")
	if c := p.Claims(); c["preferred_username"] != demo.Users[1].Name {
		t.Fatalf("the app was told %v", c)
	}
	private := &Person{t: t, ctx: besides(t, browser)}
	private.Open(demo.App)
	private.Press("login")
	private.Until("the sign-in page", `!!document.querySelector("[name=username]")`)

	// A device that left signs nobody in, and the detour leads on all the same.
	d.must("", nil, "leave")
	again := &Person{t: t, ctx: browser}
	if _, err := chromedp.Call(browser, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	again.Open(demo.App)
	again.Press("login")
	again.Until("the sign-in page", `!!document.querySelector("[name=username]")`)
}

// besides is a window of its own, private.
func besides(t *testing.T, browser context.Context) context.Context {
	t.Helper()
	ctx, stop := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}
