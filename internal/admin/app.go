package admin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/sqldb"
)

type appView struct {
	ID             idp.ClientID    `json:"id"`
	Name           string          `json:"displayName"`
	Kind           string          `json:"kind"`
	Auth           string          `json:"auth"`
	Grants         []string        `json:"grants"`
	RedirectURIs   []string        `json:"redirectUris"`
	PostLogoutURIs []string        `json:"postLogoutRedirectUris"`
	ResponseModes  []string        `json:"responseModes"`
	Alg            string          `json:"alg"`
	Subject        string          `json:"subject"`
	FirstParty     bool            `json:"firstParty"`
	Scopes         []string        `json:"scopes"`
	ACR            string          `json:"acr"`
	JWKS           json.RawMessage `json:"jwks,omitempty"`
	Enabled        bool            `json:"enabled"`
	Created        string          `json:"created"`
	Secrets        int             `json:"secrets"`          // how many there are
	Secret         string          `json:"secret,omitempty"` // a new one, shown once
}

func viewApp(a client.Client, secret string) appView {
	return appView{
		ID: a.ID, Name: a.Name, Kind: a.Kind, Auth: a.Auth, Grants: some(a.Grants), RedirectURIs: some(a.RedirectURIs),
		PostLogoutURIs: some(a.PostLogoutURIs), ResponseModes: some(a.ResponseModes), Alg: a.Alg, Subject: a.Subject, FirstParty: a.FirstParty,
		Scopes: some(a.Scopes), ACR: a.ACR, JWKS: a.JWKS, Enabled: a.Enabled, Created: stamp(a.Created),
		Secrets: len(a.SecretDigests), Secret: secret,
	}
}

// some makes an empty list [] and not null.
func some(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// findApp finds an application by id, or else by name.
func (c *call) findApp(ctx context.Context, q sqldb.Querier, ref string) (client.Client, error) {
	if ref == "" {
		return client.Client{}, idp.Invalidf("no_app", "no app named").On("app").Say("Say which app is meant.")
	}
	a, err := c.Clients.Load(ctx, q, c.tenant.ID, idp.ClientID(audit.Clean(ref, 64)))
	if errors.Is(err, idp.NotFound) {
		return c.Clients.ByName(ctx, q, c.tenant.ID, ref)
	}
	return a, err
}

// appFields are what may be said of an application; nil leaves a field as it
// is, or to its default.
type appFields struct {
	Name           *string         `json:"displayName"`
	Kind           *string         `json:"kind"`
	Auth           *string         `json:"auth"`
	Grants         *[]string       `json:"grants"`
	RedirectURIs   *[]string       `json:"redirectUris"`
	PostLogoutURIs *[]string       `json:"postLogoutRedirectUris"`
	ResponseModes  *[]string       `json:"responseModes"`
	Alg            *string         `json:"alg"`
	Subject        *string         `json:"subject"`
	FirstParty     *bool           `json:"firstParty"`
	Scopes         *[]string       `json:"scopes"`
	ACR            *string         `json:"acr"`
	JWKS           json.RawMessage `json:"jwks"`
	Enabled        *bool           `json:"enabled"`
}

func (f appFields) onto(a client.Client) client.Client {
	set(&a.Name, f.Name)
	set(&a.Kind, f.Kind)
	set(&a.Auth, f.Auth)
	set(&a.Grants, f.Grants)
	set(&a.RedirectURIs, f.RedirectURIs)
	set(&a.PostLogoutURIs, f.PostLogoutURIs)
	set(&a.ResponseModes, f.ResponseModes)
	set(&a.Alg, f.Alg)
	set(&a.Subject, f.Subject)
	set(&a.FirstParty, f.FirstParty)
	set(&a.Scopes, f.Scopes)
	set(&a.ACR, f.ACR)
	set(&a.Enabled, f.Enabled)
	if len(f.JWKS) > 0 && string(f.JWKS) != "null" {
		a.JWKS = f.JWKS
	}
	return a
}

func set[T any](to *T, value *T) {
	if value != nil {
		*to = *value
	}
}

type createAppParams struct {
	inTenant
	appFields
}

func createApp(ctx context.Context, c *call, p createAppParams) (any, error) {
	ask := p.onto(client.Client{Tenant: c.tenant.ID, Kind: client.Web, Enabled: true})
	if err := c.checkStrength(ctx, ask.ACR); err != nil {
		return nil, err
	}
	if err := c.publishKey(ctx, ask.Alg); err != nil {
		return nil, err
	}
	var made client.Client
	var secret string
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		made, secret, err = c.Clients.Create(ctx, tx, ask)
		noteApp(e, made)
		return err
	})
	if err != nil {
		return nil, err
	}
	return viewApp(made, secret), nil
}

// publishKey makes the tenant's first key of an algorithm that an app is to be
// given, so that it stands in the JWKS from now on and not from the app's
// first sign-in on (security.md KEY03). A key is made in a transaction of its
// own, so before that of the app; one that no app uses after all does no harm.
func (c *call) publishKey(ctx context.Context, alg string) error {
	if !slices.Contains(keyring.Algorithms, alg) {
		return nil // the default, which every tenant has, or what will be refused
	}
	if c.Keys == nil {
		return missing("keys")
	}
	_, err := c.Keys.Signer(ctx, c.tenant.ID, alg)
	return err
}

// checkStrength refuses a strength that the tenant does not have: the app
// could never be opened.
func (c *call) checkStrength(ctx context.Context, acr string) error {
	if acr == "" {
		return nil
	}
	p, err := c.Policies.Get(ctx, c.tenant.ID)
	if err != nil {
		return err
	}
	if _, ok := p.Strength(acr); !ok {
		return idp.Invalidf("unknown_strength", "acr %q", audit.Clean(acr, 64)).On("acr").Say("There is no such strength.")
	}
	return nil
}

func noteApp(e *audit.Event, a client.Client) {
	e.Client = a.ID
	e.Detail["app"] = a.Name
}

func listApps(ctx context.Context, c *call, p listParams) (any, error) {
	cursor := ""
	if p.After != "" {
		a, err := c.findApp(ctx, c.DB, p.After)
		if errors.Is(err, idp.NotFound) {
			return nil, gone(p.After)
		} else if err != nil {
			return nil, err
		}
		cursor = client.Cursor(a)
	}
	apps, _, err := c.Clients.List(ctx, c.tenant.ID, cursor, p.Limit)
	views := make([]appView, len(apps))
	for i, a := range apps {
		views[i] = viewApp(a, "")
	}
	return views, err
}

type appParams struct {
	inTenant
	App string `json:"app"`
}

func showApp(ctx context.Context, c *call, p appParams) (any, error) {
	a, err := c.findApp(ctx, c.DB, p.App)
	return viewApp(a, ""), err
}

// onApp changes an application and shows it as fn left it.
func (c *call) onApp(ctx context.Context, ref string, fn func(context.Context, *sqldb.Tx, *client.Client, *audit.Event) (secret string, err error)) (any, error) {
	var a client.Client
	var secret string
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		if a, err = c.findApp(ctx, tx, ref); err != nil {
			return err
		}
		noteApp(e, a)
		secret, err = fn(ctx, tx, &a, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	return viewApp(a, secret), nil
}

type updateAppParams struct {
	inTenant
	App string `json:"app"`
	appFields
}

func updateApp(ctx context.Context, c *call, p updateAppParams) (any, error) {
	if p.ACR != nil {
		if err := c.checkStrength(ctx, *p.ACR); err != nil {
			return nil, err
		}
	}
	if p.Alg != nil {
		if err := c.publishKey(ctx, *p.Alg); err != nil {
			return nil, err
		}
	}
	return c.onApp(ctx, p.App, func(ctx context.Context, tx *sqldb.Tx, a *client.Client, e *audit.Event) (string, error) {
		next := p.onto(*a)
		if next.Auth != client.AuthPrivateKey {
			next.JWKS = nil // the keys of the way it authenticated before
		}
		updated, err := c.Clients.Update(ctx, tx, next)
		if err != nil {
			return "", err
		}
		*a = updated
		noteApp(e, updated)
		if !updated.Secretive() || len(updated.SecretDigests) > 0 {
			return "", nil
		}
		return c.addSecret(ctx, tx, a) // it takes a secret now and has none
	})
}

func (c *call) addSecret(ctx context.Context, tx *sqldb.Tx, a *client.Client) (string, error) {
	secret, err := c.Clients.AddSecret(ctx, tx, a.Tenant, a.ID)
	if err != nil {
		return "", err
	}
	*a, err = c.Clients.Load(ctx, tx, a.Tenant, a.ID)
	return secret, err
}

func enableApp(ctx context.Context, c *call, p appParams) (any, error) {
	return c.switchApp(ctx, p.App, true)
}

func disableApp(ctx context.Context, c *call, p appParams) (any, error) {
	return c.switchApp(ctx, p.App, false)
}

func (c *call) switchApp(ctx context.Context, ref string, on bool) (any, error) {
	return c.onApp(ctx, ref, func(ctx context.Context, tx *sqldb.Tx, a *client.Client, _ *audit.Event) (_ string, err error) {
		a.Enabled = on
		*a, err = c.Clients.Update(ctx, tx, *a)
		return "", err
	})
}

func deleteApp(ctx context.Context, c *call, p appParams) (any, error) {
	return c.onApp(ctx, p.App, func(ctx context.Context, tx *sqldb.Tx, a *client.Client, _ *audit.Event) (string, error) {
		return "", c.Clients.Delete(ctx, tx, a.Tenant, a.ID)
	})
}

func addSecret(ctx context.Context, c *call, p appParams) (any, error) {
	return c.onApp(ctx, p.App, func(ctx context.Context, tx *sqldb.Tx, a *client.Client, _ *audit.Event) (string, error) {
		return c.addSecret(ctx, tx, a)
	})
}

func dropSecrets(ctx context.Context, c *call, p appParams) (any, error) {
	return c.onApp(ctx, p.App, func(ctx context.Context, tx *sqldb.Tx, a *client.Client, e *audit.Event) (string, error) {
		n, err := c.Clients.DropOldSecrets(ctx, tx, a.Tenant, a.ID)
		if err != nil {
			return "", err
		}
		e.Detail["dropped"] = strconv.FormatInt(n, 10)
		*a, err = c.Clients.Load(ctx, tx, a.Tenant, a.ID)
		return "", err
	})
}
