package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // of rsaHashes
	"encoding/json"
	"math/big"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// The bounds of what a lenient header may hold.
const (
	minCtx, maxCtx = 16, 64 // bytes (device-protocol.md §8.2)
	maxChain       = 5      // certificates
)

// Loose is a signed message of a device protocol that was read but not
// verified: until VerifyKey or VerifyMAC said yes, its members are only a way to
// the key.
type Loose struct {
	Alg   string
	KeyID string
	Type  string // typ, in lower case
	Use   string
	// Chain is x5c: certificates in DER, the signer's first. It makes no key
	// trusted (security.md TOK04): callers look the key up that it holds.
	Chain [][]byte
	// Ctx is what the key of an HMAC was derived with, 16 to 64 bytes; always
	// there with HS256, else it may be nil.
	Ctx []byte
	// KDF is kdf_ver: 2, 1, or 0 when the header says nothing, which means 1.
	KDF int
	// Payload is the decoded payload, exactly as it was sent: a JSON object
	// without members that are given twice.
	Payload []byte

	names     [][]byte // of the header's members
	input     []byte   // what was signed, as received
	signature []byte
}

// Only refuses a header that has members besides these, in any spelling of their
// case, or a typ that is not JWT: so that a message of one kind never passes for
// one of another (device-protocol.md §15, "Hello downgrade").
func (m Loose) Only(members ...string) error {
	typed := false
	for _, name := range m.names {
		name := strings.ToLower(string(name))
		if !slices.Contains(members, name) {
			return idp.Unprovenf("header_refused", "header has %.40q", name)
		}
		typed = typed || name == "typ"
	}
	if typed && m.Type != "jwt" {
		return idp.Unprovenf("header_refused", "typ is %.40q", m.Type)
	}
	return nil
}

// looseHeader is the header of a lenient message, with the members that we
// refuse.
type looseHeader struct {
	Alg  string          `json:"alg"`
	Kid  Text            `json:"kid"`
	Typ  string          `json:"typ"`
	Use  string          `json:"use"`
	Ctx  string          `json:"ctx"`
	KDF  *Number         `json:"kdf_ver"`
	X5C  any             `json:"x5c"` // as Strings, which would read what is long twice
	Crit json.RawMessage `json:"crit"`
	B64  json.RawMessage `json:"b64"`
	Zip  json.RawMessage `json:"zip"`
	JWK  json.RawMessage `json:"jwk"`
	JKU  json.RawMessage `json:"jku"`
	X5U  json.RawMessage `json:"x5u"`
}

// ParseLoose reads a compact message of a device protocol whose algorithm is
// among algs, of RS256, ES256 and HS256 (device-protocol.md §0 facts 9 to 11,
// §1.3), and for smart cards of RS384 and RS512 (apple-platform-sso.md §6.3):
// either base64 alphabet, padded or not, x5c as a string or a list, the
// KDF's version as a number or a string. All else is as strict as Parse.
// Errors are Unproven.
func ParseLoose(compact string, algs ...string) (Loose, error) {
	if len(compact) > MaxToken {
		return Loose{}, malformed("%d bytes", len(compact))
	}
	head, rest, _ := strings.Cut(compact, ".")
	body, tail, signed := strings.Cut(rest, ".")
	if !signed || strings.IndexByte(tail, '.') >= 0 {
		return Loose{}, malformed("not three parts")
	}
	m, err := parseLooseHeader(head, algs)
	if err != nil {
		return Loose{}, err
	}
	if m.Payload, err = Unbase64(body); err != nil {
		return Loose{}, malformed("payload: %w", err)
	}
	if err := loose(m.Payload); err != nil {
		return Loose{}, malformed("payload: %w", err)
	}
	if first := bytes.TrimLeft(m.Payload[:min(len(m.Payload), 64)], " \t\r\n"); !bytes.HasPrefix(first, []byte("{")) {
		return Loose{}, malformed("payload is no object")
	}
	if m.signature, err = Unbase64(tail); err != nil || len(m.signature) == 0 {
		return Loose{}, malformed("no signature in base64")
	}
	m.input = []byte(compact[:len(compact)-len(tail)-1])
	return m, nil
}

func parseLooseHeader(part string, algs []string) (Loose, error) {
	raw, err := Unbase64(part)
	if err != nil {
		return Loose{}, malformed("header: %w", err)
	}
	var h looseHeader
	names, err := named(raw, &h)
	if err != nil {
		return Loose{}, malformed("header: %w", err)
	}
	chain, err := texts(h.X5C)
	if err != nil {
		return Loose{}, err
	}
	switch {
	case !slices.Contains(algs, h.Alg):
		return Loose{}, idp.Unprovenf("algorithm_refused", "algorithm %.20q", h.Alg)
	case h.Crit != nil || h.B64 != nil || h.Zip != nil:
		return Loose{}, idp.Unprovenf("header_refused", "header has crit, b64 or zip")
	case h.JWK != nil || h.JKU != nil || h.X5U != nil:
		return Loose{}, idp.Unprovenf("embedded_key", "header has jwk, jku or x5u")
	case len(h.Kid) > maxKeyID:
		return Loose{}, malformed("kid of %d bytes", len(h.Kid))
	case len(chain) > maxChain:
		return Loose{}, malformed("%d certificates", len(chain))
	case h.KDF != nil && *h.KDF != 1 && *h.KDF != 2:
		return Loose{}, idp.Unprovenf("kdf_unknown", "kdf_ver %d", *h.KDF)
	}
	m := Loose{Alg: h.Alg, KeyID: string(h.Kid), Type: strings.ToLower(h.Typ), Use: h.Use, names: names}
	if h.KDF != nil {
		m.KDF = int(*h.KDF)
	}
	if m.Ctx, err = ctxOf(h.Ctx); err != nil {
		return Loose{}, err
	}
	if m.Ctx == nil && h.Alg == "HS256" {
		return Loose{}, idp.Unprovenf("ctx_missing", "header has no ctx") // signed with the raw session key, §8.3
	}
	for _, one := range chain {
		der, err := Unbase64(one)
		if err != nil || len(der) == 0 {
			return Loose{}, malformed("x5c is not base64")
		}
		m.Chain = append(m.Chain, der)
	}
	return m, nil
}

// texts is a list of strings, or a single one without the list; nil is none.
func texts(v any) ([]string, error) {
	var out []string
	switch v := v.(type) {
	case nil:
	case string:
		out = []string{v}
	case []any:
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return nil, malformed("x5c is a list of %T", one)
			}
			out = append(out, text)
		}
	default:
		return nil, malformed("x5c is a %T", v)
	}
	return out, nil
}

// ctxOf decodes the context of a derived key; nil when there is none.
func ctxOf(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	ctx, err := Unbase64(text)
	if err != nil || len(ctx) < minCtx || len(ctx) > maxCtx {
		return nil, idp.Unprovenf("ctx_refused", "ctx of %d characters", len(text))
	}
	return ctx, nil
}

// Read decodes the payload Loosely. Errors are Unproven.
func (m Loose) Read(v any) error {
	if err := json.Unmarshal(m.Payload, v); err != nil { // ParseLoose did the rest
		return malformed("payload: %w", err)
	}
	return nil
}

// rsaHashes are the hashes of the algorithms of RSA keys (RFC 7518, Section 3.3).
var rsaHashes = map[string]crypto.Hash{"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512}

// VerifyKey checks the signature over the bytes as they were received. The key
// decides on the algorithm: RS256 for RSA, or RS384 and RS512 where ParseLoose
// was told to take them, ES256 for P-256, no other (security.md TOK02). Errors
// are Unproven.
func (m Loose) VerifyKey(pub crypto.PublicKey) error {
	if _, err := Usable(pub); err != nil {
		return idp.Unprovenf("key_refused", "%w", err)
	}
	good := false
	switch key := pub.(type) {
	case *rsa.PublicKey:
		hash, ok := rsaHashes[m.Alg]
		if !ok {
			return idp.Unprovenf("algorithm_differs", "message says %s, key is for RSA", m.Alg)
		}
		h := hash.New()
		h.Write(m.input)
		good = rsa.VerifyPKCS1v15(key, hash, h.Sum(nil), m.signature) == nil
	case *ecdsa.PublicKey:
		if m.Alg != "ES256" || key.Params().BitSize != 256 {
			return idp.Unprovenf("algorithm_differs", "message says %s, key is of %s", m.Alg, key.Params().Name)
		}
		sum := sha256.Sum256(m.input)
		r, s := m.signature[:min(32, len(m.signature))], m.signature[min(32, len(m.signature)):]
		good = len(r) == 32 && len(s) == 32 && ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(r), new(big.Int).SetBytes(s))
	default:
		return idp.Unprovenf("algorithm_differs", "message says %s, key is a %T", m.Alg, pub)
	}
	if !good {
		return idp.Unprovenf("wrong_signature", "signature of %d bytes", len(m.signature))
	}
	return nil
}

// VerifyMAC checks an HS256 message with a derived key of 32 bytes, in constant
// time. Errors are Unproven.
func (m Loose) VerifyMAC(key []byte) error {
	if m.Alg != "HS256" {
		return idp.Unprovenf("algorithm_differs", "message says %s, key is for HS256", m.Alg)
	}
	if len(key) != sha256.Size {
		return idp.Unprovenf("key_refused", "key of %d bytes", len(key)) // an empty key is everybody's
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(m.input)
	if !hmac.Equal(mac.Sum(nil), m.signature) {
		return idp.Unprovenf("wrong_signature", "MAC of %d bytes", len(m.signature))
	}
	return nil
}
