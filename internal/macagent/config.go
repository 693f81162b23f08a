package macagent

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/idp"
)

// Configuration is what the server has an extension know (docs/macos-registration.md,
// 2), as far as a stand-in uses it.
type Configuration struct {
	ClientID      string `json:"client_id"`
	Issuer        string `json:"issuer"`
	Audience      string `json:"audience"` // of embedded assertions
	Token         string `json:"token_endpoint"`
	Nonce         string `json:"nonce_endpoint,omitempty"`   // empty: Token
	Refresh       string `json:"refresh_endpoint,omitempty"` // empty: this method never refreshes
	Key           string `json:"key_endpoint,omitempty"`
	JWKS          string `json:"jwks_uri"`
	Device        string `json:"device_endpoint"`
	User          string `json:"user_endpoint"`
	Authorize     string `json:"authorization_endpoint"`
	OAuthToken    string `json:"oauth_token_endpoint"`
	Scope         string `json:"registration_scope"`
	NonceKeypath  string `json:"nonce_response_keypath,omitempty"`  // empty: Nonce
	NonceClaim    string `json:"server_nonce_claim,omitempty"`      // empty: request_nonce
	MoreScopes    string `json:"additional_scopes,omitempty"`       // beside openid and offline_access
	GroupClaim    string `json:"group_response_claim,omitempty"`    // empty: groups
	UniqueClaim   string `json:"unique_identifier_claim,omitempty"` // empty: none
	Account       string `json:"account_display_name,omitempty"`
	Method        string `json:"authentication_method"`
	Biometric     int    `json:"biometric_policy"`
	LoginInterval int    `json:"login_frequency,omitempty"` // seconds
	Attestation   string `json:"attestation,omitempty"`
}

// complete fills in what macOS takes where a configuration says nothing, and
// refuses one that leaves out what there has to be.
func (c Configuration) complete() (Configuration, error) {
	for name, value := range map[string]string{
		"client_id": c.ClientID, "issuer": c.Issuer, "audience": c.Audience, "token_endpoint": c.Token, "jwks_uri": c.JWKS,
		"device_endpoint": c.Device, "user_endpoint": c.User,
	} {
		if value == "" {
			return c, disliked("configuration", "the configuration has no %s", name)
		}
	}
	for to, value := range map[*string]string{
		&c.Nonce: c.Token, &c.NonceKeypath: "Nonce", &c.NonceClaim: "request_nonce", &c.GroupClaim: "groups",
	} {
		if *to == "" {
			*to = value
		}
	}
	return c, nil
}

// scope is what logins ask for (apple-platform-sso.md §6.2).
func (c Configuration) scope() string {
	return strings.TrimSpace("openid offline_access " + c.MoreScopes)
}

// configure asks a server for its configuration.
func (m *Mac) configure(ctx context.Context, server, tenant string, ca []byte) error {
	server = strings.TrimRight(server, "/")
	if err := checkAddress(server); err != nil {
		return err
	}
	r, err := m.newRemote(ca)
	if err != nil {
		return err
	}
	at := server + "/" + url.PathEscape(tenant) + "/psso/configuration"
	msg := &Message{Name: "configuration", Method: http.MethodGet, URL: at, Status: http.StatusOK}
	got, err := r.call(ctx, http.MethodGet, at, http.Header{"Accept": {"application/json"}}, nil)
	var c Configuration
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
	if c, err = c.complete(); err != nil {
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
	c := m.st.Conf
	if c.Authorize == "" || c.OAuthToken == "" || c.Scope == "" {
		return agent.Visitor{}, idp.Deniedf("no_sign_in", "no address to sign in at").Say("the server's configuration says nowhere to sign in: use a registration token")
	}
	return agent.SignInElsewhere(ctx, by, agent.Elsewhere{
		Authorize: c.Authorize, Token: c.OAuthToken, CA: m.st.CA, User: user,
		App: agent.App{Client: c.ClientID, Scope: "openid profile offline_access " + c.Scope},
	})
}
