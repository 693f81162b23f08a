package oddclient

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// refusal is one way to go wrong.
type refusal struct {
	name string
	want want
	// send makes the request; everything but one thing is right.
	send func() (Answer, error)
}

// Refusals of PRT requests (§3.2, §7.2, §15; decisions 4.8).
func TestPRTRefused(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	bob := o.somebody("bob").enrol(t, c)
	foreign := s.organise("other.example")
	stranger := foreign.somebody("eve").enrol(t, foreign.client(DialectB()))

	send := func(d *Device, user map[string]any, edits ...edit) (Answer, error) {
		request, err := c.outer(d, c.nonce(t), user, edits...)
		if err != nil {
			return Answer{}, err
		}
		return c.askPRT(t.Context(), request)
	}
	hello := func(k HelloKey, edits ...edit) map[string]any {
		assertion, err := c.assertion(k, c.nonce(t), edits...)
		if err != nil {
			t.Fatal(err)
		}
		return byHello(k.UPN, assertion)
	}
	var (
		malformed = []int{50027, 9002313, 900144}
		badNonce  = want{"invalid_grant", "bad_token", []int{140000}}
		badDevice = want{"invalid_grant", "device_authentication_failed", []int{50155}}
		badHello  = want{"invalid_grant", "bad_token", []int{130004, 130005}}
		badOuter  = want{"invalid_grant", "bad_token", []int{50006}}
		notJWT    = want{"invalid_request", "", malformed}
		// What has no row of its own in the catalogue of §3.2.
		rejected    = want{anything, anything, nil}
		otherDevice = want{"invalid_grant", anything, []int{130004, 130005, 130007, 130008}}
	)
	used := c.nonce(t)
	if a, err := send(e.device, hello(e.hello), func(m message) { m.payload["request_nonce"] = used }); err != nil || a.Status != 200 {
		t.Fatalf("the right request: %v, %v", orBody(a), err)
	}
	selfSigned := func() *Device { d := *e.device; d.Cert = selfSign(t, e.device); return &d }
	strangersKey := func() *Device { d := *e.device; d.Key = bob.device.Key; return &d }
	drop := func(name string) edit { return func(m message) { delete(m.payload, name) } }
	put := func(name string, v any) edit { return func(m message) { m.payload[name] = v } }
	head := func(name string, v any) edit { return func(m message) { m.header[name] = v } }

	for _, r := range []refusal{
		{"the nonce is missing", want{"invalid_request", "", []int{140000}}, func() (Answer, error) { return send(e.device, hello(e.hello), drop("request_nonce")) }},
		{"a nonce for the second time", badNonce, func() (Answer, error) { return send(e.device, hello(e.hello), put("request_nonce", used)) }},
		{"a nonce that is not ours", badNonce, func() (Answer, error) {
			return send(e.device, hello(e.hello), put("request_nonce", "AwABEgEAAAADAOz_BQD0_w"))
		}},
		{"another tenant's nonce", badNonce, func() (Answer, error) {
			return send(e.device, hello(e.hello), put("request_nonce", foreign.client(DialectB()).nonce(t)))
		}},
		{"another kind of sealed value as nonce", badNonce, func() (Answer, error) { return send(e.device, hello(e.hello), put("request_nonce", e.first.Token)) }},
		{"the signature is another device's", badOuter, func() (Answer, error) { return send(strangersKey(), hello(e.hello)) }},
		{"no certificate", rejected, func() (Answer, error) {
			return send(e.device, hello(e.hello), func(m message) { delete(m.header, "x5c") })
		}},
		{"a certificate by itself", badDevice, func() (Answer, error) { return send(selfSigned(), hello(e.hello)) }},
		{"another tenant's device", badDevice, func() (Answer, error) { return send(stranger.device, hello(e.hello)) }},
		{"alg none", notJWT, func() (Answer, error) { return send(e.device, hello(e.hello), head("alg", "none")) }},
		{"alg RS512", notJWT, func() (Answer, error) { return send(e.device, hello(e.hello), head("alg", "RS512")) }},
		{"alg HS256", rejected, func() (Answer, error) { return send(e.device, hello(e.hello), head("alg", "HS256")) }},
		{"crit", notJWT, func() (Answer, error) {
			return send(e.device, hello(e.hello), head("crit", []string{"x"}), head("x", 1))
		}},
		{"scope without aza", want{"invalid_scope", "", []int{70011}}, func() (Answer, error) { return send(e.device, hello(e.hello), put("scope", "openid ugs")) }},
		{"a password", want{"invalid_grant", "", []int{50126}}, func() (Answer, error) { return send(e.device, byPassword(e.upn, "secret")) }},
		{"a password of nobody", want{"invalid_grant", "", []int{50126}}, func() (Answer, error) { return send(e.device, byPassword("nobody@corp.example", "x")) }},
		{"SAML", want{"unsupported_grant_type", "", []int{70003}}, func() (Answer, error) {
			return send(e.device, map[string]any{"grant_type": "urn:ietf:params:oauth:grant-type:saml1_1-bearer", "assertion": "PHg+"})
		}},
		{"exp is over", outOfTime, func() (Answer, error) {
			return send(e.device, hello(e.hello), put("exp", json.Number("1700000000")))
		}},

		{"no assertion", notJWT, func() (Answer, error) { return send(e.device, map[string]any{"grant_type": grantJWT}) }},
		{"an unknown Hello key", badHello, func() (Answer, error) { return send(e.device, hello(HelloKey{e.upn, s.key()})) }},
		{"an unknown user", badHello, func() (Answer, error) { return send(e.device, hello(HelloKey{"nobody@corp.example", e.hello.Key})) }},
		{"another user's name", badHello, func() (Answer, error) { return send(e.device, hello(HelloKey{bob.upn, e.hello.Key})) }},
		{"another key's kid", badHello, func() (Answer, error) {
			return send(e.device, hello(HelloKey{e.upn, bob.hello.Key}, head("kid", helloKid(&e.hello.Key.PublicKey))))
		}},
		{"the device key as Hello key", badHello, func() (Answer, error) {
			return send(e.device, hello(HelloKey{e.upn, e.device.Key.(*rsa.PrivateKey)}))
		}},
		{"a Hello key of another device", otherDevice, func() (Answer, error) { return send(bob.device, hello(e.hello)) }},
		{"a Hello key of another device, one nonce", otherDevice, func() (Answer, error) {
			n := c.nonce(t)
			return send(bob.device, hello(e.hello, put("request_nonce", n)), put("request_nonce", n))
		}},
		{"use is missing", rejected, func() (Answer, error) {
			return send(e.device, hello(e.hello, func(m message) { delete(m.header, "use") }))
		}},
		{"use is fido", rejected, func() (Answer, error) { return send(e.device, hello(e.hello, head("use", "fido"))) }},
		{"inner alg none", want{anything, anything, []int{50027, 9002313, 130004, 130005}}, func() (Answer, error) { return send(e.device, hello(e.hello, head("alg", "none"))) }},
		{"no inner nonce", want{"invalid_request", "", []int{140000}}, func() (Answer, error) { return send(e.device, hello(e.hello, drop("request_nonce"))) }},
		{"an inner nonce for the second time", badNonce, func() (Answer, error) { return send(e.device, hello(e.hello, put("request_nonce", used))) }},
		{"another tenant's inner nonce", badNonce, func() (Answer, error) {
			return send(e.device, hello(e.hello, put("request_nonce", foreign.client(DialectB()).nonce(t))))
		}},
		{"the assertion is over", outOfTime, func() (Answer, error) {
			return send(e.device, hello(e.hello, put("iat", "1700000000"), put("exp", "1700000600")))
		}},
		{"an assertion for a day", outOfTime, func() (Answer, error) {
			now := time.Now()
			return send(e.device, hello(e.hello, put("iat", now.Unix()), put("exp", now.Add(24*time.Hour).Unix())))
		}},

		{"a refresh token that is none", want{"invalid_grant", "bad_token", []int{70000, 9002313}}, func() (Answer, error) { return send(e.device, byRefresh("1.AAAA")) }},
		{"a PRT as refresh token", want{"invalid_grant", "bad_token", []int{70000, 9002313}}, func() (Answer, error) { return send(e.device, byRefresh(e.first.Token)) }},
	} {
		a, err := r.send()
		r.want.check(t, r.name, a, err)
	}
	refused(t, c, e, bob)
}

// outOfTime is how a JWT outside its time is refused: the catalogue of §3.2 has
// no row for it.
var outOfTime = want{anything, anything, nil}

// refused are requests that are no JWT at all, and forms that say other things.
func refused(t *testing.T, c *Client, e, bob *enrolled) {
	t.Helper()
	good, err := c.helloRequest(t.Context(), e.device, e.hello)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	header, err := anyBase64(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	payload, err := anyBase64(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	twice, err := c.compactRaw(header, bytes.Replace(payload, []byte("{"), []byte(`{"scope":"openid aza",`), 1), signAs(e.device.Key))
	if err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]string{
		"no JWT": "x", "nothing": "", "two parts": parts[0] + "." + parts[1], "four parts": good + ".AAAA", "a duplicate claim": twice,
		"not base64": "§." + parts[1] + "." + parts[2], "payload is no JSON": parts[0] + ".AAAA." + parts[2],
	} {
		a, err := c.askPRT(t.Context(), request)
		want{"invalid_request", "", []int{50027, 9002313, 900144}}.check(t, name, a, err)
	}
	a, err := c.askPRT(t.Context(), parts[0]+"."+parts[1]+".")
	if err != nil || a.Status/100 != 4 {
		t.Errorf("no signature: %d, %v", a.Status, err)
	}
	a, err = c.form(t.Context(), c.login(c.TokenPath), "grant_type", "password", "client_id", brokerID, "username", e.upn, "password", "x")
	want{"unsupported_grant_type", "", []int{70003}}.check(t, "a password in the form", a, err)
	// A refresh token that a device bound is no other device's.
	d, refresh := e.join(t, c)
	if _, err := c.PRTByRefresh(t.Context(), d, refresh); err != nil {
		t.Fatal(err)
	}
	request, err := c.outer(bob.device, c.nonce(t), byRefresh(refresh))
	if err != nil {
		t.Fatal(err)
	}
	a, err = c.askPRT(t.Context(), request)
	if r := a.Refusal(); err != nil || a.Status/100 != 4 || r.Error != "invalid_grant" {
		t.Errorf("a refresh token of another device: %v, %v", orBody(a), err)
	}
}

// selfSign is a certificate that looks like the device's but is signed by its
// own key.
func selfSign(t *testing.T, d *Device) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: d.ID}, Issuer: d.Cert.Issuer,
		NotBefore: d.Cert.NotBefore, NotAfter: d.Cert.NotAfter, ExtKeyUsage: d.Cert.ExtKeyUsage, BasicConstraintsValid: true}
	for _, e := range d.Cert.Extensions {
		if n := len(privateArc); len(e.Id) == n+1 && slices.Equal(e.Id[:n], privateArc) {
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, d.Key.Public(), d.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
