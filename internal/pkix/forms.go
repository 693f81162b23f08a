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
func (s *verification) criticals(chain []*x509.Certificate) *Fault {
	for i := len(chain) - 1; i >= 0; i-- {
		for _, e := range chain[i].Extensions {
			if e.Critical && !slices.ContainsFunc(processed, e.Id.Equal) {
				return &Fault{Reason: UnknownCritical, Cert: chain[i], Err: fmt.Errorf("extension %s", e.Id)}
			}
		}
	}
	return nil
}

// forms holds certificates against the profile of RFC 5280 §4, where it says
// MUST and a certificate that does otherwise could be read in two ways or hide
// something. It is stricter than §6.1; docs/certificate-paths.md has the list.
func (s *verification) forms(chain []*x509.Certificate) *Fault {
	for i := len(chain) - 1; i >= 0; i-- {
		c := chain[i]
		err := form(c)
		switch {
		case err != nil:
		case i == len(chain)-1:
			err = anchorForm(c)
		case len(c.AuthorityKeyId) == 0:
			err = errNoAuthority
		default:
			err = serialForm(c)
		}
		if err == nil && i > 0 {
			err = authorityForm(c)
		}
		if err != nil {
			return &Fault{Reason: Malformed, Cert: c, Err: err}
		}
	}
	return nil
}

var errNoAuthority = errors.New("it has no authority key identifier")

// form is what every certificate of a path must look like.
func form(c *x509.Certificate) error {
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
	if _, err := usagesOf(c); err != nil {
		return err
	}
	alt, err := alternatives(c)
	if err != nil {
		return err
	}
	for _, g := range alt {
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
func anchorForm(c *x509.Certificate) error {
	if e := extension(c, oidBasicConstraints); e != nil && !e.Critical {
		return errors.New("its basic constraints are not critical") // §4.2.1.9
	}
	if !selfIssued(c) && len(c.AuthorityKeyId) == 0 {
		return errNoAuthority // §4.2.1.1
	}
	return nil
}

// authorityForm is of certificates that issue others.
func authorityForm(c *x509.Certificate) error {
	if len(c.SubjectKeyId) == 0 {
		return errors.New("it has no subject key identifier") // §4.2.1.2
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
func (s *verification) usages(chain []*x509.Certificate) *Fault {
	leaf := chain[0]
	if s.o.DigitalSignature && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return &Fault{Reason: Usage, Cert: leaf, Err: errors.New("its key usage does not name digital signatures")}
	}
	left := s.o.Usages
	if len(left) == 0 {
		return nil
	}
	for i := len(chain) - 1; i >= 0; i-- {
		named, err := usagesOf(chain[i])
		if err != nil {
			return &Fault{Reason: Malformed, Cert: chain[i], Err: err}
		}
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
			return &Fault{Reason: Usage, Cert: chain[i], Err: errors.New("its extended key usage names none that is asked for")}
		}
	}
	return nil
}
