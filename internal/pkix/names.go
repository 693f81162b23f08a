package pkix

import (
	"crypto/x509"
	"net/netip"
)

// SubjectNames are what a certificate's subject alternative name says, in its
// order and exactly as it says it: no letter is folded, nothing is cut at a NUL,
// and names that come twice are there twice. Whoever maps names to people
// decides what is odd; Plain helps.
type SubjectNames struct {
	PrincipalNames []string // otherName 1.3.6.1.4.1.311.20.2.3, in UTF-8 whatever string type it had
	RFC822Names    []string
	DNSNames       []string
	URIs           []string
	IPs            []netip.Addr
	Directory      [][]byte // DER of each Name
}

// Names reads a certificate's subject alternative name (RFC 5280 §4.2.1.6). A
// certificate without one has no names. The error is a *Fault: Malformed.
func Names(cert *x509.Certificate) (SubjectNames, error) {
	return SubjectNames{}, nil
}

// Plain says whether a name is text without tricks: not empty, valid UTF-8,
// no control characters, no space at either end.
func Plain(name string) bool { return name != "" }

// RootFirst writes a Name (its DER) as text, the root's part first, as
// certificateUserIds have it: "DC=com,DC=contoso,OU=UserAccounts,CN=mfatest".
func RootFirst(raw []byte) (string, error) { return "", nil }

// SameName compares two Names (their DER) as RFC 5280 §7.1 says.
func SameName(a, b []byte) bool { return false }
