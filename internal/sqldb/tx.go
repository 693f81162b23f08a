package sqldb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Querier is what reads need: *DB, and *Tx to read one's own writes.
type Querier interface {
	QueryRow(ctx context.Context, query string, args ...any) *Row
	Query(ctx context.Context, query string, args ...any) (*Rows, error)
}

var (
	_ Querier = (*DB)(nil)
	_ Querier = (*Tx)(nil)
)

// session is one connection.
type session interface {
	// exec runs a statement and returns the number of rows it changed.
	exec(ctx context.Context, query string, args []any) (int64, error)
	// query runs a query, up to its first row.
	query(ctx context.Context, query string, args []any) (cursor, error)
}

// cursor is the result of a query. It must be closed before the session is
// used again.
type cursor interface {
	next() bool            // goes to the next row, if there is one
	scan(dest []any) error // copies the row that next went to
	err() error            // why next returned false; nil at the end
	close() error
}

// Tx is a transaction under way. It belongs to the function it was handed to
// and is not safe for concurrent use.
//
// A statement that fails spoils the transaction on both databases (PostgreSQL
// would refuse to go on, so SQLite does too): every later statement and the
// Write itself return the first error. To try something that may fail, use
// Nested. An idp.NotFound from Row.Scan spoils nothing.
type Tx struct {
	session  session
	engine   engine
	snapshot bool     // reads only, and may take long
	flat     bool     // without savepoints; what must be undone in part starts all over
	failed   error    // the first failure of a statement
	open     *Rows    // rows being read; the wire has room for one query at a time
	depth    int      // of Nested
	after    []func() // OnCommit
}

// ForShare is what a query ends with whose rows must stay as they were read
// until the transaction commits: on PostgreSQL a lock that lets others read, on
// SQLite, whose one writer is the transaction itself, nothing. It is the one
// word in which the SQL of the two differs.
func (tx *Tx) ForShare() string {
	if tx.snapshot {
		return "" // which sees nothing of what others do
	}
	return tx.engine.forShare()
}

// Exec runs a statement and returns the number of rows it changed. A violated
// primary key, unique index or foreign key is idp.Conflict.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := tx.ready(ctx); err != nil {
		return 0, err
	}
	return tx.exec(ctx, query, args)
}

func (tx *Tx) exec(ctx context.Context, query string, args []any) (int64, error) {
	countWrite(ctx)
	ctx, cancel := tx.engine.bound(ctx, statementWithin)
	defer cancel()
	n, err := tx.session.exec(ctx, query, args)
	if err != nil {
		return 0, tx.spoil(tx.engine.classify(err))
	}
	return n, nil
}

// QueryRow runs a query of at most one row; its errors come out of Row.Scan.
// Statements with a returning clause go here, too.
func (tx *Tx) QueryRow(ctx context.Context, query string, args ...any) *Row {
	rows, err := tx.query(ctx, statementWithin, query, args)
	return &Row{rows: rows, err: err}
}

// Query runs a query. The rows must be closed before the next statement.
func (tx *Tx) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	return tx.query(ctx, rowsWithin, query, args)
}

func (tx *Tx) query(ctx context.Context, limit time.Duration, query string, args []any) (*Rows, error) {
	if err := tx.ready(ctx); err != nil {
		return nil, err
	}
	if tx.snapshot {
		limit = snapshotWithin
	}
	countRead(ctx)
	ctx, cancel := tx.engine.bound(ctx, limit)
	rows, err := tx.session.query(ctx, query, args)
	if err != nil {
		cancel()
		return nil, tx.spoil(tx.engine.classify(err))
	}
	tx.open = &Rows{rows: rows, engine: tx.engine, tx: tx, release: cancel}
	return tx.open, nil
}

// errFlat spoils a transaction that has to undo a part of itself but set no
// savepoints. It is run again, with them.
var errFlat = errors.New("transaction needs savepoints")

// Nested runs fn in a savepoint. When fn returns an error, only what it did is
// undone, the error is returned and the transaction goes on.
//
// Savepoints cost much more than they look, since SQLite copies every page
// that is changed under one, and hardly ever are they gone back to. So a Write
// is tried without them first.
func (tx *Tx) Nested(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if err := tx.ready(ctx); err != nil {
		return err
	}
	if tx.flat {
		err := fn(ctx, tx)
		if unsound := tx.sound(); err == nil {
			err = unsound
		}
		if err != nil {
			tx.failed = errFlat
		}
		return err
	}
	tx.depth++
	defer func() { tx.depth-- }()
	name := "nested_" + strconv.Itoa(tx.depth)
	if _, err := tx.exec(ctx, "savepoint "+name, nil); err != nil {
		return err
	}
	hooks := len(tx.after)
	err := fn(ctx, tx)
	if err == nil {
		err = tx.sound()
	}
	if err != nil {
		tx.failed, tx.after = nil, tx.after[:hooks]
		if _, undo := tx.exec(ctx, "rollback to savepoint "+name, nil); undo != nil {
			return undo
		}
	}
	if _, release := tx.exec(ctx, "release savepoint "+name, nil); release != nil {
		return release
	}
	return err
}

// OnCommit has fn called, in the goroutine of the Write, once the transaction
// is durable; never when it is not. fn must not fail and not wait.
func (tx *Tx) OnCommit(fn func()) { tx.after = append(tx.after, fn) }

func (tx *Tx) committed() {
	for _, fn := range tx.after {
		fn()
	}
}

// ready refuses a statement that PostgreSQL would refuse, or whose caller has
// gone away.
func (tx *Tx) ready(ctx context.Context) error {
	if tx.failed != nil {
		return tx.failed
	}
	if tx.open != nil {
		return tx.spoil(errors.New("rows of an earlier query are still open"))
	}
	if err := ctx.Err(); err != nil {
		return tx.spoil(tx.engine.classify(err))
	}
	return nil
}

func (tx *Tx) spoil(err error) error {
	if tx.failed == nil {
		tx.failed = err
	}
	return err
}

// sound says whether the transaction may be committed.
func (tx *Tx) sound() error {
	if tx.open != nil {
		tx.open.Close()
		return errors.New("rows of a query were left open")
	}
	return tx.failed
}

// QueryRow runs a query of at most one row; its errors come out of Row.Scan,
// which must be called.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *Row {
	rows, err := db.query(ctx, statementWithin, query, args)
	return &Row{rows: rows, err: err}
}

// Query runs a query outside of any transaction, which must not change
// anything. The rows hold a connection until they are closed.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	return db.query(ctx, rowsWithin, query, args)
}

func (db *DB) query(ctx context.Context, limit time.Duration, query string, args []any) (*Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, db.engine.classify(err)
	}
	s, giveBack, err := db.engine.lease(ctx)
	if err != nil {
		return nil, err
	}
	countRead(ctx)
	ctx, cancel := db.engine.bound(ctx, limit)
	rows, err := s.query(ctx, query, args)
	if err != nil {
		cancel()
		giveBack()
		return nil, db.engine.classify(err)
	}
	return &Rows{rows: rows, engine: db.engine, release: cancel, giveBack: giveBack}, nil
}

// Rows is the result of a query: for rows.Next() { rows.Scan(…) }, then
// rows.Err(), with a deferred Close.
type Rows struct {
	rows     cursor
	engine   engine
	tx       *Tx    // whose rows they are, if anybody's
	release  func() // ends the bound context
	giveBack func() // gives the connection back, outside a transaction
	closed   bool
	err      error // once closed
}

// Next goes to the next row, or closes the rows and returns false.
func (r *Rows) Next() bool {
	if !r.closed && r.rows.next() {
		return true
	}
	r.Close()
	return false
}

// Scan copies the columns of the row that Next went to, in order, into strings,
// []bytes, bools and integers, or types made of these.
func (r *Rows) Scan(dest ...any) error {
	if r.closed {
		return errors.New("scan of rows that are closed")
	}
	return r.rows.scan(dest)
}

// Err is the error that ended Next early, or nil.
func (r *Rows) Err() error {
	if !r.closed {
		r.err = r.classifyRead(r.rows.err())
	}
	return r.err
}

// Close frees the connection; it may be called twice.
func (r *Rows) Close() error {
	if r.closed {
		return r.err
	}
	closing := r.rows.close()
	// The error is asked for before the context is released: afterwards
	// database/sql would take the release for the caller's doing.
	r.err = r.classifyRead(cmp.Or(r.rows.err(), closing))
	r.closed = true
	r.release()
	if r.tx != nil {
		r.tx.open = nil
	}
	if r.giveBack != nil {
		r.giveBack()
	}
	return r.err
}

func (r *Rows) classifyRead(err error) error {
	err = r.engine.classify(err)
	if err != nil && r.tx != nil {
		r.tx.spoil(err)
	}
	return err
}

// Row is the result of a query of at most one row.
type Row struct {
	rows *Rows
	err  error
}

// Scan copies the columns of the row as Rows.Scan does. When there is no row, the
// error is idp.NotFound, and dest is as it was.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.rows.next() {
		if err := r.rows.Close(); err != nil {
			return err
		}
		return idp.NotFoundf("row_missing", "no such row")
	}
	if err := r.rows.Scan(dest...); err != nil {
		return fmt.Errorf("scan row: %w", err)
	}
	return r.rows.Close()
}
