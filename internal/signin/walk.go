package signin

import (
	"context"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
)

// Walk shows every credential of a tenant as policy sees it, in no order that
// is worth anything: to count what is in use. Passes are left out. It ends
// with the error of ctx or of fn.
func (c *Corridor) Walk(ctx context.Context, tenant idp.TenantID, fn func(idp.UserID, policy.Held) error) error {
	for _, r := range c.rooms {
		if r.manager == nil {
			continue
		}
		err := r.manager.Walk(ctx, tenant, func(cred method.Credential) error {
			if cred.Bootstrap {
				return ctx.Err()
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			return fn(cred.User, held(cred))
		})
		if err != nil {
			return fmt.Errorf("credentials of %s: %w", r.ID(), err)
		}
	}
	return nil
}
