package pkix

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"slices"
)

// CheckSignature says whether signer signed the list and may do so: its key
// usage, if it tells one, has cRLSign. sha1 lets a signature by SHA-1 pass. It
// says nothing of the signer's own path. Errors are a *Fault: Usage,
// WeakAlgorithm or BadSignature.
func (c *CRL) CheckSignature(signer *x509.Certificate, sha1 bool) error {
	if extension(signer, oidKeyUsage) != nil && signer.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return &Fault{Reason: Usage, Cert: signer, Err: errors.New("list: the key usage of who signed it has no cRLSign")}
	}
	if weakSignature(c.Algorithm, sha1) {
		return &Fault{Reason: WeakAlgorithm, Err: errors.New("list: signed by " + c.Algorithm.String())}
	}
	if c.bound {
		if keyHash(signer) != c.signer {
			return &Fault{Reason: BadSignature, Cert: signer, Err: errors.New("list: another key signed it")}
		}
		return nil
	}
	if err := signer.CheckSignature(c.Algorithm, c.signed, c.sign); err != nil {
		return &Fault{Reason: BadSignature, Cert: signer, Err: err}
	}
	return nil
}

// SignedBy says whether the list is bound to the key of that certificate. Unlike
// the key identifier that a list tells, nobody else can make that so.
func (c *CRL) SignedBy(signer *x509.Certificate) bool { return c.bound && c.signer == keyHash(signer) }

// SameSigner says whether two lists are bound to one key.
func (c *CRL) SameSigner(o *CRL) bool { return c.bound && o.bound && c.signer == o.signer }

// weakSignature says whether an algorithm is not believed (security.md CBA12).
func weakSignature(a x509.SignatureAlgorithm, sha1 bool) bool {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA:
		return true
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		return !sha1
	}
	return false
}

// Bind checks the signature as CheckSignature does, remembers by which key it
// was made, and lets go of the bytes that were parsed. Not while others use it.
func (c *CRL) Bind(signer *x509.Certificate, sha1 bool) error {
	if err := c.CheckSignature(signer, sha1); err != nil {
		return err
	}
	c.signer, c.bound, c.signed = keyHash(signer), true, nil
	return nil
}

// storedForm begins what MarshalBinary writes; the last byte is its version.
var storedForm = []byte("SCRL\x01")

// MarshalBinary writes a list that is bound, for UnmarshalCRL: about 8 bytes
// and the serial number for each entry. Whoever can change what is stored can
// change what is revoked.
func (c *CRL) MarshalBinary() ([]byte, error) {
	if !c.bound {
		return nil, errors.New("list: not bound to who signed it")
	}
	size := len(storedForm) + 32 + 3*binary.MaxVarintLen64 + len(c.stub)
	for _, n := range c.issuers[1:] {
		size += len(n) + binary.MaxVarintLen64
	}
	for i := range c.entries {
		size += 1 + int(c.entries[i].n) + 1 + 4
		if len(c.issuers) > 1 {
			size += 2
		}
	}
	b := make([]byte, 0, size)
	b = append(append(b, storedForm...), c.signer[:]...)
	b = append(binary.AppendUvarint(b, uint64(len(c.stub))), c.stub...)
	b = binary.AppendUvarint(b, uint64(len(c.issuers)-1))
	for _, n := range c.issuers[1:] {
		b = append(binary.AppendUvarint(b, uint64(len(n))), n...)
	}
	b = binary.AppendUvarint(b, uint64(len(c.entries)))
	for i := range c.entries {
		r := &c.entries[i]
		b = append(append(b, r.n), r.serial[:r.n]...)
		b = binary.BigEndian.AppendUint32(append(b, r.reason), r.when)
		if len(c.issuers) > 1 {
			b = binary.BigEndian.AppendUint16(b, uint16(r.issuer))
		}
	}
	return b, nil
}

// UnmarshalCRL reads what MarshalBinary wrote. The list is bound as it was.
func UnmarshalCRL(b []byte) (*CRL, error) {
	in := stored{left: b}
	if !bytes.Equal(in.take(len(storedForm)), storedForm) {
		return nil, malformed("not of this form when stored")
	}
	var signer [32]byte
	copy(signer[:], in.take(len(signer)))
	stub := bytes.Clone(in.take(in.count(maxListHead * 2)))
	if in.bad {
		return nil, malformed("cut short when stored")
	}
	c, err := readHead(stub)
	if err != nil {
		return nil, err
	}
	c.signer, c.bound = signer, true
	for range in.count(maxIssuers - 1) {
		c.issuers = append(c.issuers, bytes.Clone(in.take(in.count(len(in.left)))))
	}
	each := 7
	if len(c.issuers) > 1 {
		each += 2
	}
	n := in.count(len(in.left) / each)
	c.entries = make([]record, 0, n)
	for range n {
		r, ok := in.record(len(c.issuers))
		if !ok {
			break
		}
		c.entries = append(c.entries, r)
	}
	if in.bad || len(in.left) != 0 {
		return nil, malformed("cut short or followed by something when stored")
	}
	if !slices.IsSortedFunc(c.entries, compare) {
		return nil, malformed("not sorted when stored")
	}
	c.setMarks()
	return c, nil
}

// stored reads what is stored. Once it is bad, it gives nothing.
type stored struct {
	left []byte
	bad  bool
}

func (s *stored) take(n int) []byte {
	if s.bad || n > len(s.left) {
		s.bad = true
		return nil
	}
	out := s.left[:n]
	s.left = s.left[n:]
	return out
}

// count reads a number of at most most.
func (s *stored) count(most int) int {
	n, size := binary.Uvarint(s.left)
	if s.bad || size <= 0 || n > uint64(most) {
		s.bad = true
		return 0
	}
	s.left = s.left[size:]
	return int(n)
}

// record reads an entry of a list with that many issuers.
func (s *stored) record(issuers int) (r record, ok bool) {
	n := s.take(1)
	if s.bad || !r.setSerial(s.take(int(n[0]))) {
		s.bad = true
		return r, false
	}
	rest := s.take(5)
	if s.bad {
		return r, false
	}
	r.reason, r.when = rest[0], binary.BigEndian.Uint32(rest[1:])
	if issuers > 1 {
		at := s.take(2)
		if s.bad {
			return r, false
		}
		if r.issuer = uint32(binary.BigEndian.Uint16(at)); int(r.issuer) >= issuers {
			s.bad = true
		}
	}
	return r, !s.bad
}
