package oddphone

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/test/person"
)

// By the link and by the typed code, however it is typed.
func TestEnrol(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	for _, how := range []func(person.PhoneCode) string{
		func(c person.PhoneCode) string { return fragment(t, s.base, c) },
		func(c person.PhoneCode) string { return c.Typed },
		func(c person.PhoneCode) string { return strings.ToLower(strings.ReplaceAll(c.Typed, "-", "")) },
		func(c person.PhoneCode) string { return strings.NewReplacer("0", "o", "1", "L").Replace(c.Typed) },
	} {
		c := ada.code()
		secret := how(c)
		p, body := ada.apply(secret)
		f, a, err := p.Finish(t.Context(), body)
		if err != nil || len(f.Words) != 2 || f.Until.Before(p.Now()) {
			t.Fatalf("%q: %v %+v", secret, err, a)
		}
		if self, err := p.Self(t.Context()); err != nil || self.State != "waiting" {
			t.Errorf("before the comparison: %+v, %v", self, err)
		}
		a, err = p.Do(t.Context(), http.MethodGet, "/requests", nil)
		refused(t, "requests before the comparison", a, err, http.StatusForbidden, "phone_waiting")
		if err := ada.confirm(c); err != nil {
			t.Fatal(err)
		}
		self, err := p.Self(t.Context())
		if err != nil || self.State != "active" || self.RPID != p.Passkey.RPID || self.Passkey != b64.EncodeToString(p.Passkey.ID) {
			t.Errorf("after it: %+v, %v", self, err)
		}
		a, err = p.tell(t.Context(), "/enrolments/open", map[string]string{"code": secret})
		refused(t, "the code once more", a, err, http.StatusNotFound, "code_unknown")
		_, a, _ = p.Finish(t.Context(), body)
		refused(t, "the application once more", a, nil, http.StatusNotFound, "code_unknown")
	}
}

// A second phone with the passkey of the first.
func TestReuse(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	first := ada.phone()
	c := ada.code()
	p, err := New(s.base)
	if err != nil {
		t.Fatal(err)
	}
	o, err := p.Open(t.Context(), c.Typed)
	if err != nil {
		t.Fatal(err)
	}
	var exclude creation
	if err := publicKey(o.Options, &exclude); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(exclude.Exclude, func(d described) bool { return d.ID == b64.EncodeToString(first.Passkey.ID) }) {
		t.Errorf("a browser would not say InvalidStateError: %s", o.Options)
	}
	body, err := p.Apply(o, c.Typed, first.Passkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, a, err := p.Finish(t.Context(), body); err != nil {
		t.Fatalf("%v %+v", err, a)
	}
	if err := ada.confirm(c); err != nil {
		t.Fatal(err)
	}
	if self, err := p.Self(t.Context()); err != nil || self.State != "active" {
		t.Errorf("%+v, %v", self, err)
	}
	// The same key again is the same phone.
	c = ada.code()
	if o, err = p.Open(t.Context(), c.Typed); err != nil {
		t.Fatal(err)
	}
	if body, err = p.Apply(o, c.Typed, first.Passkey); err != nil {
		t.Fatal(err)
	}
	_, a, _ := p.Finish(t.Context(), body)
	refused(t, "the key of another phone", a, nil, http.StatusConflict, "phone_exists")
}

// Each thing that an application must have, and each that it must not.
func TestEnrolRefused(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	for name, spoil := range map[string]func(*Phone, application){
		"no code":    func(_ *Phone, b application) { delete(b, "code") },
		"no key":     func(_ *Phone, b application) { delete(b, "key") },
		"no passkey": func(_ *Phone, b application) { delete(b, "passkey") },
		"both":       func(_ *Phone, b application) { b["reuse"] = b["passkey"] },
		"the key of RSA": func(_ *Phone, b application) {
			b["key"] = map[string]string{"kty": "RSA", "n": "AQAB", "e": "AQAB"}
		},
		"a private key": func(p *Phone, b application) {
			key := maps.Clone(b["key"].(map[string]any))
			key["d"] = b64.EncodeToString(random(32))
			b["key"] = key
		},
		"off the curve": func(_ *Phone, b application) {
			key := maps.Clone(b["key"].(map[string]any))
			key["x"], key["y"] = key["y"], key["x"]
			b["key"] = key
		},
		"push of no kind": func(_ *Phone, b application) { b["push"] = map[string]string{"kind": "pigeon"} },
	} {
		p, body := ada.apply(ada.code().Typed)
		spoil(p, body)
		_, a, _ := p.Finish(t.Context(), body)
		if name == "no code" { // nothing is known of it
			refused(t, name, a, nil, http.StatusNotFound, "code_unknown")
			continue
		}
		refused(t, name, a, nil, http.StatusBadRequest, "request_malformed")
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Phone, application){
		"no signature":    func(_ *Phone, b application) { delete(b, "signature") },
		"short signature": func(_ *Phone, b application) { b["signature"] = "AAAA" },
		"another key signed": func(p *Phone, b application) {
			b["signature"] = b64.EncodeToString(sign(other, []byte("anything")))
		},
		"another key named": func(p *Phone, b application) {
			x, y := point(&other.PublicKey)
			b["key"] = map[string]any{"kty": "EC", "crv": "P-256", "x": x, "y": y}
		},
		"a passkey for another site": func(p *Phone, b application) {
			q := *p.Passkey
			q.Origin = "https://evil.example"
			o, err := p.Open(t.Context(), b["code"].(string))
			if err != nil {
				t.Fatal(err)
			}
			_, b["passkey"], err = NewPasskey(o.Options, q.Origin)
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		p, body := ada.apply(ada.code().Typed)
		spoil(p, body)
		_, a, _ := p.Finish(t.Context(), body)
		refused(t, name, a, nil, http.StatusUnauthorized, "answer_unproven")
	}
	p, err := New(s.base)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"", "ABCD-EFGH", "AAAAAAAAAAAAAAAAAAAAAA", "ABCD", strings.Repeat("A", 4000), "ABCD-EFGU"} {
		a, err := p.tell(t.Context(), "/enrolments/open", map[string]string{"code": secret})
		refused(t, "code "+secret, a, err, http.StatusNotFound, "code_unknown")
	}
	for _, body := range []string{"", "{", "[]", `{"code":1}`, `{"code":"ABCD-EFGH","code":"ABCD-EFGH"}`} {
		a, err := p.tell(t.Context(), "/enrolments/open", []byte(body))
		refused(t, "body "+body, a, err, http.StatusBadRequest, "request_malformed")
	}
	a, err := p.tell(t.Context(), "/enrolments/open", []byte(`{"code":"`+strings.Repeat("A", 64<<10)+`"}`))
	if err != nil || a.Status != http.StatusRequestEntityTooLarge && a.Refusal().Error != "request_malformed" {
		t.Errorf("70 KiB: %+v, %v", a, err)
	}
}

// A challenge is the latest one, and good for one answer; the code outlives it.
func TestChallengeOnce(t *testing.T) {
	s := newSite(t)
	ada := s.somebody("ada")
	c := ada.code()
	first, early := ada.apply(c.Typed)
	p, body := ada.apply(c.Typed) // opened again
	_, a, _ := first.Finish(t.Context(), early)
	refused(t, "the challenge before", a, nil, http.StatusUnauthorized, "answer_unproven")
	_, a, _ = p.Finish(t.Context(), body)
	refused(t, "a challenge that was answered wrongly", a, nil, http.StatusNotFound, "code_unknown")
	p, body = ada.apply(c.Typed)
	if _, a, err := p.Finish(t.Context(), body); err != nil {
		t.Fatalf("opened anew: %v %+v", err, a)
	}
	if err := ada.confirm(c); err != nil {
		t.Fatal(err)
	}
}
