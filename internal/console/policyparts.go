package console

import (
	"cmp"
	"context"
	"errors"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// A form about policy is made of these parts. Each shows the draft, says at the
// field what is wrong with it, and wears "changed" where it differs from what
// is saved.

type changedView struct {
	Field string
	On    bool
	Say   template.HTML
}

// chipView is a target or a key model that is on a list, or was until now.
type chipView struct {
	Field, Value, Name string
	Meta, Warn         template.HTML
	On, Gone           bool
}

type optionView struct {
	Field, Value string
	Label, Hint  template.HTML
	On           bool
}

type radiosView struct {
	Field   string
	Label   template.HTML
	Row     bool
	Options []optionView
	Changed changedView
	Wrong   []string
}

type boxView struct {
	Field       string
	Label, Hint template.HTML
	Risk        template.HTML // of ticking it; empty: there is none
	On          bool
	Changed     changedView
	Wrong       []string
}

type entryView struct {
	Field, Value string
	Label, Hint  template.HTML
	Short        bool
	Max          int
	Units        []optionView
	UnitLabel    template.HTML
	Changed      changedView
	Wrong        []string
}

type targetsView struct {
	Field                                string
	Label, Hint, Nobody, Add             template.HTML
	Chips                                []chipView
	All                                  *chipView // to add everybody
	Find                                 string
	Asked, Open                          bool
	Found                                []chipView
	FoundSay, Example, FindLabel, FindGo template.HTML
	Changed                              changedView
	Wrong                                []string
	Hidden                               field // that goes with it; without a name: none
}

// saveBar is the save bar.
type saveBar struct {
	Count, Say, Note template.HTML
	Drop             string
	Buttons          []buttonView
}

type buttonView struct {
	Value, Class string
	Label        template.HTML
}

type conflictView struct {
	Title, Say template.HTML
	Rows       []conflictRow
}

type conflictRow struct{ What, Saved, Yours template.HTML }

// formView is what the pages of all forms share.
type formView struct {
	Path     string
	Hidden   []field
	Lead     template.HTML
	Version  template.HTML
	Problems []template.HTML
	Conflict *conflictView
	Dirty    bool
	Changed  map[string]bool
	Impact   *impactView
	Bar      *saveBar
}

// parts makes the parts of one form.
type parts struct {
	ctx     context.Context
	v       *visit
	pg      *page.Page
	draft   url.Values // what stands in the fields
	saved   url.Values // what would stand there if nothing was changed
	wrongs  []wrong
	found   map[string]string // what was looked for, by field
	changed map[string]bool
	names   map[string]targetName
}

type targetName struct {
	name string
	meta template.HTML
}

// unset are fields of a form that are no settings.
var unset = []string{"version", "paste", "pair.a", "pair.b", "scope.for"}

func newParts(ctx context.Context, v *visit, pg *page.Page, draft, saved url.Values, wrongs []wrong) *parts {
	p := &parts{ctx: ctx, v: v, pg: pg, draft: draft, saved: saved, wrongs: wrongs, found: map[string]string{}, names: map[string]targetName{}}
	p.changed = differing(draft, saved)
	for name := range v.form {
		if f, ok := strings.CutPrefix(name, "find."); ok {
			p.found[f] = strings.TrimSpace(page.Clip(v.form.Get(name), 100))
		}
	}
	return p
}

// differing are the fields in which two drafts differ. The order of a list
// counts for methods and for rows only: all others are sets.
func differing(a, b url.Values) map[string]bool {
	out := make(map[string]bool)
	both := maps.Clone(a)
	maps.Copy(both, b)
	for name := range both {
		if slices.Contains(unset, name) {
			continue
		}
		x, y := slices.Clone(a[name]), slices.Clone(b[name])
		row, isRow := rowField(name)
		if name != "method" && !isRow {
			slices.Sort(x)
			slices.Sort(y)
		}
		if name == "model" {
			x, y = lowered(x), lowered(y)
		}
		if !slices.Equal(x, y) {
			out[cmp.Or(row, strings.TrimSuffix(name, ".unit"))] = true
		}
	}
	return out
}

// rowField is the list that a field belongs to whose values are a column of it:
// "binding" of "binding.field".
func rowField(name string) (list string, ok bool) {
	for _, list := range []string{"binding", "level"} {
		if strings.HasPrefix(name, list+".") {
			return list, true
		}
	}
	return "", false
}

func lowered(all []string) []string {
	for i, s := range all {
		all[i] = strings.ToLower(s)
	}
	slices.Sort(all)
	return all
}

func (p *parts) change(field string) changedView {
	return changedView{field, p.changed[field], p.pg.T("policy.changed")}
}

func (p *parts) wrong(field string) []string {
	var out []string
	for _, w := range p.wrongs {
		if w.Field == field && !slices.Contains(out, w.Say) {
			out = append(out, w.Say)
		}
	}
	return out
}

func (p *parts) box(field, key string) boxView {
	return boxView{
		Field: field, Label: p.pg.T("policy.box." + key), Hint: p.pg.T("policy.box." + key + ".hint"), On: p.draft.Get(field) != "",
		Changed: p.change(field), Wrong: p.wrong(field),
	}
}

func (p *parts) entry(field, key string, short bool) entryView {
	return entryView{
		Field: field, Value: p.draft.Get(field), Label: p.pg.T("policy.entry." + key), Hint: p.pg.T("policy.entry." + key + ".hint"), Short: short,
		Changed: p.change(field), Wrong: p.wrong(field),
	}
}

// length is an entry for a length of time.
func (p *parts) length(field, key string) entryView {
	e := p.entry(field, key, true)
	unit := p.draft.Get(field + ".unit")
	for _, u := range []string{"m", "h", "d"} {
		e.Units = append(e.Units, optionView{Value: u, Label: p.pg.T("policy.unit." + u), On: u == unit})
	}
	if unit == "" {
		e.Units = append(e.Units, optionView{Value: "", Label: p.pg.T("policy.unit.as_written"), On: true})
	}
	e.UnitLabel = p.pg.T("policy.unit")
	return e
}

// radios are the words of a choice; each has a label and a hint.
func (p *parts) radios(field, key string, row bool, words ...string) radiosView {
	out := radiosView{Field: field, Label: p.pg.T("policy.choice." + key), Row: row, Changed: p.change(field), Wrong: p.wrong(field)}
	for _, w := range words {
		o := optionView{Field: field, Value: w, Label: p.pg.T("policy.choice." + key + "." + w), On: p.draft.Get(field) == w}
		if !row {
			o.Hint = p.pg.T("policy.choice." + key + "." + w + ".hint")
		}
		out.Options = append(out.Options, o)
	}
	return out
}

// targets are the people and groups of a list, with those that are taken off
// until it is saved, and a search for more. key names its words.
func (p *parts) targets(field, key string, all bool) (targetsView, error) {
	pg := p.pg
	t := targetsView{
		Field: field, Label: pg.T("policy.targets." + key), Hint: pg.T("policy.targets." + key + ".hint"), Nobody: pg.T("policy.targets.nobody"),
		Add: pg.T("policy.targets.add"), Example: pg.T("policy.find.example"), FindLabel: pg.T("policy.find.label"), FindGo: pg.T("policy.find.go"),
		Changed: p.change(field), Wrong: p.wrong(field), Find: p.found[field],
	}
	for _, word := range union(p.saved[field], p.draft[field]) {
		n, err := p.name(word)
		if err != nil {
			return t, err
		}
		on := slices.Contains(p.draft[field], word)
		t.Chips = append(t.Chips, chipView{Field: field, Value: word, Name: n.name, Meta: n.meta, On: on, Gone: !on})
	}
	has := func(word string) bool {
		return slices.ContainsFunc(t.Chips, func(c chipView) bool { return c.Value == word })
	}
	if all && !has(everybody) {
		t.All = &chipView{Value: everybody, Name: page.Plain(pg.T("policy.targets.all"))}
	}
	if t.Find == "" {
		return t, nil
	}
	t.Asked, t.Open = true, true
	found, more, err := p.search(t.Find)
	if known := idp.AsError(err); err != nil && (known == nil || known.Kind != idp.Invalid) {
		return t, err // what no name can be finds nobody
	}
	for _, f := range found {
		if !has(f.Value) {
			t.Found = append(t.Found, f)
		}
	}
	t.FoundSay = pg.N("policy.find.found", len(t.Found), "text", t.Find)
	if more {
		t.FoundSay = pg.T("policy.find.more", "n", len(t.Found), "text", t.Find)
	}
	return t, nil
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, one := range b {
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}

// name is what a target is called.
func (p *parts) name(word string) (targetName, error) {
	if n, ok := p.names[word]; ok {
		return n, nil
	}
	n := targetName{name: word, meta: p.pg.T("policy.target.gone")}
	t, ok := targetOf(word)
	switch {
	case !ok:
	case t.All:
		n = targetName{name: page.Plain(p.pg.T("policy.targets.all"))}
	case t.Group != "":
		g, err := p.v.cfg.Directory.Group(p.ctx, p.v.cfg.DB, p.v.tenant.ID, t.Group)
		if err == nil {
			n = targetName{g.Name, p.pg.T("policy.target.group")}
		} else if !errors.Is(err, idp.NotFound) {
			return n, err
		}
	default:
		u, err := p.v.cfg.Directory.User(p.ctx, p.v.cfg.DB, p.v.tenant.ID, t.User)
		if err == nil {
			n = targetName{cmp.Or(u.DisplayName, u.Name), p.pg.T("policy.target.person")}
		} else if !errors.Is(err, idp.NotFound) {
			return n, err
		}
	}
	p.names[word] = n
	return n, nil
}

// mostFound is how many people and how many groups a search shows.
const mostFound = 12

// search finds people and groups by the beginning of any word of their names.
func (p *parts) search(text string) (found []chipView, more bool, err error) {
	groups, err := called(text, directory.GroupFields, "displayName")
	if err != nil {
		return nil, false, err
	}
	people, err := called(text, directory.UserFields, "displayName", "userPrincipalName")
	if err != nil {
		return nil, false, err
	}
	gs, moreGroups, err := p.v.cfg.Directory.Groups(p.ctx, p.v.tenant.ID, directory.Page{Limit: mostFound, Where: groups})
	if err != nil {
		return nil, false, err
	}
	us, morePeople, err := p.v.cfg.Directory.Users(p.ctx, p.v.tenant.ID, directory.Page{Limit: mostFound, Where: people})
	if err != nil {
		return nil, false, err
	}
	for _, g := range gs {
		found = append(found, chipView{Value: groupPrefix + string(g.ID), Name: g.Name, Meta: p.pg.T("policy.target.group")})
	}
	for _, u := range us {
		found = append(found, chipView{Value: userPrefix + string(u.ID), Name: cmp.Or(u.DisplayName, u.Name), Meta: template.HTML(template.HTMLEscapeString(u.Name))})
	}
	return found, moreGroups != "" || morePeople != "", nil
}

// required are the boxes of who must register a method.
func (p *parts) required() (list []optionView, open bool, err error) {
	for _, word := range p.draft["include"] {
		n, err := p.name(word)
		if err != nil {
			return nil, false, err
		}
		on := slices.Contains(p.draft["required"], word)
		open = open || on
		list = append(list, optionView{Value: word, Label: template.HTML(template.HTMLEscapeString(n.name)), On: on})
	}
	return list, open, nil
}

// count is how many fields differ from what is saved.
func (p *parts) count() template.HTML {
	if n := len(p.changed); n > 0 {
		return p.pg.N("policy.bar.changes", n)
	}
	return p.pg.T("policy.bar.same")
}

// problems are the complaints that stand at no field of the page, and how many
// do stand at one.
func (p *parts) problems() []template.HTML {
	if len(p.wrongs) == 0 {
		return nil
	}
	out := []template.HTML{p.pg.N("policy.wrong", len(p.wrongs))}
	for _, w := range p.wrongs {
		if w.Field == "" {
			out = append(out, template.HTML(template.HTMLEscapeString(w.Say)))
		}
	}
	return out
}

// conflict tells that the policy was changed meanwhile, with every place in
// which the draft differs from what is saved now.
func (p *parts) conflict(saved, next policy.Policy) (*conflictView, error) {
	all, err := policy.Differences(saved, next)
	if err != nil {
		return nil, err
	}
	c := &conflictView{
		Title: p.pg.T("policy.conflict.title", "when", page.When(saved.Changed, "")),
		Say:   p.pg.N("policy.conflict.text", len(all)),
	}
	nothing := p.pg.T("policy.conflict.nothing")
	say := func(value string) template.HTML {
		if value == "" || value == "null" || value == "[]" {
			return nothing
		}
		return template.HTML(template.HTMLEscapeString(cut(strings.Trim(value, `"`), 200)))
	}
	for _, d := range all[:min(len(all), 30)] {
		c.Rows = append(c.Rows, conflictRow{template.HTML(template.HTMLEscapeString(d.At)), say(d.Old), say(d.New)})
	}
	return c, nil
}

// hiddenFields carries values in a form that does not show them.
func hiddenFields(v url.Values, without ...string) []field {
	var out []field
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if slices.Contains(without, name) {
			continue
		}
		for _, value := range v[name] {
			out = append(out, field{name, value})
		}
	}
	return out
}

// used counts the keys of the tenant by model.
func (v *visit) used(ctx context.Context) (usage, error) {
	began := v.cfg.Now()
	if u, ok := v.counted.get(v.tenant.ID, began); ok {
		return u, nil
	}
	var u usage
	err := v.cfg.Corridor.Walk(ctx, v.tenant.ID, func(c method.Credential) error {
		u.add(c)
		return nil
	})
	if u.At = v.cfg.Now(); err == nil && u.At.Sub(began) >= slowCount {
		v.counted.put(v.tenant.ID, u, u.At)
	}
	return u, err
}

// known are the key models for finding typing errors.
func (v *visit) known() policy.Models { return v.cfg.Metadata.Names }

// lockedOut says who would be locked out, when that is why a policy was not
// saved; nil: it was something else.
func (p *parts) lockedOut(err error, im policy.Impact) ([]template.HTML, error) {
	e := idp.AsError(err)
	if e == nil || e.Kind != idp.Denied || !strings.HasPrefix(e.Reason, "locks_out_") {
		return nil, nil
	}
	out := []template.HTML{template.HTML("<b>" + template.HTMLEscapeString(e.Public) + "</b>")}
	withRole, err := p.v.cfg.Directory.WithRole(p.ctx, p.v.tenant.ID)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range withRole {
		lost := func(l policy.Loss) bool { return l.NoWayIn && l.User.ID == a.ID }
		if a.Role == directory.Administrator && len(names) < 20 && slices.ContainsFunc(im.Lost, lost) {
			names = append(names, cmp.Or(a.DisplayName, a.Name))
		}
	}
	if len(names) > 0 {
		out = append(out, p.pg.N("policy.lockout.who", len(names), "names", strings.Join(names, ", ")))
	}
	return out, nil
}

// impact works out what next would do in the place of the saved policy.
func (v *visit) impact(ctx context.Context, next policy.Policy, progress func(int)) (policy.Impact, time.Time, error) {
	im, err := v.cfg.Corridor.Preview(ctx, v.tenant.ID, next, policy.PreviewOptions{Names: 2 * namesShown, Progress: progress})
	return im, v.cfg.Now(), err
}
