package macagent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/program"
	"github.com/signetid/signet/internal/pssowire"
)

// state is everything that a stand-in remembers, one file.
type state struct {
	Version int                    `json:"version"`
	StandIn string                 `json:"standIn"` // says what this file is
	Server  string                 `json:"server"`  // base URL
	Tenant  string                 `json:"tenant"`  // id or domain
	CA      []byte                 `json:"ca,omitempty"`
	Conf    pssowire.Configuration `json:"configuration"`

	Device string     `json:"device,omitempty"` // id; empty: not registered
	Name   string     `json:"name"`
	Serial string     `json:"serial"`
	UDID   string     `json:"udid"`
	Keys   deviceKeys `json:"keys"`
	// Sent says that the keys went to the server, and no answer came yet: they
	// are sent again as they are.
	Sent bool `json:"sent,omitempty"`
	// Next are those that a rotation has sent, while no answer came: they are
	// sent again as they are.
	Next *deviceKeys `json:"next,omitempty"`
	// Rotating says until when the keys before are good as well; a login ends it.
	Rotating time.Time `json:"rotating,omitzero"`
	Person   *person   `json:"person,omitempty"`
}

// deviceKeys are the two that a device has, in PKCS #8.
type deviceKeys struct {
	Signing    []byte `json:"signing"`
	Encryption []byte `json:"encryption"`
}

// person is who uses the Mac.
type person struct {
	User       string  `json:"user"` // loginUserName
	Method     string  `json:"method"`
	Credential string  `json:"credential,omitempty"` // id at the server
	Key        []byte  `json:"key,omitempty"`        // PKCS #8; none for a card
	Tokens     *tokens `json:"tokens,omitempty"`
	Unlock     *unlock `json:"unlock,omitempty"`
}

// tokens is what a login or a refresh gave.
type tokens struct {
	Refresh string    `json:"refresh"`
	Expires time.Time `json:"expires"`
	At      time.Time `json:"at"`
	By      string    `json:"by"` // "login" or "refresh"
}

// unlock is a provisioned key: its certificate, and what comes back with every
// exchange.
type unlock struct {
	Certificate []byte `json:"certificate"`
	Context     string `json:"context,omitempty"`
}

const (
	stateVersion = 1
	stateFile    = "stand-in.json"
	lockFile     = "lock"
	standIn      = "a stand-in for a Mac, with keys in this file: for demos and tests"
)

// store keeps the state in a folder of its own.
type store struct {
	folder string
	lock   *os.File
}

// openStore makes the folder if there is none. One that others may look into is
// refused: the keys in it are this account's alone. So is one in use.
func openStore(folder string) (*store, error) {
	if err := program.Folder(folder); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, idp.Unavailablef("state_busy", "lock %s: %w", folder, err).
			Say("another command is at work on " + folder + ": wait for it, or end it, then run this again")
	}
	return &store{folder, lock}, nil
}

func (s *store) path() string { return filepath.Join(s.folder, stateFile) }

// load reads the state; there is none: it is empty.
func (s *store) load() (*state, error) {
	text, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return &state{Version: stateVersion, StandIn: standIn}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	var st state
	if err := json.Unmarshal(text, &st); err != nil {
		return nil, idp.Invalidf("state_damaged", "%s: %w", s.path(), err).
			Say(s.path() + " is damaged: remove it and register the stand-in again")
	}
	if st.Version != stateVersion {
		return nil, idp.Invalidf("state_version", "version %d", st.Version).
			Say(s.path() + " was written by another version of signet: use that one, or remove it and register the stand-in again")
	}
	return &st, nil
}

// save replaces the state. After a crash there is the old one or the new one,
// whole.
func (s *store) save(st *state) error {
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	if err := program.Replace(s.path(), append(text, '\n')); err != nil {
		return fmt.Errorf("write the state in %s: %w", s.folder, err)
	}
	return nil
}

// newKey makes a key on P-256, as the Secure Enclave has them.
func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	return raw, nil
}

// readKey reads what newKey made.
func readKey(raw []byte) (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("read a key: it is of another kind")
	}
	return key, nil
}
