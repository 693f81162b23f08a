package desktop

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// DefaultAccounts is where a machine says which person a local account is.
const DefaultAccounts = "/etc/signet/accounts"

// Accounts says which person of the organisation a local account is: lines of
// an account and a user principal name, # for comments. The file and the
// folder it is in must be root's and nobody else's to write: whoever writes it
// is anybody at this machine. It never names an account with the uid 0.
type Accounts struct {
	File string
	// Lookup finds a local account; nil: os/user.
	Lookup func(name string) (*user.User, error)
	// Trusted is the uid that the file must belong to; 0, but in tests.
	Trusted int
}

// maxAccounts bounds the file.
const maxAccounts = 1 << 20

// Person is the person that a local account is, as they are now: the file is
// read each time. NotFound says that it is nobody's account. An account that
// has the uid 0, by whatever name, is Denied.
func (a Accounts) Person(account string) (string, error) {
	if account == "" {
		return "", idp.Invalidf("no_account", "no account").Say("no local account was named")
	}
	uid, err := a.uid(account)
	if err != nil {
		return "", err
	}
	if uid == 0 {
		return "", idp.Deniedf("account_root", "account %q has uid 0", account).
			Say("root never signs in by a device")
	}
	text, err := a.read()
	if err != nil {
		return "", err
	}
	all, err := parseAccounts(text)
	if err != nil {
		return "", err
	}
	upn, ok := all[account]
	if !ok {
		return "", idp.NotFoundf("account_unmapped", "account %q", account).
			Say("the local account " + strconv.Quote(account) + " is nobody's: add a line for it to " + a.File)
	}
	return upn, nil
}

// ByUID is Person for who is at the other end of a socket.
func (a Accounts) ByUID(uid uint32) (string, error) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return "", idp.NotFoundf("account_unknown", "uid %d: %w", uid, err).Say("the account that asks is not known on this machine")
	}
	return a.Person(u.Username)
}

func (a Accounts) uid(account string) (int, error) {
	lookup := a.Lookup
	if lookup == nil {
		lookup = user.Lookup
	}
	u, err := lookup(account)
	if err != nil {
		return 0, idp.NotFoundf("account_unknown", "account %q: %w", account, err).Say("there is no local account " + strconv.Quote(account))
	}
	return strconv.Atoi(u.Uid)
}

// read checks who may write the file before a byte of it counts.
func (a Accounts) read() ([]byte, error) {
	folder, err := os.Stat(filepath.Dir(a.File))
	if err == nil {
		err = folderOf(folder, a.Trusted)
		if err != nil { // whoever may write there may put another file in its place
			return nil, idp.Deniedf("accounts_open", "%s: %w", filepath.Dir(a.File), err).
				Say("the folder of " + a.File + " could be written by others than root: chown root and chmod 755 it")
		}
	}
	f, err := os.Open(a.File)
	if err != nil {
		return nil, idp.NotFoundf("accounts_missing", "%w", err).
			Say(a.File + " cannot be read: it says which person a local account is, a line for each: ada ada@example.com")
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", a.File, err)
	}
	if err := ownedBy(info, a.Trusted); err != nil {
		return nil, idp.Deniedf("accounts_open", "%s: %w", a.File, err).
			Say(a.File + " could be written by others than root: chown root and chmod 644 it")
	}
	if info.Size() > maxAccounts {
		return nil, idp.Invalidf("accounts_size", "%d bytes", info.Size()).Say(a.File + " is too long")
	}
	text := make([]byte, info.Size())
	if _, err := f.ReadAt(text, 0); err != nil && info.Size() > 0 {
		return nil, fmt.Errorf("read %s: %w", a.File, err)
	}
	return text, nil
}

// parseAccounts reads the file. An account that stands there twice is an
// error: which of the two is meant is not ours to guess.
func parseAccounts(text []byte) (map[string]string, error) {
	out := make(map[string]string)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			continue
		case len(words) != 2 || !strings.Contains(words[1], "@"):
			return nil, idp.Invalidf("accounts_line", "line %d", n).
				Say(fmt.Sprintf("line %d of the accounts file is not an account and a user principal name: ada ada@example.com", n))
		}
		if _, twice := out[words[0]]; twice {
			return nil, idp.Invalidf("accounts_twice", "line %d", n).Say(fmt.Sprintf("line %d of the accounts file names an account that stands there already", n))
		}
		out[words[0]] = words[1]
	}
	if err := lines.Err(); err != nil {
		return nil, idp.Invalidf("accounts_line", "%w", err).Say("the accounts file has a line that is too long")
	}
	return out, nil
}
