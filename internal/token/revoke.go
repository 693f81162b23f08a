package token

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// revoke ends families; column is one of ours, never input.
func revoke(ctx context.Context, tx *sqldb.Tx, now time.Time, t idp.TenantID, column string, value any) (int64, error) {
	return tx.Exec(ctx, `update refresh_family set revoked_at = $3 where tenant_id = $1 and `+column+` = $2 and revoked_at = 0`,
		t, value, now.UnixMilli())
}

// RevokeByCode ends what a code was turned into, when the code turns up again,
// and says whether there was something to end.
func (s *Service) RevokeByCode(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, code CodeID) (bool, error) {
	n, err := revoke(ctx, tx, s.cfg.Now(), t, "id", code.family())
	return n > 0, err
}

// RevokeSession ends all families that stand on a session of the person, or on
// a primary refresh token of that id.
func (s *Service) RevokeSession(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.SessionID) error {
	_, err := tx.Exec(ctx, `
		update refresh_family set revoked_at = $4
		where tenant_id = $1 and user_id = $2 and (session_id = $3 or stands_on = $3) and revoked_at = 0`,
		t, u, id, s.cfg.Now().UnixMilli())
	return err
}

// RevokeDevice ends all families that belong to a device which is switched off:
// they do not come back when it is switched on again. It fits device.OnDisable.
func (s *Service) RevokeDevice(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID) error {
	// device_id <> '' is what the index is about.
	_, err := tx.Exec(ctx, `
		update refresh_family set revoked_at = $3
		where tenant_id = $1 and device_id = $2 and device_id <> '' and revoked_at = 0`, t, d, s.cfg.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("revoke what belongs to device %s: %w", d, err)
	}
	return nil
}

// RevokeUser ends all families of a person.
func (s *Service) RevokeUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	_, err := revoke(ctx, tx, s.cfg.Now(), t, "user_id", u)
	return err
}

// RevokeClient ends all families of an application.
func (s *Service) RevokeClient(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, c idp.ClientID) error {
	_, err := revoke(ctx, tx, s.cfg.Now(), t, "client_id", c)
	return err
}

// Presented is a token that a client asks to end: read and verified, so that
// End needs nothing but its transaction. The zero Presented ends nothing.
type Presented struct {
	svc    *Service
	client client.Client
	family idp.FamilyID
	access Claims
}

// Present reads what a client sends to the revocation endpoint (RFC 7009). What
// is not the client's own, or no token at all, gives a Presented that ends
// nothing: the endpoint passes over it in silence (Section 2.2).
func (s *Service) Present(ctx context.Context, presented string, c client.Client) (Presented, error) {
	p := Presented{svc: s, client: c}
	var err error
	if strings.Count(presented, ".") == 2 {
		if p.access, err = s.VerifyAccess(ctx, c.Tenant, presented); err == nil && p.access.Client != c.ID {
			p.access = Claims{}
		}
	} else {
		var r claimed
		r, err = s.readRefresh(ctx, c.Tenant, presented)
		p.family = r.family
	}
	if isOurs(err) {
		return Presented{}, err
	}
	if err != nil {
		return Presented{}, nil
	}
	return p, nil
}

// End revokes a refresh token with its whole family, an access token alone. It
// says whether something ended.
func (p Presented) End(ctx context.Context, tx *sqldb.Tx) (bool, error) {
	switch {
	case p.access.ID != "":
		return true, p.svc.RevokeAccess(ctx, tx, p.access)
	case p.family != "":
		n, err := tx.Exec(ctx, `
			update refresh_family set revoked_at = $4
			where tenant_id = $1 and id = $2 and client_id = $3 and revoked_at = 0`,
			p.client.Tenant, p.family, p.client.ID, p.svc.cfg.Now().UnixMilli())
		return n > 0, err
	}
	return false, nil
}

// isOurs says whether an error is our fault rather than the token's.
func isOurs(err error) bool {
	if err == nil {
		return false
	}
	k := idp.AsError(err).Kind
	return k == idp.Internal || k == idp.Unavailable
}

// Jobs forgets families that have ended, a week after. All live equally long
// and their ids are times, so the oldest are the first.
func (s *Service) Jobs() []job.Job {
	return []job.Job{{Name: "token.sweep", Every: time.Hour, Forgets: true, Run: func(ctx context.Context, now time.Time) error {
		const batch = 2000
		for {
			n, err := s.cfg.DB.Exec(ctx, `
				delete from refresh_family where id in (
					select id from refresh_family where id < $1 order by id limit $2)`,
				secret.FirstUUID7(now.Add(-FamilyLives-7*24*time.Hour)), batch)
			if err != nil || n < batch {
				return err
			}
		}
	}}}
}
