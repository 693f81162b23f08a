package psso

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// The bounds of what a message may claim. Freshness comes from the nonce.
const (
	maxNonce  = 128 // characters of the claim nonce (§6.4, 8)
	maxGroups = 100 // that one login asks for
)

// exchange is one message of a Mac on its way.
type exchange struct {
	tenant  idp.Tenant
	peer    signin.Peer
	at      string // path it came to
	message jose.Loose
	mac     mac.Mac
	signer  mac.Key
	device  device.Device
	kind    kind

	// From here on: of a message whose signature is good.
	pssowire.Request
	nonce  nonce.Sealed
	client client.Client
	reply  mac.Key // encryption key that the answer is for
	party  []byte  // PartyVInfo, as it was sent
}

// field names in which the message may come: extensions that are built for
// macOS 14 and later send assertion, older ones request (§6).
var fields = []string{pssowire.FieldAssertion, pssowire.FieldRequest}

// versions are the protocol's, as form fields spell them (§6, §8.2).
var versions = []string{pssowire.VersionShort, pssowire.VersionLogin, "2", pssowire.VersionKeys}

// receive takes a posted message apart. Nothing in it is believed.
func (s *Server) receive(r *http.Request, path string, form url.Values) (exchange, error) {
	x := exchange{at: path, peer: peer(r)}
	if v := form.Get(pssowire.FieldVersion); !slices.Contains(versions, v) {
		return x, malformed("version_unknown", "platform_sso_version %q", clip(v))
	}
	if g := form.Get(pssowire.FieldGrant); g != pssowire.GrantBearer {
		return x, unsupported("grant_unsupported", "The grant type is not supported.", "grant type %q", clip(g))
	}
	text := ""
	for _, name := range fields {
		if form.Has(name) && text != "" {
			return x, malformed("message_twice", "assertion beside request")
		} else if form.Has(name) {
			text = form.Get(name)
		}
	}
	if text == "" {
		return x, malformed("message_missing", "neither assertion nor request")
	}
	var err error
	if x.tenant, err = s.tenant(r); err != nil {
		return x, err
	}
	if x.message, err = jose.ParseLoose(text, "ES256"); err != nil {
		return x, malformed(idp.AsError(err).Reason, "%w", err)
	}
	if err := s.identify(r.Context(), &x); err != nil {
		return x, s.unburnt(r.Context(), x, err)
	}
	return x, nil
}

// identify finds the Mac that has signed, and makes sure that it did: key known
// here, device enabled, signature, in that order (§6.4, 1 to 3). Key and
// algorithm are those that were registered; what the header has in x5c says
// nothing.
func (s *Server) identify(ctx context.Context, x *exchange) error {
	id, err := pssowire.ParseKeyID(x.message.KeyID)
	if err != nil {
		return deviceFault(idp.Unproven, codeDevice, "kid_malformed", sayDevice, "kid: %w", err)
	}
	t := x.tenant.ID
	if x.mac, x.signer, err = s.cfg.Macs.ByKid(ctx, t, mac.Signing, mac.KeyID(id)); errors.Is(err, idp.NotFound) {
		return deviceFault(idp.Unproven, codeDevice, "device_unknown", sayDevice, "%w", err)
	} else if err != nil {
		return err
	}
	if x.device, err = s.cfg.Devices.Get(ctx, t, x.mac.Device); errors.Is(err, idp.NotFound) {
		return deviceFault(idp.Unproven, codeDevice, "device_unknown", sayDevice, "%w", err)
	} else if err != nil {
		return err
	}
	switch {
	case !x.device.Enabled && !x.device.Pending.IsZero():
		return deviceFault(idp.Denied, codeDeviceOff, "device_pending", "The registration of this Mac is not finished.", "device %s", x.device.ID)
	case !x.device.Enabled:
		return deviceFault(idp.Denied, codeDeviceOff, "device_disabled", sayDisabled, "device %s", x.device.ID)
	}
	if err := x.message.VerifyKey(x.signer.Public); err != nil {
		return deviceFault(idp.Unproven, codeSignature, idp.AsError(err).Reason, sayDevice, "device %s: %w", x.device.ID, err)
	}
	return nil
}

// The sentences about a Mac.
const (
	sayDevice   = "This Mac is not registered here, or did not sign this. Register it again."
	sayDisabled = "The Mac is switched off. Ask the help desk."
)

// accept reads a message whose signature is good, finds out what it asks for and
// holds it against the rules that all messages have (§6.4, 4 to 9). From here on
// every outcome burns its nonce.
func (s *Server) accept(ctx context.Context, x *exchange) error {
	refusal := s.judge(ctx, x)
	if ours(refusal) {
		return refusal
	}
	n, err := s.opened(ctx, x.tenant.ID, x.RequestNonce)
	if err != nil {
		if refusal != nil && !ours(err) {
			err = refusal
		}
		return s.unburnt(ctx, *x, err)
	}
	x.nonce = n
	if refusal == nil {
		refusal = s.answerable(x)
	}
	if refusal != nil {
		return s.refuse(ctx, *x, refusal)
	}
	return nil
}

// judge asks what a message is, from whom and for whom, and when: 4 to 6 of
// §6.4.
func (s *Server) judge(ctx context.Context, x *exchange) error {
	if err := x.message.Read(&x.Request); err != nil {
		return malformed("claims_malformed", "%w", err)
	}
	var err error
	if x.kind, err = x.asks(); err != nil {
		return err
	}
	if err := s.application(ctx, x); err != nil {
		return err
	}
	if err := s.addressed(x); err != nil {
		return err
	}
	if err := assertion.Window(x.Issued, x.Expires, s.cfg.Now()); err != nil {
		return fault(http.StatusBadRequest, idp.Expired, wordRequest, codeToken, err.Reason,
			"The message is over, or from the future. Look at the Mac's clock.", "%w", err)
	}
	return nil
}

// application makes sure that the message names our client, and that the tenant
// has it (5).
func (s *Server) application(ctx context.Context, x *exchange) error {
	if !same(x.Issuer) || x.kind.full && !same(x.ClientID) || x.ClientID != "" && !same(x.ClientID) {
		return deviceFault(idp.Denied, codeClient, "client_unknown", "The message is of another application.", "iss %q, client_id %q", clip(x.Issuer), clip(x.ClientID))
	}
	c, err := s.cfg.Clients.Get(ctx, x.tenant.ID, client.MacSSO)
	if errors.Is(err, idp.NotFound) {
		return deviceFault(idp.Denied, codeClient, "client_unknown", "The message is of another application.", "%w", err)
	}
	x.client = c
	return err
}

// same says whether an id is our client's.
func same(id string) bool { return strings.EqualFold(id, string(client.MacSSO)) }

// addressed makes sure that the message is for this address, as the
// configuration spells it (5). Key requests of real Macs have no aud (§8.2):
// theirs is looked at when it is there.
func (s *Server) addressed(x *exchange) error {
	good := []string{s.address(x.tenant.ID, x.at)}
	if !x.kind.full {
		if len(x.Audience) == 0 {
			return nil
		}
		good = append(good, s.address(x.tenant.ID, pathAudience))
	}
	if !slices.ContainsFunc(x.Audience, func(a string) bool { return slices.Contains(good, a) }) {
		return deviceFault(idp.Denied, codeToken, "audience_differs", "The message is for another address.", "aud %.200q", []string(x.Audience))
	}
	return nil
}

// answerable checks what the answer is made of: nonce, scope and the key that
// it is encrypted to (8 and 9).
func (s *Server) answerable(x *exchange) error {
	if n := len([]rune(x.Nonce)); n == 0 || n > maxNonce {
		return malformed("claim_nonce", "nonce of %d characters", n)
	}
	if x.kind.full {
		words := strings.Fields(x.Scope)
		if !slices.Contains(words, pssowire.ScopeOpenID) || !slices.Contains(words, pssowire.ScopeMac) {
			return fault(http.StatusBadRequest, idp.Invalid, wordRequest, codeScope, "scope_missing",
				"The scopes openid and urn:apple:platformsso are needed.", "scope %q", clip(x.Scope))
		}
	}
	e := x.Crypto
	if e.Alg != pssowire.AlgAgreed || e.Enc != pssowire.EncAgreed {
		return malformed("jwe_crypto", "alg %q, enc %q", clip(e.Alg), clip(e.Enc))
	}
	party, err := pssowire.ParsePartyV(e.APV)
	if err != nil {
		return malformed("apv_malformed", "%w", err)
	}
	key, ok := x.mac.Find(mac.Encryption, mac.KeyID(party.ID))
	switch {
	case !ok:
		return deviceFault(idp.Denied, codeTransport, "apv_key", "The answer would go to a key that this Mac has not registered.", "apv of key %s", mac.KeyID(party.ID))
	case party.Nonce != x.Nonce:
		return malformed("apv_nonce", "nonce in apv differs")
	}
	x.reply, x.party = key, party.Raw
	return nil
}

// refuse burns the nonce of a message and records why it was refused. The
// answer is the refusal, unless somebody else has used the nonce before.
func (s *Server) refuse(ctx context.Context, x exchange, err error) error {
	if ours(err) {
		return err
	}
	_, err = s.cfg.Corridor.Carried(ctx, s.carried(x, err))
	return err
}

// carried is the corridor's request for a message without a gesture.
func (s *Server) carried(x exchange, failed error) signin.CarriedRequest {
	return signin.CarriedRequest{
		Tenant: x.tenant.ID, Nonces: []nonce.Sealed{x.nonce}, Failed: failed, Client: x.client.ID,
		Activity: x.kind.activity(), Device: x.device.ID, Peer: x.peer,
	}
}

// unburnt records the refusal of a message that burns nothing: of a Mac that is
// switched off or not known, or whose nonce is not good.
func (s *Server) unburnt(ctx context.Context, x exchange, err error) error {
	e := audit.Event{
		Tenant: x.tenant.ID, Category: audit.Token, Activity: x.kind.activity(), IP: x.peer.IP, Agent: x.peer.Agent, Trace: x.peer.Trace,
	}
	if id := cmp.Or(x.device.ID, x.mac.Device); id != "" {
		e.Actor, e.Detail = "device:"+string(id), map[string]string{signin.DetailDevice: string(id)}
	}
	return s.failed(ctx, e, err)
}

// within hands a message of a Mac on, inside the allowance of who sends it. What
// merely came late uses none of it up, nor does what fails on our side: an office
// behind one address has many Macs, and all wake up on Monday.
func (s *Server) within(r *http.Request, answer func() error) error {
	source := web.Source(r)
	if full, wait := s.failures.Full(source); full {
		return limited("device_failures", wait, "source %s", web.ClientIP(r))
	}
	err := answer()
	if err != nil && !ours(err) && !errors.Is(err, idp.Expired) && !errors.Is(err, idp.Limited) {
		s.failures.Allow(source)
	}
	return err
}
