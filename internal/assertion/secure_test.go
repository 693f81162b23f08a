package assertion_test

import (
	"testing"
	"time"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
)

// TestSec_PSO02_EachCheckAlone: an assertion that is right but for one claim is
// refused, for that claim.
func TestSec_PSO02_EachCheckAlone(t *testing.T) {
	key, now := p256(t), time.Unix(1_700_000_000, 0)
	e, fault := assertion.FromKeep(assertion.Expected{RequestNonce: "r", Audiences: []string{"https://id.example/psso"}, Name: "ada", Nonce: "n", Scope: "openid"}.Keep())
	if fault != nil {
		t.Fatal(fault)
	}
	for _, c := range []struct {
		claim string
		value any // nil: not there
		want  string
	}{
		{"more", "x", ""},
		{"request_nonce", nil, "nonce_missing"},
		{"request_nonce", "", "nonce_missing"},
		{"request_nonce", "R", "nonce_differs"},
		{"iss", nil, "issuer_missing"},
		{"iss", "bob", "issuer_differs"},
		{"iss", "Ada", "issuer_differs"},
		{"sub", nil, "subject_differs"},
		{"sub", "bob", "subject_differs"},
		{"aud", nil, "audience_differs"},
		{"aud", []string{}, "audience_differs"},
		{"aud", "https://id.example/other/psso", "audience_differs"},
		{"aud", "HTTPS://id.example/psso", "audience_differs"},
		{"aud", []string{"https://id.example/psso", "https://evil.example"}, "audience_differs"},
		{"nonce", nil, "login_nonce_differs"},
		{"nonce", "N", "login_nonce_differs"},
		{"scope", nil, "scope_differs"},
		{"scope", "openid offline_access", "scope_differs"},
		{"iat", nil, "times_missing"},
		{"exp", nil, "times_missing"},
		{"iat", now.Add(121 * time.Second).Unix(), "issued_ahead"},
		{"exp", now.Add(601 * time.Second).Unix(), "assertion_long"},
		{"exp", now.Add(-time.Hour).Unix(), "assertion_long"},
	} {
		claims := map[string]any{
			"iss": "ada", "sub": "ada", "aud": "https://id.example/psso", "nonce": "n", "request_nonce": "r", "scope": "openid",
			"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		}
		if claims[c.claim] = c.value; c.value == nil {
			delete(claims, c.claim)
		}
		header := map[string]any{"kid": pssowire.KeyOf(&key.PublicKey).String(), "typ": pssowire.TypeAssertion}
		a, fault := assertion.Read(assertion.MacKey, sign(t, key, header, claims), "ES256")
		if fault == nil {
			fault = a.Judge(e, now)
		}
		if (fault == nil) != (c.want == "") || (fault != nil && (fault.Reason != c.want || fault.Kind != idp.Unproven)) {
			t.Errorf("%s is %v: %v, want %q", c.claim, c.value, fault, c.want)
		}
	}
}
