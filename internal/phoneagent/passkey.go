package phoneagent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
)

// passkey is an authenticator of one key, in a file: ES256, no attestation, no
// counter, not synced. Its user is verified by the PIN that opens the key, or
// by the word of whoever runs the command.
type passkey struct {
	ID     []byte `json:"id"`
	RPID   string `json:"rpId"`
	Handle string `json:"userHandle"` // as it came, base64url
	// Private is PKCS #8; with a Salt it is sealed under a PIN.
	Private []byte `json:"private"`
	Salt    []byte `json:"salt,omitempty"`
}

// Flags of authenticator data (WebAuthn Level 3, §6.1).
const (
	flagPresent  = 1 << 0
	flagVerified = 1 << 2
	flagAttested = 1 << 6
)

const (
	algES256 = -7 // RFC 9053, 2.1
	// rounds stretch a PIN (PBKDF2-HMAC-SHA-256; OWASP's Password Storage Cheat
	// Sheet, 2023).
	rounds     = 600_000
	saltLength = 16
)

var encode = base64.RawURLEncoding.EncodeToString

// credential is a PublicKeyCredential as its toJSON writes it (WebAuthn Level 3,
// §5.1).
type credential struct {
	ID         string   `json:"id"`
	RawID      string   `json:"rawId"`
	Type       string   `json:"type"`
	Attachment string   `json:"authenticatorAttachment"`
	Extensions struct{} `json:"clientExtensionResults"`
	Response   any      `json:"response"`
}

func (p passkey) credential(response any) (json.RawMessage, error) {
	id := encode(p.ID)
	return json.Marshal(credential{ID: id, RawID: id, Type: "public-key", Attachment: "platform", Response: response})
}

// creation is what is read of the options for a new passkey.
type creation struct {
	PublicKey struct {
		Challenge string `json:"challenge"`
		RP        struct {
			ID string `json:"id"`
		} `json:"rp"`
		User struct {
			ID string `json:"id"`
		} `json:"user"`
		Params []param `json:"pubKeyCredParams"`
	} `json:"publicKey"`
}

type param struct {
	Type string `json:"type"`
	Alg  int    `json:"alg"`
}

// newPasskey answers the options for a new passkey: its credential, and the
// challenge that it answered.
func newPasskey(options json.RawMessage, origin string) (p passkey, key *ecdsa.PrivateKey, made json.RawMessage, challenge []byte, err error) {
	var o creation
	if err = json.Unmarshal(options, &o); err != nil {
		return p, nil, nil, nil, fmt.Errorf("read what the server asks for: %w", err)
	}
	if !slices.Contains(o.PublicKey.Params, param{"public-key", algES256}) {
		return p, nil, nil, nil, idp.Deniedf("algorithm", "ES256 is not among %v", o.PublicKey.Params).
			Say("your organisation wants passkeys of a kind that this phone cannot make")
	}
	if challenge, err = base64.RawURLEncoding.DecodeString(o.PublicKey.Challenge); err != nil {
		return p, nil, nil, nil, fmt.Errorf("read the challenge: %w", err)
	}
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return p, nil, nil, nil, fmt.Errorf("make a passkey: %w", err)
	}
	p = passkey{ID: secret.Bytes(32), RPID: o.PublicKey.RP.ID, Handle: o.PublicKey.User.ID}
	object, err := p.attestation(&key.PublicKey)
	if err != nil {
		return p, nil, nil, nil, err
	}
	client, err := clientData("webauthn.create", o.PublicKey.Challenge, origin)
	if err != nil {
		return p, nil, nil, nil, err
	}
	made, err = p.credential(map[string]any{
		"clientDataJSON": encode(client), "attestationObject": encode(object), "transports": []string{"internal"},
	})
	return p, key, made, challenge, err
}

// attestation is an attestation object that attests nothing (WebAuthn Level 3,
// §8.7).
func (p passkey) attestation(public *ecdsa.PublicKey) ([]byte, error) {
	point, err := public.Bytes() // 4, x, y
	if err != nil {
		return nil, fmt.Errorf("write a passkey: %w", err)
	}
	mode, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	// COSE_Key (RFC 9053, 7.1.1): kty EC2, alg, crv P-256, x, y.
	cose, err := mode.Marshal(map[int]any{1: 2, 3: algES256, -1: 1, -2: point[1:33], -3: point[33:]})
	if err != nil {
		return nil, err
	}
	data := p.data(flagPresent | flagVerified | flagAttested)
	data = append(data, make([]byte, 16)...) // no AAGUID: this model has none
	data = binary.BigEndian.AppendUint16(data, uint16(len(p.ID)))
	data = slices.Concat(data, p.ID, cose)
	return mode.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
}

// data is authenticator data without a key in it.
func (p passkey) data(flags byte) []byte {
	sum := sha256.Sum256([]byte(p.RPID))
	return append(sum[:], flags, 0, 0, 0, 0)
}

// clientData is what a browser would have signed (WebAuthn Level 3, §5.8.1).
func clientData(kind, challenge, origin string) ([]byte, error) {
	return json.Marshal(struct {
		Type      string `json:"type"`
		Challenge string `json:"challenge"`
		Origin    string `json:"origin"`
		Cross     bool   `json:"crossOrigin"`
	}{kind, challenge, origin, false})
}

// assertion is a signature of a passkey, and what it is over.
type assertion struct {
	credential      json.RawMessage
	data, signature []byte
}

// sign answers a challenge, the user being verified.
func (p passkey) sign(key *ecdsa.PrivateKey, challenge []byte, origin string) (a assertion, err error) {
	client, err := clientData("webauthn.get", encode(challenge), origin)
	if err != nil {
		return a, err
	}
	a.data = p.data(flagPresent | flagVerified)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(slices.Concat(a.data, hash[:]))
	if a.signature, err = ecdsa.SignASN1(rand.Reader, key, sum[:]); err != nil {
		return a, fmt.Errorf("sign by passkey: %w", err)
	}
	a.credential, err = p.credential(map[string]any{
		"clientDataJSON": encode(client), "authenticatorData": encode(a.data), "signature": encode(a.signature), "userHandle": p.Handle,
	})
	return a, err
}

// seal keeps the key, under a PIN if there is one.
func (p *passkey) seal(key *ecdsa.PrivateKey, pin string) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("write a passkey: %w", err)
	}
	if p.Private = raw; pin == "" {
		return nil
	}
	p.Salt = secret.Bytes(saltLength)
	k, err := stretch(pin, p.Salt)
	if err != nil {
		return err
	}
	p.Private = k.Seal(raw, p.ID)
	return nil
}

// open gives the key. The PIN is not looked at when it was kept without.
func (p passkey) open(pin string) (*ecdsa.PrivateKey, error) {
	raw := p.Private
	if len(p.Salt) > 0 {
		k, err := stretch(pin, p.Salt)
		if err != nil {
			return nil, err
		}
		if raw, err = k.Open(p.Private, p.ID); err != nil {
			return nil, idp.Unprovenf("pin_wrong", "%w", err).Say("that is not the PIN of this phone")
		}
	}
	return ecKey(raw)
}

func stretch(pin string, salt []byte) (*secret.Key, error) {
	raw, err := pbkdf2.Key(sha256.New, pin, salt, rounds, secret.KeySize)
	if err != nil {
		return nil, fmt.Errorf("stretch the PIN: %w", err)
	}
	return secret.NewKey(raw)
}

// ecKey reads PKCS #8.
func ecKey(raw []byte) (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("read a key: it is of another kind")
	}
	return key, nil
}
