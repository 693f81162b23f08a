// Package sqldb opens SQLite or PostgreSQL and lets the rest of the house speak
// one body of SQL to either: $1 placeholders; text, bytea, boolean and bigint;
// times as Unix milliseconds; no NULL. One word differs, Tx.ForShare.
//
// It owns connections, transactions, group commit, retries, migrations and the
// translation of driver errors into idp kinds. It knows no table: each package
// keeps its own SQL and its own migrations folder. Nothing above imports a
// driver.
//
// Everything durable goes through Write. Its function may run twice and must
// do nothing but SQL: no sends, no cookies, no waiting. Reads go past the
// writer and see what was committed before they began.
package sqldb
