package portal

import (
	"context"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
)

// showSignIn renders the sign-in page: v holds what the caller knows already.
func (p *Portal) showSignIn(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step, v signInView) error {
	offers, err := p.cfg.Corridor.Offers(r.Context(), f)
	if err != nil {
		return err
	}
	if v.template == "" {
		v.template = "signin"
	}
	pg := p.newPage(r, v.template, p.tenantOf(r.Context(), f.Tenant), "", nil)
	pg.LeadsTo = f.LeadsTo
	if err := p.recognise(r, pg, f, step, &v); err != nil {
		return err
	}
	if v.Handle, err = p.handle(w, r, f, step); err != nil {
		return err
	}
	v.arrange(pg, offers, lastWay(r))
	if v.title == "" {
		v.title, v.Lead = p.heading(pg, f, step)
	}
	if added := r.URL.Query().Get("added"); added != "" && step.Session.Restricted {
		if err := p.tryInFlow(r.Context(), pg, f, step, idp.CredentialID(added), &v); err != nil {
			return err
		}
	}
	pg.Title, pg.V = v.title, &v
	if v.status == 0 {
		v.status = http.StatusOK
	}
	return p.show(w, v.status, v.template, pg)
}

// heading says what is asked, and why.
func (p *Portal) heading(pg *page, f signin.Flow, step signin.Step) (title, lead template.HTML) {
	title, lead = pg.T("signin.title"), pg.T("signin.lead.account")
	if f.ClientName == "" {
		return title, lead
	}
	switch step.Decision.Reason {
	case "strength_unmet":
		if step.Session.ID != "" && !step.Session.Restricted {
			return title, pg.T("signin.lead.stronger", "app", f.ClientName)
		}
	case "proof_before_prompt", "proof_too_old":
		return pg.T("signin.title.again"), pg.T("signin.lead.again", "app", f.ClientName)
	}
	return title, pg.T("signin.lead.app", "app", f.ClientName)
}

// recognise puts in who is signing in, when this browser or the application
// has named them. A name that only the application gave is shown as it gave
// it: looking it up would tell who exists (decisions 2.7).
func (p *Portal) recognise(r *http.Request, pg *page, f signin.Flow, step signin.Step, v *signInView) error {
	if v.anyone || v.UserName != "" && f.LoginHint == "" {
		return nil
	}
	current := step.Session
	if current.ID == "" {
		s, err := p.current(r, f)
		if err != nil {
			return err
		}
		if s != nil {
			current = *s
		}
	}
	sub := plain(pg.T("signin.known.sub", "org", pg.OrgName()))
	if current.ID != "" {
		u, err := p.user(r.Context(), current)
		if err != nil || !u.Known() {
			return err
		}
		v.Known = &person{Name: shownName(u), Sub: u.Name, User: u.Name, Fixed: f.HintUser != "" || f.User != ""}
	} else if f.LoginHint != "" {
		hint := clip(f.LoginHint, 256)
		v.Known = &person{Name: hint, Sub: sub, User: hint}
	}
	if v.Known != nil {
		v.Known.Initials = initials(v.Known.Name, 2)
	}
	return nil
}

func shownName(u idp.User) string {
	if u.DisplayName != "" {
		return u.DisplayName
	}
	return u.Name
}

// arrange sorts the offers into buttons and rows; the way used last in this
// browser comes first.
func (v *signInView) arrange(pg *page, offers []signin.Offer, last idp.MethodID) {
	slices.SortStableFunc(offers, func(a, b signin.Offer) int {
		return boolInt(b.ID == last) - boolInt(a.ID == last)
	})
	for _, o := range offers {
		if v.only != "" && o.ID != v.only {
			continue
		}
		if o.ID == accessPass {
			v.Pass = true
			continue
		}
		if o.ID == passkey {
			v.Another = passkey
		}
		shown := offer{Method: o.ID, Action: o.View.Action, Icon: o.View.Icon, Label: pg.T(o.View.Label), Note: pg.T(o.View.Note)}
		if o.View.Primary {
			shown.Main = len(v.Primary) == 0
			v.Primary = append(v.Primary, shown)
		} else {
			v.Others = append(v.Others, shown)
		}
	}
	v.Nothing = len(offers) == 0
	if len(v.Primary) == 0 {
		v.Open = true
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// lastWay is the method that this browser used last. It is a convenience and
// worth nothing else: it only orders what is offered anyway.
func lastWay(r *http.Request) idp.MethodID {
	c, err := r.Cookie(wayCookie)
	if err != nil {
		return ""
	}
	return idp.MethodID(clip(c.Value, 32))
}

// waitForPass says that there were too many tries with a pass. It says so to
// known and unknown names alike.
func (p *Portal) waitForPass(w http.ResponseWriter, r *http.Request, in *answered, wait time.Duration) error {
	ws := p.catalogue.pick(r)
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	t := p.tell(r, ws, idp.Limitedf("pass_throttled", "access pass of %q from %s", in.userName, in.peer.IP), "", app{})
	minutes := max(1, int(math.Ceil(wait.Minutes())))
	return p.showFlow(w, r, in.flow, in.peer, signInView{
		Open: true, UserName: in.userName, status: t.status,
		Problem: &problem{Code: t.Code, Trace: t.Trace, Text: ws.n("signin.problem.limited", minutes)},
	})
}

// anew is a flow that asks what f asked and has proven nothing; the corridor
// seals it.
func anew(f signin.Flow) signin.Flow {
	return signin.Flow{
		Tenant: f.Tenant, Door: f.Door, Ask: f.Ask, Client: f.Client, ClientName: f.ClientName, LeadsTo: f.LeadsTo,
		Scopes: f.Scopes, ACR: f.ACR, MaxAge: f.MaxAge, LoginHint: f.LoginHint, HintUser: f.HintUser,
		Prompt: slices.DeleteFunc(slices.Clone(f.Prompt), func(s string) bool { return s == "select_account" }),
	}
}

// somebodyElse begins the flow again for another person. Whom the application
// insists on (id_token_hint) it still insists on.
func (p *Portal) somebodyElse(w http.ResponseWriter, r *http.Request, f signin.Flow, peer signin.Peer) error {
	f = anew(f)
	f.LoginHint = ""
	if !slices.Contains(f.Prompt, "login") {
		f.Prompt = append(f.Prompt, "login")
	}
	step, err := p.cfg.Corridor.Next(r.Context(), f, nil, peer)
	if err != nil {
		return err
	}
	return p.showAnyone(w, r, step)
}

// showAnyone shows the page with an empty user name field.
func (p *Portal) showAnyone(w http.ResponseWriter, r *http.Request, step signin.Step) error {
	if step.Kind != signin.StepUp {
		return p.SignIn(w, r, step.Flow, step)
	}
	return p.showSignIn(w, r, step.Flow, step, signInView{anyone: true})
}

// pickView is the account picker.
type pickView struct {
	Lead         template.HTML
	Verb, Action string
	Handle       string
	People       []person
}

// people are the persons signed in here, one row each.
func (p *Portal) people(ctx context.Context, r *http.Request, tenant idp.TenantID) ([]person, error) {
	all, err := p.cfg.Sessions.AllFromRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	var out []person
	seen := map[idp.UserID]bool{}
	for _, s := range all {
		if tenant != "" && s.Tenant != tenant || seen[s.User] || s.Restricted {
			continue
		}
		u, err := p.user(ctx, s)
		if err != nil {
			return nil, err
		}
		if !u.Known() {
			continue
		}
		seen[s.User] = true
		out = append(out, person{Name: shownName(u), Sub: u.Name, User: u.Name, Initials: initials(shownName(u), 2), Session: s.ID})
	}
	return out, nil
}

// accountPicker is prompt=select_account (OpenID Connect Core 1.0, Section
// 3.1.2.1), also when an application does not say which of several it means.
func (p *Portal) accountPicker(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) error {
	people, err := p.people(r.Context(), r, f.Tenant)
	if err != nil {
		return err
	}
	if len(people) == 0 {
		return p.showSignIn(w, r, f, step, signInView{})
	}
	handle, err := p.handle(w, r, f, step)
	if err != nil {
		return err
	}
	pg := p.newPage(r, "pick", p.tenantOf(r.Context(), f.Tenant), "", nil)
	pg.LeadsTo = f.LeadsTo
	pg.Title = pg.T("pick.title")
	pg.V = pickView{
		Lead: pg.T("pick.lead.app", "app", f.ClientName), Verb: "post", Handle: handle,
		Action: "/" + string(f.Tenant) + "/signin/choose", People: people,
	}
	return p.show(w, http.StatusOK, "pick", pg)
}

// choose is POST /{t}/signin/choose: whose session the flow shall stand on.
func (p *Portal) choose(w http.ResponseWriter, r *http.Request) error {
	v, f, peer, err := p.flowForm(w, r)
	if err != nil {
		return err
	}
	if v.Get("other") != "" {
		return p.somebodyElse(w, r, f, peer)
	}
	all, err := p.cfg.Sessions.FromRequest(r.Context(), r, f.Tenant)
	if err != nil {
		return err
	}
	for _, s := range all {
		if string(s.ID) != v.Get("session") {
			continue
		}
		next := anew(f)
		next.HintUser, next.LoginHint = s.User, ""
		step, err := p.cfg.Corridor.Next(r.Context(), next, &s, peer)
		if err != nil {
			return err
		}
		return p.SignIn(w, r, step.Flow, step)
	}
	return p.somebodyElse(w, r, f, peer)
}

// grant is one thing that an application may do.
type grant struct {
	Icon string
	Text template.HTML
}

// consentView is the consent page.
type consentView struct {
	App, Handle string
	Lead        template.HTML
	Grants      []grant
}

func (p *Portal) consentPage(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) error {
	u, err := p.user(r.Context(), step.Session)
	if err != nil {
		return err
	}
	pg := p.newPage(r, "consent", p.tenantOf(r.Context(), f.Tenant), "", nil)
	pg.LeadsTo = f.LeadsTo
	pg.Title = pg.T("consent.page", "app", f.ClientName)
	v := consentView{App: f.ClientName, Handle: step.Handle, Lead: pg.T("consent.lead", "name", shownName(u), "user", u.Name)}
	for _, s := range step.NewScopes {
		v.Grants = append(v.Grants, grantOf(pg, s))
	}
	pg.V = v
	return p.show(w, http.StatusOK, "consent", pg)
}

func grantOf(pg *page, scope string) grant {
	switch scope {
	case "openid":
		return grant{"check", pg.T("consent.openid")}
	case "profile":
		return grant{"person", pg.T("consent.profile")}
	case "email":
		return grant{"mail", pg.T("consent.email")}
	case "offline_access":
		return grant{"again", pg.T("consent.offline_access")}
	}
	code := template.HTML("<code>" + template.HTMLEscapeString(scope) + "</code>")
	return grant{"right", pg.T("consent.other", "scope", code)}
}

// consent is POST /{t}/signin/consent.
func (p *Portal) consent(w http.ResponseWriter, r *http.Request) error {
	v, f, peer, err := p.flowForm(w, r)
	if err != nil {
		return err
	}
	decision := v.Get("decision")
	if decision != "allow" && decision != "deny" {
		return idp.Invalidf("decision_unknown", "decision %.20q", decision).On("decision")
	}
	current, err := p.current(r, f)
	if err != nil {
		return err
	}
	if current == nil {
		return p.showFlow(w, r, f, peer, signInView{})
	}
	step, err := p.cfg.Corridor.Consent(r.Context(), f, *current, decision == "allow", peer)
	if err != nil {
		return err
	}
	return p.follow(w, r, step)
}
