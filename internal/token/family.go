package token

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// AADSTS numbers of this package (entra-behaviours §13).
const (
	codeRevoked = 50173
	codeOver    = 70008
)

// A refresh token is family (16) ‖ generation (4) ‖ MAC (32), base64url.
const refreshSize = 16 + 4 + 32

// family is a row: one grant and where its rotation stands.
type family struct {
	id         idp.FamilyID
	tenant     idp.TenantID
	user       idp.UserID
	session    idp.SessionID
	client     idp.ClientID
	scopes     []string
	audience   string
	info       []string
	acr        string
	amr        []string
	authTime   time.Time
	nonce      string
	generation int64
	rotated    time.Time
	expires    time.Time
	revoked    bool
}

// OpenFamily writes the grant of a redeemed code, in the transaction that burns
// the code. FirstRefresh gives its refresh token, after the commit.
func (s *Service) OpenFamily(ctx context.Context, tx *sqldb.Tx, sub Subject, codeID []byte) (idp.FamilyID, error) {
	now := s.cfg.Now()
	id := idp.FamilyID(secret.NewUUID7(now))
	info, err := json.Marshal(sub.Info)
	if err != nil {
		return "", err
	}
	amr, err := json.Marshal(sub.AMR)
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, `
		insert into refresh_family (id, tenant_id, user_id, session_id, client_id, code_id, scopes, audience, info,
			acr, amr, auth_time, nonce, generation, rotated_at, created_at, expires_at, revoked_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, $14, $15, $16, 0)`,
		id, sub.Tenant, sub.User.ID, sub.Session, sub.Client.ID, codeID, strings.Join(sub.Scopes, " "), sub.Audience, string(info),
		sub.ACR, string(amr), sub.AuthTime.UnixMilli(), sub.Nonce, now.UnixMilli(), now.UnixMilli(), now.Add(FamilyLives).UnixMilli())
	if err != nil {
		return "", fmt.Errorf("open family: %w", err)
	}
	return id, nil
}

// FirstRefresh is the refresh token of a family that was just opened. It may
// have to make the tenant's key, so it must not be called in a transaction.
func (s *Service) FirstRefresh(ctx context.Context, t idp.TenantID, id idp.FamilyID) (string, error) {
	return s.refreshToken(ctx, t, id, 1)
}

// refreshToken derives the token of a generation: nothing that is stored would
// give it to somebody who reads the database.
func (s *Service) refreshToken(ctx context.Context, t idp.TenantID, id idp.FamilyID, generation int64) (string, error) {
	key, err := s.cfg.Keys.Sealing(ctx, t, "refresh")
	if err != nil {
		return "", fmt.Errorf("refresh key: %w", err)
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(string(id), "-", ""))
	if err != nil || len(raw) != 16 {
		return "", fmt.Errorf("family id %q is no GUID", id)
	}
	out := make([]byte, 0, refreshSize)
	out = append(out, raw...)
	out = binary.BigEndian.AppendUint32(out, uint32(generation))
	var epoch [8]byte
	binary.BigEndian.PutUint64(epoch[:], uint64(s.cfg.Epoch()))
	familyKey := key.MAC([]byte("family"), raw, epoch[:])
	k, err := secret.NewKey(familyKey)
	if err != nil {
		return "", err
	}
	return encode(append(out, k.MAC(out[16:20])...)), nil
}

// readRefresh takes a presented token apart and checks its MAC.
func (s *Service) readRefresh(ctx context.Context, t idp.TenantID, presented string) (idp.FamilyID, int64, error) {
	unreadable := idp.Expiredf("refresh_unreadable", "refresh token of %d bytes", len(presented)).Coded(codeOver)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(presented)
	if err != nil || len(raw) != refreshSize {
		return "", 0, unreadable
	}
	h := hex.EncodeToString(raw[:16])
	id := idp.FamilyID(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
	generation := int64(binary.BigEndian.Uint32(raw[16:20]))
	want, err := s.refreshToken(ctx, t, id, generation)
	if err != nil {
		return "", 0, err
	}
	if !secret.Equal([]byte(want), []byte(presented)) {
		return "", 0, unreadable
	}
	return id, generation, nil
}

const familyColumns = `id, tenant_id, user_id, session_id, client_id, scopes, audience, info, acr, amr, auth_time, nonce,
	generation, rotated_at, expires_at, revoked_at`

func readFamily(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.FamilyID) (family, error) {
	var f family
	var scopes, info, amr string
	var authTime, rotated, expires, revoked int64
	err := q.QueryRow(ctx, `select `+familyColumns+` from refresh_family where tenant_id = $1 and id = $2`, t, id).
		Scan(&f.id, &f.tenant, &f.user, &f.session, &f.client, &scopes, &f.audience, &info, &f.acr, &amr, &authTime, &f.nonce,
			&f.generation, &rotated, &expires, &revoked)
	if err != nil {
		return f, fmt.Errorf("read family %s: %w", id, err)
	}
	if err := errors.Join(json.Unmarshal([]byte(info), &f.info), json.Unmarshal([]byte(amr), &f.amr)); err != nil {
		return f, fmt.Errorf("read family %s: %w", id, err)
	}
	f.scopes = strings.Fields(scopes)
	f.authTime, f.rotated, f.expires = time.UnixMilli(authTime), time.UnixMilli(rotated), time.UnixMilli(expires)
	f.revoked = revoked > 0
	return f, nil
}

// Refreshed is what a refresh token was turned into.
type Refreshed struct {
	Subject Subject
	Refresh string
}

// Refresh rotates a refresh token (decisions 1.6). Of many uses of one token
// within Overlap all get the same successor; a later one, or one of an older
// generation, revokes the family with an event. Every refusal is Expired.
func (s *Service) Refresh(ctx context.Context, presented string, c client.Client) (Refreshed, error) {
	id, generation, err := s.readRefresh(ctx, c.Tenant, presented)
	if err != nil {
		return Refreshed{}, err
	}
	f, err := s.usable(ctx, c, id)
	if err != nil {
		return Refreshed{}, err
	}
	user, err := s.cfg.User(ctx, s.cfg.DB, f.tenant, f.user)
	if errors.Is(err, idp.NotFound) || (err == nil && !user.Enabled) {
		return Refreshed{}, idp.Expiredf("user_disabled", "user %s", f.user).Coded(50057)
	}
	if err != nil {
		return Refreshed{}, err
	}
	if f.generation == generation {
		if f, err = s.advance(ctx, f); err != nil {
			return Refreshed{}, err
		}
	}
	if f.generation != generation+1 || s.cfg.Now().Sub(f.rotated) > Overlap {
		return Refreshed{}, s.reused(ctx, f, generation)
	}
	next, err := s.refreshToken(ctx, f.tenant, f.id, f.generation)
	if err != nil {
		return Refreshed{}, err
	}
	return Refreshed{Refresh: next, Subject: Subject{
		Tenant: f.tenant, User: user, Session: f.session, Family: f.id, Client: c, Scopes: f.scopes, Audience: f.audience,
		Info: f.info, AuthTime: f.authTime, ACR: f.acr, AMR: f.amr, Nonce: f.nonce,
	}}, nil
}

// usable reads the family and checks what does not change with rotation.
func (s *Service) usable(ctx context.Context, c client.Client, id idp.FamilyID) (family, error) {
	f, err := readFamily(ctx, s.cfg.DB, c.Tenant, id)
	switch {
	case errors.Is(err, idp.NotFound):
		return f, idp.Expiredf("refresh_unknown", "family %s", id).Coded(codeOver)
	case err != nil:
		return f, err
	case f.client != c.ID:
		return f, idp.Expiredf("refresh_other_client", "family of %s used by %s", f.client, c.ID).Coded(codeOver)
	case f.revoked:
		return f, idp.Expiredf("refresh_revoked", "family %s", id).Coded(codeRevoked)
	case !s.cfg.Now().Before(f.expires):
		return f, idp.Expiredf("refresh_over", "family %s", id).Coded(codeOver)
	}
	return f, nil
}

// advance moves the family on by one generation. When another was faster it
// gives what that one made of it.
func (s *Service) advance(ctx context.Context, f family) (family, error) {
	now := s.cfg.Now()
	n, err := s.cfg.DB.Exec(ctx, `
		update refresh_family set generation = generation + 1, rotated_at = $4
		where tenant_id = $1 and id = $2 and generation = $3 and revoked_at = 0`,
		f.tenant, f.id, f.generation, now.UnixMilli())
	if err != nil {
		return f, fmt.Errorf("rotate family %s: %w", f.id, err)
	}
	if n == 1 {
		f.generation, f.rotated = f.generation+1, now
		return f, nil
	}
	if f, err = readFamily(ctx, s.cfg.DB, f.tenant, f.id); err == nil && f.revoked {
		err = idp.Expiredf("refresh_revoked", "family %s", f.id).Coded(codeRevoked)
	}
	return f, err
}

// reused ends a family of which an old token turned up: either the thief or
// the owner holds a copy, and we cannot tell which (RFC 9700, Section 4.14.2).
func (s *Service) reused(ctx context.Context, f family, generation int64) error {
	err := s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n, err := revoke(ctx, tx, s.cfg.Now(), f.tenant, "id", string(f.id))
		if err != nil || n == 0 {
			return err
		}
		return s.cfg.Audit.Write(ctx, tx, audit.Event{
			Tenant: f.tenant, Category: "token", Activity: "token.refresh_reuse", Outcome: "failure",
			User: f.user, Client: f.client, Session: f.session, Reason: "refresh_reuse", Code: codeRevoked,
			Detail: map[string]string{"family": string(f.id), "generation": fmt.Sprint(generation), "current": fmt.Sprint(f.generation)},
		})
	})
	if err != nil {
		return fmt.Errorf("revoke family %s: %w", f.id, err)
	}
	return idp.Expiredf("refresh_reuse", "generation %d of family %s, current is %d", generation, f.id, f.generation).Coded(codeRevoked)
}

// revoke ends families; column is one of ours, never input.
func revoke(ctx context.Context, tx *sqldb.Tx, now time.Time, t idp.TenantID, column string, value any) (int64, error) {
	return tx.Exec(ctx, `update refresh_family set revoked_at = $3 where tenant_id = $1 and `+column+` = $2 and revoked_at = 0`,
		t, value, now.UnixMilli())
}

// RevokeByCode ends what a code was turned into, when the code turns up again.
func (s *Service) RevokeByCode(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, codeID []byte) error {
	_, err := revoke(ctx, tx, s.cfg.Now(), t, "code_id", codeID)
	return err
}

// RevokeSession ends all families that stand on a session.
func (s *Service) RevokeSession(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.SessionID) error {
	_, err := revoke(ctx, tx, s.cfg.Now(), t, "session_id", id)
	return err
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
		p.family, _, err = s.readRefresh(ctx, c.Tenant, presented)
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

// Jobs forgets families that have ended, a week after.
func (s *Service) Jobs() []job.Job {
	return []job.Job{{Name: "token.sweep", Every: time.Hour, Run: func(ctx context.Context, now time.Time) error {
		const batch = 2000
		for {
			n, err := s.cfg.DB.Exec(ctx, `
				delete from refresh_family where id in (
					select id from refresh_family where expires_at < $1 order by expires_at limit $2)`,
				now.Add(-7*24*time.Hour).UnixMilli(), batch)
			if err != nil || n < batch {
				return err
			}
		}
	}}}
}
