package oidc_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// code signs ada in and gives a fresh code of the app.
func (a app) code(d *door, pairs ...string) string {
	d.t.Helper()
	heard := d.browser().signIn(a.ask(pairs...), d.ada)
	if heard.Get("code") == "" {
		d.t.Fatalf("no code: %v", heard)
	}
	return heard.Get("code")
}

func set(v url.Values, pairs ...string) url.Values {
	for n := 0; n < len(pairs); n += 2 {
		if pairs[n+1] == "" {
			v.Del(pairs[n])
		} else {
			v.Set(pairs[n], pairs[n+1])
		}
	}
	return v
}

func TestRedeem(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	status, out := a.token(d, a.redeem(a.code(d)))
	if status != http.StatusOK || out["token_type"] != "Bearer" || out["expires_in"] != float64(3600) ||
		out["scope"] != "openid profile email offline_access" || str(out, "refresh_token") == "" {
		t.Fatalf("reply is %d %v", status, out)
	}
	id := payload(t, str(out, "id_token"))
	for name, want := range map[string]any{
		"iss": d.issuer(), "aud": string(a.ID), "sub": string(d.ada.ID), "nonce": "the nonce", "acr": "phr",
		"name": "Ada", "preferred_username": "ada@nordhafen.example", "email": "ada@nordhafen.example", "tid": string(d.tenant.ID),
	} {
		if id[name] != want {
			t.Errorf("ID token: %s is %v, want %v", name, id[name], want)
		}
	}
	for _, name := range []string{"exp", "iat", "auth_time", "at_hash", "sid", "amr"} {
		if id[name] == nil {
			t.Errorf("ID token lacks %s", name)
		}
	}
	access := payload(t, str(out, "access_token"))
	if access["aud"] != d.issuer() || access["client_id"] != string(a.ID) {
		t.Errorf("access token: %v", access)
	}
	// Without openid there is no ID token, without offline_access no refresh
	// token.
	_, out = a.token(d, a.redeem(a.code(d, "scope", "notes.read")))
	if out["id_token"] != nil || out["refresh_token"] != nil || payload(t, str(out, "access_token"))["aud"] != string(a.ID) {
		t.Errorf("scope notes.read: %v", out)
	}
}

func TestSec_OAU03_CodeIsBound(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	thief := d.newApp(func(c *client.Client) { c.Name = "Thief" })
	wrong := strings.Repeat("x", 43)
	for _, c := range []struct {
		name string
		by   app
		edit []string
		word string
		code int
	}{
		{"other client", thief, nil, "invalid_grant", 70000},
		{"other redirect", a, []string{"redirect_uri", "https://wiki.example/cb2"}, "invalid_grant", 70000},
		{"redirect missing", a, []string{"redirect_uri", ""}, "invalid_grant", 70000},
		{"verifier missing", a, []string{"code_verifier", ""}, "invalid_grant", 501481},
		{"other verifier", a, []string{"code_verifier", wrong}, "invalid_grant", 501481},
		{"other resource", a, []string{"resource", "api://drawings"}, "invalid_target", 500011},
	} {
		t.Run(c.name, func(t *testing.T) {
			code := a.code(d)
			status, out := c.by.token(d, set(a.redeem(code), c.edit...))
			wantError(t, status, out, http.StatusBadRequest, c.word, c.code)
			// The wrong try has used the code up.
			status, out = a.token(d, a.redeem(code))
			wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 54005)
		})
	}
	for name, code := range map[string]string{"garbage": "x", "empty": "", "huge": strings.Repeat("x", 20<<10)} {
		status, out := a.token(d, a.redeem(code))
		if status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
}

func TestSec_OAU03_CodeIsShortLived(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	code := a.code(d)
	d.advance(61 * time.Second)
	status, out := a.token(d, a.redeem(code))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 70008)
}

// A second use revokes what the first one made.
func TestSec_OAU03_CodeTwiceRevokes(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	code := a.code(d)
	_, first := a.token(d, a.redeem(code))
	if got := d.userinfo(str(first, "access_token")); got.StatusCode != http.StatusOK {
		t.Fatalf("userinfo: %d %s", got.StatusCode, got.body)
	}
	status, out := a.token(d, a.redeem(code))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 54005)
	status, out = a.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {str(first, "refresh_token")}})
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 50173)
	if got := d.userinfo(str(first, "access_token")); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("userinfo after the replay: %d", got.StatusCode)
	}
	if found := d.recorded(); found["token.code_replay failure"] != 1 {
		t.Errorf("events are %v", found)
	}
}

// So does one that comes after the code's minute, however late, and once.
func TestSec_OAU03_LateReplayRevokes(t *testing.T) {
	for name, after := range map[string]time.Duration{"a second": 61 * time.Second, "a month": 30 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			a := d.newApp(nil)
			b := d.browser()
			code, never := b.signIn(a.ask(), d.ada).Get("code"), b.authorize(a.ask()).back(t, callback).Get("code")
			_, first := a.token(d, a.redeem(code))
			d.advance(after)
			status, out := a.token(d, a.redeem(never))
			wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 70008)
			status, first = a.token(d, refreshForm(str(first, "refresh_token")))
			if status != http.StatusOK {
				t.Fatalf("refresh: %d %v", status, first)
			}
			status, out = a.token(d, a.redeem(code))
			wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 54005)
			status, out = a.token(d, refreshForm(str(first, "refresh_token")))
			wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 50173)
			status, out = a.token(d, a.redeem(code))
			wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 70008)
			if found := d.recorded(); found["token.code_replay failure"] != 1 {
				t.Errorf("events are %v", found)
			}
		})
	}
}

// recorded counts the events of the tenant by activity and outcome.
func (d *door) recorded() map[string]int {
	d.t.Helper()
	events, err := d.audit.List(d.t.Context(), d.db, d.tenant.ID, audit.Filter{Limit: 100})
	if err != nil {
		d.t.Fatal(err)
	}
	found := map[string]int{}
	for _, e := range events {
		if e.Client != "" {
			found[e.Activity+" "+e.Outcome]++
		}
	}
	return found
}

// Every sign-in to an application is recorded once (LOG01): where a person
// was asked, by the corridor; where an open session was enough, when the code
// is redeemed.
func TestSec_LOG01_SignInIsRecordedOnce(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	asked := b.signIn(a.ask(), d.ada)
	if status, out := a.token(d, a.redeem(asked.Get("code"))); status != http.StatusOK {
		t.Fatalf("%d %v", status, out)
	}
	if got := d.recorded(); got["signin.done success"] != 1 || got["token.code success"] != 0 {
		t.Errorf("after a gesture: %v", got)
	}
	silent := b.authorize(a.ask()).back(t, a.RedirectURIs[0])
	if status, out := a.token(d, a.redeem(silent.Get("code"))); status != http.StatusOK {
		t.Fatalf("%d %v", status, out)
	}
	if got := d.recorded(); got["signin.done success"] != 1 || got["token.code success"] != 1 {
		t.Errorf("after a sign-in without a gesture: %v", got)
	}
	wrong := a.redeem(b.authorize(a.ask()).back(t, a.RedirectURIs[0]).Get("code"))
	wrong.Set("code_verifier", strings.Repeat("x", 43))
	if status, out := a.token(d, wrong); status != http.StatusBadRequest {
		t.Fatalf("%d %v", status, out)
	}
	if got := d.recorded(); got["token.code failure"] != 1 {
		t.Errorf("after a refused code: %v", got)
	}
}

// Of many parallel redemptions one wins, and since the others prove that the
// code is in two hands, what it won is revoked (T42).
func TestSec_OAU03_ParallelRedeem(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		d := newDoorOn(t, db)
		a := d.newApp(nil)
		code := a.code(d)
		const callers = 20
		type result struct {
			status int
			out    map[string]any
		}
		results := make([]result, callers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for n := range callers {
			wg.Go(func() {
				<-start
				results[n].status, results[n].out = a.token(d, a.redeem(code))
			})
		}
		close(start)
		wg.Wait()
		var won map[string]any
		for _, r := range results {
			switch {
			case r.status == http.StatusOK && won != nil:
				t.Fatal("two winners")
			case r.status == http.StatusOK:
				won = r.out
			case r.status != http.StatusBadRequest || r.out["error"] != "invalid_grant":
				t.Errorf("loser gets %d %v", r.status, r.out)
			}
		}
		if won == nil {
			t.Fatal("no winner")
		}
		status, out := a.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {str(won, "refresh_token")}})
		wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 50173)
		if got := d.userinfo(str(won, "access_token")); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("userinfo with the winner's token: %d", got.StatusCode)
		}
	})
}

func TestCodeDiesWithSessionAndUser(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	heard := b.signIn(a.ask(), d.ada)
	b.post(b.at("/oauth2/v2.0/logout"), url.Values{})
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := d.sessions.EndAll(ctx, tx, d.tenant.ID, d.ada.ID, "")
		return err
	})
	status, out := a.token(d, a.redeem(heard.Get("code")))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 50133)

	code := a.code(d)
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return d.directory.SetEnabled(ctx, tx, d.tenant.ID, d.ada.ID, false)
	})
	status, out = a.token(d, a.redeem(code))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 50057)
}

func TestSec_OAU08_Refresh(t *testing.T) {
	d := newDoor(t)
	a, other := d.newApp(nil), d.newApp(func(c *client.Client) { c.Name = "Other" })
	refresh := func(a app, token string, pairs ...string) (int, map[string]any) {
		t.Helper()
		return a.token(d, set(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, pairs...))
	}
	first := a.tokens(d, "openid profile offline_access")
	status, second := refresh(a, str(first, "refresh_token"))
	if status != http.StatusOK || str(second, "refresh_token") == str(first, "refresh_token") || str(second, "id_token") == "" {
		t.Fatalf("refresh: %d %v", status, second)
	}
	before, after := payload(t, str(first, "id_token")), payload(t, str(second, "id_token"))
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "acr", "sid"} {
		if before[name] != after[name] {
			t.Errorf("%s was %v, is %v", name, before[name], after[name])
		}
	}
	if status, out := refresh(other, str(second, "refresh_token")); status != http.StatusBadRequest || out["error"] != "invalid_grant" {
		t.Errorf("another client: %d %v", status, out)
	}
	// Scope and audience only shrink.
	status, out := refresh(a, str(second, "refresh_token"), "scope", "openid profile email")
	wantError(t, status, out, http.StatusBadRequest, "invalid_scope", 70011)
	d.advance(11 * time.Second) // beyond the overlap: what was refused must not have rotated
	status, third := refresh(a, str(second, "refresh_token"), "scope", "profile")
	if status != http.StatusOK || third["scope"] != "profile" || third["id_token"] != nil || str(third, "refresh_token") == "" {
		t.Fatalf("narrowed: %d %v", status, third)
	}
	status, out = refresh(a, str(third, "refresh_token"), "resource", "api://drawings")
	wantError(t, status, out, http.StatusBadRequest, "invalid_target", 500011)
	// An old one, late: the family ends.
	d.advance(11 * time.Second)
	status, out = refresh(a, str(first, "refresh_token"))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 50173)
	status, out = refresh(a, str(third, "refresh_token"))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 50173)

	noOffline := d.newApp(func(c *client.Client) { c.Name = "No refresh"; c.Grants = []string{"authorization_code"} })
	tokens := noOffline.tokens(d, "openid offline_access")
	status, out = refresh(noOffline, str(tokens, "refresh_token"))
	if status != http.StatusBadRequest {
		t.Errorf("client without the grant: %d %v", status, out)
	}
	for name, bad := range map[string]string{"garbage": "x", "missing": "", "huge": strings.Repeat("x", 20<<10), "access token": str(first, "access_token")} {
		if status, out := refresh(a, bad); status != http.StatusBadRequest || name != "missing" && (fmt.Sprint(out["error_codes"]) != "[70000]" || out["suberror"] != "bad_token") {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
}

// A client hears whether another token would do, or the person has to sign in
// (device-protocol.md §3.2).
func TestRefusedRefreshSaysWhatToDo(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	revoked := a.tokens(d, "openid offline_access")
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return d.tokens.RevokeGrant(ctx, tx, d.tenant.ID, d.ada.ID, a.ID)
	})
	late := a.tokens(d, "openid offline_access")
	check := func(name, token string, code int, sub string) {
		t.Helper()
		status, out := a.token(d, refreshForm(token))
		wantError(t, status, out, http.StatusBadRequest, "invalid_grant", code)
		if out["suberror"] != sub {
			t.Errorf("%s: suberror %v, want %s", name, out["suberror"], sub)
		}
	}
	check("revoked", str(revoked, "refresh_token"), 50173, "bad_token")
	d.advance(90 * 24 * time.Hour) // token.FamilyLives
	check("late", str(late, "refresh_token"), 70008, "token_expired")
}

// A token that is bound to a key is refused, and not silently one for the bearer
// (device-protocol.md §9.4); what the request had stays good.
func TestSec_OAU08_NoSilentBearer(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	first := a.tokens(d, "openid offline_access")
	cnf := b64url.EncodeToString([]byte(`{"kid":"x"}`))
	for name, pairs := range map[string][]string{
		"both": {"token_type", "pop", "req_cnf", cnf}, "the key alone": {"req_cnf", cnf}, "the type alone": {"token_type", "PoP"}, "another type": {"token_type", "ssh-cert"},
	} {
		for kind, form := range map[string]url.Values{
			"refresh": refreshForm(str(first, "refresh_token")), "code": a.redeem(a.code(d)),
			"device": {"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "request": {"x.y.z"}},
		} {
			status, out := a.token(d, set(form, pairs...))
			wantError(t, status, out, http.StatusBadRequest, "invalid_request", 9002313)
			if !strings.Contains(str(out, "error_description"), "bearer") || out["access_token"] != nil {
				t.Errorf("%s, %s: %v", name, kind, out)
			}
		}
	}
	code := a.code(d)
	if status, out := a.token(d, set(a.redeem(code), "req_cnf", cnf)); status != http.StatusBadRequest {
		t.Fatalf("%d %v", status, out)
	}
	for name, form := range map[string]url.Values{"code": a.redeem(code), "refresh": set(refreshForm(str(first, "refresh_token")), "token_type", "bearer")} {
		if status, out := a.token(d, form); status != http.StatusOK || out["token_type"] != "Bearer" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
}

func TestClientCredentials(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	public := d.newApp(func(c *client.Client) {
		c.Name, c.Kind, c.Auth, c.Grants = "Public", "native", "none", []string{"authorization_code"}
		c.RedirectURIs = []string{"http://127.0.0.1/cb"}
		c.PostLogoutURIs = nil
	})
	grant := url.Values{"grant_type": {"client_credentials"}}
	status, out := a.token(d, set(grant, "scope", "api://drawings/.default"))
	if status != http.StatusOK || out["scope"] != "api://drawings/view api://drawings/edit" || out["refresh_token"] != nil || out["id_token"] != nil {
		t.Fatalf("reply is %d %v", status, out)
	}
	c := payload(t, str(out, "access_token"))
	if c["aud"] != "api://drawings" || c["sub"] != string(a.ID) || c["oid"] != nil {
		t.Errorf("token says %v", c)
	}
	status, out = a.token(d, set(grant, "scope", "openid"))
	wantError(t, status, out, http.StatusBadRequest, "invalid_scope", 70011)
	status, out = public.token(d, set(grant, "scope", ""))
	wantError(t, status, out, http.StatusBadRequest, "unauthorized_client", 70001)
}

func TestSec_OAU04_GrantTypes(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	for _, g := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:token-exchange", "PASSWORD"} {
		status, out := a.token(d, url.Values{"grant_type": {g}, "username": {d.ada.Name}, "password": {"hunter2"}})
		wantError(t, status, out, http.StatusBadRequest, "unsupported_grant_type", 70003)
	}
	status, out := a.token(d, url.Values{})
	wantError(t, status, out, http.StatusBadRequest, "invalid_request", 900144)
	req, err := http.NewRequest("POST", d.at("/oauth2/v2.0/token?grant_type=client_credentials"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, out := d.send(req, url.Values{"client_id": {string(a.ID)}}); status != http.StatusBadRequest {
		t.Errorf("parameters in the address: %d %v", status, out)
	}
	if got := d.browser().get(d.at("/oauth2/v2.0/token?grant_type=client_credentials")); got.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", got.StatusCode)
	}
}

func TestErrorBody(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	req, err := http.NewRequest("POST", d.at("/oauth2/token"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Client-Request-Id", "0B5FB7A1-3C4D-4E5F-8A9B-0C1D2E3F4A5B")
	status, out := d.send(req, url.Values{"grant_type": {"password"}, "client_id": {string(a.ID)}})
	wantError(t, status, out, http.StatusBadRequest, "unsupported_grant_type", 70003)
	if out["correlation_id"] != "0b5fb7a1-3c4d-4e5f-8a9b-0c1d2e3f4a5b" || out["correlation_id"] == out["trace_id"] {
		t.Errorf("ids are %v and %v", out["correlation_id"], out["trace_id"])
	}
	if _, err := time.Parse("2006-01-02 15:04:05Z", str(out, "timestamp")); err != nil {
		t.Error(err)
	}
	told := " Trace ID: " + str(out, "trace_id") + " Correlation ID: " + str(out, "correlation_id") + " Timestamp: " + str(out, "timestamp")
	if !strings.HasSuffix(str(out, "error_description"), told) {
		t.Errorf("description is %q", out["error_description"])
	}
}

func TestSec_OAU09_ClientAuthentication(t *testing.T) {
	d := newDoor(t)
	grants := []string{"client_credentials"}
	var none, both, basic, post app
	for auth, into := range map[string]*app{"secret": &both, "client_secret_basic": &basic, "client_secret_post": &post} {
		*into = d.newApp(func(c *client.Client) { c.Name, c.Auth, c.Grants = auth, auth, grants })
	}
	none = d.newApp(func(c *client.Client) {
		c.Name, c.Auth, c.Grants = "none", "none", []string{"refresh_token", "authorization_code"}
	})
	call := func(a app, method, secret string) (int, map[string]any) {
		t.Helper()
		req, err := http.NewRequest("POST", d.at("/oauth2/v2.0/token"), nil)
		if err != nil {
			t.Fatal(err)
		}
		v := url.Values{"grant_type": {"client_credentials"}}
		if a.Auth == "none" {
			v = url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}
		}
		switch method {
		case "basic":
			req.SetBasicAuth(string(a.ID), secret)
		case "post":
			v.Set("client_id", string(a.ID))
			v.Set("client_secret", secret)
		case "none":
			v.Set("client_id", string(a.ID))
		case "both":
			req.SetBasicAuth(string(a.ID), secret)
			v.Set("client_secret", secret)
		}
		return d.send(req, v)
	}
	for _, c := range []struct {
		name, method, secret string
		a                    app
		status, code         int
		word                 string
	}{
		{"basic", "basic", basic.secret, basic, 200, 0, ""},
		{"post", "post", post.secret, post, 200, 0, ""},
		{"either: basic", "basic", both.secret, both, 200, 0, ""},
		{"either: post", "post", both.secret, both, 200, 0, ""},
		{"post where basic is registered", "post", basic.secret, basic, 401, 7000215, "invalid_client"},
		{"basic where post is registered", "basic", post.secret, post, 401, 7000215, "invalid_client"},
		{"wrong secret", "basic", basic.secret + "x", basic, 401, 7000215, "invalid_client"},
		{"empty secret", "basic", "", basic, 401, 7000215, "invalid_client"},
		{"another app's secret", "basic", post.secret, basic, 401, 7000215, "invalid_client"},
		{"two methods", "both", both.secret, both, 400, 9002313, "invalid_request"},
		{"nothing", "none", "", basic, 401, 7000218, "invalid_client"},
		{"public with a secret", "post", "x", none, 401, 700025, "invalid_client"},
		{"public", "none", "", none, 400, 70000, "invalid_grant"},
		{"unknown app", "basic", "x", app{Client: client.Client{ID: "33333333-3333-4333-8333-333333333333"}}, 401, 700016, "invalid_client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, out := call(c.a, c.method, c.secret)
			if c.word != "" {
				wantError(t, status, out, c.status, c.word, c.code)
				return
			}
			if status != 200 || str(out, "access_token") == "" {
				t.Errorf("got %d %v", status, out)
			}
		})
	}
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		c := basic.Client
		c.Enabled = false
		_, err := d.clients.Update(ctx, tx, c)
		return err
	})
	status, out := call(basic, "basic", basic.secret)
	wantError(t, status, out, http.StatusUnauthorized, "invalid_client", 7000112)
	events, err := d.audit.List(t.Context(), d.db, d.tenant.ID, audit.Filter{Category: audit.Token, Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]int{}
	for _, e := range events {
		if e.Activity == "token.client" && e.Outcome == audit.Failure && e.Code != 0 {
			reasons[e.Reason]++
		}
	}
	for _, r := range []string{"client_unproven", "client_auth_missing", "public_client_with_secret", "client_unknown", "client_disabled"} {
		if reasons[r] == 0 {
			t.Errorf("no record of %s: %v", r, reasons)
		}
	}
}

// signer makes client assertions.
type signer struct {
	alg jose.SignatureAlgorithm
	key any
	jwk jose.JSONWebKey
}

func newSigner(t testing.TB, alg jose.SignatureAlgorithm, kid string) signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer{alg, key, jose.JSONWebKey{Key: key.Public(), KeyID: kid, Algorithm: string(alg), Use: "sig"}}
}

// keys keeps one key an algorithm: RSA keys take long to make.
var keys sync.Map

func testKey(t testing.TB, alg string) signer {
	t.Helper()
	if k, ok := keys.Load(alg); ok {
		return k.(signer)
	}
	k, _ := keys.LoadOrStore(alg, newSigner(t, jose.SignatureAlgorithm(alg), "k"))
	return k.(signer)
}

// set is the JWKS with this key.
func (s signer) set() []byte {
	out, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.jwk}})
	if err != nil {
		panic(err) // a key that we made ourselves
	}
	return out
}

func (s signer) sign(t testing.TB, claims map[string]any, headers map[jose.HeaderKey]any) string {
	t.Helper()
	opts := (&jose.SignerOptions{}).WithHeader("kid", s.jwk.KeyID)
	for k, v := range headers {
		opts = opts.WithHeader(k, v)
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	m, err := made.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSec_OAU09_PrivateKeyJWT(t *testing.T) {
	d := newDoor(t)
	k, other, rs := newSigner(t, jose.ES256, "k1"), newSigner(t, jose.ES256, "k1"), newSigner(t, jose.PS256, "k2")
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k.jwk, rs.jwk}})
	if err != nil {
		t.Fatal(err)
	}
	a := d.newApp(func(c *client.Client) { c.Auth, c.JWKS = "private_key_jwt", jwks })
	serial := 0
	claims := func(pairs ...any) map[string]any {
		serial++
		now := d.clock().Unix()
		c := map[string]any{"iss": string(a.ID), "sub": string(a.ID), "aud": d.issuer(), "jti": fmt.Sprint("j", serial), "iat": now, "exp": now + 120}
		for n := 0; n < len(pairs); n += 2 {
			if pairs[n+1] == nil {
				delete(c, pairs[n].(string))
			} else {
				c[pairs[n].(string)] = pairs[n+1]
			}
		}
		return c
	}
	call := func(assertion string, pairs ...string) (int, map[string]any) {
		t.Helper()
		req, err := http.NewRequest("POST", d.at("/oauth2/v2.0/token"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return d.send(req, set(url.Values{"grant_type": {"client_credentials"}, "client_id": {string(a.ID)},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion}}, pairs...))
	}
	now := d.clock().Unix()
	for name, assertion := range map[string]string{
		"ES256": k.sign(t, claims(), nil), "PS256": rs.sign(t, claims(), nil), "audience in a list": k.sign(t, claims("aud", []string{d.issuer()}), nil),
		"typed": k.sign(t, claims(), map[jose.HeaderKey]any{"typ": "client-authentication+jwt"}),
	} {
		if status, out := call(assertion); status != http.StatusOK {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	if status, out := call(k.sign(t, claims(), nil), "client_id", ""); status != http.StatusOK {
		t.Errorf("client_id left to the assertion: %d %v", status, out)
	}
	twice := k.sign(t, claims(), nil)
	call(twice)
	es := k.sign(t, claims(), nil)
	parts := strings.Split(es, ".")
	unsigned := b64url.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
	for name, assertion := range map[string]string{
		"used before":           twice,
		"other key, same kid":   other.sign(t, claims(), nil),
		"token endpoint as aud": k.sign(t, claims("aud", d.at("/oauth2/v2.0/token")), nil),
		"another issuer as aud": k.sign(t, claims("aud", "https://id.example/v2.0"), nil),
		"two audiences":         k.sign(t, claims("aud", []string{d.issuer(), "https://evil.example"}), nil),
		"no audience":           k.sign(t, claims("aud", nil), nil),
		"another issuer":        k.sign(t, claims("iss", "x"), nil),
		"another subject":       k.sign(t, claims("sub", "x"), nil),
		"no exp":                k.sign(t, claims("exp", nil), nil),
		"expired":               k.sign(t, claims("exp", now-61), nil),
		"lives too long":        k.sign(t, claims("exp", now+3600), nil),
		"exp beyond all clocks": k.sign(t, claims("exp", 1e300), nil),
		"not yet":               k.sign(t, claims("nbf", now+300), nil),
		"issued in the future":  k.sign(t, claims("iat", now+300), nil),
		"no jti":                k.sign(t, claims("jti", nil), nil),
		"long jti":              k.sign(t, claims("jti", strings.Repeat("j", 300)), nil),
		"access token type":     k.sign(t, claims(), map[jose.HeaderKey]any{"typ": "at+jwt"}),
		"embedded key":          k.sign(t, claims(), map[jose.HeaderKey]any{"jku": "https://evil.example/keys"}),
		"critical header":       k.sign(t, claims(), map[jose.HeaderKey]any{"x5u": "https://evil.example"}),
		"unsigned":              unsigned,
		"no signature":          parts[0] + "." + parts[1] + ".",
		"other payload":         parts[0] + "." + b64url.EncodeToString([]byte(`{"iss":"x"}`)) + "." + parts[2],
		"psychic signature":     parts[0] + "." + parts[1] + "." + b64url.EncodeToString(make([]byte, 64)),
		"garbage":               "x.y.z",
		"huge":                  strings.Repeat("x", 9<<10),
	} {
		t.Run(name, func(t *testing.T) {
			status, out := call(assertion)
			wantError(t, status, out, http.StatusUnauthorized, "invalid_client", 700027)
		})
	}
	// Nor does a secret, or nothing, get in for such a client.
	status, out := call("", "client_assertion_type", "", "client_secret", "x")
	wantError(t, status, out, http.StatusUnauthorized, "invalid_client", 7000215)
}

// The same assertion from many connections at once: one gets in.
func TestSec_OAU09_AssertionOnce(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		d := newDoorOn(t, db)
		k := newSigner(t, jose.ES256, "k")
		jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k.jwk}})
		if err != nil {
			t.Fatal(err)
		}
		a := d.newApp(func(c *client.Client) { c.Auth, c.JWKS = "private_key_jwt", jwks })
		assertion := k.sign(t, map[string]any{"iss": a.ID, "sub": a.ID, "aud": d.issuer(), "jti": "once", "exp": d.clock().Unix() + 60}, nil)
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for range 16 {
			wg.Go(func() {
				status, _ := a.token(d, url.Values{"grant_type": {"client_credentials"}, "client_assertion": {assertion},
					"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
				mu.Lock()
				defer mu.Unlock()
				if status == http.StatusOK {
					won++
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Errorf("%d got in", won)
		}
	})
}

func TestFailuresAreLimited(t *testing.T) {
	d := newDoor(t)
	a, other := d.newApp(nil), d.newApp(func(c *client.Client) { c.Name = "Other" })
	wrong := app{a.Client, "wrong"}
	grant := url.Values{"grant_type": {"client_credentials"}}
	limit := 0
	for ; limit < 200; limit++ {
		if status, _ := wrong.token(d, grant); status == http.StatusTooManyRequests {
			break
		}
	}
	if limit != 60 {
		t.Errorf("limited after %d failures", limit)
	}
	if status, _ := a.token(d, grant); status != http.StatusTooManyRequests {
		t.Errorf("the right secret from that source: %d", status)
	}
	if status, _ := other.token(d, grant); status != http.StatusOK {
		t.Errorf("another app from that source: %d", status)
	}
	d.advance(time.Minute)
	if status, _ := a.token(d, grant); status != http.StatusOK {
		t.Errorf("a minute later: %d", status)
	}
}

// What merely came late uses up nobody's allowance.
func TestLateTokensAreNotLimited(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	code := a.code(d)
	d.advance(2 * time.Minute)
	for range 100 {
		if status, out := a.token(d, a.redeem(code)); status != http.StatusBadRequest {
			t.Fatalf("got %d %v", status, out)
		}
	}
}

func TestSigningAlgorithmOfClient(t *testing.T) {
	d := newDoor(t)
	for _, alg := range []string{"ES256", "RS256"} {
		a := d.newApp(func(c *client.Client) { c.Name, c.Alg = alg, alg })
		out := a.tokens(d, "openid")
		for _, name := range []string{"id_token", "access_token"} {
			raw, err := b64url.DecodeString(strings.Split(str(out, name), ".")[0])
			if err != nil {
				t.Fatal(err)
			}
			var h map[string]any
			if err := json.Unmarshal(raw, &h); err != nil || h["alg"] != alg || h["kid"] == "" {
				t.Errorf("%s of a %s client has the header %s", name, alg, raw)
			}
		}
	}
}

// What a person takes back between page and redemption is not given any more;
// with it in place the code opens.
func TestSec_OAU19_CodeAfterTakeBack(t *testing.T) {
	for name, takeBack := range map[string]bool{"taken back": true, "left": false} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			a := d.newApp(func(c *client.Client) { c.Name = "Third"; c.FirstParty = false })
			b := d.browser()
			page := b.prove(b.authorize(a.ask()).shown(t).Handle, d.ada).shown(t)
			heard := b.post(b.at("/test/consent"), url.Values{"handle": {page.Handle}, "allow": {"yes"}}).back(t, callback)
			if takeBack {
				d.write(func(ctx context.Context, tx *sqldb.Tx) error {
					return d.clients.RevokeConsent(ctx, tx, d.tenant.ID, d.ada.ID, a.ID)
				})
			}
			status, out := a.token(d, a.redeem(heard.Get("code")))
			if !takeBack {
				if status != http.StatusOK {
					t.Errorf("%d %v", status, out)
				}
				return
			}
			wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 65001)
		})
	}
}

// No application gets tokens that say what only we may say.
func TestSec_TOK01_ReservedAudience(t *testing.T) {
	d := newDoor(t)
	for name, scope := range map[string]string{"administration": "urn:signet:administration/all", "issuer": d.issuer() + "/all"} {
		a := d.newApp(func(c *client.Client) { c.Name, c.Scopes = name, []string{scope} })
		for _, v := range []url.Values{
			{"grant_type": {"client_credentials"}, "scope": {scope}},
			{"grant_type": {"client_credentials"}, "scope": {scope[:strings.LastIndex(scope, "/")] + "/.default"}},
			{"grant_type": {"client_credentials"}, "resource": {scope[:strings.LastIndex(scope, "/")]}},
		} {
			if _, out := a.token(d, v); str(out, "access_token") != "" {
				t.Errorf("%s: an application's own token for %v by %v", name, payload(t, str(out, "access_token"))["aud"], v)
			}
		}
	}
}

// After a restore nobody knows which assertions were used before it: none that
// was made then is taken, nor one that does not say when.
func TestSec_T52_AssertionsOfBeforeARestore(t *testing.T) {
	d := newDoor(t)
	k := newSigner(t, jose.ES256, "k")
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k.jwk}})
	if err != nil {
		t.Fatal(err)
	}
	a := d.newApp(func(c *client.Client) { c.Auth, c.JWKS = "private_key_jwt", jwks })
	n := 0
	send := func(issued int64) int {
		n++
		claims := map[string]any{"iss": a.ID, "sub": a.ID, "aud": d.issuer(), "jti": fmt.Sprint("j", n), "exp": d.clock().Unix() + 60}
		if issued != 0 {
			claims["iat"] = issued
		}
		status, _ := a.token(d, url.Values{"grant_type": {"client_credentials"}, "client_assertion": {k.sign(t, claims, nil)},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
		return status
	}
	now := d.clock().Unix()
	if send(0) != http.StatusOK || send(now-30) != http.StatusOK {
		t.Fatal("refused without any restore")
	}
	d.restored.Store(now)
	if send(0) == http.StatusOK || send(now-30) == http.StatusOK {
		t.Error("one of before the restore is taken")
	}
	if status := send(d.clock().Unix() + 1); status != http.StatusOK {
		t.Errorf("one of after it: %d", status)
	}
	d.advance(10 * time.Minute)
	if status := send(0); status != http.StatusOK {
		t.Errorf("ten minutes later: %d", status)
	}
}
