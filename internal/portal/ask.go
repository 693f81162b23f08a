package portal

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	known "github.com/signetid/signet/internal/browser"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// ask is POST /{t}/signin/ask: a method that is asked by another road. The form
// works without script; what the script adds is what this browser shows of
// itself. What comes next has an address: the number, or the page that was.
func (p *Portal) ask(w http.ResponseWriter, r *http.Request) error {
	v, f, peer, err := p.flowForm(w, r)
	if err != nil {
		return err
	}
	in := answered{
		flow: f, peer: peer, method: idp.MethodID(v.Get("method")),
		userName: page.Clip(strings.TrimSpace(v.Get("username")), maxUserName),
	}
	if waits, err := p.waits(r, f, in.method); err != nil {
		return err
	} else if !waits {
		return idp.Invalidf("method_unknown", "ask of method %.40q", in.method).On("method")
	}
	if ok, wait := p.mayAsk(r); !ok {
		return p.waitToAsk(w, r, &in, wait)
	}
	if in.userName == "" && f.User == "" {
		ws := p.pages.Pick(r)
		return p.showFlow(w, r, f, peer, signInView{status: http.StatusBadRequest, BadName: ws.T("wait.problem.username"), choosing: true})
	}
	scene := method.Scene{}
	if scene.Knows, err = p.knows(r, f, v); err != nil {
		return err
	}
	step, err := p.cfg.Corridor.Ask(r.Context(), f, in.method, in.userName, scene, peer)
	if err != nil {
		return err
	}
	return web.SeeOther(w, r, flowAddress(step.Flow))
}

// asksPerSite is how many times as much a network may ask as one source in it.
const asksPerSite = 20

// mayAsk counts what is written for somebody who has proven nothing.
func (p *Portal) mayAsk(r *http.Request) (ok bool, wait time.Duration) {
	if ok, wait := p.asks.Allow(web.Source(r)); !ok {
		return false, wait
	}
	return p.siteAsks.Allow(web.Site(r))
}

// waits says whether a method is one to ask by another road, and offered.
func (p *Portal) waits(r *http.Request, f signin.Flow, m idp.MethodID) (bool, error) {
	offers, err := p.cfg.Corridor.Offers(r.Context(), f)
	return slices.ContainsFunc(offers, func(o signin.Offer) bool { return o.Waits && o.ID == m }), err
}

// waitToAsk says that too much was asked from here, to known and unknown names
// alike.
func (p *Portal) waitToAsk(w http.ResponseWriter, r *http.Request, in *answered, wait time.Duration) error {
	ws := p.pages.Pick(r)
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	t := p.tell(r, ws, idp.Limitedf("source_throttled", "asks from %s", in.peer.IP), "", app{})
	return p.showFlow(w, r, in.flow, in.peer, signInView{
		Open: true, UserName: in.userName, status: t.status, choosing: true,
		Problem: &problem{Code: t.Code, Trace: t.Trace, Text: ws.T("wait.problem.limited")},
	})
}

// knows are the people whom this browser is known for, as it shows with what it
// asks.
func (p *Portal) knows(r *http.Request, f signin.Flow, v url.Values) ([]idp.UserID, error) {
	if p.cfg.Browsers == nil {
		return nil, nil
	}
	shown := known.ParseShown(v.Get("browser_key"), v.Get("browser_signature"))
	return p.cfg.Browsers.Knows(r.Context(), f.Tenant, f.Browser, shown, known.Message(f.Tenant, v.Get("handle")))
}

// remember keeps that somebody has proven themselves in this browser: known is
// one in which they did so phishing-resistantly, where a method cares. A page
// that asks for a passkey shows the browser's key, or there is none. That it
// could not be kept is no reason to turn somebody away who has signed in; the
// log has it.
func (p *Portal) remember(r *http.Request, in answered, step signin.Step) {
	s := step.Session
	key, shown := known.ParseKey(in.browserKey)
	if p.cfg.Browsers == nil || s.ID == "" || in.method == passkey && !shown {
		return
	}
	ctx := r.Context()
	digest := signin.BrowserDigest(in.peer.Browser)
	err := func() error {
		offers, err := p.cfg.Corridor.Offers(ctx, in.flow)
		if err != nil || !slices.ContainsFunc(offers, func(o signin.Offer) bool { return o.Waits }) {
			return err
		}
		resists := func(proof idp.Proof) bool { return proof.Method == in.method && proof.Has(idp.PhishingResistant) }
		if shown && slices.ContainsFunc(s.Proofs, resists) {
			return p.cfg.Browsers.Remember(ctx, s.Tenant, s.User, digest, key, in.peer.Agent)
		}
		return p.cfg.Browsers.Used(ctx, s.Tenant, s.User, digest)
	}()
	if err != nil {
		web.Note(r, err, 0)
	}
}

// askAgain is POST /{t}/signin/again: nothing has come.
func (p *Portal) askAgain(w http.ResponseWriter, r *http.Request) error {
	_, f, _, err := p.flowForm(w, r)
	if err != nil {
		return err
	}
	if ok, _ := p.mayAsk(r); !ok {
		err = idp.Limitedf("source_throttled", "asks from %s", web.ClientIP(r))
	} else {
		err = p.cfg.Corridor.AskAgain(r.Context(), f)
	}
	if wantsJSON(r) {
		if err != nil {
			return err
		}
		return web.NoContent(w)
	}
	switch {
	case err == nil:
		return web.SeeOther(w, r, flowAddress(f)+"&again=yes")
	case errors.Is(err, idp.Limited):
		return web.SeeOther(w, r, flowAddress(f)+"&again=no")
	case errors.Is(err, idp.Expired):
		return web.SeeOther(w, r, flowAddress(f)) // the page says that it is over
	}
	return err
}

// cancel is POST /{t}/signin/cancel: nobody waits any more.
func (p *Portal) cancel(w http.ResponseWriter, r *http.Request) error {
	_, f, _, err := p.flowForm(w, r)
	if err != nil {
		return err
	}
	if f, err = p.cfg.Corridor.Withdraw(r.Context(), f); err != nil {
		return err
	}
	if !f.Stored() {
		return web.SeeOther(w, r, "/"+string(f.Tenant)+"/signin")
	}
	return web.SeeOther(w, r, flowAddress(f))
}
