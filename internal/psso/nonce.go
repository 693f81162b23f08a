package psso

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/web"
)

// nonceLives is how long a nonce may be answered (product.md §6).
const nonceLives = 5 * time.Minute

// nonce answers POST {t}/psso/nonce.
func (s *Server) nonce(w http.ResponseWriter, r *http.Request) error {
	form, err := web.Form(w, r)
	if err != nil {
		return err
	}
	if g := form.Get(pssowire.FieldGrant); g != pssowire.GrantNonce {
		return unsupported("grant_unsupported", "This address gives out nonces.", "grant type %q", clip(g))
	}
	return s.challenge(w, r, form)
}

// challenge gives out a nonce of the tenant. Nobody is proven and nothing is
// written.
func (s *Server) challenge(w http.ResponseWriter, r *http.Request, form url.Values) error {
	if ok, wait := s.nonces.Allow(web.Source(r)); !ok {
		return limited("nonce_requests", wait, "source %s", web.ClientIP(r))
	}
	t, err := s.tenant(r)
	if err != nil {
		return err
	}
	value, err := s.cfg.Box.Seal(r.Context(), t.ID, nonce.ServerNonce, nonceLives, nil)
	if err != nil {
		return err
	}
	out := pssowire.Nonce{Nonce: value}
	if form.Get(pssowire.FieldPurpose) == pssowire.PurposeRegistration {
		if out.ExchangeKey, err = s.exchangePoint(r.Context(), t.ID, value); err != nil {
			return err
		}
	}
	return web.JSON(w, http.StatusOK, out)
}

// tenant is whose address a request came to: one that has devices on.
func (s *Server) tenant(r *http.Request) (idp.Tenant, error) {
	ctx, ref := r.Context(), r.PathValue("t")
	t, err := s.cfg.Directory.Resolve(ctx, ref)
	switch {
	case errors.Is(err, idp.NotFound), errors.Is(err, idp.Invalid):
		return t, fault(http.StatusBadRequest, idp.NotFound, wordRequest, codeTenant, "tenant_unknown",
			"There is no such organisation here. Check the address.", "tenant %q", clip(ref))
	case err != nil:
		return t, err
	}
	p, err := s.cfg.Policies.Get(ctx, t.ID)
	if err == nil && !p.Devices.On {
		err = deviceFault(idp.Denied, codeDevice, "devices_off", "This organisation does not register devices.", "devices are off in %s", t.ID)
	}
	return t, err
}

// opened reads a nonce of a message: ours, of the tenant or good in any, and in
// time. That it was not used before only the burn says.
func (s *Server) opened(ctx context.Context, t idp.TenantID, value string) (nonce.Sealed, error) {
	if strings.TrimSpace(value) == "" {
		return nonce.Sealed{}, badNonce("nonce_missing", "The request has no nonce.")
	}
	n, err := s.cfg.Box.OpenServer(ctx, t, value)
	switch {
	case nonce.Unreadable(err):
		err = badNonce("nonce_unknown", "The nonce was not given out here.")
	case errors.Is(err, idp.Expired):
		err = badNonce("nonce_late", "The time of the nonce is up. Ask for a new one.")
	}
	return n, err
}
