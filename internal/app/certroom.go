package app

import (
	"context"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/policy"
)

// openCertificates opens the room of certificates. What somebody has shown in a
// handshake comes from whatever stands before the listeners that ask for it.
func (h *House) openCertificates() (*certificate.Room, error) {
	return certificate.New(certificate.Config{
		DB: h.DB, Now: h.cfg.Now, Base: h.base, Address: h.certificateAddress, Tenant: h.Directory.Resolve, Handshake: handshakeOf,
		Key: h.keyOf(purposeTicket), Rules: h.certificateRules, Trust: h.Trust, Stands: h.Trust.Stands, Issuer: h.Issuer,
		Users: func(ctx context.Context, t idp.TenantID, p policy.UserProperty, values []string) ([]idp.User, error) {
			return h.Directory.UsersBy(ctx, h.DB, t, string(p), values)
		},
		Judge: func(ctx context.Context, u idp.User, f idp.Facts) (policy.Refusal, error) {
			p, w, err := h.Policies.For(ctx, u.Tenant, u)
			return p.Judge(w, policy.Use, policy.Certificate, &f).Refusal, err
		},
		Handshakes: h.cfg.Limits.Begins,
	})
}
