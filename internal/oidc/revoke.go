package oidc

import (
	"context"
	"net/http"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/sqldb"
)

// revoke is token revocation (RFC 7009). The reply is 200 whether there was
// anything to revoke or not (Section 2.2); a token of another client stays
// what it was, and the caller does not learn that it exists (security.md
// OAU15).
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) (err error) {
	x, err := s.tokenRequest(w, r)
	defer func() { err = s.failed(r.Context(), x, err) }()
	if err != nil {
		return err
	}
	if err := s.endToken(r.Context(), x); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return nil
}

// endToken revokes and records it, in one transaction.
func (s *Server) endToken(ctx context.Context, x exchange) error {
	presented, err := s.cfg.Tokens.Present(ctx, x.params.get("token"), x.client)
	if err != nil {
		return err
	}
	return s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		ended, err := presented.End(ctx, tx)
		if err != nil || !ended {
			return err
		}
		return s.cfg.Audit.Write(ctx, tx, audit.Event{
			Tenant: x.tenant.ID, Category: audit.Token, Activity: "token.revoke", Outcome: audit.Success,
			Actor: "client:" + string(x.client.ID), Client: x.client.ID, IP: x.ip, Agent: x.agent, Trace: x.trace,
		})
	})
}
