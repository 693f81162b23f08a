package graph_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"

	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/trust"
)

// description is openapi.yaml.
type description map[string]any

func described(t testing.TB) description {
	t.Helper()
	raw, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := yaml.Parser().Unmarshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// get walks into the description; nil where there is nothing.
func (d description) get(names ...string) map[string]any {
	var v any = map[string]any(d)
	for _, n := range names {
		m, _ := v.(map[string]any)
		v = m[n]
	}
	m, _ := v.(map[string]any)
	return m
}

// fits lists where v is not as a schema says. Properties that the schema does
// not name are wrong: a description that is not whole leads astray.
func (d description) fits(schema map[string]any, v any, at string) (wrong []string) {
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		return d.fits(d.get("components", "schemas", name), v, at)
	}
	if ways, ok := schema["anyOf"].([]any); ok {
		for _, way := range ways {
			if wrong = d.fits(way.(map[string]any), v, at); len(wrong) == 0 {
				return nil
			}
		}
		return wrong
	}
	if words, ok := schema["enum"].([]any); ok {
		if !slices.Contains(words, v) {
			return []string{fmt.Sprintf("%s is %v and none of %v", at, v, words)}
		}
		return nil
	}
	kinds, isList := schema["type"].([]any)
	if !isList {
		kinds = []any{schema["type"]}
	}
	if !slices.Contains(kinds, any(kindOf(v))) && !(kindOf(v) == "integer" && slices.Contains(kinds, any("number"))) {
		return []string{fmt.Sprintf("%s is %s and not %v", at, kindOf(v), kinds)}
	}
	switch v := v.(type) {
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, item := range v {
			wrong = append(wrong, d.fits(items, item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		for name, value := range v {
			if property, ok := properties[name].(map[string]any); ok {
				wrong = append(wrong, d.fits(property, value, at+"/"+name)...)
			} else if properties != nil {
				wrong = append(wrong, at+"/"+name+" is not described")
			}
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				wrong = append(wrong, at+"/"+name.(string)+" is missing")
			}
		}
	}
	return wrong
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return reflect.TypeOf(v).String()
}

// TestSchemas holds what is answered against the schemas of openapi.yaml, for
// every operation that has one.
func TestSchemas(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	d := described(t)
	g := w.newGroup("Drawing office")
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := w.dir.AddMember(ctx, tx, w.tenant.ID, g.ID, w.eve.ID)
		return err
	})
	admin := w.cli("administrator")
	w.ask(admin, "PATCH", passkeys, map[string]any{
		"excludeTargets":  []any{map[string]any{"id": string(g.ID), "targetType": "group"}},
		"passkeyProfiles": []any{map[string]any{"id": "00000000-0000-0000-0000-000000000001"}, map[string]any{"name": "Office", "passkeyTypes": "deviceBound"}},
	}).want(t, http.StatusNoContent, "")
	strength := w.ask(admin, "POST", strengths[0], map[string]any{"displayName": "Workshop", "allowedCombinations": []string{"fido2", "x509CertificateMultiFactor"}, "combinationConfigurations": []any{
		map[string]any{"appliesToCombinations": []string{"fido2"}, "allowedAAGUIDs": []string{yubikey}},
		map[string]any{"appliesToCombinations": []string{"x509CertificateMultiFactor"}, "allowedIssuerSkis": []string{"9A42"}},
	}}).want(t, http.StatusCreated, "")
	ws := w.join(w.eve, "ws-17")
	key, macs := w.enrol(w.eve, ws), w.enrolMac(w.eve, ws)
	w.phones.held = []method.Credential{{ID: key.ID, Tenant: w.tenant.ID, User: w.eve.ID, Method: policy.Phone, Name: "Eve's phone", Created: w.now}}
	orphan := w.join(w.eve, "ws-18")
	w.enrol(w.eve, orphan)
	w.leave(orphan)
	var cas []trust.Authority
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		root := pkixtest.Root(t, "Root", w.now)
		if cas, err = w.trust.Add(ctx, tx, w.tenant.ID, "", []trust.Offer{{Cert: root.Cert, Root: true, CRL: "http://crl.example/a"}, {Cert: root.Sub("Gone", w.now).Cert}}); err != nil {
			return err
		}
		_, err = w.trust.Remove(ctx, tx, w.tenant.ID, cas[1].ID)
		return err
	})
	ids := strings.NewReplacer("platformCredentialMethods/{method}", "platformCredentialMethods/"+string(macs.ID), "{device}", string(ws.ID), "{method}", string(key.ID), "{user}", string(w.eve.ID), "{group}", string(g.ID), "{mode}", "fido2", "{role}", helpDesk, "{configuration}", "fido2",
		"{assignment}", helpDesk+"."+string(w.bob.ID), "{strength}", strength.body["id"].(string), "{id}", strength.at(t, "combinationConfigurations", 1, "id").(string),
		"{pki}", string(cas[0].Container), "{authority}", string(cas[0].ID), "{organization}", string(w.tenant.ID), "{classic}", "29728ade-6ae4-4ee9-9103-412912537da5")
	held := 0
	for path := range d.get("paths") {
		schema := d.get("paths", path, "get", "responses", "200", "content", "application/json", "schema")
		if schema == nil {
			continue
		}
		held++
		bearer := admin
		if strings.HasPrefix(path, "/me") {
			bearer = w.bearer(w.eve)
		}
		for _, version := range []string{"/v1.0", "/beta"} {
			a := w.ask(bearer, "GET", version+ids.Replace(path), nil).want(t, http.StatusOK, "")
			for _, wrong := range d.fits(schema, a.body, "") {
				t.Errorf("%s: %s", path, wrong)
			}
		}
	}
	if held < 40 {
		t.Errorf("only %d operations have a schema", held)
	}
	for _, at := range []string{"/users?$expand=memberOf", "/groups?$expand=members", "/roleManagement/directory/roleAssignments?$expand=principal,roleDefinition",
		"/devices?$expand=registeredOwners&$count=true", "/users/{user}/authentication/windowsHelloForBusinessMethods?$expand=device", "/users/{user}/authentication/platformCredentialMethods?$expand=device",
		"/users/{user}/authentication/microsoftAuthenticatorMethods?$expand=device", "/policies/authenticationMethodsPolicy/authenticationMethodConfigurations/MicrosoftAuthenticator"} {
		path, _, _ := strings.Cut(strings.Replace(at, "/MicrosoftAuthenticator", "/{configuration}", 1), "?")
		a := w.ask(admin, "GET", "/v1.0"+ids.Replace(at), nil).want(t, http.StatusOK, "")
		for _, wrong := range d.fits(d.get("paths", path, "get", "responses", "200", "content", "application/json", "schema"), a.body, "") {
			t.Errorf("%s: %s", at, wrong)
		}
	}
	// The measure itself finds what is wrong.
	for name, v := range map[string]any{
		"is not described": map[string]any{"id": "x", "targetType": "user", "more": 1.0}, "is missing": map[string]any{"id": "x"},
		"none of": map[string]any{"id": "x", "targetType": "role"}, "is integer": map[string]any{"id": 5.0, "targetType": "user"},
	} {
		if wrong := d.fits(d.get("components", "schemas", "Target"), v, ""); len(wrong) != 1 || !strings.Contains(wrong[0], name) {
			t.Errorf("%v: %v", v, wrong)
		}
	}
}
