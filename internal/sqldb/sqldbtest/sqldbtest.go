package sqldbtest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Each runs fn as subtest "sqlite" and as subtest "postgres", each with an
// empty database to which the migrations of sources have been applied.
func Each(t *testing.T, sources []fs.FS, fn func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, Open(t, sources)) })
	t.Run("postgres", func(t *testing.T) {
		if server(t) == "" {
			return
		}
		fn(t, open(t, sqldb.Config{URL: fresh(t, sources)}, sources))
	})
}

// Open returns a migrated SQLite database in a folder of the test's own.
func Open(t testing.TB, sources []fs.FS) *sqldb.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	if len(sources) > 0 {
		if err := os.WriteFile(path, template(t, sources), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return open(t, sqldb.Config{Path: path}, sources)
}

// NewPostgres returns the address of an empty PostgreSQL database for tests
// that start whole servers, or "" after a line in the log when there is none.
func NewPostgres(t testing.TB) string {
	t.Helper()
	if server(t) == "" {
		return ""
	}
	return create(t, "")
}

func open(t testing.TB, c sqldb.Config, sources []fs.FS) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	if len(sources) > 0 {
		if _, err := db.Migrate(context.Background(), sources...); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// server is the address of the PostgreSQL server, or "".
func server(t testing.TB) string {
	t.Helper()
	address := os.Getenv("SIGNET_TEST_POSTGRES")
	if address == "" {
		if os.Getenv("CI") == "true" || os.Getenv("SIGNET_TEST_REQUIRE") == "1" {
			t.Fatal("SIGNET_TEST_POSTGRES is not set, and this run demands PostgreSQL")
		}
		t.Log("SIGNET_TEST_POSTGRES is not set: not tested on PostgreSQL")
	}
	return address
}

// Migrating takes longer than most tests, so it is done once per set of
// sources and process; tests get copies.
var templates struct {
	sync.Mutex
	sqlite   map[string][]byte
	postgres map[string]string
}

func template(t testing.TB, sources []fs.FS) []byte {
	templates.Lock()
	defer templates.Unlock()
	key := fingerprint(t, sources)
	if b := templates.sqlite[key]; b != nil {
		return b
	}
	dir, err := os.MkdirTemp("", "signet-template-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "template.db")
	migrate(t, sqldb.Config{Path: path}, sources)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if templates.sqlite == nil {
		templates.sqlite = map[string][]byte{}
	}
	templates.sqlite[key] = b
	return b
}

// fresh makes a PostgreSQL database with the schema of sources.
func fresh(t testing.TB, sources []fs.FS) string { return create(t, templateFor(t, sources)) }

// templateFor names the server's database that has the schema of sources. It
// outlives the process and is shared with others that test the same schema.
func templateFor(t testing.TB, sources []fs.FS) string {
	if len(sources) == 0 {
		return ""
	}
	templates.Lock()
	defer templates.Unlock()
	key := fingerprint(t, sources)
	if name := templates.postgres[key]; name != "" {
		return name
	}
	name := "signet_template_" + key
	admin, err := sql.Open("pgx", server(t))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	admin.SetMaxOpenConns(1) // the advisory lock belongs to the connection
	ctx := context.Background()
	run := func(query string, args ...any) {
		if _, err := admin.ExecContext(ctx, query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	run("select pg_advisory_lock($1)", int64(7104301))
	defer run("select pg_advisory_unlock($1)", int64(7104301))
	var exists bool
	if err := admin.QueryRowContext(ctx, "select exists (select from pg_database where datname = $1)", name).Scan(&exists); err != nil {
		t.Fatal(err)
	}
	if !exists {
		run("drop database if exists " + name + "_new")
		run("create database " + name + "_new")
		migrate(t, sqldb.Config{URL: within(t, name+"_new")}, sources)
		run("alter database " + name + "_new rename to " + name)
	}
	if templates.postgres == nil {
		templates.postgres = map[string]string{}
	}
	templates.postgres[key] = name
	return name
}

func migrate(t testing.TB, c sqldb.Config, sources []fs.FS) {
	db, err := sqldb.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Migrate(context.Background(), sources...)
	if closed := db.Close(); err == nil {
		err = closed
	}
	if err != nil {
		t.Fatal(err)
	}
}

// create makes a database of the test's own and returns its address.
func create(t testing.TB, template string) string {
	t.Helper()
	admin, err := sql.Open("pgx", server(t))
	if err != nil {
		t.Fatal(err)
	}
	name := "signet_test_" + hex.EncodeToString(secret.Bytes(8))
	query := "create database " + name
	if template != "" {
		query += " template " + template
	}
	if err := patiently(admin, query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	t.Cleanup(func() {
		defer admin.Close()
		if err := patiently(admin, "drop database "+name+" with (force)"); err != nil {
			t.Errorf("drop database %s: %v", name, err)
		}
	})
	return within(t, name)
}

// patiently tries again while another test copies the same template.
func patiently(admin *sql.DB, query string) error {
	var err error
	for range 100 {
		if _, err = admin.Exec(query); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// within is the server's address with another database name.
func within(t testing.TB, name string) string {
	u, err := url.Parse(server(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// fingerprint names a set of migrations by their names and content.
func fingerprint(t testing.TB, sources []fs.FS) string {
	h := sha256.New()
	for _, src := range sources {
		paths, err := fs.Glob(src, "migrations/*.sql")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			b, err := fs.ReadFile(src, p)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(b)
			h.Write([]byte(filepath.Base(p)))
			h.Write(sum[:])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:10])
}
