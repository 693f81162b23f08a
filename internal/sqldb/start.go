package sqldb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What is told to an operator whose database does not open: one sentence that
// names the file or server and says what to do.

// quickCheckBelow is the size up to which every page is looked at on start;
// it costs some 20 ms at that size.
const quickCheckBelow = 16 << 20

// inspectFile looks at the file before SQLite does, makes it with mode 0600
// when absent, and refuses what SQLite would report in its own words or only
// much later.
func inspectFile(path string) error {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("the folder %s for the database does not exist or is not a folder; create it or choose another", dir)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, fs.ErrPermission), isReadOnlyMount(err):
		return fmt.Errorf("the database %s cannot be written; give the user that runs signet write access to it and its folder: %w", path, err)
	case err != nil:
		return fmt.Errorf("the database %s cannot be opened; check the path: %w", path, err)
	}
	defer f.Close()
	var head [100]byte
	n, err := io.ReadFull(f, head[:])
	if n == 0 && errors.Is(err, io.EOF) {
		return nil // new
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the database %s cannot be read; check the disk: %w", path, err)
	}
	if n < len(head) || string(head[:16]) != "SQLite format 3\x00" {
		return fmt.Errorf("%s is not a SQLite database; choose another path, or restore a backup with signet admin restore", path)
	}
	return checkLength(f, path, head[:])
}

// checkLength finds a file that was cut off: its header counts more pages than
// there are. While a write-ahead log exists the header may be ahead.
func checkLength(f *os.File, path string, head []byte) error {
	if wal, err := os.Stat(path + "-wal"); err == nil && wal.Size() > 0 {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// SQLite file format, Section 1.3: page size at 16, page count at 28, valid
	// when the change counter at 24 equals the one at 92.
	size := int64(head[16])<<8 | int64(head[17])
	if size == 1 {
		size = 65536
	}
	u32 := func(i int) int64 {
		return int64(head[i])<<24 | int64(head[i+1])<<16 | int64(head[i+2])<<8 | int64(head[i+3])
	}
	if u32(24) == u32(92) && info.Size() < size*u32(28) {
		return errCorrupt(path, fmt.Errorf("%d of %d bytes are there", info.Size(), size*u32(28)))
	}
	return nil
}

// checkSQLite proves that the file can be read and the write lock taken.
func checkSQLite(c *conn) error {
	ctx := context.Background()
	for _, q := range []string{"pragma schema_version", "select count(*) from sqlite_master", "begin immediate", "rollback"} {
		if _, err := c.exec(ctx, q, nil); err != nil {
			return err
		}
	}
	var pages, size int64
	if err := readRow(c, "select page_count, page_size from pragma_page_count(), pragma_page_size()", &pages, &size); err != nil {
		return err
	}
	if pages*size > quickCheckBelow {
		return nil
	}
	var verdict string
	if err := readRow(c, "pragma quick_check(1)", &verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, oneLine(verdict))
	}
	return nil
}

// readRow runs a query that has a row.
func readRow(c *conn, query string, dest ...any) error {
	rows, err := c.query(context.Background(), query, nil)
	if err != nil {
		return err
	}
	if rows.next() {
		err = rows.scan(dest)
	}
	return cmp.Or(err, rows.err(), rows.close())
}

var errDamaged = errors.New("quick check")

func errCorrupt(path string, cause error) error {
	return fmt.Errorf("the database %s is damaged; restore a backup with signet admin restore: %w", path, cause)
}

// explainSQLite turns what SQLite said on opening into a sentence.
func explainSQLite(path string, err error) error {
	if errors.Is(err, errDamaged) {
		return errCorrupt(path, err)
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("the database %s cannot be opened; check the path: %w", path, err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT:
		return errCorrupt(path, err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is not a SQLite database; choose another path, or restore a backup with signet admin restore: %w", path, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("the database %s cannot be written; give the user that runs signet write access to it and its folder: %w", path, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk that holds the database %s is full; free some space: %w", path, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("another program holds the database %s; stop it: %w", path, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("the database %s cannot be read or written; check the disk and its free space: %w", path, err)
	}
	return fmt.Errorf("the database %s cannot be opened: %w", path, err)
}

var errReadOnlyServer = errors.New("the server takes no writes")

// explainPostgres turns a failed first connection into a sentence. The address
// may hold a password, so only its parts are named.
func explainPostgres(c *pgx.ConnConfig, err error) error {
	at := fmt.Sprintf("%s:%d", c.Host, c.Port)
	if errors.Is(err, errReadOnlyServer) {
		return fmt.Errorf("PostgreSQL at %s takes no writes (a standby?); give the address of the primary", at)
	}
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case "28P01", "28000":
			return fmt.Errorf("PostgreSQL at %s refused the user %q; check user, password and pg_hba.conf: %w", at, c.User, e)
		case "3D000":
			return fmt.Errorf("PostgreSQL at %s has no database %q; create it or correct the address: %w", at, c.Database, e)
		case "53300":
			return fmt.Errorf("PostgreSQL at %s has no connection left; raise max_connections or lower pool_max_conns: %w", at, e)
		}
		return fmt.Errorf("PostgreSQL at %s refused the connection; look at its log: %w", at, e)
	}
	return fmt.Errorf("PostgreSQL at %s cannot be reached; start it or correct the address: %s", at, oneLine(err.Error()))
}

// oneLine joins the lines in which drivers report several causes.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
