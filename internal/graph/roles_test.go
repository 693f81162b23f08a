package graph_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// The ids of roles, which are the same in every tenant of Graph.
const (
	globalAdministrator = "62e90394-69f5-4237-9190-012177145e10"
	helpDesk            = "c4e39bd9-1100-46d3-8c65-fb160da0071f"
	globalReader        = "f2ef992c-3afb-46b9-b7cf-a126ee74c451"
	assignments         = "/v1.0/roleManagement/directory/roleAssignments"
)

// governor is ada with an application that may manage roles.
func (w *world) governor() string {
	w.app = w.newApp("RoleManagement.ReadWrite.Directory", "User.Read.All", "Group.ReadWrite.All", "AuditLog.Read.All", "UserAuthenticationMethod.Read.All")
	return w.bearer(w.ada)
}

func TestRoles(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.governor()
		if got := w.ask(ada, "GET", "/v1.0/directoryRoles", nil).want(t, http.StatusOK, "").column(t, "displayName"); !cmp.Equal(got, []string{"Global Administrator", "Authentication Administrator"}) {
			t.Errorf("roles %v", got)
		}
		if got := w.ask(ada, "GET", "/v1.0/roleManagement/directory/roleDefinitions", nil).column(t, "id"); !cmp.Equal(got, []string{globalAdministrator, helpDesk, globalReader}) {
			t.Errorf("definitions %v", got)
		}
		for _, at := range []string{"/directoryRoles/" + helpDesk, "/directoryRoles(roleTemplateId='" + helpDesk + "')", "/roleManagement/directory/roleDefinitions/" + helpDesk} {
			if got := w.ask(ada, "GET", "/v1.0"+at, nil).want(t, http.StatusOK, ""); got.body["displayName"] != "Authentication Administrator" {
				t.Errorf("%s: %s", at, got.Body)
			}
		}
		made := w.ask(ada, "POST", assignments, map[string]any{
			"@odata.type": "#microsoft.graph.unifiedRoleAssignment", "principalId": w.eve.ID, "roleDefinitionId": helpDesk, "directoryScopeId": "/",
		}).want(t, http.StatusCreated, "")
		id := made.body["id"].(string)
		if made.Header().Get("Location") != base+assignments+"/"+id {
			t.Errorf("made at %s", made.Header().Get("Location"))
		}
		got := w.ask(ada, "GET", assignments+"?$expand=principal,roleDefinition&$filter="+url.QueryEscape("principalId eq '"+string(w.eve.ID)+"'"), nil).want(t, http.StatusOK, "")
		if !cmp.Equal(got.column(t, "id"), []string{id}) || got.at(t, "value", 0, "principal", "displayName") != "Eve" || got.at(t, "value", 0, "roleDefinition", "displayName") != "Authentication Administrator" {
			t.Errorf("assignments %s", got.Body)
		}
		if got := w.ask(ada, "GET", assignments+"?$filter="+url.QueryEscape("roleDefinitionId eq '"+helpDesk+"'"), nil).column(t, "principalId"); !cmp.Equal(got, []string{string(w.bob.ID), string(w.eve.ID)}) {
			t.Errorf("help desk %v", got)
		}
		if got := w.ask(ada, "GET", assignments, nil).column(t, "id"); len(got) != 3 {
			t.Errorf("assignments %v", got)
		}
		w.ask(ada, "GET", assignments+"/"+id, nil).want(t, http.StatusOK, "")
		w.ask(ada, "DELETE", assignments+"/"+id, nil).want(t, http.StatusNoContent, "")
		w.ask(ada, "DELETE", assignments+"/"+id, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "GET", assignments+"/"+id, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")

		at := "/v1.0/directoryRoles/" + globalAdministrator + "/members"
		w.ask(ada, "POST", at+"/$ref", map[string]any{"@odata.id": "https://graph.example/v1.0/directoryObjects/" + string(w.eve.ID)}).want(t, http.StatusNoContent, "")
		if got := w.ask(ada, "GET", at, nil).column(t, "displayName"); !cmp.Equal(got, []string{"Ada", "Eve"}) {
			t.Errorf("administrators %v", got)
		}
		if roles, err := w.dir.Roles(context.Background(), w.tenant.ID, w.eve.ID); err != nil || !cmp.Equal(roles, []string{directory.Administrator}) {
			t.Errorf("eve has %v, %v", roles, err)
		}
		w.ask(ada, "DELETE", "/v1.0/directoryRoles/"+helpDesk+"/members/"+string(w.eve.ID)+"/$ref", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "DELETE", at+"/"+string(w.eve.ID)+"/$ref", nil).want(t, http.StatusNoContent, "")
		did := w.ask(ada, "GET", "/v1.0/auditLogs/directoryAudits?$filter="+url.QueryEscape("activityDisplayName eq 'user.setRole'"), nil).column(t, "activityDisplayName")
		if len(did) != 4 {
			t.Errorf("recorded %v", did)
		}
	})
}

func TestSec_POL07_RolesRefused(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.governor()
	assign := func(bearer string, change func(map[string]any)) answer {
		body := map[string]any{"principalId": w.eve.ID, "roleDefinitionId": helpDesk}
		change(body)
		return w.ask(bearer, "POST", assignments, body)
	}
	set := func(name string, v any) func(map[string]any) { return func(b map[string]any) { b[name] = v } }
	for name, tt := range map[string]struct {
		change func(map[string]any)
		status int
		says   string
	}{
		"no such role":     {set("roleDefinitionId", guidOf(1)), http.StatusBadRequest, "no role"},
		"not for people":   {set("roleDefinitionId", globalReader), http.StatusBadRequest, "cannot have the role Global Reader"},
		"a part only":      {set("directoryScopeId", "/administrativeUnits/1"), http.StatusBadRequest, "whole tenant"},
		"nobody":           {set("principalId", guidOf(2)), http.StatusNotFound, "does not exist"},
		"no id":            {set("principalId", "eve"), http.StatusBadRequest, "by their id"},
		"no principal":     {func(b map[string]any) { delete(b, "principalId") }, http.StatusBadRequest, "required for property 'principalId'"},
		"no definition":    {func(b map[string]any) { delete(b, "roleDefinitionId") }, http.StatusBadRequest, "required for property 'roleDefinitionId'"},
		"unknown property": {set("condition", "x"), http.StatusBadRequest, "'condition' does not exist"},
		"a second role":    {set("principalId", w.bob.ID), http.StatusConflict, "another role"},
	} {
		t.Run(name, func(t *testing.T) {
			if a := assign(ada, tt.change); a.Code != tt.status {
				t.Errorf("%d %s", a.Code, a.Body)
			} else {
				a.says(t, tt.says)
			}
		})
	}
	same := func(map[string]any) {}
	assign(w.bearer(w.bob), same).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	assign(w.bearer(w.eve), set("roleDefinitionId", globalAdministrator)).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	assign(w.own(w.newApp("Directory.ReadWrite.All", "User.ReadWrite.All")), same).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	assign(w.cli("helpdesk"), same).want(t, http.StatusForbidden, "Authorization_RequestDenied")

	last := "/v1.0/directoryRoles/" + globalAdministrator + "/members/" + string(w.ada.ID) + "/$ref"
	w.ask(ada, "DELETE", last, nil).want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "last administrator")
	w.ask(ada, "DELETE", assignments+"/"+globalAdministrator+"."+string(w.ada.ID), nil).want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "last administrator")
	for _, id := range []string{"x", globalReader + "." + string(w.ada.ID), globalAdministrator, globalAdministrator + "." + string(w.bob.ID)} {
		w.ask(ada, "DELETE", assignments+"/"+id, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	}
	w.ask(ada, "GET", assignments+"?$filter="+url.QueryEscape("roleDefinitionId eq '"+guidOf(1)+"'"), nil).want(t, http.StatusBadRequest, "Request_BadRequest")
}

// Of two administrators who take each other's role at once, one stays.
func TestSec_POL07_RoleRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.governor()
		finn := w.newUser("finn", directory.Administrator)
		var wg sync.WaitGroup
		for by, who := range map[string]idp.UserID{ada: finn.ID, w.bearer(finn): w.ada.ID} {
			wg.Go(func() {
				w.ask(by, "DELETE", "/v1.0/directoryRoles/"+globalAdministrator+"/members/"+string(who)+"/$ref", nil)
			})
		}
		wg.Wait()
		people, err := w.dir.WithRole(context.Background(), w.tenant.ID)
		left := slices.DeleteFunc(people, func(p directory.Person) bool { return p.Role != directory.Administrator })
		if err != nil || len(left) != 1 {
			t.Errorf("left are %v, %v", left, err)
		}
	})
}
