package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"

	"modernc.org/sqlite"
)

// keptStatements bounds the statements one connection keeps prepared. The
// house has some hundreds of texts; more means that somebody builds SQL from
// data, and then keeping them would only fill memory.
const keptStatements = 1024

// conn is a SQLite connection that prepares each text once. It serves one
// goroutine at a time, and has rows of at most one query open.
//
// It speaks to the driver itself. database/sql would lock, watch contexts and
// count references around every call, none of which is needed here and all of
// which together cost about as much as a small statement.
type conn struct {
	driver driver.Conn
	kept   map[string]statement
	args   []driver.NamedValue // of the statement under way
}

// statement is a prepared statement of the driver.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

func newConn(dsn string) (*conn, error) {
	c, err := new(sqlite.Driver).Open(dsn)
	if err != nil {
		return nil, err
	}
	return &conn{driver: c, kept: map[string]statement{}}, nil
}

// The context of a caller never reaches the driver: its end would interrupt
// the connection, which is shared, and statements are short.

func (c *conn) exec(_ context.Context, query string, args []any) (int64, error) {
	s, err := c.prepare(query, args)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(context.Background(), c.args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (c *conn) query(_ context.Context, query string, args []any) (cursor, error) {
	s, err := c.prepare(query, args)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(context.Background(), c.args)
	if err != nil {
		return nil, err
	}
	return &found{rows: rows, row: make([]driver.Value, len(rows.Columns()))}, nil
}

// prepare returns the statement of a text, and puts the arguments in c.args.
func (c *conn) prepare(query string, args []any) (statement, error) {
	c.args = c.args[:0]
	for i, a := range args {
		v, err := plain(i, a)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	if s := c.kept[query]; s != nil {
		return s, nil
	}
	if len(c.kept) == keptStatements {
		c.forget()
	}
	s, err := c.driver.Prepare(query)
	if err != nil {
		return nil, err
	}
	c.kept[query] = s.(statement)
	return c.kept[query], nil
}

func (c *conn) forget() {
	for _, s := range c.kept {
		s.Close()
	}
	clear(c.kept)
}

func (c *conn) close() error {
	c.forget()
	return c.driver.Close()
}

// found is the result of a query on a conn.
type found struct {
	rows   driver.Rows
	row    []driver.Value
	failed error
}

func (f *found) next() bool {
	err := f.rows.Next(f.row)
	if err != nil && !errors.Is(err, io.EOF) {
		f.failed = err
	}
	return err == nil
}

func (f *found) scan(dest []any) error {
	if len(dest) != len(f.row) {
		return errCount(len(f.row), len(dest))
	}
	for i, column := range f.row {
		if err := assign(i, dest[i], column); err != nil {
			return err
		}
	}
	return nil
}

func (f *found) err() error   { return f.failed }
func (f *found) close() error { return f.rows.Close() }
