package jose

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/signetid/signet/internal/idp"
)

// The sizes that we look at; anything larger is refused unread.
const (
	MaxToken = 16 << 10
	maxKeyID = 128
)

// Message is a signed message that was read but not verified.
type Message struct {
	Alg   string
	KeyID string
	Type  string // typ, in lower case, without "application/"
	inner *jose.JSONWebSignature
	input string // what was signed
}

func malformed(format string, args ...any) error {
	return idp.Unprovenf("token_malformed", format, args...)
}

// Parse reads a compact message whose algorithm is among algs; every other one
// ("none" above all) is refused before any key is looked for. Errors are
// Unproven.
func Parse(compact string, algs ...string) (Message, error) {
	if len(compact) > MaxToken {
		return Message{}, malformed("%d bytes", len(compact))
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return Message{}, malformed("%d parts", len(parts))
	}
	for _, p := range parts {
		if _, err := unbase64(p); err != nil || p == "" {
			return Message{}, malformed("part is not base64url")
		}
	}
	h, err := header(parts[0])
	if err != nil {
		return Message{}, err
	}
	if !slices.Contains(algs, h.Alg) {
		return Message{}, idp.Unprovenf("algorithm_refused", "algorithm %.20q", h.Alg)
	}
	known := make([]jose.SignatureAlgorithm, len(algs))
	for n, a := range algs {
		known[n] = jose.SignatureAlgorithm(a)
	}
	m, err := jose.ParseSignedCompact(compact, known)
	if err != nil {
		return Message{}, malformed("%w", err)
	}
	typ := strings.TrimPrefix(strings.ToLower(h.Typ), "application/")
	return Message{Alg: h.Alg, KeyID: h.Kid, Type: typ, inner: m, input: compact[:strings.LastIndexByte(compact, '.')]}, nil
}

// unbase64 decodes base64url as RFC 7515, Section 2 has it: no padding, no
// stray bits, and no line breaks, which the decoder would pass over.
func unbase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, malformed("line break in base64url")
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

// protected is the header of a message, with the members that we refuse.
type protected struct {
	Alg  string          `json:"alg"`
	Kid  string          `json:"kid"`
	Typ  string          `json:"typ"`
	Crit json.RawMessage `json:"crit"`
	B64  json.RawMessage `json:"b64"`
	Zip  json.RawMessage `json:"zip"`
	JWK  json.RawMessage `json:"jwk"`
	JKU  json.RawMessage `json:"jku"`
	X5U  json.RawMessage `json:"x5u"`
	X5C  json.RawMessage `json:"x5c"`
}

func header(part string) (protected, error) {
	raw, err := unbase64(part)
	if err != nil {
		return protected{}, malformed("header: %w", err)
	}
	var h protected
	if err := Strict(raw, &h); err != nil {
		return protected{}, malformed("header: %w", err)
	}
	switch {
	case h.Crit != nil || h.B64 != nil || h.Zip != nil:
		return protected{}, idp.Unprovenf("header_refused", "header has crit, b64 or zip")
	case h.JWK != nil || h.JKU != nil || h.X5U != nil || h.X5C != nil:
		return protected{}, idp.Unprovenf("embedded_key", "header has jwk, jku, x5u or x5c")
	}
	if len(h.Kid) > maxKeyID {
		return protected{}, malformed("kid of %d bytes", len(h.Kid))
	}
	return h, nil
}

// Verify checks the signature with a key registered for alg and reads the
// payload into v, strictly. A message that names another algorithm than the
// key's is refused whatever its signature.
func (m Message) Verify(alg string, key crypto.PublicKey, v any) error {
	payload, err := m.payload(alg, key)
	if err != nil {
		return err
	}
	if err := Strict(payload, v); err != nil {
		return malformed("payload: %w", err)
	}
	return nil
}

func (m Message) payload(alg string, key crypto.PublicKey) ([]byte, error) {
	if m.Alg != alg {
		return nil, idp.Unprovenf("algorithm_differs", "message says %s, key is for %s", m.Alg, alg)
	}
	algs, err := Usable(key)
	if err != nil {
		return nil, idp.Unprovenf("key_refused", "%w", err)
	}
	if !slices.Contains(algs, alg) {
		return nil, idp.Unprovenf("algorithm_differs", "a %T is not for %s", key, alg)
	}
	payload, err := m.inner.Verify(key)
	if err != nil {
		return nil, idp.Unprovenf("wrong_signature", "%w", err)
	}
	if pub, ok := key.(*rsa.PublicKey); ok && alg == "PS256" {
		// RFC 7518, Section 3.5 wants a salt as long as the hash; go-jose
		// takes any.
		sum := sha256.Sum256([]byte(m.input))
		opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		if err := rsa.VerifyPSS(pub, crypto.SHA256, sum[:], m.inner.Signatures[0].Signature, opts); err != nil {
			return nil, idp.Unprovenf("wrong_signature", "salt: %w", err)
		}
	}
	return payload, nil
}
