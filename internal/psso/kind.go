package psso

import (
	"context"
	"slices"

	"github.com/signetid/signet/internal/pssowire"
)

// kind is what a message asks for, and which of the common rules it has.
type kind struct {
	name   string
	types  []string // that it may have besides the old one, in lower case
	path   string   // of the address that it comes to
	full   bool     // has client_id, aud and scope; those of the key service do not (§8.2)
	word   string   // of a refusal in the audit
	answer func(*Server, context.Context, exchange) (reply, error)
}

// The words of messages in the audit. A login that succeeds is a sign-in like
// any other.
const (
	activityIssue     = "prt.issue"
	activityRenew     = "prt.renew"
	activityProvision = "mac.unlock.provision"
	activityExchange  = "mac.unlock.exchange"
)

// The kinds of messages (§6, §8).
var (
	// One of Apple's samples has the typ of an inner assertion outside. That is
	// harmless: keys of people are no keys of Macs (§6.1).
	aLogin = kind{"login", []string{pssowire.TypeLogin, pssowire.TypeAssertion}, pathToken, true, activityIssue, (*Server).login}

	aRefresh    = kind{"refresh", []string{pssowire.TypeRefresh}, pathToken, true, activityRenew, (*Server).refresh}
	aKeyRequest = kind{"key request", []string{pssowire.TypeKey}, pathKey, false, activityProvision, (*Server).provision}
	anExchange  = kind{"key exchange", []string{pssowire.TypeKey}, pathKey, false, activityExchange, (*Server).exchange}
)

// activity is the word of a refusal in the audit.
func (k kind) activity() string {
	if k.word == "" { // what it asks for could not be read
		return activityIssue
	}
	return k.word
}

// old is the typ of messages by extensions that are built for macOS 13: it says
// nothing about what they ask for (§6.1).
const old = "jwt"

// asks says what a message asks for: by its claims, with which its typ and the
// address that it came to must agree, so that none passes for another (§6.4, 4).
func (x *exchange) asks() (kind, error) {
	k, err := x.claimed()
	switch {
	case err != nil:
		return k, err
	case x.message.Type != old && !slices.Contains(k.types, x.message.Type):
		return k, malformed("typ_differs", "typ %q of a %s", clip(x.message.Type), k.name)
	case x.at != k.path:
		return k, malformed("wrong_address", "%s at %s", k.name, x.at)
	}
	return k, nil
}

// claimed reads it from the claims alone.
func (x *exchange) claimed() (kind, error) {
	switch c := x.Request; {
	case c.RequestType != "" && c.GrantType != "":
		return kind{}, malformed("kind_unclear", "grant_type %q beside request_type %q", clip(c.GrantType), clip(c.RequestType))
	case c.RequestType == pssowire.AskKey:
		return aKeyRequest, nil
	case c.RequestType == pssowire.AskExchange:
		return anExchange, nil
	case c.RequestType != "":
		return kind{}, unsupported("request_unsupported", "This kind of request is not supported.", "request_type %q", clip(c.RequestType))
	case c.GrantType == pssowire.GrantBearer:
		return aLogin, nil
	case c.GrantType == pssowire.GrantRefresh:
		return aRefresh, nil
	}
	return kind{}, unsupported("grant_unsupported", "Passwords and this kind of proof are not taken here. Sign in with a key or a smart card.",
		"grant_type %q in the message", clip(x.GrantType))
}
