package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/backup"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// schema has every type a table may have, and a child whose name sorts before
// its parent's.
var schema = []fs.FS{fstest.MapFS{"migrations/1_things.sql": {Data: []byte(`-- +goose Up
create table thing (
    tenant_id text not null, id text not null, sealed bytea not null,
    enabled boolean not null, created bigint not null, primary key (tenant_id, id)
);
create table part (
    tenant_id text not null, id text not null, thing_id text not null, primary key (tenant_id, id),
    foreign key (tenant_id, thing_id) references thing (tenant_id, id)
);
create table spent (id bytea not null primary key);
`)}}}

type thing struct {
	ID      string
	Sealed  []byte
	Enabled bool
	Created int64
}

// Awkward values: no bytes, every byte, text that looks like JSON, the ends of
// the integers.
var things = []thing{
	{"a", []byte{}, true, 0},
	{"b", []byte("\x00\xff{}\n"), false, -9223372036854775808},
	{`["ü"]` + "\n\"" + `<>&`, bytes.Repeat([]byte{7}, 70_000), true, 9223372036854775807},
}

var skip = []string{"spent"}

func fill(t *testing.T, db *sqldb.DB) {
	t.Helper()
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for _, x := range things {
			if _, err := tx.Exec(ctx, `insert into thing (tenant_id, id, sealed, enabled, created) values ($1, $2, $3, $4, $5)`,
				"t", x.ID, x.Sealed, x.Enabled, x.Created); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `insert into part (tenant_id, id, thing_id) values ('t', 'p', 'b')`)
		if err == nil {
			_, err = tx.Exec(ctx, `insert into spent (id) values ($1)`, []byte{1})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, db *sqldb.DB) []thing {
	t.Helper()
	rows, err := db.Query(t.Context(), `select id, sealed, enabled, created from thing where tenant_id = $1`, "t")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]thing{}
	for rows.Next() {
		var x thing
		if err := rows.Scan(&x.ID, &x.Sealed, &x.Enabled, &x.Created); err != nil {
			t.Fatal(err)
		}
		x.Sealed = append([]byte{}, x.Sealed...) // one driver gives nil for no bytes
		found[x.ID] = x
	}
	var all []thing
	for _, want := range things {
		if x, ok := found[want.ID]; ok {
			all = append(all, x)
		}
	}
	return all
}

func write(t *testing.T, db *sqldb.DB, keys backup.Keys) []byte {
	t.Helper()
	var out bytes.Buffer
	err := db.Snapshot(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		n, err := backup.Write(ctx, &out, keys, db.Dialect(), tx, skip, backup.Header{Version: "test", Created: time.Unix(1, 0).UTC()})
		if want := (backup.Count{Tables: 2, Rows: len(things) + 1}); err == nil && n != want {
			t.Errorf("wrote %+v, want %+v", n, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func restore(t *testing.T, db *sqldb.DB, file []byte, keys backup.Keys) error {
	t.Helper()
	return db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := backup.Open(bytes.NewReader(file), keys)
		if err != nil {
			return err
		}
		_, err = r.Restore(ctx, tx, db.Dialect(), skip)
		return err
	})
}

func newKeys(t *testing.T) backup.Keys {
	t.Helper()
	file, recipient, err := backup.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return backup.Keys{Recipients: []string{recipient}, Identities: file}
}

// From each database into each.
func TestRoundTrip(t *testing.T) {
	keys := newKeys(t)
	sqldbtest.Each(t, schema, func(t *testing.T, from *sqldb.DB) {
		fill(t, from)
		file := write(t, from, keys)
		if bytes.Contains(file, []byte("thing")) {
			t.Error("the backup is readable")
		}
		sqldbtest.Each(t, schema, func(t *testing.T, to *sqldb.DB) {
			if err := restore(t, to, file, keys); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(things, read(t, to)); diff != "" {
				t.Errorf("restored rows differ (-want +got):\n%s", diff)
			}
			var n int64
			if err := to.QueryRow(t.Context(), `select count(*) from spent`).Scan(&n); err != nil || n != 0 {
				t.Errorf("skipped table has %d rows, %v", n, err)
			}
			if err := restore(t, to, file, keys); err == nil {
				t.Error("restored over existing rows")
			}
		})
	})
}

func TestPassphrase(t *testing.T) {
	db := sqldbtest.Open(t, schema)
	fill(t, db)
	file := write(t, db, backup.Keys{Passphrase: "correct horse"})
	if err := restore(t, sqldbtest.Open(t, schema), file, backup.Keys{Passphrase: "correct horse"}); err != nil {
		t.Error(err)
	}
	if err := restore(t, sqldbtest.Open(t, schema), file, backup.Keys{Passphrase: "wrong horse"}); err == nil {
		t.Error("opened with another passphrase")
	}
}

// What is wrong with a file is said, and nothing stays of it.
func TestRestoreRefuses(t *testing.T) {
	keys := newKeys(t)
	from := sqldbtest.Open(t, schema)
	fill(t, from)
	file := write(t, from, keys)
	flipped := bytes.Clone(file)
	flipped[len(flipped)-20] ^= 1
	for name, c := range map[string]struct {
		file []byte
		keys backup.Keys
		want string
	}{
		"other identity":  {file, newKeys(t), "does not open this backup"},
		"no identity":     {file, backup.Keys{Identities: "hello"}, "AGE-SECRET-KEY-"},
		"cut short":       {file[:len(file)-30], keys, "damaged"},
		"flipped bit":     {flipped, keys, "damaged"},
		"not a backup":    {[]byte("hello"), keys, "no backup"},
		"unknown table":   {forged(t, keys, `{"table":"other","columns":["a"],"types":["text"]}`), keys, "other"},
		"unknown column":  {forged(t, keys, `{"table":"thing","columns":["a\" from x; --"],"types":["text"]}`), keys, "does not know"},
		"volatile table":  {forged(t, keys, `{"table":"spent","columns":["id"],"types":["bytea"]}`), keys, "no backup should"},
		"row first":       {forged(t, keys, `["a"]`), keys, "before its table"},
		"no end":          {forged(t, keys), keys, "ends too early"},
		"wrong count":     {forged(t, keys, `{"end":true,"tables":0,"rows":5}`), keys, "says 5"},
		"row too short":   {forged(t, keys, `{"table":"thing","columns":["id"],"types":["text"]}`, `[]`), keys, "a row of thing"},
		"row not a value": {forged(t, keys, `{"table":"thing","columns":["id"],"types":["text"]}`, `[{}]`), keys, "a row of thing"},
	} {
		t.Run(name, func(t *testing.T) {
			to := sqldbtest.Open(t, schema)
			err := restore(t, to, c.file, c.keys)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if got := read(t, to); len(got) != 0 {
				t.Errorf("%d rows were left", len(got))
			}
		})
	}
}

func TestWriteNeedsKey(t *testing.T) {
	db := sqldbtest.Open(t, schema)
	for name, keys := range map[string]backup.Keys{
		"none": {}, "both": {Recipients: []string{"age1x"}, Passphrase: "x"}, "nonsense": {Recipients: []string{"hello"}},
	} {
		err := db.Snapshot(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := backup.Write(ctx, failing{}, keys, db.Dialect(), tx, nil, backup.Header{})
			return err
		})
		if err == nil || errors.Is(err, errWrote) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

var errWrote = errors.New("something was written")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errWrote }

// forged is a well encrypted file with lines of our choice.
func forged(t *testing.T, keys backup.Keys, lines ...string) []byte {
	t.Helper()
	return backup.Seal(t, keys, strings.Join(append([]string{`{"signet_backup":1,"version":"test"}`}, lines...), "\n")+"\n")
}

// FuzzRestore feeds dumps that decrypt well and hold anything.
func FuzzRestore(f *testing.F) {
	f.Add(`{"signet_backup":1}` + "\n" + `{"table":"thing","columns":["id"],"types":["text"]}` + "\n" + `["x"]` + "\n" + `{"end":true,"tables":1,"rows":1}`)
	f.Add(`{"signet_backup":2}`)
	f.Add("[]\n{}")
	f.Add(`{"signet_backup":1}` + "\n" + `{"table":"thing","columns":["id","sealed"],"types":["text","bytea"]}` + "\n" + `[1,null]`)
	db := sqldbtest.Open(f, schema)
	undo := errors.New("undo")
	f.Fuzz(func(t *testing.T, dump string) {
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			r, err := backup.Parse(strings.NewReader(dump))
			if err != nil {
				return err
			}
			if _, err := r.Restore(ctx, tx, db.Dialect(), skip); err != nil {
				return err
			}
			return undo
		})
		if err == nil {
			t.Error("committed")
		}
	})
}
