package oddclient

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// shellRedirect is where codes for the shell's client go (§1.4).
const nativeRedirect = "https://login.microsoftonline.com/common/oauth2/nativeclient"

// registered makes an ordinary application of the organisation.
func (o *organisation) registered(name string) (id, redirect string) {
	o.t.Helper()
	redirect = "https://" + name + ".example/cb"
	var app struct{ ID string }
	o.admin(&app, "app", "create", name, "--redirect-uri", redirect, "--first-party", "--tenant", o.domain)
	return app.ID, redirect
}

// The code comes by header or cookie, in Location and body, and is redeemed
// without PKCE (§9.3, §0.5, §0.6).
func TestSSO(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example", "devices.compat.kdfV1", "true")
	e := o.somebody("ada").enrol(t, o.client(DialectB()))
	redirect := "ms-appx-web://Microsoft.AAD.BrokerPlugin/" + brokerID
	both := DialectB()
	both.OneNonce = true
	header := DialectB()
	header.Cookie, header.BodyCode = false, true
	for _, c2 := range []struct {
		name   string
		client *Client
	}{
		{"a", o.client(DialectA())},
		{"a, common", o.client(DialectA()).At("Common")},
		{"b", o.client(DialectB())},
		{"b, both cookies", o.client(both)},
		{"b, header and body", o.client(header)},
		{"c", o.client(DialectC())},
	} {
		c := c2.client
		p := e.prt(t, c)
		to, err := c.SSO(t.Context(), p, e.device, c.authorizeURL(brokerID, redirect, graphURL))
		if err != nil {
			t.Errorf("%s: %v", c2.name, err)
			continue
		}
		code := to.Query().Get("code")
		if !strings.HasPrefix(strings.ToLower(to.String()), strings.ToLower(redirect)) || code == "" || to.Query().Get("state") != "odd" {
			t.Errorf("%s: leads to %s", c2.name, to)
			continue
		}
		if strings.Trim(code, safeAlphabet) != "" {
			t.Errorf("%s: code %q", c2.name, code)
		}
		a, err := c.Redeem(t.Context(), brokerID, redirect, code, graphURL)
		if err != nil || a.Status != http.StatusOK {
			t.Errorf("%s: redeem: %v, %v", c2.name, orBody(a), err)
			continue
		}
		got, err := a.JSON()
		if err != nil {
			t.Fatal(err)
		}
		checkTokens(t, c2.name, got, e.device.ID)
		a, err = c.Redeem(t.Context(), brokerID, redirect, code, graphURL)
		want{"invalid_grant", anything, []int{54005, 70000}}.check(t, c2.name+": a code for the second time", a, err)
	}
}

// Without a nonce, and with a stale one, the browser is sent back with a new
// one in sso_nonce; signed with that it gets in (§4.1, §15 "cookie replay").
func TestSSONonce(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	p := e.prt(t, c)
	id, redirect := o.registered("wiki")
	address := c.authorizeURL(brokerID, "ms-appx-web://Microsoft.AAD.BrokerPlugin/"+brokerID, graphURL)
	visit := func(address, credential string) (Answer, *url.URL) {
		t.Helper()
		a, err := c.browse(t.Context(), address, refreshCredential, credential)
		if err != nil {
			t.Fatal(err)
		}
		to, err := url.Parse(a.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		return a, to
	}
	sign := func(p PRT, nonce string, edits ...edit) string {
		t.Helper()
		out, err := c.sso(p, nonce, edits...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	back := func(name, credential, address string) string {
		t.Helper()
		a, to := visit(address, credential)
		fresh := to.Query()["sso_nonce"]
		asked, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != http.StatusFound || len(fresh) != 1 || fresh[0] == "" || to.Query().Get("code") != "" || !strings.EqualFold(strings.ReplaceAll(to.Path, "//", "/"), asked.Path) {
			t.Errorf("%s: %d to %s", name, a.Status, to)
			return ""
		}
		q := to.Query()
		q.Del("sso_nonce")
		want := asked.Query()
		want.Del("sso_nonce")
		if q.Encode() != want.Encode() {
			t.Errorf("%s: the address came back as %s", name, to)
		}
		return fresh[0]
	}
	fresh := back("no nonce", sign(p, ""), address)
	a, to := visit(address+"&sso_nonce="+fresh, sign(p, fresh))
	if to.Query().Get("code") == "" {
		t.Errorf("with the new nonce: %d to %s", a.Status, to)
	}
	again := back("a nonce for the second time", sign(p, fresh), address+"&sso_nonce="+fresh)
	if again == fresh {
		t.Error("the stale nonce came back")
	}
	back("a nonce that is not ours", sign(p, "AwABEgEAAAAD"), address)

	// A visit that ended at a page, with nothing granted, may be repeated as
	// it was (§4; decisions 1.3).
	repeat := sign(p, c.nonce(t))
	if a, to = visit(address+"&prompt=login", repeat); to.Query().Get("code") != "" {
		t.Errorf("prompt=login: %d to %s", a.Status, to)
	}
	if a, to = visit(address, repeat); to.Query().Get("code") == "" {
		t.Errorf("the same after a page: %d to %s", a.Status, to)
	}
	// Two credentials with a nonce each are one visit.
	proof, err := c.deviceProof(e.device, c.nonce(t))
	if err != nil {
		t.Fatal(err)
	}
	if a, err = c.browse(t.Context(), address, refreshCredential, sign(p, c.nonce(t)), deviceCredential, proof); err != nil || !strings.Contains(a.Header.Get("Location"), "code=") {
		t.Errorf("two credentials, two nonces: %d to %s, %v", a.Status, a.Header.Get("Location"), err)
	}

	// An ordinary application gets its code too, and the browser a session.
	wiki := c.authorizeURL(id, redirect, graphURL, "scope", "openid profile", "code_challenge", strings.Repeat("A", 43), "code_challenge_method", "S256")
	a, to = visit(wiki, sign(p, c.nonce(t)))
	if a.Status != http.StatusFound || to.Query().Get("code") == "" || !strings.HasPrefix(to.String(), redirect) {
		t.Errorf("an application: %d to %s, %.300s", a.Status, to, a.Body)
	}
	for _, cookie := range (&http.Response{Header: a.Header}).Cookies() {
		if strings.EqualFold(cookie.Name, refreshCredential) && cookie.MaxAge >= 0 || strings.Contains(cookie.Value, p.Token) {
			t.Errorf("the PRT's cookie is kept: %v", cookie)
		}
	}
}

// What is not good is as if it were not there: the sign-in page comes (§9.3).
func TestSSORefused(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	p, other := e.prt(t, c), e.prt(t, c)
	foreign := s.organise("other.example")
	address := c.authorizeURL(brokerID, "ms-appx-web://Microsoft.AAD.BrokerPlugin/"+brokerID, graphURL)
	mixed := p
	mixed.Session = other.Session
	sign := func(p PRT, edits ...edit) string {
		t.Helper()
		out, err := c.sso(p, c.nonce(t), edits...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	proof, err := c.deviceProof(e.device, c.nonce(t))
	if err != nil {
		t.Fatal(err)
	}
	v1 := c.Speaking(DialectB().WithKDF(1))
	old, err := v1.sso(p, c.nonce(t))
	if err != nil {
		t.Fatal(err)
	}
	good := sign(p)
	for _, r := range []struct {
		name, address string
		credentials   []string
	}{
		{"another session key", address, []string{refreshCredential, sign(mixed)}},
		{"no JWT", address, []string{refreshCredential, "nonsense"}},
		{"the bare PRT", address, []string{refreshCredential, p.Token}},
		{"KDF 1", address, []string{refreshCredential, old}},
		{"the device alone", address, []string{deviceCredential, proof}},
		{"two credentials", address, []string{refreshCredential, good, refreshCredential, "x"}},
		{"another tenant", foreign.client(DialectB()).authorizeURL(brokerID, "ms-appx-web://Microsoft.AAD.BrokerPlugin/"+brokerID, graphURL), []string{refreshCredential, sign(p)}},
		{"prompt=login", address + "&prompt=login", []string{refreshCredential, sign(p)}},
		{"an address that is not the client's", strings.Replace(address, url.QueryEscape("BrokerPlugin/"+brokerID), "elsewhere", 1), []string{refreshCredential, sign(p)}},
	} {
		a, err := c.browse(t.Context(), r.address, r.credentials...)
		if err != nil {
			t.Errorf("%s: %v", r.name, err)
			continue
		}
		if strings.Contains(a.Header.Get("Location"), "code=") || a.Status >= 500 {
			t.Errorf("%s: %d to %s", r.name, a.Status, a.Header.Get("Location"))
		}
	}
	// prompt=none has no page to fall back to.
	a, err := c.browse(t.Context(), address+"&prompt=none", refreshCredential, sign(mixed))
	if err != nil || a.Status/100 == 2 || strings.Contains(a.Header.Get("Location"), "code=") {
		t.Errorf("prompt=none with another session key: %d to %s, %v", a.Status, a.Header.Get("Location"), err)
	}
	a, err = c.browse(t.Context(), address+"&prompt=none", refreshCredential, sign(p))
	if err != nil || !strings.Contains(a.Header.Get("Location"), "code=") {
		t.Errorf("prompt=none with a good one: %d to %s, %v", a.Status, a.Header.Get("Location"), err)
	}
}
