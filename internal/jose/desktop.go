package jose

import (
	"crypto"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
)

// SignRS256 signs a payload as it is, with a key that may be in hardware
// (RSASSA-PKCS1-v1_5 with SHA-256). header has the further members.
func SignRS256(key crypto.Signer, header map[string]any, payload []byte) (string, error) {
	return signCompact(jose.SigningKey{Algorithm: jose.RS256, Key: cryptosigner.Opaque(key)}, header, payload)
}

// SignHS256 authenticates a payload as it is with a symmetric key.
func SignHS256(key []byte, header map[string]any, payload []byte) (string, error) {
	return signCompact(jose.SigningKey{Algorithm: jose.HS256, Key: key}, header, payload)
}

// SignAs signs a payload as it is with a key that may be in hardware: ES256 with
// one on P-256; RS256, RS384 and RS512 with RSA. header has the further members,
// and typ, if it is not to be JWT.
func SignAs(alg string, key crypto.Signer, header map[string]any, payload []byte) (string, error) {
	if _, ok := rsaHashes[alg]; !ok && alg != "ES256" {
		return "", fmt.Errorf("no signer for %q", alg)
	}
	return signCompact(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: cryptosigner.Opaque(key)}, header, payload)
}

func signCompact(key jose.SigningKey, header map[string]any, payload []byte) (string, error) {
	opts := (&jose.SignerOptions{}).WithType("JWT")
	for name, value := range header {
		opts.WithHeader(jose.HeaderKey(name), value)
	}
	s, err := jose.NewSigner(key, opts)
	if err != nil {
		return "", fmt.Errorf("signer: %w", err)
	}
	m, err := s.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return m.CompactSerialize()
}

// Unverified reads the claims of a signed message without looking at its
// signature: for who got it from its issuer itself, over TLS (OpenID Connect
// Core 1.0, 3.1.3.7), and for what is only asked about, never relied upon.
func Unverified(compact string, v any) error {
	if len(compact) > MaxToken {
		return malformed("%d bytes", len(compact))
	}
	m, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		return fmt.Errorf("read a token: %w", err)
	}
	if err := json.Unmarshal(m.UnsafePayloadWithoutVerification(), v); err != nil {
		return fmt.Errorf("read a token's claims: %w", err)
	}
	return nil
}
