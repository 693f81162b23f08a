package oddclient

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// Tokens for applications through a PRT, in each dialect and protocol, and how
// the answer is sealed (§8.5, §9.1; decisions 4.4).
func TestUse(t *testing.T) {
	s := newSite(t)
	strict := s.organise("strict.example")
	old := s.organise("old.example", "devices.compat.kdfV1", "true", "devices.compat.cbcResponses", "true")
	v1b := DialectB().WithKDF(1)
	v1b.CtxLen = 16
	wide := DialectB()
	wide.CtxLen = 64
	e := map[*organisation]*enrolled{}
	for _, o := range []*organisation{strict, old} {
		e[o] = o.somebody("ada").enrol(t, o.client(DialectB()))
	}
	for _, c2 := range []struct {
		name    string
		org     *organisation
		dialect Dialect
		iv      int
	}{
		{"a with KDF 2", strict, DialectA().WithKDF(2), 12},
		{"b", strict, DialectB(), 12},
		{"b, 64 bytes of ctx", strict, wide, 12},
		{"b, 3.0", strict, DialectB().With(prtProtocol, "3.0"), 12},
		{"c", strict, DialectC(), 12},
		{"a with KDF 1, compat", old, DialectA(), 16},
		{"b with KDF 1 and 16 bytes of ctx, compat", old, v1b, 16},
		{"b, compat", old, DialectB(), 16},
		{"b, 3.0, compat", old, DialectB().With(prtProtocol, "3.0"), 12},
		{"c, compat", old, DialectC(), 16},
	} {
		c, who := c2.org.client(c2.dialect), e[c2.org]
		p, err := c.PRTByHello(t.Context(), who.device, who.hello)
		if err != nil {
			t.Errorf("%s: %v", c2.name, err)
			continue
		}
		for scope, aud := range map[string]string{graphURL + "/.default openid": "00000003-0000-0000-c000-000000000000", enrollmentURL + "/.default openid profile": enrollmentURL} {
			got, a, err := c.Use(t.Context(), p, brokerID, scope)
			if err != nil || got == nil {
				t.Errorf("%s: %v, %v", c2.name, orBody(a), err)
				continue
			}
			if _, sealed, err := c.open(p, a); err != nil || sealed.IV != c2.iv {
				t.Errorf("%s: an IV of %d bytes, %v", c2.name, sealed.IV, err)
			}
			checkTokens(t, c2.name, got, who.device.ID)
			claims, err := claimsOf(got["access_token"].(string))
			if err != nil || claims["aud"] != aud && claims["aud"] != scope[:len(scope)-len("/.default openid")] || claims["appid"] != brokerID && claims["azp"] != brokerID {
				t.Errorf("%s: %s gives %v, %v", c2.name, scope, claims, err)
			}
			if h := a.Header; h.Get("Cache-Control") != "no-store" || h.Get("Pragma") != "no-cache" || !strings.HasPrefix(h.Get("Content-Type"), "application/json") {
				t.Errorf("%s: headers %v", c2.name, h)
			}
		}
		next, a, err := c.Renew(t.Context(), p)
		if err != nil || next.Token == "" {
			t.Errorf("%s: renewal: %v, %v", c2.name, orBody(a), err)
			continue
		}
		checkPRT(t, c2.name+", renewed", next, who)
		if got, a, err := c.Use(t.Context(), next, brokerID, graphURL+"/.default openid"); err != nil || got == nil {
			t.Errorf("%s: the renewed PRT: %v, %v", c2.name, orBody(a), err)
		}
	}
}

// A resource as its own claim (v1), PoP and proofs of capability (§9.1, §9.4, §11).
func TestUseClaims(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	p := e.prt(t, c)
	ask := func(extra []string, edits ...edit) (map[string]any, Answer) {
		request, err := c.signed(p, c.usePayload(p, c.nonce(t), brokerID, "openid"), edits...)
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.ask(t.Context(), request, extra...)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != http.StatusOK {
			return nil, a
		}
		got, _, err := c.open(p, a)
		if err != nil {
			t.Fatal(err)
		}
		return got, a
	}
	resource := func(v string) edit { return func(m message) { m.payload["resource"] = v } }
	got, a := ask(nil, resource(drsURN))
	if got == nil {
		t.Fatalf("resource: %v", orBody(a))
	}
	claims, err := claimsOf(got["access_token"].(string))
	if err != nil || claims["aud"] != drsURN || claims["deviceid"] != e.device.ID {
		t.Errorf("resource: %v, %v", claims, err)
	}

	cp1 := `{"access_token":{"xms_cc":{"values":["CP1"]}}}`
	if got, a = ask([]string{"claims", cp1}, resource(graphURL)); got == nil {
		t.Fatalf("xms_cc: %v", orBody(a))
	}
	if claims, err = claimsOf(got["access_token"].(string)); err != nil {
		t.Fatal(err)
	}
	if cc, _ := claims["xms_cc"].([]any); !slices.Contains(cc, any("CP1")) {
		t.Errorf("xms_cc is %v", claims["xms_cc"])
	}

	later := time.Now().Add(time.Hour).Unix()
	newer := mustJSON(t, map[string]any{"access_token": map[string]any{"nbf": map[string]any{"essential": true, "value": later}}})
	_, a = ask([]string{"claims", string(newer)}, resource(graphURL))
	// v1 says invalid_grant, v2 interaction_required (§3.2, §11).
	if r := a.Refusal(); a.Status != 400 || r.Error != "interaction_required" && r.Error != "invalid_grant" || r.Claims == "" {
		t.Errorf("a token after an hour from now: %v, claims %q", orBody(a), r.Claims)
	}
}

// Refusals of requests under the session key (§3.2, §8.3, §8.4, §9.1, §15).
func TestUseRefused(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	p, other := e.prt(t, c), e.prt(t, c)
	send := func(c *Client, p PRT, edits ...edit) (Answer, error) {
		request, err := c.signed(p, c.usePayload(p, c.nonce(t), brokerID, graphURL+"/.default openid"), edits...)
		if err != nil {
			return Answer{}, err
		}
		return c.ask(t.Context(), request)
	}
	if a, err := send(c, p); err != nil || a.Status != 200 {
		t.Fatalf("the right request: %v, %v", orBody(a), err)
	}
	put := func(name string, v any) edit { return func(m message) { m.payload[name] = v } }
	drop := func(name string) edit { return func(m message) { delete(m.payload, name) } }
	head := func(name string, v any) edit { return func(m message) { m.header[name] = v } }
	short, empty, long := DialectB(), DialectB(), DialectB()
	short.CtxLen, empty.CtxLen, long.CtxLen = 15, 0, 65
	var (
		badKey    = want{"invalid_grant", "bad_token", []int{140001, 50006}}
		badKDF    = want{"invalid_grant", "bad_token", []int{5000611}}
		badNonce  = want{"invalid_grant", "bad_token", []int{140000}}
		badPRT    = want{"invalid_grant", "bad_token", []int{70000, 9002313}}
		malformed = want{"invalid_request", "", []int{50027, 9002313, 900144}}
		// What kind of refusal a bad ctx or kdf_ver gets is left open (§8.2, §8.3).
		rejected = want{anything, anything, nil}
	)
	spent := c.nonce(t)
	if a, err := send(c, p, put("request_nonce", spent)); err != nil || a.Status != 200 {
		t.Fatalf("the right request: %v, %v", orBody(a), err)
	}
	wrongSession := p
	wrongSession.Session = other.Session
	outsideAlphabet := p
	outsideAlphabet.Token = p.Token[:len(p.Token)/2] + flip(p.Token[len(p.Token)/2:])
	for _, r := range []refusal{
		{"another PRT's session key", badKey, func() (Answer, error) { return send(c, wrongSession) }},
		{"a PRT that is none", badPRT, func() (Answer, error) { return send(c, p, put("refresh_token", "1.AAAA")) }},
		{"a bit of the PRT", badPRT, func() (Answer, error) { return send(c, outsideAlphabet) }},
		{"no PRT", malformed, func() (Answer, error) { return send(c, p, drop("refresh_token")) }},
		{"KDF 1 after 2", badKDF, func() (Answer, error) { return send(c.Speaking(DialectB().WithKDF(1)), p) }},
		{"kdf_ver 2 signed with KDF 1", badKey, func() (Answer, error) {
			return send(c.Speaking(DialectB().WithKDF(1)), p, head("kdf_ver", 2))
		}},
		{"kdf_ver taken away", want{"invalid_grant", "bad_token", []int{5000611, 140001}}, func() (Answer, error) { return send(c, p, func(m message) { delete(m.header, "kdf_ver") }) }},
		{"kdf_ver 3", rejected, func() (Answer, error) { return send(c, p, head("kdf_ver", 3)) }},
		{"no ctx", rejected, func() (Answer, error) { return send(c, p, func(m message) { delete(m.header, "ctx") }) }},
		{"ctx of 0 bytes", rejected, func() (Answer, error) { return send(c.Speaking(empty), p) }},
		{"ctx of 15 bytes", rejected, func() (Answer, error) { return send(c.Speaking(short), p) }},
		{"ctx of 65 bytes", rejected, func() (Answer, error) { return send(c.Speaking(long), p) }},
		{"alg none", rejected, func() (Answer, error) { return send(c, p, head("alg", "none")) }},
		{"alg HS512", rejected, func() (Answer, error) { return send(c, p, head("alg", "HS512")) }},
		{"crit", rejected, func() (Answer, error) { return send(c, p, head("crit", []string{"ctx"})) }},
		{"no nonce", want{"invalid_request", "", []int{140000}}, func() (Answer, error) { return send(c, p, drop("request_nonce")) }},
		{"a nonce for the second time", badNonce, func() (Answer, error) { return send(c, p, put("request_nonce", spent)) }},
		{"a nonce that is not ours", badNonce, func() (Answer, error) { return send(c, p, put("request_nonce", "AwABEgEAAAADAOz")) }},
		{"an unknown application", want{anything, "", []int{700016}}, func() (Answer, error) { return send(c, p, put("client_id", newGUID())) }},
		{"an unknown resource", want{anything, "", []int{500011, 50001, 70011}}, func() (Answer, error) {
			return send(c, p, put("scope", "https://nobody.example/.default openid"))
		}},
		{"another redirect address", want{anything, "", []int{50011}}, func() (Answer, error) { return send(c, p, put("redirect_uri", "https://evil.example/cb")) }},
		{"exp is over", outOfTime, func() (Answer, error) { return send(c, p, put("exp", "1700000000")) }},
		{"signed with the raw session key", rejected, func() (Answer, error) {
			m := message{header: map[string]any{"alg": "HS256", "typ": "JWT"}, payload: c.usePayload(p, c.nonce(t), brokerID, graphURL+"/.default openid")}
			request, err := c.compact(m, func(input, _ []byte) ([]byte, error) { return mac(p.Session, input), nil })
			if err != nil {
				return Answer{}, err
			}
			return c.ask(t.Context(), request)
		}},
		{"the PRT without proof", want{"invalid_grant", "bad_token", []int{70000, 9002313}}, func() (Answer, error) {
			return c.form(t.Context(), c.login("oauth2/v2.0/token"), "client_id", brokerID, "grant_type", "refresh_token", "refresh_token", p.Token, "scope", graphURL+"/.default")
		}},
		{"the device's signature instead of the session key's", rejected, func() (Answer, error) {
			request, err := c.outer(e.device, c.nonce(t), c.usePayload(p, c.nonce(t), brokerID, graphURL+"/.default openid"))
			if err != nil {
				return Answer{}, err
			}
			return c.ask(t.Context(), request)
		}},
	} {
		a, err := r.send()
		r.want.check(t, r.name, a, err)
	}
	// Nothing of that hurt the PRT.
	if a, err := send(c, p); err != nil || a.Status != 200 {
		t.Errorf("the PRT after all that: %v, %v", orBody(a), err)
	}
}

// flip changes the first character.
func flip(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}

// Key derivation 1 is refused by default, and once version 2 was used the
// switch does not bring it back (§0.2, §8.3; decisions 4.4, 4.8).
func TestKDFPolicy(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	v1, v2 := o.client(DialectA()), o.client(DialectA().WithKDF(2))
	e := o.somebody("ada").enrol(t, v2)
	refused := want{"invalid_grant", "bad_token", []int{5000611}}
	graph := graphURL + "/.default openid"
	p := e.prt(t, v1) // issued: a request without kdf_ver is no use of it
	_, a, err := v1.Use(t.Context(), p, brokerID, graph)
	refused.check(t, "KDF 1 by default", a, err)
	pinned := e.prt(t, v2)
	o.set("devices.compat.kdfV1", "true")
	if got, a, err := v1.Use(t.Context(), p, brokerID, graph); err != nil || got == nil {
		t.Errorf("KDF 1 under the switch: %v, %v", orBody(a), err)
	}
	_, a, err = v1.Use(t.Context(), pinned, brokerID, graph)
	refused.check(t, "KDF 1 with a PRT that was asked for with version 2", a, err)
	if got, a, err := v2.Use(t.Context(), p, brokerID, graph); err != nil || got == nil {
		t.Errorf("KDF 2 where 1 is allowed: %v, %v", orBody(a), err)
	}
	_, a, err = v1.Use(t.Context(), p, brokerID, graph)
	refused.check(t, "KDF 1 after version 2 was used", a, err)
	o.set("devices.compat.kdfV1", "false")
	p = e.prt(t, v1)
	_, a, err = v1.Use(t.Context(), p, brokerID, graph)
	refused.check(t, "KDF 1 after the switch is off again", a, err)
}

// Renewal keeps the session key; the previous generation is good for a while,
// an older one ends them all (§9.2, decisions 3.3, 4.8).
func TestRenewal(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	graph := graphURL + "/.default openid"
	first := e.prt(t, c)
	renew := func(p PRT) PRT {
		t.Helper()
		next, a, err := c.Renew(t.Context(), p)
		if err != nil || next.Token == "" {
			t.Fatalf("renewal: %v, %v", orBody(a), err)
		}
		return next
	}
	second := renew(first)
	if second.Token == first.Token {
		t.Error("a renewal answers the same PRT")
	}
	if got, a, err := c.Use(t.Context(), first, brokerID, graph); err != nil || got == nil {
		t.Errorf("the previous generation: %v, %v", orBody(a), err)
	}
	again := renew(first) // whose answer was lost
	if got, a, err := c.Use(t.Context(), second, brokerID, graph); err != nil || got == nil {
		t.Errorf("the current generation after a renewal by the previous one: %v, %v", orBody(a), err)
	}
	third := renew(again)
	_, a, err := c.Use(t.Context(), first, brokerID, graph)
	want{"invalid_grant", "bad_token", []int{50173, 70000}}.check(t, "the generation before the previous", a, err)
	for name, p := range map[string]PRT{"second": second, "third": third} {
		_, a, err := c.Use(t.Context(), p, brokerID, graph)
		want{"invalid_grant", "bad_token", []int{50173}}.check(t, "the "+name+" after the first came back", a, err)
	}
}

// What a PRT gives lives no longer than it: the device and the person are asked
// at each use (§11; decisions 4.8).
func TestRevocation(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	graph := graphURL + "/.default openid"
	use := func(p PRT) (Answer, error) { _, a, err := c.Use(t.Context(), p, brokerID, graph); return a, err }

	e := o.somebody("ada").enrol(t, c)
	p := e.prt(t, c)
	got, a, err := c.Use(t.Context(), p, brokerID, graph)
	if err != nil || got == nil {
		t.Fatalf("use: %v, %v", orBody(a), err)
	}
	refresh := got["refresh_token"].(string)
	derived := func() Answer {
		a, err := c.form(t.Context(), c.login("oauth2/v2.0/token"), "client_id", brokerID, "grant_type", "refresh_token", "refresh_token", refresh, "scope", graph)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := derived(); a.Status != 200 {
		t.Errorf("the refresh token that the PRT gave: %v", orBody(a))
	}
	o.admin(nil, "user", "disable", e.upn, "--tenant", o.domain)
	a, err = use(p)
	want{"invalid_grant", anything, []int{50057, 50173}}.check(t, "a person who is disabled", a, err)
	request, err := c.helloRequest(t.Context(), e.device, e.hello)
	if err != nil {
		t.Fatal(err)
	}
	a, err = c.askPRT(t.Context(), request)
	want{"invalid_grant", anything, []int{50057}}.check(t, "Hello of a person who is disabled", a, err)
	if a := derived(); a.Status/100 != 4 {
		t.Errorf("the refresh token of a person who is disabled: %d", a.Status)
	}

	bob := o.somebody("bob").enrol(t, c)
	p = bob.prt(t, c)
	o.admin(nil, "device", "disable", bob.device.ID, "--tenant", o.domain)
	disabled := want{"invalid_grant", "device_authentication_failed", []int{135011}}
	a, err = use(p)
	disabled.check(t, "a device that is disabled", a, err)
	redirect := "ms-appx-web://Microsoft.AAD.BrokerPlugin/" + brokerID
	if to, err := c.SSO(t.Context(), p, bob.device, c.authorizeURL(brokerID, redirect, graphURL)); err == nil && to.Query().Get("code") != "" {
		t.Errorf("a disabled device signs the browser in: %s", to)
	}
	if request, err = c.helloRequest(t.Context(), bob.device, bob.hello); err != nil {
		t.Fatal(err)
	}
	a, err = c.askPRT(t.Context(), request)
	disabled.check(t, "a PRT for a device that is disabled", a, err)
	o.admin(nil, "device", "enable", bob.device.ID, "--tenant", o.domain)
	a, err = use(p)
	want{"invalid_grant", "bad_token", []int{50173}}.check(t, "an old PRT of a device that is enabled again", a, err)
	p = bob.prt(t, c)
	if a, err = use(p); err != nil || a.Status != 200 {
		t.Errorf("a new PRT of a device that is enabled again: %v, %v", orBody(a), err)
	}
	o.admin(nil, "device", "remove", bob.device.ID, "--tenant", o.domain)
	gone := want{"invalid_grant", "device_authentication_failed", []int{50155}}
	a, err = use(p)
	want{"invalid_grant", anything, []int{50155, 50173}}.check(t, "a device that is gone", a, err)
	if request, err = c.helloRequest(t.Context(), bob.device, bob.hello); err != nil {
		t.Fatal(err)
	}
	a, err = c.askPRT(t.Context(), request)
	gone.check(t, "a PRT for a device that is gone", a, err)

	carl := o.somebody("carl").enrol(t, c)
	p = carl.prt(t, c)
	account, err := carl.Get(t.Context(), s.base+"/account")
	if err != nil {
		t.Fatal(err)
	}
	session, err := account.Session()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := carl.Post(t.Context(), "/account/sign-out-everywhere", url.Values{"session": {session}}); err != nil {
		t.Fatal(err)
	}
	a, err = use(p)
	want{"invalid_grant", "bad_token", []int{50173}}.check(t, "after signing out everywhere", a, err)
}

// A request whose header says more than it may: keys from outside are not
// looked at (§15 "alg confusion").
func TestForeignKeysIgnored(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	attacker := s.key()
	forged := *e.device
	forged.Key = attacker
	for name, value := range map[string]any{
		"jwk": map[string]string{"kty": "RSA", "e": "AQAB", "n": base64.RawURLEncoding.EncodeToString(attacker.N.Bytes())},
		"jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/cert",
	} {
		assertion, err := c.assertion(e.hello, c.nonce(t))
		if err != nil {
			t.Fatal(err)
		}
		request, err := c.outer(&forged, c.nonce(t), byHello(e.upn, assertion), func(m message) { m.header[name] = value })
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.askPRT(t.Context(), request)
		if err != nil || a.Status/100 != 4 {
			t.Errorf("%s: %d, %v", name, a.Status, err)
		}
	}
}
