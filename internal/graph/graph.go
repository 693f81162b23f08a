package graph

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

// Config is what the door calls.
type Config struct {
	BaseURL   string // also the resource whose scopes open this API
	DB        *sqldb.DB
	Directory *directory.Directory
	Clients   *client.Registry
	Audit     *audit.Log
	Tokens    *token.Service
	Now       func() time.Time
	Corridor  *signin.Corridor
	Policies  *policy.Store
	// Models are the key models that are known, to find typing errors in lists
	// of them; nil: none.
	Models policy.Models
	// IssuePass makes an access pass in the transaction of its audit event;
	// zero and nil leave it to the policy. PreparePass is called before that
	// transaction, for what it needs and cannot make itself.
	IssuePass   func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, lifetime time.Duration, once *bool) (string, method.Credential, error)
	PreparePass func(context.Context, idp.TenantID) error
	// RevokeUser ends all sessions and tokens of a user.
	RevokeUser func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error
	// Devices keeps the register of machines, Hygiene lists and clears keys.
	Devices *device.Registry
	Hygiene *hygiene.Keeper
	// Trust keeps certificate authorities.
	Trust *trust.Store
	// OnDevice says what stands on a device; nil: nothing does.
	OnDevice func(context.Context, idp.TenantID, idp.DeviceID) (Standing, error)
	// Requests is how many a minute one caller may send; 0: 600.
	Requests int
}

// Server is the door. It is safe for concurrent use.
type Server struct {
	cfg    Config
	limits *web.Limiter
}

// New makes the door.
func New(cfg Config) *Server {
	if cfg.Requests == 0 {
		cfg.Requests = 600
	}
	return &Server{cfg: cfg, limits: web.NewLimiter(cfg.Requests, time.Minute, 10_000, cfg.Now)}
}

// Versions of the API. They are one here: what Graph has in beta only is an
// addition that v1.0 carries too (entra-behaviours.md §15).
var (
	versions = []string{"/v1.0", "/beta"}
	prefixes = []string{"/v1.0/", "/beta/"}
)

// Around serves the addresses of this API and hands all others on to next. It
// stands before the other doors, not among them: those have addresses that
// begin with any tenant, of which a mux could not tell a version.
func (s *Server) Around(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	s.mount(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, p := range prefixes {
			if strings.HasPrefix(r.URL.Path, p) {
				mux.ServeHTTP(w, plainPath(r))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// plainPath rewrites the ways in which OData names one thing by a key, or calls
// a function with a parameter, to a path that a mux can tell and a query.
func plainPath(r *http.Request) *http.Request {
	path, query := keyed(r.URL.Path), r.URL.RawQuery
	for _, v := range versions {
		// Older roads to the same things, which clients still take.
		if rest, ok := strings.CutPrefix(path, v+"/authenticationMethodsPolicy/"); ok {
			path = v + methodsPolicy + "/" + rest
		}
		if rest, ok := strings.CutPrefix(path, v+strengthRoot+"s/"); ok {
			path = v + strengthRoot + "/" + rest
		}
	}
	if before, params, ok := called(path); ok {
		path, query = before, strings.Trim(query+"&"+params.Encode(), "&")
	}
	if path == r.URL.Path {
		return r
	}
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = path, "", query
	return r
}

// functions are those that clients call with parameters in parentheses.
var functions = []string{"creationOptions", "usersRegisteredByMethod", "usersRegisteredByFeature"}

// called splits a call of a function, …/name(a=1,b='x'), into its path and its
// parameters (OData 4.01, Part 2, Section 4.5).
func called(path string) (before string, params url.Values, ok bool) {
	at := strings.LastIndex(path, "/") + 1
	name, inside, ok := strings.Cut(path[at:], "(")
	if !ok || !slices.Contains(functions, name) || !strings.HasSuffix(inside, ")") {
		return path, nil, false
	}
	params = url.Values{}
	for _, one := range strings.Split(strings.TrimSuffix(inside, ")"), ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(one), "=")
		if !ok {
			return path, nil, false
		}
		if text, quoted := strings.CutPrefix(value, "'"); quoted {
			if value, ok = strings.CutSuffix(text, "'"); !ok {
				return path, nil, false
			}
		}
		params.Add(key, value)
	}
	return path[:at] + name, params, true
}

func (s *Server) mount(mux *http.ServeMux) {
	// What is in a batch comes by the same road as what comes alone.
	road := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(w, plainPath(r)) })
	for _, v := range versions {
		mux.Handle("POST "+v+"/$batch", s.batch(v, road))
		for _, o := range operations() {
			mux.Handle(o.method+" "+v+o.path, s.handler(v, o))
		}
		mux.Handle(v+"/", web.Adapt(s.phrase, func(http.ResponseWriter, *http.Request) error {
			return idp.NotFoundf("no_resource", "no such resource").Say("Resource not found for the segment.")
		}))
	}
}

// handler is the one road of every operation: who asks, may they, do it.
func (s *Server) handler(version string, o operation) http.Handler {
	return web.Adapt(s.phrase, func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("request-id", web.Trace(r.Context()))
		if id := r.Header.Get("client-request-id"); len(id) <= 64 && plain(id) {
			h.Set("client-request-id", id)
		}
		c := &call{Server: s, w: w, r: r, version: version, op: o}
		var err error
		if c.caller, err = s.identify(r); err != nil {
			return err
		}
		if ok, wait := s.limits.Allow(c.caller.key()); !ok {
			h.Set("Retry-After", seconds(wait))
			return idp.Limitedf("too_many_requests", "caller %s", c.caller.key()).Say("Too many requests. Try again later.")
		}
		if c.tenant, err = s.cfg.Directory.Tenant(r.Context(), c.caller.tenant); err != nil {
			return err
		}
		if err := c.may(r.Context()); err != nil {
			return err
		}
		if c.query, err = parseQuery(r.URL, o.options); err != nil {
			return err
		}
		if !c.query.searched.All() && !strings.EqualFold(r.Header.Get("ConsistencyLevel"), "eventual") {
			return badOption("$search", "Request with $search query parameter only works with the request header 'ConsistencyLevel: eventual'.")
		}
		c.query.where = filter.And(c.query.where, c.query.searched)
		out, err := o.do(r.Context(), c)
		if err != nil {
			return err
		}
		return c.reply(out)
	})
}

// call is one request under way.
type call struct {
	*Server
	w       http.ResponseWriter
	r       *http.Request
	version string
	op      operation
	caller  caller
	tenant  idp.Tenant
	query   query
	read    string // @odata.etag in the body
}

// change runs fn and writes its audit record in one transaction.
func (c *call) change(ctx context.Context, activity string, target idp.UserID, fn func(context.Context, *sqldb.Tx, *audit.Event) error) error {
	return c.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		e := c.record(ctx, activity, target)
		if err := fn(ctx, tx, &e); err != nil {
			return err
		}
		return c.cfg.Audit.Write(ctx, tx, e)
	})
}

// record is what the event of a change begins with.
func (c *call) record(ctx context.Context, activity string, target idp.UserID) audit.Event {
	return audit.Event{
		Tenant: c.tenant.ID, Category: audit.Change, Activity: activity, Outcome: audit.Success,
		Actor: c.caller.actor(), Client: c.caller.client, User: target,
		IP: web.ClientIP(c.r), Agent: audit.Clean(c.r.UserAgent(), 256), Trace: web.Trace(ctx), Detail: map[string]string{},
	}
}
