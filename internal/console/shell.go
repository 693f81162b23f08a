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
		{devicesPath, "laptop", "menu.devices", directory.Helpdesk},
		{"/admin/apps", "apps", "menu.apps", directory.Administrator},
	}},
	{"menu.govern", []entry{
		{"/admin/methods", "key", "menu.methods", directory.Administrator},
		{"/admin/strengths", "strength", "menu.strengths", directory.Administrator},
		{devicesPath + "/rules", "rules", "menu.device_rules", directory.Administrator},
		{macsPath, "laptop", "menu.macs", directory.Administrator},
		{keysPath, "passkey", "menu.keys", directory.Helpdesk},
		{certsPath, "badge", "menu.certificates", directory.Helpdesk},
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
	here := nearest(v.r.URL.Path)
	for _, m := range menu {
		sec := section{}
		if m.title != "" {
			sec.Title = pg.T(m.title)
		}
		for _, e := range m.entries {
			if e.role == directory.Administrator && !v.admin() || v.cfg.Devices == nil && ofDevices(e.href) || v.cfg.Macs == nil && e.href == macsPath ||
				v.cfg.Trust == nil && e.href == certsPath {
				continue
			}
			sec.Items = append(sec.Items, item{e.href, e.icon, pg.T(e.label), e.href == here})
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

// ofDevices says whether an entry is there only with devices.
func ofDevices(href string) bool {
	return within(href, devicesPath) || href == keysPath || href == macsPath
}

// nearest is the entry of the side list that an address lies below, the longest
// of several.
func nearest(path string) (best string) {
	for _, m := range menu {
		for _, e := range m.entries {
			if within(path, e.href) && len(e.href) > len(best) {
				best = e.href
			}
		}
	}
	return best
}

func within(path, href string) bool {
	if href == "/admin" {
		return path == href
	}
	return path == href || strings.HasPrefix(path, href+"/")
}
