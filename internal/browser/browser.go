package browser

import "crypto/ecdsa"

// Shown is what a browser sends to say that it is a known one: its key's
// signature over the flow that it is for. The zero value says nothing.
type Shown struct {
	Key       *ecdsa.PublicKey
	Signature []byte
}
