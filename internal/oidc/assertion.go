package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/sqldb"
)

// What a client assertion may be (security.md OAU09, TOK05, TOK12).
const (
	assertionLives = 5 * time.Minute
	skew           = 60 * time.Second
	maxAssertion   = 8 << 10
	maxJTI         = 256
)

var assertionAlgs = []string{"ES256", "RS256", "PS256"} // what the client registry admits

// assertion are the claims of a client assertion (RFC 7523, Section 3; OpenID
// Connect Core 1.0, Section 9).
type assertion struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	ID        string   `json:"jti"`
	Expires   float64  `json:"exp"`
	NotBefore float64  `json:"nbf"`
	Issued    float64  `json:"iat"`
}

// audience reads aud as RFC 7519, Section 4.1.3 allows it: one string or a
// list.
type audience []string

func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if err := json.Unmarshal(raw, &one); err == nil {
		*a = audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(raw, &many); err != nil {
		return err
	}
	*a = many
	return nil
}

// proveAssertion verifies a private_key_jwt with the keys registered for the
// client, and burns its jti: an assertion that was overheard is worth nothing,
// on any node.
func (s *Server) proveAssertion(ctx context.Context, t tenant, c client.Client, compact string) error {
	if len(compact) > maxAssertion {
		return badAssertion("assertion of %d bytes", len(compact))
	}
	m, err := jose.Parse(compact, assertionAlgs...)
	if err != nil {
		return badAssertion("%w", err)
	}
	// A token of another class is no assertion, whoever signed it (security.md
	// TOK01).
	if m.Type != "" && m.Type != "jwt" && m.Type != "client-authentication+jwt" {
		return badAssertion("type %q", clip(m.Type))
	}
	keys, err := jose.ParseKeys(c.JWKS)
	if err != nil {
		return badAssertion("keys of client %s: %w", c.ID, err)
	}
	key, err := jose.Find(keys, m)
	if err != nil {
		return badAssertion("%w", err)
	}
	var a assertion
	if err := m.Verify(m.Alg, key.Key, &a); err != nil {
		return badAssertion("%w", err)
	}
	now := s.cfg.Now()
	if err := a.check(c.ID, t.Issuer, now); err != nil {
		return err
	}
	// After a restore the assertions that were used before may be forgotten
	// (decisions 1.7): none of that time is taken while it could still live.
	restored := time.Unix(s.cfg.Epoch(), 0)
	if now.Before(restored.Add(assertionLives+2*skew)) && moment(a.Issued).Before(restored) {
		return badAssertion("made at %s, restored at %s", moment(a.Issued), restored)
	}
	until := moment(a.Expires).Add(skew)
	spent := nonce.Sealed{
		Tenant: t.ID, Purpose: "client-assertion", ID: nonce.ID(until, string(c.ID)+" "+a.ID), Expires: until,
	}
	err = s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return nonce.Burn(ctx, tx, spent) })
	if errors.Is(err, idp.Expired) {
		return badAssertion("jti used before: %w", err)
	}
	return err
}

// check judges the claims. The audience is the issuer alone, as one value: an
// assertion that is also meant for somebody else could be used by them here.
func (a assertion) check(id idp.ClientID, issuer string, now time.Time) error {
	switch exp := moment(a.Expires); {
	case a.Issuer != string(id) || a.Subject != string(id):
		return badAssertion("issuer %q, subject %q", clip(a.Issuer), clip(a.Subject))
	case len(a.Audience) != 1 || a.Audience[0] != issuer:
		return badAssertion("%d audiences, or another", len(a.Audience))
	case a.ID == "" || len(a.ID) > maxJTI:
		return badAssertion("jti of %d bytes", len(a.ID))
	case a.Expires == 0 || !now.Before(exp.Add(skew)):
		return badAssertion("expired or without exp")
	case exp.After(now.Add(assertionLives + skew)):
		return badAssertion("lives until %s", exp)
	case moment(a.NotBefore).After(now.Add(skew)), moment(a.Issued).After(now.Add(skew)):
		return badAssertion("from the future")
	}
	return nil
}

// moment reads a NumericDate. Values that no clock reaches stay comparable.
func moment(seconds float64) time.Time {
	const far = 1 << 40
	return time.UnixMilli(int64(min(max(seconds, -far), far) * 1000))
}

// assertionIssuer is the client that an assertion says it is of, for requests
// that name none beside it (RFC 7521, Section 4.2).
func assertionIssuer(compact string) (idp.ClientID, error) {
	var c struct {
		Issuer idp.ClientID `json:"iss"`
	}
	if err := peek(compact, &c); err != nil {
		return "", badAssertion("%w", err)
	}
	if c.Issuer == "" || len(c.Issuer) > 64 {
		return "", badAssertion("issuer of %d bytes", len(c.Issuer))
	}
	return c.Issuer, nil
}

// badAssertion is the one answer to every assertion that does not verify.
func badAssertion(format string, args ...any) *Fault {
	return fault(idp.Unproven, "invalid_client", codeBadAssertion, "assertion_refused",
		"The client assertion did not verify.", format, args...)
}
