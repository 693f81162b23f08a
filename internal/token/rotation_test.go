package token_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// cached is what an application keeps of our keys: it fetches them when its
// copy is as old as it may be, and never in between.
type cached struct {
	set jose.JSONWebKeySet
	at  time.Time
}

func (c *cached) knows(t *testing.T, w *world, kid string) bool {
	t.Helper()
	if w.now.Sub(c.at) >= keyring.CachePeriod {
		raw, err := w.keys.JWKS(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		c.set = jose.JSONWebKeySet{}
		if err := json.Unmarshal(raw, &c.set); err != nil {
			t.Fatal(err)
		}
		c.at = w.now
	}
	return len(c.set.Key(kid)) == 1
}

// TestSec_T61_RotationUnderCaches goes through rotations in steps of two
// minutes: an application that caches our keys
// for as long as it may, and fetched them at the worst moment, never meets a
// token whose key it does not know, up to the token's last second.
func TestSec_T61_RotationUnderCaches(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	sub, _ := w.open(t, "c")
	type issued struct {
		kid string
		end time.Time
	}
	var live []issued
	kids := map[string]bool{}
	var caches []*cached
	for i := range 8 { // fetched at different times
		caches = append(caches, &cached{})
		caches[i].knows(t, w, "")
		caches[i].at = w.now.Add(-time.Duration(i) * keyring.CachePeriod / 8)
	}
	step := func() {
		jwt, lives, err := w.svc.Access(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := jose.ParseSignedCompact(jwt, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		kid := sig.Signatures[0].Header.KeyID
		kids[kid] = true
		live = append(live, issued{kid, w.now.Add(lives)})
		for len(live) > 0 && !w.now.Before(live[0].end) {
			live = live[1:]
		}
		for i, c := range caches {
			for _, tok := range []issued{live[0], live[len(live)-1]} {
				if !c.knows(t, w, tok.kid) {
					t.Fatalf("at %s application %d does not know key %s", w.now, i, tok.kid)
				}
			}
		}
	}
	for range 4 {
		for range 30 {
			step()
			w.now = w.now.Add(2 * time.Minute)
		}
		if err := w.keys.Rotate(t.Context(), tenant, "ES256"); err != nil {
			t.Fatal(err)
		}
		for range int((keyring.CachePeriod + keyring.Afterlife) / (2 * time.Minute)) {
			step()
			w.now = w.now.Add(2 * time.Minute)
		}
	}
	if len(kids) < 4 {
		t.Fatalf("only %d keys were used: nothing was rotated", len(kids))
	}
	// Somebody else may have the key: what it signed is worth nothing at once.
	jwt, _, err := w.svc.Access(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.keys.RotateNow(t.Context(), tenant, "ES256"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.svc.VerifyAccess(t.Context(), tenant, jwt); reason(err) != "key_unknown" {
		t.Errorf("a token of the key that was given up: %v", err)
	}
}
