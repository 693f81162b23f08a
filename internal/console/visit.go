package console

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

// freshness is how old the proof behind a change may be (decisions 6.1).
const freshness = 15 * time.Minute

// here remembers in which of several sessions the console was used last.
const hereCookie = "signet-console"

// visit is a request by somebody with a role: whose it is, and in which
// tenant.
type visit struct {
	*Console
	w       http.ResponseWriter
	r       *http.Request
	form    url.Values // of a POST
	files   []web.File // that came with it
	session session.Session
	user    idp.User
	tenant  idp.Tenant
	role    string
	others  []place // further sessions with a role
	peer    signin.Peer
}

// place is a session with a role.
type place struct {
	session session.Session
	user    idp.User
	tenant  idp.Tenant
	role    string
}

// gate lets those in who may use the route, and asks for what is missing.
func (c *Console) gate(rt route) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		var form url.Values
		var files []web.File
		if r.Method == http.MethodPost {
			var err error
			if form, files, err = c.read(w, r, rt); err != nil {
				return err
			}
		}
		if !plainText(r.URL.Path) || !allText(r.URL.Query()) || !allText(form) {
			return idp.Invalidf("no_text", "bytes that are no text").Say("The request has characters that no text has.")
		}
		v, err := c.visitor(w, r, form.Get("whose"))
		if err != nil || v == nil {
			return err
		}
		v.form, v.files = form, files
		if rt.role == directory.Administrator && v.role != directory.Administrator {
			return idp.Deniedf("role_missing", "%s is %s", v.user.ID, v.role).
				Say("Only an administrator can open this. You are signed in as the help desk.")
		}
		change := r.Method == http.MethodPost && rt.says != ""
		step, err := v.stands(change)
		switch {
		case err != nil:
			return err
		case step.Kind == signin.Done:
			return rt.do(r.Context(), v)
		case change:
			return v.prove(rt.says)
		case r.Method == http.MethodGet:
			return c.cfg.SignIn(w, r, step.Flow, step)
		}
		return idp.Unprovenf("session_refused", "policy asks for %s", step.Kind).
			Say("What you signed in with is no longer enough here, and nothing was changed. Sign in again.")
	}
}

// large are the addresses whose forms may be larger than others, and may bring
// files.
var large = map[string]int64{
	"POST " + certAddPath: trust.MaxUpload, "POST " + certAddPath + "/save": 2 * trust.MaxUpload, "POST " + certTestPath: trust.MaxUpload,
}

// read reads a form. What is large is read of those only who are signed in with
// a role.
func (c *Console) read(w http.ResponseWriter, r *http.Request, rt route) (url.Values, []web.File, error) {
	limit := large[rt.pattern]
	if limit == 0 {
		form, err := web.Lists(w, r)
		return form, nil, err
	}
	if _, err := c.visitor(w, r, ""); err != nil {
		return nil, nil, err
	}
	return web.Upload(w, r, limit)
}

// plainText says whether both databases take s as a text; what they do not take
// is nobody's name.
func plainText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

func allText(values url.Values) bool {
	for _, list := range values {
		if slices.ContainsFunc(list, func(s string) bool { return !plainText(s) }) {
			return false
		}
	}
	return true
}

// visitor finds the session that a request is about. sender is what a form
// says of whose page it was on. nil: the reply is written, because nobody with
// a role is signed in here.
func (c *Console) visitor(w http.ResponseWriter, r *http.Request, sender string) (*visit, error) {
	all, err := c.cfg.Sessions.AllFromRequest(r.Context(), r)
	if err != nil {
		return nil, err
	}
	places, err := c.places(r.Context(), all)
	if err != nil {
		return nil, err
	}
	peer := signin.Peer{IP: web.ClientIP(r), Agent: r.UserAgent(), Browser: c.cfg.Sessions.Browser(w, r), Trace: web.Trace(r.Context())}
	asked := idp.TenantID(r.URL.Query().Get("tenant"))
	at := choose(places, asked, sender, c.here(r))
	switch {
	case at >= 0:
	case r.Method != http.MethodGet:
		return nil, idp.Unprovenf("no_session", "nobody with a role is signed in").
			Say("You are signed out here, and nothing was changed. Sign in and send it again.")
	case len(all) > 0 && asked == "":
		return nil, idp.Deniedf("no_role", "user %s has no role", all[0].User).
			Say("This console is for administrators and the help desk. You are signed in, but have neither role.")
	default:
		return nil, c.signIn(w, r, asked, peer)
	}
	p := places[at]
	v := &visit{Console: c, w: w, r: r, session: p.session, user: p.user, tenant: p.tenant, role: p.role, peer: peer}
	v.others = slices.Delete(slices.Clone(places), at, at+1)
	if asked != "" {
		c.pages.Keep(w, hereCookie, string(p.session.ID))
	}
	return v, nil
}

// places are the sessions of people with a role, not those on a pass, which
// serve to add a method and nothing else (decisions 2.8).
func (c *Console) places(ctx context.Context, all []session.Session) ([]place, error) {
	var out []place
	for _, s := range all {
		if s.Restricted || signin.OnPass(s) {
			continue
		}
		u, err := c.cfg.Directory.User(ctx, c.cfg.DB, s.Tenant, s.User)
		if errors.Is(err, idp.NotFound) || err == nil && !u.Enabled {
			continue
		}
		if err != nil {
			return nil, err
		}
		roles, err := c.cfg.Directory.Roles(ctx, s.Tenant, s.User)
		if err != nil && !errors.Is(err, idp.NotFound) {
			return nil, err
		}
		if len(roles) == 0 {
			continue
		}
		t, err := c.cfg.Directory.Tenant(ctx, s.Tenant)
		if err != nil {
			return nil, err
		}
		out = append(out, place{s, u, t, roles[0]})
	}
	return out, nil
}

// choose picks, of the places in the tenant that is asked for and of the person
// who sent a form, the one used last, else the first; -1: there is none. Both
// may be empty. A form is never sent as somebody else than its page was made
// for: in another tab the console may be in another tenant by now, or that
// session may be over.
func choose(places []place, asked idp.TenantID, sender string, last idp.SessionID) int {
	fits := func(p place) bool {
		return (asked == "" || p.tenant.ID == asked) && (sender == "" || whose(p.tenant.ID, p.user.ID) == sender)
	}
	if at := slices.IndexFunc(places, func(p place) bool { return p.session.ID == last && fits(p) }); at >= 0 {
		return at
	}
	return slices.IndexFunc(places, fits)
}

// whose names a person of a tenant in a form.
func whose(t idp.TenantID, u idp.UserID) string { return string(t) + "/" + string(u) }

func (c *Console) here(r *http.Request) idp.SessionID {
	k, err := r.Cookie(c.pages.CookieName(hereCookie))
	if err != nil {
		return ""
	}
	return idp.SessionID(k.Value)
}

// signIn begins a sign-in at the tenant, the only one, or one to be named.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request, at idp.TenantID, peer signin.Peer) error {
	if at == "" {
		tenants, err := c.cfg.Directory.Tenants(r.Context())
		if err != nil {
			return err
		}
		if len(tenants) != 1 {
			return web.SeeOther(w, r, "/account?other=1&to=admin")
		}
		at = tenants[0].ID
	}
	t, err := c.cfg.Directory.Resolve(r.Context(), string(at))
	if err != nil {
		return err
	}
	f, err := newFlow(t.ID, carried{Path: local(r.URL.RequestURI())})
	if err != nil {
		return err
	}
	step, err := c.cfg.Corridor.Next(r.Context(), f, nil, peer)
	if err != nil {
		return err
	}
	return c.cfg.SignIn(w, r, step.Flow, step)
}

func local(path string) string {
	if page.LocalPath(path) && len(path) < 2048 {
		return path
	}
	return "/admin"
}

// stands asks policy whether the session is good enough as the rules are now
// (security.md POL02), and for a change whether there is a phishing-resistant
// gesture behind it that is new enough.
func (v *visit) stands(change bool) (signin.Step, error) {
	f, err := newFlow(v.tenant.ID, carried{Path: local(v.r.URL.RequestURI())})
	if err != nil {
		return signin.Step{}, err
	}
	f.HintUser = v.user.ID
	if change {
		within := int64(freshness / time.Second)
		f.ACR, f.MaxAge = []string{policy.ACRPhishingResistant}, &within
	}
	return v.cfg.Corridor.Next(v.r.Context(), f, &v.session, v.peer)
}

// admin says whether the visitor is an administrator, not only the help desk.
func (v *visit) admin() bool { return v.role == directory.Administrator }

// page begins a page.
func (v *visit) page(key string, title template.HTML, body any) *page.Page {
	pg := v.pages.Begin(v.r, key, v.tenant, title, body)
	pg.Shell = v.shell(pg)
	return pg
}

// words is the catalogue in the visitor's language.
func (v *visit) words() *page.Words { return v.pages.Pick(v.r) }

func (v *visit) show(status int, pg *page.Page) error { return v.pages.Show(v.w, status, pg) }

// leave goes to another page after a change; done is the key of what to say
// there: "done.<word>".
func (v *visit) leave(to, done string) error {
	if done != "" {
		u, err := url.Parse(to)
		if err != nil {
			return err
		}
		q := u.Query()
		q.Set("done", done)
		u.RawQuery = q.Encode()
		to = u.String()
	}
	return web.SeeOther(v.w, v.r, to)
}

// notice tells what was just done. The words come from the catalogue, never
// from the address.
func (v *visit) notice() template.HTML {
	word := v.r.URL.Query().Get("done")
	if word == "" || len(word) > 40 {
		return ""
	}
	key := "done." + word
	if text := v.words().T(key); string(text) != template.HTMLEscapeString(key) {
		return text
	}
	return ""
}

// change runs fn and writes its audit record in one transaction. The help desk
// is held against the role that target has in it: somebody may be given one at
// this moment (security.md ADM04).
func (v *visit) change(ctx context.Context, activity string, target idp.User, fn func(context.Context, *sqldb.Tx, *audit.Event) error) error {
	return v.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if !v.admin() && target.Known() {
			role, err := v.cfg.Directory.RoleIn(ctx, tx, v.tenant.ID, target.ID)
			if err != nil {
				return err
			}
			if role != "" {
				return notYours(target.ID, role)
			}
		}
		e := v.event(activity)
		e.User, e.UserName = target.ID, target.Name
		if err := fn(ctx, tx, &e); err != nil {
			return err
		}
		return v.cfg.Audit.Write(ctx, tx, e)
	})
}

// event is how every record of this visit begins.
func (v *visit) event(activity string) audit.Event {
	return audit.Event{
		Tenant: v.tenant.ID, Category: audit.Change, Activity: activity, Outcome: audit.Success,
		Actor: string(v.user.ID), IP: v.peer.IP, Agent: audit.Clean(v.peer.Agent, 256), Trace: v.peer.Trace,
		Detail: map[string]string{},
	}
}
