package portal

import (
	"context"
	"html/template"
	"net/http"
	"slices"

	"github.com/signetid/signet/internal/page"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
)

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
		out = append(out, person{Name: shownName(u), Sub: u.Name, User: u.Name, Initials: page.Initials(shownName(u), 2), Session: s.ID})
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
	return p.show(w, http.StatusOK, pg)
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
