package drs

import (
	"crypto"

	"github.com/signetid/signet/internal/jose"
)

// What tests look at from outside.
var CloudSID = cloudSID

// ReadJoin reads a body of a join, as the door does.
func ReadJoin(raw []byte) (key, transport crypto.PublicKey, err error) {
	var j joinRequest
	if err := jose.Loosely(raw, &j); err != nil {
		return nil, nil, err
	}
	out, err := j.read(version3)
	return out.key, out.transport, err
}

// VerifyAttestation verifies the member Attestation of a body.
func VerifyAttestation(raw []byte, key, transport crypto.PublicKey) error {
	var a attestation
	if err := jose.Loosely(raw, &a); err != nil {
		return err
	}
	_, err := verify(a, key, transport)
	return err
}

// Addresses are those of this door, for web.Spelling.
func Addresses() []string {
	return []string{pathDiscover, pathNonce, pathDevices, pathDevice, pathKey, pathAttest}
}
