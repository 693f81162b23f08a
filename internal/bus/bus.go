package bus

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations make the table bus_change.
//
//go:embed migrations/*.sql
var Migrations embed.FS

const (
	channel = "signet_bus"
	poll    = time.Second
	// overlap is how far each poll looks back before the one before: a
	// transaction may commit later than its row says, and clocks differ.
	overlap = 15 * time.Second
	// kept is how long rows stay: longer than any node is cut off and goes on
	// with what it has cached.
	kept  = time.Hour
	sweep = 10 * time.Minute
)

// Bus delivers notices of change. It is safe for concurrent use.
type Bus struct {
	db  *sqldb.DB
	log *slog.Logger
	now func() time.Time

	mu   sync.RWMutex
	subs map[string][]func(key string)

	seenMu sync.Mutex
	seen   map[string]time.Time // ids delivered here, while a poll may meet them again
}

// New returns a bus. Without Run it serves this process only.
func New(db *sqldb.DB, log *slog.Logger) *Bus {
	return &Bus{db: db, log: log, now: time.Now, subs: map[string][]func(string){}, seen: map[string]time.Time{}}
}

// Subscribe has fn called with the key of every change of topic. fn must be
// quick and must not write: the one who made the change waits for it.
func (b *Bus) Subscribe(topic string, fn func(key string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs[topic] = append(b.subs[topic], fn)
}

// Publish tells of a change made in tx: nobody, if tx does not commit. A topic
// has no space in it; topic and key together have at most 4000 bytes.
func (b *Bus) Publish(ctx context.Context, tx *sqldb.Tx, topic, key string) error {
	if topic == "" || strings.Contains(topic, " ") || len(topic)+len(key) > 4000 {
		return fmt.Errorf("bus topic %q is empty, has a space, or its key is too long", topic)
	}
	if b.db.Dialect() == sqldb.SQLite {
		tx.OnCommit(func() { b.call(topic, key) })
		return nil
	}
	id := secret.NewUUID4()
	if _, err := tx.Exec(ctx, `insert into bus_change (at, id, topic, item) values ($1, $2, $3, $4)`,
		b.now().UnixMilli(), id, topic, key); err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	if err := b.db.Notify(ctx, tx, channel, id+" "+topic+" "+key); err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	tx.OnCommit(func() { b.deliver(id, topic, key) })
	return nil
}

// Run takes in what other nodes publish, until ctx ends. It returns nil.
func (b *Bus) Run(ctx context.Context) error {
	if b.db.Dialect() == sqldb.SQLite {
		<-ctx.Done()
		return nil
	}
	var wg sync.WaitGroup
	wg.Go(func() { b.poll(ctx) })
	err := b.db.Listen(ctx, channel, func(payload string) {
		id, rest, _ := strings.Cut(payload, " ")
		topic, key, ok := strings.Cut(rest, " ")
		if ok {
			b.deliver(id, topic, key)
		}
	})
	wg.Wait()
	return err
}

// poll finds what notices were lost on the way, and sweeps old rows.
func (b *Bus) poll(ctx context.Context) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	last, swept, down := b.now(), b.now(), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		start := b.now()
		err := b.catchUp(ctx, last.Add(-overlap))
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !down:
			b.log.Warn("bus cannot read changes; caches may be stale until it can", "err", err)
		case err == nil && down:
			b.log.Info("bus reads changes again")
		}
		if down = err != nil; down {
			continue
		}
		last = start
		b.forget(start.Add(-2 * overlap))
		if start.Sub(swept) > sweep {
			swept = start
			if _, err := b.db.Exec(ctx, `delete from bus_change where at < $1`, start.Add(-kept).UnixMilli()); err != nil {
				b.log.Warn("bus cannot sweep old changes", "err", err)
			}
		}
	}
}

// catchUp delivers all changes since then that were not delivered yet.
func (b *Bus) catchUp(ctx context.Context, since time.Time) error {
	rows, err := b.db.Query(ctx, `select id, topic, item from bus_change where at > $1 order by at, id`, since.UnixMilli())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, topic, key string
		if err := rows.Scan(&id, &topic, &key); err != nil {
			return err
		}
		b.deliver(id, topic, key)
	}
	return rows.Err()
}

// deliver calls the subscribers, once per id.
func (b *Bus) deliver(id, topic, key string) {
	b.seenMu.Lock()
	_, again := b.seen[id]
	b.seen[id] = b.now()
	b.seenMu.Unlock()
	if !again {
		b.call(topic, key)
	}
}

func (b *Bus) forget(before time.Time) {
	b.seenMu.Lock()
	defer b.seenMu.Unlock()
	for id, at := range b.seen {
		if at.Before(before) {
			delete(b.seen, id)
		}
	}
}

func (b *Bus) call(topic, key string) {
	b.mu.RLock()
	subs := b.subs[topic]
	b.mu.RUnlock()
	for _, fn := range subs {
		fn(key)
	}
}
