package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
)

// Door is the word by which flows of this door are known to the corridor.
const Door = "oidc"

// ask is what this door keeps in a flow until the person is proven: where the
// answer goes, and what the code will be bound to.
type ask struct {
	Redirect  string        `json:"redirect_uri"`
	Mode      responseMode  `json:"response_mode"`
	State     string        `json:"state,omitempty"`
	Nonce     string        `json:"nonce,omitempty"`
	Challenge string        `json:"code_challenge"`
	Scopes    []string      `json:"scope"`
	Audience  string        `json:"aud"`
	Subject   string        `json:"sub,omitempty"`
	Claims    claimsRequest `json:"claims"`
	ACR       []string      `json:"acr,omitempty"` // as asked for; the flow has what is demanded
}

// encode leaves characters of markup as they are: escaped they take six bytes
// each, and a state that is as long as may be would not fit in a flow.
func (a ask) encode() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(a)
	return out.Bytes(), err
}

func (a ask) reply(issuer string) reply {
	return reply{Redirect: a.Redirect, Mode: a.Mode, State: a.State, Issuer: issuer}
}

// authorize is the authorization endpoint. Until client and redirect URI are
// proven every error is a page of ours; from then on the application hears
// (OpenID Connect Core 1.0, Section 3.1.2.6; security.md OAU06).
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	p, duplicates, err := authorizeParams(w, r)
	if err != nil {
		return err
	}
	t, err := s.tenant(ctx, r.PathValue("t"), s.byClientOrDevice(r, p.get("client_id")))
	if err != nil {
		return err
	}
	c, err := s.provenClient(ctx, t, p, duplicates)
	if err != nil {
		return err
	}
	q, err := parseRequest(p, duplicates, c, t.Issuer)
	back := reply{Redirect: p.get("redirect_uri"), Mode: q.Mode, State: q.State, Issuer: t.Issuer}
	if err != nil {
		return back.fail(w, r, err)
	}
	forgetCredentials(w, r)
	b, stale, err := s.brought(r, t, c, q)
	if err != nil {
		return back.fail(w, r, err)
	}
	var step signin.Step
	if !stale {
		step, err = s.begin(w, r, t, c, q, back, b)
		stale = spentNonce(err)
	}
	if stale {
		sent, again := s.renonce(w, r, t, p)
		if sent {
			return nil
		}
		if again != nil {
			return back.fail(w, r, again)
		}
		step, err = s.begin(w, r, t, c, q, back, signin.Brought{})
	}
	if err != nil {
		return back.fail(w, r, err)
	}
	if step.Kind != signin.Done {
		if step.Bearer != "" {
			s.cfg.Sessions.Set(w, r, step.Bearer, step.Replaces)
		}
		return s.cfg.SignIn(w, r, step.Flow, step)
	}
	return s.finish(w, r, t, step)
}

// byClientOrDevice is the tenant hint of an authorization request: built-in
// applications exist in every tenant, and the device's credential says in which.
func (s *Server) byClientOrDevice(r *http.Request, id string) func() (idp.TenantID, error) {
	return func() (idp.TenantID, error) {
		// Only for those: what nobody has verified leads no other application
		// astray.
		if s.cfg.Devices != nil && client.IsBuiltIn(idp.ClientID(id)) {
			if t, ok := s.cfg.Devices.TenantOf(r); ok {
				return t, nil
			}
		}
		return s.byClient(r.Context(), id)()
	}
}

// provenClient proves client_id and redirect_uri. Its errors stay here.
func (s *Server) provenClient(ctx context.Context, t tenant, p params, duplicates []string) (client.Client, error) {
	for _, name := range []string{"client_id", "redirect_uri"} {
		if slices.Contains(duplicates, name) {
			return client.Client{}, repeated([]string{name})
		}
		if !p.has(name) {
			return client.Client{}, missing(name)
		}
	}
	c, err := s.lookup(ctx, t.ID, idp.ClientID(p.get("client_id")))
	if err != nil {
		return c, err
	}
	if uri := p.get("redirect_uri"); len(uri) > maxURI || !client.MatchRedirect(c, uri) {
		return c, unknownRedirect(c, uri)
	}
	return c, nil
}

// unknownRedirect is shown here and never sent: nobody vouches for where it
// would go (security.md OAU06).
func unknownRedirect(c client.Client, uri string) error {
	f := fault(idp.Invalid, "invalid_request", codeBadRedirect, "redirect_unknown",
		c.Name+" sent a request that Signet cannot accept: its return address is not registered. "+
			"Tell the people who run "+c.Name+"; the slip below helps them.", "redirect %q of client %s", clip(uri), c.ID)
	f.Cause.Field = "redirect_uri"
	return f
}

// begin makes the flow and lets the corridor say what it still needs. With
// prompt=none whatever it needs is an error: nothing is ever shown.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, t tenant, c client.Client, q request, back reply, b signin.Brought) (signin.Step, error) {
	ctx := r.Context()
	if q.Challenge == "" && needsChallenge(c, b.Device != "") {
		return signin.Step{}, missing("code_challenge")
	}
	if err := s.strengths(ctx, t, c, &q); err != nil {
		return signin.Step{}, err
	}
	if err := s.readHint(ctx, t, c, &q); err != nil {
		return signin.Step{}, err
	}
	current, several, err := s.currentSession(r, t, c, q)
	if err != nil {
		return signin.Step{}, err
	}
	several = several && b.PRT == "" // the device says who is meant
	if several && !q.prompts("none") && !q.prompts("select_account") {
		q.Prompt = append(q.Prompt, "select_account")
	}
	peer := s.peer(w, r, q)
	flow, err := s.flow(t, c, q, back, peer)
	if err != nil {
		return signin.Step{}, err
	}
	step, err := s.enter(ctx, flow, current, b, peer)
	if step.Session.ID != "" {
		current = &step.Session
	}
	switch {
	case err != nil:
		return step, err
	case q.prompts("none"):
		return step, silent(step, current, several)
	case step.Kind == signin.Deny && step.Decision.Code == policy.CodeUserDisabled:
		// The account behind the session is switched off; somebody else may
		// want to sign in at this browser.
		return s.cfg.Corridor.Next(ctx, flow, nil, peer)
	case step.Kind == signin.Done && (several || q.prompts("select_account")):
		return s.choose(ctx, t, step, peer)
	}
	return step, nil
}

// choose turns a step that is done into one for a person: the session would
// do, but they are to say whose it shall be.
func (s *Server) choose(ctx context.Context, t tenant, step signin.Step, peer signin.Peer) (signin.Step, error) {
	handle, err := s.cfg.Corridor.Start(ctx, step.Flow)
	if err != nil {
		return step, err
	}
	step.Flow, err = s.cfg.Corridor.Resume(ctx, t.ID, handle, peer)
	step.Kind, step.Handle = signin.StepUp, handle
	return step, err
}

// flow makes the corridor's flow of the request.
func (s *Server) flow(t tenant, c client.Client, q request, back reply, peer signin.Peer) (signin.Flow, error) {
	kept, err := ask{
		Redirect: back.Redirect, Mode: q.Mode, State: q.State, Nonce: q.Nonce, Challenge: q.Challenge,
		Scopes: q.Scopes, Audience: q.Resource, Subject: q.Subject, Claims: q.Claims, ACR: q.ACR,
	}.encode()
	if err != nil {
		return signin.Flow{}, err
	}
	f := signin.Flow{
		Tenant: t.ID, Door: Door, Ask: kept, Client: c.ID, ClientName: c.Name, LeadsTo: originOf(back.Redirect),
		Scopes: q.Claims.agree(q.Scopes), ACR: q.Demanded, Required: c.ACR, MaxAge: q.MaxAge, Prompt: q.Prompt, LoginHint: q.LoginHint,
		Enlists: enlists(c, q.Resource), Browser: signin.BrowserDigest(peer.Browser),
	}
	if c.Subject != "pairwise" {
		f.HintUser = idp.UserID(q.Subject) // public subjects are user ids
	}
	return f, nil
}

// currentSession picks the session of this browser that the request is about:
// the person that a hint or claims name, else the newest. several says that
// more than one person is signed in and nothing says which is meant.
func (s *Server) currentSession(r *http.Request, t tenant, c client.Client, q request) (*session.Session, bool, error) {
	all, err := s.cfg.Sessions.FromRequest(r.Context(), r, t.ID)
	if err != nil || len(all) == 0 {
		return nil, false, err
	}
	if q.Subject != "" || q.LoginHint != "" {
		for _, one := range all {
			meant, err := s.means(r.Context(), t, c, q, one.User)
			if err != nil || meant {
				return &one, false, err
			}
		}
		return nil, false, nil
	}
	several := slices.ContainsFunc(all, func(o session.Session) bool { return o.User != all[0].User })
	return &all[0], several, nil
}

// means says whether the request is about this person: by the subject that it
// names, else by its login_hint, which counts as a user name.
func (s *Server) means(ctx context.Context, t tenant, c client.Client, q request, id idp.UserID) (bool, error) {
	if q.Subject != "" {
		sub, err := s.cfg.Tokens.PublicSubject(ctx, c, id)
		return sub == q.Subject, err
	}
	user, err := s.cfg.Directory.User(ctx, s.cfg.DB, t.ID, id)
	if errors.Is(err, idp.NotFound) {
		return false, nil
	}
	return strings.EqualFold(user.Name, q.LoginHint), err
}

// silent is the answer to prompt=none when the corridor is not done (OpenID
// Connect Core 1.0, Section 3.1.2.6).
func silent(step signin.Step, current *session.Session, several bool) error {
	switch {
	case step.Kind == signin.Deny:
		return denied(step)
	case current == nil:
		return fault(idp.Unproven, "login_required", codeNoSession, "no_session",
			"Nobody is signed in, or not the person meant. Ask without prompt=none.", "no session")
	case several:
		return fault(idp.Unproven, "account_selection_required", codeInteraction, "several_sessions",
			"More than one person is signed in. Ask without prompt=none.", "several sessions")
	case step.Kind == signin.Done:
		return nil
	case step.Kind == signin.Consent:
		return fault(idp.Denied, "consent_required", codeNoConsent, "no_consent",
			"The person has not agreed to this. Ask without prompt=none.", "consent missing")
	case step.Kind == signin.StepUp && step.Decision.Reason != "strength_unmet":
		return fault(idp.Unproven, "login_required", codeFreshProof, "proof_too_old",
			"The last sign-in is too long ago. Ask without prompt=none.", "decision %s", step.Decision.Reason)
	}
	return fault(idp.Unproven, "interaction_required", codeStrength, "step_needed",
		"The person must do something first. Ask without prompt=none.", "decision %s", step.Decision.Reason)
}

// denied is what the application hears when policy says no.
func denied(step signin.Step) error {
	f := fault(idp.Denied, "access_denied", step.Decision.Code, step.Decision.Reason,
		"A policy of the organisation refuses this.", "rule %s", step.Decision.Rule)
	if f.Cause.Code == 0 {
		f.Cause.Code = codeConsentDenied
	}
	return f
}
