package broker

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// purposeUse is the purpose of a message that uses a PRT without a session key
// (device-protocol.md §7.3).
const purposeUse = "prt_usage"

// presented is a PRT whose holder has proven to have its key: from here on
// every outcome burns the nonces of the message.
type presented struct {
	request
	prt.Opened
	user idp.User
	// refusal is why it is not good all the same, and reuse whether that is an
	// older generation: then somebody has a copy, and the PRT ends.
	refusal error
	reuse   bool
	cbc     bool // answers may be in CBC
	remote  bool // compat.deviceCodeToHello
	old     bool // key derivation version 1
}

// use answers a message that is signed with a key derived from a PRT's session
// key (device-protocol.md §8.4, §9.1).
func (s *Server) use(ctx context.Context, x exchange) (reply, error) {
	q := request{exchange: x}
	if err := x.message.Read(&q.payload); err != nil {
		return reply{}, unreadable(err)
	}
	if q.Token == "" {
		return reply{}, missing("refresh_token")
	}
	t, ok := prt.Tenant(q.Token)
	if !ok {
		return reply{}, notOurs("prt_unreadable")
	}
	if err := s.within(ctx, x, t, elsewhere); err != nil {
		return reply{}, err
	}
	o, found := s.cfg.PRTs.Find(ctx, t, q.Token)
	if unopened(found) {
		return reply{}, found
	}
	proof := o.Prove(x.message)
	if proof != nil && idp.AsError(proof).Code != codeKDF {
		return reply{}, s.unburnt(ctx, x, activityUse, t, o.PRT.User, o.PRT.Device, proof)
	}
	var err error
	if q.nonces, err = s.nonces(ctx, t, q.payload.Nonce); err != nil {
		return reply{}, s.unburnt(ctx, x, activityUse, t, o.PRT.User, o.PRT.Device, err)
	}
	p, err := s.judge(ctx, q, o, found, proof)
	if err != nil {
		return reply{}, err
	}
	return s.granted(ctx, p)
}

// notOurs is a token that nobody here gave out.
func notOurs(reason string) *Fault {
	return grantFault(idp.Expired, codeUnreadable, reason, "The token was not given out here.", "%s", reason)
}

func elsewhere(idp.TenantID) *Fault { return notOurs("tenant_differs") }

// unopened says whether a PRT could not even be opened, or a trouble of our own
// kept it from being found.
func unopened(err error) bool {
	return err != nil && (!errors.Is(err, idp.Expired) || idp.AsError(err).Reason == "prt_unreadable")
}

// useSigned answers a use of a PRT without a session key: the device signs each
// one (device-protocol.md §7.3).
func (s *Server) useSigned(ctx context.Context, q request) (reply, error) {
	t := q.device.Tenant
	if of, ok := prt.Tenant(q.Token); !ok || of != t {
		return reply{}, s.refuse(ctx, q, activityUse, notOurs("prt_unreadable"))
	}
	o, found := s.cfg.PRTs.Find(ctx, t, q.Token)
	switch {
	case unopened(found):
		return reply{}, s.refuse(ctx, q, activityUse, found)
	case o.PRT.Device != "" && (o.PRT.Device != q.device.ID || o.PRT.Protocol != prt.V4):
		return reply{}, s.refuse(ctx, q, activityUse, grantFault(idp.Unproven, codeSessionKey, "prt_of_other_device",
			"The token belongs to another device.", "prt %s of device %s used by %s", o.PRT.ID, o.PRT.Device, q.device.ID))
	}
	p, err := s.judge(ctx, q, o, found, nil)
	if err != nil {
		return reply{}, err
	}
	return s.granted(ctx, p)
}

// judge finds out whether a proven PRT is good: its device, itself, the key
// derivation, its person, in that order. found is what Find said of it and proof
// what Prove did. Its error is a trouble of our own.
func (s *Server) judge(ctx context.Context, q request, o prt.Opened, found, proof error) (*presented, error) {
	p := &presented{request: q, Opened: o}
	p.reuse = found != nil && idp.AsError(found).Reason == "prt_reuse"
	rules, err := s.cfg.Policies.Get(ctx, o.PRT.Tenant)
	if err != nil {
		return p, err
	}
	compat := rules.Devices.Compat
	p.cbc, p.remote, p.old = compat.CBCResponses, compat.DeviceCodeToHello, o.PRT.Protocol != prt.V4 && max(q.message.KDF, 1) == 1
	if o.PRT.Device == "" {
		p.refusal = found // its row is gone
		return p, nil
	}
	d, err := s.cfg.Devices.Get(ctx, o.PRT.Tenant, o.PRT.Device)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return p, err
	}
	p.device = d
	if err != nil {
		p.device = device.Device{ID: o.PRT.Device, Tenant: o.PRT.Tenant}
		p.refusal = deviceFailed("device_unknown", "device %s", o.PRT.Device)
		return p, nil
	}
	user, err := s.cfg.Directory.User(ctx, s.cfg.DB, o.PRT.Tenant, o.PRT.User)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return p, err
	}
	p.user = user
	p.refusal = first(usable(d), found, voided(d, o.PRT), p.derivation(d, compat), proof, person(user), q.inTime(s.cfg.Now()))
	return p, nil
}

// first gives the first of the refusals.
func first(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// voided refuses a PRT from before its device was switched off: it does not
// revive (decisions 4.8).
func voided(d device.Device, p prt.PRT) error {
	if d.Voided.IsZero() || p.Issued.After(d.Voided) {
		return nil
	}
	return grantFault(idp.Expired, codeRevoked, "device_voided", "Sign in to the device again.", "prt %s is older than the disabling of %s", p.ID, d.ID)
}

// derivation refuses key derivation version 1, unless the tenant lets old
// clients have it; never on Windows, nor where version 2 was used before
// (device-protocol.md §8.3).
func (p *presented) derivation(d device.Device, c policy.CompatRules) error {
	if !p.old || c.KDFv1 && p.PRT.KDF != 2 && !strings.HasPrefix(strings.ToLower(d.OS), "windows") {
		return nil
	}
	return grantFault(idp.Denied, codeKDF, "kdf_v1", "This version of the key derivation is not allowed.", "kdf_ver 1 of prt %s", p.PRT.ID)
}

func person(u idp.User) error {
	switch {
	case !u.Known():
		return grantFault(idp.Denied, codeUserGone, "user_unknown", "There is no such person any more.", "user is gone")
	case !u.Enabled:
		return grantFault(idp.Denied, codeUserOff, "user_disabled", "You may not sign in. An administrator has switched this off.", "user %s", u.ID)
	}
	return nil
}

// carried is the corridor's request for a use of the PRT.
func (s *Server) carried(p *presented, activity string) signin.CarriedRequest {
	r := signin.CarriedRequest{
		Tenant: p.PRT.Tenant, User: p.user, Proofs: p.PRT.Proofs, Nonces: p.nonces, Failed: p.refusal,
		NotBefore: p.claims.NotBefore, Activity: activity, Device: p.PRT.Device, PRT: p.PRT.ID, Peer: p.peer,
	}
	if p.user.ID == "" {
		r.User = idp.User{ID: p.PRT.User, Tenant: p.PRT.Tenant}
	}
	if p.reuse {
		from := prt.Presenter{IP: p.peer.IP, Agent: p.peer.Agent, Trace: p.peer.Trace}
		r.Undone = func(ctx context.Context, tx *sqldb.Tx) error { return s.cfg.PRTs.Reused(ctx, tx, p.Opened, from) }
	}
	return r
}

// granted answers a use: a renewal when aza is asked for, else tokens.
func (s *Server) granted(ctx context.Context, p *presented) (reply, error) {
	if p.refusal == nil && p.asks("aza") {
		return s.renew(ctx, p)
	}
	var sub token.Subject
	if p.refusal == nil {
		sub, p.refusal = s.subject(ctx, p)
		if ours(p.refusal) {
			return reply{}, p.refusal
		}
	}
	r := s.carried(p, activityUse)
	// Nothing but the token's row is read: device and person are cached, and
	// what is given out is refused again where it is used.
	r.Quiet, r.Cached, r.Client, r.Required = !p.old, true, sub.Client.ID, sub.Client.ACR
	r.Ready = func(_ context.Context, d policy.Decision) error {
		sub.ACR, sub.AMR, sub.AuthTime = d.ACR, d.AMR, d.ProofTime
		return nil
	}
	r.Settle = func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if sub.Family, err = s.cfg.Tokens.OpenFamily(ctx, tx, sub, token.CodeID(p.nonces[0].ID)); err != nil {
			return err
		}
		return s.used(ctx, tx, p)
	}
	decision, err := s.cfg.Corridor.Carried(ctx, r)
	if err != nil {
		return reply{}, s.step(p.exchange, decision, r.Required, err)
	}
	refresh, err := s.cfg.Tokens.FirstRefresh(ctx, sub.Tenant, sub.Family)
	if err != nil {
		return reply{}, err
	}
	out, err := s.tokens(ctx, p.exchange, sub, refresh)
	if err != nil {
		return reply{}, err
	}
	s.seen(ctx, p.device)
	return s.encrypted(p, out)
}

// used notes a use, and binds the PRT to the stricter derivation from its first
// use on.
func (s *Server) used(ctx context.Context, tx *sqldb.Tx, p *presented) error {
	if !p.old && p.PRT.Protocol != prt.V4 {
		if err := s.cfg.PRTs.PinKDF(ctx, tx, p.PRT); err != nil {
			return err
		}
	}
	return s.cfg.PRTs.Touch(ctx, tx, p.PRT)
}

// subject is what tokens for the application will state; the corridor adds what
// policy says of the proofs.
func (s *Server) subject(ctx context.Context, p *presented) (token.Subject, error) {
	t := p.PRT.Tenant
	c, scopes, audience, err := s.cfg.Entitle(ctx, t, idp.ClientID(p.ClientID), p.Scope, p.Resource, p.Redirect)
	if err != nil {
		return token.Subject{Client: c}, err
	}
	if err := s.agreedTo(ctx, c, p.PRT.User, scopes); err != nil {
		return token.Subject{Client: c}, err
	}
	sub := token.Subject{
		Tenant: t, User: p.user, Session: p.PRT.ID, PRT: p.PRT.ID, Device: p.PRT.Device, Client: c,
		Scopes: scopes, Audience: audience, Basis: token.BasisOf(p.PRT.Proofs), Until: p.PRT.Ends,
		CodeToHello: p.remote, Capabilities: p.claims.Capabilities,
	}
	if token.Remote(sub.Basis) {
		sub.Code = token.ByDeviceCode
	}
	if last := s.cfg.Now().Add(token.FamilyLives); sub.Until.After(last) {
		sub.Until = last
	}
	return sub, nil
}

// agreedTo refuses what the person has not allowed an application of somebody
// else.
func (s *Server) agreedTo(ctx context.Context, c client.Client, u idp.UserID, scopes []string) error {
	if c.FirstParty {
		return nil
	}
	allowed, err := s.cfg.Clients.Consent(ctx, s.cfg.DB, c.Tenant, u, c.ID)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return err
	}
	if slices.ContainsFunc(scopes, func(one string) bool { return !slices.Contains(allowed, one) }) {
		return grantFault(idp.Denied, codeConsent, "no_consent", "The person has not agreed to this yet.", "client %s", c.ID)
	}
	return nil
}

// renew answers with the PRT's next generation. Its session key stays
// (device-protocol.md §0 fact 14, §9.2).
func (s *Server) renew(ctx context.Context, p *presented) (reply, error) {
	if p.refusal = s.renewable(ctx, p); ours(p.refusal) {
		return reply{}, p.refusal
	}
	var next prt.PRT
	value := ""
	r := s.carried(p, activityRenew)
	r.Client = p.client.ID
	r.Settle = func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if next, value, err = s.cfg.PRTs.Renew(ctx, tx, p.Opened); err != nil {
			return err
		}
		return s.used(ctx, tx, p)
	}
	decision, err := s.cfg.Corridor.Carried(ctx, r)
	if err != nil {
		return reply{}, s.step(p.exchange, decision, "", err)
	}
	body, err := s.prtBody(ctx, p.exchange, token.Subject{Client: p.client}, next, value)
	if err != nil {
		return reply{}, err
	}
	s.seen(ctx, p.device)
	return s.encrypted(p, body)
}

// renewable checks what a renewal must ask.
func (s *Server) renewable(ctx context.Context, p *presented) error {
	if !p.asks("openid") {
		return fault(idp.Invalid, "invalid_scope", codeScope, "scope_without_openid",
			"A primary refresh token needs the scopes openid and aza.", "scope %q", clip(p.Scope))
	}
	c, err := s.cfg.Clients.Get(ctx, p.PRT.Tenant, idp.ClientID(p.ClientID))
	if err != nil && !errors.Is(err, idp.NotFound) {
		return err
	}
	if err != nil || !c.BuiltIn || !c.Enabled {
		return fault(idp.Denied, "unauthorized_client", codeClient, "client_not_broker",
			"This application may not renew a primary refresh token.", "client %q", clip(string(p.ClientID)))
	}
	p.client = c
	return nil
}

// encrypted is an answer to a use, for nobody but the holder of the key.
func (s *Server) encrypted(p *presented, v any) (reply, error) {
	if p.PRT.Protocol == prt.V4 {
		return p.agreed(v)
	}
	return p.exchange.seal(p.Opened, p.cbc, v)
}
