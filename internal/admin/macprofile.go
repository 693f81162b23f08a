package admin

import (
	"context"

	"github.com/signetid/signet/internal/macprofile"
)

// MacProfileAsk says what is to be in a profile for Macs besides what the tenant
// has set.
type MacProfileAsk struct {
	Method macprofile.Method // empty: the tenant's
	Token  string            // registration token, or the name of an MDM's variable; may be empty
	Direct bool              // Macs fetch the association file from this server itself
}

type macProfileParams struct {
	inTenant
	Method macprofile.Method `json:"method"`
	Token  string            `json:"token"`
	Direct bool              `json:"direct"`
}

// macProfileView is a profile, and what people should know who deploy it.
type macProfileView struct {
	Profile string            `json:"profile"` // XML
	Lines   []macprofile.Line `json:"lines"`
}

// macProfile makes a profile for the Macs of the tenant. Nothing is stored: a
// token that is put into it was made before.
func macProfile(ctx context.Context, c *call, p macProfileParams) (any, error) {
	if c.MacProfile == nil {
		return nil, missing("Macs")
	}
	profile, err := c.MacProfile(ctx, c.tenant.ID, MacProfileAsk{Method: p.Method, Token: p.Token, Direct: p.Direct})
	if err != nil {
		return nil, err
	}
	lines, err := macprofile.Explain(profile)
	if err != nil {
		return nil, err
	}
	return macProfileView{string(profile), lines}, nil
}
