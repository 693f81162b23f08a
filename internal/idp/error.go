package idp

import (
	"errors"
	"fmt"
)

// Kind sorts errors by what a door should do with them. A Kind is itself an
// error, so that errors.Is(err, idp.NotFound) works through any wrapping.
type Kind string

// The kinds. architecture.md, "Errors", says what each door makes of them.
const (
	Internal    Kind = "internal"    // anything unrecognised; the default
	Invalid     Kind = "invalid"     // malformed or contradictory input
	Unproven    Kind = "unproven"    // did not verify; an unknown user alike
	Denied      Kind = "denied"      // proven, but policy says no
	NotFound    Kind = "not found"   // no such thing in this tenant
	Conflict    Kind = "conflict"    // exists, or changed under you
	Expired     Kind = "expired"     // ceremony, code or nonce spent or late
	Limited     Kind = "limited"     // too many attempts
	Unavailable Kind = "unavailable" // a dependency is down
)

// Error makes a Kind usable as a target of errors.Is.
func (k Kind) Error() string { return string(k) }

// Error is the one error type that crosses packages. Plain errors count as
// Internal: their text stays in the log.
type Error struct {
	Kind   Kind
	Reason string // a stable word for audit and logs: "counter_rollback"
	Code   int    // AADSTS number, the same in reply and log; 0: the door's default for Kind
	Public string // the only text a stranger may see; empty: the door's sentence for Kind
	Field  string // for Invalid: the input that is wrong, where there is one
	Err    error  // the cause, for the log
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is matches the Kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// Coded returns e with its AADSTS number set.
func (e *Error) Coded(code int) *Error { e.Code = code; return e }

// Say returns e with the sentence that may be shown set.
func (e *Error) Say(public string) *Error { e.Public = public; return e }

// On returns e with the wrong input named.
func (e *Error) On(field string) *Error { e.Field = field; return e }

func newError(k Kind, reason, format string, args []any) *Error {
	return &Error{Kind: k, Reason: reason, Err: fmt.Errorf(format, args...)}
}

// Invalidf reports malformed or contradictory input.
func Invalidf(reason, format string, args ...any) *Error {
	return newError(Invalid, reason, format, args)
}

// Unprovenf reports what did not verify.
func Unprovenf(reason, format string, args ...any) *Error {
	return newError(Unproven, reason, format, args)
}

// Deniedf reports what is proven but not allowed.
func Deniedf(reason, format string, args ...any) *Error {
	return newError(Denied, reason, format, args)
}

// NotFoundf reports what does not exist in the tenant.
func NotFoundf(reason, format string, args ...any) *Error {
	return newError(NotFound, reason, format, args)
}

// Conflictf reports what exists already or changed meanwhile.
func Conflictf(reason, format string, args ...any) *Error {
	return newError(Conflict, reason, format, args)
}

// Expiredf reports what is spent or late.
func Expiredf(reason, format string, args ...any) *Error {
	return newError(Expired, reason, format, args)
}

// Limitedf reports too many attempts.
func Limitedf(reason, format string, args ...any) *Error {
	return newError(Limited, reason, format, args)
}

// Unavailablef reports a dependency that is down.
func Unavailablef(reason, format string, args ...any) *Error {
	return newError(Unavailable, reason, format, args)
}

// AsError finds the Error in err's chain, or makes an Internal one around it.
// It returns nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var k Kind
	if errors.As(err, &k) {
		return &Error{Kind: k, Reason: string(k), Err: err}
	}
	return &Error{Kind: Internal, Reason: "internal", Err: err}
}
