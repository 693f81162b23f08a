package psso

import (
	"context"
	"crypto/x509"
	"net/http"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/enrol"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// Config is what app hands to the door. All fields are required but Roots,
// Card, Extension, App, Placeholder and Limits.
type Config struct {
	BaseURL   string // https://id.example, without a slash at the end
	DB        *sqldb.DB
	Directory *directory.Directory
	Clients   *client.Registry
	Policies  *policy.Store
	Devices   *device.Registry
	Macs      *mac.Registry
	Keys      *keyring.Ring
	PRTs      *prt.Service
	Sessions  *session.Store
	Tokens    *token.Service
	Corridor  *signin.Corridor
	Box       *nonce.Box
	Audit     *audit.Log
	Now       func() time.Time
	// Roots are the certificates that attestations of Macs have to chain to
	// (apple-platform-sso.md §9.4). Nil: nothing is attested.
	Roots *x509.CertPool
	// UserKey is the key of a person that a Mac keeps under that name; NotFound
	// when there is none.
	UserKey func(context.Context, idp.TenantID, idp.DeviceID, pssowire.KeyID) (method.Credential, error)
	// Card says whose a smart card is, by all the rules of certificates, or for
	// what reason it signs nobody in. Nil: no cards are registered.
	Card func(context.Context, idp.TenantID, []*x509.Certificate) (idp.UserID, string, error)
	// Extension and App are our programs on a Mac, as TEAMID.bundle; empty:
	// nobody has named any, and there is no profile (decisions 5.2).
	Extension, App string
	Placeholder    bool // they are the demo's, which nobody has made
	Limits         Limits
}

// Limits bound what one source may ask for in a minute.
type Limits struct {
	Nonces   int // 0: 60 (decisions 3.7)
	Failures int // messages that were refused; 0: 60
	Asks     int // what our extension asks for: registrations, configuration; 0: 240
	// Unlocks are what one Mac may ask of the key service for one person; 0: 60.
	Unlocks int
}

// Server is the door for Macs.
type Server struct {
	cfg      Config
	gate     *enrol.Gate
	nonces   *web.Limiter
	failures *web.Limiter
	asks     *web.Limiter
	unlocks  *web.Limiter // by Mac and person
}

// New makes the door.
func New(cfg Config) *Server {
	cfg.BaseURL = strings.TrimSuffix(cfg.BaseURL, "/")
	for _, l := range []struct {
		limit *int
		usual int
	}{{&cfg.Limits.Nonces, 60}, {&cfg.Limits.Failures, 60}, {&cfg.Limits.Asks, 240}, {&cfg.Limits.Unlocks, 60}} {
		if *l.limit == 0 {
			*l.limit = l.usual
		}
	}
	if cfg.Roots == nil {
		cfg.Roots = x509.NewCertPool()
	}
	return &Server{
		cfg:      cfg,
		gate:     enrol.New(enrol.Config{DB: cfg.DB, Directory: cfg.Directory, Policies: cfg.Policies, Tokens: cfg.Tokens}),
		nonces:   web.NewLimiter(cfg.Limits.Nonces, time.Minute, 50_000, cfg.Now),
		failures: web.NewLimiter(cfg.Limits.Failures, time.Minute, 50_000, cfg.Now),
		asks:     web.NewLimiter(cfg.Limits.Asks, time.Minute, 10_000, cfg.Now),
		unlocks:  web.NewLimiter(cfg.Limits.Unlocks, time.Minute, 50_000, cfg.Now),
	}
}

// The addresses below /{t}, a tenant's id or one of its domains.
const (
	pathNonce = "/psso/nonce"
	pathToken = "/psso/token"
	pathKey   = "/psso/key"

	pathDevice        = "/psso/device"
	pathUser          = "/psso/user"
	pathConfiguration = "/psso/configuration"
)

// pathAudience is what inner assertions are for: no address that answers.
const pathAudience = "/psso"

// Mount adds the door's addresses, each in one line.
func (s *Server) Mount(mux *http.ServeMux) {
	add := func(method, path string, h handler) { mux.Handle(method+" /{t}"+path, s.api(h)) }
	add("POST", pathNonce, s.nonce)
	add("POST", pathToken, s.token)
	add("POST", pathKey, s.key)
	add("POST", pathDevice, s.registration(s.deviceRequest))
	add("POST", pathUser, s.registration(s.userRequest))
	add("DELETE", pathDevice, s.registration(s.leave))
	add("DELETE", pathUser, s.registration(s.forget))
	add("GET", pathConfiguration, s.registration(s.configure))
	s.mountProfile(mux)
}

// address is the absolute address of a path of ours for a tenant, in the one
// spelling that messages may name: with the tenant's id.
func (s *Server) address(t idp.TenantID, path string) string {
	return s.cfg.BaseURL + "/" + string(t) + path
}
