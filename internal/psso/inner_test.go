package psso_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

// TestSec_PSO02_Inner is §6.4, 11 to 13: what may be wrong with the assertion of a
// person, each thing alone. All of it is one answer.
func TestSec_PSO02_Inner(t *testing.T) {
	w := lite(t)
	m, second := w.mac(), w.mac()
	k, bobs, elsewhere := w.enrol(m, w.ada), w.enrol(m, w.bob), w.enrol(second, w.ada)
	stranger := platformtest.New()
	claim := func(more object) func(q *message) { return func(q *message) { q.inner = more } }
	by := func(key *platformtest.Key) func(q *message) {
		return func(q *message) { q.innerKey, q.innerHeader["kid"] = key.Private(), key.ID().String() }
	}
	header := func(name string, v any) func(q *message) { return func(q *message) { q.innerHeader[name] = v } }
	seconds := func(d time.Duration) int64 { return w.clock.now().Add(d).Unix() }
	audience := base + "/" + string(w.tenant.ID) + "/psso"
	w.check(t, func() *message { return w.login(m, w.ada, k) },
		malformed("none", "assertion_missing", func(q *message) { q.innerKey = nil }),
		unsupported("an encrypted password", "password_refused", func(q *message) { q.with(object{"assertion": "e30.AA.AA.AA.AA"}) }),
		credential("no message", "token_malformed", func(q *message) { q.with(object{"assertion": "hello"}) }),
		credential("two parts", "token_malformed", func(q *message) { q.bendInner = func(s string) string { return s[:strings.LastIndex(s, ".")] } }),
		credential("alg none", "algorithm_refused", header("alg", "none")),
		credential("alg HS256", "algorithm_refused", header("alg", "HS256")),
		credential("alg ES384", "algorithm_refused", header("alg", "ES384")),
		credential("alg of a card", "algorithm_refused", func(q *message) { q.innerHeader["alg"], q.innerKey = "RS256", rsaKey() }),
		credential("a key in the header", "embedded_key", header("jwk", object{"kty": "EC"})),
		credential("typ of a login", "assertion_type", header("typ", pssowire.TypeLogin)),
		credential("typ of an encrypted one", "assertion_type", header("typ", pssowire.TypeEncryptedAssertion)),
		credential("no typ", "assertion_type", func(q *message) { delete(q.innerHeader, "typ") }),
		credential("use of a Hello key", "header_refused", header("use", "ngc")),
		// 11
		credential("no kid", "kid_malformed", func(q *message) { delete(q.innerHeader, "kid") }),
		credential("kid of nobody", "key_unknown", by(stranger)),
		credential("the key of somebody else on this Mac", "key_unknown", by(bobs)),
		credential("the key that another Mac keeps", "other_device", by(elsewhere)),
		credential("the key of this Mac", "key_unknown", func(q *message) { q.innerKey, q.innerHeader["kid"] = m.signing, m.kid().String() }),
		// 12
		credential("signed by another", "wrong_signature", func(q *message) { q.innerKey = stranger.Private() }),
		credential("signed by the Mac", "wrong_signature", func(q *message) { q.innerKey = m.signing }),
		credential("changed after it was signed", "wrong_signature", func(q *message) {
			q.bendInner = bentPart(1, func(s string) string {
				raw, _ := b64.DecodeString(s)
				return b64.EncodeToString(append([]byte(" "), raw...))
			})
		}),
		// 13
		credential("iss of somebody else", "issuer_differs", claim(object{"iss": w.bob.Name, "sub": w.bob.Name})),
		credential("iss is the client", "issuer_differs", claim(object{"iss": pssowire.ClientID})),
		credential("no iss", "issuer_missing", claim(object{"iss": nil})),
		credential("sub of somebody else", "subject_differs", claim(object{"sub": w.bob.Name})),
		credential("no sub", "subject_differs", claim(object{"sub": nil})),
		credential("aud of the message around it", "audience_differs", claim(object{"aud": audience + "/token"})),
		credential("aud of another tenant", "audience_differs", claim(object{"aud": base + "/" + string(w.other.ID) + "/psso"})),
		credential("no aud", "audience_differs", claim(object{"aud": nil})),
		credential("two in aud", "audience_differs", claim(object{"aud": []string{audience, "https://evil.example"}})),
		credential("another nonce", "login_nonce_differs", claim(object{"nonce": strings.ToLower(macNonce)})),
		credential("no nonce", "login_nonce_differs", claim(object{"nonce": nil})),
		credential("another request_nonce", "nonce_differs", func(q *message) { q.inner = object{"request_nonce": w.nonce()} }),
		credential("no request_nonce", "nonce_missing", claim(object{"request_nonce": nil})),
		credential("another scope", "scope_differs", claim(object{"scope": scope + " admin"})),
		credential("no scope", "scope_differs", claim(object{"scope": nil})),
		credential("no iat", "times_missing", claim(object{"iat": nil})),
		credential("no exp", "times_missing", claim(object{"exp": nil})),
		credential("iat of the future", "issued_ahead", claim(object{"iat": seconds(3 * time.Minute), "exp": seconds(8 * time.Minute)})),
		credential("over", "assertion_late", claim(object{"iat": seconds(-6 * time.Minute), "exp": seconds(-62 * time.Second)})),
		credential("good for eleven minutes", "assertion_long", claim(object{"exp": seconds(11 * time.Minute)})),
	)
}

// TestSec_PSO02_People: whose sign-in it is. A person who is unknown, of another
// tenant or switched off is told apart by nobody.
func TestSec_PSO02_People(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	eve := w.person(w.other, "eve")
	named := func(name string) func(q *message) {
		return func(q *message) { q.with(object{"sub": name, "username": name}) }
	}
	w.check(t, func() *message { return w.login(m, w.ada, k) },
		credential("somebody else", "key_unknown", named(w.bob.Name)),
		credential("nobody", "key_unknown", named("nobody@nordhafen.example")),
		credential("somebody of another tenant", "key_unknown", named(eve.Name)),
		credential("the name of the local account", "key_unknown", named("ada")), // §17: loginUserName was never set
	)
	w.enable(w.ada, false)
	a := w.send(w.login(m, w.ada, k))
	a.refused(t, "switched off", http.StatusUnauthorized, "invalid_grant", "")
	if a.reason() != "user_disabled" || a.json(t)["error_description"] != "The sign-in did not verify. Sign in again." {
		t.Errorf("switched off: %s, %s", a.cause, a.body)
	}
	w.enable(w.ada, true)
	w.signIn(m, w.ada, k)
}

// TestSec_PSO02_Replay: a whole message a second time, and an assertion in a
// message other than its own.
func TestSec_PSO02_Replay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m, other := w.mac(), w.mac()
		k := w.enrol(m, w.ada)
		w.enrol(other, w.ada)
		q := w.login(m, w.ada, k)
		form := q.body()
		q.open(t, w.post(w.at(q.path), form))
		a := w.post(w.at(q.path), form)
		a.refused(t, "the whole message", http.StatusBadRequest, "invalid_grant", "nonce")
		if a.reason() != "spent" {
			t.Errorf("the whole message: %s", a.cause)
		}
		// The other server refuses it, too.
		w.again().post(w.at(q.path), form).refused(t, "at another server", http.StatusBadRequest, "invalid_grant", "nonce")

		inner := part(t, form.Get("assertion"), 1)["assertion"]
		again := w.login(m, w.ada, k).with(object{"assertion": inner})
		a = w.send(again)
		a.refused(t, "an old assertion in a new message", http.StatusUnauthorized, "invalid_grant", "")
		if a.reason() != "nonce_differs" {
			t.Errorf("an old assertion in a new message: %s", a.cause)
		}
		// The assertion of one Mac, on the same nonces, in the message of another.
		victim := w.login(m, w.ada, k)
		stolen := part(t, victim.compact(), 1)["assertion"]
		thief := w.login(other, w.ada, k).with(object{"request_nonce": victim.nonce, "assertion": stolen})
		a = w.send(thief)
		a.refused(t, "from another Mac", http.StatusUnauthorized, "invalid_grant", "")
		if a.reason() != "other_device" {
			t.Errorf("from another Mac: %s", a.cause)
		}
		// And that nonce is burnt.
		w.send(victim).refused(t, "after it", http.StatusBadRequest, "invalid_grant", "nonce")
	})
}

// TestSec_NON06_Burns: what fails after the Mac's signature is good has used its
// nonce up; what fails before has not, or anybody could burn nonces.
func TestSec_NON06_Burns(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	value := w.nonce()
	on := func() *message { return w.login(m, w.ada, k).with(object{"request_nonce": value}) }
	q := on()
	q.signer = ecKey()
	w.send(q).refused(t, "unsigned", http.StatusBadRequest, "invalid_client", "")
	if n := w.spent(); n != 0 {
		t.Fatalf("%d nonces burnt by somebody without a key", n)
	}
	q = on()
	q.innerKey = ecKey()
	w.send(q).refused(t, "unproven", http.StatusUnauthorized, "invalid_grant", "")
	w.send(on()).refused(t, "after it", http.StatusBadRequest, "invalid_grant", "nonce")
	if got := w.events("signin.refused"); len(got) == 0 {
		t.Error("nothing is recorded")
	}
}

// Taking the key, the person or the Mac away works at the next login (§18, 7).
func TestSec_PSO02_Revoked(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct {
			end    func(ctx context.Context, tx *sqldb.Tx, m *machine, k *platformtest.Key) error
			status int
			word   string
			reason string
		}{
			"the key": {func(ctx context.Context, tx *sqldb.Tx, m *machine, k *platformtest.Key) error {
				all, err := w.platform.List(ctx, w.tenant.ID, w.ada.ID)
				if err != nil {
					return err
				}
				for _, c := range all {
					if err := w.platform.Remove(ctx, tx, w.tenant.ID, w.ada.ID, c.ID); err != nil {
						return err
					}
				}
				return nil
			}, http.StatusUnauthorized, "invalid_grant", "key_unknown"},
			"the Mac": {func(ctx context.Context, tx *sqldb.Tx, m *machine, _ *platformtest.Key) error {
				return w.devices.Remove(ctx, tx, m.Tenant, m.ID)
			}, http.StatusBadRequest, "invalid_client", "device_unknown"},
			"the Mac, for a while": {func(ctx context.Context, tx *sqldb.Tx, m *machine, _ *platformtest.Key) error {
				return w.devices.SetEnabled(ctx, tx, m.Tenant, m.ID, false)
			}, http.StatusBadRequest, "invalid_client", "device_disabled"},
			"the person, for a while": {func(ctx context.Context, tx *sqldb.Tx, _ *machine, _ *platformtest.Key) error {
				return w.directory.SetEnabled(ctx, tx, w.tenant.ID, w.ada.ID, false)
			}, http.StatusUnauthorized, "invalid_grant", "user_disabled"},
		} {
			m := w.mac()
			k := w.enrol(m, w.ada)
			token := w.signIn(m, w.ada, k)
			w.write(func(ctx context.Context, tx *sqldb.Tx) error { return c.end(ctx, tx, m, k) })
			for what, q := range map[string]*message{
				"login": w.login(m, w.ada, k), "refresh": w.refresh(m, token), "key request": w.keyRequest(m, w.ada, token),
			} {
				want := c.reason
				if name == "the key" && what != "login" {
					continue // who removes it ends what stands on it: app's business
				}
				a := w.send(q)
				a.refused(t, name+": "+what, c.status, c.word, "")
				if a.reason() != want {
					t.Errorf("%s: %s: %s, want %s", name, what, a.cause, want)
				}
			}
			w.enable(w.ada, true)
			if !strings.Contains(strings.Join(w.events(""), "\n"), c.reason) && c.status == http.StatusUnauthorized {
				t.Errorf("%s: not recorded: %v", name, w.events(""))
			}
		}
	})
}

// A policy that forbids a way to sign in is no reason to ask people again: it is
// not 401.
func TestPolicyRefuses(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	token := w.signIn(m, w.ada, k)
	w.policy(func(p *policy.Policy) { p.Switch(policy.Platform, false) })
	for name, q := range map[string]*message{"login": w.login(m, w.ada, k), "refresh": w.refresh(m, token)} {
		a := w.send(q)
		if a.status == http.StatusOK || a.status == http.StatusUnauthorized {
			t.Errorf("%s with a method that is off: %d %s (%s)", name, a.status, a.body, a.cause)
		}
	}
	w.policy(func(p *policy.Policy) { p.Switch(policy.Platform, true); p.Devices.On = false })
	w.policyOf(w.tenant.ID, func(p *policy.Policy) { p.Devices.On = true })
	q := w.login(m, w.ada, k)
	q.open(t, w.send(q))
	q = w.login(m, w.ada, k)
	w.policy(func(p *policy.Policy) { p.Devices.On = false })
	a := w.send(q)
	a.refused(t, "devices off", http.StatusBadRequest, "invalid_client", "")
	if a.reason() != "devices_off" {
		t.Errorf("devices off: %s", a.cause)
	}
}
