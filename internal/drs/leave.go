package drs

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// leaveReply has what one published client reads.
type leaveReply struct {
	AttestationResult struct {
		KeyID idp.DeviceID `json:"KeyId"`
	}
}

// leave deletes the device whose certificate the connection was made with
// (device-protocol.md §5.3). The handshake has proven the private key.
func (s *Server) leave(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	d, err := s.connected(r)
	if err != nil {
		return err
	}
	event := audit.Event{
		Tenant: d.Tenant, Category: audit.Change, Activity: "device.remove", Actor: "device:" + string(d.ID), User: d.Owner,
		IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(ctx), Detail: map[string]string{"device": string(d.ID), "name": d.Name},
	}
	if !d.Enabled {
		return s.failed(ctx, event, idp.Unprovenf("device_disabled", "device %s", d.ID).Coded(codeDisabled).Say("The device is disabled."))
	}
	if !strings.EqualFold(r.PathValue("id"), string(d.ID)) {
		return s.failed(ctx, event, idp.Unprovenf("device_other", "device %s would remove %.60q", d.ID, r.PathValue("id")).Coded(codeDevice).Say(sayDevice))
	}
	err = s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := s.cfg.Devices.Remove(ctx, tx, d.Tenant, d.ID); err != nil {
			return err
		}
		event.Outcome = audit.Success
		return s.cfg.Audit.Write(ctx, tx, event)
	})
	if errors.Is(err, idp.NotFound) { // another one was faster
		err = idp.Unprovenf("device_unknown", "%w", err).Coded(codeDevice).Say(sayDevice)
	}
	if err != nil {
		return err
	}
	var out leaveReply
	out.AttestationResult.KeyID = d.ID
	return web.JSON(w, http.StatusOK, out)
}

const sayDevice = "Device authentication failed."

// connected finds the device at the other end of a TLS connection.
func (s *Server) connected(r *http.Request) (device.Device, error) {
	if r.TLS == nil || !r.TLS.HandshakeComplete || len(r.TLS.PeerCertificates) == 0 {
		return device.Device{}, idp.Unprovenf("certificate_missing", "no client certificate").Coded(codeDevice).
			Say("This address needs the certificate of the device, as client certificate of the TLS connection.")
	}
	return s.cfg.Devices.Identify(r.Context(), r.TLS.PeerCertificates[0].Raw)
}

// sweepBatch bounds one round of the job.
const sweepBatch = 100

// Jobs removes devices that had to be attested and were not.
func Jobs(db *sqldb.DB, devices *device.Registry, log *audit.Log) []job.Job {
	return []job.Job{{Name: "drs.overdue", Every: time.Minute, Run: func(ctx context.Context, now time.Time) error {
		late, err := devices.Overdue(ctx, now, sweepBatch)
		for _, d := range late {
			if err == nil {
				err = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return expire(ctx, tx, devices, log, d, now) })
			}
		}
		return err
	}}}
}

// expire removes a device, if it is as late now as it was when it was found.
func expire(ctx context.Context, tx *sqldb.Tx, devices *device.Registry, log *audit.Log, d device.Device, now time.Time) error {
	fresh, err := devices.Load(ctx, tx, d.Tenant, d.ID)
	if errors.Is(err, idp.NotFound) || err == nil && (fresh.Pending.IsZero() || fresh.Pending.After(now)) {
		return nil // removed meanwhile, or attested
	}
	if err != nil {
		return err
	}
	if err := devices.Remove(ctx, tx, d.Tenant, d.ID); err != nil {
		return err
	}
	return log.Write(ctx, tx, audit.Event{
		Tenant: d.Tenant, Category: audit.System, Activity: "device.remove", Outcome: audit.Success, Reason: "not_attested", User: d.Owner,
		Detail: map[string]string{"device": string(d.ID), "name": d.Name},
	})
}
