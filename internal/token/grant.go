package token

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

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

// RevokeStanding ends all families of a person that stand on a credential which
// is going away (security.md SES03), also those whose session is over.
func (s *Service) RevokeStanding(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, m idp.MethodID, c idp.CredentialID) error {
	ids, err := s.standing(ctx, tx, t, u, m, c)
	if err != nil {
		return fmt.Errorf("families that stand on %s: %w", c, err)
	}
	for _, id := range ids {
		if _, err := revoke(ctx, tx, s.cfg.Now(), t, "id", id); err != nil {
			return fmt.Errorf("revoke family %s: %w", id, err)
		}
	}
	return nil
}

func (s *Service) standing(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, m idp.MethodID, c idp.CredentialID) ([]idp.FamilyID, error) {
	rows, err := tx.Query(ctx, `
		select id, granted from refresh_family
		where tenant_id = $1 and user_id = $2 and revoked_at = 0 and expires_at > $3`, t, u, s.cfg.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []idp.FamilyID
	for rows.Next() {
		var id idp.FamilyID
		var granted []byte
		if err := rows.Scan(&id, &granted); err != nil {
			return nil, err
		}
		var g grant
		if err := json.Unmarshal(granted, &g); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(g.Basis, func(b Basis) bool { return b.Method == m && b.Credential == c }) {
			out = append(out, id)
		}
	}
	return out, rows.Err()
}
