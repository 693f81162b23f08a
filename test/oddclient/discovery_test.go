package oddclient

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// at walks into objects by dotted names.
func at(m map[string]any, path string) any {
	var v any = m
	for name := range strings.SplitSeq(path, ".") {
		o, _ := v.(map[string]any)
		v = o[name]
	}
	return v
}

func (c *Client) object(t *testing.T, address string) map[string]any {
	t.Helper()
	a, err := c.get(t.Context(), address, http.Header{"Accept": {"application/json, text/plain, */*"}, "Ocp-Adrs-Client-Name": {"odd"}, "Ocp-Adrs-Client-Version": {"1"}})
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
		t.Fatalf("%s: %d %s %.300q", address, a.Status, a.Header.Get("Content-Type"), a.Body)
	}
	out, err := a.JSON()
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return out
}

// Discover (§2.5): what the published clients read, by tenant id, domain and
// in odd case.
func TestDiscover(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectA())
	for _, path := range []string{"/" + o.id + "/Discover", "/" + strings.ToUpper(o.id) + "/discover/", "/corp.example/Discover", "//Corp.Example/DISCOVER"} {
		got := c.object(t, s.base+path+"?api-version=1.9&managed=True")
		for member, want := range map[string]string{
			"DeviceJoinService.ServiceVersion":                 "2.0",
			"DeviceJoinService.JoinResourceId":                 drsURN,
			"KeyProvisioningService.ServiceVersion":            "1.0",
			"KeyProvisioningService.KeyProvisionResourceId":    drsURN,
			"NonceService.ServiceVersion":                      "1.0",
			"NonceService.ResourceId":                          drsURN,
			"DeviceRegistrationService.RegistrationResourceId": drsURN,
			"AuthenticationService.OAuth2.AuthCodeEndpoint":    s.base + "/" + o.id + "/oauth2/authorize",
			"AuthenticationService.OAuth2.TokenEndpoint":       s.base + "/" + o.id + "/oauth2/token",
			"TenantInfo.TenantId":                              o.id,
			"TenantInfo.TenantName":                            "corp.example",
			"DiscoveryService.ServiceVersion":                  "1.9",
		} {
			if v := at(got, member); v != want {
				t.Errorf("%s: %s is %v, want %s", path, member, v, want)
			}
		}
		if at(got, "IdentityProviderService.Federated") != false {
			t.Errorf("%s: Federated is %v", path, at(got, "IdentityProviderService.Federated"))
		}
		for member, suffix := range map[string]string{
			"DeviceJoinService.JoinEndpoint":              "/EnrollmentServer/device/",
			"KeyProvisioningService.KeyProvisionEndpoint": "/EnrollmentServer/key/",
			"NonceService.Endpoint":                       "/EnrollmentServer/nonce/" + o.id + "/",
		} {
			v, _ := at(got, member).(string)
			if u, err := url.Parse(v); err != nil || u.Host == "" || u.Path != suffix {
				t.Errorf("%s: %s is %q", path, member, v)
			}
		}
	}
	if a, err := c.get(t.Context(), s.base+"/nobody.example/Discover?api-version=1.9", nil); err != nil || a.Status/100 != 4 {
		t.Errorf("an unknown domain: %d %.200s, %v", a.Status, a.Body, err)
	}
}

// The nonce service of device registration (§2.6), at the address that Discover
// names.
func TestRegistrationNonce(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectA())
	seen := map[string]bool{}
	endpoint, _ := at(c.object(t, s.base+"/"+o.id+"/Discover?api-version=1.9"), "NonceService.Endpoint").(string)
	for _, address := range []string{endpoint, s.base + "/EnrollmentServer/nonce/" + o.id + "/", s.base + "//enrollmentserver/Nonce/corp.example"} {
		got := c.object(t, address+"?api-version=1.0")
		value, _ := got["Value"].(string)
		if value == "" || seen[value] {
			t.Errorf("%s: %v", address, got)
		}
		seen[value] = true
		// The misspelling is the protocol's.
		for _, member := range []string{"message", "traceId", "time"} {
			if _, ok := at(got, "ReponseStatus."+member).(string); !ok {
				t.Errorf("%s: ReponseStatus.%s in %v", address, member, got)
			}
		}
	}
}

// The members that OpenID configuration has for device clients (§2.2). The
// kerberos_endpoint is Kerberos's to bring. cloud_graph_host_name and rbac_url
// must not be there: they name hosts of APIs that this server does not speak,
// none of the clients of this protocol reads them, and a name that leads nowhere
// is worse than none (internal/oidc/departures.md).
func TestConfiguration(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example", "devices.deviceCode", "true")
	c := o.client(DialectC())
	for _, path := range []string{"/" + o.id + "/v2.0/", "/" + o.id + "/", "/corp.example/", "/Common/", "//" + strings.ToUpper(o.id) + "//V2.0/"} {
		got := c.object(t, s.base+path+".well-known/openid-configuration")
		for _, member := range []string{"tenant_region_scope", "cloud_instance_name", "msgraph_host", "device_authorization_endpoint", "token_endpoint", "issuer"} {
			if v, ok := got[member].(string); !ok || v == "" {
				t.Errorf("%s: %s is %v", path, member, got[member])
			}
		}
		for _, member := range []string{"cloud_graph_host_name", "rbac_url"} {
			if got[member] != nil {
				t.Errorf("%s: %s is %v, which nobody serves", path, member, got[member])
			}
		}
		caps, _ := got["capabilities"].([]any)
		if !slices.Contains(caps, any("kdf_ver2")) {
			t.Errorf("%s: capabilities are %v", path, got["capabilities"])
		}
		if v, _ := got["device_authorization_endpoint"].(string); !strings.HasSuffix(v, "/devicecode") {
			t.Errorf("%s: device_authorization_endpoint is %q", path, v)
		}
	}
}

// The small addresses: instance discovery (§2.3), user realm (§2.4), federation
// lookup (§2.1) and the root (§0.19).
func TestSmallAddresses(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	o.somebody("ada")
	c := o.client(DialectB())

	got := c.object(t, s.base+"/common/discovery/instance?api-version=1.1&authorization_endpoint="+url.QueryEscape(s.base+"/common/oauth2/v2.0/authorize"))
	if v, _ := got["tenant_discovery_endpoint"].(string); !strings.HasSuffix(v, "/v2.0/.well-known/openid-configuration") || got["api-version"] != "1.1" {
		t.Errorf("instance discovery: %v", got)
	}
	host := strings.TrimPrefix(s.base, "http://")
	metadata, _ := got["metadata"].([]any)
	if len(metadata) != 1 || at(metadata[0].(map[string]any), "preferred_network") != host || at(metadata[0].(map[string]any), "preferred_cache") != host {
		t.Errorf("instance discovery: %v", got["metadata"])
	}

	for _, c2 := range []struct {
		path string
		want map[string]any
	}{
		{"/common/UserRealm/ada%40corp.example?api-version=2.0", map[string]any{"NameSpaceType": "Managed", "DomainName": "corp.example", "Login": "ada@corp.example"}},
		{"/common/userrealm/nobody%40corp.example?api-version=2.0", map[string]any{"NameSpaceType": "Managed", "DomainName": "corp.example", "Login": "nobody@corp.example"}},
		{"/common/UserRealm/ada%40other.example?api-version=2.0", map[string]any{"NameSpaceType": "Unknown"}},
		{"/Common//UserRealm/ada%40corp.example?api-version=1.0", map[string]any{"account_type": "Managed", "ver": "1.0", "domain_name": "corp.example"}},
		{"/common/UserRealm/ada%40other.example?api-version=1.0", map[string]any{"account_type": "Unknown"}},
	} {
		got := c.object(t, s.base+c2.path)
		for member, want := range c2.want {
			if got[member] != want {
				t.Errorf("%s: %s is %v, want %v", c2.path, member, got[member], want)
			}
		}
	}

	got = c.object(t, s.base+"/odc/v2.1/federationProvider?domain=corp.example")
	if got["tenantId"] != o.id || got["authority_host"] != host {
		t.Errorf("federation lookup: %v", got)
	}
	if g, _ := got["graph"].(string); g == "" || strings.HasSuffix(g, "/") || !strings.HasPrefix(g, "http") {
		t.Errorf("federation lookup: graph is %q", g)
	}
	if a, err := c.get(t.Context(), s.base+"/odc/v2.1/federationProvider?domain=nobody.example", nil); err != nil || a.Status/100 == 2 && strings.Contains(a.Body, "tenantId") {
		t.Errorf("an unknown domain: %d %.200s, %v", a.Status, a.Body, err)
	}
	if a, err := c.get(t.Context(), s.base+"/", nil); err != nil || a.Status/100 != 2 {
		t.Errorf("GET / answers %d, %v", a.Status, err)
	}
}

// Nonces in every spelling that the published clients have (§0.3, §0.8, §1.3, §4).
func TestNonce(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	seen := map[string]bool{}
	const form = "application/x-www-form-urlencoded"
	c := o.client(DialectB())
	for _, c2 := range []struct{ path, contentType string }{
		{"/common/oauth2/token", ""}, {"/common/oauth2/token", form}, {"/Common/OAuth2/Token", ""}, {"//common/oauth2/token", form},
		{"/" + o.id + "/oAuth2/v2.0/token", ""}, {"/corp.example//oauth2//token/", form}, {"/organizations/oauth2/v2.0/token", form + "; charset=utf-8"},
	} {
		a, err := c.formAs(t.Context(), s.base+c2.path, c2.contentType, "grant_type", "srv_challenge", "windows_api_version", "2.0")
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(a.Body), &got); err != nil || a.Status != http.StatusOK {
			t.Errorf("%s %q: %d %.200q", c2.path, c2.contentType, a.Status, a.Body)
			continue
		}
		n := got["Nonce"]
		if n == "" || seen[n] || strings.Trim(n, safeAlphabet) != "" {
			t.Errorf("%s: nonce %q", c2.path, n)
		}
		seen[n] = true
		if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s: headers %v", c2.path, a.Header)
		}
	}
}

// safeAlphabet is what codes, nonces and PRTs may be made of (§0.7).
const safeAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

// Request ids are echoed on demand, and there is always one (§1.3).
func TestRequestIDs(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	id := newGUID()
	a, err := c.get(t.Context(), s.base+"/"+o.id+"/Discover?api-version=1.9", http.Header{"Client-Request-Id": {id}, "Return-Client-Request-Id": {"true"}})
	if err != nil {
		t.Fatal(err)
	}
	if a.Header.Get("client-request-id") != id || a.Header.Get("x-ms-request-id") == "" {
		t.Errorf("headers %v", a.Header)
	}
}
