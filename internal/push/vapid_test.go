package push_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestOneKey: nodes that ask for the key at the same time get one, and it is
// there after a start.
func TestOneKey(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		var mu sync.Mutex
		got := map[string]int{}
		var wg sync.WaitGroup
		for range 4 {
			s := w.node(t)
			for range 2 {
				wg.Go(func() {
					key, err := s.PublicKey(t.Context())
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					got[key]++
				})
			}
		}
		wg.Wait()
		again, err := w.node(t).PublicKey(t.Context())
		if err != nil || len(got) != 1 || got[again] != 8 {
			t.Errorf("%v, then %s, %v", got, again, err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(again)
		if err != nil || len(raw) != 65 || raw[0] != 4 {
			t.Errorf("%x, %v", raw, err)
		}
	})
}

// TestSec_KEY01_VAPIDSealed: the key is sealed in the database, and one that
// somebody put there is not used.
func TestSec_KEY01_VAPIDSealed(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		s := w.node(t)
		if _, err := s.PublicKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		var public, sealed []byte
		read := func() {
			t.Helper()
			if err := db.QueryRow(t.Context(), `select public, sealed from vapid_key`).Scan(&public, &sealed); err != nil {
				t.Fatal(err)
			}
		}
		read()
		raw, err := w.key.Open(sealed, []byte("vapid_key/1"))
		if err != nil || len(raw) != 32 || bytes.Contains(sealed, raw) {
			t.Fatalf("%d bytes, %v", len(raw), err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
			if got := fmt.Sprintf(verb, s); strings.Contains(got, base64.RawURLEncoding.EncodeToString(raw)) {
				t.Errorf("%s prints the key", verb)
			}
		}
		set := func(public, sealed []byte) {
			t.Helper()
			if _, err := db.Exec(t.Context(), `update vapid_key set public = $1, sealed = $2`, public, sealed); err != nil {
				t.Fatal(err)
			}
		}
		other := newWorld(t, sqldbtest.Open(t, sources))
		if _, err := other.node(t).PublicKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		var foreign []byte
		if err := other.db.QueryRow(t.Context(), `select public from vapid_key`).Scan(&foreign); err != nil {
			t.Fatal(err)
		}
		refused := func(what string) {
			t.Helper()
			if key, err := w.node(t).PublicKey(t.Context()); err == nil {
				t.Errorf("%s: %s", what, key)
			}
			if res := w.node(t).Send(t.Context(), target(w.service.Subscribe("")), message("r")); res.Outcome != push.Later {
				t.Errorf("%s: %+v", what, res)
			}
		}
		set(foreign, sealed)
		refused("a public key that is not the sealed one's")
		set(public, secret.RandomKey().Seal(raw, []byte("vapid_key/1")))
		refused("sealed under another key")
		set(public, w.key.Seal(raw, []byte("elsewhere")))
		refused("sealed for another place")
		set(public, w.key.Seal(raw[:31], []byte("vapid_key/1")))
		refused("no scalar")
		set(public, sealed)
		if _, err := w.node(t).PublicKey(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
