package oidc

import (
	"net/http"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// introspection is the reply of RFC 7662, Section 2.2. Of an inactive token it
// says nothing else.
type introspection struct {
	Active    bool         `json:"active"`
	TokenType string       `json:"token_type,omitempty"`
	Scope     string       `json:"scope,omitempty"`
	ClientID  idp.ClientID `json:"client_id,omitempty"`
	Subject   string       `json:"sub,omitempty"`
	Audience  string       `json:"aud,omitempty"`
	Issuer    string       `json:"iss,omitempty"`
	Expires   int64        `json:"exp,omitempty"`
	Issued    int64        `json:"iat,omitempty"`
	ID        string       `json:"jti,omitempty"`
	Tenant    idp.TenantID `json:"tid,omitempty"`
	ACR       string       `json:"acr,omitempty"`
	AuthTime  int64        `json:"auth_time,omitempty"`
}

// introspect tells an application about its own tokens: those given to it and
// those meant for its API. Every other token is inactive to it, so that the
// answer says nothing about foreign ones (RFC 7662, Section 4; security.md
// OAU15).
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) (err error) {
	x, err := s.tokenRequest(w, r)
	defer func() { err = s.failed(r.Context(), x, err) }()
	if err != nil {
		return err
	}
	if x.client.Auth == "none" {
		// Section 2.1: the endpoint needs authorization, and naming oneself
		// is none.
		return fault(idp.Unproven, "invalid_client", codeNoClientAuth, "public_introspection",
			"Introspection needs a client that can authenticate.", "client %s is public", x.client.ID)
	}
	return s.describe(w, r, x)
}

func (s *Server) describe(w http.ResponseWriter, r *http.Request, x exchange) error {
	claims, err := s.cfg.Tokens.VerifyAccess(r.Context(), x.tenant.ID, x.params.get("token"))
	if ours(err) {
		return err
	}
	if err != nil || claims.Client != x.client.ID && claims.Audience != string(x.client.ID) {
		return web.JSON(w, http.StatusOK, introspection{})
	}
	return web.JSON(w, http.StatusOK, described(claims))
}

func described(c token.Claims) introspection {
	out := introspection{
		Active: true, TokenType: "Bearer", Scope: joined(c.Scopes), ClientID: c.Client, Subject: c.Subject,
		Audience: c.Audience, Issuer: c.Issuer, Expires: c.Expires.Unix(), Issued: c.Issued.Unix(), ID: c.ID,
		Tenant: c.Tenant, ACR: c.ACR,
	}
	if !c.AuthTime.IsZero() {
		out.AuthTime = c.AuthTime.Unix()
	}
	return out
}

// tokenRequest reads a request of the introspection and revocation endpoints.
func (s *Server) tokenRequest(w http.ResponseWriter, r *http.Request) (exchange, error) {
	v, err := web.Form(w, r)
	if err != nil {
		return exchange{ip: web.ClientIP(r)}, err
	}
	x, err := s.authenticated(r, params(v))
	if err != nil {
		return x, err
	}
	switch presented := x.params.get("token"); {
	case presented == "":
		return x, missing("token")
	case len(presented) > maxToken:
		return x, badRequest("token", "The token is too long.", "token of %d bytes", len(presented))
	}
	return x, nil
}
