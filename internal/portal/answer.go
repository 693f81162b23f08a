package portal

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/page"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// maxUserName is longer than any user name: what is cut off is nobody's.
const maxUserName = 320

// answered is a parsed POST to the sign-in page.
type answered struct {
	flow              signin.Flow
	peer              signin.Peer
	method            idp.MethodID
	ceremony, payload string
	userName, pass    string
	browserKey        string // that this browser is to be known by
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
		userName: page.Clip(strings.TrimSpace(v.Get("username")), maxUserName), pass: strings.TrimSpace(v.Get("access_pass")), forget: v.Get("forget") != "",
		browserKey: v.Get("browser_key"),
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
	if waits := in.flow.Waiting; in.payload == "" && waits != nil && waits.Method == in.method && !away(in.flow) {
		in.ceremony = waits.Ceremony
	} else if in.payload == "" {
		return p.nothingSent(w, r, in)
	}
	current, err := p.current(r, in.flow)
	if err != nil {
		return err
	}
	step, err := p.cfg.Corridor.Answer(r.Context(), in.flow, in.method, in.ceremony, []byte(in.payload), current, in.peer)
	if err != nil {
		return p.refused(w, r, in, err)
	}
	if in.method != accessPass && step.Kind != signin.Wait {
		p.pages.Keep(w, wayCookie, string(in.method))
		p.remember(r, in, step)
	}
	return p.follow(w, r, step)
}

// nothingSent is a form without anything to show. One of a page that waits, in
// a flow that waits no more, was sent twice.
func (p *Portal) nothingSent(w http.ResponseWriter, r *http.Request, in answered) error {
	waits, err := p.waits(r, in.flow, in.method)
	if err != nil {
		return err
	}
	if waits && in.flow.Stored() {
		return web.SeeOther(w, r, flowAddress(in.flow))
	}
	return p.again(w, r, in, nil)
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

// passTriesPerSource is how many times as many passes one source may try as it
// may for one name: an office full of new people, but not a list of names.
const passTriesPerSource = 20

// allowPass counts a try with a pass, for its source and for the name there
// (POL06). The tries that a pass itself bears are counted on its row.
func (p *Portal) allowPass(r *http.Request, in *answered) (ok bool, wait time.Duration) {
	source := web.Source(r)
	key := string(in.flow.Tenant) + "\n" + directory.Fold(in.userName) + "\n" + source
	if ok, wait := p.passTries.Allow(key); !ok {
		return false, wait
	}
	return p.passSources.Allow(source)
}

// beginPass makes the ceremony of an access pass, whose form needs no script;
// what else was sent as one is not looked at.
// asked says that a field is missing and the page was shown again.
func (p *Portal) beginPass(w http.ResponseWriter, r *http.Request, in *answered) (asked bool, err error) {
	ws := p.pages.Pick(r)
	v := signInView{Open: true, UserName: in.userName, status: http.StatusBadRequest}
	switch {
	case in.userName == "":
		v.BadName = ws.T("signin.problem.username")
	case in.pass == "":
		v.BadPass = ws.T("signin.problem.pass")
	}
	if v.BadName != "" || v.BadPass != "" {
		return true, p.showFlow(w, r, in.flow, in.peer, v)
	}
	if ok, wait := p.allowPass(r, in); !ok {
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
	answers := in.flow.Waiting != nil && in.flow.Waiting.Method == in.method && !away(in.flow)
	switch {
	case answers && (e.Kind == idp.Unproven || e.Kind == idp.Expired):
		return p.unanswered(w, r, in, e)
	case e.Kind == idp.Unproven, e.Kind == idp.Expired, e.Reason == "other_than_hinted":
		return p.again(w, r, in, e)
	}
	return err
}

// again shows the page once more, unfolded. e is nil when nothing was sent.
func (p *Portal) again(w http.ResponseWriter, r *http.Request, in answered, e *idp.Error) error {
	ws := p.pages.Pick(r)
	v := signInView{Open: true, UserName: in.userName, choosing: true}
	if in.flow.Waiting != nil {
		// A wrong answer has ended what the flow waited for.
		f, err := p.cfg.Corridor.Resume(r.Context(), in.flow.Tenant, in.flow.Handle(), in.peer)
		if err != nil {
			return err
		}
		in.flow = f
	}
	if e == nil {
		v.status, v.Said = http.StatusOK, ws.T("signin.problem.script")
		return p.showFlow(w, r, in.flow, in.peer, v)
	}
	t := p.tell(r, ws, e, "", app{})
	v.status, v.Problem = t.status, &problem{Code: t.Code, Trace: t.Trace, Text: t.Text}
	switch {
	case e.Kind == idp.Unproven && in.method == accessPass:
		v.Problem.Text = ws.T("signin.problem.pass_wrong")
	case e.Kind == idp.Unproven:
		v.Problem.Text = ws.T("signin.problem.proof")
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
	if step.Kind != signin.StepUp && !(step.Kind == signin.Wait && v.choosing) {
		return p.SignIn(w, r, step.Flow, step)
	}
	return p.showSignIn(w, r, step.Flow, step, v)
}

// waitForPass says that there were too many tries with a pass. It says so to
// known and unknown names alike.
func (p *Portal) waitForPass(w http.ResponseWriter, r *http.Request, in *answered, wait time.Duration) error {
	ws := p.pages.Pick(r)
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	t := p.tell(r, ws, idp.Limitedf("pass_throttled", "access pass of %q from %s", in.userName, in.peer.IP), "", app{})
	minutes := max(1, int(math.Ceil(wait.Minutes())))
	return p.showFlow(w, r, in.flow, in.peer, signInView{
		Open: true, UserName: in.userName, status: t.status,
		Problem: &problem{Code: t.Code, Trace: t.Trace, Text: ws.N("signin.problem.limited", minutes)},
	})
}
