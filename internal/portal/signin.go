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
}

// problem is an error on the page where it happened.
type problem struct {
	Code  int
	Trace string
	Text  template.HTML
}

// signInView is the sign-in page.
type signInView struct {
	Handle            string
	Lead              template.HTML
	Steps             []stepMark
	Known             *person
	UserName          string
	Primary, Others   []offer
	Another           idp.MethodID // offered on another device
	Pass, Open        bool
	Nothing           bool
	Problem           *problem
	BadName, BadPass  template.HTML
	Said              template.HTML
	Unknown, Skip     string
	status            int
	title             template.HTML
	only              idp.MethodID // offer nothing else
	anyone            bool         // recognise nobody
	leadsTo, template string
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
	for _, s := range all {
		if meant != "" && s.User != meant {
			continue
		}
		if meant == "" && f.LoginHint != "" {
			u, err := p.user(r.Context(), s)
			if err != nil {
				return nil, err
			}
			if !strings.EqualFold(u.Name, f.LoginHint) {
				continue
			}
		}
		return &s, nil
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
	case signin.Register:
		return p.showRegister(w, r, step.Session, f)
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
	if ok, _ := p.begins.Allow(web.ClientIP(r)); !ok {
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

// answered is a parsed POST to the sign-in page.
type answered struct {
	flow              signin.Flow
	peer              signin.Peer
	method            idp.MethodID
	ceremony, payload string
	userName, pass    string
	forget            bool
}

func (p *Portal) parseAnswer(w http.ResponseWriter, r *http.Request) (in answered, err error) {
	v, err := web.Form(w, r)
	if err != nil {
		return in, err
	}
	t, err := p.tenant(r)
	if err != nil {
		return in, err
	}
	in = answered{
		peer: p.peer(w, r), method: idp.MethodID(v.Get("method")), ceremony: v.Get("ceremony"), payload: v.Get("payload"),
		userName: strings.TrimSpace(v.Get("username")), pass: strings.TrimSpace(v.Get("access_pass")), forget: v.Get("forget") != "",
	}
	// A pass that was typed is what is meant, whichever button was pressed:
	// without script, Enter presses the first.
	if in.pass != "" && in.payload == "" {
		in.method = accessPass
	}
	in.flow, err = p.cfg.Corridor.Resume(r.Context(), t.ID, v.Get("handle"), in.peer)
	return in, err
}

// answer is POST /{t}/signin/answer: what the person has to show, or a button
// that needs no proof.
func (p *Portal) answer(w http.ResponseWriter, r *http.Request) error {
	in, err := p.parseAnswer(w, r)
	if err != nil {
		return err
	}
	if in.forget {
		return p.somebodyElse(w, r, in.flow, in.peer)
	}
	if in.method == accessPass {
		if asked, err := p.beginPass(w, r, &in); asked || err != nil {
			return err
		}
	}
	if in.payload == "" {
		return p.again(w, r, in, nil)
	}
	current, err := p.current(r, in.flow)
	if err != nil {
		return err
	}
	step, err := p.cfg.Corridor.Answer(r.Context(), in.flow, in.ceremony, []byte(in.payload), current, in.peer)
	if err != nil {
		return p.refused(w, r, in, err)
	}
	if in.method != accessPass {
		p.keep(w, wayCookie, string(in.method))
	}
	return p.follow(w, r, step)
}

// follow goes where a step leads: by a redirect wherever the next page has an
// address of its own, so that reloading it sends nothing twice.
func (p *Portal) follow(w http.ResponseWriter, r *http.Request, step signin.Step) error {
	p.setBearer(w, r, &step)
	if step.Kind != signin.Done && step.Kind != signin.Deny && step.Flow.Stored() {
		return web.SeeOther(w, r, "/"+string(step.Flow.Tenant)+"/signin?flow="+step.Flow.Handle())
	}
	return p.SignIn(w, r, step.Flow, step)
}

// beginPass makes the ceremony of an access pass, whose form needs no script.
// asked says that a field is missing and the page was shown again.
func (p *Portal) beginPass(w http.ResponseWriter, r *http.Request, in *answered) (asked bool, err error) {
	ws := p.catalogue.pick(r)
	v := signInView{Open: true, UserName: in.userName, status: http.StatusBadRequest}
	switch {
	case in.userName == "":
		v.BadName = ws.t("signin.problem.username")
	case in.pass == "":
		v.BadPass = ws.t("signin.problem.pass")
	}
	if v.BadName != "" || v.BadPass != "" {
		return true, p.showFlow(w, r, in.flow, in.peer, v)
	}
	key := string(in.flow.Tenant) + "\n" + strings.ToLower(in.userName) + "\n" + in.peer.IP
	if ok, wait := p.passTries.Allow(key); !ok {
		return true, p.waitForPass(w, r, in, wait)
	}
	begun, err := p.cfg.Corridor.Begin(r.Context(), in.flow, accessPass, in.userName)
	if err != nil {
		return false, err
	}
	payload, err := json.Marshal(map[string]string{"username": in.userName, "access_pass": in.pass})
	in.ceremony, in.payload = begun.Ceremony, string(payload)
	return false, err
}

// refused shows the sign-in page again with what was wrong, as long as trying
// again can help; else an error page says what does.
func (p *Portal) refused(w http.ResponseWriter, r *http.Request, in answered, err error) error {
	e := idp.AsError(err)
	switch {
	case e.Kind == idp.Unproven, e.Kind == idp.Expired, e.Reason == "other_than_hinted":
		return p.again(w, r, in, e)
	}
	return err
}

// again shows the page once more, unfolded. e is nil when nothing was sent.
func (p *Portal) again(w http.ResponseWriter, r *http.Request, in answered, e *idp.Error) error {
	ws := p.catalogue.pick(r)
	v := signInView{Open: true, UserName: in.userName}
	if e == nil {
		v.status, v.Said = http.StatusOK, ws.t("signin.problem.script")
		return p.showFlow(w, r, in.flow, in.peer, v)
	}
	t := p.tell(r, ws, e, "", app{})
	v.status, v.Problem = t.status, &problem{Code: t.Code, Trace: t.Trace, Text: t.Text}
	switch {
	case e.Kind == idp.Unproven && in.method == accessPass:
		v.Problem.Text = ws.t("signin.problem.pass_wrong")
	case e.Kind == idp.Unproven:
		v.Problem.Text = ws.t("signin.problem.proof")
	}
	if e.Reason == "credential_unknown" && in.method == passkey {
		v.Unknown = p.unknown(r.Context(), in.payload)
	}
	return p.showFlow(w, r, in.flow, in.peer, v)
}

// unknown gives the id of a passkey that nobody here has, so that the page can
// tell the passkey's provider; empty when in doubt: it is deleted for good.
func (p *Portal) unknown(ctx context.Context, payload string) string {
	var sent struct {
		ID string `json:"id"`
	}
	if p.cfg.Unknown == nil || json.Unmarshal([]byte(payload), &sent) != nil || !p.cfg.Unknown(ctx, idp.CredentialID(sent.ID)) {
		return ""
	}
	return sent.ID
}

// showFlow asks the corridor where a flow stands and shows the page with v.
func (p *Portal) showFlow(w http.ResponseWriter, r *http.Request, f signin.Flow, peer signin.Peer, v signInView) error {
	current, err := p.current(r, f)
	if err != nil {
		return err
	}
	step, err := p.cfg.Corridor.Next(r.Context(), f, current, peer)
	if err != nil {
		return err
	}
	if step.Kind != signin.StepUp {
		return p.SignIn(w, r, step.Flow, step)
	}
	return p.showSignIn(w, r, step.Flow, step, v)
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
