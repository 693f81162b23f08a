package report

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the table of this package.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Day are the numbers of one day.
type Day struct {
	Day     time.Time // midnight UTC
	Counted time.Time // when, that day
	People  Counts
}

func put(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d Day) error {
	for _, c := range Classes {
		_, err := tx.Exec(ctx, `
			insert into report_day (tenant_id, day, class, people, counted) values ($1, $2, $3, $4, $5)
			on conflict (tenant_id, day, class) do update set people = excluded.people, counted = excluded.counted`,
			t, d.Day.UnixMilli(), string(c), int64(d.People[c]), d.Counted.UnixMilli())
		if err != nil {
			return fmt.Errorf("store report of a day: %w", err)
		}
	}
	return nil
}

// History gives the days of a tenant that were counted, the oldest first, from
// the day of from to that of to, both of them included.
func (r *Report) History(ctx context.Context, t idp.TenantID, from, to time.Time) ([]Day, error) {
	rows, err := r.cfg.DB.Query(ctx, `
		select day, class, people, counted from report_day
		where tenant_id = $1 and day >= $2 and day <= $3 order by day, class`,
		t, from.UTC().Truncate(24*time.Hour).UnixMilli(), to.UTC().UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read reports: %w", err)
	}
	defer rows.Close()
	var out []Day
	for rows.Next() {
		var day, people, counted int64
		var class string
		if err := rows.Scan(&day, &class, &people, &counted); err != nil {
			return nil, fmt.Errorf("read reports: %w", err)
		}
		at := time.UnixMilli(day).UTC()
		if len(out) == 0 || !out[len(out)-1].Day.Equal(at) {
			out = append(out, Day{Day: at, Counted: time.UnixMilli(counted).UTC(), People: Counts{}})
		}
		out[len(out)-1].People[Class(class)] = int(people)
	}
	return out, rows.Err()
}
