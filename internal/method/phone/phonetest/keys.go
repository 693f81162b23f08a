package phonetest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/signetid/signet/internal/phonewire"
)

// token is a compact JWS of the claims (RFC 7515, Section 7.1), written here so
// that each part of it can be a lie.
func (p *Phone) token(c phonewire.Claims) (string, error) {
	header := map[string]any{"alg": "ES256", "typ": phonewire.Type, "kid": p.ID}
	if p.OnToken != nil {
		p.OnToken(header)
	}
	head, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	return input + "." + Sign(p.Key, []byte(input)), nil
}

// sign is what the key of the installation makes of a message.
func (p *Phone) sign(message []byte) string {
	if p.SignBy != nil {
		return p.SignBy(message)
	}
	return Sign(p.Key, message)
}

// Sign gives r and s over SHA-256 of the message, 32 bytes each, as WebCrypto
// does.
func Sign(key *ecdsa.PrivateKey, message []byte) string {
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err) // the source of randomness does not fail
	}
	return base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// members are those that RFC 7638 takes the thumbprint of, in its order.
func (p *Phone) members() string {
	raw, err := p.Key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		panic(err) // it was made on the curve
	}
	x, y := base64.RawURLEncoding.EncodeToString(raw[1:33]), base64.RawURLEncoding.EncodeToString(raw[33:])
	return `{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`
}

func (p *Phone) jwk() []byte { return []byte(p.members()) }

func (p *Phone) thumbprint() []byte {
	sum := sha256.Sum256([]byte(p.members()))
	return sum[:]
}

// signedCode is a code as it is signed.
func signedCode(code string) string {
	if len(code) == 22 {
		return code
	}
	code = strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(code))
	return strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(code)
}

func challengeOf(options []byte) ([]byte, error) {
	var o struct {
		PublicKey struct {
			Challenge string `json:"challenge"`
		} `json:"publicKey"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		return nil, err
	}
	return base64.RawURLEncoding.DecodeString(o.PublicKey.Challenge)
}

// idOf is the id in the one that is there.
func idOf(made, used []byte) (string, error) {
	var said struct {
		ID string `json:"id"`
	}
	if made == nil {
		made = used
	}
	err := json.Unmarshal(made, &said)
	return said.ID, err
}
