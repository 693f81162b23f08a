package macagent

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Config says where a stand-in keeps what it is, and how it speaks.
type Config struct {
	Folder string // made with mode 0700 when there is none
	Now    func() time.Time
	Form   Form
	// Card is what is in the reader; nil: nothing. Only people of the method
	// SmartCard need one.
	Card *Card
	// Dial reaches a server; nil: as everybody does. Tests choose one of several.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Tell is told each message and its answer, one after another; nil: nobody.
	Tell func(Message)
}

// Card is a smart card with one key on it, which is asked for a signature and
// never read.
type Card struct {
	Key   crypto.Signer       // RSA of 2048 bits or more, or P-256
	Chain []*x509.Certificate // the card's first
	// Alg is RS256, RS384, RS512 or ES256; empty: the first that the key can do.
	Alg string
}

// Mac is the stand-in of one folder, until it is closed. Its methods may be
// called from any goroutine, but those that change it one after another.
type Mac struct {
	cfg    Config
	store  *store
	st     *state
	remote *remote
	told   sync.Mutex
}

// New opens a stand-in. Denied "state_open" when others may look into the
// folder, Unavailable "state_busy" when another program has it open.
func New(cfg Config) (*Mac, error) {
	form, err := cfg.Form.complete()
	if err != nil {
		return nil, err
	}
	cfg.Form = form
	s, err := openStore(cfg.Folder)
	if err != nil {
		return nil, err
	}
	st, err := s.load()
	if err != nil {
		s.lock.Close()
		return nil, err
	}
	m := &Mac{cfg: cfg, store: s, st: st}
	if st.Server != "" {
		m.remote, err = m.newRemote(st.CA)
	}
	if err != nil {
		s.lock.Close()
		return nil, err
	}
	return m, nil
}

// Close lets others open the folder.
func (m *Mac) Close() error { return m.store.lock.Close() }

func (m *Mac) save() error { return m.store.save(m.st) }

// clock is what this Mac takes for now.
func (m *Mac) clock() time.Time { return m.cfg.Now().Add(m.cfg.Form.Skew) }

// Status is what a stand-in is.
type Status struct {
	StandIn    string    `json:"standIn"` // that it is one
	Server     string    `json:"server,omitempty"`
	Tenant     string    `json:"tenant,omitempty"`
	Device     string    `json:"deviceId,omitempty"`
	Name       string    `json:"name,omitempty"`
	SigningKey string    `json:"signingKid,omitempty"`
	Encryption string    `json:"encryptionKid,omitempty"`
	Rotating   time.Time `json:"rotatesUntil,omitzero"` // no login has shown the new keys yet
	User       string    `json:"loginUserName,omitempty"`
	Method     string    `json:"method,omitempty"`
	UserKey    string    `json:"userKid,omitempty"`
	SignedIn   time.Time `json:"signedIn,omitzero"`
	Expires    time.Time `json:"refreshTokenExpires,omitzero"`
	Unlock     bool      `json:"unlockKey,omitempty"` // there is one
}

// Status says what this stand-in is; it asks no server.
func (m *Mac) Status() (Status, error) {
	s := Status{StandIn: standIn, Server: m.st.Server, Tenant: m.st.Tenant, Device: m.st.Device, Name: m.st.Name, Rotating: m.st.Rotating}
	if m.st.Device == "" {
		return s, nil
	}
	for to, raw := range map[*string][]byte{&s.SigningKey: m.st.Keys.Signing, &s.Encryption: m.st.Keys.Encryption} {
		var err error
		if *to, err = idOf(raw); err != nil {
			return s, err
		}
	}
	p := m.st.Person
	if p == nil {
		return s, nil
	}
	s.User, s.Method, s.Unlock = p.User, p.Method, p.Unlock != nil
	if len(p.Key) > 0 {
		var err error
		if s.UserKey, err = idOf(p.Key); err != nil {
			return s, err
		}
	}
	if p.Tokens != nil {
		s.SignedIn, s.Expires = p.Tokens.At, p.Tokens.Expires
	}
	return s, nil
}

// registered gives Denied "not_registered" for a stand-in that is none.
func (m *Mac) registered() error {
	if m.st.Device == "" {
		return idp.NotFoundf("not_registered", "no device").
			Say("this stand-in is not registered: signet device psso-simulate register --server https://id.example.com --tenant example.com")
	}
	return nil
}

// somebody gives who uses this Mac.
func (m *Mac) somebody() (*person, error) {
	if err := m.registered(); err != nil {
		return nil, err
	}
	if m.st.Person == nil {
		return nil, idp.NotFoundf("nobody", "no person").Say("nobody is registered on this stand-in: signet device psso-simulate user")
	}
	return m.st.Person, nil
}

// signedIn gives who uses this Mac and is signed in.
func (m *Mac) signedIn() (*person, error) {
	p, err := m.somebody()
	if err == nil && p.Tokens == nil {
		err = idp.NotFoundf("not_signed_in", "no tokens").Say(p.User + " is not signed in on this stand-in: signet device psso-simulate login")
	}
	return p, err
}

// Message is one exchange as it went over the wire, taken apart for those who
// want to look at it. Nothing in it is shortened: tokens are secret.
type Message struct {
	Name   string            `json:"message"`
	Method string            `json:"method"`
	URL    string            `json:"url"`
	Form   map[string]string `json:"form,omitempty"` // but for the signed message
	Signed *Signed           `json:"signed,omitempty"`
	Inner  *Signed           `json:"inner,omitempty"` // the embedded assertion, or the proof of another key
	Status int               `json:"status,omitempty"`
	Type   string            `json:"contentType,omitempty"`
	Sealed json.RawMessage   `json:"sealed,omitempty"`  // header of the JWE
	Answer json.RawMessage   `json:"answer,omitempty"`  // opened
	Token  json.RawMessage   `json:"idToken,omitempty"` // claims, verified
	Fault  string            `json:"fault,omitempty"`   // why the answer is no good
}

// Signed is a JWS, taken apart.
type Signed struct {
	Header json.RawMessage `json:"header"`
	Claims json.RawMessage `json:"claims"`
}

func (m *Mac) tell(msg *Message, err error) {
	if m.cfg.Tell == nil {
		return
	}
	if err != nil {
		msg.Fault = err.Error()
		var r *Refusal
		if errors.As(err, &r) {
			msg.Fault = r.Error()
		}
	}
	m.told.Lock()
	defer m.told.Unlock()
	m.cfg.Tell(*msg)
}
