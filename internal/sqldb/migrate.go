package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// migrationTable is where goose writes down what it applied.
const migrationTable = "schema_migration"

// migrator is what a migration needs of an engine.
type migrator struct {
	db      *sql.DB
	dialect goose.Dialect
	options []goose.ProviderOption
}

func migrate(ctx context.Context, e engine, sources []fs.FS) (int, error) {
	files, err := collect(sources)
	if err != nil {
		return 0, err
	}
	m, err := e.migrator()
	if err != nil {
		return 0, err
	}
	defer m.db.Close()
	missing, err := m.compare(ctx, files)
	if err != nil || missing == 0 {
		return 0, e.classify(err)
	}
	p, err := goose.NewProvider(m.dialect, m.db, files, append(m.options,
		goose.WithTableName(migrationTable),
		goose.WithDisableGlobalRegistry(true),
		// Packages are dated apart: a new one may bring an older date.
		goose.WithAllowOutofOrder(true),
		goose.WithLogger(goose.NopLogger()),
	)...)
	if err != nil {
		return 0, fmt.Errorf("read migrations: %w", err)
	}
	done, err := p.Up(ctx)
	if err != nil {
		var partial *goose.PartialError
		if errors.As(err, &partial) {
			return len(partial.Applied), e.classify(fmt.Errorf("migration %s: %w", path.Base(partial.Failed.Source.Path), partial.Err))
		}
		return 0, e.classify(fmt.Errorf("migrate the database: %w", err))
	}
	return len(done), nil
}

// compare returns how many migrations the database lacks. One that it has and
// we do not know means that a newer version of the program was here.
func (m migrator) compare(ctx context.Context, files migrations) (int, error) {
	applied, err := m.applied(ctx)
	if err != nil {
		return 0, err
	}
	missing := len(files)
	for _, v := range applied {
		if v == 0 {
			continue // goose's mark that the table is its own
		}
		if _, ok := files.version(v); !ok {
			return 0, fmt.Errorf("the database was made by a newer version of signet (it has migration %d, which this one does not know); "+
				"run that version or a later one, or restore a backup of this one", v)
		}
		missing--
	}
	return missing, nil
}

func (m migrator) applied(ctx context.Context) ([]int64, error) {
	store, err := database.NewStore(m.dialect, migrationTable)
	if err != nil {
		return nil, err
	}
	var exists bool
	query := "select count(*) > 0 from sqlite_master where name = '" + migrationTable + "'"
	if m.dialect == goose.DialectPostgres {
		query = "select to_regclass('" + migrationTable + "') is not null"
	}
	if err := m.db.QueryRowContext(ctx, query).Scan(&exists); err != nil || !exists {
		return nil, err
	}
	list, err := store.ListMigrations(ctx, m.db)
	if err != nil {
		return nil, err
	}
	versions := make([]int64, len(list))
	for i, l := range list {
		versions[i] = l.Version
	}
	return versions, nil
}

// migrations are the files of all sources as one flat folder.
type migrations map[string]origin

type origin struct {
	source fs.FS
	path   string
}

// collect gathers migrations/*.sql of every source.
func collect(sources []fs.FS) (migrations, error) {
	all := migrations{}
	names := map[int64]string{}
	for _, src := range sources {
		paths, err := fs.Glob(src, "migrations/*.sql")
		if err != nil {
			return nil, err
		}
		if len(paths) == 0 {
			return nil, errors.New("a source of migrations has no migrations/*.sql")
		}
		for _, p := range paths {
			name := path.Base(p)
			v, err := goose.NumericComponent(name)
			if err != nil {
				return nil, fmt.Errorf("migration %s: its name must begin with a number and an underscore: %w", name, err)
			}
			if other, taken := names[v]; taken {
				return nil, fmt.Errorf("migrations %s and %s have the same number", other, name)
			}
			names[v], all[name] = name, origin{src, p}
		}
	}
	return all, nil
}

func (m migrations) version(v int64) (name string, ok bool) {
	for name := range m {
		if n, err := goose.NumericComponent(name); err == nil && n == v {
			return name, true
		}
	}
	return "", false
}

// Open implements fs.FS.
func (m migrations) Open(name string) (fs.File, error) {
	o, ok := m[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return o.source.Open(o.path)
}

// Glob implements fs.GlobFS, which is how goose lists a folder.
func (m migrations) Glob(pattern string) ([]string, error) {
	var names []string
	for name := range m {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, cmp.Compare)
	return names, nil
}
