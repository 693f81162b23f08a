package policy_test

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

const (
	issuing = "0102030405060708090a0b0c0d0e0f1011121314" // key identifiers of CAs
	anchor  = "a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4"
	aside   = "ffeeddccbbaa99887766554433221100ffeeddcc"
	caName  = "DC=com,DC=contoso,CN=Issuing CA"
	oneOID  = "1.3.6.1.4.1.99999.1"
	twoOID  = "1.3.6.1.4.1.99999.2"
	single  = idp.ModeCertificateSingle
	multi   = idp.ModeCertificateMulti
)

// TestWorth is Entra's order, ties and affinities.
func TestWorth(t *testing.T) {
	low, high := policy.LowAffinity, policy.HighAffinity
	level := func(issuer, oid string, m idp.Mode, a policy.Affinity) policy.CertificateLevel {
		return policy.CertificateLevel{Issuer: issuer, Policy: oid, Mode: m, Affinity: a}
	}
	levels := func(all ...policy.CertificateLevel) []policy.CertificateLevel { return all }
	here := policy.Presented{Issuer: issuing, IssuerName: caName, Policies: []string{oneOID, twoOID}}
	none := policy.Presented{Issuer: issuing, IssuerName: caName}
	const def, aff = "certificate.mode", "certificate.affinity"
	for _, tt := range []struct {
		name   string
		mode   idp.Mode
		least  policy.Affinity
		levels []policy.CertificateLevel
		cert   policy.Presented
		want   policy.Worth
	}{
		{"no level", single, low, nil, here, policy.Worth{Mode: single, Affinity: low, Rule: def, Demands: aff}},
		{"no level, multifactor and high", multi, high, nil, here, policy.Worth{Mode: multi, Affinity: high, Rule: def, Demands: aff}},
		{"issuer", single, low, levels(level(issuing, "", multi, low)), here, policy.Worth{Mode: multi, Affinity: low, Rule: "certificate.levels[0]", Demands: aff}},
		{"issuer, in capitals", single, low, levels(level(strings.ToUpper(issuing), "", multi, low)), here, policy.Worth{Mode: multi, Affinity: low, Rule: "certificate.levels[0]", Demands: aff}},
		{"issuer by name", single, low, levels(level(strings.ToLower(caName), "", multi, low)), here, policy.Worth{Mode: multi, Affinity: low, Rule: "certificate.levels[0]", Demands: aff}},
		{"issuer by name, the root last", single, low, levels(level("CN=Issuing CA,DC=contoso,DC=com", "", multi, low)), here, policy.Worth{Mode: multi, Affinity: low, Rule: "certificate.levels[0]", Demands: aff}},
		{"an escaped comma parts nothing", single, low, levels(level(`B,CN=A\`, "", multi, low), level("CN=A,O=B", "", multi, low)),
			policy.Presented{Issuer: issuing, IssuerName: `CN=A\,O=B`}, policy.Worth{Mode: single, Affinity: low, Rule: def, Demands: aff}},
		{"another issuer", single, low, levels(level(aside, "", multi, low)), here, policy.Worth{Mode: single, Affinity: low, Rule: def, Demands: aff}},
		{"an issuer without a name or key is nobody's", single, low, levels(level(caName, "", multi, low)), policy.Presented{}, policy.Worth{Mode: single, Affinity: low, Rule: def, Demands: aff}},
		{"policy", single, low, levels(level("", oneOID, multi, high)), here, policy.Worth{Mode: multi, Affinity: high, Rule: "certificate.levels[0]", Demands: "certificate.levels[0].affinity"}},
		{"a policy below it", single, low, levels(level("", "1.3.6.1.4.1.99999", multi, low)), here, policy.Worth{Mode: single, Affinity: low, Rule: def, Demands: aff}},
		{"a policy that does not hold", single, low, levels(level("", oneOID, multi, low)), none, policy.Worth{Mode: single, Affinity: low, Rule: def, Demands: aff}},
		{"both beat the policy, and that the issuer", multi, low,
			levels(level(issuing, "", multi, low), level("", oneOID, single, low), level(issuing, oneOID, multi, low)), here,
			policy.Worth{Mode: multi, Affinity: low, Rule: "certificate.levels[2]", Demands: aff}},
		{"the policy beats the issuer", multi, low, levels(level(issuing, "", multi, high), level("", oneOID, single, low)), here,
			policy.Worth{Mode: single, Affinity: low, Rule: "certificate.levels[1]", Demands: aff}},
		{"a level may say less than the rest", multi, low, levels(level(issuing, "", single, low)), here, policy.Worth{Mode: single, Affinity: low, Rule: "certificate.levels[0]", Demands: aff}},
		{"both, of another issuer", single, low, levels(level(aside, oneOID, multi, low)), here, policy.Worth{Mode: single, Affinity: low, Rule: def, Demands: aff}},
		{"both, without the policy", single, low, levels(level(issuing, oneOID, multi, low)), none, policy.Worth{Mode: single, Affinity: low, Rule: def, Demands: aff}},
		{"policies that conflict", single, low, levels(level("", oneOID, multi, high), level("", twoOID, single, low)), here,
			policy.Worth{Mode: single, Affinity: high, Rule: "certificate.levels[1]", Demands: "certificate.levels[0].affinity"}},
		{"policies that conflict, the other way round", multi, low, levels(level("", oneOID, single, low), level("", twoOID, multi, high)), here,
			policy.Worth{Mode: single, Affinity: high, Rule: "certificate.levels[0]", Demands: "certificate.levels[1].affinity"}},
		{"policies that agree", single, low, levels(level("", oneOID, multi, low), level("", twoOID, multi, low)), here,
			policy.Worth{Mode: multi, Affinity: low, Rule: "certificate.levels[0]", Demands: aff}},
		{"key and name of one issuer conflict", multi, low, levels(level(issuing, "", multi, low), level(caName, "", single, low)), here,
			policy.Worth{Mode: single, Affinity: low, Rule: "certificate.levels[1]", Demands: aff}},
		{"a level asks for no less than the tenant", single, high, levels(level(issuing, "", multi, low)), here,
			policy.Worth{Mode: multi, Affinity: high, Rule: "certificate.levels[0]", Demands: aff}},
		{"a word that is none asks for more", single, low, levels(level(issuing, "", multi, "middling")), here,
			policy.Worth{Mode: multi, Affinity: high, Rule: "certificate.levels[0]", Demands: "certificate.levels[0].affinity"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := policy.CertificateRules{Mode: tt.mode, Affinity: tt.least, Levels: tt.levels}
			got := r.Worth(tt.cert)
			// What the deciding level names is that of its place.
			for i, l := range tt.levels {
				if got.Rule == "certificate.levels["+strconv.Itoa(i)+"]" {
					tt.want.Kind, tt.want.Identifier = l.Named()
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A name alone is nobody's: an authority that is none of the tenant's may have
// any.
func TestSec_CBA08_NameWithoutKey(t *testing.T) {
	f := card(oneOID)
	r := policy.CertificateRules{Mode: single, Affinity: policy.LowAffinity, Levels: []policy.CertificateLevel{{Issuer: caName, Mode: multi, Affinity: policy.LowAffinity}}}
	if w := r.Worth(policy.Presents(&f)); w.Mode != multi {
		t.Errorf("of an authority that is known: %+v", w)
	}
	f.Issuer = ""
	if w := r.Worth(policy.Presents(&f)); w.Mode != single || w.Rule != "certificate.mode" {
		t.Errorf("of one that is not: %+v", w)
	}
}

func TestLevelNamed(t *testing.T) {
	for want, l := range map[string]policy.CertificateLevel{
		"issuerSubject " + issuing: {Issuer: issuing}, "policyOID " + oneOID: {Policy: oneOID}, "issuerSubjectAndPolicyOID " + issuing + "," + oneOID: {Issuer: issuing, Policy: oneOID},
	} {
		if kind, id := l.Named(); kind+" "+id != want {
			t.Errorf("%s %s, want %s", kind, id, want)
		}
	}
}

// One more level never makes a certificate count for more than the levels of
// its kind agree on, and never lets a binding be weaker than the tenant wants.
func TestWorthTies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyCertificateRules(t)
		c := policy.Presented{Issuer: rapid.SampledFrom([]string{issuing, aside}).Draw(t, "issuer"), IssuerName: caName,
			Policies: rapid.SliceOfDistinct(rapid.SampledFrom([]string{oneOID, twoOID}), rapid.ID[string]).Draw(t, "policies")}
		w := r.Worth(c)
		if r.Affinity == policy.HighAffinity && w.Affinity != policy.HighAffinity {
			t.Fatalf("%+v asks for less than the tenant", w)
		}
		// In the plainest way: the modes of the closest kind that has any.
		for _, of := range []func(l policy.CertificateLevel) bool{
			func(l policy.CertificateLevel) bool { return l.Issuer != "" && l.Policy != "" },
			func(l policy.CertificateLevel) bool { return l.Issuer == "" },
			func(l policy.CertificateLevel) bool { return l.Policy == "" },
		} {
			all, some := true, false
			for _, l := range r.Levels {
				if of(l) && (l.Issuer == "" || l.Issuer == c.Issuer || l.Issuer == c.IssuerName) && (l.Policy == "" || slices.Contains(c.Policies, l.Policy)) {
					some, all = true, all && l.Mode == multi
				}
			}
			if some {
				if (w.Mode == multi) != all {
					t.Fatalf("%+v of %+v: %+v", c, r.Levels, w)
				}
				return
			}
		}
		if w.Mode != r.Mode || w.Rule != "certificate.mode" {
			t.Fatalf("no level names it, and %+v", w)
		}
	})
}

func TestOrdered(t *testing.T) {
	b := func(f policy.CertificateField, n int) policy.CertificateBinding {
		return policy.CertificateBinding{Field: f, Priority: n}
	}
	r := policy.CertificateRules{Bindings: []policy.CertificateBinding{b(policy.FieldSubject, 9), b(policy.FieldPrincipalName, 2), b(policy.FieldRFC822Name, 5)}}
	var got []string
	for _, one := range r.Ordered() {
		got = append(got, string(one.Field))
	}
	if want := "PrincipalName RFC822Name Subject"; strings.Join(got, " ") != want || r.Bindings[0].Priority != 9 {
		t.Errorf("%v", got)
	}
	for f, want := range map[policy.CertificateField]policy.Affinity{
		policy.FieldPrincipalName: "low", policy.FieldRFC822Name: "low", policy.FieldSubject: "low", policy.FieldIssuerAndSubject: "low",
		policy.FieldSubjectKeyIdentifier: "high", policy.FieldSHA1PublicKey: "high", policy.FieldIssuerAndSerialNumber: "high", "?": "low",
	} {
		if f.Affinity() != want {
			t.Errorf("%s is %s", f, f.Affinity())
		}
	}
}

// card are the facts of a certificate of issuing, below anchor.
func card(policies ...string) idp.Facts {
	return idp.Facts{Issuer: issuing, Certificate: &idp.CertificateFacts{Issuers: []string{issuing, anchor}, IssuerName: caName, Policies: policies}}
}

func firm(f idp.Facts) idp.Facts {
	c := *f.Certificate
	c.High, f.Certificate = true, &c
	return f
}

func scope(authority string, t policy.Target) policy.CertificateScope {
	return policy.CertificateScope{Authority: authority, Target: t}
}

// TestJudgeCertificate: scopes walk up the path, and affinity is judged of what
// was kept.
func TestJudgeCertificate(t *testing.T) {
	all := policy.Target{All: true}
	drawing, chief := policy.Target{Group: staff}, policy.Target{Group: admins}
	unknown := idp.Facts{Issuer: issuing}
	pathless := idp.Facts{Issuer: issuing, Certificate: &idp.CertificateFacts{High: true}}
	for _, tt := range []struct {
		name         string
		change       func(*policy.CertificateRules)
		facts        idp.Facts
		who          policy.Who
		rule, reason string
		code         int
	}{
		{name: "no rule", facts: card(), who: member(ada)},
		{name: "no rule, nothing known", facts: unknown, who: member(ada)},
		{name: "in scope", facts: card(), who: member(ada, staff),
			change: func(r *policy.CertificateRules) { r.Scopes = []policy.CertificateScope{scope(issuing, drawing)} }},
		{name: "in scope by name", facts: card(), who: member(ada),
			change: func(r *policy.CertificateRules) {
				r.Scopes = []policy.CertificateScope{scope(issuing, policy.Target{User: ada.ID})}
			}},
		{name: "outside", facts: card(), who: member(ada, admins), rule: "certificate.scopes[0]", reason: "certificate_not_scoped", code: policy.CodeScope,
			change: func(r *policy.CertificateRules) { r.Scopes = []policy.CertificateScope{scope(issuing, drawing)} }},
		{name: "outside by the anchor", facts: card(), who: member(ada), rule: "certificate.scopes[1]", reason: "certificate_not_scoped", code: policy.CodeScope,
			change: func(r *policy.CertificateRules) {
				r.Scopes = []policy.CertificateScope{scope(aside, all), scope(anchor, drawing)}
			}},
		{name: "found further up", facts: card(), who: member(ada, admins),
			change: func(r *policy.CertificateRules) {
				r.Scopes = []policy.CertificateScope{scope(issuing, drawing), scope(anchor, chief)}
			}},
		{name: "found in the second rule of one authority", facts: card(), who: member(ada, admins),
			change: func(r *policy.CertificateRules) {
				r.Scopes = []policy.CertificateScope{scope(issuing, drawing), scope(issuing, chief)}
			}},
		{name: "found nowhere, the lowest is named", facts: card(), who: member(ada, leavers), rule: "certificate.scopes[1]", reason: "certificate_not_scoped", code: policy.CodeScope,
			change: func(r *policy.CertificateRules) {
				r.Scopes = []policy.CertificateScope{scope(anchor, chief), scope(issuing, drawing)}
			}},
		{name: "others' authority", facts: card(), who: member(ada),
			change: func(r *policy.CertificateRules) { r.Scopes = []policy.CertificateScope{scope(aside, drawing)} }},
		{name: "an unknown path is outside", facts: unknown, who: member(ada, staff), rule: "certificate.scopes[0]", reason: "certificate_not_scoped", code: policy.CodeScope,
			change: func(r *policy.CertificateRules) { r.Scopes = []policy.CertificateScope{scope(aside, all)} }},
		{name: "an empty path is outside", facts: pathless, who: member(ada, staff), rule: "certificate.scopes[0]", reason: "certificate_not_scoped", code: policy.CodeScope,
			change: func(r *policy.CertificateRules) { r.Scopes = []policy.CertificateScope{scope(aside, all)} }},
		{name: "of a stranger it is not known", facts: card(), who: policy.Who{},
			change: func(r *policy.CertificateRules) { r.Scopes = []policy.CertificateScope{scope(issuing, drawing)} }},
		{name: "high and wanted", facts: firm(card()), who: member(ada), change: func(r *policy.CertificateRules) { r.Affinity = policy.HighAffinity }},
		{name: "low where high is wanted", facts: card(), who: member(ada), rule: "certificate.affinity", reason: "certificate_affinity_low", code: policy.CodeCertificate,
			change: func(r *policy.CertificateRules) { r.Affinity = policy.HighAffinity }},
		{name: "not known where high is wanted", facts: unknown, who: member(ada), rule: "certificate.affinity", reason: "certificate_affinity_low", code: policy.CodeCertificate,
			change: func(r *policy.CertificateRules) { r.Affinity = policy.HighAffinity }},
		{name: "low where a level wants high", facts: card(oneOID), who: member(ada), rule: "certificate.levels[0].affinity", reason: "certificate_affinity_low", code: policy.CodeCertificate,
			change: func(r *policy.CertificateRules) {
				r.Levels = []policy.CertificateLevel{{Policy: oneOID, Mode: single, Affinity: policy.HighAffinity}}
			}},
		{name: "low where a level of others wants high", facts: card(twoOID), who: member(ada),
			change: func(r *policy.CertificateRules) {
				r.Levels = []policy.CertificateLevel{{Policy: oneOID, Mode: single, Affinity: policy.HighAffinity}}
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := governed(func(p *policy.Policy) {
				p.Switch(policy.Certificate, true)
				if tt.change != nil {
					tt.change(&p.Certificate)
				}
			})
			got := p.Judge(tt.who, policy.Use, policy.Certificate, &tt.facts)
			if got.Rule != tt.rule || got.Reason != tt.reason || got.Code != tt.code || got.Help.Administrator != (tt.reason != "") || !got.Would.Allowed() {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Nobody gives themselves a certificate, and none is sent to try.
func TestCertificateIsNotRegistered(t *testing.T) {
	p := policy.Default()
	p.Switch(policy.Certificate, true)
	p.Switch(policy.Passkey, false)
	for _, act := range []policy.Act{policy.Add, policy.AddFor} {
		if r := p.Judge(member(ada), act, policy.Certificate, nil); r.Reason != "certificate_not_registered" || r.Code != policy.CodeMethod {
			t.Errorf("%s: %+v", act, r)
		}
	}
	q := question(pass(0))
	q.Usable = 0
	if d := policy.Decide(&p, q); d.Outcome != policy.Deny || d.Reason != "nothing_to_register" {
		t.Errorf("with a pass and certificates only: %s (%s)", d.Outcome, d.Reason)
	}
}

// cardProof is a proof by a certificate.
func cardProof(m idp.Mode, f idp.Facts, properties ...idp.Property) idp.Proof {
	return with2(proof(policy.Certificate, m, 0, properties...), func(p *idp.Proof) { p.Facts = f })
}

// What a certificate counted for when it signed in does not last longer than
// the rule that said so.
func TestSec_CBA08_LevelsAreJudgedAnew(t *testing.T) {
	p := policy.Default()
	p.Switch(policy.Certificate, true)
	p.Certificate.Levels = []policy.CertificateLevel{{Policy: oneOID, Mode: multi, Affinity: policy.LowAffinity}}
	strong := cardProof(multi, card(oneOID), idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor)
	q := with(question(strong), func(q *policy.Question) { q.ACR = []string{"phr"} })
	if d := policy.Decide(&p, q); d.Outcome != policy.Allow || d.ACR != "phr" {
		t.Fatalf("%s by %s", d.Outcome, d.Rule)
	}
	for name, change := range map[string]func(*policy.CertificateRules){
		"the level is gone":   func(r *policy.CertificateRules) { r.Levels = nil },
		"the level says less": func(r *policy.CertificateRules) { r.Levels[0].Mode = single },
		"another level disputes": func(r *policy.CertificateRules) {
			r.Levels = append(r.Levels, policy.CertificateLevel{Policy: twoOID, Mode: single, Affinity: policy.LowAffinity})
		},
	} {
		now := p.Clone()
		change(&now.Certificate)
		q := with(q, func(q *policy.Question) {
			q.Proofs = []idp.Proof{cardProof(multi, card(oneOID, twoOID), strong.Properties...)}
		})
		d := policy.Decide(&now, q)
		if d.Outcome != policy.StepUp || len(d.Refused) != 1 || d.Refused[0].Reason != "certificate_counts_for_less" || d.ACR != "" || !d.MFATime.IsZero() {
			t.Errorf("%s: %s, %+v", name, d.Outcome, d.Refused)
		}
	}
	// What was single-factor stays it, whatever the rules say now.
	weak := with(question(cardProof(single, card(oneOID), idp.PhishingResistant, idp.Possession)), func(q *policy.Question) { q.ACR = []string{"phr"} })
	if d := policy.Decide(&p, weak); d.Outcome != policy.StepUp || len(d.Refused) != 0 {
		t.Errorf("a single-factor proof under a multifactor rule: %s, %+v", d.Outcome, d.Refused)
	}
}

// Strengths narrow certificates by issuers, by policies, or by both.
func TestCertificateStrengths(t *testing.T) {
	for _, tt := range []struct {
		name          string
		issuers, oids []string
		facts         idp.Facts
		want          bool
	}{
		{"one of two issuers", []string{aside, strings.ToUpper(issuing)}, nil, card(), true},
		{"the anchor did not issue it", []string{anchor}, nil, card(), false},
		{"one of two policies", nil, []string{twoOID, oneOID}, card(oneOID), true},
		{"none of the policies", nil, []string{twoOID}, card(oneOID), false},
		{"a policy above", nil, []string{"1.3.6.1.4.1.99999"}, card(oneOID), false},
		{"no policy at all", nil, []string{oneOID}, card(), false},
		{"nothing known", nil, []string{oneOID}, idp.Facts{Issuer: issuing}, false},
		{"both", []string{issuing}, []string{oneOID}, card(oneOID), true},
		{"both, another issuer", []string{aside}, []string{oneOID}, card(oneOID), false},
		{"both, another policy", []string{issuing}, []string{twoOID}, card(oneOID), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := policy.Default()
			p.Switch(policy.Certificate, true)
			p.Certificate.Mode = multi
			p.Strengths = append(p.Strengths, policy.Strength{ID: "own", Name: "Own", Combinations: [][]idp.Mode{{multi}},
				Configurations: []policy.Configuration{{ID: "c", Modes: []idp.Mode{multi}, Issuers: tt.issuers, PolicyOIDs: tt.oids}}})
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			q := with(question(cardProof(multi, tt.facts)), func(q *policy.Question) { q.Required = "own" })
			want := policy.StepUp
			if tt.want {
				want = policy.Allow
			}
			if d := policy.Decide(&p, q); d.Outcome != want {
				t.Errorf("%s by %s", d.Outcome, d.Rule)
			}
		})
	}
}

// A strength that no certificate can prove by the rules is not asked for, as
// with a method that is off.
func TestCertificateModesInReach(t *testing.T) {
	p := policy.Default()
	p.Switch(policy.Certificate, true)
	p.Switch(policy.Passkey, false)
	q := with(question(cardProof(single, card())), func(q *policy.Question) { q.ACR = []string{"phr"} })
	if d := policy.Decide(&p, q); d.Outcome != policy.Deny || d.Reason != "no_method_allowed" {
		t.Errorf("single-factor certificates only: %s (%s)", d.Outcome, d.Reason)
	}
	p.Certificate.Levels = []policy.CertificateLevel{{Policy: oneOID, Mode: multi, Affinity: policy.LowAffinity}}
	d := policy.Decide(&p, q)
	if d.Outcome != policy.StepUp || len(d.Missing) != 1 || !slices.Equal(d.Missing[0], []idp.Mode{multi}) {
		t.Errorf("some are multifactor: %s, %v", d.Outcome, d.Missing)
	}
	// And where all are, none counts for one factor only.
	p.Certificate = policy.Default().Certificate
	p.Certificate.Mode = multi
	p.Strengths = append(p.Strengths, policy.Strength{ID: "own", Name: "Own", Combinations: [][]idp.Mode{{single}}})
	q.ACR, q.Proofs = []string{"own"}, nil
	if d := policy.Decide(&p, q); d.Outcome != policy.Deny {
		t.Errorf("multifactor certificates only: %s", d.Outcome)
	}
}

// TestCertificateContradictions: each policy is wrong in one way, and the
// place or both places are named.
func TestCertificateContradictions(t *testing.T) {
	bind := func(f policy.CertificateField, u policy.UserProperty, n int, a policy.Affinity) policy.CertificateBinding {
		return policy.CertificateBinding{Field: f, Property: u, Priority: n, Affinity: a}
	}
	binds := func(b ...policy.CertificateBinding) func(*policy.CertificateRules) {
		return func(r *policy.CertificateRules) { r.Bindings = b }
	}
	plain := bind(policy.FieldPrincipalName, policy.ByUserName, 1, policy.LowAffinity)
	levels := func(l ...policy.CertificateLevel) func(*policy.CertificateRules) {
		return func(r *policy.CertificateRules) { r.Levels = l }
	}
	scopes := func(s ...policy.CertificateScope) func(*policy.CertificateRules) {
		return func(r *policy.CertificateRules) { r.Scopes = s }
	}
	good := policy.CertificateLevel{Issuer: issuing, Mode: multi, Affinity: policy.LowAffinity}
	lvl := func(change func(*policy.CertificateLevel)) func(*policy.CertificateRules) {
		l := good
		change(&l)
		return levels(l)
	}
	drawing := policy.Target{Group: staff}
	for _, tt := range []struct {
		name, at, other, say string
		change               func(*policy.CertificateRules)
	}{
		{"no binding", "certificate.bindings", "", "nobody", nil},
		{"one priority twice", "certificate.bindings[0].priority", "certificate.bindings[1].priority", "the priority 1",
			binds(plain, bind(policy.FieldRFC822Name, policy.ByUserName, 1, policy.LowAffinity))},
		{"priority 0", "certificate.bindings[0].priority", "", "1 to", binds(bind(policy.FieldPrincipalName, policy.ByUserName, 0, policy.LowAffinity))},
		{"a priority beyond", "certificate.bindings[0].priority", "", "1 to", binds(bind(policy.FieldPrincipalName, policy.ByUserName, 1001, policy.LowAffinity))},
		{"a binding twice", "certificate.bindings[0]", "certificate.bindings[1]", "both compare",
			binds(plain, bind(policy.FieldPrincipalName, policy.ByUserName, 2, policy.LowAffinity))},
		{"a name called firm", "certificate.bindings[0].affinity", "certificate.bindings[0].field", "given to somebody else",
			binds(bind(policy.FieldPrincipalName, policy.ByUserName, 1, policy.HighAffinity))},
		{"a mail address called firm", "certificate.bindings[0].affinity", "certificate.bindings[0].field", "RFC822Name",
			binds(bind(policy.FieldRFC822Name, policy.ByCertificateUserIDs, 1, policy.HighAffinity))},
		{"a subject called firm", "certificate.bindings[0].affinity", "certificate.bindings[0].field", "Subject",
			binds(bind(policy.FieldSubject, policy.ByCertificateUserIDs, 1, policy.HighAffinity))},
		{"issuer and subject called firm", "certificate.bindings[0].affinity", "certificate.bindings[0].field", "IssuerAndSubject",
			binds(bind(policy.FieldIssuerAndSubject, policy.ByCertificateUserIDs, 1, policy.HighAffinity))},
		{"a field that is none", "certificate.bindings[0].field", "", `"Nickname"`, binds(bind("Nickname", policy.ByUserName, 1, policy.LowAffinity))},
		{"a property that is none", "certificate.bindings[0].property", "", `"email"`, binds(bind(policy.FieldPrincipalName, "email", 1, policy.LowAffinity))},
		{"an affinity that is none", "certificate.bindings[0].affinity", "", `"middling"`, binds(bind(policy.FieldPrincipalName, policy.ByUserName, 1, "middling"))},
		{"a key compared with a name", "certificate.bindings[0].property", "certificate.bindings[0].field", "only compared with certificateUserIds",
			binds(bind(policy.FieldSubjectKeyIdentifier, policy.ByUserName, 1, policy.HighAffinity))},
		{"high is wanted, and none is", "certificate.affinity", "certificate.bindings", "no binding has it", func(r *policy.CertificateRules) { r.Affinity = policy.HighAffinity }},
		{"a key that an administrator calls low is not high", "certificate.affinity", "certificate.bindings", "no binding has it", func(r *policy.CertificateRules) {
			r.Affinity = policy.HighAffinity
			r.Bindings = []policy.CertificateBinding{bind(policy.FieldSubjectKeyIdentifier, policy.ByCertificateUserIDs, 1, policy.LowAffinity)}
		}},
		{"a level wants high, and none is", "certificate.levels[0].affinity", "certificate.bindings", "no binding has it",
			lvl(func(l *policy.CertificateLevel) { l.Affinity = policy.HighAffinity })},
		{"an unknown word of affinity", "certificate.affinity", "", "middling", func(r *policy.CertificateRules) { r.Affinity = "middling" }},
		{"a mode of keys", "certificate.mode", "", "fido2", func(r *policy.CertificateRules) { r.Mode = idp.ModeFIDO2 }},
		{"a list that is believed for ever", "certificate.staleFor", "", "168h", func(r *policy.CertificateRules) { r.StaleFor = 8 * 24 * time.Hour }},
		{"a list that is believed for less than nothing", "certificate.staleFor", "", "0s", func(r *policy.CertificateRules) { r.StaleFor = -time.Second }},
		{"a level of nothing", "certificate.levels[0]", "", "certificate.mode is for all others", lvl(func(l *policy.CertificateLevel) { l.Issuer = "" })},
		{"a level of a mode of keys", "certificate.levels[0].mode", "", "fido2", lvl(func(l *policy.CertificateLevel) { l.Mode = idp.ModeFIDO2 })},
		{"a level of no affinity", "certificate.levels[0].affinity", "", `""`, lvl(func(l *policy.CertificateLevel) { l.Affinity = "" })},
		{"an issuer in half bytes", "certificate.levels[0].issuer", "", "abc", lvl(func(l *policy.CertificateLevel) { l.Issuer = "abc" })},
		{"an issuer in capitals", "certificate.levels[0].issuer", "", "AB12", lvl(func(l *policy.CertificateLevel) { l.Issuer = "AB12" })},
		{"an issuer that is neither", "certificate.levels[0].issuer", "", "Issuing CA", lvl(func(l *policy.CertificateLevel) { l.Issuer = "Issuing CA" })},
		{"an issuer with a line break", "certificate.levels[0].issuer", "", "CN=", lvl(func(l *policy.CertificateLevel) { l.Issuer = "CN=a\nb" })},
		{"a policy by name", "certificate.levels[0].policy", "", "anyPolicy", lvl(func(l *policy.CertificateLevel) { l.Policy = "anyPolicy" })},
		{"a policy with a zero in front", "certificate.levels[0].policy", "", "1.03.6", lvl(func(l *policy.CertificateLevel) { l.Policy = "1.03.6" })},
		{"a policy of one arc", "certificate.levels[0].policy", "", "object identifier", lvl(func(l *policy.CertificateLevel) { l.Policy = "1" })},
		{"a policy that is too long", "certificate.levels[0].policy", "", "object identifier", lvl(func(l *policy.CertificateLevel) { l.Policy = "1." + strings.Repeat("1", 127) })},
		{"two levels of one issuer", "certificate.levels[0]", "certificate.levels[1]", "same certificates",
			levels(good, policy.CertificateLevel{Issuer: issuing, Mode: single, Affinity: policy.LowAffinity})},
		{"two levels of one policy", "certificate.levels[0]", "certificate.levels[1]", "same certificates",
			levels(policy.CertificateLevel{Policy: oneOID, Mode: single, Affinity: policy.LowAffinity}, policy.CertificateLevel{Policy: oneOID, Mode: single, Affinity: policy.LowAffinity})},
		{"two levels of one name", "certificate.levels[0]", "certificate.levels[1]", "same certificates",
			levels(policy.CertificateLevel{Issuer: caName, Mode: single, Affinity: policy.LowAffinity},
				policy.CertificateLevel{Issuer: strings.ToUpper(caName), Mode: multi, Affinity: policy.LowAffinity})},
		{"a scope of no key", "certificate.scopes[0].authority", "", "Root", scopes(scope("Root", drawing))},
		{"a scope for nobody", "certificate.scopes[0]", "", "exactly one of", scopes(scope(issuing, policy.Target{}))},
		{"a scope for a group by its name", "certificate.scopes[0]", "", "lower-case GUID", scopes(scope(issuing, policy.Target{Group: "staff"}))},
		{"a scope twice", "certificate.scopes[0]", "certificate.scopes[1]", "twice", scopes(scope(issuing, drawing), scope(issuing, drawing))},
		{"unchecked by name", "certificate.unchecked[0]", "", "Root", func(r *policy.CertificateRules) { r.Unchecked = []string{"Root"} }},
		{"unchecked twice", "certificate.unchecked[0]", "certificate.unchecked[1]", "twice", func(r *policy.CertificateRules) { r.Unchecked = []string{issuing, issuing} }},
		{"hints without a host", "certificate.hints", "certificate.host", "host name", func(r *policy.CertificateRules) { r.Hints = true }},
		{"a host that is none", "certificate.host", "", "host name", func(r *policy.CertificateRules) { r.Host = "https://cert.example/" }},
		{"too many scopes", "certificate.scopes", "", "30", func(r *policy.CertificateRules) {
			for i := range policy.MaxScopes + 1 {
				r.Scopes = append(r.Scopes, scope(issuing, policy.Target{Group: idp.GroupID(guidOf(7, i))}))
			}
		}},
		{"too many levels", "certificate.levels", "", "200", func(r *policy.CertificateRules) {
			for i := range 201 {
				r.Levels = append(r.Levels, policy.CertificateLevel{Policy: "1.2." + strconv.Itoa(i), Mode: multi, Affinity: policy.LowAffinity})
			}
		}},
		{"too many unchecked", "certificate.unchecked", "", "250", func(r *policy.CertificateRules) {
			for i := range 251 {
				r.Unchecked = append(r.Unchecked, issuing[:36]+strconv.Itoa(1000+i))
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := policy.Default()
			if tt.change == nil {
				tt.change = func(r *policy.CertificateRules) { r.Bindings = nil }
				tt.say = "anybody's"
			}
			tt.change(&p.Certificate)
			got := p.Complaints(nil)
			if len(got) != 1 || got[0].At != tt.at || got[0].Other != tt.other || !strings.Contains(got[0].Say, tt.say) {
				t.Errorf("complaints %v, want one at %q and %q that says %q", got, tt.at, tt.other, tt.say)
			}
			if err := p.Check(); !errors.Is(err, idp.Invalid) || idp.AsError(err).Field != tt.at {
				t.Errorf("check: %v", err)
			}
		})
	}
}

// Elsewhere in a policy certificates are refused where people would have to
// give themselves one, and configurations where they name none.
func TestCertificateElsewhere(t *testing.T) {
	narrow := func(issuers, oids []string) func(*policy.Policy) {
		return func(p *policy.Policy) {
			p.Strengths = append(p.Strengths, policy.Strength{ID: "a", Name: "a", Combinations: [][]idp.Mode{{multi}},
				Configurations: []policy.Configuration{{ID: "c", Modes: []idp.Mode{multi}, Issuers: issuers, PolicyOIDs: oids}}})
		}
	}
	for at, change := range map[string]func(*policy.Policy){
		"campaign.method": func(p *policy.Policy) {
			p.Switch(policy.Certificate, true)
			p.Campaign.On, p.Campaign.Method = true, policy.Certificate
		},
		"methods.certificate.include[0].required": func(p *policy.Policy) {
			p.Methods[policy.Certificate] = policy.MethodRules{On: true, Include: []policy.Include{{Target: policy.Target{All: true}, Required: true}}}
		},
		"strengths[4].configurations[0].issuers[1]":    narrow([]string{issuing, "Root"}, nil),
		"strengths[4].configurations[0].policyOIDs[0]": narrow(nil, []string{"low"}),
	} {
		p := policy.Default()
		change(&p)
		if got := p.Complaints(nil); len(got) != 1 || got[0].At != at {
			t.Errorf("%s: %v", at, got)
		}
	}
}

// The form of certificates in testdata is read, checked, written and read again.
func TestCertificateForm(t *testing.T) {
	form, err := os.ReadFile("testdata/certificate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(form, nil)
	if err != nil {
		t.Fatal(idp.AsError(err).Public)
	}
	want := policy.CertificateRules{
		Bindings: []policy.CertificateBinding{
			{Field: policy.FieldSubjectKeyIdentifier, Property: policy.ByCertificateUserIDs, Priority: 1, Affinity: policy.HighAffinity},
			{Field: policy.FieldPrincipalName, Property: policy.ByUserName, Priority: 2, Affinity: policy.LowAffinity},
		},
		Mode: single, Affinity: policy.LowAffinity,
		Levels: []policy.CertificateLevel{
			{Issuer: issuing, Policy: oneOID, Mode: multi, Affinity: policy.HighAffinity},
			{Policy: twoOID, Mode: multi, Affinity: policy.LowAffinity},
			{Issuer: caName, Mode: single, Affinity: policy.LowAffinity},
		},
		Scopes:    []policy.CertificateScope{scope(anchor, policy.Target{Group: staff}), scope(anchor, policy.Target{User: "99999999-9999-4999-8999-999999999999"})},
		Unchecked: []string{aside}, StaleFor: 2 * time.Hour, Hints: true, Host: "cert.contoso.example", NoUsage: true,
	}
	if diff := cmp.Diff(want, p.Certificate); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	out, err := policy.Format(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := policy.Parse(out, nil)
	if diff := cmp.Diff(p, again); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s\n%s", err, diff, out)
	}
}

func TestCertificateFormRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ form, at, say string }{
		"an unknown word":     {"certificate:\n  bindings:\n    - {field: principalName, property: userPrincipalName, priority: 1, affinity: low}\n", "certificate.bindings[0].field", `"principalName" is not one of PrincipalName`},
		"an unknown member":   {"certificate:\n  levels:\n    - {oid: 1.2.3, mode: x509CertificateMultiFactor, affinity: low}\n", "certificate.levels[0].oid", "there are affinity, issuer, mode, policy"},
		"no certificate's":    {"certificate:\n  levels:\n    - {policy: 1.2.3, mode: fido2, affinity: low}\n", "certificate.levels[0].mode", `"fido2" is not one of x509CertificateSingleFactor, x509CertificateMultiFactor`},
		"a number for a mode": {"certificate: {mode: 2}\n", "certificate.mode", "text"},
		"a scope of two":      {"certificate:\n  scopes:\n    - {authority: ab12, all: true, group: " + string(staff) + "}\n", "certificate.scopes[0]", "exactly one"},
	} {
		_, err := policy.Parse([]byte(tt.form), nil)
		if e := idp.AsError(err); err == nil || e.Field != tt.at || !strings.Contains(e.Public, tt.say) {
			t.Errorf("%s: %v: %s", name, err, idp.AsError(err).Public)
		}
	}
	// Key identifiers are read in any letter case.
	p, err := policy.Parse([]byte("certificate:\n  unchecked: [AB12]\n  levels:\n    - {issuer: AB12, mode: x509CertificateMultiFactor, affinity: low}\n  scopes:\n    - {authority: AB12, all: true}\n"), nil)
	if err != nil || p.Certificate.Unchecked[0] != "ab12" || p.Certificate.Levels[0].Issuer != "ab12" || p.Certificate.Scopes[0].Authority != "ab12" {
		t.Errorf("%v: %+v", err, p.Certificate)
	}
}

// Policies that were stored before certificates had rules mean what they meant.
func TestOldPoliciesHaveDefaults(t *testing.T) {
	for _, doc := range []string{`{}`, `{"passkey":{"limit":5,"warnAt":4}}`, `{"settings":{"passkey.limit":"5","passkey.warnAt":"4"}}`} {
		p, err := policy.Decode(doc)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(policy.Default().Certificate, p.Certificate); diff != "" {
			t.Errorf("%s (-want +got):\n%s", doc, diff)
		}
	}
	// And what nobody touched is not stored: an older program reads it still.
	p := policy.Default()
	p.Passkey.Limit = 19
	doc, err := policy.Encode(p)
	if err != nil || strings.Contains(doc, "certificate") {
		t.Errorf("%s, %v", doc, err)
	}
}

func TestCertificateDifferences(t *testing.T) {
	p := policy.Default()
	for name, value := range map[string]string{
		"certificate.mode": string(multi), "certificate.staleFor": "1h", "certificate.host": "cert.contoso.example", "certificate.hints": "true",
		"certificate.noUsage": "true", "certificate.anyUsage": "true",
	} {
		if err := p.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	p.Certificate.Scopes = []policy.CertificateScope{scope(anchor, policy.Target{Group: staff})}
	var got []string
	for _, d := range differences(t, policy.Default(), p) {
		got = append(got, d.At+" "+d.Old+"→"+d.New)
	}
	want := []string{
		`certificate.anyUsage false→true`,
		`certificate.hints false→true`,
		`certificate.host ""→"cert.contoso.example"`,
		`certificate.mode "x509CertificateSingleFactor"→"x509CertificateMultiFactor"`,
		`certificate.noUsage false→true`,
		`certificate.scopes →[{"authority":"` + anchor + `","group":"` + string(staff) + `"}]`,
		`certificate.staleFor "0s"→"1h0m0s"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if groups := p.NamedGroups(); !slices.Equal(groups, []idp.GroupID{staff}) {
		t.Errorf("names %v", groups)
	}
	c := p.Clone()
	c.Certificate.Scopes[0].Group, c.Certificate.Bindings[0].Priority = admins, 7
	if p.Certificate.Scopes[0].Group != staff || p.Certificate.Bindings[0].Priority != 1 {
		t.Error("changing a clone changed its original")
	}
}

func TestExplainCertificate(t *testing.T) {
	const met, refused, idle = policy.Met, policy.Refused, policy.NotAsked
	for _, tt := range []struct {
		name   string
		change func(*policy.CertificateRules)
		proof  idp.Proof
		want   []policy.Check
	}{
		{"no rules", func(*policy.CertificateRules) {}, cardProof(single, card()), []policy.Check{
			{Rule: "certificate.scopes", Result: idle, Reason: "asks_nothing"}, {Rule: "certificate.affinity", Result: idle, Reason: "asks_nothing"},
			{Rule: "certificate.mode", Result: met, Reason: "certificate_single"}}},
		{"all met", func(r *policy.CertificateRules) {
			r.Scopes = []policy.CertificateScope{scope(anchor, policy.Target{All: true})}
			r.Levels = []policy.CertificateLevel{{Policy: oneOID, Mode: multi, Affinity: policy.HighAffinity}}
		}, cardProof(multi, firm(card(oneOID))), []policy.Check{
			{Rule: "certificate.scopes[0]", Result: met, Reason: "certificate_scoped"}, {Rule: "certificate.levels[0].affinity", Result: met, Reason: "certificate_affinity_high"},
			{Rule: "certificate.levels[0]", Result: met, Reason: "certificate_multi"}}},
		{"all refused", func(r *policy.CertificateRules) {
			r.Scopes = []policy.CertificateScope{scope(anchor, policy.Target{Group: leavers})}
			r.Affinity = policy.HighAffinity
		}, cardProof(multi, card(oneOID)), []policy.Check{
			{Rule: "certificate.scopes[0]", Result: refused, Reason: "certificate_not_scoped"}, {Rule: "certificate.affinity", Result: refused, Reason: "certificate_affinity_low"},
			{Rule: "certificate.mode", Result: refused, Reason: "certificate_counts_for_less"}}},
		{"scopes of others", func(r *policy.CertificateRules) {
			r.Scopes = []policy.CertificateScope{scope(aside, policy.Target{Group: leavers})}
		},
			cardProof(single, card()), []policy.Check{{Rule: "certificate.scopes", Result: idle, Reason: "other_authorities"}}},
	} {
		p := policy.Default()
		p.Switch(policy.Certificate, true)
		tt.change(&p.Certificate)
		got := policy.Explain(p, question(tt.proof))
		for _, want := range tt.want {
			if !slices.Contains(got, want) {
				t.Errorf("%s: no %+v in %+v", tt.name, want, got)
			}
		}
	}
}

// A preview says whose certificates a scope stops.
func TestPreviewCertificate(t *testing.T) {
	old := policy.Default()
	old.Switch(policy.Certificate, true)
	next := old.Clone()
	next.Certificate.Scopes = []policy.CertificateScope{scope(anchor, policy.Target{Group: staff})}
	person := func(id idp.UserID, g idp.GroupID) policy.Subject {
		u := ada
		u.ID = id
		return policy.Subject{Who: member(u, g), Keys: []policy.Held{{ID: "c", Method: policy.Certificate, Facts: card()}}}
	}
	got, err := policy.Preview(t.Context(), old, next, each(person("in", staff), person("out", admins)), policy.PreviewOptions{})
	if err != nil || got.Stops != 1 || got.NoWayIn != 1 || got.Lost[0].User.ID != "out" ||
		got.Reasons[policy.Because{Rule: "certificate.scopes[0]", Reason: "certificate_not_scoped"}] != 1 {
		t.Errorf("%v: %+v", err, got)
	}
	boss := person("out", admins)
	if err := policy.LocksOut(old, next, []policy.Subject{boss}, "out"); !errors.Is(err, idp.Denied) || idp.AsError(err).Reason != "locks_out_actor" {
		t.Errorf("an administrator with nothing but a certificate: %v", err)
	}
}

// anyCertificateRules draws rules that Check lets pass.
func anyCertificateRules(t *rapid.T) policy.CertificateRules {
	mode := rapid.SampledFrom([]idp.Mode{single, multi})
	affinity := rapid.SampledFrom([]policy.Affinity{policy.LowAffinity, policy.HighAffinity})
	r := policy.CertificateRules{
		Bindings: []policy.CertificateBinding{
			{Field: policy.FieldSHA1PublicKey, Property: policy.ByCertificateUserIDs, Priority: rapid.IntRange(1, 9).Draw(t, "first"), Affinity: policy.HighAffinity},
			{Field: policy.FieldPrincipalName, Property: policy.ByOnPremisesUserName, Priority: 10, Affinity: policy.LowAffinity},
		},
		Mode: mode.Draw(t, "mode"), Affinity: affinity.Draw(t, "affinity"),
		StaleFor: time.Duration(rapid.IntRange(0, 24).Draw(t, "stale")) * time.Hour,
		NoUsage:  rapid.Bool().Draw(t, "no usage"), AnyUsage: rapid.Bool().Draw(t, "any usage"), Hints: rapid.Bool().Draw(t, "hints"),
	}
	if r.Hints {
		r.Host = "cert.contoso.example"
	}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([][2]string{
		{issuing, ""}, {caName, ""}, {"", oneOID}, {"", twoOID}, {issuing, oneOID}, {caName, oneOID}, {issuing, twoOID}, {aside, ""}, {aside, oneOID},
	}), 0, 5, rapid.ID[[2]string]).Draw(t, "levels") {
		r.Levels = append(r.Levels, policy.CertificateLevel{Issuer: key[0], Policy: key[1], Mode: mode.Draw(t, "level"), Affinity: affinity.Draw(t, "level affinity")})
	}
	targets := []policy.Target{{All: true}, {Group: staff}, {Group: admins}, {User: "99999999-9999-4999-8999-999999999999"}}
	for _, target := range rapid.SliceOfNDistinct(rapid.SampledFrom(targets), 0, 3, rapid.ID[policy.Target]).Draw(t, "scopes") {
		r.Scopes = append(r.Scopes, scope(rapid.SampledFrom([]string{issuing, anchor, aside}).Draw(t, "authority"), target))
	}
	return r
}

// anyCard draws the facts of a certificate.
func anyCard(t *rapid.T) idp.Facts {
	f := card(rapid.SliceOfDistinct(rapid.SampledFrom([]string{oneOID, twoOID}), rapid.ID[string]).Draw(t, "policies")...)
	f.Certificate.High = rapid.Bool().Draw(t, "high")
	return f
}

// One more scope or a stricter affinity never lets anybody in who was not.
func TestTighterCertificateRulesNeverAllow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Default()
		p.Switch(policy.Certificate, true)
		p.Certificate = anyCertificateRules(t)
		f, who := anyCard(t), member(ada, staff)
		before := p.Judge(who, policy.Use, policy.Certificate, &f)
		next := p.Clone()
		next.Certificate.Affinity = policy.HighAffinity
		if !slices.ContainsFunc(p.Certificate.Scopes, func(s policy.CertificateScope) bool { return s.Authority == issuing || s.Authority == anchor }) {
			next.Certificate.Scopes = append(next.Certificate.Scopes, scope(issuing, policy.Target{Group: leavers}))
		}
		if after := next.Judge(who, policy.Use, policy.Certificate, &f); after.Allowed() && !before.Allowed() {
			t.Fatalf("refused by %s before, allowed after", before.Rule)
		}
	})
}
