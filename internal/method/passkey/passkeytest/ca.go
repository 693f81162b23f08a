package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"
)

// CA is a maker of keys: it certifies what model an authenticator is.
type CA struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  time.Time
}

// NewCA makes a root that is valid for ten years around now.
func NewCA(now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "Passkeytest Root"},
		NotBefore:    now.AddDate(-5, 0, 0), NotAfter: now.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &CA{Cert: cert, key: key, now: now}, err
}

// Pool is the root as a set of anchors.
func (c *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.Cert)
	return p
}

// id-fido-gen-ce-aaguid (WebAuthn Level 3, §8.2.1).
var oidAAGUID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}

// attest signs message as a key of the model would; the certificate comes first.
func (c *CA) attest(aaguid [16]byte, message []byte) (sig []byte, chain [][]byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	ext, err := asn1.Marshal(aaguid[:])
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject: pkix.Name{
			Country: []string{"DE"}, Organization: []string{"Passkeytest"},
			OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: fmt.Sprintf("Model %x", aaguid[:4]),
		},
		NotBefore: c.now.AddDate(-1, 0, 0), NotAfter: c.now.AddDate(4, 0, 0), BasicConstraintsValid: true,
		ExtraExtensions: []pkix.Extension{{Id: oidAAGUID, Value: ext}},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, c.Cert, key.Public(), c.key)
	if err != nil {
		return nil, nil, err
	}
	digest := sha256.Sum256(message)
	sig, err = ecdsa.SignASN1(rand.Reader, key, digest[:])
	return sig, [][]byte{der}, err
}
