package admin

import (
	"context"
	"crypto/x509"
	"slices"

	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/trust"
)

// explainParams hold a file with a certificate, and what helps to build its path.
type explainParams struct {
	inTenant
	File []byte `json:"file"` // PEM, DER or PKCS#7
}

// explainedView is an explanation and whom it would sign in; empty: nobody.
type explainedView struct {
	certificate.Explained
	ID       string `json:"userId"`
	UserName string `json:"userPrincipalName"`
}

// explainCertificate tries the certificate of a file as a sign-in would: the
// first that may not stand above others, or the first of all. It stores nothing,
// and proves nobody.
func explainCertificate(ctx context.Context, c *call, p explainParams) (any, error) {
	if c.ExplainCertificate == nil {
		return nil, missing("certificates")
	}
	certs, err := trust.Parse(p.File)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(certs, func(a, b *x509.Certificate) int {
		switch {
		case a.IsCA == b.IsCA:
			return 0
		case a.IsCA:
			return 1
		}
		return -1
	})
	x, err := c.ExplainCertificate(ctx, c.tenant.ID, certs[:min(len(certs), 1+trust.MaxSent)])
	if err != nil {
		return nil, err
	}
	return explainedView{x, string(x.User.ID), x.User.Name}, nil
}
