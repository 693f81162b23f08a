package hello

import (
	"context"
	"errors"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/userkey"
)

// Verify judges an assertion: one signature for a key that the device keeps, and
// a read where this node does not know it; for any other, and for one that nobody
// has, two reads more. The device in the Answer is the one whose signature the
// door has verified; without one nothing verifies. Errors are Unproven with a
// reason; Denied with 130007 or 130008, beside Genuine, for a key of a device
// that is disabled or gone, which is only told to who has the key.
func (m *Room) Verify(ctx context.Context, a method.Answer) (method.Verdict, error) {
	said, fault := read(a.Payload)
	if fault == nil {
		fault = said.Judge(assertion.Expected{
			RequestNonce: string(a.Keep), Audiences: []string{common, string(a.Tenant), m.cfg.Issuer(a.Tenant)},
		}, a.Now)
	}
	if fault == nil && a.Device == "" {
		fault = idp.Unprovenf("device_missing", "assertion without a device")
	}
	if fault != nil {
		return method.Verdict{}, fault
	}
	k, err := m.keys.Claimed(ctx, a.Tenant, a.Device, said.Issuer, said.Key)
	known := err == nil
	if err != nil && !errors.Is(err, idp.NotFound) {
		return method.Verdict{}, err
	}
	fault = m.signed(said, k, known)
	v := method.Verdict{Proof: idp.Proof{Tenant: a.Tenant, User: k.User, Method: ID, Credential: k.ID}}
	if !known {
		v = method.Verdict{}
	}
	if fault != nil {
		return v, fault
	}
	v.Genuine = true
	d, gone, err := m.keys.Machine(ctx, a.Tenant, k.Device)
	if err != nil {
		return method.Verdict{}, err
	}
	if err := userkey.Stands(d, gone || !k.Orphaned.IsZero(), k.Device); err != nil {
		return v, err
	}
	if k.Device != a.Device {
		// Also when inner and outer nonce are one (decisions 4.8).
		return v, idp.Unprovenf("other_device", "key of device %s, sent by %s", k.Device, a.Device)
	}
	return method.Verdict{Proof: m.proof(a, k, said.Message.Alg), Settle: m.keys.Touch(k, a.Now)}, nil
}

// signed looks at one signature whatever is known: where there is no key, or
// one of another kind, at one that would fit.
func (m *Room) signed(said assertion.Assertion, k userkey.Key, known bool) *idp.Error {
	says := said.Message.Alg
	public, fits := m.decoys[says], false
	if known {
		stored, err := k.PublicKey()
		if err != nil {
			return idp.Unprovenf("key_unusable", "stored key: %w", err)
		}
		if fits = algorithm(stored) == says; fits {
			public = stored
		}
	}
	err := said.Verify(public)
	switch {
	case !known:
		return idp.Unprovenf("key_unknown", "no such key of %.80q", said.Issuer)
	case !fits:
		return idp.Unprovenf("algorithm_differs", "message says %s, and the key is for another", says)
	case err != nil:
		return idp.Unprovenf("wrong_signature", "%w", err)
	}
	return nil
}

// proof states what a judged assertion proves.
func (m *Room) proof(a method.Answer, k userkey.Key, alg string) idp.Proof {
	p := idp.Proof{
		Tenant: a.Tenant, User: k.User, Method: ID, Mode: idp.ModeHello, Credential: k.ID, Device: k.Device,
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

func facts(k userkey.Key) idp.Facts { return idp.Facts{Device: k.Device, Name: k.Name} }
