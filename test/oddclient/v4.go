package oddclient

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// jweCrypto is what the answer shall be sealed with (device-protocol.md §7.3).
func jweCrypto(apv []byte) map[string]any {
	return map[string]any{"apv": base64.RawURLEncoding.EncodeToString(apv), "alg": "ECDH-ES", "enc": "A256GCM"}
}

// outer4 is a PRT request of protocol 4.0, signed by a P-256 device key.
func (c *Client) outer4(d *Device, nonce string, apv []byte, user map[string]any, edits ...edit) (string, error) {
	return c.outer(d, nonce, user, append([]edit{func(m message) {
		m.payload["jwe_crypto"] = jweCrypto(apv)
		m.header["x5c"] = []string{base64.StdEncoding.EncodeToString(d.Cert.Raw)}
	}}, edits...)...)
}

// open4 opens an answer of protocol 4.0 with the storage key.
func (c *Client) open4(d *Device, apv []byte, a Answer) (map[string]any, error) {
	if a.Status != 200 {
		return nil, fmt.Errorf("refused: %v", a.Refusal())
	}
	if d.Storage == nil {
		return nil, fmt.Errorf("open the answer: %w", errNoKey)
	}
	plain, err := openECDH(d.Storage, apv, a.Body)
	if err != nil {
		return nil, err
	}
	return Answer{Status: a.Status, Body: string(plain)}.JSON()
}

// PRT4ByRefresh gets a PRT that has no session key: every use is signed by the
// device key.
func (c *Client) PRT4ByRefresh(ctx context.Context, d *Device, refresh string, apv []byte) (PRT, error) {
	nonce, err := c.Nonce(ctx)
	if err != nil {
		return PRT{}, err
	}
	request, err := c.outer4(d, nonce, apv, byRefresh(refresh))
	if err != nil {
		return PRT{}, err
	}
	a, err := c.ask(ctx, request)
	if err != nil {
		return PRT{}, err
	}
	p := PRT{}
	if p.Answer, err = c.open4(d, apv, a); err != nil {
		return p, err
	}
	if _, there := p.Answer["session_key_jwe"]; there {
		return p, errors.New("an answer of protocol 4.0 has a session key")
	}
	p.Token, err = prtMembers(p.Answer)
	return p, err
}

// Use4 asks for a token; the device signs.
func (c *Client) Use4(ctx context.Context, d *Device, p PRT, apv []byte, clientID, scope string, edits ...edit) (map[string]any, Answer, error) {
	nonce, err := c.Nonce(ctx)
	if err != nil {
		return nil, Answer{}, err
	}
	payload := c.usePayload(p, nonce, clientID, scope)
	payload["purpose"], payload["iss"], payload["aud"] = "prt_usage", brokerID, c.login(c.TokenPath)
	payload["jwe_crypto"] = jweCrypto(apv)
	c.Times.put(payload, "nbf", c.Now().Add(-time.Minute))
	m := message{header: map[string]any{"alg": algorithm(d.Key), "typ": "JWT", "x5c": []string{base64.StdEncoding.EncodeToString(d.Cert.Raw)}}, payload: payload}
	request, err := c.compact(m.apply(edits), signAs(d.Key))
	if err != nil {
		return nil, Answer{}, err
	}
	a, err := c.ask(ctx, request)
	if err != nil || a.Status != 200 {
		return nil, a, err
	}
	got, err := c.open4(d, apv, a)
	return got, a, err
}
