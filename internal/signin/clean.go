package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// Named is one credential of one person.
type Named struct {
	User       idp.UserID
	Method     idp.MethodID
	Credential idp.CredentialID
}

// Cleaning says who removes or restores many credentials, and whether that is
// only tried.
type Cleaning struct {
	Actor string // for the record
	Peer  Peer
	// Try finds out what would happen, by doing it all and taking it back.
	Try bool
	// Progress hears how many are done. It may be nil and must not block.
	Progress func(done int)
}

// errTry takes back what was only tried.
var errTry = errors.New("only tried")

// Clean takes many credentials away, in one transaction: what of them may go
// goes, each with an event of its own and with the sessions and tokens that stand
// on it, or nothing does when there is an error. What is refused comes back in the
// place where it was asked: "last_method" when the person would have no way in
// after it, whoever asks and however many others ask at this moment
// (security.md T48), and NotFound for what is not there.
func (c *Corridor) Clean(ctx context.Context, tenant idp.TenantID, list []Named, o Cleaning) ([]error, error) {
	dead, err := c.deadOf(ctx, tenant, list)
	if err != nil {
		return nil, err
	}
	return c.each(ctx, tenant, "remove", list, o, func() func(context.Context, *sqldb.Tx, Named) error {
		refused := make(map[idp.UserID]map[Named]deadKey, len(dead))
		for u, all := range dead {
			refused[u] = maps.Clone(all)
		}
		return func(ctx context.Context, tx *sqldb.Tx, n Named) error {
			return c.cleanOne(ctx, tx, tenant, n, refused[n.User])
		}
	})
}

// Restore gives back credentials of rooms that keep what was removed, as Clean
// took them away. What stood on them has ended and stays so.
func (c *Corridor) Restore(ctx context.Context, tenant idp.TenantID, list []Named, o Cleaning) ([]error, error) {
	return c.each(ctx, tenant, "restore", list, o, func() func(context.Context, *sqldb.Tx, Named) error {
		return func(ctx context.Context, tx *sqldb.Tx, n Named) error {
			r, err := c.managed(n.Method, n.Credential)
			if err != nil {
				return err
			}
			keeper, ok := r.Method.(method.Restorer)
			if !ok {
				return idp.Invalidf("method_not_restored", "method %q keeps nothing", n.Method).Say("What is removed of this method is gone.")
			}
			if err := c.directory.Lock(ctx, tx, tenant, n.User); err != nil {
				return err
			}
			_, err = keeper.Restore(ctx, tx, tenant, n.User, n.Credential)
			return err
		}
	})
}

// Removed calls fn for every credential that Restore could give back.
func (c *Corridor) Removed(ctx context.Context, tenant idp.TenantID, fn func(cred method.Credential, removed time.Time) error) error {
	for _, r := range c.rooms {
		if keeper, ok := r.Method.(method.Restorer); ok {
			if err := keeper.Removed(ctx, tenant, fn); err != nil {
				return fmt.Errorf("removed credentials of %s: %w", r.ID(), err)
			}
		}
	}
	return nil
}

// each does one thing to each of the list in one transaction, person by
// person: two that clean the same people at once wait for each other in one
// order. begin is called at the start of each run of the transaction.
func (c *Corridor) each(ctx context.Context, tenant idp.TenantID, verb string, list []Named, o Cleaning,
	begin func() func(context.Context, *sqldb.Tx, Named) error) ([]error, error) {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(list[a].User, list[b].User) })
	var out []error
	err := c.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		out = make([]error, len(list))
		do := begin()
		for done, i := range order {
			n := list[i]
			event := c.change(session.Session{Tenant: tenant, User: n.User}, string(n.Method)+"."+verb, n.Method, n.Credential, o.Peer)
			event.Actor = o.Actor
			out[i] = tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				if err := do(ctx, tx, n); err != nil {
					return err
				}
				return c.succeed(ctx, tx, event)
			})
			if out[i] != nil && !refusal(out[i]) {
				return out[i]
			}
			if out[i] != nil {
				if err := c.audit.Write(ctx, tx, failure(event, out[i])); err != nil {
					return err
				}
			}
			if o.Progress != nil {
				o.Progress(done + 1)
			}
		}
		if o.Try {
			return errTry
		}
		return nil
	})
	if err != nil && !errors.Is(err, errTry) {
		return nil, fmt.Errorf("%s %d credentials: %w", verb, len(list), err)
	}
	return out, nil
}

// deadKey is what looks like a way in and is refused by policy.
type deadKey struct {
	needs  idp.CredentialID // without which it is not even that
	needed bool             // by something that is a way in
}

// deadOf finds them, for each person of the list. Asked before the transaction:
// it reads much.
func (c *Corridor) deadOf(ctx context.Context, tenant idp.TenantID, list []Named) (map[idp.UserID]map[Named]deadKey, error) {
	out := make(map[idp.UserID]map[Named]deadKey)
	for _, n := range list {
		if out[n.User] != nil {
			continue
		}
		out[n.User] = make(map[Named]deadKey)
		all, err := c.Credentials(ctx, tenant, n.User)
		if err != nil {
			return nil, err
		}
		for _, one := range all {
			if refusedWay(one) {
				out[n.User][Named{User: n.User, Method: one.Method, Credential: one.ID}] = deadKey{needs: one.Needs, needed: needed(all, one.ID)}
			}
		}
	}
	return out, nil
}

// refusedWay says whether a credential looks like a way in and is none, because
// policy refuses it.
func refusedWay(c method.Credential) bool {
	return !c.Bootstrap && !c.Disabled && !c.Orphaned && !c.Refusal.Allowed()
}

// cleanOne removes a credential that is not the last way in of its person.
func (c *Corridor) cleanOne(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, n Named, refused map[Named]deadKey) error {
	r, err := c.managed(n.Method, n.Credential)
	if err != nil {
		return err
	}
	if err := c.directory.Lock(ctx, tx, tenant, n.User); err != nil {
		return err
	}
	had, err := r.manager.Count(ctx, tx, tenant, n.User)
	if err != nil {
		return fmt.Errorf("count %s: %w", n.Method, err)
	}
	if err := r.manager.Remove(ctx, tx, tenant, n.User, n.Credential); err != nil {
		return err
	}
	goes := func(one Named, key deadKey) bool { return one == n || key.needs == n.Credential }
	stays := maps.Clone(refused)
	maps.DeleteFunc(stays, goes) // what needs it goes along, and is counted no more
	if key, ok := refused[n]; !ok || key.needed {
		if err := c.leavesOne(ctx, tx, r, had, len(stays), tenant, n.User); err != nil {
			return err
		}
	}
	maps.DeleteFunc(refused, goes)
	return c.endOn(ctx, tx, tenant, n.User, n.Method, n.Credential, "")
}

// endOn ends the sessions, but for one, and the tokens that stand on a
// credential.
func (c *Corridor) endOn(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, m idp.MethodID, cred idp.CredentialID, except idp.SessionID) error {
	if _, err := c.sessions.EndStanding(ctx, tx, tenant, user, m, cred, except); err != nil {
		return fmt.Errorf("end sessions on %s: %w", cred, err)
	}
	if c.revoke == nil {
		return nil
	}
	if err := c.revoke(ctx, tx, tenant, user, m, cred); err != nil {
		return fmt.Errorf("revoke tokens on %s: %w", cred, err)
	}
	return nil
}

// Stranded are the people who would have no way in without the given
// credentials: what to tell before a device goes.
func (c *Corridor) Stranded(ctx context.Context, tenant idp.TenantID, without []method.Credential) ([]idp.UserID, error) {
	gone := make(map[Named]bool, len(without))
	lost := make(map[idp.CredentialID]bool, len(without))
	for _, w := range without {
		gone[Named{User: w.User, Method: w.Method, Credential: w.ID}] = true
		lost[w.ID] = true
	}
	var out []idp.UserID
	seen := make(map[idp.UserID]bool)
	for _, w := range without {
		if seen[w.User] {
			continue
		}
		seen[w.User] = true
		all, err := c.Credentials(ctx, tenant, w.User)
		if err != nil {
			return nil, err
		}
		has := slices.ContainsFunc(all, method.Credential.Usable)
		keeps := slices.ContainsFunc(all, func(x method.Credential) bool {
			return x.Usable() && !gone[Named{User: x.User, Method: x.Method, Credential: x.ID}] && !lost[x.Needs]
		})
		if has && !keeps {
			out = append(out, w.User)
		}
	}
	return out, nil
}

// CheckDevice refuses to remove or to switch off a device when no
// administrator would have a way in after it, and one has: idp.Denied
// "locks_out_administrators" (security.md POL07). It is for device.OnRemove and
// device.OnDisable, behind what orphans its keys.
func (c *Corridor) CheckDevice(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, device idp.DeviceID) error {
	concerned, err := c.opensFor(ctx, tenant, device)
	if err != nil || !concerned {
		return err // only what concerns an administrator waits for others such
	}
	admins, err := c.directory.Administrators(ctx, tx, tenant)
	if err != nil {
		return err
	}
	for _, a := range admins {
		left, err := c.ways(ctx, tx, tenant, a)
		if err != nil || left > 0 {
			return err
		}
	}
	return idp.Deniedf("locks_out_administrators", "none of %d administrators would have a way in without device %s", len(admins), device).
		Say("No administrator would have a way in after this. Register another method for one first.")
}

// opensFor says whether a device keeps a key that lets an administrator in.
func (c *Corridor) opensFor(ctx context.Context, tenant idp.TenantID, device idp.DeviceID) (bool, error) {
	holders, err := c.directory.WithRole(ctx, tenant)
	if err != nil {
		return false, err
	}
	for _, p := range holders {
		if p.Role != directory.Administrator || !p.Enabled {
			continue
		}
		all, err := c.Credentials(ctx, tenant, p.ID)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(all, func(k method.Credential) bool { return k.Facts.Device == device && k.Usable() }) {
			return true, nil
		}
	}
	return false, nil
}
