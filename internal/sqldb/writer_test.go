package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// together makes all fns one batch: it holds the writer until they have queued.
// It returns the error of each.
func together(t *testing.T, db *sqldb.DB, fns ...func(context.Context, *sqldb.Tx) error) []error {
	t.Helper()
	started, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := db.Write(context.Background(), func(context.Context, *sqldb.Tx) error {
			close(started)
			<-release
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-started
	errs := make([]error, len(fns))
	for i, fn := range fns {
		wg.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					errs[i] = fmt.Errorf("panic: %v", r)
				}
			}()
			errs[i] = errors.New("its goroutine ended")
			errs[i] = db.Write(context.Background(), fn)
		})
		for sqldb.Queued(db) <= i {
			runtime.Gosched()
		}
	}
	close(release)
	wg.Wait()
	return errs
}

func putting(id string) func(context.Context, *sqldb.Tx) error {
	return func(ctx context.Context, tx *sqldb.Tx) error { return put(ctx, tx, id) }
}

// TestBatchIsolation: what goes wrong for one caller of a shared commit does
// not touch the others.
func TestBatchIsolation(t *testing.T) {
	mine := errors.New("mine")
	for name, c := range map[string]struct {
		bad  func(context.Context, *sqldb.Tx) error
		want string
	}{
		"error": {func(ctx context.Context, tx *sqldb.Tx) error {
			put(ctx, tx, "bad")
			return mine
		}, "mine"},
		"conflict": {func(ctx context.Context, tx *sqldb.Tx) error {
			put(ctx, tx, "bad")
			return put(ctx, tx, "bad")
		}, "row_exists"},
		"wrong sql": {func(ctx context.Context, tx *sqldb.Tx) error {
			put(ctx, tx, "bad")
			_, err := tx.Exec(ctx, "no such statement")
			return err
		}, "syntax error"},
		"panic": {func(ctx context.Context, tx *sqldb.Tx) error {
			put(ctx, tx, "bad")
			panic("boom")
		}, "panic: boom"},
		"panic with open rows": {func(ctx context.Context, tx *sqldb.Tx) error {
			put(ctx, tx, "bad")
			if _, err := tx.Query(ctx, "select id from thing"); err != nil {
				return err
			}
			panic("boom")
		}, "panic: boom"},
		"open rows": {func(ctx context.Context, tx *sqldb.Tx) error {
			put(ctx, tx, "bad")
			_, err := tx.Query(ctx, "select id from thing")
			return err
		}, "left open"},
		"abandoned nested": {func(ctx context.Context, tx *sqldb.Tx) error {
			return tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				put(ctx, tx, "bad")
				panic("boom")
			})
		}, "panic: boom"},
	} {
		t.Run(name, func(t *testing.T) {
			db := sqldbtest.Open(t, schema)
			errs := together(t, db, putting("a"), c.bad, putting("b"))
			if errs[0] != nil || errs[2] != nil {
				t.Errorf("the others got %v and %v", errs[0], errs[2])
			}
			if errs[1] == nil || !strings.Contains(errs[1].Error(), c.want) {
				t.Errorf("the bad one got %v, want %q", errs[1], c.want)
			}
			want(t, db, "a", "b")
		})
	}
}

// TestEndedGoroutine: a function that ends its goroutine, as t.Fatal does,
// takes the batch along but not the writer.
func TestEndedGoroutine(t *testing.T) {
	db := sqldbtest.Open(t, schema)
	errs := together(t, db, putting("a"), func(ctx context.Context, tx *sqldb.Tx) error {
		runtime.Goexit()
		return nil
	}, putting("b"))
	if errs[1] == nil || errs[1].Error() != "its goroutine ended" {
		t.Errorf("the one who ended got %v", errs[1])
	}
	for _, i := range []int{0, 2} {
		if !errors.Is(errs[i], idp.Unavailable) {
			t.Errorf("caller %d got %v, want Unavailable", i, errs[i])
		}
	}
	want(t, db)
	must(t, write(t.Context(), db, "c"))
	want(t, db, "c")
}

// TestWithdrawn: a caller who goes away while waiting is never run.
func TestWithdrawn(t *testing.T) {
	db := sqldbtest.Open(t, schema)
	started, release := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error {
			close(started)
			<-release
			return put(ctx, tx, "a")
		})
	}()
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() { second <- write(ctx, db, "b") }()
	for sqldb.Queued(db) == 0 {
		runtime.Gosched()
	}
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who went away got %v", err)
	}
	close(release)
	must(t, <-first)
	want(t, db, "a")
}

// TestFullDisk: nobody is told that something was stored which was not, and
// the writer works again once there is room.
func TestFullDisk(t *testing.T) {
	db := sqldbtest.Open(t, schema)
	must(t, write(t.Context(), db, "before"))
	sqldb.RawWriter(t, db, "pragma max_page_count = 1") // SQLite takes the present size

	large := func(id string) func(context.Context, *sqldb.Tx) error {
		return func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, `insert into thing (tenant_id, id, raw, big, size) values ('t', $1, $2, true, 1)`, id, make([]byte, 1<<20))
			return err
		}
	}
	if err := db.Write(t.Context(), large("alone")); !errors.Is(err, idp.Unavailable) || idp.AsError(err).Reason != "disk_full" {
		t.Errorf("alone: %v, want Unavailable disk_full", err)
	}
	errs := together(t, db, putting("small"), large("large"), putting("after"))
	if !errors.Is(errs[1], idp.Unavailable) {
		t.Errorf("in a batch: %v, want Unavailable", errs[1])
	}
	stored := []string{"before"}
	for i, id := range map[int]string{0: "small", 2: "after"} {
		switch err := errs[i]; {
		case err == nil:
			stored = append(stored, id)
		case !errors.Is(err, idp.Unavailable):
			t.Errorf("%s: %v, want nil or Unavailable", id, err)
		}
	}
	sqldb.RawWriter(t, db, "pragma max_page_count = 1000000")
	must(t, write(t.Context(), db, "zz"))
	for _, id := range append(stored, "zz") {
		if err := db.QueryRow(t.Context(), `select id from thing where tenant_id = 't' and id = $1`, id).Scan(&id); err != nil {
			t.Errorf("%s was acknowledged and is gone: %v", id, err)
		}
	}
}

// TestFailedCommit: when the commit itself fails, all who shared it hear so.
func TestFailedCommit(t *testing.T) {
	db := sqldbtest.Open(t, schema)
	_, err := db.Exec(t.Context(), `create table late (id text references tenant (id) deferrable initially deferred)`)
	must(t, err)
	late := func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `insert into late (id) values ('nobody')`)
		return err
	}
	for i, err := range together(t, db, putting("a"), late, putting("b")) {
		if !errors.Is(err, idp.Unavailable) {
			t.Errorf("caller %d got %v, want Unavailable", i, err)
		}
	}
	if err := db.Write(t.Context(), late); !errors.Is(err, idp.Unavailable) {
		t.Errorf("alone: %v, want Unavailable", err)
	}
	must(t, write(t.Context(), db, "c"))
	want(t, db, "c")
}

// TestCloseFinishes: what was accepted before Close is stored.
func TestCloseFinishes(t *testing.T) {
	dir := t.TempDir()
	db, err := sqldb.Open(t.Context(), sqldb.Config{Path: dir + "/x.db"})
	must(t, err)
	_, err = db.Migrate(t.Context(), schema...)
	must(t, err)
	var mu sync.Mutex
	stored := 0
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := write(context.Background(), db, fmt.Sprint(i))
			if err != nil && !errors.Is(err, idp.Unavailable) {
				t.Error(err)
			}
			if err == nil {
				mu.Lock()
				stored++
				mu.Unlock()
			}
		})
	}
	must(t, db.Close())
	wg.Wait()
	db, err = sqldb.Open(t.Context(), sqldb.Config{Path: dir + "/x.db"})
	must(t, err)
	defer db.Close()
	var n int
	must(t, db.QueryRow(t.Context(), `select count(*) from thing`).Scan(&n))
	if n != stored {
		t.Errorf("%d rows, %d were acknowledged", n, stored)
	}
}

// TestSelfInflictedWait: a function that waits for another write would wait
// for ever; the other one is told so and the writer goes on.
func TestSelfInflictedWait(t *testing.T) {
	t.Parallel()
	db := sqldbtest.Open(t, schema)
	outer := t.Context()
	must(t, db.Write(outer, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := write(outer, db, "a"); !errors.Is(err, idp.Unavailable) {
			t.Errorf("a write inside a write: %v, want Unavailable", err)
		}
		return put(ctx, tx, "b")
	}))
	want(t, db, "b")
}
