package hello

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
)

// Kept is how long a removed key can be restored, and an orphaned one waits to
// be deleted (decisions 2.12).
const Kept = 30 * 24 * time.Hour

// maxName is how long a name may be, in bytes.
const maxName = 64

func cleanName(s string) string { return method.CleanName(s, maxName) }

// credential is a key as lists have it. Whether its device is switched off is
// asked, not stored: it comes back with the device.
func (m *Room) credential(k row, d Machine, gone bool) method.Credential {
	orphaned := gone || !k.orphaned.IsZero()
	if orphaned {
		d = Machine{}
	}
	return method.Credential{
		ID: k.id, Tenant: k.tenant, User: k.user, Method: ID, Name: k.name, Mode: idp.ModeHello,
		Facts: facts(k), Properties: properties(), Created: k.created, LastUsed: k.lastUsed,
		Disabled: !d.Enabled, Orphaned: orphaned, Weak: factorable(k.spki),
	}
}

// factorable says that a key was made by the generator whose keys can be
// factored. None is registered; lists look anyway.
func factorable(spki []byte) bool {
	key, err := x509.ParsePKIXPublicKey(spki)
	return err == nil && jose.ROCA(key)
}

// all makes credentials of rows, each device asked for once, in tx or without
// one.
func (m *Room) all(ctx context.Context, tx *sqldb.Tx, rows []row) ([]method.Credential, error) {
	type state struct {
		Machine
		gone bool
	}
	seen := make(map[idp.DeviceID]state, len(rows))
	out := make([]method.Credential, len(rows))
	for i, k := range rows {
		d, ok := seen[k.device]
		if !ok {
			var err error
			if d.Machine, d.gone, err = m.machine(ctx, tx, k.tenant, k.device); err != nil {
				return nil, err
			}
			seen[k.device] = d
		}
		out[i] = m.credential(k, d.Machine, d.gone)
	}
	return out, nil
}

// List gives the keys of a user, oldest first.
func (m *Room) List(ctx context.Context, t idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	rows, err := listOf(ctx, m.db, t, u)
	if err != nil {
		return nil, err
	}
	return m.all(ctx, nil, rows)
}

// OnDevice gives the keys that a device keeps, for whomever.
func (m *Room) OnDevice(ctx context.Context, t idp.TenantID, d idp.DeviceID) ([]method.Credential, error) {
	rows, err := onDevice(ctx, m.db, t, d)
	if err != nil {
		return nil, err
	}
	return m.all(ctx, nil, rows)
}

// Rename gives a key another name, cleaned and cut to 64 bytes. Invalid when
// nothing is left of it, NotFound when the user has no such key.
func (m *Room) Rename(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, name string) error {
	clean := cleanName(name)
	if clean == "" {
		return idp.Invalidf("name_empty", "name %q", name).On("name")
	}
	ok, err := rename(ctx, tx, t, u, id, clean)
	return missing(ok, err, id)
}

// Remove takes a key away: it proves nobody any more, and can be restored for
// as long as Kept. NotFound when the user has none such.
func (m *Room) Remove(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	return tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := lock(ctx, tx, t, u); err != nil {
			return err
		}
		ok, err := mark(ctx, tx, t, u, id, m.cfg.Now())
		if err := missing(ok, err, id); err != nil {
			return err
		}
		return give(ctx, tx, t, u)
	})
}

func missing(ok bool, err error, id idp.CredentialID) error {
	if err == nil && !ok {
		return idp.NotFoundf("hello_missing", "Hello key %.40s", id).Say("There is no such key of this person.")
	}
	return err
}

// Restore gives a removed key back, as it was. NotFound when the user has none
// such or it is too late, Denied "hello_limit" when they hold as many as they
// may, Conflict "hello_replaced" when its device keeps another one for them.
func (m *Room) Restore(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) (method.Credential, error) {
	limit, err := m.limit(ctx, t)
	if err != nil {
		return method.Credential{}, err
	}
	var out method.Credential
	err = tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := lock(ctx, tx, t, u); err != nil {
			return err
		}
		if err := m.vacant(ctx, tx, t, u, id); err != nil {
			return err
		}
		k, err := unmark(ctx, tx, t, u, id, m.cfg.Now().Add(-Kept))
		if errors.Is(err, idp.NotFound) {
			return idp.NotFoundf("hello_missing", "removed Hello key %.40s", id).Say("No such key was removed in the last 30 days.")
		}
		if err != nil {
			return err
		}
		if err := take(ctx, tx, t, u, limit); err != nil {
			return err
		}
		d, gone, err := m.machine(ctx, tx, t, k.device)
		if err != nil {
			return err
		}
		if gone && k.orphaned.IsZero() {
			k.orphaned = m.cfg.Now()
			if err := orphan(ctx, tx, t, k.device, k.orphaned); err != nil {
				return err
			}
		}
		out = m.credential(k, d, gone)
		return nil
	})
	return out, err
}

// vacant says whether the device of a removed key keeps no other one for the
// person.
func (m *Room) vacant(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	var device idp.DeviceID
	err := tx.QueryRow(ctx, `
		select device_id from hello_key where tenant_id = $1 and user_id = $2 and id = $3 and removed > 0`, t, u, id).Scan(&device)
	if errors.Is(err, idp.NotFound) {
		return nil // unmark finds none either
	}
	if err != nil {
		return err
	}
	other, err := ofDevice(ctx, tx, t, u, device)
	if err == nil && other != "" {
		err = idp.Conflictf("hello_replaced", "device %s keeps %s for %s", device, other, u).
			Say("The device keeps a newer key for this person, so the old one cannot come back.")
	}
	return err
}

// Removed calls fn for every key of the tenant that can be restored, with when
// it was removed.
func (m *Room) Removed(ctx context.Context, t idp.TenantID, fn func(method.Credential, time.Time) error) error {
	since := m.cfg.Now().Add(-Kept)
	next := func(after row) ([]row, error) { return binned(ctx, m.db, t, after, since, walkPage) }
	return m.walk(ctx, next, func(k row, c method.Credential) error { return fn(c, k.removed) })
}

// RemoveUser takes away all that the room holds of a person, for good.
func (m *Room) RemoveUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	rows, err := scanAll(tx.Query(ctx, `select `+columns+` from hello_key where tenant_id = $1 and user_id = $2`, t, u))
	if err != nil {
		return err
	}
	for _, k := range rows {
		if err := m.release(ctx, tx, k); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `delete from hello_key where tenant_id = $1 and user_id = $2`, t, u); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `delete from hello_holder where tenant_id = $1 and user_id = $2`, t, u)
	return err
}

// release gives a key that is deleted for good back to whoever makes it again.
func (m *Room) release(ctx context.Context, tx *sqldb.Tx, k row) error {
	if m.cfg.Release == nil {
		return nil
	}
	key, err := x509.ParsePKIXPublicKey(k.spki)
	if err != nil {
		return fmt.Errorf("stored Hello key %s: %w", k.id, err)
	}
	return m.cfg.Release(ctx, tx, k.tenant, key)
}

// Count says how many keys of the user could open a session now: those whose
// device is there and switched on.
func (m *Room) Count(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) (int, error) {
	rows, err := listOf(ctx, tx, t, u)
	if err != nil {
		return 0, err
	}
	list, err := m.all(ctx, tx, rows)
	n := 0
	for _, c := range list {
		if !c.Disabled && !c.Orphaned {
			n++
		}
	}
	return n, err
}

// walkPage is how many rows Walk holds at a time.
const walkPage = 500

// Walk calls fn for every key of the tenant, those of one person together. No
// transaction is held, so that what changes meanwhile may or may not be seen.
func (m *Room) Walk(ctx context.Context, t idp.TenantID, fn func(method.Credential) error) error {
	next := func(after row) ([]row, error) { return page(ctx, m.db, t, after, walkPage) }
	return m.walk(ctx, next, func(_ row, c method.Credential) error { return fn(c) })
}

func (m *Room) walk(ctx context.Context, next func(after row) ([]row, error), fn func(row, method.Credential) error) error {
	for after := (row{}); ; {
		rows, err := next(after)
		if err != nil {
			return err
		}
		list, err := m.all(ctx, nil, rows)
		if err != nil {
			return err
		}
		for i, k := range rows {
			if err := fn(k, list[i]); err != nil {
				return err
			}
			after = k
		}
		if len(rows) < walkPage {
			return nil
		}
	}
}
