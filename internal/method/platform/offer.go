package platform

import (
	"encoding/json"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
)

// Offer is a key that a Mac asks to be registered for a person: the payload of
// RegisterOnce, as JSON. All of it is what the message said; the door only
// brings keys and certificates to one spelling.
type Offer struct {
	// Key is the public key: 65 bytes, 0x04 X Y (pssowire.ParsePoint reads
	// every way in which extensions send it).
	Key []byte `json:"key"`
	// Proof is a message of pssowire.TypeUserKey by this key, with the claims of
	// pssowire.KeyProof.
	Proof string `json:"proof"`
	// OldProof is one by the key whose place it takes, about this key. Only
	// looked at for a rotation, and needed there.
	OldProof string `json:"oldProof,omitempty"`
	// Biometric is the policy that the key was made with, in the bits of
	// pssowire (apple-platform-sso.md §9.1).
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
	// Device is the id of the key that the Mac signed its message with.
	Device pssowire.KeyID `json:"device"`
	// Rotation says that nobody has shown a token of the person: the key that
	// the Mac has kept for them speaks for the new one.
	Rotation bool `json:"rotation,omitempty"`
}

// keepOffer is what the Keep of a registration begins with: that of no login
// does.
const keepOffer = 1

// Keep is what the room gets as OnceRequest.Nonce.
func (e Expected) Keep() []byte {
	raw, _ := json.Marshal(e) // as above
	return append([]byte{keepOffer}, raw...)
}

// expectedFrom reads what Keep wrote.
func expectedFrom(keep []byte) (Expected, error) {
	var e Expected
	const say = "The registration cannot be read."
	if len(keep) == 0 || keep[0] != keepOffer {
		return e, idp.Invalidf("ceremony_malformed", "kept state of %d bytes is of no registration", len(keep)).Say(say)
	}
	if err := json.Unmarshal(keep[1:], &e); err != nil {
		return e, idp.Invalidf("ceremony_malformed", "kept state of %d bytes: %w", len(keep), err).Say(say)
	}
	if e.Audience == "" || e.Nonce == "" {
		return e, idp.Invalidf("ceremony_malformed", "kept state without an address or a nonce").Say(say)
	}
	return e, nil
}
