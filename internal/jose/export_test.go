package jose

import (
	"crypto"
	"crypto/ecdh"
	"io"
)

// Payload verifies m and gives its payload as it is: the vectors sign texts
// that are no JSON.
func (m Message) Payload(alg string, key crypto.PublicKey) ([]byte, error) {
	return m.payload(alg, key)
}

// SealDirectWith and SealCBCWith take their random bytes from random.
func SealDirectWith(random io.Reader, key KeyFor, plain []byte) (string, error) {
	compact, err := sealDirect(random, key, plain)
	return string(compact), err
}

func SealCBCWith(random io.Reader, key KeyFor, plain []byte) (string, error) {
	compact, err := sealCBC(random, key, plain)
	return string(compact), err
}

// SealAgreedWith takes the ephemeral key, the IV and, unless it is nil, the
// header from its caller.
func SealAgreedWith(random io.Reader, own *ecdh.PrivateKey, header []byte, a Agreement, plain []byte) (string, error) {
	raw := own.PublicKey().Bytes()
	apu := a.APU(raw)
	if header == nil {
		var err error
		if header, err = a.header(raw, apu); err != nil {
			return "", err
		}
	}
	return a.seal(random, own, header, apu, plain)
}

// MAC is the pseudo-random function of the derivation, and Concat the other one.
var (
	MAC    = mac
	Concat = concat
)

// Open opens the ciphertext and tag of a message of which nothing but its
// content key and AAD matters.
func Open(key, iv, aad, sealed []byte) ([]byte, error) {
	return envelope{protected: string(aad), iv: iv, sealed: sealed}.open(key)
}

// Received is a lenient message of which nothing but what was signed matters.
func Received(alg string, input, signature []byte) Loose {
	return Loose{Alg: alg, input: input, signature: signature}
}
