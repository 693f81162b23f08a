package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	house "github.com/signetid/signet/internal/jose"
)

// What one application may have.
const (
	maxName    = 120
	maxURIs    = 50
	maxScopes  = 100
	maxKeys    = 10
	maxKeySet  = 16 << 10
	maxSecrets = 5
)

// check fills in what c leaves open, cleans its name and refuses what no
// application may be.
func check(c Client) (Client, error) {
	c = withDefaults(c)
	name := strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if audit.Unprintable(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, c.Name)), " ")
	if name == "" || utf8.RuneCountInString(name) > maxName {
		return c, bad("name", "must have 1 to 120 characters")
	}
	if reservedName(name) {
		return c, bad("name", "is too much like that of an application that is built in")
	}
	c.Name, c.BuiltIn, c.WithoutPKCE = name, false, false
	for _, step := range []func(Client) error{checkWords, checkAuth, checkURIs, checkKeys, checkScopes} {
		if err := step(c); err != nil {
			return c, err
		}
	}
	return c, nil
}

func withDefaults(c Client) Client {
	if c.Alg == "" {
		c.Alg = string(jose.ES256)
	}
	if c.Subject == "" {
		c.Subject = SubjectPublic
	}
	if len(c.Grants) == 0 {
		c.Grants = []string{GrantCode, GrantRefresh}
	}
	for i, g := range c.Grants {
		if g == shortDeviceCode && !slices.Contains(c.Grants, GrantDeviceCode) {
			c.Grants = slices.Clone(c.Grants)
			c.Grants[i] = GrantDeviceCode
		}
	}
	if len(c.ResponseModes) == 0 {
		c.ResponseModes = []string{ModeQuery, ModeFormPost}
	}
	if c.Auth == "" {
		c.Auth = AuthSecret
		if c.Kind == Native {
			c.Auth = AuthNone
		}
	}
	return c
}

func bad(field, say string) error {
	return idp.Invalidf("bad_client", "%s %s", field, say).On(field).Say(field + " " + say + ".")
}

func oneOf(field, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return bad(field, "must be "+strings.Join(allowed, ", "))
}

func checkWords(c Client) error {
	for _, err := range []error{
		oneOf("kind", c.Kind, Web, Native),
		oneOf("auth", c.Auth, AuthNone, AuthSecret, AuthBasic, AuthPost, AuthPrivateKey),
		oneOf("alg", c.Alg, string(jose.ES256), string(jose.RS256)),
		oneOf("subject", c.Subject, SubjectPublic, SubjectPairwise),
	} {
		if err != nil {
			return err
		}
	}
	for i, g := range c.Grants {
		if err := oneOf("grants", g, GrantCode, GrantRefresh, GrantCredentials, GrantDeviceCode); err != nil {
			return err
		}
		if slices.Contains(c.Grants[:i], g) {
			return bad("grants", "has "+g+" twice")
		}
	}
	for i, m := range c.ResponseModes {
		if err := oneOf("responseModes", m, ModeQuery, ModeFragment, ModeFormPost); err != nil {
			return err
		}
		if slices.Contains(c.ResponseModes[:i], m) {
			return bad("responseModes", "has "+m+" twice")
		}
	}
	if len(c.ACR) > 64 || strings.ContainsFunc(c.ACR, func(r rune) bool { return r <= 0x20 || r >= 0x7f }) {
		return bad("acr", "must be one word")
	}
	return nil
}

func checkAuth(c Client) error {
	switch {
	case c.Allows(GrantCredentials) && c.Auth == AuthNone:
		return bad("grants", "client_credentials needs a client that authenticates")
	case c.Kind == Native && c.Secretive():
		// A secret in an app that people install is none (RFC 8252, Section 8.5).
		return bad("auth", "of a native application must be none or private_key_jwt")
	case c.Allows(GrantRefresh) && !c.Allows(GrantCode) && !c.Allows(GrantDeviceCode):
		return bad("grants", "refresh_token needs authorization_code or device_code")
	}
	return nil
}

func checkURIs(c Client) error {
	if c.Allows(GrantCode) && len(c.RedirectURIs) == 0 {
		return bad("redirectUris", "must have one at least for authorization_code")
	}
	if len(c.RedirectURIs) > maxURIs || len(c.PostLogoutURIs) > maxURIs {
		return bad("redirectUris", "may be 50")
	}
	hosts := make(map[string]bool)
	for i, uri := range c.RedirectURIs {
		if err := CheckRedirect(c.Kind, uri); err != nil {
			return err
		}
		if slices.Contains(c.RedirectURIs[:i], uri) {
			return bad("redirectUris", "has one twice")
		}
		if u, err := url.Parse(uri); err == nil {
			hosts[u.Hostname()] = true
		}
	}
	for _, uri := range c.PostLogoutURIs {
		if err := CheckRedirect(c.Kind, uri); err != nil {
			return err
		}
	}
	if c.Subject == SubjectPairwise && len(hosts) > 1 {
		// The host is the sector (OpenID Connect Core 1.0, Section 8.1).
		return bad("subject", "pairwise needs redirect URIs of one host")
	}
	return nil
}

// checkKeys admits public keys that are strong enough for ES256, RS256 or
// PS256 (security.md TOK03), each with an id of its own.
func checkKeys(c Client) error {
	if c.Auth != AuthPrivateKey {
		if len(c.JWKS) > 0 {
			return bad("jwks", "is only for private_key_jwt")
		}
		return nil
	}
	if len(c.JWKS) > maxKeySet {
		return bad("jwks", "is too large")
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(c.JWKS, &set); err != nil || len(set.Keys) == 0 || len(set.Keys) > maxKeys {
		return bad("jwks", "must be a JSON Web Key Set with 1 to 10 keys")
	}
	seen := make(map[string]bool)
	for _, k := range set.Keys {
		switch key := k.Key.(type) {
		case *ecdsa.PublicKey:
			if key.Curve != elliptic.P256() {
				return bad("jwks", "must have EC keys on P-256")
			}
		case *rsa.PublicKey:
			if key.N.BitLen() < 2048 || key.N.BitLen() > 8192 || key.E < 3 {
				return bad("jwks", "must have RSA keys of 2048 bits or more")
			}
		default:
			return bad("jwks", "must have public EC or RSA keys only")
		}
		if !k.Valid() || seen[k.KeyID] || len(set.Keys) > 1 && k.KeyID == "" {
			return bad("jwks", "must have keys with different kid values")
		}
		seen[k.KeyID] = true
	}
	// What the verifier would not take is refused here, not when the
	// application first needs it (security.md TOK07).
	_, err := house.ParseKeys(c.JWKS)
	return err
}

func checkScopes(c Client) error {
	if len(c.Scopes) > maxScopes {
		return bad("scopes", "may be 100")
	}
	for i, s := range c.Scopes {
		// scope-token of RFC 6749, Appendix A.4.
		if s == "" || len(s) > 200 || strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r >= 0x7f || r == '"' || r == '\\' }) {
			return bad("scopes", "has a character that is not allowed")
		}
		if slices.Contains(c.Scopes[:i], s) {
			return bad("scopes", "has one twice")
		}
	}
	return nil
}
