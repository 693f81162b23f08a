package psso

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// AADSTS numbers that this door gives of its own (device-protocol.md §3.2);
// they are for the log and the audit, bodies have none [K].
const (
	codeNonce     = 140000  // nonce missing, or not good any more
	codeSignature = 50006   // signature of a request wrong
	codeToken     = 50027   // request malformed or over
	codeMalformed = 9002313 // form malformed
	codeDevice    = 50155   // device unknown
	codeDeviceOff = 135011  // device disabled
	codeTransport = 5001210 // reply key not usable
	codeHello     = 130005  // a person's key unknown, or its signature wrong
	codeKeyOff    = 130007  // the device of a person's key is disabled
	codeKeyGone   = 130008  // and gone
	codeGrant     = 70003   // grant type not supported
	codeScope     = 70011   // scope missing
	codeClient    = 700016  // application unknown
	codeTenant    = 90002   // no such tenant
	codeRevoked   = 50173   // token revoked, or of another device
	codeTooMany   = 50196   // asks in a loop
	codeCeremony  = 50089   // what the corridor says of a nonce that is spent
)

// The words of error bodies (apple-platform-sso.md §7.6; RFC 6749, Section 5.2).
const (
	wordRequest     = "invalid_request"
	wordUnsupported = "unsupported_grant_type"
	wordClient      = "invalid_client" // the Mac, not its person
	wordGrant       = "invalid_grant"
	wordDenied      = "access_denied"
	wordBusy        = "temporarily_unavailable"
	wordServer      = "server_error"

	subNonce = "nonce" // with invalid_grant: a new nonce may do
)

// Fault is an error with its status and its words.
type Fault struct {
	Status int
	Word   string // error
	Sub    string // suberror; may be empty
	Wait   time.Duration
	Cause  *idp.Error
}

func (f *Fault) Error() string { return f.Cause.Error() }

// Unwrap makes errors.Is and errors.As reach the idp.Error.
func (f *Fault) Unwrap() error { return f.Cause }

// fault makes a Fault. public is what people may read; the formatted text stays
// in our log, and never has a message, a token or a key in it.
func fault(status int, kind idp.Kind, word string, code int, reason, public, format string, args ...any) *Fault {
	return &Fault{Status: status, Word: word, Cause: &idp.Error{
		Kind: kind, Reason: reason, Code: code, Public: public, Err: fmt.Errorf(format, args...),
	}}
}

// malformed is what cannot be read, or lacks what it must have.
func malformed(reason, format string, args ...any) *Fault {
	return fault(http.StatusBadRequest, idp.Invalid, wordRequest, codeMalformed, reason, "The request is malformed.", format, args...)
}

// unsupported is a kind of proof or of message that is not taken.
func unsupported(reason, public, format string, args ...any) *Fault {
	return fault(http.StatusBadRequest, idp.Invalid, wordUnsupported, codeGrant, reason, public, format, args...)
}

// deviceFault is something wrong with the Mac, its key or what it signs for:
// never 401, or its person would be asked for another proof (§7.6).
func deviceFault(kind idp.Kind, code int, reason, public, format string, args ...any) *Fault {
	return fault(http.StatusBadRequest, kind, wordClient, code, reason, public, format, args...)
}

// badNonce is every nonce that is not good.
func badNonce(reason, public string) *Fault {
	f := fault(http.StatusBadRequest, idp.Expired, wordGrant, codeNonce, reason, public, "nonce: %s", reason)
	f.Sub = subNonce
	return f
}

// sayCredential is the one sentence for all that may be wrong with a person's
// proof: which it was is in the log.
const sayCredential = "The sign-in did not verify. Sign in again."

// credential is 401: a person's proof is not good. Its body is one for all
// causes (§7.6; security.md PSO02).
func credential(kind idp.Kind, code int, reason, format string, args ...any) *Fault {
	return fault(http.StatusUnauthorized, kind, wordGrant, code, reason, sayCredential, format, args...)
}

// limited is 429.
func limited(reason string, wait time.Duration, format string, args ...any) *Fault {
	f := fault(http.StatusTooManyRequests, idp.Limited, wordBusy, codeTooMany, reason, "Too many attempts. Wait, then try again.", format, args...)
	f.Wait = wait
	return f
}

// told makes a Fault of any error: rooms and the corridor have no words for
// this door.
func told(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	e := idp.AsError(err)
	if e.Kind == idp.Expired && (e.Reason == "spent" || e.Code == codeCeremony) {
		return badNonce("nonce_spent", "The nonce was used before, or its time is up. Ask for a new one.")
	}
	out := &Fault{Status: http.StatusBadRequest, Word: wordRequest, Cause: e}
	switch e.Kind {
	case idp.Unproven, idp.Expired:
		out.Status, out.Word = http.StatusUnauthorized, wordGrant
	case idp.Denied:
		out.Status, out.Word = http.StatusForbidden, wordDenied
	case idp.Limited:
		out.Status, out.Word = http.StatusTooManyRequests, wordBusy
	case idp.Unavailable:
		out.Status, out.Word = http.StatusServiceUnavailable, wordBusy
	case idp.Internal:
		out.Status, out.Word = http.StatusInternalServerError, wordServer
	}
	return out
}

// ours says whether err is a trouble of our own: then nothing was judged, and a
// message may be sent again.
func ours(err error) bool {
	if err == nil {
		return false
	}
	k := idp.AsError(err).Kind
	return k == idp.Internal || k == idp.Unavailable
}

// errorBody is the shape of every error of this door (§7.6). The extension may
// judge it by a predicate: error and suberror are a contract.
type errorBody struct {
	Error         string `json:"error"`
	Suberror      string `json:"suberror,omitempty"`
	Description   string `json:"error_description"`
	TraceID       string `json:"trace_id"`
	CorrelationID string `json:"correlation_id"`
}

// handler is a web.HandlerFunc of this door.
type handler = web.HandlerFunc

// api is around every address: its errors are phrased here, in JSON and never
// in HTML, and told to the log once.
func (s *Server) api(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.phrase(w, r, err)
		}
	})
}

// defaultWait is how long somebody who asked too often is told to wait.
const defaultWait = time.Minute

func (s *Server) phrase(w http.ResponseWriter, r *http.Request, err error) {
	f := told(err)
	web.Note(r, err, f.Cause.Code)
	if f.Status == http.StatusTooManyRequests || f.Status == http.StatusServiceUnavailable {
		wait := f.Wait
		if wait <= 0 {
			wait = defaultWait
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	trace := web.Trace(r.Context())
	w.Header().Set("Pragma", "no-cache")
	_ = web.JSON(w, f.Status, errorBody{ // the connection is gone: nobody to tell
		Error: f.Word, Suberror: f.Sub, Description: sentence(f.Cause), TraceID: trace, CorrelationID: correlation(r, trace),
	})
}

// sentence is what people may read.
func sentence(e *idp.Error) string {
	if e.Public != "" {
		return e.Public
	}
	switch e.Kind {
	case idp.Unproven, idp.Expired:
		return sayCredential
	case idp.Denied:
		return "A policy of the organisation refuses this."
	case idp.NotFound:
		return "There is no such thing here."
	case idp.Limited:
		return "Too many attempts. Wait, then try again."
	case idp.Unavailable:
		return "Signet cannot answer just now. Try again in a minute."
	case idp.Internal:
		return "Signet could not finish this. Nothing was changed."
	}
	return "The request is malformed or contradicts itself."
}

// correlation is the client's own id of the request when it sent a GUID: macOS
// gives a nonce and the login that uses it the same one (§5).
func correlation(r *http.Request, trace string) string {
	if id, err := uuid.Parse(r.Header.Get("Client-Request-Id")); err == nil {
		return id.String()
	}
	return trace
}

// peer is who sent a request, for the audit.
func peer(r *http.Request) signin.Peer {
	return signin.Peer{IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(r.Context())}
}

// failed records a refusal that burnt nothing, and returns why. What is a
// trouble of our own, or was not judged, is not recorded.
func (s *Server) failed(ctx context.Context, e audit.Event, err error) error {
	why := idp.AsError(err)
	if ours(err) || why.Kind == idp.Limited {
		return err
	}
	e.Outcome, e.Reason, e.Code = audit.Failure, why.Reason, why.Code
	if werr := s.cfg.Audit.Failure(ctx, s.cfg.DB, e); werr != nil {
		return werr
	}
	return err
}

// clip shortens foreign text for the log.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.ToValidUTF8(s, "?")
}
