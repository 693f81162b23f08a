package directory

import (
	"context"
	"fmt"
	"strings"

	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Holders is WithRole for whom where, over RoleFields, holds. They are found
// without reading the others.
func (d *Directory) Holders(ctx context.Context, t idp.TenantID, where filter.Expr) ([]Person, error) {
	cond, args := where.SQL(2)
	rows, err := d.cfg.DB.Query(ctx, userColumns+`
		where tenant_id = $1 and role <> '' and `+cond+`
		order by created, id`, append([]any{t}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("list holders of roles: %w", err)
	}
	people, _, err := readPeople(rows, Page{})
	return people, err
}

// RoleFields are what lists of holders can be asked about; words are the ids
// of roles as clients know them, with the role that each stands for.
func RoleFields(words map[string]any) filter.Fields {
	return filter.Fields{
		"principalId":      {Kind: filter.Text, Column: "id", Fold: strings.ToLower},
		"roleDefinitionId": {Kind: filter.Text, Column: "role", Words: words},
	}
}

// ChangeRole gives a user the role to in the place of from, each of which may
// be "". Conflict when the user has another role than from; Denied
// "last_administrator" as SetEnabled; NotFound when there is no such user.
func (d *Directory) ChangeRole(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID, from, to string) error {
	// The tenant first, as SetRole does: two orders would wait for each other.
	if err := lockTenant(ctx, tx, t); err != nil {
		return err
	}
	if err := d.Lock(ctx, tx, t, id); err != nil {
		return err
	}
	p, err := d.person(ctx, tx, t, id)
	if err != nil {
		return err
	}
	if p.Role != from {
		return idp.Conflictf("other_role", "user %s has role %q and not %q", id, p.Role, from).
			Say("The person has another role. A person has one role at most: take that first.")
	}
	return d.SetRole(ctx, tx, t, id, to)
}

// LockWithRole is Lock, and Administrators before it when the user is one; for
// everybody else it lists none, so that only what concerns an administrator
// waits for others such. It is for decisions about the last way in. The role is
// read without a lock that could be shared: of two who share a row and both go on
// to take it, neither would get it.
func (d *Directory) LockWithRole(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID) ([]idp.UserID, error) {
	before, err := d.person(ctx, tx, t, id)
	if err != nil {
		return nil, err
	}
	var admins []idp.UserID
	if before.Role == Administrator {
		if admins, err = d.Administrators(ctx, tx, t); err != nil {
			return nil, err
		}
	}
	if err := d.Lock(ctx, tx, t, id); err != nil {
		return nil, err
	}
	now, err := d.person(ctx, tx, t, id)
	if err != nil || now.Role != Administrator || before.Role == Administrator {
		return admins, err
	}
	// Made one between the two: then the other order, this once.
	return d.Administrators(ctx, tx, t)
}

// Administrators lists the administrators of the tenant who may sign in, and
// keeps that list as it is until tx ends: what must leave one of them a way in
// comes one after the other. Call it before Lock: two orders would wait for
// each other.
func (d *Directory) Administrators(ctx context.Context, tx *sqldb.Tx, t idp.TenantID) ([]idp.UserID, error) {
	if err := lockTenant(ctx, tx, t); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		select id from users where tenant_id = $1 and role = $2 and enabled = $3 order by created, id`, t, Administrator, true)
	if err != nil {
		return nil, fmt.Errorf("list administrators: %w", err)
	}
	defer rows.Close()
	var out []idp.UserID
	for rows.Next() {
		var id idp.UserID
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list administrators: %w", err)
		}
		out = append(out, id)
	}
	return out, rows.Err()
}
