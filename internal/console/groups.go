package console

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

func (c *Console) groupRoutes() []route {
	return []route{
		{"GET /admin/groups", directory.Helpdesk, c.groups, ""},
		{"POST /admin/groups", directory.Administrator, c.createGroup, "says.group.create"},
		{"GET /admin/groups/{id}", directory.Helpdesk, c.group, ""},
		{"GET /admin/groups/{id}/ask", directory.Administrator, c.askGroup, ""},
		{"POST /admin/groups/{id}/add", directory.Administrator, c.addMember, "says.group.addMember"},
		{"POST /admin/groups/{id}/remove", directory.Administrator, c.removeMember, "says.group.removeMember"},
		{"POST /admin/groups/{id}/delete", directory.Administrator, c.deleteGroup, "says.group.delete"},
	}
}

type groupsView struct {
	listView
	Groups  []groupLink
	Empty   template.HTML
	Admin   bool
	New     string
	BadName template.HTML
}

func (c *Console) groups(ctx context.Context, v *visit) error {
	return v.groupsPage(ctx, http.StatusOK, "", "")
}

func (v *visit) groupsPage(ctx context.Context, status int, typed string, bad template.HTML) error {
	q := v.r.URL.Query()
	view := groupsView{listView: listView{Path: "/admin/groups", SearchLabel: "groups.search", Query: page.Clip(strings.TrimSpace(q.Get("q")), 200)}, Admin: v.admin(), New: typed, BadName: bad}
	var where filter.Expr
	if view.Query != "" {
		var err error
		if where, err = called(view.Query, directory.GroupFields, "displayName"); err != nil {
			return err
		}
	}
	list, next, err := v.cfg.Directory.Groups(ctx, v.tenant.ID, directory.Page{After: q.Get("after"), Limit: pageSize, Where: where})
	if err != nil {
		return err
	}
	for _, g := range list {
		view.Groups = append(view.Groups, groupLink{g.Name, "/admin/groups/" + string(g.ID)})
	}
	pg := v.page("groups", "", nil)
	if len(list) == 0 {
		view.Empty = pg.T("groups.none")
		if view.Query != "" {
			view.Empty = pg.T("people.none.found", "q", view.Query)
		}
	}
	view.listView.page(v.r, next)
	pg.Title, pg.V = pg.T("groups.title"), &view
	return v.show(status, pg)
}

func (c *Console) createGroup(ctx context.Context, v *visit) error {
	name := strings.TrimSpace(v.form.Get("name"))
	g := directory.Group{Tenant: v.tenant.ID, Name: name}
	err := v.change(ctx, "group.create", idp.User{}, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		g, err = c.cfg.Directory.CreateGroup(ctx, tx, g)
		e.Detail["group"] = name
		return err
	})
	if e := told400(err); e != nil {
		return v.groupsPage(ctx, web.Status(e.Kind), name, say(e))
	}
	if err != nil {
		return err
	}
	return v.leave("/admin/groups/"+string(g.ID), "group")
}

type groupView struct {
	listView
	Members []memberRow
	Admin   bool
	Typed   string
	Bad     template.HTML
	Delete  string
}

type memberRow struct {
	ID                        idp.UserID
	Href, Name, User, Initial string
	Off                       bool
}

func (v *visit) theGroup(ctx context.Context) (directory.Group, string, error) {
	g, err := v.cfg.Directory.Group(ctx, v.cfg.DB, v.tenant.ID, idp.GroupID(v.r.PathValue("id")))
	return g, "/admin/groups/" + string(g.ID), err
}

func (c *Console) group(ctx context.Context, v *visit) error {
	return v.groupPage(ctx, http.StatusOK, "", "")
}

func (v *visit) groupPage(ctx context.Context, status int, typed string, bad template.HTML) error {
	g, path, err := v.theGroup(ctx)
	if err != nil {
		return err
	}
	members, next, err := v.cfg.Directory.Members(ctx, v.tenant.ID, g.ID, directory.Page{After: v.r.URL.Query().Get("after"), Limit: pageSize})
	if err != nil {
		return err
	}
	view := groupView{listView: listView{Path: path}, Admin: v.admin(), Typed: typed, Bad: bad, Delete: path + "/ask?what=delete"}
	for _, m := range members {
		view.Members = append(view.Members, memberRow{m.ID, "/admin/people/" + string(m.ID), m.DisplayName, m.Name, page.Initials(m.DisplayName, 2), !m.Enabled})
	}
	view.listView.page(v.r, next)
	return v.show(status, v.page("group", template.HTML(template.HTMLEscapeString(g.Name)), &view))
}

func (c *Console) askGroup(ctx context.Context, v *visit) error {
	g, path, err := v.theGroup(ctx)
	if err != nil {
		return err
	}
	p, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	ws := v.words()
	text := []template.HTML{ws.T("ask.group.text")}
	for _, named := range p.NamedGroups() {
		if named == g.ID {
			text = append(text, ws.T("ask.group.named"))
		}
	}
	return v.ask(ws.T("ask.group.title", "name", g.Name), askView{
		Action: path + "/delete", Keep: path, Text: text, Yes: ws.T("ask.group.yes"), No: ws.T("ask.no"), Harm: true,
	})
}

func (c *Console) addMember(ctx context.Context, v *visit) error {
	g, path, err := v.theGroup(ctx)
	if err != nil {
		return err
	}
	typed := strings.TrimSpace(v.form.Get("user"))
	u, err := c.cfg.Directory.UserByName(ctx, c.cfg.DB, v.tenant.ID, typed)
	if errors.Is(err, idp.NotFound) {
		return v.groupPage(ctx, http.StatusNotFound, typed, v.words().T("group.nobody", "name", typed))
	}
	if err != nil {
		return err
	}
	err = v.change(ctx, "group.addMember", u, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["group"] = g.Name
		_, err := c.cfg.Directory.AddMember(ctx, tx, v.tenant.ID, g.ID, u.ID)
		return err
	})
	if err != nil {
		return err
	}
	return v.leave(path, "member")
}

func (c *Console) removeMember(ctx context.Context, v *visit) error {
	g, path, err := v.theGroup(ctx)
	if err != nil {
		return err
	}
	u, err := c.cfg.Directory.User(ctx, c.cfg.DB, v.tenant.ID, idp.UserID(v.form.Get("user")))
	if err != nil {
		return err
	}
	err = v.change(ctx, "group.removeMember", u, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["group"] = g.Name
		return c.cfg.Directory.RemoveMember(ctx, tx, v.tenant.ID, g.ID, u.ID)
	})
	if err != nil {
		return err
	}
	return v.leave(path, "unmember")
}

func (c *Console) deleteGroup(ctx context.Context, v *visit) error {
	g, _, err := v.theGroup(ctx)
	if err != nil {
		return err
	}
	err = v.change(ctx, "group.delete", idp.User{}, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["group"] = g.Name
		return c.cfg.Directory.DeleteGroup(ctx, tx, v.tenant.ID, g.ID)
	})
	if err != nil {
		return err
	}
	return v.leave("/admin/groups", "ungroup")
}
