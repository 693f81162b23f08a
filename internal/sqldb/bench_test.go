//go:build unix

package sqldb_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// onBoth runs a benchmark on SQLite and, when there is one, on PostgreSQL.
func onBoth(b *testing.B, fn func(b *testing.B, db *sqldb.DB)) {
	b.Run("sqlite", func(b *testing.B) { fn(b, sqldbtest.Open(b, schema)) })
	if os.Getenv("SIGNET_TEST_POSTGRES") == "" {
		return
	}
	b.Run("postgres", func(b *testing.B) {
		db, err := sqldb.Open(b.Context(), sqldb.Config{URL: sqldbtest.NewPostgres(b)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		if _, err := db.Migrate(b.Context(), schema...); err != nil {
			b.Fatal(err)
		}
		fn(b, db)
	})
}

// BenchmarkWrite is a durable transaction of two statements, as a sign-in has
// them: by one caller, and by many at once, who share commits on SQLite.
func BenchmarkWrite(b *testing.B) {
	for _, callers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			onBoth(b, func(b *testing.B, db *sqldb.DB) {
				raw := secret.Bytes(32)
				var n atomic.Int64
				ctx := b.Context()
				write := func() {
					id := fmt.Sprintf("%020d", n.Add(1))
					err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
						if _, err := tx.Exec(ctx, `insert into tenant (id) values ($1)`, id); err != nil {
							return err
						}
						_, err := tx.Exec(ctx, `insert into thing (tenant_id, id, raw, big, size) values ($1, $2, $3, $4, $5)`,
							"tenant", id, raw, true, int64(7))
						return err
					})
					if err != nil {
						b.Error(err)
					}
				}
				inParallel(b, callers, write)
			})
		})
	}
}

// BenchmarkSignIn has the statements of a sign-in: reads by key, then a
// transaction that burns, checks and appends.
func BenchmarkSignIn(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			onBoth(b, func(b *testing.B, db *sqldb.DB) {
				ctx := b.Context()
				fill(b, db, 1000)
				var n atomic.Int64
				inParallel(b, callers, func() {
					i := n.Add(1)
					if err := signIn(ctx, db, idp.UserID(fmt.Sprintf("%08d", i%1000)), fmt.Sprintf("%020d", i)); err != nil {
						b.Error(err)
					}
				})
			})
		})
	}
}

func signIn(ctx context.Context, db *sqldb.DB, user idp.UserID, session string) error {
	const tenant = idp.TenantID("t")
	var raw []byte
	var size int64
	for range 3 {
		err := db.QueryRow(ctx, `select raw, size from thing where tenant_id = $1 and id = $2`, tenant, user).Scan(&raw, &size)
		if err != nil {
			return err
		}
	}
	return db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `insert into tenant (id) values ($1) on conflict do nothing`, session)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update thing set size = $3 where tenant_id = $1 and id = $2 and size < $3`, tenant, user, size+1)
		if err != nil {
			return err
		}
		var big bool
		err = tx.QueryRow(ctx, `select big from thing where tenant_id = $1 and id = $2`, tenant, user).Scan(&big)
		if err != nil {
			return err
		}
		for _, kind := range []idp.TenantID{"session", "event"} {
			_, err = tx.Exec(ctx, `insert into thing (tenant_id, id, raw, big, size) values ($1, $2, $3, $4, $5)`, kind, session, raw, big, size)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// fill puts things with the ids 00000000, 00000001 and so on.
func fill(b *testing.B, db *sqldb.DB, rows int) {
	b.Helper()
	err := db.Write(b.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for i := range rows {
			if err := put(ctx, tx, fmt.Sprintf("%08d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// inParallel spreads b.N calls over exactly that many goroutines. Beside the
// time it reports the processor's work, which on a busy machine is the figure
// to compare.
func inParallel(b *testing.B, callers int, fn func()) {
	left := atomic.Int64{}
	left.Store(int64(b.N))
	done := make(chan struct{})
	b.ReportAllocs()
	worked := cpu(b)
	b.ResetTimer()
	for range callers {
		go func() {
			for left.Add(-1) >= 0 {
				fn()
			}
			done <- struct{}{}
		}()
	}
	for range callers {
		<-done
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
	b.ReportMetric(float64(cpu(b)-worked)/float64(b.N), "cpu-ns/op")
}

// cpu is how long processors have worked for this process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRead is a read by primary key among 20,000 rows.
func BenchmarkRead(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			onBoth(b, func(b *testing.B, db *sqldb.DB) {
				const rows = 20_000
				ctx := b.Context()
				fill(b, db, rows)
				var n atomic.Int64
				inParallel(b, callers, func() {
					var id string
					var raw []byte
					var size int64
					err := db.QueryRow(ctx, `select id, raw, size from thing where tenant_id = $1 and id = $2`,
						"t", fmt.Sprintf("%08d", n.Add(7919)%rows)).Scan(&id, &raw, &size)
					if err != nil {
						b.Error(err)
					}
				})
			})
		})
	}
}
