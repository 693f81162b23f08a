package jose

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
)

// What follows is a device's side of device-bound messages: strict, by
// go-jose alone. The server's lenient readers are others.

// SignRS256 signs a payload as it is, with a key that may be in hardware
// (RSASSA-PKCS1-v1_5 with SHA-256). header has the further members.
func SignRS256(key crypto.Signer, header map[string]any, payload []byte) (string, error) {
	return signCompact(jose.SigningKey{Algorithm: jose.RS256, Key: cryptosigner.Opaque(key)}, header, payload)
}

// SignHS256 authenticates a payload as it is with a symmetric key.
func SignHS256(key []byte, header map[string]any, payload []byte) (string, error) {
	return signCompact(jose.SigningKey{Algorithm: jose.HS256, Key: key}, header, payload)
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

// unwrapper undoes the wrapping of a content key somewhere else.
type unwrapper struct {
	undo func([]byte) ([]byte, error)
	key  []byte
	err  error
}

func (u *unwrapper) DecryptKey(wrapped []byte, _ jose.Header) ([]byte, error) {
	u.key, u.err = u.undo(wrapped)
	return u.key, u.err
}

// ContentKey gives the content key of a compact JWE (RSA-OAEP, A256GCM) whose
// wrapping unwrap undoes: that is how a session key travels (device-protocol.md
// §8.1). The message is opened with it, so a key that is not the message's is
// an error.
func ContentKey(compact string, unwrap func(wrapped []byte) ([]byte, error)) ([]byte, error) {
	m, err := parseSealed(compact, jose.RSA_OAEP)
	if err != nil {
		return nil, err
	}
	u := &unwrapper{undo: unwrap}
	if _, err := m.Decrypt(u); err != nil {
		if u.err != nil {
			err = u.err
		}
		return nil, fmt.Errorf("open the wrapped key: %w", err)
	}
	return u.key, nil
}

// OpenDirect opens a compact JWE (dir, A256GCM) whose key derive makes of the
// context in its header (device-protocol.md §8.5, protocol 3.0).
func OpenDirect(compact string, derive func(context []byte) ([]byte, error)) ([]byte, error) {
	m, err := parseSealed(compact, jose.DIRECT)
	if err != nil {
		return nil, err
	}
	text, _ := m.Header.ExtraHeaders["ctx"].(string)
	context, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(context) < MinContext || len(context) > MaxContext {
		return nil, malformed("context of %d characters", len(text))
	}
	key, err := derive(context)
	if err != nil {
		return nil, err
	}
	plain, err := m.Decrypt(key)
	if err != nil {
		return nil, fmt.Errorf("open the sealed answer: %w", err)
	}
	return plain, nil
}

func parseSealed(compact string, alg jose.KeyAlgorithm) (*jose.JSONWebEncryption, error) {
	if len(compact) > maxSealed {
		return nil, malformed("%d bytes", len(compact))
	}
	m, err := jose.ParseEncryptedCompact(compact, []jose.KeyAlgorithm{alg}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return nil, fmt.Errorf("read a sealed message: %w", err)
	}
	return m, nil
}

// Sizes of contexts that keys are derived with (device-protocol.md §8.2), and
// of sealed answers, which carry several tokens.
const (
	MinContext = 16
	MaxContext = 64
	maxSealed  = 64 << 10
)

// SessionLabel separates keys that are derived of a session key from all
// others (device-protocol.md §8.2) [K].
const SessionLabel = "AzureAD-SecureConversation"

// DerivationInput is what the session key's HMAC-SHA-256 makes a message's key
// of: one block of SP 800-108, 5.1 (counter mode) over the context.
func DerivationInput(context []byte) []byte {
	b := append([]byte{0, 0, 0, 1}, SessionLabel...)
	b = append(append(b, 0), context...)
	return binary.BigEndian.AppendUint32(b, 256)
}

// PayloadContext is the context of key derivation version 2: it binds the key
// to the one payload that is sent with it.
func PayloadContext(context, payload []byte) []byte {
	sum := sha256.New()
	sum.Write(context)
	sum.Write(payload)
	return sum.Sum(nil)
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
