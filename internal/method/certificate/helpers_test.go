package certificate_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
)

func oids(t testing.TB, dotted ...string) []x509.OID {
	t.Helper()
	var out []x509.OID
	for _, d := range dotted {
		o, err := x509.ParseOID(d)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

func sha1Of(c *x509.Certificate) [sha1.Size]byte { return sha1.Sum(c.Raw) }

// extended makes a certificate large.
func extended(t testing.TB, size int) pkixtest.Change {
	t.Helper()
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99, 7}, Value: bytes.Repeat([]byte{5}, size)})
	}
}

// Bindings that tests use.
var (
	byName = policy.CertificateBinding{Field: policy.FieldPrincipalName, Property: policy.ByUserName}
	byMail = policy.CertificateBinding{Field: policy.FieldRFC822Name, Property: policy.ByUserName}
	byKey  = policy.CertificateBinding{Field: policy.FieldSubjectKeyIdentifier, Property: policy.ByCertificateUserIDs}
)
