package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Group is a named set of users of a tenant.
type Group struct {
	ID          idp.GroupID
	Tenant      idp.TenantID
	Name        string
	Description string // may be empty; up to 1024 characters
	Created     time.Time
}

// CreateGroup makes a group of g.Tenant and g.Name. Conflict when the name is
// taken in the tenant, whatever its letter case.
func (d *Directory) CreateGroup(ctx context.Context, tx *sqldb.Tx, g Group) (Group, error) {
	name, err := checkText("name", g.Name)
	if err != nil {
		return Group{}, err
	}
	if g.Description, err = checkDescription(g.Description); err != nil {
		return Group{}, err
	}
	if g.ID == "" {
		g.ID = idp.GroupID(secret.NewUUID4())
	}
	g.Name, g.Created = name, d.now()
	if err := lockTenant(ctx, tx, g.Tenant); err != nil {
		return Group{}, err
	}
	n, err := tx.Exec(ctx, `
		insert into user_group (tenant_id, id, name, name_folded, description, created) values ($1, $2, $3, $4, $5, $6)
		on conflict (tenant_id, name_folded) do nothing`, g.Tenant, g.ID, g.Name, foldText(g.Name), g.Description, g.Created.UnixMilli())
	if err != nil {
		return Group{}, fmt.Errorf("create group %s: %w", g.Name, err)
	}
	if n == 0 {
		return Group{}, groupTaken(g.Name)
	}
	return g, nil
}

func groupTaken(name string) error {
	return idp.Conflictf("group_name_taken", "group %q", name).On("name").Say("A group with this name exists already.")
}

// GroupChanges says what UpdateGroup is to change; nil leaves a field as it is.
type GroupChanges struct {
	Name        *string
	Description *string
}

// UpdateGroup changes a group and returns it as it is then. Errors are those
// of CreateGroup, and NotFound.
func (d *Directory) UpdateGroup(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.GroupID, c GroupChanges) (Group, error) {
	// As CreateGroup does: who takes a name comes one after the other.
	if err := lockTenant(ctx, tx, t); err != nil {
		return Group{}, err
	}
	g, err := d.Group(ctx, tx, t, id)
	if err != nil {
		return Group{}, err
	}
	if c.Name != nil {
		if g.Name, err = checkText("name", *c.Name); err != nil {
			return Group{}, err
		}
		other, err := d.GroupByName(ctx, tx, t, g.Name)
		if err == nil && other.ID != id {
			return Group{}, groupTaken(g.Name)
		}
		if err != nil && !errors.Is(err, idp.NotFound) {
			return Group{}, err
		}
	}
	if c.Description != nil {
		if g.Description, err = checkDescription(*c.Description); err != nil {
			return Group{}, err
		}
	}
	_, err = tx.Exec(ctx, `update user_group set name = $3, name_folded = $4, description = $5 where tenant_id = $1 and id = $2`,
		t, id, g.Name, foldText(g.Name), g.Description)
	if err != nil {
		return Group{}, fmt.Errorf("update group %s: %w", id, err)
	}
	return g, nil
}

const groupColumns = `select tenant_id, id, name, description, created from user_group `

// Group finds a group of the tenant by id, or is NotFound.
func (d *Directory) Group(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.GroupID) (Group, error) {
	return findGroup(q.QueryRow(ctx, groupColumns+`where tenant_id = $1 and id = $2`, t, id), string(id))
}

// GroupByName finds a group of the tenant by name, or is NotFound.
func (d *Directory) GroupByName(ctx context.Context, q sqldb.Querier, t idp.TenantID, name string) (Group, error) {
	folded := searchable(foldText(name))
	return findGroup(q.QueryRow(ctx, groupColumns+`where tenant_id = $1 and name_folded = $2`, t, folded), folded)
}

func findGroup(row scanner, ref string) (Group, error) {
	g, err := scanGroup(row)
	if errors.Is(err, idp.NotFound) {
		return Group{}, nothing("group", ref)
	}
	if err != nil {
		return Group{}, fmt.Errorf("find group: %w", err)
	}
	return g, nil
}

// Groups lists groups in the order of their making, and the cursor of the
// next part.
func (d *Directory) Groups(ctx context.Context, t idp.TenantID, page Page) ([]Group, string, error) {
	created, id, err := page.position()
	if err != nil {
		return nil, "", err
	}
	where, args := page.Where.SQL(5)
	rows, err := d.cfg.DB.Query(ctx, groupColumns+`
		where tenant_id = $1 and (created, id) > ($2, $3) and `+where+`
		order by created, id limit $4`, append([]any{t, created, id, int64(page.limit())}, args...)...)
	if err != nil {
		return nil, "", fmt.Errorf("list groups: %w", err)
	}
	defer rows.Close()
	var out []Group
	for rows.Next() {
		g, err := scanGroup(rows)
		if err != nil {
			return nil, "", fmt.Errorf("list groups: %w", err)
		}
		out = append(out, g)
	}
	if err := rows.Err(); err != nil || len(out) == 0 {
		return nil, "", err
	}
	last := out[len(out)-1]
	return out, page.next(len(out), last.Created, string(last.ID)), nil
}

// CountGroups counts the groups of the tenant for which where holds.
func (d *Directory) CountGroups(ctx context.Context, t idp.TenantID, where filter.Expr) (int64, error) {
	return d.count(ctx, "user_group", t, where)
}

// DeleteGroup removes a group; its members stay.
func (d *Directory) DeleteGroup(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.GroupID) error {
	if err := d.mayRegroup(ctx, tx, t, id, "", false); err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `delete from user_group where tenant_id = $1 and id = $2`, t, id)
	if err != nil {
		return fmt.Errorf("delete group %s: %w", id, err)
	}
	if n == 0 {
		return nothing("group", id)
	}
	if _, err := tx.Exec(ctx, `delete from user_group_member where tenant_id = $1 and group_id = $2`, t, id); err != nil {
		return fmt.Errorf("delete members of %s: %w", id, err)
	}
	return nil
}

// AddMember puts a user into a group; both must be of the tenant. Adding one
// who is in it already changes nothing, and added is false.
func (d *Directory) AddMember(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, g idp.GroupID, u idp.UserID) (added bool, err error) {
	if err := d.mayRegroup(ctx, tx, t, g, u, true); err != nil {
		return false, err
	}
	// Both rows are locked: neither goes while the member is added.
	if err := lockGroup(ctx, tx, t, g); err != nil {
		return false, err
	}
	if err := d.Lock(ctx, tx, t, u); err != nil {
		return false, err
	}
	n, err := tx.Exec(ctx, `
		insert into user_group_member (tenant_id, group_id, user_id, added) values ($1, $2, $3, $4)
		on conflict (tenant_id, group_id, user_id) do nothing`, t, g, u, d.now().UnixMilli())
	if err != nil {
		return false, fmt.Errorf("add member: %w", err)
	}
	return n > 0, nil
}

// RemoveMember takes a user out of a group, or is NotFound.
func (d *Directory) RemoveMember(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, g idp.GroupID, u idp.UserID) error {
	if err := d.mayRegroup(ctx, tx, t, g, u, false); err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `delete from user_group_member where tenant_id = $1 and group_id = $2 and user_id = $3`, t, g, u)
	if err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	if n == 0 {
		return nothing("member", u)
	}
	return nil
}

// Members lists the members of a group in the order of their making as users,
// and the cursor of the next part. NotFound when there is no such group.
func (d *Directory) Members(ctx context.Context, t idp.TenantID, g idp.GroupID, page Page) ([]Person, string, error) {
	created, id, err := page.position()
	if err != nil {
		return nil, "", err
	}
	if _, err := d.Group(ctx, d.cfg.DB, t, g); err != nil {
		return nil, "", err
	}
	rows, err := d.cfg.DB.Query(ctx, `
		select u.tenant_id, u.id, u.name, u.display_name, u.enabled, u.user_type, u.role, u.created, u.on_premises_name
		from user_group_member m join users u on u.tenant_id = m.tenant_id and u.id = m.user_id
		where m.tenant_id = $1 and m.group_id = $2 and (u.created, u.id) > ($3, $4)
		order by u.created, u.id limit $5`, t, g, created, id, int64(page.limit()))
	if err != nil {
		return nil, "", fmt.Errorf("list members: %w", err)
	}
	return readPeople(rows, page)
}

// GroupsOf lists the groups a user is in. NotFound when there is no such
// user.
func (d *Directory) GroupsOf(ctx context.Context, t idp.TenantID, u idp.UserID) ([]idp.GroupID, error) {
	if _, err := d.User(ctx, d.cfg.DB, t, u); err != nil {
		return nil, err
	}
	rows, err := d.cfg.DB.Query(ctx, `
		select group_id from user_group_member where tenant_id = $1 and user_id = $2 order by group_id`, t, u)
	if err != nil {
		return nil, fmt.Errorf("list groups of %s: %w", u, err)
	}
	defer rows.Close()
	var out []idp.GroupID
	for rows.Next() {
		var g idp.GroupID
		if err := rows.Scan(&g); err != nil {
			return nil, fmt.Errorf("list groups of %s: %w", u, err)
		}
		out = append(out, g)
	}
	return out, rows.Err()
}

// InGroups gives those of names that name a group which the user is in, whatever
// their letter case, as they are spelled in names. It is one read.
func (d *Directory) InGroups(ctx context.Context, t idp.TenantID, u idp.UserID, names []string) ([]string, error) {
	rows, err := d.cfg.DB.Query(ctx, `
		select g.name_folded from user_group_member m
		join user_group g on g.tenant_id = m.tenant_id and g.id = m.group_id
		where m.tenant_id = $1 and m.user_id = $2`, t, u)
	if err != nil {
		return nil, fmt.Errorf("names of groups of %s: %w", u, err)
	}
	defer rows.Close()
	in := make(map[string]bool)
	for rows.Next() {
		var folded string
		if err := rows.Scan(&folded); err != nil {
			return nil, fmt.Errorf("names of groups of %s: %w", u, err)
		}
		in[folded] = true
	}
	var out []string
	for _, name := range names {
		if in[foldText(name)] {
			out = append(out, name)
		}
	}
	return out, rows.Err()
}

func lockGroup(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, g idp.GroupID) error {
	n, err := tx.Exec(ctx, `update user_group set name = name where tenant_id = $1 and id = $2`, t, g)
	if err != nil {
		return fmt.Errorf("lock group: %w", err)
	}
	if n == 0 {
		return nothing("group", g)
	}
	return nil
}

func scanGroup(r scanner) (Group, error) {
	var g Group
	var created int64
	err := r.Scan(&g.Tenant, &g.ID, &g.Name, &g.Description, &created)
	g.Created = time.UnixMilli(created).UTC()
	return g, err
}
