package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// AppConfig is what any OpenID Connect app is told by its administrator.
type AppConfig struct {
	Issuer   string // https://id.example.com/<tenant>/v2.0
	ClientID string
	Secret   string
	URL      string // where this app is: http://127.0.0.1:8090
	Name     string // on its pages
	Now      func() time.Time
}

// App is a web app with a sign-in. Its state is in memory: it is a demo.
type App struct {
	cfg AppConfig

	mu       sync.Mutex
	provider *provider
	visits   map[string]*visit // by the value of the cookie
}

// provider is what discovery told.
type provider struct {
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	EndURL   string `json:"end_session_endpoint"`
	SendsIss bool   `json:"authorization_response_iss_parameter_supported"`
}

// visit is one browser: on its way through a sign-in, or signed in.
type visit struct {
	state, nonce, verifier string
	claims                 json.RawMessage
	name, idToken          string
	used                   time.Time
}

const (
	visitCookie = "drawings"
	visitLimit  = 1000 // a demo has few visitors; memory stays bounded anyway
)

// NewApp does not speak to the issuer yet: both may start at once.
func NewApp(cfg AppConfig) *App {
	return &App{cfg: cfg, visits: map[string]*visit{}}
}

// Handler serves the app.
func (a *App) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /login", a.login)
	mux.HandleFunc("GET /callback", a.callback)
	mux.HandleFunc("GET /logout", a.logout)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self' 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// discover reads the issuer's metadata once it answers.
func (a *App) discover(ctx context.Context) (*provider, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.provider != nil {
		return a.provider, nil
	}
	// The provider keeps its context for fetching keys later.
	found, err := oidc.NewProvider(context.WithoutCancel(ctx), a.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the issuer for its metadata: %w", err)
	}
	p := &provider{
		oauth: oauth2.Config{
			ClientID: a.cfg.ClientID, ClientSecret: a.cfg.Secret,
			Endpoint: found.Endpoint(), RedirectURL: a.cfg.URL + "/callback",
			Scopes: []string{oidc.ScopeOpenID, "profile"},
		},
		verifier: found.Verifier(&oidc.Config{ClientID: a.cfg.ClientID, Now: a.cfg.Now}),
	}
	if err := found.Claims(p); err != nil {
		return nil, fmt.Errorf("read the issuer's metadata: %w", err)
	}
	a.provider = p
	return p, nil
}

func (a *App) home(w http.ResponseWriter, r *http.Request) {
	v, _ := a.visit(r)
	show(w, http.StatusOK, view{Name: a.cfg.Name, Person: v.name, Claims: string(v.claims)})
}

// login sends the browser to the issuer. What the query asks for (prompt,
// max_age, acr_values, login_hint) goes along, so that a curious developer can
// try it.
func (a *App) login(w http.ResponseWriter, r *http.Request) {
	p, err := a.discover(r.Context())
	if err != nil {
		a.fail(w, http.StatusBadGateway, err)
		return
	}
	v := visit{state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
	options := []oauth2.AuthCodeOption{oidc.Nonce(v.nonce), oauth2.S256ChallengeOption(v.verifier)}
	for _, name := range []string{"prompt", "max_age", "acr_values", "login_hint"} {
		if value := r.URL.Query().Get(name); value != "" {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	a.keep(w, v)
	http.Redirect(w, r, p.oauth.AuthCodeURL(v.state, options...), http.StatusFound)
}

// callback follows OpenID Connect Core 1.0, §3.1.2.7 and §3.1.3.7.
func (a *App) callback(w http.ResponseWriter, r *http.Request) {
	v, key := a.visit(r)
	q := r.URL.Query()
	p, err := a.discover(r.Context())
	if err != nil {
		a.fail(w, http.StatusBadGateway, err)
		return
	}
	if v.state == "" || q.Get("state") != v.state {
		a.fail(w, http.StatusBadRequest, errors.New("this answer belongs to no sign-in that was started here"))
		return
	}
	if p.SendsIss && q.Get("iss") != a.cfg.Issuer {
		a.fail(w, http.StatusBadRequest, errors.New("this answer comes from another issuer"))
		return
	}
	a.forget(key) // a state is good for one answer
	if code := q.Get("error"); code != "" {
		a.fail(w, http.StatusForbidden, fmt.Errorf("%s: %s", code, q.Get("error_description")))
		return
	}
	signedIn, err := p.redeem(r.Context(), q.Get("code"), v)
	if err != nil {
		a.fail(w, http.StatusForbidden, err)
		return
	}
	a.keep(w, signedIn)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// redeem turns a code into a signed-in visit.
func (p *provider) redeem(ctx context.Context, code string, v visit) (visit, error) {
	token, err := p.oauth.Exchange(ctx, code, oauth2.VerifierOption(v.verifier))
	if err != nil {
		return visit{}, fmt.Errorf("redeem the code: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.verifier.Verify(ctx, raw)
	if err != nil {
		return visit{}, fmt.Errorf("check the ID token: %w", err)
	}
	if id.Nonce != v.nonce {
		return visit{}, errors.New("the ID token was made for another sign-in")
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		return visit{}, fmt.Errorf("check the access token: %w", err)
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return visit{}, fmt.Errorf("read the claims: %w", err)
	}
	text, err := json.MarshalIndent(claims, "", "  ")
	if err != nil {
		return visit{}, err
	}
	name, _ := claims["name"].(string)
	if name == "" {
		name = id.Subject
	}
	return visit{claims: text, name: name, idToken: raw}, nil
}

// logout ends the visit here and then at the issuer (RP-Initiated Logout 1.0).
func (a *App) logout(w http.ResponseWriter, r *http.Request) {
	v, key := a.visit(r)
	a.forget(key)
	p, err := a.discover(r.Context())
	if err != nil || p.EndURL == "" || v.idToken == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	q := url.Values{
		"id_token_hint":            {v.idToken},
		"client_id":                {a.cfg.ClientID},
		"post_logout_redirect_uri": {a.cfg.URL + "/"},
	}
	http.Redirect(w, r, p.EndURL+"?"+q.Encode(), http.StatusFound)
}

// visit finds this browser's, or an empty one.
func (a *App) visit(r *http.Request) (visit, string) {
	c, err := r.Cookie(visitCookie)
	if err != nil {
		return visit{}, ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if v := a.visits[c.Value]; v != nil {
		v.used = a.cfg.Now()
		return *v, c.Value
	}
	return visit{}, c.Value
}

// keep remembers v under a new cookie: a value from before the sign-in must
// not be worth anything after it.
func (a *App) keep(w http.ResponseWriter, v visit) {
	key := rand.Text()
	v.used = a.cfg.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.visits) >= visitLimit {
		a.forgetOldest()
	}
	a.visits[key] = &v
	http.SetCookie(w, &http.Cookie{Name: visitCookie, Value: key, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// forgetOldest makes room; the lock is held.
func (a *App) forgetOldest() {
	var oldest string
	for k, v := range a.visits {
		if oldest == "" || v.used.Before(a.visits[oldest].used) {
			oldest = k
		}
	}
	delete(a.visits, oldest)
}

func (a *App) forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.visits, key)
}

func (a *App) fail(w http.ResponseWriter, status int, err error) {
	show(w, status, view{Name: a.cfg.Name, Problem: err.Error()})
}

type view struct{ Name, Person, Claims, Problem string }

func show(w http.ResponseWriter, status int, v view) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	page.Execute(w, v) // a browser that went away is nobody's error
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Name}}</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 42rem; margin: 12vh auto; padding: 0 1.25rem }
html { background: light-dark(#fff, #16181d); color: light-dark(#1a1c22, #e8eaf0) }
h1 { font-weight: 600; margin: 0 0 .5rem }
a.button { color: light-dark(#1d3fa8, #a9bcff); display: inline-block; padding: .7rem 1.2rem; border: 2px solid; border-radius: .4rem; text-decoration: none; font-weight: 600 }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 1rem; border: 1px solid; border-radius: .4rem; font-size: .875rem }
.bad { border-inline-start: 4px solid; padding-inline-start: 1rem }
</style>
</head>
<body>
<main>
<h1>{{.Name}}</h1>
{{if .Problem}}
<p class="bad" role="alert" data-problem>The sign-in did not work: {{.Problem}}</p>
<p><a class="button" href="/login" data-action="login">Try again</a></p>
{{else if .Claims}}
<p>Hello, {{.Person}}. You are signed in.</p>
<p><a class="button" href="/logout" data-action="logout">Sign out</a></p>
<p>What this app was told about you:</p>
<pre data-claims>{{.Claims}}</pre>
{{else}}
<p>A demo web app: any app that speaks OpenID Connect. It knows nothing of the server that signs you in but its address.</p>
<p><a class="button" href="/login" data-action="login">Sign in</a></p>
{{end}}
</main>
</body>
</html>
`))
