package certificate

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method"
)

// The lives of messages. Freshness comes from the nonce; these bound what a
// message may claim besides (device-protocol.md §7.2, §15).
const (
	longest = 2 * time.Hour
	leeway  = time.Minute // security.md TOK05
)

// common stands for any tenant in the audience of a message.
const common = "common"

// message is what an inner message says, before anybody has verified it.
type message struct {
	signed jose.Loose
	chain  []*x509.Certificate
	claims claims
}

// claims are the members that are read. Times are Unix seconds, numbers or, from
// some clients, in strings (device-protocol.md §0, fact 11).
type claims struct {
	Issuer   string       `json:"iss"` // a user principal name
	Audience jose.Strings `json:"aud"` // one
	Issued   *jose.Number `json:"iat"`
	Expires  *jose.Number `json:"exp"`
	Nonce    string       `json:"request_nonce"`
}

// members are all that the header may have. A message with kid or use is one of
// a Hello key, whatever else it has: no key of one kind passes for one of another
// (device-protocol.md §15, "Hello downgrade").
var members = []string{"alg", "typ", "x5c"}

// parseMessage reads a message. Errors are Unproven.
func parseMessage(payload []byte) (message, *idp.Error) {
	signed, err := jose.ParseLoose(string(payload), "RS256", "ES256")
	if err != nil {
		return message{}, idp.AsError(err)
	}
	m := message{signed: signed}
	if err := signed.Only(members...); err != nil {
		return message{}, idp.AsError(err)
	}
	if len(signed.Chain) == 0 {
		return message{}, idp.Unprovenf("chain_missing", "header without x5c")
	}
	for _, der := range signed.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return message{}, idp.Unprovenf("certificate_malformed", "x5c: %w", err).Coded(codeRefused).Say(say["certificate_malformed"])
		}
		m.chain = append(m.chain, c)
	}
	if err := signed.Read(&m.claims); err != nil {
		return message{}, idp.AsError(err)
	}
	return m, nil
}

// judge checks all that needs no key: for whom and when the message is, and that
// it was made on the nonce that was opened.
func (m message) judge(nonce string, audiences []string, now time.Time) *idp.Error {
	c := m.claims
	switch {
	case c.Nonce == "":
		return idp.Unprovenf("nonce_missing", "message without request_nonce")
	case c.Nonce != nonce:
		return idp.Unprovenf("nonce_differs", "message on another nonce")
	case c.Issuer == "":
		return idp.Unprovenf("issuer_missing", "message of nobody")
	case len(c.Audience) != 1 || !slices.ContainsFunc(audiences, func(s string) bool { return strings.EqualFold(s, c.Audience[0]) }):
		return idp.Unprovenf("audience_differs", "message for %.200q", []string(c.Audience))
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
		return idp.Unprovenf("message_late", "message ended %s", until.UTC())
	case until.Before(from), until.Sub(from) > longest:
		return idp.Unprovenf("message_long", "message from %s until %s", from.UTC(), until.UTC())
	}
	return nil
}

// instant is a time in Unix seconds, within what a time can be added to.
func instant(n jose.Number) time.Time { return time.Unix(min(max(int64(n), 0), 1<<40), 0) }

// verifyOnce judges a message that the key of a certificate has signed
// (device-protocol.md §7.2): who signed holds the key of the first certificate
// in it, and all else is as for a handshake (security.md PSO04).
func (m *Room) verifyOnce(ctx context.Context, a method.Answer) (method.Verdict, error) {
	said, fault := parseMessage(a.Payload)
	if fault == nil {
		fault = said.judge(string(a.Keep[1:]), []string{common, string(a.Tenant), m.cfg.Issuer(a.Tenant)}, a.Now)
	}
	if fault != nil {
		return method.Verdict{}, fault
	}
	if err := said.signed.VerifyKey(said.chain[0].PublicKey); err != nil {
		return method.Verdict{}, idp.AsError(err)
	}
	return m.judge(ctx, a, said.chain, directory.Fold(said.claims.Issuer))
}

// RegisterOnce implements method.OneShot. There is nothing to register: the
// directory says whose a certificate is.
func (m *Room) RegisterOnce(context.Context, method.Answer) (method.Registration, error) {
	return method.Registration{}, idp.Invalidf("certificate_not_registered", "certificates are mapped, not registered").
		Say("Certificates are not registered here. An administrator says whose they are.")
}
