// Package sqldbtest runs a test on SQLite and on PostgreSQL.
//
// PostgreSQL is the server named by SIGNET_TEST_POSTGRES, whose user must be
// allowed to create databases; each test gets one of its own, dropped when the
// test ends. Where the variable is unset, the PostgreSQL half is left out with
// a line in the log, or fails when CI=true or SIGNET_TEST_REQUIRE=1.
//
// For tests only; it may be imported by the tests of every floor.
package sqldbtest
