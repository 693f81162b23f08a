package drs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-attestation/attest"
	"github.com/google/go-tpm/tpm2"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/jose"
)

// What certificates of endorsement keys may have (TCG EK Credential Profile
// 2.5, §3.5).
var (
	oidEndorsement = asn1.ObjectIdentifier{2, 23, 133, 8, 1} // tcg-kp-EKCertificate
	oidAltName     = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// maxIntermediates bounds the certificates that a machine sends along.
const maxIntermediates = 4

// endorsement gives the endorsement key of an attestation, when its certificate
// leads to a maker that we know, and nil when it does not. Certificates that
// cannot be read are an error.
func (s *Server) endorsement(a attestation) (crypto.PublicKey, error) {
	if a.EkCertificate == "" {
		return nil, nil
	}
	raw, err := jose.Unbase64(string(a.EkCertificate))
	if err != nil {
		return nil, err
	}
	cert, err := attest.ParseEKCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("EkCertificate: %w", err)
	}
	if err := matches(a, cert.PublicKey); err != nil {
		return nil, err
	}
	between := x509.NewCertPool()
	if len(a.EkIntermediates) > maxIntermediates {
		return nil, fmt.Errorf("%d intermediate certificates", len(a.EkIntermediates))
	}
	for _, text := range a.EkIntermediates {
		raw, err := jose.Unbase64(string(text))
		if err != nil {
			return nil, err
		}
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil, fmt.Errorf("EkIntermediates: %w", err)
		}
		between.AddCert(c)
	}
	if !activates(cert.PublicKey) || !endorses(cert) {
		return nil, nil
	}
	// The names of a TPM are a directory name, which crypto/x509 does not read
	// and, when it is critical, refuses. We compare none.
	cert.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(cert.UnhandledCriticalExtensions), oidAltName.Equal)
	_, err = cert.Verify(x509.VerifyOptions{
		Roots: s.cfg.Roots, Intermediates: between, CurrentTime: s.cfg.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, nil //nolint:nilerr // a maker that we do not know is no error
	}
	return cert.PublicKey, nil
}

// matches checks that EkPublic, where it is sent, is the certificate's.
func matches(a attestation, key crypto.PublicKey) error {
	if a.EkPublic == "" {
		return nil
	}
	raw, err := jose.Unbase64(string(a.EkPublic))
	if err != nil {
		return err
	}
	pub, err := exactly[tpm2.TPMTPublic](raw)
	if err != nil {
		return fmt.Errorf("EkPublic: %w", err)
	}
	ek, err := tpm2.Pub(*pub)
	if err != nil {
		return fmt.Errorf("EkPublic: %w", err)
	}
	if !device.Same(ek, key) {
		return errors.New("EkPublic is not the key of EkCertificate")
	}
	return nil
}

// endorses says whether a certificate is that of an endorsement key: it is for
// that, or does not say what for, and is of no authority.
func endorses(cert *x509.Certificate) bool {
	if cert.IsCA {
		return false
	}
	if len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.ContainsFunc(cert.UnknownExtKeyUsage, oidEndorsement.Equal)
}

// activates says whether a challenge can be made for an endorsement key: the two
// kinds of the TCG's low-range templates, whose cipher is AES-128.
func activates(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() == 2048
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256()
	}
	return false
}

// ReadRoots reads the certificates of TPM makers from a PEM file, or from all
// files of a folder, in PEM or DER. A file in which there is none is an error.
func ReadRoots(path string) (*x509.CertPool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	files := []string{path}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		files = nil
		for _, e := range entries {
			if e.Type().IsRegular() || e.Type()&fs.ModeSymlink != 0 {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	pool, n := x509.NewCertPool(), 0
	for _, file := range files {
		certs, err := readCertificates(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, c := range certs {
			pool.AddCert(c)
			n++
		}
	}
	if n == 0 {
		return nil, errors.New("there is no certificate")
	}
	return pool, nil
}

func readCertificates(file string) ([]*x509.Certificate, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if c, err := x509.ParseCertificate(raw); err == nil {
		return []*x509.Certificate{c}, nil
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	return out, nil
}
