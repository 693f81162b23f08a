package browser

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/signetid/signet/internal/agent/agenttest"
	"github.com/signetid/signet/test/running"
)

// desktop is a machine with a TPM, on which somebody types commands.
type desktop struct {
	t     *testing.T
	d     *running.Demo
	state string
	tpm   string
}

// said is what a command left behind.
type said struct {
	out, errs string
	code      int
}

func (d *desktop) command(args ...string) *exec.Cmd {
	args = append(append([]string{"device"}, args...), "--state", d.state, "--tpm", d.tpm)
	return exec.CommandContext(d.t.Context(), d.d.Binary, args...)
}

// run does a command and types input into it. seen, which may be nil, gets
// each line of standard error while the command runs.
func (d *desktop) run(input string, seen func(string), args ...string) said {
	d.t.Helper()
	cmd := d.command(args...)
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout = &out
	pipe, err := cmd.StderrPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	for lines := bufio.NewScanner(io.TeeReader(pipe, &errs)); lines.Scan(); {
		if seen != nil {
			seen(lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		d.t.Fatal(err)
	}
	return said{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// must is run for commands that have to work; it decodes their JSON.
func (d *desktop) must(input string, seen func(string), args ...string) map[string]any {
	d.t.Helper()
	r := d.run(input, seen, append(args, "--json")...)
	var v map[string]any
	if r.code != 0 || json.Unmarshal([]byte(r.out), &v) != nil {
		d.t.Fatalf("signet device %q: exit %d, %s%s", args, r.code, r.out, r.errs)
	}
	return v
}

// TestDesktop is a desktop as its person has it: joined by a browser, a key in
// the TPM behind a PIN, and then an app opens without a question.
func TestDesktop(t *testing.T) {
	demo := running.StartDemo(t)
	browser := Chromium(t)
	p := NewPerson(t, browser)
	p.FirstDay(demo, demo.Users[1])
	d := &desktop{t: t, d: demo, state: filepath.Join(t.TempDir(), "device"), tpm: agenttest.TPM(t)}

	if s := d.must("", nil, "status"); s["joined"] != false {
		t.Errorf("status before: %v", s)
	}
	if r := d.run("", nil, "sign-in", "--pin-stdin"); r.code != 1 || !strings.Contains(r.errs, "has not joined: signet device join") {
		t.Errorf("sign-in before joining: %+v", r)
	}
	visit := func(line string) {
		if at, ok := strings.CutPrefix(line, "  http"); ok {
			p.Open("http" + at)
			p.Press("signin-passkey")
			p.Until("the end", `document.body.innerText.includes("You can close this page")`)
		}
	}
	joined := d.must("", visit, "join", "--server", demo.Base, "--ca-file", demo.CAFile, "--name", "ws-17")
	if joined["keys"] != "tpm" || joined["userPrincipalName"] != demo.Users[1].Name || joined["tenantId"] != demo.Tenant {
		t.Errorf("joined %v", joined)
	}
	if r := d.run("123456\n", visit, "hello", "enrol", "--pin-stdin"); r.code != 1 || !strings.Contains(r.errs, "repeats or counts") {
		t.Errorf("a PIN that counts: %+v", r)
	}
	d.must("424289\n", visit, "hello", "enrol", "--pin-stdin")
	if r := d.run("424288\n", nil, "sign-in", "--pin-stdin"); r.code != 1 || !strings.Contains(r.errs, "the PIN is wrong. 2 more wrong ones lock the TPM") {
		t.Errorf("a wrong PIN: %+v", r)
	}
	if signed := d.must("424289\n", nil, "sign-in", "--pin-stdin"); signed["method"] != "hello" {
		t.Errorf("signed in %v", signed)
	}
	d.must("424289\nblue horse\n", nil, "hello", "change-pin", "--pin-stdin")
	if r := d.run("424289\n", nil, "sign-in", "--pin-stdin"); r.code != 1 {
		t.Errorf("the PIN from before: %+v", r)
	}
	d.must("blue horse\n", nil, "sign-in", "--pin-stdin")
	d.must("", nil, "renew")

	r := d.run("", nil, "token", "--resource", "urn:ms-drs:enterpriseregistration.windows.net")
	parts := strings.Split(strings.TrimSpace(r.out), ".")
	var claims map[string]any
	if len(parts) != 3 {
		t.Fatalf("token: %+v", r)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(parts[1]); err != nil || json.Unmarshal(raw, &claims) != nil || claims["deviceid"] != joined["deviceId"] {
		t.Errorf("claims %v, %v", claims, err)
	}
	r = d.run("", nil, "status")
	for _, line := range []string{"Joined", "YES", "ws-17", "In TPM", "NgcSet", "PRT expires", "(in 13 days)"} {
		if !strings.Contains(r.out, line) {
			t.Errorf("status lacks %q:\n%s", line, r.out)
		}
	}
	d.opensApp(NewPerson(t, browser))
	d.keepsNoPIN()
	if left := d.must("", nil, "leave"); left["forgottenByServer"] != true {
		t.Errorf("left %v", left)
	}
	if s := d.must("", nil, "status"); s["joined"] != false {
		t.Errorf("status after: %v", s)
	}
}

// opensApp has a browser in which nobody ever signed in open the app by the
// header alone.
func (d *desktop) opensApp(p *Person) {
	t := d.t
	t.Helper()
	p.Open(d.d.App)
	p.Press("login")
	p.Until("the sign-in page", `location.href.includes("/signin") || location.href.includes("/authorize")`)
	// The app's own request is still good: it keeps what it sent in a cookie.
	asked := Eval[string](p, `performance.getEntriesByType("navigation")[0].name`)
	if !strings.Contains(asked, "/oauth2/v2.0/authorize?") {
		t.Fatalf("the app sent to %s", asked)
	}
	if r := d.run("", nil, "browser-header", "--url", "https://elsewhere.example/"); r.code != 1 || r.out != "" {
		t.Errorf("a header for somebody else: %+v", r)
	}
	header := d.must("", nil, "browser-header", "--url", asked)
	if _, err := chromedp.Call(p.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	_, err := chromedp.Call(p.ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
		Headers: network.Headers{header["name"].(string): header["value"].(string)},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Open(asked)
	if c := p.Claims(); c["preferred_username"] != d.d.Users[1].Name {
		t.Errorf("the app was told %v", c)
	}
}

// keepsNoPIN looks into every file that the device wrote.
func (d *desktop) keepsNoPIN() {
	entries, err := os.ReadDir(d.state)
	if err != nil || len(entries) == 0 {
		d.t.Fatal(entries, err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(d.state, e.Name()))
		if err != nil {
			d.t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 || bytes.Contains(text, []byte("blue horse")) || bytes.Contains(text, []byte("PRIVATE")) {
			d.t.Errorf("%s is %s, or has a secret", e.Name(), info.Mode())
		}
	}
}
