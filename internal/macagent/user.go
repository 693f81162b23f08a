package macagent

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
)

// Person is somebody who is registered on this stand-in.
type Person struct {
	User       string `json:"loginUserName"`
	Method     string `json:"method"`
	Credential string `json:"credentialId,omitempty"`
	Key        string `json:"userKid,omitempty"`
	Pending    bool   `json:"pending"` // the device still is
}

// RegisterUser registers the person of an access token (5.), with a key that is
// made here, or with the card in the reader. Another person's place is taken.
func (m *Mac) RegisterUser(ctx context.Context, accessToken string) (Person, error) {
	if err := m.registered(); err != nil {
		return Person{}, err
	}
	p := &person{Method: m.st.Conf.Method}
	if p.Method != pssowire.MethodKey && p.Method != pssowire.MethodCard {
		return Person{}, idp.Deniedf("method", "%q", p.Method).Say("the organisation's method is " + p.Method + ": a stand-in has a key or a card")
	}
	return m.registerUser(ctx, p, accessToken, func(c *pssowire.User, _ pssowire.KeyProof) error {
		c.TokenHash = hash64(accessToken)
		return nil
	})
}

// RotateUserKey makes another key for the person, for which the old one vouches
// (7.). They sign in with it next.
func (m *Mac) RotateUserKey(ctx context.Context) (Person, error) {
	old, err := m.signedIn()
	if err != nil {
		return Person{}, err
	}
	if old.Method != pssowire.MethodKey {
		return Person{}, idp.Invalidf("method", "%q", old.Method).Say("the key of a card is not the Mac's to exchange")
	}
	p := *old
	p.Key, p.Tokens = nil, nil // what stands on the old key ends with it
	return m.registerUser(ctx, &p, "", func(c *pssowire.User, proof pssowire.KeyProof) error {
		c.RefreshToken = old.Tokens.Refresh
		var err error
		c.OldProof, err = m.ours(old.Key, pssowire.TypeUserKey, proof)
		return err
	})
}

// registerUser sends a key of a person with its proof; more adds what allows it.
func (m *Mac) registerUser(ctx context.Context, p *person, bearer string, more func(*pssowire.User, pssowire.KeyProof) error) (Person, error) {
	at := m.st.Conf.UserEndpoint
	_, about, err := m.registration(ctx, at)
	if err != nil {
		return Person{}, err
	}
	c := pssowire.User{Signed: about, Method: p.Method}
	proof := pssowire.KeyProof{Signed: about}
	if proof.Device, err = idOf(m.st.Keys.Signing); err != nil {
		return Person{}, err
	}
	if err := m.userKey(p, &c, &proof); err != nil {
		return Person{}, err
	}
	if err := more(&c, proof); err != nil {
		return Person{}, err
	}
	var got pssowire.RegisteredUser
	if err := m.ask(ctx, asking{"register user", http.MethodPost, at, pssowire.TypeUser, bearer, &c.UserProof}, c, &got); err != nil {
		return Person{}, err
	}
	if got.LoginUserName == "" || got.DeviceID != m.st.Device {
		return Person{}, disliked("registered_user", "no login_user_name, or another device")
	}
	p.User, p.Credential = got.LoginUserName, got.CredentialID
	m.st.Person = p
	if err := m.reconfigured(got.Configuration); err != nil {
		return Person{}, err
	}
	return Person{User: p.User, Method: p.Method, Credential: p.Credential, Key: proof.Key, Pending: got.Pending}, m.save()
}

// userKey makes the person's key, or takes their card, and adds it with its
// proof of itself.
func (m *Mac) userKey(p *person, c *pssowire.User, proof *pssowire.KeyProof) (err error) {
	if p.Method == pssowire.MethodCard {
		card, err := m.card()
		if err != nil {
			return err
		}
		s := card.signing(pssowire.TypeUserKey, pssowire.ChainList)
		s.KeyID = "-"
		c.UserProof, err = s.Sign(proof)
		return err
	}
	if p.Key, err = newKey(); err != nil {
		return err
	}
	if c.UserKey, err = point(p.Key); err != nil {
		return err
	}
	if proof.Key, err = idOf(p.Key); err != nil {
		return err
	}
	c.BiometricPolicy = m.st.Conf.BiometricPolicy
	c.UserProof, err = m.ours(p.Key, pssowire.TypeUserKey, proof)
	return err
}

// RemoveUser takes the person's key back (8.). Of a card nothing is there to be
// taken back: it is only forgotten here.
func (m *Mac) RemoveUser(ctx context.Context) error {
	p, err := m.somebody()
	if err != nil {
		return err
	}
	if p.Method == pssowire.MethodKey {
		at := m.st.Conf.UserEndpoint
		_, about, err := m.registration(ctx, at)
		if err != nil {
			return err
		}
		c := pssowire.Removal{Signed: about}
		if c.UserKey, err = idOf(p.Key); err != nil {
			return err
		}
		if err := m.ask(ctx, asking{"remove user", http.MethodDelete, at, pssowire.TypeRemoval, "", nil}, c, new(json.RawMessage)); err != nil {
			return err
		}
	}
	m.st.Person = nil
	return m.save()
}
