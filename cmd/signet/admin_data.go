package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/backup"
)

func (a *administrator) migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "migrate", Short: "Bring the database up to date, ahead of the server",
		Example: "  signet admin migrate --data /var/lib/signet", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			applied, err := app.Migrate(cmd.Context(), a.cfg)
			if err != nil {
				return err
			}
			return a.say(cmd, map[string]any{"applied": applied}, "%d migrations applied", applied)
		},
	}
}

// say prints a result that is one sentence for people.
func (a *administrator) say(cmd *cobra.Command, result any, sentence string, args ...any) error {
	if a.format == "json" {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(result)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), sentence+"\n", args...)
	return err
}

func (a *administrator) backupKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup-key", Short: "Make a key pair for backups",
		Long: `Make a key pair for backups. The identity, which opens them, goes to standard
output: keep it away from the server. The recipient, which the server needs to
write them, goes to standard error.`,
		Example: "  signet admin backup-key > backup.key", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, recipient, err := backup.NewIdentity()
			if err != nil {
				return err
			}
			if a.format == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"identity": file, "recipient": recipient})
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "recipient: %s\n", recipient)
			_, err = io.WriteString(cmd.OutOrStdout(), file)
			return err
		},
	}
}

func (a *administrator) backupCommand() *cobra.Command {
	var recipients []string
	var passphrase string
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write an encrypted backup, also while the server runs",
		Long: `Write a backup: one consistent moment, encrypted, without the key-encryption
key, which you keep elsewhere. An existing FILE is not touched. FILE - is
standard output.`,
		Example: `  signet admin backup nightly.age --recipient age1qz0…
  signet admin backup nightly.age --passphrase-file ./passphrase`,
		Args: exactly("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys := backup.Keys{Recipients: recipients}
			var err error
			if keys.Passphrase, err = readPassphrase(passphrase); err != nil {
				return err
			}
			count, err := a.backup(cmd, args[0], keys)
			if err != nil {
				return err
			}
			if args[0] == "-" {
				return nil
			}
			return a.say(cmd, count, "%d rows of %d tables written to %s", count.Rows, count.Tables, args[0])
		},
	}
	cmd.Flags().StringArrayVar(&recipients, "recipient", nil, "age1… that may open it (repeatable); see signet admin backup-key")
	cmd.Flags().StringVar(&passphrase, "passphrase-file", "", "file with a passphrase, instead of a recipient")
	markFiles(cmd, "passphrase-file")
	return cmd
}

// backup writes to a file that appears whole or not at all.
func (a *administrator) backup(cmd *cobra.Command, path string, keys backup.Keys) (backup.Count, error) {
	if path == "-" {
		return app.Backup(cmd.Context(), a.cfg, cmd.OutOrStdout(), keys, thisVersion().Version)
	}
	if _, err := os.Lstat(path); err == nil {
		return backup.Count{}, fmt.Errorf("%s is there already: name another file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".signet-backup-*")
	if err != nil {
		return backup.Count{}, fmt.Errorf("the backup cannot be written: %w", err)
	}
	defer os.Remove(f.Name())
	count, err := app.Backup(cmd.Context(), a.cfg, f, keys, thisVersion().Version)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err != nil {
		return backup.Count{}, err
	}
	return count, nil
}

func (a *administrator) restoreCommand() *cobra.Command {
	var identity, passphrase string
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Fill an empty database from a backup",
		Long: `Fill an empty database, SQLite or PostgreSQL, from a backup of either. The
key-encryption key must be the one of the backed-up server. Everybody is signed
out: what was handed out before the restore is void.`,
		Example: `  signet admin restore nightly.age --identity backup.key --data ./new --kek-file ./kek-copy`,
		Args:    exactly("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys := backup.Keys{}
			var err error
			if keys.Passphrase, err = readPassphrase(passphrase); err != nil {
				return err
			}
			if identity != "" {
				text, err := os.ReadFile(identity)
				if err != nil {
					return fmt.Errorf("the identity file cannot be read: %w", err)
				}
				keys.Identities = string(text)
			}
			if (identity == "") == (keys.Passphrase == "") {
				return usagef("a restore needs --identity or --passphrase-file")
			}
			count, err := app.Restore(cmd.Context(), a.cfg, args[0], keys)
			if err != nil {
				return err
			}
			return a.say(cmd, count, "%d rows of %d tables restored; everybody has to sign in again", count.Rows, count.Tables)
		},
	}
	cmd.Flags().StringVar(&identity, "identity", "", "file with the key that opens it")
	cmd.Flags().StringVar(&passphrase, "passphrase-file", "", "file with the passphrase, instead")
	markFiles(cmd, "identity", "passphrase-file")
	return cmd
}

func readPassphrase(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the passphrase file cannot be read: %w", err)
	}
	p := string(text)
	for len(p) > 0 && (p[len(p)-1] == '\n' || p[len(p)-1] == '\r') {
		p = p[:len(p)-1]
	}
	if p == "" {
		return "", errors.New("the passphrase file is empty")
	}
	return p, nil
}
