package oidc

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// Whatever is sent, a request that is accepted has PKCE, a scope that its
// client is registered for, and values that survive the round trip.
func FuzzAuthorize(f *testing.F) {
	f.Add(goodRequest().Encode())
	f.Add(with("prompt", "none", "max_age", "1", "claims", `{"id_token":{"acr":null}}`).Encode())
	f.Add(with("scope", "openid api://drawings/.default", "resource", "api://drawings").Encode())
	f.Add("scope=openid&scope=openid&state=%ff&code_challenge=;&prompt=none+none")
	f.Add("claims=%7B%22userinfo%22%3A%7B%22name%22%3A%7B%22values%22%3A%5B%5B%5D%5D%7D%7D%7D")
	f.Fuzz(func(t *testing.T, raw string) {
		p, dup, err := parseQuery(raw)
		if err != nil {
			return
		}
		q, err := parseRequest(p, dup, testClient(), testIssuer)
		if err != nil {
			if word(err, true) == "server_error" {
				t.Errorf("%q is our fault: %v", raw, err)
			}
			return
		}
		if checkChallenge(q.Challenge, "S256") != nil || len(dup) > 0 || q.Resource == "" {
			t.Errorf("%q is accepted as %+v", raw, q)
		}
		for _, s := range q.Scopes {
			if !slices.Contains(openidScopes, s) && !slices.Contains(testClient().Scopes, s) {
				t.Errorf("%q got the scope %q", raw, s)
			}
		}
		back := reply{Redirect: "https://wiki.example/cb", Mode: modeQuery, State: q.State, Issuer: testIssuer}
		u, err := url.Parse(back.address(nil))
		if err != nil || u.Host != "wiki.example" || u.Query().Get("state") != q.State {
			t.Errorf("%q answers to %v (%v)", raw, u, err)
		}
	})
}

func FuzzClaims(f *testing.F) {
	f.Add(`{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`)
	f.Add(`{"userinfo":{"email":null},"id_token":{"sub":{"value":"x"}}}`)
	f.Add(`{"id_token":{"a":null,"a":null}}`)
	f.Add(`[[[[[[[[[[`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseClaimsParameter(s)
		if err != nil {
			if word(err, true) != "invalid_request" {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		for _, m := range []map[string]claimAsk{c.IDToken, c.UserInfo} {
			for name := range m {
				if !askableClaims[name] {
					t.Errorf("%q asks for %q", s, name)
				}
			}
		}
	})
}

func FuzzBasic(f *testing.F) {
	f.Add("Basic " + b64("id:secret"))
	f.Add("basic " + b64("i%20d:%3a"))
	f.Add("Basic Og==")
	f.Add("Bearer x")
	f.Fuzz(func(t *testing.T, header string) {
		id, pass, err := parseBasic(header)
		if err != nil {
			if word(err, false) != "invalid_client" {
				t.Errorf("%q: %v", header, err)
			}
			return
		}
		again := "Basic " + b64(url.QueryEscape(id)+":"+url.QueryEscape(pass))
		id2, pass2, err := parseBasic(again)
		if err != nil || id2 != id || pass2 != pass || id == "" {
			t.Errorf("%q reads as %q:%q, again as %q:%q (%v)", header, id, pass, id2, pass2, err)
		}
	})
}

func FuzzClientAssertion(f *testing.F) {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	f.Add(part(`{"alg":"ES256","kid":"k"}`) + "." + part(`{"iss":"a","sub":"a","aud":"b","exp":1,"jti":"x"}`) + ".AA")
	f.Add(part(`{"alg":"none"}`) + "." + part(`{"iss":"a"}`) + ".")
	f.Add(strings.Repeat(".", 10))
	f.Fuzz(func(t *testing.T, s string) {
		id, err := assertionIssuer(s)
		if err == nil && (id == "" || len(id) > 64) {
			t.Errorf("%q names %q", s, id)
		}
	})
}
