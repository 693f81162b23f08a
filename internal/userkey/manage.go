package userkey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// state is a device as it was found.
type state struct {
	Machine
	gone bool
}

// states finds the devices of keys, each asked for once, in tx or without one.
func (s *Managed[C]) states(ctx context.Context, tx *sqldb.Tx, keys []Key) (map[idp.DeviceID]state, error) {
	seen := make(map[idp.DeviceID]state, len(keys))
	for _, k := range keys {
		if _, ok := seen[k.Device]; ok {
			continue
		}
		d, gone, err := s.machine(ctx, tx, k.Tenant, k.Device)
		if err != nil {
			return nil, err
		}
		seen[k.Device] = state{d, gone}
	}
	return seen, nil
}

// show is a key as lists have it. Whether its device is switched off is asked,
// not stored: it comes back with the device.
func (s *Managed[C]) show(k Key, d state) C {
	if d.gone || !k.Orphaned.IsZero() {
		return s.cfg.Show(k, Machine{}, true)
	}
	return s.cfg.Show(k, d.Machine, false)
}

func (s *Managed[C]) all(ctx context.Context, keys []Key) ([]C, error) {
	states, err := s.states(ctx, nil, keys)
	if err != nil {
		return nil, err
	}
	out := make([]C, len(keys))
	for i, k := range keys {
		out[i] = s.show(k, states[k.Device])
	}
	return out, nil
}

// List gives the keys of a user, oldest first.
func (s *Managed[C]) List(ctx context.Context, t idp.TenantID, u idp.UserID) ([]C, error) {
	keys, err := s.listOf(ctx, s.db, t, u)
	if err != nil {
		return nil, err
	}
	return s.all(ctx, keys)
}

// OnDevice gives the keys that a device keeps, for whomever.
func (s *Managed[C]) OnDevice(ctx context.Context, t idp.TenantID, d idp.DeviceID) ([]C, error) {
	keys, err := s.query(ctx, s.db, `
		select {columns} from {key}
		where tenant_id = $1 and device_id = $2 and removed = 0
		order by user_id`, t, d)
	if err != nil {
		return nil, err
	}
	return s.all(ctx, keys)
}

// MachineOf says which device keeps a key of a person, or kept it before it was
// removed; empty when they have no such key.
func (s *Managed[C]) MachineOf(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) (idp.DeviceID, error) {
	k, err := s.one(ctx, tx, `select {columns} from {key} where tenant_id = $1 and user_id = $2 and id = $3`, t, u, id)
	if errors.Is(err, idp.NotFound) {
		return "", nil
	}
	return k.Device, err
}

// Rename gives a key another name, cleaned and cut to 64 bytes. Invalid when
// nothing is left of it, NotFound when the user has no such key.
func (s *Managed[C]) Rename(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, name string) error {
	clean := s.cfg.Clean(name, maxName)
	if clean == "" {
		return idp.Invalidf("name_empty", "name %q", name).On("name")
	}
	ok, err := s.rename(ctx, tx, t, u, id, clean)
	return s.missing(ok, err, id)
}

// Remove takes a key away: it proves nobody any more, and can be restored for
// as long as Kept. NotFound when the user has none such.
func (s *Managed[C]) Remove(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	return tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := s.lock(ctx, tx, t, u); err != nil {
			return err
		}
		ok, err := s.mark(ctx, tx, t, u, id, s.cfg.Now())
		if err := s.missing(ok, err, id); err != nil {
			return err
		}
		return s.give(ctx, tx, t, u)
	})
}

func (s *Managed[C]) missing(ok bool, err error, id idp.CredentialID) error {
	if err == nil && !ok {
		return idp.NotFoundf(s.reason("missing"), "%s %.40s", s.cfg.Noun, id).Say("There is no such key of this person.")
	}
	return err
}

// Restore gives a removed key back, as it was. NotFound when the user has none
// such or it is too late, Denied "…_limit" when they hold as many as they may,
// Conflict "…_replaced" when its device keeps another one for them.
func (s *Managed[C]) Restore(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) (C, error) {
	var out C
	limit, err := s.limit(ctx, t)
	if err != nil {
		return out, err
	}
	err = tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := s.lock(ctx, tx, t, u); err != nil {
			return err
		}
		if err := s.vacant(ctx, tx, t, u, id); err != nil {
			return err
		}
		k, err := s.unmark(ctx, tx, t, u, id, s.cfg.Now().Add(-Kept))
		if errors.Is(err, idp.NotFound) {
			return idp.NotFoundf(s.reason("missing"), "removed %s %.40s", s.cfg.Noun, id).Say("No such key was removed in the last 30 days.")
		}
		if err != nil {
			return err
		}
		if err := s.take(ctx, tx, t, u, limit); err != nil {
			return err
		}
		d, gone, err := s.machine(ctx, tx, t, k.Device)
		if err != nil {
			return err
		}
		if gone && k.Orphaned.IsZero() {
			k.Orphaned = s.cfg.Now()
			if err := s.orphan(ctx, tx, t, k.Device, k.Orphaned); err != nil {
				return err
			}
		}
		out = s.show(k, state{d, gone})
		return nil
	})
	return out, err
}

// vacant says whether the device of a removed key keeps no other one for the
// person.
func (s *Managed[C]) vacant(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	k, err := s.one(ctx, tx, `
		select {columns} from {key} where tenant_id = $1 and user_id = $2 and id = $3 and removed > 0`, t, u, id)
	if errors.Is(err, idp.NotFound) {
		return nil // unmark finds none either
	}
	if err != nil {
		return err
	}
	other, err := s.ofDevice(ctx, tx, t, u, k.Device)
	if err == nil && other.ID != "" {
		err = idp.Conflictf(s.reason("replaced"), "device %s keeps %s for %s", k.Device, other.ID, u).
			Say("The device keeps a newer key for this person, so the old one cannot come back.")
	}
	return err
}

// RemoveUser takes away all that the store holds of a person, for good.
func (s *Managed[C]) RemoveUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	keys, err := s.query(ctx, tx, `select {columns} from {key} where tenant_id = $1 and user_id = $2`, t, u)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := s.release(ctx, tx, k); err != nil {
			return err
		}
	}
	if _, err := s.exec(ctx, tx, `delete from {key} where tenant_id = $1 and user_id = $2`, t, u); err != nil {
		return err
	}
	if err := s.changed(ctx, tx, t); err != nil {
		return err
	}
	_, err = s.exec(ctx, tx, `delete from {holder} where tenant_id = $1 and user_id = $2`, t, u)
	return err
}

// release gives a key that is deleted for good back to whoever makes it again.
func (s *Managed[C]) release(ctx context.Context, tx *sqldb.Tx, k Key) error {
	if s.cfg.Release == nil {
		return nil
	}
	key, err := k.PublicKey()
	if err != nil {
		return fmt.Errorf("stored %s %s: %w", s.cfg.Noun, k.ID, err)
	}
	return s.cfg.Release(ctx, tx, k.Tenant, key)
}

// Count says how many keys of the user could open a session now: those whose
// device is there and switched on.
func (s *Managed[C]) Count(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) (int, error) {
	keys, err := s.listOf(ctx, tx, t, u)
	if err != nil {
		return 0, err
	}
	states, err := s.states(ctx, tx, keys)
	n := 0
	for _, k := range keys {
		if d := states[k.Device]; d.Enabled && !d.gone && k.Orphaned.IsZero() {
			n++
		}
	}
	return n, err
}

// walkPage is how many rows Walk holds at a time.
const walkPage = 500

// Walk calls fn for every key of the tenant, those of one person together. No
// transaction is held, so that what changes meanwhile may or may not be seen.
func (s *Managed[C]) Walk(ctx context.Context, t idp.TenantID, fn func(C) error) error {
	next := func(after Key) ([]Key, error) {
		return s.query(ctx, s.db, `
			select {columns} from {key}
			where tenant_id = $1 and (user_id, id) > ($2, $3) and removed = 0
			order by user_id, id
			limit $4`, t, after.User, after.ID, walkPage)
	}
	return s.walk(ctx, next, func(_ Key, c C) error { return fn(c) })
}

// Removed calls fn for every key of the tenant that can be restored, with when
// it was removed.
func (s *Managed[C]) Removed(ctx context.Context, t idp.TenantID, fn func(C, time.Time) error) error {
	since := s.cfg.Now().Add(-Kept).UnixMilli()
	next := func(after Key) ([]Key, error) {
		return s.query(ctx, s.db, `
			select {columns} from {key}
			where tenant_id = $1 and (user_id, id) > ($2, $3) and removed > $4
			order by user_id, id
			limit $5`, t, after.User, after.ID, since, walkPage)
	}
	return s.walk(ctx, next, func(k Key, c C) error { return fn(c, k.Removed) })
}

func (s *Managed[C]) walk(ctx context.Context, next func(after Key) ([]Key, error), fn func(Key, C) error) error {
	for after := (Key{}); ; {
		keys, err := next(after)
		if err != nil {
			return err
		}
		list, err := s.all(ctx, keys)
		if err != nil {
			return err
		}
		for i, k := range keys {
			if err := fn(k, list[i]); err != nil {
				return err
			}
			after = k
		}
		if len(keys) < walkPage {
			return nil
		}
	}
}
