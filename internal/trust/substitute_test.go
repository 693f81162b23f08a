package trust_test

import (
	"context"
	stdpkix "crypto/x509/pkix"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
)

// renewed gives the tenant the authority's successor: the same name by the same
// root, with another key.
func (p *pki) renewed() (*pkixtest.Authority, trust.Authority) {
	p.t.Helper()
	next := p.root.Sub("Nordhafen People", start)
	offer := sub(next)
	offer.CRL = p.pub.URL + "/ca(1).crl"
	return next, p.mustAdd(tenant, offer)[0]
}

// TestSec_T23_ListOfTheOtherKey: an authority whose key was renewed has a list
// for each key. Who stands between puts the one in the place of the other: it is
// genuine, of that name, and does not have what was revoked (entra-behaviours.md
// §5.5: the list is of the issuer's key).
func TestSec_T23_ListOfTheOtherKey(t *testing.T) {
	eachPKI(t, func(t *testing.T, p *pki) {
		next, made := p.renewed()
		p.pub.put("/ca.crl", p.ca.List(p.of(1)))
		p.pub.put("/ca(1).crl", next.List(p.of(1)))
		p.run(p.Store)
		p.want("both lists where they belong", "")
		p.pub.put("/ca.crl", p.ca.List(p.of(2, p.revoked(1))))
		if _, err := p.Refresh(t.Context(), tenant, p.ids[1]); err != nil {
			t.Fatal(err)
		}
		p.want("revoked", "certificate_revoked")
		for what, extensions := range map[string][]stdpkix.Extension{
			"as it is":                            nil,
			"under the key identifier of the old": {pkixtest.KeyID(t, p.ca.Cert.SubjectKeyId)},
			"indirect":                            {pkixtest.Scope(pkixtest.Issuing{Indirect: true})},
		} {
			l := p.of(3)
			l.Extensions = extensions
			p.pub.put("/ca.crl", next.List(l))
			if _, err := p.Refresh(t.Context(), tenant, p.ids[1]); err == nil || idp.AsError(err).Reason != "crl_signature" {
				t.Errorf("the list of the other key, %s: %v", what, err)
			}
			p.want(what, "certificate_revoked")
		}
		// At its own address it says nothing of what the other has issued either.
		for what, extensions := range map[string][]stdpkix.Extension{
			"under the key identifier of the old": {pkixtest.KeyID(t, p.ca.Cert.SubjectKeyId)},
			"indirect":                            {pkixtest.Scope(pkixtest.Issuing{Indirect: true})},
		} {
			l := p.of(4)
			l.Extensions = extensions
			p.pub.put("/ca(1).crl", next.List(l))
			if _, err := p.Refresh(t.Context(), tenant, made.ID); err != nil && idp.AsError(err).Reason != "crl_number" {
				t.Fatal(what, err)
			}
			p.want(what, "certificate_revoked")
		}
		// Nor when the other has none at all any more.
		if _, err := p.update(tenant, p.ids[1], 0, trust.Edit{CRL: to(p.pub.URL + "/none.crl")}); err != nil {
			t.Fatal(err)
		}
		if err := p.write(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, `delete from trust_list_body where authority_id = $1`, p.ids[1])
			return err
		}); err != nil {
			t.Fatal(err)
		}
		p.Store = p.listNode(trust.Limits{}, "127.0.0.1")
		p.want("without a list of its own", "certificate_list_unavailable")
	})
}

// TestSec_T23_OlderUnderAnotherIdentifier: what was once true is not played back
// because an older list tells another key identifier, or none. The key is one.
func TestSec_T23_OlderUnderAnotherIdentifier(t *testing.T) {
	eachPKI(t, func(t *testing.T, p *pki) {
		l := p.of(5, p.revoked(1))
		l.Extensions = []stdpkix.Extension{pkixtest.KeyID(t, p.ca.Cert.SubjectKeyId)}
		p.pub.put("/ca.crl", p.ca.List(l))
		p.run(p.Store)
		p.want("revoked", "certificate_revoked")
		for what, extensions := range map[string][]stdpkix.Extension{"none": nil, "another": {pkixtest.KeyID(t, []byte{1, 2, 3})}} {
			old := p.of(4)
			old.Extensions = extensions
			p.pub.put("/ca.crl", p.ca.List(old))
			if _, err := p.Refresh(t.Context(), tenant, p.ids[1]); err == nil || idp.AsError(err).Reason != "crl_number" {
				t.Errorf("%s: %v", what, err)
			}
			p.want(what, "certificate_revoked")
		}
	})
}
