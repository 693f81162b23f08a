package platform

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/userkey"
)

// The bounds of an attestation: Apple's chains have three certificates.
const (
	maxChain       = 5
	maxCertificate = 8 << 10
)

// RegisterOnce judges a key that a Mac asks to be registered for a person. Both
// are the door's to verify, and so is the message of the Mac; that somebody has
// the key, and in a rotation the old one, is proven here, on that message's
// nonce.
//
// Errors: Invalid "key_malformed", "biometric_policy", "attestation_malformed";
// of the proofs "proof_malformed", "proof_type", "key_not_held" (the signature),
// "proof_issuer", "proof_audience", "proof_nonce", "proof_device", "proof_key",
// "proof_times", and all of these with "old_" for that of the old key; of a
// rotation also "old_key_missing" and "rotation_biometric". Denied for a Mac that
// is disabled or gone (130007, 130008), "attestation_required" for a key in the
// place of an attested one, and what Config.Attested says.
// Settle is Denied "platform_limit" when the person holds as many as the tenant
// allows, Conflict "key_registered" for a key that somebody has, Unproven
// "key_replaced" when the old key went meanwhile. A key that this Mac keeps for
// this person already is a success and the credential that is there: the reply
// was lost.
func (m *Room) RegisterOnce(ctx context.Context, a method.Answer) (method.Registration, error) {
	if !a.User.Known() || a.Device == "" {
		return method.Registration{}, idp.Invalidf("registration_for_nobody", "user %q, device %q", a.User.ID, a.Device)
	}
	n, err := m.proven(ctx, a)
	if err != nil {
		return method.Registration{}, err
	}
	d, gone, err := m.keys.Machine(ctx, a.Tenant, a.Device)
	if err != nil {
		return method.Registration{}, err
	}
	if fault := userkey.MayRegister(d, gone, a.Device); fault != nil {
		return method.Registration{}, fault
	}
	hardware, err := m.attested(ctx, a, n)
	if err != nil {
		return method.Registration{}, err
	}
	limit, err := m.keys.Limit(ctx, a.Tenant)
	if err != nil {
		return method.Registration{}, err
	}
	print := sha256.Sum256(n.spki)
	fresh, err := m.keys.Fresh(ctx, userkey.Key{
		Tenant: a.Tenant, User: a.User.ID, Device: a.Device, KID: n.id[:], Print: print[:], SPKI: n.spki,
		Marks: marks(n.offer.Biometric, hardware), Created: a.Now,
	}, d)
	if err != nil {
		return method.Registration{}, err
	}
	d.Enabled = true // with its first key it is
	return method.Registration{
		Credential: credential(fresh, d, false),
		Settle: func(ctx context.Context, tx *sqldb.Tx) error {
			return m.keys.Add(ctx, tx, userkey.Adding{Key: fresh, Public: n.key, Limit: limit, Over: n.over})
		},
	}, nil
}

// offered is a new key that somebody has shown to have.
type offered struct {
	offer    Offer
	expected Expected
	key      *ecdsa.PublicKey
	id       pssowire.KeyID
	spki     []byte
	over     idp.CredentialID // in a rotation, the old one
	attested bool             // which was
}

// proven reads an offer and verifies its proofs.
func (m *Room) proven(ctx context.Context, a method.Answer) (offered, error) {
	n, err := parse(a)
	if err != nil {
		return offered{}, err
	}
	if err := n.holds("", n.offer.Proof, n.key, a.Now); err != nil || !n.expected.Rotation {
		return n, err
	}
	old, err := m.keys.OfDevice(ctx, a.Tenant, a.User.ID, a.Device)
	if err != nil {
		return offered{}, err
	}
	if old.ID == "" {
		return offered{}, idp.Invalidf("old_key_missing", "device %s keeps no key for %s", a.Device, a.User.ID).
			Say("This Mac has no key of this person. Register it anew.")
	}
	public, err := x509.ParsePKIXPublicKey(old.SPKI)
	if err != nil {
		return offered{}, fmt.Errorf("stored Platform Credential %s: %w", old.ID, err)
	}
	if err := n.holds("old_", n.offer.OldProof, public.(*ecdsa.PublicKey), a.Now); err != nil {
		return offered{}, err
	}
	// Nobody makes a gesture for a rotation, so that the new key may not claim
	// more of its person than the old one.
	if int64(n.offer.Biometric) != old.Marks&markBiometric {
		return offered{}, idp.Invalidf("rotation_biometric", "biometric policy %d in the place of %d", n.offer.Biometric, old.Marks&markBiometric).On("biometric_policy").
			Say("A key with another biometric policy needs its person: register it anew.")
	}
	n.over, n.attested = old.ID, attested(old.Marks)
	return n, nil
}

// parse reads an offer and what it must answer.
func parse(a method.Answer) (offered, error) {
	expected, err := expectedFrom(a.Keep)
	if err != nil {
		return offered{}, err
	}
	n := offered{expected: expected}
	if err := jose.Strict(a.Payload, &n.offer); err != nil {
		return offered{}, idp.Invalidf("offer_malformed", "offer: %w", err).Say("The registration cannot be read.")
	}
	if n.key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), n.offer.Key); err != nil {
		return offered{}, idp.Invalidf("key_malformed", "key of %d bytes: %w", len(n.offer.Key), err).On("user_key").Say("This is no public key on P-256.")
	}
	if n.offer.Biometric&^markBiometric != 0 {
		return offered{}, idp.Invalidf("biometric_policy", "biometric policy %d", n.offer.Biometric).On("biometric_policy").
			Say("The biometric policy has bits that nobody knows.")
	}
	if err := bounded(n.offer.Attestation); err != nil {
		return offered{}, err
	}
	if n.spki, err = x509.MarshalPKIXPublicKey(n.key); err != nil {
		return offered{}, fmt.Errorf("key: %w", err)
	}
	n.id = pssowire.KeyOf(n.key)
	return n, nil
}

func bounded(chain [][]byte) error {
	long := len(chain) > maxChain
	for _, one := range chain {
		long = long || len(one) == 0 || len(one) > maxCertificate
	}
	if long {
		return idp.Invalidf("attestation_malformed", "%d certificates", len(chain)).On("attestation").Say("The attestation is not what a Mac gives.")
	}
	return nil
}

// holds verifies that who sent the message has a key, here and now: the new one,
// or, with the prefix "old_", the one that vouches for it.
func (n offered) holds(prefix, compact string, key *ecdsa.PublicKey, now time.Time) error {
	refuse := func(reason, format string, args ...any) error {
		return idp.Invalidf(prefix+reason, format, args...).Say("The Mac could not show that it has the key. Try again.")
	}
	m, err := jose.Parse(compact, algorithm)
	if err != nil {
		return refuse("proof_malformed", "%w", err)
	}
	if m.Type != strings.ToLower(pssowire.TypeUserKey) {
		return refuse("proof_type", "typ is %.60q", m.Type)
	}
	var c pssowire.KeyProof
	if err := m.Verify(algorithm, key, &c); err != nil {
		return refuse("key_not_held", "%w", err)
	}
	device, _ := pssowire.ParseKeyID(c.Device)
	about, _ := pssowire.ParseKeyID(c.Key) // what cannot be read is nobody's id
	switch {
	case c.Issuer != pssowire.ClientID:
		return refuse("proof_issuer", "proof of %.60q", c.Issuer)
	case len(c.Audience) != 1 || c.Audience[0] != n.expected.Audience:
		return refuse("proof_audience", "proof for %.200q", []string(c.Audience))
	case c.RequestNonce != n.expected.Nonce:
		return refuse("proof_nonce", "proof on another nonce")
	case device != n.expected.Device:
		return refuse("proof_device", "proof for device key %.80q", c.Device)
	case about != n.id:
		return refuse("proof_key", "proof about key %.80q", c.Key)
	}
	if fault := assertion.Window(c.Issued, c.Expires, now); fault != nil {
		return refuse("proof_times", "%w", fault)
	}
	return nil
}

// attested asks whether the key is shown to be in a Secure Enclave.
func (m *Room) attested(ctx context.Context, a method.Answer, n offered) (bool, error) {
	good := false
	if m.cfg.Attested != nil {
		h := sha256.New()
		h.Write([]byte(n.expected.Nonce))
		h.Write([]byte{0})
		h.Write(n.id[:])
		var err error
		good, err = m.cfg.Attested(ctx, a.Tenant, Attestation{Device: a.Device, Chain: n.offer.Attestation, Key: n.key, Hash: h.Sum(nil)})
		if err != nil {
			return false, err
		}
	}
	if n.attested && !good {
		return false, idp.Deniedf("attestation_required", "%s is attested, and the key in its place is not", n.over).On("attestation").
			Say("The key that this one takes the place of is attested, so this one must be, too.")
	}
	return good, nil
}
