package oddclient

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/test/person"
)

// What is claimed is not believed: assurance comes from the method that was
// verified (§15 "Hello downgrade"; security.md DEV09).
func TestClaimsFromOutside(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	boast := func(m message) {
		m.payload["amr"] = []string{"fido", "ngcmfa", "hwk"}
		m.payload["acr"], m.payload["tid"], m.payload["oid"], m.payload["deviceid"] = "9", newGUID(), newGUID(), newGUID()
	}
	assertion, err := c.assertion(e.hello, c.nonce(t), boast)
	if err != nil {
		t.Fatal(err)
	}
	request, err := c.outer(e.device, c.nonce(t), byHello("somebody@else.example", assertion), boast)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.askPRT(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	p, err := readPRT(e.device, a)
	if err != nil {
		t.Fatal(err)
	}
	got, a, err := c.Use(t.Context(), p, brokerID, graphURL+"/.default openid", boast)
	if err != nil || got == nil {
		t.Fatalf("use: %v, %v", orBody(a), err)
	}
	claims, err := claimsOf(got["access_token"].(string))
	if err != nil {
		t.Fatal(err)
	}
	amr, _ := claims["amr"].([]any)
	if slices.Contains(amr, any("fido")) || slices.Contains(amr, any("ngcmfa")) || slices.Contains(amr, any("hwk")) ||
		claims["tid"] != o.id || claims["oid"] != e.id || claims["deviceid"] != e.device.ID {
		t.Errorf("the token says %v", claims)
	}
}

// A user certificate inside does not pass for a Hello key, nor a device for a
// person (§7.2, §9.5, §15).
func TestOtherGrants(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	certified, err := c.assertion(HelloKey{e.upn, e.hello.Key}, c.nonce(t), func(m message) {
		delete(m.header, "kid")
		delete(m.header, "use")
		m.header["x5c"] = c.x5c(e.device)
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, user := range map[string]map[string]any{
		"a certificate inside": byHello(e.upn, certified),
		"the device alone":     {"grant_type": "device_token", "resource": graphURL, "iss": "aad:brokerplugin"},
		"no grant":             {},
	} {
		request, err := c.outer(e.device, c.nonce(t), user)
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.askPRT(t.Context(), request)
		want{anything, anything, nil}.check(t, name, a, err)
	}
	// The v3 device has a storage key that no session key can be wrapped for.
	d3 := DialectB()
	d3.JoinVersion = "3.0"
	device, refresh := e.join(t, o.client(d3))
	request, err := c.outer(device, c.nonce(t), byRefresh(refresh))
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.askPRT(t.Context(), request)
	want{anything, anything, nil}.check(t, "a classic PRT for a device without an RSA key", a, err)
}

// Windows devices must derive with version 2 whatever the switch says (§8.3).
func TestWindowsKDF(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example", "devices.compat.kdfV1", "true")
	ada := o.somebody("ada")
	c := o.client(DialectA())
	tokens := ada.tokens(t)
	j := c.joining(t, false)
	j.Body["DeviceType"] = "Windows"
	d, a, err := c.Join(t.Context(), tokens.Access, j)
	if err != nil || d == nil {
		t.Fatalf("join: %d %.300s, %v", a.Status, a.Body, err)
	}
	request, err := c.outer(d, c.nonce(t), byRefresh(tokens.Refresh))
	if err != nil {
		t.Fatal(err)
	}
	if a, err = c.askPRT(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	refused := want{"invalid_grant", "bad_token", []int{5000611}}
	if a.Status != http.StatusOK { // refused at the first moment
		refused.check(t, "PRT", a, nil)
		return
	}
	p, err := readPRT(d, a)
	if err != nil {
		t.Fatal(err)
	}
	_, a, err = c.Use(t.Context(), p, brokerID, graphURL+"/.default openid")
	refused.check(t, "use", a, err)
}

// The broker's refresh token from before the join is good for registration and
// a PRT, and for nothing else (decisions 4.3); afterwards for its family (§0.21).
func TestBrokerRefreshToken(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	ada := o.somebody("ada")
	c := o.client(DialectB())
	tokens := ada.tokens(t)
	refresh := func(clientID, scope string) Answer {
		t.Helper()
		a, err := c.form(t.Context(), c.login("oauth2/v2.0/token"), "client_id", clientID, "grant_type", "refresh_token", "refresh_token", tokens.Refresh, "scope", scope)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	graph, drs := graphURL+"/.default openid offline_access", drsGUID+"/.default openid offline_access"
	want{anything, anything, nil}.check(t, "another resource before the join", refresh(brokerID, graph), nil)
	a := refresh(brokerID, drs)
	if a.Status != http.StatusOK {
		t.Fatalf("device registration: %v", orBody(a))
	}
	got, err := a.JSON()
	if err != nil {
		t.Fatal(err)
	}
	d, a, err := c.Join(t.Context(), got["access_token"].(string), c.joining(t, false))
	if err != nil || d == nil {
		t.Fatalf("join by a refreshed token: %d %.300s, %v", a.Status, a.Body, err)
	}
	for range 3 { // one refresh token, many times
		if _, err := c.PRTByRefresh(t.Context(), d, tokens.Refresh); err != nil {
			t.Errorf("PRT: %v", err)
		}
	}
	a = refresh(brokerID, drs)
	if a.Status != http.StatusOK {
		t.Fatalf("device registration after the PRT: %v", orBody(a))
	}
	if got, err = a.JSON(); err != nil {
		t.Fatal(err)
	}
	if claims, err := claimsOf(got["access_token"].(string)); err != nil || claims["deviceid"] != d.ID {
		t.Errorf("a token of a bound refresh token says %v, %v", claims, err)
	}
	want{anything, anything, nil}.check(t, "an application that is not of the family", refresh(o.thirdParty("Notes"), graph), nil)
}

// thirdParty registers an application that needs consent.
func (o *organisation) thirdParty(name string) string {
	o.t.Helper()
	var app struct{ ID string }
	o.admin(&app, "app", "create", name, "--kind", "native", "--redirect-uri", "http://127.0.0.1/"+name, "--tenant", o.domain)
	return app.ID
}

// An application that nobody consented to gets nothing through a PRT (§3.2).
func TestConsent(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	_, a, err := c.Use(t.Context(), e.first, o.thirdParty("Notes"), "openid profile offline_access")
	want{"invalid_grant", "consent_required", []int{65001}}.check(t, "no consent", a, err)
}

// A key from outside gets no PRT (§7.2 "deviceless", §15).
func TestDevicelessPRT(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	ada := o.somebody("ada")
	app := o.app
	app.Scope = "aza openid profile offline_access"
	page, verifier, err := ada.Authorize(t.Context(), app, nil)
	if err != nil {
		t.Fatal(err)
	}
	code, err := page.Code()
	if err != nil {
		return // no code for such a scope is as good
	}
	c := o.client(DialectB())
	a, err := c.form(t.Context(), c.login("oauth2/v2.0/token"), "client_id", brokerID, "grant_type", "authorization_code", "code", code, "code_verifier", verifier,
		"redirect_uri", app.Redirect, "scope", app.Scope, "prt_protocol_version", "3.0", "stk_jwk", rsaJWK(&s.key().PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(a.Body, "session_key_jwe") || a.Status == http.StatusOK && strings.Count(a.Body, ".") == 4 {
		t.Errorf("a PRT for a key from outside: %.300s", a.Body)
	}
}

// Built-in clients exist where devices are on, carry no roles, and ask for PKCE
// and exact addresses (decisions 4.1, 4.3, 4.5; §15).
func TestBuiltInClients(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	ada := o.somebody("ada")
	o.admin(nil, "user", "set-role", ada.upn, "administrator", "--tenant", o.domain)
	claims, err := claimsOf(ada.tokens(t).Access)
	if err != nil || claims["wids"] != nil || claims["roles"] != nil {
		t.Errorf("an administrator's token of the broker says %v, %v", claims, err)
	}
	drs := drsGUID + "/.default openid offline_access"
	for name, c := range map[string]struct {
		client, redirect string
		ok               bool
	}{
		"broker":                          {brokerID, "ms-appx-web://Microsoft.AAD.BrokerPlugin/" + brokerID, true},
		"broker, DRS":                     {brokerID, "ms-appx-web://Microsoft.AAD.BrokerPlugin/DRS", true},
		"broker on phones":                {brokerID, "msauth://Microsoft.AAD.BrokerPlugin", true},
		"Linux broker":                    {linuxBrokerID, "companyportal://com.microsoft.CompanyPortal", true},
		"device registration":             {drsClientID, "ms-appx-web://Microsoft.AAD.BrokerPlugin/" + drsClientID, true},
		"another broker's address":        {brokerID, "ms-appx-web://Microsoft.AAD.BrokerPlugin/" + linuxBrokerID, false},
		"the address and more":            {brokerID, "ms-appx-web://Microsoft.AAD.BrokerPlugin/" + brokerID + "/x", false},
		"the native address, switch off":  {brokerID, nativeRedirect, false},
		"an unknown client of the makers": {newGUID(), "msauth://Microsoft.AAD.BrokerPlugin", false},
	} {
		app := person.App{Issuer: o.app.Issuer, ID: c.client, Redirect: c.redirect, Scope: drs}
		_, err := ada.authorize(t.Context(), app)
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ada.withoutPKCE(t.Context(), o.app); err == nil {
		t.Error("the broker gets a code without PKCE")
	}
	o.set("devices.compat.brokerWithoutPkce", "true", "devices.compat.nativeClientRedirect", "true")
	if _, err := ada.withoutPKCE(t.Context(), o.app); err != nil {
		t.Errorf("the broker without PKCE under the switch: %v", err)
	}
	if _, err := ada.authorize(t.Context(), person.App{Issuer: o.app.Issuer, ID: brokerID, Redirect: nativeRedirect, Scope: drs}); err != nil {
		t.Errorf("the native address under the switch: %v", err)
	}
	o.set("devices.on", "false")
	if _, err := ada.authorize(t.Context(), o.app); err == nil {
		t.Error("the broker exists where devices are off")
	}
}

// withoutPKCE gets a code and tokens as old clients do (§9.3).
func (s *somebody) withoutPKCE(ctx context.Context, app person.App) (Answer, error) {
	page, _, err := s.Authorize(ctx, app, url.Values{"code_challenge": nil, "code_challenge_method": nil})
	if err != nil {
		return Answer{}, err
	}
	code, err := page.Code()
	if err != nil {
		return Answer{}, err
	}
	c := s.org.client(DialectB())
	a, err := c.form(ctx, c.login("oauth2/v2.0/token"), "client_id", app.ID, "grant_type", "authorization_code", "code", code, "redirect_uri", app.Redirect, "scope", app.Scope)
	if err == nil && a.Status != http.StatusOK {
		err = &person.Refused{Path: "token", Status: a.Status, Text: a.Body}
	}
	return a, err
}

// Nothing that signs somebody in stands in the log, however talkative (§15).
func TestLogs(t *testing.T) {
	s := newSiteLogging(t, "debug")
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	nonce := c.nonce(t)
	p := e.prt(t, c)
	credential, err := c.sso(p, nonce)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.browse(t.Context(), c.authorizeURL(brokerID, "ms-appx-web://Microsoft.AAD.BrokerPlugin/"+brokerID, graphURL), refreshCredential, credential); err != nil {
		t.Fatal(err)
	}
	request, err := c.signed(p, c.usePayload(p, nonce, brokerID, graphURL+"/.default")) // the nonce is spent: a refusal is logged too
	if err != nil {
		t.Fatal(err)
	}
	if a, err := c.ask(t.Context(), request); err != nil || a.Status == http.StatusOK {
		t.Errorf("a spent nonce: %d, %v", a.Status, err)
	}
	said := s.stop()
	if !strings.Contains(said, "{") {
		t.Fatal("the server logged nothing")
	}
	for name, secret := range map[string]string{
		"the PRT": p.Token, "the session key": base64.RawURLEncoding.EncodeToString(p.Session), "a nonce": nonce, "a request": request, "a credential": credential,
		"its signature": request[strings.LastIndexByte(request, '.')+1:],
	} {
		if strings.Contains(said, secret) {
			t.Errorf("the log has %s", name)
		}
	}
}
