package hygiene

import (
	"context"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// Usages of keys, as the file has them (entra-behaviours.md §6.3).
const (
	NGC  = "NGC"  // a Hello key, on a device, or a Mac's Platform Credential
	FIDO = "FIDO" // a passkey
)

// usages are the methods whose credentials are keys.
var usages = map[idp.MethodID]string{policy.Hello: NGC, policy.Platform: NGC, policy.Passkey: FIDO}

// Lister gives the credentials of one method.
type Lister interface {
	ID() idp.MethodID
	List(context.Context, idp.TenantID, idp.UserID) ([]method.Credential, error)
}

// Config is what a Keeper needs.
type Config struct {
	DB        sqldb.Querier
	Directory *directory.Directory
	// Rooms are those whose credentials are keys: Hello, Platform Credentials and
	// passkeys.
	Rooms []Lister
	// Rules are the tenant's on Hello keys, Macs those on Platform Credentials;
	// nil: there are none of these.
	Rules func(context.Context, idp.TenantID) (policy.HelloRules, error)
	Macs  func(context.Context, idp.TenantID) (policy.PlatformRules, error)
	// Clean and Restore take many away and give them back, in one transaction
	// or, when try is set, not at all. Refusals come back in their places.
	Clean, Restore func(ctx context.Context, t idp.TenantID, keys []Key, o Options, try bool) ([]error, error)
	// Removed calls fn for all that Restore could give back.
	Removed func(ctx context.Context, t idp.TenantID, fn func(method.Credential, time.Time) error) error
}

// Keeper lists and clears. It is safe for concurrent use.
type Keeper struct{ cfg Config }

// New makes a Keeper.
func New(cfg Config) *Keeper { return &Keeper{cfg} }

// Options say for whom something is done.
type Options struct {
	Actor    string           // for the record
	Progress func(people int) // how many were looked at, or cleared; must not block, may be nil
}

func (o Options) tell(n int) {
	if o.Progress != nil {
		o.Progress(n)
	}
}

// Key is one key of one person.
type Key struct {
	User     idp.UserID
	UserName string // user principal name
	Tenant   string // domain
	Device   idp.DeviceID
	Usage    string // NGC or FIDO
	ID       idp.CredentialID
	Method   idp.MethodID
	Name     string
	Created  time.Time
	Roca     bool // can be factored
	Orphaned bool // its device is gone
	Disabled bool // its device is switched off
	LastUsed time.Time
	Removed  time.Time // of a key that can be restored; else zero
}

func keyOf(u idp.User, domain string, c method.Credential) Key {
	return Key{
		User: u.ID, UserName: u.Name, Tenant: domain, Device: c.Facts.Device, Usage: usages[c.Method], ID: c.ID, Method: c.Method, Name: c.Name,
		Created: c.Created, Roca: c.Weak, Orphaned: c.Orphaned, Disabled: c.Disabled, LastUsed: c.LastUsed,
	}
}

// Query asks for a part of the keys of a tenant.
type Query struct {
	Who      idp.User // only theirs; the zero User: everybody's
	After    string   // the cursor of the part before; empty: from the start
	People   int      // how many people to look at: 100, at most 999
	Orphaned bool     // only orphaned ones
}

// Part is a part of the keys of a tenant.
type Part struct {
	Keys   []Key
	People int    // looked at
	After  string // of the next part; empty: this was the last
	Many   []Holder
}

// Holder is somebody who holds many keys of one method: of Hello, or of Macs.
type Holder struct {
	Name   string
	Method idp.MethodID
	Held   int
	Limit  int
}

// Keys lists keys person by person, those of one person oldest first.
func (k *Keeper) Keys(ctx context.Context, t idp.Tenant, q Query) (Part, error) {
	rules, err := k.rules(ctx, t.ID)
	if err != nil {
		return Part{}, err
	}
	people, next, err := k.people(ctx, t.ID, q)
	if err != nil {
		return Part{}, err
	}
	out := Part{People: len(people), After: next}
	for _, u := range people {
		all, err := k.of(ctx, t, u)
		if err != nil {
			return Part{}, err
		}
		held := map[idp.MethodID]int{}
		for _, key := range all {
			held[key.Method]++
			if key.Orphaned || !q.Orphaned {
				out.Keys = append(out.Keys, key)
			}
		}
		for _, r := range rules {
			if n := held[r.method]; r.warnAt > 0 && n >= r.warnAt {
				out.Many = append(out.Many, Holder{Name: u.Name, Method: r.method, Held: n, Limit: r.limit})
			}
		}
	}
	return out, nil
}

// many says how many keys of a method a person may hold, and how many are many.
type many struct {
	method        idp.MethodID
	limit, warnAt int
}

// rules are the tenant's on the keys that machines keep.
func (k *Keeper) rules(ctx context.Context, t idp.TenantID) ([]many, error) {
	r, err := k.cfg.Rules(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("rules on keys: %w", err)
	}
	out := []many{{policy.Hello, r.Limit, r.WarnAt}}
	if k.cfg.Macs == nil {
		return out, nil
	}
	m, err := k.cfg.Macs(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("rules on keys: %w", err)
	}
	return append(out, many{policy.Platform, m.Limit, m.WarnAt}), nil
}

// people are those whose keys a part has.
func (k *Keeper) people(ctx context.Context, t idp.TenantID, q Query) ([]idp.User, string, error) {
	if q.Who.Known() {
		return []idp.User{q.Who}, "", nil
	}
	page, next, err := k.cfg.Directory.Users(ctx, t, directory.Page{After: q.After, Limit: q.People})
	out := make([]idp.User, len(page))
	for i, p := range page {
		out[i] = p.User
	}
	return out, next, err
}

// of are all keys of a person.
func (k *Keeper) of(ctx context.Context, t idp.Tenant, u idp.User) ([]Key, error) {
	var out []Key
	for _, r := range k.cfg.Rooms {
		list, err := r.List(ctx, t.ID, u.ID)
		if err != nil {
			return nil, fmt.Errorf("keys of %s: %w", r.ID(), err)
		}
		for _, c := range list {
			out = append(out, keyOf(u, t.Domain, c))
		}
	}
	return out, nil
}
