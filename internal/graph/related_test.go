package graph_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func TestExpand(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		g := w.newGroup("Drawing office")
		empty := w.newGroup("Empty")
		w.write(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := w.dir.AddMember(ctx, tx, w.tenant.ID, g.ID, w.eve.ID)
			return err
		})
		got := w.ask(ada, "GET", "/v1.0/groups?$expand=members($select=id,displayName)&$select=displayName&$orderby=createdDateTime", nil).want(t, http.StatusOK, "")
		found := map[string]int{}
		for i, name := range got.column(t, "displayName") {
			members := got.at(t, "value", i, "members").([]any)
			found[name] = len(members)
			for _, m := range members {
				want := map[string]any{"@odata.type": "#microsoft.graph.user", "id": string(w.eve.ID), "displayName": "Eve"}
				if diff := cmp.Diff(want, m); diff != "" {
					t.Errorf("member (-want +got):\n%s", diff)
				}
			}
		}
		if !cmp.Equal(found, map[string]int{"Drawing office": 1, "Empty": 0}) {
			t.Errorf("members %v", found)
		}
		if got := w.ask(ada, "GET", "/v1.0/users/"+string(w.eve.ID)+"?$expand=memberOf", nil).want(t, http.StatusOK, ""); got.at(t, "memberOf", 0, "displayName") != "Drawing office" {
			t.Errorf("person %s", got.Body)
		}
		if got := w.ask(w.bearer(w.eve), "GET", "/v1.0/me?$expand=memberOf($select=id)", nil).want(t, http.StatusOK, ""); got.at(t, "memberOf", 0, "displayName") != nil || got.at(t, "memberOf", 0, "id") != string(g.ID) {
			t.Errorf("oneself %s", got.Body)
		}
		if got := w.ask(ada, "GET", "/v1.0/users?$expand=memberOf&$top=2", nil).want(t, http.StatusOK, ""); len(got.at(t, "value", 0, "memberOf").([]any)) != 0 || !strings.Contains(got.body["@odata.nextLink"].(string), "expand") {
			t.Errorf("people %s", got.Body)
		}
		for i := range 21 {
			u := w.newUser(fmt.Sprint("many", i), "")
			w.write(func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := w.dir.AddMember(ctx, tx, w.tenant.ID, empty.ID, u.ID)
				return err
			})
		}
		got = w.ask(ada, "GET", "/v1.0/groups/"+string(empty.ID)+"?$expand=members", nil).want(t, http.StatusOK, "")
		if n := len(got.at(t, "members").([]any)); n != 20 {
			t.Errorf("%d members came along", n)
		}
		rest := w.ask(ada, "GET", strings.TrimPrefix(got.body["members@odata.nextLink"].(string), base), nil).want(t, http.StatusOK, "")
		if got := rest.column(t, "displayName"); !cmp.Equal(got, []string{"Many20"}) {
			t.Errorf("the rest %v", got)
		}
	})
}

// Nobody sees by $expand what they may not see alone.
func TestSec_ADM03_Expand(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	basic := w.own(w.newApp("User.ReadBasic.All"))
	w.ask(basic, "GET", "/v1.0/users", nil).want(t, http.StatusOK, "")
	w.ask(basic, "GET", "/v1.0/users?$expand=memberOf", nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(w.own(w.newApp("User.Read.All")), "GET", "/v1.0/users?$expand=memberOf", nil).want(t, http.StatusOK, "")
	w.ask(w.cli("reader"), "GET", "/v1.0/users?$expand=memberOf", nil).want(t, http.StatusOK, "")
	ada := w.bearer(w.ada)
	for query, says := range map[string]string{
		"manager": "'manager' to expand", "memberOf,memberOf": "expanded twice", "memberOf($top=1)": "Only $select", "memberOf($select=id": "Only $select",
		"memberOf($select=)": "malformed", "memberOf,": "malformed", "memberOf($select=id)x": "malformed", "": "malformed",
	} {
		w.ask(ada, "GET", "/v1.0/users?$expand="+url.QueryEscape(query), nil).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, says)
	}
}

func TestSearch(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		for i, name := range []string{"Anna Brandt", "Bert Annas", "Hanna O'Neil", "100% Anne_"} {
			u := w.newUser(fmt.Sprintf("p%d", i), "")
			w.ask(ada, "PATCH", "/v1.0/users/"+string(u.ID), map[string]any{"displayName": name}).want(t, http.StatusNoContent, "")
		}
		w.newGroup("Annual reports")
		w.newGroup("Other")
		search := func(what, text string, more ...string) answer {
			return w.ask(ada, "GET", "/v1.0/"+what+"$search="+url.QueryEscape(text), nil, append([]string{"ConsistencyLevel", "eventual"}, more...)...)
		}
		for text, want := range map[string][]string{
			`"displayName:ann"`:                               {"Anna Brandt", "Bert Annas", "100% Anne_"},
			`"displayName:bra ANN"`:                           {"Anna Brandt"},
			`"displayName:O'Neil" OR "userPrincipalName:ada"`: {"Ada", "Hanna O'Neil"},
			`"displayName:ann" AND "displayName:100%"`:        {"100% Anne_"},
			`"displayName:%"`:                                 nil,
			`"displayName:nna"`:                               nil,
		} {
			if got := search("users?", text).want(t, http.StatusOK, "").column(t, "displayName"); !cmp.Equal(got, want) {
				t.Errorf("%s: %v, want %v", text, got, want)
			}
		}
		if got := search("groups?", `"displayName:ann"`).want(t, http.StatusOK, "").column(t, "displayName"); !cmp.Equal(got, []string{"Annual reports"}) {
			t.Errorf("groups %v", got)
		}
		both := search("users?$count=true&$top=1&$filter="+url.QueryEscape("startswith(displayName,'B')")+"&", `"displayName:ann"`).want(t, http.StatusOK, "")
		if both.body["@odata.count"] != 1.0 || both.column(t, "displayName")[0] != "Bert Annas" {
			t.Errorf("with a filter %s", both.Body)
		}
		if n := search("users/$count?", `"displayName:ann"`).want(t, http.StatusOK, ""); n.Body.String() != "3" {
			t.Errorf("counted %s", n.Body)
		}
		// A page on, the search still holds.
		page := search("users?$top=2&", `"displayName:ann"`).want(t, http.StatusOK, "")
		next := w.ask(ada, "GET", strings.TrimPrefix(page.body["@odata.nextLink"].(string), base), nil, "ConsistencyLevel", "eventual").want(t, http.StatusOK, "")
		if got := next.column(t, "displayName"); !cmp.Equal(got, []string{"100% Anne_"}) {
			t.Errorf("next page %v", got)
		}
		search("users?", `"displayName:ann"`, "ConsistencyLevel", "session").want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "ConsistencyLevel: eventual")
		search("users?", `ann`).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "double quotes")
		search("groups?", `"mail:ann"`).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "cannot be searched")
		search("domains?", `"displayName:ann"`).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "not supported here")
	})
}

func TestSummaries(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := func(u idp.User, change func(*method.Credential)) {
			c := method.Credential{ID: idp.CredentialID(fmt.Sprint("k", len(w.keys.held))), Tenant: w.tenant.ID, User: u.ID, Method: "passkey", Created: w.now}
			change(&c)
			w.keys.held = append(w.keys.held, c)
		}
		held(w.ada, func(*method.Credential) {})
		held(w.ada, func(c *method.Credential) { c.Facts.Synced = true })
		held(w.bob, func(c *method.Credential) { c.Disabled = true })
		held(w.eve, func(c *method.Credential) {
			c.Method, c.Bootstrap, c.Expires = "accessPass", true, w.now.Add(time.Hour)
		})
		ada := w.bearer(w.ada)
		const reports = "/v1.0/reports/authenticationMethods/"
		counts := func(a answer, list, name string) map[string]float64 {
			out := map[string]float64{"total": a.body["totalUserCount"].(float64)}
			for i := range a.at(t, list).([]any) {
				if n := a.at(t, list, i, "userCount").(float64); n > 0 {
					out[a.at(t, list, i, name).(string)] = n
				}
			}
			return out
		}
		for call, want := range map[string]map[string]float64{
			"": {"total": 3, "passKeyDeviceBound": 2, "passKeySynced": 1, "temporaryAccessPass": 1},
			"(includedUserTypes='all',includedUserRoles='all')":                   {"total": 3, "passKeyDeviceBound": 2, "passKeySynced": 1, "temporaryAccessPass": 1},
			"(includedUserRoles='privilegedAdmin',%20includedUserTypes='member')": {"total": 1, "passKeyDeviceBound": 1, "passKeySynced": 1},
			"(includedUserRoles='ADMIN')":                                         {"total": 2, "passKeyDeviceBound": 2, "passKeySynced": 1},
			"(includedUserRoles=%27user%27)":                                      {"total": 1, "temporaryAccessPass": 1},
			"?includedUserTypes=guest":                                            {"total": 0},
			"(includedUserTypes='guest')":                                         {"total": 0},
		} {
			a := w.ask(ada, "GET", reports+"usersRegisteredByMethod"+call, nil).want(t, http.StatusOK, "")
			if got := counts(a, "userRegistrationMethodCounts", "authenticationMethod"); !cmp.Equal(got, want) {
				t.Errorf("%s: %v, want %v", call, got, want)
			}
		}
		a := w.ask(ada, "GET", reports+"usersRegisteredByFeature(includedUserTypes='all',includedUserRoles='all')", nil).want(t, http.StatusOK, "")
		if got := counts(a, "userRegistrationFeatureCounts", "feature"); !cmp.Equal(got, map[string]float64{"total": 3, "mfaCapable": 1, "passwordlessCapable": 1}) || a.body["userTypes"] != "all" {
			t.Errorf("features %v: %s", got, a.Body)
		}
		// What a rule refuses makes nobody capable.
		w.ask(w.cli("administrator"), "PATCH", passkeys, map[string]any{"excludeTargets": []any{map[string]any{"id": string(w.eve.ID), "targetType": "user"}}}).want(t, http.StatusNoContent, "")
		held(w.eve, func(*method.Credential) {})
		a = w.ask(ada, "GET", reports+"usersRegisteredByFeature", nil)
		if got := counts(a, "userRegistrationFeatureCounts", "feature"); got["mfaCapable"] != 1 {
			t.Errorf("features %v", got)
		}
		for _, call := range []string{"(includedUserTypes='robots')", "(includedUserRoles=)", "?includedUserTypes=x"} {
			w.ask(ada, "GET", reports+"usersRegisteredByMethod"+call, nil).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "has no member")
		}
		for _, call := range []string{"(includedUserTypes)", "(includedUserTypes='all)", "(x"} {
			w.ask(ada, "GET", reports+"usersRegisteredByMethod"+call, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		}
	})
}

// Nothing takes long: what clients poll is an empty list.
func TestUnderWay(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	at := "/v1.0/users/" + string(w.eve.ID) + "/authentication/operations"
	if got := w.ask(w.bearer(w.bob), "GET", at, nil).want(t, http.StatusOK, "").column(t, "id"); len(got) != 0 {
		t.Errorf("under way %v", got)
	}
	w.ask(w.bearer(w.bob), "GET", at+"/"+guidOf(1), nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	w.ask(w.bearer(w.bob), "GET", "/v1.0/users/"+guidOf(1)+"/authentication/operations", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	w.ask(w.bearer(w.eve), "GET", "/v1.0/me/authentication/operations", nil).want(t, http.StatusOK, "")
}
