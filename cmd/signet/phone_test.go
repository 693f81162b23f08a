package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// onPhone runs a command on a folder of the test's own.
func onPhone(t *testing.T, state string, args ...string) result {
	t.Helper()
	return signet(t, append(append([]string{"phone"}, args...), "--state", state)...)
}

// What a newcomer gets wrong is answered by one line that says what to do.
func TestPhoneSaysWhatToDo(t *testing.T) {
	state := filepath.Join(t.TempDir(), "phone")
	const link = "http://127.0.0.1:1/phone/add#AAAAAAAAAAAAAAAAAAAAAA"
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"add"}, exitUsage, "either the LINK, or --server and --code"},
		{[]string{"add", link, "--server", "http://127.0.0.1:1", "--code", "x"}, exitUsage, "either the LINK"},
		{[]string{"add", "--server", "http://127.0.0.1:1"}, exitUsage, "either the LINK"},
		{[]string{"add", link, "more"}, exitUsage, `takes no "more"`},
		{[]string{"add", link}, exitUsage, "use --yes"},
		{[]string{"add", link, "--pin-stdin"}, exitFailed, "read the PIN"},
		{[]string{"add", link, "--yes", "--pin-stdin"}, exitUsage, "either --yes or --pin-stdin"},
		{[]string{"add", link, "--yes"}, exitFailed, "127.0.0.1:1 does not answer"},
		{[]string{"add", "http://id.example.com/phone/add#x", "--yes"}, exitFailed, "must begin with https://"},
		{[]string{"add", "https://id.example.com/", "--yes"}, exitFailed, "copy all of it"},
		{[]string{"add", link, "--yes", "--ca-file", filepath.Join(state, "none")}, exitFailed, "cannot be read"},
		{[]string{"requests"}, exitFailed, "no account yet: signet phone add"},
		{[]string{"requests", "--user", "ada@example.com"}, exitFailed, "signet phone list"},
		{[]string{"approve"}, exitUsage, "needs a NUMBER"},
		{[]string{"approve", "4"}, exitFailed, "two digits"},
		{[]string{"approve", "47"}, exitFailed, "no account yet"},
		{[]string{"deny"}, exitFailed, "no account yet"},
		{[]string{"history"}, exitFailed, "no account yet"},
		{[]string{"test"}, exitFailed, "no account yet"},
		{[]string{"rename"}, exitUsage, "needs a NAME"},
		{[]string{"rename", "x"}, exitFailed, "no account yet"},
		{[]string{"remove"}, exitFailed, "no account yet"},
		{[]string{"list", "-o", "xml"}, exitUsage, "use table or json"},
	} {
		r := onPhone(t, state, c.args...)
		if r.code != c.code || !strings.Contains(r.errs, c.want) || r.out != "" || strings.Count(r.errs, "\n") != 1 {
			t.Errorf("signet phone %q: exit %d, %q, %q; want exit %d and one line with %q", c.args, r.code, r.out, r.errs, c.code, c.want)
		}
	}
	if r := onPhone(t, state, "list", "-o", "json"); r.code != exitDone || strings.TrimSpace(r.out) != "[]" {
		t.Errorf("list of nothing: %+v", r)
	}
	if err := os.Chmod(state, 0o755); err != nil {
		t.Fatal(err)
	}
	if r := onPhone(t, state, "list"); r.code != exitFailed || !strings.Contains(r.errs, "chmod 700") {
		t.Errorf("a folder open to others: %+v", r)
	}
}
