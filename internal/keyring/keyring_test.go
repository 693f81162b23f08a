package keyring_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const tenant, other = idp.TenantID("11111111-1111-4111-8111-111111111111"), idp.TenantID("22222222-2222-4222-8222-222222222222")

var sources = []fs.FS{keyring.Migrations}

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newClock() *clock { return &clock{time.UnixMilli(1_800_000_000_000)} }

func published(t *testing.T, r *keyring.Ring, who idp.TenantID) map[string]bool {
	t.Helper()
	raw, err := r.JWKS(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, k := range set.Keys {
		if _, private := k["d"]; private {
			t.Fatal("a private key is published")
		}
		out[k["kid"].(string)] = true
	}
	return out
}

func signer(t *testing.T, r *keyring.Ring, alg string) idp.KeyID {
	t.Helper()
	s, err := r.Signer(t.Context(), tenant, alg)
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

func TestSec_KEY03_RotationNeverSignsWithAnUnpublishedKey(t *testing.T) {
	c := newClock()
	r := keyring.New(keyring.Config{DB: sqldbtest.Open(t, sources), KEK: secret.RandomKey(), Now: c.Now})
	first := signer(t, r, "ES256")
	if err := r.Rotate(t.Context(), tenant, "ES256"); err != nil {
		t.Fatal(err)
	}
	if got := signer(t, r, "ES256"); got != first {
		t.Error("the new key signs before others can know it")
	}
	if set := published(t, r, tenant); len(set) != 2 || !set[string(first)] {
		t.Fatalf("published %v, want the old and the new key", set)
	}
	if err := r.Rotate(t.Context(), tenant, "ES256"); !errors.Is(err, idp.Conflict) {
		t.Errorf("a second rotation: %v, want Conflict", err)
	}
	c.now = c.now.Add(keyring.CachePeriod)
	second := signer(t, r, "ES256")
	if second == first {
		t.Fatal("the new key has not taken over")
	}
	c.now = c.now.Add(keyring.Afterlife - time.Second)
	if set := published(t, r, tenant); !set[string(first)] {
		t.Error("the old key is gone before its last token")
	}
	if _, err := r.Public(t.Context(), tenant, string(first)); err != nil {
		t.Errorf("the retiring key does not verify: %v", err)
	}
	c.now = c.now.Add(time.Second)
	if set := published(t, r, tenant); set[string(first)] || !set[string(second)] {
		t.Errorf("after its last token: %v", set)
	}
	if _, err := r.Public(t.Context(), tenant, string(first)); !errors.Is(err, idp.NotFound) {
		t.Errorf("the gone key still verifies: %v", err)
	}
}

func TestSec_KEY03_EmergencyRotationEndsTheOldKeyAtOnce(t *testing.T) {
	c := newClock()
	r := keyring.New(keyring.Config{DB: sqldbtest.Open(t, sources), KEK: secret.RandomKey(), Now: c.Now})
	first := signer(t, r, "ES256")
	if err := r.RotateNow(t.Context(), tenant, "ES256"); err != nil {
		t.Fatal(err)
	}
	if set := published(t, r, tenant); len(set) != 1 || set[string(first)] {
		t.Errorf("published %v", set)
	}
	if signer(t, r, "ES256") == first {
		t.Error("the old key still signs")
	}
}

func TestAlgorithms(t *testing.T) {
	r := keyring.New(keyring.Config{DB: sqldbtest.Open(t, sources), KEK: secret.RandomKey(), Now: newClock().Now})
	if published(t, r, tenant); len(published(t, r, tenant)) != 1 {
		t.Error("an RS256 key was made though nobody asked for one")
	}
	if signer(t, r, "RS256") == signer(t, r, "ES256") {
		t.Error("one key for two algorithms")
	}
	for _, alg := range []string{"none", "HS256", "", "es256"} {
		if _, err := r.Signer(t.Context(), tenant, alg); !errors.Is(err, idp.Invalid) {
			t.Errorf("%q: %v, want Invalid", alg, err)
		}
	}
}

func TestSec_KEY04_KeysOfTenantsAndPurposesDiffer(t *testing.T) {
	r := keyring.New(keyring.Config{DB: sqldbtest.Open(t, sources), KEK: secret.RandomKey(), Now: newClock().Now})
	seen := map[string]string{}
	for _, who := range []idp.TenantID{tenant, other} {
		for _, purpose := range []string{"flow", "code"} {
			k, err := r.Sealing(t.Context(), who, purpose)
			if err != nil {
				t.Fatal(err)
			}
			name := string(who) + purpose
			if twin := seen[string(k.Raw())]; twin != "" {
				t.Errorf("%s has the key of %s", name, twin)
			}
			seen[string(k.Raw())] = name
		}
	}
	kid := signer(t, r, "ES256")
	if _, err := r.Public(t.Context(), other, string(kid)); !errors.Is(err, idp.NotFound) {
		t.Errorf("tenant B verifies with tenant A's key: %v", err)
	}
}

func TestSec_KEY01_ASwappedBlobDoesNotOpen(t *testing.T) {
	for _, c := range []struct{ name, swap, probe string }{
		{"sealing key of another purpose", `update sealing_key set sealed = (select s.sealed from sealing_key s where s.tenant_id = $1 and s.purpose = 'b') where tenant_id = $1 and purpose = 'a'`, "sealing"},
		{"sealing key of another tenant", `update sealing_key set id = (select s.id from sealing_key s where s.tenant_id = '` + string(other) + `'), sealed = (select s.sealed from sealing_key s where s.tenant_id = '` + string(other) + `') where tenant_id = $1 and purpose = 'a'`, "sealing"},
		{"signing key of another tenant", `update signing_key set id = (select s.id from signing_key s where s.tenant_id = '` + string(other) + `'), sealed = (select s.sealed from signing_key s where s.tenant_id = '` + string(other) + `') where tenant_id = $1`, "signing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, kek := sqldbtest.Open(t, sources), secret.RandomKey()
			r := keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now})
			signer(t, r, "ES256")
			_, err1 := r.Signer(t.Context(), other, "ES256")
			_, err2 := r.Sealing(t.Context(), tenant, "a")
			_, err3 := r.Sealing(t.Context(), tenant, "b")
			_, err4 := r.Sealing(t.Context(), other, "a")
			if err := errors.Join(err1, err2, err3, err4); err != nil {
				t.Fatal(err)
			}
			if n, err := db.Exec(t.Context(), c.swap, tenant); err != nil || n != 1 {
				t.Fatalf("swap: %d rows, %v", n, err)
			}
			// A node that starts now has nothing cached.
			r = keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now})
			var err error
			if c.probe == "signing" {
				_, err = r.Signer(t.Context(), tenant, "ES256")
			} else {
				_, err = r.Sealing(t.Context(), tenant, "a")
			}
			if err == nil || !strings.Contains(err.Error(), "open") {
				t.Errorf("the swapped key opens: %v", err)
			}
		})
	}
}

// TestSec_KEY01_ARetiredKeyDoesNotComeBack puts the sealed key of one row into
// another of the same tenant and algorithm.
func TestSec_KEY01_ARetiredKeyDoesNotComeBack(t *testing.T) {
	db, kek := sqldbtest.Open(t, sources), secret.RandomKey()
	r := keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now})
	old := signer(t, r, "ES256")
	if err := r.Rotate(t.Context(), tenant, "ES256"); err != nil {
		t.Fatal(err)
	}
	n, err := db.Exec(t.Context(), `
		update signing_key set sealed = (select s.sealed from signing_key s where s.tenant_id = $1 and s.id = $2)
		where tenant_id = $1 and id <> $2`, tenant, old)
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if _, err := keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now}).Signer(t.Context(), tenant, "ES256"); err == nil {
		t.Error("the swapped key opens")
	}
}

func TestWrongKeyEncryptionKey(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	if known, err := keyring.Known(t.Context(), db); err != nil || known {
		t.Fatalf("new database: %v, %v", known, err)
	}
	kek := secret.RandomKey()
	for range 2 {
		if err := keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now}).Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if known, err := keyring.Known(t.Context(), db); err != nil || !known {
		t.Fatalf("used database: %v, %v", known, err)
	}
	err := keyring.New(keyring.Config{DB: db, KEK: secret.RandomKey(), Now: newClock().Now}).Check(t.Context())
	if e := idp.AsError(err); err == nil || e.Reason != "wrong_kek" {
		t.Errorf("wrong key: %v", err)
	}
}

// TestNodesAgree lets several nodes make the first keys at once.
func TestNodesAgree(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		kek := secret.RandomKey()
		const nodes = 16
		var mu sync.Mutex
		kids, raws := map[idp.KeyID]int{}, map[string]int{}
		var wg sync.WaitGroup
		for range nodes {
			r := keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now})
			wg.Go(func() {
				s, err := r.Signer(context.Background(), tenant, "ES256")
				k, err2 := r.Sealing(context.Background(), tenant, "flow")
				if err := errors.Join(err, err2); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				kids[s.ID]++
				raws[string(k.Raw())]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if len(kids) != 1 || len(raws) != 1 {
			t.Errorf("%d signing and %d sealing keys, want one of each", len(kids), len(raws))
		}
	})
}

// TestRotationRace lets several nodes rotate at once: one key is added.
func TestRotationRace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		kek := secret.RandomKey()
		r := keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now})
		signer(t, r, "ES256")
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for range 8 {
			node := keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now})
			wg.Go(func() {
				err := node.Rotate(context.Background(), tenant, "ES256")
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if !errors.Is(err, idp.Conflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		fresh := keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now})
		if set := published(t, fresh, tenant); won != 1 || len(set) != 2 {
			t.Errorf("%d rotations won, %d keys published; want 1 and 2", won, len(set))
		}
	})
}

func TestJobRotatesOldKeysAndDeletesGoneOnes(t *testing.T) {
	c := newClock()
	db := sqldbtest.Open(t, sources)
	r := keyring.New(keyring.Config{DB: db, KEK: secret.RandomKey(), Now: c.Now})
	first := signer(t, r, "ES256")
	run := func() {
		for _, j := range r.Jobs() {
			if err := j.Run(t.Context(), c.now); err != nil {
				t.Fatal(err)
			}
		}
	}
	run()
	if keys, _ := r.Keys(t.Context(), tenant); len(keys) != 1 || keys[0].State != keyring.Active {
		t.Fatalf("rotated before its term: %+v", keys)
	}
	c.now = c.now.Add(keyring.Term + time.Second)
	run()
	keys, _ := r.Keys(t.Context(), tenant)
	if len(keys) != 2 || keys[0].State != keyring.Active || keys[1].State != keyring.Next {
		t.Fatalf("after its term: %+v", keys)
	}
	c.now = c.now.Add(keyring.CachePeriod + keyring.Afterlife)
	run()
	var n int64
	if err := db.QueryRow(t.Context(), `select count(*) from signing_key where tenant_id = $1 and id = $2`, tenant, first).Scan(&n); err != nil || n != 0 {
		t.Errorf("the gone key is still in the database: %d, %v", n, err)
	}
}
