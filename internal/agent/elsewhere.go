package agent

import (
	"context"

	"github.com/signetid/signet/internal/idp"
)

// Elsewhere is an authorization server that another program of ours signs
// somebody in at: it has the ways that people sign in from here.
type Elsewhere struct {
	Authorize, Token string // addresses
	DeviceCode       string // address; empty: there is none
	CA               []byte // PEM of further authorities for TLS; nil: none
	App              App
	User             string // user name of who is expected; empty: anybody
}

// Visitor is somebody who signed in elsewhere.
type Visitor struct {
	User        string // user name
	AccessToken string
}

// SignInElsewhere signs somebody in with a gesture of now. What is asked for is
// trusted by the registration of keys, so no earlier sign-in will do.
func SignInElsewhere(ctx context.Context, by SignIn, at Elsewhere) (Visitor, error) {
	e := endpoints{Authorize: at.Authorize, Token: at.Token, DeviceCode: at.DeviceCode}
	all := []string{e.Authorize, e.Token}
	if e.DeviceCode != "" {
		all = append(all, e.DeviceCode)
	}
	if err := e.check(all...); err != nil {
		return Visitor{}, err
	}
	r, err := newRemote(at.CA)
	if err != nil {
		return Visitor{}, err
	}
	g, err := by.obtain(ctx, r, e, occasion{login: at.User, app: at.App})
	if err != nil {
		return Visitor{}, err
	}
	i, err := who(g.IDToken)
	if err != nil {
		return Visitor{}, err
	}
	if g.AccessToken == "" {
		return Visitor{}, idp.Deniedf("no_access_token", "scope %q", at.App.Scope).Say("the server gave no token to register with: ask your administrator")
	}
	return Visitor{i.name(), g.AccessToken}, nil
}
