package macagent

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/signetid/signet/internal/pssowire"
)

// LoginOptions say what a login asks for beside tokens.
type LoginOptions struct {
	// Groups are names whose membership is asked for, as a profile's
	// AdministratorGroups and AdditionalGroups are.
	Groups []string
}

// Session is what a login or a refresh gave, judged as macOS does.
type Session struct {
	User     string    `json:"user"` // preferred_username
	Name     string    `json:"name,omitempty"`
	UniqueID string    `json:"uniqueId,omitempty"`
	Groups   []string  `json:"groups,omitempty"` // of those asked for
	By       string    `json:"by"`               // "login" or "refresh"
	Expires  time.Time `json:"refreshTokenExpires"`
	// IDToken is verified; Claims are its. The refresh token is "the SSO token".
	IDToken      string          `json:"-"`
	RefreshToken string          `json:"-"`
	Claims       json.RawMessage `json:"claims"`
}

// Login signs the person in with their key or card (apple-platform-sso.md §6).
// After a rotation it is what makes the new keys the only ones.
func (m *Mac) Login(ctx context.Context, o LoginOptions) (Session, error) {
	if _, err := m.somebody(); err != nil {
		return Session{}, err
	}
	n, err := m.Nonce(ctx)
	if err != nil {
		return Session{}, err
	}
	q, err := m.PrepareLogin(n, o)
	if err != nil {
		return Session{}, err
	}
	s, err := m.session(ctx, q, "login")
	if err != nil {
		return s, err
	}
	m.st.Rotating = time.Time{} // the new keys have been seen
	return s, m.save()
}

// PrepareLogin makes a login request on a nonce.
func (m *Mac) PrepareLogin(n Nonce, o LoginOptions) (*Request, error) {
	p, err := m.somebody()
	if err != nil {
		return nil, err
	}
	c := m.st.Conf
	claims := &pssowire.Request{
		Issuer: c.ClientID, ClientID: c.ClientID, Audience: pssowire.Audience{c.TokenEndpoint}, Nonce: upperUUID(),
		Subject: p.User, Username: p.User, Scope: scope(c), GrantType: pssowire.GrantBearer,
	}
	if len(o.Groups) > 0 {
		claims.Claims = pssowire.AskGroups(o.Groups...)
	}
	if claims.Assertion, err = m.assertion(p, n, claims); err != nil {
		return nil, err
	}
	q, err := m.request("login", c.TokenEndpoint, pssowire.TypeLogin, pssowire.TypeLoginReply, n, claims)
	if err == nil {
		q.groups = o.Groups
	}
	return q, err
}

// assertion is what is inside a login, by the person's key or card (§6.3).
func (m *Mac) assertion(p *person, n Nonce, outer *pssowire.Request) (string, error) {
	inner := &pssowire.Assertion{
		Issuer: p.User, Subject: p.User, Audience: pssowire.Audience{m.st.Conf.Audience},
		Nonce: outer.Nonce, RequestNonce: n.Value, Scope: outer.Scope,
	}
	inner.Issued, inner.Expires = m.times()
	var claims any = inner
	if name := m.st.Conf.NonceClaim; name != "request_nonce" {
		var err error
		if claims, err = renamed(inner, "request_nonce", name); err != nil {
			return "", err
		}
	}
	return m.byUser(p, m.cfg.Form.typ(pssowire.TypeAssertion), claims)
}

// Refresh renews what a login gave (§8.1). A Mac whose method is the Secure
// Enclave key never does: it logs in again. This stand-in does anyway, at the
// token endpoint where no other is named, to show what a refresh is.
func (m *Mac) Refresh(ctx context.Context) (Session, error) {
	if _, err := m.signedIn(); err != nil {
		return Session{}, err
	}
	n, err := m.Nonce(ctx)
	if err != nil {
		return Session{}, err
	}
	q, err := m.PrepareRefresh(n)
	if err != nil {
		return Session{}, err
	}
	s, err := m.session(ctx, q, "refresh")
	if err != nil {
		return s, err
	}
	return s, m.save()
}

// PrepareRefresh makes a refresh request on a nonce. It has neither a person nor
// an assertion: those come from the refresh token.
func (m *Mac) PrepareRefresh(n Nonce) (*Request, error) {
	p, err := m.signedIn()
	if err != nil {
		return nil, err
	}
	c := m.st.Conf
	address := c.RefreshEndpoint
	if address == "" {
		address = c.TokenEndpoint
	}
	return m.request("refresh", address, pssowire.TypeRefresh, pssowire.TypeLoginReply, n, &pssowire.Request{
		Issuer: c.ClientID, ClientID: c.ClientID, Audience: pssowire.Audience{address}, Nonce: upperUUID(), Scope: scope(c),
		GrantType: pssowire.GrantRefresh, RefreshToken: p.Tokens.Refresh,
	})
}

// Keep keeps the tokens of an answer that Send gave, and judges nothing of them:
// for those who measure a server, and would measure its key set beside. They
// are not written to the folder.
func (m *Mac) Keep(q *Request, plain []byte) error {
	var r pssowire.LoginReply
	if err := json.Unmarshal(plain, &r); err != nil || r.RefreshToken == "" {
		return disliked("reply_tokens", "no refresh_token")
	}
	now := m.clock()
	q.by.Tokens = &tokens{Refresh: r.RefreshToken, Expires: now.Add(time.Duration(r.RefreshExpires) * time.Second), At: now, By: q.Name}
	return nil
}

// session sends a login or a refresh, judges what comes, and keeps it in memory.
func (m *Mac) session(ctx context.Context, q *Request, by string) (Session, error) {
	plain, msg, err := m.sent(ctx, q)
	var s Session
	if err == nil {
		s, err = m.judge(ctx, q, plain)
		msg.Token = s.Claims
	}
	m.tell(msg, err)
	if err != nil {
		return Session{}, err
	}
	s.By = by
	q.by.Tokens = &tokens{Refresh: s.RefreshToken, Expires: s.Expires, At: m.clock().UTC().Truncate(time.Second), By: by}
	return s, nil
}

// judge judges the answer to a login or a refresh (§7.4, §7.5).
func (m *Mac) judge(ctx context.Context, q *Request, plain []byte) (Session, error) {
	var r struct {
		IDToken string          `json:"id_token"`
		Refresh string          `json:"refresh_token"`
		Lasts   json.RawMessage `json:"refresh_token_expires_in"`
		Expires json.RawMessage `json:"expires_in"`
	}
	if err := json.Unmarshal(plain, &r); err != nil {
		return Session{}, disliked("reply_form", "members of the wrong kind: %v", err)
	}
	if r.IDToken == "" || r.Refresh == "" {
		return Session{}, disliked("reply_tokens", "no id_token, or no refresh_token")
	}
	lasts, err := whole(r.Lasts, "refresh_token_expires_in")
	if err == nil && lasts == 0 {
		lasts, err = whole(r.Expires, "expires_in")
	}
	if err != nil {
		return Session{}, err
	}
	if lasts <= int64(4*time.Hour/time.Second) {
		// Macs renew what is four hours old; less would ask people again and again.
		return Session{}, disliked("reply_lifetime", "a refresh token for %d s: it has to live longer than the four hours after which a Mac renews", lasts)
	}
	s, err := m.verified(ctx, r.IDToken, q)
	s.RefreshToken, s.Expires = r.Refresh, m.clock().UTC().Truncate(time.Second).Add(time.Duration(lasts)*time.Second)
	return s, err
}

// whole reads a number of seconds, which is a JSON number and no text; 0 when
// there is none.
func whole(raw json.RawMessage, name string) (int64, error) {
	if len(raw) == 0 {
		return 0, nil
	}
	var n int64
	if json.Unmarshal(raw, &n) != nil || n <= 0 || strings.HasPrefix(string(raw), `"`) {
		return 0, disliked("reply_number", "a %s of %s, which is no number of seconds", name, raw)
	}
	return n, nil
}
