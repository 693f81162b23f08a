package console

import (
	"html/template"
	"strings"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
)

// shell is the frame around every page: the list at the side, and who it is.
type shell struct {
	Sections []section
	Person   string
	Initials string
	Role     template.HTML
	Tenants  []elsewhere
	Notice   template.HTML
	Session  idp.SessionID // to sign out
	Whose    string        // goes with every form: as whom it is sent
}

// section is a part of the side list.
type section struct {
	Title template.HTML
	Items []item
}

type item struct {
	Href, Icon string
	Label      template.HTML
	Here       bool
}

// elsewhere is another tenant in which the visitor has a role.
type elsewhere struct{ Name, Href string }

// entry is a line of the side list, and below which address one is there.
type entry struct{ href, icon, label, role string }

// menu is the side list.
var menu = []struct {
	title   string
	entries []entry
}{
	{"", []entry{
		{"/admin", "home", "menu.overview", directory.Helpdesk},
		{"/admin/people", "people", "menu.people", directory.Helpdesk},
		{"/admin/groups", "group", "menu.groups", directory.Helpdesk},
		{"/admin/apps", "apps", "menu.apps", directory.Administrator},
	}},
	{"menu.govern", []entry{
		{"/admin/methods", "key", "menu.methods", directory.Administrator},
		{"/admin/strengths", "strength", "menu.strengths", directory.Administrator},
	}},
	{"menu.happened", []entry{
		{"/admin/log", "log", "menu.log", directory.Helpdesk},
		{"/admin/changes", "clock", "menu.changes", directory.Helpdesk},
		{"/admin/report", "chart", "menu.report", directory.Helpdesk},
	}},
}

func (v *visit) shell(pg *page.Page) *shell {
	s := &shell{
		Person: v.user.DisplayName, Initials: page.Initials(v.user.DisplayName, 2), Role: pg.T("role." + v.role),
		Session: v.session.ID, Whose: whose(v.tenant.ID, v.user.ID), Notice: v.notice(),
	}
	for _, m := range menu {
		sec := section{}
		if m.title != "" {
			sec.Title = pg.T(m.title)
		}
		for _, e := range m.entries {
			if e.role == directory.Administrator && !v.admin() {
				continue
			}
			sec.Items = append(sec.Items, item{e.href, e.icon, pg.T(e.label), within(v.r.URL.Path, e.href)})
		}
		if len(sec.Items) > 0 {
			s.Sections = append(s.Sections, sec)
		}
	}
	for _, o := range v.others {
		s.Tenants = append(s.Tenants, elsewhere{o.tenant.Name, "/admin?tenant=" + string(o.tenant.ID)})
	}
	return s
}

func within(path, href string) bool {
	if href == "/admin" {
		return path == href
	}
	return path == href || strings.HasPrefix(path, href+"/")
}
