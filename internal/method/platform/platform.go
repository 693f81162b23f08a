package platform

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"embed"
	"errors"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// ID is the room's word in policies and proofs.
const ID = policy.Platform

// Migrations are the room's tables.
//
//go:embed migrations
var Migrations embed.FS

// Machine is what the room knows of the Mac that keeps a key.
type Machine struct {
	Name    string
	Enabled bool
	// Pending says that the Mac becomes active with the first key that is
	// registered on it (decisions 5.4): it is not Enabled, and may register one.
	Pending bool
}

// Attestation is what a Mac says of where a user key is.
type Attestation struct {
	Device idp.DeviceID
	Chain  [][]byte // DER, the key's own certificate first; empty: none came
	Key    *ecdsa.PublicKey
	// Hash is what the chain must be made for: SHA-256 over the request nonce's
	// text, a zero byte, and the 32 bytes of the key's id.
	Hash []byte
}

// Config is what the room needs.
type Config struct {
	DB  *sqldb.DB
	Now func() time.Time
	// Limit is how many keys the tenant lets a person hold.
	Limit func(context.Context, idp.TenantID) (int, error)
	// UserByName is NotFound for who does not exist.
	UserByName func(context.Context, idp.TenantID, string) (idp.User, error)
	// User is, too. It may be as old as the last notice of a change: what
	// matters of the person the corridor asks anew.
	User func(context.Context, idp.TenantID, idp.UserID) (idp.User, error)
	// Device is a Mac of the tenant, NotFound when there is none: as it is in
	// the transaction, or without one as this node knows it.
	Device func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID) (Machine, error)
	// Audience is what an assertion must be for.
	Audience func(idp.TenantID) string
	// Attested judges an attestation by the tenant's rules: whether the key is
	// shown to be in a Secure Enclave of that Mac, or the refusal of a key that
	// had to be. It is asked of a key that comes with none, too. Nil: no key is.
	Attested func(context.Context, idp.TenantID, Attestation) (bool, error)
	// Claim enters a key among all that devices have, in the transaction of its
	// registration: Conflict when it is there, as whatever and wherever
	// (security.md DEV03). Release takes it out. Nil: nothing else has keys.
	Claim   func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID, crypto.PublicKey) error
	Release func(context.Context, *sqldb.Tx, idp.TenantID, crypto.PublicKey) error
	// Replaced ends what stands on a key that a new one takes the place of,
	// in that transaction. Nil: nothing does.
	Replaced func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID) error
	// Audit writes what happens without anybody's doing: "platform.expire" when
	// an orphaned key is deleted. Nil: nothing is written.
	Audit func(context.Context, *sqldb.Tx, audit.Event) error
}

// Room is the room of Platform Credentials. It is safe for concurrent use.
type Room struct {
	cfg Config
}

// New opens the room.
func New(c Config) (*Room, error) {
	if c.DB == nil || c.Now == nil || c.Limit == nil || c.User == nil || c.UserByName == nil || c.Device == nil || c.Audience == nil || (c.Claim == nil) != (c.Release == nil) {
		return nil, errors.New("platform: a dependency is missing")
	}
	return &Room{cfg: c}, nil
}

// ID implements method.Method.
func (m *Room) ID() idp.MethodID { return ID }

// KeepFrom implements method.OneShot: nonce is assertion.Expected.Keep of a
// login, Expected.Keep of a registration.
func (m *Room) KeepFrom(nonce []byte) []byte { return nonce }
