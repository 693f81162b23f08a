package pkix

import (
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"time"
)

// Bounds of what is looked at (security.md CBA11).
const (
	MaxCertificate = 64 << 10 // bytes of one certificate
	MaxDepth       = 10       // certificates in a path, leaf and anchor included
)

// Options are the inputs of a validation (RFC 5280 §6.1.1).
type Options struct {
	// Anchors are the certificates that are trusted as such; nothing but their
	// name, key, validity and constraints is believed of them. Intermediates
	// are candidates for the path, trusted for nothing.
	Anchors, Intermediates []*x509.Certificate
	Now                    time.Time

	// The policy inputs, §6.1.1 (c) to (g). No InitialPolicies: any.
	InitialPolicies       []string // dotted
	RequireExplicitPolicy bool
	InhibitPolicyMapping  bool
	InhibitAnyPolicy      bool

	// PathLen, when not nil, bounds the authorities between anchor and leaf as
	// the anchor's own pathLenConstraint would: those that are self-issued do not
	// count.
	PathLen *int

	// Usages are extended key usages, dotted, of which the leaf must name one
	// (or anyExtendedKeyUsage where AnyUsage allows it). A leaf without the
	// extension is refused unless NoUsage allows it. Empty: none is asked for.
	Usages            []string
	AnyUsage, NoUsage bool
	// DigitalSignature demands that key usage of the leaf.
	DigitalSignature bool

	// SHA1 lets signatures by SHA-1 pass: for vectors of another time.
	SHA1 bool

	// Signed, when not nil, says that issuer's signature on cert was checked
	// before, by this package, and held: it is not checked again. All else is.
	Signed func(cert, issuer *x509.Certificate) bool

	// Check, when not nil, is asked for each certificate of a path but the
	// anchor, from the anchor down, once everything else about that path holds:
	// revocation, mostly. The issuer is the next certificate up. An error
	// refuses the path.
	Check func(cert, issuer *x509.Certificate, path []*x509.Certificate) error
}

// Path is a valid certification path.
type Path struct {
	Chain []*x509.Certificate // the leaf first, the anchor last
	// Policies are those that the leaf asserts and that hold along the path,
	// dotted and sorted (the leaves of the valid policy graph, §6.1.5 (g), in
	// the terms of the leaf's issuer). anyPolicy stands for itself.
	Policies []string
}

// Reason is a stable word for why something is refused.
type Reason string

// The reasons. Each is of one certificate (Fault.Cert), but for NoPath.
const (
	NoPath            Reason = "no_path" // no anchor is reached
	Expired           Reason = "expired"
	NotYetValid       Reason = "not_yet_valid"
	BadSignature      Reason = "signature"
	WeakAlgorithm     Reason = "weak_algorithm"
	NotCA             Reason = "not_a_ca" // basicConstraints or keyCertSign
	PathLength        Reason = "path_length"
	UnknownCritical   Reason = "critical_extension"
	NameConstraints   Reason = "name_constraints"
	PolicyMissing     Reason = "policy"
	Usage             Reason = "usage" // key usage or extended key usage of the leaf
	Malformed         Reason = "malformed"
	TooBig            Reason = "too_big" // bounds of this package
	Revoked           Reason = "revoked"
	RevocationUnknown Reason = "revocation_unknown" // there is no list that says
)

// Fault is why a path does not hold. When several paths were tried it is that
// of the one that came furthest.
type Fault struct {
	Reason Reason
	Cert   *x509.Certificate   // the one it is about; nil: none in particular
	Path   []*x509.Certificate // the path that was looked at, leaf first; may be partial
	Err    error               // detail, for logs and administrators; may be nil
}

// Error tells reason and detail.
func (f *Fault) Error() string {
	if f.Err == nil {
		return "path: " + string(f.Reason)
	}
	return fmt.Sprintf("path: %s: %v", f.Reason, f.Err)
}

// Unwrap gives the detail.
func (f *Fault) Unwrap() error { return f.Err }

// KeyID is a certificate's subject key identifier in lower-case hex: the
// extension, or the SHA-1 of the public key where there is none (RFC 5280
// §4.2.1.2, method 1).
func KeyID(c *x509.Certificate) string {
	if len(c.SubjectKeyId) > 0 {
		return hex.EncodeToString(c.SubjectKeyId)
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	// crypto/x509 has read it already.
	if _, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &spki); err != nil {
		return ""
	}
	sum := sha1.Sum(spki.Key.RightAlign())
	return hex.EncodeToString(sum[:])
}
