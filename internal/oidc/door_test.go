package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/oidc"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// sources are the migrations of every room behind the door.
var sources = []fs.FS{
	audit.Migrations, bus.Migrations, directory.Migrations, client.Migrations, policy.Migrations,
	keyring.Migrations, nonce.Migrations, token.Migrations, session.Migrations, signin.Migrations, oidc.Migrations,
}

// door is the whole provider over a real database, with a stub in the place of
// a method room and of the portal.
type door struct {
	t         testing.TB
	db        *sqldb.DB
	url       string
	tlsURL    string
	mux       *http.ServeMux
	handler   http.Handler
	now       atomic.Int64 // nanoseconds beyond the real clock
	restored  atomic.Int64 // Unix time of the last restore
	withdrawn atomic.Bool  // the model of all keys
	stands    error        // what devices and their PRTs say
	tenant    idp.Tenant
	ada, bob  idp.User
	directory *directory.Directory
	clients   *client.Registry
	policies  *policy.Store
	sessions  *session.Store
	tokens    *token.Service
	keys      *keyring.Ring
	corridor  *signin.Corridor
	box       *nonce.Box
	audit     *audit.Log
	server    *oidc.Server
}

func (d *door) clock() time.Time         { return time.Now().Add(time.Duration(d.now.Load())) }
func (d *door) advance(by time.Duration) { d.now.Add(int64(by)) }
func (d *door) issuer() string           { return d.url + "/" + string(d.tenant.ID) + "/v2.0" }
func (d *door) at(path string) string    { return d.url + "/" + string(d.tenant.ID) + path }

func newDoor(t testing.TB) *door { return newDoorOn(t, sqldbtest.Open(t, sources)) }

func newDoorOn(t testing.TB, db *sqldb.DB) *door {
	t.Helper()
	d := &door{t: t, db: db}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }))
	d.url = "http://" + srv.Listener.Addr().String()
	d.wire()
	srv.Start()
	t.Cleanup(srv.Close)
	d.tenant = d.newTenant("Nordhafen", "nordhafen.example")
	d.ada, d.bob = d.newUser(d.tenant.ID, "ada@nordhafen.example"), d.newUser(d.tenant.ID, "bob@nordhafen.example")
	return d
}

func (d *door) wire() {
	t := d.t
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	notices := bus.New(d.db, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); notices.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	epoch := func() int64 { return 1 }

	d.audit = audit.New(d.clock)
	d.directory = directory.New(directory.Config{DB: d.db, Now: d.clock, Bus: notices})
	d.clients = client.New(client.Config{DB: d.db, Now: d.clock, Bus: notices, Devices: d.deviceRules})
	d.policies = policy.New(policy.Config{DB: d.db, Now: d.clock, Bus: notices, Status: func(string) idp.ModelStatus {
		if d.withdrawn.Load() {
			return idp.ModelRefuse
		}
		return idp.ModelFine
	}})
	d.keys = keyring.New(keyring.Config{DB: d.db, KEK: secret.RandomKey(), Now: d.clock, Bus: notices})
	d.box = nonce.New(nonce.Config{Keys: d.keys.Sealing, Epoch: epoch, Now: d.clock})
	d.sessions = session.New(session.Config{DB: d.db, Now: d.clock, Epoch: epoch,
		Limits: func(ctx context.Context, id idp.TenantID) (time.Duration, time.Duration, error) {
			p, err := d.policies.Get(ctx, id)
			return p.Session.Idle, p.Session.Absolute, err
		}})
	d.tokens = token.New(token.Config{DB: d.db, Keys: d.keys, Audit: d.audit, Now: d.clock, Epoch: epoch,
		Issuer: func(id idp.TenantID) string { return d.url + "/" + string(id) + "/v2.0" }, User: d.directory.User,
		Stands: func(context.Context, sqldb.Querier, idp.TenantID, idp.SessionID, idp.DeviceID) error { return d.stands }})
	var err error
	d.corridor, err = signin.New(signin.Config{DB: d.db, Box: d.box, Directory: d.directory, Clients: d.clients,
		Policies: d.policies, Sessions: d.sessions, Audit: d.audit, Now: d.clock, Methods: []method.Method{stub{}}})
	if err != nil {
		t.Fatal(err)
	}
	d.server = oidc.New(oidc.Config{
		BaseURL: d.url, TLSURL: d.tlsURL, DB: d.db, Directory: d.directory, Clients: d.clients, Policies: d.policies, Sessions: d.sessions,
		Tokens: d.tokens, Keys: d.keys, Corridor: d.corridor, Box: d.box, Audit: d.audit, Now: d.clock, Epoch: d.restored.Load,
		SignIn: d.page, ErrorPage: errorPage, LogoutPage: logoutPage, SignedOut: "/signed-out",
	})
	d.mux = http.NewServeMux()
	d.server.Mount(d.mux)
	d.mux.Handle("POST /{t}/test/{what}", web.Adapt(func(w http.ResponseWriter, r *http.Request, e *idp.Error) {
		errorPage(w, r, e)
	}, d.act))
	d.mux.HandleFunc("GET /signed-out", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "signed out") })
	d.handler = web.Chain(d.mux, web.Identify(nil), web.Headers(false))
}

// deviceRules are what app tells the registry of the tenant's policy.
func (d *door) deviceRules(ctx context.Context, t idp.TenantID) (client.Devices, error) {
	p, err := d.policies.Get(ctx, t)
	return client.Devices{
		On: p.Devices.On, BrokerWithoutPKCE: p.Devices.On && p.Devices.Compat.BrokerWithoutPKCE,
		NativeClientRedirect: p.Devices.On && p.Devices.Compat.NativeClientRedirect,
	}, err
}

// devices switches devices on in the tenant; change edits the rules further.
func (d *door) devices(change func(*policy.DeviceRules)) {
	d.t.Helper()
	p, err := d.policies.Get(d.t.Context(), d.tenant.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	p.Devices.On = true
	if change != nil {
		change(&p.Devices)
	}
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return d.policies.Put(ctx, tx, d.tenant.ID, p)
	})
}

// bind binds a grant to a device, as the door of devices does.
func (d *door) bind(t testing.TB, family idp.FamilyID) {
	t.Helper()
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return d.tokens.Bind(ctx, tx, d.tenant.ID, family, "prt", "device", d.clock().Add(time.Hour))
	})
}

// builtIn is the built-in application as a test's app.
func (d *door) builtIn(id idp.ClientID) app {
	d.t.Helper()
	c, err := d.clients.Get(d.t.Context(), d.tenant.ID, id)
	if err != nil {
		d.t.Fatal(err)
	}
	return app{Client: c}
}

// shown is what the stub of the portal says of a step.
type shown struct {
	Kind    signin.StepKind
	Handle  string
	Reason  string
	LeadsTo string
	Prompt  []string
	Hint    string
	User    idp.UserID
	Scopes  []string
}

func (d *door) page(w http.ResponseWriter, _ *http.Request, f signin.Flow, step signin.Step) error {
	w.Header().Set("X-Page", "signin")
	return web.JSON(w, http.StatusOK, shown{
		Kind: step.Kind, Handle: step.Handle, Reason: step.Decision.Reason, LeadsTo: f.LeadsTo,
		Prompt: f.Prompt, Hint: f.LoginHint, User: step.Session.User, Scopes: step.NewScopes,
	})
}

func errorPage(w http.ResponseWriter, _ *http.Request, err error) {
	w.Header().Set("X-Page", "error")
	e := idp.AsError(err)
	w.WriteHeader(web.Status(e.Kind))
	fmt.Fprintf(w, "%d %s %s", e.Code, e.Reason, e.Public)
}

func logoutPage(w http.ResponseWriter, _ *http.Request, p oidc.LogoutPrompt) error {
	w.Header().Set("X-Page", "logout")
	return web.JSON(w, http.StatusOK, p)
}

// act is what a person does on the stub's page: prove who they are by naming
// themselves, agree or refuse, or pick the session at hand.
func (d *door) act(w http.ResponseWriter, r *http.Request) error {
	ctx, tenant := r.Context(), idp.TenantID(r.PathValue("t"))
	v, err := web.Form(w, r)
	if err != nil {
		return err
	}
	peer := signin.Peer{IP: web.ClientIP(r), Browser: d.sessions.Browser(w, r), Trace: web.Trace(ctx)}
	f, err := d.corridor.Resume(ctx, tenant, v.Get("handle"), peer)
	if err != nil {
		return err
	}
	var current *session.Session
	all, err := d.sessions.FromRequest(ctx, r, tenant)
	if err != nil {
		return err
	}
	for _, one := range all {
		if v.Get("user") == "" || string(one.User) == v.Get("user") {
			current = &one
			break
		}
	}
	var step signin.Step
	switch r.PathValue("what") {
	case "answer":
		begun, err := d.corridor.Begin(ctx, f, "passkey", "")
		if err != nil {
			return err
		}
		if step, err = d.corridor.Answer(ctx, f, "passkey", begun.Ceremony, []byte(v.Get("payload")), current, peer); err != nil {
			return err
		}
	case "consent":
		step, err = d.corridor.Consent(ctx, f, *current, v.Get("allow") == "yes", peer)
	case "pick":
		step, err = d.corridor.Next(ctx, f, current, peer)
	}
	if err != nil {
		return err
	}
	if step.Kind == signin.Done || step.Kind == signin.Deny {
		return d.server.Resume(w, r, step.Flow, step)
	}
	if step.Bearer != "" {
		d.sessions.Set(w, r, step.Bearer, step.Replaces)
	}
	return d.page(w, r, step.Flow, step)
}

// stub is a method that believes whatever it is told, so that these tests are
// about the door alone.
type stub struct{}

type told struct {
	User       idp.UserID     `json:"user"`
	Properties []idp.Property `json:"properties"`
	Pass       bool           `json:"pass"` // it was an access pass, good for ten minutes
}

func (stub) ID() idp.MethodID { return "passkey" }

func (stub) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{Show: json.RawMessage(`{}`), Keep: []byte("keep")}, nil
}

func (stub) Verify(_ context.Context, a method.Answer) (method.Verdict, error) {
	var p told
	if err := json.Unmarshal(a.Payload, &p); err != nil {
		return method.Verdict{}, idp.Unprovenf("stub", "%w", err)
	}
	if p.Pass {
		return method.Verdict{Until: a.Now.Add(10 * time.Minute), Proof: idp.Proof{
			Tenant: a.Tenant, User: p.User, Method: "passkey", Mode: idp.ModeAccessPassOnce, Credential: "pass",
			Properties: []idp.Property{idp.Possession}, Time: a.Now,
		}}, nil
	}
	return method.Verdict{Proof: idp.Proof{
		Tenant: a.Tenant, User: p.User, Method: "passkey", Mode: idp.ModeFIDO2, Credential: "stub",
		Properties: append(p.Properties, idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor),
		AMR:        []string{"fido", "mfa"}, Time: a.Now, Facts: idp.Facts{AAGUID: "a25342c0-3cdc-4414-8e46-f4807fca511c"},
	}}, nil
}

// --- what tests set up ------------------------------------------------------

func (d *door) write(fn func(ctx context.Context, tx *sqldb.Tx) error) {
	d.t.Helper()
	if err := d.db.Write(context.Background(), fn); err != nil {
		d.t.Fatal(err)
	}
}

func (d *door) newTenant(name, domain string) (out idp.Tenant) {
	d.t.Helper()
	d.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		out, err = d.directory.CreateTenant(ctx, tx, idp.Tenant{Name: name, Domain: domain})
		return err
	})
	return out
}

func (d *door) newUser(t idp.TenantID, name string) (out idp.User) {
	d.t.Helper()
	d.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		out, err = d.directory.CreateUser(ctx, tx, idp.User{Tenant: t, Name: name, DisplayName: strings.ToUpper(name[:1]) + name[1:3], Enabled: true, Type: idp.Member})
		return err
	})
	return out
}

// app is a registered application and its secret.
type app struct {
	client.Client
	secret string
}

const callback = "https://wiki.example/cb"

// newApp registers a confidential first-party web app; change edits it first.
func (d *door) newApp(change func(*client.Client)) app {
	d.t.Helper()
	c := client.Client{
		Tenant: d.tenant.ID, Name: "Wiki", Kind: "web", RedirectURIs: []string{callback},
		PostLogoutURIs: []string{"https://wiki.example/bye"},
		Grants:         []string{"authorization_code", "refresh_token", "client_credentials"},
		Auth:           "secret", Alg: "ES256", Subject: "public", FirstParty: true, Enabled: true,
		Scopes: []string{"notes.read", "api://drawings/view", "api://drawings/edit"},
	}
	if change != nil {
		change(&c)
	}
	var a app
	d.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		a.Client, a.secret, err = d.clients.Create(ctx, tx, c)
		return err
	})
	return a
}

// update changes the registration of the app.
func (d *door) update(a app, change func(*client.Client)) {
	d.t.Helper()
	c := a.Client
	change(&c)
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := d.clients.Update(ctx, tx, c)
		return err
	})
}

// --- what a browser does ----------------------------------------------------

// browser keeps cookies and follows no redirect by itself.
type browser struct {
	*door
	http *http.Client
}

func (d *door) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return &browser{d, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is a response, read whole.
type answer struct {
	*http.Response
	body string
}

func (b *browser) do(req *http.Request) answer {
	b.t.Helper()
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{res, string(body)}
}

func (b *browser) get(address string) answer {
	b.t.Helper()
	req, err := http.NewRequest("GET", address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

func (b *browser) post(address string, v url.Values) answer {
	b.t.Helper()
	req, err := http.NewRequest("POST", address, strings.NewReader(v.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

// page wants the named page of ours.
func (a answer) page(t testing.TB, name string) {
	t.Helper()
	if got := a.Header.Get("X-Page"); got != name {
		t.Fatalf("got page %q (%d, location %q): %s\nwant page %q", got, a.StatusCode, a.Header.Get("Location"), a.body, name)
	}
}

func (a answer) shown(t testing.TB) (out shown) {
	t.Helper()
	a.page(t, "signin")
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// back wants a redirect to the application and gives its parameters.
func (a answer) back(t testing.TB, to string) url.Values {
	t.Helper()
	where := a.Header.Get("Location")
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(where, to) {
		t.Fatalf("got %d to %q (page %q: %s), want 303 to %s", a.StatusCode, where, a.Header.Get("X-Page"), a.body, to)
	}
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	if u.Fragment != "" {
		v, err := url.ParseQuery(u.EscapedFragment())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	return u.Query()
}

var verifier = oauth2.GenerateVerifier()

// ask is an authorization request of the app that is right in every part.
func (a app) ask(pairs ...string) url.Values {
	v := url.Values{
		"client_id": {string(a.ID)}, "redirect_uri": {a.RedirectURIs[0]}, "response_type": {"code"},
		"scope": {"openid profile email offline_access"}, "state": {"the state"}, "nonce": {"the nonce"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	for n := 0; n < len(pairs); n += 2 {
		if pairs[n+1] == "" {
			v.Del(pairs[n])
		} else {
			v.Set(pairs[n], pairs[n+1])
		}
	}
	return v
}

func (b *browser) authorize(v url.Values) answer {
	b.t.Helper()
	return b.get(b.at("/oauth2/v2.0/authorize?" + v.Encode()))
}

// prove answers the page as the user.
func (b *browser) prove(handle string, u idp.User, properties ...idp.Property) answer {
	b.t.Helper()
	return b.tell(handle, u, told{User: u.ID, Properties: properties})
}

// provePass answers it with an access pass.
func (b *browser) provePass(handle string, u idp.User) answer {
	b.t.Helper()
	return b.tell(handle, u, told{User: u.ID, Pass: true})
}

func (b *browser) tell(handle string, u idp.User, what told) answer {
	b.t.Helper()
	payload, err := json.Marshal(what)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.post(b.url+"/"+string(u.Tenant)+"/test/answer", url.Values{"handle": {handle}, "payload": {string(payload)}})
}

// signIn goes through the page and gives what the application hears.
func (b *browser) signIn(v url.Values, u idp.User) url.Values {
	b.t.Helper()
	return b.prove(b.authorize(v).shown(b.t).Handle, u).back(b.t, v.Get("redirect_uri"))
}

// --- what an application does -----------------------------------------------

// call posts a form to the endpoint as the app (by its secret, when it has
// one) and decodes the reply.
func (a app) call(d *door, path string, v url.Values) (int, map[string]any) {
	d.t.Helper()
	form := url.Values{}
	for k, vs := range v {
		form[k] = vs
	}
	req, err := http.NewRequest("POST", d.at(path), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if a.secret != "" {
		req.SetBasicAuth(url.QueryEscape(string(a.ID)), url.QueryEscape(a.secret))
	} else {
		form.Set("client_id", string(a.ID))
	}
	return d.send(req, form)
}

func (d *door) send(req *http.Request, form url.Values) (int, map[string]any) {
	d.t.Helper()
	body := form.Encode()
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a := d.browser().do(req)
	if a.Header.Get("Cache-Control") != "no-store" {
		d.t.Errorf("%s answers with Cache-Control %q", req.URL.Path, a.Header.Get("Cache-Control"))
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(a.body), &out); err != nil && a.body != "" {
		d.t.Fatalf("%s answers %d %q: %v", req.URL.Path, a.StatusCode, a.body, err)
	}
	return a.StatusCode, out
}

func (a app) token(d *door, v url.Values) (int, map[string]any) {
	d.t.Helper()
	return a.call(d, "/oauth2/v2.0/token", v)
}

// redeem is the form that redeems a code.
func (a app) redeem(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.RedirectURIs[0]}, "code_verifier": {verifier},
	}
}

// tokens signs ada in at a new browser and gives her tokens.
func (a app) tokens(d *door, scope string) map[string]any {
	d.t.Helper()
	return a.tokensOf(d, d.browser(), scope, d.ada)
}

func (a app) tokensOf(d *door, b *browser, scope string, u idp.User) map[string]any {
	d.t.Helper()
	heard := b.signIn(a.ask("scope", scope), u)
	status, out := a.token(d, a.redeem(heard.Get("code")))
	if status != http.StatusOK {
		d.t.Fatalf("redeem: %d %v (%v)", status, out, heard)
	}
	return out
}

// userinfo asks with the token.
func (d *door) userinfo(token string) answer {
	d.t.Helper()
	req, err := http.NewRequest("GET", d.at("/openid/userinfo"), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return d.browser().do(req)
}

func str(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

// wantError checks Entra's error body.
func wantError(t testing.TB, status int, body map[string]any, wantStatus int, word string, code int) {
	t.Helper()
	codes, _ := body["error_codes"].([]any)
	if status != wantStatus || str(body, "error") != word || len(codes) != 1 || codes[0] != float64(code) {
		t.Fatalf("got %d %v, want %d %s [%d]", status, body, wantStatus, word, code)
	}
	if !strings.HasPrefix(str(body, "error_description"), fmt.Sprintf("AADSTS%d: ", code)) {
		t.Errorf("description is %q", body["error_description"])
	}
	if str(body, "trace_id") == "" || str(body, "correlation_id") == "" || str(body, "timestamp") == "" {
		t.Errorf("body lacks its ids: %v", body)
	}
}

// payload decodes the claims of a compact token without verifying it.
func payload(t testing.TB, compact string) map[string]any {
	t.Helper()
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		t.Fatalf("token has %d parts: %q", len(parts), compact)
	}
	raw, err := b64url.DecodeString(parts[1])
	var out map[string]any
	if err := errors.Join(err, json.Unmarshal(raw, &out)); err != nil {
		t.Fatal(err)
	}
	return out
}
