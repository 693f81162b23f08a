package hello

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// The lives of assertions. Freshness comes from the nonce; these bound what an
// assertion may claim besides (device-protocol.md §7.2, §15).
const (
	longest = 2 * time.Hour
	leeway  = time.Minute // security.md TOK05
)

// useHello is what the header must say of the key's use (device-protocol.md §7.2).
const useHello = "ngc"

// assertion is what an inner message says, before anybody has verified it.
type assertion struct {
	message jose.Loose
	kid     []byte // SHA-256
	claims  claims
}

// claims are the members that are read. The others (scope, sub, …) are the
// client's affair. Times are Unix seconds, numbers or, from some clients, in
// strings (device-protocol.md §0, fact 11).
type claims struct {
	Issuer   string       `json:"iss"` // a user principal name
	Audience jose.Strings `json:"aud"` // one
	Issued   *jose.Number `json:"iat"`
	Expires  *jose.Number `json:"exp"`
	Nonce    string       `json:"request_nonce"`
}

// members are all that the header may have: exactly those (device-protocol.md
// §15, "Hello downgrade").
var members = []string{"alg", "typ", "kid", "use"}

// parse reads an assertion. Errors are Unproven.
func parse(payload []byte) (assertion, *idp.Error) {
	m, err := jose.ParseLoose(string(payload), "RS256", "ES256")
	if err != nil {
		return assertion{}, idp.AsError(err)
	}
	if err := m.Only(members...); err != nil {
		return assertion{}, idp.AsError(err)
	}
	if m.Use != useHello {
		return assertion{}, idp.Unprovenf("key_use", "use is %.40q", m.Use)
	}
	a := assertion{message: m}
	if a.kid, err = jose.Unbase64(m.KeyID); err != nil || len(a.kid) != sha256.Size {
		return assertion{}, idp.Unprovenf("kid_malformed", "kid %.80q", m.KeyID)
	}
	if err := m.Read(&a.claims); err != nil {
		return assertion{}, idp.AsError(err)
	}
	return a, nil
}

// Nonce is the request_nonce of an assertion, unverified, or "": what a door
// opens, and hands to the corridor as the nonce of the message.
func Nonce(payload []byte) string {
	a, fault := parse(payload)
	if fault != nil {
		return ""
	}
	return a.claims.Nonce
}

// judge checks all that needs no key: for whom and when the assertion is, and
// that it was made on the nonce that was opened.
func (a assertion) judge(nonce []byte, audiences []string, now time.Time) *idp.Error {
	c := a.claims
	switch {
	case c.Nonce == "":
		return idp.Unprovenf("nonce_missing", "assertion without request_nonce")
	case c.Nonce != string(nonce):
		return idp.Unprovenf("nonce_differs", "assertion on another nonce")
	case c.Issuer == "":
		return idp.Unprovenf("issuer_missing", "assertion of nobody")
	case len(c.Audience) != 1 || !slices.ContainsFunc(audiences, func(s string) bool { return strings.EqualFold(s, c.Audience[0]) }):
		return idp.Unprovenf("audience_differs", "assertion for %.200q", []string(c.Audience))
	}
	return c.times(now)
}

// times checks an end that is claimed, and that it is near.
func (c claims) times(now time.Time) *idp.Error {
	if c.Expires == nil {
		return nil
	}
	until, from := instant(*c.Expires), now
	if c.Issued != nil {
		from = instant(*c.Issued)
	}
	switch {
	case !now.Before(until.Add(leeway)):
		return idp.Unprovenf("assertion_late", "assertion ended %s", until.UTC())
	case until.Before(from), until.Sub(from) > longest:
		return idp.Unprovenf("assertion_long", "assertion from %s until %s", from.UTC(), until.UTC())
	}
	return nil
}

// instant is a time in Unix seconds, within what a time can be added to.
func instant(n jose.Number) time.Time { return time.Unix(min(max(int64(n), 0), 1<<40), 0) }
