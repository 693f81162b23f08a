package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/graph"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// strengths are the addresses of strengths.
var strengths = []string{"/v1.0/policies/authenticationStrengthPolicies", "/beta/identity/conditionalAccess/authenticationStrength/policies"}

func TestStrengths(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		for _, at := range strengths {
			got := w.ask(ada, "GET", at, nil).want(t, http.StatusOK, "")
			ids := got.column(t, "id")
			if len(ids) != 4 || ids[0] != policy.IDMFA || ids[1] != policy.IDPasswordless || ids[2] != policy.IDPhishingResistant {
				t.Errorf("%s: %v", at, ids)
			}
			for filter, n := range map[string]int{"policyType eq 'builtIn'": 4, "policyType eq 'custom'": 0, "startswith(displayName,'phishing') and id ne '" + policy.IDHardwareBound + "'": 1} {
				got := w.ask(ada, "GET", at+"?$expand=combinationConfigurations&$select=displayName&$filter="+url.QueryEscape(filter), nil).want(t, http.StatusOK, "")
				if len(got.column(t, "id")) != n {
					t.Errorf("%s: %s", filter, got.Body)
				}
			}
			w.ask(ada, "GET", at+"?$filter="+url.QueryEscape("policyType eq 'other'"), nil).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "no value")
			phr := w.ask(ada, "GET", at+"/00000000-0000-0000-0000-000000000004", nil).want(t, http.StatusOK, "")
			if fmt.Sprint(phr.body["allowedCombinations"]) != "[windowsHelloForBusiness fido2 x509CertificateMultiFactor]" || phr.body["policyType"] != "builtIn" || phr.body["requirementsSatisfied"] != "mfa" {
				t.Errorf("phishing-resistant: %s", phr.Body)
			}
			mfa := fmt.Sprint(w.ask(ada, "GET", at+"/"+policy.IDMFA, nil).body["allowedCombinations"])
			for _, c := range []string{"deviceBasedPush", "temporaryAccessPassMultiUse", "password,sms", "federatedSingleFactor,voice", "federatedMultiFactor"} {
				if !strings.Contains(mfa, c) {
					t.Errorf("no %s in %s", c, mfa)
				}
			}
			made := w.ask(ada, "POST", at, map[string]any{
				"@odata.type": "#microsoft.graph.authenticationStrengthPolicy", "displayName": "Keys of ours " + at[1:5], "description": "What the workshop uses",
				"policyType": "custom", "requirementsSatisfied": "mfa", "allowedCombinations": []string{"fido2", "x509CertificateMultiFactor"},
				"combinationConfigurations": []any{map[string]any{"@odata.type": "#microsoft.graph.fido2CombinationConfiguration", "appliesToCombinations": []string{"fido2"}, "allowedAAGUIDs": []string{strings.ToUpper(yubikey)}}},
			}).want(t, http.StatusCreated, "")
			one := at + "/" + made.body["id"].(string)
			if made.Header().Get("Location") != base+one || made.at(t, "combinationConfigurations", 0, "allowedAAGUIDs", 0) != yubikey || made.body["@signet.acr"] != "keys-of-ours-"+at[1:5] {
				t.Errorf("made %s at %s", made.Body, made.Header().Get("Location"))
			}
			read := w.ask(ada, "GET", one, nil).want(t, http.StatusOK, "")
			w.ask(ada, "PATCH", one, map[string]any{"description": "Changed"}, "If-Match", read.Header().Get("ETag")).want(t, http.StatusNoContent, "")
			w.ask(ada, "PATCH", one, map[string]any{"description": "Lost"}, "If-Match", read.Header().Get("ETag")).want(t, http.StatusPreconditionFailed, "PreconditionFailed")

			changed := w.ask(ada, "POST", one+"/updateAllowedCombinations", map[string]any{"allowedCombinations": []string{"fido2"}}).want(t, http.StatusOK, "")
			if fmt.Sprint(changed.body["previousCombinations"]) != "[fido2 x509CertificateMultiFactor]" || fmt.Sprint(changed.body["currentCombinations"]) != "[fido2]" {
				t.Errorf("changed %s", changed.Body)
			}
			got = w.ask(ada, "GET", one, nil)
			if got.body["description"] != "Changed" || fmt.Sprint(got.body["allowedCombinations"]) != "[fido2]" {
				t.Errorf("then %s", got.Body)
			}
			w.ask(ada, "DELETE", one, nil).want(t, http.StatusNoContent, "")
			w.ask(ada, "GET", one, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		}
		did := w.ask(ada, "GET", "/v1.0/auditLogs/directoryAudits?$top=4", nil).column(t, "activityDisplayName")
		if want := []string{"strength.delete", "strength.update", "strength.update", "strength.create"}; !cmp.Equal(did, want) {
			t.Errorf("recorded %v", did)
		}
	})
}

func TestStrengthRoot(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	const root = "/v1.0/identity/conditionalAccess/authenticationStrength"
	for _, at := range []string{root, root + "s"} {
		got := w.ask(ada, "GET", at+"/combinations", nil).want(t, http.StatusOK, "")
		if all := got.body["value"].([]any); len(all) != 21 || all[0] != "windowsHelloForBusiness" {
			t.Errorf("combinations %v", all)
		}
	}
	if got := w.ask(ada, "GET", root+"/authenticationMethodModes", nil).column(t, "authenticationMethod"); len(got) != len(policy.Modes) || got[5] != "fido2" {
		t.Errorf("modes %v", got)
	}
	if got := w.ask(ada, "GET", root+"/authenticationMethodModes/deviceBasedPush", nil).want(t, http.StatusOK, ""); got.body["authenticationMethod"] != "microsoftAuthenticator" {
		t.Errorf("mode %s", got.Body)
	}
	w.ask(ada, "GET", root+"/authenticationMethodModes/pigeon", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	if got := w.ask(ada, "GET", root, nil).want(t, http.StatusOK, ""); len(got.body["combinations"].([]any)) != 21 {
		t.Errorf("root %s", got.Body)
	}
	if got := policy.Default().Strengths; len(got) != 4 {
		t.Errorf("%d strengths", len(got))
	}
}

func TestStrengthNarrowed(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	made := w.ask(ada, "POST", strengths[0], map[string]any{"displayName": "Workshop", "allowedCombinations": []string{"fido2", "x509CertificateMultiFactor"}}).want(t, http.StatusCreated, "")
	at := strengths[0] + "/" + made.body["id"].(string) + "/combinationConfigurations"
	keys := w.ask(ada, "POST", at, map[string]any{"appliesToCombinations": []string{"fido2"}, "allowedAAGUIDs": []string{nitrokey}}).want(t, http.StatusCreated, "")
	cards := w.ask(ada, "POST", at, map[string]any{"@odata.type": "#microsoft.graph.x509CertificateCombinationConfiguration", "appliesToCombinations": []string{"x509CertificateMultiFactor"},
		"allowedIssuerSkis": []string{"9A4248C6AC8C2931AB2A86537818E92E7B6C97B6"}, "allowedPolicyOIDs": []string{"1.2.3"}}).want(t, http.StatusCreated, "")
	if keys.Header().Get("Location") != base+at+"/"+keys.body["id"].(string) || keys.body["@odata.type"] != "#microsoft.graph.fido2CombinationConfiguration" {
		t.Errorf("made %s", keys.Body)
	}
	if got := w.ask(ada, "GET", at, nil).column(t, "@odata.type"); len(got) != 2 || !strings.HasSuffix(got[1], "x509CertificateCombinationConfiguration") {
		t.Errorf("configurations %v", got)
	}
	one := at + "/" + keys.body["id"].(string)
	w.ask(ada, "PATCH", one, map[string]any{"allowedAAGUIDs": []string{yubikey, nitrokey}}).want(t, http.StatusNoContent, "")
	if got := w.ask(ada, "GET", one, nil).want(t, http.StatusOK, ""); fmt.Sprint(got.body["allowedAAGUIDs"]) != "["+yubikey+" "+nitrokey+"]" {
		t.Errorf("changed %s", got.Body)
	}
	for name, tt := range map[string]struct {
		body map[string]any
		says string
	}{
		"typing error":        {map[string]any{"allowedAAGUIDs": []string{yubikey[:35] + "9"}}, "combinationConfigurations[0]/allowedAAGUIDs[0]: "},
		"keys have issuers":   {map[string]any{"allowedIssuerSkis": []string{"9A"}}, "combinationConfigurations[0]/allowedIssuerSkis and combinationConfigurations[0]/appliesToCombinations"},
		"no such mode":        {map[string]any{"appliesToCombinations": []string{"key"}}, "'appliesToCombinations[0]' has no member 'key'"},
		"none of its modes":   {map[string]any{"appliesToCombinations": []string{"sms"}}, "no combination has sms"},
		"nothing is narrowed": {map[string]any{"allowedAAGUIDs": []string{}}, "narrows something"},
		"another id":          {map[string]any{"id": guidOf(1)}, "given by the server"},
		"another type":        {map[string]any{"@odata.type": "#microsoft.graph.user"}, "'@odata.type' is"},
		"unknown":             {map[string]any{"allowedAaguids": []string{}}, "two ways"},
	} {
		t.Run(name, func(t *testing.T) {
			w.ask(ada, "PATCH", one, tt.body).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, tt.says)
		})
	}
	// What a combination is narrowed by must not hang in the air.
	w.ask(ada, "POST", strings.TrimSuffix(at, "/combinationConfigurations")+"/updateAllowedCombinations", map[string]any{"allowedCombinations": []string{"fido2"}}).
		want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "combinationConfigurations[1]/appliesToCombinations and allowedCombinations")
	w.ask(ada, "DELETE", at+"/"+cards.body["id"].(string), nil).want(t, http.StatusNoContent, "")
	w.ask(ada, "DELETE", at+"/"+cards.body["id"].(string), nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	w.ask(ada, "DELETE", one, nil).want(t, http.StatusNoContent, "")
	if got := w.ask(ada, "GET", at, nil).column(t, "id"); len(got) != 0 {
		t.Errorf("left %v", got)
	}
}

func TestStrengthsRefused(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	builtIn := strengths[0] + "/" + policy.IDMFA
	for _, verb := range []string{"PATCH", "DELETE"} {
		w.ask(ada, verb, builtIn, map[string]any{"displayName": "Mine"}).want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "Built-in")
	}
	w.ask(ada, "POST", builtIn+"/updateAllowedCombinations", map[string]any{"allowedCombinations": []string{"fido2"}}).want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "Built-in")
	w.ask(ada, "POST", builtIn+"/combinationConfigurations", map[string]any{"appliesToCombinations": []string{"fido2"}, "allowedAAGUIDs": []string{yubikey}}).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	for name, tt := range map[string]struct {
		body map[string]any
		says string
	}{
		"no name":            {map[string]any{"allowedCombinations": []string{"fido2"}}, "required for property 'displayName'"},
		"no combinations":    {map[string]any{"displayName": "A"}, "required for property 'allowedCombinations'"},
		"empty combinations": {map[string]any{"displayName": "A", "allowedCombinations": []string{}}, "allowedCombinations: a strength needs a combination"},
		"unknown mode":       {map[string]any{"displayName": "A", "allowedCombinations": []string{"fido2", "password,pigeon"}}, "'allowedCombinations[1]' has no member 'pigeon'"},
		"the same mode":      {map[string]any{"displayName": "A", "allowedCombinations": []string{"fido2,fido2"}}, "allowedCombinations[0] and allowedCombinations[0]"},
		"nothing here":       {map[string]any{"displayName": "A", "allowedCombinations": []string{"password,sms"}}, "no method here can prove any of them"},
		"a taken name":       {map[string]any{"displayName": "Passwordless mfa", "allowedCombinations": []string{"fido2"}}, "displayName and authenticationStrengthPolicies/" + policy.IDPasswordless},
		"built in":           {map[string]any{"displayName": "A", "allowedCombinations": []string{"fido2"}, "policyType": "builtIn"}, "'policyType' cannot be changed"},
		"more than it is":    {map[string]any{"displayName": "A", "allowedCombinations": []string{"x509CertificateSingleFactor"}, "requirementsSatisfied": "mfa"}, "'requirementsSatisfied' cannot be changed"},
		"an id":              {map[string]any{"id": guidOf(1), "displayName": "A", "allowedCombinations": []string{"fido2"}}, "given by the server"},
		"a configuration": {map[string]any{"displayName": "A", "allowedCombinations": []string{"fido2"}, "combinationConfigurations": []any{map[string]any{"appliesToCombinations": []string{"x"}}}},
			"combinationConfigurations[0]: The property 'appliesToCombinations[0]' has no member 'x'"},
	} {
		t.Run(name, func(t *testing.T) {
			w.ask(ada, "POST", strengths[0], tt.body).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, tt.says)
		})
	}
	var last string
	for i := range policy.MaxStrengths {
		last = w.ask(ada, "POST", strengths[0], map[string]any{"displayName": fmt.Sprint("Own ", i), "allowedCombinations": []string{"fido2"}}).want(t, http.StatusCreated, "").body["id"].(string)
	}
	w.ask(ada, "POST", strengths[0], map[string]any{"displayName": "One too many", "allowedCombinations": []string{"fido2"}}).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "at most 15")
	w.ask(ada, "PATCH", strengths[0]+"/"+last, map[string]any{"allowedCombinations": []string{"sms"}}).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "updateAllowedCombinations")
	w.ask(ada, "PATCH", strengths[0]+"/"+last, map[string]any{"combinationConfigurations": []any{map[string]any{"appliesToCombinations": []string{"fido2"}}}}).
		want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "at its own address")
	w.ask(ada, "PATCH", strengths[0]+"/"+last, map[string]any{"displayName": "Own 3"}).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "would be asked for by")
	// What is read can be sent back.
	var read map[string]any
	if err := json.Unmarshal(w.ask(ada, "GET", strengths[0]+"/"+last, nil).Body.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	read["description"] = "Sent back"
	w.ask(ada, "PATCH", strengths[0]+"/"+last, read).want(t, http.StatusNoContent, "")
}

// A strength that an application demands stays, and stays to be found.
func TestStrengthInUse(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	made := w.ask(ada, "POST", strengths[0], map[string]any{"displayName": "Workshop keys", "allowedCombinations": []string{"fido2"}}).want(t, http.StatusCreated, "")
	at := strengths[0] + "/" + made.body["id"].(string)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		_, _, err := w.clients.Create(ctx, tx, client.Client{Tenant: w.tenant.ID, Name: "Drawings", Kind: client.Web, RedirectURIs: []string{"https://drawings.example/cb"}, Enabled: true, ACR: "workshop-keys"})
		return err
	})
	for _, call := range []string{"/usage", "/usage()"} {
		got := w.ask(ada, "GET", at+call, nil).want(t, http.StatusOK, "")
		if got.at(t, "@signet.applications", 0, "displayName") != "Drawings" || len(got.body["mfa"].([]any)) != 0 {
			t.Errorf("usage %s", got.Body)
		}
	}
	if got := w.ask(ada, "GET", strengths[0]+"/"+policy.IDMFA+"/usage", nil); len(got.body["@signet.applications"].([]any)) != 0 {
		t.Errorf("usage of another %s", got.Body)
	}
	w.ask(ada, "DELETE", at, nil).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "'Drawings' demands this strength")
	w.ask(ada, "PATCH", at, map[string]any{"displayName": "Keys"}).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "'Drawings' demands this strength")
	w.ask(ada, "PATCH", at, map[string]any{"displayName": "Keys", "@signet.acr": "workshop-keys"}).want(t, http.StatusNoContent, "")
	if got := w.ask(ada, "GET", at, nil); got.body["displayName"] != "Keys" || got.body["@signet.acr"] != "workshop-keys" {
		t.Errorf("renamed %s", got.Body)
	}
}

// A strength that is taken is shown and can be sent back; one that is not is
// Invalid.
func FuzzStrength(f *testing.F) {
	f.Add([]byte(`{"displayName":"A","allowedCombinations":["fido2","password,sms"],"combinationConfigurations":[{"appliesToCombinations":["fido2"],"allowedAAGUIDs":["x"]}]}`))
	f.Add([]byte(`{"displayName":"A","allowedCombinations":["x509CertificateMultiFactor"],"@signet.acr":"a","requirementsSatisfied":"mfa"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := graph.NewStrength(raw)
		if err != nil {
			if idp.AsError(err).Kind != idp.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		shown, err := graph.ShowStrength(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := graph.ChangedStrength(shown, s)
		if err != nil {
			t.Fatalf("what is shown is not taken: %v: %s", err, shown)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Fatalf("what is shown changes it: %s", diff)
		}
	})
}
