package platformtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/pssowire"
)

// Key is a user key.
type Key struct{ private *ecdsa.PrivateKey }

// New makes one.
func New() *Key {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &Key{k}
}

// Public is its public half.
func (k *Key) Public() *ecdsa.PublicKey { return &k.private.PublicKey }

// Private is the other.
func (k *Key) Private() *ecdsa.PrivateKey { return k.private }

// ID is its id.
func (k *Key) ID() pssowire.KeyID { return pssowire.KeyOf(k.Public()) }

// Print is the SHA-256 of its SubjectPublicKeyInfo.
func (k *Key) Print() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(der)
	return sum[:]
}

// Said is what the login request around an assertion says.
type Said struct {
	Name, Audience, RequestNonce, Nonce, Scope string
	Now                                        time.Time
}

// Login is a good one.
func Login(name, audience, requestNonce string, now time.Time) Said {
	return Said{
		Name: name, Audience: audience, RequestNonce: requestNonce, Now: now,
		Nonce: "4E3F2C1A-7B60-4C55-9D6E-0A1B2C3D4E5F", Scope: "openid offline_access urn:apple:platformsso",
	}
}

// Keep is what the door hands over of it.
func (s Said) Keep() []byte {
	return assertion.Expected{RequestNonce: s.RequestNonce, Audiences: []string{s.Audience}, Name: s.Name, Nonce: s.Nonce, Scope: s.Scope}.Keep()
}

// Claims are those of the assertion that belongs to it.
func (s Said) Claims() map[string]any {
	return map[string]any{
		"iss": s.Name, "sub": s.Name, "aud": s.Audience, "iat": s.Now.Unix(), "exp": s.Now.Add(5 * time.Minute).Unix(),
		"nonce": s.Nonce, "request_nonce": s.RequestNonce, "scope": s.Scope,
	}
}

// Header is that of an assertion.
func (k *Key) Header() map[string]any {
	return map[string]any{"typ": pssowire.TypeAssertion, "alg": "ES256", "kid": k.ID().String()}
}

// Assertion is the one that belongs to a login request.
func (k *Key) Assertion(s Said) []byte { return k.Sign(k.Header(), s.Claims()) }

// ProofHeader is the header of a proof of possession.
func (k *Key) ProofHeader() map[string]any {
	return map[string]any{"typ": pssowire.TypeUserKey, "alg": "ES256", "kid": k.ID().String()}
}

// ProofClaims are those of a proof about a key.
func ProofClaims(e platform.Expected, about pssowire.KeyID, now time.Time) map[string]any {
	return map[string]any{
		"iss": pssowire.ClientID, "aud": e.Audience, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"request_nonce": e.Nonce, "device": e.Device.String(), "key": about.String(),
	}
}

// Proof shows that somebody has k, and speaks for the key of that id.
func (k *Key) Proof(e platform.Expected, about pssowire.KeyID, now time.Time) string {
	return string(k.Sign(k.ProofHeader(), ProofClaims(e, about, now)))
}

// Offer is a good one of k, without an attestation.
func (k *Key) Offer(e platform.Expected, now time.Time) platform.Offer {
	return platform.Offer{Key: pssowire.Point(k.Public()), Proof: k.Proof(e, k.ID(), now)}
}

// Sign makes a compact message of any header and claims.
func (k *Key) Sign(header, claims map[string]any) []byte {
	input := encode(header) + "." + encode(claims)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
	if err != nil {
		panic(err)
	}
	// r and s side by side (RFC 7518, Section 3.4).
	raw := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return []byte(input + "." + base64.RawURLEncoding.EncodeToString(raw))
}

func encode(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}
