package oidc

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/token"
)

// Codes are sealed values: issuing one writes nothing, redeeming one burns it.
const (
	codePurpose = "code"
	codeLives   = 60 * time.Second
)

// codeBody is what a code says when it comes back: what it is bound to
// (security.md OAU03) and what the tokens will state. It stays within what an
// address may hold: 1.5 KB for the largest nonce, and a quarter of one for
// each proof.
type codeBody struct {
	Client    idp.ClientID  `json:"c"`
	Redirect  string        `json:"r"`
	Challenge string        `json:"p"`
	User      idp.UserID    `json:"u"`
	Session   idp.SessionID `json:"i"`
	Scopes    []string      `json:"s"`
	Audience  string        `json:"a"`
	Nonce     string        `json:"n,omitempty"`
	ACR       string        `json:"k,omitempty"`
	AMR       []string      `json:"m,omitempty"`
	AuthTime  int64         `json:"t"`
	Info      []string      `json:"f,omitempty"`
	Recorded  bool          `json:"e,omitempty"` // the corridor has recorded this sign-in
	Basis     []token.Basis `json:"b,omitempty"`
	Asked     []string      `json:"q,omitempty"`
	Device    idp.DeviceID  `json:"d,omitempty"`
	PRT       idp.SessionID `json:"o,omitempty"` // that the session stands on
	Caps      []string      `json:"l,omitempty"` // capabilities of the client
	Until     int64         `json:"x,omitempty"` // end of a session on a pass that registers a device
}

// Resume goes on where a flow of this door left off: the corridor is done with
// it, or refuses it. The portal calls it with the step that it got.
func (s *Server) Resume(w http.ResponseWriter, r *http.Request, f signin.Flow, step signin.Step) error {
	t, err := s.tenant(r.Context(), string(f.Tenant), nil)
	if err != nil {
		return err
	}
	step.Flow = f
	return s.finish(w, r, t, step)
}

// finish answers the application: a code, or why there is none. The
// registration is read again: a person may sit long before a page, and an
// address that was taken out meanwhile must get nothing, errors included.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, t tenant, step signin.Step) error {
	var a ask
	if err := json.Unmarshal(step.Flow.Ask, &a); err != nil {
		return err
	}
	if step.Bearer != "" {
		s.cfg.Sessions.Set(w, r, step.Bearer, step.Replaces)
	}
	c, err := s.lookup(r.Context(), t.ID, step.Flow.Client)
	if err != nil {
		return err
	}
	if !client.MatchRedirect(c, a.Redirect) {
		return unknownRedirect(c, a.Redirect)
	}
	back := a.reply(t.Issuer)
	back.Found = r.Method == http.MethodGet && carries(r)
	if step.Kind == signin.Deny {
		return back.fail(w, r, denied(step))
	}
	code, err := s.mint(r.Context(), t, c, step, a)
	if err != nil {
		return back.fail(w, r, err)
	}
	return back.send(w, r, url.Values{"code": {code}})
}

// mint seals a code for what the corridor has allowed.
func (s *Server) mint(ctx context.Context, t tenant, c client.Client, step signin.Step, a ask) (string, error) {
	if a.Subject != "" {
		sub, err := s.cfg.Tokens.PublicSubject(ctx, c, step.Session.User)
		if err != nil {
			return "", err
		}
		if sub != a.Subject {
			return "", otherPerson(sub)
		}
	}
	if a.Challenge == "" && needsChallenge(c, step.Session.Device != "") {
		return "", missing("code_challenge")
	}
	until := int64(0)
	if step.Flow.Enlists && signin.OnPass(step.Session) {
		until = step.Session.Expires.UnixMilli()
	}
	body, err := nonce.Encode(codeBody{
		Client: c.ID, Redirect: a.Redirect, Challenge: a.Challenge,
		User: step.Session.User, Session: step.Session.ID, Scopes: a.Scopes, Audience: a.Audience,
		Nonce: a.Nonce, ACR: statedACR(step.Decision.ACR, a.ACR), AMR: step.Decision.AMR, AuthTime: step.Decision.ProofTime.UnixMilli(),
		Info: a.Claims.info(), Recorded: step.Recorded, Basis: token.BasisOf(step.Session.Proofs), Asked: a.ACR,
		Device: step.Session.Device, PRT: step.Session.PRT, Caps: a.Claims.Access.Capabilities, Until: until,
	})
	if err != nil {
		return "", err
	}
	return s.cfg.Box.Seal(ctx, t.ID, codePurpose, codeLives, body)
}

// otherPerson refuses to answer for somebody else than the one asked for
// (OpenID Connect Core 1.0, Section 5.5.1).
func otherPerson(sub string) error {
	return fault(idp.Unproven, "login_required", codeNoSession, "other_person",
		"Somebody else is signed in than the person asked for.", "subject is %s", sub)
}
