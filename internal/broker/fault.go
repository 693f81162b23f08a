package broker

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// AADSTS numbers of this door (device-protocol.md §3.2) [K].
const (
	codeNonce         = 140000  // nonce missing, or not good any more
	codeSessionKey    = 140001  // session key wrong
	codeSignature     = 50006   // signature of a signed request wrong
	codeToken         = 50027   // signed request malformed or over
	codeMalformed     = 9002313 // request malformed
	codeMissing       = 900144  // parameter missing
	codeKDF           = 5000611 // key derivation version not allowed
	codeDevice        = 50155   // device unknown, or it did not authenticate
	codeDeviceOff     = 135011  // device disabled
	codeTransport     = 5001210 // transport key not usable for this protocol
	codeNoTransport   = 130006  // device has no transport key
	codeHello         = 130005  // key unknown, or signature wrong
	codeUnreadable    = 70000   // token malformed
	codeRevoked       = 50173   // token revoked
	codeGrant         = 70003   // grant type not supported
	codePassword      = 50126   // passwords are refused
	codeScope         = 70011   // scope not allowed
	codeBlocked       = 53003   // policy blocks
	codeUserOff       = 50057   // person disabled
	codeUserGone      = 50034   // person unknown
	codeConsent       = 65001   // consent missing
	codeClient        = 700016  // application unknown
	codeDeviceOnly    = 221000  // device-only tokens are not given for this resource
	codeUnknownTenant = 90002   // no such tenant
	codeStale         = 70043   // proof too old
	codeStepUp        = 50074   // stronger proof needed
	codeEnrol         = 50072   // a method must be registered
	codeMFA           = 50076   // multi-factor proof needed
	codeMFAEnrol      = 50079   // a second factor must be registered
	codeInactive      = 700082  // token expired by inactivity
	codeOver          = 70008   // grant over
	codeOther         = 70001   // application may not use this grant
	codeTooMany       = 50196   // asks in a loop
	codeUnavailable   = 90033   // transient
	codeInternal      = 50000   // our side failed
	codeCeremony      = 50089   // what the corridor says of a nonce that is spent
)

// The words for what a client can do about an error (device-protocol.md §3.2).
const (
	subBadToken = "bad_token"                    // get another
	subExpired  = "token_expired"                // sign in again
	subDevice   = "device_authentication_failed" // join again
	subAction   = "basic_action"                 // ask the person
	subMessage  = "message_only"                 // tell the person
	subConsent  = "consent_required"             // ask the person to agree
)

// subs are the words of numbers, whoever gave them.
var subs = map[int]string{
	codeDevice: subDevice, codeDeviceOff: subDevice,
	codeSessionKey: subBadToken, codeSignature: subBadToken, codeKDF: subBadToken, codeHello: subBadToken,
	codeUnreadable: subBadToken, codeRevoked: subBadToken, codeToken: subBadToken,
	codeInactive: subExpired, codeOver: subExpired, codeStale: subExpired,
	codeMFA: subAction, codeMFAEnrol: subAction, codeEnrol: subAction, codeStepUp: subAction,
	codeBlocked: subMessage, codeConsent: subConsent,
}

// Fault is an error with what OAuth has for it.
type Fault struct {
	Word   string // error
	Sub    string // suberror; empty: that of the number
	Claims string // what would do, as JSON
	Cause  *idp.Error
}

func (f *Fault) Error() string { return f.Cause.Error() }

// Unwrap makes errors.Is and errors.As reach the idp.Error.
func (f *Fault) Unwrap() error { return f.Cause }

// fault makes a Fault. public is what the person at the device may read; the
// formatted text stays in our log, and never has a message or a token in it.
func fault(kind idp.Kind, word string, code int, reason, public, format string, args ...any) *Fault {
	return &Fault{Word: word, Cause: &idp.Error{
		Kind: kind, Reason: reason, Code: code, Public: public, Err: fmt.Errorf(format, args...),
	}}
}

// grantFault is invalid_grant.
func grantFault(kind idp.Kind, code int, reason, public, format string, args ...any) *Fault {
	return fault(kind, "invalid_grant", code, reason, public, format, args...)
}

func malformed(reason, format string, args ...any) *Fault {
	return fault(idp.Invalid, "invalid_request", codeMalformed, reason, "The request is malformed.", format, args...)
}

func missing(name string) *Fault {
	return fault(idp.Invalid, "invalid_request", codeMissing, "missing_parameter",
		"The request must contain the parameter '"+name+"'.", "%s is missing", name)
}

func unsupported(reason, public, format string, args ...any) *Fault {
	return fault(idp.Invalid, "unsupported_grant_type", codeGrant, reason, public, format, args...)
}

// badNonce is every nonce that is not good: which is in the sentence.
func badNonce(reason, public string) *Fault {
	f := grantFault(idp.Expired, codeNonce, reason, public, "nonce: %s", reason)
	f.Sub = subBadToken
	return f
}

// told makes a Fault of any error: rooms and the other doors have words of
// their own, or none.
func told(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	e := idp.AsError(err)
	if e.Kind == idp.Expired && (e.Reason == "spent" || e.Code == codeCeremony) {
		return badNonce("nonce_spent", "The nonce was used before, or its time is up. Ask for a new one.")
	}
	out := &Fault{Word: "invalid_grant", Cause: e}
	var other interface{ OAuth() string }
	if errors.As(err, &other) {
		out.Word = other.OAuth()
		return out
	}
	switch e.Kind {
	case idp.Invalid, idp.Conflict:
		out.Word = "invalid_request"
	case idp.Limited, idp.Unavailable:
		out.Word = "temporarily_unavailable"
	case idp.Internal:
		out.Word = "server_error"
	}
	return out
}

// number is the AADSTS number of an error.
func number(e *idp.Error) int {
	if e.Code != 0 {
		return e.Code
	}
	switch e.Kind {
	case idp.Invalid, idp.Conflict:
		return codeMalformed
	case idp.Denied:
		return codeBlocked
	case idp.NotFound:
		return codeUserGone
	case idp.Limited:
		return codeTooMany
	case idp.Unavailable:
		return codeUnavailable
	case idp.Unproven:
		return codeHello
	case idp.Expired:
		return codeOver
	}
	return codeInternal
}

// sentence is what the person may read.
func sentence(e *idp.Error) string {
	if e.Public != "" {
		return e.Public
	}
	switch e.Kind {
	case idp.Invalid, idp.Conflict:
		return "The request is malformed or contradicts itself."
	case idp.Unproven:
		return "What was presented did not verify."
	case idp.Denied:
		return "A policy of the organisation refuses this."
	case idp.Expired:
		return "What was presented is used or over. Sign in again."
	case idp.Limited:
		return "Too many attempts. Wait, then try again."
	case idp.Unavailable:
		return "Signet cannot answer just now. Try again in a minute."
	}
	return "Signet could not finish this. Nothing was changed."
}

// errorBody is the shape of an error (device-protocol.md §3.2).
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

// phrase writes an error, in plain JSON whatever the message was
// (device-protocol.md §7.4).
func (s *Server) phrase(w http.ResponseWriter, r *http.Request, err error) {
	f := told(err)
	code, trace := number(f.Cause), web.Trace(r.Context())
	web.Note(r, err, code)
	status := http.StatusBadRequest
	switch f.Cause.Kind {
	case idp.Internal, idp.Unavailable, idp.Limited:
		status = web.Status(f.Cause.Kind)
	}
	now := s.cfg.Now().UTC()
	body := errorBody{
		Error: f.Word, Codes: []int{code}, TraceID: trace, CorrelationID: correlation(r, trace),
		Timestamp: now.Format("2006-01-02 15:04:05Z"), Suberror: f.Sub, Claims: f.Claims,
	}
	if body.Suberror == "" && f.Word != "invalid_request" { // of what cannot be read there is nothing to get anew
		body.Suberror = subs[code]
	}
	body.Description = plain(fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
		code, sentence(f.Cause), trace, body.CorrelationID, now.Format(time.RFC3339)))
	w.Header().Set("Pragma", "no-cache")
	web.JSON(w, status, body)
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

// plain drops what RFC 6749, Section 5.2 does not allow in a description.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}

// correlation is the client's own id of the request when it sent a GUID.
func correlation(r *http.Request, trace string) string {
	if id, err := uuid.Parse(r.Header.Get("Client-Request-Id")); err == nil {
		return id.String()
	}
	return trace
}

// clip shortens foreign text for the log.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.ToValidUTF8(s, "?")
}
