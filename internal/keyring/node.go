package keyring

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/sqldb"
)

// AnnounceEvery is how often a node that serves calls Announce.
const AnnounceEvery = time.Minute

// nodeLives is how long a node that was not heard of counts as running: three
// announcements that it missed.
const nodeLives = 3 * AnnounceEvery

// forgottenAfter is when a node that ended without a word is no longer listed.
const forgottenAfter = 24 * time.Hour

// Node is a server that runs.
type Node struct {
	Place string    // its host and folder
	KEKs  []string  // ids of the key-encryption keys it has, that of its key file first
	Seen  time.Time // when it last said so
}

// Announce tells the other nodes which key-encryption keys this one has: one
// that lacks the key that takes over holds a rewrap up. It is a Needs when
// this node lacks one that is in use, and then has announced nothing. Who has
// called it calls it again every AnnounceEvery, and Leave in the end.
func (r *Ring) Announce(ctx context.Context) error {
	held := r.keks.Load()
	return r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		// The lock settles who is first, this node or a rewrap that begins: it
		// sees us, or we see it.
		now, next, err := alone(ctx, tx)
		if err != nil {
			return err
		}
		for _, id := range []string{now, next} {
			if id != "" && held.find(id) == nil {
				keys, err := countUnder(ctx, tx, id)
				return errors.Join(err, &Needs{KEK: id, Keys: keys, Next: id == next})
			}
		}
		// Whoever was at our place before is gone.
		at := r.cfg.Now()
		_, err = tx.Exec(ctx, `delete from kek_node where id <> $1 and (place = $2 or seen_at < $3)`,
			r.node, r.cfg.Place, at.Add(-forgottenAfter).UnixMilli())
		if err == nil {
			_, err = tx.Exec(ctx, `
				insert into kek_node (id, place, keks, seen_at) values ($1, $2, $3, $4)
				on conflict (id) do update set keks = excluded.keks, seen_at = excluded.seen_at`,
				r.node, r.cfg.Place, held.ids(), at.UnixMilli())
		}
		if err != nil {
			return fmt.Errorf("announce the key-encryption keys of this server: %w", err)
		}
		return nil
	})
}

// Leave takes the announcement back.
func (r *Ring) Leave(ctx context.Context) error {
	if _, err := r.cfg.DB.Exec(ctx, `delete from kek_node where id = $1`, r.node); err != nil {
		return fmt.Errorf("take the announcement of this server back: %w", err)
	}
	return nil
}

// nodes lists the servers that run, by place.
func (r *Ring) nodes(ctx context.Context, q sqldb.Querier) ([]Node, error) {
	rows, err := q.Query(ctx, `select place, keks, seen_at from kek_node where seen_at > $1 order by place, id`,
		r.cfg.Now().Add(-nodeLives).UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read which servers run: %w", err)
	}
	var all []Node
	for rows.Next() {
		var n Node
		var ids string
		var at int64
		if err := rows.Scan(&n.Place, &ids, &at); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		n.KEKs, n.Seen = strings.Fields(ids), time.UnixMilli(at)
		all = append(all, n)
	}
	return all, errors.Join(rows.Err(), rows.Close())
}
