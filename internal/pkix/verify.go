package pkix

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Verify builds the paths from leaf to an anchor, one after the other, and
// gives the first that holds by RFC 5280 §6.1 and o. The leaf may be the
// certificate of an authority; an anchor alone is no path. The error is a
// *Fault.
func Verify(leaf *x509.Certificate, o Options) (Path, error) {
	s := newVerification(&o)
	start := []*x509.Certificate{leaf}
	if len(leaf.Raw) > MaxCertificate {
		return Path{}, &Fault{Reason: TooBig, Cert: leaf, Path: start, Err: fmt.Errorf("the certificate has %d bytes", len(leaf.Raw))}
	}
	if len(s.pool) > maxPool {
		return Path{}, &Fault{Reason: TooBig, Path: start, Err: fmt.Errorf("%d certificates to build with", len(s.pool))}
	}
	if f := s.strong(leaf); f != nil {
		f.Path = start
		return Path{}, f
	}
	path := make([]*node, 1, MaxDepth)
	path[0] = &node{cert: leaf}
	if found, ok := s.extend(path); ok {
		return found, nil
	}
	return Path{}, s.worst
}

// stage is one check of a whole path. Each goes from the anchor down.
type stage func(s *verification, chain []*x509.Certificate) *Fault

// stages in the order in which they are made, before policies and Check.
var stages = []stage{
	(*verification).times, (*verification).criticals, (*verification).authorities, (*verification).forms, (*verification).lengths, (*verification).names, (*verification).usages,
}

// judge is RFC 5280 §6.1.2 to §6.1.5 of a path whose names chain and whose
// signatures hold; chain has the leaf first. It gives the policies that hold,
// or the fault and the number of its stage.
func (s *verification) judge(chain []*x509.Certificate) ([]string, int, *Fault) {
	for i, check := range stages {
		if f := check(s, chain); f != nil {
			return nil, i, f
		}
	}
	policies, f := s.policies(chain)
	if f != nil {
		return nil, len(stages), f
	}
	if s.o.Check == nil {
		return policies, 0, nil
	}
	for i := len(chain) - 2; i >= 0; i-- {
		if err := s.o.Check(chain[i], chain[i+1], chain); err != nil {
			return nil, len(stages) + 1, checkFault(err, chain[i])
		}
	}
	return policies, 0, nil
}

// checkFault makes a Fault of a Check's error: of its own a copy, so that the
// path can be set.
func checkFault(err error, cert *x509.Certificate) *Fault {
	var own *Fault
	if !errors.As(err, &own) {
		return &Fault{Reason: RevocationUnknown, Cert: cert, Err: err}
	}
	f := *own
	if f.Cert == nil {
		f.Cert = cert
	}
	return &f
}

func selfIssued(c *x509.Certificate) bool { return SameName(c.RawSubject, c.RawIssuer) }

// times is §6.1.3 (a)(2), of the anchor too. Both ends are included, the last
// second whole: what is written in seconds is compared in seconds.
func (s *verification) times(chain []*x509.Certificate) *Fault {
	now := s.o.Now.Truncate(time.Second)
	for i := len(chain) - 1; i >= 0; i-- {
		c := chain[i]
		if now.Before(c.NotBefore) {
			return &Fault{Reason: NotYetValid, Cert: c, Err: fmt.Errorf("valid from %s", c.NotBefore.UTC().Format("2006-01-02 15:04:05Z"))}
		}
		if now.After(c.NotAfter) {
			return &Fault{Reason: Expired, Cert: c, Err: fmt.Errorf("valid until %s", c.NotAfter.UTC().Format("2006-01-02 15:04:05Z"))}
		}
	}
	return nil
}

// authorities is §6.1.4 (k) and (n), of the anchor too.
func (s *verification) authorities(chain []*x509.Certificate) *Fault {
	for i := len(chain) - 1; i > 0; i-- {
		c := chain[i]
		if !c.BasicConstraintsValid || !c.IsCA {
			return &Fault{Reason: NotCA, Cert: c, Err: errors.New("its basic constraints do not say that it is an authority")}
		}
		if c.KeyUsage&x509.KeyUsageCertSign == 0 {
			return &Fault{Reason: NotCA, Cert: c, Err: errors.New("its key usage does not allow it to sign certificates")}
		}
	}
	return nil
}

// lengths is §6.1.4 (l) and (m). The leaf is not counted, nor is what is
// self-issued.
func (s *verification) lengths(chain []*x509.Certificate) *Fault {
	left := len(chain)
	if s.o.PathLen != nil {
		left = *s.o.PathLen
	}
	for i := len(chain) - 1; i > 0; i-- {
		c := chain[i]
		if i < len(chain)-1 && !selfIssued(c) {
			if left <= 0 {
				return &Fault{Reason: PathLength, Cert: c, Err: errors.New("an authority above allows no further one")}
			}
			left--
		}
		if c.MaxPathLen >= 0 {
			left = min(left, c.MaxPathLen)
		}
	}
	return nil
}

// names is §6.1.3 (b), (c) and §6.1.4 (g).
func (s *verification) names(chain []*x509.Certificate) *Fault {
	var above []*constraints
	for i := len(chain) - 1; i >= 0; i-- {
		c := chain[i]
		if i < len(chain)-1 && len(above) > 0 && (i == 0 || !selfIssued(c)) {
			if f := s.bound(c, above); f != nil {
				return f
			}
		}
		if i == 0 {
			break
		}
		nc, err := readConstraints(c)
		if err != nil {
			return &Fault{Reason: Malformed, Cert: c, Err: err}
		}
		if nc != nil {
			above = append(above, nc)
		}
	}
	return nil
}

func (s *verification) bound(c *x509.Certificate, above []*constraints) *Fault {
	alt, err := alternatives(c)
	if err != nil {
		return &Fault{Reason: Malformed, Cert: c, Err: err}
	}
	names, err := subjects(c, alt)
	if err != nil {
		return &Fault{Reason: Malformed, Cert: c, Err: err}
	}
	for _, nc := range above {
		switch err := nc.allow(names, &s.comparisons); {
		case errors.Is(err, errWork):
			return &Fault{Reason: TooBig, Cert: c, Err: err}
		case err != nil:
			return &Fault{Reason: NameConstraints, Cert: c, Err: err}
		}
	}
	return nil
}

// policies is all of §6.1 that is about certificate policies.
func (s *verification) policies(chain []*x509.Certificate) ([]string, *Fault) {
	top := len(chain) - 1
	p := newPolicies(s.o, top, chain[top])
	for i := top - 1; i >= 0; i-- {
		c := chain[i]
		own := selfIssued(c)
		err := p.process(c, own, i == 0)
		if err == nil && i > 0 {
			err = p.descend(c, own)
		}
		if errors.Is(err, errPolicies) {
			return nil, &Fault{Reason: TooBig, Cert: c, Err: err}
		}
		if err != nil {
			return nil, &Fault{Reason: PolicyMissing, Cert: c, Err: err}
		}
	}
	named, err := p.finish(chain[0])
	if err != nil {
		return nil, &Fault{Reason: PolicyMissing, Cert: chain[0], Err: err}
	}
	return named, nil
}
