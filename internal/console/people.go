package console

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

func (c *Console) peopleRoutes() []route {
	return []route{
		{"GET /admin/people", directory.Helpdesk, c.people, ""},
		{"GET /admin/people/new", directory.Administrator, c.newPerson, ""},
		{"POST /admin/people/new", directory.Administrator, c.createPerson, "says.user.create"},
		{"GET /admin/people/{id}", directory.Helpdesk, c.person, ""},
		{"GET /admin/people/{id}/ask", directory.Helpdesk, c.askPerson, ""},
		{"POST /admin/people/{id}/pass", directory.Helpdesk, c.issuePass, "says.tap.issue"},
		{"POST /admin/people/{id}/sign-out", directory.Helpdesk, c.endSessions, "says.session.revokeUser"},
		{"POST /admin/people/{id}/remove-method", directory.Helpdesk, c.removeMethod, "says.method.remove"},
		{"POST /admin/people/{id}/test-phone", directory.Helpdesk, c.testPhone, ""},
		{"POST /admin/people/{id}/unblock", directory.Helpdesk, c.unblock, "says.phone.unblock"},
		{"POST /admin/people/{id}/disable", directory.Administrator, c.disable, "says.user.disable"},
		{"POST /admin/people/{id}/enable", directory.Administrator, c.enable, "says.user.enable"},
		{"POST /admin/people/{id}/delete", directory.Administrator, c.deletePerson, "says.user.delete"},
		{"POST /admin/people/{id}/role", directory.Administrator, c.setRole, "says.user.setRole"},
		{"POST /admin/people/{id}/name", directory.Administrator, c.rename, "says.user.update"},
		{"POST /admin/people/{id}/certificate-id", directory.Administrator, c.setCertificateID, "says.user.certid"},
		{"POST /admin/people/{id}/on-premises", directory.Administrator, c.setOnPremises, "says.user.onpremises"},
		{"POST /admin/people/{id}/lift-badge", directory.Administrator, c.liftBar, "says.badge.lift"},
		{"GET /admin/people/{id}/key", directory.Helpdesk, c.keyPage, ""},
		{"POST /admin/people/{id}/key/begin", directory.Helpdesk, c.keyBegin, "says.key.provision"},
		{"POST /admin/people/{id}/key/finish", directory.Helpdesk, c.keyFinish, "says.key.provision"},
	}
}

// pageSize is how many rows a list of the console has.
const pageSize = 50

// listView is what every list with a search has.
type listView struct {
	Path, SearchLabel, Query string
	Kept                     []field
	First, Next              string
}

// page sets the addresses of the first and the next part.
func (l *listView) page(r *http.Request, next string) {
	q := r.URL.Query()
	if q.Get("after") != "" {
		q.Del("after")
		l.First = l.Path + query(q)
	}
	if next != "" {
		q.Set("after", next)
		l.Next = l.Path + query(q)
	}
}

func query(q url.Values) string {
	q.Del("done")
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

type peopleView struct {
	listView
	People []personRow
	States []choice // filter by state
	Empty  template.HTML
	MayAdd bool
}

// choice is one of several filters that are links.
type choice struct {
	Label  template.HTML
	Href   string
	Chosen bool
}

// personRow is a person in the list.
type personRow struct {
	Href, Name, User, Initials string
	Methods                    []methodMark
	Last                       template.HTML
	State                      string // "", "bad", "warn"
	StateText                  template.HTML
	Role                       template.HTML
}

// methodMark is a method of somebody as a small picture with a word.
type methodMark struct {
	Icon  string
	Label template.HTML
}

// states are the filters of the list, by the word in the address.
var states = []struct{ word, label, where string }{
	{"", "people.all", ""},
	{"off", "people.off", "accountEnabled eq false"},
	{"guests", "people.guests", "userType eq 'Guest'"},
}

func (c *Console) people(ctx context.Context, v *visit) error {
	q := v.r.URL.Query()
	view := peopleView{listView: listView{Path: "/admin/people", SearchLabel: "people.search", Query: page.Clip(strings.TrimSpace(q.Get("q")), 200)}, MayAdd: v.admin()}
	pg := v.page("people", "", nil)
	where, err := view.where(pg, q)
	if err != nil {
		return err
	}
	people, next, err := c.cfg.Directory.Users(ctx, v.tenant.ID, directory.Page{After: q.Get("after"), Limit: pageSize, Where: where})
	if err != nil {
		return err
	}
	for _, p := range people {
		row, err := v.personRow(ctx, pg, p)
		if err != nil {
			return err
		}
		view.People = append(view.People, row)
	}
	if len(people) == 0 {
		view.Empty = pg.T("people.none")
		if view.Query != "" {
			view.Empty = pg.T("people.none.found", "q", view.Query)
		}
	}
	view.listView.page(v.r, next)
	pg.Title, pg.V = pg.T("people.title"), &view
	return v.show(http.StatusOK, pg)
}

// where turns the search and the chosen state into a condition.
func (p *peopleView) where(pg *page.Page, q url.Values) (where filter.Expr, err error) {
	for _, s := range states {
		chosen := q.Get("state") == s.word
		to := url.Values{}
		if p.Query != "" {
			to.Set("q", p.Query)
		}
		if s.word != "" {
			to.Set("state", s.word)
		}
		p.States = append(p.States, choice{pg.T(s.label), p.Path + query(to), chosen})
		if !chosen || s.where == "" {
			continue
		}
		p.Kept = append(p.Kept, field{"state", s.word})
		if where, err = filter.Parse(s.where, directory.UserFields); err != nil {
			return where, err
		}
	}
	if p.Query == "" {
		return where, nil
	}
	found, err := called(p.Query, directory.UserFields, "displayName", "userPrincipalName")
	return filter.And(where, found), err
}

// called is the condition that one of the fields has words that begin with
// those that were typed.
func called(typed string, fields filter.Fields, names ...string) (filter.Expr, error) {
	typed = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(typed)
	clauses := make([]string, len(names))
	for i, name := range names {
		clauses[i] = `"` + name + `:` + typed + `"`
	}
	return filter.ParseSearch(strings.Join(clauses, " OR "), fields)
}

func (v *visit) personRow(ctx context.Context, pg *page.Page, p directory.Person) (personRow, error) {
	row := personRow{Href: "/admin/people/" + string(p.ID), Name: p.DisplayName, User: p.Name, Initials: page.Initials(p.DisplayName, 2)}
	if p.Role != "" {
		row.Role = pg.T("role." + p.Role)
	}
	creds, err := v.cfg.Corridor.Credentials(ctx, v.tenant.ID, p.ID)
	if err != nil {
		return row, err
	}
	var last method.Credential
	usable := 0
	seen := map[template.HTML]bool{}
	for _, c := range creds {
		if c.LastUsed.After(last.LastUsed) {
			last = c
		}
		if c.Bootstrap && c.Disabled {
			continue
		}
		if c.Usable() {
			usable++
		}
		if m := markOf(pg, c); !seen[m.Label] {
			seen[m.Label] = true
			row.Methods = append(row.Methods, m)
		}
	}
	if !last.LastUsed.IsZero() {
		row.Last = page.When(last.LastUsed, "start")
	}
	switch {
	case !p.Enabled:
		row.State, row.StateText = "bad", pg.T("person.off")
	case usable == 0 && holdsPass(creds):
		row.State, row.StateText = "warn", pg.T("person.only_pass")
	case usable == 0:
		row.State, row.StateText = "warn", pg.T("person.no_way")
	}
	return row, nil
}

// holdsPass says whether one of them is a pass that is still good.
func holdsPass(creds []method.Credential) bool {
	return slices.ContainsFunc(creds, func(c method.Credential) bool { return c.Bootstrap && !c.Disabled })
}

// markOf is the kind of a credential as a picture and a word.
func markOf(pg *page.Page, c method.Credential) methodMark {
	switch {
	case c.Bootstrap:
		return methodMark{"ticket", pg.T("method.accessPass")}
	case c.Method == policy.Hello:
		return methodMark{"laptop", pg.T("kind.hello")}
	case c.Method == policy.Platform:
		return methodMark{"laptop", pg.T("kind.platform")}
	case c.Method == policy.Phone:
		return methodMark{"phone", pg.T("kind.phone")}
	case c.Method == policy.Certificate:
		return methodMark{"badge", pg.T("kind.badge")}
	case c.Facts.Synced:
		return methodMark{"cloud", pg.T("kind.synced")}
	case c.Facts.Attested:
		return methodMark{"usb", pg.T("kind.attested")}
	}
	return methodMark{"key", pg.T("kind.passkey")}
}

// newView is the form for a new person.
type newView struct {
	Problems   []template.HTML
	User, Name string
	Domain     string
	Guest      bool
	BadUser    template.HTML
	BadName    template.HTML
}

func (c *Console) newPerson(_ context.Context, v *visit) error {
	return v.newPersonPage(http.StatusOK, newView{Domain: v.tenant.Domain})
}

func (v *visit) newPersonPage(status int, view newView) error {
	pg := v.page("newone", "", view)
	pg.Title = pg.T("newone.title")
	return v.show(status, pg)
}

func (c *Console) createPerson(ctx context.Context, v *visit) error {
	view := newView{User: strings.TrimSpace(v.form.Get("user")), Name: strings.TrimSpace(v.form.Get("name")), Domain: v.tenant.Domain, Guest: v.form.Get("guest") != ""}
	u := idp.User{Tenant: v.tenant.ID, Name: view.User, DisplayName: view.Name, Enabled: true}
	if view.Guest {
		u.Type = idp.Guest
	}
	if u.Name != "" && !strings.Contains(u.Name, "@") {
		u.Name += "@" + v.tenant.Domain
	}
	err := v.change(ctx, "user.create", u, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		if u, err = c.cfg.Directory.CreateUser(ctx, tx, u); err != nil {
			return err
		}
		e.User, e.UserName = u.ID, u.Name
		return nil
	})
	if e := told400(err); e != nil {
		if view.BadUser = say(e); e.Field == "displayName" {
			view.BadUser, view.BadName = "", say(e)
		}
		return v.newPersonPage(web.Status(e.Kind), view)
	}
	if err != nil {
		return err
	}
	return v.leave("/admin/people/"+string(u.ID), "created")
}

// told400 gives an error that belongs beside what was typed; nil: it does not.
func told400(err error) *idp.Error {
	e := idp.AsError(err)
	if e == nil || e.Kind != idp.Invalid && e.Kind != idp.Conflict && e.Kind != idp.Denied {
		return nil
	}
	return e
}

// say is the sentence of an error for people.
func say(e *idp.Error) template.HTML {
	text := e.Public
	if text == "" {
		text = e.Reason
	}
	return template.HTML(template.HTMLEscapeString(text))
}
