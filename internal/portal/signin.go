package portal

import (
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// The methods that the page itself must know: how their answers are typed or
// made is a matter of the page.
const (
	passkey    idp.MethodID = "passkey"
	accessPass idp.MethodID = "accessPass"
)

// person is somebody as a page shows them.
type person struct {
	Name, Sub, Initials string
	User                string // user name
	Session             idp.SessionID
	Fixed               bool // nobody else will do
}

// offer is a method as the page shows it.
type offer struct {
	Method       idp.MethodID
	Action, Icon string
	Label, Note  template.HTML
	Main         bool
	Waits        bool // asked by another road: its form works without script
	Away         bool // answered at another address: so does its form
}

// problem is an error on the page where it happened.
type problem struct {
	Code  int
	Trace string
	Text  template.HTML
	Hint  template.HTML // what else helps; empty: nothing
	Facts []fact        // for the help desk, folded away; of what this browser itself has shown
}

// signInView is the sign-in page.
type signInView struct {
	Handle           string
	Lead             template.HTML
	Steps            []stepMark
	Known            *person
	UserName         string
	Primary, Others  []offer
	Another          idp.MethodID // offered on another device
	Pass, Open       bool
	Nothing          bool
	Problem          *problem
	BadName, BadPass template.HTML
	Said             template.HTML
	Unknown, Skip    string
	status           int
	title            template.HTML
	only             idp.MethodID // offer nothing else
	anyone           bool         // recognise nobody
	choosing         bool         // offer all ways although something is waited for
	shy              idp.MethodID // not the first, although this browser used it last
	hushed           bool         // the address of the page is nobody else's business
	Shows            string       // the tenant, when this browser is to show that it is known
	template         string
}

// signInPage is GET /{t}/signin: a stored flow goes on, or a new one to the
// account page begins.
func (p *Portal) signInPage(w http.ResponseWriter, r *http.Request) error {
	if ref := r.PathValue("t"); ref == "common" || ref == "organizations" {
		return web.SeeOther(w, r, "/account")
	}
	t, err := p.tenant(r)
	if err != nil {
		return err
	}
	ctx, peer := r.Context(), p.peer(w, r)
	f := signin.Flow{Tenant: t.ID, Door: Door}
	if r.URL.Query().Get("to") == "device" {
		if f.Ask, err = json.Marshal(ask{Then: "device"}); err != nil {
			return err
		}
	}
	if id := r.URL.Query().Get("flow"); id != "" {
		if f, err = p.cfg.Corridor.Resume(ctx, t.ID, id, peer); err != nil {
			return err
		}
	}
	current, err := p.current(r, f)
	if err != nil {
		return err
	}
	step, err := p.cfg.Corridor.Next(ctx, f, current, peer)
	if err != nil {
		return err
	}
	return p.SignIn(w, r, step.Flow, step)
}

// current is the session of this browser that a flow may stand on: of the
// person that the flow knows, or names, or else the newest.
func (p *Portal) current(r *http.Request, f signin.Flow) (*session.Session, error) {
	all, err := p.cfg.Sessions.FromRequest(r.Context(), r, f.Tenant)
	if err != nil {
		return nil, err
	}
	meant := f.User
	if meant == "" {
		meant = f.HintUser
	}
	for i := range all {
		s := &all[i]
		if meant != "" && s.User != meant {
			continue
		}
		if meant == "" && f.LoginHint != "" {
			u, err := p.user(r.Context(), *s)
			if err != nil {
				return nil, err
			}
			if !strings.EqualFold(u.Name, f.LoginHint) {
				continue
			}
		}
		return s, nil
	}
	return nil, nil
}

// user is the person of a session; the zero User for one who is gone.
func (p *Portal) user(ctx context.Context, s session.Session) (idp.User, error) {
	u, err := p.cfg.Directory.User(ctx, p.cfg.DB, s.Tenant, s.User)
	if errors.Is(err, idp.NotFound) {
		return idp.User{}, nil
	}
	return u, err
}

// SignIn shows what a flow needs next. Other doors call it with the step that
// the corridor gave them; it writes the reply.
func (p *Portal) SignIn(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) error {
	p.setBearer(w, r, &step)
	switch step.Kind {
	case signin.Done:
		return p.done(w, r, f, step)
	case signin.Deny:
		return p.denied(w, r, f, step)
	case signin.Consent:
		return p.consentPage(w, r, f, step)
	case signin.Nudge:
		if r.Method == http.MethodGet && r.URL.Query().Get("add") != "" {
			return p.toRegister(w, r, f, step.Session, step.Nudge.Method)
		}
		return p.nudgePage(w, r, f, step)
	case signin.Register:
		return p.toRegister(w, r, f, step.Session, asksFor(step.Decision))
	}
	if f.Waiting != nil && !away(f) && r.Method == http.MethodGet {
		if r.URL.Query().Get("other") == "" {
			return p.numberPage(w, r, f, numberView{})
		}
		return p.showSignIn(w, r, f, step, signInView{Open: true, UserName: f.Waiting.UserName})
	}
	if slices.Contains(f.Prompt, "select_account") {
		return p.accountPicker(w, r, f, step)
	}
	return p.showSignIn(w, r, f, step, signInView{})
}

// handle gives the page the value to go on with. A door may want a page
// although the corridor was done and so has sealed nothing: whose session it
// shall be, or a new gesture, is still to be asked for.
func (p *Portal) handle(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) (string, error) {
	if step.Handle != "" {
		return step.Handle, nil
	}
	f.Browser = signin.BrowserDigest(p.peer(w, r).Browser)
	return p.cfg.Corridor.Start(r.Context(), f)
}

func (p *Portal) setBearer(w http.ResponseWriter, r *http.Request, step *signin.Step) {
	if step.Bearer != "" {
		p.cfg.Sessions.Set(w, r, step.Bearer, step.Replaces)
		step.Bearer, step.Replaces = "", ""
	}
}

// done hands the flow back to its door.
func (p *Portal) done(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) error {
	if f.Door == Door {
		return p.resumeAccount(w, r, f, step)
	}
	resume, ok := p.cfg.Resume[f.Door]
	if !ok {
		return idp.Invalidf("door_unknown", "flow %s of door %q", f.ID, f.Door)
	}
	return resume(w, r, f, step)
}

// denied is policy's no. A person who did not allow an application something
// goes back to it; everything else they are told here.
func (p *Portal) denied(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) error {
	d := step.Decision
	if d.Reason == "consent_denied" {
		return p.done(w, r, f, step)
	}
	e := idp.Deniedf(d.Reason, "rule %s", d.Rule).Coded(d.Code)
	p.errorPage(w, r, e, d.Rule, app{f.ClientName, f.LeadsTo}, p.tenantOf(r.Context(), f.Tenant))
	return nil
}

// tenantOf is the tenant for a page; its bare id when it cannot be read.
func (p *Portal) tenantOf(ctx context.Context, id idp.TenantID) idp.Tenant {
	t, err := p.cfg.Directory.Tenant(ctx, id)
	if err != nil {
		return idp.Tenant{ID: id}
	}
	return t
}

// begin is POST /{t}/signin/begin: a challenge for the page's script.
func (p *Portal) begin(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Handle   string       `json:"handle"`
		Method   idp.MethodID `json:"method"`
		UserName string       `json:"username"`
	}
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	// A pass is typed into a form that has limits of its own.
	if in.Method == accessPass || !p.cfg.Corridor.Has(in.Method) {
		return idp.Invalidf("method_unknown", "begin of method %.40q", in.Method).On("method")
	}
	if ok, _ := p.begins.Allow(web.Source(r) + " " + string(in.Method)); !ok {
		return idp.Limitedf("source_throttled", "begin from %s", web.ClientIP(r))
	}
	t, err := p.tenant(r)
	if err != nil {
		return err
	}
	f, err := p.cfg.Corridor.Resume(r.Context(), t.ID, in.Handle, p.peer(w, r))
	if err != nil {
		return err
	}
	begun, err := p.cfg.Corridor.Begin(r.Context(), f, in.Method, in.UserName)
	if err != nil {
		return err
	}
	return replyBegun(w, begun)
}

func replyBegun(w http.ResponseWriter, b signin.Begun) error {
	return web.JSON(w, http.StatusOK, struct {
		Ceremony string          `json:"ceremony"`
		Show     json.RawMessage `json:"show"`
		Expires  time.Time       `json:"expires"`
	}{b.Ceremony, b.Show, b.Expires})
}

// flowForm reads a form that belongs to a flow.
func (p *Portal) flowForm(w http.ResponseWriter, r *http.Request) (url.Values, signin.Flow, signin.Peer, error) {
	v, err := web.Form(w, r)
	if err != nil {
		return nil, signin.Flow{}, signin.Peer{}, err
	}
	t, err := p.tenant(r)
	if err != nil {
		return nil, signin.Flow{}, signin.Peer{}, err
	}
	peer := p.peer(w, r)
	f, err := p.cfg.Corridor.Resume(r.Context(), t.ID, v.Get("handle"), peer)
	return v, f, peer, err
}
