package backup

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/signetid/signet/internal/sqldb"
)

// Header is the first line of a dump.
type Header struct {
	Format  int       `json:"signet_backup"`
	Version string    `json:"version"` // of the program that wrote it
	Created time.Time `json:"created"`
}

const format = 1

// lineLimit is the longest line a restore accepts: the largest value of a
// column is far below it.
const lineLimit = 16 << 20

// Count says what was copied.
type Count struct {
	Tables int `json:"tables"`
	Rows   int `json:"rows"`
}

// end is the last line of a dump. age notices a file that was cut short; this
// notices a dump that was.
type end struct {
	End bool `json:"end"`
	Count
}

// Write dumps what q sees to w, encrypted. q must be one transaction, so that
// the dump is one moment. Tables in skip are left out.
func Write(ctx context.Context, w io.Writer, keys Keys, dialect string, q sqldb.Querier, skip []string, h Header) (Count, error) {
	all, err := tables(ctx, dialect, q, skip)
	if err != nil {
		return Count{}, err
	}
	sealed, err := keys.seal(w)
	if err != nil {
		return Count{}, err
	}
	h.Format = format
	out := json.NewEncoder(sealed)
	out.SetEscapeHTML(false)
	if err := out.Encode(h); err != nil {
		return Count{}, fmt.Errorf("write the backup: %w", err)
	}
	n := Count{Tables: len(all)}
	for _, t := range all {
		rows, err := dump(ctx, q, t, out)
		if err != nil {
			return Count{}, fmt.Errorf("copy the table %s: %w", t.Name, err)
		}
		n.Rows += rows
	}
	if err := errors.Join(out.Encode(end{true, n}), sealed.Close()); err != nil {
		return Count{}, fmt.Errorf("write the backup: %w", err)
	}
	return n, nil
}

func dump(ctx context.Context, q sqldb.Querier, t table, out *json.Encoder) (int, error) {
	if err := out.Encode(t); err != nil {
		return 0, err
	}
	rows, err := q.Query(ctx, t.selectAll())
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		into, values := holders(t)
		if err := rows.Scan(into...); err != nil {
			return n, err
		}
		if err := out.Encode(values()); err != nil {
			return n, err
		}
		n++
	}
	return n, rows.Err()
}

// holders gives a place for each column of a row, and a way to read them.
func holders(t table) (into []any, values func() []any) {
	for _, kind := range t.Types {
		switch kind {
		case "bytea":
			into = append(into, new([]byte))
		case "boolean":
			into = append(into, new(bool))
		case "bigint":
			into = append(into, new(int64))
		default:
			into = append(into, new(string))
		}
	}
	return into, func() []any {
		row := make([]any, len(into))
		for i, p := range into {
			switch p := p.(type) {
			case *[]byte:
				row[i] = slices.Concat([]byte{}, *p) // never nil: a null would not come back as bytes
			case *bool:
				row[i] = *p
			case *int64:
				row[i] = *p
			case *string:
				row[i] = *p
			}
		}
		return row
	}
}

// Reader is an opened backup, its header read.
type Reader struct {
	Header Header
	lines  *bufio.Scanner
}

// Open decrypts a backup and reads its header. It fails with a sentence for a
// wrong key, a file that is no backup, and one of a newer format.
func Open(r io.Reader, keys Keys) (*Reader, error) {
	plain, err := keys.open(r)
	if err != nil {
		return nil, err
	}
	return parse(plain)
}

func parse(plain io.Reader) (*Reader, error) {
	b := &Reader{lines: bufio.NewScanner(plain)}
	b.lines.Buffer(nil, lineLimit)
	line, err := b.next()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(line, &b.Header); err != nil || b.Header.Format == 0 {
		return nil, errors.New("this file is no backup of Signet")
	}
	if b.Header.Format > format {
		return nil, fmt.Errorf("this backup was made by a newer version (%s): restore it with that one", b.Header.Version)
	}
	return b, nil
}

func (b *Reader) next() ([]byte, error) {
	if b.lines.Scan() {
		return b.lines.Bytes(), nil
	}
	if err := b.lines.Err(); err != nil {
		return nil, fmt.Errorf("the backup is damaged: %w", err)
	}
	return nil, errors.New("the backup ends too early: it was not written to its end")
}

// Restore writes the rows into the tables of tx, which must exist and be
// empty. It may be called once: on an error the caller rolls back, and opens
// the file anew to try again.
func (b *Reader) Restore(ctx context.Context, tx *sqldb.Tx, dialect string, skip []string) (Count, error) {
	there, err := tables(ctx, dialect, tx, nil)
	if err != nil {
		return Count{}, err
	}
	var n Count
	var now *target
	for {
		line, err := b.next()
		if err != nil {
			return Count{}, err
		}
		switch {
		case len(line) > 0 && line[0] == '[':
			if now == nil {
				return Count{}, errors.New("the backup is damaged: a row before its table")
			}
			if err := now.add(ctx, tx, line); err != nil {
				return Count{}, err
			}
			n.Rows++
		default:
			var e end
			if err := json.Unmarshal(line, &e); err == nil && e.End {
				if e.Count != n {
					return Count{}, fmt.Errorf("the backup is damaged: it has %d rows and says %d", n.Rows, e.Rows)
				}
				return n, nil
			}
			if now, err = newTarget(line, there, skip); err != nil {
				return Count{}, err
			}
			n.Tables++
		}
	}
}

// target is the table that rows go to now.
type target struct {
	table
	query string
}

// newTarget accepts a table only as the database has it: a dump cannot name
// what is not there, and cannot bring back what dies with the epoch.
func newTarget(line []byte, there []table, skip []string) (*target, error) {
	var t table
	if err := json.Unmarshal(line, &t); err != nil || len(t.Columns) == 0 || len(t.Columns) != len(t.Types) {
		return nil, errors.New("the backup is damaged: a line that is no table")
	}
	if slices.Contains(skip, t.Name) {
		return nil, fmt.Errorf("the backup holds the table %s, which no backup should", t.Name)
	}
	i := slices.IndexFunc(there, func(o table) bool { return o.Name == t.Name })
	if i < 0 {
		return nil, fmt.Errorf("the backup has the table %s, which this version does not know: restore it with the version that made it", t.Name)
	}
	for c, name := range t.Columns {
		at := slices.Index(there[i].Columns, name)
		if at < 0 || there[i].Types[at] != t.Types[c] {
			return nil, fmt.Errorf("the backup has the column %s of %s, which this version does not know: restore it with the version that made it", name, t.Name)
		}
	}
	return &target{t, t.insert()}, nil
}

func (t *target) add(ctx context.Context, tx *sqldb.Tx, line []byte) error {
	into, values := holders(t.table)
	var raw []json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil || len(raw) != len(into) {
		return fmt.Errorf("the backup is damaged: a row of %s", t.Name)
	}
	for i := range raw {
		if err := json.Unmarshal(raw[i], into[i]); err != nil {
			return fmt.Errorf("the backup is damaged: a row of %s: %w", t.Name, err)
		}
	}
	if _, err := tx.Exec(ctx, t.query, values()...); err != nil {
		return fmt.Errorf("restore a row of %s: %w", t.Name, err)
	}
	return nil
}
