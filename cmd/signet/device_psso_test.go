package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a newcomer gets wrong with a stand-in for a Mac is answered by one line
// that says what to do, and what it is stands above everything that it does.
func TestStandInSaysWhatToDo(t *testing.T) {
	state := filepath.Join(t.TempDir(), "mac")
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	const local = "http://127.0.0.1:1"
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "with --server and --tenant"},
		{[]string{"--server", local, "--tenant", "x"}, exitFailed, "127.0.0.1:1 does not answer"},
		{[]string{"--server", "http://id.example.com", "--tenant", "x"}, exitFailed, "must begin with https://"},
		{[]string{"register", "--server", local}, exitUsage, `"tenant" not set`},
		{[]string{"register", "--server", local, "--tenant", "x", "--ca-file", filepath.Join(state, "none")}, exitFailed, "cannot be read"},
		{[]string{"user"}, exitFailed, "psso-simulate register"},
		{[]string{"login"}, exitFailed, "psso-simulate register"},
		{[]string{"login", "--x5c", "both"}, exitFailed, `"both" is none of none, string, array`},
		{[]string{"login", "--kid", "hex"}, exitFailed, `"hex" is none of padded, bare, url`},
		{[]string{"login", "--protocol-version", "3"}, exitFailed, `"3" is none of 1.0, 1, 2.0`},
		{[]string{"login", "--clock-off", "late"}, exitUsage, "--clock-off"},
		{[]string{"login", "--card-key", "x"}, exitUsage, "both --card-certificate and --card-key"},
		{[]string{"login", "--card-alg", "RS256"}, exitUsage, "both --card-certificate and --card-key"},
		{[]string{"login", "--card-key", "x", "--card-certificate", "y"}, exitFailed, "the card cannot be read"},
		{[]string{"refresh"}, exitFailed, "psso-simulate register"},
		{[]string{"key"}, exitFailed, "psso-simulate register"},
		{[]string{"exchange", "--count", "0"}, exitUsage, "from 1 to 20"},
		{[]string{"exchange"}, exitFailed, "psso-simulate register"},
		{[]string{"open"}, exitUsage, "needs a URL"},
		{[]string{"open", local}, exitFailed, "psso-simulate register"},
		{[]string{"rotate"}, exitFailed, "psso-simulate register"},
		{[]string{"rotate-user"}, exitFailed, "psso-simulate register"},
		{[]string{"remove"}, exitFailed, "psso-simulate register"},
		{[]string{"remve"}, exitUsage, "did you mean remove?"},
		{[]string{"login", "--state", open}, exitFailed, "chmod 700"},
		{[]string{"status"}, exitDone, ""},
	} {
		r := signet(t, append([]string{"device", "psso-simulate", "--state", state}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.errs, c.want) || c.code != exitDone && strings.Count(r.errs, "\n") != 1 {
			t.Errorf("psso-simulate %q: exit %d, %q; want exit %d and one line with %q", c.args, r.code, r.errs, c.code, c.want)
		}
		if r.out != "" && !strings.HasPrefix(r.out, label) {
			t.Errorf("psso-simulate %q does not say what it is: %q", c.args, r.out)
		}
	}
	if r := signet(t, "device", "psso-simulate", "--help"); !strings.Contains(r.out, "This is no Mac.") {
		t.Errorf("the help says\n%s", r.out)
	}
	if r := signet(t, "device", "psso-simulate", "status", "--state", state); !strings.Contains(r.out, "Not registered. To do so: ") {
		t.Errorf("what is not registered says %q", r.out)
	}
	if r := signet(t, "device", "psso-simulate", "--json", "--server", local, "--tenant", "x", "--state", state); r.code != exitFailed || !strings.Contains(r.out, `"step": "configuration"`) {
		t.Errorf("a failure as JSON: exit %d, %s", r.code, r.out)
	}
	if r := signet(t, "device", "psso-simulate", "status", "--json", "--state", state); !strings.Contains(r.out, `"standIn": "This is a stand-in for a Mac`) {
		t.Errorf("as JSON: %s", r.out)
	}
}
