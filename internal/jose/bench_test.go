package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/jose"
)

// claims are about as many as an access token has.
type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience string   `json:"aud"`
	Expires  int64    `json:"exp"`
	Issued   int64    `json:"iat"`
	From     int64    `json:"nbf"`
	ID       string   `json:"jti"`
	Client   string   `json:"client_id"`
	Scope    string   `json:"scope"`
	Tenant   string   `json:"tid"`
	AMR      []string `json:"amr"`
}

func sample() claims {
	return claims{
		Issuer: "https://id.example/11111111-1111-4111-8111-111111111111/v2.0", Subject: "6f0e3c1e-58a7-4a8e-9b62-1d1a51c1c0aa",
		Audience: "https://api.example", Expires: 1_800_003_600, Issued: 1_800_000_000, From: 1_800_000_000,
		ID: "0193a5a0-0000-7000-8000-000000000001", Client: "2b2f3f5a-0f4e-4c07-8a8e-3d3b7e0f6c55", Scope: "openid profile",
		Tenant: "11111111-1111-4111-8111-111111111111", AMR: []string{"fido", "mfa"},
	}
}

// BenchmarkSignRaw is the floor of BenchmarkSignES256: one P-256 signature.
func BenchmarkSignRaw(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("message"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ecdsa.SignASN1(rand.Reader, key, sum[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignES256(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	s, err := jose.NewSigner("ES256", "6f0e3c1e-58a7-4a8e-9b62-1d1a51c1c0aa", "at+jwt", key)
	if err != nil {
		b.Fatal(err)
	}
	c := sample()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Sign(c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyRaw is the floor of BenchmarkVerifyES256.
func BenchmarkVerifyRaw(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("message"))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
			b.Fatal("a good signature is refused")
		}
	}
}

func BenchmarkVerifyES256(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	s, err := jose.NewSigner("ES256", "6f0e3c1e-58a7-4a8e-9b62-1d1a51c1c0aa", "at+jwt", key)
	if err != nil {
		b.Fatal(err)
	}
	jwt, err := s.Sign(sample())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m, err := jose.Parse(jwt, "ES256", "RS256")
		if err != nil {
			b.Fatal(err)
		}
		var c claims
		if err := m.Verify("ES256", &key.PublicKey, &c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLooseRS256 reads and verifies a message of the length of a request
// for a primary refresh token; raw is its floor, one RSA-2048 verification.
func BenchmarkLooseRS256(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	input := encode([]byte(`{"alg":"RS256","typ":"JWT","kdf_ver":2}`)) + "." + encode([]byte(`{"request_nonce":"`+strings.Repeat("A", 2000)+`"}`))
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	compact := input + "." + encode(sig)
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m, err := jose.ParseLoose(compact, "RS256", "ES256")
			if err != nil {
				b.Fatal(err)
			}
			if err := m.VerifyKey(&key.PublicKey); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSealAgreed seals an answer of the size of one with a primary refresh
// token to a P-256 key; the ceiling says 82 µs.
func BenchmarkSealAgreed(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	text := make([]byte, 2000)
	to := jose.Agreement{Recipient: &key.PublicKey, APV: []byte("party"), APU: func(point []byte) []byte { return point }}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jose.SealAgreed(to, text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseLoose reads a message as devices send it, with a certificate.
func BenchmarkParseLoose(b *testing.B) {
	part := base64.RawURLEncoding.EncodeToString
	message := part([]byte(`{"alg":"RS256","typ":"JWT","x5c":["`+base64.StdEncoding.EncodeToString(make([]byte, 1200))+`"],"kdf_ver":2}`)) + "." +
		part([]byte(`{"client_id":"29d9ed98-a469-4536-ade2-f981bc1d605e","request_nonce":"`+strings.Repeat("n", 150)+
			`","scope":"openid aza","grant_type":"urn:ietf:params:oauth:grant-type:jwt-bearer","assertion":"`+strings.Repeat("a", 900)+`"}`)) + "." +
		part(make([]byte, 256))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jose.ParseLoose(message, "RS256"); err != nil {
			b.Fatal(err)
		}
	}
}
