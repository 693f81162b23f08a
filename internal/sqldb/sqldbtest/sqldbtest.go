package sqldbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

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
		fn(t, open(t, sqldb.Config{URL: lend(t, sources)}, sources))
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
	return create(t)
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

// templates are migrated SQLite files: migrating takes longer than most tests,
// so it is done once per set of sources and process.
var templates struct {
	sync.Mutex
	files map[string][]byte
}

func template(t testing.TB, sources []fs.FS) []byte {
	templates.Lock()
	defer templates.Unlock()
	key := fingerprint(t, sources)
	if b := templates.files[key]; b != nil {
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
	if templates.files == nil {
		templates.files = map[string][]byte{}
	}
	templates.files[key] = b
	return b
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
