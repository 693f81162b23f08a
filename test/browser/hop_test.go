package browser

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	installed "github.com/signetid/signet/internal/desktop"
)

// extended starts a browser of the account with this home, with the extension
// of a folder in it, and returns once that has its rules in place: a browser
// just started sends its first requests without.
func extended(t *testing.T, home, folder string) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("no chromium on this machine: `make test` installs it")
	}
	// Where browsers of this account keep their hosts.
	profile := filepath.Join(home, ".config/chromium")
	if err := os.MkdirAll(profile, 0o700); err != nil {
		t.Fatal(err)
	}
	// Chromium numbers tabs from a place that it draws for each profile, up to
	// 2^31. From here a product of such a number is too large to name a rule.
	if err := os.WriteFile(filepath.Join(profile, "Local State"), []byte(`{"session_id_generator_last_value":"2000000000"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-extensions", false), chromedp.Flag("load-extension", folder),
		chromedp.Flag("disable-quic", true), chromedp.Flag("lang", "en-US"),
		chromedp.UserDataDir(profile), chromedp.Env("HOME="+home))
	alloc, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	browser, stopBrowser := chromedp.NewContext(alloc)
	t.Cleanup(stopBrowser)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	rules(&Person{t: t, ctx: browser}, 2)
	return browser
}

// rules waits, on a page of the extension, until the browser has n of its
// rules: 2 for its server, and what single tabs have.
func rules(p *Person, n int) {
	p.t.Helper()
	text, err := installed.HostFile(installed.Chromium, "/host", "")
	if err != nil {
		p.t.Fatal(err)
	}
	_, id, _ := strings.Cut(string(text), "chrome-extension://")
	p.Open("chrome-extension://" + id[:32] + "/hop.html")
	p.Until(fmt.Sprintf("%d rules", n), fmt.Sprintf(
		`(chrome.declarativeNetRequest.getSessionRules().then((found) => { window.found = found.length }), window.found === %d)`, n))
}

// station is a server that lets everybody in, and writes down what for. To the
// state "again" it says, as long as it hopes for a device, that the nonce is old.
type station struct {
	*Person
	base string

	mu  sync.Mutex
	got []string // query and header of each sign-in request
}

func (s *station) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Cache-Control", "no-store")
	if !strings.HasSuffix(r.URL.Path, "/authorize") {
		// An app that sends its people to the server at once.
		fmt.Fprintf(w, "<!doctype html><script>location.href = '/t/oauth2/v2.0/authorize?state=%s'</script>", r.URL.Query().Get("with"))
		return
	}
	q := r.URL.Query()
	if q.Get("state") == "again" && !q.Has("without_device") {
		n, _ := strconv.Atoi(q.Get("sso_nonce"))
		http.Redirect(w, r, fmt.Sprintf("authorize?state=again&sso_nonce=%d", n+1), http.StatusFound)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, strings.TrimSpace(r.URL.RawQuery+" "+r.Header.Get("x-device")))
	fmt.Fprint(w, `<!doctype html><p id="arrived">Arrived.`)
}

// arrives waits for the server's page, and gives what it was asked for on the
// way there.
func (s *station) arrives() string {
	s.t.Helper()
	s.See("#arrived")
	s.mu.Lock()
	defer s.mu.Unlock()
	got := strings.Join(s.got, ", ")
	s.got = nil
	return got
}

// hosts are programs in the place of ours, under its name and the word.
var hosts = map[string]string{
	"":         "printf '" + spelt(`{"name":"x-device","value":"signed"}`) + "'; cat >/dev/null",
	".refuses": "printf '" + spelt(`{"error":"no"}`) + "'; cat >/dev/null",
	".hangs":   "while read -r line; do :; done",
	".crashes": "exit 3",
	".babbles": "echo what a nice day it is",
}

// spelt is a message of a host as printf(1) wants it.
func spelt(body string) string {
	var b strings.Builder
	for _, c := range append(binary.NativeEndian.AppendUint32(nil, uint32(len(body))), body...) {
		fmt.Fprintf(&b, `\%03o`, c)
	}
	return b.String()
}

// faults is a script before that of the page: what goes wrong is the state of
// the request. The page's patience is a tenth of what it is.
const faults = `
import { lead, spend } from "./rules.js";
const net = chrome.declarativeNetRequest, wait = window.setTimeout, send = chrome.runtime.sendNativeMessage, update = net.updateSessionRules;
window.setTimeout = (fn, time) => wait(fn, time / 10);
const [what, how] = new URL(location.hash.slice(1) || "x:").searchParams.get("state")?.split("-") ?? [];
const wrong = { hangs: () => new Promise(() => {}), fails: () => Promise.reject(new Error("broken")), throws: () => { throw new Error("broken"); }, nothing: async () => undefined }[how];
switch (what) {
  case "host": chrome.runtime.sendNativeMessage = (name, message) => send(name + "." + how, message); break;
  case "native": chrome.runtime.sendNativeMessage = wrong; break;
  case "tabs": chrome.tabs.getCurrent = wrong; break;
  case "read": chrome.storage.session.get = wrong; break;
  case "write": chrome.storage.session.set = wrong; break;
  case "update": net.updateSessionRules = wrong; break;
  case "session": Storage.prototype.setItem = wrong; break;
  // The worker starts, or hears of the page before, when there is a pass already.
  case "worker": net.updateSessionRules = async (change) => {
    await update(change);
    net.updateSessionRules = update;
    await (how === "starts" ? Promise.all([lead(), lead(), lead()]) : spend(change.addRules[0].condition.tabIds[0], performance.timeOrigin - 1));
  };
}
`

// waiting is a browser with the extension, and faults, before a station.
func waiting(t *testing.T) *station {
	t.Helper()
	s := &station{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.base = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	home := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for word, script := range hosts {
		program := filepath.Join(home, "host"+word)
		write(program, "#!/bin/sh\n"+script+"\n", 0o700)
		file, err := installed.HostFile(installed.Chromium, program, "")
		if err != nil {
			t.Fatal(err)
		}
		named := strings.Replace(string(file), installed.HostName, installed.HostName+word, 1)
		write(filepath.Join(installed.HostFolders(installed.Chromium, home)[0], installed.HostName+word+".json"), named, 0o600)
	}
	folder := filepath.Join(home, "extension")
	if err := installed.WriteExtension(folder, s.base); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(folder, "hop.html"))
	if err != nil {
		t.Fatal(err)
	}
	const own = `<script type="module" src="hop.js">`
	if !strings.Contains(string(page), own) {
		t.Fatalf("no script in %s", page)
	}
	write(filepath.Join(folder, "hop.html"), strings.Replace(string(page), own, `<script type="module" src="faults.js"></script>`+own, 1), 0o600)
	write(filepath.Join(folder, "faults.js"), faults, 0o600)
	s.Person = &Person{t: t, ctx: extended(t, home, folder)}
	return s
}

// Whatever fails or hangs, nobody stays on the page of the extension: they come
// to the server, with one request, and without the device where that cannot be.
func TestHop(t *testing.T) {
	s := waiting(t)
	const nonce = "%26sso_nonce%3D"
	for _, c := range []struct{ with, want string }{
		{"fine", "state=fine signed"},
		{"signs*^|.?", "state=signs*^|.? signed"}, // which mean something in rules
		{"fine" + nonce + "one", "state=fine&sso_nonce=one signed"},
		{"fine" + nonce + "one", "state=fine&sso_nonce=one"}, // never twice
		{"worker-starts", "state=worker-starts signed"},
		{"worker-late", "state=worker-late signed"},
		{"host-refuses", "state=host-refuses"},
		{"host-hangs", "state=host-hangs"},
		{"host-crashes", "state=host-crashes"},
		{"host-babbles", "state=host-babbles"},
		{"host-missing", "state=host-missing"},
		{"native-throws", "state=native-throws"},
		{"tabs-fails", "state=tabs-fails&without_device=1"},
		{"tabs-hangs", "state=tabs-hangs&without_device=1"},
		{"tabs-nothing", "state=tabs-nothing&without_device=1"},
		{"read-fails" + nonce + "two", "state=read-fails&sso_nonce=two&without_device=1"},
		{"read-hangs" + nonce + "two", "state=read-hangs&sso_nonce=two&without_device=1"},
		{"write-fails" + nonce + "two", "state=write-fails&sso_nonce=two&without_device=1"},
		{"write-hangs" + nonce + "two", "state=write-hangs&sso_nonce=two&without_device=1"},
		{"update-fails", "state=update-fails&without_device=1"},
		{"update-hangs", "state=update-hangs&without_device=1"},
		{"update-nothing", "state=update-nothing&without_device=1"}, // in circles
		{"again", "state=again&sso_nonce=5&without_device=1"},       // by the server
		{"session-throws", "state=session-throws&without_device=1"},
	} {
		s.Open(s.base + "/app?with=" + c.with)
		if got := s.arrives(); got != c.want {
			t.Errorf("%s: the server was asked for %q, want %q", c.with, got, c.want)
		}
	}
	rules(s.Person, 2) // every pass is spent
}
