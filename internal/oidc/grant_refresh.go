package oidc

import (
	"net/http"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// refresh is grant_type=refresh_token (RFC 6749, Section 6). The token service
// rotates and judges reuse (decisions 1.6); here scope and audience are only
// ever narrowed.
func (s *Server) refresh(r *http.Request, x exchange) (tokenReply, error) {
	ctx := r.Context()
	presented := x.params.get("refresh_token")
	if presented == "" {
		return tokenReply{}, missing("refresh_token")
	}
	if len(presented) > maxToken {
		return tokenReply{}, fault(idp.Expired, "invalid_grant", codeGrantExpired, "refresh_unreadable",
			"The refresh token is over, or was not given out here.", "refresh token of %d bytes", len(presented))
	}
	got, err := s.cfg.Tokens.Refresh(ctx, presented, x.client)
	if err != nil {
		return tokenReply{}, err
	}
	sub := got.Subject
	if sub.Scopes, err = narrow(sub.Scopes, x.params.get("scope")); err != nil {
		return tokenReply{}, err
	}
	if res := x.params.get("resource"); res != "" && res != sub.Audience {
		return tokenReply{}, otherResource(res)
	}
	out, err := s.reply(ctx, sub, got.Refresh)
	// The successor goes out even when the narrowed scope leaves
	// offline_access out: the grant itself still has it.
	out.RefreshToken = got.Refresh
	return out, err
}

func joined(scopes []string) string {
	return strings.Join(slices.Compact(slices.Clone(scopes)), " ")
}
