package keyring_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_KEY03_EmergencyWinsOverRotation lets emergency and ordinary rotations
// of several nodes meet: whatever the order, no emergency rotation fails and the
// old key is gone.
func TestSec_KEY03_EmergencyWinsOverRotation(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		kek := secret.RandomKey()
		node := func() *keyring.Ring { return keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now}) }
		for range 8 {
			old := signer(t, node(), "ES256")
			var wg sync.WaitGroup
			for n := range 6 {
				r := node()
				signer(t, r, "ES256") // its snapshot is from before
				wg.Go(func() {
					if n%3 == 0 {
						if err := r.RotateNow(context.Background(), tenant, "ES256"); err != nil {
							t.Errorf("emergency: %v", err)
						}
					} else if err := r.Rotate(context.Background(), tenant, "ES256"); err != nil && !errors.Is(err, idp.Conflict) {
						t.Errorf("rotation: %v", err)
					}
				})
			}
			wg.Wait()
			r := node()
			if _, err := r.Public(t.Context(), tenant, string(old)); !errors.Is(err, idp.NotFound) {
				t.Fatalf("the old key still verifies: %v", err)
			}
			if signer(t, r, "ES256") == old {
				t.Fatal("the old key still signs")
			}
		}
	})
}

// TestOtherNodesLearnOfAnEmergency by notice at once, and without one in time.
func TestOtherNodesLearnOfAnEmergency(t *testing.T) {
	for name, bus := range map[string]*notices{"by notice": {}, "without notice": nil} {
		t.Run(name, func(t *testing.T) {
			db, kek, c := sqldbtest.Open(t, sources), secret.RandomKey(), newClock()
			node := func() *keyring.Ring {
				cfg := keyring.Config{DB: db, KEK: kek, Now: c.Now}
				if bus != nil {
					cfg.Bus = bus
				}
				return keyring.New(cfg)
			}
			here, there := node(), node()
			old := signer(t, here, "ES256")
			if signer(t, there, "ES256") != old {
				t.Fatal("two nodes, two keys")
			}
			if err := here.RotateNow(t.Context(), tenant, "ES256"); err != nil {
				t.Fatal(err)
			}
			if bus == nil {
				c.now = c.now.Add(time.Minute) // decisions 3.4
			}
			if _, err := there.Public(t.Context(), tenant, string(old)); !errors.Is(err, idp.NotFound) {
				t.Errorf("the other node still verifies with the old key: %v", err)
			}
			if signer(t, there, "ES256") == old {
				t.Error("the other node still signs with the old key")
			}
		})
	}
}

// TestKeysOutliveTheDatabase for a while: what a node knows stays good when
// there is nothing to read.
func TestKeysOutliveTheDatabase(t *testing.T) {
	db, c := sqldbtest.Open(t, sources), newClock()
	r := keyring.New(keyring.Config{DB: db, KEK: secret.RandomKey(), Now: c.Now})
	kid := signer(t, r, "ES256")
	if err := r.Rotate(t.Context(), tenant, "ES256"); err != nil {
		t.Fatal(err)
	}
	if signer(t, r, "ES256") != kid {
		t.Fatal("the next key signs already")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(time.Minute)
	if got, err := r.Signer(t.Context(), tenant, "ES256"); err != nil || got.ID != kid {
		t.Errorf("got %s, %v", got.ID, err)
	}
	// A key's own times hold without the database too.
	c.now = c.now.Add(keyring.CachePeriod + keyring.Afterlife)
	if got, err := r.Signer(t.Context(), tenant, "ES256"); err != nil || got.ID == kid {
		t.Errorf("after its time %s signs, %v", got.ID, err)
	}
	if _, err := r.Public(t.Context(), tenant, string(kid)); !errors.Is(err, idp.NotFound) {
		t.Errorf("the gone key still verifies: %v", err)
	}
}

// TestReadersAndRotations runs lookups beside rotations; the race detector
// watches, and every lookup gives a key that its node can verify with.
func TestReadersAndRotations(t *testing.T) {
	bus := &notices{}
	db, kek := sqldbtest.Open(t, sources), secret.RandomKey()
	r := keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now, Bus: bus})
	signer(t, r, "ES256")
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := r.Signer(context.Background(), tenant, "ES256"); err != nil {
					t.Error(err)
				}
				if _, err := r.Sealing(context.Background(), tenant, "flow"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 30 {
		if err := r.RotateNow(t.Context(), tenant, "ES256"); err != nil {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
	fresh := keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now})
	if got, want := signer(t, r, "ES256"), signer(t, fresh, "ES256"); got != want {
		t.Errorf("after the last rotation this node signs with %s, a new one with %s", got, want)
	}
}

func BenchmarkSealing(b *testing.B) {
	r := keyring.New(keyring.Config{DB: sqldbtest.Open(b, sources), KEK: secret.RandomKey(), Now: newClock().Now})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.Sealing(context.Background(), tenant, "flow"); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkSigner(b *testing.B) {
	r := keyring.New(keyring.Config{DB: sqldbtest.Open(b, sources), KEK: secret.RandomKey(), Now: newClock().Now})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.Signer(context.Background(), tenant, "ES256"); err != nil {
				b.Error(err)
			}
		}
	})
}
