package hello

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
)

// AADSTS numbers of a key whose own signature is good and whose device is not
// (device-protocol.md §3.2). Unknown person, unknown key and wrong signature
// are all the corridor's 130005 (decisions 2.7).
const (
	codeDisabled = 130007
	codeMissing  = 130008

	sayDevice = "The device that keeps this key is switched off or was removed. Ask the help desk, or join the device again."
)

// nobody has no keys: the person in whose place an unknown one is looked for.
const nobody idp.UserID = "-"

// common stands for any tenant in the audience of an assertion.
const common = "common"

// Verify judges an assertion: one read and one signature for a key that the
// device keeps; for any other, and for one that nobody has, two reads more. The device in the Answer is the one whose signature the
// door has verified; without one nothing verifies. Errors are Unproven with a
// reason; Denied with 130007 or 130008, beside Genuine, for a key of a device
// that is disabled or gone, which is only told to who has the key.
func (m *Room) Verify(ctx context.Context, a method.Answer) (method.Verdict, error) {
	said, fault := parse(a.Payload)
	if fault == nil {
		fault = said.judge(a.Keep, []string{common, string(a.Tenant), m.cfg.Issuer(a.Tenant)}, a.Now)
	}
	if fault == nil && a.Device == "" {
		fault = idp.Unprovenf("device_missing", "assertion without a device")
	}
	if fault != nil {
		return method.Verdict{}, fault
	}
	k, err := m.claimed(ctx, a, said)
	known := err == nil
	if err != nil && !errors.Is(err, idp.NotFound) {
		return method.Verdict{}, err
	}
	fault = m.signed(said, k, known)
	v := method.Verdict{Proof: idp.Proof{Tenant: a.Tenant, User: k.user, Method: ID, Credential: k.id}}
	if !known {
		v = method.Verdict{}
	}
	if fault != nil {
		return v, fault
	}
	v.Genuine = true
	d, gone, err := m.machine(ctx, nil, a.Tenant, k.device)
	if err != nil {
		return method.Verdict{}, err
	}
	if err := stands(d, gone || !k.orphaned.IsZero(), k.device); err != nil {
		return v, err
	}
	if k.device != a.Device {
		// Also when inner and outer nonce are one (decisions 4.8).
		return v, idp.Unprovenf("other_device", "key of device %s, sent by %s", k.device, a.Device)
	}
	return method.Verdict{Proof: m.proof(a, k, said.message.Alg), Settle: settle(k, a)}, nil
}

// claimed finds the key that an assertion names, of the person that it names:
// among those of the device first, which whoever sends this has shown to be. For
// all others the work is one: for a key of another device, an unknown one, and
// an unknown person.
func (m *Room) claimed(ctx context.Context, a method.Answer, said assertion) (row, error) {
	k, err := m.atHand(ctx, a, said)
	if err == nil || !errors.Is(err, idp.NotFound) {
		return k, err
	}
	user, err := m.cfg.UserByName(ctx, a.Tenant, said.claims.Issuer)
	if errors.Is(err, idp.NotFound) {
		user.ID = nobody
	} else if err != nil {
		return row{}, err
	}
	return find(ctx, m.db, a.Tenant, user.ID, said.kid)
}

// atHand is a key of the device that the assertion names, if it names the owner,
// too.
func (m *Room) atHand(ctx context.Context, a method.Answer, said assertion) (row, error) {
	k, err := kept(ctx, m.db, a.Tenant, a.Device, said.kid)
	if err != nil {
		return row{}, err
	}
	owner, err := m.cfg.User(ctx, a.Tenant, k.user)
	if err == nil && directory.Fold(owner.Name) != directory.Fold(said.claims.Issuer) {
		err = idp.NotFoundf("key_unknown", "key of %s, claimed for %.80q", k.user, said.claims.Issuer)
	}
	return k, err
}

// signed looks at one signature whatever is known: where there is no key, or
// one of another kind, at one that would fit.
func (m *Room) signed(said assertion, k row, known bool) *idp.Error {
	says := said.message.Alg
	public, fits := m.decoys[says], false
	if known {
		stored, err := x509.ParsePKIXPublicKey(k.spki)
		if err != nil {
			return idp.Unprovenf("key_unusable", "stored key: %w", err)
		}
		if fits = algorithm(stored) == says; fits {
			public = stored
		}
	}
	err := said.message.VerifyKey(public)
	switch {
	case !known:
		return idp.Unprovenf("key_unknown", "no such key of %.80q", said.claims.Issuer)
	case !fits:
		return idp.Unprovenf("algorithm_differs", "message says %s, and the key is for another", says)
	case err != nil:
		return idp.Unprovenf("wrong_signature", "%w", err)
	}
	return nil
}

// proof states what a judged assertion proves.
func (m *Room) proof(a method.Answer, k row, alg string) idp.Proof {
	p := idp.Proof{
		Tenant: a.Tenant, User: k.user, Method: ID, Mode: idp.ModeHello, Credential: k.id, Device: k.device,
		Properties: properties(), AMR: []string{"rsa", "mfa"}, Facts: facts(k), Time: a.Now,
	}
	if alg != "RS256" {
		p.AMR[0] = "pop" // RFC 8176 §2; "rsa" would not be true
	}
	return p
}

// properties are what an answer of a key claims. That hardware holds it nobody
// has shown: the attestation of a device is of the device's own two keys, and
// a user key comes without any (device-protocol.md §6; security.md DEV11).
func properties() []idp.Property {
	return []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor}
}

func facts(k row) idp.Facts { return idp.Facts{Device: k.device, Name: k.name} }

// settle notes the use of a key, if it is still there and its device, too.
func settle(k row, a method.Answer) method.Settle {
	return func(ctx context.Context, tx *sqldb.Tx) error {
		ok, err := touch(ctx, tx, k, a.Now)
		if err == nil && !ok {
			err = idp.Unprovenf("credential_gone", "key %s was removed meanwhile", k.id)
		}
		return err
	}
}
