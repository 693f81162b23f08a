package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/signetid/signet/internal/idp"
)

// unavailable makes any error idp.Unavailable.
func unavailable(err error) error {
	if errors.Is(err, idp.Unavailable) {
		return err
	}
	return idp.Unavailablef("database_failed", "%w", err)
}

// classifyCommon knows the errors that do not depend on the database; done
// says whether it knew err.
func classifyCommon(err error) (out error, done bool) {
	var known *idp.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err, true
	case errors.Is(err, context.Canceled):
		return err, true
	case errors.Is(err, context.DeadlineExceeded):
		return idp.Unavailablef("database_slow", "%w", err), true
	case errors.Is(err, sql.ErrConnDone), errors.Is(err, driver.ErrBadConn):
		return idp.Unavailablef("database_down", "%w", err), true
	}
	return err, false
}

func classifySQLite(err error) error {
	err, done := classifyCommon(err)
	if done {
		return err
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return idp.Conflictf("row_exists", "%w", err)
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return idp.Conflictf("row_referenced", "%w", err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return idp.Unavailablef("disk_full", "%w", err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return idp.Unavailablef("database_busy", "%w", err)
	case sqlite3.SQLITE_READONLY:
		return idp.Unavailablef("database_readonly", "%w", err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return idp.Unavailablef("database_corrupt", "%w", err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT:
		return idp.Unavailablef("database_failed", "%w", err)
	}
	return err
}

// classifyPostgres reads SQLSTATE (PostgreSQL 15, appendix A).
func classifyPostgres(err error) error {
	err, done := classifyCommon(err)
	if done {
		return err
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		var connect *pgconn.ConnectError
		if errors.As(err, &connect) || brokenConnection(err) {
			return idp.Unavailablef("database_down", "%w", err)
		}
		return err
	}
	switch e.Code {
	case "23505":
		return idp.Conflictf("row_exists", "%w", err)
	case "23503":
		return idp.Conflictf("row_referenced", "%w", err)
	case "53100":
		return idp.Unavailablef("disk_full", "%w", err)
	case "40001", "40P01":
		return idp.Unavailablef("database_busy", "%w", err)
	case "25006":
		return idp.Unavailablef("database_readonly", "%w", err)
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "53", "57", "58": // connection, resources, operator intervention, system
		return idp.Unavailablef("database_down", "%w", err)
	}
	return err
}

// retryable says that a transaction failed for a reason that may be gone at
// the next try, provided that its commit was not sent.
func retryable(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case "40001", "40P01", // serialization failure, deadlock
			"57P01", "57P02", "57P03": // the server is stopping, crashed, or starting
			return true
		}
		return false
	}
	return brokenConnection(err)
}

// brokenConnection says that the network or the other side went away, on a
// connection that worked before. A server that cannot be reached at all is not
// meant: that is an answer, not an accident.
func brokenConnection(err error) bool {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return false
	}
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, driver.ErrBadConn)
}

// serverSaid says that the error is the server's own reply, so that the
// statement certainly had no effect.
func serverSaid(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e)
}

// neverSent says that the connection broke before anything went out.
func neverSent(err error) bool {
	return pgconn.SafeToRetry(err) || errors.Is(err, driver.ErrBadConn)
}
