package broker

import (
	"context"
	"errors"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/sqldb"
)

// Stands says whether what a session or a grant came by still does: the device,
// and the PRT when there is one. The error is Expired, with the number that a
// client is to hear: 50155 for a device that is gone, 135011 for one that is
// switched off, 50173 for a PRT that is over (device-protocol.md §3.2, §11).
//
// Asked in a transaction, both stay as they are until it commits.
func Stands(ctx context.Context, q sqldb.Querier, devices *device.Registry, prts *prt.Service, t idp.TenantID, id idp.SessionID, d idp.DeviceID) error {
	if d != "" {
		var found device.Device
		var err error
		if tx, ok := q.(*sqldb.Tx); ok {
			found, err = devices.Load(ctx, tx, t, d)
		} else {
			found, err = devices.Get(ctx, t, d)
		}
		switch {
		case errors.Is(err, idp.NotFound):
			return idp.Expiredf("device_unknown", "device %s", d).Coded(codeDevice).Say("The device is not registered any more. Join it again.")
		case err != nil:
			return err
		case !found.Enabled:
			return idp.Expiredf("device_disabled", "device %s", d).Coded(codeDeviceOff).Say("The device is switched off. Ask the help desk.")
		}
	}
	if id == "" {
		return nil
	}
	alive, err := prts.Alive(ctx, q, t, id)
	if err != nil {
		return err
	}
	if !alive {
		return idp.Expiredf("prt_revoked", "prt %s", id).Coded(codeRevoked).Say("The sign-in of the device is over. Sign in to it again.")
	}
	return nil
}
