package token

import (
	"context"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// RevokeGrant ends all families that one person's consent gave to one
// application, in the transaction that takes the consent back.
func (s *Service) RevokeGrant(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, c idp.ClientID) error {
	_, err := tx.Exec(ctx, `
		update refresh_family set revoked_at = $4
		where tenant_id = $1 and user_id = $2 and client_id = $3 and revoked_at = 0`, t, u, c, s.cfg.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("revoke what %s has of %s: %w", c, u, err)
	}
	return nil
}
