package console

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// houseModes are the modes that something here can prove, best first.
var houseModes = []idp.Mode{
	idp.ModeFIDO2, idp.ModeHello, idp.ModeCertificateMulti, idp.ModePhone, idp.ModeCertificateSingle, idp.ModeAccessPassOnce, idp.ModeAccessPassMany,
}

// strengthDraft is the form of a strength of the tenant's own.
type strengthDraft struct {
	Version, ID, Name, Description string

	Combos []string // modes joined by "+", each one way to meet it
	// A and B are a pair that is being put together: it counts once both are
	// chosen.
	A, B   string
	Each   []string // properties that every proof must have
	Models []string // AAGUIDs; passkeys of other models do not count
	// Issuers are keys of CAs, OIDs policies: certificates that are not by one
	// of the first, or do not hold one of the second, do not count.
	Issuers []string
	OIDs    string // one a line
}

func readStrength(v url.Values, id string) strengthDraft {
	d := strengthDraft{
		Version: v.Get("version"), ID: id, Name: v.Get("name"), Description: v.Get("description"),
		Combos: list(v, "combo"), A: v.Get("pair.a"), B: v.Get("pair.b"), Each: list(v, "each"), Models: list(v, "model"),
		Issuers: list(v, "issuer"), OIDs: v.Get("oids"),
	}
	if d.A != "" && d.B != "" && d.A != d.B {
		if pair := combo([]idp.Mode{idp.Mode(d.A), idp.Mode(d.B)}); !slices.Contains(d.Combos, pair) && len(d.Combos) < mostInList {
			d.Combos = append(d.Combos, pair)
		}
		d.A, d.B = "", ""
	}
	return d
}

func (d *strengthDraft) values() url.Values {
	return url.Values{
		"version": {d.Version}, "name": {d.Name}, "description": {d.Description}, "combo": d.Combos, "pair.a": {d.A}, "pair.b": {d.B},
		"each": d.Each, "model": d.Models, "issuer": d.Issuers, "oids": {d.OIDs},
	}
}

// combo is the word of a combination, its modes in Graph's order, so that the
// same two modes are one combination whoever was named first.
func combo(modes []idp.Mode) string {
	sorted := slices.Clone(modes)
	slices.SortStableFunc(sorted, func(a, b idp.Mode) int { return slices.Index(policy.Modes, a) - slices.Index(policy.Modes, b) })
	words := make([]string, len(sorted))
	for i, m := range sorted {
		words[i] = string(m)
	}
	return strings.Join(words, "+")
}

func modesOf(combo string) []idp.Mode {
	var out []idp.Mode
	for _, m := range strings.Split(combo, "+") {
		out = append(out, idp.Mode(m))
	}
	return out
}

// modelsOnly finds the configuration that limits passkeys by model, the one
// part of configurations that this form changes.
func modelsOnly(all []policy.Configuration) int {
	return slices.IndexFunc(all, func(g policy.Configuration) bool {
		return slices.Equal(g.Modes, []idp.Mode{idp.ModeFIDO2}) && len(g.Issuers)+len(g.PolicyOIDs) == 0
	})
}

// certificatesOnly finds the configuration that limits certificates by issuer
// and policy: the first that has nothing else. Others, which Graph's clients may
// have made, stay as they are.
func certificatesOnly(all []policy.Configuration) int {
	return slices.IndexFunc(all, func(g policy.Configuration) bool {
		return len(g.AAGUIDs) == 0 && len(g.Modes) > 0 && !slices.ContainsFunc(g.Modes, func(m idp.Mode) bool { return !slices.Contains(certificateModes, m) })
	})
}

// oids are the lines of d.OIDs.
func (d *strengthDraft) oids() []string { return list(url.Values{"": strings.Fields(d.OIDs)}, "") }

// configured puts what the form says of certificates into the configurations.
// modes are those of certificates that the combinations have.
func (d *strengthDraft) configured(a *applying, all []policy.Configuration, newID string, modes []idp.Mode) []policy.Configuration {
	g, oids := certificatesOnly(all), d.oids()
	switch {
	case g < 0 && len(d.Issuers)+len(oids) == 0:
		return all
	case g >= 0 && len(d.Issuers)+len(oids) == 0:
		return slices.Delete(all, g, g+1)
	case len(modes) == 0:
		a.say("issuer", "No way above has a certificate, so there is nothing to narrow.")
		return all
	case g < 0:
		return append(all, policy.Configuration{ID: newID, Modes: modes, Issuers: d.Issuers, PolicyOIDs: oids})
	}
	one := &all[g]
	one.Modes = unchanged(one.Modes, sameSet(slices.DeleteFunc(slices.Clone(one.Modes), func(m idp.Mode) bool { return !slices.Contains(modes, m) }), modes))
	one.Issuers, one.PolicyOIDs = unchanged(one.Issuers, sameSet(one.Issuers, d.Issuers)), unchanged(one.PolicyOIDs, oids)
	return all
}

// certificateModesOf are the modes of certificates in combinations.
func certificateModesOf(all [][]idp.Mode) (out []idp.Mode) {
	for _, m := range certificateModes {
		if slices.ContainsFunc(all, func(c []idp.Mode) bool { return slices.Contains(c, m) }) {
			out = append(out, m)
		}
	}
	return out
}

func strengthDraftOf(p policy.Policy, id string) strengthDraft {
	d := strengthDraft{Version: strconv.FormatInt(p.Version, 10), ID: id}
	i := slices.IndexFunc(p.Strengths, func(s policy.Strength) bool { return s.ID == id })
	if i < 0 {
		return d
	}
	s := p.Strengths[i]
	d.Name, d.Description = s.Name, s.Description
	for _, c := range s.Combinations {
		d.Combos = append(d.Combos, combo(c))
	}
	for _, e := range s.Each {
		d.Each = append(d.Each, string(e))
	}
	if g := modelsOnly(s.Configurations); g >= 0 {
		d.Models = slices.Clone(s.Configurations[g].AAGUIDs)
	}
	if g := certificatesOnly(s.Configurations); g >= 0 {
		d.Issuers, d.OIDs = slices.Clone(s.Configurations[g].Issuers), strings.Join(s.Configurations[g].PolicyOIDs, "\n")
	}
	return d
}

// apply puts the strength into the policy. newID and certID are the ids of
// configurations if they have to be made.
func (d *strengthDraft) apply(saved policy.Policy, newID, certID string, known policy.Models) (policy.Policy, []wrong) {
	p, a := saved.Clone(), &applying{}
	i := slices.IndexFunc(p.Strengths, func(s policy.Strength) bool { return s.ID == d.ID })
	if i < 0 {
		p.Strengths = append(p.Strengths, policy.Strength{ID: d.ID})
		i = len(p.Strengths) - 1
	}
	s := &p.Strengths[i]
	s.Name, s.Description = d.Name, d.Description
	s.Combinations = d.combinations(s.Combinations)
	var each []idp.Property
	for _, e := range d.Each {
		each = append(each, idp.Property(e))
	}
	s.Each = unchanged(s.Each, each)
	if (d.A == "") != (d.B == "") {
		a.say("pair", "Choose the second one too, or none.")
	} else if d.A != "" {
		a.say("pair", "Choose two that differ.")
	}
	switch g := modelsOnly(s.Configurations); {
	case g < 0 && len(d.Models) > 0:
		s.Configurations = append(s.Configurations, policy.Configuration{ID: newID, Modes: []idp.Mode{idp.ModeFIDO2}, AAGUIDs: sameModels(nil, d.Models)})
	case g >= 0 && len(d.Models) == 0:
		s.Configurations = slices.Delete(s.Configurations, g, g+1)
	case g >= 0:
		s.Configurations[g].AAGUIDs = sameModels(s.Configurations[g].AAGUIDs, d.Models)
	}
	s.Configurations = d.configured(a, s.Configurations, certID, certificateModesOf(s.Combinations))
	at := "strengths[" + strconv.Itoa(i) + "]"
	certificates := certificatesOnly(s.Configurations)
	a.complaints(p, known, func(place string) string {
		if j, ok := indexIn(strings.TrimPrefix(place, at+"."), "configurations"); ok && j == certificates {
			if strings.Contains(place, "policyOIDs") {
				return "oids"
			}
			return "issuer"
		}
		for _, f := range []struct{ at, field string }{
			{at + ".name", "name"}, {at + ".acr", "name"}, {at + ".id", "name"}, {at + ".description", "description"},
			{at + ".combinations", "combo"}, {at + ".configurations", "model"}, {at + ".each", "each"}, {at, "name"},
		} {
			if under(place, f.at) {
				return f.field
			}
		}
		return ""
	})
	return p, a.wrongs
}

// combinations keeps those that stood there as they were written.
func (d *strengthDraft) combinations(old [][]idp.Mode) [][]idp.Mode {
	wanted := slices.Clone(d.Combos)
	var out [][]idp.Mode
	for _, c := range old {
		if i := slices.Index(wanted, combo(c)); i >= 0 {
			out = append(out, c)
			wanted = slices.Delete(wanted, i, i+1)
		}
	}
	for _, w := range wanted {
		out = append(out, modesOf(w))
	}
	return out
}
