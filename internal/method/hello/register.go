package hello

import (
	"context"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/userkey"
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
	d, gone, err := m.keys.Machine(ctx, a.Tenant, a.Device)
	if err != nil {
		return method.Registration{}, err
	}
	if fault := userkey.MayRegister(d, gone, a.Device); fault != nil {
		return method.Registration{}, fault
	}
	limit, err := m.keys.Limit(ctx, a.Tenant)
	if err != nil {
		return method.Registration{}, err
	}
	fresh, err := m.keys.Fresh(ctx, userkey.Key{
		Tenant: a.Tenant, User: a.User.ID, Device: a.Device, KID: k.kid, Print: k.print, SPKI: k.spki, Created: a.Now,
	}, d)
	if err != nil {
		return method.Registration{}, err
	}
	return method.Registration{
		Credential: credential(fresh, d, false),
		Settle: func(ctx context.Context, tx *sqldb.Tx) error {
			return m.keys.Add(ctx, tx, userkey.Adding{Key: fresh, Public: k.public, Limit: limit})
		},
	}, nil
}
