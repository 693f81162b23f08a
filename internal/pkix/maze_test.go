package pkix_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	stdpkix "crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// TestSec_T28_Parts: certificates with too much of one thing.
func TestSec_T28_Parts(t *testing.T) {
	longName := asn1.RawValue{FullBytes: cn(t, utf8Str, strings.Repeat("ä", 2050))}
	var hosts []pkixtest.General
	var ids, usages []asn1.ObjectIdentifier
	for i := range 2049 {
		hosts = append(hosts, pkixtest.Host(t, fmt.Sprintf("n%d.example", i)))
	}
	for i := range 257 {
		ids, usages = append(ids, policy(i)), append(usages, asn1.ObjectIdentifier{2, 998, i})
	}
	for name, change := range map[string]func(*pkixtest.Body){
		"subject": func(b *pkixtest.Body) { b.Subject = longName },
		"extensions": func(b *pkixtest.Body) {
			for i := range 257 {
				b.Set(stdpkix.Extension{Id: asn1.ObjectIdentifier{2, 999, 5, i}, Value: []byte{5, 0}})
			}
		},
		"names": set(t, pkixtest.Alternatives(t, hosts...)), "policies": set(t, pkixtest.Policies(t, ids...)), "usages": set(t, pkixtest.Usages(t, usages...)),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFamily(t)
			f.reLeaf(change)
			quickly(t, func() { refused(t, second(pkix.Verify(f.leaf, f.options())), pkix.TooBig, f.leaf) })
			if name == "subject" { // an authority of that name did not issue the leaf
				return
			}
			f = newFamily(t)
			f.reSub(change)
			quickly(t, func() { refused(t, second(pkix.Verify(f.leaf, f.options())), pkix.TooBig, f.sub.Cert) })
		})
	}
	f := newFamily(t)
	f.reLeaf(set(t, pkixtest.Alternatives(t, hosts[:2048]...)))
	if _, err := pkix.Verify(f.leaf, f.options()); err != nil {
		t.Error(err)
	}
}

// TestSec_T28_Names: an issuer whose name is slow to compare, against as many
// authorities as may be given, and authorities whose names are.
func TestSec_T28_Names(t *testing.T) {
	f := newFamily(t)
	slowName := func(i int) asn1.RawValue {
		return asn1.RawValue{FullBytes: dn(t, one(attr(t, idO, utf8Str, strings.Repeat("ﬃ", 600)+strings.Repeat("Ä\u0301", 400))), one(attr(t, idCN, utf8Str, fmt.Sprint(i))))}
	}
	f.reLeaf(func(b *pkixtest.Body) { b.Issuer = slowName(-1) })
	o := f.options()
	o.Anchors = nil
	for range 1000 {
		o.Anchors = append(o.Anchors, f.root.Cert)
	}
	o.Intermediates = nil
	for i := range 10 {
		o.Intermediates = append(o.Intermediates, pkixtest.Forge(t, f.sub.Cert, f.root.Key, func(b *pkixtest.Body) { b.Subject, b.Issuer = slowName(i), slowName(i) }))
	}
	quickly(t, func() { refused(t, second(pkix.Verify(f.leaf, o)), pkix.NoPath, nil) })
}

// TestSec_T28_Mazes are sets of certificates without a way out that a search
// without bounds would not end on. Each ends within 50 ms.
func TestSec_T28_Mazes(t *testing.T) {
	anchor := pkixtest.Root(t, "Anchor", now)
	name := func(i int) string { return fmt.Sprintf("Sub %d", i) }
	mazes := map[string]func() (*x509.Certificate, []*x509.Certificate){
		"one name, one key": func() (leaf *x509.Certificate, subs []*x509.Certificate) {
			a := pkixtest.Root(t, "Sub", now)
			for i := range 100 {
				subs = append(subs, pkixtest.Forge(t, a.Cert, a.Key, func(b *pkixtest.Body) { b.SerialNumber = big.NewInt(int64(i + 2)) }))
			}
			return a.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now), subs
		},
		"many names, one key": func() (leaf *x509.Certificate, subs []*x509.Certificate) {
			a := pkixtest.Root(t, name(0), now)
			for i := range 100 {
				sub := &pkixtest.Authority{Cert: pkixtest.Root(t, name(i+1), now).Cert, Key: a.Key}
				subs = append(subs, cross(t, a, sub))
				a = &pkixtest.Authority{Cert: subs[i], Key: a.Key}
			}
			last := &pkixtest.Authority{Cert: a.Cert, Key: a.Key}
			return cross(t, last, pkixtest.Root(t, "Ada", now)), subs
		},
		"one name, many keys": func() (leaf *x509.Certificate, subs []*x509.Certificate) {
			a := pkixtest.Root(t, "Sub", now)
			leaf = a.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now)
			for range 200 {
				next := pkixtest.Root(t, "Sub", now)
				subs = append(subs, cross(t, next, a))
				a = next
			}
			return leaf, subs
		},
		"everybody by everybody": func() (leaf *x509.Certificate, subs []*x509.Certificate) {
			var all [16]*pkixtest.Authority
			for i := range all {
				all[i] = pkixtest.Root(t, name(i), now)
			}
			for _, a := range all {
				for _, b := range all {
					if a != b {
						subs = append(subs, cross(t, a, b))
					}
				}
			}
			return all[0].Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now), subs
		},
		"slow keys of one name": func() (leaf *x509.Certificate, subs []*x509.Certificate) {
			var last *pkixtest.Authority
			for range 15 {
				key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				last = slow(t, key)
				subs = append(subs, last.Cert)
			}
			return cross(t, slow(t, must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))), pkixtest.Root(t, "Ada", now)), subs
		},
	}
	mazes["slow keys of RSA"] = func() (leaf *x509.Certificate, subs []*x509.Certificate) {
		base := pkixtest.Root(t, "Slow", now)
		for i := range 60 {
			n := new(big.Int).Lsh(big.NewInt(1), 8191)
			spki, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.Add(n, big.NewInt(int64(2*i+1))), E: 1<<31 - 1})
			if err != nil {
				t.Fatal(err)
			}
			subs = append(subs, pkixtest.Forge(t, base.Cert, base.Key, func(b *pkixtest.Body) { b.Key = asn1.RawValue{FullBytes: spki} }))
		}
		// Signed, as it seems, by RSA.
		leaf = pkixtest.Forge(t, base.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now), rsaSigner{}, func(b *pkixtest.Body) {
			b.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
			b.Algorithm.Parameters = asn1.NullRawValue
		})
		return leaf, subs
	}
	for what, make := range mazes {
		t.Run(what, func(t *testing.T) {
			leaf, subs := make()
			o := pkix.Options{Anchors: []*x509.Certificate{anchor.Cert}, Intermediates: subs, Now: now}
			// Signatures that are known cost nothing, so that other bounds must do.
			for _, known := range []func(cert, issuer *x509.Certificate) bool{nil, func(*x509.Certificate, *x509.Certificate) bool { return true }} {
				o.Signed = known
				quickly(t, func() {
					if _, err := pkix.Verify(leaf, o); err == nil {
						t.Error("accepted")
					}
				})
			}
		})
	}
}

// rsaSigner gives signatures of the right length that hold for nobody.
type rsaSigner struct{ crypto.Signer }

func (rsaSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	sig := make([]byte, 1024)
	_, err := rand.Read(sig[1:])
	return sig, err
}

func must(k *ecdsa.PrivateKey, err error) crypto.Signer {
	if err != nil {
		panic(err)
	}
	return k
}

// slow is an authority with a key of any kind, below nobody.
func slow(t testing.TB, key crypto.Signer) *pkixtest.Authority {
	t.Helper()
	tmpl := pkixtest.Root(t, "Slow", now)
	tmpl.Key = key
	id := pkixtest.ID(t, key.Public())
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), RawSubject: tmpl.Cert.RawSubject, NotBefore: tmpl.Cert.NotBefore, NotAfter: tmpl.Cert.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: id, MaxPathLen: -1,
	}, &x509.Certificate{RawSubject: tmpl.Cert.RawSubject, PublicKey: key.Public()}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if tmpl.Cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return tmpl
}
