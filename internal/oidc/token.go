package oidc

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// tokenReply is the answer of the token endpoint (RFC 6749, Section 5.1;
// OpenID Connect Core 1.0, Section 3.1.3.3).
type tokenReply struct {
	TokenType    string `json:"token_type"`
	AccessToken  string `json:"access_token"`
	ExpiresIn    int64  `json:"expires_in"`
	ExtExpiresIn int64  `json:"ext_expires_in"` // clients of Entra read it
	Scope        string `json:"scope,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`

	extras *builtInExtras // for built-in applications alone
}

// exchange is a token request whose client is proven.
type exchange struct {
	tenant tenant
	id     idp.ClientID // as presented
	client client.Client
	params params
	ip     string
	agent  string
	trace  string
}

// grants are the grant types of the token endpoint, each in a file of its own.
var grants = map[string]func(*Server, *http.Request, exchange) (tokenReply, error){
	"authorization_code":   (*Server).redeemCode,
	"refresh_token":        (*Server).refresh,
	"client_credentials":   (*Server).clientCredentials,
	client.GrantDeviceCode: (*Server).deviceGrant,
}

// token is the token endpoint.
func (s *Server) token(w http.ResponseWriter, r *http.Request) (err error) {
	v, typed, err := web.BareForm(w, r)
	if err == nil {
		err = unbindable(v)
	}
	switch {
	case err == nil && v.Get("grant_type") == serverChallenge:
		return s.serverNonce(w, r)
	case err == nil && s.cfg.Devices != nil && v.Get("grant_type") == jwtBearer && v.Has("request"):
		return s.message(w, r, v)
	case err == nil && !typed:
		// Only devices may leave it out: it is what keeps a page of another
		// site from posting here without asking first.
		_, err = web.Form(w, r)
	}
	x, err := s.exchange(r, params(v), err)
	defer func() { err = s.failed(r.Context(), x, err) }()
	if err != nil {
		return err
	}
	grantType := x.params.get("grant_type")
	redeem, ok := grants[grantType]
	if !ok || !slices.Contains(x.client.Grants, grantType) {
		return fault(idp.Denied, "unauthorized_client", codeGrantNotAllowed, "grant_not_allowed",
			"This application is not registered for this grant type.", "grant %q of client %s", clip(grantType), x.client.ID)
	}
	out, err := redeem(s, r, x)
	if err != nil {
		return err
	}
	out.TokenType, out.ExtExpiresIn = "Bearer", out.ExpiresIn
	// RFC 6749, Section 5.1 asks for both headers; JSON sets no-store.
	w.Header().Set("Pragma", "no-cache")
	return web.JSON(w, http.StatusOK, answerFor(r, out))
}

// unbindable refuses a request for a token that is bound to a key of the
// client's (device-protocol.md §9.4): we issue none, and a bearer token in its
// place would be taken for one.
func unbindable(v url.Values) error {
	if kind := v.Get("token_type"); !v.Has("req_cnf") && (kind == "" || strings.EqualFold(kind, "Bearer")) {
		return nil
	}
	return fault(idp.Invalid, "invalid_request", codeMalformed, "pop_unsupported",
		"Tokens that are bound to a key (token_type=pop, req_cnf) are not issued here. Ask for a bearer token, without these parameters.",
		"token_type %q, req_cnf %t", clip(v.Get("token_type")), v.Has("req_cnf"))
}

// exchange judges a request of the token endpoint, whose form may have been
// unreadable, and proves its client. What the grant type is comes first: a
// password must be refused as such, whoever sends it.
func (s *Server) exchange(r *http.Request, p params, err error) (exchange, error) {
	if err != nil {
		return exchange{ip: web.ClientIP(r)}, err
	}
	switch g := p.get("grant_type"); {
	case g == "":
		return exchange{}, missing("grant_type")
	case grants[g] == nil:
		return exchange{}, fault(idp.Invalid, "unsupported_grant_type", codeBadGrant, "unsupported_grant_type",
			"The grant type is not supported.", "grant type %q", clip(g))
	}
	return s.authenticated(r, p)
}

// authenticated proves the client of a token, introspection or revocation
// request.
func (s *Server) authenticated(r *http.Request, p params) (exchange, error) {
	ctx := r.Context()
	x := exchange{params: p, ip: web.ClientIP(r), agent: r.UserAgent(), trace: web.Trace(ctx)}
	creds, err := parseCredentials(r.Header.Get("Authorization"), p)
	x.id = creds.ID
	if err != nil {
		return x, err
	}
	if x.tenant, err = s.tenant(ctx, r.PathValue("t"), s.byClient(ctx, string(creds.ID))); err != nil {
		return x, err
	}
	if err := s.mayTry(x.ip, creds.ID); err != nil {
		return x, err
	}
	if x.client, err = s.lookup(ctx, x.tenant.ID, creds.ID); err != nil {
		return x, err
	}
	return x, s.prove(ctx, x.tenant, x.client, creds)
}

// mayTry refuses those whose requests failed too often lately. A source that
// fails under the name of a client uses up its own allowance, not that of the
// client's other instances.
func (s *Server) mayTry(ip string, id idp.ClientID) error {
	for _, l := range []struct {
		limiter *web.Limiter
		key     string
	}{{s.perSource, web.SourceOf(ip)}, {s.perClient, web.SourceOf(ip) + " " + string(id)}} {
		if full, wait := l.limiter.Full(l.key); full {
			return &limited{wait: wait, cause: idp.Limitedf("token_failures", "source %s", ip).Coded(codeTooMany)}
		}
	}
	return nil
}

// failed notes a failure of an application: it uses up the allowance of
// mayTry, and a client that did not authenticate is recorded. Failures on our
// side do not count, nor does what merely came late: an office behind one
// address whose refresh tokens ran out over the weekend has done nothing wrong.
func (s *Server) failed(ctx context.Context, x exchange, err error) error {
	if err == nil || ours(err) || errors.Is(err, idp.Expired) {
		return err
	}
	s.perSource.Allow(web.SourceOf(x.ip))
	s.perClient.Allow(web.SourceOf(x.ip) + " " + string(x.id))
	if x.tenant.ID == "" || word(err, false) != "invalid_client" {
		return err
	}
	told := s.cfg.Audit.Failure(ctx, s.cfg.DB, audit.Event{
		Tenant: x.tenant.ID, Category: audit.Token, Activity: "token.client", Outcome: audit.Failure,
		Client: x.id, Reason: idp.AsError(err).Reason, Code: code(err), IP: x.ip, Agent: x.agent, Trace: x.trace,
	})
	if told != nil {
		return told
	}
	return err
}

// limited is a Limited error that knows when to come back.
type limited struct {
	wait  time.Duration
	cause *idp.Error
}

func (l *limited) Error() string { return l.cause.Error() }
func (l *limited) Unwrap() error { return l.cause }

// errorBody is Entra's shape of an OAuth error (entra-behaviours.md §13). It
// has no error_uri: there is no page to point to.
type errorBody struct {
	Error         string `json:"error"`
	Description   string `json:"error_description"`
	Codes         []int  `json:"error_codes"`
	Timestamp     string `json:"timestamp"`
	TraceID       string `json:"trace_id"`
	CorrelationID string `json:"correlation_id"`
	Suberror      string `json:"suberror,omitempty"`
	Claims        string `json:"claims,omitempty"`
}

// api adapts the handlers that applications call: this is where their errors
// are phrased and logged.
func (s *Server) api(h web.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Clients that ask for it get their own id of the request back [I].
		if r.Header.Get("Return-Client-Request-Id") == "true" {
			if id := correlation(r, ""); id != "" {
				w.Header().Set("Client-Request-Id", id)
			}
		}
		err := h(w, r)
		if err == nil {
			return
		}
		web.Note(r, err, code(err))
		s.phrase(w, r, err)
	})
}

// phrase writes the error body.
func (s *Server) phrase(w http.ResponseWriter, r *http.Request, err error) {
	name := word(err, false)
	status := http.StatusBadRequest
	switch idp.AsError(err).Kind {
	case idp.Internal, idp.Unavailable, idp.Limited:
		status = web.Status(idp.AsError(err).Kind)
	}
	if name == "invalid_client" {
		status = http.StatusUnauthorized
		// RFC 6749, Section 5.2: who used the header is told which scheme.
		if r.Header.Get("Authorization") != "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="Signet", charset="UTF-8"`)
		}
	}
	var l *limited
	if errors.As(err, &l) {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(l.wait.Seconds()))))
	}
	s.body(w, r, status, err)
}

// body writes the error body alone.
func (s *Server) body(w http.ResponseWriter, r *http.Request, status int, err error) {
	trace := web.Trace(r.Context())
	w.Header().Set("Pragma", "no-cache")
	body := errorBody{
		Error: word(err, false), Codes: []int{code(err)},
		Timestamp: s.cfg.Now().UTC().Format("2006-01-02 15:04:05Z"), TraceID: trace, CorrelationID: correlation(r, trace),
	}
	// People send the one line to whoever is to help them (device-protocol.md §3.2).
	body.Description = description(err, trace) + " Correlation ID: " + body.CorrelationID + " Timestamp: " + body.Timestamp
	if f, ok := asFault(err); ok {
		body.Suberror, body.Claims = f.Sub, f.Claims
	}
	web.JSON(w, status, body)
}

// wrongMethod answers 405 and says what would do (RFC 9110, Section 15.5.6).
func (s *Server) wrongMethod(allow string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := fault(idp.Invalid, "invalid_request", codeMalformed, "wrong_method",
			"This address takes "+allow+".", "method %q, allowed are %s", clip(r.Method), allow)
		web.Note(r, err, code(err))
		w.Header().Set("Allow", allow)
		s.body(w, r, http.StatusMethodNotAllowed, err)
	})
}

// correlation is the client's own id of the request when it sent a GUID.
func correlation(r *http.Request, trace string) string {
	if id, err := uuid.Parse(r.Header.Get("Client-Request-Id")); err == nil {
		return id.String()
	}
	return trace
}
