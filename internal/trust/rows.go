package trust

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

const authorityColumns = `select tenant_id, id, container_id, name, cert, root, enabled, crl, delta, ocsp, hint, created, changed, removed, version,
	coalesce((select s.version from trust_store s where s.tenant_id = trust_authority.tenant_id), 0)
	from trust_authority `

// Get reads an authority, also one that was removed, or is NotFound.
func (s *Store) Get(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.AuthorityID) (Authority, error) {
	a, err := scanAuthority(q.QueryRow(ctx, authorityColumns+`where tenant_id = $1 and id = $2`, t, id))
	if errors.Is(err, idp.NotFound) {
		return Authority{}, nothing(string(id))
	}
	if err != nil {
		return Authority{}, fmt.Errorf("load authority %s: %w", id, err)
	}
	return a, nil
}

// List gives the tenant's authorities in the order of their coming. There are
// at most MaxAuthorities.
func (s *Store) List(ctx context.Context, q sqldb.Querier, t idp.TenantID) ([]Authority, error) {
	return authorities(ctx, q, `where tenant_id = $1 and removed = 0 order by created, id`, t)
}

// Removed gives those that can be restored, the last first.
func (s *Store) Removed(ctx context.Context, q sqldb.Querier, t idp.TenantID) ([]Authority, error) {
	return authorities(ctx, q, `where tenant_id = $1 and removed > $2 order by removed desc, id`, t, s.now().Add(-KeptFor).UnixMilli())
}

// everyAuthority gives those that are there and those that were removed.
func everyAuthority(ctx context.Context, q sqldb.Querier, t idp.TenantID) ([]Authority, error) {
	return authorities(ctx, q, `where tenant_id = $1 order by created, id`, t)
}

func authorities(ctx context.Context, q sqldb.Querier, where string, args ...any) ([]Authority, error) {
	rows, err := q.Query(ctx, authorityColumns+where, args...)
	if err != nil {
		return nil, fmt.Errorf("list authorities: %w", err)
	}
	defer rows.Close()
	var out []Authority
	for rows.Next() {
		a, err := scanAuthority(rows)
		if err != nil {
			return nil, fmt.Errorf("list authorities: %w", err)
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

type scanner interface{ Scan(dest ...any) error }

func scanAuthority(r scanner) (Authority, error) {
	var a Authority
	var der []byte
	var created, changed, removed int64
	err := r.Scan(&a.Tenant, &a.ID, &a.Container, &a.Name, &der, &a.Root, &a.Enabled, &a.CRL, &a.Delta, &a.OCSP, &a.Hint,
		&created, &changed, &removed, &a.Version, &a.store)
	if err != nil {
		return Authority{}, err
	}
	if a.Cert, err = x509.ParseCertificate(der); err != nil {
		return Authority{}, fmt.Errorf("certificate of authority %s: %w", a.ID, err)
	}
	a.Created, a.Changed, a.Removed = moment(created), moment(changed), moment(removed)
	return a, nil
}

// moment reads a stored time; 0 is none.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// insert is Conflict when the tenant has the certificate already.
func insert(ctx context.Context, tx *sqldb.Tx, a Authority) error {
	n, err := tx.Exec(ctx, `
		insert into trust_authority (tenant_id, id, container_id, name, cert, thumbprint, root, enabled, crl, delta, ocsp, hint,
			created, changed, removed, version)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, $15)
		on conflict do nothing`,
		a.Tenant, a.ID, a.Container, a.Name, a.Cert.Raw, Thumbprint(a.Cert), a.Root, a.Enabled, a.CRL, a.Delta, a.OCSP, a.Hint,
		a.Created.UnixMilli(), a.Changed.UnixMilli(), a.Version)
	if err != nil {
		return fmt.Errorf("add authority: %w", err)
	}
	if n == 0 {
		return taken(a)
	}
	return nil
}

// update writes what can be changed, if the version is still the one before,
// and counts it up.
func update(ctx context.Context, tx *sqldb.Tx, a Authority) (bool, error) {
	n, err := tx.Exec(ctx, `
		update trust_authority set name = $4, root = $5, enabled = $6, crl = $7, delta = $8, ocsp = $9, hint = $10, changed = $11,
			removed = $12, version = version + 1
		where tenant_id = $1 and id = $2 and version = $3`,
		a.Tenant, a.ID, a.Version, a.Name, a.Root, a.Enabled, a.CRL, a.Delta, a.OCSP, a.Hint, a.Changed.UnixMilli(), millis(a.Removed))
	if errors.Is(err, idp.Conflict) {
		return false, taken(a)
	}
	if err != nil {
		return false, fmt.Errorf("change authority %s: %w", a.ID, err)
	}
	return n == 1, nil
}

// lock counts a change of the tenant's store, and makes all others wait for
// this transaction.
func lock(ctx context.Context, tx *sqldb.Tx, t idp.TenantID) error {
	_, err := tx.Exec(ctx, `
		insert into trust_store (tenant_id, version) values ($1, 1)
		on conflict (tenant_id) do update set version = trust_store.version + 1`, t)
	if err != nil {
		return fmt.Errorf("lock the authorities of %s: %w", t, err)
	}
	return nil
}

// versionOf is how often the tenant's store was changed; 0: never.
func versionOf(ctx context.Context, q sqldb.Querier, t idp.TenantID) (n int64, err error) {
	err = q.QueryRow(ctx, `select version from trust_store where tenant_id = $1`, t).Scan(&n)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return 0, fmt.Errorf("version of the authorities of %s: %w", t, err)
	}
	return n, nil
}

// SHA1 is the SHA-1 of a certificate in upper-case hex, as other programs show
// it. Nothing is decided by it.
func SHA1(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// Thumbprint is the SHA-256 of a certificate in lower-case hex.
func Thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}
