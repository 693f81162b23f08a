package psso

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/enrol"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// enrolling is a person who is being registered on a Mac.
type enrolling struct {
	signed
	said pssowire.User
	user idp.User
	// access is by what; nil in a rotation, where the old key and the sign-in
	// on this Mac vouch.
	access  *enrol.Access
	session standing
}

// userRequest answers POST {t}/psso/user: a person's key or card, or another key
// in the place of the one that the Mac keeps for them.
func (s *Server) userRequest(w http.ResponseWriter, r *http.Request) error {
	a, err := s.ask(w, r, pathUser)
	if err != nil {
		return err
	}
	if !a.is(pssowire.TypeUser) {
		return a.wrongType()
	}
	q, err := s.signed(r.Context(), a, string(policy.Platform)+".register", true)
	if err != nil {
		return err
	}
	out, err := s.enrol(r, enrolling{signed: q})
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, out)
}

func (s *Server) enrol(r *http.Request, p enrolling) (pssowire.RegisteredUser, error) {
	ctx := r.Context()
	if err := s.read(ctx, p.signed, &p.said); err != nil {
		return pssowire.RegisteredUser{}, err
	}
	err := s.held(ctx, &p.signed, p.said.Signed, func() error { return s.vouched(r, &p) })
	if err != nil {
		return pssowire.RegisteredUser{}, err
	}
	if p.access == nil && p.session.refusal != nil { // burns, and ends what was reused
		return pssowire.RegisteredUser{}, s.sessionRefused(ctx, p)
	}
	if p.said.Method == pssowire.MethodCard {
		return s.enrolCard(ctx, p)
	}
	return s.enrolKey(ctx, p)
}

// vouched finds who the person is, and by what: a fresh access token, or, for
// another key, the sign-in on this Mac beside the proof of the old key (security.md
// PSO05).
func (s *Server) vouched(r *http.Request, p *enrolling) error {
	ctx := r.Context()
	rules, err := s.cfg.Policies.Get(ctx, p.tenant.ID)
	if err != nil {
		return err
	}
	if p.said.Method != string(rules.Macs.Method) {
		return idp.Deniedf("method_differs", "method %.40q, tenant has %s", p.said.Method, rules.Macs.Method).Coded(policy.CodeJoin).
			Say("Your organisation signs people in on Macs in another way.")
	}
	if p.said.OldProof != "" && p.said.Method == pssowire.MethodKey && len(r.Header.Values("Authorization")) == 0 {
		p.event.Activity = string(policy.Platform) + ".rotate"
		x := p.exchange(p.said.RefreshToken)
		p.session, err = s.stands(ctx, x)
		p.user = p.session.user
		return err
	}
	a, err := s.bearer(r, p.asked, p.said.TokenHash, &p.event)
	if err != nil {
		return err
	}
	p.access, p.user = &a, a.Person
	if a.Device != "" && a.Device != p.device.ID {
		return idp.Deniedf("token_of_device", "token of device %s sent by %s", a.Device, p.device.ID).Coded(policy.CodeJoin).
			Say("The access token is of another device. Sign in on this Mac.")
	}
	if err := a.MayKeep(s.cfg.Now()); err != nil {
		return err
	}
	if !p.first() {
		return nil
	}
	return refusedJoin(a.Rules.Join(a.Who)) // whoever makes it active, or theirs, joins it
}

// first says that the Mac waits for a first person: to become active, or to
// become somebody's.
func (p enrolling) first() bool {
	return p.access != nil && (!p.device.Enabled || p.device.Owner == "")
}

// exchange is the message as what the door for macOS itself reads.
func (q signed) exchange(refreshToken string) exchange {
	x := exchange{tenant: q.tenant, peer: q.peer, at: q.at, message: q.message, mac: q.mac, signer: q.signer, device: q.device, nonce: q.nonce}
	x.client.ID, x.RefreshToken = client.MacSSO, refreshToken
	return x
}

// sessionRefused burns the nonce of a request whose refresh token is not good,
// records it, and ends a sign-in of which somebody has a copy.
func (s *Server) sessionRefused(ctx context.Context, p enrolling) error {
	r := s.carriedBy(p.exchange(""), p.session)
	r.Activity = p.event.Activity
	_, err := s.cfg.Corridor.Carried(ctx, r)
	if ours(err) || told(err).Sub == subNonce {
		return err
	}
	return sessionOver(err)
}

// enrolKey registers a key of the Secure Enclave: the room judges the key and
// the proofs that its holder and, in a rotation, the old key made.
func (s *Server) enrolKey(ctx context.Context, p enrolling) (pssowire.RegisteredUser, error) {
	offer, err := offered(p.said)
	if err != nil {
		return pssowire.RegisteredUser{}, s.refused(ctx, p.signed, err)
	}
	expected := platform.Expected{
		Audience: s.address(p.tenant.ID, p.at), Nonce: p.said.RequestNonce, Device: pssowire.KeyID(p.signer.ID), Rotation: p.access == nil,
	}
	since := s.cfg.Now() // the old key vouches now
	if p.access != nil {
		since = p.access.AuthTime
	}
	made, err := s.cfg.Corridor.RegisterOnce(ctx, signin.RegisterOnceRequest{
		OnceRequest: signin.OnceRequest{
			Tenant: p.tenant.ID, Method: policy.Platform, Nonce: expected.Keep(), Nonces: []nonce.Sealed{p.nonce}, Payload: offer.Payload(),
			User: p.user, Device: p.device.ID, Client: client.MacSSO, Peer: p.peer,
			First: func(ctx context.Context, tx *sqldb.Tx) error {
				if !p.first() {
					return nil
				}
				return s.hold(ctx, tx, p.signed) // settleUser changes the device, which the room reads
			},
			Settle: func(ctx context.Context, tx *sqldb.Tx, _ idp.Proof) error { return s.settleUser(ctx, tx, p) },
		},
		ProofTime: since, Within: enrol.KeyWithin,
	})
	if err != nil {
		return pssowire.RegisteredUser{}, err
	}
	return s.registeredUser(ctx, p, made.ID)
}

// offered is the key that a request is about.
func offered(said pssowire.User) (platform.Offer, error) {
	k, err := key("user_key", said.UserKey)
	if err != nil {
		return platform.Offer{}, err
	}
	out := platform.Offer{
		Key: pssowire.Point(k.public), Proof: said.UserProof, OldProof: said.OldProof, Biometric: said.BiometricPolicy,
	}
	if said.Attestation == nil {
		return out, nil
	}
	if out.Attestation, err = decodeChain(said.Attestation.User); err != nil {
		return out, malformed("attestation_malformed", "%w", err)
	}
	return out, nil
}

// settleUser writes what goes with the registration of a person: the Mac becomes
// one that may be used, and theirs, if it waited for that.
func (s *Server) settleUser(ctx context.Context, tx *sqldb.Tx, p enrolling) error {
	if err := s.confirm(ctx, tx, p.signed); err != nil {
		return err
	}
	if p.access == nil { // the old key was there to the end, and its session goes with it
		e := p.event
		e.Outcome, e.User, e.UserName = audit.Success, p.user.ID, p.user.Name
		return s.cfg.Audit.Write(ctx, tx, e)
	}
	if err := s.gate.Kept(ctx, tx, *p.access); err != nil {
		return err
	}
	rules := p.access.Rules.Devices
	if !p.first() || mustAttest(rules) && p.device.Assurance != device.Attested {
		return nil // somebody's already, or only an attestation makes it active
	}
	now, err := s.cfg.Devices.Activate(ctx, tx, p.tenant.ID, p.device.ID, p.user.ID, rules.Quota)
	if errors.Is(err, idp.NotFound) {
		return deviceFault(idp.Expired, codeDevice, "device_unknown", sayDevice, "%w", err)
	}
	if err != nil || !now {
		return err
	}
	e := p.event
	e.Activity, e.Outcome = "device.activate", audit.Success
	return s.cfg.Audit.Write(ctx, tx, e)
}

// enrolCard registers nothing: the directory says whose a card is. The card shows
// itself once, by all the rules that it will be asked by at each login, so that
// nobody finds out at the login window that it does not do (security.md PSO04).
func (s *Server) enrolCard(ctx context.Context, p enrolling) (pssowire.RegisteredUser, error) {
	p.event.Activity = "mac.user"
	p.event.Detail["method"] = pssowire.MethodCard
	if err := s.card(ctx, p); err != nil {
		return pssowire.RegisteredUser{}, s.refused(ctx, p.signed, err)
	}
	p.decides = true // settleUser confirms, when it holds what it changes
	err := s.commit(ctx, p.signed, func(ctx context.Context, tx *sqldb.Tx, _ *audit.Event) error {
		if p.first() {
			if err := s.hold(ctx, tx, p.signed); err != nil {
				return err
			}
		}
		on, err := s.cfg.Directory.Enabled(ctx, tx, p.tenant.ID, p.user.ID)
		if err == nil && !on {
			err = idp.Deniedf("user_disabled", "user %s", p.user.ID).Coded(policy.CodeUserDisabled).Say(enrol.SayJoin("user_disabled"))
		}
		if err != nil {
			return err
		}
		return s.settleUser(ctx, tx, p)
	})
	if err != nil {
		return pssowire.RegisteredUser{}, err
	}
	return s.registeredUser(ctx, p, "")
}

// card verifies the proof of a card, and that it leads to this very person.
func (s *Server) card(ctx context.Context, p enrolling) error {
	if s.cfg.Card == nil {
		return idp.Deniedf("card_refused", "there are no certificates here").Say("Smart cards are not taken here.")
	}
	m, err := jose.ParseLoose(p.said.UserProof, "ES256", "RS256", "RS384", "RS512")
	if err != nil {
		return notHeld("user_proof", "%w", err)
	}
	if m.Type != strings.ToLower(pssowire.TypeUserKey) || len(m.Chain) == 0 {
		return notHeld("user_proof", "typ %q with %d certificates", clip(m.Type), len(m.Chain))
	}
	chain := make([]*x509.Certificate, len(m.Chain))
	for n, der := range m.Chain {
		if chain[n], err = x509.ParseCertificate(der); err != nil {
			return notHeld("user_proof", "certificate %d: %w", n, err)
		}
	}
	if err := m.VerifyKey(chain[0].PublicKey); err != nil {
		return notHeld("user_proof", "%w", err)
	}
	var c pssowire.KeyProof
	if err := m.Read(&c); err != nil {
		return notHeld("user_proof", "%w", err)
	}
	if err := s.sameRequest(p.asked, c, pssowire.KeyID(p.signer.ID), p.said.RequestNonce); err != nil {
		return err
	}
	whose, reason, err := s.cfg.Card(ctx, p.tenant.ID, chain)
	switch {
	case err != nil:
		return err
	case reason != "":
		return idp.Deniedf("card_refused", "certificate: %s", reason).Say("The smart card does not sign anybody in here: " + reason + ".")
	case whose != p.user.ID:
		return idp.Deniedf("card_of_other", "card of %s shown by %s", whose, p.user.ID).Say("The smart card is another person's.")
	}
	return nil
}

// registeredUser is the answer about a person on a Mac.
func (s *Server) registeredUser(ctx context.Context, p enrolling, id idp.CredentialID) (pssowire.RegisteredUser, error) {
	d, err := s.cfg.Devices.Load(ctx, s.cfg.DB, p.tenant.ID, p.device.ID)
	if err != nil {
		return pssowire.RegisteredUser{}, err
	}
	out := pssowire.RegisteredUser{
		LoginUserName: p.user.Name, CredentialID: string(id), DeviceID: string(d.ID), Pending: !d.Pending.IsZero(),
	}
	out.Configuration, err = s.configuration(ctx, p.tenant)
	return out, err
}
