package app

import (
	"context"
	"net/http"
	"slices"

	"github.com/signetid/signet/internal/broker"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/console"
	"github.com/signetid/signet/internal/drs"
	"github.com/signetid/signet/internal/graph"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/oidc"
	"github.com/signetid/signet/internal/phoneapp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/portal"
	"github.com/signetid/signet/internal/psso"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// doors are those that need each other: oidc and console for their sign-in
// pages, portal to go back to where it came from. Each has the others by a func
// that looks here when it is called.
type doors struct {
	*House
	pages  *portal.Portal
	openID *oidc.Server
	desk   *console.Console
}

// mount adds the doors and the roads that rooms have of their own.
func (h *House) mount(mux *http.ServeMux) error {
	d := &doors{House: h}
	if err := d.openPages(); err != nil {
		return err
	}
	if err := d.openDesk(); err != nil {
		return err
	}
	phone, err := phoneapp.New(phoneapp.Config{BaseURL: h.base, ErrorPage: d.pages.ErrorPage})
	if err != nil {
		return err
	}
	macs := d.forMacs()
	d.openOpenID(macs)
	d.openID.Mount(mux)
	macs.Mount(mux)
	phone.Mount(mux)
	d.registration().Mount(mux)
	d.pages.Mount(mux)
	d.desk.Mount(mux)
	for _, m := range h.rooms.all() {
		if road, ok := m.(method.Mounter); ok {
			road.Mount(mux)
		}
	}
	return nil
}

func (d *doors) openPages() (err error) {
	h := d.House
	d.pages, err = portal.New(portal.Config{
		BaseURL: h.base, DB: h.DB, Corridor: h.Corridor, Directory: h.Directory, Clients: h.Clients,
		Sessions: h.Sessions, Audit: h.Audit, Now: h.cfg.Now,
		Resume: map[string]portal.Resume{
			oidc.Door: func(w http.ResponseWriter, r *http.Request, f signin.Flow, s signin.Step) error {
				return d.openID.Resume(w, r, f, s)
			},
			oidc.DeviceDoor: func(w http.ResponseWriter, r *http.Request, f signin.Flow, s signin.Step) error {
				id, err := d.openID.SettleRemote(r.Context(), f, s, peerOf(r))
				if err != nil {
					return err
				}
				return d.pages.Settled(w, r, s.Session, id)
			},
			console.Door: func(w http.ResponseWriter, r *http.Request, f signin.Flow, s signin.Step) error {
				return d.desk.Resume(w, r, f, s)
			},
		},
		Holding: func(ctx context.Context, t idp.TenantID, u idp.UserID) (portal.Holding, error) {
			n, err := h.Passkeys.Holding(ctx, t, u)
			return portal.Holding{Held: n.Held, Limit: n.Limit, WarnAt: n.WarnAt}, err
		},
		Signals: func(ctx context.Context, t idp.TenantID, u idp.UserID) (any, error) {
			return h.Passkeys.Signal(ctx, t, u)
		},
		Unknown:           h.Passkeys.Unknown,
		RevokeSession:     h.Tokens.RevokeSession,
		RevokeUser:        h.SignOut,
		RevokeGrant:       h.Tokens.RevokeGrant,
		Devices:           &portal.Devices{Registry: h.Devices, PRTs: h.PRTs, OnDevice: h.machineKeys().OnDevice, Rules: h.machineRules, MacKeys: h.macKeyRules, Serials: h.serials},
		Remote:            d.remote(),
		Phones:            h.phonePages(),
		Browsers:          h.Browsers,
		CertificateOrigin: h.certificateAddress,
		Stopping:          h.stopping,
		Limits:            portal.Limits{PassTries: h.cfg.Limits.PassTries, Begins: h.cfg.Limits.Begins, Asks: h.cfg.Limits.Asks},
	})
	return err
}

func (d *doors) openDesk() (err error) {
	h := d.House
	d.desk, err = console.New(console.Config{
		BaseURL: h.base, DB: h.DB, Corridor: h.Corridor, Directory: h.Directory, Clients: h.Clients, Policies: h.Policies,
		Sessions: h.Sessions, Metadata: h.Metadata, Audit: h.Audit, Report: h.Report, Now: h.cfg.Now,
		SignIn: d.pages.SignIn, ErrorPage: d.pages.ErrorPage, IssuePass: h.pass, PreparePass: h.PassKeys, RevokeUser: h.SignOut,
		Devices: h.Devices, PRTs: h.PRTs, Hello: h.machineKeys(), Hygiene: h.Hygiene, Macs: h.macPages(), Phones: h.Phones,
		Trust: h.Trust, Explain: h.Certificates.Explain,
	})
	return err
}

func (d *doors) openOpenID(macs *psso.Server) {
	h := d.House
	d.openID = oidc.New(oidc.Config{
		BaseURL: h.base, TLSURL: h.tlsBase, DB: h.DB, Directory: h.Directory, Clients: h.Clients, Policies: h.Policies,
		Sessions: h.Sessions, Tokens: h.Tokens, Keys: h.Keys, Corridor: h.Corridor, Box: h.Box,
		Audit: h.Audit, Now: h.cfg.Now, Epoch: h.epoch.Now,
		Limits: oidc.Limits{
			FailuresPerSource: h.cfg.Limits.Failures, FailuresPerClient: max(1, h.cfg.Limits.Failures/10), Nonces: h.cfg.Limits.Nonces,
		},
		Devices: carrying(macs, d.broker()),
		SignIn:  d.pages.SignIn, ErrorPage: d.pages.ErrorPage, LogoutPage: func(w http.ResponseWriter, r *http.Request, p oidc.LogoutPrompt) error {
			return d.pages.ConfirmLogout(w, r, logoutPage(p))
		}, SignedOut: "/signed-out",
	})
}

// broker answers what devices send to the addresses of the OpenID door.
func (d *doors) broker() *broker.Server {
	h := d.House
	return broker.New(broker.Config{
		BaseURL: h.base, DB: h.DB, Directory: h.Directory, Clients: h.Clients, Policies: h.Policies, Devices: h.Devices,
		PRTs: h.PRTs, Tokens: h.Tokens, Corridor: h.Corridor, Box: h.Box, Audit: h.Audit, Now: h.cfg.Now,
		Entitle: func(ctx context.Context, t idp.TenantID, app idp.ClientID, scope, resource, redirect string) (client.Client, []string, string, error) {
			return d.openID.Entitle(ctx, t, app, scope, resource, redirect)
		},
	})
}

func (d *doors) registration() *drs.Server {
	h := d.House
	return drs.New(drs.Config{
		BaseURL: h.base, TLSBaseURL: h.tlsBase, DB: h.DB, Directory: h.Directory, Devices: h.Devices, Policies: h.Policies,
		Tokens: h.Tokens, Corridor: h.Corridor, Box: h.Box, Audit: h.Audit, Now: h.cfg.Now, Roots: h.roots,
		Limits: drs.Limits{Nonces: h.cfg.Limits.Nonces, Asks: h.cfg.Limits.Begins},
	})
}

// machineRules are the tenant's rules about machines and the keys on them.
func (h *House) machineRules(ctx context.Context, t idp.TenantID) (policy.DeviceRules, policy.HelloRules, error) {
	p, err := h.Policies.Get(ctx, t)
	return p.Devices, p.Hello, err
}

// api stands before the other doors and serves the administration API.
func (h *House) api(next http.Handler) http.Handler {
	return graph.New(graph.Config{
		BaseURL: h.base, DB: h.DB, Directory: h.Directory, Clients: h.Clients, Audit: h.Audit, Tokens: h.Tokens,
		Corridor: h.Corridor, IssuePass: h.pass, PreparePass: h.PassKeys, RevokeUser: h.SignOut, Now: h.cfg.Now,
		Policies: h.Policies, Models: h.Metadata.Names,
		Devices: h.Devices, Hygiene: h.Hygiene, OnDevice: h.standing, Trust: h.Trust,
	}).Around(next)
}

// standing is what stands on a device, for the administration API.
func (h *House) standing(ctx context.Context, t idp.TenantID, d idp.DeviceID) (graph.Standing, error) {
	keys, err := h.machineKeys().OnDevice(ctx, t, d)
	if err != nil {
		return graph.Standing{}, err
	}
	all, err := h.onDevice(ctx, t, d)
	out := graph.Standing{Keys: all.Keys, MacKeys: all.MacKeys, Tokens: all.Tokens, Only: all.Only}
	for _, k := range keys {
		if !slices.Contains(out.Holders, k.User) {
			out.Holders = append(out.Holders, k.User)
		}
	}
	if err != nil {
		return out, err
	}
	signed, err := h.PRTs.OfDevice(ctx, t, d)
	for _, p := range signed {
		if !slices.Contains(out.Signed, p.User) {
			out.Signed = append(out.Signed, p.User)
		}
	}
	return out, err
}

// logoutPage says what the OpenID door wants confirmed in the portal's words.
func logoutPage(p oidc.LogoutPrompt) portal.Logout {
	page := portal.Logout{
		Tenant: p.Tenant, User: p.User, ClientName: p.ClientName, Action: p.Action, LeadsTo: p.LeadsTo,
	}
	for _, f := range p.Fields {
		page.Fields = append(page.Fields, portal.Field(f))
	}
	return page
}

// remote says what the OpenID door does about sign-ins on other machines in the
// portal's words.
func (d *doors) remote() portal.Remote {
	return portal.Remote{
		Claim: func(ctx context.Context, s session.Session, typed string, from signin.Peer) (string, error) {
			return d.openID.ClaimDevice(ctx, s, typed, from)
		},
		Asking: func(ctx context.Context, s session.Session, id string) (portal.Asking, error) {
			a, err := d.openID.Remote(ctx, s, id)
			return portal.Asking{
				State: portal.AskingState(a.State), App: a.Client.Name, Scopes: a.Scopes, IP: a.IP, Agent: a.Agent,
				Since: a.Asked, Registers: a.Registers, Waiting: a.Waiting,
			}, err
		},
		Flow: func(ctx context.Context, s session.Session, id string) (signin.Flow, error) {
			return d.openID.RemoteFlow(ctx, s, id)
		},
		Deny: func(ctx context.Context, s session.Session, id string, from signin.Peer) error {
			return d.openID.DenyRemote(ctx, s, id, from)
		},
	}
}

// peerOf is who sent a request, for records.
func peerOf(r *http.Request) signin.Peer {
	return signin.Peer{IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(r.Context())}
}
