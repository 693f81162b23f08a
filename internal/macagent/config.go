package macagent

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/program"
	"github.com/signetid/signet/internal/pssowire"
)

// complete fills in what macOS takes where a configuration says nothing, and
// refuses one that leaves out what there has to be.
func complete(c pssowire.Configuration) (pssowire.Configuration, error) {
	for name, value := range map[string]string{
		"client_id": c.ClientID, "issuer": c.Issuer, "audience": c.Audience, "token_endpoint": c.TokenEndpoint, "jwks_uri": c.JWKSURI,
		"device_endpoint": c.DeviceEndpoint, "user_endpoint": c.UserEndpoint,
	} {
		if value == "" {
			return c, disliked("configuration", "the configuration has no %s", name)
		}
	}
	for to, value := range map[*string]string{
		&c.NonceEndpoint: c.TokenEndpoint, &c.NonceKeypath: "Nonce", &c.NonceClaim: "request_nonce", &c.GroupClaim: "groups",
	} {
		if *to == "" {
			*to = value
		}
	}
	return c, nil
}

// scope is what logins ask for (apple-platform-sso.md §6.2).
func scope(c pssowire.Configuration) string {
	return strings.TrimSpace(pssowire.ScopeOpenID + " " + pssowire.ScopeOffline + " " + c.AdditionalScopes)
}

// configure asks a server for its configuration.
func (m *Mac) configure(ctx context.Context, server, tenant string, ca []byte) error {
	server = strings.TrimRight(server, "/")
	if _, err := program.Address(server); err != nil {
		return err
	}
	r, err := m.newRemote(ca)
	if err != nil {
		return err
	}
	at := server + "/" + url.PathEscape(tenant) + "/psso/configuration"
	msg := &Message{Name: "configuration", Method: http.MethodGet, URL: at, Status: http.StatusOK}
	got, err := r.call(ctx, http.MethodGet, at, http.Header{"Accept": {"application/json"}}, nil)
	var c pssowire.Configuration
	if err == nil {
		err = got.decode(&c)
	}
	msg.Type, msg.Answer = got.kind(), asJSON(got)
	if said := AsRefusal(err); said.Status != 0 {
		msg.Status = said.Status
	}
	m.tell(msg, err)
	if err != nil {
		return err
	}
	if c, err = complete(c); err != nil {
		return err
	}
	m.st.Server, m.st.Tenant, m.st.CA, m.st.Conf, m.remote = server, tenant, ca, c, r
	return nil
}

// asJSON is the body of an answer, if it is JSON.
func asJSON(r reply) json.RawMessage {
	if json.Valid(r.body) {
		return json.RawMessage(r.body)
	}
	return nil
}

// SignIn signs a person in afresh, for a token that registers a Mac and a key
// on it. User may be empty: anybody.
func (m *Mac) SignIn(ctx context.Context, by agent.SignIn, user string) (agent.Visitor, error) {
	if m.remote == nil {
		return agent.Visitor{}, m.registered()
	}
	c := m.st.Conf
	if c.AuthorizationEndpoint == "" || c.OAuthTokenEndpoint == "" || c.RegistrationScope == "" {
		return agent.Visitor{}, idp.Deniedf("no_sign_in", "no address to sign in at").Say("the server's configuration says nowhere to sign in: use a registration token")
	}
	return agent.SignInElsewhere(ctx, by, agent.Elsewhere{
		Authorize: c.AuthorizationEndpoint, Token: c.OAuthTokenEndpoint, CA: m.st.CA, User: user,
		App: agent.App{Client: c.ClientID, Scope: "openid profile offline_access " + c.RegistrationScope},
	})
}
