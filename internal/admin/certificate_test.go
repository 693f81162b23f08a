package admin_test

import (
	"context"
	"crypto/x509"
	"strconv"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// explainFirst stands for the room of certificates: it says which certificate it
// was asked for, and how many came with it.
func explainFirst(_ context.Context, t idp.TenantID, chain []*x509.Certificate) (certificate.Explained, error) {
	return certificate.Explained{
		Certificate: certificate.Summary{Subject: chain[0].Subject.CommonName}, Reason: strconv.Itoa(len(chain)),
		User: idp.User{ID: "u1", Tenant: t, Name: "ada@a.example"},
	}, nil
}

// TestExplainCertificate: of a file with several it is the one that stands above
// none, wherever it is in it.
func TestExplainCertificate(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		root := pkixtest.Root(t, "Root", now)
		people := root.Sub("People", now)
		ada := people.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now)
		for name, c := range map[string]struct {
			file []byte
			want string
			sent string
		}{
			"alone":           {ada.Raw, "Ada", "1"},
			"behind its path": {pkixtest.PEM(root.Cert, people.Cert, ada), "Ada", "3"},
			"authorities":     {pkixtest.PEM(people.Cert, root.Cert), "People", "2"},
		} {
			got := o.do("certificate.explain", fields{"tenant": "a.example", "file": file(c.file)})
			if got["certificate"].(map[string]any)["subject"] != c.want || got["reason"] != c.sent || got["userPrincipalName"] != "ada@a.example" || got["userId"] != "u1" {
				t.Errorf("%s: %v", name, got)
			}
		}
		if _, err := o.try("certificate.explain", fields{"tenant": "a.example", "file": file([]byte("dust"))}); idp.AsError(err) == nil || idp.AsError(err).Kind != idp.Invalid {
			t.Errorf("dust: %v", err)
		}
	})
}
