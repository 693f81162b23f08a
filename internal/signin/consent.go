package signin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// newScopes are what the person has still to allow: none for our own pages and
// first-party apps; all of them when the app asks to ask again.
func (c *Corridor) newScopes(ctx context.Context, f Flow, user idp.User) ([]string, error) {
	if f.Client == "" || f.Consented || len(f.Scopes) == 0 {
		return nil, nil
	}
	app, err := c.clients.Get(ctx, f.Tenant, f.Client)
	if err != nil {
		return nil, fmt.Errorf("client of flow %s: %w", f.ID, err)
	}
	if app.FirstParty {
		return nil, nil
	}
	if slices.Contains(f.Prompt, "consent") {
		return slices.Clone(f.Scopes), nil
	}
	granted, err := c.clients.Consent(ctx, c.db, f.Tenant, user.ID, f.Client)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return nil, fmt.Errorf("consent on record: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(f.Scopes), func(s string) bool { return slices.Contains(granted, s) }), nil
}

// Consent takes the person's word on Step.NewScopes. When something else has
// come to be needed meanwhile, that step is returned and nothing is written.
func (c *Corridor) Consent(ctx context.Context, f Flow, current session.Session, allow bool, peer Peer) (Step, error) {
	step, err := c.Next(ctx, f, &current, peer)
	if err != nil {
		return Step{}, err
	}
	if step.Kind != Consent && (allow || step.Kind != Done) {
		return step, nil
	}
	event := c.event(f, peer)
	event.Category, event.User, event.Actor, event.Session = audit.Change, current.User, string(current.User), current.ID
	event.Activity = "consent.allow"
	if !allow {
		event.Activity = "consent.deny"
		step.Kind, step.NewScopes = Deny, nil
		step.Decision = policy.Decision{Outcome: policy.Deny, Refusal: policy.Refusal{Rule: "consent", Reason: "consent_denied", Code: codeNoConsent}}
	}
	err = c.commit(ctx, deed{
		event: event,
		effect: func(ctx context.Context, tx *sqldb.Tx) error {
			if err := c.enabled(ctx, tx, f.Tenant, current.User); err != nil {
				return err
			}
			if err := drop(ctx, tx, f); err != nil {
				return over(err)
			}
			if allow {
				if err := c.clients.GrantConsent(ctx, tx, f.Tenant, current.User, f.Client, f.Scopes); err != nil {
					return fmt.Errorf("record consent: %w", err)
				}
			}
			e := event
			e.Outcome = audit.Success
			return c.audit.Write(ctx, tx, e)
		},
	})
	if err != nil {
		return Step{}, err
	}
	if allow {
		step.Kind, step.NewScopes, step.Flow.Consented = Done, nil, true
	}
	return step, nil
}
