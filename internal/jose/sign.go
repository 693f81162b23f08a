package jose

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Signer signs claims with one key, algorithm and type. It is safe for
// concurrent use. Making one costs more than a signature's preparation should:
// callers keep it with its key.
type Signer struct {
	inner  jose.Signer
	header string // of every message: encoded, with the dot behind it
}

// NewSigner makes a Signer whose messages name the key kid and have the type
// typ (RFC 8725, Section 3.11). It signs ES256 with P-256 keys and RS256 with
// RSA keys; every other pair is an error.
func NewSigner(alg, kid, typ string, key crypto.Signer) (*Signer, error) {
	usable, err := Usable(key.Public())
	if err != nil {
		return nil, fmt.Errorf("signer for %s: %w", alg, err)
	}
	if !slices.Contains(usable, alg) || (alg != "ES256" && alg != "RS256") {
		return nil, fmt.Errorf("no signer for %s with a %T", alg, key.Public())
	}
	opts := (&jose.SignerOptions{}).WithHeader("kid", kid).WithType(jose.ContentType(typ))
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, opts)
	if err != nil {
		return nil, fmt.Errorf("signer for %s: %w", alg, err)
	}
	sample, err := s.Sign(nil)
	if err != nil {
		return nil, fmt.Errorf("signer for %s: %w", alg, err)
	}
	text, err := sample.DetachedCompactSerialize()
	if err != nil {
		return nil, fmt.Errorf("signer for %s: %w", alg, err)
	}
	return &Signer{inner: s, header: text[:strings.IndexByte(text, '.')+1]}, nil
}

// Sign serialises the claims and signs them, compactly (RFC 7515, Section 7.1).
func (s *Signer) Sign(claims any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	m, err := s.inner.Sign(body)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	// CompactSerialize would write the header for a third time.
	signature, size := m.Signatures[0].Signature, base64.RawURLEncoding.EncodedLen
	out := make([]byte, 0, len(s.header)+size(len(body))+1+size(len(signature)))
	out = base64.RawURLEncoding.AppendEncode(append(out, s.header...), body)
	return string(base64.RawURLEncoding.AppendEncode(append(out, '.'), signature)), nil
}
