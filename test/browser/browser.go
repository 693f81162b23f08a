// Package browser drives a real Chromium with a virtual authenticator against
// the built signet binary, as a person would.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take to show something.
const patience = 20 * time.Second

// Chromium starts one browser for the test. A machine without one fails the
// test: make test installs it.
func Chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("no chromium on this machine: `make test` installs it")
	}
	return start(t, path)
}

// start starts a browser that is at a path.
func start(t *testing.T, path string) context.Context {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "en-US"))
	alloc, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, stopBrowser := chromedp.NewContext(alloc)
	t.Cleanup(stopBrowser)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// Person is somebody at a browser of their own: separate cookies, and a
// security key that nobody else has.
type Person struct {
	t   *testing.T
	ctx context.Context
	key webauthn.AuthenticatorID
}

// NewPerson opens a fresh browser profile with a platform authenticator that
// verifies its user.
func NewPerson(t *testing.T, browser context.Context) *Person {
	t.Helper()
	ctx, stop := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(stop)
	p := &Person{t: t, ctx: ctx}
	// The context that first runs something owns the tab; one with a deadline
	// would close it.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	p.do("size", chromedp.EmulateViewport(1280, 800))
	if _, err := chromedp.Call(ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatalf("enable WebAuthn: %v", err)
	}
	p.NewKey()
	return p
}

// NewKey takes the present authenticator away and gives a new, empty one.
func (p *Person) NewKey() {
	p.t.Helper()
	if p.key != "" {
		p.LoseKey()
	}
	res, err := chromedp.Call(p.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
		Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21,
			Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true,
			HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}})
	if err != nil {
		p.t.Fatalf("add authenticator: %v", err)
	}
	p.key = res.AuthenticatorID
}

// LoseKey takes the authenticator away.
func (p *Person) LoseKey() {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, webauthn.RemoveVirtualAuthenticator, webauthn.RemoveVirtualAuthenticatorParams{AuthenticatorID: p.key})
	if err != nil {
		p.t.Fatalf("remove authenticator: %v", err)
	}
	p.key = ""
}

// Presence says whether the person touches the key when asked. Without a
// touch a prompt stays open.
func (p *Person) Presence(on bool) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, webauthn.SetAutomaticPresenceSimulation,
		webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: p.key, Enabled: on})
	if err != nil {
		p.t.Fatalf("set presence: %v", err)
	}
}

// Touch presses "Sign in with a passkey" with the finger on the key already.
// A virtual key answers only prompts that open after it was told of the
// finger; one that is open by then hangs until it runs out. The page must
// have been opened with Presence(false), so that its own quiet prompt waits.
func (p *Person) Touch() {
	p.t.Helper()
	const button = `[data-action="signin-passkey"]`
	p.Until("a loaded page with "+button, fmt.Sprintf("document.readyState === 'complete' && document.querySelector(%q)", button))
	p.Presence(true)
	// A quiet prompt that opens just now signs in by itself, and the button is gone.
	Eval[bool](p, fmt.Sprintf("(document.querySelector(%q)?.click(), true)", button))
}

// Verified says whether the key recognises its user. When not, a prompt ends
// with NotAllowedError, exactly as when it is cancelled.
func (p *Person) Verified(on bool) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, webauthn.SetUserVerified,
		webauthn.SetUserVerifiedParams{AuthenticatorID: p.key, IsUserVerified: on})
	if err != nil {
		p.t.Fatalf("set user verification: %v", err)
	}
}

// Bogus makes the key's signatures wrong.
func (p *Person) Bogus(on bool) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, webauthn.SetResponseOverrideBits,
		webauthn.SetResponseOverrideBitsParams{AuthenticatorID: p.key, IsBogusSignature: &on})
	if err != nil {
		p.t.Fatalf("set bogus signature: %v", err)
	}
}

// Keys lists what the authenticator holds.
func (p *Person) Keys() []*webauthn.Credential {
	p.t.Helper()
	res, err := chromedp.Call(p.ctx, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: p.key})
	if err != nil {
		p.t.Fatalf("list credentials: %v", err)
	}
	return res.Credentials
}

// do runs one step; when it fails, the test stops with the step's name, the
// address and what the page says.
func (p *Person) do(step string, action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	err := chromedp.Do(ctx, action)
	for err != nil && ctx.Err() == nil && overtaken(err) {
		err = chromedp.Do(ctx, action)
	}
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", step, err, p.Where())
	}
}

// overtaken says that the page moved under a step: it changed between finding
// and acting, or its own script was just posting a form, which aborts a
// navigation from outside. Neither says anything about the step.
func overtaken(err error) bool {
	return strings.Contains(err.Error(), "node with given id") || strings.Contains(err.Error(), "net::ERR_ABORTED")
}

// Where tells the address and the words on the page, for failures.
func (p *Person) Where() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	where, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return "(page cannot be read: " + err.Error() + ")"
	}
	if file := os.Getenv("SIGNET_TEST_SHOTS"); file != "" {
		p.Shoot(filepath.Join(file, strings.ReplaceAll(p.t.Name(), "/", "_")+"-failed.png"))
	}
	return where
}

// Open goes to an address.
func (p *Person) Open(url string) { p.t.Helper(); p.do("open "+url, chromedp.Navigate(url)) }

// Press clicks the button or link with this data-action.
func (p *Person) Press(action string) {
	p.t.Helper()
	p.Click(fmt.Sprintf("[data-action=%q]", action))
}

// Click clicks the first visible element of a CSS selector, once the page's
// scripts have run: before that a button does what it does without script.
func (p *Person) Click(css string) {
	p.t.Helper()
	p.Until("a loaded page with "+css, fmt.Sprintf("document.readyState === 'complete' && document.querySelector(%q)", css))
	p.do("click "+css, chromedp.Click(chromedp.CSS(css), chromedp.NodeVisible))
}

// Type writes into the field with this name.
func (p *Person) Type(field, text string) {
	p.t.Helper()
	sel := chromedp.CSS(fmt.Sprintf("[name=%q]", field))
	p.do("wait for field "+field, chromedp.WaitVisible(sel))
	p.do("type into "+field, chromedp.SendKeys(sel, text))
}

// Retype writes into the field in the place of what stands there.
func (p *Person) Retype(field, text string) {
	p.t.Helper()
	p.See(fmt.Sprintf("[name=%q]", field))
	Eval[bool](p, fmt.Sprintf("document.querySelector('[name=%q]').value = \"\", true", field))
	p.Type(field, text)
}

// See waits until the page shows the element.
func (p *Person) See(css string) {
	p.t.Helper()
	p.do("see "+css, chromedp.WaitVisible(chromedp.CSS(css)))
}

// Read waits for the element and gives its text.
func (p *Person) Read(css string) string {
	p.t.Helper()
	p.See(css)
	text, err := chromedp.Run(p.ctx, chromedp.Text(chromedp.CSS(css)))
	if err != nil {
		p.t.Fatalf("read %s: %v\n%s", css, err, p.Where())
	}
	return text
}

// Eval evaluates an expression in the page.
func Eval[T any](p *Person, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("evaluate %s: %v\n%s", expression, err, p.Where())
	}
	return v
}

// Until waits for an expression to become true in the page.
func (p *Person) Until(what, expression string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		cancel()
		if err == nil && ok {
			return
		}
		time.Sleep(50 * time.Millisecond) // between two looks at a page that gives no event
	}
	p.t.Fatalf("%s did not come\n%s", what, p.Where())
}

// Look sets theme and width for pictures.
func (p *Person) Look(theme string, width, height int64) {
	p.t.Helper()
	p.do("size", chromedp.EmulateViewport(width, height))
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: theme},
			{Name: "prefers-reduced-motion", Value: "reduce"}, // nothing is caught half-way
		}})
	if err != nil {
		p.t.Fatalf("set theme: %v", err)
	}
}

// Shoot writes a picture of the page.
func (p *Person) Shoot(file string) {
	shot, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file, shot, 0o644)
	}
	if err != nil {
		p.t.Logf("picture %s: %v", file, err)
	}
}

// Scripts says whether pages that are opened from here on run theirs.
func (p *Person) Scripts(on bool) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
	if err != nil {
		p.t.Fatalf("switch scripts: %v", err)
	}
}
