// Package backup copies a database into one encrypted file and back, between
// SQLite and PostgreSQL in either direction.
//
// The file is a logical dump: a header, then every table with its rows as JSON
// lines, compressed, encrypted to age recipients or a passphrase. What is
// sealed in the database stays sealed in the dump: the key-encryption key is
// never inside (decisions 6.5), and must be kept elsewhere.
//
// It knows no table by name. The caller says which tables not to copy (what
// dies with the epoch, decisions 1.7), makes the tables before a restore, and
// raises the epoch with it.
//
// Format: age-encryption.org/v1 around gzip around JSON lines.
package backup
