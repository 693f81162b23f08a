package assertion_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, key crypto.Signer, header, claims map[string]any) []byte {
	t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jose.SignAs("ES256", key, header, raw)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(out)
}

// TestForms: a message has one form, and passes for no other.
func TestForms(t *testing.T) {
	key := p256(t)
	kid := pssowire.KeyOf(&key.PublicKey).String()
	der := base64.StdEncoding.EncodeToString([]byte("a certificate, to be read by others"))
	mac := map[string]any{"iss": "a", "sub": "a", "aud": "x", "nonce": "n", "request_nonce": "r", "scope": "s"}
	desktop := map[string]any{"iss": "a", "aud": "x", "request_nonce": "r", "sub": map[string]any{"odd": true}, "scope": 1, "nonce": []int{}}
	type H = map[string]any
	for _, c := range []struct {
		name   string
		form   assertion.Form
		header H
		claims H
		want   string
	}{
		{"Hello", assertion.Hello, H{"kid": kid, "use": "ngc"}, desktop, ""},
		{"Hello without use", assertion.Hello, H{"kid": kid}, desktop, "key_use"},
		{"Hello without kid", assertion.Hello, H{"use": "ngc"}, desktop, "kid_malformed"},
		{"Hello with a short kid", assertion.Hello, H{"use": "ngc", "kid": "AAAA"}, desktop, "kid_malformed"},
		{"Hello with x5c", assertion.Hello, H{"kid": kid, "use": "ngc", "x5c": der}, desktop, "header_refused"},
		{"Hello of a Mac's type", assertion.Hello, H{"kid": kid, "use": "ngc", "typ": pssowire.TypeAssertion}, desktop, "header_refused"},
		{"certificate", assertion.Certificate, H{"x5c": der}, desktop, ""},
		{"certificate without", assertion.Certificate, H{}, desktop, "chain_missing"},
		{"certificate with kid", assertion.Certificate, H{"x5c": der, "kid": kid}, desktop, "header_refused"},
		{"certificate of a Mac's type", assertion.Certificate, H{"x5c": der, "typ": pssowire.TypeAssertion}, desktop, "header_refused"},
		{"a Mac's key", assertion.MacKey, H{"kid": kid, "typ": pssowire.TypeAssertion}, mac, ""},
		{"a Mac's key, old", assertion.MacKey, H{"kid": kid, "typ": "JWT"}, mac, ""},
		{"a Mac's key, other case", assertion.MacKey, H{"kid": kid, "typ": "PlatformSSO-Login-Assertion+JWT"}, mac, ""},
		{"a Mac's key with more", assertion.MacKey, H{"kid": kid, "custom": "x"}, mac, ""},
		{"a Mac's key with x5c", assertion.MacKey, H{"kid": kid, "x5c": der}, mac, "header_refused"},
		{"a Mac's key with use", assertion.MacKey, H{"kid": kid, "use": "ngc"}, mac, "header_refused"},
		{"a Mac's key with kdf_ver", assertion.MacKey, H{"kid": kid, "kdf_ver": 2}, mac, "header_refused"},
		{"a Mac's key with ctx", assertion.MacKey, H{"kid": kid, "ctx": kid}, mac, "header_refused"},
		{"a Mac's key without kid", assertion.MacKey, H{}, mac, "kid_malformed"},
		{"a Mac's key of another type", assertion.MacKey, H{"kid": kid, "typ": pssowire.TypeLogin}, mac, "assertion_type"},
		{"a Mac's key of no type", assertion.MacKey, H{"kid": kid, "typ": ""}, mac, "assertion_type"},
		{"a Mac's key, of a desktop's claims", assertion.MacKey, H{"kid": kid}, desktop, "token_malformed"},
		{"a Mac's card", assertion.MacCard, H{"kid": kid, "x5c": []string{der}, "typ": pssowire.TypeAssertion}, mac, ""},
		{"a Mac's card without kid", assertion.MacCard, H{"x5c": der}, mac, ""},
		{"a Mac's card without", assertion.MacCard, H{"kid": kid}, mac, "chain_missing"},
	} {
		a, fault := assertion.Read(c.form, sign(t, key, c.header, c.claims), "ES256")
		switch {
		case (fault == nil) != (c.want == ""), fault != nil && (fault.Reason != c.want || fault.Kind != idp.Unproven):
			t.Errorf("%s: %v, want %q", c.name, fault, c.want)
		case fault == nil && (a.Issuer != "a" || a.RequestNonce != "r" || a.Form != c.form):
			t.Errorf("%s: %+v", c.name, a.Claims)
		case fault == nil && c.form.Mac() && (a.Subject != "a" || a.Nonce != "n" || a.Scope != "s"):
			t.Errorf("%s: %+v", c.name, a.Claims)
		case fault == nil:
			if err := a.Verify(&key.PublicKey); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if err := a.Verify(&p256(t).PublicKey); idp.AsError(err).Reason != "wrong_signature" {
				t.Errorf("%s, by another key: %v", c.name, err)
			}
		}
	}
}

// TestOfMac: which form a Mac's is, and that an encrypted one is a password.
func TestOfMac(t *testing.T) {
	key := p256(t)
	for want, payload := range map[string][]byte{
		"password_refused":  []byte("e30..AAAA.AAAA.AAAA"),
		"token_malformed":   []byte("x.y.z"),
		"algorithm_refused": sign(t, key, map[string]any{"alg": "none"}, map[string]any{}),
	} {
		if _, fault := assertion.OfMac(payload); fault == nil || fault.Reason != want || fault.Kind != idp.Unproven {
			t.Errorf("%v, want %s", fault, want)
		}
	}
}

// TestReadRefuses: what is no message, and algorithms that are not asked for.
func TestReadRefuses(t *testing.T) {
	key := p256(t)
	good := sign(t, key, map[string]any{"kid": pssowire.KeyOf(&key.PublicKey).String()}, map[string]any{})
	for _, c := range []struct {
		payload []byte
		algs    []string
		want    string
	}{
		{good, []string{"ES256"}, ""},
		{good, []string{"RS256"}, "algorithm_refused"},
		{good, nil, "algorithm_refused"},
		{good[:len(good)-1], []string{"ES256"}, "token_malformed"},
		{nil, []string{"ES256"}, "token_malformed"},
	} {
		if _, fault := assertion.Read(assertion.MacKey, c.payload, c.algs...); (fault == nil) != (c.want == "") || (fault != nil && fault.Reason != c.want) {
			t.Errorf("%q by %v: %v, want %q", c.payload, c.algs, fault, c.want)
		}
	}
}

// TestDesktopTimes: a broker's assertion may say when it ends, and then it must
// be soon.
func TestDesktopTimes(t *testing.T) {
	key, now := p256(t), time.Unix(1_700_000_000, 0)
	e := assertion.Expected{RequestNonce: "r", Audiences: []string{"COMMON"}}
	for form, header := range map[assertion.Form]map[string]any{
		assertion.Hello:       {"kid": pssowire.KeyOf(&key.PublicKey).String(), "use": "ngc"},
		assertion.Certificate: {"x5c": "AAAA"},
	} {
		word := map[assertion.Form]string{assertion.Hello: "assertion", assertion.Certificate: "message"}[form]
		for _, c := range []struct {
			iat, exp any
			want     string
		}{
			{nil, nil, ""},
			{now.Unix() - 100, now.Unix() - 59, ""},
			{now.Unix() - 100, now.Unix() - 60, word + "_late"},
			{nil, now.Unix() + 7200, ""},
			{nil, now.Unix() + 7201, word + "_long"},
			{now.Unix() + 10, now.Unix() + 5, word + "_long"},
			{now.Unix() - 100, now.Unix() + 7101, word + "_long"},
		} {
			claims := map[string]any{"iss": "a", "aud": "common", "request_nonce": "r"}
			if c.iat != nil {
				claims["iat"] = c.iat
			}
			if c.exp != nil {
				claims["exp"] = c.exp
			}
			a, fault := assertion.Read(form, sign(t, key, header, claims), "ES256")
			if fault == nil {
				fault = a.Judge(e, now)
			}
			if (fault == nil) != (c.want == "") || (fault != nil && fault.Reason != c.want) {
				t.Errorf("%d, %v to %v: %v, want %q", form, c.iat, c.exp, fault, c.want)
			}
		}
		a, _ := assertion.Read(form, sign(t, key, header, map[string]any{"iss": "a", "aud": "common", "request_nonce": "r"}), "ES256")
		mac, _ := assertion.FromKeep(e.Keep())
		if fault := a.Judge(mac, now); fault == nil || fault.Reason != "assertion_form" {
			t.Errorf("%d where a Mac's is expected: %v", form, fault)
		}
	}
}

// TestKeep: what a door keeps comes back, and a nonce is never taken for it.
func TestKeep(t *testing.T) {
	in := assertion.Expected{RequestNonce: "r", Audiences: []string{"a"}, Name: "ärger@x", Nonce: "n", Scope: "s"}
	out, fault := assertion.FromKeep(in.Keep())
	if fault != nil || !out.Mac() || out.RequestNonce != "r" || len(out.Audiences) != 1 || out.Audiences[0] != "a" || out.Name != in.Name || out.Nonce != "n" || out.Scope != "s" {
		t.Errorf("%+v, %v", out, fault)
	}
	plain, fault := assertion.FromKeep([]byte(`{"r":"x"}`))
	if fault != nil || plain.Mac() || plain.RequestNonce != `{"r":"x"}` {
		t.Errorf("%+v, %v", plain, fault)
	}
	if none, fault := assertion.FromKeep(nil); fault != nil || none.Mac() {
		t.Errorf("%+v, %v", none, fault)
	}
	if _, fault := assertion.FromKeep([]byte("\x00{")); fault == nil || fault.Reason != "ceremony_malformed" {
		t.Errorf("%v", fault)
	}
}
