package certificate_test

import (
	"crypto/x509"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/certificate/certificatetest"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
)

// TestSec_T27_ForgedKeyIdentifier: a key identifier and a name are what an
// issuer writes into a certificate. An authority that nobody uploaded, which a
// browser sent along, is not the one that it says it is: neither for scopes, nor
// for levels, nor for what passes without a list (T20, T27).
func TestSec_T27_ForgedKeyIdentifier(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		supplier := w.root.Sub("Supplier", w.Now())
		w.admit(t, w.Tenant.ID, supplier.Cert)
		// Called as the people's own CA, with its key identifier.
		rogue := supplier.Sub("?", w.Now(), func(c *x509.Certificate) { c.Subject, c.SubjectKeyId = w.sub.Cert.Subject, w.sub.Cert.SubjectKeyId })
		if pkix.KeyID(rogue.Cert) != pkix.KeyID(w.sub.Cert) {
			t.Fatal("it does not say so")
		}
		key := pkixtest.ECKey(t)
		forged := certificatetest.Card{Key: key, Chain: []*x509.Certificate{rogue.Leaf(key.Public(), "Somebody", w.Ada.Name, w.Now()), rogue.Cert}}
		scope := policy.CertificateScope{Authority: pkix.KeyID(supplier.Cert), Target: policy.Target{User: w.Bob.ID}}
		people := policy.CertificateScope{Authority: pkix.KeyID(w.sub.Cert), Target: policy.Target{All: true}}
		level := policy.CertificateLevel{Issuer: pkix.KeyID(w.sub.Cert), Mode: idp.ModeCertificateMulti, Affinity: policy.LowAffinity}
		byName := level
		byName.Issuer = "O=Nordhafen,CN=Nordhafen People"
		unchecked := []string{pkix.KeyID(supplier.Cert), pkix.KeyID(w.sub.Cert), pkix.KeyID(w.root.Cert)}

		w.rules(t, func(r *policy.CertificateRules) {
			r.Unchecked, r.Scopes = unchecked, []policy.CertificateScope{scope, people}
		})
		if step, err := w.signIn(t, forged); err == nil {
			t.Errorf("signed in past a scope as %s", step.Session.User)
		}
		for name, l := range map[string]policy.CertificateLevel{"key": level, "name": byName} {
			w.rules(t, func(r *policy.CertificateRules) {
				r.Unchecked, r.Levels = unchecked, []policy.CertificateLevel{l}
			})
			if _, err := w.signIn(t, forged); err == nil {
				if p := w.mustSignIn(t, forged); p.Mode == idp.ModeCertificateMulti {
					t.Errorf("multifactor by a %s that it gave itself", name)
				}
			}
		}
		w.rules(t, func(r *policy.CertificateRules) { r.Unchecked = unchecked })
		if _, err := w.signIn(t, forged); reason(err) != "certificate_list_unavailable" {
			t.Errorf("unchecked by a key that it gave itself: %v", err)
		}
	})
}
