package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/backup"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrate brings the database up to date without serving it, making it when
// there is none. It returns how many migrations ran.
func Migrate(ctx context.Context, cfg Config) (applied int, err error) {
	cfg = cfg.quiet()
	v, err := openVault(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer v.close()
	return v.prepare(ctx, v.ring(nil), audit.New(cfg.Now), newHighWater(cfg.Data))
}

// quiet is c for a command, which says what it has to say itself.
func (c Config) quiet() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// hasDatabase keeps a mistyped folder from becoming a new installation.
func (c Config) hasDatabase() error {
	if c.Database != "" {
		return nil
	}
	path := filepath.Join(c.Data, databaseFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database in %s: name the folder with --data, or make a new one with signet serve or signet admin migrate", c.Data)
	} else if err != nil {
		return diskError(path, err)
	}
	return nil
}

// dump writes the backup of an open database.
func dump(ctx context.Context, db *sqldb.DB, w io.Writer, keys backup.Keys, h backup.Header) (n backup.Count, err error) {
	err = db.Snapshot(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n, err = backup.Write(ctx, w, keys, db.Dialect(), tx, volatile, h)
		return err
	})
	return n, err
}

// Restore fills an empty database from a backup, in one transaction: the rows,
// the proof that the key-encryption key is theirs, and a new epoch.
func Restore(ctx context.Context, cfg Config, path string, keys backup.Keys) (n backup.Count, err error) {
	cfg = cfg.quiet()
	file, err := os.Open(path)
	if err != nil {
		return n, fmt.Errorf("the backup cannot be read: %w", err)
	}
	defer file.Close()
	if _, err := backup.Open(file, keys); err != nil { // before anything is made
		return n, err
	}
	if _, err := loadKEK(cfg); errors.Is(err, fs.ErrNotExist) {
		return n, fmt.Errorf("a restore needs the key-encryption key of the server that was backed up: copy it to %s, or name it with --kek-file", cfg.kekPath())
	}
	v, err := openVault(ctx, cfg)
	if err != nil {
		return n, err
	}
	defer v.close()
	if v.found.used {
		return n, errors.New("this database is in use already: a restore needs an empty one, so name a new --data folder or --database")
	}
	if _, err := v.db.Migrate(ctx, Sources()...); err != nil {
		return n, err
	}
	err = v.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if n, err = refill(ctx, tx, v.db.Dialect(), file, keys); err != nil {
			return err
		}
		// In the restore's own transaction: rows that cannot be opened do not stay.
		if err := v.ring(nil).CheckIn(ctx, tx); err != nil {
			return cfg.kekError(err)
		}
		return raiseEpoch(ctx, tx, cfg.Now())
	})
	if err != nil {
		return backup.Count{}, err
	}
	return n, newHighWater(cfg.Data).drop()
}

// refill reads the file from its start, since a transaction may run twice.
func refill(ctx context.Context, tx *sqldb.Tx, dialect string, file io.ReadSeeker, keys backup.Keys) (backup.Count, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return backup.Count{}, err
	}
	r, err := backup.Open(file, keys)
	if err != nil {
		return backup.Count{}, err
	}
	n, err := r.Restore(ctx, tx, dialect, volatile)
	if errors.Is(err, idp.Conflict) {
		return n, errors.New("this database is not empty: a restore needs an empty one")
	}
	return n, err
}
