package trust_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/trust"
)

// BenchmarkVerify is what a sign-in costs here, in a tenant with few and with
// as many authorities as there may be.
func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{2, trust.MaxAuthorities} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			db := sqldbtest.Open(b, sources)
			w := newWorld(b, db)
			h := newHouse(b)
			offers := []trust.Offer{root(h.root), sub(h.people)}
			for i := len(offers); i < n; i++ {
				offers = append(offers, root(pkixtest.Root(b, fmt.Sprint("Root ", i), start)))
			}
			err := db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := w.Add(ctx, tx, tenant, "", offers)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := w.verify(tenant, h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
