//go:build unix

package sqldb_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/signetid/signet/internal/sqldb"
)

// TestReadOnly opens the database as a user who may not write it. As root it
// becomes another user first, whom permissions bind.
func TestReadOnly(t *testing.T) {
	if path := os.Getenv("SIGNET_TEST_OPEN"); path != "" {
		db, err := sqldb.Open(t.Context(), sqldb.Config{Path: path})
		if err == nil {
			db.Close()
		}
		fmt.Printf("open: %v\n", err)
		return
	}
	for name, spoil := range map[string]func(t *testing.T, path string){
		"file":   func(t *testing.T, path string) { must(t, os.Chmod(path, 0o444)) },
		"folder": func(t *testing.T, path string) { must(t, os.Chmod(path, 0o666)); readOnlyFolder(t, path) },
		"new":    func(t *testing.T, path string) { must(t, os.Remove(path)); readOnlyFolder(t, path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			spoil(t, path)
			exe, err := os.Executable()
			must(t, err)
			for dir := path; dir != "/"; dir = filepath.Dir(dir) {
				letIn(t, filepath.Dir(dir))
			}
			cmd := exec.Command(copyOf(t, exe), "-test.run=^TestReadOnly$", "-test.v")
			cmd.Env = append(os.Environ(), "SIGNET_TEST_OPEN="+path)
			asOtherUser(t, cmd)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if !strings.Contains(string(out), "cannot be written; give the user that runs signet write access") {
				t.Errorf("said %s", out)
			}
		})
	}
}

func readOnlyFolder(t *testing.T, path string) {
	dir := filepath.Dir(path)
	must(t, os.Chmod(dir, 0o555))
	t.Cleanup(func() { os.Chmod(dir, 0o755) })
}

// letIn lets other users pass through a temporary folder of this test.
func letIn(t *testing.T, dir string) {
	t.Helper()
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm()&0o001 == 0 && strings.HasPrefix(dir, os.TempDir()+"/") {
		must(t, os.Chmod(dir, info.Mode().Perm()|0o011))
	}
}

// copyOf puts the test binary where another user may run it.
func copyOf(t *testing.T, exe string) string {
	b, err := os.ReadFile(exe)
	must(t, err)
	dir := t.TempDir()
	for d := dir; d != "/"; d = filepath.Dir(d) {
		letIn(t, d)
	}
	path := filepath.Join(dir, "sqldb.test")
	must(t, os.WriteFile(path, b, 0o755))
	return path
}

// asOtherUser has cmd run as a user whom file permissions bind.
func asOtherUser(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
	}
}
