package psso_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/psso"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

func split(compact string) []string { return strings.Split(compact, ".") }

// idToken verifies an ID token as macOS does: by the keys of the tenant.
func (w *world) idToken(t testing.TB, compact any) (out object) {
	t.Helper()
	text, _ := compact.(string)
	m, err := jose.Parse(text, "ES256", "RS256")
	if err != nil {
		t.Fatalf("id token: %v", err)
	}
	key, err := w.keys.Public(context.Background(), w.tenant.ID, m.KeyID)
	if err != nil {
		t.Fatalf("id token: %v", err)
	}
	if err := m.Verify(key.Alg, key.Key, &out); err != nil {
		t.Fatalf("id token: %v", err)
	}
	return out
}

func TestLogin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		k := w.enrol(m, w.ada)
		q := w.login(m, w.ada, k)
		o := q.open(t, w.send(q))
		if o.media != "application/platformsso-login-response+jwt" || o.Type != "platformsso-login-response+jwt" {
			t.Errorf("media %q, typ %q", o.media, o.Type)
		}
		if want := pssowire.KeyOf(&m.encryption.PublicKey).String(); o.header["kid"] != want || o.header["alg"] != "ECDH-ES" || o.header["enc"] != "A256GCM" || o.header["zip"] != nil {
			t.Errorf("header %v", o.header)
		}
		if o.header["apv"] != b64.EncodeToString(q.apv()) {
			t.Errorf("apv %v", o.header["apv"])
		}
		for _, name := range []string{"refresh_token_expires_in", "expires_in"} {
			if n, ok := o.out[name].(float64); !ok || n < 13.9*24*3600 || n > 14*24*3600 {
				t.Errorf("%s is %v", name, o.out[name])
			}
		}
		if o.out["token_type"] != "Bearer" || o.out["refresh_token"] == "" {
			t.Errorf("reply %v", o.out)
		}
		id, now := w.idToken(t, o.out["id_token"]), w.clock.now().Unix()
		for name, want := range map[string]any{
			"iss": issuer(w.tenant.ID), "aud": pssowire.ClientID, "nonce": macNonce, "preferred_username": w.ada.Name, "name": w.ada.DisplayName,
			"oid": string(w.ada.ID), "tid": string(w.tenant.ID), "deviceid": string(m.ID), "groups": nil, "azp": nil,
		} {
			if id[name] != want {
				t.Errorf("%s is %v, want %v", name, id[name], want)
			}
		}
		if late := now - int64(id["iat"].(float64)); late < 5 || late > 60 {
			t.Errorf("issued %d s ago", late)
		}
		if int64(id["exp"].(float64)) <= now || id["nbf"].(float64) > id["iat"].(float64) {
			t.Errorf("times %v %v %v", id["nbf"], id["iat"], id["exp"])
		}
		if fmt.Sprint(id["amr"]) != "[pop mfa]" {
			t.Errorf("amr %v", id["amr"])
		}
		if got := fmt.Sprint(w.events("signin.done")); got != "[signin.done success allowed]" && !strings.Contains(got, "signin.done success") {
			t.Errorf("events %s", got)
		}
		prts, err := w.prts.OfDevice(t.Context(), w.tenant.ID, m.ID)
		if err != nil || len(prts) != 1 || prts[0].User != w.ada.ID || !prts[0].Direct || prts[0].Proofs[0].Method != policy.Platform {
			t.Errorf("PRTs %+v, %v", prts, err)
		}
		// A second login moves the same sign-in on.
		w.signIn(m, w.ada, k)
		again, err := w.prts.OfDevice(t.Context(), w.tenant.ID, m.ID)
		if err != nil || len(again) != 1 || again[0].ID != prts[0].ID || again[0].Generation != 2 {
			t.Errorf("after a second login: %+v, %v", again, err)
		}
	})
}

// Every way in which macOS writes a login is taken (§15, §17), and answered in
// kind.
func TestLoginDialects(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	text := func(n int64) string { return strconv.FormatInt(n, 10) }
	for name, change := range map[string]func(q *message){
		"macOS 13": func(q *message) {
			q.header["typ"], q.innerHeader["typ"] = "JWT", "JWT"
			q.with(object{"iat": text(q.now.Unix()), "exp": text(q.now.Unix() + 300)})
			q.form.Set("request", q.compact())
		},
		"typ in small letters":      func(q *message) { q.header["typ"] = "jwt" },
		"old outside, new inside":   func(q *message) { q.header["typ"] = "JWT" },
		"new outside, old inside":   func(q *message) { q.innerHeader["typ"] = "JWT" },
		"the slip in one sample":    func(q *message) { q.header["typ"] = pssowire.TypeAssertion },
		"protocol 2":                func(q *message) { q.form.Set("platform_sso_version", "2.0") },
		"version without a dot":     func(q *message) { q.form.Set("platform_sso_version", "1") },
		"version 2 without a dot":   func(q *message) { q.form.Set("platform_sso_version", "2") },
		"x5c, a string":             func(q *message) { q.header["x5c"] = base64.StdEncoding.EncodeToString([]byte("no matter")) },
		"x5c, a list":               func(q *message) { q.header["x5c"] = []string{base64.StdEncoding.EncodeToString([]byte("no matter"))} },
		"kid without padding":       func(q *message) { q.header["kid"] = strings.TrimRight(q.header["kid"].(string), "=") },
		"kid of the other alphabet": func(q *message) { id := m.kid(); q.header["kid"] = base64.URLEncoding.EncodeToString(id[:]) },
		"kid inside, the other one": func(q *message) { id := k.ID(); q.innerHeader["kid"] = b64.EncodeToString(id[:]) },
		"aud in a list":             func(q *message) { q.with(object{"aud": []any{"https://other.example", q.claims["aud"]}}) },
		"aud inside in a list":      func(q *message) { q.inner = object{"aud": []any{base + "/" + string(w.tenant.ID) + "/psso"}} },
		"times inside as text":      func(q *message) { q.inner = object{"iat": text(q.now.Unix()), "exp": text(q.now.Unix() + 300)} },
		"what nobody knows": func(q *message) {
			q.with(object{"amr": []string{"pwd"}, "custom": object{"a": 1}})
			q.form.Set("custom", "x")
		},
		"client id in capitals": func(q *message) { q.with(object{"client_id": strings.ToUpper(pssowire.ClientID)}) },
		"name in capitals":      func(q *message) { n := strings.ToUpper(w.ada.Name); q.with(object{"sub": n, "username": n}) },
		"a long nonce":          func(q *message) { q.with(object{"nonce": strings.Repeat("x", 128)}) },
		"a token of before":     func(q *message) { q.with(object{"previous_refresh_token": "whatever"}) },
		"more scopes":           func(q *message) { q.with(object{"scope": "profile " + scope}) },
	} {
		q := w.login(m, w.ada, k)
		change(q)
		a := w.send(q)
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s (%s)", name, a.status, a.body, a.cause)
			continue
		}
		o := q.open(t, a)
		want := pssowire.TypeLoginReply
		if typ, _ := q.header["typ"].(string); strings.EqualFold(typ, "JWT") {
			want = "JWT"
		}
		if o.Type != want || o.media != pssowire.MediaLogin {
			t.Errorf("%s: typ %q, media %q", name, o.Type, o.media)
		}
		if id := w.idToken(t, o.out["id_token"]); id["nonce"] != q.claims["nonce"] {
			t.Errorf("%s: nonce %v", name, id["nonce"])
		}
	}
}

// A Mac's clock may be off by a minute either way (§17), and not by more.
func TestLoginClocks(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	for by, want := range map[time.Duration]string{
		time.Minute: "", -time.Minute: "", 0: "", time.Minute + 59*time.Second: "",
		3 * time.Minute: "issued_ahead", -7 * time.Minute: "assertion_late",
	} {
		q := w.login(m, w.ada, k)
		at := q.now.Add(by)
		q.with(object{"iat": at.Unix(), "exp": at.Add(5 * time.Minute).Unix()})
		a := w.send(q)
		if want == "" {
			// Nor is what it gets from the future of that clock.
			if iat := int64(w.idToken(t, q.open(t, a).out["id_token"])["iat"].(float64)); iat > min(at.Unix(), q.now.Unix()-5) || iat < q.now.Unix()-120 {
				t.Errorf("%s: issued %d s after the request", by, iat-at.Unix())
			}
			continue
		}
		a.refused(t, by.String(), http.StatusBadRequest, "invalid_request", "")
		if a.reason() != want {
			t.Errorf("%s: %s, want %s", by, a.cause, want)
		}
	}
}

// The Mac hears of the groups that it asked about, and of no others (§7.5).
func TestLoginGroups(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		for _, name := range []string{"Staff", "Admins", "Secret"} {
			g, err := w.directory.CreateGroup(ctx, tx, directory.Group{Tenant: w.tenant.ID, Name: name})
			if err != nil {
				return err
			}
			who := w.ada
			if name == "Admins" {
				who = w.bob
			}
			if _, err := w.directory.AddMember(ctx, tx, w.tenant.ID, g.ID, who.ID); err != nil {
				return err
			}
		}
		return nil
	})
	asking := func(names ...string) object {
		return object{"claims": object{"id_token": object{"groups": object{"values": names}}}}
	}
	for want, more := range map[string]object{
		"[Staff]": asking("Staff", "Admins", "Nobody"), "[]": asking("Admins"), "[STAFF]": asking("STAFF"), "<nil>": {},
	} {
		q := w.login(m, w.ada, k).with(more)
		o := q.open(t, w.send(q))
		if got := fmt.Sprint(w.idToken(t, o.out["id_token"])["groups"]); got != want {
			t.Errorf("%v: groups %s, want %s", more, got, want)
		}
	}
	many := make([]string, 101)
	a := w.send(w.login(m, w.ada, k).with(asking(many...)))
	a.refused(t, "too many groups", http.StatusBadRequest, "invalid_request", "")
	if a.reason() != "too_many_groups" {
		t.Errorf("too many groups: %s", a.cause)
	}
}

func TestNonce(t *testing.T) {
	w := lite(t)
	for _, path := range []string{"/psso/nonce", "/psso/token"} {
		for _, ref := range []string{string(w.tenant.ID), w.tenant.Domain, strings.ToUpper(w.tenant.Domain)} {
			r := httptest.NewRequest("POST", base+"/"+ref+path, strings.NewReader("grant_type=srv_challenge&custom=1"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
			a := w.do(r)
			out := a.json(t)
			if value, _ := out["Nonce"].(string); a.status != http.StatusOK || len(value) < 22 || len(out) != 1 || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d %v", ref, path, a.status, out)
			}
		}
		for _, ref := range []string{"common", "organizations", "nobody.example"} {
			a := w.post("/"+ref+path, url.Values{"grant_type": {"srv_challenge"}})
			a.refused(t, ref+path, http.StatusBadRequest, "invalid_request", "")
		}
	}
	a := w.post(w.at("/psso/nonce"), url.Values{"grant_type": {"password"}})
	a.refused(t, "another grant", http.StatusBadRequest, "unsupported_grant_type", "")
	if n := w.spent(); n != 0 {
		t.Errorf("giving out nonces has written %d rows", n)
	}
	w.policy(func(p *policy.Policy) { p.Devices.On = false })
	w.post(w.at("/psso/nonce"), url.Values{"grant_type": {"srv_challenge"}}).refused(t, "devices off", http.StatusBadRequest, "invalid_client", "")
}

// A nonce that any tenant takes is good here too (decisions 1.4), and one of the
// token endpoint of applications is one of ours.
func TestNonceOfAnyTenant(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	value, err := w.box.Seal(t.Context(), "common", "nonce", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	q := w.login(m, w.ada, k).with(object{"request_nonce": value})
	q.open(t, w.send(q))
	w.send(w.login(m, w.ada, k).with(object{"request_nonce": value})).refused(t, "a second time", http.StatusBadRequest, "invalid_grant", "nonce")
}

// At the address with the domain a message names the tenant's id, as the
// configuration does.
func TestAddressByDomain(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	q := w.login(m, w.ada, k)
	q.open(t, w.post("/"+w.tenant.Domain+q.path, q.body()))
	q = w.login(m, w.ada, k).with(object{"aud": base + "/" + w.tenant.Domain + q.path})
	a := w.post("/"+w.tenant.Domain+q.path, q.body())
	a.refused(t, "the domain in aud", http.StatusBadRequest, "invalid_client", "")
}

func TestErrorsAreJSON(t *testing.T) {
	w := lite(t)
	for name, r := range map[string]*http.Request{
		"no content type": httptest.NewRequest("POST", base+w.at("/psso/token"), strings.NewReader("grant_type=srv_challenge")),
		"no form": func() *http.Request {
			r := httptest.NewRequest("POST", base+w.at("/psso/token"), strings.NewReader(`{}`))
			r.Header.Set("Content-Type", "application/json")
			return r
		}(),
		"a bent form": func() *http.Request {
			r := httptest.NewRequest("POST", base+w.at("/psso/key"), strings.NewReader(`a=%zz`))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return r
		}(),
		"oversize": func() *http.Request {
			r := httptest.NewRequest("POST", base+w.at("/psso/token"), strings.NewReader("assertion="+strings.Repeat("a", 64<<10)))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return r
		}(),
		"twice": func() *http.Request {
			r := httptest.NewRequest("POST", base+w.at("/psso/token"), strings.NewReader("grant_type=srv_challenge&grant_type=srv_challenge"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return r
		}(),
	} {
		id := "4f6ad3c1-6f0e-4d2a-9a55-0c6a0a5b7c11"
		r.Header.Set("Client-Request-Id", strings.ToUpper(id))
		a := w.do(r)
		a.refused(t, name, http.StatusBadRequest, "invalid_request", "")
		if a.json(t)["correlation_id"] != id {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if a := w.do(httptest.NewRequest(method, base+w.at("/psso/token"), nil)); a.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, a.status)
		}
	}
}

// Who asks too often waits, and is told for how long.
func TestLimits(t *testing.T) {
	w := lite(t, func(c *psso.Config) { c.Limits = psso.Limits{Nonces: 3, Failures: 2, Asks: 1, Unlocks: 2} })
	m := w.mac()
	k := w.enrol(m, w.ada)
	form := url.Values{"grant_type": {"srv_challenge"}}
	var a answer
	for range 4 {
		a = w.post(w.at("/psso/nonce"), form)
	}
	a.refused(t, "nonces", http.StatusTooManyRequests, "temporarily_unavailable", "")
	if wait, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	w.advance(time.Hour)
	q := w.login(m, w.ada, k)
	for range 2 {
		w.post(w.at("/psso/token"), url.Values{"grant_type": {"password"}, "platform_sso_version": {"1.0"}}).
			refused(t, "failures", http.StatusBadRequest, "unsupported_grant_type", "")
	}
	w.send(q).refused(t, "after failures", http.StatusTooManyRequests, "temporarily_unavailable", "")
	w.advance(time.Minute)
	w.signIn(m, w.ada, k)
}

// What the key service does costs a key agreement, and is bounded for each Mac
// and person; others are not kept waiting.
func TestUnlockLimit(t *testing.T) {
	w := lite(t, func(c *psso.Config) { c.Limits = psso.Limits{Nonces: 1 << 20, Unlocks: 2} })
	m := w.mac()
	k, b := w.enrol(m, w.ada), w.enrol(m, w.bob)
	token, bobs := w.signIn(m, w.ada, k), w.signIn(m, w.bob, b)
	for range 2 {
		q := w.keyRequest(m, w.ada, token)
		q.open(t, w.send(q))
	}
	w.send(w.keyRequest(m, w.ada, token)).refused(t, "ada", http.StatusTooManyRequests, "temporarily_unavailable", "")
	q := w.keyRequest(m, w.bob, bobs)
	q.open(t, w.send(q))
}
