package tpmtest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Start runs an emulated TPM until the test ends and gives the path of its
// socket. What it keeps is in the folder state: another one that is started
// there goes on with it. A machine without swtpm fails the test:
// scripts/test-setup has it.
func Start(t testing.TB, state string) string {
	t.Helper()
	program, err := exec.LookPath("swtpm")
	if err != nil {
		t.Fatal("swtpm is not installed: run scripts/test-setup")
	}
	// A folder with a short name: paths of sockets end at 107 bytes.
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir="+state, "--server", "type=unixio,path="+socket,
		"--flags", "not-need-init,startup-clear")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("start swtpm: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("swtpm: %s", strings.ReplaceAll(said.String(), "swtpm: Data client disconnected\n", ""))
		}
		os.RemoveAll(dir)
	})
	for range 500 {
		// The file is there before anybody listens.
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return socket
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("swtpm did not open its socket within 5 s")
	return ""
}
