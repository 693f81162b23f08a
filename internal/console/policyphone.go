package console

import (
	"context"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// phoneDraft is the form about phones: who may use one, who may ask it, and
// what it shows.
type phoneDraft struct {
	methodDraft
	From, Synced        string
	Lists               map[string][]string // by field of phoneLists
	ShowApp, ShowPlace  bool
	Report, ReportBlock bool
	Limit, WarnAt       string
}

// phoneLists are the fields with targets besides those of any method.
var phoneLists = []string{"known", "network", "appTo", "appNot", "placeTo", "placeNot", "reportBy"}

func readPhone(v url.Values) phoneDraft {
	d := phoneDraft{
		methodDraft: readMethod(v, policy.Phone), From: v.Get("from"), Synced: v.Get("synced"), Lists: map[string][]string{},
		ShowApp: ticked(v, "showApp"), ShowPlace: ticked(v, "showPlace"), Report: ticked(v, "report"), ReportBlock: ticked(v, "reportBlock"),
		Limit: v.Get("limit"), WarnAt: v.Get("warnAt"),
	}
	for _, field := range phoneLists {
		d.Lists[field] = list(v, field)
	}
	return d
}

func (d *phoneDraft) values() url.Values {
	v := d.methodDraft.values()
	for _, field := range phoneLists {
		v[field] = d.Lists[field]
	}
	v.Set("from", d.From)
	v.Set("synced", d.Synced)
	v.Set("limit", d.Limit)
	v.Set("warnAt", d.WarnAt)
	setTick(v, "showApp", d.ShowApp)
	setTick(v, "showPlace", d.ShowPlace)
	setTick(v, "report", d.Report)
	setTick(v, "reportBlock", d.ReportBlock)
	return v
}

func phoneDraftOf(p policy.Policy) phoneDraft {
	r := &p.Phone
	d := phoneDraft{
		methodDraft: methodDraftOf(p, policy.Phone), From: string(r.From), Synced: string(r.Synced), Lists: map[string][]string{},
		ShowApp: r.ShowApp.On, ShowPlace: r.ShowPlace.On, Report: r.Report.On, ReportBlock: r.Report.Block,
		Limit: strconv.Itoa(r.Limit), WarnAt: strconv.Itoa(r.WarnAt),
	}
	for _, s := range r.Stricter {
		if field := stricterField(s.From); field != "" {
			d.Lists[field] = append(d.Lists[field], targetWord(s.Target))
		}
	}
	for field, t := range map[string]policy.Target{
		"appTo": r.ShowApp.Include, "appNot": r.ShowApp.Exclude, "placeTo": r.ShowPlace.Include, "placeNot": r.ShowPlace.Exclude, "reportBy": r.Report.Include,
	} {
		if t != (policy.Target{}) {
			d.Lists[field] = []string{targetWord(t)}
		}
	}
	return d
}

// stricterField is the list that a rule for some stands on; one that admits any
// browser says nothing, and stands on none.
func stricterField(from policy.PhoneFrom) string {
	return map[policy.PhoneFrom]string{policy.FromKnown: "known", policy.FromNetwork: "network"}[from]
}

func (d *phoneDraft) apply(saved policy.Policy, known policy.Models) (policy.Policy, []wrong) {
	p, a := saved.Clone(), &applying{}
	m := p.Methods[policy.Phone]
	m.On = d.On
	m.Include = a.include(m.Include, d.Include, d.Required, "")
	m.Exclude = a.targets("exclude", m.Exclude, d.Exclude)
	if _, there := p.Methods[policy.Phone]; there || m.On || len(m.Include)+len(m.Exclude) > 0 {
		setMethod(&p, policy.Phone, m)
	}
	r := &p.Phone
	r.From, r.Synced = policy.PhoneFrom(d.From), policy.Synced(d.Synced)
	r.Stricter = a.stricter(r.Stricter, d.Lists)
	r.ShowApp.On, r.ShowPlace.On, r.Report.On, r.Report.Block = d.ShowApp, d.ShowPlace, d.Report, d.ReportBlock
	a.one("appTo", d.Lists, &r.ShowApp.Include)
	a.one("placeTo", d.Lists, &r.ShowPlace.Include)
	a.one("reportBy", d.Lists, &r.Report.Include)
	a.perhaps("appNot", d.Lists, &r.ShowApp.Exclude)
	a.perhaps("placeNot", d.Lists, &r.ShowPlace.Exclude)
	a.number("limit", d.Limit, &r.Limit)
	a.number("warnAt", d.WarnAt, &r.WarnAt)
	a.complaints(p, known, func(place string) string { return phoneField(&p, place) })
	return p, a.wrongs
}

// stricter puts two lists in the place of the rules for some. Those that stood
// there stay in their order.
func (a *applying) stricter(old []policy.PhoneFromFor, lists map[string][]string) []policy.PhoneFromFor {
	want := map[policy.PhoneFromFor]bool{}
	var order []policy.PhoneFromFor
	for _, from := range []policy.PhoneFrom{policy.FromKnown, policy.FromNetwork} {
		for _, t := range a.targets(stricterField(from), nil, lists[stricterField(from)]) {
			one := policy.PhoneFromFor{Target: t, From: from}
			want[one], order = true, append(order, one)
		}
	}
	var out []policy.PhoneFromFor
	named := func(t policy.Target) bool {
		return slices.ContainsFunc(order, func(o policy.PhoneFromFor) bool { return o.Target == t })
	}
	for _, s := range old {
		if want[s] || stricterField(s.From) == "" && !named(s.Target) {
			out = append(out, s)
			delete(want, s)
		}
	}
	for _, s := range order {
		if want[s] {
			out = append(out, s)
		}
	}
	return unchanged(old, out)
}

// one reads a list that has exactly one target, as Graph's features do.
func (a *applying) one(field string, lists map[string][]string, at *policy.Target) {
	if len(lists[field]) == 0 {
		a.say(field, "Name one person or group, or everybody.")
		return
	}
	a.perhaps(field, lists, at)
}

// perhaps reads a list of one target, or none.
func (a *applying) perhaps(field string, lists map[string][]string, at *policy.Target) {
	all := a.targets(field, nil, lists[field])
	switch {
	case len(lists[field]) == 0:
		*at = policy.Target{}
	case len(all) > 1:
		a.say(field, "There is room for one only. Make a group of them.")
	case len(all) == 1:
		*at = all[0]
	}
}

// phoneField is where a place of the policy stands on the page.
func phoneField(p *policy.Policy, place string) string {
	if rest, ok := strings.CutPrefix(place, "phone.stricter["); ok {
		number, _, _ := strings.Cut(rest, "]")
		if i, err := strconv.Atoi(number); err == nil && i < len(p.Phone.Stricter) {
			return stricterField(p.Phone.Stricter[i].From)
		}
	}
	for _, f := range []struct{ at, field string }{
		{"methods.phone.on", "on"}, {"methods.phone.include", "include"}, {"methods.phone.exclude", "exclude"},
		{"phone.showApp.include", "appTo"}, {"phone.showApp.exclude", "appNot"}, {"phone.showPlace.include", "placeTo"},
		{"phone.showPlace.exclude", "placeNot"}, {"phone.report.include", "reportBy"},
	} {
		if under(place, f.at) {
			return f.field
		}
	}
	return below(place, "phone.")
}

// phoneForm is the page of rules about phones.
func (c *Console) phoneForm(ctx context.Context, v *visit) (*settings, error) {
	s, err := c.settings(ctx, v)
	if err != nil {
		return nil, err
	}
	was := phoneDraftOf(s.saved)
	s.was, s.draft, s.judged = &was, &was, true
	if v.form != nil {
		sent := readPhone(v.form)
		s.draft = &sent
	}
	s.title, s.lead = policyMethod(&page.Page{Words: v.words()}, policy.Phone), "policy.phone.lead"
	s.also = s.phoneEffects
	s.fill = func(p *parts, view *settingsView) (err error) {
		view.On = p.box("on", "method.on")
		if view.Required, view.RequiredOpen, err = p.required(); err != nil {
			return err
		}
		view.Sections, err = phoneSections(p)
		return err
	}
	return s, nil
}

// phoneSections are the parts of the page below who may use a phone.
func phoneSections(p *parts) ([]sectionView, error) {
	pg := p.pg
	lists := map[string]targetsView{}
	for _, field := range phoneLists {
		t, err := p.targets(field, "phone."+field, field == "appTo" || field == "placeTo" || field == "reportBy")
		if err != nil {
			return nil, err
		}
		lists[field] = t
	}
	asks := sectionView{
		ID: "from", Title: pg.T("policy.phone.from"), Lead: pg.T("policy.phone.from.lead"),
		Radios:  []radiosView{p.radios("from", "phoneFrom", false, string(policy.FromAnywhere), string(policy.FromNetwork), string(policy.FromKnown))},
		Targets: []targetsView{lists["known"], lists["network"]},
	}
	// For whom is folded away as long as it is for everybody.
	part := func(box, key, to, not string) sectionView {
		plain := len(p.draft[to]) == 1 && p.draft.Get(to) == everybody && len(p.draft[not]) == 0 && !p.changed[to] && !p.changed[not] &&
			!lists[to].Asked && !lists[not].Asked && len(lists[to].Wrong)+len(lists[not].Wrong) == 0
		return sectionView{Title: pg.T("policy.phone.whom"), Boxes: []boxView{p.box(box, key)}, Targets: []targetsView{lists[to], lists[not]}, Open: !plain}
	}
	shows := sectionView{ID: "shows", Title: pg.T("policy.phone.shows"), Lead: pg.T("policy.phone.shows.lead"), Parts: []sectionView{
		part("showApp", "phone.showApp", "appTo", "appNot"), part("showPlace", "phone.showPlace", "placeTo", "placeNot"),
	}}
	reports := sectionView{
		ID: "reports", Title: pg.T("policy.phone.reports"), Lead: pg.T("policy.phone.reports.lead"),
		Boxes:   []boxView{p.box("report", "phone.report"), p.box("reportBlock", "phone.reportBlock")},
		Targets: []targetsView{lists["reportBy"]},
	}
	key := sectionView{ID: "key", Title: pg.T("policy.phone.key"), Radios: []radiosView{
		p.radios("synced", "phoneSynced", false, string(policy.SyncedAllow), string(policy.SyncedDeny))},
		Entries: []entryView{p.entry("limit", "phone.limit", true), p.entry("warnAt", "phone.warnAt", true)},
	}
	return []sectionView{asks, shows, reports, key}, nil
}

// phoneEffects says what saving the form would do besides what it does to
// phones that are registered.
func (s *settings) phoneEffects(pg *page.Page, im policy.Impact) (out []effect, err error) {
	old, next := &s.saved.Phone, &s.next.Phone
	add := func(state string, text template.HTML) { out = append(out, effect{state, text}) }
	if im.Narrowed > 0 {
		add("warn", pg.N("policy.phone.tell.narrowed", im.Narrowed))
	}
	if im.OnlyPhone > 0 {
		add("bad", pg.N("policy.phone.tell.only", im.OnlyPhone, "names", firstNames(im.Narrow[:min(im.OnlyPhone, len(im.Narrow))], im.OnlyPhone, pg)))
	}
	if old.From != policy.FromAnywhere && next.From == policy.FromAnywhere {
		add("warn", pg.T("policy.phone.tell.anywhere"))
	}
	if old.Report.On && !next.Report.On {
		add("warn", pg.T("policy.phone.tell.noreport"))
	}
	if next.Report.On && next.Report.Block && !(old.Report.On && old.Report.Block) {
		add("off", pg.T("policy.phone.tell.block"))
	}
	if next.Limit < old.Limit {
		n, err := s.overPhones(next.Limit)
		if err != nil {
			return nil, err
		}
		add("off", pg.N("policy.phone.tell.limit", n, "limit", next.Limit))
	}
	return out, nil
}

// mostNamed is how many people a sentence names.
const mostNamed = 5

// firstNames names some of n people.
func firstNames(people []idp.User, n int, pg *page.Page) template.HTML {
	var names []string
	for _, u := range people[:min(len(people), mostNamed)] {
		names = append(names, template.HTMLEscapeString(displayed(u)))
	}
	if rest := n - len(names); rest > 0 {
		names = append(names, string(pg.N("policy.impact.more", rest)))
	}
	return template.HTML(strings.Join(names, ", "))
}

func displayed(u idp.User) string {
	if u.DisplayName != "" {
		return u.DisplayName
	}
	return u.Name
}

// overPhones counts the people who have more phones than a number.
func (s *settings) overPhones(limit int) (n int, err error) {
	held := map[idp.UserID]int{}
	err = s.v.cfg.Corridor.Walk(s.ctx, s.v.tenant.ID, func(c method.Credential) error {
		if c.Method == policy.Phone {
			if held[c.User]++; held[c.User] == limit+1 {
				n++
			}
		}
		return nil
	})
	return n, err
}

// phoneFacts are the lines about phones in the list of methods.
func phoneFacts(pg *page.Page, p policy.Policy) []template.HTML {
	out := []template.HTML{pg.T("policy.phone.fact." + string(p.Phone.From))}
	if n := len(slices.DeleteFunc(slices.Clone(p.Phone.Stricter), func(s policy.PhoneFromFor) bool { return stricterField(s.From) == "" })); n > 0 {
		out = append(out, pg.N("policy.phone.fact.stricter", n))
	}
	if p.Phone.Synced == policy.SyncedDeny {
		out = append(out, pg.T("policy.phone.fact.bound"))
	}
	if p.Phone.Report.On && p.Phone.Report.Block {
		out = append(out, pg.T("policy.phone.fact.block"))
	}
	return out
}
