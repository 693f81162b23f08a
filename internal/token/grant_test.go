package token_test

import (
	"context"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
)

// A consent that is taken back ends what it gave, and nothing of anybody else.
func TestSec_OAU19_RevokeGrant(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		sub, refresh := w.open(t, "c")
		access, _, err := w.svc.Access(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		revoke := func(tn idp.TenantID, u idp.UserID, c idp.ClientID) {
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RevokeGrant(ctx, tx, tn, u, c) })
		}
		revoke(other, sub.User.ID, "wiki")
		revoke(tenant, "somebody-else", "wiki")
		revoke(tenant, sub.User.ID, "shop")
		if _, err := w.svc.VerifyAccess(t.Context(), tenant, access); err != nil {
			t.Fatalf("ended by what was taken back elsewhere: %v", err)
		}
		revoke(tenant, sub.User.ID, "wiki")
		if _, err := w.svc.VerifyAccess(t.Context(), tenant, access); reason(err) != "token_revoked" {
			t.Errorf("access token: %v", err)
		}
		if _, err := w.svc.Refresh(t.Context(), refresh, app(), token.Presenter{IP: "192.0.2.9"}); reason(err) != "refresh_revoked" {
			t.Errorf("refresh token: %v", err)
		}
	})
}
