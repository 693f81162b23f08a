package signin

import (
	"context"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Provisioning is a registration for somebody else: an administrator has the
// key in hand. There is no flow and no session; the challenge is bound to both
// of them (decisions 2.3; security.md WAN14) and kept in a row, because it may
// wait longer than a sealed value may live.
type Provisioning struct {
	Tenant idp.TenantID
	Target idp.UserID
	Actor  string // who does it, as in the audit
	Method idp.MethodID
}

// maxProvision is the longest that a challenge may wait (entra-behaviours.md
// §0: challengeTimeoutInMinutes up to 43200).
const maxProvision = 30 * 24 * time.Hour

// BeginProvision makes a challenge. named finds in what goes to the client the
// name under which the answer will come back: for WebAuthn the challenge.
//
// Errors: idp.Denied for oneself, a guest, a disabled person or a method that
// is off, and what the room refuses, such as too many credentials.
func (c *Corridor) BeginProvision(ctx context.Context, p Provisioning, lives time.Duration, named func(show []byte) (string, error), peer Peer) (Begun, error) {
	if lives <= 0 || lives > maxProvision {
		return Begun{}, idp.Invalidf("provision_lifetime", "%s", lives).Say("The challenge may wait 5 minutes to 30 days.")
	}
	r, user, err := c.mayProvision(ctx, p)
	if err != nil {
		return Begun{}, c.failed(ctx, c.provision(p, user, "", peer), err)
	}
	ch, err := r.registrar.BeginRegister(ctx, method.Request{Tenant: p.Tenant, User: user, UserName: user.Name, Now: c.now()})
	if err != nil {
		return Begun{}, fmt.Errorf("begin to provision %s: %w", p.Method, err)
	}
	if ch.Settle != nil {
		return Begun{}, idp.Invalidf("method_not_registered", "%s is registered by its owner", p.Method)
	}
	name, err := named(ch.Show)
	if err != nil {
		return Begun{}, fmt.Errorf("name of a provisioning challenge: %w", err)
	}
	until := c.now().Add(lives)
	_, err = c.db.Exec(ctx, `
		insert into provision (tenant_id, id, user_id, actor, method, keep, expires) values ($1, $2, $3, $4, $5, $6, $7)`,
		p.Tenant, secret.Digest(name), p.Target, p.Actor, p.Method, ch.Keep, until.UnixMilli())
	if err != nil {
		return Begun{}, fmt.Errorf("keep a provisioning challenge: %w", err)
	}
	return Begun{Show: ch.Show, Expires: until}, nil
}

func (c *Corridor) mayProvision(ctx context.Context, p Provisioning) (room, idp.User, error) {
	user, err := c.directory.User(ctx, c.db, p.Tenant, p.Target)
	if err != nil {
		return room{}, user, fmt.Errorf("whom to provision: %w", err)
	}
	switch {
	case p.Actor == "" || p.Actor == string(p.Target):
		return room{}, user, idp.Deniedf("provision_for_oneself", "actor %s", p.Actor).Say("Nobody can do this for themselves; use the account page.")
	case user.Type == idp.Guest:
		return room{}, user, idp.Deniedf("guest_may_not_register", "user %s", user.ID).Coded(policy.CodeBlocked).Say("Guests bring the methods of their home.")
	case !user.Enabled:
		return room{}, user, idp.Deniedf("user_disabled", "user %s is disabled", user.ID).Coded(codeDisabled).Say("The person is switched off.")
	}
	r, err := c.room(ctx, p.Tenant, p.Method)
	if err == nil {
		var ruling policy.Ruling
		if ruling, err = c.judge(ctx, user, policy.AddFor, p.Method, nil); err == nil && !ruling.Allowed() {
			err = refusedKey(ruling.Refusal)
		}
	}
	if err == nil && r.registrar == nil {
		err = idp.Invalidf("method_not_registered", "nobody registers for %q so", p.Method)
	}
	return r, user, err
}

// FinishProvision takes what came back under that name. It works once, and a
// wrong answer burns the challenge too. For another target, by another actor,
// late or again it is idp.Expired, as if there had never been a challenge.
func (c *Corridor) FinishProvision(ctx context.Context, p Provisioning, name string, payload []byte, peer Peer) (method.Credential, error) {
	event := c.provision(p, idp.User{}, "", peer)
	id := secret.Digest(name)
	var keep []byte
	err := c.db.QueryRow(ctx, `
		select keep from provision
		where tenant_id = $1 and id = $2 and user_id = $3 and actor = $4 and method = $5 and expires > $6`,
		p.Tenant, id, p.Target, p.Actor, p.Method, c.now().UnixMilli()).Scan(&keep)
	if err != nil {
		return method.Credential{}, c.failed(ctx, event, provisionOver(err))
	}
	r, user, err := c.mayProvision(ctx, p)
	var reg method.Registration
	if err == nil {
		reg, err = r.registrar.FinishRegister(ctx, method.Answer{Tenant: p.Tenant, User: user, Keep: keep, Payload: payload, Now: c.now()})
	}
	if err == nil {
		err = ours(reg, p.Tenant, p.Target, p.Method)
	}
	event = c.provision(p, user, reg.Credential.ID, peer)
	if err == nil {
		ruling, jerr := c.judge(ctx, user, policy.AddFor, p.Method, &reg.Credential.Facts)
		if jerr != nil {
			return method.Credential{}, jerr
		}
		wouldRefuse(&event, ruling.Would)
		if event.Rule = ruling.Rule; !ruling.Allowed() {
			err = refusedKey(ruling.Refusal)
		}
	}
	if err != nil && !refusal(err) {
		return method.Credential{}, fmt.Errorf("provision %s: %w", p.Method, err)
	}
	judged, refused := err, error(nil)
	err = c.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n, err := tx.Exec(ctx, `delete from provision where tenant_id = $1 and id = $2`, p.Tenant, id)
		if err != nil {
			return fmt.Errorf("burn a provisioning challenge: %w", err)
		}
		if n == 0 {
			return provisionOver(idp.NotFound)
		}
		if refused = judged; refused == nil {
			refused = tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				if err := c.enabled(ctx, tx, p.Tenant, p.Target); err != nil {
					return err
				}
				if err := reg.Settle(ctx, tx); err != nil {
					return err
				}
				return registered(ctx, tx, p.Tenant, p.Target, p.Method)
			})
		}
		if refused != nil && !refusal(refused) {
			return refused
		}
		e := event
		e.Outcome = audit.Success
		if refused != nil {
			e = failure(e, refused)
		}
		return c.audit.Write(ctx, tx, e)
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return method.Credential{}, err
	}
	return reg.Credential, nil
}

// provisionOver makes "no such row" what it means to whoever answers.
func provisionOver(err error) error {
	if idp.AsError(err).Kind != idp.NotFound {
		return fmt.Errorf("find a provisioning challenge: %w", err)
	}
	return idp.Expiredf("provision_over", "no challenge under that name for this person and actor").
		Say("The challenge is over, was used, or was made for somebody else. Get a new one.")
}

// provision is the beginning of every record of it.
func (c *Corridor) provision(p Provisioning, user idp.User, cred idp.CredentialID, peer Peer) audit.Event {
	return audit.Event{
		Tenant: p.Tenant, Category: audit.Change, Activity: string(p.Method) + ".provision", User: p.Target, UserName: user.Name, Actor: p.Actor,
		Method: p.Method, Credential: cred, IP: peer.IP, Agent: peer.Agent, Trace: peer.Trace,
	}
}
