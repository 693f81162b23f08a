package certificate_test

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/certificate/certificatetest"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// TestProof: what a proof says of itself, by the key and by what the rules make
// of the certificate.
func TestProof(t *testing.T) {
	w := one(t)
	rsa, ec := pkixtest.RSAKey(t), pkixtest.ECKey(t)
	single := []idp.Property{idp.PhishingResistant, idp.Possession}
	multi := append(slices.Clone(single), idp.UserVerified, idp.MultiFactor)
	for _, c := range []struct {
		name string
		mode idp.Mode
		rsa  bool
		amr  []string
		has  []idp.Property
	}{
		{"RSA, single", idp.ModeCertificateSingle, true, []string{"rsa"}, single},
		{"RSA, multi", idp.ModeCertificateMulti, true, []string{"rsa", "mfa"}, multi},
		{"P-256, single", idp.ModeCertificateSingle, false, []string{"pop"}, single},
		{"P-256, multi", idp.ModeCertificateMulti, false, []string{"pop", "mfa"}, multi},
	} {
		w.rules(t, func(r *policy.CertificateRules) { r.Mode = c.mode })
		key := ec
		if c.rsa {
			key = rsa
		}
		card := w.cardOf(t, key, w.Ada.Name)
		p := w.mustSignIn(t, card)
		if p.Mode != c.mode || !reflect.DeepEqual(p.AMR, c.amr) || !reflect.DeepEqual(p.Properties, c.has) {
			t.Errorf("%s: mode %s, amr %v, %v", c.name, p.Mode, p.AMR, p.Properties)
		}
		if p.User != w.Ada.ID || p.Credential != certificate.CredentialID(card.Leaf()) || p.Device != "" || p.Has(idp.HardwareBound) {
			t.Errorf("%s: proof %+v", c.name, p)
		}
	}
}

// TestDetail: the record of a sign-in says which certificate it was, and by
// which rules it counted (entra-behaviours.md §5.8).
func TestDetail(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name, func(c *x509.Certificate) { c.Policies = oids(t, "1.3.6.1.4.1.99.1") })
	// Its path says that all policies hold.
	w.sub = w.root.Sub("Policy CA", w.Now(), func(c *x509.Certificate) { c.Policies = oids(t, "2.5.29.32.0") })
	w.admit(t, w.Tenant.ID, w.sub.Cert)
	card = w.cardOf(t, card.Key, w.Ada.Name, func(c *x509.Certificate) { c.Policies = oids(t, "1.3.6.1.4.1.99.1") })
	w.rules(t, func(r *policy.CertificateRules) {
		r.Unchecked = append(r.Unchecked, pkix.KeyID(w.sub.Cert))
		r.Levels = []policy.CertificateLevel{{Policy: "1.3.6.1.4.1.99.1", Mode: idp.ModeCertificateMulti, Affinity: policy.LowAffinity}}
	})
	step, err := w.signIn(t, card)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"certificateSubject": "O=Nordhafen,CN=Somebody", "certificateIssuer": "O=Nordhafen,CN=Policy CA",
		"certificateSerial": hex.EncodeToString(card.Leaf().SerialNumber.Bytes()), "certificateThumbprint": strings.ToUpper(fmt.Sprintf("%x", sha1Of(card.Leaf()))),
		"certificatePolicies": "1.3.6.1.4.1.99.1",
		"certificateBinding":  "Certificate: PrincipalName; User Attribute: userPrincipalName; Rank: 1",
		"certificateAffinity": "low", "certificateLevel": "multiFactorAuthentication", "certificateRule": "certificate.levels[0]",
	}
	if !reflect.DeepEqual(step.Detail, want) {
		t.Errorf("detail %v\nwant %v", step.Detail, want)
	}
	// A refusal says no more than its certificate does.
	_, err = w.signIn(t, w.card(t, "nobody@nordhafen.example"))
	step, _ = w.signIn(t, w.card(t, "nobody@nordhafen.example"))
	if reason(err) != "certificate_no_user" || len(step.Detail) != 4 || step.Detail["certificateSubject"] == "" {
		t.Errorf("refusal: %v, detail %v", err, step.Detail)
	}
}

// TestRefusals: each for its own reason alone, with a sentence, and with nobody
// let in; what Explain says of the same certificate is the same.
func TestRefusals(t *testing.T) {
	w := one(t)
	stranger, twin := pkixtest.Root(t, "Westwerk Root", w.Now()), pkixtest.Root(t, "Nordhafen Root", w.Now())
	good := func() certificatetest.Card { return w.card(t, w.Ada.Name) }
	faulty := func(r pkix.Reason) func() certificatetest.Card {
		return func() certificatetest.Card {
			c := good()
			w.trust.refuse(c.Leaf(), r)
			return c
		}
	}
	changed := func(change pkixtest.Change) func() certificatetest.Card {
		return func() certificatetest.Card { return w.card(t, w.Ada.Name, change) }
	}
	for _, c := range []struct {
		name string
		card func() certificatetest.Card
		want string
	}{
		{"unknown issuer", func() certificatetest.Card {
			key := pkixtest.ECKey(t)
			return certificatetest.Card{Key: key, Chain: []*x509.Certificate{stranger.Leaf(key.Public(), "Somebody", w.Ada.Name, w.Now()), stranger.Cert}}
		}, "certificate_unknown_issuer"},
		{"issuer of the same name", func() certificatetest.Card {
			key := pkixtest.ECKey(t)
			return certificatetest.Card{Key: key, Chain: []*x509.Certificate{twin.Leaf(key.Public(), "Somebody", w.Ada.Name, w.Now()), twin.Cert}}
		}, "certificate_signature"},
		{"over", changed(func(c *x509.Certificate) { c.NotAfter = w.Now().Add(-time.Second) }), "certificate_expired"},
		{"not yet", changed(func(c *x509.Certificate) { c.NotBefore = w.Now().Add(time.Minute) }), "certificate_not_yet_valid"},
		{"not for this", changed(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), "certificate_usage"},
		{"revoked", faulty(pkix.Revoked), "certificate_revoked"},
		{"no list", func() certificatetest.Card {
			sub := w.root.Sub("Listed nowhere", w.Now())
			w.admit(t, w.Tenant.ID, sub.Cert)
			key := pkixtest.ECKey(t)
			return certificatetest.Card{Key: key, Chain: []*x509.Certificate{sub.Leaf(key.Public(), "Somebody", w.Ada.Name, w.Now())}}
		}, "certificate_list_unavailable"},
		{"name constraints", faulty(pkix.NameConstraints), "certificate_name_constraints"},
		{"nobody's", func() certificatetest.Card { return w.card(t, "nobody@nordhafen.example") }, "certificate_no_user"},
		{"no name", func() certificatetest.Card { return w.card(t, "") }, "certificate_no_user"},
		{"two people's", func() certificatetest.Card {
			return w.card(t, "", func(c *x509.Certificate) {
				c.ExtraExtensions = append(c.ExtraExtensions, pkixtest.PrincipalNames(t, w.Ada.Name, w.Bob.Name))
			})
		}, "certificate_ambiguous"},
		{"a name with tricks", func() certificatetest.Card { return w.card(t, w.Ada.Name+"\x00.evil.example") }, "certificate_malformed"},
		{"too many names", func() certificatetest.Card {
			names := []string{w.Ada.Name}
			for i := range 16 {
				names = append(names, fmt.Sprintf("%d@nordhafen.example", i))
			}
			return w.card(t, "", func(c *x509.Certificate) {
				c.ExtraExtensions = append(c.ExtraExtensions, pkixtest.PrincipalNames(t, names...))
			})
		}, "certificate_malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			card := c.card()
			_, err := w.signIn(t, card)
			e := idp.AsError(err)
			if e == nil || e.Kind != idp.Unproven || e.Reason != c.want || e.Public == "" {
				t.Errorf("%v (%q), want %s with a sentence", err, e.Public, c.want)
			}
			x, err := w.room.Explain(t.Context(), w.Tenant.ID, card.Chain)
			if err != nil || x.Good || x.Reason != c.want {
				t.Errorf("explained: good %v, %q, %v, want %s", x.Good, x.Reason, err, c.want)
			}
			if n := w.Count(t, "session", w.Tenant.ID) + w.Count(t, "certificate_handover", w.Tenant.ID) + w.Count(t, "certificate_seen", w.Tenant.ID); n != 0 {
				t.Errorf("%d rows are left of it", n)
			}
		})
	}
	// One sentence and number for nobody's and for two people's.
	_, nobody := w.signIn(t, w.card(t, "nobody@nordhafen.example"))
	_, two := w.signIn(t, w.card(t, "", func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkixtest.PrincipalNames(t, w.Ada.Name, w.Bob.Name))
	}))
	if a, b := idp.AsError(nobody), idp.AsError(two); a.Public != b.Public || a.Code != b.Code || a.Code != 50034 {
		t.Errorf("%q %d and %q %d", a.Public, a.Code, b.Public, b.Code)
	}
	w.mustSignIn(t, good()) // and nothing else was wrong
}

// TestTyped: who has typed a name is that person or nobody, however it is
// spelt.
func TestTyped(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name)
	if _, err := w.signInAs(t, w.Bob.Name, card); reason(err) != "certificate_other_person" {
		t.Errorf("Bob's name and Ada's certificate: %v", err)
	}
	if _, err := w.signInAs(t, "nobody@nordhafen.example", card); reason(err) != "certificate_other_person" {
		t.Errorf("nobody's name and Ada's certificate: %v", err)
	}
	if step, err := w.signInAs(t, strings.ToUpper(w.Ada.Name), card); err != nil || step.Session.User != w.Ada.ID {
		t.Errorf("her own name: %v", err)
	}
}

// TestMultiFactor: a certificate that counts for one factor is not enough where
// two are asked for, and one that counts for more is.
func TestMultiFactor(t *testing.T) {
	w := one(t)
	f := w.begunIn(t, w.Flow(t, signin.Flow{ACR: []string{policy.ACRPhishingResistant}}, w.peer), "")
	step, err := w.redeem(t, f, w.answer(t, f.Waiting.Show, w.card(t, w.Ada.Name)))
	if err != nil || step.Kind == signin.Done || step.Bearer != "" {
		t.Errorf("single factor: step %s, %v", step.Kind, err)
	}
	w.rules(t, func(r *policy.CertificateRules) { r.Mode = idp.ModeCertificateMulti })
	f = w.begunIn(t, w.Flow(t, signin.Flow{ACR: []string{policy.ACRPhishingResistant}}, w.peer), "")
	step, err = w.redeem(t, f, w.answer(t, f.Waiting.Show, w.card(t, w.Ada.Name)))
	if err != nil || step.Kind != signin.Done || step.Decision.ACR != policy.ACRPhishingResistant {
		t.Errorf("multi-factor: step %s (%s), acr %q, %v", step.Kind, step.Decision.Reason, step.Decision.ACR, err)
	}
}

// TestNoListener: without an address for handshakes nobody is sent to one.
func TestNoListener(t *testing.T) {
	w := one(t)
	w.noTLS = true
	_, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID, Now: w.Now()})
	if reason(err) != "certificate_no_listener" || idp.AsError(err).Kind != idp.Unavailable {
		t.Errorf("challenge: %v", err)
	}
}

// TestVerifyWrites: a verdict alone changes nothing.
func TestVerifyWrites(t *testing.T) {
	w := one(t)
	f := w.begun(t, "")
	answer := w.answer(t, f.Waiting.Show, w.card(t, w.Ada.Name))
	ch, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID, Now: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	// Not even an answer to another ceremony, beside which the code is burnt.
	v, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Keep: ch.Keep, Payload: answer, Now: w.Now()})
	if reason(err) != "handover_of_other" || v.Settle == nil || w.Count(t, "certificate_handover", w.Tenant.ID) != 1 {
		t.Errorf("verified: %v, %d kept", err, w.Count(t, "certificate_handover", w.Tenant.ID))
	}
	if _, err := w.redeem(t, f, answer); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
