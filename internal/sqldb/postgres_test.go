package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// postgres opens a migrated database, or returns nil when there is no server.
func postgres(t *testing.T, address string) *sqldb.DB {
	t.Helper()
	if address == "" {
		return nil
	}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: address})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	_, err = db.Migrate(t.Context(), schema...)
	must(t, err)
	return db
}

// TestRetry: what fails for a passing reason is run again, whatever the
// function makes of the error; what fails for good is not.
func TestRetry(t *testing.T) {
	db := postgres(t, sqldbtest.NewPostgres(t))
	if db == nil {
		return
	}
	raise := func(code string) string { return `do $$ begin raise sqlstate '` + code + `'; end $$` }
	for name, c := range map[string]struct {
		statement string
		failures  int // of the first runs
		runs      int
		kind      idp.Kind
	}{
		"serialization failure": {raise("40001"), 2, 3, ""},
		"deadlock":              {raise("40P01"), 2, 3, ""},
		"killed":                {`select pg_terminate_backend(pg_backend_pid())`, 2, 3, ""},
		"for ever":              {raise("40001"), 1000, 6, idp.Unavailable},
		"conflict":              {raise("23505"), 1000, 1, idp.Conflict},
		"disk full":             {raise("53100"), 1000, 1, idp.Unavailable},
		"read only":             {raise("25006"), 1000, 1, idp.Unavailable},
		"its own mistake":       {raise("22012"), 1000, 1, idp.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				runs++
				if err := put(ctx, tx, name); err != nil {
					return err
				}
				if runs <= c.failures {
					if _, err := tx.Exec(ctx, c.statement); err != nil {
						return err
					}
				}
				return nil
			})
			if runs != c.runs {
				t.Errorf("ran %d times, want %d", runs, c.runs)
			}
			if c.kind == "" && err != nil || c.kind != "" && (err == nil || idp.AsError(err).Kind != c.kind) {
				t.Errorf("error %v, want kind %q", err, c.kind)
			}
			err = db.QueryRow(t.Context(), `select id from thing where tenant_id = 't' and id = $1`, name).Scan(new(string))
			if stored := err == nil; stored != (c.kind == "") {
				t.Errorf("stored: %v (%v)", stored, err)
			}
		})
	}
	runs := 0
	mine := errors.New("mine")
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if runs++; runs == 1 {
			tx.Exec(ctx, raise("40001"))
			return mine
		}
		return nil
	})
	if err != nil || runs != 2 {
		t.Errorf("hidden serialization failure: %d runs, %v; want 2 and success", runs, err)
	}
}

// TestDeadlock makes two writers take two rows in opposite order.
func TestDeadlock(t *testing.T) {
	db := postgres(t, sqldbtest.NewPostgres(t))
	if db == nil {
		return
	}
	ctx := t.Context()
	must(t, write(ctx, db, "a"))
	must(t, write(ctx, db, "b"))
	var meet sync.WaitGroup
	meet.Add(2)
	var runs atomic.Int32
	grow := func(ctx context.Context, tx *sqldb.Tx, id string) error {
		_, err := tx.Exec(ctx, `update thing set size = size + 1 where tenant_id = 't' and id = $1`, id)
		return err
	}
	var wg sync.WaitGroup
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		wg.Go(func() {
			first := true
			err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				runs.Add(1)
				if err := grow(ctx, tx, order[0]); err != nil {
					return err
				}
				if first {
					first = false
					meet.Done()
					meet.Wait()
				}
				return grow(ctx, tx, order[1])
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if runs.Load() < 3 {
		t.Errorf("%d runs: there was no deadlock to resolve", runs.Load())
	}
	var sum int
	must(t, db.QueryRow(ctx, `select cast(sum(size) as bigint) from thing where tenant_id = 't'`).Scan(&sum))
	if sum != 6 {
		t.Errorf("sum %d, want 6: each writer grew both rows once", sum)
	}
}

// TestKilledBackends: after an administrator (or a restart) has ended all
// connections, the next calls succeed without anybody noticing.
func TestKilledBackends(t *testing.T) {
	address := sqldbtest.NewPostgres(t)
	db := postgres(t, address)
	if db == nil {
		return
	}
	admin := postgres(t, address)
	ctx := t.Context()
	for round := range 5 {
		// Fill the pool with connections that have just been used.
		var held []*sqldb.Rows
		for range 8 {
			rows, err := db.Query(ctx, `select 1`)
			must(t, err)
			held = append(held, rows)
		}
		for _, rows := range held {
			must(t, rows.Close())
		}
		must(t, admin.QueryRow(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`).Scan(new(int)))
		id := string(rune('a' + round))
		if round%2 == 0 {
			if err := db.QueryRow(ctx, `select 1`).Scan(new(int)); err != nil {
				t.Errorf("read after the kill: %v", err)
			}
		}
		if err := write(ctx, db, id); err != nil {
			t.Errorf("write after the kill: %v", err)
		}
	}
	want(t, db, "a", "b", "c", "d", "e")
}

// proxy passes connections on to the server, until told to cut or to hang.
type proxy struct {
	listener net.Listener
	target   string
	hang     atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

func startProxy(t *testing.T, address string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: l, target: u.Host}
	go p.accept(l)
	t.Cleanup(p.cut)
	u.Host = l.Addr().String()
	return p, u.String()
}

func (p *proxy) accept(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns = append(p.conns, in)
		p.mu.Unlock()
		go p.serve(in)
	}
}

func (p *proxy) serve(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		io.Copy(in, out)
		in.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := in.Read(buf)
		if err != nil {
			return
		}
		if p.hang.Load() {
			continue // swallowed: the server never answers
		}
		if _, err := out.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut stops listening and breaks all connections.
func (p *proxy) cut() {
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// restore listens at the same address again.
func (p *proxy) restore(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", p.listener.Addr().String())
	must(t, err)
	p.listener = l
	go p.accept(l)
}

// TestServerDown: while the server is away every call is answered with
// Unavailable, soon; when it is back, all works.
func TestServerDown(t *testing.T) {
	t.Parallel()
	address := sqldbtest.NewPostgres(t)
	if address == "" {
		return
	}
	p, address := startProxy(t, address)
	db := postgres(t, address)
	ctx := t.Context()
	calls := map[string]func() error{
		"write": func() error { return write(ctx, db, "lost") },
		"exec":  func() error { _, err := db.Exec(ctx, `delete from thing where id = 'lost'`); return err },
		"read":  func() error { return db.QueryRow(ctx, `select 1`).Scan(new(int)) },
		"ping":  func() error { return db.Ping(ctx) },
	}
	must(t, write(ctx, db, "before"))
	p.cut()
	for name, call := range calls {
		start := time.Now()
		if err := call(); !errors.Is(err, idp.Unavailable) {
			t.Errorf("%s while the server is away: %v, want Unavailable", name, err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s took %v to say so", name, took)
		}
	}
	p.restore(t)
	must(t, write(ctx, db, "now"))
	want(t, db, "before", "now")

	p.hang.Store(true)
	start := time.Now()
	if err := db.Ping(ctx); !errors.Is(err, idp.Unavailable) {
		t.Errorf("ping of a hung server: %v, want Unavailable", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("ping of a hung server took %v", took)
	}
	p.cut()
	p.hang.Store(false)
	p.restore(t)
	must(t, write(ctx, db, "then"))
}

func TestPostgresStartErrors(t *testing.T) {
	address := sqldbtest.NewPostgres(t)
	if address == "" {
		return
	}
	const password = "canary-Zq7"
	with := func(change func(*url.URL)) string {
		u, err := url.Parse(address)
		must(t, err)
		u.User = url.UserPassword(u.User.Username(), password)
		change(u)
		return u.String()
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	gone.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer silent.Close()

	for name, c := range map[string]struct {
		address string
		want    []string
	}{
		"nobody there": {with(func(u *url.URL) { u.Host = gone.Addr().String() }), []string{gone.Addr().String(), "cannot be reached", "start it"}},
		"by name":      {with(func(u *url.URL) { _, port, _ := net.SplitHostPort(gone.Addr().String()); u.Host = "localhost:" + port }), []string{"localhost:", "cannot be reached"}},
		"no answer":    {with(func(u *url.URL) { u.Host = silent.Addr().String() }), []string{"cannot be reached"}},
		"no database":  {with(func(u *url.URL) { u.Path = "/signet_no_such" }), []string{`no database "signet_no_such"`, "create it"}},
		"no user":      {with(func(u *url.URL) { u.User = url.UserPassword("signet_nobody", password) }), []string{`refused the user "signet_nobody"`}},
		"standby": {with(func(u *url.URL) {
			q := u.Query()
			q.Set("default_transaction_read_only", "on")
			u.RawQuery = q.Encode()
		}), []string{"takes no writes", "primary"}},
		"other scheme": {with(func(u *url.URL) { u.Scheme = "mysql" }), []string{"not a postgres:// URL"}},
		"wrong option": {with(func(u *url.URL) { q := u.Query(); q.Set("sslmode", "perhaps"); u.RawQuery = q.Encode() }), []string{"cannot be used"}},
		"pool size":    {with(func(u *url.URL) { q := u.Query(); q.Set("pool_max_conns", "1"); u.RawQuery = q.Encode() }), []string{"pool_max_conns=1", "correct it"}},
		"not a url":    {"postgres://user:" + password + "@%zz/", []string{"not a postgres:// URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := sqldb.Open(t.Context(), sqldb.Config{URL: c.address})
			if err == nil {
				db.Close()
				t.Fatal("opened")
			}
			t.Log(err)
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
			if strings.Contains(err.Error(), password) {
				t.Errorf("error tells the password: %q", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %q", err)
			}
		})
	}
}

func TestPoolSize(t *testing.T) {
	t.Parallel()
	address := sqldbtest.NewPostgres(t)
	if address == "" {
		return
	}
	u, err := url.Parse(address)
	must(t, err)
	q := u.Query()
	q.Set("pool_max_conns", "2")
	u.RawQuery = q.Encode()
	db := postgres(t, u.String())
	for range 2 {
		rows, err := db.Query(t.Context(), `select 1`)
		must(t, err)
		defer rows.Close()
	}
	if _, err := db.Query(t.Context(), `select 1`); !errors.Is(err, idp.Unavailable) {
		t.Errorf("a third connection of two: %v, want Unavailable", err)
	}
}

// TestReadsInsideWrites: transactions that also read past themselves do not
// starve one another of connections.
func TestReadsInsideWrites(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		var wg sync.WaitGroup
		for i := range 128 {
			wg.Go(func() {
				err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
					if err := put(ctx, tx, fmt.Sprint(i)); err != nil {
						return err
					}
					return db.QueryRow(ctx, `select 1`).Scan(new(int))
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}
