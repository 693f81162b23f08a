package oidc_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/oidc"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func TestUserInfo(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	token := str(a.tokens(d, "openid profile email"), "access_token")
	check := func(name string, got answer) {
		t.Helper()
		var info map[string]any
		if err := json.Unmarshal([]byte(got.body), &info); err != nil || got.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", name, got.StatusCode, got.body)
		}
		if info["sub"] != string(d.ada.ID) || info["name"] != "Ada" || info["preferred_username"] != d.ada.Name || info["email"] != d.ada.Name {
			t.Errorf("%s: %v", name, info)
		}
	}
	check("GET", d.userinfo(token))
	check("POST with a form", d.browser().post(d.at("/openid/userinfo"), url.Values{"access_token": {token}}))
	req, err := http.NewRequest("POST", d.at("/openid/userinfo"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "bearer "+token)
	check("POST with a header", d.browser().do(req))
	// The app's own API may ask for its people; an API elsewhere may not.
	own := str(a.tokens(d, "openid profile email notes.read"), "access_token")
	check("token for the own API", d.userinfo(own))
}

func TestSec_OAU15_UserInfoRefuses(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	good := a.tokens(d, "openid offline_access")
	parts := strings.Split(str(good, "access_token"), ".")
	_, own := a.token(d, url.Values{"grant_type": {"client_credentials"}})
	for _, c := range []struct {
		name, token string
		status      int
		word        string
	}{
		{"nothing", "", 401, ""},
		{"garbage", "x", 401, "invalid_token"},
		{"ID token", str(good, "id_token"), 401, "invalid_token"},
		{"refresh token", str(good, "refresh_token"), 401, "invalid_token"},
		{"without openid", str(a.tokens(d, "profile"), "access_token"), 403, "insufficient_scope"},
		{"for another API", str(a.tokens(d, "openid api://drawings/view"), "access_token"), 401, "invalid_token"},
		{"of an application", str(own, "access_token"), 403, "insufficient_scope"},
		{"unsigned", parts[0] + "." + parts[1] + ".", 401, "invalid_token"},
		{"alg none", b64url.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + parts[1] + ".", 401, "invalid_token"},
		{"other signature", parts[0] + "." + parts[1] + "." + b64url.EncodeToString(make([]byte, 64)), 401, "invalid_token"},
		{"huge", strings.Repeat("x", 17<<10), 401, "invalid_token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := d.userinfo(c.token)
			challenge := got.Header.Get("WWW-Authenticate")
			if got.StatusCode != c.status || !strings.HasPrefix(challenge, "Bearer") || c.word != "" && !strings.Contains(challenge, `error="`+c.word+`"`) ||
				c.word == "" && strings.Contains(challenge, "error=") {
				t.Errorf("got %d, challenge %q: %s", got.StatusCode, challenge, got.body)
			}
			if strings.Contains(got.body, string(d.ada.ID)) {
				t.Errorf("the refusal names the person: %s", got.body)
			}
		})
	}
	token := str(good, "access_token")
	if got := d.browser().get(d.at("/openid/userinfo?access_token=" + token)); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("token in the address: %d", got.StatusCode)
	}
	req, err := http.NewRequest("POST", d.at("/openid/userinfo"), strings.NewReader(url.Values{"access_token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+token)
	if got := d.browser().do(req); got.StatusCode != http.StatusBadRequest {
		t.Errorf("token sent twice: %d", got.StatusCode)
	}
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return d.directory.SetEnabled(ctx, tx, d.tenant.ID, d.ada.ID, false)
	})
	if got := d.userinfo(token); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("person switched off: %d", got.StatusCode)
	}
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return d.directory.SetEnabled(ctx, tx, d.tenant.ID, d.ada.ID, true)
	})
	d.advance(62 * time.Minute)
	if got := d.userinfo(token); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("expired: %d", got.StatusCode)
	}
}

func TestSec_OAU15_Introspection(t *testing.T) {
	d := newDoor(t)
	a, other := d.newApp(nil), d.newApp(func(c *client.Client) { c.Name = "Other" })
	public := d.newApp(func(c *client.Client) {
		c.Name, c.Auth, c.Grants = "Public", "none", []string{"authorization_code", "refresh_token"}
	})
	tokens := a.tokens(d, "openid offline_access")
	ask := func(by app, token string) map[string]any {
		t.Helper()
		status, out := by.call(d, "/oauth2/v2.0/introspect", url.Values{"token": {token}, "token_type_hint": {"access_token"}})
		if status != http.StatusOK {
			t.Fatalf("introspect: %d %v", status, out)
		}
		return out
	}
	out := ask(a, str(tokens, "access_token"))
	if out["active"] != true || out["client_id"] != string(a.ID) || out["sub"] != string(d.ada.ID) || out["iss"] != d.issuer() ||
		out["token_type"] != "Bearer" || out["exp"] == nil || out["scope"] != "openid offline_access" {
		t.Errorf("introspection says %v", out)
	}
	// An API may ask about tokens that are meant for it.
	api := a.tokens(d, "notes.read")
	if out := ask(a, str(api, "access_token")); out["active"] != true || out["aud"] != string(a.ID) {
		t.Errorf("token for the caller: %v", out)
	}
	for name, out := range map[string]map[string]any{
		"of another client": ask(other, str(tokens, "access_token")),
		"ID token":          ask(a, str(tokens, "id_token")),
		"garbage":           ask(a, "x"),
	} {
		if len(out) != 1 || out["active"] != false {
			t.Errorf("%s: %v", name, out)
		}
	}
	status, out := public.call(d, "/oauth2/v2.0/introspect", url.Values{"token": {str(tokens, "access_token")}})
	wantError(t, status, out, http.StatusUnauthorized, "invalid_client", 7000218)
	status, out = app{a.Client, "wrong"}.call(d, "/oauth2/v2.0/introspect", url.Values{"token": {str(tokens, "access_token")}})
	wantError(t, status, out, http.StatusUnauthorized, "invalid_client", 7000215)
	status, out = a.call(d, "/oauth2/v2.0/introspect", url.Values{})
	wantError(t, status, out, http.StatusBadRequest, "invalid_request", 900144)
}

func TestSec_OAU15_Revocation(t *testing.T) {
	d := newDoor(t)
	a, other := d.newApp(nil), d.newApp(func(c *client.Client) { c.Name = "Other" })
	revoke := func(by app, token string) {
		t.Helper()
		if status, out := by.call(d, "/oauth2/v2.0/revoke", url.Values{"token": {token}}); status != http.StatusOK {
			t.Fatalf("revoke: %d %v", status, out)
		}
	}
	tokens := a.tokens(d, "openid offline_access")
	access, refresh := str(tokens, "access_token"), str(tokens, "refresh_token")
	for name, foreign := range map[string]func(){
		"another client's access token":  func() { revoke(other, access) },
		"another client's refresh token": func() { revoke(other, refresh) },
		"garbage":                        func() { revoke(a, "x") },
	} {
		foreign()
		if got := d.userinfo(access); got.StatusCode != http.StatusOK {
			t.Fatalf("after revoking %s: %d", name, got.StatusCode)
		}
	}
	revoke(a, access)
	if got := d.userinfo(access); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("revoked access token: %d", got.StatusCode)
	}
	status, next := a.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
	if status != http.StatusOK {
		t.Fatalf("refresh after that: %d %v", status, next)
	}
	revoke(a, str(next, "refresh_token"))
	status, out := a.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {str(next, "refresh_token")}})
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 50173)
	if got := d.userinfo(str(next, "access_token")); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("access token of a revoked family: %d", got.StatusCode)
	}
	if status, out := (app{a.Client, "wrong"}).call(d, "/oauth2/v2.0/revoke", url.Values{"token": {"x"}}); status != http.StatusUnauthorized {
		t.Errorf("wrong secret: %d %v", status, out)
	}
	// A public client may end what is its own.
	public := d.newApp(func(c *client.Client) {
		c.Name, c.Auth, c.Grants = "Public", "none", []string{"authorization_code", "refresh_token"}
	})
	mine := public.tokens(d, "openid offline_access")
	revoke(public, str(mine, "refresh_token"))
	if got := d.userinfo(str(mine, "access_token")); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("public client's token: %d", got.StatusCode)
	}
}

// T39: every kind of token at every endpoint that takes one. Only its own
// place accepts it.
func TestSec_TOK01_KindsAndEndpoints(t *testing.T) {
	d := newDoor(t)
	k := testKey(t, "ES256")
	a := d.newApp(nil)
	byKey := d.newApp(func(c *client.Client) { c.Name, c.Auth, c.JWKS = "Key", "private_key_jwt", k.set() })
	b := d.browser()
	tokens := a.tokensOf(d, b, "openid offline_access", d.ada)
	own := func() string {
		_, out := a.token(d, url.Values{"grant_type": {"client_credentials"}})
		return str(out, "access_token")
	}
	assertion := func() string {
		return k.sign(t, map[string]any{"iss": byKey.ID, "sub": byKey.ID, "aud": d.issuer(), "jti": d.clock().String(), "exp": d.clock().Unix() + 60}, nil)
	}
	sealed, err := d.box.Seal(t.Context(), d.tenant.ID, "nonce", time.Minute, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]func() string{
		"access token":     func() string { return str(tokens, "access_token") },
		"app's token":      own,
		"ID token":         func() string { return str(tokens, "id_token") },
		"refresh token":    func() string { return str(tokens, "refresh_token") },
		"code":             func() string { return a.code(d) },
		"client assertion": assertion,
		"sealed nonce":     func() string { return sealed },
		"flow handle":      func() string { return d.browser().authorize(a.ask()).shown(t).Handle },
	}
	accepts := map[string]struct {
		kind string
		try  func(token string) bool
	}{
		"userinfo": {"access token", func(s string) bool { return d.userinfo(s).StatusCode == 200 }},
		"introspect": {"access token, app's token", func(s string) bool {
			_, o := a.call(d, "/oauth2/v2.0/introspect", url.Values{"token": {s}})
			return o["active"] == true
		}},
		"refresh": {"refresh token", func(s string) bool {
			status, _ := a.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s}})
			return status == 200
		}},
		"redeem": {"code", func(s string) bool { status, _ := a.token(d, a.redeem(s)); return status == 200 }},
		"client authentication": {"client assertion", func(s string) bool {
			status, _ := byKey.token(d, url.Values{"grant_type": {"client_credentials"}, "client_assertion": {s},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
			return status == 200
		}},
		"client secret": {"", func(s string) bool {
			status, _ := app{a.Client, s}.token(d, url.Values{"grant_type": {"client_credentials"}})
			return status == 200
		}},
		"hint": {"ID token", func(s string) bool {
			return b.authorize(a.ask("prompt", "none", "id_token_hint", s)).back(t, callback).Has("code")
		}},
		"logout hint": {"ID token", func(s string) bool {
			return d.browser().get(d.at("/oauth2/v2.0/logout?id_token_hint="+url.QueryEscape(s))).StatusCode == http.StatusSeeOther
		}},
		"logout confirmation": {"", func(s string) bool {
			return b.post(d.at("/oauth2/v2.0/logout"), url.Values{"confirmation": {s}}).StatusCode == http.StatusSeeOther
		}},
	}
	for place, p := range accepts {
		for kind, make := range kinds {
			want := false
			for _, k := range strings.Split(p.kind, ", ") {
				want = want || k == kind
			}
			if got := p.try(make()); got != want {
				t.Errorf("%s at %s: accepted %v", kind, place, got)
			}
		}
	}
}

// T46: two tenants with the same names everywhere; nothing of one is any good
// at the other.
func TestSec_ADM01_CrossTenant(t *testing.T) {
	d := newDoor(t)
	k := testKey(t, "ES256")
	here := d.newApp(nil)
	other := d.newTenant("Nordhafen", "other.example")
	otherAda := d.newUser(other.ID, "ada@other.example")
	twin := d.newApp(func(c *client.Client) { c.Tenant = other.ID })
	twinKey := d.newApp(func(c *client.Client) { c.Tenant, c.Name, c.Auth, c.JWKS = other.ID, "Key", "private_key_jwt", k.set() })
	b := d.browser()
	tokens := here.tokensOf(d, b, "openid offline_access", d.ada)
	code := here.code(d)

	at := func(path string) string { return d.url + "/" + string(other.ID) + path }
	post := func(a app, path string, v url.Values) (int, map[string]any) {
		t.Helper()
		req, err := http.NewRequest("POST", at(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(string(a.ID), a.secret)
		return d.send(req, v)
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {str(tokens, "refresh_token")}}
	for name, v := range map[string]url.Values{"code": here.redeem(code), "refresh": refresh, "client credentials": {"grant_type": {"client_credentials"}}} {
		if status, out := post(here, "/oauth2/v2.0/token", v); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
			t.Errorf("%s by this tenant's client there: %d %v", name, status, out)
		}
		if name == "client credentials" {
			continue
		}
		if status, out := post(twin, "/oauth2/v2.0/token", v); status != http.StatusBadRequest || out["error"] != "invalid_grant" {
			t.Errorf("%s by the twin there: %d %v", name, status, out)
		}
	}
	if _, out := post(twin, "/oauth2/v2.0/introspect", url.Values{"token": {str(tokens, "access_token")}}); out["active"] != false {
		t.Errorf("introspection there: %v", out)
	}
	post(twin, "/oauth2/v2.0/revoke", url.Values{"token": {str(tokens, "refresh_token")}})
	if got := d.userinfo(str(tokens, "access_token")); got.StatusCode != http.StatusOK {
		t.Errorf("revoked from the other tenant: %d", got.StatusCode)
	}
	req, err := http.NewRequest("GET", at("/openid/userinfo"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+str(tokens, "access_token"))
	if got := d.browser().do(req); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("userinfo there: %d %s", got.StatusCode, got.body)
	}
	// Ada's session here opens nothing there.
	got := b.get(at("/oauth2/v2.0/authorize?" + twin.ask("prompt", "none").Encode()))
	if heard := got.back(t, callback); heard.Get("error") != "login_required" || heard.Get("iss") == d.issuer() {
		t.Errorf("session there: %v", heard)
	}
	got = b.get(at("/oauth2/v2.0/authorize?" + twin.ask("prompt", "none", "id_token_hint", str(tokens, "id_token")).Encode()))
	if heard := got.back(t, callback); heard.Get("error") != "invalid_request" {
		t.Errorf("hint there: %v", heard)
	}
	page := b.get(at("/oauth2/v2.0/authorize?" + twin.ask().Encode())).shown(t)
	if got := b.post(d.at("/test/answer"), url.Values{"handle": {page.Handle}, "payload": {`{"user":"` + string(d.ada.ID) + `"}`}}); got.StatusCode != http.StatusGone {
		t.Errorf("flow of there, here: %d %s", got.StatusCode, got.body)
	}
	if out := b.prove(page.Handle, otherAda).back(t, callback); out.Get("code") == "" {
		t.Errorf("the right person there: %v", out)
	}
	assertion := k.sign(t, map[string]any{"iss": twinKey.ID, "sub": twinKey.ID, "aud": d.issuer(), "jti": "x", "exp": d.clock().Unix() + 60}, nil)
	status, out := twinKey.token(d, url.Values{"grant_type": {"client_credentials"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
	if status != http.StatusUnauthorized {
		t.Errorf("assertion of a client of there, here: %d %v", status, out)
	}
	// Keys: what the other tenant signed is not in this one's set.
	raw, err := json.Marshal(d.document("/" + string(d.tenant.ID) + "/discovery/v2.0/keys"))
	var mine jose.JSONWebKeySet
	if err != nil || json.Unmarshal(raw, &mine) != nil {
		t.Fatal(err)
	}
	for _, theirs := range d.document("/" + string(other.ID) + "/discovery/v2.0/keys")["keys"].([]any) {
		if len(mine.Key(theirs.(map[string]any)["kid"].(string))) > 0 {
			t.Error("the tenants share a key")
		}
	}
}

func TestSec_OAU16_Logout(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	const bye = "https://wiki.example/bye"
	logout := func(b *browser, pairs ...string) answer {
		t.Helper()
		return b.get(b.at("/oauth2/v2.0/logout?" + set(url.Values{}, pairs...).Encode()))
	}
	signedIn := func(b *browser) bool {
		t.Helper()
		return b.authorize(a.ask("prompt", "none")).back(t, callback).Has("code")
	}

	t.Run("with a hint", func(t *testing.T) {
		b := d.browser()
		tokens := a.tokensOf(d, b, "openid offline_access", d.ada)
		heard := logout(b, "id_token_hint", str(tokens, "id_token"), "post_logout_redirect_uri", bye, "state", "s&t").back(t, bye+"?")
		if heard.Get("state") != "s&t" || signedIn(b) {
			t.Errorf("answers %v, signed in %v", heard, signedIn(b))
		}
		status, out := a.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {str(tokens, "refresh_token")}})
		wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 50173)
		if got := d.userinfo(str(tokens, "access_token")); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("userinfo afterwards: %d", got.StatusCode)
		}
		// Once more: nobody is signed in, and the way back still works.
		logout(b, "id_token_hint", str(tokens, "id_token"), "post_logout_redirect_uri", bye).back(t, bye)
	})
	t.Run("without a hint the person is asked", func(t *testing.T) {
		b := d.browser()
		b.signIn(a.ask(), d.ada)
		got := logout(b, "client_id", string(a.ID), "post_logout_redirect_uri", bye, "state", "s")
		got.page(t, "logout")
		var p oidc.LogoutPrompt
		if err := json.Unmarshal([]byte(got.body), &p); err != nil {
			t.Fatal(err)
		}
		if p.ClientName != "Wiki" || p.User.ID != d.ada.ID || p.LeadsTo != "https://wiki.example" || !signedIn(b) {
			t.Errorf("prompt is %+v", p)
		}
		v := url.Values{}
		for _, f := range p.Fields {
			v.Set(f.Name, f.Value)
		}
		// The confirmation of this session is no good elsewhere, nor by GET.
		stranger := d.browser()
		stranger.signIn(a.ask(), d.bob)
		stranger.post(d.url+p.Action, v).page(t, "logout")
		b.get(d.url+p.Action+"?"+v.Encode()).page(t, "logout")
		if heard := b.post(d.url+p.Action, v).back(t, bye+"?"); heard.Get("state") != "s" || signedIn(b) {
			t.Errorf("answers %v", heard)
		}
		if !signedIn(stranger) {
			t.Error("the stranger was signed out")
		}
	})
	t.Run("nothing sent", func(t *testing.T) {
		b := d.browser()
		b.signIn(a.ask(), d.ada)
		logout(b).page(t, "logout")
		b.post(b.at("/oauth2/logout"), url.Values{}).page(t, "logout")
		logout(d.browser()).back(t, "/signed-out")
	})
	t.Run("hint of another session", func(t *testing.T) {
		b, elsewhere := d.browser(), d.browser()
		old := a.tokensOf(d, elsewhere, "openid", d.ada)
		b.signIn(a.ask(), d.ada)
		logout(b, "id_token_hint", str(old, "id_token")).page(t, "logout")
		ofBob := a.tokensOf(d, d.browser(), "openid", d.bob)
		logout(b, "id_token_hint", str(ofBob, "id_token")).back(t, "/signed-out")
		if !signedIn(b) || !signedIn(elsewhere) {
			t.Error("somebody was signed out by another's hint")
		}
	})
	t.Run("refused", func(t *testing.T) {
		b := d.browser()
		tokens := a.tokensOf(d, b, "openid", d.ada)
		other := d.newApp(func(c *client.Client) { c.Name = "Other"; c.PostLogoutURIs = []string{"https://other.example/bye"} })
		for name, pairs := range map[string][]string{
			"unregistered address":          {"id_token_hint", str(tokens, "id_token"), "post_logout_redirect_uri", "https://evil.example"},
			"another app's address":         {"id_token_hint", str(tokens, "id_token"), "post_logout_redirect_uri", "https://other.example/bye"},
			"the sign-in address":           {"id_token_hint", str(tokens, "id_token"), "post_logout_redirect_uri", callback},
			"address without an app":        {"post_logout_redirect_uri", bye},
			"unknown app":                   {"client_id", "33333333-3333-4333-8333-333333333333", "post_logout_redirect_uri", bye},
			"client_id against the hint":    {"id_token_hint", str(tokens, "id_token"), "client_id", string(other.ID)},
			"hint that is no token":         {"id_token_hint", "x"},
			"hint with another signature":   {"id_token_hint", str(tokens, "id_token")[:len(str(tokens, "id_token"))-4] + "AAAA"},
			"access token as hint":          {"id_token_hint", str(tokens, "access_token")},
			"state with control characters": {"id_token_hint", str(tokens, "id_token"), "post_logout_redirect_uri", bye, "state", "a\r\nb"},
		} {
			got := logout(b, pairs...)
			if got.Header.Get("X-Page") != "error" || got.Header.Get("Location") != "" {
				t.Errorf("%s: %d page %q to %q", name, got.StatusCode, got.Header.Get("X-Page"), got.Header.Get("Location"))
			}
		}
		v := url.Values{"id_token_hint": {str(tokens, "id_token")}, "state": {"a", "b"}}
		b.get(b.at("/oauth2/v2.0/logout?"+v.Encode())).page(t, "error")
		if !signedIn(b) {
			t.Error("a refused request signed somebody out")
		}
	})
}

// A session ended elsewhere ends at every endpoint, not only where it ended.
func TestSessionEndsTokens(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	tokens := a.tokens(d, "openid offline_access")
	sid := idp.SessionID(str(payload(t, str(tokens, "id_token")), "sid"))
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		if err := d.sessions.End(ctx, tx, d.tenant.ID, sid); err != nil {
			return err
		}
		return d.tokens.RevokeSession(ctx, tx, d.tenant.ID, d.ada.ID, sid)
	})
	if got := d.userinfo(str(tokens, "access_token")); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", got.StatusCode)
	}
	if _, out := a.call(d, "/oauth2/v2.0/introspect", url.Values{"token": {str(tokens, "access_token")}}); out["active"] != false {
		t.Errorf("introspection: %v", out)
	}
}

// Product.md §7: an API answers in its own form, also to a wrong method, and
// also where the pages of the product take every address.
func TestWrongMethodIsAnsweredAsAnAPI(t *testing.T) {
	d := newDoor(t)
	d.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusNotFound) })
	for path, allow := range map[string]string{
		"/oauth2/v2.0/token": "POST", "/oauth2/token": "POST", "/oauth2/v2.0/introspect": "POST", "/oauth2/v2.0/revoke": "POST",
		"/openid/userinfo": "GET, POST", "/v2.0/.well-known/openid-configuration": "GET", "/.well-known/openid-configuration": "GET",
		"/discovery/v2.0/keys": "GET", "/discovery/keys": "GET",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "SPURIOUS"} {
			if strings.Contains(allow, method) {
				continue
			}
			req, err := http.NewRequest(method, d.at(path), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := d.browser().do(req)
			var out map[string]any
			if err := json.Unmarshal([]byte(got.body), &out); err != nil {
				t.Errorf("%s %s: %d %q", method, path, got.StatusCode, got.body)
				continue
			}
			wantError(t, got.StatusCode, out, http.StatusMethodNotAllowed, "invalid_request", 9002313)
			if got.Header.Get("Allow") != allow {
				t.Errorf("%s %s: allowed are %q", method, path, got.Header.Get("Allow"))
			}
		}
	}
}

// An application that was removed or switched off learns nothing more about
// people, whatever it still holds.
func TestSec_SES03_ApplicationGone(t *testing.T) {
	d := newDoor(t)
	gone, off := d.newApp(func(c *client.Client) { c.Name = "Gone" }), d.newApp(func(c *client.Client) { c.Name = "Off" })
	ofGone, ofOff := gone.tokens(d, "openid profile email"), off.tokens(d, "openid profile email")
	for _, tokens := range []map[string]any{ofGone, ofOff} {
		if got := d.userinfo(str(tokens, "access_token")); got.StatusCode != http.StatusOK {
			t.Fatalf("userinfo before: %d", got.StatusCode)
		}
	}
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		if err := d.clients.Delete(ctx, tx, d.tenant.ID, gone.ID); err != nil {
			return err
		}
		c := off.Client
		c.Enabled = false
		_, err := d.clients.Update(ctx, tx, c)
		return err
	})
	for name, tokens := range map[string]map[string]any{"removed": ofGone, "switched off": ofOff} {
		// The notice of a change reaches caches within a second or two.
		deadline := time.Now().Add(10 * time.Second)
		for d.userinfo(str(tokens, "access_token")).StatusCode == http.StatusOK {
			if time.Now().After(deadline) {
				t.Fatalf("userinfo goes on telling an application that was %s", name)
			}
		}
	}
}

// Tokens that are redeemed beside a sign-out end with it: on neither database
// does the one overlook the other.
func TestSec_SES03_SignOutBesideRedemption(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		d := newDoorOn(t, db)
		a := d.newApp(nil)
		survived := 0
		for range 60 {
			code := d.browser().signIn(a.ask(), d.ada).Get("code")
			var out map[string]any
			var wg sync.WaitGroup
			start := make(chan struct{})
			wg.Go(func() { <-start; _, out = a.token(d, a.redeem(code)) })
			wg.Go(func() {
				<-start
				d.write(func(ctx context.Context, tx *sqldb.Tx) error {
					if _, err := d.sessions.EndAll(ctx, tx, d.tenant.ID, d.ada.ID, ""); err != nil {
						return err
					}
					return d.tokens.RevokeUser(ctx, tx, d.tenant.ID, d.ada.ID)
				})
			})
			close(start)
			wg.Wait()
			if token := str(out, "refresh_token"); token != "" {
				if status, _ := a.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}); status == http.StatusOK {
					survived++
				}
			}
		}
		if survived > 0 {
			t.Errorf("%d refresh tokens outlived the sign-out beside them", survived)
		}
	})
}
