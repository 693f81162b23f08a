package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// filled makes a closed SQLite database of some hundred pages.
func filled(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "signet.db")
	db, err := sqldb.Open(t.Context(), sqldb.Config{Path: path})
	must(t, err)
	_, err = db.Migrate(t.Context(), schema...)
	must(t, err)
	must(t, db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for i := range 500 {
			if _, err := tx.Exec(ctx, `insert into thing (tenant_id, id, raw, big, size) values ('t', $1, $2, true, 1)`,
				fmt.Sprintf("%08d", i), secret.Bytes(900)); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, db.Close())
	return path
}

// TestStartErrors: a database that cannot be used is refused with one sentence
// that says what to do, and its file stays as it was.
func TestStartErrors(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string) string // returns the path to open
		want  []string
	}{
		"no folder": {func(t *testing.T, path string) string {
			return filepath.Join(path+".d", "signet.db")
		}, []string{"does not exist", "create it"}},
		"a folder": {func(t *testing.T, path string) string {
			return filepath.Dir(path)
		}, []string{"cannot be opened", "check the path"}},
		"not a database": {func(t *testing.T, path string) string {
			must(t, os.WriteFile(path, []byte(strings.Repeat("Dear diary, ", 1000)), 0o600))
			return path
		}, []string{"is not a SQLite database", "choose another path"}},
		"a few bytes": {func(t *testing.T, path string) string {
			must(t, os.WriteFile(path, []byte("SQLite format 3\x00"), 0o600))
			return path
		}, []string{"is not a SQLite database"}},
		"cut off": {func(t *testing.T, path string) string {
			info, err := os.Stat(path)
			must(t, err)
			must(t, os.Truncate(path, info.Size()/2))
			return path
		}, []string{"is damaged", "restore a backup"}},
		"scribbled over": {func(t *testing.T, path string) string {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			for page := int64(3); page < 40; page++ {
				_, err = f.WriteAt(secret.Bytes(64), page*4096)
				must(t, err)
			}
			return path
		}, []string{"is damaged", "restore a backup"}},
		"schema gone": {func(t *testing.T, path string) string {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			_, err = f.WriteAt(secret.Bytes(3000), 100)
			must(t, err)
			return path
		}, []string{"is damaged", "restore a backup"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := c.spoil(t, filled(t))
			before, _ := os.ReadFile(path)
			db, err := sqldb.Open(t.Context(), sqldb.Config{Path: path})
			if err == nil {
				db.Close()
				t.Fatal("opened")
			}
			for _, w := range append(c.want, path[:len(path)-len(filepath.Base(path))-1]) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("more than a line: %q", err)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestFileMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name?#%20.db")
	db, err := sqldb.Open(t.Context(), sqldb.Config{Path: path})
	must(t, err)
	defer db.Close()
	_, err = db.Migrate(t.Context(), schema...)
	must(t, err)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", path+suffix, info.Mode().Perm())
		}
	}
}

func source(name, sql string) fs.FS {
	return fstest.MapFS{"migrations/" + name: {Data: []byte("-- +goose Up\n" + sql)}}
}

func TestMigrate(t *testing.T) {
	sqldbtest.Each(t, nil, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		b := source("202602010000_b.sql", "create table b (id text not null primary key);")
		c := source("202603010000_c.sql", "create table c (id text not null primary key references b (id));")
		a := source("202601010000_a.sql", "create table a (id text not null primary key);")
		for _, step := range []struct {
			sources []fs.FS
			want    int
		}{
			{[]fs.FS{c, b}, 2}, // by number, not in the order given
			{[]fs.FS{c, b}, 0},
			{[]fs.FS{c, a, b}, 1}, // a package that joins later may carry an older date
			{[]fs.FS{a, b, c}, 0},
		} {
			n, err := db.Migrate(ctx, step.sources...)
			if err != nil || n != step.want {
				t.Fatalf("applied %d, %v; want %d", n, err, step.want)
			}
		}
		for _, table := range []string{"a", "b", "c"} {
			must(t, db.QueryRow(ctx, "select count(*) from "+table).Scan(new(int)))
		}
		// An older version of the program.
		_, err := db.Migrate(ctx, a, b)
		if err == nil || !strings.Contains(err.Error(), "made by a newer version") || !strings.Contains(err.Error(), "202603010000") {
			t.Errorf("database with an unknown migration: %v", err)
		}
		d := source("202604010000_d.sql", "create table d (id text);")
		if _, err := db.Migrate(ctx, a, b, d); err == nil {
			t.Error("migrated a database with an unknown migration")
		}
		if err := db.QueryRow(ctx, "select count(*) from d").Scan(new(int)); err == nil {
			t.Error("a refused database was changed")
		}
	})
}

func TestMigrateMistakes(t *testing.T) {
	sqldbtest.Each(t, nil, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		good := source("1_good.sql", "create table good (id text);")
		for name, c := range map[string]struct {
			sources []fs.FS
			want    string
		}{
			"no files":    {[]fs.FS{fstest.MapFS{}}, "no migrations"},
			"no number":   {[]fs.FS{source("20260101T1200_x.sql", "select 1;")}, "must begin with a number"},
			"same number": {[]fs.FS{source("7_x.sql", "select 1;"), source("7_y.sql", "select 1;")}, "the same number"},
			"wrong sql":   {[]fs.FS{good, source("2_bad.sql", "create table half (id text);\ncreate tabel oops (id text);")}, "2_bad.sql"},
		} {
			_, err := db.Migrate(ctx, c.sources...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want %q", name, err, c.want)
			}
		}
		if err := db.QueryRow(ctx, "select count(*) from half").Scan(new(int)); err == nil {
			t.Error("half of a migration stayed")
		}
	})
}

// TestMigrateTogether: nodes that start at the same time migrate once.
func TestMigrateTogether(t *testing.T) {
	address := sqldbtest.NewPostgres(t)
	if address == "" {
		return
	}
	var sources []fs.FS
	for i := range 10 {
		sources = append(sources, source(fmt.Sprintf("%d_t.sql", i+1), fmt.Sprintf("create table t%d (id text);", i)))
	}
	var mu sync.Mutex
	total := 0
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			db, err := sqldb.Open(t.Context(), sqldb.Config{URL: address})
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			n, err := db.Migrate(t.Context(), sources...)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			total += n
			mu.Unlock()
		})
	}
	wg.Wait()
	if total != len(sources) {
		t.Errorf("%d migrations were applied in all, want %d", total, len(sources))
	}
}

func TestMigrateCancelled(t *testing.T) {
	sqldbtest.Each(t, nil, func(t *testing.T, db *sqldb.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := db.Migrate(ctx, schema...); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	})
}
