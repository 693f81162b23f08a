package portal

import (
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/page"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// stepMark is one step of adding a passkey.
type stepMark struct {
	Label      template.HTML
	Done, Here bool
}

func steps(pg *page.Page, here int) []stepMark {
	out := []stepMark{
		{Label: pg.T("register.step.where")}, {Label: pg.T("register.step.prompt")},
		{Label: pg.T("register.step.name")}, {Label: pg.T("register.step.try")},
	}
	for n := range out {
		out[n].Done, out[n].Here = n < here, n == here
	}
	return out
}

// registerView is the page on which a passkey is added.
type registerView struct {
	Session          idp.SessionID
	Flow             string
	Steps            []stepMark
	Lead             template.HTML
	Full, Warn       template.HTML
	Unable           template.HTML // what to do in a browser without WebAuthn
	Back             string
	BackText         template.HTML
	Here, Key, Phone string // names to begin with
	Approve          string // where a phone is added in its place; empty: nowhere
}

// suggest puts in names that the person has not given yet.
func (v *registerView) suggest(pg *page.Page, agent string, have []method.Credential) {
	free := func(name string) string {
		for n := 2; slices.ContainsFunc(have, func(c method.Credential) bool { return c.Name == name }); n++ {
			name = trimNumber(name) + " " + strconv.Itoa(n)
		}
		return name
	}
	v.Here = free(page.Plain(pg.T("register.default.here", "device", page.SystemName(pg, agent))))
	v.Key, v.Phone = free(page.Plain(pg.T("register.default.key"))), free(page.Plain(pg.T("register.default.phone")))
}

// trimNumber takes the number off the end that suggest has put there.
func trimNumber(name string) string {
	at := strings.LastIndexByte(name, ' ')
	if at < 0 {
		return name
	}
	if _, err := strconv.Atoi(name[at+1:]); err != nil {
		return name
	}
	return name[:at]
}

// registerPage is GET /account/register. A stale proof is renewed first: it is
// asked for when somebody presses the button, not when they look.
func (p *Portal) registerPage(w http.ResponseWriter, r *http.Request) error {
	v, instead, err := p.visitor(w, r, r.URL.Query().Get("session"))
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	if !v.session.Restricted && !p.fresh(v.session) {
		return p.prove(w, r, v, ask{Then: "register"})
	}
	return p.showRegister(w, r, v.session, signin.Flow{Tenant: v.session.Tenant})
}

// showRegister shows the page; with a stored flow it goes on with that after.
func (p *Portal) showRegister(w http.ResponseWriter, r *http.Request, s session.Session, f signin.Flow) error {
	hold, err := p.holding(r.Context(), s.Tenant, s.User)
	if err != nil {
		return err
	}
	have, err := p.cfg.Corridor.Credentials(r.Context(), s.Tenant, s.User)
	if err != nil {
		return err
	}
	pg := p.newPage(r, "register", p.tenantOf(r.Context(), f.Tenant), "", nil)
	pg.Title = pg.T("register.title")
	v := registerView{Session: s.ID, Steps: steps(pg, 0), Lead: pg.T("register.lead"), Unable: pg.T("register.unsupported")}
	v.suggest(pg, r.UserAgent(), have)
	if f.Stored() {
		v.Flow = f.Handle()
	}
	switch {
	case s.Restricted && byPass(s):
		v.Lead, v.Unable = pg.T("register.lead.pass"), pg.T("register.unsupported.pass")
	case s.Restricted:
		v.Lead = pg.T("register.lead.required", "org", pg.OrgName())
	case f.Asked:
		// The app waits: trying it comes with the next sign-in.
		v.Steps = v.Steps[:3]
		v.Back, v.BackText = flowAddress(f), pg.T("register.back.flow")
	default:
		v.Back, v.BackText = "/account?session="+url.QueryEscape(string(s.ID)), pg.T("register.not_now")
	}
	refusal, err := p.cfg.Corridor.MayAdd(r.Context(), s.Tenant, s.User, passkey)
	if err != nil {
		return err
	}
	switch {
	case !refusal.Allowed():
		v.Full = notAddable(pg, refusal)
	case hold.Full():
		v.Full = pg.T("register.limit", "n", hold.Held, "org", pg.OrgName())
		if s.Restricted {
			v.Full = pg.T("register.limit.pass", "n", hold.Held, "org", pg.OrgName())
		}
	case hold.Near():
		v.Warn = pg.T("methods.warn", "n", hold.Held, "limit", hold.Limit)
	}
	if s.Restricted && byPass(s) {
		if may, err := p.mayAddPhone(r.Context(), s.Tenant, s.User); err != nil {
			return err
		} else if may {
			v.Approve = phonePlace{Session: s.ID, Flow: v.Flow}.at(phonePath)
		}
	}
	pg.V = v
	return p.show(w, http.StatusOK, pg)
}

// toRegister leads to the page on which what is asked for is added.
func (p *Portal) toRegister(w http.ResponseWriter, r *http.Request, f signin.Flow, s session.Session, m idp.MethodID) error {
	if m != policy.Phone || p.cfg.Phones == nil {
		return p.showRegister(w, r, s, f)
	}
	to := phonePlace{Session: s.ID, Must: s.Restricted}
	if f.Stored() {
		to.Flow = f.Handle()
	}
	return web.SeeOther(w, r, to.at(phonePath))
}

// asksFor is the method that a step requires to be added: a passkey, unless a
// rule says another.
func asksFor(d policy.Decision) idp.MethodID {
	if len(d.Refusal.Help.Methods) == 1 {
		return d.Refusal.Help.Methods[0]
	}
	return passkey
}

// registration is what the page's script sends.
type registration struct {
	Session  string          `json:"session"`
	Flow     string          `json:"flow"`
	Method   idp.MethodID    `json:"method"`
	Ceremony string          `json:"ceremony"`
	Payload  json.RawMessage `json:"payload"`
}

// sessionFor is visitor for scripts, which cannot be shown another page.
func (p *Portal) sessionFor(w http.ResponseWriter, r *http.Request, in *registration) (*visit, error) {
	if err := web.ReadJSON(w, r, in); err != nil {
		return nil, err
	}
	v, instead, err := p.visitor(w, r, in.Session)
	// A page that was open when somebody else signed in here: what its script
	// asks for was meant for the person before (as in anyForm).
	if err == nil && (instead != nil || string(v.session.ID) != in.Session) {
		err = idp.Expiredf("session_over", "no session %.40q", in.Session)
	}
	return v, err
}

// registerBegin is POST /account/register/begin.
func (p *Portal) registerBegin(w http.ResponseWriter, r *http.Request) error {
	var in registration
	v, err := p.sessionFor(w, r, &in)
	if err != nil {
		return err
	}
	begun, err := p.cfg.Corridor.BeginRegister(r.Context(), v.session, in.Method, v.peer)
	if err != nil {
		return p.registerRefused(w, r, v, err)
	}
	return replyBegun(w, begun)
}

// registerFinish is POST /account/register/finish.
func (p *Portal) registerFinish(w http.ResponseWriter, r *http.Request) error {
	var in registration
	v, err := p.sessionFor(w, r, &in)
	if err != nil {
		return err
	}
	cred, err := p.cfg.Corridor.FinishRegister(r.Context(), v.session, in.Ceremony, in.Payload, v.peer)
	if err != nil {
		return p.registerRefused(w, r, v, err)
	}
	next := "/account/register/try?" + url.Values{"session": {string(v.session.ID)}, "credential": {string(cred.ID)}}.Encode()
	if v.session.Restricted || in.Flow != "" {
		next = "/" + string(v.tenant.ID) + "/signin?" + url.Values{"flow": {in.Flow}, "added": {string(cred.ID)}}.Encode()
	}
	return web.JSON(w, http.StatusOK, struct {
		Next string `json:"next"`
		Name string `json:"name"`
	}{next, cred.Name})
}

// registerRefused tells the script; when only a fresh proof is missing, also
// where that can be given.
func (p *Portal) registerRefused(w http.ResponseWriter, r *http.Request, v *visit, err error) error {
	e := idp.AsError(err)
	if e.Reason != "fresh_proof_needed" || v.session.Restricted || p.fresh(v.session) {
		return err
	}
	p.phraseJSON(w, r, e, "/account/prove?session="+url.QueryEscape(string(v.session.ID)))
	return nil
}

// provePage is GET /account/prove: a fresh proof, then adding goes on.
func (p *Portal) provePage(w http.ResponseWriter, r *http.Request) error {
	v, instead, err := p.owner(w, r, r.URL.Query().Get("session"))
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	return p.prove(w, r, v, ask{Then: "register"})
}

// prove asks for a fresh proof of the same person and comes back to a.
func (p *Portal) prove(w http.ResponseWriter, r *http.Request, v *visit, a ask) error {
	step, err := p.beginProof(r, v, a)
	if err != nil {
		return err
	}
	pg := p.newPage(r, "signin", v.tenant, "", nil)
	age := int(math.Floor(p.cfg.Now().Sub(v.session.ProofTime).Minutes()))
	return p.showSignIn(w, r, step.Flow, step, signInView{
		title: pg.T("signin.title.again"), Lead: pg.N("signin.lead.fresh", max(age, 1)),
		Skip: "/account?session=" + url.QueryEscape(string(v.session.ID)),
	})
}

// beginProof begins a flow that only a new gesture of this person finishes.
func (p *Portal) beginProof(r *http.Request, v *visit, a ask) (signin.Step, error) {
	kept, err := json.Marshal(a)
	if err != nil {
		return signin.Step{}, err
	}
	f := signin.Flow{Tenant: v.tenant.ID, Door: Door, Ask: kept, Prompt: []string{"login"}, HintUser: v.user.ID}
	return p.cfg.Corridor.Next(r.Context(), f, &v.session, v.peer)
}

// tryPage is GET /account/register/try: the new passkey is used once, which
// proves to its owner that it works.
func (p *Portal) tryPage(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	v, instead, err := p.owner(w, r, q.Get("session"))
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	id := idp.CredentialID(q.Get("credential"))
	cred, err := p.credential(r.Context(), v, passkey, id)
	if err != nil {
		return err
	}
	step, err := p.beginProof(r, v, ask{Then: "tried", Credential: id})
	if err != nil {
		return err
	}
	pg := p.newPage(r, "try", v.tenant, "", nil)
	return p.showSignIn(w, r, step.Flow, step, signInView{
		title: pg.T("signin.title.try"), Lead: pg.T("signin.lead.try", "name", credentialName(pg, cred)),
		Steps: steps(pg, 3), template: "try", only: passkey,
		Skip: "/account?" + url.Values{"session": {string(v.session.ID)}, "done": {"untried"}, "credential": {string(id)}}.Encode(),
	})
}

// tryInFlow makes of the sign-in page the last step of adding a method: who
// came by a pass uses it once and is where they wanted to be.
func (p *Portal) tryInFlow(ctx context.Context, pg *page.Page, f signin.Flow, step signin.Step, id idp.CredentialID, v *signInView) error {
	m := passkey
	cred, err := p.credential(ctx, &visit{session: step.Session}, m, id)
	if errors.Is(err, idp.NotFound) {
		m = policy.Phone
		cred, err = p.credential(ctx, &visit{session: step.Session}, m, id)
	}
	if errors.Is(err, idp.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	v.template, v.Steps, v.title = "try", steps(pg, 3), pg.T("signin.title.try")
	if m == policy.Phone {
		v.Steps = phoneSteps(pg, 3)
	}
	v.onlyOffer(m)
	pg.View, pg.Key = views["try"], "try"
	if f.ClientName == "" {
		v.Lead = pg.T("signin.lead.try", "name", credentialName(pg, cred))
		return nil
	}
	v.Lead = pg.T("signin.lead.try.app", "name", credentialName(pg, cred), "app", f.ClientName)
	return nil
}

// onlyOffer leaves one way to sign in on the page.
func (v *signInView) onlyOffer(m idp.MethodID) {
	all := append(v.Primary, v.Others...)
	v.Pass, v.Primary, v.Others = false, nil, nil
	for _, o := range all {
		if o.Method == m {
			o.Main = true
			v.Primary = append(v.Primary, o)
		}
	}
	if m != passkey {
		v.Another = ""
	}
}
