package passkey

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// printOf is what a key that says it is the macOS Platform Credential is compared
// by with those that Macs have registered (decisions 5.1): the SHA-256 of its
// SubjectPublicKeyInfo. Nil for every other model, and for a key that no Secure
// Enclave makes.
func printOf(aaguid string, key publicKey) ([]byte, error) {
	if aaguid != policy.PlatformAAGUID || key.alg != algES256 {
		return nil, nil
	}
	spki, err := x509.MarshalPKIXPublicKey(key.key)
	if err != nil {
		return nil, fmt.Errorf("key of a passkey: %w", err)
	}
	print := sha256.Sum256(spki)
	return print[:], nil
}

// backed finds out by which Platform Credential a passkey stands. One that was
// registered with such a key is that key in another guise: when the Platform
// Credential is removed, or its Mac is gone or switched off, it proves nobody, and
// does so again when that comes back. One that only claims the model stands alone,
// and counts for what it is: a claim.
func (m *Room) backed(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, r *row) error {
	if len(r.print) == 0 || m.cfg.Platform == nil {
		return nil
	}
	id, err := m.cfg.Platform(ctx, tx, t, r.user, r.print)
	if err != nil {
		return fmt.Errorf("platform credential of passkey %.40s: %w", r.id, err)
	}
	r.platform = id
	r.disabled = r.disabled || r.bound && id == ""
	return nil
}

// stillBacked is backed in the transaction that settles: what was there when the
// answer was verified may be gone.
func (m *Room) stillBacked(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, r row) error {
	if !r.bound {
		return nil
	}
	if err := m.backed(ctx, tx, t, &r); err != nil {
		return err
	}
	if r.disabled {
		return gone(r)
	}
	return nil
}

// find reads one passkey of the tenant, and by what it stands. NotFound when
// there is none.
func (m *Room) find(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.CredentialID) (row, error) {
	r, err := find(ctx, q, t, id)
	if err != nil {
		return r, err
	}
	tx, _ := q.(*sqldb.Tx)
	return r, m.backed(ctx, tx, t, &r)
}

// allBacked is backed for each of a list.
func (m *Room) allBacked(ctx context.Context, tx *sqldb.Tx, rows []listing, err error) ([]listing, error) {
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if err := m.backed(ctx, tx, rows[i].tenant, &rows[i].row); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// needs is the credential without which a passkey proves nobody.
func (r row) needs() idp.CredentialID {
	if !r.bound {
		return ""
	}
	return r.platform
}
