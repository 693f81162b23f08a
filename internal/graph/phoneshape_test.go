package graph_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/graph"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const phones = "MicrosoftAuthenticator"

func TestPatchPhones(t *testing.T) {
	group := policy.Target{Group: idp.GroupID(guidOf(5))}
	some := `{"id":"` + guidOf(5) + `","targetType":"group"}`
	none := `{"id":"00000000-0000-0000-0000-000000000000","targetType":"group"}`
	for name, tt := range map[string]struct {
		body   string
		change func(*policy.Policy)
	}{
		"for a group, in both words": {`{"@odata.type":"#microsoft.graph.microsoftAuthenticatorAuthenticationMethodConfiguration","state":"enabled","isSoftwareOathEnabled":false,"includeTargets":[
			{"id":"all_users","targetType":"group","authenticationMode":"any"},{"id":"` + guidOf(5) + `","targetType":"group","isRegistrationRequired":true,"authenticationMode":"deviceBasedPush"}]}`,
			func(p *policy.Policy) {
				p.Methods[policy.Phone] = policy.MethodRules{On: true, Include: []policy.Include{{Target: policy.Target{All: true}}, {Target: group, Required: true}}}
			}},
		"one feature by its state": {`{"featureSettings":{"displayAppInformationRequiredState":{"state":"disabled"}}}`, func(p *policy.Policy) { p.Phone.ShowApp.On = false }},
		"the whole block": {`{"featureSettings":{"displayAppInformationRequiredState":{"state":"enabled","includeTarget":` + some + `,"excludeTarget":` + none + `},
			"displayLocationInformationRequiredState":{"state":"default","includeTarget":{"id":"all_users","targetType":"group"},"excludeTarget":` + some + `}}}`,
			func(p *policy.Policy) { p.Phone.ShowApp.Include, p.Phone.ShowPlace.Exclude = group, group }},
		"numbers are matched whatever is said": {`{"featureSettings":{"numberMatchingRequiredState":{"state":"disabled","includeTarget":` + some + `,"excludeTarget":` + none + `},"companionAppAllowedState":{"state":"default"}}}`,
			func(*policy.Policy) {}},
		"browsers": {`{"@signet.from":"knownOrNetwork","@signet.stricter":[{"id":"` + guidOf(5) + `","targetType":"group","from":"known"}],"@signet.synced":"deny","@signet.limit":5,"@signet.warnAt":4}`,
			func(p *policy.Policy) {
				p.Phone.From, p.Phone.Synced, p.Phone.Limit, p.Phone.WarnAt = policy.FromNetwork, policy.SyncedDeny, 5, 4
				p.Phone.Stricter = []policy.PhoneFromFor{{Target: group, From: policy.FromKnown}}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := policy.Default(), policy.Default()
			tt.change(&want)
			if err := graph.PatchConfiguration(phones, []byte(tt.body), &got); err != nil {
				t.Fatal(idp.AsError(err).Public)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// An exclude is taken back by the id that is nobody's, and only by that.
func TestExcludeOfAFeature(t *testing.T) {
	p := policy.Default()
	p.Phone.ShowApp.Exclude = policy.Target{Group: idp.GroupID(guidOf(5))}
	patch := func(exclude string) error {
		return graph.PatchConfiguration(phones, []byte(`{"featureSettings":{"displayAppInformationRequiredState":{"state":"enabled"`+exclude+`}}}`), &p)
	}
	if err := patch(""); err != nil || p.Phone.ShowApp.Exclude.Group == "" {
		t.Errorf("lost with what does not name it: %v", err)
	}
	if err := patch(`,"excludeTarget":{"id":"00000000-0000-0000-0000-000000000000","targetType":"group"}`); err != nil || p.Phone.ShowApp.Exclude != (policy.Target{}) {
		t.Errorf("not taken back: %v", err)
	}
}

func TestPhonesRefused(t *testing.T) {
	for body, says := range map[string]string{
		`{"isSoftwareOathEnabled":true}`: "'isSoftwareOathEnabled' can only be false",
		`{"includeTargets":[{"id":"all_users","targetType":"group","authenticationMode":"push"}]}`:                          "'includeTargets[0]/authenticationMode' is deviceBasedPush or any: push alone is a second step after a password",
		`{"includeTargets":[{"id":"all_users","targetType":"group","authenticationMode":"sms"}]}`:                           "'includeTargets[0]/authenticationMode' has no member 'sms'",
		`{"includeTargets":[{"id":"all_users","targetType":"group","allowedPasskeyProfiles":[]}]}`:                          "'includeTargets[0]/allowedPasskeyProfiles' does not exist",
		`{"includeTargets":[{"id":"all_users","targetType":"group","authenticationMode":7}]}`:                               "'includeTargets/authenticationMode' cannot be a number",
		`{"featureSettings":{"companionAppAllowedState":{"state":"enabled"}}}`:                                              "Nothing but the phone itself can approve",
		`{"featureSettings":{"displayAppInformationRequiredState":{"state":"on"}}}`:                                         "displayAppInformationRequiredState/state' has no member 'on'. It is one of: default; disabled; enabled",
		`{"featureSettings":{"numberMatchingRequiredState":{"state":"on"}}}`:                                                "numberMatchingRequiredState/state' has no member 'on'",
		`{"featureSettings":{"displayMoonPhase":{"state":"enabled"}}}`:                                                      "'displayMoonPhase' does not exist",
		`{"featureSettings":{"displayLocationInformationRequiredState":{"includeTarget":{"id":"x","targetType":"group"}}}}`: "displayLocationInformationRequiredState/includeTarget/id' is all_users for a group",
		`{"featureSettings":{"displayLocationInformationRequiredState":{"excludeTarget":{"id":"x","targetType":"role"}}}}`:  "displayLocationInformationRequiredState/excludeTarget/targetType' has no member 'role'",
		`{"featureSettings":{"displayAppInformationRequiredState":{"state":null}}}`:                                         "displayAppInformationRequiredState/state' cannot be null",
		`{"@signet.from":"nowhere"}`:                                                "'@signet.from' has no member 'nowhere'",
		`{"@signet.synced":"only"}`:                                                 "'@signet.synced' has no member 'only'",
		`{"@signet.stricter":[{"id":"all_users","targetType":"group"}]}`:            "required for property '@signet.stricter[0]/from'",
		`{"@signet.stricter":[{"from":"known"}]}`:                                   "required for property '@signet.stricter[0]/id'",
		`{"keyRestrictions":{}}`:                                                    "'keyRestrictions' does not exist",
		`{"@odata.type":"#microsoft.graph.fido2AuthenticationMethodConfiguration"}`: "must be '#microsoft.graph.microsoftAuthenticator",
	} {
		p := policy.Default()
		err := idp.AsError(graph.PatchConfiguration(phones, []byte(body), &p))
		if err == nil || err.Kind != idp.Invalid || !strings.Contains(err.Public, says) {
			t.Errorf("%s: %v: %s", body, err, idp.AsError(err).Public)
		}
	}
}

// An administrator reads, changes and puts back who may sign in with a phone.
func TestPhoneConfiguration(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, at := w.bearer(w.ada), methodsPolicy+"/authenticationMethodConfigurations/"+phones
		g := w.newGroup("Drawing office")
		features := func(a answer, name, part string) any { return a.at(t, "featureSettings", name, part) }
		got := w.ask(ada, "GET", at, nil).want(t, http.StatusOK, "")
		if got.body["state"] != "disabled" || got.body["isSoftwareOathEnabled"] != false || features(got, "displayAppInformationRequiredState", "state") != "enabled" ||
			got.at(t, "featureSettings", "numberMatchingRequiredState", "state") != "enabled" ||
			got.at(t, "featureSettings", "displayLocationInformationRequiredState", "excludeTarget", "id") != "00000000-0000-0000-0000-000000000000" || got.body["@signet.from"] != "anywhere" {
			t.Errorf("of a new tenant: %s", got.Body)
		}
		team := map[string]any{"id": string(g.ID), "targetType": "group"}
		w.ask(ada, "PATCH", "/beta"+strings.TrimPrefix(at, "/v1.0"), map[string]any{
			"state": "enabled", "includeTargets": []any{map[string]any{"id": string(g.ID), "targetType": "group", "authenticationMode": "any"}},
			"featureSettings":  map[string]any{"displayLocationInformationRequiredState": map[string]any{"state": "enabled", "includeTarget": team}},
			"@signet.stricter": []any{map[string]any{"id": string(g.ID), "targetType": "group", "from": "known"}},
		}).want(t, http.StatusNoContent, "")
		got = w.ask(ada, "GET", at, nil).want(t, http.StatusOK, "")
		if got.body["state"] != "enabled" || got.at(t, "includeTargets", 0, "authenticationMode") != "deviceBasedPush" || got.at(t, "@signet.stricter", 0, "from") != "known" ||
			got.at(t, "featureSettings", "displayLocationInformationRequiredState", "includeTarget", "id") != string(g.ID) {
			t.Errorf("changed: %s", got.Body)
		}
		// What contradicts itself, and who is nobody, is told in Graph's places.
		w.ask(ada, "PATCH", at, map[string]any{"@signet.warnAt": 21}).want(t, http.StatusBadRequest, "Request_BadRequest").
			says(t, "MicrosoftAuthenticator/@signet.warnAt and MicrosoftAuthenticator/@signet.limit")
		block := func(include, exclude any) map[string]any {
			return map[string]any{"featureSettings": map[string]any{"displayAppInformationRequiredState": map[string]any{"includeTarget": include, "excludeTarget": exclude}}}
		}
		w.ask(ada, "PATCH", at, block(team, team)).want(t, http.StatusBadRequest, "Request_BadRequest").
			says(t, "displayAppInformationRequiredState/includeTarget and MicrosoftAuthenticator/featureSettings/displayAppInformationRequiredState/excludeTarget")
		stranger := map[string]any{"id": guidOf(7), "targetType": "group"}
		w.ask(ada, "PATCH", at, block(team, stranger)).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "no group or user '"+guidOf(7)+"'")
		w.ask(ada, "PATCH", methodsPolicy, map[string]any{"reportSuspiciousActivitySettings": map[string]any{"includeTarget": stranger}}).
			want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "no group or user '"+guidOf(7)+"'")

		// Reports are the whole policy's, and stay when the method is put back.
		w.ask(ada, "PATCH", methodsPolicy, map[string]any{"reportSuspiciousActivitySettings": map[string]any{"state": "default", "includeTarget": team, "voiceReportingCode": 0, "@signet.block": true}}).
			want(t, http.StatusNoContent, "")
		w.ask(ada, "DELETE", at, nil).want(t, http.StatusNoContent, "")
		whole := w.ask(ada, "GET", methodsPolicy, nil).want(t, http.StatusOK, "")
		if whole.at(t, "reportSuspiciousActivitySettings", "state") != "enabled" || whole.at(t, "reportSuspiciousActivitySettings", "@signet.block") != true ||
			whole.at(t, "reportSuspiciousActivitySettings", "includeTarget", "id") != string(g.ID) {
			t.Errorf("reports: %s", whole.Body)
		}
		if got = w.ask(ada, "GET", at, nil); got.body["state"] != "disabled" || len(got.body["@signet.stricter"].([]any)) != 0 {
			t.Errorf("put back: %s", got.Body)
		}
		// A campaign can be for phones when there are some.
		campaign := map[string]any{"registrationEnforcement": map[string]any{"authenticationMethodsRegistrationCampaign": map[string]any{
			"state": "enabled", "includeTargets": []any{map[string]any{"id": "all_users", "targetType": "group", "targetedAuthenticationMethod": "microsoftAuthenticator"}},
		}}}
		w.ask(ada, "PATCH", methodsPolicy, campaign).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "MicrosoftAuthenticator/state")
		w.ask(ada, "PATCH", at, map[string]any{"state": "enabled", "includeTargets": []any{map[string]any{"id": "all_users", "targetType": "group"}}}).want(t, http.StatusNoContent, "")
		w.ask(ada, "PATCH", methodsPolicy, campaign).want(t, http.StatusNoContent, "")
	})
}

// Phones are shown and removed like the other methods, by those who may.
func TestPhones(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	w.keys.held = []method.Credential{{ID: "k", Tenant: w.tenant.ID, User: w.eve.ID, Method: policy.Passkey}}
	w.phones.held = []method.Credential{{ID: "p", Tenant: w.tenant.ID, User: w.eve.ID, Method: policy.Phone, Name: "Eve's phone", Created: w.now}}
	ada, of := w.bearer(w.ada), "/v1.0/users/"+string(w.eve.ID)+"/authentication/"
	all := w.ask(ada, "GET", of+"microsoftAuthenticatorMethods", nil).want(t, http.StatusOK, "")
	if got := all.column(t, "id"); len(got) != 1 || got[0] != "p" {
		t.Fatalf("phones %s", all.Body)
	}
	if got := w.ask(ada, "GET", of+"methods", nil).column(t, "id"); fmt.Sprint(got) != "[k p]" {
		t.Errorf("methods %v", got)
	}
	one := w.ask(w.bearer(w.eve), "GET", "/v1.0/me/authentication/microsoftAuthenticatorMethods/p?$expand=device", nil).want(t, http.StatusOK, "")
	if device, there := one.body["device"]; one.body["@odata.type"] != "#microsoft.graph.microsoftAuthenticatorAuthenticationMethod" || one.body["displayName"] != "Eve's phone" ||
		one.body["phoneAppVersion"] != "1.0" || one.body["deviceTag"] != "SoftwareTokenActivated" || !there || device != nil {
		t.Errorf("one phone: %s", one.Body)
	}
	w.ask(ada, "GET", of+"fido2Methods/p", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	w.ask(ada, "POST", of+"microsoftAuthenticatorMethods", map[string]any{}).want(t, http.StatusNotFound, "Request_ResourceNotFound")
	details := w.ask(ada, "GET", "/v1.0/reports/authenticationMethods/userRegistrationDetails/"+string(w.eve.ID), nil).want(t, http.StatusOK, "")
	if got := details.at(t, "methodsRegistered"); fmt.Sprint(got) != "[passKeyDeviceBound microsoftAuthenticatorPasswordless]" {
		t.Errorf("registered %v", got)
	}
	w.ask(w.bearer(w.newUser("dan", "")), "DELETE", of+"microsoftAuthenticatorMethods/p", nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	w.ask(w.bearer(w.bob), "DELETE", of+"microsoftAuthenticatorMethods/p", nil).want(t, http.StatusNoContent, "")
	w.ask(ada, "GET", of+"microsoftAuthenticatorMethods/p", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
}
