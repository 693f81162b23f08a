package oidc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

const drs = "urn:ms-drs:enterpriseregistration.windows.net"

// A published client of the first family of addresses: resource and no scope,
// by its GUID, in both requests; the answer has text for numbers.
func TestV1(t *testing.T) {
	d := newDoor(t)
	d.devices(nil)
	broker, b := d.builtIn(client.Broker), d.browser()
	ask := broker.ask("scope", "", "resource", "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9")
	handle := b.get(b.at("/oauth2/authorize?" + ask.Encode())).shown(t).Handle
	heard := b.prove(handle, d.ada).back(t, broker.RedirectURIs[0])
	form := broker.redeem(heard.Get("code"))
	form.Set("resource", drs)
	status, out := broker.call(d, "/oauth2/token", form)
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, out)
	}
	for name, want := range map[string]string{
		"token_type": "Bearer", "resource": drs, "expires_in": "3600", "ext_expires_in": "3600",
		"refresh_token_expires_in": "3600", "foci": "1",
	} {
		if out[name] != want {
			t.Errorf("%s is %v (%T), want the text %q", name, out[name], out[name], want)
		}
	}
	on, err := strconv.ParseInt(str(out, "expires_on"), 10, 64)
	from, err2 := strconv.ParseInt(str(out, "not_before"), 10, 64)
	if err != nil || err2 != nil || on-from != 3600 {
		t.Errorf("from %v on %v", out["not_before"], out["expires_on"])
	}
	raw, err := b64url.DecodeString(str(out, "client_info"))
	var who map[string]string
	if err != nil || json.Unmarshal(raw, &who) != nil || who["uid"] != string(d.ada.ID) || who["utid"] != string(d.tenant.ID) {
		t.Errorf("client_info %q", raw)
	}
	access, id := payload(t, str(out, "access_token")), payload(t, str(out, "id_token"))
	if access["aud"] != drs || access["upn"] != d.ada.Name || access["unique_name"] != d.ada.Name || access["appid"] != string(client.Broker) ||
		access["tid"] != string(d.tenant.ID) || access["roles"] != nil || !strings.Contains(str(access, "scp"), drs+"/user_impersonation") {
		t.Errorf("access token %v", access)
	}
	if id["name"] == nil || id["oid"] != string(d.ada.ID) || id["tid"] != string(d.tenant.ID) || id["upn"] != d.ada.Name {
		t.Errorf("id token %v", id)
	}
	// Before a device has bound it, a refresh token is good for registration
	// alone; then for every resource of the table, by either family of addresses.
	status, refused := broker.call(d, "/oauth2/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {str(out, "refresh_token")}, "resource": {"https://graph.windows.net/"},
	})
	if status != http.StatusBadRequest || fmt.Sprint(refused["error_codes"]) != "[50097]" {
		t.Errorf("another resource before a device: %d %v", status, refused)
	}
	d.bind(t, idp.FamilyID(str(access, "fid")))
	status, out = broker.call(d, "/oauth2/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {str(out, "refresh_token")}, "resource": {"https://graph.windows.net/"},
	})
	if status != http.StatusOK || out["resource"] != "https://graph.windows.net" || payload(t, str(out, "access_token"))["aud"] != "https://graph.windows.net" {
		t.Fatalf("another resource: %d %v", status, out)
	}
	status, out = broker.call(d, "/oauth2/v2.0/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {str(out, "refresh_token")}, "scope": {"https://enrollment.manage.microsoft.com/.default"},
	})
	if status != http.StatusOK || out["expires_in"] != float64(3600) || out["foci"] != "1" || out["resource"] != nil ||
		payload(t, str(out, "access_token"))["aud"] != "https://enrollment.manage.microsoft.com" {
		t.Errorf("v2: %d %v", status, out)
	}
}

func TestV2ScopeByAlias(t *testing.T) {
	d := newDoor(t)
	d.devices(nil)
	agent := d.builtIn(client.Agent)
	out := agent.tokens(d, "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9/.default")
	if payload(t, str(out, "access_token"))["aud"] != drs || out["refresh_token"] == nil || out["id_token"] == nil {
		t.Errorf("%v", out)
	}
}

// What a built-in application asks beyond its table is refused, for that
// reason alone.
func TestBuiltInRefuses(t *testing.T) {
	d := newDoor(t)
	d.devices(nil)
	agent := d.builtIn(client.Agent)
	for name, ask := range map[string]url.Values{
		"resource of others":          agent.ask("scope", "", "resource", "https://graph.microsoft.com"),
		"scope of another resource":   agent.ask("scope", "https://graph.microsoft.com/.default"),
		"directory scope":             agent.ask("scope", drs+"/Directory.ReadWrite.All"),
		"two resources":               agent.ask("scope", drs+"/.default", "resource", "https://graph.microsoft.com"),
		"the house's own API":         agent.ask("scope", "", "resource", "urn:signet:administration"),
		"the administration by scope": agent.ask("scope", "urn:signet:administration/.default"),
		"no proof key":                agent.ask("code_challenge", "", "code_challenge_method", ""),
	} {
		heard := d.browser().authorize(ask).back(t, agent.RedirectURIs[0])
		if heard.Get("error") == "" || heard.Get("code") != "" {
			t.Errorf("%s: %v", name, heard)
		}
	}
	out := agent.tokens(d, drs+"/.default")
	status, body := agent.token(d, url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {str(out, "refresh_token")}, "resource": {"https://graph.microsoft.com"},
	})
	if status != http.StatusBadRequest || body["error"] != "invalid_scope" {
		t.Errorf("refresh for another resource: %d %v", status, body)
	}
	// A registered application stays as strict as it was.
	wiki := d.newApp(nil)
	if heard := d.browser().authorize(wiki.ask("scope", "", "resource", "api://drawings")).back(t, callback); heard.Get("error") != "invalid_scope" {
		t.Errorf("resource without scope: %v", heard)
	}
	wikis := wiki.tokens(d, "openid offline_access api://drawings/view")
	if status, body := wiki.token(d, url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {str(wikis, "refresh_token")}, "resource": {string(wiki.ID)},
	}); status != http.StatusBadRequest || body["error"] != "invalid_target" {
		t.Errorf("another resource of its own: %d %v", status, body)
	}
	status, body = wiki.call(d, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
	if status != http.StatusOK || body["expires_in"] != float64(3600) || body["client_info"] != nil || body["foci"] != nil {
		t.Errorf("v1 of others: %d %v", status, body)
	}
	names := payload(t, str(body, "access_token"))
	if names["appid"] != nil || names["upn"] != nil {
		t.Errorf("names in a token of others: %v", names)
	}
}

// Without devices there are no built-in applications, at any endpoint.
func TestSec_DEV_BuiltInOff(t *testing.T) {
	d := newDoor(t)
	d.devices(nil)
	broker := d.builtIn(client.Broker)
	out := broker.tokens(d, drs+"/.default")
	d.devices(func(r *policy.DeviceRules) { r.On = false })
	a := d.browser().authorize(broker.ask("scope", "", "resource", drs))
	a.page(t, "error")
	if !strings.HasPrefix(a.body, "700016 ") {
		t.Errorf("authorize: %s", a.body)
	}
	status, body := broker.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {str(out, "refresh_token")}})
	wantError(t, status, body, http.StatusUnauthorized, "invalid_client", 700016)
}

// TestSec_OAU02_BrokerWithoutPKCE: only under its switch, only for the
// brokers, and never so that a verifier stands for nothing.
func TestSec_OAU02_BrokerWithoutPKCE(t *testing.T) {
	d := newDoor(t)
	d.devices(nil)
	broker := d.builtIn(client.Broker)
	bare := broker.ask("code_challenge", "", "code_challenge_method", "", "scope", "", "resource", drs)
	if heard := d.browser().authorize(bare).back(t, broker.RedirectURIs[0]); heard.Get("error") != "invalid_request" {
		t.Fatalf("while the switch is off: %v", heard)
	}
	d.devices(func(r *policy.DeviceRules) { r.Compat.BrokerWithoutPKCE = true })
	shell := d.builtIn(client.Shell)
	if heard := d.browser().authorize(shell.ask("code_challenge", "", "code_challenge_method", "")).back(t, shell.RedirectURIs[0]); heard.Get("error") != "invalid_request" {
		t.Errorf("another application: %v", heard)
	}
	if heard := d.browser().authorize(broker.ask("code_challenge", "", "resource", drs)).back(t, broker.RedirectURIs[0]); heard.Get("error") != "invalid_request" {
		t.Errorf("a method without a challenge: %v", heard)
	}
	redeem := func(verifier string) (int, map[string]any) {
		form := broker.redeem(d.browser().signIn(bare, d.ada).Get("code"))
		form.Del("code_verifier")
		if verifier != "" {
			form.Set("code_verifier", verifier)
		}
		return broker.token(d, form)
	}
	if status, out := redeem(""); status != http.StatusOK {
		t.Errorf("without a proof key: %d %v", status, out)
	}
	if status, out := redeem(verifier); status != http.StatusBadRequest || out["error"] != "invalid_grant" {
		t.Errorf("with a verifier for no challenge: %d %v", status, out)
	}
	// A code that has a challenge needs its verifier, switch or not.
	form := broker.redeem(d.browser().signIn(broker.ask("scope", "", "resource", drs), d.ada).Get("code"))
	form.Del("code_verifier")
	if status, out := broker.token(d, form); status != http.StatusBadRequest || out["error"] != "invalid_grant" {
		t.Errorf("with a challenge and no verifier: %d %v", status, out)
	}
	// The switch goes off before the code is redeemed.
	form = broker.redeem(d.browser().signIn(bare, d.ada).Get("code"))
	form.Del("code_verifier")
	d.devices(func(r *policy.DeviceRules) { r.Compat.BrokerWithoutPKCE = false })
	if status, out := broker.token(d, form); status != http.StatusBadRequest || out["error"] != "invalid_grant" {
		t.Errorf("after the switch went off: %d %v", status, out)
	}
}

// TestSec_DEV01_RegistrationIsForBuiltIns: no application that somebody registered
// is given tokens for the service that registers devices, by none of its names:
// a person's consent to an application is none to a device (security.md T06, OAU20).
func TestSec_DEV01_RegistrationIsForBuiltIns(t *testing.T) {
	d := newDoor(t)
	d.devices(deviceCodeOn)
	for _, name := range []string{drs, drs + "/", "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9"} {
		a := d.television(func(c *client.Client) {
			c.Name, c.Scopes = "Television "+name, []string{drs + "/user_impersonation"}
			if !strings.HasPrefix(name, "urn:") {
				c.ID, c.Scopes = idp.ClientID(name), []string{"join"}
			}
		})
		for _, asks := range []url.Values{
			a.ask("scope", "openid "+name+"/user_impersonation"), a.ask("scope", "openid "+name+"/.default"),
			a.ask("scope", "openid", "resource", name), a.ask("scope", "openid join"),
		} {
			if got := d.browser().authorize(asks); got.Header.Get("X-Page") != "" || got.back(t, a.RedirectURIs[0]).Get("error") == "" {
				t.Errorf("%s %s: page %q", asks["scope"], asks["resource"], got.Header.Get("X-Page"))
			}
		}
		status, out := a.call(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"openid"}, "resource": {name}})
		if status != http.StatusBadRequest {
			t.Errorf("a device code for %s: %d %v", name, status, out)
		}
		if c, _, audience, err := d.server.Entitle(t.Context(), d.tenant.ID, a.ID, "openid", name, ""); err == nil {
			t.Errorf("a device gets a token for %s in the name of %s", audience, c.ID)
		}
	}
}
