package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// house is a database whose key-encryption key is replaced.
type house struct {
	t       *testing.T
	db      *sqldb.DB
	now     *clock
	was, is *secret.Key
	before  map[idp.TenantID][]byte // sealing keys
	kid     idp.KeyID
}

// newHouse has so many tenants with a sealing key each, and a signing key.
func newHouse(t *testing.T, db *sqldb.DB, tenants int) *house {
	t.Helper()
	h := &house{t: t, db: db, now: newClock(), was: secret.RandomKey(), is: secret.RandomKey(), before: map[idp.TenantID][]byte{}}
	first := h.node("first", h.was)
	for n := range tenants {
		id := numbered(n)
		k, err := first.Sealing(t.Context(), id, "flow")
		if err != nil {
			t.Fatal(err)
		}
		h.before[id] = k.Raw()
	}
	h.kid = signer(t, first, "ES256")
	return h
}

func numbered(n int) idp.TenantID {
	return idp.TenantID(fmt.Sprintf("%08d-0000-4000-8000-000000000000", n))
}

// ring is a node that has started with these keys, or the error of its start.
func (h *house) ring(place string, keks ...*secret.Key) (*keyring.Ring, error) {
	r := keyring.New(keyring.Config{DB: h.db, KEK: keks[0], AlsoOpens: keks[1:], Now: h.now.Now, Place: place})
	if err := r.Check(context.Background()); err != nil {
		return nil, err
	}
	_, err := r.Prove(context.Background())
	return r, err
}

func (h *house) node(place string, keks ...*secret.Key) *keyring.Ring {
	h.t.Helper()
	r, err := h.ring(place, keks...)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// whole demands that a start with these keys has every key as it was.
func (h *house) whole(keks ...*secret.Key) {
	h.t.Helper()
	r := h.node("whole", keks...)
	for id, want := range h.before {
		if k, err := r.Sealing(h.t.Context(), id, "flow"); err != nil || !bytes.Equal(k.Raw(), want) {
			h.t.Fatalf("tenant %s: another key, %v", id, err)
		}
	}
	if signer(h.t, r, "ES256") != h.kid {
		h.t.Error("another signing key")
	}
}

// lacks demands that a start with a key alone fails, and says what is missing.
func (h *house) lacks(only *secret.Key, want keyring.Needs) {
	h.t.Helper()
	_, err := h.ring("lacking", only)
	var n *keyring.Needs
	if !errors.As(err, &n) || *n != want || !errors.Is(err, idp.Invalid) {
		h.t.Errorf("a start with %s alone: %v; want %+v", keyring.KEKID(only), err, want)
	}
}

func (h *house) foreign(only *secret.Key) {
	h.t.Helper()
	if _, err := h.ring("foreign", only); err == nil || idp.AsError(err).Reason != "wrong_kek" {
		h.t.Errorf("a start with %s alone: %v", keyring.KEKID(only), err)
	}
}

// TestSec_KEY02_Replace replaces the key under 450 tenants while a node runs,
// and stops it at every transaction: the rest goes on from there.
func TestSec_KEY02_Replace(t *testing.T) {
	const tenants = 450
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, tenants)
		other, node := h.node("other", h.was, h.is), h.node("node", h.was, h.is)
		id, old := keyring.KEKID(h.is), keyring.KEKID(h.was)
		if n, err := node.Try(t.Context(), id); err != nil || n != tenants+1 {
			t.Fatalf("tried: %d, %v", n, err)
		}
		h.foreign(h.is)
		h.whole(h.was)

		// The first run writes nothing but that it has begun.
		stop := errors.New("stop")
		told := map[idp.TenantID]int{}
		let := 0 // batches
		note := func(_ context.Context, _ *sqldb.Tx, whose []idp.TenantID) error {
			if let--; let < 0 {
				return stop
			}
			for _, t := range whose {
				told[t]++
			}
			return nil
		}
		left, total := int64(tenants+1), 0
		for run := range 3 {
			var last int
			let = min(run, 1)
			n, err := node.Replace(t.Context(), id, note, func(done int) { last = done })
			if !errors.Is(err, stop) || n != last || n != min(run, 1)*200 {
				t.Fatalf("run %d: %d keys, told %d, %v", run, n, last, err)
			}
			total, left = total+n, left-int64(n)
			h.lacks(h.is, keyring.Needs{KEK: old, Keys: left})
			h.lacks(h.was, keyring.Needs{KEK: id, Keys: int64(total), Next: true})
			h.whole(h.was, h.is)
			h.whole(h.is, h.was)
			// Whatever is new is under the new key, wherever it was made.
			fresh := idp.TenantID(fmt.Sprintf("new-%d", run))
			k, err := other.Sealing(t.Context(), fresh, "flow")
			if err != nil {
				t.Fatal(err)
			}
			h.before[fresh] = k.Raw()
			total++
		}
		s, err := other.KEKs(t.Context())
		if err != nil || s.Now != old || s.Next != id || s.Old(id) != left || s.Keys[id] != int64(total) || !s.Since.IsZero() {
			t.Fatalf("half-way: %+v, %v; want %d old, %d new", s, err, left, total)
		}

		// Another node takes it to its end.
		let = 100
		if n, err := other.Replace(t.Context(), id, note, nil); err != nil || int64(n) != left {
			t.Fatalf("the rest: %d, %v; want %d", n, err, left)
		}
		for n := range tenants {
			if told[numbered(n)] != 1 {
				t.Fatalf("tenant %d has %d records", n, told[numbered(n)])
			}
		}
		if n, err := node.Replace(t.Context(), id, note, nil); err != nil || n != 0 {
			t.Errorf("once more: %d, %v", n, err)
		}
		s, err = other.KEKs(t.Context())
		if err != nil || s.Now != id || s.Next != "" || len(s.Keys) != 1 || !s.Since.Equal(h.now.now) {
			t.Errorf("in the end: %+v, %v", s, err)
		}
		h.whole(h.is)
		h.whole(h.was, h.is)
		h.foreign(h.was)
	})
}

// TestSec_KEY02_ReplaceRace replaces the key again and again, from two nodes at
// once, while others make keys, rotate and start: nothing fails, and after each
// round the new key alone opens everything.
func TestSec_KEY02_ReplaceRace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, 20)
		var made atomic.Int64
		for round := range 4 {
			from := made.Load()
			nodes := []*keyring.Ring{h.node("a", h.was, h.is), h.node("b", h.is, h.was)}
			makers := []*keyring.Ring{h.node("c", h.was, h.is), h.node("d", h.was, h.is), h.node("e", h.is, h.was)}
			ctx, stop := context.WithCancel(t.Context())
			var work, replace sync.WaitGroup
			ready := make(chan struct{}, len(makers))
			for _, r := range makers {
				work.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						who := idp.TenantID(fmt.Sprintf("made-%d", made.Add(1)))
						_, err := r.Sealing(context.Background(), who, "flow")
						_, err2 := r.Signer(context.Background(), who, "ES256")
						err3 := r.RotateNow(context.Background(), numbered(0), "ES256")
						_, err4 := h.ring("starting", h.is, h.was)
						if err := errors.Join(err, err2, err4); err != nil || err3 != nil && !errors.Is(err3, idp.Conflict) {
							t.Error(err, err3)
							return
						}
						if n == 0 {
							ready <- struct{}{}
						}
					}
				})
			}
			for range makers {
				<-ready
			}
			for _, r := range nodes {
				replace.Go(func() {
					if _, err := r.Replace(context.Background(), keyring.KEKID(h.is), nil, nil); err != nil {
						t.Error(err)
					}
				})
			}
			replace.Wait()
			stop()
			work.Wait()
			h.whole(h.is)
			last := h.node("last", h.is)
			for n := from + 1; n <= made.Load(); n++ {
				who := idp.TenantID(fmt.Sprintf("made-%d", n))
				if _, err := last.Sealing(t.Context(), who, "flow"); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				if _, err := last.JWKS(t.Context(), who); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
			if t.Failed() {
				return
			}
			h.was, h.is = h.is, secret.RandomKey()
		}
	})
}

// TestSec_KEY02_EveryNodeHasTheKey: a rewrap does not begin while a server runs
// that lacks the new key, and such a server does not start once it has begun.
func TestSec_KEY02_EveryNodeHasTheKey(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, 3)
		ctx, id := t.Context(), keyring.KEKID(h.is)
		here, there := h.node("here", h.was), h.node("there", h.was)
		if err := errors.Join(here.Announce(ctx), there.Announce(ctx)); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Replace(ctx, id, nil, nil); err == nil || idp.AsError(err).Reason != "kek_unknown" {
			t.Errorf("with a key that is not at hand: %v", err)
		}
		here.Hold(h.was, h.is)
		refused := func() {
			t.Helper()
			_, tried := here.Try(ctx, id)
			_, err := here.Replace(ctx, id, nil, nil)
			for _, err := range []error{tried, err} {
				if !errors.Is(err, idp.Conflict) || idp.AsError(err).Reason != "kek_nodes" {
					t.Errorf("a server lacks the key: %v", err)
				}
			}
			h.whole(h.was) // nothing has begun
		}
		refused()
		h.now.now = h.now.now.Add(2 * time.Minute)
		refused() // it may be slow to say that it lives
		again := h.node("there", h.was)
		if err := again.Announce(ctx); err != nil { // started anew, at the same place
			t.Fatal(err)
		}
		if s, err := here.KEKs(ctx); err != nil || len(s.Nodes) != 2 || len(s.Without(id)) != 2 {
			t.Errorf("servers: %+v, %v", s.Nodes, err) // here has not said yet that it has the key
		}
		refused()

		for name, gone := range map[string]func(){
			"ended":       func() { must(t, again.Leave(ctx)) },
			"died":        func() { h.now.now = h.now.now.Add(3 * time.Minute) },
			"has the key": func() { again.Hold(h.was, h.is); must(t, again.Announce(ctx)) },
		} {
			again.Hold(h.was)
			must(t, again.Announce(ctx))
			refused()
			gone()
			if _, err := here.Try(ctx, id); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}

		// Once begun, a server without the key is not let in, announced or not.
		late := h.node("late", h.was)
		must(t, again.Leave(ctx))
		stop := errors.New("stop")
		if _, err := here.Replace(ctx, id, func(context.Context, *sqldb.Tx, []idp.TenantID) error { return stop }, nil); !errors.Is(err, stop) {
			t.Fatal(err)
		}
		var n *keyring.Needs
		if err := late.Announce(ctx); !errors.As(err, &n) || !n.Next || n.KEK != id {
			t.Errorf("announced without the key that takes over: %v", err)
		}
		if _, err := late.Sealing(ctx, "another", "flow"); !errors.Is(err, idp.Unavailable) {
			t.Errorf("sealed under an old key: %v", err)
		}
		third := secret.RandomKey()
		here.Hold(h.was, h.is, third)
		if _, err := here.Replace(ctx, keyring.KEKID(third), nil, nil); !errors.Is(err, idp.Conflict) || idp.AsError(err).Reason != "kek_other" {
			t.Errorf("a third key took over: %v", err)
		}
		if _, err := here.Replace(ctx, id, nil, nil); err != nil {
			t.Fatal(err)
		}
		late.Hold(h.was)
		if err := late.Announce(ctx); !errors.As(err, &n) || n.Next || n.KEK != id {
			t.Errorf("announced with the old key: %v", err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSec_KEY02_WhatNeedsAnOldKey: rows tell which key they need; what they say
// is tried where that key is not at hand, and never believed against it.
func TestSec_KEY02_WhatNeedsAnOldKey(t *testing.T) {
	const damage = `update sealing_key set id = 'other', kek = $1 where tenant_id = $2`
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		do := func(query string, args ...any) {
			t.Helper()
			if n, err := db.Exec(ctx, query, args...); err != nil || n == 0 {
				t.Fatal(n, err)
			}
		}
		h := newHouse(t, db, 450)
		old, id := keyring.KEKID(h.was), keyring.KEKID(h.is)
		names := func(want map[string]int64) {
			t.Helper()
			s, err := h.node("names", h.was, h.is).KEKs(ctx)
			if err != nil || fmt.Sprint(s.Keys) != fmt.Sprint(want) {
				t.Errorf("keys by name: %v, %v; want %v", s.Keys, err, want)
			}
		}
		// Written by a version that knew no names.
		do(`update sealing_key set kek = ''`)
		do(`update signing_key set kek = ''`)
		do(`update kek_check set kek = ''`)
		h.whole(h.was)
		names(map[string]int64{old: 451})
		// Sealed anew by such a version, which left the names as they were.
		do(`update sealing_key set kek = $1`, id)
		do(`update kek_check set kek = $1`, id)
		h.whole(h.was)
		names(map[string]int64{old: 451})

		// A row that opens with nothing names nothing: it was of no use before,
		// and stops no server.
		do(damage, "", numbered(0))
		r := keyring.New(keyring.Config{DB: db, KEK: h.was, Now: h.now.Now})
		if n, err := r.Prove(ctx); err != nil || n != 1 {
			t.Errorf("a damaged row: %d, %v", n, err)
		}
		// Nor does it get lost: no key takes over as long as it is there.
		both := h.node("both", h.was, h.is)
		if _, err := both.Try(ctx, id); err == nil {
			t.Error("a try passes over what does not open")
		}
		if _, err := both.Replace(ctx, id, nil, nil); err == nil {
			t.Error("a key took over though something does not open")
		}
		do(`delete from sealing_key where id = 'other'`)
		delete(h.before, numbered(0))

		// A row that says it is under the new key, and is not, keeps it from
		// taking over.
		do(`update sealing_key set kek = $1 where tenant_id = $2`, id, numbered(1))
		if _, err := both.Replace(ctx, id, nil, nil); err == nil {
			t.Error("a row was believed")
		}
		if _, err := h.ring("alone", h.is); err == nil {
			t.Error("the new key alone is enough though a row is under the old one")
		}
		do(`update sealing_key set kek = $1 where tenant_id = $2`, old, numbered(1))
		if _, err := both.Replace(ctx, id, nil, nil); err != nil {
			t.Fatal(err)
		}
		h.whole(h.is)

		// What a server of an older version left under the old key.
		aad := fmt.Sprintf("%d:%s%d:%s%d:%s%d:%s", len(numbered(9)), numbered(9), 1, "x", 4, "late", 1, "1")
		do(`insert into sealing_key (tenant_id, purpose, id, sealed, created_at) values ($1, 'late', 'x', $2, 0)`,
			numbered(9), h.was.Seal(secret.Bytes(32), []byte(aad)))
		h.lacks(h.is, keyring.Needs{Keys: 1})
		h.whole(h.is, h.was) // which names it
		h.lacks(h.is, keyring.Needs{KEK: old, Keys: 1})
		if n, err := both.Rewrap(ctx, nil); err != nil || n == 0 {
			t.Fatal(n, err) // both's own key file still has the old one
		}
		h.whole(h.was)
	})
}

// slowBus lets whoever publishes in a transaction take its time.
type slowBus struct {
	notices
	wait func()
}

func (b *slowBus) Publish(ctx context.Context, tx *sqldb.Tx, topic, key string) error {
	b.wait()
	return b.notices.Publish(ctx, tx, topic, key)
}

// TestSec_KEY02_WhoSealsWhileItBegins: a key that was sealed under the old key
// before the new one took over, and is stored late, is not left behind.
func TestSec_KEY02_WhoSealsWhileItBegins(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, 1)
		node, replaced := h.node("node", h.was, h.is), make(chan error, 1)
		// Until the replacement is over, or waits for us: on SQLite there is
		// one who writes, and the others wait.
		wait := func() {
			go func() {
				_, err := node.Replace(context.Background(), keyring.KEKID(h.is), nil, nil)
				replaced <- err
			}()
			for waits := int64(0); db.Dialect() == sqldb.Postgres && waits == 0; {
				select {
				case err := <-replaced:
					replaced <- err
					return
				default:
				}
				err := db.QueryRow(context.Background(), `
					select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).Scan(&waits)
				if err != nil {
					t.Error(err)
					return
				}
			}
		}
		slow := keyring.New(keyring.Config{DB: db, KEK: h.was, AlsoOpens: []*secret.Key{h.is}, Now: h.now.Now, Bus: &slowBus{wait: sync.OnceFunc(wait)}})
		if err := slow.RotateNow(t.Context(), "late", "ES256"); err != nil {
			t.Fatal(err)
		}
		if err := <-replaced; err != nil {
			t.Fatal(err)
		}
		h.whole(h.is)
		if _, err := h.node("alone", h.is).Signer(t.Context(), "late", "ES256"); err != nil {
			t.Error(err)
		}
	})
}
