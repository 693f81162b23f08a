package psso

import (
	"context"
	"crypto/ecdh"
	"encoding/base64"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/secret"
)

// purposeExchange names the sealing key that exchange keys are made of.
const purposeExchange = "psso.exchange"

// exchangeKey is our half of a key agreement by which a Mac shows that it holds
// an encryption key, which signs nothing: made of the tenant's key and the nonce,
// so that nothing is kept, and good for that nonce alone
// (docs/macos-registration.md §3).
func (s *Server) exchangeKey(ctx context.Context, t idp.TenantID, nonce string) (*ecdh.PrivateKey, error) {
	key, err := s.cfg.Keys.Sealing(ctx, t, purposeExchange)
	if err != nil {
		return nil, err
	}
	for n := byte(0); ; n++ { // one number in 2^32 is none below the order of the curve
		own, err := ecdh.P256().NewPrivateKey(key.MAC([]byte("exchange"), []byte(nonce), []byte{n}))
		if err == nil || n == 255 {
			return own, err
		}
	}
}

// exchangePoint is the public half, as it is written.
func (s *Server) exchangePoint(ctx context.Context, t idp.TenantID, nonce string) (string, error) {
	own, err := s.exchangeKey(ctx, t, nonce)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(own.PublicKey().Bytes()), nil
}

// decrypts makes sure that whoever made the request holds the private half of
// an encryption key (security.md PSO01).
func (s *Server) decrypts(ctx context.Context, t idp.TenantID, key publicKey, nonce, proof string) error {
	own, err := s.exchangeKey(ctx, t, nonce)
	if err != nil {
		return err
	}
	agreed, err := pssowire.Secret(own, key.public)
	if err != nil {
		return err
	}
	said, err := base64.RawURLEncoding.Strict().DecodeString(proof)
	if err != nil || !secret.Equal(said, pssowire.EncryptionProof(agreed, nonce)) {
		return notHeld("encryption_proof", "proof of %d characters", len(proof))
	}
	return nil
}
