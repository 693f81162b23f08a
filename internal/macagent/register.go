package macagent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/secret"
)

// RegisterOptions say what a stand-in is registered as, and by what.
type RegisterOptions struct {
	Name, OS string // what people see
	Serial   string // empty: one of a stand-in's own
	// RegistrationToken is a profile's; else AccessToken, of SignIn.
	RegistrationToken, AccessToken string
}

// Device is a registered stand-in.
type Device struct {
	ID            string    `json:"deviceId"`
	SigningKey    string    `json:"signingKid"`
	EncryptionKey string    `json:"encryptionKid"`
	Pending       bool      `json:"pending"` // nobody signs in on it yet
	Until         time.Time `json:"pendingUntil,omitzero"`
	Assurance     string    `json:"assurance"`
	Repeated      bool      `json:"repeated,omitempty"` // it was registered already
	Rotates       time.Time `json:"rotatesUntil,omitzero"`
}

// shown is what the server said of a device.
func shown(r pssowire.Registered) Device {
	return Device{
		ID: r.DeviceID, SigningKey: r.KeyID, EncryptionKey: r.EncryptionKeyID, Pending: r.Pending, Until: moment(r.PendingUntil),
		Assurance: r.Assurance, Repeated: r.Repeated, Rotates: moment(r.RotatesUntil),
	}
}

// moment is a time in a message; 0: none.
func moment(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// Configure asks a server for its configuration. It comes first: signing in and
// registering follow it. Conflict "registered" when the stand-in is somewhere
// already.
func (m *Mac) Configure(ctx context.Context, server, tenant string, ca []byte) error {
	if m.st.Device != "" {
		return idp.Conflictf("registered", "device %s", m.st.Device).
			Say("this stand-in is registered already: signet device psso-simulate remove, or another folder with --state")
	}
	return m.configure(ctx, server, tenant, ca)
}

// Register registers the device (docs/macos-registration.md, 4). Cut off, it can
// be called again: the same keys are sent then.
func (m *Mac) Register(ctx context.Context, o RegisterOptions) (Device, error) {
	if m.remote == nil || m.st.Device != "" {
		return Device{}, idp.Conflictf("registered", "device %q", m.st.Device).
			Say("this stand-in is registered already: signet device psso-simulate remove, or another folder with --state")
	}
	if err := m.freshKeys(o); err != nil {
		return Device{}, err
	}
	at := m.st.Conf.DeviceEndpoint
	n, about, err := m.registration(ctx, at)
	if err != nil {
		return Device{}, err
	}
	token, bearer := o.AccessToken, o.AccessToken
	if o.RegistrationToken != "" {
		token, bearer = o.RegistrationToken, ""
	}
	c := pssowire.Device{
		Signed: about, TokenHash: hash64(token), RegistrationToken: o.RegistrationToken,
		Name: m.st.Name, OSVersion: o.OS, Serial: m.st.Serial, UDID: m.st.UDID,
	}
	if c.SigningKey, err = point(m.st.Keys.Signing); err != nil {
		return Device{}, err
	}
	if c.EncryptionKey, c.EncryptionProof, err = n.encryption(m.st.Keys.Encryption); err != nil {
		return Device{}, err
	}
	m.st.Sent = true
	if err := m.save(); err != nil {
		return Device{}, err
	}
	var got pssowire.Registered
	if err := m.ask(ctx, asking{"register device", http.MethodPost, at, pssowire.TypeDevice, bearer, nil}, c, &got); err != nil {
		return Device{}, err
	}
	if err := taken(got, m.st.Keys); err != nil {
		return Device{}, err
	}
	m.st.Device, m.st.Sent = got.DeviceID, false
	if err := m.reconfigured(got.Configuration); err != nil {
		return Device{}, err
	}
	return shown(got), m.save()
}

// taken judges what the server says of the keys that were sent.
func taken(got pssowire.Registered, keys deviceKeys) error {
	for raw, said := range map[*[]byte]string{&keys.Signing: got.KeyID, &keys.Encryption: got.EncryptionKeyID} {
		id, err := idOf(*raw)
		if err != nil {
			return err
		}
		if id != said {
			return disliked("registered_keys", "a kid %q that is not of the key it sent", said)
		}
	}
	if got.DeviceID == "" {
		return disliked("registered_id", "no id of the device")
	}
	return nil
}

// freshKeys makes keys, unless some were sent and nobody knows what became of
// them.
func (m *Mac) freshKeys(o RegisterOptions) (err error) {
	if m.st.Sent {
		return nil
	}
	m.st.Name, m.st.Serial, m.st.UDID = o.Name, o.Serial, upperUUID()
	if m.st.Serial == "" {
		m.st.Serial = "STANDIN" + secret.NewUUID4()[:5]
	}
	m.st.Keys, err = newKeys()
	return err
}

func newKeys() (k deviceKeys, err error) {
	if k.Signing, err = newKey(); err == nil {
		k.Encryption, err = newKey()
	}
	return k, err
}

// registration begins the claims of a request to an address of the
// registration (docs/macos-registration.md, 1).
func (m *Mac) registration(ctx context.Context, address string) (Nonce, pssowire.Signed, error) {
	n, err := m.nonce(ctx, pssowire.PurposeRegistration)
	if err != nil {
		return n, pssowire.Signed{}, err
	}
	s := pssowire.Signed{Issuer: m.st.Conf.ClientID, Audience: pssowire.Audience{address}, RequestNonce: n.Value}
	s.Issued, s.Expires = m.times()
	return n, s, nil
}

// encryption is an encryption key as messages have it, and its proof (3.).
func (n Nonce) encryption(raw []byte) (text, proof string, err error) {
	if text, err = point(raw); err != nil {
		return "", "", err
	}
	theirs, err := pssowire.ParsePoint(n.exchange)
	if err != nil {
		return "", "", disliked("exchange_key", "an exchange_key that is no point on P-256")
	}
	key, err := readKey(raw)
	if err != nil {
		return "", "", err
	}
	own, err := key.ECDH()
	if err != nil {
		return "", "", err
	}
	z, err := pssowire.Secret(own, theirs)
	return text, raw64(pssowire.EncryptionProof(z, n.Value)), err
}

// asking is where a request of ours goes, and by what.
type asking struct {
	name, method, address string
	typ                   string
	bearer                string
	inner                 *string // the proof of another key in it, to be shown
}

// ask signs a request of ours by the device's key and sends it (docs/macos-registration.md,
// 1).
func (m *Mac) ask(ctx context.Context, a asking, claims, answer any) error {
	signed, err := m.ours(m.st.Keys.Signing, a.typ, claims)
	if err != nil {
		return err
	}
	msg := &Message{Name: a.name, Method: a.method, URL: a.address, Signed: takenApart(signed)}
	if a.inner != nil {
		msg.Inner = takenApart(*a.inner)
	}
	got, err := m.remote.post(ctx, a.method, a.address, a.bearer, pssowire.Envelope{Request: signed}, answer)
	msg.Status, msg.Type, msg.Answer = http.StatusOK, got.kind(), asJSON(got)
	if said := AsRefusal(err); said.Status != 0 {
		msg.Status = said.Status
	}
	m.tell(msg, err)
	return err
}

// ours signs what is no message of macOS, but of an extension: of that there is
// one form only.
func (m *Mac) ours(key []byte, typ string, claims any) (string, error) {
	own, err := readKey(key)
	if err != nil {
		return "", err
	}
	return pssowire.Signing{Key: own, Type: typ, KeyID: keyID(&own.PublicKey)}.Sign(claims)
}

// reconfigured keeps the configuration of an answer.
func (m *Mac) reconfigured(c pssowire.Configuration) error {
	c, err := complete(c)
	if err == nil {
		m.st.Conf = c
	}
	return err
}

// Remove takes the device back (8.), and forgets everything here. With force it
// is forgotten whatever the server says.
func (m *Mac) Remove(ctx context.Context, force bool) (string, error) {
	if err := m.registered(); err != nil {
		return "", err
	}
	at := m.st.Conf.DeviceEndpoint
	_, about, err := m.registration(ctx, at)
	if err == nil {
		err = m.ask(ctx, asking{"remove device", http.MethodDelete, at, pssowire.TypeRemoval, "", nil}, pssowire.Removal{Signed: about}, new(json.RawMessage))
	}
	if err != nil && !force {
		return "", err
	}
	id := m.st.Device
	m.st = &state{Version: stateVersion, StandIn: standIn}
	if err := m.save(); err != nil {
		return "", fmt.Errorf("forget: %w", err)
	}
	return id, nil
}
