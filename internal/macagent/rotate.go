package macagent

import (
	"context"
	"net/http"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
)

// RotateOptions say which device keys are exchanged for new ones.
type RotateOptions struct{ Signing, Encryption bool }

// Rotate exchanges device keys (docs/macos-registration.md, 6). The ones before
// stay good until the next login. Cut off, it can be called again: the same keys
// are sent then.
func (m *Mac) Rotate(ctx context.Context, o RotateOptions) (Device, error) {
	p, err := m.signedIn()
	if err != nil {
		return Device{}, err
	}
	if !o.Signing && !o.Encryption {
		return Device{}, idp.Invalidf("rotate_what", "neither").Say("say which key is exchanged, --signing or --encryption")
	}
	if err := m.nextKeys(o); err != nil {
		return Device{}, err
	}
	at := m.st.Conf.DeviceEndpoint
	n, about, err := m.registration(ctx, at)
	if err != nil {
		return Device{}, err
	}
	next := *m.st.Next
	c := pssowire.Rotation{Signed: about, RefreshToken: p.Tokens.Refresh}
	a := asking{"rotate", http.MethodPost, at, pssowire.TypeRotation, "", nil}
	if string(next.Signing) != string(m.st.Keys.Signing) {
		if c.NewSigningKey, c.SigningProof, err = m.newSigning(about, next.Signing); err != nil {
			return Device{}, err
		}
		a.inner = &c.SigningProof
	}
	if string(next.Encryption) != string(m.st.Keys.Encryption) {
		if c.NewEncryptionKey, c.NewEncryptionProof, err = n.encryption(next.Encryption); err != nil {
			return Device{}, err
		}
	}
	var got pssowire.Registered
	if err := m.ask(ctx, a, c, &got); err != nil {
		return Device{}, err
	}
	if err := taken(got, next); err != nil {
		return Device{}, err
	}
	m.st.Keys, m.st.Next, m.st.Rotating = next, nil, moment(got.RotatesUntil)
	if err := m.reconfigured(got.Configuration); err != nil {
		return Device{}, err
	}
	return shown(got), m.save()
}

// nextKeys makes the keys that a rotation sends, unless some were sent and
// nobody knows what became of them.
func (m *Mac) nextKeys(o RotateOptions) error {
	if m.st.Next != nil {
		return nil
	}
	next, err := newKeys()
	if err != nil {
		return err
	}
	if !o.Signing {
		next.Signing = m.st.Keys.Signing
	}
	if !o.Encryption {
		next.Encryption = m.st.Keys.Encryption
	}
	m.st.Next = &next
	return m.save()
}

// newSigning is a new signing key as messages have it, and its proof of itself.
func (m *Mac) newSigning(about pssowire.Signed, raw []byte) (text, proof string, err error) {
	if text, err = point(raw); err != nil {
		return "", "", err
	}
	c := pssowire.KeyProof{Signed: about}
	if c.Device, err = idOf(m.st.Keys.Signing); err != nil {
		return "", "", err
	}
	if c.Key, err = idOf(raw); err != nil {
		return "", "", err
	}
	proof, err = m.ours(raw, pssowire.TypeDeviceKey, c)
	return text, proof, err
}
