package console

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
)

// passkeyView is the editor of one profile of passkeys.
type passkeyView struct {
	formView
	Standard, New, Removable bool
	Tabs                     []tabView
	Mode                     *modeView

	On                                        *boxView
	Name                                      *entryView
	Include, Except, Exclude                  targetsView
	Required                                  []optionView
	RequiredOpen                              bool
	RequiredChanged                           changedView
	RequiredWrong                             []string
	Kind, ListMode, Proof, Counter, Withdrawn radiosView
	Models                                    []chipView
	ModelsLabel, ModelsCount, ModelsHint      template.HTML
	ModelsChanged                             changedView
	ModelsWrong                               []string
	Paste                                     pasteView
	Use, Claimed                              template.HTML
	SelfService, Additive                     boxView
	Limit, WarnAt                             entryView
}

type tabView struct {
	Href string
	Name template.HTML
	Here bool
}

// modeView tells whether key rules are obeyed.
type modeView struct {
	Class, Icon string
	Say         template.HTML
}

// pasteView is the box for lists of AAGUIDs.
type pasteView struct {
	Label, Hint, Go template.HTML
	Text            string
	Open            bool
	Bad             []template.HTML
}

// editor is a request about one profile.
type editor struct {
	v     *visit
	ctx   context.Context
	saved policy.Policy
	draft passkeyDraft
	path  string
	isNew bool
	bad   []pasted // lines of the paste that were not understood

	next   policy.Policy
	wrongs []wrong
}

func (v *visit) editor(ctx context.Context) (*editor, error) {
	saved, err := v.cfg.Policies.Load(ctx, v.cfg.DB, v.tenant.ID)
	if err != nil {
		return nil, err
	}
	e := &editor{v: v, ctx: ctx, saved: saved, path: v.at()}
	id := cmp.Or(v.r.PathValue("profile"), policy.DefaultProfile)
	if id == "new" {
		e.isNew, id = true, strings.ToLower(v.form.Get("guid"))
		if v.form == nil {
			id = secret.NewUUID4()
		}
		if !isGUID(id) || id == policy.DefaultProfile {
			return nil, idp.Invalidf("bad_value", "new profile %.60q", id).On("guid")
		}
	} else if id != policy.DefaultProfile && profileIndex(saved, id) < 0 {
		return nil, idp.NotFoundf("profile_unknown", "profile %.60q", id)
	}
	e.draft = passkeyDraftOf(saved, id)
	return e, nil
}

// profilePath is where profiles besides the default one have their pages.
const profilePath = "/admin/methods/passkey/profiles/"

// passkeyPage is the page of a profile.
func (c *Console) passkeyPage(ctx context.Context, v *visit) error {
	e, err := v.editor(ctx)
	if err != nil {
		return err
	}
	if e.isNew {
		e.next = e.saved // nothing was typed yet, so nothing is wrong with it
	} else {
		e.apply()
	}
	return e.show(http.StatusOK, nil, false)
}

func (e *editor) apply() { e.next, e.wrongs = e.draft.apply(e.saved, e.v.known()) }

// passkeySave is each button of the save bar.
func (c *Console) passkeySave(ctx context.Context, v *visit) error {
	e, err := v.editor(ctx)
	if err != nil {
		return err
	}
	e.draft = readPasskey(v.form, e.draft.Profile)
	return e.save(v.form.Get("do"))
}

// passkeyPost is everything else that the editor's buttons do: it changes
// nothing.
func (c *Console) passkeyPost(ctx context.Context, v *visit) error {
	e, err := v.editor(ctx)
	if err != nil {
		return err
	}
	e.draft = readPasskey(v.form, e.draft.Profile)
	do, what, _ := strings.Cut(v.form.Get("do"), ":")
	switch do {
	case "pick", "more", "picked", "unpick":
		if done, err := v.pick(ctx, do, pickerFor{
			path: e.path, fields: e.fields(), models: &e.draft.Models, mode: policy.ListMode(e.draft.Mode), lead: e.title(),
		}); done || err != nil {
			return err
		}
	case "paste":
		e.paste()
	case "except":
		e.draft.Except = union(e.draft.Except, []string{what})
	case "exceptall":
		if err := e.exceptAll(); err != nil {
			return err
		}
	}
	e.apply()
	if v.form.Get("part") == "impact" {
		return e.fragment()
	}
	return e.show(http.StatusOK, nil, do != "find")
}

// fields are all fields of the form.
func (e *editor) fields() url.Values {
	f := e.draft.values()
	if e.isNew {
		f.Set("guid", e.draft.Profile)
	}
	return f
}

func (e *editor) paste() {
	good, bad := readPaste(e.draft.Paste, e.v.cfg.Metadata)
	e.bad = bad
	for _, g := range good {
		if !slices.ContainsFunc(e.draft.Models, func(m string) bool { return strings.EqualFold(m, g) }) {
			e.draft.Models = append(e.draft.Models, g)
		}
	}
	if len(bad) == 0 {
		e.draft.Paste = ""
	}
}

// exceptAll excepts everybody from the profile who would have no way in
// because of it.
func (e *editor) exceptAll() error {
	e.apply()
	im, at, err := e.v.impact(e.ctx, enforced(e.next), nil)
	if err != nil {
		return err
	}
	w := e.words(e.v.page("policypasskey", "", nil))
	w.at = at
	for _, l := range w.view(im).Lost {
		if word, ok := strings.CutPrefix(l.Except, "except:"); ok {
			e.draft.Except = union(e.draft.Except, []string{word})
		}
	}
	return nil
}

// enforced is the policy with its key rules obeyed: what a preview is about,
// whether they are on trial or not.
func enforced(p policy.Policy) policy.Policy {
	p.Passkey.Restrictions = policy.Enforce
	return p
}

func (e *editor) words(pg *page.Page) *impactWords {
	return &impactWords{pg: pg, models: e.v.cfg.Metadata, profile: e.draft.Profile, next: e.next}
}

func (e *editor) title() template.HTML {
	words := e.v.words()
	switch {
	case e.draft.standard():
		return words.T("policy.profile.default")
	case strings.TrimSpace(e.draft.Name) == "":
		return words.T("policy.profile.new")
	}
	return template.HTML(template.HTMLEscapeString(e.draft.Name))
}

// sure is behind the value of a button that has been asked about.
const sure = "-sure"

// noSuchButton is for a form that was sent by none of those of its page.
func noSuchButton(do string) error {
	return idp.Invalidf("bad_value", "no button %.40q", do).On("do")
}

// save is each button that changes something.
func (e *editor) save(do string) error {
	v := e.v
	do, confirmed := strings.CutSuffix(do, sure)
	if !slices.Contains([]string{"save", "trial", "enforce", "remove"}, do) || do == "remove" && profileIndex(e.saved, e.draft.Profile) < 0 {
		return noSuchButton(do)
	}
	e.apply()
	if strings.TrimSpace(e.draft.Paste) != "" {
		e.wrongs = append(e.wrongs, wrong{"paste", page.Plain(v.words().T("policy.paste.left"))})
	}
	if do == "remove" {
		e.next, e.wrongs = dropProfile(e.saved, e.draft.Profile), nil
	}
	if len(e.wrongs) > 0 || e.status() != 0 {
		return e.show(cmp.Or(e.status(), http.StatusBadRequest), nil, true)
	}
	switch do {
	case "trial":
		e.next.Passkey.Restrictions = policy.EnforceAudit
	case "enforce":
		e.next.Passkey.Restrictions = policy.Enforce
	}
	im, at, err := v.impact(e.ctx, e.next, nil)
	if err != nil {
		return err
	}
	// What refuses somebody is asked about once more, whatever the button.
	if !confirmed && (im.Stops > 0 || do == "remove") {
		w := e.words(nil)
		w.at = at
		return v.confirm(e.path, hiddenFields(e.fields()), do+sure, w, im)
	}
	event := v.event("policy.set")
	event.Detail["page"] = e.path
	if _, err := v.cfg.Corridor.SavePolicy(e.ctx, v.tenant.ID, e.saved, e.next, v.user.ID, event); err != nil {
		return e.refused(err, im)
	}
	switch {
	case do == "remove":
		return v.leave("/admin/methods/passkey", "policy.removed")
	case e.isNew:
		e.path = profilePath + e.draft.Profile
	}
	if e.next.Passkey.Restrictions == policy.EnforceAudit {
		return v.leave(e.path, "policy.trial")
	}
	return v.leave(e.path, "policy.saved")
}

// versionSay tells which version the form shows; nothing while none was saved.
func versionSay(pg *page.Page, p policy.Policy) template.HTML {
	if p.Version == 0 {
		return ""
	}
	return pg.T("policy.version", "n", p.Version, "when", page.When(p.Changed, ""))
}

func version(p policy.Policy) string { return fmt.Sprint(p.Version) }

// status is Conflict when the policy is no longer the one that the form began
// with.
func (e *editor) status() int {
	if e.draft.Version != version(e.saved) {
		return http.StatusConflict
	}
	return 0
}

// refused shows the form again with why it was not saved.
func (e *editor) refused(err error, im policy.Impact) error {
	pg := e.v.page("policypasskey", "", nil)
	p := newParts(e.ctx, e.v, pg, e.draft.values(), e.draft.values(), nil)
	if problems, failed := p.lockedOut(err, im); failed != nil {
		return failed
	} else if problems != nil {
		return e.show(http.StatusForbidden, problems, true)
	}
	if known := idp.AsError(err); known != nil && known.Kind == idp.Conflict {
		saved, err := e.v.cfg.Policies.Load(e.ctx, e.v.cfg.DB, e.v.tenant.ID)
		if err != nil {
			return err
		}
		e.saved = saved
		e.apply()
		return e.show(http.StatusConflict, nil, true)
	}
	return err
}

// show writes the editor. work says whether to work out the impact: looking
// somebody up changes nothing and need not wait for it.
func (e *editor) show(status int, problems []template.HTML, work bool) error {
	pg, view, err := e.view(problems)
	if err != nil {
		return err
	}
	if err := e.impactInto(pg, view, work, nil); err != nil {
		return err
	}
	return e.v.show(status, pg)
}

// frame begins the page: what the whole of it and the fragment both have.
func (e *editor) frame() (*page.Page, *passkeyView, *parts) {
	v := e.v
	pg := v.page("policypasskey", e.title(), nil)
	was := passkeyDraftOf(e.saved, e.draft.Profile)
	p := newParts(e.ctx, v, pg, e.draft.values(), was.values(), e.wrongs)
	view := &passkeyView{
		formView: formView{Path: e.path, Lead: pg.T("policy.passkey.lead"), Dirty: len(p.changed) > 0, Changed: p.changed},
		Standard: e.draft.standard(), New: e.isNew, Removable: !e.draft.standard() && !e.isNew,
	}
	pg.V = view
	return pg, view, p
}

func (e *editor) view(problems []template.HTML) (*page.Page, *passkeyView, error) {
	pg, view, p := e.frame()
	if !e.draft.standard() {
		view.Lead = pg.T("policy.profile.lead")
	}
	view.Problems = append(problems, p.problems()...)
	if e.status() == http.StatusConflict {
		c, err := p.conflict(e.saved, e.next)
		if err != nil {
			return nil, nil, err
		}
		view.Conflict, e.draft.Version = c, version(e.saved)
	}
	view.Hidden = []field{{"version", e.draft.Version}}
	if e.isNew {
		view.Hidden = append(view.Hidden, field{"guid", e.draft.Profile})
	}
	view.Version = versionSay(pg, e.saved)
	view.Mode = modeOf(pg, e.saved.Passkey.Restrictions)
	e.tabs(pg, view)
	if err := e.who(p, view); err != nil {
		return nil, nil, err
	}
	view.Kind = p.radios("synced", "synced", true, "allow", "deny", "only")
	view.ListMode = p.radios("mode", "mode", true, "off", "allow", "deny")
	view.Proof = p.radios("attestation", "attestation", false, "none", "preferred", "required", "always")
	used, err := e.v.used(e.ctx)
	if err != nil {
		return nil, nil, err
	}
	e.models(p, view, passkeyDraftOf(e.saved, e.draft.Profile), used)
	view.Use = pg.N("policy.use.keys", used.Keys, "models", len(used.Models))
	if used.Claimed > 0 {
		view.Claimed = pg.N("policy.use.claimed", used.Claimed)
	}
	return pg, view, nil
}

func modeOf(pg *page.Page, r policy.Enforcement) *modeView {
	switch r {
	case policy.EnforceAudit:
		return &modeView{"warn", "clock", pg.T("policy.mode.audit")}
	case policy.EnforceOff:
		return &modeView{"warn", "warn", pg.T("policy.mode.off")}
	}
	return nil
}

func (e *editor) tabs(pg *page.Page, view *passkeyView) {
	view.Tabs = []tabView{{"/admin/methods/passkey", pg.T("policy.profile.standard"), e.draft.standard()}}
	for _, f := range e.saved.Passkey.Profiles {
		view.Tabs = append(view.Tabs, tabView{profilePath + f.ID, template.HTML(template.HTMLEscapeString(f.Name)), f.ID == e.draft.Profile})
	}
}

func (e *editor) who(p *parts, view *passkeyView) (err error) {
	if view.Include, err = p.targets("include", "include", true); err != nil {
		return err
	}
	if view.Except, err = p.targets("except", "except", false); err != nil {
		return err
	}
	if view.Required, view.RequiredOpen, err = p.required(); err != nil {
		return err
	}
	view.RequiredChanged, view.RequiredWrong = p.change("required"), p.wrong("required")
	if !e.draft.standard() {
		name := p.entry("name", "profile", false)
		name.Max = 64
		view.Name = &name
		return nil
	}
	on := p.box("on", "passkey.on")
	view.On = &on
	if view.Exclude, err = p.targets("exclude", "exclude.passkey", false); err != nil {
		return err
	}
	view.SelfService, view.Additive = p.box("selfService", "selfService"), p.box("additive", "additive")
	view.Limit, view.WarnAt = p.entry("limit", "limit", true), p.entry("warnAt", "warnAt", true)
	view.Counter = p.radios("counter", "counter", false, "warn", "block")
	view.Withdrawn = p.radios("withdrawn", "withdrawn", false, "refuse", "registration", "allow")
	return nil
}

// models are the chips of the list, those that were taken off behind.
func (e *editor) models(p *parts, view *passkeyView, was passkeyDraft, used usage) {
	pg := p.pg
	view.Models = modelChips(pg, e.v.cfg.Metadata, e.draft.Models, was.Models, used)
	mode := e.draft.Mode
	if !slices.Contains([]string{"off", "allow", "deny"}, mode) {
		mode = "off"
	}
	view.ModelsLabel = pg.T("policy.models." + mode)
	view.ModelsCount = pg.N("policy.models.count", len(e.draft.Models), "known", len(e.v.cfg.Metadata.Names()))
	view.ModelsHint = pg.T("policy.models." + mode + ".hint")
	view.ModelsChanged, view.ModelsWrong = p.change("model"), p.wrong("model")
	view.Paste = pasteOf(pg, e.draft.Paste, e.bad)
	for _, say := range p.wrong("paste") {
		view.Paste.Bad = append(view.Paste.Bad, template.HTML(template.HTMLEscapeString(say)))
	}
}

func modelChips(pg *page.Page, models modelList, chosen, was []string, used usage) []chipView {
	var out, gone []chipView
	for _, id := range lowerAll(chosen) {
		out = append(out, modelChip(pg, models, id, used, true))
	}
	for _, id := range lowerAll(was) {
		if !slices.Contains(lowerAll(chosen), id) {
			gone = append(gone, modelChip(pg, models, id, used, false))
		}
	}
	return append(out, gone...)
}

func lowerAll(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = strings.ToLower(s)
	}
	return out
}

func modelChip(pg *page.Page, models modelList, id string, used usage, on bool) chipView {
	c := chipView{Field: "model", Value: id, Name: id, On: on, Gone: !on}
	m, known := models.Model(id)
	if known {
		c.Name = m.Name
	}
	u := used.Models[id]
	c.Meta = pg.N("policy.inuse", u.Keys)
	if certified := level(m); certified != "" {
		c.Meta = pg.T("policy.chip.meta", "level", certified, "use", c.Meta)
	}
	if u.Claimed > 0 {
		c.Meta = pg.T("policy.chip.claimed", "meta", c.Meta, "claimed", pg.N("policy.claimed", u.Claimed))
	}
	if known && m.Status.Word != "" {
		c.Warn = pg.T("picker.status", "word", statusWord(m.Status.Word))
	}
	return c
}

func pasteOf(pg *page.Page, text string, bad []pasted) pasteView {
	out := pasteView{Label: pg.T("policy.paste.label"), Hint: pg.T("policy.paste.hint"), Go: pg.T("policy.paste.go"), Text: text, Open: text != ""}
	for _, b := range bad {
		if b.Nearest.AAGUID != "" {
			out.Bad = append(out.Bad, pg.T("policy.paste.nearest", "line", b.Line, "text", b.Text, "name", b.Nearest.Name, "aaguid", b.Nearest.AAGUID))
			continue
		}
		out.Bad = append(out.Bad, pg.T("policy.paste.bad", "line", b.Line, "text", b.Text))
	}
	return out
}
