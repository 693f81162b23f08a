package admin

import (
	"context"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// consentView is what a person allowed an application.
type consentView struct {
	App    idp.ClientID `json:"appId"`
	Name   string       `json:"appDisplayName"`
	Scopes []string     `json:"scopes"`
	Since  string       `json:"since"`
}

func viewConsent(g client.Grant) consentView {
	return consentView{App: g.Client, Name: g.Name, Scopes: some(g.Scopes), Since: stamp(g.Since)}
}

func listConsents(ctx context.Context, c *call, p userParams) (any, error) {
	u, err := c.findUser(ctx, c.DB, p.User)
	if err != nil {
		return nil, err
	}
	all, err := c.Clients.Consents(ctx, c.DB, u.Tenant, u.ID)
	views := make([]consentView, len(all))
	for i, g := range all {
		views[i] = viewConsent(g)
	}
	return views, err
}

type revokeConsentParams struct {
	inTenant
	User string `json:"user"`
	App  string `json:"app"`
}

// revokeConsent takes a consent back for somebody, with all that the
// application got by it, in one transaction.
func revokeConsent(ctx context.Context, c *call, p revokeConsentParams) (any, error) {
	if c.RevokeGrant == nil {
		return nil, missing("tokens")
	}
	var was consentView
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		u, err := c.findUser(ctx, tx, p.User)
		if err != nil {
			return err
		}
		if err := c.guard(ctx, tx, u); err != nil {
			return err
		}
		a, err := c.findApp(ctx, tx, p.App)
		if err != nil {
			return err
		}
		e.User, e.UserName = u.ID, u.Name
		noteApp(e, a)
		if was, err = c.consent(ctx, tx, u, a.ID); err != nil {
			return err
		}
		if err := c.Clients.RevokeConsent(ctx, tx, u.Tenant, u.ID, a.ID); err != nil {
			return err
		}
		return c.RevokeGrant(ctx, tx, u.Tenant, u.ID, a.ID)
	})
	return was, err
}

// consent finds the consent on record, or says that there is none.
func (c *call) consent(ctx context.Context, tx *sqldb.Tx, u idp.User, app idp.ClientID) (consentView, error) {
	all, err := c.Clients.Consents(ctx, tx, u.Tenant, u.ID)
	for _, g := range all {
		if g.Client == app {
			return viewConsent(g), nil
		}
	}
	if err == nil {
		err = idp.NotFoundf("consent_gone", "no consent of %s to %s", u.ID, app).Say("This person has allowed that app nothing. signet admin user consents shows what they allowed.")
	}
	return consentView{}, err
}
