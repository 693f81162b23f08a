package keyring_test

import (
	"crypto/ecdsa"
	"errors"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestKeysForHints: what a key of a scheduled rotation signed stays a hint for
// 400 days, in its tenant; a key that somebody else may have is no use at all.
func TestKeysForHints(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		r := keyring.New(keyring.Config{DB: db, KEK: secret.RandomKey(), Now: c.Now})
		first := signer(t, r, "ES256")
		was, err := r.Public(t.Context(), tenant, string(first))
		if err != nil {
			t.Fatal(err)
		}
		rotate := func() {
			t.Helper()
			if err := r.Rotate(t.Context(), tenant, "ES256"); err != nil {
				t.Fatal(err)
			}
			c.now = c.now.Add(keyring.CachePeriod + keyring.Afterlife)
			for _, j := range r.Jobs() {
				if err := j.Run(t.Context(), c.now); err != nil {
					t.Fatal(err)
				}
			}
		}
		rotate()
		if _, err := r.Public(t.Context(), tenant, string(first)); !errors.Is(err, idp.NotFound) {
			t.Fatalf("the key is not gone: %v", err)
		}
		is, err := r.ForHint(t.Context(), tenant, string(first))
		if err != nil || !is.Key.(*ecdsa.PublicKey).Equal(was.Key) || is.Alg != "ES256" || is.ID != first {
			t.Errorf("for a hint: %+v, %v", is, err)
		}
		for name, kid := range map[string]string{"unknown": "11111111-1111-4111-8111-111111111111", "empty": "", "no id": "\x00" + string(first)[1:], "long": string(first) + "x"} {
			if _, err := r.ForHint(t.Context(), tenant, kid); !errors.Is(err, idp.NotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := r.ForHint(t.Context(), other, string(first)); !errors.Is(err, idp.NotFound) {
			t.Errorf("of another tenant: %v", err)
		}
		second := signer(t, r, "ES256")
		if err := r.RotateNow(t.Context(), tenant, "ES256"); err != nil {
			t.Fatal(err)
		}
		for _, kid := range []idp.KeyID{first, second} {
			if _, err := r.ForHint(t.Context(), tenant, string(kid)); !errors.Is(err, idp.NotFound) {
				t.Errorf("%s after an emergency: %v", kid, err)
			}
		}
		third := signer(t, r, "ES256")
		rotate()
		c.now = c.now.Add(400 * 24 * time.Hour)
		if _, err := r.ForHint(t.Context(), tenant, string(third)); !errors.Is(err, idp.NotFound) {
			t.Errorf("after 400 days: %v", err)
		}
	})
}
