package psso

import (
	"context"
	"errors"
	"net/http"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// leave answers DELETE {t}/psso/device: the Mac takes its registration back.
// What hangs on the device goes with it.
func (s *Server) leave(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	q, _, err := s.removal(w, r, pathDevice, "device.remove")
	if err != nil {
		return err
	}
	asked := q
	q.decides = true // confirmed below, when it is held
	err = s.commit(ctx, q, func(ctx context.Context, tx *sqldb.Tx, _ *audit.Event) error {
		if err := s.hold(ctx, tx, q); err != nil {
			return err
		}
		if err := s.confirm(ctx, tx, asked); err != nil {
			return err
		}
		err := s.cfg.Devices.Remove(ctx, tx, q.tenant.ID, q.device.ID)
		if errors.Is(err, idp.NotFound) { // another one was faster
			return deviceFault(idp.Unproven, codeDevice, "device_unknown", sayDevice, "%w", err)
		}
		return err
	})
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, pssowire.Removed{DeviceID: string(q.device.ID)})
}

// forget answers DELETE {t}/psso/user: the Mac no longer keeps a person's key.
// Nobody is asked whether it was their last: it is gone on the Mac already.
func (s *Server) forget(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	q, said, err := s.removal(w, r, pathUser, string(policy.Platform)+".remove")
	if err != nil {
		return err
	}
	kid, err := pssowire.ParseKeyID(said.UserKey)
	if err != nil {
		return s.refused(ctx, q, malformed("kid_malformed", "user_key: %w", err))
	}
	kept, err := s.cfg.UserKey(ctx, q.tenant.ID, q.device.ID, kid)
	if errors.Is(err, idp.NotFound) {
		return s.refused(ctx, q, idp.NotFoundf("user_key_unknown", "key %s on device %s", kid, q.device.ID).Say("The Mac keeps no such key."))
	}
	if err != nil {
		return err
	}
	once := signin.OnceRequest{
		Tenant: q.tenant.ID, Method: policy.Platform, User: idp.User{ID: kept.User, Tenant: q.tenant.ID}, Nonces: []nonce.Sealed{q.nonce}, Peer: q.peer,
		First: func(ctx context.Context, tx *sqldb.Tx) error { return s.confirm(ctx, tx, q) },
	}
	if err := s.cfg.Corridor.RemoveOnce(ctx, once, kept.ID, "device:"+string(q.device.ID)); err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, pssowire.Removed{DeviceID: string(q.device.ID), CredentialID: string(kept.ID)})
}

// removal reads a removal, which a Mac may also ask for that is not finished.
func (s *Server) removal(w http.ResponseWriter, r *http.Request, path, activity string) (signed, pssowire.Removal, error) {
	ctx := r.Context()
	var said pssowire.Removal
	a, err := s.ask(w, r, path)
	if err != nil {
		return signed{}, said, err
	}
	if !a.is(pssowire.TypeRemoval) {
		return signed{}, said, a.wrongType()
	}
	q, err := s.signed(ctx, a, activity, true)
	if err != nil {
		return q, said, err
	}
	if err := s.read(ctx, q, &said); err != nil {
		return q, said, err
	}
	return q, said, s.held(ctx, &q, said.Signed, func() error { return nil })
}
