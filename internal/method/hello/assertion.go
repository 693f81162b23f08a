package hello

import (
	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/idp"
)

// common stands for any tenant in the audience of an assertion.
const common = "common"

// read reads an assertion of a key. Errors are Unproven.
func read(payload []byte) (assertion.Assertion, *idp.Error) {
	return assertion.Read(assertion.Hello, payload, "RS256", "ES256")
}

// Nonce is the request_nonce of an assertion, unverified, or "": what a door
// opens, and hands to the corridor as the nonce of the message.
func Nonce(payload []byte) string {
	a, fault := read(payload)
	if fault != nil {
		return ""
	}
	return a.RequestNonce
}
