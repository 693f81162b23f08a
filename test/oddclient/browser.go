package oddclient

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// The names of both credentials, as header or cookie (§9.3).
const (
	refreshCredential = "x-ms-RefreshTokenCredential"
	deviceCredential  = "x-ms-DeviceCredential"
)

// ssoPayload is what a browser credential says; without a nonce it is the
// proactive form with iat only (§4.1).
func (c *Client) ssoPayload(p PRT, nonce string) map[string]any {
	out := map[string]any{
		"refresh_token": p.Token, "is_primary": "true", "win_ver": "10.0.19041.868", "windows_api_version": "2.0.1",
		"x_client_platform": nil, "ua_client_id": shellID, "ua": filler,
	}
	if nonce == "" {
		NumberTimes.put(out, "iat", c.Now())
	} else {
		out["request_nonce"] = nonce
	}
	return out
}

// sso signs the browser credential.
func (c *Client) sso(p PRT, nonce string, edits ...edit) (string, error) {
	return c.signed(p, c.ssoPayload(p, nonce), edits...)
}

// deviceProof signs the device credential.
func (c *Client) deviceProof(d *Device, nonce string, edits ...edit) (string, error) {
	m := message{
		header:  map[string]any{"alg": algorithm(d.Key), "typ": "JWT", "x5c": c.x5c(d)},
		payload: map[string]any{"grant_type": "device_auth", "iss": "aad:brokerplugin", "request_nonce": nonce, "windows_api_version": "2.0.1"},
	}
	return c.compact(m.apply(edits), signAs(d.Key))
}

// authorizeURL is an authorize address for an application.
func (c *Client) authorizeURL(clientID, redirect, resource string, more ...string) string {
	q := url.Values{"client_id": {clientID}, "response_type": {"code"}, "redirect_uri": {redirect}, "client-request-id": {newGUID()}, "state": {"odd"}}
	if strings.Contains(strings.ToLower(c.AuthorizePath), "v2.0") {
		q.Set("scope", "openid profile offline_access "+resource+"/.default")
	} else {
		q.Set("resource", resource)
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return c.login(c.AuthorizePath) + "?" + q.Encode()
}

// browse opens an authorize address with credentials (name, value, …) as
// headers or cookies, as the dialect does.
func (c *Client) browse(ctx context.Context, address string, credentials ...string) (Answer, error) {
	h := http.Header{}
	for i := 0; i+1 < len(credentials); i += 2 {
		if c.Cookie {
			h.Add("Cookie", credentials[i]+"="+credentials[i+1])
		} else {
			h.Set(credentials[i], credentials[i+1])
		}
	}
	return c.get(ctx, address, h)
}

var firstLink = regexp.MustCompile(`(?i)<a\s+href="([^"]*)"`)

// redirected is where an answer leads: the first link of the body for those
// that read no Location (§0.6).
func (c *Client) redirected(a Answer) (*url.URL, error) {
	if a.Status/100 != 3 {
		return nil, fmt.Errorf("%d is no redirect: %.200q", a.Status, a.Body)
	}
	to := a.Header.Get("Location")
	if c.BodyCode {
		found := firstLink.FindStringSubmatch(a.Body)
		if found == nil {
			return nil, fmt.Errorf("the body of the %d has no link: %.200q", a.Status, a.Body)
		}
		to = html.UnescapeString(found[1])
	}
	return url.Parse(to)
}

// SSO signs in with the PRT alone and returns the application's address with
// its answer.
func (c *Client) SSO(ctx context.Context, p PRT, d *Device, address string) (*url.URL, error) {
	nonce, err := c.Nonce(ctx)
	if err != nil {
		return nil, err
	}
	credential, err := c.sso(p, nonce)
	if err != nil {
		return nil, err
	}
	both := []string{refreshCredential, credential}
	if c.OneNonce {
		proof, err := c.deviceProof(d, nonce)
		if err != nil {
			return nil, err
		}
		both = append(both, deviceCredential, proof)
	}
	a, err := c.browse(ctx, address, both...)
	if err != nil {
		return nil, err
	}
	return c.redirected(a)
}

// Redeem turns a code into tokens as the published clients do: without PKCE
// (§9.3). v1 paths take a resource, v2 paths a scope.
func (c *Client) Redeem(ctx context.Context, clientID, redirect, code, resource string) (Answer, error) {
	pairs := []string{"client_id", clientID, "grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "client-request-id", newGUID()}
	path := "oauth2/token"
	if strings.Contains(strings.ToLower(c.AuthorizePath), "v2.0") {
		path = "oAuth2/v2.0/token"
		pairs = append(pairs, "scope", "openid profile offline_access "+resource+"/.default")
	} else {
		pairs = append(pairs, "resource", resource)
	}
	return c.form(ctx, c.login(path), pairs...)
}
