package pssowire

import (
	"cmp"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/signetid/signet/internal/jose"
)

// Chain says how a header has x5c (§1 fact 5).
type Chain int

// None; one bare string, as macOS 13 to 26; a list, as macOS 27.
const (
	NoChain Chain = iota
	ChainString
	ChainList
)

// Signing says how a stand-in for a Mac signs a message.
type Signing struct {
	Key crypto.Signer // on P-256, or RSA for a card
	// Alg is ES256 when it is empty; a card's may be RS256, RS384 or RS512.
	Alg  string
	Type string
	// KeyID overrides the one that is computed; "-" leaves it out. A key of RSA
	// has none of its own.
	KeyID        string
	Chain        Chain
	Certificates [][]byte // DER
	// TextTimes writes iat and exp as strings of digits, as macOS 13 does.
	TextTimes bool
	// Header has further members, or others for those above.
	Header map[string]any
}

// Sign signs claims, a struct of this package or a map, compactly.
func (s Signing) Sign(claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err == nil && s.TextTimes {
		payload, err = textTimes(payload)
	}
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	return jose.SignAs(cmp.Or(s.Alg, "ES256"), s.Key, s.header(), payload)
}

// header is what is beside alg.
func (s Signing) header() map[string]any {
	h := map[string]any{"typ": s.Type}
	kid := s.KeyID
	if pub, ok := s.Key.Public().(*ecdsa.PublicKey); ok && kid == "" {
		kid = KeyOf(pub).String()
	}
	if kid != "" && kid != "-" {
		h["kid"] = kid
	}
	var chain []string
	for _, der := range s.Certificates {
		chain = append(chain, base64.StdEncoding.EncodeToString(der))
	}
	switch {
	case len(chain) == 0:
	case s.Chain == ChainString:
		h["x5c"] = chain[0]
	case s.Chain == ChainList:
		h["x5c"] = chain
	}
	for name, value := range s.Header {
		h[name] = value
	}
	return h
}

// textTimes writes times as strings.
func textTimes(payload []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil {
		return nil, err
	}
	for _, name := range []string{"iat", "exp"} {
		if raw, ok := members[name]; ok && raw[0] != '"' && string(raw) != "null" {
			members[name] = json.RawMessage(`"` + string(raw) + `"`)
		}
	}
	return json.Marshal(members)
}

// Reply is an opened reply.
type Reply struct {
	Type  string // typ as it was sent
	KeyID string
	Plain []byte // JSON
}

// Open opens a reply as a Mac does: with its encryption key, the apv of its own
// request, and a look at whether apu is the ephemeral key's (§7.5).
func Open(compact string, key *ecdh.PrivateKey, apv []byte) (Reply, error) {
	head, _, _ := strings.Cut(compact, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return Reply{}, fmt.Errorf("header of a reply: %w", err)
	}
	var h struct {
		Type  string `json:"typ"`
		KeyID string `json:"kid"`
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return Reply{}, fmt.Errorf("header of a reply: %w", err)
	}
	plain, err := jose.OpenAgreed(compact, apv, IsPartyU, key.ECDH)
	if err != nil {
		return Reply{}, fmt.Errorf("open a reply: %w", err)
	}
	return Reply{Type: h.Type, KeyID: h.KeyID, Plain: plain}, nil
}
