package userkey

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/cache"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Kept is how long a removed key can be restored, and an orphaned one waits to
// be deleted (decisions 2.12).
const Kept = 30 * 24 * time.Hour

// MaxKeys is the most that any tenant may allow a person (security.md DEV12).
const MaxKeys = 50

// maxName is how long a name may be, in bytes.
const maxName = 64

// Machine is what is known of the device that keeps a key.
type Machine struct {
	Name    string
	Enabled bool
	// Pending says that the device becomes active with the first key that is
	// registered on it (decisions 5.4): it is not Enabled, and may register one.
	Pending bool
}

// Key is a key as it is stored.
type Key struct {
	ID       idp.CredentialID
	Tenant   idp.TenantID
	User     idp.UserID
	Device   idp.DeviceID
	KID      []byte // SHA-256, what machines name it by; only written
	Print    []byte // SHA-256 of SPKI, by which it is unique over all tenants
	SPKI     []byte // SubjectPublicKeyInfo, DER
	Name     string
	Marks    int64 // the room's own; 0 without Config.Marks
	Created  time.Time
	LastUsed time.Time // zero: never
	Orphaned time.Time // zero: its device is there
	Removed  time.Time // zero: it was not

	public crypto.PublicKey // SPKI, when that was read already
}

// Config is what a Store needs. C is a key as lists have it.
type Config[C any] struct {
	DB  *sqldb.DB
	Now func() time.Time
	// Bus tells other nodes of changes. Nil: every sign-in reads its key.
	Bus *bus.Bus
	// Room is the room's word: "hello". Reasons of errors, records and the job
	// begin with it.
	Room idp.MethodID
	// Noun is what a key is called where only operators read it: "Hello key".
	Noun string
	// Keys and Holders are the names of the room's tables, see the migrations
	// of method/hello. Marks says that Keys has a column of that name.
	Keys, Holders string
	Marks         bool
	// Again lets a key be registered where it is registered already, by who
	// registered it, for whom the reply was lost; and says what marks it has then.
	// Nil: it may not.
	Again func(old, new int64) int64

	// Limit is how many keys the tenant lets a person hold.
	Limit func(context.Context, idp.TenantID) (int, error)
	// Show is a key as lists have it. A gone machine is the zero Machine.
	Show func(k Key, d Machine, gone bool) C
	// Clean makes a name of what somebody typed, of so many bytes at most.
	Clean func(s string, most int) string
	// UserByName and User are NotFound for who does not exist; User may be as
	// old as the last notice of a change. Fold gives the spellings of one name
	// one text.
	UserByName func(context.Context, idp.TenantID, string) (idp.User, error)
	User       func(context.Context, idp.TenantID, idp.UserID) (idp.User, error)
	Fold       func(string) string
	// Device is a device of the tenant, NotFound when there is none: as it is
	// in the transaction, or without one as this node knows it.
	Device func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID) (Machine, error)

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

// Store keeps the keys of one room. It is safe for concurrent use.
type Store[C any] struct{ *Managed[C] }

// Managed is the side of a Store that a room shows to the corridor: lists,
// names, removal, restoring, and the job. Rooms embed it.
type Managed[C any] struct {
	cfg   Config[C]
	db    sqldb.Querier // reads only
	sql   *strings.Replacer
	texts sync.Map // statement → what sql makes of it
	known *cache.Cache[hand, Key]
}

// New makes a store.
func New[C any](c Config[C]) (*Store[C], error) {
	if c.DB == nil || c.Now == nil || c.Room == "" || c.Noun == "" || c.Keys == "" || c.Holders == "" || c.Limit == nil || c.Show == nil || c.Clean == nil ||
		c.User == nil || c.UserByName == nil || c.Fold == nil || c.Device == nil || (c.Claim == nil) != (c.Release == nil) {
		return nil, errors.New("user keys: a dependency is missing")
	}
	marks := "0"
	if c.Marks {
		marks = "marks"
	}
	s := &Managed[C]{cfg: c, db: c.DB, sql: strings.NewReplacer(
		"{key}", c.Keys, "{holder}", c.Holders,
		"{columns}", "id, tenant_id, user_id, device_id, print, spki, name, created, last_used, orphaned, removed, "+marks,
	)}
	s.remember()
	return &Store[C]{s}, nil
}

// Limit is how many keys a person of the tenant may hold.
func (s *Store[C]) Limit(ctx context.Context, t idp.TenantID) (int, error) { return s.limit(ctx, t) }

func (s *Managed[C]) limit(ctx context.Context, t idp.TenantID) (int, error) {
	limit, err := s.cfg.Limit(ctx, t)
	return min(limit, MaxKeys), err
}

// Machine is the device of a key as this node knows it; gone says that there is
// none any more.
func (s *Store[C]) Machine(ctx context.Context, t idp.TenantID, id idp.DeviceID) (_ Machine, gone bool, err error) {
	return s.machine(ctx, nil, t, id)
}

// machine is the device of a key, in tx or without one.
func (s *Managed[C]) machine(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) (_ Machine, gone bool, err error) {
	d, err := s.cfg.Device(ctx, tx, t, id)
	if errors.Is(err, idp.NotFound) {
		return Machine{}, true, nil
	}
	if err != nil {
		return Machine{}, false, fmt.Errorf("device of a %s: %w", s.cfg.Noun, err)
	}
	return d, false, nil
}

// AADSTS numbers of a key whose own signature is good and whose device is not
// (device-protocol.md §3.2).
const (
	codeDisabled = 130007
	codeMissing  = 130008

	sayDevice = "The device that keeps this key is switched off or was removed. Ask the help desk, or join the device again."
)

// Stands refuses what a device would do that is disabled or gone: Denied
// "device_disabled" (130007), "device_missing" (130008).
func Stands(d Machine, gone bool, id idp.DeviceID) error {
	switch {
	case gone:
		return idp.Deniedf("device_missing", "device %s", id).Coded(codeMissing).Say(sayDevice)
	case !d.Enabled:
		return idp.Deniedf("device_disabled", "device %s", id).Coded(codeDisabled).Say(sayDevice)
	}
	return nil
}

// MayRegister is Stands for a registration: a device that waits for its first
// key stands, too.
func MayRegister(d Machine, gone bool, id idp.DeviceID) error {
	d.Enabled = d.Enabled || d.Pending
	return Stands(d, gone, id)
}

// reason is a reason of an error in the room's words.
func (s *Managed[C]) reason(what string) string { return string(s.cfg.Room) + "_" + what }
