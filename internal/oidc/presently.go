package oidc

import (
	"context"
	"slices"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/token"
)

// presently judges a grant by what holds now: the policy and the registration
// may have changed since the person signed in, and count whenever tokens are
// issued (security.md POL01, POL02). It gives the grant with what is left of
// its scopes. Policy and registration are snapshots in memory: this asks the
// database nothing, but for the groups of the person where a policy names some.
func (s *Server) presently(ctx context.Context, t tenant, sub token.Subject) (token.Subject, error) {
	p, err := s.cfg.Policies.Get(ctx, t.ID)
	if err != nil {
		return sub, err
	}
	sub.CodeToHello = p.Devices.Compat.DeviceCodeToHello
	if token.Remote(sub.Basis) {
		sub.Code = token.ByDeviceCode
	}
	if _, err := s.decided(ctx, t, sub); err != nil {
		return sub, err
	}
	if purposeOf(sub) == policy.Enlist && onPass(sub) {
		sub.Code = token.ByAccessPass
	}
	if sub.Audience != t.Issuer && !slices.Contains(resourcesOf(sub.Client), sub.Audience) {
		return sub, fault(idp.Denied, "invalid_grant", codeBadResource, "resource_gone",
			"The application is no longer registered for this resource.", "resource %q of client %s", sub.Audience, sub.Client.ID)
	}
	sub.Scopes = slices.DeleteFunc(slices.Clone(sub.Scopes), func(one string) bool {
		return !slices.Contains(openidScopes, one) && !slices.Contains(sub.Client.Scopes, one)
	})
	return sub, nil
}

// purposeOf says what a grant is for: a pass leads to the registration of
// devices by a built-in application, and to nothing else (decisions 2.8, ADR
// 0021).
func purposeOf(sub token.Subject) policy.Purpose {
	if sub.Code == "" && enlists(sub.Client, sub.Audience) {
		return policy.Enlist
	}
	return policy.SignIn
}

// enlists says whether a grant leads to the registration of devices and to
// nothing else.
func enlists(c client.Client, audience string) bool {
	return c.BuiltIn && audience == token.RegistrationAudience
}

// decided is what policy says of the proofs of a grant. How fresh they had to be
// was asked of the sign-in: a grant outlives that by its nature. A no is Denied.
func (s *Server) decided(ctx context.Context, t tenant, sub token.Subject) (policy.Decision, error) {
	p, who, err := s.cfg.Policies.For(ctx, t.ID, sub.User)
	if err != nil {
		return policy.Decision{}, err
	}
	d := policy.Decide(p, policy.Question{
		User: sub.User, Groups: who.Groups, App: sub.Client.ID, Proofs: s.cfg.Policies.Present(sub.Proofs()),
		ACR: demanded(p, sub.Client, sub.Asked), Required: sub.Client.ACR, MaxAge: -1, Purpose: purposeOf(sub), Now: s.cfg.Now(),
	})
	if d.Outcome != policy.Allow {
		err = fault(idp.Denied, "invalid_grant", d.Code, d.Reason,
			"The sign-in behind this is no longer enough. Sign in again.", "rule %s: %s", d.Rule, d.Outcome)
	}
	return d, err
}
