package oddclient

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// jwe is a compact JWE, taken apart.
type jwe struct {
	header                        map[string]any
	raw, wrapped, iv, sealed, tag []byte
}

func readJWE(s string) (jwe, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 5 {
		return jwe{}, errParts
	}
	var b [5][]byte
	for i, p := range parts {
		var err error
		// Answers are strict: unpadded base64url (device-protocol.md §8.5).
		if b[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			return jwe{}, fmt.Errorf("part %d of the JWE: %w", i+1, err)
		}
	}
	j := jwe{raw: []byte(parts[0]), wrapped: b[1], iv: b[2], sealed: b[3], tag: b[4]}
	if err := json.Unmarshal(b[0], &j.header); err != nil {
		return jwe{}, err
	}
	return j, nil
}

func (j jwe) text(name string) string { s, _ := j.header[name].(string); return s }

// openGCM is A256GCM with the encoded header as additional data.
func (j jwe) openGCM(key, aad []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(j.iv))
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, j.iv, append(append([]byte(nil), j.sealed...), j.tag...), aad)
}

// openCBC is what old clients understand under the name A256GCM: AES-256-CBC
// with PKCS#7, the tag unread (device-protocol.md §0.1).
func (j jwe) openCBC(key []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(j.sealed) == 0 || len(j.sealed)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%d bytes are no CBC text", len(j.sealed))
	}
	out := make([]byte, len(j.sealed))
	cipher.NewCBCDecrypter(block, j.iv).CryptBlocks(out, j.sealed)
	n := int(out[len(out)-1])
	if n < 1 || n > aes.BlockSize || !bytes.Equal(out[len(out)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, errors.New("the padding is wrong")
	}
	return out[:len(out)-n], nil
}

// Sealed is an opened answer and how it was sealed.
type Sealed struct {
	Plain []byte
	// IV has 16 bytes for CBC and 12 for real GCM.
	IV int
}

// openAnswer opens an answer under the session key. The key is always derived
// as version 1, with the answer's own ctx (device-protocol.md §8.2, §8.5).
func openAnswer(session []byte, body string) (Sealed, error) {
	j, err := readJWE(body)
	if err != nil {
		return Sealed{}, err
	}
	if j.text("alg") != "dir" || j.text("enc") != "A256GCM" || len(j.wrapped) != 0 {
		return Sealed{}, fmt.Errorf("an answer with header %v and a key of %d bytes", j.header, len(j.wrapped))
	}
	ctx, err := base64.StdEncoding.DecodeString(j.text("ctx"))
	if err != nil {
		return Sealed{}, fmt.Errorf("the answer's ctx: %w", err)
	}
	key, err := derive(1, session, ctx, nil)
	if err != nil {
		return Sealed{}, err
	}
	out := Sealed{IV: len(j.iv)}
	switch len(j.iv) {
	case 12:
		out.Plain, err = j.openGCM(key, j.raw)
	case aes.BlockSize:
		out.Plain, err = j.openCBC(key)
	default:
		err = fmt.Errorf("an IV of %d bytes", len(j.iv))
	}
	return out, err
}

// openSessionKey unwraps the content key of session_key_jwe, which is the
// session key, and checks that the rest is what §8.1 says: one byte 0x20
// sealed with the encoded header as additional data.
func openSessionKey(transport *rsa.PrivateKey, s string) ([]byte, error) {
	j, err := readJWE(s)
	if err != nil {
		return nil, err
	}
	if j.text("alg") != "RSA-OAEP" || j.text("enc") != "A256GCM" {
		return nil, fmt.Errorf("a session key with header %v", j.header)
	}
	key, err := rsa.DecryptOAEP(sha1.New(), nil, transport, j.wrapped, nil)
	if err != nil {
		return nil, err
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("a session key of %d bytes", len(key))
	}
	plain, err := j.openGCM(key, j.raw)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(plain, []byte{0x20}) {
		return nil, fmt.Errorf("the session key's JWE holds %x", plain)
	}
	return key, nil
}

// concatKDF is one round of SP 800-56A for A256GCM (device-protocol.md §7.3).
func concatKDF(z, apu, apv []byte) []byte {
	info := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	h := sha256.New()
	h.Write([]byte{0, 0, 0, 1})
	h.Write(z)
	h.Write(info([]byte("A256GCM")))
	h.Write(info(apu))
	h.Write(info(apv))
	h.Write([]byte{0, 0, 1, 0})
	return h.Sum(nil)
}

// openECDH opens an answer of protocol 4.0 with the storage key.
func openECDH(storage *ecdsa.PrivateKey, apv []byte, body string) ([]byte, error) {
	j, err := readJWE(body)
	if err != nil {
		return nil, err
	}
	if j.text("alg") != "ECDH-ES" || j.text("enc") != "A256GCM" || len(j.wrapped) != 0 || len(j.iv) != 12 {
		return nil, fmt.Errorf("an answer with header %v, a key of %d and an IV of %d bytes", j.header, len(j.wrapped), len(j.iv))
	}
	mine, err := storage.ECDH()
	if err != nil {
		return nil, err
	}
	theirs, err := ephemeral(j.header["epk"])
	if err != nil {
		return nil, err
	}
	z, err := mine.ECDH(theirs)
	if err != nil {
		return nil, err
	}
	apu, err := anyBase64(j.text("apu"))
	if err != nil {
		return nil, err
	}
	return j.openGCM(concatKDF(z, apu, apv), j.raw)
}

// ephemeral reads a P-256 JWK.
func ephemeral(v any) (*ecdh.PublicKey, error) {
	m, ok := v.(map[string]any)
	if !ok || m["kty"] != "EC" || m["crv"] != "P-256" {
		return nil, fmt.Errorf("an ephemeral key %v", v)
	}
	point := []byte{4}
	for _, name := range []string{"x", "y"} {
		text, _ := m[name].(string)
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(b) != 32 {
			return nil, fmt.Errorf("%s of the ephemeral key has %d bytes: %w", name, len(b), err)
		}
		point = append(point, b...)
	}
	return ecdh.P256().NewPublicKey(point)
}
