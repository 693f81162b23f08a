package pssowire_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"testing"

	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

func readVector(t testing.TB, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

// captured are testdata/captures.json.
type captured struct {
	Signing, Login, KeyRequest, KeyExchange, APV string
}

// message verifies a captured message and reads its claims.
func message(t *testing.T, signing, compact string) (jose.Loose, pssowire.Request) {
	t.Helper()
	pub, err := pssowire.ParsePoint(signing)
	if err != nil {
		t.Fatal(err)
	}
	m, err := jose.ParseLoose(compact, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.VerifyKey(pub); err != nil {
		t.Error(err)
	}
	if id, err := pssowire.ParseKeyID(m.KeyID); err != nil || id != pssowire.KeyOf(pub) || id.String() != m.KeyID {
		t.Errorf("kid %q, key %s, %v", m.KeyID, pssowire.KeyOf(pub), err)
	}
	var r pssowire.Request
	if err := m.Read(&r); err != nil {
		t.Fatal(err)
	}
	info, err := pssowire.ParsePartyV(r.Crypto.APV)
	if err != nil || info.Nonce != r.Nonce || r.Crypto.Alg != pssowire.AlgAgreed || r.Crypto.Enc != pssowire.EncAgreed {
		t.Errorf("apv %+v, nonce %q, %v", info, r.Nonce, err)
	}
	if r.Issued == nil || r.Expires == nil || *r.Expires-*r.Issued != 300 {
		t.Errorf("from %v until %v", r.Issued, r.Expires)
	}
	return m, r
}

// TestCaptures: what a real Mac has sent is read, whole.
func TestCaptures(t *testing.T) {
	var v captured
	readVector(t, "captures.json", &v)
	m, r := message(t, v.Signing, v.Login)
	if m.Type != pssowire.TypeLogin || r.Issuer != "psso" || r.ClientID != "psso" || len(r.Audience) != 1 || r.Audience[0] != "https://idp.twocanoes.com/pesto/token" ||
		r.Subject != r.Username || r.GrantType != pssowire.GrantPassword || r.Scope != "openid offline_access urn:apple:platformsso" || len(r.Groups()) != 3 {
		t.Errorf("%+v", r)
	}
	key := r.Crypto.APV[:104]
	m, r = message(t, v.Signing, v.KeyRequest)
	if m.Type != pssowire.TypeKey || r.RequestType != pssowire.AskKey || r.Version != pssowire.KeyVersion || r.KeyPurpose != pssowire.KeyPurpose ||
		len(r.Audience) != 0 || r.ClientID != "" || r.Scope != "" || r.GrantType != "" || r.RefreshToken == "" {
		t.Errorf("%+v", r)
	}
	if r.Crypto.APV[:104] != key {
		t.Error("the encryption key has changed between two messages")
	}
	m, r = message(t, v.Signing, v.KeyExchange)
	if m.Type != pssowire.TypeKey || r.RequestType != pssowire.AskExchange || r.OtherKey == "" || r.KeyContext == "" {
		t.Errorf("%+v", r)
	}
	exchange(t, r)
	if info, err := pssowire.ParsePartyV(v.APV); err != nil || len(info.Nonce) != 36 {
		t.Errorf("%+v, %v", info, err)
	}
}

// exchange agrees on the secret that the captured exchange asks for, with the key
// that its context holds, and by big numbers besides.
func exchange(t *testing.T, r pssowire.Request) {
	t.Helper()
	text, err := base64.RawStdEncoding.DecodeString(r.KeyContext)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	unlock, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	other, err := pssowire.ParsePoint(r.OtherKey)
	if err != nil {
		t.Fatal(err)
	}
	if pssowire.EncodePoint(other) != r.OtherKey {
		t.Error("a point is written in another way than by a Mac")
	}
	own, err := unlock.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	agreed(t, own, other)
}

// TestAppleLogin: Apple's sample of a login, of macOS 13: the old type, times as
// strings, the certificate as one string, no iss and no exp.
func TestAppleLogin(t *testing.T) {
	var v struct {
		Signing    struct{ Kid, X, Y string }
		Encryption struct{ Kid string }
		Nonce      string
		Login      string
	}
	readVector(t, "apple-encryption.json", &v)
	m, err := jose.ParseLoose(v.Login, "ES256")
	if err != nil || m.Type != "jwt" || m.KeyID != v.Signing.Kid || len(m.Chain) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	leaf, err := x509.ParseCertificate(m.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := m.VerifyKey(leaf.PublicKey); err != nil {
		t.Error(err)
	}
	pub, err := pssowire.ParsePoint(base64.StdEncoding.EncodeToString(leaf.RawSubjectPublicKeyInfo))
	if err != nil || pssowire.KeyOf(pub).String() != v.Signing.Kid || base64.RawURLEncoding.EncodeToString(pssowire.Point(pub)[1:33]) != v.Signing.X {
		t.Errorf("key of the certificate: %v", err)
	}
	var r pssowire.Request
	if err := m.Read(&r); err != nil || r.Issued == nil || *r.Issued != 1656005132 || r.Expires != nil || r.Issuer != "" || r.Nonce != v.Nonce {
		t.Errorf("%+v, %v", r, err)
	}
	info, err := pssowire.ParsePartyV(r.Crypto.APV)
	if err != nil || info.ID.String() != v.Encryption.Kid || info.Nonce != v.Nonce {
		t.Errorf("%+v, %v", info, err)
	}
}

// agreed holds Secret against big numbers.
func agreed(t *testing.T, own *ecdh.PrivateKey, other *ecdsa.PublicKey) []byte {
	t.Helper()
	z, err := pssowire.Secret(own, other)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 what is checked must not be what checks
	x, _ := other.Curve.ScalarMult(other.X, other.Y, own.Bytes())
	if len(z) != 32 || new(big.Int).SetBytes(z).Cmp(x) != 0 {
		t.Errorf("secret %x, want %x", z, x)
	}
	return z
}
