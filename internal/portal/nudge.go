package portal

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// nudgeView asks somebody who has signed in to add a passkey or a phone.
// They are what there are pages for; the corridor asks for nothing else.
type nudgeView struct {
	Handle, Add string
	Action      string // data-action of the button that adds
	Do          template.HTML
	Why         []reasonToAdd
	Lead        template.HTML
	Again, Left template.HTML // what "not now" means
	Forced      bool          // there is no "not now"
}

func (p *Portal) nudgePage(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) error {
	pg := p.newPage(r, "nudge", p.tenantOf(r.Context(), f.Tenant), "", nil)
	pg.LeadsTo = f.LeadsTo
	v := nudgeView{Handle: step.Handle, Add: flowAddress(f) + "&add=1", Forced: step.Nudge.Forced}
	pg.Title = v.say(pg, step.Nudge, f.ClientName)
	pg.V = v
	return p.show(w, http.StatusOK, pg)
}

// reasonToAdd is one line of why.
type reasonToAdd struct {
	Icon string
	Text template.HTML
}

// say fills in the words of the page and gives its title.
func (v *nudgeView) say(pg *page.Page, n policy.Nudge, app string) (title template.HTML) {
	title = v.what(pg, n.Method, app)
	switch {
	case n.Forced:
		v.Again = pg.T("nudge.forced", "org", pg.OrgName())
		return title
	case n.Days == 0:
		v.Again = pg.T("nudge.again.next")
	default:
		v.Again = pg.N("nudge.again", n.Days)
	}
	if n.Left > 0 {
		v.Left = pg.N("nudge.left", n.Left)
	}
	return title
}

// what says what is to be added, and why.
func (v *nudgeView) what(pg *page.Page, m idp.MethodID, app string) (title template.HTML) {
	if m == policy.Phone {
		v.Action, v.Do = "register-phone", pg.T("phones.add")
		v.Why = []reasonToAdd{{"phone", pg.T("nudge.phone.easy")}, {"check", pg.T("nudge.phone.safe")}, {"clock", pg.T("nudge.phone.quick")}}
		v.Lead = pg.T("nudge.phone.lead", "org", pg.OrgName())
		if app != "" {
			v.Lead = pg.T("nudge.phone.lead.app", "org", pg.OrgName(), "app", app)
		}
		return pg.T("nudge.phone.title")
	}
	v.Action, v.Do = "register-passkey", pg.T("methods.add")
	v.Why = []reasonToAdd{{"passkey", pg.T("nudge.easy")}, {"check", pg.T("nudge.safe")}, {"clock", pg.T("nudge.quick")}}
	v.Lead = pg.T("nudge.lead", "org", pg.OrgName())
	if app != "" {
		v.Lead = pg.T("nudge.lead.app", "org", pg.OrgName(), "app", app)
	}
	return pg.T("nudge.title")
}

// flowAddress is where a stored flow goes on.
func flowAddress(f signin.Flow) string {
	return "/" + string(f.Tenant) + "/signin?" + url.Values{"flow": {f.Handle()}}.Encode()
}

// later is POST /{t}/signin/nudge: "not now".
func (p *Portal) later(w http.ResponseWriter, r *http.Request) error {
	_, f, peer, err := p.flowForm(w, r)
	if err != nil {
		return err
	}
	current, err := p.current(r, f)
	if err != nil {
		return err
	}
	if current == nil {
		return p.showFlow(w, r, f, peer, signInView{})
	}
	step, err := p.cfg.Corridor.Later(r.Context(), f, *current, peer)
	if errors.Is(err, idp.Denied) && idp.AsError(err).Reason == "registration_required" {
		return web.SeeOther(w, r, flowAddress(f)) // the page says that it must be now
	}
	if err != nil {
		return err
	}
	return p.follow(w, r, step)
}

// byPass says whether a session was opened by a pass and by nothing else.
func byPass(s session.Session) bool {
	return !slices.ContainsFunc(s.Proofs, func(p idp.Proof) bool { return p.Method != accessPass })
}

// notAddable says why the person cannot add a passkey by themselves; nothing
// when they can.
func notAddable(pg *page.Page, r policy.Refusal) template.HTML {
	switch {
	case r.Allowed():
		return ""
	case r.Reason == "self_service_off":
		return pg.T("methods.desk", "org", pg.OrgName())
	}
	return pg.T("methods.not_yours", "org", pg.OrgName())
}
