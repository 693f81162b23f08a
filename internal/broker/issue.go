package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// The grant types inside a message that a device signs (device-protocol.md
// §7.2, §9.5, §9.6). webAuthn is our own.
const (
	grantRefresh  = "refresh_token"
	grantJWT      = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantWebAuthn = "urn:ietf:params:oauth:grant-type:webauthn"
	grantPassword = "password"
	grantDevice   = "device_token"
)

// request is a message whose signature by a device is good: from here on every
// outcome burns its nonces.
type request struct {
	exchange
	device device.Device
	payload
	inner
	nonces []nonce.Sealed
	client client.Client
}

// activity is the word of PRT requests in the audit.
const (
	activityIssue = "prt.issue"
	activityRenew = "prt.renew"
	activityUse   = "prt.use"
)

// signed answers a message that the device has signed with its own key: a
// request for a PRT, or the use of one that has no session key.
func (s *Server) signed(ctx context.Context, x exchange, d device.Device) (reply, error) {
	q := request{exchange: x, device: d}
	if err := x.message.Read(&q.payload); err != nil {
		return reply{}, s.unburnt(ctx, x, activityIssue, d.Tenant, "", d.ID, unreadable(err))
	}
	values := []string{q.payload.Nonce}
	var unread, err error
	if q.GrantType == grantJWT && len(q.Assertion) > 0 {
		if q.inner, unread = readInner(q.Assertion); unread == nil {
			values = append(values, q.inner.nonce)
		}
	}
	if q.nonces, err = s.nonces(ctx, d.Tenant, values...); err != nil {
		if len(q.nonces) > 0 { // the others are spent with it
			return reply{}, s.refuse(ctx, q, activityIssue, err)
		}
		return reply{}, s.unburnt(ctx, x, activityIssue, d.Tenant, "", d.ID, err)
	}
	if x.protocol == prt.V4 && q.Token != "" && q.Purpose == purposeUse {
		return s.useSigned(ctx, q)
	}
	if unread == nil {
		unread = s.acceptable(ctx, &q)
	}
	if unread != nil {
		return reply{}, s.refuse(ctx, q, activityIssue, unread)
	}
	switch q.GrantType {
	case grantRefresh:
		return s.byRefresh(ctx, q)
	case grantJWT:
		if q.inner.chained {
			// The key of a certificate belongs to no device, so nothing but the
			// nonce ties it to this message: the outer one, which its own must
			// equal (device-protocol.md §7.2).
			return s.byGesture(ctx, q, policy.Certificate, []byte(q.payload.Nonce), q.Assertion)
		}
		return s.byGesture(ctx, q, policy.Hello, []byte(q.inner.nonce), q.Assertion)
	default:
		return s.byGesture(ctx, q, policy.Passkey, []byte(q.payload.Nonce), q.Assertion.credential())
	}
}

// inner is what the door reads of an inner assertion, unverified: the room holds
// the assertion to the nonce.
type inner struct {
	nonce   string // request_nonce
	chained bool   // it comes with certificates: a person's, whatever else it has
}

func readInner(a assertion) (inner, error) {
	var in struct {
		Nonce string `json:"request_nonce"`
	}
	m, err := jose.ParseLoose(string(a), "RS256", "ES256")
	if err == nil {
		err = m.Read(&in)
	}
	if err != nil {
		return inner{}, fault(idp.Unproven, "invalid_request", codeToken, idp.AsError(err).Reason, "The assertion could not be read.", "assertion: %w", err)
	}
	return inner{in.Nonce, len(m.Chain) > 0}, nil
}

// refuse burns the nonces of a message and records why it was refused. The
// answer is the refusal, unless somebody else has used the nonces before.
func (s *Server) refuse(ctx context.Context, q request, activity string, err error) error {
	if ours(err) {
		return err
	}
	_, err = s.cfg.Corridor.Carried(ctx, signin.CarriedRequest{
		Tenant: q.device.Tenant, Nonces: q.nonces, Failed: err, Client: q.client.ID, Activity: activity, Device: q.device.ID, Peer: q.peer,
	})
	return err
}

// acceptable checks what every request for a PRT must be, whoever it is for.
func (s *Server) acceptable(ctx context.Context, q *request) error {
	if err := q.inTime(s.cfg.Now()); err != nil {
		return err
	}
	if err := q.refused(); err != nil {
		return err
	}
	if !q.asks("aza") || !q.asks("openid") {
		return fault(idp.Invalid, "invalid_scope", codeScope, "scope_without_aza",
			"A primary refresh token needs the scopes openid and aza.", "scope %q", clip(q.Scope))
	}
	if err := s.wraps(q); err != nil {
		return err
	}
	c, err := s.cfg.Clients.Get(ctx, q.device.Tenant, idp.ClientID(q.ClientID))
	if err != nil && !errors.Is(err, idp.NotFound) {
		return err
	}
	if err != nil || !c.BuiltIn || !c.Enabled {
		return fault(idp.Denied, "unauthorized_client", codeClient, "client_not_broker",
			"This application may not ask for a primary refresh token.", "client %q", clip(string(q.ClientID)))
	}
	q.client = c
	return nil
}

// refused says which kinds of proof are not taken, each by its own words.
func (q *request) refused() error {
	switch {
	case q.CertUse != "":
		return unsupported("certificate_request", "Certificates for people or machines are not given out here.", "cert_token_use %q", clip(q.CertUse))
	case q.GrantType == grantDevice:
		return grantFault(idp.Denied, codeDeviceOnly, "device_only", "There are no tokens for a device alone.", "grant %s", q.GrantType)
	case q.GrantType == grantPassword:
		// Before anybody is looked up (device-protocol.md §7.2).
		return grantFault(idp.Denied, codePassword, "password_refused", "Passwords are disabled here. Sign in with a key.", "grant %s", q.GrantType)
	case (q.GrantType == grantJWT || q.GrantType == grantWebAuthn) && len(q.Assertion) == 0:
		return missing("assertion")
	case q.GrantType == grantRefresh, q.GrantType == grantJWT, q.GrantType == grantWebAuthn:
		return nil
	}
	return unsupported("grant_unsupported", "The grant type is not supported.", "grant type %q", clip(q.GrantType))
}

// wraps makes sure that the device has a key to which the answer can be
// encrypted: RSA for a session key, P-256 for a whole answer.
func (s *Server) wraps(q *request) error {
	bad := func(format string, args ...any) error {
		return grantFault(idp.Denied, codeTransport, "transport_key", "The transport key of the device does not fit this protocol.", format, args...)
	}
	switch key := q.device.Transport.(type) {
	case nil:
		return grantFault(idp.Denied, codeNoTransport, "transport_missing", "The device has no transport key. Join it again.", "device %s", q.device.ID)
	case *rsa.PublicKey:
		if q.protocol == prt.V4 {
			return bad("RSA key for protocol 4.0")
		}
	case *ecdsa.PublicKey:
		if q.protocol != prt.V4 {
			return bad("P-256 key for protocol %s", q.protocol)
		}
		if _, err := q.agreement(key); err != nil {
			return err
		}
	default:
		return bad("transport key is a %T", key)
	}
	return nil
}

// blank is the PRT that this message asks for, without its proofs.
func (q request) blank(u idp.UserID) prt.PRT {
	p := prt.PRT{
		Tenant: q.device.Tenant, User: u, Device: q.device.ID, Protocol: q.protocol, Agent: q.peer.Agent, IP: q.peer.IP,
	}
	if q.message.KDF == 2 || q.protocol == prt.V3 {
		p.KDF = 2
	}
	return p
}

// byGesture issues a PRT for a proof that is in the message: an assertion of a
// Hello key, of a person's certificate, or of a passkey (our extension). challenge is the nonce that the
// assertion was made on.
func (s *Server) byGesture(ctx context.Context, q request, m idp.MethodID, challenge, payload []byte) (reply, error) {
	var made issued
	_, decision, err := s.cfg.Corridor.Once(ctx, signin.OnceRequest{
		Tenant: q.device.Tenant, Method: m, Nonce: challenge, Nonces: q.nonces, Payload: payload,
		Device: q.device.ID, Client: q.client.ID, Peer: q.peer,
		Ready: func(ctx context.Context, p idp.Proof) (err error) {
			blank := q.blank(p.User)
			blank.Proofs, blank.Direct = []idp.Proof{p}, true
			made, err = s.prepare(ctx, q, blank)
			return err
		},
		Record: func(e *audit.Event) { e.Session = made.PRT.ID },
		Settle: func(ctx context.Context, tx *sqldb.Tx, _ idp.Proof) error {
			return s.cfg.PRTs.Add(ctx, tx, made.Issued)
		},
	})
	if err != nil {
		return reply{}, s.step(q.exchange, decision, "", err)
	}
	s.seen(ctx, q.device)
	return s.deliver(ctx, q, made)
}

// byRefresh issues a PRT for a sign-in that was made before, which a refresh
// token of a built-in application carries. Where the sign-in was is asked, too:
// what was approved in another place ends in a PRT only where the tenant allows
// it (compat.deviceCodeToPrt), and only for the device that joined by that same
// grant: whoever talked somebody into typing a code has a device of their own
// (device-protocol.md §15).
func (s *Server) byRefresh(ctx context.Context, q request) (reply, error) {
	t := q.device.Tenant
	sub, err := s.carrying(ctx, q)
	var ends time.Time
	if err == nil {
		ends, err = s.endsWith(ctx, q, sub)
	}
	if err != nil {
		return reply{}, s.refuse(ctx, q, activityIssue, err)
	}
	proofs := sub.Proofs()
	if sub.Code == token.ByDeviceCode {
		proofs = idp.Elsewhere(proofs)
	}
	var made issued
	decision, err := s.cfg.Corridor.Carried(ctx, signin.CarriedRequest{
		Tenant: t, User: sub.User, Proofs: proofs, Nonces: q.nonces, Client: q.client.ID, Activity: activityIssue, Device: q.device.ID, Peer: q.peer,
		Ready: func(ctx context.Context, _ policy.Decision) (err error) {
			blank := q.blank(sub.User.ID)
			blank.Proofs, blank.Ends = proofs, ends
			made, err = s.prepare(ctx, q, blank)
			return err
		},
		Record: func(e *audit.Event) { e.Session = made.PRT.ID },
		Settle: func(ctx context.Context, tx *sqldb.Tx) error {
			if sub.Bound() { // what it stands on may have ended since it was read
				if err := Stands(ctx, tx, s.cfg.Devices, s.cfg.PRTs, t, sub.PRT, q.device.ID); err != nil {
					return err
				}
			}
			if err := s.cfg.PRTs.Add(ctx, tx, made.Issued); err != nil || sub.Bound() {
				return err
			}
			return s.cfg.Tokens.Bind(ctx, tx, t, sub.Family, made.PRT.ID, q.device.ID, made.PRT.Ends)
		},
	})
	if err != nil {
		return reply{}, s.step(q.exchange, decision, "", err)
	}
	s.seen(ctx, q.device)
	return s.deliver(ctx, q, made)
}

// endsWith is the end of the PRT that a grant stands on already, the zero time
// for one that stands on none: what one PRT leads to lives no longer than
// itself, or a sign-in would have no end (security.md DEV08).
func (s *Server) endsWith(ctx context.Context, q request, sub token.Subject) (time.Time, error) {
	if !sub.Bound() {
		return time.Time{}, nil
	}
	all, err := s.cfg.PRTs.OfDevice(ctx, sub.Tenant, q.device.ID)
	if err != nil {
		return time.Time{}, err
	}
	for _, p := range all {
		if p.ID == sub.PRT {
			return p.Ends, nil
		}
	}
	return time.Time{}, grantFault(idp.Expired, codeRevoked, "prt_revoked", "Sign in to the device again.", "prt %s", sub.PRT)
}

// carrying is the grant behind the refresh token of the message.
func (s *Server) carrying(ctx context.Context, q request) (token.Subject, error) {
	t := q.device.Tenant
	if q.Token == "" {
		return token.Subject{}, missing("refresh_token")
	}
	id, err := s.cfg.Tokens.ClientOf(ctx, t, q.Token)
	if err != nil {
		return token.Subject{}, err
	}
	c, err := s.cfg.Clients.Get(ctx, t, id)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return token.Subject{}, err
	}
	if err != nil || !c.BuiltIn {
		return token.Subject{}, grantFault(idp.Denied, codeUnreadable, "refresh_not_broker",
			"The refresh token was given to another application.", "refresh token of client %s", id)
	}
	p, err := s.cfg.Policies.Get(ctx, t)
	if err != nil {
		return token.Subject{}, err
	}
	got, err := s.cfg.Tokens.Refresh(ctx, q.Token, c, token.Presenter{IP: q.peer.IP, Agent: q.peer.Agent, Trace: q.peer.Trace})
	if err != nil {
		return token.Subject{}, err
	}
	sub := got.Subject
	switch {
	case sub.Device != "" && sub.Device != q.device.ID:
		return sub, grantFault(idp.Denied, codeUnreadable, "refresh_of_other_device",
			"The refresh token belongs to another device.", "refresh token of device %s", sub.Device)
	case sub.Code == token.ByDeviceCode && !p.Devices.Compat.DeviceCodeToPRT:
		return sub, grantFault(idp.Denied, codeBlocked, "device_code",
			"A sign-in that was approved in another place does not sign in a device. Sign in on the device itself.", "grant by device code")
	case sub.Code == token.ByDeviceCode && !sub.Bound() && q.device.By != sub.Family:
		return sub, grantFault(idp.Denied, codeBlocked, "device_code_elsewhere",
			"A sign-in that was approved in another place signs in only the device that it joined. Sign in on the device itself.",
			"grant %s by device code, device %s joined by %q", sub.Family, q.device.ID, q.device.By)
	}
	return sub, nil
}

// issued is a PRT and the form in which its session key travels.
type issued struct {
	prt.Issued
	wrapped string
}

// prepare makes a PRT and wraps its session key; nothing is written.
func (s *Server) prepare(ctx context.Context, q request, p prt.PRT) (issued, error) {
	i, err := s.cfg.PRTs.Prepare(ctx, p)
	if err != nil || q.protocol == prt.V4 {
		return issued{Issued: i}, err
	}
	out := issued{Issued: i}
	out.wrapped, err = jose.WrapSessionKey(q.device.Transport.(*rsa.PublicKey), i.SessionKey)
	return out, err
}

// seen notes that the device was used. A store that cannot be written to must
// not keep people out.
func (s *Server) seen(ctx context.Context, d device.Device) {
	_ = s.cfg.Devices.Seen(ctx, d) // the time is for people to look at
}

// step makes of policy's refusal what a client can act upon: which proof would
// do, and whom to ask (device-protocol.md §3.2). required is the strength that
// the application demands.
func (s *Server) step(x exchange, d policy.Decision, required string, err error) error {
	e := idp.AsError(err)
	if e.Kind != idp.Denied || e.Reason != d.Reason || d.Outcome != policy.StepUp && d.Outcome != policy.MustRegister {
		return err
	}
	f := grantFault(idp.Denied, e.Code, e.Reason, "Your organisation asks for another proof. Sign in again.", "%w", err)
	if x.v2 {
		f.Word = "interaction_required"
	}
	f.Claims = x.claims.raw
	if f.Claims == "" && required != "" {
		f.Claims = strengthClaims(required)
	}
	return f
}

// restsFor says how long an issued PRT may rest unrenewed, in seconds.
func restsFor(p prt.PRT, now time.Time) int64 { return max(int64(p.Expires.Sub(now)/time.Second), 0) }
