package sqldb

import (
	"context"
	"testing"
)

// RawWriter runs a statement on the writer's connection, past the transactions.
// Nothing may be writing.
func RawWriter(t *testing.T, db *DB, query string) {
	t.Helper()
	if _, err := db.engine.(*sqliteEngine).writer.conn.exec(context.Background(), query, nil); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// Queued is how many callers wait for the writer.
func Queued(db *DB) int { return len(db.engine.(*sqliteEngine).writer.queue) }

// Placed is how a statement is prepared for SQLite.
func Placed(query string) (string, []int) { return placed(query) }
