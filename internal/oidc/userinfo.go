package oidc

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// userinfo is the UserInfo endpoint (OpenID Connect Core 1.0, Section 5.3). It
// takes an access token that has the scope openid and is meant for us, or for
// the application's own API, while its session and family still stand.
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	presented, err := bearerToken(w, r)
	if err != nil {
		return err
	}
	t, err := s.tenant(ctx, r.PathValue("t"), func() (idp.TenantID, error) { return tenantOf(presented) })
	if err != nil {
		return err
	}
	claims, err := s.cfg.Tokens.VerifyAccess(ctx, t.ID, presented)
	if err != nil {
		return badToken(err)
	}
	if claims.Audience != t.Issuer && claims.Audience != string(claims.Client) {
		return badToken(idp.Unprovenf("wrong_audience", "audience %q", claims.Audience))
	}
	if !slices.Contains(claims.Scopes, "openid") {
		return fault(idp.Denied, "insufficient_scope", codeBadScope, "openid_missing",
			"The access token does not have the scope openid.", "scopes %q", claims.Scopes)
	}
	// An application that was removed or switched off learns nothing more.
	if _, err := s.lookup(ctx, t.ID, claims.Client); err != nil {
		return badToken(err)
	}
	user, err := s.livingUser(ctx, t.ID, claims.User)
	if err != nil {
		return badToken(err)
	}
	return web.JSON(w, http.StatusOK, personClaims(claims, user))
}

// personClaims are what scopes and the claims parameter let an application
// know (OpenID Connect Core 1.0, Sections 5.4 and 5.5).
func personClaims(c token.Claims, user idp.User) map[string]any {
	out := map[string]any{"sub": c.Subject}
	may := func(scope, claim string) bool {
		return slices.Contains(c.Scopes, scope) || slices.Contains(c.Info, claim)
	}
	if may("profile", "name") {
		out["name"] = user.DisplayName
	}
	if may("profile", "preferred_username") {
		out["preferred_username"] = user.Name
	}
	if may("email", "email") {
		out["email"] = user.Name
	}
	return out
}

// bearerToken finds the access token in the header or in a form body, one of
// them (RFC 6750, Sections 2.1 and 2.2). In an address (2.3) it would end up
// in logs: such a request has no token for us.
func bearerToken(w http.ResponseWriter, r *http.Request) (string, error) {
	header, body := "", ""
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, value, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", noToken("authorization scheme %q", clip(scheme))
		}
		header = strings.TrimSpace(value)
	}
	if r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		v, err := web.Form(w, r)
		if err != nil {
			return "", err
		}
		body = v.Get("access_token")
	}
	switch {
	case header != "" && body != "":
		return "", badRequest("access_token", "The access token was sent in two ways. Use one.", "two tokens")
	case header == "" && body == "":
		return "", noToken("no token")
	case len(header)+len(body) > maxToken:
		return "", badToken(idp.Unprovenf("token_too_long", "token of %d bytes", len(header)+len(body)))
	}
	return header + body, nil
}

// noToken is a request without credentials: RFC 6750, Section 3.1 wants no
// error code in its challenge.
func noToken(format string, args ...any) error {
	return fault(idp.Unproven, "", codeNoSession, "no_token", "An access token is needed.", format, args...)
}

// badToken is the one answer to every token that is not good here.
func badToken(err error) error {
	if ours(err) {
		return err
	}
	return fault(idp.Unproven, "invalid_token", codeBadToken, "token_refused",
		"The access token is over, revoked, or not meant for this address.", "access token: %w", err)
}

// bearer adapts handlers that take an access token; errors are phrased by RFC
// 6750, Section 3.
func (s *Server) bearer(h web.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		web.Note(r, err, code(err))
		challenge := `Bearer realm="Signet"`
		status := web.Status(idp.AsError(err).Kind)
		if f := (*Fault)(nil); errors.As(err, &f) && f.Word != "" {
			challenge += `, error="` + f.Word + `", error_description="` + description(err, web.Trace(r.Context())) + `"`
		}
		if status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusBadRequest {
			w.Header().Set("WWW-Authenticate", challenge)
		}
		s.body(w, r, status, err)
	})
}
