package oidc

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
)

// clientCredentials is grant_type=client_credentials (RFC 6749, Section 4.4):
// a token for the application itself. No person, no session, no refresh token,
// and nothing is written.
func (s *Server) clientCredentials(r *http.Request, x exchange) (tokenReply, error) {
	if x.client.Auth == "none" {
		return tokenReply{}, fault(idp.Denied, "unauthorized_client", codeGrantNotAllowed, "public_client_credentials",
			"A public application cannot have tokens of its own.", "client %s", x.client.ID)
	}
	g, err := ownScopes(x.params.get("scope"), x.params.get("resource"), x.client)
	if err != nil {
		return tokenReply{}, err
	}
	access, lives, err := s.cfg.Tokens.ClientAccess(r.Context(), x.client, g.Audience, g.Scopes)
	if err != nil {
		return tokenReply{}, err
	}
	return tokenReply{AccessToken: access, ExpiresIn: int64(lives.Seconds()), Scope: joined(g.Scopes)}, nil
}

// ownScopes judges what an application asks for itself. The scopes of OpenID
// Connect speak of a person and are refused; without scope it gets all that it
// is registered for at one resource: the one that it names, else its own API.
func ownScopes(scope, resource string, c client.Client) (grant, error) {
	if scope == "" {
		var g grant
		if err := g.settle(cmp.Or(resource, string(c.ID)), c, ""); err != nil {
			return g, err
		}
		for _, reg := range c.Scopes {
			if resourceOf(reg, c) == g.Audience && !slices.Contains(openidScopes, reg) {
				g.Scopes = append(g.Scopes, reg)
			}
		}
		return g, nil
	}
	for _, w := range words(scope) {
		if slices.Contains(openidScopes, w) || slices.Contains(emptyScopes, w) {
			return grant{}, fault(idp.Invalid, "invalid_scope", codeBadScope, "personal_scope",
				"The scope "+w+" speaks of a person; there is none in this grant.", "scope %s", w)
		}
	}
	return askScopes(scope, resource, c, "")
}
