package drs

import (
	"context"
	"errors"
	"net/http"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/enrol"
	"github.com/signetid/signet/internal/idp"
)

// turnedAway records that somebody came with a token that is not good, in the
// tenant that it names. Nothing of such a token is proven, so the record has
// nobody's name; a token that names no tenant of ours is recorded nowhere.
func (s *Server) turnedAway(ctx context.Context, r *http.Request, e audit.Event, err error) error {
	t, unknown := s.gate.Claimed(r)
	switch {
	case unknown != nil:
		return unknown
	case t == "":
		return err
	}
	e.Tenant = t
	return s.failed(ctx, e, err)
}

// mayKeep asks whether the token is one with which a device may have a key
// registered: of an enabled device, and of a gesture just now, with several
// factors, at the device itself (device-protocol.md §6, §15).
func (s *Server) mayKeep(ctx context.Context, a enrol.Access) error {
	if err := a.DevicesOn(); err != nil {
		return err
	}
	if a.Device == "" {
		return enrol.BadToken("token_of_no_device", "the token is of no device")
	}
	if err := a.MayKeep(s.cfg.Now()); err != nil {
		return err
	}
	d, err := s.cfg.Devices.Get(ctx, a.Tenant, a.Device)
	switch {
	case errors.Is(err, idp.NotFound):
		return idp.Unprovenf("device_unknown", "device %s", a.Device).Coded(codeDevice).Say(sayDevice)
	case err != nil:
		return err
	case !d.Enabled:
		return idp.Unprovenf("device_disabled", "device %s", a.Device).Coded(codeDisabled).Say("The device is disabled.")
	}
	return nil
}
