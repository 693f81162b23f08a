package drs

import (
	"context"
	"net/http"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// AADSTS numbers of this door (device-protocol.md §3.2; entra-behaviours.md §13).
const (
	codeMalformed = 9002313
	codeDevice    = 50155
	codeDisabled  = 135011
	codeNonce     = 140000
	codePolicy    = 53003
	codeTenant    = 90002
	codeTooMany   = 50196
	codeJoin      = 801002 // [K] the person may not join devices
)

// fault is the body of an error (MS-DVRJ §3.1.5.1.1.3; device-protocol.md §5.3).
// Reason and Code are ours: a stable word, and the number of the log.
type fault struct {
	ErrorType string
	Message   string
	TraceID   string `json:"TraceId"`
	Time      string
	Reason    string
	Code      int `json:",omitempty"`
}

// timeLayout is how the protocol writes the time of an error.
const timeLayout = "01-02-2006 15:04:05Z"

// phrase makes a reply of an error. The protocol knows three numbers for what
// a client did wrong.
func (s *Server) phrase(w http.ResponseWriter, r *http.Request, e *idp.Error) {
	status, kind := statusOf(e)
	about := fault{ErrorType: kind, Message: sentence(e), TraceID: web.Trace(r.Context()), Time: s.stamp(), Reason: e.Reason, Code: e.Code}
	if status >= http.StatusInternalServerError {
		about.Reason, about.Code = "", 0
	}
	challenge(w, status)
	_ = web.JSON(w, status, about) // the connection is gone: nobody to tell
}

func statusOf(e *idp.Error) (int, string) {
	switch e.Kind {
	case idp.Unproven, idp.Expired:
		return http.StatusUnauthorized, "AuthenticationError"
	case idp.Denied:
		return http.StatusForbidden, "AuthorizationError"
	case idp.NotFound, idp.Conflict:
		return http.StatusBadRequest, "DirectoryError"
	case idp.Invalid:
		return http.StatusBadRequest, "InvalidRequest"
	case idp.Limited:
		return http.StatusTooManyRequests, "ServerError"
	case idp.Unavailable:
		return http.StatusServiceUnavailable, "ServerError"
	}
	return http.StatusInternalServerError, "ServerError"
}

func challenge(w http.ResponseWriter, status int) {
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
	}
}

// sentence is what a stranger may read.
func sentence(e *idp.Error) string {
	if e.Public != "" {
		return e.Public
	}
	switch e.Kind {
	case idp.Invalid:
		return "The request is malformed or contradicts itself."
	case idp.Unproven, idp.Expired:
		return "What was presented did not verify, or is over. Sign in again."
	case idp.Denied:
		return "A policy of the organisation refuses this."
	case idp.NotFound:
		return "There is no such thing here."
	case idp.Conflict:
		return "This exists already."
	case idp.Limited:
		return "Too many attempts. Wait, then try again."
	case idp.Unavailable:
		return "Signet cannot answer just now. Try again in a minute."
	}
	return "Signet could not finish this. Nothing was changed."
}

// keyFault is the body of an error about user keys (MS-KPP §2.2.2.2;
// device-protocol.md §6). One published client reads error.message.
type keyFault struct {
	Code          string        `json:"code"`
	Subcode       string        `json:"subcode"`
	Message       string        `json:"message"`
	Response      string        `json:"response"`
	Target        string        `json:"target"`
	ClientRequest string        `json:"clientrequestid"`
	Time          string        `json:"time"`
	Inner         keyFaultInner `json:"innererror"`
	Error         keyFaultError `json:"error"`
}

type keyFaultInner struct {
	Trace   string `json:"trace"`
	Context string `json:"context"`
}

type keyFaultError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (s *Server) phraseKey(w http.ResponseWriter, r *http.Request, e *idp.Error) {
	status, kind := statusOf(e)
	reason := e.Reason
	if status >= http.StatusInternalServerError {
		reason = ""
	}
	// The protocol has no 403 for keys: what a token does not allow is 401.
	if status == http.StatusForbidden {
		status = http.StatusUnauthorized
	}
	text := sentence(e)
	challenge(w, status)
	_ = web.JSON(w, status, keyFault{ // the connection is gone: nobody to tell
		Code: kind, Subcode: reason, Message: text, Response: "ERROR", Target: "key", ClientRequest: clientRequest(r),
		Time: s.stamp(), Inner: keyFaultInner{Trace: web.Trace(r.Context()), Context: reason}, Error: keyFaultError{Code: kind, Message: text},
	})
}

func (s *Server) stamp() string { return s.cfg.Now().UTC().Format(timeLayout) }

// failed records that something was refused, and returns why.
func (s *Server) failed(ctx context.Context, e audit.Event, err error) error {
	why := idp.AsError(err)
	switch why.Kind {
	case idp.Internal, idp.Unavailable, idp.Limited:
		return err // nothing was judged
	}
	e.Outcome, e.Reason, e.Code = audit.Failure, why.Reason, why.Code
	if werr := s.cfg.Audit.Failure(ctx, s.cfg.DB, e); werr != nil {
		return werr
	}
	return err
}
