package graph_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const (
	methodsPolicy = "/v1.0/policies/authenticationMethodsPolicy"
	passkeys      = methodsPolicy + "/authenticationMethodConfigurations/fido2"
)

func (w *world) newGroup(name string) (g directory.Group) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		g, err = w.dir.CreateGroup(ctx, tx, directory.Group{Tenant: w.tenant.ID, Name: name})
		return err
	})
	return g
}

func (a answer) says(t testing.TB, text string) answer {
	t.Helper()
	e, _ := a.body["error"].(map[string]any)
	if message, _ := e["message"].(string); !strings.Contains(message, text) {
		t.Errorf("%q does not say %q", message, text)
	}
	return a
}

// at walks into an answer by names and numbers.
func (a answer) at(t testing.TB, path ...any) any {
	t.Helper()
	var v any = a.body
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

func TestMethodsPolicy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		g := w.newGroup("Drawing office")
		got := w.ask(ada, "GET", methodsPolicy, nil).want(t, http.StatusOK, "")
		if got.Header().Get("ETag") != `W/"0"` || got.at(t, "authenticationMethodConfigurations", 0, "id") != "Fido2" || got.at(t, "policyMigrationState") != "migrationComplete" {
			t.Errorf("policy %s", got.Body)
		}
		target := []any{map[string]any{"id": string(g.ID), "targetType": "group", "targetedAuthenticationMethod": "fido2"}}
		done := w.ask(ada, "PATCH", methodsPolicy, map[string]any{"registrationEnforcement": map[string]any{"authenticationMethodsRegistrationCampaign": map[string]any{
			"state": "enabled", "snoozeDurationInDays": 7, "includeTargets": target,
		}}}).want(t, http.StatusNoContent, "")
		if done.Header().Get("ETag") != `W/"1"` {
			t.Errorf("tag %s", done.Header().Get("ETag"))
		}
		got = w.ask(ada, "GET", "/beta/policies/authenticationMethodsPolicy", nil).want(t, http.StatusOK, "")
		campaign := got.at(t, "registrationEnforcement", "authenticationMethodsRegistrationCampaign")
		if c := campaign.(map[string]any); c["state"] != "enabled" || c["snoozeDurationInDays"] != 7.0 || got.at(t, "lastModifiedDateTime") == nil {
			t.Errorf("campaign %v", campaign)
		}
		if got := w.ask(ada, "GET", methodsPolicy+"/authenticationMethodConfigurations", nil).column(t, "id"); len(got) < 6 || got[1] != "TemporaryAccessPass" {
			t.Errorf("configurations %v", got)
		}
		// Every way in which clients name one method.
		for _, id := range []string{"/Fido2", "/fido2", "('FIDO2')"} {
			one := w.ask(ada, "GET", methodsPolicy+"/authenticationMethodConfigurations"+id, nil).want(t, http.StatusOK, "")
			if one.body["@odata.type"] != "#microsoft.graph.fido2AuthenticationMethodConfiguration" || one.Header().Get("ETag") != `W/"1"` {
				t.Errorf("%s: %s", id, one.Body)
			}
		}
		w.ask(ada, "GET", "/v1.0/authenticationMethodsPolicy/authenticationMethodConfigurations/sms", nil).want(t, http.StatusOK, "")
		w.ask(ada, "GET", methodsPolicy+"/authenticationMethodConfigurations/pigeon", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")

		w.ask(ada, "PATCH", passkeys, map[string]any{"isAttestationEnforced": true}).want(t, http.StatusNoContent, "")
		if one := w.ask(ada, "GET", passkeys, nil); one.body["isAttestationEnforced"] != true || one.at(t, "passkeyProfiles", 0, "attestationEnforcement") != "registrationOnly" {
			t.Errorf("changed %s", one.Body)
		}
		// What changes nothing is no version.
		if again := w.ask(ada, "PATCH", passkeys, map[string]any{"isAttestationEnforced": true}); again.Header().Get("ETag") != `W/"2"` {
			t.Errorf("tag %s", again.Header().Get("ETag"))
		}
		w.ask(ada, "DELETE", passkeys, nil).want(t, http.StatusNoContent, "")
		if one := w.ask(ada, "GET", passkeys, nil); one.body["isAttestationEnforced"] != false {
			t.Errorf("put back %s", one.Body)
		}
		log := w.ask(ada, "GET", "/v1.0/auditLogs/directoryAudits", nil)
		if did := log.column(t, "activityDisplayName"); strings.Join(did, " ") != "policy.reset policy.update policy.update" || log.column(t, "category")[0] != "Policy" {
			t.Errorf("recorded %s", log.Body)
		}
		if detail := fmt.Sprint(log.at(t, "value", 1, "additionalDetails")); !strings.Contains(detail, `passkey.attestation value:"preferred" → "required"`) {
			t.Errorf("the record says %s", detail)
		}
	})
}

// A change to what somebody else has changed meanwhile is refused with
// If-Match; without, both changes hold. Nothing is lost.
func TestPolicyConcurrentEdits(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		read := w.ask(ada, "GET", passkeys, nil).Header().Get("ETag")
		w.ask(ada, "PATCH", passkeys, map[string]any{"isSelfServiceRegistrationAllowed": false}, "If-Match", read).want(t, http.StatusNoContent, "")
		for _, verb := range []string{"PATCH", "DELETE"} {
			w.ask(ada, verb, passkeys, map[string]any{"isAttestationEnforced": true}, "If-Match", read).want(t, http.StatusPreconditionFailed, "PreconditionFailed")
		}
		w.ask(ada, "PATCH", methodsPolicy, map[string]any{"systemCredentialPreferences": map[string]any{"state": "disabled"}}, "If-Match", `"7"`).want(t, http.StatusPreconditionFailed, "PreconditionFailed")
		// So is an object that was read before, and is sent back with a change.
		w.ask(ada, "PATCH", passkeys, map[string]any{"@odata.etag": read, "isAttestationEnforced": true}).want(t, http.StatusPreconditionFailed, "PreconditionFailed")
		w.ask(ada, "PATCH", passkeys, map[string]any{"isAttestationEnforced": true}, "If-Match", `W/"7", "1"`).want(t, http.StatusNoContent, "")
		w.ask(ada, "PATCH", passkeys, map[string]any{"isAttestationEnforced": false}, "If-Match", "*").want(t, http.StatusNoContent, "")

		changes := []map[string]any{
			{"isAttestationEnforced": true}, {"isSelfServiceRegistrationAllowed": true},
			{"@signet.restrictions": "audit"}, {"keyRestrictions": map[string]any{"aaGuids": []string{yubikey}}},
		}
		var wg sync.WaitGroup
		for _, change := range changes {
			wg.Go(func() { w.ask(ada, "PATCH", passkeys, change) })
		}
		wg.Wait()
		got := w.ask(ada, "GET", passkeys, nil)
		if got.body["isAttestationEnforced"] != true || got.body["isSelfServiceRegistrationAllowed"] != true || got.body["@signet.restrictions"] != "audit" ||
			got.at(t, "keyRestrictions", "aaGuids", 0) != yubikey {
			t.Errorf("one of four changes at once is lost: %s", got.Body)
		}
		tag := got.Header().Get("ETag")
		codes := make([]int, 4)
		for i := range codes {
			wg.Go(func() {
				codes[i] = w.ask(ada, "PATCH", passkeys, map[string]any{"passkeyProfiles": []any{
					map[string]any{"id": "00000000-0000-0000-0000-000000000001"}, map[string]any{"name": []string{"A", "B", "C", "D"}[i], "passkeyTypes": "synced"},
				}}, "If-Match", tag).Code
			})
		}
		wg.Wait()
		won := 0
		for _, code := range codes {
			if code == http.StatusNoContent {
				won++
			} else if code != http.StatusPreconditionFailed {
				t.Errorf("answer %d", code)
			}
		}
		if won != 1 {
			t.Errorf("of four edits of one version %d were saved", won)
		}
	})
}

func TestPolicyBadInput(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	typo, short := yubikey[:len(yubikey)-1]+"9", yubikey[:len(yubikey)-1]
	keys := func(list ...string) map[string]any {
		return map[string]any{"keyRestrictions": map[string]any{"isEnforced": true, "enforcementType": "allow", "aaGuids": append([]string{}, list...)}}
	}
	for name, tt := range map[string]struct {
		body any
		says string
	}{
		"typing error":     {keys(nitrokey, typo), "Fido2/keyRestrictions/aaGuids[1]: \"" + typo + "\" is no known model; did you mean " + yubikey + " (YubiKey 5 Series)"},
		"too short":        {keys(short), "Fido2/keyRestrictions/aaGuids[0]: \"" + short + "\" is no AAGUID; " + yubikey},
		"twice":            {keys(yubikey, strings.ToUpper(yubikey)), "Fido2/keyRestrictions/aaGuids[0] and Fido2/keyRestrictions/aaGuids[1]"},
		"nothing allowed":  {keys(), "Fido2/keyRestrictions/enforcementType and Fido2/keyRestrictions/aaGuids"},
		"for nobody":       {map[string]any{"includeTargets": []any{}}, "Fido2/state and Fido2/includeTargets"},
		"nobody's group":   {map[string]any{"excludeTargets": []any{map[string]any{"id": guidOf(1), "targetType": "group"}}}, "no group or user '" + guidOf(1) + "'"},
		"nobody":           {map[string]any{"excludeTargets": []any{map[string]any{"id": guidOf(2), "targetType": "user"}}}, "no group or user '" + guidOf(2) + "'"},
		"unknown property": {map[string]any{"isEnforced": true}, "'isEnforced' does not exist"},
		"no such profile":  {map[string]any{"includeTargets": []any{map[string]any{"id": "all_users", "targetType": "group", "allowedPasskeyProfiles": []string{guidOf(3)}}}}, "Fido2/includeTargets[0]/allowedPasskeyProfiles[0] and Fido2/passkeyProfiles"},
		"profile's list": {map[string]any{"passkeyProfiles": []any{map[string]any{"id": "00000000-0000-0000-0000-000000000001"},
			map[string]any{"name": "Office", "keyRestrictions": map[string]any{"isEnforced": true, "aaGuids": []string{typo}}}}}, "Fido2/passkeyProfiles[1]/keyRestrictions/aaGuids[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.ask(ada, "PATCH", passkeys, tt.body)
			a.want(t, http.StatusBadRequest, "Request_BadRequest").says(t, tt.says)
		})
	}
	passes := methodsPolicy + "/authenticationMethodConfigurations/temporaryAccessPass"
	w.ask(ada, "PATCH", passes, map[string]any{"minimumLifetimeInMinutes": 600, "maximumLifetimeInMinutes": 480}).
		want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "TemporaryAccessPass/minimumLifetimeInMinutes and TemporaryAccessPass/maximumLifetimeInMinutes")
	if got := w.ask(ada, "GET", passkeys, nil); got.Header().Get("ETag") != `W/"0"` {
		t.Errorf("something was saved: %s", got.Body)
	}
}

// Nobody saves a policy that leaves themselves, or the tenant, without an
// administrator who can sign in (security.md POL07).
func TestSec_POL07_PolicyLocksOut(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	w.keys.held = []method.Credential{{ID: "k", Tenant: w.tenant.ID, User: w.ada.ID, Method: "passkey", Facts: idp.Facts{AAGUID: nitrokey, Attested: true}}}
	ada := w.bearer(w.ada)
	off := map[string]any{"state": "disabled"}
	w.ask(ada, "PATCH", passkeys, off).want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "no way in yourself")
	w.ask(w.cli("administrator"), "PATCH", passkeys, off).want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "No administrator")
	w.ask(w.own(w.app), "PATCH", passkeys, off).want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "No administrator")
	only := func(model string) map[string]any {
		return map[string]any{"keyRestrictions": map[string]any{"isEnforced": true, "enforcementType": "allow", "aaGuids": []string{model}}}
	}
	w.ask(ada, "PATCH", passkeys, only(yubikey)).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(ada, "PATCH", passkeys, only(nitrokey)).want(t, http.StatusNoContent, "")
	w.ask(w.bearer(w.bob), "PATCH", passkeys, only(nitrokey)).want(t, http.StatusForbidden, "Authorization_RequestDenied")
}

// What Graph has and Signet has not is shown off, and cannot be turned on.
func TestForeignMethods(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	at := methodsPolicy + "/authenticationMethodConfigurations/"
	for _, id := range []string{"sms", "voice", "email", "softwareOath"} {
		if got := w.ask(ada, "GET", at+id, nil).want(t, http.StatusOK, ""); got.body["state"] != "disabled" {
			t.Errorf("%s: %s", id, got.Body)
		}
		w.ask(ada, "PATCH", at+id, map[string]any{"state": "disabled"}).want(t, http.StatusNoContent, "")
		w.ask(ada, "PATCH", at+id, map[string]any{"state": "enabled"}).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "no such method here")
		w.ask(ada, "DELETE", at+id, nil).want(t, http.StatusNoContent, "")
	}
}
