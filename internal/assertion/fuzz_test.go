package assertion_test

import (
	"testing"
	"time"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
)

// FuzzRead: whatever is sent as an assertion, of whatever form, is read or
// refused as ours, and what is judged good is what was expected.
func FuzzRead(f *testing.F) {
	p := apples(f)
	f.Add(byte(assertion.MacKey), []byte(p.Key.Assertion))
	f.Add(byte(assertion.MacCard), []byte(p.Card.Assertion))
	key := p256(f)
	f.Add(byte(assertion.Hello), sign(f, key, map[string]any{"use": "ngc", "kid": pssowire.KeyOf(&key.PublicKey).String()}, map[string]any{"iss": "a"}))
	f.Add(byte(assertion.Certificate), []byte("e30.e30.AA"))
	keyed, now := p.around(f, p.Key), time.Unix(p.Key.Issued, 0)
	f.Fuzz(func(t *testing.T, form byte, payload []byte) {
		if _, fault := assertion.OfMac(payload); fault != nil && (fault.Kind != idp.Unproven || fault.Reason == "") {
			t.Errorf("%q: %v", payload, fault)
		}
		a, fault := assertion.Read(assertion.Form(form%4), payload, cardAlgs...)
		if fault != nil {
			if fault.Kind != idp.Unproven || fault.Reason == "" {
				t.Errorf("%q: %v", payload, fault)
			}
			return
		}
		fault = a.Judge(keyed, now)
		if fault != nil && (fault.Kind != idp.Unproven || fault.Reason == "") {
			t.Errorf("%q: %v", payload, fault)
		}
		if fault == nil && (a.Issuer != p.Name || a.Subject != p.Name || a.Nonce != p.Key.Nonce || a.RequestNonce != p.RequestNonce || a.Scope != p.Scope || !a.Form.Mac()) {
			t.Errorf("%q was taken for the sample", payload)
		}
	})
}

// FuzzFromKeep: whatever was kept, what expects a Mac's was written by Keep.
func FuzzFromKeep(f *testing.F) {
	f.Add(assertion.Expected{RequestNonce: "r", Audiences: []string{"a"}}.Keep())
	f.Add([]byte("a nonce"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, keep []byte) {
		e, fault := assertion.FromKeep(keep)
		if fault == nil && !e.Mac() && e.RequestNonce != string(keep) {
			t.Errorf("%q: %+v", keep, e)
		}
		if e.Mac() && keep[0] != 0 {
			t.Errorf("%q expects a Mac's", keep)
		}
	})
}
