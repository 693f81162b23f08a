package jose

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
)

// Sizes of what the writers make, in bytes.
const (
	keySize = 32 // of a session key, and of every content key
	ivSize  = 12 // of A256GCM
	tagSize = 16
	ctxSize = 24 // [K] device-protocol.md §8.5
)

// algGCM is the enc of everything that is written here.
const algGCM = "A256GCM"

// wrapHeader is the header of a session key [K] (device-protocol.md §8.1).
const wrapHeader = `{"enc":"A256GCM","alg":"RSA-OAEP"}`

// WrapSessionKey gives a PRT's session key to the holder of a transport key:
// a JWE whose content key is the session key, wrapped by RSA-OAEP with SHA-1,
// around a single space (device-protocol.md §8.1; RFC 7516, Section 3.1).
func WrapSessionKey(transport *rsa.PublicKey, sessionKey []byte) (string, error) {
	if len(sessionKey) != keySize {
		return "", fmt.Errorf("session key of %d bytes", len(sessionKey))
	}
	// SHA-1 is the clients' and the TPMs' choice; OAEP does not rest on its
	// resistance to collisions.
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, transport, sessionKey, nil)
	if err != nil {
		return "", fmt.Errorf("wrap session key: %w", err)
	}
	compact, err := sealGCM(rand.Reader, []byte(wrapHeader), wrapped, sessionKey, []byte{0x20})
	return string(compact), err
}

// KeyFor gives the key for the context of one message.
type KeyFor func(ctx []byte) ([]byte, error)

// SealDirect encrypts an answer with A256GCM under the key that belongs to a
// fresh context (device-protocol.md §8.5; RFC 7518, Sections 4.5 and 5.3).
func SealDirect(key KeyFor, plain []byte) ([]byte, error) {
	return sealDirect(rand.Reader, key, plain)
}

func sealDirect(random io.Reader, key KeyFor, plain []byte) ([]byte, error) {
	header, content, err := direct(random, key)
	if err != nil {
		return nil, err
	}
	return sealGCM(random, header, nil, content, plain)
}

// SealCBC is SealDirect for clients that read nothing but AES-CBC, whatever the
// header says (device-protocol.md §0 fact 1, §8.5). Nothing authenticates it but
// TLS; its tag is random bytes (decisions 4.8).
func SealCBC(key KeyFor, plain []byte) ([]byte, error) {
	return sealCBC(rand.Reader, key, plain)
}

func sealCBC(random io.Reader, key KeyFor, plain []byte) ([]byte, error) {
	header, content, err := direct(random, key)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(content)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize // PKCS #7, RFC 5652, Section 6.3
	padded := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	both := make([]byte, aes.BlockSize+tagSize)
	if _, err := io.ReadFull(random, both); err != nil {
		return nil, err
	}
	iv, tag := both[:aes.BlockSize], both[aes.BlockSize:]
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	return compactJWE(encoded(header), nil, iv, padded, tag), nil
}

// direct makes the header of an answer with a fresh context, and its key.
func direct(random io.Reader, key KeyFor) (header, content []byte, err error) {
	ctx := make([]byte, ctxSize)
	if _, err := io.ReadFull(random, ctx); err != nil {
		return nil, nil, err
	}
	if content, err = key(ctx); err != nil {
		return nil, nil, fmt.Errorf("key of an answer: %w", err)
	}
	if len(content) != keySize {
		return nil, nil, fmt.Errorf("key of an answer has %d bytes", len(content))
	}
	header = []byte(`{"alg":"dir","enc":"A256GCM","ctx":"` + base64.StdEncoding.EncodeToString(ctx) + `","kid":"session"}`)
	return header, content, nil
}

// Agreement says for whom SealAgreed encrypts, and what both sides put into the
// key (RFC 7518, Section 4.6).
type Agreement struct {
	Recipient *ecdsa.PublicKey // on P-256
	Type      string           // typ; may be empty
	KeyID     string           // kid; may be empty
	// APU gives PartyUInfo for the ephemeral key, an uncompressed point of 65
	// bytes; nil: none.
	APU func(point []byte) []byte
	// APV is PartyVInfo as the recipient asked for. Echo puts it into the
	// header, too.
	APV  []byte
	Echo bool
}

// agreedHeader is the header of an agreed message. A member that is not asked
// for is left out.
type agreedHeader struct {
	Type  string `json:"typ,omitempty"`
	Alg   string `json:"alg"`
	Enc   string `json:"enc"`
	KeyID string `json:"kid,omitempty"`
	EPK   point  `json:"epk"`
	APU   string `json:"apu,omitempty"`
	APV   string `json:"apv,omitempty"`
}

// point is a public key on P-256; the coordinates have 32 bytes each (RFC 7518,
// Section 6.2.1.2).
type point struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
}

// SealAgreed encrypts to a P-256 key with ECDH-ES and A256GCM (RFC 7518,
// Sections 4.6 and 5.3; device-protocol.md §7.3; apple-platform-sso.md §7), by an
// ephemeral key of its own for each message.
func SealAgreed(a Agreement, plain []byte) (string, error) {
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make ephemeral key: %w", err)
	}
	raw := own.PublicKey().Bytes()
	var apu []byte
	if a.APU != nil {
		apu = a.APU(raw)
	}
	header, err := a.header(raw, apu)
	if err != nil {
		return "", err
	}
	return a.seal(rand.Reader, own, header, apu, plain)
}

// header is that of a message by an ephemeral key, an uncompressed point.
func (a Agreement) header(raw, apu []byte) ([]byte, error) {
	h := agreedHeader{
		Type: a.Type, Alg: "ECDH-ES", Enc: algGCM, KeyID: a.KeyID,
		EPK: point{Kty: "EC", Crv: "P-256", X: encoded(raw[1:33]), Y: encoded(raw[33:])},
	}
	if a.APU != nil {
		h.APU = encoded(apu)
	}
	if a.Echo {
		h.APV = encoded(a.APV)
	}
	return json.Marshal(h)
}

// seal encrypts by a given ephemeral key under a given header.
func (a Agreement) seal(random io.Reader, own *ecdh.PrivateKey, header, apu, plain []byte) (string, error) {
	to, err := a.Recipient.ECDH()
	if err != nil || to.Curve() != ecdh.P256() {
		return "", fmt.Errorf("recipient has no key on P-256: %w", err)
	}
	z, err := own.ECDH(to)
	if err != nil {
		return "", fmt.Errorf("agree on a key: %w", err)
	}
	compact, err := sealGCM(random, header, nil, concat(z, algGCM, apu, a.APV, keySize), plain)
	return string(compact), err
}

// sealGCM writes a JWE in A256GCM whose AAD is the encoded header (RFC 7516,
// Section 5.1).
func sealGCM(random io.Reader, header, wrapped, key, plain []byte) ([]byte, error) {
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	iv := make([]byte, ivSize)
	if _, err := io.ReadFull(random, iv); err != nil {
		return nil, err
	}
	protected := encoded(header)
	sealed := aead.Seal(nil, iv, plain, []byte(protected))
	end := len(sealed) - tagSize
	return compactJWE(protected, wrapped, iv, sealed[:end], sealed[end:]), nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func compactJWE(protected string, parts ...[]byte) []byte {
	size := len(protected)
	for _, p := range parts {
		size += 1 + base64.RawURLEncoding.EncodedLen(len(p))
	}
	out := append(make([]byte, 0, size), protected...)
	for _, p := range parts {
		out = base64.RawURLEncoding.AppendEncode(append(out, '.'), p)
	}
	return out
}

func encoded(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }
