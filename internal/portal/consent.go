package portal

import (
	"html/template"
	"net/http"

	"github.com/signetid/signet/internal/page"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
)

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
	return p.show(w, http.StatusOK, pg)
}

func grantOf(pg *page.Page, scope string) grant {
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
