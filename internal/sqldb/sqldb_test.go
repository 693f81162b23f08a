package sqldb_test

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var schema = []fs.FS{fstest.MapFS{
	"migrations/202601010000_things.sql": {Data: []byte(`-- +goose Up
create table tenant (id text not null primary key);
create table thing (
	tenant_id text not null,
	id text not null,
	raw bytea not null,
	big boolean not null,
	size bigint not null,
	primary key (tenant_id, id)
);
create table part (
	id text not null primary key,
	tenant_id text not null references tenant (id)
);
`)},
}}

func TestRoundTrip(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		for _, c := range []struct {
			id   idp.UserID
			raw  []byte
			big  bool
			size int64
		}{
			{"plain", []byte("raw"), true, 42},
			{"zero", nil, false, 0},
			{"odd ✓ 'quoted' \\ ", []byte{0, 1, 255, '\'', '\\'}, true, -1 << 63},
			{"limit", []byte{}, false, 1<<63 - 1},
		} {
			n, err := db.Exec(ctx, `insert into thing (tenant_id, id, raw, big, size) values ($5, $1, $2, $3, $4)`,
				c.id, c.raw, c.big, c.size, idp.TenantID("t"))
			if err != nil || n != 1 {
				t.Fatalf("insert %q: %d, %v", c.id, n, err)
			}
			var id idp.UserID
			var raw []byte
			var big bool
			var size int64
			err = db.QueryRow(ctx, `select id, raw, big, size from thing where id = $2 and tenant_id = $1 and big = $3`,
				idp.TenantID("t"), c.id, c.big).Scan(&id, &raw, &big, &size)
			if err != nil {
				t.Fatalf("select %q: %v", c.id, err)
			}
			if id != c.id || string(raw) != string(c.raw) || big != c.big || size != c.size {
				t.Errorf("got %q %x %v %d, want %q %x %v %d", id, raw, big, size, c.id, c.raw, c.big, c.size)
			}
		}
	})
}

func put(ctx context.Context, tx *sqldb.Tx, id string) error {
	_, err := tx.Exec(ctx, `insert into thing (tenant_id, id, raw, big, size) values ('t', $1, '', true, 1)`, id)
	return err
}

func has(t *testing.T, db *sqldb.DB, id string) bool {
	t.Helper()
	var got string
	err := db.QueryRow(t.Context(), `select id from thing where tenant_id = 't' and id = $1`, id).Scan(&got)
	if err != nil && !errors.Is(err, idp.NotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestParallelWriters(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		if err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return put(ctx, tx, "counter") }); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range 20 {
					err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
						var size int64
						return tx.QueryRow(ctx, `update thing set size = size + 1 where tenant_id = 't' and id = 'counter' returning size`).Scan(&size)
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		var size int64
		if err := db.QueryRow(ctx, `select size from thing where tenant_id = 't' and id = 'counter'`).Scan(&size); err != nil || size != 1+64*20 {
			t.Errorf("counter is %d (%v), want %d", size, err, 1+64*20)
		}
	})
}
