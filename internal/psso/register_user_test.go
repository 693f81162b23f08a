package psso_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/token"
)

// From nothing to a login: a Mac is registered, a person on it, and that key
// signs in.
func TestRegisterUser(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m := w.join(w.ada, newHardware())
		k, tok := newKey(), w.bearer(w.ada)
		a := w.sendUser(m.machine, w.userClaims(m.machine, k, tok), tok)
		if a.status != 200 {
			t.Fatalf("%d %s (%s)", a.status, a.body, a.cause)
		}
		out := a.json(t)
		if out["login_user_name"] != w.ada.Name || out["credential_id"] == "" || out["device_id"] != string(m.ID) || out["pending"] != false {
			t.Errorf("%v", out)
		}
		all, err := w.platform.List(t.Context(), w.tenant.ID, w.ada.ID)
		if err != nil || len(all) != 1 || string(all[0].ID) != out["credential_id"] || all[0].Facts.Device != m.ID {
			t.Errorf("%+v, %v", all, err)
		}
		if e := w.changes("platform.register"); len(e) != 1 || e[0].Outcome != audit.Success || e[0].User != w.ada.ID || e[0].Detail["device"] != string(m.ID) {
			t.Errorf("audit: %+v", e)
		}
		if w.signIn(m.machine, w.ada, k) == "" {
			t.Error("no refresh token")
		}
		// The same key once more, since the answer may have been lost: with the
		// same token, which is not used up.
		again := w.sendUser(m.machine, w.userClaims(m.machine, k, tok), tok)
		if again.status != 200 || again.json(t)["credential_id"] != out["credential_id"] || w.keysOf(w.ada) != 1 {
			t.Errorf("again: %d %s", again.status, again.body)
		}
		// Another key takes its place; what stood on the old one is over.
		k2 := w.enrolled(m.machine, w.ada)
		if w.keysOf(w.ada) != 1 {
			t.Errorf("%d keys", w.keysOf(w.ada))
		}
		w.send(w.login(m.machine, w.ada, k)).refused(t, "the old key", 401, "invalid_grant", "")
		w.signIn(m.machine, w.ada, k2)
		// A second person on the same Mac has a key of their own.
		w.enrolled(m.machine, w.bob)
		if w.keysOf(w.ada) != 1 || w.keysOf(w.bob) != 1 {
			t.Error("keys of two")
		}
	})
}

// A person's access pass registers the Mac and one key on it, and is over then.
func TestPassRegistersOnce(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		w.policy(func(p *policy.Policy) { p.Switch(policy.AccessPass, true) })
		tok := w.bearer(w.ada, w.byPass)
		h := newHardware()
		m := w.accepted(h, w.sendJoin(h, w.joinClaims(h, tok, false), tok))
		w.try(w.attempt(newHardware(), tok, false)).refused(t, "a second Mac", 403, "access_denied", "token_of_device")
		other := w.join(w.bob, newHardware())
		w.sendUser(other.machine, w.userClaims(other.machine, newKey(), tok), tok).refused(t, "on another Mac", 403, "access_denied", "token_of_device")
		k := newKey()
		if a := w.sendUser(m.machine, w.userClaims(m.machine, k, tok), tok); a.status != 200 {
			t.Fatalf("%d %s (%s)", a.status, a.body, a.cause)
		}
		w.sendUser(m.machine, w.userClaims(m.machine, newKey(), tok), tok).refused(t, "a second key", 401, "invalid_token", "token_revoked")
		if w.keysOf(w.ada) != 1 {
			t.Errorf("%d keys", w.keysOf(w.ada))
		}
	})
}

// request of a person that a test may bend.
type userAttempt struct {
	m      *machine
	k      *platformtest.Key
	claims pssowire.User
	bearer string
	typ    string
	key    crypto.Signer
	sign   []func(*pssowire.Signing)
}

func (o *office) userAttempt(m *machine, u idp.User, change ...func(*token.Subject)) *userAttempt {
	o.t.Helper()
	k, tok := newKey(), o.bearer(u, change...)
	return &userAttempt{m: m, k: k, claims: o.userClaims(m, k, tok), bearer: tok, typ: pssowire.TypeUser, key: m.signing}
}

func (o *office) tryUser(a *userAttempt) answer {
	return o.request("POST", "/psso/user", signAs(o.t, a.key, a.typ, a.claims, a.sign...), a.bearer)
}

// What a registration of a person must show, each alone. Nothing is registered;
// once the Mac has signed it, the nonce is burnt, before that it is not.
func TestSec_PSO01_User(t *testing.T) {
	w := liteOffice(t)
	m, other := w.join(w.ada, newHardware()).machine, w.join(w.bob, newHardware()).machine
	off := w.join(w.ada, newHardware()).machine
	w.switchOn(off, false)
	foreign := newKey()
	for what, row := range map[string]struct {
		bend   func(a *userAttempt)
		status int
		word   string
		sub    string
		burns  int64
	}{
		"an unknown Mac":      {func(a *userAttempt) { a.key = ecKey() }, 400, "invalid_client", "device_unknown", 0},
		"not signed by it":    {func(a *userAttempt) { a.key, a.sign = ecKey(), kid(&m.signing.PublicKey) }, 400, "invalid_client", "wrong_signature", 0},
		"by its other key":    {func(a *userAttempt) { a.key = m.encryption }, 400, "invalid_client", "device_unknown", 0},
		"no key id":           {func(a *userAttempt) { a.sign = []func(*pssowire.Signing){func(s *pssowire.Signing) { s.KeyID = "-" }} }, 400, "invalid_client", "kid_malformed", 0},
		"by a disabled Mac":   {func(a *userAttempt) { a.key = off.signing }, 400, "invalid_client", "device_disabled", 0},
		"a removal":           {func(a *userAttempt) { a.typ = pssowire.TypeRemoval }, 400, "invalid_request", "typ_differs", 0},
		"no nonce":            {func(a *userAttempt) { a.claims.RequestNonce = "" }, 400, "invalid_grant", "nonce", 0},
		"for another address": {func(a *userAttempt) { a.claims.Audience = pssowire.Audience{base + w.at("/psso/device")} }, 400, "invalid_request", "audience_differs", 1},
		"of another client":   {func(a *userAttempt) { a.claims.Issuer = "x" }, 400, "invalid_request", "client_differs", 1},
		"over": {func(a *userAttempt) {
			n := w.clock.now().Unix()
			a.claims.Issued, a.claims.Expires = at(n-200), at(n-90)
		}, 400, "invalid_request", "request_late", 1},
		"another method":        {func(a *userAttempt) { a.claims.Method = pssowire.MethodCard }, 403, "access_denied", "method_differs", 1},
		"a password":            {func(a *userAttempt) { a.claims.Method = "Password" }, 403, "access_denied", "method_differs", 1},
		"no token":              {func(a *userAttempt) { a.bearer = "" }, 401, "invalid_token", "token_missing", 1},
		"another token":         {func(a *userAttempt) { a.bearer = w.bearer(w.ada) }, 401, "invalid_token", "token_other", 1},
		"another person's":      {func(a *userAttempt) { a.bearer = w.bearer(w.bob) }, 401, "invalid_token", "token_other", 1},
		"key not held":          {func(a *userAttempt) { a.claims.UserProof = w.userProof(m, foreign.Private(), a.k, a.claims) }, 400, "invalid_request", "key_not_held", 1},
		"proof for another key": {func(a *userAttempt) { a.claims.UserProof = w.userProof(m, a.k.Private(), foreign, a.claims) }, 400, "invalid_request", "proof_key", 1},
		"proof on another Mac":  {func(a *userAttempt) { a.claims.UserProof = w.userProof(other, a.k.Private(), a.k, a.claims) }, 400, "invalid_request", "proof_device", 1},
		"proof for another nonce": {func(a *userAttempt) {
			c := a.claims
			c.RequestNonce = "x"
			a.claims.UserProof = w.userProof(m, a.k.Private(), a.k, c)
		}, 400, "invalid_request", "proof_nonce", 1},
		"no proof":       {func(a *userAttempt) { a.claims.UserProof = "" }, 400, "invalid_request", "proof_malformed", 1},
		"no key":         {func(a *userAttempt) { a.claims.UserKey = "" }, 400, "invalid_request", "key_malformed", 1},
		"key off curve":  {func(a *userAttempt) { a.claims.UserKey = offCurve(a.k.Public()) }, 400, "invalid_request", "key_malformed", 1},
		"unknown policy": {func(a *userAttempt) { a.claims.BiometricPolicy = 64 }, 400, "invalid_request", "biometric_policy", 1},
		"no base64":      {func(a *userAttempt) { a.claims.Attestation = &pssowire.Attestation{User: []string{"?"}} }, 400, "invalid_request", "attestation_malformed", 1},
	} {
		a := w.userAttempt(m, w.ada)
		row.bend(a)
		before := w.spent()
		got := w.tryUser(a)
		sub := row.sub
		got.refused(t, what, row.status, row.word, sub)
		if n := w.spent() - before; n != row.burns {
			t.Errorf("%s: %d nonces burnt, want %d", what, n, row.burns)
		}
	}
	w.policy(func(p *policy.Policy) { p.Switch(policy.AccessPass, false) })
	for what, row := range map[string]struct {
		change func(*token.Subject)
		status int
		word   string
		sub    string
	}{
		"a gesture of long ago":    {gesture(11 * time.Minute), 401, "invalid_token", "ngcmfa_missing"},
		"one factor":               {func(s *token.Subject) { s.AMR, s.Basis = []string{"fido"}, nil }, 401, "invalid_token", "ngcmfa_missing"},
		"approved elsewhere":       {func(s *token.Subject) { s.Code = token.ByDeviceCode }, 403, "access_denied", "device_code_refused"},
		"of another device":        {func(s *token.Subject) { s.Device = other.ID }, 403, "access_denied", "token_of_device"},
		"a pass that is not taken": {w.byPass, 403, "access_denied", "method_off"},
	} {
		before := w.spent()
		w.tryUser(w.userAttempt(m, w.ada, row.change)).refused(t, what, row.status, row.word, row.sub)
		if w.spent()-before != 1 {
			t.Errorf("%s: the nonce is good still", what)
		}
	}
	if w.keysOf(w.ada) != 0 {
		t.Errorf("%d keys", w.keysOf(w.ada))
	}
	if a := w.tryUser(w.userAttempt(m, w.ada)); a.status != 200 {
		t.Errorf("a good one: %d %s", a.status, a.body)
	}
}

// The whole message again, its nonce in another one, and many at once.
func TestSec_PSO01_UserOnce(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m := w.join(w.ada, newHardware()).machine
		a := w.userAttempt(m, w.ada)
		message := signAs(t, m.signing, pssowire.TypeUser, a.claims)
		got := w.together(8, func(int) answer { return w.request("POST", "/psso/user", message, a.bearer) })
		if got["OK "] != 1 || got["Bad Request nonce"] != 7 || w.keysOf(w.ada) != 1 {
			t.Errorf("%v, %d keys", got, w.keysOf(w.ada))
		}
		b := w.userAttempt(m, w.ada)
		b.claims.RequestNonce = a.claims.RequestNonce
		b.claims.UserProof = w.userProof(m, b.k.Private(), b.k, b.claims)
		w.tryUser(b).refused(t, "its nonce", 400, "invalid_grant", "nonce")
	})
}

// One key, two people at once: one of them has it.
func TestSec_PSO01_UserKeyOnce(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m := w.join(w.ada, newHardware()).machine
		k := newKey()
		got := w.together(2, func(n int) answer {
			u := []idp.User{w.ada, w.bob}[n]
			tok := w.bearer(u)
			return w.sendUser(m, w.userClaims(m, k, tok), tok)
		})
		if got["OK "] != 1 || got["Bad Request key_registered"] != 1 || w.keysOf(w.ada)+w.keysOf(w.bob) != 1 {
			t.Errorf("%v", got)
		}
		// No key of a Mac is one of a person, and the other way round.
		tok := w.bearer(w.ada)
		as := &hardware{signing: k.Private(), encryption: ecKey()}
		w.sendJoin(as, w.joinClaims(as, tok, false), tok).refused(t, "a person's key as a Mac's", 400, "invalid_request", "key_registered")
	})
}

// Two people at once on a Mac that waits for its first: both are registered, one
// of them owns it.
func TestTwoFirstPeople(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		value, _ := w.ticket()
		m := w.bring(newHardware(), value)
		got := w.together(2, func(n int) answer {
			u := []idp.User{w.ada, w.bob}[n]
			tok := w.bearer(u)
			return w.sendUser(m.machine, w.userClaims(m.machine, newKey(), tok), tok)
		})
		now := w.load(m.ID)
		if got["OK "] != 2 || !now.Enabled || now.Owner != w.ada.ID && now.Owner != w.bob.ID {
			t.Errorf("%v, %+v", got, now)
		}
		if len(w.changes("device.activate")) != 1 {
			t.Errorf("activated %d times", len(w.changes("device.activate")))
		}
	})
}

// A Mac that has to be attested is not made active by a person (decisions 5.4).
func TestSec_PSO01_AttestationStaysRequired(t *testing.T) {
	w := liteOffice(t)
	w.attestation(policy.AttestationRequired)
	value, _ := w.ticket()
	m := w.bring(newHardware(), value)
	tok := w.bearer(w.ada)
	a := w.sendUser(m.machine, w.userClaims(m.machine, newKey(), tok), tok)
	if a.status != 200 || a.json(t)["pending"] != true || w.load(m.ID).Enabled {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// Who may not join devices does not get one by being its first person.
func TestSec_PSO01_FirstPersonMayJoin(t *testing.T) {
	w := liteOffice(t)
	w.policy(func(p *policy.Policy) { p.Devices.Exclude = []policy.Target{{User: w.bob.ID}} })
	value, _ := w.ticket()
	m := w.bring(newHardware(), value)
	tok := w.bearer(w.bob)
	w.sendUser(m.machine, w.userClaims(m.machine, newKey(), tok), tok).refused(t, "excluded", 403, "access_denied", "excluded")
	w.enrolled(m.machine, w.ada)
	w.enrolled(m.machine, w.bob) // on a Mac that is on already they may
	if w.load(m.ID).Owner != w.ada.ID {
		t.Error("owner")
	}
}

// A person who is switched off is registered nowhere.
func TestUserSwitchedOff(t *testing.T) {
	w := liteOffice(t)
	m := w.join(w.ada, newHardware()).machine
	a := w.userAttempt(m, w.ada)
	w.enable(w.ada, false)
	if got := w.tryUser(a); got.status == 200 || w.keysOf(w.ada) != 0 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// --- cards ------------------------------------------------------------------------

// card is a certificate with its key, that the judge of the office knows.
func (o *office) card(key crypto.Signer, whose idp.UserID) *x509.Certificate {
	o.t.Helper()
	c := issue(o.t, nil, key, key.Public(), &x509.Certificate{Subject: pkix.Name{CommonName: "card"}, SerialNumber: big.NewInt(1)})
	if whose != "" {
		o.cards[c.SerialNumber.String()] = whose
	}
	return c
}

func (o *office) cardClaims(m *machine, key crypto.Signer, alg string, c *x509.Certificate, tok string) pssowire.User {
	o.t.Helper()
	nonce, _ := o.freshNonce(o.t, o.tenant.ID)
	out := pssowire.User{Signed: o.says("/psso/user", nonce), Method: pssowire.MethodCard, TokenHash: hash(tok)}
	out.UserProof = o.cardProof(m, key, alg, c, out)
	return out
}

func (o *office) cardProof(m *machine, key crypto.Signer, alg string, c *x509.Certificate, around pssowire.User) string {
	return signAs(o.t, key, pssowire.TypeUserKey, pssowire.KeyProof{Signed: around.Signed, Device: m.kid().String()}, func(s *pssowire.Signing) {
		s.Alg, s.Chain = alg, pssowire.ChainList
		if c != nil {
			s.Certificates = [][]byte{c.Raw}
		}
	})
}

func TestRegisterCard(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	offices(t, func(t *testing.T, w *office) {
		w.policy(func(p *policy.Policy) { p.Macs.Method = policy.MacCard })
		for _, row := range []struct {
			alg string
			key crypto.Signer
		}{{"ES256", ecKey()}, {"RS256", rsaKey}, {"RS384", rsaKey}, {"RS512", rsaKey}} {
			value, _ := w.ticket()
			m := w.bring(newHardware(), value)
			tok := w.bearer(w.ada)
			a := w.sendUser(m.machine, w.cardClaims(m.machine, row.key, row.alg, w.card(row.key, w.ada.ID), tok), tok)
			if a.status != 200 {
				t.Fatalf("%s: %d %s (%s)", row.alg, a.status, a.body, a.cause)
			}
			out := a.json(t)
			if out["login_user_name"] != w.ada.Name || out["credential_id"] != nil || out["pending"] != false || !w.load(m.ID).Enabled {
				t.Errorf("%s: %v", row.alg, out)
			}
		}
		if all := w.changes("mac.user"); len(all) != 4 || all[0].Outcome != audit.Success || all[0].User != w.ada.ID || all[0].Detail["method"] != "SmartCard" {
			t.Errorf("audit: %+v", all)
		}
		if w.keysOf(w.ada) != 0 {
			t.Error("something is stored")
		}
	})
}

// What a card must show, each alone.
func TestSec_PSO04_CardRegistration(t *testing.T) {
	w := liteOffice(t)
	w.policy(func(p *policy.Policy) { p.Macs.Method = policy.MacCard })
	value, _ := w.ticket()
	m := w.bring(newHardware(), value).machine
	other := w.join(w.bob, newHardware()).machine
	key := ecKey()
	good, bobs, unknown := w.card(key, w.ada.ID), w.card(key, w.bob.ID), w.card(key, "")
	for what, row := range map[string]struct {
		proof  func(c pssowire.User) string
		status int
		word   string
		sub    string
	}{
		"another person's":     {func(c pssowire.User) string { return w.cardProof(m, key, "", bobs, c) }, 403, "access_denied", "card_of_other"},
		"of nobody":            {func(c pssowire.User) string { return w.cardProof(m, key, "", unknown, c) }, 403, "access_denied", "card_refused"},
		"not held":             {func(c pssowire.User) string { return w.cardProof(m, ecKey(), "", good, c) }, 400, "invalid_request", "key_not_held"},
		"without certificates": {func(c pssowire.User) string { return w.cardProof(m, key, "", nil, c) }, 400, "invalid_request", "key_not_held"},
		"no proof":             {func(c pssowire.User) string { return "" }, 400, "invalid_request", "key_not_held"},
		"of another type": {func(c pssowire.User) string {
			return signAs(t, key, pssowire.TypeDeviceKey, pssowire.KeyProof{Signed: c.Signed, Device: m.kid().String()}, func(s *pssowire.Signing) {
				s.Chain, s.Certificates = pssowire.ChainList, [][]byte{good.Raw}
			})
		}, 400, "invalid_request", "key_not_held"},
		"on another Mac": {func(c pssowire.User) string { return w.cardProof(other, key, "", good, c) }, 400, "invalid_request", "key_not_held"},
		"on another nonce": {func(c pssowire.User) string {
			c.RequestNonce = "x"
			return w.cardProof(m, key, "", good, c)
		}, 400, "invalid_request", "key_not_held"},
		"what is no certificate": {func(c pssowire.User) string {
			return w.cardProof(m, key, "", &x509.Certificate{Raw: []byte("nonsense")}, c)
		}, 400, "invalid_request", "key_not_held"},
		"no claims": {func(c pssowire.User) string {
			return signAs(t, key, pssowire.TypeUserKey, map[string]any{"device": 7}, func(s *pssowire.Signing) {
				s.Chain, s.Certificates = pssowire.ChainList, [][]byte{good.Raw}
			})
		}, 400, "invalid_request", "key_not_held"},
		"for another address": {func(c pssowire.User) string {
			c.Audience = pssowire.Audience{base + w.at("/psso/device")}
			return w.cardProof(m, key, "", good, c)
		}, 400, "invalid_request", "audience_differs"},
	} {
		tok := w.bearer(w.ada)
		c := w.cardClaims(m, key, "", good, tok)
		c.UserProof = row.proof(c)
		before := w.spent()
		w.sendUser(m, c, tok).refused(t, what, row.status, row.word, row.sub)
		if w.spent()-before != 1 || w.load(m.ID).Enabled {
			t.Errorf("%s: nonce or Mac", what)
		}
	}
	// Old keys do not speak for cards.
	tok := w.bearer(w.ada)
	c := w.cardClaims(m, key, "", good, tok)
	c.OldProof = c.UserProof
	w.sendUser(m, c, "").refused(t, "an old proof", 401, "invalid_token", "token_missing")
	w.enable(w.ada, false)
	c = w.cardClaims(m, key, "", good, tok)
	if a := w.sendUser(m, c, tok); a.status == 200 || w.load(m.ID).Enabled {
		t.Errorf("a person who is off: %d %s", a.status, a.body)
	}
}
