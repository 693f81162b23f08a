package pkix

import (
	"bytes"
	"crypto/x509"
	encoding "encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Extensions of a list: RFC 5280 §5.2, and Microsoft's "Next CRL Publish".
var (
	oidCRLNumber      = encoding.ObjectIdentifier{2, 5, 29, 20}
	oidDeltaIndicator = encoding.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingPoint   = encoding.ObjectIdentifier{2, 5, 29, 28}
	oidFreshestCRL    = encoding.ObjectIdentifier{2, 5, 29, 46}
	oidNextPublish    = encoding.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 21, 4}
)

// readHead reads a list without entries. crypto/x509 reads most of it.
func readHead(stub []byte) (*CRL, error) {
	l, err := x509.ParseRevocationList(stub)
	if err != nil {
		return nil, malformed("%w", err)
	}
	c := &CRL{
		Issuer: bytes.Clone(l.RawIssuer), ThisUpdate: l.ThisUpdate.UTC(), NextUpdate: l.NextUpdate.UTC(), Number: l.Number,
		KeyID: bytes.Clone(l.AuthorityKeyId), Algorithm: l.SignatureAlgorithm, stub: stub, sign: l.Signature,
	}
	c.issuers = [][]byte{c.Issuer}
	if len(l.RevokedCertificateEntries) != 0 {
		return nil, malformed("entries where none should be")
	}
	seen := map[string]bool{}
	for _, ext := range l.Extensions {
		id := ext.Id.String()
		if seen[id] {
			return nil, malformed("extension %s twice", id)
		}
		seen[id] = true
		known, err := c.readExtension(ext.Id, ext.Value, ext.Critical)
		if err != nil {
			return nil, err
		}
		if ext.Critical && !known {
			return nil, &Fault{Reason: UnknownCritical, Err: fmt.Errorf("list: extension %s", id)}
		}
	}
	if c.Number == nil || c.Number.Sign() < 0 || c.Number.BitLen() > 8*20 {
		return nil, malformed("it has no number, or one beyond 20 octets")
	}
	return c, nil
}

// readExtension reads one extension, and says whether it is one that may be
// critical.
func (c *CRL) readExtension(id encoding.ObjectIdentifier, value []byte, critical bool) (known bool, err error) {
	in := cryptobyte.String(value)
	switch {
	case id.Equal(oidAuthorityKeyID):
		return true, nil // crypto/x509 has read it
	case id.Equal(oidCRLNumber):
		if critical {
			return false, malformed("its number is critical, which RFC 5280 §5.2.3 forbids")
		}
		return true, nil
	case id.Equal(oidDeltaIndicator):
		c.Base = new(big.Int)
		if !in.ReadASN1Integer(c.Base) || !in.Empty() || c.Base.Sign() < 0 || c.Base.BitLen() > 8*20 {
			return false, malformed("number of the base of a delta")
		}
		return true, nil
	case id.Equal(oidIssuingPoint):
		c.scope, err = readScope(value, c.Issuer)
		return true, err
	case id.Equal(oidFreshestCRL):
		points, ok := readPoints(value)
		if !ok {
			return false, malformed("addresses of deltas")
		}
		for _, p := range points {
			for _, n := range p.names {
				if n.tag == uriName {
					c.Freshest = append(c.Freshest, string(n.value))
				}
			}
		}
		return false, nil
	case id.Equal(oidNextPublish):
		// A hint only: one that cannot be read is none.
		var at time.Time
		if in.PeekASN1Tag(asn1.UTCTime) && in.ReadASN1UTCTime(&at) || in.PeekASN1Tag(asn1.GeneralizedTime) && in.ReadASN1GeneralizedTime(&at) {
			c.NextPublish = at.UTC()
		}
		return false, nil
	}
	return false, nil
}

// scope is an issuing distribution point: RFC 5280 §5.2.5.
type scope struct {
	raw                        []byte
	names                      []generalName // of the distribution point; nil: none
	users, authorities, others bool          // only of that kind; others are attribute certificates
	reasons                    reasons       // zero: all
	indirect                   bool
}

// readScope reads an issuing distribution point of a list of issuer.
func readScope(value, issuer []byte) (*scope, error) {
	s := &scope{raw: bytes.Clone(value)}
	in := cryptobyte.String(s.raw)
	var seq, point, some cryptobyte.String
	var hasPoint, hasSome bool
	flag := func(out *bool, tag uint8) bool {
		var v cryptobyte.String
		var present bool
		if !seq.ReadOptionalASN1(&v, &present, asn1.Tag(tag).ContextSpecific()) {
			return false
		}
		*out = present && len(v) == 1 && v[0] == 0xff
		return !present || len(v) == 1 && (v[0] == 0xff || v[0] == 0)
	}
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() || seq.Empty() ||
		!seq.ReadOptionalASN1(&point, &hasPoint, asn1.Tag(0).ContextSpecific().Constructed()) ||
		!flag(&s.users, 1) || !flag(&s.authorities, 2) ||
		!seq.ReadOptionalASN1(&some, &hasSome, asn1.Tag(3).ContextSpecific()) ||
		!flag(&s.indirect, 4) || !flag(&s.others, 5) || !seq.Empty() {
		return nil, malformed("issuing distribution point")
	}
	if hasPoint {
		names, relative, ok := readPointName(point)
		if !ok {
			return nil, malformed("name of the issuing distribution point")
		}
		if s.names = names; relative != nil {
			full, ok := below(issuer, relative)
			if !ok {
				return nil, malformed("relative name of the issuing distribution point")
			}
			s.names = []generalName{{directoryName, full}}
		}
	}
	if hasSome {
		r, ok := readReasons(some)
		if !ok || r == 0 {
			return nil, malformed("reasons of the issuing distribution point")
		}
		s.reasons = r
	}
	if s.users && s.authorities || s.users && s.others || s.authorities && s.others {
		return nil, malformed("it is of nothing: for users, authorities and attributes alone at once")
	}
	return s, nil
}

// reasons are flags of RFC 5280 §4.2.1.13, bit i of the standard's in 1<<i.
type reasons uint16

// allReasons are keyCompromise to aACompromise.
const allReasons reasons = 0x1fe

// readReasons reads the content of a bit string.
func readReasons(in []byte) (reasons, bool) {
	if len(in) == 0 || in[0] > 7 || len(in) == 1 && in[0] != 0 {
		return 0, false
	}
	var r reasons
	for i := range 9 {
		if at := 1 + i/8; at < len(in) && in[at]&(0x80>>(i%8)) != 0 {
			r |= 1 << i
		}
	}
	return r & allReasons, true
}

// Bounds of what is compared with one another (security.md CBA11).
const (
	maxPoints     = 64 // distribution points of a certificate
	maxPointNames = 64 // names of one
)

// Kinds of general names that are told apart (RFC 5280 §4.2.1.6).
const (
	directoryName = 4
	uriName       = 6
)

// generalName is a name of one of nine kinds. That of a directory name is its
// DER, that of another its content.
type generalName struct {
	tag   uint8
	value []byte
}

func (n generalName) equal(o generalName) bool {
	if n.tag != o.tag {
		return false
	}
	if n.tag == directoryName {
		return SameName(n.value, o.value)
	}
	return bytes.Equal(n.value, o.value)
}

// anyEqual says whether two sets of names have one in common.
func anyEqual(a, b []generalName) bool {
	for _, x := range a {
		for _, y := range b {
			if x.equal(y) {
				return true
			}
		}
	}
	return false
}

// readGeneralNames reads a sequence of general names.
func readGeneralNames(in *cryptobyte.String) ([]generalName, bool) {
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, asn1.SEQUENCE) {
		return nil, false
	}
	return namesIn(seq)
}

// namesIn reads the content of a sequence of general names, which is neither
// empty nor too long.
func namesIn(seq cryptobyte.String) ([]generalName, bool) {
	var names []generalName
	for !seq.Empty() {
		var value cryptobyte.String
		var tag asn1.Tag
		if !seq.ReadAnyASN1(&value, &tag) || tag&0xc0 != 0x80 || tag&0x1f > 8 {
			return nil, false
		}
		n := generalName{uint8(tag & 0x1f), value}
		if n.tag == directoryName { // a choice is tagged from outside
			var name cryptobyte.String
			if !value.ReadASN1Element(&name, asn1.SEQUENCE) || !value.Empty() {
				return nil, false
			}
			n.value = name
		}
		names = append(names, n)
	}
	return names, len(names) > 0 && len(names) <= maxPointNames
}

// point is a distribution point of a certificate: RFC 5280 §4.2.1.13.
type point struct {
	names    []generalName // the full name; nil: none
	relative []byte        // the name below the list's issuer; nil: none
	reasons  reasons       // zero: all
	issuers  []generalName // cRLIssuer; nil: the certificate's issuer
}

// readPoints reads distribution points of a certificate or of deltas.
func readPoints(value []byte) ([]point, bool) {
	in := cryptobyte.String(value)
	var all cryptobyte.String
	if !in.ReadASN1(&all, asn1.SEQUENCE) || !in.Empty() || all.Empty() {
		return nil, false
	}
	var points []point
	for !all.Empty() {
		var p point
		var seq, name, some, issuers cryptobyte.String
		var hasName, hasSome, hasIssuers, ok bool
		if !all.ReadASN1(&seq, asn1.SEQUENCE) ||
			!seq.ReadOptionalASN1(&name, &hasName, asn1.Tag(0).ContextSpecific().Constructed()) ||
			!seq.ReadOptionalASN1(&some, &hasSome, asn1.Tag(1).ContextSpecific()) ||
			!seq.ReadOptionalASN1(&issuers, &hasIssuers, asn1.Tag(2).ContextSpecific().Constructed()) || !seq.Empty() {
			return nil, false
		}
		if hasName {
			if p.names, p.relative, ok = readPointName(name); !ok {
				return nil, false
			}
		}
		if hasSome {
			if p.reasons, ok = readReasons(some); !ok || p.reasons == 0 {
				return nil, false
			}
		}
		if hasIssuers {
			if p.issuers, ok = namesIn(issuers); !ok {
				return nil, false
			}
		}
		points = append(points, p)
	}
	return points, len(points) <= maxPoints
}

// readPointName reads a DistributionPointName: general names, or a relative
// distinguished name (the content of its set).
func readPointName(in cryptobyte.String) (names []generalName, relative []byte, ok bool) {
	var v cryptobyte.String
	var tag asn1.Tag
	if !in.ReadAnyASN1(&v, &tag) || !in.Empty() || v.Empty() {
		return nil, nil, false
	}
	switch tag {
	case asn1.Tag(0).ContextSpecific().Constructed():
		names, ok = namesIn(v)
		return names, nil, ok
	case asn1.Tag(1).ContextSpecific().Constructed():
		return nil, v, true
	}
	return nil, nil, false
}

// below is the name with one more relative distinguished name at its end.
func below(name, relative []byte) ([]byte, bool) {
	in := cryptobyte.String(name)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() {
		return nil, false
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(seq)
		b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(relative) })
	})
	out, err := b.Bytes()
	return out, err == nil
}
