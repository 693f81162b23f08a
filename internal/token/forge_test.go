package token_test

import (
	"maps"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// sign signs any claims with the tenant's real key: all is right but the claims.
func (w *world) sign(t *testing.T, who idp.TenantID, kid, typ string, claims any) string {
	t.Helper()
	key, err := w.keys.Signer(t.Context(), who, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	if kid == "" {
		kid = string(key.ID)
	}
	s, err := jose.NewSigner("ES256", kid, typ, key.Key)
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := s.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// TestSec_TOK05_EveryClaimCounts signs claims with one thing wrong each.
func TestSec_TOK05_EveryClaimCounts(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	iss, now := "https://id.example/"+string(tenant)+"/v2.0", w.now.Unix()
	good := map[string]any{"iss": iss, "sub": "x", "aud": "a", "exp": now + 60, "iat": now, "nbf": now, "jti": "j", "tid": string(tenant), "client_id": "wiki"}
	if _, err := w.svc.VerifyAccess(t.Context(), tenant, w.sign(t, tenant, "", "at+jwt", good)); err != nil {
		t.Fatalf("nothing wrong: %v", err)
	}
	for _, c := range []struct {
		name, claim string
		value       any // nil: left out
		want        string
	}{
		{"no exp", "exp", nil, "token_expired"},
		{"exp 0", "exp", 0, "token_expired"},
		{"exp past the leeway", "exp", now - 60, "token_expired"},
		{"nbf past the leeway", "nbf", now + 61, "token_early"},
		{"other issuer", "iss", "https://id.example/" + string(other) + "/v2.0", "wrong_issuer"},
		{"issuer with a slash", "iss", iss + "/", "wrong_issuer"},
		{"no issuer", "iss", nil, "wrong_issuer"},
		{"other tid", "tid", string(other), "wrong_issuer"},
		{"no tid", "tid", nil, "wrong_issuer"},
		{"exp is a word", "exp", "tomorrow", "token_malformed"},
		{"two audiences", "aud", []string{"a", "b"}, "token_malformed"},
		{"unknown family", "fid", "00000000-0000-4000-8000-000000000000", "token_revoked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bent := maps.Clone(good)
			bent[c.claim] = c.value
			if c.value == nil {
				delete(bent, c.claim)
			}
			if _, err := w.svc.VerifyAccess(t.Context(), tenant, w.sign(t, tenant, "", "at+jwt", bent)); reason(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	for _, c := range []struct{ name, kid, typ, want string }{
		{"no type", "", "", "token_class"},
		{"type JWT", "", "JWT", "token_class"},
		{"type logout+jwt", "", "logout+jwt", "token_class"},
		{"unknown kid", "nobody", "at+jwt", "key_unknown"},
		{"kid is a path", "../../etc/passwd", "at+jwt", "key_unknown"},
		{"kid is SQL", "' or 1=1 --", "at+jwt", "key_unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := w.svc.VerifyAccess(t.Context(), tenant, w.sign(t, tenant, c.kid, c.typ, good)); reason(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestHintRefused(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	iss := "https://id.example/" + string(tenant) + "/v2.0"
	good := map[string]any{"iss": iss, "sub": "x", "aud": "wiki", "tid": string(tenant)}
	if _, err := w.svc.VerifyHint(t.Context(), tenant, w.sign(t, tenant, "", "JWT", good)); err != nil {
		t.Fatal(err)
	}
	for claim, value := range map[string]string{"iss": "https://evil.example", "tid": string(other)} {
		bent := maps.Clone(good)
		bent[claim] = value
		if _, err := w.svc.VerifyHint(t.Context(), tenant, w.sign(t, tenant, "", "JWT", bent)); reason(err) != "wrong_issuer" {
			t.Errorf("%s %s: %v", claim, value, err)
		}
	}
}

// TestSec_TOK02 swaps kid and algorithm between the tenant's two keys, and
// brings the key of another tenant.
func TestSec_TOK02_SwappedKeys(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	now := w.now.Unix()
	claims := map[string]any{"iss": "https://id.example/" + string(tenant) + "/v2.0", "exp": now + 60, "tid": string(tenant)}
	rs, err := w.keys.Signer(t.Context(), tenant, "RS256")
	if err != nil {
		t.Fatal(err)
	}
	es, err := w.keys.Signer(t.Context(), tenant, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.svc.VerifyAccess(t.Context(), tenant, w.sign(t, tenant, string(rs.ID), "at+jwt", claims)); reason(err) != "algorithm_differs" {
		t.Errorf("ES256 naming the RS256 key: %v", err)
	}
	if _, err := w.svc.VerifyAccess(t.Context(), tenant, w.sign(t, other, string(es.ID), "at+jwt", claims)); reason(err) != "wrong_signature" {
		t.Errorf("another tenant's key under our kid: %v", err)
	}
	if _, err := w.svc.VerifyAccess(t.Context(), tenant, w.sign(t, other, "", "at+jwt", claims)); reason(err) != "key_unknown" {
		t.Errorf("another tenant's key under its own kid: %v", err)
	}
}

// TestSec_TOK11 looks at how long tokens live.
func TestSec_TOK11_Lives(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	sub := w.subject()
	access, lives, err := w.svc.Access(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.svc.ID(t.Context(), sub, access)
	if err != nil {
		t.Fatal(err)
	}
	for name, jwt := range map[string]string{"access": access, "id": id} {
		c := claimsOf(t, jwt)
		if d := c["exp"].(float64) - c["iat"].(float64); d <= 0 || d > time.Hour.Seconds() {
			t.Errorf("%s token lives %v s", name, d)
		}
	}
	if lives.Seconds() != claimsOf(t, access)["exp"].(float64)-claimsOf(t, access)["iat"].(float64) {
		t.Errorf("told %v", lives)
	}
}
