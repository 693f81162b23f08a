package certificate_test

import (
	"context"
	"crypto/x509"
	xpkix "crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/certificate/certificatetest"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

func skiOf(c certificatetest.Card) string {
	return "X509:<SKI>" + hex.EncodeToString(c.Leaf().SubjectKeyId)
}

// TestSec_CBA07_Affinity: where a firm binding is asked for, by the tenant or by
// a rule, a name is not enough, whatever an administrator calls its binding.
func TestSec_CBA07_Affinity(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name)
	w.bindings(t, byName, byKey)
	w.mustSignIn(t, card)
	high := func(on bool, level bool) {
		w.rules(t, func(r *policy.CertificateRules) {
			r.Affinity, r.Levels = policy.LowAffinity, nil
			if on {
				r.Affinity = policy.HighAffinity
			}
			if level {
				r.Levels = []policy.CertificateLevel{{Issuer: pkix.KeyID(w.sub.Cert), Mode: idp.ModeCertificateMulti, Affinity: policy.HighAffinity}}
			}
		})
	}
	for name, level := range map[string]bool{"by the tenant": false, "by a rule": true} {
		high(!level, level)
		if got := w.refused(t, card); got != "certificate_no_user" {
			t.Errorf("%s: %q", name, got)
		}
		w.ids(t, w.Ada, skiOf(card))
		step, err := w.signIn(t, card)
		if err != nil || step.Detail["certificateAffinity"] != "high" || !w.Found(t, w.Tenant.ID, step.Bearer).Proofs[0].Facts.Certificate.High {
			t.Errorf("%s, by the key: %v, %v", name, err, step.Detail)
		}
		w.ids(t, w.Ada)
	}
	// A low one that the stored rules call high: they are not believed.
	c := policy.CertificateBinding{Field: policy.FieldPrincipalName, Property: policy.ByUserName, Priority: 1, Affinity: policy.HighAffinity}
	if err := w.Policies.Check(func() policy.Policy {
		p, err := w.Policies.Get(t.Context(), w.Tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		p = p.Clone()
		p.Certificate.Bindings = []policy.CertificateBinding{c}
		return p
	}()); err == nil {
		t.Error("rules in which a name is a firm binding are let in")
	}
}

// TestSec_CBA07_AmbiguousEnds: a binding that leads to two people ends the
// search; the next, which leads to one, is no way around.
func TestSec_CBA07_AmbiguousEnds(t *testing.T) {
	w := one(t)
	card := w.card(t, "", func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkixtest.PrincipalNames(t, w.Ada.Name, w.Bob.Name))
	})
	w.ids(t, w.Ada, skiOf(card))
	w.bindings(t, byName, byKey)
	if got := w.refused(t, card); got != "certificate_ambiguous" {
		t.Errorf("names first: %q", got)
	}
	w.bindings(t, byKey, byName)
	if p := w.mustSignIn(t, card); p.User != w.Ada.ID {
		t.Errorf("the key first: %s", p.User)
	}
	// One name twice, and one that is nobody's beside it, are one person's.
	w.bindings(t, byName)
	twice := w.card(t, "", func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkixtest.PrincipalNames(t, w.Ada.Name, strings.ToUpper(w.Ada.Name), "nobody@nordhafen.example"))
	})
	if p := w.mustSignIn(t, twice); p.User != w.Ada.ID {
		t.Errorf("one name twice: %s", p.User)
	}
}

// TestSec_CBA08_LevelFromThePath: what a certificate counts for is decided by
// what holds along its path: a policy that its issuer may not give is none (T27).
func TestSec_CBA08_LevelFromThePath(t *testing.T) {
	const weak, strong = "1.3.6.1.4.1.99.1", "1.3.6.1.4.1.99.2"
	w := one(t)
	// The issuer may give weak ones.
	w.sub = w.root.Sub("Weak CA", w.Now(), func(c *x509.Certificate) { c.Policies = oids(t, weak) })
	w.admit(t, w.Tenant.ID, w.sub.Cert)
	w.rules(t, func(r *policy.CertificateRules) {
		r.Unchecked = append(r.Unchecked, pkix.KeyID(w.sub.Cert))
		r.Levels = []policy.CertificateLevel{
			{Policy: strong, Mode: idp.ModeCertificateMulti, Affinity: policy.LowAffinity},
			{Issuer: pkix.KeyID(w.sub.Cert), Policy: strong, Mode: idp.ModeCertificateMulti, Affinity: policy.LowAffinity},
		}
	})
	claims := func(list ...string) certificatetest.Card {
		return w.card(t, w.Ada.Name, func(c *x509.Certificate) { c.Policies = oids(t, list...) })
	}
	for _, list := range [][]string{{strong}, {weak, strong}} {
		p := w.mustSignIn(t, claims(list...))
		if p.Mode != idp.ModeCertificateSingle || p.Has(idp.MultiFactor) || strings.Contains(fmt.Sprint(p.Facts.Certificate.Policies, p.AMR), strong) {
			t.Errorf("claims %v: mode %s, policies %v", list, p.Mode, p.Facts.Certificate.Policies)
		}
	}
	// The same from an issuer that may.
	w.sub = w.root.Sub("Strong CA", w.Now(), func(c *x509.Certificate) { c.Policies = oids(t, strong) })
	w.admit(t, w.Tenant.ID, w.sub.Cert)
	w.rules(t, func(r *policy.CertificateRules) { r.Unchecked = append(r.Unchecked, pkix.KeyID(w.sub.Cert)) })
	if p := w.mustSignIn(t, claims(strong)); p.Mode != idp.ModeCertificateMulti {
		t.Errorf("by an issuer that may: %s", p.Mode)
	}
}

// TestSec_T27_PolicyBypass is the same where rules contradict: a policy that is
// added to a certificate never makes it count for more.
func TestSec_T27_PolicyBypass(t *testing.T) {
	const weak, strong = "1.3.6.1.4.1.99.1", "1.3.6.1.4.1.99.2"
	w := one(t)
	w.sub = w.root.Sub("Any CA", w.Now(), func(c *x509.Certificate) { c.Policies = oids(t, weak, strong) })
	w.admit(t, w.Tenant.ID, w.sub.Cert)
	w.rules(t, func(r *policy.CertificateRules) {
		r.Unchecked = append(r.Unchecked, pkix.KeyID(w.sub.Cert))
		r.Levels = []policy.CertificateLevel{
			{Policy: weak, Mode: idp.ModeCertificateSingle, Affinity: policy.LowAffinity},
			{Policy: strong, Mode: idp.ModeCertificateMulti, Affinity: policy.LowAffinity},
		}
	})
	p := w.mustSignIn(t, w.card(t, w.Ada.Name, func(c *x509.Certificate) { c.Policies = oids(t, weak, strong) }))
	if p.Mode != idp.ModeCertificateSingle {
		t.Errorf("both policies: %s", p.Mode)
	}
	// One below a strong policy is not it.
	p = w.mustSignIn(t, w.card(t, w.Ada.Name, func(c *x509.Certificate) { c.Policies = oids(t, strong+".1") }))
	if p.Mode != idp.ModeCertificateSingle {
		t.Errorf("a policy below: %s", p.Mode)
	}
}

// TestSec_CBA10_HandOver: what came from a handshake is good for the ceremony of
// one flow in one browser, once, at the node that made it and at any other.
func TestSec_CBA10_HandOver(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		t.Run("at its node", func(t *testing.T) { handOver(t, w) })
		w.mux = http.NewServeMux()
		w.open(t).MountTLS(w.mux)
		t.Run("at another", func(t *testing.T) { handOver(t, w) })
	})
}

func handOver(t *testing.T, w *world) {
	card := w.card(t, w.Ada.Name)
	mine := w.begun(t, "")
	// Mallory talks Ada into a handshake for a sign-in of Mallory's own: she
	// comes back to a flow that her browser has not begun.
	mallory := w.Peer("mallory")
	hers := w.Ask(t, w.Flow(t, signin.Flow{}, mallory), certificate.ID, "", mallory)
	answer := w.answer(t, hers.Waiting.Show, card)
	if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, hers.Handle(), w.peer); !errors.Is(err, idp.Unproven) {
		t.Errorf("Mallory's flow in Ada's browser: %v", err)
	}
	// And Ada's own flow, in her browser, does not take Mallory's code.
	if _, err := w.redeem(t, mine, answer); reason(err) != "handover_of_other" {
		t.Errorf("a code of another ceremony: %v", err)
	}
	// That tried code is burnt: Mallory has nothing of it either.
	if _, err := w.Corridor.Answer(t.Context(), hers, certificate.ID, hers.Waiting.Ceremony, answer, nil, mallory); reason(err) != "handover_unknown" {
		t.Errorf("the code afterwards: %v", err)
	}
	// A ceremony before this one, in the same flow and browser.
	f := w.begun(t, "")
	early := w.answer(t, f.Waiting.Show, card)
	f = w.begunIn(t, f, "")
	if _, err := w.redeem(t, f, early); reason(err) != "handover_of_other" {
		t.Errorf("a code of an earlier ceremony: %v", err)
	}
	// Used, it is gone.
	f = w.begun(t, "")
	answer = w.answer(t, f.Waiting.Show, card)
	if _, err := w.redeem(t, f, answer); err != nil {
		t.Fatal(err)
	}
	if _, err := w.redeem(t, f, answer); !errors.Is(err, idp.Expired) {
		t.Errorf("used twice: %v", err)
	}
	if n := w.Count(t, "certificate_handover", w.Tenant.ID); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	// A minute later it is none any more, though the ceremony is.
	f = w.begun(t, "")
	answer = w.answer(t, f.Waiting.Show, card)
	w.Advance(time.Minute)
	if _, err := w.redeem(t, f, answer); reason(err) != "handover_late" {
		t.Errorf("late: %v", err)
	}
	// Nothing else is one.
	for name, guess := range map[string][]byte{"no code": []byte(`{}`), "another": payload(strings.Repeat("A", 43)), "its digest": payload(hex.EncodeToString(make([]byte, 32)))} {
		_, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Keep: w.keep(t), Payload: guess, Now: w.Now()})
		if !errors.Is(err, idp.Unproven) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSec_CBA10_TheRowDecides: what a node remembers of its own handshakes is
// worth nothing when the row is gone, and lets nobody in twice.
func TestSec_CBA10_TheRowDecides(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		f := w.begun(t, "")
		answer := w.answer(t, f.Waiting.Show, w.card(t, w.Ada.Name))
		if _, err := w.DB.Exec(t.Context(), `delete from certificate_handover where tenant_id = $1`, w.Tenant.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := w.redeem(t, f, answer); reason(err) != "handover_used" {
			t.Errorf("without its row: %v", err)
		}
		if n := w.Count(t, "session", w.Tenant.ID) + w.Count(t, "certificate_seen", w.Tenant.ID); n != 0 {
			t.Errorf("%d rows of a sign-in", n)
		}
		if _, err := w.redeem(t, w.begun(t, ""), answer); reason(err) != "handover_unknown" {
			t.Errorf("once more: %v", err)
		}
	})
}

// keep is that of a new ceremony.
func (w *world) keep(t testing.TB) []byte {
	t.Helper()
	ch, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID, Now: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return ch.Keep
}

// TestSec_CBA10_VerifiedAtRedemption: between the handshake and the way back a
// certificate may stop being good, and then it is not.
func TestSec_CBA10_VerifiedAtRedemption(t *testing.T) {
	w := one(t)
	soon := w.card(t, w.Ada.Name, func(c *x509.Certificate) { c.NotAfter = w.Now().Add(10 * time.Second) })
	f := w.begun(t, "")
	answer := w.answer(t, f.Waiting.Show, soon)
	w.Advance(20 * time.Second)
	if _, err := w.redeem(t, f, answer); reason(err) != "certificate_expired" {
		t.Errorf("over meanwhile: %v", err)
	}
	card := w.card(t, w.Ada.Name)
	f = w.begun(t, "")
	answer = w.answer(t, f.Waiting.Show, card)
	w.trust.refuse(card.Leaf(), pkix.Revoked)
	if _, err := w.redeem(t, f, answer); reason(err) != "certificate_revoked" {
		t.Errorf("revoked meanwhile: %v", err)
	}
	card = w.card(t, w.Ada.Name)
	f = w.begun(t, "")
	answer = w.answer(t, f.Waiting.Show, card)
	off := false
	w.edit(t, w.sub.Cert, trustEdit{Enabled: &off})
	if _, err := w.redeem(t, f, answer); reason(err) != "certificate_unknown_issuer" {
		t.Errorf("its issuer switched off meanwhile: %v", err)
	}
}

// TestSec_CBA10_Race: of sixteen that redeem one code at once, on two nodes, one
// does, whatever burns the ceremony.
func TestSec_CBA10_Race(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for range 3 {
			rooms := []*certificate.Room{w.room, w.open(t)}
			ch, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID, Now: w.Now()})
			if err != nil {
				t.Fatal(err)
			}
			answer := method.Answer{Tenant: w.Tenant.ID, Keep: ch.Keep, Payload: w.answer(t, ch.Show, w.card(t, w.Ada.Name)), Now: w.Now()}
			errs := race(16, func(i int) error {
				v, err := rooms[i%2].Verify(t.Context(), answer)
				if err != nil {
					return err
				}
				return w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return v.Settle(ctx, tx) })
			})
			if n := wins(errs); n != 1 {
				t.Errorf("%d redeemed it, want 1: %v", n, errs)
			}
			for _, err := range errs {
				if r := reason(err); err != nil && r != "handover_used" && r != "handover_unknown" {
					t.Errorf("a loser: %v", err)
				}
			}
		}
	})
}

// TestSec_T20_WeakMapping: a name in a certificate is worth what its CA may say.
func TestSec_T20_WeakMapping(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		// The CA of a supplier is for Bob alone, and writes Ada's name.
		supplier := w.root.Sub("Supplier", w.Now())
		w.admit(t, w.Tenant.ID, supplier.Cert)
		scope := policy.CertificateScope{Authority: pkix.KeyID(supplier.Cert)}
		scope.User = w.Bob.ID
		w.rules(t, func(r *policy.CertificateRules) {
			r.Unchecked = append(r.Unchecked, pkix.KeyID(supplier.Cert))
			r.Scopes = []policy.CertificateScope{scope}
		})
		by := func(ca *pkixtest.Authority, upn string) certificatetest.Card {
			key := pkixtest.ECKey(t)
			return certificatetest.Card{Key: key, Chain: []*x509.Certificate{ca.Leaf(key.Public(), "Somebody", upn, w.Now())}}
		}
		forged := by(supplier, w.Ada.Name)
		step, err := w.signIn(t, forged)
		if !errors.Is(err, idp.Denied) || reason(err) != "certificate_not_scoped" || step.Bearer != "" {
			t.Errorf("Ada's name by the supplier's CA: %s, %v", step.Kind, err)
		}
		if x, err := w.room.Explain(t.Context(), w.Tenant.ID, forged.Chain); err != nil || x.Good || x.Reason != "certificate_not_scoped" {
			t.Errorf("explained: %+v, %v", x, err)
		}
		if n := w.Count(t, "session", w.Tenant.ID); n != 0 {
			t.Errorf("%d sessions", n)
		}
		if p := w.mustSignIn(t, by(supplier, w.Bob.Name)); p.User != w.Bob.ID {
			t.Errorf("Bob's own: %s", p.User)
		}
		w.mustSignIn(t, by(w.sub, w.Ada.Name)) // by another CA, of the same root
		// Who is called something else now has other certificates.
		old := by(w.sub, w.Ada.Name)
		w.mustSignIn(t, old)
		name := "ada.b@nordhafen.example"
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := w.Directory.Update(ctx, tx, w.Tenant.ID, w.Ada.ID, directory.Changes{Name: &name})
			return err
		})
		if got := w.refused(t, old); got != "certificate_no_user" {
			t.Errorf("the old name: %q", got)
		}
		w.mustSignIn(t, by(w.sub, name))
	})
}

// TestSec_T21_OneValueOnePerson: values are one person's in the tenant, so that
// a firm binding never leads to two.
func TestSec_T21_OneValueOnePerson(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		card := w.card(t, "")
		w.bindings(t, byKey)
		people := []idp.User{w.Ada, w.Bob}
		errs := race(2, func(i int) error {
			return w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return w.Directory.SetCertificateIDs(ctx, tx, w.Tenant.ID, people[i].ID, []string{skiOf(card)})
			})
		})
		if wins(errs) != 1 {
			t.Fatalf("both, or none, have the value: %v", errs)
		}
		winner := w.Ada.ID
		if errs[0] != nil {
			winner = w.Bob.ID
		}
		if p := w.mustSignIn(t, card); p.User != winner {
			t.Errorf("signed in %s, want %s", p.User, winner)
		}
	})
}

var oidUPN = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}

// TestSec_T22_NamesToTheLetter: a name is what its encoding says, no more and no
// less.
func TestSec_T22_NamesToTheLetter(t *testing.T) {
	w := one(t)
	wide := func(s string) []byte {
		var out []byte
		for _, u := range utf16.Encode([]rune(s)) {
			out = append(out, byte(u>>8), byte(u))
		}
		return out
	}
	raw := func(tag byte, content []byte) pkixtest.Change {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkixtest.Alternatives(t, pkixtest.Other(t, oidUPN, pkixtest.Wrap(t, tag, content))))
		}
	}
	const utf8String, bmpString = 12, 30
	for _, c := range []struct {
		name   string
		change pkixtest.Change
		want   string // empty: Ada's
	}{
		{"plain", raw(utf8String, []byte(w.Ada.Name)), ""},
		{"in capitals", raw(utf8String, []byte(strings.ToUpper(w.Ada.Name))), ""},
		{"in two bytes a letter", raw(bmpString, wide(w.Ada.Name)), ""},
		{"two bytes a letter, called UTF-8", raw(utf8String, wide(w.Ada.Name)), "certificate_malformed"},
		{"NUL behind it", raw(utf8String, []byte(w.Ada.Name+"\x00.evil.example")), "certificate_malformed"},
		{"space behind it", raw(utf8String, []byte(w.Ada.Name+" ")), "certificate_malformed"},
		{"a line behind it", raw(utf8String, []byte(w.Ada.Name+"\n")), "certificate_malformed"},
		{"bytes of no letter", raw(utf8String, []byte(w.Ada.Name+"\xff")), "certificate_malformed"},
		{"a letter that looks alike", raw(utf8String, []byte(strings.Replace(w.Ada.Name, "a", "а", 1))), "certificate_no_user"},
		{"letters of full width", raw(utf8String, []byte("ａｄａ@nordhafen.example")), "certificate_no_user"},
		{"an accent that combines", raw(utf8String, []byte("a\u0301da@nordhafen.example")), "certificate_no_user"},
		{"cut short", raw(utf8String, []byte(w.Ada.Name[:len(w.Ada.Name)-1])), "certificate_no_user"},
		{"a mail address beside it", emails(w.Ada.Name), "certificate_no_user"},
	} {
		card := w.card(t, "", c.change)
		step, err := w.signIn(t, card)
		if c.want == "" {
			if err != nil || step.Session.User != w.Ada.ID {
				t.Errorf("%s: %s, %v", c.name, step.Session.User, err)
			}
		} else if reason(err) != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// TestSec_T22_SubjectToTheLetter: a subject cannot be written so that it reads
// as another one.
func TestSec_T22_SubjectToTheLetter(t *testing.T) {
	w := one(t)
	w.bindings(t, policy.CertificateBinding{Field: policy.FieldSubject, Property: policy.ByCertificateUserIDs},
		policy.CertificateBinding{Field: policy.FieldIssuerAndSubject, Property: policy.ByCertificateUserIDs})
	w.ids(t, w.Ada, "X509:<S>O=Nordhafen,CN=Ada,OU=Boss", "X509:<I>CN=Root<S>CN=Ada")
	w.ids(t, w.Bob, "X509:<S>O=Nordhafen,CN=ada")
	for name, subject := range map[string]xpkix.Name{
		"a comma in a name":       {Organization: []string{"Nordhafen"}, CommonName: "Ada,OU=Boss"},
		"a backslash in a name":   {Organization: []string{"Nordhafen"}, CommonName: `Ada\,OU=Boss`},
		"the other order":         {Organization: []string{"Nordhafen"}, OrganizationalUnit: []string{"Boss"}, CommonName: "Ada"},
		"two in one":              {ExtraNames: []xpkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "Ada+OU=Boss"}}},
		"other letters' case":     {Organization: []string{"Nordhafen"}, CommonName: "ADA"},
		"the form's own signs":    {CommonName: "Root<S>CN=Ada"},
		"and as an issuer's part": {CommonName: "X509:<I>CN=Root<S>CN=Ada"},
	} {
		card := w.card(t, "", func(c *x509.Certificate) { c.Subject = subject })
		if got := w.refused(t, card); got != "certificate_no_user" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if p := w.mustSignIn(t, w.card(t, "", func(c *x509.Certificate) {
		c.Subject = xpkix.Name{Organization: []string{"Nordhafen"}, CommonName: "ada"}
	})); p.User != w.Bob.ID {
		t.Errorf("Bob's own: %s", p.User)
	}
}

// TestSec_T26_Tenants: one CA in two tenants, and one value in both: a sign-in
// is of the tenant at which it was begun, and a CA of one is none of the other.
func TestSec_T26_Tenants(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		card := w.card(t, "")
		for _, u := range []idp.User{w.Ada, w.Eve} {
			w.ids(t, u, skiOf(card))
			w.Policy(t, u.Tenant, func(p *policy.Policy) {
				p.Certificate.Bindings = []policy.CertificateBinding{{Field: byKey.Field, Property: byKey.Property, Priority: 1, Affinity: policy.HighAffinity}}
			})
		}
		there := func() (signin.Step, error) {
			f := w.begunIn(t, w.Flow(t, signin.Flow{Tenant: w.Other.ID}, w.peer), "")
			return w.redeem(t, f, w.answer(t, f.Waiting.Show, card))
		}
		if p := w.mustSignIn(t, card); p.User != w.Ada.ID || p.Tenant != w.Tenant.ID {
			t.Errorf("here: %s of %s", p.User, p.Tenant)
		}
		if step, err := there(); err != nil || step.Session.User != w.Eve.ID || step.Session.Tenant != w.Other.ID {
			t.Errorf("there: %s, %v", step.Session.User, err)
		}
		// A handshake of one tenant is none of the other's.
		f := w.begun(t, "")
		answer := w.answer(t, f.Waiting.Show, card)
		ch, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Other.ID, Now: w.Now()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.room.Verify(t.Context(), method.Answer{Tenant: w.Other.ID, Keep: ch.Keep, Payload: answer, Now: w.Now()})
		if reason(err) != "handover_unknown" {
			t.Errorf("a code of another tenant: %v", err)
		}
		// A bar of one is none of the other's.
		id := certificate.CredentialID(card.Leaf())
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, id)
		})
		if _, err := there(); err != nil {
			t.Errorf("barred here, tried there: %v", err)
		}
		// A rogue CA that one tenant trusts.
		rogue := pkixtest.Root(t, "Westwerk Root", w.Now())
		w.admit(t, w.Other.ID, rogue.Cert)
		key := pkixtest.ECKey(t)
		forged := certificatetest.Card{Key: key, Chain: []*x509.Certificate{rogue.Leaf(key.Public(), "Somebody", "", w.Now()), rogue.Cert}}
		w.ids(t, w.Bob, skiOf(forged))
		if got := w.refused(t, forged); got != "certificate_unknown_issuer" {
			t.Errorf("a CA of another tenant: %q", got)
		}
	})
}

// TestSec_POL07_RulesLockOut: rules of certificates by which no administrator
// would come in any more are not saved, as with any other method.
func TestSec_POL07_RulesLockOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Directory.SetRole(ctx, tx, w.Ada.Tenant, w.Ada.ID, directory.Administrator)
		})
		w.mustSignIn(t, w.card(t, w.Ada.Name))
		for name, change := range map[string]func(*policy.CertificateRules){
			"a scope for somebody else": func(r *policy.CertificateRules) {
				r.Scopes = []policy.CertificateScope{{Authority: pkix.KeyID(w.root.Cert), Target: policy.Target{User: w.Bob.ID}}}
			},
			"a firmer binding than hers": func(r *policy.CertificateRules) { r.Affinity = policy.HighAffinity },
		} {
			old, err := w.Policies.Get(t.Context(), w.Tenant.ID)
			if err != nil {
				t.Fatal(err)
			}
			next := old.Clone()
			change(&next.Certificate)
			if got := reason(w.Corridor.CheckSave(t.Context(), w.Tenant.ID, old, next, "")); got != "locks_out_administrators" {
				t.Errorf("%s: %q", name, got)
			}
		}
	})
}

// TestSec_T64_HandshakesInMemory: strangers, whose certificates are anything,
// cannot fill the memory with their handshakes.
func TestSec_T64_HandshakesInMemory(t *testing.T) {
	// Nothing is as short in a certificate as an empty URI, and as long when it
	// was read.
	fat := func(n int) []byte {
		uris := make([]pkixtest.General, n)
		for i := range uris {
			uris[i] = pkixtest.Web(t, "")
		}
		return pkixtest.Root(t, "Anybody", time.Unix(0, 0), func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkixtest.Alternatives(t, uris...))
		}).Cert.Raw
	}
	read := func(raw []byte) *x509.Certificate {
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	short, long, vast := fat(1), fat(3_600), fat(100_000)
	for what, send := range map[string]func() []*x509.Certificate{
		"one of many names":         func() []*x509.Certificate { return []*x509.Certificate{read(long)} },
		"a vast one behind a short": func() []*x509.Certificate { return []*x509.Certificate{read(short), read(vast)} },
		"one out of a vast handshake": func() []*x509.Certificate {
			return []*x509.Certificate{read(append(short, make([]byte, 256<<10)...)[:len(short)])}
		},
	} {
		w := one(t)
		f := w.begun(t, "")
		before := heap()
		const times = 50
		for range times {
			w.shake(t, f.Waiting.Show, send()...)
		}
		// What is stored takes some memory, too.
		if grown := heap() - before; grown > times*100<<10 {
			t.Errorf("%s: %d KiB are kept of each", what, grown/times>>10)
		}
		runtime.KeepAlive(w)
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSec_CBA10_TicketSpelling: a ticket has one spelling, so that nobody makes
// it as long as an address may be.
func TestSec_CBA10_TicketSpelling(t *testing.T) {
	w := one(t)
	at := goes(t, w.begun(t, "").Waiting.Show)
	for name, more := range map[string]string{"line breaks": strings.Repeat("%0A", 1000), "a return": "%0D", "padding": "=", "a character": "A"} {
		rec := w.visit(t, at+more)
		if rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
	if rec := w.visit(t, at); rec.Code != http.StatusSeeOther {
		t.Errorf("as it was: %d", rec.Code)
	}
}
