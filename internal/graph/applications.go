package graph

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// An application and its service principal are one thing here, with one id for
// id and appId: this server has no other tenant's applications.
func applicationOperations() []operation {
	look := read("Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All")
	change := write(admins, "Application.ReadWrite.All")
	many := options{list: true, fields: client.Fields, order: []string{"createdDateTime", "createdDateTime asc"}}
	return []operation{
		{"GET", "/applications", "applications", "List applications", look, many, listApplications},
		{"POST", "/applications", "applications", "Register a web or native application", change, options{}, createApplication},
		{"GET", "/applications/{app}", "applications", "One application", look, options{}, getApplication},
		{"PATCH", "/applications/{app}", "applications", "Change name, addresses, or whether it is on", change, options{}, updateApplication},
		{"DELETE", "/applications/{app}", "", "Remove an application, its secrets and consents", change, options{}, deleteApplication},
		{"POST", "/applications/{app}/addPassword", "microsoft.graph.passwordCredential", "A new secret; it is in this answer and nowhere else", change, options{}, addSecret},
		{"GET", "/servicePrincipals", "servicePrincipals", "List applications as service principals", look, many, listPrincipals},
		{"GET", "/servicePrincipals/{app}", "servicePrincipals", "One of them", look, options{}, getPrincipal},
	}
}

func applicationEntity(a client.Client) entity {
	web := entity{"redirectUris": []string{}, "logoutUrl": nil}
	native := entity{"redirectUris": []string{}}
	if a.Kind == client.Native {
		native["redirectUris"] = some(a.RedirectURIs)
	} else {
		web["redirectUris"] = some(a.RedirectURIs)
	}
	return entity{
		"id": a.ID, "appId": a.ID, "displayName": a.Name, "createdDateTime": stamp(a.Created), "signInAudience": "AzureADMyOrg",
		"isDisabled": !a.Enabled, "web": web, "publicClient": native, "isFallbackPublicClient": a.Kind == client.Native,
	}
}

func principalEntity(a client.Client) entity {
	return entity{
		"id": a.ID, "appId": a.ID, "displayName": a.Name, "createdDateTime": stamp(a.Created), "accountEnabled": a.Enabled,
		"servicePrincipalType": "Application", "replyUrls": some(a.RedirectURIs), "appRoleAssignmentRequired": false,
	}
}

// some makes an empty list [] and not null.
func some(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// application finds which one a path means. Graph has two ways to write it:
// the id, and (appId='…').
func (c *call) application(ctx context.Context) (client.Client, error) {
	id := c.r.PathValue("app")
	a, err := c.cfg.Clients.Load(ctx, c.cfg.DB, c.tenant.ID, idp.ClientID(audit.Clean(id, 64)))
	return a, missing(err, id)
}

func listApplications(ctx context.Context, c *call) (any, error) {
	return c.clients(ctx, applicationEntity)
}

func listPrincipals(ctx context.Context, c *call) (any, error) {
	return c.clients(ctx, principalEntity)
}

func (c *call) clients(ctx context.Context, show func(client.Client) entity) (any, error) {
	apps, next, err := c.cfg.Clients.Find(ctx, c.tenant.ID, c.query.where, c.query.after, c.query.top)
	if err != nil {
		return nil, err
	}
	out := list{next: next}
	for _, a := range apps {
		out.items = append(out.items, show(a))
	}
	return out, nil
}

func getApplication(ctx context.Context, c *call) (any, error) {
	a, err := c.application(ctx)
	if err != nil {
		return nil, err
	}
	return applicationEntity(a), nil
}

func getPrincipal(ctx context.Context, c *call) (any, error) {
	a, err := c.application(ctx)
	if err != nil {
		return nil, err
	}
	return principalEntity(a), nil
}

// applicationBody is what may be written of an application. Permissions are not
// among it: an application that may register others must not be able to give
// itself, or one of those, more than it has (security.md ADM04).
type applicationBody struct {
	DisplayName    *string `json:"displayName"`
	SignInAudience *string `json:"signInAudience"`
	IsDisabled     *bool   `json:"isDisabled"`
	Web            *struct {
		RedirectURIs []string `json:"redirectUris"`
		ODataType    *string  `json:"@odata.type"`
	} `json:"web"`
	PublicClient *struct {
		RedirectURIs []string `json:"redirectUris"`
		ODataType    *string  `json:"@odata.type"`
	} `json:"publicClient"`
	ODataType *string `json:"@odata.type"`
}

func (in applicationBody) onto(a client.Client) (client.Client, error) {
	if in.SignInAudience != nil && *in.SignInAudience != "AzureADMyOrg" {
		return a, badProperty("signInAudience", "Applications are of this tenant only: signInAudience is AzureADMyOrg.")
	}
	if in.Web != nil && in.PublicClient != nil && len(in.Web.RedirectURIs) > 0 && len(in.PublicClient.RedirectURIs) > 0 {
		return a, badProperty("publicClient", "An application is a web application or a native one; register two.")
	}
	if in.DisplayName != nil {
		a.Name = *in.DisplayName
	}
	if in.IsDisabled != nil {
		a.Enabled = !*in.IsDisabled
	}
	if in.Web != nil {
		a.RedirectURIs = in.Web.RedirectURIs
	}
	if in.PublicClient != nil && len(in.PublicClient.RedirectURIs) > 0 {
		a.Kind, a.Auth, a.RedirectURIs = client.Native, client.AuthNone, in.PublicClient.RedirectURIs
	}
	return a, nil
}

func createApplication(ctx context.Context, c *call) (any, error) {
	var in applicationBody
	if err := c.body(&in); err != nil {
		return nil, err
	}
	if in.DisplayName == nil {
		return nil, required("displayName")
	}
	a, err := in.onto(client.Client{Tenant: c.tenant.ID, Kind: client.Web, Auth: client.AuthSecret, Enabled: true})
	if err != nil {
		return nil, err
	}
	err = c.change(ctx, "app.create", "", func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		made, _, err := c.cfg.Clients.Create(ctx, tx, a)
		if err != nil {
			return err
		}
		a = made
		e.Detail["app"], e.Detail["id"] = a.Name, string(a.ID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return created{applicationEntity(a), "/applications/" + url.PathEscape(string(a.ID))}, nil
}

func updateApplication(ctx context.Context, c *call) (any, error) {
	var in applicationBody
	if err := c.body(&in); err != nil {
		return nil, err
	}
	return nil, c.changeApplication(ctx, "app.update", func(ctx context.Context, tx *sqldb.Tx, a client.Client) error {
		changed, err := in.onto(a)
		if err != nil {
			return err
		}
		_, err = c.cfg.Clients.Update(ctx, tx, changed)
		return err
	})
}

func deleteApplication(ctx context.Context, c *call) (any, error) {
	return nil, c.changeApplication(ctx, "app.delete", func(ctx context.Context, tx *sqldb.Tx, a client.Client) error {
		if a.ID == c.caller.client {
			return denied("own_application", "An application cannot remove itself.")
		}
		return c.cfg.Clients.Delete(ctx, tx, c.tenant.ID, a.ID)
	})
}

// addSecret makes a secret for an application.
func addSecret(ctx context.Context, c *call) (any, error) {
	var in struct {
		Credential *struct {
			DisplayName *string `json:"displayName"`
			ODataType   *string `json:"@odata.type"`
		} `json:"passwordCredential"`
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	var shown string
	err := c.changeApplication(ctx, "app.addSecret", func(ctx context.Context, tx *sqldb.Tx, a client.Client) (err error) {
		shown, err = c.cfg.Clients.AddSecret(ctx, tx, c.tenant.ID, a.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return entity{"secretText": shown, "hint": shown[:3], "startDateTime": stamp(c.cfg.Now()), "endDateTime": nil}, nil
}

func (c *call) changeApplication(ctx context.Context, activity string, fn func(context.Context, *sqldb.Tx, client.Client) error) error {
	a, err := c.application(ctx)
	if err != nil {
		return err
	}
	if !c.covers(a) {
		return denied("stronger_application", "The application has permissions that the caller does not have.")
	}
	return c.change(ctx, activity, "", func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["app"], e.Detail["id"] = a.Name, string(a.ID)
		err := fn(ctx, tx, a)
		if errors.Is(err, idp.NotFound) {
			return missing(err, string(a.ID))
		}
		return err
	})
}

// covers says whether the caller may touch an application. One that calls for
// itself may not touch those with permissions here that it has not: with a
// secret or an address of theirs it would have them (security.md ADM04).
func (c *call) covers(a client.Client) bool {
	if c.caller.user != "" || c.caller.cli != "" {
		return true
	}
	for _, scope := range a.Scopes {
		name, ours := strings.CutPrefix(scope, c.cfg.BaseURL+"/")
		if ours && !slices.Contains(c.caller.scopes, name) {
			return false
		}
	}
	return true
}

// keyed rewrites the other ways in which Graph names one thing to the first:
// /applications(appId='…'), /devices(deviceId='…') and /configurations('…').
func keyed(path string) string {
	path = strings.TrimSuffix(path, "()") // a function that takes nothing
	for _, key := range []string{"(appId='", "(roleTemplateId='", "(deviceId='", "('"} {
		before, rest, ok := strings.Cut(path, key)
		if !ok || strings.HasSuffix(before, "/") {
			continue
		}
		if id, tail, ok := strings.Cut(rest, "')"); ok && id != "" && !strings.Contains(id, "/") {
			return before + "/" + id + tail
		}
	}
	return path
}
