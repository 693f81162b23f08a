package console

import (
	"cmp"
	"context"
	"crypto/x509"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/trust"
)

// testView is the tester: a certificate goes in, and what would become of a
// sign-in with it comes out. Nothing is stored.
type testView struct {
	Tabs    []tabView
	Paste   string
	Problem template.HTML
	Answer  *answerView
}

// answerView is the answer, straight down.
type answerView struct {
	State   string
	Verdict template.HTML
	Person  groupLink // whom it would sign in; without a name: nobody
	Steps   []stepView
	Rest    []stepView // what else is known, behind a step that failed
	Facts   []pair
	IDs     []template.HTML // values of certificateUserIds that could name it
}

type stepView struct {
	State string
	Title template.HTML
	Text  template.HTML
	Also  []template.HTML
}

func (c *Console) certTestPage(_ context.Context, v *visit) error {
	return v.certTestShow(http.StatusOK, testView{})
}

func (v *visit) certTestShow(status int, view testView) error {
	pg := v.page("certtest", v.words().T("certificates.test.title"), nil)
	view.Tabs = v.certTabs(pg, certTestPath)
	pg.V = view
	return v.show(status, pg)
}

func (c *Console) certTest(ctx context.Context, v *visit) error {
	certs, problem := v.certificatesSent("certificates.test.nothing")
	view := testView{Paste: v.pasted(), Problem: problem}
	if problem != "" {
		return v.certTestShow(http.StatusBadRequest, view)
	}
	// One that may not stand above others is what somebody holds; the rest helps
	// to build its path.
	slices.SortStableFunc(certs, func(a, b *x509.Certificate) int { return boolInt(a.IsCA) - boolInt(b.IsCA) })
	known, err := c.cfg.Explain(ctx, v.tenant.ID, certs[:min(len(certs), 1+trust.MaxSent)])
	if err != nil {
		return err
	}
	p, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	cas, err := v.authorities(ctx)
	if err != nil {
		return err
	}
	w := testing509{pg: v.page("certtest", "", nil), p: &p, cas: cas, x: known}
	view.Answer = w.answer()
	view.Paste = ""
	return v.certTestShow(http.StatusOK, view)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// testing509 is an explanation on its way into words.
type testing509 struct {
	pg  *page.Page
	p   *policy.Policy
	cas []trust.Authority
	x   certificate.Explained
}

func (w testing509) answer() *answerView {
	out := &answerView{State: "bad", Facts: w.facts()}
	failed := false
	for _, s := range w.x.Steps {
		view := w.step(s)
		if failed {
			if s.Outcome != certificate.Unknown {
				out.Rest = append(out.Rest, view)
			}
			continue
		}
		failed = s.Outcome == certificate.Failed
		out.Steps = append(out.Steps, view)
	}
	for _, id := range w.x.UserIDs {
		out.IDs = append(out.IDs, code(id)) // whole: they are there to be copied
	}
	switch {
	case w.x.Good:
		out.State = "good"
		out.Person = groupLink{cmp.Or(w.x.User.DisplayName, w.x.User.Name), "/admin/people/" + string(w.x.User.ID)}
		out.Verdict = w.pg.T("certificates.test.good."+string(w.x.Mode), "name", out.Person.Name)
	default:
		out.Verdict = w.pg.T("certificates.test.bad", "why", w.reason(w.x.Reason))
	}
	return out
}

// reason says in a sentence why a step failed.
func (w testing509) reason(reason string) template.HTML {
	if text, ok := known(w.pg, "log.because."+reason); ok {
		return text
	}
	return w.pg.T("log.reason.is", "reason", reasonShort(w.pg, reason))
}

// values gives what a step knows, by key.
func valuesOf(s certificate.Step, key string) (out []string) {
	for _, v := range s.Values {
		if v.Key == key {
			out = append(out, v.Text)
		}
	}
	return out
}

func valueOf(s certificate.Step, key string) string {
	if all := valuesOf(s, key); len(all) > 0 {
		return all[0]
	}
	return ""
}

// detailOf is what stands behind a reason, without the reason's own word.
func detailOf(s certificate.Step) string {
	detail := strings.TrimPrefix(valueOf(s, "detail"), "path: ")
	word, rest, ok := strings.Cut(detail, ": ")
	if !ok || strings.Contains(word, " ") {
		return ""
	}
	return rest
}

func whenOf(s certificate.Step, key string) template.HTML {
	at, err := time.Parse(time.RFC3339, valueOf(s, key))
	if err != nil {
		return "–"
	}
	return page.When(at, "")
}

var outcomes = map[certificate.Outcome]string{certificate.Passed: "good", certificate.Failed: "bad", certificate.Skipped: "off", certificate.Unknown: "off"}

// step puts one step into words.
func (w testing509) step(s certificate.Step) stepView {
	pg := w.pg
	out := stepView{State: outcomes[s.Outcome], Title: pg.T("certificates.step." + s.Key)}
	if s.Outcome == certificate.Failed {
		out.Text = w.reason(s.Reason)
		if about := valueOf(s, "certificate"); about != "" {
			out.Also = append(out.Also, pg.T("certificates.step.about", "name", code(about)))
		}
		if detail := detailOf(s); detail != "" {
			out.Also = append(out.Also, escaped(cut(detail, 300)))
		}
	}
	switch s.Key {
	case certificate.StepPath:
		w.path(s, &out)
	case certificate.StepTime:
		times := pg.T("certificates.step.time.is", "from", whenOf(s, "notBefore"), "to", whenOf(s, "notAfter"))
		if s.Outcome == certificate.Passed {
			out.Text = times
		} else {
			out.Also = append([]template.HTML{times}, out.Also...)
		}
	case certificate.StepRevocation:
		w.revocation(s, &out)
	case certificate.StepLevel:
		w.level(s, &out)
	case certificate.StepBinding:
		w.binding(s, &out)
	case certificate.StepPerson:
		if s.Outcome == certificate.Passed {
			out.Text = pg.T("certificates.step.person.is", "name", cmp.Or(valueOf(s, "displayName"), valueOf(s, "userPrincipalName")), "user", valueOf(s, "userPrincipalName"))
		}
	case certificate.StepBar:
		if s.Outcome == certificate.Passed {
			out.Text = pg.T("certificates.step.bar.no")
		}
	case certificate.StepPolicy:
		if rule := valueOf(s, "rule"); rule != "" {
			out.Also = append(out.Also, pg.T("certificates.step.policy.rule", "rule", ruleName(pg, w.p, rule)))
		}
		if s.Outcome == certificate.Passed {
			out.Text = pg.T("certificates.step.policy.yes")
		}
	}
	return out
}

func (w testing509) path(s certificate.Step, out *stepView) {
	pg := w.pg
	if s.Outcome == certificate.Passed {
		out.Text = pg.T("certificates.step.path.is")
	}
	var chain []string
	for _, one := range valuesOf(s, "chain") {
		chain = append(chain, string(code(one)))
	}
	if len(chain) > 1 || s.Outcome != certificate.Passed && len(chain) > 0 {
		out.Also = append(out.Also, pg.T("certificates.step.path.chain", "chain", template.HTML(strings.Join(chain, " ← "))))
	}
	if names := valuesOf(s, "authority"); len(names) > 0 {
		out.Also = append(out.Also, pg.T("certificates.step.path.known", "names", strings.Join(names, ", ")))
	}
	if oids := valueOf(s, "policies"); oids != "" {
		out.Also = append(out.Also, pg.T("certificates.step.path.policies", "oids", code(oids)))
	}
}

func (w testing509) revocation(s certificate.Step, out *stepView) {
	pg := w.pg
	if s.Outcome != certificate.Passed {
		return
	}
	about := code(valueOf(s, "certificate"))
	switch by := valueOf(s, "by"); {
	case by == trust.Unchecked:
		out.State, out.Text = "warn", pg.T("certificates.step.revocation.unchecked", "name", about)
	case by == trust.ByOCSP:
		out.Text = pg.T("certificates.step.revocation.ocsp", "name", about, "ca", w.nameOf(valueOf(s, "authority")))
	case valueOf(s, "stale") != "":
		out.State, out.Text = "warn", pg.T("certificates.step.revocation.stale", "name", about, "ca", w.nameOf(valueOf(s, "authority")), "when", whenOf(s, "nextUpdate"))
	default:
		out.Text = pg.T("certificates.step.revocation.crl", "name", about, "ca", w.nameOf(valueOf(s, "authority")), "when", whenOf(s, "thisUpdate"), "until", whenOf(s, "nextUpdate"))
	}
}

// nameOf is what a CA is called.
func (w testing509) nameOf(id string) template.HTML {
	if i := slices.IndexFunc(w.cas, func(a trust.Authority) bool { return string(a.ID) == id }); i >= 0 {
		return escaped(w.cas[i].Name)
	}
	return w.pg.T("certificates.ca.sent")
}

func (w testing509) level(s certificate.Step, out *stepView) {
	if s.Outcome != certificate.Passed {
		return
	}
	pg := w.pg
	mode := idp.Mode(valueOf(s, "mode"))
	if !slices.Contains(certificateModes, mode) {
		out.Text = code(string(mode))
		return
	}
	out.Text = pg.T("certificates.step.level."+string(mode), "rule", ruleName(pg, w.p, valueOf(s, "rule")))
	if policy.Affinity(valueOf(s, "affinity")) == policy.HighAffinity {
		out.Also = append(out.Also, pg.T("certificates.step.level.high"))
	}
}

func (w testing509) binding(s certificate.Step, out *stepView) {
	pg := w.pg
	field, property := fieldName(pg, policy.CertificateField(valueOf(s, "field"))), propertyName(pg, policy.UserProperty(valueOf(s, "property")))
	out.Title = pg.T("certificates.step.binding.of", "n", valueOf(s, "priority"), "field", field, "property", property)
	reason := s.Reason
	if s.Outcome == certificate.Passed {
		reason = "found"
	}
	if text, ok := known(pg, "certificates.binding."+reason); ok {
		out.Text = text
	} else {
		out.Text = code(reason)
	}
	for _, value := range valuesOf(s, "value") {
		out.Also = append(out.Also, pg.T("certificates.step.value", "value", code(cut(value, 300))))
	}
}

// facts is what the certificate says of itself.
func (w testing509) facts() []pair {
	c := w.x.Certificate
	var out []pair
	add := func(key string, value template.HTML) {
		if value != "" {
			out = append(out, pair{w.pg.T("certificates.fact." + key), value})
		}
	}
	text := func(key, value string) {
		if value != "" {
			add(key, code(value))
		}
	}
	text("subject", c.Subject)
	text("issuer", c.Issuer)
	for _, n := range c.Names {
		if label, ok := known(w.pg, "certificates.name."+n.Key); ok {
			out = append(out, pair{label, code(cut(n.Text, 300))})
		}
	}
	text("serial", c.Serial)
	text("thumbprint1", c.Thumbprint)
	text("thumbprint", c.SHA256)
	return out
}
