package console

import (
	"cmp"
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// savePart is the end of the address to which a form is sent to be saved. Sent
// to the page's own address, it only looks somebody up, picks, or works out
// what saving would do, and asks for no gesture.
const savePart = "/save"

const saysSave = "says.policy.save"

// at is the address of the page that a form stands on.
func (v *visit) at() string { return strings.TrimSuffix(v.r.URL.Path, savePart) }

// policyRoutes are the pages about methods.
func (c *Console) policyRoutes() []route {
	const admin = directory.Administrator
	return join([]route{
		{"GET /admin/methods", admin, c.methodsPage, ""},
		{"GET /admin/methods/passkey", admin, c.passkeyPage, ""},
		{"POST /admin/methods/passkey", admin, c.passkeyPost, ""},
		{"POST /admin/methods/passkey/save", admin, c.passkeySave, saysSave},
		{"GET /admin/methods/passkey/profiles/{profile}", admin, c.passkeyPage, ""},
		{"POST /admin/methods/passkey/profiles/{profile}", admin, c.passkeyPost, ""},
		{"POST /admin/methods/passkey/profiles/{profile}/save", admin, c.passkeySave, saysSave},
		{"GET /admin/strengths", admin, c.strengthsPage, ""},
		{"GET /admin/strengths/{strength}", admin, c.strengthPage, ""},
		{"POST /admin/strengths/{strength}", admin, c.strengthPost, ""},
		{"POST /admin/strengths/{strength}/save", admin, c.strengthSave, saysSave},
	}, settingsRoutes("/admin/methods/{method}", c.methodForm), settingsRoutes("/admin/methods/campaign", c.campaignForm),
		settingsRoutes("/admin/methods/order", c.orderForm), settingsRoutes("/admin/methods/phone", c.phoneForm),
		settingsRoutes(certRulesPath, c.certificateForm))
}

// policyView is a page with a form about policy.
func policyView() page.View {
	v := scripted(frame("policy.css"), "policy.js")
	v.Files = []string{"policyparts"}
	return v
}

// methodsView is the list of methods, and of what is about all of them.
type methodsView struct {
	Lead            template.HTML
	Methods, Rounds []methodLine
}

type methodLine struct {
	Href, Icon, Class string
	Name, Who, State  template.HTML
	Facts             []template.HTML
}

var methodIcons = map[idp.MethodID]string{policy.Passkey: "passkey", policy.AccessPass: "ticket", policy.Phone: "phone", policy.Hello: "laptop", policy.Platform: "laptop", policy.Certificate: "badge"}

// methodsPage is GET /admin/methods.
func (c *Console) methodsPage(ctx context.Context, v *visit) error {
	p, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	words := v.words()
	pg := v.page("policymethods", words.T("policy.methods.title"), nil)
	view := methodsView{Lead: pg.T("policy.methods.lead")}
	for _, m := range offered(p) {
		r := p.Methods[m]
		row := methodLine{Href: "/admin/methods/" + string(m), Icon: cmp.Or(methodIcons[m], "key"), Name: policyMethod(pg, m)}
		row.State, row.Class = onOff(pg, r.On)
		var include []policy.Target
		for _, in := range r.Include {
			include = append(include, in.Target)
		}
		row.Who = whoOf(pg, include, r.Exclude)
		switch m {
		case policy.Passkey:
			row.Facts = passkeyFacts(pg, p)
			if r.On && p.Passkey.Restrictions == policy.EnforceAudit {
				row.State, row.Class = pg.T("policy.state.trial"), "warn"
			}
		case policy.Phone:
			row.Facts = phoneFacts(pg, p)
		case policy.Platform:
			row.Facts = platformFacts(pg, p)
		case policy.Certificate:
			row.Facts = certificateFacts(pg, p)
		case policy.AccessPass:
			row.Facts = []template.HTML{pg.T("policy.pass.fact." + map[bool]string{true: "once", false: "often"}[p.AccessPass.Once]), pg.T("policy.pass.fact.apps." + map[bool]string{true: "on", false: "off"}[p.AccessPass.AppSignIn])}
		}
		view.Methods = append(view.Methods, row)
	}
	view.Rounds = []methodLine{campaignRow(pg, p), orderRow(pg, p), strengthRow(pg, p)}
	pg.V = view
	return v.show(http.StatusOK, pg)
}

func onOff(pg *page.Page, on bool) (template.HTML, string) {
	if on {
		return pg.T("policy.state.on"), "good"
	}
	return pg.T("policy.state.off"), "off"
}

// whoOf says in a line who is meant.
func whoOf(pg *page.Page, include, exclude []policy.Target) template.HTML {
	if len(include) == 0 {
		return pg.T("policy.targets.nobody")
	}
	out := countTargets(pg, include)
	if len(exclude) > 0 {
		return pg.T("policy.who.except", "who", out, "but", countTargets(pg, exclude))
	}
	return out
}

func countTargets(pg *page.Page, all []policy.Target) template.HTML {
	groups, people := 0, 0
	for _, t := range all {
		switch {
		case t.All:
			return pg.T("policy.targets.all")
		case t.Group != "":
			groups++
		default:
			people++
		}
	}
	switch {
	case people == 0:
		return pg.N("policy.groups", groups)
	case groups == 0:
		return pg.N("policy.people", people)
	}
	return pg.T("policy.and", "a", pg.N("policy.groups", groups), "b", pg.N("policy.people", people))
}

func passkeyFacts(pg *page.Page, p policy.Policy) []template.HTML {
	mode := string(p.Passkey.AAGUIDs.Mode)
	out := []template.HTML{pg.N("policy.fact.list."+mode, len(p.Passkey.AAGUIDs.List))}
	if p.Passkey.Attestation == policy.AttestationRequired || p.Passkey.Attestation == policy.AttestationAlways {
		out = append(out, pg.T("policy.fact.attested"))
	}
	if p.Passkey.Synced != policy.SyncedAllow {
		out = append(out, pg.T("policy.fact.synced."+string(p.Passkey.Synced)))
	}
	if n := len(p.Passkey.Profiles); n > 0 {
		out = append(out, pg.N("policy.fact.profiles", n))
	}
	if r := p.Passkey.Restrictions; r == policy.Enforce || r == policy.EnforceAudit {
		out = append(out, pg.T("policy.fact.mode."+string(r)))
	}
	return out
}

func campaignRow(pg *page.Page, p policy.Policy) methodLine {
	r := methodLine{Href: "/admin/methods/campaign", Icon: "person", Name: pg.T("policy.campaign.title"), Who: whoOf(pg, p.Campaign.Include, p.Campaign.Exclude)}
	r.State, r.Class = onOff(pg, p.Campaign.On)
	r.Facts = []template.HTML{pg.T("policy.campaign.fact", "method", policyMethod(pg, p.Campaign.Method))}
	return r
}

func orderRow(pg *page.Page, p policy.Policy) methodLine {
	r := methodLine{Href: "/admin/methods/order", Icon: "log", Name: pg.T("policy.order.title"), Who: whoOf(pg, p.Order.Include, p.Order.Exclude)}
	r.State, r.Class = onOff(pg, p.Order.On)
	for i, m := range p.Order.Methods {
		r.Facts = append(r.Facts, pg.T("policy.order.place", "n", i+1, "method", policyMethod(pg, m)))
	}
	return r
}

func strengthRow(pg *page.Page, p policy.Policy) methodLine {
	own := 0
	for _, s := range p.Strengths {
		if !s.BuiltIn() {
			own++
		}
	}
	return methodLine{
		Href: "/admin/strengths", Icon: "strength", Name: pg.T("strength.title"), Who: pg.T("strength.fact"), State: pg.N("strength.own.count", own), Class: "off",
	}
}

// settingsView is the page of any other method, of the campaign and of the
// order.
type settingsView struct {
	formView
	On               boxView
	Choice           *radiosView
	Include, Exclude targetsView
	Required         []optionView
	RequiredOpen     bool
	RequiredChanged  changedView
	EntriesTitle     template.HTML
	Boxes            []boxView
	Entries          []entryView
	Order            []orderItem
	OrderWrong       []string
	Judged           bool
	Crumb            crumbView
	Sections         []sectionView
	Certificate      *certRulesView // nil: another page
	Guide            *guideView     // of the steps that set up Macs; nil: another page
	Mac              *macFormView
}

// crumbView leads to the page above.
type crumbView struct {
	Href  string
	Label template.HTML
}

// sectionView is a part of a longer page of settings.
type sectionView struct {
	ID          string
	Title, Lead template.HTML
	Radios      []radiosView
	Boxes       []boxView
	Targets     []targetsView
	Entries     []entryView
	Parts       []sectionView // without ids; Title is what Targets are folded under
	Open        bool          // they are not folded
}

type orderItem struct {
	Value          string
	Name           template.HTML
	Up, Down       bool
	UpSay, DownSay template.HTML
}

// settings is a request about one such page.
type settings struct {
	v     *visit
	ctx   context.Context
	saved policy.Policy
	draft formDraft
	was   formDraft
	title template.HTML
	lead  string // key
	crumb crumbView
	view  string // the page's template

	next   policy.Policy
	wrongs []wrong
	fill   func(*parts, *settingsView) error // what this page has of its own
	judged bool
	// tells says what saving would do where nobody's keys are judged by it, and
	// whether something would stop working. Nil: nothing is told.
	tells func(*page.Page) (effects []effect, stops bool, err error)
	// also says what saving would do besides what it does to keys. Nil: that is
	// all.
	also func(*page.Page, policy.Impact) ([]effect, error)
	// asks says what is asked about once more before it is saved, though nothing
	// stops working. Nil: nothing is.
	asks func(*page.Page) []effect
}

// formDraft is what methodDraft, campaignDraft and orderDraft have in common.
type formDraft interface {
	values() url.Values
	apply(policy.Policy, policy.Models) (policy.Policy, []wrong)
}

func (c *Console) settings(ctx context.Context, v *visit) (*settings, error) {
	saved, err := c.cfg.Policies.Load(ctx, c.cfg.DB, v.tenant.ID)
	return &settings{v: v, ctx: ctx, saved: saved, view: "policymethod", crumb: crumbView{"/admin/methods", v.words().T("policy.methods.title")}}, err
}

func (c *Console) methodForm(ctx context.Context, v *visit) (*settings, error) {
	s, err := c.settings(ctx, v)
	if err != nil {
		return nil, err
	}
	m := idp.MethodID(v.r.PathValue("method"))
	if !slices.Contains(offered(s.saved), m) {
		return nil, idp.NotFoundf("method_unknown", "method %.60q", m)
	}
	was := methodDraftOf(s.saved, m)
	s.was, s.draft, s.judged = &was, &was, true
	if v.form != nil {
		sent := readMethod(v.form, m)
		s.draft = &sent
	}
	s.title, s.lead = policyMethod(&page.Page{Words: v.words()}, m), "policy.method.lead"
	s.fill = func(p *parts, view *settingsView) (err error) {
		view.On = p.box("on", "method.on")
		if view.Required, view.RequiredOpen, err = p.required(); err != nil || m != policy.AccessPass {
			return err
		}
		view.Required = nil // nobody can give themselves a pass
		view.EntriesTitle = p.pg.T("policy.pass.title")
		view.Boxes = []boxView{p.box("once", "once"), p.box("appSignIn", "appSignIn")}
		view.Entries = []entryView{p.length("default", "pass.default"), p.length("min", "pass.min"), p.length("max", "pass.max"), p.entry("length", "pass.length", true)}
		return nil
	}
	return s, nil
}

func (c *Console) campaignForm(ctx context.Context, v *visit) (*settings, error) {
	s, err := c.settings(ctx, v)
	if err != nil {
		return nil, err
	}
	was := campaignDraftOf(s.saved)
	s.was, s.draft = &was, &was
	if v.form != nil {
		sent := readCampaign(v.form)
		s.draft = &sent
	}
	s.title, s.lead = v.words().T("policy.campaign.title"), "policy.campaign.lead"
	s.fill = func(p *parts, view *settingsView) error {
		view.On = p.box("on", "campaign.on")
		choice := radiosView{Field: "method", Label: p.pg.T("policy.campaign.method"), Row: true, Changed: p.change("method"), Wrong: p.wrong("method")}
		for _, m := range offered(s.saved) {
			if m != policy.AccessPass && m != policy.Certificate { // nobody registers one
				choice.Options = append(choice.Options, optionView{Field: "method", Value: string(m), Label: policyMethod(p.pg, m), On: p.draft.Get("method") == string(m)})
			}
		}
		view.Choice = &choice
		view.EntriesTitle = p.pg.T("policy.campaign.how")
		view.Entries = []entryView{p.entry("snoozeDays", "snoozeDays", true), p.entry("snoozes", "snoozes", true)}
		return nil
	}
	return s, nil
}

func (c *Console) orderForm(ctx context.Context, v *visit) (*settings, error) {
	s, err := c.settings(ctx, v)
	if err != nil {
		return nil, err
	}
	was := orderDraftOf(s.saved)
	for _, m := range offered(s.saved) { // the others follow, as they do in sign-ins
		if !slices.Contains(was.Methods, string(m)) {
			was.Methods = append(was.Methods, string(m))
		}
	}
	draft := was
	if v.form != nil {
		draft = readOrder(v.form)
		if do, method, _ := strings.Cut(v.form.Get("do"), ":"); do == "up" || do == "down" {
			draft.move(method, map[string]int{"up": -1, "down": 1}[do])
		}
	}
	s.was, s.draft = &was, &draft
	s.title, s.lead = v.words().T("policy.order.title"), "policy.order.lead"
	s.fill = func(p *parts, view *settingsView) error {
		view.On, view.OrderWrong = p.box("on", "order.on"), p.wrong("methods")
		for i, m := range draft.Methods {
			name := policyMethod(p.pg, idp.MethodID(m))
			view.Order = append(view.Order, orderItem{
				Value: m, Name: name, Up: i > 0, Down: i < len(draft.Methods)-1,
				UpSay: p.pg.T("policy.order.up.of", "method", name), DownSay: p.pg.T("policy.order.down.of", "method", name),
			})
		}
		return nil
	}
	return s, nil
}

// settingsRoutes are the three addresses of a page of settings: to look, to try
// what was typed, which changes nothing, and to save it.
func settingsRoutes(path string, form func(context.Context, *visit) (*settings, error)) []route {
	with := func(do func(*settings) error) handler {
		return func(ctx context.Context, v *visit) error {
			s, err := form(ctx, v)
			if err != nil {
				return err
			}
			s.apply()
			return do(s)
		}
	}
	return []route{
		{"GET " + path, directory.Administrator, with((*settings).look), ""},
		{"POST " + path, directory.Administrator, with((*settings).try), ""},
		{"POST " + path + "/save", directory.Administrator, with((*settings).saveButton), saysSave},
	}
}

func (s *settings) apply() { s.next, s.wrongs = s.draft.apply(s.saved, s.v.known()) }

func (s *settings) look() error { return s.show(http.StatusOK, nil, false) }

func (s *settings) try() error {
	if s.v.form.Get("part") == "impact" {
		pg, err := s.page(nil, true)
		if err != nil {
			return err
		}
		pg.Frame = "fragment"
		return s.v.show(http.StatusOK, pg)
	}
	return s.show(http.StatusOK, nil, s.v.form.Get("do") != "find")
}

func (s *settings) saveButton() error {
	do, confirmed := strings.CutSuffix(s.v.form.Get("do"), sure)
	if do != "save" {
		return noSuchButton(do)
	}
	return s.save(confirmed)
}

func (s *settings) conflicts() bool { return s.draft.values().Get("version") != version(s.saved) }

func (s *settings) save(confirmed bool) error {
	v := s.v
	if len(s.wrongs) > 0 {
		return s.show(http.StatusBadRequest, nil, true)
	}
	if s.conflicts() {
		return s.show(http.StatusConflict, nil, true)
	}
	if s.tells != nil && !confirmed {
		pg := v.page("policyconfirm", "", nil)
		effects, stops, err := s.tells(pg)
		if err != nil {
			return err
		}
		if stops {
			return s.confirmEffects(pg, pg.T("policy.effects.confirm"), pg.T("policy.effects.yes"), effects)
		}
	}
	im, at, err := v.impact(s.ctx, s.next, nil)
	if err != nil {
		return err
	}
	if !confirmed && (im.Stops > 0 || im.OnlyPhone > 0) {
		return v.confirm(v.at(), hiddenFields(s.draft.values()), "save"+sure, &impactWords{models: v.cfg.Metadata, next: s.next, at: at}, im)
	}
	if s.asks != nil && !confirmed {
		pg := v.page("policyconfirm", "", nil)
		if open := s.asks(pg); len(open) > 0 {
			return s.confirmEffects(pg, pg.T("policy.opens.confirm"), pg.T("policy.opens.yes"), open)
		}
	}
	event := v.event("policy.set")
	event.Detail["page"] = v.at()
	_, err = v.cfg.Corridor.SavePolicy(s.ctx, v.tenant.ID, s.saved, s.next, v.user.ID, event)
	if err == nil {
		return v.leave(v.at(), "policy.saved")
	}
	p := newParts(s.ctx, v, v.page(s.view, "", nil), nil, nil, nil)
	if problems, failed := p.lockedOut(err, im); failed != nil {
		return failed
	} else if problems != nil {
		return s.show(http.StatusForbidden, problems, true)
	}
	if known := idp.AsError(err); known != nil && known.Kind == idp.Conflict {
		if s.saved, err = v.cfg.Policies.Load(s.ctx, v.cfg.DB, v.tenant.ID); err != nil {
			return err
		}
		s.apply()
		return s.show(http.StatusConflict, nil, true)
	}
	return err
}

// confirmEffects asks again before something happens.
func (s *settings) confirmEffects(pg *page.Page, title, yes template.HTML, effects []effect) error {
	view := confirmView{
		Path: s.v.at() + savePart, Back: s.v.at(), Do: "save" + sure, Hidden: hiddenFields(s.draft.values()),
		Yes: yes, No: pg.T("policy.confirm.no"),
	}
	for _, e := range effects {
		view.Text = append(view.Text, e.Text)
	}
	pg.Title, pg.V = title, view
	return s.v.show(http.StatusOK, pg)
}

func (s *settings) show(status int, problems []template.HTML, work bool) error {
	pg, err := s.page(problems, work)
	if err != nil {
		return err
	}
	return s.v.show(status, pg)
}

func (s *settings) page(problems []template.HTML, work bool) (*page.Page, error) {
	v := s.v
	pg := v.page(s.view, s.title, nil)
	p := newParts(s.ctx, v, pg, s.draft.values(), s.was.values(), s.wrongs)
	view := &settingsView{
		formView: formView{Path: v.at(), Lead: pg.T(s.lead), Dirty: len(p.changed) > 0, Changed: p.changed, Hidden: []field{{"version", version(s.saved)}}},
		Judged:   s.judged || s.tells != nil, RequiredChanged: p.change("required"), Crumb: s.crumb,
	}
	pg.V = view
	view.Version = versionSay(pg, s.saved)
	view.Problems = append(problems, p.problems()...)
	var err error
	if s.conflicts() {
		if view.Conflict, err = p.conflict(s.saved, s.next); err != nil {
			return nil, err
		}
	}
	if view.Include, err = p.targets("include", "include", true); err != nil {
		return nil, err
	}
	if view.Exclude, err = p.targets("exclude", "exclude", false); err != nil {
		return nil, err
	}
	if err := s.fill(p, view); err != nil {
		return nil, err
	}
	return pg, s.impactInto(p, view, work)
}

func (s *settings) impactInto(p *parts, view *settingsView, work bool) error {
	pg := p.pg
	view.Bar = &saveBar{Count: p.count()}
	save := buttonView{"save", "main", pg.T("policy.save")}
	view.Impact = &impactView{Over: pg.T("policy.impact.over"), Calm: true}
	switch {
	case !view.Judged:
	case len(view.Changed) == 0:
		view.Impact.Title, view.Impact.Same = pg.T("policy.impact.same"), true
		return nil
	case len(s.wrongs) > 0:
		view.Impact.Title = pg.T("policy.impact.wrong")
		view.Impact.Problem = template.HTML(template.HTMLEscapeString(s.wrongs[0].Say))
	case !work:
		view.Impact.Title, view.Impact.Stale = pg.T("policy.impact.stale"), true
	case s.tells != nil:
		effects, stops, err := s.tells(pg)
		if err != nil {
			return err
		}
		view.Impact.Title, view.Impact.Effects, view.Impact.Calm = pg.T("policy.effects"), effects, !stops
		if len(effects) == 0 {
			view.Impact.Title = pg.T("policy.effects.none")
		}
		if stops {
			save.Class, save.Label = "harm", pg.T("policy.save.harm")
		}
	default:
		im, at, err := s.v.impact(s.ctx, s.next, nil)
		if err != nil {
			return err
		}
		w := impactWords{pg: pg, models: s.v.cfg.Metadata, next: s.next, at: at}
		shown := w.view(im)
		if s.also != nil {
			if shown.Effects, err = s.also(pg, im); err != nil {
				return err
			}
		}
		view.Impact, view.Bar.Say = &shown, shown.Bar
		if im.Stops > 0 || im.OnlyPhone > 0 {
			save.Class, save.Label = "harm", pg.T("policy.save.enforce")
		} else if s.asks != nil && len(s.asks(pg)) > 0 {
			save.Class, save.Label = "harm", pg.T("policy.save.opens")
		}
	}
	if view.Bar.Buttons = []buttonView{save}; len(view.Changed) > 0 {
		view.Bar.Drop = s.v.at()
	}
	return nil
}
