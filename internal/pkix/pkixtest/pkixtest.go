package pkixtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// Authority is a certificate authority with its key.
type Authority struct {
	Cert *x509.Certificate
	Key  crypto.Signer
	t    testing.TB
	next int64
}

// Change alters a template before it is signed.
type Change func(*x509.Certificate)

// RSAKey makes a key of 2048 bits.
func RSAKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ECKey makes a P-256 key.
func ECKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ID is the subject key identifier of a key (RFC 5280 §4.2.1.2, method 1).
func ID(t testing.TB, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(spki.Key.Bytes)
	return sum[:]
}

func authority(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"Nordhafen"}, CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PolicyIdentifiers: nil, MaxPathLen: -1,
	}
}

// Root makes a self-signed authority that is valid around now.
func Root(t testing.TB, name string, now time.Time, changes ...Change) *Authority {
	t.Helper()
	a := &Authority{Key: ECKey(t), t: t, next: 1}
	tmpl := authority(name, now)
	tmpl.SerialNumber, tmpl.SubjectKeyId = big.NewInt(1), ID(t, a.Key.Public())
	for _, c := range changes {
		c(tmpl)
	}
	a.Cert = sign(t, tmpl, tmpl, a.Key.Public(), a.Key)
	return a
}

// Sub makes an authority below a.
func (a *Authority) Sub(name string, now time.Time, changes ...Change) *Authority {
	a.t.Helper()
	sub := &Authority{Key: ECKey(a.t), t: a.t, next: 1}
	tmpl := authority(name, now)
	sub.Cert = a.issue(tmpl, sub.Key.Public(), changes)
	return sub
}

// UPN is an other name in a subject alternative name: what PrincipalName reads.
var oidUPN = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}

// Leaf issues a certificate for client authentication by key, valid for a
// year: upn, when not empty, is its principal name.
func (a *Authority) Leaf(key crypto.PublicKey, name, upn string, now time.Time, changes ...Change) *x509.Certificate {
	a.t.Helper()
	tmpl := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"Nordhafen"}, CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(365 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if upn != "" {
		tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, PrincipalNames(a.t, upn))
	}
	return a.issue(tmpl, key, changes)
}

// PrincipalNames is a subject alternative name with these principal names.
func PrincipalNames(t testing.TB, names ...string) pkix.Extension {
	t.Helper()
	var all []asn1.RawValue
	for _, n := range names {
		id, err := asn1.Marshal(oidUPN)
		if err != nil {
			t.Fatal(err)
		}
		text, err := asn1.MarshalWithParams(n, "utf8")
		if err != nil {
			t.Fatal(err)
		}
		value, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: text})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: append(id, value...)})
	}
	der, err := asn1.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}
}

func (a *Authority) issue(tmpl *x509.Certificate, key crypto.PublicKey, changes []Change) *x509.Certificate {
	a.t.Helper()
	a.next++
	tmpl.SerialNumber, tmpl.SubjectKeyId = big.NewInt(a.next), ID(a.t, key)
	for _, c := range changes {
		c(tmpl)
	}
	return sign(a.t, tmpl, a.Cert, key, a.Key)
}

func sign(t testing.TB, tmpl, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// CRL is a list of a that names these serial numbers as revoked an hour before
// now; it ends after a week. number is its CRL number.
func (a *Authority) CRL(now time.Time, number int64, serials ...*big.Int) []byte {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(7 * 24 * time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: now.Add(-time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Cert, a.Key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// PEM writes certificates one after the other.
func PEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
