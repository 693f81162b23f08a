package sqldbtest_test

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestEach: every test starts from the schema alone, whatever others wrote.
func TestEach(t *testing.T) {
	sources := []fs.FS{fstest.MapFS{"migrations/1_x.sql": {Data: []byte("-- +goose Up\ncreate table x (id text not null primary key);")}}}
	for range 2 {
		sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
			if n, err := db.Migrate(t.Context(), sources...); err != nil || n != 0 {
				t.Errorf("Migrate again: %d, %v; want nothing to do", n, err)
			}
			if _, err := db.Exec(t.Context(), `insert into x (id) values ('same')`); err != nil {
				t.Errorf("the database is not the test's own: %v", err)
			}
		})
	}
}

// TestVandals: what a test does to the schema or to the list of migrations is
// not handed on.
func TestVandals(t *testing.T) {
	sources := []fs.FS{fstest.MapFS{"migrations/1_v.sql": {Data: []byte("-- +goose Up\ncreate table v (id text not null primary key);")}}}
	for _, vandalism := range []string{
		`create table extra (id text)`,
		`alter table v add column extra text`,
		`insert into schema_migration (version_id, is_applied) values (99, true)`,
		`drop table schema_migration`,
		`drop table v`,
	} {
		sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
			if _, err := db.Exec(t.Context(), vandalism); err != nil {
				t.Fatalf("%s: the one before left its traces: %v", vandalism, err)
			}
		})
	}
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		if _, err := db.Exec(t.Context(), `insert into v (id) values ('x')`); err != nil {
			t.Error(err)
		}
	})
}

func TestNewPostgres(t *testing.T) {
	address := sqldbtest.NewPostgres(t)
	if address == "" {
		return
	}
	if other := sqldbtest.NewPostgres(t); other == address {
		t.Error("two tests share a database")
	}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	err = db.QueryRow(t.Context(), `select count(*) from information_schema.tables where table_schema = 'public'`).Scan(&n)
	if err != nil || n != 0 {
		t.Errorf("%d tables, %v; want an empty database", n, err)
	}
}
