package signin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// Credentials lists what a user has registered, over all methods, in the order
// of the methods, each with what policy has against it at present.
func (c *Corridor) Credentials(ctx context.Context, tenant idp.TenantID, user idp.UserID) ([]method.Credential, error) {
	var out []method.Credential
	for _, r := range c.rooms {
		if r.manager == nil {
			continue
		}
		list, err := r.manager.List(ctx, tenant, user)
		if err != nil {
			return nil, fmt.Errorf("credentials of %s: %w", r.ID(), err)
		}
		out = append(out, list...)
	}
	return out, c.rule(ctx, tenant, user, out)
}

// rule sets what policy has against each credential of a person.
func (c *Corridor) rule(ctx context.Context, tenant idp.TenantID, user idp.UserID, list []method.Credential) error {
	if len(list) == 0 {
		return nil
	}
	u, err := c.directory.User(ctx, c.db, tenant, user)
	if errors.Is(err, idp.NotFound) {
		return nil // of somebody who is gone there is nothing to say
	}
	if err != nil {
		return fmt.Errorf("user of credentials: %w", err)
	}
	p, w, err := c.policies.For(ctx, tenant, u)
	if err != nil {
		return err
	}
	w.User.Enabled = true // that somebody may not sign in is not their keys' fault
	for i := range list {
		list[i].Refusal = p.Judge(w, policy.Use, list[i].Method, &list[i].Facts).Refusal
	}
	return nil
}

// Rename gives a credential of the session's user another name. A session on
// a pass may not: idp.Denied.
func (c *Corridor) Rename(ctx context.Context, s session.Session, m idp.MethodID, cred idp.CredentialID, name string, peer Peer) error {
	event := c.change(s, string(m)+".rename", m, cred, peer)
	r, err := c.managed(m, cred)
	if err == nil && OnPass(s) {
		err = onPass(s)
	}
	if err != nil {
		return c.failed(ctx, event, err)
	}
	return c.commit(ctx, deed{event: event, effect: func(ctx context.Context, tx *sqldb.Tx) error {
		if err := r.manager.Rename(ctx, tx, s.Tenant, s.User, cred, name); err != nil {
			return err
		}
		return c.succeed(ctx, tx, event)
	}})
}

// Remove takes a credential of the session's user away and ends the other
// sessions that stand on it. The gesture behind the session must be fresh,
// idp.Denied "fresh_proof_needed", and of several factors unless it was by the
// same method, "stronger_proof_needed"; the last usable credential stays,
// "last_method".
func (c *Corridor) Remove(ctx context.Context, s session.Session, m idp.MethodID, cred idp.CredentialID, peer Peer) error {
	event := c.change(s, string(m)+".remove", m, cred, peer)
	if err := c.mayTake(s, m); err != nil {
		return c.failed(ctx, event, err)
	}
	rest, err := c.dead(ctx, s, m, cred)
	if err != nil {
		return err
	}
	return c.remove(ctx, s.Tenant, s.User, m, cred, s.ID, event, keep{own: true, dead: rest})
}

// dead counts, of the credentials that would stay, those that look like a way
// in and that policy refuses. It is below zero when the one to go is such: that
// one may always go, unless a way in that is none without it goes along.
func (c *Corridor) dead(ctx context.Context, s session.Session, m idp.MethodID, cred idp.CredentialID) (n int, err error) {
	all, err := c.Credentials(ctx, s.Tenant, s.User)
	for _, one := range all {
		switch {
		case !refusedWay(one):
		case one.ID == cred && one.Method == m:
			if !needed(all, cred) {
				return -1, err
			}
		case cred != "" && one.Needs == cred: // it goes along, and is counted no more
		default:
			n++
		}
	}
	return n, err
}

// needed says whether a way in is none without a credential.
func needed(all []method.Credential, cred idp.CredentialID) bool {
	return slices.ContainsFunc(all, func(one method.Credential) bool { return one.Needs == cred && one.Usable() })
}

// RemoveFor is Remove by somebody else: actor is for the record, and whether
// they may is the door's to find out. All sessions on the credential end.
// It may take the last one, as an administrator gives a pass afterwards; but
// not their own by an actor (WAN12), idp.Denied "last_method", nor the last one
// of all administrators (POL07), idp.Denied "locks_out_administrators".
func (c *Corridor) RemoveFor(ctx context.Context, tenant idp.TenantID, user idp.UserID, m idp.MethodID, cred idp.CredentialID, actor string, peer Peer) error {
	return c.RemoveOnce(ctx, OnceRequest{Tenant: tenant, Method: m, User: idp.User{ID: user, Tenant: tenant}, Peer: peer}, cred, actor)
}

// RemoveOnce is RemoveFor by one message: of r it takes the tenant, method,
// person and peer, the nonces, which every outcome burns, and First, all in the
// removal's own transaction.
func (c *Corridor) RemoveOnce(ctx context.Context, r OnceRequest, cred idp.CredentialID, actor string) error {
	s := session.Session{Tenant: r.Tenant, User: r.User.ID}
	event := c.change(s, string(r.Method)+".remove", r.Method, cred, r.Peer)
	event.Actor = actor
	rest, err := c.dead(ctx, s, r.Method, cred)
	if err != nil {
		return err
	}
	return c.remove(ctx, r.Tenant, r.User.ID, r.Method, cred, "", event,
		keep{own: actor == string(r.User.ID), dead: rest, administrators: true, burn: set(r.Nonces), first: r.First})
}

// keep says what a removal must leave.
type keep struct {
	own            bool // a way in for the person themselves
	dead           int  // as the func of this name says
	administrators bool // a way in for one administrator at least

	burn  []nonce.Sealed                         // of the message that asks for it
	first func(context.Context, *sqldb.Tx) error // what must be so; nil: nothing
}

func (c *Corridor) remove(ctx context.Context, tenant idp.TenantID, user idp.UserID, m idp.MethodID, cred idp.CredentialID,
	except idp.SessionID, event audit.Event, must keep) error {
	r, err := c.managed(m, cred)
	if err != nil {
		return c.failed(ctx, event, err)
	}
	return c.commit(ctx, deed{event: event, burn: must.burn, effect: func(ctx context.Context, tx *sqldb.Tx) error {
		if must.first != nil {
			if err := must.first(ctx, tx); err != nil {
				return err
			}
		}
		// The lock puts parallel removals in an order, over all rooms and
		// on both databases: each sees what the one before has left.
		var admins []idp.UserID
		var err error
		if must.administrators {
			admins, err = c.directory.LockWithRole(ctx, tx, tenant, user)
		} else {
			err = c.directory.Lock(ctx, tx, tenant, user)
		}
		if err != nil {
			return err
		}
		had, err := r.manager.Count(ctx, tx, tenant, user)
		if err != nil {
			return fmt.Errorf("count %s: %w", m, err)
		}
		if err := r.manager.Remove(ctx, tx, tenant, user, cred); err != nil {
			return err
		}
		if must.own && must.dead >= 0 {
			if err := c.leavesOne(ctx, tx, r, had, must.dead, tenant, user); err != nil {
				return err
			}
		}
		if slices.Contains(admins, user) && must.dead >= 0 {
			if err := c.leavesAdministrator(ctx, tx, r, had, tenant, user, admins); err != nil {
				return err
			}
		}
		if err := c.endOn(ctx, tx, tenant, user, m, cred, except); err != nil {
			return err
		}
		return c.succeed(ctx, tx, event)
	}})
}

// leavesAdministrator refuses a removal after which no administrator has a way
// in. What was no way in may always go.
func (c *Corridor) leavesAdministrator(ctx context.Context, tx *sqldb.Tx, from room, had int, tenant idp.TenantID, user idp.UserID, admins []idp.UserID) error {
	if n, err := from.manager.Count(ctx, tx, tenant, user); err != nil || n == had {
		return err
	}
	for _, a := range admins {
		left, err := c.ways(ctx, tx, tenant, a)
		if err != nil || left > 0 {
			return err
		}
	}
	return idp.Deniedf("locks_out_administrators", "none of %d administrators would have a way in", len(admins)).
		Say("No administrator would have a way in after this. Register another method for one first.")
}

// ways counts what a person could sign in with, as it is in tx; what policy
// refuses is no way in.
func (c *Corridor) ways(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) (n int, err error) {
	if n, err = c.counted(ctx, tx, tenant, user); err != nil || n == 0 {
		return 0, err
	}
	refused, err := c.dead(ctx, session.Session{Tenant: tenant, User: user}, "", "")
	return n - refused, err
}

// leavesOne refuses a removal that took the last way in. What was no way in (a
// pass, a disabled key) may always go; dead of those that are left are none.
func (c *Corridor) leavesOne(ctx context.Context, tx *sqldb.Tx, from room, had, dead int, tenant idp.TenantID, user idp.UserID) error {
	left := 0
	for _, r := range c.rooms {
		if r.manager == nil {
			continue
		}
		n, err := r.manager.Count(ctx, tx, tenant, user)
		if err != nil {
			return fmt.Errorf("count %s: %w", r.ID(), err)
		}
		if r.ID() == from.ID() && n == had {
			return nil
		}
		left += n
	}
	if left <= dead {
		return idp.Deniedf("last_method", "user %s would have no way in", user).Say(sayLast)
	}
	return nil
}

// managed finds the room that would have a credential, whether or not the
// method is on: what was switched off may still be taken away.
func (c *Corridor) managed(m idp.MethodID, cred idp.CredentialID) (room, error) {
	r, ok := c.find(m)
	if !ok || r.manager == nil {
		return room{}, idp.NotFoundf("method_unknown", "method %.40q", m)
	}
	if !plain(string(cred)) {
		return room{}, idp.NotFoundf("credential_unknown", "malformed id of %s", m)
	}
	return r, nil
}

func (c *Corridor) succeed(ctx context.Context, tx *sqldb.Tx, e audit.Event) error {
	e.Outcome = audit.Success
	return c.audit.Write(ctx, tx, e)
}

// OnPass says whether a session stands on nothing but what an administrator
// handed out. Whether or not it opens apps, on our own pages it serves to add
// a method and for nothing else (decisions 2.8).
func OnPass(s session.Session) bool {
	return s.Restricted || !slices.ContainsFunc(s.Proofs, lasts)
}

// mayTake says whether the person of a session may take away a credential of m,
// or with an empty one a machine. One factor takes away no more than its like:
// else a copy of a certificate's key would leave its owner with nothing better.
func (c *Corridor) mayTake(s session.Session, m idp.MethodID) error {
	if OnPass(s) {
		return onPass(s)
	}
	now := c.now()
	age := now.Sub(gesture(s, func(idp.Proof) bool { return true }))
	enough := func(p idp.Proof) bool { return p.Has(idp.MultiFactor) || m != "" && p.Method == m }
	switch {
	case age > changeWithin:
		return stale(s.User, age)
	case now.Sub(gesture(s, enough)) > changeWithin:
		return idp.Deniedf("stronger_proof_needed", "user %s has shown one factor", s.User).Coded(codeFresh).Say(sayStronger)
	}
	return nil
}

// gesture is when the person last proved themselves by something of their own
// that is good enough, and not in another place than where it is used.
func gesture(s session.Session, enough func(idp.Proof) bool) (last time.Time) {
	for _, p := range s.Proofs {
		if lasts(p) && !p.Has(idp.Remote) && enough(p) && p.Time.After(last) {
			last = p.Time
		}
	}
	return last
}

func onPass(s session.Session) error {
	return idp.Deniedf("pass_session", "session %s was opened by a pass", s.ID).Coded(codeFresh).Say(sayStronger)
}
