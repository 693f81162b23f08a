package psso_test

import (
	"context"
	"crypto/ecdsa"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

// rotation is one that a test may bend.
type rotation struct {
	m      *machine
	h      *hardware // the new keys
	claims pssowire.Rotation
	typ    string
	key    *ecdsa.PrivateKey
	sign   []func(*pssowire.Signing)
}

// rotation of both keys of m to those of h.
func (o *office) rotation(m *machine, h *hardware, session string) *rotation {
	o.t.Helper()
	nonce, exchange := o.freshNonce(o.t, o.tenant.ID)
	q := &rotation{m: m, h: h, typ: pssowire.TypeRotation, key: m.signing}
	q.claims = pssowire.Rotation{
		Signed: o.says("/psso/device", nonce), RefreshToken: session,
		NewSigningKey: pssowire.EncodePoint(&h.signing.PublicKey), NewEncryptionKey: pssowire.EncodePoint(&h.encryption.PublicKey),
		NewEncryptionProof: proof(o.t, h.encryption, exchange, nonce),
	}
	q.claims.SigningProof = o.signingProof(q, h.signing, m, h)
	return q
}

// signingProof is one about the new signing key of h, by a key, on m.
func (o *office) signingProof(q *rotation, by *ecdsa.PrivateKey, m *machine, h *hardware) string {
	return signAs(o.t, by, pssowire.TypeDeviceKey, pssowire.KeyProof{
		Signed: q.claims.Signed, Device: m.kid().String(), Key: pssowire.KeyOf(&h.signing.PublicKey).String(),
	})
}

func (o *office) rotate(q *rotation) answer {
	return o.request("POST", "/psso/device", signAs(o.t, q.key, q.typ, q.claims, q.sign...), "")
}

// signedIn is a Mac with a person who signed in on it.
func (o *office) signedIn(u idp.User) (*machine, *platformtest.Key, string) {
	o.t.Helper()
	m := o.join(u, newHardware()).machine
	k := o.enrolled(m, u)
	return m, k, o.signIn(m, u, k)
}

// Both generations of keys are good until a login comes under the new one.
func TestRotateDeviceKeys(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m, k, session := w.signedIn(w.ada)
		h := newHardware()
		a := w.rotate(w.rotation(m, h, session))
		if a.status != 200 {
			t.Fatalf("%d %s (%s)", a.status, a.body, a.cause)
		}
		out := a.json(t)
		until, _ := out["rotates_until"].(float64)
		if out["device_id"] != string(m.ID) || out["key_id"] != pssowire.KeyOf(&h.signing.PublicKey).String() ||
			out["encryption_key_id"] != pssowire.KeyOf(&h.encryption.PublicKey).String() || int64(until)-w.clock.now().Unix() < 23*3600 {
			t.Errorf("%v", out)
		}
		if e := w.changes("mac.rotate"); len(e) != 1 || e[0].Outcome != audit.Success || e[0].Category != audit.Change || e[0].User != w.ada.ID ||
			e[0].Detail["device"] != string(m.ID) || e[0].Detail["signing_key"] == "" || e[0].Detail["encryption_key"] == "" {
			t.Errorf("audit: %+v", e)
		}
		w.signIn(m, w.ada, k) // under the old ones
		now := *m
		now.signing, now.encryption = h.signing, h.encryption
		session = w.signIn(&now, w.ada, k) // under the new ones
		w.send(w.login(m, w.ada, k)).refused(t, "the old keys", 400, "invalid_client", "")
		// And once more, the encryption key alone.
		h2 := newHardware()
		q := w.rotation(&now, h2, session)
		q.claims.NewSigningKey, q.claims.SigningProof = "", ""
		a = w.rotate(q)
		if out := a.json(t); a.status != 200 || out["key_id"] != pssowire.KeyOf(&h.signing.PublicKey).String() || out["encryption_key_id"] != pssowire.KeyOf(&h2.encryption.PublicKey).String() {
			t.Errorf("the encryption key alone: %d %s", a.status, a.body)
		}
		both := now
		both.encryption = h2.encryption
		w.signIn(&now, w.ada, k)
		w.signIn(&both, w.ada, k)
		if a := w.send(w.login(&now, w.ada, k)); a.status == 200 {
			t.Error("the old encryption key is answered")
		}
	})
}

// A rotation whose answer was lost gets the same one; another one takes its place.
func TestRotateAgain(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m, k, session := w.signedIn(w.ada)
		h := newHardware()
		for range 2 {
			if a := w.rotate(w.rotation(m, h, session)); a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		h2 := newHardware()
		if a := w.rotate(w.rotation(m, h2, session)); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		was, now := *m, *m
		was.signing, was.encryption = h.signing, h.encryption
		w.send(w.login(&was, w.ada, k)).refused(t, "the first", 400, "invalid_client", "")
		now.signing, now.encryption = h2.signing, h2.encryption
		w.signIn(&now, w.ada, k)
	})
}

// Keys of a device need both proofs, the old key's and the session's; what else a
// rotation must show, each alone (security.md PSO05).
func TestSec_PSO05_DeviceKeys(t *testing.T) {
	w := liteOffice(t)
	m, _, session := w.signedIn(w.ada)
	other, _, theirs := w.signedIn(w.bob)
	value, _ := w.ticket()
	waits := w.bring(newHardware(), value).machine
	for what, row := range map[string]struct {
		bend   func(q *rotation)
		status int
		word   string
		sub    string
		burns  int64
	}{
		"by the new key alone":          {func(q *rotation) { q.key = q.h.signing }, 400, "invalid_client", "device_unknown", 0},
		"by nobody's key":               {func(q *rotation) { q.key, q.sign = ecKey(), kid(&m.signing.PublicKey) }, 400, "invalid_client", "wrong_signature", 0},
		"on a Mac that is not finished": {func(q *rotation) { q.key = waits.signing }, 400, "invalid_client", "device_pending", 0},
		"no session":                    {func(q *rotation) { q.claims.RefreshToken = "" }, 401, "invalid_token", "session_over", 1},
		"no real session":               {func(q *rotation) { q.claims.RefreshToken = "nonsense" }, 401, "invalid_token", "session_over", 1},
		"the session of another Mac":    {func(q *rotation) { q.claims.RefreshToken = theirs }, 401, "invalid_token", "session_over", 1},
		"nothing new":                   {func(q *rotation) { q.claims.NewSigningKey, q.claims.NewEncryptionKey = "", "" }, 400, "invalid_request", "no_new_key", 1},
		"new key not held":              {func(q *rotation) { q.claims.SigningProof = w.signingProof(q, ecKey(), m, q.h) }, 400, "invalid_request", "kid_differs", 1},
		"no proof":                      {func(q *rotation) { q.claims.SigningProof = "" }, 400, "invalid_request", "key_not_held", 1},
		"proof by the old key":          {func(q *rotation) { q.claims.SigningProof = w.signingProof(q, m.signing, m, q.h) }, 400, "invalid_request", "kid_differs", 1},
		"proof about another key": {func(q *rotation) { q.claims.SigningProof = w.signingProof(q, q.h.signing, m, newHardware()) },
			400, "invalid_request", "key_not_held", 1},
		"proof on another Mac": {func(q *rotation) { q.claims.SigningProof = w.signingProof(q, q.h.signing, other, q.h) }, 400, "invalid_request", "key_not_held", 1},
		"proof of another request": {func(q *rotation) { q.claims.SigningProof = w.rotation(m, q.h, session).claims.SigningProof },
			400, "invalid_request", "key_not_held", 1},
		"proof of another type": {func(q *rotation) {
			q.claims.SigningProof = signAs(t, q.h.signing, pssowire.TypeUserKey, pssowire.KeyProof{
				Signed: q.claims.Signed, Device: m.kid().String(), Key: pssowire.KeyOf(&q.h.signing.PublicKey).String()})
		}, 400, "invalid_request", "key_not_held", 1},
		"encryption key not held": {func(q *rotation) {
			q.claims.NewEncryptionKey = pssowire.EncodePoint(&newHardware().encryption.PublicKey)
		}, 400, "invalid_request", "key_not_held", 1},
		"no proof of encryption": {func(q *rotation) { q.claims.NewEncryptionProof = "" }, 400, "invalid_request", "key_not_held", 1},
		"one key for both":       {func(q *rotation) { w.sameKey(q) }, 400, "invalid_request", "shared_device_key", 1},
		"over":                   {func(q *rotation) { n := w.clock.now().Unix(); q.claims.Issued, q.claims.Expires = at(n-200), at(n-90) }, 400, "invalid_request", "request_late", 1},
		"for another address":    {func(q *rotation) { q.claims.Audience = pssowire.Audience{base + w.at("/psso/user")} }, 400, "invalid_request", "audience_differs", 1},
		"no nonce":               {func(q *rotation) { q.claims.RequestNonce = "" }, 400, "invalid_grant", "nonce", 0},
		"the key of another Mac": {func(q *rotation) { w.rekey(q, other.signing) }, 400, "invalid_request", "key_registered", 1},
		"its own encryption key": {func(q *rotation) { w.rekey(q, m.encryption); q.claims.NewEncryptionKey = "" }, 400, "invalid_request", "shared_device_key", 1},
		"as a registration":      {func(q *rotation) { q.typ = pssowire.TypeDevice }, 400, "invalid_request", "key_malformed", 0},
		"as a removal":           {func(q *rotation) { q.typ = pssowire.TypeRemoval }, 400, "invalid_request", "typ_differs", 0},
	} {
		q := w.rotation(m, newHardware(), session)
		row.bend(q)
		before := w.spent()
		w.rotate(q).refused(t, what, row.status, row.word, row.sub)
		if n := w.spent() - before; n != row.burns {
			t.Errorf("%s: %d nonces burnt, want %d", what, n, row.burns)
		}
	}
	if got, err := w.macs.Get(t.Context(), w.db, w.tenant.ID, m.ID); err != nil || got.Rotating() {
		t.Errorf("%+v, %v", got, err)
	}
	if a := w.rotate(w.rotation(m, newHardware(), session)); a.status != 200 {
		t.Errorf("a good one: %d %s", a.status, a.body)
	}
}

// rekey has a rotation go to another new signing key, all else being right.
func (o *office) rekey(q *rotation, to *ecdsa.PrivateKey) {
	h := &hardware{signing: to, encryption: q.h.encryption}
	q.claims.NewSigningKey = pssowire.EncodePoint(&to.PublicKey)
	q.claims.SigningProof = o.signingProof(q, to, q.m, h)
}

// sameKey has it go to one key for both.
func (o *office) sameKey(q *rotation) {
	h := &hardware{signing: q.h.signing, encryption: q.h.signing}
	*q = *o.rotation(q.m, h, q.claims.RefreshToken)
}

// A session that ended, a person who may not sign in, a Mac that was switched off:
// the next rotation is refused.
func TestSec_PSO05_Revoked(t *testing.T) {
	for what, row := range map[string]struct {
		revoke func(w *office, m *machine)
		status int
		word   string
	}{
		"the session": {func(w *office, m *machine) {
			w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.prts.RevokeDevice(ctx, tx, w.tenant.ID, m.ID) })
		}, 401, "invalid_token"},
		"the person":           {func(w *office, _ *machine) { w.enable(w.ada, false) }, 401, "invalid_token"},
		"the Mac":              {func(w *office, m *machine) { w.switchOn(m, false) }, 400, "invalid_client"},
		"the Mac, for a while": {func(w *office, m *machine) { w.switchOn(m, false); w.switchOn(m, true) }, 401, "invalid_token"},
		"devices":              {func(w *office, _ *machine) { w.policy(func(p *policy.Policy) { p.Devices.On = false }) }, 400, "invalid_client"},
	} {
		t.Run(what, func(t *testing.T) {
			w := liteOffice(t)
			m, _, session := w.signedIn(w.ada)
			q := w.rotation(m, newHardware(), session)
			row.revoke(w, m)
			if a := w.rotate(q); a.status != row.status || a.json(t)["error"] != row.word {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
}

// A refresh token of which somebody has a copy ends the sign-in.
func TestSec_PSO05_Reuse(t *testing.T) {
	w := liteOffice(t)
	m, k, first := w.signedIn(w.ada)
	w.signIn(m, w.ada, k)
	last := w.signIn(m, w.ada, k) // first is two generations old
	w.rotate(w.rotation(m, newHardware(), first)).refused(t, "reused", 401, "invalid_token", "session_over")
	w.rotate(w.rotation(m, newHardware(), last)).refused(t, "after it", 401, "invalid_token", "session_over")
	if len(w.changes("prt.reuse")) != 1 {
		t.Error("no event")
	}
}

// What is attested stays attested.
func TestSec_DEV11_RotationAttested(t *testing.T) {
	w := liteOffice(t)
	h := newHardware()
	m := w.join(w.ada, h, func(c *pssowire.Device) { w.attest(h, c) }).machine
	k := w.enrolled(m, w.ada)
	session := w.signIn(m, w.ada, k)
	next := newHardware()
	shown := func(q *rotation, of *hardware) {
		sum := deviceData(q.claims.RequestNonce, &next.signing.PublicKey, &next.encryption.PublicKey)
		q.claims.Attestation = &pssowire.Attestation{
			Signing: w.maker.chain(t, &next.signing.PublicKey, sum, of), Encryption: w.maker.chain(t, &next.encryption.PublicKey, sum, of),
		}
	}
	w.rotate(w.rotation(m, next, session)).refused(t, "without", 403, "access_denied", "attestation_required")
	q := w.rotation(m, next, session)
	shown(q, &hardware{serial: "C02XYZ789", udid: "other"})
	w.rotate(q).refused(t, "of another Mac", 403, "access_denied", "attestation_required")
	q = w.rotation(m, next, session)
	shown(q, h)
	q.claims.Attestation.Encryption = q.claims.Attestation.Signing
	w.rotate(q).refused(t, "of one key", 403, "access_denied", "attestation_required")
	if e := w.changes("mac.rotate"); e[0].Detail["attestation"] == "" {
		t.Errorf("the record does not say why: %+v", e[0])
	}
	q = w.rotation(m, next, session)
	shown(q, h)
	if a := w.rotate(q); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	now := *m
	now.signing, now.encryption = next.signing, next.encryption
	w.signIn(&now, w.ada, k)
	if got, _ := w.macs.Get(t.Context(), w.db, w.tenant.ID, m.ID); !got.Keys[0].Attested || !got.Keys[1].Attested || w.load(m.ID).Assurance != "attested" {
		t.Errorf("%+v", got)
	}
}

// Two rotations at once, to two keys: one of them stands.
func TestRotateTogether(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m, _, session := w.signedIn(w.ada)
		got := w.together(4, func(int) answer { return w.rotate(w.rotation(m, newHardware(), session)) })
		if got["OK "] != 4 {
			t.Errorf("%v", got)
		}
		now, err := w.macs.Get(t.Context(), w.db, w.tenant.ID, m.ID)
		if err != nil || len(now.Keys) != 4 {
			t.Errorf("%+v, %v", now, err)
		}
	})
}

// --- keys of people ------------------------------------------------------------------

// userRotation is a request for k2 in the place of k.
func (o *office) userRotation(m *machine, k, k2 *platformtest.Key, session string) pssowire.User {
	o.t.Helper()
	c := o.userClaims(m, k2, "")
	c.TokenHash, c.RefreshToken = "", session
	c.OldProof = o.userProof(m, k.Private(), k2, c)
	return c
}

func TestRotateUserKey(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m, k, session := w.signedIn(w.ada)
		k2 := newKey()
		a := w.sendUser(m, w.userRotation(m, k, k2, session), "")
		if a.status != 200 {
			t.Fatalf("%d %s (%s)", a.status, a.body, a.cause)
		}
		if out := a.json(t); out["login_user_name"] != w.ada.Name || out["credential_id"] == "" {
			t.Errorf("%v", out)
		}
		if e := w.changes("platform.rotate"); len(e) != 1 || e[0].Outcome != audit.Success || e[0].User != w.ada.ID || e[0].Detail["device"] != string(m.ID) {
			t.Errorf("audit: %+v", e)
		}
		w.send(w.login(m, w.ada, k)).refused(t, "the old key", 401, "invalid_grant", "")
		w.signIn(m, w.ada, k2)
		if w.keysOf(w.ada) != 1 {
			t.Errorf("%d keys", w.keysOf(w.ada))
		}
	})
}

// A person's key needs both proofs, the old key's and the session's.
func TestSec_PSO05_UserKey(t *testing.T) {
	w := liteOffice(t)
	m, k, session := w.signedIn(w.ada)
	other, theirKey, theirs := w.signedIn(w.bob)
	bobsKey := w.enrolled(m, w.bob) // on the same Mac
	bobs := w.signIn(m, w.bob, bobsKey)
	_ = other
	for what, row := range map[string]struct {
		bend   func(c *pssowire.User, k2 *platformtest.Key)
		status int
		word   string
		sub    string
	}{
		"no session":                 {func(c *pssowire.User, _ *platformtest.Key) { c.RefreshToken = "" }, 401, "invalid_token", "session_over"},
		"the session of another Mac": {func(c *pssowire.User, _ *platformtest.Key) { c.RefreshToken = theirs }, 401, "invalid_token", "session_over"},
		"another person's session":   {func(c *pssowire.User, _ *platformtest.Key) { c.RefreshToken = bobs }, 400, "invalid_request", "old_key_not_held"},
		"no old proof":               {func(c *pssowire.User, _ *platformtest.Key) { c.OldProof = "" }, 401, "invalid_token", "token_missing"},
		"old proof by the new key":   {func(c *pssowire.User, _ *platformtest.Key) { c.OldProof = c.UserProof }, 400, "invalid_request", "old_key_not_held"},
		"old proof by another's key": {func(c *pssowire.User, k2 *platformtest.Key) { c.OldProof = w.userProof(m, theirKey.Private(), k2, *c) },
			400, "invalid_request", "old_key_not_held"},
		"old proof about another key": {func(c *pssowire.User, _ *platformtest.Key) { c.OldProof = w.userProof(m, k.Private(), newKey(), *c) },
			400, "invalid_request", "old_proof_key"},
		"new key not held": {func(c *pssowire.User, k2 *platformtest.Key) { c.UserProof = w.userProof(m, newKey().Private(), k2, *c) },
			400, "invalid_request", "key_not_held"},
	} {
		k2 := newKey()
		c := w.userRotation(m, k, k2, session)
		row.bend(&c, k2)
		before := w.spent()
		w.sendUser(m, c, "").refused(t, what, row.status, row.word, row.sub)
		if w.spent()-before != 1 {
			t.Errorf("%s: the nonce is good still", what)
		}
	}
	w.signIn(m, w.ada, k) // nothing has changed
}

// Two rotations of one key at once: one of them is made by the key that is there.
func TestRotateUserKeyTogether(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m, k, session := w.signedIn(w.ada)
		got := w.together(4, func(int) answer { return w.sendUser(m, w.userRotation(m, k, newKey(), session), "") })
		if got["OK "] != 1 || w.keysOf(w.ada) != 1 {
			t.Errorf("%v, %d keys", got, w.keysOf(w.ada))
		}
	})
}

// After a day the new keys alone are good, login or not.
func TestRotationRunsOut(t *testing.T) {
	w := liteOffice(t)
	m, k, session := w.signedIn(w.ada)
	h := newHardware()
	if a := w.rotate(w.rotation(m, h, session)); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	w.advance(mac.RotationLife + time.Second)
	w.send(w.login(m, w.ada, k)).refused(t, "the old keys", 400, "invalid_client", "")
	now := *m
	now.signing, now.encryption = h.signing, h.encryption
	w.signIn(&now, w.ada, k)
}
