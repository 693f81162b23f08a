package platform

import (
	"encoding/json"
)

// Offer is a key that a Mac asks to be registered for a person: the payload of
// RegisterOnce, as JSON. All of it is what the message said; the door only
// brings keys and certificates to one spelling.
type Offer struct {
	// Key is the public key: 65 bytes, 0x04 X Y (pssowire.ParsePoint reads
	// every way in which extensions send it).
	Key []byte `json:"key"`
	// Proof is a JWS by this key, see ProofClaims.
	Proof string `json:"proof"`
	// OldProof is one by the key whose place it takes, with Next. Only looked at
	// for a rotation, and needed there.
	OldProof string `json:"oldProof,omitempty"`
	// Biometric is the policy that the key was made with, in Apple's bits
	// (apple-platform-sso.md §9.1).
	Biometric int `json:"biometric,omitempty"`
	// Attestation is the chain of certificates that Apple gave the key, in DER,
	// its own first.
	Attestation [][]byte `json:"attestation,omitempty"`
}

// Payload is the offer as RegisterOnce takes it.
func (o Offer) Payload() []byte {
	raw, _ := json.Marshal(o) // bytes, numbers and strings always are
	return raw
}

// Expected is what the door has verified of the Mac's message, and what the
// proofs of possession must be made for.
type Expected struct {
	Audience string `json:"aud"`   // the address that the message was sent to
	Nonce    string `json:"nonce"` // the request_nonce, as the message had it
	// Device is the key id of the Mac's signing key: 32 bytes.
	Device []byte `json:"device"`
	// Rotation says that nobody has shown a token of the person: the key that
	// the Mac has kept for them speaks for the new one.
	Rotation bool `json:"rotation,omitempty"`
}

// Keep is what the room gets as OnceRequest.Nonce.
func (e Expected) Keep() []byte {
	raw, _ := json.Marshal(e) // as above
	return raw
}

// ProofType is the typ of a proof of possession of a user key.
const ProofType = "signet-psso-user-key+jwt"

// ProofClaims are those of a proof of possession: a compact JWS, ES256, typ
// ProofType, kid of the key that signs it. The one by the old key in a rotation
// has Next besides.
type ProofClaims struct {
	Audience string `json:"aud"`
	Nonce    string `json:"request_nonce"`
	// Device is the key id of the Mac's signing key, in base64.
	Device string `json:"device"`
	// Next is, in the proof by the old key, the key id of the new one.
	Next string `json:"next,omitempty"`
}

// The bits of a biometric policy (apple-platform-sso.md §9.1, API names in
// Apple's spelling).
const (
	TouchIDOrWatchCurrentSet = 1 // a finger or a watch of those that were enrolled when the key was made
	TouchIDOrWatchAny        = 2
	ReuseDuringUnlock        = 4
	PasswordFallback         = 8

	allBiometric = 15
)
