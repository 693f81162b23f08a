package app

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"iter"
	"slices"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/psso"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/userkey"
)

// What the register of devices says of a key that one keeps for a person.
const (
	roleHello    = "hello"
	rolePlatform = "platform"
)

// openHello opens the room of the keys that devices keep for people.
func (h *House) openHello() (*hello.Room, error) {
	claim, release := h.claims(roleHello)
	room, err := hello.New(hello.Config{
		DB: h.DB, Now: h.cfg.Now, Bus: h.bus, UserByName: h.userByName, User: h.user, Issuer: h.Issuer,
		Rules: func(ctx context.Context, t idp.TenantID) (policy.HelloRules, error) {
			p, err := h.Policies.Get(ctx, t)
			return p.Hello, err
		},
		Device: func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) (hello.Machine, error) {
			d, err := h.device(ctx, tx, t, id)
			return hello.Machine{Name: d.Name, Enabled: d.Enabled}, err
		},
		Claim: claim, Release: release, Replaced: h.endsOn(hello.ID), Audit: h.Audit.Write,
	})
	if err == nil {
		h.Devices.OnRemove(room.OnDeviceRemoved)
	}
	return room, err
}

// openPlatform opens the room of the keys that Macs keep for people.
func (h *House) openPlatform() (*platform.Room, error) {
	claim, release := h.claims(rolePlatform)
	room, err := platform.New(platform.Config{
		DB: h.DB, Now: h.cfg.Now, Bus: h.bus, UserByName: h.userByName, User: h.user,
		Limit: func(ctx context.Context, t idp.TenantID) (int, error) {
			p, err := h.Policies.Get(ctx, t)
			return p.Platform.Limit, err
		},
		Device: func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) (userkey.Machine, error) {
			d, err := h.device(ctx, tx, t, id)
			return userkey.Machine{Name: d.Name, Enabled: d.Enabled, Pending: !d.Pending.IsZero()}, err
		},
		Attested: h.attested, Claim: claim, Release: release, Replaced: h.endsOn(platform.ID), Audit: h.Audit.Write,
	})
	if err == nil {
		h.Devices.OnRemove(room.OnDeviceRemoved)
		h.Macs.OnReplace(room.OnDeviceRemoved)
	}
	return room, err
}

// claims enter keys of a role in the register of devices, and take them out.
func (h *House) claims(role string) (claim func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID, crypto.PublicKey) error,
	release func(context.Context, *sqldb.Tx, idp.TenantID, crypto.PublicKey) error) {
	claim = func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID, key crypto.PublicKey) error {
		return h.Devices.Claim(ctx, tx, t, d, key, role)
	}
	release = func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, key crypto.PublicKey) error {
		return h.Devices.Release(ctx, tx, t, key, role)
	}
	return claim, release
}

// endsOn ends what stands on a credential that another one takes the place of.
func (h *House) endsOn(m idp.MethodID) func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID) error {
	return func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
		if _, err := h.Sessions.EndStanding(ctx, tx, t, u, m, id, ""); err != nil {
			return err
		}
		return h.revokeStanding(ctx, tx, t, u, m, id)
	}
}

// attested judges the attestation of a Mac's user key by the tenant's rules on
// devices. One that is wrong is a refusal only where one must be there: macOS
// sends old ones when it is asked often (apple-platform-sso.md §9.4).
func (h *House) attested(ctx context.Context, t idp.TenantID, a platform.Attestation) (bool, error) {
	p, err := h.Policies.Get(ctx, t)
	if err != nil || p.Devices.Attestation == policy.AttestationNone {
		return false, err
	}
	refused := idp.Deniedf("attestation_required", "key on %s has no attestation", a.Device)
	if len(a.Chain) > 0 && h.macRoots != nil {
		shown, err := psso.Attested(h.macRoots, h.cfg.Now(), a.Chain, a.Key, a.Hash)
		if err == nil {
			err = h.sameMac(ctx, t, a.Device, shown)
		}
		if err == nil {
			return true, nil
		}
		refused = idp.Deniedf("attestation_required", "attestation of a key on %s: %w", a.Device, err)
	}
	if p.Devices.Attestation == policy.AttestationPreferred {
		return false, nil
	}
	return false, refused.On("attestation").Coded(policy.CodeJoin).Say("Your organisation admits only keys that can be verified.")
}

// sameMac refuses the attestation of a key that is in another Mac. One that does
// not name the hardware, or a Mac of which nobody has proven which it is, says
// nothing about it.
func (h *House) sameMac(ctx context.Context, t idp.TenantID, d idp.DeviceID, shown psso.Hardware) error {
	m, err := h.Macs.Get(ctx, h.DB, t, d)
	if err != nil {
		return err
	}
	if shown.Known() && m.Proven && (mac.CleanSerial(shown.Serial) != m.Serial || mac.CleanSerial(shown.UDID) != m.UDID) {
		return errors.New("it is of another Mac")
	}
	return nil
}

// keyRooms are the keys that machines keep for people, of both kinds.
type keyRooms []interface {
	List(context.Context, idp.TenantID, idp.UserID) ([]method.Credential, error)
	OnDevice(context.Context, idp.TenantID, idp.DeviceID) ([]method.Credential, error)
	Walk(context.Context, idp.TenantID, func(method.Credential) error) error
}

func (h *House) machineKeys() keyRooms { return keyRooms{h.Hello, h.Platform} }

// List are those of a person.
func (k keyRooms) List(ctx context.Context, t idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	var out []method.Credential
	for _, r := range k {
		list, err := r.List(ctx, t, u)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// OnDevice are those that a machine keeps, for whomever.
func (k keyRooms) OnDevice(ctx context.Context, t idp.TenantID, d idp.DeviceID) ([]method.Credential, error) {
	var out []method.Credential
	for _, r := range k {
		list, err := r.OnDevice(ctx, t, d)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// Walk calls fn for those of a tenant, in the order of their owners and ids, as
// each room does: pages of lists go on where one ended.
func (k keyRooms) Walk(ctx context.Context, t idp.TenantID, fn func(method.Credential) error) error {
	type head struct {
		method.Credential
		next func() (method.Credential, error, bool)
	}
	var heads []*head
	advance := func(h *head) (there bool, err error) {
		h.Credential, err, there = h.next()
		return there, err
	}
	for _, r := range k {
		next, stop := iter.Pull2(walked(ctx, t, r.Walk))
		defer stop()
		h := &head{next: next}
		there, err := advance(h)
		if err != nil {
			return err
		}
		if there {
			heads = append(heads, h)
		}
	}
	for len(heads) > 0 {
		first := slices.MinFunc(heads, func(a, b *head) int {
			return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.ID, b.ID))
		})
		if err := fn(first.Credential); err != nil {
			return err
		}
		there, err := advance(first)
		if err != nil {
			return err
		}
		if !there {
			heads = slices.DeleteFunc(heads, func(h *head) bool { return h == first })
		}
	}
	return nil
}

// walked is a walk over credentials as a sequence; an error is its last.
func walked(ctx context.Context, t idp.TenantID, walk func(context.Context, idp.TenantID, func(method.Credential) error) error) iter.Seq2[method.Credential, error] {
	return func(yield func(method.Credential, error) bool) {
		enough := errors.New("enough")
		err := walk(ctx, t, func(c method.Credential) error {
			if !yield(c, nil) {
				return enough
			}
			return nil
		})
		if err != nil && !errors.Is(err, enough) {
			yield(method.Credential{}, err)
		}
	}
}

// count says how many of the keys are of a method.
func count(keys []method.Credential, m idp.MethodID) (n int) {
	for _, k := range keys {
		if k.Method == m {
			n++
		}
	}
	return n
}

// device is a device as it is in tx, or as this node knows it when there is
// none.
func (h *House) device(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) (device.Device, error) {
	if tx == nil {
		return h.Devices.Get(ctx, t, id)
	}
	return h.Devices.Load(ctx, tx, t, id)
}
