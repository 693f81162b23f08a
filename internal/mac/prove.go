package mac

import (
	"context"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Prove notes that an attestation, which came later than the registration, named
// keys of a Mac, and the hardware, where serial and udid are both there; one that another Mac of the
// tenant has shown already stays said, and not proven. NotFound
// "mac_key_unknown" when one of the keys is not the Mac's any more.
func (r *Registry) Prove(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID, serial, udid string, keys ...KeyID) error {
	if err := r.Hold(ctx, tx, t, d); err != nil {
		return err
	}
	m, err := r.settled(ctx, tx, t, d)
	if err != nil {
		return err
	}
	for _, id := range keys {
		n, err := tx.Exec(ctx, `update mac_key set attested = $4 where tenant_id = $1 and kid = $2 and device_id = $3`, t, id[:], d, true)
		if err != nil {
			return fmt.Errorf("note that key %s is attested: %w", id, err)
		}
		if n == 0 {
			return unknownKey(id)
		}
	}
	if serial, udid = CleanSerial(serial), CleanSerial(udid); serial != "" && udid != "" {
		m.Serial, m.UDID, m.Proven = serial, udid, true
		taken, err := shownBy(ctx, tx, m)
		if err != nil {
			return err
		}
		m.Proven = !taken
		if err := updateMac(ctx, tx, m); err != nil {
			return err
		}
	}
	return r.changed(ctx, tx, t, m.Keys)
}
