package signin

import (
	"context"
	"fmt"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// deed is what one transaction of the corridor does.
type deed struct {
	burn   []nonce.Sealed
	failed error         // what is known to be wrong already: effect is not run
	count  method.Settle // counts a failure that is known already; may be nil
	// effect settles a good answer. It may run twice, and writes the record
	// of what it did.
	effect func(context.Context, *sqldb.Tx) error
	// undone, when not nil, is run when failed or effect was refused: what
	// must go because of the failure.
	undone func(context.Context, *sqldb.Tx) error
	event  audit.Event // of the failure, but for its reason
	// anonymous failures are recorded after the commit, where audit keeps
	// the number of such records down (decisions 3.5).
	anonymous bool
}

// commit is decisions 1.1: one transaction that always commits. It burns, by
// one conditional statement a nonce, and with it either settles the effect or
// counts the failure. Whoever loses the burn gets idp.Expired, whatever else
// would have been the answer, and changes nothing.
//
// Only a trouble of our own (a database that is down) rolls all of it back.
func (c *Corridor) commit(ctx context.Context, d deed) error {
	var refused error
	err := c.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		refused = d.failed
		for _, s := range d.burn {
			if err := nonce.Burn(ctx, tx, s); err != nil {
				return over(err)
			}
		}
		if refused == nil {
			if refused = tx.Nested(ctx, d.effect); refused == nil {
				return nil
			}
			if !refusal(refused) {
				return refused
			}
		} else if d.count != nil {
			if err := d.count(ctx, tx); err != nil {
				return fmt.Errorf("count failure: %w", err)
			}
		}
		if d.undone != nil {
			if err := d.undone(ctx, tx); err != nil {
				return fmt.Errorf("end flow: %w", err)
			}
		}
		if d.anonymous {
			return nil
		}
		return c.audit.Write(ctx, tx, failure(d.event, refused))
	})
	if err != nil {
		// A burn that was lost is an event as well; with the transaction
		// nothing of it was written.
		return c.failed(ctx, d.event, err)
	}
	if refused != nil && d.anonymous {
		return c.failed(ctx, d.event, refused)
	}
	return refused
}

// failed records a refusal that burns nothing and returns it. Such records
// cost a stranger nothing, so audit keeps them down to a number (decisions
// 3.5). A refusal that cannot be recorded is still one.
func (c *Corridor) failed(ctx context.Context, e audit.Event, err error) error {
	if !refusal(err) {
		return err
	}
	if werr := c.audit.Failure(ctx, c.db, failure(e, err)); werr != nil {
		return fmt.Errorf("record refusal: %w", werr)
	}
	return err
}

func failure(e audit.Event, err error) audit.Event {
	x := idp.AsError(err)
	e.Outcome, e.Reason, e.Code = audit.Failure, x.Reason, x.Code
	if e.Activity == "" {
		e.Activity = "signin.refused"
	}
	return e
}

// event is the beginning of every record of a flow.
func (c *Corridor) event(f Flow, peer Peer) audit.Event {
	return audit.Event{
		Tenant: f.Tenant, Category: audit.SignIn, User: f.User, Actor: string(f.User), Client: f.Client,
		IP: peer.IP, Agent: peer.Agent, Trace: peer.Trace,
	}
}

// change is the beginning of every record of a person changing their own
// methods.
func (c *Corridor) change(s session.Session, activity string, m idp.MethodID, cred idp.CredentialID, peer Peer) audit.Event {
	return audit.Event{
		Tenant: s.Tenant, Category: audit.Change, Activity: activity, User: s.User, Actor: string(s.User),
		Session: s.ID, Method: m, Credential: cred,
		IP: peer.IP, Agent: peer.Agent, Trace: peer.Trace,
	}
}

// enabled asks in the transaction whether the person may still sign in.
func (c *Corridor) enabled(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, id idp.UserID) error {
	enabled, err := c.directory.Enabled(ctx, tx, tenant, id)
	if err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if !enabled {
		return idp.Deniedf("user_disabled", "user %s is disabled", id).Coded(codeDisabled).Say(sayDisabled)
	}
	return nil
}
