package jose_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// The key of RFC 7517, Appendix A.1, and its thumbprint by hand (RFC 7638,
// Section 3).
const (
	x = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"
	y = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
)

func TestParseP256(t *testing.T) {
	key, print, err := jose.ParseP256([]byte(`{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `","use":"enc","kid":"1"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`))
	raw, err := key.Bytes()
	if err != nil || base64.RawURLEncoding.EncodeToString(raw[1:33]) != x || string(print) != string(want[:]) {
		t.Errorf("key %x, thumbprint %x, %v", raw, print, err)
	}
	for name, text := range map[string]string{
		"empty":            ``,
		"null":             `null`,
		"private":          `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}`,
		"off the curve":    `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + x + `"}`,
		"zero":             `{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`,
		"short":            `{"kty":"EC","crv":"P-256","x":"` + x[:42] + `","y":"` + y + `"}`,
		"another curve":    `{"kty":"EC","crv":"P-384","x":"` + x + `","y":"` + y + `"}`,
		"a secret":         `{"kty":"oct","k":"AAAA"}`,
		"RSA":              `{"kty":"RSA","n":"` + strings.Repeat("A", 342) + `","e":"AQAB"}`,
		"another use":      `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `","alg":"ECDH-ES"}`,
		"a member twice":   `{"kty":"EC","kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `"}`,
		"something behind": `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `"}{}`,
		"long":             `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `","kid":"` + strings.Repeat("A", 2<<10) + `"}`,
	} {
		if _, _, err := jose.ParseP256([]byte(text)); !errors.Is(err, idp.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerifyP256(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("message")
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	good := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	if !jose.VerifyP256(&k.PublicKey, message, good) {
		t.Fatal("a good signature is refused")
	}
	decoy, err := jose.DecoyP256()
	if err != nil || jose.VerifyP256(decoy, message, good) {
		t.Errorf("the decoy's, %v", err)
	}
	der, err := ecdsa.SignASN1(rand.Reader, k, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	for n, bad := range [][]byte{nil, make([]byte, 64), good[:63], append(good, 0), der} {
		if jose.VerifyP256(&k.PublicKey, message, bad) {
			t.Errorf("bad signature %d is taken", n)
		}
	}
	if jose.VerifyP256(&k.PublicKey, []byte("Message"), good) {
		t.Error("another message")
	}
}

func FuzzParseP256(f *testing.F) {
	f.Add([]byte(`{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `"}`))
	f.Add([]byte(`{"kty":"EC"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		key, print, err := jose.ParseP256(raw)
		if err != nil {
			if !errors.Is(err, idp.Invalid) {
				t.Fatalf("%v", err)
			}
			return
		}
		if _, err := key.Bytes(); err != nil || len(print) != sha256.Size {
			t.Fatalf("key %v, thumbprint of %d bytes", err, len(print))
		}
	})
}
