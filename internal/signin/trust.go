package signin

import (
	"context"
	"slices"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// CheckTrust refuses to take trust from a certificate authority when no
// administrator would have a way in after it, and one has by a certificate:
// idp.Denied "locks_out_administrators" (security.md POL07). It is for
// trust.OnWithdraw.
func (c *Corridor) CheckTrust(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID) error {
	admins, err := c.directory.Administrators(ctx, tx, tenant)
	if err != nil {
		return err
	}
	had := false
	for _, a := range admins {
		left, err := c.ways(ctx, tx, tenant, a)
		if err != nil || left > 0 {
			return err
		}
		// As it was before: what is changing is not committed.
		all, err := c.Credentials(ctx, tenant, a)
		if err != nil {
			return err
		}
		had = had || slices.ContainsFunc(all, func(k method.Credential) bool { return k.Method == policy.Certificate && k.Usable() })
	}
	if !had {
		return nil
	}
	return idp.Deniedf("locks_out_administrators", "none of %d administrators would have a way in without that authority", len(admins)).
		Say("No administrator would have a way in after this. Register another method for one first.")
}
