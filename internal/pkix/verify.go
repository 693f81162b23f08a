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
	if f := bounded(leaf); f != nil {
		f.Path = start
		return Path{}, f
	}
	if len(s.pool) > maxPool {
		return Path{}, &Fault{Reason: TooBig, Path: start, Err: fmt.Errorf("%d certificates to build with", len(s.pool))}
	}
	if f := s.strong(leaf); f != nil {
		f.Path = start
		return Path{}, f
	}
	path := make([]*node, 1, MaxDepth)
	bottom := newNode(leaf, false)
	path[0] = &bottom
	if found, ok := s.extend(path); ok {
		return found, nil
	}
	return Path{}, s.worst
}

// stage is one check of a whole path. Each goes from the anchor down.
type stage func(s *verification, path []*node) *Fault

// stages in the order in which they are made, before policies and Check.
var stages = []stage{
	(*verification).times, (*verification).criticals, (*verification).authorities, (*verification).forms, (*verification).lengths, (*verification).names, (*verification).usages,
}

// judge is RFC 5280 §6.1.2 to §6.1.5 of a path whose names chain and whose
// signatures hold; the leaf is first, in chain as well, which are its
// certificates. It gives the policies that hold, or the fault and the number of
// its stage.
func (s *verification) judge(path []*node, chain []*x509.Certificate) ([]string, int, *Fault) {
	for i := len(path) - 1; i >= 0; i-- {
		if f := path[i].know(); f != nil {
			return nil, 0, f
		}
	}
	for i, check := range stages {
		if f := check(s, path); f != nil {
			return nil, i, f
		}
	}
	policies, f := s.policies(path)
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

// know reads what judging needs.
func (n *node) know() *Fault {
	if n.read != nil {
		return nil
	}
	f := &facts{selfIssued: n.subject.same(&n.issuer)}
	var err error
	if f.names, err = alternatives(n.cert); err == nil {
		f.usages, err = usagesOf(n.cert)
	}
	if err == nil {
		f.constraints, err = readConstraints(n.cert)
	}
	if err != nil {
		return readFault(n.cert, err)
	}
	n.read = f
	return nil
}

// readFault is of a certificate with an extension that cannot be read.
func readFault(c *x509.Certificate, err error) *Fault {
	if errors.Is(err, errNames) {
		return &Fault{Reason: TooBig, Cert: c, Err: err}
	}
	return &Fault{Reason: Malformed, Cert: c, Err: err}
}

// times is §6.1.3 (a)(2), of the anchor too. Both ends are included, the last
// second whole: what is written in seconds is compared in seconds.
func (s *verification) times(path []*node) *Fault {
	now := s.o.Now.Truncate(time.Second)
	for i := len(path) - 1; i >= 0; i-- {
		c := path[i].cert
		if now.Before(c.NotBefore) {
			return &Fault{Reason: NotYetValid, Cert: c, Err: fmt.Errorf("valid from %s", c.NotBefore.UTC().Format("2006-01-02 15:04:05Z"))}
		}
		if now.After(c.NotAfter) {
			return &Fault{Reason: Expired, Cert: c, Err: fmt.Errorf("valid until %s", c.NotAfter.UTC().Format("2006-01-02 15:04:05Z"))}
		}
	}
	return nil
}

// authorities is §6.1.4 (k) and (n), of the anchor too. A key usage must be
// there (§4.2.1.3), though (n) asks only where it is.
func (s *verification) authorities(path []*node) *Fault {
	for i := len(path) - 1; i > 0; i-- {
		if f := path[i].authority(); f != nil {
			return f
		}
	}
	return nil
}

func (n *node) authority() *Fault {
	switch c := n.cert; {
	case !c.BasicConstraintsValid || !c.IsCA:
		return &Fault{Reason: NotCA, Cert: c, Err: errors.New("its basic constraints do not say that it is an authority")}
	case c.KeyUsage&x509.KeyUsageCertSign == 0:
		return &Fault{Reason: NotCA, Cert: c, Err: errors.New("its key usage does not allow it to sign certificates")}
	}
	return nil
}

// lengths is §6.1.4 (l) and (m). The leaf is not counted, nor is what is
// self-issued.
func (s *verification) lengths(path []*node) *Fault {
	left := len(path)
	if s.o.PathLen != nil {
		left = *s.o.PathLen
	}
	for i := len(path) - 1; i > 0; i-- {
		c := path[i].cert
		if i < len(path)-1 && !path[i].read.selfIssued {
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
func (s *verification) names(path []*node) *Fault {
	var above []*constraints
	for i := len(path) - 1; i >= 0; i-- {
		if len(above) > 0 && (i == 0 || !path[i].read.selfIssued) {
			if f := s.bound(path[i], above); f != nil {
				return f
			}
		}
		if nc := path[i].read.constraints; nc != nil {
			above = append(above, nc)
		}
	}
	return nil
}

func (s *verification) bound(n *node, above []*constraints) *Fault {
	c := n.cert
	names, err := subjects(c, n.read.names)
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
func (s *verification) policies(path []*node) ([]string, *Fault) {
	top := len(path) - 1
	p := newPolicies(s.o, top, path[top].cert)
	for i := top - 1; i >= 0; i-- {
		c := path[i].cert
		own := path[i].read.selfIssued
		err := p.process(c, own, i == 0)
		if err == nil && i > 0 {
			err = p.descend(c, own)
		}
		if err != nil {
			return nil, &Fault{Reason: PolicyMissing, Cert: c, Err: err}
		}
	}
	named, err := p.finish(path[0].cert)
	if err != nil {
		return nil, &Fault{Reason: PolicyMissing, Cert: path[0].cert, Err: err}
	}
	return named, nil
}
