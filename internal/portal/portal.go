package portal

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	known "github.com/signetid/signet/internal/browser"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// Resume goes on where a flow left another door, once the corridor is done
// with it. It writes the reply.
type Resume func(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) error

// Config is what app hands to the portal. What is a func may be nil unless it
// says otherwise: the page then does without.
type Config struct {
	BaseURL   string // https://id.example, without a slash at the end
	DB        *sqldb.DB
	Corridor  *signin.Corridor
	Directory *directory.Directory
	Clients   *client.Registry
	Sessions  *session.Store
	Audit     *audit.Log
	Now       func() time.Time

	// Resume has the other doors by the word in their flows: "oidc".
	Resume map[string]Resume
	// Holding says how many passkeys a person has of how many.
	Holding func(context.Context, idp.TenantID, idp.UserID) (Holding, error)
	// Signals is what a browser is told about the passkeys of a person, in
	// the members of WebAuthn's signal methods; NotFound: nothing to tell.
	Signals func(context.Context, idp.TenantID, idp.UserID) (any, error)
	// Unknown says that no user of this server has the credential.
	Unknown func(context.Context, idp.CredentialID) bool
	// RevokeSession and RevokeUser take back the tokens of an ended session
	// and of a person, in the transaction that ends sessions.
	RevokeSession func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.SessionID) error
	RevokeUser    func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error
	// RevokeGrant takes back the tokens that a person's consent gave to an
	// application, in the transaction that takes back the consent.
	RevokeGrant func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.ClientID) error
	// Devices are the machines that people sign in with; nil: the pages know
	// nothing of any.
	Devices *Devices
	// Phones are those that approve sign-ins; nil: the pages know of none.
	Phones *Phones
	// Remote is about sign-ins on other machines; without it there is no page
	// for their codes.
	Remote Remote
	// CertificateOrigin is where browsers of a tenant are asked for a
	// certificate: scheme, host and port; empty: nowhere, and it is not offered.
	CertificateOrigin func(context.Context, idp.TenantID) (string, error)
	// Browsers are those that people are known in; nil: none is.
	Browsers *known.Registry
	// Stopping is closed when the server stops: who waits is told to go on
	// elsewhere. Nil: it never does.
	Stopping <-chan struct{}
	Limits   Limits
}

// Holding is a number of passkeys and the rules about it (product.md §6).
type Holding struct{ Held, Limit, WarnAt int }

// Full says that no other passkey can be added.
func (h Holding) Full() bool { return h.Limit > 0 && h.Held >= h.Limit }

// Near says that the limit is near.
func (h Holding) Near() bool { return h.WarnAt > 0 && h.Held >= h.WarnAt }

// Limits bound tries (decisions 3.7); 0 is the default.
type Limits struct {
	PassTries int // access passes, for a user name and source in 15 minutes, and 20 times that for a source; 5
	Begins    int // challenges, for a source and method in a minute; 240
	Asks      int // requests by another road, for a source in a minute; 10
}

// Portal is the door for people.
type Portal struct {
	cfg       Config
	pages     *page.Set
	passTries *web.Limiter // by user name and source (decisions 3.7)
	// passSources stops one source that tries many names, and begins is by
	// source and method, so that one method's limit locks nobody out of
	// another (POL06).
	passSources, begins *web.Limiter
	phoneTests          *web.Limiter // by person
	asks, siteAsks      *web.Limiter // by source, and by the network around it: each of them writes (ADR 0022)
	waiters             waitRoom
}

// assetPrefix is where files with a hash in their name are served.
const assetPrefix = "/assets/"

// New makes the portal. A broken catalogue is an error.
func New(cfg Config) (*Portal, error) {
	pages, err := page.New(page.Config{
		BaseURL: cfg.BaseURL, Prefix: assetPrefix, Views: views, Parts: []string{"layout", "parts"}, Files: files,
	})
	if err != nil {
		return nil, err
	}
	tries, asks := cmp.Or(cfg.Limits.PassTries, 5), cmp.Or(cfg.Limits.Asks, 10)
	return &Portal{
		cfg: cfg, pages: pages,
		passTries:   web.NewLimiter(tries, 15*time.Minute, 50_000, cfg.Now),
		passSources: web.NewLimiter(passTriesPerSource*tries, 15*time.Minute, 50_000, cfg.Now),
		begins:      web.NewLimiter(cmp.Or(cfg.Limits.Begins, 240), time.Minute, 50_000, cfg.Now),
		phoneTests:  web.NewLimiter(testsAtMost, testsWithin, 10_000, cfg.Now),
		asks:        web.NewLimiter(asks, time.Minute, 50_000, cfg.Now),
		siteAsks:    web.NewLimiter(asksPerSite*asks, time.Minute, 50_000, cfg.Now),
	}, nil
}

// route is one address and what answers there.
type route struct {
	pattern string // "GET /account"
	handler web.HandlerFunc
}

func (p *Portal) routes() []route {
	all := []route{
		{"GET /{$}", p.home},
		{"GET /{t}/signin", p.signInPage},
		{"POST /{t}/signin/begin", p.begin},
		{"POST /{t}/signin/answer", p.answer},
		{"POST /{t}/signin/ask", p.ask},
		{"POST /{t}/signin/go", p.goAway},
		{"GET /{t}/" + ReturnPath, p.returned},
		{"POST /{t}/signin/again", p.askAgain},
		{"POST /{t}/signin/cancel", p.cancel},
		{"GET /{t}/signin/wait", p.wait},
		{"POST /{t}/signin/choose", p.choose},
		{"POST /{t}/signin/consent", p.consent},
		{"POST /{t}/signin/nudge", p.later},
		{"GET /account", p.account},
		{"POST /account/organisation", p.organisation},
		{"GET /account/register", p.registerPage},
		{"POST /account/register/begin", p.registerBegin},
		{"POST /account/register/finish", p.registerFinish},
		{"GET /account/register/try", p.tryPage},
		{"GET /account/prove", p.provePage},
		{"GET /account/rename", p.renamePage},
		{"POST /account/rename", p.rename},
		{"GET /account/remove", p.removePage},
		{"POST /account/remove", p.remove},
		{"GET /account/take-back", p.takeBackPage},
		{"POST /account/take-back", p.takeBack},
		{"POST /account/sessions/end", p.endSession},
		{"POST /account/sign-out", p.signOut},
		{"POST /account/sign-out-everywhere", p.signOutEverywhere},
		{"GET /device", p.devicePage},
		{"POST /device", p.deviceClaim},
		{"POST /device/answer", p.deviceAnswer},
		{"GET /signed-out", p.signedOut},
		{"POST /appearance", p.pages.Appearance},
		{"GET /.well-known/change-password", p.changePassword},
	}
	if p.cfg.Devices != nil {
		all = append(all, route{"GET /account/device", p.machinePage}, route{"POST /account/device", p.machineDeed})
	}
	if p.cfg.Phones != nil {
		all = append(all, p.phoneRoutes()...)
	}
	return all
}

// Mount adds the pages, what they load, and an honest page for every other
// address and method. Nothing else may be mounted at "/".
func (p *Portal) Mount(mux *http.ServeMux) {
	same := http.NewCrossOriginProtection()
	same.SetDenyHandler(web.Adapt(p.phrase, func(http.ResponseWriter, *http.Request) error {
		return idp.Deniedf("other_origin", "request from another origin")
	}))
	allowed := map[string][]string{}
	for _, rt := range p.routes() {
		method, path, _ := strings.Cut(rt.pattern, " ")
		allowed[path] = append(allowed[path], method)
		mux.Handle(rt.pattern, same.Handler(web.Adapt(p.phrase, rt.handler)))
	}
	for path, methods := range allowed {
		mux.Handle(path, web.Adapt(p.phrase, wrongMethod(methods)))
	}
	p.pages.MountAssets(mux)
	mux.Handle("GET /favicon.ico", http.RedirectHandler(p.pages.Assets().URL("mark.svg"), http.StatusSeeOther))
	mux.Handle("/", web.Adapt(p.phrase, func(_ http.ResponseWriter, r *http.Request) error {
		return idp.NotFoundf("page_unknown", "no page at %.200q", r.URL.Path)
	}))
}

// wrongMethod answers 405 and says what would do (RFC 9110, Section 15.5.6).
func wrongMethod(methods []string) web.HandlerFunc {
	allow := strings.Join(methods, ", ")
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", allow)
		return idp.Invalidf("wrong_method", "method %.20q, allowed are %s", r.Method, allow)
	}
}

// tenant is whose page it is, by id or verified domain.
func (p *Portal) tenant(r *http.Request) (idp.Tenant, error) {
	t, err := p.cfg.Directory.Resolve(r.Context(), r.PathValue("t"))
	if idp.AsError(err) != nil && idp.AsError(err).Kind == idp.NotFound {
		return t, idp.NotFoundf("tenant_unknown", "%w", err).Coded(90002)
	}
	return t, err
}

// peer is who sent the request; it makes the browser's cookie when there is
// none.
func (p *Portal) peer(w http.ResponseWriter, r *http.Request) signin.Peer {
	return signin.Peer{
		IP: web.ClientIP(r), Agent: r.UserAgent(), Browser: p.cfg.Sessions.Browser(w, r), Trace: web.Trace(r.Context()),
	}
}

func (p *Portal) home(w http.ResponseWriter, r *http.Request) error {
	pg := p.newPage(r, "home", idp.Tenant{}, "", nil)
	pg.Title = pg.T("home.title")
	return p.show(w, http.StatusOK, pg)
}

func (p *Portal) signedOut(w http.ResponseWriter, r *http.Request) error {
	pg := p.newPage(r, "out", idp.Tenant{}, "", nil)
	pg.Title = pg.T("out.title")
	return p.show(w, http.StatusOK, pg)
}

// changePassword is where password managers send people (W3C: A Well-Known URL
// for Changing Passwords). There is no password; how one signs in is there.
func (p *Portal) changePassword(w http.ResponseWriter, r *http.Request) error {
	return web.SeeOther(w, r, "/account")
}
