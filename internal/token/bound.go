package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// cameBy asks whether what a grant came by still stands.
func (s *Service) cameBy(ctx context.Context, q sqldb.Querier, f family) error {
	if f.prt == "" && f.device == "" {
		return nil
	}
	if s.cfg.Stands == nil {
		return idp.Expiredf("refresh_device", "family %s is bound to device %q", f.id, f.device).Coded(codeRevoked)
	}
	return s.cfg.Stands(ctx, q, f.tenant, f.prt, f.device)
}

// ClientOf says whose refresh token this is, for a message that does not say so
// itself. Nothing else of the grant is judged: Refresh does. Errors are those
// of Refresh.
func (s *Service) ClientOf(ctx context.Context, t idp.TenantID, presented string) (idp.ClientID, error) {
	p, err := s.readRefresh(ctx, t, presented)
	if err != nil {
		return "", err
	}
	f, err := readFamily(ctx, s.cfg.DB, t, p.family)
	if errors.Is(err, idp.NotFound) {
		return "", idp.Expiredf("refresh_unknown", "family %s", p.family).Coded(codeOver)
	}
	return f.client, err
}

// Bind binds the grant of a built-in application to the primary refresh token
// that was issued for it, and its device: from then on it lives as long, and
// speaks for no other device (decisions 4.3). Whoever comes second with an
// unbound grant, or for another device than it has, gets Expired
// "refresh_bound", on whatever node.
func (s *Service) Bind(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.FamilyID, prt idp.SessionID, device idp.DeviceID, until time.Time) error {
	n, err := tx.Exec(ctx, `
		update refresh_family set session_id = $3, stands_on = $3, device_id = $4, expires_at = $5
		where tenant_id = $1 and id = $2 and stands_on = '' and (device_id = '' or device_id = $4) and revoked_at = 0`,
		t, id, prt, device, until.UnixMilli())
	if err != nil {
		return fmt.Errorf("bind family %s: %w", id, err)
	}
	if n == 0 {
		return idp.Expiredf("refresh_bound", "family %s is bound or over", id).Coded(codeRevoked)
	}
	return nil
}

// BindDevice binds the grant of an access pass to the device that it joins: its
// token speaks for that device from then on, and for no other. Whoever comes
// second, on whatever node, or after the grant has ended, gets Expired
// "grant_used".
func (s *Service) BindDevice(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.FamilyID, device idp.DeviceID) error {
	n, err := tx.Exec(ctx, `
		update refresh_family set device_id = $3
		where tenant_id = $1 and id = $2 and device_id = '' and revoked_at = 0 and expires_at > $4`,
		t, id, device, s.cfg.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("bind family %s: %w", id, err)
	}
	if n == 0 {
		return idp.Expiredf("grant_used", "family %s is bound or over", id)
	}
	return nil
}

// Finish ends a grant with what it was for, the errors being as those of
// BindDevice.
func (s *Service) Finish(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.FamilyID) error {
	now := s.cfg.Now().UnixMilli()
	n, err := tx.Exec(ctx, `
		update refresh_family set revoked_at = $3
		where tenant_id = $1 and id = $2 and revoked_at = 0 and expires_at > $3`, t, id, now)
	if err != nil {
		return fmt.Errorf("finish family %s: %w", id, err)
	}
	if n == 0 {
		return idp.Expiredf("grant_used", "family %s is over", id)
	}
	return nil
}
