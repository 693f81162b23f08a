package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_KEY02_PausedRewrap: a rewrap that was paused until another key has
// taken over seals nothing under its own any more.
func TestSec_KEY02_PausedRewrap(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, 450)
		ctx, third := t.Context(), secret.RandomKey()
		paused, node := h.node("paused", h.was, h.is, third), h.node("node", h.was, h.is, third)
		pause := sync.OnceFunc(func() {
			for _, k := range []*secret.Key{h.is, third} {
				if _, err := node.Replace(ctx, keyring.KEKID(k), nil, nil); err != nil {
					t.Error(err)
				}
			}
		})
		_, err := paused.Replace(ctx, keyring.KEKID(h.is), nil, func(int) { pause() })
		if !errors.Is(err, idp.Conflict) {
			t.Errorf("a rewrap whose key is no longer the one: %v", err)
		}
		s, err := node.KEKs(ctx)
		if err != nil || s.Now != keyring.KEKID(third) || s.Old(s.Now) != 0 {
			t.Errorf("afterwards: %+v, %v", s, err)
		}
		h.whole(third)
	})
}

// TestSec_KEY02_Stragglers: what a server of an older version left under the
// old key after the new one had taken over is sealed anew by the same rewrap.
func TestSec_KEY02_Stragglers(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, 3)
		ctx, old, id := t.Context(), keyring.KEKID(h.was), keyring.KEKID(h.is)
		node := h.node("node", h.was, h.is)
		if _, err := node.Replace(ctx, id, nil, nil); err != nil {
			t.Fatal(err)
		}
		straggle := func(n int, name string) {
			t.Helper()
			aad := fmt.Sprintf("%d:%s%d:%s%d:%s%d:%s", len(numbered(n)), numbered(n), 1, "x", 4, "late", 1, "1")
			if _, err := db.Exec(ctx, `insert into sealing_key (tenant_id, purpose, id, sealed, kek, created_at) values ($1, 'late', 'x', $2, $3, 0)`,
				numbered(n), h.was.Seal(secret.Bytes(32), []byte(aad)), name); err != nil {
				t.Fatal(err)
			}
		}
		straggle(0, "")
		straggle(1, old)
		if n, err := node.Try(ctx, id); err != nil || n != 2 {
			t.Errorf("tried: %d, %v", n, err)
		}
		if n, err := node.Replace(ctx, id, nil, nil); err != nil || n != 2 {
			t.Errorf("sealed anew: %d, %v", n, err)
		}
		h.whole(h.is)
		alone := h.node("alone", h.is)
		for n := range 2 {
			if _, err := alone.Sealing(ctx, numbered(n), "late"); err != nil {
				t.Error(err)
			}
		}
		if n, err := node.Replace(ctx, id, nil, nil); err != nil || n != 0 {
			t.Errorf("once more: %d, %v", n, err)
		}
	})
}

// TestSec_KEY02_TwoServersOfOneName: two machines may have the same host name
// and the same folder, and both count.
func TestSec_KEY02_TwoServersOfOneName(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, 1)
		ctx, id := t.Context(), keyring.KEKID(h.is)
		one, two := h.node("localhost:/data", h.was, h.is), h.node("localhost:/data", h.was)
		for range 2 { // minutes
			h.now.now = h.now.now.Add(time.Minute)
			must(t, errors.Join(one.Announce(ctx), two.Announce(ctx), one.Announce(ctx)))
		}
		if s, err := one.KEKs(ctx); err != nil || len(s.Nodes) != 2 {
			t.Errorf("servers: %+v, %v", s.Nodes, err)
		}
		if _, err := one.Replace(ctx, id, nil, nil); err == nil || idp.AsError(err).Reason != "kek_nodes" {
			t.Errorf("a server of the same name lacks the key: %v", err)
		}
	})
}

// TestSec_KEY02_DamageIsFoundFirst: a key that opens with nothing is found
// before anything begins that could not be ended.
func TestSec_KEY02_DamageIsFoundFirst(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, 3)
		node := h.node("node", h.was, h.is)
		if _, err := db.Exec(t.Context(), `update sealing_key set id = 'other' where tenant_id = $1`, numbered(0)); err != nil {
			t.Fatal(err)
		}
		delete(h.before, numbered(0))
		if _, err := node.Replace(t.Context(), keyring.KEKID(h.is), nil, nil); err == nil {
			t.Error("passed over")
		}
		h.whole(h.was) // nothing has begun
	})
}

// TestSec_KEY02_StoppedRewrapBesideAServer: the replacement for when no server
// runs is refused while one does that would lack the key.
func TestSec_KEY02_StoppedRewrapBesideAServer(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, 3)
		ctx := t.Context()
		server := h.node("server", h.was)
		must(t, server.Announce(ctx))
		tool := h.node("tool", h.is, h.was)
		note := func(context.Context, *sqldb.Tx, []idp.TenantID) error { return nil }
		if _, err := tool.Rewrap(ctx, note); !errors.Is(err, idp.Conflict) {
			t.Errorf("beside a server: %v", err)
		}
		h.whole(h.was)
		must(t, server.Leave(ctx))
		if n, err := tool.Rewrap(ctx, note); err != nil || n != 4 {
			t.Errorf("alone: %d, %v", n, err)
		}
		h.whole(h.is)
	})
}
