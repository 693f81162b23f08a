package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Consent lists the scopes that a user has granted to an application; none
// when there is no consent (security.md OAU19). Read in a transaction, it stays
// as it was read until the commit.
func (r *Registry) Consent(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID, id idp.ClientID) ([]string, error) {
	share := ""
	if tx, ok := q.(*sqldb.Tx); ok {
		share = tx.ForShare()
	}
	var text string
	err := q.QueryRow(ctx, `select scopes from consent where tenant_id = $1 and user_id = $2 and client_id = $3`+share, t, u, id).Scan(&text)
	if errors.Is(err, idp.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load consent: %w", err)
	}
	var scopes []string
	if err := json.Unmarshal([]byte(text), &scopes); err != nil {
		return nil, fmt.Errorf("read consent of %s to %s: %w", u, id, err)
	}
	return scopes, nil
}

// Grant is one consent on record: what a user allowed which application.
type Grant struct {
	Client     idp.ClientID
	Name       string // of the application
	FirstParty bool   // it would not have to ask any more
	Scopes     []string
	Since      time.Time // of the first scope; later ones were added to it
}

// Consents lists what a user has granted to which applications, by name.
func (r *Registry) Consents(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID) ([]Grant, error) {
	rows, err := q.Query(ctx, `
		select g.client_id, c.name, c.first_party, g.scopes, g.granted
		from consent g join client c on c.tenant_id = g.tenant_id and c.id = g.client_id
		where g.tenant_id = $1 and g.user_id = $2 order by c.name_folded, c.id`, t, u)
	if err != nil {
		return nil, fmt.Errorf("list consents of %s: %w", u, err)
	}
	defer rows.Close()
	var out []Grant
	for rows.Next() {
		var g Grant
		var scopes string
		var since int64
		if err := rows.Scan(&g.Client, &g.Name, &g.FirstParty, &scopes, &since); err != nil {
			return nil, fmt.Errorf("list consents of %s: %w", u, err)
		}
		if err := json.Unmarshal([]byte(scopes), &g.Scopes); err != nil {
			return nil, fmt.Errorf("read consent of %s to %s: %w", u, g.Client, err)
		}
		g.Since = time.UnixMilli(since).UTC()
		out = append(out, g)
	}
	return out, rows.Err()
}

// GrantConsent adds scopes to what the user has granted; the time on record
// stays that of the first. The application must be the tenant's, or it is
// NotFound.
func (r *Registry) GrantConsent(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.ClientID, scopes []string) error {
	// The lock keeps two grants from losing one another's scopes, and the
	// application from going meanwhile.
	n, err := tx.Exec(ctx, `update client set name = name where tenant_id = $1 and id = $2`, t, id)
	if err != nil {
		return fmt.Errorf("lock client: %w", err)
	}
	if n == 0 {
		return nothing(id)
	}
	all, err := r.Consent(ctx, tx, t, u, id)
	if err != nil {
		return err
	}
	for _, s := range scopes {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	_, err = tx.Exec(ctx, `
		insert into consent (tenant_id, user_id, client_id, scopes, granted) values ($1, $2, $3, $4, $5)
		on conflict (tenant_id, user_id, client_id) do update set scopes = $4`,
		t, u, id, list(all), r.now().UnixMilli())
	if err != nil {
		return fmt.Errorf("grant consent: %w", err)
	}
	return nil
}

// RevokeConsent takes back everything the user granted to an application, or
// is NotFound. The caller ends the tokens.
func (r *Registry) RevokeConsent(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.ClientID) error {
	n, err := tx.Exec(ctx, `delete from consent where tenant_id = $1 and user_id = $2 and client_id = $3`, t, u, id)
	if err != nil {
		return fmt.Errorf("revoke consent: %w", err)
	}
	if n == 0 {
		return nothing(id)
	}
	return nil
}

// RemoveUser takes back all consents of a user that is being deleted; it fits
// directory.OnRemoveUser.
func (r *Registry) RemoveUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	if _, err := tx.Exec(ctx, `delete from consent where tenant_id = $1 and user_id = $2`, t, u); err != nil {
		return fmt.Errorf("delete consents of %s: %w", u, err)
	}
	return nil
}
