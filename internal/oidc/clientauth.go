package oidc

import (
	"context"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
)

// credentials are how a client says who it is: exactly one method a request
// (RFC 6749, Section 2.3).
type credentials struct {
	ID        idp.ClientID
	Method    string // none | client_secret_basic | client_secret_post | private_key_jwt
	Secret    string
	Assertion string
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// parseCredentials finds the client's credentials in the Authorization header
// and the body. Two methods at once, even with the same secret, are refused.
func parseCredentials(header string, p params) (credentials, error) {
	c := credentials{ID: idp.ClientID(p.get("client_id")), Method: "none"}
	methods := 0
	if header != "" {
		id, password, err := parseBasic(header)
		if err != nil {
			return c, err
		}
		if c.ID != "" && c.ID != idp.ClientID(id) {
			return c, badRequest("client_id", "client_id differs from the Authorization header.", "client_id %q", clip(string(c.ID)))
		}
		c.ID, c.Secret, c.Method = idp.ClientID(id), password, "client_secret_basic"
		methods++
	}
	if p.has("client_secret") {
		c.Secret, c.Method = p.get("client_secret"), "client_secret_post"
		methods++
	}
	if p.has("client_assertion") || p.has("client_assertion_type") {
		if p.get("client_assertion_type") != assertionType || !p.has("client_assertion") {
			return c, badRequest("client_assertion_type", "client_assertion needs client_assertion_type "+assertionType+".",
				"assertion type %q", clip(p.get("client_assertion_type")))
		}
		c.Assertion, c.Method = p.get("client_assertion"), "private_key_jwt"
		methods++
	}
	if methods > 1 {
		return c, badRequest("client_secret", "The client authenticates in more than one way. Use one.", "%d methods", methods)
	}
	if c.ID == "" && c.Assertion != "" {
		id, err := assertionIssuer(c.Assertion)
		if err != nil {
			return c, err
		}
		c.ID = id
	}
	if c.ID == "" {
		return c, missing("client_id")
	}
	if len(c.ID) > 64 || len(c.Secret) > 512 {
		return c, badSecret("client id of %d and secret of %d bytes", len(c.ID), len(c.Secret))
	}
	return c, nil
}

// parseBasic reads HTTP Basic as RFC 6749, Section 2.3.1 has it: both parts
// form-encoded before they are joined.
func parseBasic(header string) (id, password string, err error) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", badSecret("authorization scheme %q", clip(scheme))
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", badSecret("basic credentials: %w", err)
	}
	user, pass, ok := strings.Cut(string(raw), ":")
	if !ok {
		return "", "", badSecret("basic credentials without a colon")
	}
	if id, err = url.QueryUnescape(user); err != nil {
		return "", "", badSecret("basic user: %w", err)
	}
	if password, err = url.QueryUnescape(pass); err != nil {
		return "", "", badSecret("basic password: %w", err)
	}
	if id == "" {
		return "", "", badSecret("basic credentials without a user")
	}
	return id, password, nil
}

// badSecret is the one answer to everything that does not authenticate a known
// client.
func badSecret(format string, args ...any) *Fault {
	return fault(idp.Unproven, "invalid_client", codeBadSecret, "client_unproven",
		"The client did not authenticate.", format, args...)
}

// prove checks the credentials against the client's registered method.
func (s *Server) prove(ctx context.Context, t tenant, c client.Client, creds credentials) error {
	switch {
	case c.Auth == "none" && creds.Method != "none":
		return fault(idp.Unproven, "invalid_client", codePublicWithSecret, "public_client_with_secret",
			"The application is registered as public. It must not send a client secret or assertion.", "method %s", creds.Method)
	case c.Auth == "none":
		return nil
	case creds.Method == "none":
		return fault(idp.Unproven, "invalid_client", codeNoClientAuth, "client_auth_missing",
			"The request must contain client_assertion or client_secret.", "client %s sent no proof", c.ID)
	case c.Auth != creds.Method && !(c.Auth == "secret" && strings.HasPrefix(creds.Method, "client_secret_")):
		return badSecret("client %s is registered for %s and used %s", c.ID, c.Auth, creds.Method)
	case creds.Method == "private_key_jwt":
		return s.proveAssertion(ctx, t, c, creds.Assertion)
	}
	if !matchSecret(c.SecretDigests, creds.Secret) {
		return badSecret("secret of client %s", c.ID)
	}
	return nil
}

// matchSecret compares with every secret of the client, always all of them.
func matchSecret(digests [][]byte, presented string) bool {
	sum, ok := secret.Digest(presented), false
	for _, d := range digests {
		ok = secret.Equal(d, sum) || ok
	}
	return ok && presented != ""
}
