package sqldb

import (
	"context"
	"database/sql"
)

// pooled is a PostgreSQL connection lent by database/sql. pgx keeps its
// statements prepared.
type pooled struct{ *sql.Conn }

func (p pooled) exec(ctx context.Context, query string, args []any) (int64, error) {
	args, err := plainAll(args)
	if err != nil {
		return 0, err
	}
	res, err := p.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (p pooled) query(ctx context.Context, query string, args []any) (cursor, error) {
	args, err := plainAll(args)
	if err != nil {
		return nil, err
	}
	rows, err := p.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return scanned{rows}, nil
}

func plainAll(args []any) ([]any, error) {
	out := make([]any, len(args))
	for i, a := range args {
		var err error
		if out[i], err = plain(i, a); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// scanned is the result of a query on a pooled.
type scanned struct{ rows *sql.Rows }

func (s scanned) next() bool   { return s.rows.Next() }
func (s scanned) err() error   { return s.rows.Err() }
func (s scanned) close() error { return s.rows.Close() }

// scan has database/sql hand over the columns as they are.
func (s scanned) scan(dest []any) error {
	columns := make([]any, len(dest))
	for i, d := range dest {
		columns[i] = &place{i, d}
	}
	return s.rows.Scan(columns...)
}

// place is where a column goes.
type place struct {
	i    int
	dest any
}

// Scan implements sql.Scanner.
func (p *place) Scan(column any) error { return assign(p.i, p.dest, column) }

// reader is a leased connection that is exchanged once if it turns out broken:
// a read can always be asked again.
type reader struct {
	pooled
	engine *postgresEngine
}

func (r *reader) query(ctx context.Context, query string, args []any) (cursor, error) {
	rows, err := r.pooled.query(ctx, query, args)
	if err == nil || !retryable(err) {
		return rows, err
	}
	r.engine.noteBroken(err)
	r.Close()
	c, err := r.engine.conn(ctx)
	if err != nil {
		return nil, err
	}
	r.Conn = c
	return r.pooled.query(ctx, query, args)
}
