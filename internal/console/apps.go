package console

import (
	"context"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

func (c *Console) appRoutes() []route {
	const admin = directory.Administrator
	return []route{
		{"GET /admin/apps", admin, c.apps, ""},
		{"GET /admin/apps/new", admin, c.newApp, ""},
		{"POST /admin/apps/new", admin, c.createApp, "says.app.create"},
		{"GET /admin/apps/{id}", admin, c.app, ""},
		{"GET /admin/apps/{id}/ask", admin, c.askApp, ""},
		{"POST /admin/apps/{id}/save", admin, c.saveApp, "says.app.update"},
		{"POST /admin/apps/{id}/secret", admin, c.addSecret, "says.app.addSecret"},
		{"POST /admin/apps/{id}/disable", admin, c.disableApp, "says.app.disable"},
		{"POST /admin/apps/{id}/enable", admin, c.enableApp, "says.app.enable"},
		{"POST /admin/apps/{id}/delete", admin, c.deleteApp, "says.app.delete"},
	}
}

type appsView struct {
	listView
	Apps  []appRow
	Empty template.HTML
}

type appRow struct {
	Name, Href string
	Kind       template.HTML
	Strength   string
	Off        bool
}

func (c *Console) apps(ctx context.Context, v *visit) error {
	q := v.r.URL.Query()
	view := appsView{listView: listView{Path: "/admin/apps", SearchLabel: "apps.search", Query: page.Clip(strings.TrimSpace(q.Get("q")), 200)}}
	var where filter.Expr
	if view.Query != "" {
		var err error
		if where, err = called(view.Query, client.Fields, "displayName"); err != nil {
			return err
		}
	}
	list, next, err := c.cfg.Clients.Find(ctx, v.tenant.ID, where, q.Get("after"), pageSize)
	if err != nil {
		return err
	}
	pg := v.page("apps", "", nil)
	for _, a := range list {
		view.Apps = append(view.Apps, appRow{a.Name, "/admin/apps/" + string(a.ID), pg.T("app.kind." + a.Kind), v.strengthName(ctx, a.ACR), !a.Enabled})
	}
	if len(list) == 0 {
		view.Empty = pg.T("apps.none")
		if view.Query != "" {
			view.Empty = pg.T("people.none.found", "q", view.Query)
		}
	}
	view.listView.page(v.r, next)
	pg.Title, pg.V = pg.T("apps.title"), &view
	return v.show(http.StatusOK, pg)
}

// strengthName is the name of the strength that an app demands.
func (v *visit) strengthName(ctx context.Context, acr string) string {
	if acr == "" {
		return ""
	}
	p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return acr
	}
	if s, ok := p.Strength(acr); ok {
		return s.Name
	}
	return acr
}

// appForm is what is typed about an application.
type appForm struct {
	Path, Back string
	New        bool
	ID         idp.ClientID
	Name       string
	Kind       string
	Auth       string
	Redirects  string // one a line
	Out        string
	ACR        string
	FirstParty bool
	Refresh    bool
	Elsewhere  bool // sign-in by a code on another device
	Enabled    bool
	Secrets    int
	Strengths  []choiceOption
	Kinds      []choiceOption
	Auths      []choiceOption
	Secret     string // a new one, shown once
	Issuer     string
	Problem    template.HTML
	Bad        string // the field that is wrong
	Created    template.HTML
	Ask        string
}

func (c *Console) newApp(ctx context.Context, v *visit) error {
	return v.appPage(ctx, http.StatusOK, appForm{New: true, Kind: client.Web, Auth: client.AuthSecret, FirstParty: true, Refresh: true})
}

// appPage shows the form of an application, or of a new one.
func (v *visit) appPage(ctx context.Context, status int, f appForm) error {
	p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	pg := v.page("app", template.HTML(template.HTMLEscapeString(f.Name)), nil)
	f.Path, f.Back, f.Ask = "/admin/apps/"+string(f.ID), "/admin/apps", "/admin/apps/"+string(f.ID)+"/ask"
	f.Issuer = v.cfg.BaseURL + "/" + string(v.tenant.ID) + "/v2.0"
	if f.New {
		pg.Title = pg.T("newapp.title")
	}
	f.Strengths = append(f.Strengths, choiceOption{"", pg.T("app.strength.any"), f.ACR == ""})
	for _, s := range p.Strengths {
		f.Strengths = append(f.Strengths, choiceOption{s.Asked(), template.HTML(template.HTMLEscapeString(s.Name)), f.ACR == s.Asked() || f.ACR == s.ID})
	}
	for _, k := range []string{client.Web, client.Native} {
		f.Kinds = append(f.Kinds, choiceOption{k, pg.T("app.kind." + k), f.Kind == k})
	}
	auths := []string{client.AuthSecret, client.AuthNone}
	if !slices.Contains(auths, f.Auth) {
		auths = append(auths, f.Auth) // set by the command line: it stays
	}
	for _, a := range auths {
		f.Auths = append(f.Auths, choiceOption{a, pg.T("app.auth." + a), f.Auth == a})
	}
	pg.V = &f
	return v.show(status, pg)
}

func lines(s string) []string {
	var out []string
	for l := range strings.Lines(s) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// typed reads the form; nothing of it is lost when it is refused.
func (v *visit) typedApp() appForm {
	get := func(name string) string { return strings.TrimSpace(v.form.Get(name)) }
	return appForm{
		Name: get("name"), Kind: get("kind"), Auth: get("auth"), Redirects: v.form.Get("redirects"), Out: v.form.Get("out"), ACR: get("acr"),
		FirstParty: v.form.Get("ask") == "", Refresh: v.form.Get("refresh") != "", Elsewhere: v.form.Get("elsewhere") != "",
	}
}

// onto puts what was typed into a client.
func (f appForm) onto(a client.Client) client.Client {
	a.Name, a.RedirectURIs, a.PostLogoutURIs = f.Name, lines(f.Redirects), lines(f.Out)
	a.ACR, a.FirstParty = f.ACR, f.FirstParty
	grants := slices.DeleteFunc(slices.Clone(a.Grants), func(g string) bool {
		return g == client.GrantRefresh || g == client.GrantDeviceCode
	})
	if len(grants) == 0 {
		grants = []string{client.GrantCode}
	}
	if f.Refresh {
		grants = append(grants, client.GrantRefresh)
	}
	if f.Elsewhere {
		grants = append(grants, client.GrantDeviceCode)
	}
	a.Grants = grants
	return a
}

// knownStrength refuses a strength that the tenant does not have.
func (v *visit) knownStrength(ctx context.Context, acr string) error {
	if acr == "" {
		return nil
	}
	p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	if _, ok := p.Strength(acr); !ok {
		return idp.Invalidf("unknown_strength", "acr %q", audit.Clean(acr, 64)).On("acr").Say("There is no such strength.")
	}
	return nil
}

func (c *Console) createApp(ctx context.Context, v *visit) error {
	f := v.typedApp()
	f.New = true
	made, secret := client.Client{Tenant: v.tenant.ID, Kind: f.Kind, Auth: f.Auth, Enabled: true}, ""
	err := v.knownStrength(ctx, f.ACR)
	if err == nil {
		err = v.change(ctx, "app.create", idp.User{}, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
			made, secret, err = c.cfg.Clients.Create(ctx, tx, f.onto(made))
			e.Client, e.Detail["app"] = made.ID, f.Name
			return err
		})
	}
	if e := told400(err); e != nil {
		f.Problem, f.Bad = say(e), e.Field
		return v.appPage(ctx, web.Status(e.Kind), f)
	}
	if err != nil {
		return err
	}
	if secret == "" {
		return v.leave("/admin/apps/"+string(made.ID), "app")
	}
	made, err = c.cfg.Clients.Load(ctx, c.cfg.DB, v.tenant.ID, made.ID)
	if err != nil {
		return err
	}
	shown := formOf(made)
	shown.Secret = secret
	return v.appPage(ctx, http.StatusOK, shown)
}

func formOf(a client.Client) appForm {
	return appForm{
		ID: a.ID, Name: a.Name, Kind: a.Kind, Auth: a.Auth, Redirects: strings.Join(a.RedirectURIs, "\n"), Out: strings.Join(a.PostLogoutURIs, "\n"),
		ACR: a.ACR, FirstParty: a.FirstParty, Refresh: a.Allows(client.GrantRefresh), Elsewhere: a.Allows(client.GrantDeviceCode), Enabled: a.Enabled, Secrets: len(a.SecretDigests),
		Created: page.When(a.Created, ""),
	}
}

func (v *visit) theApp(ctx context.Context) (client.Client, error) {
	return v.cfg.Clients.Load(ctx, v.cfg.DB, v.tenant.ID, idp.ClientID(page.Clip(v.r.PathValue("id"), 64)))
}

func (c *Console) app(ctx context.Context, v *visit) error {
	a, err := v.theApp(ctx)
	if err != nil {
		return err
	}
	return v.appPage(ctx, http.StatusOK, formOf(a))
}

func (c *Console) askApp(ctx context.Context, v *visit) error {
	a, err := v.theApp(ctx)
	if err != nil {
		return err
	}
	what := v.r.URL.Query().Get("what")
	if what != "disable" && what != "delete" {
		return idp.NotFoundf("page_unknown", "question %.40q", what)
	}
	ws, path := v.words(), "/admin/apps/"+string(a.ID)
	return v.ask(ws.T("ask.app."+what+".title", "name", a.Name), askView{
		Action: path + "/" + what, Keep: path, Text: []template.HTML{ws.T("ask.app." + what + ".text")}, Yes: ws.T("ask.app." + what + ".yes"), No: ws.T("ask.no"), Harm: true,
	})
}

// changeApp changes the application that the address names.
func (v *visit) changeApp(ctx context.Context, activity string, fn func(context.Context, *sqldb.Tx, client.Client) error) (client.Client, error) {
	a, err := v.theApp(ctx)
	if err != nil {
		return a, err
	}
	return a, v.change(ctx, activity, idp.User{}, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		now, err := v.cfg.Clients.Load(ctx, tx, v.tenant.ID, a.ID)
		if err != nil {
			return err
		}
		e.Client, e.Detail["app"] = now.ID, now.Name
		return fn(ctx, tx, now)
	})
}

func (c *Console) saveApp(ctx context.Context, v *visit) error {
	was, err := v.theApp(ctx)
	if err != nil {
		return err
	}
	f := v.typedApp()
	if err = v.knownStrength(ctx, f.ACR); err == nil {
		_, err = v.changeApp(ctx, "app.update", func(ctx context.Context, tx *sqldb.Tx, now client.Client) error {
			_, err := c.cfg.Clients.Update(ctx, tx, f.onto(now))
			return err
		})
	}
	if e := told400(err); e != nil {
		is := formOf(was)
		f.ID, f.Kind, f.Auth, f.Enabled, f.Secrets, f.Created = is.ID, is.Kind, is.Auth, is.Enabled, is.Secrets, is.Created
		f.Problem, f.Bad = say(e), e.Field
		return v.appPage(ctx, web.Status(e.Kind), f)
	}
	if err != nil {
		return err
	}
	return v.leave("/admin/apps/"+string(was.ID), "saved")
}

func (c *Console) addSecret(ctx context.Context, v *visit) error {
	secret := ""
	a, err := v.changeApp(ctx, "app.addSecret", func(ctx context.Context, tx *sqldb.Tx, now client.Client) (err error) {
		secret, err = c.cfg.Clients.AddSecret(ctx, tx, v.tenant.ID, now.ID)
		return err
	})
	if err != nil {
		return err
	}
	f := formOf(a)
	f.Secret, f.Secrets = secret, f.Secrets+1
	return v.appPage(ctx, http.StatusOK, f)
}

func (c *Console) disableApp(ctx context.Context, v *visit) error { return v.switchApp(ctx, false) }
func (c *Console) enableApp(ctx context.Context, v *visit) error  { return v.switchApp(ctx, true) }

func (v *visit) switchApp(ctx context.Context, on bool) error {
	activity, done := "app.disable", "app-off"
	if on {
		activity, done = "app.enable", "app-on"
	}
	a, err := v.changeApp(ctx, activity, func(ctx context.Context, tx *sqldb.Tx, now client.Client) error {
		now.Enabled = on
		_, err := v.cfg.Clients.Update(ctx, tx, now)
		return err
	})
	if err != nil {
		return err
	}
	return v.leave("/admin/apps/"+string(a.ID), done)
}

func (c *Console) deleteApp(ctx context.Context, v *visit) error {
	_, err := v.changeApp(ctx, "app.delete", func(ctx context.Context, tx *sqldb.Tx, now client.Client) error {
		return c.cfg.Clients.Delete(ctx, tx, v.tenant.ID, now.ID)
	})
	if err != nil {
		return err
	}
	return v.leave("/admin/apps", "app-gone")
}
