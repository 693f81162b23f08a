package oidc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// Fault is an error with the word that OAuth has for it. Errors of lower rooms
// have no such word; word finds one by their Kind.
type Fault struct {
	Word   string // an error code of RFC 6749, OpenID Connect Core or their kin
	Sub    string // suberror of a token response; may be empty
	Claims string // claims of a token response: what would do; may be empty
	Cause  *idp.Error
}

// OAuth is the error code, for the door beside this one.
func (f *Fault) OAuth() string { return f.Word }

func (f *Fault) Error() string { return f.Cause.Error() }

// Unwrap makes errors.Is and errors.As reach the idp.Error.
func (f *Fault) Unwrap() error { return f.Cause }

// fault makes a Fault. public is what the application's developer reads; the
// formatted text stays in our log.
func fault(kind idp.Kind, word string, code int, reason, public, format string, args ...any) *Fault {
	return &Fault{Word: word, Cause: &idp.Error{
		Kind: kind, Reason: reason, Code: code, Public: public, Err: fmt.Errorf(format, args...),
	}}
}

// badRequest is invalid_request about one parameter.
func badRequest(param, public, format string, args ...any) *Fault {
	f := fault(idp.Invalid, "invalid_request", codeMalformed, "bad_"+param, public, format, args...)
	f.Cause.Field = param
	return f
}

// repeated is invalid_request about a parameter that is there more than once.
// Its name is a stranger's text and stays in our log.
func repeated(names []string) *Fault {
	return fault(idp.Invalid, "invalid_request", codeMalformed, "duplicate_parameter",
		"A parameter was sent more than once.", "%q given more than once", clip(names[0]))
}

// missing is invalid_request about a parameter that is not there.
func missing(param string) *Fault {
	f := fault(idp.Invalid, "invalid_request", codeMissingParameter, "missing_parameter",
		"The request must contain the parameter '"+param+"'.", "%s is missing", param)
	f.Cause.Field = param
	return f
}

// AADSTS numbers of this door (entra-behaviours.md §13, and the published list
// for those that section leaves out).
const (
	codeMissingParameter   = 900144  // a required parameter is absent
	codeMalformed          = 9002313 // malformed or contradictory request
	codeBadRedirect        = 50011   // redirect URI not registered
	codeUnknownTenant      = 90002   // no such tenant
	codeUnknownClient      = 700016  // no such application in the tenant
	codeClientDisabled     = 7000112 // application switched off
	codeBadSecret          = 7000215 // client secret or method wrong
	codeNoClientAuth       = 7000218 // confidential client without proof
	codePublicWithSecret   = 700025  // public client must not send a secret
	codeBadAssertion       = 700027  // client assertion did not verify
	codeBadGrant           = 70003   // grant type not supported
	codeGrantNotAllowed    = 70001   // application may not use this grant
	codeBadScope           = 70011   // scope not known for the application
	codeBadResource        = 500011  // resource not known for the application
	codeGrantExpired       = 70008   // code or refresh token late or revoked
	codeGrantSpent         = 54005   // code redeemed before
	codeGrantOther         = 70000   // grant was given to another client or address, or never
	codeBadVerifier        = 501481  // verifier does not match the challenge
	codeBadResponseType    = 700054  // response type not supported
	codeNoSession          = 50058   // silent request without a session
	codeInteraction        = 16000   // the person must choose or act
	codeNoConsent          = 65001   // consent missing
	codeConsentDenied      = 65004   // the person said no
	codeFreshProof         = 50133   // proof too old for what was asked
	codeStrength           = 50076   // a stronger proof is needed
	codeUserGone           = 50057   // user disabled or gone
	codeBadToken           = 50173   // access token over, revoked or foreign
	codeUnsupportedRequest = 90055   // a parameter of a feature we refuse
	codeTooMany            = 50196   // the client asks in a loop
	codeUnavailable        = 90033   // transient
	codePending            = 70016   // device code: nobody has answered yet
	codeBadDeviceCode      = 70018   // device code: not one of ours, or of another application
	codeCodeExpired        = 70019   // device code: late
	codeInternal           = 50000   // our side failed
)

// word is the OAuth error code for any error. authorize says which of the two
// endpoints answers: they share the words, not the choice (architecture.md,
// "Errors").
func word(err error, authorize bool) string {
	if f, ok := asFault(err); ok {
		return f.Word
	}
	switch idp.AsError(err).Kind {
	case idp.Invalid, idp.Conflict:
		return "invalid_request"
	case idp.Limited, idp.Unavailable:
		return "temporarily_unavailable"
	case idp.Denied:
		if authorize {
			return "access_denied"
		}
		return "invalid_grant"
	case idp.Unproven:
		if authorize {
			return "login_required"
		}
		return "invalid_grant"
	case idp.NotFound:
		return "invalid_client"
	case idp.Expired:
		return "invalid_grant"
	}
	return "server_error"
}

// code is the AADSTS number for any error.
func code(err error) int {
	e := idp.AsError(err)
	if e.Code != 0 {
		return e.Code
	}
	switch e.Kind {
	case idp.Invalid, idp.Conflict:
		return codeMalformed
	case idp.Unproven, idp.Expired:
		return codeGrantExpired
	case idp.Denied:
		return codeStrength
	case idp.NotFound:
		return codeUnknownClient
	case idp.Limited:
		return codeTooMany
	case idp.Unavailable:
		return codeUnavailable
	}
	return codeInternal
}

// sentence is the text a stranger may read about err.
func sentence(err error) string {
	e := idp.AsError(err)
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
	case idp.NotFound:
		return "There is no such application here."
	case idp.Expired:
		return "What was presented is used or over. Start again."
	case idp.Limited:
		return "Too many attempts. Wait, then try again."
	case idp.Unavailable:
		return "Signet cannot answer just now. Try again in a minute."
	}
	return "Signet could not finish this. Nothing was changed."
}

// description is error_description: number and sentence. Entra separates its
// trace lines by CR LF; RFC 6749, Section 5.2 allows neither those nor quotes
// and backslashes, so the trace follows after a space and the rest is dropped.
func description(err error, trace string) string {
	s := fmt.Sprintf("AADSTS%d: %s Trace ID: %s", code(err), sentence(err), trace)
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}

// ours says whether err is our fault: then nothing was judged, and what was
// presented stays what it was.
func ours(err error) bool {
	if err == nil {
		return false
	}
	switch idp.AsError(err).Kind {
	case idp.Internal, idp.Unavailable, idp.Limited:
		return true
	}
	return false
}

func asFault(err error) (*Fault, bool) {
	var f *Fault
	ok := errors.As(err, &f)
	return f, ok
}
