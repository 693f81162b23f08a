package mac

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// What the register of devices calls keys that are to take the place of a
// device's own.
const (
	claimSigning    = "mac.signing"
	claimEncryption = "mac.encryption"
)

func (r Role) claim() string {
	if r == Signing {
		return claimSigning
	}
	return claimEncryption
}

// NewKey is a key of which possession was proven.
type NewKey struct {
	Public   *ecdsa.PublicKey
	Attested bool
}

// Registration is what a Mac registers, beside what a device is: Signing is the
// Key of the device, Encryption its Transport.
type Registration struct {
	Tenant       idp.TenantID
	Device       idp.DeviceID
	Signing      NewKey
	Encryption   NewKey
	Serial, UDID string // may be empty
	Proven       bool   // an attestation showed both
	Source       Source
	Token        TokenID // with ByToken
}

// Add writes what a device has as a Mac, in the transaction and after the
// device.Registry.Add of a device with these keys, which refuses those that are
// registered already. Conflict "mac_hardware" for hardware that another Mac of the
// tenant has shown to be: whoever registers it looks for that one once more.
func (r *Registry) Add(ctx context.Context, tx *sqldb.Tx, q Registration) (Mac, error) {
	m, err := r.mac(q)
	if err != nil {
		return Mac{}, err
	}
	if err := insertMac(ctx, tx, m); err != nil {
		return Mac{}, err
	}
	for _, k := range m.Keys {
		if err := insertKey(ctx, tx, m, k); err != nil {
			return Mac{}, err
		}
	}
	return m, r.changed(ctx, tx, m.Tenant, m.Keys)
}

func (r *Registry) mac(q Registration) (Mac, error) {
	now := r.now()
	m := Mac{
		Tenant: q.Tenant, Device: q.Device, Serial: CleanSerial(q.Serial), UDID: CleanSerial(q.UDID), Proven: q.Proven,
		Source: q.Source, Token: q.Token, Created: now, Registered: now,
	}
	for role, k := range map[Role]NewKey{Signing: q.Signing, Encryption: q.Encryption} {
		id, err := KeyIDOf(k.Public)
		if err != nil {
			return Mac{}, badKey(role, err)
		}
		m.Keys = append(m.Keys, Key{ID: id, Role: role, State: Current, Public: k.Public, Attested: k.Attested, Created: now})
	}
	order(m.Keys)
	if m.Keys[0].ID == m.Keys[1].ID {
		return Mac{}, idp.Invalidf("shared_device_key", "signing key and encryption key are one").On("encryption_key").
			Say("The signing key and the encryption key must be two keys.")
	}
	return m, nil
}

func badKey(role Role, err error) error {
	return idp.Invalidf("device_key", "%s key: %w", role, err).On(string(role) + "_key").Say("Accepted are keys of P-256.")
}

// Rotation is what a Mac rotates: one key or both. The door has verified that
// the old signing key vouches for it, that a session stands behind it (security.md
// PSO05), and possession of every new key.
type Rotation struct {
	Tenant     idp.TenantID
	Device     idp.DeviceID
	Signing    *NewKey // nil: stays
	Encryption *NewKey // nil: stays
}

// Rotate has the new keys wait to take the places of the old ones. Both are
// accepted until Settle, or for RotationLife. Asked again with the same keys it
// changes nothing; other keys take the place of those that wait. Conflict
// "key_registered" for a key that any device in any tenant has for anything else;
// NotFound when the device is no Mac.
func (r *Registry) Rotate(ctx context.Context, tx *sqldb.Tx, q Rotation) (Mac, error) {
	if err := r.Hold(ctx, tx, q.Tenant, q.Device); err != nil {
		return Mac{}, err
	}
	m, err := r.settled(ctx, tx, q.Tenant, q.Device)
	if err != nil {
		return Mac{}, err
	}
	var touched []Key
	for role, k := range map[Role]*NewKey{Signing: q.Signing, Encryption: q.Encryption} {
		if k == nil {
			continue
		}
		changed, err := r.wait(ctx, tx, m, role, *k)
		if err != nil {
			return Mac{}, err
		}
		touched = append(touched, changed...)
	}
	if len(touched) == 0 {
		return m, nil
	}
	// The keys that stay are told of too: what is kept of them lacks the new ones.
	if err := r.changed(ctx, tx, q.Tenant, append(touched, m.Keys...)); err != nil {
		return Mac{}, err
	}
	return r.Get(ctx, tx, q.Tenant, q.Device)
}

// wait has one key wait, and says which changed hands.
func (r *Registry) wait(ctx context.Context, tx *sqldb.Tx, m Mac, role Role, k NewKey) ([]Key, error) {
	id, err := KeyIDOf(k.Public)
	if err != nil {
		return nil, badKey(role, err)
	}
	if _, known := m.Find(role, id); known {
		return nil, nil // its reply was lost, or it is settled already
	}
	now := r.now()
	fresh := Key{ID: id, Role: role, State: Pending, Public: k.Public, Attested: k.Attested, Created: now, Until: now.Add(RotationLife)}
	touched := []Key{fresh}
	if old, waits := m.Key(role, Pending); waits {
		if err := r.drop(ctx, tx, m, old); err != nil {
			return nil, err
		}
		touched = append(touched, old)
	}
	if err := r.cfg.Devices.Claim(ctx, tx, m.Tenant, m.Device, k.Public, role.claim()); err != nil {
		return nil, err
	}
	return touched, insertKey(ctx, tx, m, fresh)
}

// drop deletes a pending key and gives it up.
func (r *Registry) drop(ctx context.Context, tx *sqldb.Tx, m Mac, k Key) error {
	if err := deleteKey(ctx, tx, m, k); err != nil {
		return err
	}
	return r.cfg.Devices.Release(ctx, tx, m.Tenant, k.Public, k.Role.claim())
}

// Hold makes changes of one Mac come one after the other: its device first, as
// where it is removed, then what it has as a Mac. Who reads either of them in a
// transaction that changes them afterwards takes this before it reads. NotFound
// when there is no such Mac.
func (r *Registry) Hold(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID) error {
	err := r.cfg.Devices.Hold(ctx, tx, t, d)
	if errors.Is(err, idp.NotFound) {
		return nothing(d)
	}
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `update mac set registered = registered where tenant_id = $1 and device_id = $2`, t, d)
	if err != nil {
		return fmt.Errorf("hold Mac %s: %w", d, err)
	}
	if n == 0 {
		return nothing(d)
	}
	return nil
}

// Waits says whether one of the keys that a login used waited to take its place:
// then Settle changes the Mac, and the login takes Hold before it reads it.
func Waits(used ...Key) bool {
	return slices.ContainsFunc(used, func(k Key) bool { return k.waits })
}

// Settle is called in the transaction of a login, with the keys that it used, as
// ByKid and Mac.Find gave them. A key that waited takes its place by it, and the
// old one is gone. It does nothing, and asks nothing, while none of them waited.
func (r *Registry) Settle(ctx context.Context, tx *sqldb.Tx, m Mac, used ...Key) error {
	if !Waits(used...) {
		return nil
	}
	if err := r.Hold(ctx, tx, m.Tenant, m.Device); err != nil {
		return err
	}
	m, err := load(ctx, tx, m.Tenant, m.Device)
	if err != nil {
		return err
	}
	return r.promote(ctx, tx, m, func(k Key) bool {
		for _, u := range used {
			if u.ID == k.ID && u.Role == k.Role {
				return true
			}
		}
		return !r.now().Before(k.Until)
	})
}

// settled is the Mac with rotations that are over written down. The caller holds
// its lock.
func (r *Registry) settled(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID) (Mac, error) {
	m, err := load(ctx, tx, t, d)
	if err != nil {
		return Mac{}, err
	}
	now := r.now()
	over := func(k Key) bool { return !now.Before(k.Until) }
	if err := r.promote(ctx, tx, m, over); err != nil {
		return Mac{}, err
	}
	return load(ctx, tx, t, d)
}

// promote puts the pending keys that which names into the places of the current
// ones, in the device too.
func (r *Registry) promote(ctx context.Context, tx *sqldb.Tx, m Mac, which func(Key) bool) error {
	next := make(map[Role]Key, 2)
	for _, role := range []Role{Signing, Encryption} {
		k, waits := m.Key(role, Pending)
		if !waits || !which(k) {
			continue
		}
		if old, ok := m.Key(role, Current); ok {
			if err := deleteKey(ctx, tx, m, old); err != nil {
				return err
			}
		}
		if err := settleKey(ctx, tx, m, k); err != nil {
			return err
		}
		if err := r.cfg.Devices.Release(ctx, tx, m.Tenant, k.Public, role.claim()); err != nil {
			return err
		}
		next[role] = k
	}
	if len(next) == 0 {
		return nil
	}
	pick := func(role Role) Key {
		if k, ok := next[role]; ok {
			return k
		}
		k, _ := m.Key(role, Current)
		return k
	}
	if err := r.rekey(ctx, tx, m, pick(Signing), pick(Encryption)); err != nil {
		return err
	}
	return r.changed(ctx, tx, m.Tenant, m.Keys)
}

// rekey gives the device the keys that the Mac has now.
func (r *Registry) rekey(ctx context.Context, tx *sqldb.Tx, m Mac, signing, encryption Key) error {
	assurance := device.Unattested // possession of both is always proven here
	if signing.Attested && encryption.Attested {
		assurance = device.Attested
	}
	return r.cfg.Devices.Rekey(ctx, tx, m.Tenant, m.Device, signing.Public, encryption.Public, assurance)
}

// Replace gives a Mac that is registered the keys of a new registration, at once,
// and ends everything that stands on the old ones: sessions, refresh tokens, unlock
// keys (OnReplace). What it was registered by becomes that of q. The door has
// verified that it is the same hardware. Denied "mac_weaker_proof" when the old
// registration's hardware was proven and the new one's is not; Conflict
// "key_registered"; NotFound when the device is no Mac.
func (r *Registry) Replace(ctx context.Context, tx *sqldb.Tx, q Registration) (Mac, error) {
	if err := r.Hold(ctx, tx, q.Tenant, q.Device); err != nil {
		return Mac{}, err
	}
	old, err := load(ctx, tx, q.Tenant, q.Device)
	if err != nil {
		return Mac{}, err
	}
	if old.Proven && !q.Proven {
		return Mac{}, idp.Deniedf("mac_weaker_proof", "the hardware of device %s was proven", q.Device).
			Say("This Mac is registered with an attestation, and can be registered anew only with one. Or remove it first.")
	}
	m, err := r.mac(q)
	if err != nil {
		return Mac{}, err
	}
	m.Created = old.Created
	if err := r.swap(ctx, tx, old, m); err != nil {
		return Mac{}, err
	}
	for _, h := range r.replaced {
		if err := h(ctx, tx, m.Tenant, m.Device); err != nil {
			return Mac{}, fmt.Errorf("what stands on keys of %s: %w", m.Device, err)
		}
	}
	// After the hooks: they wait for whoever is being given an unlock key on the
	// strength of a sign-in that they end.
	if _, err := tx.Exec(ctx, `delete from mac_unlock where tenant_id = $1 and device_id = $2`, m.Tenant, m.Device); err != nil {
		return Mac{}, fmt.Errorf("erase unlock keys of %s: %w", m.Device, err)
	}
	return m, r.changed(ctx, tx, m.Tenant, append(old.Keys, m.Keys...))
}

// swap writes m in the place of old.
func (r *Registry) swap(ctx context.Context, tx *sqldb.Tx, old, m Mac) error {
	for _, k := range old.Keys {
		if k.State == Pending {
			if err := r.drop(ctx, tx, old, k); err != nil {
				return err
			}
			continue
		}
		if err := deleteKey(ctx, tx, old, k); err != nil {
			return err
		}
	}
	if err := r.rekey(ctx, tx, m, m.Keys[0], m.Keys[1]); err != nil {
		return err
	}
	for _, k := range m.Keys {
		if err := insertKey(ctx, tx, m, k); err != nil {
			return err
		}
	}
	return updateMac(ctx, tx, m)
}

// Confirm asks, in the transaction of what a key signed for, whether it is still
// a key of that Mac: what ByKid knows may be as old as a notice on its way. It
// stays one until the commit. NotFound "mac_key_unknown" when it is not.
func (r *Registry) Confirm(ctx context.Context, tx *sqldb.Tx, m Mac, k Key) error {
	ok, err := holds(ctx, tx, m, k)
	if err == nil && !ok {
		err = unknownKey(k.ID)
	}
	return err
}

// OnDeviceRemoved deletes what a device had as a Mac, its unlock keys too; that
// it is none is no error. It is a device.Hook.
func (r *Registry) OnDeviceRemoved(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID) error {
	m, err := load(ctx, tx, t, d)
	if errors.Is(err, idp.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, k := range m.Keys {
		if k.State != Pending {
			continue // device's own, which it deletes
		}
		if err := r.cfg.Devices.Release(ctx, tx, t, k.Public, k.Role.claim()); err != nil {
			return err
		}
	}
	if err := deleteMac(ctx, tx, t, d); err != nil {
		return err
	}
	return r.changed(ctx, tx, t, m.Keys)
}

// RemoveUser erases the unlock keys of a person who is deleted, and takes back
// the registration tokens that they opened or that are for them.
func (r *Registry) RemoveUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	for _, statement := range []string{
		`delete from mac_unlock where tenant_id = $1 and user_id = $2`,
		`delete from mac_token where tenant_id = $1 and (issued_by = $2 or issued_for = $2)`,
	} {
		if _, err := tx.Exec(ctx, statement, t, u); err != nil {
			return fmt.Errorf("what Macs have of %s: %w", u, err)
		}
	}
	return nil
}

// at is the Mac as it is then: a rotation that is over leaves the new key alone.
func (m Mac) at(now time.Time) Mac {
	over := false
	for _, k := range m.Keys {
		over = over || k.State == Pending && !now.Before(k.Until)
	}
	if !over {
		return m
	}
	keys := make([]Key, 0, len(m.Keys))
	for _, k := range m.Keys {
		if next, waits := m.Key(k.Role, Pending); waits && !now.Before(next.Until) {
			if k.State == Current {
				continue
			}
			k.State, k.Until = Current, time.Time{}
		}
		keys = append(keys, k)
	}
	m.Keys = keys
	return m
}
