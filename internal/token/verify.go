package token

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/sqldb"
)

// Claims are what a verified token of ours says.
type Claims struct {
	ID       string // jti
	Issuer   string
	Subject  string // as the application sees it
	Audience string
	Tenant   idp.TenantID
	User     idp.UserID // empty for an application's own token
	Client   idp.ClientID
	Session  idp.SessionID // of a hint: as the application sees it
	Family   idp.FamilyID
	Scopes   []string
	Roles    []string
	Info     []string
	ACR      string
	AMR      []string
	AuthTime time.Time
	Issued   time.Time
	Expires  time.Time
	Device   idp.DeviceID // the machine that the grant is bound to; empty: none
	Code     string       // how the grant was asked for: Subject.Code
}

// VerifyAccess verifies an access token of the tenant and that what it stands
// on still stands: its family is not revoked, the token itself neither. Errors
// are Unproven, or Expired for one that ran out or was revoked.
func (s *Service) VerifyAccess(ctx context.Context, t idp.TenantID, jwt string) (Claims, error) {
	var c accessClaims
	if err := s.verify(ctx, t, jwt, typAccess, &c, s.cfg.Keys.Public); err != nil {
		return Claims{}, err
	}
	if err := s.inTime(c.From, c.Expires); err != nil {
		return Claims{}, err
	}
	if c.Issuer != s.cfg.Issuer(t) || c.Tenant != t {
		return Claims{}, idp.Unprovenf("wrong_issuer", "issuer %q", c.Issuer)
	}
	// The epoch is the Unix time of the last restore: that a token of before
	// was revoked may be forgotten (decisions 1.7).
	if c.Issued < s.cfg.Epoch() {
		return Claims{}, idp.Expiredf("token_of_old_epoch", "issued at %d, epoch %d", c.Issued, s.cfg.Epoch())
	}
	out := Claims{
		ID: c.ID, Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience, Tenant: t, Client: c.Client,
		Session: idp.SessionID(c.Session), Family: c.Family, Scopes: strings.Fields(c.Scope), Roles: c.Roles,
		ACR: c.ACR, AMR: c.AMR, Device: c.Device,
		Issued: time.Unix(c.Issued, 0), Expires: time.Unix(c.Expires, 0),
	}
	if c.AuthTime > 0 {
		out.AuthTime = time.Unix(c.AuthTime, 0)
	}
	return out, s.stands(ctx, &out)
}

// stands checks revocation and fills in person and session, whom a pairwise
// token does not name.
func (s *Service) stands(ctx context.Context, c *Claims) error {
	gone, err := nonce.Spent(ctx, s.cfg.DB, revokedMark(*c))
	if err != nil {
		return err
	}
	if gone {
		return idp.Expiredf("token_revoked", "access token %s", c.ID)
	}
	if c.Family == "" {
		return nil
	}
	f, err := readFamily(ctx, s.cfg.DB, c.Tenant, c.Family)
	if errors.Is(err, idp.NotFound) || (err == nil && f.revoked) {
		return idp.Expiredf("token_revoked", "family %s", c.Family)
	}
	if err != nil {
		return err
	}
	c.User, c.Session, c.Info, c.Code = f.user, f.session, f.grant.Info, f.grant.Code
	if c.Code == ByAccessPass {
		if !s.cfg.Now().Before(f.expires) {
			return idp.Expiredf("pass_over", "family %s", c.Family)
		}
		c.Device = f.device // that it has joined since, see BindDevice
	}
	return s.cameBy(ctx, s.cfg.DB, f)
}

// revokedMark is the entry of the spent set that says an access token was
// revoked alone.
func revokedMark(c Claims) nonce.Sealed {
	id, _ := hex.DecodeString(strings.ReplaceAll(c.ID, "-", ""))
	return nonce.Sealed{Tenant: c.Tenant, Purpose: "access-revoked", ID: id, Expires: c.Expires}
}

// VerifyHint verifies an ID token that comes back as id_token_hint. One that
// ran out is accepted: it is a hint of who it was (OpenID Connect
// RP-Initiated Logout 1.0, Section 2).
func (s *Service) VerifyHint(ctx context.Context, t idp.TenantID, jwt string) (Claims, error) {
	var c idClaims
	if err := s.verify(ctx, t, jwt, typID, &c, s.cfg.Keys.ForHint); err != nil {
		return Claims{}, err
	}
	if c.Issuer != s.cfg.Issuer(t) || c.Tenant != t {
		return Claims{}, idp.Unprovenf("wrong_issuer", "issuer %q", c.Issuer)
	}
	return Claims{
		Issuer: c.Issuer, Subject: c.Subject, Audience: string(c.Audience), Tenant: t, User: c.Object,
		Client: c.Audience, Session: idp.SessionID(c.Session), ACR: c.ACR, AMR: c.AMR,
		AuthTime: time.Unix(c.AuthTime, 0), Issued: time.Unix(c.Issued, 0), Expires: time.Unix(c.Expires, 0),
	}, nil
}

// VerifyAdministration verifies a token of Administration. It names its tenant
// itself; nothing but which key to verify by depends on that claim until it
// is verified. Errors are those of VerifyAccess.
func (s *Service) VerifyAdministration(ctx context.Context, jwt string) (Claims, error) {
	t, ok := ClaimedTenant(jwt)
	if !ok {
		return Claims{}, idp.Unprovenf("token_malformed", "no tenant in the token")
	}
	c, err := s.VerifyAccess(ctx, t, jwt)
	if err != nil {
		return Claims{}, err
	}
	if c.Audience != AdministrationAudience {
		return Claims{}, idp.Unprovenf("token_audience", "audience %.60q", c.Audience)
	}
	return c, nil
}

// ClaimedTenant reads whose token a bearer says it is, unverified: only a way
// to find the key.
func ClaimedTenant(jwt string) (idp.TenantID, bool) {
	parts := strings.SplitN(jwt, ".", 3)
	if len(parts) != 3 || len(parts[1]) > 8<<10 {
		return "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", false
	}
	var body struct {
		Tenant idp.TenantID `json:"tid"`
	}
	if json.Unmarshal(raw, &body) != nil || len(body.Tenant) != 36 || strings.Trim(string(body.Tenant), "0123456789abcdef-") != "" {
		return "", false
	}
	return body.Tenant, true
}

// keyFinder gives a public key by its name, or is NotFound.
type keyFinder func(ctx context.Context, t idp.TenantID, kid string) (keyring.PublicKey, error)

// verify checks signature, algorithm of the named key, and class.
func (s *Service) verify(ctx context.Context, t idp.TenantID, jwt, typ string, claims any, keys keyFinder) error {
	m, err := jose.Parse(jwt, keyring.Algorithms...)
	if err != nil {
		return err
	}
	if !strings.EqualFold(m.Type, typ) {
		return idp.Unprovenf("token_class", "type %.20q, want %s", m.Type, typ)
	}
	key, err := keys(ctx, t, m.KeyID)
	if errors.Is(err, idp.NotFound) {
		return idp.Unprovenf("key_unknown", "key %.40q", m.KeyID)
	}
	if err != nil {
		return fmt.Errorf("verification key: %w", err)
	}
	return m.Verify(key.Alg, key.Key, claims)
}

// inTime checks nbf and exp with the one leeway; a token without exp is refused.
func (s *Service) inTime(from, until int64) error {
	now := s.cfg.Now()
	if until == 0 || !now.Before(time.Unix(until, 0).Add(Skew)) {
		return idp.Expiredf("token_expired", "ended at %d", until)
	}
	if now.Add(Skew).Before(time.Unix(from, 0)) {
		return idp.Unprovenf("token_early", "begins at %d", from)
	}
	return nil
}

// RevokeAccess ends one access token for userinfo and introspection, in tx.
func (s *Service) RevokeAccess(ctx context.Context, tx *sqldb.Tx, c Claims) error {
	err := nonce.Burn(ctx, tx, revokedMark(c))
	if errors.Is(err, idp.Expired) {
		return nil // revoked before
	}
	return err
}
