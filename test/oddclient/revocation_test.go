package oddclient

import (
	"net/url"
	"testing"
)

// Renewal keeps the session key; the previous generation is good for a while,
// an older one ends them all (§9.2, decisions 3.3, 4.8).
func TestRenewal(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	graph := graphURL + "/.default openid"
	first := e.prt(t, c)
	renew := func(p PRT) PRT {
		t.Helper()
		next, a, err := c.Renew(t.Context(), p)
		if err != nil || next.Token == "" {
			t.Fatalf("renewal: %v, %v", orBody(a), err)
		}
		return next
	}
	second := renew(first)
	if second.Token == first.Token {
		t.Error("a renewal answers the same PRT")
	}
	if got, a, err := c.Use(t.Context(), first, brokerID, graph); err != nil || got == nil {
		t.Errorf("the previous generation: %v, %v", orBody(a), err)
	}
	again := renew(first) // whose answer was lost
	if got, a, err := c.Use(t.Context(), second, brokerID, graph); err != nil || got == nil {
		t.Errorf("the current generation after a renewal by the previous one: %v, %v", orBody(a), err)
	}
	third := renew(again)
	_, a, err := c.Use(t.Context(), first, brokerID, graph)
	want{"invalid_grant", "bad_token", []int{50173, 70000}}.check(t, "the generation before the previous", a, err)
	for name, p := range map[string]PRT{"second": second, "third": third} {
		_, a, err := c.Use(t.Context(), p, brokerID, graph)
		want{"invalid_grant", "bad_token", []int{50173}}.check(t, "the "+name+" after the first came back", a, err)
	}
}

// using asks for a token with a PRT.
func (c *Client) using(t *testing.T, p PRT) Answer {
	t.Helper()
	_, a, err := c.Use(t.Context(), p, brokerID, graphURL+"/.default openid")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// knock asks for a PRT with the Hello key.
func (e *enrolled) knock(t *testing.T, c *Client) Answer {
	t.Helper()
	request, err := c.helloRequest(t.Context(), e.device, e.hello)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.askPRT(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A person who is disabled gets nothing, and what a PRT gave lives no longer
// than it (§11).
func TestPersonDisabled(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	p := e.prt(t, c)
	graph := graphURL + "/.default openid"
	got, a, err := c.Use(t.Context(), p, brokerID, graph)
	if err != nil || got == nil {
		t.Fatalf("use: %v, %v", orBody(a), err)
	}
	refresh := got["refresh_token"].(string)
	derived := func() Answer {
		a, err := c.form(t.Context(), c.login("oauth2/v2.0/token"), "client_id", brokerID, "grant_type", "refresh_token", "refresh_token", refresh, "scope", graph)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := derived(); a.Status != 200 {
		t.Errorf("the refresh token that the PRT gave: %v", orBody(a))
	}
	o.admin(nil, "user", "disable", e.upn, "--tenant", o.domain)
	want{"invalid_grant", anything, []int{50057, 50173}}.check(t, "PRT", c.using(t, p), nil)
	want{"invalid_grant", anything, []int{50057}}.check(t, "Hello", e.knock(t, c), nil)
	if a := derived(); a.Status/100 != 4 {
		t.Errorf("the refresh token that the PRT gave, after: %d", a.Status)
	}
}

// A device is asked at each use; one that comes back starts anew (§11; decisions
// 4.8).
func TestDeviceDisabled(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	p := e.prt(t, c)
	o.admin(nil, "device", "disable", e.device.ID, "--tenant", o.domain)
	disabled := want{"invalid_grant", "device_authentication_failed", []int{135011}}
	disabled.check(t, "PRT, disabled", c.using(t, p), nil)
	disabled.check(t, "Hello, disabled", e.knock(t, c), nil)
	address := c.authorizeURL(brokerID, "ms-appx-web://Microsoft.AAD.BrokerPlugin/"+brokerID, graphURL)
	if to, err := c.SSO(t.Context(), p, e.device, address); err == nil && to.Query().Get("code") != "" {
		t.Errorf("a disabled device signs the browser in: %s", to)
	}
	o.admin(nil, "device", "enable", e.device.ID, "--tenant", o.domain)
	want{"invalid_grant", "bad_token", []int{50173}}.check(t, "PRT, enabled again", c.using(t, p), nil)
	p = e.prt(t, c)
	if a := c.using(t, p); a.Status != 200 {
		t.Errorf("a new PRT: %v", orBody(a))
	}
	o.admin(nil, "device", "remove", e.device.ID, "--tenant", o.domain)
	want{"invalid_grant", anything, []int{50155, 50173}}.check(t, "PRT, gone", c.using(t, p), nil)
	want{"invalid_grant", "device_authentication_failed", []int{50155}}.check(t, "Hello, gone", e.knock(t, c), nil)
}

// Signing out everywhere reaches PRTs (§11).
func TestSignOutEverywhere(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	p := e.prt(t, c)
	account, err := e.Get(t.Context(), s.base+"/account")
	if err != nil {
		t.Fatal(err)
	}
	session, err := account.Session()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Post(t.Context(), "/account/sign-out-everywhere", url.Values{"session": {session}}); err != nil {
		t.Fatal(err)
	}
	want{"invalid_grant", "bad_token", []int{50173}}.check(t, "PRT", c.using(t, p), nil)
}
