package broker_test

import (
	"context"
	"fmt"
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
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

const (
	prtHeader    = "x-ms-RefreshTokenCredential"
	deviceHeader = "x-ms-DeviceCredential"
)

var verifier = oauth2.GenerateVerifier()

// ask is an authorization request of an application that is right in every
// part.
func ask(c client.Client, more ...string) url.Values {
	v := url.Values{
		"client_id": {string(c.ID)}, "redirect_uri": {c.RedirectURIs[0]}, "response_type": {"code"}, "scope": {"openid profile offline_access"},
		"state": {"the state"}, "nonce": {"n"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	for n := 0; n < len(more); n += 2 {
		if more[n+1] == "" {
			v.Del(more[n])
		} else {
			v.Set(more[n], more[n+1])
		}
	}
	return v
}

// carried is what the device's browser signs.
func carried(prt, nonce string, more object) object {
	p := object{"refresh_token": prt, "request_nonce": nonce, "is_primary": "true", "win_ver": "10.0", "windows_api_version": "2.0.1", "x_client_platform": nil}
	for k, v := range more {
		if v == nil {
			delete(p, k)
		} else {
			p[k] = v
		}
	}
	return p
}

func (h held) cookie(nonce string) string { return h.sign(carried(h.value, nonce, nil)) }

func (m *machine) credential(nonce string) string {
	return m.sign(object{"grant_type": "device_auth", "iss": "aad:brokerplugin", "request_nonce": nonce, "x_client_platform": nil})
}

// authorize asks with headers, in pairs.
func (w *world) authorize(v url.Values, headers ...string) answer {
	w.t.Helper()
	return w.authorizeAt(w.node, w.at("/oauth2/v2.0/authorize"), v, headers...)
}

func (w *world) authorizeAt(n *node, path string, v url.Values, headers ...string) answer {
	r := httptest.NewRequest("GET", base+path+"?"+v.Encode(), nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return n.do(r)
}

// code is the code that an answer hands over, in its header and as a link.
func (a answer) code(t testing.TB, to string) string {
	t.Helper()
	where := a.header.Get("Location")
	u, err := url.Parse(where)
	if err != nil || a.status != http.StatusFound || !strings.HasPrefix(where, to) || u.Query().Get("code") == "" {
		t.Fatalf("%d to %q (page %s %s)", a.status, where, a.header.Get("X-Page"), a.body)
	}
	link := strings.NewReplacer("&amp;", "&", "&#34;", `"`).Replace(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(a.body), `<a href="`), `">Continue</a>`))
	if link != where {
		t.Errorf("link %q, header %q", link, where)
	}
	return u.Query().Get("code")
}

func (w *world) redeem(c client.Client, code string, more ...string) answer {
	v := url.Values{"grant_type": {"authorization_code"}, "client_id": {string(c.ID)}, "redirect_uri": {c.RedirectURIs[0]}, "code": {code}, "code_verifier": {verifier}}
	for n := 0; n < len(more); n += 2 {
		if more[n+1] == "" {
			v.Del(more[n])
		} else {
			v.Set(more[n], more[n+1])
		}
	}
	return w.post(w.at("/oauth2/v2.0/token"), v)
}

// sessionOf is the cookie of a session that an answer set.
func sessionOf(a answer) string {
	for _, line := range a.header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && strings.HasSuffix(c.Name, "signet-session") && c.Value != "" {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// From a header to a code, to tokens that know the device, and on without it.
func TestBrowserSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		app := w.app(nil)
		m, _, h := w.enrolled(0, w.ada)
		// Both headers, with one nonce, as published clients send them (fact 5).
		n := w.nonce()
		a := w.authorize(ask(app), prtHeader, h.cookie(n), deviceHeader, m.credential(n))
		code := a.code(t, app.RedirectURIs[0])
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", a.header)
		}
		out := w.redeem(app, code).json(t)
		access, id := claimsOf(t, out["access_token"]), claimsOf(t, out["id_token"])
		if access["deviceid"] != string(m.ID) || id["deviceid"] != string(m.ID) || id["acr"] != "phr" || fmt.Sprint(id["amr"]) != "[rsa mfa]" {
			t.Errorf("access %v\nid %v", access, id)
		}
		cookie := sessionOf(a)
		if cookie == "" {
			t.Fatal("no session")
		}
		// The session goes on by itself, and is not another one when the device
		// speaks again.
		again := w.authorize(ask(app), "Cookie", cookie)
		if again.status != http.StatusSeeOther || !strings.Contains(again.header.Get("Location"), "code=") {
			t.Errorf("without the header: %d %v", again.status, again.header)
		}
		third := w.authorize(ask(app), "Cookie", cookie, prtHeader, h.cookie(w.nonce()))
		third.code(t, app.RedirectURIs[0])
		if s := sessionOf(third); s != "" {
			t.Errorf("a new session %s", s)
		}
		list, err := w.sessions.List(t.Context(), w.tenant.ID, w.ada.ID)
		if err != nil || len(list) != 1 || list[0].Device != m.ID || list[0].PRT == "" {
			t.Errorf("sessions %+v, %v", list, err)
		}
		refresh := out["refresh_token"].(string)
		redeem := func(claims string) answer {
			return w.post(w.at("/oauth2/v2.0/token"), url.Values{
				"grant_type": {"refresh_token"}, "client_id": {string(app.ID)}, "refresh_token": {refresh}, "claims": {claims}})
		}
		// A challenge of a resource that wants newer proofs leaves the token as
		// it was (decisions 3.4).
		challenge := `{"access_token":{"nbf":{"essential":true,"value":"` + text(w.clock.now().Add(time.Minute).Unix()) + `"}}}`
		a = redeem(challenge)
		a.refused(t, "newer than the proof", "interaction_required", 50133, "basic_action")
		if a.json(t)["claims"] != challenge {
			t.Errorf("claims %v", a.json(t)["claims"])
		}
		ok := redeem(`{"access_token":{"nbf":{"essential":true,"value":1},"xms_cc":{"values":["CP1"]}}}`).json(t)
		if cc := fmt.Sprint(claimsOf(t, ok["access_token"])["xms_cc"]); cc != "[CP1]" {
			t.Errorf("xms_cc %s in %v", cc, ok)
		}
		refresh = ok["refresh_token"].(string)
		// It ends with the PRT, and so does what came of it.
		w.write(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.prts.RevokeUser(ctx, tx, w.tenant.ID, w.ada.ID)
		})
		if a := w.authorize(ask(app), "Cookie", cookie); a.header.Get("X-Page") != "step-up" {
			t.Errorf("the session outlives its PRT: %d %v", a.status, a.header)
		}
		a = w.post(w.at("/oauth2/v2.0/token"), url.Values{"grant_type": {"refresh_token"}, "client_id": {string(app.ID)}, "refresh_token": {refresh}})
		if !strings.Contains(a.body, "50173") {
			t.Errorf("the refresh token outlives its PRT: %d %s", a.status, a.body)
		}
	})
}

// A cookie of the device's browser, whole or in pieces, is for one request:
// what is kept is our own.
func TestBrowserCookie(t *testing.T) {
	w := lite(t)
	app := w.app(nil)
	_, _, h := w.enrolled(0, w.ada)
	text := h.cookie(w.nonce())
	a := w.authorize(ask(app), "Cookie", prtHeader+"="+text)
	a.code(t, app.RedirectURIs[0])
	gone := false
	for _, line := range a.header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == prtHeader {
			gone = c.Value == "" && c.MaxAge < 0
		}
	}
	if !gone || sessionOf(a) == "" {
		t.Errorf("cookies %q", a.header.Values("Set-Cookie"))
	}
	text = h.cookie(w.nonce())
	w.authorize(ask(app), "Cookie", prtHeader+"1="+text[:100]+"; "+prtHeader+"2="+text[100:]).code(t, app.RedirectURIs[0])
	text = h.cookie(w.nonce())
	w.authorize(ask(app), "Cookie", prtHeader+"="+text[:100]+"; "+prtHeader+"1="+text[100:]).code(t, app.RedirectURIs[0])

	// On plain HTTP a cookie is everybody's.
	plain := newNode(t, w.db, w.kek, w.clock, "http://id.example", w.notices)
	a = w.authorizeAt(plain, w.at("/oauth2/v2.0/authorize"), ask(app), "Cookie", prtHeader+"="+h.cookie(w.nonce()))
	if a.header.Get("X-Page") != "step-up" {
		t.Errorf("a cookie over HTTP: %d %v", a.status, a.header)
	}
	local := newNode(t, w.db, w.kek, w.clock, "http://localhost:8080", w.notices)
	w.authorizeAt(local, w.at("/oauth2/v2.0/authorize"), ask(app), "Cookie", prtHeader+"="+h.cookie(w.nonce())).code(t, app.RedirectURIs[0])
}

// A credential without a nonce, or with one that is not good any more, is sent
// round once for a new one (device-protocol.md §4.1).
func TestBrowserNonce(t *testing.T) {
	w := lite(t)
	app := w.app(nil)
	m, _, h := w.enrolled(0, w.ada)
	used, late := w.nonce(), w.nonce()
	w.authorize(ask(app), prtHeader, h.cookie(used)).code(t, app.RedirectURIs[0])
	for name, text := range map[string]string{
		"iat alone":             h.sign(carried(h.value, "", object{"request_nonce": nil, "iat": w.clock.now().Unix()})),
		"a nonce of nobody":     h.cookie("abc"),
		"a nonce that was used": h.cookie(used),
		"a late one":            h.cookie(late),
		"of another tenant":     h.cookie(w.nonceAt(t, string(w.other.ID))),
	} {
		if name == "a late one" {
			w.advance(nonceLives + time.Second)
		}
		a := w.authorize(ask(app, "sso_nonce", "old"), prtHeader, text)
		u, err := url.Parse(a.header.Get("Location"))
		if err != nil || a.status != http.StatusFound || u.Path != w.at("/oauth2/v2.0/authorize") || sessionOf(a) != "" {
			t.Errorf("%s: %d %v", name, a.status, a.header)
			continue
		}
		v := u.Query()
		n := v.Get("sso_nonce")
		if n == "" || n == "old" || len(v["sso_nonce"]) != 1 || v.Get("state") != "the state" {
			t.Errorf("%s: %v", name, v)
		}
		// Who does not sign it, gets the page and not another round.
		if a := w.authorize(v, prtHeader, text); a.header.Get("X-Page") != "step-up" {
			t.Errorf("%s: a second round: %d %v", name, a.status, a.header)
		}
		w.authorize(v, prtHeader, h.cookie(n)).code(t, app.RedirectURIs[0])
	}
	a := w.authorize(ask(app), deviceHeader, m.credential("abc"))
	if a.status != http.StatusFound || !strings.Contains(a.header.Get("Location"), "sso_nonce=") {
		t.Errorf("device alone: %d %v", a.status, a.header)
	}
}

// TestSec_DEV10_Ignored: what is wrong with a credential is recorded, and the
// person sees the page as if it was not there.
func TestSec_DEV10_Ignored(t *testing.T) {
	w := lite(t)
	app := w.app(nil)
	m, _, h := w.enrolled(0, w.ada)
	_, _, other := w.enrolled(1, w.bob)
	page := func(name string, a answer) {
		t.Helper()
		if a.header.Get("X-Page") != "step-up" || sessionOf(a) != "" {
			t.Errorf("%s: %d %v %s", name, a.status, a.header, a.body)
		}
	}
	for name, text := range map[string]string{
		"no JWT":                 "abc",
		"another session key":    other.sign(carried(h.value, w.nonce(), nil)),
		"a token of nobody":      h.sign(carried("1.AAAA", w.nonce(), nil)),
		"no token":               h.sign(carried("", w.nonce(), object{"refresh_token": nil})),
		"version 1":              derived(h.key, 1, carried(h.value, w.nonce(), nil)),
		"signed by a device":     m.sign(carried(h.value, w.nonce(), nil)),
		"the session key itself": rawMAC(h.key, encode(object{"alg": "HS256"}), encode(carried(h.value, w.nonce(), nil))),
	} {
		before := len(w.events("prt.use"))
		page(name, w.authorize(ask(app), prtHeader, text))
		if n := len(w.events("prt.use")) - before; n != 1 {
			t.Errorf("%s: %d events", name, n)
		}
	}
	w.switchOn(m, false)
	page("device disabled", w.authorize(ask(app), prtHeader, h.cookie(w.nonce())))
	w.switchOn(m, true)
	page("PRT from before", w.authorize(ask(app), prtHeader, h.cookie(w.nonce())))
	h = w.hello1(m, w.ada, helloKey(0))
	w.enable(w.ada, false)
	page("person disabled", w.authorize(ask(app), prtHeader, h.cookie(w.nonce())))
	w.enable(w.ada, true)
	w.policy(func(p *policy.Policy) { p.Devices.On = false })
	page("devices off", w.authorize(ask(app), prtHeader, h.cookie(w.nonce())))
	w.policy(func(p *policy.Policy) { p.Devices.On = true })
	w.authorize(ask(app), prtHeader, h.cookie(w.nonce())).code(t, app.RedirectURIs[0])
}

// TestSec_DEV10_CookieReplay replays a credential that signed somebody in, on
// the other node, and by many at once: one session.
func TestSec_DEV10_CookieReplay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		app := w.app(nil)
		_, _, h := w.enrolled(0, w.ada)
		nodes := []*node{w.node, w.again()}
		text := h.cookie(w.nonce())
		codes := make(chan string, 64)
		var all sync.WaitGroup
		start := make(chan struct{})
		for n := range 64 {
			all.Go(func() {
				<-start
				a := w.authorizeAt(nodes[n%2], w.at("/oauth2/v2.0/authorize"), ask(app), prtHeader, text)
				if strings.Contains(a.header.Get("Location"), "code=") {
					codes <- a.header.Get("Location")
				} else if sessionOf(a) != "" {
					t.Errorf("a session without a code: %v", a.header)
				}
			})
		}
		close(start)
		all.Wait()
		if n := len(codes); n != 1 {
			t.Errorf("%d codes", n)
		}
		list, err := w.sessions.List(t.Context(), w.tenant.ID, w.ada.ID)
		if err != nil || len(list) != 1 {
			t.Errorf("sessions %v, %v", list, err)
		}
	})
}

// An interrupt that grants nothing burns nothing: published clients send the
// whole request again with the same nonce (device-protocol.md §4).
func TestBrowserInterrupt(t *testing.T) {
	w := lite(t)
	app := w.app(nil)
	_, _, h := w.enrolled(0, w.ada)
	w.advance(11 * time.Minute)
	n := w.nonce()
	before := w.spent()
	for name, v := range map[string]url.Values{
		"a fresh gesture":               ask(app, "prompt", "login"),
		"an age":                        ask(app, "max_age", "60"),
		"a strength":                    ask(app, "acr_values", policy.ACRHardwareBound),
		"fresh factors":                 ask(app, "amr_values", "ngcmfa"),
		"somebody else's page":          ask(app, "login_hint", w.bob.Name),
		"whoever is to choose":          ask(app, "prompt", "select_account"),
		"newer than the resource wants": ask(app, "claims", `{"access_token":{"nbf":{"essential":true,"value":"`+text(w.clock.now().Unix()-30)+`"}}}`),
	} {
		a := w.authorize(v, prtHeader, h.cookie(n))
		if a.header.Get("X-Page") != "step-up" || sessionOf(a) != "" {
			t.Errorf("%s: %d %v", name, a.status, a.header)
		}
	}
	if got := w.spent() - before; got != 0 {
		t.Errorf("%d nonces burnt", got)
	}
	// prompt=none is answered without a page.
	a := w.authorize(ask(app, "prompt", "none", "max_age", "60"), prtHeader, h.cookie(n))
	if !strings.Contains(a.header.Get("Location"), "error=login_required") {
		t.Errorf("silent: %d %v", a.status, a.header)
	}
	a = w.authorize(ask(app, "prompt", "none"), prtHeader, h.cookie(n))
	a.code(t, app.RedirectURIs[0])
	if got := w.spent() - before; got != 1 {
		t.Errorf("%d nonces burnt", got)
	}
	// A gesture just made is fresh enough.
	m := h.at
	h = w.hello1(m, w.ada, helloKey(0))
	w.authorize(ask(app, "amr_values", "ngcmfa"), prtHeader, h.cookie(w.nonce())).code(t, app.RedirectURIs[0])
}

// An application that the person has not allowed yet: they are asked, in a
// session that stands on the PRT.
func TestBrowserConsent(t *testing.T) {
	w := lite(t)
	app := w.app(func(c *client.Client) { c.FirstParty = false })
	_, _, h := w.enrolled(0, w.ada)
	a := w.authorize(ask(app), prtHeader, h.cookie(w.nonce()))
	if a.header.Get("X-Page") != "consent" || sessionOf(a) == "" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	if got := w.spent(); got != 3 { // two of the PRT, and this one
		t.Errorf("%d nonces burnt", got)
	}
}

// A device alone says which machine this is, once the person signs in by hand.
func TestBrowserDevice(t *testing.T) {
	w := lite(t)
	app := w.app(nil)
	m := w.join(0)
	text := m.credential(w.nonce())
	a := w.authorize(ask(app), deviceHeader, text)
	if a.header.Get("X-Page") != "step-up" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	if got := w.spent(); got != 0 {
		t.Errorf("%d nonces burnt before anybody signed in", got)
	}
	key := w.register(w.ada, rpID, base)
	signIn := func(a answer) (string, error) {
		t.Helper()
		cookie := ""
		for _, line := range a.header.Values("Set-Cookie") {
			if c, err := http.ParseSetCookie(line); err == nil && strings.HasSuffix(c.Name, "signet-browser") {
				cookie = c.Value
			}
		}
		return w.answer(a.header.Get("X-Handle"), cookie, key)
	}
	dev, err := signIn(a)
	if err != nil || dev != string(m.ID) {
		t.Errorf("device %q, %v", dev, err)
	}
	// A copy of the credential proves no device a second time.
	if _, err := signIn(w.authorize(ask(app), deviceHeader, text)); err == nil {
		t.Error("one credential for two sessions")
	}
}

// Codes that a device has brought need no proof key, for built-in applications
// alone; others do, whatever the device says (decisions 4.1, OAU02).
func TestSec_OAU02_DeviceBoundCodes(t *testing.T) {
	w := lite(t)
	app := w.app(nil)
	m, _, h := w.enrolled(0, w.ada)
	broker, err := w.clients.Get(t.Context(), w.tenant.ID, client.Broker)
	if err != nil {
		t.Fatal(err)
	}
	bare := func(c client.Client, more ...string) url.Values {
		return ask(c, append([]string{"code_challenge", "", "code_challenge_method", ""}, more...)...)
	}
	a := w.authorize(bare(app), prtHeader, h.cookie(w.nonce()))
	if !strings.Contains(a.header.Get("Location"), "error=invalid_request") {
		t.Errorf("a registered application: %d %v", a.status, a.header)
	}
	for _, own := range []client.Client{{ID: client.Agent}, {ID: client.MacSSO}} {
		agent, err := w.clients.Get(t.Context(), w.tenant.ID, own.ID)
		if err != nil {
			t.Fatal(err)
		}
		a = w.authorize(bare(agent), prtHeader, h.cookie(w.nonce()))
		if !strings.Contains(a.header.Get("Location"), "error=invalid_request") {
			t.Errorf("our own program %s: %d %v", own.ID, a.status, a.header)
		}
	}
	a = w.authorize(bare(broker))
	if !strings.Contains(a.header.Get("Location"), "error=invalid_request") {
		t.Errorf("nobody brought anything: %d %v", a.status, a.header)
	}
	w.policy(func(p *policy.Policy) { p.Devices.Compat.BrokerWithoutPKCE = true })
	if a = w.authorize(bare(broker)); a.header.Get("X-Page") != "step-up" {
		t.Errorf("where the tenant lets the broker do without: %d %v", a.status, a.header)
	}
	w.policy(func(p *policy.Policy) { p.Devices.Compat.BrokerWithoutPKCE = false })
	// The road to a Hello key of published clients (device-protocol.md §6):
	// PRT, code with fresh factors, token of the registration service.
	a = w.authorizeAt(w.node, "/common/oauth2/authorize", bare(broker, "scope", "", "resource", "urn:ms-drs:enterpriseregistration.windows.net", "amr_values", "ngcmfa"),
		prtHeader, h.cookie(w.nonce()))
	code := a.code(t, broker.RedirectURIs[0])
	refused := w.redeem(broker, code) // with a verifier, for a code without
	if refused.status != http.StatusBadRequest {
		t.Errorf("a verifier without a challenge: %d %s", refused.status, refused.body)
	}
	a = w.authorizeAt(w.node, "/common/oauth2/authorize", bare(broker, "scope", "", "resource", "urn:ms-drs:enterpriseregistration.windows.net", "amr_values", "ngcmfa"),
		prtHeader, h.cookie(w.nonce()))
	out := w.redeem(broker, a.code(t, broker.RedirectURIs[0]), "code_verifier", "").json(t)
	access := claimsOf(t, out["access_token"])
	if access["deviceid"] != string(m.ID) || !slices.Contains(access["amr"].([]any), any("ngcmfa")) || access["aud"] != token.RegistrationAudience {
		t.Errorf("access token %v", access)
	}
}

// TestSec_T46_AppOfAnotherTenant: a device brings its credential to every
// request. At the address of all tenants it says for built-in applications alone
// whose request that is: an application of another tenant is found as without it,
// and is told nothing of the device's person.
func TestSec_T46_AppOfAnotherTenant(t *testing.T) {
	w := lite(t)
	theirs := w.app(func(c *client.Client) { c.Tenant = w.other.ID })
	_, _, h := w.enrolled(0, w.ada)
	a := w.authorizeAt(w.node, "/common/oauth2/v2.0/authorize", ask(theirs), prtHeader, h.cookie(w.nonce()))
	if a.header.Get("X-Page") != "step-up" || sessionOf(a) != "" {
		t.Errorf("%d page %q: %s", a.status, a.header.Get("X-Page"), a.body)
	}
	if got := w.spent(); got != 2 { // those of the PRT
		t.Errorf("%d nonces burnt", got)
	}
}
