package oidc

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
)

const (
	testIssuer    = "https://id.example/11111111-1111-4111-8111-111111111111/v2.0"
	testChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636, Appendix B
	testVerifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// testClient is registered for everything that a request can ask.
func testClient() client.Client {
	return client.Client{
		ID: "22222222-2222-4222-8222-222222222222", Name: "Wiki", Kind: "web", Enabled: true,
		RedirectURIs:  []string{"https://wiki.example/cb"},
		Grants:        []string{"authorization_code", "refresh_token"},
		ResponseModes: []string{"query", "fragment", "form_post"},
		Scopes:        []string{"notes.read", "api://drawings/view", "api://drawings/edit", "https://payroll.example/run"},
	}
}

// goodRequest is an authorization request that is right in every part.
func goodRequest() url.Values {
	return url.Values{
		"client_id": {string(testClient().ID)}, "redirect_uri": {"https://wiki.example/cb"}, "response_type": {"code"},
		"scope": {"openid"}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {testChallenge}, "code_challenge_method": {"S256"},
	}
}

// with changes one good request; an empty value takes a parameter out.
func with(pairs ...string) url.Values {
	v := goodRequest()
	for n := 0; n < len(pairs); n += 2 {
		if pairs[n+1] == "" {
			v.Del(pairs[n])
		} else {
			v.Set(pairs[n], pairs[n+1])
		}
	}
	return v
}

func parse(t *testing.T, v url.Values) (request, error) {
	t.Helper()
	p, dup, err := parseQuery(v.Encode())
	if err != nil {
		t.Fatalf("parse query: %v", err)
	}
	return parseRequest(p, dup, testClient(), testIssuer)
}

func wantWord(t *testing.T, err error, word, reason string) {
	t.Helper()
	f, ok := asFault(err)
	if !ok {
		t.Fatalf("error is %v, want a fault %s", err, word)
	}
	if f.Word != word || reason != "" && f.Cause.Reason != reason {
		t.Errorf("fault is %s (%s), want %s (%s): %v", f.Word, f.Cause.Reason, word, reason, err)
	}
}

func TestParseRequest(t *testing.T) {
	q, err := parse(t, with("prompt", "login consent", "max_age", "0", "login_hint", "ada@nordhafen.example",
		"acr_values", "phr phrh", "response_mode", "form_post", "ui_locales", "de fr", "display", "popup", "unknown", "x"))
	if err != nil {
		t.Fatal(err)
	}
	if q.State != "s" || q.Nonce != "n" || q.Mode != modeFormPost || q.Challenge != testChallenge ||
		!slices.Equal(q.Scopes, []string{"openid"}) || q.Resource != testIssuer ||
		!slices.Equal(q.Prompt, []string{"login", "consent"}) || q.MaxAge == nil || *q.MaxAge != 0 ||
		q.LoginHint != "ada@nordhafen.example" || !slices.Equal(q.ACR, []string{"phr", "phrh"}) {
		t.Errorf("request is %+v", q)
	}
}

func TestSec_OAU04_ParseRequestRefuses(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		name, word, reason string
		v                  url.Values
	}{
		{"no response type", "invalid_request", "missing_parameter", with("response_type", "")},
		{"token", "unsupported_response_type", "", with("response_type", "token")},
		{"id_token", "unsupported_response_type", "", with("response_type", "id_token")},
		{"hybrid", "unsupported_response_type", "", with("response_type", "code id_token")},
		{"none", "unsupported_response_type", "", with("response_type", "none")},
		{"response type in capitals", "unsupported_response_type", "", with("response_type", "CODE")},
		{"unknown response mode", "invalid_request", "bad_response_mode", with("response_mode", "web_message")},
		{"jwt response mode", "invalid_request", "bad_response_mode", with("response_mode", "query.jwt")},
		{"request object", "request_not_supported", "", with("request", "eyJhbGciOiJub25lIn0.e30.")},
		{"request uri", "request_uri_not_supported", "", with("request_uri", "http://169.254.169.254/")},
		{"registration", "registration_not_supported", "", with("registration", "{}")},
		{"prompt none and login", "invalid_request", "bad_prompt", with("prompt", "none login")},
		{"prompt none and consent", "invalid_request", "bad_prompt", with("prompt", "consent none")},
		{"unknown prompt", "invalid_request", "bad_prompt", with("prompt", "create")},
		{"negative max_age", "invalid_request", "bad_max_age", with("max_age", "-1")},
		{"huge max_age", "invalid_request", "bad_max_age", with("max_age", "99999999999999999999")},
		{"max_age in words", "invalid_request", "bad_max_age", with("max_age", "1h")},
		{"long nonce", "invalid_request", "bad_nonce", with("nonce", long)},
		{"nonce with control characters", "invalid_request", "bad_nonce", with("nonce", "a\x00b")},
		{"long login hint", "invalid_request", "bad_login_hint", with("login_hint", long)},
		{"long state", "invalid_request", "bad_state", with("state", long)},
		{"state that is no UTF-8", "invalid_request", "bad_state", with("state", "\xff\xfe")},
		{"state with a line feed", "invalid_request", "bad_state", with("state", "a\nb")},
		{"many acr values", "invalid_request", "bad_acr_values", with("acr_values", "a b c d e f g h i j k")},
		{"claims that are no JSON", "invalid_request", "bad_claims", with("claims", "{")},
		{"claims with a member twice", "invalid_request", "bad_claims", with("claims", `{"id_token":{"sub":null,"sub":{"value":"x"}}}`)},
		{"claims with something after", "invalid_request", "bad_claims", with("claims", `{} {}`)},
		{"claims that are a list", "invalid_request", "bad_claims", with("claims", `[]`)},
		{"a claim that is a number", "invalid_request", "bad_claims", with("claims", `{"id_token":{"acr":1}}`)},
		{"claims too long", "invalid_request", "bad_claims", with("claims", `{"x":"`+long+`"}`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := parse(t, c.v)
			wantWord(t, err, c.word, c.reason)
			if q.Mode != modeQuery {
				t.Errorf("error would travel by %q", q.Mode)
			}
		})
	}
}

func TestSec_OAU04_GrantOfClient(t *testing.T) {
	c := testClient()
	c.Grants = []string{"client_credentials"}
	_, err := parseRequest(params(goodRequest()), nil, c, testIssuer)
	wantWord(t, err, "unauthorized_client", "grant_not_allowed")
}

func TestSec_OAU02_Challenge(t *testing.T) {
	for _, c := range []struct{ name, challenge, method, reason string }{
		{"missing", "", "S256", "missing_parameter"},
		{"missing, no method", "", "", "missing_parameter"},
		{"plain", testVerifier, "plain", "bad_code_challenge_method"},
		{"method missing means plain", testChallenge, "", "bad_code_challenge_method"},
		{"method in small letters", testChallenge, "s256", "bad_code_challenge_method"},
		{"unknown method", testChallenge, "S512", "bad_code_challenge_method"},
		{"short", testChallenge[:42], "S256", "bad_code_challenge"},
		{"long", testChallenge + "A", "S256", "bad_code_challenge"},
		{"padded", testChallenge + "=", "S256", "bad_code_challenge"},
		{"standard alphabet", strings.Replace(testChallenge, "-", "+", 1), "S256", "bad_code_challenge"},
		{"trailing bits set", testChallenge[:42] + "N", "S256", "bad_code_challenge"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, with("code_challenge", c.challenge, "code_challenge_method", c.method))
			wantWord(t, err, "invalid_request", c.reason)
		})
	}
	if _, err := parse(t, goodRequest()); err != nil {
		t.Errorf("right challenge: %v", err)
	}
}

func TestSec_OAU02_Verifier(t *testing.T) {
	for _, c := range []struct{ name, verifier, reason string }{
		{"missing", "", "verifier_missing"},
		{"short", testVerifier[:42], "malformed_verifier"},
		{"long", strings.Repeat("a", 129), "malformed_verifier"},
		{"with a space", testVerifier[:42] + " ", "malformed_verifier"},
		{"with a plus", testVerifier[:42] + "+", "malformed_verifier"},
		{"other", testVerifier[:42] + "l", "wrong_verifier"},
		{"the challenge itself", testChallenge, "wrong_verifier"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantWord(t, checkVerifier(c.verifier, testChallenge), "invalid_grant", c.reason)
		})
	}
	if err := checkVerifier(testVerifier, testChallenge); err != nil {
		t.Errorf("right verifier: %v", err)
	}
}

func TestDuplicates(t *testing.T) {
	for _, name := range []string{"state", "scope", "nonce", "response_type", "response_mode", "code_challenge", "unknown"} {
		v := goodRequest()
		v[name] = []string{"a", "b"}
		q, err := parse(t, v)
		wantWord(t, err, "invalid_request", "")
		if name == "state" && q.State != "" {
			t.Errorf("a state given twice is echoed as %q", q.State)
		}
	}
}

func TestSec_OAU20_Scopes(t *testing.T) {
	c := testClient()
	own := string(c.ID)
	for _, row := range []struct {
		name, scope, resource string
		scopes, audience      string
		word                  string
	}{
		{"openid alone", "openid", "", "openid", testIssuer, ""},
		{"repeated", "openid openid  profile", "", "openid profile", testIssuer, ""},
		{"address and phone give nothing", "openid address phone", "", "openid", testIssuer, ""},
		{"own API", "openid notes.read", "", "openid notes.read", own, ""},
		{"foreign API", "openid api://drawings/view offline_access", "", "openid api://drawings/view offline_access", "api://drawings", ""},
		{"two of one API", "api://drawings/view api://drawings/edit", "api://drawings", "api://drawings/view api://drawings/edit", "api://drawings", ""},
		{"all of one API", "api://drawings/.default", "", "api://drawings/view api://drawings/edit", "api://drawings", ""},
		{"resource without its scopes", "openid", "api://drawings", "openid", "api://drawings", ""},
		{"own API as resource", "openid", own, "openid", own, ""},
		{"issuer as resource", "openid", testIssuer, "openid", testIssuer, ""},
		{"none", "", "", "", "", "invalid_scope"},
		{"spaces", "  ", "", "", "", "invalid_scope"},
		{"phone alone", "phone", "", "", "", "invalid_scope"},
		{"unknown", "openid admin", "", "", "", "invalid_scope"},
		{"of another client's API", "openid api://drawings/delete", "", "", "", "invalid_scope"},
		{"default of an unknown API", "api://other/.default", "", "", "", "invalid_scope"},
		{"bare default", "/.default", "", "", "", "invalid_scope"},
		{"quote", `openid "`, "", "", "", "invalid_scope"},
		{"control character", "openid\x01", "", "", "", "invalid_scope"},
		{"two APIs", "api://drawings/view https://payroll.example/run", "", "", "", "invalid_target"},
		{"unknown resource", "openid", "https://other.example", "", "", "invalid_target"},
		{"resource of other scopes", "api://drawings/view", "https://payroll.example", "", "", "invalid_target"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g, err := askScopes(row.scope, row.resource, c, testIssuer)
			if row.word != "" {
				wantWord(t, err, row.word, "")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(g.Scopes, " "); got != row.scopes || g.Audience != row.audience {
				t.Errorf("scopes %q for %q, want %q for %q", got, g.Audience, row.scopes, row.audience)
			}
		})
	}
}

func TestOwnScopes(t *testing.T) {
	c := testClient()
	for _, row := range []struct{ name, scope, resource, scopes, audience, word string }{
		{"nothing asked", "", "", "notes.read", string(c.ID), ""},
		{"a resource", "", "api://drawings", "api://drawings/view api://drawings/edit", "api://drawings", ""},
		{"a default", "https://payroll.example/.default", "", "https://payroll.example/run", "https://payroll.example", ""},
		{"openid", "openid", "", "", "", "invalid_scope"},
		{"offline_access", "notes.read offline_access", "", "", "", "invalid_scope"},
		{"unknown resource", "", "https://other.example", "", "", "invalid_target"},
		{"the issuer", "", testIssuer, "", "", "invalid_target"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g, err := ownScopes(row.scope, row.resource, c)
			if row.word != "" {
				wantWord(t, err, row.word, "")
				return
			}
			if got := strings.Join(g.Scopes, " "); err != nil || got != row.scopes || g.Audience != row.audience {
				t.Errorf("scopes %q for %q (%v), want %q for %q", got, g.Audience, err, row.scopes, row.audience)
			}
		})
	}
}

func TestSec_OAU08_NarrowNeverGrows(t *testing.T) {
	granted := []string{"openid", "offline_access", "notes.read"}
	if got, err := narrow(granted, ""); err != nil || !slices.Equal(got, granted) {
		t.Errorf("no scope asked: %q, %v", got, err)
	}
	if got, err := narrow(granted, "notes.read openid phone"); err != nil || !slices.Equal(got, []string{"notes.read", "openid"}) {
		t.Errorf("two of three: %q, %v", got, err)
	}
	for _, more := range []string{"profile", "openid profile", "NOTES.READ", `"`} {
		_, err := narrow(granted, more)
		wantWord(t, err, "invalid_scope", "")
	}
}

func TestClaimsParameter(t *testing.T) {
	q, err := parse(t, with("acr_values", "phr", "claims",
		`{"id_token":{"acr":{"essential":true,"values":["phrh","phr"]},"sub":{"value":"ada"},"auth_time":{"essential":true},"email":null,"picture":null},
		"userinfo":{"name":null,"https://x.example/y":{"value":1}},"other":{"a":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(q.ACR, []string{"phrh", "phr"}) || !q.EssentialACR || q.Subject != "ada" {
		t.Errorf("acr %q essential %v sub %q", q.ACR, q.EssentialACR, q.Subject)
	}
	if !asked(q.Claims.IDToken, "email") || asked(q.Claims.IDToken, "picture") || !asked(q.Claims.UserInfo, "name") || len(q.Claims.UserInfo) != 1 {
		t.Errorf("claims are %+v", q.Claims)
	}
	q, err = parse(t, with("claims", `{"id_token":{"acr":{"essential":false,"value":"phr"}}}`))
	if err != nil || !slices.Equal(q.ACR, []string{"phr"}) || q.EssentialACR {
		t.Errorf("acr %q essential %v, %v", q.ACR, q.EssentialACR, err)
	}
}

func TestSec_OAU09_Credentials(t *testing.T) {
	const id = "22222222-2222-4222-8222-222222222222"
	basic := func(user, pass string) string {
		return "Basic " + b64(url.QueryEscape(user)+":"+url.QueryEscape(pass))
	}
	for _, c := range []struct {
		name, header string
		form         url.Values
		method, word string
	}{
		{"public", "", url.Values{"client_id": {id}}, "none", ""},
		{"basic", basic(id, "s+ %:ö"), nil, "client_secret_basic", ""},
		{"basic, scheme in small letters", "b" + basic(id, "s+ %:ö")[1:], nil, "client_secret_basic", ""},
		{"basic and the same client_id", basic(id, "s+ %:ö"), url.Values{"client_id": {id}}, "client_secret_basic", ""},
		{"post", "", url.Values{"client_id": {id}, "client_secret": {"s+ %:ö"}}, "client_secret_post", ""},
		{"assertion", "", url.Values{"client_id": {id}, "client_assertion": {"x"}, "client_assertion_type": {assertionType}}, "private_key_jwt", ""},
		{"nobody", "", nil, "", "invalid_request"},
		{"basic and post", basic(id, "s"), url.Values{"client_secret": {"s"}}, "", "invalid_request"},
		{"basic and assertion", basic(id, "s"), url.Values{"client_assertion": {"x"}, "client_assertion_type": {assertionType}}, "", "invalid_request"},
		{"post and assertion", "", url.Values{"client_id": {id}, "client_secret": {"s"}, "client_assertion": {"x"}, "client_assertion_type": {assertionType}}, "", "invalid_request"},
		{"basic and another client_id", basic(id, "s"), url.Values{"client_id": {"other"}}, "", "invalid_request"},
		{"assertion of another type", "", url.Values{"client_id": {id}, "client_assertion": {"x"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}}, "", "invalid_request"},
		{"assertion type alone", "", url.Values{"client_id": {id}, "client_assertion_type": {assertionType}}, "", "invalid_request"},
		{"assertion without its type", "", url.Values{"client_id": {id}, "client_assertion": {"x"}}, "", "invalid_request"},
		{"bearer", "Bearer x", url.Values{"client_id": {id}}, "", "invalid_client"},
		{"basic that is no base64", "Basic ***", nil, "", "invalid_client"},
		{"basic without a colon", "Basic " + b64("abc"), nil, "", "invalid_client"},
		{"basic without a user", "Basic " + b64(":abc"), nil, "", "invalid_client"},
		{"basic with a broken escape", "Basic " + b64("a%zz:b"), nil, "", "invalid_client"},
		{"long secret", "", url.Values{"client_id": {id}, "client_secret": {strings.Repeat("s", 600)}}, "", "invalid_client"},
		{"long id", "", url.Values{"client_id": {strings.Repeat("s", 600)}}, "", "invalid_client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseCredentials(c.header, params(c.form))
			if c.word != "" {
				wantWord(t, err, c.word, "")
				return
			}
			if err != nil || got.Method != c.method || got.ID != id {
				t.Fatalf("credentials %+v, %v", got, err)
			}
			if strings.HasPrefix(c.method, "client_secret") && got.Secret != "s+ %:ö" {
				t.Errorf("secret arrives as %q", got.Secret)
			}
		})
	}
}

func TestReply(t *testing.T) {
	more := url.Values{"code": {"a b"}}
	for _, c := range []struct {
		redirect string
		mode     responseMode
		want     string
	}{
		{"https://wiki.example/cb", modeQuery, "https://wiki.example/cb?code=a+b&iss=I&state=S"},
		{"https://wiki.example/cb?x=1", modeQuery, "https://wiki.example/cb?x=1&code=a+b&iss=I&state=S"},
		{"https://wiki.example/cb?", modeQuery, "https://wiki.example/cb?code=a+b&iss=I&state=S"},
		{"com.example.app:/cb", modeQuery, "com.example.app:/cb?code=a+b&iss=I&state=S"},
		{"https://wiki.example/cb?x=1", modeFragment, "https://wiki.example/cb?x=1#code=a+b&iss=I&state=S"},
	} {
		got := reply{Redirect: c.redirect, Mode: c.mode, State: "S", Issuer: "I"}.address(more)
		if got != c.want {
			t.Errorf("%s by %s: got %s, want %s", c.redirect, c.mode, got, c.want)
		}
	}
}

func TestOriginOf(t *testing.T) {
	for in, want := range map[string]string{
		"https://wiki.example/cb?x=1":     "https://wiki.example",
		"http://127.0.0.1:8090/callback":  "http://127.0.0.1:8090",
		"com.example.app:/cb":             "com.example.app:",
		"https://a.example;script-src/cb": "'none'",
		"https://%zz":                     "'none'",
	} {
		if got := originOf(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// An error_description stays within RFC 6749, Section 5.2, whatever it quotes.
func TestDescription(t *testing.T) {
	err := fault(idp.Invalid, "invalid_request", 50011, "x", "A \"quoted\"\r\nname \\ über", "x")
	if got, want := description(err, "T"), "AADSTS50011: A quotedname  ber Trace ID: T"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
