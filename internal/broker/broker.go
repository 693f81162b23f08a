package broker

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// Config is what app hands to the door. All fields are required.
type Config struct {
	BaseURL   string // https://id.example
	DB        *sqldb.DB
	Directory *directory.Directory
	Clients   *client.Registry
	Policies  *policy.Store
	Devices   *device.Registry
	PRTs      *prt.Service
	Tokens    *token.Service
	Corridor  *signin.Corridor
	Box       *nonce.Box
	Audit     *audit.Log
	Now       func() time.Time
	// Entitle judges what an application may have: client, scopes and audience.
	// The rules are those of the authorization endpoint.
	Entitle func(ctx context.Context, t idp.TenantID, app idp.ClientID, scope, resource, redirect string) (client.Client, []string, string, error)
}

// Server is the door for devices.
type Server struct{ cfg Config }

// New makes the door.
func New(cfg Config) *Server { return &Server{cfg} }

// exchange is one message on its way.
type exchange struct {
	ref      string     // tenant of the path, as it was sent
	form     url.Values // each parameter once
	v2       bool       // numbers are numbers (device-protocol.md §3)
	protocol prt.Protocol
	peer     signin.Peer
	message  jose.Loose
	claims   claimsAsk
}

// Message answers a message of a device: grant_type jwt-bearer with a request
// (device-protocol.md §7, §9.1). The answer, an error included, has been
// written when it returns; the error is for whoever counts failures.
func (s *Server) Message(w http.ResponseWriter, r *http.Request, ref string, form url.Values) error {
	out, err := s.answer(r, ref, form)
	if err != nil {
		s.phrase(w, r, err)
		return told(err)
	}
	return out.write(w)
}

func (s *Server) answer(r *http.Request, ref string, form url.Values) (reply, error) {
	ctx := r.Context()
	x, err := s.read(r, ref, form)
	if err != nil {
		return reply{}, err
	}
	if x.message.Alg == "HS256" {
		return s.use(ctx, x)
	}
	d, err := s.identify(ctx, x.message)
	if err != nil {
		return reply{}, err
	}
	if err := s.within(ctx, x, d.Tenant, deviceElsewhere); err != nil {
		return reply{}, err
	}
	return s.signed(ctx, x, d)
}

// read takes the request apart. Nothing in the message is believed.
func (s *Server) read(r *http.Request, ref string, form url.Values) (exchange, error) {
	x := exchange{
		ref: ref, form: form, v2: strings.Contains(r.URL.Path, "/v2.0/"),
		peer: signin.Peer{IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(r.Context())},
	}
	switch v, w := form.Get("prt_protocol_version"), form.Get("windows_api_version"); {
	case v == string(prt.V3), v == string(prt.V4):
		x.protocol = prt.Protocol(v)
	case v == "" && (w == "2" || strings.HasPrefix(w, "2.")):
		x.protocol = prt.Classic
	default:
		return x, malformed("protocol_unknown", "windows_api_version %q, prt_protocol_version %q", clip(w), clip(v))
	}
	if form.Get("request") == "" {
		return x, missing("request")
	}
	var err error
	if x.message, err = jose.ParseLoose(form.Get("request"), "RS256", "ES256", "HS256"); err != nil {
		return x, unreadable(err)
	}
	x.claims, err = readClaims(form.Get("claims"))
	return x, err
}

// unreadable is a message that is none.
func unreadable(err error) error {
	e := idp.AsError(err)
	switch e.Reason {
	case "kdf_unknown":
		return grantFault(idp.Unproven, codeKDF, e.Reason, "This version of the key derivation is not allowed.", "%w", err)
	case "ctx_missing", "ctx_refused":
		return grantFault(idp.Unproven, codeSessionKey, e.Reason, "The request is not signed with a derived key.", "%w", err)
	}
	return fault(idp.Unproven, "invalid_request", codeToken, e.Reason, "The signed request could not be read.", "%w", err)
}

// identify finds the device that signs with its own key, and makes sure that it
// did: certificate, enabled, signature, in that order (device-protocol.md §7.1).
func (s *Server) identify(ctx context.Context, m jose.Loose) (device.Device, error) {
	if len(m.Chain) == 0 {
		return device.Device{}, deviceFailed("certificate_missing", "no x5c")
	}
	d, err := s.cfg.Devices.Identify(ctx, m.Chain[0])
	if err != nil {
		return d, err
	}
	if err := usable(d); err != nil {
		return d, err
	}
	if err := m.VerifyKey(d.Key); err != nil {
		return d, grantFault(idp.Unproven, codeSignature, idp.AsError(err).Reason,
			"The signature of the request is not that of the device.", "device %s: %w", d.ID, err)
	}
	return d, nil
}

func deviceFailed(reason, format string, args ...any) *Fault {
	return grantFault(idp.Unproven, codeDevice, reason, "Device authentication failed for this user.", format, args...)
}

func deviceElsewhere(t idp.TenantID) *Fault {
	return deviceFailed("tenant_differs", "device of %s", t)
}

// usable refuses a device that is switched off.
func usable(d device.Device) error {
	if !d.Enabled {
		return grantFault(idp.Denied, codeDeviceOff, "device_disabled",
			"The device is switched off. Ask the help desk.", "device %s of %s", d.ID, d.Tenant)
	}
	return nil
}

// within holds the tenant that a message belongs to against that of the path,
// and makes sure that it has devices on. other is the answer to a tenant that
// differs.
func (s *Server) within(ctx context.Context, x exchange, t idp.TenantID, other func(idp.TenantID) *Fault) error {
	if !isCommon(x.ref) {
		named, err := s.cfg.Directory.Resolve(ctx, x.ref)
		if k := idp.AsError(err); err != nil && k.Kind != idp.NotFound && k.Kind != idp.Invalid {
			return err
		}
		if err != nil {
			return fault(idp.NotFound, "invalid_request", codeUnknownTenant, "tenant_unknown",
				"There is no such organisation here. Check the address.", "tenant %q", clip(x.ref))
		}
		if named.ID != t {
			return other(t)
		}
	}
	return s.on(ctx, t)
}

// on makes sure that the tenant has devices on.
func (s *Server) on(ctx context.Context, t idp.TenantID) error {
	p, err := s.cfg.Policies.Get(ctx, t)
	if err != nil {
		return err
	}
	if !p.Devices.On {
		return unsupported("devices_off", "This organisation does not register devices.", "devices are off in %s", t)
	}
	return nil
}

func isCommon(ref string) bool {
	return strings.EqualFold(ref, "common") || strings.EqualFold(ref, "organizations")
}

// nonces opens the nonces of a message: each ours, of the tenant or good in any,
// and in time. A nonce is not known to be unused: only the burn says so. Beside
// the error of the first bad one come those that are good: all are to be spent.
func (s *Server) nonces(ctx context.Context, t idp.TenantID, values ...string) (out []nonce.Sealed, bad error) {
	for _, v := range values {
		n, err := s.opened(ctx, t, v)
		switch {
		case ours(err):
			return nil, err
		case err == nil:
			out = append(out, n)
		case bad == nil:
			bad = err
		}
	}
	return out, bad
}

// opened opens one nonce.
func (s *Server) opened(ctx context.Context, t idp.TenantID, value string) (nonce.Sealed, error) {
	if value == "" {
		return nonce.Sealed{}, fault(idp.Invalid, "invalid_request", codeNonce, "nonce_missing", "The request has no nonce.", "no request_nonce")
	}
	n, err := s.cfg.Box.OpenServer(ctx, t, value)
	switch {
	case nonce.Unreadable(err):
		err = badNonce("nonce_unknown", "The nonce was not given out here.")
	case errors.Is(err, idp.Expired):
		err = badNonce("nonce_late", "The time of the nonce is up. Ask for a new one.")
	}
	return n, err
}

// unburnt records a refusal of a message whose nonce is not good, so that there
// is nothing to burn.
func (s *Server) unburnt(ctx context.Context, x exchange, activity string, t idp.TenantID, u idp.UserID, d idp.DeviceID, err error) error {
	if ours(err) {
		return err
	}
	e := idp.AsError(err)
	event := audit.Event{
		Tenant: t, Category: audit.Token, Activity: activity, Outcome: audit.Failure, User: u,
		Reason: e.Reason, Code: number(e), IP: x.peer.IP, Agent: x.peer.Agent, Trace: x.peer.Trace,
	}
	if d != "" {
		event.Actor, event.Detail = "device:"+string(d), map[string]string{signin.DetailDevice: string(d)}
	}
	if told := s.cfg.Audit.Failure(ctx, s.cfg.DB, event); told != nil {
		return told
	}
	return err
}
