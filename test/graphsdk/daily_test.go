package graphsdk

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	graph "github.com/microsoftgraph/msgraph-sdk-go"
	"github.com/microsoftgraph/msgraph-sdk-go/auditlogs"
	"github.com/microsoftgraph/msgraph-sdk-go/groups"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"
	"github.com/microsoftgraph/msgraph-sdk-go/users"

	"github.com/signetid/signet/test/running"
)

// bearer puts an access token on every request.
type bearer string

func (b bearer) AuthenticateRequest(_ context.Context, r *abstractions.RequestInformation, _ map[string]interface{}) error {
	r.Headers.Add("Authorization", "Bearer "+string(b))
	return nil
}

// office is a running server and a client of Graph that is an application
// with the given permissions.
func office(t *testing.T, permissions ...string) (*running.Demo, *graph.GraphServiceClient) {
	t.Helper()
	d := running.StartDemo(t)
	args := []string{"app", "create", "Graph client", "--grant", "client_credentials", "--auth", "secret"}
	for _, p := range permissions {
		args = append(args, "--scope", d.Base+"/"+p)
	}
	var app struct{ ID, Secret string }
	d.Admin(t, &app, args...)
	req, err := http.NewRequest("POST", d.Base+"/"+d.Tenant+"/oauth2/v2.0/token",
		strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "scope": {d.Base + "/.default"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(app.ID, url.QueryEscape(app.Secret))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &out); err != nil || out.Token == "" {
		t.Fatalf("token endpoint: %d %s", res.StatusCode, body)
	}
	adapter, err := graph.NewGraphRequestAdapter(bearer(out.Token))
	if err != nil {
		t.Fatal(err)
	}
	adapter.SetBaseUrl(d.Base + "/v1.0")
	return d, graph.NewGraphServiceClient(adapter)
}

func ptr[T any](v T) *T { return &v }

// told gives Graph's word for an error, as the library reads it.
func told(t *testing.T, err error) string {
	t.Helper()
	var e *odataerrors.ODataError
	if !errors.As(err, &e) || e.GetErrorEscaped() == nil {
		t.Fatalf("not an error of Graph: %v", err)
	}
	return *e.GetErrorEscaped().GetCode()
}

// What an administrator does on most days, through Graph's own client.
func TestDailyTasks(t *testing.T) {
	_, c := office(t, "User.ReadWrite.All", "Group.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All", "AuditLog.Read.All", "Organization.Read.All", "Domain.Read.All")
	ctx := t.Context()

	tenants, err := c.Organization().Get(ctx, nil)
	if err != nil || len(tenants.GetValue()) != 1 || *tenants.GetValue()[0].GetDisplayName() != "Nordhafen" {
		t.Fatalf("organization: %v", err)
	}
	domains, err := c.Domains().Get(ctx, nil)
	if err != nil || *domains.GetValue()[0].GetId() != "nordhafen.example" {
		t.Fatalf("domains: %v", err)
	}

	person := models.NewUser()
	person.SetDisplayName(ptr("Zoë Brandt"))
	person.SetUserPrincipalName(ptr("zoe@nordhafen.example"))
	person.SetMailNickname(ptr("zoe"))
	person.SetAccountEnabled(ptr(true))
	made, err := c.Users().Post(ctx, person, nil)
	if err != nil {
		t.Fatalf("make a person: %v", err)
	}
	id := *made.GetId()

	found, err := c.Users().Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{QueryParameters: &users.UsersRequestBuilderGetQueryParameters{
		Filter: ptr("startswith(displayName,'zoë') and accountEnabled eq true"), Select: []string{"id", "displayName", "userPrincipalName"}, Count: ptr(true), Top: ptr[int32](5),
	}})
	if err != nil || len(found.GetValue()) != 1 || *found.GetValue()[0].GetId() != id || *found.GetOdataCount() != 1 {
		t.Fatalf("find a person: %v", err)
	}

	team := models.NewGroup()
	team.SetDisplayName(ptr("Drawing office"))
	team.SetMailEnabled(ptr(false))
	team.SetMailNickname(ptr("drawings"))
	team.SetSecurityEnabled(ptr(true))
	group, err := c.Groups().Post(ctx, team, nil)
	if err != nil {
		t.Fatalf("make a group: %v", err)
	}
	ref := models.NewReferenceCreate()
	ref.SetOdataId(ptr("https://graph.microsoft.com/v1.0/directoryObjects/" + id))
	if err := c.Groups().ByGroupId(*group.GetId()).Members().Ref().Post(ctx, ref, nil); err != nil {
		t.Fatalf("add a member: %v", err)
	}
	members, err := c.Groups().ByGroupId(*group.GetId()).Members().Get(ctx, nil)
	if err != nil || len(members.GetValue()) != 1 {
		t.Fatalf("members: %v", err)
	}
	if u, ok := members.GetValue()[0].(models.Userable); !ok || *u.GetDisplayName() != "Zoë Brandt" {
		t.Errorf("the member is a %T", members.GetValue()[0])
	}

	pass := models.NewTemporaryAccessPassAuthenticationMethod()
	pass.SetLifetimeInMinutes(ptr[int32](60))
	given, err := c.Users().ByUserId(id).Authentication().TemporaryAccessPassMethods().Post(ctx, pass, nil)
	if err != nil || given.GetTemporaryAccessPass() == nil || len(*given.GetTemporaryAccessPass()) < 12 || !*given.GetIsUsable() {
		t.Fatalf("give a pass: %v", err)
	}
	methods, err := c.Users().ByUserId(id).Authentication().Methods().Get(ctx, nil)
	if err != nil || len(methods.GetValue()) != 1 {
		t.Fatalf("methods: %v", err)
	}
	if m, ok := methods.GetValue()[0].(models.TemporaryAccessPassAuthenticationMethodable); !ok || m.GetTemporaryAccessPass() != nil {
		t.Errorf("the method is a %T, or tells its code again", methods.GetValue()[0])
	}

	change := models.NewUser()
	change.SetAccountEnabled(ptr(false))
	if _, err := c.Users().ByUserId(id).Patch(ctx, change, nil); err != nil {
		t.Fatalf("switch a person off: %v", err)
	}
	ended, err := c.Users().ByUserId(id).RevokeSignInSessions().PostAsRevokeSignInSessionsPostResponse(ctx, nil)
	if err != nil || !*ended.GetValue() {
		t.Fatalf("end sessions: %v", err)
	}
	if err := c.Groups().ByGroupId(*group.GetId()).Members().ByDirectoryObjectId(id).Ref().Delete(ctx, nil); err != nil {
		t.Fatalf("take a member out: %v", err)
	}
	if err := c.Users().ByUserId(id).Delete(ctx, nil); err != nil {
		t.Fatalf("remove a person: %v", err)
	}
	_, err = c.Users().ByUserId(id).Get(ctx, nil)
	if got := told(t, err); got != "Request_ResourceNotFound" {
		t.Errorf("a removed person: %s", got)
	}

	log, err := c.AuditLogs().DirectoryAudits().Get(ctx, &auditlogs.DirectoryAuditsRequestBuilderGetRequestConfiguration{
		QueryParameters: &auditlogs.DirectoryAuditsRequestBuilderGetQueryParameters{Filter: ptr("activityDisplayName eq 'user.delete'"), Top: ptr[int32](10)}})
	if err != nil || len(log.GetValue()) != 1 || *log.GetValue()[0].GetTargetResources()[0].GetId() != id {
		t.Fatalf("log of changes: %v", err)
	}
	if _, err := c.AuditLogs().SignIns().Get(ctx, nil); err != nil {
		t.Fatalf("log of sign-ins: %v", err)
	}
}

func TestPages(t *testing.T) {
	_, c := office(t, "User.Read.All", "Group.Read.All")
	ctx := t.Context()
	var names []string
	page, err := c.Users().Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Top: ptr[int32](1)}})
	for err == nil && page != nil {
		for _, u := range page.GetValue() {
			names = append(names, *u.GetUserPrincipalName())
		}
		if page.GetOdataNextLink() == nil {
			break
		}
		page, err = c.Users().WithUrl(*page.GetOdataNextLink()).Get(ctx, nil)
	}
	if err != nil || len(names) != 4 || len(slices.Compact(slices.Sorted(slices.Values(names)))) != 4 {
		t.Fatalf("pages gave %v, %v", names, err)
	}
	_, err = c.Groups().Get(ctx, &groups.GroupsRequestBuilderGetRequestConfiguration{QueryParameters: &groups.GroupsRequestBuilderGetQueryParameters{Filter: ptr("visibility eq 'Public'")}})
	if got := told(t, err); got != "Request_BadRequest" {
		t.Errorf("a filter on what is not there: %s", got)
	}
	team := models.NewGroup()
	team.SetDisplayName(ptr("Not allowed"))
	_, err = c.Groups().Post(ctx, team, nil)
	if got := told(t, err); got != "Authorization_RequestDenied" {
		t.Errorf("a change with permissions to read: %s", got)
	}
}
