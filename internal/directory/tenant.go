package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// reserved are words that stand where a tenant's name may stand in an address.
var reserved = map[string]bool{"common": true, "organizations": true, "consumers": true}

// CreateTenant makes a tenant of t.Name and t.Domain, its first verified
// domain; a t.ID that is empty gets a new one. Conflict when the domain is taken.
func (d *Directory) CreateTenant(ctx context.Context, tx *sqldb.Tx, t idp.Tenant) (idp.Tenant, error) {
	name, err := checkText("name", t.Name)
	if err != nil {
		return idp.Tenant{}, err
	}
	domain, err := checkDomain(t.Domain)
	if err != nil {
		return idp.Tenant{}, err
	}
	if t.ID == "" {
		t.ID = idp.TenantID(secret.NewUUID4())
	}
	t.Name, t.Domain, t.Created = name, domain, d.now()
	if err := d.insertDomain(ctx, tx, t.ID, domain); err != nil {
		return idp.Tenant{}, err
	}
	_, err = tx.Exec(ctx, `insert into tenant (id, name, domain, created) values ($1, $2, $3, $4)`,
		t.ID, t.Name, t.Domain, t.Created.UnixMilli())
	if err != nil {
		return idp.Tenant{}, fmt.Errorf("create tenant %s: %w", domain, err)
	}
	return t, d.changed(ctx, tx, t.ID)
}

// AddDomain gives a tenant one more verified domain name.
func (d *Directory) AddDomain(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, domain string) error {
	domain, err := checkDomain(domain)
	if err != nil {
		return err
	}
	if err := lockTenant(ctx, tx, t); err != nil {
		return err
	}
	if err := d.insertDomain(ctx, tx, t, domain); err != nil {
		return err
	}
	return d.changed(ctx, tx, t)
}

func (d *Directory) insertDomain(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, domain string) error {
	n, err := tx.Exec(ctx, `
		insert into tenant_domain (domain, tenant_id, created) values ($1, $2, $3)
		on conflict (domain) do nothing`, domain, t, d.now().UnixMilli())
	if err != nil {
		return fmt.Errorf("add domain %s: %w", domain, err)
	}
	if n == 0 {
		return idp.Conflictf("domain_taken", "domain %s", domain).On("domain").Say("The domain " + domain + " belongs to a tenant already.")
	}
	return nil
}

// Tenant finds a tenant by its id, or is NotFound.
func (d *Directory) Tenant(ctx context.Context, id idp.TenantID) (idp.Tenant, error) {
	t, err := d.Resolve(ctx, string(id))
	if err != nil {
		return idp.Tenant{}, err
	}
	if t.ID != id { // a domain name is not an id
		return idp.Tenant{}, nothing("tenant", id)
	}
	return t, nil
}

// Resolve finds a tenant by its id or by one of its verified domain names. It
// is NotFound for anything else, "common" and "organizations" included.
func (d *Directory) Resolve(ctx context.Context, ref string) (idp.Tenant, error) {
	ref = Fold(ref)
	// What is neither id nor name by its letters is not asked for.
	if ref == "" || len(ref) > maxDomain || reserved[ref] || strings.ContainsFunc(ref, func(r rune) bool { return r != '.' && notLabel(r) }) {
		return idp.Tenant{}, nothing("tenant", audit.Clean(ref, 64))
	}
	return d.resolved.Get(ctx, ref)
}

func (d *Directory) resolve(ctx context.Context, ref string) (idp.Tenant, error) {
	t, err := scanTenant(d.cfg.DB.QueryRow(ctx, `select id, name, domain, created from tenant where id = $1`, ref))
	if errors.Is(err, idp.NotFound) {
		t, err = scanTenant(d.cfg.DB.QueryRow(ctx, `
			select t.id, t.name, t.domain, t.created
			from tenant_domain d join tenant t on t.id = d.tenant_id where d.domain = $1`, ref))
	}
	if errors.Is(err, idp.NotFound) {
		return idp.Tenant{}, nothing("tenant", ref)
	}
	if err != nil {
		return idp.Tenant{}, fmt.Errorf("find tenant: %w", err)
	}
	return t, nil
}

// Tenants lists all tenants in the order of their making.
func (d *Directory) Tenants(ctx context.Context) ([]idp.Tenant, error) {
	rows, err := d.cfg.DB.Query(ctx, `select id, name, domain, created from tenant order by created, id`)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	defer rows.Close()
	var out []idp.Tenant
	for rows.Next() {
		t, err := scanTenant(rows)
		if err != nil {
			return nil, fmt.Errorf("list tenants: %w", err)
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// Domains lists the verified domain names of a tenant.
func (d *Directory) Domains(ctx context.Context, t idp.TenantID) ([]string, error) {
	rows, err := d.cfg.DB.Query(ctx, `select domain from tenant_domain where tenant_id = $1 order by created, domain`, t)
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var domain string
		if err := rows.Scan(&domain); err != nil {
			return nil, fmt.Errorf("list domains: %w", err)
		}
		out = append(out, domain)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 { // every tenant has one
		return nil, nothing("tenant", t)
	}
	return out, nil
}

func ownsDomain(ctx context.Context, q sqldb.Querier, t idp.TenantID, domain string) error {
	var n int64
	err := q.QueryRow(ctx, `select count(*) from tenant_domain where tenant_id = $1 and domain = $2`, t, Fold(domain)).Scan(&n)
	if err != nil {
		return fmt.Errorf("check domain: %w", err)
	}
	if n == 0 {
		return idp.Invalidf("foreign_domain", "domain %q is not of tenant %s", domain, t).On("userPrincipalName").
			Say("The part after the @ must be a verified domain name of the tenant.")
	}
	return nil
}

// lockTenant orders decisions that look at several rows of a tenant: who has
// the lock sees what the one before did. NotFound when there is no tenant.
func lockTenant(ctx context.Context, tx *sqldb.Tx, t idp.TenantID) error {
	n, err := tx.Exec(ctx, `update tenant set name = name where id = $1`, t)
	if err != nil {
		return fmt.Errorf("lock tenant: %w", err)
	}
	if n == 0 {
		return nothing("tenant", t)
	}
	return nil
}

func (d *Directory) changed(ctx context.Context, tx *sqldb.Tx, t idp.TenantID) error {
	if d.cfg.Bus == nil {
		return nil
	}
	return d.cfg.Bus.Publish(ctx, tx, Topic, string(t))
}

// now is the time as rows keep it.
func (d *Directory) now() time.Time { return d.cfg.Now().UTC().Truncate(time.Millisecond) }

type scanner interface{ Scan(dest ...any) error }

func scanTenant(r scanner) (idp.Tenant, error) {
	var t idp.Tenant
	var created int64
	err := r.Scan(&t.ID, &t.Name, &t.Domain, &created)
	t.Created = time.UnixMilli(created).UTC()
	return t, err
}
