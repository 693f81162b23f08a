package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/broker"
	"github.com/signetid/signet/internal/browser"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/drs"
	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/accesspass"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/oidc"
	"github.com/signetid/signet/internal/place"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/report"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/trust"
)

// House is everything below the doors, wired.
type House struct {
	rooms
	DB        *sqldb.DB
	Audit     *audit.Log
	Directory *directory.Directory
	Clients   *client.Registry
	Devices   *device.Registry
	Macs      *mac.Registry
	Policies  *policy.Store
	Keys      *keyring.Ring
	Metadata  *metadata.Registry
	Trust     *trust.Store
	Box       *nonce.Box
	Sessions  *session.Store
	Browsers  *browser.Registry
	Tokens    *token.Service
	PRTs      *prt.Service
	Corridor  *signin.Corridor
	Report    *report.Report
	Hygiene   *hygiene.Keeper
	Push      *push.Service
	Places    *place.Table

	cfg  Config
	base string
	// tlsBase is the address where client certificates are asked for; empty:
	// there is none. It is set before the doors are made.
	tlsBase string
	// hosts are tenants' own names for handshakes.
	hosts *certificateHosts
	// stopping is closed when the doors close: who waits there goes elsewhere.
	stopping chan struct{}
	roots    *x509.CertPool // of TPM makers
	macRoots *x509.CertPool // of attestations of Macs; nil: none is believed
	bus      *bus.Bus
	jobs     *job.Runner
	epoch    *epoch
	high     *highWater
	clock    *clockWatch
	vault    *vault
	kek      *keeper
}

// Open opens the data folder and wires the house. base is the address that
// people use.
func Open(ctx context.Context, cfg Config, base string) (_ *House, err error) {
	cfg = cfg.quiet()
	roots, err := cfg.tpmRoots()
	if err != nil {
		return nil, err
	}
	macRoots, err := cfg.macRoots()
	if err != nil {
		return nil, err
	}
	v, err := openVault(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	h := &House{cfg: cfg, base: base, roots: roots, macRoots: macRoots, stopping: make(chan struct{}), DB: v.db, vault: v, epoch: &epoch{}, high: newHighWater(cfg.Data)}
	h.bus = bus.New(h.DB, cfg.Log)
	h.Audit = audit.New(cfg.Now)
	h.clock = newClockWatch(cfg.Now, cfg.Log, h.recordJump)
	h.Keys = v.ring(h.bus)
	h.kek = newKeeper(v, h.Keys)
	if _, err := v.prepare(ctx, h.Keys, h.Audit, h.high); err != nil {
		return nil, err
	}
	if err := h.epoch.load(ctx, h.DB); err != nil {
		return nil, fmt.Errorf("read the epoch: %w", err)
	}
	if err := h.wire(); err != nil {
		return nil, err
	}
	if err := h.Push.Prepare(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// wire makes registries, outcomes, rooms and the corridor, floor by floor.
func (h *House) wire() error {
	now := h.cfg.Now
	h.Directory = directory.New(directory.Config{DB: h.DB, Now: now, Bus: h.bus})
	h.Clients = client.New(client.Config{DB: h.DB, Now: now, Bus: h.bus, Devices: h.deviceRules})
	h.Devices = device.New(device.Config{DB: h.DB, Keys: h.Keys.Sealing, Now: now, Bus: h.bus})
	h.Macs = mac.New(mac.Config{DB: h.DB, Devices: h.Devices, Keys: h.Keys.Sealing, Now: now, Bus: h.bus})
	h.Metadata = metadata.New(metadata.Config{
		DB: h.DB, Bus: h.bus, Now: now,
		URL: h.cfg.Metadata.url(), File: h.cfg.Metadata.File, Private: h.cfg.Metadata.Private,
	})
	h.Trust = trust.New(h.cfg.CRL.trust(h.DB, h.bus, now))
	h.Policies = policy.New(policy.Config{
		DB: h.DB, Now: now, Bus: h.bus, Groups: h.Directory.GroupsOf, Models: h.Metadata.Names, Status: h.Metadata.Verdict,
	})
	h.Browsers = browser.New(browser.Config{DB: h.DB, Now: now})
	h.Box = nonce.New(nonce.Config{Keys: h.Keys.Sealing, Epoch: h.epoch.Now, Now: now})
	h.Sessions = session.New(session.Config{
		DB: h.DB, Now: now, Secure: strings.HasPrefix(h.base, "https:"), Epoch: h.epoch.Now,
		Limits: func(ctx context.Context, t idp.TenantID) (idle, absolute time.Duration, err error) {
			p, err := h.Policies.Get(ctx, t)
			return p.Session.Idle, p.Session.Absolute, err
		},
		Stands: func(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.SessionID, d idp.DeviceID) (bool, error) {
			err := h.stands(ctx, q, t, id, d)
			return err == nil, unlessExpired(err)
		},
	})
	h.Tokens = token.New(token.Config{
		DB: h.DB, Keys: h.Keys, Audit: h.Audit, Now: now,
		Issuer: h.Issuer, User: h.Directory.User, Epoch: h.epoch.Now, Stands: h.stands,
	})
	h.PRTs = prt.New(prt.Config{
		DB: h.DB, Bus: h.bus, Keys: h.Keys, Audit: h.Audit, Now: now, Epoch: h.epoch.Now, OnEnd: h.Tokens.RevokeSession,
		Lives: func(ctx context.Context, t idp.TenantID) (idle, absolute time.Duration, err error) {
			p, err := h.Policies.Get(ctx, t)
			return p.Devices.Idle, p.Devices.Absolute, err
		},
	})
	err := errors.Join(h.openPush(), h.openPlaces())
	if err != nil {
		return err
	}
	if h.rooms, err = h.openRooms(); err != nil {
		return err
	}
	h.Corridor, err = signin.New(signin.Config{
		DB: h.DB, Box: h.Box, Directory: h.Directory, Clients: h.Clients, Policies: h.Policies,
		Sessions: h.Sessions, Audit: h.Audit, Now: now, Methods: h.rooms.all(),
		RevokeStanding: h.revokeStanding,
	})
	if err != nil {
		return err
	}
	h.Report = report.New(report.Config{
		DB: h.DB, Sources: h.Corridor, Policy: h.Policies.Get, Tenants: h.Directory.Tenants, Now: now,
	})
	h.Hygiene = h.openHygiene()
	h.follow()
	h.addJobs()
	return nil
}

// stands says whether a device and its PRT still carry what came by them.
func (h *House) stands(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.SessionID, d idp.DeviceID) error {
	return broker.Stands(ctx, q, h.Devices, h.PRTs, t, id, d)
}

// unlessExpired passes over the one error that is an answer.
func unlessExpired(err error) error {
	if errors.Is(err, idp.Expired) {
		return nil
	}
	return err
}

// deviceRules are the rules that built-in applications depend on.
func (h *House) deviceRules(ctx context.Context, t idp.TenantID) (client.Devices, error) {
	p, err := h.Policies.Get(ctx, t)
	d := p.Devices
	if !d.On {
		return client.Devices{}, err
	}
	return client.Devices{On: true, NativeClientRedirect: d.Compat.NativeClientRedirect, BrokerWithoutPKCE: d.Compat.BrokerWithoutPKCE}, err
}

// PassKeys makes the keys that a tenant's first access pass needs. A key is
// made in a transaction of its own, so before the one that issues the pass.
func (h *House) PassKeys(ctx context.Context, t idp.TenantID) error {
	_, err := h.Keys.Sealing(ctx, t, purposePass)
	return err
}

// Issuer is the one issuer of a tenant (decisions 3.1).
func (h *House) Issuer(t idp.TenantID) string { return h.base + "/" + string(t) + "/v2.0" }

// follow lets everything that belongs to a user go with the user.
func (h *House) follow() {
	h.Directory.OnRemoveUser(func(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
		return h.SignOut(ctx, tx, t, u)
	})
	h.Directory.OnRemoveUser(h.Sessions.RemoveUser)
	h.Directory.OnRemoveUser(h.Browsers.RemoveUser)
	h.Directory.OnRemoveUser(h.PRTs.RemoveUser)
	h.Directory.OnRemoveUser(h.Clients.RemoveUser)
	h.Directory.OnRemoveUser(h.Devices.RemoveUser)
	h.Directory.OnRemoveUser(h.Macs.RemoveUser)
	h.Directory.OnRemoveUser(h.Corridor.RemoveUser)
	h.Directory.OnRemoveUser(oidc.RemoveUser)
	h.Directory.OnPromote(h.withdrawPass)
	h.Directory.OnDemote(h.Corridor.CheckDemote)
	h.Directory.OnRegroup(h.Corridor.CheckRegroup)
	h.Clients.OnRemove(h.Tokens.RevokeClient)
	h.Trust.OnWithdraw(h.Corridor.CheckTrust)
	h.Devices.OnRemove(h.Corridor.CheckDevice)
	h.Devices.OnDisable(h.Corridor.CheckDevice)
	h.Devices.OnRemove(h.PRTs.RevokeDevice)
	h.Devices.OnDisable(h.PRTs.RevokeDevice)
	// What came by a device that is gone is dead; of one that is switched off
	// nothing must revive with it (decisions 4.8).
	h.Devices.OnDisable(h.Sessions.EndDevice)
	h.Devices.OnDisable(h.Tokens.RevokeDevice)
	h.Devices.OnRemove(h.Macs.OnDeviceRemoved)
	h.Macs.OnReplace(h.Corridor.CheckDevice)
	h.Macs.OnReplace(h.PRTs.RevokeDevice)
	h.Macs.OnReplace(h.Sessions.EndDevice)
	h.Macs.OnReplace(h.Tokens.RevokeDevice)
	for _, m := range h.rooms.all() {
		if r, ok := m.(interface {
			RemoveUser(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error
		}); ok {
			h.Directory.OnRemoveUser(r.RemoveUser)
		}
	}
}

// withdrawPass takes back the pass of somebody who is given a role, and ends
// what it opened: the help desk may have given it, and may know it still
// (security.md ADM04).
func (h *House) withdrawPass(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	pass, err := h.Passes.Withdraw(ctx, tx, t, u)
	if err != nil || pass == "" {
		return err
	}
	if _, err = h.Sessions.EndStanding(ctx, tx, t, u, accesspass.ID, pass, ""); err != nil {
		return err
	}
	return h.revokeStanding(ctx, tx, t, u, accesspass.ID, pass)
}

// revokeStanding ends the tokens of both kinds that stand on a credential which
// is going away, and erases what unlocks the Mac that keeps it. That comes last:
// ending the PRT waits for whoever is being given an unlock key because of it.
func (h *House) revokeStanding(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, m idp.MethodID, c idp.CredentialID) error {
	if err := h.Tokens.RevokeStanding(ctx, tx, t, u, m, c); err != nil {
		return err
	}
	if err := h.PRTs.RevokeStanding(ctx, tx, t, u, m, c); err != nil || m != platform.ID {
		return err
	}
	d, err := h.Platform.MachineOf(ctx, tx, t, u, c)
	if err != nil {
		return fmt.Errorf("machine of key %s: %w", c, err)
	}
	return h.Macs.Unlock.Erase(ctx, tx, t, d, u)
}

// SignOut ends everything a user has open: sessions, refresh tokens and PRTs.
func (h *House) SignOut(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	if _, err := h.Sessions.EndAll(ctx, tx, t, u, ""); err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	if err := h.Tokens.RevokeUser(ctx, tx, t, u); err != nil {
		return fmt.Errorf("revoke refresh tokens: %w", err)
	}
	if err := h.PRTs.RevokeUser(ctx, tx, t, u); err != nil {
		return fmt.Errorf("revoke PRTs: %w", err)
	}
	return nil
}

// addJobs collects the background work of the house.
func (h *House) addJobs() {
	h.jobs = job.New(h.DB, nodeName(), h.cfg.Now, h.cfg.Log)
	h.jobs.Add(nonce.Jobs(h.DB)...)
	h.jobs.Add(h.Keys.Jobs()...)
	h.jobs.Add(h.Metadata.Jobs()...)
	h.jobs.Add(h.Trust.Jobs()...)
	h.jobs.Add(h.Browsers.Jobs()...)
	h.jobs.Add(h.Sessions.Jobs()...)
	h.jobs.Add(h.Tokens.Jobs()...)
	h.jobs.Add(h.PRTs.Jobs()...)
	h.jobs.Add(h.Macs.Jobs()...)
	h.jobs.Add(oidc.Jobs(h.DB)...)
	h.jobs.Add(h.Corridor.Jobs()...)
	h.jobs.Add(h.Report.Jobs()...)
	h.jobs.Add(drs.Jobs(h.DB, h.Devices, h.Audit)...)
	for _, m := range h.rooms.all() {
		if w, ok := m.(method.Worker); ok {
			h.jobs.Add(w.Jobs()...)
		}
	}
	h.jobs.Add(job.Job{Name: "audit.purge", Every: time.Hour, Forgets: true, Run: func(ctx context.Context, now time.Time) error {
		_, err := h.Audit.Purge(ctx, h.DB, now.Add(-h.cfg.AuditKeep))
		return err
	}})
}

// nodeName tells this process from the other nodes in leases.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), secret.Token()[:8])
}

// Run does the background work until ctx ends.
func (h *House) Run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return h.bus.Run(ctx) })
	all.Go(func() error { return h.jobs.Run(ctx) })
	all.Go(func() error { return h.Metadata.Run(ctx) })
	all.Go(func() error { return h.Push.Run(ctx) })
	all.Go(func() error { return h.rooms.Phones.Run(ctx) })
	all.Go(func() error {
		return h.high.run(ctx, h.DB, h.Audit, func(err error) { h.cfg.Log.Warn("write the high-water mark", "cause", err) })
	})
	all.Go(func() error { return h.everyMinute(ctx) })
	all.Go(func() error { return h.clock.run(ctx, h.DB) })
	if err := all.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// everyMinute does what each node does for itself: counts of failures that it
// has in memory, the epoch that another node may have raised, which
// key-encryption keys it has, and files that may have been replaced.
func (h *House) everyMinute(ctx context.Context) error {
	tick := time.NewTicker(keyring.AnnounceEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := errors.Join(h.Audit.Flush(ctx, h.DB), h.epoch.load(ctx, h.DB), h.kek.Announce(ctx)); err != nil {
				h.cfg.Log.Warn("minute", "cause", err)
			}
			h.refreshPlaces()
		}
	}
}

// Check says whether the house can serve: the database answers.
func (h *House) Check(ctx context.Context) error { return h.DB.Ping(ctx) }

// closeWithin bounds what is left to write when everything else has stopped.
const closeWithin = 5 * time.Second

// Close writes what is left and gives the data folder back.
func (h *House) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	err := errors.Join(h.kek.Leave(ctx), h.Audit.Flush(ctx, h.DB), h.high.advance(ctx, h.DB, h.Audit))
	if err != nil {
		h.cfg.Log.Warn("close", "cause", err)
	}
	return h.vault.close()
}
