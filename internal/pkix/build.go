package pkix

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// Bounds of the search for a path (security.md CBA11): together they keep a
// Verify below 50 ms of processor time, whatever the certificates are.
const (
	maxPool  = 1024 // anchors and intermediates that are given
	maxSteps = 256  // certificates looked at as the top of a path so far
	maxPaths = 16   // paths to an anchor that are judged
	maxName  = 4096 // bytes of a subject or issuer
	maxParts = 256  // extensions, extended key usages, policies with mappings of a certificate
	maxNames = 2048 // subject alternative names of a certificate
	// maxCost bounds signature checks; see cost. It is 27 ms, enough for a path of
	// ten P-521 keys or for 300 checks by P-256.
	maxCost = 900
)

// The sizes of RSA keys that are taken, in bits.
const (
	minRSA = 2048
	maxRSA = 8192
)

// node is a certificate of the search, with what was read of it.
type node struct {
	cert    *x509.Certificate
	anchor  bool
	issuers []edge // in the order to try them
	sought  bool   // issuers are known

	subject, issuer dn
	read            *facts // nil until it is part of a path that is judged
}

// facts are what is read of a certificate once, however many paths it is in.
type facts struct {
	selfIssued  bool
	names       []general // alternatives
	constraints *constraints
	usages      []string
}

func newNode(c *x509.Certificate, anchor bool) node {
	return node{cert: c, anchor: anchor, subject: dn{raw: c.RawSubject}, issuer: dn{raw: c.RawIssuer}}
}

// edge is a certificate whose subject is another's issuer.
type edge struct {
	to      *node
	rank    int
	checked bool
	fault   *Fault // of the signature
}

// verification is one Verify.
type verification struct {
	o                  *Options
	pool               []node // anchors first
	byName             map[string][]*node
	cost, steps, paths int
	comparisons        int
	worst              *Fault // the fault of the path that came furthest
	rank               int
}

func newVerification(o *Options) *verification {
	s := &verification{o: o, pool: make([]node, 0, len(o.Anchors)+len(o.Intermediates)), cost: maxCost, comparisons: maxComparisons, rank: -1}
	for _, c := range o.Anchors {
		s.pool = append(s.pool, newNode(c, true))
	}
	for _, c := range o.Intermediates {
		s.pool = append(s.pool, newNode(c, false))
	}
	return s
}

// How far a fault's path came: later is further. What is judged of a whole
// path follows in the order of stages.
const (
	rankNoPath = iota
	rankSignature
	rankBounds
	rankJudged
)

func (s *verification) fail(rank int, f *Fault) {
	if rank > s.rank {
		s.rank, s.worst = rank, f
	}
}

// missing says whom a path breaks off for want of.
func missing(c *x509.Certificate) error {
	name, err := RootFirst(c.RawIssuer)
	if err != nil || name == "" {
		return errors.New("no issuer is known")
	}
	return fmt.Errorf("no issuer is known: %.200q", name)
}

// extend tries all issuers of the last certificate of path, depth first.
func (s *verification) extend(path []*node) (Path, bool) {
	if s.steps++; s.steps > maxSteps {
		s.fail(rankBounds, &Fault{Reason: TooBig, Path: certs(path), Err: errors.New("too many certificates to look at")})
		return Path{}, false
	}
	last := path[len(path)-1]
	s.seek(last)
	if len(last.issuers) == 0 {
		s.fail(rankNoPath, &Fault{Reason: NoPath, Path: certs(path), Err: missing(last.cert)})
	}
	for i := range last.issuers {
		e := &last.issuers[i]
		if repeats(path, e.to) {
			s.fail(rankNoPath, &Fault{Reason: NoPath, Path: certs(path), Err: errors.New("issuers go round in a circle")})
			continue
		}
		if len(path) == MaxDepth {
			s.fail(rankBounds, &Fault{Reason: TooBig, Path: certs(path), Err: fmt.Errorf("more than %d certificates", MaxDepth)})
			continue
		}
		next := append(path, e.to)
		if f := s.signed(last.cert, e); f != nil {
			f.Path = certs(next)
			s.fail(faultRank(f), f)
			continue
		}
		if found, ok := s.follow(next); ok {
			return found, true
		}
	}
	return Path{}, false
}

func (s *verification) follow(path []*node) (Path, bool) {
	if !path[len(path)-1].anchor {
		return s.extend(path)
	}
	chain := certs(path)
	if s.paths++; s.paths > maxPaths {
		s.fail(rankBounds, &Fault{Reason: TooBig, Path: chain, Err: errors.New("too many paths to judge")})
		return Path{}, false
	}
	policies, stage, f := s.judge(path, chain)
	if f != nil {
		f.Path = chain
		s.fail(rankJudged+stage, f)
		return Path{}, false
	}
	return Path{Chain: chain, Policies: policies}, true
}

func faultRank(f *Fault) int {
	if f.Reason == TooBig {
		return rankBounds
	}
	return rankSignature
}

func certs(path []*node) []*x509.Certificate {
	out := make([]*x509.Certificate, len(path))
	for i, n := range path {
		out[i] = n.cert
	}
	return out
}

// repeats says whether a path has that name with that key already (RFC 4158
// §2.4.2, §5.2): whatever the second adds, the first leads to as well.
func repeats(path []*node, c *node) bool {
	return slices.ContainsFunc(path, func(n *node) bool {
		return bytes.Equal(n.cert.RawSubjectPublicKeyInfo, c.cert.RawSubjectPublicKeyInfo) && n.subject.same(&c.subject)
	})
}

// seek finds the certificates whose subject is n's issuer. Key identifiers
// order them and never exclude one (RFC 5280 §4.2.1.1: they help construction).
func (s *verification) seek(n *node) {
	if n.sought {
		return
	}
	n.sought = true
	found := s.named(&n.issuer)
	n.issuers = make([]edge, len(found))
	for i, c := range found {
		n.issuers[i] = edge{to: c, rank: s.promise(n.cert, c)}
	}
	slices.SortStableFunc(n.issuers, func(a, b edge) int { return b.rank - a.rank })
}

// named gives the certificates of a name, each once. The names that were asked
// for are remembered: many certificates may have one issuer.
func (s *verification) named(name *dn) []*node {
	if found, ok := s.byName[string(name.raw)]; ok {
		return found
	}
	var found []*node
	for i := range s.pool {
		c := &s.pool[i]
		if c.subject.same(name) && !slices.ContainsFunc(found, func(o *node) bool { return o.cert.Equal(c.cert) }) {
			found = append(found, c)
		}
	}
	if s.byName == nil {
		s.byName = make(map[string][]*node)
	}
	s.byName[string(name.raw)] = found
	return found
}

// promise says how likely an issuer leads to a path that holds.
func (s *verification) promise(child *x509.Certificate, issuer *node) int {
	rank := 0
	if c := issuer.cert; !s.o.Now.Before(c.NotBefore) && !s.o.Now.After(c.NotAfter) && c.IsCA {
		rank += 8
	}
	switch a, b := child.AuthorityKeyId, issuer.cert.SubjectKeyId; {
	case len(a) == 0 || len(b) == 0:
		rank += 2
	case bytes.Equal(a, b):
		rank += 4
	}
	if issuer.anchor {
		rank++
	}
	return rank
}

// signed checks the signature of child by an issuer, once.
func (s *verification) signed(child *x509.Certificate, e *edge) *Fault {
	if e.checked {
		return e.fault
	}
	issuer := e.to.cert
	if f := bounded(issuer); f != nil {
		return f
	}
	if f := s.strong(issuer); f != nil {
		return f
	}
	if !s.accepted(child.SignatureAlgorithm) {
		return &Fault{Reason: WeakAlgorithm, Cert: child, Err: fmt.Errorf("signature algorithm %v", child.SignatureAlgorithm)}
	}
	if s.o.Signed != nil && s.o.Signed(child, issuer) {
		e.checked = true
		return nil
	}
	if s.cost -= cost(issuer.PublicKey); s.cost < 0 {
		return &Fault{Reason: TooBig, Cert: child, Err: errors.New("too many signatures to check")}
	}
	e.checked = true
	if err := issuer.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature); err != nil {
		e.fault = &Fault{Reason: BadSignature, Cert: child, Err: err}
	}
	return e.fault
}

// bounded refuses certificates that are large in one way or another.
func bounded(c *x509.Certificate) *Fault {
	name := max(len(c.RawSubject), len(c.RawIssuer))
	var err error
	switch {
	case len(c.Raw) > MaxCertificate:
		err = fmt.Errorf("a certificate of %d bytes", len(c.Raw))
	case name > maxName:
		err = fmt.Errorf("a name of %d bytes", name)
	case len(c.Extensions) > maxParts || len(c.Policies)+len(c.PolicyMappings) > maxParts || len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > maxParts:
		err = fmt.Errorf("more than %d extensions, usages or policies and mappings", maxParts)
	default:
		return nil
	}
	return &Fault{Reason: TooBig, Cert: c, Err: err}
}

// accepted are the signature algorithms that are taken. MD5 never is:
// crypto/x509 does not check it.
func (s *verification) accepted(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519:
		return true
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		return s.o.SHA1
	}
	return false
}

// strong refuses keys that are too weak, and those that are made to be slow.
func (s *verification) strong(c *x509.Certificate) *Fault {
	bad := func(format string, args ...any) *Fault {
		return &Fault{Reason: WeakAlgorithm, Cert: c, Err: fmt.Errorf(format, args...)}
	}
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		if bits < minRSA || bits > maxRSA || bits%8 != 0 {
			return bad("an RSA key of %d bits", bits)
		}
		if key.E < 3 || key.E%2 == 0 || key.E > 1<<31-1 || key.N.Bit(0) == 0 {
			return bad("an RSA key with exponent %d", key.E)
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521() {
			return bad("a key on curve %s", key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return bad("a key of algorithm %v", c.PublicKeyAlgorithm)
	}
	return nil
}

// cost is what a signature check by a key takes, in units of one with RSA of
// 2,048 bits, which was 30 µs where it was measured.
func cost(key any) int {
	switch key := key.(type) {
	case *rsa.PublicKey:
		n := (key.N.BitLen() + 1023) / 1024
		units := max(n*n*5/8, 1)
		if n <= 2 {
			units = 1 // has code of its own in crypto/rsa
		}
		if key.E > 65537 {
			units *= 3
		}
		return units
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P384():
			return 20
		case elliptic.P521():
			return 97
		}
	}
	return 3
}
