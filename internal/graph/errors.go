package graph

import (
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// failure is the body of every error (entra-behaviours.md §2.4).
type failure struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Target  string `json:"target,omitempty"`
		Inner   struct {
			Date    string `json:"date"`
			Request string `json:"request-id"`
			Client  string `json:"client-request-id"`
		} `json:"innerError"`
	} `json:"error"`
}

// codes are Graph's words for our kinds.
var codes = map[idp.Kind]string{
	idp.Invalid:     "Request_BadRequest",
	idp.Unproven:    "InvalidAuthenticationToken",
	idp.Expired:     "InvalidAuthenticationToken",
	idp.Denied:      "Authorization_RequestDenied",
	idp.NotFound:    "Request_ResourceNotFound",
	idp.Conflict:    "Request_MultipleObjectsWithSameKeyValue",
	idp.Limited:     "TooManyRequests",
	idp.Unavailable: "ServiceUnavailable",
}

// phrase turns an error into Graph's error body.
func (s *Server) phrase(w http.ResponseWriter, r *http.Request, e *idp.Error) {
	status, code := statusOf(e)
	f := s.explain(w, r, e, code)
	switch {
	case status == http.StatusUnauthorized && e.Reason == "fresh_proof_needed":
		// OpenID Connect Core 1.0, Section 5.5: what the next sign-in is to ask.
		claims := base64.StdEncoding.EncodeToString([]byte(`{"access_token":{"acrs":{"essential":true,"value":"phr"},"auth_time":{"essential":true}}}`))
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="insufficient_claims", claims=%q`, claims))
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	web.JSON(w, status, f)
}

// statusOf is the HTTP status and Graph's word for e.
func statusOf(e *idp.Error) (int, string) {
	status, code := web.Status(e.Kind), codes[e.Kind]
	switch {
	case e.Reason == stale:
		return http.StatusPreconditionFailed, "PreconditionFailed"
	case e.Kind == idp.Expired:
		status = http.StatusUnauthorized
	case e.Reason == "provision_for_oneself":
		return http.StatusMethodNotAllowed, "methodNotAllowed"
	}
	if code == "" {
		code = "InternalServerError"
	}
	return status, code
}

// stale is the reason of a change whose If-Match names an older version.
const stale = "changed_meanwhile"

func (s *Server) explain(w http.ResponseWriter, r *http.Request, e *idp.Error, code string) failure {
	var f failure
	f.Error.Code, f.Error.Message, f.Error.Target = code, e.Public, e.Field
	if f.Error.Message == "" {
		f.Error.Message = defaults[e.Kind]
	}
	if f.Error.Message == "" {
		f.Error.Message = "Signet could not finish this. Nothing was changed."
	}
	trace := web.Trace(r.Context())
	f.Error.Inner.Date = s.cfg.Now().UTC().Format("2006-01-02T15:04:05")
	f.Error.Inner.Request = trace
	f.Error.Inner.Client = trace
	if id := w.Header().Get("client-request-id"); id != "" {
		f.Error.Inner.Client = id
	}
	return f
}

var defaults = map[idp.Kind]string{
	idp.Invalid:     "The request is malformed.",
	idp.Unproven:    "The token is not good here.",
	idp.Denied:      "Insufficient privileges to complete the operation.",
	idp.NotFound:    "Resource does not exist.",
	idp.Conflict:    "Another object with the same value already exists.",
	idp.Limited:     "Too many requests.",
	idp.Unavailable: "The service is unavailable. Try again in a moment.",
}

func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }
