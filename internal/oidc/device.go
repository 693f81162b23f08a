package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// Devices is the other half of this door: what registered devices send. The
// door of devices stands on the same floor; app hands over its functions.
type Devices struct {
	// Message answers a message that a device, or a session key, has signed:
	// grant_type jwt-bearer with a request. It phrases its errors itself; what
	// it returns was told, and is for our count of failures.
	Message func(w http.ResponseWriter, r *http.Request, tenant string, form url.Values) error
	// Brought reads what a device's browser carries to the authorization
	// endpoint; without nonces it carries nothing that counts. stale says that
	// all it lacks is a nonce that is good now.
	Brought func(r *http.Request, t idp.TenantID) (b signin.Brought, stale bool, err error)
	// TenantOf is whose a request says it is, unverified: a way to the key.
	TenantOf func(r *http.Request) (idp.TenantID, bool)
}

// jwtBearer is the grant_type of messages that devices sign
// (device-protocol.md §7). As RFC 7523 has it, with assertion, it is refused.
const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// The parameters and names of browser sign-in by a device
// (device-protocol.md §4.1, §9.3).
const (
	ssoNonce         = "sso_nonce"
	prtCredential    = "x-ms-RefreshTokenCredential"
	deviceCredential = "x-ms-DeviceCredential"
)

// message hands a message of a device over, within the allowance of who sends
// it.
func (s *Server) message(w http.ResponseWriter, r *http.Request, v url.Values) error {
	x := exchange{ip: web.ClientIP(r)}
	if err := s.mayTry(x.ip, ""); err != nil {
		return err
	}
	if err := s.cfg.Devices.Message(w, r, r.PathValue("t"), v); err != nil {
		s.failed(r.Context(), x, err)
	}
	return nil
}

// Entitle judges what an application may have when a device asks in its name:
// by the rules of the authorization endpoint. redirect, when given, must be one
// of the application's. Only public applications can be asked for: others have
// a proof of their own to give.
func (s *Server) Entitle(ctx context.Context, id idp.TenantID, app idp.ClientID, scope, resource, redirect string) (client.Client, []string, string, error) {
	c, err := s.lookup(ctx, id, app)
	if err != nil {
		return c, nil, "", err
	}
	if c.Auth != client.AuthNone || !c.BuiltIn && !c.Allows(client.GrantCode) {
		return c, nil, "", fault(idp.Denied, "unauthorized_client", codeNoClientAuth, "client_not_public",
			"A device may not ask in the name of this application.", "client %s", c.ID)
	}
	if redirect != "" && (len(redirect) > maxURI || !client.MatchRedirect(c, redirect)) {
		return c, nil, "", unknownRedirect(c, redirect)
	}
	scope = strings.Join(slices.DeleteFunc(words(scope), brokerWord), " ")
	issuer := s.Issuer(id)
	if c.BuiltIn {
		g, err := askBuiltIn(scope, resource, c, issuer)
		return c, g.Scopes, g.Audience, err
	}
	if scope == "" && resource != "" {
		scope = "openid " + resource + "/.default"
	}
	g, err := askScopes(scope, resource, c, issuer)
	return c, g.Scopes, g.Audience, err
}

// brokerWord says whether a scope is a word of brokers among themselves: it
// asks for nothing here.
func brokerWord(s string) bool { return s == "aza" || s == "ugs" }

// carries says whether a request has something of a device's browser.
func carries(r *http.Request) bool {
	if r.Header.Get(prtCredential) != "" || r.Header.Get(deviceCredential) != "" || r.Header.Get(pssowire.HeaderSSO) != "" {
		return true
	}
	return slices.ContainsFunc(r.Cookies(), ofDevice)
}

// ofDevice says whether a cookie is one of those that a device's browser puts
// in, whole or in pieces.
func ofDevice(c *http.Cookie) bool {
	return strings.HasPrefix(c.Name, prtCredential) || strings.HasPrefix(c.Name, deviceCredential)
}

// forgetCredentials takes back what came in a cookie: it was for this request.
func forgetCredentials(w http.ResponseWriter, r *http.Request) {
	for _, c := range r.Cookies() {
		if ofDevice(c) {
			http.SetCookie(w, &http.Cookie{Name: c.Name, Path: "/", MaxAge: -1, Secure: r.TLS != nil, HttpOnly: true})
		}
	}
}

// brought reads what the device's browser carries, as far as it is for this
// request: not for another person than the one that is asked for, nor when
// somebody is to choose. stale asks for a new nonce.
func (s *Server) brought(r *http.Request, t tenant, c client.Client, q request) (b signin.Brought, stale bool, err error) {
	if s.cfg.Devices == nil || !carries(r) || q.prompts("select_account") {
		return b, false, nil
	}
	b, stale, err = s.cfg.Devices.Brought(r, t.ID)
	if err != nil || stale {
		return signin.Brought{}, stale, err
	}
	if b.User != "" && (q.Subject != "" || q.LoginHint != "") {
		meant, err := s.means(r.Context(), t, c, q, b.User)
		if err != nil || !meant {
			return signin.Brought{}, false, err
		}
	}
	return b, false, nil
}

// enter lets the corridor say what the flow still needs, with what was brought
// to it.
func (s *Server) enter(ctx context.Context, f signin.Flow, current *session.Session, b signin.Brought, peer signin.Peer) (signin.Step, error) {
	if len(b.Nonces) == 0 {
		return s.cfg.Corridor.Next(ctx, f, current, peer)
	}
	return s.cfg.Corridor.Bring(ctx, f, current, b, peer)
}

// spentNonce says whether the corridor lost the burn of what was brought.
func spentNonce(err error) bool {
	return errors.Is(err, idp.Expired) && idp.AsError(err).Reason == "spent"
}

// renonce sends a device's browser to the same address with a nonce to sign
// (device-protocol.md §4.1). One that was given a nonce which is still good and
// did not sign it would go round in circles: it gets the page.
func (s *Server) renonce(w http.ResponseWriter, r *http.Request, t tenant, p params) (sent bool, err error) {
	if r.Method != http.MethodGet {
		return false, nil
	}
	if had, err := s.unused(r.Context(), t.ID, p.get(ssoNonce)); err != nil || had {
		return false, err
	}
	value, err := s.cfg.Box.Seal(r.Context(), t.ID, nonce.ServerNonce, nonceLives, nil)
	if err != nil {
		return false, err
	}
	query := url.Values(p)
	query.Set(ssoNonce, value)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Location", r.URL.EscapedPath()+"?"+query.Encode())
	w.WriteHeader(http.StatusFound)
	return true, nil
}

// unused says whether a value is a nonce of ours that nobody has used.
func (s *Server) unused(ctx context.Context, t idp.TenantID, value string) (bool, error) {
	if value == "" {
		return false, nil
	}
	n, err := s.cfg.Box.Open(ctx, t, nonce.ServerNonce, value)
	if errors.Is(err, idp.Expired) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	gone, err := nonce.Spent(ctx, s.cfg.DB, n)
	return !gone, err
}

// freshMFA is amr_values=ngcmfa: a multi-factor gesture of the last ten
// minutes, which registering a user key needs (device-protocol.md §6). It is
// the age of the gesture that counts (decisions 2.5).
const freshMFA = "ngcmfa"

// demandFresh adds to a request what it asks for by amr_values, and by the nbf
// of a claims challenge: how old the proof may be.
func (s *Server) demandFresh(p policy.Policy, q *request) {
	now := s.cfg.Now()
	within := func(age time.Duration) {
		n := max(int64(age/time.Second), 0)
		if q.MaxAge == nil || *q.MaxAge > n {
			q.MaxAge = &n
		}
	}
	if from := q.Claims.Access.NotBefore; from > 0 {
		within(now.Sub(time.Unix(from, 0)))
	}
	if !q.FreshMFA {
		return
	}
	within(token.FreshLives)
	mfa, known := p.Strength(policy.IDMFA)
	enough := slices.DeleteFunc(slices.Clone(q.Demanded), func(a string) bool {
		one, ok := p.Strength(a)
		return !known || !ok || !policy.Implies(one, mfa)
	})
	if len(enough) == 0 {
		enough = []string{policy.IDMFA}
	}
	q.Demanded = enough
}

// notBefore refuses a grant whose proofs are older than a claims challenge
// wants: the resource asked for newer ones (decisions 3.4).
func notBefore(sub token.Subject, asked string, claims claimsRequest) error {
	if from := claims.Access.NotBefore; from == 0 || sub.AuthTime.Unix() >= from {
		return nil
	}
	f := fault(idp.Denied, "interaction_required", codeFreshProof, "proof_before_challenge",
		"The last sign-in is older than the resource allows. Sign in again.", "auth_time %s", sub.AuthTime)
	f.Claims, f.Sub = asked, "basic_action"
	return f
}

// unbound refuses what the refresh token of a built-in application is not good
// for before its device has a PRT (decisions 4.3).
func unbound(sub token.Subject) error {
	if !sub.Shared() || sub.Bound() || sub.Audience == token.RegistrationAudience {
		return nil
	}
	return fault(idp.Denied, "interaction_required", codeDeviceNeeded, "device_needed",
		"This is only given to a device of the organisation. Join the device first.", "audience %q", clip(sub.Audience))
}

// codeDeviceNeeded is the AADSTS number of a request that only a registered
// device may make (device-protocol.md §3.2).
const codeDeviceNeeded = 50097
