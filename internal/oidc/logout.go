package oidc

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// LogoutPrompt is what the confirm page needs: it posts Fields to Action.
type LogoutPrompt struct {
	Tenant     idp.Tenant
	User       idp.User // who is signed in
	ClientName string   // who asks; empty when nobody said
	Action     string   // address to post to
	Fields     []Field  // hidden fields, in order
	LeadsTo    string   // origin that the sign-out leads back to, for form-action; may be empty
}

// Field is a hidden form field.
type Field struct{ Name, Value string }

// A confirmation is sealed to the session that it is about, and short-lived:
// another site cannot post one that it did not get from this browser's page.
const (
	logoutPurpose = "logout"
	logoutLives   = 10 * time.Minute
)

// departure is a parsed logout request.
type departure struct {
	hint      hint // zero: none, or none that verified
	client    client.Client
	returning bool // post_logout_redirect_uri is proven
	redirect  string
	state     string
	confirmed string
}

// logout is the end session endpoint (OpenID Connect RP-Initiated Logout 1.0).
// It ends a session at once only when the application proves with an ID token
// of that very session that it may ask; otherwise the person is asked. It
// leads back only to an address registered for exactly that (security.md
// OAU16); anything else is a page of ours.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	p, duplicates, err := authorizeParams(w, r)
	if err != nil {
		return err
	}
	if len(duplicates) > 0 {
		return repeated(duplicates)
	}
	t, err := s.tenant(ctx, r.PathValue("t"), s.logoutTenant(ctx, p))
	if err != nil {
		return err
	}
	d, err := s.parseLogout(ctx, t, p)
	if err != nil {
		return err
	}
	sessions, err := s.cfg.Sessions.FromRequest(ctx, r, t.ID)
	if err != nil {
		return err
	}
	which, err := s.meant(ctx, d, sessions)
	if err != nil {
		return err
	}
	if which == nil {
		return s.depart(w, r, d) // nobody to sign out
	}
	sure, err := s.confirmed(ctx, t, r, d, *which)
	if err != nil {
		return err
	}
	if !sure {
		return s.confirm(w, r, t, d, *which)
	}
	if err := s.end(ctx, r, t, d, *which); err != nil {
		return err
	}
	s.cfg.Sessions.Drop(w, r, which.Bearer())
	return s.depart(w, r, d)
}

func (s *Server) logoutTenant(ctx context.Context, p params) func() (idp.TenantID, error) {
	if h := p.get("id_token_hint"); h != "" {
		return func() (idp.TenantID, error) { return tenantOf(h) }
	}
	return s.byClient(ctx, p.get("client_id"))
}

// parseLogout proves what can be proven of the request. A hint that does not
// verify is an error: what it would have vouched for cannot be trusted, and to
// sign out somebody else instead would be worse.
func (s *Server) parseLogout(ctx context.Context, t tenant, p params) (departure, error) {
	d := departure{redirect: p.get("post_logout_redirect_uri"), state: p.get("state"), confirmed: p.get("confirmation")}
	id := idp.ClientID(p.get("client_id"))
	if raw := p.get("id_token_hint"); raw != "" {
		h, err := s.verifyHint(ctx, t, raw)
		if err != nil {
			return d, err
		}
		if id != "" && id != h.Client {
			return d, badRequest("client_id", "client_id is not the application of id_token_hint.", "client %q", clip(string(id)))
		}
		d.hint, id = h, h.Client
	}
	if id != "" {
		c, err := s.lookup(ctx, t.ID, id)
		if err != nil {
			return d, err
		}
		d.client = c
	}
	if !plain(d.state, maxState) {
		return d, badRequest("state", "state must be short text.", "state of %d bytes", len(d.state))
	}
	if d.redirect == "" {
		return d, nil
	}
	if d.client.ID == "" {
		return d, badRequest("post_logout_redirect_uri",
			"post_logout_redirect_uri needs id_token_hint or client_id.", "no client for %q", clip(d.redirect))
	}
	if !client.MatchPostLogout(d.client, d.redirect) {
		f := badRequest("post_logout_redirect_uri", d.client.Name+" sent a request that Signet cannot accept: "+
			"its return address is not registered. Tell the people who run "+d.client.Name+"; the slip below helps them.",
			"post-logout redirect %q of client %s", clip(d.redirect), d.client.ID)
		f.Cause.Code = codeBadRedirect
		return d, f
	}
	d.returning = true
	return d, nil
}

// meant finds the session to end: that of the hint, else the newest.
func (s *Server) meant(ctx context.Context, d departure, all []session.Session) (*session.Session, error) {
	if d.hint.Subject == "" {
		if len(all) == 0 {
			return nil, nil
		}
		return &all[0], nil
	}
	for _, one := range all {
		if hinted, err := s.hinted(ctx, d, one.ID); hinted || err != nil {
			return &one, err
		}
	}
	// An older session of the same person may have given the hint.
	for _, one := range all {
		sub, err := s.cfg.Tokens.PublicSubject(ctx, d.client, one.User)
		if err != nil {
			return nil, err
		}
		if sub == d.hint.Subject {
			return &one, nil
		}
	}
	return nil, nil
}

// hinted says whether the hint is an ID token of that very session.
func (s *Server) hinted(ctx context.Context, d departure, id idp.SessionID) (bool, error) {
	if d.hint.Session == "" {
		return false, nil
	}
	sid, err := s.cfg.Tokens.PublicSession(ctx, d.client, id)
	return sid == string(d.hint.Session), err
}

// confirmed says whether the session may be ended without asking: the
// application holds an ID token of it, or the person has just been asked.
func (s *Server) confirmed(ctx context.Context, t tenant, r *http.Request, d departure, which session.Session) (bool, error) {
	if hinted, err := s.hinted(ctx, d, which.ID); hinted || err != nil {
		return hinted, err
	}
	if r.Method != http.MethodPost || d.confirmed == "" {
		return false, nil
	}
	sealed, err := s.cfg.Box.Open(ctx, t.ID, logoutPurpose, d.confirmed)
	return err == nil && string(sealed.Payload) == string(which.ID), nil
}

// confirm asks the person. The page posts back here with a confirmation.
func (s *Server) confirm(w http.ResponseWriter, r *http.Request, t tenant, d departure, which session.Session) error {
	ctx := r.Context()
	sealed, err := s.cfg.Box.Seal(ctx, t.ID, logoutPurpose, logoutLives, []byte(which.ID))
	if err != nil {
		return err
	}
	user, err := s.cfg.Directory.User(ctx, s.cfg.DB, t.ID, which.User)
	if err != nil {
		return err
	}
	p := LogoutPrompt{
		Tenant: t.Tenant, User: user, ClientName: d.client.Name,
		Action: "/" + string(t.ID) + "/oauth2/v2.0/logout",
		Fields: []Field{{"confirmation", sealed}},
	}
	if d.client.ID != "" {
		p.Fields = append(p.Fields, Field{"client_id", string(d.client.ID)})
	}
	if d.returning {
		p.Fields = append(p.Fields, Field{"post_logout_redirect_uri", d.redirect}, Field{"state", d.state})
		p.LeadsTo = originOf(d.redirect)
	}
	return s.cfg.LogoutPage(w, r, p)
}

// end ends the session and revokes what was issued from it, in one
// transaction with its record.
func (s *Server) end(ctx context.Context, r *http.Request, t tenant, d departure, which session.Session) error {
	return s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := s.cfg.Sessions.End(ctx, tx, t.ID, which.ID); err != nil {
			return err
		}
		if err := s.cfg.Tokens.RevokeSession(ctx, tx, t.ID, which.User, which.ID); err != nil {
			return err
		}
		return s.cfg.Audit.Write(ctx, tx, audit.Event{
			Tenant: t.ID, Category: "signin", Activity: "signout.done", Outcome: "success",
			Actor: string(which.User), User: which.User, Client: d.client.ID, Session: which.ID,
			IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(ctx),
		})
	})
}

// depart leads where the request may lead, else to our own page.
func (s *Server) depart(w http.ResponseWriter, r *http.Request, d departure) error {
	if !d.returning {
		return web.SeeOther(w, r, s.cfg.SignedOut)
	}
	to := d.redirect
	if d.state != "" {
		sep := "?"
		if strings.Contains(to, "?") {
			sep = "&"
		}
		to += sep + url.Values{"state": {d.state}}.Encode()
	}
	return web.SeeOther(w, r, to)
}
