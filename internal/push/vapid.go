package push

import (
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
)

// vapid is the key pair that names this installation to push services (RFC
// 8292), in the texts that the library takes.
type vapid struct{ public, private string }

// Format keeps the private key out of every fmt verb.
func (*vapid) Format(f fmt.State, _ rune) { f.Write([]byte("vapid key")) }

// vapidAAD binds what is sealed to its place.
const vapidAAD = "vapid_key/1"

// PublicKey is the application server key that subscriptions of Web Push are
// made with: 65 bytes as base64url. The key is made when it is first asked
// for, and never changes: all subscriptions would be lost.
func (s *Service) PublicKey(ctx context.Context) (string, error) {
	v, err := s.keys(ctx)
	if err != nil {
		return "", err
	}
	return v.public, nil
}

// keys gives the installation's key pair, reading or making it once.
func (s *Service) keys(ctx context.Context) (*vapid, error) {
	if v := s.vapid.Load(); v != nil {
		return v, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.vapid.Load(); v != nil {
		return v, nil
	}
	if err := s.Prepare(ctx); err != nil {
		return nil, err
	}
	v, err := s.readVAPID(ctx)
	if errors.Is(err, idp.NotFound) {
		if err = s.makeVAPID(ctx); err != nil {
			return nil, err
		}
		v, err = s.readVAPID(ctx) // another node's, if it was faster
	}
	if err != nil {
		return nil, err
	}
	s.vapid.Store(v)
	return v, nil
}

func (s *Service) readVAPID(ctx context.Context) (*vapid, error) {
	public, sealed, err := vapidRow(ctx, s.cfg.DB)
	if err != nil {
		return nil, fmt.Errorf("read the VAPID key: %w", err)
	}
	raw, err := s.key.Load().Open(sealed, []byte(vapidAAD))
	if err != nil {
		return nil, fmt.Errorf("open the VAPID key: %w", err)
	}
	key, err := ecdh.P256().NewPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("VAPID key: %w", err)
	}
	// Who can write to the database must not have phones subscribe to a key of
	// his own.
	if !secret.Equal(public, key.PublicKey().Bytes()) {
		return nil, errors.New("the VAPID key in the database is not the one that is sealed beside it")
	}
	return &vapid{base64.RawURLEncoding.EncodeToString(public), base64.RawURLEncoding.EncodeToString(raw)}, nil
}

func (s *Service) makeVAPID(ctx context.Context) error {
	key, err := randomKey()
	if err != nil {
		return fmt.Errorf("make the VAPID key: %w", err)
	}
	sealed := s.key.Load().Seal(key.Bytes(), []byte(vapidAAD))
	if err := insertVAPID(ctx, s.cfg.DB, key.PublicKey().Bytes(), sealed, s.cfg.Now()); err != nil {
		return fmt.Errorf("store the VAPID key: %w", err)
	}
	return nil
}

// randomKey draws until it has a scalar of P-256: of 2^32 draws some one is
// none.
func randomKey() (key *ecdh.PrivateKey, err error) {
	for range 8 {
		if key, err = ecdh.P256().NewPrivateKey(secret.Bytes(32)); err == nil {
			return key, nil
		}
	}
	return nil, err
}
