package certificate

import (
	"context"
	"crypto/sha1"
	"crypto/x509"
	xpkix "crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/policy"
)

// serialReversed says that a serial number in certificateUserIds has its last
// byte first, as Active Directory's altSecurityIdentities has it [K]
// (entra-behaviours.md §5.2).
const serialReversed = true

// maxNames is how many names of one kind are looked up: a certificate with more
// is nobody's (security.md CBA11).
const maxNames = 16

// Values are what a certificate has in a field, written as the property has
// them that it is compared with. None: the certificate has no such field, or it
// is none that such a property can hold. The error is a *pkix.Fault for names
// that cannot be read.
func Values(c *x509.Certificate, f policy.CertificateField, p policy.UserProperty) ([]string, error) {
	ids := p == policy.ByCertificateUserIDs
	switch f {
	case policy.FieldPrincipalName, policy.FieldRFC822Name:
		return names(c, f, ids)
	}
	if !ids {
		return nil, nil // a name is no key
	}
	switch f {
	case policy.FieldSubject:
		s, err := named(c.RawSubject)
		return prefixed(directory.CertificateS, s), err
	case policy.FieldIssuerAndSubject:
		s, err := named(c.RawSubject)
		if err != nil || s == "" {
			return nil, err
		}
		i, err := named(c.RawIssuer)
		if err != nil || i == "" {
			return nil, err
		}
		return []string{directory.CertificateI + i + directory.CertificateThenS + s}, nil
	case policy.FieldIssuerAndSerialNumber:
		i, err := named(c.RawIssuer)
		if err != nil || i == "" {
			return nil, err
		}
		return []string{directory.CertificateI + i + directory.CertificateThenSR + serialText(c.SerialNumber)}, nil
	case policy.FieldSubjectKeyIdentifier:
		return prefixed(directory.CertificateSKI, hex.EncodeToString(c.SubjectKeyId)), nil
	case policy.FieldSHA1PublicKey:
		s, err := keyPrint(c)
		return prefixed(directory.CertificateSHA1, s), err
	}
	return nil, nil
}

// names are the alternative names of a kind. Names that are not plain text lead
// to nobody, and neither do those beside them (security.md T22).
func names(c *x509.Certificate, f policy.CertificateField, ids bool) ([]string, error) {
	all, err := pkix.Names(c)
	if err != nil {
		return nil, err
	}
	list, prefix := all.PrincipalNames, directory.CertificatePN
	if f == policy.FieldRFC822Name {
		list, prefix = all.RFC822Names, directory.CertificateRFC822
	}
	if len(list) > maxNames {
		return nil, malformed(c, "%d names", len(list))
	}
	var out []string
	for _, name := range list {
		if !pkix.Plain(name) {
			return nil, malformed(c, "name %.80q", name)
		}
		if ids {
			name = prefix + name
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

func malformed(c *x509.Certificate, format string, args ...any) *pkix.Fault {
	return &pkix.Fault{Reason: pkix.Malformed, Cert: c, Err: fmt.Errorf(format, args...)}
}

// named is a name as text; a name that is empty is "".
func named(raw []byte) (string, error) {
	s, err := pkix.RootFirst(raw)
	if err != nil {
		return "", &pkix.Fault{Reason: pkix.Malformed, Err: err}
	}
	return s, nil
}

func prefixed(prefix, s string) []string {
	if s == "" {
		return nil
	}
	return []string{prefix + s}
}

// serialText is a serial number in lower-case hex: the bytes of its DER without
// the leading zero of a positive one, the last first.
func serialText(n *big.Int) string {
	b := n.Bytes()
	if len(b) == 0 {
		b = []byte{0}
	}
	if serialReversed {
		slices.Reverse(b)
	}
	return hex.EncodeToString(b)
}

// keyPrint is the SHA-1 of a certificate's public key, as the key identifier of
// RFC 5280 §4.2.1.2, method 1, has it: of the bits, without their algorithm. It
// is a name for a key, which a valid path stands beside (security.md CBA12).
func keyPrint(c *x509.Certificate) (string, error) {
	var spki struct {
		Algorithm xpkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &spki); err != nil {
		return "", &pkix.Fault{Reason: pkix.Malformed, Cert: c, Err: err}
	}
	sum := sha1.Sum(spki.Key.RightAlign())
	return hex.EncodeToString(sum[:]), nil
}

// affinity is what a binding is worth: never more than its field by nature.
func affinity(b policy.CertificateBinding) policy.Affinity {
	if b.Affinity == policy.HighAffinity && b.Field.Affinity() == policy.HighAffinity {
		return policy.HighAffinity
	}
	return policy.LowAffinity
}

// Words for what became of a binding.
const (
	tooWeak   = "too_weak"  // a rule asks for a firmer one
	noField   = "no_field"  // the certificate has none
	noMatch   = "no_match"  // nobody's
	ambiguous = "ambiguous" // of several people
	unread    = "malformed" // it cannot be read
)

// tried is a binding as it was tried.
type tried struct {
	policy.CertificateBinding // with the affinity that it is worth
	rank                      int
	values                    []string
	reason                    string // empty: it says whose the certificate is
	user                      idp.User
	err                       error
}

// matched says that it ends the search, with a person or without.
func (t tried) matched() bool { return t.reason == "" || t.reason == ambiguous || t.reason == unread }

// lookup finds people by a property.
type lookup func(ctx context.Context, p policy.UserProperty, values []string) ([]idp.User, error)

// bind tries the bindings by their priority until one says whose the certificate
// is. One that leads to two people, by one value or by several, ends the search,
// and so does one whose names cannot be read: the next binding is no way around
// (security.md CBA07, T21, T22). All that were tried come back, the deciding one
// last.
func bind(ctx context.Context, c *x509.Certificate, bindings []policy.CertificateBinding, need policy.Affinity, find lookup) ([]tried, error) {
	var out []tried
	for i, b := range bindings {
		t, err := tryOne(ctx, c, b, need, find)
		if err != nil {
			return out, err
		}
		t.rank = i + 1
		if out = append(out, t); t.matched() {
			break
		}
	}
	return out, nil
}

func tryOne(ctx context.Context, c *x509.Certificate, b policy.CertificateBinding, need policy.Affinity, find lookup) (tried, error) {
	t := tried{CertificateBinding: b}
	t.Affinity = affinity(b)
	if need != policy.LowAffinity && t.Affinity != policy.HighAffinity {
		t.reason = tooWeak
		return t, nil
	}
	if t.values, t.err = Values(c, b.Field, b.Property); t.err != nil {
		t.reason = unread
		return t, nil
	}
	if len(t.values) == 0 {
		t.reason = noField
		return t, nil
	}
	people, err := find(ctx, b.Property, t.values)
	if err != nil {
		return t, fmt.Errorf("find people by %s: %w", b.Property, err)
	}
	people = distinct(people)
	switch len(people) {
	case 0:
		t.reason = noMatch
	case 1:
		t.user = people[0]
	default:
		t.reason = ambiguous
	}
	return t, nil
}

func distinct(people []idp.User) []idp.User {
	var out []idp.User
	for _, u := range people {
		if !slices.ContainsFunc(out, func(o idp.User) bool { return o.ID == u.ID }) {
			out = append(out, u)
		}
	}
	return out
}
