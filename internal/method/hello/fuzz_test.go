package hello_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
)

// FuzzAssertion: whatever is sent, nothing but the one good message proves
// anybody, and the answer is always a refusal of ours.
func FuzzAssertion(f *testing.F) {
	w := oneWorld(f)
	k, d := hellotest.EC(), w.join("Laptop")
	w.register(f, w.Ada, d, k)
	good := k.Assertion(w.Ada.Name, "nonce", w.Now())
	f.Add(good)
	f.Add([]byte("e30.e30.AA"))
	header, claims := k.Header(), hellotest.Claims(w.Ada.Name, "nonce", w.Now())
	claims["exp"], claims["iat"], claims["aud"] = "99999999999999999999", -1, []any{1, nil}
	f.Add(k.Sign(header, claims))
	header["kid"], header["typ"] = strings.Repeat("A", 200), nil
	f.Add(k.Sign(header, claims))
	f.Fuzz(func(t *testing.T, payload []byte) {
		hello.Nonce(payload)
		v, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Device: d, Keep: []byte("nonce"), Payload: payload, Now: w.Now()})
		if err == nil {
			// Another spelling of the same bytes is the same message.
			m, perr := jose.ParseLoose(string(payload), "ES256")
			if g, gerr := jose.ParseLoose(string(good), "ES256"); perr != nil || gerr != nil || !json.Valid(m.Payload) || !bytes.Equal(m.Payload, g.Payload) || v.Proof.User != w.Ada.ID {
				t.Errorf("%q proved %s", payload, v.Proof.User)
			}
			return
		}
		if !errors.Is(err, idp.Unproven) || idp.AsError(err).Reason == "" {
			t.Errorf("%q: %v, want unproven", payload, err)
		}
	})
}

// FuzzKey: whatever is sent, a key that is taken has one spelling, and the rest
// is refused.
func FuzzKey(f *testing.F) {
	f.Add(hellotest.RSA().Public())
	f.Add(hellotest.EC().Public())
	f.Add([]byte("RSA1"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		public, kid, err := hello.ParseKey(raw)
		if err != nil {
			if !errors.Is(err, idp.Invalid) {
				t.Errorf("%x: %v, want invalid", raw, err)
			}
			return
		}
		if _, err := jose.Usable(public); err != nil || len(kid) != 32 {
			t.Errorf("%x: taken as a key that is of no use: %v", raw, err)
		}
	})
}
