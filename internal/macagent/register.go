package macagent

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/secret"
)

// RegisterOptions say where a stand-in is registered, and by what.
type RegisterOptions struct {
	Name, OS string // what people see
	Serial   string // empty: one of a stand-in's own
	// RegistrationToken is a profile's; else AccessToken, of SignIn.
	RegistrationToken, AccessToken string
}

// Device is a registered stand-in.
type Device struct {
	ID            string     `json:"deviceId"`
	SigningKey    string     `json:"signingKid"`
	EncryptionKey string     `json:"encryptionKid"`
	State         string     `json:"state"` // "active" or "pending"
	Until         *time.Time `json:"pendingUntil,omitempty"`
	Assurance     string     `json:"assurance"`
	Repeated      bool       `json:"repeated,omitempty"`
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
	if m.st.Device != "" {
		return Device{}, idp.Conflictf("registered", "device %s", m.st.Device).
			Say("this stand-in is registered already: signet device psso-simulate remove, or another folder with --state")
	}
	if err := m.freshKeys(o); err != nil {
		return Device{}, err
	}
	claims, err := m.registration(ctx, m.st.Conf.Device)
	if err != nil {
		return Device{}, err
	}
	maps.Copy(claims.all, map[string]any{"name": m.st.Name, "os_version": o.OS, "serial": m.st.Serial, "udid": m.st.UDID})
	token := o.AccessToken
	if o.RegistrationToken != "" {
		token = o.RegistrationToken
		claims.all["registration_token"] = token
	}
	claims.all["token_hash"] = hash64(token)
	if claims.all["signing_key"], _, err = point(m.st.Keys.Signing); err != nil {
		return Device{}, err
	}
	if err := claims.encryption(m.st.Keys.Encryption, "encryption_key"); err != nil {
		return Device{}, err
	}
	if m.st.Sent = true; m.save() != nil {
		return Device{}, m.save()
	}
	var got struct {
		wireDevice
		Configuration Configuration `json:"configuration"`
	}
	bearer := o.AccessToken
	if o.RegistrationToken != "" {
		bearer = ""
	}
	if err := m.ask(ctx, asking{"register device", http.MethodPost, m.st.Conf.Device, pssowire.TypeDevice, m.st.Keys.Signing, bearer}, claims.all, &got); err != nil {
		return Device{}, err
	}
	if err := m.taken(got.wireDevice); err != nil {
		return Device{}, err
	}
	m.st.Device, m.st.Sent = got.ID, false
	if err := m.reconfigured(got.Configuration); err != nil {
		return Device{}, err
	}
	return got.device(), m.save()
}

// wireDevice is what the server says of a device.
type wireDevice struct {
	ID         string `json:"device_id"`
	Signing    string `json:"device_kid"`
	Encryption string `json:"encryption_kid"`
	State      string `json:"state"`
	Until      int64  `json:"pending_until"`
	Assurance  string `json:"assurance"`
	Repeated   bool   `json:"repeated"`
}

func (w wireDevice) device() Device {
	d := Device{ID: w.ID, SigningKey: w.Signing, EncryptionKey: w.Encryption, State: w.State, Assurance: w.Assurance, Repeated: w.Repeated}
	if w.Until > 0 {
		at := time.Unix(w.Until, 0).UTC()
		d.Until = &at
	}
	return d
}

// taken judges what the server says of the keys that were sent.
func (m *Mac) taken(w wireDevice) error {
	for raw, said := range map[*[]byte]string{&m.st.Keys.Signing: w.Signing, &m.st.Keys.Encryption: w.Encryption} {
		key, err := readKey(*raw)
		if err != nil {
			return err
		}
		if keyID(&key.PublicKey) != said {
			return disliked("registered_keys", "a kid that is not of the key it sent")
		}
	}
	if w.ID == "" {
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

// claims are those of a request of ours, with the nonce that they are on.
type claims struct {
	all   map[string]any
	nonce Nonce
}

// registration begins the claims of a request to an address of the
// registration (docs/macos-registration.md, 1).
func (m *Mac) registration(ctx context.Context, address string) (claims, error) {
	n, err := m.nonce(ctx, pssowire.PurposeRegistration)
	if err != nil {
		return claims{}, err
	}
	now := m.clock()
	return claims{map[string]any{
		"iss": m.st.Conf.ClientID, "aud": address, "iat": now.Unix(), "exp": now.Add(messageLife).Unix(), "request_nonce": n.Value,
	}, n}, nil
}

// encryption adds an encryption key under a name, with its proof (3.).
func (c claims) encryption(raw []byte, name string) error {
	text, key, err := point(raw)
	if err != nil {
		return err
	}
	c.all[name] = text
	theirs, err := pssowire.ParsePoint(c.nonce.exchange)
	if err != nil {
		return disliked("exchange_key", "an exchange_key that is no point on P-256")
	}
	own, err := key.ECDH()
	if err != nil {
		return err
	}
	z, err := pssowire.Secret(own, theirs)
	if err != nil {
		return err
	}
	c.all["encryption_proof"] = raw64(pssowire.EncryptionProof(z, c.nonce.Value))
	return nil
}

// point is the public half of a key as messages have it.
func point(raw []byte) (string, *ecdsa.PrivateKey, error) {
	key, err := readKey(raw)
	if err != nil {
		return "", nil, err
	}
	return base64.StdEncoding.EncodeToString(pssowire.Point(&key.PublicKey)), key, nil
}

// asking is where a request of ours goes, and by what.
type asking struct {
	name, method, address string
	typ                   string
	key                   []byte // that signs
	bearer                string
}

// ask signs a request of ours and sends it (docs/macos-registration.md, 1).
func (m *Mac) ask(ctx context.Context, a asking, payload map[string]any, answer any) error {
	signed, err := m.ours(a.key, a.typ, payload)
	if err != nil {
		return err
	}
	msg := &Message{Name: a.name, Method: a.method, URL: a.address, Signed: takenApart(signed)}
	for _, name := range []string{"user_proof", "signing_proof", "old_proof"} {
		if text, ok := payload[name].(string); ok && msg.Inner == nil {
			msg.Inner = takenApart(text)
		}
	}
	got, err := m.remote.post(ctx, a.method, a.address, a.bearer, pssowire.Envelope{Request: signed}, answer)
	msg.Status, msg.Type, msg.Answer = http.StatusOK, got.kind(), asJSON(got)
	if said := AsRefusal(err); said.Status != 0 {
		msg.Status = said.Status
	}
	m.tell(msg, err)
	return err
}

// ours signs what is no message of macOS, but of an extension: its form is one
// only.
func (m *Mac) ours(key []byte, typ string, payload any) (string, error) {
	own, err := readKey(key)
	if err != nil {
		return "", err
	}
	return pssowire.Signing{Key: own, Type: typ, KeyID: keyID(&own.PublicKey)}.Sign(payload)
}

// reconfigured keeps the configuration of an answer.
func (m *Mac) reconfigured(c Configuration) error {
	c, err := c.complete()
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
	c, err := m.registration(ctx, m.st.Conf.Device)
	if err == nil {
		err = m.ask(ctx, asking{"remove device", http.MethodDelete, m.st.Conf.Device, pssowire.TypeRemoval, m.st.Keys.Signing, ""}, c.all, new(json.RawMessage))
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
