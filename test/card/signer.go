package card

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
)

// signer has the key of a card sign on it, as it does for a login window.
type signer struct{ c *Card }

// Signer is the card's key for who speaks no TLS with it.
func (c *Card) Signer() crypto.Signer { return signer{c} }

func (s signer) Public() crypto.PublicKey { return s.c.Public }

// digestInfo begins what RSA cards sign (RFC 8017, Section 9.2, note 1).
var digestInfo = map[crypto.Hash][]byte{
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
	crypto.SHA384: {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30},
	crypto.SHA512: {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40},
}

// Sign has the card sign a digest: PKCS #1 v1.5, or ECDSA in ASN.1.
func (s signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	switch s.c.Public.(type) {
	case *rsa.PublicKey:
		info, ok := digestInfo[opts.HashFunc()]
		if !ok {
			return nil, fmt.Errorf("the card does not sign %v", opts.HashFunc())
		}
		return s.raw("RSA-PKCS", append(append([]byte(nil), info...), digest...))
	case *ecdsa.PublicKey:
		raw, err := s.raw("ECDSA", digest)
		if err != nil || len(raw) != 64 {
			return nil, fmt.Errorf("the card gave %d bytes: %w", len(raw), err)
		}
		return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
	}
	return nil, fmt.Errorf("the card has a %T", s.c.Public)
}

// raw runs one mechanism of the card.
func (s signer) raw(mechanism string, data []byte) ([]byte, error) {
	dir, err := os.MkdirTemp("", "card")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, data, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("pkcs11-tool", "--module", module, "--token-label", "card", "--login", "--pin", pin, "--id", "01",
		"--sign", "--mechanism", mechanism, "--input-file", in, "--output-file", out)
	cmd.Env = s.c.Environment()
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pkcs11-tool: %w\n%s", err, said)
	}
	return os.ReadFile(out)
}
