package signin

import (
	"context"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// SavePolicy puts next in the place of old, and writes e with what changed in
// the same transaction. It is the only road to a policy: every door that saves
// one comes by here. actor is the acting administrator, who must not be locked out; empty
// for a command line. The policy that is returned has its new version.
//
// Errors: idp.Invalid for a policy that contradicts itself, or names a key
// model with a typing error, idp.Denied "locks_out_actor" or
// "locks_out_administrators", idp.Conflict when the tenant's policy is no
// longer old.
func (c *Corridor) SavePolicy(ctx context.Context, tenant idp.TenantID, old, next policy.Policy, actor idp.UserID, e audit.Event) (policy.Policy, error) {
	next.Version = old.Version
	if err := c.policies.Check(next); err != nil {
		return policy.Policy{}, err
	}
	// Asked before the transaction: it reads the keys of all administrators.
	// Put compares the version, so what is saved is what was judged.
	if err := c.CheckSave(ctx, tenant, old, next, actor); err != nil {
		return policy.Policy{}, err
	}
	e.Tenant, e.Category, e.Outcome = tenant, audit.Change, audit.Success
	if err := policy.Record(&e, old, next); err != nil {
		return policy.Policy{}, err
	}
	var saved policy.Policy
	err := c.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if err := c.policies.Put(ctx, tx, tenant, next); err != nil {
			return err
		}
		if saved, err = c.policies.Load(ctx, tx, tenant); err != nil {
			return err
		}
		return c.audit.Write(ctx, tx, e)
	})
	return saved, err
}
