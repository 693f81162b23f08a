package oidc

import (
	"context"
	"slices"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// strengths keeps of the requested acr values those that the tenant has, and
// settles what is demanded. acr_values are a wish (OpenID Connect Core 1.0,
// Section 3.1.2.1): unknown ones are overlooked. An essential acr that nobody
// can meet is an error of its own.
func (s *Server) strengths(ctx context.Context, t tenant, c client.Client, q *request) error {
	p, err := s.cfg.Policies.Get(ctx, t.ID)
	if err != nil {
		return err
	}
	if len(q.ACR) > 0 {
		q.ACR = slices.DeleteFunc(slices.Clone(q.ACR), func(a string) bool {
			_, known := p.Strength(a)
			return !known
		})
		if len(q.ACR) == 0 && q.EssentialACR {
			return fault(idp.Denied, "unmet_authentication_requirements", codeStrength, "acr_unknown",
				"The strength that is asked for as essential does not exist here.", "no known acr")
		}
	}
	q.Demanded = demanded(&p, c, q.ACR)
	s.demandFresh(p, q)
	return nil
}

// demanded lists the strengths any one of which will do. What an administrator
// set for the application is the least: a request is an address that anybody
// can write, and may ask for more, never for less (security.md T11). Asked
// values that do not imply the floor count for nothing.
func demanded(p *policy.Policy, c client.Client, asked []string) []string {
	if c.ACR == "" {
		return asked
	}
	floor, known := p.Strength(c.ACR)
	enough := slices.DeleteFunc(slices.Clone(asked), func(a string) bool {
		s, ok := p.Strength(a)
		return !known || !ok || !policy.Implies(s, floor)
	})
	if len(enough) == 0 {
		return []string{c.ACR}
	}
	return enough
}

// statedACR is the acr that tokens carry: the truth about the proofs, in the
// words of the request. What is hardware-bound is phishing-resistant too, and a
// request for phr must get phr (OpenID Connect Core 1.0, Section 5.5.1.1).
func statedACR(proven string, asked []string) string {
	if proven == policy.ACRHardwareBound && !slices.Contains(asked, proven) && slices.Contains(asked, policy.ACRPhishingResistant) {
		return policy.ACRPhishingResistant
	}
	return proven
}
