package drs

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// keyRequest is the body of a registration of a user key (MS-KPP §2.2.2.1).
type keyRequest struct {
	Key jose.Text `json:"kngc"`
}

type keyReply struct {
	ID  idp.CredentialID `json:"kid"`
	UPN string           `json:"upn"`
}

// registerKey registers a key that a device keeps for the person of the token
// (device-protocol.md §6). The token says which device.
func (s *Server) registerKey(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	a, err := s.authorise(r)
	if err != nil {
		return err
	}
	made, err := s.keyRegistered(ctx, w, r, a)
	if err != nil {
		return err
	}
	w.Header().Set("request-id", secret.NewUUID4())
	return web.JSON(w, http.StatusOK, keyReply{made.ID, a.person.Name})
}

func (s *Server) keyRegistered(ctx context.Context, w http.ResponseWriter, r *http.Request, a access) (method.Credential, error) {
	event := audit.Event{
		Tenant: a.Tenant, Category: audit.Change, Activity: string(policy.Hello) + ".register", Method: policy.Hello, Actor: string(a.person.ID),
		User: a.person.ID, UserName: a.person.Name, Client: a.Client, Session: a.Session,
		IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(ctx),
	}
	key, err := s.keyAsked(ctx, w, r, a)
	if err != nil {
		return method.Credential{}, s.failed(ctx, event, err)
	}
	once := signin.OnceRequest{
		Tenant: a.Tenant, Method: policy.Hello, Payload: key, User: a.person, Device: a.Device, Client: a.Client, Peer: peer(r),
	}
	if a.byPass() {
		once.Settle = func(ctx context.Context, tx *sqldb.Tx, _ idp.Proof) error {
			return bound(s.cfg.Tokens.Finish(ctx, tx, a.Tenant, a.Family))
		}
	}
	// From here on the corridor judges, and records.
	return s.cfg.Corridor.RegisterOnce(ctx, signin.RegisterOnceRequest{
		OnceRequest: once,
		ProofTime:   a.AuthTime, Within: keyWithin, ByToken: true,
	})
}

// keyAsked checks what the protocol says of such a request, and gives the key.
func (s *Server) keyAsked(ctx context.Context, w http.ResponseWriter, r *http.Request, a access) ([]byte, error) {
	if v := r.URL.Query().Get("api-version"); v != "1.0" {
		return nil, malformed("api-version", "version %.20q", v)
	}
	if accept := r.Header.Get("Accept"); accept != "" && !strings.Contains(accept, "application/json") && !strings.Contains(accept, "*/*") {
		return nil, malformed("Accept", "accepts %.60q", accept)
	}
	if err := s.mayKeep(ctx, a, s.cfg.Now()); err != nil {
		return nil, err
	}
	var asked keyRequest
	if err := body(w, r, &asked); err != nil {
		return nil, err
	}
	key, err := jose.Unbase64(string(asked.Key))
	if err != nil || len(key) == 0 {
		return nil, malformed("kngc", "key of %d characters", len(asked.Key))
	}
	return key, nil
}

// mayKeep asks whether the token is one with which a device may have a key
// registered: of an enabled device, and of a gesture just now, with several
// factors, at the device itself (device-protocol.md §6, §15).
func (s *Server) mayKeep(ctx context.Context, a access, now time.Time) error {
	switch {
	case !a.rules.Devices.On:
		return idp.Deniedf("devices_off", "tenant %s", a.Tenant).Coded(codeJoin).Say(sayJoin["devices_off"])
	case a.Device == "":
		return badToken("token_of_no_device", "the token is of no device")
	case a.Code == token.ByDeviceCode && !a.rules.Devices.Compat.DeviceCodeToHello:
		return remote()
	case a.byPass():
		if err := a.passStands(); err != nil {
			return err
		}
	case !slices.Contains(a.AMR, "ngcmfa"):
		return idp.Unprovenf("ngcmfa_missing", "amr %v", a.AMR).Coded(codeMFA).
			Say("Show once more that it is you, with a passkey or a way that is as strong, and then try again.")
	}
	if err := a.fresh(now, keyWithin); err != nil {
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
