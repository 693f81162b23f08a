package signin

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the table of this package.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Config is what a Corridor needs.
type Config struct {
	DB        *sqldb.DB
	Box       *nonce.Box
	Directory *directory.Directory
	Clients   *client.Registry
	Policies  *policy.Store
	Sessions  *session.Store
	Audit     *audit.Log
	Now       func() time.Time
	Methods   []method.Method // in the order in which pages offer them
	// RevokeStanding ends the tokens that stand on a credential of a person
	// which is going away, in the transaction of its removal. Nil: there are
	// no tokens.
	RevokeStanding func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.MethodID, idp.CredentialID) error
}

// Corridor leads flows from a door to an outcome.
type Corridor struct {
	db        *sqldb.DB
	box       *nonce.Box
	directory *directory.Directory
	clients   *client.Registry
	policies  *policy.Store
	sessions  *session.Store
	audit     *audit.Log
	now       func() time.Time
	revoke    func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.MethodID, idp.CredentialID) error
	rooms     []room
}

// room is a method with its optional sides, looked up once.
type room struct {
	method.Method
	registrar  method.Registrar
	oneShot    method.OneShot
	manager    method.Manager
	waiter     method.Waiter
	withdrawer method.Withdrawer
	away       bool // answered at another address of this server
	viewer     method.Viewer
}

// New makes a Corridor. Two methods of one id are an error.
func New(cfg Config) (*Corridor, error) {
	c := &Corridor{
		db: cfg.DB, box: cfg.Box, directory: cfg.Directory, clients: cfg.Clients, policies: cfg.Policies,
		sessions: cfg.Sessions, audit: cfg.Audit, now: cfg.Now, revoke: cfg.RevokeStanding,
	}
	seen := map[idp.MethodID]bool{}
	for _, m := range cfg.Methods {
		if m.ID() == "" || seen[m.ID()] {
			return nil, fmt.Errorf("two methods with the id %q", m.ID())
		}
		seen[m.ID()] = true
		r := room{Method: m}
		r.registrar, _ = m.(method.Registrar)
		r.oneShot, _ = m.(method.OneShot)
		r.manager, _ = m.(method.Manager)
		r.waiter, _ = m.(method.Waiter)
		r.withdrawer, _ = m.(method.Withdrawer)
		_, r.away = m.(method.Away)
		r.viewer, _ = m.(method.Viewer)
		c.rooms = append(c.rooms, r)
	}
	return c, nil
}

// Shapes says how the credentials of each room look in the Graph-shaped API.
func (c *Corridor) Shapes() map[idp.MethodID]method.Shape {
	out := map[idp.MethodID]method.Shape{}
	for _, r := range c.rooms {
		if s, ok := r.Method.(method.Shaper); ok {
			out[r.ID()] = s.Shape()
		}
	}
	return out
}

// room finds a method that the tenant's policy has switched on at this moment:
// one that was switched off stops at once, also for ceremonies under way
// (POL02).
func (c *Corridor) room(ctx context.Context, tenant idp.TenantID, id idp.MethodID) (room, error) {
	// Of nobody in particular: what a person may use is asked once they have
	// proven who they are.
	p, nobody, err := c.policies.For(ctx, tenant, idp.User{})
	if err != nil {
		return room{}, err
	}
	r, ok := c.find(id)
	if !ok {
		return room{}, idp.NotFoundf("method_unknown", "method %q", id)
	}
	if ruling := p.Judge(nobody, policy.Use, id, nil); !ruling.Allowed() {
		return room{}, refusedKey(ruling.Refusal)
	}
	return r, nil
}

// judge asks policy about a person and a method, or one credential of it.
func (c *Corridor) judge(ctx context.Context, user idp.User, act policy.Act, m idp.MethodID, key *idp.Facts) (policy.Ruling, error) {
	p, w, err := c.policies.For(ctx, user.Tenant, user)
	if err != nil {
		return policy.Ruling{}, err
	}
	return p.Judge(w, act, m, key), nil
}

func (c *Corridor) find(id idp.MethodID) (room, bool) {
	for _, r := range c.rooms {
		if r.ID() == id {
			return r, true
		}
	}
	return room{}, false
}

// Has says whether there is such a method, switched on or not.
func (c *Corridor) Has(id idp.MethodID) bool {
	_, ok := c.find(id)
	return ok
}

// Offers gives the methods that the tenant allows to anybody at all, in the
// order that it prefers, whoever asks (decisions 2.7).
func (c *Corridor) Offers(ctx context.Context, f Flow) ([]Offer, error) {
	p, nobody, err := c.policies.For(ctx, f.Tenant, idp.User{})
	if err != nil {
		return nil, err
	}
	ids := make([]idp.MethodID, 0, len(c.rooms))
	for _, r := range c.rooms {
		// A method without a page is none to offer on one.
		if r.viewer != nil && p.Judge(nobody, policy.Use, r.ID(), nil).Allowed() {
			ids = append(ids, r.ID())
		}
	}
	out := make([]Offer, 0, len(ids))
	for _, id := range p.Preferred(nobody, ids) {
		r, _ := c.find(id)
		out = append(out, Offer{ID: id, View: r.viewer.View(), Waits: r.waiter != nil, Away: r.away})
	}
	return out, nil
}
