package portal

import (
	"context"
	"html/template"
	"net/http"
	"slices"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// endSession is POST /account/sessions/end: one of the visitor's own.
func (p *Portal) endSession(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.accountForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return p.toAccount(w, r)
	}
	id := idp.SessionID(form.Get("end"))
	own, err := p.cfg.Sessions.List(r.Context(), v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(own, func(s session.Session) bool { return s.ID == id }) {
		return idp.NotFoundf("session_gone", "session %.40q of %s", id, v.user.ID)
	}
	if err := p.end(r.Context(), v, id, "session.end"); err != nil {
		return err
	}
	return p.back(w, r, v, "ended", "")
}

// signOut is POST /account/sign-out: the session of this browser.
func (p *Portal) signOut(w http.ResponseWriter, r *http.Request) error {
	_, v, instead, err := p.anyForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return web.SeeOther(w, r, "/signed-out")
	}
	if err := p.end(r.Context(), v, v.session.ID, "signout.done"); err != nil {
		return err
	}
	p.cfg.Sessions.Drop(w, r, v.session.Bearer())
	return web.SeeOther(w, r, "/signed-out")
}

// end ends one session, with its tokens and its record in one transaction.
func (p *Portal) end(ctx context.Context, v *visit, id idp.SessionID, activity string) error {
	return p.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := p.cfg.Sessions.End(ctx, tx, v.tenant.ID, id); err != nil {
			return err
		}
		if p.cfg.RevokeSession != nil {
			if err := p.cfg.RevokeSession(ctx, tx, v.tenant.ID, v.user.ID, id); err != nil {
				return err
			}
		}
		e := v.event(activity)
		e.Session = id
		return p.cfg.Audit.Write(ctx, tx, e)
	})
}

// signOutEverywhere is POST /account/sign-out-everywhere: all sessions of the
// person, this one too, and all tokens (security.md SES03).
func (p *Portal) signOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	_, v, instead, err := p.accountForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return p.toAccount(w, r)
	}
	err = p.cfg.DB.Write(r.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := p.cfg.Sessions.EndAll(ctx, tx, v.tenant.ID, v.user.ID, ""); err != nil {
			return err
		}
		if p.cfg.RevokeUser != nil {
			if err := p.cfg.RevokeUser(ctx, tx, v.tenant.ID, v.user.ID); err != nil {
				return err
			}
		}
		return p.cfg.Audit.Write(ctx, tx, v.event("signout.everywhere"))
	})
	if err != nil {
		return err
	}
	p.cfg.Sessions.Drop(w, r, v.session.Bearer())
	return web.SeeOther(w, r, "/signed-out")
}

// event is the beginning of a record of this visit.
func (v *visit) event(activity string) audit.Event {
	return audit.Event{
		Tenant: v.tenant.ID, Category: audit.SignIn, Activity: activity, Outcome: audit.Success,
		Actor: string(v.user.ID), User: v.user.ID, UserName: v.user.Name, Session: v.session.ID,
		IP: v.peer.IP, Agent: v.peer.Agent, Trace: v.peer.Trace,
	}
}

// Field is a hidden field of a form.
type Field struct{ Name, Value string }

// Logout is what another door asks to be confirmed: the page posts Fields to
// Action.
type Logout struct {
	Tenant     idp.Tenant
	User       idp.User
	ClientName string // who asks; empty when nobody said
	Action     string
	Fields     []Field
	LeadsTo    string // origin that the sign-out leads back to; may be empty
}

// ConfirmLogout asks whether the person really wants to sign out.
func (p *Portal) ConfirmLogout(w http.ResponseWriter, r *http.Request, l Logout) error {
	pg := p.newPage(r, "logout", l.Tenant, "", nil)
	pg.Back = "" // the address may hold an ID token; it is not for another form
	pg.LeadsTo = l.LeadsTo
	pg.Title = pg.T("logout.title")
	v := struct {
		Lead   template.HTML
		Action string
		Fields []Field
	}{pg.T("logout.lead", "name", shownName(l.User), "org", pg.OrgName()), l.Action, l.Fields}
	if l.ClientName != "" {
		v.Lead = pg.T("logout.app", "app", l.ClientName, "name", shownName(l.User), "org", pg.OrgName())
	}
	pg.V = v
	return p.show(w, http.StatusOK, pg)
}
