package pkix_test

import (
	"crypto/x509"
	"testing"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// TestSec_CBA01_ExcludedInAnotherEncoding: an excluded name stays excluded when
// it is written in a string type whose letters programs differ on, or with bytes
// that are no text at all. The doubt is the name's.
func TestSec_CBA01_ExcludedInAnotherEncoding(t *testing.T) {
	root := pkixtest.Root(t, "Root", now)
	for _, c := range []struct {
		what     string
		excluded []byte
		subject  []byte
		reason   pkix.Reason
	}{
		{"as it is", dn(t, one(attr(t, idO, utf8Str, "Evil"))), dn(t, one(attr(t, idO, printable, "evil")), one(attr(t, idCN, utf8Str, "x"))), pkix.NameConstraints},
		{"in Teletex", dn(t, one(attr(t, idO, utf8Str, "Evil"))), dn(t, one(attr(t, idO, teletex, "Evil")), one(attr(t, idCN, utf8Str, "x"))), pkix.NameConstraints},
		{"excluded in Teletex", dn(t, one(attr(t, idO, teletex, "Evil"))), dn(t, one(attr(t, idO, utf8Str, "evil")), one(attr(t, idCN, utf8Str, "x"))), pkix.NameConstraints},
		{"with a private character", dn(t, one(attr(t, idO, utf8Str, "Evil"))), dn(t, one(attr(t, idO, utf8Str, "Evil\ue000"))), pkix.NameConstraints},
		{"in Teletex, below", dn(t, one(attr(t, idO, utf8Str, "Good")), one(attr(t, idOU, utf8Str, "Evil"))),
			dn(t, one(attr(t, idO, utf8Str, "good")), one(attr(t, idOU, teletex, "Evil"))), pkix.NameConstraints},
		{"another", dn(t, one(attr(t, idO, utf8Str, "Evil"))), dn(t, one(attr(t, idO, utf8Str, "Good")), one(attr(t, idCN, teletex, "x"))), ""},
		{"of another type", dn(t, one(attr(t, idO, utf8Str, "Evil"))), dn(t, one(attr(t, idCN, teletex, "Evil"))), ""},
		{"another above", dn(t, one(attr(t, idO, utf8Str, "Good")), one(attr(t, idOU, utf8Str, "Evil"))),
			dn(t, one(attr(t, idO, utf8Str, "Fine")), one(attr(t, idOU, teletex, "Evil"))), ""},
	} {
		sub := root.Sub("Issuing", now)
		sub.Cert = pkixtest.Forge(t, sub.Cert, root.Key, func(b *pkixtest.Body) {
			b.Set(pkixtest.Constraints(t, nil, []pkixtest.General{pkixtest.Directory(t, c.excluded)}))
		})
		leaf := pkixtest.Forge(t, sub.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now), sub.Key, func(b *pkixtest.Body) { b.Subject.FullBytes = c.subject })
		_, err := pkix.Verify(leaf, pkix.Options{Anchors: []*x509.Certificate{root.Cert}, Intermediates: []*x509.Certificate{sub.Cert}, Now: now})
		if c.reason == "" {
			if err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			continue
		}
		refused(t, err, c.reason, leaf)
	}
}
