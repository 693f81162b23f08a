package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// MaxSealed is the longest encrypted message that is opened.
const MaxSealed = 64 << 10

// unopened is the one error of the openers: what was wrong stays unknown to
// whoever sent it (security.md TOK06).
func unopened() error { return idp.Unprovenf("jwe_refused", "encrypted message does not open") }

// envelope is an encrypted message, taken apart.
type envelope struct {
	protected string // as received: the AAD
	header    sealedHeader
	wrapped   []byte
	iv        []byte
	sealed    []byte // ciphertext and tag
}

type sealedHeader struct {
	Alg  string          `json:"alg"`
	Enc  string          `json:"enc"`
	Ctx  string          `json:"ctx"`
	APU  string          `json:"apu"`
	APV  string          `json:"apv"`
	EPK  json.RawMessage `json:"epk"`
	Crit json.RawMessage `json:"crit"`
	Zip  json.RawMessage `json:"zip"`
}

// openEnvelope reads a compact JWE in A256GCM of the algorithm alg, in
// unpadded base64url as RFC 7516 has it.
func openEnvelope(compact, alg string) (envelope, bool) {
	if len(compact) > MaxSealed {
		return envelope{}, false
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 5 {
		return envelope{}, false
	}
	var raw [5][]byte
	for n, p := range parts {
		var err error
		if raw[n], err = unbase64(p); err != nil {
			return envelope{}, false
		}
	}
	e := envelope{protected: parts[0], wrapped: raw[1], iv: raw[2], sealed: append(raw[3], raw[4]...)}
	if Strict(raw[0], &e.header) != nil || e.header.Alg != alg || e.header.Enc != algGCM || e.header.Crit != nil || e.header.Zip != nil {
		return envelope{}, false
	}
	return e, len(e.iv) == ivSize && len(raw[4]) == tagSize
}

// open decrypts with the content key.
func (e envelope) open(key []byte) ([]byte, error) {
	if len(key) != keySize {
		return nil, unopened()
	}
	aead, err := gcm(key)
	if err != nil {
		return nil, unopened()
	}
	plain, err := aead.Open(nil, e.iv, e.sealed, []byte(e.protected))
	if err != nil {
		return nil, unopened()
	}
	return plain, nil
}

// OpenDirect undoes SealDirect. Errors are Unproven and alike.
func OpenDirect(compact string, key KeyFor) ([]byte, error) {
	e, ok := openEnvelope(compact, "dir")
	ctx, err := ctxOf(e.header.Ctx)
	if !ok || err != nil || ctx == nil || len(e.wrapped) != 0 {
		return nil, unopened()
	}
	content, err := key(ctx)
	if err != nil {
		return nil, fmt.Errorf("key of an answer: %w", err)
	}
	return e.open(content)
}

// OpenSessionKey undoes WrapSessionKey: unwrap decrypts RSA-OAEP with SHA-1,
// as UnwrapWith does or a TPM. Errors are Unproven and alike, also for what
// unwrap refuses.
func OpenSessionKey(compact string, unwrap func(wrapped []byte) ([]byte, error)) ([]byte, error) {
	e, ok := openEnvelope(compact, "RSA-OAEP")
	if !ok {
		return nil, unopened()
	}
	key, err := unwrap(e.wrapped)
	if err != nil || len(key) != keySize {
		// A key that opens nothing, so that the two failures take the same
		// road (RFC 7516, Section 11.5).
		key = make([]byte, keySize)
		rand.Read(key)
	}
	if plain, err := e.open(key); err != nil || len(plain) != 1 {
		return nil, unopened()
	}
	return key, nil
}

// UnwrapWith is the unwrap of a private RSA key that can be asked from Go.
func UnwrapWith(key crypto.Decrypter) func(wrapped []byte) ([]byte, error) {
	return func(wrapped []byte) ([]byte, error) {
		return key.Decrypt(rand.Reader, wrapped, oaep)
	}
}

// OpenAgreed undoes SealAgreed: agree makes the shared secret of the
// recipient's key and the ephemeral one. apv is what the recipient asked for;
// a header that echoes another is refused. apu, when given, says whether the
// sender's part is what it must be for that key. Errors are Unproven and alike.
func OpenAgreed(compact string, apv []byte, apu func(point, apu []byte) bool, agree func(*ecdh.PublicKey) ([]byte, error)) ([]byte, error) {
	e, ok := openEnvelope(compact, "ECDH-ES")
	if !ok || len(e.wrapped) != 0 {
		return nil, unopened()
	}
	from, err := e.ephemeral()
	if err != nil {
		return nil, unopened()
	}
	u, err := unbase64(e.header.APU)
	if err != nil || (apu != nil && !apu(from.Bytes(), u)) {
		return nil, unopened()
	}
	v, err := unbase64(e.header.APV)
	if err != nil || (e.header.APV != "" && !bytes.Equal(v, apv)) {
		return nil, unopened()
	}
	z, err := agree(from)
	if err != nil {
		return nil, unopened()
	}
	return e.open(concat(z, algGCM, u, apv, keySize))
}

// ephemeral is the sender's key: a point of P-256 and no other (security.md
// TOK07).
func (e envelope) ephemeral() (*ecdh.PublicKey, error) {
	var p point
	if err := Strict(e.header.EPK, &p); err != nil {
		return nil, err
	}
	x, errX := unbase64(p.X)
	y, errY := unbase64(p.Y)
	if p.Kty != "EC" || p.Crv != "P-256" || errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
		return nil, unopened()
	}
	return ecdh.P256().NewPublicKey(append(append([]byte{4}, x...), y...))
}
