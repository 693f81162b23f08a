package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
)

// busyWithin is how long a write waits for another process that holds the file,
// such as a backup tool, before the answer is idp.Unavailable.
const busyWithin = connectWithin

// sqliteEngine is one file: a writer, and a few connections that only read.
type sqliteEngine struct {
	path   string
	writer *writer
	idle   shelf         // readers at rest
	gone   chan struct{} // closed by close
	once   sync.Once
	closed error // of the first close
}

func openSQLite(ctx context.Context, path string) (engine, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database path %q: %w", path, err)
	}
	if err := inspectFile(path); err != nil {
		return nil, err
	}
	e := &sqliteEngine{path: path, gone: make(chan struct{})}
	if err := e.openWriter(); err != nil {
		e.close()
		return nil, explainSQLite(path, err)
	}
	if err := e.openReaders(); err != nil {
		e.close()
		return nil, explainSQLite(path, err)
	}
	return e, nil
}

// dsn names the file with the pragmas that every connection sets.
func dsn(path string, pragmas ...string) string {
	q := url.Values{
		// "x" in double quotes is a column here as in PostgreSQL, never a string.
		"_dqs": {"0"},
		"_pragma": append([]string{
			fmt.Sprintf("busy_timeout(%d)", busyWithin.Milliseconds()),
			"foreign_keys(1)",
			"trusted_schema(0)",
		}, pragmas...),
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

func (e *sqliteEngine) openWriter() error {
	// FULL makes a commit wait for the disk; WAL lets readers go on meanwhile.
	c, err := newConn(dsn(e.path, "journal_mode(wal)", "synchronous(full)",
		"cache_size(-32768)", "journal_size_limit(67108864)",
		"wal_autocheckpoint(4096)", // 16 MiB: most pages are written often in that time, and moved once
		"temp_store(memory)"))      // else every copied page of a savepoint goes through a file
	if err != nil {
		return err
	}
	if err := checkSQLite(c); err != nil {
		c.close()
		return err
	}
	e.writer = startWriter(c)
	return nil
}

func (e *sqliteEngine) openReaders() error {
	n := min(max(runtime.GOMAXPROCS(0), 4), 8)
	e.idle.filled = make(chan struct{}, n)
	for range n {
		// Whatever a reader has cached it forgets when somebody has committed
		// since, and forgetting takes the longer the more it ever had.
		c, err := newConn(dsn(e.path, "query_only(1)", "cache_size(-1024)"))
		if err != nil {
			return err
		}
		e.idle.put(c)
	}
	return nil
}

func (e *sqliteEngine) close() error {
	e.once.Do(func() { e.closed = e.shut() })
	return e.closed
}

func (e *sqliteEngine) shut() error {
	close(e.gone)
	// Readers first: the last connection to close moves the write-ahead log
	// into the file, and only the writer may.
	err := e.closeIdle()
	if e.writer != nil {
		e.writer.close()
		err = errors.Join(err, e.writer.conn.close())
	}
	return err
}

func (e *sqliteEngine) write(ctx context.Context, fn func(context.Context, *Tx) error) error {
	return e.writer.do(ctx, e, fn)
}

func (e *sqliteEngine) exec(ctx context.Context, query string, args []any) (n int64, err error) {
	err = e.write(ctx, func(ctx context.Context, tx *Tx) error {
		n, err = tx.exec(ctx, query, args)
		return err
	})
	return n, err
}

func (e *sqliteEngine) lease(ctx context.Context) (session, func(), error) {
	c, err := e.borrow(ctx)
	if err != nil {
		return nil, nil, err
	}
	return c, func() { e.giveBack(c) }, nil
}

// borrow takes a reader, or gives up: when all are in use for long, somebody
// holds rows open and asks for more, and waiting would be for ever.
func (e *sqliteEngine) borrow(ctx context.Context) (*conn, error) {
	select {
	case <-e.gone:
		return nil, closedError()
	case <-e.idle.filled:
		return e.idle.take(), nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	select {
	case <-e.idle.filled:
		return e.idle.take(), nil
	case <-e.gone:
		return nil, closedError()
	case <-ctx.Done():
		return nil, e.classify(ctx.Err())
	}
}

func (e *sqliteEngine) giveBack(c *conn) {
	e.idle.put(c)
	select {
	case <-e.gone:
		e.closeIdle()
	default:
	}
}

// shelf holds readers at rest. The one that was put back last is lent first:
// when few do the work, they find more of what they have read since the last
// commit.
type shelf struct {
	filled chan struct{} // holds one for each reader; received before take
	mu     sync.Mutex
	rest   []*conn
}

func (s *shelf) put(c *conn) {
	s.mu.Lock()
	s.rest = append(s.rest, c)
	s.mu.Unlock()
	s.filled <- struct{}{}
}

func (s *shelf) take() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.rest) - 1
	c := s.rest[last]
	s.rest[last] = nil
	s.rest = s.rest[:last]
	return c
}

// closeIdle closes the readers at rest; those lent are closed on their return.
func (e *sqliteEngine) closeIdle() (err error) {
	for {
		select {
		case <-e.idle.filled:
			err = errors.Join(err, e.idle.take().close())
		default:
			return err
		}
	}
}

func (e *sqliteEngine) snapshot(ctx context.Context, fn func(context.Context, *Tx) error) error {
	c, err := e.borrow(ctx)
	if err != nil {
		return err
	}
	defer e.giveBack(c)
	tx := &Tx{session: c, engine: e}
	if _, err := tx.exec(ctx, "begin", nil); err != nil {
		return err
	}
	defer c.exec(context.Background(), "rollback", nil)
	err = fn(ctx, tx)
	if e := tx.sound(); err == nil {
		err = e
	}
	return err
}

// bound adds nothing: no context reaches the driver.
func (e *sqliteEngine) bound(context.Context, time.Duration) (context.Context, context.CancelFunc) {
	return context.Background(), func() {}
}

func (e *sqliteEngine) classify(err error) error { return classifySQLite(err) }

func (e *sqliteEngine) forShare() string { return "" }

func (e *sqliteEngine) listen(context.Context, string, func(string)) error { return nil }
func (e *sqliteEngine) notify(context.Context, *Tx, string, string) error  { return nil }

func (e *sqliteEngine) ping(ctx context.Context) error {
	c, err := e.borrow(ctx)
	if err != nil {
		return err
	}
	defer e.giveBack(c)
	_, err = c.exec(context.Background(), "select 1", nil)
	return err
}

// migrator has a connection of its own, which takes the file's write lock as
// any other process would.
func (e *sqliteEngine) migrator() (migrator, error) {
	db, err := sql.Open("sqlite", dsn(e.path, "synchronous(full)")+"&_txlock=immediate")
	if err != nil {
		return migrator{}, err
	}
	db.SetMaxOpenConns(1)
	return migrator{db: db, dialect: goose.DialectSQLite3}, nil
}
