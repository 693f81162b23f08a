package app

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/signetid/signet/internal/macprofile"
)

// Macs says which programs stand for this server on Macs, and whose word on a
// Mac's keys is believed. They are the installation's (decisions 5.2): each
// deployer signs them with a team of their own.
type Macs struct {
	Extension string // TEAMID.bundle of the single sign-on extension; empty, with App: no profiles for Macs
	App       string // TEAMID.bundle of the app that it comes in
	Roots     string // PEM file with the authorities of attestations; empty: none is believed
}

// The demo's placeholders: no developer team has this id, and no Mac will load
// what goes by it.
const (
	demoMacApp       = "DEMOTEAM00.example.signet.demo"
	demoMacExtension = demoMacApp + ".sso"
)

// appleRoot is the SHA-256 fingerprint of Apple's Enterprise Attestation Root CA,
// P-384, valid to 2047-02-20 [O] (apple-platform-sso.md §9.4).
const appleRoot = "ccf59ef8fcb3017d97f8b5fa6fa90e7a3f9283f76b55ac6cf6eda8b8b949f05b"

func (m Macs) check() error {
	if m.Extension == "" && m.App == "" {
		return nil
	}
	if m.Extension == "" || m.App == "" {
		return errors.New("mac-extension and mac-app go together: give both, or neither and there are no profiles for Macs")
	}
	var bad []error
	for _, of := range [][3]string{{"mac-extension", m.Extension, "com.example.mac.sso"}, {"mac-app", m.App, "com.example.mac"}} {
		if _, _, ok := macprofile.SplitApp(of[1]); !ok {
			bad = append(bad, fmt.Errorf("%s is %q: write the ten characters of your developer team, a dot and the bundle identifier, as ABCDE12345.%s", of[0], of[1], of[2]))
		}
	}
	if len(bad) == 0 && !strings.HasPrefix(m.Extension, m.App+".") {
		bad = append(bad, fmt.Errorf("mac-extension is %q, but an extension is of its app's team and has its app's bundle identifier with another part after it: write it as %s.sso", m.Extension, m.App))
	}
	return errors.Join(bad...)
}

// programs are the app and the extension; placeholder says that they are the
// demo's, which nobody has made.
func (c Config) programs() (app, extension string, placeholder bool) {
	if c.Macs.App == "" && c.Demo {
		return demoMacApp, demoMacExtension, true
	}
	return c.Macs.App, c.Macs.Extension, false
}

// roots loads the authorities of attestations, and says whether Apple's is one of
// them; nil when none are given.
func (m Macs) roots() (pool *x509.CertPool, apple bool, err error) {
	if m.Roots == "" {
		return nil, false, nil
	}
	bad := func(err error) (*x509.CertPool, bool, error) {
		return nil, false, fmt.Errorf("mac-roots %s cannot be used: %w; give Apple's Enterprise Attestation Root CA as a PEM file", m.Roots, err)
	}
	text, err := os.ReadFile(m.Roots)
	if err != nil {
		return bad(err)
	}
	pool = x509.NewCertPool()
	n := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return bad(err)
		}
		pool.AddCert(cert)
		sum := sha256.Sum256(cert.Raw)
		apple = apple || hex.EncodeToString(sum[:]) == appleRoot
		n++
	}
	if n == 0 {
		return bad(errors.New("there is no certificate"))
	}
	return pool, apple, nil
}

// macRoots is roots, with a line for the operator about what they are.
func (c Config) macRoots() (*x509.CertPool, error) {
	pool, apple, err := c.Macs.roots()
	switch {
	case err != nil || pool == nil:
	case apple:
		c.Log.Info("attestations of Macs are believed from Apple's Enterprise Attestation Root CA", "mac-roots", c.Macs.Roots)
	default:
		c.Log.Warn("mac-roots does not have Apple's Enterprise Attestation Root CA: attestations of real Macs will not be believed", "mac-roots", c.Macs.Roots)
	}
	return pool, err
}
