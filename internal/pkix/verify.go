package pkix

import (
	"crypto/x509"
)

// Verify builds the paths from leaf to an anchor, one after the other, and
// gives the first that holds by RFC 5280 §6.1 and o. The error is a *Fault.
func Verify(leaf *x509.Certificate, o Options) (Path, error) {
	return Path{}, &Fault{Reason: NoPath, Path: []*x509.Certificate{leaf}}
}
