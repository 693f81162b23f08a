package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

const (
	// Deadlocks and broken connections are tried again this often, with a pause
	// that doubles from the first to some 160 ms: well under a second in all.
	writeTries = 6
	firstPause = 5 * time.Millisecond
)

// postgresEngine is a pool of connections to one server. pgx keeps statements
// prepared per connection by itself.
type postgresEngine struct {
	pool   *sql.DB
	config *pgx.ConnConfig
	log    *slog.Logger

	// A place for each transaction that writes. There are fewer than there are
	// connections, so that one which also reads past itself (to fill a cache)
	// finds a connection, and transactions never wait for one another's.
	writing chan struct{}

	// Until then (Unix nanoseconds) every connection is tried before it is
	// lent: one was found broken, so its siblings may be, too.
	suspect atomic.Int64
}

func openPostgres(ctx context.Context, address string, log *slog.Logger) (engine, error) {
	config, size, err := parsePostgres(address)
	if err != nil {
		return nil, err
	}
	e := &postgresEngine{config: config, log: log, writing: make(chan struct{}, size-(size+3)/4)}
	e.pool = stdlib.OpenDB(*config, stdlib.OptionShouldPing(e.shouldPing))
	e.pool.SetMaxOpenConns(size)
	e.pool.SetMaxIdleConns(size)
	e.pool.SetConnMaxIdleTime(5 * time.Minute)
	ctx, cancel := context.WithTimeout(ctx, 2*connectWithin)
	defer cancel()
	if err := e.probe(ctx); err != nil {
		e.pool.Close()
		return nil, explainPostgres(config, err)
	}
	return e, nil
}

// parsePostgres reads the address and takes pool_max_conns out of it, which
// the server would not understand.
func parsePostgres(address string) (*pgx.ConnConfig, int, error) {
	size := min(max(4*runtime.GOMAXPROCS(0), 8), 32)
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		// The address may hold a password, so the error does not repeat it.
		return nil, 0, errors.New("the database address is not a postgres:// URL; write it as postgres://user@host:5432/name")
	}
	q := u.Query()
	if v := q.Get("pool_max_conns"); v != "" {
		if size, err = strconv.Atoi(v); err != nil || size < 2 || size > 1000 {
			return nil, 0, fmt.Errorf("pool_max_conns=%s in the database address is not a number from 2 to 1000; correct it", v)
		}
		q.Del("pool_max_conns")
		u.RawQuery = q.Encode()
	}
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, 0, fmt.Errorf("the database address cannot be used; correct it: %w", err) // pgx redacts the password
	}
	config.ConnectTimeout = connectWithin
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "signet"
	}
	return config, size, nil
}

// probe connects once and checks that the server takes writes.
func (e *postgresEngine) probe(ctx context.Context) error {
	c, err := e.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	var readOnly string
	if err := c.QueryRowContext(ctx, "show transaction_read_only").Scan(&readOnly); err != nil {
		return err
	}
	if readOnly == "on" {
		return errReadOnlyServer
	}
	return nil
}

func (e *postgresEngine) shouldPing(_ context.Context, p stdlib.ShouldPingParams) bool {
	return p.IdleDuration > time.Second || time.Now().UnixNano() < e.suspect.Load()
}

// noteBroken remembers that a connection broke, if err says so.
func (e *postgresEngine) noteBroken(err error) {
	if retryable(err) {
		e.suspect.Store(time.Now().Add(5 * time.Second).UnixNano())
	}
}

func (e *postgresEngine) forShare() string { return " for share" }

func (e *postgresEngine) close() error { return e.pool.Close() }

// conn takes a connection from the pool, or fails within connectWithin.
func (e *postgresEngine) conn(ctx context.Context) (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	c, err := e.pool.Conn(ctx)
	if err != nil && err.Error() == "sql: database is closed" { // database/sql has no value for it
		return nil, closedError()
	}
	return c, e.classify(err)
}

func (e *postgresEngine) write(ctx context.Context, fn func(context.Context, *Tx) error) error {
	leave, err := e.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	pause, flat := firstPause, true
	for try := 1; ; try++ {
		tx, err := e.attempt(ctx, fn, flat)
		if err == nil {
			tx.committed()
			return nil
		}
		if tx != nil && flat && tx.failed == errFlat {
			flat = false
			continue
		}
		if tx == nil || try == writeTries || !retryable(tx.failed) {
			return err
		}
		e.noteBroken(tx.failed)
		if !sleep(ctx, pause) {
			return err
		}
		pause *= 2
	}
}

// enter waits for a place among those who write.
func (e *postgresEngine) enter(ctx context.Context) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, queueWithin)
	defer cancel()
	select {
	case e.writing <- struct{}{}:
		return func() { <-e.writing }, nil
	case <-ctx.Done():
		return nil, e.classify(ctx.Err())
	}
}

// sleep waits for d and up to as much again, so that two who met in a deadlock
// do not meet again. It returns false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt runs fn once. It returns no Tx when trying again is out of the
// question: there is no connection, or the commit was sent and its fate is
// unknown.
func (e *postgresEngine) attempt(ctx context.Context, fn func(context.Context, *Tx) error, flat bool) (*Tx, error) {
	c, err := e.conn(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	tx := &Tx{session: pooled{c}, engine: e, flat: flat}
	if err := e.control(c, "begin"); err != nil {
		return tx, tx.spoil(err)
	}
	open := true
	defer func() { // also when fn panics
		if open {
			tx.sound()
			e.rollback(c)
		}
	}()
	err = fn(ctx, tx)
	if unsound := tx.sound(); err == nil {
		err = unsound
	}
	if err != nil {
		return tx, err
	}
	open = false
	if err := e.control(c, "commit"); err != nil {
		if errors.Is(err, errRolledBack) || serverSaid(err) {
			return tx, tx.spoil(err) // certainly not committed
		}
		return nil, unavailable(err)
	}
	return tx, nil
}

// errRolledBack is the server's answer to the commit of a failed transaction,
// which is no error on the wire.
var errRolledBack = errors.New("transaction was rolled back instead of committed")

// control sends begin, commit or rollback: one round trip, nothing to prepare.
func (e *postgresEngine) control(c *sql.Conn, command string) error {
	ctx, cancel := context.WithTimeout(context.Background(), statementWithin)
	defer cancel()
	return e.classify(c.Raw(func(dc any) error {
		res, err := dc.(*stdlib.Conn).Conn().PgConn().Exec(ctx, command).ReadAll()
		if err == nil && command == "commit" && res[0].CommandTag.String() != "COMMIT" {
			err = errRolledBack
		}
		return err
	}))
}

// rollback undoes what is open. A connection that cannot even do that is
// thrown away, so that no lock of its transaction outlives it.
func (e *postgresEngine) rollback(c *sql.Conn) {
	if err := e.control(c, "rollback"); err != nil {
		discard(c)
	}
}

func discard(c *sql.Conn) {
	c.Raw(func(dc any) error {
		ctx, cancel := context.WithTimeout(context.Background(), connectWithin)
		defer cancel()
		dc.(*stdlib.Conn).Conn().Close(ctx)
		return driver.ErrBadConn
	})
}

// exec runs one statement, which needs no begin and commit: PostgreSQL makes
// it a transaction by itself, in one round trip instead of three.
func (e *postgresEngine) exec(ctx context.Context, query string, args []any) (int64, error) {
	leave, err := e.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	pause := firstPause
	for try := 1; ; try++ {
		n, err := e.execOnce(ctx, query, args)
		if err == nil || try == writeTries || !serverSaid(err) && !neverSent(err) || !retryable(err) {
			return n, err
		}
		e.noteBroken(err)
		if !sleep(ctx, pause) {
			return n, err
		}
		pause *= 2
	}
}

func (e *postgresEngine) execOnce(ctx context.Context, query string, args []any) (int64, error) {
	c, err := e.conn(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ctx, cancel := e.bound(ctx, statementWithin)
	defer cancel()
	n, err := pooled{c}.exec(ctx, query, args)
	return n, e.classify(err)
}

// lease lends a connection. It has been pinged when it may be broken.
func (e *postgresEngine) lease(ctx context.Context) (session, func(), error) {
	c, err := e.conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	r := &reader{pooled: pooled{c}, engine: e}
	return r, func() { r.Close() }, nil
}

func (e *postgresEngine) snapshot(ctx context.Context, fn func(context.Context, *Tx) error) error {
	c, err := e.conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	tx := &Tx{session: pooled{c}, engine: e, snapshot: true}
	if err := e.control(c, "begin isolation level repeatable read read only"); err != nil {
		return err
	}
	defer e.rollback(c)
	err = fn(ctx, tx)
	if unsound := tx.sound(); err == nil {
		err = unsound
	}
	return err
}

// bound gives each statement its time; ctx itself must not end it, because pgx
// would have to close the connection.
func (e *postgresEngine) bound(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

func (e *postgresEngine) classify(err error) error { return classifyPostgres(err) }

func (e *postgresEngine) ping(ctx context.Context) error {
	c, err := e.conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	_, err = c.ExecContext(ctx, "select 1")
	return err
}

// migrator uses connections of its own, without a bound on statements, and an
// advisory lock so that of several nodes one migrates.
func (e *postgresEngine) migrator() (migrator, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 5))
	if err != nil {
		return migrator{}, err
	}
	return migrator{
		db:      stdlib.OpenDB(*e.config),
		dialect: goose.DialectPostgres,
		options: []goose.ProviderOption{goose.WithSessionLocker(locker)},
	}, nil
}
