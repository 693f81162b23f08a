package browser

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// phoneLooks are the ways each view of the phone app is pictured.
var phoneLooks = []struct {
	name, theme   string
	width, height int64
}{
	{"390", "light", 390, 844},
	{"390-dark", "dark", 390, 844},
	{"320", "light", 320, 568},
	{"wide", "light", 1280, 800},
}

// NewPhone opens a fresh browser profile of the size of a phone, whose push
// service is the test's: a real one is far away, and headless browsers have
// none.
func NewPhone(t *testing.T, chromium context.Context, endpoint, p256dh, auth string) *Person {
	t.Helper()
	p := NewPerson(t, chromium)
	p.Look("light", 390, 844)
	p.Permission("notifications", "granted")
	stub := `
	// What a script of the page lets fall is the test's to see, over reloads.
	const fell = (what) => sessionStorage.setItem("test-errors", (sessionStorage.getItem("test-errors") || "") + what + "\n");
	addEventListener("error", (e) => fell(e.message + " " + e.filename + ":" + e.lineno));
	addEventListener("unhandledrejection", (e) => fell(e.reason && e.reason.stack || e.reason));
	addEventListener("securitypolicyviolation", (e) => fell(e.violatedDirective + " " + e.blockedURI));
	if (window.PushManager) {
		const made = () => JSON.parse(localStorage.getItem("test-subscription") || "null");
		const encoded = (key) => btoa(String.fromCharCode(...new Uint8Array(key.buffer || key)));
		const dress = (s) => s && {
			endpoint: s.endpoint, options: { applicationServerKey: Uint8Array.from(atob(s.key), (c) => c.charCodeAt(0)).buffer },
			toJSON: () => ({ endpoint: s.endpoint, keys: s.keys }), unsubscribe: async () => { localStorage.removeItem("test-subscription"); return true; },
		};
		PushManager.prototype.getSubscription = async () => dress(made());
		PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
			if (!userVisibleOnly || Notification.permission !== "granted") throw new DOMException("no", "NotAllowedError");
			localStorage.setItem("test-subscription", JSON.stringify({ endpoint: ` + quote(endpoint) + ` + (localStorage.getItem("test-endpoint") || ""), key: encoded(applicationServerKey), keys: { p256dh: ` + quote(p256dh) + `, auth: ` + quote(auth) + ` } }));
			return dress(made());
		};
		// Headless browsers ask nobody: the test's person says yes when asked.
		const asked = "test-permission";
		Object.defineProperty(Notification, "permission", { get: () => localStorage.getItem(asked) || "default" });
		Notification.requestPermission = async () => { localStorage.setItem(asked, window.personDenies ? "denied" : "granted"); return Notification.permission; };
	}`
	p.OnNew(stub)
	return p
}

// Sound fails the test when a script of the phone app let an error fall.
func (p *Person) Sound() {
	p.t.Helper()
	p.Until("a page to look at", `(window.fell = sessionStorage.getItem("test-errors") || "", true)`)
	if fell := Eval[string](p, `window.fell || ""`); fell != "" {
		p.t.Errorf("errors in the page:\n%s", fell)
	}
}

func quote(s string) string { return "`" + s + "`" }

// OnNew has a script run in every document before its own.
func (p *Person) OnNew(script string) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
		p.t.Fatalf("add a script: %v", err)
	}
}

// Permission sets what this profile's person has allowed: "granted", "denied",
// "prompt".
func (p *Person) Permission(name, setting string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, browser.SetPermission, browser.SetPermissionParams{
		Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSetting(setting), BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID,
	})
	if err != nil {
		p.t.Fatalf("set permission: %v", err)
	}
}

// Online switches the connection of the tab and of its service worker.
func (p *Person) Online(on bool) {
	p.t.Helper()
	conditions := []*network.Conditions{}
	if !on {
		conditions = append(conditions, &network.Conditions{Offline: true, DownloadThroughput: -1, UploadThroughput: -1})
	}
	off := !on
	if _, err := chromedp.Call(p.ctx, network.Enable, network.EnableParams{}); err != nil {
		p.t.Fatalf("watch the network: %v", err)
	}
	if _, err := chromedp.Call(p.ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		EmulateOfflineServiceWorker: &off, MatchedNetworkConditions: conditions,
	}); err != nil {
		p.t.Fatalf("switch the connection: %v", err)
	}
	if _, err := chromedp.Call(p.ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{
		Offline: off, DownloadThroughput: -1, UploadThroughput: -1,
	}); err != nil {
		p.t.Fatalf("switch the connection: %v", err)
	}
}

// View waits until the app shows this view.
func (p *Person) View(name string) {
	p.t.Helper()
	p.Until("the view "+name, `document.body.dataset.view === "`+name+`"`)
}

// PhonePictures takes a view in every look, when SIGNET_SCREENSHOTS names a
// folder, and always checks that none is wider than the window and that
// axe-core finds nothing against WCAG 2.2 AA.
func (p *Person) PhonePictures(name string) {
	p.t.Helper()
	dir, rules := os.Getenv("SIGNET_SCREENSHOTS"), axe(p.t)
	for _, l := range phoneLooks {
		p.Look(l.theme, l.width, l.height)
		if over := Eval[float64](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
			p.t.Errorf("%s at %d px is %v px too wide", name, l.width, over)
		}
		for _, v := range p.broken(rules) {
			p.t.Errorf("%s, %s: %s", name, l.name, v)
		}
		if dir != "" {
			p.Shoot(filepath.Join(dir, "phone-"+name+"-"+l.name+".png"))
		}
	}
	p.Look("light", 390, 844)
}

// Strike presses keys one after the other, wherever the focus is.
func (p *Person) Strike(text string) { p.t.Helper(); p.do("press keys", chromedp.KeyEvent(text)) }
