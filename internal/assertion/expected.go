package assertion

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// Expected is what an assertion must say, by what the device's verified message
// said.
type Expected struct {
	RequestNonce string `json:"r"` // the server's nonce
	// Audiences are whom it may be for: those of the broker's protocol the room
	// knows, that of a Mac's the door.
	Audiences []string `json:"a"`

	// Only for a Mac's: what must be equal inside and outside.
	Name  string `json:"u"`
	Nonce string `json:"n"`
	Scope string `json:"s"`

	mac bool
}

// keepMac is what the Keep of a Mac's begins with: no nonce does.
const keepMac = 0

// Keep is what a door hands to the corridor as the nonce of a Mac's message.
func (e Expected) Keep() []byte {
	raw, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings only
	}
	return append([]byte{keepMac}, raw...)
}

// FromKeep reads what Keep wrote; anything else is a nonce of the broker's
// protocol. Errors are Unproven.
func FromKeep(keep []byte) (Expected, *idp.Error) {
	if len(keep) == 0 || keep[0] != keepMac {
		return Expected{RequestNonce: string(keep)}, nil
	}
	e := Expected{mac: true}
	if err := json.Unmarshal(keep[1:], &e); err != nil {
		return Expected{}, idp.Unprovenf("ceremony_malformed", "kept state of %d bytes: %w", len(keep), err)
	}
	return e, nil
}

// Mac says whether a Mac's assertion is expected.
func (e Expected) Mac() bool { return e.mac }

// Judge checks all that needs no key: for whom and when an assertion is, and that
// it was made with the message around it. Each check has a reason of its own.
// Errors are Unproven.
func (a Assertion) Judge(e Expected, now time.Time) *idp.Error {
	if a.Form.Mac() != e.mac {
		return idp.Unprovenf("assertion_form", "assertion of another protocol")
	}
	c := a.Claims
	same := func(s string) bool { return strings.EqualFold(s, c.Audience[0]) }
	if e.mac {
		same = func(s string) bool { return s == c.Audience[0] }
	}
	switch {
	case c.RequestNonce == "":
		return idp.Unprovenf("nonce_missing", "assertion without request_nonce")
	case c.RequestNonce != e.RequestNonce:
		return idp.Unprovenf("nonce_differs", "assertion on another nonce")
	case c.Issuer == "":
		return idp.Unprovenf("issuer_missing", "assertion of nobody")
	case len(c.Audience) != 1 || !slices.ContainsFunc(e.Audiences, same):
		return idp.Unprovenf("audience_differs", "assertion for %.200q", []string(c.Audience))
	case !e.mac:
		return a.brokerTimes(now)
	case c.Issuer != e.Name:
		return idp.Unprovenf("issuer_differs", "assertion of %.80q in a message of %.80q", c.Issuer, e.Name)
	case c.Subject != c.Issuer:
		return idp.Unprovenf("subject_differs", "assertion of %.80q about %.80q", c.Issuer, c.Subject)
	case c.Nonce == "" || c.Nonce != e.Nonce:
		return idp.Unprovenf("login_nonce_differs", "assertion with another nonce than the message around it")
	case c.Scope != e.Scope:
		return idp.Unprovenf("scope_differs", "assertion for another scope than the message around it")
	}
	return Window(c.Issued, c.Expires, now)
}

// The lives of the broker's assertions. Freshness comes from the nonce; these
// bound what one may claim besides (device-protocol.md §7.2, §15).
const (
	longest = 2 * time.Hour
	leeway  = time.Minute // security.md TOK05
)

// brokerTimes checks an end that is claimed, and that it is near.
func (a Assertion) brokerTimes(now time.Time) *idp.Error {
	if a.Expires == nil {
		return nil
	}
	word := "assertion"
	if a.Form == Certificate {
		word = "message"
	}
	until, from := instant(*a.Expires), now
	if a.Issued != nil {
		from = instant(*a.Issued)
	}
	switch {
	case !now.Before(until.Add(leeway)):
		return idp.Unprovenf(word+"_late", "%s ended %s", word, until.UTC())
	case until.Before(from), until.Sub(from) > longest:
		return idp.Unprovenf(word+"_long", "%s from %s until %s", word, from.UTC(), until.UTC())
	}
	return nil
}

// The times of a Mac's messages (apple-platform-sso.md §6.4, 6).
const (
	macLongest = 10 * time.Minute // a Mac writes five
	macAhead   = 2 * time.Minute  // how far a Mac's clock may be before ours
)

// Window checks the times of a Mac's message, outside and inside: both are
// there, it is not from the future, not over, and not for long. Errors are
// Unproven: "times_missing", "issued_ahead", "assertion_long", "assertion_late".
func Window(issued, expires *jose.Number, now time.Time) *idp.Error {
	if issued == nil || expires == nil {
		return idp.Unprovenf("times_missing", "message without iat or exp")
	}
	from, until := instant(*issued), instant(*expires)
	switch {
	case from.After(now.Add(macAhead)):
		return idp.Unprovenf("issued_ahead", "message is from %s", from.UTC())
	case until.Before(from), until.Sub(from) > macLongest:
		return idp.Unprovenf("assertion_long", "message from %s until %s", from.UTC(), until.UTC())
	case !now.Before(until.Add(leeway)):
		return idp.Unprovenf("assertion_late", "message ended %s", until.UTC())
	}
	return nil
}

// instant is a time in Unix seconds, within what a time can be added to.
func instant(n jose.Number) time.Time { return time.Unix(min(max(int64(n), 0), 1<<40), 0) }
