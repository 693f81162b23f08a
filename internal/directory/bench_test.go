package directory_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// BenchmarkUsers reads a page of 100 people at the beginning of the list, deep
// in it, and of those whose name begins with something, from a thousand people
// to a million: it should cost the same.
func BenchmarkUsers(b *testing.B) {
	for _, people := range []int{1_000, 100_000, 1_000_000} {
		db := sqldbtest.Open(b, sources)
		d := directory.New(directory.Config{DB: db, Now: time.Now})
		const tenant = idp.TenantID("11111111-1111-4111-8111-111111111111")
		if err := db.Write(b.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, `
				with recursive n(i) as (select 0 union all select i + 1 from n where i < $2)
				insert into users (tenant_id, id, name, name_folded, display_name, display_folded, enabled, user_type, role, created)
				select $1, lower(printf('%08x-0000-4000-8000-%012x', (i * 2654435761) % 4294967296, i)), 'p' || i || '@nordhafen.example', 'p' || i || '@nordhafen.example',
					'Person ' || i, 'person ' || i, true, 'member', '', 1700000000000 + i from n`, tenant, int64(people-1))
			return err
		}); err != nil {
			b.Fatal(err)
		}
		begins, err := filter.Parse("startswith(userPrincipalName,'p99')", directory.UserFields)
		if err != nil {
			b.Fatal(err)
		}
		for name, page := range map[string]directory.Page{
			"first": {Limit: 100},
			"deep":  {Limit: 100, After: directory.Cursor(time.UnixMilli(1700000000000+int64(people)*9/10), "00000000-0000-4000-8000-000000000000")},
			"begin": {Limit: 100, Where: begins},
		} {
			b.Run(fmt.Sprintf("%s/people=%d", name, people), func(b *testing.B) {
				for b.Loop() {
					list, _, err := d.Users(b.Context(), tenant, page)
					if err != nil || len(list) == 0 {
						b.Fatal(len(list), err)
					}
				}
			})
		}
	}
}
