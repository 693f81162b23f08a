package oddphone

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
)

// b64 is how the page writes byte strings.
var b64 = base64.RawURLEncoding

// Passkey is one passkey of one person, in software (WebAuthn level 3).
type Passkey struct {
	Key    *ecdsa.PrivateKey
	ID     []byte
	RPID   string
	User   string // the handle, as it came
	Origin string
}

// Flags of authenticator data (WebAuthn level 3, 6.1).
const (
	flagPresent  = 0x01
	flagVerified = 0x04
	flagAttested = 0x40
)

// creation is what navigator.credentials.create is given.
type creation struct {
	Challenge string
	RP        struct{ ID string }
	User      struct{ ID string }
	Exclude   []described `json:"excludeCredentials"`
	Params    []struct {
		Type string
		Alg  int
	} `json:"pubKeyCredParams"`
}

// described is a PublicKeyCredentialDescriptor.
type described struct {
	Type string
	ID   string
}

// request is what navigator.credentials.get is given.
type request struct {
	Challenge string
	RPID      string      `json:"rpId"`
	Allow     []described `json:"allowCredentials"`
}

// publicKey takes the options out of the member that the browser wants them in.
func publicKey(options json.RawMessage, into any) error {
	var in struct{ PublicKey json.RawMessage }
	if err := json.Unmarshal(options, &in); err != nil {
		return err
	}
	if len(in.PublicKey) > 0 {
		options = in.PublicKey
	}
	return json.Unmarshal(options, into)
}

// clientData is what a browser says of a ceremony.
func clientData(kind, challenge, origin string) []byte {
	out, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false})
	return out
}

// NewPasskey makes a passkey as options ask, and its credential as JSON.
func NewPasskey(options json.RawMessage, origin string) (*Passkey, map[string]any, error) {
	var o creation
	if err := publicKey(options, &o); err != nil {
		return nil, nil, err
	}
	if !slices.ContainsFunc(o.Params, func(p struct {
		Type string
		Alg  int
	}) bool {
		return p.Type == "public-key" && p.Alg == -7
	}) {
		return nil, nil, fmt.Errorf("ES256 is not asked for in %s", options)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	p := &Passkey{Key: key, ID: random(32), RPID: o.RP.ID, User: o.User.ID, Origin: origin}
	client := clientData("webauthn.create", o.Challenge, origin)
	cose, err := p.COSE()
	if err != nil {
		return nil, nil, err
	}
	data := p.data(flagPresent | flagVerified | flagAttested)
	data = append(data, make([]byte, 16)...) // no AAGUID
	data = binary.BigEndian.AppendUint16(data, uint16(len(p.ID)))
	data = append(append(data, p.ID...), cose...)

	// {"fmt": "none", "attStmt": {}, "authData": data} in CBOR.
	object := []byte{0xa3, 0x63, 'f', 'm', 't', 0x64, 'n', 'o', 'n', 'e', 0x67}
	object = append(object, "attStmt"...)
	object = append(object, 0xa0, 0x68)
	object = append(object, "authData"...)
	object = binary.BigEndian.AppendUint16(append(object, 0x59), uint16(len(data)))
	object = append(object, data...)
	return p, p.credential(map[string]any{
		"clientDataJSON": b64.EncodeToString(client), "attestationObject": b64.EncodeToString(object), "transports": []string{"internal"},
	}), nil
}

// COSE is the public key as a COSE_Key: {1: 2, 3: -7, -1: 1, -2: x, -3: y}.
func (p *Passkey) COSE() ([]byte, error) {
	point, err := p.Key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return nil, err
	}
	out := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}
	out = append(out, point[1:33]...)
	out = append(out, 0x22, 0x58, 0x20)
	return append(out, point[33:]...), nil
}

// data is the head of authenticator data; this one counts nothing.
func (p *Passkey) data(flags byte) []byte {
	sum := sha256.Sum256([]byte(p.RPID))
	return append(append(sum[:], flags), 0, 0, 0, 0)
}

// credential is a PublicKeyCredential as its toJSON() writes it.
func (p *Passkey) credential(response map[string]any) map[string]any {
	id := b64.EncodeToString(p.ID)
	return map[string]any{
		"id": id, "rawId": id, "type": "public-key", "response": response,
		"authenticatorAttachment": "platform", "clientExtensionResults": map[string]any{},
	}
}

// Assertion is a signature of a passkey.
type Assertion struct {
	Credential      map[string]any
	Data, Signature []byte
}

// Get signs a challenge, given as bytes, with these flags.
func (p *Passkey) Get(challenge []byte, flags byte) (Assertion, error) {
	client := clientData("webauthn.get", b64.EncodeToString(challenge), p.Origin)
	data := p.data(flags)
	hashed := sha256.Sum256(client)
	sum := sha256.Sum256(append(slices.Clone(data), hashed[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, p.Key, sum[:])
	if err != nil {
		return Assertion{}, err
	}
	return Assertion{p.credential(map[string]any{
		"clientDataJSON": b64.EncodeToString(client), "authenticatorData": b64.EncodeToString(data),
		"signature": b64.EncodeToString(sig), "userHandle": p.User,
	}), data, sig}, nil
}

// random is n random bytes.
func random(n int) []byte {
	out := make([]byte, n)
	rand.Read(out)
	return out
}
