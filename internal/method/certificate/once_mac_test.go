package certificate_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/certificate/certificatetest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
)

const macAudience = base + "/psso"

// macCard is how a Mac signs with a card.
func macCard(c certificatetest.Card) pssowire.Signing {
	s := pssowire.Signing{Key: c.Key, Type: pssowire.TypeAssertion, Chain: pssowire.ChainString}
	for _, one := range c.Chain {
		s.Certificates = append(s.Certificates, one.Raw)
	}
	if c.Leaf().PublicKeyAlgorithm == x509.RSA {
		// A hash of a point that an RSA key has not: any text (apple-platform-sso.md §2).
		s.Alg, s.KeyID = "RS256", "b3BhcXVl"
	}
	return s
}

// macMessage makes the assertion that is expected, with a change.
func macMessage(t testing.TB, c certificatetest.Card, change func(*pssowire.Signing, *pssowire.Assertion)) func(assertion.Expected, time.Time) []byte {
	return func(e assertion.Expected, now time.Time) []byte {
		s := macCard(c)
		a := pssowire.Assertion{
			Issuer: e.Name, Subject: e.Name, Audience: e.Audiences, Nonce: e.Nonce, RequestNonce: e.RequestNonce, Scope: e.Scope,
			Issued: pssowire.At(now.Unix()), Expires: pssowire.At(now.Add(5 * time.Minute).Unix()),
		}
		if change != nil {
			change(&s, &a)
		}
		out, err := s.Sign(a)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(out)
	}
}

// onceMac sends the assertion of a card as a Mac's login does.
func (w *world) onceMac(t testing.TB, message func(assertion.Expected, time.Time) []byte) (idp.Proof, error) {
	t.Helper()
	value, sealed := w.Nonce(t, w.Tenant.ID)
	e := assertion.Expected{
		RequestNonce: value, Audiences: []string{macAudience}, Name: w.Ada.Name, Nonce: "7D71F8B4-1DE7-4F89-8C3A-210D161F38AC",
		Scope: "openid offline_access urn:apple:platformsso",
	}
	p, _, err := w.Corridor.Once(t.Context(), signin.OnceRequest{
		Tenant: w.Tenant.ID, Method: certificate.ID, Nonce: e.Keep(), Nonces: []nonce.Sealed{sealed}, Payload: message(e, w.Now()),
		Device: "30000000-0000-4000-8000-000000000001", Peer: w.peer,
	})
	return p, err
}

// TestOnceOfMac: the card of a Mac proves what its handshake would, whatever
// algorithm it has and however its certificate is written.
func TestOnceOfMac(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.rules(t, func(r *policy.CertificateRules) { r.Mode = idp.ModeCertificateMulti })
		ec, rsa := w.card(t, w.Ada.Name), w.cardOf(t, pkixtest.RSAKey(t), w.Ada.Name)
		for name, c := range map[string]struct {
			card   certificatetest.Card
			change func(*pssowire.Signing, *pssowire.Assertion)
		}{
			"ES256":            {ec, nil},
			"RS256":            {rsa, nil},
			"RS384":            {rsa, func(s *pssowire.Signing, _ *pssowire.Assertion) { s.Alg = "RS384" }},
			"RS512":            {rsa, func(s *pssowire.Signing, _ *pssowire.Assertion) { s.Alg = "RS512" }},
			"a list":           {ec, func(s *pssowire.Signing, _ *pssowire.Assertion) { s.Chain = pssowire.ChainList }},
			"the old type":     {ec, func(s *pssowire.Signing, _ *pssowire.Assertion) { s.Type = pssowire.TypeOld }},
			"no kid":           {ec, func(s *pssowire.Signing, _ *pssowire.Assertion) { s.KeyID = "-" }},
			"times as text":    {ec, func(s *pssowire.Signing, _ *pssowire.Assertion) { s.TextTimes = true }},
			"a member of ours": {ec, func(s *pssowire.Signing, _ *pssowire.Assertion) { s.Header = map[string]any{"tenant": "x"} }},
			"an unpadded kid, base64url": {ec, func(s *pssowire.Signing, _ *pssowire.Assertion) {
				id := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(pssowire.KeyOf(ec.Key.Public().(*ecdsa.PublicKey)).String())
				s.KeyID = id
			}},
		} {
			p, err := w.onceMac(t, macMessage(t, c.card, c.change))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			page := w.mustSignIn(t, c.card)
			page.Time = p.Time
			if !reflect.DeepEqual(p, page) {
				t.Errorf("%s: by message %+v\nby handshake %+v", name, p, page)
			}
		}
	})
}

// TestSec_PSO02_OfCards: what is wrong with the assertion inside is refused, each
// for its own reason alone.
func TestSec_PSO02_OfCards(t *testing.T) {
	w := one(t)
	card, bobs := w.card(t, w.Ada.Name), w.card(t, w.Bob.Name)
	rsa := w.cardOf(t, pkixtest.RSAKey(t), w.Ada.Name)
	type S = *pssowire.Signing
	type A = *pssowire.Assertion
	for _, c := range []struct {
		name   string
		card   certificatetest.Card
		change func(S, A)
		want   string
	}{
		{"no certificate", card, func(s S, _ A) { s.Chain = pssowire.NoChain }, "chain_missing"},
		{"no certificate in it", card, func(s S, _ A) { s.Header = map[string]any{"x5c": "AAAA"} }, "certificate_malformed"},
		{"another's kid", card, func(s S, _ A) { s.KeyID = pssowire.KeyID{1}.String() }, "kid_differs"},
		{"another type", card, func(s S, _ A) { s.Type = pssowire.TypeLogin }, "assertion_type"},
		{"a key's use", card, func(s S, _ A) { s.Header = map[string]any{"use": "ngc"} }, "header_refused"},
		{"RSA says ES256", rsa, func(s S, _ A) { s.Header = map[string]any{"alg": "ES256"} }, "algorithm_differs"},
		{"no request_nonce", card, func(_ S, a A) { a.RequestNonce = "" }, "nonce_missing"},
		{"another request_nonce", card, func(_ S, a A) { a.RequestNonce = "other" }, "nonce_differs"},
		{"another nonce", card, func(_ S, a A) { a.Nonce = "other" }, "login_nonce_differs"},
		{"another scope", card, func(_ S, a A) { a.Scope = "openid" }, "scope_differs"},
		{"for a desktop's server", card, func(_ S, a A) { a.Audience = []string{"common"} }, "audience_differs"},
		{"Bob's name", card, func(_ S, a A) { a.Issuer, a.Subject = w.Bob.Name, w.Bob.Name }, "issuer_differs"},
		{"about Bob", card, func(_ S, a A) { a.Subject = w.Bob.Name }, "subject_differs"},
		{"no times", card, func(_ S, a A) { a.Issued = nil }, "times_missing"},
		{"late", card, func(_ S, a A) {
			a.Issued, a.Expires = pssowire.At(w.Now().Add(-7*time.Minute).Unix()), pssowire.At(w.Now().Add(-2*time.Minute).Unix())
		}, "assertion_late"},
		{"Bob's card for Ada", bobs, nil, "certificate_other_person"},
		{"Bob's certificate, Ada's key", card, func(s S, _ A) {
			s.Certificates, s.KeyID = macCard(bobs).Certificates, "-"
		}, "wrong_signature"},
	} {
		_, err := w.onceMac(t, macMessage(t, c.card, c.change))
		if reason(err) != c.want || idp.AsError(err).Kind != idp.Unproven {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if n := w.Count(t, "certificate_seen", w.Tenant.ID); n != 0 {
		t.Errorf("%d certificates seen", n)
	}
}

// TestOnceOfMacIsNoDesktops: the message of one protocol is none of the other,
// and what a Mac's algorithms are beyond a desktop's stays a Mac's.
func TestOnceOfMacIsNoDesktops(t *testing.T) {
	w := one(t)
	card, rsa := w.card(t, w.Ada.Name), w.cardOf(t, pkixtest.RSAKey(t), w.Ada.Name)
	if _, err := w.onceMac(t, func(e assertion.Expected, now time.Time) []byte {
		return card.Message(w.Ada.Name, e.RequestNonce, now)
	}); reason(err) != "audience_differs" { // there is nothing in its header that a Mac's may not have
		t.Errorf("a desktop's from a Mac: %v", err)
	}
	if _, err := w.once(t, func(n string) []byte {
		return macMessage(t, card, func(s *pssowire.Signing, _ *pssowire.Assertion) { s.Type, s.KeyID = pssowire.TypeAssertion, "-" })(
			assertion.Expected{RequestNonce: n, Audiences: []string{"common"}, Name: w.Ada.Name}, w.Now())
	}); reason(err) != "header_refused" {
		t.Errorf("a Mac's from a desktop: %v", err)
	}
	if _, err := w.once(t, func(n string) []byte {
		out, err := jose.SignAs("RS384", rsa.Key, map[string]any{"x5c": rsa.Header()["x5c"]}, encodeClaims(t, certificatetest.Claims(w.Ada.Name, n, w.Now())))
		if err != nil {
			t.Fatal(err)
		}
		return []byte(out)
	}); reason(err) != "algorithm_refused" {
		t.Errorf("RS384 from a desktop: %v", err)
	}
	_, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Keep: w.room.KeepFrom([]byte("\x00{")), Payload: []byte("x"), Now: w.Now()})
	if reason(err) != "ceremony_malformed" {
		t.Errorf("on half a Keep: %v", err)
	}
}

func encodeClaims(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
