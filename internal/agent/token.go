package agent

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// TokenOptions say what a token is for.
type TokenOptions struct {
	User     string
	Resource string // asks for all that the client may have there
	Scope    string // asks for these, in the place of Resource
	Client   string // application to act for; empty: this agent
}

// TokenResult is an access token.
type TokenResult struct {
	User        string    `json:"userPrincipalName"`
	AccessToken string    `json:"accessToken"`
	Type        string    `json:"tokenType"`
	Scope       string    `json:"scope"`
	Expires     time.Time `json:"expires"`
}

// Token gets an access token with the PRT.
func (a *Agent) Token(ctx context.Context, o TokenOptions) (TokenResult, error) {
	scope := o.Scope
	switch {
	case scope == "" && o.Resource == "":
		return TokenResult{}, idp.Invalidf("no_resource", "neither resource nor scope").Say("say what the token is for: --resource or --scope")
	case scope == "":
		scope = strings.TrimRight(o.Resource, "/") + "/.default"
	case o.Resource != "":
		return TokenResult{}, idp.Invalidf("resource_and_scope", "both").Say("say either --resource or --scope")
	}
	for _, s := range strings.Fields(scope) {
		if s == "aza" {
			return TokenResult{}, idp.Invalidf("scope_aza", "aza").Say("the scope aza is for renewals: signet device renew")
		}
	}
	client := o.Client
	if client == "" {
		client = clientID
	}
	var result TokenResult
	err := a.during(ctx, "token", func(w *work) error {
		p, err := w.signedIn(o.User)
		if err != nil {
			return err
		}
		got, err := w.use(ctx, p, client, scope)
		if err != nil {
			return err
		}
		result = TokenResult{p.UPN, got.AccessToken, got.TokenType, got.Scope, w.now.Add(time.Duration(got.ExpiresIn) * time.Second)}
		return nil
	})
	return result, err
}

// HeaderResult is what a browser sends along to be signed in.
type HeaderResult struct {
	User  string `json:"userPrincipalName"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ssoHeader is the header of browser single sign-on (device-protocol.md §9.3).
const ssoHeader = "x-ms-RefreshTokenCredential"

// ssoUse is its payload.
type ssoUse struct {
	RefreshToken string `json:"refresh_token"`
	Nonce        string `json:"request_nonce"`
	Primary      string `json:"is_primary"`
}

// BrowserHeader makes the header that signs the person in at one address, once.
// An address that is not of this tenant's server gets none (security.md DEV10).
// A nonce that the server put into it (sso_nonce) is used.
func (a *Agent) BrowserHeader(ctx context.Context, user, address string) (HeaderResult, error) {
	var result HeaderResult
	err := a.during(ctx, "browser-header", func(w *work) error {
		p, err := w.signedIn(user)
		if err != nil {
			return err
		}
		nonce, err := w.atHome(address)
		if err != nil {
			return err
		}
		if nonce == "" {
			if nonce, err = w.remote.nonce(ctx, w.st.Endpoints); err != nil {
				return err
			}
		}
		value, err := sessionMessage(w.vault, p.PRT.Session, ssoUse{p.PRT.Value, nonce, "true"})
		if err != nil {
			return foreign(err)
		}
		result = HeaderResult{p.UPN, ssoHeader, value}
		return nil
	})
	return result, err
}

// atHome says whether an address is of the server that this device joined,
// and which nonce it has.
func (w *work) atHome(address string) (string, error) {
	u, err := url.Parse(address)
	home, herr := url.Parse(w.st.Endpoints.Authorize)
	if err != nil || herr != nil || u.Scheme != home.Scheme || !strings.EqualFold(u.Host, home.Host) || u.User != nil {
		return "", idp.Deniedf("foreign_address", "%q", address).
			Say("that address is not of the server that this device joined (" + w.st.Server + "), and gets no credential")
	}
	return u.Query().Get("sso_nonce"), nil
}
