package device

import (
	"context"
	"crypto"
	"crypto/x509"

	"github.com/signetid/signet/internal/idp"
)

// What tests look at from outside.
var (
	GUIDBytes   = guidBytes
	GUIDText    = guidText
	ReadProfile = readProfile
	Certifies   = certifies
)

// Signer opens a tenant's authority.
func (r *Registry) Signer(ctx context.Context, t idp.TenantID) (*x509.Certificate, crypto.Signer, error) {
	return r.signer(ctx, t)
}
