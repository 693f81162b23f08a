package oddclient

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"
)

// PRTs in each dialect and protocol, by refresh token and by Hello key (§7.1,
// §7.2, §7.4). The refresh token of the sign-in serves several times (§0.21).
func TestPRT(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	refresh := e.tokens(t).Refresh
	padded := DialectC()
	padded.Padded = true
	plain := DialectB()
	plain.Times, plain.HelloAhead = NoTimes, 0
	for _, c2 := range []struct {
		name   string
		client *Client
	}{
		{"a, common", o.client(DialectA()).At("Common")},
		{"a, domain", o.client(DialectA()).At("CORP.example")},
		{"b", o.client(DialectB())},
		{"b, no times", o.client(plain)},
		{"b, 3.0", o.client(DialectB().With(prtProtocol, "3.0"))},
		{"c", o.client(DialectC())},
		{"c, padded", o.client(padded)},
	} {
		p, err := c2.client.PRTByHello(t.Context(), e.device, e.hello)
		if err != nil {
			t.Errorf("%s by Hello key: %v", c2.name, err)
			continue
		}
		checkPRT(t, c2.name, p, e)
		if p, err = c2.client.PRTByRefresh(t.Context(), e.device, refresh); err != nil {
			t.Errorf("%s by refresh token: %v", c2.name, err)
			continue
		}
		checkPRT(t, c2.name, p, e)
	}
}

func checkPRT(t *testing.T, name string, p PRT, e *enrolled) {
	t.Helper()
	if strings.Trim(p.Token, safeAlphabet) != "" || len(p.Token) > 1024 {
		t.Errorf("%s: a PRT of %d bytes: %s", name, len(p.Token), p.Token)
	}
	raw, _ := p.Answer["client_info"].(string)
	text, err := base64.RawURLEncoding.DecodeString(raw)
	var info struct{ UID, UTID string }
	if err != nil || json.Unmarshal(text, &info) != nil || info.UID != e.id || info.UTID != e.org.id {
		t.Errorf("%s: client_info %s, %v", name, text, err)
	}
	claims, err := claimsOf(p.Answer["id_token"].(string))
	if err != nil || claims["oid"] != e.id || claims["tid"] != e.org.id || claims["preferred_username"] != e.upn || p.Answer["device_tenant_id"] != e.org.id {
		t.Errorf("%s: id_token %v, device_tenant_id %v, %v", name, claims, p.Answer["device_tenant_id"], err)
	}
	seconds, _ := p.Answer["refresh_token_expires_in"].(json.Number)
	if n, err := seconds.Int64(); err != nil || n < 13*86400 || n > 14*86400 {
		t.Errorf("%s: refresh_token_expires_in %v", name, seconds)
	}
	// Expected to be strings of decimal digits; expires_on is the PRT's end.
	var on json.Number = json.Number(p.Answer["expires_on"].(string))
	if n, err := on.Int64(); err != nil || time.Until(time.Unix(n, 0)) < 13*24*time.Hour {
		t.Errorf("%s: expires_on %v", name, on)
	}
}

// Protocol 4.0: P-256 keys, no session key, answers by ECDH-ES (§7.3).
func TestPRT4(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	d := DialectB().With(prtProtocol, "4.0")
	d.JoinVersion = "3.0"
	d.X5CText = false
	c := o.client(d)
	ada := o.somebody("ada")
	device, refresh := ada.join(t, c)
	apv := []byte("\x00\x00\x00\x03odd\x00\x00\x00\x05nonce")
	p, err := c.At("common").PRT4ByRefresh(t.Context(), device, refresh, apv)
	if err != nil {
		t.Fatal(err)
	}
	got, a, err := c.Use4(t.Context(), device, p, apv, brokerID, graphURL+"/.default openid")
	if err != nil || got == nil {
		t.Fatalf("use: %v, %v", orBody(a), err)
	}
	checkTokens(t, "4.0", got, device.ID)
	_, a, err = c.Use4(t.Context(), device, p, apv, brokerID, graphURL+"/.default openid", func(m message) { m.payload["purpose"] = "other" })
	if err != nil || a.Status/100 != 4 {
		t.Errorf("another purpose: %d, %v", a.Status, err)
	}
	// A PRT without a session key takes no signature by one, not by an empty
	// one either.
	for _, session := range [][]byte{nil, {}, make([]byte, 32)} {
		hollow := p
		hollow.Session = session
		for _, protocol := range []*Client{c, o.client(DialectB()), o.client(DialectB().With(prtProtocol, "3.0"))} {
			_, a, err := protocol.Use(t.Context(), hollow, brokerID, graphURL+"/.default openid")
			want{anything, anything, nil}.check(t, "a session key of nothing", a, err)
		}
	}
	bob := o.somebody("bob")
	other, _ := bob.join(t, c)
	_, a, err = c.Use4(t.Context(), other, p, apv, brokerID, graphURL+"/.default openid")
	want{"invalid_grant", "bad_token", []int{50006, 140001, 70000}}.check(t, "another device's signature", a, err)
}

// checkTokens is what every published client wants of a token answer (§0.15, §3.1).
func checkTokens(t *testing.T, name string, got map[string]any, device string) {
	t.Helper()
	for _, member := range []string{"token_type", "access_token", "refresh_token", "id_token"} {
		if v, ok := got[member].(string); !ok || v == "" {
			t.Errorf("%s: %s is %v", name, member, got[member])
		}
	}
	for _, member := range []string{"expires_in", "ext_expires_in"} {
		if got[member] == nil {
			t.Errorf("%s: no %s", name, member)
		}
	}
	access, _ := got["access_token"].(string)
	claims, err := claimsOf(access)
	if err != nil {
		t.Errorf("%s: the access token: %v", name, err)
		return
	}
	if _, ok := claims["amr"].([]any); !ok || claims["tid"] == nil || claims["upn"] == nil && claims["unique_name"] == nil || claims["deviceid"] != device {
		t.Errorf("%s: the access token says %v", name, claims)
	}
	id, _ := got["id_token"].(string)
	if claims, err = claimsOf(id); err != nil || claims["name"] == nil || claims["oid"] == nil || claims["tid"] == nil {
		t.Errorf("%s: the id token says %v, %v", name, claims, err)
	}
}

// One nonce is good for one PRT, whoever comes together (§4, §15; decisions 1.3).
func TestNonceOnce(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	request, err := c.helloRequest(t.Context(), e.device, e.hello)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan Answer, 32)
	each(make([]int, cap(answers)), func(int) {
		if a, err := c.askPRT(t.Context(), request); err == nil {
			answers <- a
		}
	})
	close(answers)
	won := 0
	for a := range answers {
		if a.Status == 200 {
			won++
			continue
		}
		want{"invalid_grant", "bad_token", []int{140000}}.check(t, "a loser", a, nil)
	}
	if won != 1 {
		t.Errorf("%d of %d won", won, cap(answers))
	}
	// The same nonce in both JWS of one request is one use (§4).
	n := c.nonce(t)
	assertion, err := c.assertion(e.hello, n)
	if err != nil {
		t.Fatal(err)
	}
	if request, err = c.outer(e.device, n, byHello(e.upn, assertion)); err != nil {
		t.Fatal(err)
	}
	a, err := c.askPRT(t.Context(), request)
	if err != nil || a.Status != 200 {
		t.Errorf("one nonce inside and outside: %v, %v", orBody(a), err)
	}
	// Whatever was signed by the device and refused, its nonces are spent
	// (decisions 1.3).
	outer, inner := c.nonce(t), c.nonce(t)
	if assertion, err = c.assertion(HelloKey{e.upn, s.key()}, inner); err != nil {
		t.Fatal(err)
	}
	if request, err = c.outer(e.device, outer, byHello(e.upn, assertion)); err != nil {
		t.Fatal(err)
	}
	if a, err = c.askPRT(t.Context(), request); err != nil || a.Status != 400 {
		t.Errorf("an unknown key: %v, %v", orBody(a), err)
	}
	for name, n := range map[string]string{"outer": outer, "inner": inner} {
		user := map[string]any{}
		if assertion, err = c.assertion(e.hello, c.nonce(t)); err != nil {
			t.Fatal(err)
		}
		maps.Copy(user, byHello(e.upn, assertion))
		if request, err = c.outer(e.device, n, user); err != nil {
			t.Fatal(err)
		}
		a, err = c.askPRT(t.Context(), request)
		want{"invalid_grant", "bad_token", []int{140000}}.check(t, "the "+name+" nonce of a refused request", a, err)
	}
}
