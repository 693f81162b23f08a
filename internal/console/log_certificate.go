package console

import (
	"html/template"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// certificateTold is what a record says of the certificate of a sign-in: what it
// is, which binding found whose it is, and which rule said what it counts for
// (entra-behaviours.md §5.8).
func certificateTold(pg *page.Page, p *policy.Policy, e audit.Event) []pair {
	if e.Method != policy.Certificate {
		return nil
	}
	var out []pair
	add := func(key string, value template.HTML) {
		if value != "" {
			out = append(out, pair{pg.T("log.cert." + key), value})
		}
	}
	text := func(key, detail string) {
		if value := e.Detail[detail]; value != "" {
			add(key, code(value))
		}
	}
	text("subject", "certificateSubject")
	text("issuer", "certificateIssuer")
	text("serial", "certificateSerial")
	text("thumbprint", "certificateThumbprint")
	add("policies", codes(strings.Fields(e.Detail["certificatePolicies"])))
	add("binding", escaped(e.Detail["certificateBinding"]))
	if word := e.Detail["certificateAffinity"]; word != "" {
		text, ok := known(pg, "policy.certificate.affinity."+word)
		if !ok {
			text = code(word)
		}
		add("affinity", text)
	}
	if word := e.Detail["certificateLevel"]; word != "" {
		text, ok := known(pg, "log.cert.level."+word)
		if !ok {
			text = code(word)
		}
		add("level", text)
	}
	if rule := e.Detail["certificateRule"]; rule != "" {
		add("rule", ruleName(pg, p, rule))
	}
	return out
}

func codes(all []string) template.HTML {
	var parts []string
	for _, one := range all {
		parts = append(parts, string(code(one)))
	}
	return template.HTML(strings.Join(parts, ", "))
}

// certificateRule names a rule about certificates by its place; false: it is
// none.
func certificateRule(pg *page.Page, rule string) (template.HTML, bool) {
	rest, ok := strings.CutPrefix(rule, "certificate.")
	if !ok {
		return "", false
	}
	if i, ok := indexIn(rest, "levels"); ok {
		if strings.HasSuffix(rest, ".affinity") {
			return pg.T("log.cert.rule.level.affinity", "n", i+1), true
		}
		return pg.T("log.cert.rule.level", "n", i+1), true
	}
	if strings.HasPrefix(rest, "scopes") {
		return pg.T("log.cert.rule.scope"), true
	}
	if strings.HasPrefix(rest, "bindings") {
		return pg.T("log.cert.rule.bindings"), true
	}
	switch rest {
	case "mode":
		return pg.T("log.cert.rule.mode"), true
	case "affinity":
		return pg.T("log.cert.rule.affinity"), true
	}
	return "", false
}
