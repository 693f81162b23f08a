package oidc

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// Config is what app hands to the door. All fields are required except the
// limits.
type Config struct {
	BaseURL   string // https://id.example, without a slash at the end
	TLSURL    string // of the listener that asks for client certificates; empty: there is none
	DB        *sqldb.DB
	Directory *directory.Directory
	Clients   *client.Registry
	Policies  *policy.Store
	Sessions  *session.Store
	Tokens    *token.Service
	Keys      *keyring.Ring
	Corridor  *signin.Corridor
	Box       *nonce.Box
	Audit     *audit.Log
	Now       func() time.Time
	// Epoch is the Unix time of the last restore, or of the installation. Nil:
	// there was none.
	Epoch func() int64

	// Devices is what registered devices come to; nil: there are none.
	Devices *Devices

	// SignIn shows the page for a flow that a person must go on with.
	SignIn func(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) error
	// ErrorPage phrases an error that must not reach the application.
	ErrorPage func(w http.ResponseWriter, r *http.Request, err error)
	// LogoutPage asks whether the person really wants to sign out.
	LogoutPage func(w http.ResponseWriter, r *http.Request, p LogoutPrompt) error
	// SignedOut is the address of the page after a sign-out that leads nowhere
	// else: "/signed-out".
	SignedOut string

	Limits Limits
}

// Limits bound, for each source, what costs us something: failures at the
// endpoints that applications call (for each client too), and server nonces.
type Limits struct {
	FailuresPerClient int // a minute; 0: 60
	FailuresPerSource int // a minute; 0: 600
	Nonces            int // server nonces a minute and source; 0: 60 (decisions 3.7)
}

// Server is the OpenID provider door.
type Server struct {
	cfg       Config
	perClient *web.Limiter
	perSource *web.Limiter
	nonces    *web.Limiter
	polls     *web.Limiter // by device code
}

// New makes the door.
func New(cfg Config) *Server {
	cfg.BaseURL, cfg.TLSURL = strings.TrimSuffix(cfg.BaseURL, "/"), strings.TrimSuffix(cfg.TLSURL, "/")
	if cfg.Epoch == nil {
		cfg.Epoch = func() int64 { return 0 }
	}
	if cfg.Limits.FailuresPerClient == 0 {
		cfg.Limits.FailuresPerClient = 60
	}
	if cfg.Limits.FailuresPerSource == 0 {
		cfg.Limits.FailuresPerSource = 600
	}
	if cfg.Limits.Nonces == 0 {
		cfg.Limits.Nonces = 60
	}
	return &Server{
		cfg:       cfg,
		perClient: web.NewLimiter(cfg.Limits.FailuresPerClient, time.Minute, 10_000, cfg.Now),
		perSource: web.NewLimiter(cfg.Limits.FailuresPerSource, time.Minute, 10_000, cfg.Now),
		nonces:    web.NewLimiter(cfg.Limits.Nonces, time.Minute, 50_000, cfg.Now),
		// Every four seconds, and once more: the network is not a clock.
		polls: web.NewLimiter(2, 2*(pollEvery-time.Second), 50_000, cfg.Now),
	}
}

// Mount adds the door's addresses (product.md §5): those of the v2.0 endpoints
// and their v1 twins, which differ in nothing but the path.
func (s *Server) Mount(mux *http.ServeMux) {
	page := func(h web.HandlerFunc) http.Handler { return s.page(h) }
	// An API answers as one to every method: a page for people would be none
	// of its forms.
	api := func(path, allow string, h http.Handler) {
		for method := range strings.SplitSeq(allow, ", ") {
			mux.Handle(method+" "+path, h)
		}
		mux.Handle(path, s.wrongMethod(allow))
	}
	// Scripts of any origin may call these.
	public := func(path, allow string, h http.Handler) {
		api(path, allow, open(h))
		mux.Handle("OPTIONS "+path, preflight(allow))
	}
	for _, v := range []string{"/{t}/oauth2/v2.0", "/{t}/oauth2"} {
		mux.Handle("GET "+v+"/authorize", page(s.authorize))
		mux.Handle("POST "+v+"/authorize", page(roundByGet(s.authorize)))
		mux.Handle("GET "+v+"/logout", page(s.logout))
		mux.Handle("POST "+v+"/logout", page(roundByGet(s.logout)))
		public(v+"/token", "POST", s.api(s.token))
		api(v+"/devicecode", "POST", s.api(s.deviceCode))
	}
	api("/{t}/oauth2/v2.0/introspect", "POST", s.api(s.introspect))
	api("/{t}/oauth2/v2.0/revoke", "POST", s.api(s.revoke))
	public("/{t}/openid/userinfo", "GET, POST", s.bearer(s.userinfo))
	for _, v := range []string{"/{t}/v2.0", "/{t}"} {
		public(v+"/.well-known/openid-configuration", "GET", s.api(s.discovery))
	}
	for _, v := range []string{"/{t}/discovery/v2.0", "/{t}/discovery"} {
		public(v+"/keys", "GET", s.api(s.keys))
	}
	s.mountSmall(func(path string, h web.HandlerFunc) { api(path, "GET", s.api(h)) })
	mux.HandleFunc("GET "+formPostPath, serveFormPostScript)
}

// Issuer is the one issuer of a tenant (decisions 3.1).
func (s *Server) Issuer(t idp.TenantID) string { return s.cfg.BaseURL + "/" + string(t) + "/v2.0" }

// Shared by all replies: nobody may write into these.
var (
	anyOrigin = []string{"*"}
	exposed   = []string{"WWW-Authenticate, Retry-After, X-Ms-Request-Id"}
)

// open lets scripts of any origin read the reply, without credentials: a
// cookie is never part of what these endpoints believe (security.md OAU22).
func open(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Access-Control-Allow-Origin"] = anyOrigin
		h["Access-Control-Expose-Headers"] = exposed
		next.ServeHTTP(w, r)
	})
}

func preflight(methods string) http.Handler {
	return open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Client-Request-Id, Return-Client-Request-Id")
		h.Set("Access-Control-Max-Age", "3600")
		w.WriteHeader(http.StatusNoContent)
	}))
}

// page adapts handlers that a person looks at.
func (s *Server) page(h web.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			web.Note(r, err, code(err))
			s.cfg.ErrorPage(w, r, err)
		}
	})
}

// tenant is the tenant of a request.
type tenant struct {
	idp.Tenant
	Issuer string
}

// tenant finds whom the path means: an id, a verified domain name, or common,
// which is the tenant that hint names, or else the only one there is.
func (s *Server) tenant(ctx context.Context, ref string, hint func() (idp.TenantID, error)) (tenant, error) {
	if isCommon(ref) {
		id, err := s.commonTenant(ctx, hint)
		if err != nil {
			return tenant{}, err
		}
		ref = string(id)
	}
	t, err := s.cfg.Directory.Resolve(ctx, ref)
	if err != nil {
		return tenant{}, unknownTenant(ref, err)
	}
	return tenant{Tenant: t, Issuer: s.Issuer(t.ID)}, nil
}

func isCommon(ref string) bool { return ref == "common" || ref == "organizations" }

func (s *Server) commonTenant(ctx context.Context, hint func() (idp.TenantID, error)) (idp.TenantID, error) {
	all, err := s.cfg.Directory.Tenants(ctx)
	if err != nil {
		return "", err
	}
	if len(all) == 1 {
		return all[0].ID, nil
	}
	if hint == nil {
		return "", unknownTenant("common", idp.NotFound)
	}
	id, err := hint()
	if err != nil {
		return "", unknownTenant("common", err)
	}
	return id, nil
}

func unknownTenant(ref string, cause error) error {
	if k := idp.AsError(cause).Kind; k != idp.NotFound && k != idp.Invalid {
		return cause
	}
	return fault(idp.NotFound, "invalid_request", codeUnknownTenant, "tenant_unknown",
		"There is no such organisation here. Check the address.", "tenant %q: %w", clip(ref), cause)
}

// byClient is the tenant hint of requests that name a client.
func (s *Server) byClient(ctx context.Context, id string) func() (idp.TenantID, error) {
	return func() (idp.TenantID, error) { return s.cfg.Clients.Locate(ctx, idp.ClientID(id)) }
}

// lookup finds an enabled client of the tenant.
func (s *Server) lookup(ctx context.Context, t idp.TenantID, id idp.ClientID) (client.Client, error) {
	c, err := s.cfg.Clients.Get(ctx, t, id)
	if err != nil {
		if idp.AsError(err).Kind != idp.NotFound {
			return c, err
		}
		return c, fault(idp.Unproven, "invalid_client", codeUnknownClient, "client_unknown",
			"There is no such application in this organisation.", "client %q: %w", clip(string(id)), err)
	}
	if !c.Enabled {
		return c, fault(idp.Denied, "invalid_client", codeClientDisabled, "client_disabled",
			"The application is switched off.", "client %s", id)
	}
	return c, nil
}

// peer is who asks, for audit and session rows. A silent request makes no
// flow that would have to be bound to the browser, hence no cookie.
func (s *Server) peer(w http.ResponseWriter, r *http.Request, q request) signin.Peer {
	p := signin.Peer{IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(r.Context())}
	if !q.prompts("none") {
		p.Browser = s.cfg.Sessions.Browser(w, r)
	}
	return p
}
