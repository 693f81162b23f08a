package jose

import "crypto"

// Payload verifies m and gives its payload as it is: the vectors sign texts
// that are no JSON.
func (m Message) Payload(alg string, key crypto.PublicKey) ([]byte, error) {
	return m.payload(alg, key)
}
