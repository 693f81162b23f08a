package psso_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"

	"github.com/signetid/signet/internal/psso"
	"github.com/signetid/signet/internal/pssowire"
)

// What an attestation must be, each alone (apple-platform-sso.md §9.4). The
// authority is a stand-in for Apple's.
func TestSec_DEV11_MacAttestation(t *testing.T) {
	m, h, now := newMaker(t), newHardware(), time.Now()
	hash := make([]byte, 32)
	hash[0] = 7
	key := &h.signing.PublicKey
	if got, err := psso.Attested(m.roots, now, m.ders(t, key, hash, h), key, hash); err != nil || got.Serial != h.serial || got.UDID != h.udid || !got.Known() {
		t.Fatalf("a good one: %+v, %v", got, err)
	}
	other := newMaker(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set := func(f func(*certified)) [][]byte { return m.ders(t, key, hash, h, f) }
	for what, chain := range map[string][][]byte{
		"none":              nil,
		"by another maker":  other.ders(t, key, hash, h),
		"signed by nobody":  set(func(c *certified) { c.by, c.key = nil, h.signing }),
		"without the CA":    set(func(c *certified) { c.without = true }),
		"for another key":   m.ders(t, &h.encryption.PublicKey, hash, h),
		"for an RSA key":    set(func(c *certified) { c.about = &rsaKey.PublicKey }),
		"another freshness": set(func(c *certified) { c.freshness = make([]byte, 32) }),
		"no freshness":      set(func(c *certified) { c.freshness = nil }),
		"freshness, longer": set(func(c *certified) { c.freshness = append(append([]byte{}, hash...), 0) }),
		"freshness in an OCTET STRING": set(func(c *certified) {
			c.freshness, _ = asn1.Marshal(hash)
		}),
		"over": set(func(c *certified) {
			c.template.NotBefore, c.template.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour)
		}),
		"not yet": set(func(c *certified) {
			c.template.NotBefore, c.template.NotAfter = now.Add(time.Hour), now.Add(2*time.Hour)
		}),
		"of an authority": set(func(c *certified) {
			c.template.IsCA, c.template.BasicConstraintsValid, c.template.KeyUsage = true, true, x509.KeyUsageCertSign
		}),
		"with something critical": set(func(c *certified) {
			c.template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}),
		"in the name of the CA": set(func(c *certified) {
			k := ecKey()
			c.key, c.by = k, issue(t, nil, k, &k.PublicKey, &x509.Certificate{
				Subject: m.between.Subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
			})
		}),
		"no certificate": {[]byte("nonsense")},
		"too long":       {make([]byte, 9<<10)},
		"too many":       append(m.ders(t, key, hash, h), m.root.Raw, m.root.Raw, m.root.Raw, m.root.Raw),
	} {
		if got, err := psso.Attested(m.roots, now, chain, key, hash); err == nil || got != (psso.Hardware{}) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	if _, err := psso.Attested(x509.NewCertPool(), now, m.ders(t, key, hash, h), key, hash); err == nil {
		t.Error("without roots")
	}
	// The root may come along, and then counts for nothing but itself.
	if _, err := psso.Attested(m.roots, now, append(m.ders(t, key, hash, h), m.root.Raw), key, hash); err != nil {
		t.Errorf("with the root: %v", err)
	}
}

// What names hardware is letters, digits and hyphens, or is left out.
func TestIdentifiers(t *testing.T) {
	m, h, now := newMaker(t), newHardware(), time.Now()
	hash := make([]byte, 32)
	for serial, want := range map[string]string{"": "", "C02ABC123": "C02ABC123", "a b": "", "C02\x00": "", "<b>": "", string(make([]byte, 65)): ""} {
		chain := m.ders(t, &h.signing.PublicKey, hash, h, func(c *certified) { c.serial = serial })
		got, err := psso.Attested(m.roots, now, chain, &h.signing.PublicKey, hash)
		if err != nil || got.Serial != want || got.Known() != (want != "") {
			t.Errorf("%q: %+v, %v", serial, got, err)
		}
	}
}

// Both keys must be shown, to be in one Mac, for this very request.
func TestSec_DEV11_BothKeys(t *testing.T) {
	w := liteOffice(t)
	for what, change := range map[string]func(h *hardware, c *pssowire.Device){
		"the signing key alone":    func(_ *hardware, c *pssowire.Device) { c.Attestation.Encryption = nil },
		"the encryption key alone": func(_ *hardware, c *pssowire.Device) { c.Attestation.Signing = nil },
		"one for the other": func(_ *hardware, c *pssowire.Device) {
			c.Attestation.Signing, c.Attestation.Encryption = c.Attestation.Encryption, c.Attestation.Signing
		},
		"twice the signing key": func(_ *hardware, c *pssowire.Device) { c.Attestation.Encryption = c.Attestation.Signing },
		"of two Macs": func(h *hardware, c *pssowire.Device) {
			moved := *h
			moved.serial = "C02XYZ789"
			c.Attestation.Encryption = w.maker.chain(t, &h.encryption.PublicKey, deviceData(c.RequestNonce, &h.signing.PublicKey, &h.encryption.PublicKey), &moved)
		},
		"for other keys": func(h *hardware, c *pssowire.Device) {
			sum := deviceData(c.RequestNonce, &h.signing.PublicKey)
			c.Attestation.Signing, c.Attestation.Encryption = w.maker.chain(t, &h.signing.PublicKey, sum, h), w.maker.chain(t, &h.encryption.PublicKey, sum, h)
		},
		"too long": func(_ *hardware, c *pssowire.Device) {
			c.Attestation.Signing = append(c.Attestation.Signing, make([]string, 5)...)
		},
		"no base64": func(_ *hardware, c *pssowire.Device) { c.Attestation.Signing = []string{"?"} },
	} {
		h := newHardware()
		m := w.join(w.ada, h, func(c *pssowire.Device) { w.attest(h, c); change(h, c) })
		if m.Assurance != "unattested" {
			t.Errorf("%s: %s", what, m.Assurance)
		}
		if w.changes("device.join")[0].Detail["attestation"] == "" {
			t.Errorf("%s: the record does not say why", what)
		}
	}
}

func FuzzAttested(f *testing.F) {
	m, h := newMaker(f), newHardware()
	hash := make([]byte, 32)
	key := &h.signing.PublicKey
	good := m.ders(f, key, hash, h)
	f.Add(good[0], good[1])
	f.Add(m.root.Raw, []byte{})
	now := time.Now()
	f.Fuzz(func(t *testing.T, leaf, between []byte) {
		got, err := psso.Attested(m.roots, now, [][]byte{leaf, between}, key, hash)
		if err == nil && !certifies(leaf, key) {
			t.Errorf("%+v", got)
		}
	})
}

// certifies says whether a certificate is about a key.
func certifies(der []byte, key *ecdsa.PublicKey) bool {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	pub, ok := c.PublicKey.(*ecdsa.PublicKey)
	return ok && pub.Equal(key)
}
