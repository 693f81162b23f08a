package graph

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/token"
)

// Role is a directory role under its name in Graph.
type Role string

// The roles there are.
const (
	GlobalAdministrator         Role = "Global Administrator"
	AuthenticationAdministrator Role = "Authentication Administrator" // the help desk
	GlobalReader                Role = "Global Reader"
)

// roleOf gives the role behind a word of the directory, or of a token that
// `signet admin token` printed.
var roleOf = map[string]Role{
	directory.Administrator: GlobalAdministrator,
	directory.Helpdesk:      AuthenticationAdministrator,
	"reader":                GlobalReader,
}

// caller is who sent a request, as the token says.
type caller struct {
	tenant idp.TenantID
	user   idp.UserID   // of a delegated call
	name   string       // of that user
	client idp.ClientID // through which the user calls, or which calls itself
	cli    string       // subject of a token of `signet admin token`
	scopes []string     // bare names: "User.Read.All"
	roles  []Role       // of the user, or of the cli token
	acr    string
	proven time.Time // of the user's last gesture
}

func (c caller) actor() string {
	switch {
	case c.user != "":
		return string(c.user)
	case c.cli != "":
		return c.cli
	}
	return "client:" + string(c.client)
}

// key is whose requests are counted together.
func (c caller) key() string { return string(c.tenant) + "/" + string(c.client) + "/" + c.actor() }

// identify verifies the bearer token. It names its tenant itself, since the
// addresses of this API do not; nothing but which key to verify by depends on
// that claim until it is verified.
func (s *Server) identify(r *http.Request) (caller, error) {
	scheme, jwt, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || jwt == "" {
		return caller{}, unauthorized("token_missing", "Access token is empty.")
	}
	tenant, ok := token.ClaimedTenant(jwt)
	if !ok {
		return caller{}, unauthorized("token_malformed", "The token could not be read.")
	}
	ctx := r.Context()
	if _, err := s.cfg.Directory.Tenant(ctx, tenant); err != nil {
		if errors.Is(err, idp.NotFound) {
			return caller{}, unauthorized("token_tenant", "The token is not one of ours.")
		}
		return caller{}, err
	}
	claims, err := s.cfg.Tokens.VerifyAccess(ctx, tenant, jwt)
	switch {
	case errors.Is(err, idp.Expired):
		return caller{}, unauthorized("token_over", "The token is over. Get a new one.")
	case errors.Is(err, idp.Unproven):
		return caller{}, unauthorized("token_refused", "The token did not verify.")
	case err != nil:
		return caller{}, err
	}
	return s.known(r, claims)
}

// known holds a verified token against what it may be used for here.
func (s *Server) known(r *http.Request, claims token.Claims) (caller, error) {
	c := caller{
		tenant: claims.Tenant, user: claims.User, client: claims.Client, acr: claims.ACR, proven: claims.AuthTime,
	}
	if claims.Audience == token.AdministrationAudience {
		c.cli = claims.Subject
		for _, word := range claims.Roles {
			if role, ok := roleOf[word]; ok {
				c.roles = append(c.roles, role)
			}
		}
		return c, nil
	}
	byDevice := client.Canonical(claims.Audience) == client.DirectoryAPI
	if claims.Audience != s.cfg.BaseURL && !byDevice {
		return caller{}, unauthorized("token_audience", "The token is for another API.")
	}
	for _, scope := range claims.Scopes {
		if name, ok := strings.CutPrefix(scope, s.cfg.BaseURL+"/"); ok {
			c.scopes = append(c.scopes, name)
		}
	}
	app, err := s.cfg.Clients.Get(r.Context(), c.tenant, c.client)
	if errors.Is(err, idp.NotFound) || err == nil && !app.Enabled {
		return caller{}, unauthorized("client_gone", "The application is switched off or gone.")
	}
	if err != nil {
		return c, err
	}
	if byDevice != app.BuiltIn || byDevice && c.user == "" {
		return caller{}, unauthorized("token_audience", "The token is for another API.")
	}
	if c.user == "" {
		return c, nil
	}
	u, err := s.cfg.Directory.User(r.Context(), s.cfg.DB, c.tenant, c.user)
	if errors.Is(err, idp.NotFound) || err == nil && !u.Enabled {
		return caller{}, unauthorized("user_gone", "The account is switched off or gone.")
	}
	if err != nil {
		return caller{}, err
	}
	c.name = u.Name
	if app.BuiltIn {
		c.scopes = selfService
		return c, nil
	}
	words, err := s.cfg.Directory.Roles(r.Context(), c.tenant, c.user)
	for _, word := range words {
		if role, ok := roleOf[word]; ok {
			c.roles = append(c.roles, role)
		}
	}
	return c, err
}

// selfService is what a person may do here through an application that is built
// in: read what is their own, and say that their device is theirs
// (device-protocol.md §9.9). No role of theirs counts in one (decisions 4.3).
var selfService = []string{"User.Read"}

func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e })
}

func unauthorized(reason, says string) error {
	return idp.Unprovenf(reason, "%s", says).Say(says)
}

// has says whether the caller was granted one of the permissions.
func (c caller) has(permissions []string) bool {
	return slices.ContainsFunc(permissions, func(p string) bool { return slices.Contains(c.scopes, p) })
}

func (c caller) holds(roles []Role) bool {
	return slices.ContainsFunc(roles, func(r Role) bool { return slices.Contains(c.roles, r) })
}
