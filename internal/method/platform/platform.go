package platform

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"embed"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/userkey"
)

// ID is the room's word in policies and proofs.
const ID = policy.Platform

// Migrations are the room's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Machine is what the room knows of the Mac that keeps a key.
type Machine = userkey.Machine

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
	// Bus tells other nodes of changes. Nil: every sign-in reads its key.
	Bus *bus.Bus
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
	*userkey.Managed[method.Credential]
	keys  *userkey.Store[method.Credential]
	cfg   Config
	decoy *ecdsa.PublicKey // for keys that nobody has
}

var (
	_ method.Method   = (*Room)(nil)
	_ method.OneShot  = (*Room)(nil)
	_ method.Manager  = (*Room)(nil)
	_ method.Restorer = (*Room)(nil)
	_ method.Shaper   = (*Room)(nil)
	_ method.Worker   = (*Room)(nil)
)

// New opens the room.
func New(c Config) (*Room, error) {
	keys, err := userkey.New(userkey.Config[method.Credential]{
		DB: c.DB, Now: c.Now, Bus: c.Bus, Room: ID, Noun: "Platform Credential", Keys: "platform_key", Holders: "platform_holder",
		Marks: true, Again: merged,
		Limit: c.Limit, Show: credential, Clean: method.CleanName,
		UserByName: c.UserByName, User: c.User, Fold: directory.Fold, Device: c.Device,
		Claim: c.Claim, Release: c.Release, Replaced: c.Replaced, Audit: c.Audit,
	})
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	decoy, err := jose.DecoyP256()
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	return &Room{Managed: keys.Managed, keys: keys, cfg: c, decoy: decoy}, nil
}

// ID implements method.Method.
func (m *Room) ID() idp.MethodID { return ID }

// Challenge implements method.Method. There is none: a Mac answers a nonce, in
// one message.
func (m *Room) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, idp.Invalidf("platform_not_on_page", "a Platform Credential is for one message").Say("This way of signing in is the Mac's own. Choose another.")
}

// KeepFrom implements method.OneShot: nonce is assertion.Expected.Keep of a
// login, Expected.Keep of a registration.
func (m *Room) KeepFrom(nonce []byte) []byte { return nonce }
