package sqldb

import (
	"cmp"
	"context"
	"io/fs"
	"log/slog"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Config says which database to open.
type Config struct {
	Path string       // the SQLite file; made when absent, its folder is not
	URL  string       // postgres://…; wins over Path. pool_max_conns in it sizes the pool
	Log  *slog.Logger // for what no caller is told of; nil: discarded
}

// The dialects.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// connectWithin bounds how long anybody waits for a connection. A database
// that is down must be an answer, not a hanging page.
const connectWithin = 2 * time.Second

// How long PostgreSQL may take: for a statement, for all rows of a query, and
// for those of a query in a snapshot. It ends what a hung server or a cut
// network would hold for ever.
const (
	statementWithin = 10 * time.Second
	rowsWithin      = 5 * time.Minute
	snapshotWithin  = 2 * time.Hour
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine  engine
	dialect string
	log     *slog.Logger
}

// engine is what the two databases do differently.
type engine interface {
	// write runs fn in a transaction and returns when it is durable.
	write(ctx context.Context, fn func(context.Context, *Tx) error) error
	// exec runs one statement in a transaction of its own.
	exec(ctx context.Context, query string, args []any) (int64, error)
	// snapshot runs fn in a transaction that only reads.
	snapshot(ctx context.Context, fn func(context.Context, *Tx) error) error
	// lease lends a connection to read with, and tells how to give it back.
	lease(ctx context.Context) (session, func(), error)
	// bound makes the context of one driver call: it never ends because the
	// caller went away, which would cost a connection that others use.
	bound(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc)
	// classify puts a driver's error into the words of idp.
	classify(err error) error
	// forShare ends a query that locks what it reads against changes.
	forShare() string
	listen(ctx context.Context, channel string, fn func(payload string)) error
	notify(ctx context.Context, tx *Tx, channel, payload string) error
	migrator() (migrator, error)
	ping(ctx context.Context) error
	close() error
}

// Open opens the database and checks that it can be written. Its errors are
// one sentence each and say what to do. It changes no schema: call Migrate.
func Open(ctx context.Context, c Config) (*DB, error) {
	db := &DB{log: cmp.Or(c.Log, slog.New(slog.DiscardHandler))}
	var err error
	if c.URL != "" {
		db.dialect = Postgres
		db.engine, err = openPostgres(ctx, c.URL, db.log)
	} else {
		db.dialect = SQLite
		db.engine, err = openSQLite(ctx, c.Path)
	}
	if err != nil {
		return nil, err
	}
	return db, nil
}

// Close lets queued writes finish and closes all connections. Later calls
// are answered with idp.Unavailable.
func (db *DB) Close() error { return db.engine.close() }

// Dialect is SQLite or Postgres: for status pages and tests. SQL is the same
// on both, so code that asks is probably wrong.
func (db *DB) Dialect() string { return db.dialect }

// Ping says whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	return db.engine.classify(db.engine.ping(ctx))
}

// Write runs fn in a transaction and returns once it is durable on disk. When
// fn returns an error, nothing of it stays and that error is returned.
//
// fn may run twice (after a serialization failure, a deadlock or a connection
// that broke before the commit), must do nothing but SQL, and must not call
// Write or Exec of the DB, which panics when given the context that fn got and
// otherwise waits in vain. A panic in fn undoes the transaction and goes on in
// the caller. When ctx ends, the next statement of fn fails.
//
// Errors: what fn returned; idp.Unavailable when the database is down, its
// disk full, or the commit failed: then the outcome may be unknown, as when a
// connection breaks between commit and reply.
//
// On SQLite, writes that wait at the same time share one commit, each in a
// savepoint of its own: a caller that fails takes nobody along.
func (db *DB) Write(ctx context.Context, fn func(context.Context, *Tx) error) error {
	db.mustBeOutside(ctx)
	if err := ctx.Err(); err != nil {
		return db.engine.classify(err)
	}
	return db.engine.write(ctx, func(ctx context.Context, tx *Tx) error {
		return fn(context.WithValue(ctx, insideWrite{}, db), tx)
	})
}

// insideWrite marks the context that a Write hands to its function.
type insideWrite struct{}

// mustBeOutside makes a mistake loud that would otherwise be a long wait: on
// SQLite there is one writer, and it cannot wait for itself.
func (db *DB) mustBeOutside(ctx context.Context) {
	if ctx.Value(insideWrite{}) == db {
		panic("sqldb: a write inside a Write; use its Tx, or Tx.Nested")
	}
}

// Exec is a Write of one statement. It returns the number of rows changed.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	db.mustBeOutside(ctx)
	if err := ctx.Err(); err != nil {
		return 0, db.engine.classify(err)
	}
	countWrite(ctx)
	return db.engine.exec(ctx, query, args)
}

// Snapshot runs fn in a transaction that only reads, and sees the database as
// it was at its first query: for backups and reports. It holds a connection
// and is not retried.
func (db *DB) Snapshot(ctx context.Context, fn func(context.Context, *Tx) error) error {
	return db.engine.snapshot(ctx, fn)
}

// Listen calls fn with the payload of each notice on channel, from any node,
// until ctx ends, and reconnects meanwhile: notices sent while it was away are
// lost, so a caller also polls. On SQLite, where there is one node, it returns
// nil at once.
func (db *DB) Listen(ctx context.Context, channel string, fn func(payload string)) error {
	return db.engine.listen(ctx, channel, fn)
}

// Notify sends payload (at most 8000 bytes) to all who Listen on channel when
// tx commits. On SQLite it does nothing.
func (db *DB) Notify(ctx context.Context, tx *Tx, channel, payload string) error {
	return db.engine.notify(ctx, tx, channel, payload)
}

// Migrate brings the schema up to date with the migrations/*.sql files of all
// sources, in the order of the numbers their names begin with, and returns how
// many it applied. One node does it, the others wait. A database that knows a
// migration which no source has is from a newer version: it is refused and
// nothing is changed.
func (db *DB) Migrate(ctx context.Context, sources ...fs.FS) (applied int, err error) {
	return migrate(ctx, db.engine, sources)
}

func closedError() error {
	return idp.Unavailablef("database_closed", "database is closed")
}
