package console

import (
	"cmp"
	"context"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/trust"
)

const (
	certRulesPath = "/admin/methods/certificate"
	certTab       = "certificates.tab."
)

// certRulesView is what the page about sign-in with certificates has of its
// own.
type certRulesView struct {
	Tabs             []tabView
	NoTrust          template.HTML // that there is no CA yet; empty: there is
	Bindings, Levels rowsView
	Mode, Affinity   radiosView
	Scopes           []targetsView
	ScopeAdd         []optionView // CAs that could be kept to some
	ScopeWrong       []string
	Unchecked        []optionView
	UncheckedChanged changedView
	UncheckedWrong   []string
	StaleFor, Host   entryView
	Hints            boxView
	Usage            []boxView
}

// rowsView is a list of rows, each of a few choices.
type rowsView struct {
	List           string // the beginning of the names of its fields
	Ordered        bool
	Label, Hint    template.HTML
	None, Add      template.HTML
	Rows           []rowView
	Changed        changedView
	Wrong          []string
	Drop, Up, Down template.HTML
}

type rowView struct {
	Index                   int
	Name                    template.HTML
	Selects                 []columnView
	Text                    *entryView
	Up, Down                bool
	UpSay, DownSay, DropSay template.HTML
	Wrong                   []string
	Tied                    template.HTML // what it means, in a line; empty: nothing to say
	TiedState               string
}

type columnView struct {
	Field   string
	Label   template.HTML
	Options []optionView
}

// authorities are the tenant's, those that are switched off too.
func (v *visit) authorities(ctx context.Context) ([]trust.Authority, error) {
	if v.cfg.Trust == nil {
		return nil, nil
	}
	return v.cfg.Trust.List(ctx, v.cfg.DB, v.tenant.ID)
}

// certificateForm is the page of rules about certificates.
func (c *Console) certificateForm(ctx context.Context, v *visit) (*settings, error) {
	s, err := c.settings(ctx, v)
	if err != nil {
		return nil, err
	}
	cas, err := v.authorities(ctx)
	if err != nil {
		return nil, err
	}
	was := certificateDraftOf(s.saved)
	draft := was
	if v.form != nil {
		draft = readCertificate(v.form)
	}
	was.blank(draft.ScopeFor)
	s.was, s.draft, s.judged, s.view = &was, &draft, true, "policycertificate"
	s.title, s.lead = policyMethod(&page.Page{Words: v.words()}, policy.Certificate), "policy.certificate.lead"
	s.also = func(pg *page.Page, im policy.Impact) ([]effect, error) { return s.certificateEffects(pg, cas), nil }
	s.asks = func(pg *page.Page) []effect {
		return slices.DeleteFunc(s.certificateEffects(pg, cas), func(e effect) bool { return e.State != "bad" })
	}
	s.fill = func(p *parts, view *settingsView) (err error) {
		view.On = p.box("on", "method.on")
		view.Certificate, err = certRules(p, &draft, cas)
		return err
	}
	return s, nil
}

// blank makes lists that are open on the page stand in the saved form too, so
// that an empty one is no change.
func (d *certificateDraft) blank(keys []string) { d.ScopeFor = union(d.ScopeFor, keys) }

func certRules(p *parts, d *certificateDraft, cas []trust.Authority) (*certRulesView, error) {
	pg := p.pg
	view := &certRulesView{
		Tabs:     certTabs(pg, certRulesPath),
		Bindings: bindingRows(p, d), Levels: levelRows(p, d, cas),
		Mode:     p.radios("mode", "certMode", false, string(idp.ModeCertificateSingle), string(idp.ModeCertificateMulti)),
		Affinity: p.radios("affinity", "certAffinity", false, string(policy.LowAffinity), string(policy.HighAffinity)),
		StaleFor: p.length("staleFor", "certificate.staleFor"), Host: p.entry("host", "certificate.host", false),
		Hints: p.box("hints", "certificate.hints"), Usage: []boxView{p.box("noUsage", "certificate.noUsage"), p.box("anyUsage", "certificate.anyUsage")},
		UncheckedChanged: p.change("unchecked"), UncheckedWrong: p.wrong("unchecked"), ScopeWrong: p.wrong("scopes"),
	}
	view.Host.Max = 253
	for i, risky := range []bool{d.NoUsage, d.AnyUsage} {
		if risky {
			view.Usage[i].Risk = pg.T("policy.certificate.usage.risk")
		}
	}
	if len(cas) == 0 {
		view.NoTrust = pg.T("policy.certificate.none")
	}
	view.Unchecked = uncheckedOf(pg, d, cas)
	return view, certScopes(p, d, cas, view)
}

// certTabs are the three pages about certificates.
func certTabs(pg *page.Page, here string) []tabView {
	var out []tabView
	for _, t := range []struct{ href, key string }{{certsPath, "store"}, {certRulesPath, "rules"}, {certTestPath, "test"}} {
		out = append(out, tabView{t.href, pg.T(certTab + t.key), t.href == here})
	}
	return out
}

// bindingFields and userProperties are those that a binding may name.
var (
	bindingFields = []policy.CertificateField{
		policy.FieldPrincipalName, policy.FieldRFC822Name, policy.FieldSubject, policy.FieldIssuerAndSubject,
		policy.FieldSubjectKeyIdentifier, policy.FieldSHA1PublicKey, policy.FieldIssuerAndSerialNumber,
	}
	userProperties = []policy.UserProperty{policy.ByUserName, policy.ByOnPremisesUserName, policy.ByCertificateUserIDs}
	affinities     = []policy.Affinity{policy.LowAffinity, policy.HighAffinity}
)

func bindingRows(p *parts, d *certificateDraft) rowsView {
	pg := p.pg
	out := rowsView{
		List: "binding", Ordered: true, Label: pg.T("policy.certificate.binding.list"), Add: pg.T("policy.certificate.binding.add"),
		None: pg.T("policy.certificate.binding.none"), Changed: p.change("binding"), Wrong: p.wrong("binding"),
		Up: pg.T("policy.order.up"), Down: pg.T("policy.order.down"), Drop: pg.T("policy.row.drop"),
	}
	for i, b := range d.Bindings {
		name := pg.T("policy.certificate.binding.n", "n", i+1)
		row := rowView{
			Index: i, Name: name, Up: i > 0, Down: i < len(d.Bindings)-1, Wrong: p.wrong("binding." + strconv.Itoa(i)),
			UpSay: pg.T("policy.order.up.of", "method", name), DownSay: pg.T("policy.order.down.of", "method", name), DropSay: pg.T("policy.row.drop.of", "row", name),
		}
		row.Selects = []columnView{
			choices(pg, "binding.field", "policy.certificate.field", bindingFields, b.Field),
			choices(pg, "binding.property", "policy.certificate.property", userProperties, b.Property),
			choices(pg, "binding.affinity", "policy.certificate.affinity", affinities, b.Affinity),
		}
		if natural := policy.CertificateField(b.Field).Affinity(); slices.Contains(bindingFields, policy.CertificateField(b.Field)) && len(row.Wrong) == 0 {
			row.Tied, row.TiedState = pg.T("policy.certificate.tied."+string(natural)), map[policy.Affinity]string{policy.LowAffinity: "off", policy.HighAffinity: "good"}[natural]
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// choices is a select with the words of one kind. What stands there and is none
// of them is shown as it is.
func choices[T ~string](pg *page.Page, field, key string, words []T, chosen string) columnView {
	out := columnView{Field: field, Label: pg.T(key)}
	for _, w := range words {
		out.Options = append(out.Options, optionView{Value: string(w), Label: pg.T(key + "." + string(w)), On: string(w) == chosen})
	}
	if !slices.Contains(words, T(chosen)) {
		out.Options = append(out.Options, optionView{Value: chosen, Label: escaped(cut(chosen, 80)), On: true})
	}
	return out
}

var certificateModes = []idp.Mode{idp.ModeCertificateSingle, idp.ModeCertificateMulti}

func levelRows(p *parts, d *certificateDraft, cas []trust.Authority) rowsView {
	pg := p.pg
	out := rowsView{
		List: "level", Label: pg.T("policy.certificate.level.list"), Hint: pg.T("policy.certificate.level.hint"), Add: pg.T("policy.certificate.level.add"),
		None: pg.T("policy.certificate.level.none"), Changed: p.change("level"), Wrong: p.wrong("level"), Drop: pg.T("policy.row.drop"),
	}
	for i, l := range d.Levels {
		name := pg.T("policy.certificate.level.n", "n", i+1)
		row := rowView{Index: i, Name: name, Wrong: p.wrong("level." + strconv.Itoa(i)), DropSay: pg.T("policy.row.drop.of", "row", name)}
		issuer := columnView{Field: "level.issuer", Label: pg.T("policy.certificate.level.issuer")}
		issuer.Options = append(issuer.Options, optionView{Value: "", Label: pg.T("policy.certificate.level.any"), On: l.Issuer == ""})
		issuer.Options = append(issuer.Options, authorityOptions(pg, cas, l.Issuer)...)
		row.Selects = []columnView{
			issuer, choices(pg, "level.mode", "policy.certificate.counts", certificateModes, l.Mode),
			choices(pg, "level.affinity", "policy.certificate.needs", affinities, l.Affinity),
		}
		row.Text = &entryView{Field: "level.policy", Value: l.Policy, Label: pg.T("policy.certificate.level.policy"), Hint: pg.T("policy.certificate.level.policy.hint"), Max: 200}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// authorityOptions are the CAs as choices; chosen, when it is none of them, is
// one too.
func authorityOptions(pg *page.Page, cas []trust.Authority, chosen string) []optionView {
	var out []optionView
	found := chosen == ""
	for _, a := range cas {
		on := strings.EqualFold(a.Key(), chosen) && !found
		found = found || on
		value := a.Key()
		if on {
			value = chosen // as it is saved
		}
		out = append(out, optionView{Value: value, Label: escaped(a.Name), On: on})
	}
	if !found {
		out = append(out, optionView{Value: chosen, Label: pg.T("policy.certificate.ca.gone", "key", cut(chosen, 60)), On: true})
	}
	return out
}

// uncheckedOf are the CAs that could be taken without a list, and those that
// are.
func uncheckedOf(pg *page.Page, d *certificateDraft, cas []trust.Authority) []optionView {
	has := func(key string) bool {
		return slices.ContainsFunc(d.Unchecked, func(u string) bool { return strings.EqualFold(u, key) })
	}
	var out []optionView
	known := map[string]bool{}
	for _, a := range cas {
		key := a.Key()
		known[key] = true
		checked := a.CRL != "" || a.OCSP != ""
		if checked && !has(key) {
			continue
		}
		hint := pg.T("policy.certificate.unchecked.nothing")
		if checked {
			hint = pg.T("policy.certificate.unchecked.needless")
		}
		out = append(out, optionView{Field: "unchecked", Value: key, Label: escaped(a.Name), Hint: hint, On: has(key)})
	}
	for _, u := range d.Unchecked {
		if !known[strings.ToLower(u)] {
			out = append(out, optionView{Field: "unchecked", Value: u, Label: pg.T("policy.certificate.ca.gone", "key", cut(u, 60)), On: true})
		}
	}
	return out
}

func certScopes(p *parts, d *certificateDraft, cas []trust.Authority, view *certRulesView) error {
	pg := p.pg
	for _, key := range d.ScopeFor {
		t, err := p.targets(scopeField(key), "certificate.scope", false)
		if err != nil {
			return err
		}
		t.Label, t.Nobody = pg.T("policy.certificate.scope.of", "ca", authorityName(pg, cas, key)), pg.T("policy.certificate.scope.all")
		t.Hidden = field{scopeFor, key}
		view.Scopes = append(view.Scopes, t)
	}
	for _, a := range cas {
		if !slices.Contains(d.ScopeFor, a.Key()) {
			view.ScopeAdd = append(view.ScopeAdd, optionView{Value: a.Key(), Label: escaped(a.Name)})
		}
	}
	return nil
}

// authorityName is what a CA is called of which only the key is known.
func authorityName(pg *page.Page, cas []trust.Authority, key string) template.HTML {
	if i := authorityAt(cas, key); i >= 0 {
		return escaped(cas[i].Name)
	}
	return pg.T("policy.certificate.ca.gone", "key", cut(key, 60))
}

func authorityAt(cas []trust.Authority, key string) int {
	return slices.IndexFunc(cas, func(a trust.Authority) bool { return strings.EqualFold(a.Key(), key) })
}

// certificateEffects says what saving the form would do besides what it does to
// badges that were seen.
func (s *settings) certificateEffects(pg *page.Page, cas []trust.Authority) (out []effect) {
	old, next := &s.saved.Certificate, &s.next.Certificate
	add := func(state string, text template.HTML) { out = append(out, effect{state, text}) }
	for _, key := range next.Unchecked {
		if !slices.Contains(old.Unchecked, key) {
			add("bad", pg.T("policy.certificate.tell.unchecked", "ca", authorityName(pg, cas, key)))
		}
	}
	for _, key := range old.Unchecked {
		if !slices.Contains(next.Unchecked, key) {
			add("warn", pg.T("policy.certificate.tell.checked", "ca", authorityName(pg, cas, key)))
		}
	}
	if next.StaleFor > old.StaleFor {
		add("warn", pg.T("policy.certificate.tell.stale", "for", lasting(pg, next.StaleFor)))
	}
	if old.Mode == idp.ModeCertificateSingle && next.Mode == idp.ModeCertificateMulti {
		add("warn", pg.T("policy.certificate.tell.multi"))
	}
	if old.Affinity == policy.HighAffinity && next.Affinity == policy.LowAffinity {
		add("warn", pg.T("policy.certificate.tell.low"))
	}
	if !old.NoUsage && next.NoUsage || !old.AnyUsage && next.AnyUsage {
		add("warn", pg.T("policy.certificate.tell.usage"))
	}
	if next.Hints && !old.Hints {
		add("off", pg.T("policy.certificate.tell.hints", "host", cmp.Or(next.Host, "–")))
	}
	for _, b := range old.Ordered() {
		if !slices.ContainsFunc(next.Bindings, func(n policy.CertificateBinding) bool { return n.Field == b.Field && n.Property == b.Property }) {
			add("warn", pg.T("policy.certificate.tell.unbound", "field", fieldName(pg, b.Field), "property", propertyName(pg, b.Property)))
		}
	}
	return out
}

func fieldName(pg *page.Page, f policy.CertificateField) template.HTML {
	if slices.Contains(bindingFields, f) {
		return pg.T("policy.certificate.field." + string(f))
	}
	return escaped(cut(string(f), 60))
}

func propertyName(pg *page.Page, u policy.UserProperty) template.HTML {
	if slices.Contains(userProperties, u) {
		return pg.T("policy.certificate.property." + string(u))
	}
	return escaped(cut(string(u), 60))
}

// certificateFacts are the lines about certificates in the list of methods.
func certificateFacts(pg *page.Page, p policy.Policy) []template.HTML {
	r := &p.Certificate
	out := []template.HTML{pg.N("policy.certificate.fact.bindings", len(r.Bindings)), pg.T("policy.certificate.fact." + string(r.Mode))}
	if n := len(r.Levels); n > 0 {
		out = append(out, pg.N("policy.certificate.fact.levels", n))
	}
	if r.Affinity == policy.HighAffinity {
		out = append(out, pg.T("policy.certificate.fact.high"))
	}
	if n := len(r.Unchecked); n > 0 {
		out = append(out, pg.N("policy.certificate.fact.unchecked", n))
	}
	return out
}
