package userkey

import (
	"bytes"
	"context"
	"crypto"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Fresh fills in what a new key has besides itself: k says whose it is, on
// which device, and its KID, Print, SPKI, Marks and Created. d is its device as
// it is known now. With Config.Again, a key that is registered already for the
// same person on the same device stays what it is.
func (s *Store[C]) Fresh(ctx context.Context, k Key, d Machine) (Key, error) {
	held, err := s.listOf(ctx, s.db, k.Tenant, k.User)
	if err != nil {
		return Key{}, err
	}
	for _, old := range held {
		if s.cfg.Again != nil && old.Device == k.Device && bytes.Equal(old.Print, k.Print) {
			old.KID, old.Marks, old.Orphaned = k.KID, s.cfg.Again(old.Marks, k.Marks), time.Time{}
			return old, nil
		}
	}
	k.ID, k.Name = idp.CredentialID(secret.NewUUID4()), s.suggest(d.Name, k.Device, held)
	return k, nil
}

// suggest names a key as its device is called, with a number when the person
// has one of that name already, on another device.
func (s *Managed[C]) suggest(name string, device idp.DeviceID, held []Key) string {
	base := s.cfg.Clean(name, maxName)
	if base == "" {
		base = "Device"
	}
	used := func(name string) bool {
		for _, k := range held {
			if k.Device != device && strings.EqualFold(k.Name, name) {
				return true
			}
		}
		return false
	}
	name = base
	for n := 2; used(name); n++ {
		name = base + " " + strconv.Itoa(n)
	}
	return name
}

// Adding is a key that Add stores.
type Adding struct {
	Key    Key // as Fresh made it
	Public crypto.PublicKey
	Limit  int
	// Over, when not empty, is the key whose place it takes, and which has
	// vouched for it: another one, or none, is Unproven "key_replaced".
	Over idp.CredentialID
}

// Add stores a key, in the place of the one that the device kept for the
// person before. It counts and decides behind the holder's row, which holds
// everybody else who would change this person's keys. Errors: those of
// MayRegister, Denied "…_limit" when the person holds as many as the tenant
// allows, Conflict "key_registered" for a key that somebody has.
func (s *Store[C]) Add(ctx context.Context, tx *sqldb.Tx, a Adding) error {
	k := a.Key
	return tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := s.lock(ctx, tx, k.Tenant, k.User); err != nil {
			return err
		}
		// As it is now: a device that is removed meanwhile must not leave a key.
		d, gone, err := s.machine(ctx, tx, k.Tenant, k.Device)
		if err != nil {
			return err
		}
		if fault := MayRegister(d, gone, k.Device); fault != nil {
			return fault
		}
		old, err := s.ofDevice(ctx, tx, k.Tenant, k.User, k.Device)
		switch {
		case err != nil:
			return err
		case s.cfg.Again != nil && old.ID == k.ID:
			return s.again(ctx, tx, old, a)
		case a.Over != "" && old.ID != a.Over:
			return idp.Unprovenf("key_replaced", "key %s vouched, and %q is kept now", a.Over, old.ID)
		case old.ID == "":
			err = s.take(ctx, tx, k.Tenant, k.User, a.Limit)
		default:
			err = s.replace(ctx, tx, k, old.ID)
		}
		if err != nil {
			return err
		}
		if err := s.insert(ctx, tx, k); err != nil {
			return err
		}
		if s.cfg.Claim == nil {
			return nil
		}
		return s.cfg.Claim(ctx, tx, k.Tenant, k.Device, a.Public)
	})
}

// again writes what a key gained that is registered once more. Its device is
// there: it is no orphan, if it was one.
func (s *Managed[C]) again(ctx context.Context, tx *sqldb.Tx, old Key, a Adding) error {
	also, args := "", []any{old.Tenant, old.User, old.ID}
	if s.cfg.Marks {
		also, args = ", marks = $4", append(args, s.cfg.Again(old.Marks, a.Key.Marks))
	}
	_, err := s.exec(ctx, tx, `update {key} set orphaned = 0`+also+` where tenant_id = $1 and user_id = $2 and id = $3`, args...)
	if err != nil {
		return err
	}
	return s.changed(ctx, tx, old.Tenant)
}

// replace removes the key in whose place k comes, with what stands on it.
func (s *Managed[C]) replace(ctx context.Context, tx *sqldb.Tx, k Key, old idp.CredentialID) error {
	if _, err := s.mark(ctx, tx, k.Tenant, k.User, old, k.Created); err != nil {
		return err
	}
	if s.cfg.Replaced == nil {
		return nil
	}
	return s.cfg.Replaced(ctx, tx, k.Tenant, k.User, old)
}

// errTaken does not say whose a key is.
func errTaken(id idp.CredentialID) error {
	return idp.Conflictf("key_registered", "public key of %s is registered already", id).Say("This key is already registered. Make a new one.")
}
