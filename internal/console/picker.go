package console

import (
	"cmp"
	"context"
	"html/template"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// pickerFor is the form that models are picked for. The picker is a page of
// its own that carries all of that form along, so that nothing typed is lost;
// a script shows it in a dialog.
type pickerFor struct {
	path   string
	fields url.Values
	models *[]string
	mode   policy.ListMode
	lead   template.HTML
}

type pickerView struct {
	Path              string
	Lead              template.HTML
	Hidden, Elsewhere []field
	Query             string
	Filters           []toggleView
	Levels, Makers    []optionView
	Count, Foot       template.HTML
	Groups            []modelGroup
	None, More        template.HTML
	Shown             int

	// For the script that counts along.
	Total, HiddenFits int
	ListMode          string
}

// toggleView is a filter that is on or off.
type toggleView struct {
	Field string
	Name  template.HTML
	On    bool
}

type modelGroup struct {
	ID     string
	Title  template.HTML
	Models []modelView
}

type modelView struct {
	AAGUID, Name, Vendor string
	Icon                 template.URL
	Tags                 []template.HTML
	Warn, Use            template.HTML
	ClaimedSay           template.HTML
	Keys, Claimed        int
	On                   bool
}

// pageOfModels is how many models are shown at once: each may bring a picture.
const pageOfModels = 40

// pick is what the buttons of the picker do. done: a reply is written; else
// the form goes on, with what was picked.
func (v *visit) pick(ctx context.Context, do string, at pickerFor) (done bool, err error) {
	switch do {
	case "picked":
		return false, nil
	case "unpick":
		*at.models = list(v.form, "before")
		return false, nil
	}
	used, err := v.used(ctx)
	if err != nil {
		return false, err
	}
	before := list(v.form, "before")
	if !v.form.Has("picking") {
		before = *at.models
	}
	shown, _ := strconv.Atoi(v.form.Get("n"))
	shown = min(max(shown, pageOfModels), 2000)
	if do == "more" {
		shown += pageOfModels
	}
	pg := v.page("picker", v.words().T("picker.title"), nil)
	p := picking{pg: pg, at: at, used: used, chosen: lowerAll(*at.models), form: v.form, models: v.cfg.Metadata}
	view := p.view(shown)
	view.Hidden = append(hiddenFields(at.fields, "model"), field{"picking", "1"})
	for _, b := range before {
		view.Hidden = append(view.Hidden, field{"before", b})
	}
	pg.V = view
	return true, v.show(http.StatusOK, pg)
}

// picking makes a pickerView.
type picking struct {
	pg     *page.Page
	at     pickerFor
	used   usage
	chosen []string
	form   url.Values
	models modelList
}

// filters are those that are on or off.
var pickerFilters = []struct {
	field string
	fits  func(metadata.Model, modelUse) bool
}{
	{"use", func(_ metadata.Model, u modelUse) bool { return u.Keys > 0 }},
	{"bio", func(m metadata.Model, _ modelUse) bool { return m.Biometric }},
	{"fips", func(m metadata.Model, _ modelUse) bool { return m.FIPS != "" }},
	{"nfc", func(m metadata.Model, _ modelUse) bool { return slices.Contains(m.Transports, "nfc") }},
}

func (p *picking) view(shown int) pickerView {
	pg := p.pg
	v := pickerView{Path: p.at.path, Lead: pg.T("picker.lead", "what", p.at.lead), Query: page.Clip(p.form.Get("q"), 100), ListMode: string(p.at.mode)}
	for _, f := range pickerFilters {
		v.Filters = append(v.Filters, toggleView{"f." + f.field, pg.T("picker.filter." + f.field), p.form.Get("f."+f.field) != ""})
	}
	for _, l := range []string{"", "L1", "L2", "L3"} {
		v.Levels = append(v.Levels, optionView{Value: l, Label: pg.T("picker.level." + cmp.Or(l, "any")), On: p.form.Get("f.level") == l})
	}
	all := p.candidates()
	v.Makers = p.makers(all)
	var fit []metadata.Model
	for _, m := range all {
		if p.fits(m) {
			fit = append(fit, m)
		}
	}
	p.groups(&v, fit, shown)
	p.foot(&v)
	return v
}

// candidates are the models that the search finds, and what is in use or
// chosen without being known.
func (p *picking) candidates() []metadata.Model {
	text := page.Clip(p.form.Get("q"), 100)
	found := p.models.Search(text, math.MaxInt)
	seen := make(map[string]bool, len(found))
	for _, m := range found {
		seen[m.AAGUID] = true
	}
	strange := append(slices.Sorted(maps.Keys(p.used.Models)), p.chosen...)
	for _, id := range strange {
		if _, known := p.models.Model(id); known || seen[id] || id == "" || id == metadata.Zero {
			continue
		}
		if text == "" || strings.HasPrefix(id, strings.ToLower(text)) {
			seen[id] = true
			found = append(found, metadata.Model{AAGUID: id})
		}
	}
	return found
}

func (p *picking) makers(all []metadata.Model) []optionView {
	out := []optionView{{Value: "", Label: p.pg.T("picker.maker.any"), On: p.form.Get("f.maker") == ""}}
	seen := map[string]bool{}
	for _, m := range all {
		if m.Vendor != "" {
			seen[m.Vendor] = true
		}
	}
	asked := p.form.Get("f.maker")
	if asked != "" {
		seen[page.Clip(asked, 100)] = true
	}
	for _, maker := range slices.SortedFunc(maps.Keys(seen), func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }) {
		out = append(out, optionView{Value: maker, Label: template.HTML(template.HTMLEscapeString(maker)), On: maker == asked})
	}
	return out
}

func (p *picking) fits(m metadata.Model) bool {
	for _, f := range pickerFilters {
		if p.form.Get("f."+f.field) != "" && !f.fits(m, p.used.Models[m.AAGUID]) {
			return false
		}
	}
	if least := p.form.Get("f.level"); least != "" && metadata.Level(m.Certification) < metadata.Level(least) {
		return false
	}
	maker := p.form.Get("f.maker")
	return maker == "" || m.Vendor == maker
}

// groups sorts models: those in use that are not on the list, those that are,
// and all others. What is not shown and chosen stays in hidden fields.
func (p *picking) groups(v *pickerView, fit []metadata.Model, shown int) {
	pg := p.pg
	// The chosen are those of when the picker was opened, so that a model does
	// not run away from under the hand that ticks it.
	first, opened := []modelView{}, p.chosen
	if p.form.Has("picking") {
		opened = lowerAll(list(p.form, "before"))
	}
	var chosen, rest []modelView
	for _, m := range fit {
		row := p.row(m)
		switch {
		case slices.Contains(opened, m.AAGUID):
			chosen = append(chosen, row)
		case row.Keys > 0:
			first = append(first, row)
		default:
			rest = append(rest, row)
		}
	}
	slices.SortStableFunc(first, func(a, b modelView) int { return b.Keys - a.Keys })
	v.Groups = []modelGroup{{"use", pg.T("picker.group.use." + cmp.Or(string(p.at.mode), "off")), first}, {"chosen", pg.T("picker.group.chosen"), chosen}, {"rest", pg.T("picker.group.rest"), rest}}
	left, total := shown, len(first)+len(chosen)+len(rest)
	seen := make(map[string]bool)
	for i := range v.Groups {
		g := &v.Groups[i]
		g.Models = g.Models[:min(len(g.Models), left)]
		left -= len(g.Models)
		for _, m := range g.Models {
			seen[m.AAGUID] = true
		}
	}
	v.Shown = min(shown, total)
	v.Count = pg.N("picker.count", total)
	if total > v.Shown {
		v.Count = pg.T("picker.count.some", "n", v.Shown, "all", total)
		v.More = pg.N("picker.more", min(pageOfModels, total-v.Shown))
		v.Shown = shown
	}
	if total == 0 {
		v.None = pg.T("picker.none")
	}
	for _, id := range p.chosen {
		if !seen[id] {
			v.Elsewhere = append(v.Elsewhere, field{"model", id})
			v.HiddenFits += p.proven(id)
		}
	}
}

// proven is how many keys of a model prove that they are of it.
func (p *picking) proven(id string) int {
	u := p.used.Models[id]
	return u.Keys - u.Claimed
}

func (p *picking) row(m metadata.Model) modelView {
	pg, u := p.pg, p.used.Models[m.AAGUID]
	r := modelView{
		AAGUID: m.AAGUID, Name: m.Name, Vendor: m.Vendor, Keys: u.Keys, Claimed: u.Claimed, On: slices.Contains(p.chosen, m.AAGUID),
		// The registry has checked that it is a picture and not a program.
		Icon: template.URL(m.Icon), Use: pg.N("policy.inuse", u.Keys),
	}
	if m.Name == "" {
		r.Name = page.Plain(pg.T("picker.unknown"))
	}
	if u.Claimed > 0 {
		r.ClaimedSay = pg.N("policy.claimed", u.Claimed)
	}
	if certified := level(m); certified != "" {
		r.Tags = append(r.Tags, template.HTML(template.HTMLEscapeString(certified)))
	}
	if m.Biometric {
		r.Tags = append(r.Tags, pg.T("picker.tag.bio"))
	}
	if slices.Contains(m.Transports, "nfc") {
		r.Tags = append(r.Tags, pg.T("picker.tag.nfc"))
	}
	if m.Source == metadata.Bundled || m.Source == "" {
		r.Tags = append(r.Tags, pg.T("picker.tag.bundled"))
	}
	if m.Status.Word != "" {
		r.Warn = pg.T("picker.status", "word", statusWord(m.Status.Word))
	}
	return r
}

// statusWord is a status of the metadata as people read it: "REVOKED" is
// "revoked", "USER_VERIFICATION_BYPASS" "user verification bypass".
func statusWord(word string) string {
	return strings.ToLower(strings.ReplaceAll(page.Clip(word, 60), "_", " "))
}

// foot counts what is chosen, and the keys here that would not fit.
func (p *picking) foot(v *pickerView) {
	fit := 0
	for _, id := range p.chosen {
		switch p.at.mode {
		case policy.ListDeny: // a claim is enough to be refused
			fit += p.used.Models[id].Keys
		default:
			fit += p.proven(id)
		}
	}
	v.Total = p.used.Keys
	if p.at.mode == policy.ListDeny {
		v.HiddenFits = 0
		for _, f := range v.Elsewhere {
			v.HiddenFits += p.used.Models[f.Value].Keys
		}
		v.Foot = p.pg.T("picker.foot", "chosen", number("chosen", len(p.chosen)), "keys", number("keys", fit))
		return
	}
	v.Foot = p.pg.T("picker.foot", "chosen", number("chosen", len(p.chosen)), "keys", number("keys", p.used.Keys-fit))
}

// number is a figure that the script keeps up to date.
func number(name string, n int) template.HTML {
	return template.HTML(`<b class="num" data-figure="` + name + `">` + strconv.Itoa(n) + `</b>`)
}
