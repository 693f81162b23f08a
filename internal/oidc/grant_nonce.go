package oidc

import (
	"net/http"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/web"
)

// serverChallenge is the grant_type with which devices ask for a nonce
// (product.md §5). It is no grant: nobody is proven and nothing is written.
const serverChallenge = "srv_challenge"

// nonceLives is how long a server nonce may be answered (product.md §6).
const nonceLives = 5 * time.Minute

// nonceReply has the one member that devices read, spelled as they do.
type nonceReply struct {
	Nonce string
}

// serverNonce gives out a sealed value. Its scope is the tenant of the path,
// or "common", which is good in every tenant (decisions 1.4).
func (s *Server) serverNonce(w http.ResponseWriter, r *http.Request) error {
	ip := web.ClientIP(r)
	if ok, wait := s.nonces.Allow(web.SourceOf(ip)); !ok {
		return &limited{wait: wait, cause: idp.Limitedf("nonce_requests", "source %s", ip).Coded(codeTooMany)}
	}
	scope := idp.TenantID(nonce.CommonScope)
	if ref := r.PathValue("t"); !isCommon(ref) {
		t, err := s.tenant(r.Context(), ref, nil)
		if err != nil {
			return err
		}
		scope = t.ID
	}
	value, err := s.cfg.Box.Seal(r.Context(), scope, nonce.ServerNonce, nonceLives, nil)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, nonceReply{value})
}
