package graph_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/graph"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const cards = "X509Certificate"

// sentCertificates has every property that Graph has for certificates.
const sentCertificates = `{
	"@odata.type": "#microsoft.graph.x509CertificateAuthenticationMethodConfiguration", "id": "X509Certificate", "state": "enabled",
	"certificateUserBindings": [
		{"x509CertificateField": "PrincipalName", "userProperty": "onPremisesUserPrincipalName", "priority": 1},
		{"x509CertificateField": "SubjectKeyIdentifier", "userProperty": "certificateUserIds", "priority": 2},
		{"x509CertificateField": "RFC822Name", "userProperty": "userPrincipalName", "priority": 3, "trustAffinityLevel": "low"}],
	"authenticationModeConfiguration": {
		"x509CertificateAuthenticationDefaultMode": "x509CertificateMultiFactor", "x509CertificateDefaultRequiredAffinityLevel": "high",
		"rules": [
			{"x509CertificateRuleType": "issuerSubject", "identifier": "CN=ContosoCA,DC=Contoso,DC=org", "x509CertificateAuthenticationMode": "x509CertificateMultiFactor"},
			{"x509CertificateRuleType": "policyOID", "identifier": "1.2.3.4", "x509CertificateAuthenticationMode": "x509CertificateSingleFactor", "x509CertificateRequiredAffinityLevel": "high"},
			{"x509CertificateRuleType": "issuerSubjectAndPolicyOID", "issuerSubjectIdentifier": "AB12", "policyOidIdentifier": "1.2.3.4", "x509CertificateAuthenticationMode": "x509CertificateMultiFactor"}]},
	"issuerHintsConfiguration": {"state": "disabled"},
	"crlValidationConfiguration": {"state": "enabled", "exemptedCertificateAuthoritiesSubjectKeyIdentifiers": ["CD34"]},
	"certificateAuthorityScopes": [{"subjectKeyIdentifier": "EF56", "publicKeyInfrastructureIdentifier": "00000090-0000-4000-8000-000000000000",
		"includeTargets": [{"id": "00000005-0000-4000-8000-000000000000", "targetType": "group"}, {"id": "00000006-0000-4000-8000-000000000000", "targetType": "user"}]}],
	"includeTargets": [{"id": "all_users", "targetType": "group", "isRegistrationRequired": false}]}`

func TestPatchCertificates(t *testing.T) {
	got, want := policy.Default(), policy.Default()
	want.Methods[policy.Certificate] = policy.Everybody()
	low, high := policy.LowAffinity, policy.HighAffinity
	single, multi := idp.ModeCertificateSingle, idp.ModeCertificateMulti
	scope := func(t policy.Target) policy.CertificateScope {
		return policy.CertificateScope{Authority: "ef56", Infrastructure: guidOf(0x90), Target: t}
	}
	want.Certificate = policy.CertificateRules{
		Bindings: []policy.CertificateBinding{
			{Field: policy.FieldPrincipalName, Property: policy.ByOnPremisesUserName, Priority: 1, Affinity: low},
			{Field: policy.FieldSubjectKeyIdentifier, Property: policy.ByCertificateUserIDs, Priority: 2, Affinity: high},
			{Field: policy.FieldRFC822Name, Property: policy.ByUserName, Priority: 3, Affinity: low},
		},
		Mode: multi, Affinity: high,
		Levels: []policy.CertificateLevel{
			{Issuer: "CN=ContosoCA,DC=Contoso,DC=org", Mode: multi, Affinity: low}, {Policy: "1.2.3.4", Mode: single, Affinity: high},
			{Issuer: "ab12", Policy: "1.2.3.4", Mode: multi, Affinity: low},
		},
		Unchecked: []string{"cd34"},
		Scopes:    []policy.CertificateScope{scope(policy.Target{Group: idp.GroupID(guidOf(5))}), scope(policy.Target{User: idp.UserID(guidOf(6))})},
	}
	if err := graph.PatchConfiguration(cards, []byte(sentCertificates), &got); err != nil {
		t.Fatal(idp.AsError(err).Public)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
	// What is not mentioned stays.
	for name, tt := range map[string]struct {
		body   string
		change func(*policy.CertificateRules)
	}{
		"the mode":     {`{"authenticationModeConfiguration":{"x509CertificateAuthenticationDefaultMode":"x509CertificateSingleFactor"}}`, func(r *policy.CertificateRules) { r.Mode = single }},
		"no rules":     {`{"authenticationModeConfiguration":{"rules":[]}}`, func(r *policy.CertificateRules) { r.Levels = nil }},
		"no scopes":    {`{"certificateAuthorityScopes":[]}`, func(r *policy.CertificateRules) { r.Scopes = nil }},
		"no exemption": {`{"crlValidationConfiguration":{"exemptedCertificateAuthoritiesSubjectKeyIdentifiers":[]}}`, func(r *policy.CertificateRules) { r.Unchecked = nil }},
		"hints":        {`{"issuerHintsConfiguration":{"state":"enabled"},"@signet.host":"cert.contoso.example"}`, func(r *policy.CertificateRules) { r.Hints, r.Host = true, "cert.contoso.example" }},
		"what is ours": {`{"@signet.staleForMinutes":90,"@signet.noUsage":true,"@signet.anyUsage":true}`, func(r *policy.CertificateRules) { r.StaleFor, r.NoUsage, r.AnyUsage = 90*time.Minute, true, true }},
		"an identifier of all": {`{"authenticationModeConfiguration":{"rules":[{"x509CertificateRuleType":"policyOID","identifier":"1.2.3","policyOidIdentifier":"1.2.3","x509CertificateAuthenticationMode":"x509CertificateSingleFactor"}]}}`,
			func(r *policy.CertificateRules) {
				r.Levels = []policy.CertificateLevel{{Policy: "1.2.3", Mode: single, Affinity: low}}
			}},
	} {
		next, want := got.Clone(), got.Clone()
		tt.change(&want.Certificate)
		if err := graph.PatchConfiguration(cards, []byte(tt.body), &next); err != nil {
			t.Errorf("%s: %s", name, idp.AsError(err).Public)
		} else if diff := cmp.Diff(want, next); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestCertificatesRefused(t *testing.T) {
	binding := func(more string) string {
		return `{"certificateUserBindings":[{"x509CertificateField":"PrincipalName","userProperty":"userPrincipalName","priority":1` + more + `}]}`
	}
	rule := func(kind, more string) string {
		return `{"authenticationModeConfiguration":{"rules":[{"x509CertificateRuleType":"` + kind + `","x509CertificateAuthenticationMode":"x509CertificateMultiFactor"` + more + `}]}}`
	}
	for body, says := range map[string]string{
		`{"certificateUserBindings":[{"userProperty":"userPrincipalName","priority":1}]}`:                                   "required for property 'certificateUserBindings[0]/x509CertificateField'",
		`{"certificateUserBindings":[{"x509CertificateField":"PrincipalName","priority":1}]}`:                               "required for property 'certificateUserBindings[0]/userProperty'",
		`{"certificateUserBindings":[{"x509CertificateField":"PrincipalName","userProperty":"userPrincipalName"}]}`:         "required for property 'certificateUserBindings[0]/priority'",
		`{"certificateUserBindings":[{"x509CertificateField":"Nickname","userProperty":"userPrincipalName","priority":1}]}`: "'certificateUserBindings[0]/x509CertificateField' has no member 'Nickname'",
		`{"certificateUserBindings":[{"x509CertificateField":"PrincipalName","userProperty":"email","priority":1}]}`:        "'certificateUserBindings[0]/userProperty' has no member 'email'",
		binding(`,"trustAffinityLevel":"middling"`):                                                                         "'certificateUserBindings[0]/trustAffinityLevel' has no member 'middling'",
		binding(`,"strength":1`): "'strength' does not exist",
		`{"authenticationModeConfiguration":{"x509CertificateAuthenticationDefaultMode":"fido2"}}`:                           "has no member 'fido2'. It is one of: x509CertificateMultiFactor; x509CertificateSingleFactor",
		`{"authenticationModeConfiguration":{"x509CertificateDefaultRequiredAffinityLevel":"no"}}`:                           "x509CertificateDefaultRequiredAffinityLevel' has no member 'no'",
		`{"authenticationModeConfiguration":{"rules":[{"x509CertificateAuthenticationMode":"x509CertificateMultiFactor"}]}}`: "required for property 'authenticationModeConfiguration/rules[0]/x509CertificateRuleType'",
		`{"authenticationModeConfiguration":{"rules":[{"x509CertificateRuleType":"policyOID","identifier":"1.2"}]}}`:         "required for property 'authenticationModeConfiguration/rules[0]/x509CertificateAuthenticationMode'",
		rule("subject", ""): "rules[0]/x509CertificateRuleType' has no member 'subject'",
		rule("policyOID", `,"identifier":"1.2","x509CertificateRequiredAffinityLevel":"x"`): "rules[0]/x509CertificateRequiredAffinityLevel' has no member 'x'",
		rule("policyOID", ""):                                                  "required for property 'authenticationModeConfiguration/rules[0]/policyOidIdentifier'",
		rule("issuerSubject", ""):                                              "required for property 'authenticationModeConfiguration/rules[0]/issuerSubjectIdentifier'",
		rule("issuerSubjectAndPolicyOID", `,"identifier":"ab12"`):              "required for property 'authenticationModeConfiguration/rules[0]/issuerSubjectIdentifier'",
		rule("issuerSubjectAndPolicyOID", `,"issuerSubjectIdentifier":"ab12"`): "required for property 'authenticationModeConfiguration/rules[0]/policyOidIdentifier'",
		rule("issuerSubjectAndPolicyOID", `,"identifier":"x","issuerSubjectIdentifier":"ab12","policyOidIdentifier":"1.2"`):                                                   "names neither issuerSubjectIdentifier nor policyOidIdentifier",
		rule("issuerSubject", `,"identifier":"ab12","issuerSubjectIdentifier":"cd34"`):                                                                                        "rules[0]/identifier' names something else",
		rule("policyOID", `,"identifier":"1.2","policyOidIdentifier":"1.3"`):                                                                                                  "rules[0]/identifier' names something else",
		rule("policyOID", `,"identifier":"1.2","issuerSubjectIdentifier":"ab12"`):                                                                                             "type policyOID has no issuer",
		rule("issuerSubject", `,"identifier":"ab12","policyOidIdentifier":"1.2"`):                                                                                             "type issuerSubject has no policy",
		`{"issuerHintsConfiguration":{"state":"on"}}`:                                                                                                                         "'issuerHintsConfiguration/state' has no member 'on'",
		`{"crlValidationConfiguration":{"state":"disabled"}}`:                                                                                                                 "'crlValidationConfiguration/state' can only be enabled",
		`{"crlValidationConfiguration":{"state":"x"}}`:                                                                                                                        "'crlValidationConfiguration/state' has no member 'x'",
		`{"crlValidationConfiguration":{"exempted":[]}}`:                                                                                                                      "'exempted' does not exist",
		`{"certificateAuthorityScopes":[{"includeTargets":[{"id":"all_users","targetType":"group"}]}]}`:                                                                       "required for property 'certificateAuthorityScopes[0]/subjectKeyIdentifier'",
		`{"certificateAuthorityScopes":[{"subjectKeyIdentifier":"ab12"}]}`:                                                                                                    "required for property 'certificateAuthorityScopes[0]/includeTargets'",
		`{"certificateAuthorityScopes":[{"subjectKeyIdentifier":"ab12","includeTargets":[]}]}`:                                                                                "required for property 'certificateAuthorityScopes[0]/includeTargets'",
		`{"certificateAuthorityScopes":[{"subjectKeyIdentifier":"ab12","publicKeyInfrastructureIdentifier":"x","includeTargets":[{"id":"all_users","targetType":"group"}]}]}`: "publicKeyInfrastructureIdentifier' is an id",
		`{"certificateAuthorityScopes":[{"subjectKeyIdentifier":"ab12","includeTargets":[{"id":"staff","targetType":"group"}]}]}`:                                             "certificateAuthorityScopes[0]/includeTargets[0]/id",
		`{"@signet.staleForMinutes":-1}`:                                                                                                                                      "@signet.staleForMinutes is 0 to 10080",
		`{"@signet.staleForMinutes":10081}`:                                                                                                                                   "@signet.staleForMinutes is 0 to 10080",
		`{"authenticationModeConfiguration":null}`:                                                                                                                            "'authenticationModeConfiguration' cannot be null",
		`{"keyRestrictions":{}}`: "'keyRestrictions' does not exist",
		`{"@odata.type":"#microsoft.graph.fido2AuthenticationMethodConfiguration"}`: "must be '#microsoft.graph.x509Certificate",
	} {
		p := policy.Default()
		err := idp.AsError(graph.PatchConfiguration(cards, []byte(body), &p))
		if err == nil || err.Kind != idp.Invalid || !strings.Contains(err.Public, says) {
			t.Errorf("%s: %v: %s", body, err, idp.AsError(err).Public)
		}
	}
}

// An administrator reads, changes and puts back the rules on certificates, and
// what contradicts itself is told in Graph's places.
func TestCertificateConfiguration(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, at := w.bearer(w.ada), methodsPolicy+"/authenticationMethodConfigurations/"+cards
		g := w.newGroup("Drawing office")
		d := described(t)
		got := w.ask(ada, "GET", at, nil).want(t, http.StatusOK, "")
		if got.body["state"] != "disabled" || got.at(t, "certificateUserBindings", 0, "x509CertificateField") != "PrincipalName" ||
			got.at(t, "authenticationModeConfiguration", "x509CertificateAuthenticationDefaultMode") != "x509CertificateSingleFactor" ||
			got.at(t, "crlValidationConfiguration", "state") != "enabled" || got.at(t, "issuerHintsConfiguration", "state") != "disabled" {
			t.Errorf("of a new tenant: %s", got.Body)
		}
		team := map[string]any{"id": string(g.ID), "targetType": "group"}
		scope := func(key string, targets ...any) any {
			return map[string]any{"subjectKeyIdentifier": key, "includeTargets": targets}
		}
		binding := func(field, property string, n int, affinity string) any {
			return map[string]any{"x509CertificateField": field, "userProperty": property, "priority": n, "trustAffinityLevel": affinity}
		}
		rule := map[string]any{"x509CertificateRuleType": "policyOID", "identifier": "1.2.3", "x509CertificateAuthenticationMode": "x509CertificateMultiFactor", "x509CertificateRequiredAffinityLevel": "low"}
		modes := func(of ...any) map[string]any {
			return map[string]any{"authenticationModeConfiguration": map[string]any{"rules": of}}
		}
		w.ask(ada, "PATCH", "/beta"+strings.TrimPrefix(at, "/v1.0"), map[string]any{
			"state": "enabled", "includeTargets": []any{team}, "certificateAuthorityScopes": []any{scope("AB12", team)},
			"authenticationModeConfiguration": map[string]any{"rules": []any{rule}},
		}).want(t, http.StatusNoContent, "")
		got = w.ask(ada, "GET", at, nil).want(t, http.StatusOK, "")
		if got.body["state"] != "enabled" || got.at(t, "certificateAuthorityScopes", 0, "subjectKeyIdentifier") != "ab12" ||
			got.at(t, "certificateAuthorityScopes", 0, "includeTargets", 0, "id") != string(g.ID) ||
			got.at(t, "authenticationModeConfiguration", "rules", 0, "policyOidIdentifier") != "1.2.3" {
			t.Errorf("changed: %s", got.Body)
		}
		schema := d.get("paths", "/policies/authenticationMethodsPolicy/authenticationMethodConfigurations/{configuration}", "get", "responses", "200", "content", "application/json", "schema")
		for _, wrong := range d.fits(schema, got.body, "") {
			t.Error(wrong)
		}
		// What was read can be sent back.
		sent := got.body
		delete(sent, "@odata.context")
		w.ask(ada, "PATCH", at, sent).want(t, http.StatusNoContent, "")
		for name, tt := range map[string]struct {
			body map[string]any
			says string
		}{
			"one priority twice": {map[string]any{"certificateUserBindings": []any{binding("PrincipalName", "userPrincipalName", 1, "low"), binding("RFC822Name", "userPrincipalName", 1, "low")}},
				"X509Certificate/certificateUserBindings[0]/priority and X509Certificate/certificateUserBindings[1]/priority: "},
			"a name called high": {map[string]any{"certificateUserBindings": []any{binding("PrincipalName", "userPrincipalName", 1, "high")}},
				"X509Certificate/certificateUserBindings[0]/trustAffinityLevel and X509Certificate/certificateUserBindings[0]/x509CertificateField: "},
			"no binding":   {map[string]any{"certificateUserBindings": []any{}}, "X509Certificate/certificateUserBindings: "},
			"a rule twice": {modes(rule, rule), "X509Certificate/authenticationModeConfiguration/rules[0] and X509Certificate/authenticationModeConfiguration/rules[1]: "},
			"a policy that is none": {modes(map[string]any{"x509CertificateRuleType": "policyOID", "identifier": "low", "x509CertificateAuthenticationMode": "x509CertificateMultiFactor"}),
				"X509Certificate/authenticationModeConfiguration/rules[0]/policyOidIdentifier: "},
			"high is wanted": {modes(map[string]any{"x509CertificateRuleType": "policyOID", "identifier": "1.2", "x509CertificateAuthenticationMode": "x509CertificateMultiFactor", "x509CertificateRequiredAffinityLevel": "high"}),
				"X509Certificate/authenticationModeConfiguration/rules[0]/x509CertificateRequiredAffinityLevel and X509Certificate/certificateUserBindings: "},
			"high is wanted of all": {map[string]any{"authenticationModeConfiguration": map[string]any{"x509CertificateDefaultRequiredAffinityLevel": "high"}},
				"X509Certificate/authenticationModeConfiguration/x509CertificateDefaultRequiredAffinityLevel and X509Certificate/certificateUserBindings: "},
			"hints without a host": {map[string]any{"issuerHintsConfiguration": map[string]any{"state": "enabled"}}, "X509Certificate/issuerHintsConfiguration/state and X509Certificate/@signet.host: "},
			"a host that is none":  {map[string]any{"@signet.host": "cert"}, "X509Certificate/@signet.host: "},
			"no key":               {map[string]any{"certificateAuthorityScopes": []any{scope("ab12", team), scope("Root", team)}}, "X509Certificate/certificateAuthorityScopes[1]/subjectKeyIdentifier: "},
			"a target twice":       {map[string]any{"certificateAuthorityScopes": []any{scope("ab12", team, team)}}, "X509Certificate/certificateAuthorityScopes[0]/includeTargets[0] and X509Certificate/certificateAuthorityScopes[0]/includeTargets[1]: "},
			"no key of a list":     {map[string]any{"crlValidationConfiguration": map[string]any{"exemptedCertificateAuthoritiesSubjectKeyIdentifiers": []any{"Root"}}}, "X509Certificate/crlValidationConfiguration/exemptedCertificateAuthoritiesSubjectKeyIdentifiers[0]: "},
			"people are to give themselves one": {map[string]any{"includeTargets": []any{map[string]any{"id": string(g.ID), "targetType": "group", "isRegistrationRequired": true}}},
				"X509Certificate/includeTargets[0]/isRegistrationRequired: "},
			"nobody there": {map[string]any{"certificateAuthorityScopes": []any{scope("ab12", map[string]any{"id": guidOf(7), "targetType": "group"})}}, "no group or user '" + guidOf(7) + "'"},
		} {
			t.Run(name, func(t *testing.T) {
				w.ask(ada, "PATCH", at, tt.body).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, tt.says)
			})
		}
		w.ask(w.bearer(w.bob), "PATCH", at, map[string]any{"state": "disabled"}).want(t, http.StatusForbidden, "Authorization_RequestDenied")
		w.ask(ada, "DELETE", at, nil).want(t, http.StatusNoContent, "")
		if got = w.ask(ada, "GET", at, nil); got.body["state"] != "disabled" || len(got.body["certificateAuthorityScopes"].([]any)) != 0 {
			t.Errorf("put back: %s", got.Body)
		}
	})
}

// mapping is authorizationInfo with values.
func mapping(values ...string) map[string]any {
	return map[string]any{"authorizationInfo": map[string]any{"certificateUserIds": append([]string{}, values...)}}
}

// Users' certificateUserIds are read when they are selected, replaced whole, and
// asked for by lists.
func TestAuthorizationInfo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, eve := w.bearer(w.ada), "/v1.0/users/"+string(w.eve.ID)
		const pn, ski = "X509:<PN>eve@corp.local", "X509:<SKI>0102"
		ids := func(path string) any {
			t.Helper()
			a := w.ask(ada, "GET", path, nil).want(t, http.StatusOK, "")
			for _, wrong := range described(t).fits(described(t).get("components", "schemas", "User"), a.body, "") {
				t.Error(wrong)
			}
			return a.at(t, "authorizationInfo", "certificateUserIds")
		}
		if got := fmt.Sprint(ids(eve + "?$select=authorizationInfo")); got != "[]" {
			t.Errorf("of a new user: %v", got)
		}
		w.ask(ada, "PATCH", eve, mapping(pn, ski)).want(t, http.StatusNoContent, "")
		w.ask(ada, "PATCH", "/beta/users/"+string(w.eve.ID), map[string]any{"onPremisesUserPrincipalName": "Eve@corp.local"}).want(t, http.StatusNoContent, "")
		for _, path := range []string{eve + "?$select=authorizationInfo", "/beta/users/eve@nordhafen.example?$select=id,AuthorizationInfo/certificateUserIds"} {
			if got := fmt.Sprint(ids(path)); got != "["+pn+" "+ski+"]" {
				t.Errorf("%s: %v", path, got)
			}
		}
		one := w.ask(ada, "GET", eve+"?$select=onPremisesUserPrincipalName", nil).want(t, http.StatusOK, "")
		if one.body["onPremisesUserPrincipalName"] != "Eve@corp.local" || one.body["authorizationInfo"] != nil || one.body["displayName"] != nil {
			t.Errorf("selected: %s", one.Body)
		}
		if plain := w.ask(ada, "GET", eve, nil).want(t, http.StatusOK, ""); strings.Contains(plain.Body.String(), "X509") || strings.Contains(plain.Body.String(), "corp.local") {
			t.Errorf("not selected, and shown: %s", plain.Body)
		}
		mine := w.ask(w.bearer(w.eve), "GET", "/v1.0/me?$select=authorizationInfo", nil).want(t, http.StatusOK, "")
		if got := fmt.Sprint(mine.at(t, "authorizationInfo", "certificateUserIds")); got != "["+pn+" "+ski+"]" {
			t.Errorf("of oneself: %v", got)
		}
		list := w.ask(ada, "GET", "/v1.0/users?$select=userPrincipalName,authorizationInfo,onPremisesUserPrincipalName", nil).want(t, http.StatusOK, "")
		for _, item := range list.body["value"].([]any) {
			u := item.(map[string]any)
			of := fmt.Sprint(u["authorizationInfo"].(map[string]any)["certificateUserIds"])
			if is := u["userPrincipalName"] == "eve@nordhafen.example"; is != (of != "[]") || is != (u["onPremisesUserPrincipalName"] != nil) {
				t.Errorf("listed: %v", u)
			}
		}
		// Another has a value: nothing changes.
		bob := "/v1.0/users/" + string(w.bob.ID)
		w.ask(ada, "PATCH", bob, map[string]any{"displayName": "Robert", "authorizationInfo": map[string]any{"certificateUserIds": []string{ski}}}).
			want(t, http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue").says(t, "another user has "+ski)
		w.ask(ada, "PATCH", bob, map[string]any{"onPremisesUserPrincipalName": "EVE@corp.local"}).want(t, http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue")
		if got := w.ask(ada, "GET", bob, nil); got.body["displayName"] != "Bob" {
			t.Errorf("half a change: %s", got.Body)
		}
		for says, body := range map[string]any{
			"letter case counts: write X509:<PN>":                     mapping("x509:<PN>eve@corp.local"),
			"a user may have 10 values":                               mapping(slices.Repeat([]string{pn}, 11)...),
			"stands there twice":                                      mapping(pn, pn),
			"'authorizationInfo/certificateUserIds' cannot be null":   map[string]any{"authorizationInfo": map[string]any{"certificateUserIds": nil}},
			"'authorizationInfo' cannot be null":                      map[string]any{"authorizationInfo": nil},
			"'authorizationInfo/certificateUserIds' cannot be a":      map[string]any{"authorizationInfo": map[string]any{"certificateUserIds": pn}},
			"'certificateUserId' does not exist":                      map[string]any{"authorizationInfo": map[string]any{"certificateUserId": []string{pn}}},
			"onPremisesUserPrincipalName: A user name looks like ada": map[string]any{"onPremisesUserPrincipalName": "eve"},
		} {
			w.ask(ada, "PATCH", bob, body).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, says)
		}
		// Made with it, emptied, and taken away.
		made := w.ask(ada, "POST", "/v1.0/users", map[string]any{"userPrincipalName": "zoe@nordhafen.example", "onPremisesUserPrincipalName": "zoe@corp.local",
			"authorizationInfo": map[string]any{"certificateUserIds": []string{"X509:<PN>zoe@corp.local"}}}).want(t, http.StatusCreated, "")
		if got := fmt.Sprint(ids("/v1.0/users/" + made.body["id"].(string) + "?$select=authorizationInfo")); got != "[X509:<PN>zoe@corp.local]" {
			t.Errorf("made with %v", got)
		}
		w.ask(ada, "PATCH", eve, mapping()).want(t, http.StatusNoContent, "")
		w.ask(ada, "PATCH", eve, map[string]any{"onPremisesUserPrincipalName": nil}).want(t, http.StatusNoContent, "")
		if got := fmt.Sprint(ids(eve + "?$select=authorizationInfo,onPremisesUserPrincipalName")); got != "[]" {
			t.Errorf("emptied: %v", got)
		}
		w.ask(ada, "PATCH", bob, map[string]any{"onPremisesUserPrincipalName": "eve@corp.local"}).want(t, http.StatusNoContent, "")
		// What was done is on record.
		log := w.ask(ada, "GET", "/v1.0/auditLogs/directoryAudits", nil).want(t, http.StatusOK, "").Body.String()
		for _, want := range []string{`"key":"certificateUserIds.added[1]","value":"X509:\u003cSKI\u003e0102"`, `"key":"certificateUserIds.removed[0]"`, `"key":"onPremisesUserPrincipalName","value":"Eve@corp.local"`} {
			if !strings.Contains(log, want) {
				t.Errorf("no %s in %s", want, log)
			}
		}
	})
}

func TestAuthorizationInfoFilter(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		const pn = "X509:<PN>eve@corp.local"
		w.ask(ada, "PATCH", "/v1.0/users/"+string(w.eve.ID), mapping(pn)).want(t, http.StatusNoContent, "")
		list := func(filter, more string, headers ...string) answer {
			return w.ask(ada, "GET", "/v1.0/users?$filter="+url.QueryEscape(filter)+more, nil, headers...)
		}
		eventual := []string{"ConsistencyLevel", "eventual"}
		for filter, want := range map[string]string{
			"authorizationInfo/certificateUserIds/any(x:x eq '" + pn + "')":                                      "[eve@nordhafen.example] 1",
			"authorizationInfo/certificateUserIds/any(x:x eq 'X509:<PN>EVE@corp.local')":                         "[] 0",
			"not authorizationInfo/certificateUserIds/any(x:x eq '" + pn + "') and startswith(displayName,'Ad')": "[ada@nordhafen.example] 1",
		} {
			a := list(filter, "&$count=true", eventual...).want(t, http.StatusOK, "")
			if got := fmt.Sprint(a.column(t, "userPrincipalName"), " ", a.body["@odata.count"]); got != want {
				t.Errorf("%s: %s, want %s", filter, got, want)
			}
			n := w.ask(ada, "GET", "/v1.0/users/$count?$filter="+url.QueryEscape(filter), nil, eventual...).want(t, http.StatusOK, "")
			if _, want, _ := strings.Cut(want, "] "); n.Body.String() != want {
				t.Errorf("counted %s of %s", n.Body, filter)
			}
		}
		of := "authorizationInfo/certificateUserIds/any(x:x eq '" + pn + "')"
		const says = "only works with $count=true and the request header 'ConsistencyLevel: eventual'"
		list(of, "&$count=true").want(t, http.StatusBadRequest, "Request_BadRequest").says(t, says)
		list(of, "", eventual...).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, says)
		w.ask(ada, "GET", "/v1.0/users/$count?$filter="+url.QueryEscape(of), nil).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, says)
		list("authorizationInfo/certificateUserIds eq 'x'", "&$count=true", eventual...).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "ask it with any()")
		list("authorizationInfo/certificateUserIds/any(x:startswith(x,'X509'))", "&$count=true", eventual...).want(t, http.StatusBadRequest, "Request_BadRequest")
		w.ask(ada, "PATCH", "/v1.0/users/"+string(w.eve.ID), map[string]any{"onPremisesUserPrincipalName": "eve@corp.local"}).want(t, http.StatusNoContent, "")
		if got := list("onPremisesUserPrincipalName eq 'EVE@corp.local'", "").want(t, http.StatusOK, "").column(t, "id"); len(got) != 1 || got[0] != string(w.eve.ID) {
			t.Errorf("by the name on premises: %v", got)
		}
	})
}

// Whose a certificate is says who may say how people sign in, and with nothing
// less: it opens the way into any account (security.md CBA03, CBA07).
func TestSec_CBA07_WhoMaps(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	less := w.newApp("User.ReadWrite.All", "Directory.ReadWrite.All")
	basic := w.newApp("User.ReadBasic.All")
	full := w.newApp("User.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All")
	through := func(u idp.User) string { // a person who uses the lesser application
		was := w.app
		w.app = less
		defer func() { w.app = was }()
		return w.bearer(u)
	}
	eve := "/v1.0/users/" + string(w.eve.ID)
	onPremises := map[string]any{"onPremisesUserPrincipalName": "eve@corp.local"}
	denied := func(name, bearer string) {
		t.Helper()
		for _, body := range []map[string]any{mapping("X509:<SKI>0102"), mapping(), onPremises} {
			if a := w.ask(bearer, "PATCH", eve, body); a.Code != http.StatusForbidden {
				t.Errorf("%s with %v: %d %s", name, body, a.Code, a.Body)
			}
		}
	}
	denied("an application that may change people", w.own(less))
	denied("an administrator through it", through(w.ada))
	denied("the help desk", w.bearer(w.bob))
	denied("oneself", w.bearer(w.eve))
	denied("the help desk on the command line", w.cli("helpdesk"))
	denied("a reader", w.cli("reader"))
	w.ask(w.own(less), "POST", "/v1.0/users", map[string]any{"userPrincipalName": "zoe@nordhafen.example", "authorizationInfo": map[string]any{"certificateUserIds": []string{"X509:<SKI>03"}}}).
		want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "UserAuthenticationMethod.ReadWrite.All")
	// The same callers may still change what they could.
	w.ask(w.own(less), "PATCH", eve, map[string]any{"displayName": "Eva"}).want(t, http.StatusNoContent, "")
	w.ask(w.own(full), "PATCH", eve, mapping("X509:<SKI>0102")).want(t, http.StatusNoContent, "")
	w.ask(w.cli("administrator"), "PATCH", eve, onPremises).want(t, http.StatusNoContent, "")
	// And who may list people does not see it with that alone.
	eventual := []string{"ConsistencyLevel", "eventual"}
	filter := url.QueryEscape("authorizationInfo/certificateUserIds/any(x:x eq 'X509:<SKI>0102')")
	for _, path := range []string{"/v1.0/users?$select=authorizationInfo", "/v1.0/users?$select=onPremisesUserPrincipalName", "/v1.0/users?select=AuthorizationInfo/certificateUserIds",
		"/v1.0/users?$count=true&$filter=" + filter, "/v1.0/users?$count=true&filter=" + filter, "/v1.0/users/$count?$filter=" + filter,
		"/v1.0/users?$filter=" + url.QueryEscape("startswith(onPremisesUserPrincipalName,'e')")} {
		w.ask(w.own(basic), "GET", path, nil, eventual...).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	}
	w.ask(w.own(basic), "GET", "/v1.0/users", nil).want(t, http.StatusOK, "")
}

// TestSec_CBA07_WhoRenames: where a certificate is somebody's by their user name,
// to give somebody another name is to say which certificates are theirs: an
// application that may not say that could give an administrator the name in its
// own certificate.
func TestSec_CBA07_WhoRenames(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	less := w.own(w.newApp("User.ReadWrite.All", "Directory.ReadWrite.All"))
	full := w.own(w.newApp("User.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All"))
	rename := func(bearer, name string) answer {
		t.Helper()
		return w.ask(bearer, "PATCH", "/v1.0/users/"+string(w.eve.ID), map[string]any{"userPrincipalName": name})
	}
	rename(less, "eva@nordhafen.example").want(t, http.StatusNoContent, "") // the method is off
	by := func(on bool, property policy.UserProperty) {
		t.Helper()
		w.write(func(ctx context.Context, tx *sqldb.Tx) error {
			p, err := w.rules.Load(ctx, tx, w.tenant.ID)
			if err != nil {
				return err
			}
			p.Switch(policy.Certificate, on)
			p.Certificate.Bindings[0].Property = property
			return w.rules.Put(ctx, tx, w.tenant.ID, p)
		})
	}
	by(true, policy.ByUserName)
	rename(less, "mallory@nordhafen.example").want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "UserAuthenticationMethod.ReadWrite.All")
	rename(less, "EVA@nordhafen.example").want(t, http.StatusNoContent, "") // the same name
	rename(full, "eve@nordhafen.example").want(t, http.StatusNoContent, "")
	rename(w.cli("administrator"), "eva@nordhafen.example").want(t, http.StatusNoContent, "")
	by(true, policy.ByCertificateUserIDs)
	rename(less, "eve@nordhafen.example").want(t, http.StatusNoContent, "")
}

// A sign-in with a certificate has its details under the names that Graph's log
// has for them.
func TestCertificateSignIn(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return w.audit.Write(ctx, tx, audit.Event{Tenant: w.tenant.ID, Category: audit.SignIn, Activity: "signin.prove", Outcome: audit.Failure, User: w.eve.ID,
			Method: policy.Certificate, Reason: "certificate_not_scoped", Code: policy.CodeScope, Detail: map[string]string{
				"certificateSubject": "DC=com,CN=eve", "certificateIssuer": "DC=com,CN=CA", "certificateSerial": "0102", "certificateThumbprint": "AB", "certificatePolicies": "1.2.3",
				"certificateBinding": "Certificate: PrincipalName; User Attribute: userPrincipalName; Rank: 1", "certificateAffinity": "low",
				"certificateLevel": "multiFactorAuthentication", "certificateLevelType": policy.LevelPolicy, "certificateLevelIdentifier": "1.2.3", "certificateRule": "certificate.levels[0]", "origin": "other",
			}})
	})
	a := w.ask(w.bearer(w.ada), "GET", "/beta/auditLogs/signIns", nil).want(t, http.StatusOK, "")
	got := map[string]any{}
	for _, pair := range a.at(t, "value", 0, "authenticationProcessingDetails").([]any) {
		p := pair.(map[string]any)
		got[p["key"].(string)] = p["value"]
	}
	delete(got, "rule")
	delete(got, "count")
	want := map[string]any{
		"User certificate subject name": "DC=com,CN=eve", "User certificate issuer name": "DC=com,CN=CA", "User certificate serial number": "0102",
		"User certificate thumbprint": "AB", "User certificate policy OIDs": "1.2.3", "User certificate binding": "Certificate: PrincipalName; User Attribute: userPrincipalName; Rank: 1",
		"User certificate binding affinity level": "low", "User certificate authentication level": "multiFactorAuthentication",
		"User certificate authentication level type": "PolicyId", "User certificate authentication level identifier": "1.2.3",
		"User certificate authentication level rule": "certificate.levels[0]", "origin": "other",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if a.at(t, "value", 0, "status", "errorCode") != 500189.0 || a.at(t, "value", 0, "authenticationDetails", 0, "authenticationMethod") != "X.509 certificate" {
		t.Errorf("%s", a.Body)
	}
}
