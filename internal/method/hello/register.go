package hello

import (
	"context"
	"crypto"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// RegisterOnce judges a key that a device asks to be registered for a person.
// Both are the door's to verify; Keep is not looked at, because freshness comes
// from the door's token (decisions 4.8). Errors: Invalid "key_malformed" and
// "key_weak" (50032), Denied for a device that is disabled or gone (130007,
// 130008). Settle is Denied "hello_limit" when the person holds as many as the
// tenant allows, Conflict "key_registered" for a key that somebody has.
func (m *Room) RegisterOnce(ctx context.Context, a method.Answer) (method.Registration, error) {
	if !a.User.Known() || a.Device == "" {
		return method.Registration{}, idp.Invalidf("registration_for_nobody", "user %q, device %q", a.User.ID, a.Device)
	}
	k, err := parseKey(a.Payload)
	if err != nil {
		return method.Registration{}, err
	}
	d, gone, err := m.machine(ctx, nil, a.Tenant, a.Device)
	if err != nil {
		return method.Registration{}, err
	}
	if fault := stands(d, gone, a.Device); fault != nil {
		return method.Registration{}, fault
	}
	limit, err := m.limit(ctx, a.Tenant)
	if err != nil {
		return method.Registration{}, err
	}
	held, err := listOf(ctx, m.db, a.Tenant, a.User.ID)
	if err != nil {
		return method.Registration{}, err
	}
	fresh := row{
		id: idp.CredentialID(secret.NewUUID4()), tenant: a.Tenant, user: a.User.ID, device: a.Device,
		kid: k.kid, print: k.print, spki: k.spki, name: suggest(d.Name, a.Device, held), created: a.Now,
	}
	return method.Registration{
		Credential: m.credential(fresh, d, false),
		Settle:     func(ctx context.Context, tx *sqldb.Tx) error { return m.add(ctx, tx, fresh, k.public, limit) },
	}, nil
}

// add stores a key, in the place of the one that the device kept for the
// person before. It counts and decides behind the holder's row, which holds
// everybody else who would change this person's keys.
func (m *Room) add(ctx context.Context, tx *sqldb.Tx, k row, public crypto.PublicKey, limit int) error {
	return tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := lock(ctx, tx, k.tenant, k.user); err != nil {
			return err
		}
		// As it is now: a device that is removed meanwhile must not leave a key.
		d, gone, err := m.machine(ctx, tx, k.tenant, k.device)
		if err != nil {
			return err
		}
		if fault := stands(d, gone, k.device); fault != nil {
			return fault
		}
		old, err := ofDevice(ctx, tx, k.tenant, k.user, k.device)
		if err != nil {
			return err
		}
		if old == "" {
			err = take(ctx, tx, k.tenant, k.user, limit)
		} else {
			err = m.replace(ctx, tx, k, old)
		}
		if err != nil {
			return err
		}
		if err := insert(ctx, tx, k); err != nil {
			return err
		}
		if m.cfg.Claim == nil {
			return nil
		}
		return m.cfg.Claim(ctx, tx, k.tenant, k.device, public)
	})
}

// replace removes the key in whose place k comes, with what stands on it.
func (m *Room) replace(ctx context.Context, tx *sqldb.Tx, k row, old idp.CredentialID) error {
	if _, err := mark(ctx, tx, k.tenant, k.user, old, k.created); err != nil {
		return err
	}
	if m.cfg.Replaced == nil {
		return nil
	}
	return m.cfg.Replaced(ctx, tx, k.tenant, k.user, old)
}

// stands refuses what a device would do that is disabled or gone.
func stands(d Machine, gone bool, id idp.DeviceID) error {
	switch {
	case gone:
		return idp.Deniedf("device_missing", "device %s", id).Coded(codeMissing).Say(sayDevice)
	case !d.Enabled:
		return idp.Deniedf("device_disabled", "device %s", id).Coded(codeDisabled).Say(sayDevice)
	}
	return nil
}

// errTaken does not say whose a key is.
func errTaken(id idp.CredentialID) error {
	return idp.Conflictf("key_registered", "public key of %s is registered already", id).Say("This key is already registered. Make a new one.")
}

// suggest names a key as its device is called, with a number when the person
// has one of that name already, on another device.
func suggest(name string, device idp.DeviceID, held []row) string {
	base := cleanName(name)
	if base == "" {
		base = "Device"
	}
	used := func(s string) bool {
		for _, k := range held {
			if k.device != device && strings.EqualFold(k.name, s) {
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
