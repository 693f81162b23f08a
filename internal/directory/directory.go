package directory

import (
	"context"
	"embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/cache"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the tables of this package.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Bus tells the other nodes, and this one, that something changed.
type Bus interface {
	Publish(ctx context.Context, tx *sqldb.Tx, topic, key string) error
	Subscribe(topic string, fn func(key string))
}

// Topic is the bus topic of changed tenants and domains; the key is the
// tenant. userTopic is that of changed users; its key is a userKey.
const (
	Topic     = "tenant"
	userTopic = "user"
)

// userKey names a user over all tenants.
func userKey(t idp.TenantID, id idp.UserID) string { return string(t) + "/" + string(id) }

// Config is what a Directory needs.
type Config struct {
	DB  *sqldb.DB
	Now func() time.Time
	Bus Bus // nil: nothing is cached
}

// Directory is the registry of tenants, users and groups. It is safe for
// concurrent use once the hooks are in place.
type Directory struct {
	cfg      Config
	resolved *cache.Cache[string, idp.Tenant] // by id and by domain
	people   *cache.Cache[string, Person]     // by userKey
	removed  []func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error
	promoted []func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error
	demoted  []func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error
	regroup  []func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, g idp.GroupID, u idp.UserID, joins bool) error
}

// New makes a directory.
func New(cfg Config) *Directory {
	d := &Directory{cfg: cfg}
	size := 0
	if cfg.Bus != nil {
		size = 10_000
	}
	d.resolved = cache.New(size, d.resolve)
	d.people = cache.New(size, func(ctx context.Context, key string) (Person, error) {
		t, id, _ := strings.Cut(key, "/")
		return d.person(ctx, cfg.DB, idp.TenantID(t), idp.UserID(id))
	})
	if cfg.Bus != nil {
		cfg.Bus.Subscribe(userTopic, d.people.Drop)
		// A tenant has several names here; tenants change so seldom that
		// starting over is the simplest thing that is right.
		cfg.Bus.Subscribe(Topic, func(string) { d.resolved.DropAll() })
	}
	return d
}

// OnRemoveUser has fn called in the transaction that deletes a user, so that
// what belongs to the user goes too. It is called by app while wiring.
func (d *Directory) OnRemoveUser(fn func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error) {
	d.removed = append(d.removed, fn)
}

// OnPromote has fn called in the transaction that gives a role to a user who
// had none: what the help desk could do for them before must not open more
// than it did then. It is called by app while wiring.
func (d *Directory) OnPromote(fn func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error) {
	d.promoted = append(d.promoted, fn)
}

// OnDemote has fn called in the transaction in which a user stops being an
// administrator who may sign in, before it does; there is another one. fn may
// refuse: it knows whether that one has anything to sign in with. It is called
// by app while wiring.
func (d *Directory) OnDemote(fn func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error) {
	d.demoted = append(d.demoted, fn)
}

// OnRegroup has fn called in the transaction that puts a user into a group or
// takes one out, before it does: policy says by groups who may sign in how, and
// fn may refuse. u is empty when the group goes, and everybody leaves it. It is
// called by app while wiring.
func (d *Directory) OnRegroup(fn func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, g idp.GroupID, u idp.UserID, joins bool) error) {
	d.regroup = append(d.regroup, fn)
}

func (d *Directory) mayRegroup(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, g idp.GroupID, u idp.UserID, joins bool) error {
	for _, fn := range d.regroup {
		if err := fn(ctx, tx, t, g, u, joins); err != nil {
			return fmt.Errorf("change group %s: %w", g, err)
		}
	}
	return nil
}

// Page asks for a part of a list.
type Page struct {
	After string      // the cursor that came with the part before; empty: from the start
	Limit int         // 100 when 0, at most 999 (decisions 3.7)
	Where filter.Expr // over UserFields or GroupFields; the zero Expr: all
}

func (p Page) limit() int {
	if p.Limit <= 0 {
		return 100
	}
	return min(p.Limit, 999)
}

// position is where a page starts: behind the row made then with that id.
func (p Page) position() (created int64, id string, err error) {
	if p.After == "" {
		return -1 << 62, "", nil
	}
	at, id, ok := strings.Cut(p.After, ".")
	created, perr := strconv.ParseInt(at, 36, 64)
	if !ok || perr != nil || len(id) > 64 {
		return 0, "", idp.Invalidf("bad_cursor", "cursor %q", p.After).On("after").Say("The cursor is none that this list gave.")
	}
	return created, id, nil
}

// next makes the cursor behind a row; the list is at its end when fewer rows
// than asked came.
func (p Page) next(n int, created time.Time, id string) string {
	if n < p.limit() {
		return ""
	}
	return Cursor(created, id)
}

// Cursor is what Page.After is for the part of a list behind the user or
// group with that time and id.
func Cursor(created time.Time, id string) string {
	return strconv.FormatInt(created.UnixMilli(), 36) + "." + id
}

// nothing turns "no row" into the NotFound of a noun, with a sentence.
func nothing(noun string, id any) error {
	return idp.NotFoundf(noun+"_unknown", "%s %v", noun, id).Say("There is no such " + noun + ".")
}
