package oddclient

import (
	"net/http"
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
