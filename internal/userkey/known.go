package userkey

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"

	"github.com/signetid/signet/internal/cache"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// mostKnown bounds the keys that a node remembers, of which each has about a
// kilobyte.
const mostKnown = 8192

// hand is what a device names a key by.
type hand struct {
	tenant idp.TenantID
	device idp.DeviceID
	kid    string
}

// remember makes the store of keys that devices keep: every desk signs in with
// its one key every day, and keys change every few years. What was kept decides
// nothing alone: Touch asks in the transaction whether the key is still there.
// That there is none is not kept.
func (s *Managed[C]) remember() {
	size := mostKnown
	if s.cfg.Bus == nil {
		size = 0
	}
	s.known = cache.New(size, func(ctx context.Context, h hand) (Key, error) {
		k, err := s.kept(ctx, h.tenant, h.device, []byte(h.kid))
		if err == nil {
			// One that cannot be read stays what it is: PublicKey says why.
			k.public, _ = x509.ParsePKIXPublicKey(k.SPKI)
		}
		return k, err
	})
	if s.cfg.Bus != nil {
		s.cfg.Bus.Subscribe(s.topic(), func(string) { s.known.DropAll() })
	}
}

func (s *Managed[C]) topic() string { return "userkey." + string(s.cfg.Room) }

// changed tells every node that a key is not what it was. Keys change so seldom
// that all are read anew.
func (s *Managed[C]) changed(ctx context.Context, tx *sqldb.Tx, t idp.TenantID) error {
	if s.cfg.Bus == nil {
		return nil
	}
	if err := s.cfg.Bus.Publish(ctx, tx, s.topic(), string(t)); err != nil {
		return fmt.Errorf("tell of a %s: %w", s.cfg.Noun, err)
	}
	return nil
}

// PublicKey is what the key's signatures are verified with.
func (k Key) PublicKey() (crypto.PublicKey, error) {
	if k.public != nil {
		return k.public, nil
	}
	return x509.ParsePKIXPublicKey(k.SPKI)
}
