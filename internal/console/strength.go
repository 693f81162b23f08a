package console

import (
	"cmp"
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/trust"
)

// strengthsView is the list of strengths.
type strengthsView struct {
	Lead     template.HTML
	CanAdd   bool
	Groups   []strengthGroup
	Problems []template.HTML
	Conflict *conflictView
}

type strengthGroup struct {
	ID    string
	Title template.HTML
	Rows  []strengthItem
	None  template.HTML
}

type strengthItem struct {
	Href, Name  string
	Description template.HTML
	Ways        []template.HTML
	Facts       []factView
}

type factView struct{ Label, Value template.HTML }

// asking are the applications that demand a strength, by its id.
func (v *visit) asking(ctx context.Context, p policy.Policy) (map[string][]client.Client, error) {
	out := make(map[string][]client.Client)
	for after := ""; ; {
		some, next, err := v.cfg.Clients.List(ctx, v.tenant.ID, after, 999)
		if err != nil {
			return nil, err
		}
		for _, c := range some {
			if s, ok := p.Strength(c.ACR); ok && c.ACR != "" {
				out[s.ID] = append(out[s.ID], c)
			}
		}
		if after = next; next == "" {
			return out, nil
		}
	}
}

// strengthsPage is GET /admin/strengths.
func (c *Console) strengthsPage(ctx context.Context, v *visit) error {
	p, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	asked, err := v.asking(ctx, p)
	if err != nil {
		return err
	}
	cas, err := v.authorities(ctx)
	if err != nil {
		return err
	}
	pg := v.page("strength", v.words().T("strength.title"), nil)
	view := strengthsView{Lead: pg.T("strength.lead")}
	own, house := strengthGroup{ID: "own", Title: pg.T("strength.own"), None: pg.T("strength.own.none")}, strengthGroup{ID: "built-in", Title: pg.T("strength.builtin")}
	for _, s := range p.Strengths {
		row := strengthItem{Name: s.Name, Description: template.HTML(template.HTMLEscapeString(s.Description))}
		row.Ways = waysOf(pg, s)
		row.Facts = []factView{{pg.T("strength.asked"), template.HTML("<code>" + template.HTMLEscapeString(s.Asked()) + "</code>")}, {pg.T("strength.apps"), appNames(pg, asked[s.ID])}}
		if len(s.Each) > 0 {
			row.Facts = append(row.Facts, factView{pg.T("strength.each"), eachSay(pg, s.Each)})
		}
		if g := modelsOnly(s.Configurations); g >= 0 {
			row.Facts = append(row.Facts, factView{pg.T("strength.models"), template.HTML(template.HTMLEscapeString(strings.Join(v.modelNames(s.Configurations[g].AAGUIDs), ", ")))})
		}
		if g := certificatesOnly(s.Configurations); g >= 0 {
			row.Facts = append(row.Facts, factView{pg.T("strength.certs"), certificateLimit(pg, cas, s.Configurations[g])})
		}
		if s.BuiltIn() {
			row.Description = pg.T("strength.builtin." + s.ID[len(s.ID)-1:])
			house.Rows = append(house.Rows, row)
			continue
		}
		row.Href = "/admin/strengths/" + url.PathEscape(s.ID)
		own.Rows = append(own.Rows, row)
	}
	view.CanAdd = len(own.Rows) < policy.MaxStrengths
	view.Groups = []strengthGroup{own, house}
	pg.V = view
	return v.show(http.StatusOK, pg)
}

// certificateLimit says in a line which certificates count.
func certificateLimit(pg *page.Page, cas []trust.Authority, g policy.Configuration) template.HTML {
	var parts []string
	for _, key := range g.Issuers {
		parts = append(parts, string(authorityName(pg, cas, key)))
	}
	by, oids := template.HTML(strings.Join(parts, ", ")), codes(g.PolicyOIDs)
	switch {
	case oids == "":
		return by
	case by == "":
		return oids
	}
	return pg.T("strength.and", "a", by, "b", oids)
}

func (v *visit) modelNames(ids []string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = cmp.Or(v.cfg.Metadata.Name(id), id)
	}
	return out
}

func appNames(pg *page.Page, apps []client.Client) template.HTML {
	if len(apps) == 0 {
		return pg.T("strength.apps.none")
	}
	var names []string
	for _, a := range apps[:min(len(apps), 12)] {
		names = append(names, a.Name)
	}
	out := template.HTML(template.HTMLEscapeString(strings.Join(names, ", ")))
	if rest := len(apps) - len(names); rest > 0 {
		return pg.N("strength.apps.more", rest, "names", out)
	}
	return out
}

// eachSay says what every proof must be, in a line.
func eachSay(pg *page.Page, each []idp.Property) template.HTML {
	var out template.HTML
	for i, e := range each {
		one := pg.T("strength.each." + eachWord(e))
		if i == 0 {
			out = one
			continue
		}
		out = pg.T("strength.and", "a", out, "b", one)
	}
	return out
}

func eachWord(e idp.Property) string { return strings.ReplaceAll(string(e), "-", "_") }

// waysOf says each combination that something here can prove; the rest in one
// line, since nobody here can come by them.
func waysOf(pg *page.Page, s policy.Strength) []template.HTML {
	var out []template.HTML
	foreign := 0
	for _, c := range s.Combinations {
		if slices.ContainsFunc(c, func(m idp.Mode) bool { return !slices.Contains(houseModes, m) }) {
			foreign++
			continue
		}
		out = append(out, comboSay(pg, c))
	}
	if foreign > 0 {
		out = append(out, pg.N("strength.foreign", foreign))
	}
	return out
}

func comboSay(pg *page.Page, modes []idp.Mode) template.HTML {
	var out template.HTML
	for i, m := range modes {
		one := modeSay(pg, m)
		if i == 0 {
			out = one
			continue
		}
		out = pg.T("strength.and", "a", out, "b", one)
	}
	return out
}

func modeSay(pg *page.Page, m idp.Mode) template.HTML {
	if slices.Contains(houseModes, m) {
		return pg.T("strength.mode." + string(m))
	}
	return template.HTML(template.HTMLEscapeString(cut(string(m), 60)))
}

// strengthEdit is the page of one strength of the tenant's own.
type strengthEdit struct {
	formView
	Name, Description                 entryView
	Alone, Together                   []optionView
	First, Second                     []optionView
	Each                              []optionView
	CombosChanged                     changedView
	CombosWrong, PairWrong, EachWrong []string
	Models                            []chipView
	ModelsChanged                     changedView
	ModelsWrong                       []string
	Removable                         bool
	Apps                              template.HTML
	Issuers                           []optionView
	IssuersChanged, OIDsChanged       changedView
	IssuersWrong, OIDsWrong           []string
	OIDs                              string
	OtherLimits                       template.HTML // that this form leaves alone; empty: there are none
}

// strengthForm is a request about one strength.
type strengthForm struct {
	v     *visit
	ctx   context.Context
	saved policy.Policy
	draft strengthDraft
	isNew bool
	apps  []client.Client

	next   policy.Policy
	wrongs []wrong
}

func (c *Console) strengthForm(ctx context.Context, v *visit) (*strengthForm, error) {
	saved, err := c.cfg.Policies.Load(ctx, c.cfg.DB, v.tenant.ID)
	if err != nil {
		return nil, err
	}
	f := &strengthForm{v: v, ctx: ctx, saved: saved}
	id := v.r.PathValue("strength")
	if id == "new" {
		f.isNew, id = true, strings.ToLower(v.form.Get("guid"))
		if v.form == nil {
			id = secret.NewUUID4()
		}
		if !isGUID(id) || (policy.Strength{ID: id}).BuiltIn() {
			return nil, idp.Invalidf("bad_value", "new strength %.60q", id).On("guid")
		}
	} else if s, ok := saved.Strength(id); !ok || s.ID != id || s.BuiltIn() {
		return nil, idp.NotFoundf("strength_unknown", "strength %.60q", id)
	}
	f.draft = strengthDraftOf(saved, id)
	if v.form != nil {
		f.draft = readStrength(v.form, id)
	}
	asked, err := v.asking(ctx, saved)
	f.apps = asked[id]
	return f, err
}

func (f *strengthForm) apply() {
	f.next, f.wrongs = f.draft.apply(f.saved, secret.NewUUID4(), secret.NewUUID4(), f.v.known())
}

func (c *Console) strengthPage(ctx context.Context, v *visit) error {
	f, err := c.strengthForm(ctx, v)
	if err != nil {
		return err
	}
	f.next = f.saved
	return f.show(http.StatusOK, nil)
}

func (c *Console) strengthPost(ctx context.Context, v *visit) error {
	f, err := c.strengthForm(ctx, v)
	if err != nil {
		return err
	}
	switch do := v.form.Get("do"); do {
	case "pick", "more", "picked", "unpick":
		fields := f.draft.values()
		if f.isNew {
			fields.Set("guid", f.draft.ID)
		}
		if done, err := v.pick(ctx, do, pickerFor{path: v.at(), fields: fields, models: &f.draft.Models, mode: policy.ListAllow, lead: f.title()}); done || err != nil {
			return err
		}
	}
	f.apply()
	if v.form.Get("part") == "impact" {
		pg, err := f.page(nil)
		if err != nil {
			return err
		}
		pg.Frame = "fragment"
		return v.show(http.StatusOK, pg)
	}
	return f.show(http.StatusOK, nil)
}

func (c *Console) strengthSave(ctx context.Context, v *visit) error {
	f, err := c.strengthForm(ctx, v)
	if err != nil {
		return err
	}
	return f.save(v.form.Get("do"))
}

func (f *strengthForm) title() template.HTML {
	if strings.TrimSpace(f.draft.Name) == "" {
		return f.v.words().T("strength.new")
	}
	return template.HTML(template.HTMLEscapeString(f.draft.Name))
}

func (f *strengthForm) conflicts() bool { return f.draft.Version != version(f.saved) }

func (f *strengthForm) save(do string) error {
	v := f.v
	if !slices.Contains([]string{"save", "remove", "remove" + sure}, do) || do != "save" && f.isNew {
		return noSuchButton(do)
	}
	f.apply()
	if do != "save" {
		if len(f.apps) > 0 {
			return f.show(http.StatusConflict, []template.HTML{v.words().T("strength.inuse", "apps", appNames(&page.Page{Words: v.words()}, f.apps))})
		}
		f.next, f.wrongs = f.saved.Clone(), nil
		f.next.Strengths = slices.DeleteFunc(f.next.Strengths, func(s policy.Strength) bool { return s.ID == f.draft.ID })
	}
	if len(f.wrongs) > 0 {
		return f.show(http.StatusBadRequest, nil)
	}
	if f.conflicts() {
		return f.show(http.StatusConflict, nil)
	}
	if do == "remove" {
		return v.ask(v.words().T("strength.remove.title", "name", f.draft.Name), askView{
			Action: v.at() + savePart, Text: []template.HTML{v.words().T("strength.remove.text")}, Fields: append(hiddenFields(f.draft.values()), field{"do", "remove" + sure}),
			Keep: v.at(), Yes: v.words().T("strength.remove"), No: v.words().T("policy.confirm.no"), Harm: true,
		})
	}
	event := v.event("policy.set")
	event.Detail["page"] = v.at()
	_, err := v.cfg.Corridor.SavePolicy(f.ctx, v.tenant.ID, f.saved, f.next, v.user.ID, event)
	if known := idp.AsError(err); err != nil && known != nil && known.Kind == idp.Conflict {
		if f.saved, err = v.cfg.Policies.Load(f.ctx, v.cfg.DB, v.tenant.ID); err != nil {
			return err
		}
		f.apply()
		return f.show(http.StatusConflict, nil)
	}
	if err != nil {
		return err
	}
	if do != "save" {
		return v.leave("/admin/strengths", "policy.removed")
	}
	return v.leave("/admin/strengths/"+f.draft.ID, "policy.saved")
}

func (f *strengthForm) show(status int, problems []template.HTML) error {
	pg, err := f.page(problems)
	if err != nil {
		return err
	}
	return f.v.show(status, pg)
}

func (f *strengthForm) page(problems []template.HTML) (*page.Page, error) {
	v := f.v
	pg := v.page("strengthedit", f.title(), nil)
	was := strengthDraftOf(f.saved, f.draft.ID)
	p := newParts(f.ctx, v, pg, f.draft.values(), was.values(), f.wrongs)
	view := &strengthEdit{
		formView: formView{Path: v.at(), Lead: pg.T("strength.edit.lead", "ask", policy.Strength{Name: f.draft.Name}.Asked()), Dirty: len(p.changed) > 0, Changed: p.changed},
		Name:     p.entry("name", "strength.name", false), Description: p.entry("description", "strength.description", false),
		CombosChanged: p.change("combo"), CombosWrong: p.wrong("combo"), PairWrong: p.wrong("pair"), EachWrong: p.wrong("each"),
		ModelsChanged: p.change("model"), ModelsWrong: p.wrong("model"), Removable: !f.isNew,
	}
	pg.V = view
	if strings.TrimSpace(f.draft.Name) == "" {
		view.Lead = pg.T("strength.edit.new")
	}
	view.Name.Max, view.Description.Max = 64, 250
	view.Version = versionSay(pg, f.saved)
	view.Problems = append(problems, p.problems()...)
	if f.conflicts() {
		c, err := p.conflict(f.saved, f.next)
		if err != nil {
			return nil, err
		}
		view.Conflict = c
	}
	view.Hidden = []field{{"version", version(f.saved)}}
	if f.isNew {
		view.Hidden = append(view.Hidden, field{"guid", f.draft.ID})
	}
	if len(f.apps) > 0 {
		view.Apps = pg.T("strength.inuse", "apps", appNames(pg, f.apps))
	}
	f.combos(pg, view, was)
	for _, e := range []idp.Property{idp.PhishingResistant, idp.HardwareBound, idp.UserVerified} {
		view.Each = append(view.Each, optionView{
			Value: string(e), Label: pg.T("strength.each." + eachWord(e)), Hint: pg.T("strength.each." + eachWord(e) + ".hint"), On: slices.Contains(f.draft.Each, string(e)),
		})
	}
	used, err := v.used(f.ctx)
	if err != nil {
		return nil, err
	}
	view.Models = modelChips(pg, v.cfg.Metadata, f.draft.Models, was.Models, used)
	if err := f.certificates(p, view); err != nil {
		return nil, err
	}
	view.Impact = &impactView{}
	view.Bar = &saveBar{Count: p.count(), Buttons: []buttonView{{"save", "main", pg.T("policy.save")}}}
	if len(p.changed) > 0 {
		view.Bar.Drop = v.at()
	}
	return pg, nil
}

// certificates is which ones count: by CAs of the trust store, or whatever
// stands there, and by policies.
func (f *strengthForm) certificates(p *parts, view *strengthEdit) error {
	cas, err := f.v.authorities(f.ctx)
	if err != nil {
		return err
	}
	pg := p.pg
	has := func(key string) bool {
		return slices.ContainsFunc(f.draft.Issuers, func(i string) bool { return strings.EqualFold(i, key) })
	}
	for _, a := range cas {
		view.Issuers = append(view.Issuers, optionView{Value: a.Key(), Label: escaped(a.Name), On: has(a.Key())})
	}
	for _, key := range f.draft.Issuers {
		if i := authorityAt(cas, key); i < 0 {
			view.Issuers = append(view.Issuers, optionView{Value: key, Label: pg.T("policy.certificate.ca.gone", "key", cut(key, 60)), On: true})
		} else {
			view.Issuers[i].Value = key // as it is saved
		}
	}
	view.OIDs = f.draft.OIDs
	view.IssuersChanged, view.OIDsChanged, view.IssuersWrong, view.OIDsWrong = p.change("issuer"), p.change("oids"), p.wrong("issuer"), p.wrong("oids")
	if i := slices.IndexFunc(f.saved.Strengths, func(s policy.Strength) bool { return s.ID == f.draft.ID }); i >= 0 {
		others := slices.Clone(f.saved.Strengths[i].Configurations)
		if g := certificatesOnly(others); g >= 0 {
			others = slices.Delete(others, g, g+1)
		}
		if certificatesOnly(others) >= 0 {
			view.OtherLimits = pg.T("strength.certs.others")
		}
	}
	return nil
}

// combos are the ways to meet the strength: single modes that exist here, then
// pairs and whatever else stands there.
func (f *strengthForm) combos(pg *page.Page, view *strengthEdit, was strengthDraft) {
	for _, m := range houseModes {
		view.Alone = append(view.Alone, optionView{
			Value: string(m), Label: modeSay(pg, m), Hint: pg.T("strength.mode." + string(m) + ".hint"), On: slices.Contains(f.draft.Combos, string(m)),
		})
	}
	for _, c := range union(was.Combos, f.draft.Combos) {
		if slices.Contains(houseModes, idp.Mode(c)) {
			continue
		}
		view.Together = append(view.Together, optionView{Value: c, Label: comboSay(pg, modesOf(c)), On: slices.Contains(f.draft.Combos, c)})
	}
	options := func(chosen string) []optionView {
		out := []optionView{{Value: "", Label: pg.T("strength.choose"), On: chosen == ""}}
		for _, m := range houseModes {
			out = append(out, optionView{Value: string(m), Label: modeSay(pg, m), On: chosen == string(m)})
		}
		return out
	}
	view.First, view.Second = options(f.draft.A), options(f.draft.B)
}
