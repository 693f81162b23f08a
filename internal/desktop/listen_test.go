package desktop_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/signetid/signet/internal/desktop"
	"github.com/signetid/signet/internal/idp"
)

func TestListen(t *testing.T) {
	for _, all := range []bool{false, true} {
		socket := filepath.Join(t.TempDir(), "signet", "broker.sock")
		l, err := desktop.Listen(socket, all)
		if err != nil {
			t.Fatal(err)
		}
		folder, err := os.Stat(filepath.Dir(socket))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(socket)
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool][2]os.FileMode{false: {0o700, 0o600}, true: {0o755, 0o666}}[all]
		if folder.Mode().Perm() != want[0] || info.Mode().Perm() != want[1] {
			t.Errorf("all %t: folder %s, socket %s", all, folder.Mode(), info.Mode())
		}
		if _, err := desktop.Listen(socket, all); reasonOf(err) != "broker_runs" {
			t.Errorf("a second broker: %v", err)
		}
		if c, err := net.Dial("unix", socket); err != nil {
			t.Errorf("after a second broker: %v", err)
		} else {
			c.Close()
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		again, err := desktop.Listen(socket, all)
		if err != nil {
			t.Fatalf("after the first is gone: %v", err)
		}
		again.Close()
	}
}

// What a broker that was killed left is replaced; what is no socket is not.
func TestListenAfterACrash(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(folder, "broker.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	l, err := desktop.Listen(socket, false)
	if err != nil {
		t.Fatalf("over a dead socket: %v", err)
	}
	l.Close()
	if err := os.WriteFile(socket, []byte("a letter"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := desktop.Listen(socket, false); reasonOf(err) != "no_socket" {
		t.Errorf("over a file: %v", err)
	}
	if text, err := os.ReadFile(socket); err != nil || string(text) != "a letter" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

// Of many brokers that start at once over a dead socket one takes it, and
// keeps it.
func TestListenRace(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s", "broker.sock")
	var won atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			l, err := desktop.Listen(socket, false)
			switch {
			case err == nil:
				won.Add(1)
				t.Cleanup(func() { l.Close() })
			case reasonOf(err) != "broker_runs":
				t.Errorf("lost by %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d brokers took the socket", won.Load())
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatalf("nobody listens: %v", err)
	}
	c.Close()
}

// TestSec_DEV_SocketFolder: a folder where somebody else could put a socket of
// their own is refused: each for that reason alone.
func TestSec_DEV_SocketFolder(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T) string
		all  bool
		ok   bool
	}{
		{"closed", func(t *testing.T) string { return made(t, 0o700) }, false, true},
		{"readable", func(t *testing.T) string { return made(t, 0o755) }, false, false},
		{"readable, for all", func(t *testing.T) string { return made(t, 0o755) }, true, true},
		{"writable by a group", func(t *testing.T) string { return made(t, 0o770) }, false, false},
		{"writable by a group, for all", func(t *testing.T) string { return made(t, 0o775) }, true, false},
		{"writable by anybody, for all", func(t *testing.T) string { return made(t, 0o777) }, true, false},
		{"a link", func(t *testing.T) string {
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(made(t, 0o700), link); err != nil {
				t.Fatal(err)
			}
			return link
		}, false, false},
		{"of another account", func(t *testing.T) string {
			if os.Geteuid() != 0 {
				return "/var" // root's
			}
			folder := made(t, 0o700)
			if err := os.Chown(folder, 65534, -1); err != nil {
				t.Fatal(err)
			}
			return folder
		}, false, false},
	} {
		l, err := desktop.Listen(filepath.Join(c.make(t), "broker.sock"), c.all)
		if c.ok != (err == nil) || !c.ok && (reasonOf(err) != "socket_folder" || !errors.Is(err, idp.Denied)) {
			t.Errorf("%s: %v", c.name, err)
		}
		if l != nil {
			l.Close()
		}
	}
}

func made(t *testing.T, mode os.FileMode) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "f")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, mode); err != nil {
		t.Fatal(err)
	}
	return folder
}
