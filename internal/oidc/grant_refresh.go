package oidc

import (
	"context"
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
		return tokenReply{}, whatToDo(fault(idp.Expired, "invalid_grant", codeGrantOther, "refresh_unreadable",
			"The refresh token was not given out here.", "refresh token of %d bytes", len(presented)))
	}
	// Judged before the rotation: a request that asks for too much must not
	// cost its client the grant.
	var is token.Subject
	asked, err := x.claims()
	if err != nil {
		return tokenReply{}, err
	}
	got, err := s.cfg.Tokens.Refresh(ctx, presented, x.client, token.Presenter{IP: x.ip, Agent: x.agent, Trace: x.trace}, func(sub token.Subject) (err error) {
		if is, err = s.narrowed(ctx, x, sub); err != nil {
			return err
		}
		is.Capabilities = asked.Access.Capabilities
		if err := notBefore(is, x.params.get("claims"), asked); err != nil {
			return err
		}
		return unbound(is)
	})
	if err != nil {
		return tokenReply{}, whatToDo(err)
	}
	out, err := s.reply(ctx, x, is, got.Refresh)
	// The successor goes out even when the narrowed scope leaves
	// offline_access out: the grant itself still has it.
	out.RefreshToken = got.Refresh
	return out, err
}

// subs say for the numbers of a refused refresh token what a client can do: get
// another, sign the person in again, join again (device-protocol.md §3.2).
var subs = map[int]string{
	codeGrantOther: "bad_token", codeBadToken: "bad_token", codeGrantExpired: "token_expired",
	codeDeviceGone: "device_authentication_failed", codeDeviceOff: "device_authentication_failed",
}

// The numbers of a device that is not there any more, or switched off; who gives
// them is told of by token.Config.Stands.
const (
	codeDeviceGone = 50155
	codeDeviceOff  = 135011
)

// whatToDo adds to a refusal of a refresh token what its number means to
// clients.
func whatToDo(err error) error {
	e := idp.AsError(err)
	if _, known := asFault(err); e.Kind != idp.Expired || subs[e.Code] == "" || known && e.Reason != "refresh_unreadable" {
		return err
	}
	return &Fault{Word: word(err, false), Sub: subs[e.Code], Cause: e}
}

// claims are what a token request asks for by the parameter of that name: a
// client that answers a challenge of a resource, or says what it understands
// (decisions 3.4).
func (x exchange) claims() (claimsRequest, error) {
	if !x.params.has("claims") {
		return claimsRequest{}, nil
	}
	return parseClaimsParameter(x.params.get("claims"))
}

// narrowed is the grant as the request wants it, judged by what holds now. A
// built-in application may have any of its resources by one refresh token
// (device-protocol.md §1.4); others only what was granted, or less.
func (s *Server) narrowed(ctx context.Context, x exchange, sub token.Subject) (token.Subject, error) {
	if x.client.BuiltIn && namesResource(x.params) {
		g, err := askBuiltIn(x.params.get("scope"), x.params.get("resource"), x.client, x.tenant.Issuer)
		if err != nil {
			return sub, err
		}
		sub.Scopes, sub.Audience = g.Scopes, g.Audience
		return s.presently(ctx, x.tenant, sub)
	}
	if res := x.params.get("resource"); !sameResource(res, sub.Audience, x.client) {
		return sub, otherResource(res)
	}
	sub, err := s.presently(ctx, x.tenant, sub)
	if err != nil {
		return sub, err
	}
	sub.Scopes, err = narrow(sub.Scopes, x.params.get("scope"))
	return sub, err
}

func joined(scopes []string) string {
	return strings.Join(slices.Compact(slices.Clone(scopes)), " ")
}
