package oidc

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/token"
)

// This file is what applications that are built in get otherwise than others
// (device-protocol.md §3): they name a resource instead of scopes, by any of
// its names, and read numbers as text on the addresses without v2.0. For
// everybody else both families of addresses are one.

// builtInScopes go with every grant of a built-in application: its programs
// stop without a refresh token and an ID token that names the person
// (device-protocol.md §0.15).
const builtInScopes = "openid profile " + offlineAccess

// askBuiltIn is askScopes for a built-in application. A resource alone stands
// for all that it may have there; a scope may name the resource by an alias.
func askBuiltIn(scope, resource string, c client.Client, issuer string) (grant, error) {
	if len(scope) > maxScope || len(resource) > maxURI {
		return grant{}, fault(idp.Invalid, "invalid_scope", codeBadScope, "malformed_scope",
			"scope or resource is too long.", "scope of %d and resource of %d bytes", len(scope), len(resource))
	}
	asked := []string{builtInScopes}
	for _, s := range words(scope) {
		asked = append(asked, builtInScope(s))
	}
	if resource != "" {
		resource = client.Canonical(resource)
		asked = append(asked, client.DefaultScope(resource))
	}
	return askScopes(strings.Join(asked, " "), resource, c, issuer)
}

// builtInScope brings one scope into the form that the registration has.
func builtInScope(s string) string {
	for _, name := range []string{"/.default", "/user_impersonation"} {
		if res, ok := strings.CutSuffix(s, name); ok {
			return client.DefaultScope(res)
		}
	}
	return s
}

// namesResource says whether a token request of a built-in application asks
// for one resource by name, and not for whatever the grant has.
func namesResource(p params) bool {
	return p.has("resource") || strings.Contains(p.get("scope"), "/")
}

// sameResource says whether a token request names the audience that was
// granted, or none.
func sameResource(res, audience string, c client.Client) bool {
	return res == "" || res == audience || c.BuiltIn && client.Canonical(res) == audience
}

// builtInExtras are the members that token answers to built-in applications
// have beside the usual ones (device-protocol.md §3.1).
type builtInExtras struct {
	Resource  string
	Info      string // client_info
	NotBefore time.Time
	Expires   time.Time
	Refresh   time.Duration // how long a refresh token may still be used
}

// family is the family id of the built-in applications [K]: clients keep the
// refresh token of one member for all.
const family = "1"

func (s *Server) extras(x exchange, sub token.Subject, out tokenReply) (*builtInExtras, error) {
	if !x.client.BuiltIn {
		return nil, nil
	}
	now := s.cfg.Now()
	e := &builtInExtras{
		Resource: sub.Audience, NotBefore: now, Expires: now.Add(time.Duration(out.ExpiresIn) * time.Second),
	}
	switch {
	case out.RefreshToken == "":
	case !sub.Until.IsZero():
		e.Refresh = sub.Until.Sub(now)
	case sub.Bound():
		e.Refresh = token.FamilyLives
	default:
		e.Refresh = token.UnboundLives
	}
	if sub.User.Known() {
		who, err := json.Marshal(struct {
			User   idp.UserID   `json:"uid"`
			Tenant idp.TenantID `json:"utid"`
		}{sub.User.ID, sub.Tenant})
		if err != nil {
			return nil, err
		}
		e.Info = base64.RawURLEncoding.EncodeToString(who)
	}
	return e, nil
}

// v1Reply is the answer on addresses without v2.0 to a built-in application:
// numbers are text there (device-protocol.md §3.1).
type v1Reply struct {
	TokenType        string `json:"token_type"`
	Scope            string `json:"scope,omitempty"`
	Resource         string `json:"resource,omitempty"`
	ExpiresIn        string `json:"expires_in"`
	ExtExpiresIn     string `json:"ext_expires_in"`
	ExpiresOn        string `json:"expires_on"`
	NotBefore        string `json:"not_before"`
	AccessToken      string `json:"access_token"`
	RefreshToken     string `json:"refresh_token,omitempty"`
	RefreshExpiresIn string `json:"refresh_token_expires_in,omitempty"`
	IDToken          string `json:"id_token,omitempty"`
	ClientInfo       string `json:"client_info,omitempty"`
	Family           string `json:"foci,omitempty"`
}

// v2Reply is tokenReply with what built-in applications read beyond it.
type v2Reply struct {
	tokenReply
	RefreshExpiresIn int64  `json:"refresh_token_expires_in,omitempty"`
	ClientInfo       string `json:"client_info,omitempty"`
	Family           string `json:"foci,omitempty"`
}

// answerFor is out in the form that the client of the request reads.
func answerFor(r *http.Request, out tokenReply) any {
	e := out.extras
	if e == nil {
		return out
	}
	foci := ""
	if out.RefreshToken != "" {
		foci = family
	}
	refresh := int64(e.Refresh.Seconds())
	if isV2(r) {
		return v2Reply{out, refresh, e.Info, foci}
	}
	v1 := v1Reply{
		TokenType: out.TokenType, Scope: out.Scope, Resource: e.Resource,
		ExpiresIn: number(out.ExpiresIn), ExtExpiresIn: number(out.ExtExpiresIn),
		ExpiresOn: number(e.Expires.Unix()), NotBefore: number(e.NotBefore.Unix()),
		AccessToken: out.AccessToken, RefreshToken: out.RefreshToken, IDToken: out.IDToken, ClientInfo: e.Info, Family: foci,
	}
	if refresh > 0 {
		v1.RefreshExpiresIn = number(refresh)
	}
	return v1
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// isV2 says whether a request came to one of the addresses with v2.0.
func isV2(r *http.Request) bool { return strings.Contains(r.URL.Path, "/v2.0/") }
