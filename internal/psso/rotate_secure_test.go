package psso_test

import (
	"context"
	"testing"

	"github.com/signetid/signet/internal/sqldb"
)

// TestSec_PSO05_RotationMeanwhile ends the sign-in that a rotation stands on
// while it is judged: the Mac keeps the keys that it has.
func TestSec_PSO05_RotationMeanwhile(t *testing.T) {
	w := liteOffice(t)
	m, _, session := w.signedIn(w.ada)
	q := w.rotation(m, newHardware(), session)
	done := false
	w.clock.when("(*Corridor).Carried", func() {
		done = true
		w.write(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.prts.RevokeUser(ctx, tx, w.tenant.ID, w.ada.ID)
		})
	})
	w.rotate(q).refused(t, "signed out", 401, "invalid_token", "session_over")
	if !done {
		t.Fatal("nothing has happened meanwhile")
	}
	if keys, err := w.macs.Keys(t.Context(), w.tenant.ID, m.ID); err != nil || len(keys) != 2 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}
