package demo_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/demo"
)

// issuer is an OpenID provider of a few lines that can lie in one respect.
type issuer struct {
	*httptest.Server
	key    *ecdsa.PrivateKey
	asked  url.Values // of the last authorization request
	answer func(url.Values)
	claims func(map[string]any)
}

const clientID, accessToken = "app", "access"

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, answer: func(url.Values) {}, claims: func(map[string]any) {}}
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"end_session_endpoint": i.URL + "/logout", "authorization_response_iss_parameter_supported": true,
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		i.asked = r.URL.Query()
		back := url.Values{"code": {"code"}, "state": {i.asked.Get("state")}, "iss": {i.URL}}
		i.answer(back)
		http.Redirect(w, r, i.asked.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if base64.RawURLEncoding.EncodeToString(sum[:]) != i.asked.Get("code_challenge") {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		reply(w, map[string]any{"access_token": accessToken, "token_type": "Bearer", "expires_in": 60, "id_token": i.idToken(t)})
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("post_logout_redirect_uri"), http.StatusSeeOther)
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) idToken(t *testing.T) string {
	sum := sha256.Sum256([]byte(accessToken))
	c := map[string]any{
		"iss": i.URL, "aud": clientID, "sub": "ada", "name": "Ada <Lindqvist>", "nonce": i.asked.Get("nonce"),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
	i.claims(c)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: "1"}}, nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	text, _ := json.Marshal(c)
	signed, err := signer.Sign(text)
	if err != nil {
		t.Error(err)
		return ""
	}
	compact, _ := signed.CompactSerialize()
	return compact
}

// open starts an app with i as its issuer, and a browser.
func open(t *testing.T, i *issuer) (get func(path string) (int, string)) {
	t.Helper()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	handler = demo.NewApp(demo.AppConfig{Issuer: i.URL, ClientID: clientID, Secret: "s", URL: server.URL, Name: "Drawings", Now: time.Now}).Handler()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	return func(path string) (int, string) {
		t.Helper()
		res, err := client.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
}

const signedIn = `data-action="logout"`

func TestApp(t *testing.T) {
	i := newIssuer(t)
	get := open(t, i)
	if _, page := get("/"); !strings.Contains(page, `data-action="login"`) || strings.Contains(page, signedIn) {
		t.Fatalf("at first:\n%s", page)
	}
	status, page := get("/login?prompt=login&max_age=60&acr_values=phr&login_hint=ada&redirect_uri=https://evil.example")
	if status != http.StatusOK || !strings.Contains(page, signedIn) || !strings.Contains(page, "Ada &lt;Lindqvist&gt;") {
		t.Fatalf("signed in: %d\n%s", status, page)
	}
	for name, want := range map[string]string{"prompt": "login", "max_age": "60", "acr_values": "phr", "login_hint": "ada", "code_challenge_method": "S256", "response_type": "code"} {
		if got := i.asked.Get(name); got != want {
			t.Errorf("asked with %s=%q, want %q", name, got, want)
		}
	}
	if strings.Contains(i.asked.Get("redirect_uri"), "evil") {
		t.Error("the redirect URI can be chosen from outside")
	}
	if _, page = get("/logout"); strings.Contains(page, signedIn) {
		t.Errorf("signed out:\n%s", page)
	}
}

// Every lie keeps the visitor out, with a page that says so.
func TestAppRefuses(t *testing.T) {
	for name, lie := range map[string]func(*issuer){
		"other state":        func(i *issuer) { i.answer = func(v url.Values) { v.Set("state", "x") } },
		"no state":           func(i *issuer) { i.answer = func(v url.Values) { v.Del("state") } },
		"other issuer":       func(i *issuer) { i.answer = func(v url.Values) { v.Set("iss", "https://evil.example") } },
		"no issuer":          func(i *issuer) { i.answer = func(v url.Values) { v.Del("iss") } },
		"error":              func(i *issuer) { i.answer = func(v url.Values) { v.Set("error", "access_denied") } },
		"other nonce":        func(i *issuer) { i.claims = func(c map[string]any) { c["nonce"] = "x" } },
		"other audience":     func(i *issuer) { i.claims = func(c map[string]any) { c["aud"] = "x" } },
		"other access token": func(i *issuer) { i.claims = func(c map[string]any) { c["at_hash"] = "x" } },
		"expired":            func(i *issuer) { i.claims = func(c map[string]any) { c["exp"] = 1 } },
		"another's key": func(i *issuer) {
			i.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			get := open(t, i)
			lie(i)
			status, page := get("/login")
			if status < 400 || strings.Contains(page, signedIn) || !strings.Contains(page, "did not work") {
				t.Errorf("%d:\n%s", status, page)
			}
			if _, page := get("/"); strings.Contains(page, signedIn) {
				t.Error("signed in all the same")
			}
		})
	}
}

// An answer is good once, and only in the browser that asked.
func TestAppAnswerOnce(t *testing.T) {
	i := newIssuer(t)
	var back url.Values
	i.answer = func(v url.Values) {
		back = url.Values{}
		for k := range v {
			back.Set(k, v.Get(k))
		}
	}
	get := open(t, i)
	get("/login")
	if status, _ := get("/callback?" + back.Encode()); status != http.StatusBadRequest {
		t.Errorf("the same answer again: %d", status)
	}
	if status, _ := open(t, i)("/callback?" + back.Encode()); status != http.StatusBadRequest {
		t.Errorf("the answer in another browser: %d", status)
	}
}

func TestAppWithoutIssuer(t *testing.T) {
	i := newIssuer(t)
	get := open(t, i)
	i.Close()
	if status, page := get("/login"); status != http.StatusBadGateway || !strings.Contains(page, "did not work") {
		t.Errorf("%d:\n%s", status, page)
	}
}
