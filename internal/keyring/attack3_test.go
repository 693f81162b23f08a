package keyring_test

import (
	"errors"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestAttack3_TenantsOfStrangers: a bearer names its tenant itself before
// anything is verified; tenants that are none fill no memory (NON04, T64).
func TestAttack3_TenantsOfStrangers(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		r := keyring.New(keyring.Config{DB: db, KEK: secret.RandomKey(), Now: time.Now})
		for range 100 {
			if _, err := r.ForHint(t.Context(), idp.TenantID(secret.NewUUID4()), secret.NewUUID4()); !errors.Is(err, idp.NotFound) {
				t.Fatal(err)
			}
		}
		if n := r.Remembered(); n > 0 {
			t.Errorf("%d tenants that nobody made are remembered", n)
		}
	})
}
