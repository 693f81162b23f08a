package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// The device authorization grant (RFC 8628; security.md OAU12, T15): a machine
// that has no browser shows a user code, and a person who is signed in
// elsewhere types it and allows the sign-in.
//
// The device code is a sealed value: asking for one writes nothing (decisions
// 1.2). The first row is that of a person who typed a code. It holds only the
// code's HMAC; what the machine asks, and from where, is sealed in the device
// code and comes with its next poll. So the page waits those seconds before it
// can show whom the person lets in (ADR 0020).
const (
	deviceCodePurpose = "devicecode"
	deviceCodeLives   = 15 * time.Minute
	pollEvery         = 5 * time.Second
	// devicePage is where people type user codes.
	devicePage = "/device"
)

// deviceBody is what a device code says when it comes back.
type deviceBody struct {
	Client idp.ClientID `json:"c"`
	Code   []byte       `json:"k"` // the HMAC of the user code
	deviceAsk
}

// deviceAsk is what a machine asks for and where it is, as the row of an
// approval keeps it.
type deviceAsk struct {
	Scopes   []string `json:"s"`
	Audience string   `json:"a"`
	IP       string   `json:"i"`
	Agent    string   `json:"g"`
	Asked    int64    `json:"t"` // Unix milliseconds
}

// deviceReply is RFC 8628, Section 3.2. Clients of Entra show message as it is
// (device-protocol.md §9.7). There is no verification_uri_complete: a link that
// fills in the code would make of the whole sign-in one careless press.
type deviceReply struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	Page       string `json:"verification_uri"`
	ExpiresIn  int64  `json:"expires_in"`
	Interval   int64  `json:"interval"`
	Message    string `json:"message"`
}

// deviceCode is the device authorization endpoint.
func (s *Server) deviceCode(w http.ResponseWriter, r *http.Request) error {
	// A body without a type is a form here (device-protocol.md §0.3): nothing
	// is believed but what stands in it, so another site's page gains nothing.
	v, _, err := web.BareForm(w, r)
	x := exchange{ip: web.ClientIP(r)}
	if err == nil {
		x, err = s.authenticated(r, params(v))
	}
	if err == nil {
		err = s.mayAskCode(r.Context(), x)
	}
	if err != nil {
		return s.failed(r.Context(), x, err)
	}
	if ok, wait := s.nonces.Allow("code " + web.SourceOf(x.ip)); !ok {
		return &limited{wait: wait, cause: idp.Limitedf("device_codes", "source %s", x.ip).Coded(codeTooMany)}
	}
	judge := askScopes
	if x.client.BuiltIn {
		judge = askBuiltIn
	}
	g, err := judge(x.params.get("scope"), x.params.get("resource"), x.client, x.tenant.Issuer)
	if err != nil {
		return s.failed(r.Context(), x, err)
	}
	out, err := s.newDeviceCode(r, x, g)
	if err != nil {
		return err
	}
	w.Header().Set("Pragma", "no-cache")
	return web.JSON(w, http.StatusOK, out)
}

func (s *Server) newDeviceCode(r *http.Request, x exchange, g grant) (deviceReply, error) {
	ctx, code := r.Context(), newUserCode()
	mac, err := s.codeMAC(ctx, x.tenant.ID, code)
	if err != nil {
		return deviceReply{}, err
	}
	body, err := nonce.Encode(deviceBody{Client: x.client.ID, Code: mac, deviceAsk: deviceAsk{
		Scopes: g.Scopes, Audience: g.Audience, IP: x.ip, Agent: audit.Clean(x.agent, maxAgent), Asked: s.cfg.Now().UnixMilli(),
	}})
	if err != nil {
		return deviceReply{}, err
	}
	sealed, err := s.cfg.Box.Seal(ctx, x.tenant.ID, deviceCodePurpose, deviceCodeLives, body)
	if err != nil {
		return deviceReply{}, err
	}
	shown, page := shownCode(code), s.cfg.BaseURL+devicePage
	return deviceReply{
		DeviceCode: sealed, UserCode: shown, Page: page,
		ExpiresIn: int64(deviceCodeLives.Seconds()), Interval: int64(pollEvery.Seconds()),
		Message: "To sign in, open " + page + " in a browser and type the code " + shown + ".",
	}, nil
}

// maxAgent is how much of a User-Agent header goes into a device code, in
// characters: as much as a page can show.
const maxAgent = 256

// mayAskCode says whether this application may be let in from another machine
// now: the tenant allows it, the application is registered for it, and no
// strength is demanded of it that a person elsewhere cannot carry over.
// Whatever they prove there, proves nothing about the machine that asks
// (security.md OAU12). On the same machine an application has better: a code
// at a loopback address.
func (s *Server) mayAskCode(ctx context.Context, x exchange) error {
	p, err := s.cfg.Policies.Get(ctx, x.tenant.ID)
	if err != nil {
		return err
	}
	switch {
	case !p.Devices.DeviceCode:
		return fault(idp.Denied, "unauthorized_client", codeGrantNotAllowed, "device_code_off",
			"Sign-in by a code on another device is switched off in this organisation.", "tenant %s", x.tenant.ID)
	case !x.client.Allows(client.GrantDeviceCode):
		return fault(idp.Denied, "unauthorized_client", codeGrantNotAllowed, "grant_not_allowed",
			"This application is not registered for the device code grant.", "client %s", x.client.ID)
	case resistsPhishing(p, x.client.ACR):
		return fault(idp.Denied, "access_denied", policy.CodeBlocked, "device_code_phishable",
			"This application needs a sign-in that cannot be phished, on the machine itself. Open it in a browser there.",
			"client %s demands %q", x.client.ID, x.client.ACR)
	}
	return nil
}

// resistsPhishing says whether a strength, by acr value, name or id, lets in
// only what cannot be phished. One that the tenant no longer has lets in
// nobody.
func resistsPhishing(p policy.Policy, acr string) bool {
	if acr == "" {
		return false
	}
	s, known := p.Strength(acr)
	floor, has := p.Strength(policy.ACRPhishingResistant)
	return !known || !has || policy.Implies(s, floor)
}

// deviceGrant is the device code grant at the token endpoint (RFC 8628, Section
// 3.4). Some clients send the device code as code (device-protocol.md §9.7).
func (s *Server) deviceGrant(r *http.Request, x exchange) (tokenReply, error) {
	ctx := r.Context()
	presented := x.params.get("device_code")
	if presented == "" {
		presented = x.params.get("code")
	}
	if presented == "" {
		return tokenReply{}, missing("device_code")
	}
	if err := s.mayAskCode(ctx, x); err != nil {
		return tokenReply{}, err
	}
	id, body, err := s.openDeviceCode(ctx, x, presented)
	if err != nil {
		return tokenReply{}, err
	}
	if ok, _ := s.polls.Allow(string(id[:])); !ok {
		return tokenReply{}, fault(idp.Expired, "slow_down", codePending, "poll_too_fast",
			"Ask less often: five seconds later each time.", "device code of %s", x.client.ID)
	}
	a, err := s.approvalFor(ctx, x.tenant.ID, id, body)
	switch {
	case errors.Is(err, idp.NotFound):
		return tokenReply{}, pending()
	case err != nil:
		return tokenReply{}, err
	case a.State == approvalDenied:
		return tokenReply{}, fault(idp.Denied, "authorization_declined", codeConsentDenied, "declined",
			"The person did not allow it.", "approval %s", a.ID)
	case a.State != approvalAllowed:
		return tokenReply{}, pending()
	}
	return s.redeemApproval(ctx, x, id, body, a)
}

func pending() error {
	return fault(idp.Expired, "authorization_pending", codePending, "approval_pending",
		"Nobody has allowed it yet. Ask again in five seconds.", "no approval yet")
}

// openDeviceCode opens what a machine presents.
func (s *Server) openDeviceCode(ctx context.Context, x exchange, presented string) (token.CodeID, deviceBody, error) {
	var body deviceBody
	sealed, err := s.cfg.Box.Open(ctx, x.tenant.ID, deviceCodePurpose, presented)
	if err != nil && idp.AsError(err).Reason == "late" {
		return token.CodeID{}, body, fault(idp.Expired, "expired_token", codeCodeExpired, "device_code_late",
			"The code is over. Start again.", "device code: %w", err)
	}
	if ours(err) {
		return token.CodeID{}, body, err
	}
	if err == nil {
		err = nonce.Decode(sealed.Payload, &body)
	}
	if err != nil || body.Client != x.client.ID {
		return token.CodeID{}, body, fault(idp.Unproven, "bad_verification_code", codeBadDeviceCode, "device_code_unreadable",
			"The device code was not given out to this application.", "device code of %q: %v", body.Client, err)
	}
	return token.CodeID(sealed.ID), body, nil
}

// redeemApproval turns what somebody allowed into tokens, once: the family of
// the device code's id is the mark. What holds now is asked again.
func (s *Server) redeemApproval(ctx context.Context, x exchange, id token.CodeID, body deviceBody, a approval) (tokenReply, error) {
	var g approvalGrant
	if err := json.Unmarshal(a.Granted, &g); err != nil {
		return tokenReply{}, err
	}
	user, err := s.livingUser(ctx, x.tenant.ID, a.User)
	if ours(err) {
		return tokenReply{}, err
	}
	sub := token.Subject{
		Tenant: x.tenant.ID, User: user, Session: a.Session, Client: x.client, Scopes: body.Scopes, Audience: body.Audience,
		AuthTime: time.UnixMilli(g.AuthTime), ACR: g.ACR, AMR: g.AMR, Basis: g.Basis, Code: token.ByDeviceCode,
	}
	if !x.client.BuiltIn { // those are bound to the machine that asks, when it has a token of its own
		sub.PRT = g.PRT
	}
	if err == nil {
		sub, err = s.presently(ctx, x.tenant, sub)
	}
	if ours(err) {
		return tokenReply{}, err
	}
	granted, err := s.burnCode(ctx, x, redeemed{id: id, activity: "token.device_code"}, sub, err)
	if err != nil {
		return tokenReply{}, err
	}
	return s.issue(ctx, x, granted)
}

// issue gives the tokens of a grant that was just opened.
func (s *Server) issue(ctx context.Context, x exchange, granted token.Subject) (out tokenReply, err error) {
	refresh := ""
	if onPass(granted) {
		// What a pass opened ends with the pass (security.md POL04); a refresh
		// token would outlive it by far.
		granted.Scopes = slices.DeleteFunc(slices.Clone(granted.Scopes), func(s string) bool { return s == offlineAccess })
	}
	if slices.Contains(granted.Scopes, offlineAccess) {
		if refresh, err = s.cfg.Tokens.FirstRefresh(ctx, granted.Tenant, granted.Family); err != nil {
			return tokenReply{}, err
		}
	}
	return s.reply(ctx, x, granted, refresh)
}
