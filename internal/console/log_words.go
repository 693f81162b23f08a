package console

import (
	"html/template"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// known gives a text of the catalogue; ok is false when there is none of that
// key.
func known(pg *page.Page, key string, pairs ...any) (text template.HTML, ok bool) {
	text = pg.T(key, pairs...)
	return text, string(text) != template.HTMLEscapeString(key)
}

func escaped(s string) template.HTML { return template.HTML(template.HTMLEscapeString(s)) }

// code is text of a machine's, or of a stranger's: what cannot be seen in it
// stands there as an escape (security.md LOG02).
func code(s string) template.HTML {
	return template.HTML("<code>" + template.HTMLEscapeString(audit.Clean(s, len(s))) + "</code>")
}

// resultOf is the result of a record in a word, and the shape that goes with
// it.
func resultOf(pg *page.Page, e audit.Event) (state string, word template.HTML) {
	if word, ok := known(pg, "log.done."+e.Activity+"."+e.Outcome); ok {
		return stateOf(verdictOf(e)), word
	}
	return stateOf(verdictOf(e)), pg.T("log.verdict." + string(verdictOf(e)))
}

func stateOf(v verdict) string {
	switch v {
	case letIn, saidYes:
		return "good"
	case halfway:
		return "warn"
	case left:
		return "off"
	}
	return "bad"
}

// whyOf is the rule that decided, or the reason when none was asked.
func whyOf(pg *page.Page, p *policy.Policy, e audit.Event) template.HTML {
	switch {
	case e.Outcome == audit.Success:
		return ""
	case e.Rule != "" && e.Reason != "consent_needed":
		return pg.T("log.by", "rule", ruleName(pg, p, e.Rule))
	case e.Reason != "":
		return reasonShort(pg, e.Reason)
	}
	return ""
}

// reasonShort is a reason in a few words; the word of the record when it has
// none.
func reasonShort(pg *page.Page, reason string) template.HTML {
	if text, ok := known(pg, "log.reason."+reason); ok {
		return text
	}
	return code(reason)
}

// because says in a sentence why a rule was met, refused or not asked.
func because(pg *page.Page, c policy.Check) template.HTML {
	if text, ok := known(pg, "log.because."+c.Reason); ok {
		return text
	}
	return reasonShort(pg, c.Reason)
}

// ruleName names a rule as people do. A place that it does not know is shown
// as it stands in the record.
func ruleName(pg *page.Page, p *policy.Policy, rule string) template.HTML {
	if text, ok := known(pg, "log.rule."+rule); ok {
		return text
	}
	if text, ok := certificateRule(pg, rule); ok {
		return text
	}
	if rest, ok := strings.CutPrefix(rule, "methods."); ok {
		m, _, _ := strings.Cut(strings.SplitN(rest, "[", 2)[0], ".")
		if strings.HasSuffix(rest, ".on") {
			return pg.T("log.rule.on", "method", methodName(pg, idp.MethodID(m)))
		}
		return pg.T("log.rule.who", "method", methodName(pg, idp.MethodID(m)))
	}
	if rest, ok := strings.CutPrefix(rule, "passkey.profiles."); ok {
		id, _, _ := strings.Cut(rest, ".")
		for _, profile := range p.Passkey.Profiles {
			if profile.ID == id {
				return escaped(profile.Name)
			}
		}
		return pg.T("log.rule.profile.gone")
	}
	for prefix, key := range map[string]string{"app.strength.": "log.rule.app", "strength.": "log.rule.asked"} {
		if id, ok := strings.CutPrefix(rule, prefix); ok {
			name := id
			if s, found := p.Strength(id); found {
				name = s.Name
			}
			return pg.T(key, "strength", name)
		}
	}
	return code(rule)
}

// ruleAbout says in a few words what a rule is for.
func ruleAbout(pg *page.Page, rule string) template.HTML {
	if rule == "app.strength" || rule == "strength" {
		return "" // their names say it
	}
	for _, one := range []struct{ prefix, key string }{
		{"app.strength", "log.about.app"}, {"strength.default", "log.about.default"}, {"strength", "log.about.request"}, {"prompt.login", "log.about.request"},
		{"max_age", "log.about.request"}, {"passkey.profiles.", "log.about.profile"}, {"passkey", "log.about.everybody"}, {"methods.", "log.about.everybody"},
		{"accessPass", "log.about.everybody"}, {"phone", "log.about.everybody"}, {"certificate", "log.about.everybody"}, {"user.", "log.about.person"}, {"consent", "log.about.person"},
	} {
		if strings.HasPrefix(rule, one.prefix) {
			return pg.T(one.key)
		}
	}
	return ""
}

// modesName names the modes of one combination.
func modesName(pg *page.Page, combination []idp.Mode) template.HTML {
	var parts []string
	for _, m := range combination {
		if text, ok := known(pg, "log.mode."+string(m)); ok {
			parts = append(parts, string(text))
			continue
		}
		parts = append(parts, string(code(string(m))))
	}
	return template.HTML(strings.Join(parts, string(pg.T("log.mode.and"))))
}

// countsAs says what a proof is worth: the best thing that is true of it, and
// what is not.
func countsAs(pg *page.Page, p idp.Proof) template.HTML {
	switch {
	case p.Mode == idp.ModeCertificateMulti:
		return pg.T("log.counts.certificate.multi")
	case p.Mode == idp.ModeCertificateSingle:
		return pg.T("log.counts.certificate")
	case p.Has(idp.PhishingResistant) && p.Has(idp.HardwareBound):
		return pg.T("log.counts.hardware")
	case p.Has(idp.PhishingResistant) && p.Facts.Synced:
		return pg.T("log.counts.synced")
	case p.Has(idp.PhishingResistant):
		return pg.T("log.counts.bound")
	case p.Mode == idp.ModeAccessPassOnce || p.Mode == idp.ModeAccessPassMany:
		return pg.T("log.counts.pass")
	case p.Has(idp.MultiFactor):
		return pg.T("log.counts.passwordless")
	}
	return pg.T("log.counts.single")
}
