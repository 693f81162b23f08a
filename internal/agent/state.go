package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/program"
)

// state is everything that an agent remembers, one file. Whatever secret is in
// it is of no use without the TPM whose keys it names.
type state struct {
	Version int    `json:"version"`
	Server  string `json:"server,omitempty"` // base URL
	CA      []byte `json:"ca,omitempty"`     // PEM of the authorities that its TLS stands on, beside the system's
	// Endpoints are the tenant's addresses, as they were last asked for.
	Endpoints endpoints `json:"endpoints,omitzero"`

	Place   Place  `json:"place,omitempty"`
	TPM     string `json:"tpm,omitempty"`     // path
	Storage []byte `json:"storage,omitempty"` // name of the TPM's storage root key

	Joining *joining `json:"joining,omitempty"`
	Device  *joined  `json:"device,omitempty"`
	// Leaving says that the server was asked to forget this device, and that
	// its answer did not get here.
	Leaving bool     `json:"leaving,omitempty"`
	People  []person `json:"people,omitempty"`
	Last    *failure `json:"lastError,omitempty"`
}

// joining is a join that is under way.
type joining struct {
	Device    key `json:"deviceKey"`
	Transport key `json:"transportKey"`
	// Sent says that the server may have registered these keys already, and
	// that its answer did not get here.
	Sent bool `json:"sent,omitempty"`
}

// joined is a device as it was registered.
type joined struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Type        JoinType  `json:"joinType"`
	Assurance   Assurance `json:"assurance"`
	Certificate []byte    `json:"certificate"` // DER
	Device      key       `json:"deviceKey"`
	Transport   key       `json:"transportKey"`
	At          time.Time `json:"joined"`
	// Activation is the second round of attestation, while it is not done.
	Activation *activation `json:"activation,omitempty"`
}

// activation is what a server wants a TPM to open, to show whose it is.
type activation struct {
	Key        key       `json:"attestationKey"`
	Context    string    `json:"context"`
	Credential []byte    `json:"credential"`
	Secret     []byte    `json:"secret"`
	Expires    time.Time `json:"expires"`
}

// person is somebody who signs in on this device.
type person struct {
	ID   string `json:"id"`
	UPN  string `json:"userPrincipalName"`
	Name string `json:"displayName,omitempty"`
	// Enrolling is a user key that the server may know already.
	Enrolling *hello `json:"enrolling,omitempty"`
	Hello     *hello `json:"hello,omitempty"`
	PRT       *prt   `json:"prt,omitempty"`
	// Registration is what a join by access pass leaves for Enrol.
	Registration *registration `json:"registration,omitempty"`
	// Passkey is the one on a security key that signed them in last.
	Passkey *passkey `json:"passkey,omitempty"`
	// Online is when the server last let this person in; zero when its last
	// word was a refusal.
	Online time.Time `json:"online,omitzero"`
	// OfflineDays is for how long after that Unlock does without it.
	OfflineDays int `json:"offlineDays,omitempty"`
	// Unlocked is when Unlock last let them in: time has passed at least so far.
	Unlocked time.Time `json:"unlocked,omitzero"`
}

// passkey names a passkey on a security key; there is no secret in it.
type passkey struct {
	ID   []byte `json:"id"`
	User []byte `json:"userHandle"`
}

// registration is a token that registers one user key on this device, which is
// of no use without the device's own key.
type registration struct {
	Token string    `json:"token"`
	Until time.Time `json:"until"`
}

// registrationLasts is how long after the sign-in a server registers a key
// (device-protocol.md §6).
const registrationLasts = 10 * time.Minute

// hello is a user key.
type hello struct {
	Key key       `json:"key"`
	ID  string    `json:"kid"` // what assertions call it
	At  time.Time `json:"created"`
}

// prt is a primary refresh token and its session key, as the TPM holds it.
type prt struct {
	Value   string    `json:"value"`
	Session key       `json:"sessionKey"`
	Method  string    `json:"method"` // "hello", "passkey" or "sign-in"
	Issued  time.Time `json:"issued"`
	Renewed time.Time `json:"renewed"`
	Expires time.Time `json:"expires"`
}

// failure is the last thing that did not work, for status.
type failure struct {
	At     time.Time `json:"at"`
	Doing  string    `json:"doing"`
	Text   string    `json:"text"`
	Reason string    `json:"reason,omitempty"`
	Code   int       `json:"code,omitempty"`
}

// person finds somebody by user principal name. Without a name it is whoever
// is alone here.
func (s *state) person(upn string) (*person, error) {
	if upn == "" {
		switch len(s.People) {
		case 0:
			return nil, idp.NotFoundf("nobody", "nobody is enrolled").Say("nobody has signed in on this device yet: signet device hello enrol")
		case 1:
			return &s.People[0], nil
		}
		return nil, idp.Invalidf("which_person", "%d people", len(s.People)).Say("several people use this device: say who with --user")
	}
	i := slices.IndexFunc(s.People, func(p person) bool { return strings.EqualFold(p.UPN, upn) })
	if i < 0 {
		return nil, idp.NotFoundf("nobody", "%q is not enrolled", upn).Say(upn + " has not signed in on this device yet: signet device hello enrol")
	}
	return &s.People[i], nil
}

// known finds somebody by object id, or adds them.
func (s *state) known(who identity) *person {
	i := slices.IndexFunc(s.People, func(p person) bool { return p.ID == who.ObjectID })
	if i < 0 {
		s.People = append(s.People, person{ID: who.ObjectID})
		i = len(s.People) - 1
	}
	p := &s.People[i]
	p.UPN, p.Name = who.name(), who.Name
	return p
}

// JoinType says how a device belongs to the organisation: the words that its
// status and the registry have for it.
type JoinType string

// Joined machines are the organisation's, registered ones a person's own.
const (
	Joined     JoinType = "joined"
	Registered JoinType = "registered"
)

// wire is the number that a join request says (device-protocol.md §5.1).
func (j JoinType) wire() int {
	if j == Registered {
		return 4
	}
	return 0
}

// Assurance is what the server was shown of where the keys are (decisions 4.1).
type Assurance string

// The degrees, as the server answers them.
const (
	Attested   Assurance = "attested"
	Unattested Assurance = "unattested"
	Unproven   Assurance = "unproven"
)

// store keeps the state in a folder of its own.
type store struct {
	folder string
	step   func(string)
}

const (
	stateVersion = 1
	stateFile    = "state.json"
	lockFile     = "lock"
)

// openStore makes the folder if there is none. One that others may look into
// is refused: what is in it is this account's alone.
func openStore(folder string) (*store, error) {
	if err := program.Folder(folder); err != nil {
		return nil, err
	}
	return &store{folder: folder, step: func(string) {}}, nil
}

func (s *store) path(name string) string { return filepath.Join(s.folder, name) }

// load reads the state; there is none: it is empty.
func (s *store) load() (*state, error) {
	text, err := os.ReadFile(s.path(stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return &state{Version: stateVersion}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	var st state
	if err := json.Unmarshal(text, &st); err != nil {
		return nil, idp.Invalidf("state_damaged", "%s: %w", s.path(stateFile), err).
			Say(s.path(stateFile) + " is damaged: restore it, or remove the folder and join again")
	}
	if st.Version != stateVersion {
		return nil, idp.Invalidf("state_version", "version %d", st.Version).
			Say(s.path(stateFile) + " was written by another version of signet: use that one, or remove the folder and join again")
	}
	return &st, nil
}

// save replaces the state. After a crash there is the old one or the new one,
// whole.
func (s *store) save(st *state, why string) error {
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	s.step(why + ": before")
	if err := s.replace(append(text, '\n'), why); err != nil {
		return fmt.Errorf("write the state in %s: %w", s.folder, err)
	}
	s.step(why + ": after")
	return nil
}

func (s *store) replace(text []byte, why string) error {
	next := s.path(stateFile + ".new")
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	s.step(why + ": written")
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(next, s.path(stateFile)); err != nil {
		return err
	}
	s.step(why + ": renamed")
	return program.SyncFolder(s.folder)
}

// forget removes the state.
func (s *store) forget() error {
	s.step("forget: before")
	for _, name := range []string{stateFile, stateFile + ".new"} {
		if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the state: %w", err)
		}
	}
	s.step("forget: after")
	return program.SyncFolder(s.folder)
}
