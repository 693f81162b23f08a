package portal

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// Tests are messages to somebody's own phone; five in five minutes are enough
// to see why none comes.
const (
	testsWithin = 5 * time.Minute
	testsAtMost = 5
)

// phoneNotice tells what has just been done about phones and browsers.
func phoneNotice(pg *page.Page, done, name string) template.HTML {
	switch done {
	case "phoneadded":
		return pg.T("done.phone.added", "name", name)
	case "forgotten":
		return pg.T("done.forgotten")
	case "tested.sent":
		return pg.T("done.tested.sent", "name", name)
	}
	return ""
}

// troubles tells why a test did not come, which is no good news.
func troubles(pg *page.Page, done, name string) template.HTML {
	switch done {
	case "tested.gone":
		return pg.T("done.tested.gone", "name", name)
	case "tested.none":
		return pg.T("done.tested.none", "name", name)
	case "tested.later":
		return pg.T("done.tested.later", "name", name)
	case "tested.config":
		return pg.T("done.tested.config", "name", name)
	case "tested.limit":
		return pg.T("done.tested.limit")
	}
	return ""
}

// theirPhone finds one of the visitor's own phones.
func (p *Portal) theirPhone(ctx context.Context, v *visit, id idp.CredentialID) (method.Credential, Phone, error) {
	c, err := p.credential(ctx, v, policy.Phone, id)
	if err != nil {
		return c, Phone{}, err
	}
	all, err := p.phonesOf(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return c, Phone{}, err
	}
	at := slices.IndexFunc(all, func(ph Phone) bool { return ph.ID == id })
	if at < 0 {
		return c, Phone{}, idp.NotFoundf("credential_gone", "phone %.40q of %s", id, v.user.ID)
	}
	return c, all[at], nil
}

// phoneAdded is GET /account/phone/added: the end of adding one.
func (p *Portal) phoneAdded(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	v, instead, err := p.owner(w, r, q.Get("session"))
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	c, ph, err := p.theirPhone(r.Context(), v, idp.CredentialID(q.Get("credential")))
	if err != nil {
		return err
	}
	pg := p.newPage(r, "phonedone", v.tenant, "", nil)
	name := credentialName(pg, c)
	pg.Title = pg.T("phone.done.title", "name", name)
	pg.V = &phoneDoneView{
		Session: v.session.ID, ID: c.ID, Steps: phoneSteps(pg, 3), Push: ph.Push != "",
		Said: phoneNotice(pg, q.Get("done"), name), Trouble: troubles(pg, q.Get("done"), name),
	}
	return p.show(w, http.StatusOK, pg)
}

type phoneDoneView struct {
	Session       idp.SessionID
	ID            idp.CredentialID
	Steps         []stepMark
	Push          bool
	Said, Trouble template.HTML
}

// phoneTest is POST /account/phone/test: a message to one of the visitor's
// phones; the page that it came from says what became of it.
func (p *Portal) phoneTest(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.accountForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return p.toAccount(w, r)
	}
	c, _, err := p.theirPhone(r.Context(), v, idp.CredentialID(form.Get("credential")))
	if err != nil {
		return err
	}
	result := "limit"
	if ok, _ := p.phoneTests.Allow(string(v.tenant.ID) + "\n" + string(v.user.ID)); ok {
		if result, err = p.cfg.Phones.Test(r.Context(), v.tenant.ID, v.user.ID, c.ID); err != nil {
			return gone(err)
		}
	}
	if form.Get("from") == "added" {
		q := url.Values{"session": {string(v.session.ID)}, "credential": {string(c.ID)}, "done": {"tested." + result}}
		return web.SeeOther(w, r, "/account/phone/added?"+q.Encode())
	}
	return p.back(w, r, v, "tested."+result, c.ID)
}

// lostView asks whether a phone is lost, and says afterwards what else to do.
type lostView struct {
	Session idp.SessionID
	ID      idp.CredentialID
	Left    template.HTML
	Last    bool // it is the only way in
	Add     bool // a passkey can be added here
	// Afterwards: the passkey that the phone had, and the other sessions.
	Passkey  idp.CredentialID
	PasskeyT template.HTML
	Sessions template.HTML
	Spare    template.HTML
}

// lostPage is GET /account/phone/lost: what follows, before it happens.
func (p *Portal) lostPage(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	v, instead, err := p.owner(w, r, q.Get("session"))
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	id := idp.CredentialID(q.Get("credential"))
	if !p.fresh(v.session) {
		return p.prove(w, r, v, ask{Then: "lost", Credential: id})
	}
	c, _, err := p.theirPhone(r.Context(), v, id)
	if err != nil {
		return err
	}
	all, err := p.cfg.Corridor.Credentials(r.Context(), v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	refusal, err := p.cfg.Corridor.MayAdd(r.Context(), v.tenant.ID, v.user.ID, passkey)
	if err != nil {
		return err
	}
	pg := p.newPage(r, "phonelost", v.tenant, "", nil)
	pg.Title = pg.T("lost.title", "name", credentialName(pg, c))
	phones, err := p.phonesOf(r.Context(), v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	view := &lostView{Session: v.session.ID, ID: c.ID, Add: refusal.Allowed()}
	view.before(pg, c, usable(all), phones)
	pg.V = view
	return p.show(w, http.StatusOK, pg)
}

// before says what is left without the phone, and what it keeps.
func (view *lostView) before(pg *page.Page, c method.Credential, works []method.Credential, phones []Phone) {
	view.Last = askOf(pg, c, works, phones, view.Session).Last
	if rest := left(c, works, phones); len(rest) > 0 {
		view.Left = pg.T("remove.left", "rest", nameList(pg, rest))
	}
}

// lost is POST /account/phone/lost: the phone is taken out at once. What else
// opens the account is up to its owner, and told on the page that follows.
func (p *Portal) lost(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.accountForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return p.toAccount(w, r)
	}
	id := idp.CredentialID(form.Get("credential"))
	_, ph, err := p.theirPhone(r.Context(), v, id)
	if err != nil {
		return err
	}
	err = p.cfg.Corridor.Remove(r.Context(), v.session, policy.Phone, id, v.peer)
	if e := idp.AsError(err); e != nil && e.Reason == "fresh_proof_needed" {
		return p.prove(w, r, v, ask{Then: "lost", Credential: id})
	}
	if err != nil {
		return gone(err)
	}
	q := url.Values{"session": {string(v.session.ID)}, "passkey": {string(ph.Passkey)}}
	return web.SeeOther(w, r, "/account/phone/lost/after?"+q.Encode())
}

// lostAfter is GET /account/phone/lost/after: what else to do.
func (p *Portal) lostAfter(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	v, instead, err := p.owner(w, r, q.Get("session"))
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	ctx := r.Context()
	all, err := p.cfg.Corridor.Credentials(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	sessions, err := p.cfg.Sessions.List(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	refusal, err := p.cfg.Corridor.MayAdd(ctx, v.tenant.ID, v.user.ID, passkey)
	if err != nil {
		return err
	}
	pg := p.newPage(r, "phonelost", v.tenant, "", nil)
	pg.Title = pg.T("lost.after.title")
	view := &lostView{Session: v.session.ID}
	view.after(pg, all, idp.CredentialID(q.Get("passkey")), sessions, refusal.Allowed())
	pg.V = view
	return p.show(w, http.StatusOK, pg)
}

func (view *lostView) after(pg *page.Page, all []method.Credential, kept idp.CredentialID, sessions []session.Session, add bool) {
	for _, c := range all {
		switch {
		case c.Method != passkey || c.ID != kept || !c.Usable():
		case c.Facts.Synced:
			view.Passkey, view.PasskeyT = c.ID, pg.T("lost.passkey.synced", "name", credentialName(pg, c))
		default:
			view.Passkey, view.PasskeyT = c.ID, pg.T("lost.passkey", "name", credentialName(pg, c))
		}
	}
	if n := len(sessions) - 1; n > 0 {
		view.Sessions = pg.N("lost.sessions", n)
	}
	if add && len(things(usable(all), nil)) < 2 {
		view.Spare = pg.T("lose.spare")
	}
}

// forget is POST /account/browser/forget: one of the visitor's browsers is a
// stranger from now on.
func (p *Portal) forget(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.accountForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return p.toAccount(w, r)
	}
	if p.cfg.Browsers == nil {
		return idp.NotFoundf("browser_gone", "no browser is known here")
	}
	err = p.cfg.DB.Write(r.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if err := p.cfg.Browsers.Forget(ctx, tx, v.tenant.ID, v.user.ID, form.Get("browser")); err != nil {
			return err
		}
		e := v.event("browser.forget")
		e.Category = audit.Change
		return p.cfg.Audit.Write(ctx, tx, e)
	})
	if err != nil {
		return gone(err)
	}
	q := url.Values{"session": {string(v.session.ID)}, "done": {"forgotten"}}
	return web.SeeOther(w, r, "/account?"+q.Encode()+"#browsers")
}
