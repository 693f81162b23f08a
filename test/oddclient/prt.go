package oddclient

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
)

// PRT is a primary refresh token and what came with it.
type PRT struct {
	Token   string
	Session []byte // nil in protocol 4.0
	// Answer is the whole reply, as objects.
	Answer map[string]any
}

// filler makes header and payload hold bits that differ between the two base64
// alphabets, at each of the three alignments.
const filler = "~~~???>>>"

// outer is the JWS of a PRT request, signed by the device (§7.1). user is the
// part that differs by method (§7.2).
func (c *Client) outer(d *Device, nonce string, user map[string]any, edits ...edit) (string, error) {
	m := message{
		header: map[string]any{"alg": algorithm(d.Key), "typ": "JWT", "x5c": c.x5c(d)},
		payload: map[string]any{
			"client_id": brokerInPRT, "request_nonce": nonce, "scope": "openid aza ugs", "win_ver": "10.0.19041.868", "group_sids": []string{},
			"ua": filler, "ub": filler + "~", "uc": filler + "~~",
		},
	}
	if c.KDF == 2 && c.Protocol == windowsAPI {
		m.header["kdf_ver"] = 2
	}
	if c.StrayKid {
		m.header["kid"] = "5a1c7b"
		m.payload["win_ver"] = nil
	}
	now := c.Now()
	c.Times.put(m.payload, "iat", now)
	c.Times.put(m.payload, "exp", now.Add(10*time.Minute))
	if c.Protocol == prtProtocol {
		m.payload["client_id"] = brokerID
		m.payload["scope"] = "openid aza offline_access"
	}
	maps.Copy(m.payload, user)
	return c.compact(m.apply(edits), signAs(d.Key))
}

// byRefresh, byHello and byPassword are the user parts.
func byRefresh(refresh string) map[string]any {
	return map[string]any{"client_id": brokerID, "grant_type": grantRefresh, "refresh_token": refresh}
}

func byHello(upn, assertion string) map[string]any {
	return map[string]any{"grant_type": grantJWT, "username": upn, "assertion": assertion}
}

func byPassword(upn, password string) map[string]any {
	return map[string]any{"grant_type": "password", "username": upn, "password": password}
}

// ask posts a signed request; extra are more form fields.
func (c *Client) ask(ctx context.Context, request string, extra ...string) (Answer, error) {
	pairs := append([]string{c.Protocol, c.Version, "grant_type", grantJWT, "request", request, "client_info", "1"}, extra...)
	return c.form(ctx, c.login(c.TokenPath), pairs...)
}

// askPRT is ask with the dialect's wish for a ticket.
func (c *Client) askPRT(ctx context.Context, request string) (Answer, error) {
	if c.TGT != "" && c.Protocol == windowsAPI {
		return c.ask(ctx, request, "tgt", c.TGT)
	}
	return c.ask(ctx, request)
}

// readPRT checks a PRT answer for what the published clients insist on (§0.13,
// §7.4) and opens the session key.
func readPRT(d *Device, a Answer) (PRT, error) {
	if a.Status != 200 {
		return PRT{}, fmt.Errorf("no PRT: %v", a.Refusal())
	}
	got, err := a.JSON()
	if err != nil {
		return PRT{}, err
	}
	p := PRT{Answer: got}
	if p.Token, err = prtMembers(got); err != nil {
		return p, err
	}
	wrapped, ok := got["session_key_jwe"].(string)
	if !ok {
		return p, errors.New("the answer has no session_key_jwe")
	}
	p.Session, err = d.decodeTransport(wrapped)
	return p, err
}

// prtMembers are the types of §0.13 and the members of §7.4; it returns the PRT.
func prtMembers(got map[string]any) (string, error) {
	var bad []error
	for _, name := range []string{"token_type", "expires_in", "ext_expires_in", "expires_on", "refresh_token", "id_token", "client_info", "device_tenant_id"} {
		if s, ok := got[name].(string); !ok || s == "" {
			bad = append(bad, fmt.Errorf("%s is %v, not a string", name, got[name]))
		}
	}
	if _, ok := got["refresh_token_expires_in"].(json.Number); !ok {
		bad = append(bad, fmt.Errorf("refresh_token_expires_in is %v (%T), not a number", got["refresh_token_expires_in"], got["refresh_token_expires_in"]))
	}
	if id, ok := got["id_token"].(string); ok {
		claims, err := claimsOf(id)
		if err != nil {
			bad = append(bad, fmt.Errorf("the id_token: %w", err))
		}
		for _, name := range []string{"name", "oid", "tid", "preferred_username"} {
			if s, ok := claims[name].(string); !ok || s == "" {
				bad = append(bad, fmt.Errorf("the id_token's %s is %v", name, claims[name]))
			}
		}
	}
	token, _ := got["refresh_token"].(string)
	return token, errors.Join(bad...)
}

// PRTByRefresh and PRTByHello take every step there is: nonces, signatures,
// request, answer.
func (c *Client) PRTByRefresh(ctx context.Context, d *Device, refresh string) (PRT, error) {
	nonce, err := c.Nonce(ctx)
	if err != nil {
		return PRT{}, err
	}
	request, err := c.outer(d, nonce, byRefresh(refresh))
	if err != nil {
		return PRT{}, err
	}
	a, err := c.askPRT(ctx, request)
	if err != nil {
		return PRT{}, err
	}
	return readPRT(d, a)
}

// PRTByHello fetches two nonces, one for each JWS, as all published clients do
// (§0.4).
func (c *Client) PRTByHello(ctx context.Context, d *Device, k HelloKey) (PRT, error) {
	request, err := c.helloRequest(ctx, d, k)
	if err != nil {
		return PRT{}, err
	}
	a, err := c.askPRT(ctx, request)
	if err != nil {
		return PRT{}, err
	}
	return readPRT(d, a)
}

func (c *Client) helloRequest(ctx context.Context, d *Device, k HelloKey) (string, error) {
	inner, err := c.Nonce(ctx)
	if err != nil {
		return "", err
	}
	outer, err := c.Nonce(ctx)
	if err != nil {
		return "", err
	}
	assertion, err := c.assertion(k, inner)
	if err != nil {
		return "", err
	}
	return c.outer(d, outer, byHello(k.UPN, assertion))
}

// ctx is the dialect's: constant, or random.
func (c *Client) ctx() []byte {
	if c.Constant != nil {
		return c.Constant
	}
	b := make([]byte, c.CtxLen)
	rand.Read(b)
	return b
}

// signed is a JWS under the session key (§8.2, §9.1).
func (c *Client) signed(p PRT, payload map[string]any, edits ...edit) (string, error) {
	ctx := c.ctx()
	m := message{header: map[string]any{"alg": "HS256", "typ": "JWT", "ctx": base64.StdEncoding.EncodeToString(ctx)}, payload: payload}
	if c.KDF == 2 {
		m.header["kdf_ver"] = 2
	}
	if c.StrayKid {
		m.header["kid"] = "ZGlnZXN0IG9mIHRoZSBkZXJpdmVkIGtleQ"
	}
	return c.compact(m.apply(edits), signSession(c.KDF, p.Session, ctx))
}

// usePayload asks for a token for an application (§9.1).
func (c *Client) usePayload(p PRT, nonce, clientID, scope string) map[string]any {
	out := map[string]any{
		"refresh_token": p.Token, "request_nonce": nonce, "client_id": clientID, "scope": scope, "grant_type": grantRefresh,
		"iss": "aad:brokerplugin", "aud": audience, "win_ver": "10.0.19041.868", "ua": filler, "ub": filler + "~", "uc": filler + "~~",
	}
	now := c.Now()
	c.Times.put(out, "iat", now)
	c.Times.put(out, "exp", now.Add(10*time.Minute))
	return out
}

// Use asks for tokens for an application; the answer is opened.
func (c *Client) Use(ctx context.Context, p PRT, clientID, scope string, edits ...edit) (map[string]any, Answer, error) {
	nonce, err := c.Nonce(ctx)
	if err != nil {
		return nil, Answer{}, err
	}
	request, err := c.signed(p, c.usePayload(p, nonce, clientID, scope), edits...)
	if err != nil {
		return nil, Answer{}, err
	}
	a, err := c.ask(ctx, request)
	if err != nil || a.Status != 200 {
		return nil, a, err
	}
	got, _, err := c.open(p, a)
	return got, a, err
}

// open opens an answer under the session key.
func (c *Client) open(p PRT, a Answer) (map[string]any, Sealed, error) {
	s, err := openAnswer(p.Session, a.Body)
	if err != nil {
		return nil, s, fmt.Errorf("open the answer %.120q: %w", a.Body, err)
	}
	got, err := Answer{Status: a.Status, Body: string(s.Plain)}.JSON()
	return got, s, err
}

// Renew asks for a new PRT (§9.2); the session key stays the old one (§0.14).
func (c *Client) Renew(ctx context.Context, p PRT) (PRT, Answer, error) {
	scope := "openid ugs aza"
	got, a, err := c.Use(ctx, p, brokerInPRT, scope, func(m message) {
		if c.Previous {
			m.payload["previous_refresh_token"] = p.Token
		}
	})
	if err != nil || got == nil {
		return PRT{}, a, err
	}
	next := PRT{Session: p.Session, Answer: got}
	if next.Token, err = prtMembers(got); err != nil {
		return next, a, err
	}
	if _, there := got["session_key_jwe"]; there {
		return next, a, errors.New("a renewal carries a session key")
	}
	return next, a, nil
}
