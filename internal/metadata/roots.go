package metadata

import (
	"crypto/x509"
	"embed"
	"encoding/pem"
	"strings"
	"sync"
)

// files are the pinned certificates. GlobalSign Root R46 has signed for the
// MDS since August 2026 and is what go-webauthn pins, too; Root CA - R3, from
// Mozilla's list of certificate authorities, signed before, and is kept for as
// long as lists or cross-certificates that chain to it are about. The Apple
// WebAuthn root is the one that Apple publishes, and that go-webauthn pins.
// TestPinnedRoots holds their fingerprints.
//
//go:embed roots/*.pem
var files embed.FS

// signerDomain is whom the signing certificate must name. The roots are those
// of a public authority, which certifies everybody.
const signerDomain = "fidoalliance.org"

func pinned(name string) *x509.Certificate {
	text, err := files.ReadFile("roots/" + name + ".pem")
	if err != nil {
		panic(err) // embedded
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		panic(err) // embedded
	}
	return cert
}

var (
	globalSign = sync.OnceValue(func() []*x509.Certificate {
		return []*x509.Certificate{pinned("globalsign-r46"), pinned("globalsign-r3")}
	})
	appleRoot = sync.OnceValue(func() *x509.Certificate { return pinned("apple-webauthn") })
)

// names says whether cert was made out to domain or a name below it.
func names(cert *x509.Certificate, domain string) bool {
	for _, n := range append(cert.DNSNames, cert.Subject.CommonName) {
		n = strings.ToLower(n)
		if n == domain || strings.HasSuffix(n, "."+domain) {
			return true
		}
	}
	return false
}
