package userkey

import (
	"context"
	"errors"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// nobody has no keys: the person in whose place an unknown one is looked for.
const nobody idp.UserID = "-"

// Claimed finds the key that a message names by kid, of the person that it
// names: among those of the device first, which whoever sends this has shown to
// be. For all others the work is one: for a key of another device, an unknown
// one, and an unknown person (decisions 2.7). NotFound when there is none.
func (s *Store[C]) Claimed(ctx context.Context, t idp.TenantID, d idp.DeviceID, name string, kid []byte) (Key, error) {
	k, err := s.atHand(ctx, t, d, name, kid)
	if err == nil || !errors.Is(err, idp.NotFound) {
		return k, err
	}
	user, err := s.cfg.UserByName(ctx, t, name)
	if errors.Is(err, idp.NotFound) {
		user.ID = nobody
	} else if err != nil {
		return Key{}, err
	}
	return s.find(ctx, t, user.ID, kid)
}

// atHand is a key of the device that the message names, if it names the owner,
// too.
func (s *Managed[C]) atHand(ctx context.Context, t idp.TenantID, d idp.DeviceID, name string, kid []byte) (Key, error) {
	k, err := s.known.Get(ctx, hand{t, d, string(kid)})
	if err != nil {
		return Key{}, err
	}
	owner, err := s.cfg.User(ctx, t, k.User)
	if err == nil && s.cfg.Fold(owner.Name) != s.cfg.Fold(name) {
		err = idp.NotFoundf("key_unknown", "key of %s, claimed for %.80q", k.User, name)
	}
	return k, err
}

// Touch is what settles a sign-in: it notes the use of a key, if it is still
// there and its device, too. Unproven "credential_gone" when it is not.
func (s *Store[C]) Touch(k Key, now time.Time) func(context.Context, *sqldb.Tx) error {
	return func(ctx context.Context, tx *sqldb.Tx) error {
		ok, err := s.touch(ctx, tx, k, now)
		if err == nil && !ok {
			err = idp.Unprovenf("credential_gone", "key %s was removed meanwhile", k.ID)
		}
		return err
	}
}

// Held is the key of a person with a public key of that print (SHA-256 of its
// SubjectPublicKeyInfo), and its device, in tx or without one; gone says that
// the device is, or was. NotFound when they have no such key, or it was removed.
func (s *Store[C]) Held(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, print []byte) (_ Key, _ Machine, gone bool, err error) {
	var q sqldb.Querier = s.db
	if tx != nil {
		q = tx
	}
	k, err := s.one(ctx, q, `
		select {columns} from {key}
		where print = $3 and tenant_id = $1 and user_id = $2 and removed = 0`, t, u, print)
	if err != nil {
		return Key{}, Machine{}, false, err
	}
	d, gone, err := s.machine(ctx, tx, t, k.Device)
	return k, d, gone || !k.Orphaned.IsZero(), err
}

// OfDevice is the key that a device keeps for a person; its ID is empty when
// there is none.
func (s *Store[C]) OfDevice(ctx context.Context, t idp.TenantID, u idp.UserID, d idp.DeviceID) (Key, error) {
	return s.ofDevice(ctx, s.db, t, u, d)
}
