package macagent

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
)

// typeUserRotation is the typ of what the old key of a person says of a new one
// (docs/macos-registration.md, 7).
const typeUserRotation = "signet-psso-user-rotation+jwt"

// typeNewKey is that of what a new device key says of itself (6.).
const typeNewKey = "signet-psso-new-key+jwt"

// Person is somebody who is registered on this stand-in.
type Person struct {
	User       string `json:"loginUserName"`
	Method     string `json:"method"`
	Credential string `json:"credentialId,omitempty"`
	Key        string `json:"userKid,omitempty"`
	State      string `json:"state"` // of the device
}

// RegisterUser registers the person of an access token (5.), with a key that is
// made here, or with the card in the reader. Another person's place is taken.
func (m *Mac) RegisterUser(ctx context.Context, accessToken string) (Person, error) {
	if err := m.registered(); err != nil {
		return Person{}, err
	}
	p := &person{Method: m.st.Conf.Method}
	if p.Method != SecureEnclave && p.Method != SmartCard {
		return Person{}, idp.Deniedf("method", "%q", p.Method).Say("the organisation's method is " + p.Method + ": a stand-in has a key or a card")
	}
	return m.registerUser(ctx, p, accessToken, func(claims, proof map[string]any) error {
		claims["token_hash"] = hash64(accessToken)
		return nil
	})
}

// RotateUserKey makes another key for the person, for which the old one vouches
// (7.).
func (m *Mac) RotateUserKey(ctx context.Context) (Person, error) {
	old, err := m.signedIn()
	if err != nil {
		return Person{}, err
	}
	if old.Method != SecureEnclave {
		return Person{}, idp.Invalidf("method", "%q", old.Method).Say("the key of a card is not the Mac's to exchange")
	}
	p := *old
	p.Key, p.Tokens = nil, nil // what stands on the old key ends with it
	return m.registerUser(ctx, &p, "", func(claims, proof map[string]any) error {
		claims["refresh_token"] = old.Tokens.Refresh
		key, err := readKey(p.Key)
		if err != nil {
			return err
		}
		proof = maps.Clone(proof)
		proof["new_kid"] = keyID(&key.PublicKey)
		claims["old_proof"], err = m.ours(old.Key, typeUserRotation, proof)
		return err
	})
}

// registerUser sends a key of a person with its proof; more adds what allows it.
func (m *Mac) registerUser(ctx context.Context, p *person, bearer string, more func(claims, proof map[string]any) error) (Person, error) {
	c, err := m.registration(ctx, m.st.Conf.User)
	if err != nil {
		return Person{}, err
	}
	device, err := readKey(m.st.Keys.Signing)
	if err != nil {
		return Person{}, err
	}
	proof := map[string]any{"aud": m.st.Conf.User, "request_nonce": c.nonce.Value, "device_kid": keyID(&device.PublicKey)}
	c.all["method"] = p.Method
	if err := m.userKey(p, c.all, proof); err != nil {
		return Person{}, err
	}
	if err := more(c.all, proof); err != nil {
		return Person{}, err
	}
	var got struct {
		User          string        `json:"login_user_name"`
		Credential    string        `json:"credential_id"`
		Device        string        `json:"device_id"`
		State         string        `json:"state"`
		Configuration Configuration `json:"configuration"`
	}
	if err := m.ask(ctx, asking{"register user", http.MethodPost, m.st.Conf.User, pssowire.TypeUser, m.st.Keys.Signing, bearer}, c.all, &got); err != nil {
		return Person{}, err
	}
	if got.User == "" || got.Device != m.st.Device {
		return Person{}, disliked("registered_user", "no login_user_name, or another device")
	}
	p.User, p.Credential = got.User, got.Credential
	m.st.Person = p
	if err := m.reconfigured(got.Configuration); err != nil {
		return Person{}, err
	}
	out := Person{User: p.User, Method: p.Method, Credential: p.Credential, State: got.State}
	if key, err := readKey(p.Key); err == nil {
		out.Key = keyID(&key.PublicKey)
	}
	return out, m.save()
}

// userKey adds the person's key and its proof of itself.
func (m *Mac) userKey(p *person, claims, proof map[string]any) (err error) {
	if p.Method == SmartCard {
		claims["user_proof"], err = m.byCard(proof)
		return err
	}
	if p.Key, err = newKey(); err != nil {
		return err
	}
	text, _, err := point(p.Key)
	if err != nil {
		return err
	}
	claims["user_key"], claims["biometric_policy"] = text, m.st.Conf.Biometric
	claims["user_proof"], err = m.ours(p.Key, pssowire.TypeUserKey, proof)
	return err
}

// byCard is what the card says of itself.
func (m *Mac) byCard(proof map[string]any) (string, error) {
	c, err := m.card()
	if err != nil {
		return "", err
	}
	s := pssowire.Signing{Key: c.Key, Alg: c.Alg, Type: pssowire.TypeUserKey, KeyID: "-", Chain: pssowire.ChainList}
	for _, cert := range c.Chain {
		s.Certificates = append(s.Certificates, cert.Raw)
	}
	return s.Sign(proof)
}

// RemoveUser takes the person's key back (8.). Of a card nothing is there to be
// taken back.
func (m *Mac) RemoveUser(ctx context.Context) error {
	p, err := m.somebody()
	if err != nil {
		return err
	}
	if p.Method == SecureEnclave {
		key, err := readKey(p.Key)
		if err != nil {
			return err
		}
		c, err := m.registration(ctx, m.st.Conf.User)
		if err != nil {
			return err
		}
		c.all["user_kid"] = keyID(&key.PublicKey)
		if err := m.ask(ctx, asking{"remove user", http.MethodDelete, m.st.Conf.User, pssowire.TypeRemoval, m.st.Keys.Signing, ""}, c.all, new(json.RawMessage)); err != nil {
			return err
		}
	}
	m.st.Person = nil
	return m.save()
}

// RotateOptions say which device keys are exchanged for new ones.
type RotateOptions struct{ Signing, Encryption bool }

// Rotate exchanges device keys (6.). The old ones stay good until the next login.
func (m *Mac) Rotate(ctx context.Context, o RotateOptions) (Device, error) {
	p, err := m.signedIn()
	if err != nil {
		return Device{}, err
	}
	if !o.Signing && !o.Encryption {
		return Device{}, idp.Invalidf("rotate_what", "neither").Say("say which key is exchanged, --signing or --encryption")
	}
	c, err := m.registration(ctx, m.st.Conf.Device)
	if err != nil {
		return Device{}, err
	}
	next, made, err := m.st.Keys, deviceKeys{}, error(nil)
	if made, err = newKeys(); err != nil {
		return Device{}, err
	}
	c.all["refresh_token"] = p.Tokens.Refresh
	if o.Signing {
		next.Signing = made.Signing
		if err := m.newSigning(c, made.Signing); err != nil {
			return Device{}, err
		}
	}
	if o.Encryption {
		next.Encryption = made.Encryption
		if err := c.encryption(made.Encryption, "new_encryption_key"); err != nil {
			return Device{}, err
		}
	}
	var got struct {
		wireDevice
		Configuration Configuration `json:"configuration"`
	}
	if err := m.ask(ctx, asking{"rotate", http.MethodPost, m.st.Conf.Device, pssowire.TypeRotation, m.st.Keys.Signing, ""}, c.all, &got); err != nil {
		return Device{}, err
	}
	old := m.st.Keys
	m.st.Keys, m.st.Old = next, &old
	if err := m.taken(got.wireDevice); err != nil {
		m.st.Keys, m.st.Old = old, nil
		return Device{}, err
	}
	if err := m.reconfigured(got.Configuration); err != nil {
		return Device{}, err
	}
	return got.device(), m.save()
}

// newSigning adds a new signing key and its proof of itself.
func (m *Mac) newSigning(c claims, raw []byte) error {
	text, _, err := point(raw)
	if err != nil {
		return err
	}
	now, err := readKey(m.st.Keys.Signing)
	if err != nil {
		return err
	}
	c.all["new_signing_key"] = text
	c.all["signing_proof"], err = m.ours(raw, typeNewKey, map[string]any{
		"aud": m.st.Conf.Device, "request_nonce": c.nonce.Value, "device_kid": keyID(&now.PublicKey),
	})
	return err
}

// GoBack takes the keys from before a rotation that no login has finished.
func (m *Mac) GoBack() error {
	if m.st.Old == nil {
		return idp.NotFoundf("not_rotating", "no older keys").Say("no keys are being exchanged")
	}
	m.st.Keys, m.st.Old = *m.st.Old, nil
	return m.save()
}
