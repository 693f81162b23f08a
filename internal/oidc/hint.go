package oidc

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// hint is what an ID token of ours says when it comes back as id_token_hint.
type hint struct {
	Client  idp.ClientID
	Subject string
	Session idp.SessionID // as the application sees it
}

// readHint takes the person from id_token_hint. Claims may name one too; they
// must agree.
func (s *Server) readHint(ctx context.Context, t tenant, c client.Client, q *request) error {
	if q.IDTokenHint == "" {
		return nil
	}
	h, err := s.verifyHint(ctx, t, q.IDTokenHint)
	if err != nil {
		return err
	}
	if h.Client != c.ID {
		return badHint("hint of client %s from %s", h.Client, c.ID)
	}
	if q.Subject != "" && q.Subject != h.Subject {
		return badHint("hint names %s and claims %s", h.Subject, q.Subject)
	}
	q.Subject = h.Subject
	return nil
}

func badHint(format string, args ...any) *Fault {
	return badRequest("id_token_hint", "id_token_hint is not an ID token that was issued here for this application.", format, args...)
}

// verifyHint believes an ID token that we signed, also an expired one: that it
// is old is what hints are for (OpenID Connect Core 1.0, Section 3.1.2.1).
// Anything else that we sign (access tokens) is no hint.
func (s *Server) verifyHint(ctx context.Context, t tenant, compact string) (hint, error) {
	c, err := s.cfg.Tokens.VerifyHint(ctx, t.ID, compact)
	if ours(err) {
		return hint{}, err
	}
	if err != nil {
		return hint{}, badHint("%w", err)
	}
	return hint{Client: c.Client, Subject: c.Subject, Session: c.Session}, nil
}

// peek reads a member of a token's payload without believing it: to find the
// tenant or client whose keys will then verify the token.
func peek(compact string, into any) error {
	if len(compact) > maxToken {
		return badRequest("token", "The token is too long.", "token of %d bytes", len(compact))
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return idp.Unprovenf("token_malformed", "token of %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return idp.Unprovenf("token_malformed", "payload: %w", err)
	}
	if err := jose.Strict(payload, into); err != nil {
		return idp.Unprovenf("token_malformed", "payload: %w", err)
	}
	return nil
}

// tenantOf is the tenant that a token says it is of. Only a way to find the
// keys: they, and the issuer in the verified token, decide.
func tenantOf(compact string) (idp.TenantID, error) {
	var c struct {
		Tenant idp.TenantID `json:"tid"`
	}
	if err := peek(compact, &c); err != nil {
		return "", err
	}
	if len(c.Tenant) != 36 {
		return "", idp.NotFoundf("tenant_unknown", "token names no tenant")
	}
	return c.Tenant, nil
}
