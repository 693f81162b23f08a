package method_test

import (
	"encoding/base64"
	"testing"

	"github.com/signetid/signet/internal/method"
)

func TestChallenge(t *testing.T) {
	enc := base64.RawURLEncoding.EncodeToString
	for _, c := range []struct{ name, shown, want string }{
		{"there", `{"publicKey":{"challenge":"abc","rp":{}}}`, "abc"},
		{"empty", `{"publicKey":{"challenge":""}}`, ""},
		{"elsewhere", `{"challenge":"abc"}`, ""},
		{"no JSON", `x`, ""},
	} {
		if got, err := method.ChallengeShown([]byte(c.shown)); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("shown, %s: %q, %v", c.name, got, err)
		}
	}
	for _, c := range []struct{ name, signed, want string }{
		{"there", enc([]byte(`{"type":"webauthn.create","challenge":"abc"}`)), "abc"},
		{"empty", enc([]byte(`{"challenge":""}`)), ""},
		{"no JSON", enc([]byte(`x`)), ""},
		{"padded", base64.URLEncoding.EncodeToString([]byte(`{"challenge":"abc"}`)), ""},
		{"nothing", "", ""},
	} {
		if got, err := method.ChallengeSigned(c.signed); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("signed, %s: %q, %v", c.name, got, err)
		}
	}
}

func FuzzChallengeSigned(f *testing.F) {
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"challenge":"abc"}`)))
	f.Add("")
	f.Fuzz(func(t *testing.T, signed string) {
		if got, err := method.ChallengeSigned(signed); err == nil && got == "" {
			t.Error("an empty challenge was found")
		}
	})
}
