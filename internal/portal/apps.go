package portal

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"slices"

	"github.com/signetid/signet/internal/page"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// appRow is one application that the person allowed something (security.md
// OAU19).
type appRow struct {
	ID    idp.ClientID
	Name  string
	Since template.HTML
	May   []template.HTML // what it may do, in words
	Ask   *takeBackView
}

// takeBackView is the question before that is taken back.
type takeBackView struct {
	Session idp.SessionID
	App     idp.ClientID
	Name    string
}

// allowed lists what the visitor may take back. An app of the organisation's
// own does not ask, so taking back what it was once allowed would change
// nothing.
func (p *Portal) allowed(ctx context.Context, v *visit) ([]client.Grant, error) {
	if p.cfg.Clients == nil {
		return nil, nil
	}
	all, err := p.cfg.Clients.Consents(ctx, p.cfg.DB, v.tenant.ID, v.user.ID)
	return slices.DeleteFunc(all, func(g client.Grant) bool { return g.FirstParty }), err
}

func appRows(pg *page.Page, list []client.Grant, s idp.SessionID) []appRow {
	var out []appRow
	for _, g := range list {
		row := appRow{
			ID: g.Client, Name: g.Name, Since: pg.T("meta.allowed", "when", page.When(g.Since, "")),
			Ask: &takeBackView{Session: s, App: g.Client, Name: g.Name},
		}
		for _, scope := range g.Scopes {
			row.May = append(row.May, grantOf(pg, scope).Text)
		}
		out = append(out, row)
	}
	return out
}

// takeBackPage is GET /account/take-back: the question of the account page's
// dialog, as a page.
func (p *Portal) takeBackPage(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	v, instead, err := p.owner(w, r, q.Get("session"))
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	list, err := p.allowed(r.Context(), v)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list, func(g client.Grant) bool { return string(g.Client) == q.Get("app") })
	if at < 0 {
		return idp.NotFoundf("consent_gone", "consent of %s to %.40q", v.user.ID, q.Get("app"))
	}
	pg := p.newPage(r, "takeback", v.tenant, "", nil)
	pg.Title = pg.T("takeback.title", "app", list[at].Name)
	pg.V = &takeBackView{Session: v.session.ID, App: list[at].Client, Name: list[at].Name}
	return p.show(w, http.StatusOK, pg)
}

// takeBack is POST /account/take-back: the consent and all that the app got by
// it end in one transaction, with its record. Like ending a session it takes
// no fresh proof: it only ever closes something.
func (p *Portal) takeBack(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.accountForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return p.toAccount(w, r)
	}
	if v.session.Restricted {
		return idp.Deniedf("pass_session", "session %s was opened by a pass", v.session.ID)
	}
	id := idp.ClientID(form.Get("app"))
	err = p.cfg.DB.Write(r.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if err := p.cfg.Clients.RevokeConsent(ctx, tx, v.tenant.ID, v.user.ID, id); err != nil {
			return err
		}
		if p.cfg.RevokeGrant != nil {
			if err := p.cfg.RevokeGrant(ctx, tx, v.tenant.ID, v.user.ID, id); err != nil {
				return err
			}
		}
		e := v.event("consent.revoke")
		e.Category, e.Client = audit.Change, id
		return p.cfg.Audit.Write(ctx, tx, e)
	})
	if errors.Is(err, idp.NotFound) {
		return idp.NotFoundf("consent_gone", "%w", err)
	}
	if err != nil {
		return err
	}
	return p.back(w, r, v, "takenback", "")
}
