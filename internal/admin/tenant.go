package admin

import (
	"context"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

type tenantView struct {
	ID      idp.TenantID `json:"id"`
	Name    string       `json:"name"`
	Domain  string       `json:"domain"`
	Domains []string     `json:"domains,omitempty"`
	Created string       `json:"created"`
}

func viewTenant(t idp.Tenant, domains []string) tenantView {
	return tenantView{ID: t.ID, Name: t.Name, Domain: t.Domain, Domains: domains, Created: stamp(t.Created)}
}

type createTenantParams struct {
	Name   string `json:"name"`
	Domain string `json:"domain"`
	// Tenant lets the command line send its flag along; a new tenant has
	// none to be chosen by.
	Tenant string `json:"tenant"`
}

func createTenant(ctx context.Context, c *call, p createTenantParams) (any, error) {
	if p.Tenant != "" {
		return nil, idp.Invalidf("bad_parameters", "tenant given").On("tenant").Say("A tenant is made, not chosen, here.")
	}
	var made idp.Tenant
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		if made, err = c.Directory.CreateTenant(ctx, tx, idp.Tenant{Name: p.Name, Domain: p.Domain}); err != nil {
			return err
		}
		e.Tenant = made.ID
		e.Detail["name"], e.Detail["domain"] = made.Name, made.Domain
		return nil
	})
	return viewTenant(made, nil), err
}

func listTenants(ctx context.Context, c *call, _ inTenant) (any, error) {
	all, err := c.Directory.Tenants(ctx)
	views := make([]tenantView, len(all))
	for i, t := range all {
		views[i] = viewTenant(t, nil)
	}
	return views, err
}

func showTenant(ctx context.Context, c *call, _ inTenant) (any, error) {
	domains, err := c.Directory.Domains(ctx, c.tenant.ID)
	return viewTenant(c.tenant, domains), err
}

type addDomainParams struct {
	inTenant
	Domain string `json:"domain"`
}

func addDomain(ctx context.Context, c *call, p addDomainParams) (any, error) {
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["domain"] = p.Domain
		return c.Directory.AddDomain(ctx, tx, c.tenant.ID, p.Domain)
	})
	if err != nil {
		return nil, err
	}
	return showTenant(ctx, c, inTenant{})
}
