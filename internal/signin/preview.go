package signin

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// Preview says what would happen to the people and keys of a tenant if next
// took the place of its policy. Nothing is written and no transaction held:
// what changes meanwhile may or may not be seen.
func (c *Corridor) Preview(ctx context.Context, tenant idp.TenantID, next policy.Policy, o policy.PreviewOptions) (policy.Impact, error) {
	old, err := c.policies.Get(ctx, tenant)
	if err != nil {
		return policy.Impact{}, fmt.Errorf("policy: %w", err)
	}
	people := c.subjects(ctx, tenant, namedBy(old, next))
	return policy.Preview(ctx, old, next, people, o)
}

// CheckSave refuses a policy that would take every way in from the acting
// administrator or from the last one (policy.LocksOut). actor may be empty.
func (c *Corridor) CheckSave(ctx context.Context, tenant idp.TenantID, old, next policy.Policy, actor idp.UserID) error {
	if reflect.DeepEqual(old.Methods, next.Methods) && reflect.DeepEqual(old.Passkey, next.Passkey) && old.Phone.Synced == next.Phone.Synced &&
		reflect.DeepEqual(old.Certificate, next.Certificate) {
		return nil // nothing that a way in depends on
	}
	var admins []policy.Subject
	groups := namedBy(old, next)
	withRole, err := c.directory.WithRole(ctx, tenant)
	if err != nil {
		return err
	}
	for _, p := range withRole {
		if p.Role != directory.Administrator {
			continue
		}
		var of []idp.GroupID
		if len(groups) > 0 {
			if of, err = c.directory.GroupsOf(ctx, tenant, p.ID); err != nil {
				return fmt.Errorf("groups of %s: %w", p.ID, err)
			}
		}
		s, err := c.subject(ctx, p.User, of)
		if err != nil {
			return err
		}
		admins = append(admins, s)
	}
	return policy.LocksOut(old, next, admins, actor)
}

// subject is a person in groups with what they hold.
func (c *Corridor) subject(ctx context.Context, u idp.User, groups []idp.GroupID) (policy.Subject, error) {
	s := policy.Subject{Who: policy.Who{User: u, Groups: policy.NewGroups(groups)}}
	creds, err := c.Credentials(ctx, u.Tenant, u.ID)
	for _, cred := range creds {
		s.Keys = append(s.Keys, held(cred))
	}
	return s, err
}

// CheckRegroup refuses to put user into a group, or to take them out, when no
// administrator would have a way in afterwards, as CheckSave does with a policy:
// idp.Denied "locks_out_administrators". user is empty when the group goes. It
// is for directory.OnRegroup.
func (c *Corridor) CheckRegroup(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, group idp.GroupID, user idp.UserID, joins bool) error {
	p, err := c.policies.Get(ctx, tenant)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	if !slices.Contains(p.NamedGroups(), group) {
		return nil // nothing that a way in depends on
	}
	if user != "" {
		// Only what concerns an administrator waits for others such.
		if role, err := c.directory.RoleIn(ctx, tx, tenant, user); err != nil || role != directory.Administrator {
			return err
		}
	}
	return c.leavesWayIn(ctx, tx, tenant, p, func(s policy.Subject, of []idp.GroupID) bool {
		if user == "" || user == s.User.ID {
			of = slices.DeleteFunc(slices.Clone(of), func(g idp.GroupID) bool { return g == group })
			if joins {
				of = append(of, group)
			}
			s.Groups = policy.NewGroups(of)
		}
		return p.WayIn(s)
	})
}

// CheckDemote refuses to take an administrator when none of the others has a
// way in: idp.Denied "locks_out_administrators". It is for
// directory.OnDemote.
func (c *Corridor) CheckDemote(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) error {
	p, err := c.policies.Get(ctx, tenant)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	return c.leavesWayIn(ctx, tx, tenant, p, func(s policy.Subject, _ []idp.GroupID) bool {
		return s.User.ID != user && p.WayIn(s)
	})
}

// leavesWayIn refuses a change when after says of no administrator that they
// would have a way in, and one has.
func (c *Corridor) leavesWayIn(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, p policy.Policy, after func(s policy.Subject, groups []idp.GroupID) bool) error {
	admins, err := c.directory.Administrators(ctx, tx, tenant)
	if err != nil {
		return err
	}
	had := false
	for _, id := range admins {
		u, err := c.directory.User(ctx, tx, tenant, id)
		if err != nil {
			return err
		}
		of, err := c.directory.GroupsOf(ctx, tenant, id)
		if err != nil {
			return fmt.Errorf("groups of %s: %w", id, err)
		}
		s, err := c.subject(ctx, u, of)
		if err != nil {
			return err
		}
		if after(s, of) {
			return nil
		}
		had = had || p.WayIn(s)
	}
	if !had {
		return nil // there is none to lose
	}
	return idp.Deniedf("locks_out_administrators", "none of %d administrators would have a way in", len(admins)).
		Say("No administrator would have a way in after this change. See first that another one has a method that the policies allow.")
}

func namedBy(policies ...policy.Policy) []idp.GroupID {
	var out []idp.GroupID
	for _, p := range policies {
		out = append(out, p.NamedGroups()...)
	}
	return out
}

func held(c method.Credential) policy.Held {
	return policy.Held{ID: c.ID, Method: c.Method, Facts: c.Facts, Dead: c.Bootstrap || c.Disabled || c.Orphaned}
}

// most is the longest page of people there is.
const most = 999

// People are the users of a tenant, read page by page in the order of lists.
func (c *Corridor) People(ctx context.Context, tenant idp.TenantID) iter.Seq2[directory.Person, error] {
	return paged(func(page directory.Page) ([]directory.Person, string, error) {
		return c.directory.Users(ctx, tenant, page)
	})
}

func paged(list func(directory.Page) ([]directory.Person, string, error)) iter.Seq2[directory.Person, error] {
	return func(yield func(directory.Person, error) bool) {
		for page := (directory.Page{Limit: most}); ; {
			some, next, err := list(page)
			if err != nil {
				yield(directory.Person{}, err)
				return
			}
			for _, p := range some {
				if !yield(p, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			page.After = next
		}
	}
}

// subjects are all people of a tenant with what they hold. groups are those
// that matter: their members are read, not the groups of everybody.
func (c *Corridor) subjects(ctx context.Context, tenant idp.TenantID, groups []idp.GroupID) iter.Seq2[policy.Subject, error] {
	return func(yield func(policy.Subject, error) bool) {
		keys, in, err := c.holdings(ctx, tenant, groups)
		if err != nil {
			yield(policy.Subject{}, err)
			return
		}
		for p, err := range c.People(ctx, tenant) {
			s := policy.Subject{Who: policy.Who{User: p.User, Groups: policy.NewGroups(in[p.ID])}, Keys: keys[p.ID]}
			if !yield(s, err) {
				return
			}
		}
	}
}

// holdings reads all credentials of a tenant, and the members of groups.
func (c *Corridor) holdings(ctx context.Context, tenant idp.TenantID, groups []idp.GroupID) (
	keys map[idp.UserID][]policy.Held, in map[idp.UserID][]idp.GroupID, err error) {
	keys = make(map[idp.UserID][]policy.Held)
	err = c.Walk(ctx, tenant, func(cred method.Credential) error {
		if !cred.Bootstrap {
			keys[cred.User] = append(keys[cred.User], held(cred))
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	in, err = c.Memberships(ctx, tenant, groups)
	return keys, in, err
}

// Walk calls fn for every credential of a tenant, over all methods, in no
// order and without what policy has against it. No transaction is held.
func (c *Corridor) Walk(ctx context.Context, tenant idp.TenantID, fn func(method.Credential) error) error {
	for _, r := range c.rooms {
		if r.manager == nil {
			continue
		}
		err := r.manager.Walk(ctx, tenant, func(cred method.Credential) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return fn(cred)
		})
		if err != nil {
			return fmt.Errorf("credentials of %s: %w", r.ID(), err)
		}
	}
	return nil
}

// Memberships says of everybody which of groups they are in. A group that is
// gone has no members.
func (c *Corridor) Memberships(ctx context.Context, tenant idp.TenantID, groups []idp.GroupID) (map[idp.UserID][]idp.GroupID, error) {
	in := make(map[idp.UserID][]idp.GroupID)
	read := make(map[idp.GroupID]bool)
	for _, g := range groups {
		if read[g] {
			continue
		}
		read[g] = true
		members := paged(func(page directory.Page) ([]directory.Person, string, error) {
			return c.directory.Members(ctx, tenant, g, page)
		})
		for p, err := range members {
			if idp.AsError(err) != nil && idp.AsError(err).Kind == idp.NotFound {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("members of %s: %w", g, err)
			}
			in[p.ID] = append(in[p.ID], g)
		}
	}
	return in, nil
}
