package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// DeviceDoor is the word by which flows that allow a sign-in elsewhere are known
// to the corridor.
const DeviceDoor = "device"

// The states of an approval. It only ever moves down this list.
const (
	approvalOpen    = "open"    // typed by a person; no machine has come yet
	approvalMet     = "met"     // a machine said what it asks
	approvalAllowed = "allowed" // the person allowed it
	approvalDenied  = "denied"  // the person did not
)

// approval is a row: one code that one person typed.
type approval struct {
	ID      string
	User    idp.UserID
	Session idp.SessionID
	State   string
	Device  []byte // the id of the device code that was met
	Asked   []byte
	Granted []byte
	Created time.Time
	Expires time.Time
}

// approvalAsk is what the row keeps of a machine.
type approvalAsk struct {
	Client idp.ClientID `json:"c"`
	deviceAsk
}

// approvalGrant is what the row keeps of the person's sign-in, for tokens.
type approvalGrant struct {
	ACR      string        `json:"k,omitempty"`
	AMR      []string      `json:"m,omitempty"`
	AuthTime int64         `json:"t"`
	Basis    []token.Basis `json:"b,omitempty"`
	// PRT is what the session stood on in which it was allowed.
	PRT idp.SessionID `json:"o,omitempty"`
}

// How often a person may type codes: ten in fifteen minutes, counted over all
// nodes. Of 5 · 10^11 codes that finds none (security.md T15).
const (
	claimsWithin = 15 * time.Minute
	claimsMost   = 10
)

// ClaimDevice notes that the person of a session typed a user code, and gives
// the id to go on with. It says nothing about the code: whether a machine shows
// it is known when that machine polls. Invalid "user_code" is what no machine
// shows; Limited is too many tries.
func (s *Server) ClaimDevice(ctx context.Context, sess session.Session, typed string, from signin.Peer) (string, error) {
	code := typedCode(typed)
	if code == "" {
		return "", idp.Invalidf("user_code", "user code of %d bytes", len(typed)).On("user_code")
	}
	p, err := s.cfg.Policies.Get(ctx, sess.Tenant)
	if err != nil {
		return "", err
	}
	if !p.Devices.DeviceCode {
		return "", idp.Deniedf("device_code_off", "tenant %s", sess.Tenant).Coded(codeGrantNotAllowed)
	}
	mac, err := s.codeMAC(ctx, sess.Tenant, code)
	if err != nil {
		return "", err
	}
	now := s.cfg.Now().UTC().Truncate(time.Millisecond)
	a := approval{
		ID: secret.NewUUID7(now), User: sess.User, Session: sess.ID, State: approvalOpen, Created: now, Expires: now.Add(deviceCodeLives),
	}
	var answer error
	err = s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		answer = nil
		// One after the other, or tries side by side would all be the tenth.
		if err := s.cfg.Directory.Lock(ctx, tx, sess.Tenant, sess.User); err != nil {
			return err
		}
		n, err := countApprovals(ctx, tx, sess.Tenant, sess.User, now.Add(-claimsWithin))
		if err != nil {
			return err
		}
		if n >= claimsMost {
			answer = idp.Limitedf("user_codes", "user %s typed %d codes", sess.User, n).Coded(codeTooMany)
			return s.cfg.Audit.Write(ctx, tx, deviceEvent(sess, from, approvalAsk{}, answer))
		}
		return insertApproval(ctx, tx, sess.Tenant, mac, a)
	})
	if errors.Is(err, idp.Conflict) {
		// Somebody typed the same letters before. Whoever it was, the machine
		// belongs to that page: this one waits in vain, as for a mistyped code.
		return s.claimedBefore(ctx, sess, mac)
	}
	if err != nil {
		return "", err
	}
	return a.ID, answer
}

// claimedBefore is the approval of somebody who typed their code twice.
func (s *Server) claimedBefore(ctx context.Context, sess session.Session, mac []byte) (string, error) {
	a, err := approvalByCode(ctx, s.cfg.DB, sess.Tenant, mac)
	if err != nil || a.User != sess.User {
		return "", idp.Conflictf("user_code_taken", "code of approval %s: %v", a.ID, err)
	}
	return a.ID, nil
}

// approvalFor is the approval that waits for a device code; one that waits for
// any machine is met by it. NotFound while nobody typed its code, and when
// another machine was met with the same letters.
func (s *Server) approvalFor(ctx context.Context, t idp.TenantID, id token.CodeID, body deviceBody) (approval, error) {
	a, err := approvalByCode(ctx, s.cfg.DB, t, body.Code)
	if err != nil {
		return a, err
	}
	now := s.cfg.Now()
	switch {
	case !now.Before(a.Expires):
		return a, idp.NotFoundf("approval_over", "approval %s", a.ID)
	case a.State == approvalOpen:
		asked, err := json.Marshal(approvalAsk{body.Client, body.deviceAsk})
		if err != nil {
			return a, err
		}
		if err := meetApproval(ctx, s.cfg.DB, t, a.ID, id[:], asked); err != nil {
			return a, err
		}
		return a, idp.NotFoundf("approval_unanswered", "approval %s was met", a.ID)
	case a.State == approvalDenied && len(a.Device) == 0: // a no to whoever shows the code
	case string(a.Device) != string(id[:]):
		return a, idp.NotFoundf("approval_of_other", "approval %s", a.ID)
	}
	return a, nil
}

// Remote is a sign-in on another machine, as its person is asked about it.
type Remote struct {
	State     RemoteState
	Client    client.Client // this and all below from RemoteMet on
	Scopes    []string
	IP, Agent string // of the machine, as it came
	Asked     time.Time
	// Registers says that it may become a device of the organisation: by the
	// refresh token of a built-in application it can, whatever it asks first.
	Registers bool
	Waiting   time.Duration // since the code was typed
}

// RemoteState says how far it is.
type RemoteState string

// The states, as a page tells them apart.
const (
	RemoteWaiting RemoteState = approvalOpen
	RemoteMet     RemoteState = approvalMet
	RemoteAllowed RemoteState = approvalAllowed
	RemoteDenied  RemoteState = approvalDenied
)

// Remote reads what the person of a session typed a code for, in whichever of
// their sessions: proving more may have changed it. NotFound for others, and
// when it is over.
func (s *Server) Remote(ctx context.Context, sess session.Session, id string) (Remote, error) {
	a, ask, c, err := s.remote(ctx, sess, id)
	if err != nil {
		return Remote{}, err
	}
	out := Remote{State: RemoteState(a.State), Waiting: s.cfg.Now().Sub(a.Created)}
	if len(a.Asked) == 0 {
		return out, nil
	}
	out.Client, out.Scopes, out.IP, out.Agent = c, ask.Scopes, ask.IP, ask.Agent
	out.Asked, out.Registers = time.UnixMilli(ask.Asked).UTC(), c.BuiltIn && slices.Contains(c.Scopes, client.DefaultScope(client.DeviceRegistration))
	return out, nil
}

func (s *Server) remote(ctx context.Context, sess session.Session, id string) (approval, approvalAsk, client.Client, error) {
	var ask approvalAsk
	a, err := approvalByID(ctx, s.cfg.DB, sess.Tenant, id)
	if err == nil && (a.User != sess.User || !s.cfg.Now().Before(a.Expires)) {
		err = idp.NotFoundf("approval_over", "approval %s of %s asked for by %s", a.ID, a.User, sess.User)
	}
	if err != nil || len(a.Asked) == 0 { // no machine came
		return a, ask, client.Client{}, err
	}
	if err := json.Unmarshal(a.Asked, &ask); err != nil {
		return a, ask, client.Client{}, fmt.Errorf("what approval %s asks: %w", a.ID, err)
	}
	c, err := s.lookup(ctx, sess.Tenant, ask.Client)
	return a, ask, c, err
}

// freshForDevice is how old a gesture may be that lets in what can become a
// device of the organisation (product.md §6).
const freshForDevice = 5 * time.Minute

// RemoteFlow is the flow by which the person allows it: what policy asks of
// whoever opens this application is asked of them here. Expired when it is not
// theirs to allow any more.
func (s *Server) RemoteFlow(ctx context.Context, sess session.Session, id string) (signin.Flow, error) {
	a, ask, c, err := s.remote(ctx, sess, id)
	if err != nil {
		return signin.Flow{}, err
	}
	if a.State != approvalMet {
		return signin.Flow{}, idp.Expiredf("approval_over", "approval %s is %s", a.ID, a.State)
	}
	p, err := s.cfg.Policies.Get(ctx, sess.Tenant)
	if err != nil {
		return signin.Flow{}, err
	}
	kept, err := json.Marshal(struct {
		ID string `json:"id"`
	}{a.ID})
	if err != nil {
		return signin.Flow{}, err
	}
	f := signin.Flow{
		Tenant: sess.Tenant, Door: DeviceDoor, Ask: kept, Client: c.ID, ClientName: c.Name, Scopes: ask.Scopes,
		ACR: demanded(&p, c, nil), Required: c.ACR, HintUser: sess.User,
	}
	if c.BuiltIn {
		age := int64(freshForDevice.Seconds())
		f.MaxAge = &age
	}
	return f, nil
}

// SettleRemote writes what came of the flow: allowed when the corridor is done
// with it, else denied. It gives the id to show. Expired when somebody was
// faster, or it is over.
func (s *Server) SettleRemote(ctx context.Context, f signin.Flow, step signin.Step, from signin.Peer) (string, error) {
	var kept struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(f.Ask, &kept); err != nil {
		return "", fmt.Errorf("ask of flow %s: %w", f.ID, err)
	}
	sess := step.Session
	if step.Kind != signin.Done {
		return kept.ID, s.settleApproval(ctx, sess, kept.ID, approvalDenied, nil, from)
	}
	// What was demanded when the machine asked may have been raised since.
	_, _, c, err := s.remote(ctx, sess, kept.ID)
	if err != nil {
		return "", err
	}
	t, err := s.tenant(ctx, string(f.Tenant), nil)
	if err != nil {
		return "", err
	}
	if err := s.mayAskCode(ctx, exchange{tenant: t, client: c}); err != nil {
		return "", err
	}
	granted, err := s.remoteGrant(ctx, t, c, sess)
	if err != nil {
		return "", err
	}
	return kept.ID, s.settleApproval(ctx, sess, kept.ID, approvalAllowed, granted, from)
}

// remoteGrant is what tokens for the machine may state of the person's sign-in:
// what the proofs are worth there, where nobody made a gesture.
func (s *Server) remoteGrant(ctx context.Context, t tenant, c client.Client, sess session.Session) ([]byte, error) {
	user, err := s.livingUser(ctx, t.ID, sess.User)
	if err != nil {
		return nil, err
	}
	proofs := idp.Elsewhere(sess.Proofs)
	d, err := s.decided(ctx, t, token.Subject{Tenant: t.ID, User: user, Client: c, Basis: token.BasisOf(proofs)})
	if err != nil {
		return nil, err
	}
	return json.Marshal(approvalGrant{ACR: d.ACR, AMR: d.AMR, AuthTime: d.ProofTime.UnixMilli(), Basis: token.BasisOf(proofs), PRT: sess.PRT})
}

// DenyRemote is the person's no. It needs no proof, and stands even when it
// comes before any machine was met.
func (s *Server) DenyRemote(ctx context.Context, sess session.Session, id string, from signin.Peer) error {
	return s.settleApproval(ctx, sess, id, approvalDenied, nil, from)
}

// settleApproval moves an approval to its end, with its record, once: of two
// answers the first stands.
func (s *Server) settleApproval(ctx context.Context, sess session.Session, id, state string, granted []byte, from signin.Peer) error {
	_, ask, _, err := s.remote(ctx, sess, id)
	if err != nil {
		return err
	}
	return s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := endApproval(ctx, tx, sess, id, state, granted, s.cfg.Now()); err != nil {
			return err
		}
		var refusal error
		if state == approvalDenied {
			refusal = idp.Deniedf("declined", "approval %s", id).Coded(codeConsentDenied)
		}
		return s.cfg.Audit.Write(ctx, tx, deviceEvent(sess, from, ask, refusal))
	})
}

// deviceEvent is the record of a person's answer, or of too many tries.
func deviceEvent(sess session.Session, from signin.Peer, ask approvalAsk, refusal error) audit.Event {
	e := audit.Event{
		Tenant: sess.Tenant, Category: audit.Change, Activity: "device_code.allow", Outcome: audit.Success,
		Actor: string(sess.User), User: sess.User, Session: sess.ID, Client: ask.Client, IP: from.IP, Agent: from.Agent, Trace: from.Trace,
	}
	if ask.IP != "" {
		e.Detail = map[string]string{"deviceIp": ask.IP, "deviceAgent": audit.Clean(ask.Agent, 256)}
	}
	if refusal != nil {
		r := idp.AsError(refusal)
		e.Outcome, e.Reason, e.Code = audit.Failure, r.Reason, r.Code
		e.Activity = "device_code.deny"
		if r.Kind == idp.Limited {
			e.Activity = "device_code.claim"
		}
	}
	return e
}
