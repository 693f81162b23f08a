package jose

import (
	"crypto"
	"encoding/base64"
	"fmt"
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

// Signer signs claims with one key, algorithm and type. It is safe for
// concurrent use.
type Signer struct{ inner jose.Signer }

// NewSigner makes a Signer whose messages name the key kid and have the type
// typ (RFC 8725, Section 3.11).
func NewSigner(alg, kid, typ string, key crypto.Signer) (*Signer, error) {
	opts := (&jose.SignerOptions{}).WithHeader("kid", kid).WithType(jose.ContentType(typ))
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, opts)
	if err != nil {
		return nil, fmt.Errorf("signer for %s: %w", alg, err)
	}
	return &Signer{s}, nil
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
	return m.CompactSerialize()
}

// Message is a signed message that was read but not verified.
type Message struct {
	Alg   string
	KeyID string
	Type  string // typ, in lower case, without "application/"
	inner *jose.JSONWebSignature
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
		if _, err := base64.RawURLEncoding.Strict().DecodeString(p); err != nil || p == "" {
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
	return Message{Alg: h.Alg, KeyID: h.Kid, Type: typ, inner: m}, nil
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
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return protected{}, malformed("header: %w", err)
	}
	var h protected
	if err := Strict(raw, &h); err != nil {
		return protected{}, malformed("header: %w", err)
	}
	for name, member := range map[string]json.RawMessage{"crit": h.Crit, "b64": h.B64, "zip": h.Zip} {
		if member != nil {
			return protected{}, idp.Unprovenf("header_refused", "header %s", name)
		}
	}
	for name, member := range map[string]json.RawMessage{"jwk": h.JWK, "jku": h.JKU, "x5u": h.X5U, "x5c": h.X5C} {
		if member != nil {
			return protected{}, idp.Unprovenf("embedded_key", "header %s", name)
		}
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
	if m.Alg != alg {
		return idp.Unprovenf("algorithm_differs", "message says %s, key is for %s", m.Alg, alg)
	}
	payload, err := m.inner.Verify(key)
	if err != nil {
		return idp.Unprovenf("wrong_signature", "%w", err)
	}
	if err := Strict(payload, v); err != nil {
		return malformed("payload: %w", err)
	}
	return nil
}

// Strict decodes one JSON value: names are matched exactly, one given twice is
// refused, and so is anything behind the value.
func Strict(data []byte, v any) error {
	if len(data) > MaxToken {
		return idp.Invalidf("json_too_large", "%d bytes", len(data))
	}
	if depth(data) > maxDepth {
		return idp.Invalidf("json_too_deep", "deeper than %d", maxDepth)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return idp.Invalidf("json_malformed", "%w", err)
	}
	return nil
}

const maxDepth = 32

// depth is how deep arrays and objects nest, strings passed over.
func depth(data []byte) int {
	deepest, now, quoted := 0, 0, false
	for n := 0; n < len(data); n++ {
		switch c := data[n]; {
		case quoted && c == '\\':
			n++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}
