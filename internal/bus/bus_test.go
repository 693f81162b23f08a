package bus_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var sources = []fs.FS{bus.Migrations}

func node(db *sqldb.DB) (*bus.Bus, <-chan string) {
	b := bus.New(db, slog.New(slog.DiscardHandler))
	got := make(chan string, 100)
	b.Subscribe("user", func(key string) { got <- key })
	return b, got
}

func start(t *testing.T, b *bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not stop")
		}
	})
}

func publish(t *testing.T, db *sqldb.DB, b *bus.Bus, topic, key string) {
	t.Helper()
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		return b.Publish(ctx, tx, topic, key)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, got <-chan string, want string) {
	t.Helper()
	select {
	case key := <-got:
		if key != want {
			t.Errorf("got %q, want %q", key, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%q did not arrive", want)
	}
}

func silent(t *testing.T, got <-chan string) {
	t.Helper()
	select {
	case key := <-got:
		t.Errorf("%q arrived", key)
	default:
	}
}

// TestSameNode: the one who made a change finds it delivered when Write returns.
func TestSameNode(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		b, got := node(db)
		publish(t, db, b, "user", "tenant/ada with a space")
		publish(t, db, b, "group", "other topic")
		if len(got) != 1 {
			t.Fatalf("%d deliveries when Write returned, want 1", len(got))
		}
		expect(t, got, "tenant/ada with a space")
	})
}

func TestNotCommitted(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		b, got := node(db)
		undo := errors.New("undo")
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := b.Publish(ctx, tx, "user", "undone"); err != nil {
				return err
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatalf("Write: %v", err)
		}
		err = db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				if err := b.Publish(ctx, tx, "user", "undone"); err != nil {
					t.Error(err)
				}
				return undo
			})
			return b.Publish(ctx, tx, "user", "kept")
		})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, got, "kept")
		silent(t, got)
	})
}

func TestOtherNode(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		if db.Dialect() == sqldb.SQLite {
			// One process is the whole cluster there; TestSameNode covers it.
			b, got := node(db)
			start(t, b)
			publish(t, db, b, "user", "ada")
			expect(t, got, "ada")
			return
		}
		a, gotA := node(db)
		b, gotB := node(db)
		start(t, a)
		start(t, b)
		publish(t, db, a, "user", "ada")
		expect(t, gotA, "ada")
		expect(t, gotB, "ada")
		publish(t, db, b, "user", "bob")
		expect(t, gotA, "bob")
		expect(t, gotB, "bob")
		silent(t, gotA)
		silent(t, gotB)
	})
}

// TestMissedNotice: a node that heard no notice finds the change by polling,
// once.
func TestMissedNotice(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		a, gotA := node(db)
		b, gotB := node(db) // does not run: hears nothing
		publish(t, db, a, "user", "ada")
		for range 2 {
			if err := a.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := b.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, gotA, "ada")
		silent(t, gotA)
		if db.Dialect() == sqldb.Postgres {
			expect(t, gotB, "ada")
		}
		silent(t, gotB)
	})
}

func TestBadTopic(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		b, _ := node(db)
		for name, c := range map[string][2]string{
			"empty":    {"", "key"},
			"space":    {"two words", "key"},
			"too long": {"topic", strings.Repeat("x", 4000)},
		} {
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return b.Publish(ctx, tx, c[0], c[1])
			})
			if err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	})
}
