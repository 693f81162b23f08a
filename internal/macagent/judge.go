package macagent

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

// idToken has the claims that macOS looks at (apple-platform-sso.md §7.5).
type idToken struct {
	Issuer    string          `json:"iss"`
	Audience  json.RawMessage `json:"aud"`
	Party     *string         `json:"azp"`
	Nonce     string          `json:"nonce"`
	Issued    *int64          `json:"iat"`
	Expires   *int64          `json:"exp"`
	NotBefore *int64          `json:"nbf"`
	User      string          `json:"preferred_username"`
	Name      string          `json:"name"`
}

// verified verifies an ID token with the server's published keys and judges it.
func (m *Mac) verified(ctx context.Context, compact string, q *Request) (Session, error) {
	msg, err := jose.Parse(compact, "ES256", "RS256")
	if err != nil {
		return Session{}, disliked("id_token", "an ID token that is no JWS by ES256 or RS256: %v", err)
	}
	keys, err := m.keys(ctx)
	if err != nil {
		return Session{}, err
	}
	key, err := jose.Find(keys, msg)
	if err != nil || msg.KeyID == "" {
		return Session{}, disliked("id_token_key", "an ID token whose kid %q is not in the key set", msg.KeyID)
	}
	var claims json.RawMessage
	if err := msg.Verify(msg.Alg, key.Key, &claims); err != nil {
		return Session{}, disliked("id_token_signature", "an ID token whose signature is not good: %v", err)
	}
	var t idToken
	if err := json.Unmarshal(claims, &t); err != nil {
		return Session{Claims: claims}, disliked("id_token_form", "an ID token with claims of the wrong kind: %v", err)
	}
	if err := judge(m.st.Conf, t, q.nonce, m.clock()); err != nil {
		return Session{Claims: claims}, err
	}
	s := Session{User: t.User, Name: t.Name, IDToken: compact, Claims: claims}
	return s, named(m.st.Conf, claims, q, &s)
}

// judge is macOS's list (§7.5).
func judge(c pssowire.Configuration, t idToken, nonce string, now time.Time) error {
	var one string
	var several []string
	list := json.Unmarshal(t.Audience, &one) != nil
	if list {
		_ = json.Unmarshal(t.Audience, &several)
	}
	at := now.Unix()
	switch {
	case t.Issuer != c.Issuer:
		return disliked("id_token_iss", "an issuer %q, not %q", t.Issuer, c.Issuer)
	case !list && one != c.ClientID || list && !slices.Contains(several, c.ClientID):
		return disliked("id_token_aud", "an audience of %s, not the client %s", t.Audience, c.ClientID)
	case t.Party == nil && list:
		return disliked("id_token_azp", "a list of audiences without azp")
	case t.Party != nil && *t.Party != c.ClientID:
		return disliked("id_token_azp", "an azp of %q, not the client", *t.Party)
	case t.Nonce != nonce:
		return disliked("id_token_nonce", "a nonce that is not the request's")
	case t.Issued == nil || *t.Issued > at:
		return disliked("id_token_iat", "an ID token that is not issued in the past by this Mac's clock")
	case t.Expires == nil || *t.Expires <= at:
		return disliked("id_token_exp", "an ID token that is over by this Mac's clock")
	case t.NotBefore != nil && *t.NotBefore > at:
		return disliked("id_token_nbf", "an ID token that is not good yet by this Mac's clock")
	case t.User == "" || t.Name == "":
		return disliked("id_token_names", "no preferred_username or no name, which new accounts are made of")
	}
	return nil
}

// named judges the claims whose names the configuration has.
func named(c pssowire.Configuration, raw json.RawMessage, q *Request, s *Session) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return disliked("id_token_form", "an ID token that is no object")
	}
	if c.UniqueClaim != "" && (json.Unmarshal(all[c.UniqueClaim], &s.UniqueID) != nil || s.UniqueID == "") {
		return disliked("id_token_unique", "no %s, by which an account is known again", c.UniqueClaim)
	}
	groups, there := all[c.GroupClaim]
	if !there {
		return nil
	}
	if json.Unmarshal(groups, &s.Groups) != nil {
		return disliked("id_token_groups", "a %s that is no list of names", c.GroupClaim)
	}
	for _, g := range s.Groups {
		if !slices.Contains(q.groups, g) {
			return disliked("id_token_groups", "a group %q that nobody asked for", g)
		}
	}
	return nil
}

// keys are the server's published keys.
func (m *Mac) keys(ctx context.Context) ([]jose.Key, error) {
	got, err := m.remote.call(ctx, http.MethodGet, m.st.Conf.JWKSURI, http.Header{"Accept": {"application/json"}}, nil)
	if err != nil {
		return nil, err
	}
	keys, err := jose.ParseKeys(got.body)
	if err != nil {
		return nil, disliked("jwks", "a key set that it cannot read: %v", err)
	}
	return keys, nil
}
