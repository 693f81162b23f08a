package oddclient

import (
	"encoding/base64"
	"testing"
)

// Refusals of requests under the session key (§3.2, §8.3, §8.4, §9.1, §15).
func TestUseRefused(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	foreign := s.organise("other.example")
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
	registrations, _ := c.object(t, s.base+"/EnrollmentServer/nonce/"+o.id+"/?api-version=1.0")["Value"].(string)
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
		{"at another tenant", rejected, func() (Answer, error) {
			elsewhere := c.At(foreign.id)
			return send(elsewhere, p)
		}},
		{"at another tenant with a nonce of one's own", rejected, func() (Answer, error) { return send(c.At(foreign.id), p, put("request_nonce", c.nonce(t))) }},
		{"a nonce for registrations", badNonce, func() (Answer, error) { return send(c, p, put("request_nonce", registrations)) }},
		{"in protocol 4.0, signed by the device", rejected, func() (Answer, error) {
			v4 := c.Speaking(DialectB().With(prtProtocol, "4.0"))
			_, a, err := v4.Use4(t.Context(), e.device, p, []byte("apv"), brokerID, graphURL+"/.default openid")
			return a, err
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
