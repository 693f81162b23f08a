package certificatetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"time"
)

// Card is a certificate with its key.
type Card struct {
	Key   crypto.Signer
	Chain []*x509.Certificate // the leaf first
}

// Leaf is the card's own certificate.
func (c Card) Leaf() *x509.Certificate { return c.Chain[0] }

// Header is the header of a message as clients write it (device-protocol.md
// §7.2).
func (c Card) Header() map[string]any {
	alg := "ES256"
	if _, ok := c.Key.Public().(*rsa.PublicKey); ok {
		alg = "RS256"
	}
	var chain []string
	for _, one := range c.Chain {
		chain = append(chain, base64.StdEncoding.EncodeToString(one.Raw))
	}
	return map[string]any{"alg": alg, "typ": "JWT", "x5c": chain}
}

// Claims are those of a message as clients write it.
func Claims(user, nonce string, now time.Time) map[string]any {
	return map[string]any{
		"iss": user, "aud": "common", "iat": now.Add(-5 * time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"scope": "openid aza ugs", "request_nonce": nonce,
	}
}

// Message is a good one.
func (c Card) Message(user, nonce string, now time.Time) []byte {
	return c.Sign(c.Header(), Claims(user, nonce, now))
}

// Sign makes a compact message of any header and claims.
func (c Card) Sign(header, claims map[string]any) []byte {
	enc := base64.RawURLEncoding
	input := enc.EncodeToString(encode(header)) + "." + enc.EncodeToString(encode(claims))
	return []byte(input + "." + enc.EncodeToString(c.signature(input)))
}

func (c Card) signature(input string) []byte {
	sum := sha256.Sum256([]byte(input))
	if curve, ok := c.Key.(*ecdsa.PrivateKey); ok {
		// JWS has r and s side by side (RFC 7518, Section 3.4).
		r, s, err := ecdsa.Sign(rand.Reader, curve, sum[:])
		if err != nil {
			panic(err)
		}
		return append(fill(r), fill(s)...)
	}
	raw, err := c.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return raw
}

func fill(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}
