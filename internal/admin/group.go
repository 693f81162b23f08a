package admin

import (
	"context"
	"errors"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

type groupView struct {
	ID      idp.GroupID `json:"id"`
	Name    string      `json:"displayName"`
	Created string      `json:"created"`
}

func viewGroup(g directory.Group) groupView {
	return groupView{ID: g.ID, Name: g.Name, Created: stamp(g.Created)}
}

// findGroup finds a group by id, or else by name.
func (c *call) findGroup(ctx context.Context, q sqldb.Querier, ref string) (directory.Group, error) {
	if ref == "" {
		return directory.Group{}, idp.Invalidf("no_group", "no group named").On("group").Say("Say which group is meant.")
	}
	g, err := c.Directory.Group(ctx, q, c.tenant.ID, idp.GroupID(audit.Clean(directory.Fold(ref), 64)))
	if errors.Is(err, idp.NotFound) {
		return c.Directory.GroupByName(ctx, q, c.tenant.ID, ref)
	}
	return g, err
}

type createGroupParams struct {
	inTenant
	Name string `json:"displayName"`
}

func createGroup(ctx context.Context, c *call, p createGroupParams) (any, error) {
	var made directory.Group
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		made, err = c.Directory.CreateGroup(ctx, tx, directory.Group{Tenant: c.tenant.ID, Name: p.Name})
		noteGroup(e, made)
		return err
	})
	return viewGroup(made), err
}

func noteGroup(e *audit.Event, g directory.Group) {
	e.Detail["group"], e.Detail["groupName"] = string(g.ID), g.Name
}

func listGroups(ctx context.Context, c *call, p listParams) (any, error) {
	cursor := ""
	if p.After != "" {
		g, err := c.findGroup(ctx, c.DB, p.After)
		if errors.Is(err, idp.NotFound) {
			return nil, gone(p.After)
		} else if err != nil {
			return nil, err
		}
		cursor = directory.Cursor(g.Created, string(g.ID))
	}
	groups, _, err := c.Directory.Groups(ctx, c.tenant.ID, p.page(cursor))
	views := make([]groupView, len(groups))
	for i, g := range groups {
		views[i] = viewGroup(g)
	}
	return views, err
}

type groupParams struct {
	inTenant
	Group string `json:"group"`
}

// onGroup changes a group and shows it.
func (c *call) onGroup(ctx context.Context, ref string, fn func(context.Context, *sqldb.Tx, directory.Group, *audit.Event) error) (any, error) {
	var g directory.Group
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		if g, err = c.findGroup(ctx, tx, ref); err != nil {
			return err
		}
		noteGroup(e, g)
		return fn(ctx, tx, g, e)
	})
	return viewGroup(g), err
}

func deleteGroup(ctx context.Context, c *call, p groupParams) (any, error) {
	return c.onGroup(ctx, p.Group, func(ctx context.Context, tx *sqldb.Tx, g directory.Group, _ *audit.Event) error {
		return c.Directory.DeleteGroup(ctx, tx, g.Tenant, g.ID)
	})
}

type memberParams struct {
	inTenant
	Group string `json:"group"`
	User  string `json:"user"`
}

func addMember(ctx context.Context, c *call, p memberParams) (any, error) {
	return c.onMember(ctx, p, func(ctx context.Context, tx *sqldb.Tx, g directory.Group, u idp.User) error {
		_, err := c.Directory.AddMember(ctx, tx, g.Tenant, g.ID, u.ID)
		return err
	})
}

func removeMember(ctx context.Context, c *call, p memberParams) (any, error) {
	return c.onMember(ctx, p, func(ctx context.Context, tx *sqldb.Tx, g directory.Group, u idp.User) error {
		return c.Directory.RemoveMember(ctx, tx, g.Tenant, g.ID, u.ID)
	})
}

func (c *call) onMember(ctx context.Context, p memberParams, fn func(context.Context, *sqldb.Tx, directory.Group, idp.User) error) (any, error) {
	return c.onGroup(ctx, p.Group, func(ctx context.Context, tx *sqldb.Tx, g directory.Group, e *audit.Event) error {
		u, err := c.findUser(ctx, tx, p.User)
		if err != nil {
			return err
		}
		e.User, e.UserName = u.ID, u.Name
		return fn(ctx, tx, g, u)
	})
}

type membersParams struct {
	listParams
	Group string `json:"group"`
}

func listMembers(ctx context.Context, c *call, p membersParams) (any, error) {
	g, err := c.findGroup(ctx, c.DB, p.Group)
	if err != nil {
		return nil, err
	}
	cursor, err := c.afterUser(ctx, p.After)
	if err != nil {
		return nil, err
	}
	people, _, err := c.Directory.Members(ctx, c.tenant.ID, g.ID, p.page(cursor))
	return viewUsers(people), err
}
