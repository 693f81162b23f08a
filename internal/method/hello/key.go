package hello

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// What a weak key is refused with, and one that is registered already.
const (
	codeWeak = 50032 // [K] entra-behaviours.md §6.2, WeakRsaKey

	sayWeak = "This key is not strong enough: RSA keys have 2048 bits or more, a sound exponent, and come from no generator that is known to be broken."
)

// key is a user key as it is registered.
type key struct {
	public crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey on P-256
	spki   []byte           // DER
	kid    []byte           // SHA-256, what clients name it by
	print  []byte           // SHA-256 of spki
}

// magic begins an RSA1 blob; maxKey is more than the largest key that is
// accepted takes.
const (
	magic  = "RSA1"
	maxKey = 2048
)

// parseKey reads a new key, in one of its two forms, each in the one way in
// which it can be written. Errors are Invalid.
func parseKey(raw []byte) (key, error) {
	if len(raw) > maxKey {
		return key{}, malformed("key of %d bytes", len(raw))
	}
	if bytes.HasPrefix(raw, []byte(magic)) {
		public, err := jose.ParseRSA1(raw)
		switch {
		case err == nil:
			return newKey(public)
		case idp.AsError(err).Reason == "key_refused": // it could be read
			return key{}, weak("%w", err)
		}
		return key{}, malformed("%w", err)
	}
	public, err := x509.ParsePKIXPublicKey(raw)
	if err != nil {
		return key{}, malformed("key: %w", err)
	}
	k, err := newKey(public)
	if err == nil && !bytes.Equal(raw, k.spki) {
		err = malformed("key is not in its one DER encoding")
	}
	return k, err
}

// newKey judges a public key and names it.
func newKey(public crypto.PublicKey) (key, error) {
	k := key{public: public}
	var named []byte
	switch p := public.(type) {
	case *rsa.PublicKey:
		if p.N.Bit(0) == 0 {
			return key{}, weak("even modulus")
		}
		if _, err := jose.Usable(p); err != nil {
			return key{}, weak("%w", err)
		}
		named = jose.RSA1(p)
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return key{}, weak("curve %s", p.Curve.Params().Name)
		}
	default:
		return key{}, weak("key of type %T", public)
	}
	var err error
	if k.spki, err = x509.MarshalPKIXPublicKey(public); err != nil {
		return key{}, malformed("key: %w", err)
	}
	if named == nil {
		named = k.spki
	}
	k.kid, k.print = fingerprint(named), fingerprint(k.spki)
	return k, nil
}

// algorithm is what a user key signs by.
func algorithm(public crypto.PublicKey) string {
	if _, ok := public.(*rsa.PublicKey); ok {
		return "RS256"
	}
	return "ES256"
}

func fingerprint(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

func malformed(format string, args ...any) error {
	return idp.Invalidf("key_malformed", format, args...).On("kngc").Say("This is no public key that can be read.")
}

func weak(format string, args ...any) error {
	return idp.Invalidf("key_weak", format, args...).Coded(codeWeak).On("kngc").Say(sayWeak)
}
