package oidc_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

var update = flag.Bool("update", false, "write the golden files")

func (d *door) document(path string) map[string]any {
	d.t.Helper()
	got := d.browser().get(d.url + path)
	if got.StatusCode != http.StatusOK || !strings.HasPrefix(got.Header.Get("Content-Type"), "application/json") {
		d.t.Fatalf("%s: %d %s", path, got.StatusCode, got.body)
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(got.body), &out); err != nil {
		d.t.Fatal(err)
	}
	return out
}

func TestDiscoveryGolden(t *testing.T) {
	d := newDoor(t)
	for _, c := range []struct{ file, path string }{
		{"testdata/discovery_v2.json", "/v2.0/.well-known/openid-configuration"},
		{"testdata/discovery_v1.json", "/.well-known/openid-configuration"},
	} {
		got := d.browser().get(d.at(c.path)).body
		var v any
		if err := json.Unmarshal([]byte(got), &v); err != nil {
			t.Fatal(err)
		}
		pretty, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer(d.url, "https://id.example", strings.TrimPrefix(d.url, "http://"), "id.example", string(d.tenant.ID), "{tenant}").Replace(string(pretty)) + "\n"
		if *update {
			if err := os.WriteFile(c.file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), text); diff != "" {
			t.Errorf("%s (run with -update when this is meant):\n%s", c.path, diff)
		}
	}
}

// Whatever alias the address has, the document is that of the one issuer.
func TestSec_OAU17_Aliases(t *testing.T) {
	d := newDoor(t)
	want := d.document("/" + string(d.tenant.ID) + "/v2.0/.well-known/openid-configuration")
	if want["issuer"] != d.issuer() {
		t.Errorf("issuer is %v, want %s", want["issuer"], d.issuer())
	}
	for _, alias := range []string{"nordhafen.example", "NordHafen.example", "common", "organizations"} {
		if diff := cmp.Diff(want, d.document("/"+alias+"/v2.0/.well-known/openid-configuration")); diff != "" {
			t.Errorf("%s:\n%s", alias, diff)
		}
	}
	// With a second tenant common is nobody's, and says so.
	d.newTenant("Other", "other.example")
	doc := d.document("/common/v2.0/.well-known/openid-configuration")
	if doc["issuer"] != d.url+"/{tenantid}/v2.0" || doc["token_endpoint"] != d.url+"/common/oauth2/v2.0/token" {
		t.Errorf("common of two tenants: %v", doc)
	}
	for _, unknown := range []string{"99999999-9999-4999-8999-999999999999", "nobody.example", "..", "%2e%2e", "' or 1=1 --"} {
		got := d.browser().get(d.url + "/" + url.PathEscape(unknown) + "/v2.0/.well-known/openid-configuration")
		if got.StatusCode == http.StatusOK {
			t.Errorf("%s: %d %s", unknown, got.StatusCode, got.body)
		}
	}
}

// Everything works under common too, also with several tenants: the client,
// or the token, says whose it is.
func TestCommon(t *testing.T) {
	d := newDoor(t)
	d.newTenant("Other", "other.example")
	a := d.newApp(nil)
	b := d.browser()
	doc := d.document("/common/v2.0/.well-known/openid-configuration")
	page := b.get(doc["authorization_endpoint"].(string) + "?" + a.ask().Encode()).shown(t)
	heard := b.prove(page.Handle, d.ada).back(t, callback)
	req, err := http.NewRequest("POST", doc["token_endpoint"].(string), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(string(a.ID), a.secret)
	status, out := d.send(req, a.redeem(heard.Get("code")))
	if status != http.StatusOK || payload(t, str(out, "id_token"))["iss"] != d.issuer() {
		t.Fatalf("redeem: %d %v", status, out)
	}
	req, err = http.NewRequest("GET", doc["userinfo_endpoint"].(string), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+str(out, "access_token"))
	if got := d.browser().do(req); got.StatusCode != http.StatusOK || !strings.Contains(got.body, string(d.ada.ID)) {
		t.Errorf("userinfo: %d %s", got.StatusCode, got.body)
	}
	if left := b.get(doc["end_session_endpoint"].(string) + "?id_token_hint=" + str(out, "id_token")); left.back(t, "/signed-out") == nil {
		t.Error("not signed out")
	}
	keys := d.document(strings.TrimPrefix(doc["jwks_uri"].(string), d.url))["keys"].([]any)
	if len(keys) < 2 {
		t.Errorf("%d keys under common", len(keys))
	}
	if d.document("/common/discovery/keys")["keys"] == nil {
		t.Error("no keys at the v1 address")
	}
}

// A stock relying party: discovery, code with PKCE, verified ID token,
// userinfo, refresh.
func TestRelyingParty(t *testing.T) {
	d := newDoor(t)
	for _, alg := range []string{"ES256", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			a := d.newApp(func(c *client.Client) { c.Name, c.Alg = "RP "+alg, alg })
			ctx := t.Context()
			provider, err := gooidc.NewProvider(ctx, d.issuer())
			if err != nil {
				t.Fatal(err)
			}
			cfg := oauth2.Config{ClientID: string(a.ID), ClientSecret: a.secret, Endpoint: provider.Endpoint(), RedirectURL: callback,
				Scopes: []string{"openid", "profile", "email", "offline_access"}}
			v, b := oauth2.GenerateVerifier(), d.browser()
			page := b.get(cfg.AuthCodeURL("s", gooidc.Nonce("n"), oauth2.S256ChallengeOption(v))).shown(t)
			heard := b.prove(page.Handle, d.ada).back(t, callback)
			tokens, err := cfg.Exchange(ctx, heard.Get("code"), oauth2.VerifierOption(v))
			if err != nil {
				t.Fatal(err)
			}
			verify := provider.Verifier(&gooidc.Config{ClientID: string(a.ID)})
			id, err := verify.Verify(ctx, tokens.Extra("id_token").(string))
			if err != nil {
				t.Fatal(err)
			}
			if id.Nonce != "n" || id.Subject != string(d.ada.ID) || id.VerifyAccessToken(tokens.AccessToken) != nil {
				t.Errorf("ID token is %+v", id)
			}
			info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
			if err != nil || info.Subject != id.Subject || info.Email != d.ada.Name {
				t.Errorf("userinfo is %+v, %v", info, err)
			}
			old := *tokens
			old.Expiry = d.clock().Add(-1)
			renewed, err := cfg.TokenSource(ctx, &old).Token()
			if err != nil || renewed.AccessToken == tokens.AccessToken || renewed.RefreshToken == tokens.RefreshToken {
				t.Errorf("refresh: %v", err)
			}
			if _, err := cfg.Exchange(ctx, heard.Get("code"), oauth2.VerifierOption(v)); err == nil {
				t.Error("code redeemed twice")
			}
		})
	}
}

// T41: a client of two providers sees by iss which one answered; the ID token
// of one does not verify for the other.
func TestSec_OAU05_MixUp(t *testing.T) {
	honest, evil := newDoor(t), newDoor(t)
	a := evil.newApp(nil)
	b := evil.browser()
	heard := b.signIn(a.ask(), evil.ada)
	if heard.Get("iss") != evil.issuer() || heard.Get("iss") == honest.issuer() {
		t.Errorf("iss is %q", heard.Get("iss"))
	}
	_, out := a.token(evil, a.redeem(heard.Get("code")))
	provider, err := gooidc.NewProvider(t.Context(), honest.issuer())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.Verifier(&gooidc.Config{ClientID: string(a.ID)}).Verify(t.Context(), str(out, "id_token")); err == nil {
		t.Error("the other provider's ID token verifies")
	}
	c := honest.newApp(nil)
	status, out := c.token(honest, c.redeem(heard.Get("code")))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 70008)
}

// Every value that discovery advertises is exercised; a value that no check
// here knows fails the test.
func TestDiscoveryTellsTheTruth(t *testing.T) {
	d := newDoor(t)
	for _, path := range []string{"/v2.0/.well-known/openid-configuration", "/.well-known/openid-configuration"} {
		t.Run(path, func(t *testing.T) {
			doc := d.document("/" + string(d.tenant.ID) + path)
			d.t = t
			truth{d, t, doc}.check()
		})
	}
}

type truth struct {
	*door
	t   *testing.T
	doc map[string]any
}

func (x truth) list(name string) []string {
	x.t.Helper()
	all, ok := x.doc[name].([]any)
	if !ok || len(all) == 0 {
		x.t.Fatalf("%s is %v", name, x.doc[name])
	}
	var out []string
	for _, v := range all {
		out = append(out, v.(string))
	}
	return out
}

// With devices on, device codes on and a TLS listener there is more to say, and
// it is as true.
func TestDiscoveryOfDevicesTellsTheTruth(t *testing.T) {
	d := newDoor(t)
	d.devices(deviceCodeOn)
	tls := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }))
	t.Cleanup(tls.Close)
	d.tlsURL = tls.URL
	d.wire()
	for _, path := range []string{"/v2.0/.well-known/openid-configuration", "/.well-known/openid-configuration"} {
		t.Run(path, func(t *testing.T) {
			d.t = t
			x := truth{d, t, d.document("/" + string(d.tenant.ID) + path)}
			// kdf_ver2 is what the PRTs of the tenant are used with: the
			// package that issues them has the vectors.
			x.only("capabilities", "kdf_ver2")
			// The same is in every device certificate.
			x.same("tenant_region_scope", device.Region)
			tv := d.television(func(c *client.Client) { c.Name = "Television " + d.clock().Format("150405.000000000") })
			if status, out := d.send(x.request("device_authorization_endpoint"), url.Values{"client_id": {string(tv.ID)}, "scope": {"openid"}}); status != http.StatusOK {
				t.Errorf("device code: %d %v", status, out)
			}
			if !slices.Contains(x.list("grant_types_supported"), client.GrantDeviceCode) {
				t.Error("the grant is not advertised")
			}
			aliases, _ := x.doc["mtls_endpoint_aliases"].(map[string]any)
			res, err := tls.Client().PostForm(str(aliases, "token_endpoint"), url.Values{"grant_type": {"srv_challenge"}})
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK || len(aliases) != 1 {
				t.Errorf("token endpoint over TLS: %d, %v", res.StatusCode, aliases)
			}
			for _, name := range []string{"capabilities", "tenant_region_scope", "device_authorization_endpoint", "mtls_endpoint_aliases"} {
				delete(x.doc, name)
			}
			x.doc["grant_types_supported"] = slices.DeleteFunc(x.doc["grant_types_supported"].([]any), func(g any) bool { return g == client.GrantDeviceCode })
			x.check()
		})
	}
	d.devices(func(r *policy.DeviceRules) { r.On, r.DeviceCode = false, false })
	doc := d.document("/" + string(d.tenant.ID) + "/v2.0/.well-known/openid-configuration")
	if doc["capabilities"] != nil || doc["tenant_region_scope"] != nil || doc["device_authorization_endpoint"] != nil {
		t.Errorf("advertised while off: %v", doc)
	}
}

func (x truth) check() {
	checks := map[string]func(){
		"issuer":                 func() { x.same("issuer", x.issuer()) },
		"authorization_endpoint": x.authorizes, "response_modes_supported": x.authorizes, "prompt_values_supported": x.prompts,
		"token_endpoint": x.grants, "grant_types_supported": x.grants, "jwks_uri": x.keysVerify,
		"userinfo_endpoint": x.tellsClaims, "claims_supported": x.tellsClaims, "scopes_supported": x.scopes,
		"end_session_endpoint": x.endsSession, "introspection_endpoint": x.introspects, "revocation_endpoint": x.revokes,
		"response_types_supported": func() { x.only("response_types_supported", "code") },
		"acr_values_supported":     x.strengths, "subject_types_supported": x.subjects,
		"id_token_signing_alg_values_supported":                    x.signs,
		"token_endpoint_auth_methods_supported":                    func() { x.authenticates("token_endpoint", "token_endpoint_auth_methods_supported") },
		"introspection_endpoint_auth_methods_supported":            func() { x.authenticates("introspection_endpoint", "introspection_endpoint_auth_methods_supported") },
		"revocation_endpoint_auth_methods_supported":               func() { x.authenticates("revocation_endpoint", "revocation_endpoint_auth_methods_supported") },
		"token_endpoint_auth_signing_alg_values_supported":         func() { x.assertionAlgs("token_endpoint") },
		"introspection_endpoint_auth_signing_alg_values_supported": func() { x.assertionAlgs("introspection_endpoint") },
		"revocation_endpoint_auth_signing_alg_values_supported":    func() { x.assertionAlgs("revocation_endpoint") },
		"code_challenge_methods_supported":                         func() { x.only("code_challenge_methods_supported", "S256") },
		"claim_types_supported":                                    func() { x.only("claim_types_supported", "normal") },
		"claims_parameter_supported":                               x.claimsParameter,
		"request_parameter_supported":                              func() { x.refused("request_parameter_supported", "request") },
		"request_uri_parameter_supported":                          func() { x.refused("request_uri_parameter_supported", "request_uri") },
		"authorization_response_iss_parameter_supported":           func() { x.same("authorization_response_iss_parameter_supported", true) },
		"cloud_instance_name":                                      func() { x.same("cloud_instance_name", strings.TrimPrefix(x.url, "http://")) },
		"msgraph_host":                                             func() { x.same("msgraph_host", strings.TrimPrefix(x.url, "http://")) },
	}
	for name := range x.doc {
		check, ok := checks[name]
		if !ok {
			x.t.Errorf("nothing exercises %s", name)
			continue
		}
		check()
	}
	for name := range checks {
		if _, ok := x.doc[name]; !ok {
			x.t.Errorf("%s is not advertised", name)
		}
	}
}

func (x truth) same(name string, want any) {
	x.t.Helper()
	if x.doc[name] != want {
		x.t.Errorf("%s is %v, want %v", name, x.doc[name], want)
	}
}

func (x truth) only(name string, want string) {
	x.t.Helper()
	if got := x.list(name); !slices.Equal(got, []string{want}) {
		x.t.Errorf("%s is %v, want %s alone", name, got, want)
	}
}

// at is a POST to the advertised address of an endpoint.
func (x truth) request(endpoint string) *http.Request {
	x.t.Helper()
	req, err := http.NewRequest("POST", x.doc[endpoint].(string), nil)
	if err != nil {
		x.t.Fatal(err)
	}
	return req
}

func (x truth) as(a app, endpoint string, v url.Values) (int, map[string]any) {
	x.t.Helper()
	req := x.request(endpoint)
	req.SetBasicAuth(string(a.ID), a.secret)
	return x.send(req, v)
}

func (x truth) app(change func(*client.Client)) app {
	return x.newApp(func(c *client.Client) {
		c.Name = "Truth " + x.clock().Format("150405.000000000")
		if change != nil {
			change(c)
		}
	})
}

func (x truth) authorizes() {
	a := x.app(func(c *client.Client) { c.ResponseModes = x.list("response_modes_supported") })
	for _, mode := range x.list("response_modes_supported") {
		b := x.browser()
		page := b.get(x.doc["authorization_endpoint"].(string) + "?" + a.ask("response_mode", mode).Encode()).shown(x.t)
		got := b.prove(page.Handle, x.ada)
		ok := map[string]bool{
			"query": strings.HasPrefix(got.Header.Get("Location"), callback+"?code="), "fragment": strings.HasPrefix(got.Header.Get("Location"), callback+"#code="),
			"form_post": strings.Contains(got.body, `name="code"`),
		}[mode]
		if !ok {
			x.t.Errorf("response mode %s: %d to %q", mode, got.StatusCode, got.Header.Get("Location"))
		}
	}
}

func (x truth) prompts() {
	a, b := x.app(nil), x.browser()
	b.signIn(a.ask(), x.ada)
	third := x.app(func(c *client.Client) { c.FirstParty = false })
	want := map[string]func(answer) bool{
		"none":           func(g answer) bool { return strings.Contains(g.Header.Get("Location"), "error=consent_required") },
		"login":          func(g answer) bool { return g.Header.Get("X-Page") == "signin" },
		"consent":        func(g answer) bool { return strings.Contains(g.body, `"Kind":"consent"`) },
		"select_account": func(g answer) bool { return g.Header.Get("X-Page") == "signin" },
	}
	for _, p := range x.list("prompt_values_supported") {
		if got := b.authorize(third.ask("prompt", p)); want[p] == nil || !want[p](got) {
			x.t.Errorf("prompt %s: %d %s", p, got.StatusCode, got.body)
		}
	}
}

func (x truth) grants() {
	a := x.app(nil)
	var last map[string]any
	for _, g := range []string{"authorization_code", "refresh_token", "client_credentials"} {
		if !slices.Contains(x.list("grant_types_supported"), g) {
			x.t.Errorf("grant %s is not advertised", g)
		}
	}
	for _, g := range x.list("grant_types_supported") {
		v := url.Values{"grant_type": {g}}
		switch g {
		case "authorization_code":
			v = a.redeem(a.code(x.door))
		case "refresh_token":
			v.Set("refresh_token", str(last, "refresh_token"))
		}
		status, out := x.as(a, "token_endpoint", v)
		if status != http.StatusOK {
			x.t.Errorf("grant %s: %d %v", g, status, out)
		}
		last = out
	}
}

func (x truth) keysVerify() {
	out := x.app(nil).tokens(x.door, "openid")
	set := gooidc.NewRemoteKeySet(x.t.Context(), x.doc["jwks_uri"].(string))
	for _, name := range []string{"id_token", "access_token"} {
		if _, err := set.VerifySignature(x.t.Context(), str(out, name)); err != nil {
			x.t.Errorf("%s: %v", name, err)
		}
	}
}

func (x truth) scopes() {
	a := x.app(nil)
	for _, s := range x.list("scopes_supported") {
		out := a.tokens(x.door, s)
		if out["scope"] != s {
			x.t.Errorf("scope %s gives %v", s, out["scope"])
		}
	}
}

func (x truth) tellsClaims() {
	out := x.app(nil).tokens(x.door, "openid profile email")
	id := payload(x.t, str(out, "id_token"))
	req, err := http.NewRequest("GET", x.doc["userinfo_endpoint"].(string), nil)
	if err != nil {
		x.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+str(out, "access_token"))
	var info map[string]any
	if err := json.Unmarshal([]byte(x.browser().do(req).body), &info); err != nil {
		x.t.Fatal(err)
	}
	for _, c := range x.list("claims_supported") {
		if id[c] == nil && info[c] == nil {
			x.t.Errorf("nobody tells %s: %v, %v", c, id, info)
		}
	}
	for c := range info {
		if !slices.Contains(x.list("claims_supported"), c) {
			x.t.Errorf("userinfo tells %s, which is not advertised", c)
		}
	}
}

func (x truth) endsSession() {
	a, b := x.app(nil), x.browser()
	hint := str(a.tokensOf(x.door, b, "openid", x.ada), "id_token")
	got := b.get(x.doc["end_session_endpoint"].(string) + "?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://wiki.example/bye"}, "state": {"s"}}.Encode())
	if heard := got.back(x.t, "https://wiki.example/bye?"); heard.Get("state") != "s" {
		x.t.Errorf("sign-out answers %v", heard)
	}
}

func (x truth) introspects() {
	a := x.app(nil)
	_, out := x.as(a, "introspection_endpoint", url.Values{"token": {str(a.tokens(x.door, "openid"), "access_token")}})
	if out["active"] != true {
		x.t.Errorf("introspection says %v", out)
	}
}

func (x truth) revokes() {
	a := x.app(nil)
	token := str(a.tokens(x.door, "openid"), "access_token")
	if status, out := x.as(a, "revocation_endpoint", url.Values{"token": {token}}); status != http.StatusOK {
		x.t.Errorf("revocation: %d %v", status, out)
	}
	if got := x.userinfo(token); got.StatusCode != http.StatusUnauthorized {
		x.t.Errorf("userinfo after revocation: %d", got.StatusCode)
	}
}

func (x truth) strengths() {
	a := x.app(nil)
	for _, acr := range x.list("acr_values_supported") {
		b := x.browser()
		heard := b.prove(b.authorize(a.ask("acr_values", acr)).shown(x.t).Handle, x.ada, idp.HardwareBound).back(x.t, callback)
		_, out := a.token(x.door, a.redeem(heard.Get("code")))
		if got := payload(x.t, str(out, "id_token"))["acr"]; got != acr {
			x.t.Errorf("asked for acr %s, got %v", acr, got)
		}
	}
}

func (x truth) subjects() {
	for _, kind := range x.list("subject_types_supported") {
		out := x.app(func(c *client.Client) { c.Subject = kind }).tokens(x.door, "openid")
		if public := payload(x.t, str(out, "id_token"))["sub"] == string(x.ada.ID); public != (kind == "public") {
			x.t.Errorf("subject type %s gives %v", kind, payload(x.t, str(out, "id_token"))["sub"])
		}
	}
}

func (x truth) signs() {
	for _, alg := range x.list("id_token_signing_alg_values_supported") {
		out := x.app(func(c *client.Client) { c.Alg = alg }).tokens(x.door, "openid")
		m, err := jose.ParseSignedCompact(str(out, "id_token"), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
		if err != nil || m.Signatures[0].Header.Algorithm != alg {
			x.t.Errorf("algorithm %s: %v", alg, err)
		}
	}
}

// harmless is a request that only fails when the client does not
// authenticate.
func harmless(endpoint string) url.Values {
	if endpoint == "token_endpoint" {
		return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}
	}
	return url.Values{"token": {"x"}}
}

func (x truth) authenticates(endpoint, list string) {
	for _, m := range x.list(list) {
		a := x.app(func(c *client.Client) {
			c.Auth, c.Grants = m, []string{"authorization_code", "refresh_token"}
			if m == "private_key_jwt" {
				c.JWKS = testKey(x.t, "ES256").set()
			}
		})
		req, v := x.request(endpoint), harmless(endpoint)
		switch m {
		case "none":
			v.Set("client_id", string(a.ID))
		case "client_secret_basic":
			req.SetBasicAuth(string(a.ID), a.secret)
		case "client_secret_post":
			v.Set("client_id", string(a.ID))
			v.Set("client_secret", a.secret)
		case "private_key_jwt":
			x.assert(a, v, "ES256")
		}
		if status, out := x.send(req, v); out["error"] == "invalid_client" || endpoint != "token_endpoint" && status != http.StatusOK {
			x.t.Errorf("%s by %s: %d %v", endpoint, m, status, out)
		}
	}
}

func (x truth) assert(a app, v url.Values, alg string) {
	v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	v.Set("client_assertion", testKey(x.t, alg).sign(x.t, map[string]any{
		"iss": a.ID, "sub": a.ID, "aud": x.issuer(), "jti": x.clock().Format("150405.000000000"), "exp": x.clock().Unix() + 60,
	}, nil))
}

func (x truth) assertionAlgs(endpoint string) {
	name := strings.TrimSuffix(endpoint, "_endpoint") + "_endpoint_auth_signing_alg_values_supported"
	for _, alg := range x.list(name) {
		a := x.app(func(c *client.Client) { c.Auth, c.JWKS = "private_key_jwt", testKey(x.t, alg).set() })
		v := harmless(endpoint)
		x.assert(a, v, alg)
		if _, out := x.send(x.request(endpoint), v); out["error"] == "invalid_client" {
			x.t.Errorf("%s with %s: %v", endpoint, alg, out)
		}
	}
}

func (x truth) claimsParameter() {
	x.same("claims_parameter_supported", true)
	a := x.app(nil)
	heard := x.browser().signIn(a.ask("scope", "openid", "claims", `{"id_token":{"email":null},"userinfo":{"name":{"essential":true}}}`), x.ada)
	_, out := a.token(x.door, a.redeem(heard.Get("code")))
	if id := payload(x.t, str(out, "id_token")); id["email"] != x.ada.Name || id["name"] != nil {
		x.t.Errorf("ID token says %v", id)
	}
	var info map[string]any
	if err := json.Unmarshal([]byte(x.userinfo(str(out, "access_token")).body), &info); err != nil {
		x.t.Fatal(err)
	}
	if info["name"] != x.ada.DisplayName || info["email"] != nil {
		x.t.Errorf("userinfo says %v", info)
	}
}

func (x truth) refused(name, param string) {
	x.same(name, false)
	heard := x.browser().authorize(x.app(nil).ask(param, "https://x.example")).back(x.t, callback)
	if heard.Get("error") != param+"_not_supported" {
		x.t.Errorf("%s: %v", param, heard)
	}
}
