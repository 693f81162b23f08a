package pkix

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxSigners is how deep certificates of those who sign lists may lie: that of
// a list's signer is judged by a list, whose signer's is judged by another.
const maxSigners = 3

// Revocation judges by lists whether certificates are revoked (RFC 5280 §6.3).
// Nothing is believed that is not signed, of its time and of the certificate's
// scope: what no list says is unknown, which refuses.
type Revocation struct {
	// Lists are all that are at hand, complete ones and deltas in any order.
	Lists []*CRL
	// Signers are certificates of those who may have signed lists, besides the
	// certificates of the path: other keys of an authority, issuers of indirect
	// lists, and what stands between them and the anchor of the path, to which
	// theirs must lead too. They are candidates, trusted for nothing.
	Signers []*x509.Certificate
	Now     time.Time
	// Stale is how long a list is believed after it is over. Zero: not at all.
	Stale time.Duration
	SHA1  bool // as Options.SHA1
}

// Status is what a certificate that is not revoked is so by.
type Status struct {
	Lists                  []*CRL // those that said so, deltas included
	ThisUpdate, NextUpdate time.Time
	Stale                  bool // one is over, and believed by Revocation.Stale
}

// RevokedError is the detail of a Fault whose reason is Revoked.
type RevokedError struct {
	When time.Time
	Code int // RFC 5280 §5.3.1
}

// Error tells when and why.
func (e *RevokedError) Error() string {
	return fmt.Sprintf("revoked on %s (%s)", e.When.Format(time.DateOnly), reasonWord(e.Code))
}

func reasonWord(code int) string {
	words := []string{"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation", "certificateHold",
		"", "removeFromCRL", "privilegeWithdrawn", "aACompromise"}
	if code < 0 || code >= len(words) || words[code] == "" {
		return fmt.Sprintf("reason %d", code)
	}
	return words[code]
}

// Check says whether cert, issued by issuer, is not revoked. path is the path
// that both are of, leaf first and anchor last; it holds in everything else.
// Errors are a *Fault: Revoked, with a *RevokedError, or RevocationUnknown.
func (r *Revocation) Check(cert, issuer *x509.Certificate, path []*x509.Certificate) (Status, error) {
	return r.check(cert, issuer, path, nil)
}

// CheckPath is Check as Options.Check takes it.
func (r *Revocation) CheckPath(cert, issuer *x509.Certificate, path []*x509.Certificate) error {
	_, err := r.Check(cert, issuer, path)
	return err
}

// search is a look for what the lists say of one certificate.
type search struct {
	*Revocation
	cert, issuer *x509.Certificate
	path         []*x509.Certificate
	signers      []*x509.Certificate // whose certificates are being judged, outermost first

	mask  reasons // for which reasons it is known not to be revoked
	found Status
	why   error // of what came nearest to an answer
	near  int   // how near: of that issuer, of that scope
}

// check is the procedure of RFC 5280 §6.3.3. signers are those whose
// certificates are being judged meanwhile.
func (r *Revocation) check(cert, issuer *x509.Certificate, path, signers []*x509.Certificate) (Status, error) {
	s := &search{Revocation: r, cert: cert, issuer: issuer, path: path, signers: signers}
	points, err := pointsOf(cert)
	if err != nil {
		return Status{}, &Fault{Reason: RevocationUnknown, Cert: cert, Path: path, Err: err}
	}
	// Last come lists that no distribution point names, as if one named the
	// certificate's issuer and nothing else.
	points = append(points, point{names: []generalName{{directoryName, issuer.RawSubject}}})
	lists := slices.Clone(r.Lists)
	slices.SortStableFunc(lists, func(a, b *CRL) int { return cmp.Or(b.ThisUpdate.Compare(a.ThisUpdate), b.Number.Cmp(a.Number)) })
	for _, p := range points {
		for _, l := range lists {
			if s.mask == allReasons {
				return s.found, nil
			}
			if l.Delta() {
				continue
			}
			if err := s.ask(p, l, lists); err != nil {
				return Status{}, err
			}
		}
	}
	if s.mask == allReasons {
		return s.found, nil
	}
	if s.mask != 0 && s.near < 2 {
		s.why = errors.New("its issuer's lists are not of all reasons")
	}
	if s.why == nil {
		s.why = errors.New("there is no list of its issuer")
	}
	return Status{}, &Fault{Reason: RevocationUnknown, Cert: cert, Path: path, Err: s.why}
}

// pointsOf reads the distribution points of a certificate.
func pointsOf(cert *x509.Certificate) ([]point, error) {
	e := extension(cert, oidDistribution)
	if e == nil {
		return nil, nil
	}
	points, ok := readPoints(e.Value)
	if !ok {
		return nil, errors.New("its distribution points cannot be read")
	}
	return points, nil
}

// ask takes in what a complete list, with a delta of it, says of the
// certificate by way of a distribution point. The error is that of a
// certificate that is revoked; a list that says nothing is passed over.
func (s *search) ask(p point, l *CRL, lists []*CRL) error {
	if near, err := s.covers(p, l); err != nil { // (b)
		s.missed(near, err)
		return nil
	}
	delta := s.deltaOf(l, lists) // (c)
	stale, err := s.current(l, delta)
	if err != nil {
		s.missed(2, err)
		return nil
	}
	interim := allReasons // (d)
	if p.reasons != 0 {
		interim &= p.reasons
	}
	if l.scope != nil && l.scope.reasons != 0 {
		interim &= l.scope.reasons
	}
	if interim&^s.mask == 0 { // (e)
		return nil
	}
	if err := s.authentic(p, l, delta); err != nil { // (f) to (h)
		s.missed(2, err)
		return nil
	}
	e, revoked := Entry{}, false
	if delta != nil { // (i)
		e, revoked = delta.find(s.cert.SerialNumber, s.cert.RawIssuer)
	}
	if !revoked { // (j)
		e, revoked = l.find(s.cert.SerialNumber, s.cert.RawIssuer)
	}
	if revoked && e.Reason != removeFromCRL { // (k)
		return &Fault{Reason: Revoked, Cert: s.cert, Path: s.path, Err: &RevokedError{When: e.When, Code: e.Reason}}
	}
	s.mask |= interim // (l)
	s.note(l, delta, stale)
	return nil
}

// note adds a list that says that the certificate is not revoked.
func (s *search) note(l, delta *CRL, stale bool) {
	this, next := l.ThisUpdate, l.NextUpdate
	s.found.Lists = append(s.found.Lists, l)
	if delta != nil {
		s.found.Lists = append(s.found.Lists, delta)
		this, next = delta.ThisUpdate, later(next, delta.NextUpdate)
	}
	if s.found.ThisUpdate.IsZero() || this.Before(s.found.ThisUpdate) {
		s.found.ThisUpdate = this
	}
	if s.found.NextUpdate.IsZero() || next.Before(s.found.NextUpdate) {
		s.found.NextUpdate = next
	}
	s.found.Stale = s.found.Stale || stale
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// missed keeps why a list was passed over, if none came nearer.
func (s *search) missed(near int, err error) {
	if s.why == nil || near > s.near {
		s.why, s.near = err, near
	}
}

// covers says whether a list is of the certificate's scope by way of a
// distribution point, §6.3.3 (b), and otherwise how near it came.
func (s *search) covers(p point, l *CRL) (near int, err error) {
	if p.issuers != nil {
		if !anyEqual(p.issuers, []generalName{{directoryName, l.Issuer}}) {
			return 0, errors.New("there is no list of the issuer that its distribution point names")
		}
		if l.scope == nil || !l.scope.indirect {
			return 1, errors.New("the list of the issuer that its distribution point names is not indirect")
		}
	} else if !SameName(l.Issuer, s.cert.RawIssuer) {
		return 0, errors.New("there is no list of its issuer")
	}
	if l.scope == nil {
		return 2, nil
	}
	authority := s.cert.BasicConstraintsValid && s.cert.IsCA
	switch {
	case l.scope.names != nil && !anyEqual(l.scope.names, s.namesOf(p)):
		return 1, errors.New("its issuer's list is of another distribution point")
	case l.scope.users && authority:
		return 1, errors.New("its issuer's list is of users only")
	case l.scope.authorities && !authority:
		return 1, errors.New("its issuer's list is of authorities only")
	case l.scope.others:
		return 1, errors.New("its issuer's list is of attribute certificates")
	}
	return 2, nil
}

// namesOf are the names of a distribution point: §6.3.3 (b)(2)(i). One that is
// relative is below the list's issuer.
func (s *search) namesOf(p point) []generalName {
	switch {
	case p.names != nil:
		return p.names
	case p.relative == nil:
		return p.issuers
	}
	base := s.cert.RawIssuer
	if p.issuers != nil {
		if len(p.issuers) != 1 || p.issuers[0].tag != directoryName {
			return nil // §4.2.1.13: of one issuer only
		}
		base = p.issuers[0].value
	}
	full, ok := below(base, p.relative)
	if !ok {
		return nil
	}
	return []generalName{{directoryName, full}}
}

// deltaOf is the newest delta that changes a list: §6.3.3 (c) and §5.2.4. One
// whose time is over still tells what was so after the list.
func (s *search) deltaOf(l *CRL, lists []*CRL) *CRL {
	var best *CRL
	for _, d := range lists {
		if d.Changes(l) && !d.ThisUpdate.After(s.Now) && (best == nil || d.Number.Cmp(best.Number) > 0) {
			best = d
		}
	}
	return best
}

// Changes says whether c is a delta that may be put on top of a complete list
// (RFC 5280 §5.2.4, §6.3.3 (c)): same issuer, scope and key, of a base no newer
// than the list, and newer itself.
func (c *CRL) Changes(base *CRL) bool {
	return c.Delta() && !base.Delta() && SameName(c.Issuer, base.Issuer) &&
		(c.scope == nil) == (base.scope == nil) && (c.scope == nil || bytes.Equal(c.scope.raw, base.scope.raw)) &&
		bytes.Equal(c.KeyID, base.KeyID) && c.Base.Cmp(base.Number) <= 0 && c.Number.Cmp(base.Number) > 0
}

// current says whether a list, with its delta, is of this time. Together they
// last as long as the one that lasts longer (§5.2.4).
func (s *search) current(l, delta *CRL) (stale bool, err error) {
	if l.ThisUpdate.After(s.Now) {
		return false, fmt.Errorf("its issuer's list is of %s, which is yet to come", l.ThisUpdate.Format(time.RFC3339))
	}
	next := l.NextUpdate
	if delta != nil {
		next = later(next, delta.NextUpdate)
	}
	if s.Now.Before(next) {
		return false, nil
	}
	if s.Stale > 0 && s.Now.Before(next.Add(s.Stale)) {
		return true, nil
	}
	return false, fmt.Errorf("its issuer's list is over since %s", next.Format(time.RFC3339))
}

// authentic says whether a list and its delta are signed by one who may:
// §6.3.3 (f) to (h).
func (s *search) authentic(p point, l, delta *CRL) error {
	var why error
	for _, signer := range s.candidates(l) {
		err := l.CheckSignature(signer, s.SHA1)
		if err == nil && delta != nil {
			err = delta.CheckSignature(signer, s.SHA1)
		}
		if err == nil {
			err = s.holds(p, signer)
		}
		if err == nil {
			return nil
		}
		// What is wrong with who signed says more than that others did not.
		var f *Fault
		if why == nil || !errors.As(err, &f) || f.Reason != BadSignature {
			why = err
		}
	}
	if why == nil {
		return errors.New("nobody is known who could have signed its issuer's list")
	}
	return fmt.Errorf("its issuer's list: %w", why)
}

// candidates are certificates of the name that a list is from: those of the
// path first, the nearest before all.
func (s *search) candidates(l *CRL) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range slices.Concat([]*x509.Certificate{s.issuer}, s.path, s.Signers) {
		if SameName(c.RawSubject, l.Issuer) && !holdsCert(out, c) {
			out = append(out, c)
		}
	}
	return out
}

func holdsCert(in []*x509.Certificate, c *x509.Certificate) bool {
	return slices.ContainsFunc(in, c.Equal)
}

// holds says whether the certificate of a list's signer does. That of an
// authority of the path is judged with the path, from the anchor down.
func (s *search) holds(p point, signer *x509.Certificate) error {
	if at := slices.IndexFunc(s.path, signer.Equal); at > 0 && at > slices.IndexFunc(s.path, s.cert.Equal) {
		return nil
	}
	if signer.Equal(s.issuer) && len(s.path) == 0 {
		return nil
	}
	if holdsCert(s.signers, signer) {
		// Who says of itself that it is not revoked is believed only where the
		// authority wrote into the certificate that just this issuer of lists is
		// to be asked.
		if signer.Equal(s.cert) && p.issuers != nil {
			return nil
		}
		return errors.New("who signed it would vouch for itself")
	}
	if len(s.signers) >= maxSigners || len(s.path) == 0 {
		return errors.New("too many that sign lists stand behind one another")
	}
	signers := append(slices.Clone(s.signers), signer)
	_, err := Verify(signer, Options{
		Anchors: s.path[len(s.path)-1:], Intermediates: slices.Concat(s.path[:len(s.path)-1], s.Signers), Now: s.Now, SHA1: s.SHA1,
		Check: func(cert, issuer *x509.Certificate, path []*x509.Certificate) error {
			_, err := s.check(cert, issuer, path, signers)
			return err
		},
	})
	return err
}
