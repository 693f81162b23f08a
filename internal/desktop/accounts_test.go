package desktop_test

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/signetid/signet/internal/desktop"
	"github.com/signetid/signet/internal/idp"
)

// local are the accounts of a machine.
func local(name string) (*user.User, error) {
	uids := map[string]string{"ada": "1000", "bela": "1001", "root": "0", "toor": "0"}
	if uid, ok := uids[name]; ok {
		return &user.User{Username: name, Uid: uid}, nil
	}
	return nil, user.UnknownUserError(name)
}

// accounts writes a file that belongs to whoever runs the tests.
func accounts(t testing.TB, text string) desktop.Accounts {
	t.Helper()
	file := filepath.Join(t.TempDir(), "accounts")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return desktop.Accounts{File: file, Lookup: local, Trusted: os.Geteuid()}
}

func TestAccounts(t *testing.T) {
	a := accounts(t, "# who is who\nada  ada@corp.example # first\n\nroot root@corp.example\ntoor root@corp.example\n")
	for _, c := range []struct{ account, person, reason string }{
		{"ada", "ada@corp.example", ""},
		{"bela", "", "account_unmapped"},
		{"root", "", "account_root"},
		{"toor", "", "account_root"}, // uid 0 by another name
		{"nobody-here", "", "account_unknown"},
		{"", "", "no_account"},
	} {
		got, err := a.Person(c.account)
		if reason := reasonOf(err); got != c.person || reason != c.reason {
			t.Errorf("%q: %q, %v", c.account, got, err)
		}
	}
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

// A file that somebody else may write makes anybody anybody.
func TestSec_DEV_AccountsFileOfOthers(t *testing.T) {
	a := accounts(t, "ada ada@corp.example\n")
	if _, err := a.Person("ada"); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o664, 0o646, 0o666} {
		if err := os.Chmod(a.File, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Person("ada"); reasonOf(err) != "accounts_open" {
			t.Errorf("mode %s: %v", mode, err)
		}
	}
	if err := os.Chmod(a.File, 0o644); err != nil {
		t.Fatal(err)
	}
	above := filepath.Dir(a.File)
	if err := os.Chmod(above, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Person("ada"); reasonOf(err) != "accounts_open" {
		t.Errorf("a folder that all may write: %v", err)
	}
	if err := os.Chmod(above, 0o755); err != nil {
		t.Fatal(err)
	}
	other := a
	other.Trusted = os.Geteuid() + 1
	if _, err := other.Person("ada"); reasonOf(err) != "accounts_open" {
		t.Errorf("a file of another account: %v", err)
	}
	folder := a
	folder.File = filepath.Dir(a.File)
	if _, err := folder.Person("ada"); reasonOf(err) != "accounts_open" {
		t.Errorf("a folder: %v", err)
	}
	none := a
	none.File += "-not-there"
	if _, err := none.Person("ada"); reasonOf(err) != "accounts_missing" {
		t.Errorf("no file: %v", err)
	}
}

func TestAccountsFile(t *testing.T) {
	for text, reason := range map[string]string{
		"ada":              "accounts_line",
		"ada corp":         "accounts_line",
		"ada a@b c@d":      "accounts_line",
		"ada a@b\nada c@d": "accounts_twice",
		fmt.Sprintf("ada %0100000d@corp.example", 1): "accounts_line",
	} {
		if _, err := accounts(t, text).Person("ada"); reasonOf(err) != reason || !errors.Is(err, idp.Invalid) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func FuzzAccounts(f *testing.F) {
	f.Add([]byte("ada ada@corp.example\n"))
	f.Add([]byte("# x\n\tada\tb@c#d"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := desktop.ParseAccounts(text)
		if err != nil && all != nil {
			t.Error("both an error and accounts")
		}
		for account, person := range all {
			if account == "" || person == "" {
				t.Errorf("%q is %q", account, person)
			}
		}
	})
}
