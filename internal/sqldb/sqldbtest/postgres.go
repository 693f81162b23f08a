package sqldbtest

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/url"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Making a database takes PostgreSQL a third of a second, emptying one a few
// milliseconds. So databases with a schema are kept on the server and lent:
// signet_slot_<fingerprint>_<n>, each guarded by an advisory lock while a test
// has it. They are emptied when lent, not when given back, so that a test
// process that was killed leaves nothing behind that matters.

// unusedFor is how long a database of another schema may stay.
const unusedFor = 24 * time.Hour

// admins holds one connection pool per process to the server itself.
var admins struct {
	sync.Mutex
	db *sql.DB
}

func admin(t testing.TB) *sql.DB {
	t.Helper()
	admins.Lock()
	defer admins.Unlock()
	if admins.db == nil {
		db, err := sql.Open("pgx", server(t))
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxIdleConns(1)
		admins.db = db
	}
	return admins.db
}

// lend gives the test an empty database with the schema of sources, until it
// ends.
func lend(t testing.TB, sources []fs.FS) string {
	t.Helper()
	if len(sources) == 0 {
		return create(t)
	}
	ctx := context.Background()
	c, err := admin(t).Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	key := fingerprint(t, sources)
	for slot := 0; ; slot++ {
		name := fmt.Sprintf("signet_slot_%s_%d", key, slot)
		var locked bool
		if err := c.QueryRowContext(ctx, "select pg_try_advisory_lock($1)", lockOf(name)).Scan(&locked); err != nil {
			t.Fatal(err)
		}
		if !locked {
			continue // another test has it
		}
		t.Cleanup(func() {
			if _, err := c.ExecContext(ctx, "select pg_advisory_unlock($1)", lockOf(name)); err != nil {
				t.Errorf("give back %s: %v", name, err)
			}
		})
		prepare(t, c, name, sources)
		return within(t, name)
	}
}

// prepare makes the database name, or empties it.
func prepare(t testing.TB, c *sql.Conn, name string, sources []fs.FS) {
	t.Helper()
	if ready(t, c, name) && empty(t, within(t, name)) {
		return
	}
	sweep(t, c)
	for _, q := range []string{"drop database if exists " + name + " with (force)", "create database " + name} {
		if err := patiently(c, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	migrate(t, sqldb.Config{URL: within(t, name)}, sources)
	// The comment says that the schema is complete, what shape it has, and when
	// it was made.
	db, err := sql.Open("pgx", within(t, name))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := shape(db)
	if err != nil {
		t.Fatal(err)
	}
	run(t, c, fmt.Sprintf("comment on database %s is '%s %d'", name, s, time.Now().Unix()))
}

// ready says whether the database is there and complete.
func ready(t testing.TB, c *sql.Conn, name string) bool {
	t.Helper()
	var n int
	err := c.QueryRowContext(context.Background(), `
		select count(*) from pg_database d
		where datname = $1 and shobj_description(d.oid, 'pg_database') like 'signet %'`, name).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

// shape counts columns and applied migrations, to notice a test that changed
// the schema or forged the list.
func shape(db *sql.DB) (s string, err error) {
	err = db.QueryRow(`
		select 'signet ' || (select count(*) from schema_migration) || '.' || count(*)
		from pg_attribute a join pg_class c on c.oid = a.attrelid
		where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped`).Scan(&s)
	return s, err
}

// empty removes all rows but the list of migrations. It returns false when a
// test has changed the schema, so that the database must be made anew.
func empty(t testing.TB, address string) bool {
	t.Helper()
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := shape(db)
	if err != nil {
		return false // not even that table is left
	}
	var same bool
	err = db.QueryRow(`
		select shobj_description(oid, 'pg_database') like $1 from pg_database where datname = current_database()`,
		s+" %").Scan(&same)
	if err != nil {
		t.Fatal(err)
	}
	if !same {
		return false
	}
	if _, err := db.Exec(`
		select pg_terminate_backend(pid) from pg_stat_activity
		where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`
		do $$
		declare used text;
		begin
			select string_agg(format('%I', relname), ', ') into used from pg_class
			where relnamespace = 'public'::regnamespace and relkind = 'r'
				and relname <> 'schema_migration' and pg_relation_size(oid) > 0;
			if used is not null then
				execute 'truncate ' || used || ' cascade';
			end if;
		end $$`); err != nil {
		t.Fatal(err)
	}
	return true
}

// sweep drops databases whose schema nobody has made or asked for lately.
func sweep(t testing.TB, c *sql.Conn) {
	t.Helper()
	ctx := context.Background()
	rows, err := c.QueryContext(ctx, `
		select datname from pg_database d
		where datname like 'signet\_slot\_%'
			and split_part(coalesce(shobj_description(d.oid, 'pg_database'), ''), ' ', 3) < $1`,
		fmt.Sprint(time.Now().Add(-unusedFor).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var locked bool
		if err := c.QueryRowContext(ctx, "select pg_try_advisory_lock($1)", lockOf(name)).Scan(&locked); err != nil {
			t.Fatal(err)
		}
		if locked { // else somebody is making or using it
			run(t, c, "drop database if exists "+name)
			run(t, c, "select pg_advisory_unlock($1)", lockOf(name))
		}
	}
}

// create makes an empty database of the test's own and returns its address.
func create(t testing.TB) string {
	t.Helper()
	c, err := admin(t).Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	name := "signet_test_" + hex.EncodeToString(secret.Bytes(8))
	if err := patiently(c, "create database "+name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		defer c.Close()
		if err := patiently(c, "drop database "+name+" with (force)"); err != nil {
			t.Errorf("drop database %s: %v", name, err)
		}
	})
	return within(t, name)
}

// patiently tries again while another process copies the server's template.
func patiently(c *sql.Conn, query string) error {
	var err error
	for range 100 {
		if _, err = c.ExecContext(context.Background(), query); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

func run(t testing.TB, c *sql.Conn, query string, args ...any) {
	t.Helper()
	if _, err := c.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// lockOf is the advisory lock of a database.
func lockOf(name string) int64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return int64(h.Sum64())
}

// within is the server's address with another database name.
func within(t testing.TB, name string) string {
	t.Helper()
	u, err := url.Parse(server(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}
