package main

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"
)

// messageSize is about that of a request for a PRT, and of an answer with one.
const messageSize = 2048

// crypto measures what is signed, verified and sealed, with nothing but the
// standard library.
func (f *floor) crypto(length time.Duration) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte("signet"))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		return err
	}
	f.Sign = busy(length, func() { ecdsa.SignASN1(rand.Reader, key, sum[:]) })
	f.Verify = busy(length, func() {
		if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
			panic("floor: own signature does not verify")
		}
	})
	own, err := key.ECDH()
	if err != nil {
		return err
	}
	f.Agree = busy(length, func() { agree(own.PublicKey()) })
	f.MAC = busy(length, useOfKey())
	return f.rsa(length)
}

// rsa measures the parts of machines whose TPMs have RSA keys.
func (f *floor) rsa(length time.Duration) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	text := make([]byte, messageSize)
	sum := sha256.Sum256(text)
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return err
	}
	f.VerifyRSA = busy(length, func() {
		sum := sha256.Sum256(text)
		if rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig) != nil {
			panic("floor: own signature does not verify")
		}
	})
	session := make([]byte, 32)
	f.Wrap = busy(length, func() {
		if _, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &key.PublicKey, session, nil); err != nil {
			panic(err)
		}
		seal(session, []byte{0x20})
	})
	return nil
}

// agree is ECDH-ES for one answer: a key pair, a shared secret, one round of
// derivation, the answer.
func agree(to *ecdh.PublicKey) {
	mine, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	z, err := mine.ECDH(to)
	if err != nil {
		panic(err)
	}
	key := sha256.Sum256(append(z, mine.PublicKey().Bytes()...))
	seal(key[:], make([]byte, messageSize))
}

// seal is AES-256-GCM in base64.
func seal(key, plain []byte) string {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return raw64(gcm.Seal(nil, nil, plain, nil))
}

// useOfKey is what a message under a session key takes: the key for it, its
// code, its claims (device-protocol.md §8.2, §8.4).
func useOfKey() func() {
	session, ctx, want := make([]byte, 32), make([]byte, 24), make([]byte, sha256.Size)
	claims, err := json.Marshal(map[string]string{"refresh_token": strings.Repeat("A", 160), "request_nonce": strings.Repeat("B", 120), "client_id": brokerID, "scope": graph})
	if err != nil {
		panic(err)
	}
	input := raw64(make([]byte, 120)) + "." + raw64(claims)
	return func() {
		sum := sha256.Sum256(append(append([]byte(nil), ctx...), claims...))
		derive := hmac.New(sha256.New, session)
		derive.Write(binary.BigEndian.AppendUint32(nil, 1))
		derive.Write([]byte("AzureAD-SecureConversation\x00"))
		derive.Write(sum[:])
		derive.Write(binary.BigEndian.AppendUint32(nil, 256))
		mac := hmac.New(sha256.New, derive.Sum(nil))
		mac.Write([]byte(input))
		hmac.Equal(mac.Sum(nil), want)
		var c struct {
			Token  string `json:"refresh_token"`
			Nonce  string `json:"request_nonce"`
			Client string `json:"client_id"`
			Scope  string `json:"scope"`
		}
		if err := json.Unmarshal(claims, &c); err != nil {
			panic(err)
		}
	}
}
