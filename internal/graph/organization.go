package graph

import "context"

func organizationOperations() []operation {
	look := read("Organization.Read.All", "Directory.Read.All", "User.Read.All")
	return []operation{
		{"GET", "/organization", "organization", "The tenant", look, options{}, listOrganization},
		{"GET", "/domains", "domains", "Verified domain names of the tenant", read("Domain.Read.All", "Directory.Read.All"), options{}, listDomains},
	}
}

func listOrganization(ctx context.Context, c *call) (any, error) {
	domains, err := c.cfg.Directory.Domains(ctx, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	verified := make([]entity, 0, len(domains))
	for _, d := range domains {
		verified = append(verified, entity{"name": d, "isDefault": d == c.tenant.Domain, "isInitial": d == c.tenant.Domain, "type": "Managed"})
	}
	return list{items: []entity{{
		"id": c.tenant.ID, "displayName": c.tenant.Name, "createdDateTime": stamp(c.tenant.Created), "verifiedDomains": verified,
	}}}, nil
}

func listDomains(ctx context.Context, c *call) (any, error) {
	domains, err := c.cfg.Directory.Domains(ctx, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	out := list{}
	for _, d := range domains {
		out.items = append(out.items, entity{
			"id": d, "isDefault": d == c.tenant.Domain, "isInitial": d == c.tenant.Domain, "isVerified": true, "authenticationType": "Managed",
		})
	}
	return out, nil
}
