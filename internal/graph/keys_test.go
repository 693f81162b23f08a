package graph_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const (
	keysAt       = "/v1.0/signet/keys"
	helloMethods = "/authentication/windowsHelloForBusinessMethods"
)

func TestHelloMethods(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, eve := w.bearer(w.ada), w.bearer(w.eve)
		ws, old := w.join(w.eve, "ws-17"), w.join(w.eve, "ws-16")
		key, gone := w.enrol(w.eve, ws), w.enrol(w.eve, old)
		w.leave(old)
		w.keys.held = []method.Credential{{ID: "pk", Tenant: w.tenant.ID, User: w.eve.ID, Method: "passkey"}}
		of := "/v1.0/users/" + string(w.eve.ID)
		all := w.ask(ada, "GET", of+"/authentication/methods", nil).want(t, http.StatusOK, "")
		if got := all.column(t, "id"); !cmp.Equal(got, []string{"pk", string(key.ID), string(gone.ID)}) {
			t.Errorf("methods %v", got)
		}
		if _, there := all.at(t, "value", 1).(map[string]any)["device"]; there {
			t.Errorf("a device that nobody asked for: %s", all.Body)
		}
		one := w.ask(eve, "GET", "/v1.0/me"+helloMethods+"/"+string(key.ID)+"?$expand=device($select=displayName)", nil).want(t, http.StatusOK, "")
		if one.body["@odata.type"] != "#microsoft.graph.windowsHelloForBusinessAuthenticationMethod" || one.body["displayName"] != "ws-17" || one.body["keyStrength"] != "normal" ||
			one.at(t, "device", "id") != string(ws.ID) || one.at(t, "device", "displayName") != "ws-17" || one.at(t, "device", "trustType") != nil {
			t.Errorf("key %s", one.Body)
		}
		list := w.ask(ada, "GET", of+helloMethods+"?$expand=device&$select=displayName", nil).want(t, http.StatusOK, "")
		if list.at(t, "value", 0, "device", "deviceId") != string(ws.ID) || list.at(t, "value", 1, "device") != nil || list.at(t, "value", 0, "keyStrength") != nil {
			t.Errorf("keys %s", list.Body)
		}
		w.ask(ada, "GET", of+helloMethods+"/pk", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "GET", of+helloMethods+"?$expand=owner", nil).want(t, http.StatusBadRequest, "Request_BadRequest")
		w.ask(ada, "GET", of+"/authentication/methods?$expand=device", nil).want(t, http.StatusBadRequest, "Request_BadRequest")
		w.ask(ada, "POST", of+helloMethods, map[string]any{}).want(t, http.StatusNotFound, "Request_ResourceNotFound")

		report := w.ask(ada, "GET", "/v1.0/reports/authenticationMethods/userRegistrationDetails/"+string(w.eve.ID), nil).want(t, http.StatusOK, "")
		if got := report.at(t, "methodsRegistered"); !cmp.Equal(got, []any{"passKeyDeviceBound", "windowsHelloForBusiness"}) {
			t.Errorf("registered %v", got)
		}
		w.ask(ada, "DELETE", of+helloMethods+"/"+string(key.ID), nil).want(t, http.StatusNoContent, "")
		w.ask(ada, "DELETE", of+helloMethods+"/"+string(key.ID), nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		if got := w.ask(ada, "GET", of+helloMethods, nil).column(t, "id"); !cmp.Equal(got, []string{string(gone.ID)}) {
			t.Errorf("left %v", got)
		}
	})
}

// The help desk takes keys from people without a role, and from nobody else
// (ADM04); who takes one needs a fresh proof (SES06).
func TestSec_ADM04_HelloKeys(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ws := w.join(w.eve, "ws-17")
	boss, plain := w.enrol(w.ada, ws), w.enrol(w.eve, ws)
	of := func(u idp.User, c method.Credential) string {
		return "/v1.0/users/" + string(u.ID) + helloMethods + "/" + string(c.ID)
	}
	for _, bearer := range []string{w.bearer(w.bob), w.cli("helpdesk")} {
		w.ask(bearer, "DELETE", of(w.ada, boss), nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	}
	w.ask(w.bearer(w.eve), "DELETE", of(w.ada, boss), nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(w.cli("helpdesk"), "DELETE", of(w.eve, plain), nil).want(t, http.StatusNoContent, "")
	w.ask(w.cli("administrator"), "DELETE", of(w.ada, boss), nil).want(t, http.StatusNoContent, "")
}

func TestKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		old := w.join(w.eve, "ws-16")
		gone := w.enrol(w.eve, old)
		bobs := w.enrol(w.bob, old)
		w.leave(old)
		ws := w.join(w.eve, "ws-17")
		key := w.enrol(w.eve, ws)
		ids := func(a answer) []string { return a.want(t, http.StatusOK, "").column(t, "id") }
		for query, want := range map[string][]string{
			"$select=id":                {string(bobs.ID), string(gone.ID), string(key.ID)},
			"$filter=orphaned eq true":  {string(bobs.ID), string(gone.ID)},
			"$filter=orphaned eq false": {string(key.ID)},
			"$filter=rocaVulnerable eq true or userPrincipalName eq 'EVE@nordhafen.example' and usage eq 'ngc'": {string(gone.ID), string(key.ID)},
			"$filter=deviceId eq '" + strings.ToUpper(string(ws.ID)) + "'":                                      {string(key.ID)},
			"$filter=lastUsed le 2030-01-01T00:00:00Z":                                                          nil,
			"$filter=creationTime le 2030-01-01T00:00:00Z":                                                      {string(bobs.ID), string(gone.ID), string(key.ID)},
			"user=bob@nordhafen.example":                                                                        {string(bobs.ID)},
		} {
			name, value, _ := strings.Cut(query, "=")
			if got := ids(w.ask(ada, "GET", keysAt+"?"+name+"="+url.QueryEscape(value), nil)); !cmp.Equal(got, want) {
				t.Errorf("%s: %v, want %v", query, got, want)
			}
		}
		var paged []string
		pages := 0
		for next := keysAt + "?$top=1"; next != ""; pages++ {
			page := w.ask(ada, "GET", next, nil).want(t, http.StatusOK, "")
			paged = append(paged, page.column(t, "id")...)
			link, _ := page.body["@odata.nextLink"].(string)
			next = strings.TrimPrefix(link, base)
		}
		if len(paged) != 3 || pages < 3 {
			t.Errorf("page by page %v in %d pages", paged, pages)
		}

		// A dry run changes nothing.
		rule := map[string]any{"orphaned": true}
		tried := w.ask(ada, "POST", keysAt+"/clean", rule).want(t, http.StatusOK, "")
		if tried.body["applied"] != false || len(tried.at(t, "keys").([]any)) != 2 || len(ids(w.ask(ada, "GET", keysAt, nil))) != 3 {
			t.Errorf("tried %s", tried.Body)
		}
		rule["apply"], rule["user"] = true, "eve@nordhafen.example"
		done := w.ask(ada, "POST", keysAt+"/clean", rule).want(t, http.StatusOK, "")
		if done.body["applied"] != true || done.at(t, "keys", 0, "id") != string(gone.ID) || len(done.at(t, "keys").([]any)) != 1 {
			t.Errorf("cleaned %s", done.Body)
		}
		if e := w.lastChange(t, "key.clean"); e.Actor != string(w.ada.ID) || e.Detail["keys"] != "1" || e.Detail["refused"] != "0" {
			t.Errorf("event %+v", e)
		}
		removed := w.ask(ada, "GET", "/v1.0/signet/removedKeys", nil).want(t, http.StatusOK, "")
		if got := removed.column(t, "id"); !cmp.Equal(got, []string{string(gone.ID)}) || removed.at(t, "value", 0, "removedTime") == nil {
			t.Errorf("removed %s", removed.Body)
		}
		if got := ids(w.ask(ada, "GET", "/v1.0/signet/removedKeys?user=bob@nordhafen.example", nil)); len(got) != 0 {
			t.Errorf("removed of bob %v", got)
		}
		back := w.ask(ada, "POST", keysAt+"/restore", map[string]any{"user": string(w.eve.ID), "id": string(gone.ID)}).want(t, http.StatusOK, "")
		if back.body["applied"] != true || back.at(t, "keys", 0, "id") != string(gone.ID) || len(ids(w.ask(ada, "GET", keysAt, nil))) != 3 {
			t.Errorf("restored %s", back.Body)
		}
		w.lastChange(t, "key.restore")

		// The same by a file.
		var file bytes.Buffer
		if err := hygiene.CSV(&file, []hygiene.Key{{UserName: w.bob.Name, ID: bobs.ID, Usage: hygiene.NGC, Orphaned: true}}, true); err != nil {
			t.Fatal(err)
		}
		csv := map[string]any{"csv": file.String()}
		if got := w.ask(ada, "POST", keysAt+"/clean", csv).want(t, http.StatusOK, ""); got.body["applied"] != false || got.at(t, "keys", 0, "id") != string(bobs.ID) {
			t.Errorf("tried %s", got.Body)
		}
		csv["apply"] = true
		w.ask(ada, "POST", keysAt+"/clean", csv).want(t, http.StatusOK, "")
		if got := w.ask(ada, "POST", keysAt+"/clean", csv).want(t, http.StatusOK, ""); got.body["applied"] != false || got.at(t, "bad", 0, "line") != 2.0 {
			t.Errorf("a row that is wrong: %s", got.Body)
		}
		if got := w.ask(ada, "POST", keysAt+"/restore", csv).want(t, http.StatusOK, ""); got.body["applied"] != true || got.at(t, "keys", 0, "id") != string(bobs.ID) {
			t.Errorf("restored %s", got.Body)
		}
		w.now = w.now.Add(31 * 24 * time.Hour)
		ada = w.bearer(w.ada)
		aged := map[string]any{"olderThanDays": 30, "unusedSinceDays": 30, "apply": true}
		if got := w.ask(ada, "POST", keysAt+"/clean", aged).want(t, http.StatusOK, ""); len(got.at(t, "keys").([]any)) != 3 {
			t.Errorf("by age %s", got.Body)
		}
	})
}

// The last way in stays, whoever cleans.
func TestSec_T48_CleanKeepsTheLastWayIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ask(w.bearer(w.ada), "PATCH", methodsPolicy+"/authenticationMethodConfigurations/windowsHelloForBusiness",
			map[string]any{"state": "enabled", "includeTargets": []any{map[string]any{"id": "all_users", "targetType": "group"}}}).want(t, http.StatusNoContent, "")
		w.enrol(w.eve, w.join(w.eve, "ws-17"))
		w.now = w.now.Add(48 * time.Hour)
		got := w.ask(w.bearer(w.ada), "POST", keysAt+"/clean", map[string]any{"olderThanDays": 1, "apply": true}).want(t, http.StatusOK, "")
		if len(got.at(t, "keys").([]any)) != 0 || got.at(t, "refused", 0, "reason") != "last_method" {
			t.Errorf("cleaned %s", got.Body)
		}
	})
}

func TestKeysRefused(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	for _, tt := range []struct {
		verb string
		body map[string]any
		says string
	}{
		{"clean", map[string]any{}, "Say which keys"}, {"clean", map[string]any{"apply": true}, "Say which keys"}, {"clean", map[string]any{"user": string(w.eve.ID), "apply": true}, "Say which keys"},
		{"clean", map[string]any{"olderThanDays": 0}, "olderThanDays is 1 to 36500"}, {"clean", map[string]any{"unusedSinceDays": 36501}, "unusedSinceDays is 1 to 36500"},
		{"clean", map[string]any{"csv": "x", "orphaned": true}, "not both"}, {"clean", map[string]any{"csv": "x", "user": string(w.eve.ID)}, "not both"}, {"clean", map[string]any{"csv": "x"}, ""},
		{"clean", map[string]any{"orphaned": true, "force": true}, "'force' does not exist"},
		{"restore", map[string]any{"id": "x"}, "required for property 'user'"}, {"restore", map[string]any{"user": string(w.eve.ID)}, "required for property 'id'"},
		{"restore", map[string]any{"csv": "x", "id": "y"}, "not both"},
	} {
		w.ask(ada, "POST", keysAt+"/"+tt.verb, tt.body).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, tt.says)
	}
	w.ask(ada, "POST", keysAt+"/restore", map[string]any{"user": string(w.eve.ID), "id": "x"}).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	for query, says := range map[string]string{"$filter=model eq 'x'": "model", "$filter=usage eq 'FEK'": "FEK", "$orderby=id": "$orderby", "$top=0": "page size"} {
		name, value, _ := strings.Cut(query, "=")
		w.ask(ada, "GET", keysAt+"?"+name+"="+url.QueryEscape(value), nil).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, says)
	}
	w.ask(ada, "GET", keysAt+"?user=nobody@nordhafen.example", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	// Bulk is not for the help desk: it would reach administrators.
	for _, bearer := range []string{w.bearer(w.bob), w.cli("helpdesk"), w.cli("reader"), w.own(w.newApp("UserAuthenticationMethod.Read.All"))} {
		w.ask(bearer, "GET", keysAt, nil).want(t, http.StatusOK, "")
		w.ask(bearer, "POST", keysAt+"/clean", map[string]any{"orphaned": true}).want(t, http.StatusForbidden, "Authorization_RequestDenied")
		w.ask(bearer, "POST", keysAt+"/restore", map[string]any{}).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	}
}
