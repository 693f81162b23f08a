package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/securitykey"
)

// onDevice runs a command on a state folder of the test's own.
func onDevice(t *testing.T, state string, args ...string) result {
	t.Helper()
	return signet(t, append(append([]string{"device"}, args...), "--state", state)...)
}

// What a newcomer gets wrong is answered by one line that says what to do.
func TestDeviceSaysWhatToDo(t *testing.T) {
	state := filepath.Join(t.TempDir(), "device")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"join"}, exitUsage, `"server" not set`},
		{[]string{"join", "--server", "id.example.com"}, exitFailed, "https://id.example.com"},
		{[]string{"join", "--server", "http://id.example.com"}, exitFailed, "must begin with https://"},
		{[]string{"join", "--server", "http://127.0.0.1:1", "--device-code", "--access-pass-file", "x"}, exitUsage, "either --device-code or"},
		{[]string{"join", "--server", "http://127.0.0.1:1", "--access-pass-file", "x"}, exitUsage, "needs --user"},
		{[]string{"join", "--server", "http://127.0.0.1:1"}, exitFailed, "127.0.0.1:1 does not answer"},
		{[]string{"sign-in", "--pin-stdin"}, exitFailed, "has not joined: signet device join"},
		{[]string{"sign-in", "extra"}, exitUsage, `takes no "extra"`},
		{[]string{"sign-in", "--security-key"}, exitFailed, "has not joined: signet device join"},
		{[]string{"sign-in", "--security-key", "/dev/hidraw5", "more"}, exitUsage, `takes no`},
		{[]string{"token", "--broker", "--resource", "x", "--socket", filepath.Join(state, "none")}, exitFailed, "does not run: signet device broker"},
		{[]string{"token", "--broker", "--resource", "x", "--user", "ada@example.com"}, exitUsage, "--user is not for --broker"},
		{[]string{"browser-header", "--broker", "--url", "https://x/", "--socket", filepath.Join(state, "none")}, exitFailed, "does not run: signet device broker"},
		{[]string{"hello"}, exitDone, ""},
		{[]string{"hello", "enrol", "--pin-stdin"}, exitFailed, "has not joined"},
		{[]string{"token"}, exitUsage, "one of --resource and --scope"},
		{[]string{"token", "--resource", "x", "--scope", "y"}, exitUsage, "one of --resource and --scope"},
		{[]string{"token", "--resource", "x"}, exitFailed, "has not joined"},
		{[]string{"browser-header"}, exitUsage, `"url" not set`},
		{[]string{"renew"}, exitFailed, "has not joined"},
		{[]string{"leave"}, exitFailed, "has not joined"},
	} {
		r := onDevice(t, state, c.args...)
		if r.code != c.code || !strings.Contains(r.errs, c.want) || (c.code != exitDone && (r.out != "" || strings.Count(r.errs, "\n") != 1)) {
			t.Errorf("signet device %q: exit %d, %q, %q; want exit %d and one line with %q", c.args, r.code, r.out, r.errs, c.code, c.want)
		}
	}
}

func TestDeviceStatusOfNothing(t *testing.T) {
	state := filepath.Join(t.TempDir(), "device")
	if r := onDevice(t, state, "status"); r.code != 0 || !strings.Contains(r.out, "Joined") || !strings.Contains(r.out, "NO") {
		t.Errorf("%+v", r)
	}
	r := onDevice(t, state, "status", "--json")
	var s agent.Status
	if err := json.Unmarshal([]byte(r.out), &s); err != nil || s.Joined || s.People == nil {
		t.Errorf("%s, %v", r.out, err)
	}
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the state folder is %v, %v", info, err)
	}
}

// A folder into which others can look keeps no device.
func TestDeviceStateOpenToOthers(t *testing.T) {
	state := t.TempDir()
	if err := os.Chmod(state, 0o755); err != nil {
		t.Fatal(err)
	}
	if r := onDevice(t, state, "status"); r.code != exitFailed || !strings.Contains(r.errs, "chmod 700") {
		t.Errorf("%+v", r)
	}
}

// Nobody is asked for a PIN where it would be seen, or where nobody is.
func TestDevicePINNeedsTerminal(t *testing.T) {
	l := &lines{}
	var usage *usageError
	if _, err := l.pin(false, "PIN: "); !errors.As(err, &usage) {
		t.Errorf("%v", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	l.file = null
	if _, err := l.pin(false, "PIN: "); !errors.As(err, &usage) {
		t.Errorf("%v", err)
	}
}

// While a PIN is typed the terminal shows nothing of it, and afterwards it is
// as before.
func TestDeviceHushesTerminal(t *testing.T) {
	_, screen := terminal(t)
	if !echoes(t, screen) {
		t.Fatal("the terminal does not show what is typed")
	}
	restore, err := hush(screen)
	if err != nil {
		t.Fatal(err)
	}
	if echoes(t, screen) {
		t.Error("the terminal shows the PIN")
	}
	restore()
	if !echoes(t, screen) {
		t.Error("the terminal stays silent")
	}
}

func TestDeviceStatusTable(t *testing.T) {
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	var b strings.Builder
	err := printStatus(&b, agent.Status{
		Joined: true, JoinType: agent.Joined, DeviceID: "9afcd39f", DeviceName: "ws-17\x1b[2J", Place: agent.InSoftware, KeysReady: true,
		Assurance: agent.Unproven,
		People: []agent.PersonStatus{{
			User: "ada@example.com", NgcSet: true, PRT: true, Method: "hello", Issued: now.Add(-5 * time.Hour), Renewed: now.Add(-5 * time.Hour),
			Expires: now.Add(13 * 24 * time.Hour), Due: true,
		}},
		Last: &agent.LastError{At: now.Add(-90 * time.Second), Doing: "renew", Text: "An administrator has disabled this device", Code: 135011},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NO (software keys", "User ada@example.com", "(5 hours ago)", "(in 13 days)", "due (signet device renew)", "135011", "(1 minute ago)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("a device's name moves the cursor")
	}
}

// What tells browsers of this device is written for an account or taken back,
// and an extension that was packed by somebody else is named by its own id.
func TestDeviceBrowserExtension(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	state := filepath.Join(t.TempDir(), "device")
	if r := onDevice(t, state, "browser-extension", filepath.Join(home, "x")); r.code != exitFailed || !strings.Contains(r.errs, "has not joined") {
		t.Errorf("on a machine that has not joined: %+v", r)
	}
	own := strings.Repeat("abcd", 8)
	chromium := filepath.Join(home, ".config/chromium/NativeMessagingHosts/org.signetid.device.json")
	firefox := filepath.Join(home, ".mozilla/native-messaging-hosts/org.signetid.device.json")
	starter := filepath.Join(home, ".local/lib/signet/browser-host")
	for _, args := range [][]string{{"browser-extension", "--extension-id", own}, {"browser-extension", "--browser", "firefox"}} {
		if r := onDevice(t, state, args...); r.code != exitDone {
			t.Fatalf("%q: %+v", args, r)
		}
	}
	text, err := os.ReadFile(chromium)
	if err != nil || !strings.Contains(string(text), own) || !strings.Contains(string(text), starter) {
		t.Errorf("%s, %v", text, err)
	}
	for _, step := range []struct {
		args []string
		left []string
		gone []string
	}{
		{[]string{"browser-extension", "--remove"}, []string{firefox, starter}, []string{chromium}},
		{[]string{"browser-extension", "--remove", "--browser", "firefox"}, nil, []string{firefox, starter}},
		{[]string{"browser-extension", "--remove"}, nil, []string{chromium, firefox, starter}},
	} {
		if r := onDevice(t, state, step.args...); r.code != exitDone {
			t.Errorf("%q: %+v", step.args, r)
		}
		for _, file := range step.left {
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%q: %v", step.args, err)
			}
		}
		for _, file := range step.gone {
			if _, err := os.Stat(file); !os.IsNotExist(err) {
				t.Errorf("%q: %s is still there, %v", step.args, file, err)
			}
		}
	}
	for _, bad := range [][]string{{"--browser", "lynx"}, {"--extension-id", "*"}, {"--remove", "folder"}} {
		if r := onDevice(t, state, append([]string{"browser-extension"}, bad...)...); r.code == exitDone {
			t.Errorf("%q: %+v", bad, r)
		}
	}
	if _, err := os.Stat(starter); !os.IsNotExist(err) {
		t.Errorf("a refused command left %s", starter)
	}
}

// Somebody with several passkeys on one key is asked which is meant, and the
// names, which are a server's, move no cursor.
func TestDeviceChoosesPasskey(t *testing.T) {
	all := []securitykey.Passkey{{ID: []byte("first id"), Name: "Ada\x1b[2J"}, {ID: []byte("second id")}}
	for typed, want := range map[string]int{"1\n": 0, " 2 \n": 1, "9\n": 8} {
		var asked strings.Builder
		l := &lines{in: bufio.NewReader(strings.NewReader(typed)), prompt: &asked}
		if n, err := l.choose(all); err != nil || n != want {
			t.Errorf("%q: %d, %v", typed, n, err)
		}
		if strings.Contains(asked.String(), "\x1b") || !strings.Contains(asked.String(), "without a name") {
			t.Errorf("asked %q", asked.String())
		}
	}
	for _, typed := range []string{"", "Ada\n"} {
		l := &lines{in: bufio.NewReader(strings.NewReader(typed)), prompt: io.Discard}
		if _, err := l.choose(all); err == nil {
			t.Errorf("%q is a choice", typed)
		}
	}
}
