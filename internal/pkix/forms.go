package pkix

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// criticals is §6.1.4 (o) and §6.1.5 (f): a critical extension that is not
// processed refuses the certificate, the anchor's too.
func (s *verification) criticals(path []*node) *Fault {
	for i := len(path) - 1; i >= 0; i-- {
		if f := path[i].critical(); f != nil {
			return f
		}
	}
	return nil
}

func (n *node) critical() *Fault {
	for _, e := range n.cert.Extensions {
		if e.Critical && !slices.ContainsFunc(processed, e.Id.Equal) {
			return &Fault{Reason: UnknownCritical, Cert: n.cert, Err: fmt.Errorf("extension %s", e.Id)}
		}
	}
	return nil
}

// forms holds certificates against the profile of RFC 5280 §4, where it says
// MUST and a certificate that does otherwise could be read in two ways or hide
// something. It is stricter than §6.1; docs/certificate-paths.md has the list.
func (s *verification) forms(path []*node) *Fault {
	for i := len(path) - 1; i >= 0; i-- {
		if f := path[i].form(i == len(path)-1, i > 0); f != nil {
			return f
		}
	}
	return nil
}

// form is one of forms: of an anchor or not, of one that issues others or not.
func (n *node) form(anchor, issues bool) *Fault {
	c := n.cert
	err := form(c, n.read.names)
	switch {
	case err != nil:
	case anchor:
		err = anchorForm(c, n.read.selfIssued)
	case len(c.AuthorityKeyId) == 0:
		err = errNoAuthority
	default:
		err = serialForm(c)
	}
	if err == nil && issues && len(c.SubjectKeyId) == 0 {
		err = errors.New("it has no subject key identifier") // §4.2.1.2
	}
	if err != nil {
		return &Fault{Reason: Malformed, Cert: c, Err: err}
	}
	return nil
}

// Fit says whether Verify could take a certificate as an authority at all,
// anchor or not: everything that is asked of it alone, but for its times. It is
// for those who add authorities, so that they hear at once what would refuse
// every path. The error is a *Fault.
func Fit(cert *x509.Certificate, anchor bool) error {
	s := newVerification(&Options{})
	n := newNode(cert, anchor)
	checks := []func() *Fault{
		func() *Fault { return bounded(cert) },
		func() *Fault { return s.strong(cert) },
		func() *Fault {
			if !anchor && !s.accepted(cert.SignatureAlgorithm) {
				return &Fault{Reason: WeakAlgorithm, Cert: cert, Err: fmt.Errorf("signature algorithm %v", cert.SignatureAlgorithm)}
			}
			return nil
		},
		n.know,
		func() *Fault { return n.critical() },
		func() *Fault { return n.authority() },
		func() *Fault { return n.form(anchor, true) },
	}
	for _, check := range checks {
		if f := check(); f != nil {
			f.Path = []*x509.Certificate{cert}
			return f
		}
	}
	return nil
}

var errNoAuthority = errors.New("it has no authority key identifier")

// form is what every certificate of a path must look like.
func form(c *x509.Certificate, names []general) error {
	if c.Version != 3 {
		return fmt.Errorf("it is of version %d", c.Version)
	}
	for _, e := range c.Extensions {
		if err := criticality(e.Id, e.Critical, c.IsCA); err != nil {
			return err
		}
	}
	sign := c.KeyUsage&x509.KeyUsageCertSign != 0
	switch {
	case empty(c.RawIssuer):
		return errors.New("its issuer has no name") // §4.1.2.4
	case sign && !c.IsCA:
		return errors.New("it may sign certificates and is no authority") // §4.2.1.3
	case c.BasicConstraintsValid && c.MaxPathLen >= 0 && !(c.IsCA && sign):
		return errors.New("it has a path length and does not sign certificates") // §4.2.1.9
	case c.KeyUsage == 0 && extension(c, oidKeyUsage) != nil:
		return errors.New("its key usage is empty") // §4.2.1.3
	}
	if e := extension(c, oidSubjectAltName); empty(c.RawSubject) && (c.IsCA || e == nil || !e.Critical) {
		return errors.New("its subject has no name and no critical alternative stands for it") // §4.1.2.6
	}
	for _, g := range names {
		// A wildcard is no name of §4.2.1.6; certificates of servers have them and
		// constraints know what they stand for.
		if g.form == nameDNS && !hostname(strings.TrimPrefix(string(g.text), "*.")) {
			return fmt.Errorf("%q is no DNS name", g.text)
		}
	}
	return nil
}

// criticality is what §4.2 says of single extensions. That key identifiers are
// not critical is crypto/x509's to ask. Policy constraints would have to be, by
// §4.2.1.11, but PKITS has authorities by the dozen whose are not: they bind all
// the same.
func criticality(id asn1.ObjectIdentifier, critical, authority bool) error {
	constrains := id.Equal(oidNameConstraints)
	switch {
	case constrains && !authority:
		return errors.New("it has name constraints and is no authority") // §4.2.1.10
	case (constrains || id.Equal(oidInhibitAnyPolicy)) && !critical:
		return fmt.Errorf("extension %s is not critical", id) // §4.2.1.10, §4.2.1.14
	}
	return nil
}

// anchorForm is of the anchor alone: what it says of itself must be beyond
// doubt, since no signature above speaks for it.
func anchorForm(c *x509.Certificate, selfIssued bool) error {
	if e := extension(c, oidBasicConstraints); e != nil && !e.Critical {
		return errors.New("its basic constraints are not critical") // §4.2.1.9
	}
	if !selfIssued && len(c.AuthorityKeyId) == 0 {
		return errNoAuthority // §4.2.1.1
	}
	return nil
}

// serialForm is §4.1.2.2: positive, at most 20 bytes. crypto/x509 has refused
// negative ones.
func serialForm(c *x509.Certificate) error {
	if c.SerialNumber.Sign() <= 0 || c.SerialNumber.BitLen() > 159 {
		return errors.New("its serial number is zero or longer than 20 bytes")
	}
	return nil
}

func empty(name []byte) bool {
	rdns, ok := readName(name)
	return !ok || rdns.Empty()
}

const anyUsage = "2.5.29.37.0"

// usagesOf gives the extended key usages, dotted; nil when the certificate does
// not restrict them (§4.2.1.12).
func usagesOf(c *x509.Certificate) ([]string, error) {
	ext := extension(c, oidExtendedKeyUsage)
	if ext == nil {
		return nil, nil
	}
	in := cryptobyte.String(ext.Value)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || seq.Empty() {
		return nil, errors.New("its extended key usage is not DER, or empty")
	}
	var all []string
	for !seq.Empty() {
		var oid asn1.ObjectIdentifier
		if !seq.ReadASN1ObjectIdentifier(&oid) {
			return nil, errors.New("its extended key usage is not DER")
		}
		all = append(all, oid.String())
	}
	return all, nil
}

// usages judges what the leaf's key is for. An authority that names extended
// key usages bounds those below it: §6.1 does not ask for that, but everybody
// who writes them into an authority means it.
func (s *verification) usages(path []*node) *Fault {
	leaf := path[0].cert
	if s.o.DigitalSignature && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return &Fault{Reason: Usage, Cert: leaf, Err: errors.New("its key usage does not name digital signatures")}
	}
	left := s.o.Usages
	if len(left) == 0 {
		return nil
	}
	for i := len(path) - 1; i >= 0; i-- {
		named := path[i].read.usages
		if named == nil && (i > 0 || s.o.NoUsage) || slices.Contains(named, anyUsage) && (i > 0 || s.o.AnyUsage) {
			continue
		}
		var both []string
		for _, u := range left {
			if slices.Contains(named, u) {
				both = append(both, u)
			}
		}
		if left = both; len(left) == 0 {
			return &Fault{Reason: Usage, Cert: path[i].cert, Err: errors.New("its extended key usage names none that is asked for")}
		}
	}
	return nil
}
