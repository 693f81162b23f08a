package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The local authority certifies the TLS listener on this machine when nobody
// gave it a certificate (decisions 6.2). Whoever trusts it trusts it for
// localhost alone: its name constraints say so to every verifier.
const (
	localCAFile = "local-ca.pem"
	localCAKey  = "local-ca.key"
	// localCALives is how long it lives, localCARenew what must be left of
	// that at a start; with less, a new one is made.
	localCALives = 30 * 24 * time.Hour
	localCARenew = 10 * 24 * time.Hour
)

// loopbackNets are the addresses that the local authority may certify.
var loopbackNets = []*net.IPNet{
	{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
	{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
}

// authority is the local authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string // of the certificate, PEM
}

// openLocalCA reads the authority of the data folder, or makes one when there
// is none that lives long enough.
func openLocalCA(dir string, now time.Time) (*authority, error) {
	a, err := readLocalCA(dir)
	if err == nil && now.Add(localCARenew).Before(a.cert.NotAfter) && now.After(a.cert.NotBefore) {
		return a, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return makeLocalCA(dir, now)
}

func readLocalCA(dir string) (*authority, error) {
	path, keyPath := filepath.Join(dir, localCAFile), filepath.Join(dir, localCAKey)
	if info, err := os.Stat(keyPath); err == nil {
		if err := ownersOnly("key of the local authority", keyPath, info); err != nil {
			return nil, err
		}
	}
	pair, err := tls.LoadX509KeyPair(path, keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("the local authority in %s and %s cannot be used: %w; remove both files, and the next start makes new ones", path, keyPath, err)
	}
	return &authority{cert: pair.Leaf, key: key, path: path}, nil
}

func makeLocalCA(dir string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	der, err := sign(&x509.Certificate{
		Subject:  pkix.Name{CommonName: "Signet on " + host + ", localhost only"},
		IsCA:     true, // and none below it
		KeyUsage: x509.KeyUsageCertSign, MaxPathLenZero: true, BasicConstraintsValid: true,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"localhost"}, PermittedIPRanges: loopbackNets,
		// What is not named here could be certified freely.
		PermittedURIDomains: []string{"localhost"}, PermittedEmailAddresses: []string{"localhost"},
	}, nil, key, key, now, localCALives)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	secretKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	a := &authority{cert: cert, key: key, path: filepath.Join(dir, localCAFile)}
	// The certificate goes last: without it the key is nothing, and the next
	// start makes both anew.
	for _, f := range []struct {
		name, kind string
		der        []byte
	}{{localCAKey, "PRIVATE KEY", secretKey}, {localCAFile, "CERTIFICATE", der}} {
		if err := replaceFile(filepath.Join(dir, f.name), pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// replaceFile puts text in the place of a file that only its owner may read,
// whole or not at all.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return diskError(path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return diskError(path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return diskError(path, err)
	}
	return nil
}

// leaf makes the listener's certificate. It lives in memory alone, and ends
// with the authority.
func (a *authority) leaf(now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "localhost"}, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}, a.cert, key, a.key, now, a.cert.NotAfter.Sub(now))
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}, nil
}

// sign makes a certificate; without a parent it is its own.
func sign(c, parent *x509.Certificate, key, by *ecdsa.PrivateKey, now time.Time, lives time.Duration) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	c.SerialNumber = serial
	c.NotBefore, c.NotAfter = now.Add(-time.Minute), now.Add(lives)
	if parent == nil {
		parent = c
	}
	return x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
}
