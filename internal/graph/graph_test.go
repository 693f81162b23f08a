package graph_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
)

func TestUsers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		made := w.ask(ada, "POST", "/v1.0/users", map[string]any{
			"displayName": "Zoë", "userPrincipalName": "Zoe@Nordhafen.example", "accountEnabled": true, "mailNickname": "zoe",
			"passwordProfile": map[string]any{"password": "never kept"},
		}).want(t, http.StatusCreated, "")
		id, _ := made.body["id"].(string)
		if made.Header().Get("Location") != base+"/v1.0/users/"+id || made.body["userType"] != "Member" {
			t.Errorf("made %s at %s", made.Body, made.Header().Get("Location"))
		}
		for _, ref := range []string{id, strings.ToUpper(id), "zoe@nordhafen.example"} {
			got := w.ask(ada, "GET", "/beta/users/"+ref, nil).want(t, http.StatusOK, "")
			if got.body["displayName"] != "Zoë" || got.body["@odata.context"] != base+"/beta/$metadata#users/$entity" {
				t.Errorf("%s: %s", ref, got.Body)
			}
		}
		w.ask(ada, "PATCH", "/v1.0/users/"+id, map[string]any{"displayName": "Zoë B", "accountEnabled": false}).want(t, http.StatusNoContent, "")
		got := w.ask(ada, "GET", "/v1.0/users/"+id+"?$select=displayName,accountEnabled", nil).want(t, http.StatusOK, "")
		delete(got.body, "@odata.context")
		if want := map[string]any{"id": id, "displayName": "Zoë B", "accountEnabled": false}; !cmp.Equal(got.body, want) {
			t.Errorf("selected %v", got.body)
		}
		if !slices.Contains(w.revoked, idp.UserID(id)) {
			t.Error("who was switched off keeps what they had open")
		}
		w.ask(ada, "DELETE", "/v1.0/users/"+id, nil).want(t, http.StatusNoContent, "")
		w.ask(ada, "GET", "/v1.0/users/"+id, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		did := w.ask(ada, "GET", "/v1.0/auditLogs/directoryAudits?$filter="+url.QueryEscape("initiatedBy/user/id eq '"+string(w.ada.ID)+"'"), nil).column(t, "activityDisplayName")
		if want := []string{"user.delete", "user.update", "user.create"}; !cmp.Equal(did, want) {
			t.Errorf("recorded %v, want %v", did, want)
		}
	})
}

func TestLists(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		for i := range 7 {
			w.newUser(fmt.Sprintf("person%d", i), "")
		}
		var seen []string
		pages := 0
		for next := "/v1.0/users?$top=4&$count=true"; next != ""; pages++ {
			page := w.ask(ada, "GET", next, nil).want(t, http.StatusOK, "")
			seen = append(seen, page.column(t, "displayName")...)
			if page.body["@odata.count"] != 10.0 {
				t.Errorf("counted %v", page.body["@odata.count"])
			}
			link, _ := page.body["@odata.nextLink"].(string)
			next = strings.TrimPrefix(link, base)
		}
		if pages != 3 || len(seen) != 10 || seen[0] != "Ada" || seen[9] != "Person6" {
			t.Errorf("%d pages: %v", pages, seen)
		}
		for filter, want := range map[string][]string{
			"startswith(displayName,'pers') and displayName ne 'person3'":                    {"Person0", "Person1", "Person2", "Person4", "Person5", "Person6"},
			"userPrincipalName eq 'BOB@nordhafen.example'":                                   {"Bob"},
			"id in ('" + string(w.eve.ID) + "','" + strings.ToUpper(string(w.ada.ID)) + "')": {"Ada", "Eve"},
			"accountEnabled eq false":                                                        nil,
			"userType eq 'Guest'":                                                            nil,
		} {
			got := w.ask(ada, "GET", "/v1.0/users?$filter="+url.QueryEscape(filter), nil).want(t, http.StatusOK, "").column(t, "displayName")
			if !cmp.Equal(got, want) {
				t.Errorf("%s: %v, want %v", filter, got, want)
			}
			count := w.ask(ada, "GET", "/v1.0/users/$count?$filter="+url.QueryEscape(filter), nil).want(t, http.StatusOK, "")
			if count.Body.String() != fmt.Sprint(len(want)) {
				t.Errorf("%s: counted %s", filter, count.Body)
			}
		}
	})
}

func TestSec_ADM05_Queries(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	other := w.ask(ada, "GET", "/v1.0/users?$top=1", nil)
	link, _ := url.Parse(other.body["@odata.nextLink"].(string))
	for query, says := range map[string]string{
		"$top=0": "Must be between 1 and 999", "$top=1000": "Must be between 1 and 999", "$top=x": "Invalid page size",
		"$top=1&$top=2": "more than once", "$skip=5": "'$skip' is not supported", "$orderby=displayName": "can be ordered by",
		"$filter=password eq 'x'": "none of accountEnabled", "$count=yes": "true or false", "$expand=manager": "to expand",
		"$select=" + strings.Repeat("a,", 200) + "a": "Too many", "$skiptoken=zzz": "none that this list gave",
		"$skiptoken=!": "none that this list gave", "$filter=" + strings.Repeat("x", 9000): "too long", "a=%zz": "malformed",
	} {
		a := w.ask(ada, "GET", "/v1.0/users?"+strings.ReplaceAll(query, " ", "%20"), nil)
		e, _ := a.body["error"].(map[string]any)
		if message, _ := e["message"].(string); a.Code != http.StatusBadRequest || !strings.Contains(message, says) {
			t.Errorf("%.40s: %d %s", query, a.Code, a.Body)
		}
	}
	if strings.Contains(link.RawQuery, string(w.ada.ID)) {
		t.Errorf("the next link shows its cursor: %s", link)
	}
}

func TestGroups(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		made := w.ask(ada, "POST", "/v1.0/groups", map[string]any{
			"displayName": "Drawing office", "mailEnabled": false, "securityEnabled": true, "mailNickname": "x", "groupTypes": []string{},
		}).want(t, http.StatusCreated, "")
		at := "/v1.0/groups/" + made.body["id"].(string)
		w.ask(ada, "PATCH", at, map[string]any{"displayName": "Drawing Office", "description": "Second floor"}).want(t, http.StatusNoContent, "")
		if got := w.ask(ada, "GET", at, nil); got.body["displayName"] != "Drawing Office" || got.body["description"] != "Second floor" || made.body["description"] != nil {
			t.Errorf("renamed %s", got.Body)
		}
		w.ask(ada, "POST", "/v1.0/groups", map[string]any{"displayName": "Other", "description": "Kept"}).want(t, http.StatusCreated, "")
		w.ask(ada, "PATCH", at, map[string]any{"displayName": "OTHER"}).want(t, http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue")
		w.ask(ada, "PATCH", at, map[string]any{"securityEnabled": false}).want(t, http.StatusBadRequest, "Request_BadRequest")
		w.ask(ada, "PATCH", at, map[string]any{"displayName": "Drawing office"}).want(t, http.StatusNoContent, "")
		ref := map[string]any{"@odata.id": "https://graph.example/v1.0/directoryObjects/" + string(w.eve.ID)}
		w.ask(ada, "POST", at+"/members/$ref", ref).want(t, http.StatusNoContent, "")
		w.ask(ada, "POST", at+"/members/$ref", ref).want(t, http.StatusBadRequest, "Request_BadRequest")
		if got := w.ask(ada, "GET", at+"/members", nil).column(t, "displayName"); !cmp.Equal(got, []string{"Eve"}) {
			t.Errorf("members %v", got)
		}
		if got := w.ask(ada, "GET", "/v1.0/users/"+string(w.eve.ID)+"/memberOf", nil).column(t, "displayName"); !cmp.Equal(got, []string{"Drawing office"}) {
			t.Errorf("member of %v", got)
		}
		w.ask(ada, "DELETE", at+"/members/"+string(w.eve.ID)+"/$ref", nil).want(t, http.StatusNoContent, "")
		w.ask(ada, "DELETE", at+"/members/"+string(w.eve.ID)+"/$ref", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "POST", "/v1.0/groups", map[string]any{"displayName": "drawing OFFICE"}).want(t, http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue")
		w.ask(ada, "DELETE", at, nil).want(t, http.StatusNoContent, "")
		w.ask(ada, "GET", at, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	})
}

func TestMethods(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	for i, u := range []idp.User{w.eve, w.eve, w.ada} {
		w.keys.held = append(w.keys.held, method.Credential{ID: idp.CredentialID(fmt.Sprint("key", i)), Tenant: w.tenant.ID, User: u.ID, Method: "passkey", Name: fmt.Sprint("Key ", i), Created: w.now})
	}
	bob := w.bearer(w.bob)
	at := "/v1.0/users/" + string(w.eve.ID) + "/authentication/"
	got := w.ask(bob, "GET", at+"methods", nil).want(t, http.StatusOK, "")
	if !cmp.Equal(got.column(t, "displayName"), []string{"Key 0", "Key 1"}) || got.column(t, "@odata.type")[0] != "#microsoft.graph.fido2AuthenticationMethod" {
		t.Errorf("methods %s", got.Body)
	}
	w.ask(bob, "GET", at+"fido2Methods/key0", nil).want(t, http.StatusOK, "")
	w.ask(bob, "GET", at+"temporaryAccessPassMethods/key0", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	w.ask(bob, "GET", at+"fido2Methods/key2", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	w.ask(bob, "DELETE", at+"fido2Methods/key0", nil).want(t, http.StatusNoContent, "")
	w.ask(bob, "GET", at+"fido2Methods/key0", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")

	made := w.ask(bob, "POST", at+"temporaryAccessPassMethods", map[string]any{"lifetimeInMinutes": 60}).want(t, http.StatusCreated, "")
	if made.body["temporaryAccessPass"] != "ABCD-EFGH-IJKL" {
		t.Errorf("pass %s", made.Body)
	}
	w.ask(bob, "POST", at+"temporaryAccessPassMethods", map[string]any{"lifetimeInMinutes": 5}).want(t, http.StatusBadRequest, "Request_BadRequest")
}

// The help desk must not reach those above it, nor anybody themselves (ADM04).
func TestSec_ADM04_NoWayUp(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	w.keys.held = []method.Credential{{ID: "k", Tenant: w.tenant.ID, User: w.ada.ID, Method: "passkey"}, {ID: "l", Tenant: w.tenant.ID, User: w.ada.ID, Method: "passkey"}}
	bob := w.bearer(w.bob)
	of := func(u idp.User) string { return "/v1.0/users/" + string(u.ID) + "/authentication/" }
	w.ask(bob, "POST", of(w.ada)+"temporaryAccessPassMethods", map[string]any{}).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(bob, "DELETE", of(w.ada)+"fido2Methods/k", nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(bob, "POST", of(w.bob)+"temporaryAccessPassMethods", map[string]any{}).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(w.bearer(w.ada), "POST", of(w.ada)+"temporaryAccessPassMethods", map[string]any{}).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(w.cli("helpdesk"), "POST", of(w.ada)+"temporaryAccessPassMethods", map[string]any{}).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(w.cli("administrator"), "POST", of(w.ada)+"temporaryAccessPassMethods", map[string]any{}).want(t, http.StatusCreated, "")
	w.ask(w.bearer(w.ada), "DELETE", "/v1.0/users/"+string(w.ada.ID), nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
}

func TestSec_ADM02_WhoseToken(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	const users = "/v1.0/users"
	for name, tt := range map[string]struct {
		bearer string
		status int
		code   string
	}{
		"none":                  {"", http.StatusUnauthorized, "InvalidAuthenticationToken"},
		"garbage":               {"x.y.z", http.StatusUnauthorized, "InvalidAuthenticationToken"},
		"administrator":         {w.bearer(w.ada), http.StatusOK, ""},
		"somebody":              {w.bearer(w.eve), http.StatusForbidden, "Authorization_RequestDenied"},
		"application":           {w.own(w.app), http.StatusOK, ""},
		"application, no right": {w.own(w.newApp("AuditLog.Read.All")), http.StatusForbidden, "Authorization_RequestDenied"},
		"administrator through an app without the permission": {w.bearer(w.ada, func(s *token.Subject) { s.Scopes = []string{base + "/User.Read"} }), http.StatusForbidden, "Authorization_RequestDenied"},
		"another audience":    {w.bearer(w.ada, func(s *token.Subject) { s.Audience = "https://other.example" }), http.StatusUnauthorized, "InvalidAuthenticationToken"},
		"another tenant":      {w.bearer(w.ada, func(s *token.Subject) { s.Tenant = "00000000-0000-4000-8000-000000000000" }), http.StatusUnauthorized, "InvalidAuthenticationToken"},
		"reader of the shell": {w.cli("reader"), http.StatusOK, ""},
		"no role":             {w.cli("gardener"), http.StatusForbidden, "Authorization_RequestDenied"},
	} {
		a := w.ask(tt.bearer, "GET", users, nil)
		t.Run(name, func(t *testing.T) { a.want(t, tt.status, tt.code) })
		if tt.status == http.StatusUnauthorized && !strings.HasPrefix(a.Header().Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: WWW-Authenticate %q", name, a.Header().Get("WWW-Authenticate"))
		}
	}
	w.ask(w.bearer(w.eve), "GET", "/v1.0/me", nil).want(t, http.StatusOK, "")
	w.ask(w.bearer(w.eve), "GET", "/v1.0/users/"+string(w.eve.ID), nil).want(t, http.StatusOK, "")
	w.ask(w.bearer(w.eve), "GET", "/v1.0/users/"+string(w.ada.ID), nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(w.own(w.app), "GET", "/v1.0/me", nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(w.cli("reader"), "DELETE", "/v1.0/users/"+string(w.eve.ID), nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")

	gone, stays := w.bearer(w.eve), w.own(w.app)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return w.dir.SetEnabled(ctx, tx, w.tenant.ID, w.eve.ID, false)
	})
	w.ask(gone, "GET", "/v1.0/me", nil).want(t, http.StatusUnauthorized, "InvalidAuthenticationToken")
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.clients.Delete(ctx, tx, w.tenant.ID, w.app.ID) })
	w.ask(stays, "GET", users, nil).want(t, http.StatusUnauthorized, "InvalidAuthenticationToken")
}

// Changes by people need a phishing-resistant proof of the last 15 minutes
// (decisions 6.1); the answer says what to ask for.
func TestSec_SES06_FreshProof(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	for name, change := range map[string]func(*token.Subject){
		"old":  func(s *token.Subject) { s.AuthTime = w.now.Add(-16 * time.Minute) },
		"weak": func(s *token.Subject) { s.ACR = "" },
	} {
		a := w.ask(w.bearer(w.ada, change), "POST", "/v1.0/groups", map[string]any{"displayName": name}).want(t, http.StatusUnauthorized, "InvalidAuthenticationToken")
		if !strings.Contains(a.Header().Get("WWW-Authenticate"), "insufficient_claims") {
			t.Errorf("%s: %s", name, a.Header().Get("WWW-Authenticate"))
		}
		w.ask(w.bearer(w.ada, change), "GET", "/v1.0/groups", nil).want(t, http.StatusOK, "")
	}
	w.ask(w.bearer(w.ada), "POST", "/v1.0/groups", map[string]any{"displayName": "fresh"}).want(t, http.StatusCreated, "")
}

// Nothing of another tenant is ever found (ADM01).
func TestSec_ADM01_OtherTenant(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	mine := w.tenant
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		w.tenant, err = w.dir.CreateTenant(ctx, tx, idp.Tenant{Name: "Other", Domain: "other.example"})
		return err
	})
	var stranger idp.User
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		stranger, err = w.dir.CreateUser(ctx, tx, idp.User{Tenant: w.tenant.ID, Name: "sly@other.example", Enabled: true, Type: idp.Member})
		return err
	})
	w.tenant = mine
	ada := w.bearer(w.ada)
	for _, at := range []string{"/v1.0/users/" + string(stranger.ID), "/v1.0/users/sly@other.example", "/v1.0/users/" + string(stranger.ID) + "/authentication/methods", "/v1.0/users/" + string(stranger.ID) + "/memberOf"} {
		w.ask(ada, "GET", at, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	}
	w.ask(ada, "DELETE", "/v1.0/users/"+string(stranger.ID), nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
}

func TestBodies(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	for name, tt := range map[string]struct {
		body any
		says string
	}{
		"unknown property": {map[string]any{"userPrincipalName": "x@nordhafen.example", "isAdmin": true}, "'isAdmin' does not exist"},
		"wrong kind":       {map[string]any{"userPrincipalName": 5}, "'userPrincipalName' cannot be a number"},
		"missing":          {map[string]any{"displayName": "x"}, "required for property 'userPrincipalName'"},
		"no object":        {"x", "cannot be a string"},
		"other domain":     {map[string]any{"userPrincipalName": "x@elsewhere.example"}, "domain"},
		"enum":             {map[string]any{"userPrincipalName": "x@nordhafen.example", "userType": "Robot"}, "Member or Guest"},
	} {
		a := w.ask(ada, "POST", "/v1.0/users", tt.body).want(t, http.StatusBadRequest, "Request_BadRequest")
		if !strings.Contains(a.Body.String(), tt.says) {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	for _, twice := range []string{`{"displayName":"a","displayName":"b"}`, `{"displayName":"a","DisplayName":"b"}`} {
		w.ask(ada, "POST", "/v1.0/groups", json.RawMessage(twice)).want(t, http.StatusBadRequest, "Request_BadRequest")
	}
	w.ask(ada, "POST", "/v1.0/users", map[string]any{}, "Content-Type", "text/plain").want(t, http.StatusBadRequest, "Request_BadRequest")
	w.ask(ada, "GET", "/v1.0/nothing", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
}

func TestRegistrations(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	held := func(u idp.User, change func(*method.Credential)) {
		c := method.Credential{ID: idp.CredentialID(fmt.Sprint("k", len(w.keys.held))), Tenant: w.tenant.ID, User: u.ID, Method: "passkey", Created: w.now}
		change(&c)
		w.keys.held = append(w.keys.held, c)
	}
	held(w.ada, func(*method.Credential) {})
	held(w.ada, func(c *method.Credential) { c.Facts.Synced = true })
	held(w.bob, func(c *method.Credential) { c.Disabled = true })
	got := w.ask(w.bearer(w.ada), "GET", "/v1.0/reports/authenticationMethods/userRegistrationDetails?$count=true", nil).want(t, http.StatusOK, "")
	type row struct {
		Registered, Capable, Admin bool
		Methods                    string
	}
	rows := map[string]row{}
	for _, i := range got.body["value"].([]any) {
		e := i.(map[string]any)
		rows[e["userDisplayName"].(string)] = row{e["isMfaRegistered"].(bool), e["isMfaCapable"].(bool), e["isAdmin"].(bool), fmt.Sprint(e["methodsRegistered"])}
	}
	want := map[string]row{
		"Ada": {true, true, true, "[passKeyDeviceBound passKeySynced]"}, "Bob": {true, false, true, "[passKeyDeviceBound]"}, "Eve": {false, false, false, "[]"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("registrations (-want +got):\n%s", diff)
	}
	one := w.ask(w.bearer(w.ada), "GET", "/v1.0/reports/authenticationMethods/userRegistrationDetails/"+string(w.bob.ID), nil).want(t, http.StatusOK, "")
	if one.body["isMfaRegistered"] != true || one.body["isMfaCapable"] != false || one.body["isAdmin"] != true {
		t.Errorf("one of them: %s", one.Body)
	}
}

func TestApplications(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.app = w.newApp("Application.ReadWrite.All", "User.Read.All")
		ada := w.bearer(w.ada)
		made := w.ask(ada, "POST", "/v1.0/applications", map[string]any{
			"displayName": "Drawings", "signInAudience": "AzureADMyOrg", "web": map[string]any{"redirectUris": []string{"https://drawings.example/cb"}},
		}).want(t, http.StatusCreated, "")
		id := made.body["appId"].(string)
		for _, at := range []string{"/v1.0/applications/" + id, "/v1.0/applications(appId='" + id + "')", "/beta/servicePrincipals/" + id, "/v1.0/servicePrincipals(appId='" + id + "')"} {
			if got := w.ask(ada, "GET", at, nil).want(t, http.StatusOK, ""); got.body["displayName"] != "Drawings" {
				t.Errorf("%s: %s", at, got.Body)
			}
		}
		if got := w.ask(ada, "GET", "/v1.0/applications?$filter="+url.QueryEscape("displayName eq 'drawings'"), nil).column(t, "appId"); !cmp.Equal(got, []string{id}) {
			t.Errorf("found %v", got)
		}
		w.ask(ada, "PATCH", "/v1.0/applications/"+id, map[string]any{"isDisabled": true}).want(t, http.StatusNoContent, "")
		if got := w.ask(ada, "GET", "/v1.0/servicePrincipals/"+id, nil); got.body["accountEnabled"] != false {
			t.Errorf("switched off: %s", got.Body)
		}
		secret := w.ask(ada, "POST", "/v1.0/applications/"+id+"/addPassword", map[string]any{"passwordCredential": map[string]any{"displayName": "x"}}).want(t, http.StatusOK, "")
		if s, _ := secret.body["secretText"].(string); len(s) < 40 {
			t.Errorf("secret %s", secret.Body)
		}
		w.ask(ada, "PATCH", "/v1.0/applications/"+id, map[string]any{"requiredResourceAccess": []any{}}).want(t, http.StatusBadRequest, "Request_BadRequest")
		w.ask(ada, "PATCH", "/v1.0/applications/"+id, map[string]any{"web": map[string]any{"redirectUris": []string{"http://plain.example/cb"}}}).want(t, http.StatusBadRequest, "Request_BadRequest")
		w.ask(ada, "DELETE", "/v1.0/applications/"+id, nil).want(t, http.StatusNoContent, "")
		w.ask(ada, "GET", "/v1.0/applications/"+id, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	})
}

// An application that may register others gets at no permission that it lacks.
func TestSec_ADM04_NoStrongerApplication(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	strong := w.app
	weak := w.newApp("Application.ReadWrite.All")
	peer := w.newApp("Application.ReadWrite.All", "Application.Read.All")
	own := w.own(weak)
	at := func(id idp.ClientID) string { return "/v1.0/applications/" + string(id) }
	for verb, body := range map[string]map[string]any{
		"PATCH":  {"web": map[string]any{"redirectUris": []string{"https://evil.example/cb"}}},
		"DELETE": nil,
	} {
		w.ask(own, verb, at(strong.ID), body).want(t, http.StatusForbidden, "Authorization_RequestDenied")
		w.ask(own, verb, at(peer.ID), body).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	}
	w.ask(own, "POST", at(strong.ID)+"/addPassword", map[string]any{}).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(own, "POST", at(weak.ID)+"/addPassword", map[string]any{}).want(t, http.StatusOK, "")
	w.ask(own, "DELETE", at(weak.ID), nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
}

// Graph's clients send bodies compressed; one that swells is cut off.
func TestPackedBodies(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	send := func(encoding string, body []byte) int {
		req := httptest.NewRequest("POST", base+"/v1.0/groups", bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Content-Encoding", encoding)
		req.Header.Set("Authorization", "Bearer "+ada)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, req)
		return rec.Code
	}
	pack := func(s string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(s))
		z.Close()
		return b.Bytes()
	}
	whole := pack(`{"displayName":"Packed"}`)
	for name, tt := range map[string]struct {
		encoding string
		body     []byte
		want     int
	}{
		"gzip":     {"gzip", whole, http.StatusCreated},
		"cut off":  {"gzip", whole[:len(whole)-9], http.StatusBadRequest},
		"no gzip":  {"gzip", []byte("{}"), http.StatusBadRequest},
		"swelling": {"gzip", pack(`{"displayName":"` + strings.Repeat(" ", 64<<20) + `"}`), http.StatusBadRequest},
		"other":    {"br", whole, http.StatusBadRequest},
	} {
		if got := send(tt.encoding, tt.body); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func TestSignIns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i, reason := range []string{"strength_met", "user_disabled", "strength_met"} {
			outcome := audit.Success
			if reason != "strength_met" {
				outcome = audit.Failure
			}
			w.now = w.now.Add(time.Minute)
			w.write(func(ctx context.Context, tx *sqldb.Tx) error {
				return w.audit.Write(ctx, tx, audit.Event{Tenant: w.tenant.ID, Category: audit.SignIn, Activity: "signin.done", Outcome: outcome, User: w.eve.ID,
					UserName: w.eve.Name, Client: w.app.ID, Rule: "strength.default", Reason: reason, Code: i % 2 * 50057, Method: "passkey", IP: "192.0.2.7"})
			})
		}
		ada := w.bearer(w.ada)
		got := w.ask(ada, "GET", "/v1.0/auditLogs/signIns?$top=2", nil).want(t, http.StatusOK, "")
		if ids := got.column(t, "id"); len(ids) != 2 || got.body["@odata.nextLink"] == nil {
			t.Fatalf("first page %s", got.Body)
		}
		next := strings.TrimPrefix(got.body["@odata.nextLink"].(string), base)
		if rest := w.ask(ada, "GET", next, nil).want(t, http.StatusOK, "").column(t, "id"); len(rest) != 1 {
			t.Errorf("second page %v", rest)
		}
		failed := w.ask(ada, "GET", "/v1.0/auditLogs/signIns?$filter="+url.QueryEscape("status/errorCode ne 0 and userPrincipalName eq 'EVE@nordhafen.example'"), nil).want(t, http.StatusOK, "")
		items := failed.body["value"].([]any)
		if len(items) != 1 {
			t.Fatalf("failed: %s", failed.Body)
		}
		one := items[0].(map[string]any)
		if status := one["status"].(map[string]any); status["errorCode"] != 50057.0 || status["failureReason"] != "user_disabled" {
			t.Errorf("status %v", status)
		}
		w.ask(ada, "GET", "/v1.0/auditLogs/signIns/"+one["id"].(string), nil).want(t, http.StatusOK, "")
		w.ask(ada, "GET", "/v1.0/auditLogs/directoryAudits/"+one["id"].(string), nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	})
}

func TestBatch(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	item := func(id, method, at string, more ...any) map[string]any {
		out := map[string]any{"id": id, "method": method, "url": at}
		for i := 0; i+1 < len(more); i += 2 {
			out[more[i].(string)] = more[i+1]
		}
		return out
	}
	a := w.ask(w.bearer(w.bob), "POST", "/v1.0/$batch", map[string]any{"requests": []any{
		item("1", "GET", "/users?$top=1"),
		item("2", "POST", "/groups", "body", map[string]any{"displayName": "G"}, "headers", map[string]any{"Authorization": "Bearer " + w.bearer(w.ada)}),
		item("3", "GET", "/groups", "dependsOn", []string{"2"}),
		item("4", "GET", "/users/$count"),
		item("5", "GET", "/authenticationMethodsPolicy/authenticationMethodConfigurations('fido2')"),
	}}).want(t, http.StatusOK, "")
	status := map[string]float64{}
	for _, r := range a.body["responses"].([]any) {
		r := r.(map[string]any)
		status[r["id"].(string)] = r["status"].(float64)
	}
	if want := map[string]float64{"1": 200, "2": 403, "3": 424, "4": 200, "5": 200}; !cmp.Equal(status, want) {
		t.Errorf("got %v, want %v: who sent the batch is who asks", status, want)
	}
	for name, requests := range map[string][]any{
		"none": {}, "another host": {item("1", "GET", "https://evil.example/v1.0/users")}, "batch in a batch": {item("1", "POST", "/$batch")},
		"same id": {item("1", "GET", "/users"), item("1", "GET", "/users")}, "unknown verb": {item("1", "TRACE", "/users")},
		"later": {item("1", "GET", "/users", "dependsOn", []string{"2"}), item("2", "GET", "/users")},
	} {
		t.Run(name, func(t *testing.T) {
			w.ask(w.bearer(w.ada), "POST", "/v1.0/$batch", map[string]any{"requests": requests}).want(t, http.StatusBadRequest, "Request_BadRequest")
		})
	}
	w.ask("", "POST", "/v1.0/$batch", map[string]any{"requests": []any{item("1", "GET", "/users")}}).want(t, http.StatusUnauthorized, "InvalidAuthenticationToken")
}

func TestHeaders(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	a := w.ask(w.bearer(w.ada), "GET", "/v1.0/organization", nil, "client-request-id", "my-own-id").want(t, http.StatusOK, "")
	if a.Header().Get("request-id") == "" || a.Header().Get("client-request-id") != "my-own-id" || a.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", a.Header())
	}
	if got := a.column(t, "displayName"); !cmp.Equal(got, []string{"Nordhafen"}) {
		t.Errorf("organization %v", got)
	}
	if got := w.ask(w.bearer(w.ada), "GET", "/v1.0/domains", nil).column(t, "id"); !cmp.Equal(got, []string{"nordhafen.example"}) {
		t.Errorf("domains %v", got)
	}
}
