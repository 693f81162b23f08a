package jose

import (
	"crypto"
	"crypto/rsa"
)

// ROCA says whether a key is one that can be factored because of the library
// that made it (CVE-2017-15361). Usable refuses such keys; this tells reports
// why.
func ROCA(key crypto.PublicKey) bool {
	k, ok := key.(*rsa.PublicKey)
	return ok && roca(k.N)
}
