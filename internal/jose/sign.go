package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
)

// Signer signs claims with one key, algorithm and type. It is safe for
// concurrent use. Making one costs more than a signature's preparation should:
// callers keep it with its key.
//
// It is a writer of our own (docs/adr/0012): what we sign has one form, whose
// header never changes.
type Signer struct {
	header string // encoded, with the dot behind it
	length int    // of a signature
	sign   func(digest []byte) ([]byte, error)
}

// NewSigner makes a Signer whose messages name the key kid and have the type
// typ (RFC 8725, Section 3.11). It signs ES256 with P-256 keys and RS256 with
// RSA keys; every other pair is an error.
func NewSigner(alg, kid, typ string, key crypto.Signer) (*Signer, error) {
	usable, err := Usable(key.Public())
	if err != nil {
		return nil, fmt.Errorf("signer for %s: %w", alg, err)
	}
	if !slices.Contains(usable, alg) {
		return nil, fmt.Errorf("no signer for %s with a %T", alg, key.Public())
	}
	header, err := json.Marshal(struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
		Typ string `json:"typ"`
	}{alg, kid, typ})
	if err != nil {
		return nil, fmt.Errorf("signer for %s: %w", alg, err)
	}
	s := &Signer{header: base64.RawURLEncoding.EncodeToString(header) + "."}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		if alg == "ES256" {
			s.length, s.sign = 64, func(digest []byte) ([]byte, error) { return signES256(key, digest) }
		}
	case *rsa.PrivateKey:
		if alg == "RS256" {
			s.length, s.sign = key.Size(), func(digest []byte) ([]byte, error) {
				return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest)
			}
		}
	}
	if s.sign == nil {
		return nil, fmt.Errorf("no signer for %s with a %T", alg, key)
	}
	return s, nil
}

// signES256 gives R and S, 32 bytes each (RFC 7518, Section 3.4).
func signES256(key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out, nil
}

// Sign serialises the claims and signs them, compactly (RFC 7515, Section 7.1).
func (s *Signer) Sign(claims any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	enc := base64.RawURLEncoding
	out := make([]byte, 0, len(s.header)+enc.EncodedLen(len(body))+1+enc.EncodedLen(s.length))
	out = append(out, s.header...)
	out = enc.AppendEncode(out, body)
	digest := sha256.Sum256(out)
	signature, err := s.sign(digest[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	out = append(out, '.')
	return string(enc.AppendEncode(out, signature)), nil
}
