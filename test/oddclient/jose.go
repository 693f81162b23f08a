package oddclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// message is a JWS in the making: claims in a map, so that a test can take one
// away or bend it.
type message struct {
	header, payload map[string]any
}

// edit bends a message before it is signed.
type edit func(m message)

func (m message) apply(edits []edit) message {
	m.header, m.payload = maps.Clone(m.header), maps.Clone(m.payload)
	for _, e := range edits {
		if e != nil {
			e(m)
		}
	}
	return m
}

// segment encodes header or payload as the dialect does.
func (d Dialect) segment(b []byte) string {
	enc := base64.URLEncoding
	if d.StandardSegments {
		enc = base64.StdEncoding
	}
	if !d.Padded {
		enc = enc.WithPadding(base64.NoPadding)
	}
	return enc.EncodeToString(b)
}

// compact signs a message; sign gets the signing input and the payload's bytes.
func (d Dialect) compact(m message, sign func(input, payload []byte) ([]byte, error)) (string, error) {
	header, err := json.Marshal(m.header)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(m.payload)
	if err != nil {
		return "", err
	}
	return d.compactRaw(header, payload, sign)
}

// compactRaw signs JSON that is text already.
func (d Dialect) compactRaw(header, payload []byte, sign func(input, payload []byte) ([]byte, error)) (string, error) {
	input := d.segment(header) + "." + d.segment(payload)
	sig, err := sign([]byte(input), payload)
	if err != nil {
		return "", err
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// signAs signs with a private key: RS256, or ES256 with r and s of 32 bytes.
func signAs(key crypto.Signer) func(input, payload []byte) ([]byte, error) {
	return func(input, _ []byte) ([]byte, error) {
		sum := sha256.Sum256(input)
		switch k := key.(type) {
		case *rsa.PrivateKey:
			return rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
		case *ecdsa.PrivateKey:
			r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
			if err != nil {
				return nil, err
			}
			out := make([]byte, 64)
			r.FillBytes(out[:32])
			s.FillBytes(out[32:])
			return out, nil
		}
		return nil, fmt.Errorf("no signature with a %T", key)
	}
}

// algorithm is the JWS name for a key.
func algorithm(key crypto.Signer) string {
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		return "ES256"
	}
	return "RS256"
}

// signSession signs with a key derived from the session key.
func signSession(version int, session, ctx []byte) func(input, payload []byte) ([]byte, error) {
	return func(input, payload []byte) ([]byte, error) {
		key, err := derive(version, session, ctx, payload)
		if err != nil {
			return nil, err
		}
		return mac(key, input), nil
	}
}

func mac(key, input []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(input)
	return m.Sum(nil)
}

// anyBase64 reads both alphabets, padded or not.
func anyBase64(s string) ([]byte, error) {
	s = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
	return base64.RawURLEncoding.DecodeString(s)
}

// claimsOf reads a JWT's payload as the published clients do: strict unpadded
// base64url, signature unseen (device-protocol.md §3.1).
func claimsOf(jwt string) (map[string]any, error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("a JWT with %d parts", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	return out, nil
}

var errParts = errors.New("a JWE has five parts")
