package agenttest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"strings"
	"testing"
)

// SessionKey makes a session key and wraps it to a transport key as a server
// does (device-protocol.md §8.1). It is made of the standard library's
// primitives alone, so that it and the code under test have nothing in common.
func SessionKey(t testing.TB, to *rsa.PublicKey) (secret []byte, jwe string) {
	t.Helper()
	secret = make([]byte, 32)
	rand.Read(secret)
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, to, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	header := b64([]byte(`{"enc":"A256GCM","alg":"RSA-OAEP"}`))
	iv, body, tag := Seal(t, secret, []byte{0x20}, header)
	return secret, strings.Join([]string{header, b64(wrapped), b64(iv), b64(body), b64(tag)}, ".")
}

// Seal is AES-256-GCM as JWE has it (RFC 7518, 5.3).
func Seal(t testing.TB, key, plain []byte, header string) (iv, body, tag []byte) {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	iv = make([]byte, aead.NonceSize())
	rand.Read(iv)
	all := aead.Seal(nil, iv, plain, []byte(header))
	return iv, all[:len(plain)], all[len(plain):]
}
