package oidc_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

var b64url = base64.RawURLEncoding

func TestAuthorizeToCode(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	page := b.authorize(a.ask("login_hint", "ada@nordhafen.example")).shown(t)
	if page.Kind != signin.StepUp || page.LeadsTo != "https://wiki.example" || page.Hint != "ada@nordhafen.example" {
		t.Errorf("page is %+v", page)
	}
	heard := b.prove(page.Handle, d.ada).back(t, callback+"?")
	if heard.Get("state") != "the state" || heard.Get("iss") != d.issuer() || heard.Get("code") == "" {
		t.Errorf("app hears %v", heard)
	}
	// The session satisfies the next request: no page at all, also by POST.
	if again := b.authorize(a.ask()).back(t, callback); again.Get("code") == "" || again.Get("code") == heard.Get("code") {
		t.Errorf("second request: %v", again)
	}
	if posted := b.post(b.at("/oauth2/v2.0/authorize"), a.ask()).back(t, callback); posted.Get("code") == "" {
		t.Errorf("by POST: %v", posted)
	}
	if twin := b.get(b.at("/oauth2/authorize?"+a.ask().Encode())).back(t, callback); twin.Get("code") == "" {
		t.Errorf("at the v1 address: %v", twin)
	}
}

// Until client and redirect URI are proven, nothing ever goes to the redirect
// URI.
func TestSec_OAU06_ErrorsStayLocal(t *testing.T) {
	d := newDoor(t)
	a, off := d.newApp(nil), d.newApp(func(c *client.Client) { c.Name = "Off"; c.Enabled = false })
	other := d.newTenant("Other", "other.example")
	foreign := d.newApp(func(c *client.Client) { c.Name = "Foreign"; c.Tenant = other.ID })
	for _, c := range []struct {
		name   string
		v      url.Values
		reason string
	}{
		{"no client", a.ask("client_id", ""), "missing_parameter"},
		{"unknown client", a.ask("client_id", "33333333-3333-4333-8333-333333333333"), "client_unknown"},
		{"client of another tenant", foreign.ask(), "client_unknown"},
		{"client switched off", off.ask(), "client_disabled"},
		{"hostile client id", a.ask("client_id", "' or 1=1 --"), "client_unknown"},
		{"no redirect", a.ask("redirect_uri", ""), "missing_parameter"},
		{"wrong redirect", a.ask("redirect_uri", "https://evil.example/cb"), "redirect_unknown"},
		{"wrong redirect and wrong response type", a.ask("redirect_uri", "https://evil.example/cb", "response_type", "token"), "redirect_unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := d.browser().authorize(c.v)
			got.page(t, "error")
			if got.Header.Get("Location") != "" || !strings.Contains(got.body, c.reason) {
				t.Errorf("got %d %q to %q", got.StatusCode, got.body, got.Header.Get("Location"))
			}
		})
	}
	for _, name := range []string{"client_id", "redirect_uri"} {
		v := a.ask()
		v[name] = append(v[name], v.Get(name))
		got := d.browser().authorize(v)
		got.page(t, "error")
	}
	d.browser().get(d.url+"/99999999-9999-4999-8999-999999999999/oauth2/v2.0/authorize?"+a.ask().Encode()).page(t, "error")
	d.browser().get(d.at("/oauth2/v2.0/authorize?a=%zz&"+a.ask().Encode())).page(t, "error")
	d.browser().get(d.at("/oauth2/v2.0/authorize?"+a.ask().Encode()+"&x="+strings.Repeat("x", 17<<10))).page(t, "error")
}

// What goes wrong afterwards the application hears, with state and iss.
func TestSec_OAU05_ErrorsCarryIssuer(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	for _, c := range []struct {
		name, word string
		v          url.Values
	}{
		{"no PKCE", "invalid_request", a.ask("code_challenge", "", "code_challenge_method", "")},
		{"plain PKCE", "invalid_request", a.ask("code_challenge", verifier, "code_challenge_method", "plain")},
		{"response type", "unsupported_response_type", a.ask("response_type", "id_token token")},
		{"scope", "invalid_scope", a.ask("scope", "openid root")},
		{"resource", "invalid_target", a.ask("resource", "https://other.example")},
		{"request", "request_not_supported", a.ask("request", "x.y.z")},
		{"request_uri", "request_uri_not_supported", a.ask("request_uri", "https://evil.example/r")},
		{"registration", "registration_not_supported", a.ask("registration", "{}")},
		{"none with others", "invalid_request", a.ask("prompt", "none login")},
		{"nobody signed in", "login_required", a.ask("prompt", "none")},
		{"hint that is no token", "invalid_request", a.ask("id_token_hint", "x")},
		{"essential acr that does not exist", "unmet_authentication_requirements", a.ask("claims", `{"id_token":{"acr":{"essential":true,"value":"gold"}}}`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			heard := d.browser().authorize(c.v).back(t, callback+"?")
			if heard.Get("error") != c.word || heard.Get("iss") != d.issuer() || heard.Get("state") != "the state" || heard.Has("code") {
				t.Errorf("app hears %v, want %s", heard, c.word)
			}
			if !strings.HasPrefix(heard.Get("error_description"), "AADSTS") {
				t.Errorf("description is %q", heard.Get("error_description"))
			}
		})
	}
	v := a.ask()
	v["scope"] = []string{"openid", "profile"}
	if heard := d.browser().authorize(v).back(t, callback); heard.Get("error") != "invalid_request" {
		t.Errorf("scope given twice: %v", heard)
	}
}

func TestSec_OAU14_PromptNoneShowsNothing(t *testing.T) {
	d := newDoor(t)
	first, third := d.newApp(nil), d.newApp(func(c *client.Client) { c.Name = "Third"; c.FirstParty = false })
	b := d.browser()

	got := b.authorize(first.ask("prompt", "none"))
	if heard := got.back(t, callback); heard.Get("error") != "login_required" {
		t.Errorf("without a session: %v", heard)
	}
	if c := got.Header.Values("Set-Cookie"); len(c) > 0 {
		t.Errorf("a silent request sets cookies: %q", c)
	}
	b.signIn(first.ask(), d.ada)
	for _, c := range []struct {
		name, word string
		v          url.Values
	}{
		{"with a session", "", first.ask("prompt", "none")},
		{"strength that is not met", "interaction_required", first.ask("prompt", "none", "acr_values", "phrh")},
		{"no consent", "consent_required", third.ask("prompt", "none")},
		{"another person by hint", "login_required", first.ask("prompt", "none", "login_hint", "bob@nordhafen.example")},
		{"this person by hint", "", first.ask("prompt", "none", "login_hint", "ADA@nordhafen.example")},
		{"another person by claims", "login_required", first.ask("prompt", "none", "claims", `{"id_token":{"sub":{"value":"`+string(d.bob.ID)+`"}}}`)},
		{"this person by claims", "", first.ask("prompt", "none", "claims", `{"id_token":{"sub":{"value":"`+string(d.ada.ID)+`"}}}`)},
		{"max_age 0", "login_required", first.ask("prompt", "none", "max_age", "0")},
		{"max_age of an hour", "", first.ask("prompt", "none", "max_age", "3600")},
	} {
		t.Run(c.name, func(t *testing.T) {
			heard := b.authorize(c.v).back(t, callback)
			if heard.Get("error") != c.word || c.word == "" && heard.Get("code") == "" {
				t.Errorf("app hears %v, want %q", heard, c.word)
			}
		})
	}
	d.advance(20 * time.Minute)
	if heard := b.authorize(first.ask("prompt", "none", "max_age", "600")).back(t, callback); heard.Get("error") != "login_required" {
		t.Errorf("proof older than max_age: %v", heard)
	}
	b.signIn(first.ask("prompt", "login"), d.bob)
	if heard := b.authorize(first.ask("prompt", "none")).back(t, callback); heard.Get("error") != "account_selection_required" {
		t.Errorf("two people signed in: %v", heard)
	}
}

// prompt=login wants a new gesture, whatever session there is, and auth_time
// tells.
func TestSec_OAU14_PromptLoginReallyAuthenticates(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	before := payload(t, str(a.tokensOf(d, b, "openid", d.ada), "id_token"))["auth_time"].(float64)
	d.advance(10 * time.Minute)
	page := b.authorize(a.ask("prompt", "login", "scope", "openid")).shown(t)
	heard := b.prove(page.Handle, d.ada).back(t, callback)
	_, out := a.token(d, a.redeem(heard.Get("code")))
	after := payload(t, str(out, "id_token"))["auth_time"].(float64)
	if after-before < 599 {
		t.Errorf("auth_time went from %v to %v", before, after)
	}
}

func TestSec_OAU14_MaxAge(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	b.signIn(a.ask(), d.ada)
	d.advance(5 * time.Minute)
	if heard := b.authorize(a.ask("max_age", "600")).back(t, callback); heard.Get("code") == "" {
		t.Errorf("young enough: %v", heard)
	}
	page := b.authorize(a.ask("max_age", "60")).shown(t)
	if page.Kind != signin.StepUp {
		t.Errorf("page is %+v", page)
	}
	if heard := b.prove(page.Handle, d.ada).back(t, callback); heard.Get("code") == "" {
		t.Errorf("after a new proof: %v", heard)
	}
	if b.authorize(a.ask("max_age", "0")).shown(t).Kind != signin.StepUp {
		t.Error("max_age=0 is satisfied by an old proof")
	}
}

func TestSec_OAU14_SelectAccount(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	b.signIn(a.ask(), d.ada)
	page := b.authorize(a.ask("prompt", "select_account")).shown(t)
	if page.Kind != signin.StepUp || page.User != d.ada.ID || page.Handle == "" {
		t.Fatalf("page is %+v", page)
	}
	picked := b.post(b.at("/test/pick"), url.Values{"handle": {page.Handle}, "user": {string(d.ada.ID)}})
	if heard := picked.back(t, callback); heard.Get("code") == "" {
		t.Errorf("after the choice: %v", heard)
	}
	// With two people signed in the page asks by itself.
	b.signIn(a.ask("prompt", "login"), d.bob)
	page = b.authorize(a.ask()).shown(t)
	if !slices.Contains(page.Prompt, "select_account") {
		t.Errorf("page is %+v", page)
	}
	picked = b.post(b.at("/test/pick"), url.Values{"handle": {page.Handle}, "user": {string(d.ada.ID)}})
	_, out := a.token(d, a.redeem(picked.back(t, callback).Get("code")))
	if got := payload(t, str(out, "id_token"))["sub"]; got != string(d.ada.ID) {
		t.Errorf("picked ada, got %v", got)
	}
	// A hint says which of them is meant.
	if heard := b.authorize(a.ask("login_hint", "bob@nordhafen.example")).back(t, callback); heard.Get("code") == "" {
		t.Errorf("with a hint: %v", heard)
	}
}

func TestConsent(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(func(c *client.Client) { c.Name = "Third"; c.FirstParty = false })
	b := d.browser()
	consent := func(handle, allow string) answer {
		return b.post(b.at("/test/consent"), url.Values{"handle": {handle}, "allow": {allow}})
	}
	page := b.prove(b.authorize(a.ask()).shown(t).Handle, d.ada).shown(t)
	if page.Kind != signin.Consent || len(page.Scopes) == 0 {
		t.Fatalf("page is %+v", page)
	}
	if heard := consent(page.Handle, "no").back(t, callback); heard.Get("error") != "access_denied" || heard.Get("iss") == "" || heard.Get("state") == "" {
		t.Errorf("after a no: %v", heard)
	}
	page = b.authorize(a.ask()).shown(t)
	if heard := consent(page.Handle, "yes").back(t, callback); heard.Get("code") == "" {
		t.Errorf("after a yes: %v", heard)
	}
	if heard := b.authorize(a.ask()).back(t, callback); heard.Get("code") == "" {
		t.Errorf("agreed before: %v", heard)
	}
	if page = b.authorize(a.ask("scope", "openid notes.read")).shown(t); page.Kind != signin.Consent {
		t.Errorf("a new scope: %+v", page)
	}
	// Claims asked for one by one are no way around consent.
	bare := d.newApp(func(c *client.Client) { c.Name = "Bare"; c.FirstParty = false })
	page = b.authorize(bare.ask("scope", "openid", "claims", `{"userinfo":{"email":null}}`)).shown(t)
	if page.Kind != signin.Consent || !slices.Contains(page.Scopes, "email") {
		t.Errorf("a claim asked for by itself: %+v", page)
	}
	if page = b.authorize(a.ask("prompt", "consent")).shown(t); page.Kind != signin.Consent {
		t.Errorf("prompt=consent: %+v", page)
	}
}

func TestSec_OAU14_IDTokenHint(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	pairwise := d.newApp(func(c *client.Client) { c.Name = "Pairwise"; c.Subject = "pairwise" })
	b := d.browser()
	ofAda := str(a.tokensOf(d, b, "openid", d.ada), "id_token")
	ofBob := a.tokens(d, "openid offline_access")
	_ = ofBob
	hintBob := str(a.tokensOf(d, d.browser(), "openid", d.bob), "id_token")
	pairAda := str(pairwise.tokensOf(d, d.browser(), "openid", d.ada), "id_token")

	silent := func(app app, hint string) url.Values {
		t.Helper()
		return b.authorize(app.ask("prompt", "none", "id_token_hint", hint)).back(t, callback)
	}
	if heard := silent(a, ofAda); heard.Get("code") == "" {
		t.Errorf("hint of the person: %v", heard)
	}
	if heard := silent(a, hintBob); heard.Get("error") != "login_required" {
		t.Errorf("hint of another person: %v", heard)
	}
	if heard := silent(pairwise, pairAda); heard.Get("code") == "" {
		t.Errorf("pairwise hint of the person: %v", heard)
	}
	if heard := silent(a, pairAda); heard.Get("error") != "invalid_request" {
		t.Errorf("hint of another app: %v", heard)
	}
	if heard := silent(a, ofAda[:len(ofAda)-4]+"AAAA"); heard.Get("error") != "invalid_request" {
		t.Errorf("hint with another signature: %v", heard)
	}
	access := str(a.tokensOf(d, d.browser(), "openid", d.ada), "access_token")
	if heard := silent(a, access); heard.Get("error") != "invalid_request" {
		t.Errorf("an access token as hint: %v", heard)
	}
	// Interactive: the page is for bob, and ada's proof does not do.
	page := b.authorize(a.ask("id_token_hint", hintBob)).shown(t)
	if got := b.prove(page.Handle, d.ada); got.StatusCode == http.StatusSeeOther && got.back(t, callback).Has("code") {
		t.Error("ada's proof answers a request for bob")
	}
	// An expired token is still a hint.
	d.advance(3 * time.Hour)
	b2 := d.browser()
	b2.signIn(a.ask(), d.ada)
	if heard := b2.authorize(a.ask("prompt", "none", "id_token_hint", ofAda)).back(t, callback); heard.Get("code") == "" {
		t.Errorf("expired hint: %v", heard)
	}
}

func TestSec_OAU13_ACRTellsTheTruth(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	acr := func(v url.Values, properties ...idp.Property) (any, url.Values) {
		t.Helper()
		b := d.browser()
		heard := b.prove(b.authorize(v).shown(t).Handle, d.ada, properties...)
		if heard.Header.Get("X-Page") != "" {
			return heard.shown(t).Kind, nil
		}
		hears := heard.back(t, callback)
		_, out := a.token(d, a.redeem(hears.Get("code")))
		if str(out, "id_token") == "" {
			return nil, hears
		}
		return payload(t, str(out, "id_token"))["acr"], hears
	}
	if got, _ := acr(a.ask()); got != "phr" {
		t.Errorf("a passkey that may be synced gives acr %v", got)
	}
	if got, _ := acr(a.ask(), idp.HardwareBound); got != "phrh" {
		t.Errorf("a hardware-bound key gives acr %v", got)
	}
	if got, _ := acr(a.ask("acr_values", "phr"), idp.HardwareBound); got != "phr" {
		t.Errorf("asked for phr, a hardware-bound key gives acr %v", got)
	}
	if got, _ := acr(a.ask("acr_values", "gold silver")); got != "phr" {
		t.Errorf("unknown acr values are a wish: %v", got)
	}
	if got, _ := acr(a.ask("acr_values", "phrh")); got == "phrh" {
		t.Errorf("a key that is not hardware-bound gives acr %v", got)
	}
	if got, _ := acr(a.ask("claims", `{"id_token":{"acr":{"essential":true,"values":["phrh"]}}}`), idp.HardwareBound); got != "phrh" {
		t.Errorf("essential acr: %v", got)
	}
}

// A request cannot ask for less than the app's administrator demands, and a
// strength of the tenant's own is known by its name.
func TestAppDemandsStrength(t *testing.T) {
	d := newDoor(t)
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		p, err := d.policies.Load(ctx, tx, d.tenant.ID)
		if err != nil {
			return err
		}
		p.Strengths = append(p.Strengths, policy.Strength{ID: "own", Name: "Our keys", Combinations: [][]idp.Mode{{idp.ModeFIDO2}}})
		return d.policies.Put(ctx, tx, d.tenant.ID, p)
	})
	a := d.newApp(func(c *client.Client) { c.ACR = "phrh" })
	b := d.browser()
	handle := b.authorize(a.ask("acr_values", "phr")).shown(t).Handle
	if heard := b.prove(handle, d.ada); heard.Header.Get("X-Page") == "" || heard.shown(t).Kind != signin.StepUp {
		t.Error("a key that is not hardware-bound opens an app that demands one, because the request asked for less")
	}
	if heard := d.browser(); heard.prove(heard.authorize(a.ask("acr_values", "phr")).shown(t).Handle, d.ada, idp.HardwareBound).back(t, callback).Get("code") == "" {
		t.Error("a hardware-bound key does not open it")
	}
	named := d.newApp(func(c *client.Client) { c.Name = "Named" })
	b = d.browser()
	code := b.prove(b.authorize(named.ask("acr_values", "our-keys")).shown(t).Handle, d.ada).back(t, callback).Get("code")
	_, out := named.token(d, named.redeem(code))
	if got := payload(t, str(out, "id_token"))["acr"]; got != "our-keys" {
		t.Errorf("asked for our-keys, acr is %v", got)
	}
	if list, _ := d.document("/" + string(d.tenant.ID) + "/v2.0/.well-known/openid-configuration")["acr_values_supported"].([]any); !slices.Contains(list, any("our-keys")) {
		t.Errorf("discovery names %v", list)
	}
}

// What a request may hold comes back to the byte, and what is too much for a
// flow is said at once: never a page that leads nowhere.
func TestStateWithinItsLimitSurvives(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	for _, piece := range []string{"x", "&", "<", ">", `"`, `\`, "é", "\u2028", "&<>\"'"} {
		state := strings.Repeat(piece, 4096/len(piece))
		b := d.browser()
		page := b.post(b.at("/oauth2/v2.0/authorize"), a.ask("state", state)).shown(t)
		if heard := b.prove(page.Handle, d.ada).back(t, callback); heard.Get("state") != state || !heard.Has("code") {
			t.Errorf("state of %q comes back as %.20q, with a code: %v", piece, heard.Get("state"), heard.Has("code"))
		}
	}
	much := a.ask("state", strings.Repeat(`"`, 4096), "nonce", strings.Repeat(`"`, 1024),
		"claims", `{"id_token":{"acr":{"value":"`+strings.Repeat("x", 4000)+`"}}}`)
	b := d.browser()
	if heard := b.post(b.at("/oauth2/v2.0/authorize"), much).back(t, callback); heard.Get("error") != "invalid_request" || heard.Get("state") != much.Get("state") {
		t.Errorf("a request that is too much in sum: %.100v", heard)
	}
}

// OAU04: response modes are limited for each client; errors about that travel
// by a mode that it has.
func TestSec_OAU04_ResponseModeOfClient(t *testing.T) {
	d := newDoor(t)
	plain := d.newApp(nil)
	posts := d.newApp(func(c *client.Client) { c.Name, c.ResponseModes = "Posts", []string{"form_post"} })
	b := d.browser()
	b.signIn(plain.ask(), d.ada)
	got := b.authorize(plain.ask("response_mode", "fragment"))
	if heard := got.back(t, callback+"?"); heard.Get("error") != "invalid_request" || heard.Has("code") {
		t.Errorf("whoever writes the address chooses that the code travels in the fragment: %v", heard)
	}
	for _, mode := range []string{"", "query", "fragment"} {
		got := b.authorize(posts.ask("response_mode", mode))
		if got.Header.Get("Location") != "" || !strings.Contains(got.body, `value="invalid_request"`) || strings.Contains(got.body, `name="code"`) {
			t.Errorf("response_mode=%q of a client that is registered for form_post: %q %s", mode, got.Header.Get("Location"), got.body)
		}
	}
	if got := b.authorize(posts.ask("response_mode", "form_post")); !strings.Contains(got.body, `name="code"`) {
		t.Errorf("form_post: %s", got.body)
	}
}

func TestResponseModes(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(func(c *client.Client) { c.ResponseModes = []string{"query", "fragment", "form_post"} })
	b := d.browser()
	b.signIn(a.ask(), d.ada)
	got := b.authorize(a.ask("response_mode", "fragment"))
	if heard := got.back(t, callback+"#"); heard.Get("code") == "" || heard.Get("iss") == "" || heard.Get("state") == "" {
		t.Errorf("fragment: %v", heard)
	}
	hostile := `"><script>alert(1)</script>`
	got = b.authorize(a.ask("response_mode", "form_post", "state", hostile))
	csp := got.Header.Get("Content-Security-Policy")
	if got.StatusCode != http.StatusOK || !strings.Contains(csp, "form-action https://wiki.example") || !strings.Contains(csp, "default-src 'none'") {
		t.Fatalf("form_post: %d, policy %q", got.StatusCode, csp)
	}
	if strings.Contains(got.body, hostile) || strings.Contains(got.body, "<script>") {
		t.Errorf("the state is markup: %s", got.body)
	}
	fields := map[string]string{}
	for _, m := range regexp.MustCompile(`name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(got.body, -1) {
		fields[m[1]] = html.UnescapeString(m[2])
	}
	if fields["state"] != hostile || fields["iss"] != d.issuer() || !strings.Contains(got.body, `action="`+callback+`"`) {
		t.Errorf("fields are %v in %s", fields, got.body)
	}
	if status, out := a.token(d, a.redeem(fields["code"])); status != http.StatusOK {
		t.Errorf("code by form_post: %v", out)
	}
	if js := b.get(b.url + "/oauth2/form_post.js"); js.StatusCode != 200 || !strings.Contains(js.body, "submit()") {
		t.Errorf("script: %d %q", js.StatusCode, js.body)
	}
	// Errors travel the same way.
	got = b.authorize(a.ask("response_mode", "form_post", "scope", "root"))
	if !strings.Contains(got.body, `value="invalid_scope"`) {
		t.Errorf("error by form_post: %s", got.body)
	}
}

// A registered address keeps its own query; what a native app is registered
// for on loopback may have any port, and nothing else may differ.
func TestSec_OAU01_Redirects(t *testing.T) {
	d := newDoor(t)
	native := d.newApp(func(c *client.Client) {
		c.Name, c.Kind, c.Auth = "Native", "native", "none"
		c.Grants = []string{"authorization_code", "refresh_token"}
		c.RedirectURIs = []string{"http://127.0.0.1/cb", "com.example.wiki:/cb"}
		c.PostLogoutURIs = nil
	})
	query := d.newApp(func(c *client.Client) {
		c.Name = "Query"
		c.RedirectURIs = []string{"https://wiki.example/cb?tenant=a"}
	})
	b := d.browser()
	b.signIn(query.ask(), d.ada)
	if heard := b.authorize(query.ask()).back(t, "https://wiki.example/cb?tenant=a&"); heard.Get("tenant") != "a" || heard.Get("code") == "" {
		t.Errorf("own query: %v", heard)
	}
	for _, uri := range []string{"http://127.0.0.1:49152/cb", "http://127.0.0.1/cb", "com.example.wiki:/cb"} {
		if heard := b.authorize(native.ask("redirect_uri", uri)).back(t, uri+"?"); heard.Get("code") == "" {
			t.Errorf("%s: %v", uri, heard)
		}
	}
	if heard := b.authorize(native.ask("redirect_uri", "com.example.wiki:/cb", "response_mode", "form_post")).back(t, "com.example.wiki:/cb?"); heard.Get("error") != "invalid_request" {
		t.Errorf("form_post to an app's own scheme: %v", heard)
	}
	for _, uri := range openRedirects("127.0.0.1", "/cb") {
		if got := b.authorize(native.ask("redirect_uri", uri)); got.Header.Get("Location") != "" {
			t.Errorf("%q redirects to %s", uri, got.Header.Get("Location"))
		}
	}
}

// T40: addresses that look like the registered one to some parser.
func openRedirects(host, path string) []string {
	good := "https://" + host + path
	out := []string{
		"https://evil.example", "https://evil.example" + path, "//evil.example", "///evil.example", `\\evil.example`, `/\evil.example`,
		"/cb", "cb", "", "https:", "https:/", "https://", "https:evil.example", "javascript:alert(1)", "JaVaScRiPt:alert(1)",
		"data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd", "about:blank", "blob:https://" + host + "/1",
		"view-source:" + good, "ftp://" + host + path, "ws://" + host + path, "gopher://" + host,
		strings.ToUpper(good), "HTTPS://" + host + path, "https://" + strings.ToUpper(host) + path, "https://" + host + strings.ToUpper(path),
		"http://" + host + ":80" + path + "x", "https://" + host + ":443" + path, "https://" + host + ":8443" + path, "https://" + host + ":" + path,
		good + "/", good + "//", good + "/.", good + "/..", good + "/../evil", good + "/%2e%2e/evil", good + "?", good + "?x=1", good + "#", good + "#x",
		good + ";x", good + "%20", good + " ", " " + good, good + "\t", "\t" + good, good + "\n", good + "\r\nLocation: https://evil.example",
		good + "%0d%0aLocation:%20https://evil.example", good + "\x00", good + "%00", good + "\u2028", good + "\u00a0", "\ufeff" + good,
		"https://" + host + "@evil.example" + path, "https://" + host + ":x@evil.example" + path, "https://evil.example@" + host + path,
		"https://user@" + host + path, "https://user:pass@" + host + path, "https://@" + host + path, "https://:@" + host + path,
		"https://" + host + ".evil.example" + path, "https://evil" + host + path, "https://x." + host + path, "https://" + host + "." + path,
		"https://" + host + "%2eevil.example" + path, "https://" + host + "%00.evil.example" + path, "https://" + host + "\\.evil.example" + path,
		"https://" + host + "\\@evil.example" + path, "https://" + host + "/\\evil.example", "https:\\\\" + host + path, `https:/\` + host + path,
		"https:/" + host + path, "https:///" + host + path, "https:////" + host + path, "https:" + host + path, "http:" + good,
		"https://" + host + "//evil.example" + path, "https://" + host + "/evil/.." + path, "https://" + host + "/." + path, "https://" + host + "/./" + path[1:],
		"https://" + host + "/%63b", "https://" + host + "/c%62", "https://" + host + "/c%2562", "https://" + host + "%2fcb", "https://" + host + "/%2fcb",
		"https://" + host + "?" + path, "https://" + host + "#" + path, "https://" + host + "?@evil.example" + path, "https://" + host + "#@evil.example" + path,
		"https://evil.example?" + good, "https://evil.example#" + good, "https://evil.example/" + good, "https://evil.example?redirect=" + url.QueryEscape(good),
		"https://evil.example\\" + host + path, "https://evil.example%23@" + host + path, "https://evil.example%2f@" + host + path,
		"https://evil.example;" + host + path, "https://evil.example," + host + path, "https://evil.example&" + host + path,
		"https://[::ffff:127.0.0.1]" + path, "https://[" + host + "]" + path, "https://0x7f.1" + path, "https://2130706433" + path, "https://127.1" + path, "https://0" + path,
		"https://wikı.example" + path, "https://wiki。example" + path, "https://wiki．example" + path, "https://ｗiki.example" + path, "https://xn--wki-5pa.example" + path,
		"https://wiki.examp1e" + path, "https://wiki-example" + path, "https://wiki.example.com" + path, "https://wiki.exampl" + path,
		"http://" + host + ":8080@evil.example" + path, "http://" + host + ":@evil.example" + path, "http://" + host + ":0" + path, "http://" + host + ":99999" + path,
		"http://" + host + ":-1" + path, "http://" + host + ":080" + path, "http://" + host + ":1e3" + path, "http://" + host + ":80a" + path, "http://" + host + ":80:80" + path,
		"http://" + host + ".evil.example:80" + path, "http://evil.example/" + host + path, "http://[::1]@evil.example" + path, "http://[::1].evil.example" + path,
		"http://localhost.evil.example" + path, "http://localhost@evil.example" + path, "http://127.0.0.1.evil.example" + path, "http://127.0.0.2" + path, "http://0.0.0.0" + path,
		good + "*", "https://*" + path, "https://*." + host + path, "https://" + host + "/*", "*", "https://" + host + "/cb/../cb", "https://" + host + "/CB",
		good + "&x=1", good + "%26x=1", good + "%3fx=1", good + "%23x", good + "%5c", good + "%2f..%2fevil", good + "+", good + "=", good + "~", good + "!",
		good + strings.Repeat("x", 4096), "https://" + strings.Repeat("a", 300) + ".example" + path,
		"com.example.wiki://evil.example/cb", "com.example.wiki:///cb", "com.example.wiki:cb", "com.example.wiki:/cb/", "com.example.wiki2:/cb", "COM.example.wiki:/cb",
		"intent://" + host + path + "#Intent;end", "mailto:x@evil.example", "tel:+1", "chrome://settings", "ms-settings:", "x:" + good,
	}
	// Every control character and lookalike space, at both ends and inside.
	for _, r := range "\x01\x08\x0b\x0c\x1b\x1f\x7f\u0085\u1680\u2000\u2009\u200b\u202e\u3000" {
		out = append(out, string(r)+good, good+string(r), strings.Replace(good, "://", ":"+string(r)+"//", 1))
	}
	return out
}

func TestSec_OAU01_URLCorpus(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	b.signIn(a.ask(), d.ada)
	corpus := openRedirects("wiki.example", "/cb")
	if len(corpus) < 200 {
		t.Errorf("the corpus has %d entries, want 200", len(corpus))
	}
	for _, uri := range corpus {
		got := b.authorize(a.ask("redirect_uri", uri))
		if got.Header.Get("Location") != "" || got.Header.Get("X-Page") != "error" {
			t.Errorf("redirect_uri %q: %d to %q", uri, got.StatusCode, got.Header.Get("Location"))
		}
		if uri == "" {
			continue
		}
		got = b.get(b.at("/oauth2/v2.0/logout?" + url.Values{"client_id": {string(a.ID)}, "post_logout_redirect_uri": {uri}}.Encode()))
		if got.Header.Get("Location") != "" || got.Header.Get("X-Page") != "error" {
			t.Errorf("post_logout_redirect_uri %q: %d to %q", uri, got.StatusCode, got.Header.Get("Location"))
		}
	}
}

// A person who is switched off while signed in gets no code; the page is there
// for somebody else.
func TestDisabledUser(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	b.signIn(a.ask(), d.ada)
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return d.directory.SetEnabled(ctx, tx, d.tenant.ID, d.ada.ID, false)
	})
	page := b.authorize(a.ask()).shown(t)
	if page.Kind != signin.StepUp {
		t.Errorf("page is %+v", page)
	}
	if heard := b.prove(page.Handle, d.bob).back(t, callback); heard.Get("code") == "" {
		t.Errorf("bob: %v", heard)
	}
	if heard := b.authorize(a.ask("prompt", "none", "login_hint", d.ada.Name)).back(t, callback); heard.Has("code") {
		t.Errorf("ada, silently: %v", heard)
	}
}

// Authorize is a page: no other origin may read it.
func TestSec_OAU22_CORS(t *testing.T) {
	d := newDoor(t)
	for path, want := range map[string]string{
		"/v2.0/.well-known/openid-configuration": "*", "/.well-known/openid-configuration": "*",
		"/discovery/v2.0/keys": "*", "/openid/userinfo": "*", "/oauth2/v2.0/token": "*", "/oauth2/token": "*",
		"/oauth2/v2.0/authorize": "", "/oauth2/v2.0/logout": "", "/oauth2/v2.0/introspect": "", "/oauth2/v2.0/revoke": "",
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			req, err := http.NewRequest(method, d.at(path), bytes.NewReader(nil))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", "https://spa.example")
			req.Header.Set("Access-Control-Request-Method", "POST")
			got := d.browser().do(req)
			if got.StatusCode == http.StatusMethodNotAllowed {
				continue
			}
			if origin := got.Header.Get("Access-Control-Allow-Origin"); origin != want {
				t.Errorf("%s %s: origin %q, want %q", method, path, origin, want)
			}
			if got.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s allows credentials", method, path)
			}
		}
	}
}
