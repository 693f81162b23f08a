package platform_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
)

// FuzzAssertion: whatever is sent, nothing but the one good message proves
// anybody, and the answer is always a refusal of ours.
func FuzzAssertion(f *testing.F) {
	w := oneWorld(f)
	k, d := platformtest.New(), w.join("MacBook")
	w.register(f, w.Ada, d, k)
	said := platformtest.Login(w.Ada.Name, audience(w.Tenant.ID), "nonce", w.Now())
	good := k.Assertion(said)
	f.Add(good)
	f.Add([]byte("e30.e30.AA"))
	header, claims := k.Header(), said.Claims()
	claims["exp"], claims["iat"], claims["aud"] = "99999999999999999999", -1, []any{1, nil}
	f.Add(k.Sign(header, claims))
	header["kid"], header["typ"], header["x5c"] = strings.Repeat("A", 200), nil, []string{""}
	f.Add(k.Sign(header, claims))
	f.Fuzz(func(t *testing.T, payload []byte) {
		v, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Device: d, Keep: said.Keep(), Payload: payload, Now: w.Now()})
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

// FuzzOffer: whatever is offered, no key is taken but the one whose proof was
// made, and the answer is always a refusal of ours.
func FuzzOffer(f *testing.F) {
	w := oneWorld(f)
	k, d := platformtest.New(), w.join("MacBook")
	e := w.expected(w.Tenant.ID, d, "nonce")
	good := k.Offer(e, w.Now())
	f.Add(good.Payload())
	more := good
	more.Attestation, more.OldProof, more.Biometric = [][]byte{{0x30}, nil}, "a.b.c", 3
	f.Add(more.Payload())
	f.Add([]byte(`{"key":"BA==","proof":"e30.e30.AA","biometric":1e3}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		reg, err := w.room.RegisterOnce(t.Context(), method.Answer{Tenant: w.Tenant.ID, User: w.Ada, Device: d, Keep: e.Keep(), Payload: payload, Now: w.Now()})
		if err == nil {
			var o platform.Offer
			if err := json.Unmarshal(payload, &o); err != nil || !bytes.Equal(o.Key, good.Key) || reg.Credential.User != w.Ada.ID {
				t.Errorf("%q was taken", payload)
			}
			return
		}
		if !errors.Is(err, idp.Invalid) || idp.AsError(err).Reason == "" || idp.AsError(err).Public == "" {
			t.Errorf("%q: %v, want invalid", payload, err)
		}
	})
}
