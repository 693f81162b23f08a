package sqldb_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

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

// put inserts a thing.
func put(ctx context.Context, tx *sqldb.Tx, id string) error {
	_, err := tx.Exec(ctx, `insert into thing (tenant_id, id, raw, big, size) values ('t', $1, $2, true, 1)`, id, []byte(nil))
	return err
}

// write puts one thing in a transaction.
func write(ctx context.Context, db *sqldb.DB, id string) error {
	return db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return put(ctx, tx, id) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want fails the test unless exactly the things ids are there.
func want(t *testing.T, db *sqldb.DB, ids ...string) {
	t.Helper()
	rows, err := db.Query(context.Background(), `select id from thing where tenant_id = 't' order by id`)
	must(t, err)
	defer rows.Close()
	var got []string
	for rows.Next() {
		var id string
		must(t, rows.Scan(&id))
		got = append(got, id)
	}
	must(t, rows.Err())
	if g, w := strings.Join(got, " "), strings.Join(ids, " "); g != w {
		t.Errorf("things: %q, want %q", g, w)
	}
}

type colour string
type blob []byte

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
			{"nil bytes", nil, false, 0},
			{"", []byte{}, false, 1<<63 - 1},
			{"odd ✓ 'quoted' \\ \n", []byte{0, 1, 255, '\'', '\\'}, true, -1 << 63},
		} {
			// Placeholders out of order, as PostgreSQL counts them.
			n, err := db.Exec(ctx, `insert into thing (tenant_id, id, raw, big, size) values ($5, $1, $2, $3, $4)`,
				c.id, c.raw, c.big, c.size, idp.TenantID("t"))
			if err != nil || n != 1 {
				t.Fatalf("insert %q: %d, %v", c.id, n, err)
			}
			var id idp.UserID
			var raw blob
			var big bool
			var size int64
			err = db.QueryRow(ctx, `select id, raw, big, size from thing where id = $2 and tenant_id = $1 and big = $3 and raw = $4`,
				idp.TenantID("t"), c.id, c.big, blob(c.raw)).Scan(&id, &raw, &big, &size)
			if err != nil {
				t.Fatalf("select %q: %v", c.id, err)
			}
			if id != c.id || string(raw) != string(c.raw) || big != c.big || size != c.size {
				t.Errorf("got %q %x %v %d, want %q %x %v %d", id, raw, big, size, c.id, c.raw, c.big, c.size)
			}
		}
		var count int
		must(t, db.QueryRow(ctx, `select count(*) from thing where tenant_id = $1 and size >= $2`, colour("t"), uint8(0)).Scan(&count))
		if count != 3 {
			t.Errorf("count %d, want 3", count)
		}
		n, err := db.Exec(ctx, `update thing set size = $1 where tenant_id = 't'`, time.Duration(5))
		if err != nil || n != 4 {
			t.Errorf("update changed %d rows (%v), want 4", n, err)
		}
	})
}

func TestArgumentTypes(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		for name, arg := range map[string]any{
			"nil": nil, "time": time.Now(), "float": 1.5, "strings": []string{"a"}, "pointer": new(string), "uint64": uint64(1),
		} {
			_, err := db.Exec(t.Context(), `update thing set id = $1 where id = 'x'`, arg)
			if err == nil || !strings.Contains(err.Error(), "argument $1 is a") {
				t.Errorf("%s: error %v, want one that names the argument", name, err)
			}
			if _, err := db.Query(t.Context(), `select id from thing where id = $1`, arg); err == nil {
				t.Errorf("%s: bound in a query", name)
			}
		}
	})
}

func TestNotFound(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		id := "untouched"
		err := db.QueryRow(ctx, `select id from thing where tenant_id = 't'`).Scan(&id)
		if !errors.Is(err, idp.NotFound) || id != "untouched" {
			t.Errorf("Scan of no row: %v, id %q; want NotFound and id as it was", err, id)
		}
		// It spoils no transaction.
		must(t, db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			err := tx.QueryRow(ctx, `update thing set size = 2 where tenant_id = 't' returning id`).Scan(&id)
			if !errors.Is(err, idp.NotFound) {
				t.Errorf("update of no row: %v, want NotFound", err)
			}
			return put(ctx, tx, "a")
		}))
		want(t, db, "a")
	})
}

func TestConflict(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		must(t, write(ctx, db, "a"))
		for name, c := range map[string]struct {
			query  string
			reason string
		}{
			"primary key": {`insert into thing (tenant_id, id, raw, big, size) values ('t', 'a', '', true, 1)`, "row_exists"},
			"parent":      {`insert into part (id, tenant_id) values ('p', 'nobody')`, "row_referenced"},
		} {
			_, err := db.Exec(ctx, c.query)
			if !errors.Is(err, idp.Conflict) || idp.AsError(err).Reason != c.reason {
				t.Errorf("%s: %v, want Conflict %s", name, err, c.reason)
			}
		}
		err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			var id string
			return tx.QueryRow(ctx, `insert into thing (tenant_id, id, raw, big, size) values ('t', 'a', '', true, 1) returning id`).Scan(&id)
		})
		if !errors.Is(err, idp.Conflict) {
			t.Errorf("insert returning: %v, want Conflict", err)
		}
		if _, err := db.Exec(ctx, `insert into no_such_table (id) values (1)`); err == nil || idp.AsError(err).Kind != idp.Internal {
			t.Errorf("wrong SQL: %v, want Internal", err)
		}
	})
}

func TestWriteUndone(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		mine := errors.New("mine")
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			tx.OnCommit(func() { t.Error("OnCommit was called without a commit") })
			if err := put(ctx, tx, "a"); err != nil {
				return err
			}
			return mine
		})
		if err != mine {
			t.Errorf("Write returned %v, want the function's own error", err)
		}
		want(t, db)
	})
}

func TestOnCommit(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		seen := false
		must(t, db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			tx.OnCommit(func() {
				seen = true
				want(t, db, "a")
			})
			return put(ctx, tx, "a")
		}))
		if !seen {
			t.Error("OnCommit was not called before Write returned")
		}
	})
}

// TestSpoiled: after a failed statement a transaction cannot be committed, on
// either database, unless the statement was nested.
func TestSpoiled(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		must(t, write(ctx, db, "a"))
		err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			if err := put(ctx, tx, "b"); err != nil {
				return err
			}
			if err := put(ctx, tx, "a"); !errors.Is(err, idp.Conflict) {
				t.Errorf("second a: %v, want Conflict", err)
			}
			if err := put(ctx, tx, "c"); !errors.Is(err, idp.Conflict) {
				t.Errorf("statement after a failed one: %v, want the first error", err)
			}
			return nil // swallowed
		})
		if !errors.Is(err, idp.Conflict) {
			t.Errorf("Write: %v, want the swallowed Conflict", err)
		}
		want(t, db, "a")
	})
}

func TestNested(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		var hooks []string
		hook := func(tx *sqldb.Tx, name string) { tx.OnCommit(func() { hooks = append(hooks, name) }) }
		mine := errors.New("mine")
		must(t, db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			if err := put(ctx, tx, "a"); err != nil {
				return err
			}
			hook(tx, "a")
			err := tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				hook(tx, "b")
				if err := put(ctx, tx, "b"); err != nil {
					return err
				}
				return put(ctx, tx, "a")
			})
			if !errors.Is(err, idp.Conflict) {
				t.Errorf("nested conflict: %v", err)
			}
			err = tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				hook(tx, "c")
				inner := tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
					if err := put(ctx, tx, "d"); err != nil {
						return err
					}
					return mine
				})
				if inner != mine {
					t.Errorf("inner: %v, want its own error", inner)
				}
				return put(ctx, tx, "c")
			})
			if err != nil {
				return err
			}
			return put(ctx, tx, "e")
		}))
		want(t, db, "a", "c", "e")
		if got := strings.Join(hooks, " "); got != "a c" {
			t.Errorf("hooks %q, want those of what was kept: a c", got)
		}
	})
}

func TestOpenRows(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		must(t, write(ctx, db, "a"))
		err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			rows, err := tx.Query(ctx, `select id from thing where tenant_id = 't'`)
			if err != nil {
				return err
			}
			defer rows.Close()
			return put(ctx, tx, "b")
		})
		if err == nil || !strings.Contains(err.Error(), "still open") {
			t.Errorf("a statement while rows are open: %v", err)
		}
		err = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Query(ctx, `select id from thing where tenant_id = 't'`)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "left open") {
			t.Errorf("rows left open: %v", err)
		}
		must(t, write(ctx, db, "c"))
		want(t, db, "a", "c")
	})
}

func TestReadYourWrites(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		must(t, db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := put(ctx, tx, "a"); err != nil {
				return err
			}
			var id string
			if err := tx.QueryRow(ctx, `select id from thing where tenant_id = 't'`).Scan(&id); err != nil {
				return err
			}
			want(t, db) // others do not see it yet
			return nil
		}))
		want(t, db, "a")
	})
}

func TestSnapshot(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		must(t, write(ctx, db, "a"))
		count := func(ctx context.Context, q sqldb.Querier) (n int) {
			must(t, q.QueryRow(ctx, `select count(*) from thing where tenant_id = 't'`).Scan(&n))
			return n
		}
		must(t, db.Snapshot(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			before := count(ctx, tx)
			must(t, write(ctx, db, "b"))
			if after := count(ctx, tx); before != 1 || after != 1 {
				t.Errorf("a snapshot saw %d rows, then %d; want 1 and 1", before, after)
			}
			return nil
		}))
		if n := count(ctx, db); n != 2 {
			t.Errorf("%d rows after the snapshot, want 2", n)
		}
		if err := db.Snapshot(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return put(ctx, tx, "c") }); err == nil {
			t.Error("a snapshot wrote")
		}
		want(t, db, "a", "b")
	})
}

// TestForShare: a row that was read so stays as it is until the commit, and
// others may read it so at the same time.
func TestForShare(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		must(t, write(ctx, db, "a"))
		read := func(ctx context.Context, tx *sqldb.Tx) (size int) {
			must(t, tx.QueryRow(ctx, `select size from thing where tenant_id = 't' and id = 'a'`+tx.ForShare()).Scan(&size))
			return size
		}
		changed := make(chan error, 1)
		must(t, db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			before := read(ctx, tx)
			if db.Dialect() == sqldb.Postgres {
				must(t, db.Write(context.WithoutCancel(t.Context()), func(ctx context.Context, tx *sqldb.Tx) error { read(ctx, tx); return nil }))
			}
			go func() {
				_, err := db.Exec(t.Context(), `update thing set size = 2 where tenant_id = 't' and id = 'a'`)
				changed <- err
			}()
			select {
			case err := <-changed:
				t.Errorf("the row was changed: %v", err)
				changed <- err
			case <-time.After(50 * time.Millisecond):
			}
			if after := read(ctx, tx); before != 1 || after != 1 {
				t.Errorf("read %d, then %d, want 1 and 1", before, after)
			}
			return nil
		}))
		must(t, <-changed)
		must(t, db.Snapshot(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			if got := read(ctx, tx); got != 2 {
				t.Errorf("a snapshot read %d, want 2", got)
			}
			return nil
		}))
	})
}

func TestWriteInsideWrite(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		for name, inner := range map[string]func(context.Context) error{
			"write": func(ctx context.Context) error { return write(ctx, db, "a") },
			"exec":  func(ctx context.Context) error { _, err := db.Exec(ctx, `delete from thing`); return err },
		} {
			func() {
				defer func() {
					if r := recover(); r == nil || !strings.Contains(panicText(r), "a write inside a Write") {
						t.Errorf("%s: recovered %v", name, r)
					}
				}()
				db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
					must(t, put(ctx, tx, "a"))
					return inner(ctx)
				})
			}()
		}
		must(t, write(t.Context(), db, "b"))
		want(t, db, "b")
	})
}

func TestPanic(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(panicText(r), "boom") {
					t.Errorf("recovered %v, want the function's panic", r)
				}
			}()
			db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				must(t, put(ctx, tx, "a"))
				panic("boom")
			})
		}()
		must(t, write(t.Context(), db, "b"))
		want(t, db, "b")
	})
}

func panicText(r any) string {
	if err, ok := r.(error); ok {
		return err.Error()
	}
	s, _ := r.(string)
	return s
}

func TestCancelled(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			if err := put(ctx, tx, "a"); err != nil {
				return err
			}
			cancel()
			return put(ctx, tx, "b")
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Write: %v, want context.Canceled", err)
		}
		ran := false
		err = db.Write(ctx, func(context.Context, *sqldb.Tx) error { ran = true; return nil })
		if !errors.Is(err, context.Canceled) || ran {
			t.Errorf("Write with an ended context: %v, ran: %v", err, ran)
		}
		if _, err := db.Query(ctx, `select 1`); !errors.Is(err, context.Canceled) {
			t.Errorf("Query with an ended context: %v", err)
		}
		if _, err := db.Exec(ctx, `delete from thing`); !errors.Is(err, context.Canceled) {
			t.Errorf("Exec with an ended context: %v", err)
		}
		want(t, db)
	})
}

func TestClosed(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		must(t, db.Close())
		for name, err := range map[string]error{
			"write": write(ctx, db, "a"),
			"read":  db.QueryRow(ctx, `select 1`).Scan(new(int)),
			"ping":  db.Ping(ctx),
		} {
			if !errors.Is(err, idp.Unavailable) {
				t.Errorf("%s: %v, want Unavailable", name, err)
			}
		}
		must(t, db.Close())
	})
}

func TestParallelWriters(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		must(t, write(ctx, db, "counter"))
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
		must(t, db.QueryRow(ctx, `select size from thing where tenant_id = 't' and id = 'counter'`).Scan(&size))
		if size != 1+64*20 {
			t.Errorf("counter is %d, want %d", size, 1+64*20)
		}
	})
}

// TestOneWinner: of many who use something up, one does.
func TestOneWinner(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		var mu sync.Mutex
		won, lost := 0, 0
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				err := write(t.Context(), db, "spent")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case errors.Is(err, idp.Conflict):
					lost++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won != 1 || lost != 63 {
			t.Errorf("%d won, %d lost; want 1 and 63", won, lost)
		}
	})
}

// TestHoggedReaders: when all connections are lent, a read is refused in time.
func TestHoggedReaders(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		var held []*sqldb.Rows
		var err error
		for len(held) < 100 {
			var rows *sqldb.Rows
			if rows, err = db.Query(ctx, `select 1`); err != nil {
				break
			}
			held = append(held, rows)
		}
		if !errors.Is(err, idp.Unavailable) {
			t.Errorf("with %d connections lent: %v, want Unavailable", len(held), err)
		}
		for _, rows := range held {
			rows.Close()
		}
		must(t, db.Ping(ctx))
	})
}

func TestNotices(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		notify := func(payload string) {
			must(t, db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				return db.Notify(ctx, tx, "channel", payload)
			}))
		}
		if db.Dialect() == sqldb.SQLite {
			notify("nobody")
			must(t, db.Listen(ctx, "channel", func(string) { t.Error("a notice on SQLite") }))
			return
		}
		got := make(chan string, 100)
		done := make(chan error, 1)
		listen, stop := context.WithCancel(ctx)
		go func() { done <- db.Listen(listen, "channel", func(p string) { got <- p }) }()
		// Notices from before the listener is there are lost, so it is told
		// again until it hears.
		for heard := false; !heard; {
			notify("hello ✓")
			select {
			case p := <-got:
				heard = true
				if p != "hello ✓" {
					t.Errorf("payload %q", p)
				}
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				t.Fatal("no notice")
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("Listen: %v", err)
		}
	})
}
