package oidc

import (
	"slices"
	"strings"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/token"
)

// The scopes of OpenID Connect Core 1.0, Sections 5.4 and 11, that mean
// something here. address and phone are known and give no claims.
var openidScopes = []string{"openid", "profile", "email", offlineAccess}

// offlineAccess asks for a refresh token (OpenID Connect Core 1.0, Section 11).
const offlineAccess = "offline_access"

var emptyScopes = []string{"address", "phone"}

// grant is what a request may have: scopes, and the one audience that access
// tokens with them are for (security.md OAU20).
type grant struct {
	Scopes   []string
	Audience string
}

// askScopes judges scope and resource of an authorization request against the
// client's registration. Scopes of an API are registered as <resource>/<name>
// with an absolute resource URI, or as bare names for the client's own API.
// The audience is:
//   - the API whose scopes are asked for; those of two APIs in one request are
//     refused, so that no token is good in two places (RFC 8707, Section 2.2
//     lets us);
//   - without API scopes what resource says, if the client is registered for it;
//   - else the issuer itself: a token for userinfo and nothing more.
func askScopes(scope, resource string, c client.Client, issuer string) (grant, error) {
	if scope == "" {
		return grant{}, fault(idp.Invalid, "invalid_scope", codeBadScope, "missing_scope",
			"The request must contain the parameter 'scope'.", "no scope")
	}
	if len(scope) > maxScope || strings.ContainsFunc(scope, notScope) {
		return grant{}, fault(idp.Invalid, "invalid_scope", codeBadScope, "malformed_scope",
			"scope has a character that is not allowed, or is too long.", "scope of %d bytes", len(scope))
	}
	var g grant
	for _, s := range words(scope) {
		switch {
		case slices.Contains(openidScopes, s):
			g.Scopes = append(g.Scopes, s)
		case slices.Contains(emptyScopes, s):
		default:
			if err := g.addAPI(s, c); err != nil {
				return grant{}, err
			}
		}
	}
	if len(g.Scopes) == 0 {
		return grant{}, fault(idp.Invalid, "invalid_scope", codeBadScope, "empty_scope",
			"scope names nothing that can be granted.", "scope %q", clip(scope))
	}
	return g, g.settle(resource, c, issuer)
}

// addAPI adds a scope of an API; <resource>/.default stands for all that the
// client is registered for there.
func (g *grant) addAPI(s string, c client.Client) error {
	names := []string{s}
	if res, ok := strings.CutSuffix(s, "/.default"); ok {
		names = nil
		for _, reg := range c.Scopes {
			if resourceOf(reg, c) == res {
				names = append(names, reg)
			}
		}
	}
	if len(names) == 0 || !slices.Contains(c.Scopes, names[0]) {
		return fault(idp.Invalid, "invalid_scope", codeBadScope, "unknown_scope",
			"The application is not registered for a scope that it asks for.", "scope %q of client %s", clip(s), c.ID)
	}
	for _, n := range names {
		res := resourceOf(n, c)
		if reserved(res, c) {
			return fault(idp.Denied, "invalid_target", codeBadResource, "reserved_resource",
				"No application can be given scopes of this resource.", "resource %q", clip(res))
		}
		if g.Audience != "" && g.Audience != res {
			return fault(idp.Invalid, "invalid_target", codeBadResource, "two_resources",
				"The scopes of one request must belong to one resource.", "resources %s and %s", g.Audience, res)
		}
		g.Audience = res
		if !slices.Contains(g.Scopes, n) {
			g.Scopes = append(g.Scopes, n)
		}
	}
	return nil
}

// settle decides the audience.
func (g *grant) settle(resource string, c client.Client, issuer string) error {
	switch {
	case resource == "" && g.Audience == "":
		g.Audience = issuer
	case resource == "" || resource == g.Audience:
	case g.Audience == "" && (resource == issuer || slices.Contains(resourcesOf(c), resource)):
		g.Audience = resource
	default:
		return fault(idp.Invalid, "invalid_target", codeBadResource, "unknown_resource",
			"The application is not registered for this resource, or asks for scopes of another one.", "resource %q of client %s", clip(resource), c.ID)
	}
	return nil
}

// resourceOf is the audience that a registered scope belongs to.
func resourceOf(scope string, c client.Client) string {
	if n := strings.LastIndexByte(scope, '/'); n > 0 && strings.Contains(scope[:n], ":") {
		return scope[:n]
	}
	return string(c.ID)
}

// reserved says whether a resource is one for which no application may be
// registered: tokens for our own issuer, or for what `signet admin token`
// gives, say what only we may say (security.md TOK01). The service that registers
// devices and their keys is for the applications that are built in: what a person
// allows another one must not end in a machine of the organisation (DEV01).
func reserved(resource string, c client.Client) bool {
	return resource == token.AdministrationAudience || strings.HasSuffix(resource, "/"+string(c.Tenant)+"/v2.0") ||
		!c.BuiltIn && client.Canonical(resource) == token.RegistrationAudience
}

// resourcesOf lists the audiences that the client may have tokens for, beyond
// the issuer: its own API, and those that its scopes name.
func resourcesOf(c client.Client) []string {
	var out []string
	if !reserved(string(c.ID), c) {
		out = append(out, string(c.ID))
	}
	for _, s := range c.Scopes {
		if r := resourceOf(s, c); !slices.Contains(out, r) && !reserved(r, c) {
			out = append(out, r)
		}
	}
	return out
}

// narrow cuts a grant down to the scopes that a token request names. More than
// was granted is refused (RFC 6749, Section 6).
func narrow(granted []string, asked string) ([]string, error) {
	if asked == "" {
		return granted, nil
	}
	if len(asked) > maxScope || strings.ContainsFunc(asked, notScope) {
		return nil, fault(idp.Invalid, "invalid_scope", codeBadScope, "malformed_scope",
			"scope has a character that is not allowed, or is too long.", "scope of %d bytes", len(asked))
	}
	var out []string
	for _, s := range words(asked) {
		if slices.Contains(emptyScopes, s) {
			continue
		}
		if !slices.Contains(granted, s) {
			return nil, fault(idp.Denied, "invalid_scope", codeBadScope, "scope_growth",
				"The scope asked for exceeds what was granted.", "scope %q", clip(s))
		}
		out = append(out, s)
	}
	return out, nil
}

// notScope says whether r may not be in a scope (RFC 6749, Appendix A.4).
func notScope(r rune) bool {
	return r < 0x20 || r > 0x7e || r == '"' || r == '\\'
}
