package device

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
)

// The authority of a tenant.
const (
	// authorityName helps tools that search for device certificates by the
	// name of their issuer (device-protocol.md §5.2).
	authorityName = "MS-Organization-Access"
	authorityBits = 2048
	// authorityYears outlives every certificate of the first 30 years. [I]
	authorityYears = 40
	// backdate lets machines whose clock is behind take what is new. [I]
	backdate = 10 * time.Minute
	// purposeCA is the sealing key of authorities' private keys.
	purposeCA = "device.ca"
)

// authority gives the certificate of a tenant's authority; NotFound when it
// has none yet. It never changes, so it is read once.
func (r *Registry) authority(ctx context.Context, t idp.TenantID) (*x509.Certificate, error) {
	if known, ok := r.authorities.Load(t); ok {
		return known.(*x509.Certificate), nil
	}
	der, _, err := readAuthority(ctx, r.cfg.DB, t)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse the device authority of %s: %w", t, err)
	}
	r.authorities.Store(t, cert)
	return cert, nil
}

// signer gives the authority with its private key, made on first use. The key
// is opened for each use and not kept: joins are rare.
func (r *Registry) signer(ctx context.Context, t idp.TenantID) (*x509.Certificate, crypto.Signer, error) {
	der, sealed, err := readAuthority(ctx, r.cfg.DB, t)
	if errors.Is(err, idp.NotFound) {
		if err = r.makeAuthority(ctx, t); err != nil {
			return nil, nil, err
		}
		der, sealed, err = readAuthority(ctx, r.cfg.DB, t) // another node's, if it was faster
	}
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("parse the device authority of %s: %w", t, err)
	}
	seal, err := r.cfg.Keys(ctx, t, purposeCA)
	if err != nil {
		return nil, nil, err
	}
	raw, err := seal.Open(sealed, authorityAAD(t, cert))
	if err != nil {
		return nil, nil, fmt.Errorf("open the device authority of %s: %w", t, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("read the device authority of %s: %w", t, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("the device authority of %s cannot sign", t)
	}
	return cert, signer, nil
}

// authorityAAD binds a private key to its tenant and to its certificate.
func authorityAAD(t idp.TenantID, cert *x509.Certificate) []byte {
	return append([]byte("device.ca/"+string(t)+"/"), cert.SerialNumber.Bytes()...)
}

func (r *Registry) makeAuthority(ctx context.Context, t idp.TenantID) error {
	seal, err := r.cfg.Keys(ctx, t, purposeCA)
	if err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, authorityBits)
	if err != nil {
		return fmt.Errorf("make the key of a device authority: %w", err)
	}
	template := authorityTemplate(t, r.now())
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("certify the device authority of %s: %w", t, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("parse the new device authority of %s: %w", t, err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the key of a device authority: %w", err)
	}
	return insertAuthority(ctx, r.cfg.DB, t, der, seal.Seal(raw, authorityAAD(t, cert)), r.now())
}

// authorityTemplate is a CA below which there is none, for client
// authentication alone, and for no name that a TLS server could have: every
// DNS name, address, mail address and URI is excluded (security.md DEV02).
func authorityTemplate(t idp.TenantID, now time.Time) *x509.Certificate {
	everything := func(bytes int) *net.IPNet {
		return &net.IPNet{IP: make(net.IP, bytes), Mask: make(net.IPMask, bytes)}
	}
	return &x509.Certificate{
		SerialNumber: serial(),
		Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: oidOrganizationalUnit, Value: string(t)},
			{Type: oidCommonName, Value: authorityName},
		}},
		NotBefore: now.Add(-backdate), NotAfter: now.AddDate(authorityYears, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		PermittedDNSDomainsCritical: true, ExcludedDNSDomains: []string{""},
		ExcludedIPRanges:       []*net.IPNet{everything(net.IPv4len), everything(net.IPv6len)},
		ExcludedEmailAddresses: []string{""},
		ExcludedURIDomains:     []string{""},
		SignatureAlgorithm:     x509.SHA256WithRSA,
	}
}

var (
	oidCommonName         = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidOrganizationalUnit = asn1.ObjectIdentifier{2, 5, 4, 11}
)

// serial is 126 random bits, positive and never shorter (RFC 5280, §4.1.2.2).
func serial() *big.Int {
	b := secret.Bytes(16)
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b)
}

// certify makes the certificate of d, and fills in its end and thumbprint.
func (r *Registry) certify(ctx context.Context, d *Device) ([]byte, error) {
	ca, key, err := r.signer(ctx, d.Tenant)
	if err != nil {
		return nil, err
	}
	template, err := certificateTemplate(*d)
	if err != nil {
		return nil, err
	}
	parent := *ca
	parent.SubjectKeyId = nil // the profile has no key identifiers
	der, err := x509.CreateCertificate(rand.Reader, template, &parent, d.Key, key)
	if err != nil {
		return nil, fmt.Errorf("certify device %s: %w", d.ID, err)
	}
	sum := sha1.Sum(der) //nolint:gosec // a name that clients expect; nothing rests on it
	d.Certified, d.Thumbprint = template.NotAfter, strings.ToUpper(hex.EncodeToString(sum[:]))
	return der, nil
}
