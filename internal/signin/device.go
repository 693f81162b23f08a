package signin

import (
	"context"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// GiveUp is for what somebody does to a machine of their own, by which they may
// lose a way in: activity names it in the record, effect does it. The gesture
// behind the session must be fresh, idp.Denied "fresh_proof_needed", and of
// several factors, "stronger_proof_needed"; a way in must be left where there was
// one, "last_method" (security.md WAN12). detail goes into the record, beside the
// machine.
func (c *Corridor) GiveUp(ctx context.Context, s session.Session, d idp.DeviceID, activity string, detail map[string]string, peer Peer,
	effect func(context.Context, *sqldb.Tx) error) error {
	event := c.change(s, activity, "", "", peer)
	event.Detail = map[string]string{}
	for name, value := range detail {
		event.Detail[name] = value
	}
	event.Detail[DetailDevice] = string(d)
	if err := c.mayTake(s, ""); err != nil {
		return c.failed(ctx, event, err)
	}
	all, err := c.Credentials(ctx, s.Tenant, s.User)
	if err != nil {
		return err
	}
	had, refused := 0, 0 // of what looks like a way in elsewhere, policy refuses some
	for _, one := range all {
		if one.Usable() {
			had++
		}
		if refusedWay(one) && one.Facts.Device != d {
			refused++
		}
	}
	return c.commit(ctx, deed{event: event, effect: func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := c.directory.LockWithRole(ctx, tx, s.Tenant, s.User); err != nil {
			return err
		}
		before, err := c.counted(ctx, tx, s.Tenant, s.User)
		if err != nil {
			return err
		}
		if err := effect(ctx, tx); err != nil {
			return err
		}
		left, err := c.counted(ctx, tx, s.Tenant, s.User)
		if err != nil {
			return err
		}
		if left < before && had > 0 && left <= refused {
			return idp.Deniedf("last_method", "user %s would have no way in without device %s", s.User, d).Say(sayLast)
		}
		return c.succeed(ctx, tx, event)
	}})
}

// counted is how many ways in a person has as rooms count them, whatever policy
// says of them.
func (c *Corridor) counted(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) (n int, err error) {
	for _, r := range c.rooms {
		if r.manager == nil {
			continue
		}
		some, err := r.manager.Count(ctx, tx, tenant, user)
		if err != nil {
			return 0, fmt.Errorf("count %s: %w", r.ID(), err)
		}
		n += some
	}
	return n, nil
}
