package oddclient

import (
	"context"
	"strings"
)

// DeviceCode is the start of a device code sign-in (§9.7).
func (c *Client) DeviceCode(ctx context.Context, clientID, resource string) (Answer, error) {
	if strings.Contains(c.TokenPath, "v2.0") || c.StrayKid {
		return c.form(ctx, c.login("oauth2/v2.0/devicecode"), "client_id", clientID, "scope", "openid profile offline_access "+resource+"/.default")
	}
	return c.form(ctx, c.login("oauth2/devicecode"), "client_id", clientID, "resource", resource)
}

// Poll asks once; the code travels under the name that the dialect has for it
// (§0.23).
func (c *Client) Poll(ctx context.Context, clientID, code string) (Answer, error) {
	path := c.TokenPath
	if c.StrayKid {
		path = "oauth2/v2.0/token"
	}
	return c.form(ctx, c.login(path), "client_id", clientID, "grant_type", "urn:ietf:params:oauth:grant-type:device_code", c.PollField, code)
}
