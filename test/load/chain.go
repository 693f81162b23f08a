package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"time"
)

// chain is an authority, one below it, and what that issues to people: all keys
// are P-256 ones.
type chain struct {
	root, inter       *x509.Certificate
	rootKey, interKey crypto.Signer
	last              int64 // serial number
}

func newChain() (*chain, error) {
	c := &chain{last: 2}
	var err1, err2, err error
	c.rootKey, err1 = newP256()
	c.interKey, err2 = newP256()
	if err = errors.Join(err1, err2); err != nil {
		return nil, err
	}
	root := authorityTemplate(1, "Load root")
	if c.root, err = issue(root, root, c.rootKey.Public(), c.rootKey); err != nil {
		return nil, err
	}
	c.inter, err = issue(authorityTemplate(2, "Load issuing"), c.root, c.interKey.Public(), c.rootKey)
	return c, err
}

func authorityTemplate(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func issue(tmpl, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// badge is a key with a certificate for somebody, ready for handshakes: the
// intermediate is sent along.
func (c *chain) badge(upn string) (tls.Certificate, error) {
	key, err := newP256()
	if err != nil {
		return tls.Certificate{}, err
	}
	c.last++
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(c.last), Subject: pkix.Name{CommonName: upn},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	names, err := principalName(upn)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl.ExtraExtensions = []pkix.Extension{names}
	leaf, err := issue(tmpl, c.inter, key.Public(), c.interKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, c.inter.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// principalName is a subject alternative name with a UPN.
func principalName(upn string) (pkix.Extension, error) {
	id, err1 := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3})
	text, err2 := asn1.MarshalWithParams(upn, "utf8")
	value, err3 := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: text})
	der, err4 := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: append(id, value...)}})
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}, errors.Join(err1, err2, err3, err4)
}

// list is what an authority has revoked: nothing.
func list(of *x509.Certificate, key crypto.Signer) ([]byte, error) {
	return x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(48 * time.Hour),
	}, of, key)
}

func pemCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// serverPair is a certificate for this machine by itself, with a P-256 key.
func serverPair() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	cert, err := issue(tmpl, tmpl, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}
