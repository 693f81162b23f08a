package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

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
	kept   map[string]prepared
	args   []driver.NamedValue // of the statement under way
}

// prepared is a statement whose parameters have places instead of names. The
// driver asks for each parameter's name, every time, and makes a string of it.
type prepared struct {
	statement
	places []int // the number of the argument at each place
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
	return &conn{driver: c, kept: map[string]prepared{}}, nil
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
	p, ok := c.kept[query]
	if !ok {
		var err error
		if p, err = c.keep(query); err != nil {
			return nil, err
		}
	}
	c.args = c.args[:0]
	for i, n := range p.places {
		if n > len(args) {
			return nil, fmt.Errorf("argument $%d is missing", n)
		}
		v, err := plain(n-1, args[n-1])
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return p.statement, nil
}

func (c *conn) keep(query string) (prepared, error) {
	if len(c.kept) == keptStatements {
		c.forget()
	}
	text, places := placed(query)
	s, err := c.driver.Prepare(text)
	if err != nil {
		return prepared{}, err
	}
	p := prepared{s.(statement), places}
	c.kept[query] = p
	return p, nil
}

// placed writes ? for each $n of a statement, and lists the n. What stands in
// quotes or in a comment is left alone.
func placed(query string) (text string, places []int) {
	var b strings.Builder
	for i := 0; i < len(query); {
		end := i + 1
		switch {
		case query[i] == '\'' || query[i] == '"':
			end = past(query, i+1, query[i:i+1])
		case strings.HasPrefix(query[i:], "--"):
			end = past(query, i, "\n")
		case query[i] == '$':
			for end < len(query) && '0' <= query[end] && query[end] <= '9' {
				end++
			}
			if n, err := strconv.Atoi(query[i+1 : end]); err == nil && n > 0 {
				b.WriteByte('?')
				places = append(places, n)
				i = end
				continue
			}
		}
		b.WriteString(query[i:end])
		i = end
	}
	return b.String(), places
}

// past is where s goes on behind the next mark from a place; its end when there
// is none. A quote that is doubled inside of quotes ends them and begins
// others.
func past(s string, from int, mark string) int {
	if n := strings.Index(s[from:], mark); n >= 0 {
		return from + n + len(mark)
	}
	return len(s)
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
