package prt

import (
	"context"
	"errors"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/sqldb"
)

// Protocol is which dialect a PRT was asked for in (device-protocol.md §7).
type Protocol string

const (
	Classic Protocol = "classic" // windows_api_version
	V3      Protocol = "3.0"     // prt_protocol_version 3.0
	V4      Protocol = "4.0"     // the device signs each use; there is no session key
)

// PRT is a primary refresh token, without its secrets.
type PRT struct {
	ID     idp.SessionID // stands where a session's id stands
	Tenant idp.TenantID
	User   idp.UserID
	Device idp.DeviceID
	// Proofs are what it stands on: how it was obtained and nothing else
	// (security.md DEV09).
	Proofs []idp.Proof
	// ProofTime is when the user last made a verified gesture, MFATime is
	// carried and renewed as Entra does (decisions 2.5).
	ProofTime, MFATime time.Time
	Protocol           Protocol
	KDF                int // the version that its uses are bound to: 2, or 0 while none is
	Generation         int64
	Issued, Renewed    time.Time
	LastUsed           time.Time
	Expires            time.Time // sliding
	Ends               time.Time // absolute
	Agent, IP          string
}

// Config is what a Service needs.
type Config struct {
	DB    *sqldb.DB
	Keys  *keyring.Ring
	Audit *audit.Log
	Now   func() time.Time
	Epoch func() int64
	// Lives gives the tenant's sliding and absolute limits.
	Lives func(context.Context, idp.TenantID) (idle, absolute time.Duration, err error)
}

// Service issues and judges PRTs. It is safe for concurrent use.
type Service struct{ cfg Config }

// New makes a Service.
func New(cfg Config) *Service { return &Service{cfg: cfg} }

var errNotYet = errors.New("prt: not yet")

// Issued is a PRT ready to be written: its value and session key exist nowhere
// else. SessionKey is nil for V4.
type Issued struct {
	PRT        PRT
	Value      string
	SessionKey []byte
}

// Prepare makes a PRT that stands on p.Proofs; id, times and ends are filled
// in. It writes nothing, and may have to make the tenant's key, so it must not be
// called in a transaction.
func (s *Service) Prepare(ctx context.Context, p PRT) (Issued, error) { return Issued{}, errNotYet }

// Add writes a prepared PRT.
func (s *Service) Add(ctx context.Context, tx *sqldb.Tx, i Issued) error { return errNotYet }

// Opened is a presented PRT that is one of ours and stands: row read, not
// revoked, in time, of a generation that is still good. That whoever sent it
// holds its session key is not said yet: see Derive.
type Opened struct {
	PRT        PRT
	SessionKey []byte
	// Presented is the generation of what was presented: the current one, or
	// the one before it within its overlap.
	Presented int64
}

// Find opens a presented value for the tenant: one read. Every refusal is
// Expired, with the reason and AADSTS number of device-protocol.md §3.2:
// "prt_unreadable" 70000, "prt_revoked" 50173, "prt_over" 700082, "prt_reuse"
// 50173 (an older generation: it revokes the PRT, with an event, but only once
// Reused is called by somebody who has checked the proof of possession).
func (s *Service) Find(ctx context.Context, t idp.TenantID, value string) (Opened, error) {
	return Opened{}, errNotYet
}

// Tenant reads out of a value whose it says it is, unverified: only a way to
// the key.
func Tenant(value string) (idp.TenantID, bool) { return "", false }

// Renew gives the successor of the current generation, by one conditional
// statement; one presented from the overlap gets the current value again and
// advances nothing (decisions 4.8). MFATime and the sliding end move on, the
// session key and ProofTime never do.
func (s *Service) Renew(ctx context.Context, tx *sqldb.Tx, o Opened) (PRT, string, error) {
	return PRT{}, "", errNotYet
}

// PinKDF binds a PRT to key derivation version 2 on its first use of it.
func (s *Service) PinKDF(ctx context.Context, tx *sqldb.Tx, p PRT) error { return errNotYet }

// Revoke ends one PRT, RevokeUser, RevokeDevice and RevokeStanding all of a
// person, of a device, or that stand on a credential.
func (s *Service) Revoke(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.SessionID) error {
	return errNotYet
}
func (s *Service) RevokeUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	return errNotYet
}
func (s *Service) RevokeDevice(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID) error {
	return errNotYet
}
func (s *Service) RevokeStanding(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, m idp.MethodID, c idp.CredentialID) error {
	return errNotYet
}

// OfUser and OfDevice list the PRTs that stand, newest first.
func (s *Service) OfUser(ctx context.Context, t idp.TenantID, u idp.UserID) ([]PRT, error) {
	return nil, errNotYet
}
func (s *Service) OfDevice(ctx context.Context, t idp.TenantID, d idp.DeviceID) ([]PRT, error) {
	return nil, errNotYet
}

// Derive gives the key for one message: SP 800-108 counter mode with
// HMAC-SHA-256, label "AzureAD-SecureConversation". version is 1 or 2; version
// 2 hashes the payload into the context (device-protocol.md §8.2).
func Derive(sessionKey []byte, version int, ctx, payload []byte) []byte { return nil }
