package hellotest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"time"

	"github.com/signetid/signet/internal/jose"
)

// Key is a user key.
type Key struct {
	private crypto.Signer
}

// RSA makes an RSA key, EC one on P-256.
func RSA() *Key {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return &Key{k}
}

// EC makes a key on P-256.
func EC() *Key {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &Key{k}
}

// Public is what the device has registered: an RSA1 blob, or a
// SubjectPublicKeyInfo for a P-256 key.
func (k *Key) Public() []byte {
	if p, ok := k.private.Public().(*rsa.PublicKey); ok {
		return jose.RSA1(p)
	}
	return k.SPKI()
}

// SPKI is the SubjectPublicKeyInfo of the key.
func (k *Key) SPKI() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.private.Public())
	if err != nil {
		panic(err)
	}
	return der
}

// ID is the kid by which clients name the key.
func (k *Key) ID() string {
	sum := sha256.Sum256(k.Public())
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (k *Key) alg() string {
	if _, ok := k.private.(*rsa.PrivateKey); ok {
		return "RS256"
	}
	return "ES256"
}

// Header is the header of an assertion as clients write it.
func (k *Key) Header() map[string]any {
	return map[string]any{"alg": k.alg(), "typ": "JWT", "kid": k.ID(), "use": "ngc"}
}

// Claims are those of an assertion as clients write it.
func Claims(user, nonce string, now time.Time) map[string]any {
	return map[string]any{
		"iss": user, "aud": "common", "iat": now.Add(-5 * time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"scope": "openid aza ugs", "request_nonce": nonce,
	}
}

// Assertion is a good one.
func (k *Key) Assertion(user, nonce string, now time.Time) []byte {
	return k.Sign(k.Header(), Claims(user, nonce, now))
}

// Sign makes a compact message of any header and claims.
func (k *Key) Sign(header, claims map[string]any) []byte {
	return k.SignAs(base64.RawURLEncoding, header, claims)
}

// SignAs is Sign with an alphabet.
func (k *Key) SignAs(enc *base64.Encoding, header, claims map[string]any) []byte {
	input := enc.EncodeToString(encode(header)) + "." + enc.EncodeToString(encode(claims))
	return []byte(input + "." + enc.EncodeToString(k.signature(input)))
}

func (k *Key) signature(input string) []byte {
	sum := sha256.Sum256([]byte(input))
	raw, err := k.private.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	curve, ok := k.private.(*ecdsa.PrivateKey)
	if !ok {
		return raw
	}
	// JWS has r and s side by side (RFC 7518, Section 3.4).
	r, s, err := ecdsa.Sign(rand.Reader, curve, sum[:])
	if err != nil {
		panic(err)
	}
	return append(fill(r), fill(s)...)
}

func fill(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}
