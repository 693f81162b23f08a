package psso_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/oidc"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/psso"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/web"
)

// front is a world with the door for applications before it, and one of them.
type front struct {
	*world
	openID http.Handler
	app    client.Client
	mac    *machine
	key    *platformtest.Key
	token  string // of ada on the Mac
}

var withCodes = append(slices.Clone(sources), oidc.Migrations)

func eachFront(t *testing.T, fn func(t *testing.T, f *front)) {
	sqldbtest.Each(t, withCodes, func(t *testing.T, db *sqldb.DB) { fn(t, newFront(t, db)) })
}

func liteFront(t testing.TB) *front { return newFront(t, sqldbtest.Open(t, []fs.FS(withCodes))) }

func newFront(t testing.TB, db *sqldb.DB) *front {
	t.Helper()
	f := &front{world: newWorld(t, db)}
	f.openID = f.node.front()
	c := client.Client{
		Tenant: f.tenant.ID, Name: "Wiki", Kind: client.Native, RedirectURIs: []string{"https://wiki.example/cb"},
		Grants: []string{client.GrantCode, client.GrantRefresh}, Auth: client.AuthNone, Alg: "ES256", Subject: "public",
		FirstParty: true, Enabled: true,
	}
	f.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		f.app, _, err = f.clients.Create(ctx, tx, c)
		return err
	})
	f.mac = f.world.mac()
	f.key = f.enrol(f.mac, f.ada)
	f.token = f.signIn(f.mac, f.ada, f.key)
	return f
}

// front is the door for applications of a node.
func (n *node) front() http.Handler {
	door := oidc.New(oidc.Config{BaseURL: base, DB: n.db, Directory: n.directory, Clients: n.clients, Policies: n.policies,
		Sessions: n.sessions, Tokens: n.tokens, Keys: n.keys, Corridor: n.corridor, Box: n.box, Audit: n.audit, Now: n.clock.now,
		Epoch:   func() int64 { return 1 },
		Devices: &oidc.Devices{Brought: n.door.Brought, TenantOf: n.door.TenantOf},
		SignIn: func(w http.ResponseWriter, _ *http.Request, _ signin.Flow, step signin.Step) error {
			w.Header().Set("X-Page", string(step.Kind))
			return nil
		},
		ErrorPage: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("X-Page", "error")
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, err.Error())
		},
		SignedOut: "/signed-out", Limits: oidc.Limits{FailuresPerClient: 1 << 20, FailuresPerSource: 1 << 20, Nonces: 1 << 20}})
	mux := http.NewServeMux()
	door.Mount(mux)
	return web.Chain(mux, web.Identify(nil), web.Headers(true), web.Spelling("/{t}/oauth2/v2.0/authorize"))
}

var verifier = oauth2.GenerateVerifier()

// ask is the path of an authorization request of the application that is right in
// every part, with changes in pairs.
func (f *front) ask(more ...string) string {
	v := url.Values{
		"client_id": {string(f.app.ID)}, "redirect_uri": {f.app.RedirectURIs[0]}, "response_type": {"code"}, "scope": {"openid profile offline_access"},
		"state": {"the state"}, "nonce": {"n"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	for n := 0; n < len(more); n += 2 {
		v.Set(more[n], more[n+1])
	}
	return f.at("/oauth2/v2.0/authorize") + "?" + v.Encode()
}

func uriHash(address string) string {
	sum := sha256.Sum256([]byte(address))
	return b64.EncodeToString(sum[:])
}

// pass is a message of the extension in the making.
type pass struct {
	header, claims object
	signer         crypto.Signer
}

// pass is for a request to a path, good in every part.
func (f *front) pass(path string) *pass {
	f.t.Helper()
	now := f.clock.now()
	return &pass{
		header: object{"typ": pssowire.TypeSSO, "alg": "ES256", "kid": f.mac.kid().String()}, signer: f.mac.signing,
		claims: object{
			"iss": pssowire.ClientID, "aud": base + f.at("/oauth2/v2.0/authorize"), "iat": now.Unix(), "exp": now.Unix() + 60,
			"request_nonce": f.nonce(), "uri_hash": uriHash(base + path), "refresh_token": f.token,
		},
	}
}

func (p *pass) text() string { return sign(p.header, p.claims, p.signer) }

// browse asks the door for applications, with headers in pairs.
func browse(h http.Handler, path string, headers ...string) answer {
	r := httptest.NewRequest("GET", path, nil)
	r.Host = "id.example"
	for n := 0; n < len(headers); n += 2 {
		r.Header.Add(headers[n], headers[n+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Result().Header, body: w.Body.String()}
}

func (f *front) bring(path string, p *pass) answer {
	return browse(f.openID, path, pssowire.HeaderSSO, p.text())
}

// cookieOf is the cookie of a session that an answer set.
func cookieOf(a answer) string {
	for _, line := range a.header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && strings.HasSuffix(c.Name, "signet-session") && c.Value != "" {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// code is the code that an answer hands over; empty for none.
func codeOf(a answer) string {
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil || u.Host != "wiki.example" {
		return ""
	}
	return u.Query().Get("code")
}

// page says that an answer is the sign-in page, and signs nobody in.
func page(t *testing.T, what string, a answer) {
	t.Helper()
	if a.header.Get("X-Page") != string(signin.StepUp) || cookieOf(a) != "" || codeOf(a) != "" {
		t.Errorf("%s: %d %v %s", what, a.status, a.header, a.body)
	}
}

func (f *front) sessionsOf(t *testing.T) []session.Session {
	t.Helper()
	list, err := f.sessions.List(t.Context(), f.tenant.ID, f.ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// From a login at the Mac to a code, to tokens that say by what, and on without
// the extension.
func TestSSO(t *testing.T) {
	eachFront(t, func(t *testing.T, f *front) {
		before := f.spent()
		a := f.bring(f.ask(), f.pass(f.ask()))
		code, cookie := codeOf(a), cookieOf(a)
		if code == "" || cookie == "" || a.status != http.StatusFound && a.status != http.StatusSeeOther {
			t.Fatalf("%d %v page %s %s", a.status, a.header, a.body, f.events("prt.use"))
		}
		if n := f.spent() - before; n != 1 {
			t.Errorf("%d nonces burnt", n)
		}
		r := httptest.NewRequest("POST", f.at("/oauth2/v2.0/token"), strings.NewReader(url.Values{
			"grant_type": {"authorization_code"}, "client_id": {string(f.app.ID)}, "redirect_uri": {f.app.RedirectURIs[0]}, "code": {code}, "code_verifier": {verifier},
		}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		f.openID.ServeHTTP(w, r)
		out := answer{status: w.Code, header: w.Result().Header, body: w.Body.String()}.json(t)
		id := f.idToken(t, out["id_token"])
		if fmt.Sprint(id["amr"]) != "[pop mfa]" || id["acr"] != "phr" || id["deviceid"] != string(f.mac.ID) || id["sub"] == "" || id["oid"] != string(f.ada.ID) {
			t.Errorf("id token %v", id)
		}
		list := f.sessionsOf(t)
		if len(list) != 1 || list[0].Device != f.mac.ID || list[0].PRT == "" {
			t.Errorf("sessions %+v", list)
		}
		// The session goes on by itself, and is the same when the extension
		// speaks again, with a newer login.
		if a := browse(f.openID, f.ask(), "Cookie", cookie); codeOf(a) == "" {
			t.Errorf("without the extension: %d %v", a.status, a.header)
		}
		f.token = f.signIn(f.mac, f.ada, f.key)
		third := browse(f.openID, f.ask(), "Cookie", cookie, pssowire.HeaderSSO, f.pass(f.ask()).text())
		if codeOf(third) == "" || cookieOf(third) != "" || len(f.sessionsOf(t)) != 1 {
			t.Errorf("after another login: %d %v", third.status, third.header)
		}
		// It ends with the login, and so does what came of it.
		f.write(func(ctx context.Context, tx *sqldb.Tx) error {
			return f.prts.RevokeUser(ctx, tx, f.tenant.ID, f.ada.ID)
		})
		page(t, "after the login has ended", browse(f.openID, f.ask(), "Cookie", cookie))
	})
}

// The address is bound as it was sent, in whichever of its spellings.
func TestSSOAddress(t *testing.T) {
	f := liteFront(t)
	v := "?" + strings.SplitN(f.ask(), "?", 2)[1]
	for _, path := range []string{
		"/nordhafen.example/oauth2/v2.0/authorize" + v, "/NORDHAFEN.example/oauth2/v2.0/Authorize" + v, f.at("/oauth2/authorize") + v,
		"/common/oauth2/v2.0/authorize" + v, f.ask() + "&x=%7e%7E+%20",
	} {
		if a := f.bring(path, f.pass(path)); codeOf(a) == "" {
			t.Errorf("%s: %d %v %s", path, a.status, a.header, a.body)
		}
	}
	// As proxies are asked (RFC 9112, Section 3.2.2).
	if a := f.bring(base+f.ask(), f.pass(f.ask())); codeOf(a) == "" {
		t.Errorf("whole: %d %v", a.status, a.header)
	}
	page(t, "of another host", f.bring("https://evil.example"+f.ask(), func() *pass {
		p := f.pass(f.ask())
		p.claims["uri_hash"] = uriHash("https://evil.example" + f.ask())
		return p
	}()))
}

// Bases of 64 in any spelling, as everywhere in this door.
func TestSSOSpelling(t *testing.T) {
	f := liteFront(t)
	p := f.pass(f.ask())
	sum := sha256.Sum256([]byte(base + f.ask()))
	p.claims["uri_hash"] = base64.StdEncoding.EncodeToString(sum[:])
	id := f.mac.kid()
	p.header["kid"] = b64.EncodeToString(id[:])
	if a := f.bring(f.ask(), p); codeOf(a) == "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	// A clock that is a minute wrong signs people in all the same.
	for _, off := range []time.Duration{-time.Minute + 5*time.Second, time.Minute} {
		p := f.pass(f.ask())
		at := f.clock.now().Add(off - 30*time.Second)
		p.claims["iat"], p.claims["exp"] = at.Unix(), at.Unix()+60
		if a := f.bring(f.ask(), p); codeOf(a) == "" {
			t.Errorf("off by %s: %d %v %v", off, a.status, a.header, f.events("prt.use"))
		}
	}
}

// TestSec_DEV10_SSORefused: what is wrong with a message is recorded, each for
// its own reason, and the person sees the page as if it was not there. Its nonce
// is gone once the Mac's signature was good.
func TestSec_DEV10_SSORefused(t *testing.T) {
	f := liteFront(t)
	other := f.world.mac()
	now := func() int64 { return f.clock.now().Unix() }
	classic, err := f.prts.Prepare(t.Context(), prt.PRT{Tenant: f.tenant.ID, User: f.ada.ID, Device: f.mac.ID, Protocol: prt.V4,
		Proofs: []idp.Proof{{Method: policy.Platform, User: f.ada.ID, Tenant: f.tenant.ID, Time: f.clock.now()}}})
	if err != nil {
		t.Fatal(err)
	}
	f.write(func(ctx context.Context, tx *sqldb.Tx) error { return f.prts.Add(ctx, tx, classic) })
	for _, c := range []struct {
		name, reason string
		burnt        int64
		change       func(p *pass)
	}{
		{"the key of another Mac", "wrong_signature", 0, func(p *pass) { p.signer = other.signing }},
		{"a Mac of nobody", "device_unknown", 0, func(p *pass) {
			k := ecKey()
			p.signer, p.header["kid"] = k, pssowire.KeyOf(&k.PublicKey).String()
		}},
		{"an encryption key", "device_unknown", 0, func(p *pass) {
			p.signer, p.header["kid"] = f.mac.encryption, pssowire.KeyOf(&f.mac.encryption.PublicKey).String()
		}},
		{"no key id", "kid_malformed", 0, func(p *pass) { delete(p.header, "kid") }},
		{"no signature", "algorithm_refused", 0, func(p *pass) { p.header["alg"] = "none" }},
		{"a login of another Mac", "prt_of_other_device", 1, func(p *pass) {
			p.signer, p.header["kid"] = other.signing, other.kid().String()
		}},
		{"a login request", "typ_differs", 1, func(p *pass) { p.header["typ"] = pssowire.TypeLogin }},
		{"of macOS 13", "typ_differs", 1, func(p *pass) { p.header["typ"] = "JWT" }},
		{"another application", "client_unknown", 1, func(p *pass) { p.claims["iss"] = string(f.app.ID) }},
		{"no application", "client_unknown", 1, func(p *pass) { delete(p.claims, "iss") }},
		{"the token endpoint", "audience_differs", 1, func(p *pass) { p.claims["aud"] = base + f.at("/psso/token") }},
		{"another tenant", "audience_differs", 1, func(p *pass) { p.claims["aud"] = base + "/" + string(f.other.ID) + "/oauth2/v2.0/authorize" }},
		{"more than one address", "audience_differs", 1, func(p *pass) { p.claims["aud"] = []any{p.claims["aud"], "https://evil.example"} }},
		{"for nobody", "audience_differs", 1, func(p *pass) { delete(p.claims, "aud") }},
		{"another state", "address_differs", 1, func(p *pass) { p.claims["uri_hash"] = uriHash(base + f.ask("state", "another")) }},
		{"without the query", "address_differs", 1, func(p *pass) { p.claims["uri_hash"] = uriHash(base + f.at("/oauth2/v2.0/authorize")) }},
		{"no address", "address_differs", 1, func(p *pass) { delete(p.claims, "uri_hash") }},
		{"half of the hash", "address_differs", 1, func(p *pass) { p.claims["uri_hash"] = p.claims["uri_hash"].(string)[:16] }},
		{"late", "assertion_late", 1, func(p *pass) { p.claims["iat"], p.claims["exp"] = now()-121, now()-61 }},
		{"from the future", "issued_ahead", 1, func(p *pass) { p.claims["iat"], p.claims["exp"] = now()+125, now()+180 }},
		{"for too long", "assertion_long", 1, func(p *pass) { p.claims["exp"] = p.claims["iat"].(int64) + 61 }},
		{"without end", "times_missing", 1, func(p *pass) { delete(p.claims, "exp") }},
		{"no token", "prt_unreadable", 1, func(p *pass) { delete(p.claims, "refresh_token") }},
		{"a token of nobody", "prt_unreadable", 1, func(p *pass) { p.claims["refresh_token"] = "1.AAAA" }},
		{"a broker's token", "prt_of_other_device", 1, func(p *pass) { p.claims["refresh_token"] = classic.Value }},
	} {
		p := f.pass(f.ask())
		c.change(p)
		before, spent := len(f.events("prt.use")), f.spent()
		page(t, c.name, f.bring(f.ask(), p))
		all := f.events("prt.use")
		if len(all) != before+1 || all[0] != "prt.use failure "+c.reason {
			t.Errorf("%s: %q", c.name, all[:len(all)-before])
		}
		if n := f.spent() - spent; n != c.burnt {
			t.Errorf("%s: %d nonces burnt", c.name, n)
		}
	}
	for name, headers := range map[string][]string{
		"twice":   {pssowire.HeaderSSO, f.pass(f.ask()).text(), pssowire.HeaderSSO, f.pass(f.ask()).text()},
		"no JWT":  {pssowire.HeaderSSO, "abc"},
		"Bearer ": {pssowire.HeaderSSO, "Bearer " + f.pass(f.ask()).text()},
	} {
		page(t, name, browse(f.openID, f.ask(), headers...))
	}
	if n := len(f.sessionsOf(t)); n != 0 {
		t.Errorf("%d sessions", n)
	}
	// Nothing of this has ended the login.
	if a := f.bring(f.ask(), f.pass(f.ask())); codeOf(a) == "" {
		t.Errorf("%d %v %v", a.status, a.header, f.events("prt.use"))
	}
}

// TestSec_DEV10_SSORevoked: who or what is switched off, removed or taken back
// signs nobody in from that moment on, at either of two servers.
func TestSec_DEV10_SSORevoked(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		do     func(f *front) func(context.Context, *sqldb.Tx) error
	}{
		"the login": {"prt_revoked", func(f *front) func(context.Context, *sqldb.Tx) error {
			return func(ctx context.Context, tx *sqldb.Tx) error {
				return f.prts.RevokeUser(ctx, tx, f.tenant.ID, f.ada.ID)
			}
		}},
		"the person": {"user_disabled", func(f *front) func(context.Context, *sqldb.Tx) error {
			return func(ctx context.Context, tx *sqldb.Tx) error {
				return f.directory.SetEnabled(ctx, tx, f.tenant.ID, f.ada.ID, false)
			}
		}},
		"the Mac": {"device_disabled", func(f *front) func(context.Context, *sqldb.Tx) error {
			return func(ctx context.Context, tx *sqldb.Tx) error {
				return f.devices.SetEnabled(ctx, tx, f.tenant.ID, f.mac.ID, false)
			}
		}},
		"the Mac's registration": {"device_unknown", func(f *front) func(context.Context, *sqldb.Tx) error {
			return func(ctx context.Context, tx *sqldb.Tx) error { return f.devices.Remove(ctx, tx, f.tenant.ID, f.mac.ID) }
		}},
		"the user key": {"prt_revoked", func(f *front) func(context.Context, *sqldb.Tx) error {
			list, err := f.prts.OfDevice(context.Background(), f.tenant.ID, f.mac.ID)
			if err != nil || len(list) != 1 {
				f.t.Fatal(list, err)
			}
			return func(ctx context.Context, tx *sqldb.Tx) error {
				return f.prts.RevokeStanding(ctx, tx, f.tenant.ID, f.ada.ID, policy.Platform, list[0].Proofs[0].Credential)
			}
		}},
		"devices altogether": {"", func(f *front) func(context.Context, *sqldb.Tx) error {
			p, err := f.policies.Get(context.Background(), f.tenant.ID)
			if err != nil {
				f.t.Fatal(err)
			}
			p = p.Clone()
			p.Devices.On = false
			return func(ctx context.Context, tx *sqldb.Tx) error { return f.policies.Put(ctx, tx, f.tenant.ID, p) }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			eachFront(t, func(t *testing.T, f *front) {
				p := f.pass(f.ask())
				f.write(c.do(f))
				page(t, name, f.bring(f.ask(), p))
				if all := f.events("prt.use"); c.reason != "" && (len(all) == 0 || all[0] != "prt.use failure "+c.reason) {
					t.Errorf("%q", all)
				}
				if n := len(f.sessionsOf(t)); n != 0 {
					t.Errorf("%d sessions", n)
				}
			})
		})
	}
}

// TestSec_DEV10_SSOReuse: the token of the login before is good, for what is on
// its way; an older one is somebody's copy, and the login ends with it.
func TestSec_DEV10_SSOReuse(t *testing.T) {
	f := liteFront(t)
	first := f.token
	second := f.signIn(f.mac, f.ada, f.key)
	if a := f.bring(f.ask(), f.pass(f.ask())); f.token != first || codeOf(a) == "" {
		t.Fatalf("the login before: %d %v", a.status, a.header)
	}
	f.token = f.signIn(f.mac, f.ada, f.key)
	newest := f.token
	f.token = second
	if a := f.bring(f.ask(), f.pass(f.ask())); codeOf(a) == "" {
		t.Errorf("the login before: %d %v", a.status, a.header)
	}
	f.token = first
	page(t, "an older one", f.bring(f.ask(), f.pass(f.ask())))
	if all := f.events("prt.use"); len(all) != 1 || all[0] != "prt.use failure prt_reuse" {
		t.Errorf("%q", all)
	}
	f.token = newest
	page(t, "the newest", f.bring(f.ask(), f.pass(f.ask())))
}

// TestSSONonce: a message without a nonce, or with one that is not good any
// more, is sent round once for a new one.
func TestSSONonce(t *testing.T) {
	f := liteFront(t)
	used, late := f.nonce(), f.nonce()
	p := f.pass(f.ask())
	p.claims["request_nonce"] = used
	if a := f.bring(f.ask(), p); codeOf(a) == "" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	f.advance(5*time.Minute + time.Second)
	for name, value := range map[string]string{
		"none": "", "of nobody": "abc", "used": used, "late": late, "of another tenant": f.nonceAt(t, string(f.other.ID)),
	} {
		if name == "used" { // late as well: another that is not
			value = f.nonce()
			p := f.pass(f.ask())
			p.claims["request_nonce"] = value
			if a := f.bring(f.ask(), p); codeOf(a) == "" {
				t.Fatalf("%d %v", a.status, a.header)
			}
		}
		p := f.pass(f.ask())
		p.claims["request_nonce"] = value
		a := f.bring(f.ask(), p)
		u, err := url.Parse(a.header.Get("Location"))
		if err != nil || a.status != http.StatusFound || u.Path != f.at("/oauth2/v2.0/authorize") || u.Query().Get("sso_nonce") == "" || cookieOf(a) != "" {
			t.Errorf("%s: %d %v", name, a.status, a.header)
			continue
		}
		// Who does not sign it, gets the page and not another round.
		next := u.RequestURI()
		again := f.pass(next)
		again.claims["request_nonce"] = value
		page(t, name+", a second round", f.bring(next, again))
		again.claims["request_nonce"] = u.Query().Get("sso_nonce")
		if a := f.bring(next, again); codeOf(a) == "" {
			t.Errorf("%s: with the new nonce: %d %v", name, a.status, a.header)
		}
	}
}

// An interrupt that grants nothing burns nothing, and carried proofs count for
// what their gestures were (decisions 1.3, 2.5).
func TestSSOInterrupt(t *testing.T) {
	f := liteFront(t)
	f.advance(11 * time.Minute)
	before := f.spent()
	for name, more := range map[string][]string{
		"a fresh gesture":      {"prompt", "login"},
		"an age":               {"max_age", "60"},
		"a strength":           {"acr_values", policy.ACRHardwareBound},
		"somebody else's page": {"login_hint", f.bob.Name},
		"whoever is to choose": {"prompt", "select_account"},
	} {
		path := f.ask(more...)
		page(t, name, f.bring(path, f.pass(path)))
	}
	if n := f.spent() - before; n != 0 {
		t.Errorf("%d nonces burnt", n)
	}
	path := f.ask("prompt", "none")
	if a := f.bring(path, f.pass(path)); codeOf(a) == "" {
		t.Errorf("silent: %d %v", a.status, a.header)
	}
}

// TestSec_DEV10_SSOReplay replays a message that signed somebody in, on two
// servers and by many at once: one code, one session.
func TestSec_DEV10_SSOReplay(t *testing.T) {
	eachFront(t, func(t *testing.T, f *front) {
		doors := []http.Handler{f.openID, f.again().front()}
		text := f.pass(f.ask()).text()
		codes := make(chan string, 48)
		start := make(chan struct{})
		var all sync.WaitGroup
		for n := range 48 {
			all.Go(func() {
				<-start
				a := browse(doors[n%2], f.ask(), pssowire.HeaderSSO, text)
				if code := codeOf(a); code != "" {
					codes <- code
				} else if cookieOf(a) != "" {
					t.Errorf("a session without a code: %v", a.header)
				}
			})
		}
		close(start)
		all.Wait()
		if n := len(codes); n != 1 {
			t.Errorf("%d codes", n)
		}
		if n := len(f.sessionsOf(t)); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

// A tenant in the token leads built-in applications at the address of all
// tenants to theirs, and nobody else.
func TestSSOTenantOf(t *testing.T) {
	f := liteFront(t)
	r := httptest.NewRequest("GET", "/", nil)
	if id, ok := f.door.TenantOf(r); ok || psso.Carries(r) {
		t.Errorf("no message: %q", id)
	}
	r.Header.Set(pssowire.HeaderSSO, f.pass(f.ask()).text())
	if id, ok := f.door.TenantOf(r); !ok || id != f.tenant.ID || !psso.Carries(r) {
		t.Errorf("%q %v", id, ok)
	}
	r.Header.Set(pssowire.HeaderSSO, "abc")
	if id, ok := f.door.TenantOf(r); ok {
		t.Errorf("no JWT: %q", id)
	}
}
