package certificate_test

import (
	"crypto/x509"
	xpkix "crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
)

// contoso is the subject of the specification's examples.
func contoso(c *x509.Certificate) {
	var parts xpkix.RDNSequence
	for _, p := range []struct {
		oid   asn1.ObjectIdentifier
		value string
	}{
		{asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, "com"}, {asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, "contoso"},
		{asn1.ObjectIdentifier{2, 5, 4, 11}, "UserAccounts"}, {asn1.ObjectIdentifier{2, 5, 4, 3}, "mfatest"},
	} {
		parts = append(parts, xpkix.RelativeDistinguishedNameSET{{Type: p.oid, Value: p.value}})
	}
	raw, err := asn1.Marshal(parts)
	if err != nil {
		panic(err)
	}
	c.RawSubject = raw
}

func emails(list ...string) pkixtest.Change {
	return func(c *x509.Certificate) { c.EmailAddresses = list }
}

// TestValues: what each field gives for each property, to the letter
// (entra-behaviours.md §5.2). What is for certificateUserIds is what the
// directory takes as one.
func TestValues(t *testing.T) {
	w := one(t)
	key := pkixtest.ECKey(t)
	named := w.sub.Leaf(key.Public(), "", "bob@woodgrove.com", w.Now(), contoso, func(c *x509.Certificate) {
		c.SerialNumber = new(big.Int).SetBytes([]byte{0x61, 0x0f, 0xb2, 0x00, 0x33})
		c.SubjectKeyId = []byte{0xAB, 0x01}
	})
	mailed := w.sub.Leaf(key.Public(), "", "", w.Now(), emails("user@woodgrove.com", "U.Ser@woodgrove.com"))
	bare := w.sub.Leaf(key.Public(), "", "", w.Now(), func(c *x509.Certificate) { c.SubjectKeyId = nil; c.Subject = xpkix.Name{} })
	const issuer = "O=Nordhafen,CN=Nordhafen People"
	keyPrint := hex.EncodeToString(pkixtest.ID(t, key.Public()))
	for _, c := range []struct {
		cert     *x509.Certificate
		field    policy.CertificateField
		property policy.UserProperty
		want     []string
	}{
		{named, policy.FieldPrincipalName, policy.ByUserName, []string{"bob@woodgrove.com"}},
		{named, policy.FieldPrincipalName, policy.ByOnPremisesUserName, []string{"bob@woodgrove.com"}},
		{named, policy.FieldPrincipalName, policy.ByCertificateUserIDs, []string{"X509:<PN>bob@woodgrove.com"}},
		{mailed, policy.FieldPrincipalName, policy.ByUserName, nil},
		{mailed, policy.FieldRFC822Name, policy.ByUserName, []string{"user@woodgrove.com", "U.Ser@woodgrove.com"}},
		{mailed, policy.FieldRFC822Name, policy.ByCertificateUserIDs, []string{"X509:<RFC822>user@woodgrove.com", "X509:<RFC822>U.Ser@woodgrove.com"}},
		{named, policy.FieldRFC822Name, policy.ByUserName, nil},
		{named, policy.FieldSubject, policy.ByCertificateUserIDs, []string{"X509:<S>DC=com,DC=contoso,OU=UserAccounts,CN=mfatest"}},
		{named, policy.FieldIssuerAndSubject, policy.ByCertificateUserIDs, []string{"X509:<I>" + issuer + "<S>DC=com,DC=contoso,OU=UserAccounts,CN=mfatest"}},
		{named, policy.FieldIssuerAndSerialNumber, policy.ByCertificateUserIDs, []string{"X509:<I>" + issuer + "<SR>3300b20f61"}},
		{named, policy.FieldSubjectKeyIdentifier, policy.ByCertificateUserIDs, []string{"X509:<SKI>ab01"}},
		{named, policy.FieldSHA1PublicKey, policy.ByCertificateUserIDs, []string{"X509:<SHA1-PUKEY>" + keyPrint}},
		// A certificate without the field has no value, and not an empty one.
		{bare, policy.FieldSubject, policy.ByCertificateUserIDs, nil},
		{bare, policy.FieldIssuerAndSubject, policy.ByCertificateUserIDs, nil},
		// Nothing but a name is compared with a name.
		{named, policy.FieldSubject, policy.ByUserName, nil},
		{named, policy.FieldSubjectKeyIdentifier, policy.ByOnPremisesUserName, nil},
		{named, policy.FieldIssuerAndSerialNumber, policy.ByUserName, nil},
		{named, "Nonsense", policy.ByCertificateUserIDs, nil},
	} {
		got, err := certificate.Values(c.cert, c.field, c.property)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s to %s: %q, %v, want %q", c.field, c.property, got, err, c.want)
		}
		if c.property == policy.ByCertificateUserIDs {
			for _, v := range got {
				if err := directory.CheckCertificateID(v); err != nil {
					t.Errorf("%s: %q is none of the directory's: %v", c.field, v, err)
				}
			}
		}
	}
}

// TestBindingOrder: bindings are tried by their priority, each of them, and the
// first that leads to somebody decides.
func TestBindingOrder(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name)
	ski := "X509:<SKI>" + hex.EncodeToString(card.Leaf().SubjectKeyId)
	w.ids(t, w.Bob, ski)
	pn := policy.CertificateBinding{Field: policy.FieldPrincipalName, Property: policy.ByUserName}
	key := policy.CertificateBinding{Field: policy.FieldSubjectKeyIdentifier, Property: policy.ByCertificateUserIDs}
	mail := policy.CertificateBinding{Field: policy.FieldRFC822Name, Property: policy.ByUserName}
	for _, c := range []struct {
		name string
		list []policy.CertificateBinding
		want idp.UserID
		rank string
	}{
		{"the name first", []policy.CertificateBinding{pn, key}, w.Ada.ID, "Rank: 1"},
		{"the key first", []policy.CertificateBinding{key, pn}, w.Bob.ID, "Rank: 1"},
		{"what it has not is passed over", []policy.CertificateBinding{mail, key}, w.Bob.ID, "Rank: 2"},
	} {
		w.bindings(t, c.list...)
		step, err := w.signIn(t, card)
		if err != nil || step.Session.User != c.want {
			t.Fatalf("%s: %s, %v, want %s", c.name, step.Session.User, err, c.want)
		}
		if got := step.Detail["certificateBinding"]; !strings.HasSuffix(got, c.rank) {
			t.Errorf("%s: binding %q, want %s", c.name, got, c.rank)
		}
	}
	// What leads to nobody is passed over, too.
	w.ids(t, w.Bob)
	w.bindings(t, key, pn)
	if p := w.mustSignIn(t, card); p.User != w.Ada.ID {
		t.Errorf("nobody's key first: %s", p.User)
	}
}

// TestFacts: what is kept of a certificate is what rules are judged by.
func TestFacts(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name)
	f := w.mustSignIn(t, card).Facts
	want := &idp.CertificateFacts{
		Issuers: []string{pkix.KeyID(w.sub.Cert), pkix.KeyID(w.root.Cert)}, IssuerName: "O=Nordhafen,CN=Nordhafen People",
	}
	if f.Issuer != pkix.KeyID(w.sub.Cert) || !reflect.DeepEqual(f.Certificate, want) {
		t.Errorf("facts %+v, certificate %+v, want %+v", f, f.Certificate, want)
	}
}
