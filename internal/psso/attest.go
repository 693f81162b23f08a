package psso

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
)

// What the certificate of an attested key says, in extensions whose values are
// the bytes themselves (apple-platform-sso.md §9.4) [O].
var (
	oidFreshness = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8, 11, 1} // clientDataHash
	oidSerial    = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8, 9, 1}
	oidUDID      = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8, 9, 2}
)

// The bounds of a chain.
const (
	maxChain       = 5
	maxCertificate = 8 << 10 // bytes
	maxIdentifier  = 64      // of a serial number or UDID
)

// Hardware is what an attestation shows of the Mac itself: both empty unless the
// profile has AllowDeviceIdentifiersInAttestation.
type Hardware struct{ Serial, UDID string }

// Known says whether it names one Mac among all.
func (h Hardware) Known() bool { return h.Serial != "" && h.UDID != "" }

// Attested checks the attestation of a key (apple-platform-sso.md §9.4): chain
// has certificates in DER, the key's own first, and leads to one of roots; that
// one certifies this key, and was made for hash. What is wrong is an error, for
// the record; whether it matters is policy's to say.
func Attested(roots *x509.CertPool, now time.Time, chain [][]byte, key *ecdsa.PublicKey, hash []byte) (Hardware, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return Hardware{}, fmt.Errorf("chain of %d certificates", len(chain))
	}
	var leaf *x509.Certificate
	between := x509.NewCertPool()
	for n, der := range chain {
		if len(der) > maxCertificate {
			return Hardware{}, fmt.Errorf("certificate of %d bytes", len(der))
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return Hardware{}, fmt.Errorf("certificate %d: %w", n, err)
		}
		if n == 0 {
			leaf = c
			continue
		}
		between.AddCert(c)
	}
	if leaf.IsCA {
		return Hardware{}, errors.New("the certificate is of an authority")
	}
	if pub, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(key) {
		return Hardware{}, errors.New("it is about another key")
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return Hardware{}, fmt.Errorf("chain: %w", err)
	}
	fresh, ok := extension(leaf, oidFreshness)
	if !ok || !bytes.Equal(fresh, hash) {
		return Hardware{}, errors.New("it was made for another request") // macOS keeps them for a while [?]
	}
	return Hardware{Serial: identifier(leaf, oidSerial), UDID: identifier(leaf, oidUDID)}, nil
}

// extension is the value of the one extension of that name. x509 refuses
// certificates that have two.
func extension(c *x509.Certificate, oid asn1.ObjectIdentifier) ([]byte, bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(oid) {
			return e.Value, true
		}
	}
	return nil, false
}

// identifier is a name of the hardware; what can be none is left out.
func identifier(c *x509.Certificate, oid asn1.ObjectIdentifier) string {
	raw, _ := extension(c, oid)
	odd := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-'
	}
	if len(raw) > maxIdentifier || bytes.ContainsFunc(raw, odd) {
		return ""
	}
	return string(raw)
}

// deviceHash is what attestations of the keys of a Mac are made for.
func deviceHash(nonce string, signing, encryption pssowire.KeyID) []byte {
	return clientData(nonce, signing[:], encryption[:])
}

// clientData is SHA-256 of a nonce's text, a zero and the names of keys.
func clientData(nonce string, kids ...[]byte) []byte {
	h := sha256.New()
	h.Write([]byte(nonce))
	h.Write([]byte{0})
	for _, k := range kids {
		h.Write(k)
	}
	return h.Sum(nil)
}

// attestation is what became of the attestation of a Mac's keys.
type attestation struct {
	good bool // of both keys
	Hardware
	fault string // why it is not, for the record; empty when none came
}

// attest judges the attestation of a Mac's keys. One that is wrong is not a
// refusal: macOS sends old ones when it is asked often. Nobody believes it then.
func (s *Server) attest(rules policy.DeviceRules, sent *pssowire.Attestation, nonce string, signing, encryption publicKey) attestation {
	if rules.Attestation == policy.AttestationNone || sent == nil {
		return attestation{}
	}
	hash, now := deviceHash(nonce, signing.id, encryption.id), s.cfg.Now()
	var first Hardware
	for n, k := range []struct {
		chain []string
		key   publicKey
	}{{sent.Signing, signing}, {sent.Encryption, encryption}} {
		chain, err := decodeChain(k.chain)
		if err != nil {
			return attestation{fault: err.Error()}
		}
		shown, err := Attested(s.cfg.Roots, now, chain, k.key.public, hash)
		if err != nil {
			return attestation{fault: err.Error()}
		}
		if n == 0 {
			first = shown
		} else if shown != first {
			return attestation{fault: "the two keys are of two Macs"}
		}
	}
	return attestation{good: true, Hardware: first}
}

// decodeChain reads certificates in base64. That they are any, Attested says.
func decodeChain(texts []string) ([][]byte, error) {
	if len(texts) > maxChain {
		return nil, fmt.Errorf("chain of %d certificates", len(texts))
	}
	out := make([][]byte, len(texts))
	for n, text := range texts {
		raw, err := jose.Unbase64(text)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", n, err)
		}
		out[n] = raw
	}
	return out, nil
}

// mustAttest says whether a tenant takes only keys that are attested.
func mustAttest(r policy.DeviceRules) bool {
	return r.Attestation == policy.AttestationRequired || r.Attestation == policy.AttestationAlways
}

func errAttestation(format string, args ...any) error {
	return idp.Deniedf("attestation_required", format, args...).Coded(policy.CodeJoin).
		Say("Your organisation admits only Macs whose keys can be verified.")
}
