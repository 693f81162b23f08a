package psso

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
)

// pathAuthorize is the authorization endpoint, as the configuration spells it:
// what a message from login to single sign-on is for, wherever else it is asked.
const pathAuthorize = "/oauth2/v2.0/authorize"

// ssoLives is how long such a message may be good, without the leeway of clocks
// (apple-platform-sso.md §11) [ours].
const ssoLives = time.Minute

// activityUse is the word of a use that was refused; one that is good is a
// sign-in.
const activityUse = "prt.use"

// aUse is a message that carries a login to a browser's sign-in.
var aUse = kind{name: "sso", types: []string{pssowire.TypeSSO}, word: activityUse}

// Carries says whether a request has something of a Mac's extension.
func Carries(r *http.Request) bool { return r.Header.Get(pssowire.HeaderSSO) != "" }

// Brought reads what the extension of a Mac carries to the authorization
// endpoint of a tenant: a message that the Mac's signing key has made for this
// one address, with the refresh token of a login (apple-platform-sso.md §11). What
// is not good is as if it was not there, and is recorded: the person may still
// sign in by hand. stale says that it lacks nothing but a nonce that is good now.
// Its error is a trouble of our own.
//
// Of a message that is good nothing is burnt: the corridor does that, when it
// grants something for it.
func (s *Server) Brought(r *http.Request, t idp.TenantID) (b signin.Brought, stale bool, err error) {
	ctx := r.Context()
	p, err := s.cfg.Policies.Get(ctx, t)
	if err != nil || !p.Devices.On {
		return b, false, err
	}
	x := exchange{tenant: idp.Tenant{ID: t}, peer: peer(r), kind: aUse}
	all := r.Header.Values(pssowire.HeaderSSO)
	if len(all) != 1 {
		return b, false, s.ignored(ctx, x, malformed("message_twice", "%d headers", len(all)))
	}
	if x.message, err = jose.ParseLoose(all[0], "ES256"); err != nil {
		return b, false, s.ignored(ctx, x, malformed(idp.AsError(err).Reason, "%w", err))
	}
	if err := s.identify(ctx, &x); err != nil {
		return b, false, s.ignored(ctx, x, err)
	}
	return s.carriedSSO(ctx, x, s.addressOf(r))
}

// TenantOf is whose a request's message says it is, unverified: for addresses
// that name no tenant.
func (s *Server) TenantOf(r *http.Request) (idp.TenantID, bool) {
	m, err := jose.ParseLoose(r.Header.Get(pssowire.HeaderSSO), "ES256")
	var c pssowire.SSO
	if err != nil || m.Read(&c) != nil {
		return "", false
	}
	return prt.Tenant(c.RefreshToken)
}

// carriedSSO judges a message whose signature is good.
func (s *Server) carriedSSO(ctx context.Context, x exchange, address string) (b signin.Brought, stale bool, err error) {
	refusal := s.judgeSSO(&x, address)
	var p standing
	if refusal == nil {
		if p, err = s.stands(ctx, x); err != nil {
			return b, false, err
		}
		refusal = p.refusal
	}
	n, err := s.opened(ctx, x.tenant.ID, x.RequestNonce)
	if err != nil {
		if refusal != nil && !ours(err) {
			err = refusal // a new nonce would not help
		}
		return b, refusal == nil && !ours(err), s.ignored(ctx, x, err)
	}
	x.nonce = n
	if refusal != nil {
		// The signature was good: the nonce is spent, whatever is shown now.
		p.refusal = refusal
		_, err := s.cfg.Corridor.Carried(ctx, s.carriedBy(x, p))
		return b, false, unlessOurs(err)
	}
	return signin.Brought{
		Standing: signin.Standing{User: p.PRT.User, PRT: p.PRT.ID, Device: p.PRT.Device, Ends: p.PRT.Ends},
		Proofs:   p.PRT.Proofs, Nonces: []nonce.Sealed{n},
	}, false, nil
}

// judgeSSO holds a message against what it must say: for whom it is, for which
// address and when. The kind is told by its typ alone, which is our own: no
// extension that is built for macOS 13 sends it.
func (s *Server) judgeSSO(x *exchange, address string) error {
	var c pssowire.SSO
	if err := x.message.Read(&c); err != nil {
		return malformed("claims_malformed", "%w", err)
	}
	x.RequestNonce, x.RefreshToken = c.RequestNonce, c.RefreshToken
	if x.message.Type != pssowire.TypeSSO {
		return malformed("typ_differs", "typ %q", clip(x.message.Type))
	}
	if !same(c.Issuer) {
		return deviceFault(idp.Denied, codeClient, "client_unknown", "The message is of another application.", "iss %q", clip(c.Issuer))
	}
	if len(c.Audience) != 1 || c.Audience[0] != s.address(x.tenant.ID, pathAuthorize) {
		return deviceFault(idp.Denied, codeToken, "audience_differs", "The message is for another address.", "aud %.200q", []string(c.Audience))
	}
	sum := sha256.Sum256([]byte(address))
	if hash, err := jose.Unbase64(c.URIHash); err != nil || address == "" || !bytes.Equal(hash, sum[:]) {
		return deviceFault(idp.Denied, codeToken, "address_differs", "The message is for another address.", "uri_hash of another address")
	}
	if err := assertion.Window(c.Issued, c.Expires, s.cfg.Now()); err != nil {
		return late(err.Reason, err)
	}
	if lives := time.Duration(*c.Expires-*c.Issued) * time.Second; lives > ssoLives {
		return late("assertion_long", idp.Unprovenf("assertion_long", "message for %s", lives))
	}
	return nil
}

// late is a message whose times are not good.
func late(reason string, err *idp.Error) error {
	return fault(http.StatusBadRequest, idp.Expired, wordRequest, codeToken, reason,
		"The message is over, or from the future. Look at the Mac's clock.", "%w", err)
}

// addressOf is the whole address of a request, as it was sent: what stands
// between us and the Mac passes it on as it is. Empty for one that is not ours,
// and for a form: what that asks for is not in its address.
func (s *Server) addressOf(r *http.Request) string {
	switch uri := r.RequestURI; {
	case r.Method != http.MethodGet:
		return ""
	case strings.HasPrefix(uri, "/"):
		return s.cfg.BaseURL + uri
	case strings.HasPrefix(uri, s.cfg.BaseURL+"/"): // RFC 9112, Section 3.2.2
		return uri
	}
	return ""
}

// ignored records a message that counts for nothing, and burns nothing. A
// trouble of our own is none of its own.
func (s *Server) ignored(ctx context.Context, x exchange, err error) error {
	e := audit.Event{
		Tenant: x.tenant.ID, Category: audit.Token, Activity: activityUse,
		IP: x.peer.IP, Agent: x.peer.Agent, Trace: x.peer.Trace,
	}
	if d := x.device.ID; d != "" {
		e.Actor, e.Detail = "device:"+string(d), map[string]string{signin.DetailDevice: string(d)}
	}
	return unlessOurs(s.failed(ctx, e, err))
}

func unlessOurs(err error) error {
	if ours(err) {
		return err
	}
	return nil
}
