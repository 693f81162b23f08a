package graph

import (
	"context"
	"errors"
	"path"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

func groupOperations() []operation {
	one := options{expand: []string{"members"}}
	many := options{
		list: true, fields: directory.GroupFields, count: true, order: []string{"createdDateTime", "createdDateTime asc"},
		expand: one.expand, search: []string{"displayName"},
	}
	look := read("GroupMember.Read.All", "Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All")
	change := write(admins, "Group.ReadWrite.All", "Directory.ReadWrite.All")
	members := write(admins, "GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All")
	return []operation{
		{"GET", "/groups", "groups", "List groups", look, many, listGroups},
		{"GET", "/groups/$count", "groups", "Count groups", look, options{fields: directory.GroupFields, search: many.search}, countGroups},
		{"POST", "/groups", "groups", "Make a group with assigned members", change, options{}, createGroup},
		{"GET", "/groups/{group}", "groups", "One group", look, one, getGroup},
		{"PATCH", "/groups/{group}", "groups", "Change name or description of a group", change, options{}, updateGroup},
		{"DELETE", "/groups/{group}", "groups", "Remove a group; its members stay", change, options{}, deleteGroup},
		{"GET", "/groups/{group}/members", "directoryObjects", "People of a group", look, options{list: true}, listMembers},
		{"POST", "/groups/{group}/members/$ref", "", "Put somebody into a group", members, options{}, addMember},
		{"DELETE", "/groups/{group}/members/{member}/$ref", "", "Take somebody out of a group", members, options{}, removeMember},
	}
}

func groupEntity(g directory.Group) entity {
	return entity{
		"id": g.ID, "displayName": g.Name, "description": described(g), "createdDateTime": stamp(g.Created), "securityEnabled": true,
		"mailEnabled": false, "groupTypes": []string{},
	}
}

// described is null where nothing was said.
func described(g directory.Group) any {
	if g.Description == "" {
		return nil
	}
	return g.Description
}

func (c *call) group(ctx context.Context) (directory.Group, error) {
	id := strings.ToLower(c.r.PathValue("group"))
	if !isGUID(id) {
		return directory.Group{}, missing(idp.NotFound, id)
	}
	g, err := c.cfg.Directory.Group(ctx, c.cfg.DB, c.tenant.ID, idp.GroupID(id))
	return g, missing(err, id)
}

func listGroups(ctx context.Context, c *call) (any, error) {
	groups, next, err := c.cfg.Directory.Groups(ctx, c.tenant.ID, directory.Page{After: c.query.after, Limit: c.limit(), Where: c.query.where})
	if err != nil {
		return nil, err
	}
	out := list{next: next}
	for _, g := range groups {
		e, err := c.expandedGroup(ctx, g)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, e)
	}
	if c.query.count {
		out.total, err = c.cfg.Directory.CountGroups(ctx, c.tenant.ID, c.query.where)
	}
	return out, err
}

func countGroups(ctx context.Context, c *call) (any, error) {
	n, err := c.cfg.Directory.CountGroups(ctx, c.tenant.ID, c.query.where)
	return count(n), err
}

// groupBody is what may be written of a group. Mail and dynamic membership are
// not here; what clients of Graph must send of them is taken when it says no.
type groupBody struct {
	DisplayName     *string  `json:"displayName"`
	Description     *string  `json:"description"`
	MailEnabled     *bool    `json:"mailEnabled"`
	MailNickname    *string  `json:"mailNickname"`
	SecurityEnabled *bool    `json:"securityEnabled"`
	GroupTypes      []string `json:"groupTypes"`
	ODataType       *string  `json:"@odata.type"`
}

// readGroup reads what is sent of a group.
func (c *call) readGroup() (in groupBody, err error) {
	if err := c.body(&in); err != nil {
		return in, err
	}
	switch {
	case in.MailEnabled != nil && *in.MailEnabled:
		return in, badProperty("mailEnabled", "There are no mail-enabled groups here.")
	case in.SecurityEnabled != nil && !*in.SecurityEnabled:
		return in, badProperty("securityEnabled", "Every group is a security group here.")
	case len(in.GroupTypes) > 0:
		return in, badProperty("groupTypes", "Only groups with assigned members exist here; groupTypes is empty.")
	}
	return in, nil
}

func updateGroup(ctx context.Context, c *call) (any, error) {
	in, err := c.readGroup()
	if err != nil {
		return nil, err
	}
	g, err := c.group(ctx)
	if err != nil {
		return nil, err
	}
	return nil, c.change(ctx, "group.update", "", func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["group"], e.Detail["before"] = string(g.ID), g.Name
		changed, err := c.cfg.Directory.UpdateGroup(ctx, tx, c.tenant.ID, g.ID, directory.GroupChanges{Name: in.DisplayName, Description: in.Description})
		e.Detail["name"] = changed.Name
		return missing(err, string(g.ID))
	})
}

func createGroup(ctx context.Context, c *call) (any, error) {
	in, err := c.readGroup()
	if err != nil {
		return nil, err
	}
	if in.DisplayName == nil {
		return nil, required("displayName")
	}
	g := directory.Group{Tenant: c.tenant.ID, Name: *in.DisplayName}
	if in.Description != nil {
		g.Description = *in.Description
	}
	err = c.change(ctx, "group.create", "", func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		made, err := c.cfg.Directory.CreateGroup(ctx, tx, g)
		if err != nil {
			return err
		}
		g = made
		e.Detail["group"], e.Detail["name"] = string(g.ID), g.Name
		return nil
	})
	if err != nil {
		return nil, err
	}
	return created{groupEntity(g), "/groups/" + string(g.ID)}, nil
}

func getGroup(ctx context.Context, c *call) (any, error) {
	g, err := c.group(ctx)
	if err != nil {
		return nil, err
	}
	return c.expandedGroup(ctx, g)
}

// expandedGroup is a group with what $expand asks for. Of the members the
// first come along, with the address of the others.
func (c *call) expandedGroup(ctx context.Context, g directory.Group) (entity, error) {
	e := groupEntity(g)
	for _, x := range c.query.expand {
		people, next, err := c.cfg.Directory.Members(ctx, c.tenant.ID, g.ID, directory.Page{Limit: maxExpanded})
		if err != nil && !errors.Is(err, idp.NotFound) {
			return nil, err
		}
		e[x.name] = picked(memberEntities(people), x.selected)
		if next != "" {
			e[x.name+"@odata.nextLink"] = c.cfg.BaseURL + c.version + "/groups/" + string(g.ID) + "/members?$skiptoken=" + skipToken(next)
		}
	}
	return e, nil
}

func memberEntities(people []directory.Person) []entity {
	out := make([]entity, 0, len(people))
	for _, p := range people {
		e := userEntity(p)
		e["@odata.type"] = "#microsoft.graph.user"
		out = append(out, e)
	}
	return out
}

func deleteGroup(ctx context.Context, c *call) (any, error) {
	g, err := c.group(ctx)
	if err != nil {
		return nil, err
	}
	return nil, c.change(ctx, "group.delete", "", func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["group"], e.Detail["name"] = string(g.ID), g.Name
		return c.cfg.Directory.DeleteGroup(ctx, tx, c.tenant.ID, g.ID)
	})
}

func listMembers(ctx context.Context, c *call) (any, error) {
	g, err := c.group(ctx)
	if err != nil {
		return nil, err
	}
	people, next, err := c.cfg.Directory.Members(ctx, c.tenant.ID, g.ID, directory.Page{After: c.query.after, Limit: c.query.top})
	if err != nil {
		return nil, err
	}
	return list{items: memberEntities(people), next: next}, nil
}

// addMember takes a reference: the address of the person, whose last part is
// their id.
func addMember(ctx context.Context, c *call) (any, error) {
	var in struct {
		ID string `json:"@odata.id"`
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	id := strings.ToLower(path.Base(in.ID))
	if !isGUID(id) {
		return nil, badProperty("@odata.id", "@odata.id is the address of a person and ends in their id.")
	}
	return nil, c.member(ctx, "group.addMember", idp.UserID(id), func(ctx context.Context, tx *sqldb.Tx, g directory.Group, u idp.UserID) error {
		added, err := c.cfg.Directory.AddMember(ctx, tx, c.tenant.ID, g.ID, u)
		if err == nil && !added {
			return idp.Invalidf("member_already", "user %s in group %s", u, g.ID).On("members").
				Say("One or more added object references already exist for the following modified properties: 'members'.")
		}
		return missing(err, string(u))
	})
}

func removeMember(ctx context.Context, c *call) (any, error) {
	id := strings.ToLower(c.r.PathValue("member"))
	if !isGUID(id) {
		return nil, missing(idp.NotFound, id)
	}
	return nil, c.member(ctx, "group.removeMember", idp.UserID(id), func(ctx context.Context, tx *sqldb.Tx, g directory.Group, u idp.UserID) error {
		return missing(c.cfg.Directory.RemoveMember(ctx, tx, c.tenant.ID, g.ID, u), string(u))
	})
}

func (c *call) member(ctx context.Context, activity string, u idp.UserID, fn func(context.Context, *sqldb.Tx, directory.Group, idp.UserID) error) error {
	g, err := c.group(ctx)
	if err != nil {
		return err
	}
	return c.change(ctx, activity, u, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["group"], e.Detail["name"] = string(g.ID), g.Name
		return fn(ctx, tx, g, u)
	})
}
