package agent

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// What tests of this package may see of its inside.
type (
	Key      = key
	Vault    = vault
	Software = software
)

const (
	ForDevice    = forDevice
	ForTransport = forTransport
	ForUser      = forUser
)

var (
	OpenTPM     = openTPM
	PINAuth     = pinAuth
	PINError    = pinError
	HelloKeyID  = helloKeyID
	NewSigner   = newSigner
	ErrWrongPIN = errWrongAuth
	ErrLocked   = errLocked
	ErrForeign  = errForeign
)

// WithChild gives a TPM its way to unwrap session keys.
func WithChild(t *tpm, child func(context.Context) *exec.Cmd) Vault { t.child = child; return t }

// Refused is how a server's refusal is read.
func Refused(status int, body []byte) error { return refused(reply{status: status, body: body}) }

// Discover asks a server for a tenant's addresses.
func Discover(ctx context.Context, server, tenant string) error {
	r, err := newRemote(nil)
	if err != nil {
		return err
	}
	e, err := r.discover(ctx, server, tenant)
	if err != nil {
		return err
	}
	return r.services(ctx, server, tenant, &e)
}

// Renonced is how what needs a nonce is repeated.
var Renonced = renonced

// PassForm finds the form of a page that takes an access pass, and gives where
// it posts to and how many fields it has filled in.
func PassForm(page string) (string, int) {
	n, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return "", 0
	}
	f := findForm(n, "access_pass")
	if f == nil {
		return "", 0
	}
	return f.action, len(f.fields)
}

// Seated is a device on which one person, or two, may come in: its state, as
// a join, an enrolment and a sign-in leave it.
type Seated struct {
	*Agent
	PIN string
	st  *state
}

// Seat writes such a state into folder, with real keys. The server is one that
// nobody listens at.
func Seat(v Vault, tpm, folder, pin string, now func() time.Time, online time.Time, days int) (*Seated, error) {
	a, err := New(Config{Folder: folder, TPM: tpm, Now: now})
	if err != nil {
		return nil, err
	}
	salt := []byte("a salt of this test")
	k, err := v.Make(forUser, pinAuth(salt, pin))
	if err != nil {
		return nil, err
	}
	k.Salt = salt
	s := &Seated{Agent: a, PIN: pin, st: &state{
		Version: stateVersion, Server: "http://127.0.0.1:1", Place: v.Place(), TPM: tpm, Device: &joined{ID: "device"},
		Endpoints: endpoints{Tenant: "t", Authorize: "http://127.0.0.1:1/a", Token: "http://127.0.0.1:1/t"},
		People: []person{
			{ID: "1", UPN: "ada@corp.example", Hello: &hello{Key: k, ID: "kid"}, PRT: &prt{Value: "prt"}, Online: online, OfflineDays: days},
			{ID: "2", UPN: "bela@corp.example", PRT: &prt{Value: "prt"}, Online: online, OfflineDays: days},
		},
	}}
	return s, s.Write()
}

// Write puts the state into the folder.
func (s *Seated) Write() error { return s.store.save(s.st, "test") }

// Refuse does what a use of the server does whose answer is status and body.
func (s *Seated) Refuse(ctx context.Context, upn string, status int, body string) error {
	return s.during(ctx, "test", func(w *work) error {
		p, err := w.st.person(upn)
		if err != nil {
			return err
		}
		return w.turnedAway(p, refused(reply{status: status, body: []byte(body)}))
	})
}

// These change what is known of the first person.
func (s *Seated) Online(at time.Time)   { s.st.People[0].Online = at }
func (s *Seated) Unlocked(at time.Time) { s.st.People[0].Unlocked = at }
func (s *Seated) Days(n int)            { s.st.People[0].OfflineDays = n }
func (s *Seated) NoPRT()                { s.st.People[0].PRT = nil }
func (s *Seated) NoKey()                { s.st.People[0].Hello = nil }
func (s *Seated) Gone()                 { s.st.Device = nil }
func (s *Seated) Leaves()               { s.st.Leaving = true }

func (s *Seated) TPM() string { return s.st.TPM }

// Copy is the same device with a state of its own to change.
func (s *Seated) Copy() *Seated {
	c, st := *s, *s.st
	st.People = slices.Clone(st.People)
	c.st = &st
	return &c
}
