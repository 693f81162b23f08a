package console

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// certificateDraft is the form about sign-in with certificates: who may, whose
// a certificate is, and what it counts for.
type certificateDraft struct {
	methodDraft
	Bindings       []bindingRow // in the order in which they are tried
	Levels         []levelRow
	Mode, Affinity string
	ScopeFor       []string            // keys of the CAs with a list of people
	Scopes         map[string][]string // words of targets by key
	Unchecked      []string            // keys
	StaleFor       span
	Host           string
	Hints          bool
	NoUsage        bool
	AnyUsage       bool
}

type bindingRow struct{ Field, Property, Affinity string }

type levelRow struct{ Issuer, Policy, Mode, Affinity string }

// Most rows that a form may have; a policy takes fewer.
const mostRows = 200

// rowsOf reads rows that are sent column by column; a row that is short of a
// column has an empty one.
func rowsOf(v url.Values, columns ...string) [][]string {
	n := 0
	for _, c := range columns {
		n = max(n, len(v[c]))
	}
	out := make([][]string, min(n, mostRows))
	for i := range out {
		for _, c := range columns {
			value := ""
			if i < len(v[c]) {
				value = strings.TrimSpace(v[c][i])
			}
			out[i] = append(out[i], value)
		}
	}
	return out
}

var (
	bindingColumns = []string{"binding.field", "binding.property", "binding.affinity"}
	levelColumns   = []string{"level.issuer", "level.policy", "level.mode", "level.affinity"}
)

// scopeField is the list of people of one CA.
func scopeField(key string) string { return "scope." + key }

// scopeFor lists the CAs with a list of people.
const scopeFor = "scope.for"

func readCertificate(v url.Values) certificateDraft {
	d := certificateDraft{
		methodDraft: readMethod(v, policy.Certificate), Mode: v.Get("mode"), Affinity: v.Get("affinity"), ScopeFor: list(v, scopeFor),
		Scopes: map[string][]string{}, Unchecked: list(v, "unchecked"), StaleFor: readSpan(v, "staleFor"), Host: strings.TrimSpace(v.Get("host")),
		Hints: ticked(v, "hints"), NoUsage: ticked(v, "noUsage"), AnyUsage: ticked(v, "anyUsage"),
	}
	for _, r := range rowsOf(v, bindingColumns...) {
		d.Bindings = append(d.Bindings, bindingRow{r[0], r[1], r[2]})
	}
	for _, r := range rowsOf(v, levelColumns...) {
		d.Levels = append(d.Levels, levelRow{r[0], r[1], r[2], r[3]})
	}
	for _, key := range d.ScopeFor {
		d.Scopes[key] = list(v, scopeField(key))
	}
	d.press(v)
	return d
}

// press does what the buttons of the rows do.
func (d *certificateDraft) press(v url.Values) {
	do, at, _ := strings.Cut(v.Get("do"), ":")
	i, err := strconv.Atoi(at)
	if err != nil {
		i = -1
	}
	switch do {
	case "binding-add":
		d.Bindings = append(d.Bindings, bindingRow{string(policy.FieldPrincipalName), string(policy.ByUserName), string(policy.LowAffinity)})
	case "binding-up":
		d.Bindings = moved(d.Bindings, i, -1)
	case "binding-down":
		d.Bindings = moved(d.Bindings, i, 1)
	case "binding-drop":
		d.Bindings = without(d.Bindings, i)
	case "level-add":
		d.Levels = append(d.Levels, levelRow{Mode: string(idp.ModeCertificateMulti), Affinity: string(policy.LowAffinity)})
	case "level-drop":
		d.Levels = without(d.Levels, i)
	case "scope-add":
		if key := strings.TrimSpace(v.Get("pair.scope")); key != "" && len(d.ScopeFor) < mostRows {
			d.ScopeFor = union(d.ScopeFor, []string{key})
		}
	}
}

// moved puts a row one place up (-1) or down (1); at the end nothing moves.
func moved[T any](rows []T, i, by int) []T {
	k := i + by
	if i < 0 || i >= len(rows) || k < 0 || k >= len(rows) {
		return rows
	}
	out := slices.Clone(rows)
	out[i], out[k] = out[k], out[i]
	return out
}

func without[T any](rows []T, i int) []T {
	if i < 0 || i >= len(rows) {
		return rows
	}
	return slices.Delete(slices.Clone(rows), i, i+1)
}

func (d *certificateDraft) values() url.Values {
	v := d.methodDraft.values()
	v.Set("mode", d.Mode)
	v.Set("affinity", d.Affinity)
	for _, b := range d.Bindings {
		for i, value := range []string{b.Field, b.Property, b.Affinity} {
			v.Add(bindingColumns[i], value)
		}
	}
	for _, l := range d.Levels {
		for i, value := range []string{l.Issuer, l.Policy, l.Mode, l.Affinity} {
			v.Add(levelColumns[i], value)
		}
	}
	v[scopeFor] = d.ScopeFor
	for _, key := range d.ScopeFor {
		v[scopeField(key)] = d.Scopes[key]
	}
	v["unchecked"] = d.Unchecked
	d.StaleFor.put(v, "staleFor")
	v.Set("host", d.Host)
	setTick(v, "hints", d.Hints)
	setTick(v, "noUsage", d.NoUsage)
	setTick(v, "anyUsage", d.AnyUsage)
	return v
}

func certificateDraftOf(p policy.Policy) certificateDraft {
	r := &p.Certificate
	d := certificateDraft{
		methodDraft: methodDraftOf(p, policy.Certificate), Mode: string(r.Mode), Affinity: string(r.Affinity), Scopes: map[string][]string{},
		Unchecked: slices.Clone(r.Unchecked), StaleFor: spanFrom0(r.StaleFor), Host: r.Host, Hints: r.Hints, NoUsage: r.NoUsage, AnyUsage: r.AnyUsage,
	}
	for _, b := range r.Ordered() {
		d.Bindings = append(d.Bindings, bindingRow{string(b.Field), string(b.Property), string(b.Affinity)})
	}
	for _, l := range r.Levels {
		d.Levels = append(d.Levels, levelRow{l.Issuer, l.Policy, string(l.Mode), string(l.Affinity)})
	}
	for _, s := range r.Scopes {
		d.ScopeFor = union(d.ScopeFor, []string{s.Authority})
		d.Scopes[s.Authority] = append(d.Scopes[s.Authority], targetWord(s.Target))
	}
	return d
}

// spanFrom0 is spanOf, with a unit beside nothing at all.
func spanFrom0(d time.Duration) span {
	if d == 0 {
		return span{"0", "h"}
	}
	return spanOf(d)
}

func (d *certificateDraft) apply(saved policy.Policy, known policy.Models) (policy.Policy, []wrong) {
	p, a := saved.Clone(), &applying{}
	m := p.Methods[policy.Certificate]
	m.On = d.On
	m.Include = a.include(m.Include, d.Include, d.Required, "")
	m.Exclude = a.targets("exclude", m.Exclude, d.Exclude)
	if _, there := p.Methods[policy.Certificate]; there || m.On || len(m.Include)+len(m.Exclude) > 0 {
		setMethod(&p, policy.Certificate, m)
	}
	r := &p.Certificate
	r.Bindings = d.bindings(r)
	r.Levels = unchanged(r.Levels, d.levels())
	r.Mode, r.Affinity = idp.Mode(d.Mode), policy.Affinity(d.Affinity)
	r.Scopes = d.scopes(a, r.Scopes)
	r.Unchecked = unchanged(r.Unchecked, sameSet(r.Unchecked, d.Unchecked))
	a.span("staleFor", d.StaleFor, &r.StaleFor)
	r.Host, r.Hints, r.NoUsage, r.AnyUsage = d.Host, d.Hints, d.NoUsage, d.AnyUsage
	a.complaints(p, known, func(place string) string { return certificateField(&p, place) })
	return p, a.wrongs
}

// bindings keeps those that stand there with the priorities that they have;
// others are numbered from 1 in their order.
func (d *certificateDraft) bindings(old *policy.CertificateRules) []policy.CertificateBinding {
	var out []policy.CertificateBinding
	for i, b := range d.Bindings {
		out = append(out, policy.CertificateBinding{
			Field: policy.CertificateField(b.Field), Property: policy.UserProperty(b.Property), Affinity: policy.Affinity(b.Affinity), Priority: i + 1,
		})
	}
	same := func(a, b policy.CertificateBinding) bool {
		a.Priority, b.Priority = 0, 0
		return a == b
	}
	if slices.EqualFunc(old.Ordered(), out, same) {
		return old.Bindings
	}
	return out
}

func (d *certificateDraft) levels() []policy.CertificateLevel {
	var out []policy.CertificateLevel
	for _, l := range d.Levels {
		out = append(out, policy.CertificateLevel{Issuer: l.Issuer, Policy: l.Policy, Mode: idp.Mode(l.Mode), Affinity: policy.Affinity(l.Affinity)})
	}
	return out
}

// scopes keeps those that stand there in their order.
func (d *certificateDraft) scopes(a *applying, old []policy.CertificateScope) []policy.CertificateScope {
	var want []policy.CertificateScope
	for _, key := range d.ScopeFor {
		for _, t := range a.targets(scopeField(key), nil, d.Scopes[key]) {
			want = append(want, policy.CertificateScope{Authority: key, Target: t})
		}
	}
	return unchanged(old, sameSet(old, want))
}

// sameSet is next, with what old has too first and in the order of old.
func sameSet[T comparable](old, next []T) []T {
	var out []T
	for _, o := range old {
		if slices.Contains(next, o) && !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	for _, n := range next {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// certificateField is where a place of the policy stands on the page.
func certificateField(p *policy.Policy, place string) string {
	for _, f := range []struct{ at, field string }{
		{"methods.certificate.on", "on"}, {"methods.certificate.include", "include"}, {"methods.certificate.exclude", "exclude"},
	} {
		if under(place, f.at) {
			return f.field
		}
	}
	rest, ok := strings.CutPrefix(place, "certificate.")
	if !ok {
		return ""
	}
	r := &p.Certificate
	if i, ok := indexIn(rest, "bindings"); ok && i < len(r.Bindings) {
		return "binding." + strconv.Itoa(slices.Index(r.Ordered(), r.Bindings[i]))
	}
	if i, ok := indexIn(rest, "levels"); ok {
		return "level." + strconv.Itoa(i)
	}
	if i, ok := indexIn(rest, "scopes"); ok && i < len(r.Scopes) {
		return scopeField(r.Scopes[i].Authority)
	}
	switch field := below(place, "certificate."); field {
	case "bindings":
		return "binding"
	case "levels":
		return "level"
	default:
		return field
	}
}

// indexIn is i of "list[i]", and of what lies below it.
func indexIn(place, list string) (int, bool) {
	rest, ok := strings.CutPrefix(place, list+"[")
	number, _, closed := strings.Cut(rest, "]")
	if !ok || !closed {
		return 0, false
	}
	i, err := strconv.Atoi(number)
	return i, err == nil && i >= 0
}
