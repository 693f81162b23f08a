package drs

import (
	"crypto/x509"
	"net/http"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/enrol"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// Config is what app hands to the door. All fields are required but TLSBaseURL,
// Roots and Limits.
type Config struct {
	BaseURL string // https://id.example, without a slash at the end
	// TLSBaseURL is where client certificates are asked for, in the same form;
	// empty: nowhere.
	TLSBaseURL string
	DB         *sqldb.DB
	Directory  *directory.Directory
	Devices    *device.Registry
	Policies   *policy.Store
	Tokens     *token.Service
	Corridor   *signin.Corridor
	Box        *nonce.Box
	Audit      *audit.Log
	Now        func() time.Time
	// Roots are the certificates of TPM makers that endorsement keys have to
	// chain to; see ReadRoots. Nil: no maker is known, nothing is attested.
	Roots  *x509.CertPool
	Limits Limits
}

// Limits bound what one source may ask for in a minute.
type Limits struct {
	Nonces int // 0: 60 (decisions 3.7)
	Asks   int // everything else; 0: 240
}

// Server is the device registration service.
type Server struct {
	cfg    Config
	gate   *enrol.Gate
	nonces *web.Limiter
	asks   *web.Limiter
}

// New makes the door.
func New(cfg Config) *Server {
	cfg.BaseURL, cfg.TLSBaseURL = strings.TrimSuffix(cfg.BaseURL, "/"), strings.TrimSuffix(cfg.TLSBaseURL, "/")
	if cfg.Limits.Nonces == 0 {
		cfg.Limits.Nonces = 60
	}
	if cfg.Limits.Asks == 0 {
		cfg.Limits.Asks = 240
	}
	if cfg.Roots == nil {
		cfg.Roots = x509.NewCertPool()
	}
	return &Server{
		cfg:    cfg,
		gate:   enrol.New(enrol.Config{DB: cfg.DB, Directory: cfg.Directory, Policies: cfg.Policies, Tokens: cfg.Tokens}),
		nonces: web.NewLimiter(cfg.Limits.Nonces, time.Minute, 50_000, cfg.Now),
		asks:   web.NewLimiter(cfg.Limits.Asks, time.Minute, 10_000, cfg.Now),
	}
}

// The addresses, as patterns of the mux. Published clients spell them in many
// ways: app brings them into this one (web.Spelling).
const (
	pathDiscover = "/{t}/Discover"
	pathNonce    = "/EnrollmentServer/nonce/{t}/"
	pathDevices  = "/EnrollmentServer/device/"
	pathDevice   = "/EnrollmentServer/device/{id}"
	pathKey      = "/EnrollmentServer/key/"
	pathAttest   = "/EnrollmentServer/attestation"
)

// Mount adds the door's addresses. All of them answer on every listener; only
// the one that asks for client certificates ever sees any.
func (s *Server) Mount(mux *http.ServeMux) {
	add := func(pattern string, h web.HandlerFunc) { mux.Handle(pattern, s.api(s.phrase, h)) }
	add("GET "+pathDiscover, s.discover)
	add("GET "+pathNonce+"{$}", s.nonce)
	add("POST "+pathDevices+"{$}", s.join)
	add("DELETE "+pathDevice, s.leave)
	add("PUT "+pathDevice, s.hybrid)
	add("POST "+pathAttest, s.attestation)
	mux.Handle("POST "+pathKey+"{$}", s.api(s.phraseKey, s.registerKey))
}

// api is around every address: one source may not ask without end, and replies
// carry the ids by which a request is found again (device-protocol.md §1.3).
func (s *Server) api(phrase web.Phrase, h web.HandlerFunc) http.Handler {
	return web.Adapt(phrase, func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("x-ms-request-id", web.Trace(r.Context()))
		w.Header().Set("Pragma", "no-cache")
		if id := clientRequest(r); id != "" && strings.EqualFold(r.Header.Get("return-client-request-id"), "true") {
			w.Header().Set("client-request-id", id)
		}
		if ok, _ := s.asks.Allow(web.Source(r)); !ok {
			return idp.Limitedf("device_requests", "source %s", web.ClientIP(r)).Coded(codeTooMany)
		}
		return h(w, r)
	})
}

// clientRequest is the id that a client gave its request, if it is a GUID.
func clientRequest(r *http.Request) string {
	id := r.Header.Get("client-request-id")
	if len(id) != 36 || strings.Trim(id, "0123456789abcdefABCDEF-") != "" {
		return ""
	}
	return id
}

// peer is who sent a request, for the audit.
func peer(r *http.Request) signin.Peer {
	return signin.Peer{IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(r.Context())}
}
