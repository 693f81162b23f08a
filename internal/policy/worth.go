package policy

import (
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// Worth is what a certificate counts for. The first of these that names it
// decides, as in Entra (entra-behaviours.md §5.3): levels of its issuer with
// one of its policies, levels of one of its policies, levels of its issuer, and
// then Mode. Policies are compared exactly: one below another is not it.
//
// Where several levels of that kind name it and do not say the same, the
// certificate is single-factor: a policy that could be added to make it more
// never does. The binding must have the strictest affinity of all of those, and
// of r.Affinity: a level asks for more than the tenant does, never for less
// (§5.2: "tenant or a matching rule").
func (r *CertificateRules) Worth(c Presented) Worth {
	for kind := range 3 {
		if w, ok := r.worth(kind, &c); ok {
			return w
		}
	}
	return Worth{Mode: r.Mode, Affinity: r.Affinity, Rule: "certificate.mode", Demands: "certificate.affinity"}
}

// worth asks the levels of one kind.
func (r *CertificateRules) worth(kind int, c *Presented) (Worth, bool) {
	var w Worth
	for i := range r.Levels {
		l := &r.Levels[i]
		if l.kind() != kind || !l.names(c) {
			continue
		}
		rule := "certificate.levels[" + strconv.Itoa(i) + "]"
		switch {
		case w.Rule == "":
			w = Worth{Mode: l.Mode, Affinity: r.Affinity, Rule: rule, Demands: "certificate.affinity"}
			w.Kind, w.Identifier = l.Named()
		case w.Mode != l.Mode && w.Mode != idp.ModeCertificateSingle:
			w.Mode, w.Rule = idp.ModeCertificateSingle, rule
			w.Kind, w.Identifier = l.Named()
		}
		if w.Affinity == LowAffinity && l.Affinity != LowAffinity {
			// A word that is none asks for High, as everything here that cannot
			// be read is the strict way.
			w.Affinity, w.Demands = HighAffinity, rule+".affinity"
		}
	}
	return w, w.Rule != ""
}

// kind is how closely a level names a certificate: 0 the closest.
func (l *CertificateLevel) kind() int {
	switch {
	case l.Issuer != "" && l.Policy != "":
		return 0
	case l.Policy != "":
		return 1
	}
	return 2
}

// names says whether a level is about the certificate. Key identifiers and
// names are compared without letter case (RFC 5280 §7.1 does for names).
func (l *CertificateLevel) names(c *Presented) bool {
	if l.Issuer != "" && !l.isBy(c) {
		return false
	}
	return l.Policy == "" || slices.Contains(c.Policies, l.Policy)
}

// isBy says whether l.Issuer is the certificate's. Names are written in either
// direction: Graph's own clients write those of rules with the root last.
func (l *CertificateLevel) isBy(c *Presented) bool {
	switch {
	case c.Issuer != "" && strings.EqualFold(l.Issuer, c.Issuer):
		return true
	case c.IssuerName == "" || !strings.Contains(l.Issuer, "="):
		return false
	}
	return strings.EqualFold(l.Issuer, c.IssuerName) || strings.EqualFold(rootLast(l.Issuer), c.IssuerName)
}

// rootLast turns a distinguished name round: its parts end at commas that no
// backslash stands before.
func rootLast(dn string) string {
	var parts []string
	start := 0
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',':
			parts = append(parts, dn[start:i])
			start = i + 1
		}
	}
	parts = append(parts, dn[start:])
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

// Meets says whether a binding of affinity a is enough where want is asked for.
func (a Affinity) Meets(want Affinity) bool { return want == LowAffinity || a == HighAffinity }

// Presents are the facts of a certificate as levels ask for them. An issuer
// whose key is not known is none of the tenant's authorities: its name, which
// anybody can write into a certificate, is nobody's then.
func Presents(f *idp.Facts) Presented {
	out := Presented{Issuer: f.Issuer}
	if f.Certificate == nil {
		return out
	}
	if out.Policies = f.Certificate.Policies; f.Issuer != "" {
		out.IssuerName = f.Certificate.IssuerName
	}
	return out
}

// CodeScope is the AADSTS number of a certificate of a CA that is kept to
// others, CodeCertificate that of a certificate that does not do
// (entra-behaviours.md §13).
const (
	CodeScope       = 500189 // [K]
	CodeCertificate = 50017  // [K]
)

// refuses judges a certificate, at its use and in what was kept of it since.
func (r *CertificateRules) refuses(w *Who, f *idp.Facts) Refusal {
	if i := r.outside(w, f); i >= 0 {
		return refusal(scopeAt(i), "certificate_not_scoped", CodeScope)
	}
	if rule, _, ok := r.firm(f); !ok {
		return refusal(rule, "certificate_affinity_low", CodeCertificate)
	}
	return Refusal{}
}

func scopeAt(i int) string { return "certificate.scopes[" + strconv.Itoa(i) + "]" }

// firm says whether the binding ties the certificate firmly enough to the
// person: the rule that decides, and what it wants. A certificate of which that
// is not known is tied by a name.
func (r *CertificateRules) firm(f *idp.Facts) (rule string, want Affinity, ok bool) {
	need := r.Worth(Presents(f))
	have := LowAffinity
	if f.Certificate != nil && f.Certificate.High {
		have = HighAffinity
	}
	return need.Demands, need.Affinity, have.Meets(need.Affinity)
}

// outside walks up the path, from the CA that issued the certificate to the
// anchor, and asks the scopes of each. It gives the first scope of the lowest
// CA that has one when none of them all is the person's, and -1 when one is, or
// none of the CAs is kept to anybody (entra-behaviours.md §5.7).
//
// A certificate whose path is not known is outside of all scopes. Of a stranger
// it is not known yet.
func (r *CertificateRules) outside(w *Who, f *idp.Facts) int {
	if len(r.Scopes) == 0 || !w.User.Known() {
		return -1
	}
	if f.Certificate == nil || len(f.Certificate.Issuers) == 0 {
		return 0
	}
	first := -1
	for _, issuer := range f.Certificate.Issuers {
		for i := range r.Scopes {
			s := &r.Scopes[i]
			switch {
			case !strings.EqualFold(s.Authority, issuer):
			case s.names(w):
				return -1
			case first < 0:
				first = i
			}
		}
	}
	return first
}

// ScopeOf is the scope that lets the person in with a certificate, for records:
// its place, or -1 when no scope had to. Judge says whether they may at all.
func (r *CertificateRules) ScopeOf(w Who, f idp.Facts) int {
	if f.Certificate == nil {
		return -1
	}
	for _, issuer := range f.Certificate.Issuers {
		for i := range r.Scopes {
			if s := &r.Scopes[i]; strings.EqualFold(s.Authority, issuer) && s.names(&w) {
				return i
			}
		}
	}
	return -1
}

// counts refuses what was proven as multifactor and would not be any more: the
// rules are judged as they are now, not as they were then.
func (r *CertificateRules) counts(p *idp.Proof) Refusal {
	if p.Mode != idp.ModeCertificateMulti {
		return Refusal{}
	}
	if w := r.Worth(Presents(&p.Facts)); w.Mode != idp.ModeCertificateMulti {
		return Refusal{Rule: w.Rule, Reason: "certificate_counts_for_less", Code: CodeStepUp, Help: Help{Fresh: true}}
	}
	return Refusal{}
}

// modes are those that some certificate can prove by the rules: nobody is sent
// to prove what none counts for.
func (r *CertificateRules) modes() []idp.Mode {
	return slices.DeleteFunc(slices.Clone(modesOf[Certificate]), func(m idp.Mode) bool {
		return r.Mode != m && !slices.ContainsFunc(r.Levels, func(l CertificateLevel) bool { return l.Mode == m })
	})
}

func (r CertificateRules) clone() CertificateRules {
	r.Bindings, r.Levels = slices.Clone(r.Bindings), slices.Clone(r.Levels)
	r.Scopes, r.Unchecked = slices.Clone(r.Scopes), slices.Clone(r.Unchecked)
	return r
}
