package platform

import (
	"context"
	"errors"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/userkey"
)

// algorithm is what user keys sign by: macOS offers others, and the
// configuration asks for this one alone (apple-platform-sso.md §2).
const algorithm = "ES256"

// Verify judges an embedded assertion: one signature for a key that the Mac keeps,
// and a read where this node does not know it; for any other, and for one that
// nobody has, two reads more. The
// device in the Answer is the one whose signature the door has verified; without
// one nothing verifies. Errors are Unproven with a reason; Denied with 130007 or
// 130008, beside Genuine, for a key whose Mac is disabled or gone, which is only
// told to who has the key.
func (m *Room) Verify(ctx context.Context, a method.Answer) (method.Verdict, error) {
	said, fault := judged(a)
	if fault != nil {
		return method.Verdict{}, fault
	}
	k, err := m.keys.Claimed(ctx, a.Tenant, a.Device, said.Issuer, said.Key)
	known := err == nil
	if err != nil && !errors.Is(err, idp.NotFound) {
		return method.Verdict{}, err
	}
	v := method.Verdict{}
	if known {
		v.Proof = idp.Proof{Tenant: a.Tenant, User: k.User, Method: ID, Credential: k.ID}
	}
	if fault := m.signed(said, k, known); fault != nil {
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
		return v, idp.Unprovenf("other_device", "key of device %s, sent by %s", k.Device, a.Device)
	}
	return method.Verdict{Proof: proof(a, k), Settle: m.keys.Touch(k, a.Now)}, nil
}

// judged reads an assertion and checks all that needs no key.
func judged(a method.Answer) (assertion.Assertion, *idp.Error) {
	expected, fault := assertion.FromKeep(a.Keep)
	if fault != nil {
		return assertion.Assertion{}, fault
	}
	said, fault := assertion.Read(assertion.MacKey, a.Payload, algorithm)
	if fault == nil {
		fault = said.Judge(expected, a.Now)
	}
	if fault == nil && a.Device == "" {
		fault = idp.Unprovenf("device_missing", "assertion without a device")
	}
	return said, fault
}

// signed looks at one signature whatever is known: where there is no key, at one
// that would fit.
func (m *Room) signed(said assertion.Assertion, k userkey.Key, known bool) *idp.Error {
	if !known {
		_ = said.Message.VerifyKey(m.decoy) // for the work alone
		return idp.Unprovenf("key_unknown", "no such key of %.80q", said.Issuer)
	}
	public, err := k.PublicKey()
	if err != nil {
		return idp.Unprovenf("key_unusable", "stored key: %w", err)
	}
	if err := said.Verify(public); err != nil {
		return idp.AsError(err)
	}
	return nil
}

// proof states what a judged assertion proves.
func proof(a method.Answer, k userkey.Key) idp.Proof {
	held := "pop" // RFC 8176 §2: somebody has the key, nobody has shown what holds it
	if attested(k.Marks) {
		held = "hwk"
	}
	return idp.Proof{
		Tenant: a.Tenant, User: k.User, Method: ID, Mode: idp.ModeHello, Credential: k.ID, Device: k.Device,
		Properties: properties(k.Marks), AMR: []string{held, "mfa"}, Facts: facts(k), Time: a.Now,
	}
}
