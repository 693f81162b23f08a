package portal

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/web"
)

// ask is what a flow of the account pages comes back to.
type ask struct {
	Then       string           `json:"then,omitempty"` // "", "register", "phone", "remove", "lost", "tried", "machine"
	Method     idp.MethodID     `json:"method,omitempty"`
	Credential idp.CredentialID `json:"credential,omitempty"`
	Device     idp.DeviceID     `json:"device,omitempty"`
	What       string           `json:"what,omitempty"` // is to be done with the device
}

// address is where to go when the flow is done.
func (a ask) address(s idp.SessionID) string {
	q := url.Values{"session": {string(s)}}
	switch a.Then {
	case "device":
		return devicePath + "?" + q.Encode()
	case "register":
		return "/account/register?" + q.Encode()
	case "phone":
		return phonePath + "?" + q.Encode()
	case "lost":
		q.Set("credential", string(a.Credential))
		return "/account/phone/lost?" + q.Encode()
	case "remove":
		q.Set("method", string(a.Method))
		q.Set("credential", string(a.Credential))
		return "/account/remove?" + q.Encode()
	case "machine":
		q.Set("device", string(a.Device))
		q.Set("what", a.What)
		return "/account/device?" + q.Encode()
	case "tried":
		q.Set("done", "added")
		q.Set("credential", string(a.Credential))
	}
	return "/account?" + q.Encode()
}

// credential finds one of the visitor's own.
func (p *Portal) credential(ctx context.Context, v *visit, m idp.MethodID, id idp.CredentialID) (method.Credential, error) {
	all, err := p.cfg.Corridor.Credentials(ctx, v.session.Tenant, v.session.User)
	if err != nil {
		return method.Credential{}, err
	}
	for _, c := range all {
		if c.ID == id && c.Method == m {
			return c, nil
		}
	}
	return method.Credential{}, idp.NotFoundf("credential_gone", "%s %.40q of %s", m, id, v.session.User)
}

// question is GET /account/rename and /account/remove: the same question that
// the account page asks in a dialog, as a page.
func (p *Portal) question(w http.ResponseWriter, r *http.Request, key, title string, needsFresh bool) error {
	q := r.URL.Query()
	v, instead, err := p.owner(w, r, q.Get("session"))
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	m, id := idp.MethodID(q.Get("method")), idp.CredentialID(q.Get("credential"))
	if needsFresh && !p.fresh(v.session) {
		return p.prove(w, r, v, ask{Then: "remove", Method: m, Credential: id})
	}
	return p.showQuestion(w, r, v, http.StatusOK, key, title, m, id, "")
}

func (p *Portal) showQuestion(w http.ResponseWriter, r *http.Request, v *visit, status int, key, title string,
	m idp.MethodID, id idp.CredentialID, bad template.HTML) error {
	all, err := p.cfg.Corridor.Credentials(r.Context(), v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(c method.Credential) bool { return c.ID == id && c.Method == m })
	if at < 0 {
		return idp.NotFoundf("credential_gone", "%s %.40q of %s", m, id, v.user.ID)
	}
	phones, err := p.phonesOf(r.Context(), v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	pg := p.newPage(r, key, v.tenant, "", nil)
	pg.Title = pg.T(title, "name", credentialName(pg, all[at]))
	a := askOf(pg, all[at], usable(all), phones, v.session.ID)
	a.BadName = bad
	pg.V = a
	return p.show(w, status, pg)
}

func (p *Portal) renamePage(w http.ResponseWriter, r *http.Request) error {
	return p.question(w, r, "rename", "rename.title", false)
}

func (p *Portal) removePage(w http.ResponseWriter, r *http.Request) error {
	return p.question(w, r, "remove", "remove.title", true)
}

// maxName is how long the name of a passkey may be.
const maxName = 64

// accountForm reads a form of the account pages that a session on a pass may
// not send.
func (p *Portal) accountForm(w http.ResponseWriter, r *http.Request) (url.Values, *visit, web.HandlerFunc, error) {
	form, v, instead, err := p.anyForm(w, r)
	if err == nil && instead == nil {
		err = v.notOnPass()
	}
	return form, v, instead, err
}

// anyForm reads a form of the account pages, of whatever session.
func (p *Portal) anyForm(w http.ResponseWriter, r *http.Request) (url.Values, *visit, web.HandlerFunc, error) {
	form, err := web.Form(w, r)
	if err != nil {
		return nil, nil, nil, err
	}
	v, instead, err := p.visitor(w, r, form.Get("session"))
	if v != nil && string(v.session.ID) != form.Get("session") {
		// Another person's window: what was pressed there was not meant for
		// whoever is signed in now.
		return nil, nil, p.toAccount, nil
	}
	return form, v, instead, err
}

func (p *Portal) toAccount(w http.ResponseWriter, r *http.Request) error {
	return web.SeeOther(w, r, "/account")
}

// rename is POST /account/rename.
func (p *Portal) rename(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.accountForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return p.toAccount(w, r)
	}
	m, id, name := idp.MethodID(form.Get("method")), idp.CredentialID(form.Get("credential")), strings.TrimSpace(form.Get("name"))
	ws := p.pages.Pick(r)
	if name == "" || len([]rune(name)) > maxName {
		return p.showQuestion(w, r, v, http.StatusBadRequest, "rename", "rename.title", m, id, ws.T("register.problem.name"))
	}
	err = p.cfg.Corridor.Rename(r.Context(), v.session, m, id, name, v.peer)
	if e := idp.AsError(err); e != nil && e.Kind == idp.Invalid && e.Field == "name" {
		return p.showQuestion(w, r, v, http.StatusBadRequest, "rename", "rename.title", m, id, ws.T("register.problem.name"))
	}
	if err != nil {
		return gone(err)
	}
	return p.back(w, r, v, "renamed", id)
}

// remove is POST /account/remove.
func (p *Portal) remove(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.accountForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return p.toAccount(w, r)
	}
	m, id := idp.MethodID(form.Get("method")), idp.CredentialID(form.Get("credential"))
	err = p.cfg.Corridor.Remove(r.Context(), v.session, m, id, v.peer)
	if idp.AsError(err) != nil && idp.AsError(err).Reason == "fresh_proof_needed" {
		return p.prove(w, r, v, ask{Then: "remove", Method: m, Credential: id})
	}
	if err != nil {
		return gone(err)
	}
	return p.back(w, r, v, "removed", "")
}

// gone tells a credential that is not there from an address that is not.
func gone(err error) error {
	if errors.Is(err, idp.NotFound) {
		return idp.NotFoundf("credential_gone", "%w", err)
	}
	return err
}

// back leads to the account page and tells there what was done.
func (p *Portal) back(w http.ResponseWriter, r *http.Request, v *visit, done string, id idp.CredentialID) error {
	q := url.Values{"session": {string(v.session.ID)}, "done": {done}}
	if id != "" {
		q.Set("credential", string(id))
	}
	return web.SeeOther(w, r, "/account?"+q.Encode())
}
