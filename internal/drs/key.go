package drs

import (
	"context"
	"net/http"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/enrol"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
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
	a, err := s.gate.Authorise(r)
	if err != nil {
		return err
	}
	made, err := s.keyRegistered(ctx, w, r, a)
	if err != nil {
		return err
	}
	w.Header().Set("request-id", secret.NewUUID4())
	return web.JSON(w, http.StatusOK, keyReply{made.ID, a.Person.Name})
}

func (s *Server) keyRegistered(ctx context.Context, w http.ResponseWriter, r *http.Request, a enrol.Access) (method.Credential, error) {
	event := audit.Event{
		Tenant: a.Tenant, Category: audit.Change, Activity: string(policy.Hello) + ".register", Method: policy.Hello, Actor: string(a.Person.ID),
		User: a.Person.ID, UserName: a.Person.Name, Client: a.Client, Session: a.Session,
		IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(ctx),
	}
	key, err := s.keyAsked(ctx, w, r, a)
	if err != nil {
		return method.Credential{}, s.failed(ctx, event, err)
	}
	once := signin.OnceRequest{
		Tenant: a.Tenant, Method: policy.Hello, Payload: key, User: a.Person, Device: a.Device, Client: a.Client, Peer: peer(r),
		Settle: func(ctx context.Context, tx *sqldb.Tx, _ idp.Proof) error { return s.gate.Kept(ctx, tx, a) },
	}
	// From here on the corridor judges, and records.
	return s.cfg.Corridor.RegisterOnce(ctx, signin.RegisterOnceRequest{
		OnceRequest: once,
		ProofTime:   a.AuthTime, Within: enrol.KeyWithin, ByToken: true,
	})
}

// keyAsked checks what the protocol says of such a request, and gives the key.
func (s *Server) keyAsked(ctx context.Context, w http.ResponseWriter, r *http.Request, a enrol.Access) ([]byte, error) {
	if v := r.URL.Query().Get("api-version"); v != "1.0" {
		return nil, malformed("api-version", "version %.20q", v)
	}
	if accept := r.Header.Get("Accept"); accept != "" && !strings.Contains(accept, "application/json") && !strings.Contains(accept, "*/*") {
		return nil, malformed("Accept", "accepts %.60q", accept)
	}
	if err := s.mayKeep(ctx, a); err != nil {
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
