package tpmtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// Maker is a maker of TPMs, with a root of its own.
type Maker struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	Root *x509.Certificate
}

// NewMaker makes a maker whose certificates are good around now.
func NewMaker(t testing.TB, now time.Time) *Maker {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "TPM maker"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Maker{t, key, root}
}

// Roots is the pool of this maker alone.
func (m *Maker) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(m.Root)
	return pool
}

// Endorse certifies the endorsement key of a TPM, as makers do: the TPM's names
// are a directory name, which is critical. change, which may be nil, makes it
// otherwise.
func (m *Maker) Endorse(tpm *TPM, change func(*x509.Certificate)) []byte {
	m.t.Helper()
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](tpm.EK)
	if err != nil {
		m.t.Fatal(err)
	}
	key, err := tpm2.Pub(*area)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.EndorseKey(key, change)
}

// EndorseKey is Endorse of any key.
func (m *Maker) EndorseKey(key crypto.PublicKey, change func(*x509.Certificate)) []byte {
	m.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: m.Root.NotBefore, NotAfter: m.Root.NotAfter, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageKeyEncipherment, UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: directoryName(m.t)}},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, m.Root, key, m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	return der
}

// directoryName is a subjectAltName with the TPM's maker, model and version
// (TCG EK Credential Profile 2.5, §3.2.9).
func directoryName(t testing.TB) []byte {
	t.Helper()
	var names pkix.RDNSequence
	for n, value := range []string{"id:53494700", "emulated", "id:00010002"} {
		names = append(names, pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 23, 133, 2, 1 + n}, Value: value}})
	}
	dn, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	out, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: dn}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
