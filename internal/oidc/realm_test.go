package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (d *door) json(path string) (int, map[string]any) {
	d.t.Helper()
	got := d.browser().get(d.url + path)
	var out map[string]any
	if err := json.Unmarshal([]byte(got.body), &out); err != nil {
		d.t.Fatalf("%s: %d %s", path, got.StatusCode, got.body)
	}
	return got.StatusCode, out
}

func TestUserRealm(t *testing.T) {
	d := newDoor(t)
	other := d.newTenant("Other", "other.example")
	host := strings.TrimPrefix(d.url, "http://")
	managed := map[string]any{
		"NameSpaceType": "Managed", "Login": "Ada@Nordhafen.example", "DomainName": "nordhafen.example", "FederationBrandName": "Nordhafen", "cloud_instance_name": host,
	}
	for path, want := range map[string]map[string]any{
		"/common/UserRealm/Ada%40Nordhafen.example?api-version=2.0":                    managed,
		"/common/UserRealm/Ada%40Nordhafen.example":                                    managed,
		"/" + string(d.tenant.ID) + "/UserRealm/Ada@Nordhafen.example?api-version=2.1": managed,
		"/common/UserRealm/ada@nordhafen.example?api-version=1.0": {
			"ver": "1.0", "account_type": "Managed", "domain_name": "nordhafen.example", "cloud_instance_name": host,
		},
		"/common/UserRealm/ada@elsewhere.example?api-version=2.0":                       {"NameSpaceType": "Unknown", "Login": "ada@elsewhere.example"},
		"/common/UserRealm/ada@elsewhere.example?api-version=1.0":                       {"ver": "1.0", "account_type": "Unknown"},
		"/" + string(other.ID) + "/UserRealm/ada@nordhafen.example?api-version=2.0":     {"NameSpaceType": "Unknown", "Login": "ada@nordhafen.example"},
		"/common/UserRealm/ada@" + string(d.tenant.ID) + "?api-version=2.0":             {"NameSpaceType": "Unknown", "Login": "ada@" + string(d.tenant.ID)},
		"/common/UserRealm/%27%20or%201=1%20--@x.example?api-version=2.0":               {"NameSpaceType": "Unknown", "Login": "' or 1=1 --@x.example"},
		"/common/UserRealm/nobody?api-version=2.0":                                      {"NameSpaceType": "Unknown", "Login": "nobody"},
		"/common/UserRealm/" + strings.Repeat("a", 300) + "@a..example?api-version=2.0": {"NameSpaceType": "Unknown", "Login": strings.Repeat("a", 300) + "@a..example"},
	} {
		status, got := d.json(path)
		if diff := cmp.Diff(want, got); status != http.StatusOK || diff != "" {
			t.Errorf("%s: %d (-want +got):\n%s", path, status, diff)
		}
	}
	for _, path := range []string{
		"/common/UserRealm/ada@nordhafen.example?api-version=3.0", "/common/UserRealm/" + strings.Repeat("a", 400), "/common/UserRealm/a%00@b.example",
	} {
		status, got := d.json(path)
		if status != http.StatusBadRequest || got["error"] != "invalid_request" {
			t.Errorf("%s: %d %v", path, status, got)
		}
	}
}

// TestSec_UserRealmTellsNoAccounts: who exists makes no difference, to the byte.
func TestSec_UserRealmTellsNoAccounts(t *testing.T) {
	d := newDoor(t)
	for _, version := range []string{"1.0", "2.0"} {
		known := d.browser().get(d.url + "/common/UserRealm/ada@nordhafen.example?api-version=" + version)
		nobody := d.browser().get(d.url + "/common/UserRealm/zoe@nordhafen.example?api-version=" + version)
		if a, b := strings.ReplaceAll(known.body, "ada@", "zoe@"), nobody.body; known.StatusCode != nobody.StatusCode || a != b {
			t.Errorf("%s: %d %s and %d %s", version, known.StatusCode, a, nobody.StatusCode, b)
		}
	}
}

func TestFederationProvider(t *testing.T) {
	d := newDoor(t)
	status, got := d.json("/odc/v2.1/federationProvider?domain=NORDHAFEN.example")
	want := map[string]any{"tenantId": string(d.tenant.ID), "authority_host": strings.TrimPrefix(d.url, "http://"), "graph": d.url}
	if diff := cmp.Diff(want, got); status != http.StatusOK || diff != "" {
		t.Errorf("%d (-want +got):\n%s", status, diff)
	}
	for _, query := range []string{"", "?domain=", "?domain=elsewhere.example", "?domain=" + string(d.tenant.ID), "?domain=a&domain=b", "?domain=common", "?domain=" + strings.Repeat("a.", 300)} {
		if status, got := d.json("/odc/v2.1/federationProvider" + query); status != http.StatusBadRequest || got["error"] != "invalid_request" {
			t.Errorf("%q: %d %v", query, status, got)
		}
	}
}

// Whatever address is asked about, the answer has only ours.
func TestInstanceDiscovery(t *testing.T) {
	d := newDoor(t)
	host := strings.TrimPrefix(d.url, "http://")
	for asked, want := range map[string]string{
		"": "common", "https://evil.example/common/oauth2/v2.0/authorize": "common",
		"https://evil.example/Nordhafen.example/oauth2/authorize": string(d.tenant.ID),
		d.at("/oauth2/v2.0/authorize"):                            string(d.tenant.ID),
	} {
		status, got := d.json("/common/discovery/instance?api-version=1.1&authorization_endpoint=" + url.QueryEscape(asked))
		if status != http.StatusOK || got["tenant_discovery_endpoint"] != d.url+"/"+want+"/v2.0/.well-known/openid-configuration" || got["api-version"] != "1.1" {
			t.Errorf("%q: %d %v", asked, status, got)
		}
		all, _ := got["metadata"].([]any)
		if diff := cmp.Diff([]any{map[string]any{"preferred_network": host, "preferred_cache": host, "aliases": []any{host}}}, all); diff != "" {
			t.Errorf("%q:\n%s", asked, diff)
		}
		if status, _ := d.json(strings.TrimPrefix(got["tenant_discovery_endpoint"].(string), d.url)); status != http.StatusOK {
			t.Errorf("%q leads to %d", asked, status)
		}
	}
	for _, asked := range []string{"https://x.example/nobody.example/oauth2/authorize", "ftp://x.example/common", "https://x.example", "::"} {
		if status, got := d.json("/common/discovery/instance?authorization_endpoint=" + url.QueryEscape(asked)); status != http.StatusBadRequest {
			t.Errorf("%q: %d %v", asked, status, got)
		}
	}
}
