package sqldb_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

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

// inParallel spreads b.N calls over exactly that many goroutines.
func inParallel(b *testing.B, callers int, fn func()) {
	left := atomic.Int64{}
	left.Store(int64(b.N))
	done := make(chan struct{})
	b.ReportAllocs()
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
}

// BenchmarkRead is a read by primary key among 20,000 rows.
func BenchmarkRead(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			onBoth(b, func(b *testing.B, db *sqldb.DB) {
				const rows = 20_000
				ctx := b.Context()
				err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
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
