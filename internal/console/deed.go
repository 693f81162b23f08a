package console

import (
	"context"
	"errors"
	"html/template"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
)

// changeRow is one record of a change, told in a line.
type changeRow struct {
	ID         idp.EventID
	When       template.HTML
	Text, Meta template.HTML
	Bad        bool
	Href       string // a page that tells more; empty: there is none
}

// changes tells the newest changes of the tenant.
func (v *visit) changes(ctx context.Context, pg *page.Page, n int) ([]changeRow, error) {
	events, err := v.cfg.Audit.List(ctx, v.cfg.DB, v.tenant.ID, audit.Filter{Of: audit.Changes, Limit: n})
	if err != nil {
		return nil, err
	}
	out := make([]changeRow, 0, len(events))
	names := &names{visit: v}
	for _, e := range events {
		row, err := v.changeRow(ctx, pg, names, e)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, nil
}

// changeRow tells one record: who did what to whom.
func (v *visit) changeRow(ctx context.Context, pg *page.Page, names *names, e audit.Event) (changeRow, error) {
	who, err := names.actor(ctx, pg, e)
	if err != nil {
		return changeRow{}, err
	}
	key, known := "deed."+e.Activity, true
	if string(pg.T(key)) == key {
		key, known = "deed.other", false
	}
	whom := template.HTML(template.HTMLEscapeString(e.UserName))
	if whom == "" {
		if whom, err = names.of(ctx, e.User); err != nil {
			return changeRow{}, err
		}
	}
	if whom == "" && e.Actor == "" && e.Outcome == audit.Failure {
		whom = pg.T("log.who.nobody") // turned away before anybody was known
	}
	row := changeRow{ID: e.ID, When: page.When(e.At, "start"), Bad: e.Outcome == audit.Failure}
	row.Text = pg.T(key, "who", who, "whom", whom, "what", e.Activity)
	if !known && whom != "" {
		row.Text = pg.T("deed.other.on", "who", who, "whom", whom, "what", e.Activity)
	}
	row.Meta = detail(e)
	return row, nil
}

// detail puts the particulars of a record into one line.
func detail(e audit.Event) template.HTML {
	var parts []string
	names := make([]string, 0, len(e.Detail))
	for name := range e.Detail {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == "changes" || len(parts) == 3 {
			continue
		}
		parts = append(parts, template.HTMLEscapeString(name+": "+page.Clip(e.Detail[name], 120)))
	}
	if e.Reason != "" {
		parts = append(parts, template.HTMLEscapeString(e.Reason))
	}
	return template.HTML(strings.Join(parts, " · "))
}

// names finds the names of people and applications, each once a page.
type names struct {
	visit  *visit
	people map[idp.UserID]template.HTML
	apps   map[idp.ClientID]template.HTML
}

// actor is who did it: you, somebody, the command line, or an application.
func (n *names) actor(ctx context.Context, pg *page.Page, e audit.Event) (template.HTML, error) {
	switch {
	case e.Actor == string(n.visit.user.ID):
		return pg.T("who.you"), nil
	case e.Actor == "":
		return pg.T("who.signet"), nil
	case strings.HasPrefix(e.Actor, "cli:"):
		return pg.T("who.cli", "name", strings.TrimPrefix(e.Actor, "cli:")), nil
	case strings.HasPrefix(e.Actor, "device:"):
		return pg.T("who.device"), nil
	case strings.HasPrefix(e.Actor, "client:"):
		name, err := n.app(ctx, idp.ClientID(strings.TrimPrefix(e.Actor, "client:")))
		return name, err
	}
	return n.of(ctx, idp.UserID(e.Actor))
}

// of is the name of a person; the id of one who is gone.
func (n *names) of(ctx context.Context, id idp.UserID) (template.HTML, error) {
	if id == "" {
		return "", nil
	}
	if name, ok := n.people[id]; ok {
		return name, nil
	}
	u, err := n.visit.cfg.Directory.User(ctx, n.visit.cfg.DB, n.visit.tenant.ID, id)
	if errors.Is(err, idp.NotFound) {
		u, err = idp.User{DisplayName: string(id)}, nil
	}
	if err != nil {
		return "", err
	}
	if n.people == nil {
		n.people = map[idp.UserID]template.HTML{}
	}
	n.people[id] = template.HTML(template.HTMLEscapeString(u.DisplayName))
	return n.people[id], nil
}

// app is the name of an application; the id of one that is gone.
func (n *names) app(ctx context.Context, id idp.ClientID) (template.HTML, error) {
	if id == "" {
		return "", nil
	}
	if name, ok := n.apps[id]; ok {
		return name, nil
	}
	c, err := n.visit.cfg.Clients.Get(ctx, n.visit.tenant.ID, id)
	if errors.Is(err, idp.NotFound) {
		c.Name, err = string(id), nil
	}
	if err != nil {
		return "", err
	}
	if n.apps == nil {
		n.apps = map[idp.ClientID]template.HTML{}
	}
	n.apps[id] = template.HTML(template.HTMLEscapeString(c.Name))
	return n.apps[id], nil
}
