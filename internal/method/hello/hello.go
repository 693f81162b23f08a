package hello

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"embed"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/userkey"
)

// ID is the room's word in policies and proofs.
const ID = policy.Hello

// Migrations are the room's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Machine is what the room knows of the device that keeps a key.
type Machine = userkey.Machine

// Config is what the room needs.
type Config struct {
	DB  *sqldb.DB
	Now func() time.Time
	// Bus tells other nodes of changes. Nil: every sign-in reads its key.
	Bus *bus.Bus
	// Rules are those of the tenant.
	Rules func(context.Context, idp.TenantID) (policy.HelloRules, error)
	// UserByName is NotFound for who does not exist.
	UserByName func(context.Context, idp.TenantID, string) (idp.User, error)
	// User is, too. It may be as old as the last notice of a change: what
	// matters of the person the corridor asks anew.
	User func(context.Context, idp.TenantID, idp.UserID) (idp.User, error)
	// Device is a device of the tenant, NotFound when there is none: as it is
	// in the transaction, or without one as this node knows it.
	Device func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID) (Machine, error)
	// Issuer is what the tenant's tokens name as their issuer, one of the
	// audiences of an assertion.
	Issuer func(idp.TenantID) string
	// Claim enters a key among all that devices have, in the transaction of its
	// registration: Conflict when it is there, as whatever and wherever
	// (security.md DEV03). Release takes it out. Nil: nothing else has keys.
	Claim   func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID, crypto.PublicKey) error
	Release func(context.Context, *sqldb.Tx, idp.TenantID, crypto.PublicKey) error
	// Replaced ends what stands on a key that a new one takes the place of,
	// in that transaction. Nil: nothing does.
	Replaced func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID) error
	// Audit writes what happens without anybody's doing: "hello.expire" when
	// an orphaned key is deleted. Nil: nothing is written.
	Audit func(context.Context, *sqldb.Tx, audit.Event) error
}

// Room is the Hello room. It is safe for concurrent use.
type Room struct {
	*userkey.Managed[method.Credential]
	keys   *userkey.Store[method.Credential]
	cfg    Config
	decoys map[string]crypto.PublicKey // by algorithm, for keys that nobody has
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
	if c.Rules == nil || c.Issuer == nil {
		return nil, errors.New("hello: a dependency is missing")
	}
	keys, err := userkey.New(userkey.Config[method.Credential]{
		DB: c.DB, Now: c.Now, Bus: c.Bus, Room: ID, Noun: "Hello key", Keys: "hello_key", Holders: "hello_holder",
		Limit: func(ctx context.Context, t idp.TenantID) (int, error) {
			r, err := c.Rules(ctx, t)
			return r.Limit, err
		},
		Show: credential, Clean: method.CleanName,
		UserByName: c.UserByName, User: c.User, Fold: directory.Fold, Device: c.Device,
		Claim: c.Claim, Release: c.Release, Replaced: c.Replaced, Audit: c.Audit,
	})
	if err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("hello: decoy: %w", err)
	}
	// Nobody ever needs this one's factors, and to find some takes long.
	n := secret.Bytes(256)
	n[0], n[255] = n[0]|0x80, n[255]|1
	return &Room{Managed: keys.Managed, keys: keys, cfg: c, decoys: map[string]crypto.PublicKey{
		"ES256": &curve.PublicKey,
		"RS256": &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537},
	}}, nil
}

// ID implements method.Method.
func (m *Room) ID() idp.MethodID { return ID }

// Challenge implements method.Method. There is none: a Hello key answers a
// nonce, in one message.
func (m *Room) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, idp.Invalidf("hello_not_on_page", "a Hello key is for one message").Say("This way of signing in is the device's own. Choose another.")
}

// KeepFrom implements method.OneShot: nonce is the value that the assertion
// must carry as its request_nonce, and that the door has opened.
func (m *Room) KeepFrom(nonce []byte) []byte { return nonce }
