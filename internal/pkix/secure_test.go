package pkix_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	stdpkix "crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// cross gives a certificate by "by" for another authority's name and key.
func cross(t testing.TB, by, of *pkixtest.Authority, changes ...pkixtest.Change) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(7), RawSubject: of.Cert.RawSubject, NotBefore: of.Cert.NotBefore, NotAfter: of.Cert.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, MaxPathLen: -1,
		SubjectKeyId: of.Cert.SubjectKeyId, AuthorityKeyId: by.Cert.SubjectKeyId,
	}
	for _, c := range changes {
		c(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by.Cert, of.Key.Public(), by.Key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSec_CBA01_CrossSigned: three authorities that certify one another in
// every direction, of which one is also below the anchor, lead to a path, and
// without that one to none (the graph of CVE-2024-0567).
func TestSec_CBA01_CrossSigned(t *testing.T) {
	top := pkixtest.Root(t, "Top", now)
	var a [3]*pkixtest.Authority
	for i := range a {
		a[i] = pkixtest.Root(t, fmt.Sprintf("Root %c", 'A'+i), now)
	}
	issuing := a[0].Sub("Issuing", now)
	leaf := issuing.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now)
	o := pkix.Options{Now: now, Intermediates: []*x509.Certificate{issuing.Cert}}
	for i := range a {
		for j := range a {
			if i != j {
				o.Intermediates = append(o.Intermediates, cross(t, a[i], a[j]))
			}
		}
	}
	refused(t, second(pkix.Verify(leaf, o)), pkix.NoPath, nil)

	// Root A is an anchor by its own certificate, or by one of another's.
	o.Anchors = []*x509.Certificate{a[0].Cert}
	if path, err := pkix.Verify(leaf, o); err != nil || len(path.Chain) != 3 {
		t.Errorf("%v, %v", path.Chain, err)
	}
	o.Anchors = []*x509.Certificate{cross(t, top, a[0])}
	if path, err := pkix.Verify(leaf, o); err != nil || len(path.Chain) != 3 {
		t.Errorf("%v, %v", path.Chain, err)
	}
	// The anchor is two steps away.
	o.Anchors = []*x509.Certificate{top.Cert}
	o.Intermediates = append(o.Intermediates, cross(t, top, a[2]))
	if path, err := pkix.Verify(leaf, o); err != nil || path.Chain[len(path.Chain)-1] != top.Cert {
		t.Errorf("%v, %v", path.Chain, err)
	}
}

// TestSec_CBA01_OtherPath: where one path does not hold, the others are tried,
// and of several faults the one that came furthest is told.
func TestSec_CBA01_OtherPath(t *testing.T) {
	f := newFamily(t)
	second2 := pkixtest.Root(t, "Second", now)
	over := pkixtest.Forge(t, f.sub.Cert, f.root.Key, func(b *pkixtest.Body) { b.Validity.NotAfter = b.Validity.NotBefore })
	o := f.options()
	o.Intermediates = []*x509.Certificate{over}
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.Expired, over)
	o.Intermediates = []*x509.Certificate{over, cross(t, second2, f.sub)} // that other root is not known
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.Expired, over)
	o.Anchors = append(o.Anchors, second2.Cert)
	if path, err := pkix.Verify(f.leaf, o); err != nil || path.Chain[2] != second2.Cert {
		t.Errorf("%v", err)
	}
	// Revocation too: Check refuses one path, the other is taken.
	o.Intermediates = []*x509.Certificate{f.sub.Cert, cross(t, second2, f.sub)}
	o.Check = func(cert, _ *x509.Certificate, _ []*x509.Certificate) error {
		if cert == f.sub.Cert {
			return &pkix.Fault{Reason: pkix.Revoked}
		}
		return nil
	}
	if path, err := pkix.Verify(f.leaf, o); err != nil || path.Chain[2] != second2.Cert {
		t.Errorf("%v", err)
	}
	o.Anchors = o.Anchors[:1]
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.Revoked, f.sub.Cert)
}

// TestSec_CBA01_SameName: authorities of one name with many keys; identifiers
// of keys help and never decide.
func TestSec_CBA01_SameName(t *testing.T) {
	f := newFamily(t)
	o := f.options()
	o.Intermediates = nil
	for range 40 {
		o.Intermediates = append(o.Intermediates, f.root.Sub("Sub", now).Cert)
	}
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.BadSignature, f.leaf)
	o.Intermediates = append(o.Intermediates, f.sub.Cert)
	if _, err := pkix.Verify(f.leaf, o); err != nil {
		t.Error(err)
	}
	// An authority key identifier that lies: of another key, or of none.
	for _, id := range [][]byte{o.Intermediates[3].SubjectKeyId, {1, 2, 3}} {
		f.reLeaf(set(t, stdpkix.Extension{Id: idAKI, Value: pkixtest.Wrap(t, 0x30, pkixtest.Wrap(t, 0x80, id))}))
		if _, err := pkix.Verify(f.leaf, o); err != nil {
			t.Error(err)
		}
	}
}

// TestSec_CBA01_Preference: the key that a certificate names is tried first,
// else so many of one name could use up what a search may cost.
func TestSec_CBA01_Preference(t *testing.T) {
	f := newFamily(t)
	decoy := f.root.Sub("Sub", now).Cert
	o := f.options()
	o.Intermediates = nil
	for i := range 310 {
		o.Intermediates = append(o.Intermediates, pkixtest.Forge(t, decoy, f.root.Key, func(b *pkixtest.Body) { b.SerialNumber = big.NewInt(int64(i + 1)) }))
	}
	o.Intermediates = append(o.Intermediates, f.sub.Cert)
	if _, err := pkix.Verify(f.leaf, o); err != nil {
		t.Error(err)
	}
}

// TestSec_CBA01_Signature flips each bit of a few bytes of a signature and of
// what is signed.
func TestSec_CBA01_Signature(t *testing.T) {
	f := newFamily(t)
	for _, at := range []int{len(f.leaf.Raw) - 1, len(f.leaf.Raw) - 20} {
		for bit := range 8 {
			raw := append([]byte(nil), f.leaf.Raw...)
			raw[at] ^= 1 << bit
			leaf, err := x509.ParseCertificate(raw)
			if err != nil {
				continue
			}
			refused(t, second(pkix.Verify(leaf, f.options())), pkix.BadSignature, leaf)
		}
	}
	// Another's signature, and one's own.
	forged := pkixtest.Forge(t, f.leaf, f.root.Key, func(*pkixtest.Body) {})
	refused(t, second(pkix.Verify(forged, f.options())), pkix.BadSignature, forged)
	o := f.options()
	o.Intermediates[0] = pkixtest.Forge(t, f.sub.Cert, f.sub.Key, func(*pkixtest.Body) {})
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.BadSignature, o.Intermediates[0])
}

// TestSec_CBA02_OnlyAnchors: an intermediate is trusted for nothing, whether
// it signed itself or not; an anchor that is no root is enough.
func TestSec_CBA02_OnlyAnchors(t *testing.T) {
	f := newFamily(t)
	o := f.options()
	o.Anchors, o.Intermediates = nil, []*x509.Certificate{f.sub.Cert, f.root.Cert}
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.NoPath, nil)
	o.Anchors = []*x509.Certificate{pkixtest.Root(t, "Another", now).Cert}
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.NoPath, nil)
	o.Anchors = []*x509.Certificate{f.sub.Cert}
	if path, err := pkix.Verify(f.leaf, o); err != nil || len(path.Chain) != 2 {
		t.Error(err)
	}
	// A leaf that is an anchor itself has no issuer that speaks for it.
	o.Anchors = []*x509.Certificate{f.leaf}
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.NoPath, nil)
	// A leaf is no authority for another: it signs with its key all the same.
	key := pkixtest.ECKey(t)
	middle := f.sub.Leaf(key.Public(), "Eve", "", now)
	below := cross(t, &pkixtest.Authority{Cert: middle, Key: key}, pkixtest.Root(t, "Ada", now))
	o = f.options()
	o.Usages, o.DigitalSignature = nil, false
	o.Intermediates = append(o.Intermediates, middle)
	refused(t, second(pkix.Verify(below, o)), pkix.NotCA, middle)
}

// keyed is the leaf with another public key.
func (f *family) keyed(spki []byte) {
	f.reLeaf(func(b *pkixtest.Body) { b.Key = asn1.RawValue{FullBytes: spki} })
}

// TestSec_CBA12_Algorithms: keys and hashes that are too weak, and keys that
// are made to cost time.
func TestSec_CBA12_Algorithms(t *testing.T) {
	rsaKey := func(bits, exponent int) []byte {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: exponent})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := x509.MarshalPKIXPublicKey(&p224.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	number := func(n int) []byte { return pkixtest.DER(t, n) }
	dsa := pkixtest.Wrap(t, 0x30, pkixtest.Wrap(t, 0x30, pkixtest.DER(t, asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}),
		pkixtest.Wrap(t, 0x30, number(23), number(11), number(4))), pkixtest.Wrap(t, 3, []byte{0}, number(3)))
	for name, c := range map[string]struct {
		spki []byte
		weak bool
	}{
		"RSA 1024": {rsaKey(1024, 65537), true}, "RSA 2040": {rsaKey(2040, 65537), true}, "RSA 2048": {rsaKey(2048, 65537), false},
		"RSA 2049": {rsaKey(2049, 65537), true}, "RSA 8192": {rsaKey(8192, 65537), false}, "RSA 8200": {rsaKey(8200, 65537), true},
		"RSA 16384": {rsaKey(16384, 65537), true}, "RSA exponent 1": {rsaKey(2048, 1), true}, "RSA exponent 3": {rsaKey(2048, 3), false},
		"RSA even exponent": {rsaKey(2048, 65536), true}, "RSA exponent of 33 bits": {rsaKey(2048, 1<<32+1), true},
		"P-224": {small, true}, "DSA": {dsa, true},
	} {
		// The leaf's key, and an issuer's.
		f := newFamily(t)
		f.keyed(c.spki)
		_, err := pkix.Verify(f.leaf, f.options())
		if !c.weak {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		t.Run(name, func(t *testing.T) {
			refused(t, err, pkix.WeakAlgorithm, f.leaf)
			f := newFamily(t)
			f.reSub(func(b *pkixtest.Body) { b.Key = asn1.RawValue{FullBytes: c.spki} })
			quickly(t, func() { refused(t, second(pkix.Verify(f.leaf, f.options())), pkix.WeakAlgorithm, f.sub.Cert) })
		})
	}
	// MD5 is refused even where SHA-1 may pass.
	f := newFamily(t)
	f.reLeaf(func(b *pkixtest.Body) { b.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 4} })
	o := f.options()
	o.SHA1 = true
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.WeakAlgorithm, f.leaf)
}

// ladder is n authorities, each below the one before.
func ladder(t testing.TB, root *pkixtest.Authority, n int) (subs []*x509.Certificate, last *pkixtest.Authority) {
	last = root
	for i := range n {
		last = last.Sub(fmt.Sprintf("Sub %d", i), now)
		subs = append(subs, last.Cert)
	}
	return subs, last
}

// TestSec_CBA11_Depth: ten certificates and no more.
func TestSec_CBA11_Depth(t *testing.T) {
	root := pkixtest.Root(t, "Root", now)
	for n, ok := range map[int]bool{pkix.MaxDepth - 2: true, pkix.MaxDepth - 1: false} {
		subs, last := ladder(t, root, n)
		leaf := last.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now)
		_, err := pkix.Verify(leaf, pkix.Options{Anchors: []*x509.Certificate{root.Cert}, Intermediates: subs, Now: now})
		if ok && err != nil {
			t.Errorf("%d between: %v", n, err)
		}
		if !ok {
			refused(t, err, pkix.TooBig, nil)
		}
	}
}

// TestSec_CBA11_Size: a certificate beyond 64 KiB is not looked at, be it the
// leaf or an authority.
func TestSec_CBA11_Size(t *testing.T) {
	big := stdpkix.Extension{Id: asn1.ObjectIdentifier{2, 999, 1}, Value: make([]byte, pkix.MaxCertificate)}
	f := newFamily(t)
	f.reLeaf(set(t, big))
	refused(t, second(pkix.Verify(f.leaf, f.options())), pkix.TooBig, f.leaf)
	f = newFamily(t)
	f.reSub(set(t, big))
	refused(t, second(pkix.Verify(f.leaf, f.options())), pkix.TooBig, f.sub.Cert)
	f = newFamily(t)
	o := f.options()
	for range 1024 {
		o.Intermediates = append(o.Intermediates, f.sub.Cert)
	}
	refused(t, second(pkix.Verify(f.leaf, o)), pkix.TooBig, nil)
}
