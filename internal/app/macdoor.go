package app

import (
	"cmp"
	"context"
	"crypto/x509"
	"net/http"

	"github.com/signetid/signet/internal/broker"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/oidc"
	"github.com/signetid/signet/internal/psso"
	"github.com/signetid/signet/internal/signin"
)

// forMacs is the door for Macs. It stands on the same addresses as the doors of
// pages, on every listener.
func (d *doors) forMacs() *psso.Server {
	h := d.House
	app, extension, placeholder := h.cfg.programs()
	return psso.New(psso.Config{
		BaseURL: h.base, DB: h.DB, Directory: h.Directory, Clients: h.Clients, Policies: h.Policies, Devices: h.Devices, Macs: h.Macs,
		Keys: h.Keys, PRTs: h.PRTs, Sessions: h.Sessions, Tokens: h.Tokens, Corridor: h.Corridor, Box: h.Box, Audit: h.Audit, Now: h.cfg.Now,
		UserKey: h.Platform.Kept, Card: h.whoseCard,
		Roots: h.macRoots, App: app, Extension: extension, Placeholder: placeholder,
		Limits: psso.Limits{Nonces: h.cfg.Limits.Nonces, Failures: h.cfg.Limits.Failures, Asks: h.cfg.Limits.Begins},
	})
}

// carrying is what devices bring to the authorization endpoint: a Mac's extension
// in its header, another device's browser in those of the broker. A request with
// both is the Mac's: what it signs is bound to the address, and the other is not.
func carrying(macs *psso.Server, others *broker.Server) *oidc.Devices {
	return &oidc.Devices{
		Message: others.Message,
		Brought: func(r *http.Request, t idp.TenantID) (signin.Brought, bool, error) {
			if psso.Carries(r) {
				return macs.Brought(r, t)
			}
			return others.Brought(r, t)
		},
		TenantOf: func(r *http.Request) (idp.TenantID, bool) {
			if psso.Carries(r) {
				return macs.TenantOf(r)
			}
			return others.TenantOf(r)
		},
	}
}

// MacProfile makes the configuration profile that a tenant's Macs are given. Its
// errors are those of psso.Profiles.
func (h *House) MacProfile(ctx context.Context, t idp.TenantID, ask psso.ProfileAsk) ([]byte, error) {
	app, extension, placeholder := h.cfg.programs()
	return psso.Profiles{
		BaseURL: h.base, Directory: h.Directory, Policies: h.Policies, App: app, Extension: extension, Placeholder: placeholder,
	}.Make(ctx, t, ask)
}

// whoseCard says whose a smart card is, by all the rules of certificates.
func (h *House) whoseCard(ctx context.Context, t idp.TenantID, chain []*x509.Certificate) (idp.UserID, string, error) {
	e, err := h.Certificates.Explain(ctx, t, chain)
	if err == nil && !e.Good {
		return "", cmp.Or(e.Reason, "refused"), nil
	}
	return e.User.ID, "", err
}
