package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/page"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// Door is the word by which flows of the account pages are known to the
// corridor.
const Door = "account"

// visit is a request to an account page: whose it is.
type visit struct {
	session session.Session
	user    idp.User
	tenant  idp.Tenant
	several bool // other persons are signed in here too
	peer    signin.Peer
}

// visitor finds the session that a request to the account pages is about: the
// one it names, or the only one. Without one it returns nil, and reply says
// what to show in its place.
func (p *Portal) visitor(w http.ResponseWriter, r *http.Request, id string) (*visit, web.HandlerFunc, error) {
	all, err := p.cfg.Sessions.AllFromRequest(r.Context(), r)
	if err != nil {
		return nil, nil, err
	}
	at := slices.IndexFunc(all, func(s session.Session) bool { return id != "" && string(s.ID) == id })
	switch {
	case at < 0 && len(all) == 0:
		return nil, p.whereTo, nil
	case at < 0 && severalPeople(all):
		return nil, p.pickPage, nil
	case at < 0:
		at = 0
	}
	v := &visit{session: all[at], several: severalPeople(all), peer: p.peer(w, r)}
	if v.tenant, err = p.cfg.Directory.Tenant(r.Context(), v.session.Tenant); err != nil {
		return nil, nil, err
	}
	v.user, err = p.cfg.Directory.User(r.Context(), p.cfg.DB, v.session.Tenant, v.session.User)
	if err == nil && !v.user.Enabled {
		err = idp.Deniedf("user_disabled", "user %s is disabled", v.user.ID)
	}
	return v, nil, err
}

// owner is visitor for all that a session on a pass may not do: whatever is
// neither adding a method nor its own end (decisions 2.8).
func (p *Portal) owner(w http.ResponseWriter, r *http.Request, id string) (*visit, web.HandlerFunc, error) {
	v, instead, err := p.visitor(w, r, id)
	if err == nil && instead == nil {
		err = v.notOnPass()
	}
	return v, instead, err
}

func (v *visit) notOnPass() error {
	if signin.OnPass(v.session) {
		return idp.Deniedf("pass_session", "session %s was opened by a pass", v.session.ID)
	}
	return nil
}

func severalPeople(all []session.Session) bool {
	return slices.ContainsFunc(all, func(s session.Session) bool {
		return s.User != all[0].User || s.Tenant != all[0].Tenant
	})
}

// whereTo begins a sign-in: at the only organisation, or at the one that the
// person names.
func (p *Portal) whereTo(w http.ResponseWriter, r *http.Request) error {
	tenants, err := p.cfg.Directory.Tenants(r.Context())
	if err != nil {
		return err
	}
	if len(tenants) == 1 {
		return web.SeeOther(w, r, "/"+string(tenants[0].ID)+"/signin?to=account")
	}
	return p.orgPage(w, r, http.StatusOK, orgView{})
}

// orgView asks for an organisation. To is where it leads: "admin" to the
// console, "device" to where codes are typed, anything else to the account page.
type orgView struct {
	To, Typed string
	Bad       template.HTML
}

func (p *Portal) orgPage(w http.ResponseWriter, r *http.Request, status int, v orgView) error {
	pg := p.newPage(r, "org", idp.Tenant{}, "", v)
	pg.Title = pg.T("org.title")
	return p.show(w, status, pg)
}

// organisation is POST /account/organisation.
func (p *Portal) organisation(w http.ResponseWriter, r *http.Request) error {
	v, err := web.Form(w, r)
	if err != nil {
		return err
	}
	typed := strings.TrimSpace(v.Get("organisation"))
	domain := typed[strings.LastIndex(typed, "@")+1:]
	t, err := p.cfg.Directory.Resolve(r.Context(), strings.ToLower(domain))
	if errors.Is(err, idp.NotFound) || errors.Is(err, idp.Invalid) {
		return p.orgPage(w, r, http.StatusNotFound, orgView{v.Get("to"), page.Clip(typed, 256), p.pages.Pick(r).T("org.problem")})
	}
	if err != nil {
		return err
	}
	if v.Get("to") == "admin" {
		return web.SeeOther(w, r, "/admin?tenant="+string(t.ID))
	}
	if v.Get("to") == "device" {
		return web.SeeOther(w, r, "/"+string(t.ID)+"/signin?to=device")
	}
	return web.SeeOther(w, r, "/"+string(t.ID)+"/signin?to=account")
}

// pickPage asks which of several persons it is.
func (p *Portal) pickPage(w http.ResponseWriter, r *http.Request) error {
	return p.pickFor(w, r, "/account")
}

// pickFor is pickPage for the page at that address.
func (p *Portal) pickFor(w http.ResponseWriter, r *http.Request, action string) error {
	people, err := p.people(r.Context(), r, "")
	if err != nil {
		return err
	}
	pg := p.newPage(r, "pick", idp.Tenant{}, "", nil)
	pg.Title = pg.T("pick.title")
	pg.V = pickView{Lead: pg.T("pick.lead.account"), Verb: "get", Action: action, People: people}
	return p.show(w, http.StatusOK, pg)
}

// resumeAccount goes on where a flow left the account pages.
func (p *Portal) resumeAccount(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) error {
	var a ask
	if len(f.Ask) > 0 {
		if err := json.Unmarshal(f.Ask, &a); err != nil {
			return fmt.Errorf("ask of flow %s: %w", f.ID, err)
		}
	}
	return web.SeeOther(w, r, a.address(step.Session.ID))
}

// accountView is the account page.
type accountView struct {
	Session    idp.SessionID
	Person     person
	Several    bool
	Notice     template.HTML
	Trouble    template.HTML // what went wrong with what was asked for
	Lose       []loss
	Spare      template.HTML
	Count      template.HTML
	Warn       template.HTML
	FullUp     bool
	Desk       template.HTML // why passkeys cannot be added here
	Fresh      bool
	Methods    []methodRow
	HelloWarn  template.HTML
	MacWarn    template.HTML
	Phone      phonePart
	phones     []Phone
	OfDevices  bool // the page has a part about devices
	Devices    []deviceRow
	Apps       []appRow
	AppsNote   template.HTML
	Sessions   []sessionRow
	Everywhere template.HTML
	Events     []eventRow
	Signals    any
}

// account is GET /account.
func (p *Portal) account(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if q.Get("other") != "" {
		return p.orgPage(w, r, http.StatusOK, orgView{To: q.Get("to")})
	}
	if q.Get("choose") != "" {
		return p.pickPage(w, r)
	}
	v, instead, err := p.visitor(w, r, q.Get("session"))
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	if v.session.Restricted {
		return web.SeeOther(w, r, "/account/register?session="+string(v.session.ID))
	}
	pg := p.newPage(r, "account", v.tenant, "", nil)
	pg.Title = pg.T("account.title")
	view, err := p.accountOf(r.Context(), pg, v)
	if err != nil {
		return err
	}
	view.Notice, view.Trouble = notice(pg, q.Get("done"), view.Methods, q.Get("credential"))
	pg.V = view
	return p.show(w, http.StatusOK, pg)
}

func (p *Portal) accountOf(ctx context.Context, pg *page.Page, v *visit) (*accountView, error) {
	creds, err := p.cfg.Corridor.Credentials(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return nil, err
	}
	hold, err := p.holding(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return nil, err
	}
	events, err := p.cfg.Audit.List(ctx, p.cfg.DB, v.tenant.ID, audit.Filter{User: v.user.ID, Limit: 5 * mostEvents})
	if err != nil {
		return nil, err
	}
	sessions, err := p.cfg.Sessions.List(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return nil, err
	}
	view := &accountView{
		Session: v.session.ID, Several: v.several, Fresh: p.fresh(v.session),
		Person: person{Name: shownName(v.user), Initials: page.Initials(shownName(v.user), 2)},
	}
	refusal, err := p.cfg.Corridor.MayAdd(ctx, v.tenant.ID, v.user.ID, passkey)
	if err != nil {
		return nil, err
	}
	if view.phones, err = p.phonesOf(ctx, v.tenant.ID, v.user.ID); err != nil {
		return nil, err
	}
	view.fill(pg, creds, hold)
	view.only(notAddable(pg, refusal))
	if err := p.fillPhones(ctx, pg, v, view); err != nil {
		return nil, err
	}
	if err := p.fillDevices(ctx, pg, v, view, creds); err != nil {
		return nil, err
	}
	apps, err := p.allowed(ctx, v)
	if err != nil {
		return nil, err
	}
	view.fillApps(pg, apps)
	view.Sessions = sessionRows(pg, sessions, v.session.ID, creds)
	view.Everywhere = pg.N("sessions.all.note", len(sessions))
	if view.Events, err = p.eventRows(ctx, pg, events, creds); err != nil {
		return nil, err
	}
	if p.cfg.Signals != nil {
		view.Signals, err = p.cfg.Signals(ctx, v.tenant.ID, v.user.ID)
		if errors.Is(err, idp.NotFound) {
			view.Signals, err = nil, nil
		}
	}
	return view, err
}

// fill puts in everything that follows from the methods somebody holds.
func (v *accountView) fill(pg *page.Page, creds []method.Credential, h Holding) {
	works := usable(creds)
	v.Lose = losses(pg, works, v.phones)
	v.Count = pg.N("methods.count", len(works))
	switch len(things(works, v.phones)) {
	case 0:
		v.Count, v.Spare = pg.T("methods.none"), pg.T("lose.first")
	case 1, 2:
		v.Spare = pg.T("lose.spare")
	}
	switch {
	case h.Full():
		v.FullUp, v.Spare = true, ""
		v.Warn = pg.T("methods.full", "n", h.Held, "org", pg.OrgName())
	case h.Near():
		v.Warn = pg.T("methods.warn", "n", h.Held, "limit", h.Limit)
	}
	for _, c := range creds {
		if c.Bootstrap && c.Disabled {
			continue // a pass that was used or is over is nothing any more
		}
		v.Methods = append(v.Methods, rowOf(pg, c, works, v.phones, v.Session))
	}
}

// only takes away all that leads to adding a passkey, and says why; nothing
// when why is empty.
func (v *accountView) only(why template.HTML) {
	if why == "" {
		return
	}
	v.Desk, v.FullUp, v.Spare = why, true, ""
	for i := range v.Methods {
		v.Methods[i].Ask.Stuck = true
	}
}

func (v *accountView) fillApps(pg *page.Page, list []client.Grant) {
	v.Apps, v.AppsNote = appRows(pg, list, v.Session), pg.T("apps.lead")
	if len(list) == 0 {
		v.AppsNote = pg.T("apps.none", "org", pg.OrgName())
	}
}

func (p *Portal) holding(ctx context.Context, t idp.TenantID, u idp.UserID) (Holding, error) {
	if p.cfg.Holding == nil {
		return Holding{}, nil
	}
	return p.cfg.Holding(ctx, t, u)
}

// freshFor is a little less than the corridor's five minutes (product.md §6),
// so that what a page offers is still true when it is pressed.
const freshFor = 5*time.Minute - 20*time.Second

func (p *Portal) fresh(s session.Session) bool { return p.cfg.Now().Sub(s.ProofTime) <= freshFor }

// notice tells what has just been done. Names come from the list, never from
// the address: a link must not be able to put words on this page.
func notice(pg *page.Page, done string, rows []methodRow, id string) (good, trouble template.HTML) {
	name := ""
	for _, row := range rows {
		if string(row.ID) == id {
			name = row.Name
		}
	}
	switch done {
	case "renamed":
		return pg.T("done.renamed", "name", name), ""
	case "added":
		return pg.T("done.added", "name", name), ""
	case "untried":
		return pg.T("done.added.untried", "name", name), ""
	case "removed":
		return pg.T("done.removed"), ""
	case "takenback":
		return pg.T("done.takenback"), ""
	case "ended":
		return pg.T("done.ended"), ""
	case "deviceout":
		return pg.T("done.deviceout"), ""
	case "deviceoff":
		return pg.T("done.deviceoff"), ""
	case "devicegone":
		return pg.T("done.devicegone"), ""
	}
	return phoneNotice(pg, done, name), troubles(pg, done, name)
}
