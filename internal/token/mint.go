package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
)

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// accessClaims are those of RFC 9068, Section 2.2, and the names that clients
// of Entra look for.
type accessClaims struct {
	Issuer   string       `json:"iss"`
	Subject  string       `json:"sub"`
	Audience string       `json:"aud"`
	Expires  int64        `json:"exp"`
	Issued   int64        `json:"iat"`
	From     int64        `json:"nbf"`
	ID       string       `json:"jti"`
	Client   idp.ClientID `json:"client_id"`
	Azp      idp.ClientID `json:"azp"`
	Scope    string       `json:"scope,omitempty"`
	Scp      string       `json:"scp,omitempty"`
	Roles    []string     `json:"roles,omitempty"`
	Kind     string       `json:"idtyp,omitempty"` // "app" when no person stands behind it
	Tenant   idp.TenantID `json:"tid"`
	Object   idp.UserID   `json:"oid,omitempty"`
	Session  string       `json:"sid,omitempty"`
	Family   idp.FamilyID `json:"fid,omitempty"` // ours alone: the grant it came from
	ACR      string       `json:"acr,omitempty"`
	AMR      []string     `json:"amr,omitempty"`
	AuthTime int64        `json:"auth_time,omitempty"`
	Device   idp.DeviceID `json:"deviceid,omitempty"`
	Caps     []string     `json:"xms_cc,omitempty"`
	brokerNames
	Version string `json:"ver"`
}

// brokerNames are what clients of the device protocols read in a token besides
// (device-protocol.md §0 fact 15, §3.1).
type brokerNames struct {
	App        idp.ClientID `json:"appid,omitempty"`
	UPN        string       `json:"upn,omitempty"`
	UniqueName string       `json:"unique_name,omitempty"`
}

func namesFor(sub Subject) brokerNames {
	if !sub.Client.BuiltIn {
		return brokerNames{}
	}
	return brokerNames{App: sub.Client.ID, UPN: sub.User.Name, UniqueName: sub.User.Name}
}

// deviceOf is the machine as the application sees it: its id would join what
// pairwise subjects keep apart (security.md T66).
func deviceOf(sub Subject) idp.DeviceID {
	if sub.Client.Subject == client.SubjectPairwise {
		return ""
	}
	return sub.Device
}

// registrationAMR are the words that the registration service looks for: that
// several factors were shown at all, and that they were shown just now
// (device-protocol.md §6). They come of the proofs alone. A user key is
// phishing-resistant, and adding one wants no less (decisions 2.9): who got
// somebody to approve a sign-in on their phone must not keep a key of their own.
func (s *Service) registrationAMR(sub Subject) []string {
	out := slices.Clone(sub.AMR)
	add := func(word string) {
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	now := s.cfg.Now()
	for _, b := range sub.Basis {
		if !slices.Contains(b.Properties, idp.MultiFactor) {
			continue
		}
		add("mfa")
		remote := sub.Code == ByDeviceCode || slices.Contains(b.Properties, idp.Remote)
		enough := slices.Contains(b.Properties, idp.PhishingResistant)
		if remote { // nothing from another place is
			enough = sub.CodeToHello
		}
		if enough && now.Sub(time.UnixMilli(b.Time)) <= FreshLives {
			add("ngcmfa")
		}
	}
	return out
}

// FreshLives is how long a multi-factor gesture counts as one made just now,
// which registering a user key needs (device-protocol.md §6).
const FreshLives = 10 * time.Minute

// public are sub and sid as the application sees them.
func (s *Service) public(ctx context.Context, sub Subject) (subject, session string, err error) {
	if subject, err = s.PublicSubject(ctx, sub.Client, sub.User.ID); err != nil {
		return "", "", err
	}
	session, err = s.PublicSession(ctx, sub.Client, sub.Session)
	return subject, session, err
}

// Access mints an access token (RFC 9068) and says how long it lives.
func (s *Service) Access(ctx context.Context, sub Subject) (string, time.Duration, error) {
	subject, session, err := s.public(ctx, sub)
	if err != nil {
		return "", 0, err
	}
	now, lives := s.cfg.Now(), AccessLives
	if sub.Code == ByAccessPass {
		lives = min(lives, max(sub.Until.Sub(now), 0))
	}
	scope := strings.Join(sub.Scopes, " ")
	c := &accessClaims{
		Issuer: s.cfg.Issuer(sub.Tenant), Subject: subject, Audience: sub.Audience,
		Expires: now.Add(lives).Unix(), Issued: now.Unix(), From: now.Unix(), ID: newID(now),
		Client: sub.Client.ID, Azp: sub.Client.ID, Scope: scope, Scp: scope, Tenant: sub.Tenant,
		Session: session, Family: sub.Family,
		ACR: sub.ACR, AMR: sub.AMR, AuthTime: sub.AuthTime.Unix(), Device: deviceOf(sub), Caps: sub.Capabilities,
		brokerNames: namesFor(sub), Version: "2.0",
	}
	if sub.Audience == RegistrationAudience {
		c.AMR = s.registrationAMR(sub)
	}
	if sub.Client.Subject != client.SubjectPairwise {
		c.Object = sub.User.ID // the object id would undo a pairwise subject
	}
	jwt, err := s.sign(ctx, sub.Tenant, sub.Client.Alg, typAccess, c)
	return jwt, lives, err
}

// ClientAccess mints an access token for the application itself (RFC 6749,
// Section 4.4).
func (s *Service) ClientAccess(ctx context.Context, c client.Client, audience string, scopes []string) (string, time.Duration, error) {
	now := s.cfg.Now()
	scope := strings.Join(scopes, " ")
	jwt, err := s.sign(ctx, c.Tenant, c.Alg, typAccess, &accessClaims{
		Issuer: s.cfg.Issuer(c.Tenant), Subject: string(c.ID), Audience: audience,
		Expires: now.Add(AccessLives).Unix(), Issued: now.Unix(), From: now.Unix(), ID: newID(now),
		Client: c.ID, Azp: c.ID, Scope: scope, Scp: scope, Kind: "app", Tenant: c.Tenant, Version: "2.0",
	})
	return jwt, AccessLives, err
}

// AdministrationAudience is the only place where a token of Administration is
// good.
const AdministrationAudience = "urn:signet:administration"

// Administration mints a short-lived token for the administration API
// (decisions 6.1). Its roles say what it may do; it cannot be refreshed.
func (s *Service) Administration(ctx context.Context, t idp.TenantID, actor string, roles []string, lives time.Duration) (string, time.Time, error) {
	now := s.cfg.Now()
	until := now.Add(lives)
	jwt, err := s.sign(ctx, t, "ES256", typAccess, &accessClaims{
		Issuer: s.cfg.Issuer(t), Subject: actor, Audience: AdministrationAudience,
		Expires: until.Unix(), Issued: now.Unix(), From: now.Unix(), ID: newID(now),
		Roles: roles, Kind: "app", Tenant: t, Version: "2.0",
	})
	return jwt, until, err
}

// idClaims are those of OpenID Connect Core 1.0, Section 2.
type idClaims struct {
	Issuer   string       `json:"iss"`
	Subject  string       `json:"sub"`
	Audience idp.ClientID `json:"aud"`
	Expires  int64        `json:"exp"`
	Issued   int64        `json:"iat"`
	From     int64        `json:"nbf"`
	AuthTime int64        `json:"auth_time"`
	Nonce    string       `json:"nonce,omitempty"`
	ACR      string       `json:"acr,omitempty"`
	AMR      []string     `json:"amr,omitempty"`
	AtHash   string       `json:"at_hash,omitempty"`
	Session  string       `json:"sid,omitempty"`
	Tenant   idp.TenantID `json:"tid"`
	Object   idp.UserID   `json:"oid,omitempty"`
	Name     string       `json:"name,omitempty"`
	UserName string       `json:"preferred_username,omitempty"`
	Email    string       `json:"email,omitempty"`
	Groups   []string     `json:"groups,omitzero"` // empty, not missing: in none of those that were asked for
	Device   idp.DeviceID `json:"deviceid,omitempty"`
	brokerNames
	Version string `json:"ver"`
}

// ID mints the ID token that goes with an access token.
func (s *Service) ID(ctx context.Context, sub Subject, access string) (string, error) {
	subject, session, err := s.public(ctx, sub)
	if err != nil {
		return "", err
	}
	now := s.cfg.Now()
	c := &idClaims{
		Issuer: s.cfg.Issuer(sub.Tenant), Subject: subject, Audience: sub.Client.ID,
		Expires: now.Add(IDLives).Unix(), Issued: now.Add(-sub.Backdate).Unix(), From: now.Add(-sub.Backdate).Unix(), AuthTime: sub.AuthTime.Unix(),
		Groups: sub.Groups, Nonce: sub.Nonce, ACR: sub.ACR, AMR: sub.AMR, Session: session, Tenant: sub.Tenant,
		Device: deviceOf(sub), brokerNames: namesFor(sub), Version: "2.0",
	}
	if access != "" {
		// Section 3.1.3.6: the left half of the hash that the algorithm uses;
		// ES256 and RS256 both use SHA-256.
		sum := sha256.Sum256([]byte(access))
		c.AtHash = encode(sum[:16])
	}
	if sub.Client.Subject != client.SubjectPairwise {
		c.Object = sub.User.ID
	}
	if slices.Contains(sub.Scopes, "profile") || sub.Client.BuiltIn {
		c.Name, c.UserName = sub.User.DisplayName, sub.User.Name
	}
	if slices.Contains(sub.Scopes, "email") {
		c.Email = sub.User.Name
	}
	return s.sign(ctx, sub.Tenant, sub.Client.Alg, typID, c)
}
