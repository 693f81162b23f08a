package psso_test

import (
	"crypto"
	"encoding/json"
	"testing"

	"github.com/signetid/signet/internal/pssowire"
)

// FuzzRegistration sends claims that a registered Mac has signed: whatever they
// are, they are no trouble of ours.
func FuzzRegistration(f *testing.F) {
	w := liteOffice(f)
	m, k, session := w.signedIn(w.ada)
	kinds := []struct{ verb, path, typ string }{
		{"POST", "/psso/device", pssowire.TypeDevice}, {"POST", "/psso/device", pssowire.TypeRotation}, {"POST", "/psso/user", pssowire.TypeUser},
		{"DELETE", "/psso/user", pssowire.TypeRemoval},
	}
	for n, claims := range []any{
		w.joinClaims(&hardware{signing: m.signing, encryption: m.encryption}, "token", true), w.rotation(m, newHardware(), session).claims,
		w.userClaims(m, k, "token"), w.removal("/psso/user", k),
	} {
		raw, err := json.Marshal(claims)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(n, raw)
	}
	f.Fuzz(func(t *testing.T, n int, claims []byte) {
		kind := kinds[uint(n)%uint(len(kinds))]
		s := pssowire.Signing{Key: crypto.Signer(m.signing), Type: kind.typ}
		message, err := s.Sign(json.RawMessage(claims))
		if err != nil {
			return // no JSON
		}
		if a := w.request(kind.verb, kind.path, message, ""); a.status >= 500 {
			t.Errorf("%d %s (%s)", a.status, a.body, a.cause)
		}
	})
}
