package app

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations make the installation's own table.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Names of the facts in the table installation.
const (
	factEpoch = "epoch"
	factDemo  = "demo"
)

// epoch is the installation's count of voidings, sealed into everything that
// is handed out. Values of an earlier epoch are void (decisions 1.7).
type epoch struct{ n atomic.Int64 }

func (e *epoch) Now() int64 { return e.n.Load() }

// load reads the epoch of the database; other nodes may have raised it.
func (e *epoch) load(ctx context.Context, q sqldb.Querier) error {
	text, err := fact(ctx, q, factEpoch)
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("the epoch %q is no number: %w", text, err)
	}
	e.n.Store(n)
	return nil
}

// fact reads one fact; NotFound when it was never written.
func fact(ctx context.Context, q sqldb.Querier, name string) (string, error) {
	var value string
	err := q.QueryRow(ctx, `select value from installation where name = $1`, name).Scan(&value)
	return value, err
}

func setFact(ctx context.Context, tx *sqldb.Tx, name, value string) error {
	_, err := tx.Exec(ctx, `
		insert into installation (name, value) values ($1, $2)
		on conflict (name) do update set value = excluded.value`, name, value)
	return err
}

// found is what a database says of itself before anything is changed.
type found struct {
	used bool // served or filled before: it may hold sealed keys
	demo bool
}

// look tells an empty database from a used one, which has an epoch.
func look(ctx context.Context, db *sqldb.DB) (found, error) {
	if err := db.Ping(ctx); err != nil {
		return found{}, err
	}
	var f found
	_, err := fact(ctx, db, factEpoch)
	if errors.Is(err, idp.Unavailable) {
		return f, err
	}
	if err != nil { // no epoch, or no such table
		return f, nil
	}
	f.used = true
	mark, err := fact(ctx, db, factDemo)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return f, err
	}
	f.demo = mark != ""
	return f, nil
}

// firstFacts writes what a new database must say of itself.
func firstFacts(ctx context.Context, tx *sqldb.Tx, demo bool, now time.Time) error {
	_, err := tx.Exec(ctx, `
		insert into installation (name, value) values ($1, $2)
		on conflict (name) do nothing`, factEpoch, strconv.FormatInt(now.Unix(), 10))
	if err != nil || !demo {
		return err
	}
	return setFact(ctx, tx, factDemo, "yes")
}

// volatile are the tables whose rows die with an epoch: what was handed out,
// what was spent of it, and who is doing what at the moment. They are in no
// backup, so that none brings back a session, a pass or a claim. Nor a list of
// revocations: an old one says less than is true, and a new one is fetched
// within a minute.
var volatile = []string{
	"spent", "session", "flow", "access_pass", "job", "bus_change", "refresh_family", "device_approval", "prt", "mac_token",
	"push_message", "phone_request", "phone_asked", "phone_enrolment", "trust_list", "trust_list_body",
	"kek_node",
}

// raiseEpoch voids everything that was handed out. The epoch is a time, so
// that two restores of one backup never share one. Sealed values carry it;
// rows are deleted besides.
func raiseEpoch(ctx context.Context, tx *sqldb.Tx, now time.Time) error {
	text, err := fact(ctx, tx, factEpoch)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return err
	}
	old, _ := strconv.ParseInt(text, 10, 64) // none, or not a number: zero
	for _, t := range volatile {
		if _, err := tx.Exec(ctx, "delete from "+t); err != nil {
			return fmt.Errorf("empty the table %s: %w", t, err)
		}
	}
	return setFact(ctx, tx, factEpoch, strconv.FormatInt(max(old+1, now.Unix()), 10))
}
