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
	for _, t := range []table{sealingKeys, signingKeys} {
		names, err := namesIn(ctx, r.cfg.DB, t)
		if err != nil {
			return k, err
		}
		for _, name := range append([]string{""}, names...) {
			var n int64
			if err := r.cfg.DB.QueryRow(ctx, t.count, name).Scan(&n); err != nil {
				return k, fmt.Errorf("count keys under a key-encryption key: %w", err)
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
	if err != nil || now == id && next == "" {
		return 0, err
	}
	if err := r.mayBegin(ctx, r.cfg.DB, now, next, id); err != nil {
		return 0, err
	}
	n := 0
	for _, t := range []table{sealingKeys, signingKeys} {
		err := r.walk(ctx, t.foreign, id, func(batch []wrapped) error {
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
	return n, nil
}

// walk reads the rows of a query batch by batch.
func (r *Ring) walk(ctx context.Context, query, kek string, fn func([]wrapped) error) error {
	for last := (wrapped{}); ; {
		batch, err := readWrapped(ctx, r.cfg.DB, query, kek, last)
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := fn(batch); err != nil {
			return err
		}
		last = batch[len(batch)-1]
	}
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
// the key, or while another one is taking over. note and progress may be nil;
// done is how many keys this run has sealed anew.
func (r *Ring) Replace(ctx context.Context, id string, note Note, progress func(done int)) (done int, err error) {
	to, err := r.held(id)
	if err != nil {
		return 0, err
	}
	over, err := r.begin(ctx, to)
	if over || err != nil {
		return 0, err
	}
	m := &move{Ring: r, to: to, note: note, progress: progress, told: map[idp.TenantID]bool{}}
	// A second round is needed only beside a server of a version that goes on
	// sealing under the old key.
	const rounds = 5
	for range rounds {
		for _, t := range []table{sealingKeys, signingKeys} {
			if err := r.walk(ctx, t.foreign, id, func(batch []wrapped) error { return m.batch(ctx, t, batch) }); err != nil {
				return m.done, err
			}
		}
		if err := r.proveAlone(ctx, to); err != nil {
			return m.done, err
		}
		if over, err = r.end(ctx, to); over || err != nil {
			return m.done, err
		}
	}
	return m.done, idp.Conflictf("kek_restless", "keys are still sealed under the old key-encryption key").
		Say("A server still seals under the old key. Bring all servers to this version, and run it again.")
}

// begin makes everybody seal under to. over says that everything already is.
func (r *Ring) begin(ctx context.Context, to *secret.Key) (over bool, err error) {
	id := KEKID(to)
	err = r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, next, err := alone(ctx, tx)
		if err != nil {
			return err
		}
		if over = now == id && next == ""; over || next == id {
			return nil
		}
		if err := r.mayBegin(ctx, tx, now, next, id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into kek_check (id, sealed, kek) values ($1, $2, $3)`,
			rowNext, to.Seal([]byte(checkText), checkAAD), id)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("begin to replace the key-encryption key: %w", err)
	}
	return over, nil
}

// mayBegin refuses what would leave a server without a key that it needs.
func (r *Ring) mayBegin(ctx context.Context, q sqldb.Querier, now, next, id string) error {
	if next != "" && next != id {
		return idp.Conflictf("kek_other", "%s is taking over", next).
			Say("Another key, " + next + ", is taking over. Put that one in place as the new key, and run the rewrap to its end.")
	}
	nodes, err := r.nodes(ctx, q)
	if err != nil {
		return err
	}
	nodes = slices.DeleteFunc(nodes, func(n Node) bool { return n.Place == r.cfg.Place }) // our own keys are at hand
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
	for _, t := range []table{sealingKeys, signingKeys} {
		err := r.walk(ctx, t.all, "", func(batch []wrapped) error {
			for _, w := range batch {
				if w.kek != KEKID(to) {
					continue // counted in the end
				}
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
		if now == id && next == "" {
			over = true // somebody else was faster
			return nil
		}
		for _, t := range []table{sealingKeys, signingKeys} {
			left, err := readWrapped(ctx, tx, t.foreign, id, wrapped{})
			if err != nil || len(left) > 0 {
				return err
			}
		}
		over = true
		return r.takeOver(ctx, tx, to)
	})
	if err != nil {
		return false, fmt.Errorf("end the replacement of the key-encryption key: %w", err)
	}
	return over, nil
}
