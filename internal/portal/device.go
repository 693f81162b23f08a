package portal

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// Remote is what the OpenID door does about sign-ins on other machines (RFC
// 8628). All of it belongs to the person of the session; to others, and when it
// is over, it is idp.NotFound or idp.Expired.
type Remote struct {
	// Claim takes a code that was typed and gives the id to go on with. What
	// no machine shows is Invalid on "user_code", or Conflict.
	Claim func(ctx context.Context, s session.Session, typed string, from signin.Peer) (id string, err error)
	// Asking says who asks.
	Asking func(ctx context.Context, s session.Session, id string) (Asking, error)
	// Flow is what the person goes through to allow it. Its door's Resume
	// ends at Settled.
	Flow func(ctx context.Context, s session.Session, id string) (signin.Flow, error)
	// Deny takes a no.
	Deny func(ctx context.Context, s session.Session, id string, from signin.Peer) error
}

// Asking is a machine that asks to be let in, as far as it is known.
type Asking struct {
	State     AskingState
	App       string
	Scopes    []string
	IP, Agent string
	Since     time.Time
	Registers bool          // it may become a device of the organisation
	Waiting   time.Duration // since the code was typed
}

// AskingState says how far it is.
type AskingState string

// The states.
const (
	AskingNobody  AskingState = "open"    // no machine has shown the code yet
	AskingMet     AskingState = "met"     // a machine waits for an answer
	AskingAllowed AskingState = "allowed" // the person said yes
	AskingDenied  AskingState = "denied"  // the person said no
)

// devicePath is where codes are typed.
const devicePath = "/device"

// A machine asks every five seconds, or a little less often. The page looks
// again until one came, and says after a while what may be wrong.
const (
	lateMachine = 20 * time.Second
	noMachine   = 90 * time.Second
)

// deviceView is the page in each of its states.
type deviceView struct {
	State         AskingState // empty: the code is to be typed
	Session       idp.SessionID
	ID, Typed     string
	Lead          template.HTML
	Bad           template.HTML
	Late          bool
	Look          string // where the page looks again; empty: not any more
	Machine       template.HTML
	MachineIcon   string
	Raw, IP       string
	Since, Caught template.HTML // Caught: why to look twice
	Grants        []grant
}

func (p *Portal) deviceVisitor(w http.ResponseWriter, r *http.Request, id string) (*visit, web.HandlerFunc, error) {
	if p.cfg.Remote.Claim == nil {
		return nil, nil, idp.NotFoundf("page_unknown", "no device codes here")
	}
	v, _, err := p.owner(w, r, id)
	if err != nil || v != nil {
		return v, nil, err
	}
	all, err := p.cfg.Sessions.AllFromRequest(r.Context(), r)
	if err != nil || len(all) == 0 {
		return nil, p.deviceSignIn, err
	}
	return nil, func(w http.ResponseWriter, r *http.Request) error { return p.pickFor(w, r, devicePath) }, nil
}

// deviceSignIn leads to a sign-in that ends at the page.
func (p *Portal) deviceSignIn(w http.ResponseWriter, r *http.Request) error {
	tenants, err := p.cfg.Directory.Tenants(r.Context())
	if err != nil {
		return err
	}
	if len(tenants) == 1 {
		return web.SeeOther(w, r, "/"+string(tenants[0].ID)+"/signin?to=device")
	}
	return p.orgPage(w, r, http.StatusOK, orgView{To: "device"})
}

// devicePage is GET /device: the field for the code, or how far it is.
func (p *Portal) devicePage(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if q.Get("other") != "" {
		return p.orgPage(w, r, http.StatusOK, orgView{To: "device"})
	}
	v, instead, err := p.deviceVisitor(w, r, q.Get("session"))
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	id := q.Get("id")
	if id == "" {
		return p.deviceForm(w, r, v, http.StatusOK, "", "")
	}
	a, err := p.cfg.Remote.Asking(r.Context(), v.session, id)
	if err != nil {
		return err
	}
	return p.showAsking(w, r, v, id, a)
}

// deviceForm is the field, with what is wrong about what was typed.
func (p *Portal) deviceForm(w http.ResponseWriter, r *http.Request, v *visit, status int, typed string, bad template.HTML) error {
	pg := p.newPage(r, "device", v.tenant, "", nil)
	pg.Title = pg.T("device.title")
	pg.V = deviceView{Session: v.session.ID, Typed: page.Clip(typed, 32), Bad: bad, Lead: youAre(pg, v)}
	return p.show(w, status, pg)
}

func youAre(pg *page.Page, v *visit) template.HTML {
	return pg.T("consent.lead", "name", shownName(v.user), "user", v.user.Name)
}

// showAsking is the page from the moment that a code was typed.
func (p *Portal) showAsking(w http.ResponseWriter, r *http.Request, v *visit, id string, a Asking) error {
	pg := p.newPage(r, "device", v.tenant, "", nil)
	view := deviceView{State: a.State, Session: v.session.ID, ID: id, Late: a.Waiting > lateMachine, Lead: youAre(pg, v)}
	switch a.State {
	case AskingNobody:
		pg.Title = pg.T("device.wait.title")
		if a.Waiting < noMachine {
			view.Look = deviceAddress(v.session.ID, id)
		}
	case AskingMet:
		pg.Title = pg.T("device.ask.title", "app", a.App)
		view.met(pg, a, web.SourceOf(v.peer.IP) == web.SourceOf(a.IP))
	case AskingAllowed:
		pg.Title = pg.T("device.done.title")
		view.Lead = pg.T("device.done.lead", "app", a.App)
	default:
		pg.Title = pg.T("device.denied.title")
		view.Lead = pg.T("device.denied.lead")
	}
	pg.V = view
	return p.show(w, http.StatusOK, pg)
}

// met fills in who asks. here says that it asks from where this browser is; of
// any other place a person should think twice (security.md T15).
func (v *deviceView) met(pg *page.Page, a Asking, here bool) {
	v.Machine, v.MachineIcon = template.HTML(template.HTMLEscapeString(page.SystemName(pg, a.Agent))), page.AgentIcon(a.Agent)
	v.Raw, v.IP, v.Since = page.Clip(a.Agent, 80), a.IP, page.When(a.Since, "start")
	if !here {
		v.Caught = pg.T("device.ask.elsewhere", "ip", a.IP)
	}
	if a.Registers {
		v.Grants = append(v.Grants, grant{"laptop", pg.T("device.ask.registers", "org", pg.OrgName())})
	}
	for _, s := range a.Scopes {
		if strings.HasSuffix(s, "/user_impersonation") {
			continue // what that is worth was just said, or is nothing
		}
		v.Grants = append(v.Grants, grantOf(pg, s))
	}
}

func deviceAddress(s idp.SessionID, id string) string {
	return devicePath + "?" + url.Values{"session": {string(s)}, "id": {id}}.Encode()
}

// deviceClaim is POST /device: a code was typed.
func (p *Portal) deviceClaim(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.deviceInput(w, r)
	if err != nil || instead != nil {
		return orInstead(w, r, instead, err)
	}
	typed := form.Get("user_code")
	id, err := p.cfg.Remote.Claim(r.Context(), v.session, typed, v.peer)
	words := p.pages.Pick(r)
	switch {
	case errors.Is(err, idp.Invalid):
		return p.deviceForm(w, r, v, http.StatusBadRequest, typed, words.T("device.problem.code"))
	case errors.Is(err, idp.Conflict):
		return p.deviceForm(w, r, v, http.StatusConflict, typed, words.T("device.problem.taken"))
	case errors.Is(err, idp.Limited):
		return p.deviceForm(w, r, v, http.StatusTooManyRequests, typed, words.T("device.problem.limited"))
	case err != nil:
		return err
	}
	return web.SeeOther(w, r, deviceAddress(v.session.ID, id))
}

// deviceAnswer is POST /device/answer: yes or no.
func (p *Portal) deviceAnswer(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.deviceInput(w, r)
	if err != nil || instead != nil {
		return orInstead(w, r, instead, err)
	}
	id := form.Get("id")
	switch form.Get("decision") {
	case "deny":
		if err := p.cfg.Remote.Deny(r.Context(), v.session, id, v.peer); err != nil {
			return err
		}
		return web.SeeOther(w, r, deviceAddress(v.session.ID, id))
	case "allow":
	default:
		return idp.Invalidf("decision_unknown", "decision %.20q", form.Get("decision")).On("decision")
	}
	f, err := p.cfg.Remote.Flow(r.Context(), v.session, id)
	if err != nil {
		return err
	}
	step, err := p.cfg.Corridor.Next(r.Context(), f, &v.session, v.peer)
	if err != nil {
		return err
	}
	return p.SignIn(w, r, step.Flow, step)
}

// Settled leads back to the page when the flow of Remote.Flow is over. The
// OpenID door calls it with the session that the flow ended with.
func (p *Portal) Settled(w http.ResponseWriter, r *http.Request, s session.Session, id string) error {
	return web.SeeOther(w, r, deviceAddress(s.ID, id))
}

func (p *Portal) deviceInput(w http.ResponseWriter, r *http.Request) (url.Values, *visit, web.HandlerFunc, error) {
	form, err := web.Form(w, r)
	if err != nil {
		return nil, nil, nil, err
	}
	v, instead, err := p.deviceVisitor(w, r, form.Get("session"))
	return form, v, instead, err
}

func orInstead(w http.ResponseWriter, r *http.Request, instead web.HandlerFunc, err error) error {
	if err != nil {
		return err
	}
	return instead(w, r)
}
