package backup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/sqldb"
)

// table is one table as the dump describes it.
type table struct {
	Name    string   `json:"table"`
	Columns []string `json:"columns"`
	Types   []string `json:"types"` // text, bytea, boolean or bigint
}

// migrationTable is the migrations' own record; a restore makes its own.
const migrationTable = "schema_migration"

// The two databases describe themselves in two ways: this file has the only
// SQL that is not one text for both.
var catalog = map[string]struct{ tables, columns, parents string }{
	"sqlite": {
		tables:  `select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name`,
		columns: `select name, lower(type) from pragma_table_info($1) order by cid`,
		parents: `select distinct "table" from pragma_foreign_key_list($1)`,
	},
	"postgres": {
		tables: `select table_name from information_schema.tables
			where table_schema = current_schema() and table_type = 'BASE TABLE' order by table_name`,
		columns: `select column_name, data_type from information_schema.columns
			where table_schema = current_schema() and table_name = $1 order by ordinal_position`,
		parents: `select distinct p.relname from pg_constraint k
			join pg_class c on c.oid = k.conrelid join pg_class p on p.oid = k.confrelid
			where k.contype = 'f' and c.relnamespace = current_schema()::regnamespace and c.relname = $1`,
	},
}

// tables lists the tables of the database, those that others refer to first.
func tables(ctx context.Context, dialect string, q sqldb.Querier, skip []string) ([]table, error) {
	words := catalog[dialect]
	names, err := column(ctx, q, words.tables)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	left := map[string][]string{} // table → tables it refers to
	for _, name := range names {
		if name == migrationTable || slices.Contains(skip, name) {
			continue
		}
		if left[name], err = column(ctx, q, words.parents, name); err != nil {
			return nil, fmt.Errorf("read the foreign keys of %s: %w", name, err)
		}
	}
	var all []table
	for len(left) > 0 {
		next := ready(left)
		if next == "" {
			return nil, fmt.Errorf("the tables refer to each other in a circle: %d left", len(left))
		}
		delete(left, next)
		t, err := describe(ctx, q, words.columns, next)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// ready picks the first table, by name, all of whose parents are done.
func ready(left map[string][]string) string {
	best := ""
	for name, parents := range left {
		waits := slices.ContainsFunc(parents, func(p string) bool {
			_, there := left[p]
			return there && p != name
		})
		if !waits && (best == "" || name < best) {
			best = name
		}
	}
	return best
}

func column(ctx context.Context, q sqldb.Querier, query string, args ...any) ([]string, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

func describe(ctx context.Context, q sqldb.Querier, query, name string) (table, error) {
	t := table{Name: name}
	rows, err := q.Query(ctx, query, name)
	if err != nil {
		return t, fmt.Errorf("read the columns of %s: %w", name, err)
	}
	defer rows.Close()
	for rows.Next() {
		var c, kind string
		if err := rows.Scan(&c, &kind); err != nil {
			return t, err
		}
		if kind, err = ourType(kind); err != nil {
			return t, fmt.Errorf("column %s of %s: %w", c, name, err)
		}
		t.Columns, t.Types = append(t.Columns, c), append(t.Types, kind)
	}
	return t, rows.Err()
}

// ourType maps a declared type to one of the four that the house uses.
func ourType(declared string) (string, error) {
	switch declared {
	case "text", "bytea", "boolean", "bigint":
		return declared, nil
	case "integer", "smallint", "int":
		return "bigint", nil
	}
	return "", fmt.Errorf("type %q is none that a dump can carry", declared)
}

// quoted makes a name safe inside a statement. Names come from a catalog or
// from a dump, and a dump is outside data.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (t table) selectAll() string {
	cols := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		cols[i] = quoted(c)
	}
	return "select " + strings.Join(cols, ", ") + " from " + quoted(t.Name)
}

func (t table) insert() string {
	cols, marks := make([]string, len(t.Columns)), make([]string, len(t.Columns))
	for i, c := range t.Columns {
		cols[i], marks[i] = quoted(c), fmt.Sprintf("$%d", i+1)
	}
	return "insert into " + quoted(t.Name) + " (" + strings.Join(cols, ", ") + ") values (" + strings.Join(marks, ", ") + ")"
}
