package sqldb_test

import (
	"context"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func TestPlaced(t *testing.T) {
	for _, c := range []struct {
		query, want string
		places      []int
	}{
		{`select 1`, `select 1`, nil},
		{`select $1`, `select ?`, []int{1}},
		{`a = $2 and b = $1 or c = $2`, `a = ? and b = ? or c = ?`, []int{2, 1, 2}},
		{`values ($9,$10,$11)`, `values (?,?,?)`, []int{9, 10, 11}},
		{`select '$1', "$2", $3`, `select '$1', "$2", ?`, []int{3}},
		{`select 'it''s $1', $2`, `select 'it''s $1', ?`, []int{2}},
		{"select $1 -- not $2, nor '\n, $3 -- $4", "select ? -- not $2, nor '\n, ? -- $4", []int{1, 3}},
		{`select 1 - $1`, `select 1 - ?`, []int{1}},
		{`select $name, $0, $`, `select $name, $0, $`, nil},
		{`select '$1`, `select '$1`, nil},
	} {
		got, places := sqldb.Placed(c.query)
		if got != c.want || !slices.Equal(places, c.places) {
			t.Errorf("%q: %q %v, want %q %v", c.query, got, places, c.want, c.places)
		}
	}
}

// TestParameters: parameters have numbers, and are given in any order, more
// than once, or not at all, on both databases.
func TestParameters(t *testing.T) {
	sqldbtest.Each(t, schema, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		var a, b, c string
		var n int64
		err := db.QueryRow(ctx, `select cast($2 as text), cast($1 as text), '$1', cast($3 as bigint) + $3`, "one", "two", 3).Scan(&a, &b, &c, &n)
		if err != nil || a != "two" || b != "one" || c != "$1" || n != 6 {
			t.Errorf("got %q, %q, %q, %d, %v", a, b, c, n, err)
		}
		err = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, `insert into tenant (id) values ($2)`, "one")
			return err
		})
		if err == nil {
			t.Error("a statement ran without its second argument")
		}
	})
}
