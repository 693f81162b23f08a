package portal

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// Certificates are asked for at an address of their own, so that nobody else's
// browser asks its person for one; it leads back to ReturnPath with a code
// (decisions 5.6). All of it are plain forms and redirects.

// ReturnPath is where a browser comes back to with what it has shown, under the
// tenant: "flow" is what goAway added to the address that it was sent to, and
// "code" what it got there, or "none" when it showed nothing.
const ReturnPath = "signin/certificate"

// certificate is the method that is answered at another address.
const certificate = policy.Certificate

// away says whether what a flow waits for is fetched by the browser itself:
// there is nothing to show meanwhile, and every other way is as good as before.
func away(f signin.Flow) bool { return f.Waiting != nil && f.Waiting.Method == certificate }

// reachable leaves out the methods that are answered at another address when
// there is none, and lets the forms of the page end there when there is.
func (p *Portal) reachable(r *http.Request, pg *page.Page, f signin.Flow, offers []signin.Offer) ([]signin.Offer, error) {
	elsewhere := func(o signin.Offer) bool { return o.Away }
	if !slices.ContainsFunc(offers, elsewhere) {
		return offers, nil
	}
	if p.cfg.CertificateOrigin != nil {
		origin, err := p.cfg.CertificateOrigin(r.Context(), f.Tenant)
		if err != nil {
			return nil, err
		}
		if origin != "" {
			pg.Also = append(pg.Also, origin)
			return offers, nil
		}
	}
	return slices.DeleteFunc(offers, elsewhere), nil
}

// goAway is POST /{t}/signin/go: a method whose answer the browser fetches. The
// flow is stored, and the browser sent there.
func (p *Portal) goAway(w http.ResponseWriter, r *http.Request) error {
	v, f, peer, err := p.flowForm(w, r)
	if err != nil {
		return err
	}
	m := idp.MethodID(v.Get("method"))
	offers, err := p.cfg.Corridor.Offers(r.Context(), f)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(offers, func(o signin.Offer) bool { return o.Away && o.ID == m }) {
		return idp.Invalidf("method_unknown", "go for method %.40q", m).On("method")
	}
	// Each of them stores a flow, so a source has so many (ADR 0025).
	if ok, _ := p.begins.Allow(web.Source(r) + " " + string(m)); !ok {
		return idp.Limitedf("source_throttled", "go from %s", web.ClientIP(r))
	}
	step, err := p.cfg.Corridor.Ask(r.Context(), f, m, page.Clip(strings.TrimSpace(v.Get("username")), maxUserName), method.Scene{}, peer)
	if err != nil {
		return err
	}
	to, err := target(step.Flow)
	if err != nil {
		return err
	}
	return web.SeeOther(w, r, to)
}

// target is where a browser goes, with the way back.
func target(f signin.Flow) (string, error) {
	var shown struct {
		Go string `json:"go"`
	}
	if err := json.Unmarshal(f.Waiting.Show, &shown); err != nil {
		return "", fmt.Errorf("what %s shows: %w", f.Waiting.Method, err)
	}
	u, err := url.Parse(shown.Go)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%s leads to %q", f.Waiting.Method, shown.Go)
	}
	q := u.Query()
	q.Set("flow", f.Handle())
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// returned is GET /{t}/signin/certificate. Its code is redeemed once, and by the
// browser of the flow alone, whoever was sent the address: a load of it that
// brings nothing new changes nothing.
func (p *Portal) returned(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return wrongMethod([]string{http.MethodGet})(w, r)
	}
	t, err := p.tenant(r)
	if err != nil {
		return err
	}
	q, peer := r.URL.Query(), p.peer(w, r)
	f, err := p.cfg.Corridor.Resume(r.Context(), t.ID, q.Get("flow"), peer)
	if err != nil {
		return err
	}
	in := answered{flow: f, peer: peer, method: certificate}
	switch code := q.Get("code"); {
	case q.Has("none"):
		return p.notLetIn(w, r, in, signin.Step{}, idp.Unprovenf("certificate_none", "the browser showed none"))
	case !away(f) || code == "":
		return p.notLetIn(w, r, in, signin.Step{}, idp.Expiredf("certificate_over", "flow %s waits for none", f.ID))
	default:
		in.ceremony = f.Waiting.Ceremony
		payload, err := json.Marshal(map[string]string{"code": code})
		if err != nil {
			return err
		}
		in.payload = string(payload)
	}
	current, err := p.current(r, f)
	if err != nil {
		return err
	}
	step, err := p.cfg.Corridor.Answer(r.Context(), f, in.method, in.ceremony, []byte(in.payload), current, peer)
	if err != nil {
		return p.notLetIn(w, r, in, step, err)
	}
	p.pages.Keep(w, wayCookie, string(in.method))
	p.remember(r, in, step)
	return p.follow(w, r, step)
}

// notLetIn shows the sign-in page with what was wrong with a certificate and
// every other way in. Nothing is tried again by itself (security.md CBA14). What
// ended the flow, or is a trouble of ours, is told on a page of its own.
func (p *Portal) notLetIn(w http.ResponseWriter, r *http.Request, in answered, step signin.Step, err error) error {
	e := idp.AsError(err)
	switch e.Kind {
	case idp.Unproven, idp.Expired, idp.Denied, idp.Limited:
	default:
		return err
	}
	// A refused answer has ended what the flow waited for; one by somebody else
	// the flow itself.
	f, rerr := p.cfg.Corridor.Resume(r.Context(), in.flow.Tenant, in.flow.Handle(), in.peer)
	if rerr != nil {
		if errors.Is(rerr, idp.Expired) {
			return err
		}
		return rerr
	}
	ws := p.pages.Pick(r)
	t := p.tell(r, ws, e, step.Decision.Refusal.Rule, app{})
	said := &problem{Code: t.Code, Trace: t.Trace, Text: p.aboutBadge(r, ws, f, step, err, t.Text)}
	// Another certificate is no help where none can be checked.
	if len(step.Detail) > 0 && badgeWords[e.Reason] != "badge.unchecked" {
		said.Hint = ws.T("badge.cached")
	}
	said.Facts = badgeFacts(ws, step, e, t)
	return p.showFlow(w, r, f, in.peer, signInView{
		Open: true, choosing: true, shy: certificate, hushed: true, status: t.status, Problem: said,
	})
}

// The details that a record has of a certificate and a page shows to who
// presented it. The room writes them (method.Verdict.Detail).
const (
	detailSubject = "certificateSubject"
	detailIssuer  = "certificateIssuer"
	detailSerial  = "certificateSerial"
)

// badgeWords are the catalogue keys of what a reason is to a person; the same
// for a certificate that is nobody's and one that is several people's.
var badgeWords = map[string]string{
	"certificate_none":             "badge.none",
	"certificate_expired":          "badge.expired",
	"certificate_not_yet_valid":    "badge.early",
	"certificate_revoked":          "badge.revoked",
	"certificate_unknown_issuer":   "badge.unknown",
	"certificate_list_unavailable": "badge.unchecked",
	"certificate_no_user":          "badge.nobody",
	"certificate_ambiguous":        "badge.nobody",
	"certificate_other_person":     "badge.another",
	"certificate_affinity":         "badge.loose",
	"certificate_barred":           "badge.barred",
	"certificate_usage":            "badge.usage",
	"certificate_weak_algorithm":   "badge.weak",
	"certificate_over":             "badge.over",
	"handover_unknown":             "badge.over",
	"handover_late":                "badge.over",
	"handover_of_other":            "badge.over",
	"handover_used":                "badge.over",
}

// aboutBadge says in three sentences what was wrong, why, and what to do.
// otherwise is what the door would say of the error.
func (p *Portal) aboutBadge(r *http.Request, ws *page.Words, f signin.Flow, step signin.Step, err error, otherwise template.HTML) template.HTML {
	e := idp.AsError(err)
	org := p.tenantOf(r.Context(), f.Tenant).Name
	key, known := badgeWords[e.Reason]
	var fault *pkix.Fault
	errors.As(err, &fault)
	// A fault above one's own certificate is nothing that another badge mends.
	above := fault != nil && fault.Cert != nil && len(fault.Path) > 0 && !fault.Cert.Equal(fault.Path[0])
	day := func(at time.Time) template.HTML { return page.When(at, "day") }
	switch {
	case e.Kind == idp.Denied && ruleOf(step) != "":
		return ws.T("badge.rule", "rule", ruleOf(step), "org", org)
	case e.Kind == idp.Denied, e.Kind == idp.Limited, e.Kind == idp.Expired && !known:
		return otherwise
	case above && key != "badge.unchecked" && key != "badge.unknown":
		return ws.T("badge.above", "org", org)
	case key == "badge.revoked":
		var since *pkix.RevokedError
		if errors.As(err, &since) && !since.When.IsZero() {
			return ws.T("badge.revoked.on", "when", day(since.When), "org", org)
		}
	case key == "badge.expired" && fault != nil && fault.Cert != nil:
		return ws.T("badge.expired.on", "when", day(fault.Cert.NotAfter), "org", org)
	case key == "badge.early" && fault != nil && fault.Cert != nil:
		return ws.T("badge.early.on", "when", day(fault.Cert.NotBefore), "org", org)
	case !known && len(step.Detail) > 0:
		key, known = "badge.other", true
	}
	if !known {
		return ws.T("signin.problem.proof")
	}
	return ws.T(key, "org", org)
}

// ruleOf is the rule that kept somebody out, where one did.
func ruleOf(step signin.Step) string {
	if rule := step.Decision.Refusal.Rule; rule != "" {
		return rule
	}
	if step.Detail == nil {
		return ""
	}
	return step.Decision.Rule
}

// badgeFacts are for the help desk, and of nothing but what this browser itself
// has shown.
func badgeFacts(ws *page.Words, step signin.Step, e *idp.Error, t told) []fact {
	var out []fact
	put := func(key, value string) {
		if value != "" {
			out = append(out, fact{ws.T("badge.fact." + key), value})
		}
	}
	put("subject", step.Detail[detailSubject])
	put("issuer", step.Detail[detailIssuer])
	put("serial", step.Detail[detailSerial])
	put("reason", shownReason(e.Reason))
	put("rule", ruleOf(step))
	put("trace", t.Trace)
	return out
}

// shownReason is the word of a refusal as strangers see it: that a certificate is
// several people's would say who is in the directory (security.md T34). The
// record says which it was.
func shownReason(word string) string {
	if word == "certificate_ambiguous" {
		return "certificate_no_user"
	}
	return word
}

// fact is one row of details.
type fact struct {
	Name  template.HTML
	Value string
}
