package oidc

import (
	"net/http"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/token"
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
	// Judged before the rotation: a request that asks for too much must not
	// cost its client the grant.
	var scopes []string
	got, err := s.cfg.Tokens.Refresh(ctx, presented, x.client, token.Presenter{IP: x.ip, Agent: x.agent, Trace: x.trace}, func(sub token.Subject) (err error) {
		if res := x.params.get("resource"); res != "" && res != sub.Audience {
			return otherResource(res)
		}
		if sub, err = s.presently(ctx, x.tenant, sub); err != nil {
			return err
		}
		scopes, err = narrow(sub.Scopes, x.params.get("scope"))
		return err
	})
	if err != nil {
		return tokenReply{}, err
	}
	sub := got.Subject
	sub.Scopes = scopes
	out, err := s.reply(ctx, sub, got.Refresh)
	// The successor goes out even when the narrowed scope leaves
	// offline_access out: the grant itself still has it.
	out.RefreshToken = got.Refresh
	return out, err
}

func joined(scopes []string) string {
	return strings.Join(slices.Compact(slices.Clone(scopes)), " ")
}
