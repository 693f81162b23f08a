package keyring

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// KEKs tells how the key-encryption keys stand.
type KEKs struct {
	Now   string           // id of the key that everything is sealed under
	Next  string           // id of the one that takes over, while a Replace is under way; or empty
	Since time.Time        // when Now took over; zero: it is the first
	Keys  map[string]int64 // how many keys are sealed under each id; empty id: not known
	Held  []string         // ids of those that this node has, that of its key file first
	Nodes []Node           // the servers that run
}

// Old is how many keys need another key-encryption key than id.
func (k KEKs) Old(id string) (n int64) {
	for kek, some := range k.Keys {
		if kek != id {
			n += some
		}
	}
	return n
}

// Without lists the places of servers that run and lack a key.
func (k KEKs) Without(id string) []string { return without(k.Nodes, id) }

func without(nodes []Node, id string) (places []string) {
	for _, n := range nodes {
		if !slices.Contains(n.KEKs, id) {
			places = append(places, n.Place)
		}
	}
	return places
}

// KEKs looks how the key-encryption keys stand.
func (r *Ring) KEKs(ctx context.Context) (k KEKs, err error) {
	k.Held, k.Keys = strings.Fields(r.keks.Load().ids()), map[string]int64{}
	if k.Now, k.Next, err = marks(ctx, r.cfg.DB); err != nil {
		return k, err
	}
	var since int64
	if err := r.cfg.DB.QueryRow(ctx, `select since from kek_check where id = $1`, rowNow).Scan(&since); err != nil {
		return k, fmt.Errorf("read since when the key-encryption key is in use: %w", err)
	}
	if since > 0 {
		k.Since = time.UnixMilli(since)
	}
	for _, t := range tables {
		names, err := namesIn(ctx, r.cfg.DB, t)
		if err != nil {
			return k, err
		}
		for _, name := range append([]string{""}, names...) {
			n, err := t.countUnder(ctx, r.cfg.DB, name)
			if err != nil {
				return k, err
			}
			if n > 0 {
				k.Keys[name] += n
			}
		}
	}
	k.Nodes, err = r.nodes(ctx, r.cfg.DB)
	return k, err
}

// Try does what Replace would do, as far as that can be done without writing:
// it looks at the other nodes and opens every key that would be sealed anew.
// It says how many those are.
func (r *Ring) Try(ctx context.Context, id string) (int, error) {
	to, err := r.held(id)
	if err != nil {
		return 0, err
	}
	now, next, err := marks(ctx, r.cfg.DB)
	if err != nil {
		return 0, err
	}
	if !under(now, next, id) {
		if err := r.mayBegin(ctx, r.cfg.DB, next, id); err != nil {
			return 0, err
		}
	}
	n := 0
	for _, t := range tables {
		err := walk(ctx, r.cfg.DB, t.foreign, id, func(batch []wrapped) error {
			anew, err := r.reseal(batch, t, to)
			for _, w := range anew {
				if !w.named {
					n++
				}
			}
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, r.proveAlone(ctx, to)
}

// held gives a key-encryption key that this node has.
func (r *Ring) held(id string) (*secret.Key, error) {
	if k := r.keks.Load().find(id); k != nil {
		return k, nil
	}
	return nil, idp.Invalidf("kek_unknown", "no key-encryption key %q here", id)
}

// Replace lets the key-encryption key id take over while this node and others
// go on (security.md KEY02): first whatever is new is sealed under it, then,
// batch by batch, whatever is old, and in the end kek_check, by which a start
// with that key alone succeeds. Each step is one transaction; whoever runs it
// again after any of them, even at another node, goes on from there. Two that
// run at once do no harm.
//
// It is Conflict, and nothing has been changed, while a server runs that lacks
// the key, or while another one is taking over; nor has anything when a key
// opens with nothing. Where the key has taken over already, what a server of an
// older version left under the old one since is sealed anew. note and progress may be nil;
// done is how many keys this run has sealed anew.
func (r *Ring) Replace(ctx context.Context, id string, note Note, progress func(done int)) (done int, err error) {
	to, err := r.held(id)
	if err != nil {
		return 0, err
	}
	if _, err := r.Try(ctx, id); err != nil {
		return 0, err
	}
	if err := r.begin(ctx, to); err != nil {
		return 0, err
	}
	m := &move{Ring: r, to: to, note: note, progress: progress, told: map[idp.TenantID]bool{}}
	// A second round is needed only beside a server of a version that goes on
	// sealing under the old key.
	const rounds = 5
	for range rounds {
		for _, t := range tables {
			if err := walk(ctx, r.cfg.DB, t.foreign, id, func(batch []wrapped) error { return m.batch(ctx, t, batch) }); err != nil {
				return m.done, err
			}
		}
		if err := r.proveAlone(ctx, to); err != nil {
			return m.done, err
		}
		if over, err := r.end(ctx, to); over || err != nil {
			return m.done, err
		}
	}
	return m.done, idp.Conflictf("kek_restless", "keys are still sealed under the old key-encryption key").
		Say("A server still seals under the old key. Bring all servers to this version, and run it again.")
}

// begin makes everybody seal under to.
func (r *Ring) begin(ctx context.Context, to *secret.Key) error {
	id := KEKID(to)
	err := r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, next, err := alone(ctx, tx)
		if err != nil || under(now, next, id) {
			return err
		}
		if err := r.mayBegin(ctx, tx, next, id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into kek_check (id, sealed, kek) values ($1, $2, $3)`,
			rowNext, to.Seal([]byte(checkText), checkAAD), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("begin to replace the key-encryption key: %w", err)
	}
	return nil
}

// under says whether whatever is new is sealed under id.
func under(now, next, id string) bool { return next == id || next == "" && now == id }

// still is Conflict when whatever is new is no longer sealed under id: who was
// paused meanwhile must not seal the rest under it.
func still(now, next, id string) error {
	if under(now, next, id) {
		return nil
	}
	return idp.Conflictf("kek_overtaken", "%s is not the key that takes over any more", id).
		Say("Another key has taken over meanwhile. See signet admin kek status.")
}

// mayBegin refuses what would leave a server without a key that it needs.
func (r *Ring) mayBegin(ctx context.Context, q sqldb.Querier, next, id string) error {
	if next != "" && next != id {
		return idp.Conflictf("kek_other", "%s is taking over", next).
			Say("Another key, " + next + ", is taking over. Put that one in place as the new key, and run the rewrap to its end.")
	}
	return r.everyOther(ctx, q, id)
}

// everyOther refuses while another server runs that lacks a key.
func (r *Ring) everyOther(ctx context.Context, q sqldb.Querier, id string) error {
	nodes, err := r.nodes(ctx, q)
	if err != nil {
		return err
	}
	// Our own keys are at hand, and who was at our place before is gone. Who
	// says so later is another machine of the same name.
	nodes = slices.DeleteFunc(nodes, func(n Node) bool {
		return n.id == r.node || n.Place == r.cfg.Place && !n.Seen.After(r.began)
	})
	if places := without(nodes, id); len(places) > 0 {
		return idp.Conflictf("kek_nodes", "%d servers lack it", len(places)).
			Say("These servers do not have the new key yet: " + strings.Join(places, ", ") + ". Run signet admin kek add on each; one that has ended without a word is forgotten after three minutes.")
	}
	return nil
}

// move is a Replace under way.
type move struct {
	*Ring
	to       *secret.Key
	note     Note
	progress func(int)
	told     map[idp.TenantID]bool // who has a record of it
	done     int
}

// batch seals some rows anew, in one transaction with the record of tenants
// that have none yet.
func (m *move) batch(ctx context.Context, t table, batch []wrapped) error {
	anew, err := m.reseal(batch, t, m.to)
	if err != nil {
		return err
	}
	var n int
	var whose map[idp.TenantID]bool
	err = m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		whose = map[idp.TenantID]bool{}
		now, next, err := alone(ctx, tx)
		if err == nil {
			err = still(now, next, KEKID(m.to))
		}
		if err != nil {
			return err
		}
		if n, err = put(ctx, tx, anew, t, m.to, whose); err != nil {
			return err
		}
		maps.DeleteFunc(whose, func(id idp.TenantID, _ bool) bool { return m.told[id] })
		if m.note == nil || len(whose) == 0 {
			return nil
		}
		return m.note(ctx, tx, slices.Sorted(maps.Keys(whose)))
	})
	if err != nil {
		return err
	}
	maps.Copy(m.told, whose)
	m.done += n
	if m.progress != nil {
		m.progress(m.done)
	}
	return nil
}

// proveAlone opens every key with to and nothing else: what a row says of
// itself is not enough to let an old key go.
func (r *Ring) proveAlone(ctx context.Context, to *secret.Key) error {
	for _, t := range tables {
		err := walk(ctx, r.cfg.DB, t.named, KEKID(to), func(batch []wrapped) error { // the others are counted in the end
			for _, w := range batch {
				if _, err := to.Open(w.sealed, t.aad(w)); err != nil {
					return fmt.Errorf("key %s of tenant %s, which should be under the new key-encryption key: %w", w.id, w.tenant, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// end writes down that to has taken over, unless something is still sealed
// under another key.
func (r *Ring) end(ctx context.Context, to *secret.Key) (over bool, err error) {
	id := KEKID(to)
	err = r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		over = false
		now, next, err := alone(ctx, tx)
		if err != nil {
			return err
		}
		if err := still(now, next, id); err != nil {
			return err
		}
		for _, t := range tables {
			left, err := readWrapped(ctx, tx, t.foreign, id, wrapped{})
			if err != nil || len(left) > 0 {
				return err
			}
		}
		over = true
		if next == "" {
			return nil // somebody else was faster
		}
		return r.takeOver(ctx, tx, to)
	})
	if err != nil {
		return false, fmt.Errorf("end the replacement of the key-encryption key: %w", err)
	}
	return over, nil
}
