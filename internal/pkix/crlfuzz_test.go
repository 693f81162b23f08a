package pkix_test

import (
	"bytes"
	"crypto/x509"
	stdpkix "crypto/x509/pkix"
	"math/big"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// seeds are lists of every kind.
func seeds(t testing.TB, ca *pkixtest.Authority) [][]byte {
	of := pkixtest.Of(t, pkixtest.Name(t, "Other"))
	scoped := ordinary(number(5), pkixtest.ListEntry{Serial: big.NewInt(6), When: noon, Extensions: []stdpkix.Extension{of, pkixtest.Because(t, 1)}})
	scoped.Extensions = []stdpkix.Extension{
		pkixtest.Scope(pkixtest.Issuing{Point: pkixtest.Point{Full: [][]byte{pkixtest.URI("http://a"), pkixtest.DirectoryName(pkixtest.Name(t, "x"))}, Reasons: 6}, Indirect: true}),
		pkixtest.KeyID(t, []byte{1}), pkixtest.DeltaOf(t, 3),
	}
	relative := ordinary()
	relative.Extensions = []stdpkix.Extension{pkixtest.Scope(pkixtest.Issuing{Point: pkixtest.Point{Relative: pkixtest.RDN(t, "x")}, Users: true})}
	return [][]byte{ca.List(ordinary()), ca.List(ordinary(number(1), number(1<<40))), ca.List(scoped), ca.List(relative)}
}

// FuzzParseCRL: whatever is read can be searched, judged by, stored and read
// again as the same.
func FuzzParseCRL(f *testing.F) {
	ca := pkixtest.Root(f, "Root", noon)
	leaf := ca.Leaf(pkixtest.ECKey(f).Public(), "Ann", "", noon, with(pkixtest.Points(uri("http://a"))))
	for _, der := range seeds(f, ca) {
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := pkix.ParseCRL(der)
		if err != nil {
			return
		}
		if c.Len() > len(der)/20 || c.Number == nil || c.NextUpdate.IsZero() {
			t.Errorf("%d entries in %d bytes, number %v, next %v", c.Len(), len(der), c.Number, c.NextUpdate)
		}
		// What is read at all is read by crypto/x509, too, and with the same entries.
		std, err := x509.ParseRevocationList(der)
		if err != nil && der[0] == 0x30 {
			t.Errorf("crypto/x509 does not read it: %v", err)
		}
		for i := 0; err == nil && !c.Indirect() && i < len(std.RevokedCertificateEntries); i++ {
			if _, found := c.Find(std.RevokedCertificateEntries[i].SerialNumber); !found {
				t.Errorf("entry %d is not found", i)
			}
		}
		e, found := c.Find(big.NewInt(5))
		r := &pkix.Revocation{Lists: []*pkix.CRL{c, c}, Now: noon}
		if s, err := r.Check(leaf, ca.Cert, nil); err == nil && len(s.Lists) == 0 {
			t.Error("not revoked, by nothing")
		}
		if c.Bind(ca.Cert, false) != nil {
			return
		}
		stored, err := c.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again, err := pkix.UnmarshalCRL(stored)
		if err != nil {
			t.Fatal(err)
		}
		if e2, found2 := again.Find(big.NewInt(5)); e2 != e || found2 != found {
			t.Errorf("%+v, stored %+v", e, e2)
		}
	})
}

// FuzzUnmarshalCRL: what is read is what is written.
func FuzzUnmarshalCRL(f *testing.F) {
	ca := pkixtest.Root(f, "Root", noon)
	for _, der := range seeds(f, ca) {
		c := parse(f, der)
		if err := c.Bind(ca.Cert, false); err != nil {
			f.Fatal(err)
		}
		stored, err := c.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stored)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := pkix.UnmarshalCRL(b)
		if err != nil {
			return
		}
		c.Find(big.NewInt(5))
		again, err := c.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if d, err := pkix.UnmarshalCRL(again); err != nil || d.Len() != c.Len() {
			t.Errorf("%v, of %x", err, b)
		}
		// Numbers of another length than they need are read, and nothing else differs.
		if len(again) == len(b) && !bytes.Equal(again, b) {
			t.Errorf("%x, want %x", again, b)
		}
	})
}

// FuzzCheckOCSP: nothing but what the authority signed is believed.
func FuzzCheckOCSP(f *testing.F) {
	ca := pkixtest.Root(f, "Root", noon)
	leaf := ca.Leaf(pkixtest.ECKey(f).Public(), "Ann", "", noon)
	r := ocsp.Response{Status: ocsp.Good, SerialNumber: leaf.SerialNumber, ThisUpdate: noon, NextUpdate: noon.Add(1)}
	der, err := ocsp.CreateResponse(ca.Cert, ca.Cert, r, pkixtest.ECKey(f)) // of another key
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add(ocsp.UnauthorizedErrorResponse)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := pkix.CheckOCSP(b, leaf, ca.Cert, pkix.OCSP{Now: noon, SHA1: true}); err == nil {
			t.Errorf("believed: %x", b)
		}
	})
}
