package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

type keyPair struct {
	Identity  string `json:"identity"`
	Recipient string `json:"recipient"`
}

// TestBackup moves a server from SQLite to PostgreSQL and back, while it runs
// and without anybody's sessions.
func TestBackup(t *testing.T) {
	data := dataFolder(t)
	serve(t, data)
	people(t, "--data", data)
	want := everything(t, "--data", data)
	keys := must[keyPair](t, "admin", "backup-key")
	identity := filepath.Join(t.TempDir(), "backup.key")
	write(t, identity, keys.Identity)
	file := filepath.Join(t.TempDir(), "one.age")
	must[object](t, "admin", "backup", file, "--recipient", keys.Recipient, "--data", data)

	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("backup file %v, %v", info, err)
	}
	if r := signet(t, "admin", "backup", file, "--recipient", keys.Recipient, "--data", data); r.code != exitFailed || !strings.Contains(r.errs, "there already") {
		t.Errorf("a backup was overwritten: %+v", r)
	}
	kek := filepath.Join(data, "kek")

	t.Run("without the key", func(t *testing.T) {
		to := dataFolder(t)
		r := signet(t, "admin", "restore", file, "--identity", identity, "--data", to)
		if r.code != exitFailed || !strings.Contains(r.errs, "key-encryption key") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("with another key", func(t *testing.T) {
		to := dataFolder(t)
		other := filepath.Join(t.TempDir(), "kek")
		write(t, other, strings.Repeat("QUFB", 10)+"QUE=\n")
		r := signet(t, "admin", "restore", file, "--identity", identity, "--data", to, "--kek-file", other)
		if r.code != exitFailed || !strings.Contains(r.errs, "another key-encryption key") {
			t.Errorf("%+v", r)
		}
		// Nothing stayed: the right key still gets in.
		must[object](t, "admin", "restore", file, "--identity", identity, "--data", to, "--kek-file", kek)
	})
	t.Run("with another identity", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "other.key")
		write(t, other, must[keyPair](t, "admin", "backup-key").Identity)
		r := signet(t, "admin", "restore", file, "--identity", other, "--data", dataFolder(t), "--kek-file", kek)
		if r.code != exitFailed || !strings.Contains(r.errs, "does not open this backup") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("over a used database", func(t *testing.T) {
		r := signet(t, "admin", "restore", file, "--identity", identity, "--data", used(t))
		if r.code != exitFailed || !strings.Contains(r.errs, "in use already") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("sqlite", func(t *testing.T) {
		restored(t, file, identity, kek, want, "--data", dataFolder(t))
	})
	t.Run("postgres", func(t *testing.T) {
		url := sqldbtest.NewPostgres(t)
		if url == "" {
			return
		}
		on := []string{"--data", dataFolder(t), "--database", url, "--kek-file", kek}
		restored(t, file, identity, kek, want, on[:4]...)
		// And from there into SQLite again.
		back := filepath.Join(t.TempDir(), "two.age")
		must[object](t, append([]string{"admin", "backup", back, "--recipient", keys.Recipient}, on...)...)
		restored(t, back, identity, kek, want, "--data", dataFolder(t))
	})
}

// people fills a server.
func people(t *testing.T, on ...string) {
	t.Helper()
	for _, args := range [][]string{
		{"tenant", "create", "One", "--domain", "one.example"},
		{"user", "create", "ada@one.example", "--name", "Ada Lindqvist", "--role", "administrator"},
		{"user", "create", "bo@one.example"},
		{"user", "disable", "bo@one.example"},
		{"group", "create", "Drawing office"},
		{"group", "add", "Drawing office", "ada@one.example"},
		{"app", "create", "Wiki", "--redirect-uri", "https://wiki.example/cb"},
		{"policy", "set", "passkey.limit", "30"},
		{"tap", "issue", "ada@one.example"},
	} {
		must[any](t, append(append([]string{"admin"}, args...), on...)...)
	}
	must[any](t, append([]string{"admin", "signing-key", "rotate"}, on...)...)
}

// everything is what an administrator can see of a server.
func everything(t *testing.T, on ...string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, args := range [][]string{
		{"tenant", "list"}, {"user", "list"}, {"group", "list"}, {"group", "members", "Drawing office"}, {"app", "list"},
		{"policy", "show"}, {"signing-key", "list"}, {"audit"},
	} {
		all[strings.Join(args, " ")] = must[any](t, append(append([]string{"admin"}, args...), on...)...)
	}
	return all
}

func restored(t *testing.T, file, identity, kek string, want map[string]any, on ...string) {
	t.Helper()
	on = append(on, "--kek-file", kek)
	must[object](t, append([]string{"admin", "restore", file, "--identity", identity}, on...)...)
	if diff := cmp.Diff(want, everything(t, on...)); diff != "" {
		t.Errorf("restored server differs (-want +got):\n%s", diff)
	}
	start(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--listen-tls", "off", "--drain", "0s", "--metadata-url", "off"}, on...)...).stop(t)
}
