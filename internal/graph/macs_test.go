package graph_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const macMethods = "/authentication/platformCredentialMethods"

// TestPlatformCredentials: the keys of Macs are methods like others
// (entra-behaviours.md §2.1): listed, shown with their Mac, taken away, counted.
func TestPlatformCredentials(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		ada := w.bearer(w.ada)
		mac := w.join(w.eve, "MacBook", func(c *device.Candidate) { c.OS, c.OSVersion = "macOS", "macOS 26.1" })
		key := w.enrolMac(w.eve, mac)
		w.enrol(w.eve, w.join(w.eve, "ws-17"))
		of := "/v1.0/users/" + string(w.eve.ID)
		all := w.ask(ada, "GET", of+macMethods, nil).want(t, http.StatusOK, "")
		if ids := all.column(t, "id"); !slices.Equal(ids, []string{string(key.ID)}) {
			t.Fatalf("listed %v", ids)
		}
		one := w.ask(ada, "GET", of+macMethods+"/"+string(key.ID)+"?$expand=device", nil).want(t, http.StatusOK, "")
		if one.body["displayName"] != "MacBook" || one.body["platform"] != "macOS" || one.body["keyStrength"] != "normal" ||
			one.body["attestationLevel"] != "notAttested" || one.at(t, "device", "operatingSystem") != "macOS" {
			t.Errorf("one %s", one.Body)
		}
		if kinds := w.ask(ada, "GET", of+"/authentication/methods", nil).column(t, "@odata.type"); !slices.Contains(kinds, "#microsoft.graph.platformCredentialAuthenticationMethod") {
			t.Errorf("methods of kinds %v", kinds)
		}
		// Of one kind is not of the other.
		w.ask(ada, "GET", of+helloMethods+"/"+string(key.ID), nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		stands := w.ask(ada, "GET", devices+"/"+string(mac.ID)+"/signet.standing", nil).want(t, http.StatusOK, "")
		if stands.body["platformKeys"] != 1.0 || stands.body["helloKeys"] != 0.0 {
			t.Errorf("on the Mac stands %s", stands.Body)
		}
		got := w.ask(ada, "GET", "/v1.0/reports/authenticationMethods/userRegistrationDetails/"+string(w.eve.ID), nil).want(t, http.StatusOK, "")
		if words := got.at(t, "methodsRegistered").([]any); !slices.Contains(words, any("macOsSecureEnclaveKey")) {
			t.Errorf("registered %v", words)
		}
		w.ask(ada, "DELETE", of+macMethods+"/"+string(key.ID), nil).want(t, http.StatusNoContent, "")
		if left := w.ask(ada, "GET", of+macMethods, nil).column(t, "id"); len(left) != 0 {
			t.Errorf("left %v", left)
		}
		w.enrolMac(w.eve, mac)
		ended := w.ask(ada, "DELETE", devices+"/"+string(mac.ID), nil).want(t, http.StatusNoContent, "")
		if says := ended.Result().Header.Get("Signet-Ended"); says != "hello-keys=0, platform-keys=1, primary-refresh-tokens=0, only-way-in-of=0" {
			t.Errorf("ended %q", says)
		}
		if e := w.lastChange(t, "device.remove"); e.Detail["platformKeys"] != "1" {
			t.Errorf("on record %v", e.Detail)
		}
		orphan := w.ask(ada, "GET", of+macMethods+"?$expand=device", nil).want(t, http.StatusOK, "")
		if orphan.at(t, "value", 0, "isOrphaned") != true || orphan.at(t, "value", 0, "device") != nil {
			t.Errorf("an orphan is %s", orphan.Body)
		}
	})
}

// TestPlatformCredentialRules: who may use them, and how many are many, stands
// beside the other methods.
func TestPlatformCredentialRules(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	const at = "/v1.0/policies/authenticationMethodsPolicy/authenticationMethodConfigurations/PlatformCredential"
	if got := w.ask(ada, "GET", at, nil).want(t, http.StatusOK, ""); got.body["state"] != "disabled" || got.body["@signet.limit"] != 20.0 || got.body["@signet.warnAt"] != 15.0 {
		t.Fatalf("at first %s", got.Body)
	}
	w.ask(ada, "PATCH", at, map[string]any{
		"state": "enabled", "@signet.limit": 5, "@signet.warnAt": 4,
		"includeTargets": []any{map[string]any{"id": "all_users", "targetType": "group"}},
	}).want(t, http.StatusNoContent, "")
	p, err := w.rules.Get(t.Context(), w.tenant.ID)
	if err != nil || !p.Methods[policy.Platform].On || p.Platform.Limit != 5 || p.Platform.WarnAt != 4 || p.Hello.Limit != 20 {
		t.Errorf("policy %+v, %v", p.Platform, err)
	}
	w.ask(ada, "PATCH", at, map[string]any{"@signet.limit": 51}).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "PlatformCredential/@signet.limit")
	w.ask(ada, "DELETE", at, nil).want(t, http.StatusNoContent, "")
	if got := w.ask(ada, "GET", at, nil); got.body["state"] != "disabled" || got.body["@signet.limit"] != 20.0 {
		t.Errorf("reset %s", got.Body)
	}
}
