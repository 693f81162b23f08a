package token

import (
	"context"
	"embed"
	"fmt"
	"sync"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the table of families.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// How long tokens live (product.md §6; security.md TOK11).
const (
	AccessLives = time.Hour
	IDLives     = time.Hour
	// FamilyLives is absolute: however often a refresh token is rotated, the
	// person signs in again after that.
	FamilyLives = 90 * 24 * time.Hour
	// Overlap is how long a refresh token that was just rotated gets the same
	// successor again: the answer may have been lost (decisions 1.6).
	Overlap = 10 * time.Second
	// Skew is the clock difference that verifiers accept.
	Skew = time.Minute
	// UnboundLives is how long the refresh token of a built-in application is
	// good before it is bound to a primary refresh token (decisions 4.3).
	UnboundLives = time.Hour
)

// RegistrationAudience is the service that registers devices and their keys
// (device-protocol.md §1.4).
const RegistrationAudience = "urn:ms-drs:enterpriseregistration.windows.net"

// ByDeviceCode is Subject.Code of what somebody approved in another place than
// where it is used (RFC 8628).
const ByDeviceCode = "device_code"

// ByAccessPass is Subject.Code of a sign-in by an access pass to register a
// device: the grant joins one and registers one user key there, ends with the
// pass, and is never refreshed (ADR 0021).
const ByAccessPass = "access_pass"

// Types of the two classes of signed token.
const (
	typAccess = "at+jwt"
	typID     = "JWT"
)

// Config is what a Service needs.
type Config struct {
	DB    *sqldb.DB
	Keys  *keyring.Ring
	Audit *audit.Log
	Now   func() time.Time
	// Issuer is the tenant's one issuer (decisions 3.1).
	Issuer func(idp.TenantID) string
	// User reads a person; NotFound when gone.
	User func(context.Context, sqldb.Querier, idp.TenantID, idp.UserID) (idp.User, error)
	// Epoch voids refresh tokens of before a restore.
	Epoch func() int64
	// Stands says whether what a grant came by still stands: the primary
	// refresh token, when it has one, and the device. Its error is Expired,
	// with the number that the client is to hear. Nil: nothing of the kind does.
	Stands func(ctx context.Context, q sqldb.Querier, t idp.TenantID, prt idp.SessionID, device idp.DeviceID) error
}

// Service mints and judges tokens. It is safe for concurrent use.
type Service struct {
	cfg     Config
	signers sync.Map // signerName → *jose.Signer
}

type signerName struct {
	kid idp.KeyID
	typ string
}

// New makes a Service.
func New(cfg Config) *Service { return &Service{cfg: cfg} }

// Subject is whom a token speaks of, for whom it is minted, and on what it
// stands.
type Subject struct {
	Tenant   idp.TenantID
	User     idp.User
	Session  idp.SessionID
	Family   idp.FamilyID
	Client   client.Client
	Scopes   []string
	Audience string
	Info     []string  // claims that userinfo may tell beyond the scopes
	AuthTime time.Time // the proof_time of the sign-in
	ACR      string
	AMR      []string
	Nonce    string
	Basis    []Basis  // the proofs of the sign-in
	Asked    []string // the strengths that the request asked for

	// Device is the machine that the grant is bound to, and PRT the primary
	// refresh token that it stands on and ends with; empty: none.
	Device idp.DeviceID
	PRT    idp.SessionID
	// Until bounds the refresh token of a new grant; the zero time: FamilyLives.
	Until time.Time
	// Code says how the grant was asked for when that was not a code at an
	// address: ByDeviceCode, or ByAccessPass.
	Code string
	// CodeToHello says that a grant by device code may still count as a fresh
	// gesture (compat.deviceCodeToHello). It is not kept: policy is asked anew.
	CodeToHello bool
	// Capabilities are what the client says it understands, echoed as xms_cc
	// (decisions 3.4). They are not kept.
	Capabilities []string
	// Groups are names that an ID token states besides, of which its reader asked
	// for some; nil: it did not. Backdate is how much earlier than now it says
	// that it was issued, for readers whose clock may be behind. Neither is kept.
	Groups   []string
	Backdate time.Duration
}

// Shared says whether the grant's refresh token may be presented many times:
// that of a built-in application, whose parts share one (decisions 4.3).
func (s Subject) Shared() bool { return s.Client.BuiltIn }

// Bound says whether the grant belongs to a device already.
func (s Subject) Bound() bool { return s.PRT != "" }

// sign signs claims of one class with the tenant's active key for alg.
func (s *Service) sign(ctx context.Context, t idp.TenantID, alg, typ string, claims any) (string, error) {
	key, err := s.cfg.Keys.Signer(ctx, t, alg)
	if err != nil {
		return "", fmt.Errorf("signing key: %w", err)
	}
	name := signerName{key.ID, typ}
	if made, ok := s.signers.Load(name); ok {
		return made.(*jose.Signer).Sign(claims)
	}
	made, err := jose.NewSigner(key.Alg, string(key.ID), typ, key.Key)
	if err != nil {
		return "", err
	}
	s.signers.Store(name, made)
	return made.Sign(claims)
}

// PublicSubject is the sub claim that an application sees: the person's object
// id, or for pairwise applications a value of their sector alone (OpenID
// Connect Core 1.0, Section 8.1). It is never reassigned, and stays when the
// application moves to another address.
func (s *Service) PublicSubject(ctx context.Context, c client.Client, u idp.UserID) (string, error) {
	if c.Subject != client.SubjectPairwise {
		return string(u), nil
	}
	return s.pairwise(ctx, c, []byte(u))
}

// PublicSession is the sid claim that an application sees: the session's id, or
// for pairwise applications a value of their sector alone. The id would join
// what the subjects keep apart.
func (s *Service) PublicSession(ctx context.Context, c client.Client, id idp.SessionID) (string, error) {
	if c.Subject != client.SubjectPairwise || id == "" {
		return string(id), nil
	}
	return s.pairwise(ctx, c, []byte("session"), []byte(id))
}

func (s *Service) pairwise(ctx context.Context, c client.Client, of ...[]byte) (string, error) {
	key, err := s.cfg.Keys.Sealing(ctx, c.Tenant, "pairwise")
	if err != nil {
		return "", err
	}
	return encode(key.MAC(append([][]byte{[]byte(c.Sector)}, of...)...)), nil
}

// newID is a token's jti.
func newID(now time.Time) string { return secret.NewUUID7(now) }
