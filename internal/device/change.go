package device

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// SetEnabled switches a device on or off, and runs what hangs on OnDisable when
// it is switched off; one that is so already is left as it is. NotFound when
// there is no such device, Conflict "device_pending" while it is not attested
// though it has to be: it is on when it is, or goes.
func (r *Registry) SetEnabled(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID, on bool) error {
	var voided int64
	if !on {
		voided = r.now().UnixMilli()
	}
	n, err := tx.Exec(ctx, `
		update device set enabled = $3, voided = case when voided > $4 then voided else $4 end
		where tenant_id = $1 and id = $2 and enabled <> $3 and pending = 0`, t, id, on, voided)
	if err != nil {
		return fmt.Errorf("switch device %s: %w", id, err)
	}
	if n == 0 {
		d, err := r.Load(ctx, tx, t, id)
		if err == nil && !d.Pending.IsZero() {
			err = idp.Conflictf("device_pending", "device %s is not attested yet", id).
				Say("This device has not finished joining. Remove it, or wait until it has.")
		}
		return err
	}
	if !on {
		if err := run(ctx, tx, r.disabled, t, id); err != nil {
			return err
		}
	}
	return r.changed(ctx, tx, t, id)
}

// Rename gives a device another display name. NotFound when there is no such
// device, Invalid when nothing of the name can be shown.
func (r *Registry) Rename(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID, name string) error {
	name = said(name, maxName)
	if name == "" {
		return idp.Invalidf("bad_device_name", "empty name").On("displayName").Say("A device has a name.")
	}
	n, err := tx.Exec(ctx, `update device set name = $3, name_folded = $4 where tenant_id = $1 and id = $2`, t, id, name, fold(name))
	if err != nil {
		return fmt.Errorf("rename device %s: %w", id, err)
	}
	if n == 0 {
		return nothing(id)
	}
	return r.changed(ctx, tx, t, id)
}

// SetAttested notes that the keys of a device were shown to be in a TPM of a
// trusted maker. One that had to show it is enabled by it, if it is in time.
// NotFound when there is no such device (any more).
func (r *Registry) SetAttested(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) error {
	n, err := tx.Exec(ctx, `
		update device set assurance = $3, enabled = case when pending > 0 then $4 else enabled end, pending = 0
		where tenant_id = $1 and id = $2 and (pending = 0 or pending > $5)`, t, id, Attested, true, r.now().UnixMilli())
	if err != nil {
		return fmt.Errorf("attest device %s: %w", id, err)
	}
	if n == 0 {
		return nothing(id)
	}
	return r.changed(ctx, tx, t, id)
}

// Hold makes changes of one device come one after the other, until the commit.
// Who will change it in a transaction that reads it before takes this first: two
// who both keep it as they read it wait for each other. NotFound when there is no
// such device.
func (r *Registry) Hold(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) error {
	n, err := tx.Exec(ctx, `update device set enabled = enabled where tenant_id = $1 and id = $2`, t, id)
	if err != nil {
		return fmt.Errorf("hold device %s: %w", id, err)
	}
	if n == 0 {
		return nothing(id)
	}
	return nil
}

// Activate gives a device its first person, who has just proven themselves
// strongly on it (decisions 5.4): one that waits for that is enabled by it, and
// one that is nobody's becomes theirs and counts to the quota. changed is false
// when it waits for nobody. NotFound when there is no such device (any more) or
// it is too late, Denied "device_owner" when it waits for another person, or
// "device_quota".
func (r *Registry) Activate(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID, u idp.UserID, quota int) (changed bool, err error) {
	// Read without a lock: two who would then change it wait for each other.
	d, err := scan(tx.QueryRow(ctx, columns+`where tenant_id = $1 and id = $2`, t, id))
	now := r.now()
	switch {
	case errors.Is(err, idp.NotFound):
		return false, nothing(id)
	case err != nil:
		return false, fmt.Errorf("activate device %s: %w", id, err)
	case d.Pending.IsZero() && d.Owner != "":
		return false, nil
	case !d.Pending.IsZero() && !now.Before(d.Pending):
		return false, nothing(id)
	case d.Owner != "" && d.Owner != u:
		return false, idp.Deniedf("device_owner", "device %s waits for %s", id, d.Owner).
			Say("This device was prepared for another person.")
	}
	n, err := tx.Exec(ctx, `
		update device set enabled = case when pending > 0 then $4 else enabled end, pending = 0, owner = $3
		where tenant_id = $1 and id = $2 and owner = $5 and pending = $6`, t, id, u, true, d.Owner, milli(d.Pending))
	if err != nil {
		return false, fmt.Errorf("activate device %s: %w", id, err)
	}
	if n == 0 { // somebody was faster
		return false, idp.Conflictf("device_activated", "device %s", id).Say("This device has just been activated. Try again.")
	}
	if d.Owner == "" {
		if err := hold(ctx, tx, t, u, quota); err != nil {
			return false, err
		}
	}
	return true, r.changed(ctx, tx, t, id)
}

// Rekey gives a device other keys in the place of those that it has, which are
// registered no more. How they were proven is the caller's to know: assurance
// says it. What certificate the device had is good no more; Thumbprint stays, as a
// name. A key that is the device's already stays. Invalid and Conflict as Prepare
// and Add say, NotFound when there is no such device.
func (r *Registry) Rekey(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID, key, transport crypto.PublicKey, assurance Assurance) error {
	if err := checkKeys(Candidate{Key: key, Transport: transport}); err != nil {
		return err
	}
	if err := setKeys(ctx, tx, t, id, key, transport, assurance); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `delete from device_key where tenant_id = $1 and device_id = $2 and role in ($3, $4)`, t, id, roleDevice, roleTransport)
	if err != nil {
		return fmt.Errorf("forget keys of device %s: %w", id, err)
	}
	if err := r.Claim(ctx, tx, t, id, key, roleDevice); err != nil {
		return err
	}
	if transport != nil {
		if err := r.Claim(ctx, tx, t, id, transport, roleTransport); err != nil {
			return err
		}
	}
	return r.changed(ctx, tx, t, id)
}

// Remove deletes a device with its two keys, and runs what hangs on OnRemove.
// NotFound when there is no such device.
func (r *Registry) Remove(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) error {
	var owner idp.UserID
	err := tx.QueryRow(ctx, `delete from device where tenant_id = $1 and id = $2 returning owner`, t, id).Scan(&owner)
	if errors.Is(err, idp.NotFound) {
		return nothing(id)
	}
	if err != nil {
		return fmt.Errorf("remove device %s: %w", id, err)
	}
	// Keys that rooms claimed stay claimed until the rooms give them up.
	_, err = tx.Exec(ctx, `delete from device_key where tenant_id = $1 and device_id = $2 and role in ($3, $4)`, t, id, roleDevice, roleTransport)
	if err != nil {
		return fmt.Errorf("remove keys of device %s: %w", id, err)
	}
	if err := unhold(ctx, tx, t, owner); err != nil {
		return err
	}
	if err := run(ctx, tx, r.removed, t, id); err != nil {
		return err
	}
	return r.changed(ctx, tx, t, id)
}

// RemoveUser deletes the devices of a person who is deleted.
func (r *Registry) RemoveUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	ids, err := ownedIDs(ctx, tx, t, u)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := r.Remove(ctx, tx, t, id); err != nil && !errors.Is(err, idp.NotFound) {
			return err
		}
	}
	_, err = tx.Exec(ctx, `delete from device_held where tenant_id = $1 and owner = $2`, t, u)
	if err != nil {
		return fmt.Errorf("forget how many devices %s has: %w", u, err)
	}
	return nil
}

// seenEvery is how often at most it is written that a device was used.
const seenEvery = time.Hour

// Seen notes that a device was used; it writes at most once an hour.
func (r *Registry) Seen(ctx context.Context, d Device) error {
	now := r.now()
	if now.Sub(d.LastSeen) < seenEvery {
		return nil
	}
	return r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n, err := tx.Exec(ctx, `update device set seen = $3 where tenant_id = $1 and id = $2 and seen <= $4`,
			d.Tenant, d.ID, now.UnixMilli(), now.Add(-seenEvery).UnixMilli())
		if err != nil || n == 0 {
			return err
		}
		return r.changed(ctx, tx, d.Tenant, d.ID)
	})
}
