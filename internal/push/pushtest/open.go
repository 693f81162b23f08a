package pushtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// errSealed is the one error of Open.
var errSealed = errors.New("message cannot be opened")

// Open decrypts the body of a message as a browser does (RFC 8291, Section 3,
// over RFC 8188, Section 2, with exactly one record): key and auth are those of
// the subscription.
func Open(key *ecdh.PrivateKey, auth, body []byte) ([]byte, error) {
	// salt (16), record size (4), length of the key's id (1), the id: the
	// sender's public key.
	if len(body) < 21 || len(auth) != 16 {
		return nil, errSealed
	}
	salt, size, idLen := body[:16], binary.BigEndian.Uint32(body[16:20]), int(body[20])
	if idLen != 65 || len(body) < 21+idLen {
		return nil, errSealed
	}
	id, record := body[21:21+idLen], body[21+idLen:]
	// One record, no longer than it says (RFC 8291, Section 4), with room for
	// the tag, the delimiter, and a byte.
	if uint64(len(record)) > uint64(size) || size < 18 || len(record) < 17 {
		return nil, errSealed
	}
	sender, err := ecdh.P256().NewPublicKey(id)
	if err != nil {
		return nil, errSealed
	}
	shared, err := key.ECDH(sender)
	if err != nil {
		return nil, errSealed
	}
	info := "WebPush: info\x00" + string(key.PublicKey().Bytes()) + string(id)
	ikm, err := derive(shared, auth, info, 32)
	if err != nil {
		return nil, err
	}
	cek, err := derive(ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := derive(ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(cek)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, errSealed
	}
	return unpad(plain)
}

func derive(secret, salt []byte, info string, n int) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, salt, info, n)
}

// unpad takes away zeros at the end, and the delimiter of a last record before
// them (RFC 8188, Section 2).
func unpad(plain []byte) ([]byte, error) {
	for i := len(plain) - 1; i >= 0; i-- {
		switch plain[i] {
		case 0:
		case 2:
			return plain[:i], nil
		default:
			return nil, errSealed
		}
	}
	return nil, errSealed
}
