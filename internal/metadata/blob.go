package metadata

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// Limits of a list. The published one has some 8 MiB.
const (
	maxBlob   = 32 << 20
	maxHeader = 64 << 10
	maxChain  = 8
)

// anchor is whom a list must be signed by.
type anchor struct {
	roots  []*x509.Certificate
	domain string // "" for any name, where the root certifies nobody else
}

// header is the protected header of the list (MDS §3.1.7).
type header struct {
	Alg  string          `json:"alg"`
	Typ  string          `json:"typ"`
	X5C  []string        `json:"x5c"`
	X5U  json.RawMessage `json:"x5u"`
	Crit json.RawMessage `json:"crit"`
	B64  json.RawMessage `json:"b64"`
	Zip  json.RawMessage `json:"zip"`
}

// verify follows MDS §3.2 steps 3 to 6, at a time: the chain in the header must
// lead to the anchor, and its first certificate must have signed the list. It
// returns the payload and the path, from that certificate to the anchor. Errors are Unproven; nothing of the list was believed.
//
// A list without x5c, or with x5u, is refused: the service has never made one,
// and following an address in an unproven header would be somebody's tool.
func verify(blob []byte, a anchor, at time.Time) (payload []byte, chain []*x509.Certificate, err error) {
	if len(blob) > maxBlob {
		return nil, nil, idp.Unprovenf("metadata_too_large", "list of %d bytes", len(blob))
	}
	blob = bytes.TrimSpace(blob)
	first, last := bytes.IndexByte(blob, '.'), bytes.LastIndexByte(blob, '.')
	if bytes.Count(blob, []byte{'.'}) != 2 || first > maxHeader {
		return nil, nil, idp.Unprovenf("metadata_malformed", "the list is not a signed message of three parts")
	}
	raw, err := unbase64(blob[:first])
	if err != nil {
		return nil, nil, idp.Unprovenf("metadata_malformed", "header: %w", err)
	}
	var h header
	if err := jose.Strict(raw, &h); err != nil {
		return nil, nil, idp.Unprovenf("metadata_malformed", "header: %w", err)
	}
	if h.X5U != nil || h.Crit != nil || h.B64 != nil || h.Zip != nil {
		return nil, nil, idp.Unprovenf("metadata_malformed", "header has x5u, crit, b64 or zip")
	}
	chain, err = a.judge(h.X5C, at)
	if err != nil {
		return nil, nil, err
	}
	signature, err := unbase64(blob[last+1:])
	if err != nil {
		return nil, nil, idp.Unprovenf("metadata_malformed", "signature: %w", err)
	}
	if err := signed(blob[:last], signature, h.Alg, chain[0].PublicKey); err != nil {
		return nil, nil, err
	}
	payload, err = unbase64(blob[first+1 : last])
	if err != nil {
		return nil, nil, idp.Unprovenf("metadata_malformed", "payload: %w", err)
	}
	return payload, chain, nil
}

// unbase64 decodes base64url as RFC 7515, Section 2 has it.
func unbase64(text []byte) ([]byte, error) {
	if bytes.ContainsAny(text, "\r\n") {
		return nil, errors.New("line break in base64url")
	}
	enc := base64.RawURLEncoding.Strict()
	out := make([]byte, enc.DecodedLen(len(text)))
	n, err := enc.Decode(out, text)
	return out[:n], err
}

// judge parses the chain and leads it to an anchor.
func (a anchor) judge(x5c []string, at time.Time) ([]*x509.Certificate, error) {
	if len(x5c) == 0 || len(x5c) > maxChain {
		return nil, idp.Unprovenf("metadata_chain", "chain of %d certificates", len(x5c))
	}
	var leaf *x509.Certificate
	between, roots := x509.NewCertPool(), x509.NewCertPool()
	for i, text := range x5c {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, idp.Unprovenf("metadata_chain", "certificate %d: %w", i, err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, idp.Unprovenf("metadata_chain", "certificate %d: %w", i, err)
		}
		if i == 0 {
			leaf = cert
		} else {
			between.AddCert(cert)
		}
	}
	for _, r := range a.roots {
		roots.AddCert(r)
	}
	paths, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, idp.Unprovenf("metadata_chain", "signing certificate of %q: %w", leaf.Subject.CommonName, err)
	}
	if a.domain != "" && !names(leaf, a.domain) {
		return nil, idp.Unprovenf("metadata_signer", "signed by %q, not by %s", leaf.Subject.CommonName, a.domain)
	}
	return paths[0], nil
}

// signed checks the signature (RFC 7518, Sections 3.3 and 3.4). The algorithm
// must be the one that the key of the certificate is for, whatever the header
// says. Done here rather than by go-jose, which makes four copies of the ten
// megabytes it is given.
func signed(input, signature []byte, alg string, key crypto.PublicKey) error {
	sum := sha256.Sum256(input)
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); alg != "RS256" || bits < 2048 || bits > 8192 {
			break
		}
		if err := rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], signature); err != nil {
			return idp.Unprovenf("metadata_signature", "%w", err)
		}
		return nil
	case *ecdsa.PublicKey:
		if alg != "ES256" || k.Curve != elliptic.P256() {
			break
		}
		if len(signature) != 64 || !ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			return idp.Unprovenf("metadata_signature", "signature does not verify")
		}
		return nil
	}
	return idp.Unprovenf("metadata_algorithm", "algorithm %.20q with a key of type %T", alg, key)
}
