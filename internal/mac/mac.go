package mac

import (
	"context"
	"crypto/ecdsa"
	"embed"
	"errors"
	"time"

	"github.com/signetid/signet/internal/cache"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the tables of this package.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// OS is what Device.OS says of every Mac.
const OS = "macOS"

// KeyID is what a Mac names a key by; its bytes are what is compared.
type KeyID = pssowire.KeyID

// KeyIDOf computes the name of a P-256 key; no name that somebody sent is taken
// for one. An error says that the key cannot be one of a device.
func KeyIDOf(key *ecdsa.PublicKey) (KeyID, error) {
	if key == nil {
		return KeyID{}, errors.New("no key")
	}
	if err := device.CheckKey(key); err != nil {
		return KeyID{}, err
	}
	return pssowire.KeyOf(key), nil
}

// Role says what a key of a Mac is for.
type Role string

// Signing keys sign what a Mac asks for, to Encryption keys answers are sealed.
const (
	Signing    Role = "signing"
	Encryption Role = "encryption"
)

// State says where a key is in its rotation.
type State string

// Of a role a Mac has one Current key, and while it rotates a Pending one, which
// is to take its place. Both are accepted.
const (
	Current State = "current"
	Pending State = "pending"
)

// RotationLife is how long both keys of a rotation are accepted, if no login
// settles it before: then the new one alone is (apple-platform-sso.md §10).
const RotationLife = 24 * time.Hour

// Key is a public key of a Mac.
type Key struct {
	ID     KeyID
	Role   Role
	State  State
	Public *ecdsa.PublicKey // P-256
	// Attested says that the maker's attestation named this very key.
	Attested bool
	Created  time.Time
	// Until is when the rotation is over that a pending key is of; zero for a
	// current one.
	Until time.Time

	waits bool // its row is that of a pending key, whatever State says by now
}

// Source says by what a Mac was registered.
type Source string

// By a registration token, with nobody at the keyboard, or by a person who had
// just signed in.
const (
	ByToken  Source = "token"
	ByPerson Source = "person"
)

// Mac is what a device has as a Mac. One that came from ByKid is shared: callers
// do not change what it points to.
type Mac struct {
	Tenant idp.TenantID
	Device idp.DeviceID
	// Serial and UDID name the hardware, as the Mac said, or as its attestation
	// showed: then Proven is true. They may be empty.
	Serial, UDID string
	Proven       bool
	Source       Source
	Token        TokenID // by which it was registered; empty: by none
	Created      time.Time
	// Registered is when its keys were last registered: Created, or when a new
	// registration replaced them.
	Registered time.Time
	Keys       []Key // those that are accepted at the time they were read
}

// Key is the key of that role and state; ok is false when there is none.
func (m Mac) Key(role Role, state State) (k Key, ok bool) {
	for _, k := range m.Keys {
		if k.Role == role && k.State == state {
			return k, true
		}
	}
	return Key{}, false
}

// Find is the key of that role with that name, whether current or pending; ok is
// false when there is none.
func (m Mac) Find(role Role, id KeyID) (k Key, ok bool) {
	for _, k := range m.Keys {
		if k.Role == role && k.ID == id {
			return k, true
		}
	}
	return Key{}, false
}

// Rotating says whether a rotation is under way.
func (m Mac) Rotating() bool {
	for _, k := range m.Keys {
		if k.State == Pending {
			return true
		}
	}
	return false
}

// Bus tells the other nodes, and this one, that something changed.
type Bus interface {
	Publish(ctx context.Context, tx *sqldb.Tx, topic, key string) error
	Subscribe(topic string, fn func(key string))
}

// Topic is the bus topic of changed Macs; the key is a tenant and, behind a
// slash, the names of the keys that changed hands, with commas between.
const Topic = "mac"

// Config is what a Registry needs.
type Config struct {
	DB *sqldb.DB
	// Devices has the devices that Macs are.
	Devices *device.Registry
	// Keys gives the sealing key of a tenant and purpose (keyring.Ring.Sealing).
	Keys func(context.Context, idp.TenantID, string) (*secret.Key, error)
	Now  func() time.Time
	Bus  Bus // nil: nothing is cached
}

// remembered is how many keys a node remembers; a Mac has two.
const remembered = 40_000

// Registry keeps the Macs of all tenants, their registration tokens and their
// unlock keys. It is safe for concurrent use once the hooks are in place.
type Registry struct {
	// Tokens are the registration tokens, Unlock the keys that unlock Macs.
	Tokens *Tokens
	Unlock *Unlock

	cfg      Config
	macs     *cache.Cache[place, Mac]
	replaced []device.Hook
}

// place names a key of a tenant.
type place struct {
	tenant idp.TenantID
	id     KeyID
}

// New makes a registry.
func New(cfg Config) *Registry {
	r := &Registry{cfg: cfg, Tokens: &Tokens{cfg}, Unlock: &Unlock{cfg}}
	size := 0
	if cfg.Bus != nil {
		size = remembered
	}
	r.macs = cache.New(size, func(ctx context.Context, p place) (Mac, error) { return loadByKid(ctx, cfg.DB, p) })
	if cfg.Bus != nil {
		cfg.Bus.Subscribe(Topic, r.forget)
	}
	return r
}

// OnReplace adds what must end when the keys of a Mac are replaced at once: all
// that stands on the old ones. It is called by app while wiring.
func (r *Registry) OnReplace(h device.Hook) { r.replaced = append(r.replaced, h) }

func (r *Registry) now() time.Time { return r.cfg.now() }

func (c Config) now() time.Time { return c.Now().UTC().Truncate(time.Millisecond) }

func nothing(id idp.DeviceID) error {
	return idp.NotFoundf("mac_unknown", "device %.40q is no Mac", string(id)).Say("There is no such Mac.")
}
