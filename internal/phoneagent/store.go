package phoneagent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/program"
)

// state is everything that a phone remembers, one file.
type state struct {
	Version  int       `json:"version"`
	Accounts []account `json:"accounts"`
}

// account is one enrolment.
type account struct {
	Server  string           `json:"server"` // base URL, as in the link
	CA      []byte           `json:"ca,omitempty"`
	Tenant  phonewire.Tenant `json:"tenant"`
	User    phonewire.User   `json:"user"`
	Phone   string           `json:"phone"` // id
	Name    string           `json:"name"`
	Key     []byte           `json:"key"` // PKCS #8, of this installation
	Passkey passkey          `json:"passkey"`
	At      time.Time        `json:"enrolled"`
}

const (
	stateVersion = 1
	stateFile    = "phone.json"
)

// store keeps the state in a folder of its own.
type store struct{ folder string }

// openStore makes the folder if there is none. One that others may look into is
// refused: what is in it is this account's alone.
func openStore(folder string) (store, error) {
	if err := program.Folder(folder); err != nil {
		return store{}, err
	}
	return store{folder}, nil
}

func (s store) path() string { return filepath.Join(s.folder, stateFile) }

// load reads the state; there is none: it is empty.
func (s store) load() (*state, error) {
	text, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return &state{Version: stateVersion}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	var st state
	if err := json.Unmarshal(text, &st); err != nil {
		return nil, idp.Invalidf("state_damaged", "%s: %w", s.path(), err).
			Say(s.path() + " is damaged: restore it, or remove it and add the phone again")
	}
	if st.Version != stateVersion {
		return nil, idp.Invalidf("state_version", "version %d", st.Version).
			Say(s.path() + " was written by another version of signet: use that one, or remove it and add the phone again")
	}
	return &st, nil
}

// save replaces the state. After a crash there is the old one or the new one,
// whole.
func (s store) save(st *state) error {
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	if err := program.Replace(s.path(), append(text, '\n')); err != nil {
		return fmt.Errorf("write the state in %s: %w", s.folder, err)
	}
	return nil
}

// find gives the accounts of somebody, by user name; all, without one.
func (st *state) find(user string) ([]*account, error) {
	var out []*account
	for i := range st.Accounts {
		if user == "" || strings.EqualFold(st.Accounts[i].User.Name, user) {
			out = append(out, &st.Accounts[i])
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case user == "":
		return nil, idp.NotFoundf("no_account", "no accounts").Say("this phone has no account yet: signet phone add LINK, with the link of the page that adds a phone")
	}
	return nil, idp.NotFoundf("no_account", "%q has none", user).Say(user + " has no account on this phone: signet phone list shows who has")
}

// one gives the account of somebody, or the only one.
func (st *state) one(user string) (*account, error) {
	all, err := st.find(user)
	if err != nil {
		return nil, err
	}
	if len(all) > 1 {
		return nil, idp.Invalidf("which_account", "%d accounts", len(all)).Say("this phone has several accounts: say whose with --user, or give each a folder with --state")
	}
	return all[0], nil
}
